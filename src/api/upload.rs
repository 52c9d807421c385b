//! A submission stream: records come in on it, and their answers go out, in the same order.
//!
//! ```text
//!  stream ─► Upload ─► admission ─► order ─► commit
//!              └── batches, as they are sent on ──┐ │ their answers
//!                                                 ▼ ▼
//!                                               Results ─► stream
//! ```
//!
//! A record that comes alone costs one wake on its way in and one on its way out: `Upload` does not wait until a batch is
//! checked before it waits for the next, and `Results` takes the answers from whoever made them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, Streaming};

use super::{STREAM_IDLE, errors};
use crate::admit::{Admissions, Admitted, Decoded, Rejected};
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire::submit_stream_response::Result as StreamResult;
use crate::core::wire::{SubmitStreamRequest, SubmitStreamResponse};
use crate::node::{Entered, Node, lost};
use crate::sequence::{Answer, Answers};

/// Records of one stream that are checked in one go.
const STREAM_BATCH: usize = 128;
/// Batches of one stream that may wait for their answers, beside those whose answers are being read; then the stream is
/// read no further.
const STREAM_WINDOW: usize = 3;

/// Both halves of a stream.
pub(super) fn open(node: &Arc<Node>) -> (Upload, Results) {
    let (given_on, taken) = mpsc::channel(STREAM_WINDOW);
    let (returned, back) = mpsc::channel(1);
    let answered = Arc::new(Answered::default());
    let upload = Upload {
        node: Arc::clone(node),
        given_on,
        sent: 0,
        answered: Arc::clone(&answered),
        last: None,
        returned,
        back,
    };
    let results = Results {
        given_on: taken,
        waiting: None,
        slots: Vec::new().into_iter(),
        answers: Vec::new().into_iter(),
        sequence: 0,
        answered,
        ended: false,
    };
    (upload, results)
}

/// What the reading half gives on to the answering one.
enum GivenOn {
    /// Of each record of a batch, whether it was sent on; the answers are for those that were.
    Batch(Vec<Slot>, Option<Answers>),
    /// Nothing more comes: the end of the stream, or what ends it.
    End(Option<Status>),
}

/// A place for the answer to a record.
enum Slot {
    Answered,
    Refused(Box<Refusal>),
}

/// How many records of a stream are answered.
#[derive(Default)]
struct Answered {
    count: AtomicU64,
    more: Notify,
}

impl Answered {
    fn add(&self, records: u64) {
        self.count.fetch_add(records, Ordering::Release);
        self.more.notify_waiters();
    }

    /// Waits until so many are.
    async fn reaches(&self, records: u64) {
        loop {
            let more = self.more.notified();
            let mut more = std::pin::pin!(more);
            more.as_mut().enable(); // Before the look, so that nothing is missed after it.
            if self.count.load(Ordering::Acquire) >= records {
                return;
            }
            more.await;
        }
    }
}

/// A batch that is not in the order, since some of it was not admitted.
struct Returned {
    admissions: Admissions,
    places: OwnedSemaphorePermit,
    reply: oneshot::Sender<Vec<Answer>>,
    /// Records of the stream before it.
    before: u64,
}

/// The reading half.
pub(super) struct Upload {
    node: Arc<Node>,
    given_on: mpsc::Sender<GivenOn>,
    /// Records that were given on.
    sent: u64,
    answered: Arc<Answered>,
    /// Tells of the last batch whether it was returned; else it is in the order.
    last: Option<oneshot::Receiver<bool>>,
    returned: mpsc::Sender<Returned>,
    back: mpsc::Receiver<Returned>,
}

impl Upload {
    /// Reads a stream in batches of what has come, and sends them on in the order of the stream. It reads on only while
    /// answers find room: that is the backpressure.
    pub(super) async fn read(mut self, mut stream: Streaming<SubmitStreamRequest>) {
        let mut idle = std::pin::pin!(sleep(STREAM_IDLE));
        let end = loop {
            let next = tokio::select! {
                biased;
                Some(returned) = self.back.recv() => {
                    self.sort_out(returned).await;
                    continue;
                }
                next = stream.next() => next,
                () = idle.as_mut() => {
                    break Some(Status::deadline_exceeded(
                        "nothing came on the stream for five minutes; open a new one",
                    ));
                }
            };
            let first = match next {
                Some(Ok(first)) => first,
                Some(Err(status)) => break Some(status),
                None => break None,
            };
            let mut batch = vec![Decoded::from_wire(first.envelope)];
            let ended = gather(&mut stream, &mut batch).await;
            if !self.submit(batch).await {
                return;
            }
            match ended {
                Some(Ok(())) => break None,
                Some(Err(status)) => break Some(status),
                None => {}
            }
            idle.as_mut().reset(Instant::now() + STREAM_IDLE);
        };
        self.settle().await;
        if self.give_on(GivenOn::End(end)).await {
            // The stream keeps its place until it is read to its end, or whoever should read it is gone.
            let _ = timeout(STREAM_IDLE, self.given_on.closed()).await;
        }
    }

    /// False when nobody wants the answers any more.
    async fn submit(&mut self, batch: Vec<Result<Decoded, Refusal>>) -> bool {
        // The batch before it has to be in the order, or another thread might overtake it.
        self.settle().await;
        let before = self.sent;
        self.sent += batch.len() as u64;
        let mut slots = Vec::with_capacity(batch.len());
        let mut decoded = Vec::with_capacity(batch.len());
        for result in batch {
            slots.push(match result {
                Ok(record) => {
                    decoded.push(record);
                    Slot::Answered
                }
                Err(refusal) => Slot::Refused(Box::new(refusal)),
            });
        }
        if decoded.is_empty() {
            return self.give_on(GivenOn::Batch(slots, None)).await;
        }
        let places = match self.node.places(decoded.len()).await {
            Ok(places) => places,
            Err(refusal) => return self.refuse(slots, &refusal).await,
        };
        let (reply, answers) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let returned = self.returned.clone();
        let entered = self.node.enter(decoded, places, reply, move |entered| {
            let is_returned = match entered {
                Entered::InOrder => false,
                // There is room: one batch of a stream is on this way at a time. A stream that is gone doesn't care.
                Entered::Not {
                    admissions,
                    places,
                    reply,
                } => {
                    let batch = Returned {
                        admissions,
                        places,
                        reply,
                        before,
                    };
                    returned.try_send(batch).is_ok()
                }
            };
            let _ = tell.send(is_returned);
        });
        match entered {
            Ok(()) => {
                self.last = Some(told);
                self.give_on(GivenOn::Batch(slots, Some(answers))).await
            }
            Err(refusal) => self.refuse(slots, &refusal).await,
        }
    }

    /// Refuses all of a batch that was not refused before.
    async fn refuse(&self, mut slots: Vec<Slot>, refusal: &Refusal) -> bool {
        for slot in &mut slots {
            if matches!(slot, Slot::Answered) {
                *slot = Slot::Refused(Box::new(refusal.clone()));
            }
        }
        self.give_on(GivenOn::Batch(slots, None)).await
    }

    /// False when nobody takes it: whoever should read the answers is gone, or hasn't for too long.
    async fn give_on(&self, given: GivenOn) -> bool {
        match self.given_on.try_send(given) {
            Ok(()) => true,
            Err(TrySendError::Full(given)) => {
                let sent = self.given_on.send_timeout(given, STREAM_IDLE).await;
                sent.is_ok()
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Waits until the last batch is in the order, as far as it gets there.
    async fn settle(&mut self) {
        let Some(last) = self.last.take() else {
            return;
        };
        if let Ok(true) = last.await
            && let Some(returned) = self.back.recv().await
        {
            self.sort_out(returned).await;
        }
    }

    /// Puts what was admitted of a batch into the order, and answers all of it.
    async fn sort_out(&mut self, returned: Returned) {
        self.last = None;
        let Returned {
            admissions,
            mut places,
            reply,
            before,
        } = returned;
        let mut parts = Vec::new();
        let mut run = Vec::new();
        for (at, admission) in admissions.into_iter().enumerate() {
            let rejected = match admission {
                Ok(admitted) => {
                    run.push(admitted);
                    continue;
                }
                Err(rejected) => rejected,
            };
            self.enqueue(&mut parts, &mut run, &mut places);
            let first = before == 0 && at == 0;
            if rejected.refusal.reason != Reason::UnknownKey || first {
                parts.push(Part::Answered(vec![Err(rejected.refusal)]));
                continue;
            }
            // A record before it in the same stream may register its key: that one has to be committed first.
            parts = vec![Part::Answered(answers_of(parts).await)];
            tokio::select! {
                () = self.answered.reaches(before) => {}
                () = self.given_on.closed() => return,
                () = sleep(STREAM_IDLE) => {}
            }
            match self.admit_again(*rejected).await {
                Ok(admitted) => run.push(admitted),
                Err(refusal) => parts.push(Part::Answered(vec![Err(refusal)])),
            }
        }
        self.enqueue(&mut parts, &mut run, &mut places);
        // The stream is read on meanwhile.
        tokio::spawn(async move {
            let _ = reply.send(answers_of(parts).await);
        });
    }

    /// Puts admitted records into the order.
    fn enqueue(
        &self,
        parts: &mut Vec<Part>,
        run: &mut Vec<Admitted>,
        places: &mut OwnedSemaphorePermit,
    ) {
        let (count, run) = (run.len(), std::mem::take(run));
        if count == 0 {
            return;
        }
        // There is a place for each of the batch.
        let taken = places.split(count).ok_or_else(lost);
        parts.push(
            match taken.and_then(|taken| self.node.enqueue(run, taken)) {
                Ok(answers) => Part::InOrder(count, answers),
                Err(refusal) => Part::Answered(vec![Err(refusal); count]),
            },
        );
    }

    async fn admit_again(&self, rejected: Rejected) -> Result<Admitted, Refusal> {
        let decoded = Decoded::from_envelope(rejected.envelope)?;
        match self.node.admit(vec![decoded]).await.pop() {
            Some(admission) => admission.map_err(|again| again.refusal),
            None => Err(rejected.refusal),
        }
    }
}

/// The answers to some records of a batch that was not put into the order as one.
enum Part {
    InOrder(usize, Answers),
    Answered(Vec<Answer>),
}

async fn answers_of(parts: Vec<Part>) -> Vec<Answer> {
    let mut all = Vec::new();
    for part in parts {
        match part {
            Part::InOrder(count, answers) => {
                let mut answers = answers.await.unwrap_or_default();
                answers.resize_with(count, || Err(lost()));
                all.append(&mut answers);
            }
            Part::Answered(mut answers) => all.append(&mut answers),
        }
    }
    all
}

/// Takes what has arrived on a stream already, without waiting for more. Says so if it ended.
async fn gather(
    stream: &mut Streaming<SubmitStreamRequest>,
    batch: &mut Vec<Result<Decoded, Refusal>>,
) -> Option<Result<(), Status>> {
    while batch.len() < STREAM_BATCH {
        let next = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_next(cx)));
        match next.await {
            Poll::Ready(Some(Ok(next))) => batch.push(Decoded::from_wire(next.envelope)),
            Poll::Ready(Some(Err(status))) => return Some(Err(status)),
            Poll::Ready(None) => return Some(Ok(())),
            Poll::Pending => return None,
        }
    }
    None
}

/// The answering half: the results, one by one, in the order of the stream.
pub(super) struct Results {
    given_on: mpsc::Receiver<GivenOn>,
    /// The batch whose answers are to come.
    waiting: Option<(Vec<Slot>, Answers)>,
    slots: std::vec::IntoIter<Slot>,
    answers: std::vec::IntoIter<Answer>,
    sequence: u64,
    answered: Arc<Answered>,
    ended: bool,
}

impl Results {
    fn next_at_hand(&mut self) -> Option<SubmitStreamResponse> {
        let answer = match self.slots.next()? {
            Slot::Answered => self.answers.next().unwrap_or_else(|| Err(lost())),
            Slot::Refused(refusal) => Err(*refusal),
        };
        let sequence = self.sequence;
        self.sequence += 1;
        Some(SubmitStreamResponse {
            sequence,
            result: Some(match answer {
                Ok(receipt) => StreamResult::Receipt(receipt.into()),
                Err(refusal) => StreamResult::Refusal(errors::to_wire(&refusal)),
            }),
        })
    }

    fn have(&mut self, slots: Vec<Slot>, answers: Vec<Answer>) {
        self.answered.add(slots.len() as u64);
        self.slots = slots.into_iter();
        self.answers = answers.into_iter();
    }
}

impl Stream for Results {
    type Item = Result<SubmitStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(result) = self.next_at_hand() {
                return Poll::Ready(Some(Ok(result)));
            }
            if let Some((slots, mut answers)) = self.waiting.take() {
                let Poll::Ready(answers) = Pin::new(&mut answers).poll(cx) else {
                    self.waiting = Some((slots, answers));
                    return Poll::Pending;
                };
                self.have(slots, answers.unwrap_or_default());
                continue;
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.given_on.poll_recv(cx)) {
                Some(GivenOn::Batch(slots, Some(answers))) => self.waiting = Some((slots, answers)),
                Some(GivenOn::Batch(slots, None)) => self.have(slots, Vec::new()),
                Some(GivenOn::End(status)) => {
                    self.ended = true;
                    self.given_on.close(); // It tells the other half that all is read.
                    return Poll::Ready(status.map(Err));
                }
                None => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(Status::deadline_exceeded(
                        "answers were not read for five minutes, or none came; open a new stream, and send again what \
                         was not answered",
                    ))));
                }
            }
        }
    }
}
