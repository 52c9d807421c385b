//! Which entries each party signed, and which of them came as events with an id: so that a party finds its own
//! without going through the log, and an event is found by its id.
//!
//! | key | value |
//! |---|---|
//! | `C` | entries that were looked at for this |
//! | `p`, party, entry | [`Captured`] |
//! | `q`, digest of the eventID, party, entry | [`Captured`] |

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::gist::Gist;
use crate::core::id::PartyId;
use crate::core::tlog::LogIndex;
use crate::store::{Side, SideChanges, Store, StoreError, View};

/// Of the digest of an eventID so much is kept.
const DIGEST: usize = 16;

/// What is noted of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// It takes back the event of the same id.
    pub is_error_declaration: bool,
}

const LOOKED_AT: &[u8] = b"C";

/// Rows to be written.
pub(super) struct Captures {
    /// Entries that were looked at. A ledger that is older than these rows has all to look at again.
    pub looked_at: u64,
    rows: Vec<(Vec<u8>, Captured)>,
}

impl Captures {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            looked_at: store
                .side_get(Side::Signals, LOOKED_AT)?
                .unwrap_or_default(),
            rows: Vec::new(),
        })
    }

    /// Notes a party's record.
    pub(super) fn note(&mut self, party: PartyId, index: LogIndex, gist: &Gist) {
        let context = gist.context.as_ref();
        let row = Captured {
            is_error_declaration: context.is_some_and(|of| of.error_declaration.is_some()),
        };
        let number = index.0.to_be_bytes();
        let mut key = of_party(&party);
        key.extend_from_slice(&number);
        self.rows.push((key, row));
        let id = context.map_or("", |of| of.event_id.as_str());
        if !id.is_empty() {
            let key = [&*of_event(id), &*party.to_compact(), &number];
            self.rows.push((key.concat(), row));
        }
    }

    pub(super) fn put(self, changes: &mut SideChanges) -> Result<(), StoreError> {
        changes.put(LOOKED_AT.to_vec(), &self.looked_at)?;
        for (key, row) in self.rows {
            changes.put(key, &row)?;
        }
        Ok(())
    }
}

fn of_party(party: &PartyId) -> Vec<u8> {
    [b"p".as_slice(), party.to_compact().as_slice()].concat()
}

fn of_event(id: &str) -> Vec<u8> {
    [b"q".as_slice(), &Sha256::digest(id.as_bytes())[..DIGEST]].concat()
}

fn number_at_end(key: &[u8]) -> LogIndex {
    LogIndex(
        key.last_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes)),
    )
}

/// Entries that were looked at; those after them have no rows yet.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn looked_at(view: &View<'_>) -> Result<u64, StoreError> {
    let mut entries = 0;
    view.side_scan(Side::Signals, LOOKED_AT, LOOKED_AT, |_, row| {
        entries = row;
        false
    })?;
    Ok(entries)
}

/// Entries of a party from an index on, or back from before one, until the visitor says stop.
///
/// # Errors
/// [`StoreError`] when a row can't be read.
pub fn captured_by(
    view: &View<'_>,
    party: &PartyId,
    from: LogIndex,
    back: bool,
    mut visit: impl FnMut(LogIndex) -> bool,
) -> Result<(), StoreError> {
    let prefix = of_party(party);
    if !back {
        let from = [prefix.as_slice(), &from.0.to_be_bytes()].concat();
        return view.side_scan(Side::Signals, &prefix, &from, |key, _: Captured| {
            visit(number_at_end(key))
        });
    }
    let Some(last) = from.0.checked_sub(1) else {
        return Ok(());
    };
    let from = [prefix.as_slice(), &last.to_be_bytes()].concat();
    view.side_scan_back(Side::Signals, &prefix, &from, |key, _: Captured| {
        visit(number_at_end(key))
    })
}

/// Entries whose event has an id, of one party or of all, in the order of parties and entries.
///
/// # Errors
/// [`StoreError`] when a row can't be read.
pub fn captured_as(
    view: &View<'_>,
    event_id: &str,
    party: Option<&PartyId>,
    mut visit: impl FnMut(LogIndex, Captured) -> bool,
) -> Result<(), StoreError> {
    let mut prefix = of_event(event_id);
    if let Some(party) = party {
        prefix.extend_from_slice(&party.to_compact());
    }
    view.side_scan(Side::Signals, &prefix, &prefix, |key, row| {
        visit(number_at_end(key), row)
    })
}

#[cfg(test)]
mod tests {
    use super::super::gist::Context;
    use super::*;

    #[test]
    fn only_records_with_an_event_id_are_found_by_one() {
        let party: PartyId = "uscc:91350100M000100Y43".parse().unwrap();
        let mut captures = Captures {
            looked_at: 0,
            rows: Vec::new(),
        };
        captures.note(party, LogIndex(7), &Gist::default());
        assert_eq!(captures.rows.len(), 1);
        assert_eq!(number_at_end(&captures.rows[0].0), LogIndex(7));
        let context = Context {
            event_id: "urn:uuid:1".into(),
            error_declaration: None,
        };
        let gist = Gist {
            context: Some(context),
            ..Gist::default()
        };
        captures.note(party, LogIndex(8), &gist);
        assert_eq!(captures.rows.len(), 3);
    }
}
