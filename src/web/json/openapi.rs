//! What can be asked over HTTP, described for programs (OpenAPI 3.1.0) and for people.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor,
};
use serde_json::{Value, json};

use super::addresses;
use crate::client::draft::descriptors;
use crate::web::language::Spoken;
use crate::web::page::{Framed, Site, shown};
use crate::web::{Shared, base};

/// Services of the ledger; health and reflection are gRPC's own.
const PACKAGE: &str = "custody.v1";

/// Comments by the full name of what they stand before.
struct Comments(HashMap<String, String>);

impl Comments {
    fn read(pool: &DescriptorPool) -> Self {
        let mut all = HashMap::new();
        for file in pool.files().filter(|file| file.package_name() == PACKAGE) {
            let proto = file.file_descriptor_proto();
            let located = proto
                .source_code_info
                .iter()
                .flat_map(|info| &info.location);
            let texts: HashMap<&[i32], &str> = located
                .filter_map(|at| Some((at.path.as_slice(), at.leading_comments.as_deref()?)))
                .collect();
            let mut put = |name: &str, path: &[i32]| {
                if let Some(text) = texts.get(path) {
                    // Lines of a comment are lines of source, not of what it says.
                    let text: Vec<&str> = text.split_whitespace().collect();
                    all.insert(name.to_owned(), text.join(" "));
                }
            };
            for message in file.messages() {
                put(message.full_name(), message.path());
                for field in message.fields() {
                    put(field.full_name(), field.path());
                }
            }
            for one in file.enums() {
                put(one.full_name(), one.path());
            }
            for service in file.services() {
                put(service.full_name(), service.path());
                for method in service.methods() {
                    put(method.full_name(), method.path());
                }
            }
        }
        Self(all)
    }

    fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// A service, and its methods that are no streams.
struct Described {
    name: String,
    about: String,
    methods: Vec<Call>,
}

struct Call {
    name: String,
    path: String,
    about: String,
    input: Vec<(String, String)>,
    descriptor: MethodDescriptor,
}

struct Api {
    services: Vec<Described>,
    document: Vec<u8>,
}

static API: LazyLock<Api> = LazyLock::new(|| {
    // The descriptors are a part of the program, and a test reads them.
    let pool = descriptors().unwrap_or_default();
    let comments = Comments::read(&pool);
    let ours = pool
        .services()
        .filter(|service| service.package_name() == PACKAGE);
    let services: Vec<Described> = ours
        .map(|service| Described {
            name: service.name().to_owned(),
            about: comments.of(service.full_name()).to_owned(),
            methods: service
                .methods()
                .filter(|method| !method.is_client_streaming() && !method.is_server_streaming())
                .map(|method| call(&method, &comments))
                .collect(),
        })
        // One that only streams has nothing to call here.
        .filter(|service| !service.methods.is_empty())
        .collect();
    let document = openapi(&services, &comments);
    Api { services, document }
});

fn call(method: &MethodDescriptor, comments: &Comments) -> Call {
    let field = |field: FieldDescriptor| {
        let about = comments.of(field.full_name()).to_owned();
        (field.json_name().to_owned(), about)
    };
    Call {
        name: method.name().to_owned(),
        path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        about: comments.of(method.full_name()).to_owned(),
        input: method.input().fields().map(field).collect(),
        descriptor: method.clone(),
    }
}

fn openapi(services: &[Described], comments: &Comments) -> Vec<u8> {
    let mut schemas = BTreeMap::new();
    let mut paths = serde_json::Map::new();
    for service in services {
        for call in &service.methods {
            let (input, output) = (call.descriptor.input(), call.descriptor.output());
            message_schema(&input, comments, &mut schemas);
            message_schema(&output, comments, &mut schemas);
            let operation = json!({
                "operationId": format!("{}.{}", service.name, call.name),
                "tags": [service.name],
                "description": call.about,
                "security": [{}, { "token": [] }],
                "requestBody": { "required": true, "content": { "application/json": { "schema": reference(input.full_name()) } } },
                "responses": {
                    "200": { "description": "The answer", "content": { "application/json": { "schema": reference(output.full_name()) } } },
                    "default": { "$ref": "#/components/responses/Problem" },
                },
            });
            paths.insert(call.path.clone(), json!({ "post": operation }));
        }
    }
    paths.extend(addresses::all());
    schemas.insert("Problem".to_owned(), problem_schema());
    let tags: Vec<Value> = services
        .iter()
        .map(|service| json!({ "name": service.name, "description": service.about }))
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "custody",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A product traceability ledger. Calls are those of the gRPC services, with messages by the JSON \
                mapping of Protocol Buffers (ProtoJSON): 64-bit numbers are texts, bytes are Base64, unset fields are left \
                out. Streams need gRPC or gRPC-Web.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": {
                "description": "RFC 9457",
                "content": { "application/problem+json": { "schema": reference("Problem") } },
            } },
            "parameters": addresses::parameters(),
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "PASETO v4.public",
                "description": "Signed by a full key of the caller's party; `custody token` makes one.",
            } },
        },
    });
    document.to_string().into_bytes()
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457, problem details.",
        "properties": {
            "type": { "type": "string", "description": "Of queries by EPCIS: the exception of the standard, such as \
                epcisException:QueryParameterException." },
            "title": { "type": "string", "description": "Short, the same for all of a kind." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What was wrong, and what to do." },
            "reason": { "type": "string", "description": "The ledger's own name for it, as in google.rpc.ErrorInfo." },
        },
        "required": ["title", "status", "detail"],
    })
}

fn short(name: &str) -> &str {
    name.strip_prefix("custody.v1.").unwrap_or(name)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", short(name)) })
}

fn with_about(mut schema: Value, about: &str) -> Value {
    if !about.is_empty()
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("description".into(), about.into());
    }
    schema
}

fn message_schema(
    message: &MessageDescriptor,
    comments: &Comments,
    schemas: &mut BTreeMap<String, Value>,
) {
    let name = short(message.full_name()).to_owned();
    if schemas.contains_key(&name) {
        return;
    }
    // Before its fields, since they may hold it again.
    schemas.insert(name.clone(), Value::Null);
    let properties: serde_json::Map<String, Value> = message
        .fields()
        .map(|field| {
            let schema = field_schema(&field, comments, schemas);
            (
                field.json_name().to_owned(),
                with_about(schema, comments.of(field.full_name())),
            )
        })
        .collect();
    let schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    schemas.insert(name, with_about(schema, comments.of(message.full_name())));
}

fn field_schema(
    field: &FieldDescriptor,
    comments: &Comments,
    schemas: &mut BTreeMap<String, Value>,
) -> Value {
    let one = match field.kind() {
        Kind::Message(message) => {
            message_schema(&message, comments, schemas);
            reference(message.full_name())
        }
        Kind::Enum(of) => {
            enum_schema(&of, comments, schemas);
            reference(of.full_name())
        }
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({ "type": "string", "format": "int64" })
        }
        Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Uint32 | Kind::Fixed32 => {
            json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({ "type": "integer", "format": "int32" })
        }
    };
    if field.cardinality() == Cardinality::Repeated {
        json!({ "type": "array", "items": one })
    } else {
        one
    }
}

fn enum_schema(of: &EnumDescriptor, comments: &Comments, schemas: &mut BTreeMap<String, Value>) {
    let name = short(of.full_name()).to_owned();
    let values: Vec<String> = of.values().map(|value| value.name().to_owned()).collect();
    let schema = json!({ "type": "string", "enum": values });
    schemas.insert(name, with_about(schema, comments.of(of.full_name())));
}

/// `GET /openapi.json`.
pub(in crate::web) async fn document() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, API.document.as_slice()).into_response()
}

#[derive(Template)]
#[template(path = "api.html")]
struct ApiPage {
    site: Site,
    base: String,
    services: &'static [Described],
}

impl Framed for ApiPage {
    fn site(&self) -> &Site {
        &self.site
    }
}

/// `GET /api`.
pub(in crate::web) async fn page(State(web): Shared, spoken: Spoken, parts: Parts) -> Response {
    let site = Site::new(&web, spoken, &parts.uri);
    shown(&ApiPage {
        site,
        base: base(&web, &parts),
        services: &API.services,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference leads to a schema that is there.
    fn check(value: &Value, schemas: &serde_json::Map<String, Value>, seen: &mut usize) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(target)) = object.get("$ref") {
                    *seen += 1;
                    if let Some(name) = target.strip_prefix("#/components/schemas/") {
                        assert!(schemas.get(name).is_some_and(Value::is_object), "{name}");
                    }
                }
                object
                    .values()
                    .for_each(|value| check(value, schemas, seen));
            }
            Value::Array(values) => values.iter().for_each(|value| check(value, schemas, seen)),
            _ => {}
        }
    }

    #[test]
    fn the_description_holds_every_call_with_its_comment_and_no_loose_end() {
        let document: Value = serde_json::from_slice(&API.document).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut seen = 0;
        check(&document, schemas, &mut seen);
        assert!(seen > 250, "{seen}");
        let paths = document["paths"].as_object().unwrap();
        for service in &API.services {
            assert!(!service.methods.is_empty(), "{}", service.name);
            for call in &service.methods {
                assert!(paths.contains_key(&call.path), "{}", call.path);
            }
        }
        let check = &paths["/custody.v1.ListingService/CheckParties"]["post"];
        assert!(
            check["description"]
                .as_str()
                .unwrap()
                .contains("enter a market")
        );
        let parameters = paths["/bizSteps/{bizStep}/events"]["get"]["parameters"].as_array();
        let named = parameters.unwrap().iter();
        let named: Vec<&Value> = named.filter_map(|one| one.get("$ref")).collect();
        for one in named {
            let name = one.as_str().unwrap().rsplit('/').next().unwrap();
            let parameters = &document["components"]["parameters"];
            assert!(parameters[name].is_object(), "{name}");
        }
        assert!(
            !paths.contains_key("/custody.v1.AlertService/WatchAlerts"),
            "a stream"
        );
        let claim = &schemas["Claim"]["properties"];
        assert_eq!(claim["amountFen"]["format"], "uint64");
        assert_eq!(claim["entries"]["type"], "array");
        assert_eq!(claim["complaint"]["$ref"], "#/components/schemas/Complaint");
    }
}
