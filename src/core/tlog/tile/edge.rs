//! The right edge of a growing log, in memory: the partial tile of every level.
//!
//! Storage writes full tiles only and never twice; what is not full yet stays here, and is
//! rebuilt from the full tiles when the log is opened again.

use super::{TILE_LEVELS, TILE_WIDTH, TileId, full_tile_root, partial_width, perfect_root};
use crate::core::tlog::{Hash, LogFull, TreeSize, frontier::Frontier};

/// The partial tile of every tile level of a log, and its size.
///
/// Invariant: level `L` has `size / 256^L mod 256` hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightEdge {
    levels: Vec<Vec<Hash>>,
    /// The size, and the root at the cost of a few hashes however full the tiles are.
    frontier: Frontier,
}

/// Why the right edge could not be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError<E> {
    /// The number of leaf hashes after the last full tile does not fit the size.
    #[error(
        "a log of {size} entries has {expected} leaf hashes after its last full tile, not {actual}"
    )]
    Leaves {
        /// The size of the log.
        size: TreeSize,
        /// The number that the size implies.
        expected: usize,
        /// The number given.
        actual: usize,
    },
    /// A full tile does not have 256 hashes.
    #[error("tile {index} of level {level} must be full but has {actual} hashes")]
    NotFull {
        /// The level of the tile.
        level: u8,
        /// Its place in the level.
        index: u64,
        /// How many hashes it has.
        actual: usize,
    },
    /// A tile could not be read.
    #[error("tile {index} of level {level} could not be read")]
    Read {
        /// The level of the tile.
        level: u8,
        /// Its place in the level.
        index: u64,
        /// What went wrong.
        #[source]
        source: E,
    },
}

impl Default for RightEdge {
    fn default() -> Self {
        Self::new()
    }
}

impl RightEdge {
    /// The edge of the empty log.
    pub fn new() -> Self {
        Self {
            levels: vec![Vec::new(); usize::from(TILE_LEVELS)],
            frontier: Frontier::new(),
        }
    }

    /// The edge of a stored log: the leaf hashes after its last full tile of level 0 are
    /// given, the hashes of the partial tiles above are the roots of full tiles below them.
    ///
    /// Afterwards compare [`root`](Self::root) with the last checkpoint: full tiles of the
    /// right width but with wrong hashes show themselves only there.
    pub fn rebuild<E>(
        size: TreeSize,
        last_leaves: Vec<Hash>,
        mut read_full_tile: impl FnMut(u8, u64) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, RebuildError<E>> {
        let (expected, actual) = (partial_width(0, size), last_leaves.len());
        if actual != expected {
            return Err(RebuildError::Leaves {
                size,
                expected,
                actual,
            });
        }
        let mut levels = vec![last_leaves];
        for level in 1..TILE_LEVELS {
            let below = level - 1;
            let mut partial = Vec::new();
            for index in tiles_under_partial(level, size) {
                let tile = read_full_tile(below, index).map_err(|source| RebuildError::Read {
                    level: below,
                    index,
                    source,
                })?;
                let actual = tile.len();
                let root = full_tile_root(&tile).ok_or(RebuildError::NotFull {
                    level: below,
                    index,
                    actual,
                })?;
                partial.push(root);
            }
            levels.push(partial);
        }
        let frontier = frontier_of(size, &levels);
        Ok(Self { levels, frontier })
    }

    /// The number of entries.
    pub const fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// The hashes of the partial tile of a level, empty when there is none.
    pub fn partial(&self, level: u8) -> &[Hash] {
        let partial = self.levels.get(usize::from(level));
        partial.map_or(&[], Vec::as_slice)
    }

    /// Appends an entry by its leaf hash. Each tile that becomes full is handed over once,
    /// from the lowest level upwards.
    pub fn append(
        &mut self,
        leaf: Hash,
        on_full: &mut impl FnMut(TileId, &[Hash]),
    ) -> Result<(), LogFull> {
        self.frontier.append(leaf)?;
        let mut hash = leaf;
        // How many tiles of the level are full, counting this one when it is.
        let mut full_tiles = self.size().0;
        for (level, partial) in (0..TILE_LEVELS).zip(&mut self.levels) {
            full_tiles /= u64::from(TILE_WIDTH);
            partial.push(hash);
            let Some(root) = full_tile_root(partial) else {
                break;
            };
            let tile = TileId {
                level,
                // A tile is full here, so there is at least one.
                index: full_tiles.saturating_sub(1),
                width: TILE_WIDTH,
            };
            on_full(tile, partial);
            partial.clear();
            hash = root;
        }
        Ok(())
    }

    /// The compact form of the log: its size and the roots of its perfect subtrees.
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The root of the log (RFC 9162 section 2.1.1).
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

/// The perfect subtrees of a log, from its partial tiles.
fn frontier_of(size: TreeSize, levels: &[Vec<Hash>]) -> Frontier {
    let mut subtrees = Vec::new();
    for partial in levels.iter().rev() {
        let mut rest = partial.as_slice();
        while let Some(width) = rest.len().checked_ilog2() {
            let (subtree, tail) = rest.split_at(1 << width);
            subtrees.extend(perfect_root(subtree));
            rest = tail;
        }
    }
    // The widths are the base-256 digits of the size, so their bits are its bits.
    Frontier::from_known_parts(size, subtrees)
}

/// The full tiles one level below whose roots are in the partial tile of this level.
fn tiles_under_partial(level: u8, size: TreeSize) -> std::ops::Range<u64> {
    let end = super::hashes_in_level(level, size);
    let begin = end - end % u64::from(TILE_WIDTH);
    begin..end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::tlog::leaf_hash;

    type Tiles = BTreeMap<(u8, u64), Vec<Hash>>;

    fn log(size: u64) -> (RightEdge, Tiles) {
        let (mut edge, mut tiles) = (RightEdge::new(), Tiles::new());
        for entry in 0..size {
            let mut on_full = |tile: TileId, hashes: &[Hash]| {
                assert!(tile.is_full());
                let twice = tiles.insert((tile.level(), tile.index()), hashes.to_vec());
                assert_eq!(twice, None);
            };
            let leaf = leaf_hash(&entry.to_be_bytes());
            edge.append(leaf, &mut on_full).unwrap();
        }
        (edge, tiles)
    }

    #[test]
    fn full_tiles_are_handed_over_and_the_rest_stays() {
        let (edge, tiles) = log(70_000);
        assert_eq!(tiles.len(), 274);
        let full = super::super::tiles_of_size(edge.size()).filter(|t| t.is_full());
        let want: Vec<_> = full.map(|t| (t.level(), t.index())).collect();
        assert_eq!(tiles.keys().copied().collect::<Vec<_>>(), want);
        let widths: Vec<_> = (0..5).map(|level| edge.partial(level).len()).collect();
        assert_eq!(widths, [112, 17, 1, 0, 0]);
        assert_eq!(edge.partial(200), []);
    }

    #[test]
    fn edge_is_rebuilt_from_full_tiles() {
        for size in [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_800] {
            let (edge, tiles) = log(size);
            let read = |level, index| tiles.get(&(level, index)).cloned().ok_or("missing");
            let again = RightEdge::rebuild(edge.size(), edge.partial(0).to_vec(), read);
            assert_eq!(again, Ok(edge), "{size}");
        }
    }

    #[test]
    fn damaged_parts_are_refused() {
        let (edge, _) = log(300);
        let size = edge.size();
        let leaves = edge.partial(0).to_vec();
        let short = RightEdge::rebuild(size, leaves[1..].to_vec(), |_, _| Ok::<_, ()>(vec![]));
        let (expected, actual) = (44, 43);
        assert_eq!(
            short,
            Err(RebuildError::Leaves {
                size,
                expected,
                actual
            })
        );
        let (level, index, actual) = (0, 0, 128);
        let narrow = RightEdge::rebuild(size, leaves.clone(), |_, _| {
            Ok::<_, ()>(vec![leaves[0]; 128])
        });
        assert_eq!(
            narrow,
            Err(RebuildError::NotFull {
                level,
                index,
                actual
            })
        );
        let source = "disk";
        let unread = RightEdge::rebuild(size, leaves, |_, _| Err(source));
        assert_eq!(
            unread,
            Err(RebuildError::Read {
                level,
                index,
                source
            })
        );
    }

    #[test]
    fn full_log_takes_no_entry() {
        let tile = vec![leaf_hash(b""); 256];
        let size = TreeSize::new(u64::MAX);
        let mut edge =
            RightEdge::rebuild(size, tile[1..].to_vec(), |_, _| Ok::<_, ()>(tile.clone())).unwrap();
        let before = edge.clone();
        let full = edge.append(tile[0], &mut |_, _| panic!("a full log can't fill a tile"));
        assert_eq!(full, Err(LogFull));
        assert_eq!(edge, before);
    }
}
