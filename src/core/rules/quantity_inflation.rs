//! QUANTITY_INFLATION: a lot has more units than its maker declared, or more comes out of a Transform
//! than went in. Measured and limit are units, or thousandths of the unit of measure.

use super::{Break, Case, LotCount};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if let Some(lot) = case.lot_count.filter(LotCount::is_over) {
        return Break::measured([lot.declared_at], lot.count, lot.declared);
    }
    let (inputs, outputs) = case.transformed?;
    let tolerance = 1000 + u128::from(case.thresholds.inflation_per_mille);
    let limit = u128::from(inputs) * tolerance / 1000;
    if u128::from(outputs) > limit {
        Break::measured([], outputs, limit)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::record::Thresholds;
    use crate::core::rules::FindingKind::QuantityInflation;
    use crate::core::wire;

    fn lot_of(size: u64) -> Body {
        let attributes = wire::Attributes {
            lot: "A".into(),
            lot_size: size,
            ..Default::default()
        };
        say::commission_as(attributes)
    }

    #[test]
    fn given_a_declared_lot_when_it_is_exactly_filled_then_it_is_no_break_and_one_more_is() {
        let mut w = World::new();
        let declared = w.ok(MAKER, &[item(1)], lot_of(2));
        w.ok(MAKER, &[item(2)], lot_of(2));
        let found = w.flagged(&w.draft(MAKER, &[item(3)], lot_of(9)), QuantityInflation);
        assert_eq!(
            (found.evidence, found.measured, found.limit),
            (vec![declared], 3, 2)
        );
    }

    #[test]
    fn given_a_declared_lot_when_one_record_overfills_it_then_only_the_surplus_is_flagged() {
        let mut w = World::new();
        w.logged(&w.draft(MAKER, &[item(1), item(2), item(3)], lot_of(2)));
        assert_eq!(w.findings(item(1)), []);
        assert_eq!(w.findings(item(2)), []);
        assert_eq!(w.findings(item(3)), [(QuantityInflation, true)]);
    }

    #[test]
    fn given_two_products_with_a_lot_of_one_name_when_one_record_fills_both_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), other_item(1)], lot_of(1));
        w.flagged(
            &w.draft(MAKER, &[other_item(2)], lot_of(1)),
            QuantityInflation,
        );
    }

    #[test]
    fn given_no_declared_size_when_any_number_is_commissioned_then_it_is_no_break() {
        let mut w = World::new();
        let units: Vec<_> = (1..=20).map(item).collect();
        w.ok(MAKER, &units, lot_of(0));
    }

    #[test]
    fn given_duplicates_beside_the_chain_when_a_lot_is_counted_then_they_do_not_count() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], lot_of(2));
        w.logged(&w.draft(MAKER, &[item(1)], lot_of(2)));
        w.ok(MAKER, &[item(2)], lot_of(2));
    }

    /// One unit of 1 kg becomes two.
    fn transform(w: &World, each: u64) -> Draft {
        w.draft(
            MAKER,
            &[item(1)],
            say::transform(&[item(2), item(3)], say::content(each)),
        )
    }

    #[test]
    fn given_a_transform_when_as_much_comes_out_as_went_in_then_it_is_no_break_and_more_is() {
        for (each, broken) in [(499, false), (500, false), (501, true)] {
            let mut w = World::new();
            w.ok(MAKER, &[item(1)], say::commission_as(say::content(1000)));
            let draft = transform(&w, each);
            if broken {
                let found = w.flagged(&draft, QuantityInflation);
                assert_eq!(
                    (found.evidence, found.measured, found.limit),
                    (vec![], 1002, 1000)
                );
                assert_eq!(w.findings(item(1)), []);
                assert_eq!(w.findings(item(3)), [(QuantityInflation, true)]);
            } else {
                w.clean(&draft);
            }
        }
    }

    #[test]
    fn given_a_tolerance_when_exactly_that_much_more_comes_out_then_it_is_no_break() {
        for (each, broken) in [(505, false), (506, true)] {
            let mut w = World::new();
            let thresholds = Thresholds {
                inflation_per_mille: 10,
                ..Thresholds::default()
            };
            let thresholds = Some(thresholds.into());
            w.clean(&w.govern(
                REGULATOR,
                Body::SetThresholds(wire::SetThresholds { thresholds }),
            ));
            w.ok(MAKER, &[item(1)], say::commission_as(say::content(1000)));
            let draft = transform(&w, each);
            if broken {
                assert_eq!(w.flagged(&draft, QuantityInflation).limit, 1010);
            } else {
                w.clean(&draft);
            }
        }
    }

    #[test]
    fn given_contents_that_cannot_be_compared_when_transformed_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.clean(&transform(&w, 9999));
        let mut pieces = say::content(1);
        pieces.content.as_mut().unwrap().unit_of_measure = "C62".into();
        w.ok(MAKER, &[item(10)], say::commission_as(pieces));
        w.ok(
            MAKER,
            &[item(10)],
            say::transform(&[item(11)], say::content(9999)),
        );
    }
}
