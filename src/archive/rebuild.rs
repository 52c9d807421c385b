//! A ledger made anew from its archive: every entry is judged again, and what follows from it is written into a new
//! store.

use std::path::Path;
use std::sync::Arc;

use prost::bytes::Bytes;

use super::{ArchiveError, CHECKPOINT, Reader, wrong};
use crate::audit::{Audited, Auditor, Replayed, Views};
use crate::core::apply::state::{HistoryRow, Read, ReadError, Table};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::tile::{RightEdge, TileId};
use crate::core::tlog::{Hash, LogIndex};
use crate::store::{Cached, Group, LogHead, Staged, Store, StoreError, StoreOptions};

/// Entries of a group, and their bytes: then it is written.
const GROUP_ENTRIES: usize = 1024;
const GROUP_BYTES: usize = 4 << 20;
/// Units that are remembered, in each of two generations.
const UNITS: usize = 1 << 17;

/// Makes a ledger's store anew in a folder that isn't there yet. What is not whole or not right is taken away again.
///
/// # Errors
/// [`ArchiveError`] names what is missing or wrong.
pub async fn rebuild(
    reader: &Reader,
    into: &Path,
    progress: impl FnMut(u64),
) -> Result<Audited, ArchiveError> {
    let staged = Staged::begin(into)?;
    let audited = replay(reader, staged.path(), progress).await?;
    staged.keep()?;
    Ok(audited)
}

async fn replay(
    reader: &Reader,
    into: &Path,
    progress: impl FnMut(u64),
) -> Result<Audited, ArchiveError> {
    let mut auditor = Auditor::over(Rebuilding::begin(into)?);
    reader.replay(&mut auditor, progress).await?;
    let (audited, rebuilding) = auditor.finish()?;
    let head = rebuilding.finish()?;
    let checkpoint = reader.checkpoint();
    if head.size != checkpoint.size().get() || head.root != checkpoint.root() {
        return Err(wrong(CHECKPOINT, "the ledger leads to another root"));
    }
    Ok(audited)
}

/// Views in a store that is being made.
pub struct Rebuilding {
    views: Cached,
    edge: RightEdge,
    entries: Vec<Bytes>,
    bytes: usize,
    tiles: Vec<(TileId, Vec<Hash>)>,
}

impl Rebuilding {
    /// Makes an empty store.
    ///
    /// # Errors
    /// [`StoreError`] when there is one, or none can be made.
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        let options = StoreOptions {
            // Synced once, at the end: until then it is nothing to rely on.
            sync: false,
            ..StoreOptions::default()
        };
        let store = Arc::new(Store::create(path, &options)?);
        Ok(Self {
            views: Cached::new(store, UNITS),
            edge: RightEdge::new(),
            entries: Vec::new(),
            bytes: 0,
            tiles: Vec::new(),
        })
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let head = LogHead {
            size: self.edge.size().get(),
            root: self.edge.root(),
        };
        let entries = std::mem::take(&mut self.entries);
        self.bytes = 0;
        let group = Group {
            id: None,
            first: LogIndex(head.size - entries.len() as u64),
            entries,
            tiles: std::mem::take(&mut self.tiles),
            changes: self.views.take_changes(),
            head,
        };
        let store = self.views.store();
        store.commit(&group)?;
        if store.ids_are_due() {
            store.tend_ids()?;
        }
        Ok(())
    }

    /// Writes what is left, and waits until the disk has all of it.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn finish(mut self) -> Result<LogHead, StoreError> {
        if !self.entries.is_empty() {
            self.write()?;
        }
        let store = self.views.store();
        store.sync()?;
        store.right_edge()?;
        store.head()
    }
}

impl Views for Rebuilding {
    fn take(&mut self, entry: Replayed) -> Result<(), String> {
        let tiles = &mut self.tiles;
        let appended = self.edge.append(entry.leaf, &mut |tile, hashes| {
            tiles.push((tile, hashes.to_vec()));
        });
        appended.map_err(|error| error.to_string())?;
        self.bytes += entry.bytes.len();
        self.entries.push(entry.bytes);
        self.views.merge(entry.changes);
        if self.entries.len() < GROUP_ENTRIES && self.bytes < GROUP_BYTES {
            return Ok(());
        }
        self.write().map_err(|error| error.to_string())
    }
}

impl Read for Rebuilding {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        self.views.get::<T>(key)
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        self.views.history(unit, index)
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        self.views.entry_of(record)
    }
}
