//! BLACKLISTED_PARTY: the signer was on the public black list when it happened.
//!
//! It joins the chain, flagged: the goods did move, and whoever takes them should know from whom.
//! A record that comes late from before the listing is no break.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    case.blacklisted.and_then(|listing| Break::by([listing]))
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::BlacklistedParty;
    use crate::core::wire;

    fn with_a_listed_courier() -> (World, crate::core::tlog::LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        let listing = w.blacklist(COURIER, wire::CreditSeverity::Serious, 12);
        (w, listing)
    }

    #[test]
    fn given_a_listed_party_when_it_handles_goods_then_it_joins_flagged_by_the_listing() {
        let (mut w, listing) = with_a_listed_courier();
        let found = w.flagged(&w.draft(COURIER, &[item(1)], say::scan()), BlacklistedParty);
        assert_eq!(found.evidence, [listing]);
    }

    #[test]
    fn given_a_scan_from_before_the_listing_when_it_comes_late_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        let before = w.now;
        w.blacklist(COURIER, wire::CreditSeverity::Ordinary, 3);
        w.clean(&w.draft(COURIER, &[item(1)], say::scan()).on(before));
    }

    #[test]
    fn given_a_minor_listing_or_one_that_is_over_when_the_party_handles_goods_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        w.blacklist(COURIER, wire::CreditSeverity::Minor, 3);
        w.ok(COURIER, &[item(1)], say::scan());
        w.blacklist(COURIER, wire::CreditSeverity::Ordinary, 3);
        w.now += 100 * DAY;
        w.ok(COURIER, &[item(1)], say::scan());
    }
}
