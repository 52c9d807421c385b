//! States that many units have. What a record does to a pallet leaves all of it in one state: that is written once, and
//! the rows of the units say where.
//!
//! Which states are shared depends on how entries came in groups, as the entries' chunks do; what is read does not. A
//! state is never changed nor deleted. Those that no unit is in any more stay: at most one for each [`LEAST`] units that
//! a record moves, in a log that keeps as many bytes of those units for good itself.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt as _};
use rocksdb::{DBPinnableSlice, WriteBatch};

use super::memo::Generations;
use super::options::STATES;
use super::{Group, Reach, Store, StoreError, codec, decode, encoded_into, io};
use crate::core::apply::state::{Table, Unit, Units, put_unit_bytes};

/// Units that have to be in a state for it to be kept by itself.
const LEAST: usize = 8;
/// States that a generation remembers, decoded, of some 600 bytes.
const KNOWN: usize = 1 << 13;

/// Whether a state may have so many units. One with fewer owners has fewer: most have, and need no count.
pub(super) fn may_be_shared(state: &Arc<Unit>) -> bool {
    Arc::strong_count(state) >= LEAST
}

/// Where a state is: the index of the first entry of its group, and its number among the group's, both big endian.
type StateKey = [u8; 12];

fn state_key(group: &Group, number: u32) -> StateKey {
    let mut key = [0; 12];
    let (first, rest) = key.split_at_mut(8);
    first.copy_from_slice(&group.first.0.to_be_bytes());
    rest.copy_from_slice(&number.to_be_bytes());
    key
}

/// States that were read last.
pub(super) struct States(Mutex<Generations<StateKey, Arc<Unit>>>);

impl Default for States {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(KNOWN)))
    }
}

impl States {
    fn known(&self) -> MutexGuard<'_, Generations<StateKey, Arc<Unit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &StateKey) -> Option<Arc<Unit>> {
        self.known().peek(key)
    }

    fn put(&self, key: StateKey, state: &Arc<Unit>) {
        let forgotten = self.known().put(key, Arc::clone(state));
        // To drop a whole generation takes a while, and nobody should wait for that.
        drop(forgotten);
    }
}

/// The states of a group that many of its units are in.
struct Shares<'a> {
    units: HashMap<*const Unit, usize>,
    keys: HashMap<*const Unit, StateKey>,
    group: &'a Group,
}

impl<'a> Shares<'a> {
    fn of(group: &'a Group) -> Self {
        let mut units = HashMap::new();
        // A state is named by the entries of its group.
        let named = !group.entries.is_empty();
        let many = |unit: &&Arc<Unit>| named && may_be_shared(unit);
        for unit in group.changes.units.values().filter(many) {
            *units.entry(Arc::as_ptr(unit)).or_default() += 1;
        }
        Self {
            units,
            keys: HashMap::new(),
            group,
        }
    }

    /// Where the state is to be, if it is shared; and whether nobody asked before.
    fn place(&mut self, unit: &Arc<Unit>) -> Option<(StateKey, bool)> {
        let state = Arc::as_ptr(unit);
        if self.units.get(&state).is_none_or(|units| *units < LEAST) {
            return None;
        }
        if let Some(key) = self.keys.get(&state) {
            return Some((*key, false));
        }
        let key = state_key(self.group, u32::try_from(self.keys.len()).ok()?);
        self.keys.insert(state, key);
        Some((key, true))
    }
}

impl Store {
    /// The rows of the units that a group changes.
    pub(super) fn put_units(
        &self,
        group: &Group,
        batch: &mut WriteBatch,
    ) -> Result<(), StoreError> {
        let (units, states) = (self.family(Units::NAME)?, self.family(STATES)?);
        let mut shares = Shares::of(group);
        let changed = &group.changes.units;
        // All keys in one piece of memory.
        let mut keys = Vec::with_capacity(changed.len() * 24);
        let mut rows = Vec::with_capacity(changed.len());
        for (id, unit) in changed.iter() {
            let start = keys.len();
            put_unit_bytes(id, &mut keys);
            rows.push((start..keys.len(), unit));
        }
        let rows = rows.into_iter();
        let mut rows: Vec<_> = rows.map(|(key, unit)| (&keys[key], unit)).collect();
        // A row finds its place in the memtable from that of the row before it.
        rows.sort_unstable_by_key(|(key, _)| *key);
        let mut value = Vec::new();
        let mut last = None;
        for (key, unit) in rows {
            if !last.is_some_and(|last| Arc::ptr_eq(last, unit)) {
                let place = shares.place(unit);
                if place.is_none_or(|(_, is_new)| is_new) {
                    encoded_into(unit, &mut value)?;
                }
                if let Some((state, is_new)) = place {
                    if is_new {
                        batch.put_cf(states, state, &value);
                    }
                    codec::encode_reference(&state, &mut value);
                }
                last = Some(unit);
            }
            batch.put_cf(units, key, &value);
        }
        Ok(())
    }

    /// Reads the states that rows of units refer to and that are not known yet, all at once.
    pub(super) fn know_states<'r>(
        &self,
        rows: impl Iterator<Item = &'r [u8]>,
    ) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        let mut last = None;
        for row in rows {
            if let Some(key) = reference(row)?
                && last != Some(key)
            {
                last = Some(key);
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        if !keys.is_empty() {
            let known = self.states.known();
            keys.retain(|key| known.peek(key).is_none());
        }
        if keys.len() < 2 {
            return Ok(()); // who asks for it reads it
        }
        let family = self.family(STATES)?;
        let rows = self.db.batched_multi_get_cf(family, &keys, true);
        for (key, row) in keys.into_iter().zip(rows) {
            let row = row.map_err(|error| io(&error))?;
            let row = row.ok_or_else(|| missing(&key))?;
            self.states.put(key, &decode(&row)?);
        }
        Ok(())
    }

    fn state(&self, key: StateKey, reach: Reach) -> Result<Arc<Unit>, StoreError> {
        if let Some(state) = self.states.get(&key) {
            return Ok(state);
        }
        let state = decode(&self.state_row(&key, reach)?)?;
        self.states.put(key, &state);
        Ok(state)
    }

    fn state_row(&self, key: &StateKey, reach: Reach) -> Result<DBPinnableSlice<'_>, StoreError> {
        let family = self.family(STATES)?;
        let row = self.db.get_pinned_cf_opt(family, key, &reach.options());
        row.map_err(|error| io(&error))?.ok_or_else(|| missing(key))
    }

    /// The row of a unit as it would be if no other unit shared its state.
    pub(super) fn own_row(&self, row: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        match reference(&row)? {
            None => Ok(row),
            Some(key) => Ok(self.state_row(&key, Reach::Disk)?.to_vec()),
        }
    }
}

/// Reads values of rows, wherever they are.
pub(super) struct Values<'a> {
    store: &'a Store,
    reach: Reach,
    /// Units that follow each other are mostly in one state.
    last: Option<(StateKey, Arc<Unit>)>,
}

impl<'a> Values<'a> {
    pub(super) const fn new(store: &'a Store, reach: Reach) -> Self {
        Self {
            store,
            reach,
            last: None,
        }
    }

    /// The value of a row.
    pub(super) fn of<T: Table>(&mut self, row: &[u8]) -> Result<T::Value, StoreError> {
        let Some(key) = reference(row)? else {
            return decode(row);
        };
        let unit = match &self.last {
            Some((last, unit)) if *last == key => unit,
            _ => {
                let unit = self.store.state(key, self.reach)?;
                &self.last.insert((key, unit)).1
            }
        };
        // None but units have such rows.
        let value = <dyn Any>::downcast_ref::<T::Value>(unit).cloned();
        value.ok_or_else(|| corrupt(format!("a row of {} has no value", T::NAME)))
    }
}

/// Where the value of a row is, if it isn't in it.
fn reference(row: &[u8]) -> Result<Option<StateKey>, StoreError> {
    let key = codec::reference(row).map_err(corrupt)?;
    let key = key.map(|key| StateKey::try_from(key).map_err(|_| missing(key)));
    key.transpose()
}

fn missing(key: &[u8]) -> StoreError {
    corrupt(format!("the state of a unit is missing: {key:02x?}"))
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;
    use prost::bytes::Bytes;
    use rocksdb::IteratorMode;

    use super::*;
    use crate::core::apply::state::Read as _;
    use crate::core::id::UnitId;
    use crate::core::tlog::{EMPTY_ROOT, LogIndex};
    use crate::store::{LogHead, StoreOptions};

    fn item(n: u64) -> UnitId {
        format!("01/10614141123459/21/{n}").parse().unwrap()
    }

    fn state(length: u64) -> Arc<Unit> {
        Arc::new(Unit {
            length,
            ..Unit::default()
        })
    }

    fn store(path: &Path) -> Store {
        let options = StoreOptions {
            sync: false,
            ..StoreOptions::default()
        };
        Store::create(path, &options).unwrap()
    }

    type Moves = [(Vec<u64>, Arc<Unit>)];

    /// An entry for each state that some units go into.
    fn group(store: &Store, moves: &Moves) -> Group {
        let mut group = Group {
            id: None,
            first: LogIndex(store.head().unwrap().size),
            entries: moves.iter().map(|_| Bytes::from_static(b"entry")).collect(),
            tiles: Vec::new(),
            changes: Default::default(),
            head: LogHead {
                size: store.head().unwrap().size + moves.len() as u64,
                root: EMPTY_ROOT,
            },
        };
        for (units, state) in moves {
            let rows = units.iter().map(|n| (item(*n), Arc::clone(state)));
            group.changes.units.extend(rows);
        }
        group
    }

    fn commit(store: &Store, moves: &Moves) {
        store.commit(&group(store, moves)).unwrap();
    }

    fn states(store: &Store) -> usize {
        let family = store.family(STATES).unwrap();
        store.db.iterator_cf(family, IteratorMode::Start).count()
    }

    fn length(store: &Store, n: u64) -> Option<u64> {
        let unit = store.get::<Units>(&item(n)).unwrap();
        unit.map(|unit| unit.length)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However units go from state to state and however that is cut into groups, what is read is what was put last.
        #[test]
        fn what_was_put_last_is_read_however_it_was_cut_into_groups(
            moves in proptest::collection::vec(proptest::collection::vec(0u64..40, 0..60), 1..12),
            cuts in proptest::collection::vec(1usize..5, 12),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (cut, whole) = (store(&folder.path().join("cut")), store(&folder.path().join("whole")));
            let moves: Vec<_> = (1..).zip(moves).map(|(length, units)| (units, state(length))).collect();
            let mut model = BTreeMap::new();
            let (mut rest, mut cuts) = (&moves[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                commit(&cut, now);
                rest = later;
                for (units, state) in now {
                    model.extend(units.iter().map(|n| (*n, state.length)));
                }
                for n in 0..41 {
                    prop_assert_eq!(length(&cut, n), model.get(&n).copied());
                }
            }
            commit(&whole, &moves);
            prop_assert_eq!(cut.dump().unwrap(), whole.dump().unwrap());
            let ids: Vec<_> = (0..41).map(item).collect();
            let wanted: Vec<_> = (0..41).map(|n| model.get(&n).copied()).collect();
            let lengths = |rows: Vec<Option<Arc<Unit>>>| -> Vec<Option<u64>> {
                rows.iter().map(|row| row.as_ref().map(|unit| unit.length)).collect()
            };
            // By a store that has read none of it yet, all at once and in order.
            drop(cut);
            let cut = Store::open(&folder.path().join("cut"), &StoreOptions::default()).unwrap();
            prop_assert_eq!(lengths(cut.multi_get::<Units>(&ids).unwrap()), wanted.clone());
            prop_assert_eq!(lengths(cut.view().rows::<Units>(&ids).unwrap()), wanted);
            let mut scanned = Vec::new();
            cut.view().scan_prefix::<Units>(&[], &[], |_, unit| {
                scanned.push(unit.length);
                true
            }).unwrap();
            scanned.sort_unstable();
            let mut wanted: Vec<_> = model.into_values().collect();
            wanted.sort_unstable();
            prop_assert_eq!(scanned, wanted);
        }
    }

    #[test]
    fn given_units_in_one_state_when_they_are_many_then_it_is_written_once_and_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        let least = LEAST as u64;
        let few = (1..least).collect();
        commit(&store, &[(few, state(1))]);
        assert_eq!(states(&store), 0, "too few");
        let pallet: Vec<_> = (100..100 + least).collect();
        let mut exactly = group(&store, &[(vec![7], state(3))]);
        let shared = state(2);
        let rows = pallet.iter().map(|n| (item(*n), Arc::clone(&shared)));
        exactly.changes.units.extend(rows.collect::<Vec<_>>());
        drop(shared);
        store.commit(&exactly).unwrap();
        assert_eq!(states(&store), 1);
        let read = |n: u64| store.get::<Units>(&item(n)).unwrap().unwrap();
        assert!(Arc::ptr_eq(&read(100), &read(101)), "the same in memory");
        // Those that stay are in the state that they were in.
        commit(&store, &[(pallet[1..].to_vec(), state(4))]);
        assert_eq!(states(&store), 1);
        assert_eq!(
            (length(&store, 100), length(&store, 101)),
            (Some(2), Some(4))
        );
        assert_eq!(length(&store, 7), Some(3));
    }

    #[test]
    fn given_a_group_without_entries_when_more_comes_then_no_state_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        let mut group = group(&store, &[((0..20).collect(), state(1))]);
        group.entries.clear();
        group.head.size = 0;
        store.commit(&group).unwrap();
        commit(&store, &[((20..40).collect(), state(2))]);
        let lengths = [0, 19, 20, 39].map(|n| length(&store, n));
        assert_eq!(lengths, [Some(1), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn given_states_that_nobody_read_when_a_batch_needs_many_then_all_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let written = store(&path);
        let pallet = |n: u64| ((n * 10..n * 10 + 10).collect(), state(n + 1));
        (0..30).for_each(|n| commit(&written, &[pallet(n)]));
        drop(written);
        let store = Store::open(&path, &StoreOptions::default()).unwrap();
        // By turns, so that no two that follow each other are in one state.
        let units: Vec<u64> = (0..10)
            .flat_map(|i| (0..30).map(move |n| n * 10 + i))
            .collect();
        let ids: Vec<_> = units.iter().map(|n| item(*n)).collect();
        let rows = store.multi_get::<Units>(&ids).unwrap();
        for (n, row) in units.iter().zip(rows) {
            assert_eq!(row.map(|unit| unit.length), Some(n / 10 + 1));
        }
        // By now all of it is in memory.
        let near = store.view_within(Reach::Memory);
        let rows = near.rows::<Units>(&ids).unwrap();
        assert!(
            units
                .iter()
                .zip(rows)
                .all(|(n, row)| row.unwrap().length == n / 10 + 1)
        );
    }

    #[test]
    fn given_a_state_that_is_not_in_memory_when_a_view_goes_no_further_then_it_has_missed_something()
     {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let written = store(&path);
        commit(
            &written,
            &[((0..20).collect(), state(1)), (vec![20], state(2))],
        );
        drop(written);
        let store = Store::open(&path, &StoreOptions::default()).unwrap();
        // What is read into memory is the units' rows alone.
        let units = store.family(Units::NAME).unwrap();
        for n in [0, 20] {
            let key = Units::key_bytes(&item(n));
            assert!(store.db.get_cf(units, key).unwrap().is_some());
        }
        let near = store.view_within(Reach::Memory);
        assert!(near.get::<Units>(&item(20)).unwrap().is_some() && !near.missed());
        let error = near.get::<Units>(&item(0)).unwrap_err();
        assert!(error.out_of_reach && near.missed());
        assert_eq!(length(&store, 0), Some(1));
        let near = store.view_within(Reach::Memory);
        assert!(near.get::<Units>(&item(0)).unwrap().is_some() && !near.missed());
    }

    #[test]
    fn given_a_store_that_lost_a_state_when_a_unit_is_read_then_the_store_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        commit(&store, &[((0..20).collect(), state(1))]);
        let family = store.family(STATES).unwrap();
        let (key, _) = store
            .db
            .iterator_cf(family, IteratorMode::Start)
            .next()
            .unwrap()
            .unwrap();
        store.db.delete_cf(family, key).unwrap();
        let read = store.multi_get::<Units>(&[item(3)]);
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
        assert!(matches!(store.dump(), Err(StoreError::Corrupt(_))));
        // The entries here are no log, but the views come before it.
        let verified = store.verify().unwrap_err().to_string();
        assert!(verified.contains("state of a unit"), "{verified}");
    }
}
