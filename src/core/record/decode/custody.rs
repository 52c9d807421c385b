//! The bodies of custody records.

use prost::Message as _;

use super::fields::{
    digest, id, key_id, known_enum, optional, signature, text, unit_ids, unit_ref, unit_refs,
    weight, written,
};
use super::governance::governance_body;
use super::{Checked, MAX_NAME, MAX_ORIGIN, MAX_TEXT};
use crate::core::envelope::RecordId;
use crate::core::record::body::{
    Attributes, Body, Handover, Means, Quantity, ReturnConsent, Scope,
};
use crate::core::record::values::{CalendarDate, GoodsId, ProductId, Region};
use crate::core::record::{MAX_UNITS, UnitRef};
use crate::core::refusal::Refusal;
use crate::core::signature::PublicKey;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

pub(super) fn body(body: WireBody) -> Checked<Body> {
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
                checked: all_checks(&b.checks)?,
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

pub(super) fn handover(b: wire::Handover) -> Checked<Handover> {
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

pub(super) fn return_consent(b: wire::Return) -> Checked<Option<ReturnConsent>> {
    if b.consent.is_empty() && b.consent_signature.is_empty() {
        return Ok(None);
    }
    let consent = wire::ReturnConsent::decode(b.consent.as_slice())
        .map_err(|error| Refusal::field("return.consent", error.to_string()))?;
    text(&consent.origin, "return.consent.origin", 1, MAX_ORIGIN)?;
    Ok(Some(ReturnConsent {
        to: id(&consent.to, "return.consent.to")?,
        units: unit_refs(
            consent.units.iter().map(written),
            "return.consent.units",
            MAX_UNITS,
        )?,
        signature: signature(&b.consent_signature, "return.consent_signature")?,
        signed: b.consent,
    }))
}

pub(super) fn attributes(attributes: Option<wire::Attributes>, field: &str) -> Checked<Attributes> {
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
            number => Some(CalendarDate::parse(number, &format!("{field}.expiry"))?),
        },
        markets,
        lot_size: (a.lot_size > 0).then_some(a.lot_size),
        content: a.content.map(|q| quantity(q, field)).transpose()?,
    })
}

pub(super) fn quantity(q: wire::Quantity, field: &str) -> Checked<Quantity> {
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

pub(super) fn container(container: Option<wire::UnitRef>, field: &str) -> Checked<UnitRef> {
    unit_ref(
        &container.ok_or_else(|| Refusal::field(field, "name the container"))?,
        field,
    )
}

pub(super) fn scope(scope: Option<wire::Scope>, field: &str) -> Checked<Scope> {
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

/// Whether all three checks at collection are there.
fn all_checks(checks: &[i32]) -> Checked<bool> {
    let bad = || {
        Refusal::field(
            "accept.checks",
            "REAL_NAME, INSPECTION, SCREENING, each once",
        )
    };
    let mut seen = [false; 3];
    for number in checks {
        let place = usize::try_from(*number - 1).ok();
        let place = place
            .and_then(|place| seen.get_mut(place))
            .ok_or_else(bad)?;
        if std::mem::replace(place, true) {
            return Err(bad());
        }
    }
    Ok(seen == [true; 3])
}
