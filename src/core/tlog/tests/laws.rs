//! What holds for logs of any size, and for tiles as for leaves.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::core::tlog::tile::{TileHashReader, TileId};

/// A log of so many entries in tiles, and its leaf hashes.
struct TiledLog {
    leaves: Vec<Hash>,
    full: BTreeMap<(u8, u64), Vec<Hash>>,
    edge: RightEdge,
}

impl TiledLog {
    fn new(entries: u64) -> Self {
        let leaves = leaves(entries);
        let (mut full, mut edge) = (BTreeMap::new(), RightEdge::new());
        for leaf in &leaves {
            let mut on_full = |tile: TileId, hashes: &[Hash]| {
                full.insert((tile.level(), tile.index()), hashes.to_vec());
            };
            edge.append(*leaf, &mut on_full).unwrap();
        }
        Self { leaves, full, edge }
    }

    /// Cuts a narrow tile out of what the log has now.
    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, TileId> {
        let hashes = match self.full.get(&(tile.level(), tile.index())) {
            Some(hashes) => hashes,
            None => self.edge.partial(tile.level()),
        };
        let hashes = hashes.get(..usize::from(tile.width())).ok_or(tile)?;
        Ok(hashes.to_vec())
    }
}

fn check_tiled_log(log: &TiledLog, m: usize, n: usize) {
    let reader = TileHashReader::new(size(n), |tile| log.tile(tile));
    let second_root = root(size(n), &reader).unwrap();
    assert_eq!(second_root, mth(&log.leaves[..n]));
    let first_root = mth(&log.leaves[..m]);
    let proof = consistency_proof(size(m), size(n), &reader).unwrap();
    verify_consistency(size(m), size(n), &proof, &first_root, &second_root).unwrap();

    let place = index(m - 1);
    let leaf = &log.leaves[m - 1];
    let proof = inclusion_proof(place, size(n), &reader).unwrap();
    assert_eq!(proof, path(m - 1, &log.leaves[..n]));
    verify_inclusion(place, size(n), leaf, &proof, &second_root).unwrap();
}

#[test]
fn tiles_prove_what_the_leaves_prove() {
    let log = TiledLog::new(66_000);
    for n in [
        1, 255, 256, 257, 4_097, 5_000, 65_535, 65_536, 65_537, 66_000,
    ] {
        for m in [1, n / 2 + 1, n - n / 7, n] {
            check_tiled_log(&log, m, n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tiles_of_any_size_prove((n, m) in (1..5000_usize).prop_flat_map(|n| (Just(n), 1..=n))) {
        check_tiled_log(&TiledLog::new(n as u64), m, n);
    }

    #[test]
    fn logs_of_any_size_up_to_the_largest_prove(a: u64, b: u64, shift in 0..64_u32) {
        let (a, b) = (a >> shift, b >> shift);
        let (m, n) = (a.min(b).max(1), a.max(b).max(1));
        let (first, second) = (TreeSize::new(m), TreeSize::new(n));
        let Ok(first_root) = root(first, &Uniform);
        let Ok(second_root) = root(second, &Uniform);
        let proof = consistency_proof(first, second, &Uniform).unwrap();
        prop_assert_eq!(
            verify_consistency(first, second, &proof, &first_root, &second_root),
            Ok(())
        );
        let place = LogIndex::new(m - 1);
        let proof = inclusion_proof(place, second, &Uniform).unwrap();
        let leaf = leaf_hash(b"same");
        prop_assert_eq!(verify_inclusion(place, second, &leaf, &proof, &second_root), Ok(()));
    }

    #[test]
    fn changed_proofs_fail(n in 2..200_usize, m: usize, at: usize, bit in 0..8, byte in 0..32_usize) {
        let log = leaves(n as u64);
        let root = mth(&log);
        let flip = |hash: &mut Hash| hash.0[byte] ^= 1_u8 << bit;

        let place = m % n;
        let proof = path(place, &log);
        let verify = |place, leaf: &Hash, proof: &[Hash]| {
            verify_inclusion(index(place), size(n), leaf, proof, &root)
        };
        let mut changed = proof.clone();
        flip(&mut changed[at % proof.len()]);
        prop_assert!(verify(place, &log[place], &changed).is_err());
        prop_assert!(verify(place, &log[place], &proof[1..]).is_err());
        prop_assert!(verify(place, &log[place], &[&proof[..], &proof[..1]].concat()).is_err());
        prop_assert!(verify((place + 1) % n, &log[place], &proof).is_err());
        let mut leaf = log[place];
        flip(&mut leaf);
        prop_assert!(verify(place, &leaf, &proof).is_err());

        let first = 1 + m % (n - 1);
        let first_root = mth(&log[..first]);
        let proof = subproof(first, &log, true);
        let verify = |first: usize, proof: &[Hash], first_root: &Hash| {
            verify_consistency(size(first), size(n), proof, first_root, &root)
        };
        let mut changed = proof.clone();
        flip(&mut changed[at % proof.len()]);
        prop_assert!(verify(first, &changed, &first_root).is_err());
        prop_assert!(verify(first, &proof[1..], &first_root).is_err());
        let mut wrong_root = first_root;
        flip(&mut wrong_root);
        prop_assert!(verify(first, &proof, &wrong_root).is_err());
    }

    #[test]
    fn any_proof_is_checked_without_panic(
        a: u64, b: u64, shift in 0..64_u32, length in 0..130_usize, byte: u8,
    ) {
        let proof = vec![Hash([byte; 32]); length];
        let (a, b, hash) = (a >> shift, b >> shift, Hash([byte; 32]));
        let _ = verify_inclusion(LogIndex::new(a), TreeSize::new(b), &hash, &proof, &hash);
        let _ = verify_consistency(TreeSize::new(a), TreeSize::new(b), &proof, &hash, &hash);
    }
}
