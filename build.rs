//! Generates the Rust types and services from `proto/`.
//!
//! `protox` compiles the files in Rust. The core needs
//! the messages only; with the feature `net`, the services are generated as well.

use std::path::PathBuf;

use prost::Message;

const PROTOS: [&str; 27] = [
    "custody/v1/common.proto",
    "custody/v1/credit_record.proto",
    "custody/v1/record.proto",
    "custody/v1/entry.proto",
    "custody/v1/ledger.proto",
    "custody/v1/provenance.proto",
    "custody/v1/registry.proto",
    "custody/v1/regulator.proto",
    "custody/v1/log.proto",
    "custody/v1/credit.proto",
    "custody/v1/listing.proto",
    "custody/v1/claim_record.proto",
    "custody/v1/claim.proto",
    "custody/v1/case_record.proto",
    "custody/v1/case.proto",
    "custody/v1/alert_record.proto",
    "custody/v1/alert.proto",
    "custody/v1/measure_record.proto",
    "custody/v1/measure.proto",
    "custody/v1/inspection_record.proto",
    "custody/v1/inspection.proto",
    "custody/v1/access_record.proto",
    "custody/v1/export.proto",
    "custody/v1/private.proto",
    "custody/v1/report.proto",
    "custody/v1/event.proto",
    "custody/v1/cluster.proto",
];

/// What pages load.
#[cfg(feature = "cli")]
const ASSETS: &str = "src/web/assets";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[cfg(feature = "cli")]
    list_assets()?;
    let files = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(PROTOS)?
        .file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("custody.v1.binpb"), files.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    config.bytes([
        ".custody.v1.Envelope",
        ".custody.v1.ProvenEntry.entry",
        ".custody.v1.IndexedEntry.entry",
        ".custody.v1.CapturedEvent.record",
        ".custody.v1.FetchSnapshotResponse.part",
    ]);
    // Comments of the proto files are prose for every language, not rustdoc.
    config.disable_comments(["."]);
    generate(config, files)
}

/// Writes the table of the files that pages load: path below the folder, content. Where the checkout is, is left for
/// the compiler to say: several may share what is built.
#[cfg(feature = "cli")]
fn list_assets() -> Result<(), Box<dyn std::error::Error>> {
    use std::fmt::Write as _;
    println!("cargo:rerun-if-changed={ASSETS}");
    let top = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join(ASSETS);
    let mut files = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let list = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    files.sort();
    let mut table = String::from("[");
    for file in files {
        let path = file.strip_prefix(&top)?.display().to_string();
        let below = format!("/{ASSETS}/{path}");
        write!(
            table,
            "({path:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {below:?})) as &[u8]),",
        )?;
    }
    table.push(']');
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

#[cfg(feature = "net")]
fn generate(
    config: prost_build::Config,
    files: prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn std::error::Error>> {
    tonic_prost_build::configure().compile_fds_with_config(files, config)?;
    Ok(())
}

#[cfg(not(feature = "net"))]
fn generate(
    mut config: prost_build::Config,
    files: prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn std::error::Error>> {
    config.compile_fds(files)?;
    Ok(())
}
