//! A ledger of several processes: real servers on a real etcd.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::etcd::Etcd;
use common::{Server, Trade, all_accepted, commission, draft, scan, unit};
use custody::admit::Admitted;
use custody::api::session::{AT_LEAST, GROUP, LOG_SIZE};
use custody::commit::Committer;
use custody::core::envelope::Envelope;
use custody::core::record::Record;
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
    fn try_start(&self, node: u32) -> Result<Server, String> {
        let data = self.data(node);
        if !data.exists() {
            std::fs::create_dir(&data).unwrap();
            let files = ["log.key", "log.vkey", "regulator.key"];
            for file in files {
                std::fs::copy(self.data(1).join(file), data.join(file)).unwrap();
            }
        }
        let (etcd, name) = (self.etcd.address(), format!("n{node}"));
        let arguments = ["--cluster", &etcd, "--node", &name];
        Server::try_spawn(common::custody(), &data, &arguments)
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
async fn given_three_nodes_when_each_takes_records_and_one_dies_then_all_have_one_log() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let mut first = cluster.start(1);
    let mut session = first.session().await;
    let trade = Trade::set_up(&first, &mut session).await;
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
    let first = cluster.start(1);
    let mut session = first.session().await;
    let trade = Trade::set_up(&first, &mut session).await;
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
async fn given_a_text_beside_the_log_when_put_and_erased_then_every_node_does_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let first = cluster.start(1);
    let mut session = first.session().await;
    let trade = Trade::set_up(&first, &mut session).await;
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
    let mut first = cluster.start(1);
    let mut session = first.session().await;
    let trade = Trade::set_up(&first, &mut session).await;
    let mut second = cluster.start(2);
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
    let first = cluster.start(1);
    let mut session = first.session().await;
    let trade = Trade::set_up(&first, &mut session).await;
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

/// A record of the maker's.
fn admitted(trade: &Trade, serial: u8) -> Admitted {
    let mut record = common::record(&[unit(serial.into())], commission());
    record.format = 1;
    record.origin = common::ORIGIN.into();
    record.suite = 1;
    record.key_id = trade.maker.key_id().0.to_vec();
    record.nonce = vec![serial; 16];
    let envelope = Envelope::sign(&record, &trade.maker);
    Admitted {
        id: envelope.record_id(),
        record: Box::new(Record::decode(&envelope.payload).unwrap()),
        envelope,
    }
}
