//! Clients that append to the same units from several sides, and never give a record up; and the history of what
//! they asked and were told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use custody::api::session::AT_LEAST;
use custody::client::Ledger;
use custody::core::envelope::{Envelope, RecordId};
use custody::core::id::UnitId;
use custody::core::signature::Signer;
use custody::core::wire;
use prost::Message as _;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use tonic::{Code, Request, Status};

use crate::common;

/// How long a client waits for an answer before it turns to another node.
const PATIENCE: Duration = Duration::from_secs(3);

/// How far ahead a time may lie that a node gives whose clock is fast: what it may stray, and what it can't know.
const FAST_MS: u64 = 8_000;
/// After so many answers in a round clients take their time.
const MANY: u64 = 200;
/// A check that takes longer gives up: it tries one order after the other.
const CHECK: Duration = Duration::from_secs(60);

/// The chain of a unit as one client sees it: an append that compares the head.
#[derive(Clone, Debug)]
pub struct Chain {
    head: RecordId,
    /// Conflicts so far that told of this head.
    told: usize,
    /// How many the history has for each head. A head never comes back, so that all of them come before the next
    /// append: without this the checker tries all the orders in which they can't be told any more.
    wanted: Arc<HashMap<RecordId, usize>>,
}

#[derive(Clone, Debug)]
pub struct Append {
    prev: RecordId,
    new: RecordId,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Appended,
    /// The head is another one.
    Conflict(RecordId),
}

impl SequentialSpec for Chain {
    type Op = Append;
    type Ret = Told;

    fn invoke(&mut self, append: &Append) -> Told {
        if self.head != append.prev {
            self.told += 1;
            return Told::Conflict(self.head);
        }
        (self.head, self.told) = (append.new, 0);
        Told::Appended
    }

    fn is_valid_step(&mut self, append: &Append, told: &Told) -> bool {
        let wanted = self.wanted.get(&self.head).copied().unwrap_or_default();
        let all_told = *told != Told::Appended || self.told == wanted;
        all_told && self.invoke(append) == *told
    }
}

#[derive(Clone, Debug)]
enum Event {
    Asked(usize, Append),
    Answered(usize, Told),
}

/// What happened, in the order in which it did.
#[derive(Default)]
pub struct History {
    units: Mutex<HashMap<UnitId, Vec<Event>>>,
    /// Index of each acknowledged record.
    pub acknowledged: Mutex<HashMap<RecordId, u64>>,
    pub answers: AtomicU64,
}

impl History {
    fn push(&self, unit: UnitId, event: Event) {
        self.units
            .lock()
            .unwrap()
            .entry(unit)
            .or_default()
            .push(event);
    }

    /// Whether each unit's history is one that a single chain could have given, and how long its chain is.
    pub fn check(&self, begun: &HashMap<UnitId, RecordId>) -> HashMap<UnitId, usize> {
        let units = std::mem::take(&mut *self.units.lock().unwrap());
        let mut lengths = HashMap::new();
        for (unit, events) in units {
            let mut wanted = HashMap::<_, usize>::new();
            for event in &events {
                if let Event::Answered(_, Told::Conflict(head)) = event {
                    *wanted.entry(*head).or_default() += 1;
                }
            }
            let mut tester = LinearizabilityTester::new(Chain {
                head: begun[&unit],
                told: 0,
                wanted: Arc::new(wanted),
            });
            let mut length = 1;
            for event in events.clone() {
                let taken = match event {
                    Event::Asked(client, append) => tester.on_invoke(client, append),
                    Event::Answered(client, told) => {
                        length += usize::from(told == Told::Appended);
                        tester.on_return(client, told)
                    }
                };
                taken.unwrap();
            }
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::spawn(move || tell.send(tester.is_consistent()));
            let consistent = told.recv_timeout(CHECK);
            assert_eq!(
                consistent,
                Ok(true),
                "the history of {unit} is not linearizable, or can't be shown to be: {events:#?}"
            );
            lengths.insert(unit, length);
        }
        lengths
    }
}

/// A client that does what is documented: it sends the same envelope again, here or elsewhere.
pub struct Client {
    number: usize,
    nodes: Vec<String>,
    /// The node it turns to.
    at: usize,
    connected: HashMap<usize, Ledger>,
    /// Entries that it knows of.
    seen: u64,
}

impl Client {
    /// One that knows of so many entries.
    pub fn new(number: usize, nodes: Vec<String>, seen: u64) -> Self {
        let at = number % nodes.len();
        let connected = HashMap::new();
        Self {
            number,
            nodes,
            at,
            connected,
            seen,
        }
    }

    /// Entries that it knows of.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Appends a record, however long it takes: its index, or the head that there is instead of its own.
    pub async fn append(&mut self, envelope: &Envelope) -> Result<u64, RecordId> {
        loop {
            match self.attempt(envelope.to_wire()).await {
                Ok(index) => {
                    self.seen = self.seen.max(index + 1);
                    return Ok(index);
                }
                Err(status) => {
                    if let Some(head) = conflict(&status) {
                        return Err(head);
                    }
                    let again = [
                        Code::Unavailable,
                        Code::DeadlineExceeded,
                        Code::Cancelled,
                        Code::Unknown,
                        Code::Internal,
                        Code::ResourceExhausted,
                    ];
                    assert!(
                        again.contains(&status.code()),
                        "client {}: {}: {status}",
                        self.number,
                        envelope.record_id()
                    );
                    self.connected.remove(&self.at);
                    self.at = (self.at + 1) % self.nodes.len();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    async fn attempt(&mut self, envelope: wire::Envelope) -> Result<u64, Status> {
        let late = |_| Status::deadline_exceeded("no answer");
        let known = match self.connected.entry(self.at) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let ledger = Ledger::connect(&self.nodes[self.at], None);
                let ledger = tokio::time::timeout(PATIENCE, ledger).await;
                let ledger = ledger.map_err(late)?;
                place.insert(ledger.map_err(|error| Status::unavailable(error.to_string()))?)
            }
        };
        let mut request = Request::new(wire::SubmitRequest {
            envelope: Some(envelope),
        });
        // What this client has seen, the node has to have as well: the key, for one.
        request.metadata_mut().insert(AT_LEAST, self.seen.into());
        let mut ledger = known.ledger();
        let answer = tokio::time::timeout(PATIENCE, ledger.submit(request)).await;
        let receipt = answer.map_err(late)??.into_inner().receipt;
        let receipt = receipt.expect("a receipt");
        let latest = custody::sequence::now().0 + FAST_MS;
        assert!(
            receipt.time_ms < latest,
            "an entry's time lies {} ms ahead",
            receipt.time_ms + FAST_MS - latest
        );
        Ok(receipt.log_index)
    }
}

/// One client's loop: until it is told to stop, and then until its last record is answered.
pub async fn run(
    mut client: Client,
    signer: Arc<Signer>,
    mut heads: HashMap<UnitId, RecordId>,
    (history, stop): (Arc<History>, Arc<AtomicBool>),
    seed: u64,
) {
    let mut units: Vec<UnitId> = heads.keys().copied().collect();
    units.sort();
    let mut random = seed | 1;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let this = client.number;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Each record is asked for on each node afterwards: a long round doesn't need thousands.
        if history.answers.load(Ordering::Relaxed) > MANY {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let unit = units[next(units.len())];
        let prev = heads[&unit];
        let mut record = common::record(&[unit], common::scan());
        record.units[0].prev = prev.0.to_vec();
        let nonce = u128::from(seed) << 64 | u128::from(number) << 8 | this as u128;
        let envelope = common::sign(record, &signer, nonce);
        let new = envelope.record_id();
        history.push(unit, Event::Asked(this, Append { prev, new }));
        let (head, told) = match client.append(&envelope).await {
            Ok(index) => {
                history.acknowledged.lock().unwrap().insert(new, index);
                (new, Told::Appended)
            }
            Err(head) => (head, Told::Conflict(head)),
        };
        heads.insert(unit, head);
        history.push(unit, Event::Answered(this, told));
        history.answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// The head that a conflict tells of.
fn conflict(status: &Status) -> Option<RecordId> {
    let bytes = status
        .metadata()
        .get_bin("custody-refusal-bin")?
        .to_bytes()
        .ok()?;
    let refusal = wire::Refusal::decode(bytes).ok()?;
    if refusal.reason != "CONFLICT" {
        return None;
    }
    let head = refusal.heads.first()?;
    RecordId::from_slice(&head.prev)
}

/// Waits for a condition, or for a time to pass: faults may well stop all progress.
pub async fn until(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[test]
fn given_a_client_that_waits_long_when_its_history_is_checked_then_that_ends_soon_and_finds_what_is_wrong()
 {
    let id = |number: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        RecordId(id)
    };
    let slow = Append {
        prev: id(9_000),
        new: id(9_001),
    };
    // Two clients race along the chain, while the third hears late of the head that was there when it asked.
    let history = |told: RecordId| {
        let history = History::default();
        let unit = common::unit(1);
        let push = |event| history.push(unit, event);
        push(Event::Asked(2, slow.clone()));
        for number in 0..60 {
            let (prev, new) = (id(number), id(number + 1));
            let other = id(1_000 + number);
            push(Event::Asked(0, Append { prev, new }));
            push(Event::Asked(1, Append { prev, new: other }));
            push(Event::Answered(1, Told::Conflict(new)));
            push(Event::Answered(0, Told::Appended));
        }
        push(Event::Answered(2, Told::Conflict(told)));
        std::panic::catch_unwind(|| history.check(&HashMap::from([(unit, id(0))])))
    };
    assert_eq!(history(id(1)).unwrap()[&common::unit(1)], 61);
    assert!(history(id(1_003)).is_err(), "nobody appended that head");
}
