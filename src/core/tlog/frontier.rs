//! The frontier: the compact form of a log that only grows.
//!
//! The roots of the perfect subtrees which make up the tree of RFC 9162 section 2.1, from
//! left to right: one for each bit of the size. They suffice to append and to know the root,
//! so whoever follows a log from the beginning keeps 64 hashes at most.

use super::{EMPTY_ROOT, Hash, LogFull, TreeSize, fold_right_edge, node_hash};

/// A log reduced to its size and the roots of its perfect subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: TreeSize,
    subtrees: Vec<Hash>,
}

/// The number of subtrees does not fit the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log of {size} entries has {expected} perfect subtrees, not {actual}")]
pub struct FrontierError {
    /// The size of the log.
    pub size: TreeSize,
    /// The number of subtrees that this size has.
    pub expected: u32,
    /// The number of subtrees that were given.
    pub actual: usize,
}

impl Frontier {
    /// The empty log.
    pub const fn new() -> Self {
        Self {
            size: TreeSize::ZERO,
            subtrees: Vec::new(),
        }
    }

    /// The log of this size with these subtrees, the largest first.
    ///
    /// Whether they are the right ones, only a comparison of [`root`](Self::root) with a
    /// signed checkpoint can show.
    pub fn from_parts(size: TreeSize, subtrees: Vec<Hash>) -> Result<Self, FrontierError> {
        let (expected, actual) = (size.0.count_ones(), subtrees.len());
        if usize::try_from(expected) != Ok(actual) {
            return Err(FrontierError {
                size,
                expected,
                actual,
            });
        }
        Ok(Self { size, subtrees })
    }

    /// The same for parts that are right by construction.
    pub(super) fn from_known_parts(size: TreeSize, subtrees: Vec<Hash>) -> Self {
        debug_assert_eq!(subtrees.len(), size.0.count_ones() as usize);
        Self { size, subtrees }
    }

    /// The number of entries.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The roots of the perfect subtrees, the largest first.
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Appends an entry by its leaf hash.
    pub fn append(&mut self, leaf: Hash) -> Result<(), LogFull> {
        let size = self.size.next()?;
        // Two neighbours of one level become one of the next, as a carry in an addition:
        // one for each bit that is set at the end of the old size.
        let carries = self.size.0.trailing_ones();
        let mut subtree = leaf;
        for _ in 0..carries {
            let Some(left) = self.subtrees.pop() else {
                break; // there is a subtree for each set bit
            };
            subtree = node_hash(&left, &subtree);
        }
        self.subtrees.push(subtree);
        self.size = size;
        Ok(())
    }

    /// The root of the log (RFC 9162 section 2.1.1).
    pub fn root(&self) -> Hash {
        fold_right_edge(self.subtrees.iter().copied()).unwrap_or(EMPTY_ROOT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tlog::leaf_hash;

    #[test]
    fn empty_frontier_has_the_root_of_nothing() {
        assert_eq!(Frontier::new().root(), EMPTY_ROOT);
    }

    #[test]
    fn parts_make_the_same_frontier() {
        let mut frontier = Frontier::new();
        for entry in 0..11_u8 {
            frontier.append(leaf_hash(&[entry])).unwrap();
        }
        let again = Frontier::from_parts(frontier.size(), frontier.subtrees().to_vec());
        assert_eq!(again, Ok(frontier));
    }

    #[test]
    fn wrong_number_of_parts_is_refused() {
        let error = Frontier::from_parts(TreeSize::new(6), vec![EMPTY_ROOT]).unwrap_err();
        assert_eq!((error.expected, error.actual), (2, 1));
    }

    #[test]
    fn full_log_takes_no_entry() {
        let mut frontier =
            Frontier::from_parts(TreeSize::new(u64::MAX), vec![EMPTY_ROOT; 64]).unwrap();
        let before = frontier.clone();
        assert_eq!(frontier.append(EMPTY_ROOT), Err(LogFull));
        assert_eq!(frontier, before);
    }
}
