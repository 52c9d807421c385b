//! The whole of it on a simulated province: every planted break is found and nothing besides, the
//! audit passes, and the bundle of *every* unit verifies offline to the standing that the server
//! tells.

mod common;

use std::collections::BTreeSet;

use common::Server;
use custody::core::bundle::{decode_entry, verify};
use custody::core::wire;
use prost::Message as _;

async fn units(server: &Server) -> BTreeSet<String> {
    let request = wire::StreamEntriesRequest { first: 0, end: 0 };
    let mut stream = server
        .regulator()
        .await
        .log()
        .stream_entries(request)
        .await
        .unwrap()
        .into_inner();
    let mut units = BTreeSet::new();
    while let Some(page) = stream.message().await.unwrap() {
        for entry in page.entries {
            let record = decode_entry(&entry.entry).unwrap().record;
            units.extend(record.subjects().iter().map(ToString::to_string));
        }
    }
    units
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_province_when_it_has_traded_then_all_breaks_are_found_and_proven() {
    let server = Server::start();
    let key = server.data.join("regulator.key");
    let truth = server.data.join("truth.json");
    let arguments = ["--seed", "11", "--units", "500", "--parties", "40", "--key"];
    let report = server.run_ok(
        &[
            &["simulate"],
            arguments.as_slice(),
            &[key.to_str().unwrap(), "--truth", truth.to_str().unwrap()],
        ]
        .concat(),
    );
    assert!(
        report.contains("found every one of them, and flagged no clean unit"),
        "{report}"
    );
    assert!(
        report
            .contains("3 listings, 2 measures, 3 claims, a case and a score stand as they should"),
        "{report}"
    );

    let trust = server.data.join("log.vkey");
    server.run_ok(&[
        "audit",
        "--key",
        key.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
    ]);

    let trusted = [server.log_key().parse().unwrap()];
    let ledger = server.ledger().await;
    let units: Vec<String> = units(&server).await.into_iter().collect();
    assert!(units.len() > 500);
    for page in units.chunks(512) {
        let request = wire::BatchGetStandingsRequest {
            units: page.to_vec(),
        };
        let answer = ledger
            .provenance()
            .batch_get_standings(request)
            .await
            .unwrap()
            .into_inner();
        for told in answer.standings {
            let request = wire::GetBundleRequest {
                unit: told.unit.clone(),
            };
            let answer = ledger
                .provenance()
                .get_bundle(request)
                .await
                .unwrap()
                .into_inner();
            let report = verify(&answer.bundle.unwrap().encode_to_vec(), &trusted);
            assert!(report.passed(), "{}: {report:#?}", told.unit);
            let proven = report.standing.unwrap();
            let reasons: Vec<_> = proven.reasons.iter().map(|reason| &reason.text).collect();
            let expected: Vec<_> = told.reasons.iter().map(|reason| &reason.text).collect();
            assert_eq!(
                (proven.word, reasons),
                (told.word(), expected),
                "{}",
                told.unit
            );
        }
    }
}
