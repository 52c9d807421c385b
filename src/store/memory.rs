//! Views in memory, for who replays a whole log and trusts no store.
//!
//! The units that were used last are held as they are. Of all others a state that many may be in is held once, and any
//! other as the bytes that a store would hold, as what entries did to units is. Decoded, both would take a kilobyte for
//! each unit and step, and to clear memory for that takes longer than to judge what lies in it. Units are packed by a
//! thread of their own, while others are judged.

use std::any::Any;
use std::borrow::Borrow;
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, mpsc};

use foldhash::{HashMap, HashMapExt as _, HashSet};

use super::states::may_be_shared;
use super::{StoreError, chunk, codec, read_error};
use crate::core::apply::state::{
    Changes, HistoryRow, Read, ReadError, Table, Unit, Units, put_unit_bytes,
};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// Units that are held as they are, and as many that are being packed; some 600 bytes each.
const AT_HAND: usize = 1 << 16;
/// Bytes of a block of rows of history, at least.
const BLOCK: usize = 1 << 20;
/// What the rows of one entry may take beyond that, about: a block then need not move.
const SLACK: usize = 64 << 10;

/// Views in memory.
#[derive(Debug)]
pub struct InMemory {
    units: RefCell<KnownUnits>,
    history: Histories,
    /// All other tables, and where each record is.
    other: Changes,
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new(AT_HAND)
    }
}

impl InMemory {
    fn new(at_hand: usize) -> Self {
        Self {
            units: RefCell::new(KnownUnits::new(at_hand)),
            history: Histories::default(),
            other: Changes::default(),
        }
    }

    /// Lays over what the next entries change.
    ///
    /// # Errors
    /// [`StoreError`] when a row doesn't encode.
    pub fn merge(&mut self, mut changes: Changes) -> Result<(), StoreError> {
        let history = std::mem::take(&mut changes.history);
        let mut last = None;
        for (index, unit, row) in history.iter() {
            let before = last.filter(|(at, _)| *at == index);
            let before = before.map(|(_, row)| row);
            self.history.push(index, unit, row, before)?;
            last = Some((index, row));
        }
        let units = self.units.get_mut();
        for (id, unit) in std::mem::take(&mut changes.units).into_rows() {
            units.put(id, unit)?;
        }
        self.other.merge(changes);
        Ok(())
    }
}

impl Read for InMemory {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        let key_of_unit = <dyn Any>::downcast_ref::<UnitId>(key);
        let Some(id) = key_of_unit.filter(|_| T::NUMBER == Units::NUMBER) else {
            return self.other.get::<T>(key);
        };
        let unit = self.units.borrow_mut().get(id);
        let unit = unit.map_err(|error| read_error(T::NAME, &error))?;
        // The table of units has units.
        let value = <dyn Any>::downcast_ref::<Option<T::Value>>(&unit);
        Ok(value.cloned().flatten())
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        let row = self.history.get(unit, index);
        row.map_err(|error| read_error("history", &error))
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        self.other.entry_of(record)
    }
}

#[derive(Debug)]
struct KnownUnits {
    at_hand: Decoded,
    limit: usize,
    packing: Option<Packing>,
    packed: HashSet<Packed>,
}

type Decoded = HashMap<UnitId, Known>;

#[derive(Debug)]
struct Known {
    unit: Arc<Unit>,
    /// It is packed as it is, or being packed.
    is_packed: bool,
}

/// Units that a thread packs, and what comes of it.
#[derive(Debug)]
struct Packing {
    units: Arc<Decoded>,
    packed: mpsc::Receiver<Result<Vec<Packed>, StoreError>>,
}

impl KnownUnits {
    fn new(limit: usize) -> Self {
        Self {
            at_hand: HashMap::new(),
            limit,
            packing: None,
            packed: HashSet::default(),
        }
    }

    fn get(&mut self, id: &UnitId) -> Result<Option<Arc<Unit>>, StoreError> {
        if let Some(known) = self.at_hand.get(id) {
            return Ok(Some(Arc::clone(&known.unit)));
        }
        let packing = self.packing.as_ref();
        let unit = match packing.and_then(|packing| packing.units.get(id)) {
            Some(known) => Arc::clone(&known.unit),
            None => match self.packed.get(&*id.to_compact()) {
                Some(packed) => packed.unpack()?,
                None => return Ok(None),
            },
        };
        let known = Known {
            unit: Arc::clone(&unit),
            is_packed: true,
        };
        self.keep(*id, known)?;
        Ok(Some(unit))
    }

    fn put(&mut self, id: UnitId, unit: Arc<Unit>) -> Result<(), StoreError> {
        let known = Known {
            unit,
            is_packed: false,
        };
        self.keep(id, known)
    }

    /// Holds a unit as it is. Where there is no room, all that are held so are packed: few of them are needed again, and
    /// those are at hand after their next use.
    fn keep(&mut self, id: UnitId, known: Known) -> Result<(), StoreError> {
        if let Some(before) = self.at_hand.get_mut(&id) {
            *before = known;
            return Ok(());
        }
        if self.at_hand.len() >= self.limit {
            self.pack()?;
        }
        self.at_hand.insert(id, known);
        Ok(())
    }

    fn pack(&mut self) -> Result<(), StoreError> {
        let before = self.packing.take();
        if let Some(before) = &before {
            let packed = before.packed.recv();
            let packed = packed.map_err(|_| StoreError::Io("the packing thread ended".into()))?;
            for unit in packed? {
                self.packed.replace(unit);
            }
        }
        let room = HashMap::with_capacity(self.limit);
        let units = Arc::new(std::mem::replace(&mut self.at_hand, room));
        let (reply, packed) = mpsc::channel();
        let to_pack = Arc::clone(&units);
        std::thread::spawn(move || {
            // To free so many takes a while as well.
            drop(before);
            let mut buffer = Vec::new();
            let changed = to_pack.iter().filter(|(_, known)| !known.is_packed);
            let packed = changed.map(|(id, known)| Packed::new(id, &known.unit, &mut buffer));
            // Who asked may have given up.
            let _ = reply.send(packed.collect());
        });
        self.packing = Some(Packing { units, packed });
        Ok(())
    }
}

/// A unit that is not at hand.
#[derive(Debug)]
struct Packed {
    /// Length of its id (1), id, compact, and its row, unless its state is kept as it is.
    bytes: Box<[u8]>,
    /// A state that many units may be in.
    state: Option<Arc<Unit>>,
}

impl Packed {
    fn new(id: &UnitId, unit: &Arc<Unit>, buffer: &mut Vec<u8>) -> Result<Self, StoreError> {
        buffer.clear();
        put_unit_bytes(id, buffer);
        let state = may_be_shared(unit).then(|| Arc::clone(unit));
        if state.is_none() {
            let encoded = codec::encode_body(&**unit, buffer);
            encoded.map_err(|error| StoreError::Io(error.to_string()))?;
        }
        let bytes = buffer.as_slice().into();
        Ok(Self { bytes, state })
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let (length, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        rest.split_at_checked(usize::from(*length))
            .unwrap_or((rest, &[]))
    }

    fn unpack(&self) -> Result<Arc<Unit>, StoreError> {
        if let Some(state) = &self.state {
            return Ok(Arc::clone(state));
        }
        let unit = codec::decode_body(self.split().1);
        unit.map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

/// They are told apart by their ids alone.
impl Borrow<[u8]> for Packed {
    fn borrow(&self) -> &[u8] {
        self.split().0
    }
}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.split().0.hash(state);
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.split().0 == other.split().0
    }
}

impl Eq for Packed {}

/// What entries did to units, in the order of the entries.
#[derive(Debug, Default)]
struct Histories {
    /// Rows as in a chunk. A block never grows beyond what it was made for, or not by much: what is written once stays
    /// where it is.
    blocks: Vec<Vec<u8>>,
    /// Where those of an entry begin. They end where those of the next one begin, or with the block.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    index: LogIndex,
    block: u32,
    start: u32,
}

impl Histories {
    /// What an entry did to a unit; and to the one before it, where the entry came before.
    fn push(
        &mut self,
        index: LogIndex,
        unit: &UnitId,
        row: &HistoryRow,
        before: Option<&HistoryRow>,
    ) -> Result<(), StoreError> {
        if self.places.last().is_none_or(|last| last.index != index) {
            if self.blocks.last().is_none_or(|last| last.len() >= BLOCK) {
                self.blocks.push(Vec::with_capacity(BLOCK + SLACK));
            }
            let start = self.blocks.last().map_or(0, Vec::len);
            let place = |at: usize| u32::try_from(at).map_err(|_| StoreError::Io(TOO_MUCH.into()));
            self.places.push(Place {
                index,
                block: place(self.blocks.len() - 1)?,
                start: place(start)?,
            });
        }
        match self.blocks.last_mut() {
            Some(block) => chunk::write_row(block, unit, row, before),
            None => Ok(()), // the first place has made one
        }
    }

    fn get(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, StoreError> {
        let rows = || {
            let found = self
                .places
                .binary_search_by_key(&index, |place| place.index);
            let at = found.ok()?;
            let place = self.places.get(at)?;
            let block = self.blocks.get(place.block as usize)?;
            let next = self.places.get(at + 1);
            let next = next.filter(|next| next.block == place.block);
            let end = next.map_or(block.len(), |next| next.start as usize);
            block.get(place.start as usize..end)
        };
        chunk::row_of(rows().unwrap_or_default(), unit)
    }
}

const TOO_MUCH: &str = "what entries did to units takes more than memory can hold";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::apply::state::{Tallies, Tally};
    use crate::core::apply::testing::scanned;

    fn id(serial: u64) -> UnitId {
        format!("01/10614141123459/21/{serial}").parse().unwrap()
    }

    proptest! {
        /// However few units are at hand: what is read is what was put last.
        #[test]
        fn what_was_merged_is_there(
            entries in proptest::collection::vec(proptest::collection::vec(0u64..40, 0..20), 1..60),
            at_hand in 1usize..20,
            reads in proptest::collection::vec(0u64..50, 0..40),
        ) {
            let mut model = Changes::default();
            let mut views = InMemory::new(at_hand);
            let mut reads = reads.into_iter();
            for (index, units) in (0..).zip(&entries) {
                let mut changes = Changes::default();
                // Of every other entry all units are in one state, many or few.
                let shared = Arc::new(Unit { length: index, ..Unit::default() });
                let unit = |n: u64| match index % 2 {
                    0 => Arc::clone(&shared),
                    _ => Arc::new(Unit { length: index, scans: n, ..Unit::default() }),
                };
                changes.units.extend(units.iter().map(|n| (id(*n), unit(*n))));
                let mut tally = Tally::default();
                tally.units = index;
                changes.tally.insert((), tally);
                changes.records.insert(RecordId([index as u8; 32]), LogIndex(index));
                let mut touched: Vec<_> = units.iter().map(|n| id(*n)).collect();
                touched.sort();
                touched.dedup();
                let mut over = crate::core::apply::state::Overlay::new(Changes::default());
                for id in touched {
                    let row = scanned(None, index as u8);
                    over.put_history(id, &mut Unit::default(), LogIndex(index), row);
                }
                changes.history = over.into_changes().history;
                model.merge(changes.clone());
                views.merge(changes).unwrap();
                // To read brings a unit back among those at hand.
                if let Some(n) = reads.next() {
                    prop_assert_eq!(views.get::<Units>(&id(n)).unwrap(), model.get::<Units>(&id(n)).unwrap());
                }
            }
            for n in 0..41 {
                prop_assert_eq!(views.get::<Units>(&id(n)).unwrap(), model.get::<Units>(&id(n)).unwrap());
                for index in (0..=entries.len() as u64).map(LogIndex) {
                    let (row, wanted) = (views.history(&id(n), index), model.history(&id(n), index));
                    prop_assert_eq!(row.unwrap(), wanted.unwrap());
                }
            }
            prop_assert_eq!(views.get::<Tallies>(&()).unwrap(), model.get::<Tallies>(&()).unwrap());
            let last = RecordId([entries.len() as u8 - 1; 32]);
            prop_assert_eq!(views.entry_of(&last).unwrap(), model.entry_of(&last).unwrap());
        }
    }

    #[test]
    fn rows_that_are_alike_are_found_in_each_of_two_entries() {
        let row = scanned(None, 7);
        let mut over = crate::core::apply::state::Overlay::new(Changes::default());
        for serial in 0..6 {
            let index = LogIndex(serial / 3);
            over.put_history(id(serial), &mut Unit::default(), index, row);
        }
        let mut views = InMemory::default();
        views.merge(over.into_changes()).unwrap();
        for serial in 0..6 {
            let found = views.history(&id(serial), LogIndex(serial / 3));
            assert_eq!(found.unwrap(), Some(row));
        }
    }

    #[test]
    fn rows_of_an_entry_stay_together_where_a_block_ends() {
        let mut histories = Histories::default();
        let row = scanned(Some(LogIndex(3)), 7);
        for index in 0..100 {
            for serial in 0..512 {
                let before = (serial % 2 > 0).then_some(&row);
                let pushed = histories.push(LogIndex(index), &id(serial), &row, before);
                pushed.unwrap();
            }
        }
        assert!(histories.blocks.len() > 1);
        for index in 0..100 {
            for serial in [0, 511] {
                let found = histories.get(&id(serial), LogIndex(index)).unwrap();
                assert_eq!(found, Some(row));
            }
            assert_eq!(histories.get(&id(512), LogIndex(index)).unwrap(), None);
        }
        assert_eq!(histories.get(&id(0), LogIndex(100)).unwrap(), None);
    }
}
