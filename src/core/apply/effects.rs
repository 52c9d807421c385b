//! What a record that joins does to the unit, to what is around it and to what is inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::custody::Decided;
use super::judge::{Met, Outcome, product_of};
use super::state::{
    Actor, Contents, Delivered, FindingStatus, Findings, Goods, HistoryRow, Journey, Key, KeyScope,
    KeyStatus, Keys, Life, Offer, Read, Sighting, Stay, Stop, Tenure, Unit, Units,
};
use super::{Placed, Result, Step};
use crate::core::id::UnitId;
use crate::core::record::{
    Attributes, Body, GoodsId, Handover, Kind, Means, Millis, ProductId, Scope,
};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Around, FindingKind, Target};
use crate::core::rules::{effective_scans, effective_sighting, nearest_buyer};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// The record, and who signed it.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub placed: Placed<'a>,
    pub actor: Actor,
    /// Whether the signer speaks for a regulator.
    pub regulator: bool,
}

impl Entry<'_> {
    const fn stop(&self) -> Stop {
        Stop {
            index: self.placed.index,
            by_regulator: self.regulator,
        }
    }

    const fn event(&self) -> Millis {
        self.placed.record.event_time
    }

    /// Whether what it does to a unit outside of all containers depends on that unit's state alone, and changes nothing
    /// else.
    pub const fn is_simple(&self) -> bool {
        !matches!(
            self.placed.record.body,
            Body::Pack { .. } | Body::Unpack { .. } | Body::Transform { .. } | Body::Return { .. }
        )
    }
}

/// The record joins the chain of one subject, whose state this is.
pub(super) fn join<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    met: &Met,
    decided: &Decided,
    unit: &mut Unit,
) -> Result<()> {
    match (&entry.placed.record.body, met.target) {
        (Body::Commission { attributes, .. }, _)
        | (Body::Transform { attributes, .. }, Target::Output) => begin(entry, unit, attributes),
        (Body::Transform { .. } | Body::Destroy, _) => end(entry, unit),
        (Body::Pack { container }, Target::Unit) => {
            pack(step, entry, met.id, unit, container.id, decided);
        }
        (Body::Pack { .. }, _) => fill(step, unit, met, decided)?,
        (Body::Unpack { container }, Target::Unit) => {
            take_out(step, entry, met, unit, container.id)?;
        }
        (Body::Unpack { .. }, _) => empty(unit, units_joined(decided)),
        (Body::Handover(handover), _) => {
            offer(entry, unit, handover, &met.around);
            // Offered again, or delivered after it was offered, it is still passed on once.
            unit.tenures.change_last(|tenure| tenure.counted = true);
        }
        (Body::Void, _) => {
            let offer = unit.offer.take();
            forget_journey(unit, offer.as_ref());
            unit.voided = offer;
        }
        (Body::Accept { .. }, _) => accept(entry, unit),
        (Body::Refuse, _) => {
            let offer = unit.offer.take();
            forget_journey(unit, offer.as_ref());
        }
        (Body::Scan { .. }, _) => unit.scans = unit.scans.saturating_add(1),
        (Body::Deliver { .. }, _) => {
            close_tenure(unit, entry.event());
            unit.life = Life::Delivered;
            unit.holder = None;
            unit.offer = None;
        }
        (Body::Reject, _) => unit.disputed = Some(entry.placed.index),
        (Body::Confirm { .. }, _) => unit.disputed = None,
        (Body::Return { .. }, _) => give_back(step, entry, met, unit)?,
        (Body::Hold(Scope::Units), _) => unit.hold = Some(entry.stop().over(unit.hold)),
        (Body::Recall(Scope::Units), _) => unit.recall = Some(entry.stop().over(unit.recall)),
        (Body::Release(Scope::Units), _) => (unit.hold, unit.recall) = (None, None),
        _ => {}
    }
    advance(entry, unit);
    Ok(())
}

/// What a record does beyond its subjects.
pub(super) fn after<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    decided: &Decided,
) -> Result<()> {
    let any_joined = decided
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Joined(_)));
    match &entry.placed.record.body {
        Body::Handover(Handover {
            buyer: Some(buyer), ..
        }) if any_joined => register_buyer(step, entry, buyer, decided),
        Body::Commission {
            attributes,
            explains,
        } => {
            count_lot(step, entry, attributes, decided)?;
            if explains.is_empty() {
                return Ok(());
            }
            // A stranger's Commission stands beside the chain, and explains nothing.
            let begun = decided
                .iter()
                .filter(|(_, outcome)| matches!(outcome, Outcome::Joined(_)));
            explain(step, begun.map(|(met, _)| met.id), &|kind, index| {
                kind == FindingKind::NeverCommissioned && explains.contains(&index)
            })
        }
        Body::Transform { attributes, .. } => count_lot(step, entry, attributes, decided),
        _ => Ok(()),
    }
}

fn advance(entry: Entry<'_>, unit: &mut Unit) {
    unit.head = Some(entry.placed.id);
    unit.length += 1;
    // A clock that runs ahead must not make all that follows look late.
    let time = entry.event().min(entry.placed.time);
    unit.last_time = unit.last_time.max(time);
    unit.last_index = entry.placed.index;
    if let Some(position) = entry.placed.record.place.position
        && entry.placed.record.kind().is_physical()
    {
        unit.sighting = Some(Sighting {
            time,
            position,
            index: entry.placed.index,
        });
    }
}

fn begin(entry: Entry<'_>, unit: &mut Unit, attributes: &Attributes) {
    // Findings and history from before stay: what was seen before is not forgotten.
    *unit = Unit {
        findings: std::mem::take(&mut unit.findings),
        touched: unit.touched,
        besides: unit.besides,
        ..Unit::default()
    };
    unit.life = Life::Active;
    unit.maker = entry.actor.party();
    unit.commissioned_at = Some(entry.placed.index);
    unit.attributes = attributes.clone();
    hold_by(unit, entry);
}

fn end(entry: Entry<'_>, unit: &mut Unit) {
    close_tenure(unit, entry.event());
    unit.life = Life::Ended;
    unit.offer = None;
}

fn hold_by(unit: &mut Unit, entry: Entry<'_>) {
    let Some(party) = entry.actor.party() else {
        return;
    };
    close_tenure(unit, entry.event());
    unit.holder = Some(party);
    unit.tenures.push(Tenure {
        party,
        from: entry.event(),
        until: None,
        counted: false,
    });
}

fn close_tenure(unit: &mut Unit, at: Millis) {
    unit.tenures.change_last(|tenure| {
        let over = || at.max(tenure.from);
        tenure.until = Some(tenure.until.unwrap_or_else(over));
    });
}

fn units_joined(decided: &Decided) -> u64 {
    let joined = |(met, outcome): &&(Met, Outcome)| {
        met.target == Target::Unit && matches!(outcome, Outcome::Joined(_))
    };
    decided.iter().filter(joined).count() as u64
}

fn pack<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    id: UnitId,
    unit: &mut Unit,
    container: UnitId,
    decided: &Decided,
) {
    let outer = decided
        .iter()
        .find(|(met, _)| met.target == Target::Container);
    unit.container_scans = outer.map_or(0, |(met, _)| effective_scans(&met.unit, &met.around));
    unit.container = Some(container);
    unit.packed_at = entry.placed.index;
    unit.packed_time = entry.event();
    let stay = Stay {
        packed_at: entry.placed.index,
        unpacked_at: None,
    };
    step.views.put::<Contents>((container, id), stay);
}

/// The container of a Pack: it has more inside, and so have those around it.
fn fill<R: Read>(
    step: &mut Step<'_, R>,
    container: &mut Unit,
    met: &Met,
    decided: &Decided,
) -> Result<()> {
    container.contents += units_joined(decided);
    let inside = decided
        .iter()
        .filter(|(met, _)| met.target == Target::Unit)
        .map(|(met, _)| met.unit.height)
        .max();
    let mut height = inside.unwrap_or(0).saturating_add(1);
    container.height = container.height.max(height);
    for (id, _) in &met.around {
        height = height.saturating_add(1);
        let mut outer = step.views.get::<Units>(id)?.unwrap_or_default();
        if outer.height < height {
            Arc::make_mut(&mut outer).height = height;
            step.views.put::<Units>(*id, outer);
        }
    }
    Ok(())
}

fn empty(container: &mut Unit, taken: u64) {
    container.contents = container.contents.saturating_sub(taken);
    if container.contents == 0 {
        container.height = 0;
    }
}

/// A unit leaves its container with what it went through inside.
fn take_out<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    met: &Met,
    unit: &mut Unit,
    container: UnitId,
) -> Result<()> {
    inherit(unit, &met.around);
    let stay = Stay {
        packed_at: unit.packed_at,
        unpacked_at: Some(entry.placed.index),
    };
    step.views.put::<Contents>((container, met.id), stay);
    unit.container = None;
    Ok(())
}

fn inherit(unit: &mut Unit, around: &Around) {
    let Some((_, outermost)) = around.last() else {
        return;
    };
    unit.scans = effective_scans(unit, around);
    unit.sighting = effective_sighting(unit, around);
    // Who held the container since is who held the unit.
    let since = outermost
        .tenures
        .iter()
        .filter(|tenure| tenure.from > unit.packed_time);
    let since: Vec<Tenure> = since.collect();
    if let Some(first) = since.first() {
        close_tenure(unit, first.from);
    }
    for tenure in since {
        unit.tenures.push(tenure);
    }
    // A clock that ran back can date a change of hands before the packing.
    let last = unit.tenures.last().map(|tenure| tenure.party);
    if let (true, Some(tenure)) = (last != outermost.holder, outermost.tenures.last())
        && outermost.holder.is_some()
    {
        close_tenure(unit, tenure.from);
        unit.tenures.push(tenure);
    }
    unit.holder = outermost.holder;
    for (_, container) in around {
        unit.last_time = unit.last_time.max(container.last_time);
    }
}

fn offer(entry: Entry<'_>, unit: &mut Unit, handover: &Handover, around: &Around) {
    unit.offer = Some(Offer {
        to: handover.to,
        index: entry.placed.index,
    });
    unit.voided = None;
    let on_its_way = unit.journey.is_some() && unit.buyer.is_some();
    if let (Some(buyer), false) = (&handover.buyer, on_its_way) {
        unit.buyer = Some(buyer.id());
        unit.journey = Some(Journey {
            index: entry.placed.index,
            seller: entry.actor.party(),
            start: entry.event(),
            weight_grams: handover.weight_grams,
            means: handover.means,
            scans: effective_scans(unit, around),
        });
    }
}

/// An offer that named the buyer came to nothing: the order is open again.
fn forget_journey(unit: &mut Unit, offer: Option<&Offer>) {
    let began = unit.journey.as_ref().map(|journey| journey.index);
    if began.is_some() && began == offer.map(|offer| offer.index) {
        (unit.journey, unit.buyer) = (None, None);
    }
}

fn accept(entry: Entry<'_>, unit: &mut Unit) {
    let offer = unit.offer.take();
    unit.voided = None;
    if unit
        .journey
        .as_ref()
        .is_some_and(|journey| journey.seller == entry.actor.party())
    {
        // It came back undelivered: the order is open again.
        (unit.journey, unit.buyer) = (None, None);
    }
    // The first Accept after the seller's handover is where the way begins; a later one is on it.
    let on_the_way = unit.journey.as_ref().is_some_and(|journey| {
        offer
            .as_ref()
            .is_some_and(|offer| offer.index != journey.index)
    });
    if on_the_way {
        unit.scans = unit.scans.saturating_add(1);
    }
    hold_by(unit, entry);
}

/// What a joined record did to a unit.
pub(super) fn history_row(entry: Entry<'_>, unit: &Unit) -> HistoryRow {
    HistoryRow {
        before: None,
        kind: entry.placed.record.kind(),
        joined: true,
        signer: entry.actor,
        holder: unit.holder,
        offered: unit.offer.as_ref().map(|offer| offer.to),
        buyer: unit.buyer,
        container: unit.container,
        delivered: delivered(entry, unit),
    }
}

/// The way that ended with a Deliver.
fn delivered(entry: Entry<'_>, unit: &Unit) -> Option<Delivered> {
    let record = entry.placed.record;
    let journey = unit.journey.as_ref();
    let journey = journey.filter(|_| record.kind() == Kind::Deliver && unit.buyer.is_some())?;
    Some(Delivered {
        shipped: journey.index,
        seller: journey.seller,
        took_ms: record.event_time.0.saturating_sub(journey.start.0),
        weightless: journey.weight_grams == 0,
        seen: effective_scans(unit, &Around::new()) > journey.scans,
        in_person: journey.means == Means::InPerson,
    })
}

/// The buyer gives the unit back: it leaves what it was delivered in.
fn give_back<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    met: &Met,
    unit: &mut Unit,
) -> Result<()> {
    if let Some((id, _)) = met.around.first() {
        take_out(step, entry, met, unit, *id)?;
        let mut container = step.views.get::<Units>(id)?.unwrap_or_default();
        empty(Arc::make_mut(&mut container), 1);
        step.views.put::<Units>(*id, container);
    }
    if let Some(buyer) = nearest_buyer(unit, &met.around)
        && let Some(mut key) = step.views.get::<Keys>(&buyer)?
    {
        // Its order is over: what is sold again needs another key.
        key.ended_at = Some(entry.placed.index);
        step.views.put::<Keys>(buyer, key);
    }
    unit.life = Life::Active;
    (unit.buyer, unit.disputed, unit.journey) = (None, None, None);
    hold_by(unit, entry);
    Ok(())
}

/// A buyer key serves one order: it is new, or the very units were in the Handover that named it
/// first.
fn register_buyer<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    buyer: &crate::core::signature::PublicKey,
    decided: &Decided,
) -> Result<()> {
    let id: KeyId = buyer.id();
    if let Some(key) = step.views.get::<Keys>(&id)? {
        let mut same_order = key.ended_at.is_none();
        for (met, _) in decided.iter().filter(|(met, _)| step.focus.covers(&met.id)) {
            let first = step.views.history(&met.id, key.registered_at)?;
            same_order &= first.is_some_and(|row| row.buyer == Some(id));
        }
        if same_order {
            return Ok(());
        }
        return Err(Refusal::new(
            Reason::AlreadyExists,
            format!("key {id} is known already; a buyer key serves one order"),
        )
        .at("handover.buyer")
        .into());
    }
    step.views.put::<Keys>(
        id,
        Key {
            public: *buyer,
            owner: Actor::Buyer(id),
            scope: KeyScope::Buyer,
            valid_from: Millis(0),
            valid_until: None,
            status: KeyStatus::Active,
            registered_at: entry.placed.index,
            ended_at: None,
        },
    );
    Ok(())
}

fn count_lot<R: Read>(
    step: &mut Step<'_, R>,
    entry: Entry<'_>,
    attributes: &Attributes,
    decided: &Decided,
) -> Result<()> {
    let Some(lot) = attributes.lot else {
        return Ok(());
    };
    let mut made: BTreeMap<ProductId, u64> = BTreeMap::new();
    for (met, outcome) in decided.iter().filter(|(met, _)| met.is_created()) {
        if let (Outcome::Joined(_), Some(product)) = (outcome, product_of(&met.id)) {
            *made.entry(product).or_default() += 1;
        }
    }
    for (product, count) in made {
        let goods = GoodsId::Lot(product, lot);
        let mut row = step.views.get::<Goods>(&goods)?.unwrap_or_default();
        row.commissioned += count;
        if row.lot_size.is_none() && attributes.lot_size.is_some() {
            row.lot_size = attributes.lot_size;
            row.declared_at = Some(entry.placed.index);
        }
        step.views.put::<Goods>(goods, row);
    }
    Ok(())
}

/// Closes the open findings at these units that this entry explains.
pub(super) fn explain<R: Read>(
    step: &mut Step<'_, R>,
    units: impl Iterator<Item = UnitId>,
    explains: &dyn Fn(FindingKind, LogIndex) -> bool,
) -> Result<()> {
    for id in units {
        let Some(unit) = step.views.get::<Units>(&id)? else {
            continue;
        };
        for finding in &unit.findings {
            if finding.status == FindingStatus::Open && explains(finding.kind, finding.index) {
                close_finding(step, id, finding.number, (FindingStatus::Explained, false))?;
            }
        }
    }
    Ok(())
}

/// Says what became of a finding, in the list and at its unit.
pub(super) fn close_finding<R: Read>(
    step: &mut Step<'_, R>,
    id: UnitId,
    number: u64,
    (status, by_regulator): (FindingStatus, bool),
) -> Result<()> {
    if let Some(mut row) = step.views.get::<Findings>(&number)? {
        (row.status, row.by_regulator) = (status, by_regulator);
        row.closed = Some(step.stamp());
        step.views.put::<Findings>(number, row);
    }
    if let Some(mut unit) = step.views.get::<Units>(&id)? {
        let findings = Arc::make_mut(&mut unit).findings.iter_mut();
        for finding in findings.filter(|finding| finding.number == number) {
            (finding.status, finding.by_regulator) = (status, by_regulator);
        }
        step.views.put::<Units>(id, unit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::MAX_TENURES;
    use super::*;
    use crate::core::apply::testing::{Body as Says, *};
    use crate::core::refusal::Reason;
    use crate::core::wire;

    fn with_the_seller() -> World {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), item(2)], say::commission());
        w.pass(&[item(1), item(2)], MAKER, SELLER);
        w
    }

    fn ship(buyer: Who) -> Says {
        say::ship(COURIER, buyer, 500, wire::Means::Road)
    }

    #[test]
    fn given_a_buyer_key_of_one_order_when_another_order_names_it_then_it_is_refused() {
        let mut w = with_the_seller();
        w.ok(SELLER, &[item(1)], ship(BUYER));
        let second = w.draft(SELLER, &[item(2)], ship(BUYER));
        assert_eq!(w.refused(&second), Reason::AlreadyExists);
        w.ok(SELLER, &[item(2)], ship(BUYER_2));
    }

    #[test]
    fn given_a_buyer_key_when_the_same_order_ships_again_then_it_serves_on() {
        let mut w = with_the_seller();
        w.ok(SELLER, &[item(1), item(2)], ship(BUYER));
        w.ok(COURIER, &[item(1)], say::refuse());
        w.ok(SELLER, &[item(1)], ship(BUYER));
        w.ok(COURIER, &[item(1), item(2)], say::accept());
        w.ok(COURIER, &[item(1), item(2)], say::scan());
        w.ok(COURIER, &[item(1), item(2)], say::deliver(BUYER));
        w.ok(BUYER, &[item(1), item(2)], say::confirm(&[]));
    }

    #[test]
    fn given_the_key_of_a_party_when_it_is_named_as_a_buyer_then_it_is_refused() {
        let mut w = with_the_seller();
        for party in [SELLER, REGULATOR] {
            let draft = w.draft(SELLER, &[item(1)], ship(party));
            assert_eq!(w.refused(&draft), Reason::AlreadyExists);
        }
    }

    #[test]
    fn given_a_handover_beside_the_chain_when_it_names_a_buyer_then_no_key_is_registered() {
        let mut w = with_the_seller();
        let draft = w.draft(DISTRIBUTOR, &[item(1)], ship(BUYER));
        w.beside(&draft, FindingKind::NotHolder);
        assert!(!w.state.keys.contains_key(&BUYER.key_id()));
    }

    #[test]
    fn given_a_returned_order_when_the_goods_are_sold_again_then_another_key_is_needed() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.sold(item(1), BUYER);
        let consent = Consent {
            origin: ORIGIN,
            to: SELLER,
            signed_by: BUYER,
        };
        w.clean(&w.return_with_consent(SELLER, &[item(1)], &consent));
        let same_key = w.draft(SELLER, &[item(1)], ship(BUYER));
        assert_eq!(w.refused(&same_key), Reason::AlreadyExists);
        w.ok(SELLER, &[item(1)], ship(BUYER_2));
    }

    #[test]
    fn given_a_container_that_moved_when_a_unit_leaves_it_then_it_takes_holder_and_scans_along() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1), parcel(2)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.ok(MAKER, &[parcel(1)], say::pack(parcel(2)));
        w.pass(&[parcel(2)], MAKER, COURIER);
        let scan = w.draft(COURIER, &[parcel(2)], say::scan());
        let seen = w.clean(&scan.position(at(26, 119)));
        w.ok(COURIER, &[parcel(1)], say::unpack(parcel(2)));
        w.pass(&[parcel(1)], COURIER, SELLER);
        w.ok(SELLER, &[item(1)], say::unpack(parcel(1)));
        let unit = w.unit(item(1));
        assert_eq!(unit.holder, Some(SELLER.party()));
        assert_eq!(unit.scans, 1);
        assert_eq!(unit.sighting.map(|sighting| sighting.index), Some(seen));
        let mut held: Vec<_> = unit.tenures.iter().map(|tenure| tenure.party).collect();
        held.dedup();
        assert_eq!(held, [MAKER.party(), COURIER.party(), SELLER.party()]);
    }

    #[test]
    fn given_many_holders_when_tenures_are_remembered_then_they_are_bounded() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        for _ in 0..MAX_TENURES {
            w.pass(&[item(1)], MAKER, COURIER);
            w.pass(&[item(1)], COURIER, MAKER);
        }
        assert_eq!(w.unit(item(1)).tenures.len(), MAX_TENURES);
    }

    #[test]
    fn given_a_dispute_when_the_goods_come_back_then_it_is_over() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.sold(item(1), BUYER);
        let disputed = w.ok(BUYER, &[item(1)], say::reject());
        assert_eq!(w.unit(item(1)).disputed, Some(disputed));
        let consent = Consent {
            origin: ORIGIN,
            to: COURIER,
            signed_by: BUYER,
        };
        w.clean(&w.return_with_consent(COURIER, &[item(1)], &consent));
        assert_eq!(w.unit(item(1)).disputed, None);
    }
}
