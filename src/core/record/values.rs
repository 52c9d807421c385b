//! The small values that records are made of. Each is made only by a constructor that checks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::id::{DrugId, Gtin14, Lot};
use crate::core::refusal::Refusal;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// The end of the year 2199: no time in a record lies after it.
    pub const MAX: Self = Self(7_258_118_399_999);

    /// This time plus some milliseconds, at most [`u64::MAX`].
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Days since 1970-01-01, in UTC.
    #[must_use]
    pub const fn day(self) -> u64 {
        self.0 / 86_400_000
    }
}

impl Millis {
    /// Its day in China Standard Time, counted from 1970 on.
    #[must_use]
    pub const fn day_in_china(self) -> u64 {
        self.0.saturating_add(8 * 3_600_000) / 86_400_000
    }

    /// Its date and time in China Standard Time to the minute: `2026-03-07 14:05`.
    #[must_use]
    pub fn minute_in_china(self) -> String {
        let ms = i64::try_from(self.min(Self::MAX).0).unwrap_or(0);
        let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        let china = jiff::tz::offset(8).to_datetime(time);
        china.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// RFC 3339 with milliseconds, in UTC.
    #[must_use]
    pub fn exact(self) -> String {
        let ms = i64::try_from(self.min(Self::MAX).0).unwrap_or(0);
        let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        format!("{time:.3}")
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match text {
            Some(time) => write!(f, "{time:.0}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// ISO 3166-1 alpha-2 country (`CN`) or ISO 3166-2 subdivision (`CN-FJ`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Region(String);

impl Region {
    /// # Errors
    /// Refuses what is neither two capitals nor two capitals, a hyphen, and one to three capitals
    /// or digits.
    pub fn parse(text: &str, field: &str) -> Result<Self, Refusal> {
        let (country, subdivision) = match text.split_once('-') {
            Some((country, subdivision)) => (country, Some(subdivision)),
            None => (text, None),
        };
        let country_ok = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let subdivision_ok = subdivision.is_none_or(|s| {
            (1..=3).contains(&s.len())
                && s.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        });
        if country_ok && subdivision_ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refusal::field(
                field,
                "use an ISO 3166 code such as CN or CN-FJ",
            ))
        }
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` lies in this region: the same, or a subdivision of this country.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self == other || (self.0.len() == 2 && other.0.starts_with(&self.0))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A position in WGS 84 in units of 1e-7 degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// -900,000,000 to 900,000,000.
    pub latitude_e7: i32,
    /// -1,800,000,000 to 1,800,000,000.
    pub longitude_e7: i32,
}

/// A day of the calendar, such as the last one on which goods may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CalendarDate(u32);

impl CalendarDate {
    /// From the number YYYYMMDD.
    ///
    /// # Errors
    /// Refuses what is no day of the calendar between 1970 and 2199.
    pub fn parse(number: u32, field: &str) -> Result<Self, Refusal> {
        let date = Self(number);
        if date
            .civil()
            .is_some_and(|d| (1970..2200).contains(&d.year()))
        {
            Ok(date)
        } else {
            Err(Refusal::field(
                field,
                format!("{number} is no day; use YYYYMMDD"),
            ))
        }
    }

    /// The day so many days after 1970-01-01; the last one that there is for what lies beyond.
    #[must_use]
    pub fn of_day(days: u32) -> Self {
        let first = jiff::civil::date(1970, 1, 1);
        let later = jiff::Span::new().try_days(i64::from(days));
        let date = later.and_then(|days| first.checked_add(days));
        let date = date.unwrap_or(jiff::civil::Date::MAX);
        let part = |number: i32| u32::try_from(number).unwrap_or(0);
        let (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
        Self(part(year) * 10_000 + part(month) * 100 + part(day))
    }

    /// Days from 1970-01-01 to it.
    #[must_use]
    pub fn day(self) -> u32 {
        let first = jiff::civil::date(1970, 1, 1);
        let days = self.civil().and_then(|day| day.since(first).ok());
        days.map_or(0, |days| u32::try_from(days.get_days()).unwrap_or(0))
    }

    /// YYYYMMDD.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The first moment after the day has ended everywhere on Earth (UTC-12): a date without a
    /// time zone is taken in favour of whom it could accuse.
    #[must_use]
    pub fn ends(self) -> Millis {
        let end = self
            .civil()
            .and_then(|day| day.tomorrow().ok())
            .and_then(|day| {
                jiff::tz::TimeZone::UTC
                    .to_timestamp(day.at(0, 0, 0, 0))
                    .ok()
            })
            .map_or(0, jiff::Timestamp::as_millisecond);
        Millis(
            u64::try_from(end)
                .unwrap_or(0)
                .saturating_add(12 * 3_600_000),
        )
    }

    fn civil(self) -> Option<jiff::civil::Date> {
        let year = i16::try_from(self.0 / 10_000).ok()?;
        let month = i8::try_from(self.0 / 100 % 100).ok()?;
        let day = i8::try_from(self.0 % 100).ok()?;
        jiff::civil::Date::new(year, month, day).ok()
    }
}

/// A kind of goods: a GTIN, or a drug by its identification code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProductId {
    /// GS1 Global Trade Item Number.
    Gtin(Gtin14),
    /// Drug identification code (药品标识码).
    Drug(DrugId),
}

impl ProductId {
    /// From 14 or 7 digits.
    ///
    /// # Errors
    /// Refuses anything else, and a GTIN with a wrong check digit.
    pub fn parse(text: &str, field: &str) -> Result<Self, Refusal> {
        if text.len() == 7 {
            text.parse()
                .map(Self::Drug)
                .map_err(|e| Refusal::field(field, e.to_string()))
        } else {
            text.parse()
                .map(Self::Gtin)
                .map_err(|e| Refusal::field(field, e.to_string()))
        }
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gtin(gtin) => gtin.fmt(f),
            Self::Drug(drug) => drug.fmt(f),
        }
    }
}

/// What a hold or a recall covers beyond single units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GoodsId {
    /// Every unit of a product.
    Product(ProductId),
    /// One lot of it.
    Lot(ProductId, Lot),
}

impl GoodsId {
    /// The product that it is of.
    #[must_use]
    pub const fn product(&self) -> ProductId {
        match self {
            Self::Product(product) | Self::Lot(product, _) => *product,
        }
    }
}

impl fmt::Display for GoodsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(product) => write!(f, "product {product}"),
            Self::Lot(product, lot) => write!(f, "lot {lot} of product {product}"),
        }
    }
}
