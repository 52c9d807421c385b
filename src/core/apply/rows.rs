//! New values of one table, and what entries did to units: the parts of a set of changes.
//!
//! Most records change one row of a few tables of many, and a set of changes is made, handed on and laid over another for
//! each record; so a table without changes costs a pointer, and one with a single row one allocation. Nothing here is in
//! order: whoever needs an order sorts.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

use super::state::HistoryRow;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// New values of a table, by key.
#[derive(Clone, Debug)]
pub struct Rows<K, V>(Option<Box<Filled<K, V>>>);

#[derive(Clone, Debug)]
enum Filled<K, V> {
    One(K, V),
    Many(HashMap<K, V>),
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Eq + Hash, V> Rows<K, V> {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0.as_deref() {
            None => 0,
            Some(Filled::One(..)) => 1,
            Some(Filled::Many(rows)) => rows.len(),
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        match self.0.as_deref()? {
            Filled::One(one, value) => (one == key).then_some(value),
            Filled::Many(rows) => rows.get(key),
        }
    }

    /// Whether the key has a value.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Gives a key its value.
    pub fn insert(&mut self, key: K, value: V) {
        match self.0.as_deref_mut() {
            None => self.0 = Some(Box::new(Filled::One(key, value))),
            Some(Filled::One(one, old)) if *one == key => *old = value,
            Some(Filled::Many(rows)) => drop(rows.insert(key, value)),
            Some(filled) => {
                let before = std::mem::replace(filled, Filled::Many(HashMap::with_capacity(8)));
                if let (Filled::One(one, old), Filled::Many(rows)) = (before, filled) {
                    rows.extend([(one, old), (key, value)]);
                }
            }
        }
    }

    /// Lays later values over these.
    pub fn merge(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
            return;
        }
        match later.0.map(|filled| *filled) {
            None => {}
            Some(Filled::One(key, value)) => self.insert(key, value),
            Some(Filled::Many(rows)) => self.extend(rows),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (one, many) = match self.0.as_deref() {
            None => (None, None),
            Some(Filled::One(key, value)) => (Some((key, value)), None),
            Some(Filled::Many(rows)) => (None, Some(rows)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// All of them, taken out.
    pub fn into_rows(self) -> impl Iterator<Item = (K, V)> {
        let (one, many) = match self.0.map(|filled| *filled) {
            None => (None, None),
            Some(Filled::One(key, value)) => (Some((key, value)), None),
            Some(Filled::Many(rows)) => (None, Some(rows)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Eq + Hash, V> Extend<(K, V)> for Rows<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, rows: I) {
        let rows = rows.into_iter();
        if let Some(Filled::Many(known)) = self.0.as_deref_mut() {
            known.extend(rows);
            return;
        }
        rows.for_each(|(key, value)| self.insert(key, value));
    }
}

impl<K: Eq + Hash, V> FromIterator<(K, V)> for Rows<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        let mut all = Self::default();
        all.extend(rows);
        all
    }
}

impl<K: Eq + Hash, V: PartialEq> PartialEq for Rows<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get(key) == Some(value))
    }
}

#[cfg(test)]
impl<K: Ord, V> Rows<K, V> {
    /// All of them, by key.
    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = (&K, &V)>
    where
        K: Eq + Hash,
    {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter()
    }
}

#[cfg(test)]
impl<K: Eq + Hash, V> std::ops::Index<&K> for Rows<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the key has a value")
    }
}

/// What entries did to units, in the order of the entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(Vec<(LogIndex, UnitId, HistoryRow)>);

impl History {
    /// What an entry, the last one so far, did to a unit.
    pub(super) fn push(&mut self, index: LogIndex, unit: UnitId, row: HistoryRow) {
        debug_assert!(self.0.last().is_none_or(|(last, ..)| *last <= index));
        self.0.push((index, unit, row));
    }

    /// Rows of one entry lie in the log in the order of their units.
    pub(super) fn sort(&mut self) {
        let key = |row: &(LogIndex, UnitId, HistoryRow)| (row.0, row.1);
        if !self.0.is_sorted_by_key(key) {
            self.0.sort_unstable_by_key(key);
        }
    }

    /// Adds those of later entries.
    pub(super) fn merge(&mut self, mut later: Self) {
        if self.0.is_empty() {
            *self = later;
        } else {
            self.0.append(&mut later.0);
        }
    }

    /// What an entry did to a unit.
    #[must_use]
    pub fn get(&self, index: LogIndex, unit: &UnitId) -> Option<&HistoryRow> {
        let first = self.0.partition_point(|(at, ..)| *at < index);
        let of_entry = self.0.get(first..)?.iter();
        of_entry
            .take_while(|(at, ..)| *at == index)
            .find_map(|(_, of, row)| (of == unit).then_some(row))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by entry and unit.
    pub fn iter(&self) -> impl Iterator<Item = &(LogIndex, UnitId, HistoryRow)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_a_map_however_few_there_are(
            puts in proptest::collection::vec((0u8..6, any::<u16>()), 0..12),
            later in proptest::collection::vec((0u8..6, any::<u16>()), 0..12),
        ) {
            let mut rows: Rows<u8, u16> = puts.iter().copied().collect();
            let mut model: BTreeMap<u8, u16> = puts.into_iter().collect();
            prop_assert_eq!(&rows, &model.clone().into_iter().collect::<Rows<_, _>>());
            rows.merge(later.iter().copied().collect());
            model.extend(later);
            prop_assert_eq!(rows.len(), model.len());
            prop_assert_eq!(rows.is_empty(), model.is_empty());
            for key in 0..6 {
                prop_assert_eq!(rows.get(&key), model.get(&key));
            }
            let all: BTreeMap<u8, u16> = rows.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(&all, &model);
            prop_assert_eq!(rows.into_rows().collect::<BTreeMap<_, _>>(), model);
        }
    }

    #[test]
    fn rows_that_differ_are_not_equal() {
        let of = |rows: &[(u8, u8)]| rows.iter().copied().collect::<Rows<_, _>>();
        assert_eq!(of(&[(1, 1), (2, 2)]), of(&[(2, 2), (1, 1)]));
        assert_ne!(of(&[(1, 1)]), of(&[(1, 2)]));
        assert_ne!(of(&[(1, 1)]), of(&[(2, 1)]));
        assert_ne!(of(&[(1, 1), (2, 2)]), of(&[(1, 1), (3, 2)]));
        assert_ne!(of(&[(1, 1), (2, 2)]), of(&[(1, 1)]));
        assert_ne!(of(&[]), of(&[(1, 1)]));
    }
}
