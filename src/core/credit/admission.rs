//! Admission (限制进驻): may a firm enter a market? A signed answer that a platform may keep for as long
//! as it says.
//!
//! The answer is a signed note (c2sp.org/signed-note) by the log's key:
//!
//! ```text
//! custody admission v1
//! <origin of the ledger>
//! log <size>
//! from <time>
//! until <time>
//! <party id> ALLOWED
//! <party id> RESTRICTED listing <entry>
//! <party id> RESTRICTED not verified
//! <party id> BARRED listing <entry>
//! <party id> BARRED suspended
//! <party id> UNKNOWN
//! ```
//!
//! Times are RFC 3339 in UTC. A checkpoint's first line is the ledger's origin, which holds no space,
//! so neither note can be taken for the other.

use std::fmt;

use super::{Blacklisting, CreditSeverity};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::tlog::LogIndex;
use crate::core::tlog::note::{Note, NoteError, NoteVerifier};

/// First line of the note.
const HEADER: &str = "custody admission v1";
/// How long an answer is good at most, in milliseconds.
pub const MAX_VALIDITY_MS: u64 = 300_000;

/// What the answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Whether a regulator suspended the party.
    pub suspended: bool,
    /// Whether a regulator ever approved it.
    pub approved: bool,
    /// Last moment of the approval.
    pub valid_until: Option<Millis>,
    /// Its black listings.
    pub blacklistings: &'a [Blacklisting],
}

/// Whether a party may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is registered and verified, and nothing stands against it.
    Allowed,
    /// With limits.
    Restricted(Restriction),
    /// It may not.
    Barred(Bar),
    /// The ledger doesn't know it.
    Unknown,
}

/// Why with limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// Listed as ordinary.
    Listing(LogIndex),
    /// Never approved, or the approval has ended.
    NotVerified,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Listed as serious.
    Listing(LogIndex),
    /// A regulator suspended it.
    Suspended,
}

impl Admission {
    /// The answer at a moment. A minor listing is never told.
    #[must_use]
    pub fn of(facts: &Facts<'_>, now: Millis) -> Self {
        let applying = facts.blacklistings.iter().filter(|b| b.applies(now));
        let worst = applying.max_by_key(|black| (black.severity, std::cmp::Reverse(black.listing)));
        let verified = facts.approved && facts.valid_until.is_none_or(|end| now <= end);
        match worst {
            Some(black) if black.severity == CreditSeverity::Serious => {
                Self::Barred(Bar::Listing(black.listing))
            }
            _ if facts.suspended => Self::Barred(Bar::Suspended),
            Some(black) => Self::Restricted(Restriction::Listing(black.listing)),
            None if verified => Self::Allowed,
            None => Self::Restricted(Restriction::NotVerified),
        }
    }

    /// The first moment at which the answer will be another, if no entry changes it before.
    #[must_use]
    pub fn changes_at(facts: &Facts<'_>, now: Millis) -> Option<Millis> {
        let ends = facts.valid_until.map(|end| end.plus(1));
        let terms = facts.blacklistings.iter().flat_map(|b| [b.from, b.until]);
        terms.chain(ends).filter(|time| *time > now).min()
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("ALLOWED"),
            Self::Restricted(Restriction::Listing(at)) => write!(f, "RESTRICTED listing {at}"),
            Self::Restricted(Restriction::NotVerified) => f.write_str("RESTRICTED not verified"),
            Self::Barred(Bar::Listing(at)) => write!(f, "BARRED listing {at}"),
            Self::Barred(Bar::Suspended) => f.write_str("BARRED suspended"),
            Self::Unknown => f.write_str("UNKNOWN"),
        }
    }
}

impl std::str::FromStr for Admission {
    type Err = AdmissionError;

    fn from_str(text: &str) -> Result<Self, AdmissionError> {
        let listing = |text: &str| {
            let index = text.strip_prefix("listing ")?.parse().ok()?;
            Some(LogIndex(index))
        };
        let (word, why) = text.split_once(' ').unwrap_or((text, ""));
        let found = match (word, why) {
            ("ALLOWED", "") => Some(Self::Allowed),
            ("UNKNOWN", "") => Some(Self::Unknown),
            ("RESTRICTED", "not verified") => Some(Self::Restricted(Restriction::NotVerified)),
            ("RESTRICTED", why) => {
                listing(why).map(|at| Self::Restricted(Restriction::Listing(at)))
            }
            ("BARRED", "suspended") => Some(Self::Barred(Bar::Suspended)),
            ("BARRED", why) => listing(why).map(|at| Self::Barred(Bar::Listing(at))),
            _ => None,
        };
        found.ok_or(AdmissionError::Malformed)
    }
}

/// Answers for some parties, good for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admissions {
    /// The ledger.
    pub origin: String,
    /// Entries that are counted in.
    pub log_size: u64,
    /// When the answer was given.
    pub from: Millis,
    /// Until when it may be kept: the first moment after it.
    pub until: Millis,
    /// One a party, in the order asked.
    pub parties: Vec<(PartyId, Admission)>,
}

/// Why an answer can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The note is none, or the trusted key did not sign it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is no admission.
    #[error("the signed text is no admission answer of a version that is known here")]
    Malformed,
    /// It is another ledger's.
    #[error("the answer is of {0}")]
    Origin(String),
    /// It was good for another time.
    #[error("the answer was good from {from} until {until}; ask again")]
    Outdated {
        /// First moment.
        from: Millis,
        /// First moment after it.
        until: Millis,
    },
}

impl Admissions {
    /// The text to sign.
    #[must_use]
    pub fn to_text(&self) -> String {
        use fmt::Write as _;
        let mut text = format!(
            "{HEADER}\n{}\nlog {}\nfrom {}\nuntil {}\n",
            self.origin,
            self.log_size,
            self.from.exact(),
            self.until.exact()
        );
        for (party, admission) in &self.parties {
            let _ = writeln!(text, "{party} {admission}"); // a String takes it
        }
        text
    }

    /// Reads a signed text.
    ///
    /// # Errors
    /// [`AdmissionError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, AdmissionError> {
        Self::parse(text).ok_or(AdmissionError::Malformed)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut after = |prefix: &str| lines.next()?.strip_prefix(prefix);
        after(HEADER)?.is_empty().then_some(())?;
        let origin = after("")?.to_owned();
        let log_size = after("log ")?.parse().ok()?;
        let (from, until) = (moment(after("from ")?)?, moment(after("until ")?)?);
        let parties = lines.map(|line| {
            let (party, admission) = line.split_once(' ')?;
            Some((party.parse().ok()?, admission.parse().ok()?))
        });
        Some(Self {
            origin,
            log_size,
            from,
            until,
            parties: parties.collect::<Option<_>>()?,
        })
    }

    /// Reads a note that the log's key signed, and that is good at a moment.
    ///
    /// # Errors
    /// [`AdmissionError`] says why it can't be believed.
    pub fn verify(
        note: &[u8],
        log_key: &NoteVerifier,
        now: Millis,
    ) -> Result<Self, AdmissionError> {
        let note = Note::parse(note)?;
        note.verify(std::slice::from_ref(log_key))?;
        let answer = Self::from_text(note.text())?;
        if answer.origin != log_key.name().as_str() {
            return Err(AdmissionError::Origin(answer.origin));
        }
        if now < answer.from || now >= answer.until {
            return Err(AdmissionError::Outdated {
                from: answer.from,
                until: answer.until,
            });
        }
        Ok(answer)
    }
}

fn moment(text: &str) -> Option<Millis> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn black(listing: u64, severity: CreditSeverity, from: u64, until: u64) -> Blacklisting {
        Blacklisting {
            listing: LogIndex(listing),
            severity,
            from: Millis(from),
            until: Millis(until),
            public: true,
        }
    }

    #[test]
    fn the_worst_that_is_in_force_decides_and_minor_never_shows() {
        use CreditSeverity::{Minor, Ordinary, Serious};
        let all = [
            black(1, Minor, 0, 100),
            black(2, Ordinary, 10, 50),
            black(3, Serious, 20, 30),
        ];
        let facts = Facts {
            suspended: false,
            approved: true,
            valid_until: Some(Millis(60)),
            blacklistings: &all,
        };
        let ordinary = Admission::Restricted(Restriction::Listing(LogIndex(2)));
        let serious = Admission::Barred(Bar::Listing(LogIndex(3)));
        let unverified = Admission::Restricted(Restriction::NotVerified);
        for (now, expected, changes) in [
            (0, Admission::Allowed, Some(10)),
            (10, ordinary, Some(20)),
            (20, serious, Some(30)),
            (30, ordinary, Some(50)),
            (50, Admission::Allowed, Some(61)),
            (61, unverified, Some(100)),
            (100, unverified, None),
        ] {
            let now = Millis(now);
            assert_eq!(Admission::of(&facts, now), expected, "{now:?}");
            assert_eq!(Admission::changes_at(&facts, now), changes.map(Millis));
        }
        let suspended = Facts {
            suspended: true,
            ..facts
        };
        assert_eq!(
            Admission::of(&suspended, Millis(15)),
            Admission::Barred(Bar::Suspended)
        );
        assert_eq!(Admission::of(&suspended, Millis(25)), serious);
    }

    #[test]
    fn a_text_reads_back_and_nothing_else_does() {
        let party = |text: &str| text.parse::<PartyId>().unwrap();
        let answer = Admissions {
            origin: "ledger.test/fj".into(),
            log_size: 7,
            from: Millis(1_749_988_800_123),
            until: Millis(1_749_989_100_123),
            parties: vec![
                (party("gln:0614141000005"), Admission::Allowed),
                (
                    party("uscc:91110000802100433B"),
                    Admission::Barred(Bar::Listing(LogIndex(12))),
                ),
                (
                    party("uscc:91370200264574251E"),
                    Admission::Restricted(Restriction::NotVerified),
                ),
                (party("uscc:91350100M000100Y43"), Admission::Unknown),
            ],
        };
        let text = answer.to_text();
        assert_eq!(Admissions::from_text(&text).unwrap(), answer);
        for (from, to) in [
            ("custody admission v1", "custody admission v2"),
            ("log 7", "log seven"),
            ("BARRED listing 12", "BARRED"),
            ("ALLOWED", "ALLOWED for once"),
            ("UNKNOWN", "unknown"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert!(Admissions::from_text(&changed).is_err(), "{to}");
        }
    }
}
