//! Times of events, to the millisecond, with the zone in which they happened.
//!
//! EPCIS 2.0 section 7.3: a time has a zone, and the event's own offset from UTC stands beside
//! it, since "at three in the morning" matters to whoever investigates. Finer fractions than a
//! millisecond are dropped; the standard asks for no more.

use jiff::Timestamp;
use jiff::tz::Offset;

/// The farthest that any zone is from UTC (XML Schema 1.1 part 2, section 3.3.7).
pub(super) const MAX_OFFSET_MINUTES: i32 = 14 * 60;

/// Milliseconds since 1970 of an `xsd:dateTimeStamp`, which must have a zone.
pub(super) fn parse(text: &str) -> Option<i64> {
    is_date_time_stamp(text)
        .then(|| text.parse::<Timestamp>().ok())
        .flatten()
        .map(Timestamp::as_millisecond)
}

/// `jiff` reads more forms than the standard allows (spaces, time zone names).
fn is_date_time_stamp(text: &str) -> bool {
    let Some((date_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
    };
    has_shape(date_time, "0000-00-00T00:00:00") && (zone == "Z" || parse_offset(zone).is_some())
}

/// Same length, digits where the shape has a zero, and the same characters elsewhere.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, s)| match s {
            b'0' => b.is_ascii_digit(),
            other => b == other,
        })
}

/// Minutes east of UTC of `+02:00`.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    if !has_shape(rest, "00:00") {
        return None;
    }
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MAX_OFFSET_MINUTES).then_some(sign * total)
}

/// `+02:00`, or none if no zone is so far away.
pub(super) fn format_offset(minutes: i32) -> Option<String> {
    if minutes.abs() > MAX_OFFSET_MINUTES {
        return None;
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    Some(format!("{sign}{hours:02}:{minutes:02}"))
}

/// `2023-03-27T01:45:16.000-05:00`, or none outside of the years that can be written.
pub(super) fn format(ms: i64, offset_minutes: i32) -> Option<String> {
    let zone = format_offset(offset_minutes)?;
    let time = Timestamp::from_millisecond(ms).ok()?;
    let offset = Offset::from_seconds(offset_minutes * 60).ok()?;
    let local = offset.to_datetime(time);
    if !(0..=9999).contains(&local.year()) {
        return None;
    }
    Some(format!("{local:.3}{zone}"))
}

/// The number `YYYYMMDD` of an `xsd:date` without a zone.
pub(super) fn parse_date(text: &str) -> Option<u32> {
    if !has_shape(text, "0000-00-00") {
        return None;
    }
    text.parse::<jiff::civil::Date>().ok()?;
    text.replace('-', "").parse().ok()
}

/// The date of the number `YYYYMMDD`.
pub(super) fn format_date(number: u32) -> Option<String> {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let text = format!("{year:04}-{month:02}-{day:02}");
    (parse_date(&text) == Some(number)).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn given_times_with_a_zone_when_read_then_they_are_instants() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T02:00:00.001+02:00", 1),
            ("2005-04-03T20:33:31.116000-06:00", 1_112_582_011_116),
            ("2005-07-11T11:30:47.0Z", 1_121_081_447_000),
            ("1969-12-31T23:59:59Z", -1000),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn given_what_is_no_date_time_stamp_when_read_then_there_is_none() {
        for text in [
            "22-07-2026",
            "2026-07-22",
            "2026-07-22T06:45:00",
            "2026-07-22 06:45:00Z",
            "2026-07-22T06:45:00.Z",
            "2026-07-22T06:45:00+2:00",
            "2026-07-22T06:45:00+02:00[Europe/Berlin]",
            "2026-02-30T06:45:00Z",
            "2026-07-22T06:45:00\u{661}Z",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn given_offsets_at_the_limits_when_read_then_only_real_zones_are() {
        assert_eq!(parse_offset("+14:00"), Some(840));
        assert_eq!(parse_offset("-06:30"), Some(-390));
        for text in ["+14:01", "02:00", "+02:60", "+0200", "Z", "", "+\u{e9}:00"] {
            assert_eq!(parse_offset(text), None, "{text}");
        }
    }

    #[test]
    fn given_dates_when_read_and_written_then_only_real_days_are() {
        assert_eq!(parse_date("2025-03-27"), Some(20_250_327));
        assert_eq!(format_date(20_250_327).as_deref(), Some("2025-03-27"));
        assert_eq!(parse_date("2025-02-29"), None);
        assert_eq!(parse_date("2025-03-27Z"), None);
        assert_eq!(format_date(20_250_229), None);
        assert_eq!(format_date(0), None);
    }

    proptest! {
        #[test]
        fn given_any_instant_and_zone_when_written_and_read_then_it_is_the_same(
            ms in 0_i64..253_402_200_000_000, minutes in -840_i32..=840,
        ) {
            let text = format(ms, minutes).unwrap();
            prop_assert_eq!(parse(&text), Some(ms));
            prop_assert_eq!(parse_offset(&text[23..]), Some(minutes));
        }
    }
}
