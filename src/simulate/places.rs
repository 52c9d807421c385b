//! Real cities, and how long goods take between them.
//!
//! Everything is an integer, so that a seed tells the same story on every machine.

use crate::core::wire;

/// A city: its name, ISO 3166-2 region, administrative division (GB/T 2260), and centre in WGS 84
/// in units of 1e-4 degree.
pub(super) struct City {
    pub name: &'static str,
    pub chinese: &'static str,
    pub region: &'static str,
    pub division: u32,
    latitude_e4: i32,
    longitude_e4: i32,
}

macro_rules! cities {
    ($($name:literal $chinese:literal $region:literal $division:literal $lat:literal $lon:literal;)*) => {
        pub(super) static CITIES: &[City] = &[$(City {
            name: $name,
            chinese: $chinese,
            region: $region,
            division: $division,
            latitude_e4: $lat,
            longitude_e4: $lon,
        }),*];
    };
}

cities! {
    "Beijing" "北京" "CN-BJ" 110_100 399_042 1_164_074;
    "Tianjin" "天津" "CN-TJ" 120_100 390_842 1_172_009;
    "Shijiazhuang" "石家庄" "CN-HE" 130_100 380_428 1_145_149;
    "Taiyuan" "太原" "CN-SX" 140_100 378_706 1_125_489;
    "Hohhot" "呼和浩特" "CN-NM" 150_100 408_426 1_117_492;
    "Shenyang" "沈阳" "CN-LN" 210_100 418_057 1_234_315;
    "Dalian" "大连" "CN-LN" 210_200 389_140 1_216_147;
    "Changchun" "长春" "CN-JL" 220_100 438_171 1_253_235;
    "Harbin" "哈尔滨" "CN-HL" 230_100 458_038 1_265_350;
    "Shanghai" "上海" "CN-SH" 310_100 312_304 1_214_737;
    "Nanjing" "南京" "CN-JS" 320_100 320_603 1_187_969;
    "Suzhou" "苏州" "CN-JS" 320_500 312_989 1_205_853;
    "Hangzhou" "杭州" "CN-ZJ" 330_100 302_741 1_201_551;
    "Ningbo" "宁波" "CN-ZJ" 330_200 298_683 1_215_440;
    "Yiwu" "义乌" "CN-ZJ" 330_782 293_068 1_200_751;
    "Hefei" "合肥" "CN-AH" 340_100 318_206 1_172_272;
    "Fuzhou" "福州" "CN-FJ" 350_100 260_745 1_192_965;
    "Xiamen" "厦门" "CN-FJ" 350_200 244_798 1_180_894;
    "Putian" "莆田" "CN-FJ" 350_300 254_541 1_190_078;
    "Quanzhou" "泉州" "CN-FJ" 350_500 248_741 1_186_757;
    "Zhangzhou" "漳州" "CN-FJ" 350_600 245_130 1_176_471;
    "Nanchang" "南昌" "CN-JX" 360_100 286_820 1_158_579;
    "Jinan" "济南" "CN-SD" 370_100 366_512 1_171_201;
    "Qingdao" "青岛" "CN-SD" 370_200 360_671 1_203_826;
    "Zhengzhou" "郑州" "CN-HA" 410_100 347_466 1_136_254;
    "Wuhan" "武汉" "CN-HB" 420_100 305_928 1_143_055;
    "Changsha" "长沙" "CN-HN" 430_100 282_282 1_129_388;
    "Guangzhou" "广州" "CN-GD" 440_100 231_291 1_132_644;
    "Shenzhen" "深圳" "CN-GD" 440_300 225_431 1_140_579;
    "Shantou" "汕头" "CN-GD" 440_500 233_541 1_166_820;
    "Dongguan" "东莞" "CN-GD" 441_900 230_207 1_137_518;
    "Nanning" "南宁" "CN-GX" 450_100 228_170 1_083_665;
    "Haikou" "海口" "CN-HI" 460_100 200_440 1_101_999;
    "Chongqing" "重庆" "CN-CQ" 500_100 295_630 1_065_516;
    "Chengdu" "成都" "CN-SC" 510_100 305_728 1_040_668;
    "Guiyang" "贵阳" "CN-GZ" 520_100 266_470 1_066_302;
    "Kunming" "昆明" "CN-YN" 530_100 250_389 1_027_183;
    "Lhasa" "拉萨" "CN-XZ" 540_100 296_520 911_721;
    "Xi'an" "西安" "CN-SN" 610_100 343_416 1_089_398;
    "Lanzhou" "兰州" "CN-GS" 620_100 360_611 1_038_343;
    "Xining" "西宁" "CN-QH" 630_100 366_171 1_017_782;
    "Yinchuan" "银川" "CN-NX" 640_100 384_872 1_062_309;
    "Urumqi" "乌鲁木齐" "CN-XJ" 650_100 438_256 876_168;
}

pub(super) const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// Speeds in km/h, and the time for loading and unloading.
const ROAD_KMH: u64 = 70;
const AIR_KMH: u64 = 700;
const ROAD_HANDLING: u64 = 30 * MINUTE;
const AIR_HANDLING: u64 = 4 * HOUR;
/// Roads are longer than the straight line, in hundredths.
const DETOUR_PERCENT: u64 = 130;
/// From here on goods may fly.
const FLIGHT_KM: u64 = 1400;
/// From here on a lorry changes depots on the way.
const DEPOT_KM: u64 = 700;
/// Metres of a degree on the meridian.
const METRES_PER_DEGREE: i64 = 111_195;

/// A site in a city.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub city: usize,
    pub latitude_e7: i32,
    pub longitude_e7: i32,
}

impl Site {
    /// The centre of a city, moved by so many 1e-4 degree.
    pub fn new(city: usize, north_e4: i32, east_e4: i32) -> Self {
        let row = &CITIES[city];
        Self {
            city,
            latitude_e7: (row.latitude_e4 + north_e4) * 1000,
            longitude_e7: (row.longitude_e4 + east_e4) * 1000,
        }
    }

    pub fn region(&self) -> &'static str {
        CITIES[self.city].region
    }

    /// As a record names it.
    pub fn place(&self) -> wire::Place {
        let city = &CITIES[self.city];
        wire::Place {
            position: Some(wire::Position {
                latitude_e7: self.latitude_e7,
                longitude_e7: self.longitude_e7,
            }),
            region: city.region.to_owned(),
            city: format!("{} {}", city.name, city.chinese),
            location: String::new(),
        }
    }

    /// Distance in metres on a flat map whose scale is that of the latitude between: up to a few
    /// percent long within China, so that times err on the believable side.
    pub fn metres_to(&self, other: Self) -> u64 {
        let north =
            i64::from(self.latitude_e7 - other.latitude_e7) * METRES_PER_DEGREE / 10_000_000;
        let middle = (i64::from(self.latitude_e7) + i64::from(other.latitude_e7)) / 2;
        let east =
            i64::from(self.longitude_e7 - other.longitude_e7) * METRES_PER_DEGREE / 10_000_000;
        let east = east * cosine_millionths(middle) / 1_000_000;
        (north * north + east * east).unsigned_abs().isqrt()
    }
}

/// Cosine of an angle in 1e-7 degree, 0 to 60 degrees, by four terms of its series.
const fn cosine_millionths(angle_e7: i64) -> i64 {
    let x = angle_e7 * 17_453 / 10_000_000; // thousandths of a thousandth of a radian
    let x2 = x * x / 1_000_000;
    let x4 = x2 * x2 / 1_000_000;
    let x6 = x4 * x2 / 1_000_000;
    1_000_000 - x2 / 2 + x4 / 24 - x6 / 720
}

/// One stage of a way: where it ends, and how long after the stage before.
pub(super) type Stage = (Site, u64);

/// Time by road.
pub(super) fn by_road(from: Site, to: Site) -> u64 {
    let metres = from.metres_to(to) * DETOUR_PERCENT / 100;
    metres * HOUR / (ROAD_KMH * 1000) + ROAD_HANDLING
}

/// Whether it is far enough to fly.
pub(super) fn may_fly(from: Site, to: Site) -> bool {
    from.metres_to(to) >= FLIGHT_KM * 1000
}

/// The stages from one site to another, the destination last: by air in one, by road with a
/// change at a depot where it is far. `depot` gives the carrier's depot in a city.
pub(super) fn route(
    from: Site,
    to: Site,
    by_air: bool,
    depot: impl Fn(usize) -> Site,
) -> Vec<Stage> {
    if by_air {
        return vec![(
            to,
            from.metres_to(to) * HOUR / (AIR_KMH * 1000) + AIR_HANDLING,
        )];
    }
    let far = from.metres_to(to) >= DEPOT_KM * 1000;
    let between = (0..CITIES.len())
        .map(depot)
        .map(|site| (from.metres_to(site), site.metres_to(to), site))
        .filter(|(first, second, _)| far && *first > 150_000 && *second > 150_000)
        .min_by_key(|(first, second, _)| first + second);
    let mut stages = Vec::with_capacity(2);
    let mut last = from;
    if let Some((_, _, site)) = between {
        stages.push((site, by_road(from, site)));
        last = site;
    }
    stages.push((to, by_road(last, to)));
    stages
}

/// The city that is farthest from a site: more than 1,500 km from anywhere in the table.
pub(super) fn farthest(from: Site) -> Site {
    let sites = (0..CITIES.len()).map(|city| Site::new(city, 0, 0));
    sites
        .max_by_key(|site| from.metres_to(*site))
        .unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city(name: &str) -> Site {
        let index = CITIES.iter().position(|city| city.name == name).unwrap();
        Site::new(index, 0, 0)
    }

    #[test]
    fn given_two_cities_when_measured_then_the_distance_is_the_known_one() {
        for (a, b, low, high) in [
            ("Beijing", "Shanghai", 1040, 1100),
            ("Xiamen", "Fuzhou", 200, 230),
            ("Guangzhou", "Urumqi", 3200, 3500),
        ] {
            let km = city(a).metres_to(city(b)) / 1000;
            assert!((low..=high).contains(&km), "{a} to {b}: {km} km");
        }
    }

    #[test]
    fn given_any_city_when_the_farthest_is_asked_then_no_lorry_gets_there_in_a_day() {
        for (index, city) in CITIES.iter().enumerate() {
            let site = Site::new(index, 0, 0);
            assert!(site.metres_to(farthest(site)) > 1_500_000, "{}", city.name);
        }
    }

    #[test]
    fn given_any_two_cities_when_goods_travel_then_no_stage_is_faster_than_its_means() {
        for a in 0..CITIES.len() {
            for b in (0..CITIES.len()).filter(|b| *b != a) {
                let (from, to) = (Site::new(a, 0, 0), Site::new(b, 0, 0));
                for (by_air, limit) in [(false, 120), (true, 800)] {
                    let mut last = from;
                    for (site, time) in route(from, to, by_air, |city| Site::new(city, 0, 0)) {
                        let kmh = last.metres_to(site) * 3600 / time;
                        assert!(kmh < limit, "{a} to {b}: {kmh} km/h");
                        last = site;
                    }
                    assert_eq!(last, to);
                }
            }
        }
    }
}
