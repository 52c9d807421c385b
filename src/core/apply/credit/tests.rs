use super::super::state::{Commitments, CreditItems, Listings, Parties};
use super::super::testing::*;
use super::super::{Changes, Read as _};
use crate::core::credit::{CreditItem, CreditPolicy, Ending, ListKind, Listing, Phase};
use crate::core::record::{Millis, Role};
use crate::core::refusal::Reason;
use crate::core::tlog::LogIndex;
use crate::core::wire::{self, Answer, CommitmentKind, CreditSeverity};

use CreditSeverity::{Minor, Ordinary, Serious};

/// Another authority.
const AGENCY: Who = NEWCOMER;

fn listing(w: &World, index: LogIndex) -> Listing {
    let row = w.state.get::<Listings>(&index).unwrap();
    Listing::clone(&row.expect("a listing"))
}

fn phase(w: &World, index: LogIndex) -> Phase {
    listing(w, index).phase(Millis(w.now))
}

fn commit(w: &World, who: Who, kind: CommitmentKind) -> Draft {
    let body = wire::MakeCommitment {
        kind: kind.into(),
        text: "We sell what we are entitled to sell.".into(),
        document: None,
    };
    w.govern(who, Body::MakeCommitment(body))
}

fn statement(w: &World, who: Who, listing: LogIndex) -> Draft {
    let body = wire::SubmitStatement {
        listing: listing.0,
        text: "It was our supplier.".into(),
        document: Some(some_digest()),
    };
    w.govern(who, Body::SubmitStatement(body))
}

fn objection(w: &World, who: Who, listing: LogIndex) -> Draft {
    let body = wire::ObjectToListing {
        listing: listing.0,
        reason: "The facts are another firm's.".into(),
        document: Some(some_digest()),
    };
    w.govern(who, Body::ObjectToListing(body))
}

fn answer_objection(w: &World, listing: LogIndex, answer: Answer) -> Draft {
    let body = wire::AnswerObjection {
        listing: listing.0,
        answer: answer.into(),
        document: "MR-2026-30".into(),
    };
    w.govern(REGULATOR, Body::AnswerObjection(body))
}

fn request_repair(w: &World, who: Who, listing: LogIndex, commitment: LogIndex) -> Draft {
    let body = wire::RequestRepair {
        listing: listing.0,
        commitment: commitment.0,
        proof: Some(some_digest()),
    };
    w.govern(who, Body::RequestRepair(body))
}

fn decide_repair(w: &World, listing: LogIndex, answer: Answer) -> Draft {
    let body = wire::DecideRepair {
        listing: listing.0,
        answer: answer.into(),
        document: "MR-2026-40".into(),
    };
    w.govern(REGULATOR, Body::DecideRepair(body))
}

fn end(w: &World, by: Who, listing: LogIndex) -> Draft {
    let body = wire::EndListing {
        listing: listing.0,
        legal_basis: "judgement of the court".into(),
        document: "(2026) 12".into(),
    };
    w.govern(by, Body::EndListing(body))
}

fn add_agency(w: &mut World) {
    w.clean(&w.register(AGENCY, &[Role::Regulator]));
    w.clean(&w.approve(REGULATOR, AGENCY, &[Role::Regulator]));
}

fn is_black(state: &Changes, who: Who, now: u64) -> bool {
    let party = state.get::<Parties>(&who.party()).unwrap().unwrap();
    party.blacklistings.iter().any(|b| b.applies(Millis(now)))
}

#[test]
fn given_the_whole_process_when_followed_then_each_phase_comes_and_the_term_ends_by_itself() {
    let mut w = World::new();
    let at = w.propose(SELLER, Some(Ordinary));
    assert_eq!(phase(&w, at), Phase::Proposed);
    w.hear(at);
    assert_eq!(phase(&w, at), Phase::Notified);
    w.clean(&w.decide_listing(at, Some(Ordinary), 6));
    assert_eq!(phase(&w, at), Phase::Decided);
    assert!(!listing(&w, at).is_public(Millis(w.now)));
    assert!(
        !is_black(&w.state, SELLER, w.now),
        "not before it is public"
    );
    w.publish(at);
    assert_eq!(phase(&w, at), Phase::InForce);
    assert!(is_black(&w.state, SELLER, w.now));
    let term = listing(&w, at).term.unwrap();
    for (now, expected) in [
        (term.until.0 - 1, Phase::InForce),
        (term.until.0, Phase::Ended(Ending::Expired)),
    ] {
        w.now = now;
        assert_eq!(phase(&w, at), expected);
        assert_eq!(is_black(&w.state, SELLER, now), expected == Phase::InForce);
    }
    assert_eq!(listing(&w, at).log.len(), 4, "each step is named");
    let key = (SELLER.party(), at);
    let item = w.state.get::<CreditItems>(&key).unwrap();
    assert_eq!(item, Some(CreditItem::Listing));
}

#[test]
fn given_a_black_listing_when_its_party_was_not_heard_then_it_is_not_decided() {
    let mut w = World::new();
    let at = w.propose(SELLER, Some(Ordinary));
    let decision = |w: &World| w.decide_listing(at, Some(Ordinary), 6);
    assert_eq!(w.refused(&decision(&w)), Reason::FailedPrecondition);
    let notice = wire::NotifyListing {
        listing: at.0,
        document: "MR-2026-18".into(),
        notice: Some(some_digest()),
    };
    let notice = w.govern(REGULATOR, Body::NotifyListing(notice));
    w.clean(&notice);
    assert_eq!(w.refused(&decision(&w)), Reason::FailedPrecondition);
    // Its days end with the fifth day in China; until then it may speak, and from then on not.
    let until = listing(&w, at).statement_until().unwrap().0;
    w.now = until - 1;
    assert_eq!(w.refused(&decision(&w)), Reason::FailedPrecondition);
    assert_eq!(
        w.refused(&statement(&w, MAKER, at)),
        Reason::Unauthorised,
        "only the party itself"
    );
    let mut heard = w.clone();
    heard.clean(&statement(&heard, SELLER, at));
    heard.clean(&heard.decide_listing(at, Some(Ordinary), 6));
    w.now = until;
    let late = statement(&w, SELLER, at);
    assert_eq!(w.refused(&late), Reason::FailedPrecondition);
    w.clean(&decision(&w));
}

#[test]
fn given_a_decision_when_it_is_not_within_the_policy_then_it_is_refused() {
    let mut w = World::new();
    for (proposed, decided, months, accepted) in [
        (Ordinary, Ordinary, 2, false),
        (Ordinary, Ordinary, 3, true),
        (Ordinary, Ordinary, 12, true),
        (Ordinary, Ordinary, 13, false),
        (Ordinary, Serious, 12, false),
        (Serious, Serious, 11, false),
        (Serious, Serious, 36, true),
        (Serious, Serious, 37, false),
        (Serious, Ordinary, 3, true),
        (Minor, Minor, 1, true),
        (Minor, Minor, 4, false),
    ] {
        let at = w.propose(SELLER, Some(proposed));
        w.hear(at);
        let decision = w.decide_listing(at, Some(decided), months);
        if accepted {
            w.clean(&decision);
        } else {
            assert_eq!(w.refused(&decision), Reason::InvalidField, "{decided:?}");
        }
    }
}

#[test]
fn given_a_minor_listing_then_it_takes_effect_with_its_decision_and_is_never_published() {
    let mut w = World::new();
    let at = w.blacklist(SELLER, Minor, 2);
    assert_eq!(phase(&w, at), Phase::InForce);
    assert!(!listing(&w, at).is_public(Millis(w.now)));
    assert!(!is_black(&w.state, SELLER, w.now));
    let publication = wire::PublishListing { listing: at.0 };
    let publication = w.govern(REGULATOR, Body::PublishListing(publication));
    assert_eq!(w.refused(&publication), Reason::FailedPrecondition);
}

#[test]
fn given_the_red_list_then_nobody_is_on_it_who_is_on_the_black_one() {
    let mut w = World::new();
    let red = w.propose(SELLER, None);
    w.clean(&w.decide_listing(red, None, 24));
    let black = w.blacklist(SELLER, Ordinary, 3);
    let publication = wire::PublishListing { listing: red.0 };
    let publication = w.govern(REGULATOR, Body::PublishListing(publication));
    assert_eq!(w.refused(&publication), Reason::FailedPrecondition);
    w.clean(&end(&w, REGULATOR, black));
    assert_eq!(phase(&w, black), Phase::Ended(Ending::Withdrawn));
    w.publish(red);
    assert_eq!(listing(&w, red).list, ListKind::Red);
    assert!(listing(&w, red).is_public(Millis(w.now)));
    // The firm turns out to be dishonest after all: the red listing ends with the black one.
    w.blacklist(SELLER, Serious, 12);
    assert_eq!(phase(&w, red), Phase::Ended(Ending::Withdrawn));
}

#[test]
fn given_an_objection_when_it_is_upheld_then_the_listing_is_annulled() {
    let mut w = World::new();
    for (answer, expected) in [
        (Answer::Granted, Phase::Ended(Ending::Annulled)),
        (Answer::Refused, Phase::InForce),
    ] {
        let at = w.blacklist(SELLER, Ordinary, 6);
        let early = answer_objection(&w, at, answer);
        assert_eq!(w.refused(&early), Reason::FailedPrecondition);
        assert_eq!(w.refused(&objection(&w, MAKER, at)), Reason::Unauthorised);
        w.clean(&objection(&w, SELLER, at));
        let again = objection(&w, SELLER, at);
        assert_eq!(w.refused(&again), Reason::FailedPrecondition);
        w.clean(&answer_objection(&w, at, answer));
        assert_eq!(phase(&w, at), expected);
        assert_eq!(
            is_black(&w.state, SELLER, w.now),
            expected == Phase::InForce
        );
        w.now += 200 * DAY;
    }
    let at = w.blacklist(SELLER, Ordinary, 6);
    w.now = listing(&w, at).term.unwrap().objection_until.0;
    let late = objection(&w, SELLER, at);
    assert_eq!(w.refused(&late), Reason::FailedPrecondition);
}

#[test]
fn given_a_repair_when_it_comes_after_the_least_time_with_a_new_commitment_then_it_may_be_granted()
{
    let mut w = World::new();
    let old = w.clean(&commit(&w, SELLER, CommitmentKind::Repair));
    let at = w.blacklist(SELLER, Serious, 24);
    let other = w.clean(&commit(&w, MAKER, CommitmentKind::Repair));
    let wrong_kind = w.clean(&commit(&w, SELLER, CommitmentKind::Voluntary));
    let commitment = w.clean(&commit(&w, SELLER, CommitmentKind::Repair));
    w.now = listing(&w, at).term.unwrap().repair_from.0 - 1;
    let early = request_repair(&w, SELLER, at, commitment);
    assert_eq!(w.refused(&early), Reason::FailedPrecondition);
    w.now += 1;
    for unfit in [old, other, wrong_kind] {
        let request = request_repair(&w, SELLER, at, unfit);
        assert_eq!(w.refused(&request), Reason::InvalidField);
    }
    w.clean(&request_repair(&w, SELLER, at, commitment));
    let again = request_repair(&w, SELLER, at, commitment);
    assert_eq!(w.refused(&again), Reason::FailedPrecondition, "it waits");
    w.clean(&decide_repair(&w, at, Answer::Refused));
    assert_eq!(phase(&w, at), Phase::InForce);
    w.clean(&request_repair(&w, SELLER, at, commitment));
    w.clean(&decide_repair(&w, at, Answer::Granted));
    assert_eq!(phase(&w, at), Phase::Ended(Ending::Repaired));
    assert!(!is_black(&w.state, SELLER, w.now));
}

#[test]
fn given_a_listing_when_another_authority_goes_on_then_only_a_root_key_may() {
    let mut w = World::new();
    add_agency(&mut w);
    let at = w.blacklist(SELLER, Ordinary, 6);
    assert_eq!(w.refused(&end(&w, AGENCY, at)), Reason::Unauthorised);
    assert_eq!(w.refused(&end(&w, SELLER, at)), Reason::Unauthorised);
    let mut proposal = w.govern(AGENCY, Body::Scan(wire::Scan::default()));
    proposal.record.body = Some(Body::ProposeListing(wire::ProposeListing {
        list: wire::ListKind::Red.into(),
        subject: MAKER.party().to_string(),
        reason: "never a complaint".into(),
        legal_basis: "rules on the red list, art. 3".into(),
        document: "A-1".into(),
        ..Default::default()
    }));
    let red = w.clean(&proposal);
    // The root key may.
    w.clean(&w.decide_listing(red, None, 12));
}

#[test]
fn given_nobody_of_authority_when_it_lists_records_or_sets_terms_then_it_is_refused() {
    let mut w = World::new();
    add_agency(&mut w);
    let commitment = w.clean(&commit(&w, SELLER, CommitmentKind::Voluntary));
    let bodies = [
        Body::ProposeListing(wire::ProposeListing {
            list: wire::ListKind::Red.into(),
            subject: MAKER.party().to_string(),
            reason: "a friend".into(),
            legal_basis: "none".into(),
            document: "1".into(),
            ..Default::default()
        }),
        Body::AddCreditRecord(record_of(SELLER)),
        Body::RecordBreach(wire::RecordBreach {
            commitment: commitment.0,
            reason: "broken".into(),
            document: "2".into(),
            evidence: Vec::new(),
        }),
    ];
    for body in bodies {
        for who in [MAKER, INSPECTOR, BANK] {
            let draft = w.govern(who, body.clone());
            assert_eq!(w.refused(&draft), Reason::Unauthorised);
        }
        w.clean(&w.govern(AGENCY, body));
    }
    let policy = Body::SetCreditPolicy(shorter_terms());
    let draft = w.govern(AGENCY, policy.clone());
    assert_eq!(w.refused(&draft), Reason::Unauthorised);
    w.clean(&w.govern(REGULATOR, policy));
}

fn record_of(who: Who) -> wire::AddCreditRecord {
    wire::AddCreditRecord {
        subject: who.party().to_string(),
        kind: wire::CreditRecordKind::Penalty.into(),
        severity: Ordinary.into(),
        legal_basis: "Product Quality Law, art. 50".into(),
        document: "P-9".into(),
        date: 20_250_601,
        text: "fined for short weight".into(),
        text_commitment: None,
    }
}

fn shorter_terms() -> wire::SetCreditPolicy {
    wire::SetCreditPolicy {
        minor_max_months: 1,
        ordinary_min_months: 1,
        ordinary_max_months: 2,
        serious_min_months: 2,
        serious_max_months: 4,
        red_max_months: 6,
        statement_days: 3,
        objection_days: 4,
        answer_days: 5,
        transit_hours: 72,
        accept_hours: 48,
        rest_days: 180,
        legal_basis: "Measures of 2027, art. 1".into(),
    }
}

#[test]
fn given_new_terms_when_the_law_changes_then_a_listing_keeps_those_of_its_proposal() {
    let mut w = World::new();
    let old = w.propose(SELLER, Some(Ordinary));
    w.clean(&w.govern(REGULATOR, Body::SetCreditPolicy(shorter_terms())));
    let new = w.propose(MAKER, Some(Ordinary));
    assert_eq!(listing(&w, old).policy, CreditPolicy::default());
    assert_eq!(listing(&w, new).policy.ordinary_max_months, 2);
    w.hear(old);
    w.hear(new);
    w.clean(&w.decide_listing(old, Some(Ordinary), 12));
    let too_long = w.decide_listing(new, Some(Ordinary), 3);
    assert_eq!(w.refused(&too_long), Reason::InvalidField);
}

#[test]
fn given_a_breach_when_recorded_then_the_commitment_shows_it_and_nothing_is_deleted() {
    let mut w = World::new();
    let at = w.clean(&commit(&w, SELLER, CommitmentKind::Voluntary));
    let breach = |evidence: Vec<u64>| {
        Body::RecordBreach(wire::RecordBreach {
            commitment: at.0,
            reason: "sold copies".into(),
            document: "B-1".into(),
            evidence,
        })
    };
    let invented = w.govern(REGULATOR, breach(vec![9_999]));
    assert_eq!(w.refused(&invented), Reason::InvalidField);
    let recorded = w.clean(&w.govern(REGULATOR, breach(vec![at.0])));
    let row = w.state.get::<Commitments>(&at).unwrap().unwrap();
    assert_eq!(row.breaches.len(), 1);
    assert_eq!(row.breaches[0].recorded.index, recorded);
    let unknown = Body::RecordBreach(wire::RecordBreach {
        commitment: recorded.0,
        reason: "x".into(),
        document: "B-2".into(),
        evidence: Vec::new(),
    });
    let draft = w.govern(REGULATOR, unknown);
    assert_eq!(w.refused(&draft), Reason::NotFound);
}

#[test]
fn given_a_suspended_party_then_it_may_still_defend_itself_and_nothing_else() {
    let mut w = World::new();
    let at = w.propose(SELLER, Some(Ordinary));
    w.hear(at);
    w.now -= 5 * DAY;
    let suspension = wire::SuspendParty {
        party: SELLER.party().to_string(),
        reason: "x".into(),
    };
    w.clean(&w.govern(REGULATOR, Body::SuspendParty(suspension)));
    let scan = w.draft(SELLER, &[item(1)], say::scan());
    assert_eq!(w.refused(&scan), Reason::PartyNotActive);
    w.clean(&statement(&w, SELLER, at));
}

#[test]
fn given_a_party_without_a_public_name_then_nothing_about_it_is_said_in_the_log() {
    let mut w = World::new();
    let trader = NEWCOMER;
    let mut registration = w.register(trader, &[Role::Seller]);
    if let Some(Body::RegisterParty(body)) = &mut registration.record.body {
        body.name = String::new();
        body.name_commitment = Some(some_digest());
    }
    w.clean(&registration);
    w.clean(&w.approve(REGULATOR, trader, &[Role::Seller]));
    let record = w.govern(REGULATOR, Body::AddCreditRecord(record_of(trader)));
    assert_eq!(w.refused(&record), Reason::InvalidField);
    let erasable = wire::AddCreditRecord {
        text: String::new(),
        text_commitment: Some(some_digest()),
        ..record_of(trader)
    };
    w.clean(&w.govern(REGULATOR, Body::AddCreditRecord(erasable)));
    let speaking = commit(&w, trader, CommitmentKind::Voluntary);
    assert_eq!(w.refused(&speaking), Reason::InvalidField);
    let mut silent = speaking;
    if let Some(Body::MakeCommitment(body)) = &mut silent.record.body {
        body.text = String::new();
        body.document = Some(some_digest());
    }
    w.clean(&silent);
}

fn object_to(w: &World, who: Who, deduction: wire::deduction_ref::Deduction) -> Draft {
    let body = wire::ObjectToDeduction {
        deduction: Some(wire::DeductionRef {
            deduction: Some(deduction),
        }),
        document: Some(some_digest()),
    };
    w.govern(who, Body::ObjectToDeduction(body))
}

fn answer_deduction(w: &World, by: Who, objection: LogIndex, answer: Answer) -> Draft {
    let body = wire::AnswerDeduction {
        objection: objection.0,
        answer: answer.into(),
        document: "S-1".into(),
    };
    w.govern(by, Body::AnswerDeduction(body))
}

#[test]
fn given_a_deduction_when_its_party_objects_in_time_then_a_regulator_may_strike_it_out() {
    use crate::core::apply::state::Objections;
    use crate::core::credit::score::Deduction;
    let mut w = World::new();
    w.ok(MAKER, &[item(1)], say::commission());
    let theft = w.draft(COURIER, &[item(1)], say::scan());
    let found = w.beside(&theft, crate::core::rules::FindingKind::NotHolder);
    let finding = wire::deduction_ref::Deduction::Finding(1);
    let open = object_to(&w, COURIER, finding.clone());
    assert_eq!(w.refused(&open), Reason::NotFound, "it is not confirmed");
    let confirm = w.decide(
        REGULATOR,
        found.index,
        crate::core::rules::FindingKind::NotHolder,
        item(1),
        wire::Decision::Confirmed,
    );
    w.clean(&confirm);
    for stranger in [MAKER, COURIER_2] {
        let draft = object_to(&w, stranger, finding.clone());
        assert_eq!(w.refused(&draft), Reason::NotFound, "not theirs");
    }
    let mut late = w.clone();
    late.now += 12 * DAY;
    let draft = object_to(&late, COURIER, finding.clone());
    assert_eq!(late.refused(&draft), Reason::FailedPrecondition);
    let at = w.clean(&object_to(&w, COURIER, finding.clone()));
    let again = object_to(&w, COURIER, finding);
    assert_eq!(w.refused(&again), Reason::AlreadyExists);
    let by_itself = answer_deduction(&w, COURIER, at, Answer::Granted);
    assert_eq!(w.refused(&by_itself), Reason::Unauthorised);
    let unknown = answer_deduction(&w, REGULATOR, LogIndex(1), Answer::Granted);
    assert_eq!(w.refused(&unknown), Reason::NotFound);
    w.clean(&answer_deduction(&w, REGULATOR, at, Answer::Granted));
    let twice = answer_deduction(&w, REGULATOR, at, Answer::Refused);
    assert_eq!(w.refused(&twice), Reason::FailedPrecondition);
    let row = w.state.get::<Objections>(&Deduction::Finding(1)).unwrap();
    assert!(row.unwrap().is_granted());
}

#[test]
fn given_a_lapse_when_its_firm_objects_then_only_for_its_own_keys() {
    use wire::deduction_ref::Deduction::Lapse;
    let mut w = World::new();
    w.ok(MAKER, &[item(1)], say::commission());
    w.ok(MAKER, &[item(1)], say::handover(COURIER));
    let unchecked = w.ok(COURIER, &[item(1)], say::accept());
    let lapse = |index: LogIndex| {
        Lapse(wire::LapseRef {
            key_id: COURIER.key_id().0.to_vec(),
            log_index: index.0,
        })
    };
    let stranger = object_to(&w, COURIER_2, lapse(unchecked));
    assert_eq!(w.refused(&stranger), Reason::NotFound);
    let none = object_to(&w, COURIER, lapse(LogIndex(1)));
    assert_eq!(w.refused(&none), Reason::NotFound);
    w.clean(&object_to(&w, COURIER, lapse(unchecked)));
}

#[test]
fn given_a_party_that_waits_for_approval_when_it_registers_anew_then_its_listing_stays() {
    let mut w = World::new();
    w.clean(&w.register(NEWCOMER, &[Role::Courier]));
    let at = w.propose(NEWCOMER, Some(Serious));
    w.hear(at);
    w.clean(&w.decide_listing(at, Some(Serious), 12));
    w.publish(at);
    w.clean(&w.register(NEWCOMER.key(99), &[Role::Courier]));
    assert!(is_black(&w.state, NEWCOMER, w.now));
}
