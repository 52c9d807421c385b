//! Changes of texts beside the log as they lie in etcd: encrypted, since they hold personal data and etcd keeps
//! what was deleted in its file for a while. The key is derived from the log's, which every node has.

use orion::aead::{self, SecretKey};
use prost::Message as _;
use zeroize::Zeroizing;

use crate::core::credit::SALT_BYTES;
use crate::core::record::Millis;
use crate::core::tlog::note::NoteSigner;
use crate::core::wire;
use crate::core::wire::private_change::{Change as Body, PutText};
use crate::private::{Change, Class, Kept};

const PURPOSE: &[u8] = b"custody cluster private changes v1";

/// Encrypts and decrypts changes.
pub(super) struct Sealer(SecretKey);

/// A change that this node can't read: it was written by a node with another key, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("a change of a text in the order does not decrypt: do all nodes have the same log key?")]
pub struct SealError;

impl Sealer {
    pub(super) fn new(signer: &NoteSigner) -> Result<Self, SealError> {
        let secret = signer.derived_secret(PURPOSE);
        let key = SecretKey::try_from(secret.as_slice());
        key.map(Self).map_err(|_| SealError)
    }

    pub(super) fn seal(&self, change: &Change) -> Result<Vec<u8>, SealError> {
        let plain = Zeroizing::new(to_wire(change).encode_to_vec());
        aead::seal(&self.0, &plain).map_err(|_| SealError)
    }

    pub(super) fn open(&self, sealed: &[u8]) -> Result<Change, SealError> {
        let plain = Zeroizing::new(aead::open(&self.0, sealed).map_err(|_| SealError)?);
        let change = wire::PrivateChange::decode(plain.as_slice()).map_err(|_| SealError)?;
        from_wire(change).ok_or(SealError)
    }
}

fn to_wire(change: &Change) -> wire::PrivateChange {
    let (subject, body) = match change {
        Change::Put {
            subject,
            class,
            put_by,
            put,
            kept,
        } => {
            let put = PutText {
                class: number(*class),
                put_by: put_by.to_string(),
                put_ms: put.0,
                salt: kept.salt.to_vec(),
                text: kept.text.clone(),
            };
            (subject, Body::Put(put))
        }
        Change::Erase {
            subject,
            commitment,
        } => (subject, Body::Erase(commitment.to_vec())),
    };
    wire::PrivateChange {
        subject: subject.to_string(),
        change: Some(body),
    }
}

fn from_wire(change: wire::PrivateChange) -> Option<Change> {
    let subject = change.subject.parse().ok()?;
    Some(match change.change? {
        Body::Put(put) => Change::Put {
            subject,
            class: class(put.class)?,
            put_by: put.put_by.parse().ok()?,
            put: Millis(put.put_ms),
            kept: Kept {
                salt: <[u8; SALT_BYTES]>::try_from(put.salt).ok()?,
                text: put.text,
            },
        },
        Body::Erase(commitment) => Change::Erase {
            subject,
            commitment: commitment.try_into().ok()?,
        },
    })
}

const fn number(class: Class) -> u32 {
    match class {
        Class::Registration => 1,
        Class::Credit => 2,
        Class::Claim => 3,
    }
}

const fn class(number: u32) -> Option<Class> {
    match number {
        1 => Some(Class::Registration),
        2 => Some(Class::Credit),
        3 => Some(Class::Claim),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tlog::note::{KeyKind, KeyName};

    fn sealer(seed: u8) -> Sealer {
        let name = KeyName::new("example.org/log").unwrap();
        let signer = NoteSigner::new(name, KeyKind::Ed25519, &[seed; 32]).unwrap();
        Sealer::new(&signer).unwrap()
    }

    #[test]
    fn given_a_change_when_sealed_then_only_the_same_key_opens_it_and_no_text_is_in_it() {
        let subject = "gln:9521141000007".parse().unwrap();
        let changes = [
            Change::Put {
                subject,
                class: Class::Claim,
                put_by: subject,
                put: Millis(7),
                kept: Kept {
                    salt: [1; SALT_BYTES],
                    text: "Zhang San".into(),
                },
            },
            Change::Erase {
                subject,
                commitment: [3; 32],
            },
        ];
        for change in changes {
            let sealed = sealer(1).seal(&change).unwrap();
            assert!(!sealed.windows(5).any(|window| window == b"Zhang"));
            let opened = sealer(1).open(&sealed).unwrap();
            assert_eq!(to_wire(&opened), to_wire(&change));
            assert!(sealer(2).open(&sealed).is_err(), "another key");
            let mut flipped = sealed.clone();
            *flipped.last_mut().unwrap() ^= 1;
            assert!(sealer(1).open(&flipped).is_err(), "a flipped bit");
        }
    }
}
