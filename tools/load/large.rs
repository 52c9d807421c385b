//! The rows about a ledger that holds much: look-ups, growth and restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use custody::core::apply::state::unit_bytes;
use custody::core::id::UnitId;
use custody::core::wire;
use prost::Message as _;
use prost::bytes::Bytes;
use tonic::transport::Channel;

use crate::appends::{CALLS, CONNECTIONS, STREAMS};
use crate::drive::{self, Calls, Driven};
use crate::echo::EchoServer;
use crate::ledger::{self, Server, Trade};
use crate::limits;
use crate::raw;
use crate::report::{Row, Target};
use crate::workload::{self, Plan, Signed};

/// How much.
#[derive(Clone, Copy)]
pub struct Size {
    /// Records when growth begins to be watched.
    pub small: u64,
    /// Records at its end.
    pub large: u64,
    /// Units beside those of the records: commissioned 500 at once.
    pub more_units: u64,
    /// Scanners of each firm.
    pub scanners: usize,
    /// Records whose appending is measured at either size.
    pub sample: u64,
    /// Records that a new node of a cluster joins with.
    pub join: u64,
    pub limit_time: Duration,
}

impl Size {
    /// What it shares with the other rows; the rest is to be filled in.
    pub const fn of(scale: crate::appends::Scale) -> Self {
        Self {
            small: 0,
            large: 0,
            more_units: 0,
            sample: 0,
            join: 0,
            scanners: scale.scanners,
            limit_time: scale.limit_time,
        }
    }
}

/// Pages of standings that are asked for again and again.
const PAGES: usize = 2_000;
/// Units that a page of standings asks for.
const PAGE: usize = 100;
/// Units with twenty records and a container.
const TRACKED: u64 = 1_000;
/// Serials of tracked units begin here, of bulk units there.
const TRACKED_SERIAL: u64 = 1 << 40;
const BULK_SERIAL: u64 = 1 << 41;

struct Large {
    server: Server,
    trade: Trade,
    size: Size,
    /// Units of single records so far, with serials from 1 on.
    units: u64,
    /// Units of records of 500, with serials from [`BULK_SERIAL`] on.
    bulk: u64,
    /// Entries that founded the parties.
    founded: u64,
    records: u64,
}

/// How it went at one size.
struct At {
    records: u64,
    append: f64,
    /// Units a second, when the store has nothing left to do, after so long.
    lookup: LookUp,
    settled: Duration,
    resident: u64,
}

/// Runs all of it, on one ledger.
pub async fn rows(folder: &Path, size: Size, push: &mut impl FnMut(Row)) -> PathBuf {
    let server = Server::new(folder);
    let trade = Trade::found(&server, size.scanners).await;
    let mut large = Large {
        founded: server.entries(),
        server,
        trade,
        size,
        units: 0,
        bulk: 0,
        records: 0,
    };
    large.track().await;
    large.fill_to(size.small).await;
    // As many of them to a record as there will be at the end.
    large
        .add_units(size.more_units * size.small / size.large)
        .await;
    let small = large.measure().await;
    large.fill_to(large.records.midpoint(size.large)).await;
    let half = (large.records, large.server.resident());
    large.fill_to(size.large).await;
    large.add_units(size.more_units).await;
    let grown = large.measure().await;
    push(growth(&small, &grown, "append rate", |at| at.append).note(memory(&small, half, &grown)));
    let lookups = growth(&small, &grown, "look-up rate", |at| at.lookup.rate());
    push(lookups.note(format!(
        "{}, with fewer {}; the store was done with it after {:.0} s, with fewer {:.0} s",
        grown.lookup.what(),
        small.lookup.what(),
        grown.settled.as_secs_f64(),
        small.settled.as_secs_f64()
    )));
    large.provenance().await.into_iter().for_each(&mut *push);
    let (again, keys) = large.standings().await;
    let once = (grown.lookup, keys_of(&large.all_once()));
    let acknowledged = large.founded + large.records;
    let data = large.server.stop();
    let opened = Server::open(&data);
    let clean = opened.ready;
    let data = opened.kill();
    standings_rows(once, (again, keys), &data, size).for_each(&mut *push);
    let restarted = restarts(&data, clean, size, acknowledged).await;
    restarted.into_iter().for_each(&mut *push);
    data
}

/// Only the look-ups, on a ledger that is there already.
pub async fn look_ups(data: &Path, size: Size, push: &mut impl FnMut(Row)) {
    let large = Large {
        server: Server::open(data),
        trade: Trade::of(size.scanners),
        size,
        units: size.large / workload::STEPS,
        bulk: size.more_units,
        founded: 0,
        records: size.large,
    };
    let once = large.look_up_standings().await;
    large.provenance().await.into_iter().for_each(&mut *push);
    let again = large.standings().await;
    let once = (once, keys_of(&large.all_once()));
    let data = large.server.stop();
    standings_rows(once, again, &data, size).for_each(push);
}

/// How fast standings of units all over a ledger were looked up.
#[derive(Clone, Copy)]
enum LookUp {
    /// Of units of which each was asked for once.
    Once(f64),
    /// Of units that were asked for again and again: there were too few to measure it otherwise.
    Again(f64),
}

impl LookUp {
    const fn rate(self) -> f64 {
        match self {
            Self::Once(rate) | Self::Again(rate) => rate,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Once(_) => "each unit once",
            Self::Again(_) => "few units again and again",
        }
    }
}

/// Pages of the keys of units.
type Pages = Vec<Vec<Vec<u8>>>;

fn keys_of(pages: &[Vec<UnitId>]) -> Pages {
    let keys = |page: &Vec<UnitId>| page.iter().map(unit_bytes).collect();
    pages.iter().map(keys).collect()
}

fn standings_rows(
    (first, once): (LookUp, Pages),
    (again, keys): (f64, Pages),
    data: &Path,
    size: Size,
) -> impl Iterator<Item = Row> {
    let bare = limits::multi_get_rate(data, &keys, size.limit_time);
    let row = move |what: &str, rate| {
        Row::new(
            format!("BatchGetStandings of 100 units{what}"),
            "units/s",
            rate,
        )
        .limit(
            "bare RocksDB multi-get of 200,000 rows again and again, all cores",
            bare,
            Target::AtLeast(0.5),
        )
    };
    let first = match first {
        LookUp::Once(rate) => Some(row(", each once", rate).limit(
            "the same of these very rows, each once",
            limits::multi_get_once_rate(data, &once),
            Target::AtLeast(0.5),
        )),
        LookUp::Again(_) => None,
    };
    first.into_iter().chain([row(", again and again", again)])
}

fn growth(small: &At, grown: &At, what: &str, of: impl Fn(&At) -> f64) -> Row {
    Row::new(
        format!("{what} with {} records", grown.records),
        "/s",
        of(grown),
    )
    .limit(
        format!("the same with {} records", small.records),
        of(small),
        Target::AtLeast(0.9),
    )
}

fn memory(small: &At, (records, resident): (u64, u64), grown: &At) -> String {
    let mut text = format!("memory of the server {} MB", grown.resident >> 20);
    for (records, resident) in [(records, resident), (small.records, small.resident)] {
        text += &format!(", with {records} records {} MB", resident >> 20);
    }
    text
}

impl Large {
    async fn send(&mut self, streams: &[Vec<Signed>]) -> Driven {
        let channels = self.server.channels(CONNECTIONS).await;
        let requests = drive::requests(streams);
        let driven = drive::streams(&channels, &raw::SUBMIT_STREAM, requests).await;
        let driven = driven.all_acknowledged("filling");
        self.records += driven.acknowledged;
        driven
    }

    /// Ten records a unit, in parts that fit the memory.
    async fn fill_to(&mut self, records: u64) {
        while self.records < records {
            let units = (self.size.sample / workload::STEPS / STREAMS as u64).max(1);
            let units = units * STREAMS as u64;
            let streams = workload::ways(&self.trade, 1 + self.units, units, STREAMS);
            self.units += units;
            self.send(&streams).await;
            if self.records % (1 << 22) < units * workload::STEPS {
                println!("    ({} records)", self.records);
            }
        }
    }

    async fn measure(&mut self) -> At {
        let units = (self.size.sample / workload::STEPS / STREAMS as u64).max(1) * STREAMS as u64;
        let streams = workload::ways(&self.trade, 1 + self.units, units, STREAMS);
        self.units += units;
        let append = self.send(&streams).await.rate();
        let settled = self.server.settled().await;
        let lookup = self.look_up_standings().await;
        At {
            records: self.records,
            append,
            lookup,
            settled,
            resident: self.server.resident(),
        }
    }

    /// Units by the way of records of 500, until there are so many.
    async fn add_units(&mut self, units: u64) {
        while self.bulk < units {
            let per_stream = 20 * 500;
            let streams = workload::parallel(16, |stream| {
                let begin = BULK_SERIAL + self.bulk + stream as u64 * per_stream;
                let commission = |serial: u64| {
                    let units: Vec<_> = (serial..serial + 500)
                        .map(|serial| (workload::item(serial), None))
                        .collect();
                    Plan {
                        signer: &self.trade.maker.scanners
                            [stream % self.trade.maker.scanners.len()],
                        units: &units,
                        minute: 0,
                        body: workload::commission(serial),
                        containers: &[],
                    }
                    .sign()
                };
                (0..20).map(|i| commission(begin + i * 500)).collect()
            });
            let streams: Vec<Vec<Signed>> = streams;
            self.send(&streams).await;
            self.bulk += 16 * per_stream;
        }
    }

    /// Units with twenty records of their own, the last of which packs them into a case that moves
    /// on.
    async fn track(&mut self) {
        let streams = workload::parallel(STREAMS, |stream| {
            let share = TRACKED / STREAMS as u64 + 1;
            let begin = stream as u64 * share;
            (begin..begin + share)
                .flat_map(|number| self.tracked(number))
                .collect()
        });
        let streams: Vec<Vec<Signed>> = streams;
        self.send(&streams).await;
    }

    fn tracked(&self, number: u64) -> Vec<Signed> {
        let maker = &self.trade.maker.scanners[0];
        let courier = &self.trade.couriers[0];
        let unit = workload::item(TRACKED_SERIAL + number);
        let case = workload::case(number);
        let mut signed: Vec<Signed> = Vec::new();
        let mut step = |signer, unit, head, minute, body| {
            let record = Plan {
                signer,
                units: &[(unit, head)],
                minute,
                body,
                containers: &[],
            }
            .sign();
            let head = Some(record.envelope.record_id());
            signed.push(record);
            head
        };
        let mut head = step(maker, unit, None, 0, workload::commission(number));
        for minute in 1..19 {
            head = step(maker, unit, head, minute, workload::scan());
        }
        let cased = step(maker, case, None, 19, workload::commission(number));
        let packed = step(maker, unit, head, 20, workload::pack(case, cased));
        let offered = step(maker, case, packed, 21, workload::handover(courier));
        let taken = step(&courier.scanners[0], case, offered, 22, workload::accept());
        step(&courier.scanners[0], case, taken, 23, workload::scan());
        signed
    }

    async fn provenance(&self) -> [Row; 2] {
        let channels = self.server.channels(CONNECTIONS).await;
        let requests: Vec<Bytes> = (0..TRACKED)
            .map(|number| raw::get_provenance(TRACKED_SERIAL + number * 7919 % TRACKED))
            .collect();
        let first = raw::unary(&channels[0], &raw::GET_PROVENANCE, requests[0].clone()).await;
        let first = first.expect("an answer");
        let answer = wire::GetProvenanceResponse::decode(first.clone()).expect("an answer");
        assert_eq!(
            answer.steps.len(),
            23,
            "twenty records and three of the case"
        );
        let requests = Arc::new(requests);
        let calls = Calls {
            time: Some(self.size.limit_time),
            ..CALLS
        };
        let ours = look_up(&channels, &raw::GET_PROVENANCE, &requests, calls).await;
        let all_over = self.all_over(&channels).await;
        let echo = EchoServer::start(first.len(), None);
        let echoes = ledger::channels(&echo.address, CONNECTIONS).await;
        let bare = look_up(&echoes, &raw::ECHO, &requests, calls).await;
        let paced = Calls {
            per_second: Some(ours.rate()),
            ..calls
        };
        let paced = look_up(&echoes, &raw::ECHO, &requests, paced).await;
        #[allow(clippy::cast_precision_loss)] // microseconds
        let p99 = |driven: &Driven| driven.latency.value_at_quantile(0.99) as f64;
        let rate = Row::new(
            "GetProvenance, 20 records and a container",
            "/s",
            ours.rate(),
        )
        .limit(
            format!("echo that answers {} bytes, 64 in flight", first.len()),
            bare.rate(),
            Target::AtLeast(0.4),
        )
        .note(format!(
            "of {TRACKED} units in turn, of {} in the ledger; of units from all over it, ten records each, \
             {all_over:.0} a second",
            self.units + self.bulk + TRACKED
        ));
        let p99 = Row::new("GetProvenance, p99 at that rate", "us", p99(&ours))
            .limit(
                "the echo at the same rate, p99",
                p99(&paced),
                Target::AtMost(4.0),
            )
            .note(format!("the echo reached {:.0}/s", paced.rate()));
        [rate, p99]
    }

    /// Look-ups a second of units that nobody has asked for in a while.
    async fn all_over(&self, channels: &[Channel]) -> f64 {
        let units = self.units;
        let serials = (0..units.min(200_000)).map(|number| 1 + number * 7_919 % units);
        let requests = serials.map(raw::get_provenance).collect();
        let calls = Calls {
            time: Some(self.size.limit_time),
            ..CALLS
        };
        let requests = Arc::new(requests);
        let driven = look_up(channels, &raw::GET_PROVENANCE, &requests, calls).await;
        driven.rate()
    }

    /// Of the units that don't go into cases, those of single records first.
    fn unit(&self, number: u64) -> UnitId {
        workload::item(match number.checked_sub(self.units) {
            None => 1 + number,
            Some(number) => BULK_SERIAL + number,
        })
    }

    /// Standings of pages of units all over the ledger, again and again; units a second, and the pages' keys.
    async fn standings(&self) -> (f64, Pages) {
        let mut mixed = 1u64;
        let mut next = || {
            mixed = mixed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            self.unit((mixed >> 20) % (self.units + self.bulk))
        };
        let page = |_| (0..PAGE).map(|_| next()).collect();
        let pages: Vec<Vec<UnitId>> = (0..PAGES).map(page).collect();
        // What is asked for again is kept from the second time on.
        for _ in 0..2 {
            self.read_pages(&pages, None).await;
        }
        let rate = self.read_pages(&pages, Some(self.size.limit_time)).await;
        (rate, keys_of(&pages))
    }

    /// Standings of units of which each is asked for once; again and again where that would be over too soon.
    async fn look_up_standings(&self) -> LookUp {
        let pages = self.all_once();
        if pages.len() < PAGES / 2 {
            return LookUp::Again(self.standings().await.0);
        }
        LookUp::Once(self.read_pages(&pages, None).await)
    }

    /// Units, each in one page, in no order; a million at most.
    fn all_once(&self) -> Vec<Vec<UnitId>> {
        let all = self.units + self.bulk;
        let units = usize::try_from(all.min(1_000_000)).expect("a million");
        // Not far from the golden section: so they come from all over, and each once.
        let step = all / 1_000 * 618 + 1;
        let step = (step..).find(|step| gcd(*step, all) == 1).expect("some");
        let unit = |number: usize| self.unit(number as u64 * step % all);
        let page = |page: usize| (0..PAGE).map(|n| unit(page * PAGE + n)).collect();
        (0..units / PAGE).map(page).collect()
    }

    /// Units a second; each page once, unless it is for a time.
    async fn read_pages(&self, pages: &[Vec<UnitId>], time: Option<Duration>) -> f64 {
        let channels = self.server.channels(CONNECTIONS).await;
        let request = |page: &Vec<UnitId>| {
            let units = page.iter().map(ToString::to_string).collect();
            wire::BatchGetStandingsRequest { units }.encode_to_vec()
        };
        let requests = pages.iter().map(request).map(Bytes::from).collect();
        let method = raw::BATCH_GET_STANDINGS;
        let driven = look_up(
            &channels,
            &method,
            &Arc::new(requests),
            Calls { time, ..CALLS },
        )
        .await;
        #[allow(clippy::cast_precision_loss)] // a hundred
        let units = PAGE as f64;
        driven.rate() * units
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

async fn look_up(
    channels: &[Channel],
    method: &raw::Method,
    requests: &Arc<Vec<Bytes>>,
    calls: Calls,
) -> Driven {
    let driven = drive::unary(channels, method, Arc::clone(requests), calls).await;
    driven.all_acknowledged("look-ups")
}

/// Starts after a clean stop and after a kill in the middle of appending. Then everything is audited: what had been
/// acknowledged is there.
async fn restarts(data: &Path, clean: Duration, size: Size, before: u64) -> [Row; 2] {
    // It was killed idle; what a kill costs most is a full write-ahead log, so append first.
    let server = Server::open(data);
    let after_idle = server.ready;
    let trade = Trade::of(size.scanners);
    let streams = workload::ways(&trade, 1 << 42, size.sample / 10, STREAMS);
    let sent: usize = streams.iter().map(Vec::len).sum();
    let sent = sent as u64;
    let channels = server.channels(CONNECTIONS).await;
    let requests = drive::requests(&streams);
    let driving =
        tokio::spawn(async move { drive::streams(&channels, &raw::SUBMIT_STREAM, requests).await });
    while !driving.is_finished() && server.entries() < before + sent / 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let data = server.kill();
    let driven = driving.await.expect("no panic");
    let again = Server::open(&data);
    let killed = again.ready;
    let data = again.stop();
    let (entries, seconds) = ledger::audit(&data);
    let least = before + driven.acknowledged;
    assert!(
        (least..=before + sent).contains(&entries),
        "{least} entries were acknowledged, {} sent, the log has {entries}",
        before + sent
    );
    let killed = Row::new("ready after kill -9 under load", "s", killed.as_secs_f64())
        .limit("target", 5.0, Target::AtMost(1.0))
        .note(format!(
            "killed with {} of {sent} records acknowledged and {} streams open; after a kill when idle {:.2} s",
            driven.acknowledged,
            driven.failed,
            after_idle.as_secs_f64()
        ))
        .note(format!(
            "{entries} entries hold, at least the {least} that were acknowledged; audited in {seconds:.0} s"
        ));
    let clean = Row::new("ready after a clean stop", "s", clean.as_secs_f64());
    [clean.limit("target", 1.0, Target::AtMost(1.0)), killed]
}
