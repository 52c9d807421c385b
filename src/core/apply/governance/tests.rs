use super::*;
use crate::core::apply::testing::{Body as Says, *};
use crate::core::record::Thresholds;
use crate::core::wire::StandingWord;

#[test]
fn given_an_empty_ledger_when_anything_but_a_genesis_comes_first_then_it_is_refused() {
    let mut w = World::empty();
    let registration = w.register(MAKER, &[Role::Maker]);
    assert_eq!(w.refused(&registration), Reason::FailedPrecondition);
    let mut stranger = w.genesis(Thresholds::default());
    stranger.by = MAKER;
    stranger.record.key_id = MAKER.key_id().0.to_vec();
    assert_eq!(w.refused(&stranger), Reason::Unauthorised);
    w.clean(&w.genesis(Thresholds::default()));
}

#[test]
fn given_a_ledger_when_a_second_genesis_comes_then_it_is_refused() {
    let mut w = World::founded();
    let second = w.genesis(Thresholds {
        max_speed_kmh: 1,
        ..Thresholds::default()
    });
    assert_eq!(w.refused(&second), Reason::AlreadyExists);
}

#[test]
fn given_a_party_or_key_that_is_known_when_registered_again_then_it_is_refused() {
    let mut w = World::new();
    let party_again = w.register(MAKER.key(60), &[Role::Maker]);
    assert_eq!(w.refused(&party_again), Reason::AlreadyExists);
    let mut key_again = w.register(NEWCOMER, &[Role::Maker]);
    if let Some(Says::RegisterParty(body)) = &mut key_again.record.body {
        body.key = Some(MAKER.public());
    }
    assert_eq!(w.refused(&key_again), Reason::KeyMismatch);
    key_again.by = MAKER;
    key_again.record.key_id = MAKER.key_id().0.to_vec();
    assert_eq!(w.refused(&key_again), Reason::AlreadyExists);
}

#[test]
fn given_no_regulator_when_a_party_or_product_is_approved_or_suspended_then_it_is_refused() {
    let mut w = World::new();
    w.clean(&w.register(NEWCOMER, &[Role::Maker]));
    let party = NEWCOMER.party().to_string();
    let scope = Some(ProductScope::Carrier("abc".parse().unwrap()).to_wire());
    for draft in [
        w.approve(MAKER, NEWCOMER, &[Role::Maker]),
        w.govern(
            MAKER,
            Says::SuspendParty(wire::SuspendParty {
                party: COURIER.party().to_string(),
                reason: "rival".into(),
            }),
        ),
        w.govern(
            MAKER,
            Says::ApproveProduct(wire::ApproveProduct { scope, party }),
        ),
        w.govern(
            MAKER,
            Says::SetThresholds(wire::SetThresholds {
                thresholds: Some(Thresholds::default().into()),
            }),
        ),
    ] {
        assert_eq!(w.refused(&draft), Reason::Unauthorised);
    }
}

#[test]
fn given_a_second_regulator_when_it_approves_then_another_regulator_needs_a_root_key() {
    let mut w = World::new();
    w.clean(&w.register(NEWCOMER, &[Role::Regulator]));
    w.clean(&w.approve(REGULATOR, NEWCOMER, &[Role::Regulator]));
    w.clean(&w.approve(NEWCOMER, SELLER, &[Role::Seller, Role::Distributor]));
    let third = w.approve(NEWCOMER, BANK, &[Role::Regulator]);
    assert_eq!(w.refused(&third), Reason::Unauthorised);
    let root = w.revoke(NEWCOMER, REGULATOR, wire::RevocationReason::Compromised, 0);
    assert_eq!(w.refused(&root), Reason::Unauthorised);
    let founder = wire::SuspendParty {
        party: REGULATOR.party().to_string(),
        reason: "x".into(),
    };
    let suspension = w.govern(NEWCOMER, Says::SuspendParty(founder));
    assert_eq!(w.refused(&suspension), Reason::Unauthorised);
}

#[test]
fn given_a_new_key_when_its_private_half_is_not_shown_then_it_is_refused() {
    let mut w = World::new();
    let mut stolen = w.delegate(MAKER, MAKER.key(60), 0, w.now + DAY);
    if let Some(Says::Delegate(body)) = &mut stolen.record.body {
        body.possession = RIVAL.key(60).possession().to_vec();
    }
    assert_eq!(w.refused(&stolen), Reason::BadSignature);
}

#[test]
fn given_the_key_of_another_party_when_revoked_then_only_a_regulator_may() {
    let mut w = World::new();
    let by_rival = w.revoke(RIVAL, MAKER, wire::RevocationReason::Cessation, 0);
    assert_eq!(w.refused(&by_rival), Reason::Unauthorised);
    let unknown = w.revoke(MAKER, NEWCOMER, wire::RevocationReason::Cessation, 0);
    assert_eq!(w.refused(&unknown), Reason::NotFound);
    w.clean(&w.revoke(REGULATOR, MAKER, wire::RevocationReason::Compromised, 0));
    let twice = w.revoke(REGULATOR, MAKER, wire::RevocationReason::Compromised, 0);
    assert_eq!(w.refused(&twice), Reason::AlreadyExists);
}

#[test]
fn given_a_product_when_nobody_claimed_it_or_twice_then_it_is_refused() {
    let mut w = World::new();
    let scope = Some(ProductScope::Carrier("xyz".parse().unwrap()).to_wire());
    let party = COURIER.party().to_string();
    let approval = wire::ApproveProduct {
        scope: scope.clone(),
        party,
    };
    let approval = w.govern(REGULATOR, Says::ApproveProduct(approval));
    assert_eq!(w.refused(&approval), Reason::NotFound);
    let claim = wire::ClaimProduct {
        scope,
        name: String::new(),
    };
    w.clean(&w.govern(COURIER, Says::ClaimProduct(claim.clone())));
    let twice = w.govern(COURIER, Says::ClaimProduct(claim));
    assert_eq!(w.refused(&twice), Reason::AlreadyExists);
}

#[test]
fn given_new_thresholds_when_set_then_earlier_entries_stay_as_they_were_judged() {
    let mut w = World::new();
    w.ok(MAKER, &[item(1)], say::commission());
    let ahead = |w: &World| w.draft(MAKER, &[item(1)], say::scan()).on(w.now + MINUTE);
    w.clean(&ahead(&w));
    let thresholds = Thresholds {
        future_tolerance_ms: 0,
        ..Thresholds::default()
    };
    let thresholds = Some(thresholds.into());
    w.clean(&w.govern(
        REGULATOR,
        Says::SetThresholds(wire::SetThresholds { thresholds }),
    ));
    w.flagged(&ahead(&w), FindingKind::TimeInFuture);
    assert_eq!(w.state.findings.len(), 1);
}

/// A stranger's scan of the item, which the seller holds.
fn suspected() -> (World, LogIndex) {
    let mut w = World::new();
    w.ok(MAKER, &[item(1)], say::commission());
    w.pass(&[item(1)], MAKER, SELLER);
    let found = w.beside(
        &w.draft(RIVAL, &[item(1)], say::scan()),
        FindingKind::NotHolder,
    );
    (w, found.index)
}

#[test]
fn given_a_finding_when_decided_then_the_regulator_may_all_and_holder_and_maker_may_confirm() {
    use wire::Decision::{Confirmed, Dismissed};
    for (who, decision, word) in [
        (REGULATOR, Confirmed, Some(StandingWord::Broken)),
        (REGULATOR, Dismissed, Some(StandingWord::Consistent)),
        (SELLER, Confirmed, Some(StandingWord::Broken)),
        (MAKER, Confirmed, Some(StandingWord::Broken)),
        (SELLER, Dismissed, None),
        (MAKER, Dismissed, None),
        (RIVAL, Confirmed, None),
        (RIVAL, Dismissed, None),
    ] {
        let (mut w, index) = suspected();
        let draft = w.decide(who, index, FindingKind::NotHolder, item(1), decision);
        match word {
            Some(word) => {
                w.clean(&draft);
                assert_eq!(w.word(item(1)), word);
            }
            None => {
                assert_eq!(w.refused(&draft), Reason::Unauthorised);
                assert_eq!(w.word(item(1)), StandingWord::Suspect);
            }
        }
    }
}

#[test]
fn given_a_packed_unit_when_a_finding_is_confirmed_then_the_holder_of_the_container_counts() {
    let mut w = World::new();
    w.ok(MAKER, &[item(1), parcel(1)], say::commission());
    w.pass(&[item(1), parcel(1)], MAKER, DISTRIBUTOR);
    w.ok(DISTRIBUTOR, &[item(1)], say::pack(parcel(1)));
    w.pass(&[parcel(1)], DISTRIBUTOR, SELLER);
    let found = w.beside(
        &w.draft(RIVAL, &[item(1)], say::scan()),
        FindingKind::NotHolder,
    );
    let confirm = |w: &World, who| {
        w.decide(
            who,
            found.index,
            FindingKind::NotHolder,
            item(1),
            wire::Decision::Confirmed,
        )
    };
    let former = confirm(&w, DISTRIBUTOR);
    assert_eq!(w.refused(&former), Reason::Unauthorised);
    w.clean(&confirm(&w, SELLER));
}

#[test]
fn given_no_such_finding_when_decided_then_it_is_refused() {
    let (mut w, index) = suspected();
    for (at, kind, unit) in [
        (LogIndex(0), FindingKind::NotHolder, item(1)),
        (index, FindingKind::Expired, item(1)),
        (index, FindingKind::NotHolder, item(2)),
    ] {
        let draft = w.decide(REGULATOR, at, kind, unit, wire::Decision::Confirmed);
        assert_eq!(w.refused(&draft), Reason::NotFound);
    }
}
