//! Fake orders (刷单炒信): what a delivery shows, and rings of seller, courier's key and unknown buyers.

use std::collections::BTreeSet;

use super::book::{Book, Subject};
use super::watchman::{Found, Watchman, naming};
use super::{MAX_EVIDENCE, Signal};
use crate::core::apply::state::{Attestations, Read as _};
use crate::core::credit::SignalKind;
use crate::core::credit::alert::{RING_DAYS, ring_closes};
use crate::core::credit::calendar::month_of;
use crate::core::id::PartyId;
use crate::core::record::Record;
use crate::core::tlog::LogIndex;
use crate::store::StoreError;

impl Watchman<'_> {
    /// Orders that were delivered.
    pub(super) fn deliver(&self, book: &mut Book<'_>, found: &Found) -> Result<(), StoreError> {
        let record = found.record()?;
        let limit = self.ledger.thresholds.min_delivery_ms;
        let (mut weightless, mut hasty) = (Vec::new(), Vec::new());
        let (mut evidence, mut sellers) = (BTreeSet::from([found.index]), BTreeSet::new());
        let mut least = u64::MAX;
        let courier = found.rows.first().and_then(|(_, row)| row.signer.party());
        let day = found.time().day();
        self.count_deliveries(book, found, &record);
        for (id, row) in found.rows.iter().filter(|(_, row)| row.joined) {
            let Some(way) = row.delivered else {
                continue;
            };
            if way.in_person && way.seller == courier {
                continue;
            }
            let no_way = way.took_ms < limit;
            // With no scan on the way it is a finding already: PHANTOM_DELIVERY.
            if way.weightless && way.seen {
                weightless.push(*id);
            }
            if no_way && way.seen {
                hasty.push(*id);
                least = least.min(way.took_ms);
            }
            if way.weightless || no_way {
                evidence.insert(way.shipped);
            }
            let Some(seller) = way.seller else {
                continue;
            };
            sellers.insert(seller);
            let of_key = book.watched(Subject::Key(record.key_id))?;
            of_key.days.count(day, 1, 0, RING_DAYS);
            let of_both = book.watched(Subject::KeyAndSeller(record.key_id, seller))?;
            let stood_out = u64::from(way.weightless || no_way);
            of_both.days.count(day, 1, stood_out, RING_DAYS);
            if stood_out > 0 {
                of_both.remember(found.index);
            }
        }
        let parties: Vec<PartyId> = sellers.iter().copied().chain(courier).collect();
        for (kind, units, measured, limit) in [
            (SignalKind::WeightlessDelivery, weightless, 0, 0),
            (SignalKind::HastyDelivery, hasty, least, limit),
        ] {
            if !units.is_empty() {
                let signal = Signal {
                    parties: parties.clone(),
                    key: Some(record.key_id),
                    evidence: evidence.iter().copied().take(MAX_EVIDENCE).collect(),
                    measured,
                    limit,
                    ..found.signal(kind, &record)
                };
                book.raise(naming(signal, &units))?;
            }
        }
        for seller in sellers {
            self.close_ring(book, found, &record, seller, courier)?;
        }
        Ok(())
    }

    /// Units that reached their buyers, and those that can be traced all the way.
    #[allow(clippy::unused_self)]
    fn count_deliveries(&self, book: &mut Book<'_>, found: &Found, record: &Record) {
        let broken = found.broken_at(record);
        let joined = found.rows.iter().filter(|(_, row)| row.joined);
        let month = book.counts.in_month(month_of(found.time()));
        for (id, row) in joined {
            let traced = row.delivered.is_some_and(|way| way.seen || way.in_person);
            month.delivered += 1;
            month.whole += u64::from(traced && !broken.contains(id));
        }
    }

    /// A seller, a courier's key, and buyers that nobody knows.
    fn close_ring(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        record: &Record,
        seller: PartyId,
        courier: Option<PartyId>,
    ) -> Result<(), StoreError> {
        let of_key = book.watched(Subject::Key(record.key_id))?.days.clone();
        let of_both = book.watched(Subject::KeyAndSeller(record.key_id, seller))?;
        if of_both.days.rests(RING_DAYS as u64) || ring_closes(&of_both.days, &of_key, 0).is_none()
        {
            return Ok(());
        }
        let evidence: Vec<LogIndex> = of_both.stood_out.iter().copied().collect();
        let known = self.known_buyers(&evidence, seller)?;
        let Some((fake, all)) = ring_closes(&of_both.days, &of_key, known) else {
            return Ok(());
        };
        of_both.days.raise(RING_DAYS as u64);
        let signal = Signal {
            parties: std::iter::once(seller).chain(courier).collect(),
            key: Some(record.key_id),
            evidence,
            measured: fake,
            limit: all,
            ..found.signal(SignalKind::ClosedRing, record)
        };
        book.raise(signal)
    }

    /// Orders of a seller among these deliveries whose buyer's key an independent party attested.
    fn known_buyers(&self, deliveries: &[LogIndex], seller: PartyId) -> Result<u64, StoreError> {
        let mut reader = self.store.reader()?;
        let mut known = 0;
        for index in deliveries {
            let Some((_, rows)) = reader.entry_and_rows(*index)? else {
                continue;
            };
            for row in rows {
                let (_, row) = row?;
                let of_seller = row.delivered.is_some_and(|way| way.seller == Some(seller));
                if let Some(buyer) = row.buyer.filter(|_| of_seller)
                    && self.store.get::<Attestations>(&buyer)?.is_some()
                {
                    known += 1;
                }
            }
        }
        Ok(known)
    }
}
