//! Tiles: how a log is stored and published (c2sp.org/tlog-tiles).
//!
//! A tile holds up to 256 hashes of one level of the tree, eight levels from tile level to
//! tile level; a full tile never changes again. In this file there is nothing but arithmetic
//! on paths and places, and the content of a tile; [`RightEdge`] makes tiles from entries,
//! [`TileHashReader`] reads hashes out of tiles, [`encode_bundle`] packs entries.

mod bundle;
mod edge;
mod path;
mod reader;

pub use bundle::{BundleError, MAX_ENTRY_BYTES, decode_bundle, encode_bundle};
pub use edge::{RebuildError, RightEdge};
pub use path::{PathError, TilePath};
pub use reader::{TileHashReader, TileReadError};

use super::{HASH_BYTES, Hash, LogIndex, TreeSize, node_hash};

/// Levels of the tree from one tile level to the next.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;
/// The highest tile level that a path can name.
pub const MAX_TILE_LEVEL: u8 = 63;
/// Tile levels that a log of less than 2^64 entries can have.
const TILE_LEVELS: u8 = 8;

/// Names a tile: its level, its place in the level and how many hashes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

/// Names an entry bundle: its place and how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}

/// What can't be a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The level is above 63.
    #[error("a tile level is at most {MAX_TILE_LEVEL}, not {0}")]
    Level(u8),
    /// The width is not between 1 and 256.
    #[error("a tile has 1 to {TILE_WIDTH} hashes, not {0}")]
    Width(u16),
    /// The content has another number of bytes than the width implies.
    #[error("a tile of {width} hashes has {bytes} bytes, it must have 32 each")]
    Content {
        /// The width of the tile.
        width: u16,
        /// The number of bytes found.
        bytes: usize,
    },
}

impl TileId {
    /// The tile at this place with this width.
    pub const fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        if level > MAX_TILE_LEVEL {
            return Err(TileError::Level(level));
        }
        if width == 0 || width > TILE_WIDTH {
            return Err(TileError::Width(width));
        }
        Ok(Self {
            level,
            index,
            width,
        })
    }

    /// The tile at this place as a log of `size` entries has it; `None` when it has none.
    pub fn in_log(level: u8, index: u64, size: TreeSize) -> Option<Self> {
        let hashes = hashes_in_level(level, size);
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.checked_sub(before)?.min(u64::from(TILE_WIDTH));
        Self::new(level, index, u16::try_from(width).ok()?).ok()
    }

    /// The level; level 0 has the leaf hashes.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The place in the level.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes it has.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether the tile is complete and so will never change.
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }
}

impl BundleId {
    /// The bundle at this place with this many entries.
    pub const fn new(index: u64, width: u16) -> Result<Self, TileError> {
        if width == 0 || width > TILE_WIDTH {
            return Err(TileError::Width(width));
        }
        Ok(Self { index, width })
    }

    /// The bundle which holds this entry in a log of `size` entries; `None` when the log
    /// does not have the entry.
    pub fn of_entry(index: LogIndex, size: TreeSize) -> Option<Self> {
        if !size.contains(index) {
            return None;
        }
        let tile = TileId::in_log(0, index.0 / u64::from(TILE_WIDTH), size)?;
        Self::new(tile.index, tile.width).ok()
    }

    /// The place of the bundle.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many entries it has.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether the bundle is complete and so will never change.
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }
}

/// How many hashes a tile level has in a log of this size.
fn hashes_in_level(level: u8, size: TreeSize) -> u64 {
    let shift = u32::from(level) * u32::from(TILE_HEIGHT);
    size.0.checked_shr(shift).unwrap_or(0)
}

/// The width of the partial tile at this level in a log of this size, 0 when there is none.
fn partial_width(level: u8, size: TreeSize) -> usize {
    // Below 256.
    (hashes_in_level(level, size) % u64::from(TILE_WIDTH)) as usize
}

/// All tiles of a log of this size, level by level, from left to right.
pub fn tiles_of_size(size: TreeSize) -> impl Iterator<Item = TileId> {
    tiles_since(TreeSize(0), size)
}

/// The partial tiles of a log of this size, level by level: those to publish beside the full
/// ones when a checkpoint of this size is signed.
pub fn partial_tiles(size: TreeSize) -> impl Iterator<Item = TileId> {
    (0..TILE_LEVELS).filter_map(move |level| {
        let index = hashes_in_level(level, size) / u64::from(TILE_WIDTH);
        TileId::in_log(level, index, size)
    })
}

/// The tiles which a log of size `to` has and one of size `from` doesn't, level by level, from left to right: those to
/// publish when a checkpoint follows another.
pub fn tiles_since(from: TreeSize, to: TreeSize) -> impl Iterator<Item = TileId> {
    (0..TILE_LEVELS).flat_map(move |level| {
        let [before, after] = [from, to].map(|size| hashes_in_level(level, size));
        let first = before / u64::from(TILE_WIDTH);
        let end = if after > before {
            after.div_ceil(u64::from(TILE_WIDTH))
        } else {
            first
        };
        (first..end).filter_map(move |index| TileId::in_log(level, index, to))
    })
}

/// Where in the tiles a node of the tree is found: above the hashes from `offset` on,
/// `count` of them, a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// The level of the tile.
    pub tile_level: u8,
    /// The place of the tile in its level.
    pub tile_index: u64,
    /// The first hash below the node, from 0.
    pub offset: u16,
    /// How many hashes of the tile are below the node.
    pub count: u16,
}

/// The place of the perfect subtree number `index` of height `level`.
pub fn tile_for(level: u8, index: u64) -> NodePlace {
    let height = level % TILE_HEIGHT;
    // Nodes of this height in a tile: 2 to the power of this.
    let nodes_log2 = TILE_HEIGHT - height;
    // Below 256 and, shifted by the height, below 256 again.
    let position = (index & ((1 << nodes_log2) - 1)) as u16;
    NodePlace {
        tile_level: level / TILE_HEIGHT,
        tile_index: index >> nodes_log2,
        offset: position << height,
        count: 1 << height,
    }
}

impl NodePlace {
    /// The hash of the node, from the hashes of its tile; `None` when the tile is too narrow.
    pub fn hash(&self, tile: &[Hash]) -> Option<Hash> {
        let begin = usize::from(self.offset);
        let end = begin + usize::from(self.count);
        perfect_root(tile.get(begin..end)?)
    }
}

/// The hash above hashes whose number is a power of two, `None` for another number.
fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    level.pop()
}

/// The hash above a full tile, which goes into the tile above; `None` when it is not full.
pub fn full_tile_root(tile: &[Hash]) -> Option<Hash> {
    if tile.len() == usize::from(TILE_WIDTH) {
        perfect_root(tile)
    } else {
        None
    }
}

/// The content of a tile file: the hashes one after the other.
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes in a tile file of this width.
pub fn decode_tile(content: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    if width == 0 || width > TILE_WIDTH {
        return Err(TileError::Width(width));
    }
    let (hashes, rest) = content.as_chunks::<HASH_BYTES>();
    if hashes.len() != usize::from(width) || !rest.is_empty() {
        let bytes = content.len();
        return Err(TileError::Content { width, bytes });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(size: u64) -> Vec<(u8, u64, u16)> {
        let tiles = partial_tiles(TreeSize::new(size));
        tiles.map(|t| (t.level, t.index, t.width)).collect()
    }

    /// The example of c2sp.org/tlog-tiles, "Partial Tiles".
    #[test]
    fn log_of_70_000_entries_has_the_tiles_of_the_specification() {
        let tiles: Vec<_> = tiles_of_size(TreeSize::new(70_000)).collect();
        let full = |level| {
            let of_level = tiles.iter().filter(|t| t.level == level && t.is_full());
            of_level.count()
        };
        assert_eq!((full(0), full(1), full(2)), (273, 1, 0));
        assert_eq!(tiles.len(), 273 + 1 + 3);
        assert_eq!(summary(70_000), [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(summary(256), [(1, 0, 1)]);
        assert_eq!(summary(0), []);
    }

    #[test]
    fn tiles_since_a_size_are_those_that_it_did_not_have() {
        let sizes = [
            0, 1, 255, 256, 257, 511, 65_535, 65_536, 65_537, 70_000, 70_001,
        ];
        for (at, from) in sizes.iter().enumerate() {
            for to in &sizes[at..] {
                let [from, to] = [from, to].map(|size| TreeSize::new(*size));
                let had: Vec<_> = tiles_of_size(from).collect();
                let new: Vec<_> = tiles_of_size(to).filter(|t| !had.contains(t)).collect();
                assert!(tiles_since(from, to).eq(new), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn largest_log_has_eight_tile_levels() {
        let tiles = summary(u64::MAX);
        assert_eq!(tiles.len(), 8);
        assert_eq!(tiles[7], (7, 0, 255));
        assert_eq!(tiles[0], (0, u64::MAX / 256, 255));
    }

    #[test]
    fn tile_outside_the_log_does_not_exist() {
        for (level, index) in [(0, 2), (0, u64::MAX), (1, 1), (2, 0), (63, 0), (255, 0)] {
            assert_eq!(TileId::in_log(level, index, TreeSize::new(300)), None);
        }
    }

    #[test]
    fn node_is_found_in_the_tile_of_its_level() {
        let cases = [
            ((0, 0), (0, 0, 0, 1)),
            ((0, 300), (0, 1, 44, 1)),
            ((3, 33), (0, 1, 8, 8)),
            ((7, 3), (0, 1, 128, 128)),
            ((8, 3), (1, 0, 3, 1)),
            ((63, 1), (7, 0, 128, 128)),
            ((255, u64::MAX), (31, u64::MAX / 2, 128, 128)),
        ];
        for ((level, index), (tile_level, tile_index, offset, count)) in cases {
            let want = NodePlace {
                tile_level,
                tile_index,
                offset,
                count,
            };
            assert_eq!(tile_for(level, index), want);
        }
    }

    #[test]
    fn tile_content_is_read_strictly() {
        let hashes = vec![Hash([1; 32]), Hash([2; 32])];
        let content = encode_tile(&hashes);
        assert_eq!(decode_tile(&content, 2), Ok(hashes));
        assert_eq!(decode_tile(&[], 0), Err(TileError::Width(0)));
        assert_eq!(decode_tile(&content, 257), Err(TileError::Width(257)));
        for (bytes, width) in [(64, 1), (64, 3), (63, 2)] {
            let error = decode_tile(&content[..bytes], width).unwrap_err();
            assert_eq!(error, TileError::Content { width, bytes });
        }
    }

    #[test]
    fn bundle_of_an_entry_is_as_wide_as_the_log_allows() {
        let bundle = |index, size| {
            BundleId::of_entry(LogIndex::new(index), TreeSize::new(size))
                .map(|b| (b.index, b.width))
        };
        assert_eq!(bundle(0, 300), Some((0, 256)));
        assert_eq!(bundle(299, 300), Some((1, 44)));
        assert_eq!(bundle(300, 300), None);
    }
}
