//! What each report holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::Status;

use super::super::listing::Sight;
use super::super::score::{self, Period};
use super::super::{errors, export, read};
use crate::core::apply::state::{
    AlertAnswers, FindingRow, FindingStatus, Findings, Life, Listings, MeasureReports, Parties,
    Party, Read as _, Tallies, Unit, Units, Volumes, item_prefixes,
};
use crate::core::credit::access::Volume;
use crate::core::credit::alert::AlertLevel;
use crate::core::credit::calendar::{month_of, yyyymm};
use crate::core::credit::export::ItemKind;
use crate::core::credit::measure::MeasureReport;
use crate::core::credit::{AlertAnswer, AlertId, Listing, MeasureAction, SignalKind};
use crate::core::id::{Gtin14, Lot, PartyId, UnitId, digital_link, escaped};
use crate::core::lang::Lang;
use crate::core::record::{Millis, Role};
use crate::core::rules::FindingKind;
use crate::core::search::first_where;
use crate::core::standing;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::words::Named as _;
use crate::report::{Table, number, text};
use crate::signals::{self, Event};
use crate::store::StoreError;

/// Most rows of a report, and most that one is made of.
const MAX_ROWS: usize = 100_000;
const MAX_READ: usize = 2_000_000;

fn too_many() -> Status {
    Status::resource_exhausted("the report would be too long: ask for fewer months, or for a lot")
}

impl Period {
    fn about(self, lang: Lang) -> String {
        let (first, last) = (yyyymm(self.first), yyyymm(self.last));
        lang.pick(
            format!("{first} 至 {last}（中国标准时间）"),
            format!("{first} to {last} (China Standard Time)"),
        )
    }
}

fn percent(part: u64, all: u64) -> String {
    let share = (u128::from(part) * 10_000)
        .checked_div(u128::from(all))
        .unwrap_or(0);
    if all == 0 {
        return String::new();
    }
    format!("{}.{:02}", share / 100, share % 100)
}

/// 溯源完整率.
pub(super) fn completeness(sight: &Sight<'_>, period: Period, lang: Lang) -> Result<Table, Status> {
    let mut volumes: BTreeMap<u32, Volume> = BTreeMap::new();
    let mut read = 0;
    let visit = |key: &[u8], volume: Volume| {
        read += 1;
        let month = key
            .last_chunk::<4>()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let sum = volumes.entry(month).or_default();
        *sum = sum.plus(volume);
        read < MAX_READ
    };
    sight
        .view
        .scan_prefix::<Volumes>(&[], &[], visit)
        .map_err(errors::store)?;
    if read >= MAX_READ {
        return Err(too_many());
    }
    let deliveries = signals::deliveries(&sight.view, period.first..=period.last);
    let deliveries = deliveries.map_err(errors::store)?;
    let rows = (period.first..=period.last).map(|month| {
        let volume = volumes.get(&month).copied().unwrap_or_default();
        let done = deliveries.get(&month).copied().unwrap_or_default();
        vec![
            yyyymm(month).to_string(),
            volume.made.to_string(),
            done.delivered.to_string(),
            done.whole.to_string(),
            percent(done.whole, done.delivered),
            done.confirmed.to_string(),
        ]
    });
    Ok(Table {
        title: lang.pick("溯源完整率", "Completeness of traceability"),
        about: period.about(lang),
        columns: vec![
            number(lang.pick("月份", "month"), 2),
            number(lang.pick("赋码件数", "units made"), 3),
            number(lang.pick("投递件数", "units delivered"), 3),
            number(lang.pick("全程可溯件数", "with a whole chain"), 3),
            number(lang.pick("完整率 %", "share %"), 2),
            number(lang.pick("买家确认次数", "buyers' confirmations"), 3),
        ],
        rows: rows.collect(),
        notes: vec![lang.pick(
            "全程可溯：投递在链上、未违反规则，且途中有扫描记录或当面交付。",
            "A chain is whole when the delivery joined it, broke no rule, and the goods were seen on the way or sold in \
             person.",
        )],
        lang,
    })
}

#[derive(Default)]
struct Handled {
    raised: u64,
    open: u64,
    acknowledged: u64,
    in_case: u64,
    confirmed: u64,
    dismissed: u64,
    explained: u64,
    /// How long the answers took, in milliseconds.
    took: Vec<u64>,
}

impl Handled {
    fn row(mut self, kind: &str, level: &str) -> Vec<String> {
        self.took.sort_unstable();
        let median = self.took.get(self.took.len() / 2);
        let mut row = vec![kind.to_owned(), level.to_owned()];
        let counts = [
            self.raised,
            self.open,
            self.acknowledged,
            self.in_case,
            self.confirmed,
            self.dismissed,
            self.explained,
        ];
        row.extend(counts.map(|count| count.to_string()));
        row.push(median.map_or(String::new(), |ms| {
            format!("{}.{}", ms / 3_600_000, ms / 360_000 % 10)
        }));
        row
    }
}

/// 预警处置.
pub(super) fn alerts(sight: &Sight<'_>, period: Period, lang: Lang) -> Result<Table, Status> {
    let mut findings: BTreeMap<u8, Handled> = BTreeMap::new();
    let mut signalled: BTreeMap<i32, Handled> = BTreeMap::new();
    let mut failed = None;
    let mut seen = 0;
    let first = first_finding(sight, period.first)?;
    read::findings(&sight.view, first, |number, row| {
        seen += 1;
        let month = month_of(row.time);
        if month > period.last || seen > MAX_READ {
            return false;
        }
        let handled = findings.entry(row.kind.number()).or_default();
        match finding(sight, handled, number, &row) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    })?;
    let answered = |id: &AlertId| sight.view.get::<AlertAnswers>(id).map_err(errors::store);
    signals::events(&sight.view, 1, |_, event| {
        seen += 1;
        if let Event::Raised(signal) = event
            && (period.first..=period.last).contains(&month_of(signal.time))
        {
            let handled = signalled.entry(signal.kind.number()).or_default();
            handled.raised += 1;
            match answered(&signal.id()) {
                Ok(None) => handled.open += 1,
                Ok(Some(answer)) => {
                    handled
                        .took
                        .push(answer.at.time.0.saturating_sub(signal.time.0));
                    match answer.answer {
                        AlertAnswer::Acknowledged => handled.acknowledged += 1,
                        AlertAnswer::Dismissed => handled.dismissed += 1,
                        AlertAnswer::InCase => handled.in_case += 1,
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.is_none() && seen <= MAX_READ
    })
    .map_err(errors::store)?;
    if let Some(error) = failed {
        return Err(error);
    }
    if seen > MAX_READ {
        return Err(too_many());
    }
    let of_finding = |(kind, handled): (u8, Handled)| {
        let kind = FindingKind::from_number(kind.into());
        let level =
            kind.map(|kind| wire::AlertLevel::try_from(AlertLevel::of_finding(kind).number()));
        let word = kind.and_then(|kind| wire::FindingKind::try_from(i32::from(kind.number())).ok());
        let level = level.and_then(Result::ok).unwrap_or_default();
        handled.row(word.unwrap_or_default().named(lang), level.named(lang))
    };
    let of_signal = |(kind, handled): (i32, Handled)| {
        let word = wire::SignalKind::try_from(kind).unwrap_or_default();
        let kind = SignalKind::from_number(kind);
        let level =
            kind.map(|kind| wire::AlertLevel::try_from(AlertLevel::of_signal(kind).number()));
        let level = level.and_then(Result::ok).unwrap_or_default();
        handled.row(word.named(lang), level.named(lang))
    };
    let rows = findings
        .into_iter()
        .map(of_finding)
        .chain(signalled.into_iter().map(of_signal));
    Ok(Table {
        title: lang.pick("预警处置", "Alerts handled"),
        about: period.about(lang),
        columns: vec![
            text(lang.pick("种类", "kind"), 5),
            text(lang.pick("级别", "level"), 2),
            number(lang.pick("发出", "raised"), 2),
            number(lang.pick("未处置", "open"), 2),
            number(lang.pick("已受理", "acknowledged"), 3),
            number(lang.pick("已立案", "in a case"), 2),
            number(lang.pick("已认定", "confirmed"), 2),
            number(lang.pick("已排除", "dismissed"), 2),
            number(lang.pick("已查明", "explained"), 2),
            number(
                lang.pick("答复用时中位数（小时）", "median hours to the answer"),
                3,
            ),
        ],
        rows: rows.collect(),
        notes: vec![lang.pick(
            "按发出的月份统计，处置情况以生成时为准。",
            "By when they were raised; what became of them is as of when the report was made.",
        )],
        lang,
    })
}

/// The first finding of a month or later: their times never run back.
fn first_finding(sight: &Sight<'_>, month: u32) -> Result<u64, Status> {
    let tally = sight.view.get::<Tallies>(&()).map_err(errors::store)?;
    let end = tally.unwrap_or_default().findings + 1;
    let found = first_where(1..end, |number| {
        let row = sight.view.get::<Findings>(&number)?;
        let row =
            row.ok_or_else(|| StoreError::Corrupt(format!("there is no finding {number}")))?;
        Ok::<_, StoreError>(month_of(row.time) >= month)
    });
    found.map_err(errors::store)
}

fn finding(
    sight: &Sight<'_>,
    handled: &mut Handled,
    number: u64,
    row: &FindingRow,
) -> Result<(), Status> {
    let answer = sight
        .view
        .get::<AlertAnswers>(&AlertId::Finding(number))
        .map_err(errors::store)?;
    handled.raised += 1;
    let dealt = answer.as_ref().map(|answer| answer.at).or(row.closed);
    handled
        .took
        .extend(dealt.map(|at| at.time.0.saturating_sub(row.time.0)));
    match (row.status, answer.map(|answer| answer.answer)) {
        (FindingStatus::Confirmed, _) => handled.confirmed += 1,
        (FindingStatus::Dismissed, _) => handled.dismissed += 1,
        (FindingStatus::Explained, _) => handled.explained += 1,
        (FindingStatus::Open, Some(AlertAnswer::InCase)) => handled.in_case += 1,
        (FindingStatus::Open, Some(_)) => handled.acknowledged += 1,
        (FindingStatus::Open, None) => handled.open += 1,
    }
    Ok(())
}

/// 快递企业信用排名.
pub(super) fn couriers(sight: &Sight<'_>, period: Period, lang: Lang) -> Result<Table, Status> {
    let mut firms: Vec<(PartyId, String, String)> = Vec::new();
    let visit = |key: &[u8], party: Arc<Party>| {
        if party.is_active(sight.now)
            && party.is_public()
            && party.roles.contains(&Role::Courier)
            && let Ok(id) = PartyId::from_compact(key)
        {
            let place = format!("{} {}", party.region, party.city);
            firms.push((id, party.name.clone(), place));
        }
        firms.len() <= MAX_ROWS
    };
    sight
        .view
        .scan_prefix::<Parties>(&[], &[], visit)
        .map_err(errors::store)?;
    if firms.len() > MAX_ROWS {
        return Err(too_many());
    }
    let mut ranked = Vec::with_capacity(firms.len());
    for (id, name, place) in firms {
        let score = score::score(&sight.view, id, None, period)?;
        ranked.push((score.points, id, name, place, format!("{:?}", score.tier())));
    }
    ranked.sort_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    let mut rows: Vec<Vec<String>> = Vec::with_capacity(ranked.len());
    let mut rank = 0;
    let mut last = None;
    for (place, (points, id, name, region, tier)) in ranked.into_iter().enumerate() {
        // Equal points are one rank.
        if last != Some(points) {
            rank = place + 1;
            last = Some(points);
        }
        rows.push(vec![
            rank.to_string(),
            name,
            id.to_string(),
            region.trim().to_owned(),
            points.to_string(),
            tier,
        ]);
    }
    Ok(Table {
        title: lang.pick("快递企业信用排名", "Delivery firms by their credit score"),
        about: period.about(lang),
        columns: vec![
            number(lang.pick("名次", "rank"), 1),
            text(lang.pick("企业", "firm"), 5),
            text(lang.pick("标识", "id"), 4),
            text(lang.pick("地区", "region"), 3),
            number(lang.pick("分数", "points"), 2),
            text(lang.pick("等级", "tier"), 1),
        ],
        rows,
        notes: vec![lang.pick(
            "自然人不在其中。每分的依据在企业的信用档案中。",
            "Without natural persons. What is behind every point is in the firm's credit file.",
        )],
        lang,
    })
}

/// 名单变动.
pub(super) fn listings(sight: &Sight<'_>, period: Period, lang: Lang) -> Result<Table, Status> {
    let mut changes: Vec<(u64, Vec<String>)> = Vec::new();
    let mut failed = None;
    let visit = |_: &[u8], row: Arc<Listing>| {
        match of_listing(sight, period, &row, lang) {
            Ok(found) => changes.extend(found),
            Err(error) => failed = Some(error),
        }
        failed.is_none() && changes.len() <= MAX_ROWS
    };
    sight
        .view
        .scan_prefix::<Listings>(&[], &[], visit)
        .map_err(errors::store)?;
    if let Some(error) = failed {
        return Err(error);
    }
    if changes.len() > MAX_ROWS {
        return Err(too_many());
    }
    changes.sort();
    Ok(Table {
        title: lang.pick("红黑名单变动", "Changes of the lists"),
        about: period.about(lang),
        columns: vec![
            text(lang.pick("时间", "time"), 3),
            text(lang.pick("名单", "list"), 2),
            number(lang.pick("编号", "number"), 1),
            text(lang.pick("变动", "change"), 2),
            text(lang.pick("主体", "party"), 4),
            text(lang.pick("标识", "id"), 4),
            text(lang.pick("程度", "severity"), 1),
            text(lang.pick("法律依据", "legal basis"), 4),
            text(lang.pick("文号", "document"), 3),
        ],
        rows: changes.into_iter().map(|(_, row)| row).collect(),
        notes: vec![lang.pick(
            "公开的名单、本部门提出的名单，以及本部门已查阅档案的主体的名单；自然人不在其中。",
            "Public listings, those that the agency proposed, and those of parties whose files it has opened; without \
             natural persons.",
        )],
        lang,
    })
}

fn of_listing(
    sight: &Sight<'_>,
    period: Period,
    row: &Listing,
    lang: Lang,
) -> Result<Vec<(u64, Vec<String>)>, Status> {
    let party = sight
        .view
        .get::<Parties>(&row.subject)
        .map_err(errors::store)?;
    if !party.is_some_and(|party| party.is_public()) || !sight.sees(row)? {
        return Ok(Vec::new());
    }
    let listing = sight.listing(row)?;
    let published = if listing.published_ms > 0 {
        listing.from_ms
    } else {
        0
    };
    let ended = if listing.ended_ms > 0 || listing.phase() != wire::ListingPhase::Expired {
        listing.ended_ms
    } else {
        listing.until_ms
    };
    let steps = [
        (
            listing.proposed_ms,
            wire::ListingPhase::Proposed.named(lang),
        ),
        (
            listing.notified_ms,
            wire::ListingPhase::Notified.named(lang),
        ),
        (listing.decided_ms, wire::ListingPhase::Decided.named(lang)),
        (published, wire::ListingPhase::InForce.named(lang)),
        (ended, listing.phase().named(lang)),
    ];
    let within = |time: u64| (period.first..=period.last).contains(&month_of(Millis(time)));
    let steps = steps
        .into_iter()
        .filter(|(time, _)| *time > 0 && within(*time));
    let line = |(time, change): (u64, &str)| {
        let severity = match listing.severity() {
            wire::CreditSeverity::Unspecified => "",
            severity => severity.named(lang),
        };
        let values = [
            &Millis(time).minute_in_china(),
            listing.list().named(lang),
            &listing.log_index.to_string(),
            change,
            &listing.subject_name,
            &listing.subject,
            severity,
            &listing.legal_basis,
            &listing.document,
        ];
        (time, values.map(ToOwned::to_owned).to_vec())
    };
    Ok(steps.map(line).collect())
}

/// 信息共享回执.
pub(super) fn sharing(sight: &Sight<'_>, period: Period, lang: Lang) -> Result<Table, Status> {
    let mut rows = Vec::new();
    export::since_month(sight, period.first, |time, item| {
        if month_of(time) > period.last {
            return Ok(false);
        }
        let receipts = if item.item == ItemKind::Measure {
            receipts(sight, LogIndex(item.number), lang)?
        } else {
            String::new()
        };
        let word = |kind| match kind {
            ItemKind::Listing => lang.pick("名单", "listing"),
            ItemKind::Record => lang.pick("信用记录", "credit record"),
            ItemKind::Measure => lang.pick("措施", "measure"),
            ItemKind::Retraction => lang.pick("撤回", "retraction"),
        };
        rows.push(vec![
            time.minute_in_china(),
            word(item.item).to_owned(),
            item.number.to_string(),
            item.subject_name,
            item.subject,
            item.what,
            item.document,
            receipts,
        ]);
        Ok(rows.len() <= MAX_ROWS)
    })?;
    if rows.len() > MAX_ROWS {
        return Err(too_many());
    }
    Ok(Table {
        title: lang.pick("信用信息共享与回执", "What was shared, and who acted on it"),
        about: period.about(lang),
        columns: vec![
            text(lang.pick("时间", "time"), 3),
            text(lang.pick("事项", "item"), 2),
            number(lang.pick("编号", "number"), 1),
            text(lang.pick("主体", "party"), 4),
            text(lang.pick("标识", "id"), 4),
            text(lang.pick("内容", "what"), 3),
            text(lang.pick("文号", "document"), 3),
            text(lang.pick("回执", "receipts"), 5),
        ],
        rows,
        notes: vec![lang.pick(
            "公共信用信息平台在此期间可取得的内容；回执是平台、银行、基金对措施的执行报告。推送的回执由推送方保存。",
            "What public-credit platforms could fetch in the period. Receipts are what platforms, banks and funds \
             reported of measures; those of a push are kept by who pushed.",
        )],
        lang,
    })
}

/// Who reported of a measure.
fn receipts(sight: &Sight<'_>, measure: LogIndex, lang: Lang) -> Result<String, Status> {
    let prefix = measure.0.to_be_bytes();
    let mut found = Vec::new();
    let visit = |key: &[u8], row: MeasureReport| {
        found.push((read::party_after(&prefix, key), row.action, row.at.time));
        found.len() < 100
    };
    sight
        .view
        .scan_prefix::<MeasureReports>(&prefix, &[], visit)
        .map_err(errors::store)?;
    let mut said = Vec::with_capacity(found.len());
    for (party, action, time) in found {
        let name = read::party_name(&sight.view, party?)?;
        let action = match action {
            MeasureAction::Applied => lang.pick("已执行", "applied"),
            MeasureAction::Lifted => lang.pick("已解除", "lifted"),
        };
        said.push(format!("{name} {action} {}", time.minute_in_china()));
    }
    Ok(said.join("; "))
}

/// The product or lot that a report is asked about.
fn named_goods(text: &str) -> Result<(Gtin14, Option<Lot>), Status> {
    let link = format!("https://host/{}", text.trim_start_matches('/'));
    let named = digital_link::parse_goods(&link).map_err(errors::bad_id("goods"))?;
    named.ok_or_else(|| {
        errors::invalid(
            "goods",
            "a product or a lot: 01/{gtin} or 01/{gtin}/10/{lot}",
        )
    })
}

/// The same, in one spelling.
pub(super) fn goods_path(text: &str) -> Result<String, Status> {
    let (gtin, lot) = named_goods(text)?;
    Ok(match lot {
        None => format!("01/{gtin}"),
        Some(lot) => format!("01/{gtin}/10/{}", escaped(lot.as_str())),
    })
}

/// 召回商品去向.
pub(super) fn recalled(sight: &Sight<'_>, goods: &str, lang: Lang) -> Result<Table, Status> {
    let (gtin, lot) = named_goods(goods)?;
    let mut units: Vec<UnitId> = Vec::new();
    let mut seen = 0;
    for prefix in item_prefixes(gtin) {
        let visit = |key: &[u8], unit: Arc<Unit>| {
            seen += 1;
            if unit.commissioned_at.is_some()
                && lot
                    .as_ref()
                    .is_none_or(|lot| unit.attributes.lot.as_ref() == Some(lot))
                && let Ok(id) = UnitId::from_compact(key.get(1..).unwrap_or_default())
            {
                units.push(id);
            }
            seen <= MAX_READ && units.len() <= MAX_ROWS
        };
        sight
            .view
            .scan_prefix::<Units>(&prefix, &[], visit)
            .map_err(errors::store)?;
    }
    if seen > MAX_READ || units.len() > MAX_ROWS {
        return Err(too_many());
    }
    let mut rows = Vec::with_capacity(units.len());
    for id in units {
        rows.push(whereabouts(sight, id, lang)?);
    }
    // Those on the market first, by who has them.
    rows.sort_by(|a, b| (&a[2], &a[0]).cmp(&(&b[2], &b[0])));
    Ok(Table {
        title: lang.pick("召回商品去向", "Where recalled goods went"),
        about: goods_path(goods)?,
        columns: vec![
            text(lang.pick("商品", "unit"), 5),
            text(lang.pick("现状", "standing"), 2),
            text(lang.pick("持有方", "held by"), 4),
            text(lang.pick("标识", "id"), 4),
            text(lang.pick("批次", "lot"), 2),
            text(lang.pick("最后记录", "last record"), 3),
            number(lang.pick("日志序号", "entry"), 1),
        ],
        rows,
        notes: vec![lang.pick(
            "已交付买家的商品没有持有方：账本不知道买家是谁。",
            "What was delivered is held by nobody: the ledger doesn't know who the buyer is.",
        )],
        lang,
    })
}

fn whereabouts(sight: &Sight<'_>, id: UnitId, lang: Lang) -> Result<Vec<String>, Status> {
    let standing = standing::standing(&sight.view, id).map_err(errors::store)?;
    let unit = sight
        .view
        .get::<Units>(&id)
        .map_err(errors::store)?
        .unwrap_or_default();
    // Recalled it is in any case: what became of it says more.
    let word = match unit.life {
        Life::Ended => lang.pick("已终结", "ended"),
        Life::Delivered => wire::StandingWord::Delivered.named(lang),
        Life::Active if unit.offer.is_some() => wire::StandingWord::InTransit.named(lang),
        Life::Active | Life::Uncommissioned => standing.word.named(lang),
    };
    let holder = match unit.holder {
        Some(party) => (read::party_name(&sight.view, party)?, party.to_string()),
        None => (String::new(), String::new()),
    };
    let lot = unit.attributes.lot.as_ref();
    Ok(vec![
        id.to_string(),
        word.to_owned(),
        holder.0,
        holder.1,
        lot.map(ToString::to_string).unwrap_or_default(),
        unit.last_time.minute_in_china(),
        unit.last_index.to_string(),
    ])
}
