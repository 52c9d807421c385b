//! What programs that serve have in common: HTTP with or without TLS, the program's own log, and the signals to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use clap::ValueEnum;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::connection::{Connections, Limited};
use super::{Failure, could};
use crate::api::MAX_CONCURRENT_STREAMS;
use crate::rest::Tls;

/// What a peer may send on a call before any of it is read, some 800 records; over a line that takes 100 ms there and back,
/// 2.5 MB a second.
pub(super) const CALL_WINDOW: u32 = 256 << 10;
/// The same for all calls of a connection.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 20;
/// How long open calls may take after the signal to stop.
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// How long the head of an HTTP request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Begins to write the program's own log to the standard error.
pub(super) fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CUSTODY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A line that can't be written, as on a full disk, is lost: to say so by `eprintln!` is a panic there.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// A server at work.
pub(super) struct Serving {
    pub handle: axum_server::Handle<SocketAddr>,
    pub task: JoinHandle<std::io::Result<()>>,
}

/// Serves routes, over TLS where there is a certificate and its key.
pub(super) async fn serve(
    mut router: axum::Router,
    listener: TcpListener,
    tls: Option<(&Path, &Path)>,
    connections: Connections,
) -> Result<Serving, Failure> {
    let listener = listener.into_std().map_err(could("HTTP"))?;
    let handle = axum_server::Handle::new();
    let server = axum_server::from_tcp(listener).map_err(could("HTTP"))?;
    let mut server = server.handle(handle.clone());
    limit_headers(server.http_builder());
    let task = if let Some((cert, key)) = tls {
        let tls = RustlsConfig::from_pem_file(cert, key).await;
        let tls = tls.map_err(could("TLS"))?;
        router = router.layer(axum::Extension(Tls));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = server.acceptor(Limited {
            inner: RustlsAcceptor::new(tls),
            connections,
        });
        tokio::spawn(server.serve(service))
    } else {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = server.acceptor(Limited {
            inner: DefaultAcceptor::new(),
            connections,
        });
        tokio::spawn(server.serve(service))
    };
    Ok(Serving { handle, task })
}

/// Who is slow to say what it wants is not waited for.
fn limit_headers(
    builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>,
) {
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(hyper_util::rt::TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT)
        .keep_alive_timeout(HEADER_TIMEOUT)
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
}

/// The signals that ask the process to stop.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From here on they end the program in order, and no longer at once.
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    pub(super) async fn came(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
