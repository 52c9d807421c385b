//! Custody records: judge every unit, then let those that join take effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::authority::{Authority, authorise};
use super::conduct;
use super::effects::{self, Entry};
use super::entry::{Findings, verdict};
use super::facts::{Facts, LotCounter, committed_flags, confirm_mismatch, transformed};
use super::goods::{goods_scope, stop_goods};
use super::judge::{Alike, Met, Outcome, judge, meet, unknown_unit};
use super::state::{
    Actor, Besides, FindingRow, FindingStatus, Findings as FindingTable, HistoryRow, PartyFindings,
    Read, Unit, UnitFinding, Units,
};
use super::{Focus, MAX_SILENT_BESIDES, MAX_UNIT_FINDINGS, Placed, Result, Step, ranges_cover};
use crate::core::envelope::RETURN_CONSENT_TYPE;
use crate::core::envelope::pae;
use crate::core::id::UnitId;
use crate::core::record::{Body, Kind, MAX_NESTING, Role};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Around, Break, Explained, FindingKind, Severity, Target, nearest_buyer};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use crate::core::wire;

/// What was decided for each subject.
pub(super) type Decided = Vec<(Met, Outcome)>;

pub(super) fn apply<R: Read>(step: &mut Step<'_, R>, subjects: Vec<Met>) -> Result<wire::Verdict> {
    let authority = authorise(step)?;
    if let Some(goods) = goods_scope(step) {
        return stop_goods(step, &authority, &goods);
    }
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

/// What the record is about, as it meets it.
pub(super) fn meet_subjects<R: Read>(
    state: &R,
    placed: Placed<'_>,
    focus: Focus<'_>,
) -> Result<Vec<Met>> {
    let record = placed.record;
    let mut subjects = Vec::with_capacity(record.units.len() + 1);
    let mut add = |id: UnitId, target, named, number| -> Result<()> {
        let (unit, around) = if focus.covers(&id) {
            meet(state, &id)?
        } else {
            (unknown_unit(), Around::new())
        };
        subjects.push(Met {
            id,
            target,
            named,
            number,
            kind: record.kind(),
            unit,
            around,
        });
        Ok(())
    };
    for (i, unit) in record.units.iter().enumerate() {
        add(unit.id, Target::Unit, unit.prev, i)?;
    }
    match &record.body {
        Body::Pack { container } | Body::Unpack { container } => {
            add(container.id, Target::Container, container.prev, 0)?;
        }
        Body::Transform { outputs, .. } => {
            for (i, output) in outputs.iter().enumerate() {
                add(*output, Target::Output, None, i)?;
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
            .at(met.field())
            .into());
        }
        let contents_known = matches!(step.focus, Focus::All);
        if contents_known && depth + usize::from(met.unit.height) > MAX_NESTING {
            return Err(Refusal::new(
                Reason::FailedPrecondition,
                format!("containers would be nested deeper than {MAX_NESTING}"),
            )
            .at(met.field())
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
    let index = step.views.entry_of(&record)?.ok_or_else(not_found)?;
    let mut kind = Kind::Correct;
    for (i, unit) in step.placed.record.units.iter().enumerate() {
        if !step.focus.covers(&unit.id) {
            continue;
        }
        let row = step.views.history(&unit.id, index)?.ok_or_else(|| {
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
    let mut alike = Alike::default();
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
            &mut alike,
        )?;
        if let Outcome::Joined(flags) = &mut outcome {
            lots.add(&met.id);
            flags.extend(committed_flags(step.focus, number));
        }
        decided.push((met, outcome));
    }
    Ok(decided)
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

/// Beside-records of a ledger day are limited by signer and unit: one with each kind of finding, and
/// [`MAX_SILENT_BESIDES`] without. What repeats a finding is kept as evidence without another one;
/// what is over is not kept at that unit, and a record of which nothing is kept is refused. So no
/// rival can flood somebody's history, and no honest importer loses the second event of a day.
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
        let count = |step: &Step<'_, R>, kind| -> Result<u32> {
            let key = (day, authority.actor, met.id, kind);
            Ok(step.views.get::<Besides>(&key)?.unwrap_or(0))
        };
        if let Some((kind, _)) = broken {
            let kind = Some(*kind);
            if count(step, kind)? == 0 {
                step.views
                    .put::<Besides>((day, authority.actor, met.id, kind), 1);
                kept = true;
                continue;
            }
        }
        // The same was found today: what happened is kept, and not found again.
        *outcome = Outcome::Beside(None);
        let silent = count(step, None)?;
        if silent < MAX_SILENT_BESIDES {
            step.views
                .put::<Besides>((day, authority.actor, met.id, None), silent + 1);
            kept = true;
        } else {
            dropped.insert(met.id);
        }
    }
    if !kept {
        return Err(Refusal::new(
            Reason::AlreadyReported,
            "the log of today has enough of this by the same signer; send it again tomorrow",
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
    let key = step.placed.record.key_id;
    let entry = Entry {
        placed: step.placed,
        actor: authority.actor,
        regulator: authority.roles().contains(&Role::Regulator),
    };
    // The one whose row of history is the last, if the record just moved it on, and what became of it.
    let mut alike: Option<(&Met, Arc<Unit>)> = None;
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
        if !in_focus || dropped.contains(&met.id) {
            continue;
        }
        let joined = matches!(outcome, Outcome::Joined(_));
        if joined && met.is_created() {
            step.tally.units += 1;
        }
        let plain = joined && broken.is_empty() && entry.is_simple();
        if let Some((_, after)) = alike
            .as_ref()
            .filter(|(other, _)| plain && met.is_like(other))
        {
            let after = Arc::clone(after);
            step.views.put_alike(met.id, after, step.placed.index);
            continue;
        }
        // As it was met, unless what the record does to another subject has touched it.
        let touched = step.views.changed::<Units>(&met.id);
        let mut shared = Arc::clone(touched.unwrap_or(&met.unit));
        let unit = Arc::make_mut(&mut shared);
        if joined {
            effects::join(step, entry, met, decided, unit)?;
        }
        for (kind, proof) in broken {
            findings
                .entry((*kind, proof.clone()))
                .or_default()
                .push(number);
            let at = Some((met.id, &mut *unit));
            add_finding(step, (authority.actor, key), at, *kind, proof);
        }
        let row = HistoryRow {
            joined,
            ..effects::history_row(entry, unit)
        };
        step.views.put_history(met.id, unit, step.placed.index, row);
        alike = plain.then(|| (met, Arc::clone(&shared)));
        step.views.put::<Units>(met.id, shared);
        if number == 0 {
            step.views.reserve::<Units>(decided.len() - 1);
        }
    }
    effects::after(step, entry, decided)?;
    conduct::volume(step, authority, decided)?;
    conduct::count(step, authority, decided)?;
    Ok(verdict(&findings, &beside))
}

/// Numbers a finding and remembers it in the list and at its unit.
pub(super) fn add_finding<R: Read>(
    step: &mut Step<'_, R>,
    (signer, key): (Actor, KeyId),
    unit: Option<(UnitId, &mut Unit)>,
    kind: FindingKind,
    proof: &Break,
) {
    let number = step.tally.count_finding(kind);
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
        city: place.city.to_string(),
        evidence: proof.evidence.clone(),
        measured: proof.measured,
        limit: proof.limit,
        status: FindingStatus::Open,
        by_regulator: false,
        closed: None,
    };
    if let Some(party) = signer.party() {
        step.views.put::<PartyFindings>((party, number), key);
    }
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
            by_regulator: false,
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

#[cfg(test)]
mod tests;
