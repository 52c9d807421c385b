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
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, Streaming};

use super::{STREAM_IDLE, errors};
use crate::admit::{Admissions, Admitted, Decoded, Pace, Rejected};
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire::submit_stream_response::Result as StreamResult;
use crate::core::wire::{SubmitStreamRequest, SubmitStreamResponse};
use crate::node::{Entered, Node, lost};
use crate::sequence::{Answer, Answers, Progress, Reply};

/// Records of one stream that are checked in one go.
const STREAM_BATCH: usize = 128;
/// Places that they take, likewise: once they need so many, the stream is read no further for the moment.
const STREAM_BATCH_PLACES: usize = 256;
/// Batches of one stream that may wait for their answers, beside those whose answers are being read; then the stream is
/// read no further.
const STREAM_WINDOW: usize = 3;

/// Both halves of a stream.
pub(super) fn open(node: &Arc<Node>) -> (Upload, Results) {
    let (given_on, taken) = mpsc::channel(STREAM_WINDOW);
    let (returned, back) = mpsc::channel(1);
    let upload = Upload {
        node: Arc::clone(node),
        given_on,
        sent: 0,
        progress: Arc::default(),
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

/// A batch that is not in the order, since some of it was not admitted.
struct Returned {
    admissions: Admissions,
    pace: Pace,
    reply: Reply,
    /// Batches that were sent on before it.
    before: u64,
}

/// The reading half.
pub(super) struct Upload {
    node: Arc<Node>,
    given_on: mpsc::Sender<GivenOn>,
    /// Batches that were sent on.
    sent: u64,
    /// How many of them are answered, or lost.
    progress: Arc<Progress>,
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
                    if !self.sort_out(returned).await {
                        return;
                    }
                    idle.as_mut().reset(Instant::now() + STREAM_IDLE);
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
            let (pace, ended) = gather(&mut stream, &mut batch).await;
            if !self.submit(batch, pace).await {
                return;
            }
            match ended {
                Some(Ok(())) => break None,
                Some(Err(status)) => break Some(status),
                None => {}
            }
            idle.as_mut().reset(Instant::now() + STREAM_IDLE);
        };
        if self.settle().await
            && let Some(slot) = self.slot().await
        {
            slot.send(GivenOn::End(end));
        }
    }

    /// False when nobody wants the answers any more.
    async fn submit(&mut self, batch: Vec<Result<Decoded, Refusal>>, pace: Pace) -> bool {
        // The batch before it has to be in the order, or another thread might overtake it.
        if !self.settle().await {
            return false;
        }
        // Before anything is taken for it: who doesn't read keeps nobody else out.
        let Some(slot) = self.slot().await else {
            return false;
        };
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
            slot.send(GivenOn::Batch(slots, None));
            return true;
        }
        let places = tokio::select! {
            biased;
            places = self.node.places(decoded.iter().map(Decoded::places).sum(), pace) => places,
            () = self.given_on.closed() => return false,
        };
        let places = match places {
            Ok(places) => places,
            Err(refusal) => {
                slot.send(refused(slots, &refusal));
                return true;
            }
        };
        let (reply, answers) = Reply::counted(Some(Arc::clone(&self.progress)));
        let before = self.sent;
        self.sent += 1;
        let (tell, told) = oneshot::channel();
        let returned = self.returned.clone();
        let entered = self
            .node
            .enter(decoded, (places, pace), reply, move |entered| {
                let is_returned = match entered {
                    Entered::InOrder => false,
                    // There is room: one batch of a stream is on this way at a time. A stream that is gone doesn't care.
                    Entered::Not { admissions, reply } => {
                        let batch = Returned {
                            admissions,
                            pace,
                            reply,
                            before,
                        };
                        returned.try_send(batch).is_ok()
                    }
                };
                let _ = tell.send(is_returned);
            });
        slot.send(match entered {
            Ok(()) => {
                self.last = Some(told);
                GivenOn::Batch(slots, Some(answers))
            }
            Err(refusal) => refused(slots, &refusal),
        });
        true
    }

    /// Room for one more batch; none when whoever should read the answers is gone, or hasn't for too long.
    async fn slot(&self) -> Option<mpsc::OwnedPermit<GivenOn>> {
        match self.given_on.clone().try_reserve_owned() {
            Ok(slot) => Some(slot),
            Err(TrySendError::Full(given_on)) => {
                let slot = timeout(STREAM_IDLE, given_on.reserve_owned()).await;
                slot.ok()?.ok()
            }
            Err(TrySendError::Closed(_)) => None,
        }
    }

    /// Waits until the last batch is in the order, as far as it gets there. False when nobody wants the answers any more.
    async fn settle(&mut self) -> bool {
        let Some(last) = self.last.take() else {
            return true;
        };
        if let Ok(true) = last.await
            && let Some(returned) = self.back.recv().await
        {
            return self.sort_out(returned).await;
        }
        true
    }

    /// Puts what was admitted of a batch into the order, and has all of it answered. False when nobody wants the answers
    /// any more, or what was before it is not committed for too long.
    async fn sort_out(&mut self, returned: Returned) -> bool {
        self.last = None;
        tokio::select! {
            biased;
            () = self.enter_in_parts(returned) => true,
            () = self.given_on.closed() => false,
            () = sleep(STREAM_IDLE) => false,
        }
    }

    async fn enter_in_parts(&self, returned: Returned) {
        let Returned {
            admissions,
            pace,
            reply,
            before,
        } = returned;
        let mut follows = before > 0;
        let mut parts = Vec::new();
        let mut run = Vec::new();
        for admission in admissions {
            let rejected = match admission {
                Ok(admitted) => {
                    run.push(admitted);
                    follows = true;
                    continue;
                }
                Err(rejected) => rejected,
            };
            self.enqueue(&mut parts, &mut run, pace).await;
            if rejected.refusal.reason != Reason::UnknownKey || !follows {
                parts.push(Part::Answered(vec![Err(rejected.refusal)]));
                continue;
            }
            // A record before it in the same stream may register its key: that one has to be committed first.
            parts = vec![Part::Answered(answers_of(parts).await)];
            self.progress.reaches(before).await;
            match self.admit_again(*rejected).await {
                Ok(admitted) => run.push(admitted),
                Err(refusal) => parts.push(Part::Answered(vec![Err(refusal)])),
            }
        }
        self.enqueue(&mut parts, &mut run, pace).await;
        // The stream is read on meanwhile.
        tokio::spawn(async move { reply.send(answers_of(parts).await) });
    }

    /// Puts admitted records into the order, in places of their own: none is kept while something is waited for.
    async fn enqueue(&self, parts: &mut Vec<Part>, run: &mut Vec<Admitted>, pace: Pace) {
        let (count, run) = (run.len(), std::mem::take(run));
        if count == 0 {
            return;
        }
        let places = run.iter().map(Admitted::places).sum();
        let places = self.node.places(places, pace).await;
        let entered = places.and_then(|places| self.node.enqueue(run, places));
        parts.push(match entered {
            Ok(answers) => Part::InOrder(count, answers),
            Err(refusal) => Part::Answered(vec![Err(refusal); count]),
        });
    }

    async fn admit_again(&self, rejected: Rejected) -> Result<Admitted, Refusal> {
        let decoded = Decoded::from_envelope(rejected.envelope)?;
        match self.node.admit(vec![decoded]).await.pop() {
            Some(admission) => admission.map_err(|again| again.refusal),
            None => Err(rejected.refusal),
        }
    }
}

/// A batch of which nothing gets into the order; what was refused before keeps its reason.
fn refused(mut slots: Vec<Slot>, refusal: &Refusal) -> GivenOn {
    for slot in &mut slots {
        if matches!(slot, Slot::Answered) {
            *slot = Slot::Refused(Box::new(refusal.clone()));
        }
    }
    GivenOn::Batch(slots, None)
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

/// Takes what has arrived on a stream already, without waiting for more. Says whether more is there, and if it ended.
async fn gather(
    stream: &mut Streaming<SubmitStreamRequest>,
    batch: &mut Vec<Result<Decoded, Refusal>>,
) -> (Pace, Option<Result<(), Status>>) {
    let needs = |record: &Result<Decoded, Refusal>| record.as_ref().map_or(0, Decoded::places);
    let mut places: usize = batch.iter().map(needs).sum();
    while batch.len() < STREAM_BATCH && places < STREAM_BATCH_PLACES {
        let next = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_next(cx)));
        match next.await {
            Poll::Ready(Some(Ok(next))) => {
                let record = Decoded::from_wire(next.envelope);
                places += needs(&record);
                batch.push(record);
            }
            Poll::Ready(Some(Err(status))) => return (Pace::Live, Some(Err(status))),
            Poll::Ready(None) => return (Pace::Live, Some(Ok(()))),
            Poll::Pending => return (Pace::Live, None),
        }
    }
    (Pace::Backlog, None)
}

/// The answering half: the results, one by one, in the order of the stream.
pub(super) struct Results {
    given_on: mpsc::Receiver<GivenOn>,
    /// Answers of the batch at hand that are still to come.
    waiting: Option<Answers>,
    slots: std::vec::IntoIter<Slot>,
    answers: std::vec::IntoIter<Answer>,
    sequence: u64,
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
}

impl Stream for Results {
    type Item = Result<SubmitStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(answers) = &mut self.waiting {
                let answers = ready!(Pin::new(answers).poll(cx)).unwrap_or_default();
                self.answers = answers.into_iter();
                self.waiting = None;
            }
            if let Some(result) = self.next_at_hand() {
                return Poll::Ready(Some(Ok(result)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.given_on.poll_recv(cx)) {
                Some(GivenOn::Batch(slots, answers)) => {
                    self.slots = slots.into_iter();
                    self.waiting = answers;
                }
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
