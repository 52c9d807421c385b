//! Carries out capture jobs, one after another: events become records, are signed, and go into the log.
//!
//! What was signed is in the job's outbox before it is sent; a job that was interrupted sends the same envelopes
//! again and gets the same answers. A ledger that can't be reached is waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::watch;

use super::Source;
use super::gateway::{Gateway, stopped};
use super::jobs::{Behaviour, JobError, JobEvent, Outcome};
use super::problem::Exception;
use crate::client::{ClientError, Outbox, Planned, Session, submit_through};
use crate::core::envelope::RecordId;
use crate::core::record::{FORMAT, Kind, NONCE_BYTES, Record};
use crate::core::rules::FindingKind;
use crate::core::wire;
use crate::core::wire::record::Body;
use crate::epcis::{self, ImportedEvent};
use crate::sequence::now;

/// How long a ledger is waited for that can't be reached.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
/// Ids of events that are asked for at once.
const IDS: usize = 200;

/// Why a job doesn't go on.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// Trying again may help.
    #[error("{0}")]
    ForNow(String),
    /// It won't.
    #[error("{0}")]
    ForGood(String),
}

impl From<ClientError> for Stopped {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Status(status) => {
                let status = status.as_ref().clone();
                status.into()
            }
            ClientError::Draft(_) | ClientError::Address(_) => Self::ForGood(error.to_string()),
            _ => Self::ForNow(error.to_string()),
        }
    }
}

impl From<tonic::Status> for Stopped {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let message = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::InvalidArgument | Code::Unimplemented => Self::ForGood(message),
            // A key that isn't taken as well: a party that is approved later can go on.
            _ => Self::ForNow(message),
        }
    }
}

/// Does jobs until `stop`.
pub(super) async fn work(gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
    let mut failures = 0;
    loop {
        let added = gateway.added.notified();
        let Some(id) = gateway.jobs.next() else {
            tokio::select! {
                () = added => continue,
                () = stopped(&mut stop) => return,
            }
        };
        let outcome = tokio::select! {
            outcome = attempt(&gateway, &id) => outcome,
            () = stopped(&mut stop) => return,
        };
        let Err(reason) = outcome else {
            failures = 0;
            gateway.set_trouble(String::new());
            continue;
        };
        let pause = PAUSES[failures.min(PAUSES.len() - 1)];
        failures += 1;
        tracing::warn!(job = id, %reason, "a capture job waits for {} s", pause.as_secs());
        gateway.set_trouble(reason.to_string());
        let added = gateway.added.notified();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = added => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Tries a job; it is finished when this is no error.
async fn attempt(gateway: &Arc<Gateway>, id: &str) -> Result<(), Stopped> {
    let read = gateway.jobs.get(id).and_then(|job| {
        let document = gateway.jobs.document(id)?;
        Ok((job, document))
    });
    let (job, document) = read.map_err(|error| Stopped::ForNow(error.to_string()))?;
    let mut job = job.ok_or_else(|| Stopped::ForNow("the job is gone".into()))?;
    let (errors, events) = match Attempt::run(gateway, id, job.behaviour, document).await {
        Ok(done) => done,
        Err(stopped @ Stopped::ForNow(_)) => return Err(stopped),
        Err(Stopped::ForGood(detail)) => {
            let error = JobError {
                event: None,
                exception: Exception::Implementation,
                detail,
            };
            (vec![error], Vec::new())
        }
    };
    job.errors = errors;
    job.events = events;
    job.finished = Some(now());
    let jobs = Arc::clone(gateway);
    let finished = job.clone();
    let written = tokio::task::spawn_blocking(move || jobs.jobs.finish(&finished)).await;
    written
        .map_err(|error| Stopped::ForNow(error.to_string()))?
        .map_err(|error| Stopped::ForNow(error.to_string()))?;
    tracing::info!(
        job = job.id,
        events = job.events.len(),
        errors = job.errors.len(),
        "captured"
    );
    gateway.finished.send_replace(job.id);
    Ok(())
}

/// One event on its way.
struct Step {
    number: usize,
    event_id: String,
    is_error_declaration: bool,
    record: wire::Record,
}

impl Step {
    /// What the outbox knows it by.
    fn text(&self) -> String {
        format!("event {}", self.number)
    }
}

struct Attempt<'a> {
    gateway: &'a Gateway,
    behaviour: Behaviour,
    source: Source,
    session: Session,
    outbox: Outbox,
    /// The party's events that are in the log, by id and whether they take one back.
    known: HashMap<(String, bool), wire::CapturedEvent>,
    errors: Vec<JobError>,
    outcomes: BTreeMap<usize, JobEvent>,
}

impl<'a> Attempt<'a> {
    async fn run(
        gateway: &'a Gateway,
        id: &str,
        behaviour: Behaviour,
        document: Vec<u8>,
    ) -> Result<(Vec<JobError>, Vec<JobEvent>), Stopped> {
        let imported = tokio::task::spawn_blocking(move || epcis::import(&document)).await;
        let imported = imported.map_err(|error| Stopped::ForNow(error.to_string()))?;
        // It was read when it was posted.
        let imported = imported.map_err(|error| Stopped::ForGood(error.to_string()))?;
        let outbox = Outbox::open(&gateway.jobs.outbox(id));
        let outbox = outbox.map_err(|error| Stopped::ForNow(error.to_string()))?;
        let session = Session::start(gateway.ledger().await?).await?;
        let mut attempt = Self {
            gateway,
            behaviour,
            source: gateway.as_itself().await?,
            session,
            outbox,
            known: HashMap::new(),
            errors: Vec::new(),
            outcomes: BTreeMap::new(),
        };
        let all = imported.events.len();
        let steps = attempt.understood(imported.events);
        attempt.look_up(&steps).await?;
        attempt.capture(steps).await?;
        // What was refused while others were understood stands in the document's order as well.
        attempt.errors.sort_by_key(|error| error.event);
        debug_assert_eq!(attempt.outcomes.len(), all);
        Ok((attempt.errors, attempt.outcomes.into_values().collect()))
    }

    fn refuse(&mut self, number: usize, event_id: &str, exception: Exception, detail: String) {
        self.errors.push(JobError {
            event: Some(number),
            exception,
            detail,
        });
        self.note(number, event_id, Outcome::Refused);
    }

    fn note(&mut self, number: usize, event_id: &str, outcome: Outcome) {
        let event_id = event_id.to_owned();
        self.outcomes.insert(
            number,
            JobEvent {
                number,
                event_id,
                outcome,
            },
        );
    }

    /// The events that can be records; what the ledger can't hold is refused here.
    fn understood(&mut self, events: Vec<ImportedEvent>) -> Vec<Step> {
        let mut steps = Vec::new();
        for event in events {
            let event_id = event.event_id.unwrap_or_default();
            match event.outcome {
                Ok(record) => {
                    let context = record.context.as_ref();
                    steps.push(Step {
                        number: event.number,
                        event_id,
                        is_error_declaration: context
                            .is_some_and(|context| context.error_declaration.is_some()),
                        record,
                    });
                }
                Err(refusal) => {
                    let exception = Exception::Implementation;
                    self.refuse(event.number, &event_id, exception, refusal.to_string());
                }
            }
        }
        steps
    }

    /// Which of the events the ledger has.
    async fn look_up(&mut self, steps: &[Step]) -> Result<(), Stopped> {
        let ids: Vec<String> = steps
            .iter()
            .map(|step| step.event_id.clone())
            .filter(|id| !id.is_empty())
            .collect();
        for some in ids.chunks(IDS) {
            let mut request = wire::QueryEventsRequest {
                parameters: vec![wire::QueryParameter {
                    name: "EQ_eventID".to_owned(),
                    values: some.to_vec(),
                }],
                page_size: 1_000,
                ..wire::QueryEventsRequest::default()
            };
            loop {
                let found = self.source.query(request.clone()).await?;
                for event in found.events {
                    self.remember(event)?;
                }
                if found.next_page_token.is_empty() {
                    break;
                }
                request.page_token = found.next_page_token;
            }
        }
        Ok(())
    }

    fn remember(&mut self, event: wire::CapturedEvent) -> Result<(), Stopped> {
        if event.party != self.gateway.party() {
            return Ok(());
        }
        let record = decoded(&event)?;
        let context = record.context.unwrap_or_default();
        let key = (context.event_id, context.error_declaration.is_some());
        self.known.entry(key).or_insert(event);
        Ok(())
    }

    /// Signs and sends, in the order of the document; what takes back an event of the same document waits until
    /// that has its record id.
    async fn capture(&mut self, steps: Vec<Step>) -> Result<(), Stopped> {
        if self.behaviour == Behaviour::Rollback {
            let steps = self.checked(steps)?;
            if self.errors.is_empty() {
                return self.send_all(steps).await;
            }
            for step in steps {
                self.note(step.number, &step.event_id, Outcome::NotSent);
            }
            return Ok(());
        }
        let steps = self.checked(steps)?;
        self.send_all(steps).await
    }

    /// What can be known before anything is signed: duplicates, what is taken back, and whether the ledger would
    /// read the record.
    fn checked(&mut self, steps: Vec<Step>) -> Result<Vec<Step>, Stopped> {
        let mut good: Vec<Step> = Vec::new();
        let mut seen: HashMap<(String, bool), usize> = HashMap::new();
        for step in steps {
            let key = (step.event_id.clone(), step.is_error_declaration);
            if step.event_id.is_empty() {
                if step.is_error_declaration {
                    let detail = "an error declaration must have the eventID of the event that it takes back \
                                  (EPCIS 2.0 section 7.4.1)";
                    let exception = Exception::Validation;
                    self.refuse(step.number, "", exception, detail.to_owned());
                    continue;
                }
            } else if !self.is_under_way(&step) {
                if let Some(known) = self.known.get(&key) {
                    let (index, record) = (known.log_index, decoded(known)?);
                    self.duplicate(&step, index, &record);
                    continue;
                }
                if let Some(earlier) = seen.get(&key).and_then(|place| good.get(*place)) {
                    let (number, same) =
                        (earlier.number, says(&earlier.record) == says(&step.record));
                    if !same {
                        let detail = format!(
                            "event {number} of this document has the same eventID and says something else"
                        );
                        let exception = Exception::Validation;
                        self.refuse(step.number, &step.event_id, exception, detail);
                        continue;
                    }
                    // What becomes of it is what becomes of the other.
                    good.push(step);
                    continue;
                }
                if step.is_error_declaration && !self.takes_back_something(&step, &seen) {
                    let detail = "no event with this eventID was captured with this key's party, so there is \
                                  nothing to take back"
                        .to_owned();
                    let exception = Exception::Validation;
                    self.refuse(step.number, &step.event_id, exception, detail);
                    continue;
                }
            }
            if let Err(detail) = self.would_be_read(&step) {
                let exception = Exception::Validation;
                self.refuse(step.number, &step.event_id, exception, detail);
                continue;
            }
            if !step.event_id.is_empty() {
                seen.insert(key, good.len());
            }
            good.push(step);
        }
        Ok(good)
    }

    /// Whether an earlier attempt signed it: then its envelope is sent again, and answered as before.
    fn is_under_way(&self, step: &Step) -> bool {
        self.outbox.waiting(step.number, &step.text()).is_some()
    }

    fn takes_back_something(&self, step: &Step, seen: &HashMap<(String, bool), usize>) -> bool {
        let original = (step.event_id.clone(), false);
        self.known.contains_key(&original) || seen.contains_key(&original)
    }

    fn duplicate(&mut self, step: &Step, index: u64, record: &wire::Record) {
        if says(record) == says(&step.record) {
            self.note(step.number, &step.event_id, Outcome::Duplicate(index));
            return;
        }
        let detail = format!(
            "entry {index} of the log has the same eventID and says something else; what was wrong there is taken \
             back by an error declaration, and said anew under another id"
        );
        let exception = Exception::Validation;
        self.refuse(step.number, &step.event_id, exception, detail);
    }

    /// Whether the ledger would read the record at all: as it will be, but for heads and signature.
    fn would_be_read(&self, step: &Step) -> Result<(), String> {
        let signer = self.gateway.signer();
        let mut record = step.record.clone();
        record.format = FORMAT;
        self.session.origin().clone_into(&mut record.origin);
        record.suite = signer.public_key().suite().number();
        record.key_id = signer.key_id().0.to_vec();
        record.nonce = vec![0; NONCE_BYTES];
        if step.is_error_declaration {
            correct(&mut record, &RecordId([0; 32]));
        }
        let begins = matches!(record.body, Some(Body::Commission(_)));
        for unit in record
            .units
            .iter_mut()
            .chain(container_mut(&mut record.body))
        {
            unit.prev = if begins { Vec::new() } else { vec![0; 32] };
        }
        let read = Record::decode(&record.encode_to_vec());
        let read = read.map_err(|refusal| format!("{}: {}", refusal.field, refusal.message))?;
        if read.kind() == Kind::Correct && !step.is_error_declaration {
            return Err("a correction is an error declaration".to_owned());
        }
        Ok(())
    }

    async fn send_all(&mut self, steps: Vec<Step>) -> Result<(), Stopped> {
        let mut waiting: Vec<Step> = Vec::new();
        for step in steps {
            let key = (step.event_id.clone(), step.is_error_declaration);
            let is_pending = |id: &str, takes_back: bool| {
                waiting
                    .iter()
                    .any(|one| one.event_id == id && one.is_error_declaration == takes_back)
            };
            let depends = !step.event_id.is_empty()
                && (is_pending(&step.event_id, key.1)
                    || (step.is_error_declaration && is_pending(&step.event_id, false)));
            if depends {
                self.send(std::mem::take(&mut waiting)).await?;
            }
            if self.behaviour == Behaviour::Rollback && !self.errors.is_empty() {
                self.note(step.number, &step.event_id, Outcome::NotSent);
                continue;
            }
            waiting.push(step);
        }
        self.send(waiting).await
    }

    async fn send(&mut self, steps: Vec<Step>) -> Result<(), Stopped> {
        let mut planned = Vec::new();
        let mut sent = Vec::new();
        for mut step in steps {
            let key = (step.event_id.clone(), step.is_error_declaration);
            if !step.event_id.is_empty() && !self.is_under_way(&step) {
                if let Some(known) = self.known.get(&key) {
                    let index = known.log_index;
                    self.note(step.number, &step.event_id, Outcome::Duplicate(index));
                    continue;
                }
                if step.is_error_declaration {
                    let original = self.known.get(&(step.event_id.clone(), false));
                    let id = original.and_then(|event| RecordId::from_slice(&event.record_id));
                    let Some(id) = id else {
                        let detail = "the event that it takes back was not captured".to_owned();
                        let exception = Exception::Validation;
                        self.refuse(step.number, &step.event_id, exception, detail);
                        continue;
                    };
                    correct(&mut step.record, &id);
                }
            }
            planned.push(Planned {
                line: step.number,
                text: step.text(),
                record: step.record.clone(),
            });
            sent.push(step);
        }
        let signer = self.gateway.signer();
        let answers = submit_through(&mut self.session, &mut self.outbox, &signer, planned).await?;
        let mut answers: HashMap<usize, crate::client::Outcome> = answers.into_iter().collect();
        for step in sent {
            match answers.remove(&step.number) {
                Some(Ok(receipt)) => self.captured(step, &receipt),
                Some(Err(refusal)) => {
                    let exception = if matches!(refusal.code, 7 | 16) {
                        Exception::Security
                    } else {
                        Exception::Validation
                    };
                    let detail = format!("{}: {}", refusal.reason, refusal.message);
                    self.refuse(step.number, &step.event_id, exception, detail);
                }
                None => return Err(Stopped::ForNow("a record was not answered".into())),
            }
        }
        Ok(())
    }

    fn captured(&mut self, step: Step, receipt: &wire::Receipt) {
        let findings = receipt.verdict.iter().flat_map(|verdict| &verdict.findings);
        let findings = findings
            .filter_map(|finding| FindingKind::from_number(finding.kind))
            .map(|kind| kind.name().to_owned())
            .collect();
        let event_id = if step.event_id.is_empty() {
            let id = RecordId::from_slice(&receipt.record_id);
            id.map(|id| epcis::record_name(&id)).unwrap_or_default()
        } else {
            let event = wire::CapturedEvent {
                log_index: receipt.log_index,
                time_ms: receipt.time_ms,
                record_id: receipt.record_id.clone(),
                party: self.gateway.party().to_owned(),
                record: step.record.encode_to_vec().into(),
            };
            let key = (step.event_id.clone(), step.is_error_declaration);
            self.known.insert(key, event);
            step.event_id
        };
        let outcome = Outcome::Captured(receipt.log_index, findings);
        self.note(step.number, &event_id, outcome);
    }
}

fn decoded(event: &wire::CapturedEvent) -> Result<wire::Record, Stopped> {
    wire::Record::decode(event.record.clone())
        .map_err(|error| Stopped::ForNow(format!("entry {}: {error}", event.log_index)))
}

/// Makes a record the correction of another, for the reason that the event gives.
fn correct(record: &mut wire::Record, id: &RecordId) {
    let declaration = record
        .context
        .as_ref()
        .and_then(|context| context.error_declaration.as_ref());
    let reason = declaration.map(|declaration| declaration.reason.clone());
    record.body = Some(Body::Correct(wire::Correct {
        record_id: id.0.to_vec(),
        reason: reason.unwrap_or_default(),
    }));
}

/// What a record says, without who signs it, when it was signed, and where in the chain.
fn says(record: &wire::Record) -> wire::Record {
    let mut record = record.clone();
    record.format = 0;
    record.origin.clear();
    record.suite = 0;
    record.key_id.clear();
    record.nonce.clear();
    record.containers.clear();
    for unit in record
        .units
        .iter_mut()
        .chain(container_mut(&mut record.body))
    {
        unit.prev.clear();
    }
    // An error declaration's body is made when it is captured.
    let context = record.context.as_ref();
    if context.is_some_and(|context| context.error_declaration.is_some()) {
        record.body = None;
    }
    record
}

fn container_mut(body: &mut Option<Body>) -> Option<&mut wire::UnitRef> {
    match body {
        Some(Body::Pack(body)) => body.container.as_mut(),
        Some(Body::Unpack(body)) => body.container.as_mut(),
        _ => None,
    }
}
