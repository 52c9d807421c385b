//! Parties: the register, and what is known of one: keys, products, credit file, score, measures, and who
//! read the file.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::{Desk, Frame, framed, in_query};
use crate::core::id::PartyId;
use crate::core::wire;
use crate::core::wire::credit_item::Item;
use crate::core::words::{Choice as _, choices};
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Parties of one page.
const PAGE: u32 = 100;
/// Items of a credit file, and reads of it, that are shown.
const ITEMS: u32 = 500;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    page: String,
}

#[derive(Template)]
#[template(path = "desk/parties.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    parties: Vec<wire::Party>,
    next: String,
}

framed!(ListPage, OnePage);

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let request = wire::ListPartiesRequest {
        page_size: PAGE,
        page_token: asked.page,
    };
    let answer = desk
        .ledger
        .registry()
        .list_parties(request)
        .await?
        .into_inner();
    let next = match answer.next_page_token.as_str() {
        "" => String::new(),
        token => format!("/desk/parties?page={}", in_query(token)),
    };
    Ok(shown(&ListPage {
        site: desk.site,
        desk: desk.frame,
        parties: answer.parties,
        next,
    }))
}

/// The credit file, where it is open.
struct File {
    commitments: Vec<wire::Commitment>,
    records: Vec<wire::CreditRecord>,
    listings: Vec<wire::Listing>,
    measures: Vec<wire::Measure>,
    score: Option<wire::GetScoreResponse>,
}

#[derive(Template)]
#[template(path = "desk/party.html")]
struct OnePage {
    site: Site,
    desk: Frame,
    party: wire::Party,
    keys: Vec<wire::Key>,
    /// None while the agency has not said why it reads it.
    file: Option<File>,
    reads: Vec<(wire::FileRead, String)>,
    record_kinds: Vec<(&'static str, &'static str)>,
    severities: Vec<(&'static str, &'static str)>,
}

async fn file(desk: &Desk, party: &wire::Party) -> Result<Option<File>, Problem> {
    let request = wire::GetCreditFileRequest {
        party: party.id.clone(),
        page_size: ITEMS,
        page_token: String::new(),
    };
    let items = match desk.ledger.credit().get_credit_file(request).await {
        Ok(answer) => answer.into_inner().items,
        // It says by which record the file is opened.
        Err(status) if status.code() == tonic::Code::PermissionDenied => return Ok(None),
        Err(status) => return Err(status.into()),
    };
    let mut file = File {
        commitments: Vec::new(),
        records: Vec::new(),
        listings: Vec::new(),
        measures: Vec::new(),
        score: None,
    };
    for item in items.into_iter().filter_map(|item| item.item) {
        match item {
            Item::Commitment(commitment) => file.commitments.push(commitment),
            Item::Record(record) => file.records.push(record),
            Item::Listing(listing) => file.listings.push(listing),
            Item::Measure(measure) => file.measures.push(measure),
        }
    }
    if party.roles().any(|role| role == wire::Role::Courier) {
        let request = wire::GetScoreRequest {
            party: party.id.clone(),
            ..wire::GetScoreRequest::default()
        };
        file.score = Some(desk.ledger.credit().get_score(request).await?.into_inner());
    }
    Ok(Some(file))
}

pub(super) async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let id: PartyId = id
        .parse()
        .map_err(|error: crate::core::id::IdError| Problem::bad_request(error.to_string()))?;
    let request = wire::GetPartyRequest { id: id.to_string() };
    let party = desk
        .ledger
        .registry()
        .get_party(request)
        .await?
        .into_inner()
        .party;
    let party = party.unwrap_or_default();
    let request = wire::ListKeysRequest {
        party: party.id.clone(),
        page_size: 100,
        page_token: String::new(),
    };
    let keys = desk
        .ledger
        .registry()
        .list_keys(request)
        .await?
        .into_inner()
        .keys;
    let request = wire::ListFileReadsRequest {
        party: party.id.clone(),
        page_size: ITEMS,
        page_token: String::new(),
    };
    let found = desk
        .ledger
        .credit()
        .list_file_reads(request)
        .await?
        .into_inner()
        .reads;
    let mut reads = Vec::with_capacity(found.len());
    for read in found {
        let name = desk.name(&read.by)?;
        reads.push((read, name));
    }
    Ok(shown(&OnePage {
        file: file(&desk, &party).await?,
        record_kinds: choices(wire::CreditRecordKind::all(), lang),
        severities: choices(wire::CreditSeverity::all(), lang),
        site: desk.site,
        desk: desk.frame,
        party,
        keys,
        reads,
    }))
}
