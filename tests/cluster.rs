//! A ledger of several processes: real servers on a real etcd.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::etcd::Etcd;
use common::{Server, Trade, all_accepted, commission, draft, scan, unit};
use custody::admit::Admitted;
use custody::api::session::{AT_LEAST, GROUP, LOG_SIZE};
use custody::client::{Ledger, Session};
use custody::commit::Committer;
use custody::core::envelope::Envelope;
use custody::core::record::Record;
use custody::core::signature::Signer;
use custody::core::wire;
use custody::sequence::Group;
use custody::store::{Store, StoreOptions};
use tonic::Request;

/// Nodes of one ledger, in folders of their own.
struct Cluster {
    folder: tempfile::TempDir,
    etcd: Etcd,
}

impl Cluster {
    /// A ledger in the folder of node 1; the others have the log's key only.
    fn new() -> Option<Self> {
        let etcd = Etcd::start()?;
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { folder, etcd };
        common::init(&cluster.data(1));
        Some(cluster)
    }

    fn data(&self, node: u32) -> PathBuf {
        self.folder.path().join(format!("n{node}"))
    }

    /// Starts a node; one that is new joins.
    fn try_start_at(&self, node: u32, more: &[&str]) -> Result<Server, String> {
        let data = self.data(node);
        if !data.exists() {
            std::fs::create_dir(&data).unwrap();
            let files = ["log.key", "log.vkey", "regulator.key"];
            for file in files {
                std::fs::copy(self.data(1).join(file), data.join(file)).unwrap();
            }
        }
        let (etcd, name) = (self.etcd.address(), format!("n{node}"));
        let mut arguments = vec!["--cluster", &etcd];
        if !more.contains(&"--node") {
            arguments.extend(["--node", &name]);
        }
        arguments.extend(more);
        Server::try_spawn(common::custody(), &data, &arguments)
    }

    fn try_start(&self, node: u32) -> Result<Server, String> {
        self.try_start_at(node, &[])
    }

    fn start_at(&self, node: u32, more: &[&str]) -> Server {
        let started = self.try_start_at(node, more);
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The first node, with everybody who trades.
    async fn founded(&self) -> (Server, Trade) {
        let first = self.start(1);
        let trade = Trade::set_up(&first, &mut first.session().await).await;
        (first, trade)
    }

    fn start(&self, node: u32) -> Server {
        self.try_start(node)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The checkpoint's first three lines, once the node has so many entries.
async fn checkpoint(server: &Server, size: u64) -> String {
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request.metadata_mut().insert(AT_LEAST, size.into());
    let answer = server.ledger().await.log().get_checkpoint(request).await;
    let note = answer.unwrap().into_inner().checkpoint;
    String::from_utf8(note).unwrap()
}

async fn trade_on(server: &Server, trade: &Trade, serials: std::ops::Range<u64>) -> u64 {
    let mut session = server.session().await;
    let units: Vec<_> = serials.map(unit).collect();
    let commissions = units
        .iter()
        .map(|u| draft(&trade.maker, &[*u], commission()));
    let scans = units.iter().map(|u| draft(&trade.maker, &[*u], scan()));
    let receipts = session.submit(commissions.chain(scans).collect()).await;
    let receipts = all_accepted(receipts.unwrap());
    receipts
        .iter()
        .map(|receipt| receipt.log_index)
        .max()
        .unwrap()
        + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_that_is_flooded_when_another_has_a_record_then_it_gets_its_turn() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut session = first.session().await;
    let second = cluster.start(2);
    let maker = Arc::clone(&trade.maker);
    let flood = tokio::spawn(async move {
        let units = (1..30_000).map(unit);
        let drafts = units.map(|unit| draft(&maker, &[unit], commission()));
        all_accepted(session.submit(drafts.collect()).await.unwrap()).len()
    });
    let mut other = second.session().await;
    let mut turns = 0;
    while !flood.is_finished() {
        let record = draft(&trade.maker, &[unit(100_000 + turns)], commission());
        all_accepted(other.submit(vec![record]).await.unwrap());
        turns += 1;
    }
    assert_eq!(flood.await.unwrap(), 29_999);
    assert!(turns > 10, "it was heard {turns} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_three_nodes_when_all_are_flooded_at_once_then_every_record_is_acknowledged() {
    const EACH: u64 = 15_000;
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let nodes = [first, cluster.start(2), cluster.start(3)];
    let floods: Vec<_> = (0..)
        .zip(&nodes)
        .map(|(at, node)| {
            let (maker, ledger) = (Arc::clone(&trade.maker), node.address.clone());
            tokio::spawn(async move {
                let ledger = Ledger::connect(&ledger, None).await.unwrap();
                let mut session = Session::start(ledger).await.unwrap();
                let units = (at * EACH..(at + 1) * EACH).map(unit);
                let drafts = units.map(|unit| draft(&maker, &[unit], commission()));
                all_accepted(session.submit(drafts.collect()).await.unwrap())
            })
        })
        .collect();
    let mut size = 0;
    for flood in floods {
        let receipts = flood.await.unwrap();
        let last = receipts.iter().map(|receipt| receipt.log_index).max();
        size = size.max(last.unwrap() + 1);
    }
    for node in &nodes {
        assert_eq!(
            checkpoint(node, size).await,
            checkpoint(&nodes[0], size).await
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_three_nodes_when_each_takes_records_and_one_dies_then_all_have_one_log() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (mut first, trade) = cluster.founded().await;
    let size = trade_on(&first, &trade, 1..20).await;
    // The others join while the first goes on.
    let (mut second, third) = (cluster.start(2), cluster.start(3));
    assert_eq!(
        checkpoint(&first, size).await,
        checkpoint(&second, size).await
    );
    let mut size = 0;
    let nodes = [&first, &second, &third];
    for (serial, node) in (100..).step_by(100).zip(nodes) {
        size = size.max(trade_on(node, &trade, serial..serial + 20).await);
    }
    let notes = [
        checkpoint(&first, size).await,
        checkpoint(&third, size).await,
    ];
    assert_eq!(notes[0], notes[1], "one root, one signature");
    // One dies at once, and one is stopped; the last one goes on, and they come back.
    second.kill();
    let size = trade_on(&third, &trade, 400..420).await;
    assert!(first.stop().success());
    let size = size.max(trade_on(&third, &trade, 500..520).await);
    let (first, second) = (cluster.start(1), cluster.start(2));
    for node in [&first, &second, &third] {
        assert_eq!(checkpoint(node, size).await, checkpoint(&first, size).await);
        let audit = ["audit", "--json", "--key"];
        let (key, log_key) = (node.data.join("regulator.key"), node.log_key());
        let more = [key.to_str().unwrap(), "--trust", &log_key];
        let audit: serde_json::Value =
            serde_json::from_str(&node.run_ok(&[&audit[..], &more].concat())).unwrap();
        assert_eq!(audit["passed"], true);
        assert_eq!(audit["entries"], size);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_receipt_when_read_elsewhere_with_its_token_then_the_record_is_there() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut session = first.session().await;
    let second = cluster.start(2);
    let elsewhere = second.ledger().await;
    for serial in 0..50 {
        let drafts = vec![draft(&trade.maker, &[unit(serial)], commission())];
        let receipt = all_accepted(session.submit(drafts).await.unwrap()).remove(0);
        let mut request = Request::new(wire::GetProvenanceRequest {
            unit: unit(serial).to_string(),
            ..Default::default()
        });
        let token = receipt.log_index + 1;
        request.metadata_mut().insert(AT_LEAST, token.into());
        let answer = elsewhere
            .provenance()
            .get_provenance(request)
            .await
            .unwrap();
        let told = |name: &str| -> u64 {
            let value = answer.metadata().get(name).expect(name);
            value.to_str().unwrap().parse().unwrap()
        };
        assert!(told(LOG_SIZE) >= token);
        assert!(told(GROUP) > 0);
    }
    // What is not there yet is waited for, and then refused as something to try again.
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request.metadata_mut().insert(AT_LEAST, 1_000_000.into());
    let status = elsewhere.log().get_checkpoint(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request
        .metadata_mut()
        .insert(AT_LEAST, "many".parse().unwrap());
    let status = elsewhere.log().get_checkpoint(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_the_addresses_of_nodes_when_the_first_are_gone_then_the_next_one_answers() {
    let server = Server::start();
    let gone = format!("http://127.0.0.1:{}", common::etcd::free_port());
    let nodes = format!("{gone},nonsense, {},{gone}", server.address);
    let said = common::custody()
        .env("CUSTODY_LEDGER", &nodes)
        .args(["party", "list", "--json"])
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let none = Ledger::connect(&format!("{gone},{gone}"), None).await;
    assert!(none.is_err_and(|error| error.to_string().contains("no connection")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_text_beside_the_log_when_put_and_erased_then_every_node_does_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let second = cluster.start(2);
    let (here, there) = (
        first.as_party(&trade.maker, common::MAKER).await,
        second.as_party(&trade.maker, common::MAKER).await,
    );
    let put = wire::PutPrivateRequest {
        subject: common::MAKER.into(),
        class: wire::RetentionClass::Registration.into(),
        salt: vec![7; 16],
        text: "Zhang San, Fuzhou".into(),
    };
    let text = here
        .private()
        .put_private(put)
        .await
        .unwrap()
        .into_inner()
        .text
        .unwrap();
    let get = wire::GetPrivateRequest {
        subject: common::MAKER.into(),
        commitment: text.commitment.clone(),
    };
    // Another write through the order, after which the other node has the text as well.
    let size = trade_on(&first, &trade, 1..2).await;
    checkpoint(&second, size).await;
    let got = there
        .private()
        .get_private(get.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(got.text, "Zhang San, Fuzhou");
    let erase = wire::ErasePrivateRequest {
        subject: common::MAKER.into(),
        commitment: text.commitment,
    };
    there.private().erase_private(erase).await.unwrap();
    let size = trade_on(&second, &trade, 2..3).await;
    checkpoint(&first, size).await;
    let gone = here.private().get_private(get).await.unwrap_err();
    assert_eq!(gone.code(), tonic::Code::NotFound, "{gone}");
    // Neither etcd's files nor the other node's hold it.
    for folder in [cluster.etcd.data(), first.data.join("store")] {
        eventually(
            || !holds(&folder, b"Zhang San, Fuzhou"),
            "the text is off the disk",
        );
    }
}

/// Waits for what takes a while.
fn eventually(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// Whether a file below a folder has these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_an_etcd_that_was_set_back_when_nodes_notice_then_none_signs_until_it_is_reset() {
    let Some(mut cluster) = Cluster::new() else {
        return;
    };
    let (mut first, trade) = cluster.founded().await;
    let (mut second, mut third) = (cluster.start(2), cluster.start(3));
    assert!(third.stop().success());
    // A backup of etcd, and more records after it.
    cluster.etcd.kill();
    let backup = cluster.folder.path().join("backup");
    copy(&cluster.etcd.data(), &backup);
    cluster.etcd.start_again();
    let size = trade_on(&first, &trade, 1..10).await;
    let before = checkpoint(&second, size).await;
    cluster.etcd.kill();
    std::fs::remove_dir_all(cluster.etcd.data()).unwrap();
    copy(&backup, &cluster.etcd.data());
    cluster.etcd.start_again();
    // Both end, and say why; so do they when they are started again.
    first.wait();
    second.wait();
    assert!(first.log().contains("was set back"), "{}", first.log());
    for node in [1, 2] {
        let error = cluster.try_start(node).err().expect("it must not serve");
        assert!(error.contains("custody cluster reset"), "{error}");
    }
    // One that was behind the backup can't know, and is told.
    let error = cluster.try_start(3).err().expect("it must not serve");
    assert!(error.contains("halted"), "{error}");
    let data = first.data.to_str().unwrap().to_owned();
    let etcd = cluster.etcd.address();
    let reset = ["cluster", "reset", "--data", &data, "--cluster", &etcd];
    let said = first.run_ok(&reset);
    assert!(said.contains(&format!("{size} entries")), "{said}");
    let (first, second) = (cluster.start(1), cluster.start(2));
    assert_eq!(
        checkpoint(&second, size).await,
        before,
        "what was signed stays"
    );
    let size = trade_on(&second, &trade, 20..30).await;
    assert_eq!(
        checkpoint(&first, size).await,
        checkpoint(&second, size).await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_whose_log_differs_when_it_meets_the_others_then_it_stops_and_says_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let (_second, mut third) = (cluster.start(2), cluster.start(3));
    assert!(third.stop().success());
    // A record that only the third has: a bug, a flipped bit, or an operator.
    {
        let store = Store::open(&third.data.join("store"), &StoreOptions::default());
        let store = Arc::new(store.unwrap());
        let (mut committer, _) = Committer::new(Arc::clone(&store), 16).unwrap();
        let id = store.last_group().unwrap();
        let (reply, _) = tokio::sync::oneshot::channel();
        let submission = custody::sequence::Submission {
            records: vec![admitted(&trade, 7)],
            reply,
            places: None,
        };
        let group = Group {
            id,
            time: custody::sequence::now(),
            submissions: vec![submission],
            ..Group::default()
        };
        committer.commit(group).unwrap();
    }
    let started = cluster.try_start(3);
    trade_on(&first, &trade, 50..60).await;
    if let Ok(mut third) = started {
        third.wait();
        assert!(third.log().contains("differs from"), "{}", third.log());
    }
    let log = std::fs::read_to_string(cluster.data(3).with_extension("log")).unwrap();
    assert!(log.contains("differs from"), "{log}");
    trade_on(&first, &trade, 60..70).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_store_of_a_cluster_when_served_alone_then_it_is_refused() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let mut first = cluster.start(1);
    assert!(first.stop().success());
    if std::env::var("CUSTODY_TEST_ORDER").is_ok() {
        return; // Then no server is alone.
    }
    let error = Server::try_spawn(common::custody(), &first.data, &[]).err();
    let error = error.expect("it must not serve");
    assert!(error.contains("part of a cluster"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_running_ledger_when_backed_up_then_the_copy_is_whole_and_can_be_served() {
    let server = Server::start();
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let size = trade_on(&server, &trade, 1..50).await;
    let folder = tempfile::tempdir().unwrap();
    let (copy, key) = (folder.path().join("copy"), server.data.join("log.key"));
    let [copy_text, key_text] = [&copy, &key].map(|path| path.to_str().unwrap());
    let backup = ["backup", "--log-key", key_text, "--into", copy_text];
    let said = server.run_ok(&backup);
    assert!(said.starts_with(&format!("ok: {size} entries")), "{said}");
    let again = server.run(&backup);
    assert_eq!(again.status.code(), Some(1), "a backup overwrites nothing");
    let log_key = server.log_key();
    server.run_ok(&["audit", "--data", copy_text, "--trust", &log_key]);
    // Without the key nobody gets one.
    let other = folder.path().join("other");
    common::init(&other);
    let other = other.join("log.key");
    let into = folder.path().join("stolen");
    let steal = [other.to_str().unwrap(), into.to_str().unwrap()];
    let stolen = server.run(&["backup", "--log-key", steal[0], "--into", steal[1]]);
    let said = String::from_utf8_lossy(&stolen.stderr).into_owned();
    assert_eq!(stolen.status.code(), Some(3), "{said}");
    assert!(!into.exists(), "nothing is left of it");
}

/// A record of the maker's, signed.
fn signed(maker: &Signer, serial: u64) -> Envelope {
    let mut record = common::record(&[unit(serial)], commission());
    record.format = 1;
    record.origin = common::ORIGIN.into();
    record.suite = 1;
    record.key_id = maker.key_id().0.to_vec();
    record.nonce = u128::from(serial).to_be_bytes().to_vec();
    Envelope::sign(&record, maker)
}

/// The same, as if its signature had been checked.
fn admitted(trade: &Trade, serial: u64) -> Admitted {
    let envelope = signed(&trade.maker, serial);
    Admitted {
        id: envelope.record_id(),
        record: Box::new(Record::decode(&envelope.payload).unwrap()),
        envelope,
    }
}

/// What a client does, as documented: the same envelope again, here or elsewhere, until it is answered.
async fn persist(nodes: &[String], envelope: &wire::Envelope) -> wire::Receipt {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    for node in nodes.iter().cycle() {
        assert!(std::time::Instant::now() < deadline, "an answer");
        let Ok(ledger) = Ledger::connect(node, None).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let request = wire::SubmitRequest {
            envelope: Some(envelope.clone()),
        };
        match ledger.ledger().submit(request).await {
            Ok(answer) => return answer.into_inner().receipt.unwrap(),
            // Unavailable is what is documented; the others are connections that broke.
            Err(status) => {
                let again = [
                    tonic::Code::Unavailable,
                    tonic::Code::Unknown,
                    tonic::Code::Cancelled,
                ];
                assert!(again.contains(&status.code()), "{status}");
            }
        }
    }
    unreachable!("there are nodes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_rolling_restart_when_a_client_retries_as_documented_then_no_record_fails() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    // Ports of their own, so that a node that comes back is where it was.
    let ports: Vec<String> = (0..3)
        .map(|_| format!("127.0.0.1:{}", common::etcd::free_port()))
        .collect();
    let start =
        |at: usize| cluster.start_at(u32::try_from(at).unwrap() + 1, &["--listen", &ports[at]]);
    let mut servers: Vec<Server> = (0..3).map(start).collect();
    let mut session = servers[0].session().await;
    let trade = Trade::set_up(&servers[0], &mut session).await;
    let size = trade_on(&servers[0], &trade, 9_000_000..9_000_001).await;
    for server in &servers {
        checkpoint(server, size).await;
    }
    drop(session);
    let nodes: Vec<String> = ports.iter().map(|port| format!("http://{port}")).collect();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0_u8..3)
        .map(|client| {
            let (mut nodes, done) = (nodes.clone(), Arc::clone(&done));
            nodes.rotate_left(client.into());
            let trade_key = Arc::clone(&trade.maker);
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let serial = u64::from(client) * 1_000_000 + receipts.len() as u64;
                    let envelope = signed(&trade_key, serial).to_wire();
                    receipts.push(persist(&nodes, &envelope).await);
                }
                receipts
            })
        })
        .collect();
    for (at, server) in servers.iter_mut().enumerate() {
        assert!(server.stop().success(), "it drains, and ends well");
        *server = start(at);
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut receipts = Vec::new();
    for client in clients {
        receipts.extend(client.await.unwrap());
    }
    let indexes: std::collections::BTreeSet<u64> = receipts.iter().map(|r| r.log_index).collect();
    assert_eq!(
        indexes.len(),
        receipts.len(),
        "each record has an index of its own"
    );
    let size = indexes.last().unwrap() + 1;
    assert_eq!(
        checkpoint(&servers[0], size).await,
        checkpoint(&servers[2], size).await
    );
}

/// A number among a node's metrics.
fn metric(server: &Server, name: &str) -> f64 {
    let text = common::http(("GET", &server.metrics), &[], ureq::SendBody::none());
    let line = text
        .text()
        .lines()
        .find(|line| line.starts_with(name))
        .map(str::to_owned);
    line.map_or(f64::NAN, |line| {
        line.rsplit(' ').next().unwrap().parse().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_that_is_away_when_groups_pile_up_then_they_are_kept_for_it_and_then_deleted()
{
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut second = cluster.start(2);
    let kept = || metric(&first, "custody_cluster_kept_groups");
    eventually(
        || metric(&first, "custody_cluster_alive_nodes") > 1.5,
        "both are seen",
    );
    eventually(|| kept() < 0.5, "what both have is deleted");
    second.kill();
    for serial in 1..40 {
        trade_on(&first, &trade, serial..serial + 1).await;
    }
    eventually(
        || metric(&first, "custody_cluster_alive_nodes") < 1.5,
        "it is missed",
    );
    assert!(
        kept() > 30.0,
        "groups are kept while its lease lasts: {}",
        kept()
    );
    let size = trade_on(&first, &trade, 100..101).await;
    let second = cluster.start(2);
    assert_eq!(
        checkpoint(&second, size).await,
        checkpoint(&first, size).await
    );
    eventually(|| kept() < 0.5, "what both have is deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_two_nodes_of_one_name_when_both_run_then_one_stops_and_says_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (mut first, mut second) = (cluster.start(1), cluster.start(2));
    assert!(second.stop().success());
    let mut twin = cluster.start_at(2, &["--node", "n1"]);
    let ended = |server: &mut Server| server.ended();
    eventually(|| ended(&mut first) || ended(&mut twin), "one stops");
    let said = format!("{}{}", first.log(), twin.log());
    assert!(
        said.contains("another node runs under the name n1"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_an_etcd_with_tls_and_users_when_told_of_them_then_the_node_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let authority = common::tls::Authority::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let [cert, key] = authority.issue("127.0.0.1", folder.path());
    let ca = ca.to_str().unwrap();
    let tls = [
        "--cert-file",
        &cert,
        "--key-file",
        &key,
        "--trusted-ca-file",
        ca,
    ];
    let Some(etcd) = Etcd::start_with("https", &[&tls[..], &["--client-cert-auth"]].concat())
    else {
        return;
    };
    let pem = |path: &str| std::fs::read(path).unwrap();
    let identity = etcd_client::Identity::from_pem(pem(&cert), pem(&key));
    let options = etcd_client::TlsOptions::new()
        .ca_certificate(etcd_client::Certificate::from_pem(pem(ca)))
        .identity(identity);
    let options = etcd_client::ConnectOptions::new().with_tls(options);
    let endpoint = etcd.address().replace("etcd://", "https://");
    let mut client = etcd_client::Client::connect([endpoint], Some(options))
        .await
        .unwrap();
    for (user, role) in [("root", "root"), ("custody", "custody")] {
        client.user_add(user, "secret", None).await.unwrap();
        client.role_add(role).await.unwrap();
        client.user_grant_role(user, role).await.unwrap();
    }
    // Its own keys, and no others.
    let permission = etcd_client::Permission::read_write("custody/").with_prefix();
    client
        .role_grant_permission("custody", permission)
        .await
        .unwrap();
    client.auth_enable().await.unwrap();

    let data = folder.path().join("ledger");
    common::init(&data);
    let (config, password) = (
        folder.path().join("config.toml"),
        folder.path().join("password"),
    );
    let cluster = format!(
        "[cluster]\netcd = \"{}\"\nnode = \"one\"\nuser = \"custody\"\npassword_file = \"{}\"\nca = \"{ca}\"\n\
         cert = \"{cert}\"\nkey = \"{key}\"\n",
        etcd.address(),
        password.display()
    );
    std::fs::write(&config, &cluster).unwrap();
    std::fs::write(&password, "wrong\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let refused = Server::try_spawn(common::custody(), &data, &arguments).err();
    assert!(refused.expect("a wrong password").contains("etcd"));
    std::fs::write(&password, "secret\n").unwrap();
    let server = Server::open(&data, &arguments);
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    trade_on(&server, &trade, 1..10).await;
    eventually(
        || metric(&server, "custody_cluster_alive_nodes") > 0.5,
        "it beats",
    );
}
