//! The honest trade, a lot at a time.
//!
//! ```text
//!  maker ─ commission, inspect, pack ─► courier ─► distributor ─ unpack ─► courier ─► seller
//!  seller ─ parcel, hand over ─► courier ─ depots ─► deliver ─► buyer ─ confirm, dispute, return
//! ```
//!
//! Each unit of a lot has a [`Fate`]. Those that are planted break off, or are broken, where
//! [`fraud`](super::fraud) says. A [`Chapter`] is what happens to one lot, in three acts: each act
//! needs that the one before is in the log, because buyers' keys are known from there.

use std::sync::Arc;

use prost::Message as _;

use super::places::{self, CITIES, DAY, HOUR, MINUTE, Site};
use super::random::SplitMix64;
use super::truth::PlantedBreak;
use super::world::{Product, World, draw_key, draw_site};
use crate::core::envelope::{RETURN_CONSENT_TYPE, pae};
use crate::core::signature::Signer;
use crate::core::wire::record::Body;
use crate::core::wire::{self, FindingKind, Means};

/// 2026-03-01T00:00:00Z: when the story begins.
pub(super) const BASE: u64 = 1_772_323_200_000;
/// Lots begin within so many days of the base; each is told to its end within 60 days more.
pub(super) const LOTS_BEGIN_WITHIN_DAYS: u64 = 55;
/// Units named by one record of a commission.
const COMMISSION_UNITS: usize = 200;
/// Units in a case.
const CASE_UNITS: usize = 24;
/// Most sellers that share a lot.
const MAX_SELLERS: usize = 3;
/// Weight of a unit.
const UNIT_GRAMS: u64 = 450;

/// A record to be submitted, and what the script knows of it.
pub(super) struct Step {
    /// When it is submitted; mostly when it happened.
    pub at: u64,
    pub record: wire::Record,
    pub signer: Arc<Signer>,
    /// Whether it is to become the head of its units.
    pub advances: bool,
    pub planted: Vec<PlantedBreak>,
    pub mark: Option<Mark>,
    /// A former holder's scan, uploaded late.
    pub late: bool,
}

/// A record that a later one refers to.
pub(super) enum Mark {
    /// Its signer says something else to somebody else, who reports it.
    Equivocation {
        reporter: Arc<Signer>,
        elsewhere: Site,
    },
    /// A scan of the wrong unit, which its signer corrects.
    MisScan,
}

impl Step {
    /// A custody record.
    pub fn new(
        random: &mut SplitMix64,
        at: u64,
        signer: &Arc<Signer>,
        site: Option<Site>,
        units: &[String],
        body: Body,
    ) -> Self {
        let unit = |id: &String| wire::UnitRef {
            id: id.clone(),
            prev: Vec::new(),
        };
        let record = wire::Record {
            nonce: random.bytes::<16>().to_vec(),
            claimed_time_ms: at,
            place: site.map(|site| site.place()),
            units: units.iter().map(unit).collect(),
            body: Some(body),
            ..wire::Record::default()
        };
        let signer = Arc::clone(signer);
        Self {
            at,
            record,
            signer,
            advances: true,
            planted: Vec::new(),
            mark: None,
            late: false,
        }
    }

    /// A governance record.
    pub fn govern(random: &mut SplitMix64, at: u64, signer: &Arc<Signer>, body: Body) -> Self {
        Self::new(random, at, signer, None, &[], body)
    }

    /// This record breaks a rule at its first unit.
    pub fn plant(mut self, kind: FindingKind, story: &str) -> Self {
        let units: Vec<String> = self
            .record
            .units
            .iter()
            .map(|unit| unit.id.clone())
            .collect();
        for unit in units {
            self = self.plant_at(kind, unit, story);
        }
        self
    }

    /// This record breaks a rule at a unit.
    pub fn plant_at(mut self, kind: FindingKind, unit: String, story: &str) -> Self {
        let kind = kind.as_str_name().to_owned();
        // The step is known when it is submitted.
        let planted = PlantedBreak {
            kind,
            unit,
            step: 0,
            story: story.to_owned(),
            corrected: false,
        };
        self.planted.push(planted);
        self
    }

    /// The record is evidence only: it moves nothing and is nobody's `prev`.
    pub const fn beside(mut self) -> Self {
        self.advances = false;
        self
    }
}

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Sent to a buyer who confirms, or says nothing.
    Sold,
    /// Sold over the counter, to nobody's key.
    Counter,
    /// Sent to a buyer, and back.
    Returned,
    /// Sent to a buyer who says that it isn't what was ordered.
    Disputed,
    /// Broken in the shop.
    Destroyed,
    /// Still in the shop.
    Stock,
    /// Goes into a bundle at the maker.
    Kit,
    /// A depot scans it instead of its neighbour, and corrects that.
    MisScanned,
    /// Planted.
    Planted(FindingKind),
}

/// A lot, before it is told.
pub(super) struct Plot {
    pub number: usize,
    pub maker: usize,
    pub product: Product,
    pub start: u64,
    pub recalled: bool,
    pub fates: Vec<Fate>,
    /// Breaks that need no unit of the lot: clones of its label.
    pub clones: Vec<FindingKind>,
}

/// What happens to a lot.
#[derive(Default)]
pub(super) struct Chapter {
    /// Until the last delivery.
    pub trade: Vec<Step>,
    /// What needs the buyers' keys, or comes after everything else.
    pub aftermath: Vec<Step>,
    /// What needs the heads after that.
    pub returns: Vec<Return>,
    pub disputed: Vec<String>,
    pub confirmed: Vec<String>,
    pub recalled: Option<String>,
}

/// A buyer gives a unit back to a courier, who brings it to the seller.
pub(super) struct Return {
    pub unit: String,
    taker: String,
    signer: Arc<Signer>,
    buyer: Arc<Signer>,
    at: u64,
    site: Site,
    nonce: SplitMix64,
    pub follow: Vec<Step>,
}

impl Return {
    /// The record, with the buyer's consent for the unit at its head.
    pub fn step(&self, origin: &str, head: Vec<u8>) -> Step {
        let consent = wire::ReturnConsent {
            origin: origin.to_owned(),
            to: self.taker.clone(),
            units: vec![wire::UnitRef {
                id: self.unit.clone(),
                prev: head,
            }],
        };
        let consent = consent.encode_to_vec();
        let consent_signature = self
            .buyer
            .sign(&pae(RETURN_CONSENT_TYPE, &consent))
            .to_vec();
        let body = Body::Return(wire::Return {
            consent,
            consent_signature,
        });
        let units = std::slice::from_ref(&self.unit);
        Step::new(
            &mut self.nonce.clone(),
            self.at,
            &self.signer,
            Some(self.site),
            units,
            body,
        )
    }
}

/// How an order ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Confirmed,
    Silent,
    Disputed,
    Returned,
}

/// A unit in a shop.
#[derive(Clone)]
pub(super) struct Shelf {
    pub unit: String,
    pub fate: Fate,
    pub seller: usize,
    pub since: u64,
}

/// Tells one lot.
pub(super) struct Teller<'w> {
    pub world: &'w mut World,
    pub random: SplitMix64,
    pub plot: Plot,
    pub lot: String,
    /// A courier that never touches this lot.
    pub stranger: usize,
    /// All others.
    pub couriers: Vec<usize>,
    pub chapter: Chapter,
}

/// Tells one lot from its making to the last of its units.
pub(super) fn tell(world: &mut World, random: &SplitMix64, plot: Plot) -> Chapter {
    let mut random = random.fork("lot", plot.number);
    let stranger = random.below(world.couriers.len());
    let mut couriers = world.couriers.clone();
    let stranger = couriers.swap_remove(stranger);
    let lot = format!("L26{:05}", plot.number);
    let chapter = Chapter::default();
    let mut teller = Teller {
        world,
        random,
        plot,
        lot,
        stranger,
        couriers,
        chapter,
    };
    teller.clone_labels();
    let (pallet, cases, at) = teller.make();
    let (distributor, at) = teller.reach_distributor(&pallet, &cases, at);
    let shelves = teller.reach_sellers(distributor, &cases, at);
    let stock = teller.sell(shelves);
    if teller.plot.recalled {
        teller.recall(&stock);
    }
    teller.chapter
}

/// A case: its id and its units with their places in the lot.
type Case = (String, Vec<(String, Fate)>);

impl Teller<'_> {
    /// Says something, in the first act.
    pub fn say(&mut self, at: u64, by: &Arc<Signer>, site: Site, units: &[String], body: Body) {
        let step = Step::new(&mut self.random, at, by, Some(site), units, body);
        self.chapter.trade.push(step);
    }

    /// The party's own key.
    pub fn key(&self, party: usize) -> Arc<Signer> {
        Arc::clone(&self.world.parties[party].key)
    }

    /// One of a courier's scanners; the party's own key where it has none.
    pub fn hand(&mut self, party: usize) -> Arc<Signer> {
        let devices = &self.world.parties[party].devices;
        let device = devices.get(self.random.below(devices.len()));
        Arc::clone(device.unwrap_or(&self.world.parties[party].key))
    }

    pub fn site(&self, party: usize) -> Site {
        self.world.parties[party].site
    }

    pub fn id(&self, party: usize) -> String {
        self.world.parties[party].id.to_string()
    }

    pub fn courier(&mut self) -> usize {
        let index = self.random.below(self.couriers.len());
        self.couriers[index]
    }

    /// Whether the lot may be sold in a region.
    pub fn allowed(&self, region: &str) -> bool {
        let markets = &self.plot.product.markets;
        markets.is_empty() || markets.contains(&region)
    }

    /// The next moment from `at` on at which people work: 8 to 20 o'clock in China.
    pub fn working(&mut self, at: u64) -> u64 {
        let hour = (at + 8 * HOUR) % DAY / HOUR;
        if (8..20).contains(&hour) {
            return at;
        }
        let midnight = at + 8 * HOUR - (at + 8 * HOUR) % DAY;
        let morning = if hour < 8 { midnight } else { midnight + DAY };
        morning + self.random.between(0, 3 * HOUR)
    }

    pub fn minutes(&mut self, low: u64, high: u64) -> u64 {
        self.random.between(low * MINUTE, high * MINUTE)
    }

    pub fn attributes(&self) -> wire::Attributes {
        let (milli, measure) = self.plot.product.content;
        wire::Attributes {
            lot: self.lot.clone(),
            expiry: 20_270_630,
            markets: self
                .plot
                .product
                .markets
                .iter()
                .map(|m| (*m).to_owned())
                .collect(),
            lot_size: self.plot.fates.len() as u64,
            content: Some(wire::Quantity {
                milli,
                unit_of_measure: measure.to_owned(),
            }),
        }
    }

    /// An item of the lot's product with a serial that nobody guesses.
    pub fn item(&mut self) -> String {
        serialised(&mut self.random, &self.plot.product.gtin.to_string())
    }

    /// Commissions the lot, packs it in cases and the cases on a pallet.
    fn make(&mut self) -> (String, Vec<Case>, u64) {
        let maker = self.plot.maker;
        let (key, site) = (self.key(maker), self.site(maker));
        let mut at = self.working(self.plot.start);
        let fates = self.plot.fates.clone();
        let units: Vec<(String, Fate)> =
            fates.into_iter().map(|fate| (self.item(), fate)).collect();
        let ids: Vec<String> = units.iter().map(|(id, _)| id.clone()).collect();
        for part in ids.chunks(COMMISSION_UNITS) {
            let attributes = Some(self.attributes());
            let body = Body::Commission(wire::Commission {
                attributes,
                explains: Vec::new(),
            });
            self.say(at, &key, site, part, body);
            at += 2 * MINUTE;
        }
        at += self.minutes(30, 60);
        self.inspect_some(&ids, at);
        at += 30 * MINUTE;
        self.hold_some(&ids, at);
        at += 2 * HOUR;
        self.bundle_some(&units, at);
        at += HOUR;
        let whole: Vec<_> = units
            .into_iter()
            .filter(|(_, fate)| *fate != Fate::Kit)
            .collect();
        self.pack(&whole, at)
    }

    fn inspect_some(&mut self, ids: &[String], at: u64) {
        let Some(inspector) = self.random.pick(&self.world.inspectors) else {
            return;
        };
        let sample = &ids[..ids.len().min(3)];
        let report = wire::Digest {
            algorithm: wire::DigestAlgorithm::Sha256.into(),
            value: self.random.bytes::<32>().to_vec(),
        };
        let result = wire::InspectionResult::Pass.into();
        let body = Body::Inspect(wire::Inspect {
            result,
            report: Some(report),
        });
        let (key, site) = (self.key(inspector), self.site(self.plot.maker));
        self.say(at, &key, site, sample, body);
    }

    fn hold_some(&mut self, ids: &[String], at: u64) {
        let (key, site) = (self.key(self.plot.maker), self.site(self.plot.maker));
        let sample = &ids[..ids.len().min(2)];
        let reason = "label print under inspection".to_owned();
        self.say(
            at,
            &key,
            site,
            sample,
            Body::Hold(wire::Hold {
                scope: None,
                reason,
            }),
        );
        let reason = "label print in order".to_owned();
        let body = Body::Release(wire::Release {
            scope: None,
            reason,
        });
        self.say(at + HOUR, &key, site, sample, body);
    }

    /// Two items become a bundle of both.
    fn bundle_some(&mut self, units: &[(String, Fate)], at: u64) {
        let maker = self.plot.maker;
        let Some(gtin) = self.world.parties[maker].kit() else {
            return;
        };
        let (key, site) = (self.key(maker), self.site(maker));
        let kits: Vec<String> = units
            .iter()
            .filter(|(_, fate)| *fate == Fate::Kit)
            .map(|(id, _)| id.clone())
            .collect();
        for (number, pair) in (0u64..).zip(kits.chunks_exact(2)) {
            let mut attributes = self.attributes();
            attributes.lot.push('K');
            attributes.lot_size = 0;
            if let Some(content) = &mut attributes.content {
                content.milli *= 2;
            }
            let outputs = vec![serialised(&mut self.random, &gtin.to_string())];
            let body = wire::Transform {
                outputs,
                attributes: Some(attributes),
            };
            self.say(
                at + number * MINUTE,
                &key,
                site,
                pair,
                Body::Transform(body),
            );
        }
    }

    fn pack(&mut self, units: &[(String, Fate)], mut at: u64) -> (String, Vec<Case>, u64) {
        let maker = self.plot.maker;
        let (key, site) = (self.key(maker), self.site(maker));
        let mut sscc = || self.world.parties[maker].next_sscc();
        let pallet = sscc();
        let cases: Vec<Case> = units
            .chunks(CASE_UNITS)
            .map(|part| (sscc(), part.to_vec()))
            .collect();
        let ids: Vec<String> = cases.iter().map(|(id, _)| id.clone()).collect();
        let logistic: Vec<String> = ids.iter().cloned().chain([pallet.clone()]).collect();
        self.say(
            at,
            &key,
            site,
            &logistic,
            Body::Commission(wire::Commission::default()),
        );
        for (case, inside) in &cases {
            at += self.minutes(2, 6);
            let inside: Vec<String> = inside.iter().map(|(id, _)| id.clone()).collect();
            self.say(at, &key, site, &inside, pack_into(case));
        }
        at += self.minutes(10, 20);
        self.say(at, &key, site, &ids, pack_into(&pallet));
        at += self.minutes(10, 20);
        let at = self.pack_twice(units, at);
        (pallet, cases, at)
    }

    fn reach_distributor(&mut self, pallet: &str, cases: &[Case], at: u64) -> (usize, u64) {
        let index = self.random.below(self.world.distributors.len());
        let distributor = self.world.distributors[index];
        let at = at + self.random.between(4 * HOUR, 2 * DAY);
        let pallet = [pallet.to_owned()];
        let mut at = self.carry(&pallet, self.plot.maker, distributor, at, false);
        at = self.move_while_packed(distributor, cases, at);
        at += self.minutes(30, 90);
        let (key, site) = (self.key(distributor), self.site(distributor));
        let ids: Vec<String> = cases.iter().map(|(id, _)| id.clone()).collect();
        self.say(at, &key, site, &ids, unpack_from(&pallet[0]));
        (distributor, at)
    }

    /// Cases go to sellers; one of them is opened, and its units go loose in a courier's bag.
    fn reach_sellers(&mut self, distributor: usize, cases: &[Case], at: u64) -> Vec<Shelf> {
        let mismatch = Fate::Planted(FindingKind::ContentMismatch);
        let plain = |case: &Case| case.1.iter().all(|(_, fate)| *fate != mismatch);
        let loose = cases.iter().position(|case| cases.len() > 1 && plain(case));
        let sellers = self.choose_sellers();
        let mut shelves = Vec::new();
        for (turn, seller) in sellers.iter().enumerate() {
            let at = at + self.random.between(2 * HOUR, 3 * DAY);
            let mine = |(number, _): &(usize, &Case)| number % sellers.len() == turn;
            let closed: Vec<&Case> = cases
                .iter()
                .enumerate()
                .filter(mine)
                .filter(|(number, _)| Some(*number) != loose)
                .map(|(_, case)| case)
                .collect();
            if !closed.is_empty() {
                self.send_closed(distributor, *seller, &closed, at, &mut shelves);
            }
            if let Some(case) = loose.filter(|number| number % sellers.len() == turn) {
                self.send_loose(distributor, *seller, &cases[case], at, &mut shelves);
            }
        }
        shelves
    }

    /// Up to three sellers in the lot's markets.
    fn choose_sellers(&mut self) -> Vec<usize> {
        let mut sellers: Vec<usize> = self.world.sellers.clone();
        sellers.retain(|seller| self.allowed(self.site(*seller).region()));
        self.random.shuffle(&mut sellers);
        sellers.truncate(MAX_SELLERS);
        sellers
    }

    fn send_closed(
        &mut self,
        from: usize,
        seller: usize,
        cases: &[&Case],
        at: u64,
        shelves: &mut Vec<Shelf>,
    ) {
        let ids: Vec<String> = cases.iter().map(|(id, _)| id.clone()).collect();
        let mut at = self.carry(&ids, from, seller, at, false);
        let (key, site) = (self.key(seller), self.site(seller));
        let mut unpacked = Vec::new();
        for (case, inside) in cases {
            at += self.minutes(5, 20);
            let units: Vec<String> = inside.iter().map(|(id, _)| id.clone()).collect();
            self.say(at, &key, site, &units, unpack_from(case));
            let shelf = |(unit, fate): &(String, Fate)| Shelf {
                unit: unit.clone(),
                fate: *fate,
                seller,
                since: at,
            };
            unpacked.extend(inside.iter().map(shelf));
        }
        if let Some(last) = ids.last() {
            at = self.unpack_what_is_not_inside(&mut unpacked, last, at);
        }
        for shelf in &mut unpacked {
            shelf.since = at;
        }
        shelves.append(&mut unpacked);
    }

    fn send_loose(
        &mut self,
        from: usize,
        seller: usize,
        case: &Case,
        at: u64,
        shelves: &mut Vec<Shelf>,
    ) {
        let (key, site) = (self.key(from), self.site(from));
        let units: Vec<String> = case.1.iter().map(|(id, _)| id.clone()).collect();
        self.say(at, &key, site, &units, unpack_from(&case.0));
        let since = self.carry(&units, from, seller, at + HOUR, true);
        let shelf = |(unit, fate): &(String, Fate)| Shelf {
            unit: unit.clone(),
            fate: *fate,
            seller,
            since,
        };
        shelves.extend(case.1.iter().map(shelf));
    }

    /// A courier brings goods from one party to another. Returns when they were accepted.
    fn carry(&mut self, units: &[String], from: usize, to: usize, at: u64, in_bag: bool) -> u64 {
        let courier = self.courier();
        let (giver, taker) = (self.key(from), self.key(to));
        let (origin, end) = (self.site(from), self.site(to));
        let mut at = self.working(at);
        at = self.hesitate(units, from, courier, at, end);
        let offer = self.offer(courier, units.len(), end, Means::Road);
        self.say(at, &giver, origin, units, offer);
        at += self.minutes(20, 60);
        let scanner = self.hand(courier);
        self.say(at, &scanner, origin, units, collect());
        let bag = in_bag.then(|| self.world.parties[courier].next_waybill());
        let cargo = bag.clone().map_or_else(|| units.to_vec(), |bag| vec![bag]);
        if let Some(bag) = &bag {
            at += self.minutes(5, 15);
            self.say(
                at,
                &scanner,
                origin,
                &cargo,
                Body::Commission(wire::Commission::default()),
            );
            at += MINUTE;
            self.say(at, &scanner, origin, units, pack_into(bag));
        }
        let (depots, arrival) = self.haul(&cargo, courier, origin, end, at);
        at = arrival;
        if let Some(bag) = &bag {
            self.say(at, &scanner, end, units, unpack_from(bag));
            at += self.minutes(3, 8);
        }
        let offer = self.offer(to, units.len(), end, Means::InPerson);
        let scanner = self.hand(courier);
        self.say(at, &scanner, end, units, offer);
        at += self.minutes(10, 30);
        self.say(at, &taker, end, units, accept());
        if bag.is_none() && self.random.percent(8) {
            self.upload_late(depots, at);
        }
        at
    }

    /// From the giver over the courier's depots to the taker's door. Returns the places of the
    /// scans in the chapter, and the arrival.
    fn haul(
        &mut self,
        cargo: &[String],
        courier: usize,
        from: Site,
        to: Site,
        mut at: u64,
    ) -> (std::ops::Range<usize>, u64) {
        let first_scan = self.chapter.trade.len();
        let depot = self.world.parties[courier].depot(from.city);
        at += places::by_road(from, depot);
        let scanner = self.hand(courier);
        self.say(at, &scanner, depot, cargo, scan());
        let mut last = depot;
        if to.city != from.city {
            let end = self.world.parties[courier].depot(to.city);
            let by_air = places::may_fly(depot, end) && self.random.percent(50);
            let party = &self.world.parties[courier];
            let stages = places::route(depot, end, by_air, |city| party.depot(city));
            at += self.minutes(60, 360);
            for (site, time) in stages {
                at += time;
                let scanner = self.hand(courier);
                self.say(at, &scanner, site, cargo, scan());
                at += self.minutes(20, 240);
                last = site;
            }
        }
        let scans = first_scan..self.chapter.trade.len();
        let arrival = at + places::by_road(last, to);
        (scans, self.working(arrival))
    }

    /// A scanner was offline: its scan reaches the ledger when the goods are long elsewhere.
    fn upload_late(&mut self, scans: std::ops::Range<usize>, accepted: u64) {
        let upload = accepted + self.random.between(2 * HOUR, 10 * HOUR);
        if let Some(step) = self.chapter.trade.get_mut(scans.start) {
            step.at = upload;
            step.advances = false;
            step.late = true;
        }
    }

    /// Now and then an offer is withdrawn, or the courier has no room.
    fn hesitate(
        &mut self,
        units: &[String],
        from: usize,
        courier: usize,
        at: u64,
        end: Site,
    ) -> u64 {
        let (giver, site) = (self.key(from), self.site(from));
        if !self.random.percent(8) {
            return at;
        }
        let offer = self.offer(courier, units.len(), end, Means::Road);
        self.say(at, &giver, site, units, offer);
        if self.random.percent(50) {
            self.say(
                at + 20 * MINUTE,
                &giver,
                site,
                units,
                Body::Void(wire::Void {}),
            );
        } else {
            let scanner = self.hand(courier);
            let refuse = wire::Refuse {
                reason: "no room in the van".to_owned(),
            };
            self.say(
                at + 20 * MINUTE,
                &scanner,
                site,
                units,
                Body::Refuse(refuse),
            );
        }
        at + HOUR
    }

    /// An offer to a party. A destination is declared where the goods may be sold.
    pub fn offer(&self, to: usize, units: usize, end: Site, means: Means) -> Body {
        let region = end.region();
        Body::Handover(wire::Handover {
            to: self.id(to),
            buyer: None,
            weight_grams: UNIT_GRAMS * units as u64,
            means: means.into(),
            destination: if self.allowed(region) {
                region.to_owned()
            } else {
                String::new()
            },
        })
    }

    /// What becomes of the units in the shops. Returns those that stay there.
    fn sell(&mut self, shelves: Vec<Shelf>) -> Vec<Shelf> {
        let mut stock = Vec::new();
        let mut orders: Vec<Vec<Shelf>> = Vec::new();
        for mut shelf in shelves {
            match shelf.fate {
                Fate::Sold => self.add_to_order(&mut orders, shelf),
                Fate::Counter => self.sell_over_the_counter(&shelf),
                Fate::Returned => self.ship(&[shelf], None, Ending::Returned),
                Fate::Disputed => self.ship(&[shelf], None, Ending::Disputed),
                Fate::Destroyed => {
                    self.destroy(&shelf);
                }
                Fate::MisScanned => {
                    shelf.since = self.scan_the_wrong_unit(&shelf);
                    self.ship(&[shelf], None, Ending::Confirmed);
                }
                Fate::Planted(kind) => {
                    if let Some(shelf) = self.plant(kind, shelf) {
                        stock.push(shelf);
                    }
                }
                Fate::Stock | Fate::Kit => stock.push(shelf),
            }
        }
        for order in orders {
            let ending = if self.random.percent(80) {
                Ending::Confirmed
            } else {
                Ending::Silent
            };
            self.ship(&order, None, ending);
        }
        stock
    }

    /// Orders are of one to three units of one shop.
    fn add_to_order(&mut self, orders: &mut Vec<Vec<Shelf>>, shelf: Shelf) {
        let joins = self.random.percent(50);
        match orders.last_mut() {
            Some(order) if joins && order.len() < 3 && order[0].seller == shelf.seller => {
                order.push(shelf);
            }
            _ => orders.push(vec![shelf]),
        }
    }

    fn sell_over_the_counter(&mut self, shelf: &Shelf) {
        let (key, site) = (self.key(shelf.seller), self.site(shelf.seller));
        let at = shelf.since + self.random.between(2 * HOUR, 12 * DAY);
        let at = self.working(at);
        let body = Body::Deliver(wire::Deliver {
            buyer_key_id: Vec::new(),
        });
        self.say(at, &key, site, std::slice::from_ref(&shelf.unit), body);
    }

    /// Returns when.
    pub fn destroy(&mut self, shelf: &Shelf) -> u64 {
        let (key, site) = (self.key(shelf.seller), self.site(shelf.seller));
        let at = shelf.since + self.random.between(2 * HOUR, 5 * DAY);
        let at = self.working(at);
        let body = Body::Destroy(wire::Destroy {
            reason: "broken in the shop".to_owned(),
        });
        self.say(at, &key, site, std::slice::from_ref(&shelf.unit), body);
        at
    }

    /// An order goes to its buyer, with or without something planted on the way.
    pub fn ship(&mut self, order: &[Shelf], twist: Option<FindingKind>, ending: Ending) {
        let Some(first) = order.first() else { return };
        let seller = first.seller;
        let since = order
            .iter()
            .map(|shelf| shelf.since)
            .max()
            .unwrap_or(first.since);
        let at = since + self.random.between(2 * HOUR, 10 * DAY);
        let at = self.working(at);
        let units: Vec<String> = order.iter().map(|shelf| shelf.unit.clone()).collect();
        let plain = twist.is_none() && matches!(ending, Ending::Confirmed | Ending::Silent);
        let in_parcel = units.len() > 1 || (plain && self.random.percent(30));
        let (goods, at) = if in_parcel {
            self.parcel(seller, &units, at)
        } else {
            (first.unit.clone(), at)
        };
        let home = self.draw_home(seller, twist == Some(FindingKind::DivertedMarket));
        let buyer = draw_key(&mut self.random);
        let courier = self.courier();
        let parcel = Parcel {
            goods,
            seller,
            courier,
            home,
            buyer,
            units: units.len(),
        };
        let Some(at) = self.bring(&parcel, twist, at) else {
            return;
        };
        let contents = if in_parcel { units } else { Vec::new() };
        self.end(&parcel, &contents, ending, at);
    }

    fn parcel(&mut self, seller: usize, units: &[String], at: u64) -> (String, u64) {
        let (key, site) = (self.key(seller), self.site(seller));
        let parcel = self.world.parties[seller].next_sscc();
        let alone = std::slice::from_ref(&parcel);
        self.say(
            at,
            &key,
            site,
            alone,
            Body::Commission(wire::Commission::default()),
        );
        self.say(at + 2 * MINUTE, &key, site, units, pack_into(&parcel));
        (parcel, at + 10 * MINUTE)
    }

    /// Where a buyer lives: often near the shop, always in the markets, unless goods are diverted.
    fn draw_home(&mut self, seller: usize, diverted: bool) -> Site {
        let near = self.site(seller).city;
        if !diverted && self.random.percent(40) {
            return draw_site(&mut self.random, near);
        }
        let cities: Vec<usize> = (0..CITIES.len())
            .filter(|city| self.allowed(CITIES[*city].region) != diverted)
            .collect();
        let city = self.random.pick(&cities).unwrap_or(near);
        draw_site(&mut self.random, city)
    }

    /// From the shop to the buyer's door. None when the goods don't get there.
    fn bring(&mut self, parcel: &Parcel, twist: Option<FindingKind>, mut at: u64) -> Option<u64> {
        let (key, shop) = (self.key(parcel.seller), self.site(parcel.seller));
        let units = std::slice::from_ref(&parcel.goods);
        let offer = self.sale(parcel, twist);
        self.say(at, &key, shop, units, offer);
        at = self.twist_offer(parcel, twist, at);
        at += if twist == Some(FindingKind::PhantomDelivery) {
            2 * MINUTE
        } else {
            self.minutes(20, 50)
        };
        let scanner = self.hand(parcel.courier);
        self.say(at, &scanner, shop, units, collect());
        if twist == Some(FindingKind::PhantomDelivery) {
            return Some(self.deliver_on_paper(parcel, at));
        }
        let (scans, arrival) = self.haul(units, parcel.courier, shop, parcel.home, at);
        if self.twist_way(parcel, twist, scans) {
            return None;
        }
        let scanner = self.hand(parcel.courier);
        let buyer_key_id = parcel.buyer.key_id().0.to_vec();
        self.say(
            arrival,
            &scanner,
            parcel.home,
            units,
            Body::Deliver(wire::Deliver { buyer_key_id }),
        );
        self.twist_delivery(twist);
        Some(arrival)
    }

    /// The seller's offer, which names the buyer's key.
    fn sale(&self, parcel: &Parcel, twist: Option<FindingKind>) -> Body {
        let shop = self.site(parcel.seller);
        let offer = self.offer(parcel.courier, parcel.units, parcel.home, Means::Road);
        let Body::Handover(mut handover) = offer else {
            return offer;
        };
        handover.buyer = Some(buyer_key(&parcel.buyer));
        match twist {
            Some(FindingKind::PhantomDelivery) => handover.weight_grams = 0,
            // Who diverts goods doesn't say so.
            Some(FindingKind::DivertedMarket) => {
                shop.region().clone_into(&mut handover.destination)
            }
            _ => {}
        }
        Body::Handover(handover)
    }

    /// What the buyer does, in the later acts.
    fn end(&mut self, parcel: &Parcel, contents: &[String], ending: Ending, at: u64) {
        let heard = at + self.minutes(30, 3 * 24 * 60);
        let units = std::slice::from_ref(&parcel.goods);
        match ending {
            Ending::Silent => {}
            Ending::Disputed => {
                let reason = "not what was ordered".to_owned();
                self.buyer_says(parcel, heard, Body::Reject(wire::Reject { reason }));
                self.chapter.disputed.extend_from_slice(units);
            }
            Ending::Confirmed => {
                self.chapter.confirmed.extend(contents.first().cloned());
                let listed = self.random.percent(50);
                let contents = if listed {
                    contents.to_vec()
                } else {
                    Vec::new()
                };
                self.buyer_says(parcel, heard, Body::Confirm(wire::Confirm { contents }));
            }
            Ending::Returned => {
                self.buyer_says(parcel, heard, Body::Confirm(wire::Confirm::default()));
                self.give_back(parcel, heard);
            }
        }
    }

    /// A buyer says nothing of where it is.
    fn buyer_says(&mut self, parcel: &Parcel, at: u64, body: Body) {
        let units = std::slice::from_ref(&parcel.goods);
        let step = Step::new(&mut self.random, at, &parcel.buyer, None, units, body);
        self.chapter.aftermath.push(step);
    }

    fn give_back(&mut self, parcel: &Parcel, heard: u64) {
        let at = heard + self.random.between(DAY, 6 * DAY);
        let at = self.working(at);
        let units = std::slice::from_ref(&parcel.goods);
        let signer = self.hand(parcel.courier);
        let nonce = SplitMix64::new(self.random.next());
        // The way back is told like any other, and then moved to the last act.
        let begin = self.chapter.trade.len();
        let shop = self.site(parcel.seller);
        let (_, arrival) = self.haul(units, parcel.courier, parcel.home, shop, at + HOUR);
        let scanner = self.hand(parcel.courier);
        let offer = self.offer(parcel.seller, 1, shop, Means::InPerson);
        self.say(arrival, &scanner, shop, units, offer);
        let key = self.key(parcel.seller);
        self.say(arrival + 15 * MINUTE, &key, shop, units, accept());
        let follow = self.chapter.trade.split_off(begin);
        self.chapter.returns.push(Return {
            unit: parcel.goods.clone(),
            taker: self.id(parcel.courier),
            signer,
            buyer: Arc::clone(&parcel.buyer),
            at,
            site: parcel.home,
            nonce,
            follow,
        });
    }

    /// The maker calls the lot back. What is still in the shops stays there or goes straight home.
    fn recall(&mut self, stock: &[Shelf]) {
        let last = self
            .chapter
            .trade
            .iter()
            .map(|step| step.at)
            .max()
            .unwrap_or(self.plot.start);
        let at = self.working(last + DAY);
        let maker = self.plot.maker;
        let key = self.key(maker);
        let product = self.plot.product.gtin.to_string();
        self.chapter.recalled = Some(format!("{product}/{}", self.lot));
        let lot = wire::LotScope {
            product,
            lot: self.lot.clone(),
        };
        let recall = Body::Recall(wire::Recall {
            scope: Some(wire::Scope {
                scope: Some(wire::scope::Scope::Lot(lot)),
            }),
            reason: "foreign matter found in retained samples".to_owned(),
            notice: format!("SIM-RECALL-{:04}", self.plot.number),
        });
        let step = Step::govern(&mut self.random, at, &key, recall);
        self.chapter.aftermath.push(step);
        for shelf in stock {
            let planted = shelf.fate == Fate::Planted(FindingKind::MovedUnderRecall);
            if planted {
                self.sell_on_under_recall(shelf, at);
            } else if self.random.percent(60) {
                self.send_home(shelf, at);
            }
        }
    }

    fn send_home(&mut self, shelf: &Shelf, recalled: u64) {
        let maker = self.plot.maker;
        let at = recalled + self.random.between(DAY, 6 * DAY);
        let at = self.working(at);
        let units = std::slice::from_ref(&shelf.unit);
        let (shop, works) = (self.site(shelf.seller), self.site(maker));
        let begin = self.chapter.trade.len();
        let offer = self.offer(maker, 1, works, Means::Road);
        let (seller, key) = (self.key(shelf.seller), self.key(maker));
        self.say(at, &seller, shop, units, offer);
        let arrival = at + HOUR + places::by_road(shop, works);
        self.say(arrival, &key, works, units, accept());
        let reason = "destroyed under recall".to_owned();
        self.say(
            arrival + 2 * HOUR,
            &key,
            works,
            units,
            Body::Destroy(wire::Destroy { reason }),
        );
        let steps = self.chapter.trade.split_off(begin);
        self.chapter.aftermath.extend(steps);
    }
}

/// An order on its way.
pub(super) struct Parcel {
    /// The parcel, or the one unit itself.
    pub goods: String,
    pub seller: usize,
    pub courier: usize,
    pub home: Site,
    pub buyer: Arc<Signer>,
    units: usize,
}

/// An item with a serial of 12 characters that nobody guesses.
pub(super) fn serialised(random: &mut SplitMix64, gtin: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let serial: String = (0..12)
        .map(|_| char::from(ALPHABET[random.below(32)]))
        .collect();
    format!("01/{gtin}/21/{serial}")
}

fn container(id: &str) -> wire::UnitRef {
    wire::UnitRef {
        id: id.to_owned(),
        prev: Vec::new(),
    }
}

pub(super) fn pack_into(id: &str) -> Body {
    Body::Pack(wire::Pack {
        container: Some(container(id)),
    })
}

pub(super) fn unpack_from(id: &str) -> Body {
    Body::Unpack(wire::Unpack {
        container: Some(container(id)),
    })
}

/// A buyer's key as the seller names it.
pub(super) fn buyer_key(buyer: &Signer) -> wire::BuyerKey {
    let key = buyer.public_key();
    wire::BuyerKey {
        suite: key.suite().number(),
        public_key: key.as_bytes().to_vec(),
    }
}

/// A courier takes goods from their sender, and checks what it has to.
pub(super) fn collect() -> Body {
    use wire::CollectionCheck::{Inspection, RealName, Screening};
    let checks = [RealName, Inspection, Screening];
    Body::Accept(wire::Accept {
        condition: wire::Condition::Good.into(),
        checks: checks.map(i32::from).to_vec(),
        ..wire::Accept::default()
    })
}

pub(super) fn accept() -> Body {
    Body::Accept(wire::Accept {
        condition: wire::Condition::Good.into(),
        ..wire::Accept::default()
    })
}

pub(super) fn scan() -> Body {
    Body::Scan(wire::Scan { weight_grams: 0 })
}
