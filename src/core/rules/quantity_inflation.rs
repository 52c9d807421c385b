//! QUANTITY_INFLATION: a lot has more units than its maker declared, or more comes out of a Transform
//! than went in. Measured and limit are units, or thousandths of the unit of measure.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if let Some((count, declared, index)) = case.lot_count
        && count > declared
    {
        return Break::measured([index], count, declared);
    }
    let (inputs, outputs) = case.transformed?;
    let tolerance = 1000 + u128::from(case.thresholds.inflation_per_mille);
    let limit = u128::from(inputs) * tolerance / 1000;
    if u128::from(outputs) > limit { Break::measured([], outputs, limit) } else { None }
}
