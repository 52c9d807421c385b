//! Queries: `GET /events` and the like.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use prost::Message as _;
use serde_json::{Value, json};

use super::problem::{Exception, Problem};
use super::{Asks, EXTENSIONS, MAX_ADDRESS, Source, answer, linked, negotiated};
use crate::core::envelope::RecordId;
use crate::core::record::Millis;
use crate::core::wire;
use crate::epcis::{self, ExportedEvent};
use crate::sequence::now;

/// The types of events that a ledger has.
const TYPES: [&str; 4] = [
    "ObjectEvent",
    "AggregationEvent",
    "TransactionEvent",
    "TransformationEvent",
];

/// `GET /events`.
pub(super) async fn all<A: Asks>(State(asks): State<A>, parts: Parts) -> Result<Response, Problem> {
    let asked = Asked::new(&parts)?;
    let source = asks.source(&parts.headers).await?;
    asked.page(&source, &asks.base(&parts), &parts, None).await
}

/// `GET /bizSteps/{bizStep}/events` and the like: a query with one parameter in the path.
pub(super) async fn narrowed<A: Asks>(
    State(asks): State<A>,
    parts: Parts,
    Path(value): Path<String>,
    parameter: &'static str,
) -> Result<Response, Problem> {
    let mut asked = Asked::new(&parts)?;
    let request = &mut asked.request;
    if request.parameters.iter().any(|one| one.name == parameter) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            Exception::QueryParameter,
            format!("{parameter} stands in the path already"),
        ));
    }
    request.parameters.push(wire::QueryParameter {
        name: parameter.to_owned(),
        values: vec![value],
    });
    let source = asks.source(&parts.headers).await?;
    asked.page(&source, &asks.base(&parts), &parts, None).await
}

/// `GET /events/{eventID}`: the event, and what takes it back.
pub(super) async fn one<A: Asks>(
    State(asks): State<A>,
    parts: Parts,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    negotiated(&parts.headers)?;
    let source = asks.source(&parts.headers).await?;
    let events = of_id(&source, &id).await?;
    if events.is_empty() {
        return Err(Problem::not_found(format!(
            "you may see no event with the eventID {id:?}"
        )));
    }
    let events = exported(events)?;
    let document = epcis::query_document(events, &now().to_string(), None);
    Ok(answer(StatusCode::OK, &document))
}

/// The events with an id that the caller may see.
pub(super) async fn of_id(
    source: &Source,
    id: &str,
) -> Result<Vec<wire::CapturedEvent>, tonic::Status> {
    let parameter = wire::QueryParameter {
        name: "EQ_eventID".to_owned(),
        values: vec![id.to_owned()],
    };
    let mut request = wire::QueryEventsRequest {
        parameters: vec![parameter],
        page_size: 100,
        ..wire::QueryEventsRequest::default()
    };
    loop {
        let found = source.query(request.clone()).await?;
        // A page without events may lead on to one that has some.
        if !found.events.is_empty() || found.next_page_token.is_empty() {
            return Ok(found.events);
        }
        request.page_token = found.next_page_token;
    }
}

/// `GET /eventTypes`.
pub(super) async fn types(headers: HeaderMap) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let list = json!({
        "@context": epcis::CONTEXT,
        "type": "EventTypeItemList",
        "eventType": TYPES,
    });
    Ok(answer(StatusCode::OK, &list))
}

/// A query as a request has it.
pub(super) struct Asked {
    pub(super) request: wire::QueryEventsRequest,
}

impl Asked {
    /// Reads the parameters of the address. Values of one parameter are parted by `|`.
    pub(super) fn new(parts: &Parts) -> Result<Self, Problem> {
        negotiated(&parts.headers)?;
        let length = parts
            .uri
            .path_and_query()
            .map_or(0, |text| text.as_str().len());
        if length > MAX_ADDRESS {
            return Err(Problem::new(
                StatusCode::URI_TOO_LONG,
                Exception::UriTooLong,
                format!("it has {length} bytes, at most {MAX_ADDRESS}; make it a named query"),
            ));
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(pairs) = pairs.map_err(|error| Problem::invalid(error.to_string()))?;
        let mut request = wire::QueryEventsRequest {
            namespaces: namespaces(&parts.headers)?,
            ..wire::QueryEventsRequest::default()
        };
        for (name, value) in pairs {
            match name.as_str() {
                "perPage" => request.page_size = per_page(&value)?,
                "nextPageToken" => request.page_token = value,
                // A flag: whatever stands after it.
                name if name.starts_with("EXISTS_") => {
                    request.parameters.push(wire::QueryParameter {
                        name: name.to_owned(),
                        values: Vec::new(),
                    });
                }
                _ => request.parameters.push(wire::QueryParameter {
                    values: value.split('|').map(str::to_owned).collect(),
                    name,
                }),
            }
        }
        Ok(Self { request })
    }

    /// Answers a page, with the address of the next in `Link`.
    pub(super) async fn page(
        self,
        source: &Source,
        base: &str,
        parts: &Parts,
        query_name: Option<&str>,
    ) -> Result<Response, Problem> {
        let found = source.query(self.request).await?;
        let events = exported(found.events)?;
        let name = query_name.map(|name| (name, ""));
        let document = epcis::query_document(events, &now().to_string(), name);
        let token = found.next_page_token;
        let next = (!token.is_empty()).then(|| next_page(base, parts, &token));
        linked(answer(StatusCode::OK, &document), next.as_deref())
    }
}

/// The address of the next page: this one with another token.
fn next_page(base: &str, parts: &Parts, token: &str) -> String {
    let query = parts.uri.query().unwrap_or_default();
    let others = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("nextPageToken="));
    let mut pairs: Vec<String> = others.map(str::to_owned).collect();
    pairs.push(format!("nextPageToken={token}"));
    format!("{base}{}?{}", parts.uri.path(), pairs.join("&"))
}

pub(super) fn per_page(text: &str) -> Result<u32, Problem> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            Exception::QueryParameter,
            "perPage is a whole number from 1 on",
        )
    })
}

/// What the prefixes of extensions mean: `GS1-Extensions: example=http://ns.example.com/epcis/`, several parted by
/// commas.
fn namespaces(headers: &HeaderMap) -> Result<Vec<wire::Namespace>, Problem> {
    let mut all = Vec::new();
    for value in headers.get_all(EXTENSIONS) {
        let text = value.to_str().unwrap_or_default();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (prefix, uri) = pair.split_once('=').ok_or_else(|| {
                Problem::invalid(format!("GS1-Extensions: {pair:?} is not prefix=namespace"))
            })?;
            all.push(wire::Namespace {
                prefix: prefix.trim().to_owned(),
                uri: uri.trim().trim_matches('"').to_owned(),
            });
        }
    }
    Ok(all)
}

/// Parameters out of the JSON of a query: each a text, a number, or a list of these.
pub(super) fn of_json(query: &Value) -> Result<wire::QueryEventsRequest, Problem> {
    let wrong =
        |what: String| Problem::new(StatusCode::BAD_REQUEST, Exception::QueryParameter, what);
    let object = query
        .as_object()
        .ok_or_else(|| wrong("the query is not a JSON object".to_owned()))?;
    let mut request = wire::QueryEventsRequest::default();
    for (name, value) in object {
        if name == "@context" {
            request.namespaces = prefixes(value);
            continue;
        }
        let items = match value {
            Value::Array(items) => items.as_slice(),
            Value::Null => &[],
            other => std::slice::from_ref(other),
        };
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(truth) => Ok(truth.to_string()),
            _ => Err(wrong(format!(
                "{name}: a value is neither text, number nor truth"
            ))),
        };
        let mut values: Vec<String> = items.iter().map(text).collect::<Result<_, _>>()?;
        if name.starts_with("EXISTS_") {
            values.clear();
        }
        request.parameters.push(wire::QueryParameter {
            name: name.clone(),
            values,
        });
    }
    Ok(request)
}

/// The prefixes that a JSON-LD context declares.
fn prefixes(context: &Value) -> Vec<wire::Namespace> {
    let items = match context {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let objects = items.iter().filter_map(Value::as_object).flatten();
    let bound: BTreeMap<&String, &str> = objects
        .filter_map(|(prefix, uri)| Some((prefix, uri.as_str()?)))
        .collect();
    let namespace = |(prefix, uri): (&String, &str)| wire::Namespace {
        prefix: prefix.clone(),
        uri: uri.to_owned(),
    };
    bound.into_iter().map(namespace).collect()
}

/// The events as EPCIS has them.
pub(super) fn exported(events: Vec<wire::CapturedEvent>) -> Result<Vec<ExportedEvent>, Problem> {
    events
        .into_iter()
        .map(|event| one_exported(&event))
        .collect()
}

pub(super) fn one_exported(event: &wire::CapturedEvent) -> Result<ExportedEvent, Problem> {
    let record = wire::Record::decode(event.record.clone());
    let record = record.map_err(|error| Problem::internal("a record", &error))?;
    let written = epcis::event(&record, epcis::RESOLVER);
    let written = written.map_err(|error| Problem::internal("an event", &error))?;
    let id = RecordId::from_slice(&event.record_id);
    let id = id.ok_or_else(|| Problem::internal("an event", &"its record has no id"))?;
    Ok(written.captured(&id, Millis(event.time_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(address: &str) -> Parts {
        Request::get(address).body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_address_is_read_as_the_standard_writes_it() {
        let asked = Asked::new(&parts(
            "/events?EQ_bizStep=shipping%7Creceiving&perPage=7&GE_eventTime=2026-01-01T00%3A00%3A00%2B08%3A00\
             &EXISTS_errorDeclaration=&nextPageToken=4.2",
        ))
        .unwrap();
        let request = asked.request;
        let found: Vec<(&str, Vec<&str>)> = request
            .parameters
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.values.iter().map(String::as_str).collect(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("EQ_bizStep", vec!["shipping", "receiving"]),
                ("GE_eventTime", vec!["2026-01-01T00:00:00+08:00"]),
                ("EXISTS_errorDeclaration", vec![]),
            ]
        );
        assert_eq!((request.page_size, request.page_token.as_str()), (7, "4.2"));
        assert!(Asked::new(&parts("/events?perPage=0")).is_err());
        let long = format!("/events?EQ_eventID={}", "x".repeat(MAX_ADDRESS));
        let problem = Asked::new(&parts(&long)).err().unwrap();
        assert_eq!(problem.status, StatusCode::URI_TOO_LONG);
    }

    #[test]
    fn the_next_page_is_the_same_query_with_another_token() {
        let parts = parts("/events?EQ_bizStep=shipping&nextPageToken=1.&perPage=2");
        let next = next_page("https://x.example", &parts, "9.");
        assert_eq!(
            next,
            "https://x.example/events?EQ_bizStep=shipping&perPage=2&nextPageToken=9."
        );
    }

    #[test]
    fn a_query_in_json_says_the_same_as_an_address() {
        let query = json!({
            "@context": ["https://x/epcis-context.jsonld", {"ex": "http://ns.example.com/"}],
            "EQ_bizStep": ["shipping"],
            "eventCountLimit": 3,
            "EXISTS_ex:field": null,
        });
        let request = of_json(&query).unwrap();
        assert_eq!(request.namespaces[0].uri, "http://ns.example.com/");
        assert_eq!(request.parameters.len(), 3);
        assert_eq!(request.parameters[1].values, ["3"]);
        assert!(of_json(&json!({"EQ_bizStep": [{}]})).is_err());
        assert!(of_json(&json!(["EQ_bizStep"])).is_err());
    }
}
