//! A store as it was at one moment, for answers that are of one piece.

use std::cell::{Cell, OnceCell};

use rocksdb::{DBPinnableSlice, Direction, IteratorMode, ReadOptions, ReadTier};
use serde::de::DeserializeOwned;

use super::memo::Memo;
use super::options::META;
use super::recent::is_shared;
use super::side::Side;
use super::states::Values;
use super::{
    EntryReader, KnownReader, LogHead, Store, StoreError, decode, io, read_error, visit_rows,
};
use crate::core::apply::state::{HistoryRow, Read, ReadError, Table};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::record::GoodsId;
use crate::core::tlog::LogIndex;

/// How far a view goes for a row or a known entry. Scans, histories and ids are read from wherever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the disk, which may take its time.
    Disk,
    /// No further than what is in memory. Where that doesn't do, reading fails, and the view has [missed](View::missed)
    /// something.
    Memory,
}

impl Reach {
    pub(super) fn options(self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if self == Self::Memory {
            options.set_read_tier(ReadTier::BlockCache);
        }
        options
    }
}

/// A store at one moment. What was read once is remembered.
pub struct View<'a> {
    store: &'a Store,
    at: ReadOptions,
    snapshot: rocksdb::Snapshot<'a>,
    /// The log's size, where no commit was under way.
    size: Option<u64>,
    head: OnceCell<LogHead>,
    memo: Memo,
    reach: Reach,
    missed: Cell<bool>,
}

/// Rows of a table that a view remembers in a generation.
const REMEMBERED: usize = 4096;

impl<'a> View<'a> {
    pub(super) fn new(store: &'a Store, reach: Reach) -> Self {
        let (snapshot, size) = store.recent.snapshot(|| store.db.snapshot());
        let mut at = reach.options();
        at.set_snapshot(&snapshot);
        Self {
            store,
            at,
            snapshot,
            size,
            head: OnceCell::new(),
            memo: Memo::new(REMEMBERED, REMEMBERED),
            reach,
            missed: Cell::new(false),
        }
    }
}

impl View<'_> {
    /// Whether something was asked for that is not in memory. Then what it gave is an error, and a view that goes
    /// further has the answer.
    #[must_use]
    pub const fn missed(&self) -> bool {
        self.missed.get()
    }

    /// How far it goes.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    pub(super) fn note<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(read, Err(StoreError::NotInMemory)) {
            self.missed.set(true);
        }
        read
    }

    /// A row that this view has not read yet.
    fn row<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        if !is_shared::<T>() {
            return self.stored::<T>(key, &mut self.values());
        }
        let size = self.moment().map_err(|error| read_error(META, &error))?;
        let recent = &self.store.recent;
        if let Some(row) = recent.get::<T>(size, key) {
            return Ok(row);
        }
        let row = self.stored::<T>(key, &mut self.values())?;
        recent.put::<T>(size, key, &row);
        Ok(row)
    }

    /// The log's size, which says what of the shared rows is of this view's moment.
    fn moment(&self) -> Result<u64, StoreError> {
        match self.size {
            Some(size) => Ok(size),
            None => Ok(self.head()?.size),
        }
    }

    /// A state is never changed, so it is read past the snapshot.
    const fn values(&self) -> Values<'_> {
        Values::new(self.store, self.reach)
    }

    /// A row as the store has it.
    fn stored<T: Table>(
        &self,
        key: &T::Key,
        values: &mut Values<'_>,
    ) -> Result<Option<T::Value>, ReadError> {
        let row = self.read(T::NAME, &T::key_bytes(key));
        let value = |row: DBPinnableSlice<'_>| values.of::<T>(&row);
        let row = row.and_then(|row| self.note(row.map(value).transpose()));
        row.map_err(|error| read_error(T::NAME, &error))
    }

    fn read(&self, family: &str, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        let family = self.store.family(family)?;
        let row = self.store.db.get_pinned_cf_opt(family, key, &self.at);
        self.note(row.map_err(|error| io(&error)))
    }

    /// Size and root of the log at that moment.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn head(&self) -> Result<LogHead, StoreError> {
        if let Some(head) = self.head.get() {
            return Ok(*head);
        }
        let known = self.size.and_then(|size| self.store.recent.head(size));
        let head = match known {
            Some(head) => head,
            None => {
                let bytes = self.read(META, b"log")?;
                decode(&bytes.ok_or_else(|| StoreError::Corrupt("no log head".into()))?)?
            }
        };
        Ok(*self.head.get_or_init(|| head))
    }

    /// A reader of decoded entries, which remembers them for all; as far as this view goes.
    #[must_use]
    pub const fn known_entries(&self) -> KnownReader<'_> {
        KnownReader::new(self)
    }

    pub(super) fn reader(&self) -> Result<EntryReader<'_>, StoreError> {
        EntryReader::new(self.store, self.reach.options())
    }

    /// The store, for what never changes once written: entries and full tiles.
    #[must_use]
    pub const fn store(&self) -> &Store {
        self.store
    }

    /// Rows of some keys. What is not among those that look-ups share is read all at once.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn rows<T: Table>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, StoreError> {
        if !is_shared::<T>() {
            return self.stored_rows::<T>(keys);
        }
        let (recent, size) = (&self.store.recent, self.moment()?);
        let known = keys.iter().map(|key| recent.get::<T>(size, key));
        let known: Vec<_> = known.collect();
        let all = keys.iter().zip(&known);
        let unknown = all.filter(|(_, row)| row.is_none());
        let unknown: Vec<_> = unknown.map(|(key, _)| key.clone()).collect();
        if unknown.is_empty() {
            return Ok(known.into_iter().flatten().collect());
        }
        let mut read = self.stored_rows::<T>(&unknown)?.into_iter();
        let row = |(key, known): (&T::Key, Option<Option<T::Value>>)| {
            known.unwrap_or_else(|| {
                let row = read.next().flatten();
                recent.put::<T>(size, key, &row);
                row
            })
        };
        Ok(keys.iter().zip(known).map(row).collect())
    }

    fn stored_rows<T: Table>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, StoreError> {
        if self.reach == Reach::Memory {
            // A batch would go to the disk for what is not there, whatever it is told.
            let mut values = self.values();
            let row = |key| Ok(self.stored::<T>(key, &mut values)?);
            return keys.iter().map(row).collect();
        }
        self.store.multi_get_at::<T>(keys, &self.at)
    }

    /// Reads rows that will be asked for, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn prefetch<T: Table>(&self, keys: &[T::Key]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let rows = self.rows::<T>(keys)?;
        self.memo.with::<T, _>(|table| {
            for (key, row) in keys.iter().zip(rows) {
                table.put(key.clone(), row);
            }
        });
        Ok(())
    }

    /// Rows of a table whose key's bytes begin with a prefix, from a key on, until the visitor
    /// says stop.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn scan_prefix<T: Table>(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], T::Value) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from.max(prefix), Direction::Forward);
        let rows = self.snapshot.iterator_cf(self.store.family(T::NAME)?, mode);
        let mut values = Values::new(self.store, Reach::Disk);
        visit_rows(rows, prefix, |row| values.of::<T>(row), visit)
    }

    /// Rows beside the log whose keys begin with a prefix, as of the same moment.
    ///
    /// # Errors
    /// As [`View::scan_prefix`].
    pub fn side_scan<V: DeserializeOwned>(
        &self,
        side: Side,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], V) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from.max(prefix), Direction::Forward);
        let family = self.store.family(side.family())?;
        let rows = self.snapshot.iterator_cf(family, mode);
        visit_rows(rows, prefix, decode, visit)
    }

    /// The same from a key back, that key included.
    ///
    /// # Errors
    /// As [`View::scan_prefix`].
    pub fn side_scan_back<V: DeserializeOwned>(
        &self,
        side: Side,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], V) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from, Direction::Reverse);
        let family = self.store.family(side.family())?;
        let rows = self.snapshot.iterator_cf(family, mode);
        visit_rows(rows, prefix, decode, visit)
    }
}

impl Read for View<'_> {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        if let Some(row) = self.memo.with::<T, _>(|table| table.get(key)) {
            return Ok(row);
        }
        let row = self.row::<T>(key)?;
        self.memo
            .with::<T, _>(|table| table.put(key.clone(), row.clone()));
        Ok(row)
    }

    /// Rows of history never change, so they are read past the snapshot, and from the disk.
    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        self.store.history(unit, index)
    }

    fn may_be_stopped(&self, goods: &GoodsId) -> bool {
        self.store.may_be_stopped(goods)
    }

    /// Where a record is never changes either; it may lie behind the snapshot.
    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        self.store.entry_of(record)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::apply::state::{Changes, Unit, Units};
    use crate::core::tlog::EMPTY_ROOT;
    use crate::store::{Group, StoreOptions};

    fn item(n: u32) -> UnitId {
        format!("01/10614141123459/21/{n}").parse().unwrap()
    }

    fn commit(store: &Store, lengths: impl Iterator<Item = (UnitId, u64)>) {
        let mut changes = Changes::default();
        for (id, length) in lengths {
            let unit = Unit {
                length,
                ..Unit::default()
            };
            changes.units.insert(id, Arc::new(unit));
        }
        let group = Group {
            id: None,
            first: LogIndex(0),
            entries: Vec::new(),
            tiles: Vec::new(),
            changes,
            head: LogHead {
                size: 0,
                root: EMPTY_ROOT,
            },
        };
        store.commit(&group).unwrap();
    }

    /// RocksDB answers from a memory that holds some of the blocks in several ways, by what is missing; none of them may
    /// be taken for "no such row", or for the row that was there before.
    #[test]
    fn given_a_memory_that_holds_a_part_of_the_rows_when_a_batch_is_read_from_it_then_it_is_whole_and_right_or_missed()
     {
        const UNITS: u32 = 40_000;
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            block_cache_bytes: 1 << 20,
            remembered_units: 0,
            ..StoreOptions::default()
        };
        let store = Store::create(&folder.path().join("store"), &options).unwrap();
        commit(&store, (0..UNITS).map(|n| (item(n), 1)));
        store.flush_all().unwrap();
        commit(&store, (0..UNITS).step_by(3).map(|n| (item(n), 2)));
        store.flush_all().unwrap();
        let length = |n: u32| match n {
            UNITS.. => None,
            n => Some(if n.is_multiple_of(3) { 2 } else { 1 }),
        };
        let (mut whole, mut missed) = (0, 0);
        let mut at = 1;
        for round in 0..6_000u32 {
            // Batches of many sizes, some near to what was read last and some from anywhere, with units that nobody made.
            let batch: Vec<u32> = (0..1 + round % 12)
                .map(|i| {
                    at = (at * 48_271u32) % 0x7fff;
                    if round % 5 == 0 {
                        at * 2 % (UNITS + 4_000)
                    } else {
                        (round / 50 * 97 + i) % (UNITS + 4_000)
                    }
                })
                .collect();
            let ids: Vec<UnitId> = batch.iter().copied().map(item).collect();
            let expected: Vec<Option<u64>> = batch.iter().copied().map(length).collect();
            let lengths = |rows: Vec<Option<Arc<Unit>>>| -> Vec<Option<u64>> {
                rows.iter()
                    .map(|row| row.as_ref().map(|unit| unit.length))
                    .collect()
            };
            let near = store.view_within(Reach::Memory);
            match near.rows::<Units>(&ids) {
                Ok(rows) => {
                    assert_eq!(lengths(rows), expected);
                    whole += 1;
                }
                Err(StoreError::NotInMemory) => {
                    assert!(near.missed());
                    missed += 1;
                }
                Err(error) => panic!("{error}"),
            }
            if round % 2 == 0 {
                let rows = store.view().rows::<Units>(&ids).unwrap();
                assert_eq!(lengths(rows), expected);
            }
        }
        assert!(
            whole > 500 && missed > 500,
            "{whole} whole, {missed} missed"
        );
    }

    #[test]
    fn given_rows_on_the_disk_when_a_view_goes_no_further_than_memory_then_it_says_so_until_they_were_read()
     {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let options = StoreOptions::default();
        let ids = [1, 2].map(item);
        let store = Store::create(&path, &options).unwrap();
        commit(&store, [(ids[0], 0)].into_iter());
        drop(store);
        let store = Store::open(&path, &options).unwrap();
        let near = store.view_within(Reach::Memory);
        let error = near.get::<Units>(&ids[0]).unwrap_err();
        assert!(error.out_of_reach && near.missed());
        let near = store.view_within(Reach::Memory);
        assert!(matches!(
            near.prefetch::<Units>(&ids),
            Err(StoreError::NotInMemory)
        ));
        assert!(near.missed());
        let far = store.view();
        far.prefetch::<Units>(&ids).unwrap();
        assert!(far.get::<Units>(&ids[0]).unwrap().is_some());
        let near = store.view_within(Reach::Memory);
        assert!(near.get::<Units>(&ids[0]).unwrap().is_some());
        assert!(near.get::<Units>(&ids[1]).unwrap().is_none());
        near.prefetch::<Units>(&ids).unwrap();
        assert!(!near.missed());
    }
}
