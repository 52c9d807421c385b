//! Kill -9 leaves the page cache alive, so it proves nothing about fsync. This does: under strace,
//! between the last write of a group to the write-ahead log and the first acknowledgement of the
//! group lies a successful fdatasync of the log. Without sync the same test sees none.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Server, Trade, commission, custody, draft, unit};

/// What the trace shows, in its order.
#[derive(Debug, PartialEq)]
enum Call {
    WalWrite,
    WalSync,
    /// A result that leaves for a client.
    Answer,
}

/// Starts a server under strace, submits records one by one, and reads what it called.
async fn trace(arguments: &[&str]) -> Option<Vec<Call>> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED: strace is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    common::init(&data);
    let log = folder.path().join("trace");
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-y",
            "-Y",
            "-ttt",
            "-e",
            "trace=write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync",
        ])
        .args(["-e", "signal=none", "-x", "-s", "4096", "-o"])
        .arg(&log)
        .arg(custody().get_program());
    let mut server = Server::spawn(strace, &data, arguments);
    let mut session = server.session().await;
    // One by one: else an answer of one group may rightly leave while the next is written.
    let (trade, mut drafts) = Trade::drafts(&server);
    drafts.extend((1..=20).map(|n| draft(&trade.maker, &[unit(n)], commission())));
    for draft in drafts {
        let outcome = session.submit(vec![draft]).await;
        assert!(outcome.unwrap()[0].is_ok());
    }
    // strace forwards nothing when it is killed, so the program itself is asked to end.
    let child = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid()));
    for pid in child.unwrap().split_whitespace() {
        common::signal(pid.parse().unwrap(), "TERM");
    }
    server.wait();
    Some(read_trace(&log))
}

fn read_trace(log: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(log).unwrap();
    // A call that another thread interrupts is told in two lines; it counts when it has ended.
    let mut unfinished: std::collections::HashMap<&str, &str> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        // Early warning keeps what it can derive anew, and answers nobody's record. RocksDB never lets
        // a write that wants no sync lead one that does, so this thread writes no group.
        if pid.ends_with("<signals>") {
            assert!(!rest.contains("fdatasync("), "only groups are synced");
            continue;
        }
        if rest.contains("<unfinished ...>") {
            // Bytes that begin to leave count from then on.
            if is_answer(rest) {
                calls.push(Call::Answer);
            } else {
                unfinished.insert(pid, rest);
            }
            continue;
        }
        let begun = if rest.contains("resumed>") {
            unfinished.remove(pid).unwrap_or("")
        } else {
            rest
        };
        let succeeded = !rest.contains("= -1");
        if begun.contains(".log>") && succeeded {
            if begun.contains("fdatasync(") || begun.contains("fsync(") {
                calls.push(Call::WalSync);
            } else if begun.contains("write")
                && begun.contains("/store/")
                && !begun.contains("LOG>")
            {
                calls.push(Call::WalWrite);
            }
        } else if is_answer(rest) {
            calls.push(Call::Answer);
        }
    }
    calls
}

/// Whether a call sends an HTTP/2 DATA frame (RFC 9113, section 6.1): only these carry results.
/// Headers, settings, pings and window updates leave whenever they like.
fn is_answer(call: &str) -> bool {
    let sends = ["write(", "writev(", "sendto(", "sendmsg("]
        .iter()
        .any(|name| call.contains(name));
    let socket = call.contains("TCP:[") || call.contains("socket:[");
    sends && socket && !call.contains("resumed>") && has_data_frame(&sent_bytes(call))
}

/// The bytes that strace shows of a call, in hex by `-x`.
fn sent_bytes(call: &str) -> Vec<u8> {
    let quoted = call.split('"').skip(1).step_by(2);
    quoted
        .flat_map(|text| {
            text.split("\\x")
                .skip(1)
                .map(|hex| u8::from_str_radix(hex, 16).unwrap())
        })
        .collect()
}

fn has_data_frame(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if *kind == 0 && length > 0 {
            return true;
        }
        // Flags and stream id, then the payload.
        bytes = rest.get(5 + length..).unwrap_or(&[]);
    }
    false
}

/// Answers that left after a write to the log with no sync between.
fn unsynced_answers(calls: &[Call]) -> (usize, usize, usize) {
    let (mut dirty, mut unsynced, mut writes, mut syncs) = (false, 0, 0, 0);
    for call in calls {
        match call {
            Call::WalWrite => {
                dirty = true;
                writes += 1;
            }
            Call::WalSync => {
                dirty = false;
                syncs += 1;
            }
            Call::Answer => unsynced += usize::from(dirty),
        }
    }
    (unsynced, writes, syncs)
}

#[tokio::test(flavor = "multi_thread")]
async fn given_groups_when_acknowledged_then_each_was_synced_before() {
    let Some(calls) = trace(&[]).await else {
        return;
    };
    let (unsynced, writes, syncs) = unsynced_answers(&calls);
    println!(
        "{writes} writes to the log, {syncs} syncs, {} answers",
        calls.len() - writes - syncs
    );
    assert!(
        writes >= 20 && syncs >= 20,
        "{writes} writes, {syncs} syncs"
    );
    assert_eq!(
        unsynced, 0,
        "answers left between a write to the log and its sync"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_no_sync_when_acknowledged_then_the_check_sees_it() {
    let Some(calls) = trace(&["--unsafe-no-sync"]).await else {
        return;
    };
    let (unsynced, writes, _) = unsynced_answers(&calls);
    assert!(writes >= 20);
    assert!(
        unsynced >= 20,
        "only {unsynced} unsynced answers: the check is blind"
    );
}
