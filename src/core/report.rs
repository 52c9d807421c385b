//! Signed reports: the note that says which bytes are the report, and of which log.
//!
//! ```text
//! custody report v1
//! <origin of the ledger>
//! <kind> <first month YYYYMM> <last month YYYYMM>[ <goods, as a GS1 Digital Link path>]
//! log <size> <root, Base64>
//! <csv or pdf> sha256 <64 hex digits>
//! ```
//!
//! It is a signed note (c2sp.org/signed-note) by the log's key. The report is the operator's word like any
//! answer; the note keeps it from being denied, or changed on the way.

use sha2::{Digest as _, Sha256};

use crate::core::tlog::Hash;
use crate::core::tlog::note::{Note, NoteError, NoteVerifier};

/// First line of the note.
const HEADER: &str = "custody report v1";

/// Forms of a report.
const FORMS: [&str; 2] = ["csv", "pdf"];

/// What a note says of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Of the ledger.
    pub origin: String,
    /// Name of the kind, such as `completeness`.
    pub kind: String,
    /// First and last month, as the numbers YYYYMM.
    pub months: (u32, u32),
    /// The product or lot that it is about, as a GS1 Digital Link path; empty if it is about all.
    pub goods: String,
    /// Entries of the log that it tells of.
    pub log_size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// `csv` or `pdf`.
    pub form: String,
    /// SHA-256 of the report.
    pub digest: [u8; 32],
}

/// Why a note is none of this report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The signature.
    #[error("the note: {0}")]
    Note(#[from] NoteError),
    /// The note says something else.
    #[error("the note is signed, and is none of a report")]
    Form,
    /// Of another ledger than the key's.
    #[error("the report is of {0}, which is not the ledger of this key")]
    Origin(String),
    /// Another report.
    #[error("the report is not the one that was signed: its SHA-256 is {0}")]
    Digest(String),
}

impl Manifest {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (first, last) = self.months;
        let space = if self.goods.is_empty() { "" } else { " " };
        format!(
            "{HEADER}\n{}\n{} {first} {last}{space}{}\nlog {} {}\n{} sha256 {}\n",
            self.origin,
            self.kind,
            self.goods,
            self.log_size,
            self.root.to_base64(),
            self.form,
            hex::encode(self.digest),
        )
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let origin = lines.next()?.to_owned();
        let mut words = lines.next()?.split(' ');
        let kind = words.next()?.to_owned();
        let months = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let goods = words.next().unwrap_or_default().to_owned();
        let mut words = lines.next()?.strip_prefix("log ")?.split(' ');
        let log_size = words.next()?.parse().ok()?;
        let root = Hash::from_base64(words.next()?).ok()?;
        let (form, digest) = lines.next()?.split_once(" sha256 ")?;
        if !FORMS.contains(&form) {
            return None;
        }
        let digest: [u8; 32] = hex::decode(digest).ok()?.try_into().ok()?;
        let form = form.to_owned();
        let manifest = Self {
            origin,
            kind,
            months,
            goods,
            log_size,
            root,
            form,
            digest,
        };
        // One spelling each.
        (manifest.to_text() == text).then_some(manifest)
    }

    /// Checks that the log's key signed this very report.
    ///
    /// # Errors
    /// [`ReportError`] says what is wrong.
    pub fn verify(note: &[u8], log: &NoteVerifier, report: &[u8]) -> Result<Self, ReportError> {
        let note = Note::parse(note)?;
        note.verify(std::slice::from_ref(log))?;
        let manifest = Self::from_text(note.text()).ok_or(ReportError::Form)?;
        if manifest.origin != log.name().as_str() {
            return Err(ReportError::Origin(manifest.origin));
        }
        let digest: [u8; 32] = Sha256::digest(report).into();
        if digest != manifest.digest {
            return Err(ReportError::Digest(hex::encode(digest)));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_in_one_spelling() {
        let manifest = Manifest {
            origin: "ledger.test/fj".into(),
            kind: "couriers".into(),
            months: (202_601, 202_612),
            goods: String::new(),
            log_size: 17,
            root: Hash::new([7; 32]),
            form: "pdf".into(),
            digest: [9; 32],
        };
        let of_a_lot = Manifest {
            goods: "01/06901234567892/10/L26".into(),
            ..manifest.clone()
        };
        let text = of_a_lot.to_text();
        assert!(text.contains(" 202612 01/06901234567892/10/L26\n"));
        assert_eq!(Manifest::from_text(&text), Some(of_a_lot));
        let text = manifest.to_text();
        assert_eq!(Manifest::from_text(&text), Some(manifest));
        for (from, to) in [
            (" 202601", " 0202601"),
            ("log 17", "log 017"),
            ("\nlog", "\n\nlog"),
            ("custody report v1", "custody report v2"),
            ("sha256 09", "sha256 0"),
            ("pdf", "pdf "),
        ] {
            assert_eq!(Manifest::from_text(&text.replace(from, to)), None, "{to}");
        }
        assert_eq!(Manifest::from_text(""), None);
    }
}
