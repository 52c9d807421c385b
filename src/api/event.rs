//! `EventService`: custody records as events of EPCIS, asked for by the standard's query.
//!
//! ```text
//!  query ─► candidates: the histories of units, an event's id, a party's entries, or the log ─► selects? ─► page
//! ```
//!
//! Whatever the query, a page looks at so many candidates at most, and says where to go on.

mod candidates;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::pages::{MAX_PAGE, page_size};
use super::{MAX_PAGE_BYTES, errors, read, token};
use crate::core::apply::state::{Keys, Read};
use crate::core::envelope::{Envelope, RecordId};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::event_service_server::EventService;
use crate::epcis::{self, ExportedEvent, OrderBy, Query, QueryError};
use crate::node::Node;
use crate::signals;
use crate::store::{View, entry_frame};
use candidates::Candidates;

/// Events of a page when the caller doesn't say: the standard's default.
const DEFAULT_PAGE: usize = 30;
/// Candidates that are looked at for one page.
const MAX_LOOKED_AT: usize = 5_000;
/// Candidates of a query whose answer depends on all of them: one in another order, or one with `maxEventCount`.
const MAX_WHOLE: usize = 50_000;
/// Events that are put into another order.
const MAX_SORTED: usize = 10_000;
/// Who follows is so near the end of the log that its last entries are looked at one by one.
const NEAR: u64 = 4_096;
/// What is captured within so long comes to those who watch at once.
const TOGETHER: Duration = Duration::from_millis(50);

pub(super) struct Events {
    node: Arc<Node>,
}

impl Events {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl EventService for Events {
    async fn query_events(
        &self,
        request: Request<wire::QueryEventsRequest>,
    ) -> Result<Response<wire::QueryEventsResponse>, Status> {
        let sight = Sight::of(request.metadata(), &self.node)?;
        let request = request.into_inner();
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let query = query(request.parameters, &request.namespaces)?;
        let answer = super::off_thread(&self.node, move |node| {
            let view = node.store().view();
            let search = Search::new(&view, query, sight)?;
            search.page(&request.page_token, size)
        });
        answer.await.map(Response::new)
    }

    type WatchEventsStream =
        Pin<Box<dyn Stream<Item = Result<wire::WatchEventsResponse, Status>> + Send>>;

    async fn watch_events(
        &self,
        request: Request<wire::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Sight::of(request.metadata(), &self.node)?;
        let metadata = request.metadata().clone();
        let request = request.into_inner();
        for parameter in &request.parameters {
            if matches!(
                parameter.name.as_str(),
                "orderBy" | "orderDirection" | "eventCountLimit" | "maxEventCount"
            ) {
                // EPCIS 2.0 section 8.2.7.1.
                let name = parameter.name.clone();
                let reason = "can't stand in a query that goes on".to_owned();
                return Err(query_status(&QueryError::Parameter { name, reason }));
            }
        }
        let query = query(request.parameters, &request.namespaces)?;
        let next = match (request.cursor.as_str(), request.since_ms) {
            ("", 0) => self.node.head().borrow().size,
            ("", since) => {
                let first = super::log::first_entry_since(&self.node, Millis(since)).await?;
                first.map_or_else(|| self.node.head().borrow().size, |index| index.0)
            }
            (cursor, _) => cursor
                .parse()
                .map_err(|_| errors::invalid("cursor", "use that of the last message, or none"))?,
        };
        let (out, answers) = mpsc::channel(64);
        let place = super::granted(self.node.stream_place())?;
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            if let Err(status) = watch(&node, &metadata, query, next, &out).await {
                // Whoever is gone needs no reason.
                let _ = out.send(Err(status)).await;
            }
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Events from an entry on, then as they come, until the caller is gone. The token is checked again each time.
async fn watch(
    node: &Arc<Node>,
    metadata: &MetadataMap,
    query: Query,
    mut next: u64,
    out: &mpsc::Sender<Result<wire::WatchEventsResponse, Status>>,
) -> Result<(), Status> {
    let mut head = node.head();
    loop {
        head.borrow_and_update();
        let sight = Sight::of(metadata, node)?;
        let query = query.clone();
        let (events, after, all) = super::off_thread(node, move |node| {
            let view = node.store().view();
            let size = view.head().map_err(errors::store)?.size;
            let search = if size.saturating_sub(next) <= NEAR {
                Search {
                    candidates: Candidates::onward(&view, next)?,
                    view: &view,
                    query,
                    sight,
                }
            } else {
                Search::new(&view, query, sight)?
            };
            search.onward(next)
        })
        .await?;
        for event in events {
            let cursor = (event.log_index + 1).to_string();
            let response = wire::WatchEventsResponse {
                event: Some(event),
                cursor,
            };
            if out.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
        if after > next {
            next = after;
            let response = wire::WatchEventsResponse {
                event: None,
                cursor: next.to_string(),
            };
            if out.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
        if all {
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                () = out.closed() => return Ok(()),
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

/// What a caller may see, unless it names units.
#[derive(Clone, Copy, Debug)]
enum Sight {
    All,
    Own(PartyId),
}

impl Sight {
    fn of(metadata: &MetadataMap, node: &Node) -> Result<Self, Status> {
        let caller = token::authenticated(metadata, node)?;
        Ok(if caller.is(Role::Regulator) || caller.is(Role::Auditor) {
            Self::All
        } else {
            Self::Own(caller.party)
        })
    }

    fn covers(self, signer: Option<PartyId>) -> bool {
        match self {
            Self::All => true,
            Self::Own(party) => signer == Some(party),
        }
    }
}

fn query(
    parameters: Vec<wire::QueryParameter>,
    namespaces: &[wire::Namespace],
) -> Result<Query, Status> {
    let parameters: Vec<(String, Vec<String>)> = parameters
        .into_iter()
        .map(|parameter| (parameter.name, parameter.values))
        .collect();
    let namespaces: BTreeMap<String, String> = namespaces
        .iter()
        .map(|namespace| (namespace.prefix.clone(), namespace.uri.clone()))
        .collect();
    Query::new(&parameters, &namespaces).map_err(|error| query_status(&error))
}

fn query_status(error: &QueryError) -> Status {
    let (code, reason, field) = match error {
        QueryError::Parameter { name, .. } => {
            (Code::InvalidArgument, "QUERY_PARAMETER", name.as_str())
        }
        QueryError::Unsupported { name, .. } => {
            (Code::Unimplemented, "QUERY_UNSUPPORTED", name.as_str())
        }
        QueryError::TooComplex(_) => (Code::InvalidArgument, "QUERY_TOO_COMPLEX", ""),
    };
    errors::of_reason(code, reason, field, &error.to_string())
}

fn too_complex(what: impl Into<String>) -> Status {
    query_status(&QueryError::TooComplex(what.into()))
}

/// A query on the ledger as of one moment.
struct Search<'a> {
    view: &'a View<'a>,
    query: Query,
    sight: Sight,
    candidates: Candidates,
}

/// How a page went.
struct Went {
    events: Vec<wire::CapturedEvent>,
    /// The place after the last candidate that was looked at.
    place: u64,
    /// There are no more candidates.
    all: bool,
}

impl<'a> Search<'a> {
    fn new(view: &'a View<'a>, query: Query, sight: Sight) -> Result<Self, Status> {
        let candidates = Candidates::new(view, &query, sight)?;
        Ok(Self {
            view,
            query,
            sight,
            candidates,
        })
    }

    /// A page. Its token: where to go on, and how many events `eventCountLimit` still allows.
    fn page(&self, page_token: &str, size: usize) -> Result<wire::QueryEventsResponse, Status> {
        let wrong = || errors::invalid("page_token", "use the token of the page before");
        let (mut place, mut left) = (self.candidates.begin(self.query.descending), None);
        if !page_token.is_empty() {
            let (at, rest) = page_token.split_once('.').ok_or_else(wrong)?;
            place = at.parse().map_err(|_| wrong())?;
            left = match rest {
                "" => None,
                rest => Some(rest.parse::<u64>().map_err(|_| wrong())?),
            };
        } else if let Some(most) = self.query.most {
            self.check_count(most)?;
        }
        let left = left.or(self.query.limit);
        let most = left.map_or(size, |left| {
            size.min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        let went = match self.query.order_by {
            OrderBy::RecordTime => self.look(place, most, self.query.descending, MAX_LOOKED_AT)?,
            OrderBy::EventTime => {
                let from = if page_token.is_empty() { 0 } else { place };
                self.sorted(from, most)?
            }
        };
        let left = left.map(|left| left - went.events.len() as u64);
        let next_page_token = if went.all || left == Some(0) {
            String::new()
        } else {
            let left = left.map(|left| left.to_string()).unwrap_or_default();
            format!("{}.{left}", went.place)
        };
        Ok(wire::QueryEventsResponse {
            events: went.events,
            next_page_token,
        })
    }

    /// What was captured from an entry on, as far as one page goes.
    fn onward(&self, next: u64) -> Result<(Vec<wire::CapturedEvent>, u64, bool), Status> {
        let went = self.look(next, MAX_PAGE, false, MAX_LOOKED_AT)?;
        let place = if went.all {
            self.candidates.end().max(next)
        } else {
            went.place
        };
        Ok((went.events, place, went.all))
    }

    /// Events in the order of the log, from a place on.
    fn look(
        &self,
        mut place: u64,
        most: usize,
        back: bool,
        candidates: usize,
    ) -> Result<Went, Status> {
        let (mut events, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
        loop {
            let batch = self.candidates.batch(self.view, place, back)?;
            if batch.is_empty() {
                let all = true;
                return Ok(Went { events, place, all });
            }
            for index in batch {
                if looked_at == candidates || events.len() >= most || bytes >= MAX_PAGE_BYTES {
                    let all = false;
                    return Ok(Went { events, place, all });
                }
                looked_at += 1;
                place = if back { index.0 } else { index.0 + 1 };
                if let Some((found, _)) = self.selected(index)? {
                    bytes += found.record.len();
                    events.push(found);
                }
            }
        }
    }

    /// Events in the order in which they happened, from the n-th on.
    fn sorted(&self, from: u64, most: usize) -> Result<Went, Status> {
        let mut found = Vec::new();
        self.each(|index, event| {
            found.push((event.event_time().unwrap_or(i64::MIN), index));
            if found.len() > MAX_SORTED {
                return Err(too_complex(format!(
                    "more than {MAX_SORTED} events would have to be put into another order; narrow the times"
                )));
            }
            Ok(())
        })?;
        found.sort_unstable();
        if self.query.descending {
            found.reverse();
        }
        let skipped = usize::try_from(from).unwrap_or(usize::MAX);
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut rest = found.into_iter().skip(skipped);
        for (_, index) in rest.by_ref() {
            if let Some((event, _)) = self.selected(index)? {
                bytes += event.record.len();
                events.push(event);
            }
            if events.len() >= most || bytes >= MAX_PAGE_BYTES {
                break;
            }
        }
        let place = from + events.len() as u64;
        let all = rest.next().is_none();
        Ok(Went { events, place, all })
    }

    fn check_count(&self, most: u64) -> Result<(), Status> {
        let mut count = 0;
        self.each(|_, _| {
            count += 1;
            if count > most {
                // EPCIS 2.0 section 8.2.7.1: QueryTooLargeException.
                let message = format!("more than {most} events are selected");
                let field = "maxEventCount";
                let code = Code::OutOfRange;
                return Err(errors::of_reason(code, "QUERY_TOO_LARGE", field, &message));
            }
            Ok(())
        })
    }

    /// Every event that is selected, in the order of the log.
    fn each(
        &self,
        mut visit: impl FnMut(LogIndex, &ExportedEvent) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let (mut place, mut looked_at) = (self.candidates.begin(false), 0);
        loop {
            let batch = self.candidates.batch(self.view, place, false)?;
            if batch.is_empty() {
                return Ok(());
            }
            looked_at += batch.len();
            if looked_at > MAX_WHOLE {
                return Err(too_complex(format!(
                    "more than {MAX_WHOLE} records would have to be looked at before the first event is \
                     answered; narrow the times, or name units"
                )));
            }
            for index in batch {
                place = index.0 + 1;
                if let Some((_, event)) = self.selected(index)? {
                    visit(index, &event)?;
                }
            }
        }
    }

    /// The event of an entry, if it is one, may be seen, is selected, and is no duplicate.
    fn selected(
        &self,
        index: LogIndex,
    ) -> Result<Option<(wire::CapturedEvent, ExportedEvent)>, Status> {
        let bytes = read::entry(self.view.store(), index)?;
        let frame = entry_frame(index, bytes).map_err(errors::store)?;
        let envelope = frame.envelope.unwrap_or_default();
        let Ok(envelope) = Envelope::from_wire(&envelope) else {
            return Ok(None);
        };
        let key = self.view.get::<Keys>(&envelope.key_id);
        let signer = key
            .map_err(errors::store)?
            .and_then(|key| key.owner.party());
        // Everybody may see every event of a unit, as on its page; what is selected names one of them.
        if self.query.units.is_empty() && !self.sight.covers(signer) {
            return Ok(None);
        }
        let Ok(record) = wire::Record::decode(envelope.payload.clone()) else {
            return Ok(None);
        };
        // What is about no goods, or contradicts itself, is no event.
        let Ok(event) = epcis::event(&record, epcis::RESOLVER) else {
            return Ok(None);
        };
        let record_id = envelope.record_id();
        let named = event.event_id().map(str::to_owned);
        let event = event.captured(&record_id, Millis(frame.time_ms));
        if !self.query.selects(&event) || self.is_duplicate(index, signer, named, &event)? {
            return Ok(None);
        }
        let found = captured(index, frame.time_ms, record_id, signer, envelope);
        Ok(Some((found, event)))
    }

    /// EPCIS 2.0 section 7.4.1: two events with one id are one, unless one of them takes the other back.
    fn is_duplicate(
        &self,
        index: LogIndex,
        signer: Option<PartyId>,
        event_id: Option<String>,
        event: &ExportedEvent,
    ) -> Result<bool, Status> {
        let (Some(party), Some(event_id)) = (signer, event_id) else {
            return Ok(false);
        };
        let mut earlier = false;
        let found = signals::captured_as(self.view, &event_id, Some(&party), |other, row| {
            if row.is_error_declaration == event.is_error_declaration() {
                earlier = other < index;
                return false;
            }
            true
        });
        found.map_err(errors::store)?;
        Ok(earlier)
    }
}

fn captured(
    index: LogIndex,
    time_ms: u64,
    record_id: RecordId,
    signer: Option<PartyId>,
    envelope: Envelope,
) -> wire::CapturedEvent {
    wire::CapturedEvent {
        log_index: index.0,
        time_ms,
        record_id: record_id.0.to_vec(),
        party: signer.map(|party| party.to_string()).unwrap_or_default(),
        record: envelope.payload,
    }
}
