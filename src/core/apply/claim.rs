//! Records of consumers: reports, claims, reviews, and what funds pay.

use std::sync::Arc;

use super::authority::Authority;
use super::governance::{already, unauthorised};
use super::state::{
    Actor, Attestations, Claims, CreditItems, FindingStatus, Funds, Life, Read, Reports,
    SellerReviews, Unit, UnitFinding, Units, Voices,
};
use super::{Result, Step, around_of};
use crate::core::credit::{Claim, ClaimDecision, Complaint, CreditItem, Report, Voice};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{ClaimBody, Role};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Around, FindingKind, Severity, nearest_buyer};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// Most steps of one unit's history that are walked to find who held it.
const MAX_WALK: usize = 4_096;

/// Applies a record that was signed with a full key or a buyer key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    body: &ClaimBody,
) -> Result<()> {
    match body {
        ClaimBody::ReportUnit { unit, complaint } => report(step, authority, *unit, *complaint),
        ClaimBody::OpenClaim {
            unit,
            complaint,
            amount_fen,
        } => {
            let buyer = of_buyer(authority)?;
            open(step, buyer, *unit, *complaint, *amount_fen)
        }
        ClaimBody::ReviewUnit { unit, rating } => {
            let buyer = of_buyer(authority)?;
            review(step, buyer, *unit, *rating)
        }
        ClaimBody::DecideClaim {
            claim,
            granted_fen,
            legal_basis,
            document,
        } => {
            let by = of_party(authority, &[Role::Fund, Role::Platform, Role::Regulator])?;
            let decision = ClaimDecision {
                at: step.stamp(),
                by,
                granted_fen: *granted_fen,
                legal_basis: legal_basis.clone(),
                document: document.clone(),
                recourse: None,
                broken_at: None,
            };
            decide(step, *claim, decision)
        }
        ClaimBody::RecordPayout { claim } => {
            let by = of_party(authority, &[Role::Fund, Role::Platform])?;
            pay(step, by, *claim)
        }
        ClaimBody::RecordRecovery { claim, amount_fen } => {
            let by = of_party(authority, &[Role::Fund, Role::Platform])?;
            recover(step, by, *claim, *amount_fen)
        }
        ClaimBody::AttestBuyerKey { unit, key } => {
            let independent = [Role::Platform, Role::Bank, Role::Fund, Role::Regulator];
            let by = of_party(authority, &independent)?;
            attest(step, by, *unit, *key)
        }
    }
}

fn of_buyer(authority: &Authority) -> Result<KeyId> {
    match authority.actor {
        Actor::Buyer(key) => Ok(key),
        Actor::Party(_) => Err(unauthorised("this is for the buyer's key")),
    }
}

fn of_party(authority: &Authority, roles: &[Role]) -> Result<PartyId> {
    let allowed = authority.roles().iter().any(|role| roles.contains(role));
    match authority.actor.party() {
        Some(party) if allowed => Ok(party),
        _ => Err(unauthorised(&format!(
            "this needs a full key of a party with one of the roles {roles:?}"
        ))),
    }
}

/// A unit that the ledger knows, and what is around it.
fn known_unit<R: Read>(step: &Step<'_, R>, id: UnitId) -> Result<(Arc<Unit>, Around)> {
    let unit = step.views.get::<Units>(&id)?.ok_or_else(|| {
        let message = format!("the ledger has no record of {id}");
        Refusal::new(Reason::NotFound, message).at(format!("{}.unit", name(step)))
    })?;
    let around = around_of(&step.views, &unit)?;
    Ok((unit, around))
}

fn name<R: Read>(step: &Step<'_, R>) -> &'static str {
    step.placed.record.kind().name()
}

/// The unit, if the key is its buyer's.
fn own_unit<R: Read>(step: &Step<'_, R>, buyer: KeyId, id: UnitId) -> Result<(Arc<Unit>, Around)> {
    let (unit, around) = known_unit(step, id)?;
    if nearest_buyer(&unit, &around) == Some(buyer) {
        return Ok((unit, around));
    }
    Err(unauthorised("the key is not that of the unit's buyer"))
}

/// Everybody says each thing about a unit once.
fn once<R: Read>(step: &mut Step<'_, R>, unit: UnitId, by: Actor, voice: Voice) -> Result<()> {
    let key = (unit, by, voice);
    if let Some(index) = step.views.get::<Voices>(&key)? {
        let field = format!("{}.unit", name(step));
        return Err(already(
            format!("it is in the log, as entry {index}"),
            &field,
        ));
    }
    step.views.put::<Voices>(key, step.placed.index);
    Ok(())
}

fn report<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    unit: UnitId,
    complaint: Complaint,
) -> Result<()> {
    let by = authority.actor;
    match by {
        Actor::Buyer(key) => drop(own_unit(step, key, unit)?),
        Actor::Party(_) => drop(known_unit(step, unit)?),
    }
    once(step, unit, by, Voice::Report)?;
    let made = step.stamp();
    let report = Report {
        unit,
        by,
        complaint,
        made,
    };
    step.views.put::<Reports>(made.index, report);
    Ok(())
}

/// Who named the buyer, of the unit or of what is around it.
fn seller(unit: &Unit, around: &Around) -> Option<PartyId> {
    let around = around.iter().map(|(_, outer)| &**outer);
    let for_buyer = std::iter::once(unit)
        .chain(around)
        .find(|unit| unit.buyer.is_some());
    for_buyer?.journey.as_ref()?.seller
}

fn open<R: Read>(
    step: &mut Step<'_, R>,
    buyer: KeyId,
    id: UnitId,
    complaint: Complaint,
    amount_fen: u64,
) -> Result<()> {
    let (unit, around) = own_unit(step, buyer, id)?;
    once(step, id, Actor::Buyer(buyer), Voice::Claim)?;
    let opened = step.stamp();
    let claim = Claim {
        unit: id,
        buyer,
        complaint,
        amount_fen,
        opened,
        seller: seller(&unit, &around),
        decided: None,
        paid: None,
        recovered_fen: 0,
        log: vec![opened.index],
    };
    step.views.put::<Claims>(opened.index, Arc::new(claim));
    Ok(())
}

fn known_claim<R: Read>(step: &Step<'_, R>, index: LogIndex) -> Result<Arc<Claim>> {
    let row = step.views.get::<Claims>(&index)?;
    Ok(row.ok_or_else(|| {
        Refusal::new(Reason::NotFound, format!("entry {index} opens no claim"))
            .at(format!("{}.claim", name(step)))
    })?)
}

fn decide<R: Read>(
    step: &mut Step<'_, R>,
    index: LogIndex,
    mut decision: ClaimDecision,
) -> Result<()> {
    let mut row = known_claim(step, index)?;
    if decision.granted_fen.is_some() {
        let unit = step.views.get::<Units>(&row.unit)?.unwrap_or_default();
        let around = around_of(&step.views, &unit)?;
        decision.broken_at = first_break(&unit, &around);
        decision.recourse = match decision.broken_at {
            Some(broken) => holder_before(step, row.unit, broken)?.or(row.seller),
            None => row.seller,
        };
    }
    if let Some(recourse) = decision.recourse {
        step.views
            .put::<CreditItems>((recourse, index), CreditItem::Claim);
    }
    Arc::make_mut(&mut row).decide(decision)?;
    step.views.put::<Claims>(index, row);
    Ok(())
}

/// The first entry at which custody of the unit was broken for certain, or that of a container while
/// the unit was inside. An open finding moves no debt: else any stranger's scan would.
fn first_break(unit: &Unit, around: &Around) -> Option<LogIndex> {
    let certain = |found: &&UnitFinding| {
        let severe = found.kind.rule().severity == Severity::DoNotSell;
        match found.status {
            FindingStatus::Confirmed => severe,
            FindingStatus::Open => found.kind.proves_itself(),
            FindingStatus::Dismissed | FindingStatus::Explained => false,
        }
    };
    let own = unit
        .findings
        .iter()
        .filter(certain)
        .map(|found| found.index);
    let mut inside_since = unit.packed_at;
    let mut first = own.min();
    for (_, outer) in around {
        let findings = outer.findings.iter().filter(certain);
        let while_inside = findings.map(|found| found.index);
        let earliest = while_inside.filter(|index| *index >= inside_since).min();
        first = first.into_iter().chain(earliest).min();
        inside_since = inside_since.max(outer.packed_at);
    }
    first
}

/// Who held the unit before an entry; for a packed unit, who held the container around it all.
fn holder_before<R: Read>(
    step: &Step<'_, R>,
    unit: UnitId,
    index: LogIndex,
) -> Result<Option<PartyId>> {
    let mut id = unit;
    let mut holder = None;
    for _ in 0..=crate::core::record::MAX_NESTING {
        let touched = step.views.get::<Units>(&id)?;
        let mut next = touched.and_then(|unit| unit.touched);
        let mut last = None;
        for _ in 0..MAX_WALK {
            let Some(at) = next else { break };
            let Some(row) = step.views.history(&id, at)? else {
                break;
            };
            if at < index && row.joined {
                last = Some(row);
                break;
            }
            next = row.before;
        }
        let Some(row) = last else { break };
        holder = row.holder.or(holder);
        match row.container {
            Some(container) => id = container,
            None => break,
        }
    }
    Ok(holder)
}

fn pay<R: Read>(step: &mut Step<'_, R>, by: PartyId, index: LogIndex) -> Result<()> {
    let mut row = known_claim(step, index)?;
    let at = step.stamp();
    let paid = Arc::make_mut(&mut row).pay(at, by)?;
    step.views.put::<Claims>(index, row);
    let mut fund = step.views.get::<Funds>(&by)?.unwrap_or_default();
    fund.claims_paid += 1;
    fund.paid_fen = fund.paid_fen.saturating_add(paid);
    step.views.put::<Funds>(by, fund);
    Ok(())
}

fn recover<R: Read>(step: &mut Step<'_, R>, by: PartyId, index: LogIndex, fen: u64) -> Result<()> {
    let mut row = known_claim(step, index)?;
    let at = step.stamp();
    Arc::make_mut(&mut row).recover(at, by, fen)?;
    step.views.put::<Claims>(index, row);
    let mut fund = step.views.get::<Funds>(&by)?.unwrap_or_default();
    fund.recovered_fen = fund.recovered_fen.saturating_add(fen);
    step.views.put::<Funds>(by, fund);
    Ok(())
}

fn attest<R: Read>(step: &mut Step<'_, R>, by: PartyId, id: UnitId, key: KeyId) -> Result<()> {
    let (unit, around) = known_unit(step, id)?;
    if nearest_buyer(&unit, &around) != Some(key) {
        let message = format!("{id} is not for the buyer key {key}");
        return Err(Refusal::field("attest_buyer_key.key_id", message).into());
    }
    let outermost = around.last().map_or(&unit, |(_, outer)| outer);
    let concerned = [seller(&unit, &around), unit.maker, outermost.holder];
    if concerned.contains(&Some(by)) {
        return Err(unauthorised(
            "who made, sold or holds the goods doesn't attest their buyer",
        ));
    }
    if step.views.get::<Attestations>(&key)?.is_some() {
        return Err(already(
            format!("key {key} is attested"),
            "attest_buyer_key.key_id",
        ));
    }
    step.views.put::<Attestations>(key, (by, step.placed.index));
    Ok(())
}

fn review<R: Read>(step: &mut Step<'_, R>, buyer: KeyId, id: UnitId, rating: u8) -> Result<()> {
    let (unit, around) = own_unit(step, buyer, id)?;
    let delivered = std::iter::once(&unit)
        .chain(around.iter().map(|(_, outer)| outer))
        .any(|unit| unit.life == Life::Delivered && unit.disputed.is_none());
    if !delivered {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            "a review follows the delivery, and a receipt that the buyer doesn't dispute",
        )
        .at("review_unit.unit")
        .into());
    }
    let around_it = around.iter().map(|(_, outer)| &**outer);
    let mut findings = std::iter::once(&*unit)
        .chain(around_it)
        .flat_map(|unit| &unit.findings);
    let fake = findings.any(|found| {
        found.kind == FindingKind::PhantomDelivery
            && matches!(found.status, FindingStatus::Open | FindingStatus::Confirmed)
    });
    if fake {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            "the delivery may be a fake one; reviews wait until a regulator has looked",
        )
        .at("review_unit.unit")
        .into());
    }
    once(step, id, Actor::Buyer(buyer), Voice::Review)?;
    let Some(seller) = seller(&unit, &around) else {
        return Ok(());
    };
    let attested = step.views.get::<Attestations>(&buyer)?.is_some();
    let mut reviews = step
        .views
        .get::<SellerReviews>(&seller)?
        .unwrap_or_default();
    let stars = if attested {
        &mut reviews.verified
    } else {
        &mut reviews.unattested
    };
    if let Some(count) = stars.get_mut(usize::from(rating.saturating_sub(1))) {
        *count += 1;
    }
    step.views.put::<SellerReviews>(seller, reviews);
    Ok(())
}

#[cfg(test)]
mod tests;
