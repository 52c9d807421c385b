//! The tree as a whole: against the recursive definitions of RFC 9162, against an
//! independent implementation, and every storage form against the others.

mod laws;

use std::convert::Infallible;

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};

use super::{
    frontier::Frontier,
    proof::{
        HashReader, ProofError, ProveError, consistency_proof, inclusion_proof, root,
        verify_consistency, verify_inclusion,
    },
    tile::RightEdge,
    *,
};

const EVERY_SIZE_UP_TO: u64 = 300;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|index| leaf_hash(&entry(index))).collect()
}

/// The largest power of two below `n`, for `n` above 1: k of RFC 9162 section 2.1.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// MTH of RFC 9162 section 2.1.1, word for word.
fn mth(d: &[Hash]) -> Hash {
    match d {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = d.split_at(split(d.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// PATH of RFC 9162 section 2.1.3.1, word for word.
fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() == 1 {
        return vec![];
    }
    let k = split(d.len());
    let (left, right) = d.split_at(k);
    let (mut proof, sibling) = if m < k {
        (path(m, left), right)
    } else {
        (path(m - k, right), left)
    };
    proof.push(mth(sibling));
    proof
}

/// SUBPROOF of RFC 9162 section 2.1.4.1, word for word.
fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
    if m == d.len() {
        return if b { vec![] } else { vec![mth(d)] };
    }
    let k = split(d.len());
    let (left, right) = d.split_at(k);
    let (mut proof, sibling) = if m <= k {
        (subproof(m, left, b), right)
    } else {
        (subproof(m - k, right, false), left)
    };
    proof.push(mth(sibling));
    proof
}

/// Reads from leaves in memory.
struct Leaves<'a>(&'a [Hash]);

impl HashReader for Leaves<'_> {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let begin = usize::try_from(index << level).unwrap();
        Ok(mth(&self.0[begin..begin + (1 << level)]))
    }
}

/// A log of any size whose entries are all the same, so that nothing has to be stored.
struct Uniform;

impl HashReader for Uniform {
    type Error = Infallible;

    fn node(&self, level: u8, _index: u64) -> Result<Hash, Infallible> {
        let leaf = leaf_hash(b"same");
        Ok((0..level).fold(leaf, |hash, _| node_hash(&hash, &hash)))
    }
}

fn size(n: usize) -> TreeSize {
    TreeSize::new(n as u64)
}

fn index(n: usize) -> LogIndex {
    LogIndex::new(n as u64)
}

#[test]
fn hashes_are_those_of_the_reference_tree() {
    // The test tree of the Certificate Transparency reference implementation.
    let entries = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let mut frontier = Frontier::new();
    for entry in entries {
        frontier
            .append(leaf_hash(&hex::decode(entry).unwrap()))
            .unwrap();
    }
    let want = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
    assert_eq!(frontier.root(), want.parse().unwrap());
    let nothing = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(leaf_hash(b""), nothing.parse().unwrap());
    assert_eq!(
        EMPTY_ROOT.to_base64(),
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
}

#[test]
fn hash_is_written_for_people_and_for_machines() {
    let hash = leaf_hash(b"");
    let json = serde_json::to_string(&hash).unwrap();
    assert_eq!(json, format!("\"{hash}\""));
    assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);
    assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
    assert_eq!(
        hash.to_string().to_uppercase().parse(),
        Ok::<_, HashError>(hash)
    );
    for text in ["", "00", &hash.to_string()[1..], &format!("{hash}00"), "é"] {
        assert_eq!(text.parse::<Hash>(), Err(HashError::Hex));
    }
    assert_eq!(
        Hash::try_from([0; 31].as_slice()),
        Err(HashError::Length(31))
    );
    assert_eq!(Hash::from_base64("AAA="), Err(HashError::Length(2)));
    assert!(serde_json::from_str::<Hash>("[0]").is_err());
    assert_eq!(serde_json::to_string(&LogIndex::new(7)).unwrap(), "7");
}

#[test]
fn frontier_edge_and_readers_have_the_root_of_the_definition() {
    let all = leaves(1100);
    let (mut frontier, mut edge) = (Frontier::new(), RightEdge::new());
    for n in 0..=all.len() {
        let want = mth(&all[..n]);
        assert_eq!(frontier.root(), want, "{n}");
        assert_eq!(edge.frontier(), &frontier);
        assert_eq!(root(size(n), &Leaves(&all)), Ok(want));
        if let Some(leaf) = all.get(n) {
            frontier.append(*leaf).unwrap();
            edge.append(*leaf, &mut |_, _| ()).unwrap();
        }
    }
}

#[test]
fn every_inclusion_proof_is_that_of_the_definition() {
    let all = leaves(EVERY_SIZE_UP_TO);
    for n in 1..=all.len() {
        let log = &all[..n];
        let root = mth(log);
        // All places in small logs, some in larger ones.
        for m in (0..n).step_by(1 + n / 40) {
            let proof = inclusion_proof(index(m), size(n), &Leaves(log)).unwrap();
            assert_eq!(proof, path(m, log), "{m} of {n}");
            verify_inclusion(index(m), size(n), &log[m], &proof, &root).unwrap();
        }
    }
}

#[test]
fn every_consistency_proof_is_that_of_the_definition() {
    let all = leaves(EVERY_SIZE_UP_TO);
    for n in 1..=all.len() {
        let log = &all[..n];
        for m in (1..=n).rev().step_by(1 + n / 40) {
            let proof = consistency_proof(size(m), size(n), &Leaves(log)).unwrap();
            assert_eq!(proof, subproof(m, log, true), "{m} to {n}");
            verify_consistency(size(m), size(n), &proof, &mth(&log[..m]), &mth(log)).unwrap();
        }
    }
}

#[test]
fn independent_implementation_agrees_in_both_directions() {
    type Sha256 = sha2::Sha256;
    let all = leaves(EVERY_SIZE_UP_TO);
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let theirs = |hash: &Hash| sha2::digest::Output::<Sha256>::from(*hash.as_bytes());
    let ours = |bytes: &[u8]| -> Vec<Hash> {
        let (hashes, _) = bytes.as_chunks();
        hashes.iter().copied().map(Hash::new).collect()
    };
    for n in 1..=all.len() {
        tree.push(entry(n as u64 - 1));
        let log = &all[..n];
        let root = mth(log);
        assert_eq!(tree.root().as_bytes().as_slice(), root.as_ref());
        let their_root = RootHash::<Sha256>::new(theirs(&root), n as u64);
        for m in (0..n).step_by(1 + n / 12) {
            let proof = ours(tree.prove_inclusion(m).as_bytes());
            verify_inclusion(index(m), size(n), &log[m], &proof, &root).unwrap();

            let proof = inclusion_proof(index(m), size(n), &Leaves(log)).unwrap();
            let proof: Vec<_> = proof.iter().map(theirs).collect();
            let proof = InclusionProof::from_digests(proof.iter());
            their_root
                .verify_inclusion(&entry(m as u64), m as u64, &proof)
                .unwrap();
        }
        for m in (1..=n).step_by(1 + n / 12) {
            let first_root = mth(&log[..m]);
            let proof = ours(tree.prove_consistency(n - m).as_bytes());
            verify_consistency(size(m), size(n), &proof, &first_root, &root).unwrap();

            let proof = consistency_proof(size(m), size(n), &Leaves(log)).unwrap();
            let proof: Vec<_> = proof.iter().map(theirs).collect();
            let proof = ConsistencyProof::from_digests(proof.iter());
            let their_first = RootHash::new(theirs(&first_root), m as u64);
            their_root.verify_consistency(&their_first, &proof).unwrap();
        }
    }
}

#[test]
fn senseless_questions_are_refused() {
    let hash = EMPTY_ROOT;
    let (zero, one, two) = (size(0), size(1), size(2));
    let outside = |n| ProofError::IndexOutOfRange {
        index: index(1),
        size: n,
    };
    for n in [zero, one] {
        let verified = verify_inclusion(index(1), n, &hash, &[], &hash);
        assert_eq!(verified, Err(outside(n)));
        let proved = inclusion_proof(index(1), n, &Uniform);
        assert_eq!(proved, Err(ProveError::Question(outside(n))));
    }
    let cases = [
        ((zero, zero), ProofError::FromEmpty),
        ((zero, one), ProofError::FromEmpty),
        (
            (two, one),
            ProofError::Shrinks {
                first: two,
                second: one,
            },
        ),
    ];
    for ((first, second), error) in cases {
        let verified = verify_consistency(first, second, &[], &hash, &hash);
        assert_eq!(verified, Err(error));
        let proved = consistency_proof(first, second, &Uniform);
        assert_eq!(proved, Err(ProveError::Question(error)));
    }
}

#[test]
fn error_says_what_is_wrong() {
    let log = leaves(7);
    let (first_root, root, other) = (mth(&log[..3]), mth(&log), leaf_hash(b"other"));
    let proof = consistency_proof(size(3), size(7), &Leaves(&log)).unwrap();
    let verify = |proof: &[Hash], first: &Hash, second: &Hash| {
        verify_consistency(size(3), size(7), proof, first, second).unwrap_err()
    };
    let (expected, actual) = (proof.len(), proof.len() - 1);
    let short = verify(&proof[1..], &first_root, &root);
    assert_eq!(short, ProofError::Length { expected, actual });
    let (expected, computed) = (other, first_root);
    let first = verify(&proof, &other, &root);
    assert_eq!(first, ProofError::FirstRoot { expected, computed });
    let computed = root;
    let second = verify(&proof, &first_root, &other);
    assert_eq!(second, ProofError::SecondRoot { expected, computed });
    let same = verify_consistency(size(7), size(7), &[], &root, &other);
    let (expected, computed) = (other, root);
    assert_eq!(same, Err(ProofError::SecondRoot { expected, computed }));

    let proof = path(4, &log);
    let entry = verify_inclusion(index(4), size(7), &log[4], &proof, &other);
    assert_eq!(entry, Err(ProofError::Root { expected, computed }));
}
