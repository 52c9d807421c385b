//! What RocksDB is told, per column family and on purpose.
//!
//! `open_cf` would give every family the library's defaults (no bloom filter, no shared cache)
//! without a word; so all families are opened by descriptors made here, and a test reads the
//! OPTIONS file that RocksDB writes.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BlockBasedTablePinningTier, Cache,
    ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, DataBlockIndexType, Options,
};

use super::side::Side;
use crate::core::apply::state::TABLES;

/// Sizes of what the store keeps in memory.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Bytes of the block cache, which all families share and which holds index and filter blocks
    /// as well; at least a MiB, at most a TiB.
    pub block_cache_bytes: usize,
    /// Bytes of all memtables together.
    pub memtable_bytes: usize,
    /// Bytes that decoded entries take, about.
    pub entry_cache_bytes: usize,
    /// Units that are kept decoded for look-ups, and as many by the thread that applies records; some 600 bytes each, in
    /// each of two generations.
    pub remembered_units: usize,
    /// Whether a commit waits for the disk. Off, an acknowledged record may be lost with the
    /// machine's power: for measuring only.
    pub sync: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 512 << 20,
            memtable_bytes: 256 << 20,
            entry_cache_bytes: 128 << 20,
            remembered_units: 1 << 17,
            sync: true,
        }
    }
}

/// Bytes of the smallest block cache.
const LEAST_CACHE_BYTES: usize = 1 << 20;
/// Bytes of the largest one.
const MOST_CACHE_BYTES: usize = 1 << 40;

/// How fast flushes and compactions write, at most.
const BACKGROUND_BYTES_PER_SECOND: i64 = 96 << 20;

/// Families beside one for each table of the views.
pub(super) const META: &str = "meta";
pub(super) const ENTRIES: &str = "entries";
pub(super) const TILES: &str = "tiles";
pub(super) const IDS: &str = "ids";
pub(super) const STATES: &str = "states";

pub(super) fn database(options: &StoreOptions) -> Options {
    let mut db = Options::default();
    db.set_db_write_buffer_size(options.memtable_bytes);
    db.set_max_background_jobs(2);
    db.set_max_open_files(512);
    db.set_bytes_per_sync(1 << 20);
    // Flushes and compactions share the processor with what scanners wait for: written evenly, they
    // never take it for long.
    db.set_ratelimiter(BACKGROUND_BYTES_PER_SECOND, 10_000, 10);
    db.set_keep_log_file_num(5);
    db.set_max_log_file_size(4 << 20);
    db.set_max_total_wal_size(512 << 20);
    // A write that a crash tore is the tail of the log and was never acknowledged; anything else
    // that doesn't read is corruption, and opening says so instead of dropping what follows.
    db.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    db.set_paranoid_checks(true);
    db
}

/// Names of all families.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let sides = Side::ALL.map(Side::family);
    let own = [META, ENTRIES, TILES, IDS, STATES].into_iter();
    own.chain(TABLES.iter().copied()).chain(sides)
}

/// All families.
pub(super) fn families(
    options: &StoreOptions,
) -> Result<Vec<ColumnFamilyDescriptor>, rocksdb::Error> {
    // Look-ups of all threads meet in the cache; this kind needs no lock for what is in it. Without room for anything, or
    // without an address for all that it may hold, it would end the process.
    let bytes = options.block_cache_bytes;
    let bytes = bytes.clamp(LEAST_CACHE_BYTES, MOST_CACHE_BYTES);
    let cache = Cache::new_hyper_clock_cache(bytes, 0);
    names()
        .map(|name| Ok(ColumnFamilyDescriptor::new(name, family(name, &cache)?)))
        .collect()
}

/// How old a table of the last level is, in seconds, before it is rewritten only to be rid of what it keeps for look-ups
/// that are over. By itself RocksDB does so when any look-up ends, once none that goes on is older than the table's newest
/// row; and a table that was moved to the last level always keeps such things. So the whole log would be written once more.
fn rewritten_after(name: &str) -> u32 {
    match name {
        // No row is ever replaced, so there is nothing to gain.
        ENTRIES | TILES | STATES => u32::MAX,
        // What was erased is not to outlive the look-ups that still saw it.
        _ if name == Side::Private.family() => 0,
        // Rows that were replaced mostly go with a compaction that comes anyhow.
        _ => 3_600,
    }
}

fn family(name: &str, cache: &Cache) -> Result<Options, rocksdb::Error> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // Indexes and filters come in parts of a block each, so that the cache holds those that are in
    // use and a table of any size is opened for little.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_pin_top_level_index_and_filter(true);
    // Tables that were flushed last are asked for every row. They are few and small, so their parts stay; but where tables
    // are only moved and not merged, those of all that a process ever flushed would.
    blocks.set_partition_pinning_tier(match name {
        ENTRIES | TILES | STATES | IDS => BlockBasedTablePinningTier::None,
        _ => BlockBasedTablePinningTier::FlushAndSimilar,
    });
    blocks.set_format_version(5);
    let seconds = rewritten_after(name);
    // The one option that has no function of its own.
    let mut options = Options::default()
        .get_options_from_string(format!("bottommost_file_compaction_delay={seconds}"))?;
    options.set_level_compaction_dynamic_level_bytes(true);
    // Of a unit that moves on while its row is in memory one row is written out, and what was written out before is merged
    // half as often as with half of it.
    options.set_write_buffer_size(64 << 20);
    match name {
        // Each value is a block of its own, since a timeline reads single ones from all over. They
        // are written in order and once: with one compression for all levels, compaction moves the
        // files and rewrites nothing.
        ENTRIES => {
            blocks.set_block_size(4 << 10);
            options.set_compression_type(DBCompressionType::Lz4);
        }
        // Hashes don't compress.
        TILES | IDS => {
            blocks.set_block_size(16 << 10);
            options.set_compression_type(DBCompressionType::None);
        }
        _ => {
            blocks.set_block_size(4 << 10);
            // Single rows are looked for, of which a block has ten: by a hash, not one after the other.
            blocks.set_block_restart_interval(1);
            blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
            blocks.set_data_block_hash_ratio(0.75);
            options.set_compression_type(DBCompressionType::Lz4);
            // Most often asked for rows that don't exist yet, which a filter answers; but who asks for a state has it from
            // the row of a unit.
            if name != STATES {
                blocks.set_bloom_filter(10.0, false);
                blocks.set_whole_key_filtering(true);
                options.set_memtable_whole_key_filtering(true);
                options.set_memtable_prefix_bloom_ratio(0.05);
            }
        }
    }
    options.set_block_based_table_factory(&blocks);
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rocksdb::LiveFile;

    use super::*;
    use crate::core::apply::state::{Table as _, Units};
    use crate::store::Store;

    fn tables(store: &Store, family: &str) -> Vec<String> {
        let files = store.db.live_files().unwrap().into_iter();
        let files = files.filter(|file| file.column_family_name == family);
        files.map(|LiveFile { name, .. }| name).collect()
    }

    /// Returns when nothing is compacted and nothing waits to be.
    fn wait_for_compactions(store: &Store, family: &str) {
        let number = |property: &str| {
            let family = store.family(family).unwrap();
            store.db.property_int_value_cf(family, property).unwrap()
        };
        let properties = [
            "rocksdb.compaction-pending",
            "rocksdb.num-running-compactions",
        ];
        let deadline = Instant::now() + Duration::from_secs(30);
        while properties
            .iter()
            .any(|property| number(property) != Some(0))
        {
            assert!(
                Instant::now() < deadline,
                "{family} is compacted without end"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn given_tables_that_were_written_when_a_look_up_is_over_then_they_are_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Store::create(&path, &StoreOptions::default()).unwrap();
        for name in [ENTRIES, TILES, STATES, Units::NAME] {
            let family = store.family(name).unwrap();
            store.db.put_cf(family, b"1", b"row").unwrap();
            store.db.flush_cf(family).unwrap();
            let before = tables(&store, name);
            assert_eq!(before.len(), 1);
            let look_up = store.view();
            store.db.put_cf(family, b"2", b"row").unwrap();
            drop(look_up);
            wait_for_compactions(&store, name);
            assert_eq!(tables(&store, name), before, "of {name}");
        }
    }
}
