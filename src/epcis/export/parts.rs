//! The parts of an event that come from the context: places, lists, declarations, trees.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::fields::{self, WRAPPERS};
use super::super::json::is_prefix;
use super::super::vocabulary::{Vocabulary, is_uri};
use super::super::{ids, time};
use super::{Writer, Written, about, word, wrong};
use crate::core::wire::record::Body;
use crate::core::wire::{self, TypedId};

/// What the EPCIS context means by `cbvmda`.
const MASTER_DATA: &str = "urn:epcglobal:cbv:mda:";

impl Writer<'_> {
    pub(super) fn put_error_declaration(&mut self) -> Written<()> {
        const FIELD: &str = "context.error_declaration";
        let Some(error) = self.context.error_declaration.take() else {
            return Ok(());
        };
        let ms = i64::try_from(error.declaration_time_ms).ok();
        let text = match error.declaration_time.as_str() {
            "" => ms.and_then(|ms| time::format(ms, self.context.time_zone_minutes)),
            text => Some(text.to_owned()).filter(|text| time::parse(text) == ms && ms.is_some()),
        };
        let Some(text) = text else {
            return wrong(FIELD, "its time as text is not its time in milliseconds");
        };
        let mut members = Map::new();
        members.insert("declarationTime".to_owned(), text.into());
        let reason = word(
            "error_declaration.reason",
            Vocabulary::ErrorReason,
            &error.reason,
        )?;
        if !reason.is_empty() {
            members.insert("reason".to_owned(), reason.into());
        }
        if !error.corrective_event_ids.is_empty() {
            let ids = error.corrective_event_ids.clone();
            members.insert("correctiveEventIDs".to_owned(), ids.into());
        }
        for field in &error.fields {
            put_extension(&mut members, field)?;
        }
        self.context.error_declaration = Some(error);
        self.insert("errorDeclaration", members)
    }

    pub(super) fn put_persistent_disposition(&mut self) -> Written<()> {
        let mut members = Map::new();
        let lists = [
            ("set", &self.context.persistent_set),
            ("unset", &self.context.persistent_unset),
        ];
        for (name, words) in lists {
            let mut checked = Vec::with_capacity(words.len());
            for text in words {
                if text.is_empty() {
                    return wrong("context.persistent_disposition", "has an empty word");
                }
                checked.push(word(
                    "persistent_disposition",
                    Vocabulary::Disposition,
                    text,
                )?);
            }
            if !checked.is_empty() {
                members.insert(name.to_owned(), checked.into());
            }
        }
        if members.is_empty() {
            return Ok(());
        }
        self.insert("persistentDisposition", members)
    }

    /// Where the source named a read point, it must be the place of the record; else the place
    /// is the read point. A position without a GS1 location is a `geo` URI (RFC 5870).
    pub(super) fn put_places(&mut self) -> Written<()> {
        let place = self.record.place.clone().unwrap_or_default();
        let named = self.context.read_point.clone();
        let read_point = if named.is_empty() {
            self.place_uri(&place)?
        } else {
            if ids::read_location(&named).unwrap_or_default() != place.location {
                return wrong("context.read_point", "is not the place of the record");
            }
            named
        };
        self.put_place("readPoint", read_point)?;
        self.put_place("bizLocation", self.context.biz_location.clone())
    }

    fn place_uri(&self, place: &wire::Place) -> Written<String> {
        if !place.location.is_empty() {
            let spelled = ids::spell_location(&place.location, self.resolver);
            return about("place.location", spelled);
        }
        Ok(place.position.as_ref().map(geo_uri).unwrap_or_default())
    }

    fn put_place(&mut self, name: &str, id: String) -> Written<()> {
        let mut members = Map::new();
        let extensions = self.wrapped(name).cloned();
        if id.is_empty() {
            return match extensions {
                None => Ok(()),
                Some(_) => wrong(name, "has extensions and no identifier"),
            };
        }
        members.insert("id".to_owned(), id.into());
        if let Some(field) = extensions {
            for field in object(&field)? {
                put_extension(&mut members, field)?;
            }
        }
        self.insert(name, members)
    }

    /// The tree that is kept under one of EPCIS's own names.
    fn wrapped(&self, name: &str) -> Option<&wire::Field> {
        self.context.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn put_lists(&mut self) -> Written<()> {
        let lists = [
            (
                "bizTransactionList",
                "bizTransaction",
                Vocabulary::BusinessTransactionType,
                self.context.biz_transactions.clone(),
            ),
            (
                "sourceList",
                "source",
                Vocabulary::SourceDestinationType,
                self.context.sources.clone(),
            ),
            (
                "destinationList",
                "destination",
                Vocabulary::SourceDestinationType,
                self.destinations()?,
            ),
        ];
        for (list, key, vocabulary, ids) in lists {
            let items = ids
                .iter()
                .map(|id| typed_id(list, key, vocabulary, id))
                .collect::<Written<Vec<Value>>>()?;
            if !items.is_empty() {
                self.insert(list, items)?;
            }
        }
        Ok(())
    }

    /// Those of the source, and the receiver of a handover if none of them is it.
    fn destinations(&self) -> Written<Vec<TypedId>> {
        let mut destinations = self.context.destinations.clone();
        if let Body::Handover(handover) = self.body {
            let is_named = destinations
                .iter()
                .any(|d| ids::read_party(&d.id).as_ref() == Some(&handover.to));
            if !is_named {
                destinations.push(TypedId {
                    r#type: "possessing_party".to_owned(),
                    id: about("handover.to", ids::spell_party(&handover.to, self.resolver))?,
                });
            }
        }
        Ok(destinations)
    }

    /// ILMD: what the ledger's rules use, and what the source had besides.
    pub(super) fn put_master_data(&mut self) -> Written<()> {
        let attributes = match self.body {
            Body::Commission(commission) => commission.attributes.as_ref(),
            Body::Transform(transform) => transform.attributes.as_ref(),
            _ => None,
        };
        let mut ilmd = Map::new();
        if let Some(attributes) = attributes {
            if !attributes.lot.is_empty() {
                let lot = attributes.lot.clone().into();
                ilmd.insert(self.master_data_name("lotNumber"), lot);
            }
            if attributes.expiry != 0 {
                let Some(date) = time::format_date(attributes.expiry) else {
                    return wrong("attributes.expiry", "is no day");
                };
                ilmd.insert(self.master_data_name("itemExpirationDate"), date.into());
            }
        }
        if let Some(field) = self.wrapped("ilmd") {
            for field in object(field)? {
                put_extension(&mut ilmd, field)?;
            }
        }
        if ilmd.is_empty() {
            return Ok(());
        }
        self.insert("ilmd", ilmd)
    }

    /// Where a document has bound the prefix `cbvmda` to something else, the full name is safe.
    fn master_data_name(&self, local: &str) -> String {
        let is_bound = self.context.namespaces.iter().any(|n| n.prefix == "cbvmda");
        match is_bound {
            true => format!("{MASTER_DATA}{local}"),
            false => format!("cbvmda:{local}"),
        }
    }

    pub(super) fn put_fields(&mut self) -> Written<()> {
        let merged = ["readPoint", "bizLocation", "ilmd"];
        let trees = self.context.fields.clone();
        for (i, field) in trees.iter().enumerate() {
            if trees
                .iter()
                .skip(i + 1)
                .any(|other| other.name == field.name)
            {
                return wrong(
                    "context.fields",
                    format!("{:?} stands there twice", field.name),
                );
            }
            if merged.contains(&field.name.as_str()) {
                continue;
            }
            if WRAPPERS.contains(&field.name.as_str()) {
                let value = about(&field.name, fields::to_json(field.value.as_ref()))?;
                self.insert(&field.name, value)?;
            } else {
                put_extension(&mut self.members, field)?;
            }
        }
        Ok(())
    }

    pub(super) fn namespaces(&self) -> Written<BTreeMap<String, String>> {
        let mut namespaces = BTreeMap::new();
        for namespace in &self.context.namespaces {
            let (prefix, uri) = (&namespace.prefix, &namespace.uri);
            if !is_prefix(prefix) || uri.is_empty() {
                return wrong(
                    "context.namespaces",
                    format!("{prefix:?} is no prefix, or unbound"),
                );
            }
            if namespaces.insert(prefix.clone(), uri.clone()).is_some() {
                return wrong("context.namespaces", format!("{prefix:?} is bound twice"));
            }
        }
        Ok(namespaces)
    }
}

/// Adds a field that must have a namespace (EPCIS 2.0 section 6.3).
fn put_extension(members: &mut Map<String, Value>, field: &wire::Field) -> Written<()> {
    if !is_uri(&field.name) {
        return wrong(
            "context.fields",
            format!("{:?} has no namespace", field.name),
        );
    }
    let value = about(&field.name, fields::to_json(field.value.as_ref()))?;
    about(
        "context.fields",
        fields::insert(members, &field.name, value),
    )
}

fn object(field: &wire::Field) -> Written<&[wire::Field]> {
    match field.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(wire::value::Value::Object(object)) => Ok(&object.fields),
        _ => wrong(
            &format!("context.fields.{}", field.name),
            "is not an object",
        ),
    }
}

fn typed_id(list: &str, key: &str, vocabulary: Vocabulary, id: &TypedId) -> Written<Value> {
    let mut item = Map::new();
    let kind = word(list, vocabulary, &id.r#type)?;
    if !kind.is_empty() {
        item.insert("type".to_owned(), kind.into());
    } else if vocabulary == Vocabulary::SourceDestinationType {
        return wrong(list, "a source or destination has a type");
    }
    item.insert(key.to_owned(), id.id.clone().into());
    Ok(Value::Object(item))
}

/// `geo:26.0745100,119.2965000`, by integers.
pub(super) fn geo_uri(position: &wire::Position) -> String {
    let (latitude, longitude) = (
        degrees(position.latitude_e7),
        degrees(position.longitude_e7),
    );
    format!("geo:{latitude},{longitude}")
}

fn degrees(e7: i32) -> String {
    let sign = if e7 < 0 { "-" } else { "" };
    let magnitude = e7.unsigned_abs();
    format!(
        "{sign}{}.{:07}",
        magnitude / 10_000_000,
        magnitude % 10_000_000
    )
}
