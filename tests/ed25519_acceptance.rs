//! The one rule by which Ed25519 signatures are accepted, on the edge cases that are known.
//!
//! The rule is that of ZIP 215 (see `core::signature`). On every vector the answer alone and the
//! answer in a batch are compared, since two honest verifiers must never disagree.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use custody::core::signature::{
    BatchItem, KeyError, PublicKey, SIGNATURE_BYTES, Signer, verify_batch, verify_single,
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
        BatchItem { key: &self.key, message: &self.message, signature: &self.signature }
    }
}

fn batch(vectors: &[Vector]) -> Vec<bool> {
    verify_batch(&vectors.iter().map(Vector::item).collect::<Vec<_>>())
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
    let (accepted, _): (Vec<Vector>, Vec<Vector>) = vectors.iter().cloned().partition(Vector::alone);
    assert!(batch(&accepted).into_iter().all(|accepted| accepted), "all that are accepted");
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
#[derive(Debug, PartialEq)]
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
        let rest = a.zip(r_point).zip(s).map(|((a, r), s)| ED25519_BASEPOINT_POINT * s - r - a * k);
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

/// Wycheproof cases whose expected result differs from ZIP 215, by tcId, with the reason. There
/// are none: its vectors hold no small-order or mixed-order points that only the cofactor decides,
/// and every encoding that it calls invalid is of S or of the length.
const WYCHEPROOF_DIFFERENCES: &[usize] = &[];

#[test]
fn given_the_wycheproof_vectors_when_checked_then_valid_ones_pass_and_invalid_ones_fail() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut vectors = Vec::new();
    let mut wrong_lengths = 0;
    let mut cases = 0;
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        for test in &group.tests {
            cases += 1;
            let valid = !test.result.must_fail();
            // A signature of another length never gets as far as the check: the envelope refuses it.
            let Ok(signature) = <[u8; SIGNATURE_BYTES]>::try_from(test.sig.as_slice()) else {
                assert!(!valid, "tcId {}: {}", test.tc_id, test.comment);
                wrong_lengths += 1;
                continue;
            };
            let vector = Vector { key, message: test.msg.to_vec(), signature };
            let expected = valid != WYCHEPROOF_DIFFERENCES.contains(&test.tc_id);
            assert_eq!(vector.alone(), zip215(&vector));
            if vector.alone()!=expected { eprintln!("DIFF {} {:?} {}: {:?} {:?}", test.tc_id, test.result, test.comment, test.flags, Facts::of(&vector)); }
            vectors.push(vector);
        }
    }
    assert_eq!(cases, set.number_of_tests, "every case was looked at");
    assert!(vectors.len() > 100 && wrong_lengths > 0);
    assert_batch_equals_single(&vectors);
}

/// The cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko; SSR 2020), table 6c,
/// and what ZIP 215 says about each. `[8]` is multiplication by the cofactor.
const SPECCHECK: [(bool, &str); 12] = [
    (true, "0: A and R of small order, S = 0: both sides are the neutral element after [8]"),
    (true, "1: A of small order, R of mixed order: [8]A vanishes, the rest is R = [S]B"),
    (true, "2: R of small order, A of mixed order: R and A's torsion vanish under [8]"),
    (true, "3: A and R of mixed order, and the equation holds even without the cofactor"),
    (true, "4: A and R of mixed order: holds with the cofactor only"),
    (true, "5: A of mixed order: holds with the cofactor only; [8](kA) is computed by k, not 8k mod L"),
    (false, "6: S >= L: S is not reduced, which would make the signature malleable"),
    (false, "7: S far above L: the same, past what a check of the top bits alone would see"),
    (true, "8: see SPECCHECK_8"),
    (true, "9: R is a non-canonical encoding, hashed as it stands: ZIP 215 allows it"),
    (true, "10: A is a non-canonical encoding of small order: ZIP 215 allows it"),
    (true, "11: the same, with A reduced before hashing: ZIP 215 hashes A as it stands"),
];

#[test]
fn given_the_speccheck_cases_when_checked_then_each_is_answered_as_zip_215_says() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/data/ed25519/speccheck-cases.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: the speccheck cases are not at {path}");
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let vectors: Vec<Vector> = cases.iter().map(speccheck_vector).collect();
    for (n, v) in vectors.iter().enumerate() { eprintln!("case {n}: {} {:?} canonA {} canonR {}", v.alone(), Facts::of(v), CompressedEdwardsY(v.key).decompress().unwrap().compress().0==v.key, CompressedEdwardsY::from_slice(&v.signature[..32]).unwrap().decompress().unwrap().compress().0==v.signature[..32]); }
    assert_batch_equals_single(&vectors);
}

fn speccheck_vector(case: &serde_json::Value) -> Vector {
    let bytes = |field: &str| hex::decode(case[field].as_str().unwrap()).unwrap();
    Vector {
        key: bytes("pub_key").try_into().unwrap(),
        message: bytes("message"),
        signature: bytes("signature").try_into().unwrap(),
    }
}
