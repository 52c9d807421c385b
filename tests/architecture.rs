//! The layout keeps its promises: who may know whom, and what the core is built from.

use std::path::{Path, PathBuf};
use std::process::Command;

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    files
}

/// The sources of a module: a folder, or a single file.
fn src(module: &str) -> Vec<(PathBuf, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(module);
    if path.is_dir() {
        return sources(&path);
    }
    let path = path.with_extension("rs");
    let source = std::fs::read_to_string(&path).unwrap();
    vec![(path, source)]
}

/// Modules of this crate that a source names by `crate::`.
fn named(source: &str) -> Vec<String> {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// A module and what it may know. What isn't listed may know everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &["core"]),
    ("store", &["core", "store"]),
    ("admit", &["core", "store", "admit"]),
    ("sequence", &["core", "admit", "private", "sequence"]),
    (
        "commit",
        &["core", "store", "admit", "private", "sequence", "commit"],
    ),
    (
        "cluster",
        &[
            "core", "store", "admit", "private", "sequence", "commit", "client", "cluster",
        ],
    ),
    ("network", &["network"]),
    ("signals", &["core", "store", "network", "signals"]),
    ("audit", &["core", "store"]),
    ("archive", &["core", "store", "audit", "node", "archive"]),
    ("export", &["core", "client", "export"]),
    ("private", &["core", "store", "private"]),
    ("report", &["core", "report"]),
    ("client", &["core", "client"]),
    ("epcis", &["core", "epcis"]),
    // Of `api` the tokens, of `sequence` the clock.
    (
        "rest",
        &["core", "client", "epcis", "api", "sequence", "rest"],
    ),
    ("simulate", &["core", "client", "simulate"]),
    (
        "api",
        &[
            "core", "store", "admit", "sequence", "commit", "cluster", "signals", "private",
            "report", "epcis", "node", "network", "api",
        ],
    ),
    (
        "web",
        &[
            "core", "signals", "node", "network", "api", "client", "epcis", "rest", "web",
        ],
    ),
];

#[test]
fn given_the_sources_when_read_then_every_module_knows_only_what_it_may() {
    for (folder, allowed) in ALLOWED {
        for (path, source) in src(folder) {
            for module in named(&source) {
                assert!(
                    allowed.contains(&module.as_str()),
                    "{} must not know `crate::{module}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn given_the_simulator_when_read_then_its_truth_knows_neither_rules_nor_apply() {
    for (path, source) in src("simulate") {
        for forbidden in [
            "core::rules",
            "core::apply",
            "core::standing",
            "core::bundle",
        ] {
            assert!(
                !source.contains(forbidden),
                "{} must not know {forbidden}",
                path.display()
            );
        }
    }
}

#[test]
fn given_bincode_when_searched_then_only_the_codec_names_it() {
    for (path, source) in src("") {
        let names = source.contains("bincode::");
        assert_eq!(
            names,
            path.ends_with("store/codec.rs"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn given_the_rules_when_counted_then_each_has_a_file_of_its_own() {
    let table = include_str!("../src/core/rules/mod.rs");
    for (path, source) in src("core/rules") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["mod", "case", "travel"].contains(&name.as_str()) {
            continue;
        }
        assert!(
            table.contains(&format!("    {name} = ")),
            "{name} is not in the table"
        );
        assert!(
            source.contains("fn check(case: &Case<'_>)")
                || source.contains("fn check(_: &Case<'_>)")
        );
    }
}

#[test]
fn given_the_core_alone_when_its_tree_is_listed_then_no_shell_is_in_it() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--no-default-features",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    for forbidden in [
        "tokio",
        "rocksdb",
        "librocksdb-sys",
        "tonic",
        "hyper",
        "axum",
        "bincode",
    ] {
        let found = tree
            .lines()
            .find(|line| line.split(' ').next() == Some(forbidden));
        assert!(found.is_none(), "the core is built from {found:?}");
    }
    assert!(tree.contains("ed25519-dalek"), "{tree}");
}

/// The core alone is built, without the shell, in a target folder of its own.
#[test]
fn given_no_default_features_when_built_then_the_core_builds() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let status = Command::new(env!("CARGO"))
        .args([
            "check",
            "--lib",
            "--no-default-features",
            "--quiet",
            "--target-dir",
        ])
        .arg(target.join("core-alone"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
}
