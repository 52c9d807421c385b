//! Whose key signed, and whether it may at this place in the order.

use super::state::{Actor, Key, KeyScope, KeyStatus, Keys, Parties, PartyStatus, Read};
use super::{Result, Step};
use crate::core::record::{Millis, Role};
use crate::core::refusal::{Reason, Refusal};

/// A signer whose key is valid here.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub actor: Actor,
    pub scope: KeyScope,
    /// Approved roles; none for a buyer.
    pub roles: Vec<Role>,
}

impl Authority {
    /// Whether it speaks for a regulator.
    pub fn is_regulator(&self) -> bool {
        self.roles.contains(&Role::Regulator)
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
    let roles = match key.owner {
        Actor::Buyer(_) => Vec::new(),
        Actor::Party(id) => {
            let party = step.views.get::<Parties>(&id)?;
            let party = party.filter(|party| party.status == PartyStatus::Active);
            let party = party.ok_or_else(|| {
                Refusal::new(
                    Reason::PartyNotActive,
                    format!("{id} is not approved; ask the regulator"),
                )
            })?;
            if party.valid_until.is_some_and(|end| step.placed.time > end) {
                return Err(Refusal::new(
                    Reason::PartyNotActive,
                    format!("the approval of {id} has ended; ask the regulator to renew it"),
                )
                .into());
            }
            party.roles
        }
    };
    Ok(Authority {
        actor: key.owner,
        scope: key.scope,
        roles,
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
