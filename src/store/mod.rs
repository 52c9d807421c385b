//! The store: entries, hash tiles and views in one RocksDB, changed by one atomic, synced write a
//! group (I2, I3).
//!
//! | family | key | value |
//! |---|---|---|
//! | `meta` | `format`, `log` | format version; size and root of the log |
//! | `meta` | `group`, `cluster` | in a cluster: the last group of the order that is in here; what the node remembers |
//! | `meta` | `stopped`, `stopped ` and a lot or product | which goods may be on hold or recalled, see `stops` |
//! | `entries` | index of the last, 8 bytes big endian | a few entries, see `chunk` |
//! | `tiles` | level, tile index (9 bytes) | a full tile: 256 hashes |
//! | `ids` | run, bucket | where records are, by their ids, see `ids` |
//! | one a table of the views | see `core::apply::state` | see [`codec`] |
//! | `states` | first entry of the group, number (12 bytes) | a state that many units have, see `states` |
//! | `signals` | see `signals` | see [`codec`]; beside the log, see [`Side`] |
//!
//! Only full tiles are written; the right edge of the tree is built on opening from the last
//! entries and the full tiles below, and its root must be the one in `meta`.

mod cache;
mod chunk;
mod cluster;
pub mod codec;
mod ids;
mod known;
mod memo;
mod memory;
mod options;
mod reader;
mod recent;
mod side;
mod staged;
mod states;
mod stops;
mod view;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::bytes::Bytes;
use rocksdb::{ColumnFamily, DB, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

pub use cache::Cached;
use chunk::ChunkBuilder;
pub use chunk::Rows;
pub use cluster::ClusterMemory;
use cluster::{GROUP, MEMORY};
use known::KnownEntries;
pub use known::{KnownEntry, KnownReader};
pub use memory::InMemory;
pub use options::StoreOptions;
use options::{ENTRIES, META, TILES};
pub use reader::EntryReader;
pub use side::{Side, SideChanges};
pub use staged::{Staged, StagedError};
use states::Values;
pub use view::{Reach, View};

use crate::core::apply::state::{
    Changes, HistoryRow, Read, ReadError, Rows as Changed, TABLES, Table, Units, Visitor,
};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::order::GroupId;
use crate::core::tlog::proof::root;
use crate::core::tlog::tile::{
    BundleId, RightEdge, TILE_WIDTH, TileHashReader, TileId, decode_tile, encode_bundle,
    encode_tile, full_tile_root,
};
use crate::core::tlog::{Hash, LogIndex, TreeSize, leaf_hash};
use crate::core::wire;

/// Version of the store's layout. 1 had a row for each entry, for each id and for each step of a
/// history; 2 knew nothing of credit, 3 nothing of alerts, 4 nothing of measures, inspections, what is shared, and who may
/// read; 6 had a whole state in the row of every unit, and a value in every row of a history.
pub const FORMAT: u32 = 7;

/// What can be wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No store there.
    #[error("{0} holds no ledger; make one with `custody init`")]
    Absent(PathBuf),
    /// One is there already.
    #[error("{0} holds a ledger already; choose another folder")]
    Exists(PathBuf),
    /// Written by a newer build.
    #[error("the store has format {found}, this build reads {FORMAT}; use a newer build")]
    NewerFormat {
        /// What the store says.
        found: u32,
    },
    /// Written by an older build.
    #[error(
        "the store has format {found}, this build reads {FORMAT}; use the build that wrote it, or \
         make a new ledger with `custody init`"
    )]
    OlderFormat {
        /// What the store says.
        found: u32,
    },
    /// Another process has it.
    #[error("another process holds the ledger in {0}; stop it first")]
    Locked(PathBuf),
    /// The files are damaged. Nothing was repaired.
    #[error("the store is corrupt: {0}; restore it from a backup, nothing was changed")]
    Corrupt(String),
    /// The disk or the system failed.
    #[error("the store failed: {0}")]
    Io(String),
    /// It would have to be read from the disk, and the view goes no further than memory.
    #[error("not in memory")]
    NotInMemory,
}

impl StoreError {
    /// What an entry left in the views has to be there and is not.
    #[must_use]
    pub fn no_row(index: LogIndex) -> Self {
        Self::Corrupt(format!("no row of entry {index}"))
    }

    /// An entry that has to be there is not.
    #[must_use]
    pub fn no_entry(index: LogIndex) -> Self {
        Self::Corrupt(format!("entry {index} is missing"))
    }
}

/// The frame of an entry that this store holds; the record in it stays encoded.
///
/// # Errors
/// [`StoreError::Corrupt`] when it doesn't decode.
pub fn entry_frame(index: LogIndex, bytes: Bytes) -> Result<wire::Entry, StoreError> {
    prost::Message::decode(bytes)
        .map_err(|error: prost::DecodeError| StoreError::Corrupt(format!("entry {index}: {error}")))
}

/// The log's size and root, as of the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

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

/// Family and key, to value.
pub type Dump = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// An open store.
pub struct Store {
    db: DB,
    sync: bool,
    ids: ids::Ids,
    known: KnownEntries,
    recent: recent::Recent,
    states: states::States,
    stops: stops::Stops,
    /// See [`Store::side_guard`].
    sides: std::sync::Mutex<()>,
}

impl Store {
    /// Makes a new, empty store.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where one is already.
    pub fn create(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        if is_store(path) {
            return Err(StoreError::Exists(path.to_owned()));
        }
        let mut db_options = options::database(options);
        db_options.create_if_missing(true);
        db_options.create_missing_column_families(true);
        let mut store = Self::open_with(path, &db_options, options)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(store.family(META)?, "format", FORMAT.to_be_bytes());
        let head = LogHead {
            size: 0,
            root: crate::core::tlog::EMPTY_ROOT,
        };
        batch.put_cf(store.family(META)?, "log", encode(&head)?);
        store.begin_stops(&mut batch)?;
        store.write(batch)?;
        store.open_stops()?;
        store.recent.opened(head);
        Ok(store)
    }

    /// Opens a store and checks its format. Nothing is repaired.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with it.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        if !is_store(path) {
            return Err(StoreError::Absent(path.to_owned()));
        }
        let mut store = match Self::open_with(path, &options::database(options), options) {
            Ok(store) => store,
            // Another format may have other families, and then it opens only to say which it is.
            Err(error) => return Err(another_format(path).unwrap_or(error)),
        };
        let format = store.get_bytes(META, b"format")?;
        check_format(format.as_deref())?;
        store.check_sizes()?;
        store.open_ids()?;
        store.open_stops()?;
        store.recent.opened(store.head()?);
        Ok(store)
    }

    fn open_with(
        path: &Path,
        db_options: &rocksdb::Options,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let opened = DB::open_cf_descriptors(db_options, path, options::families(options));
        let db = opened.map_err(|error| classify(&error, path))?;
        Ok(Self {
            sides: std::sync::Mutex::new(()),
            db,
            sync: options.sync,
            ids: ids::Ids::default(),
            known: KnownEntries::new(options.entry_cache_bytes),
            recent: recent::Recent::default(),
            states: states::States::default(),
            stops: stops::Stops::default(),
        })
    }

    /// Size and root of the log.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn head(&self) -> Result<LogHead, StoreError> {
        let bytes = self.get_bytes(META, b"log")?;
        decode(&bytes.ok_or_else(|| StoreError::Corrupt("no log head".into()))?)
    }

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

    /// For what can be made anew from what is synced.
    fn write_unsynced(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write(batch).map_err(|error| io(&error))
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

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        self.db
            .write_opt(batch, &options)
            .map_err(|error| io(&error))
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn entry(&self, index: LogIndex) -> Result<Option<Bytes>, StoreError> {
        self.reader()?.entry(index)
    }

    /// A reader of entries: cheaper than one by one where several are read, most of all in order.
    ///
    /// # Errors
    /// [`StoreError`] when the store is not whole.
    pub fn reader(&self) -> Result<EntryReader<'_>, StoreError> {
        EntryReader::new(self, Reach::Disk)
    }

    /// Entries in order from an index on, until the visitor says stop.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read or is missing.
    pub fn entries(
        &self,
        first: LogIndex,
        mut visit: impl FnMut(LogIndex, Bytes) -> bool,
    ) -> Result<(), StoreError> {
        let mut reader = self.reader()?;
        for index in first.0.. {
            let Some(entry) = reader.entry(LogIndex(index))? else {
                return match reader.last_index()? {
                    Some(last) if last > index => Err(StoreError::no_entry(LogIndex(index))),
                    _ => Ok(()),
                };
            };
            if !visit(LogIndex(index), entry) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Entries that lie in the log, packed.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read or is missing.
    pub fn bundle(&self, bundle: BundleId) -> Result<Vec<u8>, StoreError> {
        let first = bundle.index() * u64::from(TILE_WIDTH);
        let width = usize::from(bundle.width());
        let mut entries = Vec::with_capacity(width);
        self.entries(LogIndex(first), |_, entry| {
            entries.push(entry);
            entries.len() < width
        })?;
        if entries.len() < width {
            return Err(StoreError::no_entry(LogIndex(first + entries.len() as u64)));
        }
        encode_bundle(&entries).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// A full tile.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read or is missing.
    pub fn full_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, StoreError> {
        let bytes = self
            .get_bytes(TILES, &tile_key(level, index))?
            .ok_or_else(|| StoreError::Corrupt(format!("tile {level}/{index} is missing")))?;
        decode_tile(&bytes, 256).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// A tile of any width, full or partial, of the log as it is.
    ///
    /// # Errors
    /// [`StoreError`] when what it is made of can't be read.
    pub fn tile(&self, tile: TileId) -> Result<Vec<Hash>, StoreError> {
        let width = usize::from(tile.width());
        if let Some(bytes) = self.get_bytes(TILES, &tile_key(tile.level(), tile.index()))? {
            let mut hashes =
                decode_tile(&bytes, 256).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            hashes.truncate(width);
            return Ok(hashes);
        }
        let first = tile.index() * 256;
        let mut hashes = Vec::with_capacity(width);
        if tile.level() == 0 {
            self.entries(LogIndex(first), |_, bytes| {
                hashes.push(leaf_hash(&bytes));
                hashes.len() < width
            })?;
        } else {
            for below in first..first + width as u64 {
                let full = self.full_tile(tile.level() - 1, below)?;
                hashes.extend(full_tile_root(&full));
            }
        }
        if hashes.len() == width {
            Ok(hashes)
        } else {
            Err(StoreError::Corrupt(format!(
                "tile {} is missing",
                tile.path()
            )))
        }
    }

    /// Builds the right edge of the tree, and checks its root against the committed one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when entries, tiles and root don't fit each other.
    pub fn right_edge(&self) -> Result<RightEdge, StoreError> {
        let head = self.head()?;
        let partial = head.size - head.size % 256;
        let mut leaves = Vec::new();
        if partial < head.size {
            self.entries(LogIndex(partial), |_, bytes| {
                leaves.push(leaf_hash(&bytes));
                true
            })?;
        }
        let edge = RightEdge::rebuild(TreeSize::new(head.size), leaves, |level, index| {
            self.full_tile(level, index)
        })
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        if edge.root() != head.root {
            return Err(StoreError::Corrupt(
                "the tree does not lead to the committed root".into(),
            ));
        }
        Ok(edge)
    }

    /// The root of the log's first so many entries.
    ///
    /// # Errors
    /// [`StoreError`] when what it is made of can't be read; the log has at least so many entries.
    pub fn root_at(&self, size: u64) -> Result<Hash, StoreError> {
        let size = TreeSize::new(size);
        let reader = TileHashReader::new(size, |tile| self.tile(tile));
        root(size, &reader).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// Every entry, row of history, tile and row of the views, for comparing two stores byte for
    /// byte. How entries are put together depends on the groups, and so does which units share a state, so each stands
    /// alone here.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn dump(&self) -> Result<Dump, StoreError> {
        let mut all = BTreeMap::new();
        for name in [META, TILES].iter().chain(TABLES) {
            let rows = self.db.iterator_cf_opt(
                self.family(name)?,
                ReadOptions::default(),
                IteratorMode::Start,
            );
            for row in rows {
                let (key, value) = row.map_err(|error| io(&error))?;
                let is_own = [GROUP, MEMORY].contains(&&*key) || key.starts_with(stops::ROWS);
                if *name == META && is_own {
                    continue; // Of the cluster or of how groups were cut, and no function of the entries.
                }
                let value = value.into_vec();
                let value = match *name {
                    Units::NAME => self.own_row(value)?,
                    _ => value,
                };
                all.insert(((*name).to_owned(), key.into_vec()), value);
            }
        }
        let mut reader = self.reader()?;
        for index in 0..self.head()?.size {
            let parts = reader.parts(LogIndex(index))?;
            let (entry, rows) = parts.ok_or_else(|| StoreError::no_entry(LogIndex(index)))?;
            let key = index.to_be_bytes().to_vec();
            all.insert((ENTRIES.to_owned(), key.clone()), entry.to_vec());
            all.insert(("history".to_owned(), key), rows.to_vec());
        }
        Ok(all)
    }

    /// Writes all memtables out, so that the write-ahead log before now is done with.
    fn flush_all(&self) -> Result<(), StoreError> {
        for name in options::names() {
            let family = self.family(name)?;
            self.db.flush_cf(family).map_err(|error| io(&error))?;
        }
        Ok(())
    }

    /// Rewrites all tables until nothing is left to compact. It takes as long as it takes.
    ///
    /// # Errors
    /// [`StoreError`] when a family is missing.
    pub fn compact(&self) -> Result<(), StoreError> {
        for name in [META, ENTRIES, TILES, options::IDS, options::STATES]
            .iter()
            .chain(TABLES)
        {
            let family = self.family(name)?;
            self.db.flush_cf(family).map_err(|error| io(&error))?;
            self.db
                .compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    /// Rows of one table, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn multi_get<T: Table>(
        &self,
        keys: &[T::Key],
    ) -> Result<Vec<Option<T::Value>>, StoreError> {
        self.multi_get_at::<T>(keys, &ReadOptions::default())
    }

    fn multi_get_at<T: Table>(
        &self,
        keys: &[T::Key],
        at: &ReadOptions,
    ) -> Result<Vec<Option<T::Value>>, StoreError> {
        let bytes: Vec<Vec<u8>> = keys.iter().map(T::key_bytes).collect();
        // Goods are often numbered in a row, and RocksDB would sort them again.
        let sorted = bytes.is_sorted();
        let family = self.family(T::NAME)?;
        let rows = self.db.batched_multi_get_cf_opt(family, &bytes, sorted, at);
        let rows = rows.into_iter().map(|row| row.map_err(|error| io(&error)));
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        if T::NUMBER == Units::NUMBER {
            self.know_states(rows.iter().flatten().map(|row| &**row))?;
        }
        let mut values = Values::new(self, Reach::Disk);
        let values = rows.iter().map(|row| {
            let row = row.as_deref();
            row.map(|row| values.of::<T>(row)).transpose()
        });
        values.collect()
    }

    /// The views and the log as of now, whatever is committed meanwhile.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.view_within(Reach::Disk)
    }

    /// The same, with how far it goes for rows and entries.
    #[must_use]
    pub fn view_within(&self, reach: Reach) -> View<'_> {
        View::new(self, reach)
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| StoreError::Corrupt(format!("no column family {name}")))
    }

    fn get_bytes(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .get_cf(self.family(family)?, key)
            .map_err(|error| io(&error))
    }
}

impl Read for Store {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        let read = || {
            let row = self
                .db
                .get_pinned_cf(self.family(T::NAME)?, T::key_bytes(key));
            let row = row.map_err(|error| io(&error))?;
            let mut values = Values::new(self, Reach::Disk);
            row.map(|row| values.of::<T>(&row)).transpose()
        };
        read().map_err(|error| read_error(T::NAME, &error))
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        let row = self.reader().and_then(|mut reader| reader.row(unit, index));
        row.map_err(|error| read_error(ENTRIES, &error))
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        self.find_id(record)
            .map_err(|error| read_error(options::IDS, &error))
    }
}

fn read_error(table: &'static str, error: &StoreError) -> ReadError {
    ReadError {
        table,
        message: error.to_string(),
        out_of_reach: matches!(error, StoreError::NotInMemory),
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        if error.out_of_reach {
            Self::NotInMemory
        } else {
            Self::Io(error.to_string())
        }
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
    fn table<T: Table>(&mut self, values: &Changed<T::Key, T::Value>) {
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

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    codec::encode(value).map_err(|error| StoreError::Io(error.to_string()))
}

/// In place of what the buffer holds.
fn encoded_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
    codec::encode_into(value, bytes).map_err(|error| StoreError::Io(error.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Rows while their keys begin with a prefix, until the visitor says stop.
fn visit_rows<V>(
    rows: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>>,
    prefix: &[u8],
    mut value_of: impl FnMut(&[u8]) -> Result<V, StoreError>,
    mut visit: impl FnMut(&[u8], V) -> bool,
) -> Result<(), StoreError> {
    for row in rows {
        let (key, value) = row.map_err(|error| io(&error))?;
        if !key.starts_with(prefix) || !visit(&key, value_of(&value)?) {
            break;
        }
    }
    Ok(())
}

fn check_format(row: Option<&[u8]>) -> Result<(), StoreError> {
    let format = row.and_then(|bytes| bytes.try_into().ok());
    let found = format.map(u32::from_be_bytes);
    match found.ok_or_else(|| StoreError::Corrupt("no format version".into()))? {
        FORMAT => Ok(()),
        found if found > FORMAT => Err(StoreError::NewerFormat { found }),
        found => Err(StoreError::OlderFormat { found }),
    }
}

/// What a store that doesn't open says of its format, if it says that it is another.
fn another_format(path: &Path) -> Option<StoreError> {
    let families = ["default", META];
    let options = rocksdb::Options::default();
    let db = DB::open_cf_for_read_only(&options, path, families, false).ok()?;
    let row = db.get_cf(db.cf_handle(META)?, "format").ok()??;
    match check_format(Some(&row)) {
        Err(error @ (StoreError::NewerFormat { .. } | StoreError::OlderFormat { .. })) => {
            Some(error)
        }
        _ => None,
    }
}

fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

fn is_store(path: &Path) -> bool {
    path.join("CURRENT").exists()
}

fn classify(error: &rocksdb::Error, path: &Path) -> StoreError {
    let text = error.to_string();
    if text.contains("lock") && text.contains("LOCK") {
        return StoreError::Locked(path.to_owned());
    }
    match error.kind() {
        rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::InvalidArgument => {
            StoreError::Corrupt(text)
        }
        _ => StoreError::Io(text),
    }
}

fn io(error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::Corrupt(error.to_string()),
        rocksdb::ErrorKind::Incomplete => StoreError::NotInMemory,
        _ => StoreError::Io(error.to_string()),
    }
}
