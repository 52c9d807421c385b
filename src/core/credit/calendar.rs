//! Days and months as the law counts them: civil days of China Standard Time, which is UTC+8 all
//! year, so that no table of time zones decides what a deadline was.

use jiff::Span;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::core::record::Millis;

fn zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

fn civil(time: Millis) -> Option<DateTime> {
    let ms = i64::try_from(time.0).ok()?;
    let timestamp = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(zone().to_datetime(timestamp))
}

fn millis(civil: DateTime) -> Option<Millis> {
    let timestamp = zone().to_timestamp(civil).ok()?;
    u64::try_from(timestamp.as_millisecond()).ok().map(Millis)
}

/// The end of the day that is so many days after this one: the day of the event itself doesn't
/// count (Civil Code of China, articles 201 and 203).
#[must_use]
pub fn end_of_day_after(time: Millis, days: u32) -> Millis {
    let end = || {
        let day = civil(time)?.date();
        let later = Span::new().try_days(i64::from(days) + 1).ok()?;
        let next = day.checked_add(later).ok()?;
        millis(next.to_datetime(jiff::civil::Time::midnight()))
    };
    // Beyond the calendar there is no end.
    end().unwrap_or(Millis(u64::MAX))
}

/// The same moment so many months later: on the same day of the month, or on the last one where the
/// month has no such day (Civil Code of China, article 202).
#[must_use]
pub fn months_after(time: Millis, months: u32) -> Millis {
    let later = || {
        let later = Span::new().try_months(months).ok()?;
        millis(civil(time)?.checked_add(later).ok()?)
    };
    later().unwrap_or(Millis(u64::MAX))
}

/// The month that a moment is in, counted from the year 0; 0 beyond the calendar.
#[must_use]
pub fn month_of(time: Millis) -> u32 {
    let month = civil(time).and_then(|civil| {
        let (year, month) = (
            u32::try_from(civil.year()).ok()?,
            u32::try_from(civil.month()).ok()?,
        );
        Some(year * 12 + month - 1)
    });
    month.unwrap_or(0)
}

/// The first moment of a month.
#[must_use]
pub fn month_begins(month: u32) -> Millis {
    let begins = || {
        let (year, month) = (
            i16::try_from(month / 12).ok()?,
            i8::try_from(month % 12).ok()?,
        );
        let day = jiff::civil::Date::new(year, month + 1, 1).ok()?;
        millis(day.to_datetime(jiff::civil::Time::midnight()))
    };
    begins().unwrap_or(Millis(0))
}

/// A month as the number YYYYMM.
#[must_use]
pub const fn yyyymm(month: u32) -> u32 {
    month / 12 * 100 + month % 12 + 1
}

/// The month that a number YYYYMM names.
#[must_use]
pub fn month_from(yyyymm: u32) -> Option<u32> {
    let (year, month) = (yyyymm / 100, yyyymm % 100);
    ((1970..2200).contains(&year) && (1..=12).contains(&month)).then(|| year * 12 + month - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        let time: jiff::Timestamp = text.parse().unwrap();
        Millis(u64::try_from(time.as_millisecond()).unwrap())
    }

    #[test]
    fn a_deadline_ends_with_its_last_day_in_china() {
        let told = at("2026-03-02T09:30:00+08:00");
        assert_eq!(end_of_day_after(told, 5), at("2026-03-08T00:00:00+08:00"));
        let late = at("2026-03-02T23:59:59.999+08:00");
        assert_eq!(end_of_day_after(late, 5), at("2026-03-08T00:00:00+08:00"));
        let next = at("2026-03-03T00:00:00+08:00");
        assert_eq!(end_of_day_after(next, 5), at("2026-03-09T00:00:00+08:00"));
    }

    #[test]
    fn a_term_ends_on_the_same_day_of_the_month_or_on_its_last() {
        for (from, months, until) in [
            ("2026-01-31T10:00:00+08:00", 1, "2026-02-28T10:00:00+08:00"),
            ("2027-11-30T10:00:00+08:00", 3, "2028-02-29T10:00:00+08:00"),
            // Already the first of March in China.
            ("2026-02-28T20:00:00Z", 12, "2027-02-28T20:00:00Z"),
            ("2026-05-15T00:00:00Z", 36, "2029-05-15T00:00:00Z"),
        ] {
            assert_eq!(months_after(at(from), months), at(until), "{from}");
        }
    }

    #[test]
    fn a_month_is_one_in_china() {
        let last = at("2026-12-31T15:59:59.999Z");
        assert_eq!(yyyymm(month_of(last)), 202_612);
        assert_eq!(yyyymm(month_of(Millis(last.0 + 1))), 202_701);
        assert_eq!(month_from(202_701), Some(month_of(Millis(last.0 + 1))));
        for bad in [0, 202_600, 202_613, 2_026, 196_912] {
            assert_eq!(month_from(bad), None);
        }
    }

    #[test]
    fn what_lies_beyond_the_calendar_never_ends() {
        assert_eq!(months_after(Millis(u64::MAX), 1), Millis(u64::MAX));
        assert_eq!(end_of_day_after(Millis(u64::MAX), 1), Millis(u64::MAX));
        assert_eq!(months_after(Millis::MAX, u32::MAX), Millis(u64::MAX));
    }
}
