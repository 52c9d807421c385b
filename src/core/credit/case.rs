//! A case: what agencies look into together (协同监管).

use serde::{Deserialize, Serialize};

use super::calendar::end_of_day_after;
use super::{AlertId, CaseKind, CaseOutcome, SignalKind, Stamp, not_now};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;

/// Most steps of a case.
const MAX_STEPS: usize = 256;
/// Most of each kind of ground, over all steps.
const MAX_GROUNDS: usize = 1_024;

/// What a case rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseGrounds {
    /// Numbers of findings.
    pub findings: Vec<u64>,
    /// Entries of reports.
    pub reports: Vec<LogIndex>,
    /// Entries of claims.
    pub claims: Vec<LogIndex>,
    /// Whom it is about.
    pub subjects: Vec<PartyId>,
    /// Signals: kind, and the entry that each is about.
    pub signals: Vec<(SignalKind, LogIndex)>,
}

impl CaseGrounds {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.findings.is_empty()
            && self.reports.is_empty()
            && self.claims.is_empty()
            && self.subjects.is_empty()
            && self.signals.is_empty()
    }

    /// The findings and signals.
    pub fn alerts(&self) -> impl Iterator<Item = AlertId> {
        let findings = self.findings.iter().map(|number| AlertId::Finding(*number));
        let signals = self.signals.iter();
        findings.chain(signals.map(|(kind, index)| AlertId::Signal(*kind, *index)))
    }

    /// Takes in what is new.
    fn add(&mut self, more: Self) -> bool {
        fn merge<T: Ord>(all: &mut Vec<T>, more: Vec<T>) -> bool {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
            all.len() <= MAX_GROUNDS
        }
        merge(&mut self.findings, more.findings)
            && merge(&mut self.reports, more.reports)
            && merge(&mut self.claims, more.claims)
            && merge(&mut self.subjects, more.subjects)
            && merge(&mut self.signals, more.signals)
    }
}

/// What an agency did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum CaseAct {
    Opened,
    Added,
    Referred(PartyId),
    Closed,
}

/// A step of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseStep {
    /// When.
    pub at: Stamp,
    /// Which agency.
    pub by: PartyId,
    /// What it did.
    pub act: CaseAct,
    /// Number of the document.
    pub document: String,
}

/// A case. Its number is the index of the entry that opened it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What it is about.
    pub kind: CaseKind,
    /// What it rests on.
    pub grounds: CaseGrounds,
    /// In whose hands it is.
    pub agency: PartyId,
    /// Last moment of the referral.
    pub due: Option<Millis>,
    /// How it ended, and by which law.
    pub outcome: Option<(CaseOutcome, String)>,
    /// What each agency did, in order.
    pub steps: Vec<CaseStep>,
}

impl Case {
    /// A new one, in the hands of who opens it.
    #[must_use]
    pub fn open(
        kind: CaseKind,
        grounds: CaseGrounds,
        at: Stamp,
        by: PartyId,
        document: String,
    ) -> Self {
        let mut case = Self {
            kind,
            grounds: CaseGrounds::default(),
            agency: by,
            due: None,
            outcome: None,
            steps: vec![CaseStep {
                at,
                by,
                act: CaseAct::Opened,
                document,
            }],
        };
        // One record's grounds are far below the most.
        case.grounds.add(grounds);
        case
    }

    /// Whether it is late at a moment.
    #[must_use]
    pub fn is_overdue(&self, now: Millis) -> bool {
        self.outcome.is_none() && self.due.is_some_and(|due| now >= due)
    }

    /// More that it rests on.
    ///
    /// # Errors
    /// A refusal that says what is in the way.
    pub fn add(
        &mut self,
        grounds: CaseGrounds,
        at: Stamp,
        by: PartyId,
        document: String,
    ) -> Result<(), Refusal> {
        self.step(at, by, CaseAct::Added, document)?;
        if self.grounds.add(grounds) {
            return Ok(());
        }
        Err(not_now(&format!(
            "a case rests on at most {MAX_GROUNDS} of each kind"
        )))
    }

    /// Into another agency's hands.
    ///
    /// # Errors
    /// As [`Case::add`].
    pub fn refer(
        &mut self,
        to: PartyId,
        days: u32,
        at: Stamp,
        by: PartyId,
        document: String,
    ) -> Result<(), Refusal> {
        if to == self.agency {
            return Err(not_now("the case is in that agency's hands already"));
        }
        self.step(at, by, CaseAct::Referred(to), document)?;
        self.agency = to;
        self.due = Some(end_of_day_after(at.time, days));
        Ok(())
    }

    /// The end.
    ///
    /// # Errors
    /// As [`Case::add`].
    pub fn close(
        &mut self,
        outcome: CaseOutcome,
        legal_basis: String,
        at: Stamp,
        by: PartyId,
        document: String,
    ) -> Result<(), Refusal> {
        self.step(at, by, CaseAct::Closed, document)?;
        self.outcome = Some((outcome, legal_basis));
        Ok(())
    }

    fn step(
        &mut self,
        at: Stamp,
        by: PartyId,
        act: CaseAct,
        document: String,
    ) -> Result<(), Refusal> {
        if self.outcome.is_some() {
            return Err(not_now("the case is closed"));
        }
        // The last one is kept for its end.
        if self.steps.len() + 1 >= MAX_STEPS && act != CaseAct::Closed {
            return Err(not_now(&format!(
                "a case has at most {MAX_STEPS} steps; close it"
            )));
        }
        self.steps.push(CaseStep {
            at,
            by,
            act,
            document,
        });
        Ok(())
    }
}
