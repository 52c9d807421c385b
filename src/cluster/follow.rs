//! Follows what lies at the head of the order, and tells the driver.

use etcd_client::EventType;
use tokio::sync::{mpsc, watch};

use super::ClusterError;
use super::driver::PAUSE;
use super::etcd::{AtHead, Etcd};
use crate::commit::Synced;
use crate::core::order::GroupId;
use crate::core::wire;

/// News of the head of the order.
pub(super) enum News {
    /// It was there some time after this node had applied a group.
    Since(GroupId, Option<GroupId>),
    /// It came there at some time.
    Was(GroupId),
    /// Who was heard last.
    Turn(wire::OrderTurn),
    /// Whether a node waits for a turn.
    Waits(String, bool),
    /// All that wait.
    WaitAll(Vec<String>),
}

/// Follows the head of the order for as long as somebody listens.
pub(super) async fn follow(
    etcd: Etcd,
    synced: watch::Receiver<Synced>,
    last: GroupId,
    news: mpsc::Sender<News>,
) {
    while !news.is_closed() {
        let applied = synced.borrow().group.unwrap_or(last);
        if let Err(error) = follow_once(&etcd, applied, &news).await {
            tracing::warn!(%error, "the order can't be followed; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow_once(
    etcd: &Etcd,
    applied: GroupId,
    news: &mpsc::Sender<News>,
) -> Result<(), ClusterError> {
    let (at_head, revision) = etcd.head().await?;
    let (mut head, mut turn, mut waiting) = (None, None, Vec::new());
    for found in at_head {
        match found {
            AtHead::Head(found) => head = Some(found),
            AtHead::Turn(found) => turn = Some(found),
            AtHead::Waits(node, _) => waiting.push(node),
        }
    }
    let all = [News::Since(applied, head), News::WaitAll(waiting)].into_iter();
    for known in all.chain(turn.map(News::Turn)) {
        if news.send(known).await.is_err() {
            return Ok(());
        }
    }
    let mut watch = etcd.watch_head(revision + 1).await?;
    loop {
        let message = watch.message().await;
        let message = message.map_err(|error| ClusterError::Etcd(error.to_string()))?;
        let Some(message) = message else {
            return Ok(());
        };
        if message.canceled() {
            return Ok(()); // What it wanted to see is compacted away; the head is read anew.
        }
        for event in message.events() {
            let Some(kv) = event.kv() else {
                continue;
            };
            let put = event.event_type() == EventType::Put;
            let known = match etcd.at_head(kv, put)? {
                Some(AtHead::Head(head)) => News::Was(head),
                Some(AtHead::Turn(turn)) => News::Turn(turn),
                Some(AtHead::Waits(node, waits)) => News::Waits(node, waits),
                None => continue,
            };
            if news.send(known).await.is_err() {
                return Ok(());
            }
        }
    }
}
