//! Records of consumers: reports, claims, reviews, and what funds pay.

use std::sync::Arc;

use super::authority::Authority;
use super::governance::{already, unauthorised};
use super::state::{
    Actor, Attestations, Claims, CreditItems, FindingStatus, Findings as FindingTable, Funds, Life,
    Read, Reports, SellerReviews, Unit, UnitFinding, Units, Voices,
};
use super::{Result, Step, around_of};
use crate::core::credit::{Claim, ClaimDecision, Complaint, CreditItem, Report, Voice};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{ClaimBody, MAX_NESTING, Role};
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
            let by_regulator = authority.is_regulator();
            decide(step, *claim, decision, by_regulator)
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
    one_claim(step, buyer, id, &around)?;
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

/// One loss is claimed once: for the goods, or for the parcel that they came in.
fn one_claim<R: Read>(
    step: &mut Step<'_, R>,
    buyer: KeyId,
    id: UnitId,
    around: &Around,
) -> Result<()> {
    let by = Actor::Buyer(buyer);
    once(step, id, by, Voice::Claim)?;
    let twice = |what: &str| already(what.to_owned(), "open_claim.unit");
    if step
        .views
        .get::<Voices>(&(id, by, Voice::ClaimInside))?
        .is_some()
    {
        return Err(twice("what is in it is claimed already"));
    }
    for (container, _) in around {
        let of = |voice| (*container, by, voice);
        if step.views.get::<Voices>(&of(Voice::Claim))?.is_some() {
            return Err(twice("the parcel that it came in is claimed already"));
        }
        step.views
            .put::<Voices>(of(Voice::ClaimInside), step.placed.index);
    }
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
    by_regulator: bool,
) -> Result<()> {
    let mut row = known_claim(step, index)?;
    let unit = step.views.get::<Units>(&row.unit)?.unwrap_or_default();
    let all = (LogIndex(0), LogIndex(u64::MAX));
    let first = first_break(step, row.unit, all, 0)?;
    let recourse = match &first {
        None => row.seller,
        // Who did it is known; who had the goods meanwhile had no part in it.
        Some(found) if found.kind.proves_itself() => found.signer.party().or(row.seller),
        Some(found) => holder_before(step, row.unit, found.at)?.or(row.seller),
    };
    let concerned = [row.seller, unit.maker, recourse];
    if concerned.contains(&Some(decision.by)) {
        return Err(unauthorised(
            "who made or sold the goods, or would owe it back, doesn't decide the claim",
        ));
    }
    if decision.granted_fen.is_some() {
        decision.broken_at = first.map(|found| found.at);
        decision.recourse = recourse;
    }
    if let Some(recourse) = decision.recourse {
        step.views
            .put::<CreditItems>((recourse, index), CreditItem::Claim);
    }
    Arc::make_mut(&mut row).decide(decision, by_regulator)?;
    step.views.put::<Claims>(index, row);
    Ok(())
}

/// A break of custody that is certain.
struct CertainBreak {
    /// When it happened.
    at: LogIndex,
    kind: FindingKind,
    /// Who signed what broke the rule.
    signer: Actor,
}

/// The first entry at which custody of the unit was broken for certain, or that of a container while
/// the unit was inside, within some entries. What nobody decided moves no debt unless it proves itself, else
/// any stranger's scan would; nor does the word of the holder or the maker, who have a part in it.
fn first_break<R: Read>(
    step: &Step<'_, R>,
    id: UnitId,
    (since, until): (LogIndex, LogIndex),
    depth: usize,
) -> Result<Option<CertainBreak>> {
    let Some(unit) = step.views.get::<Units>(&id)? else {
        return Ok(None);
    };
    let certain = |found: &&UnitFinding| {
        let severe = found.kind.rule().severity == Severity::DoNotSell;
        match found.status.counted(found.by_regulator) {
            FindingStatus::Confirmed => severe,
            FindingStatus::Open => found.kind.proves_itself(),
            FindingStatus::Dismissed | FindingStatus::Explained => false,
        }
    };
    let mut first: Option<CertainBreak> = None;
    for found in unit.findings.iter().filter(certain) {
        let Some(row) = step.views.get::<FindingTable>(&found.number)? else {
            continue;
        };
        // Double-dealing is found when it is reported, and happened before.
        let at = match found.kind {
            FindingKind::Equivocation => row.evidence.iter().min().copied(),
            _ => None,
        };
        let at = at.unwrap_or(found.index);
        let earlier = first.as_ref().is_none_or(|first| at < first.at);
        if earlier && (since..until).contains(&at) {
            let (kind, signer) = (found.kind, row.signer);
            first = Some(CertainBreak { at, kind, signer });
        }
    }
    if depth > MAX_NESTING {
        return Ok(first);
    }
    // Backwards through its history: in which container it was, and until when.
    let (mut next, mut end) = (unit.touched, until);
    for _ in 0..MAX_WALK {
        let Some(at) = next else {
            break;
        };
        let Some(row) = step.views.history(&id, at)? else {
            break;
        };
        if row.joined && at < end {
            if let Some(container) = row.container {
                let stay = (at.max(since), end);
                let found = first_break(step, container, stay, depth + 1)?;
                let earlier =
                    |found: &CertainBreak| first.as_ref().is_none_or(|first| found.at < first.at);
                if found.as_ref().is_some_and(earlier) {
                    first = found;
                }
            }
            end = at;
        }
        if at <= since {
            break;
        }
        next = row.before;
    }
    Ok(first)
}

/// Who held the unit before an entry; for a packed unit, who held the container around it all.
fn holder_before<R: Read>(
    step: &Step<'_, R>,
    unit: UnitId,
    index: LogIndex,
) -> Result<Option<PartyId>> {
    let mut id = unit;
    let mut holder = None;
    for _ in 0..=MAX_NESTING {
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
