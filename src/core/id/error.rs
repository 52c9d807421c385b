//! Why an identifier was refused, in words that the person at the scanner can act on.
//!
//! A mistyped or misread code is an input error, never a finding: so every error names the
//! part that is wrong, the rule that it breaks, and the standard that makes the rule. Where
//! a check digit can be computed, the expected one is told beside the one that was read.

use std::fmt;

use thiserror::Error;

/// Longest piece of the caller's input that an error repeats, in characters. A refused
/// code may be a megabyte of noise, and errors are logged.
const MAX_QUOTED_CHARS: usize = 40;

/// An identifier that was refused: which part of it, by which rule, of which standard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {rule}{}", Cited(.standard))]
pub struct IdError {
    /// The part that is wrong, as an operator would name it: `gtin`, `serial`, `sscc`.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: IdRule,
    /// The standard and section that the rule comes from; empty where the rule is ours.
    pub standard: &'static str,
}

impl IdError {
    pub(super) const fn new(field: &'static str, rule: IdRule, standard: &'static str) -> Self {
        Self {
            field,
            rule,
            standard,
        }
    }
}

/// The rule that an identifier breaks. Places count from 1, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdRule {
    /// Too short or too long: `min` to `max` characters are allowed, `found` were given.
    Length {
        /// Fewest characters allowed.
        min: usize,
        /// Most characters allowed.
        max: usize,
        /// Characters given.
        found: usize,
    },
    /// Only certain lengths exist, and `found` is not among them.
    Lengths {
        /// The lengths that exist.
        allowed: &'static [usize],
        /// Characters given.
        found: usize,
    },
    /// A character that is not allowed at its place.
    Character {
        /// Where it stands, from 1.
        place: usize,
        /// The character.
        found: char,
        /// What is allowed there, in words.
        allowed: &'static str,
    },
    /// The last digit does not follow from the others.
    CheckDigit {
        /// The check digit given.
        found: char,
        /// The check digit that the other digits ask for.
        expected: char,
    },
    /// A check character, at a place that is worth telling, does not follow from the others.
    CheckCharacter {
        /// Where it stands, from 1.
        place: usize,
        /// The character given.
        found: char,
        /// The character that the others ask for.
        expected: char,
    },
    /// It must begin with this text, and does not.
    StartsWith(&'static str),
    /// A part that must be there is not.
    Missing(&'static str),
    /// A part that has no business there, quoted (shortened).
    Unexpected(String),
    /// A percent escape that is cut short or not hexadecimal, at this place, from 1.
    Escape(usize),
    /// The number has none of the shapes that this carrier issues.
    NoFormat(String),
    /// Right in content, but not in the one form that is stored and compared.
    NotCanonical,
    /// All digits are zero: a blank, not a number that anybody was given.
    AllZero,
    /// None of the forms that are read here.
    Unrecognised,
}

impl IdRule {
    /// [`IdRule::Unexpected`], quoting no more of the input than is useful.
    pub(super) fn unexpected(text: &str) -> Self {
        Self::Unexpected(text.chars().take(MAX_QUOTED_CHARS).collect())
    }
}

impl fmt::Display for IdRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min, max, found } if min == max => {
                write!(f, "has {found} characters, expected {min}")
            }
            Self::Length { min, max, found } => {
                write!(f, "has {found} characters, expected {min} to {max}")
            }
            Self::Lengths { allowed, found } => {
                write!(f, "has {found} characters, expected ")?;
                for (i, length) in allowed.iter().enumerate() {
                    let separator = match i {
                        0 => "",
                        _ if i + 1 == allowed.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{separator}{length}")?;
                }
                Ok(())
            }
            Self::Character {
                place,
                found,
                allowed,
            } => write!(f, "character {place} is {found:?}, expected {allowed}"),
            Self::CheckDigit { found, expected } => {
                write!(f, "check digit is {found}, expected {expected}")
            }
            Self::CheckCharacter {
                place,
                found,
                expected,
            } => write!(
                f,
                "check character at place {place} is {found}, expected {expected}"
            ),
            Self::StartsWith(text) => write!(f, "must start with {text}"),
            Self::Missing(what) => write!(f, "has no {what}"),
            Self::Unexpected(text) => write!(f, "{text:?} does not belong here"),
            Self::Escape(place) => write!(f, "broken percent escape at character {place}"),
            Self::NoFormat(carrier) => {
                write!(f, "has none of the formats that carrier {carrier} issues")
            }
            Self::NotCanonical => write!(f, "is not in canonical form"),
            Self::AllZero => write!(f, "is all zeros, which is a blank and not a number"),
            Self::Unrecognised => write!(
                f,
                "is not a code that is read here (GS1, EPC, drug code or waybill)"
            ),
        }
    }
}

/// The standard in brackets, or nothing.
struct Cited<'a>(&'a &'static str);

impl fmt::Display for Cited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_each_kind_of_rule_when_shown_then_the_message_says_what_to_do() {
        let cases = [
            (
                IdRule::CheckDigit {
                    found: '3',
                    expected: '2',
                },
                "gtin: check digit is 3, expected 2 (S 1)",
            ),
            (
                IdRule::Lengths {
                    allowed: &[8, 12, 13, 14],
                    found: 9,
                },
                "gtin: has 9 characters, expected 8, 12, 13 or 14 (S 1)",
            ),
            (
                IdRule::Character {
                    place: 3,
                    found: 'O',
                    allowed: "a digit",
                },
                "gtin: character 3 is 'O', expected a digit (S 1)",
            ),
            (
                IdRule::Length {
                    min: 1,
                    max: 20,
                    found: 0,
                },
                "gtin: has 0 characters, expected 1 to 20 (S 1)",
            ),
        ];
        for (rule, message) in cases {
            assert_eq!(IdError::new("gtin", rule, "S 1").to_string(), message);
        }
    }

    #[test]
    fn given_no_standard_when_shown_then_there_are_no_brackets() {
        let error = IdError::new("code", IdRule::NotCanonical, "");
        assert_eq!(error.to_string(), "code: is not in canonical form");
    }
}
