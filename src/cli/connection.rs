//! Connections: how many a port takes, and how answers are written to them.
//!
//! Each connection takes a file, and the store needs files as well, so whoever could open as many connections as it likes
//! could end the ledger. A port takes so many, and a part of them from one network; whoever comes beyond is closed at
//! once, and may come again. Whoever says nothing, or takes no answer, is not waited for.
//!
//! When a group is on the disk, dozens of calls and streams are answered within some microseconds, several of them over
//! one connection. Each answer wakes the task of its connection, which would write it at once: a system call and a packet
//! for each, which cost more than the answer. Here the task lets those run first that are ready already, and then writes
//! what has come together. Nothing waits for a time: where nothing else is ready, it is written right away.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::serve::Listener;
use axum_server::accept::Accept;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::network::{Part, Share, Shares};

/// Connections that a port takes unless the configuration says something else.
pub(super) const MAX_CONNECTIONS: usize = 8_192;
/// How long a peer may take to make itself understood.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// The bytes that take so long at most: those by which HTTP/2 is told from HTTP/1, for which the libraries wait without an
/// end.
const FIRST_BYTES: u64 = 24;
/// How long nothing may move over gRPC: whoever is there answers a ping within 50 seconds.
const GRPC_SILENCE: Duration = Duration::from_secs(90);
/// How long nothing may move over HTTP, in either direction: longer than any answer takes to make.
const HTTP_SILENCE: Duration = Duration::from_secs(600);
/// Bytes of answers that are gathered at most: as many as an HTTP/2 frame has.
const MOST_BYTES: usize = 16 << 10;

/// Files that a ledger needs beside those of connections: 512 of the store, its logs, the archive, other nodes.
const OWN_FILES: usize = 768;

/// Lets the process open as many files as the system allows it, and says for how many of the connections that are wanted
/// there is room, at each of so many ports.
pub(super) fn room_for(wanted: usize, ports: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the process can't open more files than it was started with");
    }
    let files = getrlimit(Resource::Nofile).current;
    let files = files.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    });
    let room = (files.saturating_sub(OWN_FILES) / ports).max(1);
    if room < wanted {
        tracing::warn!(
            "there is room for {room} connections a port, not for {wanted}: the process may open {files} files; raise \
             its limit (LimitNOFILE, ulimit -n)"
        );
    }
    wanted.min(room)
}

/// Connections that a port takes.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Port>);

#[derive(Debug)]
struct Port {
    name: &'static str,
    silence: Silence,
    taken: Shares,
}

/// How long nothing may move over a connection.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// Until the first bytes are there, in all.
    first: Duration,
    /// From then on.
    later: Duration,
}

impl Connections {
    /// Of the port for gRPC, which takes so many, and a part of them from one network.
    pub(super) fn grpc(most: usize, of_one_network: Part) -> Self {
        let silence = Silence {
            first: FIRST_BYTES_TIMEOUT,
            later: GRPC_SILENCE,
        };
        Self::new("grpc", most, of_one_network, silence)
    }

    /// The same of a port for HTTP.
    pub(super) fn http(name: &'static str, most: usize, of_one_network: Part) -> Self {
        let silence = Silence {
            first: FIRST_BYTES_TIMEOUT,
            later: HTTP_SILENCE,
        };
        Self::new(name, most, of_one_network, silence)
    }

    fn new(name: &'static str, most: usize, of_one_network: Part, silence: Silence) -> Self {
        Self(Arc::new(Port {
            name,
            silence,
            taken: Shares::new(most, of_one_network),
        }))
    }

    /// A place for a connection from an address, unless there is none.
    pub(super) fn place(&self, from: IpAddr) -> Option<Place> {
        let port = &self.0;
        let Some(share) = port.taken.one(from) else {
            metrics::counter!("custody_connections_refused_total", "port" => port.name)
                .increment(1);
            return None;
        };
        metrics::gauge!("custody_connections", "port" => port.name).increment(1.0);
        Some(Place {
            port: Arc::clone(port),
            _share: share,
        })
    }

    /// A place for a connection that was accepted; of one that is gone already there is no address.
    fn place_of(&self, io: &TcpStream) -> Result<Place> {
        let place = self.place(io.peer_addr()?.ip());
        place.ok_or_else(|| Error::other("the port has as many connections as it takes"))
    }

    /// The same, and it is ready to be served then.
    pub(super) fn take(&self, io: TcpStream) -> Option<Connection<TcpStream>> {
        let place = self.place_of(&io).ok()?;
        Some(Connection::new(io, place))
    }
}

/// The place of a connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    port: Arc<Port>,
    _share: Share,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("custody_connections", "port" => self.port.name).decrement(1.0);
    }
}

/// Accepts connections, each of which has its place before anything else is done with it.
#[derive(Clone, Debug)]
pub(super) struct Limited<A> {
    pub inner: A,
    pub connections: Connections,
}

impl<A, S> Accept<TcpStream, S> for Limited<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
    A::Stream: AsyncWrite + Unpin,
{
    type Stream = Connection<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = Result<(Self::Stream, A::Service)>> + Send>>;

    fn accept(&self, io: TcpStream, service: S) -> Self::Future {
        let place = self.connections.place_of(&io);
        // Without this an answer may wait 40 ms for the acknowledgement of the one before.
        let place = io.set_nodelay(true).and(place);
        let accepting = place.map(|place| (place, self.inner.accept(io, service)));
        Box::pin(async move {
            let (place, accepting) = accepting?;
            let (io, service) = accepting.await?;
            Ok((Connection::new(io, place), service))
        })
    }
}

impl Listener for Limited<TcpListener> {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (io, from) = Listener::accept(&mut self.inner).await;
            if let Some(io) = self.connections.take(io) {
                return (io, from);
            }
        }
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection in its place.
#[derive(Debug)]
pub(super) struct Connection<T: AsyncWrite + Unpin> {
    io: BufWriter<T>,
    /// Others had their turn since something was to be written.
    waited: bool,
    received: u64,
    answered: bool,
    /// When something came or went last; until the peer has made itself understood, when it began.
    moved: Instant,
    /// Since when the peer takes nothing of what is written, whatever it sends.
    stuck: Option<Instant>,
    /// Wakes the task that waits for the peer.
    clock: Pin<Box<Sleep>>,
    place: Place,
}

impl<T: AsyncWrite + Unpin> Connection<T> {
    fn new(io: T, place: Place) -> Self {
        Self {
            io: BufWriter::with_capacity(MOST_BYTES, io),
            waited: false,
            received: 0,
            answered: false,
            moved: Instant::now(),
            stuck: None,
            clock: Box::pin(tokio::time::sleep(place.port.silence.first)),
            place,
        }
    }

    /// Whether the peer has made itself understood.
    const fn has_begun(&self) -> bool {
        self.received >= FIRST_BYTES || (self.answered && self.received > 0)
    }

    /// Something came or went.
    fn moves(&mut self) {
        // However slowly they come, the first bytes have one time together.
        if self.has_begun() {
            self.moved = Instant::now();
        }
    }

    /// Waits for the peer, but not for ever.
    fn wait<A>(&mut self, cx: &mut Context<'_>) -> Poll<Result<A>> {
        loop {
            let silence = self.place.port.silence;
            let longest = if self.has_begun() {
                silence.later
            } else {
                silence.first
            };
            let since = self.stuck.map_or(self.moved, |stuck| stuck.min(self.moved));
            let deadline = since + longest;
            if deadline <= Instant::now() {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            // It is set anew only when it strikes, or would strike too late: something moves often.
            if self.clock.deadline() <= deadline {
                ready!(self.clock.as_mut().poll(cx));
            }
            self.clock.as_mut().reset(deadline);
        }
    }

    /// What came of writing, and whether the peer took any of it: what is only gathered it has not.
    fn written<A>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<Result<A>>,
        taken: bool,
    ) -> Poll<Result<A>> {
        if written.is_pending() {
            self.stuck.get_or_insert_with(Instant::now);
            return self.wait(cx);
        }
        if taken {
            self.stuck = None;
        }
        self.answered = true;
        self.moves();
        written
    }

    /// The same of bytes beside those that were gathered before.
    fn added(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<Result<usize>>,
        gathered: usize,
    ) -> Poll<Result<usize>> {
        let taken = match &written {
            Poll::Ready(Ok(bytes)) => self.io.buffer().len() < gathered + bytes,
            _ => false,
        };
        self.written(cx, written, taken)
    }
}

impl<T: AsyncWrite + Unpin> Drop for Connection<T> {
    /// The last words of a connection that fails, such as why there is no TLS, are still to be written.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.io).poll_flush(&mut cx);
    }
}

impl Connected for Connection<TcpStream> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.io.get_ref().connect_info()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_pending() {
            return self.wait(cx);
        }
        self.received += (buf.filled().len() - before) as u64;
        self.moves();
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        let gathered = self.io.buffer().len();
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.added(cx, written, gathered)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let gathered = self.io.buffer().len();
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.added(cx, written, gathered)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.io.buffer().is_empty() {
            // Nothing moves.
            return Pin::new(&mut self.io).poll_flush(cx);
        }
        if !self.waited {
            self.waited = true;
            // A task that wakes itself comes after all that are ready.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.waited = flushed.is_pending();
        self.written(cx, flushed, true)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let ended = Pin::new(&mut self.io).poll_shutdown(cx);
        self.written(cx, ended, true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn place_with(first: Duration, later: Duration) -> Place {
        let port = Connections::new("test", 1, Part::ALL, Silence { first, later });
        port.place([192, 0, 2, 1].into()).unwrap()
    }

    fn place() -> Place {
        place_with(FIRST_BYTES_TIMEOUT, HTTP_SILENCE)
    }

    #[test]
    fn given_a_port_when_one_network_has_its_part_then_others_get_in_until_all_are_taken() {
        let port = Connections::grpc(8, Part::QUARTER);
        let from = |network| IpAddr::from([192, 0, network, 7]);
        let one = [port.place(from(1)).unwrap(), port.place(from(1)).unwrap()];
        assert!(port.place(from(1)).is_none(), "a quarter");
        let others: Vec<Place> = (2..8).map(|n| port.place(from(n)).unwrap()).collect();
        assert!(port.place(from(9)).is_none(), "all are taken");
        drop(one);
        assert!(port.place(from(9)).is_some());
        drop(others);
        assert_eq!(port.0.taken.taken(), (0, 0));
        let proxied = Connections::http("test", 8, Part::ALL);
        let all: Vec<Place> = (0..8).map(|_| proxied.place(from(1)).unwrap()).collect();
        assert!(proxied.place(from(1)).is_none());
        drop(all);
    }

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(600);

    /// What it ends with; none while it would wait on.
    async fn ended<A>(work: impl Future<Output = Result<A>>) -> Option<Result<A>> {
        tokio::time::timeout(SHORT * 60, work).await.ok()
    }

    fn is_late<A>(ended: &Option<Result<A>>) -> bool {
        let error = ended.as_ref().and_then(|ended| ended.as_ref().err());
        error.is_some_and(|error| error.kind() == ErrorKind::TimedOut)
    }

    #[tokio::test]
    async fn given_a_peer_that_sends_no_more_when_its_time_is_over_then_it_is_not_waited_for() {
        let first = usize::try_from(FIRST_BYTES).unwrap();
        for (bytes, answered, silence, late) in [
            (0, false, (SHORT, LONG), true),
            (first - 1, false, (SHORT, LONG), true),
            (first, false, (SHORT, LONG), false),
            (first, false, (LONG, SHORT), true),
            // Who speaks first, as a server over HTTP/2 does, is no answer.
            (0, true, (SHORT, LONG), true),
            (first - 1, true, (SHORT, LONG), false),
        ] {
            let (near, mut far) = tokio::io::duplex(1 << 10);
            let mut connection = Connection::new(near, place_with(silence.0, silence.1));
            if answered {
                connection.write_all(b"answer").await.unwrap();
                connection.flush().await.unwrap();
            }
            far.write_all(&vec![7; bytes]).await.unwrap();
            // As HTTP does, whenever its task is woken.
            let reading = ended(std::future::poll_fn(|cx| {
                assert!(Pin::new(&mut connection).poll_flush(cx).is_ready());
                let mut buf = [0; 64];
                let mut buf = ReadBuf::new(&mut buf);
                while let Poll::Ready(read) = Pin::new(&mut connection).poll_read(cx, &mut buf) {
                    if read.is_err() {
                        return Poll::Ready(read);
                    }
                    buf.clear();
                }
                Poll::Pending
            }))
            .await;
            assert_eq!(
                is_late(&reading),
                late,
                "{bytes} bytes, {answered}: {reading:?}"
            );
            assert_eq!(reading.is_none(), !late);
        }
    }

    #[tokio::test]
    async fn given_a_peer_that_reads_no_more_when_its_time_is_over_then_it_is_not_waited_for() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut connection = Connection::new(near, place_with(LONG, SHORT));
        far.write_all(&[7; 24]).await.unwrap();
        connection.read_exact(&mut [0; 24]).await.unwrap();
        let writing = ended(connection.write_all(&vec![7; MOST_BYTES * 2])).await;
        assert!(is_late(&writing), "{writing:?}");
    }

    #[tokio::test]
    async fn given_a_peer_that_reads_no_more_when_it_sends_on_all_the_same_then_it_is_not_waited_for()
     {
        let (near, far) = tokio::io::duplex(1 << 10);
        let mut connection = Connection::new(near, place_with(LONG, SHORT));
        let (_unread, mut far) = tokio::io::split(far);
        let sending = async {
            loop {
                far.write_all(&[7; 64]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        // Small answers, which are gathered at first.
        let answering = ended(std::future::poll_fn(|cx| -> Poll<Result<()>> {
            let mut buf = [0; 64];
            let mut buf = ReadBuf::new(&mut buf);
            while let Poll::Ready(read) = Pin::new(&mut connection).poll_read(cx, &mut buf) {
                read?;
                buf.clear();
            }
            ready!(Pin::new(&mut connection).poll_flush(cx))?;
            ready!(Pin::new(&mut connection).poll_write(cx, &[7; 64]))?;
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        tokio::select! {
            answered = answering => assert!(is_late(&answered), "{answered:?}"),
            () = sending => {}
        }
    }

    #[tokio::test]
    async fn given_last_words_when_it_ends_without_a_flush_then_they_are_written() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut connection = Connection::new(near, place());
        connection.write_all(b"no TLS").await.unwrap();
        drop(connection);
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"no TLS");
    }

    /// What a peer gets, and in how many writes.
    #[derive(Default)]
    struct Peer {
        got: Vec<u8>,
        writes: usize,
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<Result<usize>> {
            self.got.extend_from_slice(buf);
            self.writes += 1;
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn given_answers_that_come_while_others_run_when_it_flushes_then_they_are_one_write() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut cx = Context::from_waker(&waker);
        let mut connection = Connection::new(Peer::default(), place());
        let io = &mut connection;
        for turn in 1..=2 {
            assert!(Pin::new(&mut *io).poll_write(&mut cx, b"one ").is_ready());
            assert!(Pin::new(&mut *io).poll_flush(&mut cx).is_pending());
            assert_eq!(
                woken.0.load(Ordering::Relaxed),
                turn,
                "it comes again by itself"
            );
            assert!(Pin::new(&mut *io).poll_write(&mut cx, b"two ").is_ready());
            assert!(Pin::new(&mut *io).poll_flush(&mut cx).is_ready());
            assert_eq!(io.io.get_ref().writes, turn);
        }
        assert!(
            Pin::new(&mut *io).poll_flush(&mut cx).is_ready(),
            "nothing to write"
        );
        assert_eq!(io.io.get_ref().got, b"one two one two ");
    }

    #[tokio::test]
    async fn given_more_than_is_gathered_when_it_ends_then_all_of_it_was_written() {
        let mut connection = Connection::new(Peer::default(), place());
        let sent: Vec<u8> = (0..MOST_BYTES * 3 + 7)
            .map(|n| n.to_le_bytes()[0])
            .collect();
        for part in sent.chunks(MOST_BYTES / 3 * 2) {
            connection.write_all(part).await.unwrap();
        }
        connection.shutdown().await.unwrap();
        assert!(connection.io.get_ref().got == sent);
    }
}
