//! `LedgerService`: submission.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{STREAM_IDLE, errors, read};
use crate::admit::{Admitted, Decoded, Rejected};
use crate::core::apply::around_of;
use crate::core::apply::state::{Read, Units};
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire::ledger_service_server::LedgerService;
use crate::core::wire::submit_stream_response::Result as StreamResult;
use crate::core::wire::{
    GetHeadsRequest, GetHeadsResponse, SubmitRequest, SubmitResponse, SubmitStreamRequest,
    SubmitStreamResponse, UnitHead, UnitRef,
};
use crate::node::{Entered, Node, lost};
use crate::sequence::{Answer, Answers};

/// Records of one stream that are checked in one go.
const STREAM_BATCH: usize = 128;
/// Batches of one stream that may wait for their answers, and whose answers may wait to be read;
/// then the stream is read no further.
const STREAM_WINDOW: usize = 2;

pub(super) struct Ledger {
    node: Arc<Node>,
}

impl Ledger {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl LedgerService for Ledger {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let decoded = Decoded::from_wire(request.into_inner().envelope);
        let answer = match decoded {
            Ok(decoded) => self.node.submit(decoded).await,
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(receipt) => Ok(Response::new(SubmitResponse {
                receipt: Some(receipt),
            })),
            Err(refusal) => Err(errors::status(&refusal)),
        }
    }

    type SubmitStreamStream =
        Pin<Box<dyn Stream<Item = Result<SubmitStreamResponse, Status>> + Send>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let place = super::stream_place(&self.node)?;
        let (pending, answers) = mpsc::channel(STREAM_WINDOW);
        let (out, results) = mpsc::channel(STREAM_WINDOW);
        let (answered, progress) = watch::channel(0);
        let upload = Upload {
            node: Arc::clone(&self.node),
            pending,
            sent: 0,
            answered: progress,
        };
        tokio::spawn(upload.read(request.into_inner()));
        tokio::spawn(async move {
            write_results(answers, answered, out).await;
            drop(place);
        });
        let results = Results {
            batches: results,
            at_hand: Vec::new().into_iter(),
        };
        Ok(Response::new(Box::pin(results)))
    }

    async fn get_heads(
        &self,
        request: Request<GetHeadsRequest>,
    ) -> Result<Response<GetHeadsResponse>, Status> {
        let units = read::units(&request.into_inner().units)?;
        let view = self.node.store().view();
        view.prefetch::<Units>(&units).map_err(errors::store)?;
        let mut heads = Vec::with_capacity(units.len());
        for id in units {
            let unit = view
                .get::<Units>(&id)
                .map_err(errors::store)?
                .unwrap_or_default();
            let around = around_of(&view, &unit).map_err(errors::store)?;
            let prev = |head: Option<crate::core::envelope::RecordId>| {
                head.map(|head| head.0.to_vec()).unwrap_or_default()
            };
            heads.push(UnitHead {
                unit: id.to_string(),
                head: prev(unit.head),
                length: unit.length,
                containers: around
                    .iter()
                    .map(|(id, unit)| UnitRef {
                        id: id.to_string(),
                        prev: prev(unit.head),
                    })
                    .collect(),
            });
        }
        Ok(Response::new(GetHeadsResponse { heads }))
    }
}

/// What is under way for records of a stream that follow each other.
enum Pending {
    /// A slot for each; the answers are for those that are in the order.
    Batch(Vec<Slot>, Option<Answers>),
    Failed(Status),
}

enum Slot {
    InOrder,
    Refused(Box<Refusal>),
}

impl From<Result<(), Refusal>> for Slot {
    fn from(result: Result<(), Refusal>) -> Self {
        match result {
            Ok(()) => Self::InOrder,
            Err(refusal) => Self::Refused(Box::new(refusal)),
        }
    }
}

/// Of what is in the order, and of what was refused.
fn slots_of(results: impl IntoIterator<Item = Result<(), Refusal>>) -> Vec<Slot> {
    results.into_iter().map(Slot::from).collect()
}

/// The reading half of a submission stream.
struct Upload {
    node: Arc<Node>,
    pending: mpsc::Sender<Pending>,
    /// Records that were given on.
    sent: u64,
    /// How many of them were answered.
    answered: watch::Receiver<u64>,
}

impl Upload {
    /// Reads a stream in batches of what has come, checks them, and puts them into the order in the
    /// order of the stream. It reads on only while answers find room: that is the backpressure.
    async fn read(mut self, mut stream: Streaming<SubmitStreamRequest>) {
        let end = loop {
            let first = match tokio::time::timeout(STREAM_IDLE, stream.next()).await {
                Ok(Some(Ok(first))) => first,
                Ok(Some(Err(status))) => break Some(status),
                Ok(None) => break None,
                Err(_) => {
                    break Some(Status::deadline_exceeded(
                        "nothing came on the stream for five minutes; open a new one",
                    ));
                }
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
        };
        if let Some(status) = end {
            let _ = self.pending.send(Pending::Failed(status)).await;
        }
    }

    /// False when nobody wants the answers any more.
    async fn submit(&mut self, batch: Vec<Result<Decoded, Refusal>>) -> bool {
        let places = match self.node.places(batch.len()).await {
            Ok(places) => places,
            Err(refusal) => {
                let refused = batch.iter().map(|_| Err(refusal.clone()));
                return self.give_on(slots_of(refused), None).await;
            }
        };
        let mut forms = Vec::with_capacity(batch.len());
        let mut decoded = Vec::with_capacity(batch.len());
        for result in batch {
            forms.push(result.map(|record| decoded.push(record)));
        }
        if decoded.is_empty() {
            return self.give_on(slots_of(forms), None).await;
        }
        let (admissions, mut places) = match self.node.enter(decoded, places).await {
            Ok(Entered::InOrder(answers)) => {
                return self.give_on(slots_of(forms), Some(answers)).await;
            }
            Ok(Entered::Not(admissions, places)) => (admissions, places),
            Err(refusal) => {
                let refused = forms.into_iter().map(|form| form.and(Err(refusal.clone())));
                return self.give_on(slots_of(refused), None).await;
            }
        };
        let mut admissions = admissions.into_iter();
        let mut slots = Vec::with_capacity(forms.len());
        let mut admitted = Vec::with_capacity(forms.len());
        for form in forms {
            let admission = match form {
                Err(refusal) => Err(refusal),
                Ok(()) => match admissions.next() {
                    Some(Ok(admitted)) => Ok(admitted),
                    Some(Err(rejected)) => {
                        let first = self.sent == 0 && slots.is_empty();
                        if rejected.refusal.reason == Reason::UnknownKey && !first {
                            // A record before it in the same stream may register its key: that one
                            // has to be committed first.
                            let before = std::mem::take(&mut slots);
                            let admitted = std::mem::take(&mut admitted);
                            let taken = places.split(admitted.len());
                            if !self.enqueue(before, admitted, taken).await
                                || !self.all_answered().await
                            {
                                return false;
                            }
                            self.admit_again(*rejected).await
                        } else {
                            Err(rejected.refusal)
                        }
                    }
                    None => Err(crate::admit::shutting_down()),
                },
            };
            slots.push(admission.map(|record| admitted.push(record)).into());
        }
        self.enqueue(slots, admitted, Some(places)).await
    }

    async fn enqueue(
        &mut self,
        mut slots: Vec<Slot>,
        admitted: Vec<Admitted>,
        places: Option<OwnedSemaphorePermit>,
    ) -> bool {
        let answers = match places {
            Some(places) if !admitted.is_empty() => match self.node.enqueue(admitted, places) {
                Ok(answers) => Some(answers),
                Err(refusal) => {
                    for slot in &mut slots {
                        if matches!(slot, Slot::InOrder) {
                            *slot = Slot::Refused(Box::new(refusal.clone()));
                        }
                    }
                    None
                }
            },
            _ => None,
        };
        self.give_on(slots, answers).await
    }

    async fn give_on(&mut self, slots: Vec<Slot>, answers: Option<Answers>) -> bool {
        self.sent += slots.len() as u64;
        let batch = Pending::Batch(slots, answers);
        self.pending.send(batch).await.is_ok()
    }

    async fn all_answered(&mut self) -> bool {
        let sent = self.sent;
        let answered = self.answered.wait_for(|answered| *answered >= sent);
        answered.await.is_ok()
    }

    async fn admit_again(&self, rejected: Rejected) -> Result<Admitted, Refusal> {
        let decoded = Decoded::from_envelope(rejected.envelope)?;
        match self.node.admit(vec![decoded]).await.pop() {
            Some(admission) => admission.map_err(|again| again.refusal),
            None => Err(rejected.refusal),
        }
    }
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

/// A batch of results, or what ends the stream.
type Batch = Result<Vec<SubmitStreamResponse>, Status>;

/// Makes the results in the order of the stream.
async fn write_results(
    mut pending: mpsc::Receiver<Pending>,
    answered: watch::Sender<u64>,
    out: mpsc::Sender<Batch>,
) {
    let mut sequence = 0;
    while let Some(next) = pending.recv().await {
        let (slots, answers) = match next {
            Pending::Batch(slots, answers) => (slots, answers),
            Pending::Failed(status) => {
                let _ = out.send(Err(status)).await;
                return;
            }
        };
        let answers: Vec<Answer> = match answers {
            Some(answers) => answers.await.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut answers = answers.into_iter();
        let mut results = Vec::with_capacity(slots.len());
        for slot in slots {
            let answer = match slot {
                Slot::InOrder => answers.next().unwrap_or_else(|| Err(lost())),
                Slot::Refused(refusal) => Err(*refusal),
            };
            let result = match answer {
                Ok(receipt) => StreamResult::Receipt(receipt),
                Err(refusal) => StreamResult::Refusal(errors::to_wire(&refusal)),
            };
            results.push(SubmitStreamResponse {
                sequence,
                result: Some(result),
            });
            sequence += 1;
        }
        answered.send_replace(sequence);
        // Who doesn't read for so long is gone.
        if out.send_timeout(Ok(results), STREAM_IDLE).await.is_err() {
            return;
        }
    }
}

/// The results one by one.
struct Results {
    batches: mpsc::Receiver<Batch>,
    at_hand: std::vec::IntoIter<SubmitStreamResponse>,
}

impl Stream for Results {
    type Item = Result<SubmitStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(result) = self.at_hand.next() {
                return Poll::Ready(Some(Ok(result)));
            }
            match std::task::ready!(self.batches.poll_recv(cx)) {
                Some(Ok(batch)) => self.at_hand = batch.into_iter(),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}
