//! Offers load and counts answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use prost::Message as _;
use prost::bytes::Bytes;
use tonic::transport::Channel;

use crate::raw::{self, Method, StreamAnswer};
use crate::workload::Signed;

/// What came back.
#[derive(Clone, Debug)]
pub struct Driven {
    pub acknowledged: u64,
    pub refused: u64,
    /// Streams or calls that failed.
    pub failed: u64,
    pub elapsed: Duration,
    /// Microseconds from when a request was sent, or was due on a stream, to its acknowledgement.
    pub latency: Histogram<u64>,
    /// Microseconds from when a request was sent to its refusal.
    pub refused_latency: Histogram<u64>,
    /// Bytes of the longest answer to a call.
    pub answer_bytes: usize,
    /// One of the refusals or failures.
    pub example: Option<String>,
}

fn microseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds")
}

impl Driven {
    fn new() -> Self {
        Self {
            acknowledged: 0,
            refused: 0,
            failed: 0,
            elapsed: Duration::ZERO,
            latency: microseconds(),
            refused_latency: microseconds(),
            answer_bytes: 0,
            example: None,
        }
    }

    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.failed += other.failed;
        self.latency.add(&other.latency).expect("the same bounds");
        if self.example.is_none() {
            self.example.clone_from(&other.example);
        }
    }

    pub fn rate(&self) -> f64 {
        crate::limits::rate(self.acknowledged, self.elapsed)
    }

    /// Stops the program when anything but acknowledgements came.
    pub fn all_acknowledged(self, what: &str) -> Self {
        assert!(
            self.refused == 0 && self.failed == 0,
            "{what}: {} refused, {} failed: {:?}",
            self.refused,
            self.failed,
            self.example
        );
        self
    }
}

/// The requests of each stream.
pub fn requests(streams: &[Vec<Signed>]) -> Vec<Vec<Bytes>> {
    let one = |records: &Vec<Signed>| records.iter().map(|r| r.request.clone()).collect();
    streams.iter().map(one).collect()
}

/// Sends all streams at once, as fast as they are taken.
pub async fn streams(channels: &[Channel], method: &Method, streams: Vec<Vec<Bytes>>) -> Driven {
    paced_streams(channels, method, streams, None).await
}

/// The same, with so many requests a second over all streams together.
pub async fn paced_streams(
    channels: &[Channel],
    method: &Method,
    streams: Vec<Vec<Bytes>>,
    per_second: Option<f64>,
) -> Driven {
    let count = streams.len();
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(count);
    for (i, requests) in streams.into_iter().enumerate() {
        let channel = channels[i % channels.len()].clone();
        let method = method.clone();
        let pace = per_second.map(|rate| Pace::of(start, i, count, rate));
        tasks.push(tokio::spawn(async move {
            one_stream(&channel, &method, requests, pace).await
        }));
    }
    let mut all = Driven::new();
    for task in tasks {
        all.add(&task.await.expect("no panic"));
    }
    all.elapsed = start.elapsed();
    all
}

#[derive(Clone, Copy)]
struct Pace {
    start: Instant,
    each: Duration,
    offset: Duration,
}

impl Pace {
    /// Of one of several who take turns.
    #[allow(clippy::cast_precision_loss)] // a few
    fn of(start: Instant, number: usize, count: usize, rate: f64) -> Self {
        Self {
            start,
            each: Duration::from_secs_f64(count as f64 / rate),
            offset: Duration::from_secs_f64(number as f64 / rate),
        }
    }

    fn due(&self, number: usize) -> Instant {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.start + self.offset + self.each * number
    }
}

async fn one_stream(
    channel: &Channel,
    method: &Method,
    requests: Vec<Bytes>,
    pace: Option<Pace>,
) -> Driven {
    let mut driven = Driven::new();
    let expected = requests.len();
    let requests = tokio_stream::iter(requests.into_iter().enumerate());
    let opened = match pace {
        None => {
            let requests = tokio_stream::StreamExt::map(requests, |(_, request)| request);
            raw::stream(channel, method, requests).await
        }
        Some(pace) => {
            let requests =
                tokio_stream::StreamExt::then(requests, move |(i, request)| async move {
                    let due = pace.due(i);
                    if due > Instant::now() {
                        tokio::time::sleep_until(due.into()).await;
                    }
                    request
                });
            raw::stream(channel, method, requests).await
        }
    };
    let mut answers = match opened {
        Ok(answers) => answers,
        Err(status) => {
            driven.failed += 1;
            driven.example = Some(status.to_string());
            return driven;
        }
    };
    let is_echo = *method == raw::ECHO_STREAM;
    for i in 0..expected {
        match answers.message().await {
            Ok(Some(answer)) => {
                if let Some(pace) = pace {
                    let late = Instant::now().saturating_duration_since(pace.due(i));
                    let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                    driven.latency.saturating_record(micros.max(1));
                }
                if is_echo {
                    driven.acknowledged += 1;
                } else {
                    count_answer(&mut driven, answer);
                }
            }
            other => {
                driven.failed += 1;
                driven.example = Some(match other {
                    Err(status) => status.to_string(),
                    _ => format!("the stream ended after {i} of {expected} answers"),
                });
                return driven;
            }
        }
    }
    driven
}

fn count_answer(driven: &mut Driven, answer: Bytes) {
    match StreamAnswer::decode(answer) {
        Ok(StreamAnswer {
            receipt: Some(_), ..
        }) => driven.acknowledged += 1,
        Ok(StreamAnswer {
            refusal: Some(refusal),
            ..
        }) => {
            driven.refused += 1;
            if driven.example.is_none() {
                let refusal = custody::core::wire::Refusal::decode(refusal).unwrap_or_default();
                driven.example = Some(format!("{}: {}", refusal.reason, refusal.message));
            }
        }
        _ => driven.failed += 1,
    }
}

/// How calls are made.
#[derive(Clone, Copy)]
pub struct Calls {
    /// So many are in flight.
    pub in_flight: usize,
    /// Round and round until the time is over; else each request once.
    pub time: Option<Duration>,
    /// So many a second, in no order; else as fast as they are answered.
    pub per_second: Option<f64>,
    /// A call that isn't answered for so long has failed.
    pub patience: Option<Duration>,
}

/// What one of those in flight saw.
#[derive(Default)]
struct Caller {
    /// Microseconds of each call. A histogram for each would be more memory than all else, with many in flight.
    acknowledged: Vec<u32>,
    refused: Vec<u32>,
    failed: u64,
    answer_bytes: usize,
    example: Option<String>,
}

impl Caller {
    async fn call(
        &mut self,
        channel: &Channel,
        method: &Method,
        request: Bytes,
        patience: Option<Duration>,
    ) {
        let sent = Instant::now();
        let call = raw::unary(channel, method, request);
        let answer = match patience {
            None => call.await,
            Some(patience) => tokio::time::timeout(patience, call)
                .await
                .unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("no answer"))),
        };
        let micros = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        match answer {
            Ok(answer) if !answer.is_empty() => {
                self.answer_bytes = self.answer_bytes.max(answer.len());
                self.acknowledged.push(micros);
            }
            Ok(_) => {
                self.failed += 1;
                self.example = Some("an empty answer".into());
            }
            Err(status) => {
                if status.code() == tonic::Code::ResourceExhausted {
                    self.refused.push(micros);
                } else {
                    self.failed += 1;
                }
                self.example = Some(status.to_string());
            }
        }
    }
}

/// Makes calls.
pub async fn unary(
    channels: &[Channel],
    method: &Method,
    requests: Arc<Vec<Bytes>>,
    calls: Calls,
) -> Driven {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for i in 0..calls.in_flight {
        let channel = channels[i % channels.len()].clone();
        let (method, requests, next) = (method.clone(), Arc::clone(&requests), Arc::clone(&next));
        let pace = calls
            .per_second
            .map(|rate| Pace::of(start, i, calls.in_flight, rate));
        tasks.push(tokio::spawn(async move {
            let mut caller = Caller::default();
            for turn in 0.. {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = match calls.time {
                    Some(time) => start.elapsed() > time,
                    None => number >= requests.len(),
                };
                if over {
                    break;
                }
                if let Some(due) = pace.map(|pace| pace.due(turn))
                    && due > Instant::now()
                {
                    tokio::time::sleep_until(due.into()).await;
                }
                let request = requests[number % requests.len()].clone();
                caller
                    .call(&channel, &method, request, calls.patience)
                    .await;
            }
            caller
        }));
    }
    let mut all = Driven::new();
    for task in tasks {
        let caller = task.await.expect("no panic");
        all.acknowledged += caller.acknowledged.len() as u64;
        all.refused += caller.refused.len() as u64;
        all.failed += caller.failed;
        all.answer_bytes = all.answer_bytes.max(caller.answer_bytes);
        all.example = all.example.or(caller.example);
        let record = |histogram: &mut Histogram<u64>, micros: u32| {
            histogram.saturating_record(u64::from(micros.max(1)));
        };
        for micros in caller.acknowledged {
            record(&mut all.latency, micros);
        }
        for micros in caller.refused {
            record(&mut all.refused_latency, micros);
        }
    }
    all.elapsed = start.elapsed();
    all
}
