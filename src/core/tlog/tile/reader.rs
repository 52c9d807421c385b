//! Reads hashes of the tree out of tiles, wherever these are.

use std::cell::RefCell;

use super::{TileId, tile_for};
use crate::core::tlog::{Hash, TreeSize, proof::HashReader};

/// A [`HashReader`] over a function that reads tiles.
///
/// The function gets the tile as a log of `size` entries has it. It may cut it out of a wider
/// one: the first hashes of a tile never change. The hashes are not checked against
/// anything; a proof made of wrong hashes does not verify.
pub struct TileHashReader<F> {
    size: TreeSize,
    read_tile: F,
    /// A proof goes down level by level, so it asks up to eight times for the same tile.
    last: RefCell<Option<(TileId, Vec<Hash>)>>,
}

/// Why a hash could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileReadError<E> {
    /// The log does not have the subtree.
    #[error("a log of {size} entries has no complete subtree {index} of height {level}")]
    OutsideLog {
        /// The size of the log.
        size: TreeSize,
        /// The height of the subtree.
        level: u8,
        /// Its place.
        index: u64,
    },
    /// The tile does not have the hashes that it must have.
    #[error("the tile {} has {actual} hashes", .tile.path())]
    Width {
        /// The tile.
        tile: TileId,
        /// How many hashes were read.
        actual: usize,
    },
    /// The tile could not be read.
    #[error("the tile {} could not be read", .tile.path())]
    Read {
        /// The tile.
        tile: TileId,
        /// What went wrong.
        #[source]
        source: E,
    },
}

impl<F> TileHashReader<F> {
    /// Reads a log of `size` entries with this function.
    pub const fn new(size: TreeSize, read_tile: F) -> Self {
        Self {
            size,
            read_tile,
            last: RefCell::new(None),
        }
    }
}

impl<F, E> HashReader for TileHashReader<F>
where
    F: Fn(TileId) -> Result<Vec<Hash>, E>,
{
    type Error = TileReadError<E>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let outside = || TileReadError::OutsideLog {
            size: self.size,
            level,
            index,
        };
        let place = tile_for(level, index);
        let tile = TileId::in_log(place.tile_level, place.tile_index, self.size);
        let tile = tile.ok_or_else(outside)?;

        // Taken out while in use, so that the function may use this very reader.
        let hashes = match self.last.take() {
            Some((last, hashes)) if last == tile => hashes,
            _ => self.read(tile)?,
        };
        let hash = place.hash(&hashes).ok_or_else(outside);
        self.last.replace(Some((tile, hashes)));
        hash
    }
}

impl<F> TileHashReader<F> {
    fn read<E>(&self, tile: TileId) -> Result<Vec<Hash>, TileReadError<E>>
    where
        F: Fn(TileId) -> Result<Vec<Hash>, E>,
    {
        let hashes =
            (self.read_tile)(tile).map_err(|source| TileReadError::Read { tile, source })?;
        let actual = hashes.len();
        if actual != usize::from(tile.width()) {
            return Err(TileReadError::Width { tile, actual });
        }
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::core::tlog::{leaf_hash, node_hash};

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    fn level_0(tile: TileId) -> Result<Vec<Hash>, ()> {
        let begin = tile.index() * 256;
        Ok((begin..begin + u64::from(tile.width())).map(leaf).collect())
    }

    #[test]
    fn node_inside_a_tile_is_hashed_from_it() {
        let reader = TileHashReader::new(TreeSize::new(300), level_0);
        assert_eq!(reader.node(0, 299), Ok(leaf(299)));
        let want = node_hash(&leaf(298), &leaf(299));
        assert_eq!(reader.node(1, 149), Ok(want));
    }

    #[test]
    fn incomplete_subtree_is_refused() {
        let reader = TileHashReader::new(TreeSize::new(299), level_0);
        for (level, index) in [(0, 299), (1, 149), (7, 2), (9, 0), (64, 0), (0, u64::MAX)] {
            assert!(matches!(
                reader.node(level, index),
                Err(TileReadError::OutsideLog { .. })
            ));
        }
    }

    #[test]
    fn same_tile_is_read_once() {
        let reads = Cell::new(0);
        let reader = TileHashReader::new(TreeSize::new(600), |tile| {
            reads.set(reads.get() + 1);
            level_0(tile)
        });
        for (level, index) in [(5, 0), (4, 2), (0, 9), (0, 256), (1, 128)] {
            reader.node(level, index).unwrap();
        }
        assert_eq!(reads.get(), 2);
    }

    #[test]
    fn narrow_or_unreadable_tile_is_named() {
        let narrow = TileHashReader::new(TreeSize::new(2), |_| Ok::<_, ()>(vec![leaf(0)]));
        let tile = TileId::new(0, 0, 2).unwrap();
        let error = TileReadError::Width { tile, actual: 1 };
        assert_eq!(narrow.node(0, 0), Err(error));
        let lost = TileHashReader::new(TreeSize::new(2), |_| Err::<Vec<Hash>, _>("lost"));
        let source = "lost";
        assert_eq!(lost.node(0, 0), Err(TileReadError::Read { tile, source }));
    }
}
