//! Whether a store is whole, and copies of all of it.

use std::path::Path;

use rocksdb::ReadOptions;

use super::states::Values;
use super::{Reach, Store, StoreError, io, options};
use crate::core::apply::state::{Table as _, Units};
use crate::core::tlog::tile::{RightEdge, TileId};
use crate::core::tlog::{Hash, LogIndex, leaf_hash};

impl Store {
    /// A file that was cut off is noticed at once, not when somebody needs what was in it.
    pub(super) fn check_sizes(&self) -> Result<(), StoreError> {
        let files = self.db.live_files().map_err(|error| io(&error))?;
        for file in files {
            let path = self.path().join(file.name.trim_start_matches('/'));
            // One that is gone was compacted away since; one that never was is noticed by RocksDB.
            let Ok(found) = std::fs::metadata(&path).map(|metadata| metadata.len()) else {
                continue;
            };
            if found != file.size as u64 {
                let (path, size) = (path.display(), file.size);
                return Err(StoreError::Corrupt(format!(
                    "{path} has {found} bytes, not {size}"
                )));
            }
        }
        Ok(())
    }

    /// Copies the store as it is now into a folder that isn't there yet: what it consists of is linked, not written
    /// again.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn snapshot(&self, into: &Path) -> Result<(), StoreError> {
        let checkpoint = rocksdb::checkpoint::Checkpoint::new(&self.db);
        let made = checkpoint.and_then(|checkpoint| checkpoint.create_checkpoint(into));
        made.map_err(|error| io(&error))
    }

    /// Waits until the disk has all that was written.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(|error| io(&error))
    }

    /// The folder that it lies in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.db.path()
    }

    /// Reads all there is, against its checksums; units' rows have to lead to a state, and the
    /// log to its tree.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] says what is damaged.
    pub fn verify(&self) -> Result<(), StoreError> {
        let mut units = Values::new(self, Reach::Disk);
        for name in options::names() {
            let mut once = ReadOptions::default();
            once.fill_cache(false);
            let mut rows = self.db.raw_iterator_cf_opt(self.family(name)?, once);
            rows.seek_to_first();
            while rows.valid() {
                if name == Units::NAME
                    && let Some(row) = rows.value()
                {
                    units.of::<Units>(row)?;
                }
                rows.next();
            }
            rows.status().map_err(|error| io(&error))?;
        }
        self.verify_log()
    }

    /// Hashes every entry anew, and checks that tiles and root follow from them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] says where they don't.
    fn verify_log(&self) -> Result<(), StoreError> {
        let head = self.head()?;
        let mut edge = RightEdge::new();
        let mut tiles = Vec::new();
        let mut failed = None;
        self.entries_once(LogIndex(0), |index, bytes| {
            let full = &mut |tile: TileId, hashes: &[Hash]| tiles.push((tile, hashes.to_vec()));
            if edge.append(leaf_hash(&bytes), full).is_err() {
                failed = Some(StoreError::no_entry(index));
            }
            for (tile, hashes) in tiles.drain(..) {
                match self.full_tile(tile.level(), tile.index()) {
                    Ok(stored) if stored == hashes => {}
                    Ok(_) => {
                        let message =
                            format!("tile {} does not follow from the entries", tile.path());
                        failed = Some(StoreError::Corrupt(message));
                    }
                    Err(error) => failed = Some(error),
                }
            }
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if edge.size().get() != head.size || edge.root() != head.root {
            let message = format!(
                "{} entries lead to another root than that of the {} which were committed",
                edge.size().get(),
                head.size
            );
            return Err(StoreError::Corrupt(message));
        }
        Ok(())
    }
}
