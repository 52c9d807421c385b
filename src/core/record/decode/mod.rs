//! From bytes to a checked [`Record`]: every bound of the format is checked here and only here.

mod access;
mod alert;
mod case;
mod claim;
mod credit;
mod custody;
mod fields;
mod governance;
mod inspection;
mod measure;
mod units;

use foldhash::{HashSet, HashSetExt as _};

use prost::Message as _;

use super::body::{Body, Scope};
use super::values::Millis;
use super::{FORMAT, MAX_NESTING, MAX_UNITS, NONCE_BYTES, Record};
use crate::core::id::UnitId;
use crate::core::refusal::{Reason, Refusal};
use crate::core::signature::{KeyId, Suite};
use crate::core::wire;
use custody::body;
use fields::{place, text, unit_refs, written};

/// Most bytes of free text.
const MAX_TEXT: usize = 256;
/// Most bytes of a name or a document number.
const MAX_NAME: usize = 128;
/// Most bytes of an origin.
const MAX_ORIGIN: usize = 128;
/// Greatest offset of a device's clock: 366 days.
const MAX_OFFSET_MS: u64 = 366 * 86_400_000;
/// Greatest weight: a thousand tonnes.
const MAX_WEIGHT_GRAMS: u64 = 1_000_000_000;
/// Greatest depth of a tree of fields.
const MAX_DEPTH: usize = 16;

type Checked<T> = Result<T, Refusal>;

pub(super) fn record(payload: &[u8]) -> Checked<Record> {
    let (units, rest) = units::split(payload);
    let wire = wire::Record::decode(rest).map_err(|error| {
        Refusal::new(
            Reason::Malformed,
            format!("the payload is no custody.v1.Record: {error}"),
        )
    })?;
    if wire.format != FORMAT {
        return Err(Refusal::field(
            "format",
            format!(
                "format {} is not known here; this ledger reads {FORMAT}",
                wire.format
            ),
        ));
    }
    text(&wire.origin, "origin", 1, MAX_ORIGIN)?;
    let suite = Suite::from_number(wire.suite)
        .map_err(|error| Refusal::field("suite", error.to_string()))?;
    let key_id = KeyId::from_slice(&wire.key_id)
        .ok_or_else(|| Refusal::field("key_id", "a key id has 16 bytes"))?;
    let nonce: [u8; NONCE_BYTES] = wire
        .nonce
        .as_slice()
        .try_into()
        .map_err(|_| Refusal::field("nonce", "a nonce has 16 random bytes"))?;
    let event_time = event_time(wire.claimed_time_ms, wire.clock_offset_ms)?;
    let place = wire.place.map(place).transpose()?.unwrap_or_default();
    if let Some(context) = &wire.context {
        check_context(context)?;
    }
    let more_units = wire.units.iter().map(written);
    let units = units.iter().copied().chain(more_units);
    let units = unit_refs(units, "units", MAX_UNITS)?;
    let containers = wire.containers.iter().map(written);
    let containers = unit_refs(containers, "containers", MAX_UNITS)?;
    let body = body(
        wire.body
            .ok_or_else(|| Refusal::field("body", "the record says nothing: set one body"))?,
    )?;
    let record = Record {
        origin: wire.origin.into(),
        suite,
        key_id,
        nonce,
        event_time,
        place,
        units,
        containers,
        body,
    };
    check_subjects(&record)?;
    Ok(record)
}

fn event_time(claimed: u64, offset: i64) -> Checked<Millis> {
    if claimed > Millis::MAX.0 {
        return Err(Refusal::field(
            "claimed_time_ms",
            "the time lies after the year 2199",
        ));
    }
    if offset.unsigned_abs() > MAX_OFFSET_MS {
        return Err(Refusal::field(
            "clock_offset_ms",
            "the offset is more than 366 days; set the device's clock",
        ));
    }
    let event = Millis(claimed.saturating_add_signed(offset));
    if event > Millis::MAX {
        return Err(Refusal::field(
            "clock_offset_ms",
            "the time lies after the year 2199",
        ));
    }
    Ok(event)
}

/// The number of units that the kind needs, each once, and the bounds over all subjects.
fn check_subjects(record: &Record) -> Checked<()> {
    let kind = record.kind();
    let needs_none = !kind.is_custody()
        || matches!(
            record.body,
            Body::Hold(Scope::Goods(_))
                | Body::Release(Scope::Goods(_))
                | Body::Recall(Scope::Goods(_))
        );
    if needs_none {
        if !record.units.is_empty() || !record.containers.is_empty() {
            return Err(Refusal::field(
                "units",
                format!("{} names no units", kind.name()),
            ));
        }
        return Ok(());
    }
    if record.units.is_empty() {
        return Err(Refusal::field(
            "units",
            format!("{} names at least one unit", kind.name()),
        ));
    }
    let subjects = record.subjects();
    if subjects.len() > MAX_UNITS {
        return Err(Refusal::field(
            "units",
            format!(
                "{} units in one record, at most {MAX_UNITS}; split it",
                subjects.len()
            ),
        ));
    }
    let alone = subjects.len() == 1 && record.containers.is_empty();
    if !alone {
        check_each_once(record, &subjects)?;
    }
    if matches!(kind, super::Kind::Commission)
        && let Some(i) = record.units.iter().position(|unit| unit.prev.is_some())
    {
        return Err(Refusal::field(
            format!("units[{i}].prev"),
            "a Commission begins a chain and names no prev",
        ));
    }
    Ok(())
}

/// No unit or container is named twice, and there are not more containers than can be.
fn check_each_once(record: &Record, subjects: &[UnitId]) -> Checked<()> {
    let mut seen = HashSet::with_capacity(subjects.len() + record.containers.len());
    for (i, unit) in subjects.iter().enumerate() {
        if !seen.insert(unit) {
            let field = if i < record.units.len() {
                format!("units[{i}].id")
            } else {
                format!("{}.container or outputs", record.kind().name())
            };
            return Err(Refusal::field(
                field,
                format!("{unit} is named twice in one record"),
            ));
        }
    }
    if record.containers.len() > MAX_UNITS.min(record.units.len() * MAX_NESTING) {
        return Err(Refusal::field(
            "containers",
            "more containers than can be around the units",
        ));
    }
    for (i, container) in record.containers.iter().enumerate() {
        if !seen.insert(&container.id) {
            return Err(Refusal::field(
                format!("containers[{i}].id"),
                format!("{} is named twice in one record", container.id),
            ));
        }
    }
    Ok(())
}

fn check_context(context: &wire::EventContext) -> Checked<()> {
    let error = context.error_declaration.as_ref();
    let trees = context
        .fields
        .iter()
        .chain(error.iter().flat_map(|e| &e.fields))
        .filter_map(|field| field.value.as_ref());
    for value in trees {
        if depth(value, MAX_DEPTH).is_none() {
            return Err(Refusal::field(
                "context.fields",
                format!("the tree is deeper than {MAX_DEPTH}"),
            ));
        }
    }
    text(&context.event_id, "context.event_id", 0, MAX_TEXT)
}

/// None when the tree is deeper than `left`.
fn depth(value: &wire::Value, left: usize) -> Option<()> {
    let left = left.checked_sub(1)?;
    match value.value.as_ref() {
        Some(wire::value::Value::List(list)) => {
            list.values.iter().try_for_each(|value| depth(value, left))
        }
        Some(wire::value::Value::Object(object)) => object
            .fields
            .iter()
            .filter_map(|field| field.value.as_ref())
            .try_for_each(|value| depth(value, left)),
        _ => Some(()),
    }
}
