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
            Some(Filled::One(..)) => {
                self.reserve(7);
                self.insert(key, value);
            }
        }
    }

    /// Makes room for so many more than the one that is there.
    pub(super) fn reserve(&mut self, more: usize) {
        if more > 0
            && let Some(filled @ Filled::One(..)) = self.0.as_deref_mut()
        {
            let room = HashMap::with_capacity(more + 1);
            let before = std::mem::replace(filled, Filled::Many(room));
            if let (Filled::One(key, value), Filled::Many(rows)) = (before, filled) {
                rows.insert(key, value);
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

/// What entries did to units, in the order of the entries. What an entry did to many units alike is kept once.
#[derive(Clone, Debug, Default)]
pub struct History {
    steps: Vec<Step>,
    rows: Vec<HistoryRow>,
}

#[derive(Clone, Debug)]
struct Step {
    index: LogIndex,
    unit: UnitId,
    /// Which of the rows says it.
    row: usize,
}

impl History {
    /// What an entry, the last one so far, did to a unit.
    pub(super) fn push(&mut self, index: LogIndex, unit: UnitId, row: HistoryRow) {
        debug_assert!(self.steps.last().is_none_or(|last| last.index <= index));
        self.steps.push(Step {
            index,
            unit,
            row: self.rows.len(),
        });
        self.rows.push(row);
    }

    /// That an entry did to a unit what the row that was pushed last says.
    pub(super) fn push_alike(&mut self, index: LogIndex, unit: UnitId) {
        let row = self.rows.len().saturating_sub(1);
        self.steps.push(Step { index, unit, row });
    }

    /// Rows of one entry lie in the log in the order of their units.
    pub(super) fn sort(&mut self) {
        let key = |step: &Step| (step.index, step.unit);
        if !self.steps.is_sorted_by_key(key) {
            self.steps.sort_unstable_by_key(key);
        }
    }

    /// Adds those of later entries.
    pub(super) fn merge(&mut self, mut later: Self) {
        if self.steps.is_empty() {
            *self = later;
            return;
        }
        let before = self.rows.len();
        let later_steps = later.steps.into_iter().map(|step| Step {
            row: before + step.row,
            ..step
        });
        self.steps.extend(later_steps);
        self.rows.append(&mut later.rows);
    }

    /// What an entry did to a unit.
    #[must_use]
    pub fn get(&self, index: LogIndex, unit: &UnitId) -> Option<&HistoryRow> {
        let first = self.steps.partition_point(|step| step.index < index);
        let from = self.steps.get(first..)?.iter();
        let step = from
            .take_while(|step| step.index == index)
            .find(|step| step.unit == *unit)?;
        self.rows.get(step.row)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All of them, by entry and unit.
    pub fn iter(&self) -> impl Iterator<Item = (LogIndex, &UnitId, &HistoryRow)> {
        let row = |step: &Step| self.rows.get(step.row);
        let steps = self.steps.iter();
        steps.filter_map(move |step| Some((step.index, &step.unit, row(step)?)))
    }
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
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
