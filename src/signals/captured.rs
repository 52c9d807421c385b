//! Which entries each party signed, and which of them came as events with an id: so that a party finds its own
//! without going through the log, and an event is found by its id.
//!
//! | key | value |
//! |---|---|
//! | `N` | entries that were looked at for this |
//! | `n`, party, entry | that entry and further ones, as the distances from each to the next |
//! | `q`, digest of the eventID, party, entry | [`Captured`] |
//!
//! What one step finds of a party is one row: a row for each entry would cost as much as all else that early warning
//! does. Rows of a party don't overlap, so that they are in the order of their entries.

use std::collections::HashMap;

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

const LOOKED_AT: &[u8] = b"N";

/// Rows to be written.
pub(super) struct Captures {
    /// Entries that were looked at. A ledger that is older than these rows has all to look at again.
    pub looked_at: u64,
    /// Entries of each party, in order.
    signed: HashMap<PartyId, Vec<u64>>,
    events: Vec<(Vec<u8>, Captured)>,
}

impl Captures {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let looked_at = store.side_get(Side::Signals, LOOKED_AT)?;
        Ok(Self::from(looked_at.unwrap_or_default()))
    }

    fn from(looked_at: u64) -> Self {
        Self {
            looked_at,
            signed: HashMap::new(),
            events: Vec::new(),
        }
    }

    /// Notes a party's record. It lies after those that were noted before.
    pub(super) fn note(&mut self, party: PartyId, index: LogIndex, gist: &Gist) {
        let entries = self.signed.entry(party).or_default();
        debug_assert!(entries.last().is_none_or(|last| *last < index.0));
        entries.push(index.0);
        let Some(context) = gist.context.as_ref().filter(|of| !of.event_id.is_empty()) else {
            return;
        };
        let row = Captured {
            is_error_declaration: context.error_declaration.is_some(),
        };
        let id = of_event(&context.event_id);
        let key = [&*id, &*party.to_compact(), &index.0.to_be_bytes()];
        self.events.push((key.concat(), row));
    }

    pub(super) fn put(self, changes: &mut SideChanges) -> Result<(), StoreError> {
        changes.put(LOOKED_AT.to_vec(), &self.looked_at)?;
        for (party, entries) in self.signed {
            let [first, ..] = entries[..] else { continue };
            let distances: Vec<u64> = entries.windows(2).map(|two| two[1] - two[0]).collect();
            changes.put(signed_key(&party, first), &distances)?;
        }
        for (key, row) in self.events {
            changes.put(key, &row)?;
        }
        Ok(())
    }
}

fn of_party(party: &PartyId) -> Vec<u8> {
    [b"n".as_slice(), party.to_compact().as_slice()].concat()
}

fn signed_key(party: &PartyId, first: u64) -> Vec<u8> {
    [of_party(party).as_slice(), &first.to_be_bytes()].concat()
}

/// The entries of a party's row.
fn entries_of(key: &[u8], distances: &[u64]) -> Vec<u64> {
    let mut last = number_at_end(key).0;
    let further = distances.iter().map(|distance| {
        last = last.saturating_add(*distance);
        last
    });
    std::iter::once(number_at_end(key).0)
        .chain(further)
        .collect()
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
    if back {
        let Some(last) = from.0.checked_sub(1) else {
            return Ok(());
        };
        let last = signed_key(party, last);
        return view.side_scan_back(Side::Signals, &prefix, &last, |key, row: Vec<u64>| {
            let entries = entries_of(key, &row).into_iter().rev();
            let mut before = entries.skip_while(|entry| *entry >= from.0);
            before.all(|entry| visit(LogIndex(entry)))
        });
    }
    let mut from_on = |key: &[u8], row: Vec<u64>| {
        let entries = entries_of(key, &row).into_iter();
        let mut entries = entries.skip_while(|entry| *entry < from.0);
        entries.all(|entry| visit(LogIndex(entry)))
    };
    // The first ones may lie in a row that begins before them.
    let begun = signed_key(party, from.0);
    let mut go_on = true;
    view.side_scan_back(Side::Signals, &prefix, &begun, |key, row| {
        go_on = from_on(key, row);
        false
    })?;
    let Some(next) = from.0.checked_add(1).filter(|_| go_on) else {
        return Ok(());
    };
    let next = signed_key(party, next);
    view.side_scan(Side::Signals, &prefix, &next, from_on)
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
    use proptest::prelude::*;

    use super::super::gist::Context;
    use super::*;
    use crate::store::StoreOptions;

    fn party(number: usize) -> PartyId {
        let parties = ["uscc:91350100M000100Y43", "uscc:91110000802100433B"];
        parties[number].parse().unwrap()
    }

    fn write(store: &Store, captures: Captures) {
        let mut changes = SideChanges::default();
        captures.put(&mut changes).unwrap();
        store.side_write(Side::Signals, changes).unwrap();
    }

    #[test]
    fn only_records_with_an_event_id_are_found_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path(), &StoreOptions::default()).unwrap();
        let mut captures = Captures::from(0);
        captures.note(party(0), LogIndex(7), &Gist::default());
        let context = Context {
            event_id: "urn:uuid:1".into(),
            error_declaration: None,
        };
        let gist = Gist {
            context: Some(context),
            ..Gist::default()
        };
        captures.note(party(0), LogIndex(8), &gist);
        write(&store, captures);
        let view = store.view();
        let mut found = Vec::new();
        let visit = |index, _| {
            found.push(index);
            true
        };
        captured_as(&view, "urn:uuid:1", None, visit).unwrap();
        assert_eq!(found, [LogIndex(8)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Each step begins where the last one ended.
        #[test]
        fn a_party_finds_its_own_both_ways_from_anywhere(
            steps in proptest::collection::vec(proptest::collection::vec(0usize..3, 0..9), 1..12),
            from in 0u64..64,
            most in 1usize..9,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::create(folder.path(), &StoreOptions::default()).unwrap();
            let mut next = 0;
            for signers in &steps {
                let mut captures = Captures::from(0);
                for signer in signers {
                    if *signer < 2 {
                        captures.note(party(*signer), LogIndex(next), &Gist::default());
                    }
                    next += 1;
                }
                write(&store, captures);
            }
            let signers = steps.concat();
            let view = store.view();
            for number in 0..2 {
                for back in [false, true] {
                    let all = (0..).zip(&signers).filter(|(_, signer)| **signer == number);
                    let all = all.map(|(index, _)| LogIndex(index));
                    let wanted: Vec<_> = if back {
                        let before: Vec<_> = all.filter(|index| index.0 < from).collect();
                        before.into_iter().rev().take(most).collect()
                    } else {
                        all.filter(|index| index.0 >= from).take(most).collect()
                    };
                    let mut found = Vec::new();
                    captured_by(&view, &party(number), LogIndex(from), back, |index| {
                        found.push(index);
                        found.len() < most
                    }).unwrap();
                    prop_assert_eq!(found, wanted);
                }
            }
        }
    }
}
