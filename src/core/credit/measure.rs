//! A measure (联合激励, 联合惩戒): what a listing leads to. It is in force while its listing is, between its
//! own start and end; like a listing's phase, that is read off the rows and never written down.

use serde::{Deserialize, Serialize};

use super::{ListKind, Listing, MeasureAction, MeasureKind, Stamp};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::tlog::LogIndex;

/// Most measures of a listing.
pub const MAX_MEASURES: usize = 32;

impl MeasureKind {
    /// Whether it may follow from a list: the red one favours, the black one limits.
    #[must_use]
    pub const fn fits(self, list: ListKind) -> bool {
        match self {
            Self::RankingPriority | Self::MarketingPriority => matches!(list, ListKind::Red),
            Self::MembershipLimit
            | Self::CertificationLoss
            | Self::ShopBlocked
            | Self::ShopClosed => matches!(list, ListKind::Black),
            Self::InspectionRate | Self::Financing => true,
        }
    }
}

/// A measure. Its number is the index of the entry that attached it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The listing that it belongs to.
    pub listing: LogIndex,
    /// Whom it is about.
    pub subject: PartyId,
    /// The authority that attached it.
    pub authority: PartyId,
    /// What is to be done.
    pub kind: MeasureKind,
    /// Of an inspection rate.
    pub rate_per_mille: u32,
    /// The law and the section.
    pub legal_basis: String,
    /// Number of the document.
    pub document: String,
    /// First moment, if not the listing's.
    pub from: Option<Millis>,
    /// First moment after it, if not the listing's.
    pub until: Option<Millis>,
    /// When it was attached.
    pub attached: Stamp,
    /// When an entry ended it early.
    pub ended: Option<Stamp>,
}

impl Measure {
    /// First moment and the first moment after it; none while its listing has not taken effect.
    #[must_use]
    pub fn term(&self, listing: &Listing) -> Option<(Millis, Millis)> {
        let term = listing.term?;
        let ends = [
            listing.ended.map(|(at, _)| at.time),
            self.ended.map(|at| at.time),
            self.until,
        ];
        let until = ends.into_iter().flatten().fold(term.until, Millis::min);
        let from = self.from.unwrap_or(term.from).max(term.from);
        Some((from.max(self.attached.time), until))
    }

    /// Whether it is in force at a moment.
    #[must_use]
    pub fn applies(&self, listing: &Listing, now: Millis) -> bool {
        let within = |(from, until): (Millis, Millis)| from <= now && now < until;
        self.term(listing).is_some_and(within)
    }

    /// The first moment at which that will be otherwise, if no entry changes it before.
    #[must_use]
    pub fn changes_at(&self, listing: &Listing, now: Millis) -> Option<Millis> {
        let (from, until) = self.term(listing)?;
        [from, until].into_iter().find(|time| *time > now)
    }
}

/// What a party did about a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureReport {
    /// What.
    pub action: MeasureAction,
    /// When it said so.
    pub at: Stamp,
}
