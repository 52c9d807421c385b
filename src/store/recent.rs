//! What look-ups read last, shared by all of them: rows of the views, decoded, and the head of the log.
//!
//! The views are a function of the log, so the size of the log names a moment. What is kept is of one such moment, that of
//! the last commit, and only a view of the same moment uses it; all others read the store. So an answer stays of one piece.
//!
//! A unit is remembered when it is asked for the second time: who looks through all goods there are, once, puts few of them
//! in the place of those that others ask for, and does not pay for what nobody needs again.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::LogHead;
use super::memo::Memo;
use super::seen::Seen;
use crate::core::apply::state::{
    Changes, Goods, Ledgers, Parties, Products, Rows as Values, Table, Units, Visitor,
};

/// Parts that the rows are in, by their keys: look-ups seldom wait for each other, and to forget a generation of a part
/// takes less than anybody notices.
const PARTS: usize = 64;
/// Rows that a generation of a part remembers, of each table but that of the units.
const ROWS: usize = 64;

/// The tables whose rows are remembered: those that every answer about a unit reads.
pub(super) const fn is_shared<T: Table>() -> bool {
    T::NUMBER == Units::NUMBER
        || T::NUMBER == Goods::NUMBER
        || T::NUMBER == Parties::NUMBER
        || T::NUMBER == Products::NUMBER
        || T::NUMBER == Ledgers::NUMBER
}

/// See the module.
pub(super) struct Recent {
    /// Twice the size of the log, and one more from before a commit can be read by anybody until what it changed is
    /// forgotten here.
    clock: AtomicU64,
    parts: [Mutex<Kept>; PARTS],
    hasher: RandomState,
    /// Units that a generation of a part remembers.
    units: usize,
    /// Commits come one after the other.
    commits: Mutex<()>,
}

#[derive(Default)]
struct Kept {
    /// What the rest is of; none while a commit changes it.
    head: Option<LogHead>,
    rows: Option<Memo>,
    /// Units that were asked for.
    seen: Seen,
}

impl Kept {
    fn at(&mut self, size: u64) -> Option<&mut Self> {
        self.head
            .is_some_and(|head| head.size == size)
            .then_some(self)
    }
}

fn lock(part: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recent {
    /// Nothing is known, and no view takes part. Of units a generation remembers so many.
    pub(super) fn new(units: usize) -> Self {
        Self {
            clock: AtomicU64::new(1),
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            units: units.div_ceil(PARTS),
            commits: Mutex::default(),
        }
    }

    /// The part that a key is in, and its hash there.
    #[allow(clippy::cast_possible_truncation)] // less than the number of parts
    fn place<T: Table>(&self, key: &T::Key) -> (usize, u64) {
        let hash = self.hasher.hash_one(key);
        ((hash % PARTS as u64) as usize, hash / PARTS as u64)
    }

    /// Takes a snapshot, and says at which size of the log where no commit was under way: it has that of the last one, and
    /// nothing of the next.
    pub(super) fn snapshot<S>(&self, take: impl FnOnce() -> S) -> (S, Option<u64>) {
        let before = self.clock.load(Ordering::SeqCst);
        let snapshot = take();
        let quiet = before.is_multiple_of(2) && self.clock.load(Ordering::SeqCst) == before;
        (snapshot, quiet.then_some(before / 2))
    }

    /// What is known of a row at a size of the log.
    pub(super) fn get<T: Table>(&self, size: u64, key: &T::Key) -> Option<Option<T::Value>> {
        let (part, _) = self.place::<T>(key);
        let mut kept = lock(&self.parts[part]);
        let rows = kept.at(size)?.rows.as_ref()?;
        // What is asked for again is not moved to the young: to read it anew once in so many others costs less than to
        // write each time.
        rows.with::<T, _>(|table| table.peek(key))
    }

    /// Remembers a row that was read at that size.
    pub(super) fn put<T: Table>(&self, size: u64, key: &T::Key, row: &Option<T::Value>) {
        let (part, hash) = self.place::<T>(key);
        let mut kept = lock(&self.parts[part]);
        let put = |kept: &mut Kept| {
            if T::NUMBER == Units::NUMBER && !kept.seen.again(hash) {
                return None;
            }
            let rows = kept.rows.get_or_insert_with(|| Memo::new(self.units, ROWS));
            rows.with::<T, _>(|table| table.put(key.clone(), row.clone()))
        };
        let forgotten = kept.at(size).and_then(put);
        // To drop a whole generation takes a while, and nobody should wait for that.
        drop(kept);
        drop(forgotten);
    }

    /// The head of the log of that size, where it is the last one.
    pub(super) fn head(&self, size: u64) -> Option<LogHead> {
        lock(&self.parts[0]).at(size)?.head
    }

    /// To be called when a store was opened.
    pub(super) fn opened(&self, head: LogHead) {
        self.begin().done(&Changes::default(), head);
    }

    /// To be called before a group can be read by anybody.
    pub(super) fn begin(&self) -> Commit<'_> {
        let alone = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        // It is odd already where the last one failed.
        self.clock.fetch_or(1, Ordering::SeqCst);
        Commit {
            recent: self,
            done: false,
            _alone: alone,
        }
    }
}

/// A commit that is under way. Where it comes to no end, nothing is known of what is in the store, and no view takes part.
pub(super) struct Commit<'a> {
    recent: &'a Recent,
    done: bool,
    _alone: MutexGuard<'a, ()>,
}

impl Commit<'_> {
    /// It is in the store: what it changed is forgotten.
    pub(super) fn done(mut self, changes: &Changes, head: LogHead) {
        let parts = &self.recent.parts;
        // Nobody uses what is of no moment, so others need not wait until all is forgotten.
        let rows = parts.each_ref().map(|part| {
            let mut kept = lock(part);
            kept.head = None;
            kept.rows.take()
        });
        if rows.iter().any(Option::is_some) {
            changes.visit(&mut Forget {
                recent: self.recent,
                rows: &rows,
            });
        }
        for (part, rows) in parts.iter().zip(rows) {
            let mut kept = lock(part);
            kept.head = Some(head);
            kept.rows = rows;
        }
        self.recent.clock.store(head.size * 2, Ordering::SeqCst);
        self.done = true;
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if !self.done {
            for part in &self.recent.parts {
                let forgotten = std::mem::take(&mut *lock(part));
                drop(forgotten);
            }
        }
    }
}

struct Forget<'a> {
    recent: &'a Recent,
    rows: &'a [Option<Memo>; PARTS],
}

impl Visitor for Forget<'_> {
    fn table<T: Table>(&mut self, values: &Values<T::Key, T::Value>) {
        if is_shared::<T>() {
            for (key, _) in values.iter() {
                let (part, _) = self.recent.place::<T>(key);
                if let Some(rows) = &self.rows[part] {
                    rows.with::<T, _>(|table| table.forget(key));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::core::apply::state::{Read as _, Unit};
    use crate::core::id::UnitId;
    use crate::core::tlog::{EMPTY_ROOT, LogIndex};
    use crate::store::{Group, Store, StoreOptions, View};

    fn item(n: u32) -> UnitId {
        format!("01/10614141123459/21/{n}").parse().unwrap()
    }

    /// Some in most parts.
    fn units() -> Vec<UnitId> {
        (0..PARTS as u32 * 2).map(item).collect()
    }

    /// A group that gives all units a length, which is the log's size as well.
    fn group(length: u64) -> Group {
        let mut changes = Changes::default();
        for unit in units() {
            let state = Unit {
                length,
                ..Unit::default()
            };
            changes.units.insert(unit, Arc::new(state));
        }
        Group {
            id: None,
            first: LogIndex(length),
            entries: Vec::new(),
            tiles: Vec::new(),
            changes,
            head: LogHead {
                size: length,
                root: EMPTY_ROOT,
            },
        }
    }

    fn store(path: &Path) -> Store {
        let options = StoreOptions {
            sync: false,
            ..StoreOptions::default()
        };
        Store::create(path, &options).unwrap()
    }

    /// Of all units, which have the same, and the log's.
    fn lengths(view: &View<'_>) -> [u64; 2] {
        let length = |unit: &Option<Arc<Unit>>| unit.as_ref().map_or(0, |unit| unit.length);
        let units = units();
        let page = view.rows::<Units>(&units).unwrap();
        let first = length(&page[0]);
        assert!(page.iter().all(|unit| length(unit) == first));
        let each = units.iter().map(|unit| view.get::<Units>(unit).unwrap());
        assert!(each.into_iter().all(|unit| length(&unit) == first));
        [first, view.head().unwrap().size]
    }

    /// Ends the readers also when a check of the writer fails.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn given_commits_all_the_time_when_many_views_read_then_each_is_of_one_moment_and_none_of_an_older_one()
     {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        let over = AtomicBool::new(false);
        let reader = || {
            let mut seen = 0;
            while !over.load(Ordering::SeqCst) {
                let committed = store.head().unwrap().size;
                let view = store.view();
                let [length, size] = lengths(&view);
                assert_eq!(length, size);
                assert!(size >= committed && size >= seen);
                seen = size;
            }
        };
        std::thread::scope(|scope| {
            let _stop = Stop(&over);
            for _ in 0..2 {
                scope.spawn(reader);
            }
            for length in 1..=3_000 {
                store.commit(&group(length)).unwrap();
                assert_eq!(lengths(&store.view()), [length; 2]);
            }
        });
    }

    #[test]
    fn given_a_view_when_a_group_is_committed_then_it_still_reads_what_was_and_leaves_nothing_of_it()
     {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        assert_eq!(lengths(&store.view()), [0; 2]);
        let unit = item(1);
        let known = |size| store.recent.get::<Units>(size, &unit);
        assert_eq!(known(0), Some(None), "that there is none");
        store.commit(&group(1)).unwrap();
        assert_eq!(known(1), None, "no longer");
        let (before, again) = (store.view(), store.view());
        assert_eq!(lengths(&before), [1; 2]);
        store.commit(&group(2)).unwrap();
        assert_eq!(lengths(&again), [1; 2]);
        assert_eq!((known(1), known(2)), (None, None));
        assert_eq!(lengths(&store.view()), [2; 2]);
        assert_eq!(known(2).unwrap().unwrap().length, 2, "remembered");
    }

    #[test]
    fn given_units_that_are_known_when_others_are_changed_then_they_are_known_still() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        let others: Vec<UnitId> = (1_000..1_500).map(item).collect();
        for _ in 0..2 {
            store.view().rows::<Units>(&others).unwrap();
        }
        for length in 1..4 {
            store.commit(&group(length)).unwrap();
            let known = |unit| store.recent.get::<Units>(length, unit);
            assert!(others.iter().all(|unit| known(unit) == Some(None)));
            assert!(units().iter().all(|unit| known(unit).is_none()));
        }
    }

    #[test]
    fn given_a_page_that_is_known_in_part_when_it_is_read_then_each_row_is_in_its_place_and_the_rest_is_remembered()
     {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        store.commit(&group(5)).unwrap();
        let [first, second, nobody] = [1, 2, 1_000].map(item);
        store.view().get::<Units>(&second).unwrap();
        let page = [first, second, nobody, first];
        for _ in 0..2 {
            let rows = store.view().rows::<Units>(&page).unwrap();
            let lengths: Vec<_> = rows.iter().flatten().map(|unit| unit.length).collect();
            assert_eq!(lengths, [5; 3]);
            assert_eq!(rows.iter().position(Option::is_none), Some(2));
        }
        for unit in page {
            assert!(store.recent.get::<Units>(5, &unit).is_some());
        }
    }

    #[test]
    fn given_units_when_each_was_read_once_then_few_are_remembered_and_when_twice_then_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            sync: false,
            remembered_units: 256,
            ..StoreOptions::default()
        };
        let store = Store::create(&folder.path().join("store"), &options).unwrap();
        store.commit(&group(5)).unwrap();
        let all: Vec<UnitId> = (0..10_000).map(item).collect();
        let read = || {
            store.view().rows::<Units>(&all).unwrap();
            let is_known = |unit: &&UnitId| store.recent.get::<Units>(5, unit).is_some();
            all.iter().filter(is_known).count()
        };
        let (once, twice) = (read(), read());
        assert!(once < 100, "{once}");
        assert!((256..=512).contains(&twice), "{twice}");
    }

    #[test]
    fn given_a_commit_under_way_when_a_view_reads_then_it_uses_what_is_known_of_its_moment() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        store.commit(&group(1)).unwrap();
        let commit = store.recent.begin();
        assert_eq!(store.recent.snapshot(|| ()).1, None);
        assert_eq!(lengths(&store.view()), [1; 2]);
        let known = || {
            let units = units().into_iter();
            let known = units.filter(|unit| store.recent.get::<Units>(1, unit).is_some());
            known.count()
        };
        assert_eq!(known(), units().len());
        drop(commit);
        assert_eq!(lengths(&store.view()), [1; 2]);
        assert_eq!(known(), 0, "where it failed nothing is known");
        store.commit(&group(2)).unwrap();
        assert_eq!(store.recent.snapshot(|| ()).1, Some(2));
        let begun = store.recent.snapshot(|| store.recent.begin());
        assert_eq!(begun.1, None, "it began while the snapshot was taken");
    }
}
