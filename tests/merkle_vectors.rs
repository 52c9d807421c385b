//! The proofs, good and bad, that transparency-dev/merkle tests its verifiers with.
//!
//! Given a vector, when the proof is verified, then the outcome is the one it names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use custody::core::tlog::{
    Hash, LogIndex, TreeSize, leaf_hash,
    proof::{verify_consistency, verify_inclusion},
};
use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/merkle");

#[test]
fn inclusion_vectors_have_their_outcome() {
    run("inclusion", verify_inclusion_vector);
}

#[test]
fn consistency_vectors_have_their_outcome() {
    run("consistency", verify_consistency_vector);
}

fn run(kind: &str, verify: fn(&Value) -> Option<()>) {
    let folder = Path::new(VECTORS).join(kind);
    if !folder.is_dir() {
        eprintln!("SKIPPED: no {kind} vectors in {}", folder.display());
        return;
    }
    let files = json_files(&folder).expect("the vectors can be listed");
    let (mut good, mut bad) = (0, 0);
    for file in files {
        let text = fs::read_to_string(&file).expect("a vector can be read");
        let vector: Value = serde_json::from_str(&text).expect("a vector is JSON");
        let want_error = vector["wantErr"].as_bool().expect("a vector has wantErr");
        let is_verified = verify(&vector).is_some();
        assert_eq!(is_verified, !want_error, "{}", file.display());
        *if want_error { &mut bad } else { &mut good } += 1;
    }
    assert!(good > 0 && bad > 0, "{good} good and {bad} bad vectors");
}

/// `None` when the vector is refused, be it that one of its values is no hash at all.
fn verify_inclusion_vector(vector: &Value) -> Option<()> {
    let index = LogIndex::new(vector["leafIdx"].as_u64()?);
    let size = TreeSize::new(vector["treeSize"].as_u64()?);
    let (leaf, root) = (hash(&vector["leafHash"])?, hash(&vector["root"])?);
    verify_inclusion(index, size, &leaf, &proof(vector)?, &root).ok()
}

fn verify_consistency_vector(vector: &Value) -> Option<()> {
    let first = TreeSize::new(vector["size1"].as_u64()?);
    let second = TreeSize::new(vector["size2"].as_u64()?);
    let (first_root, second_root) = (any_root(&vector["root1"])?, any_root(&vector["root2"])?);
    verify_consistency(first, second, &proof(vector)?, &first_root, &second_root).ok()
}

fn hash(value: &Value) -> Option<Hash> {
    Hash::from_base64(value.as_str()?).ok()
}

/// Some consistency vectors have a few words in place of a root that does not matter; equal
/// words stand for equal roots, whether the proof is good or bad.
fn any_root(value: &Value) -> Option<Hash> {
    hash(value).or_else(|| value.as_str().map(|words| leaf_hash(words.as_bytes())))
}

/// The hashes of the proof; Go writes an empty one as null.
fn proof(vector: &Value) -> Option<Vec<Hash>> {
    match &vector["proof"] {
        Value::Null => Some(Vec::new()),
        proof => proof.as_array()?.iter().map(hash).collect(),
    }
}

fn json_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(json_files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(files)
}
