//! Nodes of one ledger on one etcd, and what is asked of them.

use std::path::{Path, PathBuf};

use custody::admit::Admitted;
use custody::api::session::AT_LEAST;
use custody::core::envelope::Envelope;
use custody::core::record::Record;
use custody::core::signature::Signer;
use custody::core::wire;
use tonic::Request;

use crate::common;
use crate::common::etcd::Etcd;
use crate::common::{Server, Trade, all_accepted, commission, draft, pallet, scan, unit};
pub use crate::common::{eventually, metric};

/// Nodes of one ledger, in folders of their own.
pub struct Cluster {
    pub folder: tempfile::TempDir,
    pub etcd: Etcd,
}

impl Cluster {
    /// A ledger in the folder of node 1; the others have the log's key only.
    pub fn new() -> Option<Self> {
        let etcd = Etcd::start()?;
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { folder, etcd };
        common::init(&cluster.data(1));
        Some(cluster)
    }

    pub fn data(&self, node: u32) -> PathBuf {
        self.folder.path().join(format!("n{node}"))
    }

    /// Starts a node; one that is new joins.
    pub fn try_start_at(&self, node: u32, more: &[&str]) -> Result<Server, String> {
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

    pub fn try_start(&self, node: u32) -> Result<Server, String> {
        self.try_start_at(node, &[])
    }

    pub fn start_at(&self, node: u32, more: &[&str]) -> Server {
        let started = self.try_start_at(node, more);
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The first node, with everybody who trades.
    pub async fn founded(&self) -> (Server, Trade) {
        let first = self.start(1);
        let trade = Trade::set_up(&first, &mut first.session().await).await;
        (first, trade)
    }

    pub fn start(&self, node: u32) -> Server {
        self.try_start(node)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The checkpoint's first three lines, once the node has so many entries.
pub async fn checkpoint(server: &Server, size: u64) -> String {
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request.metadata_mut().insert(AT_LEAST, size.into());
    let answer = server.ledger().await.log().get_checkpoint(request).await;
    let note = answer.unwrap().into_inner().checkpoint;
    String::from_utf8(note).unwrap()
}

/// Commissions a pallet for each serial, and scans one item of it; the log's size then.
pub async fn trade_on(server: &Server, trade: &Trade, serials: std::ops::Range<u64>) -> u64 {
    let mut session = server.session().await;
    let units: Vec<_> = serials.clone().map(unit).collect();
    let commissions = serials.map(|serial| draft(&trade.maker, &pallet(serial), commission()));
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

/// Whether a file below a folder has these bytes.
pub fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

pub fn copy(from: &Path, to: &Path) {
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

/// A record of the maker's, signed.
pub fn signed(maker: &Signer, serial: u64) -> Envelope {
    let record = common::record(&[unit(serial)], commission());
    common::sign(record, maker, serial.into())
}

/// The same, as if its signature had been checked.
pub fn admitted(trade: &Trade, serial: u64) -> Admitted {
    let envelope = signed(&trade.maker, serial);
    Admitted {
        id: envelope.record_id(),
        record: Box::new(Record::decode(&envelope.payload).unwrap()),
        envelope,
    }
}
