//! Submitting through an outbox: what was signed is on disk before it is sent, and after an interruption the same
//! envelopes are sent again.

use std::sync::Arc;

use super::{ClientError, Draft, Outbox, Outcome, Session, is_rebased};
use crate::core::envelope::Envelope;
use crate::core::refusal::Reason;
use crate::core::signature::Signer;
use crate::core::wire;

/// Records that are signed and sent together.
const BATCH: usize = 512;

/// A record to be, and what the outbox knows it by.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its place among the others.
    pub line: usize,
    /// What it was made of: the outbox doesn't take another for it.
    pub text: String,
    /// As in [`Draft`].
    pub record: wire::Record,
}

/// Signs and submits records in order, each by its place. One that waits in the outbox is sent as it is: it may be in
/// the log already, and the very same envelope says so; only if it came too late is it signed again.
///
/// # Errors
/// As [`Session::submit`], and when the outbox can't be written.
pub async fn submit_through(
    session: &mut Session,
    outbox: &mut Outbox,
    signer: &Arc<Signer>,
    planned: Vec<Planned>,
) -> Result<Vec<(usize, Outcome)>, ClientError> {
    let mut answered = Vec::new();
    let mut rest = planned.into_iter().peekable();
    while rest.peek().is_some() {
        let mut fresh: Vec<(usize, String)> = Vec::new();
        let mut drafts = Vec::new();
        for one in rest.by_ref().take(BATCH) {
            let record = match outbox.waiting(one.line, &one.text).cloned() {
                None => one.record,
                Some(envelope) => {
                    let outcome = session.send(std::slice::from_ref(&envelope)).await?.pop();
                    match outcome {
                        Some(Err(refusal))
                            if is_rebased(&refusal.reason)
                                || (!fresh.is_empty() && waits(&refusal)) =>
                        {
                            statement(&envelope)?
                        }
                        Some(outcome) => {
                            answered.push((one.line, outcome));
                            continue;
                        }
                        None => return Err(ClientError::Unanswered(1)),
                    }
                }
            };
            fresh.push((one.line, one.text));
            drafts.push(Draft {
                record,
                signer: Arc::clone(signer),
                advances: true,
            });
        }
        let mut signed = |i: usize, envelope: &Envelope| {
            let Some((line, text)) = fresh.get(i) else {
                return Ok(());
            };
            outbox
                .sign(*line, text, envelope)
                .and_then(|()| outbox.sync())
                .map_err(|error| ClientError::Draft(error.to_string()))
        };
        let outcomes = session.submit_observed(drafts, &mut signed).await?;
        answered.extend(fresh.iter().map(|(line, _)| *line).zip(outcomes));
    }
    Ok(answered)
}

/// What comes before it is about to be signed again, and so it is as well.
fn waits(refusal: &wire::Refusal) -> bool {
    refusal.reason == Reason::PrevUnknown.name()
}

/// What was signed, to be signed again with new heads: nonce and time stay, so that it is the same
/// statement, and nobody can take it for double-dealing.
fn statement(envelope: &Envelope) -> Result<wire::Record, ClientError> {
    prost::Message::decode(envelope.payload.clone())
        .map_err(|error: prost::DecodeError| ClientError::Draft(format!("the outbox: {error}")))
}
