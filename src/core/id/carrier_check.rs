//! The check digits of carriers' numbers.
//!
//! The methods are those that `tracking_number_data` names; each carrier's label
//! specification chooses one. A letter counts as (its ASCII code - 3) mod 10 in `mod10`, as
//! UPS has it, and as 10 to 35 in ISO 7064 mod 37,36.

/// How a check character follows from the characters that it covers.
pub(super) enum Method {
    /// Weights for even and odd places, counted from 0; ten less the sum.
    Mod10 {
        /// Weight of places 0, 2, 4...
        even: u32,
        /// Weight of places 1, 3, 5...
        odd: u32,
    },
    /// The number modulo 7.
    Mod7,
    /// Weighted sum, modulo 11 and then modulo 10.
    Weighted(&'static [u32]),
    /// UPU S10-12.
    S10,
    /// ISO/IEC 7812-1 annex B.
    Luhn,
    /// ISO/IEC 7064 mod 37,36, with letters.
    Mod37_36,
}

/// [`Method::Mod10`], short enough for a table.
pub(super) const fn mod10(even: u32, odd: u32) -> Method {
    Method::Mod10 { even, odd }
}

/// A check character: how it is made, where it stands, and what it covers.
pub(super) struct Check {
    pub(super) method: Method,
    /// Its place, from 0.
    pub(super) at: usize,
    /// How many characters before it are covered.
    pub(super) len: usize,
    /// Counts in front of the covered characters, unless they begin with it.
    pub(super) prepend: &'static str,
}

impl Check {
    /// The character that should stand at `at`; none if the text is too short.
    pub(super) fn expected(&self, text: &[u8]) -> Option<u8> {
        let covered = text.get(self.at.checked_sub(self.len)?..self.at)?;
        let front = match covered.starts_with(self.prepend.as_bytes()) {
            true => &[],
            false => self.prepend.as_bytes(),
        };
        let characters: Vec<u8> = front.iter().chain(covered).copied().collect();
        Some(self.method.expected(&characters))
    }
}

impl Method {
    fn expected(&self, text: &[u8]) -> u8 {
        let digit = match self {
            Self::Mod10 { even, odd } => mod10_digit(text, *even, *odd),
            Self::Mod7 => text.iter().fold(0, |rest, b| (rest * 10 + value(*b)) % 7),
            Self::Weighted(weights) => weighted_sum(text, weights) % 11 % 10,
            Self::S10 => match weighted_sum(text, &[8, 6, 4, 2, 3, 5, 9, 7]) % 11 {
                0 => 5,
                1 => 0,
                rest => 11 - rest,
            },
            Self::Luhn => luhn(text),
            Self::Mod37_36 => mod37_36(text),
        };
        // Below 36 by every method, so it is one character.
        char::from_digit(digit, 36).map_or(b'?', |c| c.to_ascii_uppercase() as u8)
    }
}

/// A digit as itself, a letter from A = 10.
fn value(byte: u8) -> u32 {
    char::from(byte).to_digit(36).unwrap_or(0)
}

fn weighted_sum(text: &[u8], weights: &[u32]) -> u32 {
    text.iter().zip(weights).map(|(b, w)| value(*b) * w).sum()
}

fn mod10_digit(text: &[u8], even: u32, odd: u32) -> u32 {
    let weights = [even, odd].into_iter().cycle();
    let sum: u32 = text
        .iter()
        .zip(weights)
        .map(|(byte, weight)| {
            let value = match byte {
                b'0'..=b'9' => value(*byte),
                _ => u32::from(byte.saturating_sub(3)) % 10,
            };
            value * weight
        })
        .sum();
    (10 - sum % 10) % 10
}

fn luhn(text: &[u8]) -> u32 {
    let sum: u32 = text
        .iter()
        .rev()
        .zip([2, 1].into_iter().cycle())
        .map(|(byte, weight)| {
            let product = value(*byte) * weight;
            product / 10 + product % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

fn mod37_36(text: &[u8]) -> u32 {
    let product = text.iter().fold(36, |product, byte| {
        let sum = (value(*byte) + product) % 36;
        let sum = if sum == 0 { 36 } else { sum };
        sum * 2 % 37
    });
    (37 - product) % 36
}
