//! More connections than a port takes, more streams, and more of requests than is kept before they are whole.

use std::future::poll_fn;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use axum::body::{Body, Bytes};
use custody::core::wire::ledger_service_client::LedgerServiceClient;
use custody::core::wire::{SubmitStreamRequest, SubmitStreamResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::GrpcService as _;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::*;
use crate::world::check_status;

/// A connection to an address such as `http://127.0.0.1:7070` that says nothing.
fn silent(address: &str) -> TcpStream {
    let socket = address.split('/').nth(2).unwrap();
    TcpStream::connect(socket).unwrap()
}

/// Whether the server has closed it.
fn is_closed(mut connection: &TcpStream) -> bool {
    let moment = Some(Duration::from_millis(20));
    connection.set_read_timeout(moment).unwrap();
    match connection.read(&mut [0; 256]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_network_with_more_connections_than_its_part_when_it_opens_one_then_it_is_closed()
{
    let server = Server::start_with(&["--max-connections", "8"]);
    for (port, address) in [("grpc", &server.address), ("http", &server.http)] {
        let opened = [silent(address), silent(address), silent(address)];
        // They get their places in no order.
        eventually(|| opened.iter().any(is_closed), port);
        let refused = format!("custody_connections_refused_total{{port=\"{port}\"}} ");
        assert_eq!(metric(&server, &refused), 1.0, "{refused}");
    }
    // Their places are free again as soon as the server sees that they are gone.
    let taken = || metric(&server, "custody_connections{port=\"grpc\"} ");
    eventually(|| taken() == 0.0, "the places stay taken");
    let mut session = server.session().await;
    Trade::set_up(&server, &mut session).await;
}

/// A way to an address of the server from a network of this machine's own.
fn from(address: &str, network: u8) -> Endpoint {
    let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
    endpoint.local_address(Some([127, 0, network, 1].into()))
}

/// Waits until something can be had again: as soon as the server sees that others have gone.
async fn freed(mut is_had: impl AsyncFnMut() -> bool) {
    let trying = async { while !is_had().await {} };
    let freed = tokio::time::timeout(Duration::from_secs(60), trying).await;
    freed.expect("the places stay taken");
}

/// A submission stream on which nothing is said. It is open until both halves are dropped.
type Quiet = (
    mpsc::Sender<SubmitStreamRequest>,
    Streaming<SubmitStreamResponse>,
);

async fn opened(channel: &Channel) -> Result<Quiet, Status> {
    let (records, nothing) = mpsc::channel(1);
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let answers = ledger.submit_stream(ReceiverStream::new(nothing)).await?;
    Ok((records, answers.into_inner()))
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_network_with_its_part_of_the_streams_when_it_opens_one_then_others_still_can() {
    let server = Server::start_with(&[]);
    let from = |network| from(&server.address, network).connect_lazy();
    // As many as a network has, which are more than a connection may have with others beside them.
    let (one, again) = (from(1), from(1));
    let mut streams = Vec::new();
    for channel in [&one, &again].iter().cycle().take(1_024) {
        streams.push(opened(channel).await.unwrap());
    }
    let refused = opened(&one).await.unwrap_err();
    check_status(
        "streams",
        &refused,
        Code::ResourceExhausted,
        "OVERLOADED",
        "",
    );
    opened(&from(2)).await.unwrap();
    streams.truncate(1_000);
    let mut session = server.session().await;
    Trade::set_up(&server, &mut session).await;
    freed(async || opened(&one).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_network_that_watches_health_as_often_as_it_may_when_it_asks_again_then_it_is_refused()
 {
    let server = Server::start_with(&[]);
    let endpoint = Endpoint::from_shared(server.address.clone()).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let mut watched = Vec::new();
    for _ in 0..256 {
        let answers = health.watch(HealthCheckRequest::default()).await.unwrap();
        watched.push(answers.into_inner());
    }
    let refused = health.watch(HealthCheckRequest::default()).await;
    let refused = refused.unwrap_err();
    check_status(
        "watches",
        &refused,
        Code::ResourceExhausted,
        "OVERLOADED",
        "",
    );
    let state = watched[0].message().await.unwrap().unwrap();
    assert_eq!(state.status(), ServingStatus::Serving);
    // To ask once takes no place, and what is watched no more has none.
    health.check(HealthCheckRequest::default()).await.unwrap();
    watched.clear();
    freed(async || health.watch(HealthCheckRequest::default()).await.is_ok()).await;
}

/// Makes a call when the connection is ready for it.
async fn called(
    channel: &mut Channel,
    request: Request<tonic::body::Body>,
) -> Response<tonic::body::Body> {
    poll_fn(|context| channel.poll_ready(context))
        .await
        .unwrap();
    channel.call(request).await.unwrap()
}

/// A call over gRPC.
fn grpc(path: &str, body: Body) -> Request<tonic::body::Body> {
    Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap()
}

/// A message as gRPC sends it.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// Whether a call with one message is answered, and what it goes on with. Nobody reads that.
async fn asked(
    channel: &mut Channel,
    (path, message): (&str, &[u8]),
) -> Result<Response<tonic::body::Body>, Status> {
    let answer = called(channel, grpc(path, Body::from(framed(message)))).await;
    match Status::from_header_map(answer.headers()) {
        Some(status) => Err(status),
        None if answer.status().is_success() => Ok(answer),
        None => Err(Status::unknown(answer.status().to_string())),
    }
}

/// As many connections as are needed for what one network may have.
fn several(endpoint: &Endpoint) -> [Channel; 8] {
    [(); 8].map(|()| endpoint.connect_lazy())
}

/// Asks over several connections until it is refused: why, and the answers until then, which are not read.
async fn refused<A, E>(
    channels: &mut [Channel; 8],
    mut ask: impl AsyncFnMut(&mut Channel) -> Result<A, E>,
) -> (E, Vec<A>) {
    let mut unread = Vec::new();
    let asking = async {
        loop {
            match ask(&mut channels[unread.len() % 8]).await {
                Ok(answer) => unread.push(answer),
                Err(refused) => break refused,
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(60), asking).await;
    (refused.expect("nothing is refused"), unread)
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_network_that_reads_no_answer_when_it_asks_on_then_it_is_refused_and_others_are_not()
 {
    let server = Server::start_with(&["--network-part", "20"]);
    // Of what it asks for it takes nothing but that there is an answer, or one byte: the rest lies in another place then.
    // A fifth of 512 MiB, at 16 KiB each, of 4,096 streams, and of 1,024.
    let mut network = 0;
    for (path, message, most) in [
        ("/grpc.health.v1.Health/Check", b"".as_slice(), 6_553),
        ("/custody.v1.LedgerService/SubmitStream", b"", 820),
        ("/grpc.health.v1.Health/Watch", b"", 205),
        // It lists the services (`list_services`, a text).
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            b"\x3a\x01*",
            205,
        ),
    ] {
        let call = (path, message);
        for window in [0, 1] {
            network += 1;
            let endpoint = from(&server.address, network).initial_stream_window_size(window);
            let mut channels = several(&endpoint);
            let (refused, mut unread) =
                refused(&mut channels, async |channel| asked(channel, call).await).await;
            let what = format!("{path}, a window of {window}");
            check_status(&what, &refused, Code::ResourceExhausted, "OVERLOADED", "");
            assert_eq!(unread.len(), most, "{what}");
            let mut other = from(&server.address, 99).connect_lazy();
            asked(&mut other, call).await.unwrap();
            unread.clear();
            freed(async || asked(&mut channels[0], call).await.is_ok()).await;
        }
    }
    assert!(metric(&server, "custody_answers_refused_total ") >= 2.0);
    let mut session = server.session().await;
    Trade::set_up(&server, &mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_network_that_reads_no_page_when_it_asks_on_then_it_is_refused_and_others_are_not()
 {
    let server = Server::start_with(&["--network-part", "20"]);
    let get = async |channel: &mut Channel, path: &str| {
        let request = Request::get(path).body(tonic::body::Body::empty()).unwrap();
        let answer = called(channel, request).await;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(status),
        }
    };
    // What is made for who asks, and what is there for everybody.
    for (network, path) in [(1, "/checkpoint"), (2, "/openapi.json")] {
        let endpoint = from(&server.http, network).initial_stream_window_size(0);
        let mut channels = several(&endpoint);
        let (refused, mut unread) =
            refused(&mut channels, async |channel| get(channel, path).await).await;
        assert_eq!(refused, 503, "{path}");
        // A fifth of 512 MiB, at 16 KiB each.
        assert_eq!(unread.len(), 6_553, "{path}");
        get(&mut from(&server.http, 9).connect_lazy(), path)
            .await
            .unwrap();
        unread.clear();
        freed(async || get(&mut channels[0], path).await.is_ok()).await;
    }
    // Those who ask over gRPC have other memory.
    let mut session = server.session().await;
    Trade::set_up(&server, &mut session).await;
}

/// Bytes of a message that is as long as one may be.
const LENGTH: usize = 4 << 20;

/// Begins a call of which the end never comes, though its message is whole: all of that was sent when this returns, unless
/// the server answered before. The call goes on until the answer is dropped.
async fn begin(mut channel: Channel) -> JoinSet<Response<tonic::body::Body>> {
    let (pieces, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = Body::from_stream(ReceiverStream::new(body));
    let request = grpc("/custody.v1.LedgerService/GetHeads", body);
    let mut call = JoinSet::new();
    call.spawn(async move { called(&mut channel, request).await });
    for piece in framed(&vec![7; LENGTH]).chunks(64 << 10) {
        // It is closed once the server wants no more of it.
        let _ = pieces.send(Ok(Bytes::copy_from_slice(piece))).await;
    }
    // Its end would be the end of the call.
    tokio::spawn(async move { pieces.closed().await });
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn given_requests_of_which_the_end_never_comes_when_there_are_too_many_then_one_is_refused() {
    const REFUSED: &str = "custody_requests_refused_total ";
    let server = Server::start_with(&[]);
    let endpoint = Endpoint::from_shared(server.address.clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    // What is kept of a call that ends is given back, so three times half of what one network may have is no matter.
    for _ in 0..3 {
        let mut half = Vec::new();
        for _ in 0..8 {
            half.push(begin(channel.clone()).await);
        }
    }
    assert!(metric(&server, REFUSED).is_nan(), "one was refused");
    let mut calls = JoinSet::new();
    for _ in 0..17 {
        let mut call = begin(channel.clone()).await;
        calls.spawn(async move { call.join_next().await.unwrap().unwrap() });
    }
    let first = tokio::time::timeout(Duration::from_secs(60), calls.join_next()).await;
    let answer = first.expect("none was refused").unwrap().unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    check_status(
        "not whole",
        &status,
        Code::ResourceExhausted,
        "OVERLOADED",
        "",
    );
    assert!(metric(&server, REFUSED) >= 1.0);
    // Requests that are whole are taken meanwhile.
    let mut session = server.session().await;
    Trade::set_up(&server, &mut session).await;
}
