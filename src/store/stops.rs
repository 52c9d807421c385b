//! Which lots and products may have a hold or a recall: few ever had one, and every answer about a unit depends on that.
//!
//! What is not in the list needs no look at its row. The list only grows, and a name is in it before the commit that
//! stops it can be read; so what is not in it was not stopped at any moment that a view may be of.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use rocksdb::{Direction, IteratorMode, WriteBatch};

use super::options::META;
use super::{Group, Store, StoreError, decode, encode, visit_rows};
use crate::core::apply::state::{Goods, Table as _};
use crate::core::record::GoodsId;

/// Prefix of its rows in [`META`].
const STOPPED: &[u8] = b"stopped ";
/// The row that says up to which size of the log the list is whole. Where a build that knows no list wrote meanwhile, it
/// is behind the log, and there is no list from then on.
const WHOLE_UP_TO: &[u8] = b"stopped";
/// What the keys of all these rows begin with.
pub(super) const ROWS: &[u8] = WHOLE_UP_TO;

/// None where the store has no such list.
#[derive(Debug, Default)]
pub(super) struct Stops(Option<RwLock<HashSet<GoodsId>>>);

impl Stops {
    fn has(&self, goods: &GoodsId) -> bool {
        self.0.as_ref().is_none_or(|stopped| {
            let stopped = stopped.read().unwrap_or_else(PoisonError::into_inner);
            stopped.contains(goods)
        })
    }
}

impl Store {
    /// Says of a new store that the list is whole.
    pub(super) fn begin_stops(&self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        batch.put_cf(self.family(META)?, WHOLE_UP_TO, encode(&0u64)?);
        Ok(())
    }

    pub(super) fn open_stops(&mut self) -> Result<(), StoreError> {
        let whole_up_to = self.get_bytes(META, WHOLE_UP_TO)?;
        let whole_up_to: Option<u64> = whole_up_to.map(|bytes| decode(&bytes)).transpose()?;
        if whole_up_to != Some(self.head()?.size) {
            return Ok(());
        }
        let mut stopped = HashSet::new();
        let mode = IteratorMode::From(STOPPED, Direction::Forward);
        let rows = self.db.iterator_cf(self.family(META)?, mode);
        visit_rows(rows, STOPPED, decode, |_, goods| {
            stopped.insert(goods);
            true
        })?;
        self.stops = Stops(Some(RwLock::new(stopped)));
        Ok(())
    }

    /// Whether a lot or product may have a hold or a recall, now or at any moment before.
    pub(super) fn may_be_stopped(&self, goods: &GoodsId) -> bool {
        self.stops.has(goods)
    }

    /// Notes those that a group stops, before it can be read.
    pub(super) fn note_stops(
        &self,
        group: &Group,
        batch: &mut WriteBatch,
    ) -> Result<(), StoreError> {
        let Some(stopped) = &self.stops.0 else {
            return Ok(());
        };
        batch.put_cf(self.family(META)?, WHOLE_UP_TO, encode(&group.head.size)?);
        let stops = group.changes.goods.iter();
        let stops = stops.filter(|(_, row)| row.recall.is_some() || row.hold.is_some());
        for (goods, _) in stops {
            let key = [STOPPED, &*Goods::key_bytes(goods)].concat();
            batch.put_cf(self.family(META)?, key, encode(goods)?);
            let mut stopped = stopped.write().unwrap_or_else(PoisonError::into_inner);
            stopped.insert(goods.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::state::{Changes, GoodsState, Read as _, Stop};
    use crate::core::record::ProductId;
    use crate::core::tlog::LogIndex;
    use crate::store::StoreOptions;

    fn change(store: &Store, goods: &GoodsId, state: GoodsState) {
        let mut changes = Changes::default();
        changes.goods.insert(goods.clone(), state);
        let head = store.head().unwrap();
        let group = Group {
            id: None,
            first: LogIndex(head.size),
            entries: Vec::new(),
            tiles: Vec::new(),
            changes,
            head,
        };
        store.commit(&group).unwrap();
    }

    #[test]
    fn given_goods_that_were_stopped_once_when_asked_then_they_may_be_and_others_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Store::create(&path, &StoreOptions::default()).unwrap();
        let goods = ["10614141123459", "09521141012345"]
            .map(|gtin| GoodsId::Product(ProductId::Gtin(gtin.parse().unwrap())));
        let made = GoodsState {
            commissioned: 7,
            ..GoodsState::default()
        };
        let held = GoodsState {
            hold: Some(Stop {
                index: LogIndex(3),
                by_regulator: true,
            }),
            ..made.clone()
        };
        for id in &goods {
            change(&store, id, made.clone());
            assert!(!store.view().may_be_stopped(id));
        }
        let before = store.view();
        change(&store, &goods[0], held);
        let stopped = store.view();
        assert!(stopped.may_be_stopped(&goods[0]));
        let row = stopped.get::<Goods>(&goods[0]).unwrap();
        assert!(row.unwrap().hold.is_some());
        assert!(before.may_be_stopped(&goods[0]), "it looks, and finds none");
        drop(stopped);
        change(&store, &goods[0], made);
        drop(before);
        drop(store);
        let store = Store::open(&path, &StoreOptions::default()).unwrap();
        assert!(
            store.view().may_be_stopped(&goods[0]),
            "released, but who knows when"
        );
        assert!(!store.view().may_be_stopped(&goods[1]));
        // As a build left it that knows no list and went on writing.
        let mut batch = WriteBatch::default();
        let behind = encode(&u64::MAX).unwrap();
        batch.put_cf(store.family(META).unwrap(), WHOLE_UP_TO, behind);
        store.write(batch).unwrap();
        drop(store);
        let store = Store::open(&path, &StoreOptions::default()).unwrap();
        assert!(goods.iter().all(|id| store.view().may_be_stopped(id)));
    }
}
