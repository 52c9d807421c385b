//! The number formats of the carriers, as a table.
//!
//! Shapes and check digits follow the carriers' label specifications as the project
//! `tracking_number_data` collects them; S10 is UPU standard S10-12. A number passes when it
//! has the shape of one of its carrier's formats and that format's check holds. A carrier
//! that is not in the table has no public rule, and every number passes.

use super::carrier_check::{Check, Method, mod10};
use super::error::{IdError, IdRule};

/// One piece of a number, left to right.
enum Piece {
    /// Exactly this text.
    Text(&'static str),
    /// So many digits.
    Digits(usize),
    /// So many letters.
    Letters(usize),
    /// So many letters or digits.
    Alnums(usize),
    /// Letters or digits from here to the end, at least and at most so many.
    Rest(usize, usize),
    /// One character out of these.
    In(&'static str),
    /// Two letters out of these pairs, written without gaps.
    Pair(&'static str),
}
use Piece::{Alnums, Digits, In, Letters, Pair, Rest, Text};

/// A format: its shape, its check digit where there is one, and how many digits of postal
/// routing may stand in front.
struct Format {
    shape: &'static [Piece],
    check: Option<Check>,
    routing: &'static [usize],
}

const fn shape(shape: &'static [Piece]) -> Format {
    Format {
        shape,
        check: None,
        routing: &[0],
    }
}

/// A shape whose check character stands at `at` and covers all that comes before it.
const fn checked_all(shape: &'static [Piece], method: Method, at: usize) -> Format {
    checked(shape, method, at, at)
}

/// USPS Publication 199: the check digit of every barcode, at `at`.
const fn usps(shape: &'static [Piece], at: usize) -> Format {
    checked_all(shape, mod10(3, 1), at)
}

/// A shape whose check character stands at `at` and covers the `len` characters before it.
const fn checked(shape: &'static [Piece], method: Method, at: usize, len: usize) -> Format {
    Format {
        shape,
        check: Some(Check {
            method,
            at,
            len,
            prepend: "",
        }),
        routing: &[0],
    }
}

impl Format {
    /// The text counts in front of the covered characters, unless they begin with it.
    const fn prepend(self, text: &'static str) -> Self {
        let check = match self.check {
            None => None,
            Some(check) => Some(Check {
                prepend: text,
                ..check
            }),
        };
        Self { check, ..self }
    }

    const fn routing(self, lengths: &'static [usize]) -> Self {
        Self {
            routing: lengths,
            ..self
        }
    }
}

/// USPS: a barcode may begin with 420 and a ZIP code of 5 or 9 digits.
const ZIP5: &[usize] = &[0, 8];
const ZIP5_OR_9: &[usize] = &[0, 8, 12];

const FEDEX_12: Method = Method::Weighted(&[3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1]);
const FEDEX_14: Method = Method::Weighted(&[1, 7, 3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1]);

/// UPU S10-12: service, eight digits, check digit, country of the issuing post. Posts that
/// carry domestic numbers of their own also carry these.
const S10: Format = checked(
    &[Letters(2), Digits(9), Pair(COUNTRIES)],
    Method::S10,
    10,
    8,
);

static CARRIERS: &[(&str, &[Format])] = &[
    (
        "amazon",
        &[
            shape(&[Text("TB"), In("ACM"), Digits(12)]),
            shape(&[In("AFC"), Digits(10)]),
        ],
    ),
    (
        "canada_post",
        &[checked_all(&[Digits(16)], mod10(3, 1), 15), S10],
    ),
    ("canpar", &[shape(&[In("CDKLSUXZ"), Digits(21)])]),
    (
        "dhl",
        &[
            checked_all(&[Digits(10)], Method::Mod7, 9),
            checked_all(&[Digits(11)], Method::Mod7, 10),
            shape(&[Text("J"), Letters(2), Digits(9)]),
            shape(&[Text("J"), Letters(2), Digits(10)]),
            shape(&[Text("J"), Letters(3), Digits(9)]),
            shape(&[Text("J"), Letters(3), Digits(10)]),
            shape(&[Pair("GMLXRXUVCNSGTHINHKMY"), Digits(1), Rest(9, 37)]),
            shape(&[Digits(14)]),
        ],
    ),
    (
        "dpd",
        &[
            checked_all(&[Digits(27), Alnums(1)], Method::Mod37_36, 27),
            checked_all(&[Digits(14), Alnums(1)], Method::Mod37_36, 14),
        ],
    ),
    (
        // China Post. Numbers of another shape are domestic and have no public rule; see
        // `follows_s10`.
        "ems",
        &[S10],
    ),
    (
        "fedex",
        &[
            checked_all(&[Digits(12)], FEDEX_12, 11),
            checked(&[In("012345678"), Digits(33)], FEDEX_14, 33, 13),
            checked(&[Text("3"), Digits(31)], FEDEX_12, 27, 11),
            checked_all(&[Digits(15)], mod10(1, 3), 14),
            // An SSCC-18, whose two leading digits FedEx leaves out of the check.
            checked(&[Digits(18)], mod10(3, 1), 17, 15),
            checked(&[Text("96"), Digits(20)], mod10(1, 3), 21, 14),
            checked(&[Text("96"), Digits(32)], FEDEX_14, 33, 13),
        ],
    ),
    ("gofo", &[shape(&[Text("GFUS"), Digits(14)])]),
    ("landmark", &[shape(&[Text("LTN"), Digits(8), Text("N1")])]),
    (
        "lasership",
        &[
            shape(&[Text("L"), In("AIEHNX"), In("123"), Digits(7)]),
            shape(&[Text("1LS7"), In("12"), Digits(10)]),
            // Printed with a hyphen before its last digit.
            shape(&[
                Text("1LS7"),
                In("12"),
                Digits(2),
                Text("01"),
                In("1234"),
                Digits(6),
                Text("1"),
            ]),
            shape(&[Text("1LSCX"), Alnums(10)]),
        ],
    ),
    (
        "old_dominion",
        &[
            checked_all(&[Text("77"), In("78"), Digits(8)], Method::Luhn, 10),
            checked_all(&[Text("072"), Digits(8)], Method::Luhn, 10),
            checked_all(&[Text("780"), Digits(8)], Method::Luhn, 10),
            checked_all(&[Text("80"), Digits(9)], Method::Luhn, 10),
        ],
    ),
    (
        "ontrac",
        &[
            checked(&[Text("C"), Digits(14)], mod10(1, 2), 14, 13).prepend("4"),
            checked(&[Text("D"), Digits(14)], mod10(1, 2), 14, 13).prepend("5"),
        ],
    ),
    (
        "purolator",
        &[
            checked_all(&[In("012345"), Digits(11)], Method::Luhn, 11),
            shape(&[Letters(3), Digits(9)]),
        ],
    ),
    ("s10", &[S10]),
    ("speedee", &[shape(&[Text("SP"), Digits(18)])]),
    (
        "ups",
        &[
            checked(&[Text("1Z"), Alnums(15), Digits(1)], mod10(1, 2), 17, 15),
            checked(&[In("AHJKTV"), Digits(10)], mod10(1, 2), 10, 9),
        ],
    ),
    (
        "usps",
        &[
            usps(&[Digits(20)], 19),
            // The same 20 digits whose check counts the 91 that the barcode leaves out.
            usps(&[Digits(20)], 19).prepend("91").routing(ZIP5_OR_9),
            usps(&[Text("91"), Digits(20)], 21).routing(ZIP5_OR_9),
            usps(&[Text("94"), Digits(20)], 21).routing(ZIP5_OR_9),
            usps(&[Text("95"), Digits(20)], 21).routing(ZIP5_OR_9),
            usps(&[Text("92"), Digits(3), Text("9"), Digits(16)], 21).routing(ZIP5_OR_9),
            usps(&[Text("93"), Digits(3), In("012345678"), Digits(16)], 21).routing(ZIP5_OR_9),
            usps(&[Text("94"), Digits(24)], 25).routing(ZIP5),
            usps(&[Text("95"), Digits(24)], 25).routing(ZIP5),
            usps(&[Text("92"), Digits(3), Text("9"), Digits(20)], 25).routing(ZIP5),
            usps(&[Text("93"), Digits(3), In("012345678"), Digits(20)], 25).routing(ZIP5),
            usps(&[Text("94"), Digits(3), Text("9"), Digits(24)], 29),
            S10,
        ],
    ),
    (
        "yodel",
        &[
            shape(&[Text("JD"), Digits(16)]),
            shape(&[Text("JJD"), Digits(16)]),
        ],
    ),
    ("yunexpress", &[shape(&[Text("YT"), Digits(16)])]),
];

/// ISO 3166-1 alpha-2, all officially assigned: S10-12 names the issuing post by them.
const COUNTRIES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZ\
CACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGN\
GPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULV\
LYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPT\
PWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUS\
UYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";

/// Checks a number, of letters and digits only, by the formats of its carrier.
///
/// # Errors
/// The number has none of the shapes, or the check of each shape that it has fails: then
/// the first of them is told, with the expected character.
pub(super) fn check(carrier: &str, number: &str) -> Result<(), IdError> {
    let Some((_, formats)) = CARRIERS.iter().find(|(name, _)| *name == carrier) else {
        return Ok(());
    };
    if carrier == "ems" && !follows_s10(number) {
        return Ok(());
    }
    let mut refused = None;
    for body in formats.iter().flat_map(|format| bodies(format, number)) {
        match body {
            Ok(()) => return Ok(()),
            Err(rule) => refused = refused.or(Some(rule)),
        }
    }
    let rule = refused.unwrap_or_else(|| IdRule::NoFormat(carrier.to_owned()));
    Err(IdError::new(
        "waybill number",
        rule,
        "number formats of the carrier",
    ))
}

/// China Post numbers its domestic express items with 13 digits, without a public rule; the
/// 13 characters that begin with a letter are international and follow S10.
fn follows_s10(number: &str) -> bool {
    number.len() == 13 && number.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The outcome for each way in which the number has this format's shape.
fn bodies<'a>(
    format: &'a Format,
    number: &'a str,
) -> impl Iterator<Item = Result<(), IdRule>> + 'a {
    format
        .routing
        .iter()
        .filter_map(|length| without_routing(number, *length))
        .filter(|body| fits(format.shape, body))
        .map(|body| match &format.check {
            None => Ok(()),
            Some(check) => verify(check, body),
        })
}

fn without_routing(number: &str, length: usize) -> Option<&[u8]> {
    let (routing, body) = number.as_bytes().split_at_checked(length)?;
    let is_zip = routing.starts_with(b"420") && routing.iter().all(u8::is_ascii_digit);
    (length == 0 || is_zip).then_some(body)
}

fn verify(check: &Check, body: &[u8]) -> Result<(), IdRule> {
    let (Some(expected), Some(found)) = (check.expected(body), body.get(check.at)) else {
        // The shape is as long as its check needs; a test holds the table to that.
        return Err(IdRule::Missing("check digit"));
    };
    if *found == expected {
        return Ok(());
    }
    let (found, expected) = (char::from(*found), char::from(expected));
    Err(IdRule::CheckDigit { found, expected })
}

fn fits(shape: &[Piece], mut text: &[u8]) -> bool {
    for piece in shape {
        let (length, allows): (usize, fn(&u8) -> bool) = match piece {
            Text(exact) => (exact.len(), |_| true),
            Digits(count) => (*count, u8::is_ascii_digit),
            Letters(count) => (*count, u8::is_ascii_uppercase),
            Alnums(count) => (*count, u8::is_ascii_alphanumeric),
            Rest(min, max) if (*min..=*max).contains(&text.len()) => {
                (text.len(), u8::is_ascii_alphanumeric)
            }
            Rest(..) => return false,
            In(_) => (1, |_| true),
            Pair(_) => (2, u8::is_ascii_uppercase),
        };
        let Some((head, rest)) = text.split_at_checked(length) else {
            return false;
        };
        let named = match piece {
            Text(exact) => head == exact.as_bytes(),
            In(members) => members.as_bytes().contains(&head[0]),
            Pair(pairs) => pairs.as_bytes().chunks_exact(2).any(|pair| pair == head),
            _ => true,
        };
        if !named || !head.iter().all(allows) {
            return false;
        }
        text = rest;
    }
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed_length(shape: &[Piece]) -> usize {
        let length = |piece: &Piece| match piece {
            Text(text) => text.len(),
            Digits(count) | Letters(count) | Alnums(count) => *count,
            Rest(min, _) => *min,
            In(_) => 1,
            Pair(_) => 2,
        };
        shape.iter().map(length).sum()
    }

    #[test]
    fn given_the_table_when_walked_then_every_check_lies_inside_its_shape() {
        for (carrier, formats) in CARRIERS {
            for format in *formats {
                assert!(format.routing.starts_with(&[0]), "{carrier}");
                let Some(check) = &format.check else { continue };
                assert!(check.at < fixed_length(format.shape), "{carrier}");
                assert!((1..=check.at).contains(&check.len), "{carrier}");
                if let Method::Weighted(weights) = check.method {
                    assert_eq!(weights.len(), check.len, "{carrier}");
                }
            }
        }
    }

    #[test]
    fn given_a_post_outside_iso_3166_when_checked_then_the_shape_is_refused() {
        assert_eq!(check("s10", "RB123456785CN"), Ok(()));
        assert_eq!(check("usps", "RB123456785US"), Ok(()));
        let error = check("s10", "RB123456785XX").unwrap_err();
        assert_eq!(error.rule, IdRule::NoFormat("s10".to_owned()));
        assert_eq!(COUNTRIES.len(), 249 * 2);
    }
}
