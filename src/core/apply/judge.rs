//! Judges one record at one unit: joins the chain, stands beside it, or is stale.

use super::authority::Authority;
use super::custody::Facts;
use super::state::{
    Actor, Goods, GoodsState, History, HistoryRow, Ledger, Life, Products, Read, ReadError,
    Records, Stop, Unit, Units,
};
use super::{Placed, Result};
use crate::core::envelope::RecordId;
use crate::core::id::{CompanyPrefix, PartyId, UnitId};
use crate::core::record::{
    Body, GoodsId, Kind, MAX_NESTING, ProductId, ProductScope, Scope, UnitRef,
};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Around, Break, Case, Class, FindingKind, GoodsStop, RULES, Target};

/// What becomes of the record at one unit.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It joins the chain, with what is implausible about it.
    Joined(Vec<(FindingKind, Break)>),
    /// It stands beside the chain: it broke a custody rule, or it comes late and is evidence only.
    Beside(Option<(FindingKind, Break)>),
    /// It named a `prev` that is not the head any more: these are.
    Stale(Vec<(UnitId, Option<RecordId>)>),
}

/// A unit as the record meets it.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub id: UnitId,
    pub target: Target,
    /// The `prev` that the record names for it.
    pub named: Option<RecordId>,
    /// Path of the field that names it.
    pub field: String,
    pub unit: Unit,
    pub around: Around,
}

/// The state of a unit, and of what is around it.
pub(super) fn meet<R: Read>(state: &R, id: &UnitId) -> Result<(Unit, Around)> {
    let unit = state.get::<Units>(id)?.unwrap_or_default();
    let around = around(state, &unit)?;
    Ok((unit, around))
}

/// The containers around a unit, innermost first. Never more than [`MAX_NESTING`] by the checks
/// at packing.
pub(super) fn around<R: Read>(state: &R, unit: &Unit) -> std::result::Result<Around, ReadError> {
    let mut around = Around::new();
    let mut next = unit.container;
    while let Some(id) = next.take() {
        if around.len() >= MAX_NESTING {
            break;
        }
        let Some(container) = state.get::<Units>(&id)? else {
            break;
        };
        next.clone_from(&container.container);
        around.push((id, container));
    }
    Ok(around)
}

/// Judges the record at one unit.
pub(super) fn judge<R: Read>(
    state: &R,
    placed: Placed<'_>,
    ledger: &Ledger,
    authority: &Authority,
    met: &Met,
    facts: &Facts,
) -> Result<Outcome> {
    let stops = stops(state, &met.id, &met.unit, &met.around)?;
    let owns_identifier = match authority.actor.party() {
        Some(party) => {
            needs_owner(placed.record.kind(), met.target) && owner(state, &met.id)? == Some(party)
        }
        None => false,
    };
    let case = Case {
        record: placed.record,
        time: placed.time,
        signer: authority.actor,
        roles: &authority.roles,
        unit: &met.id,
        target: met.target,
        state: &met.unit,
        around: &met.around,
        owns_identifier,
        stops: &stops,
        lot_count: facts.lot_count,
        transformed: facts.transformed,
        confirm_mismatch: facts.confirm_mismatch,
        thresholds: &ledger.thresholds,
    };
    if let Some(outcome) = correction(&case, met) {
        return outcome;
    }
    if is_late_scan(&case) {
        return Ok(Outcome::Beside(None));
    }
    let broken = RULES
        .iter()
        .filter(|rule| rule.class == Class::Custody)
        .find_map(|rule| (rule.check)(&case).map(|proof| (rule.kind, proof)));
    let current = heads_named(placed, met) && met.named == met.unit.head;
    if let Some(broken) = broken {
        if !current && is_entitled_at_prev(state, placed, authority.actor, met)? {
            return Ok(stale(met));
        }
        if placed.record.kind() == Kind::Accept {
            prev_is_here(state, met)?;
        }
        return Ok(Outcome::Beside(Some(broken)));
    }
    if !current {
        prev_is_here(state, met)?;
        prev_is_of_this_unit(state, met)?;
        return Ok(stale(met));
    }
    preconditions(&case, met, facts.contents_known)?;
    let flags = RULES
        .iter()
        .filter(|rule| rule.class == Class::Plausibility)
        .filter_map(|rule| (rule.check)(&case).map(|proof| (rule.kind, proof)))
        .collect();
    Ok(Outcome::Joined(flags))
}

/// A Correct joins when its signer may act here and named the head; otherwise it is evidence.
fn correction(case: &Case<'_>, met: &Met) -> Option<Result<Outcome>> {
    if case.kind() != Kind::Correct {
        return None;
    }
    let joins = case.signer_holds()
        && case.life() == Life::Active
        && met.named == met.unit.head
        && met.unit.head.is_some()
        && met.around.is_empty();
    Some(Ok(if joins {
        Outcome::Joined(Vec::new())
    } else {
        Outcome::Beside(None)
    }))
}

/// Scans of a former holder from within its tenure come late, and mean nothing worse.
fn is_late_scan(case: &Case<'_>) -> bool {
    let (Kind::Scan, Some(party)) = (case.kind(), case.party()) else {
        return false;
    };
    let tolerance = case.thresholds.reversal_tolerance_ms;
    let event = case.record.event_time;
    let holds = case.signer_holds() && case.life() == Life::Active;
    // While a unit is packed its own tenure stays open; it ended when the container went.
    let outermost = case.outermost().tenures.iter();
    let left = outermost
        .filter(|tenure| tenure.party == party)
        .filter_map(|tenure| tenure.until)
        .max();
    !holds
        && std::iter::once(case.state)
            .chain(case.around.iter().map(|(_, unit)| unit))
            .flat_map(|unit| &unit.tenures)
            .filter(|tenure| tenure.party == party)
            .any(|tenure| {
                event.plus(tolerance) >= tenure.from
                    && tenure
                        .until
                        .or(left)
                        .is_none_or(|until| event <= until.plus(tolerance))
            })
}

/// Whether the record names every container around the unit with its head.
fn heads_named(placed: Placed<'_>, met: &Met) -> bool {
    met.around.iter().all(|(id, container)| {
        let acted_on = match &placed.record.body {
            Body::Unpack { container } | Body::Pack { container } => Some(container),
            _ => None,
        };
        placed
            .record
            .containers
            .iter()
            .chain(acted_on)
            .any(|named| named.id == *id && named.prev == container.head)
    })
}

fn stale(met: &Met) -> Outcome {
    let own = (met.id, met.unit.head);
    let around = met.around.iter().map(|(id, unit)| (*id, unit.head));
    Outcome::Stale(std::iter::once(own).chain(around).collect())
}

/// Whether the signer could act at the moment that the record names.
fn is_entitled_at_prev<R: Read>(
    state: &R,
    placed: Placed<'_>,
    actor: Actor,
    met: &Met,
) -> Result<bool> {
    let own = UnitRef {
        id: met.id,
        prev: met.named,
    };
    for named in std::iter::once(&own).chain(&placed.record.containers) {
        let Some(row) = chain_row(state, &named.id, named.prev)? else {
            continue;
        };
        if row_entitles(&row, actor) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the actor holds, is offered, or is the buyer after this step.
pub(super) fn row_entitles(row: &HistoryRow, actor: Actor) -> bool {
    match actor {
        Actor::Party(party) => row.holder == Some(party) || row.offered == Some(party),
        Actor::Buyer(key) => row.buyer == Some(key),
    }
}

/// The step of a unit's chain that a record id names.
pub(super) fn chain_row<R: Read>(
    state: &R,
    unit: &UnitId,
    prev: Option<RecordId>,
) -> Result<Option<HistoryRow>> {
    let Some(prev) = prev else { return Ok(None) };
    let Some(index) = state.get::<Records>(&prev)? else {
        return Ok(None);
    };
    Ok(state
        .get::<History>(&(*unit, index))?
        .filter(|row| row.joined))
}

fn prev_is_here<R: Read>(state: &R, met: &Met) -> Result<()> {
    if let Some(prev) = met.named
        && state.get::<Records>(&prev)?.is_none()
    {
        return Err(Refusal::new(
            Reason::PrevUnknown,
            format!("record {prev} has not arrived here; send it first, then this again"),
        )
        .at(format!("{}.prev", met.field))
        .into());
    }
    Ok(())
}

fn prev_is_of_this_unit<R: Read>(state: &R, met: &Met) -> Result<()> {
    if met.named.is_some() && chain_row(state, &met.id, met.named)?.is_none() {
        return Err(Refusal::new(
            Reason::PrevNotInChain,
            format!(
                "the record that it names is not in the chain of {}; read its head",
                met.id
            ),
        )
        .at(format!("{}.prev", met.field))
        .into());
    }
    Ok(())
}

/// What a lawful signer got wrong about the state: an input error, no finding.
fn preconditions(case: &Case<'_>, met: &Met, contents_known: bool) -> Result<()> {
    let failed = |message: String| {
        Err(Refusal::new(Reason::FailedPrecondition, message)
            .at(met.field.clone())
            .into())
    };
    let unit = case.state;
    match &case.record.body {
        Body::Handover(_) | Body::Pack { .. } if unit.offer.is_some() => failed(format!(
            "{} is offered to {}; void the offer first",
            met.id,
            unit.offer
                .as_ref()
                .map(|offer| offer.to.to_string())
                .unwrap_or_default()
        )),
        Body::Pack { .. } | Body::Unpack { .. }
            if unit.offer.is_some()
                || case.around.iter().any(|(_, outer)| outer.offer.is_some()) =>
        {
            failed(format!(
                "{} or what it is in is offered to somebody; void the offer first",
                met.id
            ))
        }
        Body::Handover(handover) if Some(handover.to) == case.party() => {
            failed(format!("{} would be handed to its holder", met.id))
        }
        Body::Void if unit.offer.is_none() => {
            failed(format!("{} is not offered to anybody", met.id))
        }
        Body::Release(Scope::Units) if unit.hold.is_none() && unit.recall.is_none() => {
            failed(format!("{} is neither held nor recalled", met.id))
        }
        Body::Release(Scope::Units) if !case.may_release() => Err(Refusal::new(
            Reason::Unauthorised,
            format!(
                "a regulator stopped {}, and only a regulator releases it",
                met.id
            ),
        )
        .at(met.field.clone())
        .into()),
        Body::Return { .. } | Body::Confirm { .. } | Body::Reject
            if case.life() != Life::Delivered =>
        {
            failed(format!("{} has not been delivered", met.id))
        }
        Body::Transform { .. } | Body::Destroy if contents_known && unit.contents > 0 => {
            failed(format!(
                "{} has {} units inside; unpack them first",
                met.id, unit.contents
            ))
        }
        _ => Ok(()),
    }
}

/// Holds and recalls that cover a unit: its own, those of what is around it, and those of lots
/// and products.
fn stops_of<R: Read>(
    state: &R,
    id: &UnitId,
    unit: &Unit,
) -> std::result::Result<Vec<GoodsStop>, ReadError> {
    let mut stops = Vec::new();
    let mut add = |recall: Option<Stop>, hold: Option<Stop>| {
        stops.extend(recall.map(|stop| GoodsStop {
            index: stop.index,
            recall: true,
        }));
        stops.extend(hold.map(|stop| GoodsStop {
            index: stop.index,
            recall: false,
        }));
    };
    add(unit.recall, unit.hold);
    for goods in goods_of(id, unit) {
        let row: GoodsState = state.get::<Goods>(&goods)?.unwrap_or_default();
        add(row.recall, row.hold);
    }
    Ok(stops)
}

/// The same for a unit and all that is around it.
pub(super) fn stops<R: Read>(
    state: &R,
    id: &UnitId,
    unit: &Unit,
    around: &Around,
) -> std::result::Result<Vec<GoodsStop>, ReadError> {
    let mut stops = stops_of(state, id, unit)?;
    for (id, container) in around {
        stops.extend(stops_of(state, id, container)?);
    }
    stops.sort_unstable_by_key(|stop| stop.index);
    stops.dedup();
    Ok(stops)
}

/// The product and the lot that a unit is of.
pub fn goods_of(id: &UnitId, unit: &Unit) -> Vec<GoodsId> {
    let Some(product) = product_of(id) else {
        return Vec::new();
    };
    let lot = unit.attributes.lot.map(|lot| GoodsId::Lot(product, lot));
    std::iter::once(GoodsId::Product(product))
        .chain(lot)
        .collect()
}

/// The product that a unit is of; logistic units are of none.
pub(super) fn product_of(id: &UnitId) -> Option<ProductId> {
    match id {
        UnitId::Sgtin(sgtin) => Some(ProductId::Gtin(sgtin.gtin)),
        UnitId::DrugCode(code) => Some(ProductId::Drug(code.drug_id())),
        UnitId::Sscc(_) | UnitId::Waybill(_) => None,
    }
}

const fn needs_owner(kind: Kind, target: Target) -> bool {
    matches!(target, Target::Output)
        || matches!(
            kind,
            Kind::Commission | Kind::Hold | Kind::Release | Kind::Recall
        )
}

/// Who gives out a unit's identifier: the longest approved scope that covers it.
pub(super) fn owner<R: Read>(state: &R, id: &UnitId) -> Result<Option<PartyId>> {
    for scope in scopes_of(id) {
        let owner = state
            .get::<Products>(&scope)?
            .and_then(|product| product.owner);
        if let Some(owner) = owner {
            return Ok(Some(owner.party));
        }
    }
    Ok(None)
}

/// The scopes that cover a unit's identifier, the longest first.
pub fn scopes_of(id: &UnitId) -> Vec<ProductScope> {
    match id {
        UnitId::Sgtin(sgtin) => std::iter::once(ProductScope::Gtin(sgtin.gtin))
            .chain(prefixes(&sgtin.gtin.to_string()))
            .collect(),
        UnitId::Sscc(sscc) => prefixes(&sscc.to_string()).collect(),
        UnitId::Waybill(waybill) => vec![ProductScope::Carrier(waybill.carrier())],
        UnitId::DrugCode(code) => vec![ProductScope::Drug(code.drug_id())],
    }
}

/// The scopes that cover a product.
pub(super) fn scopes_of_product(product: ProductId) -> Vec<ProductScope> {
    match product {
        ProductId::Gtin(gtin) => std::iter::once(ProductScope::Gtin(gtin))
            .chain(prefixes(&gtin.to_string()))
            .collect(),
        ProductId::Drug(drug) => vec![ProductScope::Drug(drug)],
    }
}

/// The company prefixes (4 to 12 digits, after the indicator or extension digit) that a GTIN-14 or
/// SSCC may begin with, the longest first.
fn prefixes(digits: &str) -> impl Iterator<Item = ProductScope> + '_ {
    (4..=12).rev().filter_map(|length| {
        let prefix = digits.get(1..1 + length)?;
        CompanyPrefix::new(prefix)
            .ok()
            .map(ProductScope::CompanyPrefix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::*;
    use crate::core::wire::StandingWord;

    fn three_items() -> World {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), item(2), item(3)], say::commission());
        w
    }

    #[test]
    fn given_stale_units_when_their_holder_acts_then_the_conflict_lists_every_one() {
        let mut w = three_items();
        let late = w.draft(MAKER, &[item(1), item(2), item(3)], say::scan());
        w.ok(MAKER, &[item(1)], say::scan());
        w.ok(MAKER, &[item(3)], say::scan());
        let refusal = w.submit(&late).unwrap_err();
        assert_eq!(refusal.reason, Reason::Conflict);
        let heads = [(item(1), w.head(item(1))), (item(3), w.head(item(3)))];
        assert_eq!(refusal.heads, heads);
        w.ok(MAKER, &[item(1), item(2), item(3)], say::scan());
    }

    #[test]
    fn given_two_records_race_for_one_head_when_both_arrive_then_the_second_conflicts() {
        let mut w = three_items();
        let first = w.draft(MAKER, &[item(1)], say::handover(COURIER));
        let second = w.draft(MAKER, &[item(1)], say::handover(SELLER));
        w.clean(&first);
        assert_eq!(w.refused(&second), Reason::Conflict);
        let forgot_prev = w.draft(MAKER, &[item(1)], say::scan()).prev(item(1), None);
        assert_eq!(w.refused(&forgot_prev), Reason::Conflict);
    }

    #[test]
    fn given_a_stale_record_when_its_signer_was_never_entitled_then_it_is_evidence_not_a_conflict()
    {
        let mut w = three_items();
        let stranger = w.draft(DISTRIBUTOR, &[item(1)], say::scan());
        w.ok(MAKER, &[item(1)], say::scan());
        w.beside(&stranger, NotHolder);
        let nowhere = Some(RecordId([7; 32]));
        let invented = w
            .draft(RIVAL, &[item(1)], say::scan())
            .prev(item(1), nowhere);
        w.beside(&invented, NotHolder);
    }

    #[test]
    fn given_a_stale_record_when_its_signer_held_the_unit_then_it_conflicts() {
        let mut w = three_items();
        let sale = w.draft(MAKER, &[item(1)], say::handover(SELLER));
        w.pass(&[item(1)], MAKER, COURIER);
        assert_eq!(w.refused(&sale), Reason::Conflict);
        // Signed again at the new head, it is what it looks like.
        w.beside(
            &w.draft(MAKER, &[item(1)], say::handover(SELLER)),
            NotHolder,
        );
    }

    #[test]
    fn given_the_handover_has_not_arrived_when_it_is_accepted_then_prev_is_unknown_and_a_retry_joins()
     {
        let mut w = three_items();
        let handover = w.draft(MAKER, &[item(1)], say::handover(COURIER));
        let accept = w
            .draft(COURIER, &[item(1)], say::accept())
            .prev(item(1), Some(handover.id()));
        let refusal = w.submit(&accept).unwrap_err();
        assert_eq!(refusal.reason, Reason::PrevUnknown);
        assert!(refusal.reason.is_transient());
        assert_eq!(refusal.field, "units[0].prev");
        assert_eq!(w.findings(item(1)), []);
        w.clean(&handover);
        w.clean(&accept);
    }

    #[test]
    fn given_the_holder_was_offline_when_its_second_record_comes_first_then_prev_is_unknown() {
        let mut w = three_items();
        let first = w.draft(MAKER, &[item(1)], say::scan());
        let second = w.draft(MAKER, &[item(1)], say::handover(COURIER));
        let second = second.prev(item(1), Some(first.id()));
        assert_eq!(w.refused(&second), Reason::PrevUnknown);
        w.clean(&first);
        w.clean(&second);
    }

    #[test]
    fn given_the_prev_of_another_unit_when_the_holder_acts_then_the_field_is_wrong() {
        let mut w = three_items();
        w.ok(MAKER, &[item(2)], say::scan());
        let mixed_up = w
            .draft(MAKER, &[item(1)], say::scan())
            .prev(item(1), w.head(item(2)));
        let refusal = w.submit(&mixed_up).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.field.as_str()),
            (Reason::PrevNotInChain, "units[0].prev")
        );
    }

    /// The courier held the item from minute 10 to minute 70 after some moment.
    fn passed_through_the_courier() -> (World, u64) {
        let mut w = three_items();
        w.now += DAY;
        let start = w.now;
        w.ok(MAKER, &[item(1)], say::handover(COURIER));
        w.clean(
            &w.draft(COURIER, &[item(1)], say::accept())
                .on(start + 10 * MINUTE),
        );
        w.now = start + 65 * MINUTE;
        w.ok(COURIER, &[item(1)], say::handover(SELLER));
        w.clean(
            &w.draft(SELLER, &[item(1)], say::accept())
                .on(start + 70 * MINUTE),
        );
        w.now = start + DAY;
        (w, start)
    }

    #[test]
    fn given_a_former_holder_when_its_scans_come_late_then_they_are_beside_without_a_finding() {
        // Its tenure, and the tolerance of ten minutes on both sides.
        for minute in [0, 10, 40, 70, 80] {
            let (mut w, start) = passed_through_the_courier();
            let head = w.head(item(1));
            let scan = w
                .draft(COURIER, &[item(1)], say::scan())
                .on(start + minute * MINUTE);
            let applied = w.submit(&scan).unwrap();
            assert_eq!(
                (applied.verdict.findings, applied.verdict.beside),
                (vec![], vec![0, 1])
            );
            assert_eq!(w.head(item(1)), head);
            assert_eq!(w.word(item(1)), StandingWord::Consistent);
        }
    }

    #[test]
    fn given_a_former_holder_when_it_scans_outside_of_its_tenure_then_it_is_a_break() {
        for off_by_one in [-1, 80 * MINUTE as i64 + 1] {
            let (mut w, start) = passed_through_the_courier();
            let scan = w.draft(COURIER, &[item(1)], say::scan());
            w.beside(&scan.on(start.saturating_add_signed(off_by_one)), NotHolder);
        }
    }

    #[test]
    fn given_a_former_holder_when_it_does_more_than_scan_then_lateness_is_no_excuse() {
        let (mut w, start) = passed_through_the_courier();
        let handover = w.draft(COURIER, &[item(1)], say::handover(COURIER_2));
        w.beside(&handover.on(start + 40 * MINUTE), NotHolder);
    }

    /// An item in a parcel that the maker gave to the courier.
    fn packed_with_the_courier() -> World {
        let mut w = three_items();
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.now += HOUR;
        w.pass(&[parcel(1)], MAKER, COURIER);
        w
    }

    #[test]
    fn given_a_packed_unit_when_it_went_away_in_its_container_then_the_packers_tenure_has_ended() {
        let mut w = packed_with_the_courier();
        let left = w.now - MINUTE;
        w.now += HOUR;
        w.logged(
            &w.draft(MAKER, &[item(1)], say::scan())
                .on(left + 10 * MINUTE),
        );
        assert_eq!(w.findings(item(1)), []);
        w.beside(
            &w.draft(MAKER, &[item(1)], say::scan())
                .on(left + 10 * MINUTE + 1),
            NotHolder,
        );
    }

    #[test]
    fn given_a_packed_unit_when_its_container_is_left_out_or_old_then_it_conflicts_with_both_heads()
    {
        let mut w = packed_with_the_courier();
        let old_container = w.draft(COURIER, &[item(1)], say::scan());
        w.ok(COURIER, &[parcel(1)], say::scan());
        let heads = vec![(item(1), w.head(item(1))), (parcel(1), w.head(parcel(1)))];
        let no_container = w
            .draft(COURIER, &[item(1)], say::scan())
            .without_containers();
        for stale in [old_container, no_container] {
            let refusal = w.submit(&stale).unwrap_err();
            assert_eq!((refusal.reason, &refusal.heads), (Reason::Conflict, &heads));
        }
        w.ok(COURIER, &[item(1)], say::scan());
    }

    #[test]
    fn given_a_container_that_moved_on_when_its_last_holder_acts_on_what_is_inside_then_it_conflicts()
     {
        let mut w = packed_with_the_courier();
        let unpack = w.draft(COURIER, &[item(1)], say::unpack(parcel(1)));
        w.pass(&[parcel(1)], COURIER, SELLER);
        assert_eq!(w.refused(&unpack), Reason::Conflict);
        w.ok(SELLER, &[item(1)], say::unpack(parcel(1)));
    }

    #[test]
    fn given_a_packed_unit_when_a_stranger_leaves_out_the_container_then_it_is_evidence() {
        let mut w = packed_with_the_courier();
        let scan = w
            .draft(DISTRIBUTOR, &[item(1)], say::scan())
            .without_containers();
        w.beside(&scan, NotHolder);
    }

    #[test]
    fn given_a_state_that_does_not_allow_it_when_the_holder_errs_then_it_is_refused_without_a_finding()
     {
        let mut w = three_items();
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.ok(MAKER, &[item(2)], say::handover(COURIER));
        for (unit, body) in [
            (item(2), say::handover(SELLER)),
            (item(2), say::pack(parcel(1))),
            (item(3), say::handover(MAKER)),
            (item(3), say::void()),
            (item(3), say::release()),
            (item(3), say::take_back()),
            (parcel(1), say::destroy()),
            (
                parcel(1),
                say::transform(&[item(9)], crate::core::wire::Attributes::default()),
            ),
        ] {
            let draft = w.draft(
                if body == say::take_back() {
                    SELLER
                } else {
                    MAKER
                },
                &[unit],
                body,
            );
            assert_eq!(
                w.refused(&draft),
                Reason::FailedPrecondition,
                "{:?}",
                draft.record.body
            );
        }
        assert_eq!(w.state.findings.len(), 0);
    }

    #[test]
    fn given_goods_on_their_way_when_the_buyer_confirms_too_early_then_it_is_refused() {
        let mut w = three_items();
        w.pass(&[item(1)], MAKER, SELLER);
        let means = crate::core::wire::Means::Road;
        w.ok(SELLER, &[item(1)], say::ship(COURIER, BUYER, 1, means));
        let early = w.draft(BUYER, &[item(1)], say::confirm(&[]));
        assert_eq!(w.refused(&early), Reason::FailedPrecondition);
    }
}
