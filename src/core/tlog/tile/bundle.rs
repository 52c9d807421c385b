//! Entry bundles (c2sp.org/tlog-tiles, "Log entries"): the entries themselves, each after its
//! length as a big-endian number of two bytes.

use super::TILE_WIDTH;

/// The longest entry that a bundle can hold, in bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Why something is no entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There is no entry.
    #[error("an entry bundle has at least one entry")]
    Empty,
    /// There are more than 256 entries.
    #[error("an entry bundle has at most {TILE_WIDTH} entries")]
    TooManyEntries,
    /// An entry is too long for its length field.
    #[error("entry {position} of the bundle has {bytes} bytes, at most 65535 fit")]
    EntryTooLong {
        /// The place of the entry in the bundle, from 0.
        position: usize,
        /// Its length.
        bytes: usize,
    },
    /// The bundle ends within an entry.
    #[error("the bundle ends within its entry {position}")]
    Truncated {
        /// The place of the entry in the bundle, from 0.
        position: usize,
    },
}

/// Packs entries.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, BundleError> {
    if entries.is_empty() {
        return Err(BundleError::Empty);
    }
    if entries.len() > usize::from(TILE_WIDTH) {
        return Err(BundleError::TooManyEntries);
    }
    let mut bundle = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let entry = entry.as_ref();
        let bytes = entry.len();
        let length =
            u16::try_from(bytes).map_err(|_| BundleError::EntryTooLong { position, bytes })?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Unpacks entries. Their number is for the caller to compare with the width of the bundle,
/// and their hashes with the tile.
pub fn decode_bundle(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    if bundle.is_empty() {
        return Err(BundleError::Empty);
    }
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let position = entries.len();
        if position == usize::from(TILE_WIDTH) {
            return Err(BundleError::TooManyEntries);
        }
        let truncated = BundleError::Truncated { position };
        let (length, tail) = rest.split_first_chunk().ok_or(truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, tail) = tail.split_at_checked(length).ok_or(truncated)?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn bundle_has_a_length_before_each_entry() {
        let bundle = encode_bundle(&[b"ab".as_slice(), b"", b"c"]).unwrap();
        assert_eq!(bundle, b"\0\x02ab\0\0\0\x01c");
    }

    #[test]
    fn limits_are_exact() {
        let longest = vec![7; MAX_ENTRY_BYTES];
        let bundle = encode_bundle(&[&longest]).unwrap();
        assert_eq!(decode_bundle(&bundle), Ok(vec![longest.as_slice()]));
        let too_long = [vec![], vec![7; MAX_ENTRY_BYTES + 1]];
        let (position, bytes) = (1, MAX_ENTRY_BYTES + 1);
        let error = BundleError::EntryTooLong { position, bytes };
        assert_eq!(encode_bundle(&too_long), Err(error));

        assert_eq!(
            encode_bundle(&vec![b"x"; 256]).map(|b| b.len()),
            Ok(256 * 3)
        );
        let many = encode_bundle(&vec![b"x"; 257]);
        assert_eq!(many, Err(BundleError::TooManyEntries));
        let many = [0; 2 * 257];
        assert_eq!(decode_bundle(&many), Err(BundleError::TooManyEntries));
        assert_eq!(decode_bundle(&many[2..]).map(|e| e.len()), Ok(256));
        assert_eq!(encode_bundle::<&[u8]>(&[]), Err(BundleError::Empty));
        assert_eq!(decode_bundle(&[]), Err(BundleError::Empty));
    }

    #[test]
    fn cut_bundle_is_refused() {
        for cut in [b"\0".as_slice(), b"\0\x01", b"\0\x02a"] {
            let error = BundleError::Truncated { position: 0 };
            assert_eq!(decode_bundle(cut), Err(error));
        }
        let error = BundleError::Truncated { position: 1 };
        assert_eq!(decode_bundle(b"\0\0\xff"), Err(error));
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(entries in vec(vec(any::<u8>(), 0..40), 1..257)) {
            let bundle = encode_bundle(&entries).unwrap();
            let want: Vec<_> = entries.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(decode_bundle(&bundle), Ok(want));
        }

        #[test]
        fn encoding_undoes_decoding(bundle in vec(0..5_u8, 0..60)) {
            if let Ok(entries) = decode_bundle(&bundle) {
                prop_assert_eq!(encode_bundle(&entries), Ok(bundle.clone()));
            }
        }
    }
}
