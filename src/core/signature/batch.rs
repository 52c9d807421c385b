//! The acceptance rule for many signatures at once.
//!
//! With a coefficient `z` of 128 bits for each signature, all of them are right, but for a chance of
//! 2^-128, if
//!
//! ```text
//!  [8]( sum [z]R  +  sum [z k]A  -  [sum z S]B ) = 0
//! ```
//!
//! That is the equation of `ed25519-zebra`'s batches, which finds the points of all keys anew: each costs a
//! square root, a fifth of what a signature costs in a large batch. Here a key that signs again and again is
//! decoded once. Terms of one key are put together.

use std::collections::hash_map::Entry;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use foldhash::{HashMap, HashMapExt as _};
use sha2::{Digest as _, Sha512};

use super::{SIGNATURE_BYTES, verify_single};

/// A public key with its point at hand.
#[derive(Clone, Copy, Debug)]
pub struct DecodedKey {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

impl DecodedKey {
    /// Finds the point; none where the bytes are no point of the curve.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Option<Self> {
        let point = CompressedEdwardsY(bytes).decompress()?;
        Some(Self { bytes, point })
    }
}

/// A public key, decoded or not.
#[derive(Clone, Copy, Debug)]
pub enum KeyRef<'a> {
    /// As it was registered.
    Bytes(&'a [u8; 32]),
    /// With its point.
    Decoded(&'a DecodedKey),
}

impl<'a> KeyRef<'a> {
    /// The encoded point.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8; 32] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Decoded(key) => &key.bytes,
        }
    }

    fn point(self) -> Option<EdwardsPoint> {
        match self {
            Self::Bytes(bytes) => CompressedEdwardsY(*bytes).decompress(),
            Self::Decoded(key) => Some(key.point),
        }
    }
}

/// One signature of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchItem<'a> {
    /// Who should have signed.
    pub key: KeyRef<'a>,
    /// What was signed: two parts, one after the other.
    pub message: [&'a [u8]; 2],
    /// The signature.
    pub signature: &'a [u8; SIGNATURE_BYTES],
}

impl BatchItem<'_> {
    fn holds_alone(&self) -> bool {
        verify_single(self.key.as_bytes(), &self.message.concat(), self.signature)
    }
}

/// The acceptance rule for many signatures: for each, the answer that [`verify_single`] gives.
///
/// One equation covers the whole batch; only when it fails are the items checked one by one.
#[must_use]
pub fn verify_batch(items: &[BatchItem<'_>]) -> Vec<bool> {
    if items.len() > 1 && all_hold(items) == Some(true) {
        return vec![true; items.len()];
    }
    items.iter().map(BatchItem::holds_alone).collect()
}

/// A signature, decoded.
struct Decoded {
    r: EdwardsPoint,
    s: Scalar,
    /// `SHA-512(R || A || M)`.
    k: Scalar,
}

/// Whether the equation holds; none where something has no place in it.
fn all_hold(items: &[BatchItem<'_>]) -> Option<bool> {
    let mut transcript = Sha512::new();
    let mut signatures = Vec::with_capacity(items.len());
    for item in items {
        let (r, s) = item.signature.split_first_chunk::<32>()?;
        let mut hash = Sha512::new();
        hash.update(r);
        hash.update(item.key.as_bytes());
        hash.update(item.message[0]);
        hash.update(item.message[1]);
        let digest: [u8; 64] = hash.finalize().into();
        transcript.update(digest);
        transcript.update(s);
        signatures.push(Decoded {
            r: CompressedEdwardsY(*r).decompress()?,
            s: Option::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?,
            k: Scalar::from_bytes_mod_order_wide(&digest),
        });
    }
    let terms = 2 * items.len() + 1;
    let (mut scalars, mut points) = (Vec::with_capacity(terms), Vec::with_capacity(terms));
    let mut base = Scalar::ZERO;
    // Where the term of each key is.
    let mut keys = HashMap::new();
    let coefficients = coefficients(transcript.finalize().into());
    for ((item, signature), z) in items.iter().zip(signatures).zip(coefficients) {
        base -= z * signature.s;
        scalars.push(z);
        points.push(signature.r);
        match keys.entry(item.key.as_bytes()) {
            Entry::Occupied(term) => scalars[*term.get()] += z * signature.k,
            Entry::Vacant(place) => {
                place.insert(scalars.len());
                scalars.push(z * signature.k);
                points.push(item.key.point()?);
            }
        }
    }
    scalars.push(base);
    points.push(ED25519_BASEPOINT_POINT);
    let sum = EdwardsPoint::vartime_multiscalar_mul(&scalars, &points);
    Some(sum.mul_by_cofactor().is_identity())
}

/// The coefficients of a batch, drawn from a hash of everything that it holds.
///
/// The core has no source of randomness, and needs none: whoever chooses the signatures can't choose them with
/// the coefficients known, since each change of a bit changes them all. The transcript is every `S` and every
/// digest that `k` is made of, and so every `R`, `A` and `M`.
fn coefficients(seed: [u8; 64]) -> impl Iterator<Item = Scalar> {
    (0_u64..).flat_map(move |counter| {
        let mut hash = Sha512::new();
        hash.update(seed);
        hash.update(counter.to_be_bytes());
        let block: [u8; 64] = hash.finalize().into();
        std::array::from_fn::<_, 4, _>(|part| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&block[part * 16..][..16]);
            Scalar::from(u128::from_le_bytes(bytes))
        })
    })
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::super::Signer;
    use super::*;

    fn signers() -> [Signer; 3] {
        [1, 2, 3].map(|seed| Signer::from_seed(&Zeroizing::new([seed; 32])))
    }

    /// One item for each signature, whose signers take turns and all sign the same.
    fn items<'a>(
        keys: &'a [[u8; 32]; 3],
        signatures: &'a [[u8; SIGNATURE_BYTES]],
    ) -> Vec<BatchItem<'a>> {
        let signatures = signatures.iter().enumerate();
        let item = |(n, signature): (usize, &'a [u8; SIGNATURE_BYTES])| BatchItem {
            key: KeyRef::Bytes(&keys[n % 3]),
            message: [b"goo", b"ds"],
            signature,
        };
        signatures.map(item).collect()
    }

    #[test]
    fn given_good_signatures_when_checked_then_the_equation_holds_and_with_one_bad_it_does_not() {
        let signers = signers();
        let keys = signers.each_ref().map(|one| *one.public_key().as_bytes());
        // Few are summed up in another way than many.
        for count in [2, 3, 150, 512] {
            let mut signatures: Vec<_> =
                (0..count).map(|n| signers[n % 3].sign(b"goods")).collect();
            assert_eq!(all_hold(&items(&keys, &signatures)), Some(true), "{count}");
            signatures[count / 2][40] ^= 1;
            assert_eq!(all_hold(&items(&keys, &signatures)), Some(false), "{count}");
            let mut answers = vec![true; count];
            answers[count / 2] = false;
            assert_eq!(verify_batch(&items(&keys, &signatures)), answers);
        }
    }

    /// With equal coefficients what one has too much and another too little would cancel out.
    #[test]
    fn given_two_that_are_wrong_by_opposite_amounts_when_checked_then_both_are_found() {
        let signers = signers();
        let keys = signers.each_ref().map(|one| *one.public_key().as_bytes());
        let good: Vec<_> = (0..9).map(|n| signers[n % 3].sign(b"goods")).collect();
        for (one, other) in [(0, 1), (0, 3), (1, 5), (4, 8)] {
            let mut signatures = good.clone();
            for (at, by) in [(one, Scalar::ONE), (other, -Scalar::ONE)] {
                let s = signatures[at].last_chunk_mut::<32>().unwrap();
                *s = (Scalar::from_bytes_mod_order(*s) + by).to_bytes();
            }
            let mut answers = [true; 9];
            (answers[one], answers[other]) = (false, false);
            assert_eq!(all_hold(&items(&keys, &signatures)), Some(false));
            assert_eq!(verify_batch(&items(&keys, &signatures)), answers);
        }
    }

    #[test]
    fn no_two_coefficients_are_the_same_and_another_seed_gives_others() {
        let draw = |seed| coefficients([seed; 64]).take(1_000);
        let mut drawn: Vec<_> = draw(1).chain(draw(2)).map(|z| z.to_bytes()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 2_000);
        assert!(drawn.iter().all(|z| z[16..] == [0; 16]));
    }
}
