//! Who trades: parties with their numbers, keys, sites and goods, all drawn from the seed.

use std::collections::BTreeSet;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::SimulateError;
use super::places::{CITIES, Site};
use super::random::SplitMix64;
use crate::core::id::{Gtin14, PartyId, gs1_check_digit};
use crate::core::signature::Signer;
use crate::core::wire::Role;

/// Fewest parties that a trade needs: two makers, so that one can counterfeit the other's goods,
/// three couriers, so that one is a stranger to any goods, two sellers, and one of the others.
pub const MIN_PARTIES: usize = 10;
/// Most parties.
pub const MAX_PARTIES: usize = 10_000;
/// Products of one maker.
const MAX_PRODUCTS: u64 = 4;
/// Item number of the bundle that a maker packs out of two items.
const KIT_ITEM: u64 = 900;

/// Where and how goods are named: place of the trade in the name, kinds of goods, content.
const GOODS: [(&str, &str, u64, &str); 8] = [
    ("茶业", "Oolong tea 250 g", 250_000, "GRM"),
    ("药业", "Vitamin C 500 tablets", 500_000, "C62"),
    ("食品", "Dried longan 500 g", 500_000, "GRM"),
    ("日化", "Face cream 50 ml", 50_000, "MLT"),
    ("鞋业", "Running shoes, pair", 2_000, "C62"),
    ("母婴", "Infant formula 900 g", 900_000, "GRM"),
    ("电器", "Phone charger", 1_000, "C62"),
    ("酒业", "Rice wine 500 ml", 500_000, "MLT"),
];

const BRANDS: [&str; 16] = [
    "青禾", "闽和", "鹭安", "榕欣", "海泰", "云岭", "晋源", "德馨", "瑞丰", "福临", "金麦", "长风",
    "明禾", "嘉木", "正川", "百信",
];

/// A kind of goods of one maker.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub gtin: Gtin14,
    pub name: &'static str,
    /// In thousandths, and the unit of measure.
    pub content: (u64, &'static str),
    /// Regions; empty is any.
    pub markets: Vec<&'static str>,
}

/// A party.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub id: PartyId,
    pub role: Role,
    pub name: String,
    pub site: Site,
    pub key: Arc<Signer>,
    /// Keys of a courier's scanners.
    pub devices: Vec<Arc<Signer>>,
    /// 9 digits.
    pub prefix: u64,
    /// Carrier of a courier's waybills.
    pub carrier: Option<String>,
    pub products: Vec<Product>,
    /// Logistic units and waybills numbered so far.
    numbered: u64,
}

impl Party {
    /// A new SSCC of this party.
    pub fn next_sscc(&mut self) -> String {
        self.numbered += 1;
        let (extension, serial) = (self.numbered / 10_000_000 % 10, self.numbered % 10_000_000);
        let body = (extension * 1_000_000_000 + self.prefix) * 10_000_000 + serial;
        format!("00/{body:017}{}", gs1_check_digit(body))
    }

    /// A new waybill of this courier.
    pub fn next_waybill(&mut self) -> String {
        self.numbered += 1;
        let carrier = self.carrier.as_deref().unwrap_or("kd");
        format!(
            "waybill/{carrier}:{}{:012}",
            carrier.to_ascii_uppercase(),
            self.numbered
        )
    }

    /// The bundle of two items of this maker.
    pub fn kit(&self) -> Option<Gtin14> {
        gtin(self.prefix, KIT_ITEM)
    }

    /// A courier's depot in a city.
    pub fn depot(&self, city: usize) -> Site {
        // Couriers keep their depots apart, within 5 km of the centre.
        let apart = i32::try_from(self.prefix % 90).unwrap_or(0) - 45;
        Site::new(city, apart * 10, -apart * 10)
    }
}

/// Everybody.
pub(super) struct World {
    pub parties: Vec<Party>,
    pub makers: Vec<usize>,
    pub distributors: Vec<usize>,
    pub sellers: Vec<usize>,
    pub couriers: Vec<usize>,
    pub inspectors: Vec<usize>,
}

impl World {
    /// Draws the parties.
    pub fn new(random: &SplitMix64, parties: usize) -> Result<Self, SimulateError> {
        if !(MIN_PARTIES..=MAX_PARTIES).contains(&parties) {
            return Err(SimulateError::Parties(parties));
        }
        let mut world = Self {
            parties: Vec::with_capacity(parties),
            makers: Vec::new(),
            distributors: Vec::new(),
            sellers: Vec::new(),
            couriers: Vec::new(),
            inspectors: Vec::new(),
        };
        let mut random = random.fork("parties", 0);
        let mut taken = BTreeSet::new();
        for (number, role) in roles(parties).into_iter().enumerate() {
            let party = draw_party(&mut random, role, number, &mut taken)?;
            let list = match role {
                Role::Maker => &mut world.makers,
                Role::Distributor => &mut world.distributors,
                Role::Courier => &mut world.couriers,
                Role::Inspector => &mut world.inspectors,
                _ => &mut world.sellers,
            };
            list.push(number);
            world.parties.push(party);
        }
        world.give_carriers();
        world.draw_products(&mut random)?;
        Ok(world)
    }

    /// Couriers get their carriers' codes: three known ones, then `kd01` and so on.
    fn give_carriers(&mut self) {
        let known = ["sf", "yto", "zto"];
        for (number, index) in self.couriers.iter().enumerate() {
            let carrier = known.get(number).map(|code| (*code).to_owned());
            self.parties[*index].carrier =
                Some(carrier.unwrap_or_else(|| format!("kd{number:02}")));
        }
    }

    /// Makers get their products. Half are for the whole country, half for the regions of a few
    /// sellers only.
    fn draw_products(&mut self, random: &mut SplitMix64) -> Result<(), SimulateError> {
        let regions = self.seller_regions();
        for maker in self.makers.clone() {
            let count = random.between(1, MAX_PRODUCTS);
            let prefix = self.parties[maker].prefix;
            let mut products = Vec::new();
            for item in 0..count {
                let (_, name, milli, measure) = GOODS[random.below(GOODS.len())];
                let gtin = gtin(prefix, item + 1).ok_or(SimulateError::Numbers)?;
                let some_regions = (item + maker as u64).is_multiple_of(2);
                let markets = if some_regions {
                    few_markets(&regions, random)
                } else {
                    Vec::new()
                };
                products.push(Product {
                    gtin,
                    name,
                    content: (milli, measure),
                    markets,
                });
            }
            self.parties[maker].products = products;
        }
        Ok(())
    }

    /// Where sellers are.
    pub fn seller_regions(&self) -> Vec<&'static str> {
        self.sellers
            .iter()
            .map(|seller| self.parties[*seller].site.region())
            .collect()
    }
}

/// Up to three of the regions in which sellers are.
pub(super) fn few_markets(regions: &[&'static str], random: &mut SplitMix64) -> Vec<&'static str> {
    let three: BTreeSet<&'static str> = (0..3).filter_map(|_| random.pick(regions)).collect();
    three.into_iter().collect()
}

/// How many of each: a sixth make, a tenth distribute, a fifth carry, one in fifty inspects, and
/// the rest sell.
fn roles(parties: usize) -> Vec<Role> {
    let makers = (parties / 6).max(2);
    let distributors = (parties / 10).max(1);
    let couriers = (parties / 5).max(3);
    let inspectors = (parties / 50).max(1);
    let sellers = parties - makers - distributors - couriers - inspectors;
    let many = |role, count| std::iter::repeat_n(role, count);
    many(Role::Maker, makers)
        .chain(many(Role::Distributor, distributors))
        .chain(many(Role::Courier, couriers))
        .chain(many(Role::Inspector, inspectors))
        .chain(many(Role::Seller, sellers))
        .collect()
}

fn draw_party(
    random: &mut SplitMix64,
    role: Role,
    number: usize,
    taken: &mut BTreeSet<u64>,
) -> Result<Party, SimulateError> {
    let city = draw_city(random, role);
    let site = draw_site(random, city);
    // Prefixes that GS1 China gives out begin with 690 to 699.
    let mut prefix = 690_000_000 + random.between(0, 9_999_999);
    while !taken.insert(prefix) {
        prefix = 690_000_000 + random.between(0, 9_999_999);
    }
    // The code that GB 11714 would give a firm; far above any prefix, so that both share a set.
    let mut organisation = random.between(0, 999_999);
    while !taken.insert(organisation + 1_000_000_000) {
        organisation = random.between(0, 999_999);
    }
    let division = CITIES[city].division;
    let id = if number % 6 == 5 {
        gln(prefix)?
    } else {
        uscc(organisation, division)?
    };
    let scanners = if role == Role::Courier {
        random.between(2, 4)
    } else {
        0
    };
    Ok(Party {
        id,
        role,
        name: draw_name(random, role, city),
        site,
        key: draw_key(random),
        devices: (0..scanners).map(|_| draw_key(random)).collect(),
        prefix,
        carrier: None,
        products: Vec::new(),
        numbered: 0,
    })
}

/// Most makers are in the south-east, sellers everywhere.
fn draw_city(random: &mut SplitMix64, role: Role) -> usize {
    let home = CITIES
        .iter()
        .position(|city| city.region == "CN-FJ")
        .unwrap_or(0);
    if matches!(role, Role::Maker | Role::Inspector) && random.percent(60) {
        home + random.below(5)
    } else {
        random.below(CITIES.len())
    }
}

/// A site within 6 km of the centre.
pub(super) fn draw_site(random: &mut SplitMix64, city: usize) -> Site {
    let mut off = || i32::try_from(random.between(0, 1000)).unwrap_or(0) - 500;
    Site::new(city, off(), off())
}

pub(super) fn draw_key(random: &mut SplitMix64) -> Arc<Signer> {
    Arc::new(Signer::from_seed(&Zeroizing::new(random.bytes())))
}

/// Every name says that the firm is simulated, since firms of such names may exist.
fn draw_name(random: &mut SplitMix64, role: Role, city: usize) -> String {
    let trade = match role {
        Role::Maker => GOODS[random.below(GOODS.len())].0,
        Role::Distributor => "供应链",
        Role::Courier => "速运",
        Role::Inspector => "检测",
        _ => "商贸",
    };
    let brand = BRANDS[random.below(BRANDS.len())];
    format!("{}{brand}{trade}有限公司（模拟）", CITIES[city].chinese)
}

/// Item `item` of a prefix (GS1 General Specifications: prefix, item, check digit).
fn gtin(prefix: u64, item: u64) -> Option<Gtin14> {
    let body = prefix * 1000 + item;
    Gtin14::from_u64(body * 10 + u64::from(gs1_check_digit(body))).ok()
}

fn gln(prefix: u64) -> Result<PartyId, SimulateError> {
    let body = prefix * 1000;
    let text = format!("gln:{body:012}{}", gs1_check_digit(body));
    text.parse().map_err(|_| SimulateError::Numbers)
}

/// A Unified Social Credit Code (GB 32100-2015) of a firm in a division.
fn uscc(organisation: u64, division: u32) -> Result<PartyId, SimulateError> {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    // Organisation code (GB 11714): eight characters and their check.
    let organisation = format!("MA{organisation:06}");
    let weights = [3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = organisation
        .chars()
        .zip(weights)
        .map(|(c, weight)| c.to_digit(36).unwrap_or(0) * weight)
        .sum();
    let check = match 11 - sum % 11 {
        10 => 'X',
        11 => '0',
        digit => char::from_digit(digit, 10).unwrap_or('0'),
    };
    let code = format!("91{division:06}{organisation}{check}");
    let (sum, _) = code.bytes().fold((0, 1), |(sum, weight), byte| {
        let value = ALPHABET.iter().position(|c| *c == byte).unwrap_or(0);
        (sum + value * weight, weight * 3 % 31)
    });
    let last = char::from(ALPHABET[(31 - sum % 31) % 31]);
    format!("uscc:{code}{last}")
        .parse()
        .map_err(|_| SimulateError::Numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_a_seed_when_drawn_then_every_number_is_valid_and_unique() {
        let mut world = World::new(&SplitMix64::new(7), 120).unwrap();
        let ids: BTreeSet<_> = world.parties.iter().map(|party| party.id).collect();
        assert_eq!(ids.len(), 120);
        for party in &mut world.parties {
            let sscc = party.next_sscc();
            assert!(sscc.parse::<crate::core::id::UnitId>().is_ok(), "{sscc}");
            if party.carrier.is_some() {
                let waybill = party.next_waybill();
                assert!(
                    waybill.parse::<crate::core::id::UnitId>().is_ok(),
                    "{waybill}"
                );
            }
        }
    }

    #[test]
    fn given_too_few_parties_when_drawn_then_refused() {
        assert!(World::new(&SplitMix64::new(7), MIN_PARTIES - 1).is_err());
        assert!(World::new(&SplitMix64::new(7), MIN_PARTIES).is_ok());
    }
}
