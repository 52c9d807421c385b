//! Batches of what is shared (信用信息共享): their items, the cursor between them, and the signed note.
//!
//! The note (c2sp.org/signed-note) by the log's key says which bytes are the batch, and where in the
//! feed of [`share`](super::share) it lies:
//!
//! ```text
//! custody export v1
//! <origin of the ledger>
//! from <cursor>
//! next <cursor>
//! items <count>
//! <json or csv> sha256 <64 hex digits>
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::share::Subject;
use crate::core::record::Millis;
use crate::core::tlog::LogIndex;
use crate::core::tlog::note::{Note, NoteError, NoteVerifier};

/// First line of the note.
const HEADER: &str = "custody export v1";
/// Version of the form of a JSON batch.
pub const FORMAT: u32 = 1;

/// A place in the feed: every entry below `next`, and every term that ran out up to `ended`, lie
/// before it. As text: `<next>`, or `<next>.<milliseconds>.<l or m><number>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The next entry.
    pub next: u64,
    /// The last term that ran out.
    pub ended: Option<(Millis, Subject)>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.next)?;
        match self.ended {
            None => Ok(()),
            Some((at, Subject::Listing(index))) => write!(f, ".{}.l{index}", at.0),
            Some((at, Subject::Measure(index))) => write!(f, ".{}.m{index}", at.0),
        }
    }
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use the cursor of the batch before, as it is")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.split('.');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let next = number().ok_or(NoCursor)?;
        let ended = match (number(), parts.next()) {
            (Some(at), Some(subject)) => {
                let index = subject.get(1..).and_then(|digits| digits.parse().ok());
                let index = LogIndex(index.ok_or(NoCursor)?);
                let subject = match subject.as_bytes().first() {
                    Some(b'l') => Subject::Listing(index),
                    Some(b'm') => Subject::Measure(index),
                    _ => return Err(NoCursor),
                };
                Some((Millis(at), subject))
            }
            _ => None,
        };
        let cursor = Self { next, ended };
        // One spelling each, so that a batch has one name.
        (cursor.to_string() == text)
            .then_some(cursor)
            .ok_or(NoCursor)
    }
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ItemKind {
    /// A listing that took effect.
    Listing,
    /// A credit record.
    Record,
    /// A measure.
    Measure,
    /// A listing or a measure is taken back: forget it.
    Retraction,
}

/// One item. In CSV, the fields are the columns; what doesn't apply is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub item: ItemKind,
    /// Number of the listing, record or measure: of what is taken back, for a retraction.
    pub number: u64,
    /// LISTING, RECORD or MEASURE: what the number counts.
    pub of: ItemKind,
    /// When it became public or was taken back; RFC 3339 in UTC.
    pub time: String,
    /// Party id; empty for a retraction, which only says its number.
    pub subject: String,
    /// Name of the company; empty for a retraction.
    pub subject_name: String,
    /// RED or BLACK; for a measure, of its listing.
    pub list: String,
    /// MINOR, ORDINARY or SERIOUS.
    pub severity: String,
    /// Which kind of record or measure; of a retraction, why.
    pub what: String,
    /// The law and the section.
    pub legal_basis: String,
    /// Number of the document.
    pub document: String,
    /// Party id of the authority.
    pub authority: String,
    /// The facts, or the text of the record.
    pub text: String,
    /// Number of the listing that a measure belongs to; 0 for others.
    pub listing: u64,
    /// Per mille, of an inspection rate; 0 for others.
    pub rate_per_mille: u32,
    /// First moment; RFC 3339.
    pub from: String,
    /// First moment after it; RFC 3339.
    pub until: String,
}

/// A batch as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// [`FORMAT`].
    pub format: u32,
    /// The ledger.
    pub origin: String,
    /// Where it begins.
    pub from: String,
    /// Where the next one does.
    pub next: String,
    /// In order.
    pub items: Vec<Item>,
}

/// What the log's key signs about a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The ledger.
    pub origin: String,
    /// Where the batch begins.
    pub from: Cursor,
    /// Where the next one does.
    pub next: Cursor,
    /// How many items.
    pub items: u64,
    /// `json` or `csv`.
    pub form: String,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

/// Why a batch can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The note is none, or the trusted key did not sign it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is none of an export.
    #[error("the signed text is no export of a version that is known here")]
    Malformed,
    /// It is another ledger's.
    #[error("the batch is of {0}")]
    Origin(String),
    /// The bytes are others than those signed.
    #[error("the batch is not the one that was signed")]
    Digest,
}

impl Manifest {
    /// Of a batch's bytes.
    #[must_use]
    pub fn of(
        origin: &str,
        (from, next): (Cursor, Cursor),
        items: usize,
        form: &str,
        batch: &[u8],
    ) -> Self {
        Self {
            origin: origin.to_owned(),
            from,
            next,
            items: items as u64,
            form: form.to_owned(),
            sha256: Sha256::digest(batch).into(),
        }
    }

    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            origin,
            from,
            next,
            items,
            form,
            sha256,
        } = self;
        let digest = hex::encode(sha256);
        format!(
            "{HEADER}\n{origin}\nfrom {from}\nnext {next}\nitems {items}\n{form} sha256 {digest}\n"
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let mut line = |name: &str| lines.next()?.strip_prefix(name);
        (line(HEADER)?.is_empty()).then_some(())?;
        let origin = line("")?.to_owned();
        let from = line("from ")?.parse().ok()?;
        let next = line("next ")?.parse().ok()?;
        let items = line("items ")?.parse().ok()?;
        let (form, digest) = line("")?.split_once(" sha256 ")?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(digest, &mut sha256).ok()?;
        let manifest = Self {
            origin,
            from,
            next,
            items,
            form: form.to_owned(),
            sha256,
        };
        (manifest.to_text() == text).then_some(manifest)
    }

    /// Checks a note and the batch that it is about.
    ///
    /// # Errors
    /// [`ExportError`] says what doesn't fit.
    pub fn verify(note: &[u8], key: &NoteVerifier, batch: &[u8]) -> Result<Self, ExportError> {
        let note = Note::parse(note)?;
        note.verify(std::slice::from_ref(key))?;
        let manifest = Self::parse(note.text()).ok_or(ExportError::Malformed)?;
        if manifest.origin != key.name().as_str() {
            return Err(ExportError::Origin(manifest.origin));
        }
        if manifest.sha256 != <[u8; 32]>::from(Sha256::digest(batch)) {
            return Err(ExportError::Digest);
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> impl Strategy<Value = Cursor> {
        let subject = (any::<bool>(), any::<u64>()).prop_map(|(listing, n)| {
            if listing {
                Subject::Listing(LogIndex(n))
            } else {
                Subject::Measure(LogIndex(n))
            }
        });
        let ended = proptest::option::of((any::<u64>().prop_map(Millis), subject));
        (any::<u64>(), ended).prop_map(|(next, ended)| Cursor { next, ended })
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(cursor in cursors()) {
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_read_without_panic_and_as_one_cursor(text in "[0-9.lm]{0,24}|.{0,8}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn a_manifest_is_read_as_it_was_written(from in cursors(), next in cursors(), items in 0usize..9) {
            let manifest = Manifest::of("ledger.test/fj", (from, next), items, "csv", b"batch");
            prop_assert_eq!(Manifest::parse(&manifest.to_text()), Some(manifest));
        }
    }

    #[test]
    fn other_spellings_are_no_cursors() {
        for text in [
            "", "07", "7.", "7.5", "7.5.x9", "7.5.l", "7.5.l09", "7.5.l9.", "+7", "7.5.é",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
