//! `ProvenanceService`: what a consumer may ask. Companies and cities, never employees.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::pages::{page_size, page_token};
use super::read::SHORT_TIMELINE;
use super::{Luck, errors, read};
use crate::core::apply::state::{FindingStatus, Goods, Keys, Life, Products, Read, Unit, Units};
use crate::core::apply::{around_of, goods_of, scopes_of_product};
use crate::core::id::{PartyId, UnitId};
use crate::core::lang::Lang;
use crate::core::record::{Attributes, Body, GoodsId, Millis, Position, Record};
use crate::core::standing::{self, Standing};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::provenance_service_server::ProvenanceService;
use crate::node::Node;
use crate::store::{KnownEntry, Reach, StoreError, View};

/// Most steps of one page.
const MAX_PAGE: usize = 1000;
/// Steps of a page when the caller doesn't say.
const DEFAULT_PAGE: usize = 200;
/// Units that one thread looks up without letting others have a turn: some 300 us.
const FEW_UNITS: usize = 128;
/// How long one call may watch a unit.
const MAX_WATCH: Duration = Duration::from_secs(3_600);
/// Most steps of a timeline that are looked through.
const MAX_TIMELINE: usize = 100_000;

/// Pages of standings, and ways of units: how they fare in memory. It is of the process, as the memory is, and a guess.
static PAGES: Luck = Luck::new();
static WAYS: Luck = Luck::new();

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

fn standing_of(view: &View<'_>, unit: UnitId, lang: Lang) -> Result<wire::Standing, Status> {
    standing::standing(view, unit)
        .map(|standing| to_wire(&standing, lang))
        .map_err(errors::store)
}

pub(super) fn to_wire(standing: &Standing, lang: Lang) -> wire::Standing {
    wire::Standing {
        unit: standing.unit.to_string(),
        word: standing.word.into(),
        reasons: standing
            .reasons
            .iter()
            .map(|reason| wire::Reason {
                text: reason.because.text(lang),
                kind: reason
                    .because
                    .kind()
                    .map_or(0, |kind| i32::from(kind.number())),
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
        let answer = provenance(&self.node, unit, page, from, Lang::En).await?;
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
        let few = units.len() <= FEW_UNITS;
        let read = move |view: &View<'_>| standings(view, &units);
        let standings = if few {
            super::answer(&self.node, &PAGES, read).await?
        } else {
            super::look_up(&self.node, move |node| read(&node.store().view())).await?
        };
        Ok(Response::new(wire::BatchGetStandingsResponse { standings }))
    }

    async fn get_bundle(
        &self,
        request: Request<wire::GetBundleRequest>,
    ) -> Result<Response<wire::GetBundleResponse>, Status> {
        let unit = UnitId::parse_any(&request.into_inner().unit).map_err(errors::bad_id("unit"))?;
        let bundle = super::unit_bundle(&self.node, unit).await?;
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
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            // Whoever wants to watch on asks again: a place is not for ever.
            let _ = tokio::time::timeout(MAX_WATCH, watch(node, unit, out)).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Where some units stand. What they depend on is read at once, but for what is around them.
fn standings(view: &View<'_>, units: &[UnitId]) -> Result<Vec<wire::Standing>, Status> {
    let rows = view.rows::<Units>(units).map_err(errors::store)?;
    let known = units.iter().zip(&rows);
    let goods = known.flat_map(|(id, unit)| unit.iter().flat_map(|unit| goods_of(id, unit)));
    let goods: BTreeSet<GoodsId> = goods.filter(|goods| view.may_be_stopped(goods)).collect();
    let goods: Vec<GoodsId> = goods.into_iter().collect();
    view.prefetch::<Goods>(&goods).map_err(errors::store)?;
    let standing = |(id, unit): (&UnitId, &Option<Arc<Unit>>)| {
        standing::standing_of(view, *id, unit.as_deref())
            .map(|standing| to_wire(&standing, Lang::En))
            .map_err(errors::store)
    };
    units.iter().zip(&rows).map(standing).collect()
}

/// One page of a unit's way from an index on, and where it stands, in words of a language.
pub(crate) async fn provenance(
    node: &Arc<Node>,
    unit: UnitId,
    page: usize,
    from: u64,
    lang: Lang,
) -> Result<wire::GetProvenanceResponse, Status> {
    super::answer(node, &WAYS, move |view| {
        let short = up_to(view, unit, page, from, lang, SHORT_TIMELINE);
        match (short, view.reach()) {
            (Err(status), Reach::Disk) if status.code() == tonic::Code::ResourceExhausted => {
                up_to(view, unit, page, from, lang, MAX_TIMELINE)
            }
            (short, _) => short,
        }
    })
    .await
}

/// The same, of at most `limit` steps in all.
fn up_to(
    view: &View<'_>,
    unit: UnitId,
    page: usize,
    from: u64,
    lang: Lang,
    limit: usize,
) -> Result<wire::GetProvenanceResponse, Status> {
    let rows = read::timeline(view, unit, limit)?;
    let mut entries = view.known_entries();
    let mut steps = Vec::with_capacity(rows.len().min(page));
    let mut next_page_token = String::new();
    let mut names = Names::default();
    for row in rows.iter().filter(|row| row.step.index.0 >= from) {
        let index = row.step.index;
        if steps.len() == page {
            next_page_token = index.0.to_string();
            break;
        }
        let read = match &row.step.entry {
            Some(_) => None,
            None => entries.entry(index).map_err(errors::store)?,
        };
        let entry = row.step.entry.as_deref().or(read.as_deref());
        let entry = entry.ok_or_else(|| errors::store(StoreError::no_entry(index)))?;
        steps.push(step(view, unit, (row, entry), &mut names, lang)?);
    }
    let state = view
        .get::<Units>(&unit)
        .map_err(errors::store)?
        .unwrap_or_default();
    let around = around_of(view, &state).map_err(errors::store)?;
    let holder = around
        .last()
        .map_or(state.holder, |(_, outer)| outer.holder);
    let name = |party: Option<PartyId>| match party {
        Some(party) => read::party_name(view, party),
        None => Ok(String::new()),
    };
    let text = |party: Option<PartyId>| party.map(|party| party.to_string()).unwrap_or_default();
    Ok(wire::GetProvenanceResponse {
        standing: Some(standing_of(view, unit, lang)?),
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

/// The custody records of a unit's way, its containers' included, as they were signed.
pub(crate) async fn records(node: &Arc<Node>, unit: UnitId) -> Result<Vec<wire::Record>, Status> {
    super::off_thread(node, move |node| {
        let rows = read::timeline(&node.store().view(), unit, MAX_TIMELINE)?;
        let mut records = Vec::with_capacity(rows.len());
        let mut reader = node.store().reader().map_err(errors::store)?;
        // What stands beside the chain is evidence, and no step of the way.
        for row in rows.into_iter().filter(|row| row.step.joined) {
            let index = row.step.index;
            let bytes = reader.entry(index).map_err(errors::store)?;
            let bytes = bytes.ok_or_else(|| errors::store(StoreError::no_entry(index)))?;
            let payload = read::decode(index, &bytes)?.envelope.payload;
            let record: wire::Record = prost::Message::decode(payload)
                .map_err(|error| errors::store(StoreError::Corrupt(error.to_string())))?;
            // Decisions about findings are the ledger's own.
            if !record.units.is_empty() {
                records.push(record);
            }
        }
        Ok(records)
    })
    .await
}

/// A public notice that goods are called back or held.
pub(crate) struct Notice {
    /// A recall; otherwise a hold.
    pub recall: bool,
    /// Who gave it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Its number; may be empty.
    pub number: String,
    /// When.
    pub time: Millis,
    /// The entry.
    pub index: LogIndex,
}

/// The notices behind a standing.
pub(crate) fn notices(node: &Node, standing: &wire::Standing) -> Result<Vec<Notice>, Status> {
    let view = node.store().view();
    let stopped = matches!(
        standing.word(),
        wire::StandingWord::Recalled | wire::StandingWord::Broken | wire::StandingWord::Suspect
    );
    let reasons = standing.reasons.iter().filter(|reason| reason.kind == 0);
    let mut notices = Vec::new();
    let indexes = reasons
        .filter(|_| stopped)
        .flat_map(|reason| &reason.log_indexes);
    for index in indexes.copied().collect::<BTreeSet<u64>>() {
        notices.extend(notice(&view, LogIndex(index))?);
    }
    Ok(notices)
}

fn notice(view: &View<'_>, index: LogIndex) -> Result<Option<Notice>, Status> {
    let entry = read::decode(index, &read::entry(view.store(), index)?)?;
    let payload = entry.envelope.payload.clone();
    let record: wire::Record = prost::Message::decode(payload)
        .map_err(|error| errors::store(StoreError::Corrupt(error.to_string())))?;
    let (recall, reason, number) = match record.body {
        Some(wire::record::Body::Recall(recall)) => (true, recall.reason, recall.notice),
        Some(wire::record::Body::Hold(hold)) => (false, hold.reason, String::new()),
        _ => return Ok(None),
    };
    let key = view
        .get::<Keys>(&entry.record.key_id)
        .map_err(errors::store)?;
    let party = key.and_then(|key| key.owner.party());
    let by = party
        .map(|party| read::party_name(view, party))
        .transpose()?;
    Ok(Some(Notice {
        recall,
        by: by.unwrap_or_default(),
        reason,
        number,
        time: entry.time,
        index,
    }))
}

/// What a page says of a unit beyond its standing.
pub(crate) struct Aside {
    /// Used up or destroyed.
    pub ended: bool,
    /// Findings of which it was decided or explained that they are none, by entry and kind.
    pub closed: BTreeSet<(u64, i32)>,
}

/// The same, as of now.
pub(crate) fn aside(node: &Node, unit: UnitId) -> Result<Aside, Status> {
    let view = node.store().view();
    let state = view.get::<Units>(&unit).map_err(errors::store)?;
    let state = state.unwrap_or_default();
    let closed = state.findings.iter().filter(|finding| {
        matches!(
            finding.status,
            FindingStatus::Dismissed | FindingStatus::Explained
        )
    });
    Ok(Aside {
        ended: state.life == Life::Ended,
        closed: closed
            .map(|finding| (finding.index.0, i32::from(finding.kind.number())))
            .collect(),
    })
}

/// What is known of a product or a lot.
pub(crate) struct GoodsFacts {
    /// Who gives out its codes; empty when nobody was approved to.
    pub owner: String,
    /// What the owner calls it.
    pub name: String,
    /// Units made, for a lot.
    pub commissioned: u64,
    /// Units that the lot was declared to have.
    pub lot_size: Option<u64>,
}

/// A product or a lot, with the notices in force, the product's own before the lot's.
pub(crate) fn goods(node: &Node, goods: &GoodsId) -> Result<(GoodsFacts, Vec<Notice>), Status> {
    let view = node.store().view();
    let mut facts = GoodsFacts {
        owner: String::new(),
        name: String::new(),
        commissioned: 0,
        lot_size: None,
    };
    for scope in scopes_of_product(goods.product()) {
        let product = view.get::<Products>(&scope).map_err(errors::store)?;
        let Some((product, owner)) = product
            .as_ref()
            .and_then(|row| Some((row, row.owner.as_ref()?)))
        else {
            continue;
        };
        facts.owner = read::party_name(&view, owner.party)?;
        let claim = product
            .claims
            .iter()
            .find(|claim| claim.party == owner.party);
        facts.name = claim.map(|claim| claim.name.clone()).unwrap_or_default();
        break;
    }
    let mut notices = Vec::new();
    let whole = GoodsId::Product(goods.product());
    for each in [&whole, goods] {
        let Some(row) = view.get::<Goods>(each).map_err(errors::store)? else {
            continue;
        };
        if each == goods {
            facts.commissioned = row.commissioned;
            facts.lot_size = row.lot_size;
        }
        for stop in [row.recall, row.hold].into_iter().flatten() {
            if notices
                .iter()
                .all(|known: &Notice| known.index != stop.index)
            {
                notices.extend(notice(&view, stop.index)?);
            }
        }
    }
    Ok((facts, notices))
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
            let sent = out.send_timeout(answer, super::STREAM_IDLE).await;
            if sent.is_err() || failed {
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
    Ok((standing_of(&view, unit, Lang::En)?, touched))
}

fn step(
    view: &View<'_>,
    unit: UnitId,
    (row, known): (&read::TimelineRow, &KnownEntry),
    names: &mut Names,
    lang: Lang,
) -> Result<wire::Step, Status> {
    let entry = &known.decoded;
    let record = &entry.record;
    let party = row.step.signer.party();
    let party = party.map(|party| names.of(view, party)).transpose()?;
    let about = row.via.unwrap_or(unit);
    Ok(wire::Step {
        log_index: row.step.index.0,
        record_id: known.id.0.to_vec(),
        event_time_ms: record.event_time.0,
        time_ms: entry.time.0,
        kind: record.kind().name().to_owned(),
        summary: summary(view, record, party.map(|party| &*party.name), lang)?,
        party: party.map(|party| party.id.clone()).unwrap_or_default(),
        party_name: party.map(|party| party.name.clone()).unwrap_or_default(),
        city: record.place.city.to_string(),
        region: record
            .place
            .region
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        via: row.via.map(|via| via.to_string()).unwrap_or_default(),
        beside: !row.step.joined && record.kind().is_custody(),
        findings: read::findings_at(record, &entry.verdict, about)
            .into_iter()
            .map(|kind| i32::from(kind.number()))
            .collect(),
        position: record.place.position.map(city_of),
    })
}

/// The parties of a timeline: few have many steps.
#[derive(Default)]
struct Names(Vec<(PartyId, Named)>);

struct Named {
    id: String,
    name: String,
}

impl Names {
    fn of(&mut self, view: &View<'_>, party: PartyId) -> Result<&Named, Status> {
        let known = self.0.iter().position(|(id, _)| *id == party);
        let at = match known {
            Some(at) => at,
            None => {
                let named = Named {
                    id: party.to_string(),
                    name: read::party_name(view, party)?,
                };
                self.0.push((party, named));
                self.0.len() - 1
            }
        };
        Ok(&self.0[at].1)
    }
}

/// A position to a tenth of a degree, some ten kilometres.
fn city_of(position: Position) -> wire::Position {
    const TENTH: i32 = 1_000_000;
    let coarse = |e7: i32| (e7 + e7.signum() * TENTH / 2) / TENTH * TENTH;
    wire::Position {
        latitude_e7: coarse(position.latitude_e7),
        longitude_e7: coarse(position.longitude_e7),
    }
}

/// The step in one sentence.
fn summary(
    view: &View<'_>,
    record: &Record,
    who: Option<&str>,
    lang: Lang,
) -> Result<String, Status> {
    let who = who.unwrap_or(lang.pick("买家", "the buyer"));
    let what = match (&record.body, lang) {
        (Body::Pack { container }, Lang::Zh) => format!("将其装入 {}", container.id).into(),
        (Body::Pack { container }, Lang::En) => format!("packed it into {}", container.id).into(),
        (Body::Unpack { container }, Lang::Zh) => format!("将其从 {} 取出", container.id).into(),
        (Body::Unpack { container }, Lang::En) => format!("took it out of {}", container.id).into(),
        (Body::Handover(handover), _) => {
            let to = read::party_name(view, handover.to)?;
            Cow::from([lang.pick("移交给 ", "offered it to "), &to].concat())
        }
        (other, _) => did(other, lang),
    };
    let city = &*record.place.city;
    // Many are made for one answer, so each is put together at once.
    Ok(match lang {
        Lang::Zh if city.is_empty() => [who, " ", &what, "。"].concat(),
        Lang::Zh => [who, " 在", city, &what, "。"].concat(),
        Lang::En if city.is_empty() => [who, " ", &what, "."].concat(),
        Lang::En => [who, " ", &what, " in ", city, "."].concat(),
    })
}

/// What was done, where no name belongs to it.
fn did(body: &Body, lang: Lang) -> Cow<'static, str> {
    let (zh, en) = match body {
        Body::Commission { .. } => ("赋码出厂", "made it"),
        Body::Inspect { passed: true } => ("检验合格", "inspected it: passed"),
        Body::Inspect { passed: false } => ("检验不合格", "inspected it: failed"),
        Body::Void => ("撤回移交", "withdrew the offer"),
        Body::Accept { .. } => ("接收", "took it over"),
        Body::Refuse => ("拒收", "did not take it"),
        Body::Scan { .. } => ("扫描", "scanned it"),
        Body::Deliver { .. } => ("投递给买家", "delivered it to the buyer"),
        Body::Confirm { .. } => ("确认收货", "confirmed receipt"),
        Body::Reject => ("对收货提出异议", "disputes receipt"),
        Body::Return { .. } => ("收到买家退货", "took it back from the buyer"),
        Body::Transform { .. } => ("加工为其他商品", "made something else of it"),
        Body::Hold(_) => ("暂停流通", "put it on hold"),
        Body::Release(_) => ("解除暂停", "released it"),
        Body::Recall(_) => ("召回", "called it back"),
        Body::Destroy => ("销毁", "destroyed it"),
        Body::Correct { .. } => ("更正先前记录", "corrected an earlier record"),
        Body::DecideFinding { .. } => ("对疑点作出决定", "decided a finding"),
        Body::ReportEquivocation { .. } => {
            ("举报相互矛盾的记录", "reported two contradicting records")
        }
        other => return other.kind().name().replace('_', " ").into(),
    };
    lang.pick(zh, en).into()
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
