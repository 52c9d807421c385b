//! Answers that have not gone whole, and how much of them is kept.
//!
//! Whoever asks need not read: HTTP/2 lets a peer take as little of an answer as it likes, on a thousand calls of each
//! connection, and what it does not take is kept here. So all of them share a bound, of which callers of one network have
//! a part. A call counts from its beginning, so that it is refused before anything is done for it; its answer is written
//! out as soon as it is there, and counts until its last byte has gone.
//!
//! Of an answer in pieces the first counts if it is there at once. Streams that last have places, and each is kept as long
//! as a byte of the stream is.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::Status;

use super::errors;
use crate::network::{Share, Shares};

/// What a call counts, unless its answer is longer: a buffer of 8 KiB, and some kilobytes of HTTP/2 and tasks.
const CALL_BYTES: usize = 16 << 10;

/// What a call keeps for its answer.
#[derive(Debug)]
pub(crate) struct Leaving(Share);

/// Whose an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It was made for who asked.
    ForOne,
    /// It is there once for everybody: nothing but the call is kept for one who doesn't read.
    ForAll,
}

impl Leaving {
    /// A call begins, if there is room for what it needs at least.
    pub(crate) fn begin(leaving: &Shares, from: IpAddr) -> Result<Self, Status> {
        let mut kept = Self(leaving.of(from));
        kept.set(CALL_BYTES)?;
        Ok(kept)
    }

    /// It has so many bytes from here on.
    fn set(&mut self, bytes: usize) -> Result<(), Status> {
        if self.0.set(bytes) {
            return Ok(());
        }
        metrics::counter!("custody_answers_refused_total").increment(1);
        Err(errors::overloaded(
            "too many calls wait for their answers, or have answers that nobody reads; read them, or try again later",
        ))
    }

    /// The answer, which counts until it has gone; if there is room for one that is long.
    pub(crate) async fn counted(
        mut self,
        answer: Response,
        made: Made,
    ) -> Result<Response, Status> {
        if answer.body().is_end_stream() {
            return Ok(answer);
        }
        let (parts, mut rest) = answer.into_parts();
        let length = rest.size_hint();
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut rest).poll_frame(context))).await;
        let first = match first {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => {
                    if made == Made::ForOne {
                        // Mostly no more than there was room for already: what was done is told.
                        self.set(CALL_BYTES.max(bytes.len()))?;
                    }
                    Some(Ok(Frame::data(keeping(bytes, self))))
                }
                Err(trailers) => Some(Ok(trailers)),
            },
            Poll::Ready(Some(Err(error))) => Some(Err(error)),
            // It has none, or is a stream.
            Poll::Ready(None) | Poll::Pending => None,
        };
        let begun = Begun {
            first,
            length,
            rest,
        };
        Ok(Response::from_parts(parts, Body::new(begun)))
    }
}

/// What comes or goes on a stream, which keeps its place until all of that was read, or given up.
pub(super) fn in_place(body: Body, place: Arc<Share>) -> Body {
    Body::new(
        body.map_frame(move |frame| frame.map_data(|bytes| keeping(bytes, Arc::clone(&place)))),
    )
}

/// The same bytes, which keep something as long as there is a piece of them: those that were handed over to HTTP/2 have not
/// gone yet.
fn keeping<K: Send + 'static>(bytes: Bytes, kept: K) -> Bytes {
    struct Owner<K> {
        bytes: Bytes,
        _kept: K,
    }
    impl<K> AsRef<[u8]> for Owner<K> {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Owner { bytes, _kept: kept })
}

/// An answer of which the first piece is there.
struct Begun {
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    /// Of all of it.
    length: SizeHint,
    rest: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.first.is_some() {
            self.length
        } else {
            self.rest.size_hint()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::BoxError;
    use axum::http::{HeaderMap, HeaderName, HeaderValue};
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::Code;

    use super::*;
    use crate::network::Part;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Room for so many calls, of which one network has a quarter.
    fn room_for(calls: usize) -> Shares {
        Shares::new(calls * CALL_BYTES, Part::QUARTER)
    }

    async fn counted(leaving: &Shares, answer: impl Into<Body>) -> Result<Body, Status> {
        let answer = Response::new(answer.into());
        let begun = Leaving::begin(leaving, HERE)?;
        let counted = begun.counted(answer, Made::ForOne).await;
        counted.map(Response::into_body)
    }

    #[tokio::test]
    async fn given_an_answer_when_it_is_not_read_then_it_counts_until_the_last_piece_has_gone() {
        let leaving = room_for(16);
        for length in [1, CALL_BYTES, CALL_BYTES * 3] {
            let mut body = counted(&leaving, vec![7; length]).await.unwrap();
            assert_eq!(leaving.taken(), (CALL_BYTES.max(length), 1));
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            let mut bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(body.is_end_stream());
            drop(body);
            let begun = bytes.split_to(length / 2);
            assert_eq!(begun.len() + bytes.len(), length);
            drop(begun);
            assert_eq!(leaving.taken(), (CALL_BYTES.max(length), 1));
            drop(bytes);
            assert_eq!(leaving.taken(), (0, 0));
        }
    }

    #[tokio::test]
    async fn given_one_network_that_reads_nothing_when_it_asks_again_then_it_is_refused_and_others_are_not()
     {
        let leaving = room_for(16);
        let is_refused = |answer: Result<Body, Status>| {
            answer.is_err_and(|status| status.code() == Code::ResourceExhausted)
        };
        let long = counted(&leaving, vec![7; CALL_BYTES * 3]).await.unwrap();
        let unread = counted(&leaving, "goods").await.unwrap();
        assert!(is_refused(counted(&leaving, "goods").await));
        Leaving::begin(&leaving, [192, 0, 2, 1].into()).unwrap();
        drop(unread);
        assert!(is_refused(counted(&leaving, vec![7; CALL_BYTES + 1]).await));
        let other = counted(&leaving, vec![7; CALL_BYTES]).await.unwrap();
        drop((long, other));
        assert_eq!(leaving.taken(), (0, 0));
    }

    #[tokio::test]
    async fn given_a_stream_when_nothing_has_come_then_nothing_counts_and_all_of_it_comes() {
        let leaving = room_for(16);
        let (pieces, stream) = tokio::sync::mpsc::channel::<Result<Bytes, BoxError>>(2);
        let stream = Body::from_stream(ReceiverStream::new(stream));
        let body = counted(&leaving, stream).await.unwrap();
        assert_eq!(leaving.taken(), (0, 0));
        for piece in ["go", "ods"] {
            pieces
                .send(Ok(Bytes::from_static(piece.as_bytes())))
                .await
                .unwrap();
        }
        drop(pieces);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "goods");
    }

    #[tokio::test]
    async fn given_an_answer_that_is_there_for_everybody_when_it_is_not_read_then_only_its_call_counts()
     {
        let leaving = room_for(16);
        let answer = Response::new(Body::from(vec![7; CALL_BYTES * 3]));
        let begun = Leaving::begin(&leaving, HERE).unwrap();
        let body = begun.counted(answer, Made::ForAll).await.unwrap();
        assert_eq!(leaving.taken(), (CALL_BYTES, 1));
        drop(body);
        assert_eq!(leaving.taken(), (0, 0));
    }

    #[tokio::test]
    async fn given_a_stream_in_its_place_when_both_halves_are_gone_then_so_is_the_place_but_for_bytes_of_it()
     {
        let places = Shares::new(1, Part::ALL);
        let place = Arc::new(places.one(HERE).unwrap());
        let request = in_place(Body::from("goods"), Arc::clone(&place));
        let mut answer = in_place(Body::from("seen"), place);
        drop(request);
        assert_eq!(places.taken(), (1, 1));
        let bytes = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(answer);
        assert_eq!(bytes, "seen");
        assert!(places.one(HERE).is_none());
        drop(bytes);
        assert!(places.one(HERE).is_some());
    }

    #[tokio::test]
    async fn given_an_answer_with_trailers_when_it_is_read_then_they_come_last() {
        let leaving = room_for(16);
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let whole = http_body_util::Full::new(Bytes::from_static(b"goods"));
        let whole = whole.with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
        let body = counted(&leaving, Body::new(whole)).await.unwrap();
        let read = body.collect().await.unwrap();
        assert_eq!(read.trailers(), Some(&trailers));
        assert_eq!(read.to_bytes(), "goods");
        assert_eq!(leaving.taken(), (0, 0));
    }
}
