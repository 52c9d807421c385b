//! Checkpoints (c2sp.org/tlog-checkpoint): the log's word on its size and root.
//!
//! ```text
//! example.com/behind-the-sofa                       ◀ origin
//! 20852163                                          ◀ size
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=      ◀ root
//! ```
//!
//! Whoever signs must have proved consistency with the last checkpoint before; nothing here
//! can check that.

use super::{
    EMPTY_ROOT, Hash, HashError, TreeSize,
    note::{
        KeyKind, Note, NoteError, NoteSignature, NoteSigner, NoteVerifier, PosixSeconds, SignError,
        VerifiedSignature,
    },
};

/// Size and root of a log, named by its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: TreeSize,
    root: Hash,
    extensions: Vec<String>,
}

/// A checkpoint on which the log's signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Which trusted keys signed it: the log and perhaps witnesses, each key once.
    pub signatures: Vec<VerifiedSignature>,
}

/// Why something is no checkpoint, or not one of the log expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or not signed by a trusted key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The text does not end in a newline.
    #[error("the text of a checkpoint ends in a newline")]
    TextEnd,
    /// There is no line for the origin, the size or the root.
    #[error("a checkpoint has at least three lines, not {0}")]
    Lines(usize),
    /// A line is empty.
    #[error("line {0} of the checkpoint is empty")]
    EmptyLine(usize),
    /// A line has a control character.
    #[error("line {0} of the checkpoint has a control character")]
    ControlCharacter(usize),
    /// The size is not a number below 2^64 without leading zeros.
    #[error("the size of the log is not a decimal number below 2^64 without leading zeros")]
    Size,
    /// The root is not the Base64 of a hash.
    #[error("the root of the log: {0}")]
    Root(HashError),
    /// The log is empty but the root is not that of the empty log.
    #[error("the empty log has the root {EMPTY_ROOT}, not {0}")]
    EmptyLogRoot(Hash),
    /// It is a checkpoint of another log.
    #[error("the checkpoint is of the log {actual:?}, not of {expected:?}")]
    Origin {
        /// The log expected.
        expected: String,
        /// The log found.
        actual: String,
    },
    /// Witnesses signed but the log did not.
    #[error("the checkpoint has no signature of the log itself")]
    NotSignedByLog,
}

impl Checkpoint {
    /// The checkpoint with these lines. Nobody but the log knows what an extension line
    /// means; the specification recommends to have none.
    pub fn new(
        origin: String,
        size: TreeSize,
        root: Hash,
        extensions: Vec<String>,
    ) -> Result<Self, CheckpointError> {
        check_line(1, &origin)?;
        for (number, extension) in (4..).zip(&extensions) {
            check_line(number, extension)?;
        }
        if size == TreeSize::ZERO && root != EMPTY_ROOT {
            return Err(CheckpointError::EmptyLogRoot(root));
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }

    /// Reads the text of a note. Nothing is verified: see [`verify`](Self::verify).
    pub fn from_note_text(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::TextEnd)?;
        let lines: Vec<_> = lines.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(CheckpointError::Lines(lines.len()));
        };
        let size = parse_size(size)?;
        let root = Hash::from_base64(root).map_err(CheckpointError::Root)?;
        let extensions = extensions.iter().map(|line| (*line).to_owned()).collect();
        Self::new((*origin).to_owned(), size, root, extensions)
    }

    /// The text to be signed.
    pub fn to_note_text(&self) -> String {
        let (origin, size, root) = (&self.origin, self.size, self.root.to_base64());
        let mut text = format!("{origin}\n{size}\n{root}\n");
        for extension in &self.extensions {
            text.push_str(extension);
            text.push('\n');
        }
        text
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of entries.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The root of the log.
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Further lines.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Signs as the log, with a key of the kind [`KeyKind::Ed25519`].
    pub fn sign(&self, signer: &NoteSigner) -> Result<Note, CheckpointError> {
        Ok(signer.sign_note(&self.to_note_text())?)
    }

    /// Cosigns as a witness, with a key of the kind [`KeyKind::CosignatureV1`].
    pub fn cosign(
        &self,
        signer: &NoteSigner,
        time: PosixSeconds,
    ) -> Result<NoteSignature, CheckpointError> {
        Ok(signer.cosign(&self.to_note_text(), time)?)
    }

    /// The checkpoint in a note, when it is one of the log `origin` and signed by it.
    /// See [`SignedCheckpoint::verify`].
    pub fn verify(
        note: &[u8],
        trusted: &[NoteVerifier],
        origin: &str,
    ) -> Result<Self, CheckpointError> {
        let signed = SignedCheckpoint::verify(note, trusted, origin)?;
        Ok(signed.checkpoint)
    }
}

impl SignedCheckpoint {
    /// The checkpoint in a note, when it is one of the log `origin` and signed by it.
    ///
    /// Trusted keys of the kind [`KeyKind::Ed25519`] are the log's, and one of them must have
    /// signed; those of the kind [`KeyKind::CosignatureV1`] are witnesses'. How many
    /// witnesses are enough, and whether their times are recent, is for the caller to say.
    pub fn verify(
        note: &[u8],
        trusted: &[NoteVerifier],
        origin: &str,
    ) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let signatures = note.verify(trusted)?;
        let is_logs = |signature: &VerifiedSignature| signature.kind == KeyKind::Ed25519;
        if !signatures.iter().any(is_logs) {
            return Err(CheckpointError::NotSignedByLog);
        }
        let checkpoint = Checkpoint::from_note_text(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::Origin {
                expected: origin.to_owned(),
                actual: checkpoint.origin,
            });
        }
        Ok(Self {
            checkpoint,
            signatures,
        })
    }
}

fn check_line(number: usize, line: &str) -> Result<(), CheckpointError> {
    if line.is_empty() {
        return Err(CheckpointError::EmptyLine(number));
    }
    if line.contains(|c| c < ' ') {
        return Err(CheckpointError::ControlCharacter(number));
    }
    Ok(())
}

fn parse_size(text: &str) -> Result<TreeSize, CheckpointError> {
    // Rust would accept a plus sign.
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = text == "0" || !text.starts_with('0');
    if !is_decimal || !is_canonical {
        return Err(CheckpointError::Size);
    }
    let size = text.parse().map_err(|_| CheckpointError::Size)?;
    Ok(TreeSize::new(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tlog::{leaf_hash, note::KeyName};

    const ORIGIN: &str = "example.com/behind-the-sofa";
    /// The example of c2sp.org/tlog-checkpoint.
    const TEXT: &str = "example.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(kind: KeyKind, seed: u8) -> NoteSigner {
        let name = KeyName::new("example.com/key").unwrap();
        NoteSigner::new(name, kind, &[seed; 32]).unwrap()
    }

    #[test]
    fn example_of_the_specification_is_read_and_written() {
        let checkpoint = Checkpoint::from_note_text(TEXT).unwrap();
        assert_eq!(checkpoint.origin(), ORIGIN);
        assert_eq!(checkpoint.size(), TreeSize::new(20_852_163));
        assert_eq!(checkpoint.to_note_text(), TEXT);
        let extended = format!("{TEXT}one\n— two\n");
        let checkpoint = Checkpoint::from_note_text(&extended).unwrap();
        assert_eq!(checkpoint.extensions(), ["one", "— two"]);
        assert_eq!(checkpoint.to_note_text(), extended);
    }

    #[test]
    fn every_other_text_is_refused() {
        let root = EMPTY_ROOT.to_base64();
        let wrong_root = leaf_hash(b"");
        let cases = [
            (String::new(), CheckpointError::TextEnd),
            ("o\n1\nr".into(), CheckpointError::TextEnd),
            ("o\n1\n".into(), CheckpointError::Lines(2)),
            (format!("\n1\n{root}\n"), CheckpointError::EmptyLine(1)),
            (format!("o\n1\n{root}\n\n"), CheckpointError::EmptyLine(4)),
            (
                format!("o\n1\n{root}\na\n\nb\n"),
                CheckpointError::EmptyLine(5),
            ),
            (
                format!("o\r\n1\n{root}\n"),
                CheckpointError::ControlCharacter(1),
            ),
            (format!("o\n\n{root}\n"), CheckpointError::Size),
            (format!("o\n01\n{root}\n"), CheckpointError::Size),
            (format!("o\n00\n{root}\n"), CheckpointError::Size),
            (format!("o\n+1\n{root}\n"), CheckpointError::Size),
            (format!("o\n-1\n{root}\n"), CheckpointError::Size),
            (format!("o\n 1\n{root}\n"), CheckpointError::Size),
            (
                format!("o\n18446744073709551616\n{root}\n"),
                CheckpointError::Size,
            ),
            (
                "o\n1\nAAAA\n".into(),
                CheckpointError::Root(HashError::Length(3)),
            ),
            (
                format!("o\n1\n{}\n", root.trim_end_matches('=')),
                CheckpointError::Root(HashError::Base64),
            ),
            (
                format!("o\n0\n{}\n", wrong_root.to_base64()),
                CheckpointError::EmptyLogRoot(wrong_root),
            ),
        ];
        for (text, error) in cases {
            assert_eq!(Checkpoint::from_note_text(&text), Err(error), "{text:?}");
        }
        let largest = format!("o\n18446744073709551615\n{root}\n");
        assert!(Checkpoint::from_note_text(&largest).is_ok());
    }

    #[test]
    fn signed_checkpoint_is_verified_with_its_witnesses() {
        let (log, witness) = (
            signer(KeyKind::Ed25519, 1),
            signer(KeyKind::CosignatureV1, 2),
        );
        let checkpoint = Checkpoint::from_note_text(TEXT).unwrap();
        let time = PosixSeconds::new(1_679_315_147).unwrap();
        let mut note = checkpoint.sign(&log).unwrap();
        let cosignature = checkpoint.cosign(&witness, time).unwrap();
        note.add_signature(cosignature).unwrap();

        let note = note.to_string();
        let trusted = [log.verifier().clone(), witness.verifier().clone()];
        let signed = SignedCheckpoint::verify(note.as_bytes(), &trusted, ORIGIN).unwrap();
        assert_eq!(signed.checkpoint, checkpoint);
        let times: Vec<_> = signed.signatures.iter().map(|s| s.time).collect();
        assert_eq!(times, [None, Some(time)]);
        let verified = Checkpoint::verify(note.as_bytes(), &trusted[..1], ORIGIN);
        assert_eq!(verified, Ok(checkpoint));
    }

    #[test]
    fn checkpoint_of_another_log_or_without_the_log_is_refused() {
        let (log, witness) = (
            signer(KeyKind::Ed25519, 1),
            signer(KeyKind::CosignatureV1, 2),
        );
        let checkpoint = Checkpoint::from_note_text(TEXT).unwrap();
        let mut note = checkpoint.sign(&log).unwrap();
        let time = PosixSeconds::new(1).unwrap();
        note.add_signature(checkpoint.cosign(&witness, time).unwrap())
            .unwrap();
        let note = note.to_string();
        let verify = |trusted: &NoteSigner, origin| {
            Checkpoint::verify(note.as_bytes(), &[trusted.verifier().clone()], origin).unwrap_err()
        };
        assert!(matches!(
            verify(&log, "example.com"),
            CheckpointError::Origin { .. }
        ));
        assert_eq!(verify(&witness, ORIGIN), CheckpointError::NotSignedByLog);
        let stranger = signer(KeyKind::Ed25519, 3);
        assert_eq!(
            verify(&stranger, ORIGIN),
            CheckpointError::Note(NoteError::NoTrustedSignature)
        );
    }

    #[test]
    fn key_of_the_wrong_kind_does_not_sign() {
        let checkpoint = Checkpoint::from_note_text(TEXT).unwrap();
        let witness = signer(KeyKind::CosignatureV1, 2);
        assert!(matches!(
            checkpoint.sign(&witness),
            Err(CheckpointError::Sign(SignError::Kind { .. }))
        ));
    }
}
