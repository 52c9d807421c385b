//! Credit supervision over real gRPC: the process of the lists with everybody trying every step, who
//! sees what, admission, and that an audit finds all of it again.

mod common;

use std::sync::Arc;

use common::*;
use custody::client::{Ledger, Session};
use custody::core::credit::admission::{Admission, Admissions, Bar, Restriction};
use custody::core::record::Millis;
use custody::core::signature::Signer;
use custody::core::tlog::LogIndex;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

struct World {
    server: Server,
    session: Session,
    trade: Trade,
    root: Arc<Signer>,
    agency: Arc<Signer>,
    platform: Arc<Signer>,
    trader: Arc<Signer>,
}

fn gln(number: u64) -> String {
    let body = 61_414_100_000 + number;
    format!("gln:0{body}{}", custody::core::id::gs1_check_digit(body))
}

impl World {
    async fn start() -> Self {
        let server = Server::start();
        let mut session = server.session().await;
        let trade = Trade::set_up(&server, &mut session).await;
        let root = server.regulator_key();
        let (agency, platform, trader) = (key(20), key(21), key(22));
        let mut unnamed = register(&trader, &gln(3), &[wire::Role::Seller]);
        if let Body::RegisterParty(body) = &mut unnamed {
            (body.name, body.name_commitment) = (String::new(), digest());
        }
        let mut world = Self {
            server,
            session,
            trade,
            root,
            agency,
            platform,
            trader,
        };
        let (root, agency, platform) = world.offices();
        let regulator = [wire::Role::Regulator];
        let market = [wire::Role::Platform];
        let drafts = vec![
            draft(&agency, &[], register(&agency, &gln(1), &regulator)),
            draft(&root, &[], approve(&gln(1), &regulator)),
            draft(&platform, &[], register(&platform, &gln(2), &market)),
            draft(&root, &[], approve(&gln(2), &market)),
            draft(&world.trader, &[], unnamed),
            draft(&root, &[], approve(&gln(3), &[wire::Role::Seller])),
        ];
        all_accepted(world.session.submit(drafts).await.unwrap());
        world
    }

    fn offices(&self) -> (Arc<Signer>, Arc<Signer>, Arc<Signer>) {
        let arc = Arc::clone;
        (arc(&self.root), arc(&self.agency), arc(&self.platform))
    }

    async fn say(&mut self, by: &Arc<Signer>, body: Body) -> u64 {
        let outcome = self.session.submit(vec![draft(by, &[], body)]).await;
        all_accepted(outcome.unwrap())[0].log_index
    }

    async fn refused(&mut self, by: &Arc<Signer>, body: Body) -> wire::Refusal {
        let outcome = self.session.submit(vec![draft(by, &[], body)]).await;
        outcome.unwrap().pop().unwrap().expect_err("a refusal")
    }

    /// Everybody else tries it and is refused; then whoever may does it.
    async fn only(&mut self, who: &Arc<Signer>, others: &[&Arc<Signer>], body: Body) -> u64 {
        for other in others {
            let refusal = self.refused(other, body.clone()).await;
            let name = format!("{body:?} by {}", other.key_id());
            assert_eq!(refusal.code, i32::from(Code::PermissionDenied), "{name}");
            assert_eq!(refusal.reason, "UNAUTHORISED", "{name}: {refusal:?}");
        }
        self.say(who, body).await
    }

    async fn admission(&self, parties: &[&str]) -> Admissions {
        let platform = self.server.as_party(&self.platform, &gln(2)).await;
        let request = wire::CheckPartiesRequest {
            parties: parties.iter().map(ToString::to_string).collect(),
        };
        let answer = platform.listing().check_parties(request).await.unwrap();
        let key = self.server.log_key().parse().unwrap();
        let now = custody::sequence::now();
        let answer = Admissions::verify(&answer.into_inner().note, &key, now).unwrap();
        assert!(answer.until > now && answer.until.0 <= now.0 + 300_000);
        answer
    }

    /// Replays the log, and finds all of it again.
    fn audited(&self) {
        let data = &self.server.data;
        let (key, trust) = (data.join("regulator.key"), data.join("log.vkey"));
        let [key, trust] = [&key, &trust].map(|path| path.to_str().unwrap());
        let said = self
            .server
            .run_ok(&["audit", "--key", key, "--trust", trust]);
        assert!(said.contains("hold"), "{said}");
    }

    async fn public_listings(&self) -> Vec<u64> {
        let ledger = self.server.ledger().await;
        let request = wire::ListListingsRequest::default();
        let page = ledger.listing().list_listings(request).await.unwrap();
        let listings = page.into_inner().listings;
        listings.iter().map(|listing| listing.log_index).collect()
    }
}

fn proposal(subject: &str, severity: wire::CreditSeverity) -> Body {
    let erasable = severity == wire::CreditSeverity::Minor;
    Body::ProposeListing(wire::ProposeListing {
        list: wire::ListKind::Black.into(),
        subject: subject.into(),
        severity: severity.into(),
        reason: if erasable {
            ""
        } else {
            "took goods that were not its own"
        }
        .into(),
        reason_commitment: erasable.then(digest).flatten(),
        legal_basis: "E-Commerce Law, art. 84".into(),
        document: "2026-17".into(),
        evidence: vec![1],
    })
}

fn notice(listing: u64) -> Body {
    Body::NotifyListing(wire::NotifyListing {
        listing,
        document: "2026-18".into(),
        notice: digest(),
    })
}

fn statement(listing: u64, text: &str) -> Body {
    Body::SubmitStatement(wire::SubmitStatement {
        listing,
        text: text.into(),
        document: digest(),
    })
}

fn decision(listing: u64, severity: wire::CreditSeverity, months: u32) -> Body {
    Body::DecideListing(wire::DecideListing {
        listing,
        decision: wire::ListingDecision::List.into(),
        severity: severity.into(),
        months,
        legal_basis: "E-Commerce Law, art. 84".into(),
        document: "2026-19".into(),
    })
}

fn commitment(kind: wire::CommitmentKind) -> Body {
    Body::MakeCommitment(wire::MakeCommitment {
        kind: kind.into(),
        text: "We hand over only what we hold.".into(),
        document: None,
    })
}

fn credit_record(subject: &str, severity: wire::CreditSeverity) -> Body {
    Body::AddCreditRecord(wire::AddCreditRecord {
        subject: subject.into(),
        kind: wire::CreditRecordKind::Penalty.into(),
        severity: severity.into(),
        legal_basis: "Product Quality Law, art. 50".into(),
        document: "P-9".into(),
        date: 20_260_601,
        text: "fined for short weight".into(),
        text_commitment: None,
    })
}

/// Repairs may be asked for at once: a test can't wait for months.
fn short_terms() -> Body {
    Body::SetCreditPolicy(wire::SetCreditPolicy {
        minor_max_months: 3,
        ordinary_min_months: 0,
        ordinary_max_months: 12,
        serious_min_months: 0,
        serious_max_months: 36,
        red_max_months: 24,
        statement_days: 5,
        objection_days: 10,
        answer_days: 10,
        transit_hours: 72,
        accept_hours: 48,
        rest_days: 180,
        legal_basis: "trial measures, art. 1".into(),
    })
}

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
async fn blacklist(
    w: &mut World,
    who: &Arc<Signer>,
    subject: &str,
    severity: wire::CreditSeverity,
) -> u64 {
    let root = Arc::clone(&w.root);
    let at = w.say(&root, proposal(subject, severity)).await;
    w.say(&root, notice(at)).await;
    w.say(who, statement(at, "")).await;
    w.say(&root, decision(at, severity, 3)).await;
    if severity != wire::CreditSeverity::Minor {
        w.say(
            &root,
            Body::PublishListing(wire::PublishListing { listing: at }),
        )
        .await;
    }
    at
}

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
    let answer = w.admission(&[&gln(3)]).await;
    let barred = Admission::Barred(Bar::Listing(LogIndex(person)));
    assert_eq!(
        answer.parties[0].1, barred,
        "platforms act on it all the same"
    );

    let open = w.server.ledger().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn given_every_step_of_a_claim_when_everybody_tries_it_then_only_who_may_does() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let arc = |signer: &Arc<Signer>| Arc::clone(signer);
    let (maker, courier) = (arc(&w.trade.maker), arc(&w.trade.courier));
    let (device, stranger) = (arc(&w.trade.scanner), arc(&w.trade.stranger));
    let (buyer, fund, bank) = (key(70), key(71), key(72));
    for (who, number, role) in [(&fund, 5, wire::Role::Fund), (&bank, 6, wire::Role::Bank)] {
        w.say(who, register(who, &gln(number), &[role])).await;
        w.say(&root, approve(&gln(number), &[role])).await;
    }
    let roles = [wire::Role::Maker, wire::Role::Seller];
    w.say(&root, approve(MAKER, &roles)).await;
    let ship = ship_to(COURIER, &buyer);
    let deliver = Body::Deliver(wire::Deliver {
        buyer_key_id: buyer.key_id().0.to_vec(),
    });
    let drafts = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], ship),
        draft(&courier, &[unit(1)], accept()),
        draft(&device, &[unit(1)], scan()),
        draft(&device, &[unit(1)], deliver),
    ];
    all_accepted(w.session.submit(drafts).await.unwrap());
    let unit = unit(1).to_string();
    let complaint = wire::Complaint::Counterfeit.into();

    let report = Body::ReportUnit(wire::ReportUnit {
        unit: unit.clone(),
        complaint,
        evidence: None,
    });
    w.only(&stranger, &[&device], report.clone()).await;
    w.say(&buyer, report).await;
    let not_the_buyer = [&root, &agency, &platform, &fund, &maker, &courier, &device];
    let claim = Body::OpenClaim(wire::OpenClaim {
        unit: unit.clone(),
        complaint,
        amount_fen: 10_000,
        evidence: digest(),
    });
    let at = w.only(&buyer, &not_the_buyer, claim).await;
    let attestation = Body::AttestBuyerKey(wire::AttestBuyerKey {
        unit: unit.clone(),
        key_id: buyer.key_id().0.to_vec(),
    });
    w.only(
        &bank,
        &[&buyer, &maker, &courier, &device, &stranger],
        attestation,
    )
    .await;
    let review = Body::ReviewUnit(wire::ReviewUnit {
        unit,
        rating: 1,
        text: None,
    });
    w.only(&buyer, &not_the_buyer, review).await;
    let decision = Body::DecideClaim(wire::DecideClaim {
        claim: at,
        answer: wire::Answer::Granted.into(),
        amount_fen: 9_000,
        legal_basis: "Consumer Rights Law, art. 44".into(),
        document: "C-1".into(),
    });
    w.only(
        &agency,
        &[&buyer, &maker, &courier, &device, &bank],
        decision,
    )
    .await;
    let payout = Body::RecordPayout(wire::RecordPayout {
        claim: at,
        document: "pay-1".into(),
    });
    w.only(
        &fund,
        &[&buyer, &maker, &root, &agency, &device, &bank],
        payout,
    )
    .await;
    let recovery = Body::RecordRecovery(wire::RecordRecovery {
        claim: at,
        amount_fen: 4_000,
        document: "back-1".into(),
    });
    w.only(
        &fund,
        &[&buyer, &maker, &root, &platform, &device, &bank],
        recovery,
    )
    .await;

    let open = w.server.ledger().await;
    let request = wire::GetClaimRequest { log_index: at };
    let found = open.claim().get_claim(request).await.unwrap().into_inner();
    let found = found.claim.unwrap();
    assert_eq!((found.granted_fen, found.recovered_fen), (9_000, 4_000));
    assert_eq!((found.recourse.as_str(), found.broken_at), (MAKER, 0));
    let seller = MAKER.into();
    let mut desk = open.claim();
    let reviews = desk.get_reviews(wire::GetReviewsRequest { seller }).await;
    assert_eq!(reviews.unwrap().into_inner().verified, [1, 0, 0, 0, 0]);
    // Who may read what.
    for (signer, party, claims, reports) in [
        (&root, REGULATOR, true, true),
        (&agency, &*gln(1), true, true),
        (&platform, &*gln(2), true, false),
        (&fund, &*gln(5), true, false),
        (&bank, &*gln(6), false, false),
        (&maker, MAKER, false, false),
    ] {
        let mut desk = w.server.as_party(signer, party).await.claim();
        let listed = desk.list_claims(wire::ListClaimsRequest::default()).await;
        assert_eq!(listed.is_ok(), claims, "claims for {party}");
        let listed = desk.list_reports(wire::ListReportsRequest::default()).await;
        assert_eq!(listed.is_ok(), reports, "reports for {party}");
    }
    w.audited();
}

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

#[tokio::test(flavor = "multi_thread")]
async fn given_every_step_of_a_case_when_everybody_tries_it_then_only_the_agency_in_charge_does() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let device = Arc::clone(&w.trade.scanner);
    let firms = [&maker, &courier, &device, &platform];
    let grounds = |subject: &str| {
        Some(wire::CaseGrounds {
            subjects: vec![subject.into()],
            ..Default::default()
        })
    };
    let opening = Body::OpenCase(wire::OpenCase {
        kind: wire::CaseKind::FakeOrders.into(),
        grounds: grounds(MAKER),
        document: "K-1".into(),
    });
    let case = w.only(&root, &firms, opening).await;
    let not_in_charge = [&maker, &courier, &device, &platform, &agency];
    let more = Body::AddToCase(wire::AddToCase {
        case,
        grounds: grounds(COURIER),
        document: "K-2".into(),
    });
    w.only(&root, &not_in_charge, more).await;
    let referral = Body::ReferCase(wire::ReferCase {
        case,
        to: gln(1),
        days: 30,
        document: "K-3".into(),
    });
    w.only(&root, &not_in_charge, referral).await;
    let end = Body::CloseCase(wire::CloseCase {
        case,
        outcome: wire::CaseOutcome::NoViolation.into(),
        legal_basis: "Administrative Penalty Law, art. 33".into(),
        document: "K-4".into(),
    });
    let queue = async |w: &World| {
        let ledger = w.server.as_party(&w.agency, &gln(1)).await;
        let request = wire::ListCasesRequest {
            agency: gln(1),
            ..Default::default()
        };
        let answer = ledger.case().list_cases(request).await.unwrap();
        let cases = answer.into_inner().cases.into_iter();
        cases.map(|case| case.log_index).collect::<Vec<_>>()
    };
    assert_eq!(queue(&w).await, [case]);
    w.only(&agency, &firms, end).await;
    assert_eq!(queue(&w).await, [0; 0]);
    for (signer, party) in [(&maker, MAKER), (&platform, &*gln(2))] {
        let ledger = w.server.as_party(signer, party).await;
        let request = wire::GetCaseRequest { log_index: case };
        let status = ledger.case().get_case(request).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    w.audited();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_claim_against_a_natural_person_when_a_stranger_reads_it_then_nobody_is_named() {
    let mut w = World::start().await;
    let (maker, trader, root) = (
        Arc::clone(&w.trade.maker),
        Arc::clone(&w.trader),
        Arc::clone(&w.root),
    );
    let buyer = key(73);
    let ship = ship_to(COURIER, &buyer);
    let drafts = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], handover(&gln(3))),
        draft(&trader, &[unit(1)], accept()),
        draft(&trader, &[unit(1)], ship),
    ];
    all_accepted(w.session.submit(drafts).await.unwrap());
    let claim = Body::OpenClaim(wire::OpenClaim {
        unit: unit(1).to_string(),
        complaint: wire::Complaint::NotReceived.into(),
        amount_fen: 100,
        evidence: digest(),
    });
    let log_index = w.say(&buyer, claim).await;
    let decision = Body::DecideClaim(wire::DecideClaim {
        claim: log_index,
        answer: wire::Answer::Granted.into(),
        amount_fen: 100,
        legal_basis: "Consumer Rights Law, art. 44".into(),
        document: "C-1".into(),
    });
    w.say(&root, decision).await;
    let named = async |ledger: &Ledger| {
        let request = wire::GetClaimRequest { log_index };
        let answer = ledger.claim().get_claim(request).await.unwrap();
        let claim = answer.into_inner().claim.unwrap();
        (claim.seller, claim.recourse)
    };
    let nobody = (String::new(), String::new());
    let stranger = w.server.as_party(&w.trade.courier, COURIER).await;
    assert_eq!(named(&w.server.ledger().await).await, nobody);
    assert_eq!(named(&stranger).await, nobody);
    let itself = (gln(3), gln(3));
    assert_eq!(
        named(&w.server.as_party(&trader, &gln(3)).await).await,
        itself
    );
    assert_eq!(named(&w.server.regulator().await).await, itself);
}
