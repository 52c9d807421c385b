//! The fields that many records share.

use super::units::Written;
use super::{Checked, MAX_WEIGHT_GRAMS};
use crate::core::envelope::RecordId;
use crate::core::id::{LocationId, UnitId};
use crate::core::record::values::{Millis, Position, Region};
use crate::core::record::{MAX_UNITS, Place, UnitRef};
use crate::core::refusal::Refusal;
use crate::core::signature::{KeyId, PublicKey, SIGNATURE_BYTES};
use crate::core::wire;

pub(super) fn unit_refs<'a, Refs: FromIterator<UnitRef>>(
    refs: impl Iterator<Item = Written<'a>> + Clone,
    field: &str,
    max: usize,
) -> Checked<Refs> {
    let count = refs.clone().count();
    if count > max {
        return Err(Refusal::field(
            field,
            format!("{count} units in one record, at most {max}; split it"),
        ));
    }
    refs.enumerate()
        .map(|(i, unit)| {
            // The path is needed only by who is refused.
            ref_of(unit).map_err(|refusal| {
                let path = format!("{field}[{i}].{}", refusal.field);
                refusal.at(path)
            })
        })
        .collect()
}

pub(super) fn unit_ref(unit: &wire::UnitRef, field: &str) -> Checked<UnitRef> {
    ref_of(written(unit)).map_err(|refusal| {
        let path = format!("{field}.{}", refusal.field);
        refusal.at(path)
    })
}

pub(super) fn written(unit: &wire::UnitRef) -> Written<'_> {
    (&unit.id, &unit.prev)
}

fn ref_of((id, prev): Written<'_>) -> Checked<UnitRef> {
    let prev = match prev.len() {
        0 => None,
        _ => Some(
            RecordId::from_slice(prev)
                .ok_or_else(|| Refusal::field("prev", "a record id has 32 bytes, or none"))?,
        ),
    };
    Ok(UnitRef {
        id: unit_id(id, "id")?,
        prev,
    })
}

pub(super) fn unit_id(text: &str, field: &str) -> Checked<UnitId> {
    text.parse().map_err(
        |error: crate::core::id::IdError| match UnitId::parse_any(text) {
            Ok(unit) => Refusal::field(
                field,
                format!("a record names units canonically; write {unit} ({error})"),
            ),
            Err(error) => Refusal::field(field, error.to_string()),
        },
    )
}

pub(super) fn unit_ids(texts: &[String], field: &str) -> Checked<Vec<UnitId>> {
    if texts.len() > MAX_UNITS {
        return Err(Refusal::field(field, format!("at most {MAX_UNITS}")));
    }
    texts
        .iter()
        .enumerate()
        .map(|(i, text)| unit_id(text, &format!("{field}[{i}]")))
        .collect()
}

pub(super) fn text(value: &str, field: &str, min: usize, max: usize) -> Checked<()> {
    if !(min..=max).contains(&value.len()) {
        return Err(Refusal::field(
            field,
            format!("{} bytes, not {min} to {max}", value.len()),
        ));
    }
    if value
        .chars()
        .any(|letter| letter.is_control() || is_unseen(letter))
    {
        return Err(Refusal::field(
            field,
            "control characters and invisible ones are not allowed",
        ));
    }
    Ok(())
}

/// Letters that nobody sees and that change how others are read: the direction of a text, its width, its lines.
/// People read texts of strangers side by side with the ledger's own.
const fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

pub(super) fn optional<T>(
    value: &str,
    parse: impl FnOnce(&str) -> Checked<T>,
) -> Checked<Option<T>> {
    if value.is_empty() {
        Ok(None)
    } else {
        parse(value).map(Some)
    }
}

pub(super) fn id<T: std::str::FromStr<Err = crate::core::id::IdError>>(
    value: &str,
    field: &str,
) -> Checked<T> {
    value
        .parse()
        .map_err(|error: T::Err| Refusal::field(field, error.to_string()))
}

pub(super) fn place(place: wire::Place) -> Checked<Place> {
    if place == wire::Place::default() {
        return Err(Refusal::field("place", "the place is empty; leave it out"));
    }
    text(&place.city, "place.city", 0, 64)?;
    let position = place.position.map(position).transpose()?;
    if !place.location.is_empty() {
        id::<LocationId>(&place.location, "place.location")?;
    }
    Ok(Place {
        position,
        region: optional(&place.region, |r| Region::parse(r, "place.region"))?,
        city: place.city.into(),
    })
}

pub(super) fn position(position: wire::Position) -> Checked<Position> {
    if position.latitude_e7.unsigned_abs() > 900_000_000 {
        return Err(Refusal::field(
            "place.position.latitude_e7",
            "beyond a pole",
        ));
    }
    if position.longitude_e7.unsigned_abs() > 1_800_000_000 {
        return Err(Refusal::field(
            "place.position.longitude_e7",
            "beyond 180 degrees",
        ));
    }
    Ok(Position {
        latitude_e7: position.latitude_e7,
        longitude_e7: position.longitude_e7,
    })
}

pub(super) fn until(ms: u64, field: &str) -> Checked<Option<Millis>> {
    if ms > Millis::MAX.0 {
        return Err(Refusal::field(field, "the time lies after the year 2199"));
    }
    Ok((ms > 0).then_some(Millis(ms)))
}

pub(super) fn public_key(key: Option<&wire::PublicKey>, field: &str) -> Checked<PublicKey> {
    let key = key.ok_or_else(|| Refusal::field(field, "name the public key"))?;
    PublicKey::parse(key.suite, &key.public_key)
        .map_err(|error| Refusal::field(field, error.to_string()))
}

pub(super) fn key_id(bytes: &[u8], field: &str) -> Checked<KeyId> {
    KeyId::from_slice(bytes).ok_or_else(|| Refusal::field(field, "a key id has 16 bytes"))
}

pub(super) fn signature(bytes: &[u8], field: &str) -> Checked<[u8; SIGNATURE_BYTES]> {
    bytes
        .try_into()
        .map_err(|_| Refusal::field(field, "a signature has 64 bytes"))
}

pub(super) fn digest(digest: &wire::Digest, field: &str) -> Checked<()> {
    if digest.algorithm() == wire::DigestAlgorithm::Unspecified || digest.value.len() != 32 {
        return Err(Refusal::field(
            field,
            "name the algorithm and give its 32 bytes",
        ));
    }
    Ok(())
}

pub(super) fn needed_digest(value: Option<&wire::Digest>, field: &str) -> Checked<()> {
    let value = value.ok_or_else(|| Refusal::field(field, "give the document's digest"))?;
    digest(value, field)
}

pub(super) fn weight(grams: u64, field: &str) -> Checked<u64> {
    if grams > MAX_WEIGHT_GRAMS {
        return Err(Refusal::field(field, "more than a thousand tonnes"));
    }
    Ok(grams)
}

pub(super) fn known_enum<E: TryFrom<i32>>(number: i32, field: &str) -> Checked<E> {
    E::try_from(number).map_err(|_| Refusal::field(field, format!("unknown value {number}")))
}
