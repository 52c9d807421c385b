//! Tiles and bundles of the log, and its tree.

use super::options::TILES;
use super::{Store, StoreError};
use crate::core::tlog::proof::root;
use crate::core::tlog::tile::{
    BundleId, RightEdge, TILE_WIDTH, TileHashReader, TileId, decode_tile, encode_bundle,
    full_tile_root,
};
use crate::core::tlog::{Hash, LogIndex, TreeSize, leaf_hash};

impl Store {
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
}

pub(super) fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}
