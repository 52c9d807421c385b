//! What single steps of the append path cost, each alone and on one core: decoding, checking
//! signatures, judging, hashing into the tree, encoding for the store.
//!
//! Run by `tools/bench --micro`; run as a test, each step is done once.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use custody::core::apply::state::{Changes, Read as _, Unit, Units};
use custody::core::apply::{self, Focus, Placed, encode_entry};
use custody::core::envelope::{Envelope, RecordId};
use custody::core::id::UnitId;
use custody::core::record::{Millis, Record};
use custody::core::signature::{
    BatchItem, DecodedKey, KeyRef, Signer, verify_batch, verify_single,
};
use custody::core::tlog::tile::RightEdge;
use custody::core::tlog::{LogIndex, leaf_hash};
use custody::core::wire::record::Body;
use custody::core::wire::{self, Role};
use custody::store::codec;
use zeroize::Zeroizing;

const ORIGIN: &str = "micro.example/ledger";
const REGULATOR: &str = "uscc:91350100M000100Y43";
const MAKER: &str = "gln:0614141000005";
const TIME: u64 = 1_780_000_000_000;

fn signer(number: u16) -> Signer {
    let mut seed = Zeroizing::new([7; 32]);
    seed[..2].copy_from_slice(&number.to_be_bytes());
    Signer::from_seed(&seed)
}

fn item(serial: u64) -> UnitId {
    let text = format!("01/10614141123459/21/{serial}");
    text.parse().expect("an id")
}

fn public(signer: &Signer) -> Option<wire::PublicKey> {
    Some(wire::PublicKey {
        suite: 1,
        public_key: signer.public_key().as_bytes().to_vec(),
    })
}

fn sign(signer: &Signer, units: &[(UnitId, Option<RecordId>)], body: Body) -> Envelope {
    let one = |(id, prev): &(UnitId, Option<RecordId>)| wire::UnitRef {
        id: id.to_string(),
        prev: prev.map(|prev| prev.0.to_vec()).unwrap_or_default(),
    };
    let record = wire::Record {
        format: 1,
        origin: ORIGIN.into(),
        suite: 1,
        key_id: signer.key_id().0.to_vec(),
        nonce: vec![1; 16],
        claimed_time_ms: TIME,
        place: Some(wire::Place {
            position: Some(wire::Position {
                latitude_e7: 260_745_000,
                longitude_e7: 1_192_965_000,
            }),
            region: "CN-FJ".into(),
            city: "福州市".into(),
            location: String::new(),
        })
        .filter(|_| !units.is_empty()),
        units: units.iter().map(one).collect(),
        body: Some(body),
        ..wire::Record::default()
    };
    Envelope::sign(&record, signer)
}

/// A ledger in memory.
struct World {
    state: Changes,
    next: u64,
    maker: Signer,
}

impl World {
    /// With a maker who may give out the items.
    fn new() -> Self {
        let (regulator, maker) = (signer(1), signer(2));
        let mut world = Self {
            state: Changes::default(),
            next: 0,
            maker: signer(2),
        };
        let maker_role = vec![Role::Maker.into()];
        let scope = wire::product_scope::Scope::CompanyPrefix("0614141".into());
        let scope = Some(wire::ProductScope { scope: Some(scope) });
        let founding = [
            (
                &regulator,
                Body::Genesis(wire::Genesis {
                    regulator_keys: public(&regulator).into_iter().collect(),
                    regulator: REGULATOR.into(),
                    regulator_name: "Regulator".into(),
                    thresholds: Some(custody::core::record::Thresholds::default().into()),
                    log_key: "micro.example/ledger+00000000+AA==".into(),
                }),
            ),
            (
                &maker,
                Body::RegisterParty(wire::RegisterParty {
                    party: MAKER.into(),
                    name: "Maker".into(),
                    roles: maker_role.clone(),
                    key: public(&maker),
                    ..Default::default()
                }),
            ),
            (
                &regulator,
                Body::ApproveParty(wire::ApproveParty {
                    party: MAKER.into(),
                    roles: maker_role,
                    ..Default::default()
                }),
            ),
            (
                &maker,
                Body::ClaimProduct(wire::ClaimProduct {
                    scope: scope.clone(),
                    name: "Tea".into(),
                }),
            ),
            (
                &regulator,
                Body::ApproveProduct(wire::ApproveProduct {
                    scope,
                    party: MAKER.into(),
                }),
            ),
        ];
        for (who, body) in founding {
            let envelope = sign(who, &[], body);
            world.append(&envelope);
        }
        world
    }

    fn append(&mut self, envelope: &Envelope) {
        let record = Record::decode(&envelope.payload).expect("well-formed");
        let applied = self.apply(envelope, &record);
        self.state.merge(applied.changes);
        self.next += 1;
    }

    fn apply(&self, envelope: &Envelope, record: &Record) -> apply::Applied {
        let placed = Placed {
            index: LogIndex(self.next),
            time: Millis(TIME),
            id: envelope.record_id(),
            record,
        };
        apply::apply(&self.state, placed, Focus::All).expect("accepted")
    }
}

fn commission() -> Body {
    Body::Commission(wire::Commission {
        attributes: Some(wire::Attributes {
            lot: "L7".into(),
            expiry: 20_351_231,
            ..Default::default()
        }),
        explains: Vec::new(),
    })
}

fn scan() -> Body {
    Body::Scan(wire::Scan::default())
}

/// The number of the key that signs a record of this number.
type KeyOf = fn(u16) -> u16;

/// Signatures a second, alone and in batches, of distinct keys, of so many and of one; the points of keys are at hand, as
/// the server has them.
fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    let signed = |key: KeyOf, count: u16| -> Vec<([u8; 32], Vec<u8>, [u8; 64])> {
        (0..count)
            .map(|n| {
                let signer = signer(key(n));
                let envelope = sign(&signer, &[(item(n.into()), None)], scan());
                let key = *signer.public_key().as_bytes();
                (key, envelope.signed_bytes(), envelope.signature)
            })
            .collect()
    };
    let one = signed(|_| 0, 1);
    group.throughput(Throughput::Elements(1));
    group.bench_function("single", |bencher| {
        let (key, message, signature) = &one[0];
        bencher.iter(|| assert!(verify_single(key, message, signature)));
    });
    // Any of 2,000, each as likely.
    let any = |n: u16| {
        let [one, other, ..] = *leaf_hash(&n.to_be_bytes()).as_bytes();
        u16::from_be_bytes([one, other]) % 2_000
    };
    let mixes: [(&str, KeyOf); 3] = [
        ("distinct keys", |n| n),
        ("2,000 keys", any),
        ("one key", |_| 0),
    ];
    for (name, key) in mixes {
        for count in [16, 64, 128, 256, 512, 1024, 2048, 4096] {
            let records = signed(key, count);
            let decoded: HashMap<_, _> = records
                .iter()
                .map(|(key, ..)| (key, DecodedKey::new(*key).expect("a point")))
                .collect();
            let items: Vec<BatchItem<'_>> = records
                .iter()
                .map(|(key, message, signature)| BatchItem {
                    key: KeyRef::Decoded(&decoded[key]),
                    message: [message, &[]],
                    signature,
                })
                .collect();
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| assert!(verify_batch(&items).iter().all(|valid| *valid)));
            });
        }
    }
    group.finish();
}

/// Decoding and judging, a record at a time, over views in memory.
fn records(criterion: &mut Criterion) {
    let mut world = World::new();
    let many: Vec<(UnitId, Option<RecordId>)> = (1000..1500).map(|n| (item(n), None)).collect();
    let made = sign(&world.maker, &[(item(1), None)], commission());
    world.append(&made);
    let next = sign(&world.maker, &[(item(1), Some(made.record_id()))], scan());
    let bulk = sign(&world.maker, &many, commission());
    let mut group = criterion.benchmark_group("record");
    for (name, envelope, units) in [
        ("scan of one unit", &next, 1),
        ("commission of 500", &bulk, 500),
    ] {
        group.throughput(Throughput::Elements(units));
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| Record::decode(black_box(&envelope.payload)).expect("well-formed"));
        });
        let record = Record::decode(&envelope.payload).expect("well-formed");
        group.bench_function(BenchmarkId::new("apply", name), |bencher| {
            bencher.iter(|| world.apply(envelope, &record));
        });
    }
    group.throughput(Throughput::Elements(1));
    let verdict = wire::Verdict::default();
    group.bench_function("encode an entry", |bencher| {
        bencher.iter(|| encode_entry(black_box(&next), Millis(TIME), &verdict));
    });
    group.finish();
}

/// Hashing an entry into the tree.
fn tree(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    let entry = [7u8; 300];
    group.throughput(Throughput::Elements(256));
    group.bench_function("append 256 entries of 300 bytes, and the root", |bencher| {
        let append = |mut edge: RightEdge| {
            for _ in 0..256 {
                let leaf = leaf_hash(black_box(&entry));
                edge.append(leaf, &mut |_, _| {}).expect("room");
            }
            edge.root()
        };
        bencher.iter_batched(RightEdge::new, append, BatchSize::SmallInput);
    });
    group.finish();
}

/// A unit's row as it goes into the store and comes out of it.
fn rows(criterion: &mut Criterion) {
    let mut world = World::new();
    let mut head = None;
    for n in 0..10 {
        let body = if n == 0 { commission() } else { scan() };
        let envelope = sign(&world.maker, &[(item(1), head)], body);
        head = Some(envelope.record_id());
        world.append(&envelope);
    }
    let unit = world.state.get::<Units>(&item(1)).expect("memory");
    let unit: Arc<Unit> = unit.expect("the unit");
    let bytes = codec::encode(&unit).expect("encoded");
    let mut group = criterion.benchmark_group("row of a unit");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| codec::encode(black_box(&unit)).expect("encoded"));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| codec::decode::<Arc<Unit>>(black_box(&bytes)).expect("decoded"));
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    verify(&mut criterion);
    records(&mut criterion);
    tree(&mut criterion);
    rows(&mut criterion);
    criterion.final_summary();
}
