//! What has to hold after each round: everything acknowledged, in this round and before, is on every node, once; all
//! have one log, which leads on from the one of the round before; and an audit of each passes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody::api::session::AT_LEAST;
use custody::client::Ledger;
use custody::core::envelope::RecordId;
use custody::core::id::UnitId;
use custody::core::tlog::proof::verify_consistency;
use custody::core::tlog::{Hash, TreeSize};
use custody::core::wire;
use custody::core::wire::get_inclusion_proof_request::Leaf;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use tonic::{Code, Request, Status};

use crate::common;
use crate::world::{MEMBERS, World};

/// Most steps of a unit in one answer.
const PAGE: usize = 200;
/// Records and units of earlier rounds that are asked for after each.
const OLD: usize = 20;
/// A node that was healed answers in so long, though not at once: etcd may elect a leader just then.
const ANSWERS: Duration = Duration::from_secs(60);

/// What a round had acknowledged.
pub struct Round {
    pub acknowledged: HashMap<RecordId, u64>,
    /// How long the chain of each unit is.
    pub lengths: HashMap<UnitId, usize>,
}

/// What was acknowledged in all rounds before.
#[derive(Default)]
pub struct Ever {
    records: Vec<(RecordId, u64)>,
    units: Vec<(UnitId, usize)>,
    /// Size and root of the log after the last one.
    log: Option<(u64, Hash)>,
}

/// Why a node could not be looked at; that an answer is wrong is a panic, which no other try makes good.
enum Unseen {
    /// It doesn't answer now.
    Later(String),
    /// It says that what it has on its disk is damaged.
    Damaged(String),
}

impl Ever {
    /// Looks at each node. One that finds only now that its files were damaged says so, and joins anew.
    pub async fn check(&mut self, world: &mut World, round: &Round, rng: &mut SmallRng) {
        let mut records: Vec<_> = self.records.sample(rng, OLD).copied().collect();
        records.extend(round.acknowledged.iter().map(|(id, index)| (*id, *index)));
        let mut units: Vec<_> = self.units.sample(rng, OLD).copied().collect();
        units.extend(round.lengths.iter().map(|(unit, length)| (*unit, *length)));
        let mut deadline = Instant::now() + ANSWERS;
        let mut tries = 1 + MEMBERS;
        let (size, root) = loop {
            match self.look(world, &records, &units).await {
                Ok(log) => break log,
                Err((at, Unseen::Later(why))) => {
                    assert!(Instant::now() < deadline, "node {at}: {why}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err((at, Unseen::Damaged(why))) => {
                    tries -= 1;
                    assert!(world.damaged[at] && tries > 0, "node {at}: {why}");
                    println!("  node {at} joins anew: {why}");
                    world.kill_node(at);
                    world.empty(at);
                    world.heal().await;
                    deadline = Instant::now() + ANSWERS;
                }
            }
        };
        self.log = Some((size, root));
        self.records
            .extend(round.acknowledged.iter().map(|(id, index)| (*id, *index)));
        self.units
            .extend(round.lengths.iter().map(|(unit, length)| (*unit, *length)));
    }

    /// The log that all nodes have.
    async fn look(
        &self,
        world: &World,
        records: &[(RecordId, u64)],
        units: &[(UnitId, usize)],
    ) -> Result<(u64, Hash), (usize, Unseen)> {
        let mut log = None;
        for at in 0..MEMBERS {
            // It says so in its answer, or in its log.
            let unseen = |why: String| {
                let damaged = why.contains("corrupt") || world.said(at).contains("corrupt");
                let kind = if damaged {
                    Unseen::Damaged
                } else {
                    Unseen::Later
                };
                (at, kind(why))
            };
            let found = self.ask(world, at, records, units).await.map_err(unseen)?;
            assert_eq!(
                *log.get_or_insert(found),
                found,
                "node {at} has another log"
            );
            audit(world, at).map_err(unseen)?;
        }
        Ok(log.expect("there are nodes"))
    }

    async fn ask(
        &self,
        world: &World,
        at: usize,
        records: &[(RecordId, u64)],
        units: &[(UnitId, usize)],
    ) -> Result<(u64, Hash), String> {
        let size = records
            .iter()
            .map(|(_, index)| index + 1)
            .max()
            .unwrap_or(0);
        let failed = |what: &str, status: Status| format!("asked for {what}: {status}");
        let ledger = Ledger::connect(&world.address(at), None).await;
        let ledger = ledger.map_err(|error| error.to_string())?;
        let mut request = Request::new(wire::GetCheckpointRequest {});
        request.metadata_mut().insert(AT_LEAST, size.into());
        let note = ledger.log().get_checkpoint(request).await;
        let note = note.map_err(|status| failed("a checkpoint", status))?;
        let note = String::from_utf8(note.into_inner().checkpoint).unwrap();
        let found: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        let root = hash(&STANDARD.decode(note.lines().nth(2).unwrap()).unwrap());
        if let Some((before, root_before)) = self.log {
            let request = wire::GetConsistencyProofRequest {
                first_size: before,
                second_size: found,
            };
            let proof = ledger.log().get_consistency_proof(request).await;
            let proof = proof.map_err(|status| failed("a consistency proof", status))?;
            let proof: Vec<_> = proof
                .into_inner()
                .proof
                .iter()
                .map(|one| hash(one))
                .collect();
            let (first, second) = (TreeSize::new(before), TreeSize::new(found));
            let holds = verify_consistency(first, second, &proof, &root_before, &root);
            assert!(holds.is_ok(), "node {at} has another past: {holds:?}");
        }
        for (record, index) in records {
            let request = wire::GetInclusionProofRequest {
                leaf: Some(Leaf::RecordId(record.0.to_vec())),
                size: 0,
            };
            let proof = ledger.log().get_inclusion_proof(request).await;
            if let Err(status) = &proof {
                let code = status.code();
                assert_ne!(code, Code::NotFound, "{record} is lost at node {at}");
            }
            let proof = proof.map_err(|status| failed("a proof", status))?;
            assert_eq!(proof.into_inner().index, *index, "{record} at node {at}");
        }
        for (unit, length) in units {
            let request = wire::GetProvenanceRequest {
                unit: unit.to_string(),
                ..wire::GetProvenanceRequest::default()
            };
            let told = ledger.provenance().get_provenance(request).await;
            let told = told.map_err(|status| failed("a unit", status))?;
            let steps = told.into_inner().steps.len();
            assert_eq!(steps, (*length).min(PAGE), "{unit} at node {at}");
        }
        Ok((found, root))
    }
}

fn hash(bytes: &[u8]) -> Hash {
    Hash::try_from(bytes).expect("a hash")
}

/// Exit code of a command that was answered, with no.
const NO: i32 = 1;

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
        let why = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_ne!(
            output.status.code(),
            Some(NO),
            "the audit of node {at}: {why}"
        );
        return Err(why);
    }
    println!("node {at}: {}", said.lines().next().unwrap_or_default());
    Ok(())
}
