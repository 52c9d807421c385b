//! Entries that were read last, decoded: an entry never changes, and what one consumer asks for many do. A pallet's
//! records are steps of everything on it.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;

use super::{EntryReader, StoreError, View, chunk};
use crate::core::apply::state::HistoryRow;
use crate::core::bundle::{DecodedEntry, decode_entry};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// What a decoded entry takes beside the bytes that it is made of, about.
const DECODED_BYTES: usize = 1280;

/// An entry, decoded, and what it did to units.
#[derive(Debug)]
pub struct KnownEntry {
    /// The entry.
    pub decoded: DecodedEntry,
    /// Id of the record in it.
    pub id: RecordId,
    /// The first of its rows: most entries have no other.
    first: Option<(UnitId, HistoryRow)>,
    rows: Box<[u8]>,
    /// What it takes, about.
    bytes: usize,
}

impl KnownEntry {
    fn new(index: LogIndex, entry: &[u8], rows: &[u8]) -> Result<Self, StoreError> {
        let decoded = decode_entry(entry)
            .map_err(|error| StoreError::Corrupt(format!("entry {index}: {error}")))?;
        Ok(Self {
            id: decoded.envelope.record_id(),
            decoded,
            first: chunk::Rows::new(rows).next().transpose()?,
            rows: rows.into(),
            // Decoded, a unit that a record names takes some four times its bytes.
            bytes: DECODED_BYTES + 5 * entry.len() + rows.len(),
        })
    }

    /// What it did to a unit.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it doesn't read.
    pub fn row(&self, unit: &UnitId) -> Result<Option<HistoryRow>, StoreError> {
        match &self.first {
            Some((first, row)) if first == unit => Ok(Some(*row)),
            _ => chunk::row_of(&self.rows, unit),
        }
    }
}

/// Those that were asked for last, of so many bytes at most: half of them in each of two generations, of which the older
/// one is forgotten when the younger is full.
pub(super) struct KnownEntries {
    half: usize,
    kept: Mutex<Kept>,
}

type Generation = HashMap<u64, Arc<KnownEntry>>;

#[derive(Default)]
struct Kept {
    young: Generation,
    young_bytes: usize,
    old: Generation,
}

impl KnownEntries {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            half: bytes / 2,
            kept: Mutex::default(),
        }
    }

    fn get(&self, index: LogIndex) -> Option<Arc<KnownEntry>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.young.get(&index.0) {
            return Some(Arc::clone(entry));
        }
        let entry = kept.old.remove(&index.0)?;
        drop(kept);
        self.put(index, &entry);
        Some(entry)
    }

    fn put(&self, index: LogIndex, entry: &Arc<KnownEntry>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = kept.put(index, entry, self.half);
        drop(kept);
        drop(forgotten);
    }
}

impl Kept {
    /// Puts one in, and gives back those that are forgotten for it: to drop them takes a while, and nobody else should
    /// wait for that.
    fn put(&mut self, index: LogIndex, entry: &Arc<KnownEntry>, half: usize) -> Option<Generation> {
        if entry.bytes > half {
            return None;
        }
        let full = self.young_bytes + entry.bytes > half;
        let forgotten = full.then(|| {
            self.young_bytes = 0;
            std::mem::replace(&mut self.old, std::mem::take(&mut self.young))
        });
        if self.young.insert(index.0, Arc::clone(entry)).is_none() {
            self.young_bytes += entry.bytes;
        }
        forgotten
    }
}

/// Reads decoded entries.
pub struct KnownReader<'a> {
    view: &'a View<'a>,
    /// Made when something has to be read.
    reader: Option<EntryReader<'a>>,
}

impl<'a> KnownReader<'a> {
    pub(super) const fn new(view: &'a View<'a>) -> Self {
        Self { view, reader: None }
    }

    /// An entry, or none where there is no such entry.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn entry(&mut self, index: LogIndex) -> Result<Option<Arc<KnownEntry>>, StoreError> {
        let view = self.view;
        let known = &view.store().known;
        if let Some(entry) = known.get(index) {
            return Ok(Some(entry));
        }
        let Some((entry, rows)) = view.note(self.reader()?.parts(index))? else {
            return Ok(None);
        };
        let entry = Arc::new(KnownEntry::new(index, entry, rows)?);
        known.put(index, &entry);
        Ok(Some(entry))
    }

    /// What an entry did to a unit. Who goes through many to use a few of them decodes none.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn row(
        &mut self,
        unit: &UnitId,
        index: LogIndex,
    ) -> Result<Option<HistoryRow>, StoreError> {
        let view = self.view;
        match view.store().known.get(index) {
            Some(entry) => entry.row(unit),
            None => view.note(self.reader()?.row(unit, index)),
        }
    }

    fn reader(&mut self) -> Result<&mut EntryReader<'a>, StoreError> {
        Ok(match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.view.reader()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::encode_entry;
    use crate::core::apply::testing::{MAKER, World, item, say};
    use crate::core::record::Millis;

    fn an_entry() -> Arc<KnownEntry> {
        let mut world = World::new();
        world.ok(MAKER, &[item(1)], say::commission());
        let (envelope, time, verdict) = world.log.last().unwrap();
        let entry = encode_entry(envelope, Millis(*time), verdict);
        Arc::new(KnownEntry::new(LogIndex(0), &entry, &[]).unwrap())
    }

    #[test]
    fn given_more_entries_than_fit_when_asked_then_those_in_use_are_known_and_no_more_than_fit() {
        let entry = an_entry();
        let known = KnownEntries::new(entry.bytes * 8);
        for index in 0..4 {
            known.put(LogIndex(index), &entry);
        }
        known.put(LogIndex(4), &entry);
        assert!(known.get(LogIndex(0)).is_some(), "of the older half");
        for index in 5..8 {
            known.put(LogIndex(index), &entry);
        }
        assert!(known.get(LogIndex(0)).is_some(), "in use");
        assert!(known.get(LogIndex(1)).is_none(), "forgotten");
        let kept = known.kept.lock().unwrap();
        assert!(kept.young_bytes <= entry.bytes * 4);
        assert!(kept.young.len() + kept.old.len() <= 8);
    }

    #[test]
    fn given_no_room_when_an_entry_is_put_then_nothing_is_kept() {
        let known = KnownEntries::new(0);
        known.put(LogIndex(1), &an_entry());
        assert!(known.get(LogIndex(1)).is_none());
    }
}
