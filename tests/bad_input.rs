//! Bad input over real gRPC: each gets its exact code and details, and the store stays intact.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use custody::client::{Ledger, Outcome, Session, Token};
use custody::core::envelope::{Envelope, MAX_ENVELOPE_BYTES, key_possession_pae};
use custody::core::id::UnitId;
use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use pasetors::claims::Claims;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;
/// The last moment that a record may claim: the end of the year 2199.
const LAST_MS: u64 = 7_258_118_399_999;

/// A ledger with parties on it, and one connection.
struct World {
    server: Server,
    session: Session,
    ledger: Ledger,
    trade: Trade,
}

/// What is sent, and what has to come back.
struct Case {
    given: String,
    envelope: Option<wire::Envelope>,
    code: Code,
    reason: &'static str,
    field: &'static str,
    says: &'static str,
}

fn case_of(given: &str, envelope: wire::Envelope, code: Code, reason: &'static str) -> Case {
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
    fn field(given: &str, envelope: wire::Envelope, field: &'static str) -> Self {
        case_of(given, envelope, Code::InvalidArgument, "INVALID_FIELD").at(field)
    }

    fn at(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// What is wrong with the answer; none when it is as it has to be.
    fn wrong(&self, way: &str, answer: &wire::Refusal) -> Option<String> {
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
fn told(given: &str, status: &Status) -> wire::Refusal {
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
fn check_status(given: &str, status: &Status, code: Code, reason: &str, field: &str) {
    let told = told(given, status);
    let answer = (told.code, told.reason.as_str(), told.field.as_str());
    assert_eq!(
        answer,
        (i32::from(code), reason, field),
        "{given}: {status}"
    );
}

impl World {
    async fn start() -> Self {
        let server = Server::start();
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
    async fn size(&self) -> u64 {
        let (note, _) = self.ledger.checkpoint().await.unwrap();
        String::from_utf8(note)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    async fn head(&mut self, unit: UnitId) -> Vec<u8> {
        self.session.heads(&[unit]).await.unwrap().remove(0).head
    }

    async fn accepted(&mut self, signer: &Arc<Signer>, units: &[UnitId], body: Body) {
        let outcomes = self
            .session
            .submit(vec![draft(signer, units, body)])
            .await
            .unwrap();
        all_accepted(outcomes);
    }

    /// A record that names the heads as they are.
    async fn current(&mut self, signer: &Signer, units: &[UnitId], body: Body) -> wire::Record {
        let mut record = sound(signer, units, body);
        for (i, unit) in units.iter().enumerate() {
            record.units[i].prev = self.head(*unit).await;
        }
        record
    }

    async fn submit(&self, envelope: wire::Envelope) -> Result<wire::Receipt, Status> {
        let request = wire::SubmitRequest {
            envelope: Some(envelope),
        };
        let answer = self.ledger.ledger().submit(request).await?;
        Ok(answer.into_inner().receipt.unwrap())
    }

    /// By `SubmitStream`; one answer each, in order.
    async fn stream(&self, envelopes: Vec<Option<wire::Envelope>>) -> Vec<Outcome> {
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

    /// Each case is refused as it says, by both ways in, and nothing was written.
    async fn refuses(&self, cases: &[Case]) {
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
    async fn is_intact(mut self) {
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

fn outcome(answer: wire::SubmitStreamResponse) -> Outcome {
    use wire::submit_stream_response::Result as StreamResult;
    match answer.result.expect("an answer says something") {
        StreamResult::Receipt(receipt) => Ok(receipt),
        StreamResult::Refusal(refusal) => Err(refusal),
    }
}

fn now() -> u64 {
    custody::sequence::now().0
}

/// A record with everything but the heads.
fn sound(signer: &Signer, units: &[UnitId], body: Body) -> wire::Record {
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

fn seal(signer: &Signer, record: &wire::Record) -> wire::Envelope {
    Envelope::sign(record, signer).to_wire()
}

/// Bytes that are signed as they are.
fn seal_bytes(signer: &Signer, payload: Vec<u8>) -> wire::Envelope {
    let signed = custody::core::envelope::pae(custody::core::envelope::RECORD_TYPE, &payload);
    wire::Envelope {
        payload: payload.into(),
        key_id: signer.key_id().0.to_vec().into(),
        signature: signer.sign(&signed).to_vec().into(),
    }
}

fn gln(number: u64) -> String {
    let body = 61_414_100_000 + number;
    format!("gln:{body:012}{}", custody::core::id::gs1_check_digit(body))
}

fn possession(signer: &Signer, party: &str) -> Vec<u8> {
    signer.sign(&key_possession_pae(ORIGIN, party)).to_vec()
}

fn add_key(signer: &Signer, party: &str) -> Body {
    Body::AddKey(wire::AddKey {
        key: Some(public(signer)),
        valid_from_ms: 0,
        valid_until_ms: 0,
        possession: possession(signer, party),
    })
}

fn delegate_for(signer: &Signer, party: &str, from: u64, until: u64) -> Body {
    Body::Delegate(wire::Delegate {
        key: Some(public(signer)),
        valid_from_ms: from,
        valid_until_ms: until,
        possession: possession(signer, party),
    })
}

fn revoke(signer: &Signer, reason: wire::RevocationReason, since_ms: u64) -> Body {
    let key_id = signer.key_id().0.to_vec();
    Body::RevokeKey(wire::RevokeKey {
        key_id,
        reason: reason.into(),
        since_ms,
    })
}

fn suspend(party: &str) -> Body {
    Body::SuspendParty(wire::SuspendParty {
        party: party.into(),
        reason: "lost papers".into(),
    })
}

fn prefix(digits: &str) -> Option<wire::ProductScope> {
    let scope = wire::product_scope::Scope::CompanyPrefix(digits.into());
    Some(wire::ProductScope { scope: Some(scope) })
}

/// A field of a record with trees so deep.
fn tree(depth: usize) -> wire::EventContext {
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

// ---------------------------------------------------------------------------------------------
// Frame and signature
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_a_frame_that_is_wrong_when_submitted_then_it_is_refused_and_nothing_is_written() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let record = sound(maker, &[unit(1)], commission());
    let good = seal(maker, &record);
    let frame = |change: &dyn Fn(&mut wire::Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        envelope
    };
    let payload = record.encode_to_vec();
    let cut = seal_bytes(maker, payload[..payload.len() - 1].to_vec());
    let mut not_utf8 = payload.clone();
    let at = payload
        .windows(ORIGIN.len())
        .position(|text| text == ORIGIN.as_bytes())
        .unwrap();
    not_utf8[at] = 0xff;
    let flipped = |at: usize| {
        let mut bytes = good.payload.to_vec();
        bytes[at] ^= 1;
        bytes.into()
    };
    // A byte of the nonce, so that the record still reads.
    let nonce_at = payload
        .windows(16)
        .position(|bytes| bytes == record.nonce)
        .unwrap();
    let unknown = key(99);
    let malformed =
        |given: &str, envelope| case_of(given, envelope, Code::InvalidArgument, "MALFORMED");
    let forged =
        |given: &str, envelope| case_of(given, envelope, Code::Unauthenticated, "BAD_SIGNATURE");
    let cases = [
        Case {
            envelope: None,
            ..Case::field("no envelope", good.clone(), "envelope")
        },
        Case::field(
            "no payload",
            frame(&|e| e.payload.clear()),
            "envelope.payload",
        ),
        Case::field(
            "a short key id",
            frame(&|e| e.key_id.truncate(15)),
            "envelope.key_id",
        ),
        Case::field(
            "a short signature",
            frame(&|e| e.signature.truncate(63)),
            "envelope.signature",
        ),
        Case::field(
            "an empty signature",
            frame(&|e| e.signature.clear()),
            "envelope.signature",
        ),
        malformed("a truncated payload", cut).says("no custody.v1.Record"),
        malformed("noise for a payload", seal_bytes(maker, vec![0xff; 300])),
        malformed("a string that is not UTF-8", seal_bytes(maker, not_utf8)).says("UTF-8"),
        forged(
            "another key's signature",
            frame(&|e| {
                e.signature = seal(&world.trade.courier, &record).signature;
            }),
        )
        .at("envelope.signature"),
        forged("a flipped byte", frame(&|e| e.payload = flipped(nonce_at)))
            .at("envelope.signature"),
        forged(
            "a signature of zeros",
            frame(&|e| e.signature = vec![0; 64].into()),
        )
        .at("envelope.signature"),
        forged(
            "a signature over the payload without its type",
            frame(&|e| {
                e.signature = maker.sign(&e.payload).to_vec().into();
            }),
        )
        .at("envelope.signature"),
        case_of(
            "a key that nobody registered",
            seal(&unknown, &sound(&unknown, &[unit(1)], commission())),
            Code::Unauthenticated,
            "UNKNOWN_KEY",
        )
        .at("key_id"),
        case_of(
            "two keys named",
            frame(&|e| e.key_id = world.trade.courier.key_id().0.to_vec().into()),
            Code::InvalidArgument,
            "KEY_MISMATCH",
        )
        .at("envelope.key_id"),
    ];
    world.refuses(&cases).await;
    world.submit(good).await.expect("the record itself is good");
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_envelope_at_the_bound_when_one_byte_is_added_then_it_is_refused() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let sized = |serial: u64, bytes: usize| {
        let mut record = sound(maker, &[unit(serial)], commission());
        let mut envelope = seal(maker, &record);
        for _ in 0..4 {
            let missing = bytes as isize - envelope.encoded_len() as isize;
            let context = record.context.get_or_insert_default();
            let length = context.record_time.len().saturating_add_signed(missing);
            context.record_time = "x".repeat(length);
            envelope = seal(maker, &record);
        }
        assert_eq!(envelope.encoded_len(), bytes);
        envelope
    };
    let large = sized(1, MAX_ENVELOPE_BYTES + 1);
    let huge = sized(1, 2 << 20);
    let cases = [
        Case::field("a byte too many", large, "envelope").says("49153"),
        Case::field("two megabytes", huge, "envelope"),
    ];
    world.refuses(&cases).await;
    world
        .submit(sized(1, MAX_ENVELOPE_BYTES))
        .await
        .expect("the bound itself is allowed");
    let outcome = world
        .stream(vec![Some(sized(2, MAX_ENVELOPE_BYTES))])
        .await
        .remove(0);
    outcome.expect("the bound itself is allowed");
    world.is_intact().await;
}

/// The framework answers these before anything of ours sees them.
#[tokio::test(flavor = "multi_thread")]
async fn given_a_message_that_is_no_request_when_sent_then_the_call_fails_and_the_server_lives() {
    /// A request whose envelope is any bytes.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Raw {
        #[prost(bytes = "vec", tag = "1")]
        envelope: Vec<u8>,
    }
    let world = World::start().await;
    let before = world.size().await;
    let large = wire::Envelope {
        payload: vec![1; 5 << 20].into(),
        ..Default::default()
    };
    let status = world.submit(large.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    let request = wire::SubmitStreamRequest {
        envelope: Some(large),
    };
    let requests = tokio_stream::iter([request]);
    let answer = world.ledger.ledger().submit_stream(requests).await;
    let status = match answer {
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::OutOfRange, "{status}");

    // A length that reaches beyond the message.
    let channel = tonic::transport::Endpoint::from_shared(world.server.address.clone()).unwrap();
    let mut raw = tonic::client::Grpc::new(channel.connect().await.unwrap());
    raw.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Raw, wire::SubmitResponse>::default();
    let path =
        tonic::codegen::http::uri::PathAndQuery::from_static("/custody.v1.LedgerService/Submit");
    let request = tonic::Request::new(Raw {
        envelope: vec![0x0a, 0x7f, 0x01],
    });
    let status = raw.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");

    assert_eq!(world.size().await, before);
    world.is_intact().await;
}

// ---------------------------------------------------------------------------------------------
// Fields
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_a_field_that_breaks_a_rule_when_submitted_then_the_refusal_names_it() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let change = |given: &str, field: &'static str, change: &dyn Fn(&mut wire::Record)| {
        let mut record = sound(maker, &[unit(1)], scan());
        change(&mut record);
        Case::field(given, seal(maker, &record), field)
    };
    let place = |change: &dyn Fn(&mut wire::Place)| {
        let mut place = wire::Place {
            region: "CN-FJ".into(),
            ..Default::default()
        };
        change(&mut place);
        Some(place)
    };
    let position = |latitude_e7, longitude_e7| {
        Some(wire::Position {
            latitude_e7,
            longitude_e7,
        })
    };
    let body = |given: &str, field: &'static str, body: Body| {
        Case::field(given, seal(maker, &sound(maker, &[unit(1)], body)), field)
    };
    let attributes = |attributes| {
        let attributes = Some(attributes);
        Body::Commission(wire::Commission {
            attributes,
            ..Default::default()
        })
    };
    let named = |id: &str| wire::UnitRef {
        id: id.into(),
        prev: vec![],
    };
    let long = |length: usize| "x".repeat(length);
    let cases = [
        change("format 2", "format", &|r| r.format = 2).says("format 2"),
        change("format 0", "format", &|r| r.format = 0),
        change("no origin", "origin", &|r| r.origin.clear()),
        change("an origin of 129 bytes", "origin", &|r| {
            r.origin = long(129)
        }),
        change("no suite", "suite", &|r| r.suite = 0),
        change("the reserved suite", "suite", &|r| r.suite = 2).says("suite 2 is not supported"),
        change("an unknown suite", "suite", &|r| r.suite = 9),
        change("a short key id", "key_id", &|r| r.key_id.truncate(15)),
        change("no nonce", "nonce", &|r| r.nonce.clear()),
        change("a long nonce", "nonce", &|r| r.nonce.push(0)),
        change("a time after 2199", "claimed_time_ms", &|r| {
            r.claimed_time_ms = LAST_MS + 1
        }),
        change("the greatest time", "claimed_time_ms", &|r| {
            r.claimed_time_ms = u64::MAX
        }),
        change("a clock 367 days slow", "clock_offset_ms", &|r| {
            r.clock_offset_ms = 367 * DAY as i64;
        }),
        change("a clock 367 days fast", "clock_offset_ms", &|r| {
            r.clock_offset_ms = -367 * DAY as i64;
        }),
        change("the least offset", "clock_offset_ms", &|r| {
            r.clock_offset_ms = i64::MIN
        }),
        change("the greatest offset", "clock_offset_ms", &|r| {
            r.clock_offset_ms = i64::MAX
        }),
        change("no body", "body", &|r| r.body = None),
        change("no units", "units", &|r| r.units.clear()),
        change("513 units", "units", &|r| {
            r.units = (0..513).map(|n| named(&unit(n).to_string())).collect();
        })
        .says("513"),
        change("one unit twice", "units[1].id", &|r| {
            r.units.push(r.units[0].clone())
        })
        .says("twice"),
        change(
            "a unit that is its own container",
            "containers[0].id",
            &|r| {
                r.containers.push(r.units[0].clone());
            },
        ),
        change("nine containers", "containers", &|r| {
            r.containers = (0..9).map(|n| named(&case(n).to_string())).collect();
        }),
        change("a prev of 31 bytes", "units[0].prev", &|r| {
            r.units[0].prev = vec![1; 31]
        }),
        change("a wrong check digit", "units[0].id", &|r| {
            r.units[0] = named("01/10614141123458/21/1");
        })
        .says("check digit is 8, expected 9"),
        change("a wrong check digit of a case", "units[0].id", &|r| {
            r.units[0] = named("00/106141410000000017");
        })
        .says("check digit is 7, expected "),
        change("an id in another spelling", "units[0].id", &|r| {
            r.units[0] = named("https://id.gs1.org/01/10614141123459/21/1");
        })
        .says("write 01/10614141123459/21/1"),
        change("an id as a URN", "units[0].id", &|r| {
            r.units[0] = named("urn:epc:id:sgtin:0614141.112345.1");
        })
        .says("names units canonically; write 01/"),
        change("an id that is noise", "units[0].id", &|r| {
            r.units[0] = named("hello")
        }),
        change("an id of a megabyte less than one", "units[0].id", &|r| {
            r.units[0] = named(&long(40_000));
        }),
        change("an empty place", "place", &|r| {
            r.place = Some(wire::Place::default())
        }),
        change("a city of 65 bytes", "place.city", &|r| {
            r.place = place(&|p| p.city = long(65))
        })
        .says("65 bytes"),
        change("a line break in a city", "place.city", &|r| {
            r.place = place(&|p| p.city = "Fu\nzhou".into());
        })
        .says("control characters"),
        change("an escape in a city", "place.city", &|r| {
            r.place = place(&|p| p.city = "\u{1b}[2J".into());
        }),
        change("a region in words", "place.region", &|r| {
            r.place = place(&|p| p.region = "Fujian".into());
        })
        .says("ISO 3166"),
        change("a region in small letters", "place.region", &|r| {
            r.place = place(&|p| p.region = "cn-fj".into());
        }),
        change(
            "a place beyond a pole",
            "place.position.latitude_e7",
            &|r| {
                r.place = place(&|p| p.position = position(900_000_001, 0));
            },
        ),
        change(
            "a place beyond the date line",
            "place.position.longitude_e7",
            &|r| {
                r.place = place(&|p| p.position = position(0, i32::MIN));
            },
        ),
        change(
            "a location with a wrong check digit",
            "place.location",
            &|r| {
                r.place = place(&|p| p.location = "414/0614141000006".into());
            },
        )
        .says("expected 5"),
        change("a tree 17 deep", "context.fields", &|r| {
            r.context = Some(tree(17))
        })
        .says("16"),
        change("an event id of 257 bytes", "context.event_id", &|r| {
            r.context = Some(wire::EventContext {
                event_id: long(257),
                ..Default::default()
            });
        }),
        body("a prev where a chain begins", "units[0].prev", commission()).with_prev(maker),
        body(
            "a reason of 257 bytes",
            "refuse.reason",
            Body::Refuse(wire::Refuse { reason: long(257) }),
        ),
        body(
            "a bell in a reason",
            "destroy.reason",
            Body::Destroy(wire::Destroy {
                reason: "\u{7}".into(),
            }),
        ),
        body(
            "an unknown means",
            "handover.means",
            Body::Handover(wire::Handover {
                to: COURIER.into(),
                means: 99,
                ..Default::default()
            }),
        ),
        body(
            "an unknown condition",
            "accept.condition",
            Body::Accept(wire::Accept {
                condition: 99,
                ..Default::default()
            }),
        ),
        body(
            "an unknown result",
            "inspect.result",
            Body::Inspect(wire::Inspect {
                result: 99,
                ..Default::default()
            }),
        ),
        body(
            "a digest without algorithm",
            "inspect.report",
            Body::Inspect(wire::Inspect {
                result: 1,
                report: Some(wire::Digest {
                    algorithm: 0,
                    value: vec![0; 32],
                }),
            }),
        ),
        body(
            "more than a thousand tonnes",
            "scan.weight_grams",
            Body::Scan(wire::Scan {
                weight_grams: 1_000_000_001,
            }),
        ),
        body(
            "a receiver with a wrong check character",
            "handover.to",
            handover("uscc:91110000802100433A"),
        )
        .says("expected B"),
        body(
            "a receiver without scheme",
            "handover.to",
            handover("91110000802100433B"),
        ),
        body(
            "a buyer key that is no point",
            "handover.buyer",
            Body::Handover(wire::Handover {
                to: COURIER.into(),
                buyer: Some(wire::BuyerKey {
                    suite: 1,
                    public_key: vec![2; 31],
                }),
                ..Default::default()
            }),
        ),
        body(
            "no container",
            "pack.container",
            Body::Pack(wire::Pack { container: None }),
        ),
        body(
            "a container that is packed into itself",
            "pack.container or outputs",
            pack(unit(1)),
        ),
        body(
            "no outputs",
            "transform.outputs",
            Body::Transform(wire::Transform::default()),
        ),
        body(
            "a lot of 21 characters",
            "commission.attributes.lot",
            attributes(wire::Attributes {
                lot: long(21),
                ..Default::default()
            }),
        ),
        body(
            "the 30th of February",
            "commission.attributes.expiry",
            attributes(wire::Attributes {
                expiry: 20_270_230,
                ..Default::default()
            }),
        ),
        body(
            "a market in words",
            "commission.attributes.markets",
            attributes(wire::Attributes {
                markets: vec!["China".into()],
                ..Default::default()
            }),
        ),
        body(
            "a record id of 3 bytes",
            "correct.record_id",
            Body::Correct(wire::Correct {
                record_id: vec![1, 2, 3],
                ..Default::default()
            }),
        ),
        body("units in a governance record", "units", suspend(COURIER)),
    ];
    world.refuses(&cases).await;

    let mut deep = sound(maker, &[unit(1)], scan());
    deep.context = Some(tree(2_000));
    let malformed = [case_of(
        "a tree 2,000 deep",
        seal(maker, &deep),
        Code::InvalidArgument,
        "MALFORMED",
    )];
    world.refuses(&malformed).await;
    world.is_intact().await;
}

impl Case {
    /// The same record, naming a `prev` for its first unit.
    fn with_prev(self, signer: &Signer) -> Self {
        let payload = self.envelope.unwrap().payload;
        let mut record = wire::Record::decode(payload).unwrap();
        record.units[0].prev = vec![1; 32];
        Self {
            envelope: Some(seal(signer, &record)),
            ..self
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_fields_of_governance_that_break_a_rule_when_submitted_then_each_is_named() {
    let world = World::start().await;
    let (regulator, maker) = (world.server.regulator_key(), &world.trade.maker);
    let fresh = key(40);
    let by = |signer: &Signer, given: &str, field: &'static str, body: Body| {
        Case::field(given, seal(signer, &sound(signer, &[], body)), field)
    };
    let registering = |change: &dyn Fn(&mut wire::RegisterParty)| {
        let Body::RegisterParty(mut body) = register(&fresh, &gln(1), &[wire::Role::Maker]) else {
            unreachable!()
        };
        change(&mut body);
        Body::RegisterParty(body)
    };
    let approving = |party: &str, roles: Vec<i32>| {
        Body::ApproveParty(wire::ApproveParty {
            party: party.into(),
            roles,
            valid_until_ms: 0,
        })
    };
    let small_order = wire::PublicKey {
        suite: 1,
        public_key: vec![0; 32],
    };
    let cases = [
        by(
            &fresh,
            "a party id with a wrong check digit",
            "register_party.party",
            registering(&|b| {
                b.party = "gln:0614141000006".into();
            }),
        )
        .says("expected 5"),
        by(
            &fresh,
            "no name",
            "register_party.name",
            registering(&|b| b.name.clear()),
        ),
        by(
            &fresh,
            "a name of 129 bytes",
            "register_party.name",
            registering(&|b| {
                b.name = "x".repeat(129);
            }),
        ),
        by(
            &fresh,
            "a role that is none",
            "register_party.roles",
            registering(&|b| b.roles = vec![99]),
        ),
        by(
            &fresh,
            "a role twice",
            "register_party.roles",
            registering(&|b| b.roles = vec![1, 1]),
        ),
        by(
            &fresh,
            "no roles",
            "register_party.roles",
            registering(&|b| b.roles.clear()),
        ),
        by(
            &fresh,
            "a region in words",
            "register_party.region",
            registering(&|b| {
                b.region = "Fujian".into();
            }),
        ),
        by(
            &fresh,
            "no key",
            "register_party.key",
            registering(&|b| b.key = None),
        ),
        by(
            &fresh,
            "a key of small order",
            "register_party.key",
            registering(&|b| {
                b.key = Some(small_order.clone());
            }),
        ),
        by(
            &fresh,
            "a key of the reserved suite",
            "register_party.key",
            registering(&|b| {
                b.key.as_mut().unwrap().suite = 2;
            }),
        ),
        by(
            &regulator,
            "an unknown role",
            "approve_party.roles",
            approving(MAKER, vec![77]),
        ),
        by(
            &regulator,
            "an approval until after 2199",
            "approve_party.valid_until_ms",
            {
                let Body::ApproveParty(body) = approve(MAKER, &[wire::Role::Maker]) else {
                    unreachable!()
                };
                Body::ApproveParty(wire::ApproveParty {
                    valid_until_ms: u64::MAX,
                    ..body
                })
            },
        ),
        by(
            &regulator,
            "a suspension without reason",
            "suspend_party.reason",
            {
                Body::SuspendParty(wire::SuspendParty {
                    party: MAKER.into(),
                    reason: String::new(),
                })
            },
        ),
        by(
            maker,
            "a delegation without end",
            "delegate.valid_until_ms",
            { delegate_for(&fresh, MAKER, 0, 0) },
        ),
        by(
            maker,
            "a key that ends before it begins",
            "delegate.valid_from_ms",
            { delegate_for(&fresh, MAKER, 2, 1) },
        ),
        by(
            maker,
            "a short proof of possession",
            "add_key.possession",
            Body::AddKey(wire::AddKey {
                key: Some(public(&fresh)),
                possession: vec![0; 63],
                ..Default::default()
            }),
        ),
        by(maker, "an unknown reason to revoke", "revoke_key.reason", {
            let key_id = maker.key_id().0.to_vec();
            Body::RevokeKey(wire::RevokeKey {
                key_id,
                reason: 99,
                since_ms: 0,
            })
        }),
        by(maker, "a product that is nothing", "claim_product.scope", {
            Body::ClaimProduct(wire::ClaimProduct::default())
        }),
        by(
            maker,
            "a prefix of three digits",
            "claim_product.scope.company_prefix",
            {
                let (scope, name) = (prefix("061"), String::new());
                Body::ClaimProduct(wire::ClaimProduct { scope, name })
            },
        ),
        by(&regulator, "no thresholds", "set_thresholds.thresholds", {
            Body::SetThresholds(wire::SetThresholds { thresholds: None })
        }),
        by(
            &regulator,
            "thresholds without a speed",
            "set_thresholds.thresholds",
            {
                let thresholds = Some(wire::Thresholds::default());
                Body::SetThresholds(wire::SetThresholds { thresholds })
            },
        ),
        by(
            &regulator,
            "an unknown kind of finding",
            "decide_finding.kind",
            {
                Body::DecideFinding(wire::DecideFinding {
                    kind: 19,
                    unit: unit(1).to_string(),
                    decision: 1,
                    reason: "seen".into(),
                    ..Default::default()
                })
            },
        ),
        by(
            &regulator,
            "an unknown decision",
            "decide_finding.decision",
            {
                Body::DecideFinding(wire::DecideFinding {
                    kind: 4,
                    unit: unit(1).to_string(),
                    decision: 9,
                    reason: "seen".into(),
                    ..Default::default()
                })
            },
        ),
    ];
    world.refuses(&cases).await;
    world.is_intact().await;
}

// ---------------------------------------------------------------------------------------------
// Keys, parties, authority
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_keys_that_ended_or_have_not_begun_when_they_sign_then_their_time_decides() {
    let mut world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let now = now();
    let [later, ended, old, superseded, compromised, rotated, next] =
        [10, 11, 12, 13, 14, 15, 16].map(key);
    let Body::Delegate(_) = delegate(&later, MAKER) else {
        unreachable!()
    };
    let setup = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(
            &maker,
            &[],
            delegate_for(&later, MAKER, now + DAY, now + 2 * DAY),
        ),
        draft(&maker, &[], delegate_for(&ended, MAKER, TIME, now - HOUR)),
        draft(&maker, &[], delegate_for(&old, MAKER, TIME, now - 8 * DAY)),
        draft(&maker, &[], add_key(&superseded, MAKER)),
        draft(&maker, &[], add_key(&compromised, MAKER)),
        draft(&maker, &[], add_key(&rotated, MAKER)),
        draft(
            &maker,
            &[],
            revoke(&superseded, wire::RevocationReason::Superseded, 0),
        ),
        draft(
            &maker,
            &[],
            revoke(&compromised, wire::RevocationReason::Compromised, now),
        ),
        draft(
            &rotated,
            &[],
            Body::RotateKey(wire::RotateKey {
                key: Some(public(&next)),
                possession: possession(&next, MAKER),
            }),
        ),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());

    let scanned = |signer: &Signer, time: u64| {
        let mut record = sound(signer, &[unit(1)], scan());
        record.claimed_time_ms = time;
        seal(signer, &record)
    };
    let denied =
        |given: &str, envelope, reason| case_of(given, envelope, Code::PermissionDenied, reason);
    let scanner = &world.trade.scanner;
    let a_minute_ahead = now + 60_000;
    let cases = [
        denied(
            "a delegation from tomorrow",
            scanned(&later, now),
            "KEY_NOT_YET_VALID",
        ),
        denied(
            "a delegation from tomorrow, a time of then",
            scanned(&later, now + DAY),
            "KEY_NOT_YET_VALID",
        ),
        denied(
            "a time before the delegation",
            scanned(scanner, 1_600_000_000_000),
            "KEY_NOT_YET_VALID",
        ),
        denied(
            "a time after the delegation's end",
            scanned(&ended, now),
            "KEY_EXPIRED",
        ),
        denied(
            "a delegation past its window",
            scanned(&old, TIME + 1),
            "KEY_EXPIRED",
        )
        .says("168 hours"),
        denied(
            "a superseded key, now",
            scanned(&superseded, a_minute_ahead),
            "KEY_REVOKED",
        ),
        denied(
            "a compromised key, now",
            scanned(&compromised, a_minute_ahead),
            "KEY_REVOKED",
        ),
        denied(
            "a compromised key, long ago",
            scanned(&compromised, TIME),
            "KEY_REVOKED",
        )
        .says("compromised"),
        denied(
            "a rotated key, now",
            scanned(&rotated, a_minute_ahead),
            "KEY_EXPIRED",
        ),
        // The window is for custody records.
        denied(
            "governance by a superseded key",
            {
                let mut record = sound(&superseded, &[], delegate(&key(17), MAKER));
                record.claimed_time_ms = TIME;
                seal(&superseded, &record)
            },
            "KEY_EXPIRED",
        )
        .at("key_id"),
    ];
    world.refuses(&cases).await;

    // What they signed before their end may come late; each from the head as it is.
    for (signer, time) in [
        (&ended, TIME + 1),
        (&superseded, TIME),
        (&rotated, TIME),
        (&next, now),
    ] {
        let mut record = world.current(signer, &[unit(1)], scan()).await;
        record.claimed_time_ms = time;
        let receipt = world.submit(seal(signer, &record)).await.unwrap();
        assert!(receipt.verdict.unwrap_or_default().beside.is_empty());
    }
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_party_that_is_not_active_when_it_signs_then_it_is_refused() {
    let mut world = World::start().await;
    let regulator = world.server.regulator_key();
    let (maker, stranger) = (
        Arc::clone(&world.trade.maker),
        Arc::clone(&world.trade.stranger),
    );
    let (pending, lapsed) = (key(20), key(21));
    let lapsed_approval = Body::ApproveParty(wire::ApproveParty {
        party: gln(2),
        roles: vec![wire::Role::Courier.into()],
        valid_until_ms: TIME,
    });
    let setup = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], handover(STRANGER)),
        draft(&stranger, &[unit(1)], accept()),
        draft(
            &pending,
            &[],
            register(&pending, &gln(1), &[wire::Role::Courier]),
        ),
        draft(
            &lapsed,
            &[],
            register(&lapsed, &gln(2), &[wire::Role::Courier]),
        ),
        draft(&regulator, &[], lapsed_approval),
        draft(&regulator, &[], suspend(STRANGER)),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());
    let claim = || {
        let (scope, name) = (prefix("0614142"), String::new());
        Body::ClaimProduct(wire::ClaimProduct { scope, name })
    };
    let denied = |given: &str, envelope| {
        case_of(given, envelope, Code::PermissionDenied, "PARTY_NOT_ACTIVE")
    };
    let held = world.current(&stranger, &[unit(1)], scan()).await;
    let cases = [
        denied("custody by a suspended holder", seal(&stranger, &held)).says(STRANGER),
        denied(
            "governance by a suspended party",
            seal(&stranger, &sound(&stranger, &[], claim())),
        ),
        denied(
            "custody before approval",
            seal(&pending, &sound(&pending, &[unit(1)], scan())),
        ),
        denied(
            "governance before approval",
            seal(&pending, &sound(&pending, &[], claim())),
        ),
        denied(
            "after the approval's end",
            seal(&lapsed, &sound(&lapsed, &[unit(1)], scan())),
        )
        .says("has ended"),
    ];
    world.refuses(&cases).await;
    world
        .accepted(&regulator, &[], approve(STRANGER, &[wire::Role::Courier]))
        .await;
    world
        .submit(seal(&stranger, &held))
        .await
        .expect("approved again, the same envelope is good");
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_governance_without_authority_when_submitted_then_it_is_refused() {
    let mut world = World::start().await;
    let regulator = world.server.regulator_key();
    let Trade {
        maker,
        courier,
        scanner,
        ..
    } = Trade {
        maker: Arc::clone(&world.trade.maker),
        courier: Arc::clone(&world.trade.courier),
        scanner: Arc::clone(&world.trade.scanner),
        stranger: Arc::clone(&world.trade.stranger),
    };
    let own = "0614142";
    let claim = Body::ClaimProduct(wire::ClaimProduct {
        scope: prefix(own),
        name: "Own".into(),
    });
    world.accepted(&courier, &[], claim.clone()).await;
    let fresh = key(30);
    let approve_product = |digits: &str, party: &str| {
        let (scope, party) = (prefix(digits), party.into());
        Body::ApproveProduct(wire::ApproveProduct { scope, party })
    };
    let by = |signer: &Signer, given: &str, code, reason, body: Body| {
        case_of(given, seal(signer, &sound(signer, &[], body)), code, reason)
    };
    let unauthorised = |signer: &Signer, given: &str, body: Body| {
        by(signer, given, Code::PermissionDenied, "UNAUTHORISED", body)
    };
    let genesis = |signer: &Signer| {
        Body::Genesis(wire::Genesis {
            regulator_keys: vec![public(signer)],
            regulator: REGULATOR.into(),
            regulator_name: "Me".into(),
            thresholds: Some(wire::Thresholds {
                max_speed_kmh: 1,
                ..Default::default()
            }),
            log_key: "key".into(),
        })
    };
    let thresholds = Some(wire::Thresholds {
        max_speed_kmh: 100_000,
        ..Default::default()
    });
    let not_mine = AddKeyOf {
        key: &fresh,
        possession_by: &courier,
    };
    let mut elsewhere = sound(&maker, &[unit(1)], commission());
    elsewhere.origin = "other.example/ledger".into();
    let cases = [
        unauthorised(
            &maker,
            "a maker approves a party",
            approve(STRANGER, &[wire::Role::Seller]),
        ),
        unauthorised(&maker, "a maker suspends a rival", suspend(COURIER)),
        unauthorised(
            &scanner,
            "a delegated key adds a key",
            add_key(&fresh, COURIER),
        ),
        unauthorised(
            &scanner,
            "a delegated key delegates",
            delegate(&fresh, COURIER),
        ),
        unauthorised(
            &courier,
            "a courier approves its own product",
            approve_product(own, COURIER),
        ),
        unauthorised(&maker, "a maker sets thresholds", {
            Body::SetThresholds(wire::SetThresholds { thresholds })
        }),
        unauthorised(&maker, "a maker revokes another's key", {
            revoke(&courier, wire::RevocationReason::Compromised, 1)
        }),
        unauthorised(&maker, "a maker revokes the regulator's key", {
            revoke(&regulator, wire::RevocationReason::Cessation, 0)
        }),
        unauthorised(
            &regulator,
            "the regulator of the genesis is suspended",
            suspend(REGULATOR),
        ),
        by(
            &regulator,
            "genesis again",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            genesis(&regulator),
        )
        .at("body"),
        by(
            &fresh,
            "genesis by anybody",
            Code::Unauthenticated,
            "UNKNOWN_KEY",
            genesis(&fresh),
        )
        .at("key_id"),
        by(
            &fresh,
            "genesis by a key that it doesn't name",
            Code::InvalidArgument,
            "KEY_MISMATCH",
            { genesis(&maker) },
        )
        .at("key_id"),
        by(
            &fresh,
            "a registration of another's key",
            Code::InvalidArgument,
            "KEY_MISMATCH",
            { register(&maker, &gln(3), &[wire::Role::Maker]) },
        )
        .at("key_id"),
        by(
            &fresh,
            "a party that is registered",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            { register(&fresh, MAKER, &[wire::Role::Maker]) },
        )
        .at("register_party.party"),
        by(
            &maker,
            "a key that is registered",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            { register(&maker, &gln(3), &[wire::Role::Maker]) },
        )
        .at("key"),
        by(
            &maker,
            "a key whose owner did not sign",
            Code::Unauthenticated,
            "BAD_SIGNATURE",
            { not_mine.body() },
        )
        .at("possession"),
        by(
            &maker,
            "possession for another party",
            Code::Unauthenticated,
            "BAD_SIGNATURE",
            { add_key(&fresh, COURIER) },
        )
        .at("possession"),
        by(
            &regulator,
            "a party that nobody registered",
            Code::NotFound,
            "NOT_FOUND",
            { approve(&gln(4), &[wire::Role::Maker]) },
        )
        .at("approve_party.party"),
        by(
            &regulator,
            "a product that nobody claimed",
            Code::NotFound,
            "NOT_FOUND",
            { approve_product("0614143", MAKER) },
        )
        .at("approve_product.scope"),
        by(
            &courier,
            "a claim again",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            claim,
        )
        .at("claim_product.scope"),
        by(
            &maker,
            "a key that nobody registered",
            Code::NotFound,
            "NOT_FOUND",
            { revoke(&fresh, wire::RevocationReason::Cessation, 0) },
        )
        .at("revoke_key.key_id"),
        by(
            &regulator,
            "a finding that is none",
            Code::NotFound,
            "NOT_FOUND",
            {
                Body::DecideFinding(wire::DecideFinding {
                    log_index: 1,
                    kind: 4,
                    unit: unit(1).to_string(),
                    decision: 1,
                    reason: "seen".into(),
                    ..Default::default()
                })
            },
        )
        .at("decide_finding"),
        case_of(
            "a record for another ledger",
            seal(&maker, &elsewhere),
            Code::InvalidArgument,
            "WRONG_ORIGIN",
        )
        .at("origin")
        .says(ORIGIN),
    ];
    world.refuses(&cases).await;
    world.is_intact().await;
}

/// A key that somebody adds who has not its private half.
struct AddKeyOf<'a> {
    key: &'a Signer,
    possession_by: &'a Signer,
}

impl AddKeyOf<'_> {
    fn body(&self) -> Body {
        Body::AddKey(wire::AddKey {
            key: Some(public(self.key)),
            valid_from_ms: 0,
            valid_until_ms: 0,
            possession: possession(self.possession_by, MAKER),
        })
    }
}

// ---------------------------------------------------------------------------------------------
// Chains and containers
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_a_prev_that_is_not_the_head_when_submitted_then_the_refusal_says_why() {
    let mut world = World::start().await;
    let (maker, stranger) = (
        Arc::clone(&world.trade.maker),
        Arc::clone(&world.trade.stranger),
    );
    world
        .accepted(&maker, &[unit(1), unit(2)], commission())
        .await;
    let first = world.head(unit(1)).await;
    world.accepted(&maker, &[unit(1)], scan()).await;
    let (head, other) = (world.head(unit(1)).await, world.head(unit(2)).await);
    let naming = |prev: &[u8]| {
        let mut record = sound(&maker, &[unit(1)], scan());
        record.units[0].prev = prev.to_vec();
        seal(&maker, &record)
    };
    let precondition = |given: &str, prev: &[u8], reason| {
        case_of(given, naming(prev), Code::FailedPrecondition, reason)
    };
    let conflict =
        |given: &str, prev: &[u8]| case_of(given, naming(prev), Code::Aborted, "CONFLICT");
    world.accepted(&maker, &[unit(2)], scan()).await;
    let of_other = world.head(unit(2)).await;
    assert_eq!(other, first, "one record made both");
    let cases = [
        precondition("the head of another unit", &of_other, "PREV_NOT_IN_CHAIN")
            .at("units[0].prev"),
        precondition("a record that has not come", &[9; 32], "PREV_UNKNOWN").at("units[0].prev"),
        conflict("the head of before", &first),
        conflict("no prev", &[]),
    ];
    world.refuses(&cases).await;

    // The answer to a conflict has the heads.
    let status = world.submit(naming(&first)).await.unwrap_err();
    let bytes = status
        .metadata()
        .get_bin("custody-refusal-bin")
        .unwrap()
        .to_bytes()
        .unwrap();
    let refusal = wire::Refusal::decode(bytes).unwrap();
    let expected = wire::UnitRef {
        id: unit(1).to_string(),
        prev: head.clone(),
    };
    assert_eq!(refusal.heads, [expected]);
    let outcome = world.stream(vec![Some(naming(&first))]).await.remove(0);
    assert_eq!(outcome.unwrap_err(), refusal, "both ways in say the same");

    // A stranger's record is evidence, once a day.
    let mut theft = sound(&stranger, &[unit(1)], scan());
    theft.units[0].prev.clone_from(&head);
    let receipt = world.submit(seal(&stranger, &theft)).await.unwrap();
    assert_eq!(receipt.verdict.unwrap().beside, [0, 1]);
    assert_eq!(world.head(unit(1)).await, head, "and moves nothing");
    theft.nonce = vec![8; 16];
    let again = case_of(
        "the same theft again",
        seal(&stranger, &theft),
        Code::AlreadyExists,
        "ALREADY_REPORTED",
    );
    world.refuses(&[again]).await;
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_containers_in_containers_when_packed_in_a_circle_or_too_deep_then_refused() {
    let mut world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let cases: Vec<UnitId> = (0..10).map(case).collect();
    world.accepted(&maker, &cases, commission()).await;
    // The ninth is the outermost: eight levels around the first.
    for i in 0..8 {
        world
            .accepted(&maker, &[cases[i]], pack(cases[i + 1]))
            .await;
    }
    let packing = |record: &mut wire::Record, container: &wire::UnitHead| {
        let id = container.unit.clone();
        let container_ref = wire::UnitRef {
            id,
            prev: container.head.clone(),
        };
        record.body = Some(Body::Pack(wire::Pack {
            container: Some(container_ref),
        }));
        record.containers.clone_from(&container.containers);
        record
            .containers
            .retain(|around| around.id != record.units[0].id);
    };
    let heads = world.session.heads(&cases).await.unwrap();
    let mut circle = world.current(&maker, &[cases[8]], pack(cases[0])).await;
    packing(&mut circle, &heads[0]);
    let mut deep = world.current(&maker, &[cases[8]], pack(cases[9])).await;
    packing(&mut deep, &heads[9]);
    let refused = |given: &str, record: &wire::Record| {
        let envelope = seal(&maker, record);
        case_of(
            given,
            envelope,
            Code::FailedPrecondition,
            "FAILED_PRECONDITION",
        )
        .at("units[0]")
    };
    let refusals = [
        refused("the outermost into the innermost", &circle).says("inside itself"),
        refused("a ninth level", &deep).says("deeper than 8"),
    ];
    world.refuses(&refusals).await;
    world.is_intact().await;
}

// ---------------------------------------------------------------------------------------------
// Time
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_a_time_two_days_ahead_when_submitted_then_it_is_accepted_and_flagged() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let ahead = |serial: u64, time: u64, offset: i64| {
        let mut record = sound(maker, &[unit(serial)], commission());
        (record.claimed_time_ms, record.clock_offset_ms) = (time, offset);
        seal(maker, &record)
    };
    let flagged = |receipt: wire::Receipt| {
        let findings = receipt.verdict.unwrap_or_default().findings;
        findings.iter().map(wire::Finding::kind).collect::<Vec<_>>()
    };
    let future = [wire::FindingKind::TimeInFuture];
    let now = now();
    assert_eq!(
        flagged(world.submit(ahead(1, now + 2 * DAY, 0)).await.unwrap()),
        future
    );
    assert_eq!(
        flagged(world.submit(ahead(2, LAST_MS, 0)).await.unwrap()),
        future
    );
    let outcome = world
        .stream(vec![Some(ahead(3, now + 2 * DAY, 0))])
        .await
        .remove(0);
    assert_eq!(flagged(outcome.unwrap()), future);
    // A clock that is wrong and known to be is never by itself a finding.
    let skewed = ahead(4, now + 2 * DAY, -2 * DAY as i64);
    assert_eq!(flagged(world.submit(skewed).await.unwrap()), []);
    let unset = ahead(5, now - 366 * DAY, 366 * DAY as i64);
    assert_eq!(flagged(world.submit(unset).await.unwrap()), []);
    world.is_intact().await;
}

// ---------------------------------------------------------------------------------------------
// Again, at once, and half
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_the_same_envelope_when_sent_again_then_the_receipt_is_the_same() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let envelope = seal(maker, &sound(maker, &[unit(1)], commission()));
    let first = world.submit(envelope.clone()).await.unwrap();
    let size = world.size().await;
    assert_eq!(world.submit(envelope.clone()).await.unwrap(), first);
    for outcome in world.stream(vec![Some(envelope); 3]).await {
        assert_eq!(outcome.unwrap(), first);
    }
    assert_eq!(world.size().await, size);

    // Three times within one group.
    let twin = seal(maker, &sound(maker, &[unit(2)], commission()));
    let outcomes = world.stream(vec![Some(twin); 3]).await;
    let receipts = all_accepted(outcomes);
    assert_eq!(receipts, vec![receipts[0].clone(); 3]);
    assert_eq!(world.size().await, size + 1);

    // Whatever has changed since.
    let regulator = world.server.regulator_key();
    world
        .submit(seal(&regulator, &sound(&regulator, &[], suspend(MAKER))))
        .await
        .unwrap();
    let again = seal(maker, &sound(maker, &[unit(3)], commission()));
    assert_eq!(
        world.submit(again).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let roles = [wire::Role::Maker];
    world
        .submit(seal(
            &regulator,
            &sound(&regulator, &[], approve(MAKER, &roles)),
        ))
        .await
        .unwrap();
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_client_that_goes_away_mid_stream_when_asked_then_what_it_was_told_is_there() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let envelopes: Vec<wire::Envelope> = (0..200)
        .map(|n| seal(maker, &sound(maker, &[unit(n)], commission())))
        .collect();
    let (send, requests) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    // Its own connection, which goes away with it.
    let client = world.server.ledger().await;
    let mut stream = client
        .ledger()
        .submit_stream(requests)
        .await
        .unwrap()
        .into_inner();
    let feed = envelopes.clone();
    let feeding = tokio::spawn(async move {
        for envelope in feed {
            let envelope = Some(envelope);
            if send
                .send(wire::SubmitStreamRequest { envelope })
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let mut receipts = Vec::new();
    while receipts.len() < 50 {
        receipts.push(outcome(stream.message().await.unwrap().unwrap()).unwrap());
    }
    feeding.abort();
    drop((stream, client));

    for receipt in &receipts {
        let leaf = wire::get_inclusion_proof_request::Leaf::RecordId(receipt.record_id.clone());
        let request = wire::GetInclusionProofRequest {
            leaf: Some(leaf),
            size: 0,
        };
        let proof = world
            .ledger
            .log()
            .get_inclusion_proof(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(proof.index, receipt.log_index);
    }
    // It comes back, sends everything, and learns the same about what it knew.
    let outcomes = world
        .stream(envelopes.into_iter().map(Some).collect())
        .await;
    let again = all_accepted(outcomes);
    assert_eq!(again[..50], receipts[..]);
    let known = again.iter().map(|receipt| receipt.log_index);
    assert_eq!(known.collect::<std::collections::BTreeSet<_>>().len(), 200);
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_two_clients_at_one_head_when_they_race_then_one_wins_and_the_other_rebases() {
    let mut world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let device = key(50);
    world.accepted(&maker, &[], delegate(&device, MAKER)).await;
    world.accepted(&maker, &[unit(1)], commission()).await;
    let other = world.server.ledger().await;
    let submit = async |ledger: &Ledger, envelope: &wire::Envelope| {
        let request = wire::SubmitRequest {
            envelope: Some(envelope.clone()),
        };
        ledger.ledger().submit(request).await
    };
    for _ in 0..20 {
        let records = [
            world.current(&maker, &[unit(1)], scan()).await,
            world.current(&device, &[unit(1)], scan()).await,
        ];
        let signers = [&maker, &device];
        let envelopes = [seal(&maker, &records[0]), seal(&device, &records[1])];
        let (a, b) = tokio::join!(
            submit(&world.ledger, &envelopes[0]),
            submit(&other, &envelopes[1])
        );
        let lost = usize::from(a.is_ok());
        let (won, status) = match (a, b) {
            (Ok(receipt), Err(status)) | (Err(status), Ok(receipt)) => (receipt, status),
            both => panic!("exactly one wins: {both:?}"),
        };
        let winner = won.into_inner().receipt.unwrap().record_id;
        check_status("the slower", &status, Code::Aborted, "CONFLICT", "");
        let bytes = status
            .metadata()
            .get_bin("custody-refusal-bin")
            .unwrap()
            .to_bytes()
            .unwrap();
        let refusal = wire::Refusal::decode(bytes).unwrap();
        let head = wire::UnitRef {
            id: unit(1).to_string(),
            prev: winner,
        };
        assert_eq!(refusal.heads, [head.clone()]);
        let outcome = world
            .stream(vec![Some(envelopes[lost].clone())])
            .await
            .remove(0);
        assert_eq!(outcome.unwrap_err(), refusal, "the stream says the same");

        let mut rebased = records[lost].clone();
        rebased.units = vec![head];
        let receipt = world.submit(seal(signers[lost], &rebased)).await.unwrap();
        assert!(receipt.verdict.unwrap_or_default().findings.is_empty());
    }
    world.is_intact().await;
}

// ---------------------------------------------------------------------------------------------
// Questions
// ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn given_questions_out_of_range_when_asked_then_each_gets_its_code_and_field() {
    use wire::get_inclusion_proof_request::Leaf;
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let size = world.size().await;
    let [(mut ledger, mut provenance, mut registry, mut log, mut desk)] = [(
        world.ledger.ledger(),
        world.ledger.provenance(),
        world.ledger.registry(),
        regulator.log(),
        regulator.regulator(),
    )];
    let bad = |given: &str, status: Result<(), Status>, field: &str| {
        let status = status.expect_err(given);
        check_status(
            given,
            &status,
            Code::InvalidArgument,
            "INVALID_FIELD",
            field,
        );
    };
    let missing = |given: &str, status: Result<(), Status>| {
        let status = status.expect_err(given);
        check_status(given, &status, Code::NotFound, "NOT_FOUND", "");
    };
    macro_rules! ask {
        ($client:ident.$method:ident, $request:ident { $($fields:tt)* }) => {
            $client.$method(wire::$request { $($fields)* }).await.map(|_| ())
        };
    }
    let units = |count: u64| (0..count).map(|n| unit(n).to_string()).collect::<Vec<_>>();
    let no_unit = || String::from("01/10614141123458/21/1");

    for count in [0, 513] {
        let given = format!("{count} units");
        bad(
            &given,
            ask!(
                ledger.get_heads,
                GetHeadsRequest {
                    units: units(count)
                }
            ),
            "units",
        );
        let standings = ask!(
            provenance.batch_get_standings,
            BatchGetStandingsRequest {
                units: units(count)
            }
        );
        bad(&given, standings, "units");
    }
    ask!(ledger.get_heads, GetHeadsRequest { units: units(512) }).expect("512 are allowed");
    ask!(
        provenance.batch_get_standings,
        BatchGetStandingsRequest { units: units(512) }
    )
    .expect("512 are allowed");
    let mixed = || vec![unit(1).to_string(), no_unit()];
    bad(
        "a bad unit",
        ask!(ledger.get_heads, GetHeadsRequest { units: mixed() }),
        "units[1]",
    );
    let standings = ask!(
        provenance.batch_get_standings,
        BatchGetStandingsRequest { units: mixed() }
    );
    bad("a bad unit", standings, "units[1]");
    bad(
        "a bad unit",
        ask!(provenance.get_bundle, GetBundleRequest { unit: no_unit() }),
        "unit",
    );
    bad(
        "a bad unit",
        ask!(provenance.watch_unit, WatchUnitRequest { unit: no_unit() }),
        "unit",
    );
    bad(
        "no unit",
        ask!(
            provenance.watch_unit,
            WatchUnitRequest {
                unit: String::new()
            }
        ),
        "unit",
    );
    bad(
        "a bad unit",
        ask!(desk.verify_unit, VerifyUnitRequest { unit: no_unit() }),
        "unit",
    );
    bad(
        "a bad unit",
        ask!(
            provenance.get_provenance,
            GetProvenanceRequest {
                unit: no_unit(),
                ..Default::default()
            }
        ),
        "unit",
    );

    // Pages.
    let one = || unit(1).to_string();
    let maker = || MAKER.to_owned();
    bad(
        "a large page",
        ask!(
            provenance.get_provenance,
            GetProvenanceRequest {
                unit: one(),
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            registry.list_parties,
            ListPartiesRequest {
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            registry.list_products,
            ListProductsRequest {
                page_size: u32::MAX,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            registry.list_keys,
            ListKeysRequest {
                party: maker(),
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            desk.list_findings,
            ListFindingsRequest {
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            desk.list_entries,
            ListEntriesRequest {
                first: 0,
                page_size: 1001
            }
        ),
        "page_size",
    );
    for token in ["x", "-1", "99999999999999999999", " 1"] {
        let page_token = || token.to_owned();
        bad(
            "a bad token",
            ask!(
                provenance.get_provenance,
                GetProvenanceRequest {
                    unit: one(),
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
        bad(
            "a bad token",
            ask!(
                desk.list_findings,
                ListFindingsRequest {
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
    }
    for token in ["x", "0g", "abc"] {
        let page_token = || token.to_owned();
        bad(
            "a bad token",
            ask!(
                registry.list_parties,
                ListPartiesRequest {
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
        bad(
            "a bad token",
            ask!(
                registry.list_products,
                ListProductsRequest {
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
        bad(
            "a bad token",
            ask!(
                registry.list_keys,
                ListKeysRequest {
                    party: maker(),
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
    }
    // A token from another party's list leads nowhere.
    let token = |party: &str| hex::encode(Trade::party(party).to_compact());
    for other in [COURIER, STRANGER, REGULATOR] {
        let request = wire::ListKeysRequest {
            party: maker(),
            page_token: token(other),
            page_size: 0,
        };
        let keys = registry.list_keys(request).await.unwrap().into_inner().keys;
        assert!(keys.iter().all(|key| key.party == MAKER), "{keys:?}");
    }
    let many = wire::FindingFilter {
        kinds: vec![4; 65],
        ..Default::default()
    };
    bad(
        "65 kinds",
        ask!(
            desk.list_findings,
            ListFindingsRequest {
                filter: Some(many.clone()),
                ..Default::default()
            }
        ),
        "filter.kinds",
    );
    bad(
        "65 kinds",
        ask!(
            desk.watch_findings,
            WatchFindingsRequest {
                filter: Some(many),
                from_sequence: 0
            }
        ),
        "filter.kinds",
    );
    let unit_filter = wire::FindingFilter {
        unit: no_unit(),
        ..Default::default()
    };
    bad(
        "a bad unit",
        ask!(
            desk.list_findings,
            ListFindingsRequest {
                filter: Some(unit_filter),
                ..Default::default()
            }
        ),
        "filter.unit",
    );

    // The registry.
    bad(
        "a bad party",
        ask!(registry.get_party, GetPartyRequest { id: "gln:1".into() }),
        "id",
    );
    bad(
        "a bad party",
        ask!(
            registry.list_keys,
            ListKeysRequest {
                party: "me".into(),
                ..Default::default()
            }
        ),
        "party",
    );
    bad(
        "a short key id",
        ask!(registry.get_key, GetKeyRequest { id: vec![1; 15] }),
        "id",
    );
    bad(
        "no scope",
        ask!(registry.get_product, GetProductRequest { scope: None }),
        "scope",
    );
    bad(
        "a bad prefix",
        ask!(
            registry.get_product,
            GetProductRequest { scope: prefix("1") }
        ),
        "scope.company_prefix",
    );
    missing(
        "an unknown party",
        ask!(registry.get_party, GetPartyRequest { id: gln(9) }),
    );
    missing(
        "an unknown key",
        ask!(registry.get_key, GetKeyRequest { id: vec![1; 16] }),
    );
    let delegated = world.trade.scanner.key_id().0.to_vec();
    missing(
        "an employee's key",
        ask!(registry.get_key, GetKeyRequest { id: delegated }),
    );
    missing(
        "an unclaimed prefix",
        ask!(
            registry.get_product,
            GetProductRequest {
                scope: prefix("0614149")
            }
        ),
    );

    // Tiles and proofs.
    bad(
        "level 8",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 8,
                index: 0,
                width: 1
            }
        ),
        "level",
    );
    bad(
        "level 256",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 256,
                index: 0,
                width: 1
            }
        ),
        "level",
    );
    bad(
        "width 257",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: 0,
                width: 257
            }
        ),
        "width",
    );
    missing(
        "a tile to come",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: 1,
                width: 1
            }
        ),
    );
    missing(
        "a full tile to come",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: 0,
                width: 0
            }
        ),
    );
    missing(
        "a level to come",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 1,
                index: 0,
                width: 1
            }
        ),
    );
    missing(
        "the last tile",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: u64::MAX,
                width: 256
            }
        ),
    );
    let proof = |leaf, size| wire::GetInclusionProofRequest {
        leaf: Some(leaf),
        size,
    };
    for (given, request, field) in [
        (
            "no leaf",
            wire::GetInclusionProofRequest {
                leaf: None,
                size: 0,
            },
            "leaf",
        ),
        ("an index to come", proof(Leaf::Index(size), 0), "index"),
        (
            "an index beyond the size",
            proof(Leaf::Index(3), 3),
            "index",
        ),
        ("the last index", proof(Leaf::Index(u64::MAX), 0), "index"),
        ("a size to come", proof(Leaf::Index(0), size + 1), "size"),
        (
            "a short record id",
            proof(Leaf::RecordId(vec![1; 31]), 0),
            "record_id",
        ),
    ] {
        bad(
            given,
            log.get_inclusion_proof(request).await.map(|_| ()),
            field,
        );
    }
    let unknown = proof(Leaf::RecordId(vec![1; 32]), 0);
    missing(
        "an unknown record",
        log.get_inclusion_proof(unknown).await.map(|_| ()),
    );
    for (given, first_size, second_size, field) in [
        ("from nothing", 0, 0, "first_size"),
        ("backwards", size, 1, "first_size"),
        ("from a size to come", size + 1, 0, "first_size"),
        ("to a size to come", 1, u64::MAX, "second_size"),
    ] {
        let request = wire::GetConsistencyProofRequest {
            first_size,
            second_size,
        };
        bad(
            given,
            log.get_consistency_proof(request).await.map(|_| ()),
            field,
        );
    }
    bad(
        "an end to come",
        ask!(
            log.stream_entries,
            StreamEntriesRequest {
                first: 0,
                end: size + 1
            }
        ),
        "end",
    );

    // What is beyond the end and no mistake is empty.
    let request = wire::StreamEntriesRequest {
        first: u64::MAX,
        end: 0,
    };
    let mut entries = log.stream_entries(request).await.unwrap().into_inner();
    assert!(entries.message().await.unwrap().is_none());
    let request = wire::ListEntriesRequest {
        first: u64::MAX,
        page_size: 1,
    };
    let page = desk.list_entries(request).await.unwrap().into_inner();
    assert_eq!((page.entries.len(), page.next), (0, 0));
    world.is_intact().await;
}

// ---------------------------------------------------------------------------------------------
// Tokens
// ---------------------------------------------------------------------------------------------

/// Claims as a regulator's token has them, for a test to spoil.
fn claims(signer: &Signer, party: &str) -> Claims {
    let mut claims = Claims::new_expires_in(&std::time::Duration::from_secs(600)).unwrap();
    claims.issuer(party).unwrap();
    claims.subject(&signer.key_id().to_string()).unwrap();
    claims.audience(ORIGIN).unwrap();
    claims
}

fn token_of(signer: &Signer, claims: &Claims) -> String {
    use pasetors::keys::AsymmetricSecretKey;
    let pair = [&signer.seed()[..], signer.public_key().as_bytes()].concat();
    let secret = AsymmetricSecretKey::<pasetors::version4::V4>::from(&pair).unwrap();
    pasetors::public::sign(&secret, claims, None, None).unwrap()
}

/// Every call that needs a regulator's token, and `StreamEntries` last.
async fn guarded(ledger: &Ledger) -> Vec<(&'static str, Result<(), Status>)> {
    let (mut desk, mut log) = (ledger.regulator(), ledger.log());
    macro_rules! call {
        ($client:ident.$method:ident($request:ident)) => {
            (
                stringify!($method),
                $client.$method(wire::$request::default()).await.map(|_| ()),
            )
        };
    }
    let unit = unit(1).to_string();
    let verify = desk
        .verify_unit(wire::VerifyUnitRequest { unit })
        .await
        .map(|_| ());
    vec![
        call!(desk.list_findings(ListFindingsRequest)),
        call!(desk.watch_findings(WatchFindingsRequest)),
        ("verify_unit", verify),
        call!(desk.list_entries(ListEntriesRequest)),
        call!(desk.stats(StatsRequest)),
        call!(log.stream_entries(StreamEntriesRequest)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_token_that_is_not_good_when_a_guarded_call_is_made_then_it_is_refused() {
    let mut world = World::start().await;
    let regulator = world.server.regulator_key();
    let maker = Arc::clone(&world.trade.maker);
    let (device, revoked) = (key(60), key(61));
    let setup = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&regulator, &[], delegate(&device, REGULATOR)),
        draft(&regulator, &[], add_key(&revoked, REGULATOR)),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());
    let good = token_of(&regulator, &claims(&regulator, REGULATOR));
    let before_revocation = token_of(&revoked, &claims(&revoked, REGULATOR));
    for token in [&good, &before_revocation] {
        let ledger = world.ledger.with_token(Token::bearer(token).unwrap());
        for (call, outcome) in guarded(&ledger).await {
            outcome.unwrap_or_else(|status| panic!("{call}: {status}"));
        }
    }
    let superseded = revoke(&revoked, wire::RevocationReason::Superseded, 0);
    world.accepted(&regulator, &[], superseded).await;

    let spoiled = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims(&regulator, REGULATOR);
        change(&mut claims);
        token_of(&regulator, &claims)
    };
    let mut tampered = good.clone().into_bytes();
    let at = tampered.len() - 20;
    tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
    let stranger = key(62);
    let other_key = token_of(&stranger, &claims(&regulator, REGULATOR));
    let invalid: Vec<(&str, String)> = vec![
        ("garbage", "garbage".into()),
        ("empty", String::new()),
        (
            "a token of another purpose",
            good.replacen("v4.public.", "v4.local.", 1),
        ),
        (
            "a token of another version",
            good.replacen("v4.public.", "v2.public.", 1),
        ),
        ("tampered", String::from_utf8(tampered).unwrap()),
        ("cut", good[..good.len() - 4].to_owned()),
        ("longer than 4,096", format!("{good}{}", "A".repeat(4096))),
        (
            "for another ledger",
            spoiled(&|c| c.audience("other.example/ledger").unwrap()),
        ),
        (
            "expired",
            spoiled(&|c| {
                c.issued_at("2026-01-01T00:00:00Z").unwrap();
                c.not_before("2026-01-01T00:00:00Z").unwrap();
                c.expiration("2026-01-01T00:10:00Z").unwrap();
            }),
        ),
        (
            "from tomorrow on",
            spoiled(&|c| {
                c.issued_at("2199-01-01T00:00:00Z").unwrap();
                c.not_before("2199-01-01T00:00:00Z").unwrap();
                c.expiration("2199-01-01T00:10:00Z").unwrap();
            }),
        ),
        (
            "longer than an hour",
            spoiled(&|c| {
                c.set_expires_in(&std::time::Duration::from_secs(3601))
                    .unwrap();
            }),
        ),
        ("without end", spoiled(&Claims::non_expiring)),
        ("by another's key", other_key),
        (
            "by a key that nobody registered",
            token_of(&stranger, &claims(&stranger, REGULATOR)),
        ),
        (
            "by a delegated key",
            token_of(&device, &claims(&device, REGULATOR)),
        ),
        ("by a revoked key", before_revocation),
        (
            "in another's name",
            token_of(&maker, &claims(&maker, REGULATOR)),
        ),
        ("without a key", spoiled(&|c| c.subject("nobody").unwrap())),
    ];
    let before = world.size().await;
    for (given, token) in &invalid {
        let ledger = world.ledger.with_token(Token::bearer(token).unwrap());
        for (call, outcome) in guarded(&ledger).await {
            let given = format!("{call}, {given}");
            let status = outcome.expect_err(&given);
            check_status(&given, &status, Code::Unauthenticated, "TOKEN_INVALID", "");
        }
    }
    for (call, outcome) in guarded(&world.ledger).await {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::Unauthenticated, "TOKEN_MISSING", "");
    }
    let makers = token_of(&maker, &claims(&maker, MAKER));
    for (call, outcome) in guarded(&world.ledger.with_token(Token::bearer(&makers).unwrap())).await
    {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::PermissionDenied, "ROLE_MISSING", "");
    }
    assert_eq!(world.size().await, before);
    world.is_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_auditors_token_when_used_then_it_reads_the_log_and_nothing_else() {
    let mut world = World::start().await;
    let (regulator, auditor) = (world.server.regulator_key(), key(63));
    let party = gln(5);
    let roles = [wire::Role::Auditor];
    let setup = vec![
        draft(&world.trade.maker, &[unit(1)], commission()),
        draft(&auditor, &[], register(&auditor, &party, &roles)),
        draft(&regulator, &[], approve(&party, &roles)),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());
    let token = token_of(&auditor, &claims(&auditor, &party));
    let ledger = world.ledger.with_token(Token::bearer(&token).unwrap());
    let size = world.size().await;
    let mut calls = guarded(&ledger).await;
    let (name, streamed) = calls.pop().unwrap();
    assert_eq!(name, "stream_entries");
    streamed.expect("an auditor reads the log");
    for (call, outcome) in calls {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::PermissionDenied, "ROLE_MISSING", "");
    }
    let request = wire::StreamEntriesRequest {
        first: 0,
        end: size,
    };
    let mut stream = ledger
        .log()
        .stream_entries(request)
        .await
        .unwrap()
        .into_inner();
    let mut count = 0;
    while let Some(page) = stream.message().await.unwrap() {
        count += page.entries.len() as u64;
    }
    assert_eq!(count, size);

    // Suspended, it is out at once, with the token that it has.
    world.accepted(&regulator, &[], suspend(&party)).await;
    for (call, outcome) in guarded(&ledger).await {
        let status = outcome.expect_err(call);
        check_status(call, &status, Code::PermissionDenied, "ROLE_MISSING", "");
    }
    world.is_intact().await;
}
