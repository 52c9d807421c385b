//! Files that pages load: in the program, under a name that changes with their content, so that a
//! browser keeps them for good.

use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::map;
use crate::core::wire;

/// A file, and the same with gzip.
pub(super) struct Asset {
    path: &'static str,
    bytes: &'static [u8],
    gzip: OnceLock<Vec<u8>>,
}

/// The files in the folder beside this one, as the build found them.
const EMBEDDED: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

static FILES: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let made = [
        ("custody.v1.binpb", &*descriptors().leak()),
        ("china.svg", map::picture().into_bytes().leak()),
    ];
    // The map is not sent as it lies here.
    let embedded = EMBEDDED
        .iter()
        .filter(|(path, _)| *path != "provinces.json");
    let all = embedded.copied().chain(made);
    all.map(|(path, bytes)| Asset {
        path,
        bytes,
        gzip: OnceLock::new(),
    })
    .collect()
});

/// Every file below a folder, as pages name it.
pub(super) fn below(prefixes: &[&str]) -> Vec<String> {
    let wanted = |file: &&Asset| prefixes.iter().any(|prefix| file.path.starts_with(prefix));
    let files = FILES.iter().filter(wanted);
    files
        .map(|file| format!("{}/{}", folder(), file.path))
        .collect()
}

/// The text of a file that is served under another name.
pub(super) fn text(path: &str) -> &'static [u8] {
    let file = FILES.iter().find(|file| file.path == path);
    file.map_or(b"", |file| file.bytes)
}

/// Changes whenever any file does.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut all = Sha256::new();
    for file in FILES.iter() {
        all.update(Sha256::digest(file.bytes));
    }
    hex::encode(&all.finalize()[..6])
});

/// The folder of all files, as pages name it.
pub(super) fn folder() -> &'static str {
    static FOLDER: LazyLock<String> = LazyLock::new(|| format!("/assets/{}", *VERSION));
    &FOLDER
}

/// The descriptors by which browsers read and write messages, without the comments.
fn descriptors() -> Vec<u8> {
    let files = prost_types::FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET);
    // They were compiled with the program.
    let mut files = files.unwrap_or_default();
    for file in &mut files.file {
        file.source_code_info = None;
    }
    files.encode_to_vec()
}

pub(super) async fn get(
    Path((version, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let caching = if version == *VERSION {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers_out = [
        (header::CONTENT_TYPE, kind(&path)),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "accept-encoding"),
    ];
    if takes_gzip(&headers) {
        let gzip = file.gzip.get_or_init(|| squeezed(file.bytes)).as_slice();
        if gzip.len() < file.bytes.len() {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            return (headers_out, encoding, gzip).into_response();
        }
    }
    (headers_out, file.bytes).into_response()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next() == Some("gzip") && parts.next() != Some("q=0")
        })
}

fn squeezed(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // Writing to memory does not fail; what could not be squeezed is sent as it is.
    let written = out.write_all(bytes).and_then(|()| out.finish());
    written.unwrap_or_else(|_| bytes.to_vec())
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        Some("webmanifest") => "application/manifest+json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_that_take_gzip_say_so() {
        for (accept, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("gzip;q=0", false),
            ("deflate", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accept.parse().unwrap());
            assert_eq!(takes_gzip(&headers), takes, "{accept}");
        }
    }
}
