//! The courier's scanner: a page that is kept on the phone and works without a network, and the room in
//! which a phone and its firm meet to enrol its key (see `core::enrolment`).
//!
//! | who | what | |
//! |---|---|---|
//! | firm, with its token | `PUT /scan/enrol/{room}` | `{"mac"}`: opens it, for [`OPEN_FOR`] |
//! | phone | `GET /scan/enrol/{room}` | `{"party", "partyName", "mac"}` |
//! | phone | `POST /scan/enrol/{room}` | `{"publicKey", "possession", "mac"}`, once |
//! | firm, with its token | `GET /scan/enrol/{room}/device` | what the phone sent; 204 until it did |
//!
//! Binary values are Base64. Rooms are kept in memory: an enrolment that a restart ends is begun anew.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataMap;

use super::language::Spoken;
use super::page::{Framed, Site, shown};
use super::problem::Problem;
use super::{Shared, asset};
use crate::api::{self, token};
use crate::core::id::PartyId;

/// How long a phone has to come.
const OPEN_FOR: Duration = Duration::from_secs(15 * 60);
/// Most rooms that are open at once.
const MAX_ROOMS: usize = 4_096;
/// Most rooms that one party may have open.
const MAX_ROOMS_OF_PARTY: usize = 64;
/// Most bytes of what a firm or a phone says.
pub(super) const MAX_BODY: usize = 1_024;
/// Most bytes of a Base64 value.
const MAX_VALUE: usize = 128;

/// As for all pages, but that the reader of codes is WebAssembly and pictures come from the camera.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; \
     worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Where phones and firms meet.
#[derive(Default)]
pub(super) struct Rooms(Mutex<HashMap<String, Room>>);

struct Room {
    party: PartyId,
    mac: String,
    device: Option<Device>,
    until: Instant,
}

/// What a phone says of its key.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Device {
    public_key: String,
    possession: String,
    mac: String,
}

/// What a firm says of itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    mac: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Firm {
    party: String,
    party_name: String,
    mac: String,
}

impl Rooms {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Room>) -> T) -> T {
        let mut rooms = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        rooms.retain(|_, room| room.until > now);
        work(&mut rooms)
    }

    fn open(&self, name: String, party: PartyId, mac: String) -> Result<(), Problem> {
        self.with(|rooms| {
            let own = rooms.values().filter(|room| room.party == party).count();
            if rooms.len() >= MAX_ROOMS || own >= MAX_ROOMS_OF_PARTY {
                return Err(Problem::too_many(OPEN_FOR.as_secs()));
            }
            if rooms.contains_key(&name) {
                return Err(Problem::conflict(
                    "the room is open already: make a new code",
                ));
            }
            let until = Instant::now() + OPEN_FOR;
            let device = None;
            rooms.insert(
                name,
                Room {
                    party,
                    mac,
                    device,
                    until,
                },
            );
            Ok(())
        })
    }
}

#[derive(askama::Template)]
#[template(path = "scan.html")]
struct ScanPage {
    site: Site,
}

impl Framed for ScanPage {
    fn site(&self) -> &Site {
        &self.site
    }
}

pub(super) async fn page(State(web): Shared, spoken: Spoken, uri: Uri) -> Response {
    let mut response = shown(&ScanPage {
        site: Site::new(&web, spoken, &uri),
    });
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(self), geolocation=(self), microphone=()",
        ),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

pub(super) async fn manifest() -> Response {
    file("application/manifest+json", asset::text("scan.webmanifest"))
}

/// The worker has to lie where the pages are that it serves.
pub(super) async fn worker() -> Response {
    let mut response = file(
        "text/javascript; charset=utf-8",
        asset::text("js/scan_worker.js"),
    );
    let headers = response.headers_mut();
    let scope = header::HeaderValue::from_static("/scan");
    headers.insert("service-worker-allowed", scope);
    let policy = header::HeaderValue::from_static(POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn file(kind: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, bytes).into_response()
}

/// What the phone keeps, so that the scanner works without a network.
pub(super) async fn files() -> Response {
    let mut files = vec!["/scan".to_owned(), "/scan/manifest.webmanifest".to_owned()];
    files.extend(asset::below(&[
        "css/",
        "icon.svg",
        "custody.v1.binpb",
        "js/",
        "vendor/",
    ]));
    let unneeded = [
        "/js/desk/",
        "/css/desk.css",
        "/js/scan_worker.js",
        "/vendor/LICENSES.txt",
        "/vendor/uplot.",
    ];
    files.retain(|file| !unneeded.iter().any(|name| file.contains(name)));
    Json(serde_json::json!({ "version": *asset::VERSION, "files": files })).into_response()
}

fn checked(name: &str, values: &[&str]) -> Result<(), Problem> {
    if name.len() != 32
        || !name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(Problem::bad_request("a room's name has 32 hex digits"));
    }
    if values
        .iter()
        .any(|value| value.is_empty() || value.len() > MAX_VALUE)
    {
        return Err(Problem::bad_request(format!(
            "values are Base64 of at most {MAX_VALUE} characters"
        )));
    }
    Ok(())
}

fn no_room() -> Problem {
    Problem::not_found("no such room: the code is wrong, used up, or older than 15 minutes")
}

/// A firm opens a room.
pub(super) async fn open(
    State(web): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(Opening { mac }): Json<Opening>,
) -> Result<StatusCode, Problem> {
    let metadata = MetadataMap::from_headers(headers);
    let party = token::authenticated(&metadata, &web.node)?.party;
    checked(&name, &[&mac])?;
    web.rooms.open(name, party, mac)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A phone asks whose room it is.
pub(super) async fn firm(
    State(web): Shared,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let found = web.rooms.with(|rooms| {
        let room = rooms.get(&name)?;
        Some((room.party, room.mac.clone()))
    });
    let (party, mac) = found.ok_or_else(no_room)?;
    let party_name = api::party_name(&web.node, party)?;
    let party = party.to_string();
    Ok(Json(Firm {
        party,
        party_name,
        mac,
    })
    .into_response())
}

/// A phone brings its key; the first one that comes.
pub(super) async fn device(
    State(web): Shared,
    Path(name): Path<String>,
    Json(device): Json<Device>,
) -> Result<StatusCode, Problem> {
    checked(
        &name,
        &[&device.public_key, &device.possession, &device.mac],
    )?;
    web.rooms.with(|rooms| {
        let room = rooms.get_mut(&name).ok_or_else(no_room)?;
        match &room.device {
            // Sent again, since the answer was lost.
            Some(known) if known.public_key == device.public_key => {}
            Some(_) => return Err(Problem::conflict("another phone was here: make a new code")),
            None => room.device = Some(device),
        }
        Ok(StatusCode::NO_CONTENT)
    })
}

/// A firm looks whether a phone came.
pub(super) async fn came(
    State(web): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let metadata = MetadataMap::from_headers(headers);
    let party = token::authenticated(&metadata, &web.node)?.party;
    web.rooms.with(|rooms| {
        let room = rooms.get(&name).filter(|room| room.party == party);
        Ok(match &room.ok_or_else(no_room)?.device {
            Some(device) => Json(device).into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        })
    })
}
