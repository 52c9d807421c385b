//! How a courier's phone joins its firm: both know a secret of 128 bits, the *code*, of which the ledger sees
//! nothing, and meet at the ledger in a *room* named after it.
//!
//! ```text
//!  firm:  makes the code, opens the room: party, mac(party)          shows the code
//!  phone: reads the code; checks mac(party); sends key, possession, mac(key)
//!  firm:  checks mac(key); both compare the key's id; signs the Delegate
//! ```
//!
//! The macs keep whoever runs the meeting place from putting another party or another key in.
//!
//! - room: the first 16 bytes of `SHA-256("custody enrolment room v1" || 0x00 || secret)`, in hex
//! - mac(party): HMAC-SHA-256 under the secret of `"custody enrolment party v1" || 0x00 || party id`
//! - mac(key): the same of `"custody enrolment key v1" || 0x00 || public key`

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::core::id::PartyId;
use crate::core::printed::PrintedSecret;

const ROOM: &[u8] = b"custody enrolment room v1\0";
const PARTY: &[u8] = b"custody enrolment party v1\0";
const KEY: &[u8] = b"custody enrolment key v1\0";

/// Where both meet: names the code, and does not tell it.
#[must_use]
pub fn room(code: &PrintedSecret) -> String {
    let mut hash = Sha256::new();
    hash.update(ROOM);
    hash.update(code.bytes());
    let digest = hash.finalize();
    hex::encode(digest.get(..16).unwrap_or_default())
}

/// Says that the party's id comes from who made the code.
#[must_use]
pub fn party_mac(code: &PrintedSecret, party: PartyId) -> [u8; 32] {
    mac(code, PARTY, party.to_string().as_bytes())
        .finalize()
        .into_bytes()
        .into()
}

/// Says that a key comes from who was given the code: what a phone sends.
#[must_use]
pub fn key_mac(code: &PrintedSecret, public_key: &[u8]) -> [u8; 32] {
    mac(code, KEY, public_key).finalize().into_bytes().into()
}

/// Whether a key comes from who was given the code; the comparison takes the same time for all.
#[must_use]
pub fn is_key_mac(code: &PrintedSecret, public_key: &[u8], given: &[u8]) -> bool {
    mac(code, KEY, public_key).verify_slice(given).is_ok()
}

fn mac(code: &PrintedSecret, domain: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(code.bytes()).expect("a key of any length");
    mac.update(domain);
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The phone finds the same: tests/browser/scan_codes.test.mjs knows the same lines.
    #[test]
    fn what_both_sides_compute_is_always_the_same() {
        let code = PrintedSecret::read("070W3GE1R70W3GE1R70W3GE1R7").unwrap();
        let party = "uscc:91110000802100433B".parse().unwrap();
        assert_eq!(room(&code), "37cf186acaad5ed3d89394c2db679bdc");
        assert_eq!(
            hex::encode(party_mac(&code, party)),
            "b80861b8c9c0e7edacebe4b40a9707e9b5920de9a51cec72b535fb5f55d3f4de"
        );
        let key = [9; 32];
        let mac = hex::decode("172eec0f613646514ee9e0cd5d12ea97aa250896be10ba62d36201be18d2991f")
            .unwrap();
        assert_eq!(key_mac(&code, &key).as_slice(), mac);
        assert!(is_key_mac(&code, &key, &mac));
        assert!(!is_key_mac(&code, &[8; 32], &mac));
        assert!(!is_key_mac(&code, &key, &mac[..31]));
    }
}
