//! Entries as they lie in the store: a few consecutive ones in one row, each with what it did to
//! units beside it. One larger row costs RocksDB less than many small ones, and neither part ever
//! changes once it is written.
//!
//! ```text
//!  version (1 byte, 2) | count (1 byte) | count x (bytes of entry, bytes of rows: u32 each)
//!  | entries, verbatim, one after the other | rows of each entry, one after the other
//!
//!  a row: bytes of unit id (1) | unit id, compact | bytes of value (u16) | value, see `codec`
//! ```
//!
//! Mostly an entry does the same to all units that it is about: a row without a value has that of the row before it.
//!
//! Numbers are little endian. The row's key is the index of its last entry: whoever looks for an entry asks for the first
//! key from its index on, and the index of a table leads to that row at once. By the first entry it would mostly lead to
//! the row behind, which is then read for nothing.

use std::ops::Range;

use super::{StoreError, codec};
use crate::core::apply::state::{HistoryFront, HistoryRow, put_unit_bytes};
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// Version of the format.
const VERSION: u8 = 2;
/// Most entries of a chunk.
const MAX_ENTRIES: usize = 16;
/// A chunk takes no further entry once it has so many bytes.
const FULL_BYTES: usize = 16 << 10;
/// Bytes before the table of lengths.
const HEADER: usize = 2;
/// Bytes of a pair of lengths.
const LENGTHS: usize = 8;

/// A chunk under way.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder<'a> {
    entries: Vec<&'a [u8]>,
    entry_bytes: usize,
    lengths: Vec<(u32, u32)>,
    rows: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> ChunkBuilder<'a> {
    /// Adds an entry and its rows. An entry has at most 65,535 bytes, and its rows name at most 512
    /// units, so all lengths fit.
    pub(super) fn push<'b>(
        &mut self,
        entry: &'a [u8],
        rows: impl Iterator<Item = (&'b UnitId, &'b HistoryRow)>,
    ) -> Result<(), StoreError> {
        let before = self.rows.len();
        let mut last = None;
        for (unit, row) in rows {
            write_row(&mut self.rows, unit, row, last)?;
            last = Some(row);
        }
        self.lengths
            .push((length(entry.len())?, length(self.rows.len() - before)?));
        self.entries.push(entry);
        self.entry_bytes += entry.len();
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.lengths.len() >= MAX_ENTRIES || self.entry_bytes + self.rows.len() >= FULL_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The value, and the builder is empty again.
    pub(super) fn take(&mut self) -> &[u8] {
        let bytes = &mut self.value;
        bytes.clear();
        bytes.extend_from_slice(&[VERSION, self.lengths.len() as u8]); // at most MAX_ENTRIES
        for (entry, rows) in self.lengths.drain(..) {
            bytes.extend_from_slice(&entry.to_le_bytes());
            bytes.extend_from_slice(&rows.to_le_bytes());
        }
        for entry in self.entries.drain(..) {
            bytes.extend_from_slice(entry);
        }
        self.entry_bytes = 0;
        bytes.append(&mut self.rows);
        bytes
    }
}

/// Adds a row to those of an entry, of which the last one so far is given.
pub(super) fn write_row(
    rows: &mut Vec<u8>,
    unit: &UnitId,
    row: &HistoryRow,
    last: Option<&HistoryRow>,
) -> Result<(), StoreError> {
    put_unit_bytes(unit, rows);
    let at = rows.len();
    rows.extend_from_slice(&[0; 2]);
    if last != Some(row) {
        codec::encode_body(row, rows).map_err(too_large)?;
        let bytes: u16 = length(rows.len() - at - 2)?;
        rows[at..at + 2].copy_from_slice(&bytes.to_le_bytes());
    }
    Ok(())
}

fn length<T: TryFrom<usize>>(bytes: usize) -> Result<T, StoreError> {
    T::try_from(bytes).map_err(|_| StoreError::Io(format!("{bytes} bytes don't fit a chunk")))
}

fn too_large(error: codec::CodecError) -> StoreError {
    StoreError::Io(error.to_string())
}

/// A chunk as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    first: u64,
    bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// By the row's key and value.
    pub(super) fn new(key: &[u8], bytes: &'a [u8]) -> Result<Self, StoreError> {
        let last = key
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| StoreError::Corrupt("the key of a chunk has not 8 bytes".into()))?;
        let [version, count, ..] = bytes else {
            return Err(StoreError::Corrupt(format!("chunk {last} is cut off")));
        };
        if *version != VERSION {
            return Err(StoreError::Corrupt(format!(
                "chunk {last} has format {version}, this build reads {VERSION}"
            )));
        }
        let first = last
            .checked_add(1)
            .and_then(|end| end.checked_sub(u64::from(*count)));
        let first =
            first.ok_or_else(|| StoreError::Corrupt(format!("chunk {last} is too long")))?;
        Ok(Self { first, bytes })
    }

    /// The entries that it holds.
    pub(super) fn indexes(&self) -> Range<u64> {
        let count = self.bytes.get(1).copied().unwrap_or(0);
        self.first..self.first + u64::from(count)
    }

    /// An entry, and its rows undecoded.
    pub(super) fn get(&self, index: LogIndex) -> Result<(&'a [u8], &'a [u8]), StoreError> {
        let parts = || {
            let range = self.indexes();
            let count = usize::try_from(range.end - range.start).ok()?;
            let number = usize::try_from(index.0.checked_sub(self.first)?).ok()?;
            let table = self.bytes.get(HEADER..HEADER + count * LENGTHS)?;
            let (mut entry_at, mut rows_at) = (HEADER + table.len(), HEADER + table.len());
            let mut found = None;
            for (i, pair) in table.chunks_exact(LENGTHS).enumerate() {
                let (entry, rows) = (le_u32(pair.get(..4)?)?, le_u32(pair.get(4..)?)?);
                if i == number {
                    found = Some((entry_at..entry_at + entry, rows));
                }
                entry_at += entry;
                if i < number {
                    rows_at += rows;
                }
            }
            let (entry, rows) = found?;
            // The rows begin where the last entry ends.
            let rows_at = rows_at + entry_at - (HEADER + table.len());
            Some((
                self.bytes.get(entry)?,
                self.bytes.get(rows_at..rows_at + rows)?,
            ))
        };
        parts().ok_or_else(|| StoreError::Corrupt(format!("entry {index} is cut off")))
    }
}

fn le_u32(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// The row of one unit among the rows of an entry.
pub(super) fn row_of(rows: &[u8], unit: &UnitId) -> Result<Option<HistoryRow>, StoreError> {
    let wanted = unit.to_compact();
    let mut rest = Rows::new(rows);
    while let Some((id, value)) = rest.split_first()? {
        if *id == *wanted {
            return value_of(value).map(Some);
        }
    }
    Ok(None)
}

/// The rows of an entry, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    rest: &'a [u8],
    /// Value of the row before.
    value: &'a [u8],
}

/// A row's id and value.
type Row<'a> = (&'a [u8], &'a [u8]);

impl<'a> Rows<'a> {
    pub(super) const fn new(rows: &'a [u8]) -> Self {
        Self {
            rest: rows,
            value: &[],
        }
    }

    /// Splits the first row off.
    fn split_first(&mut self) -> Result<Option<Row<'a>>, StoreError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let parts = || {
            let (length, rest) = self.rest.split_first()?;
            let (id, rest) = rest.split_at_checked(usize::from(*length))?;
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            Some((id, value, rest))
        };
        let parts = parts();
        // After one that doesn't read there is nothing more.
        self.rest = parts.map_or(&[], |(_, _, rest)| rest);
        let cut_off = || StoreError::Corrupt("a row of history is cut off".into());
        let (id, value, _) = parts.ok_or_else(cut_off)?;
        if !value.is_empty() {
            self.value = value;
        }
        Ok(Some((id, self.value)))
    }

    /// The front of the row that is next.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it doesn't read.
    pub fn front(&self) -> Result<Option<HistoryFront>, StoreError> {
        let next = { *self }.split_first()?;
        let front = next.map(|(_, value)| codec::decode_front(value));
        front
            .transpose()
            .map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(UnitId, HistoryRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.split_first().transpose()?;
        Some(row.and_then(|(id, value)| {
            let id = UnitId::from_compact(id);
            let id = id.map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok((id, value_of(value)?))
        }))
    }
}

fn value_of(value: &[u8]) -> Result<HistoryRow, StoreError> {
    codec::decode_body(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::apply::testing::scanned;

    fn unit(serial: u64) -> UnitId {
        format!("01/10614141123459/21/{serial}").parse().unwrap()
    }

    fn row(before: u64) -> HistoryRow {
        scanned(Some(LogIndex(before)), 7)
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            entries in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0u64..5), 1..16),
        ) {
            let mut builder = ChunkBuilder::default();
            for (entry, units) in &entries {
                let rows: Vec<_> = (0..*units).map(|n| (unit(n), row(n / 2))).collect();
                builder.push(entry, rows.iter().map(|(id, row)| (id, row))).unwrap();
            }
            let bytes = builder.take().to_vec();
            prop_assert!(builder.is_empty());
            let key = 999 + entries.len() as u64;
            let chunk = Chunk::new(&key.to_be_bytes(), &bytes).unwrap();
            prop_assert_eq!(chunk.indexes(), 1000..1000 + entries.len() as u64);
            for (index, (entry, units)) in (1000..).zip(&entries) {
                let (found, rows) = chunk.get(LogIndex(index)).unwrap();
                prop_assert_eq!(found, entry.as_slice());
                for n in 0..*units {
                    prop_assert_eq!(row_of(rows, &unit(n)).unwrap(), Some(row(n / 2)));
                }
                prop_assert_eq!(row_of(rows, &unit(99)).unwrap(), None);
                let front = Rows::new(rows).front().unwrap();
                let wanted = row(0);
                prop_assert_eq!(front.is_some(), *units > 0);
                if let Some(front) = front {
                    prop_assert_eq!(front.before, wanted.before);
                    prop_assert_eq!((front.kind, front.joined, front.signer), (wanted.kind, wanted.joined, wanted.signer));
                }
                let all: Vec<_> = Rows::new(rows).map(Result::unwrap).collect();
                let wanted: Vec<_> = (0..*units).map(|n| (unit(n), row(n / 2))).collect();
                prop_assert_eq!(all, wanted);
            }
            prop_assert!(chunk.get(LogIndex(999)).is_err());
            prop_assert!(chunk.get(LogIndex(1000 + entries.len() as u64)).is_err());
        }

        #[test]
        fn rows_that_are_cut_off_are_an_error_and_no_panic(cut in 1usize..200) {
            let mut rows = Vec::new();
            write_row(&mut rows, &unit(1), &row(2), None).unwrap();
            let first = rows.len();
            write_row(&mut rows, &unit(3), &row(2), Some(&row(2))).unwrap();
            let cut = &rows[..cut % rows.len()];
            let read: Result<Vec<_>, _> = Rows::new(cut).collect();
            let whole = cut.is_empty() || cut.len() == first;
            prop_assert_eq!(read.is_ok(), whole);
            prop_assert_eq!(row_of(cut, &unit(3)).is_ok(), whole);
        }

        #[test]
        fn a_chunk_that_is_cut_off_is_an_error_and_no_panic(cut in 0usize..200) {
            let mut builder = ChunkBuilder::default();
            let rows = [(unit(1), row(2))];
            builder.push(&[1; 90], rows.iter().map(|(id, row)| (id, row))).unwrap();
            let bytes = builder.take();
            let cut = cut % bytes.len();
            let read = Chunk::new(&0u64.to_be_bytes(), &bytes[..cut]);
            prop_assert!(read.and_then(|chunk| chunk.get(LogIndex(0)).map(|_| ())).is_err());
        }
    }
}
