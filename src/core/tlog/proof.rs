//! Proofs on the tree: RFC 9162 section 2.1.3 (inclusion) and 2.1.4 (consistency).
//!
//! Verifying takes hashes and sizes and nothing else, so a consumer's telephone can do it.
//! Proving reads a few hashes through a [`HashReader`]; only hashes of perfect subtrees are
//! ever read, because these never change once the log has grown past them.

use super::{EMPTY_ROOT, Hash, LogIndex, TreeSize, fold_right_edge, node_hash};

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry is not in a log of that size.
    #[error("entry {index} is not in a log of {size} entries")]
    IndexOutOfRange {
        /// The entry.
        index: LogIndex,
        /// The size of the log.
        size: TreeSize,
    },
    /// The earlier log is the larger one.
    #[error("a log of {first} entries can't grow into one of {second}")]
    Shrinks {
        /// The size of the earlier log.
        first: TreeSize,
        /// The size of the later log.
        second: TreeSize,
    },
    /// Every log extends the empty log: such a proof would say nothing.
    #[error("a proof of consistency with the empty log says nothing")]
    FromEmpty,
    /// A proof for these sizes has another number of hashes.
    #[error("the proof has {actual} hashes, it must have {expected}")]
    Length {
        /// The number of hashes which the sizes imply.
        expected: usize,
        /// The number of hashes in the proof.
        actual: usize,
    },
    /// The proof leads to another root: the entry is not in this log, at least not there.
    #[error("the proof leads to the root {computed}, the log's root is {expected}")]
    Root {
        /// The root to be proved.
        expected: Hash,
        /// The root to which the proof leads.
        computed: Hash,
    },
    /// The proof does not lead to the root of the earlier log.
    #[error("the proof leads to the earlier root {computed}, but it was {expected}")]
    FirstRoot {
        /// The root of the earlier log.
        expected: Hash,
        /// The root to which the proof leads.
        computed: Hash,
    },
    /// The proof does not lead to the root of the later log.
    #[error("the proof leads to the later root {computed}, but it is {expected}")]
    SecondRoot {
        /// The root of the later log.
        expected: Hash,
        /// The root to which the proof leads.
        computed: Hash,
    },
}

/// Checks that the log of `size` entries with this root has `leaf` at `index`
/// (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    index: LogIndex,
    size: TreeSize,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if !size.contains(index) {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    // The index is below the size, so the size is at least 1.
    let mut position = Position::new(index.0, size.0 - 1);
    check_length(proof, position.steps())?;

    let mut computed = *leaf;
    for sibling in proof {
        computed = match position.step() {
            Side::Left => node_hash(sibling, &computed),
            Side::Right => node_hash(&computed, sibling),
        };
    }
    if computed == *root {
        Ok(())
    } else {
        let expected = *root;
        Err(ProofError::Root { expected, computed })
    }
}

/// Checks that the log of `second` entries begins with the very entries of the log of
/// `first` entries (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(
    first: TreeSize,
    second: TreeSize,
    proof: &[Hash],
    first_root: &Hash,
    second_root: &Hash,
) -> Result<(), ProofError> {
    if first > second {
        return Err(ProofError::Shrinks { first, second });
    }
    if first == TreeSize::ZERO {
        return Err(ProofError::FromEmpty);
    }
    if first == second {
        check_length(proof, 0)?;
        return check_roots((first_root, first_root), (first_root, second_root));
    }

    // Both sizes are at least 1. The proof starts at the largest perfect subtree that ends
    // where the earlier log ends.
    let mut position = Position::new(first.0 - 1, second.0 - 1);
    position.skip(first.0.trailing_zeros());
    // When that subtree is the whole earlier log, its root is known and not in the proof.
    let known_start = first.0.is_power_of_two();
    check_length(proof, position.steps() + usize::from(!known_start))?;
    let (start, siblings) = match proof.split_first() {
        Some((start, siblings)) if !known_start => (start, siblings),
        _ => (first_root, proof),
    };

    let (mut computed_first, mut computed_second) = (*start, *start);
    for sibling in siblings {
        match position.step() {
            Side::Left => {
                computed_first = node_hash(sibling, &computed_first);
                computed_second = node_hash(sibling, &computed_second);
            }
            Side::Right => computed_second = node_hash(&computed_second, sibling),
        }
    }
    check_roots(
        (&computed_first, first_root),
        (&computed_second, second_root),
    )
}

fn check_length(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    let actual = proof.len();
    if actual == expected {
        Ok(())
    } else {
        Err(ProofError::Length { expected, actual })
    }
}

fn check_roots(first: (&Hash, &Hash), second: (&Hash, &Hash)) -> Result<(), ProofError> {
    if first.0 != first.1 {
        let (computed, expected) = (*first.0, *first.1);
        return Err(ProofError::FirstRoot { expected, computed });
    }
    if second.0 != second.1 {
        let (computed, expected) = (*second.0, *second.1);
        return Err(ProofError::SecondRoot { expected, computed });
    }
    Ok(())
}

/// On which side of the path a sibling lies.
enum Side {
    Left,
    Right,
}

/// A node on the way up, by its number in its level and that of the last node of the level:
/// `fn` and `sn` of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
#[derive(Clone, Copy)]
struct Position {
    node: u64,
    last: u64,
}

impl Position {
    fn new(node: u64, last: u64) -> Self {
        Self { node, last }
    }

    /// Goes up without hashing.
    fn skip(&mut self, levels: u32) {
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    /// Goes to the parent and says where the sibling was.
    fn step(&mut self) -> Side {
        let has_left_sibling = self.node & 1 == 1;
        let is_ragged = !has_left_sibling && self.node == self.last;
        if is_ragged {
            // The last node of a level without a sibling is its own parent, upwards until
            // it is a right child.
            self.skip(self.node.trailing_zeros());
        }
        self.skip(1);
        if has_left_sibling || is_ragged {
            Side::Left
        } else {
            Side::Right
        }
    }

    /// How many steps lead to the root: one a level below the place where the ways of this
    /// node and the last one meet, above it one for each left sibling.
    fn steps(self) -> usize {
        let meet = u64::BITS - (self.node ^ self.last).leading_zeros();
        let above = self.node.checked_shr(meet).unwrap_or(0).count_ones();
        // At most 64.
        (meet + above) as usize
    }
}

/// Reads hashes of perfect subtrees.
pub trait HashReader {
    /// What can go wrong.
    type Error;

    /// The hash above the 2^`level` entries from `index` × 2^`level` on. It is only asked
    /// for subtrees which lie in the log completely.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Why no proof can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The question makes no sense.
    #[error(transparent)]
    Question(ProofError),
    /// A hash could not be read.
    #[error("a hash of the log could not be read")]
    Read(#[source] E),
}

/// The proof that the log of `size` entries has its entry `index`: the path of
/// RFC 9162 section 2.1.3.1, from the leaf upwards.
pub fn inclusion_proof<R: HashReader>(
    index: LogIndex,
    size: TreeSize,
    reader: &R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if !size.contains(index) {
        let error = ProofError::IndexOutOfRange { index, size };
        return Err(ProveError::Question(error));
    }
    // From the root down to the leaf; the range always contains the index.
    let mut proof = Vec::new();
    let mut range = Range::whole(size);
    while let Some((left, right)) = range.split() {
        let (inside, sibling) = if index.0 < right.begin {
            (left, right)
        } else {
            (right, left)
        };
        proof.push(sibling.root(reader).map_err(ProveError::Read)?);
        range = inside;
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the log of `second` entries extends the log of `first` entries:
/// SUBPROOF of RFC 9162 section 2.1.4.1, from below upwards.
pub fn consistency_proof<R: HashReader>(
    first: TreeSize,
    second: TreeSize,
    reader: &R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if first > second {
        return Err(ProveError::Question(ProofError::Shrinks { first, second }));
    }
    if first == TreeSize::ZERO {
        return Err(ProveError::Question(ProofError::FromEmpty));
    }
    let mut proof = Vec::new();
    let mut range = Range::whole(second);
    // Down to the subtree that ends where the earlier log ends.
    while range.end() != first.0 {
        let Some((left, right)) = range.split() else {
            break; // a single leaf ends where the earlier log ends
        };
        let (inside, sibling) = if first.0 <= right.begin {
            (left, right)
        } else {
            (right, left)
        };
        proof.push(sibling.root(reader).map_err(ProveError::Read)?);
        range = inside;
    }
    // A subtree from the first entry on is the earlier log itself: the verifier has its root.
    if range.begin != 0 {
        proof.push(range.root(reader).map_err(ProveError::Read)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root of the log of `size` entries (RFC 9162 section 2.1.1).
pub fn root<R: HashReader>(size: TreeSize, reader: &R) -> Result<Hash, R::Error> {
    if size == TreeSize::ZERO {
        return Ok(EMPTY_ROOT);
    }
    Range::whole(size).root(reader)
}

/// A subtree: `count` entries from `begin` on, where `count` is at least 1 and `begin` a
/// multiple of every power of two up to `count`.
#[derive(Clone, Copy)]
struct Range {
    begin: u64,
    count: u64,
}

impl Range {
    fn whole(size: TreeSize) -> Self {
        let count = size.0;
        Self { begin: 0, count }
    }

    /// A subtree lies in a log, so its end is at most the log's size and fits.
    fn end(self) -> u64 {
        self.begin + self.count
    }

    /// The two subtrees below; the left one has the largest power of two of entries that
    /// leaves something to the right one. A leaf has none.
    fn split(self) -> Option<(Self, Self)> {
        let left_count = 1_u64 << self.count.checked_sub(1)?.checked_ilog2()?;
        let left = Self {
            begin: self.begin,
            count: left_count,
        };
        let right = Self {
            begin: self.begin + left_count,
            count: self.count - left_count,
        };
        Some((left, right))
    }

    /// The hash above: the perfect subtrees of the range, largest first, folded.
    fn root<R: HashReader>(self, reader: &R) -> Result<Hash, R::Error> {
        let mut hashes = Vec::new();
        let (mut begin, mut rest) = (self.begin, self.count);
        while let Some(level) = rest.checked_ilog2() {
            // A level of a u64 is below 64.
            hashes.push(reader.node(level as u8, begin >> level)?);
            rest -= 1 << level;
            // The end of a subtree can be 2^64 - 1 at most, see `end`.
            begin += 1 << level;
        }
        Ok(fold_right_edge(hashes.into_iter()).unwrap_or(EMPTY_ROOT))
    }
}
