//! Whose key signed, and whether it may at this place in the order.

use std::sync::Arc;

use super::state::{Actor, Key, KeyScope, KeyStatus, Keys, Parties, Party, PartyStatus, Read};
use super::{Result, Step};
use crate::core::record::{Millis, Role};
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;

/// A signer whose key is valid here.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub actor: Actor,
    pub scope: KeyScope,
    /// None for a buyer.
    party: Option<Arc<Party>>,
}

impl Authority {
    /// Approved roles; none for a buyer.
    pub fn roles(&self) -> &[Role] {
        self.party.as_ref().map_or(&[], |party| &party.roles)
    }

    /// The public black listing that its party was under at a moment.
    pub fn blacklisted(&self, at: Millis) -> Option<LogIndex> {
        let black = self.party.as_ref()?.blacklistings.iter();
        let applying = black.filter(|black| black.public && black.applies(at));
        applying.map(|black| black.listing).min()
    }

    /// Whether it speaks for a regulator.
    pub fn is_regulator(&self) -> bool {
        self.roles().contains(&Role::Regulator)
            && matches!(self.scope, KeyScope::Root | KeyScope::Full)
    }
}

/// Checks the signing key at this place in the order.
pub(super) fn authorise<R: Read>(step: &Step<'_, R>) -> Result<Authority> {
    let record = step.placed.record;
    let key = step
        .views
        .get::<Keys>(&record.key_id)?
        .ok_or_else(|| unknown_key(record.key_id))?;
    if key.public.suite() != record.suite {
        return Err(Refusal::new(
            Reason::KeyMismatch,
            format!(
                "key {} is registered with suite {}",
                record.key_id,
                key.public.suite().number()
            ),
        )
        .at("suite")
        .into());
    }
    let window = step.ledger.thresholds.late_upload_ms;
    key_is_valid(&key, record.event_time, step.placed.time, window)?;
    let party = match key.owner {
        Actor::Buyer(_) => None,
        Actor::Party(id) => {
            let party = step.views.get::<Parties>(&id)?;
            let kind = record.kind();
            let party = party.filter(|party| match party.status {
                PartyStatus::Active => true,
                PartyStatus::Suspended => kind.is_defence(),
                PartyStatus::Pending => false,
            });
            let mut party = party.ok_or_else(|| {
                Refusal::new(
                    Reason::PartyNotActive,
                    format!("{id} is not approved; ask the regulator"),
                )
            })?;
            if party.has_lapsed(step.placed.time) {
                if !kind.winds_up() && !kind.is_defence() {
                    return Err(Refusal::new(
                        Reason::PartyNotActive,
                        format!(
                            "the approval of {id} has ended: it may pass on what it holds and take \
                             nothing new; ask the regulator to renew it"
                        ),
                    )
                    .into());
                }
                // What it traded it may pass on; an office ends with the approval.
                Arc::make_mut(&mut party)
                    .roles
                    .retain(|role| role.is_trade());
            }
            Some(party)
        }
    };
    Ok(Authority {
        actor: key.owner,
        scope: key.scope,
        party,
    })
}

pub(super) fn unknown_key(id: crate::core::signature::KeyId) -> Refusal {
    Refusal::new(
        Reason::UnknownKey,
        format!("key {id} is not registered; register the party, add or delegate the key first"),
    )
    .at("key_id")
}

/// A key that ended may upload, for a window, what claims a time before its end; one that somebody
/// else may have had may not.
fn key_is_valid(key: &Key, event: Millis, now: Millis, window_ms: u64) -> Result<()> {
    if event < key.valid_from || now < key.valid_from {
        return Err(Refusal::new(
            Reason::KeyNotYetValid,
            format!("the key is valid from {}", key.valid_from),
        )
        .into());
    }
    let ended = match key.status {
        KeyStatus::Active => None,
        KeyStatus::Rotated(at) => Some((at, Reason::KeyExpired)),
        KeyStatus::Revoked(at) => Some((at, Reason::KeyRevoked)),
        KeyStatus::Compromised(since) => {
            return Err(Refusal::new(
                Reason::KeyRevoked,
                format!("the key was revoked as compromised since {since}"),
            )
            .into());
        }
    };
    let expired = key
        .valid_until
        .filter(|end| now > *end)
        .map(|end| (end, Reason::KeyExpired));
    for (end, reason) in ended.into_iter().chain(expired) {
        if event > end || now > end.plus(window_ms) {
            return Err(Refusal::new(
                reason,
                format!(
                    "the key ended at {end}; it may upload records from before then for {} hours",
                    window_ms / 3_600_000
                ),
            )
            .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::record::Role;
    use crate::core::refusal::Reason;
    use crate::core::wire::{self, RevocationReason};

    const DEVICE: Who = MAKER.key(60);
    const NEW: Who = MAKER.key(61);
    /// How long an ended key may upload what it signed before.
    const WINDOW: u64 = 7 * DAY;

    fn world() -> World {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w
    }

    /// A scan of the maker's item, said to have happened then.
    fn scan(w: &World, key: Who, event: u64) -> Draft {
        w.draft(key, &[item(1)], say::scan()).on(event)
    }

    #[test]
    fn given_a_key_nobody_registered_when_it_signs_then_it_is_unknown() {
        let mut w = world();
        let now = w.now;
        assert_eq!(w.refused(&scan(&w, DEVICE, now)), Reason::UnknownKey);
    }

    #[test]
    fn given_a_delegation_from_later_on_when_it_signs_then_it_counts_from_the_first_moment() {
        let mut w = world();
        let from = w.now + HOUR;
        w.clean(&w.delegate(MAKER, DEVICE, from, from + DAY));
        w.now = from - 1;
        assert_eq!(w.refused(&scan(&w, DEVICE, from)), Reason::KeyNotYetValid);
        w.now = from;
        assert_eq!(
            w.refused(&scan(&w, DEVICE, from - 1)),
            Reason::KeyNotYetValid
        );
        w.clean(&scan(&w, DEVICE, from));
    }

    #[test]
    fn given_an_expired_key_when_it_uploads_late_then_the_window_counts_to_its_last_moment() {
        let mut w = world();
        let end = w.now + HOUR;
        w.clean(&w.delegate(MAKER, DEVICE, 0, end));
        w.now = end + WINDOW;
        assert_eq!(w.refused(&scan(&w, DEVICE, end + 1)), Reason::KeyExpired);
        w.clean(&scan(&w, DEVICE, end));
        w.now = end + WINDOW + 1;
        assert_eq!(w.refused(&scan(&w, DEVICE, end)), Reason::KeyExpired);
    }

    #[test]
    fn given_a_rotated_key_when_it_uploads_late_then_only_what_it_signed_before_counts() {
        let mut w = world();
        let end = w.now;
        w.clean(&w.rotate(MAKER, NEW));
        w.clean(&scan(&w, MAKER, end));
        assert_eq!(w.refused(&scan(&w, MAKER, end + 1)), Reason::KeyExpired);
        let now = w.now;
        w.clean(&scan(&w, NEW, now));
        w.now = end + WINDOW + 1;
        assert_eq!(w.refused(&scan(&w, MAKER, end)), Reason::KeyExpired);
    }

    #[test]
    fn given_a_revoked_key_when_it_uploads_late_then_a_compromised_one_may_not() {
        for (reason, accepted) in [
            (RevocationReason::Superseded, true),
            (RevocationReason::Cessation, true),
            (RevocationReason::Compromised, false),
        ] {
            let mut w = world();
            w.clean(&w.delegate(MAKER, DEVICE, 0, w.now + DAY));
            let end = w.now;
            w.clean(&w.revoke(MAKER, DEVICE, reason, end));
            assert_eq!(w.refused(&scan(&w, DEVICE, end + 1)), Reason::KeyRevoked);
            let before = scan(&w, DEVICE, end);
            if accepted {
                w.clean(&before);
            } else {
                assert_eq!(w.refused(&before), Reason::KeyRevoked);
            }
        }
    }

    #[test]
    fn given_a_party_that_is_pending_or_suspended_when_it_signs_then_it_is_refused_until_approved()
    {
        let mut w = world();
        w.pass(&[item(1)], MAKER, SELLER);
        let suspension = wire::SuspendParty {
            party: SELLER.party().to_string(),
            reason: "x".into(),
        };
        w.clean(&w.govern(REGULATOR, Body::SuspendParty(suspension)));
        w.clean(&w.register(NEWCOMER, &[Role::Courier]));
        for who in [SELLER, NEWCOMER] {
            let draft = w.draft(who, &[item(1)], say::scan());
            assert_eq!(w.refused(&draft), Reason::PartyNotActive);
        }
        w.clean(&w.approve(REGULATOR, SELLER, &[Role::Seller]));
        w.ok(SELLER, &[item(1)], say::scan());
    }

    #[test]
    fn given_an_approval_with_an_end_when_that_is_over_then_the_party_is_refused() {
        let mut w = world();
        let end = w.now + HOUR;
        let mut approval = w.approve(REGULATOR, MAKER, &[Role::Maker]);
        if let Some(Body::ApproveParty(body)) = &mut approval.record.body {
            body.valid_until_ms = end;
        }
        w.clean(&approval);
        w.now = end;
        w.clean(&scan(&w, MAKER, end));
        w.now = end + 1;
        let new = w.draft(MAKER, &[item(2)], say::commission());
        assert_eq!(w.refused(&new), Reason::PartyNotActive);
    }

    #[test]
    fn given_an_approval_that_ended_then_the_party_passes_on_what_it_holds_and_takes_nothing_new() {
        let mut w = world();
        let end = w.now + HOUR;
        for (who, role) in [(MAKER, Role::Maker), (COURIER, Role::Courier)] {
            let mut approval = w.approve(REGULATOR, who, &[role]);
            if let Some(Body::ApproveParty(body)) = &mut approval.record.body {
                body.valid_until_ms = end;
            }
            w.clean(&approval);
        }
        w.now = end + 1;
        w.ok(MAKER, &[item(1)], say::scan());
        w.ok(MAKER, &[item(1)], say::handover(COURIER));
        for draft in [
            w.draft(COURIER, &[item(1)], say::accept()),
            w.draft(COURIER, &[waybill(1)], say::commission()),
            w.draft(MAKER, &[item(2)], say::commission()),
            w.delegate(MAKER, DEVICE, 0, w.now + DAY),
        ] {
            assert_eq!(w.refused(&draft), Reason::PartyNotActive);
        }
        w.clean(&w.rotate(MAKER, NEW));
        // Verified again, it trades again.
        w.clean(&w.approve(REGULATOR, COURIER, &[Role::Courier]));
        w.ok(COURIER, &[item(1)], say::accept());
    }

    #[test]
    fn given_an_approval_that_ended_when_it_was_an_office_then_it_holds_nothing_back_any_more() {
        let mut w = world();
        let end = w.now + HOUR;
        let roles = [Role::Inspector, Role::Seller];
        let mut approval = w.approve(REGULATOR, INSPECTOR, &roles);
        if let Some(Body::ApproveParty(body)) = &mut approval.record.body {
            body.valid_until_ms = end;
        }
        w.clean(&approval);
        w.now = end + 1;
        let report = w.draft(INSPECTOR, &[item(1)], say::inspect());
        assert_eq!(w.refused(&report), Reason::PartyNotActive);
    }

    #[test]
    fn given_a_delegated_key_when_it_signs_governance_then_it_is_refused() {
        let mut w = world();
        w.clean(&w.delegate(MAKER, DEVICE, 0, w.now + DAY));
        for draft in [
            w.delegate(DEVICE, NEW, 0, w.now + DAY),
            w.rotate(DEVICE, NEW),
            w.revoke(DEVICE, MAKER, RevocationReason::Cessation, 0),
        ] {
            assert_eq!(w.refused(&draft), Reason::Unauthorised);
        }
    }

    #[test]
    fn given_another_suite_when_a_record_claims_it_then_it_is_refused() {
        let mut w = world();
        for suite in [0, 2, 3] {
            let mut draft = w.draft(MAKER, &[item(1)], say::scan());
            draft.record.suite = suite;
            let refusal = w.submit(&draft).unwrap_err();
            assert_eq!(
                (refusal.reason, refusal.field.as_str()),
                (Reason::InvalidField, "suite")
            );
        }
    }

    #[test]
    fn given_a_key_that_ended_when_it_backdates_governance_then_it_is_refused() {
        let mut w = world();
        let end = w.now;
        w.clean(&w.rotate(MAKER, NEW));
        for draft in [
            w.rotate(MAKER, DEVICE),
            w.delegate(MAKER, DEVICE, 0, w.now + DAY),
            w.revoke(MAKER, NEW, RevocationReason::Compromised, 0),
        ] {
            assert_eq!(w.refused(&draft.on(end)), Reason::KeyExpired);
        }
    }

    #[test]
    fn given_a_key_that_ended_when_it_is_revoked_again_then_its_end_does_not_move() {
        let mut w = world();
        w.clean(&w.rotate(MAKER, NEW));
        let again = w.revoke(NEW, MAKER, RevocationReason::Superseded, 0);
        assert_eq!(w.refused(&again), Reason::AlreadyExists);
        w.clean(&w.revoke(NEW, MAKER, RevocationReason::Compromised, 0));
    }
}
