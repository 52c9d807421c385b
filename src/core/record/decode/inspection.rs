//! The bodies of records of inspections.

use super::fields::{id, key_id, needed_digest, text};
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::credit::inspection::{Drawn, MAX_DRAWN, MAX_INSPECTORS, Rates, Seed};
use crate::core::credit::{CreditTier, InspectionOutcome};
use crate::core::id::PartyId;
use crate::core::record::inspection::{AnnounceInspections, InspectionBody};
use crate::core::record::{CalendarDate, Role};
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// None when it is another kind of record.
pub(super) fn inspection_body(body: &WireBody) -> Option<Checked<InspectionBody>> {
    Some(match body {
        WireBody::AnnounceInspections(b) => announce(b),
        WireBody::DrawInspections(b) => draw(b),
        WireBody::RecordInspection(b) => result(b),
        _ => return None,
    })
}

fn announce(b: &wire::AnnounceInspections) -> Checked<InspectionBody> {
    let field = |name: &str| format!("announce_inspections.{name}");
    text(&b.document, &field("document"), 1, MAX_NAME)?;
    text(&b.legal_basis, &field("legal_basis"), 1, MAX_TEXT)?;
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    if b.region.len() > 6 || !b.region.chars().all(plain) {
        return Err(Refusal::field(
            field("region"),
            "an ISO 3166 code or its beginning, such as CN-FJ",
        ));
    }
    let role = Role::from_number(b.role).filter(|role| role.is_trade());
    let role =
        role.ok_or_else(|| Refusal::field(field("role"), "MAKER, DISTRIBUTOR, SELLER or COURIER"))?;
    let rates = b.rates.unwrap_or_default();
    let rates = [rates.a, rates.b, rates.c, rates.d, rates.unrated];
    if rates.iter().any(|rate| *rate > 1_000) || rates == [0; 5] {
        return Err(Refusal::field(
            field("rates"),
            "0 to 1000 of a thousand firms of each tier, and not 0 of all",
        ));
    }
    let inspectors = b.inspectors.iter().enumerate();
    let inspectors = inspectors.map(|(i, key)| key_id(key, &field(&format!("inspectors[{i}]"))));
    let mut inspectors = inspectors.collect::<Checked<Vec<_>>>()?;
    inspectors.sort_unstable();
    inspectors.dedup();
    if !(1..=MAX_INSPECTORS).contains(&b.inspectors.len()) || inspectors.len() != b.inspectors.len()
    {
        return Err(Refusal::field(
            field("inspectors"),
            format!("1 to {MAX_INSPECTORS} keys, each once"),
        ));
    }
    let secret_commitment = bytes32(&b.secret_commitment, &field("secret_commitment"))?;
    Ok(InspectionBody::Announce(AnnounceInspections {
        document: b.document.clone(),
        legal_basis: b.legal_basis.clone(),
        role,
        region: b.region.clone(),
        rates: Rates(rates),
        inspectors,
        secret_commitment,
    }))
}

fn draw(b: &wire::DrawInspections) -> Checked<InspectionBody> {
    if b.drawn.len() > MAX_DRAWN {
        return Err(Refusal::field(
            "draw_inspections.drawn",
            format!("at most {MAX_DRAWN}; announce inspections of smaller regions"),
        ));
    }
    let seed = Seed {
        root: bytes32(&b.seed, "draw_inspections.seed")?,
        secret: bytes32(&b.secret, "draw_inspections.secret")?,
    };
    let drawn = b.drawn.iter().enumerate().map(drawn_party);
    let drawn: Vec<(PartyId, Drawn)> = drawn.collect::<Checked<_>>()?;
    if !drawn.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(Refusal::field(
            "draw_inspections.drawn",
            "by party id, each once",
        ));
    }
    Ok(InspectionBody::Draw {
        plan: LogIndex(b.plan),
        seed,
        drawn,
    })
}

fn bytes32(bytes: &[u8], field: &str) -> Checked<[u8; 32]> {
    let bytes = bytes.try_into();
    bytes.map_err(|_| Refusal::field(field, "32 bytes"))
}

fn drawn_party((i, b): (usize, &wire::DrawnParty)) -> Checked<(PartyId, Drawn)> {
    let field = |name: &str| format!("draw_inspections.drawn[{i}].{name}");
    let party = id(&b.party, &field("party"))?;
    let tier = CreditTier::from_number(b.tier);
    let drawn = Drawn {
        tier: tier.ok_or_else(|| Refusal::field(field("tier"), "A, B, C, D or UNRATED"))?,
        rate_per_mille: b.rate_per_mille,
        inspector: key_id(&b.inspector, &field("inspector"))?,
    };
    Ok((party, drawn))
}

fn result(b: &wire::RecordInspection) -> Checked<InspectionBody> {
    text(&b.document, "record_inspection.document", 1, MAX_NAME)?;
    needed_digest(b.report.as_ref(), "record_inspection.report")?;
    let result = InspectionOutcome::from_number(b.result);
    Ok(InspectionBody::Result {
        plan: LogIndex(b.plan),
        party: id(&b.party, "record_inspection.party")?,
        result: result
            .ok_or_else(|| Refusal::field("record_inspection.result", "say what was found"))?,
        date: CalendarDate::parse(b.date, "record_inspection.date")?,
        document: b.document.clone(),
    })
}
