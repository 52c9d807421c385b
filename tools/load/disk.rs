//! The row about the disk.

use std::path::{Path, PathBuf};

use custody::store::{Store, StoreOptions};
use prost::Message as _;

use crate::appends::{CONNECTIONS, STREAMS};
use crate::drive;
use crate::ledger::{self, Server, Trade};
use crate::raw;
use crate::report::{Row, Target};
use crate::workload::{self, Signed};

/// Bytes on the disk, compacted, beside those of the envelopes.
pub async fn row(folder: &Path, scanners: usize, records: u64) -> Row {
    let server = Server::new(folder);
    let trade = Trade::found(&server, scanners).await;
    let units = (records / workload::STEPS / STREAMS as u64).max(1) * STREAMS as u64;
    let streams = workload::ways(&trade, 1, units, STREAMS);
    let (data, envelopes) = fill(server, &streams).await;
    let single = compacted(&data);
    std::fs::remove_dir_all(&data).expect("removed");
    let server = Server::new(folder);
    let trade = Trade::found(&server, scanners).await;
    let (streams, _) = workload::hand_over(&trade, 1, 2_500, 16);
    let (data, bulk_envelopes) = fill(server, &streams).await;
    let bulk = compacted(&data);
    std::fs::remove_dir_all(&data).expect("removed");
    #[allow(clippy::cast_precision_loss)] // bytes of a run
    let ratio = |bytes: u64, of: u64| bytes as f64 / of as f64;
    let per = |bytes: u64| ratio(bytes, units * workload::STEPS);
    Row::new(
        "disk, ten single-unit records a unit, compacted",
        "B/record",
        per(single),
    )
    .limit(
        "bytes of the envelopes",
        per(envelopes),
        Target::AtMost(1.5),
    )
    .note(format!(
        "records of 500 units: {:.2} times their envelopes",
        ratio(bulk, bulk_envelopes)
    ))
}

async fn fill(server: Server, streams: &[Vec<Signed>]) -> (PathBuf, u64) {
    let founded = server.entries();
    let channels = server.channels(CONNECTIONS).await;
    let requests = drive::requests(streams);
    let driven = drive::streams(&channels, &raw::SUBMIT_STREAM, requests).await;
    let driven = driven.all_acknowledged("filling");
    let envelopes = streams.iter().flatten();
    let bytes = envelopes.map(|signed| signed.envelope.to_wire().encoded_len() as u64);
    let bytes = bytes.sum();
    drop(channels);
    let data = server.stop();
    assert_eq!(ledger::audit(&data).0, founded + driven.acknowledged);
    (data, bytes)
}

/// Bytes of the store's tables once nothing is left to compact.
fn compacted(data: &Path) -> u64 {
    let store = data.join("store");
    let open = Store::open(&store, &StoreOptions::default()).expect("the store");
    open.tend_ids().expect("tended");
    open.compact().expect("compacted");
    drop(open);
    let files = std::fs::read_dir(&store)
        .expect("the store's folder")
        .flatten();
    files
        .filter(|file| file.path().extension().is_some_and(|end| end == "sst"))
        .map(|file| file.metadata().map_or(0, |data| data.len()))
        .sum()
}
