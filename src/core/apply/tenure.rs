//! Who held a unit when.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

use super::MAX_TENURES;
use crate::core::id::PartyId;
use crate::core::id::party::STORED_BYTES;
use crate::core::record::Millis;

/// A time in which a party held a unit, in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Who.
    pub party: PartyId,
    /// From.
    pub from: Millis,
    /// Until; open while it holds.
    pub until: Option<Millis>,
    /// That it passed the unit on is counted in its score.
    pub counted: bool,
}

/// Bytes of a tenure as it is kept: the party, from and until in eight bytes each, little endian, and flags.
const PACKED_BYTES: usize = STORED_BYTES + 8 + 8 + 1;
/// Flag of a tenure that is over: `until` means something.
const OVER: u8 = 1;
/// Flag of a tenure that is counted.
const COUNTED: u8 = 2;

type Packed = [u8; PACKED_BYTES];

impl Tenure {
    fn pack(&self) -> Packed {
        let mut packed = [0; PACKED_BYTES];
        let until = self.until.unwrap_or_default();
        let flags = if self.until.is_some() { OVER } else { 0 };
        let flags = flags | if self.counted { COUNTED } else { 0 };
        let parts = [
            &self.party.to_stored()[..],
            &self.from.0.to_le_bytes(),
            &until.0.to_le_bytes(),
            &[flags],
        ];
        for (slot, byte) in packed.iter_mut().zip(parts.iter().copied().flatten()) {
            *slot = *byte;
        }
        packed
    }

    /// None of bytes that [`Tenure::pack`] doesn't write.
    fn unpack(packed: &Packed) -> Option<Self> {
        let (party, rest) = packed.split_first_chunk::<STORED_BYTES>()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (until, flags) = rest.split_first_chunk()?;
        let flags = *flags.first()?;
        let until = Millis(u64::from_le_bytes(*until));
        Some(Self {
            party: PartyId::from_stored(party).ok()?,
            from: Millis(u64::from_le_bytes(*from)),
            until: (flags & OVER != 0).then_some(until),
            counted: flags & COUNTED != 0,
        })
    }
}

/// Who held a unit, the last [`MAX_TENURES`] times, in the order in which they came. They are kept as the unit's row has
/// them: most of who reads or changes a unit asks for none or for the last one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tenures(Vec<Packed>);

impl Tenures {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody held it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Tenure> + '_ {
        // Nothing else gets in.
        self.0.iter().filter_map(Tenure::unpack)
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<Tenure> {
        Tenure::unpack(self.0.last()?)
    }

    /// One more; of too many the first is forgotten.
    pub fn push(&mut self, tenure: Tenure) {
        if self.0.len() >= MAX_TENURES {
            self.0.remove(0);
        }
        self.0.push(tenure.pack());
    }

    /// Changes the last one, if there is one.
    pub fn change_last(&mut self, change: impl FnOnce(&mut Tenure)) {
        if let Some(last) = self.0.last_mut()
            && let Some(mut tenure) = Tenure::unpack(last)
        {
            change(&mut tenure);
            *last = tenure.pack();
        }
    }
}

impl fmt::Debug for Tenures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Tenures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_flattened())
    }
}

impl<'de> Deserialize<'de> for Tenures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(PackedVisitor)
    }
}

struct PackedVisitor;

impl Visitor<'_> for PackedVisitor {
    type Value = Tenures;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {MAX_TENURES} tenures of {PACKED_BYTES} bytes each"
        )
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Tenures, E> {
        let (packed, rest) = bytes.as_chunks::<PACKED_BYTES>();
        let are_tenures = rest.is_empty()
            && packed.len() <= MAX_TENURES
            && packed.iter().all(|packed| Tenure::unpack(packed).is_some());
        if !are_tenures {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(Tenures(packed.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Tenures, serde::de::value::Error> {
        PackedVisitor.visit_bytes(bytes)
    }

    fn tenure(n: u64) -> Tenure {
        let parties = ["uscc:91350100M000100Y43", "gln:0614141000005"];
        let party = parties[usize::from(n.is_multiple_of(2))];
        Tenure {
            party: party.parse().unwrap(),
            from: Millis(n),
            until: n.is_multiple_of(3).then_some(Millis(n + 1)),
            counted: n.is_multiple_of(5),
        }
    }

    #[test]
    fn given_tenures_when_kept_and_read_back_then_they_are_as_they_were() {
        let mut tenures = Tenures::default();
        for n in 0..20 {
            tenures.push(tenure(n));
            assert_eq!(tenures.last(), Some(tenure(n)));
        }
        let read = read(tenures.0.as_flattened()).unwrap();
        assert_eq!(read, tenures);
        assert!(read.iter().eq((0..20).map(tenure)));
    }

    #[test]
    fn given_more_than_are_kept_when_one_is_added_then_the_first_is_forgotten() {
        let mut tenures = Tenures::default();
        let most = MAX_TENURES as u64;
        (0..=most).for_each(|n| tenures.push(tenure(n)));
        assert!(tenures.iter().eq((1..=most).map(tenure)));
    }

    #[test]
    fn given_a_tenure_when_it_is_closed_then_only_the_last_one_changes() {
        let mut tenures = Tenures::default();
        tenures.change_last(|_| unreachable!());
        tenures.push(tenure(1));
        tenures.push(tenure(2));
        tenures.change_last(|last| last.until = Some(Millis(9)));
        let closed = Tenure {
            until: Some(Millis(9)),
            ..tenure(2)
        };
        assert!(tenures.iter().eq([tenure(1), closed]));
    }

    #[test]
    fn given_bytes_that_are_no_tenures_when_read_then_they_are_refused() {
        let many = vec![tenure(1).pack(); MAX_TENURES + 1];
        let cut = &many.as_flattened()[..PACKED_BYTES - 1];
        let nobody = [0; PACKED_BYTES];
        for bytes in [cut, many.as_flattened(), &nobody] {
            assert!(read(bytes).is_err());
        }
    }
}
