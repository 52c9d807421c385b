//! A listing: an entry in the red or the black list, and what may follow what.
//!
//! ```text
//!  propose ──► notify ──► statement, or its days end ──► decide ──► publish ──► term ends
//!  拟列入       告知        陈述申辩                        决定       公示   │
//!                                                          └─► dropped      ├─► objection upheld
//!                                                              不予列入      ├─► repair granted
//!                                                                           └─► taken back
//! ```
//!
//! The red list needs neither notification nor statement. A listing takes effect with its publication;
//! one that is never published, because it is minor or its subject a natural person, with its
//! decision.

use serde::{Deserialize, Serialize};

use super::calendar::{end_of_day_after, months_after};
use super::{CreditPolicy, CreditSeverity, ListKind, Stamp, not_now};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;

/// Where a listing stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// 拟列入.
    Proposed,
    /// 已告知: the party may state its case.
    Notified,
    /// 已决定: waits to be published.
    Decided,
    /// 生效: in force, in public unless it is minor.
    InForce,
    /// Its term has run out, or an entry ended it.
    Ended(Ending),
}

/// Why a listing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// 不予列入.
    Dropped,
    /// 期满: by itself.
    Expired,
    /// 异议成立.
    Annulled,
    /// 信用修复.
    Repaired,
    /// 移出, 撤销.
    Withdrawn,
}

/// From when to when a listing is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// First moment.
    pub from: Millis,
    /// First moment of a repair.
    pub repair_from: Millis,
    /// First moment after it.
    pub until: Millis,
    /// Last moment of an objection.
    pub objection_until: Millis,
}

/// What the party asked, and the authority's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// When it asked.
    pub made: Stamp,
    /// Last moment of an answer in time.
    pub answer_until: Millis,
    /// The answer: when, and whether it was granted.
    pub answered: Option<(Stamp, bool)>,
}

impl Request {
    /// A new one, with the policy's days for an answer.
    #[must_use]
    pub fn new(made: Stamp, policy: &CreditPolicy) -> Self {
        Self {
            made,
            answer_until: end_of_day_after(made.time, policy.answer_days),
            answered: None,
        }
    }

    /// Takes the answer; false when there is one already.
    pub fn answer(&mut self, at: Stamp, granted: bool) -> bool {
        let open = self.answered.is_none();
        if open {
            self.answered = Some((at, granted));
        }
        open
    }

    /// Whether what was asked for was granted.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.answered.is_some_and(|(_, granted)| granted)
    }
}

/// The decision to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When.
    pub at: Stamp,
    /// For how long.
    pub months: u32,
    /// The law and the section.
    pub legal_basis: String,
    /// Number of the decision.
    pub document: String,
}

/// A black listing in force, as its subject's row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blacklisting {
    /// Which listing.
    pub listing: LogIndex,
    /// How serious.
    pub severity: CreditSeverity,
    /// First moment.
    pub from: Millis,
    /// First moment after it.
    pub until: Millis,
    /// Whether it was published: what is not may not show at goods.
    pub public: bool,
}

/// A red listing, as its subject's row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redlisting {
    /// Which listing.
    pub listing: LogIndex,
    /// First moment after it.
    pub until: Millis,
}

impl Blacklisting {
    /// Whether it has consequences then. A minor one has none: they would make it public.
    #[must_use]
    pub fn applies(&self, at: Millis) -> bool {
        self.severity > CreditSeverity::Minor && self.from <= at && at < self.until
    }
}

/// A listing. Its number is the index of its proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Which list.
    pub list: ListKind,
    /// Whom it lists.
    pub subject: PartyId,
    /// As proposed, and then as decided; none on the red list.
    pub severity: Option<CreditSeverity>,
    /// The authority that proposed it.
    pub authority: PartyId,
    /// Whether it is to be published: not a minor one, nor one of a natural person.
    pub public: bool,
    /// The terms and deadlines under which it was proposed.
    pub policy: CreditPolicy,
    /// The facts; empty where they must stay erasable.
    pub reason: String,
    /// The law and the section, of the proposal.
    pub legal_basis: String,
    /// Number of the proposal's document.
    pub document: String,
    /// Entries that show the facts.
    pub evidence: Vec<LogIndex>,
    /// The proposal.
    pub proposed: Stamp,
    /// 告知.
    pub notified: Option<Stamp>,
    /// 陈述申辩.
    pub statement: Option<Stamp>,
    /// 列入.
    pub decided: Option<Decided>,
    /// 公示.
    pub published: Option<Stamp>,
    /// From when to when.
    pub term: Option<Term>,
    /// 异议.
    pub objection: Option<Request>,
    /// 信用修复, the last request.
    pub repair: Option<Request>,
    /// The entry that ended it, and why.
    pub ended: Option<(Stamp, Ending)>,
    /// Measures that were attached to it.
    pub measures: Vec<LogIndex>,
    /// All its entries.
    pub log: Vec<LogIndex>,
}

impl Listing {
    /// Where it stands at a moment.
    #[must_use]
    pub fn phase(&self, now: Millis) -> Phase {
        if let Some((_, ending)) = self.ended {
            return Phase::Ended(ending);
        }
        match (&self.term, &self.decided, &self.notified) {
            (Some(term), ..) if now >= term.until => Phase::Ended(Ending::Expired),
            (Some(_), ..) => Phase::InForce,
            (None, Some(_), _) => Phase::Decided,
            (None, None, Some(_)) => Phase::Notified,
            (None, None, None) => Phase::Proposed,
        }
    }

    /// Whether everybody may see it at a moment.
    #[must_use]
    pub fn is_public(&self, now: Millis) -> bool {
        self.published.is_some() && self.phase(now) == Phase::InForce
    }

    /// Last moment of the party's statement; none before it was told.
    #[must_use]
    pub fn statement_until(&self) -> Option<Millis> {
        let told = self.notified?;
        Some(end_of_day_after(told.time, self.policy.statement_days))
    }

    /// As its subject's row has it; none unless it is a black listing that took effect.
    #[must_use]
    pub fn blacklisting(&self) -> Option<Blacklisting> {
        let term = self.term?;
        Some(Blacklisting {
            listing: self.proposed.index,
            severity: self.severity?,
            from: term.from,
            until: term.until,
            public: self.published.is_some(),
        })
    }

    /// 告知.
    ///
    /// # Errors
    /// A refusal that says what has to come first.
    pub fn notify(&mut self, at: Stamp) -> Result<(), Refusal> {
        if self.list == ListKind::Red {
            return Err(not_now("the red list needs no notification: decide"));
        }
        self.needs(at, &[Phase::Proposed], "the party was told already")?;
        self.notified = Some(at);
        self.log.push(at.index);
        Ok(())
    }

    /// 陈述申辩.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn state(&mut self, at: Stamp) -> Result<(), Refusal> {
        self.needs(at, &[Phase::Notified], "a statement follows a notification")?;
        if self.statement_until().is_none_or(|end| at.time >= end) {
            return Err(not_now("the days for a statement have ended"));
        }
        if self.statement.is_some() {
            return Err(not_now("the party made its statement already"));
        }
        self.statement = Some(at);
        self.log.push(at.index);
        Ok(())
    }

    /// 列入. One that is never published takes effect at once.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn decide(
        &mut self,
        severity: Option<CreditSeverity>,
        decided: Decided,
    ) -> Result<(), Refusal> {
        let at = decided.at;
        self.may_be_decided(at)?;
        if severity.is_some() != self.severity.is_some() || severity > self.severity {
            return Err(Refusal::field(
                "decide_listing.severity",
                "unset on the red list; on the black list not more serious than what the party \
                 was told: propose anew",
            ));
        }
        let (least, most) = self.policy.months(self.list, severity);
        if !(least..=most).contains(&decided.months) {
            return Err(Refusal::field(
                "decide_listing.months",
                format!("{least} to {most} months by the policy of the proposal"),
            ));
        }
        self.severity = severity;
        self.public &= severity != Some(CreditSeverity::Minor);
        if !self.public {
            self.take_effect(at.time, decided.months);
        }
        self.decided = Some(decided);
        self.log.push(at.index);
        Ok(())
    }

    /// 不予列入.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn drop_it(&mut self, at: Stamp) -> Result<(), Refusal> {
        // In the party's favour it may be decided at any time.
        let open = [Phase::Proposed, Phase::Notified];
        self.needs(at, &open, "it is decided already")?;
        self.end(at, Ending::Dropped);
        Ok(())
    }

    fn may_be_decided(&self, at: Stamp) -> Result<(), Refusal> {
        if self.list == ListKind::Red {
            return self.needs(at, &[Phase::Proposed], "it is decided already");
        }
        self.needs(
            at,
            &[Phase::Notified],
            "a black listing is decided once, after its party was told",
        )?;
        let heard =
            self.statement.is_some() || self.statement_until().is_some_and(|end| at.time >= end);
        if heard {
            return Ok(());
        }
        Err(not_now(
            "the party's days for a statement have not ended, and it has made none",
        ))
    }

    /// 公示: it takes effect.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn publish(&mut self, at: Stamp) -> Result<(), Refusal> {
        if !self.public {
            return Err(not_now(
                "a minor listing, or one of a natural person, is never published",
            ));
        }
        self.needs(
            at,
            &[Phase::Decided],
            "publication follows the decision, once",
        )?;
        let months = self.decided.as_ref().map_or(0, |decided| decided.months);
        self.take_effect(at.time, months);
        self.published = Some(at);
        self.log.push(at.index);
        Ok(())
    }

    fn take_effect(&mut self, from: Millis, months: u32) {
        let (least, _) = self.policy.months(self.list, self.severity);
        let least = if self.severity == Some(CreditSeverity::Minor) {
            0 // It has a most, and no least.
        } else {
            least
        };
        self.term = Some(Term {
            from,
            repair_from: months_after(from, least),
            until: months_after(from, months),
            objection_until: end_of_day_after(from, self.policy.objection_days),
        });
    }

    /// 异议.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn object(&mut self, at: Stamp) -> Result<(), Refusal> {
        let term = self.needs_term(at)?;
        if at.time >= term.objection_until {
            return Err(not_now("the days for an objection have ended"));
        }
        if self.objection.is_some() {
            return Err(not_now("the party objected already"));
        }
        self.objection = Some(Request::new(at, &self.policy));
        self.log.push(at.index);
        Ok(())
    }

    /// The answer to the objection.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn answer_objection(&mut self, at: Stamp, granted: bool) -> Result<(), Refusal> {
        self.needs_term(at)?;
        answer(self.objection.as_mut(), at, granted)?;
        self.log.push(at.index);
        if granted {
            self.ended = Some((at, Ending::Annulled));
        }
        Ok(())
    }

    /// 信用修复. Whether its commitment is a fit one is for the caller to see.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn request_repair(&mut self, at: Stamp) -> Result<(), Refusal> {
        if self.list == ListKind::Red {
            return Err(not_now("there is nothing to repair on the red list"));
        }
        let term = self.needs_term(at)?;
        if at.time < term.repair_from {
            return Err(not_now(&format!(
                "a repair may be asked for from {} on",
                term.repair_from
            )));
        }
        if self.repair.is_some_and(|repair| repair.answered.is_none()) {
            return Err(not_now("a request for repair waits for its answer"));
        }
        self.repair = Some(Request::new(at, &self.policy));
        self.log.push(at.index);
        Ok(())
    }

    /// The answer to the request for repair.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn answer_repair(&mut self, at: Stamp, granted: bool) -> Result<(), Refusal> {
        self.needs_term(at)?;
        answer(self.repair.as_mut(), at, granted)?;
        self.log.push(at.index);
        if granted {
            self.ended = Some((at, Ending::Repaired));
        }
        Ok(())
    }

    /// 移出, 撤销.
    ///
    /// # Errors
    /// As [`Listing::notify`].
    pub fn withdraw(&mut self, at: Stamp) -> Result<(), Refusal> {
        let taken = [Phase::Decided, Phase::InForce];
        self.needs(at, &taken, "only what was decided can be taken back")?;
        self.end(at, Ending::Withdrawn);
        Ok(())
    }

    fn end(&mut self, at: Stamp, ending: Ending) {
        self.ended = Some((at, ending));
        self.log.push(at.index);
    }

    fn needs(&self, at: Stamp, phases: &[Phase], message: &str) -> Result<(), Refusal> {
        match self.phase(at.time) {
            phase if phases.contains(&phase) => Ok(()),
            Phase::Ended(_) => Err(not_now("the listing has ended")),
            _ => Err(not_now(message)),
        }
    }

    fn needs_term(&self, at: Stamp) -> Result<Term, Refusal> {
        self.needs(at, &[Phase::InForce], "the listing is not in force yet")?;
        self.term
            .ok_or_else(|| not_now("the listing is not in force yet"))
    }
}

fn answer(request: Option<&mut Request>, at: Stamp, granted: bool) -> Result<(), Refusal> {
    if request.is_some_and(|request| request.answer(at, granted)) {
        return Ok(());
    }
    Err(not_now("nothing waits for an answer"))
}
