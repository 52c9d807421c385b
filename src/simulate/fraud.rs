//! What is planted: each break once, at a unit that has no other.
//!
//! Every function here says in words what happens, and the name of the break that an honest ledger
//! has to raise for it. It knows the names only; the rules are not looked at.

use std::sync::Arc;

use prost::Message as _;

use super::SimulateError;
use super::places::{self, DAY, HOUR, MINUTE, Site};
use super::random::SplitMix64;
use super::story::{
    BASE, Ending, Fate, Parcel, Shelf, Step, Teller, accept, collect, pack_into, scan, serialised,
    unpack_from,
};
use super::world::World;
use crate::core::envelope::{Envelope, RecordId};
use crate::core::signature::Signer;
use crate::core::wire::record::Body;
use crate::core::wire::{self, FindingKind, Means};

/// Breaks that befall a unit of an ordinary lot.
pub(super) const AT_UNITS: [FindingKind; 17] = [
    FindingKind::DuplicateCommission,
    FindingKind::NotHolder,
    FindingKind::AcceptWithoutHandover,
    FindingKind::WrongReceiver,
    FindingKind::MovedWhilePacked,
    FindingKind::PackedTwice,
    FindingKind::ContentMismatch,
    FindingKind::SeenAfterDelivery,
    FindingKind::SeenAfterDestruction,
    FindingKind::ImpossibleTravel,
    FindingKind::TimeReversed,
    FindingKind::TimeInFuture,
    FindingKind::MovedAfterVoid,
    FindingKind::OutOfRole,
    FindingKind::DivertedMarket,
    FindingKind::PhantomDelivery,
    FindingKind::Equivocation,
];

/// Breaks that need a label of a lot, and no unit of it.
pub(super) const AT_CLONES: [FindingKind; 2] =
    [FindingKind::NeverCommissioned, FindingKind::NotGtinOwner];

/// Breaks that need a lot of their own.
pub(super) const AT_LOTS: [FindingKind; 2] = [FindingKind::Expired, FindingKind::QuantityInflation];

/// All that can be planted, in the order of the proto.
#[must_use]
pub fn plantable() -> Vec<FindingKind> {
    let mut kinds: Vec<FindingKind> = AT_UNITS
        .into_iter()
        .chain(AT_CLONES)
        .chain(AT_LOTS)
        .collect();
    kinds.push(FindingKind::MovedUnderRecall);
    kinds.sort_unstable();
    kinds
}

/// 2099-01-01: later than any ledger's clock that this runs against.
const FAR_FUTURE: u64 = 4_070_908_800_000;
/// Lot size that is declared where more are made.
const DECLARED: usize = 10;
/// Units named by one record.
const RECORD_UNITS: usize = 200;

impl Teller<'_> {
    /// Labels of the lot that others put on something else.
    pub fn clone_labels(&mut self) {
        for kind in self.plot.clones.clone() {
            let at = self.plot.start + self.random.between(DAY, 20 * DAY);
            let unit = [self.item()];
            let (signer, site, body, story) = if kind == FindingKind::NotGtinOwner {
                let counterfeiter = self.another_maker();
                let attributes = wire::Attributes {
                    lot_size: 0,
                    ..self.attributes()
                };
                let body = wire::Commission {
                    attributes: Some(attributes),
                    explains: Vec::new(),
                };
                let story = "a maker gives out a serial of another maker's product";
                (
                    self.key(counterfeiter),
                    self.site(counterfeiter),
                    Body::Commission(body),
                    story,
                )
            } else {
                let courier = self.courier();
                let city = self.site(self.plot.maker).city;
                let depot = self.world.parties[courier].depot(city);
                let story = "a label with a serial that was never made passes a depot";
                (self.hand(courier), depot, scan(), story)
            };
            let step = Step::new(&mut self.random, at, &signer, Some(site), &unit, body);
            self.chapter.trade.push(step.plant(kind, story).beside());
        }
    }

    fn another_maker(&mut self) -> usize {
        let mut makers = self.world.makers.clone();
        makers.retain(|maker| *maker != self.plot.maker);
        self.random.pick(&makers).unwrap_or(self.plot.maker)
    }

    /// The packing line puts a unit into a second case while it is in the first.
    pub fn pack_twice(&mut self, units: &[(String, Fate)], mut at: u64) -> u64 {
        let maker = self.plot.maker;
        let (key, site) = (self.key(maker), self.site(maker));
        let planted = Fate::Planted(FindingKind::PackedTwice);
        for (unit, _) in units.iter().filter(|(_, fate)| *fate == planted) {
            let spare = self.world.parties[maker].next_sscc();
            let alone = std::slice::from_ref(&spare);
            self.say(
                at,
                &key,
                site,
                alone,
                Body::Commission(wire::Commission::default()),
            );
            at += 5 * MINUTE;
            let body = pack_into(&spare);
            let story = "a unit that is in one case is said to be put into another";
            self.beside(at, &key, site, unit, body, FindingKind::PackedTwice, story);
            at += 5 * MINUTE;
        }
        at
    }

    /// The distributor hands over a unit that is in a case on the pallet.
    pub fn move_while_packed(
        &mut self,
        holder: usize,
        cases: &[(String, Vec<(String, Fate)>)],
        mut at: u64,
    ) -> u64 {
        let planted = Fate::Planted(FindingKind::MovedWhilePacked);
        let (key, site) = (self.key(holder), self.site(holder));
        for (unit, _) in cases
            .iter()
            .flat_map(|(_, inside)| inside)
            .filter(|u| u.1 == planted)
        {
            at += 10 * MINUTE;
            let courier = self.courier();
            let offer = self.offer(courier, 1, site, Means::Road);
            let story = "a unit is handed over on its own while it is in a case on a pallet";
            self.beside(
                at,
                &key,
                site,
                unit,
                offer,
                FindingKind::MovedWhilePacked,
                story,
            );
        }
        at
    }

    /// The seller takes a unit out of a case that it is not in.
    pub fn unpack_what_is_not_inside(
        &mut self,
        shelves: &mut [Shelf],
        case: &str,
        mut at: u64,
    ) -> u64 {
        let planted = Fate::Planted(FindingKind::ContentMismatch);
        for shelf in shelves.iter().filter(|shelf| shelf.fate == planted) {
            at += 10 * MINUTE;
            let (key, site) = (self.key(shelf.seller), self.site(shelf.seller));
            let body = unpack_from(case);
            let story = "a unit is said to come out of a case that it is not in";
            self.beside(
                at,
                &key,
                site,
                &shelf.unit,
                body,
                FindingKind::ContentMismatch,
                story,
            );
        }
        at
    }

    /// What happens to a planted unit in the shop and after. Returns it if it stays.
    pub fn plant(&mut self, kind: FindingKind, mut shelf: Shelf) -> Option<Shelf> {
        use FindingKind as F;
        match kind {
            F::NotHolder | F::AcceptWithoutHandover => {
                shelf.since = self.stranger_acts(kind, &shelf);
                self.ship(&[shelf], None, Ending::Confirmed);
            }
            F::OutOfRole => {
                shelf.since = self.certify_without_right(&shelf);
                self.ship(&[shelf], None, Ending::Confirmed);
            }
            F::MovedAfterVoid => {
                self.accept_after_void(&shelf);
                return Some(shelf);
            }
            F::SeenAfterDestruction => {
                let at = self.destroy(&shelf);
                let story = "a courier scans a unit that was destroyed";
                self.stranger_scans_later(kind, &shelf.unit, at, story);
            }
            F::SeenAfterDelivery => {
                let unit = shelf.unit.clone();
                self.ship(&[shelf], None, Ending::Confirmed);
                let at = self.chapter.trade.last().map_or(BASE, |step| step.at);
                let story = "a courier scans a copy of a unit that is in its buyer's hands";
                self.stranger_scans_later(kind, &unit, at, story);
            }
            F::DuplicateCommission => {
                let (unit, at) = (shelf.unit.clone(), shelf.since);
                self.ship(&[shelf], None, Ending::Confirmed);
                self.commission_again(&unit, at);
            }
            F::MovedUnderRecall => return Some(shelf),
            F::PhantomDelivery | F::WrongReceiver | F::DivertedMarket | F::Equivocation => {
                self.ship(&[shelf], Some(kind), Ending::Confirmed);
            }
            F::ImpossibleTravel | F::TimeReversed | F::TimeInFuture => {
                self.ship(&[shelf], Some(kind), Ending::Silent);
            }
            // Planted on the way to the shop; from here on an honest sale.
            _ => self.ship(&[shelf], None, Ending::Confirmed),
        }
        None
    }

    /// A record that is evidence only, in the first act.
    #[allow(clippy::too_many_arguments)] // who, when, where, what, and what it breaks
    fn beside(
        &mut self,
        at: u64,
        by: &Arc<Signer>,
        site: Site,
        unit: &String,
        body: Body,
        kind: FindingKind,
        story: &str,
    ) {
        let units = std::slice::from_ref(unit);
        let step = Step::new(&mut self.random, at, by, Some(site), units, body);
        self.chapter.trade.push(step.plant(kind, story).beside());
    }

    /// A courier that never had the unit scans, or accepts, a copy of it.
    fn stranger_acts(&mut self, kind: FindingKind, shelf: &Shelf) -> u64 {
        let at = shelf.since + self.minutes(30, 300);
        let site = self.strangers_depot();
        let scanner = self.hand(self.stranger);
        let (body, story) = if kind == FindingKind::NotHolder {
            (
                scan(),
                "a courier that never had it scans a copy of a unit that is in a shop",
            )
        } else {
            (
                accept(),
                "a courier takes a copy of a unit that nobody offered",
            )
        };
        self.beside(at, &scanner, site, &shelf.unit, body, kind, story);
        at
    }

    fn strangers_depot(&mut self) -> Site {
        let city = self.random.below(places::CITIES.len());
        self.world.parties[self.stranger].depot(city)
    }

    /// A depot's scanner reads the neighbour's label; the courier says so afterwards.
    pub fn scan_the_wrong_unit(&mut self, shelf: &Shelf) -> u64 {
        let at = self.stranger_acts(FindingKind::NotHolder, shelf);
        if let Some(step) = self.chapter.trade.last_mut() {
            step.mark = Some(super::story::Mark::MisScan);
            for planted in &mut step.planted {
                planted.corrected = true;
                "a depot scans the wrong unit, and corrects it".clone_into(&mut planted.story);
            }
        }
        at
    }

    fn certify_without_right(&mut self, shelf: &Shelf) -> u64 {
        let at = shelf.since + self.minutes(30, 300);
        let (key, site) = (self.key(shelf.seller), self.site(shelf.seller));
        let result = wire::InspectionResult::Pass.into();
        let body = Body::Inspect(wire::Inspect {
            result,
            report: None,
        });
        let story = "a seller certifies its own goods";
        self.beside(
            at,
            &key,
            site,
            &shelf.unit,
            body,
            FindingKind::OutOfRole,
            story,
        );
        at
    }

    fn accept_after_void(&mut self, shelf: &Shelf) {
        let (key, site) = (self.key(shelf.seller), self.site(shelf.seller));
        let units = std::slice::from_ref(&shelf.unit);
        let at = shelf.since + self.minutes(60, 600);
        let courier = self.courier();
        let offer = self.offer(courier, 1, site, Means::Road);
        self.say(at, &key, site, units, offer);
        self.say(
            at + 30 * MINUTE,
            &key,
            site,
            units,
            Body::Void(wire::Void {}),
        );
        let scanner = self.hand(courier);
        let story = "a courier takes a unit although the offer was withdrawn";
        let kind = FindingKind::MovedAfterVoid;
        self.beside(
            at + HOUR,
            &scanner,
            site,
            &shelf.unit,
            accept(),
            kind,
            story,
        );
    }

    fn stranger_scans_later(&mut self, kind: FindingKind, unit: &String, at: u64, story: &str) {
        let at = at + self.random.between(DAY, 5 * DAY);
        let site = self.strangers_depot();
        let scanner = self.hand(self.stranger);
        let units = std::slice::from_ref(unit);
        let step = Step::new(&mut self.random, at, &scanner, Some(site), units, scan());
        self.chapter
            .aftermath
            .push(step.plant(kind, story).beside());
    }

    fn commission_again(&mut self, unit: &String, at: u64) {
        let at = at + self.random.between(DAY, 5 * DAY);
        let (key, site) = (self.key(self.plot.maker), self.site(self.plot.maker));
        let attributes = Some(self.attributes());
        let body = Body::Commission(wire::Commission {
            attributes,
            explains: Vec::new(),
        });
        let units = std::slice::from_ref(unit);
        let step = Step::new(&mut self.random, at, &key, Some(site), units, body);
        let story = "the maker gives out a serial a second time";
        let step = step.plant(FindingKind::DuplicateCommission, story).beside();
        self.chapter.aftermath.push(step);
    }

    /// Something happens while the offer is open. Returns when the story goes on.
    pub fn twist_offer(&mut self, parcel: &Parcel, twist: Option<FindingKind>, at: u64) -> u64 {
        if twist != Some(FindingKind::WrongReceiver) {
            return at;
        }
        let at = at + 10 * MINUTE;
        let scanner = self.hand(self.stranger);
        let site = self.site(parcel.seller);
        let story = "a courier takes a parcel that is offered to another";
        let kind = FindingKind::WrongReceiver;
        self.beside(at, &scanner, site, &parcel.goods, accept(), kind, story);
        at
    }

    /// Something happens on the way. Returns whether the story of the unit ends there.
    pub fn twist_way(
        &mut self,
        parcel: &Parcel,
        twist: Option<FindingKind>,
        scans: std::ops::Range<usize>,
    ) -> bool {
        let Some(kind) = twist else { return false };
        let Some(first) = self.chapter.trade.get(scans.start) else {
            return false;
        };
        let at = first.at;
        let depot = self.world.parties[parcel.courier].depot(self.site(parcel.seller).city);
        if kind == FindingKind::Equivocation {
            let reporter = self.key(parcel.seller);
            let elsewhere = places::farthest(depot);
            if let Some(step) = self.chapter.trade.get_mut(scans.start) {
                step.mark = Some(super::story::Mark::Equivocation {
                    reporter,
                    elsewhere,
                });
            }
            return false;
        }
        let (site, claimed, story) = match kind {
            FindingKind::ImpossibleTravel => (
                places::farthest(depot),
                at + 10 * MINUTE,
                "ten minutes after one depot the parcel is scanned at the other end of the country",
            ),
            FindingKind::TimeReversed => (
                depot,
                at - DAY,
                "a scan claims to be a day older than the one before",
            ),
            FindingKind::TimeInFuture => {
                (depot, FAR_FUTURE, "a scan claims to be of the year 2099")
            }
            _ => return false,
        };
        // The way that would have followed doesn't happen.
        self.chapter.trade.truncate(scans.start + 1);
        let key = self.key(parcel.courier);
        let units = std::slice::from_ref(&parcel.goods);
        let mut step = Step::new(&mut self.random, claimed, &key, Some(site), units, scan());
        step.at = at + 10 * MINUTE;
        self.chapter.trade.push(step.plant(kind, story));
        true
    }

    /// The delivery that was just told is outside of the markets.
    pub fn twist_delivery(&mut self, twist: Option<FindingKind>) {
        if twist != Some(FindingKind::DivertedMarket) {
            return;
        }
        if let Some(step) = self.chapter.trade.pop() {
            let story = "goods made for some regions are delivered in another";
            self.chapter
                .trade
                .push(step.plant(FindingKind::DivertedMarket, story));
        }
    }

    /// A fake order: nothing moves, nothing is weighed, and it is delivered within minutes.
    pub fn deliver_on_paper(&mut self, parcel: &Parcel, at: u64) -> u64 {
        let at = at + 5 * MINUTE;
        let scanner = self.hand(parcel.courier);
        let buyer_key_id = parcel.buyer.key_id().0.to_vec();
        let body = Body::Deliver(wire::Deliver { buyer_key_id });
        let shop = self.site(parcel.seller);
        let units = std::slice::from_ref(&parcel.goods);
        let step = Step::new(&mut self.random, at, &scanner, Some(shop), units, body);
        let story = "an order is delivered although nothing ever moved";
        self.chapter
            .trade
            .push(step.plant(FindingKind::PhantomDelivery, story));
        at
    }

    /// A shop sells on what was called back.
    pub fn sell_on_under_recall(&mut self, shelf: &Shelf, recalled: u64) {
        let at = recalled + self.random.between(DAY, 4 * DAY);
        let (key, site) = (self.key(shelf.seller), self.site(shelf.seller));
        let courier = self.courier();
        let offer = self.offer(courier, 1, site, Means::Road);
        let units = std::slice::from_ref(&shelf.unit);
        let step = Step::new(&mut self.random, at, &key, Some(site), units, offer);
        let story = "a shop hands on a unit of a lot that was called back";
        self.chapter
            .aftermath
            .push(step.plant(FindingKind::MovedUnderRecall, story));
    }
}

/// A lot that is shipped after its last day. Every unit of it is planted.
pub(super) fn expired_lot(world: &World, random: &SplitMix64, units: usize) -> Vec<Step> {
    let mut random = random.fork("expired", 0);
    let (maker, courier) = (world.makers[0], world.couriers[0]);
    let Some(product) = world.parties[maker].products.first() else {
        return Vec::new();
    };
    let (maker, courier) = (&world.parties[maker], &world.parties[courier]);
    let site = Some(maker.site);
    let attributes = wire::Attributes {
        lot: "L26EXP".to_owned(),
        expiry: 20_260_308,
        ..wire::Attributes::default()
    };
    let ids: Vec<String> = (0..units)
        .map(|_| serialised(&mut random, &product.gtin.to_string()))
        .collect();
    let mut steps = Vec::new();
    for (number, part) in (0u64..).zip(ids.chunks(RECORD_UNITS)) {
        let attributes = Some(attributes.clone());
        let body = Body::Commission(wire::Commission {
            attributes,
            explains: Vec::new(),
        });
        let at = BASE + DAY + number * MINUTE;
        steps.push(Step::new(&mut random, at, &maker.key, site, part, body));
        let offer = Body::Handover(wire::Handover {
            to: courier.id.to_string(),
            weight_grams: 450 * part.len() as u64,
            means: Means::Road.into(),
            ..wire::Handover::default()
        });
        let at = at + 19 * DAY;
        let step = Step::new(&mut random, at, &maker.key, site, part, offer);
        steps.push(step.plant(
            FindingKind::Expired,
            "goods leave the maker after their last day",
        ));
        let signer = courier.devices.first().unwrap_or(&courier.key);
        steps.push(Step::new(
            &mut random,
            at + HOUR,
            signer,
            site,
            part,
            collect(),
        ));
    }
    steps
}

/// A lot of which one unit more is made than its maker declared. That unit is planted.
pub(super) fn inflated_lot(world: &World, random: &SplitMix64, number: usize) -> Vec<Step> {
    let mut random = random.fork("inflated", number);
    let maker = &world.parties[world.makers[number % world.makers.len()]];
    let Some(product) = maker.products.first() else {
        return Vec::new();
    };
    let ids: Vec<String> = (0..=DECLARED)
        .map(|_| serialised(&mut random, &product.gtin.to_string()))
        .collect();
    let attributes = wire::Attributes {
        lot: format!("L26INF{number:03}"),
        expiry: 20_270_630,
        lot_size: DECLARED as u64,
        ..wire::Attributes::default()
    };
    let commission = || {
        Body::Commission(wire::Commission {
            attributes: Some(attributes.clone()),
            explains: Vec::new(),
        })
    };
    let at = BASE + 2 * DAY + random.between(0, 30 * DAY);
    let (declared, surplus) = ids.split_at(DECLARED);
    let site = Some(maker.site);
    let first = Step::new(&mut random, at, &maker.key, site, declared, commission());
    let second = Step::new(
        &mut random,
        at + 8 * HOUR,
        &maker.key,
        site,
        surplus,
        commission(),
    );
    let story = "an eleventh unit of a lot of ten";
    vec![first, second.plant(FindingKind::QuantityInflation, story)]
}

/// The other story that a key tells about the same moment, and the report of both by somebody who
/// heard them.
pub(super) fn report_equivocation(
    random: &mut SplitMix64,
    first: &Envelope,
    signer: &Signer,
    reporter: &Arc<Signer>,
    elsewhere: Site,
) -> Result<Step, SimulateError> {
    let mut record =
        wire::Record::decode(first.payload.as_ref()).map_err(|_| SimulateError::Numbers)?;
    record.nonce = random.bytes::<16>().to_vec();
    record.place = Some(elsewhere.place());
    let units: Vec<String> = record.units.iter().map(|unit| unit.id.clone()).collect();
    let second = Envelope::sign(&record, signer);
    let body = Body::ReportEquivocation(wire::ReportEquivocation {
        first: first.to_wire().encode_to_vec(),
        second: second.to_wire().encode_to_vec(),
    });
    let at = record.claimed_time_ms + DAY;
    let mut step = Step::govern(random, at, reporter, body);
    let story = "a scanner tells two shops that the same parcel is in two places";
    for unit in units {
        step = step.plant_at(FindingKind::Equivocation, unit, story);
    }
    Ok(step)
}

/// The courier explains its mis-scan.
pub(super) fn correct(
    random: &mut SplitMix64,
    wrong: &wire::Record,
    signer: &Arc<Signer>,
    record: RecordId,
) -> Step {
    let units: Vec<String> = wrong.units.iter().map(|unit| unit.id.clone()).collect();
    let body = Body::Correct(wire::Correct {
        record_id: record.0.to_vec(),
        reason: "the scanner read the label of the parcel beside it".to_owned(),
    });
    let at = wrong.claimed_time_ms + 2 * HOUR;
    Step::new(random, at, signer, None, &units, body).beside()
}
