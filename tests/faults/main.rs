//! Faults from a seed against a ledger of three nodes on three etcd, all of them real processes, while clients write.
//!
//! After each round: no acknowledged record is lost or doubled, all nodes have one root, and what the clients saw of
//! each unit is what one chain could have given (linearizable). `CUSTODY_FAULT_ROUNDS` and `CUSTODY_FAULT_SEED` say
//! how much and which; `tools/faults` runs many.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod net;
mod world;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use custody::api::session::AT_LEAST;
use custody::client::{Ledger, Session};
use custody::core::envelope::RecordId;
use custody::core::id::UnitId;
use custody::core::wire;
use custody::core::wire::get_inclusion_proof_request::Leaf;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::{Code, Request, Status};

use clients::{Client, History, until};
use net::Mode;
use world::{MEMBERS, World};

/// Answers that a round wants before and after its faults.
const SOME: u64 = 25;
/// Most steps of a unit in one answer.
const PAGE: usize = 200;
/// How long faults last when they stop everything.
const LONGEST: Duration = Duration::from_secs(4);

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
    /// The disk of the node that has a small one.
    FullDisk,
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
    match rng.random_range(0..11) {
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
        8 => Fault::FullDisk,
        9 => Fault::Clock(at, rng.random_range(-7_200..7_200)),
        _ if rng.random_bool(0.5) => Fault::Flip(at),
        _ => Fault::Truncate(at),
    }
}

/// The node whose files a fault damages.
fn damages(fault: &Fault) -> Option<usize> {
    match *fault {
        Fault::Flip(at) | Fault::Truncate(at) => Some(at),
        _ => None,
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
        Fault::FullDisk => {
            if let Some(at) = world.small {
                world.fill(at);
            }
        }
        Fault::Flip(at) | Fault::Truncate(at) => {
            world.kill_node(at);
            damage(
                &world.data(at).join("store"),
                matches!(fault, Fault::Flip(_)),
                rng,
            );
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
    // Nodes with a damaged file that nobody may have read yet.
    let mut damaged = [false; MEMBERS];
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
            let envelope = clients::sign(record, &trade.maker, rng.random());
            let appended = first_client.append(&envelope).await;
            let index = appended.expect("nobody else has this unit");
            let id = envelope.record_id();
            history.acknowledged.lock().unwrap().insert(id, index);
            heads.insert(unit, id);
        }
        seen = first_client.seen();
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let shared = (Arc::clone(&history), Arc::clone(&stop));
                let client = Client::new(number, nodes.clone(), seen);
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
        if let Some(at) = faults.iter().find_map(damages) {
            faults.retain(|fault| damages(fault).is_none_or(|other| other == at));
            for other in (0..MEMBERS).filter(|other| *other != at) {
                if std::mem::take(&mut damaged[other]) {
                    world.kill_node(other);
                    world.empty(other);
                    world.heal().await;
                }
            }
        }
        for fault in &faults {
            if let Some(at) = damages(fault) {
                damaged[at] = true;
            }
            println!("round {round}: {fault:?}");
            inject(&mut world, *fault, &mut rng);
        }
        let before = answers();
        until(LONGEST, || answers() >= before + SOME).await;
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
        let acknowledged = std::mem::take(&mut *history.acknowledged.lock().unwrap());
        let lengths = history.check(&heads);
        // What is damaged may be noticed only when it is read: then the node says so, and joins anew.
        let mut tries = 1 + MEMBERS;
        while let Err((at, why)) = look(&world, &acknowledged, &lengths).await {
            tries -= 1;
            let named = why.contains("corrupt") || world.log(at).contains("corrupt");
            assert!(damaged[at] && named && tries > 0, "node {at}: {why}");
            println!("  node {at} joins anew: {why}");
            world.kill_node(at);
            world.empty(at);
            damaged[at] = false;
            world.heal().await;
        }
        let seconds = begun.elapsed().as_secs_f32();
        println!(
            "round {round}: {} answers, {during} under faults, {seconds:.1} s",
            answers()
        );
    }
}

/// Looks at each node, and replays its whole log; which one gave no answer, and why.
async fn look(
    world: &World,
    acknowledged: &HashMap<RecordId, u64>,
    lengths: &HashMap<UnitId, usize>,
) -> Result<(), (usize, String)> {
    let mut roots = HashMap::new();
    for at in 0..MEMBERS {
        let checked = check(world, at, acknowledged, lengths, &mut roots).await;
        checked.map_err(|why| (at, why))?;
        audit(world, at).map_err(|why| (at, why))?;
    }
    Ok(())
}

/// Everything acknowledged is on a node, once, where it was said to be, and its root is that of the others. Whether a node
/// could be asked is the error; that an answer is wrong is none that another try makes good.
async fn check(
    world: &World,
    at: usize,
    acknowledged: &HashMap<RecordId, u64>,
    lengths: &HashMap<UnitId, usize>,
    roots: &mut HashMap<u64, String>,
) -> Result<(), String> {
    let size = acknowledged.values().max().map_or(0, |index| index + 1);
    let failed = |what: &str, status: Status| format!("node {at}, asked for {what}: {status}");
    let ledger = Ledger::connect(&world.address(at), None).await;
    let ledger = ledger.map_err(|error| format!("node {at}: {error}"))?;
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request.metadata_mut().insert(AT_LEAST, size.into());
    let note = ledger.log().get_checkpoint(request).await;
    let note = note.map_err(|status| failed("a checkpoint", status))?;
    let note = String::from_utf8(note.into_inner().checkpoint).unwrap();
    let found: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let root = roots.entry(found).or_insert_with(|| note.clone());
    assert_eq!(*root, note, "node {at} has another root");
    for (record, index) in acknowledged {
        let request = wire::GetInclusionProofRequest {
            leaf: Some(Leaf::RecordId(record.0.to_vec())),
            size: 0,
        };
        let proof = ledger.log().get_inclusion_proof(request).await;
        if let Err(status) = &proof {
            assert_ne!(
                status.code(),
                Code::NotFound,
                "{record} is lost at node {at}"
            );
        }
        let proof = proof.map_err(|status| failed("a proof", status))?;
        assert_eq!(proof.into_inner().index, *index, "{record} at node {at}");
    }
    for (unit, length) in lengths {
        let request = wire::GetProvenanceRequest {
            unit: unit.to_string(),
            ..wire::GetProvenanceRequest::default()
        };
        let told = ledger.provenance().get_provenance(request).await;
        let told = told.map_err(|status| failed("a unit", status))?;
        let steps = told.into_inner().steps.len();
        assert_eq!(steps, (*length).min(PAGE), "{unit} at node {at}");
    }
    Ok(())
}

fn audit(world: &World, at: usize) -> Result<(), String> {
    let data = world.data(0);
    let trust = std::fs::read_to_string(data.join("log.vkey")).unwrap();
    let output = common::custody()
        .env("CUSTODY_LEDGER", world.address(at))
        .args(["audit", "--trust", trust.trim(), "--key"])
        .arg(data.join("regulator.key"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    }
    println!("node {at}: {}", said.lines().next().unwrap_or_default());
    Ok(())
}
