//! What several services read: timelines and bundles, from one view of the store.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use prost::bytes::Bytes;
use tonic::Status;

use super::errors;
use crate::core::apply::state::{
    Actor, FindingRow, FindingStatus, Findings, Goods, HistoryRow, Keys, Ledgers, Parties,
    Products, Read, Units,
};
use crate::core::apply::{MAX_UNIT_FINDINGS, goods_of, scopes_of};
use crate::core::bundle::{BUNDLE_FORMAT, DecodedEntry, MAX_BUNDLE_BYTES, decode_entry};
use crate::core::id::{PartyId, UnitId};
use crate::core::lang::Lang;
use crate::core::record::{Body, MAX_UNITS, Record};
use crate::core::rules::FindingKind;
use crate::core::signature::KeyId;
use crate::core::tlog::proof::inclusion_proof;
use crate::core::tlog::tile::{TileHashReader, TileId};
use crate::core::tlog::{Hash, LogIndex, TreeSize};
use crate::core::wire;
use crate::node::Node;
use crate::store::{KnownEntry, LogHead, Store, StoreError, View};

/// Most entries of one bundle.
const MAX_BUNDLE_ENTRIES: usize = 20_000;
/// Most bytes of an inclusion proof in a bundle, about.
const PROOF_BYTES: usize = 1_300;

/// A reader of the tree's hashes out of the store. It remembers the tiles that it read: the proofs
/// of one answer share most of them, and those at the right edge cost 256 entries each.
pub(super) fn tree(
    store: &Store,
    size: TreeSize,
) -> TileHashReader<impl Fn(TileId) -> Result<Vec<Hash>, StoreError> + '_> {
    let known: RefCell<HashMap<TileId, Vec<Hash>>> = RefCell::default();
    TileHashReader::new(size, move |tile| {
        if let Some(hashes) = known.borrow().get(&tile) {
            return Ok(hashes.clone());
        }
        let hashes = store.tile(tile)?;
        known.borrow_mut().insert(tile, hashes.clone());
        Ok(hashes)
    })
}

/// Decodes an entry.
pub(super) fn decode(index: LogIndex, bytes: &[u8]) -> Result<DecodedEntry, Status> {
    decode_entry(bytes)
        .map_err(|error| errors::store(StoreError::Corrupt(format!("entry {index}: {error}"))))
}

/// The bytes of an entry.
pub(super) fn entry(store: &Store, index: LogIndex) -> Result<Bytes, Status> {
    let bytes = store.entry(index).map_err(errors::store)?;
    bytes.ok_or_else(|| errors::store(StoreError::no_entry(index)))
}

/// The units that a request names, 1 to [`MAX_UNITS`].
pub(super) fn units(texts: &[String]) -> Result<Vec<UnitId>, Status> {
    if !(1..=MAX_UNITS).contains(&texts.len()) {
        return Err(errors::invalid("units", format!("1 to {MAX_UNITS} units")));
    }
    let parse = |(i, text): (usize, &String)| {
        UnitId::parse_any(text)
            .map_err(|error| errors::invalid(&format!("units[{i}]"), error.to_string()))
    };
    texts.iter().enumerate().map(parse).collect()
}

/// The parties that a request names, 1 to [`MAX_UNITS`].
pub(super) fn parties(texts: &[String]) -> Result<Vec<PartyId>, Status> {
    if !(1..=MAX_UNITS).contains(&texts.len()) {
        return Err(errors::invalid(
            "parties",
            format!("1 to {MAX_UNITS} parties"),
        ));
    }
    let parse = |(i, text): (usize, &String)| {
        text.parse().map_err(|error: crate::core::id::IdError| {
            errors::invalid(&format!("parties[{i}]"), error.to_string())
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

/// The party at the end of a row's key, after a prefix.
pub(super) fn party_after(prefix: &[u8], key: &[u8]) -> Result<PartyId, Status> {
    let compact = key.get(prefix.len()..).unwrap_or_default();
    PartyId::from_compact(compact)
        .map_err(|error| errors::store(StoreError::Corrupt(error.to_string())))
}

/// What a timeline needs of one row of a unit's own history.
pub(super) struct Row {
    pub index: LogIndex,
    pub joined: bool,
    pub signer: Actor,
    /// What the unit is in after it.
    pub container: Option<UnitId>,
    /// Its entry, where that was read anyway.
    pub entry: Option<Arc<KnownEntry>>,
}

/// Steps of a timeline all of which are wanted: then each is decoded when it is read.
pub(super) const SHORT_TIMELINE: usize = 64;

/// The rows of a unit's own history from an index on, in the order of the log, and before them the
/// last row that comes before that index. Where a few are asked for, their entries are remembered.
///
/// # Errors
/// RESOURCE_EXHAUSTED when there are more than `limit`.
pub(super) fn history(
    view: &View<'_>,
    unit: UnitId,
    from: LogIndex,
    limit: usize,
) -> Result<(Option<Row>, Vec<Row>), Status> {
    let mut reader = view.known_entries();
    let mut read = |index| {
        let entry = match limit {
            ..=SHORT_TIMELINE => reader.entry(index)?,
            _ => None,
        };
        let row = match &entry {
            Some(entry) => entry.row(&unit),
            None => reader.row(&unit, index),
        };
        let of_row = |row: HistoryRow| {
            let kept = Row {
                index,
                joined: row.joined,
                signer: row.signer,
                container: row.container,
                entry,
            };
            (row.before, kept)
        };
        Ok::<_, StoreError>(row?.map(of_row))
    };
    let state = view.get::<Units>(&unit).map_err(errors::store)?;
    let steps = state
        .as_ref()
        .map_or(0, |state| state.length + state.besides);
    let mut rows = Vec::with_capacity(steps.min(SHORT_TIMELINE as u64) as usize);
    let mut next = state.and_then(|state| state.touched);
    // A row names the one before it, so the way leads backwards.
    let before = loop {
        let Some(index) = next else { break None };
        let (before, row) = read(index).map_err(errors::store)?.ok_or_else(|| {
            let what = format!("entry {index} has no row of {unit}");
            errors::store(StoreError::Corrupt(what))
        })?;
        if index < from {
            break Some(row);
        }
        if rows.len() == limit {
            return Err(Status::resource_exhausted(format!(
                "the history has more than {limit} steps; read the log instead"
            )));
        }
        next = before;
        rows.push(row);
    };
    rows.reverse();
    Ok((before, rows))
}

/// A step of a timeline: through which container it concerns the unit.
pub(super) struct TimelineRow {
    pub step: Row,
    pub via: Option<UnitId>,
}

/// The unit's history with that of the containers around it for the time that it was inside.
pub(super) fn timeline(
    view: &View<'_>,
    unit: UnitId,
    limit: usize,
) -> Result<Vec<TimelineRow>, Status> {
    let mut rows = Vec::new();
    collect(view, unit, &mut rows, limit)?;
    // What an entry did to the unit itself comes before what it did to what the unit was in.
    if !rows.is_sorted_by_key(|row: &TimelineRow| row.step.index) {
        rows.sort_by_key(|row| row.step.index);
    }
    rows.dedup_by_key(|row| row.step.index);
    Ok(rows)
}

/// A stretch of a unit's history that concerns a timeline.
struct Stretch {
    unit: UnitId,
    via: Option<UnitId>,
    from: LogIndex,
    until: LogIndex,
}

/// Gathers a unit's rows, and those of each container for the time that the unit was inside: a row
/// says what the unit is in after it.
fn collect(
    view: &View<'_>,
    unit: UnitId,
    rows: &mut Vec<TimelineRow>,
    limit: usize,
) -> Result<(), Status> {
    let all = Stretch {
        unit,
        via: None,
        from: LogIndex(0),
        until: LogIndex(u64::MAX),
    };
    let mut waiting = vec![all];
    let mut read = 0;
    while let Some(stretch) = waiting.pop() {
        let (before, own) = history(view, stretch.unit, stretch.from, limit - read)?;
        read += own.len();
        // What it was in before the stretch begins: the last row before it says so.
        let mut inside = before
            .and_then(|before| before.container)
            .map(|container| (container, stretch.from));
        for step in own {
            let index = step.index;
            if index > stretch.until {
                break;
            }
            if step.joined && inside.map(|(container, _)| container) != step.container {
                waiting.extend(inside.map(|(container, from)| stay(container, from, index)));
                inside = step.container.map(|container| (container, index));
            }
            let via = stretch.via;
            rows.push(TimelineRow { step, via });
        }
        waiting.extend(inside.map(|(container, from)| stay(container, from, stretch.until)));
    }
    Ok(())
}

const fn stay(container: UnitId, from: LogIndex, until: LogIndex) -> Stretch {
    Stretch {
        unit: container,
        via: Some(container),
        from,
        until,
    }
}

/// Everything that proves a unit's history at a head of the log, but the signed checkpoint of that.
///
/// # Errors
/// NOT_FOUND when the ledger doesn't know the unit, RESOURCE_EXHAUSTED when it is too much.
pub fn bundle(node: &Node, unit: UnitId) -> Result<(LogHead, wire::UnitBundle), Status> {
    let view = node.store().view();
    let head = view.head().map_err(errors::store)?;
    if view.get::<Units>(&unit).map_err(errors::store)?.is_none() {
        return Err(errors::not_found(format!(
            "the ledger has no record of {unit}"
        )));
    }
    let mut collector = Collector {
        view: &view,
        entries: BTreeSet::new(),
        waiting: vec![LogIndex(0)],
        keys: BTreeSet::new(),
        units: BTreeMap::from([(unit, LogIndex(u64::MAX))]),
        bytes: 0,
    };
    collector.gather()?;
    let mut proven = Vec::with_capacity(collector.entries.len());
    let size = TreeSize::new(head.size);
    let reader = tree(node.store(), size);
    for index in &collector.entries {
        let bytes = entry(node.store(), *index)?;
        let proof = inclusion_proof(*index, size, &reader)
            .map_err(|error| errors::store(StoreError::Corrupt(error.to_string())))?;
        proven.push(wire::ProvenEntry {
            index: index.0,
            entry: bytes,
            proof: proof.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        });
    }
    let bundle = wire::UnitBundle {
        format: BUNDLE_FORMAT,
        origin: node.origin().to_owned(),
        unit: unit.to_string(),
        checkpoint: Vec::new(),
        entries: proven,
        digest: Vec::new(),
    };
    Ok((head, bundle))
}

/// Gathers the entries that a unit's verdicts depend on. A list of what waits takes the place of
/// recursion, since chains of keys may be long.
struct Collector<'a> {
    view: &'a View<'a>,
    entries: BTreeSet<LogIndex>,
    waiting: Vec<LogIndex>,
    keys: BTreeSet<KeyId>,
    /// The unit and the containers that it was in, each with the last entry that matters: what
    /// became of a container after the unit left it is nobody's business.
    units: BTreeMap<UnitId, LogIndex>,
    bytes: usize,
}

impl Collector<'_> {
    fn gather(&mut self) -> Result<(), Status> {
        let ledger = self.view.get::<Ledgers>(&()).map_err(errors::store)?;
        self.waiting.extend(
            ledger
                .iter()
                .flat_map(|ledger| ledger.thresholds_log.iter().copied()),
        );
        loop {
            let before = self.units.clone();
            for (unit, until) in before.clone() {
                self.unit(unit, until)?;
            }
            while let Some(index) = self.waiting.pop() {
                self.entry(index)?;
            }
            if self.units == before {
                return Ok(());
            }
        }
    }

    /// A unit's history up to an entry, from its beginning: a verdict depends on all before it.
    fn unit(&mut self, unit: UnitId, until: LogIndex) -> Result<(), Status> {
        self.identifier(unit)?;
        let mut inside: Option<UnitId> = None;
        let (_, rows) = history(self.view, unit, LogIndex(0), MAX_BUNDLE_ENTRIES)?;
        for row in rows {
            let index = row.index;
            if index > until {
                break;
            }
            self.waiting.push(index);
            if row.joined && row.container != inside {
                if let Some(left) = inside {
                    self.reach(left, index);
                }
                inside = row.container;
            }
        }
        if let Some(container) = inside {
            self.reach(container, until);
        }
        Ok(())
    }

    fn reach(&mut self, unit: UnitId, until: LogIndex) {
        let last = self.units.entry(unit).or_insert(until);
        *last = (*last).max(until);
    }

    /// Who gives out its identifier; holds and recalls of its lot and product.
    fn identifier(&mut self, unit: UnitId) -> Result<(), Status> {
        for scope in scopes_of(&unit) {
            let product = self.view.get::<Products>(&scope).map_err(errors::store)?;
            self.waiting
                .extend(product.into_iter().flat_map(|product| product.log));
        }
        let state = self
            .view
            .get::<Units>(&unit)
            .map_err(errors::store)?
            .unwrap_or_default();
        for goods in goods_of(&unit, &state) {
            let row = self.view.get::<Goods>(&goods).map_err(errors::store)?;
            self.waiting.extend(row.into_iter().flat_map(|row| row.log));
        }
        Ok(())
    }

    /// An entry, and what gave its signer the authority.
    fn entry(&mut self, index: LogIndex) -> Result<(), Status> {
        if !self.entries.insert(index) {
            return Ok(());
        }
        let bytes = entry(self.view.store(), index)?;
        let record = decode(index, &bytes)?.record;
        self.bytes += bytes.len() + PROOF_BYTES;
        if self.entries.len() > MAX_BUNDLE_ENTRIES || self.bytes > MAX_BUNDLE_BYTES {
            return Err(Status::resource_exhausted(format!(
                "the history needs more than {MAX_BUNDLE_ENTRIES} entries or {MAX_BUNDLE_BYTES} \
                 bytes; audit the log instead"
            )));
        }
        // An entry that is about a container as well is judged there too, with all before it.
        for subject in record.subjects() {
            if self.units.contains_key(&subject) {
                self.reach(subject, index);
            }
        }
        self.key(record.key_id)?;
        match &record.body {
            Body::ReportEquivocation { first, .. } => {
                let reported: Result<wire::Envelope, _> = prost::Message::decode(first.as_slice());
                if let Some(id) = reported.ok().and_then(|e| KeyId::from_slice(&e.key_id)) {
                    self.key(id)?;
                }
            }
            Body::Handover(handover) => self.party(handover.to)?,
            Body::Correct { record } => {
                let about = self.view.entry_of(record).map_err(errors::store)?;
                self.waiting.extend(about);
            }
            _ => {}
        }
        Ok(())
    }

    fn key(&mut self, id: KeyId) -> Result<(), Status> {
        if !self.keys.insert(id) {
            return Ok(());
        }
        let Some(key) = self.view.get::<Keys>(&id).map_err(errors::store)? else {
            return Ok(());
        };
        self.waiting.push(key.registered_at);
        self.waiting.extend(key.ended_at);
        match key.owner {
            Actor::Party(party) => self.party(party),
            Actor::Buyer(_) => Ok(()),
        }
    }

    /// Who a party is, and by which approval.
    fn party(&mut self, party: PartyId) -> Result<(), Status> {
        let row = self.view.get::<Parties>(&party).map_err(errors::store)?;
        self.waiting
            .extend(row.iter().flat_map(|row| row.log.iter().copied()));
        Ok(())
    }
}

/// Name of a party for people; its id where the name is not public.
pub(super) fn party_name<R: Read>(state: &R, party: PartyId) -> Result<String, Status> {
    let row = state.get::<Parties>(&party).map_err(errors::store)?;
    Ok(row
        .map(|row| row.name.clone())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| party.to_string()))
}

/// A finding as it goes over the wire.
pub(super) fn finding(number: u64, row: &FindingRow) -> wire::FindingRecord {
    let rule = row.kind.rule();
    wire::FindingRecord {
        sequence: number,
        log_index: row.index.0,
        kind: i32::from(row.kind.number()),
        severity: match rule.severity {
            crate::core::rules::Severity::LookCloser => wire::Severity::LookCloser.into(),
            crate::core::rules::Severity::DoNotSell => wire::Severity::DoNotSell.into(),
        },
        unit: row.unit.map(|unit| unit.to_string()).unwrap_or_default(),
        party: row
            .signer
            .party()
            .map(|party| party.to_string())
            .unwrap_or_default(),
        time_ms: row.time.0,
        region: row.region.clone(),
        city: row.city.clone(),
        evidence: row.evidence.iter().map(|index| index.0).collect(),
        measured: row.measured,
        limit: row.limit,
        status: match row.status {
            FindingStatus::Open => wire::FindingStatus::Open,
            FindingStatus::Confirmed => wire::FindingStatus::Confirmed,
            FindingStatus::Dismissed => wire::FindingStatus::Dismissed,
            FindingStatus::Explained => wire::FindingStatus::Explained,
        }
        .into(),
        closed_by: row.closed.map_or(0, |at| at.index.0),
        text: rule.meaning(Lang::En).to_owned(),
        next_step: rule.next_step(Lang::En).to_owned(),
    }
}

/// Kinds of the findings that an entry has at one unit.
pub(super) fn findings_at(
    record: &Record,
    verdict: &wire::Verdict,
    unit: UnitId,
) -> Vec<FindingKind> {
    if verdict.findings.is_empty() {
        return Vec::new();
    }
    let subjects = record.subjects();
    let Some(number) = subjects.iter().position(|subject| *subject == unit) else {
        return Vec::new();
    };
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    verdict
        .findings
        .iter()
        .filter(|finding| crate::core::apply::ranges_cover(&finding.subjects, number))
        .filter_map(|finding| FindingKind::from_number(finding.kind))
        .collect()
}

/// Findings from a number on, while the visitor wants more.
pub(super) fn findings(
    view: &View<'_>,
    from: u64,
    mut visit: impl FnMut(u64, FindingRow) -> bool,
) -> Result<(), Status> {
    view.scan_prefix::<Findings>(&[], &from.to_be_bytes(), |key, row| {
        let number = key.try_into().map_or(0, u64::from_be_bytes);
        visit(number, row)
    })
    .map_err(errors::store)
}

/// The findings at one unit, likewise; where it has more than its row names, others among them.
pub(super) fn findings_of(
    view: &View<'_>,
    unit: UnitId,
    from: u64,
    mut visit: impl FnMut(u64, FindingRow) -> bool,
) -> Result<(), Status> {
    let unit = view.get::<Units>(&unit).map_err(errors::store)?;
    let unit = unit.unwrap_or_default();
    let mut numbers: Vec<u64> = unit.findings.iter().map(|finding| finding.number).collect();
    numbers.sort_unstable();
    for number in numbers.into_iter().filter(|number| *number >= from) {
        let row = view.get::<Findings>(&number).map_err(errors::store)?;
        if row.is_some_and(|row| !visit(number, row)) {
            return Ok(());
        }
    }
    if unit.findings.len() < MAX_UNIT_FINDINGS {
        return Ok(());
    }
    let after = unit.findings.iter().map(|finding| finding.number + 1).max();
    findings(view, after.unwrap_or(0).max(from), visit)
}
