//! Programs that share no code with this one: a client and a judge in Python.
//!
//! `CUSTODY_PYTHON` names an interpreter that has `tests/python/requirements.txt` installed;
//! `tools/test` makes one.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::Server;

fn python() -> Option<Command> {
    let Some(interpreter) = std::env::var_os("CUSTODY_PYTHON") else {
        eprintln!("SKIPPED: CUSTODY_PYTHON names no interpreter; run tools/test");
        return None;
    };
    let mut command = Command::new(interpreter);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// The regulator's seed in a file of its own, as the foreign programs take it.
fn seed_file(server: &Server) -> PathBuf {
    let text = std::fs::read_to_string(server.data.join("regulator.key")).unwrap();
    let seed = text
        .lines()
        .find_map(|line| line.strip_prefix("seed: "))
        .unwrap();
    let path = server.data.join("seed.hex");
    std::fs::write(&path, seed).unwrap();
    path
}

fn target(server: &Server) -> String {
    server.address.trim_start_matches("http://").to_owned()
}

fn passed(what: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}:\n{text}\n{errors}");
    text
}

fn judge(server: &Server) -> Output {
    python()
        .unwrap()
        .args([
            "judge.py",
            "--target",
            &target(server),
            "--origin",
            common::ORIGIN,
        ])
        .arg("--regulator-seed-file")
        .arg(seed_file(server))
        .output()
        .unwrap()
}

#[test]
fn given_the_python_sources_when_tested_alone_then_they_pass() {
    let Some(mut python) = python() else { return };
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/merkle");
    if vectors.exists() {
        python.env("CUSTODY_MERKLE_VECTORS", vectors);
    } else {
        eprintln!("SKIPPED: the Merkle vectors are absent");
    }
    passed(
        "unittest",
        &python.args(["-m", "unittest"]).output().unwrap(),
    );
}

#[test]
fn given_a_foreign_client_when_it_trades_and_verifies_by_itself_then_all_holds() {
    let Some(mut python) = python() else { return };
    let server = Server::start();
    let output = python
        .args([
            "foreign_client.py",
            "--target",
            &target(&server),
            "--origin",
            common::ORIGIN,
        ])
        .args(["--log-key", &server.log_key(), "--regulator-seed-file"])
        .arg(seed_file(&server))
        .output()
        .unwrap();
    let text = passed("foreign_client.py", &output);
    assert!(
        text.lines().filter(|line| line.starts_with("ok: ")).count() > 30,
        "{text}"
    );
    passed("judge.py", &judge(&server));
}

#[test]
fn given_a_simulated_province_when_judged_from_the_raw_entries_then_the_verdicts_agree() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    let key = server.data.join("regulator.key");
    let truth = server.data.join("truth.json");
    let output = server.run(&[
        "simulate",
        "--seed",
        "5",
        "--units",
        "3000",
        "--parties",
        "60",
        "--key",
        key.to_str().unwrap(),
        "--truth",
        truth.to_str().unwrap(),
    ]);
    passed("simulate", &output);
    let text = passed("judge.py", &judge(&server));
    assert!(text.contains("the judge agrees"), "{text}");
}
