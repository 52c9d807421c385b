//! Submitting many records: heads from memory or from the ledger, streaming, rebasing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rand_core::TryRng as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{ClientError, Ledger};
use crate::core::apply::ranges_cover;
use crate::core::envelope::{Envelope, RecordId};
use crate::core::id::UnitId;
use crate::core::record::{FORMAT, MAX_NESTING, MAX_UNITS, NONCE_BYTES};
use crate::core::refusal::Reason;
use crate::core::signature::Signer;
use crate::core::wire;
use crate::core::wire::record::Body;
use crate::core::wire::submit_stream_response::Result as StreamResult;

/// Records that are signed and sent before their answers are awaited.
const CHUNK: usize = 512;
/// How often a record is signed again before its refusal is the answer.
const MAX_REBASES: usize = 8;
/// Units whose heads are remembered; more, and all are asked for anew.
const MAX_REMEMBERED: usize = 4_000_000;

/// A record to be: what it says, about which units, and who signs.
#[derive(Clone)]
pub struct Draft {
    /// Body, units (ids are enough), place, time; the session fills in the rest.
    pub record: wire::Record,
    /// Who signs.
    pub signer: Arc<Signer>,
    /// Whether it is meant to become the units' new head.
    pub advances: bool,
}

/// What came of one record.
pub type Outcome = Result<wire::Receipt, wire::Refusal>;

#[derive(Clone, Copy)]
struct Known {
    head: Option<RecordId>,
    container: Option<UnitId>,
}

/// A connection that submits.
pub struct Session {
    ledger: Ledger,
    origin: String,
    units: HashMap<UnitId, Known>,
    random: getrandom::SysRng,
}

impl Session {
    /// Starts on a connection.
    ///
    /// # Errors
    /// [`ClientError`] when the ledger doesn't say its origin.
    pub async fn start(ledger: Ledger) -> Result<Self, ClientError> {
        let (_, origin) = ledger.checkpoint().await?;
        Ok(Self {
            ledger,
            origin,
            units: HashMap::new(),
            random: getrandom::SysRng,
        })
    }

    /// The ledger's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The connection.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Heads of units as the ledger has them now.
    ///
    /// # Errors
    /// [`ClientError`] as the ledger answers.
    pub async fn heads(&mut self, units: &[UnitId]) -> Result<Vec<wire::UnitHead>, ClientError> {
        let mut heads = Vec::with_capacity(units.len());
        for page in units.chunks(MAX_UNITS) {
            let units = page.iter().map(ToString::to_string).collect();
            let request = wire::GetHeadsRequest { units };
            heads.extend(
                self.ledger
                    .ledger()
                    .get_heads(request)
                    .await?
                    .into_inner()
                    .heads,
            );
        }
        for head in &heads {
            self.remember(head);
        }
        Ok(heads)
    }

    fn remember(&mut self, head: &wire::UnitHead) {
        let id = |text: &str| text.parse::<UnitId>().ok();
        let containers: Vec<(UnitId, Option<RecordId>)> = head
            .containers
            .iter()
            .filter_map(|unit| Some((id(&unit.id)?, RecordId::from_slice(&unit.prev))))
            .collect();
        let Some(unit) = id(&head.unit) else { return };
        let container = containers.first().map(|(id, _)| *id);
        self.units.insert(
            unit,
            Known {
                head: RecordId::from_slice(&head.head),
                container,
            },
        );
        for (i, (id, prev)) in containers.iter().enumerate() {
            let container = containers.get(i + 1).map(|(id, _)| *id);
            self.units.insert(
                *id,
                Known {
                    head: *prev,
                    container,
                },
            );
        }
    }

    /// Submits records in order and waits for every answer. A record that came too late is signed
    /// again with the new heads; the outcomes are in the order given.
    ///
    /// # Errors
    /// [`ClientError`] when the connection fails; what was not answered may be sent again as it is.
    pub async fn submit(&mut self, drafts: Vec<Draft>) -> Result<Vec<Outcome>, ClientError> {
        self.submit_observed(drafts, &mut |_, _| Ok(())).await
    }

    /// The same; `signed` sees each envelope before it is sent, with the place of its draft, so
    /// that it can be written to disk first.
    ///
    /// # Errors
    /// As [`Session::submit`], and what `signed` returns.
    pub async fn submit_observed(
        &mut self,
        mut drafts: Vec<Draft>,
        signed: &mut (dyn FnMut(usize, &Envelope) -> Result<(), ClientError> + Send),
    ) -> Result<Vec<Outcome>, ClientError> {
        if self.units.len() > MAX_REMEMBERED {
            self.units.clear();
        }
        let mut outcomes: Vec<Option<Outcome>> = (0..drafts.len()).map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..drafts.len()).collect();
        for round in 0..=MAX_REBASES {
            let mut again = Vec::new();
            for chunk in waiting.chunks(CHUNK) {
                self.learn_heads(&drafts, chunk).await?;
                let mut envelopes = Vec::with_capacity(chunk.len());
                for &i in chunk {
                    let envelope = self.sign(&mut drafts[i])?;
                    signed(i, &envelope)?;
                    envelopes.push(envelope);
                }
                for (&i, outcome) in chunk.iter().zip(self.send(&envelopes).await?) {
                    self.learn_outcome(&drafts[i], &outcome);
                    let retried = outcome.as_ref().err().is_some_and(|refusal| {
                        is_rebased(&refusal.reason)
                            || (refusal.reason == Reason::PrevUnknown.name()
                                && again
                                    .iter()
                                    .any(|before| shares_a_unit(&drafts, *before, i)))
                    });
                    if retried && round < MAX_REBASES {
                        again.push(i);
                    } else {
                        outcomes[i] = Some(outcome);
                    }
                }
            }
            waiting = again;
            if waiting.is_empty() {
                break;
            }
        }
        let unanswered = outcomes.iter().filter(|outcome| outcome.is_none()).count();
        outcomes
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(ClientError::Unanswered(unanswered))
    }

    /// Sends envelopes on one stream; the answers are in their order.
    ///
    /// # Errors
    /// [`ClientError`] when the stream fails before the last answer.
    pub async fn send(&self, envelopes: &[Envelope]) -> Result<Vec<Outcome>, ClientError> {
        let (requests, stream) = mpsc::channel(64);
        let messages: Vec<wire::Envelope> = envelopes.iter().map(Envelope::to_wire).collect();
        let feed = tokio::spawn(async move {
            for envelope in messages {
                let request = wire::SubmitStreamRequest {
                    envelope: Some(envelope),
                };
                if requests.send(request).await.is_err() {
                    return;
                }
            }
        });
        let mut answers = self
            .ledger
            .ledger()
            .submit_stream(ReceiverStream::new(stream))
            .await?
            .into_inner();
        let mut outcomes = Vec::with_capacity(envelopes.len());
        while let Some(answer) = answers.message().await? {
            outcomes.push(match answer.result {
                Some(StreamResult::Receipt(receipt)) => Ok(receipt),
                Some(StreamResult::Refusal(refusal)) => Err(refusal),
                None => Err(wire::Refusal::default()),
            });
        }
        feed.abort();
        if outcomes.len() == envelopes.len() {
            Ok(outcomes)
        } else {
            Err(ClientError::Unanswered(envelopes.len() - outcomes.len()))
        }
    }

    /// Asks for the heads that are not known.
    async fn learn_heads(&mut self, drafts: &[Draft], chunk: &[usize]) -> Result<(), ClientError> {
        let mut unknown = Vec::new();
        let mut seen = HashSet::new();
        for &i in chunk {
            let record = &drafts[i].record;
            if matches!(record.body, Some(Body::Commission(_))) {
                continue;
            }
            for unit in record.units.iter().chain(container(record)) {
                let id = canonical(&unit.id)?;
                if !self.units.contains_key(&id) && seen.insert(id) {
                    unknown.push(id);
                }
            }
        }
        if !unknown.is_empty() {
            self.heads(&unknown).await?;
        }
        Ok(())
    }

    /// Fills in what the drafter left out, and signs.
    fn sign(&mut self, draft: &mut Draft) -> Result<Envelope, ClientError> {
        let record = &mut draft.record;
        record.format = FORMAT;
        record.origin.clone_from(&self.origin);
        record.suite = draft.signer.public_key().suite().number();
        record.key_id = draft.signer.key_id().0.to_vec();
        if record.nonce.is_empty() {
            let mut nonce = vec![0; NONCE_BYTES];
            self.random
                .try_fill_bytes(&mut nonce)
                .map_err(|error| ClientError::Draft(format!("no random numbers: {error}")))?;
            record.nonce = nonce;
        }
        let begins = matches!(record.body, Some(Body::Commission(_)));
        let acted_on = container(record)
            .map(|unit| canonical(&unit.id))
            .transpose()?;
        let mut around: Vec<UnitId> = Vec::new();
        for unit in &mut record.units {
            let id = canonical(&unit.id)?;
            unit.id = id.to_string();
            unit.prev = if begins { Vec::new() } else { self.head(&id) };
            if !begins {
                self.collect_around(&id, acted_on, &mut around);
            }
        }
        if let Some(id) = acted_on {
            self.collect_around(&id, None, &mut around);
        }
        let head = acted_on.map(|id| (id, self.head(&id)));
        if let (Some(unit), Some((id, head))) = (container_mut(record), head) {
            unit.id = id.to_string();
            unit.prev = head;
        }
        let named: HashSet<&str> = record.units.iter().map(|unit| unit.id.as_str()).collect();
        around.retain(|id| Some(*id) != acted_on && !named.contains(id.to_string().as_str()));
        record.containers = around
            .iter()
            .map(|id| wire::UnitRef {
                id: id.to_string(),
                prev: self.head(id),
            })
            .collect();
        let envelope = Envelope::sign(record, &draft.signer);
        if draft.advances {
            self.expect(record, envelope.record_id());
        }
        Ok(envelope)
    }

    fn head(&self, id: &UnitId) -> Vec<u8> {
        let head = self.units.get(id).and_then(|known| known.head);
        head.map(|head| head.0.to_vec()).unwrap_or_default()
    }

    fn collect_around(&self, id: &UnitId, acted_on: Option<UnitId>, around: &mut Vec<UnitId>) {
        let mut next = self.units.get(id).and_then(|known| known.container);
        for _ in 0..MAX_NESTING {
            let Some(container) = next else { return };
            if Some(container) != acted_on && !around.contains(&container) {
                around.push(container);
            }
            next = self.units.get(&container).and_then(|known| known.container);
        }
    }

    /// What the heads and containers will be if the record joins.
    fn expect(&mut self, record: &wire::Record, id: RecordId) {
        let head = Some(id);
        let acted_on = container(record).and_then(|unit| unit.id.parse::<UnitId>().ok());
        for unit in &record.units {
            let Ok(unit) = unit.id.parse::<UnitId>() else {
                continue;
            };
            let before = self.units.get(&unit).and_then(|known| known.container);
            let container = match record.body {
                Some(Body::Pack(_)) => acted_on,
                Some(Body::Unpack(_) | Body::Return(_) | Body::Commission(_)) => None,
                _ => before,
            };
            self.units.insert(unit, Known { head, container });
        }
        if let Some(unit) = acted_on {
            let container = self.units.get(&unit).and_then(|known| known.container);
            self.units.insert(unit, Known { head, container });
        }
        if let Some(Body::Transform(body)) = &record.body {
            for output in body.outputs.iter().filter_map(|text| text.parse().ok()) {
                self.units.insert(
                    output,
                    Known {
                        head,
                        container: None,
                    },
                );
            }
        }
    }

    /// Forgets what turned out otherwise than expected.
    fn learn_outcome(&mut self, draft: &Draft, outcome: &Outcome) {
        let units = draft.record.units.iter().chain(container(&draft.record));
        for (number, unit) in (0u32..).zip(units) {
            let joined = match outcome {
                Ok(receipt) => !receipt
                    .verdict
                    .as_ref()
                    .is_some_and(|verdict| ranges_cover(&verdict.beside, number)),
                Err(_) => false,
            };
            if joined == draft.advances && outcome.is_ok() {
                continue;
            }
            if let Ok(unit) = unit.id.parse::<UnitId>() {
                let known = self.units.remove(&unit);
                if let Some(container) = known.and_then(|known| known.container) {
                    self.units.remove(&container);
                }
            }
        }
        if outcome.is_err() {
            for unit in &draft.record.containers {
                if let Ok(unit) = unit.id.parse::<UnitId>() {
                    self.units.remove(&unit);
                }
            }
        }
    }
}

/// Whether two drafts are about a unit in common, so that the later one waits for the earlier.
fn shares_a_unit(drafts: &[Draft], before: usize, later: usize) -> bool {
    let units = |draft: &Draft| -> HashSet<String> {
        let record = &draft.record;
        let all = record
            .units
            .iter()
            .chain(container(record))
            .chain(&record.containers);
        all.map(|unit| unit.id.clone()).collect()
    };
    !units(&drafts[before]).is_disjoint(&units(&drafts[later]))
}

/// The refusals that new heads may cure. PREV_UNKNOWN is none of them: what comes before has to
/// arrive first, and signing past it would make an honest record look like a claim to another's
/// goods.
#[must_use]
pub fn is_rebased(reason: &str) -> bool {
    [Reason::Conflict, Reason::PrevNotInChain]
        .iter()
        .any(|cured| cured.name() == reason)
}

fn canonical(text: &str) -> Result<UnitId, ClientError> {
    UnitId::parse_any(text).map_err(|error| ClientError::Draft(format!("{text}: {error}")))
}

fn container(record: &wire::Record) -> Option<&wire::UnitRef> {
    match &record.body {
        Some(Body::Pack(body)) => body.container.as_ref(),
        Some(Body::Unpack(body)) => body.container.as_ref(),
        _ => None,
    }
}

fn container_mut(record: &mut wire::Record) -> Option<&mut wire::UnitRef> {
    match &mut record.body {
        Some(Body::Pack(body)) => body.container.as_mut(),
        Some(Body::Unpack(body)) => body.container.as_mut(),
        _ => None,
    }
}
