//! The one rule by which Ed25519 signatures are accepted, on the edge cases that are known.
//!
//! The rule is that of ZIP 215 (see `core::signature`). On every vector the answer alone and the
//! answer in a batch are compared, since two honest verifiers must never disagree.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use custody::core::signature::{
    BatchItem, DecodedKey, KeyError, KeyRef, PublicKey, SIGNATURE_BYTES, Signer, verify_batch,
    verify_single,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

/// A vector: who, what, and the signature.
#[derive(Clone, Debug)]
struct Vector {
    key: [u8; 32],
    message: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

impl Vector {
    fn signed(seed: u8, message: &[u8]) -> Self {
        let signer = Signer::from_seed(&Zeroizing::new([seed; 32]));
        Self {
            key: *signer.public_key().as_bytes(),
            message: message.to_vec(),
            signature: signer.sign(message),
        }
    }

    fn alone(&self) -> bool {
        verify_single(&self.key, &self.message, &self.signature)
    }

    fn item(&self) -> BatchItem<'_> {
        let (beginning, rest) = self.message.split_at(self.message.len() / 3);
        BatchItem {
            key: KeyRef::Bytes(&self.key),
            message: [beginning, rest],
            signature: &self.signature,
        }
    }
}

/// The answers; the same whether the keys were decoded before or not.
fn batch(vectors: &[Vector]) -> Vec<bool> {
    let mut items: Vec<_> = vectors.iter().map(Vector::item).collect();
    let answers = verify_batch(&items);
    let keys: Vec<_> = vectors.iter().map(|one| DecodedKey::new(one.key)).collect();
    for (item, key) in items.iter_mut().zip(&keys) {
        item.key = key.as_ref().map_or(item.key, KeyRef::Decoded);
    }
    assert_eq!(verify_batch(&items), answers, "with decoded keys");
    answers
}

/// The batch gives each vector the answer that it gets alone: in a batch of its own, twice in one
/// (so that the batch equation itself is asked), among good ones, and all together.
fn assert_batch_equals_single(vectors: &[Vector]) {
    let good = [Vector::signed(1, b"one"), Vector::signed(2, b"two")];
    for vector in vectors {
        let alone = vector.alone();
        assert_eq!(batch(std::slice::from_ref(vector)), [alone]);
        assert_eq!(batch(&[vector.clone(), vector.clone()]), [alone, alone]);
        let among = [good[0].clone(), vector.clone(), good[1].clone()];
        assert_eq!(batch(&among), [true, alone, true], "{vector:?}");
    }
    let alone: Vec<bool> = vectors.iter().map(Vector::alone).collect();
    assert_eq!(batch(vectors), alone, "all in one batch");
    let accepted: Vec<Vector> = vectors
        .iter()
        .filter(|vector| vector.alone())
        .cloned()
        .collect();
    assert!(
        batch(&accepted).into_iter().all(|accepted| accepted),
        "all that are accepted"
    );
}

/// What the equation of ZIP 215 says, computed from the group itself: no code is shared with what
/// it is compared to but the curve's arithmetic.
fn zip215(vector: &Vector) -> bool {
    let facts = Facts::of(vector);
    facts.holds_with_cofactor == Some(true)
}

/// What is known of a vector.
#[derive(Debug, PartialEq)]
struct Facts {
    key: Option<Order>,
    r: Option<Order>,
    s_is_reduced: bool,
    /// `[S]B = R + [k]A`.
    holds_without_cofactor: Option<bool>,
    /// `[8][S]B = [8]R + [8][k]A`.
    holds_with_cofactor: Option<bool>,
}

/// The order of a point: a divisor of 8, the prime, or a product of both.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Small,
    Prime,
    Mixed,
}

impl Facts {
    fn of(vector: &Vector) -> Self {
        let (r, s) = vector.signature.split_at(32);
        let decode = |bytes: &[u8]| CompressedEdwardsY::from_slice(bytes).unwrap().decompress();
        let (a, r_point) = (decode(&vector.key), decode(r));
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().unwrap()));
        let mut hash = Sha512::new();
        hash.update(r);
        hash.update(vector.key);
        hash.update(&vector.message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        // k is reduced modulo the prime; that changes [k]A by torsion, which [8] takes away, and
        // is how the libraries that don't multiply compute it too.
        let rest = a
            .zip(r_point)
            .zip(s)
            .map(|((a, r), s)| ED25519_BASEPOINT_POINT * s - r - a * k);
        Self {
            key: a.map(|point| order(&point)),
            r: r_point.map(|point| order(&point)),
            s_is_reduced: s.is_some(),
            holds_without_cofactor: rest.map(|rest| rest.is_identity()),
            holds_with_cofactor: rest.map(|rest| rest.is_small_order()),
        }
    }
}

fn order(point: &EdwardsPoint) -> Order {
    if point.is_small_order() {
        Order::Small
    } else if point.is_torsion_free() {
        Order::Prime
    } else {
        Order::Mixed
    }
}

/// Wycheproof cases whose expected result is not that of ZIP 215, by tcId.
///
/// 151: R is the neutral element, encoded with the sign bit set ("negative zero"). RFC 8032 fails
/// to decode it; ZIP 215 allows every encoding whose y gives a point, and hashes it as it stands.
/// Only the key's own holder can make such a signature (the key has prime order), and it changes
/// the record's signature, not its id.
const WYCHEPROOF_DIFFERENCES: &[usize] = &[151];

#[test]
fn given_the_wycheproof_vectors_when_checked_then_each_is_answered_as_zip_215_says() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut vectors = Vec::new();
    let (mut cases, mut wrong_lengths) = (0, 0);
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        for test in &group.tests {
            cases += 1;
            let valid = !test.result.must_fail();
            let name = format!("tcId {}: {}", test.tc_id, test.comment);
            // A signature of another length gets no further than the envelope.
            let Ok(signature) = <[u8; SIGNATURE_BYTES]>::try_from(test.sig.as_slice()) else {
                assert!(!valid, "{name}");
                wrong_lengths += 1;
                continue;
            };
            let vector = Vector {
                key,
                message: test.msg.to_vec(),
                signature,
            };
            let expected = valid != WYCHEPROOF_DIFFERENCES.contains(&test.tc_id);
            assert_eq!(vector.alone(), expected, "{name}");
            assert_eq!(vector.alone(), zip215(&vector), "{name}");
            vectors.push(vector);
        }
    }
    assert_eq!(cases, set.number_of_tests, "every case was looked at");
    assert!(vectors.len() > 100 && wrong_lengths > 0);
    assert_batch_equals_single(&vectors);
}

/// The cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko; SSR 2020, section 5),
/// and what ZIP 215 says to each. A is the key, `[8]` the multiplication by the cofactor.
const SPECCHECK: [(bool, &str); 12] = [
    (
        true,
        "A and R have small order and S is 0: all vanishes; such a key can't be registered",
    ),
    (
        true,
        "A has small order: it vanishes under [8], the rest is right for every message",
    ),
    (true, "R has small order, A mixed: holds even without [8]"),
    (true, "A and R have mixed order: holds even without [8]"),
    (true, "A and R have mixed order: holds with [8] only"),
    (
        true,
        "A has mixed order: holds with [8] only, whether k is reduced before or after",
    ),
    (
        false,
        "S is not below the group order: else everybody could make a second signature",
    ),
    (
        false,
        "S is far above the group order: the same, for checks of its top bits only",
    ),
    (
        false,
        "R is not canonical, and right only if it is made so before it is hashed",
    ),
    (true, "R is not canonical, and right as it stands"),
    (
        true,
        "A has small order and is not canonical: it vanishes under [8], whatever is hashed",
    ),
    (
        true,
        "the same, right as it stands; such a key can't be registered",
    ),
];

fn speccheck_vectors() -> Option<Vec<Vector>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/data/ed25519/speccheck-cases.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: the speccheck cases are not at {path}");
        return None;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let vector = |case: &serde_json::Value| {
        let bytes = |field: &str| hex::decode(case[field].as_str().unwrap()).unwrap();
        Vector {
            key: bytes("pub_key").try_into().unwrap(),
            message: bytes("message"),
            signature: bytes("signature").try_into().unwrap(),
        }
    };
    Some(cases.iter().map(vector).collect())
}

#[test]
fn given_the_speccheck_cases_when_checked_then_each_is_answered_as_zip_215_says() {
    let Some(vectors) = speccheck_vectors() else {
        return;
    };
    assert_eq!(vectors.len(), SPECCHECK.len());
    for (n, (vector, (expected, why))) in vectors.iter().zip(SPECCHECK).enumerate() {
        assert_eq!(vector.alone(), expected, "case {n}: {why}");
        assert_eq!(zip215(vector), expected, "case {n}: {why}");
    }
    assert_batch_equals_single(&vectors);
}

#[test]
fn given_the_speccheck_cases_when_looked_into_then_they_are_what_the_reasons_say() {
    use Order::{Mixed, Prime, Small};
    let Some(vectors) = speccheck_vectors() else {
        return;
    };
    let facts: Vec<Facts> = vectors.iter().map(Facts::of).collect();
    let orders: Vec<_> = facts
        .iter()
        .map(|f| (f.key.unwrap(), f.r.unwrap()))
        .collect();
    let mixed = (Mixed, Mixed);
    let expected = [
        (Small, Small),
        (Small, Mixed),
        (Mixed, Small),
        mixed,
        mixed,
        (Mixed, Prime),
        (Prime, Prime),
        (Prime, Prime),
        (Mixed, Small),
        (Mixed, Small),
        (Small, Mixed),
        (Small, Mixed),
    ];
    assert_eq!(orders, expected);
    let reduced: Vec<bool> = facts.iter().map(|f| f.s_is_reduced).collect();
    assert_eq!(
        reduced,
        [
            true, true, true, true, true, true, false, false, true, true, true, true
        ]
    );
    let needs_cofactor = |f: &Facts| f.holds_with_cofactor != f.holds_without_cofactor;
    let cases: Vec<usize> = (0..12).filter(|n| needs_cofactor(&facts[*n])).collect();
    assert_eq!(cases, [4, 5, 10]);
    // Case 8 with R as RFC 8032 encodes the same point: now it is right.
    let mut canonical = vectors[8].clone();
    let r = CompressedEdwardsY::from_slice(&canonical.signature[..32]).unwrap();
    let r = r.decompress().unwrap().compress();
    assert_ne!(r.as_bytes()[..], canonical.signature[..32]);
    canonical.signature[..32].copy_from_slice(r.as_bytes());
    assert!(canonical.alone() && zip215(&canonical));
}

/// The eight points of small order, in every encoding that decodes (RFC 8032 knows eight of them).
fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut encodings = Vec::new();
    for point in curve25519_dalek::constants::EIGHT_TORSION {
        let canonical = point.compress().0;
        encodings.push(canonical);
        let y_is_below_19 = canonical[0] < 19 && canonical[1..31].iter().all(|byte| *byte == 0);
        let mut negative_zero = canonical;
        negative_zero[31] ^= 0x80;
        if CompressedEdwardsY(negative_zero).decompress() == Some(point) {
            encodings.push(negative_zero);
        }
        if y_is_below_19 && canonical[31] & 0x7f == 0 {
            // y + p, which still fits 255 bits.
            for sign in [0x7f, 0xff] {
                let mut above_p = [0xff; 32];
                above_p[0] = canonical[0] + 0xed;
                above_p[31] = sign;
                encodings.push(above_p);
            }
        }
    }
    encodings.sort_unstable();
    encodings.dedup();
    encodings
}

#[test]
fn given_a_key_of_small_order_when_registered_then_it_is_refused_in_every_encoding() {
    let encodings = small_order_encodings();
    assert_eq!(encodings.len(), 14, "8 canonical, 6 that are not");
    for encoding in encodings {
        let error = PublicKey::parse(1, &encoding).unwrap_err();
        assert_eq!(error, KeyError::SmallOrder, "{}", hex::encode(encoding));
    }
}

#[test]
fn given_a_key_that_is_not_canonical_when_registered_then_it_is_refused() {
    // y = p + n for small n: the points that have a second encoding.
    let mut refused = 0;
    for n in 2..19u8 {
        for sign in [0x7f, 0xff] {
            let mut encoding = [0xff; 32];
            encoding[0] = 0xed + n;
            encoding[31] = sign;
            match PublicKey::parse(1, &encoding) {
                Err(KeyError::NotCanonical) => refused += 1,
                Err(KeyError::NotAPoint) => {}
                other => panic!("{}: {other:?}", hex::encode(encoding)),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn given_what_is_no_key_when_registered_then_the_reason_is_said() {
    let good = Vector::signed(1, b"").key;
    assert!(PublicKey::parse(1, &good).is_ok());
    assert_eq!(PublicKey::parse(2, &good), Err(KeyError::UnknownSuite(2)));
    assert_eq!(PublicKey::parse(1, &good[..31]), Err(KeyError::Length(31)));
    let mut y = [0; 32];
    y[0] = 2; // y = 2 is on no point of the curve
    assert_eq!(PublicKey::parse(1, &y), Err(KeyError::NotAPoint));
}

#[test]
fn given_no_signatures_when_checked_as_a_batch_then_there_is_no_answer() {
    assert_eq!(batch(&[]), Vec::<bool>::new());
}

/// What is done to a good signature.
#[derive(Clone, Debug)]
enum Corruption {
    None,
    FlipSignature(usize),
    FlipKey(usize),
    OtherMessage,
    /// S plus the group order: the malleable twin.
    UnreducedS,
    /// R of small order.
    SmallR(usize),
    /// A of small order, with which S = 0 and R of small order fit every message.
    SmallEverything(usize, usize),
}

fn corrupted(seed: u8, message: &[u8], corruption: &Corruption) -> Vector {
    let mut vector = Vector::signed(seed, message);
    let small = small_order_encodings();
    match corruption {
        Corruption::None => {}
        Corruption::FlipSignature(bit) => vector.signature[bit / 8] ^= 1 << (bit % 8),
        Corruption::FlipKey(bit) => vector.key[bit / 8] ^= 1 << (bit % 8),
        Corruption::OtherMessage => vector.message.push(0),
        Corruption::UnreducedS => {
            let mut order = hex::decode("edd3f55c1a631258d69cf7a2def9de14").unwrap();
            order.resize(31, 0);
            order.push(0x10);
            let mut carry = 0u16;
            for (digit, l) in vector.signature[32..].iter_mut().zip(order) {
                let sum = u16::from(*digit) + u16::from(l) + carry;
                *digit = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
        }
        Corruption::SmallR(n) => vector.signature[..32].copy_from_slice(&small[n % small.len()]),
        Corruption::SmallEverything(n, m) => {
            vector.key = small[n % small.len()];
            vector.signature = [0; SIGNATURE_BYTES];
            vector.signature[..32].copy_from_slice(&small[m % small.len()]);
        }
    }
    vector
}

fn corruption() -> impl Strategy<Value = Corruption> {
    prop_oneof![
        4 => Just(Corruption::None),
        1 => (0usize..512).prop_map(Corruption::FlipSignature),
        1 => (0usize..256).prop_map(Corruption::FlipKey),
        1 => Just(Corruption::OtherMessage),
        1 => Just(Corruption::UnreducedS),
        1 => (0usize..14).prop_map(Corruption::SmallR),
        1 => (0usize..14, 0usize..14).prop_map(|(n, m)| Corruption::SmallEverything(n, m)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn given_any_batch_when_checked_then_each_answer_is_that_of_the_signature_alone(
        made in proptest::collection::vec(
            (0u8..6, proptest::collection::vec(any::<u8>(), 0..40), corruption()),
            0..24,
        )
    ) {
        let vectors: Vec<Vector> =
            made.iter().map(|(seed, message, bad)| corrupted(*seed, message, bad)).collect();
        let alone: Vec<bool> = vectors.iter().map(Vector::alone).collect();
        prop_assert_eq!(batch(&vectors), &alone[..]);
        let by_the_equation: Vec<bool> = vectors.iter().map(zip215).collect();
        prop_assert_eq!(by_the_equation, &alone[..]);
        for ((_, _, bad), accepted) in made.iter().zip(alone) {
            match bad {
                Corruption::None | Corruption::SmallEverything(..) => prop_assert!(accepted),
                _ => prop_assert!(!accepted, "{:?}", bad),
            }
        }
    }
}
