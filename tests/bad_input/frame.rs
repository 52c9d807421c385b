//! Frame and signature: what never gets as far as a record.

use custody::core::envelope::MAX_ENVELOPE_BYTES;
use custody::core::wire;
use prost::Message as _;
use tonic::Code;

use crate::common::*;
use crate::world::*;

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
    world.stays_intact().await;
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
    world.stays_intact().await;
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
    world.stays_intact().await;
}
