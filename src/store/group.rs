//! What one commit writes, and how.

use prost::bytes::Bytes;
use rocksdb::WriteBatch;

use super::chunk::ChunkBuilder;
use super::cluster::GROUP;
use super::options::{ENTRIES, META, TILES};
use super::tree::tile_key;
use super::{LogHead, Store, StoreError, encode, encoded_into, states};
use crate::core::apply::state::{Changes, Rows, Table, Units, Visitor};
use crate::core::order::GroupId;
use crate::core::tlog::tile::{TileId, encode_tile};
use crate::core::tlog::{Hash, LogIndex};

/// What one commit writes.
#[derive(Debug)]
pub struct Group {
    /// What it is called in the order of a cluster.
    pub id: Option<GroupId>,
    /// Index of the first entry.
    pub first: LogIndex,
    /// The entries, as bytes.
    pub entries: Vec<Bytes>,
    /// Tiles that became full.
    pub tiles: Vec<(TileId, Vec<Hash>)>,
    /// New values of the views.
    pub changes: Changes,
    /// The log after it.
    pub head: LogHead,
}

impl Group {
    /// Whether there is anything to write: where groups have names, also that an empty one came.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !self.entries.is_empty() || self.id.is_some()
    }

    /// About how many bytes are written for it: what is made for so many needs not grow.
    fn bytes(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.len() + 16).sum();
        let history = self.changes.history.len() * 112;
        let units = &self.changes.units;
        let own = units.values().filter(|unit| !states::may_be_shared(unit));
        let units = units.len() * 48 + own.count() * 272;
        entries + history + units + self.tiles.len() * (8 << 10) + 4096
    }
}

impl Store {
    /// Writes a group: all of it or nothing, and on the disk when this returns (I2, I3).
    ///
    /// After an error nothing is known of the group: it may be written or not. The caller must
    /// not go on, and open the store anew.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn commit(&self, group: &Group) -> Result<(), StoreError> {
        debug_assert_eq!(group.first.0 + group.entries.len() as u64, group.head.size);
        let mut batch = WriteBatch::with_capacity_bytes(group.bytes());
        self.put_entries(group, &mut batch)?;
        let tiles = self.family(TILES)?;
        for (tile, hashes) in &group.tiles {
            let key = tile_key(tile.level(), tile.index());
            batch.put_cf(tiles, key, encode_tile(hashes));
        }
        self.put_units(group, &mut batch)?;
        let mut writer = BatchWriter {
            store: self,
            batch: &mut batch,
            value: Vec::new(),
            failed: None,
        };
        group.changes.visit(&mut writer);
        if let Some(error) = writer.failed {
            return Err(error);
        }
        batch.put_cf(self.family(META)?, "log", encode(&group.head)?);
        if let Some(id) = group.id {
            batch.put_cf(self.family(META)?, GROUP, encode(&id)?);
        }
        self.note_stops(group, &mut batch)?;
        let commit = self.recent.begin();
        self.write(batch)?;
        commit.done(&group.changes, group.head);
        self.add_ids(group.changes.records.iter());
        Ok(())
    }

    fn put_entries(&self, group: &Group, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let family = self.family(ENTRIES)?;
        let mut history = group.changes.history.iter().peekable();
        let mut chunk = ChunkBuilder::default();
        for (index, entry) in (group.first.0..).zip(&group.entries) {
            let rows = std::iter::from_fn(|| history.next_if(|(at, ..)| at.0 == index));
            chunk.push(entry, rows.map(|(_, unit, row)| (unit, row)))?;
            if chunk.is_full() {
                batch.put_cf(family, index.to_be_bytes(), chunk.take());
            }
        }
        if !chunk.is_empty() {
            let last = group.head.size.saturating_sub(1);
            batch.put_cf(family, last.to_be_bytes(), chunk.take());
        }
        debug_assert!(history.next().is_none(), "each row belongs to an entry");
        Ok(())
    }
}

struct BatchWriter<'a> {
    store: &'a Store,
    batch: &'a mut WriteBatch,
    /// Of the row that is written, one after the other.
    value: Vec<u8>,
    failed: Option<StoreError>,
}

impl Visitor for BatchWriter<'_> {
    fn table<T: Table>(&mut self, values: &Rows<T::Key, T::Value>) {
        // Rows of units are written by themselves.
        if self.failed.is_some() || T::NUMBER == Units::NUMBER {
            return;
        }
        let written = self.store.family(T::NAME).and_then(|family| {
            // A row finds its place in the memtable from that of the row before it.
            let rows = values.iter().map(|(key, value)| (T::key_bytes(key), value));
            let mut rows: Vec<_> = rows.collect();
            rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            for (key, value) in rows {
                encoded_into(value, &mut self.value)?;
                self.batch.put_cf(family, key, &self.value);
            }
            Ok(())
        });
        self.failed = written.err();
    }
}
