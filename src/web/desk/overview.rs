//! The first page of the desk: what waits, and how it goes, province by province and day by day.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::alerts::View;
use super::lists::{Waiting, waiting};
use super::{Desk, Frame, framed};
use crate::core::record::CalendarDate;
use crate::core::wire;
use crate::node;
use crate::web::map::{CHINA, Inset, Province};
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Open alerts that are shown.
const ALERTS: u32 = 8;
/// Shades of the map.
const SHADES: u64 = 5;
/// Of fewer records a rate says nothing.
const FEW: u64 = 30;
/// Provinces and cities that are listed.
const PLACES: usize = 40;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Days back from today.
    days: Option<u32>,
    region: String,
}

/// Counts of a day, or of a place.
#[derive(Clone, Debug, Default)]
struct Count {
    records: u64,
    look_closer: u64,
    do_not_sell: u64,
    signals: u64,
}

impl Count {
    const fn add(&mut self, more: &wire::Activity) {
        self.records += more.records;
        self.look_closer += more.look_closer;
        self.do_not_sell += more.do_not_sell;
        self.signals += more.signals;
    }

    const fn breaks(&self) -> u64 {
        self.look_closer + self.do_not_sell
    }

    /// Breaks of ten thousand records.
    fn rate(&self) -> u64 {
        (self.breaks() * 10_000)
            .checked_div(self.records)
            .unwrap_or(0)
    }

    /// The same, as people read it.
    fn percent(&self) -> String {
        let rate = self.rate();
        format!("{}.{:02} %", rate / 100, rate % 100)
    }
}

/// A day of the chart.
struct Day {
    /// As people read it.
    name: String,
    /// Seconds since 1970 of its noon in China.
    at: u64,
    count: Count,
}

/// A place of the table.
struct Place {
    region: String,
    name: String,
    count: Count,
}

/// A province of the map.
struct Shape {
    province: &'static Province,
    /// From 0, nothing recorded, and 1, no breaks, to the highest rate.
    shade: u64,
    said: String,
}

#[derive(Template)]
#[template(path = "desk/overview.html")]
struct OverviewPage {
    site: Site,
    desk: Frame,
    asked: Asked,
    days_back: u32,
    stats: wire::StatsResponse,
    total: Count,
    alerts: Vec<View>,
    queue: Vec<wire::Case>,
    waiting: Vec<Waiting>,
    view_box: [i32; 4],
    shapes: Vec<Shape>,
    sea: &'static Inset,
    places: Vec<Place>,
    more_places: usize,
    days: Vec<Day>,
    counted: u64,
}

framed!(OverviewPage);

pub(super) async fn page(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let days_back = asked.days.unwrap_or(30).clamp(1, 365);
    let today = u32::try_from(node::now().day_in_china()).unwrap_or(u32::MAX);
    let first = today.saturating_sub(days_back - 1);
    let mut regulator = desk.ledger.regulator();
    let request = wire::GetActivityRequest {
        from_day: CalendarDate::of_day(first).number(),
        until_day: CalendarDate::of_day(today).number(),
        region: asked.region.clone(),
    };
    let activity = regulator.get_activity(request).await?.into_inner();
    let stats = regulator.stats(wire::StatsRequest {}).await?.into_inner();
    let filter = wire::AlertFilter {
        open: true,
        level: wire::AlertLevel::Warning.into(),
        ..wire::AlertFilter::default()
    };
    let request = wire::ListAlertsRequest {
        filter: Some(filter),
        page_size: ALERTS,
        newest_first: true,
        ..wire::ListAlertsRequest::default()
    };
    let alerts = desk
        .ledger
        .alert()
        .list_alerts(request)
        .await?
        .into_inner()
        .alerts;
    let request = wire::ListCasesRequest {
        agency: desk.frame.party.to_string(),
        open: true,
        ..wire::ListCasesRequest::default()
    };
    let queue = desk
        .ledger
        .case()
        .list_cases(request)
        .await?
        .into_inner()
        .cases;
    let waiting = waiting(&desk).await?;

    let mut total = Count::default();
    let mut by_day: BTreeMap<u32, Count> = BTreeMap::new();
    let mut by_province: BTreeMap<&str, Count> = BTreeMap::new();
    let mut by_place: BTreeMap<(&str, &str), Count> = BTreeMap::new();
    for one in &activity.activity {
        total.add(one);
        by_day.entry(one.day).or_default().add(one);
        by_province.entry(&one.region).or_default().add(one);
        // With a province chosen, its cities; else the provinces.
        let city = if asked.region.is_empty() {
            ""
        } else {
            one.city.as_str()
        };
        by_place.entry((&one.region, city)).or_default().add(one);
    }
    let days = (first..=today).map(|day| {
        let number = CalendarDate::of_day(day).number();
        Day {
            name: format!(
                "{:04}-{:02}-{:02}",
                number / 10_000,
                number / 100 % 100,
                number % 100
            ),
            at: u64::from(day) * 86_400 + 4 * 3_600,
            count: by_day.remove(&number).unwrap_or_default(),
        }
    });
    let days = days.collect();
    let place = |((region, city), count): ((&str, &str), Count)| Place {
        region: region.to_owned(),
        name: place_name(region, city, lang),
        count,
    };
    let mut places: Vec<Place> = by_place.into_iter().map(place).collect();
    places.sort_by(|a, b| {
        (b.count.breaks(), b.count.records).cmp(&(a.count.breaks(), a.count.records))
    });
    let more_places = places.len().saturating_sub(PLACES);
    places.truncate(PLACES);
    Ok(shown(&OverviewPage {
        shapes: shapes(&by_province, lang),
        sea: &CHINA.nanhai,
        view_box: CHINA.view_box,
        site: desk.site,
        desk: desk.frame,
        days_back,
        stats,
        total,
        alerts: alerts
            .into_iter()
            .filter_map(|alert| View::of(alert, lang))
            .collect(),
        queue,
        waiting,
        places,
        more_places,
        days,
        counted: activity.log_size,
        asked,
    }))
}

fn place_name(region: &str, city: &str, lang: crate::core::lang::Lang) -> String {
    let province = CHINA.name(region, lang).unwrap_or(region);
    match (province, city) {
        ("", "") => lang.pick("未注明地点", "no place given").to_owned(),
        (province, "") => province.to_owned(),
        ("", city) => city.to_owned(),
        (province, city) => format!("{province} {city}"),
    }
}

/// The provinces by their rate of breaks, the highest the darkest.
fn shapes(by_province: &BTreeMap<&str, Count>, lang: crate::core::lang::Lang) -> Vec<Shape> {
    let enough = by_province.values().filter(|count| count.records >= FEW);
    let most = enough.map(Count::rate).max().unwrap_or(0).max(1);
    let shape = |province: &'static Province| {
        let count = by_province
            .get(province.code.as_str())
            .cloned()
            .unwrap_or_default();
        let shade = match (count.records, count.breaks()) {
            (0, _) => 0,
            (_, 0) => 1,
            (records, _) if records < FEW => 2,
            _ => {
                1 + (count.rate() * (SHADES - 1))
                    .div_ceil(most)
                    .clamp(1, SHADES - 1)
            }
        };
        let name = lang.pick(&province.zh, &province.en);
        let said = lang.pick(
            format!(
                "{name}：{} 条记录，{} 条异常（{}）",
                count.records,
                count.breaks(),
                count.percent()
            ),
            format!(
                "{name}: {} records, {} breaks ({})",
                count.records,
                count.breaks(),
                count.percent()
            ),
        );
        Shape {
            province,
            shade,
            said,
        }
    };
    CHINA.provinces.iter().map(shape).collect()
}
