//! Search: a unit or waybill, a party, an entry, a case; or findings by place and time.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::alerts::View;
use super::{Desk, Frame, framed, in_query};
use crate::api::log::first_entry_since;
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{CalendarDate, Millis};
use crate::core::wire;
use crate::core::words::{Choice as _, choices};
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Parties, and findings, that are shown.
const SHOWN: usize = 100;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// A code, a party, an entry's number, or a part of a party's name.
    q: String,
    kind: String,
    region: String,
    city: String,
    /// Days, YYYY-MM-DD in China.
    from: String,
    until: String,
    page: String,
}

#[derive(Template)]
#[template(path = "desk/search.html")]
struct SearchPage {
    site: Site,
    desk: Frame,
    asked: Asked,
    kinds: Vec<(&'static str, &'static str)>,
    parties: Vec<wire::Party>,
    findings: Option<Vec<View>>,
    next: String,
    /// The first entry of the day that was asked for.
    entry: Option<u64>,
    said: &'static str,
}

framed!(SearchPage);

/// What names one thing leads there.
fn named(q: &str, size: u64) -> Option<String> {
    if let Ok(index) = q.trim_start_matches('#').parse::<u64>()
        && index < size
    {
        return Some(format!("/desk/entries/{index}"));
    }
    if let Ok(party) = q.parse::<PartyId>() {
        return Some(format!("/desk/parties/{party}"));
    }
    let unit = UnitId::parse_any(q).ok()?;
    Some(format!("/desk/units/{}", in_query(&unit.to_string())))
}

/// The first moment of a day in China.
fn begins(day: &str) -> Option<u64> {
    let number = day.replace('-', "").parse().ok()?;
    let day = CalendarDate::parse(number, "day").ok()?.day();
    (u64::from(day) * 86_400_000).checked_sub(8 * 3_600_000)
}

pub(super) async fn page(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let q = asked.q.trim();
    if let Some(path) = named(q, desk.web.node.head().borrow().size) {
        return Ok(Redirect::to(&path).into_response());
    }
    let parties = if q.is_empty() {
        Vec::new()
    } else {
        called(&desk, q).await?
    };
    let by_place = [
        &asked.kind,
        &asked.region,
        &asked.city,
        &asked.from,
        &asked.until,
    ];
    let by_place = by_place.iter().any(|part| !part.is_empty());
    let (mut findings, mut next) = (None, String::new());
    if by_place {
        let (found, token) = found(&desk, &asked).await?;
        findings = Some(found);
        if !token.is_empty() {
            next = format!(
                "/desk/search?kind={}&region={}&city={}&from={}&until={}&page={token}",
                in_query(&asked.kind),
                in_query(&asked.region),
                in_query(&asked.city),
                in_query(&asked.from),
                in_query(&asked.until),
            );
        }
    }
    let entry = match begins(&asked.from) {
        Some(time) => first_entry_since(&desk.web.node, Millis(time))
            .await?
            .map(|index| index.0),
        None => None,
    };
    let said = if !q.is_empty() && parties.is_empty() {
        lang.pick(
            "没有这个名称的主体；这也不是商品编码、运单号、主体标识或日志序号。",
            "No party has this name, and it is no code of goods, waybill, party id or number of an entry.",
        )
    } else {
        ""
    };
    Ok(shown(&SearchPage {
        kinds: choices(wire::FindingKind::all(), lang),
        site: desk.site,
        desk: desk.frame,
        asked,
        parties,
        findings,
        next,
        entry,
        said,
    }))
}

/// Parties whose name or id has a part.
async fn called(desk: &Desk, part: &str) -> Result<Vec<wire::Party>, Problem> {
    let part = part.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&part);
    desk.parties(SHOWN, |party| has(&party.name) || has(&party.id))
        .await
}

/// Findings by kind, place and time.
async fn found(desk: &Desk, asked: &Asked) -> Result<(Vec<View>, String), Problem> {
    const DAY: u64 = 86_400_000;
    let kind = wire::FindingKind::from_str_name(&asked.kind);
    let filter = wire::FindingFilter {
        kinds: kind.map(i32::from).into_iter().collect(),
        from_ms: begins(&asked.from).unwrap_or(0),
        until_ms: begins(&asked.until).map_or(0, |day| day + DAY),
        region: asked.region.trim().to_owned(),
        city: asked.city.trim().to_owned(),
        ..wire::FindingFilter::default()
    };
    let request = wire::ListFindingsRequest {
        filter: Some(filter),
        page_size: u32::try_from(SHOWN).unwrap_or(u32::MAX),
        page_token: asked.page.clone(),
    };
    let answer = desk
        .ledger
        .regulator()
        .list_findings(request)
        .await?
        .into_inner();
    Ok((desk.found(&answer.findings).await?, answer.next_page_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_thing_leads_there_and_a_name_leads_nowhere() {
        let size = 100_000_000;
        for (q, path) in [
            ("12345678", Some("/desk/entries/12345678")),
            ("#7", Some("/desk/entries/7")),
            ("100000000", None),
            ("gln:0614141000005", Some("/desk/parties/gln:0614141000005")),
            (
                "81234567890123456789",
                Some("/desk/units/drug%2F81234567890123456789"),
            ),
            (
                "sf:SF1234567890123",
                Some("/desk/units/waybill%2Fsf%3ASF1234567890123"),
            ),
            ("Fast Courier", None),
            ("", None),
        ] {
            assert_eq!(named(q, size).as_deref(), path, "{q}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_in_china() {
        assert_eq!(begins("1970-01-02"), Some(16 * 3_600_000));
        assert_eq!(begins("2026-02-30"), None);
        assert_eq!(begins(""), None);
    }
}
