//! The rows about appending.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Channel;

use crate::drive::{self, Calls, Driven};
use crate::echo::EchoServer;
use crate::ledger::{self, Server, Trade};
use crate::limits;
use crate::raw;
use crate::report::{Row, Target};
use crate::workload::{self, Holding, LOT, Signed};

/// Streams open at once.
pub const STREAMS: usize = 64;
/// Connections that they share.
pub const CONNECTIONS: usize = 16;
/// Records that the server lets be on their way at once, where that is what is tried.
const PLACES: usize = 1_024;
/// Records a second of a scanner beside a flood.
const SCANS: f64 = 100.0;
/// How long a caller waits where the server is offered more than it can take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls in flight, where there are no streams.
pub const IN_FLIGHT: usize = 64;
/// Each call once, as fast as they are answered.
pub const CALLS: Calls = Calls {
    in_flight: IN_FLIGHT,
    time: None,
    per_second: None,
    patience: None,
};

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Records of a measured row.
    pub records: u64,
    /// Scanners of each firm.
    pub scanners: usize,
    /// How long each bare limit is measured.
    pub limit_time: Duration,
}

/// A ledger with parties, made for one row after the other.
pub struct Appends {
    pub server: Server,
    trade: Trade,
    scale: Scale,
    next_serial: u64,
    /// The rate that PostgreSQL reached: one by one, and in transactions of 100.
    postgres: Option<(f64, f64)>,
    /// Entries that founded the parties.
    founded: u64,
    /// Records that were acknowledged since.
    acknowledged: u64,
    /// Units that scanners went on with one by one.
    scanned: Vec<Holding>,
    folder: PathBuf,
}

struct Counters {
    groups: u64,
    entries: u64,
    seconds: BTreeMap<&'static str, f64>,
}

impl Appends {
    pub async fn start(folder: &Path, scale: Scale, postgres: Option<(f64, f64)>) -> Self {
        let server = Server::new(folder);
        let trade = Trade::found(&server, scale.scanners).await;
        Self {
            founded: server.entries(),
            server,
            trade,
            scale,
            next_serial: 1,
            postgres,
            acknowledged: 0,
            scanned: Vec::new(),
            folder: folder.to_owned(),
        }
    }

    async fn drive(&mut self, what: &str, streams: &[Vec<Signed>]) -> Driven {
        let channels = self.server.channels(CONNECTIONS).await;
        let requests = drive::requests(streams);
        let driven = drive::streams(&channels, &raw::SUBMIT_STREAM, requests).await;
        let driven = driven.all_acknowledged(what);
        self.acknowledged += driven.acknowledged;
        driven
    }

    fn counters(&self) -> Counters {
        Counters {
            groups: self.server.metric("custody_groups_total"),
            entries: self.server.metric("custody_entries_total"),
            seconds: self.server.processor_seconds(),
        }
    }

    /// How the server did it since its counters were read.
    fn effort(&self, before: &Counters) -> String {
        let after = self.counters();
        #[allow(clippy::cast_precision_loss)] // counts of a run
        let per = |a: u64, b: u64| (a - b) as f64;
        let groups = per(after.groups, before.groups);
        let entries = per(after.entries, before.entries);
        let (mut all, mut parts) = (0.0, String::new());
        for (job, seconds) in &after.seconds {
            let used = seconds - before.seconds.get(job).copied().unwrap_or(0.0);
            let micros = used / entries * 1e6;
            all += micros;
            if micros > 0.1 {
                let _ = write!(parts, ", {job} {micros:.1}");
            }
        }
        format!(
            "{groups:.0} synced writes of {:.0} records; server {all:.1} us of processor a \
             record{parts}",
            entries / groups
        )
    }

    /// Streams, one unit a record, by scanners that take turns.
    pub async fn distinct_keys(&mut self) -> Row {
        let units = self.scale.records / workload::STEPS / STREAMS as u64 * STREAMS as u64;
        let streams = workload::ways(&self.trade, self.next_serial, units, STREAMS);
        self.next_serial += units;
        let sample: Vec<_> = interleaved(&streams, 32_768);
        let sample: Vec<_> = sample.into_iter().map(Signed::checked).collect();
        let bare = limits::verify_rate(&sample, self.scale.limit_time);
        let before = self.counters();
        let driven = self.drive("streamed append, distinct keys", &streams).await;
        let bytes = streams[0][0].request.len();
        Row::new(
            "streamed append, one unit a record, distinct keys",
            "records/s",
            driven.rate(),
        )
        .limit(
            "bare batch verify, same records, all cores",
            bare,
            Target::AtLeast(0.6),
        )
        .note(format!(
            "{} records of ten steps a unit, some {bytes} bytes, over {STREAMS} streams, {} keys",
            driven.acknowledged,
            self.scale.scanners * 3
        ))
        .note(self.effort(&before))
    }

    /// A courier holds these many units, of so many streams.
    async fn holdings(&mut self, streams: usize, per_stream: u64) -> Vec<Holding> {
        let (records, holdings) =
            workload::hand_over(&self.trade, self.next_serial, per_stream, streams);
        self.next_serial += per_stream * streams as u64;
        self.drive("handing over", &records).await;
        holdings
    }

    /// Streams, one unit a record, each stream one scanner's key.
    pub async fn same_key(&mut self) -> Row {
        let per_stream = 1_000;
        let mut holdings = self.holdings(STREAMS, per_stream).await;
        let rounds = (self.scale.records / (per_stream * STREAMS as u64)).max(1);
        let streams = workload::scans(&self.trade, &mut holdings, rounds, |stream| stream);
        let sample = streams.iter().flatten().take(32_768);
        let sample: Vec<_> = sample.map(Signed::checked).collect();
        let bare = limits::verify_rate(&sample, self.scale.limit_time);
        let before = self.counters();
        let driven = self.drive("streamed append, same key", &streams).await;
        self.scanned = holdings;
        let row = Row::new(
            "streamed append, one unit a record, a key a stream",
            "records/s",
            driven.rate(),
        )
        .limit(
            "bare batch verify, batches of one key, all cores",
            bare,
            Target::AtLeast(0.5),
        )
        .note(self.effort(&before));
        match self.postgres {
            Some((_, hundred)) => row.limit(
                "PostgreSQL, no signatures, transactions of 100",
                hundred,
                Target::AtLeast(1.0),
            ),
            None => row,
        }
    }

    /// Calls of one record, many in flight.
    pub async fn unary(&mut self) -> Row {
        let per_stream = 200;
        let mut holdings = self.holdings(STREAMS, per_stream).await;
        let rounds = (self.scale.records / 4 / (per_stream * STREAMS as u64)).max(1);
        let streams = workload::scans(&self.trade, &mut holdings, rounds, |stream| stream);
        // Units take turns over the calls in flight, so that no two calls are about one unit.
        let requests: Vec<_> = interleaved(&streams, usize::MAX)
            .into_iter()
            .map(|signed| signed.request.clone())
            .collect();
        let (request_bytes, answer_bytes) = (requests[0].len(), 49);
        let requests = Arc::new(requests);
        let echo = EchoServer::start(answer_bytes, None);
        let channels = ledger::channels(&echo.address, CONNECTIONS).await;
        let echoed = Calls {
            time: Some(self.scale.limit_time),
            ..CALLS
        };
        let bare = drive::unary(&channels, &raw::ECHO, Arc::clone(&requests), echoed).await;
        let bare = bare.all_acknowledged("echo");
        drop(echo);
        let channels = self.server.channels(CONNECTIONS).await;
        let before = self.counters();
        let driven = drive::unary(&channels, &raw::SUBMIT, requests, CALLS).await;
        let driven = driven.all_acknowledged("unary submit");
        self.acknowledged += driven.acknowledged;
        let row = Row::new("unary Submit, 64 in flight", "records/s", driven.rate())
            .limit(
                format!("gRPC echo of {request_bytes} bytes, 64 in flight"),
                bare.rate(),
                Target::AtLeast(0.5),
            )
            .note(self.effort(&before))
            .note(format!(
                "answers of {} bytes, of the echo {answer_bytes}; p50 {} us, p99 {} us; echo p50 {} us, p99 {} us",
                driven.answer_bytes,
                driven.latency.value_at_quantile(0.5),
                driven.latency.value_at_quantile(0.99),
                bare.latency.value_at_quantile(0.5),
                bare.latency.value_at_quantile(0.99)
            ));
        match self.postgres {
            Some((single, _)) => row.limit(
                "PostgreSQL, no signatures, one by one, 16 clients",
                single,
                Target::AtLeast(2.0),
            ),
            None => row,
        }
    }

    /// Records of 500 units: of units that went the same way, and of units that each went its own.
    pub async fn units(&mut self) -> Row {
        let per_stream = (self.scale.records / 16 / LOT).max(2) * LOT;
        let streams = 16;
        let (records, _) = workload::hand_over(&self.trade, self.next_serial, per_stream, streams);
        self.next_serial += per_stream * streams as u64;
        let before = self.counters();
        let driven = self.drive("records of 500 units", &records).await;
        let after = self.counters();
        let units = driven.acknowledged * LOT;
        let group = units / (after.groups - before.groups).max(1);
        self.server.settled().await;
        let put = |bytes| limits::put_rate(&self.folder, group, bytes, self.scale.limit_time);
        let (bare, references) = (put(limits::ROW_BYTES), put(limits::REFERENCE_BYTES));
        let effort = self.effort(&before);
        let mut row = Row::new(
            "units in records of 500 units",
            "units/s",
            limits::rate(units, driven.elapsed),
        )
        .limit(
            format!(
                "bare RocksDB, a put of {} bytes a unit, synced groups of {group}",
                limits::ROW_BYTES
            ),
            bare,
            Target::AtLeast(0.5),
        )
        .note(format!(
            "commission, handover and accept of {} units; {} bytes a record",
            per_stream * 16,
            records[0][0].request.len()
        ))
        .note(format!(
            "these units are alike, and share what they have in common: puts of the {} bytes that are left are {references:.0}/s",
            limits::REFERENCE_BYTES
        ))
        .note(effort);
        let mut scanned = std::mem::take(&mut self.scanned);
        if !scanned.is_empty() {
            let records = workload::scans_together(&self.trade, &mut scanned, LOT);
            let units: usize = scanned.iter().map(|holding| holding.units.len()).sum();
            let driven = self.drive("units with ways of their own", &records).await;
            row = row.note(format!(
                "scans of {units} units of which each has its own state and its own last record: {:.0} units/s",
                limits::rate(units as u64, driven.elapsed)
            ));
        }
        row
    }

    /// Latency at half of the rate that the same kind of records reached as fast as they were taken.
    pub async fn latency(&mut self, full_rate: f64) -> Row {
        let rate = full_rate / 2.0;
        let seconds = self.scale.limit_time.as_secs().max(1) * 3;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let wanted = (rate * seconds as f64) as u64;
        let units = (wanted / workload::STEPS / STREAMS as u64).max(1) * STREAMS as u64;
        let streams = workload::ways(&self.trade, self.next_serial, units, STREAMS);
        self.next_serial += units;
        let requests = drive::requests(&streams);
        let echo = EchoServer::start(60, Some(&self.folder));
        let channels = ledger::channels(&echo.address, CONNECTIONS).await;
        let bare =
            drive::paced_streams(&channels, &raw::ECHO_STREAM, requests.clone(), Some(rate)).await;
        let bare = bare.all_acknowledged("synced echo");
        drop(echo);
        let channels = self.server.channels(CONNECTIONS).await;
        let before = self.counters();
        let driven =
            drive::paced_streams(&channels, &raw::SUBMIT_STREAM, requests, Some(rate)).await;
        let driven = driven.all_acknowledged("paced append");
        self.acknowledged += driven.acknowledged;
        #[allow(clippy::cast_precision_loss)] // microseconds of a run
        let p99 = |driven: &Driven| driven.latency.value_at_quantile(0.99) as f64;
        Row::new("append latency at half load, p99", "us", p99(&driven))
            .limit(
                "echo, then a 4 KiB fdatasync shared by who waits, p99",
                p99(&bare),
                Target::AtMost(4.0),
            )
            .note(format!(
                "{rate:.0} records/s offered, {:.0} reached; p50 {} us, p999 {} us; echo p50 {} us",
                driven.rate(),
                driven.latency.value_at_quantile(0.5),
                driven.latency.value_at_quantile(0.999),
                bare.latency.value_at_quantile(0.5)
            ))
            .note(self.effort(&before))
    }

    /// Four times as many senders as the server has places for records, and then four times as many streams as a flood
    /// has, all as fast as they are let. Restarts the server with fewer places.
    pub async fn overload(mut self, rate: f64) -> (Self, [Row; 2]) {
        let (places, in_flight) = (PLACES.to_string(), PLACES * 4);
        let data = self.server.stop();
        self.server = Server::open_with(&data, &["--max-waiting", &places]);
        let streams = STREAMS * 4;
        let per_stream = (self.scale.records / 4 / streams as u64).max(1);
        let mut holdings = self.holdings(streams, per_stream).await;
        let scans = workload::scans(&self.trade, &mut holdings, 1, |stream| stream);
        let requests: Vec<_> = interleaved(&scans, usize::MAX)
            .into_iter()
            .map(|signed| signed.request.clone())
            .collect();
        let offered = requests.len() as u64;
        let channels = self.server.channels(STREAMS).await;
        let memory = self.server.watched();
        let calls = Calls {
            in_flight,
            patience: Some(PATIENCE),
            ..CALLS
        };
        let driven = drive::unary(&channels, &raw::SUBMIT, Arc::new(requests), calls).await;
        let memory = memory.most().await;
        self.acknowledged += driven.acknowledged;
        assert_eq!(
            (driven.failed, driven.acknowledged + driven.refused),
            (0, offered),
            "every call is answered within {PATIENCE:?}, and what is refused is so with RESOURCE_EXHAUSTED: {:?}",
            driven.example
        );
        let milliseconds = |histogram: &hdrhistogram::Histogram<u64>, q| {
            histogram.value_at_quantile(q).div_ceil(1000)
        };
        let calls = Row::new(
            format!("{in_flight} calls of Submit in flight, {PLACES} places"),
            "records/s",
            driven.rate(),
        )
        .note(format!(
            "of {offered} calls {} acknowledged, p50 {} ms, p99 {} ms, max {} ms; {} refused with \
             RESOURCE_EXHAUSTED, p99 {} ms; none took {} s; {memory}",
            driven.acknowledged,
            milliseconds(&driven.latency, 0.5),
            milliseconds(&driven.latency, 0.99),
            driven.latency.max() / 1000,
            driven.refused,
            milliseconds(&driven.refused_latency, 0.99),
            PATIENCE.as_secs(),
        ));
        let row = self.crowd(&channels, rate).await;
        (self, [calls, row])
    }

    /// Four times the streams of a flood, and one scanner beside them that sends a record now and then.
    async fn crowd(&mut self, channels: &[Channel], rate: f64) -> Row {
        let (crowd, each) = (STREAMS * 4, self.scale.records / 2);
        let units = (each / workload::STEPS / crowd as u64).max(1) * crowd as u64;
        let flood = workload::ways(&self.trade, self.next_serial, units, crowd);
        self.next_serial += units;
        // As long as the flood will last, and somewhat longer.
        #[allow(clippy::cast_precision_loss)] // records of a run
        let seconds = each as f64 / rate * 1.25;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let scans = ((seconds * SCANS) as u64).max(1);
        let mut holding = self.holdings(1, scans).await;
        let single = workload::scans(&self.trade, &mut holding, 1, |stream| stream);
        let own = self.server.channels(1).await;
        let memory = self.server.watched();
        let method = &raw::SUBMIT_STREAM;
        let flooded = drive::streams(channels, method, drive::requests(&flood));
        let beside = drive::paced_streams(&own, method, drive::requests(&single), Some(SCANS));
        let both = async { tokio::join!(flooded, beside) };
        let patience = PATIENCE + Duration::from_secs_f64(seconds * 10.0);
        let (flooded, beside) = tokio::time::timeout(patience, both)
            .await
            .expect("an answer to everything");
        let memory = memory.most().await;
        let flooded = flooded.all_acknowledged("four times the streams");
        let beside = beside.all_acknowledged("one scanner beside them");
        self.acknowledged += flooded.acknowledged + beside.acknowledged;
        Row::new(
            format!("{crowd} streams as fast as they are let, {PLACES} places"),
            "records/s",
            flooded.rate(),
        )
        .limit(
            format!("{STREAMS} streams, places as they come"),
            rate,
            Target::AtLeast(0.9),
        )
        .note(format!(
            "flow control holds them back, none was refused; one scanner beside them that sends {SCANS} records a second: \
             p50 {} ms, p99 {} ms, max {} ms; {memory}",
            beside.latency.value_at_quantile(0.5).div_ceil(1000),
            beside.latency.value_at_quantile(0.99).div_ceil(1000),
            beside.latency.max().div_ceil(1000)
        ))
    }

    /// Stops the ledger and audits all that it acknowledged.
    pub fn audit(self) -> Row {
        let data = self.server.stop();
        let (entries, seconds) = ledger::audit(&data);
        assert_eq!(
            entries,
            self.founded + self.acknowledged,
            "the log has what was acknowledged, and nothing else"
        );
        let sample = ledger::sampled(&data);
        let sample: Vec<_> = sample
            .iter()
            .map(|(key, envelope)| (key, envelope))
            .collect();
        #[allow(clippy::cast_precision_loss)] // entries of a run
        let figure = entries as f64 / seconds;
        Row::new(
            "custody audit of all that was appended",
            "entries/s",
            figure,
        )
        .limit(
            "bare batch verify, entries from all over this log, all cores",
            limits::verify_rate(&sample, self.scale.limit_time),
            Target::AtLeast(0.7),
        )
        .note(format!(
            "{entries} entries hold: {} were acknowledged, the others founded the parties",
            self.acknowledged
        ))
    }
}

/// The records of all streams, one of each in turn.
fn interleaved(streams: &[Vec<Signed>], most: usize) -> Vec<&Signed> {
    let longest = streams.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|i| streams.iter().filter_map(move |stream| stream.get(i)))
        .take(most)
        .collect()
}
