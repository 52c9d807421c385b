//! Judges one record at one unit: joins the chain, stands beside it, or is stale.

use std::sync::{Arc, LazyLock};

use super::authority::Authority;
use super::facts::Facts;
use super::state::{
    Actor, Goods, GoodsState, HistoryRow, Ledger, Life, Products, Read, ReadError, Stop, Unit,
    Units,
};
use super::{Placed, Result};
use crate::core::envelope::RecordId;
use crate::core::id::{CompanyPrefix, Lot, PartyId, UnitId};
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
    /// Its number among the record's units or outputs.
    pub number: usize,
    /// The record's kind.
    pub kind: Kind,
    pub unit: Arc<Unit>,
    pub around: Around,
}

impl Met {
    /// Path of the field that names it.
    pub fn field(&self) -> String {
        match self.target {
            Target::Unit => format!("units[{}]", self.number),
            Target::Container => format!("{}.container", self.kind.name()),
            Target::Output => format!("transform.outputs[{}]", self.number),
        }
    }

    /// Whether the record creates it.
    pub fn is_created(&self) -> bool {
        self.target.is_created_by(self.kind)
    }

    /// Whether a record does the same to both, if it does nothing that is told apart by the unit's name alone: they are
    /// of one product, in the same state, not packed, and named at the same head. The units of a pallet are, mostly.
    pub fn is_like(&self, other: &Self) -> bool {
        // Most often it is the very same state, since one record made it for both.
        let same_state = || Arc::ptr_eq(&self.unit, &other.unit) || self.unit == other.unit;
        let product = product_of(&self.id);
        product.is_some()
            && product == product_of(&other.id)
            && (self.target, self.named) == (other.target, other.named)
            && self.around.is_empty()
            && other.around.is_empty()
            && same_state()
    }
}

/// A unit of which nothing is known.
pub(super) fn unknown_unit() -> Arc<Unit> {
    static UNKNOWN: LazyLock<Arc<Unit>> = LazyLock::new(Arc::default);
    Arc::clone(&UNKNOWN)
}

/// The state of a unit, and of what is around it.
pub(super) fn meet<R: Read>(state: &R, id: &UnitId) -> Result<(Arc<Unit>, Around)> {
    let unit = state.get::<Units>(id)?.unwrap_or_else(unknown_unit);
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
    alike: &mut Alike,
) -> Result<Outcome> {
    if facts.are_plain()
        && alike
            .blameless
            .as_ref()
            .is_some_and(|other| met.is_like(other))
    {
        return Ok(Outcome::Joined(Vec::new()));
    }
    let stops = alike.stops(state, met)?;
    let owns_identifier = match authority.actor.party() {
        Some(party) => {
            needs_owner(placed.record.kind(), met.target)
                && alike.owner(state, &met.id)? == Some(party)
        }
        None => false,
    };
    let case = Case {
        record: placed.record,
        time: placed.time,
        signer: authority.actor,
        roles: authority.roles(),
        blacklisted: authority.blacklisted(placed.record.event_time.min(placed.time)),
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
    let flags: Vec<_> = RULES
        .iter()
        .filter(|rule| rule.class == Class::Plausibility)
        .filter_map(|rule| (rule.check)(&case).map(|proof| (rule.kind, proof)))
        .collect();
    if flags.is_empty() && facts.are_plain() && met.around.is_empty() {
        alike.blameless = Some(met.clone());
    }
    Ok(Outcome::Joined(flags))
}

/// What the last unit of a record had in common with many others: nothing changes while a record is judged, and its
/// units are of one lot mostly.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// The last one that joined with nothing against it.
    blameless: Option<Met>,
    goods: Option<StopsOfGoods>,
    owner: Option<(ProductId, Option<PartyId>)>,
}

/// A product, maybe a lot of it, and what stops them.
type StopsOfGoods = ((ProductId, Option<Lot>), Vec<GoodsStop>);

impl Alike {
    /// As [`stops`].
    fn stops<R: Read>(&mut self, state: &R, met: &Met) -> Result<Vec<GoodsStop>> {
        let Some(product) = product_of(&met.id).filter(|_| met.around.is_empty()) else {
            return Ok(stops(state, &met.id, &met.unit, &met.around)?);
        };
        let goods = (product, met.unit.attributes.lot);
        let known = match self.goods.take() {
            Some(known) if known.0 == goods => known,
            _ => (goods, stops_of_goods(state, &met.id, &met.unit)?),
        };
        let (_, of_goods) = self.goods.insert(known);
        let mut stops = own_stops(&met.unit);
        stops.extend(of_goods.iter().copied());
        Ok(in_order(stops))
    }

    /// Who gives out the unit's identifier.
    fn owner<R: Read>(&mut self, state: &R, id: &UnitId) -> Result<Option<PartyId>> {
        let Some(product) = product_of(id) else {
            return owner(state, &scopes_of(id));
        };
        if let Some((of, owner)) = self.owner
            && of == product
        {
            return Ok(owner);
        }
        let owner = owner(state, &scopes_of_product(product))?;
        self.owner = Some((product, owner));
        Ok(owner)
    }
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
    if case.signer_holds() && case.life() == Life::Active {
        return false;
    }
    let tolerance = case.thresholds.reversal_tolerance_ms;
    let event = case.record.event_time;
    // While a unit is packed its own tenure stays open; it ended when the container went.
    let outermost = case.outermost().tenures.iter();
    let left = outermost
        .filter(|tenure| tenure.party == party)
        .filter_map(|tenure| tenure.until)
        .max();
    std::iter::once(case.state)
        .chain(case.around.iter().map(|(_, unit)| &**unit))
        .flat_map(|unit| unit.tenures.iter())
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
    let Some(index) = state.entry_of(&prev)? else {
        return Ok(None);
    };
    Ok(state.history(unit, index)?.filter(|row| row.joined))
}

fn prev_is_here<R: Read>(state: &R, met: &Met) -> Result<()> {
    if let Some(prev) = met.named
        && state.entry_of(&prev)?.is_none()
    {
        return Err(Refusal::new(
            Reason::PrevUnknown,
            format!("record {prev} has not arrived here; send it first, then this again"),
        )
        .at(format!("{}.prev", met.field()))
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
        .at(format!("{}.prev", met.field()))
        .into());
    }
    Ok(())
}

/// What a lawful signer got wrong about the state: an input error, no finding.
fn preconditions(case: &Case<'_>, met: &Met, contents_known: bool) -> Result<()> {
    let failed = |message: String| {
        Err(Refusal::new(Reason::FailedPrecondition, message)
            .at(met.field())
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
        .at(met.field())
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

/// Holds and recalls of a unit itself.
fn own_stops(unit: &Unit) -> Vec<GoodsStop> {
    stops_in_force(unit.recall, unit.hold).collect()
}

/// Those of the product and the lot that it is of.
fn stops_of_goods<R: Read>(
    state: &R,
    id: &UnitId,
    unit: &Unit,
) -> std::result::Result<Vec<GoodsStop>, ReadError> {
    let mut stops = Vec::new();
    for goods in goods_of(id, unit).filter(|goods| state.may_be_stopped(goods)) {
        let row: GoodsState = state.get::<Goods>(&goods)?.unwrap_or_default();
        stops.extend(stops_in_force(row.recall, row.hold));
    }
    Ok(stops)
}

fn stops_in_force(recall: Option<Stop>, hold: Option<Stop>) -> impl Iterator<Item = GoodsStop> {
    let stop = |stop: Option<Stop>, recall| {
        stop.map(|stop| GoodsStop {
            index: stop.index,
            recall,
        })
    };
    stop(recall, true).into_iter().chain(stop(hold, false))
}

fn in_order(mut stops: Vec<GoodsStop>) -> Vec<GoodsStop> {
    stops.sort_unstable_by_key(|stop| stop.index);
    stops.dedup();
    stops
}

/// Holds and recalls that cover a unit: its own, those of what is around it, and those of lots
/// and products.
pub(super) fn stops<R: Read>(
    state: &R,
    id: &UnitId,
    unit: &Unit,
    around: &Around,
) -> std::result::Result<Vec<GoodsStop>, ReadError> {
    let mut stops = own_stops(unit);
    stops.extend(stops_of_goods(state, id, unit)?);
    for (id, container) in around {
        stops.extend(own_stops(container));
        stops.extend(stops_of_goods(state, id, container)?);
    }
    Ok(in_order(stops))
}

/// The product and the lot that a unit is of.
pub fn goods_of(id: &UnitId, unit: &Unit) -> impl Iterator<Item = GoodsId> + use<> {
    let lot = unit.attributes.lot;
    let product = product_of(id).into_iter();
    product.flat_map(move |product| {
        let lot = lot.map(|lot| GoodsId::Lot(product, lot));
        std::iter::once(GoodsId::Product(product)).chain(lot)
    })
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

/// Who gives out identifiers: the owner of the first approved one of these scopes.
pub(super) fn owner<R: Read>(state: &R, scopes: &[ProductScope]) -> Result<Option<PartyId>> {
    for scope in scopes {
        let owner = state
            .get::<Products>(scope)?
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
#[must_use]
pub fn scopes_of_product(product: ProductId) -> Vec<ProductScope> {
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
mod tests;
