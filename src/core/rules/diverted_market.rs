//! DIVERTED_MARKET: goods are sold, or sent to be sold, outside the markets they were made for. Passing
//! through is no break: only the place of a delivery, of a seller's acceptance, and the declared
//! destination count.

use super::{Break, Case};
use crate::core::record::{Body, Role};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let markets = &case.state.attributes.markets;
    let region = match &case.record.body {
        Body::Deliver { .. } => case.record.place.region.as_ref(),
        Body::Accept { .. } if case.roles.contains(&Role::Seller) => {
            case.record.place.region.as_ref()
        }
        Body::Handover(handover) => handover.destination.as_ref(),
        _ => None,
    }?;
    if markets.is_empty() || markets.iter().any(|market| market.contains(region)) {
        return None;
    }
    Break::by(case.state.commissioned_at)
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::DivertedMarket;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    /// An item for Fujian, in the hands of the seller.
    fn at_the_seller(markets: &[&str]) -> (World, LogIndex) {
        let mut w = World::new();
        let markets = markets.iter().map(ToString::to_string).collect();
        let attributes = wire::Attributes {
            markets,
            ..Default::default()
        };
        let made = w.ok(MAKER, &[item(1)], say::commission_as(attributes));
        w.pass(&[item(1)], MAKER, SELLER);
        (w, made)
    }

    #[test]
    fn given_a_market_when_goods_are_sold_outside_of_it_then_it_is_a_break() {
        let (mut w, made) = at_the_seller(&["CN-FJ", "CN-ZJ"]);
        let sale = w
            .draft(SELLER, &[item(1)], say::sell_over_the_counter())
            .region("CN-GD");
        assert_eq!(w.flagged(&sale, DivertedMarket).evidence, [made]);
    }

    #[test]
    fn given_a_market_when_goods_are_sold_in_it_or_nowhere_said_then_it_is_no_break() {
        for (markets, region) in [
            (&["CN-FJ", "CN-ZJ"][..], Some("CN-ZJ")),
            (&["CN"][..], Some("CN-GD")),
            (&["CN-FJ"][..], None),
            (&[][..], Some("US")),
        ] {
            let (mut w, _) = at_the_seller(markets);
            let sale = w.draft(SELLER, &[item(1)], say::sell_over_the_counter());
            let sale = match region {
                Some(region) => sale.region(region),
                None => sale,
            };
            w.clean(&sale);
        }
    }

    #[test]
    fn given_a_province_as_the_market_when_only_the_country_is_said_then_it_is_a_break() {
        let (mut w, _) = at_the_seller(&["CN-FJ"]);
        let sale = w
            .draft(SELLER, &[item(1)], say::sell_over_the_counter())
            .region("CN");
        w.flagged(&sale, DivertedMarket);
    }

    #[test]
    fn given_a_market_when_goods_are_sent_elsewhere_then_the_destination_is_a_break() {
        let (mut w, made) = at_the_seller(&["CN-FJ"]);
        let abroad = w.draft(SELLER, &[item(1)], say::send_to_market(COURIER, "VN"));
        assert_eq!(w.flagged(&abroad, DivertedMarket).evidence, [made]);
        w.ok(SELLER, &[item(1)], say::void());
        w.ok(SELLER, &[item(1)], say::send_to_market(COURIER, "CN-FJ"));
    }

    #[test]
    fn given_a_market_when_a_seller_elsewhere_accepts_then_it_is_a_break_but_for_a_courier() {
        let (mut w, _) = at_the_seller(&["CN-FJ"]);
        w.ok(SELLER, &[item(1)], say::handover(COURIER));
        w.clean(&w.draft(COURIER, &[item(1)], say::accept()).region("CN-GD"));
        w.clean(&w.draft(COURIER, &[item(1)], say::scan()).region("CN-GD"));
        w.ok(COURIER, &[item(1)], say::handover(SELLER));
        w.flagged(
            &w.draft(SELLER, &[item(1)], say::accept()).region("CN-GD"),
            DivertedMarket,
        );
    }
}
