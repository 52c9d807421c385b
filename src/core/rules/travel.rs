//! Distances on Earth in integers, the same on every machine.
//!
//! The distance is the straight line *through* the Earth (a sphere of 6,371,008 m, the mean radius
//! of IUGG), which is never longer than a way on it: what is impossible by this measure is
//! impossible by any.

use crate::core::record::Position;

/// Mean radius of the Earth in metres.
const RADIUS_M: i128 = 6_371_008;
/// Binary places of the fixed-point numbers.
const PLACES: u32 = 40;
/// 1e-7 degree in radians, times 2^64.
const STEP: i128 = 32_195_642_036;

/// Straight distance in metres, rounded down.
#[must_use]
pub fn distance_m(a: Position, b: Position) -> u64 {
    let (ax, ay, az) = unit_vector(a);
    let (bx, by, bz) = unit_vector(b);
    let square = |x: i128| x * x;
    let chord_squared = square(ax - bx) + square(ay - by) + square(az - bz);
    let chord = chord_squared.unsigned_abs().isqrt();
    let metres = (chord * RADIUS_M.unsigned_abs()) >> PLACES;
    u64::try_from(metres).unwrap_or(u64::MAX)
}

/// A distance that [`distance_m`] never exceeds, for a glance: first north, then east along the
/// equator, where a degree is longest. 1e-7 degree is less than 11,120 micrometres.
#[must_use]
pub fn at_most_m(a: Position, b: Position) -> u64 {
    let north = u64::from(a.latitude_e7.abs_diff(b.latitude_e7));
    let east = u64::from(a.longitude_e7.abs_diff(b.longitude_e7));
    (north + east) * 11_120 / 1_000_000 + 2
}

fn unit_vector(p: Position) -> (i128, i128, i128) {
    let (lat_sin, lat_cos) = sin_cos(p.latitude_e7);
    let (lon_sin, lon_cos) = sin_cos(p.longitude_e7);
    (
        (lat_cos * lon_cos) >> PLACES,
        (lat_cos * lon_sin) >> PLACES,
        lat_sin,
    )
}

/// Sine and cosine of an angle in 1e-7 degree, -180 to 180 degrees, by their Taylor series.
fn sin_cos(e7: i32) -> (i128, i128) {
    let x = (i128::from(e7) * STEP) >> (64 - PLACES);
    let x2 = (x * x) >> PLACES;
    let (mut sin, mut cos) = (0, 0);
    let (mut sin_term, mut cos_term) = (x, 1i128 << PLACES);
    for n in 0..16i128 {
        sin += sin_term;
        cos += cos_term;
        cos_term = -((cos_term * x2) >> PLACES) / ((2 * n + 1) * (2 * n + 2));
        sin_term = -((sin_term * x2) >> PLACES) / ((2 * n + 2) * (2 * n + 3));
    }
    (sin, cos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        #[allow(clippy::cast_possible_truncation)]
        let e7 = |degrees: f64| (degrees * 1e7).round() as i32;
        Position {
            latitude_e7: e7(latitude),
            longitude_e7: e7(longitude),
        }
    }

    #[test]
    fn known_distances() {
        // Great circle 1,067 km and 19,9xx km; the chord is shorter.
        let (beijing, shanghai) = (at(39.9042, 116.4074), at(31.2304, 121.4737));
        assert!((1_060_000..1_070_000).contains(&distance_m(beijing, shanghai)));
        assert_eq!(distance_m(beijing, beijing), 0);
        let (north, south) = (at(90.0, 0.0), at(-90.0, 0.0));
        assert!((12_742_010..=12_742_016).contains(&distance_m(north, south)));
    }

    proptest! {
        #[test]
        fn agrees_with_floating_point_to_a_metre(
            a in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
            b in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
        ) {
            let rad = |e7: i32| (f64::from(e7) * 1e-7).to_radians();
            let v = |(lat, lon): (i32, i32)| {
                let (lat, lon) = (rad(lat), rad(lon));
                [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
            };
            let (va, vb) = (v(a), v(b));
            let chord = va.iter().zip(vb).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            #[allow(clippy::cast_precision_loss)]
            let ours = distance_m(
                Position { latitude_e7: a.0, longitude_e7: a.1 },
                Position { latitude_e7: b.0, longitude_e7: b.1 },
            ) as f64;
            prop_assert!((ours - chord * 6_371_008.0).abs() < 1.5);
        }

        #[test]
        fn a_glance_never_says_less(
            a in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
            near in (-20_000i32..=20_000, -20_000i32..=20_000),
            far in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
        ) {
            let position = |(latitude_e7, longitude_e7)| Position { latitude_e7, longitude_e7 };
            let near = (
                (a.0 + near.0).clamp(-900_000_000, 900_000_000),
                (a.1 + near.1).clamp(-1_800_000_000, 1_800_000_000),
            );
            for b in [near, far] {
                let (a, b) = (position(a), position(b));
                prop_assert!(distance_m(a, b) <= at_most_m(a, b));
            }
        }
    }
}
