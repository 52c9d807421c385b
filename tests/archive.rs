//! The archive: the log as files that any client of tlog-tiles reads, that an audit passes on, and from which a
//! ledger is made anew.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use common::etcd::{Etcd, free_port};
use common::{Server, Trade, all_accepted, commission, custody, draft, pallet, scan, unit};
use custody::client::Session;

/// How long something may take that takes moments.
const SOON: Duration = Duration::from_secs(60);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn folder_url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Entries that the checkpoint in a folder covers.
fn archived(folder: &Path) -> u64 {
    let note = std::fs::read_to_string(folder.join("checkpoint")).unwrap_or_default();
    note.lines().nth(1).map_or(0, |size| size.parse().unwrap())
}

/// What is signed as the ledger's head now.
async fn checkpoint(server: &Server) -> (u64, Vec<u8>) {
    let (note, _) = server.ledger().await.checkpoint().await.unwrap();
    let size = String::from_utf8_lossy(&note)
        .lines()
        .nth(1)
        .unwrap()
        .parse();
    (size.unwrap(), note)
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Commissions a unit for each serial, and with the first one those of a pallet.
async fn commission_units(session: &mut Session, trade: &Trade, units: std::ops::Range<u64>) {
    let first = units.start;
    let drafts = units.map(|serial| {
        let units = if serial == first {
            pallet(serial)
        } else {
            vec![unit(serial)]
        };
        draft(&trade.maker, &units, commission())
    });
    all_accepted(session.submit(drafts.collect()).await.unwrap());
}

/// A ledger of some size with an archive that is up to it.
struct Archived {
    server: Server,
    trade: Trade,
    folder: tempfile::TempDir,
    /// The ledger's; it outlives the server.
    _home: tempfile::TempDir,
}

impl Archived {
    async fn new(units: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder_url(folder.path());
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("ledger");
        common::init(&data);
        let server = Server::open(&data, &["--archive", &url, "--archive-seconds", "1"]);
        let mut session = server.session().await;
        let trade = Trade::set_up(&server, &mut session).await;
        commission_units(&mut session, &trade, 0..units).await;
        let archived = Self {
            server,
            trade,
            folder,
            _home: home,
        };
        archived.is_up().await;
        archived
    }

    fn url(&self) -> String {
        folder_url(self.folder.path())
    }

    /// Waits until the archive covers the log; its checkpoint then.
    async fn is_up(&self) -> (u64, Vec<u8>) {
        let head = checkpoint(&self.server).await;
        until("the archive is up to the log", || {
            archived(self.folder.path()) >= head.0
        });
        head
    }
}

/// Audits an archive as an auditor would.
fn audit(url: &str, trust: &str) -> Output {
    custody()
        .args(["audit", "--from", url, "--trust", trust])
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    both.concat()
}

fn passes(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// The answer is no, and says what.
fn fails(output: &Output, what: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    assert!(said(output).contains(what), "{what}: {}", said(output));
}

/// Makes a ledger anew from an archive, in a new folder with the key of the old one.
fn rebuild(from: &str, old: &Path, into: &Path) -> Output {
    std::fs::create_dir_all(into).unwrap();
    for name in ["log.key", "regulator.key"] {
        std::fs::copy(old.join(name), into.join(name)).unwrap();
    }
    custody()
        .args(["rebuild", "--from", from, "--data"])
        .arg(into)
        .output()
        .unwrap()
}

#[tokio::test]
async fn given_an_archive_when_the_log_grows_and_the_ledger_restarts_then_it_holds_what_tiles_hold_and_nothing_else()
 {
    let mut ledger = Archived::new(300).await;
    let trust = ledger.server.log_key();
    let (size, note) = ledger.is_up().await;
    let folder = ledger.folder.path().to_owned();
    assert_eq!(std::fs::read(folder.join("checkpoint")).unwrap(), note);
    let told = passes(&audit(&ledger.url(), &trust));
    assert!(told.contains(&format!("ok: {size} entries")), "{told}");
    // The very bytes that the ledger itself serves.
    for file in files(&folder.join("tile/0")) {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let served = common::http(("GET", &format!("{}/{name}", ledger.server.http)), &[], ());
        assert_eq!(served.status, 200, "{name}");
        assert_eq!(std::fs::read(&file).unwrap(), served.body, "{name}");
    }
    // Killed, it goes on where it was; what the archive doesn't cover may be there in part, or damaged.
    ledger.server.kill();
    let stray = folder.join("tile/0/001.p");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("255"), b"left by a round that was interrupted").unwrap();
    std::fs::write(folder.join("tile/0/002"), b"torn").unwrap();
    let url = ledger.url();
    let arguments = ["--archive", &url, "--archive-seconds", "1"];
    ledger.server = Server::open(&ledger.server.data.clone(), &arguments);
    let mut session = ledger.server.session().await;
    commission_units(&mut session, &ledger.trade, 300..700).await;
    let (size, _) = ledger.is_up().await;
    assert!(size > 3 * 256 - 60, "{size}");
    let mut more = size;
    while more % 256 != 3 {
        more += 1;
    }
    commission_units(&mut session, &ledger.trade, 700..700 + more - size).await;
    let (size, _) = ledger.is_up().await;
    assert_eq!(size, more);
    passes(&audit(&url, &trust));
    let names: Vec<String> = files(&folder)
        .iter()
        .map(|file| file.strip_prefix(&folder).unwrap().display().to_string())
        .collect();
    let full = size / 256;
    for name in &names {
        let of_full = name.contains(".p/") && {
            let index: u64 = name
                .split(".p/")
                .next()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let level_1 = name.starts_with("tile/1/");
            !level_1 && index < full
        };
        assert!(
            !of_full,
            "{name} is partial, and the full one is there: {names:?}"
        );
    }
    assert!(
        names.contains(&format!("tile/entries/{full:03}.p/3")),
        "{names:?}"
    );
}

#[tokio::test]
async fn given_an_archive_when_any_of_its_files_is_changed_or_gone_then_the_audit_names_it() {
    let ledger = Archived::new(560).await;
    let (trust, url, folder) = (ledger.server.log_key(), ledger.url(), ledger.folder.path());
    passes(&audit(&url, &trust));
    let mut tried = 0;
    for file in files(folder) {
        let name = file.strip_prefix(folder).unwrap().display().to_string();
        let bytes = std::fs::read(&file).unwrap();
        // Partial objects of earlier checkpoints are not covered by this one.
        std::fs::remove_file(&file).unwrap();
        let gone = audit(&url, &trust);
        if gone.status.success() {
            std::fs::write(&file, bytes).unwrap();
            assert!(
                name.contains(".p/") || name == "writer.lock",
                "{name} is needed"
            );
            continue;
        }
        fails(&gone, &format!("{name} is missing"));
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        let answer = audit(&url, &trust);
        assert_eq!(answer.status.code(), Some(1), "{name}: {}", said(&answer));
        if !name.starts_with("tile/entries/") {
            fails(&answer, &name);
        }
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(
            audit(&url, &trust).status.code(),
            Some(1),
            "{name} is cut off"
        );
        let longer = [&bytes[..], &bytes[bytes.len() - 32..]].concat();
        std::fs::write(&file, longer).unwrap();
        assert_eq!(
            audit(&url, &trust).status.code(),
            Some(1),
            "{name} has more in it"
        );
        std::fs::write(&file, bytes).unwrap();
        tried += 1;
    }
    // The checkpoint; bundles and tiles of level 0: two full, one partial; and a partial one of level 1.
    assert_eq!(tried, 1 + 2 * 3 + 1);
    passes(&audit(&url, &trust));
    let other = Server::start();
    fails(&audit(&url, &other.log_key()), "checkpoint");
}

#[tokio::test]
async fn given_a_ledger_that_is_killed_while_it_archives_when_its_archive_is_audited_then_it_passes_every_time()
 {
    let mut ledger = Archived::new(1).await;
    let (trust, url, folder) = (ledger.server.log_key(), ledger.url(), ledger.folder.path());
    let arguments = ["--archive", &url, "--archive-seconds", "1"];
    let mut next = 1;
    for _ in 0..6 {
        let mut session = ledger.server.session().await;
        let before = archived(folder);
        while archived(folder) == before {
            commission_units(&mut session, &ledger.trade, next..next + 300).await;
            next += 300;
        }
        ledger.server.kill();
        passes(&audit(&url, &trust));
        ledger.server = Server::open(&ledger.server.data.clone(), &arguments);
    }
    ledger.is_up().await;
    passes(&audit(&url, &trust));
}

#[tokio::test]
async fn given_nothing_but_an_archive_and_the_logs_key_when_the_ledger_is_rebuilt_then_it_is_the_same_and_goes_on()
 {
    let mut ledger = Archived::new(600).await;
    let (size, note) = ledger.is_up().await;
    let (old, trust, url) = (
        ledger.server.data.clone(),
        ledger.server.log_key(),
        ledger.url(),
    );
    let one = ledger
        .server
        .run_ok(&["trace", &unit(5).to_string(), "--json"]);
    ledger.server.kill();
    let new = ledger.folder.path().join("../rebuilt");
    let new = tempfile::tempdir_in(new.parent().unwrap()).unwrap();
    let new = new.path().join("ledger");
    let told = passes(&rebuild(&url, &old, &new));
    assert!(told.contains(&format!("ok: {size} entries")), "{told}");
    // Not over a ledger that is there.
    let again = rebuild(&url, &old, &new);
    assert_ne!(again.status.code(), Some(0));
    assert!(
        said(&again).contains("is there already"),
        "{}",
        said(&again)
    );
    // Every row of the views is the old one's.
    let dump = |data: &Path| {
        let store = custody::store::Store::open(
            &data.join("store"),
            &custody::store::StoreOptions::default(),
        );
        store.unwrap().dump().unwrap()
    };
    let (mut before, mut after) = (dump(&old), dump(&new));
    for rows in [&mut before, &mut after] {
        rows.retain(|(family, _), _| !["signals", "meta", "ids"].contains(&family.as_str()));
    }
    assert_eq!(before, after);
    let server = Server::open(&new, &["--archive", &url, "--archive-seconds", "1"]);
    assert_eq!(checkpoint(&server).await, (size, note));
    assert_eq!(
        server.run_ok(&["trace", &unit(5).to_string(), "--json"]),
        one
    );
    let mut session = server.session().await;
    let seen = draft(&ledger.trade.courier, &[unit(5)], scan());
    all_accepted(session.submit(vec![seen]).await.unwrap());
    until("the archive goes on", || {
        archived(ledger.folder.path()) == size + 1
    });
    passes(&audit(&url, &trust));
}

#[tokio::test]
async fn given_a_ledger_that_its_archive_contradicts_when_it_is_started_or_runs_then_it_stops_and_says_so()
 {
    let mut ledger = Archived::new(20).await;
    ledger.server.stop();
    let (data, url) = (ledger.server.data.clone(), ledger.url());
    let copy = data.with_file_name("copy");
    let copied = Command::new("cp").arg("-r").args([&data, &copy]).status();
    assert!(copied.unwrap().success());
    let arguments = ["--archive", &url, "--archive-seconds", "1"];
    let open = |data: &Path, arguments: &[&str]| Server::try_spawn(custody(), data, arguments);
    let grow = async |server: &Server, units: std::ops::Range<u64>| {
        commission_units(&mut server.session().await, &ledger.trade, units).await;
    };
    // The copy is a backup that the archive is ahead of.
    let mut server = open(&data, &arguments).unwrap();
    grow(&server, 20..30).await;
    let head = checkpoint(&server).await.0;
    until("the archive is up to the log", || {
        archived(ledger.folder.path()) == head
    });
    server.stop();
    let why = open(&copy, &arguments).err().expect("it does not start");
    assert!(why.contains("rebuild the ledger from the archive"), "{why}");
    // And without its archive it went another way.
    let mut server = open(&copy, &[]).unwrap();
    grow(&server, 100..140).await;
    server.stop();
    let why = open(&copy, &arguments).err().expect("it does not start");
    assert!(why.contains("another root"), "{why}");
    // An archive of another log is none for this one.
    let stranger = Server::start();
    let data_of_another = stranger.data.with_file_name("another");
    common::init(&data_of_another);
    let why = open(&data_of_another, &arguments)
        .err()
        .expect("it does not start");
    assert!(why.contains("checkpoint"), "{why}");
    // Two at once on one folder are refused as well.
    let _first = open(&data, &arguments).unwrap();
    let why = open(&copy, &arguments).err().expect("it does not start");
    assert!(why.contains("another process writes"), "{why}");
    // What contradicts the ledger while it runs stops it.
    let other = tempfile::tempdir().unwrap();
    let away = folder_url(other.path());
    let arguments = ["--archive", &away, "--archive-seconds", "1"];
    let mut server = open(&copy, &arguments).unwrap();
    until("something is archived", || archived(other.path()) > 0);
    let theirs = ledger.folder.path().join("checkpoint");
    grow(&server, 140..141).await;
    until("it stops", || {
        std::fs::copy(&theirs, other.path().join("checkpoint")).unwrap();
        server.ended()
    });
    assert!(
        server.log().contains("contradict each other"),
        "{}",
        server.log()
    );
}

/// S3 over HTTP, by a server that others wrote: moto.
struct Bucket {
    child: Child,
    address: String,
}

impl Bucket {
    fn start() -> Option<Self> {
        let python = std::env::var_os("CUSTODY_PYTHON");
        let Some(python) = python else {
            eprintln!(
                "SKIPPED: CUSTODY_PYTHON names no interpreter, so nothing was tested over S3; run tools/test"
            );
            return None;
        };
        let port = free_port();
        let child = Command::new(python)
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("http://127.0.0.1:{port}");
        until("the bucket answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let bucket = Self { child, address };
        let made = common::http(("PUT", &format!("{}/goods", bucket.address)), &[], ());
        assert_eq!(made.status, 200, "{}", made.text());
        bucket.show(&[
            "checkpoint",
            "tile/0/*",
            "tile/1/*",
            "tile/2/*",
            "tile/3/*",
            "tile/4/*",
        ]);
        Some(bucket)
    }

    /// Lets everyone read what the archive's document says is for everyone, or more.
    fn show(&self, names: &[&str]) {
        let names = names
            .iter()
            .map(|name| format!("arn:aws:s3:::goods/a/log/{name}"));
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": names.collect::<Vec<_>>(),
            }],
        });
        let address = format!("{}/goods?policy", self.address);
        let kind = [("content-type", "application/json")];
        let set = common::http(("PUT", &address), &kind, policy.to_string());
        assert_eq!(set.status, 200, "{}", set.text());
    }

    /// The program with what it needs to reach the bucket in its environment.
    fn custody(&self) -> Command {
        let mut command = custody();
        command
            .env("AWS_ACCESS_KEY_ID", "somebody")
            .env("AWS_SECRET_ACCESS_KEY", "a secret")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", &self.address)
            .env("AWS_ALLOW_HTTP", "true");
        command
    }

    /// Makes a ledger anew in a folder with its key.
    fn rebuild(&self, data: &Path) {
        let rebuild = ["rebuild", "--from", "s3://goods/a/log", "--data"];
        let rebuilt = self.custody().args(rebuild).arg(data).output();
        passes(&rebuilt.unwrap());
    }

    /// What the bucket has under a name.
    fn get(&self, name: &str) -> common::Got {
        common::http(("GET", &format!("{}/goods/{name}", self.address)), &[], ())
    }

    fn archived(&self) -> u64 {
        let got = self.get("a/log/checkpoint");
        if got.status != 200 {
            return 0;
        }
        got.text().lines().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn given_a_bucket_over_http_when_a_ledger_archives_there_then_others_read_it_as_a_log_and_it_is_rebuilt()
 {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    common::init(&data);
    let url = "s3://goods/a/log";
    let arguments = ["--archive", url, "--archive-seconds", "1"];
    let mut server = Server::spawn(bucket.custody(), &data, &arguments);
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    commission_units(&mut session, &trade, 0..400).await;
    let (size, _) = checkpoint(&server).await;
    until("the bucket is up to the log", || bucket.archived() == size);
    // It doesn't answer for a while: the ledger does, and the archive comes after.
    common::signal(bucket.child.id(), "STOP");
    commission_units(&mut session, &trade, 400..700).await;
    let (size, note) = checkpoint(&server).await;
    common::signal(bucket.child.id(), "CONT");
    until("the bucket is up to the log again", || {
        bucket.archived() == size
    });
    let got = bucket.get("a/log/checkpoint");
    assert_eq!(got.body, note);
    assert_eq!(got.header("content-type"), "text/plain; charset=utf-8");
    let tile = bucket.get("a/log/tile/0/000");
    assert!(tile.header("cache-control").contains("immutable"));
    assert_eq!(bucket.get("a/log/tile/entries/000").status, 403);
    bucket.show(&["*"]);
    // A client of tlog-tiles that shares no code with this program reads it from the bucket as from any web server.
    let trust = server.log_key();
    let site = format!("{}/goods/a/log", bucket.address);
    let read = Command::new(std::env::var_os("CUSTODY_PYTHON").unwrap())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["static_log.py", &site, &trust])
        .output()
        .unwrap();
    let told = passes(&read);
    assert!(told.contains(&format!("ok: {size} entries")), "{told}");
    // So does an auditor, by either way.
    for from in [url, &site] {
        let audit = bucket
            .custody()
            .args(["audit", "--from", from, "--trust", &trust])
            .output();
        passes(&audit.unwrap());
    }
    // What somebody else wrote where the log goes on is not overwritten, unless whoever did is gone.
    let next = format!(
        "{}/goods/a/log/tile/entries/{:03}",
        bucket.address,
        size / 256
    );
    assert_eq!(common::http(("PUT", &next), &[], "of a fork").status, 200);
    commission_units(&mut session, &trade, 700..1_000).await;
    until("it says so", || {
        server.log().contains("another ledger with the same key")
    });
    assert_eq!(bucket.archived(), size);
    assert!(server.stop().success());
    let mut server = Server::spawn(bucket.custody(), &data, &arguments);
    let (size, note) = checkpoint(&server).await;
    until("the archive goes on", || bucket.archived() == size);
    passes(
        &bucket
            .custody()
            .args(["audit", "--from", url, "--trust", &trust])
            .output()
            .unwrap(),
    );
    // All disks are lost.
    server.kill();
    let new = folder.path().join("anew");
    std::fs::create_dir(&new).unwrap();
    std::fs::copy(data.join("log.key"), new.join("log.key")).unwrap();
    bucket.rebuild(&new);
    let mut without_conditions = bucket.custody();
    without_conditions.env("AWS_CONDITIONAL_PUT", "disabled");
    let server = Server::spawn(without_conditions, &new, &arguments);
    assert_eq!(checkpoint(&server).await, (size, note));
    commission_units(&mut server.session().await, &trade, 1_000..1_001).await;
    until("the archive goes on", || bucket.archived() == size + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_two_nodes_and_one_bucket_when_both_archive_and_all_disks_are_lost_then_a_cluster_is_begun_from_it()
 {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let Some(etcd) = Etcd::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &str| folder.path().join(name);
    common::init(&data("one"));
    let with_key = |name: &str| {
        std::fs::create_dir(data(name)).unwrap();
        for file in ["log.key", "log.vkey"] {
            std::fs::copy(data("one").join(file), data(name).join(file)).unwrap();
        }
    };
    with_key("two");
    let start = |etcd: &Etcd, name: &str| {
        let address = etcd.address();
        let archive = ["--archive", "s3://goods/a/log", "--archive-seconds", "1"];
        let arguments = ["--cluster", &address, "--node", name];
        Server::spawn(
            bucket.custody(),
            &data(name),
            &[&arguments[..], &archive].concat(),
        )
    };
    let (mut one, mut two) = (start(&etcd, "one"), start(&etcd, "two"));
    let mut session = one.session().await;
    let trade = Trade::set_up(&one, &mut session).await;
    let mut last = 0;
    for part in 0..5 {
        commission_units(&mut session, &trade, part * 100..part * 100 + 100).await;
        until("the bucket follows", || {
            let size = bucket.archived();
            assert!(size >= last, "a checkpoint never goes back");
            std::mem::replace(&mut last, size) < size
        });
    }
    // Whichever was faster so far: the other goes on.
    one.kill();
    let mut session = two.session().await;
    commission_units(&mut session, &trade, 500..600).await;
    let (size, _) = checkpoint(&two).await;
    until("the bucket is up to the log", || bucket.archived() == size);
    two.kill();
    drop(etcd);
    with_key("three");
    bucket.rebuild(&data("three"));
    let etcd = Etcd::start().unwrap();
    let three = start(&etcd, "three");
    assert_eq!(checkpoint(&three).await.0, size);
    commission_units(&mut three.session().await, &trade, 600..610).await;
    until("the bucket goes on", || bucket.archived() == size + 10);
    let trust = three.log_key();
    let audit = ["audit", "--from", "s3://goods/a/log", "--trust", &trust];
    passes(&bucket.custody().args(audit).output().unwrap());
    // A cluster that is begun with less than was archived is not served.
    let etcd = Etcd::start().unwrap();
    with_key("four");
    bucket.rebuild(&data("four"));
    commission_units(&mut three.session().await, &trade, 610..620).await;
    until("the bucket goes on", || bucket.archived() == size + 20);
    let address = etcd.address();
    let arguments = [
        "--cluster",
        &address,
        "--node",
        "four",
        "--archive",
        "s3://goods/a/log",
    ];
    let why = Server::try_spawn(bucket.custody(), &data("four"), &arguments).err();
    let why = why.expect("it does not start");
    assert!(why.contains("rebuild the ledger from the archive"), "{why}");
}
