//! What must stand in an event, and what must be true of its sensor data and certificates.
//!
//! EPCIS 2.0 section 7.4, event type by event type.

use serde_json::{Map, Value};

use super::super::time;
use super::super::vocabulary::is_uri;
use super::{Event, EventType, MANDATORY, Reader};
use crate::core::wire::EpcisAction;

impl Reader<'_> {
    pub(super) fn check_required(&mut self, event: &Event) {
        match event.event_type {
            EventType::Object => self.check_object(event),
            EventType::Aggregation | EventType::Association => self.check_containment(event),
            EventType::Transaction => self.check_transaction(event),
            EventType::Transformation => self.check_transformation(event),
            EventType::Quantity | EventType::Extended => {}
        }
    }

    fn check_action(&mut self, event: &Event) {
        if event.action == EpcisAction::Unspecified {
            self.problem("action", MANDATORY);
        }
    }

    fn check_object(&mut self, event: &Event) {
        self.check_action(event);
        let senses_a_place =
            is_filled(&event.rest, "sensorElementList") && !event.read_point.is_empty();
        if event.epcs.is_empty() && event.quantities.is_empty() && !senses_a_place {
            self.problem(
                "epcList",
                "missing, and so is quantityList; an ObjectEvent is about objects, or a sensor at \
                 a read point (EPCIS 2.0 section 7.4)",
            );
        }
        if !event.ilmd.is_empty() && event.action != EpcisAction::Add {
            self.problem(
                "ilmd",
                "stands only beside the action ADD (EPCIS 2.0 section 7.4)",
            );
        }
    }

    fn check_containment(&mut self, event: &Event) {
        self.check_action(event);
        let may_lack_parent =
            event.event_type == EventType::Aggregation && event.action == EpcisAction::Observe;
        if event.parent.is_empty() && !may_lack_parent {
            self.problem("parentID", MANDATORY);
        }
        let has_children = !event.epcs.is_empty() || !event.quantities.is_empty();
        if !has_children && event.action != EpcisAction::Delete {
            self.problem(
                "childEPCs",
                "missing, and so is childQuantityList; only DELETE may leave both out (EPCIS 2.0 \
                 section 7.4)",
            );
        }
    }

    fn check_transaction(&mut self, event: &Event) {
        self.check_action(event);
        if event.transactions.is_empty() {
            self.problem("bizTransactionList", MANDATORY);
        }
        let has_objects =
            !event.epcs.is_empty() || !event.quantities.is_empty() || !event.parent.is_empty();
        if !has_objects && event.action != EpcisAction::Delete {
            self.problem(
                "epcList",
                "missing, and so are quantityList and parentID (EPCIS 2.0 section 7.4)",
            );
        }
    }

    fn check_transformation(&mut self, event: &Event) {
        if event.action != EpcisAction::Unspecified {
            self.problem(
                "action",
                "a TransformationEvent has none (EPCIS 2.0 section 7.4)",
            );
        }
        let has_inputs = !event.epcs.is_empty() || !event.quantities.is_empty();
        let has_outputs = !event.output_epcs.is_empty() || !event.output_quantities.is_empty();
        // Inputs and outputs that are told apart in time are joined by the transformationID.
        let is_part = !event.transformation_id.is_empty() && (has_inputs || has_outputs);
        let rule = "missing; without a transformationID, one event names inputs and outputs \
                    (EPCIS 2.0 section 7.4)";
        if !has_inputs && !is_part {
            self.problem("inputEPCList", rule);
        }
        if !has_outputs && !is_part {
            self.problem("outputEPCList", rule);
        }
    }

    pub(super) fn check_rest(&mut self, event: &Event) {
        if let Some(sensors) = event.rest.get("sensorElementList") {
            self.check_sensors(sensors);
        }
        if let Some(certificates) = event.rest.get("certificationInfo") {
            self.check_certificates(certificates);
        }
    }

    fn check_sensors(&mut self, sensors: &Value) {
        let Value::Array(elements) = sensors else {
            return self.problem("sensorElementList", "is not a list");
        };
        for (i, element) in elements.iter().enumerate() {
            let has_report = element
                .get("sensorReport")
                .and_then(Value::as_array)
                .is_some_and(|reports| !reports.is_empty() && reports.iter().all(Value::is_object));
            if !has_report {
                self.problem(
                    &format!("sensorElementList[{i}].sensorReport"),
                    "is missing, or not a list of objects (EPCIS 2.0 section 7.3)",
                );
            }
        }
    }

    /// A certificate is named by a URI, or described by the GS1 Web Vocabulary.
    fn check_certificates(&mut self, certificates: &Value) {
        const FIELD: &str = "certificationInfo";
        let one = std::slice::from_ref(certificates);
        let items = certificates.as_array().map_or(one, Vec::as_slice);
        for (i, item) in items.iter().enumerate() {
            match item {
                Value::String(uri) if is_uri(uri) => {}
                Value::Object(details) => self.check_dates(&format!("{FIELD}[{i}]"), details),
                _ => self.problem(
                    FIELD,
                    "is neither a URI nor a description (EPCIS 2.0 section 7.3)",
                ),
            }
        }
    }

    /// The dates of `gs1:CertificationDetails` are `xsd:date` (GS1 Web Vocabulary).
    fn check_dates(&mut self, path: &str, details: &Map<String, Value>) {
        let mut open = vec![(path.to_owned(), details)];
        while let Some((path, details)) = open.pop() {
            for (name, value) in details {
                let path = format!("{path}.{name}");
                let local = name.rsplit([':', '/', '#']).next().unwrap_or_default();
                let is_date = local.starts_with("certification") && local.ends_with("Date");
                let date = value.as_str().and_then(time::parse_date);
                if is_date && date.is_none() {
                    self.problem(
                        &path,
                        format!("{value} is not a date such as 2023-12-20 (xsd:date)"),
                    );
                }
                if let Value::Object(inner) = value {
                    open.push((path, inner));
                }
            }
        }
    }
}

fn is_filled(rest: &Map<String, Value>, field: &str) -> bool {
    rest.get(field)
        .and_then(Value::as_array)
        .is_some_and(|items| !items.is_empty())
}
