//! The map of China on which routes are drawn: outlines of provinces in an Albers equal-area conic
//! projection, made by `tools/web/map.mjs`. There is no tile server to tell who looks at what.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::core::lang::Lang;

/// The outlines, and how places are projected onto them.
#[derive(Debug, Deserialize)]
pub(super) struct China {
    #[serde(rename = "viewBox")]
    pub view_box: [i32; 4],
    projection: Projection,
    pub provinces: Vec<Province>,
    pub nanhai: Inset,
}

#[derive(Debug, Deserialize)]
struct Projection {
    scale: f64,
    dx: f64,
    dy: f64,
    parallels: [f64; 2],
    meridian: f64,
    origin: f64,
}

/// A province.
#[derive(Debug, Deserialize)]
pub(super) struct Province {
    /// ISO 3166-2.
    pub code: String,
    pub zh: String,
    pub en: String,
    /// Outline, as an SVG path.
    pub d: String,
    /// Where its name stands.
    pub label: [i32; 2],
}

/// The South China Sea, in a corner of its own.
#[derive(Debug, Deserialize)]
pub(super) struct Inset {
    pub d: String,
    #[serde(rename = "box")]
    pub frame: [i32; 4],
}

/// The map.
pub(super) static CHINA: LazyLock<China> = LazyLock::new(|| {
    // It is a part of the program, and a test reads it.
    serde_json::from_str(include_str!("assets/provinces.json"))
        .expect("the map in the program is a map")
});

impl China {
    /// Where a place is on the map (J. P. Snyder, Map Projections, section 14, on a sphere).
    pub(super) fn place(&self, latitude: f64, longitude: f64) -> (f64, f64) {
        let p = &self.projection;
        let [first, second] = p.parallels.map(f64::to_radians);
        let n = f64::midpoint(first.sin(), second.sin());
        let c = first.cos().powi(2) + 2.0 * n * first.sin();
        let radius =
            |latitude: f64| (c - 2.0 * n * latitude.to_radians().sin()).max(0.0).sqrt() / n;
        let theta = n * (longitude - p.meridian).to_radians();
        let (here, origin) = (radius(latitude), radius(p.origin));
        let (east, north) = (here * theta.sin(), origin - here * theta.cos());
        (p.dx + p.scale * east, p.dy - p.scale * north)
    }

    fn province(&self, region: &str) -> Option<&Province> {
        let mut all = self.provinces.iter();
        all.find(|province| province.code == region)
    }

    /// The middle of a region such as `CN-FJ`, about.
    pub(super) fn middle(&self, region: &str) -> Option<(f64, f64)> {
        let [x, y] = self.province(region)?.label.map(f64::from);
        Some((x, y))
    }

    /// Name of a region.
    pub(super) fn name(&self, region: &str, lang: Lang) -> Option<&str> {
        let province = self.province(region)?;
        Some(lang.pick(&province.zh, &province.en))
    }
}

/// The outlines as a picture that suits light and dark pages.
pub(super) fn picture() -> String {
    let [x, y, width, height] = CHINA.view_box;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{x} {y} {width} {height}\"><style>\
         path{{fill:#e4e9ec;stroke:#fff;stroke-width:1.5;vector-effect:non-scaling-stroke}}\
         .n{{fill:none;stroke:#a9b6be}}\
         @media(prefers-color-scheme:dark){{path{{fill:#2a343c;stroke:#141b20}}.n{{stroke:#5b6b76}}}}\
         </style>"
    );
    for province in &CHINA.provinces {
        let _ = write!(svg, "<path d=\"{}\"/>", province.d);
    }
    let [x, y, width, height] = CHINA.nanhai.frame;
    let _ = write!(
        svg,
        "<rect class=\"n\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\
         <path class=\"n\" d=\"{}\"/></svg>",
        CHINA.nanhai.d
    );
    svg
}

/// A place on a route.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub x: i32,
    pub y: i32,
    /// Numbers of the steps there.
    pub number: String,
    pub name: String,
}

/// A way over the map.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    /// The part of the map that is shown.
    pub view_box: String,
    pub width: i32,
    pub height: i32,
    pub line: String,
    pub stops: Vec<Stop>,
    /// How large a mark is, in units of the map.
    pub mark: i32,
}

/// Units of the map, some four kilometres each, within which a name is one place.
const ONE_PLACE: i32 = 12;
/// Shape of the picture.
const ASPECT: f64 = 0.75;
/// The smallest part of the map that is shown, in its units: some six hundred kilometres.
const LEAST_WIDTH: f64 = 150.0;

impl Route {
    /// The way through places, in their order; none when there are none.
    pub(super) fn through(places: &[((f64, f64), String)]) -> Option<Self> {
        let mut stops: Vec<Stop> = Vec::new();
        let mut line = String::new();
        let (mut last, mut number) = (None, 0);
        for ((x, y), name) in places {
            // Coordinates of the map are small.
            #[allow(clippy::cast_possible_truncation)]
            let here = (x.round() as i32, y.round() as i32);
            // Scanners of one city are at some distance of each other; on this map it is one place. A name alone
            // is none: whoever signs writes it.
            let stays = |(before, x, y): (&String, i32, i32)| {
                before == name && (x - here.0).abs() + (y - here.1).abs() < ONE_PLACE
            };
            if last.is_some_and(stays) {
                continue;
            }
            let command = if last.is_none() { 'M' } else { 'L' };
            let _ = write!(line, "{command}{} {}", here.0, here.1);
            last = Some((name, here.0, here.1));
            number += 1;
            let same = |stop: &Stop| {
                stop.name == *name && (stop.x - here.0).abs() + (stop.y - here.1).abs() < ONE_PLACE
            };
            match stops.iter_mut().find(|stop| same(stop)) {
                Some(stop) => {
                    let _ = write!(stop.number, "·{number}");
                }
                None => stops.push(Stop {
                    x: here.0,
                    y: here.1,
                    number: number.to_string(),
                    name: name.clone(),
                }),
            }
        }
        if stops.is_empty() {
            return None;
        }
        let bounds = |of: fn(&Stop) -> i32| {
            let all = stops.iter().map(of);
            (
                f64::from(all.clone().min().unwrap_or(0)),
                f64::from(all.max().unwrap_or(0)),
            )
        };
        let ((left, right), (top, bottom)) = (bounds(|stop| stop.x), bounds(|stop| stop.y));
        let width = ((right - left) * 1.35)
            .max((bottom - top) * 1.35 / ASPECT)
            .max(LEAST_WIDTH);
        let height = width * ASPECT;
        let (x, y) = (
            f64::midpoint(left, right) - width / 2.0,
            f64::midpoint(top, bottom) - height / 2.0,
        );
        let [_, _, whole_width, whole_height] = CHINA.view_box;
        #[allow(clippy::cast_possible_truncation)]
        let mark = (width / 40.0).round().max(2.0) as i32;
        Some(Self {
            view_box: format!("{x:.0} {y:.0} {width:.0} {height:.0}"),
            width: whole_width,
            height: whole_height,
            line,
            stops,
            mark,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_has_every_province_and_places_lie_where_they_should() {
        assert_eq!(CHINA.provinces.len(), 34);
        let near = |(x, y): (f64, f64), region: &str, within: f64| {
            let (px, py) = CHINA.middle(region).unwrap();
            let away = (x - px).hypot(y - py);
            assert!(away < within, "{region} is {away} away");
        };
        near(CHINA.place(39.9, 116.4), "CN-BJ", 20.0);
        near(CHINA.place(31.2, 121.5), "CN-SH", 20.0);
        near(CHINA.place(19.2, 109.8), "CN-HI", 30.0);
        near(CHINA.place(29.65, 91.1), "CN-XZ", 120.0);
    }

    #[test]
    fn a_route_numbers_its_stops_in_order_and_names_a_place_once() {
        let at = |x: f64, name: &str| ((x, 100.0), name.to_owned());
        let places = [
            at(100.0, "A"),
            at(103.0, "A"),
            at(300.0, "B"),
            at(100.0, "A"),
        ];
        let route = Route::through(&places).unwrap();
        assert_eq!(route.line, "M100 100L300 100L100 100");
        let numbers: Vec<&str> = route
            .stops
            .iter()
            .map(|stop| stop.number.as_str())
            .collect();
        assert_eq!(numbers, ["1·3", "2"]);
        let far = Route::through(&[at(100.0, "A"), at(500.0, "A")]).unwrap();
        assert_eq!(far.stops.len(), 2, "one name at two places is two places");
        assert!(Route::through(&[]).is_none());
    }
}
