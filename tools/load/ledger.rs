//! The server under load: a process of its own, on a new store, with the parties that trade.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use custody::client::{Draft, Ledger, Session};
use custody::core::bundle::{decode_entry, signing_key};
use custody::core::envelope::{Envelope, key_possession_pae};
use custody::core::signature::Signer;
use custody::core::tlog::LogIndex;
use custody::core::wire::record::Body;
use custody::core::wire::{self, Role};
use custody::store::{Store, StoreOptions};
use prost::bytes::Bytes;
use tonic::transport::Channel;
use zeroize::Zeroizing;

pub const ORIGIN: &str = "load.example/ledger";
const REGULATOR: &str = "uscc:91350100M000100Y43";
/// GS1 company prefix of the maker.
const PREFIX: &str = "0614141";

/// A firm, its key, and the keys of its scanners.
pub struct Firm {
    pub id: &'static str,
    pub key: Arc<Signer>,
    pub scanners: Vec<Arc<Signer>>,
}

/// The maker and two couriers.
pub struct Trade {
    pub maker: Firm,
    pub couriers: [Firm; 2],
}

/// A running ledger.
pub struct Server {
    pub data: PathBuf,
    child: Child,
    pub address: String,
    pub pages: String,
    pub metrics: String,
    /// From its start until it said where it listens.
    pub ready: Duration,
}

/// Memory of a server while something happens.
pub struct Memory {
    before: u64,
    over: tokio::sync::oneshot::Sender<()>,
    looking: tokio::task::JoinHandle<u64>,
}

impl Memory {
    /// The most that it was, in words.
    pub async fn most(self) -> String {
        let _ = self.over.send(());
        let most = self.looking.await.expect("no panic");
        let before = self.before >> 20;
        format!(
            "memory, looked at every 50 ms, {} MB at most, before {before} MB",
            most >> 20
        )
    }
}

pub fn custody() -> Command {
    Command::new(env!("CARGO_BIN_EXE_custody"))
}

impl Server {
    /// A new ledger in a folder.
    pub fn new(folder: &Path) -> Self {
        let data = folder.join("ledger");
        let made = custody()
            .args(["init", "--data"])
            .arg(&data)
            .args(["--origin", ORIGIN, "--regulator", REGULATOR])
            .args(["--regulator-name", "Regulator"])
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "custody init");
        Self::open(&data)
    }

    /// An existing one.
    pub fn open(data: &Path) -> Self {
        Self::open_with(data, &[])
    }

    /// The same, told more.
    pub fn open_with(data: &Path, arguments: &[&str]) -> Self {
        let start = Instant::now();
        let mut child = custody()
            .args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--metrics", "127.0.0.1:0", "--look-up-rate", "0"])
            .args(["--party-rate", "100000000", "--data"])
            .arg(data)
            .args(arguments)
            .env(
                "CUSTODY_LOG",
                std::env::var("CUSTODY_LOG").unwrap_or("warn".into()),
            )
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut after = |what: &str| loop {
            let line = lines.next().expect("the server runs").expect("text");
            if let Some((_, address)) = line.split_once(what) {
                return address.to_owned();
            }
        };
        let address = after("gRPC on ");
        let pages = after("pages on ");
        let metrics = after("metrics on ");
        Self {
            data: data.to_owned(),
            child,
            address,
            pages,
            metrics,
            ready: start.elapsed(),
        }
    }

    pub async fn channels(&self, count: usize) -> Vec<Channel> {
        channels(&self.address, count).await
    }

    /// Bytes of memory that the process has.
    pub fn resident(&self) -> u64 {
        status_kilobytes(self.child.id(), "VmRSS:") * 1024
    }

    /// Looks at that again and again from now on.
    pub fn watched(&self) -> Memory {
        let (process, before) = (self.child.id(), self.resident());
        let (over, mut ended) = tokio::sync::oneshot::channel();
        let looking = tokio::spawn(async move {
            let mut most = before;
            while ended.try_recv().is_err() {
                most = most.max(status_kilobytes(process, "VmRSS:") * 1024);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            most
        });
        Memory {
            before,
            over,
            looking,
        }
    }

    /// Processor seconds that the threads have used, by what they do.
    pub fn processor_seconds(&self) -> BTreeMap<&'static str, f64> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut seconds = BTreeMap::new();
        for task in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let Some((name, fields)) = stat.rsplit_once(") ") else {
                continue;
            };
            let mut fields = fields.split_whitespace().skip(11);
            let mut ticks = || fields.next().and_then(|f| f.parse::<f64>().ok());
            let used = (ticks().unwrap_or(0.0) + ticks().unwrap_or(0.0)) / 100.0;
            *seconds.entry(job(name)).or_default() += used;
        }
        seconds
    }

    /// Waits until the server has nothing left to do, flushes and compactions included; how long that took. Whoever
    /// appends without a pause leaves it some minutes of work at most.
    pub async fn settled(&self) -> Duration {
        const IDLE: f64 = 0.05; // of a core
        let start = Instant::now();
        let mut before = self.processor_seconds().values().sum::<f64>();
        while start.elapsed() < Duration::from_secs(300) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.processor_seconds().values().sum::<f64>();
            if now - before < IDLE {
                break;
            }
            before = now;
        }
        start.elapsed()
    }

    /// A number out of the server's metrics.
    pub fn metric(&self, name: &str) -> u64 {
        let text = get(&self.metrics).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().last()?.parse().ok())
            .unwrap_or(0)
    }

    /// Entries that its log has.
    pub fn entries(&self) -> u64 {
        self.metric("custody_log_size")
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill");
    }

    /// Ends it as a power button does, while others look on.
    pub fn kill_now(&self) {
        self.signal("KILL");
    }

    /// Ends it as a power button does.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.data.clone()
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> PathBuf {
        self.signal("TERM");
        self.child.wait().expect("it ends");
        self.data.clone()
    }

    pub fn regulator_key(&self) -> Arc<Signer> {
        let text = std::fs::read_to_string(self.data.join("regulator.key")).expect("a key file");
        let seed = text.lines().find_map(|line| line.strip_prefix("seed: "));
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(seed.expect("a seed"), &mut *bytes).expect("hex");
        Arc::new(Signer::from_seed(&bytes))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a thread of this name does.
fn job(name: &str) -> &'static str {
    let known = [
        ("admit", "admit"),
        ("apply", "apply"),
        ("write", "write"),
        ("index", "index"),
        ("tokio", "gRPC"),
        ("rocksdb", "compaction"),
    ];
    let found = known.iter().find(|(part, _)| name.contains(part));
    found.map_or("other", |(_, job)| job)
}

/// Audits a stopped ledger: entries and seconds.
pub fn audit(data: &Path) -> (u64, f64) {
    let start = Instant::now();
    let output = custody()
        .args(["audit", "--json", "--data"])
        .arg(data)
        .arg("--trust")
        .arg(data.join("log.vkey"))
        .output()
        .expect("the audit runs");
    assert!(
        output.status.success(),
        "the audit failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (
        said["entries"].as_u64().expect("entries"),
        start.elapsed().as_secs_f64(),
    )
}

/// Entries of a stopped ledger from all over it, some hundred at a time as they lie in the log, with the keys that signed
/// them.
pub fn sampled(data: &Path) -> Vec<([u8; 32], Envelope)> {
    const PLACES: u64 = 64;
    let many = custody::admit::MAX_BATCH as u64;
    let store =
        Store::open_to_read(&data.join("store"), &StoreOptions::default()).expect("the store");
    let size = store.head().expect("the head").size;
    let step = (size / PLACES).max(many);
    let mut sample = Vec::new();
    for first in (0..size).step_by(usize::try_from(step).expect("a step")) {
        let visit = |index: LogIndex, entry: Bytes| {
            if index.0 == first + many {
                return false;
            }
            let entry = decode_entry(&entry).expect("an entry");
            let key = signing_key(&store, &entry.record).expect("its key");
            sample.push((key, entry.envelope));
            true
        };
        store.entries(LogIndex(first), visit).expect("entries");
    }
    sample
}

pub async fn channels(address: &str, count: usize) -> Vec<Channel> {
    let mut channels = Vec::with_capacity(count);
    for _ in 0..count {
        let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned());
        let endpoint = endpoint
            .expect("an address")
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20)
            .tcp_nodelay(true);
        channels.push(endpoint.connect().await.expect("a connection"));
    }
    channels
}

fn get(url: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut connection = std::net::TcpStream::connect(host).ok()?;
    write!(
        connection,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).ok()?;
    Some(text)
}

/// A line of `/proc/PID/status`.
pub fn status_kilobytes(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Keys from a seed, each its own.
fn signer(name: &str, number: usize) -> Arc<Signer> {
    use sha2::Digest as _;
    let seed: [u8; 32] = sha2::Sha256::digest(format!("load {name} {number}")).into();
    Arc::new(Signer::from_seed(&Zeroizing::new(seed)))
}

impl Trade {
    /// The same firms and keys every time.
    pub fn of(scanners: usize) -> Self {
        let firm = |id: &'static str| Firm {
            id,
            key: signer(id, 0),
            scanners: (1..=scanners).map(|n| signer(id, n)).collect(),
        };
        Self {
            maker: firm("gln:0614141000005"),
            couriers: [
                firm("uscc:91110000802100433B"),
                firm("uscc:91370200264574251E"),
            ],
        }
    }

    /// Registers everybody, each with so many scanners.
    pub async fn found(server: &Server, scanners: usize) -> Self {
        let trade = Self::of(scanners);
        let regulator = server.regulator_key();
        let mut drafts = Vec::new();
        let firms = || {
            let couriers = trade.couriers.iter().map(|firm| (firm, Role::Courier));
            std::iter::once((&trade.maker, Role::Maker)).chain(couriers)
        };
        for (firm, role) in firms() {
            drafts.push(draft(&firm.key, register(firm, role)));
            drafts.push(draft(&regulator, approve(firm, role)));
        }
        let scope = Some(wire::ProductScope {
            scope: Some(wire::product_scope::Scope::CompanyPrefix(PREFIX.into())),
        });
        let claim = wire::ClaimProduct {
            scope: scope.clone(),
            name: "Tea".into(),
        };
        drafts.push(draft(&trade.maker.key, Body::ClaimProduct(claim)));
        let approval = wire::ApproveProduct {
            scope,
            party: trade.maker.id.into(),
        };
        drafts.push(draft(&regulator, Body::ApproveProduct(approval)));
        for (firm, _) in firms() {
            for scanner in &firm.scanners {
                drafts.push(draft(&firm.key, delegate(scanner, firm)));
            }
        }
        let ledger = Ledger::connect(&server.address, None).await;
        let mut session = Session::start(ledger.expect("a connection"))
            .await
            .expect("a session");
        for outcome in session.submit(drafts).await.expect("answers") {
            if let Err(refusal) = outcome {
                panic!("{}: {}", refusal.reason, refusal.message);
            }
        }
        trade
    }
}

fn draft(signer: &Arc<Signer>, body: Body) -> Draft {
    Draft {
        record: wire::Record {
            claimed_time_ms: crate::workload::BASE,
            body: Some(body),
            ..wire::Record::default()
        },
        signer: Arc::clone(signer),
        advances: true,
    }
}

fn public(signer: &Signer) -> wire::PublicKey {
    wire::PublicKey {
        suite: 1,
        public_key: signer.public_key().as_bytes().to_vec(),
    }
}

fn register(firm: &Firm, role: Role) -> Body {
    Body::RegisterParty(wire::RegisterParty {
        party: firm.id.into(),
        name: format!("Firm {}", firm.id),
        roles: vec![role.into()],
        key: Some(public(&firm.key)),
        ..Default::default()
    })
}

fn approve(firm: &Firm, role: Role) -> Body {
    Body::ApproveParty(wire::ApproveParty {
        party: firm.id.into(),
        roles: vec![role.into()],
        valid_until_ms: 0,
        ..Default::default()
    })
}

fn delegate(scanner: &Signer, firm: &Firm) -> Body {
    let possession = scanner.sign(&key_possession_pae(ORIGIN, firm.id));
    Body::Delegate(wire::Delegate {
        key: Some(public(scanner)),
        valid_from_ms: 1_700_000_000_000,
        valid_until_ms: 2_000_000_000_000,
        possession: possession.to_vec(),
    })
}
