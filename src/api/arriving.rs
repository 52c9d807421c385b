//! Requests that have not come whole, and how much of them is kept.
//!
//! A request is put together before anything of it is looked at, so that nobody has shown a token yet, and a connection may
//! have a thousand calls open. Whoever sent all but the end of each would be given gigabytes for nothing. So all of them
//! share a bound, of which callers of one network have a part, and each has its time. What has come whole by the time it
//! is looked at, as nearly all requests have, is never counted.
//!
//! Of a stream each message is short, and there are so many streams at most; one that has had a long message keeps room
//! for another, and counts it.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, BodyDataStream};
use axum::extract::{ConnectInfo, Request};
use axum::http::Extensions;
use prost::bytes::{Bytes, BytesMut};
use tokio_stream::{Stream as _, StreamExt as _};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Code, Status};

use super::{MAX_MESSAGE_BYTES, errors};
use crate::core::envelope::MAX_ENVELOPE_BYTES;
use crate::network::{Share, Shares};

/// What a call counts beside its bytes: some kilobytes of HTTP/2 and tasks.
const CALL_BYTES: usize = 8 << 10;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before each message: whether it is compressed, and its length in four bytes, big endian (gRPC over HTTP/2,
/// `Length-Prefixed-Message`).
const PREFIX_BYTES: usize = 5;

/// The only stream of many requests. It has a place of its own.
pub(super) const SUBMIT_STREAM: &str = "/custody.v1.LedgerService/SubmitStream";
/// Most bytes of a message with a record: its envelope has at most [`MAX_ENVELOPE_BYTES`]. A longer one is refused.
const RECORD_BYTES: usize = 64 << 10;
const _: () = assert!(RECORD_BYTES > MAX_ENVELOPE_BYTES + 64);
/// A stream as well: who asks may wait for an answer before it asks again.
pub(super) const REFLECTION: &str = "/grpc.reflection.";
/// Most bytes of such a question, which names one thing.
const QUESTION_BYTES: usize = 4 << 10;
/// What such a stream counts as long as it is open.
const REFLECTION_BYTES: usize = 32 << 10;

/// Who calls, where that is not who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

/// The request with all of its body; a stream as it comes, if no message of it is too long.
pub(super) async fn taken(
    arriving: &Shares,
    from: IpAddr,
    request: Request,
) -> Result<Request, Status> {
    let path = request.uri().path();
    let mut kept = Kept(arriving.of(from));
    if path == SUBMIT_STREAM {
        return Ok(streamed(request, kept, MAX_MESSAGE_BYTES));
    }
    if path.starts_with(REFLECTION) {
        kept.set(REFLECTION_BYTES)?;
        return Ok(streamed(request, kept, QUESTION_BYTES));
    }
    let (parts, body) = request.into_parts();
    let most = PREFIX_BYTES + MAX_MESSAGE_BYTES;
    let body = whole(arriving, from, body, most).await?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// All of a body, of so many bytes at most.
///
/// # Errors
/// OUT_OF_RANGE when it is too long, RESOURCE_EXHAUSTED when too much is coming, DEADLINE_EXCEEDED when it takes too
/// long.
pub async fn whole(
    arriving: &Shares,
    from: IpAddr,
    body: Body,
    most: usize,
) -> Result<Bytes, Status> {
    let mut gathered = Gathered {
        body: body.into_data_stream(),
        first: Bytes::new(),
        bytes: BytesMut::new(),
        kept: Kept(arriving.of(from)),
        most,
    };
    // Mostly all of it is there, and nothing is counted.
    let there = poll_fn(|context| Poll::Ready(gathered.poll(context))).await;
    match there {
        Poll::Ready(whole) => whole,
        Poll::Pending => {
            let rest = poll_fn(|context| gathered.poll(context));
            let came = tokio::time::timeout(PATIENCE, rest).await;
            came.map_err(|_| errors::of_reason(Code::DeadlineExceeded, "SLOW", "", SLOW))?
        }
    }
}

const SLOW: &str = "the request did not come whole within a minute";

fn too_long(most: usize) -> Status {
    let message = format!("a request has at most {most} bytes here");
    errors::of_reason(Code::OutOfRange, "TOO_LONG", "", &message)
}

/// The request, whose body ends with the first message that is too long. What is kept counts while it is open.
fn streamed(request: Request, mut kept: Kept, most: usize) -> Request {
    request.map(|body| {
        let mut message = Message::default();
        Body::from_stream(body.into_data_stream().map(move |data| {
            let data = data?;
            let longest = message.take(&data);
            if longest > most {
                return Err(too_long(most).into());
            }
            if longest > RECORD_BYTES {
                kept.set(longest)?;
            }
            Ok::<_, BoxError>(data)
        }))
    })
}

/// Who calls; those who can't be told apart share a network.
pub(super) fn from(extensions: &Extensions) -> IpAddr {
    let caller = extensions.get::<Caller>().map(|caller| caller.0);
    let http = extensions.get::<ConnectInfo<SocketAddr>>();
    let connected = over_grpc(extensions).or(http.map(|info| info.0.ip()));
    caller.or(connected).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

/// Who is at the other end of a connection to the port for gRPC; none for a call that came over HTTP, or is made by this
/// process itself.
pub(super) fn over_grpc(extensions: &Extensions) -> Option<IpAddr> {
    let tcp = extensions.get::<TcpConnectInfo>();
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
    let connected = tcp.or(tls.map(TlsConnectInfo::get_ref));
    let address = connected.and_then(TcpConnectInfo::remote_addr);
    address.map(|address| address.ip())
}

/// A body, while it is put together.
struct Gathered {
    body: BodyDataStream,
    /// Mostly there is no other piece, and it is not copied.
    first: Bytes,
    /// All pieces, where there are several.
    bytes: BytesMut,
    kept: Kept,
    most: usize,
}

impl Gathered {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        loop {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => self.add(piece)?,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Status::from_error(error.into())));
                }
                Poll::Ready(None) if self.bytes.is_empty() => {
                    return Poll::Ready(Ok(std::mem::take(&mut self.first)));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Ok(std::mem::take(&mut self.bytes).freeze()));
                }
                Poll::Pending => {
                    // No more than a window has come since it was counted last.
                    self.kept.set(CALL_BYTES + self.length())?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn length(&self) -> usize {
        self.first.len().max(self.bytes.len())
    }

    fn add(&mut self, piece: Bytes) -> Result<(), Status> {
        let length = self.length() + piece.len();
        if length > self.most {
            return Err(too_long(self.most));
        }
        if self.first.is_empty() {
            self.first = piece;
            return Ok(());
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&self.first);
        }
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }
}

/// What is kept of one request.
#[derive(Debug)]
struct Kept(Share);

impl Kept {
    /// It is so many bytes from here on, if there is room.
    fn set(&mut self, bytes: usize) -> Result<(), Status> {
        if self.0.set(bytes) {
            return Ok(());
        }
        metrics::counter!("custody_requests_refused_total").increment(1);
        Err(errors::overloaded(
            "too many requests have come in part; finish those that were begun, or try again later",
        ))
    }
}

/// How far the message is that is coming.
#[derive(Debug, Default)]
struct Message {
    prefix_bytes: usize,
    length: usize,
    /// Bytes that came after the prefix.
    came: usize,
    /// The length of the longest one so far.
    longest: usize,
}

impl Message {
    /// Takes what came next: how long the longest message is so far, by the lengths that have come.
    fn take(&mut self, mut data: &[u8]) -> usize {
        while let Some((first, after)) = data.split_first() {
            if self.prefix_bytes < PREFIX_BYTES {
                if self.prefix_bytes > 0 {
                    self.length = self.length << 8 | usize::from(*first);
                }
                self.prefix_bytes += 1;
                data = after;
            } else {
                let came = data.len().min(self.length - self.came);
                self.came += came;
                data = data.get(came..).unwrap_or_default();
            }
            if self.prefix_bytes == PREFIX_BYTES {
                self.longest = self.longest.max(self.length);
                if self.came == self.length {
                    (self.prefix_bytes, self.length, self.came) = (0, 0, 0);
                }
            }
        }
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Part;

    proptest! {
        /// However they are cut: the longest is known as soon as its length has come.
        #[test]
        fn the_longest_message_is_known_by_its_length(
            lengths in proptest::collection::vec(prop_oneof![0usize..8, 0usize..70_000], 0..12),
            pieces in proptest::collection::vec(1usize..40_000, 1..40),
        ) {
            let (mut bytes, mut prefixes) = (Vec::new(), Vec::new());
            for length in &lengths {
                bytes.push(0);
                bytes.extend_from_slice(&(*length as u32).to_be_bytes());
                prefixes.push((bytes.len(), *length));
                bytes.resize(bytes.len() + length, 7);
            }
            let (mut message, mut at) = (Message::default(), 0);
            for piece in pieces.into_iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let to = bytes.len().min(at + piece);
                let longest = message.take(&bytes[at..to]);
                at = to;
                let known = prefixes.iter().filter(|(end, _)| *end <= at);
                prop_assert_eq!(longest, known.map(|(_, length)| *length).max().unwrap_or(0));
            }
        }
    }

    #[test]
    fn given_all_that_one_network_may_keep_when_more_comes_then_it_is_overloaded() {
        let arriving = arriving();
        let (mut one, mut other) = (Kept(arriving.of(HERE)), Kept(arriving.of(HERE)));
        one.set(MOST / 4 - 5).unwrap();
        other.set(5).unwrap();
        let refused = other.set(6).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        Kept(arriving.of([192, 0, 2, 1].into())).set(6).unwrap();
    }

    const MOST: usize = 1 << 20;

    fn arriving() -> Shares {
        Shares::new(MOST, Part::QUARTER)
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn body(pieces: Vec<&'static str>) -> Body {
        let pieces = pieces.into_iter().map(Ok::<_, BoxError>);
        Body::from_stream(tokio_stream::iter(pieces))
    }

    #[tokio::test]
    async fn given_a_body_in_pieces_when_taken_then_it_is_whole_unless_it_is_too_long() {
        let arriving = arriving();
        for (pieces, all) in [
            (vec![], ""),
            (vec!["goods"], "goods"),
            (vec!["", "go", "", "o", "ds"], "goods"),
        ] {
            let taken = whole(&arriving, HERE, body(pieces.clone()), 5).await;
            assert_eq!(taken.unwrap(), all);
            if !all.is_empty() {
                let refused = whole(&arriving, HERE, body(pieces), 4).await.unwrap_err();
                assert_eq!(refused.code(), tonic::Code::OutOfRange);
            }
        }
        assert_eq!(arriving.taken(), (0, 0));
    }

    #[tokio::test]
    async fn given_a_body_that_does_not_end_when_it_is_waited_for_then_it_counts_until_it_is_given_up()
     {
        let arriving = arriving();
        let (pieces, rest) = tokio::sync::mpsc::channel::<Result<Bytes, BoxError>>(2);
        let rest = tokio_stream::wrappers::ReceiverStream::new(rest);
        let mut waited = Box::pin(whole(&arriving, HERE, Body::from_stream(rest), 100));
        let mut kept = 0;
        for piece in [b"goods".as_slice(), b"", b"and more"] {
            pieces.send(Ok(Bytes::from_static(piece))).await.unwrap();
            let polled = poll_fn(|context| Poll::Ready(waited.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            kept += piece.len();
            assert_eq!(arriving.taken(), (CALL_BYTES + kept, 1));
        }
        drop(waited);
        assert_eq!(arriving.taken(), (0, 0));
    }

    #[test]
    fn who_calls_is_at_the_other_end_unless_somebody_in_between_says_who() {
        let address = |last| SocketAddr::from(([10, 0, 0, last], 7070));
        let mut request = Request::new(Body::empty());
        assert_eq!(from(request.extensions()), Ipv4Addr::UNSPECIFIED);
        request.extensions_mut().insert(ConnectInfo(address(1)));
        assert_eq!(from(request.extensions()), address(1).ip());
        assert_eq!(over_grpc(request.extensions()), None);
        let tcp = TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(address(2)),
        };
        request.extensions_mut().insert(tcp);
        assert_eq!(from(request.extensions()), address(2).ip());
        request.extensions_mut().insert(Caller(address(3).ip()));
        assert_eq!(from(request.extensions()), address(3).ip());
        assert_eq!(over_grpc(request.extensions()), Some(address(2).ip()));
    }
}
