//! `AlertService`: early warning, listed and live. Every call needs a regulator's token.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::pages::{DEFAULT_PAGE, MAX_LOOKED_AT, MAX_PAGE, page_size};
use super::{errors, read, token};
use crate::core::apply::state::{AlertAnswers, FindingRow, Findings, Read, Tallies};
use crate::core::credit::{AlertId, AlertLevel, SignalKind};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{Millis, Region, Role};
use crate::core::rules::FindingKind;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::alert::About;
use crate::core::wire::alert_service_server::AlertService;
use crate::node::Node;
use crate::signals::{self, Event, Signal};
use crate::store::View;

/// Findings, and events, that are read at once.
const BATCH: usize = 256;

pub(super) struct AlertDesk {
    node: Arc<Node>,
}

impl AlertDesk {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl AlertService for AlertDesk {
    async fn list_alerts(
        &self,
        request: Request<wire::ListAlertsRequest>,
    ) -> Result<Response<wire::ListAlertsResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let filter = Filter::new(request.filter)?;
        let now = Place::now(&self.node)?;
        let from = match request.page_token.as_str() {
            "" if request.newest_first => now,
            "" => Place::FIRST,
            token => token
                .parse()
                .map_err(|()| errors::invalid("page_token", "use the token of the page before"))?,
        };
        let answer = super::off_thread(&self.node, move |node| {
            let mut answer = if request.newest_first {
                page_back(node, &filter, from, size)
            } else {
                page(node, &filter, from, size)
            }?;
            answer.cursor = now.to_string();
            Ok(answer)
        });
        answer.await.map(Response::new)
    }

    type WatchAlertsStream =
        Pin<Box<dyn Stream<Item = Result<wire::WatchAlertsResponse, Status>> + Send>>;

    async fn watch_alerts(
        &self,
        request: Request<wire::WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let metadata = request.metadata().clone();
        let request = request.into_inner();
        let filter = Arc::new(Filter::new(request.filter)?);
        let from = match request.cursor.as_str() {
            "" => Place::now(&self.node)?,
            "start" => Place::FIRST,
            cursor => cursor.parse().map_err(|()| {
                errors::invalid("cursor", "use that of the last message, `start`, or none")
            })?,
        };
        let (out, answers) = mpsc::channel(BATCH);
        let place = super::granted(self.node.stream_place())?;
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            if let Err(status) = watch(&node, &metadata, &filter, from, &out).await {
                // Whoever is gone needs no reason.
                let _ = out.send(Err(status)).await;
            }
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_alert(
        &self,
        request: Request<wire::GetAlertRequest>,
    ) -> Result<Response<wire::GetAlertResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let id = alert_id(request.get_ref().id.as_ref())?;
        let alert = alert(&self.node.store().view(), id)?;
        let alert = alert.ok_or_else(|| errors::not_found("there is no such alert"))?;
        Ok(Response::new(wire::GetAlertResponse { alert: Some(alert) }))
    }
}

/// Alerts that were raised, from a place on.
fn page(
    node: &Node,
    filter: &Filter,
    mut place: Place,
    size: usize,
) -> Result<wire::ListAlertsResponse, Status> {
    let view = node.store().view();
    let (mut alerts, mut looked_at) = (Vec::new(), 0);
    loop {
        let batch = Batch::read(&view, place)?;
        for (happened, after) in batch.happened {
            if alerts.len() == size || looked_at >= MAX_LOOKED_AT {
                return Ok(answer(alerts, place.to_string()));
            }
            looked_at += 1;
            place = after;
            if !happened.is_answer() {
                alerts.extend(happened.alert(&view)?.filter(|alert| filter.wants(alert)));
            }
        }
        if batch.last {
            return Ok(answer(alerts, String::new()));
        }
    }
}

fn answer(alerts: Vec<wire::Alert>, next_page_token: String) -> wire::ListAlertsResponse {
    wire::ListAlertsResponse {
        alerts,
        next_page_token,
        cursor: String::new(),
    }
}

/// Alerts that were raised before a place, the newest first.
fn page_back(
    node: &Node,
    filter: &Filter,
    mut place: Place,
    size: usize,
) -> Result<wire::ListAlertsResponse, Status> {
    let view = node.store().view();
    let mut alerts = Vec::new();
    let (mut finding, mut event) = (None, None);
    for _ in 0..MAX_LOOKED_AT {
        if alerts.len() == size {
            return Ok(answer(alerts, place.to_string()));
        }
        // Of each side the one before the place, if it was not read yet.
        if finding.is_none() {
            finding = finding_at(&view, place.finding.saturating_sub(1))?;
        }
        if event.is_none() {
            event = event_at(&view, place.event.saturating_sub(1))?;
        }
        let later = match (&finding, &event) {
            (Some(finding), Some(event)) => finding.time() > event.time(),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return Ok(answer(alerts, String::new())),
        };
        let happened = if later {
            place.finding -= 1;
            finding.take()
        } else {
            place.event -= 1;
            event.take()
        };
        if let Some(happened) = happened.filter(|happened| !happened.is_answer()) {
            alerts.extend(happened.alert(&view)?.filter(|alert| filter.wants(alert)));
        }
    }
    Ok(answer(alerts, place.to_string()))
}

fn finding_at(view: &View<'_>, number: u64) -> Result<Option<Happened>, Status> {
    let row = view.get::<Findings>(&number).map_err(errors::store)?;
    Ok(row.map(|row| Happened::Found(number, Box::new(row))))
}

fn event_at(view: &View<'_>, number: u64) -> Result<Option<Happened>, Status> {
    let event = signals::event(view.store(), number).map_err(errors::store)?;
    Ok(event.map(Happened::from))
}

/// Alerts from a place on, then live, until the caller is gone. The token is checked again for each
/// batch, so that a revoked key sees nothing more; when it has expired, the stream ends and is resumed
/// with a new one.
async fn watch(
    node: &Arc<Node>,
    metadata: &MetadataMap,
    filter: &Arc<Filter>,
    mut place: Place,
    out: &mpsc::Sender<Result<wire::WatchAlertsResponse, Status>>,
) -> Result<(), Status> {
    let (mut head, mut events) = (node.head(), node.events());
    loop {
        head.borrow_and_update();
        events.borrow_and_update();
        token::check(metadata, node, &[Role::Regulator])?;
        let filter = Arc::clone(filter);
        let (responses, after, last) = super::off_thread(node, move |node| {
            let view = node.store().view();
            let batch = Batch::read(&view, place)?;
            let mut responses = Vec::new();
            for (happened, after) in batch.happened {
                place = after;
                let answered = happened.is_answer();
                let alert = happened.alert(&view)?.filter(|alert| filter.wants(alert));
                responses.extend(alert.map(|alert| wire::WatchAlertsResponse {
                    alert: Some(alert),
                    answered,
                    cursor: after.to_string(),
                }));
            }
            Ok((responses, place, batch.last))
        })
        .await?;
        place = after;
        for response in responses {
            if out.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
        if last {
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                changed = events.changed() => if changed.is_err() {
                    return Err(Status::unavailable(
                        "early warning ended on this node; go on from the last cursor",
                    ));
                },
                () = out.closed() => return Ok(()),
            }
        }
    }
}

/// How far a reader is: numbers of the next finding and of the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    finding: u64,
    event: u64,
}

impl Place {
    const FIRST: Self = Self {
        finding: 1,
        event: 1,
    };

    fn now(node: &Node) -> Result<Self, Status> {
        let tally = node.store().get::<Tallies>(&()).map_err(errors::store)?;
        Ok(Self {
            finding: tally.unwrap_or_default().findings + 1,
            event: *node.events().borrow() + 1,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.finding, self.event)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (finding, event) = text.split_once('.').ok_or(())?;
        Ok(Self {
            finding: finding.parse().map_err(drop)?,
            event: event.parse().map_err(drop)?,
        })
    }
}

/// What happened to one alert.
enum Happened {
    Found(u64, Box<FindingRow>),
    Signalled(Box<Signal>),
    Answered(AlertId, Millis),
}

impl From<Event> for Happened {
    fn from(event: Event) -> Self {
        match event {
            Event::Raised(signal) => Self::Signalled(signal),
            Event::Answered(id, time) => Self::Answered(id, time),
        }
    }
}

impl Happened {
    const fn time(&self) -> Millis {
        match self {
            Self::Found(_, row) => row.time,
            Self::Signalled(signal) => signal.time,
            Self::Answered(_, time) => *time,
        }
    }

    const fn is_answer(&self) -> bool {
        matches!(self, Self::Answered(..))
    }

    /// The alert as it stands now.
    fn alert(self, view: &View<'_>) -> Result<Option<wire::Alert>, Status> {
        match self {
            Self::Found(number, row) => of_finding(view, number, &row).map(Some),
            Self::Signalled(signal) => of_signal(view, signal.kind, wire_signal(&signal)).map(Some),
            Self::Answered(id, _) => alert(view, id),
        }
    }
}

/// What happened next, findings and events merged by their time.
struct Batch {
    /// Each with the place after it.
    happened: Vec<(Happened, Place)>,
    /// There is nothing more yet.
    last: bool,
}

impl Batch {
    fn read(view: &View<'_>, mut place: Place) -> Result<Self, Status> {
        let mut findings = VecDeque::new();
        read::findings(view, place.finding, |number, row| {
            findings.push_back((number, Happened::Found(number, Box::new(row))));
            findings.len() < BATCH
        })?;
        let mut events = VecDeque::new();
        signals::events(view, place.event, |number, event| {
            events.push_back((number, Happened::from(event)));
            events.len() < BATCH
        })
        .map_err(errors::store)?;
        let (more_findings, more_events) = (findings.len() == BATCH, events.len() == BATCH);
        let mut happened = Vec::new();
        loop {
            // Where one side is read only in part, what follows there may be earlier.
            let (side, next) = match (findings.front(), events.front()) {
                (Some((_, finding)), Some((_, event))) if finding.time() <= event.time() => {
                    (&mut findings, &mut place.finding)
                }
                (Some(_), None) if !more_events => (&mut findings, &mut place.finding),
                (Some(_), Some(_)) => (&mut events, &mut place.event),
                (None, Some(_)) if !more_findings => (&mut events, &mut place.event),
                _ => break,
            };
            let Some((number, first)) = side.pop_front() else {
                break;
            };
            *next = number + 1;
            happened.push((first, place));
        }
        Ok(Self {
            happened,
            last: !more_findings && !more_events,
        })
    }
}

fn alert_id(id: Option<&wire::AlertId>) -> Result<AlertId, Status> {
    match id.and_then(|id| id.alert.as_ref()) {
        Some(wire::alert_id::Alert::Finding(number)) => Ok(AlertId::Finding(*number)),
        Some(wire::alert_id::Alert::Signal(id)) => {
            let kind = SignalKind::from_number(id.kind)
                .ok_or_else(|| errors::invalid("id.signal.kind", "say which kind of signal"))?;
            Ok(AlertId::Signal(kind, LogIndex(id.log_index)))
        }
        None => Err(errors::invalid("id", "say which alert")),
    }
}

/// An alert as it stands. A signal that this node didn't derive is known once it was answered.
fn alert(view: &View<'_>, id: AlertId) -> Result<Option<wire::Alert>, Status> {
    match id {
        AlertId::Finding(number) => {
            let row = view.get::<Findings>(&number).map_err(errors::store)?;
            row.map(|row| of_finding(view, number, &row)).transpose()
        }
        AlertId::Signal(kind, index) => {
            let known = signals::signal(view.store(), kind, index).map_err(errors::store)?;
            let signal = known.as_ref().map_or_else(
                || wire::Signal {
                    kind: kind.number(),
                    log_index: index.0,
                    ..wire::Signal::default()
                },
                wire_signal,
            );
            let alert = of_signal(view, kind, signal)?;
            Ok((known.is_some() || alert.answer != 0).then_some(alert))
        }
    }
}

fn of_finding(view: &View<'_>, number: u64, row: &FindingRow) -> Result<wire::Alert, Status> {
    let alert = wire::Alert {
        level: AlertLevel::of_finding(row.kind).number(),
        about: Some(About::Finding(read::finding(number, row))),
        ..wire::Alert::default()
    };
    answered(view, alert, AlertId::Finding(number))
}

fn of_signal(
    view: &View<'_>,
    kind: SignalKind,
    signal: wire::Signal,
) -> Result<wire::Alert, Status> {
    let id = AlertId::Signal(kind, LogIndex(signal.log_index));
    let alert = wire::Alert {
        level: AlertLevel::of_signal(kind).number(),
        about: Some(About::Signal(signal)),
        ..wire::Alert::default()
    };
    answered(view, alert, id)
}

/// The alert with its id and its last answer.
fn answered(view: &View<'_>, alert: wire::Alert, id: AlertId) -> Result<wire::Alert, Status> {
    let row = view.get::<AlertAnswers>(&id).map_err(errors::store)?;
    let id = Some(wire::AlertId {
        alert: Some(match id {
            AlertId::Finding(number) => wire::alert_id::Alert::Finding(number),
            AlertId::Signal(kind, index) => wire::alert_id::Alert::Signal(signal_id(kind, index)),
        }),
    });
    let alert = wire::Alert { id, ..alert };
    let Some(row) = row else {
        return Ok(alert);
    };
    Ok(wire::Alert {
        answer: row.answer.number(),
        answered_at: row.at.index.0,
        answered_ms: row.at.time.0,
        answered_by: row.by.to_string(),
        reason: row.reason,
        case: row.case.map_or(0, |case| case.0),
        ..alert
    })
}

/// The id of a signal as it goes over the wire.
pub(super) fn signal_id(kind: SignalKind, index: LogIndex) -> wire::SignalId {
    wire::SignalId {
        kind: kind.number(),
        log_index: index.0,
    }
}

fn wire_signal(signal: &Signal) -> wire::Signal {
    wire::Signal {
        kind: signal.kind.number(),
        log_index: signal.entry.0,
        time_ms: signal.time.0,
        parties: signal.parties.iter().map(ToString::to_string).collect(),
        key_id: signal.key.map(|key| key.0.to_vec()).unwrap_or_default(),
        units: signal.units.iter().map(ToString::to_string).collect(),
        unit_count: signal.unit_count,
        evidence: signal.evidence.iter().map(|index| index.0).collect(),
        measured: i64::try_from(signal.measured).unwrap_or(i64::MAX),
        limit: i64::try_from(signal.limit).unwrap_or(i64::MAX),
        region: signal.region.clone(),
        city: signal.city.clone(),
    }
}

/// Which alerts a caller wants.
struct Filter {
    findings: Vec<i32>,
    signals: Vec<i32>,
    level: i32,
    party: String,
    unit: String,
    region: Option<Region>,
    open: bool,
}

impl Filter {
    fn new(filter: Option<wire::AlertFilter>) -> Result<Self, Status> {
        let filter = filter.unwrap_or_default();
        let known = |kind: i32| FindingKind::from_number(kind).is_some();
        if filter.findings.len() > 64 || !filter.findings.iter().copied().all(known) {
            return Err(errors::invalid(
                "filter.findings",
                "at most 64 kinds of finding",
            ));
        }
        let known = |kind: i32| SignalKind::from_number(kind).is_some();
        if filter.signals.len() > 64 || !filter.signals.iter().copied().all(known) {
            return Err(errors::invalid(
                "filter.signals",
                "at most 64 kinds of signal",
            ));
        }
        if wire::AlertLevel::try_from(filter.level).is_err() {
            return Err(errors::invalid("filter.level", "there is no such level"));
        }
        let mut party = filter.party;
        if !party.is_empty() {
            let id: PartyId = party.parse().map_err(errors::bad_id("filter.party"))?;
            party = id.to_string();
        }
        let mut unit = filter.unit;
        if !unit.is_empty() {
            let id = UnitId::parse_any(&unit).map_err(errors::bad_id("filter.unit"))?;
            unit = id.to_string();
        }
        let region = match filter.region.as_str() {
            "" => None,
            region => {
                let region = Region::parse(region, "filter.region");
                Some(region.map_err(|refusal| errors::status(&refusal))?)
            }
        };
        Ok(Self {
            findings: filter.findings,
            signals: filter.signals,
            level: filter.level,
            party,
            unit,
            region,
            open: filter.open,
        })
    }

    fn wants(&self, alert: &wire::Alert) -> bool {
        let all_kinds = self.findings.is_empty() && self.signals.is_empty();
        let is = |wanted: &String, names: &[String]| wanted.is_empty() || names.contains(wanted);
        let (kind, concerned, named, region, settled) = match &alert.about {
            Some(About::Finding(finding)) => (
                self.findings.contains(&finding.kind),
                is(&self.party, std::slice::from_ref(&finding.party)),
                is(&self.unit, std::slice::from_ref(&finding.unit)),
                &finding.region,
                finding.status() != wire::FindingStatus::Open,
            ),
            Some(About::Signal(signal)) => (
                self.signals.contains(&signal.kind),
                is(&self.party, &signal.parties),
                is(&self.unit, &signal.units),
                &signal.region,
                false,
            ),
            None => return false,
        };
        let there = |wanted: &Region| {
            Region::parse(region, "region").is_ok_and(|region| wanted.contains(&region))
        };
        (all_kinds || kind)
            && alert.level >= self.level
            && concerned
            && named
            && self.region.as_ref().is_none_or(there)
            && !(self.open && (settled || alert.answer != 0))
    }
}
