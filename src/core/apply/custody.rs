//! Custody records: judge every unit, then let those that join take effect.

use std::collections::{BTreeMap, BTreeSet};

use super::authority::{Authority, authorise};
use super::effects::{self, Entry, nearest_buyer};
use super::judge::{Met, Outcome, judge, meet, product_of, scopes_of_product};
use super::state::{
    Actor, Besides, FindingRow, FindingStatus, Findings as FindingTable, Goods, History,
    HistoryRow, Read, Stop, Unit, UnitFinding, Units,
};
use super::{
    Findings, Focus, MAX_GOODS_LOG, MAX_SILENT_BESIDES, MAX_UNIT_FINDINGS, Result, Step,
    ranges_cover, verdict,
};
use crate::core::envelope::RETURN_CONSENT_TYPE;
use crate::core::envelope::pae;
use crate::core::id::UnitId;
use crate::core::record::{Body, GoodsId, Kind, MAX_NESTING, ProductId, Role, Scope};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Break, Explained, FindingKind, Severity, Target};
use crate::core::tlog::LogIndex;
use crate::core::wire;

/// What a rule needs that lies beyond the one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub lot_count: Option<(u64, u64, LogIndex)>,
    pub transformed: Option<(u64, u64)>,
    pub confirm_mismatch: bool,
    /// Whether what is inside a container is known: not where only its own entries are at hand,
    /// since a Return takes a unit out without an entry in the container's chain.
    pub contents_known: bool,
}

/// What was decided for each subject.
pub(super) type Decided = Vec<(Met, Outcome)>;

pub(super) fn apply<R: Read>(step: &mut Step<'_, R>) -> Result<wire::Verdict> {
    let authority = authorise(step)?;
    if let Some(goods) = goods_scope(step) {
        return stop_goods(step, &authority, &goods);
    }
    let subjects = meet_subjects(step)?;
    check_packing(step, &subjects)?;
    check_consent(step, &authority, &subjects)?;
    let corrected = corrected_entry(step, &authority)?;
    let mut decided = judge_all(step, &authority, subjects)?;
    refuse_if_stale(&decided)?;
    all_or_nothing(step, &mut decided);
    let dropped = limit_besides(step, &authority, &mut decided)?;
    let verdict = record_outcomes(step, &authority, &decided, &dropped)?;
    if let Some((index, kind_of_record)) = corrected {
        effects::explain(step, decided.iter().map(|(met, _)| met.id), &|kind, at| {
            at == index && may_correct(kind, kind_of_record)
        })?;
    }
    Ok(verdict)
}

/// A mistake of the scanner is its signer's to explain; a claim to goods is not.
fn may_correct(finding: FindingKind, record: Kind) -> bool {
    let rule = finding.rule();
    rule.explained == Explained::ByCorrection
        && (rule.severity == Severity::LookCloser || record == Kind::Scan)
}

fn meet_subjects<R: Read>(step: &Step<'_, R>) -> Result<Vec<Met>> {
    let record = step.placed.record;
    let mut subjects = Vec::new();
    let mut add = |id: UnitId, target, named, field: String| -> Result<()> {
        let (unit, around) = if step.focus.covers(&id) {
            meet(&step.views, &id)?
        } else {
            Default::default()
        };
        subjects.push(Met {
            id,
            target,
            named,
            field,
            unit,
            around,
        });
        Ok(())
    };
    for (i, unit) in record.units.iter().enumerate() {
        add(unit.id, Target::Unit, unit.prev, format!("units[{i}]"))?;
    }
    match &record.body {
        Body::Pack { container } | Body::Unpack { container } => {
            let field = format!("{}.container", record.kind().name());
            add(container.id, Target::Container, container.prev, field)?;
        }
        Body::Transform { outputs, .. } => {
            for (i, output) in outputs.iter().enumerate() {
                add(
                    *output,
                    Target::Output,
                    None,
                    format!("transform.outputs[{i}]"),
                )?;
            }
        }
        _ => {}
    }
    Ok(subjects)
}

/// A container may not end up inside itself, nor deeper than the limit.
fn check_packing<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Result<()> {
    let Body::Pack { container } = &step.placed.record.body else {
        return Ok(());
    };
    let Some(outer) = subjects.iter().find(|met| met.target == Target::Container) else {
        return Ok(());
    };
    let depth = outer.around.len() + 1;
    for met in subjects.iter().filter(|met| met.target == Target::Unit) {
        if outer.around.iter().any(|(id, _)| *id == met.id) {
            return Err(Refusal::new(
                Reason::FailedPrecondition,
                format!(
                    "{} is around {}; a container can't be inside itself",
                    met.id, container.id
                ),
            )
            .at(met.field.clone())
            .into());
        }
        let contents_known = matches!(step.focus, Focus::All);
        if contents_known && depth + usize::from(met.unit.height) > MAX_NESTING {
            return Err(Refusal::new(
                Reason::FailedPrecondition,
                format!("containers would be nested deeper than {MAX_NESTING}"),
            )
            .at(met.field.clone())
            .into());
        }
    }
    Ok(())
}

/// A consent that is there must be the buyer's, for these units, this taker and this ledger.
fn check_consent<R: Read>(
    step: &Step<'_, R>,
    authority: &Authority,
    subjects: &[Met],
) -> Result<()> {
    use prost::Message as _;
    let Body::Return {
        consent: Some(consent),
    } = &step.placed.record.body
    else {
        return Ok(());
    };
    let bad = |message: &str| Refusal::field("return.consent", message);
    let said = wire::ReturnConsent::decode(consent.signed.as_slice())
        .map_err(|error| bad(&error.to_string()))?;
    if said.origin != step.ledger.origin {
        return Err(bad("the buyer's consent is for another ledger").into());
    }
    if Some(consent.to) != authority.actor.party() {
        return Err(bad(&format!("the buyer's consent is for {}", consent.to)).into());
    }
    let signed = pae(RETURN_CONSENT_TYPE, &consent.signed);
    for (met, unit) in subjects.iter().zip(&step.placed.record.units) {
        if !consent.units.contains(unit) {
            return Err(bad(&format!(
                "the buyer's consent doesn't cover {} at its head",
                met.id
            ))
            .into());
        }
        // Without a buyer key, the consent counts for nothing (see NOT_HOLDER).
        let Some(buyer) = nearest_buyer(&met.unit, &met.around) else {
            continue;
        };
        let key = step.views.get::<super::state::Keys>(&buyer)?;
        if !key.is_some_and(|key| key.public.verifies(&signed, &consent.signature)) {
            return Err(Refusal::new(
                Reason::BadSignature,
                format!("the consent is not signed by the buyer key of {}", met.id),
            )
            .at("return.consent_signature")
            .into());
        }
    }
    Ok(())
}

/// The entry that a Correct is about. Only its own signer may correct it.
fn corrected_entry<R: Read>(
    step: &Step<'_, R>,
    authority: &Authority,
) -> Result<Option<(LogIndex, Kind)>> {
    let Body::Correct { record } = step.placed.record.body else {
        return Ok(None);
    };
    let not_found = || {
        Refusal::new(
            Reason::NotFound,
            format!("record {record} is not in the log"),
        )
        .at("correct.record_id")
    };
    let index = step
        .views
        .get::<super::state::Records>(&record)?
        .ok_or_else(not_found)?;
    let mut kind = Kind::Correct;
    for (i, unit) in step.placed.record.units.iter().enumerate() {
        if !step.focus.covers(&unit.id) {
            continue;
        }
        let row = step
            .views
            .get::<History>(&(unit.id, index))?
            .ok_or_else(|| {
                Refusal::field(
                    format!("units[{i}].id"),
                    format!("record {record} is not about {}", unit.id),
                )
            })?;
        kind = row.kind;
        if row.signer != authority.actor {
            return Err(Refusal::new(
                Reason::Unauthorised,
                "a record is corrected by the party that signed it",
            )
            .at("correct.record_id")
            .into());
        }
    }
    Ok(Some((index, kind)))
}

fn judge_all<R: Read>(
    step: &Step<'_, R>,
    authority: &Authority,
    subjects: Vec<Met>,
) -> Result<Decided> {
    let transformed = transformed(step, &subjects);
    let mut lots = LotCounter::new(step, &subjects)?;
    let mut decided = Vec::with_capacity(subjects.len());
    for (number, met) in (0u32..).zip(subjects) {
        if let Focus::Only(units, committed) = step.focus
            && !units.contains(&met.id)
        {
            let outcome = if ranges_cover(&committed.beside, number) {
                Outcome::Beside(None)
            } else {
                Outcome::Joined(Vec::new())
            };
            decided.push((met, outcome));
            continue;
        }
        let facts = Facts {
            lot_count: lots.with(&met.id),
            transformed: transformed.filter(|_| met.target == Target::Output),
            confirm_mismatch: confirm_mismatch(step, &met, number)?,
            contents_known: matches!(step.focus, Focus::All),
        };
        let mut outcome = judge(
            &step.views,
            step.placed,
            &step.ledger,
            authority,
            &met,
            &facts,
        )?;
        if let Outcome::Joined(flags) = &mut outcome {
            lots.add(&met.id);
            flags.extend(committed_flags(step.focus, number));
        }
        decided.push((met, outcome));
    }
    Ok(decided)
}

/// What a rule that looks at the whole log has found, where only part of the log is at hand.
fn committed_flags(focus: Focus<'_>, number: u32) -> Vec<(FindingKind, Break)> {
    let Focus::Only(_, committed) = focus else {
        return Vec::new();
    };
    let flag = |finding: &wire::Finding| {
        let kind = FindingKind::from_number(finding.kind)?;
        let proof = Break {
            evidence: finding.evidence.iter().copied().map(LogIndex).collect(),
            measured: finding.measured,
            limit: finding.limit,
        };
        (kind.rule().whole_log && ranges_cover(&finding.subjects, number)).then_some((kind, proof))
    };
    committed.findings.iter().filter_map(flag).collect()
}

/// Counts the units of the lots that a Commission adds to, if their size was declared.
struct LotCounter {
    lots: BTreeMap<ProductId, DeclaredLot>,
}

struct DeclaredLot {
    count: u64,
    declared: u64,
    declared_at: LogIndex,
}

impl LotCounter {
    fn new<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Result<Self> {
        let mut lots = BTreeMap::new();
        let Body::Commission { attributes, .. } = &step.placed.record.body else {
            return Ok(Self { lots });
        };
        let (Some(lot), Focus::All) = (attributes.lot, step.focus) else {
            return Ok(Self { lots });
        };
        let products: BTreeSet<_> = subjects
            .iter()
            .filter_map(|met| product_of(&met.id))
            .collect();
        for product in products {
            let row = step.views.get::<Goods>(&GoodsId::Lot(product, lot))?;
            let row = row.unwrap_or_default();
            let declared = row.lot_size.zip(row.declared_at);
            let declared = declared.or(attributes.lot_size.zip(Some(step.placed.index)));
            if let Some((declared, declared_at)) = declared {
                let count = row.commissioned;
                lots.insert(
                    product,
                    DeclaredLot {
                        count,
                        declared,
                        declared_at,
                    },
                );
            }
        }
        Ok(Self { lots })
    }

    /// How many units the lot has with this one, and the declared size with its entry.
    fn with(&self, id: &UnitId) -> Option<(u64, u64, LogIndex)> {
        let lot = self.lots.get(&product_of(id)?)?;
        Some((lot.count + 1, lot.declared, lot.declared_at))
    }

    fn add(&mut self, id: &UnitId) {
        if let Some(lot) = product_of(id).and_then(|product| self.lots.get_mut(&product)) {
            lot.count += 1;
        }
    }
}

/// Content of all inputs and of all outputs, where every one is known in one unit of measure.
fn transformed<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Option<(u64, u64)> {
    let Body::Transform {
        outputs,
        attributes,
    } = &step.placed.record.body
    else {
        return None;
    };
    if matches!(step.focus, Focus::Only(..)) {
        return None;
    }
    let each = attributes.content.as_ref()?;
    let mut inputs = 0u64;
    for met in subjects.iter().filter(|met| met.target == Target::Unit) {
        let content = met.unit.attributes.content.as_ref()?;
        if content.unit_of_measure != each.unit_of_measure {
            return None;
        }
        inputs = inputs.saturating_add(content.milli);
    }
    Some((inputs, each.milli.saturating_mul(outputs.len() as u64)))
}

/// Whether a Confirm lists other contents than the record shows. No list covers the parcel only.
fn confirm_mismatch<R: Read>(step: &Step<'_, R>, met: &Met, number: u32) -> Result<bool> {
    let Body::Confirm { contents } = &step.placed.record.body else {
        return Ok(false);
    };
    if let Focus::Only(_, committed) = step.focus {
        // The contents' own histories are not at hand: the committed answer stands. Where nothing
        // was found at a unit beside the chain, the same was found there before on that day.
        let mut at_unit = committed
            .findings
            .iter()
            .filter(|finding| ranges_cover(&finding.subjects, number))
            .peekable();
        let nothing = at_unit.peek().is_none();
        let mismatch = i32::from(FindingKind::ContentMismatch.number());
        return Ok(at_unit.any(|finding| finding.kind == mismatch)
            || (nothing && !contents.is_empty() && ranges_cover(&committed.beside, number)));
    }
    if contents.is_empty() {
        return Ok(false);
    }
    let mut inside = 0u64;
    for unit in contents {
        let container = step
            .views
            .get::<Units>(unit)?
            .and_then(|unit| unit.container);
        match container {
            Some(container) if container == met.id => inside += 1,
            Some(container) if step.placed.record.units.iter().any(|u| u.id == container) => {}
            _ => return Ok(true),
        }
    }
    Ok(inside != met.unit.contents)
}

/// One stale unit conflicts the whole record; the answer lists every stale unit.
fn refuse_if_stale(decided: &Decided) -> Result<()> {
    let mut heads = Vec::new();
    let mut seen = BTreeSet::new();
    for (_, outcome) in decided {
        let Outcome::Stale(stale) = outcome else {
            continue;
        };
        heads.extend(stale.iter().filter(|(id, _)| seen.insert(*id)).copied());
    }
    let Some((first, _)) = heads.first() else {
        return Ok(());
    };
    Err(Refusal {
        message: format!(
            "another record came first at {first}{}; read the heads, sign again, resubmit",
            if heads.len() > 1 {
                format!(" and {} more", heads.len() - 1)
            } else {
                String::new()
            }
        ),
        heads,
        ..Refusal::new(Reason::Conflict, "")
    }
    .into())
}

/// A Transform happens whole or not at all; a Pack or Unpack needs its container and a unit.
fn all_or_nothing<R: Read>(step: &Step<'_, R>, decided: &mut Decided) {
    let joined = |(_, outcome): &(Met, Outcome)| matches!(outcome, Outcome::Joined(_));
    let possible = match step.placed.record.kind() {
        Kind::Transform => decided.iter().all(joined),
        Kind::Pack | Kind::Unpack => {
            let container = |d: &&(Met, Outcome)| d.0.target == Target::Container;
            decided.iter().filter(container).all(joined)
                && decided.iter().filter(|d| !container(d)).any(joined)
        }
        _ => true,
    };
    if !possible {
        for (_, outcome) in decided.iter_mut() {
            if matches!(outcome, Outcome::Joined(_)) {
                *outcome = Outcome::Beside(None);
            }
        }
    }
}

/// Beside-records of a ledger day are limited by signer and unit: one for each kind of finding, and
/// [`MAX_SILENT_BESIDES`] without any. What is over is not kept at that unit, and a record of which
/// nothing is kept is refused. So no rival can flood somebody's history.
fn limit_besides<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    decided: &mut Decided,
) -> Result<BTreeSet<UnitId>> {
    let mut dropped = BTreeSet::new();
    let mut kept = false;
    let day = step.placed.time.day();
    for (met, outcome) in decided.iter_mut() {
        if !step.focus.covers(&met.id) {
            kept = true;
            continue;
        }
        let Outcome::Beside(broken) = outcome else {
            kept = true;
            continue;
        };
        let kind = broken.as_ref().map(|(kind, _)| *kind);
        let key = (day, authority.actor, met.id, kind);
        let before = step.views.get::<Besides>(&key)?.unwrap_or(0);
        if before >= kind.map_or(MAX_SILENT_BESIDES, |_| 1) {
            *outcome = Outcome::Beside(None);
            dropped.insert(met.id);
        } else {
            step.views.put::<Besides>(key, before + 1);
            kept = true;
        }
    }
    if !kept {
        return Err(Refusal::new(
            Reason::AlreadyReported,
            "the log of today has this by the same signer",
        )
        .into());
    }
    Ok(dropped)
}

/// Writes every outcome into the views, and the verdict.
fn record_outcomes<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    decided: &Decided,
    dropped: &BTreeSet<UnitId>,
) -> Result<wire::Verdict> {
    let mut findings: Findings = BTreeMap::new();
    let mut beside = Vec::new();
    let entry = Entry {
        placed: step.placed,
        actor: authority.actor,
        regulator: authority.roles.contains(&Role::Regulator),
    };
    for (number, (met, outcome)) in (0u32..).zip(decided) {
        let in_focus = step.focus.covers(&met.id);
        let broken: Vec<&(FindingKind, Break)> = match outcome {
            Outcome::Joined(flags) => flags.iter().collect(),
            Outcome::Beside(broken) => {
                beside.push(number);
                broken.iter().collect()
            }
            Outcome::Stale(_) => Vec::new(),
        };
        let joined = matches!(outcome, Outcome::Joined(_));
        if joined {
            effects::join(step, entry, met, decided, in_focus)?;
        }
        if !in_focus || dropped.contains(&met.id) {
            continue;
        }
        let mut unit = step.views.get::<Units>(&met.id)?.unwrap_or_default();
        for (kind, proof) in broken {
            findings
                .entry((*kind, proof.clone()))
                .or_default()
                .push(number);
            add_finding(
                step,
                authority.actor,
                Some((met.id, &mut unit)),
                *kind,
                proof,
            );
        }
        let row = HistoryRow {
            joined,
            ..effects::history_row(entry, &unit)
        };
        step.views.put::<History>((met.id, step.placed.index), row);
        step.views.put::<Units>(met.id, unit);
    }
    effects::after(step, entry, decided)?;
    Ok(verdict(&findings, &beside))
}

/// Numbers a finding and remembers it in the list and at its unit.
pub(super) fn add_finding<R: Read>(
    step: &mut Step<'_, R>,
    signer: Actor,
    unit: Option<(UnitId, &mut Unit)>,
    kind: FindingKind,
    proof: &Break,
) {
    step.ledger.findings += 1;
    *step.ledger.findings_by_kind.entry(kind).or_default() += 1;
    let number = step.ledger.findings;
    let place = &step.placed.record.place;
    let row = FindingRow {
        index: step.placed.index,
        kind,
        unit: unit.as_ref().map(|(id, _)| *id),
        signer,
        time: step.placed.time,
        region: place
            .region
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        city: place.city.clone(),
        evidence: proof.evidence.clone(),
        measured: proof.measured,
        limit: proof.limit,
        status: FindingStatus::Open,
        closed_by: None,
    };
    step.views.put::<FindingTable>(number, row);
    if let Some((_, unit)) = unit
        && make_room(&mut unit.findings)
    {
        let index = step.placed.index;
        unit.findings.push(UnitFinding {
            number,
            index,
            kind,
            status: FindingStatus::Open,
        });
    }
}

/// Room for one more finding: what is closed goes first, then what is least severe. When nothing can
/// go, the unit is in as bad a standing as can be.
fn make_room(findings: &mut Vec<UnitFinding>) -> bool {
    if findings.len() < MAX_UNIT_FINDINGS {
        return true;
    }
    let open = |finding: &UnitFinding| {
        matches!(
            finding.status,
            FindingStatus::Open | FindingStatus::Confirmed
        )
    };
    let minor = |finding: &UnitFinding| finding.kind.rule().severity == Severity::LookCloser;
    let goes = findings
        .iter()
        .position(|finding| !open(finding))
        .or_else(|| findings.iter().position(minor));
    goes.map(|at| findings.remove(at)).is_some()
}

fn goods_scope<R: Read>(step: &Step<'_, R>) -> Option<GoodsId> {
    match &step.placed.record.body {
        Body::Hold(Scope::Goods(goods))
        | Body::Release(Scope::Goods(goods))
        | Body::Recall(Scope::Goods(goods)) => Some(goods.clone()),
        _ => None,
    }
}

/// Hold, Release or Recall of a lot or a product: by its owner or a regulator.
fn stop_goods<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    goods: &GoodsId,
) -> Result<wire::Verdict> {
    let owns = match authority.actor {
        Actor::Party(party) => owner_of_product(&step.views, goods)? == Some(party),
        Actor::Buyer(_) => false,
    };
    let delegated = authority.scope == super::state::KeyScope::Delegated;
    if delegated || !(owns || authority.is_regulator()) {
        return Err(Refusal::new(
            Reason::Unauthorised,
            format!("{goods} is stopped by a full key of its owner or of a regulator"),
        )
        .into());
    }
    let mut row = step.views.get::<Goods>(goods)?.unwrap_or_default();
    let index = step.placed.index;
    let stop = Stop {
        index,
        by_regulator: authority.is_regulator(),
    };
    let in_force = match step.placed.record.kind() {
        Kind::Hold => row.hold,
        Kind::Recall => row.recall,
        _ => None,
    };
    if in_force.is_some_and(|before| before.by_regulator || !stop.by_regulator) {
        return Err(
            Refusal::new(Reason::AlreadyExists, format!("{goods} is stopped already")).into(),
        );
    }
    if row.log.len() >= MAX_GOODS_LOG {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            format!("{goods} was stopped and released {MAX_GOODS_LOG} times; ask the operator"),
        )
        .into());
    }
    match step.placed.record.kind() {
        Kind::Hold => row.hold = Some(stop.over(row.hold)),
        Kind::Recall => row.recall = Some(stop.over(row.recall)),
        _ if row.hold.is_none() && row.recall.is_none() => {
            return Err(Refusal::new(
                Reason::FailedPrecondition,
                format!("{goods} is neither held nor recalled"),
            )
            .into());
        }
        _ if !stop.may_release(row.hold, row.recall) => {
            return Err(Refusal::new(
                Reason::Unauthorised,
                format!("a regulator stopped {goods}, and only a regulator releases it"),
            )
            .into());
        }
        _ => (row.hold, row.recall) = (None, None),
    }
    row.log.push(index);
    step.views.put::<Goods>(goods.clone(), row);
    Ok(wire::Verdict::default())
}

fn owner_of_product<R: Read>(
    state: &R,
    goods: &GoodsId,
) -> Result<Option<crate::core::id::PartyId>> {
    for scope in scopes_of_product(goods.product()) {
        let owner = state
            .get::<super::state::Products>(&scope)?
            .and_then(|product| product.owner);
        if let Some(owner) = owner {
            return Ok(Some(owner.party));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::state::Life;
    use crate::core::apply::testing::{Body as Says, *};
    use crate::core::rules::FindingKind::*;

    fn two_items() -> World {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), item(2)], say::commission());
        w
    }

    #[test]
    fn given_a_beside_record_when_the_same_is_said_again_that_day_then_it_is_refused() {
        let mut w = two_items();
        let scan = |w: &World, who, unit| w.draft(who, &[unit], say::scan());
        w.beside(&scan(&w, DISTRIBUTOR, item(1)), NotHolder);
        let again = scan(&w, DISTRIBUTOR, item(1));
        assert_eq!(w.refused(&again), Reason::AlreadyReported);
        // Another kind of finding, another unit, another party, another day.
        w.beside(
            &w.draft(DISTRIBUTOR, &[item(1)], say::accept()),
            AcceptWithoutHandover,
        );
        w.beside(&scan(&w, DISTRIBUTOR, item(2)), NotHolder);
        w.beside(&scan(&w, RIVAL, item(1)), NotHolder);
        w.now = (w.now / DAY + 1) * DAY - 1;
        let same_day = scan(&w, DISTRIBUTOR, item(1));
        assert_eq!(w.refused(&same_day), Reason::AlreadyReported);
        w.now += 1;
        w.beside(&scan(&w, DISTRIBUTOR, item(1)), NotHolder);
    }

    #[test]
    fn given_a_beside_record_when_a_device_of_the_same_party_repeats_it_then_it_is_refused() {
        let mut w = two_items();
        let device = DISTRIBUTOR.key(60);
        w.clean(&w.delegate(DISTRIBUTOR, device, 0, w.now + DAY));
        w.beside(&w.draft(DISTRIBUTOR, &[item(1)], say::scan()), NotHolder);
        let again = w.draft(device, &[item(1)], say::scan());
        assert_eq!(w.refused(&again), Reason::AlreadyReported);
    }

    #[test]
    fn given_a_beside_record_when_it_is_repeated_among_own_units_then_it_is_not_found_again() {
        let mut w = two_items();
        w.pass(&[item(2)], MAKER, RIVAL);
        for _ in 0..3 {
            w.logged(&w.draft(RIVAL, &[item(1), item(2)], say::scan()));
        }
        assert_eq!(w.findings(item(1)), [(NotHolder, false)]);
        assert_eq!(w.findings(item(2)), []);
        assert_eq!(
            w.unit(item(2)).scans,
            3,
            "the record joins at the rival's own unit"
        );
    }

    #[test]
    fn given_one_bad_unit_among_many_when_judged_then_it_does_not_taint_the_others() {
        let mut w = World::new();
        let units: Vec<UnitId> = (1..=50).map(item).collect();
        w.ok(MAKER, &units, say::commission());
        w.pass(&units[20..21], MAKER, COURIER);
        let applied = w
            .submit(&w.draft(MAKER, &units, say::handover(SELLER)))
            .unwrap();
        assert_eq!(applied.verdict.beside, [20, 1]);
        assert_eq!(applied.verdict.findings.len(), 1);
        assert_eq!(applied.verdict.findings[0].subjects, [20, 1]);
        assert!(w.unit(units[20]).offer.is_none());
        assert!(w.unit(units[21]).offer.is_some());
    }

    #[test]
    fn given_eight_containers_around_when_a_ninth_would_be_then_it_is_refused() {
        let mut w = two_items();
        let parcels: Vec<UnitId> = (1..=9).map(parcel).collect();
        w.ok(MAKER, &parcels, say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        for n in 1..8 {
            w.ok(MAKER, &[parcel(n)], say::pack(parcel(n + 1)));
        }
        let ninth = w.draft(MAKER, &[parcel(8)], say::pack(parcel(9)));
        assert_eq!(w.refused(&ninth), Reason::FailedPrecondition);
        w.pass(&[parcel(8)], MAKER, COURIER);
        assert_eq!(w.holder(item(1)), Some(COURIER.party()));
        w.ok(COURIER, &[item(1)], say::scan());
    }

    #[test]
    fn given_a_tower_of_empty_containers_when_one_more_would_go_inside_then_depth_counts_from_there()
     {
        let mut w = two_items();
        let parcels: Vec<UnitId> = (1..=10).map(parcel).collect();
        w.ok(MAKER, &parcels, say::commission());
        for n in 1..9 {
            w.ok(MAKER, &[parcel(n)], say::pack(parcel(n + 1)));
        }
        // Parcel 1 has eight around it: what went into it would have nine.
        let inside = w.draft(MAKER, &[item(1)], say::pack(parcel(1)));
        assert_eq!(w.refused(&inside), Reason::FailedPrecondition);
        w.ok(MAKER, &[item(1)], say::pack(parcel(2)));
    }

    #[test]
    fn given_a_container_when_what_is_around_it_would_go_inside_then_it_is_refused() {
        let mut w = World::new();
        w.ok(MAKER, &[parcel(1), parcel(2), parcel(3)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::pack(parcel(2)));
        w.ok(MAKER, &[parcel(2)], say::pack(parcel(3)));
        for inner in [parcel(1), parcel(2)] {
            let cycle = w.draft(MAKER, &[parcel(3)], say::pack(inner));
            assert_eq!(w.refused(&cycle), Reason::FailedPrecondition);
        }
        let itself = w.draft(MAKER, &[parcel(3)], say::pack(parcel(3)));
        assert_eq!(w.refused(&itself), Reason::InvalidField);
    }

    #[test]
    fn given_a_pack_without_a_lawful_unit_when_judged_then_the_container_does_not_advance() {
        let mut w = two_items();
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        let found = w.beside(&w.draft(MAKER, &[item(1)], say::pack(parcel(1))), NotHolder);
        assert_eq!(found.evidence, [w.unit(item(1)).last_index]);
    }

    #[test]
    fn given_one_input_of_another_when_transformed_then_nothing_happens_at_all() {
        let mut w = two_items();
        w.pass(&[item(2)], MAKER, COURIER);
        let body = say::transform(&[item(3)], wire::Attributes::default());
        let applied = w
            .submit(&w.draft(MAKER, &[item(1), item(2)], body))
            .unwrap();
        assert_eq!(applied.verdict.beside, [0, 3]);
        assert_eq!(w.findings(item(2)), [(NotHolder, false)]);
        assert_eq!(
            (w.unit(item(1)).life, w.findings(item(1))),
            (Life::Active, vec![])
        );
        assert_eq!(
            (w.unit(item(3)).life, w.head(item(3))),
            (Life::Uncommissioned, None)
        );
    }

    #[test]
    fn given_own_inputs_when_transformed_then_they_end_and_the_outputs_begin() {
        let mut w = two_items();
        let attributes = wire::Attributes {
            lot: "B".into(),
            ..Default::default()
        };
        w.ok(
            MAKER,
            &[item(1), item(2)],
            say::transform(&[item(3)], attributes),
        );
        assert_eq!(w.unit(item(1)).life, Life::Ended);
        assert_eq!(w.holder(item(3)), Some(MAKER.party()));
        assert_eq!(w.unit(item(3)).attributes.lot.unwrap().to_string(), "B");
    }

    #[test]
    fn given_an_offer_when_it_is_withdrawn_or_refused_then_the_giver_keeps_the_unit() {
        let mut w = two_items();
        w.ok(MAKER, &[item(1), item(2)], say::handover(COURIER));
        w.ok(MAKER, &[item(1)], say::void());
        w.ok(COURIER, &[item(2)], say::refuse());
        for unit in [item(1), item(2)] {
            assert_eq!(
                (w.holder(unit), w.unit(unit).offer),
                (Some(MAKER.party()), None)
            );
            w.pass(&[unit], MAKER, SELLER);
        }
    }

    #[test]
    fn given_an_offer_when_somebody_else_withdraws_it_then_it_stays() {
        let mut w = two_items();
        w.ok(MAKER, &[item(1)], say::handover(COURIER));
        w.beside(&w.draft(SELLER, &[item(1)], say::void()), NotHolder);
        w.ok(COURIER, &[item(1)], say::accept());
    }

    fn sold_item() -> World {
        let mut w = two_items();
        w.sold(item(1), BUYER);
        w
    }

    const CONSENT: Consent = Consent {
        origin: ORIGIN,
        to: SELLER,
        signed_by: BUYER,
    };

    #[test]
    fn given_the_buyers_consent_when_the_named_taker_returns_it_then_it_holds_the_unit() {
        let mut w = sold_item();
        w.clean(&w.return_with_consent(SELLER, &[item(1)], &CONSENT));
        assert_eq!(w.holder(item(1)), Some(SELLER.party()));
        assert_eq!(
            (w.unit(item(1)).life, w.unit(item(1)).buyer),
            (Life::Active, None)
        );
        w.ok(SELLER, &[item(1)], say::handover(MAKER));
    }

    #[test]
    fn given_a_consent_that_is_forged_or_for_others_when_returned_then_it_is_refused() {
        for (consent, by, reason) in [
            (
                Consent {
                    signed_by: SELLER,
                    ..CONSENT
                },
                SELLER,
                Reason::BadSignature,
            ),
            (
                Consent {
                    origin: "another.test",
                    ..CONSENT
                },
                SELLER,
                Reason::InvalidField,
            ),
            (CONSENT, COURIER, Reason::InvalidField),
            (
                Consent {
                    to: COURIER,
                    ..CONSENT
                },
                SELLER,
                Reason::InvalidField,
            ),
        ] {
            let mut w = sold_item();
            let draft = w.return_with_consent(by, &[item(1)], &consent);
            assert_eq!(w.refused(&draft), reason);
        }
    }

    #[test]
    fn given_a_consent_for_one_unit_when_two_are_returned_then_it_is_refused() {
        let mut w = sold_item();
        let one = w.return_with_consent(SELLER, &[item(1)], &CONSENT);
        let mut two = w.return_with_consent(SELLER, &[item(1), item(2)], &CONSENT);
        two.record.body = one.record.body;
        assert_eq!(w.refused(&two), Reason::InvalidField);
    }

    #[test]
    fn given_a_consent_that_was_used_when_it_is_used_again_then_it_is_worth_nothing() {
        let mut w = sold_item();
        let first = w.return_with_consent(SELLER, &[item(1)], &CONSENT);
        let mut at_the_old_head = first.clone();
        at_the_old_head.record.nonce = vec![9; 16];
        w.clean(&first);
        assert_eq!(w.refused(&at_the_old_head), Reason::Conflict);
        let mut at_the_new_head = w.draft(SELLER, &[item(1)], say::take_back());
        at_the_new_head.record.body = first.record.body;
        assert_eq!(w.refused(&at_the_new_head), Reason::InvalidField);
    }

    #[test]
    fn given_a_delivered_parcel_when_one_unit_inside_is_returned_then_it_leaves_the_parcel() {
        let mut w = two_items();
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1), item(2)], say::pack(parcel(1)));
        w.sold(parcel(1), BUYER);
        w.clean(&w.return_with_consent(SELLER, &[item(1)], &CONSENT));
        assert_eq!(w.holder(item(1)), Some(SELLER.party()));
        assert_eq!(
            (w.unit(item(1)).container, w.unit(parcel(1)).contents),
            (None, 1)
        );
        assert_eq!(w.holder(item(2)), None, "the other one is with the buyer");
    }

    #[test]
    fn given_a_mistake_when_its_signer_corrects_it_then_its_finding_is_explained() {
        let mut w = two_items();
        let mistake = w.draft(DISTRIBUTOR, &[item(1)], say::scan());
        w.beside(&mistake, NotHolder);
        assert_eq!(w.word(item(1)), wire::StandingWord::Suspect);
        let head = w.head(item(1));
        let correction = w.logged(&w.draft(DISTRIBUTOR, &[item(1)], say::correct(mistake.id())));
        let row = &w.state.findings[&1];
        assert_eq!(
            (row.status, row.closed_by),
            (FindingStatus::Explained, Some(correction))
        );
        assert_eq!(
            (w.word(item(1)), w.head(item(1))),
            (wire::StandingWord::Consistent, head)
        );
    }

    #[test]
    fn given_a_mistake_of_the_holder_when_it_corrects_it_then_the_correction_joins_the_chain() {
        let mut w = two_items();
        let ahead = w.draft(MAKER, &[item(1)], say::scan()).on(w.now + DAY);
        w.flagged(&ahead, TimeInFuture);
        let correction = w.draft(MAKER, &[item(1)], say::correct(ahead.id()));
        w.clean(&correction);
        assert_eq!(w.head(item(1)), Some(correction.id()));
        assert_eq!(w.word(item(1)), wire::StandingWord::Consistent);
    }

    #[test]
    fn given_a_finding_that_only_a_decision_closes_when_corrected_then_it_stays_open() {
        let mut w = two_items();
        let duplicate = w.draft(MAKER, &[item(1)], say::commission());
        w.beside(&duplicate, DuplicateCommission);
        w.logged(&w.draft(MAKER, &[item(1)], say::correct(duplicate.id())));
        assert_eq!(w.state.findings[&1].status, FindingStatus::Open);
        assert_eq!(w.word(item(1)), wire::StandingWord::Broken);
    }

    #[test]
    fn given_a_record_when_another_corrects_it_or_it_is_not_there_then_it_is_refused() {
        let mut w = two_items();
        let mistake = w.draft(DISTRIBUTOR, &[item(1)], say::scan());
        let correct = |w: &World, who, unit| w.draft(who, &[unit], say::correct(mistake.id()));
        let early = correct(&w, DISTRIBUTOR, item(1));
        assert_eq!(w.refused(&early), Reason::NotFound);
        w.beside(&mistake, NotHolder);
        let by_the_holder = correct(&w, MAKER, item(1));
        assert_eq!(w.refused(&by_the_holder), Reason::Unauthorised);
        let elsewhere = correct(&w, DISTRIBUTOR, item(2));
        assert_eq!(w.refused(&elsewhere), Reason::InvalidField);
    }

    #[test]
    fn given_two_early_scans_when_a_late_commission_names_one_then_that_one_alone_is_explained() {
        let mut w = World::new();
        let first = w.beside(
            &w.draft(COURIER, &[item(1)], say::scan()),
            NeverCommissioned,
        );
        w.beside(&w.draft(SELLER, &[item(1)], say::scan()), NeverCommissioned);
        let body = wire::Commission {
            attributes: None,
            explains: vec![first.index.0],
        };
        w.ok(MAKER, &[item(1)], Says::Commission(body));
        let status = |n: u64| w.state.findings[&n].status;
        assert_eq!(
            (status(1), status(2)),
            (FindingStatus::Explained, FindingStatus::Open)
        );
    }

    fn stop(kind: &str, scope: wire::Scope) -> Says {
        let (scope, reason) = (Some(scope), String::new());
        match kind {
            "hold" => Says::Hold(wire::Hold { scope, reason }),
            "release" => Says::Release(wire::Release { scope, reason }),
            _ => Says::Recall(wire::Recall {
                scope,
                reason,
                notice: String::new(),
            }),
        }
    }

    #[test]
    fn given_a_product_or_lot_when_its_owner_or_a_regulator_stops_it_then_it_is_stopped() {
        for who in [MAKER, REGULATOR] {
            for scope in [say::lot("A"), say::product()] {
                let mut w = World::new();
                let early = w.govern(who, stop("release", scope.clone()));
                assert_eq!(w.refused(&early), Reason::FailedPrecondition);
                w.clean(&w.govern(who, stop("hold", scope.clone())));
                w.clean(&w.govern(who, stop("recall", scope.clone())));
                w.clean(&w.govern(who, stop("release", scope)));
                let row = w.state.goods.values().next().unwrap();
                assert_eq!((row.hold, row.recall, row.log.len()), (None, None, 3));
            }
        }
    }

    #[test]
    fn given_a_product_when_a_stranger_or_a_mere_device_stops_it_then_it_is_refused() {
        let mut w = World::new();
        let device = MAKER.key(60);
        w.clean(&w.delegate(MAKER, device, 0, w.now + DAY));
        for who in [RIVAL, SELLER, device] {
            let draft = w.govern(who, stop("recall", say::product()));
            assert_eq!(w.refused(&draft), Reason::Unauthorised);
        }
    }

    #[test]
    fn given_a_logged_record_when_it_comes_again_or_is_for_another_ledger_then_it_is_refused() {
        let mut w = two_items();
        let scan = w.draft(MAKER, &[item(1)], say::scan());
        w.clean(&scan);
        assert_eq!(w.refused(&scan), Reason::AlreadyExists);
        let mut elsewhere = w.draft(MAKER, &[item(1)], say::scan());
        elsewhere.record.origin = "another.test".into();
        assert_eq!(w.refused(&elsewhere), Reason::WrongOrigin);
    }
}
