//! PHANTOM_DELIVERY: an order is delivered with no physical way in between. Measured and limit are
//! milliseconds between the seller's handover and the delivery.
//!
//! No scan on the way, and either no declared weight or less time than any way takes. A buyer key
//! that the seller could know proves nothing against it. What the seller
//! gives from hand to hand has no way.

use super::{Break, Case};
use crate::core::record::{Kind, Means};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let journey = case.journey()?;
    // Only the seller itself gives from hand to hand; what a courier carries has a way.
    let in_person = journey.means == Means::InPerson && journey.seller == case.party();
    if case.kind() != Kind::Deliver || in_person {
        return None;
    }
    let scans = case.scans().saturating_sub(journey.scans);
    let elapsed = case.record.event_time.0.saturating_sub(journey.start.0);
    let limit = case.thresholds.min_delivery_ms;
    if scans == 0 && (journey.weight_grams == 0 || elapsed < limit) {
        return Break::measured([journey.index], elapsed, limit);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::PhantomDelivery;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    use wire::Means;

    const LIMIT: u64 = 20 * MINUTE;

    /// Shipped by the seller and accepted by the courier.
    fn shipped(weight_grams: u64, means: Means) -> (World, LogIndex, u64) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        let start = w.now;
        let shipped = w.ok(
            SELLER,
            &[item(1)],
            say::ship(COURIER, BUYER, weight_grams, means),
        );
        w.ok(COURIER, &[item(1)], say::accept());
        (w, shipped, start)
    }

    fn deliver_after(w: &mut World, start: u64, elapsed: u64) -> Draft {
        w.now = start + elapsed;
        w.draft(COURIER, &[item(1)], say::deliver(BUYER))
    }

    #[test]
    fn given_a_weight_and_no_scan_when_delivered_in_less_than_any_way_takes_then_it_is_a_break() {
        let (mut w, shipped, start) = shipped(500, Means::Road);
        let delivery = deliver_after(&mut w, start, LIMIT - 1);
        let found = w.flagged(&delivery, PhantomDelivery);
        assert_eq!(found.evidence, [shipped]);
        assert_eq!(
            (found.measured, found.limit),
            (LIMIT as i64 - 1, LIMIT as i64)
        );
    }

    #[test]
    fn given_a_weight_and_no_scan_when_delivered_after_the_least_time_then_it_is_no_break() {
        let (mut w, _, start) = shipped(500, Means::Road);
        let delivery = deliver_after(&mut w, start, LIMIT);
        w.clean(&delivery);
    }

    #[test]
    fn given_no_weight_and_no_scan_when_delivered_days_later_then_it_is_a_break() {
        let (mut w, shipped, start) = shipped(0, Means::Road);
        let delivery = deliver_after(&mut w, start, 3 * DAY);
        assert_eq!(w.flagged(&delivery, PhantomDelivery).evidence, [shipped]);
    }

    #[test]
    fn given_a_scan_or_another_courier_on_the_way_when_delivered_then_it_is_no_break() {
        let (mut w, _, start) = shipped(0, Means::Road);
        w.ok(COURIER, &[item(1)], say::scan());
        let delivery = deliver_after(&mut w, start, 5 * MINUTE);
        w.clean(&delivery);

        let (mut w, ..) = shipped(0, Means::Road);
        w.pass(&[item(1)], COURIER, COURIER_2);
        w.ok(COURIER_2, &[item(1)], say::deliver(BUYER));
    }

    #[test]
    fn given_a_scan_of_its_container_on_the_way_when_delivered_then_it_is_no_break() {
        let (mut w, ..) = shipped(0, Means::Road);
        w.ok(COURIER, &[waybill(1)], say::commission());
        w.ok(COURIER, &[item(1)], say::pack(waybill(1)));
        w.ok(COURIER, &[waybill(1)], say::scan());
        w.ok(COURIER, &[item(1)], say::unpack(waybill(1)));
        w.ok(COURIER, &[item(1)], say::deliver(BUYER));
    }

    #[test]
    fn given_a_scan_from_before_it_was_shipped_when_delivered_then_it_does_not_count() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::scan());
        w.pass(&[item(1)], MAKER, SELLER);
        w.ok(
            SELLER,
            &[item(1)],
            say::ship(COURIER, BUYER, 0, Means::Road),
        );
        w.ok(COURIER, &[item(1)], say::accept());
        w.flagged(
            &w.draft(COURIER, &[item(1)], say::deliver(BUYER)),
            PhantomDelivery,
        );
    }

    #[test]
    fn given_goods_pass_from_hand_to_hand_when_delivered_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        let offer = say::ship(COURIER, BUYER, 0, Means::InPerson);
        w.ok(SELLER, &[item(1)], offer);
        w.ok(SELLER, &[item(1)], say::deliver(BUYER));
    }

    #[test]
    fn given_a_courier_when_the_seller_says_in_person_then_the_way_counts_all_the_same() {
        let (mut w, _, start) = shipped(0, Means::InPerson);
        let delivery = deliver_after(&mut w, start, 2 * MINUTE);
        w.flagged(&delivery, PhantomDelivery);
    }

    #[test]
    fn given_a_phantom_when_the_buyer_key_confirms_then_the_finding_stays_open() {
        let (mut w, ..) = shipped(0, Means::Road);
        w.flagged(
            &w.draft(COURIER, &[item(1)], say::deliver(BUYER)),
            PhantomDelivery,
        );
        w.ok(BUYER, &[item(1)], say::confirm(&[]));
        assert_eq!(w.word(item(1)), wire::StandingWord::Suspect);
    }
}
