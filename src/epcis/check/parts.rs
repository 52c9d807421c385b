//! The parts of an event that have fields of their own.
//!
//! EPCIS 2.0 section 7.3, and the JSON schema of section 10, which allows no more than these.

use serde_json::{Map, Value};

use super::super::fields::WRAPPERS;
use super::super::vocabulary::{Vocabulary, is_uri};
use super::{ErrorDeclaration, EventType, MANDATORY, Reader};
use crate::core::wire::{EpcisQuantity, TypedId};

impl Reader<'_> {
    pub(super) fn persistent_disposition(&mut self) -> (Vec<String>, Vec<String>) {
        const FIELD: &str = "persistentDisposition";
        let Some(members) = self.object(FIELD) else {
            return (Vec::new(), Vec::new());
        };
        let mut inner = self.inside(FIELD.to_owned(), members);
        let set = inner.words("set", Vocabulary::Disposition);
        let unset = inner.words("unset", Vocabulary::Disposition);
        inner.check_no_more("EPCIS 2.0 section 7.3");
        (set, unset)
    }

    fn object(&mut self, field: &str) -> Option<Map<String, Value>> {
        match self.take(field)? {
            Value::Object(map) => Some(map),
            _ => {
                self.problem(field, "is not an object");
                None
            }
        }
    }

    pub(super) fn error_declaration(&mut self) -> Option<ErrorDeclaration> {
        const FIELD: &str = "errorDeclaration";
        let members = self.object(FIELD)?;
        let mut inner = self.inside(FIELD.to_owned(), members);
        let (time, time_ms) = inner.time("declarationTime");
        let reason = inner.word("reason", Vocabulary::ErrorReason);
        let corrective_ids = inner.uris("correctiveEventIDs");
        let rest = inner.extensions();
        inner.check_no_more("EPCIS 2.0 section 7.3");
        Some(ErrorDeclaration {
            time,
            time_ms,
            reason,
            corrective_ids,
            rest,
        })
    }

    pub(super) fn quantities(&mut self, field: &str) -> Vec<EpcisQuantity> {
        let items = self.objects(field);
        let mut quantities = Vec::with_capacity(items.len());
        for (i, members) in items.into_iter().enumerate() {
            let mut inner = self.inside(format!("{field}[{i}]"), members);
            quantities.push(inner.quantity());
        }
        quantities
    }

    fn quantity(&mut self) -> EpcisQuantity {
        let epc_class = self.required_uri("epcClass");
        let quantity = match self.take("quantity") {
            None => String::new(),
            Some(Value::Number(number)) => number.to_string(),
            Some(other) => {
                let rule = format!("{other} is not a number (EPCIS 2.0 section 7.3)");
                self.problem("quantity", rule);
                String::new()
            }
        };
        let uom = self.text("uom");
        let is_code = (2..=3).contains(&uom.len())
            && uom
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !uom.is_empty() && !is_code {
            self.problem(
                "uom",
                "is not a code of UN/ECE Recommendation 20, such as KGM",
            );
        }
        self.check_no_more("a quantity has epcClass, quantity and uom; EPCIS 2.0 section 7.3");
        EpcisQuantity {
            epc_class,
            quantity,
            uom,
        }
    }

    fn required_uri(&mut self, field: &str) -> String {
        if !self.members.contains_key(field) {
            self.problem(field, MANDATORY);
            return String::new();
        }
        self.uri(field)
    }

    pub(super) fn typed_ids(
        &mut self,
        field: &str,
        key: &str,
        vocabulary: Vocabulary,
    ) -> Vec<TypedId> {
        let items = self.objects(field);
        let mut ids = Vec::with_capacity(items.len());
        for (i, members) in items.into_iter().enumerate() {
            let mut inner = self.inside(format!("{field}[{i}]"), members);
            // A business transaction may leave its type open (EPCIS 2.0 section 7.3); where
            // something comes from or goes to must be said in some sense.
            let must_have_type = vocabulary == Vocabulary::SourceDestinationType;
            if must_have_type && !inner.members.contains_key("type") {
                inner.problem("type", MANDATORY);
            }
            let r#type = inner.word("type", vocabulary);
            let id = inner.required_uri(key);
            inner.check_no_more("EPCIS 2.0 section 7.3");
            ids.push(TypedId { r#type, id });
        }
        ids
    }

    /// The identifier of a place. Extensions beside it go back where they were, so that they
    /// become part of the rest.
    pub(super) fn place(&mut self, field: &str) -> String {
        let Some(members) = self.object(field) else {
            return String::new();
        };
        let mut inner = self.inside(field.to_owned(), members);
        let id = inner.required_uri("id");
        let extensions = inner.extensions();
        inner.check_no_more("EPCIS 2.0 section 7.3");
        if !extensions.is_empty() {
            self.members.insert(field.to_owned(), extensions.into());
        }
        id
    }

    pub(super) fn ilmd(&mut self, event_type: EventType) -> Map<String, Value> {
        let allowed = matches!(event_type, EventType::Object | EventType::Transformation);
        if !allowed {
            return Map::new();
        }
        let members = self.object("ilmd").unwrap_or_default();
        for name in members.keys() {
            if !is_uri(name) {
                let rule = "has no namespace; master data are extensions (EPCIS 2.0 section 7.3)";
                self.problem(&format!("ilmd.{name}"), rule);
            }
        }
        members
    }

    /// Takes out the members that have a namespace.
    fn extensions(&mut self) -> Map<String, Value> {
        let (extensions, others): (Map<_, _>, Map<_, _>) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(|(name, _)| is_uri(name));
        self.members = others;
        extensions
    }

    pub(super) fn rest(&mut self, event_type: EventType) -> Map<String, Value> {
        let mut rest = Map::new();
        for name in WRAPPERS {
            // ILMD was taken where it may stand, and is out of place where it was not.
            let taken = (name != "ilmd").then(|| self.take(name)).flatten();
            if let Some(value) = taken {
                rest.insert(name.to_owned(), value);
            }
        }
        rest.append(&mut self.extensions());
        if event_type == EventType::Quantity || event_type == EventType::Extended {
            // Their fields are not known here, and the ledger refuses them anyway.
            self.members = Map::new();
        }
        self.check_no_more("EPCIS 2.0 section 7.4; extensions have a namespace, section 6.3");
        rest
    }
}
