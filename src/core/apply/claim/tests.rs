use super::super::Read as _;
use super::super::state::{Claims, Funds, SellerReviews};
use super::super::testing::*;
use crate::core::credit::{Claim, Fund};
use crate::core::record::Role;
use crate::core::refusal::Reason;
use crate::core::rules::FindingKind;
use crate::core::tlog::LogIndex;
use crate::core::wire::{self, Answer, Complaint};

const FUND: Who = NEWCOMER;
const YUAN: u64 = 100;

/// Item 1 went from maker over seller and courier to the buyer.
fn delivered() -> World {
    let mut w = World::new();
    w.clean(&w.register(FUND, &[Role::Fund]));
    w.clean(&w.approve(REGULATOR, FUND, &[Role::Fund]));
    w.ok(MAKER, &[item(1)], say::commission());
    w.sold(item(1), BUYER);
    w
}

fn claim(w: &World, who: Who, fen: u64) -> Draft {
    let body = wire::OpenClaim {
        unit: item(1).to_string(),
        complaint: Complaint::Counterfeit.into(),
        amount_fen: fen,
        evidence: Some(some_digest()),
    };
    w.govern(who, Body::OpenClaim(body))
}

fn decide(w: &World, by: Who, claim: LogIndex, granted: Option<u64>) -> Draft {
    let answer = granted.map_or(Answer::Refused, |_| Answer::Granted);
    let body = wire::DecideClaim {
        claim: claim.0,
        answer: answer.into(),
        amount_fen: granted.unwrap_or(0),
        legal_basis: "Consumer Rights Law, art. 44".into(),
        document: "C-1".into(),
    };
    w.govern(by, Body::DecideClaim(body))
}

fn payout(w: &World, by: Who, claim: LogIndex) -> Draft {
    let (claim, document) = (claim.0, "pay-1".into());
    w.govern(
        by,
        Body::RecordPayout(wire::RecordPayout { claim, document }),
    )
}

fn recovery(w: &World, by: Who, claim: LogIndex, amount_fen: u64) -> Draft {
    let body = wire::RecordRecovery {
        claim: claim.0,
        amount_fen,
        document: "back-1".into(),
    };
    w.govern(by, Body::RecordRecovery(body))
}

fn review(w: &World, who: Who, rating: u32) -> Draft {
    let body = wire::ReviewUnit {
        unit: item(1).to_string(),
        rating,
        text: None,
    };
    w.govern(who, Body::ReviewUnit(body))
}

fn report(w: &World, who: Who) -> Draft {
    let body = wire::ReportUnit {
        unit: item(1).to_string(),
        complaint: Complaint::Tampered.into(),
        evidence: None,
    };
    w.govern(who, Body::ReportUnit(body))
}

fn attest(w: &World, by: Who, key: Who) -> Draft {
    let body = wire::AttestBuyerKey {
        unit: item(1).to_string(),
        key_id: key.key_id().0.to_vec(),
    };
    w.govern(by, Body::AttestBuyerKey(body))
}

fn row(w: &World, index: LogIndex) -> Claim {
    let row = w.state.get::<Claims>(&index).unwrap();
    Claim::clone(&row.expect("a claim"))
}

#[test]
fn given_a_claim_when_granted_then_the_fund_pays_once_and_gets_back_what_it_paid_at_most() {
    let mut w = delivered();
    for stranger in [BUYER_2, SELLER, REGULATOR] {
        let reason = w.refused(&claim(&w, stranger, 50 * YUAN));
        assert!(matches!(reason, Reason::Unauthorised | Reason::UnknownKey));
    }
    let at = w.clean(&claim(&w, BUYER, 50 * YUAN));
    let again = claim(&w, BUYER, 60 * YUAN);
    assert_eq!(w.refused(&again), Reason::AlreadyExists);
    let early = payout(&w, FUND, at);
    assert_eq!(w.refused(&early), Reason::FailedPrecondition);
    for stranger in [MAKER, SELLER, BANK] {
        let decision = decide(&w, stranger, at, Some(50 * YUAN));
        assert_eq!(w.refused(&decision), Reason::Unauthorised);
    }
    let too_much = decide(&w, FUND, at, Some(50 * YUAN + 1));
    assert_eq!(w.refused(&too_much), Reason::InvalidField);
    w.clean(&decide(&w, REGULATOR, at, Some(40 * YUAN)));
    let twice = decide(&w, FUND, at, None);
    assert_eq!(w.refused(&twice), Reason::FailedPrecondition);
    let by_regulator = payout(&w, REGULATOR, at);
    assert_eq!(w.refused(&by_regulator), Reason::Unauthorised);
    let unpaid = recovery(&w, FUND, at, YUAN);
    assert_eq!(w.refused(&unpaid), Reason::FailedPrecondition);
    w.clean(&payout(&w, FUND, at));
    let twice = payout(&w, FUND, at);
    assert_eq!(w.refused(&twice), Reason::FailedPrecondition);
    w.clean(&recovery(&w, FUND, at, 15 * YUAN));
    let more_than_left = recovery(&w, FUND, at, 25 * YUAN + 1);
    assert_eq!(w.refused(&more_than_left), Reason::InvalidField);
    w.clean(&recovery(&w, FUND, at, 25 * YUAN));
    let total = w.state.get::<Funds>(&FUND.party()).unwrap().unwrap();
    let expected = Fund {
        claims_paid: 1,
        paid_fen: 40 * YUAN,
        recovered_fen: 40 * YUAN,
    };
    assert_eq!(total, expected);
    assert_eq!(row(&w, at).log.len(), 5, "each step is named");
}

#[test]
fn given_a_claim_when_nothing_broke_then_the_seller_owes_it() {
    let mut w = delivered();
    let at = w.clean(&claim(&w, BUYER, YUAN));
    w.clean(&decide(&w, FUND, at, Some(YUAN)));
    let decided = row(&w, at).decided.unwrap();
    assert_eq!(
        (decided.recourse, decided.broken_at),
        (Some(SELLER.party()), None)
    );
    let mut refused = delivered();
    let at = refused.clean(&claim(&refused, BUYER, YUAN));
    refused.clean(&decide(&refused, FUND, at, None));
    assert_eq!(row(&refused, at).decided.unwrap().recourse, None);
}

#[test]
fn given_a_claim_when_custody_broke_then_the_last_holder_before_the_break_owes_it() {
    let mut w = World::new();
    w.clean(&w.register(FUND, &[Role::Fund]));
    w.clean(&w.approve(REGULATOR, FUND, &[Role::Fund]));
    w.ok(MAKER, &[item(1)], say::commission());
    w.pass(&[item(1)], MAKER, SELLER);
    // While the courier has it, somebody else scans it: the courier let go of it.
    let ship = say::ship(COURIER, BUYER, 500, wire::Means::Road);
    w.ok(SELLER, &[item(1)], ship);
    w.ok(COURIER, &[item(1)], say::accept());
    w.ok(COURIER, &[item(1)], say::scan());
    let theft = w.draft(RIVAL, &[item(1)], say::scan());
    let found = w.beside(&theft, FindingKind::NotHolder);
    w.now += HOUR;
    w.ok(COURIER, &[item(1)], say::deliver(BUYER));
    let at = w.clean(&claim(&w, BUYER, YUAN));
    // Open, it moves no debt: any stranger could raise it.
    let mut open = w.clone();
    open.clean(&decide(&open, FUND, at, Some(YUAN)));
    let decided = row(&open, at).decided.unwrap();
    assert_eq!(decided.recourse, Some(SELLER.party()));
    let confirmation = w.decide(
        REGULATOR,
        found.index,
        FindingKind::NotHolder,
        item(1),
        wire::Decision::Confirmed,
    );
    w.clean(&confirmation);
    w.clean(&decide(&w, FUND, at, Some(YUAN)));
    let decided = row(&w, at).decided.unwrap();
    assert_eq!(decided.recourse, Some(COURIER.party()));
    assert_eq!(decided.broken_at, Some(found.index));
}

#[test]
fn given_a_break_inside_a_parcel_when_claimed_then_whoever_held_the_parcel_owes_it() {
    let mut w = World::new();
    w.clean(&w.register(FUND, &[Role::Fund]));
    w.clean(&w.approve(REGULATOR, FUND, &[Role::Fund]));
    w.ok(MAKER, &[item(1)], say::commission());
    w.pass(&[item(1)], MAKER, SELLER);
    w.ok(COURIER, &[waybill(1)], say::commission());
    w.pass(&[waybill(1)], COURIER, SELLER);
    w.ok(SELLER, &[item(1)], say::pack(waybill(1)));
    let ship = say::ship(COURIER, BUYER, 500, wire::Means::Road);
    w.ok(SELLER, &[waybill(1)], ship);
    w.ok(COURIER, &[waybill(1)], say::accept());
    w.ok(COURIER, &[waybill(1)], say::scan());
    w.now += HOUR;
    let before = w.clone();
    // At the goods inside, or at the parcel itself.
    for unit in [item(1), waybill(1)] {
        let mut w = before.clone();
        let theft = w.draft(COURIER_2, &[unit], say::scan());
        let found = w.logged(&theft);
        let kind = w.findings(unit)[0].0;
        w.ok(COURIER, &[waybill(1)], say::deliver(BUYER));
        let confirmed = wire::Decision::Confirmed;
        w.clean(&w.decide(REGULATOR, found, kind, unit, confirmed));
        let at = w.clean(&claim(&w, BUYER, YUAN));
        w.clean(&decide(&w, FUND, at, Some(YUAN)));
        let decided = row(&w, at).decided.unwrap();
        assert_eq!(decided.recourse, Some(COURIER.party()), "{unit}");
        assert_eq!(decided.broken_at, Some(found));
    }
}

#[test]
fn given_a_review_when_it_comes_from_who_received_the_goods_then_it_counts_once() {
    let mut w = World::new();
    w.ok(MAKER, &[item(1)], say::commission());
    w.pass(&[item(1)], MAKER, SELLER);
    w.ok(
        SELLER,
        &[item(1)],
        say::ship(COURIER, BUYER, 500, wire::Means::Road),
    );
    let early = review(&w, BUYER, 5);
    assert_eq!(w.refused(&early), Reason::FailedPrecondition);
    w.ok(COURIER, &[item(1)], say::accept());
    w.ok(COURIER, &[item(1)], say::scan());
    w.now += HOUR;
    w.ok(COURIER, &[item(1)], say::deliver(BUYER));
    for stranger in [SELLER, REGULATOR, COURIER] {
        assert_eq!(w.refused(&review(&w, stranger, 5)), Reason::Unauthorised);
    }
    let mut attested = w.clone();
    w.clean(&review(&w, BUYER, 4));
    let again = review(&w, BUYER, 1);
    assert_eq!(w.refused(&again), Reason::AlreadyExists);
    let counts = |w: &World| {
        w.state
            .get::<SellerReviews>(&SELLER.party())
            .unwrap()
            .unwrap()
    };
    assert_eq!(counts(&w).unattested, [0, 0, 0, 1, 0]);
    assert_eq!(counts(&w).verified, [0; 5]);
    // With the word of somebody who has no part in it, it counts as verified.
    for concerned in [SELLER, COURIER, MAKER] {
        let draft = attest(&attested, concerned, BUYER);
        assert_eq!(attested.refused(&draft), Reason::Unauthorised);
    }
    let wrong_key = attest(&attested, BANK, BUYER_2);
    assert_eq!(attested.refused(&wrong_key), Reason::InvalidField);
    attested.clean(&attest(&attested, BANK, BUYER));
    let twice = attest(&attested, BANK, BUYER);
    assert_eq!(attested.refused(&twice), Reason::AlreadyExists);
    attested.clean(&review(&attested, BUYER, 5));
    assert_eq!(counts(&attested).verified, [0, 0, 0, 0, 1]);
}

#[test]
fn given_a_delivery_that_may_be_fake_when_it_is_reviewed_then_the_review_waits() {
    let mut w = World::new();
    w.ok(MAKER, &[item(1)], say::commission());
    w.pass(&[item(1)], MAKER, SELLER);
    w.ok(
        SELLER,
        &[item(1)],
        say::ship(COURIER, BUYER, 0, wire::Means::Road),
    );
    w.ok(COURIER, &[item(1)], say::accept());
    let delivery = w.draft(COURIER, &[item(1)], say::deliver(BUYER));
    let found = w.flagged(&delivery, FindingKind::PhantomDelivery);
    assert_eq!(w.refused(&review(&w, BUYER, 5)), Reason::FailedPrecondition);
    let dismissal = w.decide(
        REGULATOR,
        found.index,
        FindingKind::PhantomDelivery,
        item(1),
        wire::Decision::Dismissed,
    );
    w.clean(&dismissal);
    w.clean(&review(&w, BUYER, 5));
}

#[test]
fn given_a_suspect_unit_when_it_is_reported_then_each_says_it_once_and_the_unit_is_not_touched() {
    let mut w = delivered();
    let before = w.unit(item(1));
    for who in [BUYER, SELLER, BANK] {
        w.clean(&report(&w, who));
        let again = report(&w, who);
        assert_eq!(w.refused(&again), Reason::AlreadyExists);
    }
    assert_eq!(w.unit(item(1)), before);
    let stranger = report(&w, BUYER_2);
    assert_eq!(w.refused(&stranger), Reason::UnknownKey);
    let mut unknown = report(&w, MAKER);
    if let Some(Body::ReportUnit(body)) = &mut unknown.record.body {
        body.unit = item(77).to_string();
    }
    assert_eq!(w.refused(&unknown), Reason::NotFound);
}

#[test]
fn given_a_break_that_its_maker_made_or_confirmed_alone_when_claimed_then_nobody_else_owes() {
    let mut w = World::new();
    w.clean(&w.register(FUND, &[Role::Fund]));
    w.clean(&w.approve(REGULATOR, FUND, &[Role::Fund]));
    w.ok(MAKER, &[item(1)], say::commission());
    w.pass(&[item(1)], MAKER, SELLER);
    let ship = say::ship(COURIER, BUYER, 500, wire::Means::Road);
    w.ok(SELLER, &[item(1)], ship);
    w.ok(COURIER, &[item(1)], say::accept());
    w.ok(COURIER, &[item(1)], say::scan());
    w.now += HOUR;
    let owes = |w: &World| {
        let mut w = w.clone();
        w.ok(COURIER, &[item(1)], say::deliver(BUYER));
        let at = w.clean(&claim(&w, BUYER, YUAN));
        w.clean(&decide(&w, FUND, at, Some(YUAN)));
        row(&w, at).decided.unwrap().recourse
    };
    // A stranger's scan that the maker confirms.
    let mut confirmed = w.clone();
    let theft = confirmed.draft(RIVAL, &[item(1)], say::scan());
    let found = confirmed.beside(&theft, FindingKind::NotHolder);
    let kind = FindingKind::NotHolder;
    let yes = wire::Decision::Confirmed;
    confirmed.clean(&confirmed.decide(MAKER, found.index, kind, item(1), yes));
    assert_eq!(owes(&confirmed), Some(SELLER.party()));
    // A regulator may still confirm it, and then it counts.
    confirmed.clean(&confirmed.decide(REGULATOR, found.index, kind, item(1), yes));
    assert_eq!(owes(&confirmed), Some(COURIER.party()));
    let twice = confirmed.decide(REGULATOR, found.index, kind, item(1), yes);
    assert_eq!(confirmed.refused(&twice), Reason::FailedPrecondition);
    // A second commission while the courier has it is the maker's doing.
    let mut doubled = w.clone();
    let again = doubled.draft(MAKER, &[item(1)], say::commission());
    doubled.logged(&again);
    assert_eq!(
        doubled.findings(item(1))[0].0,
        FindingKind::DuplicateCommission
    );
    assert_eq!(owes(&doubled), Some(MAKER.party()));
}

#[test]
fn given_goods_that_left_their_container_when_it_was_broken_into_then_who_had_it_owes() {
    let mut w = World::new();
    w.clean(&w.register(FUND, &[Role::Fund]));
    w.clean(&w.approve(REGULATOR, FUND, &[Role::Fund]));
    w.ok(MAKER, &[item(1)], say::commission());
    w.ok(MAKER, &[parcel(1)], say::commission());
    w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
    w.pass(&[parcel(1)], MAKER, COURIER_2);
    w.now += HOUR;
    let theft = w.draft(RIVAL, &[parcel(1)], say::scan());
    let found = w.logged(&theft);
    let kind = w.findings(parcel(1))[0].0;
    w.pass(&[parcel(1)], COURIER_2, SELLER);
    w.ok(SELLER, &[item(1)], say::unpack(parcel(1)));
    // What comes upon the empty container is no break of the goods.
    let late = w.draft(COURIER, &[parcel(1)], say::scan());
    w.logged(&late);
    let ship = say::ship(COURIER, BUYER, 500, wire::Means::Road);
    w.ok(SELLER, &[item(1)], ship);
    w.ok(COURIER, &[item(1)], say::accept());
    w.ok(COURIER, &[item(1)], say::scan());
    w.now += HOUR;
    w.ok(COURIER, &[item(1)], say::deliver(BUYER));
    let yes = wire::Decision::Confirmed;
    w.clean(&w.decide(REGULATOR, found, kind, parcel(1), yes));
    let at = w.clean(&claim(&w, BUYER, YUAN));
    w.clean(&decide(&w, FUND, at, Some(YUAN)));
    let decided = row(&w, at).decided.unwrap();
    assert_eq!(decided.broken_at, Some(found));
    assert_eq!(decided.recourse, Some(COURIER_2.party()));
}

#[test]
fn given_a_shop_that_is_a_platform_when_its_own_buyer_claims_then_it_does_not_decide() {
    let mut w = delivered();
    let both = [Role::Seller, Role::Platform];
    w.clean(&w.approve(REGULATOR, SELLER, &both));
    w.clean(&w.approve(REGULATOR, RIVAL, &[Role::Maker, Role::Platform]));
    let at = w.clean(&claim(&w, BUYER, YUAN));
    assert_eq!(
        w.refused(&decide(&w, SELLER, at, None)),
        Reason::Unauthorised
    );
    // What another platform refuses, a regulator may grant; nobody else.
    w.clean(&decide(&w, RIVAL, at, None));
    let by_fund = decide(&w, FUND, at, Some(YUAN));
    assert_eq!(w.refused(&by_fund), Reason::FailedPrecondition);
    w.clean(&decide(&w, REGULATOR, at, Some(YUAN)));
    let again = decide(&w, REGULATOR, at, None);
    assert_eq!(
        w.refused(&again),
        Reason::FailedPrecondition,
        "granted is granted"
    );
}

#[test]
fn given_goods_in_a_parcel_when_one_is_claimed_then_the_other_is_not_claimed_as_well() {
    let mut w = World::new();
    for unit in [item(1), item(2)] {
        w.ok(MAKER, &[unit], say::commission());
    }
    w.pass(&[item(1), item(2)], MAKER, SELLER);
    w.ok(COURIER, &[waybill(1)], say::commission());
    w.pass(&[waybill(1)], COURIER, SELLER);
    w.ok(SELLER, &[item(1), item(2)], say::pack(waybill(1)));
    let ship = say::ship(COURIER, BUYER, 500, wire::Means::Road);
    w.ok(SELLER, &[waybill(1)], ship);
    let claim_for = |w: &World, unit: crate::core::id::UnitId| {
        let body = wire::OpenClaim {
            unit: unit.to_string(),
            complaint: Complaint::NotReceived.into(),
            amount_fen: YUAN,
            evidence: Some(some_digest()),
        };
        w.govern(BUYER, Body::OpenClaim(body))
    };
    let mut goods = w.clone();
    goods.clean(&claim_for(&goods, item(1)));
    let parcel = claim_for(&goods, waybill(1));
    assert_eq!(goods.refused(&parcel), Reason::AlreadyExists);
    goods.clean(&claim_for(&goods, item(2)));
    w.clean(&claim_for(&w, waybill(1)));
    let inside = claim_for(&w, item(2));
    assert_eq!(w.refused(&inside), Reason::AlreadyExists);
}
