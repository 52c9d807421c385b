//! A ledger with parties on it, what is sent to it, and what has to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use custody::client::{Ledger, Outcome, Session};
use custody::core::envelope::{Envelope, key_possession_pae};
use custody::core::id::UnitId;
use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::common::*;

pub(crate) const DAY: u64 = 86_400_000;
pub(crate) const HOUR: u64 = 3_600_000;
/// The last moment that a record may claim: the end of the year 2199.
pub(crate) const LAST_MS: u64 = 7_258_118_399_999;

/// A ledger with parties on it, and one connection.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) session: Session,
    pub(crate) ledger: Ledger,
    pub(crate) trade: Trade,
}

/// What is sent, and what has to come back.
pub(crate) struct Case {
    pub(crate) given: String,
    pub(crate) envelope: Option<wire::Envelope>,
    pub(crate) code: Code,
    pub(crate) reason: &'static str,
    pub(crate) field: &'static str,
    pub(crate) says: &'static str,
}

pub(crate) fn case_of(
    given: &str,
    envelope: wire::Envelope,
    code: Code,
    reason: &'static str,
) -> Case {
    let envelope = Some(envelope);
    Case {
        given: given.into(),
        envelope,
        code,
        reason,
        field: "",
        says: "",
    }
}

impl Case {
    /// A field that breaks a rule.
    pub(crate) fn field(given: &str, envelope: wire::Envelope, field: &'static str) -> Self {
        case_of(given, envelope, Code::InvalidArgument, "INVALID_FIELD").at(field)
    }

    pub(crate) fn at(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    pub(crate) fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// What is wrong with the answer; none when it is as it has to be.
    pub(crate) fn wrong(&self, way: &str, answer: &wire::Refusal) -> Option<String> {
        let right = answer.code == i32::from(self.code)
            && answer.reason == self.reason
            && answer.field == self.field
            && answer.message.contains(self.says)
            && !answer.message.is_empty();
        let expected = (self.code, self.reason, self.field, self.says);
        (!right).then(|| format!("{way}, {}: {answer:?}, not {expected:?}", self.given))
    }
}

/// A status as the stream would say it: the reason from `ErrorInfo`, the field from `BadRequest`.
pub(crate) fn told(given: &str, status: &Status) -> wire::Refusal {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("{given}: no ErrorInfo: {status}"));
    assert_eq!(info.domain, "custody", "{given}");
    let bad = details.bad_request();
    let violations = bad.iter().flat_map(|bad| &bad.field_violations);
    let fields: Vec<&str> = violations
        .map(|violation| violation.field.as_str())
        .collect();
    wire::Refusal {
        code: i32::from(status.code()),
        reason: info.reason.clone(),
        message: status.message().to_owned(),
        field: fields.join(", "),
        heads: Vec::new(),
    }
}

/// The code of a call, its reason and its field.
pub(crate) fn check_status(given: &str, status: &Status, code: Code, reason: &str, field: &str) {
    let told = told(given, status);
    let answer = (told.code, told.reason.as_str(), told.field.as_str());
    assert_eq!(
        answer,
        (i32::from(code), reason, field),
        "{given}: {status}"
    );
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let server = Server::start_with(arguments);
        let mut session = server.session().await;
        let trade = Trade::set_up(&server, &mut session).await;
        let ledger = server.ledger().await;
        Self {
            server,
            session,
            ledger,
            trade,
        }
    }

    /// The size that the newest checkpoint says.
    pub(crate) async fn size(&self) -> u64 {
        let (note, _) = self.ledger.checkpoint().await.unwrap();
        String::from_utf8(note)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    pub(crate) async fn head(&mut self, unit: UnitId) -> Vec<u8> {
        self.session.heads(&[unit]).await.unwrap().remove(0).head
    }

    pub(crate) async fn accepted(&mut self, signer: &Arc<Signer>, units: &[UnitId], body: Body) {
        let outcomes = self
            .session
            .submit(vec![draft(signer, units, body)])
            .await
            .unwrap();
        all_accepted(outcomes);
    }

    /// A record that names the heads as they are.
    pub(crate) async fn current(
        &mut self,
        signer: &Signer,
        units: &[UnitId],
        body: Body,
    ) -> wire::Record {
        let mut record = sound(signer, units, body);
        for (i, unit) in units.iter().enumerate() {
            record.units[i].prev = self.head(*unit).await;
        }
        record
    }

    pub(crate) async fn submit(&self, envelope: wire::Envelope) -> Result<wire::Receipt, Status> {
        let request = wire::SubmitRequest {
            envelope: Some(envelope),
        };
        let answer = self.ledger.ledger().submit(request).await?;
        Ok(answer.into_inner().receipt.unwrap())
    }

    /// By `SubmitStream`; one answer each, in order.
    pub(crate) async fn stream(&self, envelopes: Vec<Option<wire::Envelope>>) -> Vec<Outcome> {
        let requests: Vec<_> = envelopes
            .into_iter()
            .map(|envelope| wire::SubmitStreamRequest { envelope })
            .collect();
        let requests = tokio_stream::iter(requests);
        let mut stream = self
            .ledger
            .ledger()
            .submit_stream(requests)
            .await
            .unwrap()
            .into_inner();
        let mut outcomes = Vec::new();
        while let Some(answer) = stream.message().await.unwrap() {
            assert_eq!(
                answer.sequence,
                outcomes.len() as u64,
                "answers come in order"
            );
            outcomes.push(outcome(answer));
        }
        outcomes
    }

    /// Refuses each body, signed by the regulator, and names the field that is broken.
    pub(crate) async fn names_fields(&self, bodies: Vec<(&'static str, Body)>) {
        let regulator = self.server.regulator_key();
        let case = |(field, body): (&'static str, Body)| {
            let given = format!("{body:?}");
            let envelope = seal(&regulator, &sound(&regulator, &[], body));
            Case::field(&given, envelope, field)
        };
        let cases: Vec<Case> = bodies.into_iter().map(case).collect();
        self.refuses(&cases).await;
    }

    /// Refuses each body, signed by the regulator, since what its field names is not there.
    pub(crate) async fn finds_nothing(&self, bodies: Vec<(&'static str, Body)>) {
        let regulator = self.server.regulator_key();
        let case = |(field, body): (&'static str, Body)| {
            let envelope = seal(&regulator, &sound(&regulator, &[], body));
            case_of(field, envelope, Code::NotFound, "NOT_FOUND").at(field)
        };
        let cases: Vec<Case> = bodies.into_iter().map(case).collect();
        self.refuses(&cases).await;
    }

    /// Each case is refused as it says, by both ways in, and nothing was written.
    pub(crate) async fn refuses(&self, cases: &[Case]) {
        let before = self.size().await;
        let mut wrong = Vec::new();
        for case in cases {
            let request = wire::SubmitRequest {
                envelope: case.envelope.clone(),
            };
            match self.ledger.ledger().submit(request).await {
                Ok(answer) => wrong.push(format!("{}: accepted, {answer:?}", case.given)),
                Err(status) => wrong.extend(case.wrong("Submit", &told(&case.given, &status))),
            }
        }
        let outcomes = self
            .stream(cases.iter().map(|case| case.envelope.clone()).collect())
            .await;
        assert_eq!(
            outcomes.len(),
            cases.len(),
            "a refusal does not end the stream"
        );
        for (case, outcome) in cases.iter().zip(outcomes) {
            match outcome {
                Ok(receipt) => wrong.push(format!("{}: accepted, {receipt:?}", case.given)),
                Err(refusal) => wrong.extend(case.wrong("SubmitStream", &refusal)),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(self.size().await, before, "a refusal writes nothing");
    }

    /// The ledger goes on, and all that is in it holds.
    pub(crate) async fn stays_intact(mut self) {
        let before = self.size().await;
        let maker = Arc::clone(&self.trade.maker);
        self.accepted(&maker, &[unit(999_999)], commission()).await;
        assert_eq!(self.size().await, before + 1);
        let key = self.server.data.join("regulator.key");
        let trust = self.server.data.join("log.vkey");
        let [key, trust] = [&key, &trust].map(|path| path.to_str().unwrap());
        let said = self
            .server
            .run_ok(&["audit", "--key", key, "--trust", trust]);
        assert!(
            said.starts_with(&format!("ok: {} entries", before + 1)),
            "{said}"
        );
    }
}

pub(crate) fn outcome(answer: wire::SubmitStreamResponse) -> Outcome {
    use wire::submit_stream_response::Result as StreamResult;
    match answer.result.expect("an answer says something") {
        StreamResult::Receipt(receipt) => Ok(receipt),
        StreamResult::Refusal(refusal) => Err(refusal),
    }
}

pub(crate) fn now() -> u64 {
    custody::sequence::now().0
}

/// A record with everything but the heads.
pub(crate) fn sound(signer: &Signer, units: &[UnitId], body: Body) -> wire::Record {
    static NONCE: AtomicU64 = AtomicU64::new(1);
    let mut nonce = vec![7; 16];
    nonce[..8].copy_from_slice(&NONCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    wire::Record {
        format: 1,
        origin: ORIGIN.into(),
        suite: 1,
        key_id: signer.key_id().0.to_vec(),
        nonce,
        ..record(units, body)
    }
}

pub(crate) fn seal(signer: &Signer, record: &wire::Record) -> wire::Envelope {
    Envelope::sign(record, signer).to_wire()
}

/// Bytes that are signed as they are.
pub(crate) fn seal_bytes(signer: &Signer, payload: Vec<u8>) -> wire::Envelope {
    let signed = custody::core::envelope::pae(custody::core::envelope::RECORD_TYPE, &payload);
    wire::Envelope {
        payload: payload.into(),
        key_id: signer.key_id().0.to_vec().into(),
        signature: signer.sign(&signed).to_vec().into(),
    }
}

pub(crate) fn gln(number: u64) -> String {
    let body = 61_414_100_000 + number;
    format!("gln:{body:012}{}", custody::core::id::gs1_check_digit(body))
}

pub(crate) fn possession(signer: &Signer, party: &str) -> Vec<u8> {
    signer.sign(&key_possession_pae(ORIGIN, party)).to_vec()
}

pub(crate) fn add_key(signer: &Signer, party: &str) -> Body {
    Body::AddKey(wire::AddKey {
        key: Some(public(signer)),
        valid_from_ms: 0,
        valid_until_ms: 0,
        possession: possession(signer, party),
    })
}

pub(crate) fn delegate_for(signer: &Signer, party: &str, from: u64, until: u64) -> Body {
    Body::Delegate(wire::Delegate {
        key: Some(public(signer)),
        valid_from_ms: from,
        valid_until_ms: until,
        possession: possession(signer, party),
    })
}

pub(crate) fn revoke(signer: &Signer, reason: wire::RevocationReason, since_ms: u64) -> Body {
    let key_id = signer.key_id().0.to_vec();
    Body::RevokeKey(wire::RevokeKey {
        key_id,
        reason: reason.into(),
        since_ms,
    })
}

pub(crate) fn suspend(party: &str) -> Body {
    Body::SuspendParty(wire::SuspendParty {
        party: party.into(),
        reason: "lost papers".into(),
    })
}

pub(crate) fn prefix(digits: &str) -> Option<wire::ProductScope> {
    let scope = wire::product_scope::Scope::CompanyPrefix(digits.into());
    Some(wire::ProductScope { scope: Some(scope) })
}

/// A return with a buyer's consent for a party.
pub(crate) fn consent(to: &str, consent_signature: Vec<u8>) -> Body {
    let (origin, to, units) = (ORIGIN.into(), to.into(), Vec::new());
    let consent = wire::ReturnConsent { origin, to, units }.encode_to_vec();
    Body::Return(wire::Return {
        consent,
        consent_signature,
    })
}

/// A field of a record with trees so deep.
pub(crate) fn tree(depth: usize) -> wire::EventContext {
    let text = wire::value::Value::Text("leaf".into());
    let mut value = wire::Value { value: Some(text) };
    for _ in 1..depth {
        let list = wire::ValueList {
            values: vec![value],
        };
        value = wire::Value {
            value: Some(wire::value::Value::List(list)),
        };
    }
    let field = wire::Field {
        name: "ex:tree".into(),
        value: Some(value),
    };
    wire::EventContext {
        fields: vec![field],
        ..Default::default()
    }
}

impl Case {
    /// The same record, naming a `prev` for its first unit.
    pub(crate) fn with_prev(self, signer: &Signer) -> Self {
        let payload = self.envelope.unwrap().payload;
        let mut record = wire::Record::decode(payload).unwrap();
        record.units[0].prev = vec![1; 32];
        Self {
            envelope: Some(seal(signer, &record)),
            ..self
        }
    }
}
