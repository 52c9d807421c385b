//! `ExportService`: what is shared with public-credit platforms, batch by batch.
//!
//! Two lists in the order of time are merged: what entries shared, and what ran out by itself. Both
//! are read from a cursor on, so a batch costs what it holds.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::listing::Sight;
use super::pages::{MAX_LOOKED_AT, page_size};
use super::{errors, read, token};
use crate::core::apply::state::{
    CreditRecords, Listings, Measures, Read, ShareEnds, Shares, Table as _, Tallies,
};
use crate::core::credit::calendar::{month_begins, month_of};
use crate::core::credit::export::{Batch, Cursor, FORMAT, Item, ItemKind, Manifest};
use crate::core::credit::measure::Measure;
use crate::core::credit::share::{Shared, Subject};
use crate::core::credit::{Ending, Listing, Phase};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::export_service_server::ExportService;
use crate::node::Node;
use crate::store::StoreError;

/// Most items of a batch.
const MAX_ITEMS: usize = 1_000;

pub(super) struct Export {
    node: Arc<Node>,
}

impl Export {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl ExportService for Export {
    async fn export_since(
        &self,
        request: Request<wire::ExportSinceRequest>,
    ) -> Result<Response<wire::ExportSinceResponse>, Status> {
        let roles = [Role::Platform, Role::Bank, Role::Regulator];
        let caller = token::check(request.metadata(), &self.node, &roles)?;
        let request = request.into_inner();
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            export(node, &sight, &request)
        });
        answer.await.map(Response::new)
    }
}

fn export(
    node: &Node,
    sight: &Sight<'_>,
    request: &wire::ExportSinceRequest,
) -> Result<wire::ExportSinceResponse, Status> {
    let from: Cursor = match request.cursor.as_str() {
        "" => Cursor::default(),
        text => text
            .parse()
            .map_err(|error: crate::core::credit::export::NoCursor| {
                errors::invalid("cursor", error.to_string())
            })?,
    };
    let size = page_size(request.page_size, MAX_ITEMS, MAX_ITEMS)?;
    let form = match request.format() {
        wire::ExportFormat::Csv => "csv",
        _ => "json",
    };
    let mut feed = Feed::open(sight, from)?;
    let mut items = Vec::new();
    let (mut steps, mut ended) = (0, false);
    while !ended && items.len() < size && steps < MAX_LOOKED_AT {
        ended = !feed.step(&mut items)?;
        steps += 1;
    }
    let more = !ended && feed.has_more()?;
    let next = feed.cursor;
    let batch = match form {
        "csv" => csv(&items)?,
        _ => json(node.origin(), (from, next), &items)?,
    };
    let manifest = Manifest::of(node.origin(), (from, next), items.len(), form, &batch);
    let note = node.sign(&manifest.to_text()).map_err(Status::internal)?;
    Ok(wire::ExportSinceResponse {
        batch,
        note,
        next_cursor: next.to_string(),
        more,
    })
}

/// What a receiver gets from a month on, until the visitor says stop.
pub(super) fn since_month(
    sight: &Sight<'_>,
    month: u32,
    mut visit: impl FnMut(Millis, Item) -> Result<bool, Status>,
) -> Result<(), Status> {
    let first = super::log::entry_since(sight.view.store(), month_begins(month))?;
    let size = sight.view.head().map_err(errors::store)?.size;
    let cursor = Cursor {
        next: first.map_or(size, |index| index.0),
        ended: None,
    };
    let mut feed = Feed::open(sight, cursor)?;
    let mut going = true;
    while going {
        let mut items = Vec::new();
        going = feed.step(&mut items)?;
        for item in items {
            let time: jiff::Timestamp = item.time.parse().unwrap_or_default();
            let time = Millis(u64::try_from(time.as_millisecond()).unwrap_or(0));
            // Terms that ran out before are told of from the beginning.
            if month_of(time) >= month {
                going &= visit(time, item)?;
            }
        }
    }
    Ok(())
}

fn json(origin: &str, (from, next): (Cursor, Cursor), items: &[Item]) -> Result<Vec<u8>, Status> {
    let batch = Batch {
        format: FORMAT,
        origin: origin.to_owned(),
        from: from.to_string(),
        next: next.to_string(),
        items: items.to_vec(),
    };
    serde_json::to_vec(&batch).map_err(|error| Status::internal(error.to_string()))
}

fn csv(items: &[Item]) -> Result<Vec<u8>, Status> {
    let internal = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for item in items {
        out.serialize(item).map_err(|error| internal(&error))?;
    }
    out.into_inner().map_err(|error| internal(&error))
}

/// The feed from a cursor on.
struct Feed<'a> {
    sight: &'a Sight<'a>,
    cursor: Cursor,
    /// What became public from this entry on, the receiver doesn't have yet.
    from: u64,
    /// Entries that there are, and the time of the last one.
    size: u64,
    time: Millis,
}

/// What one entry shared, and when.
type OfEntry = (LogIndex, Millis, Vec<Shared>);

impl<'a> Feed<'a> {
    fn open(sight: &'a Sight<'a>, cursor: Cursor) -> Result<Self, Status> {
        let size = sight.view.head().map_err(errors::store)?.size;
        if cursor.next > size {
            return Err(errors::invalid(
                "cursor",
                format!("the log has {size} entries: the cursor is of another one"),
            ));
        }
        let tally = sight.view.get::<Tallies>(&()).map_err(errors::store)?;
        Ok(Self {
            sight,
            cursor,
            from: cursor.next,
            size,
            time: tally.unwrap_or_default().last_time,
        })
    }

    /// Takes what comes next; false at the end.
    fn step(&mut self, items: &mut Vec<Item>) -> Result<bool, Status> {
        let entry = self.next_entry()?;
        let until = entry.as_ref().map_or(self.time, |(_, time, _)| *time);
        if let Some((at, subject)) = self.next_end(until)? {
            self.cursor.ended = Some((at, subject));
            items.extend(self.ran_out(at, subject)?);
            return Ok(true);
        }
        let Some((index, time, all)) = entry else {
            self.cursor.next = self.size;
            return Ok(false);
        };
        self.cursor.next = index.0 + 1;
        for shared in all {
            items.extend(self.shared(time, shared)?);
        }
        Ok(true)
    }

    fn has_more(&self) -> Result<bool, Status> {
        Ok(self.next_entry()?.is_some() || self.next_end(self.time)?.is_some())
    }

    /// The next entry that shares anything.
    fn next_entry(&self) -> Result<Option<OfEntry>, Status> {
        let from = Shares::key_bytes(&(LogIndex(self.cursor.next), 0));
        let mut found: Option<OfEntry> = None;
        let visit = |key: &[u8], (time, shared): (Millis, Shared)| {
            let index = key.get(..8).and_then(|bytes| bytes.try_into().ok());
            let index = LogIndex(index.map_or(0, u64::from_be_bytes));
            let (of, _, all) = found.get_or_insert((index, time, Vec::new()));
            if *of == index {
                all.push(shared);
            }
            *of == index
        };
        let scan = self.sight.view.scan_prefix::<Shares>(&[], &from, visit);
        scan.map_err(errors::store)?;
        Ok(found)
    }

    /// The next term that runs out, up to a time.
    fn next_end(&self, until: Millis) -> Result<Option<(Millis, Subject)>, Status> {
        let after = self.cursor.ended.map_or_else(Vec::new, |ended| {
            [&ShareEnds::key_bytes(&ended)[..], &[0]].concat()
        });
        let mut found = None;
        let visit = |key: &[u8], ()| {
            let (time, subject) = key.split_at_checked(8).unwrap_or_default();
            let time = time
                .try_into()
                .ok()
                .map(|time| Millis(u64::from_be_bytes(time)));
            found = time.zip(Subject::from_bytes(subject));
            false
        };
        let scan = self.sight.view.scan_prefix::<ShareEnds>(&[], &after, visit);
        scan.map_err(errors::store)?;
        Ok(found.filter(|(time, _)| *time <= until))
    }

    fn listing(&self, index: LogIndex) -> Result<Arc<Listing>, Status> {
        let row = self
            .sight
            .view
            .get::<Listings>(&index)
            .map_err(errors::store)?;
        row.ok_or_else(|| missing(index))
    }

    fn measure_row(&self, index: LogIndex) -> Result<Arc<Measure>, Status> {
        let row = self
            .sight
            .view
            .get::<Measures>(&index)
            .map_err(errors::store)?;
        row.ok_or_else(|| missing(index))
    }

    /// A term that ran out, unless an entry ended it before.
    fn ran_out(&self, at: Millis, subject: Subject) -> Result<Option<Item>, Status> {
        let before = |ended: Option<Millis>| ended.is_some_and(|ended| ended < at);
        let was_ended = match subject {
            Subject::Listing(index) => before(self.listing(index)?.ended.map(|(at, _)| at.time)),
            Subject::Measure(index) => {
                let row = self.measure_row(index)?;
                let listing = self.listing(row.listing)?;
                before(row.ended.map(|at| at.time)) || before(listing.ended.map(|(at, _)| at.time))
            }
        };
        if was_ended {
            return Ok(None);
        }
        self.retraction(at, subject, Ending::Expired)
    }

    fn shared(&self, time: Millis, shared: Shared) -> Result<Option<Item>, Status> {
        match shared {
            Shared::Retracted(subject, ending) => self.retraction(time, subject, ending),
            Shared::Record(index) => self.record(index).map(Some),
            Shared::Public(Subject::Listing(index)) => {
                let row = self.listing(index)?;
                let live = row.phase(self.time) == Phase::InForce;
                live.then(|| self.listed(time, index, &row)).transpose()
            }
            Shared::Public(Subject::Measure(index)) => self.measure(time, index),
        }
    }

    fn item(&self, of: ItemKind, number: LogIndex, time: Millis, subject: PartyId) -> Item {
        Item {
            item: of,
            number: number.0,
            of,
            time: time.exact(),
            subject: subject.to_string(),
            subject_name: String::new(),
            list: String::new(),
            severity: String::new(),
            what: String::new(),
            legal_basis: String::new(),
            document: String::new(),
            authority: String::new(),
            text: String::new(),
            listing: 0,
            rate_per_mille: 0,
            from: String::new(),
            until: String::new(),
        }
    }

    fn listed(&self, time: Millis, index: LogIndex, row: &Listing) -> Result<Item, Status> {
        let decided = row.decided.as_ref();
        let term = row.term.map(|term| (term.from.exact(), term.until.exact()));
        let (from, until) = term.unwrap_or_default();
        Ok(Item {
            subject_name: read::party_name(&self.sight.view, row.subject)?,
            list: word(row.list),
            severity: row.severity.map_or_else(String::new, word),
            legal_basis: decided.map_or(&row.legal_basis, |d| &d.legal_basis).clone(),
            document: decided.map_or(&row.document, |d| &d.document).clone(),
            authority: row.authority.to_string(),
            text: row.reason.clone(),
            from,
            until,
            ..self.item(ItemKind::Listing, index, time, row.subject)
        })
    }

    fn record(&self, index: LogIndex) -> Result<Item, Status> {
        let row = self.sight.view.get::<CreditRecords>(&index);
        let row = row.map_err(errors::store)?.ok_or_else(|| missing(index))?;
        Ok(Item {
            subject_name: read::party_name(&self.sight.view, row.subject)?,
            severity: row.severity.map_or_else(String::new, word),
            what: word(row.kind),
            legal_basis: row.legal_basis.clone(),
            document: row.document.clone(),
            authority: row.authority.to_string(),
            text: row.text.clone(),
            ..self.item(ItemKind::Record, index, row.added.time, row.subject)
        })
    }

    /// A measure, unless it is over by now.
    fn measure(&self, time: Millis, index: LogIndex) -> Result<Option<Item>, Status> {
        let row = self.measure_row(index)?;
        let listing = self.listing(row.listing)?;
        let Some((from, until)) = row.term(&listing).filter(|(_, end)| self.time < *end) else {
            return Ok(None);
        };
        Ok(Some(Item {
            subject_name: read::party_name(&self.sight.view, row.subject)?,
            list: word(listing.list),
            what: word(row.kind),
            legal_basis: row.legal_basis.clone(),
            document: row.document.clone(),
            authority: row.authority.to_string(),
            listing: row.listing.0,
            rate_per_mille: row.rate_per_mille,
            from: from.exact(),
            until: until.exact(),
            ..self.item(ItemKind::Measure, index, time, row.subject)
        }))
    }

    /// That something is taken back, if the receiver may have it: what became public since the cursor is
    /// not told at all.
    fn retraction(
        &self,
        time: Millis,
        subject: Subject,
        ending: Ending,
    ) -> Result<Option<Item>, Status> {
        let (of, index, party, public) = match subject {
            Subject::Listing(index) => {
                let row = self.listing(index)?;
                (ItemKind::Listing, index, row.subject, row.published)
            }
            Subject::Measure(index) => {
                let row = self.measure_row(index)?;
                let published = self.listing(row.listing)?.published;
                let public =
                    published.map(|at| std::cmp::max_by_key(at, row.attached, |at| at.index));
                (ItemKind::Measure, index, row.subject, public)
            }
        };
        let known = public.is_some_and(|at| at.index.0 < self.from);
        Ok(known.then(|| Item {
            item: ItemKind::Retraction,
            what: word(ending),
            // Who has the item knows whose it was; nobody else is told.
            subject: String::new(),
            ..self.item(of, index, time, party)
        }))
    }
}

fn missing(index: LogIndex) -> Status {
    errors::store(StoreError::no_row(index))
}

/// The word of the proto: UPPER_SNAKE_CASE.
fn word(value: impl std::fmt::Debug) -> String {
    let camel = format!("{value:?}");
    let mut word = String::new();
    for (i, letter) in camel.char_indices() {
        if i > 0 && letter.is_ascii_uppercase() {
            word.push('_');
        }
        word.push(letter.to_ascii_uppercase());
    }
    word
}
