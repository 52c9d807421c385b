//! MOVED_UNDER_RECALL: goods are passed on while they, what is around them, their lot or their product
//! is called back or held. Giving them back to their maker is no break.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if case.moves() && !case.goes_back() && !case.stops.is_empty() {
        return Break::by(case.stops.iter().map(|stop| stop.index));
    }
    None
}
