//! Decoded rows by table, so that a row that is asked for again is not read and decoded again.
//!
//! Each table holds so many rows at most, in two generations: when the young one is full it becomes
//! the old one, and what was in the old one and not asked for since is forgotten.

use std::any::Any;
use std::cell::RefCell;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

use crate::core::apply::state::{TABLES, Table, Units};

/// Rows by table; none where there is no row.
pub(super) struct Memo {
    /// Units that a generation holds.
    units: usize,
    /// Rows of every other table that a generation holds.
    rows: usize,
    /// By number.
    tables: RefCell<Vec<Option<Box<dyn Any + Send>>>>,
}

impl Memo {
    /// Nothing yet.
    pub(super) fn new(units: usize, rows: usize) -> Self {
        Self {
            units: units.max(1),
            rows: rows.max(1),
            tables: RefCell::new(TABLES.iter().map(|_| None).collect()),
        }
    }

    /// Works on a table.
    pub(super) fn with<T: Table, A>(
        &self,
        act: impl FnOnce(&mut Generations<T::Key, Option<T::Value>>) -> A,
    ) -> A {
        let mut tables = self.tables.borrow_mut();
        let limit = if T::NUMBER == Units::NUMBER {
            self.units
        } else {
            self.rows
        };
        let new = || Generations::<T::Key, Option<T::Value>>::new(limit);
        let table = tables.get_mut(T::NUMBER);
        let table = table.map(|table| table.get_or_insert_with(|| Box::new(new())));
        match table.and_then(|table| table.downcast_mut()) {
            Some(table) => act(table),
            // Each table has its own number.
            None => act(&mut new()),
        }
    }
}

/// A map that forgets what was not asked for in a while.
pub(super) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
    turns: u64,
}

impl<K: Hash + Eq + Clone, V> Generations<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            limit,
            turns: 0,
        }
    }

    /// What is known of a key.
    pub(super) fn get(&mut self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        // What is asked for is young mostly, and in one of the two only.
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put_young(key, value.clone());
        Some(value)
    }

    /// Whether something is known of a key; it counts as asked for.
    pub(super) fn knows(&mut self, key: &K) -> bool {
        if self.young.contains_key(key) {
            return true;
        }
        let Some((key, value)) = self.old.remove_entry(key) else {
            return false;
        };
        self.put_young(key, value);
        true
    }

    /// What is known of a key, which does not count as asked for.
    pub(super) fn peek(&self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        self.peek_at(key).cloned()
    }

    fn peek_at(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts one in of which nothing is known.
    pub(super) fn put_new(&mut self, key: K, value: V) {
        debug_assert!(self.peek_at(&key).is_none());
        self.put_young(key, value);
    }

    /// How often a generation was forgotten. What was put is known until that happened twice.
    pub(super) const fn turns(&self) -> u64 {
        self.turns
    }

    /// Puts one in, and gives back those that are forgotten for it.
    pub(super) fn put(&mut self, key: K, value: V) -> Option<HashMap<K, V>> {
        if let Some(known) = self.young.get_mut(&key) {
            *known = value;
            return None;
        }
        self.old.remove(&key);
        self.put_young(key, value)
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    fn put_young(&mut self, key: K, value: V) -> Option<HashMap<K, V>> {
        let full = self.young.len() >= self.limit;
        let forgotten = full.then(|| {
            self.turns += 1;
            std::mem::replace(&mut self.old, std::mem::take(&mut self.young))
        });
        self.young.insert(key, value);
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_a_full_map_when_more_comes_then_what_was_used_stays_and_the_rest_is_forgotten() {
        let mut map = Generations::new(4);
        for n in 0..4 {
            map.put(n, n);
        }
        map.put(4, 4);
        assert_eq!(map.get(&0), Some(0), "used again");
        for n in 5..9 {
            map.put(n, n);
        }
        assert_eq!(map.get(&0), Some(0));
        assert!(map.knows(&5) && !map.knows(&3));
        assert_eq!(map.get(&1), None);
        assert!(map.young.len() + map.old.len() <= 8);
    }

    #[test]
    fn given_an_old_value_when_it_is_put_anew_then_only_the_new_one_is_there() {
        let mut map = Generations::new(1);
        map.put(1, "old");
        map.put(2, "other");
        map.put(1, "new");
        assert_eq!(map.get(&1), Some("new"));
        assert!(!map.old.contains_key(&1));
    }
}
