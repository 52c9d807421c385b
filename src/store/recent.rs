//! What look-ups read last, shared by all of them: rows of the views, decoded, and the head of the log.
//!
//! The views are a function of the log, so the size of the log names a moment. What is kept is of one such moment, that of
//! the last commit, and only a view of the same moment uses it; all others read the store. So an answer stays of one piece.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::LogHead;
use super::memo::Memo;
use crate::core::apply::state::{
    Changes, Goods, Ledgers, Parties, Products, Rows as Values, Table, Units, Visitor,
};

/// Rows of a table that a generation remembers.
const ROWS: usize = 1 << 12;

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
    kept: Mutex<Kept>,
    /// Commits come one after the other.
    commits: Mutex<()>,
}

#[derive(Default)]
struct Kept {
    /// What the rest is of; none while a commit changes it.
    head: Option<LogHead>,
    rows: Option<Memo>,
}

impl Kept {
    fn at(&mut self, size: u64) -> Option<&mut Self> {
        self.head
            .is_some_and(|head| head.size == size)
            .then_some(self)
    }

    fn rows(&mut self) -> &mut Memo {
        self.rows.get_or_insert_with(|| Memo::new(ROWS, ROWS))
    }
}

impl Default for Recent {
    /// Nothing is known, and no view takes part.
    fn default() -> Self {
        Self {
            clock: AtomicU64::new(1),
            kept: Mutex::default(),
            commits: Mutex::default(),
        }
    }
}

impl Recent {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut kept = self.kept();
        kept.at(size)?.rows().with::<T, _>(|table| table.peek(key))
    }

    /// Remembers a row that was read at that size.
    pub(super) fn put<T: Table>(&self, size: u64, key: &T::Key, row: &Option<T::Value>) {
        let (key, row) = (key.clone(), row.clone());
        let mut kept = self.kept();
        let put = |kept: &mut Kept| kept.rows().with::<T, _>(|table| table.put(key, row));
        let forgotten = kept.at(size).and_then(put);
        // To drop a whole generation takes a while, and nobody should wait for that.
        drop(kept);
        drop(forgotten);
    }

    /// The head of the log of that size, where it is the last one.
    pub(super) fn head(&self, size: u64) -> Option<LogHead> {
        self.kept().at(size)?.head
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
        // Nobody uses what is of no moment, so others need not wait until all is forgotten.
        let rows = std::mem::take(&mut *self.recent.kept()).rows;
        if let Some(rows) = &rows {
            changes.visit(&mut Forget(rows));
        }
        *self.recent.kept() = Kept {
            head: Some(head),
            rows,
        };
        self.recent.clock.store(head.size * 2, Ordering::SeqCst);
        self.done = true;
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if !self.done {
            *self.recent.kept() = Kept::default();
        }
    }
}

struct Forget<'a>(&'a Memo);

impl Visitor for Forget<'_> {
    fn table<T: Table>(&mut self, values: &Values<T::Key, T::Value>) {
        if is_shared::<T>() {
            self.0.with::<T, _>(|table| {
                if !table.is_empty() {
                    values.iter().for_each(|(key, _)| table.forget(key));
                }
            });
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

    fn units() -> [UnitId; 2] {
        [1, 2].map(|n| format!("01/10614141123459/21/{n}").parse().unwrap())
    }

    /// A group that gives both units a length, which is the log's size as well.
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

    /// Of both units, and the log's.
    fn lengths(view: &View<'_>) -> [u64; 3] {
        let length = |unit| {
            view.get::<Units>(&unit)
                .unwrap()
                .map_or(0, |unit| unit.length)
        };
        let [first, second] = units();
        [length(first), length(second), view.head().unwrap().size]
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
                let [first, second, size] = lengths(&view);
                assert_eq!((first, second), (size, size));
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
                assert_eq!(lengths(&store.view()), [length; 3]);
            }
        });
    }

    #[test]
    fn given_a_view_when_a_group_is_committed_then_it_still_reads_what_was_and_leaves_nothing_of_it()
     {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        assert_eq!(lengths(&store.view()), [0; 3]);
        let [unit, _] = units();
        let known = |size| store.recent.get::<Units>(size, &unit);
        assert_eq!(known(0), Some(None), "that there is none");
        store.commit(&group(1)).unwrap();
        assert_eq!(known(1), None, "no longer");
        let (before, again) = (store.view(), store.view());
        assert_eq!(lengths(&before), [1; 3]);
        store.commit(&group(2)).unwrap();
        assert_eq!(lengths(&again), [1; 3]);
        assert_eq!((known(1), known(2)), (None, None));
        assert_eq!(lengths(&store.view()), [2; 3]);
        assert_eq!(known(2).unwrap().unwrap().length, 2, "remembered");
    }

    #[test]
    fn given_a_commit_under_way_when_a_view_reads_then_it_uses_what_is_known_of_its_moment() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        store.commit(&group(1)).unwrap();
        let commit = store.recent.begin();
        assert_eq!(store.recent.snapshot(|| ()).1, None);
        let [unit, _] = units();
        assert_eq!(lengths(&store.view()), [1; 3]);
        assert!(store.recent.get::<Units>(1, &unit).is_some());
        drop(commit);
        assert_eq!(lengths(&store.view()), [1; 3]);
        let known = store.recent.get::<Units>(1, &unit);
        assert_eq!(known, None, "where it failed nothing is known");
        store.commit(&group(2)).unwrap();
        assert_eq!(store.recent.snapshot(|| ()).1, Some(2));
        let begun = store.recent.snapshot(|| store.recent.begin());
        assert_eq!(begun.1, None, "it began while the snapshot was taken");
    }
}
