//! The store as an operator meets it: what is absent, held, newer, damaged is said, and nothing is
//! repaired. And the options are those that were meant.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use custody::core::order::GroupId;
use custody::store::{Store, StoreError, StoreOptions};

fn stored(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("ledger");
    common::init(&data);
    data.join("store")
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, &StoreOptions::default())
}

#[test]
fn given_no_store_when_opened_then_absent() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Absent(_))));
}

#[test]
fn given_a_block_cache_of_no_size_when_opened_then_it_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    let options = StoreOptions {
        block_cache_bytes: 0,
        ..StoreOptions::default()
    };
    assert!(Store::open(&path, &options).unwrap().head().unwrap().size > 0);
}

#[test]
fn given_a_store_when_made_again_then_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    assert!(matches!(
        Store::create(&path, &StoreOptions::default()),
        Err(StoreError::Exists(_))
    ));
}

#[test]
fn given_a_store_that_is_held_when_opened_then_locked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    common::init(&data);
    let server = common::Server::open(&data, &[]);
    assert!(matches!(
        open(&data.join("store")),
        Err(StoreError::Locked(_))
    ));
    let output = common::custody()
        .args(["serve", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("another process holds the ledger"),
        "{message}"
    );
    drop(server);
}

/// Every file of a folder, with what is in it.
fn files(path: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let paths = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn given_a_store_when_it_is_only_read_then_no_file_changes_and_nobody_writes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    let data = folder.path().join("ledger");
    let before = files(&path);
    let trust = data.join("log.vkey");
    let audit = || {
        let audit = common::custody()
            .args(["audit", "--data"])
            .arg(&data)
            .arg("--trust")
            .arg(&trust)
            .output();
        String::from_utf8_lossy(&audit.unwrap().stdout).into_owned()
    };
    let read = |path| Store::open_to_read(path, &StoreOptions::default());
    {
        let (one, other) = (read(&path).unwrap(), read(&path).unwrap());
        let head = one.head().unwrap();
        assert!(head.size > 0);
        assert_eq!(other.head().unwrap(), head);
        // All of it is in the write-ahead log yet.
        one.verify().unwrap();
        assert!(audit().contains(&format!("ok: {} entries", head.size)));
        assert!(matches!(open(&path), Err(StoreError::Locked(_))));
        let written = one.set_last_group(GroupId {
            number: 1,
            hash: [0; 32],
        });
        assert!(matches!(written, Err(StoreError::Io(_))), "{written:?}");
    }
    assert_eq!(files(&path), before);
    let _held = open(&path).unwrap();
    assert!(matches!(read(&path), Err(StoreError::Locked(_))));
}

/// Writes a format version into a store.
fn set_format(path: &Path, format: u32, another_family: Option<&str>) {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(false);
    let names = rocksdb::DB::list_cf(&options, path).unwrap();
    let mut db = rocksdb::DB::open_cf(&options, path, &names).unwrap();
    if let Some(name) = another_family {
        db.create_cf(name, &options).unwrap();
    }
    let meta = db.cf_handle("meta").unwrap();
    db.put_cf(meta, "format", format.to_be_bytes()).unwrap();
}

#[test]
fn given_a_newer_format_when_opened_then_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    set_format(&path, 99, None);
    assert!(matches!(
        open(&path),
        Err(StoreError::NewerFormat { found: 99 })
    ));
}

#[test]
fn given_an_older_format_with_other_families_when_opened_then_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    set_format(&path, 1, Some("history"));
    assert!(matches!(
        open(&path),
        Err(StoreError::OlderFormat { found: 1 })
    ));
}

/// The sizes of the files of a store, to see that opening changed nothing of what was damaged.
fn sst_files(path: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sst" || e == "log"))
        .collect();
    files.sort();
    files
}

#[test]
fn given_damaged_files_when_read_then_corrupt_and_never_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    // Opening moves the log's content into table files, which have checksums of their own.
    drop(open(&path).unwrap());
    let files = sst_files(&path);
    assert!(
        files.iter().any(|file| file.extension().unwrap() == "sst"),
        "{files:?}"
    );
    let mut noticed = 0;
    for file in files
        .iter()
        .filter(|file| file.extension().unwrap() == "sst")
    {
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        // The first block holds the rows.
        bad[10] ^= 0x40;
        std::fs::write(file, &bad).unwrap();
        let outcome = open(&path).and_then(|store| store.dump().map(|_| ()));
        match outcome {
            Err(StoreError::Corrupt(_)) => noticed += 1,
            Err(other) => panic!("{}: {other}", file.display()),
            Ok(()) => panic!("{}: a flipped bit was not noticed", file.display()),
        }
        assert_eq!(
            std::fs::read(file).unwrap(),
            bad,
            "the damaged file was changed"
        );
        std::fs::write(file, &good).unwrap();
    }
    assert!(noticed > 0);
    let store = open(&path).unwrap();
    assert_eq!(store.head().unwrap().size, 1);
}

/// Opens a store and reads all of it, the log against its tree.
fn read_all(path: &Path) -> Result<custody::store::Dump, StoreError> {
    let store = open(path)?;
    store.verify()?;
    store.dump()
}

#[test]
fn given_a_flipped_byte_in_any_file_when_all_is_read_then_it_is_named_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = stored(folder.path());
    drop(open(&good).unwrap());
    let whole = read_all(&good).unwrap();
    let files: Vec<_> = std::fs::read_dir(&good)
        .unwrap()
        .map(|file| file.unwrap())
        .collect();
    let (mut named, mut harmless) = (0, 0);
    for file in files
        .iter()
        .filter(|file| file.metadata().unwrap().is_file())
    {
        let name = file.file_name().into_string().unwrap();
        // RocksDB's diary, and a lock without content, are never read.
        if name.starts_with("LOG") {
            continue;
        }
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        // A byte of each part of the file.
        for at in (0..length).step_by(length / 12 + 1) {
            let bad = folder.path().join("bad");
            copy(&good, &bad);
            let mut bytes = std::fs::read(bad.join(&name)).unwrap();
            bytes[at] ^= 0x10;
            std::fs::write(bad.join(&name), bytes).unwrap();
            match read_all(&bad) {
                Err(StoreError::Corrupt(_) | StoreError::Io(_) | StoreError::Absent(_)) => {
                    named += 1
                }
                Err(other) => panic!("{name} at {at}: {other}"),
                Ok(read) => {
                    assert!(read == whole, "{name} at {at}: other content is served");
                    harmless += 1;
                }
            }
            std::fs::remove_dir_all(&bad).unwrap();
        }
    }
    println!("{named} flips were named, {harmless} changed nothing");
    assert!(named > 20);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn given_a_store_when_its_options_file_is_read_then_every_family_has_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path());
    let options = std::fs::read_dir(&path)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("OPTIONS-")
        })
        .max()
        .unwrap();
    let text = std::fs::read_to_string(options).unwrap();
    let section = |kind: &str, family: &str| -> String {
        let start = format!("[{kind} \"{family}\"]");
        let at = text.find(&start).unwrap_or_else(|| panic!("no {start}"));
        let rest = &text[at + start.len()..];
        rest[..rest.find("\n[").unwrap_or(rest.len())].to_owned()
    };
    let tables = custody::core::apply::state::TABLES;
    for family in tables {
        let table = section("TableOptions/BlockBasedTable", family);
        assert!(
            table.contains("filter_policy=bloomfilter"),
            "{family}: {table}"
        );
        assert!(
            table.contains("cache_index_and_filter_blocks=true"),
            "{family}"
        );
        let family_options = section("CFOptions", family);
        assert!(
            family_options.contains("compression=kLZ4Compression"),
            "{family}"
        );
        let by_hash = "data_block_index_type=kDataBlockBinaryAndHash";
        assert!(table.contains(by_hash), "{family}: {table}");
    }
    let entries = section("CFOptions", "entries");
    let moved_and_never_rewritten = "bottommost_compression=kDisableCompressionOption";
    assert!(entries.contains("compression=kLZ4Compression"), "{entries}");
    assert!(entries.contains(moved_and_never_rewritten), "{entries}");
    // What was erased goes as soon as nobody reads it any more; what is never replaced stays where it is.
    for (family, seconds) in [("entries", u32::MAX), ("units", 3_600), ("private", 0)] {
        let delay = format!("bottommost_file_compaction_delay={seconds}\n");
        assert!(section("CFOptions", family).contains(&delay), "{family}");
    }
    // What a process flushed stays in the cache only until it is merged.
    for (family, tier) in [("entries", "kNone"), ("units", "kFlushedAndSimilar")] {
        let table = section("TableOptions/BlockBasedTable", family);
        let pinned = format!("partition_pinning={tier};");
        assert!(table.contains(&pinned), "{family}: {table}");
    }
    // Who asks for a state knows that it is there.
    let states = section("TableOptions/BlockBasedTable", "states");
    assert!(states.contains("filter_policy=nullptr"), "{states}");
    assert!(states.contains("data_block_index_type=kDataBlockBinaryAndHash"));
    assert!(section("CFOptions", "states").contains("compression=kLZ4Compression"));
    let tiles = section("CFOptions", "tiles");
    assert!(tiles.contains("compression=kNoCompression"), "{tiles}");
    let database = &text[text.find("[DBOptions]").unwrap()..];
    assert!(database.contains("wal_recovery_mode=kTolerateCorruptedTailRecords"));
    assert!(database.contains("paranoid_checks=true"));
}
