//! `RegulatorService`: findings, live and listed, verification and entries. Every call needs a
//! regulator's token.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::pages::{DEFAULT_PAGE, MAX_PAGE, page_size, page_token};
use super::provenance::to_wire;
use super::{MAX_PAGE_BYTES, errors, read, token};
use crate::core::apply::state::{Read, Tallies};
use crate::core::bundle::verify;
use crate::core::id::UnitId;
use crate::core::lang::Lang;
use crate::core::record::{CalendarDate, Region, Role};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::regulator_service_server::RegulatorService;
use crate::node::Node;
use crate::signals;

pub(super) struct Regulator {
    node: Arc<Node>,
}

impl Regulator {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl RegulatorService for Regulator {
    async fn list_findings(
        &self,
        request: Request<wire::ListFindingsRequest>,
    ) -> Result<Response<wire::ListFindingsResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let page = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let from = page_token(&request.page_token)?;
        let filter = Filter::new(request.filter)?;
        let view = self.node.store().view();
        let mut findings = Vec::new();
        let mut next_page_token = String::new();
        let take = |number, row| {
            let finding = read::finding(number, &row);
            if !filter.wants(&finding) {
                return true;
            }
            if findings.len() == page {
                next_page_token = number.to_string();
                return false;
            }
            findings.push(finding);
            true
        };
        match filter.unit {
            Some(unit) => read::findings_of(&view, unit, from, take)?,
            None => read::findings(&view, from, take)?,
        }
        Ok(Response::new(wire::ListFindingsResponse {
            findings,
            next_page_token,
        }))
    }

    type WatchFindingsStream =
        Pin<Box<dyn Stream<Item = Result<wire::WatchFindingsResponse, Status>> + Send>>;

    async fn watch_findings(
        &self,
        request: Request<wire::WatchFindingsRequest>,
    ) -> Result<Response<Self::WatchFindingsStream>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let metadata = request.metadata().clone();
        let request = request.into_inner();
        let filter = Filter::new(request.filter)?;
        let known = self
            .node
            .store()
            .get::<Tallies>(&())
            .map_err(errors::store)?;
        let next = match request.from_sequence {
            0 => known.map_or(0, |tally| tally.findings) + 1,
            from => from,
        };
        let (out, answers) = mpsc::channel(256);
        let place = super::granted(self.node.stream_place())?;
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            watch(node, metadata, filter, next, out).await;
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn verify_unit(
        &self,
        request: Request<wire::VerifyUnitRequest>,
    ) -> Result<Response<wire::VerifyUnitResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let unit = UnitId::parse_any(&request.into_inner().unit).map_err(errors::bad_id("unit"))?;
        let bundle = super::unit_bundle(&self.node, unit).await?;
        let bundle = prost::Message::encode_to_vec(&bundle);
        let key = self.node.log_key().parse();
        let key = key.map_err(|_| Status::internal("the log's own key doesn't parse"))?;
        let report = verify(&bundle, &[key]);
        Ok(Response::new(wire::VerifyUnitResponse {
            passed: report.passed(),
            standing: report.standing.map(|standing| to_wire(&standing, Lang::En)),
            checks: report
                .checks
                .into_iter()
                .map(|check| wire::Check {
                    name: check.name.to_owned(),
                    passed: check.passed,
                    detail: check.detail,
                })
                .collect(),
        }))
    }

    async fn list_entries(
        &self,
        request: Request<wire::ListEntriesRequest>,
    ) -> Result<Response<wire::ListEntriesResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let page = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let size = self.node.head().borrow().size;
        let entries = entries(&self.node, request.first, size, page).await?;
        let end = request.first + entries.len() as u64;
        let next = if end < size && !entries.is_empty() {
            end
        } else {
            0
        };
        Ok(Response::new(wire::ListEntriesResponse { entries, next }))
    }

    async fn stats(
        &self,
        request: Request<wire::StatsRequest>,
    ) -> Result<Response<wire::StatsResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let view = self.node.store().view();
        let tally = view.get::<Tallies>(&()).map_err(errors::store)?;
        let tally = tally.ok_or_else(|| errors::not_found("the ledger has no genesis record"))?;
        Ok(Response::new(wire::StatsResponse {
            log_size: view.head().map_err(errors::store)?.size,
            units: tally.units,
            parties: tally.parties,
            findings: tally.findings,
            findings_by_kind: tally
                .findings_by_kind()
                .map(|(kind, count)| wire::KindCount {
                    kind: i32::from(kind.number()),
                    count,
                })
                .collect(),
            last_time_ms: tally.last_time.0,
        }))
    }

    async fn get_activity(
        &self,
        request: Request<wire::GetActivityRequest>,
    ) -> Result<Response<wire::GetActivityResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let region = match request.region.as_str() {
            "" => None,
            region => {
                let region = Region::parse(region, "region");
                Some(region.map_err(|refusal| errors::status(&refusal))?)
            }
        };
        let today = crate::sequence::now().day_in_china();
        let until = day_from(request.until_day, today, "until_day")?;
        let from = day_from(
            request.from_day,
            until.saturating_sub(MONTH).into(),
            "from_day",
        )?;
        if from > until || until - from > MAX_DAYS {
            return Err(errors::invalid(
                "from_day",
                "at most 366 days, the last one not before it",
            ));
        }
        let answer = super::off_thread(&self.node, move |node| {
            activity(node, from..=until, region.as_ref())
        });
        answer.await.map(Response::new)
    }
}

/// Days that are told of where nobody says which.
const MONTH: u32 = 30;
/// Days from the first to the last.
const MAX_DAYS: u32 = 366;
/// Rows of one answer: some four hundred places each day of a year.
const MAX_ROWS: usize = 150_000;

/// A day as asked for, or the default.
fn day_from(number: u32, default: u64, field: &str) -> Result<u32, Status> {
    if number == 0 {
        return Ok(u32::try_from(default).unwrap_or(u32::MAX));
    }
    let date = CalendarDate::parse(number, field);
    Ok(date.map_err(|refusal| errors::status(&refusal))?.day())
}

fn activity(
    node: &Node,
    days: std::ops::RangeInclusive<u32>,
    region: Option<&Region>,
) -> Result<wire::GetActivityResponse, Status> {
    let view = node.store().view();
    let log_size = signals::seen(&view).map_err(errors::store)?;
    let (mut rows, mut too_many) = (Vec::new(), false);
    signals::activity(&view, days, |spot, found| {
        let there = |wanted: &Region| {
            Region::parse(&spot.region, "region").is_ok_and(|region| wanted.contains(&region))
        };
        if region.is_none_or(there) {
            too_many = rows.len() == MAX_ROWS;
            rows.push(wire::Activity {
                day: CalendarDate::of_day(spot.day).number(),
                region: spot.region,
                city: spot.city,
                records: found.records,
                look_closer: found.look_closer,
                do_not_sell: found.do_not_sell,
                signals: found.signals,
            });
        }
        !too_many
    })
    .map_err(errors::store)?;
    if too_many {
        return Err(Status::resource_exhausted(
            "ask for fewer days, or for one region",
        ));
    }
    Ok(wire::GetActivityResponse {
        activity: rows,
        log_size,
    })
}

/// Entries from an index on, below a size, at most so many and so many bytes.
pub(super) async fn entries(
    node: &Arc<Node>,
    first: u64,
    end: u64,
    most: usize,
) -> Result<Vec<wire::IndexedEntry>, Status> {
    if first >= end {
        return Ok(Vec::new());
    }
    super::off_thread(node, move |node| {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let visited = node.store().entries_once(LogIndex(first), |index, entry| {
            bytes += entry.len();
            if index.0 >= end || (bytes > MAX_PAGE_BYTES / 2 && !entries.is_empty()) {
                return false;
            }
            entries.push(wire::IndexedEntry {
                index: index.0,
                entry,
            });
            entries.len() < most
        });
        visited.map_err(errors::store)?;
        Ok(entries)
    })
    .await
}

/// Findings from a number on, then live. The token is checked again for each batch, so that a
/// revoked key sees nothing more; when it has expired, the stream ends and is resumed with a new
/// one.
async fn watch(
    node: Arc<Node>,
    metadata: tonic::metadata::MetadataMap,
    filter: Filter,
    mut next: u64,
    out: mpsc::Sender<Result<wire::WatchFindingsResponse, Status>>,
) {
    let mut head = node.head();
    loop {
        head.borrow_and_update();
        if let Err(status) = token::check(&metadata, &node, &[Role::Regulator]) {
            let _ = out.send(Err(status)).await;
            return;
        }
        loop {
            let mut batch = Vec::new();
            let read = {
                let view = node.store().view();
                read::findings(&view, next, |number, row| {
                    next = number + 1;
                    batch.push(read::finding(number, &row));
                    batch.len() < 256
                })
            };
            if let Err(status) = read {
                let _ = out.send(Err(status)).await;
                return;
            }
            let done = batch.len() < 256;
            for finding in batch.into_iter().filter(|finding| filter.wants(finding)) {
                let response = wire::WatchFindingsResponse {
                    finding: Some(finding),
                };
                if out.send(Ok(response)).await.is_err() {
                    return;
                }
            }
            if done {
                break;
            }
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return },
            () = out.closed() => return,
        }
    }
}

/// Which findings a caller wants.
struct Filter {
    filter: wire::FindingFilter,
    unit: Option<UnitId>,
}

impl Filter {
    fn new(filter: Option<wire::FindingFilter>) -> Result<Self, Status> {
        let mut filter = filter.unwrap_or_default();
        let mut unit = None;
        if !filter.unit.is_empty() {
            let id = UnitId::parse_any(&filter.unit).map_err(errors::bad_id("filter.unit"))?;
            filter.unit = id.to_string();
            unit = Some(id);
        }
        if filter.kinds.len() > 64 {
            return Err(errors::invalid("filter.kinds", "at most 64"));
        }
        Ok(Self { filter, unit })
    }

    fn wants(&self, finding: &wire::FindingRecord) -> bool {
        let filter = &self.filter;
        (filter.kinds.is_empty() || filter.kinds.contains(&finding.kind))
            && (filter.severity == 0 || filter.severity == finding.severity)
            && (filter.party.is_empty() || filter.party == finding.party)
            && (filter.unit.is_empty() || filter.unit == finding.unit)
            && finding.time_ms >= filter.from_ms
            && (filter.until_ms == 0 || finding.time_ms < filter.until_ms)
            && finding.region.starts_with(&filter.region)
            && (filter.city.is_empty() || filter.city == finding.city)
    }
}
