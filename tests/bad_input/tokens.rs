//! Tokens of regulators and auditors.

use std::sync::Arc;

use custody::client::{Ledger, Token};
use custody::core::signature::Signer;
use custody::core::wire;
use pasetors::claims::Claims;
use tonic::{Code, Status};

use crate::common::*;
use crate::world::*;

/// Claims as a regulator's token has them, for a test to spoil.
fn claims(signer: &Signer, party: &str) -> Claims {
    let mut claims = Claims::new_expires_in(&std::time::Duration::from_secs(600)).unwrap();
    claims.issuer(party).unwrap();
    claims.subject(&signer.key_id().to_string()).unwrap();
    claims.audience(ORIGIN).unwrap();
    claims
}

fn token_of(signer: &Signer, claims: &Claims) -> String {
    use pasetors::keys::AsymmetricSecretKey;
    let pair = [&signer.seed()[..], signer.public_key().as_bytes()].concat();
    let secret = AsymmetricSecretKey::<pasetors::version4::V4>::from(&pair).unwrap();
    pasetors::public::sign(&secret, claims, None, None).unwrap()
}

/// Every call that needs a regulator's token, and `StreamEntries` last.
async fn guarded(ledger: &Ledger) -> Vec<(&'static str, Result<(), Status>)> {
    let (mut desk, mut log, mut alerts) = (ledger.regulator(), ledger.log(), ledger.alert());
    let mut exports = ledger.export();
    macro_rules! call {
        ($client:ident.$method:ident($request:ident)) => {
            (
                stringify!($method),
                $client.$method(wire::$request::default()).await.map(|_| ()),
            )
        };
    }
    let unit = unit(1).to_string();
    let verify = desk
        .verify_unit(wire::VerifyUnitRequest { unit })
        .await
        .map(|_| ());
    vec![
        call!(desk.list_findings(ListFindingsRequest)),
        call!(desk.watch_findings(WatchFindingsRequest)),
        ("verify_unit", verify),
        call!(desk.list_entries(ListEntriesRequest)),
        call!(desk.stats(StatsRequest)),
        call!(alerts.list_alerts(ListAlertsRequest)),
        call!(alerts.watch_alerts(WatchAlertsRequest)),
        call!(exports.export_since(ExportSinceRequest)),
        call!(log.stream_entries(StreamEntriesRequest)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_token_that_is_not_good_when_a_guarded_call_is_made_then_it_is_refused() {
    let mut world = World::start().await;
    let regulator = world.server.regulator_key();
    let maker = Arc::clone(&world.trade.maker);
    let (device, revoked) = (key(60), key(61));
    let setup = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&regulator, &[], delegate(&device, REGULATOR)),
        draft(&regulator, &[], add_key(&revoked, REGULATOR)),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());
    let good = token_of(&regulator, &claims(&regulator, REGULATOR));
    let before_revocation = token_of(&revoked, &claims(&revoked, REGULATOR));
    for token in [&good, &before_revocation] {
        let ledger = world.ledger.with_token(Token::bearer(token).unwrap());
        for (call, outcome) in guarded(&ledger).await {
            outcome.unwrap_or_else(|status| panic!("{call}: {status}"));
        }
    }
    let superseded = revoke(&revoked, wire::RevocationReason::Superseded, 0);
    world.accepted(&regulator, &[], superseded).await;

    let spoiled = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims(&regulator, REGULATOR);
        change(&mut claims);
        token_of(&regulator, &claims)
    };
    let mut tampered = good.clone().into_bytes();
    let at = tampered.len() - 20;
    tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
    let stranger = key(62);
    let other_key = token_of(&stranger, &claims(&regulator, REGULATOR));
    let invalid: Vec<(&str, String)> = vec![
        ("garbage", "garbage".into()),
        ("empty", String::new()),
        (
            "a token of another purpose",
            good.replacen("v4.public.", "v4.local.", 1),
        ),
        (
            "a token of another version",
            good.replacen("v4.public.", "v2.public.", 1),
        ),
        ("tampered", String::from_utf8(tampered).unwrap()),
        ("cut", good[..good.len() - 4].to_owned()),
        ("longer than 4,096", format!("{good}{}", "A".repeat(4096))),
        (
            "for another ledger",
            spoiled(&|c| c.audience("other.example/ledger").unwrap()),
        ),
        (
            "expired",
            spoiled(&|c| {
                c.issued_at("2026-01-01T00:00:00Z").unwrap();
                c.not_before("2026-01-01T00:00:00Z").unwrap();
                c.expiration("2026-01-01T00:10:00Z").unwrap();
            }),
        ),
        (
            "from tomorrow on",
            spoiled(&|c| {
                c.issued_at("2199-01-01T00:00:00Z").unwrap();
                c.not_before("2199-01-01T00:00:00Z").unwrap();
                c.expiration("2199-01-01T00:10:00Z").unwrap();
            }),
        ),
        (
            "longer than an hour",
            spoiled(&|c| {
                c.set_expires_in(&std::time::Duration::from_secs(3601))
                    .unwrap();
            }),
        ),
        ("without end", spoiled(&Claims::non_expiring)),
        ("by another's key", other_key),
        (
            "by a key that nobody registered",
            token_of(&stranger, &claims(&stranger, REGULATOR)),
        ),
        (
            "by a delegated key",
            token_of(&device, &claims(&device, REGULATOR)),
        ),
        ("by a revoked key", before_revocation),
        (
            "in another's name",
            token_of(&maker, &claims(&maker, REGULATOR)),
        ),
        ("without a key", spoiled(&|c| c.subject("nobody").unwrap())),
    ];
    let before = world.size().await;
    for (given, token) in &invalid {
        let ledger = world.ledger.with_token(Token::bearer(token).unwrap());
        for (call, outcome) in guarded(&ledger).await {
            let given = format!("{call}, {given}");
            let status = outcome.expect_err(&given);
            check_status(&given, &status, Code::Unauthenticated, "TOKEN_INVALID", "");
        }
    }
    for (call, outcome) in guarded(&world.ledger).await {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::Unauthenticated, "TOKEN_MISSING", "");
    }
    let makers = token_of(&maker, &claims(&maker, MAKER));
    for (call, outcome) in guarded(&world.ledger.with_token(Token::bearer(&makers).unwrap())).await
    {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::PermissionDenied, "ROLE_MISSING", "");
    }
    assert_eq!(world.size().await, before);
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_auditors_token_when_used_then_it_reads_the_log_and_nothing_else() {
    let mut world = World::start().await;
    let (regulator, auditor) = (world.server.regulator_key(), key(63));
    let party = gln(5);
    let roles = [wire::Role::Auditor];
    let setup = vec![
        draft(&world.trade.maker, &[unit(1)], commission()),
        draft(&auditor, &[], register(&auditor, &party, &roles)),
        draft(&regulator, &[], approve(&party, &roles)),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());
    let token = token_of(&auditor, &claims(&auditor, &party));
    let ledger = world.ledger.with_token(Token::bearer(&token).unwrap());
    let size = world.size().await;
    let mut calls = guarded(&ledger).await;
    let (name, streamed) = calls.pop().unwrap();
    assert_eq!(name, "stream_entries");
    streamed.expect("an auditor reads the log");
    for (call, outcome) in calls {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::PermissionDenied, "ROLE_MISSING", "");
    }
    let request = wire::StreamEntriesRequest {
        first: 0,
        end: size,
    };
    let mut stream = ledger
        .log()
        .stream_entries(request)
        .await
        .unwrap()
        .into_inner();
    let mut count = 0;
    while let Some(page) = stream.message().await.unwrap() {
        count += page.entries.len() as u64;
    }
    assert_eq!(count, size);

    // Suspended, it is out at once, with the token that it has.
    world.accepted(&regulator, &[], suspend(&party)).await;
    for (call, outcome) in guarded(&ledger).await {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::PermissionDenied, "ROLE_MISSING", "");
    }
    world.stays_intact().await;
}
