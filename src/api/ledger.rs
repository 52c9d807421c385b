//! `LedgerService`: submission.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{STREAM_IDLE, errors};
use crate::admit::Decoded;
use crate::core::apply::around_of;
use crate::core::apply::state::{Read, Units};
use crate::core::id::UnitId;
use crate::core::record::MAX_UNITS;
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire::ledger_service_server::LedgerService;
use crate::core::wire::submit_stream_response::Result as StreamResult;
use crate::core::wire::{
    GetHeadsRequest, GetHeadsResponse, SubmitRequest, SubmitResponse, SubmitStreamRequest,
    SubmitStreamResponse, UnitHead, UnitRef,
};
use crate::node::{Node, lost};
use crate::sequence::Answer;

/// Records of one stream that are checked in one go.
const STREAM_BATCH: usize = 128;
/// Answers of one stream that may be under way; then the stream is read no further.
const STREAM_WINDOW: usize = 256;

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
        let decoded = Decoded::from_wire(request.get_ref().envelope.as_ref());
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
        let progress = Progress {
            sent: 0,
            answered: progress,
        };
        tokio::spawn(read_stream(
            Arc::clone(&self.node),
            request.into_inner(),
            pending,
            progress,
        ));
        tokio::spawn(async move {
            write_results(answers, answered, out).await;
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(results))))
    }

    async fn get_heads(
        &self,
        request: Request<GetHeadsRequest>,
    ) -> Result<Response<GetHeadsResponse>, Status> {
        let units = request.into_inner().units;
        if !(1..=MAX_UNITS).contains(&units.len()) {
            return Err(errors::invalid("units", format!("1 to {MAX_UNITS} units")));
        }
        let view = self.node.store().view();
        let mut heads = Vec::with_capacity(units.len());
        for (i, text) in units.iter().enumerate() {
            let id = UnitId::parse_any(text)
                .map_err(|error| errors::invalid(&format!("units[{i}]"), error.to_string()))?;
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

/// What is under way for one record of a stream.
enum Pending {
    Answer(oneshot::Receiver<Answer>),
    Refused(Box<Refusal>),
    Failed(Status),
}

/// Reads a stream in batches of what has come, checks them, and puts them into the order in the
/// order of the stream. It reads on only while answers find room: that is the backpressure.
async fn read_stream(
    node: Arc<Node>,
    mut stream: Streaming<SubmitStreamRequest>,
    pending: mpsc::Sender<Pending>,
    mut progress: Progress,
) {
    loop {
        let first = match tokio::time::timeout(STREAM_IDLE, stream.next()).await {
            Ok(Some(Ok(first))) => first,
            Ok(Some(Err(status))) => {
                let _ = pending.send(Pending::Failed(status)).await;
                return;
            }
            Ok(None) => return,
            Err(_) => {
                let message = "nothing came on the stream for five minutes; open a new one";
                let _ = pending
                    .send(Pending::Failed(Status::deadline_exceeded(message)))
                    .await;
                return;
            }
        };
        let mut batch = vec![Decoded::from_wire(first.envelope.as_ref())];
        let mut ended = None;
        while batch.len() < STREAM_BATCH {
            // What has arrived already, and no waiting for more.
            match std::future::poll_fn(|cx| {
                std::task::Poll::Ready(Pin::new(&mut stream).poll_next(cx))
            })
            .await
            {
                std::task::Poll::Ready(Some(Ok(next))) => {
                    batch.push(Decoded::from_wire(next.envelope.as_ref()));
                }
                std::task::Poll::Ready(Some(Err(status))) => {
                    ended = Some(Some(status));
                    break;
                }
                std::task::Poll::Ready(None) => {
                    ended = Some(None);
                    break;
                }
                std::task::Poll::Pending => break,
            }
        }
        if !submit_batch(&node, batch, &pending, &mut progress).await {
            return;
        }
        match ended {
            Some(Some(status)) => {
                let _ = pending.send(Pending::Failed(status)).await;
                return;
            }
            Some(None) => return,
            None => {}
        }
    }
}

/// What one stream has put into the order, and how much of it was answered.
struct Progress {
    sent: u64,
    answered: watch::Receiver<u64>,
}

/// False when nobody wants the answers any more.
async fn submit_batch(
    node: &Arc<Node>,
    batch: Vec<Result<Decoded, Refusal>>,
    pending: &mpsc::Sender<Pending>,
    progress: &mut Progress,
) -> bool {
    let mut forms = Vec::with_capacity(batch.len());
    let mut decoded = Vec::with_capacity(batch.len());
    for result in batch {
        forms.push(result.as_ref().map(Decoded::envelope).map_err(Clone::clone));
        decoded.extend(result);
    }
    let mut admissions = node.admit(decoded).await.into_iter();
    for form in forms {
        let admitted = match form {
            Err(refusal) => Err(refusal),
            Ok(envelope) => match admissions.next() {
                Some(Err(refusal)) if refusal.reason == Reason::UnknownKey && progress.sent > 0 => {
                    // A record before it in the same stream may register its key: that one has
                    // to be committed first.
                    let sent = progress.sent;
                    if progress
                        .answered
                        .wait_for(|answered| *answered >= sent)
                        .await
                        .is_err()
                    {
                        return false;
                    }
                    match Decoded::from_envelope(envelope) {
                        Ok(again) => node.admit(vec![again]).await.pop().unwrap_or(Err(refusal)),
                        Err(refusal) => Err(refusal),
                    }
                }
                Some(admission) => admission,
                None => Err(crate::admit::shutting_down()),
            },
        };
        let sent = match admitted {
            Ok(admitted) => match node.enqueue(admitted).await {
                Ok(answer) => Pending::Answer(answer),
                Err(refusal) => Pending::Refused(Box::new(refusal)),
            },
            Err(refusal) => Pending::Refused(Box::new(refusal)),
        };
        progress.sent += 1;
        if pending.send(sent).await.is_err() {
            return false;
        }
    }
    true
}

/// Sends the results in the order of the stream.
async fn write_results(
    mut answers: mpsc::Receiver<Pending>,
    answered: watch::Sender<u64>,
    out: mpsc::Sender<Result<SubmitStreamResponse, Status>>,
) {
    let mut sequence = 0;
    while let Some(pending) = answers.recv().await {
        let answer = match pending {
            Pending::Answer(answer) => answer.await.unwrap_or_else(|_| Err(lost())),
            Pending::Refused(refusal) => Err(*refusal),
            Pending::Failed(status) => {
                let _ = out.send(Err(status)).await;
                return;
            }
        };
        let result = match answer {
            Ok(receipt) => StreamResult::Receipt(receipt),
            Err(refusal) => StreamResult::Refusal(errors::to_wire(&refusal)),
        };
        answered.send_replace(sequence + 1);
        let response = SubmitStreamResponse {
            sequence,
            result: Some(result),
        };
        // Who doesn't read for so long is gone.
        if out.send_timeout(Ok(response), STREAM_IDLE).await.is_err() {
            return;
        }
        sequence += 1;
    }
}
