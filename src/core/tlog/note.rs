//! Signed notes (c2sp.org/signed-note) and cosignatures (c2sp.org/tlog-cosignature, v1).
//!
//! ```text
//! text, ends in a newline
//!                                            ◀ the last empty line of the note
//! — <key name> <base64(key id || signature)>
//! ```
//!
//! A text must not be believed before [`Note::verify`] has found a signature of a trusted
//! key on it. Signatures of other keys are ignored, so that keys can be changed and
//! witnesses added without breaking anybody.

mod ed25519;
mod key;

pub use ed25519::{NoteSigner, NoteVerifier, PosixSeconds, SignError, SignatureError};
pub use key::{KeyError, KeyId, KeyKind, KeyName};

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

/// The longest note that is read or made, in bytes.
pub const MAX_NOTE_BYTES: usize = 1 << 20;
/// The most signatures on a note; the specification requires that 16 are accepted.
pub const MAX_SIGNATURES: usize = 16;
/// The longest signature line, in bytes; the signatures of ML-DSA-44 need some 3300.
pub const MAX_SIGNATURE_LINE_BYTES: usize = 16 << 10;

const SIGNATURE_PREFIX: &str = "— ";

/// A text with signatures, verified or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    key_id: KeyId,
    signature: Vec<u8>,
}

/// A signature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The name of the key.
    pub name: KeyName,
    /// The id of the key.
    pub key_id: KeyId,
    /// What kind of signature it is.
    pub kind: KeyKind,
    /// When a witness cosigned, for a cosignature.
    pub time: Option<PosixSeconds>,
}

/// Why something is no signed note, or is not signed by a trusted key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_BYTES`].
    #[error("the note has {0} bytes, at most {MAX_NOTE_BYTES} are accepted")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("the note is not valid UTF-8")]
    NotUtf8,
    /// A control character other than the newline.
    #[error("the note has the control character U+{:04X}", u32::from(*.0))]
    ControlCharacter(char),
    /// The text does not end in a newline.
    #[error("the text of the note does not end in a newline")]
    TextEnd,
    /// There is no empty line, and so no signature.
    #[error("the note has no empty line between its text and its signatures")]
    NoSeparator,
    /// There is no signature.
    #[error("the note has no signature")]
    Unsigned,
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A line after the text is no signature line.
    #[error("signature line {line} of the note: {reason}")]
    SignatureLine {
        /// The number of the line after the empty one, from 1.
        line: usize,
        /// What is wrong with it.
        reason: SignatureLineError,
    },
    /// A trusted key made no valid signature under its name and id.
    #[error("the signature of {name} (key {key_id}) is refused")]
    BadSignature {
        /// The name of the key.
        name: KeyName,
        /// The id of the key.
        key_id: KeyId,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// Two different trusted keys have the same name and id.
    #[error("two trusted keys are named {name} with the id {key_id}")]
    AmbiguousKey {
        /// The common name.
        name: KeyName,
        /// The common id.
        key_id: KeyId,
    },
    /// No trusted key signed.
    #[error("the note has no signature of a trusted key")]
    NoTrustedSignature,
}

/// Why a line is no signature line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureLineError {
    /// Longer than [`MAX_SIGNATURE_LINE_BYTES`].
    #[error("it has {0} bytes, at most {MAX_SIGNATURE_LINE_BYTES} are accepted")]
    TooLong(usize),
    /// The last line does not end in a newline.
    #[error("it does not end in a newline")]
    NoNewline,
    /// Not an em dash, a space, a name, a space and the signature.
    #[error("it is not of the form \"— name signature\"")]
    Form,
    /// The name is no key name.
    #[error("{0}")]
    Name(KeyError),
    /// The signature is not standard Base64.
    #[error("the signature is not standard Base64")]
    Base64,
    /// There is nothing after the key id.
    #[error("the signature has {0} bytes, it must have more than the 4 of the key id")]
    TooShort(usize),
}

impl NoteSignature {
    /// A signature by the key with this name and id.
    pub(super) fn new(name: KeyName, key_id: KeyId, signature: Vec<u8>) -> Self {
        Self {
            name,
            key_id,
            signature,
        }
    }

    /// The name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The signature without the key id, in the form of its type.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Reads a signature line without its newline.
    fn parse(line: &str) -> Result<Self, SignatureLineError> {
        if line.len() > MAX_SIGNATURE_LINE_BYTES {
            return Err(SignatureLineError::TooLong(line.len()));
        }
        let (name, base64) = line
            .strip_prefix(SIGNATURE_PREFIX)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(SignatureLineError::Form)?;
        let name = KeyName::new(name).map_err(SignatureLineError::Name)?;
        let bytes = BASE64
            .decode(base64)
            .map_err(|_| SignatureLineError::Base64)?;
        let Some((key_id, signature)) = bytes.split_first_chunk() else {
            return Err(SignatureLineError::TooShort(bytes.len()));
        };
        if signature.is_empty() {
            return Err(SignatureLineError::TooShort(bytes.len()));
        }
        let key_id = KeyId::new(*key_id);
        Ok(Self::new(name, key_id, signature.to_vec()))
    }
}

impl fmt::Display for NoteSignature {
    /// Writes the signature line without a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_bytes().as_slice(), &self.signature].concat();
        let base64 = BASE64.encode(bytes);
        write!(f, "{SIGNATURE_PREFIX}{} {base64}", self.name)
    }
}

impl Note {
    /// The note of this text with this signature. The text ends in a newline.
    pub fn new(text: String, signature: NoteSignature) -> Result<Self, NoteError> {
        check_text(&text)?;
        let signatures = vec![signature];
        let note = Self { text, signatures };
        note.check_length()?;
        Ok(note)
    }

    /// Reads a note. Nothing is verified yet.
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(note.len()));
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::NotUtf8)?;
        check_characters(note)?;
        let separator = note.rfind("\n\n").ok_or(NoteError::NoSeparator)?;
        // The newline that ends the text belongs to it, that of the empty line to nobody.
        let (text, rest) = note.split_at(separator + 1);
        let signatures = parse_signatures(&rest[1..])?;
        let text = text.to_owned();
        Ok(Self { text, signatures })
    }

    /// The text with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, verified or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature, such as that of a witness.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        let checked = self.check_length();
        if checked.is_err() {
            self.signatures.pop();
        }
        checked
    }

    /// Verifies the note against trusted keys and says which of them signed, each one once.
    ///
    /// As the specification wants it, signatures of other keys are ignored, a wrong signature
    /// under the name and id of a trusted key spoils the note, and a note without a good
    /// signature is refused.
    pub fn verify(&self, trusted: &[NoteVerifier]) -> Result<Vec<VerifiedSignature>, NoteError> {
        let mut verified: Vec<VerifiedSignature> = Vec::new();
        for signature in &self.signatures {
            let Some(verifier) = find_verifier(trusted, signature)? else {
                continue;
            };
            let (name, key_id) = (signature.name.clone(), signature.key_id);
            let time = match verifier.verify(&self.text, &signature.signature) {
                Ok(time) => time,
                Err(source) => {
                    return Err(NoteError::BadSignature {
                        name,
                        key_id,
                        source,
                    });
                }
            };
            // Whoever counts witnesses must not count one twice.
            if verified
                .iter()
                .any(|v| (&v.name, v.key_id) == (&name, key_id))
            {
                continue;
            }
            verified.push(VerifiedSignature {
                name,
                key_id,
                kind: verifier.kind(),
                time,
            });
        }
        if verified.is_empty() {
            return Err(NoteError::NoTrustedSignature);
        }
        Ok(verified)
    }

    fn check_length(&self) -> Result<(), NoteError> {
        let bytes = self.to_string().len();
        if bytes > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(bytes));
        }
        Ok(())
    }
}

impl fmt::Display for Note {
    /// Writes the note as it is published.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}

/// The trusted key with the name and id of the signature.
fn find_verifier<'a>(
    trusted: &'a [NoteVerifier],
    signature: &NoteSignature,
) -> Result<Option<&'a NoteVerifier>, NoteError> {
    let mut matching = trusted.iter().filter(|verifier| {
        verifier.name() == &signature.name && verifier.key_id() == signature.key_id
    });
    let found = matching.next();
    // The same key may be listed twice, but two keys under one name and id may not.
    if matching.any(|other| Some(other) != found) {
        return Err(NoteError::AmbiguousKey {
            name: signature.name.clone(),
            key_id: signature.key_id,
        });
    }
    Ok(found)
}

fn parse_signatures(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let mut signatures = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        if signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let line = signatures.len() + 1;
        let error = |reason| NoteError::SignatureLine { line, reason };
        let (signature, tail) = rest
            .split_once('\n')
            .ok_or_else(|| error(SignatureLineError::NoNewline))?;
        signatures.push(NoteSignature::parse(signature).map_err(error)?);
        rest = tail;
    }
    if signatures.is_empty() {
        return Err(NoteError::Unsigned);
    }
    Ok(signatures)
}

/// What can be the text of a note.
fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong(text.len()));
    }
    if !text.ends_with('\n') {
        return Err(NoteError::TextEnd);
    }
    check_characters(text)
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    let is_refused = |c: &char| *c < ' ' && *c != '\n';
    match text.chars().find(is_refused) {
        Some(control) => Err(NoteError::ControlCharacter(control)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
