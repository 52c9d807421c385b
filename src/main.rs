//! The `custody` program: the command line of the library.
#![forbid(unsafe_code)]

/// Every record passes through a few threads, each of which frees what another one made.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    custody::cli::run()
}
