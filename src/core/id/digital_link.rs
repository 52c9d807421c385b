//! GS1 Digital Link URIs: what the code on the goods says, and where a phone goes.
//!
//! GS1 Digital Link Standard, URI Syntax 1.3, section 4. The identifier is in the path,
//! after whatever path the resolver has of its own; the query and the fragment identify
//! nothing and are ignored. Waybills and drug codes have no GS1 key: for them the ledger
//! uses the same shape with the words `waybill` and `drug`.
//!
//! A serial of `.` or `..` is allowed by GS1 and survives here, but browsers drop such path
//! segments however they are written, so its link works only as text.

use super::UnitId;
use super::drug_code::DrugCode;
use super::error::{IdError, IdRule};
use super::gln::{Gln, LocationId};
use super::gtin::{Gtin14, Lot, Serial, Sgtin, Variant};
use super::percent;
use super::waybill::Waybill;

const STANDARD: &str = "GS1 Digital Link URI Syntax 1.3, section 4";
const FIELD: &str = "digital link";

/// Whether the text is a web address.
pub(super) fn is_link(text: &str) -> bool {
    after_scheme(text).is_some()
}

/// Reads the unit that a link names, and the lot where the link tells one.
///
/// # Errors
/// Not a web address, no key in its path, qualifiers that are unknown or out of order, no
/// serial, or a part that is wrong.
pub fn parse_unit(link: &str) -> Result<(UnitId, Option<Lot>), IdError> {
    let segments = path_segments(link)?;
    let (key, value, qualifiers) = find_key(&segments, &["01", "00", "waybill", "drug"])?;
    if key == "01" {
        return parse_item(value, qualifiers);
    }
    if let [extra, ..] = qualifiers {
        return Err(refuse(IdRule::unexpected(extra)));
    }
    let value = percent::decode(FIELD, value)?;
    let unit = match key {
        "00" => UnitId::Sscc(value.parse()?),
        "drug" => UnitId::DrugCode(value.parse::<DrugCode>()?),
        _ => UnitId::Waybill(value.parse::<Waybill>()?),
    };
    Ok((unit, None))
}

/// Reads the product that a link names, and the lot where it tells one; none where it names a single item.
///
/// # Errors
/// As [`parse_unit`], but that a serial is not missed.
pub fn parse_goods(link: &str) -> Result<Option<(Gtin14, Option<Lot>)>, IdError> {
    let segments = path_segments(link)?;
    let (_, gtin, qualifiers) = find_key(&segments, &["01"])?;
    let item = Qualified::read(gtin, qualifiers)?;
    Ok(item.serial.is_none().then_some((item.gtin, item.lot)))
}

/// Reads the place that a link with AI 414 names.
pub(super) fn parse_location(link: &str) -> Result<LocationId, IdError> {
    let segments = path_segments(link)?;
    let (_, value, qualifiers) = find_key(&segments, &["414"])?;
    let gln: Gln = percent::decode("gln", value)?.parse()?;
    match qualifiers {
        [] => Ok(LocationId::whole(gln)),
        ["254", extension] => {
            let extension = percent::decode("location extension", extension)?;
            LocationId::new(gln, Some(&extension))
        }
        [other, ..] => Err(refuse(IdRule::unexpected(other))),
    }
}

/// The link of a unit at a resolver.
pub(super) fn of_unit(unit: &UnitId, resolver: &str) -> String {
    let base = resolver.trim_end_matches('/');
    match unit {
        UnitId::Sgtin(id) => {
            let serial = percent::escaped(id.serial.as_str());
            format!("{base}/01/{}/21/{serial}", id.gtin)
        }
        // None of these has a character that a path must escape.
        UnitId::Sscc(_) | UnitId::Waybill(_) | UnitId::DrugCode(_) => format!("{base}/{unit}"),
    }
}

/// The link of a place at a resolver.
pub(super) fn of_location(location: &LocationId, resolver: &str) -> String {
    let base = resolver.trim_end_matches('/');
    let gln = location.gln();
    match location.extension() {
        None => format!("{base}/414/{gln}"),
        Some(extension) => {
            let extension = percent::escaped(extension);
            format!("{base}/414/{gln}/254/{extension}")
        }
    }
}

fn refuse(rule: IdRule) -> IdError {
    IdError::new(FIELD, rule, STANDARD)
}

fn after_scheme(link: &str) -> Option<&str> {
    let (scheme, rest) = link.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    is_web.then_some(rest)
}

/// The path, cut at its slashes; one slash at the end is forgiven.
fn path_segments(link: &str) -> Result<Vec<&str>, IdError> {
    let rest = after_scheme(link).ok_or_else(|| refuse(IdRule::StartsWith("https://")))?;
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (_, path) = rest[..end]
        .split_once('/')
        .ok_or_else(|| refuse(IdRule::Missing("path")))?;
    Ok(path.strip_suffix('/').unwrap_or(path).split('/').collect())
}

/// A key, its value, and the qualifiers after them, name and value in turn.
type Keyed<'s, 'a> = (&'a str, &'a str, &'s [&'a str]);

/// Finds the key that is nearest to the end. Names and values alternate, so counted from
/// the end a name is always in an even place: neither a serial `01` nor a resolver whose
/// own path has a `00` in it is taken for a key.
fn find_key<'s, 'a>(segments: &'s [&'a str], keys: &[&str]) -> Result<Keyed<'s, 'a>, IdError> {
    segments
        .rchunks_exact(2)
        .enumerate()
        .find_map(|(i, pair)| match pair {
            [key, value] if keys.contains(key) => {
                Some((*key, *value, &segments[segments.len() - 2 * i..]))
            }
            _ => None,
        })
        .ok_or_else(|| refuse(IdRule::Missing("key (such as /01/ or /00/) in its path")))
}

fn parse_item(gtin: &str, qualifiers: &[&str]) -> Result<(UnitId, Option<Lot>), IdError> {
    let Qualified { gtin, lot, serial } = Qualified::read(gtin, qualifiers)?;
    let serial = serial.ok_or_else(|| refuse(IdRule::Missing("serial (/21/...)")))?;
    Ok((UnitId::Sgtin(Sgtin { gtin, serial }), lot))
}

/// A GTIN with its qualifiers: variant (22), lot (10), serial (21), in this order.
struct Qualified {
    gtin: Gtin14,
    lot: Option<Lot>,
    serial: Option<Serial>,
}

impl Qualified {
    fn read(gtin: &str, qualifiers: &[&str]) -> Result<Self, IdError> {
        const ORDER: [&str; 3] = ["22", "10", "21"];
        let gtin = Gtin14::parse_any(&percent::decode("gtin", gtin)?)?;
        let (mut lot, mut serial, mut next) = (None, None, 0);
        for pair in qualifiers.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let place = ORDER
                .iter()
                .skip(next)
                .position(|known| known == name)
                .ok_or_else(|| refuse(IdRule::unexpected(name)))?;
            next += place + 1;
            match *name {
                "21" => serial = Some(Serial::new(&percent::decode("serial", value)?)?),
                "10" => lot = Some(Lot::new(&percent::decode("lot", value)?)?),
                _ => {
                    Variant::new(&percent::decode("variant", value)?)?;
                }
            }
        }
        Ok(Self { gtin, lot, serial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_links_in_every_allowed_shape_when_read_then_they_name_the_unit() {
        for (link, text, lot) in [
            (
                "https://id.gs1.org/01/09521141012345/21/2017",
                "01/09521141012345/21/2017",
                None,
            ),
            (
                "HTTP://e.cn:8080/a/00/b/01/09521141012345/22/2A/10/L%2F1/21/20%2F17?17=261231#x",
                "01/09521141012345/21/20/17",
                Some("L/1"),
            ),
            (
                "https://id.gs1.org/01/6901234567892/21/01",
                "01/06901234567892/21/01",
                None,
            ),
            (
                "https://id.gs1.org/01/00/01/96385074/10/01/21/00/",
                "01/00000096385074/21/00",
                Some("01"),
            ),
            (
                "https://e.cn/00/106141412345678908",
                "00/106141412345678908",
                None,
            ),
            (
                "https://e.cn/waybill/sf:SF1234567890123",
                "waybill/sf:SF1234567890123",
                None,
            ),
            (
                "https://e.cn/drug/81234567890123456789",
                "drug/81234567890123456789",
                None,
            ),
        ] {
            let (unit, found) = parse_unit(link).unwrap();
            assert_eq!(unit.to_string(), text, "{link}");
            assert_eq!(found.as_ref().map(Lot::as_str), lot, "{link}");
        }
    }

    #[test]
    fn given_links_of_a_product_or_a_lot_when_read_then_they_name_it_and_those_of_items_do_not() {
        for (link, lot) in [
            ("https://e.cn/01/9521141012345", Some(None)),
            (
                "https://e.cn/01/9521141012345/22/2A/10/L%2F1",
                Some(Some("L/1")),
            ),
            ("https://e.cn/01/9521141012345/21/1", None),
        ] {
            let goods = parse_goods(link).unwrap();
            let found = goods.as_ref().map(|(_, lot)| lot.as_ref().map(Lot::as_str));
            assert_eq!(found, lot, "{link}");
        }
        for link in [
            "https://e.cn/01/9521141012346",
            "https://e.cn/01/9521141012345/10/L/22/1",
        ] {
            assert!(parse_goods(link).is_err(), "{link}");
        }
    }

    #[test]
    fn given_links_that_name_no_unit_when_read_then_they_are_refused() {
        for link in [
            "https://id.gs1.org",
            "https://id.gs1.org/",
            "https://id.gs1.org/01/09521141012345",
            "https://id.gs1.org/01/09521141012345/10/L",
            "https://id.gs1.org/01/09521141012346/21/1",
            "https://id.gs1.org/01/09521141012345/21/1/10/L",
            "https://id.gs1.org/01/09521141012345/21/1/21/2",
            "https://id.gs1.org/01/09521141012345/99/1/21/2",
            "https://id.gs1.org/01/09521141012345/21/",
            "https://id.gs1.org/01/09521141012345/21/%20",
            "https://id.gs1.org/01/09521141012345/21/%",
            "https://id.gs1.org/00/106141412345678908/21/1",
            "ftp://id.gs1.org/01/09521141012345/21/2017",
        ] {
            assert!(parse_unit(link).is_err(), "{link}");
        }
    }
}
