//! What several services read: timelines and bundles, from one view of the store.

use std::collections::{BTreeMap, BTreeSet};

use tonic::Status;

use super::errors;
use crate::core::apply::state::{
    Actor, FindingRow, FindingStatus, Findings, Goods, History, HistoryRow, Key, Keys, Ledgers,
    Parties, Products, Read, Records, Units, unit_bytes,
};
use crate::core::apply::{goods_of, scopes_of};
use crate::core::bundle::{BUNDLE_FORMAT, decode_entry, digest};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{Body, Kind, Record};
use crate::core::rules::FindingKind;
use crate::core::tlog::proof::inclusion_proof;
use crate::core::tlog::tile::{TileHashReader, TileId};
use crate::core::tlog::{LogIndex, TreeSize};
use crate::core::wire;
use crate::node::Node;
use crate::store::{Store, StoreError, View};

/// Most entries of one bundle.
const MAX_BUNDLE_ENTRIES: usize = 20_000;

/// A reader of the tree's hashes out of the store.
pub(super) fn tree(
    store: &Store,
    size: TreeSize,
) -> TileHashReader<impl Fn(TileId) -> Result<Vec<crate::core::tlog::Hash>, StoreError> + '_> {
    TileHashReader::new(size, |tile| store.tile(tile))
}

/// An entry, decoded.
pub(super) fn entry(
    store: &Store,
    index: LogIndex,
) -> Result<(prost::bytes::Bytes, Record, wire::Entry), Status> {
    let missing = || errors::store(StoreError::Corrupt(format!("entry {index} is missing")));
    let bytes = store
        .entry(index)
        .map_err(errors::store)?
        .ok_or_else(missing)?;
    let corrupt =
        |error: String| errors::store(StoreError::Corrupt(format!("entry {index}: {error}")));
    let wire: wire::Entry = prost::Message::decode(bytes.clone())
        .map_err(|error: prost::DecodeError| corrupt(error.to_string()))?;
    let (_, record, _, _) = decode_entry(&bytes).map_err(corrupt)?;
    Ok((bytes, record, wire))
}

/// One row of a unit's own history.
pub(super) type Row = (LogIndex, HistoryRow);

/// The rows of a unit's own history from an index on, at most `limit`.
pub(super) fn history(
    view: &View<'_>,
    unit: UnitId,
    from: LogIndex,
    limit: usize,
) -> Result<Vec<Row>, Status> {
    let prefix = unit_bytes(&unit);
    let start = [prefix.as_slice(), &from.0.to_be_bytes()].concat();
    let mut rows = Vec::new();
    view.scan_prefix::<History>(&prefix, &start, |key, row| {
        let index = key
            .last_chunk::<8>()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        rows.push((LogIndex(index), row));
        rows.len() < limit
    })
    .map_err(errors::store)?;
    Ok(rows)
}

/// A step of a timeline: through which container it concerns the unit.
#[derive(Clone, Debug)]
pub(super) struct TimelineRow {
    pub index: LogIndex,
    pub row: HistoryRow,
    pub via: Option<UnitId>,
}

/// The unit's history with that of the containers around it for the time that it was inside.
pub(super) fn timeline(
    view: &View<'_>,
    unit: UnitId,
    limit: usize,
) -> Result<Vec<TimelineRow>, Status> {
    let mut rows = BTreeMap::new();
    collect(
        view,
        unit,
        None,
        LogIndex(0),
        LogIndex(u64::MAX),
        &mut rows,
        limit,
        0,
    )?;
    Ok(rows.into_values().collect())
}

#[allow(clippy::too_many_arguments)] // one recursion, told apart nowhere else
fn collect(
    view: &View<'_>,
    unit: UnitId,
    via: Option<UnitId>,
    from: LogIndex,
    until: LogIndex,
    rows: &mut BTreeMap<LogIndex, TimelineRow>,
    limit: usize,
    depth: usize,
) -> Result<(), Status> {
    if depth > crate::core::record::MAX_NESTING {
        return Ok(());
    }
    let mut inside: Option<(UnitId, LogIndex)> = None;
    // Where the unit went in may lie before `from`: its stays are read from the beginning.
    for (index, row) in history(view, unit, LogIndex(0), limit)? {
        if index > until {
            break;
        }
        if index >= from {
            rows.entry(index).or_insert(TimelineRow { index, row, via });
        }
        if !row.joined || rows.len() >= limit {
            continue;
        }
        match row.kind {
            Kind::Pack => {
                // The container's own row of its filling is no stay.
                if let Some(container) = packed_into(view, unit, index)? {
                    inside = Some((container, index));
                }
            }
            Kind::Unpack | Kind::Return => {
                if let Some((container, packed)) = inside
                    && taken_out(view, unit, index)?
                {
                    let begin = packed.max(from);
                    collect(
                        view,
                        container,
                        Some(container),
                        begin,
                        index,
                        rows,
                        limit,
                        depth + 1,
                    )?;
                    inside = None;
                }
            }
            _ => {}
        }
    }
    if let Some((container, packed)) = inside {
        collect(
            view,
            container,
            Some(container),
            packed.max(from),
            until,
            rows,
            limit,
            depth + 1,
        )?;
    }
    Ok(())
}

fn packed_into(view: &View<'_>, unit: UnitId, index: LogIndex) -> Result<Option<UnitId>, Status> {
    let (_, record, _) = entry(view.store(), index)?;
    Ok(match &record.body {
        Body::Pack { container } if container.id != unit => Some(container.id),
        _ => None,
    })
}

fn taken_out(view: &View<'_>, unit: UnitId, index: LogIndex) -> Result<bool, Status> {
    let (_, record, _) = entry(view.store(), index)?;
    Ok(match &record.body {
        Body::Unpack { container } => container.id != unit,
        Body::Return { .. } => true,
        _ => false,
    })
}

/// Everything that proves a unit's history.
///
/// # Errors
/// NOT_FOUND when the ledger doesn't know the unit, RESOURCE_EXHAUSTED when it is too much.
pub fn bundle(node: &Node, unit: UnitId) -> Result<wire::UnitBundle, Status> {
    let view = node.store().view();
    let head = view.head().map_err(errors::store)?;
    if view.get::<Units>(&unit).map_err(errors::store)?.is_none() {
        return Err(errors::not_found(format!(
            "the ledger has no record of {unit}"
        )));
    }
    let mut collector = Collector {
        view: &view,
        entries: BTreeSet::from([LogIndex(0)]),
        keys: BTreeSet::new(),
    };
    collector.ledger()?;
    collector.unit(unit)?;
    let mut proven = Vec::with_capacity(collector.entries.len());
    let size = TreeSize::new(head.size);
    let reader = tree(node.store(), size);
    for index in &collector.entries {
        let (bytes, _, _) = entry(node.store(), *index)?;
        let proof = inclusion_proof(*index, size, &reader)
            .map_err(|error| errors::store(StoreError::Corrupt(error.to_string())))?;
        proven.push(wire::ProvenEntry {
            index: index.0,
            entry: bytes,
            proof: proof.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        });
    }
    let mut bundle = wire::UnitBundle {
        format: BUNDLE_FORMAT,
        origin: node.origin().to_owned(),
        unit: unit.to_string(),
        checkpoint: node.checkpoint(head).map_err(Status::internal)?,
        entries: proven,
        digest: Vec::new(),
    };
    bundle.digest = digest(&bundle);
    Ok(bundle)
}

/// Gathers the entries that a unit's verdicts depend on.
struct Collector<'a> {
    view: &'a View<'a>,
    entries: BTreeSet<LogIndex>,
    keys: BTreeSet<crate::core::signature::KeyId>,
}

impl Collector<'_> {
    /// Thresholds.
    fn ledger(&mut self) -> Result<(), Status> {
        let ledger = self.view.get::<Ledgers>(&()).map_err(errors::store)?;
        for index in ledger.iter().flat_map(|ledger| &ledger.thresholds_log) {
            self.entry(*index)?;
        }
        Ok(())
    }

    /// A unit, and each container that it was ever in, all with their whole histories: a verdict
    /// depends on all that came before.
    fn unit(&mut self, unit: UnitId) -> Result<(), Status> {
        let mut wanted = vec![unit];
        let mut seen = BTreeSet::from([unit]);
        while let Some(unit) = wanted.pop() {
            self.identifier(unit)?;
            for (index, _) in history(self.view, unit, LogIndex(0), MAX_BUNDLE_ENTRIES)? {
                let record = self.entry(index)?;
                match record.map(|record| record.body) {
                    Some(Body::Pack { container }) if seen.insert(container.id) => {
                        wanted.push(container.id);
                    }
                    Some(Body::Correct { record }) => {
                        let about = self.view.get::<Records>(&record).map_err(errors::store)?;
                        if let Some(index) = about {
                            self.entry(index)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Who gives out its identifier; holds and recalls of its lot and product.
    fn identifier(&mut self, unit: UnitId) -> Result<(), Status> {
        for scope in scopes_of(&unit) {
            let product = self.view.get::<Products>(&scope).map_err(errors::store)?;
            for index in product.iter().flat_map(|product| &product.log) {
                self.entry(*index)?;
            }
        }
        let state = self
            .view
            .get::<Units>(&unit)
            .map_err(errors::store)?
            .unwrap_or_default();
        for goods in goods_of(&unit, &state) {
            let row = self.view.get::<Goods>(&goods).map_err(errors::store)?;
            for index in row.iter().flat_map(|row| &row.log) {
                self.entry(*index)?;
            }
        }
        Ok(())
    }

    /// An entry, and what gave its signer the authority. None when it is there already.
    fn entry(&mut self, index: LogIndex) -> Result<Option<Record>, Status> {
        if !self.entries.insert(index) {
            let (_, record, _) = entry(self.view.store(), index)?;
            return Ok(Some(record));
        }
        if self.entries.len() > MAX_BUNDLE_ENTRIES {
            return Err(Status::resource_exhausted(format!(
                "the history needs more than {MAX_BUNDLE_ENTRIES} entries; audit the log instead"
            )));
        }
        let (_, record, _) = entry(self.view.store(), index)?;
        self.key(record.key_id)?;
        if let Body::ReportEquivocation { first, .. } = &record.body {
            let reported: Result<wire::Envelope, _> = prost::Message::decode(first.as_slice());
            let id = reported
                .ok()
                .and_then(|e| crate::core::signature::KeyId::from_slice(&e.key_id));
            if let Some(id) = id {
                self.key(id)?;
            }
        }
        Ok(Some(record))
    }

    fn key(&mut self, id: crate::core::signature::KeyId) -> Result<(), Status> {
        if !self.keys.insert(id) {
            return Ok(());
        }
        let key: Option<Key> = self.view.get::<Keys>(&id).map_err(errors::store)?;
        let Some(key) = key else { return Ok(()) };
        self.entry(key.registered_at)?;
        if let Some(ended) = key.ended_at {
            self.entry(ended)?;
        }
        if let Actor::Party(party) = key.owner {
            let row = self.view.get::<Parties>(&party).map_err(errors::store)?;
            for index in row.iter().flat_map(|row| &row.log) {
                self.entry(*index)?;
            }
        }
        Ok(())
    }
}

/// Name of a party for people; its id where the name is not public.
pub(super) fn party_name<R: Read>(state: &R, party: PartyId) -> Result<String, Status> {
    let row = state.get::<Parties>(&party).map_err(errors::store)?;
    Ok(row
        .map(|row| row.name)
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
        closed_by: row.closed_by.map_or(0, |index| index.0),
        text: rule.meaning.to_owned(),
        next_step: rule.next_step.to_owned(),
    }
}

/// Kinds of the findings that an entry has at one unit.
pub(super) fn findings_at(record: &Record, entry: &wire::Entry, unit: UnitId) -> Vec<FindingKind> {
    let Some(verdict) = &entry.verdict else {
        return Vec::new();
    };
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
