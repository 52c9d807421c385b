//! What is read by its address, for the OpenAPI document.

use serde_json::{Map, Value, json};

/// A path's only method.
struct Get {
    path: &'static str,
    tag: &'static str,
    about: &'static str,
    kinds: &'static [&'static str],
    /// In the path, each with what it is.
    names: &'static [(&'static str, &'static str)],
    is_query: bool,
}

const ADDRESS: &str = "By address";
const EPCIS: &str = "EPCIS 2.0 queries";
const EVENTS: &[&str] = &["application/json"];
const FORMS: &[&str] = &[
    "text/html",
    "application/json",
    "application/ld+json",
    "application/linkset+json",
    "application/vnd.custody.unit-bundle.v1+protobuf",
];
const GTIN: (&str, &str) = ("gtin", "14 digits, with check digit");

const fn read(
    path: &'static str,
    about: &'static str,
    kinds: &'static [&'static str],
    names: &'static [(&'static str, &'static str)],
) -> Get {
    Get {
        path,
        tag: ADDRESS,
        about,
        kinds,
        names,
        is_query: false,
    }
}

const fn queried(
    path: &'static str,
    about: &'static str,
    names: &'static [(&'static str, &'static str)],
) -> Get {
    Get {
        path,
        tag: EPCIS,
        about,
        kinds: EVENTS,
        names,
        is_query: true,
    }
}

const PATHS: &[Get] = &[
    read(
        "/01/{gtin}/21/{serial}",
        "A unit (GS1 Digital Link): its page, its history as GetProvenanceResponse or as EPCIS 2.0, its links, or the \
         bundle that proves it.",
        FORMS,
        &[GTIN, ("serial", "Serial number, percent-encoded")],
    ),
    read(
        "/00/{sscc}",
        "A logistic unit, likewise.",
        FORMS,
        &[("sscc", "18 digits")],
    ),
    read("/01/{gtin}", "A product.", &["text/html"], &[GTIN]),
    read(
        "/checkpoint",
        "The log's checkpoint (C2SP tlog-checkpoint).",
        &["text/plain"],
        &[],
    ),
    read(
        "/tile/{path}",
        "Hash tiles, and with an auditor's or a regulator's token entry bundles (C2SP tlog-tiles).",
        &["application/octet-stream"],
        &[(
            "path",
            "Level, index and width, as C2SP tlog-tiles has them",
        )],
    ),
    read("/healthz", "Whether the store works.", &["text/plain"], &[]),
    queried(
        "/events",
        "Events by the parameters of the SimpleEventQuery, as an EPCISQueryDocument; `Link` leads to the next page. A \
         party sees what it signed, and the events of single units that it names; a regulator or an auditor all.",
        &[],
    ),
    Get {
        is_query: false,
        ..queried(
            "/events/{eventID}",
            "The event with an id, and what takes it back.",
            &[("eventID", "Percent-encoded")],
        )
    },
    Get {
        is_query: false,
        ..queried("/eventTypes", "The types of events that there are.", &[])
    },
    queried(
        "/eventTypes/{eventType}/events",
        "Events of a type.",
        &[("eventType", "Such as ObjectEvent")],
    ),
    queried(
        "/bizSteps/{bizStep}/events",
        "Events of a business step.",
        &[("bizStep", "A word of the CBV 2.0, or a URI")],
    ),
    queried(
        "/dispositions/{disposition}/events",
        "Events of a disposition.",
        &[("disposition", "A word of the CBV 2.0, or a URI")],
    ),
    queried(
        "/epcs/{epc}/events",
        "Events of a unit, or of what a pattern names.",
        &[(
            "epc",
            "EPC URI or GS1 Digital Link, percent-encoded; or urn:epc:idpat:…",
        )],
    ),
    queried(
        "/bizLocations/{bizLocation}/events",
        "Events at a business location.",
        &[("bizLocation", "A URI, percent-encoded")],
    ),
    queried(
        "/readPoints/{readPoint}/events",
        "Events at a read point.",
        &[("readPoint", "A URI, percent-encoded")],
    ),
];

/// Paths with what can be done there.
pub(super) fn all() -> Map<String, Value> {
    let path = |get: &Get| (get.path.to_owned(), json!({ "get": operation(get) }));
    PATHS.iter().map(path).collect()
}

fn operation(get: &Get) -> Value {
    let content = get.kinds.iter().map(|kind| ((*kind).to_owned(), json!({})));
    let content: Map<String, Value> = content.collect();
    let mut parameters: Vec<Value> = get
        .names
        .iter()
        .map(|(name, about)| {
            json!({ "name": name, "in": "path", "required": true, "description": about, "schema": { "type": "string" } })
        })
        .collect();
    if get.is_query {
        let shared = ["query", "perPage", "nextPageToken"];
        parameters.extend(
            shared.map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })),
        );
    }
    let mut operation = json!({
        "tags": [get.tag],
        "description": get.about,
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer", "content": content },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if get.tag == EPCIS {
        operation["security"] = json!([{ "token": [] }]);
    }
    operation
}

/// What queries have in common.
pub(super) fn parameters() -> Value {
    json!({
        "query": {
            "name": "query", "in": "query", "style": "form", "explode": true,
            "description": "Parameters of the SimpleEventQuery (EPCIS 2.0 section 8.2.7.1), such as EQ_bizStep or \
                GE_recordTime; values of one are parted by |.",
            "schema": { "type": "object", "additionalProperties": { "type": "string" } },
        },
        "perPage": {
            "name": "perPage", "in": "query", "description": "Most events of a page.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 30 },
        },
        "nextPageToken": {
            "name": "nextPageToken", "in": "query", "description": "Out of the Link of the page before.",
            "schema": { "type": "string" },
        },
    })
}
