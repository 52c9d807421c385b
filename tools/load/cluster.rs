//! The rows about a ledger of three nodes on three etcd, all of them on this machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};
use prost::bytes::Bytes;
use tonic::transport::Channel;

use crate::appends::{CALLS, CONNECTIONS, STREAMS, Scale};
use crate::drive::{self, Calls};
use crate::ledger::{self, Server, Trade};
use crate::limits;
use crate::raw;
use crate::report::{Row, Target};
use crate::workload::{self, Signed};

const NODES: usize = 3;
/// Proposals that one node has under way, as `custody serve` has by default.
const WINDOW: u64 = 2;
/// Clients whose waiting is looked at while a process dies.
const CLIENTS: usize = 16;
/// How long a client waits for an answer before it turns to the next node.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a condition may take that takes moments.
const SOON: Duration = Duration::from_secs(60);

/// Three etcd, as they come.
struct Etcds {
    folder: PathBuf,
    children: Vec<Child>,
    clients: Vec<String>,
    peers: Vec<String>,
}

impl Etcds {
    /// None where etcd is not installed.
    fn start(folder: &Path) -> Option<Self> {
        let found = Command::new("etcd")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        found.ok().filter(std::process::ExitStatus::success)?;
        let listeners: Vec<_> = (0..2 * NODES)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let urls: Vec<String> = listeners
            .iter()
            .map(|listener| format!("http://{}", listener.local_addr().expect("an address")))
            .collect();
        drop(listeners);
        let (clients, peers) = urls.split_at(NODES);
        let mut etcds = Self {
            folder: folder.to_owned(),
            children: Vec::new(),
            clients: clients.to_vec(),
            peers: peers.to_vec(),
        };
        etcds.children = (0..NODES).map(|at| etcds.spawn(at)).collect();
        Some(etcds)
    }

    fn spawn(&self, at: usize) -> Child {
        let (client, peer) = (&self.clients[at], &self.peers[at]);
        let members = self.peers.iter().enumerate();
        let members: Vec<String> = members.map(|(at, peer)| format!("e{at}={peer}")).collect();
        let spawned = Command::new("etcd")
            .args([
                "--name",
                &format!("e{at}"),
                "--initial-cluster",
                &members.join(","),
            ])
            .arg("--data-dir")
            .arg(self.folder.join(format!("etcd-{at}")))
            .args([
                "--listen-client-urls",
                client,
                "--advertise-client-urls",
                client,
            ])
            .args([
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        spawned.expect("etcd starts")
    }

    /// Starts those that have ended.
    fn revive(&mut self) {
        for at in 0..NODES {
            if self.children[at]
                .try_wait()
                .is_ok_and(|ended| ended.is_some())
            {
                self.children[at] = self.spawn(at);
            }
        }
    }

    /// For `--cluster`.
    fn address(&self) -> String {
        let hosts = self
            .clients
            .iter()
            .map(|client| client.trim_start_matches("http://"));
        format!("etcd://{}", hosts.collect::<Vec<_>>().join(","))
    }

    async fn client(&self) -> Client {
        let begun = Instant::now();
        loop {
            if let Ok(mut client) = Client::connect(&self.clients, None).await
                && client.put("load/ready", "", None).await.is_ok()
            {
                return client;
            }
            assert!(begun.elapsed() < SOON, "etcd has a quorum");
            tokio::task::yield_now().await;
        }
    }

    /// Writes so many bytes again and again under a new key that must not be there, by one proposer; how many a second.
    async fn rate(&self, bytes: usize, time: Duration) -> f64 {
        let client = self.client().await;
        let (next, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let proposers = (0..WINDOW).map(|_| {
            let (mut client, next) = (client.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut value = vec![0; bytes];
                let mut seed = 1_u64;
                value.fill_with(|| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed.to_be_bytes()[0]
                });
                let mut written = 0_u64;
                while begun.elapsed() < time {
                    let key = format!("load/{:016x}", next.fetch_add(1, Ordering::Relaxed));
                    let new = Compare::version(key.clone(), CompareOp::Equal, 0);
                    let put = TxnOp::put(key, value.clone(), None);
                    let answer = client.txn(Txn::new().when([new]).and_then([put])).await;
                    assert!(answer.expect("etcd answers").succeeded());
                    written += 1;
                }
                written
            })
        });
        let mut written = 0;
        for proposer in proposers.collect::<Vec<_>>() {
            written += proposer.await.expect("no panic");
        }
        limits::rate(written, begun.elapsed())
    }

    /// Ends the leader as a power button does.
    async fn kill_leader(&mut self) {
        for (at, address) in self.clients.iter().enumerate() {
            let client = Client::connect([address], None).await;
            let status = client
                .expect("etcd answers")
                .status()
                .await
                .expect("a status");
            let header = status.header().expect("a header");
            if header.member_id() == status.leader() {
                self.children[at].kill().expect("it runs");
                self.children[at].wait().expect("it ends");
                return;
            }
        }
        panic!("etcd has no leader");
    }
}

impl Drop for Etcds {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a node; in a folder with nothing but the log's key it joins.
fn node(etcds: &Etcds, data: &Path, name: usize) -> Server {
    let arguments = ["--cluster", &etcds.address(), "--node", &format!("n{name}")];
    Server::open_with(data, &arguments)
}

/// A folder for a node that joins the one in another folder.
fn beside(data: &Path, name: usize) -> PathBuf {
    let folder = data.with_file_name(format!("node-{name}"));
    std::fs::create_dir(&folder).expect("a folder");
    for file in ["log.key", "log.vkey"] {
        std::fs::copy(data.join(file), folder.join(file)).expect("copied");
    }
    folder
}

/// Waits until all nodes have as many entries as the first.
fn level(nodes: &[Server]) {
    let begun = Instant::now();
    let size = nodes[0].entries();
    while nodes.iter().any(|node| node.entries() < size) {
        assert!(begun.elapsed() < SOON, "the nodes follow");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Connections to nodes, in turns.
async fn channels(nodes: &[Server]) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS.div_ceil(nodes.len()) {
        for node in nodes {
            channels.append(&mut node.channels(1).await);
        }
    }
    channels
}

/// All rows; none, and a word, where etcd is not installed.
pub async fn rows(folder: &Path, scale: Scale, push: &mut impl FnMut(Row)) {
    let Some(mut etcds) = Etcds::start(folder) else {
        println!("etcd: not installed; the rows of a cluster are left out");
        return;
    };
    etcds.client().await;
    let units = (scale.records / workload::STEPS / STREAMS as u64).max(1) * STREAMS as u64;
    let (alone, requests) = single(&folder.join("alone"), scale, units).await;
    let first = Server::new(&folder.join("cluster"));
    let data = first.stop();
    let mut nodes = vec![node(&etcds, &data, 1)];
    for name in 2..=NODES {
        nodes.push(node(&etcds, &beside(&data, name), name));
    }
    let trade = Trade::found(&nodes[0], scale.scanners).await;
    level(&nodes);
    push(append(&etcds, &nodes, (scale, requests), alone).await);
    push(reads(&nodes, units, scale.limit_time).await);
    for row in deaths(&mut etcds, &nodes, &trade, 2 * units).await {
        push(row);
    }
    level(&nodes[1..]); // The first was killed.
    if let Some(last) = nodes.pop() {
        audit(last);
    }
}

/// Stops a node and audits all that it has.
fn audit(node: Server) {
    let size = node.entries();
    assert_eq!(ledger::audit(&node.stop()).0, size);
}

/// The rate of one process, and the records: the same firms sign the same for every ledger of this name.
async fn single(folder: &Path, scale: Scale, units: u64) -> (f64, Vec<Vec<Bytes>>) {
    let server = Server::new(folder);
    let trade = Trade::found(&server, scale.scanners).await;
    let requests = drive::requests(&workload::ways(&trade, 1, units, STREAMS));
    let channels = server.channels(CONNECTIONS).await;
    let driven = drive::streams(&channels, &raw::SUBMIT_STREAM, requests.clone()).await;
    (driven.all_acknowledged("one process").rate(), requests)
}

async fn append(
    etcds: &Etcds,
    nodes: &[Server],
    (scale, requests): (Scale, Vec<Vec<Bytes>>),
    alone: f64,
) -> Row {
    let bytes: usize = requests.iter().flatten().map(Bytes::len).sum();
    let groups = || nodes[0].metric("custody_groups_total");
    let before = groups();
    let seconds = || -> f64 {
        let nodes = nodes.iter().map(Server::processor_seconds);
        nodes.map(|seconds| seconds.values().sum::<f64>()).sum()
    };
    let used = seconds();
    let largest = Arc::new(AtomicU64::new(0));
    let looking = tokio::spawn(look(
        etcds.folder.join("etcd-0/member/snap/db"),
        Arc::clone(&largest),
    ));
    let driven = drive::streams(&channels(nodes).await, &raw::SUBMIT_STREAM, requests).await;
    let driven = driven.all_acknowledged("three nodes");
    let used = seconds() - used;
    looking.abort();
    level(nodes);
    let groups = usize::try_from(groups() - before).unwrap_or(1).max(1);
    let group = bytes / groups;
    let bare = etcds.rate(group, scale.limit_time).await;
    #[allow(clippy::cast_precision_loss)] // counts of a run
    let (records, groups) = (driven.acknowledged as f64, groups as f64);
    Row::new(
        "append over three nodes and three etcd on one machine",
        "records/s",
        driven.rate(),
    )
    .limit(
        "one process, same records",
        alone,
        Target::AtLeast(0.3),
    )
    .note(format!(
        "{groups:.0} groups of {:.0} records, {} KiB; the nodes used {:.1} us of processor a record, three times \
         {:.1}",
        records / groups,
        group >> 10,
        used / records * 1e6,
        used / records * 1e6 / 3.0,
    ))
    .note(format!(
        "{} MB went through etcd, whose file had {} MB at most",
        bytes >> 20,
        largest.load(Ordering::Relaxed) >> 20
    ))
    .note(format!(
        "etcd alone takes {bare:.0} such groups a second from one proposer, {WINDOW} under way: {:.0} records/s",
        bare * records / groups
    ))
}

/// Notes the largest that a file is, again and again.
async fn look(file: PathBuf, largest: Arc<AtomicU64>) {
    loop {
        let bytes = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        largest.fetch_max(bytes, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Look-ups with one node, two, and all.
async fn reads(nodes: &[Server], units: u64, time: Duration) -> Row {
    let requests: Vec<Bytes> = (1..=units.min(20_000)).map(raw::get_provenance).collect();
    let requests = Arc::new(requests);
    let mut rates = Vec::new();
    for count in 1..=nodes.len() {
        let channels = channels(&nodes[..count]).await;
        let (method, requests) = (&raw::GET_PROVENANCE, Arc::clone(&requests));
        let calls = Calls {
            time: Some(time),
            ..CALLS
        };
        let driven = drive::unary(&channels, method, requests, calls).await;
        rates.push(driven.all_acknowledged("look-ups").rate());
    }
    Row::new("GetProvenance over three nodes", "/s", rates[2])
        .limit("over one of them", rates[0], Target::AtLeast(0.9))
        .note(format!(
            "over two {:.0}; the nodes share this machine's cores, so that more of them add nothing here",
            rates[1]
        ))
}

/// Sends records one after the other to the first node, and when that fails the same again to the next one, until one
/// is acknowledged that was sent after something has happened; how long after it that was.
async fn persist(
    channels: Arc<Vec<Channel>>,
    records: Vec<Signed>,
    happened: Arc<OnceLock<Instant>>,
) -> Duration {
    let method = raw::SUBMIT;
    let mut at = 0;
    for record in records {
        // One that was sent before may have been committed before.
        let begun = happened.get();
        loop {
            let sent = raw::unary(&channels[at % NODES], &method, record.request.clone());
            let answer = tokio::time::timeout(PATIENCE, sent).await;
            if answer.is_ok_and(|answer| answer.is_ok()) {
                break;
            }
            at += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Some(happened) = begun {
            return happened.elapsed();
        }
    }
    panic!("all records were acknowledged before anything happened");
}

/// The longest that a client waits for its next answer when something happens to a process.
async fn wait(
    nodes: &[Server],
    trade: &Trade,
    serials: u64,
    happen: impl AsyncFnOnce(),
) -> Duration {
    let (records, mut holdings) = workload::hand_over(trade, serials, 20, CLIENTS);
    let channels = Arc::new(channels(nodes).await);
    let requests = drive::requests(&records);
    let handed = drive::streams(&channels[..1], &raw::SUBMIT_STREAM, requests).await;
    handed.all_acknowledged("handing over");
    level(nodes);
    let streams = workload::scans(trade, &mut holdings, 200, |stream| stream);
    let happened = Arc::new(OnceLock::new());
    let clients: Vec<_> = streams
        .into_iter()
        .map(|records| {
            tokio::spawn(persist(
                Arc::clone(&channels),
                records,
                Arc::clone(&happened),
            ))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    happen().await;
    happened.set(Instant::now()).expect("once");
    let mut longest = Duration::ZERO;
    for client in clients {
        longest = longest.max(client.await.expect("every client goes on"));
    }
    longest
}

/// Until clients proceed, after the node that all of them write to was killed, and after etcd's leader was.
async fn deaths(etcds: &mut Etcds, nodes: &[Server], trade: &Trade, serials: u64) -> [Row; 2] {
    let leader = wait(nodes, trade, serials, async || etcds.kill_leader().await).await;
    etcds.revive();
    etcds.client().await;
    let serials = serials + 1_000;
    let node = wait(nodes, trade, serials, async || nodes[0].kill_now()).await;
    let row = |what: &str, longest: Duration| {
        Row::new(what, "s", longest.as_secs_f64())
            .limit("target", 3.0, Target::AtMost(1.0))
            .note(format!(
                "the longest of {CLIENTS} clients, each of which sends the same record to the next node"
            ))
    };
    [
        row("kill -9 of etcd's leader until clients proceed", leader),
        row("kill -9 of the busiest node until clients proceed", node),
    ]
}

/// How long a new node takes to have a log of so many records, and to answer.
pub async fn join(folder: &Path, scanners: usize, records: u64) -> Option<Row> {
    let etcds = Etcds::start(folder)?;
    etcds.client().await;
    let server = Server::new(&folder.join("joined"));
    let trade = Trade::found(&server, scanners).await;
    let each = 50_000 / workload::STEPS / STREAMS as u64 * STREAMS as u64;
    let mut units = 0;
    while units * workload::STEPS < records {
        let now = each.min((records / workload::STEPS).next_multiple_of(STREAMS as u64));
        let requests = drive::requests(&workload::ways(&trade, 1 + units, now, STREAMS));
        let channels = server.channels(CONNECTIONS).await;
        let driven = drive::streams(&channels, &raw::SUBMIT_STREAM, requests).await;
        driven.all_acknowledged("the log to be");
        units += now;
    }
    let data = server.stop();
    let first = node(&etcds, &data, 1);
    let size = first.entries();
    let second = node(&etcds, &beside(&data, 2), 2);
    assert_eq!(second.entries(), size);
    let seconds = second.ready.as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // entries of a run
    let rate = size as f64 / seconds;
    let bytes = bytes_below(&second.data.join("store"));
    audit(second);
    Some(
        Row::new(
            format!("a new node joins with {size} records"),
            "s",
            seconds,
        )
        .note(format!(
            "{rate:.0} entries/s: {} MB fetched, each entry hashed anew, every checksum read",
            bytes >> 20
        )),
    )
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
