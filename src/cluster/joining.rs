//! How a node joins that has nothing but the log's key: it takes the log from a node that lives.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use super::etcd::{Etcd, Situation};
use super::snapshot::{self, SnapshotError};
use super::{ClusterError, ClusterOptions, FIRST_ANSWER};
use crate::core::tlog::EMPTY_ROOT;
use crate::core::tlog::note::NoteSigner;
use crate::core::wire;
use crate::sequence::now;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// In so long, a node that lives says twice that it does.
const BEATS: Duration = Duration::from_millis(2_500);

/// Takes the log from another node into a folder that isn't there yet. While it does, groups are kept for it.
///
/// # Errors
/// [`ClusterError`] when no node gives one.
pub async fn join(
    options: &ClusterOptions,
    signer: &NoteSigner,
    store: &Path,
) -> Result<(), ClusterError> {
    let origin = signer.verifier().name().to_string();
    let since = Instant::now();
    loop {
        match attempt(options, signer, &origin, store).await {
            Err(error) if error.is_transient() && since.elapsed() < FIRST_ANSWER => {
                tracing::warn!(%error, "this node can't join yet; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn attempt(
    options: &ClusterOptions,
    signer: &NoteSigner,
    origin: &str,
    store: &Path,
) -> Result<(), ClusterError> {
    let etcd = Etcd::connect(&options.etcd, origin).await?;
    // Known first, copied then: so no group goes that follows the copy.
    let lease = etcd.lease(options.forget_seconds.into()).await?;
    let before = free_name(&etcd, &options.name).await?;
    let own = wire::ClusterMember {
        life: RandomState::new().hash_one(now().0),
        name: options.name.clone(),
        address: options.address.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        clock_ms: now().0,
        group: before.trimmed,
        root: EMPTY_ROOT.as_ref().to_vec(),
        ..wire::ClusterMember::default()
    };
    let situation = etcd.situation(Some((&own, lease))).await?;
    tokio::select! {
        fetched = fetch(options, signer, &situation, store) => fetched,
        error = stay(&etcd, own, lease) => Err(error),
    }
}

/// The situation, unless a node of this name lives: it would take the one that joins for its twin, and stop.
async fn free_name(etcd: &Etcd, name: &str) -> Result<Situation, ClusterError> {
    let said = |situation: &Situation| {
        let mut members = situation.members.iter();
        let own = members.find(|member| member.name == name);
        own.map(|own| (own.life, own.beat))
    };
    let before = etcd.situation(None).await?;
    let Some(last) = said(&before) else {
        return Ok(before);
    };
    // Of one that is gone, only what it said last is there.
    tokio::time::sleep(BEATS).await;
    let now = etcd.situation(None).await?;
    if said(&now).is_some_and(|now| now != last) {
        return Err(ClusterError::SameName(name.to_owned()));
    }
    Ok(now)
}

/// Says every second that this node is about to join, so that groups are kept for it.
async fn stay(etcd: &Etcd, mut own: wire::ClusterMember, lease: i64) -> ClusterError {
    let mut twins = 0;
    loop {
        tokio::time::sleep(PAUSE).await;
        own.beat += 1;
        own.clock_ms = now().0;
        let said = async {
            let lasts = etcd.prolong(lease).await?;
            let situation = etcd.situation(Some((&own, lease))).await?;
            Ok((lasts, situation.before))
        };
        match said.await {
            Ok((true, before)) => {
                let twin = before.is_some_and(|before| before.life != own.life);
                twins = if twin { twins + 1 } else { 0 };
                // Before the other one stops: once may be an old message.
                if twins == 2 {
                    return ClusterError::SameName(own.name);
                }
            }
            Ok((false, _)) => return ClusterError::Etcd("the lease has ended".into()),
            Err::<_, ClusterError>(error) => tracing::warn!(%error, "the lease is not prolonged"),
        }
    }
}

async fn fetch(
    options: &ClusterOptions,
    signer: &NoteSigner,
    situation: &Situation,
    store: &Path,
) -> Result<(), ClusterError> {
    let others = situation.members.iter();
    // One that joins itself has nothing to give yet.
    let mut others: Vec<_> = others
        .filter(|member| member.name != options.name && member.size > 0)
        .collect();
    others.sort_by_key(|member| std::cmp::Reverse((member.group, member.clock_ms)));
    let mut last = SnapshotError::Incomplete("no other node is known".into());
    for member in others {
        let (node, address) = (&member.name, &member.address);
        tracing::info!(node, address, "taking the log from another node");
        let ca = options.peer_ca.as_deref();
        if ca.is_some() && !address.starts_with("https://") {
            last = SnapshotError::Incomplete(format!("{address} is not https, and peer_ca is set"));
            continue; // Whoever can write to etcd must not lead a node anywhere else.
        }
        match snapshot::fetch(address, ca, signer, now(), store).await {
            Ok(head) => {
                tracing::info!(entries = head.size, "the log is here, and verified");
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(node, %error, "that node gives no log");
                last = error;
            }
        }
    }
    Err(ClusterError::NoPeer(Box::new(last)))
}
