//! Personal data (个人信息保护): texts that must be erasable, beside the log.
//!
//! The log holds salted commitments (`credit::salted_commitment`); here lie the texts and the salts.
//! Erasing one leaves a row that says so, and nothing that the text could be guessed from: the salt
//! goes with it. No entry, and so no root, depends on what is here.
//!
//! | key | value |
//! |---|---|
//! | party, commitment | [`Row`] |

use serde::{Deserialize, Serialize};

use crate::core::credit::{SALT_BYTES, salted_commitment};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::store::{Side, SideChanges, Store, StoreError};

/// Most bytes of a text.
pub const MAX_TEXT: usize = 4_096;
/// Most texts about one party.
pub const MAX_TEXTS: usize = 1_024;
/// Bytes of a commitment.
pub const COMMITMENT_BYTES: usize = 32;
/// Most texts that are erased in one write.
const MAX_SWEPT: usize = 10_000;
const DAY_MS: u64 = 86_400_000;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Names and evidence of registrations.
    Registration,
    /// Reasons, statements and records of credit files.
    Credit,
    /// What belongs to claims.
    Claim,
}

/// How many days each class is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// [`Class::Registration`].
    pub registration_days: u32,
    /// [`Class::Credit`].
    pub credit_days: u32,
    /// [`Class::Claim`].
    pub claim_days: u32,
}

impl Default for Retention {
    /// Three years, as trade information has to be kept (电子商务法, art. 31); five for credit, the longest
    /// term of a listing and the two years after it.
    fn default() -> Self {
        Self {
            registration_days: 1_096,
            credit_days: 1_827,
            claim_days: 1_096,
        }
    }
}

impl Retention {
    /// When a text is erased that was put at a time.
    #[must_use]
    pub fn until(&self, class: Class, put: Millis) -> Millis {
        let days = match class {
            Class::Registration => self.registration_days,
            Class::Credit => self.credit_days,
            Class::Claim => self.claim_days,
        };
        put.plus(u64::from(days) * DAY_MS)
    }
}

/// A text, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it is for.
    pub class: Class,
    /// Who put it.
    pub put_by: PartyId,
    /// When.
    pub put: Millis,
    /// None when it was erased.
    pub kept: Option<Kept>,
}

/// What is erased together.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Random.
    pub salt: [u8; SALT_BYTES],
    /// The text.
    pub text: String,
}

impl std::fmt::Debug for Kept {
    /// Nothing: it must not end up in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

/// A change of the texts.
#[derive(Clone, Debug)]
pub enum Change {
    /// Keeps a text.
    Put {
        /// Whom it is about.
        subject: PartyId,
        /// What it is for.
        class: Class,
        /// Who puts it.
        put_by: PartyId,
        /// When.
        put: Millis,
        /// Salt and text.
        kept: Kept,
    },
    /// Erases a text and its salt.
    Erase {
        /// Whom it is about.
        subject: PartyId,
        /// Its commitment.
        commitment: [u8; COMMITMENT_BYTES],
    },
}

/// Why a change isn't made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The order did not answer.
    #[error("no answer came from the order; whether it was done is not known: ask again")]
    Unanswered,
    /// It was erased, and stays so.
    #[error("this text was erased; what was erased is not put again")]
    Erased,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeError {
    /// Whether the store failed, so that nothing is known.
    #[must_use]
    pub const fn is_of_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

fn key(subject: PartyId, commitment: &[u8; COMMITMENT_BYTES]) -> Vec<u8> {
    [&subject.to_compact()[..], commitment].concat()
}

/// Makes a change, on the disk when this returns. Making it twice is the same as making it once. What was
/// erased is read by nobody from here on, and off the disk after a [`scrub`].
///
/// # Errors
/// [`ChangeError`].
pub fn change(store: &Store, change: &Change) -> Result<(), ChangeError> {
    let _alone = store.side_guard();
    match change {
        Change::Put {
            subject,
            class,
            put_by,
            put,
            kept,
        } => {
            let row = Row {
                class: *class,
                put_by: *put_by,
                put: *put,
                kept: Some(kept.clone()),
            };
            keep(
                store,
                *subject,
                &salted_commitment(&kept.salt, &kept.text),
                &row,
            )
        }
        Change::Erase {
            subject,
            commitment,
        } => Ok(erase(store, *subject, commitment)?),
    }
}

/// Whether there is room for one more text about a party. It is asked before the order: in it, nodes that erase by
/// their own clocks would not agree.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn has_room(store: &Store, subject: PartyId) -> Result<bool, StoreError> {
    let mut count = 0;
    scan(store, subject, &[], |_, row| {
        count += usize::from(row.kept.is_some());
        count < MAX_TEXTS
    })?;
    Ok(count < MAX_TEXTS)
}

fn keep(
    store: &Store,
    subject: PartyId,
    commitment: &[u8; COMMITMENT_BYTES],
    row: &Row,
) -> Result<(), ChangeError> {
    match get(store, subject, commitment)? {
        Some(Row { kept: None, .. }) => return Err(ChangeError::Erased),
        Some(_) => return Ok(()),
        None => {}
    }
    let mut changes = SideChanges::default();
    changes.put(key(subject, commitment), row)?;
    Ok(store.side_write_synced(Side::Private, changes)?)
}

/// A text.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn get(
    store: &Store,
    subject: PartyId,
    commitment: &[u8; COMMITMENT_BYTES],
) -> Result<Option<Row>, StoreError> {
    store.side_get(Side::Private, &key(subject, commitment))
}

/// A party's texts from a commitment on, until the visitor says stop.
///
/// # Errors
/// [`StoreError`] when one can't be read.
pub fn scan(
    store: &Store,
    subject: PartyId,
    from: &[u8],
    mut visit: impl FnMut(&[u8], Row) -> bool,
) -> Result<(), StoreError> {
    let prefix = subject.to_compact();
    let from = [&prefix[..], from].concat();
    store
        .view()
        .side_scan(Side::Private, &prefix, &from, |key, row| {
            visit(key.get(prefix.len()..).unwrap_or_default(), row)
        })
}

fn erase(
    store: &Store,
    subject: PartyId,
    commitment: &[u8; COMMITMENT_BYTES],
) -> Result<(), StoreError> {
    let row = get(store, subject, commitment)?;
    if let Some(row) = row.filter(|row| row.kept.is_some()) {
        let mut changes = SideChanges::default();
        changes.put(key(subject, commitment), &Row { kept: None, ..row })?;
        store.side_erase(Side::Private, changes)?;
    }
    Ok(())
}

/// Takes off the disk what was erased and may still lie there. When this returns, no file of the store holds
/// it, unless a read was under way: then the next one takes it off.
///
/// # Errors
/// [`StoreError`] as RocksDB reports it.
pub fn scrub(store: &Store) -> Result<(), StoreError> {
    if store.side_owes_scrub(Side::Private)? {
        store.side_scrub(Side::Private)?;
    }
    Ok(())
}

/// Erases what was kept long enough, says how many texts that were, and makes up for what an erasure
/// could not take off the disk.
///
/// # Errors
/// [`StoreError`] as RocksDB reports it.
pub fn sweep(store: &Store, now: Millis, retention: &Retention) -> Result<usize, StoreError> {
    let mut swept = 0;
    loop {
        let alone = store.side_guard();
        let (count, changes) = over(store, now, retention)?;
        if count > 0 {
            store.side_erase(Side::Private, changes)?;
            swept += count;
        }
        drop(alone);
        if count < MAX_SWEPT {
            scrub(store)?;
            return Ok(swept);
        }
    }
}

/// Texts that were kept long enough, at most [`MAX_SWEPT`].
fn over(
    store: &Store,
    now: Millis,
    retention: &Retention,
) -> Result<(usize, SideChanges), StoreError> {
    let mut changes = SideChanges::default();
    let mut count = 0;
    let mut failed = None;
    store
        .view()
        .side_scan(Side::Private, &[], &[], |key, row: Row| {
            if row.kept.is_some() && retention.until(row.class, row.put) <= now {
                count += 1;
                failed = changes.put(key.to_vec(), &Row { kept: None, ..row }).err();
            }
            failed.is_none() && count < MAX_SWEPT
        })?;
    match failed {
        Some(error) => Err(error),
        None => Ok((count, changes)),
    }
}
