//! EQUIVOCATION: two envelopes of one key name one `prev` for one unit and say different things.
//!
//! No single record shows it: it is proven by a ReportEquivocation that carries both envelopes, so
//! `apply` raises it itself and there is nothing to ask of a case.

use super::{Break, Case};

pub(super) fn check(_: &Case<'_>) -> Option<Break> {
    None
}
