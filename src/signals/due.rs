//! Deadlines: what earlier entries began, and what should have gone on by now.

use std::collections::BTreeMap;

use super::Signal;
use super::book::Book;
use super::watchman::{Found, Watchman, naming};
use crate::core::apply::state::{Life, Parties, Read as _, Units};
use crate::core::credit::SignalKind;
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{Kind, Role};
use crate::core::tlog::LogIndex;
use crate::store::StoreError;

impl Watchman<'_> {
    /// What earlier entries began, and what should have gone on by now.
    pub(super) fn deadlines(&mut self, book: &mut Book<'_>) -> Result<(), StoreError> {
        const HOUR: u64 = 3_600_000;
        let policy = self.ledger.credit_policy;
        let accept = u64::from(policy.accept_hours) * HOUR;
        let transit = u64::from(policy.transit_hours) * HOUR;
        let stock = u64::from(policy.rest_days) * 24 * HOUR;
        let seen = book.cursors.seen;
        let mut cursor = book.cursors.offered;
        while let Some(found) = self.due(&mut cursor, seen, accept)? {
            self.not_accepted(book, &found, accept)?;
        }
        book.cursors.offered = cursor;
        let mut cursor = book.cursors.in_transit;
        while let Some(found) = self.due(&mut cursor, seen, transit)? {
            self.at_rest(book, &found, transit, true)?;
        }
        book.cursors.in_transit = cursor;
        let mut cursor = book.cursors.in_stock;
        while let Some(found) = self.due(&mut cursor, seen, stock)? {
            self.at_rest(book, &found, stock, false)?;
        }
        book.cursors.in_stock = cursor;
        Ok(())
    }

    /// The entry at a cursor, if its deadline has passed; the cursor moves past it.
    fn due(
        &mut self,
        cursor: &mut u64,
        seen: u64,
        after: u64,
    ) -> Result<Option<Found>, StoreError> {
        if *cursor >= seen {
            return Ok(None);
        }
        let index = LogIndex(*cursor);
        let found = self.found(index, true)?;
        if found.time().plus(after) > self.now {
            return Ok(None);
        }
        if self.left == 0 {
            self.behind = true;
            return Ok(None);
        }
        (self.left, self.moved) = (self.left - 1, true);
        *cursor += 1;
        Ok(Some(found))
    }

    fn not_accepted(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        after: u64,
    ) -> Result<(), StoreError> {
        let mut waiting = Vec::new();
        let mut parties = None;
        for (id, row) in &found.rows {
            if row.kind != Kind::Handover || !row.joined {
                continue;
            }
            let unit = self.store.get::<Units>(id)?.unwrap_or_default();
            let offer = unit.offer.as_ref();
            if offer.is_some_and(|offer| offer.index == found.index) {
                waiting.push(*id);
                parties = parties.or(Some((row.offered, row.holder)));
            }
        }
        let Some((to, from)) = parties else {
            return Ok(());
        };
        let signal = Signal {
            time: found.time().plus(after),
            parties: to.into_iter().chain(from).collect(),
            measured: self.now.0.saturating_sub(found.time().0),
            limit: after,
            ..found.signal(SignalKind::HandoverNotAccepted, &found.record()?)
        };
        book.raise(naming(signal, &waiting))
    }

    /// What nobody touched since the entry. What is packed rests with its container; what is offered,
    /// held or called back has a reason to rest.
    fn at_rest(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        after: u64,
        in_transit: bool,
    ) -> Result<(), StoreError> {
        let mut couriers: BTreeMap<PartyId, bool> = BTreeMap::new();
        let mut resting: BTreeMap<PartyId, Vec<UnitId>> = BTreeMap::new();
        for (id, _) in found.rows.iter().filter(|(_, row)| row.joined) {
            let unit = self.store.get::<Units>(id)?.unwrap_or_default();
            let stays = unit.last_index == found.index
                && unit.life == Life::Active
                && unit.container.is_none()
                && unit.offer.is_none()
                && unit.hold.is_none()
                && unit.recall.is_none();
            let Some(holder) = unit.holder.filter(|_| stays) else {
                continue;
            };
            let courier = match couriers.get(&holder) {
                Some(courier) => *courier,
                None => {
                    let party = self.store.get::<Parties>(&holder)?;
                    let is = party.is_some_and(|party| party.roles.contains(&Role::Courier));
                    couriers.insert(holder, is);
                    is
                }
            };
            if courier == in_transit {
                resting.entry(holder).or_default().push(*id);
            }
        }
        // One entry leaves its units with one holder, but for rare returns; the larger part is named.
        let most = resting.into_iter().max_by_key(|(_, units)| units.len());
        let Some((holder, units)) = most else {
            return Ok(());
        };
        let signal = Signal {
            time: found.time().plus(after),
            parties: vec![holder],
            measured: self.now.0.saturating_sub(found.time().0),
            limit: after,
            ..found.signal(SignalKind::AtRest, &found.record()?)
        };
        book.raise(naming(signal, &units))
    }
}
