//! The bare limits, measured in the same run on the same cores: what the machine does when only
//! one thing is done.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use custody::admit::MAX_BATCH;
use custody::core::apply::state::unit_bytes;
use custody::core::envelope::Envelope;
use custody::core::signature::{BatchItem, DecodedKey, KeyRef, verify_batch};
use tokio::sync::{mpsc, oneshot};

/// What is checked: a record, and the key that signed it.
pub type Checked<'a> = (&'a [u8; 32], &'a Envelope);

/// Batch checks a second on all cores, over these very records in this order: with the server's verifier, in its largest
/// batches, and with the points of the keys at hand, as the server has them.
pub fn verify_rate(records: &[Checked<'_>], time: Duration) -> f64 {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let messages: Vec<Vec<u8>> = records
        .iter()
        .map(|(_, envelope)| envelope.signed_bytes())
        .collect();
    let keys: HashMap<[u8; 32], DecodedKey> = records
        .iter()
        .filter_map(|(key, _)| Some((**key, DecodedKey::new(**key)?)))
        .collect();
    let items: Vec<BatchItem<'_>> = records
        .iter()
        .zip(&messages)
        .map(|((key, envelope), message)| BatchItem {
            key: KeyRef::Decoded(&keys[*key]),
            message: [message, &[]],
            signature: &envelope.signature,
        })
        .collect();
    let batches: Vec<_> = items.chunks(MAX_BATCH).collect();
    let (next, checked) = (AtomicUsize::new(0), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < time {
                    let batch = batches[next.fetch_add(1, Ordering::Relaxed) % batches.len()];
                    assert!(verify_batch(batch).iter().all(|valid| *valid));
                    checked.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    rate(checked.into_inner(), start.elapsed())
}

/// So many in that time, a second.
#[allow(clippy::cast_precision_loss)] // far below 2^52
pub fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// A file to which each write is synced; who waits while one is under way shares the next.
#[derive(Clone)]
pub struct Disk {
    waiting: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Disk {
    /// In a folder.
    pub fn start(folder: &Path) -> Self {
        let (waiting, mut queue) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        let path = folder.join("synced");
        let mut file = File::create(path).expect("a file");
        std::thread::spawn(move || {
            let page = [7u8; 4096];
            while let Some(first) = queue.blocking_recv() {
                let mut waiting = vec![first];
                while let Ok(next) = queue.try_recv() {
                    waiting.push(next);
                }
                file.write_all(&page).expect("written");
                file.sync_data().expect("synced");
                for one in waiting {
                    let _ = one.send(());
                }
            }
        });
        Self { waiting }
    }

    /// Waits for a write that began after this was called.
    pub async fn synced(&self) {
        let (done, waiting) = oneshot::channel();
        let _ = self.waiting.send(done);
        let _ = waiting.await;
    }
}

/// Writes of so many bytes and `fdatasync`, a second.
pub fn sync_rate(folder: &Path, bytes: usize, time: Duration) -> f64 {
    let path = folder.join("syncs");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .expect("a file");
    let page = vec![7u8; bytes];
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        if count % 10_000 == 0 {
            file.seek(SeekFrom::Start(0)).expect("the beginning");
        }
        file.write_all(&page).expect("written");
        file.sync_data().expect("synced");
        count += 1;
    }
    let rate = rate(count, start.elapsed());
    let _ = std::fs::remove_file(path);
    rate
}

/// Bytes of the row of a unit with a state of its own, and of one that shares its state with others: where that is, and a
/// checksum.
pub const ROW_BYTES: usize = 150;
pub const REFERENCE_BYTES: usize = 17;

/// Bare RocksDB with its default options: one put a unit of so many bytes, in synced groups of so many units that are
/// numbered in a row; nothing else is done meanwhile.
pub fn put_rate(folder: &Path, group: u64, bytes: usize, time: Duration) -> f64 {
    let path = folder.join("bare");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let db = rocksdb::DB::open(&options, &path).expect("a database");
    let mut write = rocksdb::WriteOptions::default();
    write.set_sync(true);
    let mut random = 1u64;
    let mut values = vec![0u8; 1 << 16];
    values.fill_with(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()[0]
    });
    let mut key = unit_bytes(&crate::workload::item(1 << 40));
    let mut next = 0u64;
    let start = Instant::now();
    while start.elapsed() < time {
        let mut batch = rocksdb::WriteBatch::default();
        for _ in 0..group {
            if let Some(number) = key.last_chunk_mut::<8>() {
                *number = next.to_be_bytes();
            }
            let at = usize::try_from(next % (1 << 15)).expect("small");
            batch.put(&key, &values[at..at + bytes]);
            next += 1;
        }
        db.write_opt(batch, &write).expect("written");
    }
    let rate = rate(next, start.elapsed());
    drop(db);
    let _ = std::fs::remove_dir_all(path);
    rate
}

/// Bare RocksDB on the units of the ledger's own stopped store.
fn units(data: &Path) -> rocksdb::DB {
    let mut blocks = rocksdb::BlockBasedOptions::default();
    let cache = custody::store::StoreOptions::default().block_cache_bytes;
    blocks.set_block_cache(&rocksdb::Cache::new_lru_cache(cache));
    let mut options = rocksdb::Options::default();
    options.set_block_based_table_factory(&blocks);
    let store = data.join("store");
    let units = [("default", options.clone()), (UNITS, options.clone())];
    let db = rocksdb::DB::open_cf_with_opts_for_read_only(&options, store, units, false);
    db.expect("the store")
}

const UNITS: &str = "units";

/// Multi-gets of so many units, from all cores, until there are no more; keys a second.
fn multi_get<'a>(db: &rocksdb::DB, pages: impl Fn(usize) -> Option<&'a [Vec<u8>]> + Sync) -> f64 {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let family = db.cf_handle(UNITS).expect("the family");
    let (next, read) = (AtomicUsize::new(0), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(page) = pages(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = db.batched_multi_get_cf(family, page, false);
                    assert!(found.iter().all(|row| matches!(row, Ok(Some(_)))));
                    read.fetch_add(page.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    rate(read.into_inner(), start.elapsed())
}

/// Bare multi-gets of these pages of units again and again, from the second time on; keys a second on all cores.
pub fn multi_get_rate(data: &Path, pages: &[Vec<Vec<u8>>], time: Duration) -> f64 {
    let db = units(data);
    multi_get(&db, |n| pages.get(n).map(Vec::as_slice));
    let start = Instant::now();
    multi_get(&db, |n| {
        let page = pages.get(n % pages.len().max(1))?;
        (start.elapsed() < time).then_some(page)
    })
}

/// Bare multi-gets of these pages of units, each once; keys a second on all cores, of the second half of them: the first
/// brings indexes and filters into memory.
pub fn multi_get_once_rate(data: &Path, pages: &[Vec<Vec<u8>>]) -> f64 {
    let db = units(data);
    let (first, second) = pages.split_at(pages.len() / 2);
    multi_get(&db, |n| first.get(n).map(Vec::as_slice));
    multi_get(&db, |n| second.get(n).map(Vec::as_slice))
}
