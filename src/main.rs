//! The `custody` program: the command line of the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    custody::cli::run()
}
