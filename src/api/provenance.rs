//! `ProvenanceService`: what a consumer may ask. Companies and cities, never employees.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::pages::{page_size, page_token};
use super::{errors, read};
use crate::core::apply::state::{Goods, Read, Units};
use crate::core::apply::{around_of, goods_of};
use crate::core::id::UnitId;
use crate::core::record::{Attributes, Body, GoodsId, Record};
use crate::core::standing::{self, Standing};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::provenance_service_server::ProvenanceService;
use crate::node::Node;
use crate::store::{StoreError, View};

/// Most steps of one page.
const MAX_PAGE: usize = 1000;
/// Steps of a page when the caller doesn't say.
const DEFAULT_PAGE: usize = 200;
/// Steps of a timeline that is read at once, on the thread that serves the call: it takes less than
/// waking another one. Only longer ones go there.
const SHORT_TIMELINE: usize = 64;
/// Most steps of a timeline that are looked through.
const MAX_TIMELINE: usize = 100_000;

pub(super) struct Provenance {
    node: Arc<Node>,
}

impl Provenance {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

pub(super) fn standing_of(view: &View<'_>, unit: UnitId) -> Result<wire::Standing, Status> {
    standing::standing(view, unit)
        .map(to_wire)
        .map_err(errors::store)
}

pub(super) fn to_wire(standing: Standing) -> wire::Standing {
    wire::Standing {
        unit: standing.unit.to_string(),
        word: standing.word.into(),
        reasons: standing
            .reasons
            .into_iter()
            .map(|reason| wire::Reason {
                text: reason.text,
                kind: reason.kind.map_or(0, |kind| i32::from(kind.number())),
                log_indexes: reason.entries.iter().map(|index| index.0).collect(),
            })
            .collect(),
    }
}

#[tonic::async_trait]
impl ProvenanceService for Provenance {
    async fn get_provenance(
        &self,
        request: Request<wire::GetProvenanceRequest>,
    ) -> Result<Response<wire::GetProvenanceResponse>, Status> {
        let from_where = request.remote_addr();
        let request = request.into_inner();
        let unit = UnitId::parse_any(&request.unit).map_err(errors::bad_id("unit"))?;
        let page = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let from = page_token(&request.page_token)?;
        let mut answer = provenance(&self.node, unit, page, from, SHORT_TIMELINE);
        if matches!(&answer, Err(status) if status.code() == tonic::Code::ResourceExhausted) {
            let whole = move |node: &Node| provenance(node, unit, page, from, MAX_TIMELINE);
            answer = super::off_thread(&self.node, whole).await;
        }
        let answer = answer?;
        // What nobody made is no label that was copied; and one look-up has many pages.
        if let Some(address) = from_where.filter(|_| from == 0 && !answer.steps.is_empty()) {
            self.node.looked_up(unit, address.ip());
        }
        Ok(Response::new(answer))
    }

    async fn batch_get_standings(
        &self,
        request: Request<wire::BatchGetStandingsRequest>,
    ) -> Result<Response<wire::BatchGetStandingsResponse>, Status> {
        let units = read::units(&request.into_inner().units)?;
        let view = self.node.store().view();
        prefetch(&view, &units).map_err(errors::store)?;
        let standings: Result<_, Status> = units
            .into_iter()
            .map(|unit| standing_of(&view, unit))
            .collect();
        let standings = standings?;
        Ok(Response::new(wire::BatchGetStandingsResponse { standings }))
    }

    async fn get_bundle(
        &self,
        request: Request<wire::GetBundleRequest>,
    ) -> Result<Response<wire::GetBundleResponse>, Status> {
        let unit = UnitId::parse_any(&request.into_inner().unit).map_err(errors::bad_id("unit"))?;
        let bundle = super::off_thread(&self.node, move |node| read::bundle(node, unit)).await?;
        Ok(Response::new(wire::GetBundleResponse {
            bundle: Some(bundle),
        }))
    }

    type WatchUnitStream =
        Pin<Box<dyn Stream<Item = Result<wire::WatchUnitResponse, Status>> + Send>>;

    async fn watch_unit(
        &self,
        request: Request<wire::WatchUnitRequest>,
    ) -> Result<Response<Self::WatchUnitStream>, Status> {
        let unit = UnitId::parse_any(&request.into_inner().unit).map_err(errors::bad_id("unit"))?;
        let (out, answers) = mpsc::channel(16);
        let place = super::stream_place(&self.node)?;
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            watch(node, unit, out).await;
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Reads at once what the standings of some units depend on, but for what is around them.
fn prefetch(view: &View<'_>, units: &[UnitId]) -> Result<(), StoreError> {
    view.prefetch::<Units>(units)?;
    let mut goods = BTreeSet::new();
    for id in units {
        let unit = view.get::<Units>(id)?;
        goods.extend(unit.iter().flat_map(|unit| goods_of(id, unit)));
    }
    let goods: Vec<GoodsId> = goods.into_iter().collect();
    view.prefetch::<Goods>(&goods)
}

/// One page of a unit's way, and where it stands; of at most `limit` steps in all.
fn provenance(
    node: &Node,
    unit: UnitId,
    page: usize,
    from: u64,
    limit: usize,
) -> Result<wire::GetProvenanceResponse, Status> {
    let view = node.store().view();
    let rows = read::timeline(&view, unit, limit)?;
    let mut steps = Vec::new();
    let mut next_page_token = String::new();
    for row in rows.into_iter().filter(|row| row.index.0 >= from) {
        if steps.len() == page {
            next_page_token = row.index.0.to_string();
            break;
        }
        steps.push(step(&view, unit, &row)?);
    }
    let state = view
        .get::<Units>(&unit)
        .map_err(errors::store)?
        .unwrap_or_default();
    let around = around_of(&view, &state).map_err(errors::store)?;
    let holder = around
        .last()
        .map_or(state.holder, |(_, outer)| outer.holder);
    let name = |party: Option<crate::core::id::PartyId>| match party {
        Some(party) => read::party_name(&view, party),
        None => Ok(String::new()),
    };
    let text = |party: Option<crate::core::id::PartyId>| {
        party.map(|party| party.to_string()).unwrap_or_default()
    };
    Ok(wire::GetProvenanceResponse {
        standing: Some(standing_of(&view, unit)?),
        steps,
        next_page_token,
        holder: text(holder),
        holder_name: name(holder)?,
        maker: text(state.maker),
        maker_name: name(state.maker)?,
        attributes: Some(attributes(&state.attributes)),
        log_size: view.head().map_err(errors::store)?.size,
    })
}

/// Sends the standing now, and again whenever it changes or the unit was touched.
async fn watch(
    node: Arc<Node>,
    unit: UnitId,
    out: mpsc::Sender<Result<wire::WatchUnitResponse, Status>>,
) {
    let mut head = node.head();
    let mut last = None;
    loop {
        let log_size = head.borrow_and_update().size;
        let now = standing_and_touch(&node, unit);
        let answer = match now {
            Ok((standing, touched)) if last.as_ref() != Some(&(standing.clone(), touched)) => {
                last = Some((standing.clone(), touched));
                Some(Ok(wire::WatchUnitResponse {
                    standing: Some(standing),
                    log_size,
                }))
            }
            Ok(_) => None,
            Err(status) => Some(Err(status)),
        };
        if let Some(answer) = answer {
            let failed = answer.is_err();
            if out.send(answer).await.is_err() || failed {
                return;
            }
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return },
            () = out.closed() => return,
        }
    }
}

fn standing_and_touch(
    node: &Node,
    unit: UnitId,
) -> Result<(wire::Standing, (LogIndex, usize)), Status> {
    let view = node.store().view();
    let state = view
        .get::<Units>(&unit)
        .map_err(errors::store)?
        .unwrap_or_default();
    let around = around_of(&view, &state).map_err(errors::store)?;
    let touched = around
        .iter()
        .map(|(_, unit)| unit.last_index)
        .chain([state.last_index])
        .max();
    let touched = (touched.unwrap_or_default(), state.findings.len());
    Ok((standing_of(&view, unit)?, touched))
}

fn step(view: &View<'_>, unit: UnitId, row: &read::TimelineRow) -> Result<wire::Step, Status> {
    let entry = read::decode(row.index, &row.entry)?;
    let record = &entry.record;
    let party = row.row.signer.party();
    let party_name = party
        .map(|party| read::party_name(view, party))
        .transpose()?;
    let about = row.via.unwrap_or(unit);
    let id = entry.envelope.record_id();
    Ok(wire::Step {
        log_index: row.index.0,
        record_id: id.0.to_vec(),
        event_time_ms: record.event_time.0,
        time_ms: entry.time.0,
        kind: record.kind().name().to_owned(),
        party: party.map(|party| party.to_string()).unwrap_or_default(),
        summary: summary(view, record, party_name.as_deref().unwrap_or("the buyer"))?,
        party_name: party_name.unwrap_or_default(),
        city: record.place.city.clone(),
        region: record
            .place
            .region
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        via: row.via.map(|via| via.to_string()).unwrap_or_default(),
        beside: !row.row.joined && record.kind().is_custody(),
        findings: read::findings_at(record, &entry.verdict, about)
            .into_iter()
            .map(|kind| i32::from(kind.number()))
            .collect(),
    })
}

/// The step in one sentence.
fn summary(view: &View<'_>, record: &Record, who: &str) -> Result<String, Status> {
    let place = if record.place.city.is_empty() {
        String::new()
    } else {
        format!(" in {}", record.place.city)
    };
    let what = match &record.body {
        Body::Commission { .. } => "made it".to_owned(),
        Body::Inspect { passed: true } => "inspected it: passed".to_owned(),
        Body::Inspect { passed: false } => "inspected it: failed".to_owned(),
        Body::Pack { container } => format!("packed it into {}", container.id),
        Body::Unpack { container } => format!("took it out of {}", container.id),
        Body::Handover(handover) => {
            format!("offered it to {}", read::party_name(view, handover.to)?)
        }
        Body::Void => "withdrew the offer".to_owned(),
        Body::Accept { .. } => "took it over".to_owned(),
        Body::Refuse => "did not take it".to_owned(),
        Body::Scan { .. } => "scanned it".to_owned(),
        Body::Deliver { .. } => "delivered it to the buyer".to_owned(),
        Body::Confirm { .. } => "confirmed receipt".to_owned(),
        Body::Reject => "disputes receipt".to_owned(),
        Body::Return { .. } => "took it back from the buyer".to_owned(),
        Body::Transform { .. } => "made something else of it".to_owned(),
        Body::Hold(_) => "put it on hold".to_owned(),
        Body::Release(_) => "released it".to_owned(),
        Body::Recall(_) => "called it back".to_owned(),
        Body::Destroy => "destroyed it".to_owned(),
        Body::Correct { .. } => "corrected an earlier record".to_owned(),
        Body::DecideFinding { .. } => "decided a finding".to_owned(),
        Body::ReportEquivocation { .. } => "reported two contradicting records".to_owned(),
        other => other.kind().name().replace('_', " "),
    };
    Ok(format!("{who} {what}{place}."))
}

pub(super) fn attributes(attributes: &Attributes) -> wire::Attributes {
    wire::Attributes {
        lot: attributes
            .lot
            .map(|lot| lot.to_string())
            .unwrap_or_default(),
        expiry: attributes
            .expiry
            .map_or(0, crate::core::record::CalendarDate::number),
        markets: attributes.markets.iter().map(ToString::to_string).collect(),
        lot_size: attributes.lot_size.unwrap_or(0),
        content: attributes.content.as_ref().map(|content| wire::Quantity {
            milli: content.milli,
            unit_of_measure: content.unit_of_measure.clone(),
        }),
    }
}
