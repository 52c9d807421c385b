//! Paths of tiles and entry bundles (c2sp.org/tlog-tiles, "Merkle Tree" and "Log entries").
//!
//! ```text
//! tile/<L>/<N>[.p/<W>]          tile/0/x001/x234/067      tile/1/003.p/17
//! tile/entries/<N>[.p/<W>]      tile/entries/x001/x234/067
//! ```

use std::{fmt, str::FromStr};

use super::{BundleId, MAX_TILE_LEVEL, TILE_WIDTH, TileId};

/// What a path below the log's prefix names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TilePath {
    /// Hashes of the tree.
    Tile(TileId),
    /// Entries.
    Entries(BundleId),
}

/// Why a path names no tile and no entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `tile/` or has no index.
    #[error("a tile path is tile/<level>/<index> or tile/entries/<index>")]
    Form,
    /// The level is not a canonical number up to 63.
    #[error("a tile level is a number from 0 to {MAX_TILE_LEVEL} without leading zeros")]
    Level,
    /// The index is not in canonical groups of three digits.
    #[error("a tile index is written as groups of three digits, such as x001/x234/067")]
    Index,
    /// The index is 2^64 or more.
    #[error("the tile index is too large")]
    IndexTooLarge,
    /// The width is not a canonical number from 1 to 255.
    #[error("the width of a partial tile is a number from 1 to 255 without leading zeros")]
    Width,
}

impl TileId {
    /// The path below the log's prefix.
    pub fn path(self) -> String {
        format!("tile/{}/{}", self.level, tail(self.index, self.width))
    }
}

impl BundleId {
    /// The path below the log's prefix.
    pub fn path(self) -> String {
        format!("tile/entries/{}", tail(self.index, self.width))
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => f.write_str(&tile.path()),
            Self::Entries(bundle) => f.write_str(&bundle.path()),
        }
    }
}

impl FromStr for TilePath {
    type Err = PathError;

    /// Reads a path below the log's prefix; every tile has one path, others are refused.
    fn from_str(path: &str) -> Result<Self, PathError> {
        let rest = path.strip_prefix("tile/").ok_or(PathError::Form)?;
        let (kind, tail) = rest.split_once('/').ok_or(PathError::Form)?;
        let (index, width) = parse_tail(tail)?;
        if kind == "entries" {
            return Ok(Self::Entries(BundleId { index, width }));
        }
        let level = parse_number(kind)
            .and_then(|level| u8::try_from(level).ok())
            .filter(|level| *level <= MAX_TILE_LEVEL)
            .ok_or(PathError::Level)?;
        Ok(Self::Tile(TileId {
            level,
            index,
            width,
        }))
    }
}

/// `<N>[.p/<W>]`.
fn tail(index: u64, width: u16) -> String {
    let index = index_path(index);
    if width == TILE_WIDTH {
        index
    } else {
        format!("{index}.p/{width}")
    }
}

/// `<N>`: groups of three digits, `x` before all but the last.
fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

fn parse_tail(tail: &str) -> Result<(u64, u16), PathError> {
    let Some((index, width)) = tail.split_once(".p/") else {
        return Ok((parse_index(tail)?, TILE_WIDTH));
    };
    let width = parse_number(width)
        .filter(|width| (1..TILE_WIDTH).contains(width))
        .ok_or(PathError::Width)?;
    Ok((parse_index(index)?, width))
}

fn parse_index(path: &str) -> Result<u64, PathError> {
    let mut index = 0_u64;
    for group in path.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !is_digits(digits) {
            return Err(PathError::Index);
        }
        let value: u64 = digits.parse().map_err(|_| PathError::Index)?;
        index = index
            .checked_mul(1000)
            .and_then(|index| index.checked_add(value))
            .ok_or(PathError::IndexTooLarge)?;
    }
    // Refuses a missing or superfluous x and groups of leading zeros.
    if index_path(index) != path {
        return Err(PathError::Index);
    }
    Ok(index)
}

/// A decimal number of at most three digits without leading zeros.
fn parse_number(text: &str) -> Option<u16> {
    let canonical = text == "0" || !text.starts_with('0');
    if text.len() > 3 || !is_digits(text) || !canonical {
        return None;
    }
    text.parse().ok()
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let cases = [
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (0, 0, 256, "tile/0/000"),
            (0, 273, 112, "tile/0/273.p/112"),
            (1, 1, 17, "tile/1/001.p/17"),
            (2, 0, 1, "tile/2/000.p/1"),
            (63, 999, 255, "tile/63/999.p/255"),
            (0, 1000, 256, "tile/0/x001/000"),
            (0, u64::MAX, 256, "tile/0/x018/x446/x744/x073/x709/x551/615"),
        ];
        for (level, index, width, path) in cases {
            let tile = TileId::new(level, index, width).unwrap();
            assert_eq!(tile.path(), path);
            assert_eq!(path.parse(), Ok(TilePath::Tile(tile)));
        }
        let bundle = BundleId::new(1_234_067, 9).unwrap();
        assert_eq!(bundle.path(), "tile/entries/x001/x234/067.p/9");
        assert_eq!(bundle.path().parse(), Ok(TilePath::Entries(bundle)));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let cases = [
            ("", PathError::Form),
            ("tile", PathError::Form),
            ("tile/0", PathError::Form),
            ("/tile/0/000", PathError::Form),
            ("checkpoint", PathError::Form),
            ("tile/64/000", PathError::Level),
            ("tile/00/000", PathError::Level),
            ("tile/+1/000", PathError::Level),
            ("tile//000", PathError::Level),
            ("tile/Entries/000", PathError::Level),
            ("tile/-1/000", PathError::Level),
            ("tile/0/", PathError::Index),
            ("tile/0/0", PathError::Index),
            ("tile/0/0000", PathError::Index),
            ("tile/0/x001", PathError::Index),
            ("tile/0/001/234", PathError::Index),
            ("tile/0/x000/001", PathError::Index),
            ("tile/0/000/", PathError::Index),
            ("tile/0/000/../001", PathError::Index),
            ("tile/0/+01", PathError::Index),
            ("tile/0/xx01", PathError::Index),
            ("tile/0/٠٠١", PathError::Index),
            (
                "tile/0/x018/x446/x744/x073/x709/x551/616",
                PathError::IndexTooLarge,
            ),
            ("tile/0/000.p/0", PathError::Width),
            ("tile/0/000.p/256", PathError::Width),
            ("tile/0/000.p/01", PathError::Width),
            ("tile/0/000.p/", PathError::Width),
            ("tile/0/000.p/1/", PathError::Width),
            ("tile/0/000.p", PathError::Index),
        ];
        for (path, error) in cases {
            assert_eq!(path.parse::<TilePath>(), Err(error), "{path}");
        }
    }

    proptest! {
        #[test]
        fn path_and_tile_are_one_to_one(level in 0..=63_u8, index: u64, width in 1..=256_u16) {
            let tile = TileId::new(level, index, width).unwrap();
            prop_assert_eq!(tile.path().parse(), Ok(TilePath::Tile(tile)));
        }

        #[test]
        fn what_is_read_is_written_the_same(path in "tile/[0-9e]{1,2}/(x[0-9]{3}/){0,3}[0-9]{3}(.p/[0-9]{1,3})?") {
            if let Ok(tile) = path.parse::<TilePath>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(path: String) {
            let _ = path.parse::<TilePath>();
        }
    }
}
