//! Where each record is in the log, by its id.
//!
//! Ids are random, so a row for each would cost the writer more than all else that a record changes:
//! a place in a sorted table that is far from the last one, and its share of every compaction. But
//! nearly every id is written and never asked for. So the ids of the last entries are kept in
//! memory, and once there are enough of them they are written sorted, as one *run* of rows:
//!
//! ```text
//!  key:    level (1 byte) | first entry of the run (8) | bucket (4)          big endian
//!  value:  first 8 bytes of the id, big endian | entry less the first one (u32, little endian)
//!          of each record whose id falls into the bucket, in the order of the ids
//! ```
//!
//! A run of level `n` has 256 x 16^n buckets; sixteen runs of a level are merged into one of the
//! next. A look-up asks the memory and then each run, newest first, for one bucket, and makes sure
//! by the entry itself, since two ids may begin alike.
//!
//! All of it follows from the entries: what is not in a run yet when the store is opened is read
//! from them again. So runs need no sync, and no place in a group's write.

use std::mem::take;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::{HashMap, HashMapExt as _};
use prost::bytes::Bytes;
use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use super::options::{IDS, META};
use super::{Store, StoreError, decode, encode, entry_frame, io};
use crate::core::envelope::{RecordId, record_id};
use crate::core::tlog::LogIndex;

/// Ids in memory that make a run.
const RUN: usize = 1 << 16;
/// Runs of a level that are merged.
const FAN_IN: usize = 16;
/// Buckets of a run of level 0, as a power of two.
const BUCKET_BITS: u32 = 8;
/// Powers of two by which a level has more buckets than the one below: the fan-in.
const LEVEL_BITS: u32 = 4;
/// Bytes of an id and its entry in a bucket.
const PAIR: usize = 12;
/// Row of the runs in [`META`].
const RUNS: &[u8] = b"ids";
/// Bytes after which a merge writes what it has.
const BATCH_BYTES: usize = 4 << 20;

/// Consecutive entries whose ids are in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    level: u8,
    first: u64,
    count: u64,
}

impl Run {
    const fn end(self) -> u64 {
        self.first + self.count
    }

    fn bits(self) -> u32 {
        (BUCKET_BITS + LEVEL_BITS * u32::from(self.level)).min(32)
    }

    fn key(self, bucket: u32) -> [u8; 13] {
        let mut key = [self.level; 13];
        key[1..9].copy_from_slice(&self.first.to_be_bytes());
        key[9..].copy_from_slice(&bucket.to_be_bytes());
        key
    }

    fn bucket(self, prefix: u64) -> u32 {
        u32::try_from(prefix >> (64 - self.bits())).unwrap_or(u32::MAX)
    }
}

/// The index.
pub(super) struct Ids {
    state: RwLock<State>,
    /// Ids in memory that make a run.
    run: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            state: RwLock::default(),
            run: RUN,
        }
    }
}

#[derive(Default)]
struct State {
    /// Not yet in a run.
    young: HashMap<RecordId, u64>,
    /// Being written as a run.
    sealing: Arc<HashMap<RecordId, u64>>,
    runs: Vec<Run>,
    swept: bool,
}

/// The first bytes of an id, by which it is sorted.
fn prefix(id: &RecordId) -> u64 {
    let [first, ..] = id.0.as_chunks::<8>().0 else {
        return 0; // An id has 32 bytes.
    };
    u64::from_be_bytes(*first)
}

fn pairs(row: &[u8]) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
    row.as_chunks::<PAIR>().0.iter().map(|pair| {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *pair;
        (
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u32::from_le_bytes([i, j, k, l]),
        )
    })
}

fn put_pair(row: &mut Vec<u8>, prefix: u64, offset: u32) {
    row.extend_from_slice(&prefix.to_be_bytes());
    row.extend_from_slice(&offset.to_le_bytes());
}

/// The id of the record in an entry.
fn id_of(index: LogIndex, bytes: Bytes) -> Result<RecordId, StoreError> {
    let entry = entry_frame(index, bytes)?;
    let payload = entry.envelope.unwrap_or_default().payload;
    Ok(record_id(&payload))
}

impl Store {
    /// Reads what is not in a run yet from the entries.
    pub(super) fn open_ids(&self) -> Result<(), StoreError> {
        let runs = self.get_bytes(META, RUNS)?;
        let runs: Vec<Run> = runs.map_or(Ok(Vec::new()), |bytes| decode(&bytes))?;
        let from = runs.last().map_or(0, |run| run.end());
        let mut young = HashMap::new();
        let mut failed = None;
        self.entries(LogIndex(from), |index, bytes| {
            let id = id_of(index, bytes);
            let id = id.map(|id| young.insert(id, index.0));
            failed = id.err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut state = self.ids_mut();
        (state.young, state.runs) = (young, runs);
        Ok(())
    }

    fn ids_now(&self) -> RwLockReadGuard<'_, State> {
        let state = self.ids.state.read();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn ids_mut(&self) -> RwLockWriteGuard<'_, State> {
        // Whoever panicked with the lock left the state whole: each change is one assignment.
        let state = self.ids.state.write();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers records that were committed.
    pub(super) fn add_ids<'a>(&self, ids: impl Iterator<Item = (&'a RecordId, &'a LogIndex)>) {
        let mut state = self.ids_mut();
        state.young.extend(ids.map(|(id, index)| (*id, index.0)));
    }

    /// Where a record is.
    pub(super) fn find_id(&self, id: &RecordId) -> Result<Option<LogIndex>, StoreError> {
        // Held to the end: rows of runs that were merged go only when nobody looks at them.
        let state = self.ids_now();
        let in_memory = state.young.get(id).or_else(|| state.sealing.get(id));
        if let Some(index) = in_memory {
            return Ok(Some(LogIndex(*index)));
        }
        let wanted = prefix(id);
        for run in state.runs.iter().rev() {
            let row = self
                .db
                .get_pinned_cf(self.family(IDS)?, run.key(run.bucket(wanted)))
                .map_err(|error| io(&error))?;
            let Some(row) = row else { continue };
            let rows = row.as_chunks::<PAIR>().0;
            let begin = rows.partition_point(|pair| pair[..8] < id.0[..8]);
            let alike = pairs(&row).skip(begin);
            for (_, offset) in alike.take_while(|(prefix, _)| *prefix == wanted) {
                let index = LogIndex(run.first + u64::from(offset));
                let entry = self.entry(index)?;
                let entry = entry.ok_or_else(|| StoreError::no_entry(index))?;
                if id_of(index, entry)? == *id {
                    return Ok(Some(index));
                }
            }
        }
        Ok(None)
    }

    /// Whether [`Store::tend_ids`] has something to do.
    #[must_use]
    pub fn ids_are_due(&self) -> bool {
        self.ids_now().young.len() >= self.ids.run
    }

    /// Writes the ids in memory as a run once there are enough, and merges runs. It may take long,
    /// and may go on beside commits, but only once at a time.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn tend_ids(&self) -> Result<(), StoreError> {
        self.sweep()?;
        if self.ids_are_due() {
            self.seal()?;
        }
        while self.merge()? {}
        Ok(())
    }

    /// Deletes what a merge left that a crash interrupted: rows of runs that are in a larger one.
    fn sweep(&self) -> Result<(), StoreError> {
        let runs = {
            let mut state = self.ids_mut();
            if std::mem::replace(&mut state.swept, true) {
                return Ok(());
            }
            state.runs.clone()
        };
        let family = self.family(IDS)?;
        for run in runs {
            for level in 0..run.level {
                let first = Run { level, ..run };
                let end = Run {
                    first: run.end(),
                    ..first
                };
                let mut rows = self.db.raw_iterator_cf(family);
                rows.seek(first.key(0));
                if rows.key().is_some_and(|key| key < &end.key(0)[..]) {
                    let mut batch = WriteBatch::default();
                    batch.delete_range_cf(family, first.key(0), end.key(0));
                    self.write_unsynced(batch)?;
                }
            }
        }
        Ok(())
    }

    fn seal(&self) -> Result<(), StoreError> {
        let (ids, mut runs) = {
            let mut state = self.ids_mut();
            if !state.sealing.is_empty() {
                return Err(StoreError::Io("an earlier run was not written".into()));
            }
            state.sealing = Arc::new(take(&mut state.young));
            (Arc::clone(&state.sealing), state.runs.clone())
        };
        let run = Run {
            level: 0,
            first: runs.last().map_or(0, |run| run.end()),
            count: ids.len() as u64,
        };
        let mut sorted = Vec::with_capacity(ids.len());
        for (id, index) in ids.iter() {
            let offset = index.checked_sub(run.first).filter(|o| *o < run.count);
            let offset = offset.and_then(|offset| u32::try_from(offset).ok());
            let offset = offset.ok_or_else(|| {
                StoreError::Corrupt(format!("entry {index} is not of the run {run:?}"))
            })?;
            sorted.push((prefix(id), offset));
        }
        sorted.sort_unstable();
        let mut batch = WriteBatch::default();
        self.put_buckets(&mut batch, run, &sorted)?;
        runs.push(run);
        self.put_runs(&mut batch, &runs)?;
        self.write_unsynced(batch)?;
        let mut state = self.ids_mut();
        (state.runs, state.sealing) = (runs, Arc::default());
        Ok(())
    }

    fn put_buckets(
        &self,
        batch: &mut WriteBatch,
        run: Run,
        sorted: &[(u64, u32)],
    ) -> Result<(), StoreError> {
        let family = self.family(IDS)?;
        for bucket in sorted.chunk_by(|(a, _), (b, _)| run.bucket(*a) == run.bucket(*b)) {
            let mut row = Vec::with_capacity(bucket.len() * PAIR);
            for (prefix, offset) in bucket {
                put_pair(&mut row, *prefix, *offset);
            }
            let number = bucket.first().map_or(0, |(prefix, _)| run.bucket(*prefix));
            batch.put_cf(family, run.key(number), row);
        }
        Ok(())
    }

    fn put_runs(&self, batch: &mut WriteBatch, runs: &Vec<Run>) -> Result<(), StoreError> {
        batch.put_cf(self.family(META)?, RUNS, encode(runs)?);
        Ok(())
    }

    /// Merges the last runs if there are enough of one level. Says whether it did.
    fn merge(&self) -> Result<bool, StoreError> {
        let mut runs = self.ids_now().runs.clone();
        let Some(last) = runs.last().copied() else {
            return Ok(false);
        };
        let alike = runs.iter().rev().take_while(|run| run.level == last.level);
        if alike.count() < FAN_IN {
            return Ok(false);
        }
        let old = runs.split_off(runs.len() - FAN_IN);
        let merged = Run {
            level: last.level + 1,
            first: old.first().map_or(0, |run| run.first),
            count: old.iter().map(|run| run.count).sum(),
        };
        let family = self.family(IDS)?;
        // No look-up knows of the new rows before the list of runs names them.
        let mut batch = WriteBatch::default();
        for bucket in 0..1u32 << last.bits() {
            let mut sorted = Vec::new();
            for run in &old {
                let row = self.db.get_pinned_cf(family, run.key(bucket));
                let Some(row) = row.map_err(|error| io(&error))? else {
                    continue;
                };
                let moved = u32::try_from(run.first - merged.first).unwrap_or(u32::MAX);
                let moved = pairs(&row).map(|(prefix, offset)| {
                    // A run of the highest level has 2^32 entries at most.
                    (prefix, offset.saturating_add(moved))
                });
                sorted.extend(moved);
            }
            sorted.sort_unstable();
            self.put_buckets(&mut batch, merged, &sorted)?;
            if batch.size_in_bytes() > BATCH_BYTES {
                self.write_unsynced(take(&mut batch))?;
            }
        }
        runs.push(merged);
        self.put_runs(&mut batch, &runs)?;
        self.write_unsynced(batch)?;
        self.ids_mut().runs = runs;
        let mut batch = WriteBatch::default();
        for run in &old {
            batch.delete_range_cf(family, run.key(0), run.key(u32::MAX));
        }
        self.write_unsynced(batch)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prost::Message as _;

    use super::*;
    use crate::core::apply::state::Changes;
    use crate::core::tlog::EMPTY_ROOT;
    use crate::core::wire;
    use crate::store::{Group, LogHead, StoreOptions};

    const SHORT_RUN: usize = 8;

    fn entry(number: u64) -> (RecordId, Bytes) {
        let envelope = wire::Envelope {
            payload: Bytes::copy_from_slice(&number.to_be_bytes()),
            ..Default::default()
        };
        let entry = wire::Entry {
            envelope: Some(envelope),
            ..Default::default()
        };
        let bytes = Bytes::from(entry.encode_to_vec());
        (id_of(LogIndex(number), bytes.clone()).unwrap(), bytes)
    }

    fn commit(store: &Store, first: u64, count: u64) {
        let (ids, entries): (Vec<_>, Vec<_>) = (first..first + count).map(entry).unzip();
        let changes = Changes {
            records: ids.into_iter().zip((first..).map(LogIndex)).collect(),
            ..Changes::default()
        };
        let head = LogHead {
            size: first + count,
            root: EMPTY_ROOT,
        };
        let group = Group {
            id: None,
            first: LogIndex(first),
            entries,
            tiles: Vec::new(),
            changes,
            head,
        };
        store.commit(&group).unwrap();
    }

    fn open(path: &Path) -> Store {
        let mut store = Store::open(path, &StoreOptions::default()).unwrap();
        store.ids.run = SHORT_RUN;
        store
    }

    fn assert_finds(store: &Store, size: u64) {
        for number in 0..size {
            let found = store.find_id(&entry(number).0).unwrap();
            assert_eq!(found, Some(LogIndex(number)), "of {size}");
        }
        for number in size..size + 50 {
            assert_eq!(store.find_id(&entry(number).0).unwrap(), None);
        }
    }

    fn levels(store: &Store) -> Vec<u8> {
        let state = store.ids.state.read().unwrap();
        state.runs.iter().map(|run| run.level).collect()
    }

    #[test]
    fn given_many_records_when_runs_are_written_merged_and_opened_again_then_each_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(Store::create(&path, &StoreOptions::default()).unwrap());
        let mut store = open(&path);
        let mut size = 0;
        for group in 0..300 {
            let count = 1 + group % 13;
            commit(&store, size, count);
            size += count;
            store.tend_ids().unwrap();
            if group % 60 == 0 {
                assert_finds(&store, size);
            }
            if group % 100 == 50 {
                drop(store);
                store = open(&path);
                assert_finds(&store, size);
            }
        }
        assert_finds(&store, size);
        let levels = levels(&store);
        assert!(levels.contains(&1), "{levels:?}");
        assert!(levels.iter().filter(|level| **level == 0).count() < FAN_IN);
        let rows = store
            .db
            .iterator_cf(store.family(IDS).unwrap(), rocksdb::IteratorMode::Start);
        let kept: usize = rows.map(|row| row.unwrap().1.len() / PAIR).sum();
        let state = store.ids.state.read().unwrap();
        assert_eq!(kept + state.young.len(), usize::try_from(size).unwrap());
    }

    #[test]
    fn given_two_ids_that_begin_alike_when_looked_up_then_the_entry_tells_them_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(Store::create(&path, &StoreOptions::default()).unwrap());
        let store = open(&path);
        commit(&store, 0, 20);
        store.tend_ids().unwrap();
        let mut alike = entry(7).0;
        alike.0[31] ^= 1;
        assert_eq!(store.find_id(&alike).unwrap(), None);
        assert_eq!(store.find_id(&entry(7).0).unwrap(), Some(LogIndex(7)));
    }
}
