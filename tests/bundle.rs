//! Unit bundles: they verify offline, and no byte of one may be changed.

mod common;

use common::{
    Server, Trade, accept, all_accepted, case, commission, draft, handover, pack, scan, unit,
};
use custody::core::bundle::{Report, verify};
use custody::core::wire;
use prost::Message as _;

async fn bundle(server: &Server, unit: &str) -> Vec<u8> {
    let request = wire::GetBundleRequest { unit: unit.into() };
    let answer = server
        .ledger()
        .await
        .provenance()
        .get_bundle(request)
        .await
        .unwrap();
    answer.into_inner().bundle.unwrap().encode_to_vec()
}

fn check(server: &Server, bytes: &[u8]) -> Report {
    verify(bytes, &[server.log_key().parse().unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_clean_and_a_broken_unit_when_any_byte_changes_then_verification_fails() {
    let server = Server::start();
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let drafts = vec![
        draft(&trade.maker, &[unit(1), unit(2)], commission()),
        draft(&trade.maker, &[case(1)], commission()),
        draft(&trade.maker, &[unit(1)], pack(case(1))),
        draft(&trade.maker, &[case(1)], handover(common::COURIER)),
        draft(&trade.scanner, &[case(1)], accept()),
        draft(&trade.scanner, &[case(1)], scan()),
    ];
    all_accepted(session.submit(drafts).await.unwrap());
    let theft = custody::client::Draft {
        advances: false,
        ..draft(&trade.stranger, &[unit(2)], scan())
    };
    all_accepted(session.submit(vec![theft]).await.unwrap());

    let clean = bundle(&server, &unit(1).to_string()).await;
    let report = check(&server, &clean);
    assert!(report.passed(), "{report:?}");
    assert_eq!(report.standing.unwrap().word, wire::StandingWord::InTransit);

    let broken = bundle(&server, &unit(2).to_string()).await;
    let report = check(&server, &broken);
    assert!(report.passed(), "{report:?}");
    assert_eq!(report.standing.unwrap().word, wire::StandingWord::Suspect);

    for bytes in [clean, broken] {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(
                !check(&server, &changed).passed(),
                "byte {at} changed, and nobody noticed"
            );
        }
        for length in (0..bytes.len()).step_by(97) {
            assert!(
                !check(&server, &bytes[..length]).passed(),
                "cut at {length}"
            );
        }
    }
}

/// The check that has to fail, and what is changed.
type Lie = (&'static str, Box<dyn Fn(&mut wire::UnitBundle)>);

/// A liar would make the digest fit: everything that is proven must hold without it.
#[tokio::test(flavor = "multi_thread")]
async fn given_a_lie_with_a_fitting_digest_when_verified_then_the_proof_fails() {
    let server = Server::start();
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let drafts = vec![
        draft(&trade.maker, &[unit(1)], commission()),
        draft(&trade.maker, &[unit(1)], handover(common::COURIER)),
        draft(&trade.scanner, &[unit(1)], accept()),
    ];
    all_accepted(session.submit(drafts).await.unwrap());
    let honest = wire::UnitBundle::decode(bundle(&server, &unit(1).to_string()).await.as_slice());
    let honest = honest.unwrap();
    let lies: Vec<Lie> = vec![
        ("inclusion", Box::new(|b| b.entries[3].proof[0][0] ^= 1)),
        (
            "inclusion",
            Box::new(|b| {
                let mut entry = wire::Entry::decode(b.entries[3].entry.clone()).unwrap();
                entry.time_ms += 1;
                b.entries[3].entry = entry.encode_to_vec().into();
            }),
        ),
        (
            "inclusion",
            Box::new(|b| b.entries.last_mut().unwrap().index += 1),
        ),
        ("format", Box::new(|b| b.entries.swap(3, 4))),
        (
            "chain",
            Box::new(|b| {
                b.entries.remove(0);
            }),
        ),
        (
            "checkpoint",
            Box::new(|b| {
                let text = String::from_utf8(b.checkpoint.clone()).unwrap();
                b.checkpoint = text.replacen("\n1", "\n2", 1).into_bytes();
            }),
        ),
        (
            "checkpoint",
            Box::new(|b| b.origin = "other.example/ledger".into()),
        ),
        (
            "chain",
            Box::new(|b| {
                // The handover in the middle is left out.
                let at = b.entries.len() - 2;
                b.entries.remove(at);
            }),
        ),
        ("chain", Box::new(|b| b.unit = unit(9).to_string())),
    ];
    for (expected, lie) in lies {
        let mut bundle = honest.clone();
        lie(&mut bundle);
        bundle.digest = custody::core::bundle::digest(&bundle);
        let report = check(&server, &bundle.encode_to_vec());
        let failed: Vec<_> = report.checks.iter().filter(|check| !check.passed).collect();
        assert_eq!(failed.len(), 1, "{report:?}");
        assert_eq!(failed[0].name, expected, "{report:?}");
    }
}
