//! Once a second: a node says how far it is, hears the others, sees whether all agree, and deletes what nobody
//! needs any more.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::etcd::{Etcd, Signed, Situation, decode_root};
use super::follow::News;
use super::members::{Compare, Fill, Members, View, Votes};
use super::memory::Memory;
use super::signing::lies_on;
use super::{Clock, ClusterError, ClusterOptions, Shared};
use crate::commit::Synced;
use crate::core::order::GroupId;
use crate::core::wire;
use crate::sequence::now;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(1);
/// So many beats in a row at which the clock seems to be off: then it is.
const OFF: u32 = 3;
/// So many beats in a row under one name by two: then it is no old message.
const TWINS: u32 = 3;
/// Etcd's file is looked at, and its history is forgotten up to where it was the time before, after so many beats. Under
/// load that is what the file grows to, since what was deleted is still in the history.
const COMPACT_BEATS: u64 = 5;

pub(super) struct Beat {
    shared: Arc<Shared>,
    store: Arc<Store>,
    etcd: Etcd,
    memory: Arc<Memory>,
    synced: watch::Receiver<Synced>,
    /// Where this node was when it started.
    last: GroupId,
    news: mpsc::Sender<News>,
    address: String,
    lease_seconds: i64,
    lease: Option<i64>,
    members: Members,
    beat: u64,
    life: u64,
    /// Beats in a row before which somebody else spoke under this node's name.
    twins: u32,
    /// Beats in a row at which its clock seemed to be off.
    off: u32,
    /// The revision some time ago.
    compact_to: i64,
    fill: Fill,
}

impl Beat {
    pub(super) fn new(
        options: &ClusterOptions,
        shared: &Arc<Shared>,
        store: &Arc<Store>,
        (etcd, memory): (&Etcd, &Arc<Memory>),
        (synced, last): (watch::Receiver<Synced>, GroupId),
        news: mpsc::Sender<News>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            store: Arc::clone(store),
            etcd: etcd.clone(),
            memory: Arc::clone(memory),
            synced,
            last,
            news,
            address: options.address.clone(),
            lease_seconds: options.forget_seconds.into(),
            lease: None,
            members: Members::default(),
            beat: 0,
            life: RandomState::new().hash_one(now().0),
            twins: 0,
            off: 0,
            compact_to: 0,
            fill: Fill::Roomy,
        }
    }

    /// Beats until the node has to stop.
    pub(super) async fn run(mut self) -> ClusterError {
        let mut beats = tokio::time::interval(EVERY);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            match self.once().await {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "no news of the other nodes");
                    metrics::gauge!("custody_cluster_etcd_leader").set(0);
                    self.lease = None;
                }
                Err(error) => return error,
            }
        }
    }

    async fn once(&mut self) -> Result<(), ClusterError> {
        let lease = self.lease().await?;
        let here = *self.synced.borrow();
        let applied = here.group.unwrap_or(self.last);
        let group = applied.number;
        self.beat += 1;
        let clock_ms = now().0;
        let own = wire::ClusterMember {
            name: self.shared.name.clone(),
            address: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            clock_ms,
            group,
            size: here.head.size,
            root: here.head.root.as_ref().to_vec(),
            beat: self.beat,
            life: self.life,
        };
        let situation = self.etcd.situation(Some((&own, lease))).await?;
        // It was answered by a leader that a quorum follows.
        metrics::gauge!("custody_cluster_etcd_leader").set(1);
        metrics::gauge!("custody_cluster_etcd_term").set(situation.term as f64);
        if let Some(why) = situation.halted {
            return Err(ClusterError::Halted(why));
        }
        let epoch = self.memory.get().epoch;
        if situation.base.is_some_and(|base| base.epoch != epoch) {
            return Err(ClusterError::BegunAgain);
        }
        self.memory.saw(situation.revision)?;
        self.alone(situation.before.as_ref())?;
        // The driver is gone only when the node stops.
        let news = News::Since(applied, situation.head);
        let _ = self.news.send(news).await;
        let at = Instant::now();
        let Situation {
            members,
            signed,
            trimmed,
            revision,
            head,
            ..
        } = situation;
        self.members.hear(members, at);
        self.agree(at, (group, here.head.size), signed)?;
        let view = self.members.view(&self.shared.name, group, at, now().0);
        self.say(&view, head.map_or(0, |head| head.number), trimmed);
        if self.beat.is_multiple_of(COMPACT_BEATS) {
            self.measure().await;
        }
        // One node tidies; if there are two for a moment, the second one's write fails. One that is about to join
        // can't.
        let mut others = self.members.others(&self.shared.name, at).into_iter();
        if !others.any(|other| other.size > 0 && other.name < self.shared.name) {
            self.tidy(&view, trimmed, revision).await;
        }
        Ok(())
    }

    /// Whether nobody else speaks under this node's name. Once proves nothing: a message of the process before may
    /// have been on its way for long.
    fn alone(&mut self, before: Option<&wire::ClusterMember>) -> Result<(), ClusterError> {
        let other = self.beat > 1 && before.is_some_and(|before| before.life != self.life);
        self.twins = if other { self.twins + 1 } else { 0 };
        if self.twins < TWINS {
            return Ok(());
        }
        Err(ClusterError::SameName(self.shared.name.clone()))
    }

    async fn lease(&mut self) -> Result<i64, ClusterError> {
        if let Some(lease) = self.lease
            && self.etcd.prolong(lease).await?
        {
            return Ok(lease);
        }
        let lease = self.etcd.lease(self.lease_seconds).await?;
        self.lease = Some(lease);
        Ok(lease)
    }

    /// Compares roots with the other nodes, and with what was signed last.
    fn agree(
        &self,
        at: Instant,
        (group, size): (u64, u64),
        signed: Option<Signed>,
    ) -> Result<(), ClusterError> {
        if let Some(Signed { head, .. }) = signed
            && head.size <= size
        {
            lies_on(&self.store, &head)?;
        }
        let mut votes = Votes::default();
        let mut differs = None;
        for member in self.members.others(&self.shared.name, at) {
            let agrees = match member.compare(group, size) {
                Compare::Later => continue, // They look, or this node does when it is there.
                Compare::Differs => false,
                Compare::Root => self.store.root_at(member.size)? == decode_root(&member.root)?,
            };
            if agrees {
                votes.agree += 1;
            } else {
                votes.differ += 1;
                differs = Some(member);
            }
        }
        metrics::gauge!("custody_cluster_diverged_nodes").set(votes.differ as f64);
        let Some(differs) = differs else {
            return Ok(());
        };
        if votes.lost() {
            return Err(ClusterError::Diverged {
                size: differs.size,
                other: format!("that of node {}", differs.name),
            });
        }
        let (size, node) = (differs.size, &differs.name);
        tracing::error!(
            size,
            node,
            "a node has another root than this one and others"
        );
        Ok(())
    }

    fn say(&mut self, view: &View, head: u64, trimmed: u64) {
        let ahead_ms = self.compare_clock(view);
        let number = |value: u64| value as f64;
        metrics::gauge!("custody_cluster_alive_nodes").set(view.alive as f64);
        metrics::gauge!("custody_cluster_clock_ahead_seconds").set(ahead_ms as f64 / 1e3);
        metrics::gauge!("custody_cluster_kept_groups").set(number(head.saturating_sub(trimmed)));
        let lag = head.saturating_sub(view.slowest);
        metrics::gauge!("custody_cluster_slowest_behind_groups").set(number(lag));
    }

    /// Whether this node's clock may give times. It strays when it did for some beats in a row: after etcd was away,
    /// what the others said last is old, and looks as if this node were ahead. Gives by how much it is ahead.
    fn compare_clock(&mut self, view: &View) -> i64 {
        let clock = *self.shared.clock();
        let strayed = matches!(clock, Clock::Strays);
        // Whoever set its clock is the one that is wrong, as long as the other differs.
        let of_two = (strayed || clock.was_set(now())) && view.two_differ();
        let ahead_ms = if of_two {
            view.of_two_ms
        } else {
            view.ahead_ms
        };
        self.off = if view.strays() || of_two {
            self.off + 1
        } else {
            0
        };
        match self.off {
            0 => {
                if strayed {
                    tracing::info!(ahead_ms, "this node's clock is with the others' again");
                }
                *self.shared.clock() = Clock::Good(now(), Instant::now());
            }
            OFF.. if !strayed => {
                tracing::error!(
                    ahead_ms,
                    "this node's clock strays from the others': it proposes nothing"
                );
                *self.shared.clock() = Clock::Strays;
            }
            _ => {}
        }
        ahead_ms
    }

    /// Looks how much etcd holds. A user of etcd may not be let: then it is compacted all the same.
    async fn measure(&mut self) {
        match self.etcd.size().await {
            Ok(size) => {
                metrics::gauge!("custody_cluster_etcd_bytes").set(size.file as f64);
                metrics::gauge!("custody_cluster_etcd_used_bytes").set(size.used as f64);
                self.fill = Fill::of(size.used);
                if self.shared.set_etcd_full(self.fill == Fill::Full) {
                    let used = size.used;
                    tracing::error!(used, "etcd is nearly full: this node proposes nothing");
                }
            }
            Err(error) => tracing::warn!(%error, "etcd doesn't say how much it holds"),
        }
    }

    /// Deletes groups that every node has on its disk, and etcd's history of what was deleted. What fails is tried
    /// again at a later beat, and is no reason to take this node for cut off.
    async fn tidy(&mut self, view: &View, trimmed: u64, revision: i64) {
        let up_to = match self.fill {
            Fill::Roomy => view.slowest,
            Fill::Much | Fill::Full => view.slowest_of_most,
        };
        if up_to > trimmed {
            match self.etcd.trim(trimmed, up_to).await {
                Ok(true) if up_to - trimmed > 1_000 => {
                    let groups = up_to - trimmed;
                    tracing::info!(groups, "groups that are needed no more are deleted");
                }
                Ok(true) => {}
                Ok(false) => tracing::warn!(trimmed, "another node deletes groups as well"),
                Err(error) => tracing::warn!(%error, up_to, "groups are not deleted"),
            }
        }
        if !self.beat.is_multiple_of(COMPACT_BEATS) {
            return;
        }
        // Taken first: what was compacted by somebody else since is refused, and would be again.
        let to = std::mem::replace(&mut self.compact_to, revision);
        if to > 0
            && let Err(error) = self.etcd.compact(to).await
        {
            tracing::warn!(%error, to, "etcd's history is not compacted");
        }
    }
}
