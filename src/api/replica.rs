//! `ReplicaService`: the whole ledger, for other nodes and for backups.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{errors, token};
use crate::cluster::snapshot::{Linked, check_request};
use crate::core::wire;
use crate::core::wire::replica_service_server::ReplicaService;
use crate::node::Node;
use crate::sequence::now;

/// Snapshots that are read at once: each takes a disk's whole attention.
const AT_ONCE: usize = 2;
/// Parts of files on their way to a receiver.
const ON_THEIR_WAY: usize = 4;

pub(super) struct Replica {
    node: Arc<Node>,
    places: Arc<Semaphore>,
    number: AtomicU64,
}

impl Replica {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            number: AtomicU64::new(0),
        }
    }
}

#[tonic::async_trait]
impl ReplicaService for Replica {
    type FetchSnapshotStream =
        Pin<Box<dyn Stream<Item = Result<wire::FetchSnapshotResponse, Status>> + Send>>;

    async fn fetch_snapshot(
        &self,
        request: Request<wire::FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let key = self.node.log_verifier();
        check_request(&request.get_ref().note, &key, now())
            .map_err(|error| token::invalid(&error))?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = "as many snapshots as may be are being read; try again later";
            errors::overloaded(message)
        })?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let node = Arc::clone(&self.node);
        let (give, parts) = mpsc::channel(ON_THEIR_WAY);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let sent = Linked::of(node.store(), number)
                .and_then(|linked| linked.send(|part| give.blocking_send(Ok(part)).is_ok()));
            if let Err(error) = sent {
                // Whoever is gone needs no reason.
                let _ = give.blocking_send(Err(errors::store(error)));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
    }
}
