//! Custody records: judge every unit, then let those that join take effect.

use std::collections::{BTreeMap, BTreeSet};

use super::authority::{Authority, authorise};
use super::effects::{self, Entry};
use super::judge::{Met, Outcome, judge, meet, product_of, scopes_of_product};
use super::state::{
    Actor, Besides, FindingRow, FindingStatus, Findings as FindingTable, Goods, History,
    HistoryRow, Read, Unit, UnitFinding, Units,
};
use super::{Findings, Focus, MAX_UNIT_FINDINGS, Result, Step, ranges_cover, verdict};
use crate::core::envelope::RETURN_CONSENT_TYPE;
use crate::core::envelope::pae;
use crate::core::id::UnitId;
use crate::core::record::{Body, GoodsId, Kind, MAX_NESTING, Scope};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Break, FindingKind, Target};
use crate::core::tlog::LogIndex;
use crate::core::wire;

/// What a rule needs that lies beyond the one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub lot_count: Option<(u64, u64, LogIndex)>,
    pub transformed: Option<(u64, u64)>,
    pub confirm_mismatch: bool,
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
    check_consent(step, &subjects)?;
    let corrected = corrected_entry(step, &authority)?;
    let mut decided = judge_all(step, &authority, subjects)?;
    refuse_if_stale(&decided)?;
    all_or_nothing(step, &mut decided);
    refuse_if_reported(step, &authority, &decided)?;
    let verdict = record_outcomes(step, &authority, &decided)?;
    if let Some(index) = corrected {
        effects::explain(step, &decided, &|kind, at| {
            at == index && kind.rule().explained == crate::core::rules::Explained::ByCorrection
        })?;
    }
    Ok(verdict)
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
        if depth + usize::from(met.unit.height) > MAX_NESTING {
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
fn check_consent<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Result<()> {
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
    let signed = pae(RETURN_CONSENT_TYPE, &consent.signed);
    for (met, unit) in subjects.iter().zip(&step.placed.record.units) {
        if !consent.units.contains(unit) {
            return Err(bad(&format!(
                "the buyer's consent doesn't cover {} at its head",
                met.id
            ))
            .into());
        }
        let outermost = met.around.last().map_or(&met.unit, |(_, unit)| unit);
        let Some(buyer) = outermost.buyer else {
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
fn corrected_entry<R: Read>(step: &Step<'_, R>, authority: &Authority) -> Result<Option<LogIndex>> {
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
        if row.signer != authority.actor {
            return Err(Refusal::new(
                Reason::Unauthorised,
                "a record is corrected by the party that signed it",
            )
            .at("correct.record_id")
            .into());
        }
    }
    Ok(Some(index))
}

fn judge_all<R: Read>(
    step: &Step<'_, R>,
    authority: &Authority,
    subjects: Vec<Met>,
) -> Result<Decided> {
    let transformed = transformed(step, &subjects);
    let mut lot = LotCounter::new(step, &subjects)?;
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
            lot_count: lot.as_ref().map(LotCounter::next),
            transformed: transformed.filter(|_| met.target == Target::Output),
            confirm_mismatch: confirm_mismatch(step, &met, number)?,
        };
        let outcome = judge(
            &step.views,
            step.placed,
            &step.ledger,
            authority,
            &met,
            &facts,
        )?;
        if let (Some(lot), Outcome::Joined(_)) = (&mut lot, &outcome) {
            lot.count += 1;
        }
        decided.push((met, outcome));
    }
    Ok(decided)
}

/// Counts the units of the lot that a Commission adds to, if its size was declared.
struct LotCounter {
    count: u64,
    declared: u64,
    declared_at: LogIndex,
}

impl LotCounter {
    fn new<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Result<Option<Self>> {
        let Body::Commission { attributes, .. } = &step.placed.record.body else {
            return Ok(None);
        };
        if matches!(step.focus, Focus::Only(..)) {
            return Ok(None);
        }
        let (Some(lot), Some(product)) = (
            attributes.lot,
            subjects.first().and_then(|met| product_of(&met.id)),
        ) else {
            return Ok(None);
        };
        let row = step
            .views
            .get::<Goods>(&GoodsId::Lot(product, lot))?
            .unwrap_or_default();
        let declared = row.lot_size.zip(row.declared_at);
        let declared = declared.or(attributes.lot_size.zip(Some(step.placed.index)));
        Ok(declared.map(|(declared, declared_at)| Self {
            count: row.commissioned,
            declared,
            declared_at,
        }))
    }

    const fn next(&self) -> (u64, u64, LogIndex) {
        (self.count + 1, self.declared, self.declared_at)
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
        // The contents' own histories are not at hand: the committed answer stands.
        return Ok(committed.findings.iter().any(|finding| {
            finding.kind == i32::from(FindingKind::ContentMismatch.number())
                && ranges_cover(&finding.subjects, number)
        }));
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

/// One beside-record a signer, unit and kind of finding in a ledger day.
fn refuse_if_reported<R: Read>(
    step: &Step<'_, R>,
    authority: &Authority,
    decided: &Decided,
) -> Result<()> {
    if matches!(step.focus, Focus::Only(..)) {
        return Ok(());
    }
    let mut new = false;
    let mut reported = None;
    for (met, outcome) in decided {
        match outcome {
            Outcome::Beside(Some((kind, _))) => {
                let day = step.placed.time.day();
                if step
                    .views
                    .get::<Besides>(&(day, authority.actor, met.id, *kind))?
                    .is_some()
                {
                    reported = Some((met.id, *kind));
                } else {
                    new = true;
                }
            }
            Outcome::Joined(_) => new = true,
            Outcome::Beside(None) | Outcome::Stale(_) => {}
        }
    }
    match reported {
        Some((unit, kind)) if !new => Err(Refusal::new(
            Reason::AlreadyReported,
            format!(
                "{} at {unit} is in the log of today by the same signer",
                kind.name()
            ),
        )
        .into()),
        _ => Ok(()),
    }
}

/// Writes every outcome into the views, and the verdict.
fn record_outcomes<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    decided: &Decided,
) -> Result<wire::Verdict> {
    let mut findings: Findings = BTreeMap::new();
    let mut beside = Vec::new();
    let entry = Entry {
        placed: step.placed,
        actor: authority.actor,
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
        if !in_focus {
            continue;
        }
        let mut unit = step.views.get::<Units>(&met.id)?.unwrap_or_default();
        for (kind, proof) in broken {
            findings
                .entry((*kind, proof.clone()))
                .or_default()
                .push(number);
            if !joined {
                let day = step.placed.time.day();
                step.views
                    .put::<Besides>((day, authority.actor, met.id, *kind), ());
            }
            add_finding(
                step,
                authority.actor,
                Some((met.id, &mut unit)),
                *kind,
                proof,
            );
        }
        let row = HistoryRow {
            kind: step.placed.record.kind(),
            joined,
            signer: authority.actor,
            holder: unit.holder,
            offered: unit.offer.as_ref().map(|offer| offer.to),
            buyer: unit.buyer,
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
        && unit.findings.len() < MAX_UNIT_FINDINGS
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
    match step.placed.record.kind() {
        Kind::Hold => row.hold = Some(index),
        Kind::Recall => row.recall = Some(index),
        _ if row.hold.is_none() && row.recall.is_none() => {
            return Err(Refusal::new(
                Reason::FailedPrecondition,
                format!("{goods} is neither held nor recalled"),
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
