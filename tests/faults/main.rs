//! Faults from a seed against a ledger of three nodes on three etcd, all of them real processes, while clients write.
//!
//! After each round: no acknowledged record is lost or doubled, of it or of an earlier one; all nodes have one log, which
//! leads on from the one before, and an audit of each passes; each takes a record; and what the clients saw of each unit
//! is what one chain could have given (linearizable). `CUSTODY_FAULT_ROUNDS` and `CUSTODY_FAULT_SEED` say
//! how much and which; `tools/faults` runs many.

#[path = "../common/mod.rs"]
mod common;

mod checks;
mod clients;
mod net;
mod world;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use custody::client::{Ledger, Session};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use checks::{Ever, Round};
use clients::{Client, History, until};
use net::Mode;
use world::{MEMBERS, World};

/// Answers that a round wants before and after its faults, and with any single one of them.
const SOME: u64 = 25;
/// In so long a cluster goes on with one fault, whichever it is.
const GOES_ON: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillNode(usize),
    KillEtcd(usize),
    PauseNode(usize),
    PauseEtcd(usize),
    /// A node from one etcd, or from all.
    Order(usize, Option<usize>, Mode),
    /// An etcd from those that call it.
    Peer(usize, Mode),
    /// A node from its clients.
    Front(usize, Mode),
    Flip(usize),
    Truncate(usize),
    /// A node loses its store, and joins anew.
    Join(usize),
    /// The disk of the node that has a small one, which is started again with it or not.
    FullDisk {
        restart: bool,
    },
    /// A node's clock, to so many seconds beside the true time.
    Clock(usize, i64),
}

fn choose(rng: &mut SmallRng) -> Fault {
    let at = rng.random_range(0..MEMBERS);
    let modes = [
        Mode::Cut,
        Mode::Hole,
        Mode::OneWay { back: true },
        Mode::OneWay { back: false },
        Mode::Delay(rng.random_range(1..400)),
    ];
    let mode = *modes.choose(rng).unwrap();
    match rng.random_range(0..12) {
        0 => Fault::KillNode(at),
        1 => Fault::KillEtcd(at),
        2 => Fault::PauseNode(at),
        3 => Fault::PauseEtcd(at),
        4 | 5 => {
            let one = rng.random_bool(0.5).then(|| rng.random_range(0..MEMBERS));
            Fault::Order(at, one, mode)
        }
        6 => Fault::Peer(at, mode),
        7 => Fault::Front(at, mode),
        8 => Fault::FullDisk {
            restart: rng.random_bool(0.5),
        },
        9 => Fault::Clock(at, rng.random_range(-7_200..7_200)),
        10 => Fault::Join(at),
        _ if rng.random_bool(0.5) => Fault::Flip(at),
        _ => Fault::Truncate(at),
    }
}

/// How long the faults of a round last: mostly shorter than what clients and nodes wait for, sometimes longer.
fn lasting(rng: &mut SmallRng) -> Duration {
    Duration::from_millis(match rng.random_range(0..10) {
        0 => rng.random_range(11_000..15_000),
        1..4 => rng.random_range(2_500..5_000),
        _ => rng.random_range(200..2_000),
    })
}

impl Fault {
    /// The node whose files it damages, or takes.
    const fn damages(&self) -> Option<usize> {
        match *self {
            Self::Flip(at) | Self::Truncate(at) | Self::Join(at) => Some(at),
            _ => None,
        }
    }

    /// Whether two etcd of three are left that hear of each other: one that hears nobody and is heard may call for
    /// elections for as long as it lasts.
    const fn leaves_a_quorum(&self) -> bool {
        !matches!(self, Self::Peer(..))
    }
}

fn inject(world: &mut World, fault: Fault, rng: &mut SmallRng) {
    match fault {
        Fault::KillNode(at) => world.kill_node(at),
        Fault::KillEtcd(at) => world.kill_etcd(at),
        Fault::PauseNode(at) => world.signal_node(at, "STOP"),
        Fault::PauseEtcd(at) => world.signal_etcd(at, "STOP"),
        Fault::Order(at, one, mode) => {
            let links = world.orders[at].iter().enumerate();
            let links = links.filter(|(to, _)| one.is_none_or(|one| one == *to));
            links.for_each(|(_, link)| link.set(mode));
        }
        Fault::Peer(at, mode) => world.peers[at].set(mode),
        Fault::Front(at, mode) => world.fronts[at].set(mode),
        Fault::Clock(at, seconds) => world.set_clock(at, seconds),
        Fault::FullDisk { restart } => {
            if let Some(at) = world.small {
                world.fill(at);
                if restart {
                    world.kill_node(at);
                    world.start_node(at);
                }
            }
        }
        Fault::Join(at) => {
            world.kill_node(at);
            world.empty(at);
            world.start_node(at);
        }
        Fault::Flip(at) | Fault::Truncate(at) => {
            world.kill_node(at);
            damage(
                &world.data(at).join("store"),
                matches!(fault, Fault::Flip(_)),
                rng,
            );
            world.damaged[at] = true;
            world.start_node(at);
        }
    }
}

/// Flips a byte of a file of a stopped node, or cuts the file off.
fn damage(store: &Path, flip: bool, rng: &mut SmallRng) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(store)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.metadata().unwrap().len() > 0)
        .collect();
    files.sort();
    let Some(path) = files.choose(rng) else {
        return;
    };
    let mut bytes = std::fs::read(path).unwrap();
    let at = rng.random_range(0..bytes.len());
    if flip {
        bytes[at] ^= 1 << rng.random_range(0..8);
    } else {
        bytes.truncate(at);
    }
    println!("  damaged {} at {at}", path.display());
    std::fs::write(path, bytes).unwrap();
}

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |given| given.parse().expect(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_faults_of_any_kind_when_they_have_healed_then_nothing_is_lost_doubled_or_forked() {
    if std::process::Command::new("etcd")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: etcd is not installed, so no faults were injected");
        return;
    }
    let (rounds, first) = (
        setting("CUSTODY_FAULT_ROUNDS", 5),
        setting("CUSTODY_FAULT_SEED", 1),
    );
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path()).await;
    let ledger = Ledger::connect(&world.address(0), None).await.unwrap();
    let mut session = Session::start(ledger).await.unwrap();
    let key = common::read_key(&world.data(0).join("regulator.key"));
    let (trade, drafts) = common::Trade::drafts_by(&key);
    let receipts = common::all_accepted(session.submit(drafts).await.unwrap());
    let last = receipts.iter().map(|receipt| receipt.log_index).max();
    let mut seen = last.unwrap() + 1;
    let mut ever = Ever::default();
    for round in first..first + rounds {
        let begun = Instant::now();
        let mut rng = SmallRng::seed_from_u64(round);
        let history = Arc::new(History::default());
        let stop = Arc::new(AtomicBool::new(false));
        let units: Vec<_> = (0..4).map(|unit| common::unit(round * 10 + unit)).collect();
        let nodes: Vec<_> = (0..MEMBERS).map(|at| world.address(at)).collect();
        // A node may still think that its clock strays, or be damaged: this client goes on elsewhere.
        let mut first_client = Client::new(0, nodes.clone(), seen);
        let mut heads = HashMap::new();
        for unit in units {
            let record = common::record(&[unit], common::commission());
            let envelope = common::sign(record, &trade.maker, rng.random());
            let appended = first_client.append(&envelope).await;
            let index = appended.expect("nobody else has this unit");
            let id = envelope.record_id();
            history.acknowledged.lock().unwrap().insert(id, index);
            heads.insert(unit, id);
        }
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let shared = (Arc::clone(&history), Arc::clone(&stop));
                let client = Client::new(number, nodes.clone(), first_client.seen());
                let signer = Arc::clone(&trade.maker);
                tokio::spawn(clients::run(
                    client,
                    signer,
                    heads.clone(),
                    shared,
                    rng.random(),
                ))
            })
            .collect();
        let answers = || history.answers.load(Ordering::Relaxed);
        assert!(
            until(Duration::from_secs(60), || answers() >= SOME).await,
            "the round begins"
        );
        let mut faults: Vec<_> = (0..rng.random_range(1..=3))
            .map(|_| choose(&mut rng))
            .collect();
        // Copies are lost one at a time: what is damaged on all disks is nowhere whole.
        if let Some(at) = faults.iter().find_map(Fault::damages) {
            faults.retain(|fault| fault.damages().is_none_or(|other| other == at));
            for other in (0..MEMBERS).filter(|other| *other != at) {
                if world.damaged[other] {
                    world.kill_node(other);
                    world.empty(other);
                    world.heal().await;
                }
            }
        }
        let before = answers();
        for fault in &faults {
            println!("round {round}: {fault:?}");
            inject(&mut world, *fault, &mut rng);
        }
        tokio::time::sleep(lasting(&mut rng)).await;
        if faults.len() == 1 && faults[0].leaves_a_quorum() {
            let goes_on = until(GOES_ON, || answers() >= before + SOME).await;
            assert!(goes_on, "round {round}: it goes on with {:?}", faults[0]);
        }
        let during = answers() - before;
        world.heal().await;
        let before = answers();
        assert!(
            until(Duration::from_secs(120), || answers() >= before + SOME).await,
            "it goes on"
        );
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        // Clients go where they are answered: here each node has to take a record itself.
        for (at, node) in nodes.iter().enumerate() {
            let unit = common::unit(round * 10 + 5 + at as u64);
            let record = common::record(&[unit], common::commission());
            let envelope = common::sign(record, &trade.maker, rng.random());
            let mut client = Client::new(0, vec![node.clone()], first_client.seen());
            let appended = client.append(&envelope);
            let appended = tokio::time::timeout(Duration::from_secs(60), appended).await;
            let index = appended.unwrap_or_else(|_| panic!("node {at} takes no record"));
            let index = index.expect("nobody else has this unit");
            let known = &history.acknowledged;
            known.lock().unwrap().insert(envelope.record_id(), index);
        }
        let acknowledged = std::mem::take(&mut *history.acknowledged.lock().unwrap());
        seen = acknowledged.values().max().map_or(seen, |index| index + 1);
        let round_had = Round {
            lengths: history.check(&heads),
            acknowledged,
        };
        ever.check(&mut world, &round_had, &mut rng).await;
        let seconds = begun.elapsed().as_secs_f32();
        println!(
            "round {round}: {} answers, {during} under faults, {seconds:.1} s",
            answers()
        );
    }
}
