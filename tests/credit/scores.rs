//! Scores, against a second account of the raw entries.

use std::sync::Arc;

use custody::client::Ledger;
use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::world::*;

/// All entries, as records with their signer's key and verdict.
async fn raw_entries(w: &World) -> Vec<(wire::Record, wire::Entry)> {
    use prost::Message as _;
    let regulator = w.server.regulator().await;
    let request = wire::StreamEntriesRequest::default();
    let mut stream = regulator
        .log()
        .stream_entries(request)
        .await
        .unwrap()
        .into_inner();
    let size = regulator.checkpoint().await.unwrap();
    let key = w.server.log_key().parse().unwrap();
    let size = custody::core::tlog::checkpoint::Checkpoint::verify(&size.0, &[key], ORIGIN);
    let size = usize::try_from(size.unwrap().size().get()).unwrap();
    let mut entries = Vec::new();
    while entries.len() < size {
        let message = stream.message().await.unwrap().expect("more entries");
        for entry in message.entries {
            let entry = wire::Entry::decode(entry.entry.as_ref()).unwrap();
            let payload = entry.envelope.clone().unwrap().payload;
            entries.push((wire::Record::decode(payload.as_ref()).unwrap(), entry));
        }
    }
    entries
}

/// The score by the published table, from nothing but raw entries: an account of its own, that knows
/// neither rules nor views.
fn score_by_hand(entries: &[(wire::Record, wire::Entry)], firm: &str, keys: &[Vec<u8>]) -> i64 {
    use std::collections::HashMap;
    const HOUR: u64 = 3_600_000;
    let courier_keys: Vec<Vec<u8>> = keys.to_vec();
    let mut since: HashMap<String, u64> = HashMap::new();
    let mut with_a_courier: HashMap<String, bool> = HashMap::new();
    let (mut passed, mut late, mut collected, mut unchecked) = (0, 0, 0, 0);
    let mut points = 1_000;
    let mut found: HashMap<(u64, i32), bool> = HashMap::new();
    for (index, (record, entry)) in (0u64..).zip(entries) {
        let ours = keys.contains(&record.key_id);
        let verdict = entry.verdict.clone().unwrap_or_default();
        let beside = !verdict.beside.is_empty();
        for finding in verdict.findings.iter().filter(|_| ours) {
            found.insert((index, finding.kind), false);
        }
        match record.body.as_ref().unwrap() {
            Body::Accept(accept) if !beside => {
                for unit in &record.units {
                    let before = with_a_courier.get(&unit.id).copied().unwrap_or(false);
                    if ours && !before {
                        collected += 1;
                        unchecked += i64::from(accept.checks.len() < 3);
                    }
                    since.insert(unit.id.clone(), record.claimed_time_ms);
                    let courier = courier_keys.contains(&record.key_id);
                    with_a_courier.insert(unit.id.clone(), courier);
                }
            }
            Body::Handover(_) | Body::Deliver(_) if !beside && ours => {
                for unit in &record.units {
                    passed += 1;
                    let held = record.claimed_time_ms - since[&unit.id];
                    late += i64::from(held > 72 * HOUR);
                }
            }
            Body::DecideFinding(decision) if decision.decision == 1 => {
                let key = (decision.log_index, decision.kind);
                found.entry(key).and_modify(|confirmed| *confirmed = true);
            }
            Body::AddCreditRecord(added) if added.subject == firm => {
                points += match (added.kind, added.severity) {
                    (2, _) => 20,
                    (_, 1) => -10,
                    (_, 2) => -50,
                    _ => -150,
                };
            }
            Body::AnswerDeduction(answer) if answer.answer == 1 => {
                let (objection, _) = &entries[usize::try_from(answer.objection).unwrap()];
                let Some(Body::ObjectToDeduction(objection)) = &objection.body else {
                    panic!("{objection:?}");
                };
                use wire::deduction_ref::Deduction;
                match objection
                    .deduction
                    .as_ref()
                    .unwrap()
                    .deduction
                    .as_ref()
                    .unwrap()
                {
                    Deduction::Lapse(lapse) => {
                        let at = usize::try_from(lapse.log_index).unwrap();
                        unchecked -= i64::try_from(entries[at].0.units.len()).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
            _ => {}
        }
    }
    points -= 50 * i64::try_from(found.values().filter(|confirmed| **confirmed).count()).unwrap();
    points -= 200 * late / passed;
    points -= 300 * unchecked / collected;
    points
}

/// The score's evidence verifies with nothing but the log's key, and no changed one does.
fn proven_offline(w: &World, points: u32) {
    use custody::core::credit::evidence::verify;
    use prost::Message as _;
    let data = &w.server.data;
    let [key, trust, file] =
        ["regulator.key", "log.vkey", "score.evidence"].map(|name| data.join(name));
    let [key, trust, file] = [&key, &trust, &file].map(|path| path.to_str().unwrap());
    let write = [
        "credit", "evidence", COURIER, "--key", key, "--trust", trust,
    ];
    w.server.run_ok(&[&write[..], &["-o", file]].concat());
    let check = custody()
        .args(["credit", "verify", file, "--trust", trust])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        check.status.success() && said.contains(&format!("ok: {points} points")),
        "{said}"
    );
    let trusted = w.server.log_key().parse().unwrap();
    let sound = wire::CreditEvidence::decode(&*std::fs::read(file).unwrap()).unwrap();
    let found = verify(&sound.encode_to_vec(), &trusted).unwrap();
    assert_eq!((found.points, found.unnamed), (i64::from(points), 0));
    type Change = fn(&mut wire::CreditEvidence);
    let changes: [(&str, Change); 10] = [
        ("format", |e| e.format = 2),
        ("party", |e| e.party = MAKER.into()),
        ("checkpoint", |e| e.checkpoint[30] ^= 1),
        ("points of an item", |e| {
            e.score.as_mut().unwrap().items[0].points += 1
        }),
        ("points", |e| e.score.as_mut().unwrap().points += 1),
        ("tier", |e| e.score.as_mut().unwrap().tier = "A".into()),
        ("an item twice", |e| {
            let score = e.score.as_mut().unwrap();
            score.items.push(score.items[0].clone());
        }),
        ("another entry", |e| {
            let other = e.entries[0].index;
            e.score.as_mut().unwrap().items[0].entries[0] = other;
        }),
        ("a proof", |e| e.entries[1].proof[0][0] ^= 1),
        ("a missing key", |e| drop(e.keys.remove(0))),
    ];
    for (what, change) in changes {
        let mut changed = sound.clone();
        change(&mut changed);
        assert!(
            verify(&changed.encode_to_vec(), &trusted).is_err(),
            "{what}"
        );
    }
    let items = &sound.score.as_ref().unwrap().items;
    let named: Vec<u64> = items.iter().flat_map(|item| item.entries.clone()).collect();
    assert!(named.len() > 5 && sound.entries.len() > named.len());
    for index in named {
        let mut less = sound.clone();
        less.entries.retain(|entry| entry.index != index);
        assert!(
            verify(&less.encode_to_vec(), &trusted).is_err(),
            "without {index}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_what_a_courier_did_when_scored_then_a_second_account_of_the_raw_entries_agrees() {
    const HOUR: u64 = 3_600_000;
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let device = Arc::clone(&w.trade.scanner);
    let at = |mut draft: custody::client::Draft, hours: u64| {
        draft.record.claimed_time_ms = TIME + hours * HOUR;
        draft
    };
    let accept_with = |checks: &[i32]| {
        Body::Accept(wire::Accept {
            condition: 1,
            checks: checks.to_vec(),
            ..Default::default()
        })
    };
    let units = [unit(1), unit(2), unit(3), unit(4), unit(5)];
    let drafts = vec![
        at(draft(&maker, &units, commission()), 0),
        at(draft(&maker, &units, handover(COURIER)), 1),
        at(draft(&device, &units[..3], accept_with(&[1, 2, 3])), 2),
        at(draft(&courier, &units[3..4], accept_with(&[1, 2])), 2),
        at(draft(&courier, &units[4..], accept_with(&[])), 2),
        at(draft(&device, &units[..1], handover(MAKER)), 2 + 72),
        at(draft(&device, &units[1..2], handover(MAKER)), 2 + 73),
        at(draft(&courier, &units[3..4], handover(MAKER)), 2 + 80),
        draft(&maker, &[unit(9)], commission()),
    ];
    all_accepted(w.session.submit(drafts).await.unwrap());
    let mut theft = draft(&device, &[unit(9)], scan());
    theft.advances = false;
    let theft = all_accepted(w.session.submit(vec![theft]).await.unwrap())[0].log_index;
    let confirmation = Body::DecideFinding(wire::DecideFinding {
        log_index: theft,
        kind: wire::FindingKind::NotHolder.into(),
        unit: unit(9).to_string(),
        decision: wire::Decision::Confirmed.into(),
        reason: "it was never there".into(),
        document: "F-1".into(),
    });
    w.say(&root, confirmation).await;
    w.say(
        &agency,
        credit_record(COURIER, wire::CreditSeverity::Ordinary),
    )
    .await;
    let mut award = credit_record(COURIER, wire::CreditSeverity::Unspecified);
    if let Body::AddCreditRecord(body) = &mut award {
        body.kind = wire::CreditRecordKind::Award.into();
    }
    w.say(&agency, award).await;

    let ask = async |ledger: &Ledger, key: Option<&Signer>| {
        let request = wire::GetScoreRequest {
            party: COURIER.into(),
            key_id: key.map(|key| key.key_id().0.to_vec()).unwrap_or_default(),
            ..Default::default()
        };
        let answer = ledger.credit().get_score(request).await;
        answer.map(tonic::Response::into_inner)
    };
    w.say(&agency, open_file(COURIER)).await;
    let own = w.server.as_party(&courier, COURIER).await;
    let keys = [courier.key_id().0.to_vec(), device.key_id().0.to_vec()];
    let score = ask(&own, None).await.unwrap();
    let by_hand = score_by_hand(&raw_entries(&w).await, COURIER, &keys);
    assert_eq!(i64::from(score.points), by_hand, "{score:?}");
    // -50 finding, -200 x 2/3, -300 x 2/5, -50 record, +20 award
    assert_eq!(
        (by_hand, score.tier.as_str()),
        (1_000 - 50 - 133 - 120 - 50 + 20, "C")
    );
    let sum: i64 = score.items.iter().map(|item| item.points).sum();
    assert_eq!(1_000 + sum, by_hand, "every point has its item");
    let finding = score.items.iter().find(|item| item.points == -50).unwrap();
    assert_eq!(finding.entries, [theft], "and every item its entries");

    // The device's own: a finding, one late of two, nothing unchecked.
    let of_device = ask(&own, Some(&device)).await.unwrap();
    assert_eq!(of_device.points, 1_000 - 50 - 100);
    let of_regulator = w.server.as_party(&agency, &gln(1)).await;
    assert_eq!(ask(&of_regulator, Some(&device)).await.unwrap(), of_device);
    // A platform sees the firm, not its people; another firm sees nothing.
    let market = w.server.as_party(&platform, &gln(2)).await;
    assert_eq!(ask(&market, None).await.unwrap(), score);
    let rival = w.server.as_party(&w.trade.stranger, STRANGER).await;
    for (ledger, key) in [
        (&market, Some(&*device)),
        (&rival, None),
        (&rival, Some(&*device)),
    ] {
        let status = ask(ledger, key).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let nobody = ask(&w.server.ledger().await, None).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    let foreign = ask(&own, Some(&maker)).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);

    w.say(&root, open_file(COURIER)).await;
    proven_offline(&w, score.points);

    // The checks were done on paper: the firm objects, and the deduction is struck out.
    let unchecked = score
        .items
        .iter()
        .find(|item| item.kind() == wire::ScoreItemKind::Unchecked);
    let entry = unchecked.unwrap().entries[0];
    let objection = Body::ObjectToDeduction(wire::ObjectToDeduction {
        deduction: Some(wire::DeductionRef {
            deduction: Some(wire::deduction_ref::Deduction::Lapse(wire::LapseRef {
                key_id: keys[0].clone(),
                log_index: entry,
            })),
        }),
        document: digest(),
    });
    let objection = w.say(&courier, objection).await;
    let granted = Body::AnswerDeduction(wire::AnswerDeduction {
        objection,
        answer: wire::Answer::Granted.into(),
        document: "S-1".into(),
    });
    let firms = [&courier, &device, &maker, &platform];
    w.only(&agency, &firms, granted).await;
    let corrected = ask(&own, None).await.unwrap();
    let by_hand = score_by_hand(&raw_entries(&w).await, COURIER, &keys);
    assert_eq!(i64::from(corrected.points), by_hand);
    assert_eq!(corrected.points, score.points + 60);
    let struck = corrected
        .items
        .iter()
        .find(|item| item.kind() == wire::ScoreItemKind::StruckOut);
    assert_eq!(struck.unwrap().entries, [entry], "and still to be seen");
    w.audited();
}
