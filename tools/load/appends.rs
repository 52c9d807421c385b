//! The rows about appending.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::drive::{self, Driven};
use crate::echo::EchoServer;
use crate::ledger::{self, Server, Trade};
use crate::limits::{self, Points};
use crate::raw;
use crate::report::{Row, Target};
use crate::workload::{self, Holding, Signed};

/// Streams open at once.
pub const STREAMS: usize = 64;
/// Connections that they share.
pub const CONNECTIONS: usize = 16;
/// Records that the server lets be on their way at once, where that is what is tried.
const PLACES: usize = 1_024;
/// Calls in flight, where there are no streams.
pub const IN_FLIGHT: usize = 64;

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
    /// Records that were acknowledged since the ledger was made.
    acknowledged: u64,
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
            server,
            trade,
            scale,
            next_serial: 1,
            postgres,
            acknowledged: 0,
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

    /// Streams, one unit a record, a distinct key for every record.
    pub async fn distinct_keys(&mut self) -> Row {
        let units = self.scale.records / workload::STEPS / STREAMS as u64 * STREAMS as u64;
        let streams = workload::ways(&self.trade, self.next_serial, units, STREAMS);
        self.next_serial += units;
        let sample: Vec<&Signed> = interleaved(&streams, 32_768);
        let bare = limits::verify_rate(&sample, Points::Anew, self.scale.limit_time);
        let known = limits::verify_rate(&sample, Points::Known, self.scale.limit_time);
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
        .note(format!(
            "the server remembers the points of keys; with them at hand, bare is {known:.0}/s"
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
        let sample: Vec<&Signed> = streams.iter().flatten().take(32_768).collect();
        let bare = limits::verify_rate(&sample, Points::Anew, self.scale.limit_time);
        let before = self.counters();
        let driven = self.drive("streamed append, same key", &streams).await;
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
        let rounds = (self.scale.records / 3 / (per_stream * STREAMS as u64)).max(1);
        let streams = workload::scans(&self.trade, &mut holdings, rounds, |stream| stream);
        // Units take turns over the calls in flight, so that no two calls are about one unit.
        let requests: Vec<_> = interleaved(&streams, usize::MAX)
            .into_iter()
            .map(|signed| signed.request.clone())
            .collect();
        let (request_bytes, answer_bytes) = (requests[0].len(), 60);
        let requests = Arc::new(requests);
        let echo = EchoServer::start(answer_bytes, None);
        let channels = ledger::channels(&echo.address, CONNECTIONS).await;
        let bare = drive::unary(
            &channels,
            &raw::ECHO,
            Arc::clone(&requests),
            IN_FLIGHT,
            Some(self.scale.limit_time),
            None,
        )
        .await
        .all_acknowledged("echo");
        drop(echo);
        let channels = self.server.channels(CONNECTIONS).await;
        let before = self.counters();
        let driven = drive::unary(&channels, &raw::SUBMIT, requests, IN_FLIGHT, None, None).await;
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
                "p50 {} us, p99 {} us; echo p50 {} us, p99 {} us",
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

    /// Records of 500 units.
    pub async fn units(&mut self) -> Row {
        let per_stream = (self.scale.records / 16 / 500).max(2) * 500;
        let streams = 16;
        let (records, _) = workload::hand_over(&self.trade, self.next_serial, per_stream, streams);
        self.next_serial += per_stream * streams as u64;
        let before = self.counters();
        let driven = self.drive("records of 500 units", &records).await;
        let after = self.counters();
        let units = driven.acknowledged * 500;
        let group = units / (after.groups - before.groups).max(1);
        let bare = limits::put_rate(&self.folder, group, 150, self.scale.limit_time);
        Row::new(
            "units in records of 500 units",
            "units/s",
            limits::rate(units, driven.elapsed),
        )
        .limit(
            format!("bare RocksDB, a put of 150 bytes a unit, synced groups of {group}"),
            bare,
            Target::AtLeast(0.5),
        )
        .note(format!(
            "commission, handover and accept of {} units; {} bytes a record",
            per_stream * 16,
            records[0][0].request.len()
        ))
        .note(self.effort(&before))
    }

    /// Latency at half of a rate.
    pub async fn latency(&mut self, full_rate: f64) -> Row {
        let rate = full_rate / 2.0;
        let seconds = self.scale.limit_time.as_secs().max(2) * 2;
        let per_stream = 200;
        let mut holdings = self.holdings(STREAMS, per_stream).await;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let wanted = (rate * seconds as f64) as u64;
        let rounds = (wanted / (per_stream * STREAMS as u64)).max(1);
        let streams = workload::scans(&self.trade, &mut holdings, rounds, |stream| stream);
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

    /// Four times as many calls in flight as there are places for records on their way, for as long
    /// as it takes to send them all. Restarts the server with fewer places.
    pub async fn overload(mut self) -> (Self, Row) {
        let (places, in_flight) = (PLACES.to_string(), PLACES * 4);
        let data = self.server.stop();
        self.server = Server::open_with(&data, &["--max-waiting", &places]);
        let streams = STREAMS * 4;
        let per_stream = (self.scale.records / 2 / streams as u64).max(1);
        let mut holdings = self.holdings(streams, per_stream).await;
        let scans = workload::scans(&self.trade, &mut holdings, 1, |stream| stream);
        let requests: Vec<_> = interleaved(&scans, usize::MAX)
            .into_iter()
            .map(|signed| signed.request.clone())
            .collect();
        let offered = requests.len();
        let channels = self.server.channels(STREAMS).await;
        let before = self.server.resident();
        let (method, requests) = (&raw::SUBMIT, Arc::new(requests));
        let driven = drive::unary(&channels, method, requests, in_flight, None, None).await;
        self.acknowledged += driven.acknowledged;
        let example = driven.example.clone().unwrap_or_default();
        assert!(
            driven.refused == 0 || example.contains("more records are waiting"),
            "what is too much is refused as such: {example}"
        );
        assert_eq!(driven.acknowledged + driven.refused, offered as u64);
        let row = Row::new(
            format!("{in_flight} calls of Submit in flight, {PLACES} places"),
            "records/s",
            driven.rate(),
        )
        .note(format!(
            "of {offered} calls {} acknowledged, {} refused with RESOURCE_EXHAUSTED, none \
             unanswered; p50 {} ms, p99 {} ms, max {} ms; memory {} MB, before {} MB",
            driven.acknowledged,
            driven.refused,
            driven.latency.value_at_quantile(0.5) / 1000,
            driven.latency.value_at_quantile(0.99) / 1000,
            driven.latency.max() / 1000,
            self.server.resident() >> 20,
            before >> 20
        ));
        (self, row)
    }

    /// Stops the ledger and audits all that it acknowledged.
    pub fn audit(self, verify_rate: f64) -> Row {
        let data = self.server.stop();
        let (entries, seconds) = ledger::audit(&data);
        assert!(
            entries > self.acknowledged,
            "{} were acknowledged, the log has {entries}",
            self.acknowledged
        );
        #[allow(clippy::cast_precision_loss)] // entries of a run
        let figure = entries as f64 / seconds;
        Row::new(
            "custody audit of all that was appended",
            "entries/s",
            figure,
        )
        .limit(
            "bare batch verify, distinct keys, all cores",
            verify_rate,
            Target::AtLeast(0.7),
        )
        .note(format!(
            "{entries} entries hold; {} were acknowledged, the others founded the parties",
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
