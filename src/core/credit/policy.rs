//! Terms and deadlines of the lists.

use serde::{Deserialize, Serialize};

use super::{CreditSeverity, ListKind};

/// Terms in months and deadlines in days; see the proto for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto, which explains each
pub struct CreditPolicy {
    pub minor_max_months: u32,
    pub ordinary_min_months: u32,
    pub ordinary_max_months: u32,
    pub serious_min_months: u32,
    pub serious_max_months: u32,
    pub red_max_months: u32,
    pub statement_days: u32,
    pub objection_days: u32,
    pub answer_days: u32,
    pub transit_hours: u32,
    pub accept_hours: u32,
    pub rest_days: u32,
}

impl Default for CreditPolicy {
    fn default() -> Self {
        Self {
            minor_max_months: 3,
            ordinary_min_months: 3,
            ordinary_max_months: 12,
            serious_min_months: 12,
            serious_max_months: 36,
            red_max_months: 24,
            statement_days: 5,
            objection_days: 10,
            answer_days: 10,
            transit_hours: 72,
            accept_hours: 48,
            rest_days: 180,
        }
    }
}

impl CreditPolicy {
    /// Least and most months of a listing.
    #[must_use]
    pub const fn months(&self, list: ListKind, severity: Option<CreditSeverity>) -> (u32, u32) {
        match (list, severity) {
            (ListKind::Red, _) | (ListKind::Black, None) => (1, self.red_max_months),
            (ListKind::Black, Some(CreditSeverity::Minor)) => (1, self.minor_max_months),
            (ListKind::Black, Some(CreditSeverity::Ordinary)) => {
                (self.ordinary_min_months, self.ordinary_max_months)
            }
            (ListKind::Black, Some(CreditSeverity::Serious)) => {
                (self.serious_min_months, self.serious_max_months)
            }
        }
    }
}
