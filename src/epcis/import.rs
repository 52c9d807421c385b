//! From a checked event to a record that waits for its signature.
//!
//! The ledger's own fields are filled from the event, everything else goes into the context, so
//! that the export can say it again. An event that carries an `errorDeclaration` (EPCIS 2.0
//! section 7.3) repeats an earlier event to take it back: it is read as the same kind of record,
//! with the declaration in the context. The caller, who knows the record id of the original,
//! turns it into a Correct record; only the ledger can know that id.

use std::collections::BTreeSet;

use prost::Message;
use serde_json::{Map, Value};

use super::check::{ErrorDeclaration, Event, EventType};
use super::error::EventRefusal;
use super::ids::{self, Unit};
use super::kinds::{Situation, Step};
use super::{FORMAT, MAX_EVENT_ID_BYTES, MAX_RECORD_BYTES, MAX_UNITS, fields, time};
use crate::core::id::Lot;
use crate::core::wire::record::Body;
use crate::core::wire::{self, EpcisEventType};

/// Namespace of the master data of the CBV, and its name in XML.
const MASTER_DATA: [&str; 3] = [
    "urn:epcglobal:cbv:mda:",
    "urn:epcglobal:cbv:mda#",
    "urn:epcglobal:cbv:mda",
];

/// Makes the record, or says why there can be none.
pub(super) fn record(
    event: Event,
    namespaces: Vec<wire::Namespace>,
) -> Result<wire::Record, EventRefusal> {
    let event_type = event_type(&event)?;
    check_event_id(&event.event_id)?;
    let situation = Situation {
        event_type,
        action: event.action,
        biz_step: &event.biz_step,
        disposition: &event.disposition,
        destinations: &event.destinations,
    };
    let step = situation.step();
    let subjects = Subjects::of(&event, &step)?;
    let claimed_time_ms = epoch("eventTime", event.time_ms, &event.time)?;
    let (attributes, ilmd) = attributes(&event.ilmd, &namespaces)?;
    let body = body(&step, &subjects, attributes);
    let location = ids::read_location(&event.read_point);
    let context = context(
        event,
        event_type,
        ilmd,
        namespaces,
        subjects.prefix_lengths(),
    )?;
    let record = wire::Record {
        format: FORMAT,
        claimed_time_ms,
        place: location.map(|location| wire::Place {
            location,
            ..wire::Place::default()
        }),
        units: subjects.units.iter().map(unit_ref).collect(),
        context: Some(context),
        body: Some(body),
        ..wire::Record::default()
    };
    let bytes = record.encoded_len();
    if bytes > MAX_RECORD_BYTES {
        let max = MAX_RECORD_BYTES;
        return Err(EventRefusal::TooLarge { bytes, max });
    }
    Ok(record)
}

fn event_type(event: &Event) -> Result<EpcisEventType, EventRefusal> {
    match event.event_type {
        EventType::Object => Ok(EpcisEventType::Object),
        EventType::Aggregation => Ok(EpcisEventType::Aggregation),
        EventType::Transaction => Ok(EpcisEventType::Transaction),
        EventType::Transformation => Ok(EpcisEventType::Transformation),
        EventType::Association => Err(EventRefusal::Association),
        EventType::Quantity => Err(EventRefusal::QuantityEvent),
        EventType::Extended => Err(EventRefusal::EventType(event.type_name.clone())),
    }
}

fn check_event_id(id: &str) -> Result<(), EventRefusal> {
    if id.len() <= MAX_EVENT_ID_BYTES {
        return Ok(());
    }
    Err(EventRefusal::TextTooLong {
        field: "eventID".to_owned(),
        bytes: id.len(),
        max: MAX_EVENT_ID_BYTES,
    })
}

fn epoch(field: &'static str, ms: i64, text: &str) -> Result<u64, EventRefusal> {
    u64::try_from(ms).map_err(|_| EventRefusal::BeforeEpoch {
        field,
        time: text.to_owned(),
    })
}

fn unit_ref(unit: &Unit) -> wire::UnitRef {
    wire::UnitRef {
        id: unit.id.clone(),
        prev: Vec::new(),
    }
}

/// The units of an event, by the part that they play in the record.
struct Subjects {
    units: Vec<Unit>,
    container: Option<Unit>,
    outputs: Vec<Unit>,
}

impl Subjects {
    fn of(event: &Event, step: &Step) -> Result<Self, EventRefusal> {
        let parent = (!event.parent.is_empty()).then(|| ids::read_unit(&event.parent));
        let parent = parent.transpose()?;
        let mut subjects = Self {
            units: read_units(&event.epcs)?,
            container: None,
            outputs: read_units(&event.output_epcs)?,
        };
        match step {
            Step::Pack | Step::Unpack => {
                subjects.check_children(event)?;
                subjects.container = parent;
            }
            Step::Transform => subjects.check_sides(event)?,
            _ => {
                subjects.units.splice(..0, parent);
                subjects.check_units(event)?;
            }
        }
        subjects.check_distinct()?;
        Ok(subjects)
    }

    fn check_units(&self, event: &Event) -> Result<(), EventRefusal> {
        if !self.units.is_empty() {
            return Ok(());
        }
        Err(match event.quantities.first() {
            Some(quantity) => EventRefusal::ClassLevelOnly {
                first: quantity.epc_class.clone(),
            },
            None => EventRefusal::NoUnits,
        })
    }

    fn check_children(&self, event: &Event) -> Result<(), EventRefusal> {
        match self.check_units(event) {
            Err(EventRefusal::NoUnits) => Err(EventRefusal::NoChildren),
            result => result,
        }
    }

    fn check_sides(&self, event: &Event) -> Result<(), EventRefusal> {
        let sides = [
            ("inputs", &self.units, &event.quantities),
            ("outputs", &self.outputs, &event.output_quantities),
        ];
        for (side, units, quantities) in sides {
            if units.is_empty() {
                let class = quantities
                    .first()
                    .map(|quantity| format!(" but quantities, such as of {}", quantity.epc_class))
                    .unwrap_or_default();
                return Err(EventRefusal::TransformationSide { side, class });
            }
        }
        Ok(())
    }

    fn check_distinct(&self) -> Result<(), EventRefusal> {
        let found = self.all().count();
        if found > MAX_UNITS {
            let max = MAX_UNITS;
            return Err(EventRefusal::TooManyUnits { found, max });
        }
        let mut seen = BTreeSet::new();
        match self.all().find(|unit| !seen.insert(&unit.id)) {
            None => Ok(()),
            Some(unit) => Err(EventRefusal::DuplicateUnit(unit.id.clone())),
        }
    }

    /// In the order in which the context keeps their spelling.
    fn all(&self) -> impl Iterator<Item = &Unit> {
        self.units
            .iter()
            .chain(&self.container)
            .chain(&self.outputs)
    }

    fn prefix_lengths(&self) -> Vec<u32> {
        self.all().map(|unit| unit.prefix_length).collect()
    }
}

fn read_units(texts: &[String]) -> Result<Vec<Unit>, EventRefusal> {
    texts.iter().map(|text| ids::read_unit(text)).collect()
}

fn body(step: &Step, subjects: &Subjects, attributes: Option<wire::Attributes>) -> Body {
    let container = subjects.container.as_ref().map(unit_ref);
    match step {
        Step::Commission => Body::Commission(wire::Commission {
            attributes,
            explains: Vec::new(),
        }),
        Step::Inspect(result) => Body::Inspect(wire::Inspect {
            result: i32::from(*result),
            report: None,
        }),
        Step::Pack => Body::Pack(wire::Pack { container }),
        Step::Unpack => Body::Unpack(wire::Unpack { container }),
        Step::Handover(to) => Body::Handover(wire::Handover {
            to: to.clone(),
            ..wire::Handover::default()
        }),
        Step::Void => Body::Void(wire::Void {}),
        Step::Accept(condition) => Body::Accept(wire::Accept {
            condition: i32::from(*condition),
            ..wire::Accept::default()
        }),
        Step::Scan => Body::Scan(wire::Scan::default()),
        Step::Deliver => Body::Deliver(wire::Deliver::default()),
        Step::Return => Body::Return(wire::Return::default()),
        Step::Transform => Body::Transform(wire::Transform {
            outputs: subjects
                .outputs
                .iter()
                .map(|unit| unit.id.clone())
                .collect(),
            attributes,
        }),
        Step::Hold => Body::Hold(wire::Hold::default()),
        Step::Recall => Body::Recall(wire::Recall::default()),
        Step::Destroy => Body::Destroy(wire::Destroy::default()),
    }
}

/// Lot and expiry, which the rules of the ledger need, and the master data that are left.
fn attributes(
    ilmd: &Map<String, Value>,
    namespaces: &[wire::Namespace],
) -> Result<(Option<wire::Attributes>, Map<String, Value>), EventRefusal> {
    let mut attributes = wire::Attributes::default();
    let mut rest = Map::new();
    for (name, value) in ilmd {
        match master_data_name(name, namespaces) {
            Some("lotNumber") => set_once("lotNumber", &mut attributes.lot, lot(value)?)?,
            Some("itemExpirationDate") => {
                set_once("itemExpirationDate", &mut attributes.expiry, expiry(value)?)?;
            }
            _ => {
                rest.insert(name.clone(), value.clone());
            }
        }
    }
    let found = attributes != wire::Attributes::default();
    Ok((found.then_some(attributes), rest))
}

fn set_once<T: Default + PartialEq>(
    field: &'static str,
    slot: &mut T,
    value: T,
) -> Result<(), EventRefusal> {
    if *slot != T::default() {
        let reason = "it is named twice".to_owned();
        return Err(EventRefusal::Attribute { field, reason });
    }
    *slot = value;
    Ok(())
}

/// The local name of a field of the CBV's master data. What counts is the namespace: a document
/// may bind the prefix `cbvmda` to another, and then its `lotNumber` is not the lot.
fn master_data_name<'a>(name: &'a str, namespaces: &[wire::Namespace]) -> Option<&'a str> {
    let (prefix, local) = name.split_once(':')?;
    let bound = namespaces
        .iter()
        .find(|namespace| namespace.prefix == prefix);
    match bound {
        Some(namespace) => MASTER_DATA
            .contains(&namespace.uri.as_str())
            .then_some(local),
        // The EPCIS context declares this one.
        None if prefix == "cbvmda" => Some(local),
        None => MASTER_DATA[..2]
            .iter()
            .find_map(|uri| name.strip_prefix(uri)),
    }
}

fn lot(value: &Value) -> Result<String, EventRefusal> {
    let refuse = |reason| EventRefusal::Attribute {
        field: "lotNumber",
        reason,
    };
    let text = value.as_str().ok_or_else(|| {
        refuse("it is not a text; units of several lots are several events".to_owned())
    })?;
    let lot = Lot::new(text).map_err(|error| refuse(error.to_string()))?;
    Ok(lot.as_str().to_owned())
}

fn expiry(value: &Value) -> Result<u32, EventRefusal> {
    value
        .as_str()
        .and_then(time::parse_date)
        .ok_or_else(|| EventRefusal::Attribute {
            field: "itemExpirationDate",
            reason: format!("{value} is not a day such as 2025-03-27"),
        })
}

fn context(
    event: Event,
    event_type: EpcisEventType,
    ilmd: Map<String, Value>,
    namespaces: Vec<wire::Namespace>,
    company_prefix_lengths: Vec<u32>,
) -> Result<wire::EventContext, EventRefusal> {
    let mut trees = Vec::new();
    if !ilmd.is_empty() {
        trees.push(fields::field("ilmd", &Value::Object(ilmd)));
    }
    trees.append(&mut fields::fields(&event.rest));
    // A container stands in the body; any other parent only here.
    let is_container =
        event_type == EpcisEventType::Aggregation && event.action != wire::EpcisAction::Observe;
    Ok(wire::EventContext {
        event_id: event.event_id,
        time_zone_minutes: event.offset_minutes,
        event_type: event_type.into(),
        action: event.action.into(),
        biz_step: event.biz_step,
        disposition: event.disposition,
        persistent_set: event.persistent_set,
        persistent_unset: event.persistent_unset,
        read_point: event.read_point,
        biz_location: event.biz_location,
        biz_transactions: event.transactions,
        sources: event.sources,
        destinations: event.destinations,
        transformation_id: event.transformation_id,
        quantities: event.quantities,
        output_quantities: event.output_quantities,
        record_time: event.record_time,
        fields: trees,
        error_declaration: event.error.map(error_declaration).transpose()?,
        namespaces,
        company_prefix_lengths,
        parent_id: if is_container {
            String::new()
        } else {
            event.parent
        },
    })
}

fn error_declaration(error: ErrorDeclaration) -> Result<wire::ErrorDeclaration, EventRefusal> {
    let declaration_time_ms = epoch(
        "errorDeclaration.declarationTime",
        error.time_ms,
        &error.time,
    )?;
    Ok(wire::ErrorDeclaration {
        declaration_time_ms,
        reason: error.reason,
        corrective_event_ids: error.corrective_ids,
        fields: fields::fields(&error.rest),
        declaration_time: error.time,
    })
}
