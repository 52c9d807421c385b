//! Where the identifiers of EPCIS meet those of the ledger.
//!
//! EPCIS writes an identifier as an EPC pure identity URN or as a GS1 Digital Link (CBV 2.0
//! section 8.2); the ledger has one canonical text. Only this file knows both.

use super::error::EventRefusal;
use crate::core::id::{Gln, Gtin14, LocationId, Lot, PartyId, UnitId, digital_link, epc, escaped};

/// Length of the company prefix that stands for "the source wrote a Digital Link".
pub(super) const DIGITAL_LINK: u32 = 0;
/// Before a party id that has no GLN.
const PARTY: &str = "urn:x-custody:v1:party:";

/// GS1 keys that name things which are no units, by the scheme of the URN and by the
/// application identifier of the Digital Link.
const OTHER_KEYS: [(&str, &str, &str); 15] = [
    ("grai", "8003", "a returnable asset (GRAI)"),
    ("giai", "8004", "an individual asset (GIAI)"),
    ("gsrn", "8018", "a service relation (GSRN)"),
    ("gsrnp", "8017", "a service provider relation (GSRNP)"),
    ("gdti", "253", "a document (GDTI)"),
    ("cpi", "8010", "a component or part (CPI)"),
    ("sgcn", "255", "a coupon (GCN)"),
    ("ginc", "401", "a consignment (GINC)"),
    ("gsin", "402", "a shipment (GSIN)"),
    ("itip", "8006", "a piece of a trade item (ITIP)"),
    ("upui", "235", "a tobacco unit pack (UPUI)"),
    ("sgln", "414", "a location (SGLN)"),
    ("pgln", "417", "a party (PGLN)"),
    ("bic", "", "a freight container (BIC)"),
    ("imovn", "", "a ship (IMOVN)"),
];

/// A unit and how the source spelled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Canonical text.
    pub(super) id: String,
    /// Length of the company prefix, or [`DIGITAL_LINK`].
    pub(super) prefix_length: u32,
}

/// Reads an EPC that must be a unit.
pub(super) fn read_unit(text: &str) -> Result<Unit, EventRefusal> {
    if let Some(rest) = text.strip_prefix("urn:epc:id:sgtin:") {
        let read = epc::parse_sgtin_urn(text).map(|(id, _)| UnitId::Sgtin(id));
        return unit(text, read.map(|id| (id, prefix_length(rest))));
    }
    if let Some(rest) = text.strip_prefix("urn:epc:id:sscc:") {
        let read = epc::parse_sscc_urn(text).map(|(id, _)| UnitId::Sscc(id));
        return unit(text, read.map(|id| (id, prefix_length(rest))));
    }
    if let Some(kind) = other_key(text) {
        let identifier = text.to_owned();
        return Err(EventRefusal::NotAUnit { identifier, kind });
    }
    match digital_link::parse_unit(text) {
        Ok((_, Some(_))) => Err(extra(text, "it carries a lot beside the serial")),
        Ok(_) if text.contains(['?', '#']) => Err(extra(text, "it carries more than the key")),
        read => unit(text, read.map(|(id, _)| (id, DIGITAL_LINK))),
    }
}

fn unit<E: std::fmt::Display>(
    text: &str,
    read: Result<(UnitId, u32), E>,
) -> Result<Unit, EventRefusal> {
    match read {
        Ok((id, prefix_length)) => Ok(Unit {
            id: id.to_string(),
            prefix_length,
        }),
        Err(error) => Err(EventRefusal::Identifier {
            identifier: text.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Two links that differ in more than the key would be one unit here and lose the rest.
fn extra(text: &str, what: &str) -> EventRefusal {
    EventRefusal::Identifier {
        identifier: text.to_owned(),
        reason: format!(
            "{what}; in an event a Digital Link is the key alone (CBV 2.0 section 8.2)"
        ),
    }
}

/// Digits before the first dot. The readers have checked that there are 6 to 12.
fn prefix_length(rest: &str) -> u32 {
    rest.bytes()
        .take_while(|b| *b != b'.')
        .fold(0, |n, _| n + 1)
}

fn other_key(text: &str) -> Option<&'static str> {
    if let Some(rest) = text.strip_prefix("urn:epc:id:") {
        let scheme = rest.split(':').next().unwrap_or_default();
        let known = OTHER_KEYS.iter().find(|(urn, _, _)| *urn == scheme);
        return Some(known.map_or("an EPC of another kind", |(_, _, kind)| kind));
    }
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Some("an identifier that is not GS1's");
    }
    let is = |key: &str| text.split('/').skip(3).any(|segment| segment == key);
    if ["00", "21", "waybill", "drug"].into_iter().any(is) {
        return None;
    }
    let known = OTHER_KEYS
        .iter()
        .find(|(_, ai, _)| !ai.is_empty() && is(ai));
    Some(match known {
        Some((_, _, kind)) => kind,
        None if is("01") => "a class of trade items (GTIN without a serial)",
        None => "a web address without a GS1 key",
    })
}

/// Spells a unit as the source did.
pub(super) fn spell_unit(id: &str, prefix_length: u32, resolver: &str) -> Result<String, String> {
    let unit: UnitId = id.parse().map_err(|e| format!("{id:?}: {e}"))?;
    if prefix_length == DIGITAL_LINK {
        return Ok(unit.to_digital_link(resolver));
    }
    let length = u8::try_from(prefix_length).map_err(|_| "company prefix too long".to_owned())?;
    unit.to_epc_urn(length).map_err(|e| format!("{id:?}: {e}"))
}

/// The canonical location of a read point, where it is a GS1 location.
pub(super) fn read_location(text: &str) -> Option<String> {
    let is_location = text.starts_with("urn:epc:id:sgln:") || is_web(text);
    is_location
        .then(|| LocationId::parse_any(text).ok())
        .flatten()
        .map(|location| location.to_string())
}

fn is_web(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The link of a canonical location.
pub(super) fn spell_location(id: &str, resolver: &str) -> Result<String, String> {
    let location: LocationId = id.parse().map_err(|e| format!("{id:?}: {e}"))?;
    Ok(location.to_digital_link(resolver))
}

/// The party that a source or destination names: by the GLN of a party or of a location, or by
/// a code that this module wrote.
pub(super) fn read_party(text: &str) -> Option<String> {
    if let Some(id) = text.strip_prefix(PARTY) {
        return id.parse().ok().map(|party: PartyId| party.to_string());
    }
    let gln: Option<Gln> = if let Some(rest) = text.strip_prefix("urn:epc:id:pgln:") {
        // A PGLN is an SGLN without the extension (EPC Tag Data Standard 1.13, section 6.3).
        LocationId::parse_any(&format!("urn:epc:id:sgln:{rest}.0"))
            .ok()
            .map(|location| location.gln())
    } else if let Some((_, digits)) = text.split_once("/417/").filter(|_| is_web(text)) {
        digits.parse().ok()
    } else if text.starts_with("urn:epc:id:sgln:") || is_web(text) {
        LocationId::parse_any(text)
            .ok()
            .map(|location| location.gln())
    } else {
        None
    };
    gln.map(|gln| PartyId::Gln(gln).to_string())
}

/// The URI of a party.
pub(super) fn spell_party(id: &str, resolver: &str) -> Result<String, String> {
    match id.parse().map_err(|e| format!("{id:?}: {e}"))? {
        PartyId::Gln(gln) => Ok(format!("{}/417/{gln}", resolver.trim_end_matches('/'))),
        party @ PartyId::Uscc(_) => Ok(format!("{PARTY}{party}")),
    }
}

/// The link of a class of trade items, or of one lot of it.
pub(super) fn spell_class(gtin: &str, lot: Option<&str>, resolver: &str) -> Result<String, String> {
    let gtin: Gtin14 = gtin.parse().map_err(|e| format!("{gtin:?}: {e}"))?;
    let base = format!("{}/01/{gtin}", resolver.trim_end_matches('/'));
    let Some(lot) = lot else { return Ok(base) };
    let lot = Lot::new(lot).map_err(|e| format!("{lot:?}: {e}"))?;
    Ok(format!("{base}/10/{}", escaped(lot.as_str())))
}
