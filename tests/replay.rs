//! I1: replaying the log from empty gives the same views, the same verdicts and the same root.

mod common;

use std::sync::Arc;

use common::{
    Server, Trade, accept, all_accepted, case, commission, draft, handover, pack, scan, unit,
};
use custody::admit::Admitted;
use custody::commit::Committer;
use custody::core::bundle::decode_entry;
use custody::core::record::Millis;
use custody::core::tlog::LogIndex;
use custody::sequence::{Group, Reply, Submission};
use custody::store::{Store, StoreOptions};

/// Replays a store's entries into an empty one, in groups of the size given.
fn replay(from: &Store, into: &std::path::Path, group_size: usize) -> Arc<Store> {
    let store = Arc::new(Store::create(into, &StoreOptions::default()).unwrap());
    let (mut committer, _) = Committer::new(Arc::clone(&store), 16).unwrap();
    let mut group: Option<(Millis, Vec<Submission>)> = None;
    let mut flush = |group: Option<(Millis, Vec<Submission>)>| {
        if let Some((time, submissions)) = group {
            let group = Group {
                time,
                submissions,
                ..Group::default()
            };
            committer.commit(group).unwrap();
        }
    };
    from.entries(LogIndex(0), |_, bytes| {
        let entry = decode_entry(&bytes).unwrap();
        let time = entry.time;
        let (reply, _) = Reply::new();
        let admitted = Admitted {
            id: entry.envelope.record_id(),
            envelope: entry.envelope,
            record: Box::new(entry.record),
        };
        let submission = Submission {
            records: vec![admitted],
            reply,
            places: None,
            trip: None,
        };
        match &mut group {
            Some((at, records)) if *at == time && records.len() < group_size => {
                records.push(submission);
            }
            _ => {
                flush(group.take());
                group = Some((time, vec![submission]));
            }
        }
        true
    })
    .unwrap();
    flush(group.take());
    store
}

/// Inspections are announced, drawn and done.
fn inspected(server: &Server) {
    let key = server.data.join("regulator.key");
    let inspector = common::read_key(&key).key_id().to_string();
    let files = ["plan.secret", "log.vkey"].map(|name| server.data.join(name));
    let [secret, report] = [&files[0], &files[1]].map(|path| path.to_str().unwrap());
    let signed = ["--key", key.to_str().unwrap()];
    let law = ["--legal-basis", "art. 3", "--document", "S-1"];
    let all = [
        "--rate-a", "1000", "--rate-b", "1000", "--rate-c", "1000", "--rate-d", "1000",
    ];
    let announce = [
        "inspect",
        "announce",
        "--role",
        "courier",
        "--inspector",
        &inspector,
    ];
    let announce = [&announce[..], &all, &law, &signed, &["--secret", secret]].concat();
    server.run_ok(&announce);
    let plan = server.run_ok(&["inspect", "plans", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(plan.trim()).unwrap();
    let plan = plan["logIndex"].to_string();
    let draw = ["inspect", "draw", &plan, "--secret", secret];
    server.run_ok(&[&draw[..], &signed].concat());
    let courier = common::COURIER;
    let record = [
        "inspect", "record", &plan, courier, "passed", "--date", "20261120",
    ];
    let papers = ["--document", "S-2", "--report", report];
    server.run_ok(&[&record[..], &papers, &signed].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_log_when_replayed_into_an_empty_store_then_every_byte_is_the_same() {
    let mut server = Server::start();
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let units: Vec<_> = (1..=100).map(unit).collect();
    let mut drafts = vec![
        draft(&trade.maker, &units, commission()),
        draft(&trade.maker, &[case(1)], commission()),
        draft(&trade.maker, &units[..50], pack(case(1))),
        draft(&trade.maker, &[case(1)], handover(common::COURIER)),
        draft(&trade.scanner, &[case(1)], accept()),
    ];
    drafts.extend((0..300).map(|_| draft(&trade.scanner, &[case(1)], scan())));
    all_accepted(session.submit(drafts).await.unwrap());
    let thefts = units[60..70]
        .iter()
        .map(|unit| custody::client::Draft {
            advances: false,
            ..draft(&trade.stranger, &[*unit], scan())
        })
        .collect();
    all_accepted(session.submit(thefts).await.unwrap());
    // And a whole trade, with every kind of break, listings, measures, claims and scores.
    let key = server.data.join("regulator.key");
    let size = ["--seed", "5", "--units", "300", "--parties", "20"];
    server.run_ok(&[&["simulate", "--key", key.to_str().unwrap()][..], &size].concat());
    inspected(&server);
    assert!(server.stop().success());

    let original = Store::open(&server.data.join("store"), &StoreOptions::default()).unwrap();
    let expected = original.dump().unwrap();
    for table in [
        "listings",
        "cases",
        "claims",
        "conducts",
        "lapses",
        "credit_items",
        "funds",
        "voices",
        "measures",
        "measure_reports",
        "plans",
        "inspections",
        "shares",
        "share_ends",
        "file_reads",
        "file_access",
        "volumes",
    ] {
        let rows = expected.keys().filter(|(name, _)| name == table).count();
        assert!(rows > 0, "{table} is part of the comparison");
    }
    assert!(
        original.head().unwrap().size > 256,
        "full tiles are part of the comparison"
    );
    for group_size in [1, 7, 1024] {
        let folder = tempfile::tempdir().unwrap();
        let copy = replay(&original, &folder.path().join("copy"), group_size);
        let found = copy.dump().unwrap();
        for (key, value) in &expected {
            assert_eq!(
                Some(value),
                found.get(key),
                "{}: {}",
                key.0,
                hex::encode(&key.1)
            );
        }
        assert_eq!(expected.len(), found.len(), "groups of {group_size}");
    }
}
