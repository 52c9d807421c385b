//! Drives the protocol: what was submitted goes to etcd, what comes out goes to the committing thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prost::Message as _;
use prost::bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::etcd::Etcd;
use super::follow::News;
use super::group::{self, After, MAX_GROUP_BYTES};
use super::ordered::{Body, Ready};
use super::protocol::{Answer, Delivered, Next, Protocol};
use super::seal::Sealer;
use super::turns::{Turn, Turns};
use super::{ClusterError, Shared};
use crate::admit::Admission;
use crate::core::order::GroupId;
use crate::core::refusal::{Reason, Refusal};
use crate::private::ChangeError;
use crate::sequence::{Item, Queue, Reply, Submission};

/// Most records of a group.
const MAX_GROUP_RECORDS: usize = 8_192;
/// Groups of others that are read ahead of the one that is next.
const READ_AHEAD: u64 = 4;
/// Groups that came out and wait for the committing thread.
const MAX_OUT: usize = 2;
/// Who submitted is told after so long that the order can't be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a proposal without an answer is sent again, or a group that was not read is read again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// When a node stops, what it has proposed has so long to come out.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What a record adds to a group beside its envelope: tag and length.
const FRAME_BYTES: usize = 8;

/// What is in the order's queue, and since when.
struct Waiting {
    item: Item,
    bytes: usize,
    since: Instant,
    /// Whoever waited was told that nothing is known.
    told: bool,
}

/// What the driver stands between.
pub(super) struct Ends {
    pub shared: Arc<Shared>,
    pub etcd: Etcd,
    pub queue: Queue,
    pub admission: Arc<Admission>,
    pub sealer: Sealer,
    pub ready: mpsc::Sender<Ready>,
    pub news: mpsc::Receiver<News>,
}

/// See the module.
pub(super) struct Driver {
    ends: Ends,
    protocol: Protocol<Vec<Waiting>>,
    waiting: VecDeque<Waiting>,
    turns: Turns,
    calls: Calls,
    /// What came out and the committing thread has no place for yet.
    out: VecDeque<Ready>,
}

/// What runs beside the driver's loop.
#[derive(Default)]
struct Calls {
    proposals: JoinSet<(GroupId, Answer)>,
    reads: JoinSet<(u64, Result<Option<Bytes>, ClusterError>)>,
    /// What is said of whether this node waits: one call at a time.
    saying: JoinSet<(bool, Result<(), ClusterError>)>,
    reading: Vec<u64>,
    read: BTreeMap<u64, Bytes>,
}

impl Driver {
    /// Goes on after a group that was applied.
    pub(super) fn new(ends: Ends, last: GroupId) -> Self {
        Self {
            protocol: Protocol::new(last, ends.shared.window),
            waiting: VecDeque::new(),
            turns: Turns::new(&ends.shared.name, Instant::now()),
            calls: Calls::default(),
            out: VecDeque::new(),
            ends,
        }
    }

    /// Returns when nothing can be submitted any more, and all has come out or can't.
    pub(super) async fn run(mut self) -> Result<(), ClusterError> {
        // Of its own, as a place that it reserves is lent from it.
        let ready = self.ends.ready.clone();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut closing: Option<Instant> = None;
        loop {
            self.come_out()?;
            let again = self.propose()?;
            self.read_ahead();
            if let Some(since) = closing {
                let none = self.waiting.is_empty() && self.protocol.in_flight() == 0;
                if none && self.out.is_empty() || since.elapsed() > LAST_WORDS {
                    self.give_up();
                    return Ok(());
                }
            }
            tokio::select! {
                item = self.ends.queue.recv(), if closing.is_none() => match item {
                    Some(item) => {
                        self.take(item);
                        while let Ok(item) = self.ends.queue.try_recv() {
                            self.take(item);
                        }
                    }
                    None => closing = Some(Instant::now()),
                },
                // The committing thread is gone only when the store failed.
                place = ready.reserve(), if !self.out.is_empty() => {
                    let place = place.map_err(|_| ClusterError::Ended)?;
                    if let Some(ready) = self.out.pop_front() {
                        metrics::counter!("custody_cluster_groups_total").increment(1);
                        place.send(ready);
                    }
                }
                Some(answer) = self.calls.proposals.join_next() => {
                    let (id, answer) = answer.map_err(|_| ClusterError::Ended)?;
                    self.protocol.answered(id, answer)?;
                }
                Some(read) = self.calls.reads.join_next() => {
                    let (number, bytes) = read.map_err(|_| ClusterError::Ended)?;
                    self.calls.reading.retain(|reading| *reading != number);
                    match bytes {
                        // It came out meanwhile, and was deleted since everybody has it.
                        Ok(_) if number <= self.protocol.delivered().number => {}
                        Ok(Some(bytes)) => drop(self.calls.read.insert(number, bytes)),
                        Ok(None) => return Err(ClusterError::Trimmed { number }),
                        Err(error) => tracing::debug!(%error, number, "a group was not read"),
                    }
                }
                Some(news) = self.ends.news.recv() => match news {
                    News::Since(applied, head) => self.protocol.read_head(head, applied)?,
                    News::Was(head) => self.protocol.heard(head),
                    News::Turn(turn) => self.turns.heard(&turn, Instant::now()),
                    News::Waits(node, true) => self.turns.waits(&node, Instant::now()),
                    News::Waits(node, false) => self.turns.waits_no_more(&node),
                    News::WaitAll(nodes) => self.turns.only(&nodes, Instant::now()),
                },
                Some(said) = self.calls.saying.join_next() => {
                    let (waits, said) = said.map_err(|_| ClusterError::Ended)?;
                    match said {
                        Ok(()) => self.turns.announced(waits),
                        Err(error) => {
                            tracing::debug!(%error, waits, "the other nodes don't know what this one wants");
                        }
                    }
                }
                () = until(again) => {}
                _ = seconds.tick() => {
                    self.lose_patience();
                    let ahead = self.protocol.head().number - self.protocol.delivered().number;
                    let behind = ahead + self.out.len() as u64;
                    #[allow(clippy::cast_precision_loss)] // a gauge is a float
                    metrics::gauge!("custody_cluster_behind_groups").set(behind as f64);
                }
            }
        }
    }

    /// Answers all that was not.
    fn give_up(&mut self) {
        let flying = self.protocol.work_mut().flat_map(std::mem::take);
        let late = self.waiting.drain(..).chain(flying);
        let late = late.map(|late| late.item);
        let out = self.out.drain(..).flat_map(Ready::into_own);
        late.chain(out).for_each(|late| answer(late, unreachable));
    }

    /// Puts an item where it waits for a group.
    fn take(&mut self, item: Item) {
        let since = Instant::now();
        let mut items = VecDeque::from([item]);
        while let Some(item) = items.pop_front() {
            let bytes = size(&item);
            match item {
                Item::Records(submission)
                    if bytes > MAX_GROUP_BYTES / 2 && submission.records.len() > 1 =>
                {
                    let (first, second) = halves(submission, &self.ends.shared.outer);
                    items.push_front(Item::Records(second));
                    items.push_front(Item::Records(first));
                }
                item => self.waiting.push_back(Waiting {
                    item,
                    bytes,
                    since,
                    told: false,
                }),
            }
        }
    }

    /// Makes groups of what waits, as large as what has queued, and sends what is to be sent. When it is not this
    /// node's turn: the moment at which to look again.
    fn propose(&mut self) -> Result<Option<Instant>, ClusterError> {
        let mut again = None;
        let mut goes_on = false;
        while !self.waiting.is_empty()
            && let Some(previous) = self.protocol.room()
        {
            if !goes_on
                && let Turn::Theirs(until) = self
                    .turns
                    .whose(self.protocol.in_flight() > 0, Instant::now())
            {
                again = Some(until);
                break;
            }
            if self.ends.shared.etcd_full.load(Ordering::Relaxed) {
                break; // Who waits is told so when it has lasted.
            }
            let time = match self.ends.shared.time() {
                Ok(Some(time)) => time,
                // The first beat compares it, and comes soon.
                Ok(None) => break,
                Err(()) => {
                    self.waiting
                        .drain(..)
                        .for_each(|late| answer(late.item, strays));
                    break;
                }
            };
            let (mut bytes, mut count) = (0, 0);
            let mut work = Vec::new();
            while let Some(next) = self.waiting.front() {
                let more = records(&next.item);
                let full = bytes + next.bytes > MAX_GROUP_BYTES || count + more > MAX_GROUP_RECORDS;
                if full && !work.is_empty() {
                    break;
                }
                bytes += next.bytes;
                count += more;
                work.extend(self.waiting.pop_front());
            }
            let (mut envelopes, mut changes) = (Vec::with_capacity(count), Vec::new());
            for waiting in &work {
                match &waiting.item {
                    Item::Records(submission) => {
                        let records = submission.records.iter();
                        envelopes.extend(records.map(|record| record.envelope.to_wire()));
                    }
                    Item::Private(private) => changes.push(self.ends.sealer.seal(&private.change)?),
                }
            }
            let name = &self.ends.shared.name;
            let mut group = group::encode(previous, time, name, envelopes, changes);
            goes_on =
                !self.waiting.is_empty() && self.protocol.in_flight() + 1 < self.ends.shared.window;
            group.after = match (self.waiting.is_empty(), goes_on) {
                (true, _) => After::Nothing,
                (false, true) => After::Now,
                (false, false) => After::Later,
            };
            metrics::histogram!("custody_cluster_group_bytes").record(group.bytes.len() as f64);
            self.protocol.propose(group, work);
        }
        while let Some(group) = self.protocol.send() {
            let (etcd, name) = (self.ends.etcd.clone(), self.ends.shared.name.clone());
            self.calls.proposals.spawn(async move {
                let answer = etcd.propose(&group, &name).await;
                if answer == Answer::Unknown {
                    tokio::time::sleep(PAUSE).await;
                }
                (group.id, answer)
            });
        }
        let known = self.turns.is_announced();
        // Also one that has not read all groups yet: nobody would wait for it, and it would never have read them all.
        let wants = !self.waiting.is_empty() && (again.is_some() || self.protocol.in_flight() == 0);
        let wants_no_more = self.waiting.is_empty() && self.protocol.in_flight() == 0;
        if self.calls.saying.is_empty() && (wants && !known || wants_no_more && known) {
            let (etcd, name) = (self.ends.etcd.clone(), self.ends.shared.name.clone());
            let call = async move {
                let said = etcd.waits(&name, wants).await;
                if said.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
                (wants, said)
            };
            self.calls.saying.spawn(call);
        }
        Ok(again)
    }

    /// Takes what comes next, in order, as long as there is something, for the committing thread. While that is busy this
    /// node reads on, so that it can follow the last group with its own.
    fn come_out(&mut self) -> Result<(), ClusterError> {
        while self.out.len() < MAX_OUT {
            let (id, time, own) = match self.protocol.next() {
                Next::Nothing => return Ok(()),
                Next::Own => match self.protocol.deliver() {
                    Some((group, own)) => (group.id, group.time, own),
                    None => return Ok(()),
                },
                Next::Read(number) => {
                    let Some(bytes) = self.calls.read.remove(&number) else {
                        return Ok(());
                    };
                    let (id, delivered, lost) = self.protocol.read(bytes)?;
                    for work in lost.into_iter().rev() {
                        for item in work.into_iter().rev() {
                            self.waiting.push_front(item);
                        }
                    }
                    match delivered {
                        Delivered::Own(time, work) => (id, time, work),
                        Delivered::Foreign(group) => {
                            let ready =
                                Ready::foreign(id, group, &self.ends.admission, &self.ends.sealer);
                            self.out.push_back(ready);
                            continue;
                        }
                    }
                }
            };
            self.turns.spoke(id.number, Instant::now());
            self.calls.read.retain(|number, _| *number > id.number);
            let items = own.into_iter().map(|waiting| waiting.item);
            let body = Body::Own(items.collect());
            self.out.push_back(Ready { id, time, body });
        }
        Ok(())
    }

    /// Reads the groups of others that come next.
    fn read_ahead(&mut self) {
        let Next::Read(next) = self.protocol.next() else {
            return;
        };
        let last = self.protocol.head().number.min(next + READ_AHEAD - 1);
        for number in next..=last {
            if self.calls.read.contains_key(&number) || self.calls.reading.contains(&number) {
                continue;
            }
            self.calls.reading.push(number);
            let etcd = self.ends.etcd.clone();
            self.calls.reads.spawn(async move {
                let bytes = etcd.group(number).await;
                if bytes.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
                (number, bytes)
            });
        }
    }

    /// Tells who waits for too long that nothing is known.
    fn lose_patience(&mut self) {
        while self
            .waiting
            .front()
            .is_some_and(|first| first.since.elapsed() > PATIENCE)
        {
            if let Some(late) = self.waiting.pop_front() {
                answer(late.item, unreachable);
            }
        }
        for waiting in self.protocol.work_mut().flatten() {
            if waiting.told || waiting.since.elapsed() <= PATIENCE {
                continue;
            }
            waiting.told = true;
            count_refused(records(&waiting.item));
            match &mut waiting.item {
                Item::Records(submission) => {
                    let reply = std::mem::replace(&mut submission.reply, Reply::nobody());
                    let refusals = submission.records.iter().map(|_| Err(unreachable()));
                    reply.send(refusals.collect());
                    // Nobody waits any more: others may.
                    submission.places = None;
                }
                Item::Private(private) => {
                    let reply = std::mem::replace(&mut private.reply, oneshot::channel().0);
                    let _ = reply.send(Err(ChangeError::Unanswered));
                }
            }
        }
    }
}

fn strays() -> Refusal {
    Refusal::new(
        Reason::OrderUnavailable,
        "this node's clock strays from those of the other nodes; send the same envelope to another",
    )
}

fn unreachable() -> Refusal {
    Refusal::new(
        Reason::OrderUnavailable,
        "the order of the cluster can't be reached; whether the record is in the log is not known: send the \
         same envelope again",
    )
}

/// Refuses an item that was not proposed. Whoever asked may be gone.
fn answer(item: Item, refusal: impl Fn() -> Refusal) {
    count_refused(records(&item));
    match item {
        Item::Records(Submission { records, reply, .. }) => {
            reply.send(records.iter().map(|_| Err(refusal())).collect());
        }
        Item::Private(private) => {
            let _ = private.reply.send(Err(ChangeError::Unanswered));
        }
    }
}

fn count_refused(records: usize) {
    let reason = Reason::OrderUnavailable.name();
    let refused = metrics::counter!("custody_refused_total", "reason" => reason);
    refused.increment(records as u64);
}

fn records(item: &Item) -> usize {
    match item {
        Item::Records(submission) => submission.records.len(),
        Item::Private(_) => 1,
    }
}

fn size(item: &Item) -> usize {
    match item {
        Item::Records(submission) => {
            let records = submission.records.iter();
            let sizes = records.map(|record| record.envelope.to_wire().encoded_len() + FRAME_BYTES);
            sizes.sum()
        }
        Item::Private(_) => crate::private::MAX_TEXT + 512,
    }
}

/// Two submissions of half the records each, whose answers are put together again.
fn halves(mut submission: Submission, outer: &Handle) -> (Submission, Submission) {
    let rest = submission.records.split_off(submission.records.len() / 2);
    let (first, first_answers) = Reply::new();
    let (second, second_answers) = Reply::new();
    let reply = submission.reply;
    outer.spawn(async move {
        // An end without an answer is passed on as one.
        if let (Ok(mut answers), Ok(rest)) = tokio::join!(first_answers, second_answers) {
            answers.extend(rest);
            reply.send(answers);
        }
    });
    let first = Submission {
        records: submission.records,
        reply: first,
        places: submission.places,
        trip: None,
    };
    let second = Submission {
        records: rest,
        reply: second,
        places: None,
        trip: None,
    };
    (first, second)
}

/// Returns at a moment; never without one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
