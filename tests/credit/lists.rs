//! The process of the lists with everybody trying every step, who sees what, and admission.

use std::sync::Arc;

use custody::client::Ledger;
use custody::core::credit::admission::{Admission, Admissions, Bar, Restriction};
use custody::core::record::Millis;
use custody::core::tlog::LogIndex;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_every_step_of_a_listing_when_everybody_tries_it_then_only_who_may_does() {
    use wire::CreditSeverity::Serious;
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let subject = Arc::clone(&w.trade.stranger);
    let (other, device) = (Arc::clone(&w.trade.courier), Arc::clone(&w.trade.scanner));
    let firms = [&subject, &other, &device, &platform];
    let all_but_root = [&subject, &other, &device, &platform, &agency];
    let all_but_agency = firms;
    let all_but_subject = [&root, &agency, &other, &device, &platform];

    w.only(&root, &all_but_root, short_terms()).await;
    let at = w
        .only(&agency, &all_but_agency, proposal(STRANGER, Serious))
        .await;
    w.only(&agency, &firms, notice(at)).await;
    let early = w.refused(&agency, decision(at, Serious, 12)).await;
    assert_eq!(early.reason, "FAILED_PRECONDITION", "it was not heard");
    w.only(
        &subject,
        &all_but_subject,
        statement(at, "it was our driver"),
    )
    .await;
    w.only(&agency, &firms, decision(at, Serious, 12)).await;
    assert_eq!(w.public_listings().await, [0; 0], "not in public yet");
    let publication = Body::PublishListing(wire::PublishListing { listing: at });
    w.only(&agency, &firms, publication).await;
    assert_eq!(w.public_listings().await, [at]);

    let objection = Body::ObjectToListing(wire::ObjectToListing {
        listing: at,
        reason: "the goods were ours".into(),
        document: digest(),
    });
    w.only(&subject, &all_but_subject, objection).await;
    let answer = Body::AnswerObjection(wire::AnswerObjection {
        listing: at,
        answer: wire::Answer::Refused.into(),
        document: "2026-30".into(),
    });
    w.only(&agency, &firms, answer).await;

    let repaired = w
        .say(&subject, commitment(wire::CommitmentKind::Repair))
        .await;
    let request = Body::RequestRepair(wire::RequestRepair {
        listing: at,
        commitment: repaired,
        proof: digest(),
    });
    w.only(&subject, &all_but_subject, request).await;
    let granted = Body::DecideRepair(wire::DecideRepair {
        listing: at,
        answer: wire::Answer::Granted.into(),
        document: "2026-40".into(),
    });
    w.only(&agency, &firms, granted).await;
    assert_eq!(w.public_listings().await, [0; 0], "gone from public view");

    let end = |listing| {
        Body::EndListing(wire::EndListing {
            listing,
            legal_basis: "judgement".into(),
            document: "(2026) 12".into(),
        })
    };
    let over = w.refused(&agency, end(at)).await;
    assert_eq!(over.reason, "FAILED_PRECONDITION");
    // What one authority began another doesn't go on with, but a root key may.
    let by_root = w.say(&root, proposal(COURIER, Serious)).await;
    w.say(&root, notice(by_root)).await;
    w.say(&other, statement(by_root, "")).await;
    w.say(&root, decision(by_root, Serious, 1)).await;
    w.only(&root, &all_but_root, end(by_root)).await;

    let kept = w
        .say(&subject, commitment(wire::CommitmentKind::Voluntary))
        .await;
    let breach = Body::RecordBreach(wire::RecordBreach {
        commitment: kept,
        reason: "handed over what it did not hold".into(),
        document: "B-1".into(),
        evidence: vec![at],
    });
    w.only(&agency, &firms, breach).await;
    w.only(&agency, &firms, credit_record(STRANGER, Serious))
        .await;
    // A delegated key signs custody records only.
    let refusal = w
        .refused(&device, commitment(wire::CommitmentKind::Voluntary))
        .await;
    assert_eq!(refusal.reason, "UNAUTHORISED");

    w.audited();
}

/// Puts a firm on the black list by the root key.
#[tokio::test(flavor = "multi_thread")]
async fn given_firms_of_all_standings_when_a_platform_asks_then_the_signed_answer_says_who_may_enter()
 {
    use wire::CreditSeverity::{Minor, Ordinary, Serious};
    let mut w = World::start().await;
    let (root, agency, _) = w.offices();
    w.say(&root, short_terms()).await;
    let (maker, courier, stranger) = (
        Arc::clone(&w.trade.maker),
        Arc::clone(&w.trade.courier),
        Arc::clone(&w.trade.stranger),
    );
    blacklist(&mut w, &maker, MAKER, Minor).await;
    let ordinary = blacklist(&mut w, &courier, COURIER, Ordinary).await;
    let serious = blacklist(&mut w, &stranger, STRANGER, Serious).await;
    let asked = [MAKER, COURIER, STRANGER, &gln(2), &gln(9)];
    let answer = w.admission(&asked).await;
    let words: Vec<Admission> = answer.parties.iter().map(|(_, word)| *word).collect();
    assert_eq!(
        words,
        [
            Admission::Allowed,
            Admission::Restricted(Restriction::Listing(LogIndex(ordinary))),
            Admission::Barred(Bar::Listing(LogIndex(serious))),
            Admission::Allowed,
            Admission::Unknown,
        ]
    );
    let suspension = Body::SuspendParty(wire::SuspendParty {
        party: MAKER.into(),
        reason: "under investigation".into(),
    });
    w.say(&root, suspension).await;
    let answer = w.admission(&[MAKER]).await;
    assert_eq!(answer.parties[0].1, Admission::Barred(Bar::Suspended));
    // The answer is good for whoever has the log's key, and for nobody else's log.
    let platform = w.server.as_party(&w.platform, &gln(2)).await;
    let request = wire::CheckPartiesRequest {
        parties: vec![MAKER.into()],
    };
    let note = platform
        .listing()
        .check_parties(request.clone())
        .await
        .unwrap()
        .into_inner()
        .note;
    let key = w.server.log_key().parse().unwrap();
    let later = Millis(custody::sequence::now().0 + 300_001);
    assert!(Admissions::verify(&note, &key, later).is_err(), "outdated");
    let mut forged = note.clone();
    let at = forged
        .windows(6)
        .position(|part| part == b"BARRED")
        .unwrap();
    forged[at..at + 6].copy_from_slice(b"barred");
    let now = custody::sequence::now();
    assert!(Admissions::verify(&forged, &key, now).is_err(), "forged");
    // Only platforms and regulators may ask.
    for (ledger, code) in [
        (w.server.ledger().await, Code::Unauthenticated),
        (
            w.server.as_party(&courier, COURIER).await,
            Code::PermissionDenied,
        ),
    ] {
        let status = ledger.listing().check_parties(request.clone()).await;
        assert_eq!(status.unwrap_err().code(), code);
    }
    let by_agency = w.server.as_party(&agency, &gln(1)).await;
    by_agency.listing().check_parties(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_goods_with_a_listed_courier_when_it_scans_them_then_the_bundle_still_verifies() {
    let mut w = World::start().await;
    let root = Arc::clone(&w.root);
    w.say(&root, short_terms()).await;
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let drafts = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], handover(COURIER)),
        draft(&courier, &[unit(1)], accept()),
    ];
    all_accepted(w.session.submit(drafts).await.unwrap());
    let listing = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Serious).await;
    let mut scanned = draft(&w.trade.scanner, &[unit(1)], scan());
    let before = scanned.clone();
    scanned.record.claimed_time_ms = custody::sequence::now().0;
    let receipts = all_accepted(w.session.submit(vec![before, scanned]).await.unwrap());
    let found = |receipt: &wire::Receipt| {
        let findings = receipt.verdict.clone().unwrap_or_default().findings;
        let kinds = findings.iter().map(|f| (f.kind(), f.evidence.clone()));
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(found(&receipts[0]), [], "it happened before the listing");
    let expected = (wire::FindingKind::BlacklistedParty, vec![listing]);
    assert_eq!(found(&receipts[1]), [expected]);
    let file = w.server.data.join("unit.bundle");
    let file = file.to_str().unwrap();
    w.server
        .run_ok(&["bundle", &unit(1).to_string(), "-o", file]);
    let said = w
        .server
        .run_ok(&["verify", file, "--trust", &w.server.log_key()]);
    assert!(said.contains("BLACKLISTED_PARTY"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_files_and_lists_when_different_people_look_then_each_sees_what_is_theirs() {
    use wire::CreditSeverity::{Minor, Ordinary, Serious};
    let mut w = World::start().await;
    let (root, agency, _) = w.offices();
    let (courier, trader) = (Arc::clone(&w.trade.courier), Arc::clone(&w.trader));
    let made = w
        .say(&courier, commitment(wire::CommitmentKind::Voluntary))
        .await;
    let minor = w.say(&agency, credit_record(COURIER, Minor)).await;
    let fined = w.say(&agency, credit_record(COURIER, Ordinary)).await;
    let silent = blacklist(&mut w, &courier, COURIER, Minor).await;
    let public = blacklist(&mut w, &courier, COURIER, Ordinary).await;

    // A natural person: nothing is said in the log, and nothing is published.
    let spoken = w.refused(&root, credit_record(&gln(3), Ordinary)).await;
    assert_eq!(spoken.field, "add_credit_record.text");
    let mut hidden = proposal(&gln(3), Serious);
    if let Body::ProposeListing(body) = &mut hidden {
        (body.reason, body.reason_commitment) = (String::new(), digest());
    }
    let person = w.say(&root, hidden).await;
    w.say(&root, notice(person)).await;
    w.say(&trader, statement(person, "")).await;
    w.say(&root, decision(person, Serious, 12)).await;
    let publication = Body::PublishListing(wire::PublishListing { listing: person });
    let refusal = w.refused(&root, publication).await;
    assert_eq!(refusal.reason, "FAILED_PRECONDITION", "never published");
    // Nor is it told at the goods that it holds: everybody reads those.
    let maker = Arc::clone(&w.trade.maker);
    let drafts = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], handover(&gln(3))),
        draft(&trader, &[unit(1)], accept()),
    ];
    let receipts = all_accepted(w.session.submit(drafts).await.unwrap());
    let clean = |receipt: &wire::Receipt| {
        let verdict = receipt.verdict.as_ref();
        verdict.is_none_or(|verdict| verdict.findings.is_empty())
    };
    assert!(receipts.iter().all(clean));
    let answer = w.admission(&[&gln(3)]).await;
    let barred = Admission::Barred(Bar::Listing(LogIndex(person)));
    assert_eq!(
        answer.parties[0].1, barred,
        "platforms act on it all the same"
    );

    let open = w.server.ledger().await;
    for party in [COURIER, &*gln(3)] {
        w.say(&agency, open_file(party)).await;
    }
    let of_agency = w.server.as_party(&agency, &gln(1)).await;
    let own = w.server.as_party(&courier, COURIER).await;
    let of_person = w.server.as_party(&trader, &gln(3)).await;
    let of_maker = w.server.as_party(&w.trade.maker, MAKER).await;
    let file = async |ledger: &Ledger, party: &str| {
        let request = wire::GetCreditFileRequest {
            party: party.into(),
            ..Default::default()
        };
        let answer = ledger.credit().get_credit_file(request).await;
        answer.map(|page| {
            use wire::credit_item::Item;
            let items = page.into_inner().items.into_iter();
            items
                .map(|item| match item.item.unwrap() {
                    Item::Commitment(item) => item.log_index,
                    Item::Record(item) => item.log_index,
                    Item::Listing(item) => item.log_index,
                    Item::Measure(item) => item.log_index,
                })
                .collect::<Vec<_>>()
        })
    };
    for stranger in [&open, &of_maker, &of_person] {
        let seen = file(stranger, COURIER).await.unwrap();
        assert_eq!(seen, [made, fined, public]);
    }
    for insider in [&own, &of_agency] {
        let seen = file(insider, COURIER).await.unwrap();
        assert_eq!(seen, [made, minor, fined, silent, public]);
    }
    for stranger in [&open, &own] {
        let status = file(stranger, &gln(3)).await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::NotFound,
            "a natural person has no file"
        );
    }
    for insider in [&of_person, &of_agency] {
        assert_eq!(file(insider, &gln(3)).await.unwrap(), [person]);
    }
    let listing = async |ledger: &Ledger, log_index: u64| {
        let request = wire::GetListingRequest { log_index };
        let answer = ledger.listing().get_listing(request).await;
        answer.map(|answer| answer.into_inner().listing.unwrap())
    };
    for (at, everyone) in [(silent, false), (public, true), (person, false)] {
        assert_eq!(listing(&open, at).await.is_ok(), everyone, "{at}");
        assert!(listing(&of_agency, at).await.is_ok());
    }
    let own_one = listing(&own, silent).await.unwrap();
    assert_eq!(own_one.phase(), wire::ListingPhase::InForce);
    assert_eq!(own_one.published_ms, 0);
    assert_eq!(w.public_listings().await, [public]);
    let request = wire::ListListingsRequest::default();
    let all = of_agency.listing().list_listings(request).await.unwrap();
    assert_eq!(all.into_inner().listings.len(), 3);
    let get = wire::GetCommitmentRequest { log_index: made };
    let kept = open.credit().get_commitment(get).await.unwrap();
    assert_eq!(kept.into_inner().commitment.unwrap().party, COURIER);
}
