//! From bytes to a checked [`Record`]: every bound of the format is checked here and only here.

use std::collections::HashSet;

use prost::Message as _;

use super::body::{
    Attributes, Body, Decision, Handover, Means, NewKey, ProductScope, Quantity, RegisterParty,
    ReturnConsent, RevocationReason, Role, Scope, Thresholds,
};
use super::values::{ExpiryDate, GoodsId, Millis, Position, ProductId, Region};
use super::{FORMAT, MAX_NESTING, MAX_UNITS, NONCE_BYTES, Place, Record, UnitRef};
use crate::core::envelope::RecordId;
use crate::core::id::{LocationId, UnitId};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::FindingKind;
use crate::core::signature::{KeyId, PublicKey, SIGNATURE_BYTES, Suite};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// Most bytes of free text.
const MAX_TEXT: usize = 256;
/// Most bytes of a name or a document number.
const MAX_NAME: usize = 128;
/// Most bytes of an origin.
const MAX_ORIGIN: usize = 128;
/// Greatest offset of a device's clock: 366 days.
const MAX_OFFSET_MS: i64 = 366 * 86_400_000;
/// Greatest weight: a thousand tonnes.
const MAX_WEIGHT_GRAMS: u64 = 1_000_000_000;
/// Greatest depth of a tree of fields.
const MAX_DEPTH: usize = 16;

type Checked<T> = Result<T, Refusal>;

pub(super) fn record(payload: &[u8]) -> Checked<Record> {
    let wire = wire::Record::decode(payload).map_err(|error| {
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
    let units = unit_refs(&wire.units, "units", MAX_UNITS)?;
    let containers = unit_refs(&wire.containers, "containers", MAX_UNITS)?;
    let body = body(
        wire.body
            .ok_or_else(|| Refusal::field("body", "the record says nothing: set one body"))?,
    )?;
    let record = Record {
        origin: wire.origin,
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
    if offset.abs() > MAX_OFFSET_MS {
        return Err(Refusal::field(
            "clock_offset_ms",
            "the offset is more than 366 days; set the device's clock",
        ));
    }
    Ok(Millis(claimed.saturating_add_signed(offset)))
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
    let mut seen = HashSet::with_capacity(subjects.len() + record.containers.len());
    for (i, unit) in subjects.iter().enumerate() {
        if !seen.insert(unit) {
            let field = if i < record.units.len() {
                format!("units[{i}].id")
            } else {
                format!("{}.container or outputs", kind.name())
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

fn unit_refs(refs: &[wire::UnitRef], field: &str, max: usize) -> Checked<Vec<UnitRef>> {
    if refs.len() > max {
        return Err(Refusal::field(
            field,
            format!(
                "{} units in one record, at most {max}; split it",
                refs.len()
            ),
        ));
    }
    refs.iter()
        .enumerate()
        .map(|(i, unit)| unit_ref(unit, &format!("{field}[{i}]")))
        .collect()
}

fn unit_ref(unit: &wire::UnitRef, field: &str) -> Checked<UnitRef> {
    let prev = match unit.prev.len() {
        0 => None,
        _ => Some(RecordId::from_slice(&unit.prev).ok_or_else(|| {
            Refusal::field(format!("{field}.prev"), "a record id has 32 bytes, or none")
        })?),
    };
    Ok(UnitRef {
        id: unit_id(&unit.id, &format!("{field}.id"))?,
        prev,
    })
}

fn unit_id(text: &str, field: &str) -> Checked<UnitId> {
    text.parse().map_err(
        |error: crate::core::id::IdError| match UnitId::parse_any(text) {
            Ok(unit) => Refusal::field(
                field,
                format!("a record names units canonically; write {unit} ({error})"),
            ),
            Err(error) => Refusal::field(field, error.to_string()),
        },
    )
}

fn unit_ids(texts: &[String], field: &str) -> Checked<Vec<UnitId>> {
    if texts.len() > MAX_UNITS {
        return Err(Refusal::field(field, format!("at most {MAX_UNITS}")));
    }
    texts
        .iter()
        .enumerate()
        .map(|(i, text)| unit_id(text, &format!("{field}[{i}]")))
        .collect()
}

fn text(value: &str, field: &str, min: usize, max: usize) -> Checked<()> {
    if !(min..=max).contains(&value.len()) {
        return Err(Refusal::field(
            field,
            format!("{} bytes, not {min} to {max}", value.len()),
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(Refusal::field(field, "control characters are not allowed"));
    }
    Ok(())
}

fn optional<T>(value: &str, parse: impl FnOnce(&str) -> Checked<T>) -> Checked<Option<T>> {
    if value.is_empty() {
        Ok(None)
    } else {
        parse(value).map(Some)
    }
}

fn id<T: std::str::FromStr<Err = crate::core::id::IdError>>(
    value: &str,
    field: &str,
) -> Checked<T> {
    value
        .parse()
        .map_err(|error: T::Err| Refusal::field(field, error.to_string()))
}

fn place(place: wire::Place) -> Checked<Place> {
    if place == wire::Place::default() {
        return Err(Refusal::field("place", "the place is empty; leave it out"));
    }
    text(&place.city, "place.city", 0, 64)?;
    let position = place.position.map(position).transpose()?;
    if !place.location.is_empty() {
        id::<LocationId>(&place.location, "place.location")?;
    }
    Ok(Place {
        position,
        region: optional(&place.region, |r| Region::parse(r, "place.region"))?,
        city: place.city,
        location: place.location,
    })
}

fn position(position: wire::Position) -> Checked<Position> {
    if position.latitude_e7.unsigned_abs() > 900_000_000 {
        return Err(Refusal::field(
            "place.position.latitude_e7",
            "beyond a pole",
        ));
    }
    if position.longitude_e7.unsigned_abs() > 1_800_000_000 {
        return Err(Refusal::field(
            "place.position.longitude_e7",
            "beyond 180 degrees",
        ));
    }
    Ok(Position {
        latitude_e7: position.latitude_e7,
        longitude_e7: position.longitude_e7,
    })
}

fn body(body: WireBody) -> Checked<Body> {
    Ok(match body {
        WireBody::Commission(b) => {
            if b.explains.len() > 64 {
                return Err(Refusal::field("commission.explains", "at most 64"));
            }
            Body::Commission {
                attributes: attributes(b.attributes, "commission.attributes")?,
                explains: b.explains.into_iter().map(LogIndex).collect(),
            }
        }
        WireBody::Inspect(b) => {
            b.report
                .as_ref()
                .map(|d| digest(d, "inspect.report"))
                .transpose()?;
            Body::Inspect {
                passed: match b.result() {
                    wire::InspectionResult::Pass => true,
                    wire::InspectionResult::Fail => false,
                    wire::InspectionResult::Unspecified => {
                        return Err(Refusal::field("inspect.result", "PASS or FAIL"));
                    }
                },
            }
        }
        WireBody::Pack(b) => Body::Pack {
            container: container(b.container, "pack.container")?,
        },
        WireBody::Unpack(b) => Body::Unpack {
            container: container(b.container, "unpack.container")?,
        },
        WireBody::Handover(b) => Body::Handover(handover(b)?),
        WireBody::Void(_) => Body::Void,
        WireBody::Accept(b) => {
            known_enum::<wire::Condition>(b.condition, "accept.condition")?;
            Body::Accept {
                weight_grams: weight(b.weight_grams, "accept.weight_grams")?,
            }
        }
        WireBody::Refuse(b) => {
            text(&b.reason, "refuse.reason", 0, MAX_TEXT).map(|()| Body::Refuse)?
        }
        WireBody::Scan(b) => Body::Scan {
            weight_grams: weight(b.weight_grams, "scan.weight_grams")?,
        },
        WireBody::Deliver(b) => Body::Deliver {
            buyer: match b.buyer_key_id.len() {
                0 => None,
                _ => Some(key_id(&b.buyer_key_id, "deliver.buyer_key_id")?),
            },
        },
        WireBody::Confirm(b) => Body::Confirm {
            contents: unit_ids(&b.contents, "confirm.contents")?,
        },
        WireBody::Reject(b) => {
            text(&b.reason, "reject.reason", 0, MAX_TEXT).map(|()| Body::Reject)?
        }
        WireBody::Return(b) => Body::Return {
            consent: return_consent(b)?,
        },
        WireBody::Transform(b) => {
            let outputs = unit_ids(&b.outputs, "transform.outputs")?;
            if outputs.is_empty() {
                return Err(Refusal::field("transform.outputs", "at least one"));
            }
            Body::Transform {
                outputs,
                attributes: attributes(b.attributes, "transform.attributes")?,
            }
        }
        WireBody::Hold(b) => {
            text(&b.reason, "hold.reason", 0, MAX_TEXT)?;
            Body::Hold(scope(b.scope, "hold.scope")?)
        }
        WireBody::Release(b) => {
            text(&b.reason, "release.reason", 0, MAX_TEXT)?;
            Body::Release(scope(b.scope, "release.scope")?)
        }
        WireBody::Recall(b) => {
            text(&b.reason, "recall.reason", 0, MAX_TEXT)?;
            text(&b.notice, "recall.notice", 0, MAX_NAME)?;
            Body::Recall(scope(b.scope, "recall.scope")?)
        }
        WireBody::Destroy(b) => {
            text(&b.reason, "destroy.reason", 0, MAX_TEXT).map(|()| Body::Destroy)?
        }
        WireBody::Correct(b) => {
            text(&b.reason, "correct.reason", 0, MAX_TEXT)?;
            Body::Correct {
                record: RecordId::from_slice(&b.record_id).ok_or_else(|| {
                    Refusal::field("correct.record_id", "a record id has 32 bytes")
                })?,
            }
        }
        governance => governance_body(governance)?,
    })
}

fn governance_body(body: WireBody) -> Checked<Body> {
    Ok(match body {
        WireBody::Genesis(b) => genesis(&b)?,
        WireBody::RegisterParty(b) => Body::RegisterParty(register_party(b)?),
        WireBody::ApproveParty(b) => Body::ApproveParty {
            party: id(&b.party, "approve_party.party")?,
            roles: roles(&b.roles, "approve_party.roles")?,
            valid_until: until(b.valid_until_ms, "approve_party.valid_until_ms")?,
        },
        WireBody::SuspendParty(b) => {
            text(&b.reason, "suspend_party.reason", 1, MAX_TEXT)?;
            Body::SuspendParty {
                party: id(&b.party, "suspend_party.party")?,
            }
        }
        WireBody::AddKey(b) => Body::AddKey(new_key(
            b.key,
            b.valid_from_ms,
            b.valid_until_ms,
            &b.possession,
            "add_key",
        )?),
        WireBody::Delegate(b) => {
            let key = new_key(
                b.key,
                b.valid_from_ms,
                b.valid_until_ms,
                &b.possession,
                "delegate",
            )?;
            if key.valid_until.is_none() {
                return Err(Refusal::field(
                    "delegate.valid_until_ms",
                    "a delegation has an end",
                ));
            }
            Body::Delegate(key)
        }
        WireBody::RotateKey(b) => Body::RotateKey {
            key: public_key(b.key.as_ref(), "rotate_key.key")?,
            possession: signature(&b.possession, "rotate_key.possession")?,
        },
        WireBody::RevokeKey(b) => Body::RevokeKey {
            key_id: key_id(&b.key_id, "revoke_key.key_id")?,
            reason: match b.reason() {
                wire::RevocationReason::Compromised => {
                    RevocationReason::Compromised(Millis(b.since_ms))
                }
                wire::RevocationReason::Superseded => RevocationReason::Superseded,
                wire::RevocationReason::Cessation => RevocationReason::Cessation,
                wire::RevocationReason::Unspecified => {
                    return Err(Refusal::field("revoke_key.reason", "say why the key ends"));
                }
            },
        },
        WireBody::ClaimProduct(b) => {
            text(&b.name, "claim_product.name", 0, MAX_NAME)?;
            Body::ClaimProduct {
                scope: product_scope(b.scope, "claim_product.scope")?,
                name: b.name,
            }
        }
        WireBody::ApproveProduct(b) => Body::ApproveProduct {
            scope: product_scope(b.scope, "approve_product.scope")?,
            party: id(&b.party, "approve_product.party")?,
        },
        WireBody::SetThresholds(b) => {
            Body::SetThresholds(thresholds(b.thresholds, "set_thresholds.thresholds")?)
        }
        WireBody::DecideFinding(b) => decide_finding(&b)?,
        WireBody::ReportEquivocation(b) => Body::ReportEquivocation {
            first: b.first,
            second: b.second,
        },
        _ => return Err(Refusal::field("body", "unknown kind of record")),
    })
}

fn genesis(b: &wire::Genesis) -> Checked<Body> {
    if !(1..=16).contains(&b.regulator_keys.len()) {
        return Err(Refusal::field("genesis.regulator_keys", "1 to 16 keys"));
    }
    text(&b.regulator_name, "genesis.regulator_name", 1, MAX_NAME)?;
    text(&b.log_key, "genesis.log_key", 1, MAX_TEXT)?;
    let regulator_keys = b
        .regulator_keys
        .iter()
        .map(|key| public_key(Some(key), "genesis.regulator_keys"))
        .collect::<Checked<Vec<_>>>()?;
    Ok(Body::Genesis {
        regulator_keys,
        regulator: id(&b.regulator, "genesis.regulator")?,
        regulator_name: b.regulator_name.clone(),
        thresholds: thresholds(b.thresholds, "genesis.thresholds")?,
    })
}

fn register_party(b: wire::RegisterParty) -> Checked<RegisterParty> {
    text(&b.name, "register_party.name", 0, MAX_NAME)?;
    text(&b.city, "register_party.city", 0, 64)?;
    b.evidence
        .as_ref()
        .map(|d| digest(d, "register_party.evidence"))
        .transpose()?;
    match (&b.name_commitment, b.name.is_empty()) {
        (Some(commitment), true) => digest(commitment, "register_party.name_commitment")?,
        (None, false) => {}
        (Some(_), false) => {
            return Err(Refusal::field(
                "register_party.name_commitment",
                "give a company's name, or a sole trader's commitment, not both",
            ));
        }
        (None, true) => {
            return Err(Refusal::field(
                "register_party.name",
                "give a company's name, or a sole trader's commitment",
            ));
        }
    }
    Ok(RegisterParty {
        party: id(&b.party, "register_party.party")?,
        roles: roles(&b.roles, "register_party.roles")?,
        region: optional(&b.region, |r| Region::parse(r, "register_party.region"))?,
        key: public_key(b.key.as_ref(), "register_party.key")?,
        name: b.name,
        city: b.city,
    })
}

fn decide_finding(b: &wire::DecideFinding) -> Checked<Body> {
    text(&b.reason, "decide_finding.reason", 1, MAX_TEXT)?;
    text(&b.document, "decide_finding.document", 0, MAX_NAME)?;
    Ok(Body::DecideFinding {
        index: LogIndex(b.log_index),
        kind: FindingKind::from_number(b.kind)
            .ok_or_else(|| Refusal::field("decide_finding.kind", "unknown kind of finding"))?,
        unit: unit_id(&b.unit, "decide_finding.unit")?,
        decision: match b.decision() {
            wire::Decision::Confirmed => Decision::Confirmed,
            wire::Decision::Dismissed => Decision::Dismissed,
            wire::Decision::Unspecified => {
                return Err(Refusal::field(
                    "decide_finding.decision",
                    "CONFIRMED or DISMISSED",
                ));
            }
        },
    })
}

fn handover(b: wire::Handover) -> Checked<Handover> {
    Ok(Handover {
        to: id(&b.to, "handover.to")?,
        buyer: b
            .buyer
            .map(|key| {
                PublicKey::parse(key.suite, &key.public_key)
                    .map_err(|error| Refusal::field("handover.buyer", error.to_string()))
            })
            .transpose()?,
        weight_grams: weight(b.weight_grams, "handover.weight_grams")?,
        means: match known_enum::<wire::Means>(b.means, "handover.means")? {
            wire::Means::Unspecified => Means::Unspecified,
            wire::Means::Road => Means::Road,
            wire::Means::Rail => Means::Rail,
            wire::Means::Air => Means::Air,
            wire::Means::Water => Means::Water,
            wire::Means::InPerson => Means::InPerson,
        },
        destination: optional(&b.destination, |r| Region::parse(r, "handover.destination"))?,
    })
}

fn return_consent(b: wire::Return) -> Checked<Option<ReturnConsent>> {
    if b.consent.is_empty() && b.consent_signature.is_empty() {
        return Ok(None);
    }
    let consent = wire::ReturnConsent::decode(b.consent.as_slice())
        .map_err(|error| Refusal::field("return.consent", error.to_string()))?;
    text(&consent.origin, "return.consent.origin", 1, MAX_ORIGIN)?;
    Ok(Some(ReturnConsent {
        to: id(&consent.to, "return.consent.to")?,
        units: unit_refs(&consent.units, "return.consent.units", MAX_UNITS)?,
        signature: signature(&b.consent_signature, "return.consent_signature")?,
        signed: b.consent,
    }))
}

fn attributes(attributes: Option<wire::Attributes>, field: &str) -> Checked<Attributes> {
    let Some(a) = attributes else {
        return Ok(Attributes::default());
    };
    if a.markets.len() > 64 {
        return Err(Refusal::field(format!("{field}.markets"), "at most 64"));
    }
    let markets = a
        .markets
        .iter()
        .map(|m| Region::parse(m, &format!("{field}.markets")))
        .collect::<Checked<Vec<_>>>()?;
    Ok(Attributes {
        lot: optional(&a.lot, |lot| id(lot, &format!("{field}.lot")))?,
        expiry: match a.expiry {
            0 => None,
            number => Some(ExpiryDate::parse(number, &format!("{field}.expiry"))?),
        },
        markets,
        lot_size: (a.lot_size > 0).then_some(a.lot_size),
        content: a.content.map(|q| quantity(q, field)).transpose()?,
    })
}

fn quantity(q: wire::Quantity, field: &str) -> Checked<Quantity> {
    let unit = &q.unit_of_measure;
    if !(2..=3).contains(&unit.len())
        || !unit
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    {
        return Err(Refusal::field(
            format!("{field}.content.unit_of_measure"),
            "use a UN/ECE Recommendation 20 code such as KGM or C62",
        ));
    }
    Ok(Quantity {
        milli: q.milli,
        unit_of_measure: q.unit_of_measure,
    })
}

fn container(container: Option<wire::UnitRef>, field: &str) -> Checked<UnitRef> {
    unit_ref(
        &container.ok_or_else(|| Refusal::field(field, "name the container"))?,
        field,
    )
}

fn scope(scope: Option<wire::Scope>, field: &str) -> Checked<Scope> {
    Ok(match scope.and_then(|s| s.scope) {
        None => Scope::Units,
        Some(wire::scope::Scope::Product(product)) => Scope::Goods(GoodsId::Product(
            ProductId::parse(&product, &format!("{field}.product"))?,
        )),
        Some(wire::scope::Scope::Lot(lot)) => Scope::Goods(GoodsId::Lot(
            ProductId::parse(&lot.product, &format!("{field}.lot.product"))?,
            id(&lot.lot, &format!("{field}.lot.lot"))?,
        )),
    })
}

fn product_scope(scope: Option<wire::ProductScope>, field: &str) -> Checked<ProductScope> {
    use wire::product_scope::Scope as S;
    Ok(match scope.and_then(|s| s.scope) {
        None => return Err(Refusal::field(field, "name what is claimed")),
        Some(S::Gtin(gtin)) => ProductScope::Gtin(id(&gtin, &format!("{field}.gtin"))?),
        Some(S::CompanyPrefix(p)) => {
            ProductScope::CompanyPrefix(id(&p, &format!("{field}.company_prefix"))?)
        }
        Some(S::Carrier(c)) => ProductScope::Carrier(id(&c, &format!("{field}.carrier"))?),
        Some(S::Drug(d)) => ProductScope::Drug(id(&d, &format!("{field}.drug"))?),
    })
}

impl ProductScope {
    /// Checks a scope that a caller names.
    ///
    /// # Errors
    /// A refusal that names what is wrong with it.
    pub fn from_wire(scope: Option<wire::ProductScope>) -> Checked<Self> {
        product_scope(scope, "scope")
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn to_wire(&self) -> wire::ProductScope {
        use wire::product_scope::Scope as S;
        wire::ProductScope {
            scope: Some(match self {
                Self::Gtin(gtin) => S::Gtin(gtin.to_string()),
                Self::CompanyPrefix(prefix) => S::CompanyPrefix(prefix.to_string()),
                Self::Carrier(carrier) => S::Carrier(carrier.to_string()),
                Self::Drug(drug) => S::Drug(drug.to_string()),
            }),
        }
    }
}

fn thresholds(thresholds: Option<wire::Thresholds>, field: &str) -> Checked<Thresholds> {
    let t = thresholds.ok_or_else(|| Refusal::field(field, "name the thresholds"))?;
    if t.max_speed_kmh == 0 || t.max_speed_kmh > 100_000 || t.min_travel_km > 40_000 {
        return Err(Refusal::field(
            field,
            "max_speed_kmh 1 to 100000, min_travel_km to 40000",
        ));
    }
    let year_ms = 366 * 86_400_000;
    if [
        t.future_tolerance_ms,
        t.reversal_tolerance_ms,
        t.min_delivery_ms,
        t.late_upload_ms,
    ]
    .iter()
    .any(|ms| *ms > year_ms)
        || t.inflation_per_mille > 1_000_000
    {
        return Err(Refusal::field(field, "no time longer than 366 days"));
    }
    Ok(Thresholds {
        future_tolerance_ms: t.future_tolerance_ms,
        reversal_tolerance_ms: t.reversal_tolerance_ms,
        max_speed_kmh: t.max_speed_kmh,
        min_travel_km: t.min_travel_km,
        min_delivery_ms: t.min_delivery_ms,
        inflation_per_mille: t.inflation_per_mille,
        late_upload_ms: t.late_upload_ms,
    })
}

impl From<Thresholds> for wire::Thresholds {
    fn from(t: Thresholds) -> Self {
        Self {
            future_tolerance_ms: t.future_tolerance_ms,
            reversal_tolerance_ms: t.reversal_tolerance_ms,
            max_speed_kmh: t.max_speed_kmh,
            min_travel_km: t.min_travel_km,
            min_delivery_ms: t.min_delivery_ms,
            inflation_per_mille: t.inflation_per_mille,
            late_upload_ms: t.late_upload_ms,
        }
    }
}

fn new_key(
    key: Option<wire::PublicKey>,
    from: u64,
    valid_until_ms: u64,
    possession: &[u8],
    field: &str,
) -> Checked<NewKey> {
    let valid_until = until(valid_until_ms, &format!("{field}.valid_until_ms"))?;
    if from > Millis::MAX.0 || valid_until.is_some_and(|end| end.0 < from) {
        return Err(Refusal::field(
            format!("{field}.valid_from_ms"),
            "the key ends before it begins",
        ));
    }
    Ok(NewKey {
        key: public_key(key.as_ref(), &format!("{field}.key"))?,
        valid_from: Millis(from),
        valid_until,
        possession: signature(possession, &format!("{field}.possession"))?,
    })
}

fn until(ms: u64, field: &str) -> Checked<Option<Millis>> {
    if ms > Millis::MAX.0 {
        return Err(Refusal::field(field, "the time lies after the year 2199"));
    }
    Ok((ms > 0).then_some(Millis(ms)))
}

fn public_key(key: Option<&wire::PublicKey>, field: &str) -> Checked<PublicKey> {
    let key = key.ok_or_else(|| Refusal::field(field, "name the public key"))?;
    PublicKey::parse(key.suite, &key.public_key)
        .map_err(|error| Refusal::field(field, error.to_string()))
}

fn key_id(bytes: &[u8], field: &str) -> Checked<KeyId> {
    KeyId::from_slice(bytes).ok_or_else(|| Refusal::field(field, "a key id has 16 bytes"))
}

fn signature(bytes: &[u8], field: &str) -> Checked<[u8; SIGNATURE_BYTES]> {
    bytes
        .try_into()
        .map_err(|_| Refusal::field(field, "a signature has 64 bytes"))
}

fn digest(digest: &wire::Digest, field: &str) -> Checked<()> {
    if digest.algorithm() == wire::DigestAlgorithm::Unspecified || digest.value.len() != 32 {
        return Err(Refusal::field(
            field,
            "name the algorithm and give its 32 bytes",
        ));
    }
    Ok(())
}

fn weight(grams: u64, field: &str) -> Checked<u64> {
    if grams > MAX_WEIGHT_GRAMS {
        return Err(Refusal::field(field, "more than a thousand tonnes"));
    }
    Ok(grams)
}

fn known_enum<E: TryFrom<i32>>(number: i32, field: &str) -> Checked<E> {
    E::try_from(number).map_err(|_| Refusal::field(field, format!("unknown value {number}")))
}

fn roles(numbers: &[i32], field: &str) -> Checked<Vec<Role>> {
    let mut roles = numbers
        .iter()
        .map(|number| {
            Role::from_number(*number)
                .ok_or_else(|| Refusal::field(field, format!("unknown role {number}")))
        })
        .collect::<Checked<Vec<_>>>()?;
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() || roles.len() != numbers.len() {
        return Err(Refusal::field(field, "at least one role, each once"));
    }
    Ok(roles)
}

impl Role {
    const ALL: [Self; 10] = [
        Self::Maker,
        Self::Distributor,
        Self::Seller,
        Self::Courier,
        Self::Inspector,
        Self::Regulator,
        Self::Platform,
        Self::Bank,
        Self::Fund,
        Self::Auditor,
    ];

    fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// The number in the proto.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 + 1
    }
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
