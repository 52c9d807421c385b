//! The units of a record, read where they lie.
//!
//! A pallet's record names hundreds of units. Decoded as messages of their own, each is two pieces of memory that are
//! made, looked at once and dropped; so the units that are written as everybody writes them are read right from the
//! payload, and the rest of the record is decoded around them. What is written in any other way is left where it is, for
//! the decoder of messages to understand or to refuse.

use prost::bytes::Buf;

/// Field 9 of a `Record`, of wire type 2 (length-delimited).
const UNITS: u8 = 9 << 3 | 2;
/// Fields 1 and 2 of a `UnitRef`, likewise.
const ID: u8 = 1 << 3 | 2;
const PREV: u8 = 2 << 3 | 2;

/// A unit as it is written: its id, and the head of its chain.
pub(super) type Written<'a> = (&'a str, &'a [u8]);

/// The first units of an encoded record, as far as they are written plainly, and the record without them.
pub(super) fn split(payload: &[u8]) -> (Vec<Written<'_>>, impl Buf) {
    let start = start_of_units(payload).unwrap_or(payload.len());
    let (before, mut rest) = payload.split_at(start);
    let mut units = Vec::new();
    while let Some((unit, after)) = plain_unit(rest) {
        units.push(unit);
        rest = after;
    }
    (units, before.chain(rest))
}

/// Where the first unit begins; none if what is before it can't be read.
fn start_of_units(payload: &[u8]) -> Option<usize> {
    let mut left = payload;
    while *left.first()? != UNITS {
        let key = varint(&mut left)?;
        if key >> 3 == u64::from(UNITS >> 3) {
            return None; // A unit whose key is written in more bytes than it needs comes before the plain ones.
        }
        match key & 7 {
            0 => drop(varint(&mut left)?),
            1 => drop(left.split_off(..8)?),
            2 => drop(sized(&mut left)?),
            5 => drop(left.split_off(..4)?),
            _ => return None,
        }
    }
    Some(payload.len() - left.len())
}

/// A unit that is written as `UnitRef`'s fields in their order, each at most once, and what comes after it.
fn plain_unit(payload: &[u8]) -> Option<(Written<'_>, &[u8])> {
    let mut left = payload.strip_prefix(&[UNITS])?;
    let mut unit = sized(&mut left)?.strip_prefix(&[ID])?;
    let id = std::str::from_utf8(sized(&mut unit)?).ok()?;
    let prev = match unit.split_first() {
        None => &[],
        Some((&PREV, mut prev)) => {
            let head = sized(&mut prev)?;
            if !prev.is_empty() {
                return None;
            }
            head
        }
        Some(_) => return None,
    };
    Some(((id, prev), left))
}

/// Bytes behind their length.
fn sized<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(left)?).ok()?;
    left.split_off(..length)
}

/// A number of at most 63 bits; a longer one is none that is read here.
fn varint(left: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *left.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prop::collection::vec;
    use prop::sample::Index;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::core::wire;

    fn a_unit() -> impl Strategy<Value = wire::UnitRef> {
        let unit = |(id, prev)| wire::UnitRef { id, prev };
        (".{0,9}", vec(any::<u8>(), 0..40)).prop_map(unit)
    }

    fn a_record() -> impl Strategy<Value = wire::Record> {
        let parts = (
            vec(any::<u8>(), 0..16),
            0_u64..1 << 62,
            -(1_i64 << 61)..1 << 61,
            vec(a_unit(), 0..5),
            vec(a_unit(), 0..2),
            any::<bool>(),
        );
        parts.prop_map(
            |(nonce, claimed_time_ms, clock_offset_ms, units, containers, scan)| wire::Record {
                format: 1,
                nonce,
                claimed_time_ms,
                clock_offset_ms,
                units,
                containers,
                body: scan.then(|| wire::record::Body::Scan(wire::Scan::default())),
                ..wire::Record::default()
            },
        )
    }

    /// As the record is decoded here.
    fn put_together(payload: &[u8]) -> Option<wire::Record> {
        let (units, rest) = split(payload);
        let mut record = wire::Record::decode(rest).ok()?;
        let plain = units.into_iter().map(|(id, prev)| wire::UnitRef {
            id: id.to_owned(),
            prev: prev.to_vec(),
        });
        record.units.splice(0..0, plain);
        Some(record)
    }

    #[test]
    fn given_a_unit_whose_key_is_written_long_when_split_then_it_stays_before_the_next() {
        // Two units, "a" and "b"; the first one's key takes a byte more than it needs.
        let payload = [&[0xca, 0x00, 3, ID, 1, b'a'], &[UNITS, 3, ID, 1, b'b'][..]].concat();
        let (units, rest) = split(&payload);
        let ids = wire::Record::decode(rest).unwrap().units;
        let ids: Vec<String> = ids.into_iter().map(|unit| unit.id).collect();
        assert_eq!((units.len(), ids), (0, vec!["a".into(), "b".into()]));
    }

    proptest! {
        #[test]
        fn given_a_record_when_split_then_all_its_units_are_read_in_place(record in a_record()) {
            let payload = record.encode_to_vec();
            let plain = record.units.iter().all(|unit| !unit.id.is_empty());
            let (units, rest) = split(&payload);
            let left = wire::Record::decode(rest).unwrap().units;
            prop_assert!(!plain || (units.len() == record.units.len() && left.is_empty()));
            prop_assert_eq!(put_together(&payload), Some(record));
        }

        #[test]
        fn given_any_bytes_when_split_then_they_mean_what_the_decoder_of_messages_says(
            record in a_record(),
            more in a_record(),
            changes in vec((any::<Index>(), any::<u8>(), 0_u8..3), 0..4),
        ) {
            // Fields may come in any order and again.
            let mut payload = record.encode_to_vec();
            payload.extend(more.encode_to_vec());
            for (at, byte, change) in changes {
                match change {
                    0 => *at.get_mut(&mut payload) = byte,
                    1 => payload.truncate(at.index(payload.len()).max(1)),
                    _ => payload.insert(at.index(payload.len()), byte),
                }
            }
            let meant = wire::Record::decode(&payload[..]).ok();
            prop_assert_eq!(put_together(&payload), meant);
        }
    }
}
