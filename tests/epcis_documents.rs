//! EPCIS documents that others wrote, in and out.
//!
//! The documents are those of `openepcis-test-resources` and the pharmaceutical example of GS1
//! US, kept outside of this repository. Where they are absent, the tests say so and pass.
//!
//! What a document says beside its events is not kept, because it is about the message and not
//! about goods: `id`, `creationDate`, `sender`, `receiver`, `instanceIdentifier` and the header
//! with its master data (EPCIS 2.0 sections 9 and 10 leave all of these to the exchange). Of the
//! events, nothing is lost. Spelled differently, with the same meaning by the standard: CBV words
//! are bare, `eventTime` stands in the event's own zone with three decimals, empty lists are left
//! out, and the domain of a GS1 Digital Link is that of the export (CBV 2.0 section 8.2).

use std::collections::BTreeMap;
use std::path::PathBuf;

use custody::core::id::UnitId;
use custody::core::wire::record::Body;
use custody::core::wire::{self, value::Value as Kind};
use custody::epcis::{self, DocumentError, EventRefusal, ExportError, ExportOptions, Import};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const PHARMA: &str = "GS1_US_Pharma_Example_1.2.xml";

/// The folder of the documents, or none with a loud word.
fn folder() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/epcis"));
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: the EPCIS documents are not at {}", path.display());
    None
}

fn files(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let Some(root) = folder() else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for folder in folders {
        let path = root.join(folder);
        if path.is_file() {
            files.push(((*folder).to_owned(), std::fs::read(path).unwrap()));
            continue;
        }
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            files.push((format!("{folder}/{name}"), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

fn valid_files() -> Vec<(String, Vec<u8>)> {
    files(&["Documents", "Events", PHARMA])
}

fn options() -> ExportOptions {
    ExportOptions::new("2026-01-01T00:00:00Z")
}

fn import(name: &str, bytes: &[u8]) -> Import {
    epcis::import(bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn records(import: &Import) -> Vec<wire::Record> {
    import
        .events
        .iter()
        .filter_map(|event| event.outcome.as_ref().ok().cloned())
        .collect()
}

fn kind(record: &wire::Record) -> String {
    let body = format!("{:?}", record.body.as_ref().unwrap());
    body.split('(').next().unwrap().to_owned()
}

/// What becomes of the events of each document: the kinds of the records, in order, and why the
/// others are refused.
struct Row {
    file: &'static str,
    imported: &'static [(usize, &'static str)],
    refused: &'static [(usize, &'static str)],
}

const CLASS: &str = "only quantities of a class";
const ASSOCIATION: &str = "an AssociationEvent ties assets";
const INPUTS: &str = "the inputs of the transformation are no single units but quantities";
const GRAI: &str = "is a returnable asset (GRAI)";
const GSRN: &str = "is a service relation (GSRN)";
const GIAI: &str = "is an individual asset (GIAI)";
const PLACE: &str = "an observation of a place is not about goods";

const fn row(
    file: &'static str,
    imported: &'static [(usize, &'static str)],
    refused: &'static [(usize, &'static str)],
) -> Row {
    Row {
        file,
        imported,
        refused,
    }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("Documents/AggregationEvent.json", &[(1, "Scan")], &[]),
    row("Documents/AggregationEvent_all_possible_fields.json", &[(1, "Scan")], &[]),
    row("Documents/AggregationEvent_with_digitalLink.json", &[(1, "Scan")], &[]),
    row(
        "Documents/AggregationEvent_with_persistentDisposition.json",
        &[(1, "Scan"), (2, "Unpack")],
        &[],
    ),
    row("Documents/AggregationEvent_with_sensorData.json", &[], &[(1, CLASS)]),
    row("Documents/AggregationEvent_with_userExtensions.json", &[(1, "Scan")], &[]),
    row("Documents/AssociationEvent.json", &[], &[(1, ASSOCIATION), (2, ASSOCIATION)]),
    row("Documents/AssociationEvent_2.json", &[], &[(1, ASSOCIATION)]),
    row("Documents/AssociationEvent_all_possible_fields.json", &[], &[(1, ASSOCIATION)]),
    row("Documents/AssociationEvent_with_sensorData.json", &[], &[(1, ASSOCIATION)]),
    row("Documents/AssociationEvent_with_userExtensions.json", &[], &[(1, ASSOCIATION)]),
    row(
        "Documents/Combination_of_different_event.json",
        &[(2, "Unpack"), (4, "Transform")],
        &[(1, GRAI), (3, GSRN), (5, ASSOCIATION), (6, ASSOCIATION)],
    ),
    row("Documents/CurieString_document.json", &[(1, "Accept")], &[]),
    row("Documents/JumbledFieldsOrder.json", &[(1, "Scan")], &[]),
    row(
        "Documents/Namespaces_at_different_level.json",
        &[(1, "Scan"), (2, "Scan"), (3, "Scan"), (4, "Scan"), (5, "Scan")],
        &[],
    ),
    row("Documents/ObjectEvent.json", &[(1, "Scan"), (2, "Accept")], &[]),
    row("Documents/ObjectEvent_all_possible_fields.json", &[(1, "Commission")], &[]),
    row("Documents/ObjectEvent_with_comment.json", &[(1, "Scan"), (2, "Accept")], &[]),
    row("Documents/ObjectEvent_with_custom_bizStep_uri.json", &[(1, "Commission")], &[]),
    row("Documents/ObjectEvent_with_digitalLink.json", &[], &[(1, CLASS)]),
    row("Documents/ObjectEvent_with_error_declaration.json", &[(1, "Scan"), (2, "Accept")], &[]),
    row(
        "Documents/ObjectEvent_with_persistentDisposition.json",
        &[(1, "Accept"), (2, "Inspect")],
        &[],
    ),
    row("Documents/ObjectEvent_with_sensorData.json", &[(1, "Inspect")], &[]),
    row("Documents/ObjectEvent_with_userExtensions.json", &[(1, "Scan")], &[(2, CLASS)]),
    row("Documents/SensorData_and_extension.json", &[(1, "Inspect")], &[]),
    row(
        "Documents/SensorData_with_combined_events.json",
        &[(1, "Inspect"), (2, "Inspect"), (5, "Inspect"), (7, "Inspect"), (9, "Scan"), (10, "Scan"), (11, "Scan")],
        &[(3, PLACE), (4, CLASS), (6, PLACE), (8, CLASS), (12, INPUTS), (13, GRAI)],
    ),
    row("Documents/TransactionEvent.json", &[], &[(1, GSRN), (2, GIAI)]),
    row("Documents/TransactionEvent_all_possible_fields.json", &[(1, "Scan")], &[]),
    row("Documents/TransactionEvent_with_sensorData.json", &[(1, "Scan")], &[]),
    row("Documents/TransactionEvent_with_userExtensions.json", &[(1, "Scan")], &[]),
    row("Documents/TransformationEvent.json", &[(1, "Transform")], &[]),
    row("Documents/TransformationEvent_all_possible_fields.json", &[(1, "Transform")], &[]),
    row("Documents/TransformationEvent_with_digitalLink.json", &[(1, "Transform")], &[]),
    row(
        "Documents/TransformationEvent_with_error_declaration.json",
        &[(1, "Transform"), (2, "Transform")],
        &[],
    ),
    row("Documents/TransformationEvent_with_sensorData.json", &[], &[(1, INPUTS)]),
    row("Documents/TransformationEvent_with_userExtensions.json", &[], &[(1, INPUTS)]),
    row("Documents/epcisDocWithAllGS1Keys.json", &[], &[(1, GRAI)]),
    row("Documents/epcisDocWithSensorComponent.json", &[], &[(1, GRAI)]),
    row("Events/AggregationEvent.json", &[(1, "Scan")], &[]),
    row("Events/AssociationEvent.json", &[], &[(1, ASSOCIATION)]),
    row("Events/ObjectEvent.json", &[(1, "Accept")], &[]),
    row("Events/TransactionEvent.json", &[], &[(1, GIAI)]),
    row("Events/TransformationEvent.json", &[(1, "Transform")], &[]),
    row(
        PHARMA,
        &[(1, "Commission"), (2, "Commission"), (3, "Pack"), (4, "Pack"), (5, "Pack"), (6, "Commission"), (7, "Pack"), (8, "Handover")],
        &[],
    ),
];

#[test]
fn given_every_valid_document_when_imported_then_each_event_is_a_record_or_has_its_reason() {
    let files = valid_files();
    if files.is_empty() {
        return;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<&str> = TABLE.iter().map(|row| row.file).collect();
    assert_eq!(names, known, "one row a document");
    println!(
        "{:<70} {:>6} {:>8} {:>7}",
        "file", "events", "imported", "refused"
    );
    let mut total = (0, 0);
    for ((name, bytes), row) in files.iter().zip(TABLE) {
        let import = import(name, bytes);
        let (mut imported, mut refused) = (Vec::new(), Vec::new());
        for (i, event) in import.events.iter().enumerate() {
            assert_eq!(event.number, i + 1);
            match &event.outcome {
                Ok(record) => imported.push((event.number, kind(record))),
                Err(refusal) => refused.push((event.number, refusal.to_string())),
            }
        }
        let count = import.events.len();
        println!(
            "{name:<70} {count:>6} {:>8} {:>7}",
            imported.len(),
            refused.len()
        );
        for (number, reason) in &refused {
            println!("    event {number}: {reason}");
        }
        let expected: Vec<_> = row
            .imported
            .iter()
            .map(|(n, k)| (*n, (*k).to_owned()))
            .collect();
        assert_eq!(imported, expected, "{name}");
        assert_eq!(refused.len(), row.refused.len(), "{name}");
        for ((number, reason), (expected, fragment)) in refused.iter().zip(row.refused) {
            assert!(
                number == expected && reason.contains(fragment),
                "{name}: {number}: {reason}"
            );
        }
        total = (total.0 + imported.len(), total.1 + refused.len());
    }
    println!("imported {}, refused {}", total.0, total.1);
    assert_eq!(total, (54, 27));
}

/// Of each document that a capture service must refuse: event, field, and part of the rule.
type Reasons = &'static [(Option<usize>, &'static str, &'static str)];

#[rustfmt::skip]
const INVALID: &[(&str, Reasons)] = &[
    ("Combination_of_events_with_missing_mandatory_fields.json", &[
        (Some(1), "action", "mandatory"),
        (Some(2), "eventTimeZoneOffset", "mandatory"),
        (Some(2), "action", "mandatory"),
    ]),
    ("Combination_of_multiple_invalid_fields.json", &[
        (Some(1), "bizStep", "\"transforming\" is neither"),
        (Some(2), "disposition", "\"in_transport\" is neither"),
        (Some(3), "sourceList[0].type", "\"place\" is neither"),
        (Some(4), "ilmd.materialType", "has no namespace"),
        (Some(5), "eventTime", "is not a time"),
        (Some(5), "action", "\"CREATE\" is not ADD"),
    ]),
    ("Combination_of_non_standard_bizStep_and_disposition.json", &[
        (Some(1), "bizStep", "\"transforming\" is neither"),
        (Some(2), "disposition", "\"in_transport\" is neither"),
    ]),
    ("EPCISDocument_without_context.json", &[(None, "@context", "missing")]),
    ("ObjectEvent_with_ilmd_field_without_namespace.json", &[
        (Some(1), "ilmd.materialType", "has no namespace"),
    ]),
    ("ObjectEvent_with_invalid_action.json", &[(Some(1), "action", "\"CREATE\" is not ADD")]),
    ("ObjectEvent_with_invalid_certificationInfo.json", &[(
        Some(1),
        "certificationInfo[1].gs1:CertificationDetails.gs1:certificationAuditDate",
        "\"wrong date format\" is not a date",
    )]),
    ("ObjectEvent_with_invalid_eventTime_format.json", &[(Some(1), "eventTime", "is not a time")]),
    ("ObjectEvent_with_non_standard_bizStep.json", &[
        (Some(1), "bizStep", "\"transforming\" is neither"),
    ]),
    ("ObjectEvent_with_non_standard_bizStep_in_second_event.json", &[
        (Some(2), "bizStep", "\"transforming\" is neither"),
    ]),
    ("ObjectEvent_with_non_standard_disposition.json", &[
        (Some(1), "disposition", "\"in_transport\" is neither"),
    ]),
    ("ObjectEvent_with_quantity_as_text.json", &[
        (Some(1), "quantityList[0].quantity", "\"twenty\" is not a number"),
    ]),
    ("ObjectEvent_with_unknown_field_in_quantityList.json", &[
        (Some(1), "quantityList[0].weight", "is not a field that stands here"),
    ]),
    ("ObjectEvent_without_action_and_eventTime.json", &[
        (Some(1), "eventTime", "mandatory"),
        (Some(1), "eventTimeZoneOffset", "mandatory"),
        (Some(1), "action", "mandatory"),
    ]),
    ("ObjectEvent_without_identifier_list.json", &[(Some(1), "epcList", "missing")]),
];

#[test]
fn given_every_invalid_document_when_imported_then_it_is_refused_whole_for_its_own_reasons() {
    let files = files(&["Invalid"]);
    if files.is_empty() {
        return;
    }
    let names: Vec<&str> = files
        .iter()
        .filter_map(|(n, _)| n.strip_prefix("Invalid/"))
        .collect();
    let known: Vec<&str> = INVALID.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "one row a document");
    for ((name, bytes), (_, reasons)) in files.iter().zip(INVALID) {
        let error = epcis::import(bytes).expect_err(name);
        for problem in &error.problems {
            println!("{name}: {problem}");
        }
        assert_eq!(error.problems.len(), reasons.len(), "{name}");
        for (problem, (event, field, rule)) in error.problems.iter().zip(*reasons) {
            let is_it = problem.event == *event && problem.field == *field;
            assert!(is_it && problem.rule.contains(rule), "{name}: {problem}");
        }
    }
}
// ---- there and back ---------------------------------------------------------------------------

/// Events of a JSON document, and the namespaces that hold in each.
fn source_events(document: &Value) -> Vec<(Map<String, Value>, BTreeMap<String, String>)> {
    let list = match document.pointer("/epcisBody/eventList") {
        Some(list) => list.as_array().unwrap().clone(),
        None => vec![document.clone()],
    };
    let outer = prefixes(&document["@context"]);
    list.into_iter()
        .map(|event| {
            let mut namespaces = outer.clone();
            namespaces.append(&mut prefixes(&event["@context"]));
            (event.as_object().unwrap().clone(), namespaces)
        })
        .collect()
}

fn prefixes(context: &Value) -> BTreeMap<String, String> {
    let items = context.as_array().cloned().unwrap_or_default();
    items
        .iter()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(prefix, uri)| (prefix.clone(), uri.as_str().unwrap().to_owned()))
        .collect()
}

/// One meaning, one spelling; by the standard and without a line of the code under test, but
/// for the identifiers of units.
fn normalised(event: &Map<String, Value>) -> Map<String, Value> {
    let mut normal = Map::new();
    for (name, value) in event {
        let value = match name.as_str() {
            "@context" => continue,
            "eventTime" => {
                let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
                json!(time.as_millisecond())
            }
            "bizStep" | "disposition" => bare(value),
            "persistentDisposition" | "errorDeclaration" => with_bare_words(value),
            "bizTransactionList" | "sourceList" | "destinationList" => value
                .as_array()
                .unwrap()
                .iter()
                .map(with_bare_words)
                .collect(),
            "epcList" | "childEPCs" | "inputEPCList" | "outputEPCList" => {
                value.as_array().unwrap().iter().map(unit).collect()
            }
            "parentID" => unit(value),
            _ => value.clone(),
        };
        if value != json!([]) {
            normal.insert(name.clone(), value);
        }
    }
    normal
}

fn unit(value: &Value) -> Value {
    json!(
        UnitId::parse_any(value.as_str().unwrap())
            .unwrap()
            .to_string()
    )
}

fn bare(value: &Value) -> Value {
    let text = value.as_str().unwrap();
    let prefixes = [
        "https://ref.gs1.org/cbv/BizStep-",
        "https://ref.gs1.org/cbv/Disp-",
        "urn:epcglobal:cbv:bizstep:",
    ];
    let word = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    json!(word.unwrap_or(text))
}

fn with_bare_words(value: &Value) -> Value {
    let mut object = value.as_object().unwrap().clone();
    for (name, value) in &mut object {
        match (name.as_str(), &value) {
            ("type" | "reason", Value::String(_)) => *value = bare(value),
            ("set" | "unset", Value::Array(words)) => *value = words.iter().map(bare).collect(),
            _ => {}
        }
    }
    object.into()
}

#[test]
fn given_every_imported_event_when_exported_then_it_says_what_the_source_said() {
    let mut compared = 0;
    for (name, bytes) in valid_files() {
        let import = import(&name, &bytes);
        let exported = epcis::export(&records(&import), &options()).unwrap();
        if name == PHARMA {
            continue;
        }
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let sources = source_events(&document);
        let taken = import.events.iter().filter(|event| event.outcome.is_ok());
        let exported = source_events(&exported);
        assert_eq!(taken.clone().count(), exported.len(), "{name}");
        for (event, (written, namespaces)) in taken.zip(exported) {
            let (source, expected) = &sources[event.number - 1];
            let (source, written) = (normalised(source), normalised(&written));
            assert_eq!(written, source, "{name}, event {}", event.number);
            assert_eq!(namespaces, *expected, "{name}, event {}", event.number);
            compared += 1;
        }
    }
    println!("{compared} events are the same after import and export");
}

#[test]
fn given_every_imported_record_when_exported_and_imported_again_then_it_is_the_same() {
    for (name, bytes) in valid_files() {
        let first = records(&import(&name, &bytes));
        let exported = epcis::export(&first, &options()).unwrap();
        let text = serde_json::to_vec(&exported).unwrap();
        assert_eq!(records(&import(&name, &text)), first, "{name}");
    }
}

#[test]
fn given_the_pharmaceutical_chain_when_exported_then_its_xml_says_the_same_as_json() {
    let Some((_, bytes)) = files(&[PHARMA]).pop() else {
        return;
    };
    let exported = epcis::export(&records(&import(PHARMA, &bytes)), &options()).unwrap();
    let events = source_events(&exported);
    let bottles: Vec<String> = (11..=22)
        .map(|serial| format!("urn:epc:id:sgtin:030001.0012345.{serial}"))
        .collect();
    let (commissioned, _) = &events[0];
    let expected = json!({
        "type": "ObjectEvent",
        "eventTime": "2023-03-27T01:45:16.000-05:00",
        "eventTimeZoneOffset": "-05:00",
        "epcList": bottles,
        "action": "ADD",
        "bizStep": "commissioning",
        "disposition": "active",
        "readPoint": {"id": "urn:epc:id:sgln:030001.111111.0"},
        "bizLocation": {"id": "urn:epc:id:sgln:030001.111111.0"},
        "ilmd": {"cbvmda:lotNumber": "A123", "cbvmda:itemExpirationDate": "2025-03-27"},
    });
    assert_eq!(Value::Object(commissioned.clone()), expected);
    let (packed, _) = &events[6];
    assert_eq!(packed["parentID"], "urn:epc:id:sscc:030001.41234567890");
    let cases: Vec<String> = [110, 111, 121]
        .iter()
        .map(|serial| format!("urn:epc:id:sgtin:030001.1012345.{serial}"))
        .collect();
    assert_eq!(packed["childEPCs"], json!(cases));
    let (shipped, namespaces) = &events[7];
    let expected = json!({
        "@context": [{"gs1ushc": "http://epcis.gs1us.org/hc/ns"}],
        "type": "ObjectEvent",
        "eventTime": "2023-04-01T02:48:16.000-05:00",
        "eventTimeZoneOffset": "-05:00",
        "epcList": ["urn:epc:id:sscc:030001.41234567890"],
        "action": "OBSERVE",
        "bizStep": "shipping",
        "disposition": "in_transit",
        "readPoint": {"id": "urn:epc:id:sgln:030001.111121.0"},
        "bizTransactionList": [
            {"type": "po", "bizTransaction": "urn:epcglobal:cbv:bt:0399999999991:XYZPO189"},
            {"type": "desadv", "bizTransaction": "urn:epcglobal:cbv:bt:0300011111215:DEL100"},
        ],
        "sourceList": [
            {"type": "owning_party", "source": "urn:epc:id:sgln:030001.111111.0"},
            {"type": "location", "source": "urn:epc:id:sgln:030001.111121.0"},
        ],
        "destinationList": [
            {"type": "owning_party", "destination": "urn:epc:id:sgln:039999.999999.0"},
            {"type": "location", "destination": "urn:epc:id:sgln:039999.345678.0"},
        ],
        "gs1ushc:dropShipment": "false",
    });
    assert_eq!(Value::Object(shipped.clone()), expected);
    assert_eq!(namespaces["gs1ushc"], "http://epcis.gs1us.org/hc/ns");
}

#[test]
fn given_the_pharmaceutical_chain_when_imported_then_the_ledger_can_trace_one_bottle() {
    let Some((_, bytes)) = files(&[PHARMA]).pop() else {
        return;
    };
    let records = records(&import(PHARMA, &bytes));
    let ids = |record: &wire::Record| -> Vec<String> {
        record.units.iter().map(|unit| unit.id.clone()).collect()
    };
    let commissioned: Vec<usize> = records
        .iter()
        .filter(|record| kind(record) == "Commission")
        .map(|record| record.units.len())
        .collect();
    assert_eq!(commissioned, [12, 3, 1], "bottles, cases, pallet");
    let Some(Body::Commission(commission)) = &records[0].body else {
        panic!("{:?}", records[0].body);
    };
    let attributes = commission.attributes.as_ref().unwrap();
    assert_eq!(
        (attributes.lot.as_str(), attributes.expiry),
        ("A123", 20_250_327)
    );
    assert_eq!(records[0].claimed_time_ms, 1_679_899_516_000);
    let location = &records[0].place.as_ref().unwrap().location;
    assert_eq!(location, "414/0300011111116");

    // The bottle 11 goes into the case 110, the case into the pallet, the pallet to the buyer.
    let container_of = |unit: &str| {
        records.iter().find_map(|record| match &record.body {
            Some(Body::Pack(pack)) if ids(record).iter().any(|id| id == unit) => pack
                .container
                .as_ref()
                .map(|container| container.id.clone()),
            _ => None,
        })
    };
    let case = container_of("01/00300010123455/21/11").unwrap();
    assert_eq!(case, "01/10300010123452/21/110");
    let pallet = container_of(&case).unwrap();
    assert_eq!(pallet, "00/403000112345678901");
    let Some(Body::Handover(handover)) = &records[7].body else {
        panic!("{:?}", records[7].body);
    };
    assert_eq!(ids(&records[7]), [pallet]);
    assert_eq!(handover.to, "gln:0399999999991");
}

fn object_event(members: Value) -> Vec<u8> {
    let mut event = json!({
        "@context": ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld"],
        "type": "ObjectEvent",
        "eventTime": "2026-07-22T06:45:00+02:00",
        "eventTimeZoneOffset": "+02:00",
        "action": "OBSERVE",
        "epcList": ["urn:epc:id:sgtin:0614141.107346.2017"],
    });
    let members = members.as_object().unwrap().clone();
    event.as_object_mut().unwrap().extend(members);
    serde_json::to_vec(&event).unwrap()
}

fn outcome(members: Value) -> Result<wire::Record, EventRefusal> {
    let bytes = object_event(members);
    import("event", &bytes).events.remove(0).outcome
}

#[test]
fn given_both_spellings_of_an_identifier_when_imported_then_they_name_the_same_unit() {
    for (urn, link) in [
        (
            "urn:epc:id:sgtin:0614141.107346.2017",
            "https://id.gs1.org/01/10614141073464/21/2017",
        ),
        (
            "urn:epc:id:sgtin:0614141.107346.a%2Fb",
            "https://id.example.cn/01/10614141073464/21/a%2Fb",
        ),
        (
            "urn:epc:id:sscc:0614141.1234567890",
            "https://id.gs1.org/00/106141412345678908",
        ),
    ] {
        let by_urn = outcome(json!({"epcList": [urn]})).unwrap();
        let by_link = outcome(json!({"epcList": [link]})).unwrap();
        assert_eq!(by_urn.units, by_link.units);
        let refusal = outcome(json!({"epcList": [urn, link]})).unwrap_err();
        let id = by_urn.units[0].id.clone();
        assert_eq!(refusal, EventRefusal::DuplicateUnit(id));
        // Each goes out as it came in.
        for (record, spelled) in [(by_urn, urn), (by_link, link)] {
            let exported = epcis::export(&[record], &options()).unwrap();
            let epc = exported["epcisBody"]["eventList"][0]["epcList"][0].clone();
            let expected = spelled.replace("id.example.cn", "id.gs1.org");
            assert_eq!(epc, json!(expected));
        }
    }
}

#[test]
fn given_an_answer_to_a_query_when_imported_then_its_events_are_read() {
    let mut event: Value = serde_json::from_slice(&object_event(json!({}))).unwrap();
    let context = event.as_object_mut().unwrap().remove("@context").unwrap();
    let answer = json!({
        "@context": context,
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-07-22T10:30:00Z",
        "epcisBody": {"queryResults": {
            "queryName": "SimpleEventQuery",
            "resultsBody": {"eventList": [event]},
        }},
    });
    let import = import("answer", &serde_json::to_vec(&answer).unwrap());
    assert_eq!(records(&import), [outcome(json!({})).unwrap()]);
}

#[test]
fn given_steps_and_dispositions_when_imported_then_they_mean_kinds_of_records() {
    let destination = json!([
        {"type": "location", "destination": "urn:epc:id:sgln:4012345.00225.0"},
        {"type": "possessing_party", "destination": "urn:epc:id:pgln:0614141.00777"},
    ]);
    for (members, expected) in [
        (json!({"bizStep": "shipping"}), "Scan"),
        (
            json!({"bizStep": "departing", "destinationList": destination}),
            "Handover(Handover { to: \"gln:0614141007776\"",
        ),
        (json!({"bizStep": "void_shipping"}), "Void"),
        (
            json!({"bizStep": "arriving"}),
            "Accept(Accept { condition: Good",
        ),
        (
            json!({"bizStep": "accepting", "disposition": "damaged"}),
            "Accept(Accept { condition: Damaged",
        ),
        (
            json!({"bizStep": "receiving", "disposition": "returned"}),
            "Return",
        ),
        (
            json!({"bizStep": "inspecting"}),
            "Inspect(Inspect { result: Pass",
        ),
        (
            json!({"bizStep": "inspecting", "disposition": "non_conformant"}),
            "Inspect(Inspect { result: Fail",
        ),
        (
            json!({"bizStep": "urn:epcglobal:cbv:bizstep:retail_selling"}),
            "Deliver",
        ),
        (json!({"bizStep": "cbv:BizStep-holding"}), "Hold"),
        (
            json!({"bizStep": "holding", "disposition": "recalled"}),
            "Recall",
        ),
        (json!({"bizStep": "decommissioning"}), "Destroy"),
        (json!({"action": "DELETE"}), "Destroy"),
        (json!({"bizStep": "https://example.com/holding"}), "Scan"),
        (json!({}), "Scan"),
    ] {
        let record = outcome(members.clone()).unwrap();
        let body = format!("{:?}", record.body.unwrap());
        assert!(body.starts_with(expected), "{members}: {body}");
    }
}

#[test]
fn given_valid_events_that_a_ledger_cannot_hold_when_imported_then_each_reason_is_typed() {
    let units = |count: u32| -> Vec<String> {
        (1..=count)
            .map(|n| format!("urn:epc:id:sgtin:0614141.107346.{n}"))
            .collect()
    };
    let nested = (0..20).fold(json!("leaf"), |inner, _| json!({ "ext:a": inner }));
    for (members, expected) in [
        (json!({"epcList": units(512)}), None),
        (
            json!({"epcList": units(513)}),
            Some("at most 512; split it"),
        ),
        (
            json!({"epcList": ["urn:epc:id:sgtin:0614141.107346."]}),
            Some("can't be read"),
        ),
        (
            json!({"epcList": ["https://id.gs1.org/01/10614141073465/21/1"]}),
            Some("check digit is 5, expected 4"),
        ),
        (
            json!({"epcList": ["https://id.gs1.org/01/10614141073464/10/L/21/1"]}),
            Some("carries a lot beside the serial"),
        ),
        (
            json!({"epcList": ["https://id.gs1.org/01/10614141073464/21/1?17=261231"]}),
            Some("carries more than the key"),
        ),
        (
            json!({"epcList": ["https://id.gs1.org/01/10614141073464"]}),
            Some("a class of trade items"),
        ),
        (
            json!({"epcList": ["https://example.com/goods"]}),
            Some("without a GS1 key"),
        ),
        (
            json!({"epcList": ["urn:uuid:1"]}),
            Some("is an identifier that is not GS1's"),
        ),
        (
            json!({"eventID": format!("urn:x:{}", "1".repeat(251))}),
            Some("eventID has 257 bytes, at most 256"),
        ),
        (
            json!({"eventTime": "1969-12-31T23:59:59Z"}),
            Some("before 1970"),
        ),
        (
            json!({"ext:a": "x".repeat(4097)}),
            Some("4097 bytes, at most 4096"),
        ),
        (json!({"ext:a": nested}), Some("deeper than 16")),
        (
            json!({"ext:a": vec!["x".repeat(4096); 13]}),
            Some("fit an entry of the log"),
        ),
        (
            json!({"action": "ADD", "ilmd": {"cbvmda:lotNumber": "x".repeat(21)}}),
            Some("ilmd.lotNumber does not fit"),
        ),
        (
            json!({"action": "ADD", "ilmd": {"cbvmda:lotNumber": ["A", "B"]}}),
            Some("units of several lots"),
        ),
        (
            json!({"action": "ADD", "ilmd": {"cbvmda:itemExpirationDate": "2025-02-29"}}),
            Some("is not a day"),
        ),
        (
            json!({"type": "https://example.com/OwnEvent"}),
            Some("is not one that the ledger knows"),
        ),
        (
            json!({"@context": [
                "https://ref.gs1.org/standards/epcis/epcis-context.jsonld",
                "https://example.com/other.jsonld",
            ]}),
            Some("the remote context"),
        ),
    ] {
        let shown: String = members.to_string().chars().take(80).collect();
        let outcome = outcome(members);
        match (outcome, expected) {
            (Ok(_), None) => {}
            (Err(refusal), Some(part)) => {
                assert!(refusal.to_string().contains(part), "{shown}: {refusal}");
            }
            (outcome, _) => panic!("{shown}: {outcome:?}"),
        }
    }
}

#[test]
fn given_an_unpacking_of_whatever_is_inside_when_imported_then_the_children_are_asked_for() {
    let bytes = object_event(json!({
        "type": "AggregationEvent",
        "parentID": "urn:epc:id:sscc:0614141.1234567890",
        "action": "DELETE",
    }));
    let mut event: Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
    event.remove("epcList");
    let import = import("event", &serde_json::to_vec(&event).unwrap());
    assert_eq!(import.events[0].outcome, Err(EventRefusal::NoChildren));
}

#[test]
fn given_a_prefix_bound_to_another_namespace_when_imported_then_its_lot_is_not_the_lot() {
    let context = |uri: &str| {
        json!({
            "@context": [
                "https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"cbvmda": uri},
            ],
            "action": "ADD",
            "ilmd": {"cbvmda:lotNumber": "LOTABC"},
        })
    };
    for (uri, expected) in [
        ("http://example.com/cbvmda/", ""),
        ("urn:epcglobal:cbv:mda:", "LOTABC"),
    ] {
        let record = outcome(context(uri)).unwrap();
        let Some(Body::Commission(commission)) = &record.body else {
            panic!("{:?}", record.body);
        };
        let lot = commission.attributes.clone().unwrap_or_default().lot;
        assert_eq!(lot, expected, "{uri}");
    }
}

#[test]
fn given_what_is_no_document_at_all_when_imported_then_the_error_says_so() {
    let bare = |members| -> DocumentError { epcis::import(&object_event(members)).unwrap_err() };
    for (error, part) in [
        (epcis::import(b"").unwrap_err(), "neither JSON nor XML"),
        (epcis::import(b"[1]").unwrap_err(), "neither JSON nor XML"),
        (epcis::import(b" {").unwrap_err(), "JSON: can't be read"),
        (
            epcis::import(&[b'{'; 100_000]).unwrap_err(),
            "JSON: can't be read",
        ),
        (
            epcis::import(b"{\"action\": \"ADD\", \"action\": \"DELETE\"}").unwrap_err(),
            "\"action\" stands there twice",
        ),
        (epcis::import(b"<a>").unwrap_err(), "ends inside"),
        (epcis::import(b"{}").unwrap_err(), "type: missing"),
        (
            epcis::import(&vec![b' '; 16 * 1024 * 1024 + 1]).unwrap_err(),
            "at most 16777216",
        ),
        (bare(json!({"type": "PartyEvent"})), "is no type of event"),
        (
            bare(json!({"@context": []})),
            "does not name the EPCIS context",
        ),
        (bare(json!({"@context": 1})), "is neither an address"),
        (bare(json!({"field": "x"})), "field: is not a field"),
        (bare(json!({"parentID": "a:b"})), "parentID: is not a field"),
        (
            bare(json!({"ilmd": {"a:b": 1}})),
            "only beside the action ADD",
        ),
        (
            bare(json!({"eventTimeZoneOffset": "+15:00"})),
            "is not an offset",
        ),
        (
            bare(json!({"readPoint": "urn:a:b"})),
            "readPoint: is not an object",
        ),
        (bare(json!({"readPoint": {}})), "readPoint.id: missing"),
        (bare(json!({"eventID": "no uri"})), "eventID: is not a URI"),
        (
            bare(json!({"epcList": "urn:a:b"})),
            "epcList: is not a list",
        ),
        (
            bare(json!({"sensorElementList": [{}]})),
            "sensorElementList[0].sensorReport",
        ),
        (
            bare(json!({"bizStep": "cbv:BizStep-teleporting"})),
            "neither a word of the CBV",
        ),
        (
            bare(json!({"errorDeclaration": {}})),
            "errorDeclaration.declarationTime: missing",
        ),
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

// ---- every field counts -----------------------------------------------------------------------

/// Records that differ from the given one in a single leaf, and which.
fn mutants(record: &wire::Record) -> Vec<(String, wire::Record)> {
    let mut mutants = Mutants {
        record,
        found: Vec::new(),
    };
    mutants.record_itself();
    mutants.body();
    mutants.context();
    mutants.found
}

struct Mutants<'a> {
    record: &'a wire::Record,
    found: Vec<(String, wire::Record)>,
}

impl Mutants<'_> {
    fn add(&mut self, path: impl Into<String>, change: impl FnOnce(&mut wire::Record)) {
        let mut record = self.record.clone();
        change(&mut record);
        let path = path.into();
        assert_ne!(record, *self.record, "{path} was not changed");
        self.found.push((path, record));
    }

    fn record_itself(&mut self) {
        self.add("format", |r| r.format += 1);
        self.add("claimed_time_ms", |r| r.claimed_time_ms += 1);
        self.add("clock_offset_ms", |r| r.clock_offset_ms += 1);
        if self.record.place.is_some() {
            let place = |r: &mut wire::Record, change: fn(&mut wire::Place)| {
                change(r.place.as_mut().unwrap());
            };
            self.add("place.location", |r| place(r, |p| p.location.push('1')));
            self.add("place.location=", |r| place(r, |p| p.location.clear()));
            self.add("place.region", |r| place(r, |p| p.region = "CN-FJ".into()));
            self.add("place.city", |r| place(r, |p| p.city = "Fuzhou".into()));
            self.add("place.position", |r| {
                place(r, |p| {
                    p.position = Some(wire::Position {
                        latitude_e7: 1,
                        longitude_e7: -1,
                    })
                });
            });
            self.add("place", |r| r.place = None);
        }
        for i in 0..self.record.units.len() {
            self.add(format!("units[{i}].id"), |r| r.units[i].id.push('9'));
        }
        self.add("units.pop", |r| _ = r.units.pop());
    }

    fn body(&mut self) {
        let body = self.record.body.clone().unwrap();
        let other = match body {
            Body::Void(_) => Body::Scan(wire::Scan::default()),
            _ => Body::Void(wire::Void {}),
        };
        self.add("body", |r| r.body = Some(other));
        match body {
            Body::Commission(b) => self.attributes(b.attributes.as_ref()),
            Body::Transform(b) => {
                for i in 0..b.outputs.len() {
                    self.add(format!("outputs[{i}]"), |r| {
                        let Some(Body::Transform(b)) = &mut r.body else {
                            return;
                        };
                        b.outputs[i].push('9');
                    });
                }
                self.attributes(b.attributes.as_ref());
            }
            Body::Inspect(_) => self.add("result", |r| {
                let Some(Body::Inspect(b)) = &mut r.body else {
                    return;
                };
                b.result = 3 - b.result;
            }),
            Body::Accept(_) => {
                self.add("condition", |r| {
                    let Some(Body::Accept(b)) = &mut r.body else {
                        return;
                    };
                    b.condition += 1;
                });
                self.add("weight", |r| {
                    let Some(Body::Accept(b)) = &mut r.body else {
                        return;
                    };
                    b.weight_grams = 1;
                });
            }
            Body::Scan(_) => self.add("weight", |r| {
                r.body = Some(Body::Scan(wire::Scan { weight_grams: 1 }));
            }),
            Body::Handover(_) => self.add("to", |r| {
                let Some(Body::Handover(b)) = &mut r.body else {
                    return;
                };
                b.to = "gln:0614141007776".into();
            }),
            Body::Pack(_) | Body::Unpack(_) => self.add("container", |r| {
                let (Some(Body::Pack(wire::Pack { container }))
                | Some(Body::Unpack(wire::Unpack { container }))) = &mut r.body
                else {
                    return;
                };
                container.as_mut().unwrap().id = "00/106141412345678908".into();
            }),
            _ => {}
        }
    }

    fn attributes(&mut self, present: Option<&wire::Attributes>) {
        let change =
            |r: &mut wire::Record, change: &dyn Fn(&mut wire::Attributes)| match &mut r.body {
                Some(Body::Commission(b)) => change(b.attributes.get_or_insert_default()),
                Some(Body::Transform(b)) => change(b.attributes.get_or_insert_default()),
                _ => {}
            };
        self.add("lot", |r| change(r, &|a| a.lot.push('x')));
        self.add("expiry", |r| change(r, &|a| a.expiry = 20_300_101));
        self.add("markets", |r| change(r, &|a| a.markets.push("CN".into())));
        self.add("lot_size", |r| change(r, &|a| a.lot_size = 1));
        self.add("content", |r| {
            change(r, &|a| {
                a.content = Some(wire::Quantity {
                    milli: 1,
                    unit_of_measure: "C62".into(),
                });
            });
        });
        if present.is_some_and(|a| !a.lot.is_empty()) {
            self.add("lot=", |r| change(r, &|a| a.lot.clear()));
        }
        if present.is_some_and(|a| a.expiry != 0) {
            self.add("expiry=", |r| change(r, &|a| a.expiry = 0));
        }
    }

    fn in_context(
        &mut self,
        path: impl Into<String>,
        change: impl FnOnce(&mut wire::EventContext),
    ) {
        self.add(path, |r| change(r.context.as_mut().unwrap()));
    }

    fn context(&mut self) {
        let context = self.record.context.clone().unwrap();
        self.in_context("event_id", |c| c.event_id.push_str("urn:x"));
        self.in_context("time_zone_minutes", |c| c.time_zone_minutes += 15);
        self.in_context("event_type", |c| c.event_type = c.event_type % 4 + 1);
        self.in_context("action", |c| c.action = (c.action + 1) % 4);
        self.in_context("biz_step", |c| c.biz_step = "urn:x:step".into());
        self.in_context("disposition", |c| {
            c.disposition = "urn:x:disposition".into()
        });
        self.in_context("persistent_set", |c| {
            c.persistent_set.push("expired".into())
        });
        self.in_context("persistent_unset", |c| {
            c.persistent_unset.push("expired".into())
        });
        self.in_context("read_point", |c| c.read_point.push_str("urn:x:1"));
        self.in_context("biz_location", |c| c.biz_location.push_str("urn:x:1"));
        self.in_context("transformation_id", |c| {
            c.transformation_id.push_str("urn:x:1")
        });
        self.in_context("record_time", |c| {
            c.record_time = "2001-01-01T00:00:00Z".into()
        });
        self.in_context("parent_id", |c| c.parent_id.push_str("urn:x:1"));
        for i in 0..context.company_prefix_lengths.len() {
            self.in_context(format!("company_prefix_lengths[{i}]"), |c| {
                let length = &mut c.company_prefix_lengths[i];
                *length = if *length == 8 { 9 } else { 8 };
            });
        }
        for i in 0..context.persistent_set.len() {
            self.in_context(format!("persistent_set[{i}]"), |c| {
                c.persistent_set[i].push('x')
            });
        }
        for i in 0..context.persistent_unset.len() {
            self.in_context(format!("persistent_unset[{i}]"), |c| {
                c.persistent_unset[i].push('x')
            });
        }
        self.typed_ids("biz_transactions", |c| &mut c.biz_transactions);
        self.typed_ids("sources", |c| &mut c.sources);
        self.typed_ids("destinations", |c| &mut c.destinations);
        self.quantities("quantities", |c| &mut c.quantities);
        self.quantities("output_quantities", |c| &mut c.output_quantities);
        for i in 0..context.namespaces.len() {
            self.in_context(format!("namespaces[{i}].prefix"), |c| {
                c.namespaces[i].prefix.push('x')
            });
            self.in_context(format!("namespaces[{i}].uri"), |c| {
                c.namespaces[i].uri.push('x')
            });
        }
        self.trees("fields", |c| &mut c.fields);
        self.error_declaration(context.error_declaration.as_ref());
    }

    fn error_declaration(&mut self, error: Option<&wire::ErrorDeclaration>) {
        fn inside(c: &mut wire::EventContext) -> &mut wire::ErrorDeclaration {
            c.error_declaration.as_mut().unwrap()
        }
        let Some(error) = error else { return };
        self.in_context("error.time_ms", |c| inside(c).declaration_time_ms += 1);
        self.in_context("error.time", |c| {
            inside(c).declaration_time = "2001-01-01T00:00:00Z".into();
        });
        self.in_context("error.reason", |c| {
            inside(c).reason = "did_not_occur".into()
        });
        for i in 0..error.corrective_event_ids.len() {
            self.in_context(format!("error.corrective_event_ids[{i}]"), |c| {
                inside(c).corrective_event_ids[i].push('x');
            });
        }
        self.trees("error.fields", |c| &mut inside(c).fields);
        self.in_context("error", |c| c.error_declaration = None);
    }

    fn typed_ids(
        &mut self,
        name: &str,
        list: fn(&mut wire::EventContext) -> &mut Vec<wire::TypedId>,
    ) {
        let count = list(&mut self.record.context.clone().unwrap()).len();
        for i in 0..count {
            self.in_context(format!("{name}[{i}].type"), |c| {
                list(c)[i].r#type = "urn:x:type".into();
            });
            self.in_context(format!("{name}[{i}].id"), |c| list(c)[i].id.push('x'));
        }
        if count > 0 {
            self.in_context(format!("{name}.pop"), |c| _ = list(c).pop());
        }
    }

    fn quantities(
        &mut self,
        name: &str,
        list: fn(&mut wire::EventContext) -> &mut Vec<wire::EpcisQuantity>,
    ) {
        let count = list(&mut self.record.context.clone().unwrap()).len();
        for i in 0..count {
            self.in_context(format!("{name}[{i}].epc_class"), |c| {
                list(c)[i].epc_class.push('x')
            });
            self.in_context(format!("{name}[{i}].quantity"), |c| {
                list(c)[i].quantity = "77".into();
            });
            self.in_context(format!("{name}[{i}].uom"), |c| {
                list(c)[i].uom = "XXX".into()
            });
        }
    }

    fn trees(&mut self, name: &str, list: fn(&mut wire::EventContext) -> &mut Vec<wire::Field>) {
        let mut context = self.record.context.clone().unwrap();
        let fields = list(&mut context);
        let count = fields.len();
        for n in 0..usize::MAX {
            let mut left = n;
            if !fields.iter_mut().any(|field| change_nth(field, &mut left)) {
                break;
            }
            self.in_context(format!("{name} leaf {n}"), |c| {
                let mut left = n;
                list(c).iter_mut().any(|field| change_nth(field, &mut left));
            });
        }
        for i in 0..count {
            self.in_context(format!("{name}[{i}].remove"), |c| _ = list(c).remove(i));
        }
    }
}

/// Changes the n-th leaf of a tree, names included; `left` counts down to it.
fn change_nth(field: &mut wire::Field, left: &mut usize) -> bool {
    if *left == 0 {
        field.name.push('x');
        return true;
    }
    *left -= 1;
    field
        .value
        .as_mut()
        .is_some_and(|value| change_nth_value(value, left))
}

fn change_nth_value(value: &mut wire::Value, left: &mut usize) -> bool {
    match &mut value.value {
        Some(Kind::List(list)) if !list.values.is_empty() => {
            return list
                .values
                .iter_mut()
                .any(|value| change_nth_value(value, left));
        }
        Some(Kind::Object(object)) if !object.fields.is_empty() => {
            return object
                .fields
                .iter_mut()
                .any(|field| change_nth(field, left));
        }
        _ => {}
    }
    if *left > 0 {
        *left -= 1;
        return false;
    }
    value.value = Some(match value.value.take() {
        Some(Kind::Text(text)) => Kind::Text(text + "x"),
        Some(Kind::Boolean(boolean)) => Kind::Boolean(!boolean),
        Some(Kind::Number(_)) => Kind::Number("77.5".into()),
        _ => Kind::Text("x".into()),
    });
    true
}

#[test]
fn given_every_imported_record_when_one_field_is_changed_then_the_export_changes_or_is_refused() {
    let (mut changed, mut refused) = (0, 0);
    for (name, bytes) in valid_files() {
        for record in records(&import(&name, &bytes)) {
            let before = epcis::export(std::slice::from_ref(&record), &options()).unwrap();
            for (path, mutant) in mutants(&record) {
                match epcis::export(&[mutant], &options()) {
                    Ok(after) => {
                        assert_ne!(after, before, "{name}: {path} is not in the export");
                        changed += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    println!("{changed} mutants changed the export, {refused} were refused");
}

// ---- records of scanners ----------------------------------------------------------------------

fn scanned(body: Body) -> wire::Record {
    let unit = |id: &str| wire::UnitRef {
        id: id.to_owned(),
        prev: vec![7; 32],
    };
    wire::Record {
        format: 1,
        claimed_time_ms: 1_700_000_000_123,
        place: Some(wire::Place {
            position: Some(wire::Position {
                latitude_e7: 260_745_100,
                longitude_e7: -5_000_001,
            }),
            region: "CN-FJ".to_owned(),
            city: "Fuzhou".to_owned(),
            location: String::new(),
        }),
        units: vec![
            unit("01/06901234567892/21/a/b"),
            unit("drug/81234567890123456789"),
        ],
        body: Some(body),
        ..wire::Record::default()
    }
}

#[test]
fn given_a_record_of_every_custody_kind_without_context_when_exported_then_it_is_valid_epcis() {
    let container = Some(wire::UnitRef {
        id: "00/106141412345678908".to_owned(),
        prev: Vec::new(),
    });
    let inspect = wire::Inspect {
        result: 2,
        report: None,
    };
    let accept = wire::Accept {
        condition: 2,
        weight_grams: 5,
        checks: vec![1, 3],
    };
    let handover = wire::Handover {
        to: "uscc:91350100M000100Y43".to_owned(),
        means: 1,
        ..wire::Handover::default()
    };
    let transform = wire::Transform {
        outputs: vec!["01/06901234567892/21/new".to_owned()],
        attributes: None,
    };
    for (body, kind_again, step) in [
        (
            Body::Commission(wire::Commission::default()),
            "Commission",
            "commissioning",
        ),
        (Body::Inspect(inspect), "Inspect", "inspecting"),
        (
            Body::Pack(wire::Pack {
                container: container.clone(),
            }),
            "Pack",
            "packing",
        ),
        (
            Body::Unpack(wire::Unpack { container }),
            "Unpack",
            "unpacking",
        ),
        (Body::Handover(handover), "Handover", "shipping"),
        (Body::Void(wire::Void {}), "Void", "void_shipping"),
        (Body::Accept(accept), "Accept", "receiving"),
        (
            Body::Refuse(wire::Refuse {
                reason: "wet".into(),
            }),
            "Scan",
            "other",
        ),
        (Body::Scan(wire::Scan::default()), "Scan", "transporting"),
        (
            Body::Deliver(wire::Deliver::default()),
            "Deliver",
            "retail_selling",
        ),
        (
            Body::Confirm(wire::Confirm::default()),
            "Accept",
            "accepting",
        ),
        (Body::Reject(wire::Reject::default()), "Scan", "other"),
        (Body::Return(wire::Return::default()), "Return", "receiving"),
        (Body::Transform(transform), "Transform", "repackaging"),
        (Body::Hold(wire::Hold::default()), "Hold", "holding"),
        (Body::Release(wire::Release::default()), "Scan", "other"),
        (Body::Recall(wire::Recall::default()), "Recall", "holding"),
        (
            Body::Destroy(wire::Destroy::default()),
            "Destroy",
            "destroying",
        ),
        (Body::Correct(wire::Correct::default()), "Scan", "other"),
    ] {
        let record = scanned(body);
        let exported = epcis::export(std::slice::from_ref(&record), &options()).unwrap();
        let event = &exported["epcisBody"]["eventList"][0];
        assert_eq!(event["bizStep"], step);
        assert_eq!(event["readPoint"]["id"], "geo:26.0745100,-0.5000001");
        let text = serde_json::to_vec(&exported).unwrap();
        let again = records(&import(step, &text));
        assert_eq!(again.len(), 1, "{exported:#}");
        assert_eq!(kind(&again[0]), kind_again);
        let ids = |r: &wire::Record| r.units.iter().map(|u| u.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&again[0]), ids(&record), "{exported:#}");
        let twice = epcis::export(&again, &options()).unwrap();
        assert_eq!(twice, exported, "a second time it says the same");
    }
}

#[test]
fn given_a_recall_of_a_lot_when_exported_then_it_names_the_class() {
    let scope = wire::Scope {
        scope: Some(wire::scope::Scope::Lot(wire::LotScope {
            product: "06901234567892".to_owned(),
            lot: "L/1".to_owned(),
        })),
    };
    let mut record = scanned(Body::Recall(wire::Recall {
        scope: Some(scope),
        reason: "glass".to_owned(),
        notice: "2026-17".to_owned(),
    }));
    record.units.clear();
    let exported = epcis::export(&[record], &options()).unwrap();
    let event = &exported["epcisBody"]["eventList"][0];
    let class = json!([{"epcClass": "https://id.gs1.org/01/06901234567892/10/L%2F1"}]);
    assert_eq!(event["quantityList"], class);
    assert_eq!(event["disposition"], "recalled");
    assert_eq!(event["custody:notice"], "2026-17");
    assert!(epcis::import(&serde_json::to_vec(&exported).unwrap()).is_ok());
}

#[test]
fn given_an_error_declaration_when_the_caller_corrects_then_the_event_is_still_told() {
    let declared = outcome(json!({
        "bizStep": "receiving",
        "errorDeclaration": {
            "declarationTime": "2026-08-01T00:00:00+02:00", "reason": "did_not_occur",
        },
    }))
    .unwrap();
    assert_eq!(kind(&declared), "Accept");
    let corrected = wire::Record {
        body: Some(Body::Correct(wire::Correct {
            record_id: vec![0xab; 32],
            reason: "mis-scan".to_owned(),
        })),
        ..declared
    };
    let exported = epcis::export(&[corrected], &options()).unwrap();
    let event = &exported["epcisBody"]["eventList"][0];
    assert_eq!(event["bizStep"], "receiving");
    assert_eq!(event["errorDeclaration"]["reason"], "did_not_occur");
    assert_eq!(event["custody:recordId"], "ab".repeat(32));
}

#[test]
fn given_a_governance_record_or_none_when_exported_then_it_is_refused_by_name() {
    let suspend = Body::SuspendParty(wire::SuspendParty::default());
    let error = epcis::export(&[scanned(suspend)], &options()).unwrap_err();
    let expected = ExportError::Governance {
        record: 1,
        kind: "SuspendParty",
    };
    assert_eq!(error, expected);
    let empty = wire::Record::default();
    assert!(matches!(
        epcis::export(&[empty], &options()),
        Err(ExportError::Record { .. })
    ));
    let now = ExportOptions::new("now");
    assert!(matches!(
        epcis::export(&[], &now),
        Err(ExportError::CreationDate(_))
    ));
    assert!(epcis::export(&[], &options()).is_ok());
}

// ---- hostile bytes ----------------------------------------------------------------------------

/// One change to the bytes of a document.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index, u8),
    /// Copies a piece of the document to another place of it.
    Splice(prop::sample::Index, prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let tokens = prop::sample::select(vec![
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "1e308",
        "-0",
        "\\u0000",
        "\u{e9}",
        "<",
        ">",
        "</a>",
        "<a>",
        "&#0;",
        "&lt;",
        "]]>",
        "urn:epc:id:sgtin:",
        "https://id.gs1.org/01/",
        "\"\"",
        "{}",
        "[]",
        "0",
        ".",
        "\u{1f4a9}",
        "@context",
        "ilmd",
        "cbvmda:lotNumber",
    ]);
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, by)| Damage::Flip(at, by)),
        (any::<prop::sample::Index>(), tokens).prop_map(|(at, text)| Damage::Insert(at, text)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, n)| Damage::Remove(at, n)),
        (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            any::<u8>()
        )
            .prop_map(|(from, to, n)| Damage::Splice(from, to, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Flip(at, by) => {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        Damage::Insert(at, text) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, text.bytes());
        }
        Damage::Remove(at, n) => {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + usize::from(*n));
            bytes.drain(at..end);
        }
        Damage::Splice(from, to, n) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let end = bytes.len().min(from + usize::from(*n));
            let piece = bytes[from..end].to_vec();
            bytes.splice(to..to, piece);
        }
    }
}

/// Replaces, removes or renames the n-th value of a document.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Rename(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let values = prop::sample::select(vec![
        json!(null),
        json!(0),
        json!(-0.0),
        json!(1e300),
        json!(0.1),
        json!(true),
        json!(""),
        json!("a:b"),
        json!("text"),
        json!([]),
        json!({}),
        json!([[], {"": null}]),
        json!({"id": "urn:epc:id:sgln:0614141.00777.0", "ext1:a": [null]}),
        json!("ADD"),
        json!("DELETE"),
        json!("shipping"),
        json!("receiving"),
        json!("recalled"),
        json!("AggregationEvent"),
        json!("TransformationEvent"),
        json!("ObjectEvent"),
        json!("9999-12-31T23:59:59.999999999-14:00"),
        json!("1970-01-01T00:00:00+14:00"),
        json!("+14:00"),
        json!("urn:epc:id:sscc:0614141.1234567890"),
        json!("https://id.gs1.org/01/10614141073464/21/%2F"),
        json!("https://id.gs1.org/00/106141412345678908/"),
        json!({"ext1": "urn:other:"}),
        json!({"custody": "urn:other:"}),
        json!({"cbvmda:lotNumber": "L", "cbvmda:itemExpirationDate": "2030-01-31"}),
        json!({"urn:epcglobal:cbv:mda:lotNumber": "L"}),
    ]);
    let names = prop::sample::select(vec![
        "type",
        "ilmd",
        "a:b",
        "epcList",
        "parentID",
        "readPoint",
        "bizStep",
        "@context",
        "",
        "childEPCs",
        "inputEPCList",
        "outputEPCList",
        "errorDeclaration",
        "certificationInfo",
        "cbvmda:lotNumber",
        "custody:kind",
        "transformationID",
        "action",
    ]);
    prop_oneof![
        values.prop_map(Change::Replace),
        Just(Change::Remove),
        names.prop_map(Change::Rename),
    ]
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|item| 1 + count(item)).sum(),
        Value::Object(map) => map.values().map(|item| 1 + count(item)).sum(),
        _ => 0,
    }
}

/// Changes the n-th value inside; `left` counts down to it.
fn change_value(value: &mut Value, left: &mut usize, change: &Change) {
    let mut here = None;
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                if *left == 0 {
                    here = Some(i);
                    break;
                }
                *left -= 1;
                change_value(item, left, change);
            }
            match (here, change) {
                (None, _) => return,
                (Some(i), Change::Replace(with)) => items[i] = with.clone(),
                (Some(i), _) => _ = items.remove(i),
            }
        }
        Value::Object(map) => {
            for (i, item) in map.values_mut().enumerate() {
                if *left == 0 {
                    here = Some(i);
                    break;
                }
                *left -= 1;
                change_value(item, left, change);
            }
            let Some(name) = here.and_then(|i| map.keys().nth(i).cloned()) else {
                return;
            };
            let old = map.shift_remove(&name).unwrap_or_default();
            match change {
                Change::Replace(with) => _ = map.insert(name, with.clone()),
                Change::Rename(other) => _ = map.insert((*other).to_owned(), old),
                Change::Remove => {}
            }
        }
        _ => return,
    }
    // Nothing else is changed.
    *left = usize::MAX;
}

/// Whatever is imported can be exported, and is the same after it.
fn check_there_and_back(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(import) = epcis::import(bytes) else {
        return Ok(());
    };
    let first = records(&import);
    let exported = epcis::export(&first, &options());
    prop_assert!(exported.is_ok(), "{}", exported.unwrap_err());
    let text = serde_json::to_vec(&exported.unwrap()).unwrap();
    let second = epcis::import(&text);
    prop_assert!(second.is_ok(), "{}", second.unwrap_err());
    prop_assert_eq!(records(&second.unwrap()), first);
    Ok(())
}

fn check_damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Result<(), TestCaseError> {
    for damage in damages {
        apply(&mut bytes, damage);
    }
    check_there_and_back(&bytes)
}

proptest! {
    #[test]
    fn given_damaged_documents_when_imported_then_nothing_panics_and_nothing_is_lost(
        which in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let files = files(&["Documents", "Events", "Invalid"]);
        if !files.is_empty() {
            check_damaged(files[which.index(files.len())].1.clone(), &damages)?;
        }
    }

    #[test]
    fn given_damaged_xml_when_imported_then_nothing_panics_and_nothing_is_lost(
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        if let Some((_, bytes)) = files(&[PHARMA]).pop() {
            check_damaged(bytes, &damages)?;
        }
    }

    #[test]
    fn given_documents_with_changed_values_when_imported_then_nothing_is_lost(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..4),
    ) {
        let files = files(&["Documents", "Events"]);
        if !files.is_empty() {
            let bytes = &files[which.index(files.len())].1;
            let mut document: Value = serde_json::from_slice(bytes).unwrap();
            for (at, change) in &changes {
                let mut left = at.index(count(&document).max(1));
                change_value(&mut document, &mut left, change);
            }
            check_there_and_back(&serde_json::to_vec(&document).unwrap())?;
        }
    }

    #[test]
    fn given_any_bytes_when_imported_then_nothing_panics(
        start in prop::sample::select(vec!["", "{", "<", "<a", "{\"type\":"]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        check_there_and_back(&bytes)?;
    }
}
