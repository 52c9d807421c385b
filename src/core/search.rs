//! Looking for a place in what is in order, where each look may fail.

use std::ops::Range;

/// The first number of a range that is so, or its end; from there on all are.
///
/// # Errors
/// As the look at a number.
pub fn first_where<E>(
    range: Range<u64>,
    mut is_so: impl FnMut(u64) -> Result<bool, E>,
) -> Result<u64, E> {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_so(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_is_and_a_failed_look_is_told() {
        for first in 3..=9 {
            let found = first_where(3..9, |number| Ok::<_, ()>(number >= first));
            assert_eq!(found, Ok(first));
        }
        assert_eq!(first_where(3..3, |_| Err(())), Ok(3));
        assert_eq!(first_where(3..9, |_| Err(())), Err(()));
    }
}
