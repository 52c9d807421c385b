//! A real etcd on loopback, for ledgers of several processes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One etcd. It ends with the thread that started it, or when this is dropped.
pub struct Etcd {
    child: Child,
    port: u16,
    folder: TempDir,
    scheme: String,
    more: Vec<String>,
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Etcd {
    /// A new one; none, loudly, where etcd is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with("http", &[])
    }

    /// The same, with more flags.
    pub fn start_with(scheme: &str, more: &[&str]) -> Option<Self> {
        if Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("SKIPPED: etcd is not installed, so nothing was tested over it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        // Somebody may take a port in between: then another is tried.
        let started = (0..10).find_map(|_| {
            let port = free_port();
            let mut child = Self::spawn(folder.path(), port, scheme, &more);
            Self::answers(&mut child, port).then_some((child, port))
        });
        let (child, port) = started.expect("etcd starts");
        Some(Self {
            child,
            port,
            folder,
            scheme: scheme.to_owned(),
            more,
        })
    }

    fn spawn(folder: &Path, port: u16, scheme: &str, more: &[String]) -> Child {
        let client = format!("{scheme}://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{}", free_port());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--name", "one", "--data-dir"])
            .arg(folder.join("data"))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("one={peer}")])
            .args(more)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Whether it answers, before it ends.
    fn answers(child: &mut Child, port: u16) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// For `--cluster`.
    pub fn address(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    /// What lies on its disk.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same port.
    pub fn start_again(&mut self) {
        self.child = Self::spawn(self.folder.path(), self.port, &self.scheme, &self.more);
        assert!(
            Self::answers(&mut self.child, self.port),
            "etcd starts again"
        );
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

thread_local! {
    /// The etcd of the ledger in a folder, where all servers are to be tested over one. Of the
    /// thread, as statics are not dropped, and each would leave its files behind.
    static OF_FOLDERS: RefCell<HashMap<PathBuf, Etcd>> = RefCell::default();
}

/// What makes a server of a test a cluster of one node, when `CUSTODY_TEST_ORDER` is `etcd`.
pub fn arguments(data: &Path, given: &[&str]) -> Vec<String> {
    let wanted = std::env::var("CUSTODY_TEST_ORDER").is_ok_and(|order| order == "etcd");
    if !wanted || given.contains(&"--cluster") {
        return Vec::new();
    }
    let address = OF_FOLDERS.with_borrow_mut(|known| {
        known
            .entry(data.to_owned())
            .or_insert_with(|| Etcd::start().expect("CUSTODY_TEST_ORDER=etcd needs an etcd"))
            .address()
    });
    vec!["--cluster".into(), address, "--node".into(), "one".into()]
}
