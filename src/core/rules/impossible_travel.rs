//! IMPOSSIBLE_TRAVEL: two sightings too far apart for the time between. Measured and limit are km/h.

use super::travel::distance_m;
use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let here = case.record.place.position?;
    let last = case.sighting()?;
    let metres = distance_m(last.position, here);
    let kmh = u64::from(case.thresholds.max_speed_kmh);
    if metres < u64::from(case.thresholds.min_travel_km) * 1000 {
        return None;
    }
    // Time that runs backwards is for TIME_REVERSED to say; here it counts as no time at all.
    let ms = case.record.event_time.0.saturating_sub(last.time.0);
    // metres per millisecond = 3600 km/h
    if u128::from(metres) * 3600 <= u128::from(kmh) * u128::from(ms) {
        return None;
    }
    let speed = u128::from(metres) * 3600 / u128::from(ms.max(1));
    Break::measured([last.index], speed, kmh)
}
