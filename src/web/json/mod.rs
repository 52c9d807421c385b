//! Every call of the gRPC services as HTTP and JSON: `POST /custody.v1.{Service}/{Method}` with the request by the
//! JSON mapping of the proto (ProtoJSON), as the Connect protocol has its unary calls. Errors are RFC 9457 problems.
//!
//! Nothing is written twice: a call is translated by the descriptors that the server is built with, and made on
//! the very services that gRPC reaches; the description for programs (`/openapi.json`, OpenAPI 3.1) and for
//! people (`/api`) is made from the same descriptors and their comments.

mod addresses;
mod openapi;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, Method, Uri, header, uri::PathAndQuery};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use serde::de::DeserializeSeed as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::problem::Problem;
use super::{Asker, Shared, Web};
use crate::api::MAX_MESSAGE_BYTES;
use crate::api::arriving::{self, Caller};
use crate::client::draft::descriptors;
use crate::rest::media_type;

pub(super) use openapi::{document, page};

/// Most bytes of a call. A record has some 80 KB at most; what is read of JSON that is nothing but empty messages takes many
/// times its length, and nobody has shown a token yet.
const MAX_BODY: usize = 1 << 20;

/// Answers calls in JSON; everything else is for the services themselves.
pub(super) async fn translated(State(web): Shared, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Asker(from) = match Asker::from_request_parts(&mut parts, &web).await {
        Ok(asker) => asker,
        Err(problem) => return problem.into_response(),
    };
    if parts.method != Method::POST || media_type(&parts.headers) != "application/json" {
        parts.extensions.insert(Caller(from));
        return next.run(Request::from_parts(parts, body)).await;
    }
    match called(&web, &parts.uri, &parts.headers, (from, body)).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// The unary method of a path.
fn method_of(path: &str) -> Result<MethodDescriptor, Problem> {
    let pool = descriptors().map_err(|error| Problem::internal(&error.to_string()))?;
    let named = path.trim_start_matches('/').split_once('/');
    let method = named.and_then(|(service, method)| {
        let service = pool.get_service_by_name(service)?;
        let mut methods: Vec<MethodDescriptor> = service.methods().collect();
        methods.retain(|one| one.name() == method);
        methods.pop()
    });
    let method =
        method.ok_or_else(|| Problem::not_found("there is no such method; /api lists them"))?;
    if method.is_client_streaming() || method.is_server_streaming() {
        return Err(Problem::not_found("a stream needs gRPC or gRPC-Web"));
    }
    Ok(method)
}

async fn called(
    web: &Arc<Web>,
    uri: &Uri,
    headers: &HeaderMap,
    (from, body): (IpAddr, Body),
) -> Result<Response, Problem> {
    let method = method_of(uri.path())?;
    let arriving = &web.node.limits().arriving;
    let body = arriving::whole(arriving, from, body, MAX_BODY).await;
    let body = body.map_err(|status| match status.code() {
        Code::OutOfRange => Problem::too_large(format!("at most {MAX_BODY} bytes")),
        Code::ResourceExhausted => status.into(),
        // It broke off, or took too long.
        _ => Problem::bad_request(status.message()),
    })?;
    let mut json = serde_json::Deserializer::from_slice(&body);
    let message = method
        .input()
        .deserialize(&mut json)
        .and_then(|message| json.end().map(|()| message));
    let message = message
        .map_err(|error| Problem::bad_request(format!("{}: {error}", method.input().name())))?;
    let encoded = message.encode_to_vec();
    drop((message, body));
    let answer = asked(web.grpc.clone(), uri.path(), headers, encoded).await?;
    let answer = DynamicMessage::decode(method.output(), answer.as_slice());
    let answer = answer.map_err(|error| Problem::internal(&error.to_string()))?;
    // By the standard mapping, numbers of 64 bits are texts: JavaScript would round them.
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    let mut text = Vec::new();
    let written =
        answer.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options);
    written.map_err(|error| Problem::internal(&error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

/// Makes the call on the services in this process.
async fn asked(
    grpc: Router,
    path: &str,
    headers: &HeaderMap,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let path =
        PathAndQuery::try_from(path).map_err(|_| Status::not_found("there is no such method"))?;
    let mut request = tonic::Request::new(message);
    if let Some(token) = headers.get(header::AUTHORIZATION) {
        let mut only = HeaderMap::new();
        only.insert(header::AUTHORIZATION, token.clone());
        *request.metadata_mut() = MetadataMap::from_headers(only);
    }
    let mut client = tonic::client::Grpc::new(grpc)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    client
        .ready()
        .await
        .map_err(|_| Status::new(Code::Unavailable, "the ledger is closing"))?;
    client
        .unary(request, path, Verbatim)
        .await
        .map(tonic::Response::into_inner)
}

/// Messages as they are encoded.
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
