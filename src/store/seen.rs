//! Whether something was asked for before, as far as it matters: what is asked for once need not be remembered.
//!
//! A bit for each hash, and all are forgotten when one in 32 is set. So what was never asked for is taken for known once in
//! 32 times at most, in 64 on average; and what was asked for long ago is new.

/// Bits that are kept.
const BITS: usize = 1 << 17;
/// Bits that are set at most.
const MOST: usize = BITS / 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// None until something was asked for.
    words: Vec<u64>,
    set: usize,
}

impl Seen {
    /// Whether what has this hash was asked for before; from now on it was.
    pub(super) fn again(&mut self, hash: u64) -> bool {
        if self.set >= MOST {
            self.words.clear();
            self.set = 0;
        }
        if self.words.is_empty() {
            self.words.resize(BITS / 64, 0);
        }
        #[allow(clippy::cast_possible_truncation)] // what is left is less than the number of bits
        let bit = (hash % BITS as u64) as usize;
        let Some(word) = self.words.get_mut(bit / 64) else {
            return false; // there are words for all bits
        };
        let flag = 1 << (bit % 64);
        if *word & flag != 0 {
            return true;
        }
        *word |= flag;
        self.set += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::*;

    fn hash(number: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn given_hashes_when_they_come_again_then_all_were_seen_and_few_others() {
        let mut seen = Seen::default();
        // Some are taken for others, so they set no more than it remembers.
        let all = 0..MOST as u64;
        let wrong = all.clone().filter(|n| seen.again(hash(*n))).count();
        assert!((1..MOST / 32).contains(&wrong), "{wrong}");
        assert!(all.clone().all(|n| seen.again(hash(n))));
    }

    #[test]
    fn given_more_than_it_remembers_when_the_first_comes_again_then_it_is_new() {
        let mut seen = Seen::default();
        assert!(!seen.again(1));
        assert!(seen.again(1) && seen.again(1 + BITS as u64));
        let others = (2..).filter(|n| !seen.again(*n)).take(MOST - 1).count();
        assert_eq!(others, MOST - 1);
        assert!(!seen.again(1));
        assert!(seen.again(1));
    }
}
