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
mod error;
mod group;
mod ids;
mod known;
mod memo;
mod memory;
mod options;
mod reader;
mod recent;
mod seen;
mod side;
mod staged;
mod states;
mod stops;
mod tree;
mod view;
mod whole;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use prost::bytes::Bytes;
use rocksdb::{ColumnFamily, DB, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

pub use cache::Cached;
pub use chunk::Rows;
pub use cluster::ClusterMemory;
use cluster::{GROUP, MEMORY};
pub use error::StoreError;
use error::{classify, io, read_error};
pub use group::Group;
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

use crate::core::apply::state::{HistoryRow, Read, ReadError, TABLES, Table, Units};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::{Hash, LogIndex};
use crate::core::wire;

/// Version of the store's layout. 1 had a row for each entry, for each id and for each step of a
/// history; 2 knew nothing of credit, 3 nothing of alerts, 4 nothing of measures, inspections, what is shared, and who may
/// read; 6 had a whole state in the row of every unit, and a value in every row of a history.
pub const FORMAT: u32 = 7;

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

/// Family and key, to value.
pub type Dump = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// What a store is opened for.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// An open store.
pub struct Store {
    db: DB,
    /// The folder, locked: for itself by who may write, with others by who only reads.
    _folder: Folder,
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
        // Nobody else may so much as lock it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| StoreError::Io(format!("{}: {error}", path.display())))?;
        let folder = lock(path, Access::Write)?;
        if is_store(path) {
            return Err(StoreError::Exists(path.to_owned()));
        }
        let mut db_options = options::database(options);
        db_options.create_if_missing(true);
        db_options.create_missing_column_families(true);
        let mut store = Self::open_with(path, &db_options, options, (Access::Write, folder))?;
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
        Self::open_for(path, options, Access::Write)
    }

    /// Opens a store only to read it: no file is written, made or deleted, so that evidence stays as it was found. Others
    /// may read it meanwhile, and none may write. What is in the write-ahead log yet, 512 MiB at most, is held in memory.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with it.
    pub fn open_to_read(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        Self::open_for(path, options, Access::Read)
    }

    fn open_for(path: &Path, options: &StoreOptions, access: Access) -> Result<Self, StoreError> {
        if !is_store(path) {
            return Err(StoreError::Absent(path.to_owned()));
        }
        let db_options = options::database(options);
        // Before anything else: RocksDB doesn't see who only reads.
        let folder = lock(path, access)?;
        let mut store = match Self::open_with(path, &db_options, options, (access, folder)) {
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
        (access, folder): (Access, Folder),
    ) -> Result<Self, StoreError> {
        let families = options::families(options).map_err(|error| io(&error))?;
        let opened = match access {
            Access::Read => DB::open_cf_descriptors_read_only(db_options, path, families, false),
            Access::Write => DB::open_cf_descriptors(db_options, path, families),
        };
        let db = opened.map_err(|error| classify(&error, path))?;
        Ok(Self {
            _folder: folder,
            sides: std::sync::Mutex::new(()),
            db,
            sync: options.sync,
            ids: ids::Ids::default(),
            known: KnownEntries::new(options.entry_cache_bytes),
            recent: recent::Recent::new(options.remembered_units),
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

    /// For what can be made anew from what is synced.
    fn write_unsynced(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write(batch).map_err(|error| io(&error))
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
        EntryReader::new(self, Reach::Disk.options())
    }

    /// Entries in order from an index on, until the visitor says stop.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read or is missing.
    pub fn entries(
        &self,
        first: LogIndex,
        visit: impl FnMut(LogIndex, Bytes) -> bool,
    ) -> Result<(), StoreError> {
        self.entries_by(self.reader()?, first, visit)
    }

    /// The same for who reads the log once, from end to end: what it reads takes nobody's place in the cache.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read or is missing.
    pub fn entries_once(
        &self,
        first: LogIndex,
        visit: impl FnMut(LogIndex, Bytes) -> bool,
    ) -> Result<(), StoreError> {
        let mut options = Reach::Disk.options();
        options.fill_cache(false);
        self.entries_by(EntryReader::new(self, options)?, first, visit)
    }

    fn entries_by(
        &self,
        mut reader: EntryReader<'_>,
        first: LogIndex,
        mut visit: impl FnMut(LogIndex, Bytes) -> bool,
    ) -> Result<(), StoreError> {
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

/// A folder that is locked.
struct Folder(File);

impl Drop for Folder {
    fn drop(&mut self) {
        // To close it is not enough: a child that is being started has it as well, until it is another program.
        let _ = self.0.unlock();
    }
}

fn lock(path: &Path, access: Access) -> Result<Folder, StoreError> {
    let failed = |error: std::io::Error| StoreError::Io(format!("{}: {error}", path.display()));
    let folder = File::open(path).map_err(failed)?;
    let locked = match access {
        Access::Read => folder.try_lock_shared(),
        Access::Write => folder.try_lock(),
    };
    match locked {
        Ok(()) => Ok(Folder(folder)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn is_store(path: &Path) -> bool {
    path.join("CURRENT").exists()
}
