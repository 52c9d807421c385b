//! IMPOSSIBLE_TRAVEL: two sightings too far apart for the time between. Measured and limit are km/h.

use super::travel::{at_most_m, distance_m};
use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let here = case.record.place.position.filter(|_| case.kind().is_physical())?;
    let last = case.sighting()?;
    let kmh = u64::from(case.thresholds.max_speed_kmh);
    // Time that runs backwards is for TIME_REVERSED to say; here it counts as no time at all.
    let ms = case.record.event_time.0.saturating_sub(last.time.0);
    let possible = |metres: u64| {
        metres < u64::from(case.thresholds.min_travel_km) * 1000
            // metres per millisecond = 3600 km/h
            || u128::from(metres) * 3600 <= u128::from(kmh) * u128::from(ms)
    };
    // Nearly always the glance is enough.
    if possible(at_most_m(last.position, here)) {
        return None;
    }
    let metres = distance_m(last.position, here);
    if possible(metres) {
        return None;
    }
    let speed = u128::from(metres) * 3600 / u128::from(ms.max(1));
    Break::measured([last.index], speed, kmh)
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::record::Position;
    use crate::core::rules::FindingKind::ImpossibleTravel;
    use crate::core::tlog::LogIndex;

    use crate::core::rules::travel::distance_m;

    const BEIJING: (i32, i32) = (40, 116);

    /// Seen in Beijing, then an event that much later.
    fn seen_in_beijing(later: u64) -> (World, LogIndex) {
        let mut w = World::new();
        let draft = w.draft(MAKER, &[item(1)], say::commission());
        let seen = w.clean(&draft.position(at(BEIJING.0, BEIJING.1)));
        w.now += later - MINUTE;
        (w, seen)
    }

    /// In Shanghai, where the distance at 1,000 km/h takes a whole number of milliseconds.
    fn shanghai() -> Position {
        let north_by = |metres: i32| Position {
            latitude_e7: 310_000_000 + metres * 90,
            longitude_e7: 1_210_000_000,
        };
        let mut places = (0..).map(north_by);
        places
            .find(|place| metres_from_beijing(*place).is_multiple_of(5))
            .unwrap()
    }

    fn metres_from_beijing(place: Position) -> u64 {
        distance_m(at(BEIJING.0, BEIJING.1), place)
    }

    fn scan_in_shanghai(w: &World) -> Draft {
        w.draft(MAKER, &[item(1)], say::scan()).position(shanghai())
    }

    /// The least time at 1,000 km/h, in milliseconds.
    fn fastest() -> u64 {
        metres_from_beijing(shanghai()) * 3600 / 1000
    }

    #[test]
    fn given_exactly_the_greatest_speed_when_seen_elsewhere_then_it_is_no_break() {
        let (mut w, _) = seen_in_beijing(fastest());
        w.clean(&scan_in_shanghai(&w));
    }

    #[test]
    fn given_a_millisecond_less_when_seen_elsewhere_then_it_is_a_break() {
        let (mut w, seen) = seen_in_beijing(fastest() - 1);
        let found = w.flagged(&scan_in_shanghai(&w), ImpossibleTravel);
        assert_eq!((found.evidence, found.limit), (vec![seen], 1000));
    }

    #[test]
    fn given_half_the_time_when_seen_elsewhere_then_twice_the_speed_is_measured() {
        let (mut w, _) = seen_in_beijing(fastest() / 2);
        let found = w.flagged(&scan_in_shanghai(&w), ImpossibleTravel);
        assert!(
            (1999..=2001).contains(&found.measured),
            "{} km/h",
            found.measured
        );
    }

    #[test]
    fn given_less_than_the_least_distance_when_seen_at_the_same_moment_then_it_is_no_break() {
        // A degree is 111.19 km on the equator; the least distance that is judged is 20 km.
        for (e7, broken) in [(1_797_000, false), (1_800_000, true)] {
            let mut w = World::new();
            let origin = Position {
                latitude_e7: 0,
                longitude_e7: 0,
            };
            w.clean(
                &w.draft(MAKER, &[item(1)], say::commission())
                    .position(origin),
            );
            let there = Position {
                latitude_e7: 0,
                longitude_e7: e7,
            };
            let same_moment = w.now - MINUTE;
            let scan = w
                .draft(MAKER, &[item(1)], say::scan())
                .position(there)
                .on(same_moment);
            if broken {
                w.flagged(&scan, ImpossibleTravel);
            } else {
                w.clean(&scan);
            }
        }
    }

    #[test]
    fn given_no_position_when_it_moves_then_it_is_no_break() {
        let (mut w, _) = seen_in_beijing(MINUTE);
        w.ok(MAKER, &[item(1)], say::scan());
    }

    #[test]
    fn given_its_container_was_seen_elsewhere_when_a_packed_unit_is_seen_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        let scan = w.draft(MAKER, &[parcel(1)], say::scan());
        let seen = w.clean(&scan.position(at(BEIJING.0, BEIJING.1)));
        assert_eq!(
            w.flagged(&scan_in_shanghai(&w), ImpossibleTravel).evidence,
            [seen]
        );
    }
}
