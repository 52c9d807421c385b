//! Three etcd and three nodes as real processes, every link of theirs through a proxy.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use custody::client::Ledger;

use crate::common;
use crate::net::{Link, Mode};

pub const MEMBERS: usize = 3;

/// A process that may be dead for a while.
struct Process {
    child: Option<Child>,
}

impl Process {
    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            common::signal(child.id(), name);
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn is_gone(&mut self) -> bool {
        self.ended().is_some()
    }

    /// How it ended; nothing more is known of one that was killed.
    fn ended(&mut self) -> Option<Option<ExitStatus>> {
        match &mut self.child {
            None => Some(None),
            Some(child) => child.try_wait().unwrap().map(Some),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub struct World {
    folder: PathBuf,
    etcd: Vec<Process>,
    nodes: Vec<Process>,
    etcd_ports: Vec<(u16, u16)>,
    node_ports: Vec<u16>,
    /// To each etcd's peers' port.
    pub peers: Vec<Link>,
    /// From each node to each etcd.
    pub orders: Vec<Vec<Link>>,
    /// To each node, for clients and for other nodes.
    pub fronts: Vec<Link>,
    /// The node whose folder is a small file system of its own, where one could be made.
    pub small: Option<usize>,
    /// That one is full.
    full: bool,
    /// Nodes with a damaged file that nobody may have read yet.
    pub damaged: [bool; MEMBERS],
    /// Where in its log each node was started last.
    since: [usize; MEMBERS],
    /// What lets a node's clock be set, where it could be made.
    clock: Option<PathBuf>,
}

/// What fills it.
const BALLAST: &str = "ballast";
/// Bytes of the small file system.
const SMALL: &str = "size=384m";

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports = listeners.iter();
    ports
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(at) = self.small {
            self.nodes[at].kill();
            // What stays is seen by whoever looks at the mounts.
            let _ = Command::new("umount").arg(self.data(at)).status();
        }
        if std::thread::panicking() {
            for at in 0..MEMBERS {
                let log = self.log(at);
                let mut last: Vec<_> = log.lines().rev().take(8).collect();
                last.reverse();
                eprintln!("node {at} said last:\n{}", last.join("\n"));
            }
        }
    }
}

impl World {
    pub async fn start(folder: &Path) -> Self {
        let ports = free_ports(3 * MEMBERS);
        let etcd_ports: Vec<_> = (0..MEMBERS)
            .map(|at| (ports[2 * at], ports[2 * at + 1]))
            .collect();
        let node_ports = ports[2 * MEMBERS..].to_vec();
        let (mut peers, mut orders, mut fronts) = (Vec::new(), Vec::new(), Vec::new());
        for (_, peer) in &etcd_ports {
            peers.push(Link::to(*peer).await);
        }
        for port in &node_ports {
            fronts.push(Link::to(*port).await);
            let mut links = Vec::new();
            for (client, _) in &etcd_ports {
                links.push(Link::to(*client).await);
            }
            orders.push(links);
        }
        let dead = || (0..MEMBERS).map(|_| Process { child: None }).collect();
        let mut world = Self {
            folder: folder.to_owned(),
            etcd: dead(),
            nodes: dead(),
            etcd_ports,
            node_ports,
            peers,
            orders,
            fronts,
            small: None,
            full: false,
            damaged: [false; MEMBERS],
            since: [0; MEMBERS],
            clock: Self::build_clock(folder),
        };
        world.small = world.mount(MEMBERS - 1);
        for at in 0..MEMBERS {
            world.start_etcd(at);
        }
        common::init(&world.data(0));
        for at in 0..MEMBERS {
            world.start_node(at);
            world.until_served(at).await;
        }
        world
    }

    fn build_clock(folder: &Path) -> Option<PathBuf> {
        let library = folder.join("clock.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/clock.c"))
            .status();
        if built.is_ok_and(|status| status.success()) {
            return Some(library);
        }
        eprintln!("SKIPPED: there is no C compiler, so no clock was set");
        None
    }

    fn clock_of(&self, at: usize) -> PathBuf {
        self.folder.join(format!("clock-{at}"))
    }

    /// Sets a node's clock to so many seconds before or after the true time.
    pub fn set_clock(&self, at: usize, seconds: i64) {
        // Whole at once, since it may be read at any time.
        let beside = self.folder.join("clock-beside");
        std::fs::write(&beside, seconds.to_string()).unwrap();
        std::fs::rename(beside, self.clock_of(at)).unwrap();
    }

    /// Puts a node's folder on a small file system, which takes root's rights.
    fn mount(&self, at: usize) -> Option<usize> {
        let data = self.data(at);
        std::fs::create_dir_all(&data).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SMALL, "custody-faults"])
            .arg(&data)
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(at);
        }
        eprintln!("SKIPPED: no file system can be mounted here, so no disk was filled");
        None
    }

    /// Fills the disk of a node.
    pub fn fill(&mut self, at: usize) {
        self.full = true;
        let ballast = File::create(self.data(at).join(BALLAST));
        let zeros = vec![0; 1 << 20];
        if let Ok(mut ballast) = ballast {
            while std::io::Write::write_all(&mut ballast, &zeros).is_ok() {}
        }
    }

    pub fn data(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node-{node}"))
    }

    pub fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.folder.join(format!("node-{node}.log"))).unwrap_or_default()
    }

    /// What a node said since it was started last.
    pub fn said(&self, node: usize) -> String {
        let log = self.log(node);
        log.get(self.since[node]..).unwrap_or_default().to_owned()
    }

    /// Where clients and other nodes reach a node.
    pub fn address(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.fronts[node].port)
    }

    fn append_to(&self, name: &str) -> File {
        let path = self.folder.join(name);
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
    }

    /// Ends with the thread that starts it.
    fn bound(program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]);
        command
    }

    pub fn start_etcd(&mut self, at: usize) {
        let (client, peer) = self.etcd_ports[at];
        let of = |port: u16| format!("http://127.0.0.1:{port}");
        let all = self.peers.iter().enumerate();
        let all: Vec<_> = all
            .map(|(at, link)| format!("e{at}={}", of(link.port)))
            .collect();
        let child = Self::bound("etcd")
            .args(["--name", &format!("e{at}"), "--data-dir"])
            .arg(self.folder.join(format!("etcd-{at}")))
            .args([
                "--listen-client-urls",
                &of(client),
                "--advertise-client-urls",
                &of(client),
            ])
            .args(["--listen-peer-urls", &of(peer)])
            .args(["--initial-advertise-peer-urls", &of(self.peers[at].port)])
            .args(["--initial-cluster", &all.join(",")])
            .stdout(Stdio::null())
            .stderr(self.append_to(&format!("etcd-{at}.log")))
            .spawn()
            .unwrap();
        self.etcd[at].child = Some(child);
    }

    pub fn start_node(&mut self, at: usize) {
        let data = self.data(at);
        std::fs::create_dir_all(&data).unwrap();
        for file in ["log.key", "log.vkey", "regulator.key"] {
            if at > 0 && !data.join(file).exists() {
                std::fs::copy(self.data(0).join(file), data.join(file)).unwrap();
            }
        }
        let links = self.orders[at].iter();
        let etcd: Vec<_> = links
            .map(|link| format!("127.0.0.1:{}", link.port))
            .collect();
        self.since[at] = self.log(at).len();
        let mut command = Self::bound(env!("CARGO_BIN_EXE_custody"));
        if let Some(clock) = &self.clock {
            command
                .env("LD_PRELOAD", clock)
                .env("FAULTS_CLOCK", self.clock_of(at));
        }
        let child = command
            .args(["serve", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .args(["--listen", &format!("127.0.0.1:{}", self.node_ports[at])])
            .args(["--cluster", &format!("etcd://{}", etcd.join(","))])
            .args([
                "--node",
                &format!("n{at}"),
                "--advertise",
                &self.address(at),
            ])
            .arg("--data")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(self.append_to(&format!("node-{at}.log")))
            .spawn()
            .unwrap();
        self.nodes[at].child = Some(child);
    }

    pub fn kill_node(&mut self, at: usize) {
        self.nodes[at].kill();
    }

    pub fn kill_etcd(&mut self, at: usize) {
        self.etcd[at].kill();
    }

    pub fn signal_node(&self, at: usize, name: &str) {
        self.nodes[at].signal(name);
    }

    pub fn signal_etcd(&self, at: usize, name: &str) {
        self.etcd[at].signal(name);
    }

    /// Empties a node's folder but for its keys, so that it joins anew.
    pub fn empty(&mut self, at: usize) {
        self.damaged[at] = false;
        let store = self.data(at).join("store");
        if store.exists() {
            std::fs::remove_dir_all(store).unwrap();
        }
    }

    /// Undoes every fault, and starts what is dead. A node that refuses to start with what it has on its disk joins
    /// anew: it has to have said why.
    pub async fn heal(&mut self) {
        let links = self
            .peers
            .iter()
            .chain(&self.fronts)
            .chain(self.orders.iter().flatten());
        links.for_each(|link| link.set(Mode::Open));
        for at in 0..MEMBERS {
            // It may be there or not.
            let _ = std::fs::remove_file(self.data(at).join(BALLAST));
            self.set_clock(at, 0);
            self.etcd[at].signal("CONT");
            self.nodes[at].signal("CONT");
            if self.etcd[at].is_gone() {
                self.start_etcd(at);
            }
        }
        for at in 0..MEMBERS {
            self.go_on(at);
        }
        for at in 0..MEMBERS {
            self.until_served(at).await;
        }
        self.full = false;
    }

    /// Starts a node that is gone. It may have ended for reasons that a fault gives, and for no others; only one whose
    /// disk was damaged or full may have lost what it had there.
    fn go_on(&mut self, at: usize) {
        let said = self.said(at);
        let wrong = [
            "panicked",
            "differs from",
            "another root",
            "was set back",
            "halted",
        ];
        let wrong = wrong.iter().find(|wrong| said.contains(**wrong));
        assert_eq!(wrong, None, "node {at} said: {said}");
        let Some(ended) = self.nodes[at].ended() else {
            return;
        };
        let at_fault = self.damaged[at] || (self.full && self.small == Some(at));
        let killed = ended.is_none();
        // RocksDB aborts where it finds what it can't make sense of.
        let crashed = ended.is_some_and(|status| status.code().is_none());
        assert!(!crashed || at_fault, "node {at} ended by {ended:?}: {said}");
        let says = |why: &[&str]| why.iter().any(|why| said.contains(why));
        let no_space = self.full && self.small == Some(at) && says(&["No space left"]);
        let disk = ["corrupt", "store failed", "is missing", "holds no ledger"];
        if killed {
            // As it was.
        } else if no_space {
            println!("  node {at} ended on its full disk");
        } else if crashed || says(&disk) {
            assert!(
                at_fault,
                "nothing happened to the disk of node {at}: {said}"
            );
            let last = said.lines().last().unwrap_or_default();
            println!("  node {at} joins anew: {last}");
            self.empty(at);
        } else {
            let order = says(&["etcd", "no other node gave its log"]);
            assert!(order, "node {at} says why it can't serve: {said}");
        }
        self.start_node(at);
    }

    async fn until_served(&mut self, at: usize) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let ledger = Ledger::connect(&self.address(at), None).await;
            if let Ok(ledger) = ledger {
                let asked = tokio::time::timeout(Duration::from_secs(5), ledger.checkpoint()).await;
                if matches!(asked, Ok(Ok(_))) {
                    return;
                }
            }
            assert!(
                Instant::now() < deadline,
                "node {at} serves again:\n{}",
                self.log(at)
            );
            self.go_on(at);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
