//! Entries of the log: the list, and one of them with its proof.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::{Desk, Frame, framed};
use crate::client::draft;
use crate::core::apply::ranges_cover;
use crate::core::bundle::{DecodedEntry, decode_entry};
use crate::core::tlog::proof::verify_inclusion;
use crate::core::tlog::{Hash, LogIndex, TreeSize, leaf_hash};
use crate::core::wire;
use crate::core::wire::get_inclusion_proof_request::Leaf;
use crate::core::words::Named as _;
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Entries of one page.
const PAGE: u32 = 50;
/// Units of an entry that are named.
const SHOWN_UNITS: usize = 32;

/// An entry in a line.
pub(super) struct Summary {
    pub index: u64,
    pub time_ms: u64,
    /// Name of the record's kind.
    pub kind: &'static str,
    pub party: String,
    pub name: String,
    pub city: String,
    pub units: Vec<String>,
    pub findings: Vec<&'static str>,
}

/// Entries from an index on, with their bytes, and the index of the next page.
async fn read(
    desk: &Desk,
    first: u64,
    count: u32,
) -> Result<(Vec<(wire::IndexedEntry, DecodedEntry)>, u64), Problem> {
    let request = wire::ListEntriesRequest {
        first,
        page_size: count,
    };
    let answer = desk
        .ledger
        .regulator()
        .list_entries(request)
        .await?
        .into_inner();
    let decode = |entry: wire::IndexedEntry| {
        let decoded = decode_entry(&entry.entry);
        let decoded = decoded.map_err(|error| Problem::internal(&error))?;
        Ok((entry, decoded))
    };
    let entries = answer.entries.into_iter().map(decode);
    Ok((entries.collect::<Result<_, Problem>>()?, answer.next))
}

async fn summary(desk: &Desk, index: u64, entry: &DecodedEntry) -> Result<Summary, Problem> {
    let lang = desk.site.lang;
    let record = &entry.record;
    let party = desk.owner(record.key_id).await?;
    let units = record.units.iter().take(3);
    Ok(Summary {
        index,
        time_ms: entry.time.0,
        kind: record.kind().named(lang),
        name: desk.name(&party)?,
        party,
        city: record.place.city.to_string(),
        units: units.map(|unit| unit.id.to_string()).collect(),
        findings: entry
            .verdict
            .findings
            .iter()
            .map(|finding| finding.kind().named(lang))
            .collect(),
    })
}

/// Entries in a line each.
pub(super) async fn summaries(desk: &Desk, indexes: &[u64]) -> Result<Vec<Summary>, Problem> {
    let mut lines = Vec::with_capacity(indexes.len());
    for index in indexes {
        for (entry, decoded) in read(desk, *index, 1).await?.0 {
            lines.push(summary(desk, entry.index, &decoded).await?);
        }
    }
    Ok(lines)
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    from: Option<u64>,
}

#[derive(Template)]
#[template(path = "desk/entries.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    entries: Vec<Summary>,
    size: u64,
    earlier: Option<u64>,
    later: Option<u64>,
}

framed!(ListPage, OnePage);

/// Entries from an index on; without one, the last ones.
pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let size = desk.web.node.head().borrow().size;
    let from = asked.from.unwrap_or(size.saturating_sub(PAGE.into()));
    let (found, next) = read(&desk, from, PAGE).await?;
    let mut entries = Vec::with_capacity(found.len());
    for (entry, decoded) in &found {
        entries.push(summary(&desk, entry.index, decoded).await?);
    }
    Ok(shown(&ListPage {
        site: desk.site,
        desk: desk.frame,
        entries,
        size,
        earlier: (from > 0).then(|| from.saturating_sub(PAGE.into())),
        later: (next > 0).then_some(next),
    }))
}

#[derive(Template)]
#[template(path = "desk/entry.html")]
struct OnePage {
    site: Site,
    desk: Frame,
    line: Summary,
    record_id: String,
    key_id: String,
    units: Vec<String>,
    unit_count: usize,
    record: String,
    verdict: Vec<(&'static str, String, Vec<u64>)>,
    beside: bool,
    /// The proof, as it was just computed again from the entry's own bytes.
    size: u64,
    leaf: String,
    proof: Vec<String>,
    root: String,
    proven: bool,
    previous: Option<u64>,
    following: Option<u64>,
}

pub(super) async fn one(desk: Desk, Path(index): Path<u64>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let head = *desk.web.node.head().borrow();
    let found = read(&desk, index, 1).await?.0.pop();
    let (entry, decoded) = found.ok_or_else(|| {
        Problem::not_found(lang.pick(
            format!("日志只有 {} 条。", head.size),
            format!("The log has {} entries.", head.size),
        ))
    })?;
    let request = wire::GetInclusionProofRequest {
        leaf: Some(Leaf::Index(index)),
        size: head.size,
    };
    let proof = desk
        .ledger
        .log()
        .get_inclusion_proof(request)
        .await?
        .into_inner()
        .proof;
    let proof: Result<Vec<Hash>, _> = proof
        .iter()
        .map(|hash| Hash::try_from(hash.as_slice()))
        .collect();
    let proof = proof.map_err(|error| Problem::internal(&error.to_string()))?;
    let leaf = leaf_hash(&entry.entry);
    let proven = verify_inclusion(
        LogIndex(index),
        TreeSize::new(head.size),
        &leaf,
        &proof,
        &head.root,
    );
    let message: Result<wire::Record, _> = prost::Message::decode(&*decoded.envelope.payload);
    let message = message.map_err(|error| Problem::internal(&error.to_string()))?;
    let json = draft::to_json("Record", &message)
        .map_err(|error| Problem::internal(&error.to_string()))?;
    let subjects = decoded.record.subjects();
    let named = |finding: &wire::Finding| {
        let at = (0..)
            .zip(&subjects)
            .filter(|(number, _)| ranges_cover(&finding.subjects, *number));
        let at: Vec<String> = at
            .map(|(_, unit)| unit.to_string())
            .take(SHOWN_UNITS)
            .collect();
        (
            finding.kind().named(lang),
            at.join(", "),
            finding.evidence.clone(),
        )
    };
    let line = summary(&desk, index, &decoded).await?;
    let units = decoded.record.units.iter().take(SHOWN_UNITS);
    Ok(shown(&OnePage {
        record_id: decoded.envelope.record_id().to_string(),
        key_id: decoded.record.key_id.to_string(),
        units: units.map(|unit| unit.id.to_string()).collect(),
        unit_count: decoded.record.units.len(),
        record: format!("{json:#}"),
        beside: !decoded.verdict.beside.is_empty(),
        verdict: decoded.verdict.findings.iter().map(named).collect(),
        size: head.size,
        leaf: leaf.to_string(),
        proof: proof.iter().map(ToString::to_string).collect(),
        root: head.root.to_string(),
        proven: proven.is_ok(),
        previous: index.checked_sub(1),
        following: Some(index + 1).filter(|next| *next < head.size),
        site: desk.site,
        desk: desk.frame,
        line,
    }))
}
