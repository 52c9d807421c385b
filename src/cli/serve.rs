//! `custody serve`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::StreamExt as _;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use zeroize::Zeroizing;

use super::archive::ArchiveArgs;
use super::cluster::{ClusterArgs, ClusterConfig, Given};
use super::connection::{Connections, Limited, MAX_CONNECTIONS, room_for};
use super::http::{
    self, CALL_WINDOW, CONNECTION_WINDOW, DRAIN, LogFormat, Serving, Signals, start_log,
};
use super::init::{LOG_KEY, STORE};
use super::{Done, Failure, could, keys, output};
use crate::admit::QuotaConfig;
use crate::api::{MAX_CONCURRENT_STREAMS, services};
use crate::cluster::ClusterOptions;
use crate::core::tlog::note::NoteSigner;
use crate::network::Part;
use crate::node::{Node, NodeOptions};
use crate::store::StoreOptions;
use crate::web::{self, WebOptions};

/// Days that a class of personal data may be kept: to a hundred years.
const RETAIN_DAYS: std::ops::RangeInclusive<i64> = 1..=36_525;
/// Connections that wait to be taken.
const BACKLOG: u32 = 1_024;
/// How long the handshake of TLS may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that the port for metrics takes.
const METRICS_CONNECTIONS: usize = 64;
/// How often personal data is looked at that may have been kept long enough.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// Look-ups a second that one network may make over HTTP.
const LOOK_UP_RATE: u32 = 20;

/// Runs a ledger. What is not given as a flag comes from the configuration file, then from the
/// default.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Folder that `custody init` made [default: custody-data].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Configuration file (TOML; the same names as the flags, with `_`).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address for gRPC; port 0 takes a free one [default: 127.0.0.1:7070].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Address for web pages, the log over HTTP, and gRPC-Web [default: 127.0.0.1:7071].
    #[arg(long)]
    http: Option<SocketAddr>,
    /// Address for /metrics, never over TLS: keep it inside [default: 127.0.0.1:7072].
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Where the pages are as seen from outside, such as `https://trace.example` [default: what the
    /// caller asked for].
    #[arg(long)]
    public_url: Option<String>,
    /// Look-ups a second that one network may make over HTTP; 0 is without limit [default: 20].
    #[arg(long)]
    look_up_rate: Option<u32>,
    /// Proxies in front of the HTTP port, each of which adds its caller's address to
    /// X-Forwarded-For [default: 0].
    #[arg(long)]
    proxies: Option<usize>,
    /// Font with Chinese letters for reports as PDF (OpenType) [default: Noto Sans CJK, where it is installed].
    #[arg(long)]
    report_font: Option<PathBuf>,
    /// PEM file of the certificate chain; with --tls-key, gRPC and HTTP speak TLS.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How the program's own log is written.
    #[arg(long)]
    log_format: Option<LogFormat>,
    /// Megabytes of the store's block cache [default: 512].
    #[arg(long)]
    block_cache_mb: Option<usize>,
    /// Megabytes of entries that are kept decoded for who asks about the same goods [default: 128].
    #[arg(long)]
    entry_cache_mb: Option<usize>,
    /// Units whose state is kept decoded for the next record about them, and as many for who looks
    /// them up; some 600 bytes each, twice [default: 131072].
    #[arg(long)]
    unit_cache: Option<usize>,
    /// Records that may be on their way to the log at once, one of more than a KiB for as many as it has;
    /// beyond it streams are read no further and single calls are refused [default: 16384].
    #[arg(long)]
    max_waiting: Option<usize>,
    /// Connections that each of the ports takes; fewer where the process may not open so many files [default: 8192].
    #[arg(long)]
    max_connections: Option<NonZeroUsize>,
    /// How much of what callers share one network may have, in percent, 20 to 100: connections, streams without a token,
    /// and memory for requests and answers on their way. 100 where all callers come through one balancer and look like one
    /// network; then any of them can take everything. Connections to the HTTP port are all for the proxies where there are
    /// --proxies, and callers are told apart behind them [default: 25].
    #[arg(long)]
    network_part: Option<Part>,
    /// Records a second that one party may submit [default: 20000].
    #[arg(long)]
    party_rate: Option<u32>,
    /// Days that names and evidence of registrations are kept [default: 1096].
    #[arg(long, value_parser = clap::value_parser!(u32).range(RETAIN_DAYS))]
    retain_registration_days: Option<u32>,
    /// Days that texts of credit files are kept [default: 1827].
    #[arg(long, value_parser = clap::value_parser!(u32).range(RETAIN_DAYS))]
    retain_credit_days: Option<u32>,
    /// Days that texts of claims are kept [default: 1096].
    #[arg(long, value_parser = clap::value_parser!(u32).range(RETAIN_DAYS))]
    retain_claim_days: Option<u32>,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Acknowledge before the disk has it. An acknowledged record can then be lost: only for
    /// measuring what the disk costs.
    #[arg(long, hide = true)]
    unsafe_no_sync: bool,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    http: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    public_url: Option<String>,
    look_up_rate: Option<u32>,
    proxies: Option<usize>,
    report_font: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    log_format: Option<LogFormat>,
    block_cache_mb: Option<usize>,
    entry_cache_mb: Option<usize>,
    unit_cache: Option<usize>,
    max_waiting: Option<usize>,
    max_connections: Option<NonZeroUsize>,
    network_part: Option<Part>,
    party_rate: Option<u32>,
    retain_registration_days: Option<u32>,
    retain_credit_days: Option<u32>,
    retain_claim_days: Option<u32>,
    cluster: ClusterConfig,
    archive: Option<String>,
    archive_seconds: Option<u32>,
}

impl Serve {
    pub(super) async fn run(mut self) -> Done {
        let of_cluster = self.fill_from_file()?;
        start_log(self.log_format.unwrap_or_default());
        let data = self
            .data
            .clone()
            .unwrap_or_else(|| PathBuf::from("custody-data"));
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
            .install_recorder()
            .map_err(could("metrics"))?;

        let bind = |given: Option<SocketAddr>, port: u16| {
            let address = given.unwrap_or(SocketAddr::from(([127, 0, 0, 1], port)));
            reserve(address).map_err(could(address))
        };
        let (grpc, grpc_address) = bind(self.listen, 7070)?;
        let (http, http_address) = bind(self.http, 7071)?;
        let (metrics_port, metrics_address) = bind(self.metrics, 7072)?;

        // Before anything opens files.
        let most = self
            .max_connections
            .map_or(MAX_CONNECTIONS, NonZeroUsize::get);
        let most = room_for(most, 2);
        let of_cluster = Given::new(std::mem::take(&mut self.cluster), of_cluster);
        let of_cluster = of_cluster.options(grpc_address, self.tls_cert.is_some())?;
        let signer = keys::read_log_key(&data.join(LOG_KEY))?;
        if let Some(cluster) = &of_cluster
            && !data.join(STORE).exists()
        {
            let joined = crate::cluster::join(cluster, &signer, &data.join(STORE)).await;
            joined.map_err(|error| Failure::Could(error.to_string()))?;
        }
        let node = self.start_node(&data, signer, of_cluster)?;
        let ready = async {
            catch_up(&node).await?;
            self.archive.start(&node).await
        };
        let archiving = match ready.await {
            Ok(archiving) => archiving,
            Err(failure) => {
                // Its threads have to let go of the store before the process ends.
                node.close();
                return Err(failure);
            }
        };
        // Only now: until here a signal may end the process as it is, and nothing is lost.
        let signals = Signals::catch().map_err(could("signals"))?;
        let listen = |socket: TcpSocket| socket.listen(BACKLOG).map_err(could("a port"));
        let (grpc, http, metrics_port) = (listen(grpc)?, listen(http)?, listen(metrics_port)?);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let wait = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
            // A sender that is gone means the same.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let (routes, health) = services(&node).map_err(could("the services"))?;
        health
            .set_service_status("", tonic_health::ServingStatus::Serving)
            .await;
        let for_browsers = routes.clone().into_axum_router();
        // Without this an answer may wait 40 ms for the acknowledgement of the one before.
        let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
        let network_part = self.network_part.unwrap_or_default();
        let connections = Connections::grpc(most, network_part);
        let incoming = incoming.filter_map(move |io| match io {
            Ok(io) => connections.take(io).map(Ok),
            Err(error) => Some(Err(error)),
        });
        let serving = tokio::spawn(
            self.server()?
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, wait(stopped.clone())),
        );
        let of_one_network = match self.proxies {
            // Their network is not that of who calls.
            Some(1..) => Part::ALL,
            _ => network_part,
        };
        let connections = Connections::http("http", most, of_one_network);
        let Serving {
            handle: pages,
            task: mut serving_pages,
        } = self.pages(&node, for_browsers, http, connections).await?;
        let measuring = tokio::spawn(
            axum::serve(
                Limited {
                    inner: metrics_port,
                    connections: Connections::http("metrics", METRICS_CONNECTIONS, Part::ALL),
                },
                metrics_route(&node, metrics),
            )
            .with_graceful_shutdown(wait(stopped))
            .into_future(),
        );
        let scheme = if self.tls_cert.is_some() {
            "https"
        } else {
            "http"
        };
        output::line(format!(
            "custody: {} with {} entries\ncustody: gRPC on {scheme}://{grpc_address}\ncustody: \
             pages on {scheme}://{http_address}\ncustody: metrics on \
             http://{metrics_address}/metrics",
            node.origin(),
            node.head().borrow().size
        ))?;

        let sweeping = tokio::spawn(sweep(Arc::clone(&node)));
        let archiving = async {
            match archiving {
                Some(archiving) => archiving.run().await,
                None => std::future::pending().await,
            }
        };
        let failed = tokio::select! {
            failed = wait_for_end(&node, signals) => failed,
            error = archiving => {
                tracing::error!(%error, "the ledger and its archive contradict each other");
                true
            }
            ended = &mut serving_pages => {
                tracing::error!(?ended, "the pages are served no more");
                true
            }
        };
        sweeping.abort();
        tracing::info!("stopping: committing what is in the order, refusing the rest");
        health
            .set_service_status("", tonic_health::ServingStatus::NotServing)
            .await;
        let closing = Arc::clone(&node);
        let _ = tokio::task::spawn_blocking(move || closing.close()).await;
        stop.send_replace(true);
        pages.graceful_shutdown(Some(DRAIN));
        let _ = tokio::time::timeout(DRAIN, serving).await;
        let _ = tokio::time::timeout(DRAIN, measuring).await;
        if !serving_pages.is_finished() {
            let _ = tokio::time::timeout(DRAIN, serving_pages).await;
        }
        if failed {
            return Err(Failure::Could(
                "the ledger can't go on; its log says why".into(),
            ));
        }
        tracing::info!(size = node.head().borrow().size, "stopped");
        Ok(())
    }

    /// Fills in what was not given as a flag; what the file says of the cluster.
    fn fill_from_file(&mut self) -> Result<ClusterConfig, Failure> {
        let Some(path) = &self.config else {
            return Ok(ClusterConfig::default());
        };
        let file = read_config(path)?;
        self.data = self.data.take().or(file.data);
        self.listen = self.listen.or(file.listen);
        self.http = self.http.or(file.http);
        self.metrics = self.metrics.or(file.metrics);
        self.public_url = self.public_url.take().or(file.public_url);
        self.look_up_rate = self.look_up_rate.or(file.look_up_rate);
        self.proxies = self.proxies.or(file.proxies);
        self.report_font = self.report_font.take().or(file.report_font);
        self.tls_cert = self.tls_cert.take().or(file.tls_cert);
        self.tls_key = self.tls_key.take().or(file.tls_key);
        self.log_format = self.log_format.or(file.log_format);
        self.block_cache_mb = self.block_cache_mb.or(file.block_cache_mb);
        self.entry_cache_mb = self.entry_cache_mb.or(file.entry_cache_mb);
        self.unit_cache = self.unit_cache.or(file.unit_cache);
        self.max_waiting = self.max_waiting.or(file.max_waiting);
        self.max_connections = self.max_connections.or(file.max_connections);
        self.network_part = self.network_part.or(file.network_part);
        self.party_rate = self.party_rate.or(file.party_rate);
        self.retain_registration_days = self
            .retain_registration_days
            .or(file.retain_registration_days);
        self.retain_credit_days = self.retain_credit_days.or(file.retain_credit_days);
        self.retain_claim_days = self.retain_claim_days.or(file.retain_claim_days);
        let archive = &mut self.archive;
        archive.archive = archive.archive.take().or(file.archive);
        archive.archive_seconds = archive.archive_seconds.or(file.archive_seconds);
        for (name, days) in [
            ("retain_registration_days", self.retain_registration_days),
            ("retain_credit_days", self.retain_credit_days),
            ("retain_claim_days", self.retain_claim_days),
        ] {
            if days.is_some_and(|days| !RETAIN_DAYS.contains(&i64::from(days))) {
                return Err(Failure::Could(format!(
                    "{}: {name} is 1 to {} days",
                    path.display(),
                    RETAIN_DAYS.end()
                )));
            }
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(Failure::Could("tls_cert and tls_key go together".into()));
        }
        Ok(file.cluster)
    }

    fn start_node(
        &self,
        data: &Path,
        signer: NoteSigner,
        cluster: Option<ClusterOptions>,
    ) -> Result<Arc<Node>, Failure> {
        let mut options = NodeOptions {
            store: StoreOptions {
                sync: !self.unsafe_no_sync,
                ..StoreOptions::default()
            },
            report_font: self.report_font.clone(),
            cluster,
            network_part: self.network_part.unwrap_or_default(),
            ..NodeOptions::default()
        };
        if self.unsafe_no_sync {
            tracing::warn!("acknowledging before the disk has it: records can be lost");
        }
        let retention = &mut options.retention;
        for (days, asked) in [
            (
                &mut retention.registration_days,
                self.retain_registration_days,
            ),
            (&mut retention.credit_days, self.retain_credit_days),
            (&mut retention.claim_days, self.retain_claim_days),
        ] {
            *days = asked.unwrap_or(*days);
        }
        if let Some(megabytes) = self.block_cache_mb {
            options.store.block_cache_bytes = megabytes.saturating_mul(1 << 20);
        }
        if let Some(megabytes) = self.entry_cache_mb {
            options.store.entry_cache_bytes = megabytes.saturating_mul(1 << 20);
        }
        if let Some(units) = self.unit_cache {
            options.store.remembered_units = units;
        }
        if let Some(records) = self.max_waiting {
            options.on_their_way = records;
        }
        if let Some(rate) = self.party_rate {
            options.quota = QuotaConfig {
                records_per_second: rate,
                burst: rate.saturating_mul(10),
                ..options.quota
            };
        }
        Node::start(&data.join(STORE), signer, &options)
            .map_err(|error| Failure::Could(error.to_string()))
    }

    /// Serves web pages.
    async fn pages(
        &self,
        node: &Arc<Node>,
        for_browsers: axum::Router,
        listener: TcpListener,
        connections: Connections,
    ) -> Result<Serving, Failure> {
        let options = WebOptions {
            look_up_rate: std::num::NonZeroU32::new(self.look_up_rate.unwrap_or(LOOK_UP_RATE)),
            proxies: self.proxies.unwrap_or(0),
            public_url: self.public_url.clone(),
        };
        let router = web::router(node, for_browsers, options);
        let tls = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        http::serve(router, listener, tls, connections).await
    }

    fn server(&self) -> Result<Server, Failure> {
        let mut server = Server::builder()
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .initial_stream_window_size(CALL_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)));
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let cert = std::fs::read(cert).map_err(could(cert.display()))?;
            let key = Zeroizing::new(std::fs::read(key).map_err(could(key.display()))?);
            let identity = Identity::from_pem(cert, key.as_slice());
            server = server
                .tls_config(
                    ServerTlsConfig::new()
                        .identity(identity)
                        .timeout(TLS_TIMEOUT),
                )
                .map_err(could("TLS"))?;
        }
        Ok(server)
    }
}

/// Takes a port without answering on it: whoever connects before the ledger can answer is refused at once, and
/// turns to another node.
fn reserve(address: SocketAddr) -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // As listeners have it: a port whose last user is just gone can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

fn read_config(path: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(path).map_err(could(path.display()))?;
    toml::from_str(&text).map_err(could(path.display()))
}

/// The table `cluster` of a configuration file.
pub(super) fn cluster_config(path: &Path) -> Result<ClusterConfig, Failure> {
    Ok(read_config(path)?.cluster)
}

/// Waits until a node of a cluster has what there was when it started, and says so when that takes long.
async fn catch_up(node: &Node) -> Done {
    let caught_up = node.caught_up();
    tokio::pin!(caught_up);
    let mut seconds = tokio::time::interval(Duration::from_secs(5));
    let mut failed = node.failed();
    seconds.tick().await;
    loop {
        tokio::select! {
            done = &mut caught_up => return done.map_err(|error| Failure::Could(error.to_string())),
            _ = failed.wait_for(|failed| *failed) => {
                return Err(Failure::Could("the node could not catch up; its log says why".into()));
            }
            _ = seconds.tick() => {
                let group = node.group();
                tracing::info!(group, entries = node.head().borrow().size, "catching up");
            }
        }
    }
}

fn metrics_route(
    node: &Arc<Node>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> axum::Router {
    let sized = node.head();
    axum::Router::new().route(
        "/metrics",
        axum::routing::get(move || async move {
            #[allow(clippy::cast_precision_loss)] // a gauge is a float
            metrics::gauge!("custody_log_size").set(sized.borrow().size as f64);
            metrics.render()
        }),
    )
}

/// Erases personal data whose time has come: at the start, and every hour. What was erased by a call it takes off
/// the disk, here also where that was another node's.
async fn sweep(node: Arc<Node>) {
    let mut hours = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = hours.tick() => {}
            () = node.erased() => {}
        }
        let node = Arc::clone(&node);
        match tokio::task::spawn_blocking(move || node.sweep()).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(texts)) => tracing::info!(texts, "personal data erased: kept long enough"),
            Ok(Err(error)) => tracing::error!(%error, "personal data could not be erased"),
        }
    }
}

/// Waits for a signal to stop, or for the store to fail. True when it failed.
async fn wait_for_end(node: &Node, mut signals: Signals) -> bool {
    let mut failed = node.failed();
    tokio::select! {
        () = signals.came() => false,
        // A committer that is gone without a word has failed as well.
        _ = failed.wait_for(|failed| *failed) => true,
    }
}
