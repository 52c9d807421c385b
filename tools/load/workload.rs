//! The records: generated from numbers, signed before the clock starts.

use std::sync::Arc;

use custody::core::envelope::{Envelope, RecordId};
use custody::core::id::UnitId;
use custody::core::signature::Signer;
use custody::core::wire::record::Body;
use custody::core::wire::{self, Place};
use prost::Message as _;
use prost::bytes::Bytes;

use crate::ledger::{Firm, ORIGIN, Trade};
use crate::limits::Checked;

/// When the trade begins: event times count from here.
pub const BASE: u64 = 1_780_000_000_000;
const MINUTE: u64 = 60_000;
/// Units of a production lot, and of a record of many.
pub const LOT: u64 = 500;

/// A signed record as it goes over the wire.
#[derive(Clone)]
pub struct Signed {
    /// A `SubmitRequest` or `SubmitStreamRequest`: both have the envelope as field 1.
    pub request: Bytes,
    pub key: [u8; 32],
    pub envelope: Envelope,
}

impl Signed {
    /// To check it.
    pub const fn checked(&self) -> Checked<'_> {
        (&self.key, &self.envelope)
    }
}

/// An item of the maker.
pub fn item(serial: u64) -> UnitId {
    format!("01/10614141123459/21/{serial}")
        .parse()
        .expect("an id")
}

/// A case of the maker.
pub fn case(number: u64) -> UnitId {
    let body = 10_614_141_000_000_000 + number;
    let check = custody::core::id::gs1_check_digit(body);
    format!("00/{body}{check}").parse().expect("an id")
}

/// Something to sign.
pub struct Plan<'a> {
    pub signer: &'a Arc<Signer>,
    pub units: &'a [(UnitId, Option<RecordId>)],
    /// Minutes after the beginning.
    pub minute: u64,
    pub body: Body,
    pub containers: &'a [(UnitId, Option<RecordId>)],
}

impl Plan<'_> {
    /// Signs it.
    pub fn sign(self) -> Signed {
        use sha2::Digest as _;
        let refs = |units: &[(UnitId, Option<RecordId>)]| {
            let one = |(id, prev): &(UnitId, Option<RecordId>)| wire::UnitRef {
                id: id.to_string(),
                prev: prev.map(|prev| prev.0.to_vec()).unwrap_or_default(),
            };
            units.iter().map(one).collect()
        };
        let first = self.units.first().map(|(id, _)| id.to_string());
        let nonce = sha2::Sha256::digest(format!("{first:?} {}", self.minute));
        let record = wire::Record {
            format: 1,
            origin: ORIGIN.into(),
            suite: 1,
            key_id: self.signer.key_id().0.to_vec(),
            nonce: nonce[..16].to_vec(),
            claimed_time_ms: BASE + self.minute * MINUTE,
            clock_offset_ms: 0,
            place: Some(Place {
                position: Some(wire::Position {
                    latitude_e7: 260_745_000,
                    longitude_e7: 1_192_965_000,
                }),
                region: "CN-FJ".into(),
                city: "福州市".into(),
                location: String::new(),
            }),
            units: refs(self.units),
            containers: refs(self.containers),
            body: Some(self.body),
            ..wire::Record::default()
        };
        let envelope = Envelope::sign(&record, self.signer);
        let request = wire::SubmitStreamRequest {
            envelope: Some(envelope.to_wire()),
        };
        Signed {
            request: Bytes::from(request.encode_to_vec()),
            key: *self.signer.public_key().as_bytes(),
            envelope,
        }
    }
}

pub fn commission(serial: u64) -> Body {
    Body::Commission(wire::Commission {
        attributes: Some(wire::Attributes {
            lot: format!("L{}", serial / LOT),
            expiry: 20_351_231,
            ..Default::default()
        }),
        explains: Vec::new(),
    })
}

pub fn scan() -> Body {
    Body::Scan(wire::Scan::default())
}

pub fn handover(to: &Firm) -> Body {
    Body::Handover(wire::Handover {
        to: to.id.into(),
        weight_grams: 750,
        means: 1,
        ..Default::default()
    })
}

pub fn accept() -> Body {
    Body::Accept(wire::Accept {
        condition: 1,
        weight_grams: 750,
        checks: vec![1, 2, 3],
    })
}

pub fn pack(container: UnitId, prev: Option<RecordId>) -> Body {
    let container = wire::UnitRef {
        id: container.to_string(),
        prev: prev.map(|prev| prev.0.to_vec()).unwrap_or_default(),
    };
    Body::Pack(wire::Pack {
        container: Some(container),
    })
}

/// Steps of [`way`].
pub const STEPS: u64 = 10;

/// The way of one unit in ten records of three firms, each step by another scanner.
fn way(trade: &Trade, serial: u64, step: u64) -> (&Arc<Signer>, Body) {
    let scanner = |firm: &'_ Firm, salt: u64| -> usize {
        let mixed = (serial * STEPS + step + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        usize::try_from(mixed).unwrap_or(0) % firm.scanners.len()
    };
    let [first, second] = &trade.couriers;
    let (firm, body) = match step {
        0 => (&trade.maker, commission(serial)),
        1 => (&trade.maker, handover(first)),
        2 => (first, accept()),
        3..=5 => (first, scan()),
        6 => (first, handover(second)),
        7 => (second, accept()),
        _ => (second, scan()),
    };
    (&firm.scanners[scanner(firm, 0)], body)
}

/// The ways of many units, as streams: each takes its own units through all steps, step after
/// step, so that a unit is not touched twice in a row.
pub fn ways(trade: &Trade, first: u64, units: u64, streams: usize) -> Vec<Vec<Signed>> {
    parallel(streams, |stream| {
        let share = units / streams as u64;
        let begin = first + stream as u64 * share;
        let mut heads: Vec<Option<RecordId>> = vec![None; usize::try_from(share).unwrap_or(0)];
        let mut signed = Vec::with_capacity(heads.len() * 10);
        for step in 0..STEPS {
            for (serial, head) in (begin..).zip(heads.iter_mut()) {
                let (signer, body) = way(trade, serial, step);
                let record = Plan {
                    signer,
                    units: &[(item(serial), *head)],
                    minute: step,
                    body,
                    containers: &[],
                }
                .sign();
                *head = Some(record.envelope.record_id());
                signed.push(record);
            }
        }
        signed
    })
}

/// Scans of units that a courier holds: each stream by the key of its own scanner.
pub fn scans(
    trade: &Trade,
    holdings: &mut [Holding],
    rounds: u64,
    signer_of: impl Fn(usize) -> usize + Sync,
) -> Vec<Vec<Signed>> {
    let scanners = &trade.couriers[0].scanners;
    parallel_mut(holdings, |stream, holding| {
        let signer = &scanners[signer_of(stream) % scanners.len()];
        let mut signed = Vec::new();
        for _ in 0..rounds {
            holding.minute += 1;
            for (unit, head) in &mut holding.units {
                let record = Plan {
                    signer,
                    units: &[(*unit, *head)],
                    minute: holding.minute,
                    body: scan(),
                    containers: &[],
                }
                .sign();
                *head = Some(record.envelope.record_id());
                signed.push(record);
            }
        }
        signed
    })
}

/// One scan of each unit that a courier holds, of so many in a record.
pub fn scans_together(trade: &Trade, holdings: &mut [Holding], many: u64) -> Vec<Vec<Signed>> {
    let scanners = &trade.couriers[0].scanners;
    let many = usize::try_from(many).unwrap_or(1).max(1);
    parallel_mut(holdings, |stream, holding| {
        holding.minute += 1;
        let minute = holding.minute;
        let parts = holding.units.chunks_mut(many);
        let parts = parts.map(|units| {
            let record = Plan {
                signer: &scanners[stream % scanners.len()],
                units,
                minute,
                body: scan(),
                containers: &[],
            }
            .sign();
            let head = Some(record.envelope.record_id());
            for (_, prev) in units {
                *prev = head;
            }
            record
        });
        parts.collect()
    })
}

/// Units that a courier holds, with their heads.
pub struct Holding {
    pub units: Vec<(UnitId, Option<RecordId>)>,
    pub minute: u64,
}

/// Records of many units that put holdings into the first courier's hands: the records of each
/// stream, in order.
pub fn hand_over(
    trade: &Trade,
    first: u64,
    per_stream: u64,
    streams: usize,
) -> (Vec<Vec<Signed>>, Vec<Holding>) {
    let made = parallel(streams, |stream| {
        let begin = first + stream as u64 * per_stream;
        let mut signed = Vec::new();
        let mut holding = Holding {
            units: Vec::new(),
            minute: 2,
        };
        let mut serial = begin;
        while serial < begin + per_stream {
            let end = (serial + LOT).min(begin + per_stream);
            let (mut records, units) = bulk(trade, stream, serial, end);
            signed.append(&mut records);
            holding.units.extend(units);
            serial = end;
        }
        (signed, holding)
    });
    made.into_iter().unzip()
}

/// Units with their heads.
pub type Heads = Vec<(UnitId, Option<RecordId>)>;

/// Commissions many units in one record and brings them to the first courier in two more.
pub fn bulk(trade: &Trade, stream: usize, from: u64, until: u64) -> (Vec<Signed>, Heads) {
    let courier = &trade.couriers[0];
    let mut units: Heads = (from..until).map(|serial| (item(serial), None)).collect();
    let maker = &trade.maker.scanners[stream % trade.maker.scanners.len()];
    let taker = &courier.scanners[stream % courier.scanners.len()];
    let steps = [
        (maker, commission(from)),
        (maker, handover(courier)),
        (taker, accept()),
    ];
    let mut signed = Vec::new();
    for (minute, (signer, body)) in (0..).zip(steps) {
        let record = Plan {
            signer,
            units: &units,
            minute,
            body,
            containers: &[],
        }
        .sign();
        let head = Some(record.envelope.record_id());
        for (_, prev) in &mut units {
            *prev = head;
        }
        signed.push(record);
    }
    (signed, units)
}

/// Runs the parts on all cores; the results are in order.
pub fn parallel<T: Send>(parts: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut numbers: Vec<usize> = (0..parts).collect();
    parallel_mut(&mut numbers, |i, _| make(i))
}

fn parallel_mut<A: Send, T: Send>(
    parts: &mut [A],
    make: impl Fn(usize, &mut A) -> T + Sync,
) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let chunk = parts.len().div_ceil(threads).max(1);
    let make = &make;
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (c, part) in parts.chunks_mut(chunk).enumerate() {
            workers.push(scope.spawn(move || {
                part.iter_mut()
                    .enumerate()
                    .map(|(i, one)| make(c * chunk + i, one))
                    .collect::<Vec<T>>()
            }));
        }
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no panic"))
            .collect()
    })
}
