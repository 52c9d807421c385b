//! What an entry is in bytes: the envelope, the ledger's time, and the verdict.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, key_len, message, uint32, uint64,
};

use crate::core::envelope::Envelope;
use crate::core::record::Millis;
use crate::core::rules::{Break, FindingKind};
use crate::core::wire;

/// Version of the entry format.
pub const ENTRY_FORMAT: u32 = 1;
/// Most bytes of an encoded verdict, so that an entry always fits an entry bundle.
pub const MAX_VERDICT_BYTES: usize = 16_000;

/// Findings by rule and proof, with the subjects that they are about.
pub(super) type Findings = BTreeMap<(FindingKind, Break), Vec<u32>>;

/// The verdict of an entry. Equal findings share a row; if it is too large all the same, findings
/// of one kind share a row with the evidence of the first.
pub(super) fn verdict(findings: &Findings, beside: &[u32]) -> wire::Verdict {
    use prost::Message as _;
    let row = |kind: FindingKind, proof: &Break, subjects: &[u32]| wire::Finding {
        kind: i32::from(kind.number()),
        subjects: ranges(subjects),
        evidence: proof.evidence.iter().map(|index| index.0).collect(),
        measured: proof.measured,
        limit: proof.limit,
    };
    let mut verdict = wire::Verdict {
        findings: findings
            .iter()
            .map(|((kind, proof), s)| row(*kind, proof, s))
            .collect(),
        beside: ranges(beside),
        merged: false,
    };
    if verdict.encoded_len() > MAX_VERDICT_BYTES {
        verdict.merged = true;
        let mut by_kind: BTreeMap<FindingKind, (&Break, Vec<u32>)> = BTreeMap::new();
        for ((kind, proof), subjects) in findings {
            by_kind
                .entry(*kind)
                .or_insert((proof, Vec::new()))
                .1
                .extend(subjects);
        }
        verdict.findings = by_kind
            .into_iter()
            .map(|(kind, (proof, mut subjects))| {
                subjects.sort_unstable();
                row(kind, proof, &subjects)
            })
            .collect();
    }
    debug_assert!(
        verdict.encoded_len() <= MAX_VERDICT_BYTES,
        "a verdict fits its entry"
    );
    verdict
}

/// Ascending numbers as pairs (first, count).
fn ranges(numbers: &[u32]) -> Vec<u32> {
    let mut pairs: Vec<u32> = Vec::new();
    for &number in numbers {
        match pairs.as_mut_slice() {
            [.., first, count] if *first + *count == number => *count += 1,
            _ => pairs.extend([number, 1]),
        }
    }
    pairs
}

/// Whether pairs (first, count) cover a number.
#[must_use]
pub fn ranges_cover(pairs: &[u32], number: u32) -> bool {
    pairs.chunks_exact(2).any(|pair| {
        number >= pair[0] && u64::from(number) < u64::from(pair[0]) + u64::from(pair[1])
    })
}

/// The bytes of an entry: the leaf's input.
#[must_use]
pub fn encode_entry(envelope: &Envelope, time: Millis, verdict: &wire::Verdict) -> Bytes {
    let mut bytes = Vec::new();
    put_entry(envelope, time, verdict, &mut bytes);
    Bytes::from(bytes)
}

/// Adds the bytes of an entry, which are those of the message `Entry`: it takes no piece of memory for each part, as the
/// message does.
pub fn put_entry(envelope: &Envelope, time: Millis, verdict: &wire::Verdict, bytes: &mut Vec<u8>) {
    // None of them is ever empty; else it would not be there.
    let parts: [(u32, &[u8]); 3] = [
        (1, &envelope.payload),
        (2, &envelope.key_id.0),
        (3, &envelope.signature),
    ];
    let length = |(tag, part): &(u32, &[u8])| {
        key_len(*tag) + encoded_len_varint(part.len() as u64) + part.len()
    };
    let envelope_bytes = parts.iter().map(length).sum::<usize>();
    let frame = [
        uint32::encoded_len(1, &ENTRY_FORMAT),
        key_len(2),
        encoded_len_varint(envelope_bytes as u64),
        uint64::encoded_len(3, &time.0),
        message::encoded_len(4, verdict),
    ];
    bytes.reserve(frame.iter().sum::<usize>() + envelope_bytes);
    uint32::encode(1, &ENTRY_FORMAT, bytes);
    encode_key(2, WireType::LengthDelimited, bytes);
    encode_varint(envelope_bytes as u64, bytes);
    for (tag, part) in parts {
        encode_key(tag, WireType::LengthDelimited, bytes);
        encode_varint(part.len() as u64, bytes);
        bytes.extend_from_slice(part);
    }
    if time.0 != 0 {
        uint64::encode(3, &time.0, bytes);
    }
    message::encode(4, verdict, bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::core::signature::Signer;

    #[test]
    fn ranges_hold_exactly_the_numbers() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), [0, 3, 5, 1, 7, 2]);
        for number in 0..10 {
            assert_eq!(
                ranges_cover(&[0, 3, 5, 1, 7, 2], number),
                [0, 1, 2, 5, 7, 8].contains(&number)
            );
        }
    }

    proptest! {
        /// Whatever was written before stays.
        #[test]
        fn an_entry_is_the_message_of_its_content(
            payload in proptest::collection::vec(any::<u8>(), 1..300),
            time in prop_oneof![Just(0), any::<u64>()],
            beside in proptest::collection::vec(any::<u32>(), 0..100),
            before in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let signer = Signer::from_seed(&Zeroizing::new([7; 32]));
            let envelope = Envelope {
                signature: signer.sign(&payload),
                key_id: signer.key_id(),
                payload: payload.into(),
            };
            let verdict = wire::Verdict { beside, ..wire::Verdict::default() };
            let message = wire::Entry {
                format: ENTRY_FORMAT,
                envelope: Some(envelope.to_wire()),
                time_ms: time,
                verdict: Some(verdict.clone()),
            };
            let message = prost::Message::encode_to_vec(&message);
            prop_assert_eq!(&encode_entry(&envelope, Millis(time), &verdict), &message);
            let mut bytes = before.clone();
            put_entry(&envelope, Millis(time), &verdict, &mut bytes);
            prop_assert_eq!(bytes, [before, message].concat());
        }
    }
}
