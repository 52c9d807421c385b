//! `LogService`: checkpoints, proofs and tiles for everyone; entries with a token.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{errors, read, regulator, token};
use crate::core::apply::state::Read;
use crate::core::envelope::RecordId;
use crate::core::record::{Millis, Role};
use crate::core::search::first_where;
use crate::core::tlog::proof::{ProveError, consistency_proof, inclusion_proof};
use crate::core::tlog::tile::{BundleId, TileId, encode_tile};
use crate::core::tlog::{Hash, LogIndex, TreeSize, leaf_hash};
use crate::core::wire;
use crate::core::wire::get_inclusion_proof_request::Leaf;
use crate::core::wire::log_service_server::LogService;
use crate::node::Node;
use crate::store::{Store, StoreError, entry_frame};

/// Entries of one streamed message.
const STREAM_PAGE: usize = 1000;

pub(super) struct Log {
    node: Arc<Node>,
}

impl Log {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }

    /// A tree size that a caller asks about: 0 is the current one.
    fn size(&self, asked: u64, field: &str) -> Result<u64, Status> {
        let current = self.node.head().borrow().size;
        match asked {
            0 => Ok(current),
            size if size <= current => Ok(size),
            size => Err(errors::invalid(
                field,
                format!("the log has {current} entries, not {size}"),
            )),
        }
    }
}

#[tonic::async_trait]
impl LogService for Log {
    async fn get_checkpoint(
        &self,
        _: Request<wire::GetCheckpointRequest>,
    ) -> Result<Response<wire::GetCheckpointResponse>, Status> {
        let head = *self.node.head().borrow();
        let checkpoint = super::checkpoint(&self.node, head).await?;
        Ok(Response::new(wire::GetCheckpointResponse { checkpoint }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<wire::GetInclusionProofRequest>,
    ) -> Result<Response<wire::GetInclusionProofResponse>, Status> {
        let request = request.into_inner();
        let size = self.size(request.size, "size")?;
        let index = match request.leaf {
            Some(Leaf::Index(index)) => index,
            Some(Leaf::RecordId(id)) => {
                let id = RecordId::from_slice(&id)
                    .ok_or_else(|| errors::invalid("record_id", "a record id has 32 bytes"))?;
                let index = self.node.store().entry_of(&id).map_err(errors::store)?;
                index
                    .ok_or_else(|| errors::not_found(format!("record {id} is not in the log")))?
                    .0
            }
            None => return Err(errors::invalid("leaf", "name an index or a record id")),
        };
        if index >= size {
            return Err(errors::invalid(
                "index",
                format!("a log of {size} entries has no such index"),
            ));
        }
        let store = self.node.store();
        let reader = read::tree(store, TreeSize::new(size));
        let proof =
            inclusion_proof(LogIndex(index), TreeSize::new(size), &reader).map_err(unproven)?;
        let entry = store.entry(LogIndex(index)).map_err(errors::store)?;
        let entry = entry.ok_or_else(|| errors::not_found("no such entry"))?;
        Ok(Response::new(wire::GetInclusionProofResponse {
            index,
            size,
            leaf_hash: leaf_hash(&entry).as_bytes().to_vec(),
            proof: hashes(&proof),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<wire::GetConsistencyProofRequest>,
    ) -> Result<Response<wire::GetConsistencyProofResponse>, Status> {
        let request = request.into_inner();
        let second = self.size(request.second_size, "second_size")?;
        if request.first_size == 0 || request.first_size > second {
            return Err(errors::invalid("first_size", format!("1 to {second}")));
        }
        let (first, second) = (TreeSize::new(request.first_size), TreeSize::new(second));
        let reader = read::tree(self.node.store(), second);
        let proof = consistency_proof(first, second, &reader).map_err(unproven)?;
        Ok(Response::new(wire::GetConsistencyProofResponse {
            first_size: first.get(),
            second_size: second.get(),
            proof: hashes(&proof),
        }))
    }

    async fn read_tile(
        &self,
        request: Request<wire::ReadTileRequest>,
    ) -> Result<Response<wire::ReadTileResponse>, Status> {
        let request = request.into_inner();
        let level = u8::try_from(request.level)
            .ok()
            .filter(|level| *level <= 7)
            .ok_or_else(|| errors::invalid("level", "0 to 7"))?;
        let width = match request.width {
            0 => 256,
            width @ 1..=256 => width,
            _ => return Err(errors::invalid("width", "1 to 256")),
        };
        let id = u16::try_from(width)
            .ok()
            .and_then(|width| TileId::new(level, request.index, width).ok());
        let id = id.ok_or_else(|| errors::invalid("index", "no such tile"))?;
        let hashes = tile(&self.node, id)?;
        Ok(Response::new(wire::ReadTileResponse { hashes }))
    }

    type StreamEntriesStream =
        Pin<Box<dyn Stream<Item = Result<wire::StreamEntriesResponse, Status>> + Send>>;

    async fn stream_entries(
        &self,
        request: Request<wire::StreamEntriesRequest>,
    ) -> Result<Response<Self::StreamEntriesStream>, Status> {
        let roles = [Role::Regulator, Role::Auditor];
        token::check(request.metadata(), &self.node, &roles)?;
        let request = request.into_inner();
        let end = self.size(request.end, "end")?;
        let (out, answers) = mpsc::channel(4);
        let node = Arc::clone(&self.node);
        let place = super::granted(self.node.stream_place())?;
        tokio::spawn(async move {
            let _place = place;
            let mut next = request.first;
            while next < end {
                let page = regulator::entries(&node, next, end, STREAM_PAGE).await;
                let response = page.map(|entries| {
                    next += entries.len() as u64;
                    wire::StreamEntriesResponse { entries }
                });
                let last = response
                    .as_ref()
                    .map_or(true, |page| page.entries.is_empty());
                if out
                    .send_timeout(response, super::STREAM_IDLE)
                    .await
                    .is_err()
                    || last
                {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// A tile that the log has, encoded.
pub(crate) fn tile(node: &Node, id: TileId) -> Result<Vec<u8>, Status> {
    // Nodes of a tile level stand for 256^level entries each.
    let entries_of_node = 256_u64.checked_pow(id.level().into());
    let size = node.head().borrow().size;
    let nodes = entries_of_node.map_or(0, |entries| size / entries);
    has(nodes, id.index(), id.width())?;
    let hashes = node.store().tile(id).map_err(errors::store)?;
    Ok(encode_tile(&hashes))
}

/// An entry bundle that the log has, encoded.
pub(crate) async fn entry_bundle(node: &Arc<Node>, id: BundleId) -> Result<Vec<u8>, Status> {
    has(node.head().borrow().size, id.index(), id.width())?;
    super::off_thread(node, move |node| {
        node.store().bundle(id).map_err(errors::store)
    })
    .await
}

/// Whether of so many nodes or entries there are those of a tile.
fn has(all: u64, index: u64, width: u16) -> Result<(), Status> {
    let end = index
        .checked_mul(256)
        .and_then(|first| first.checked_add(u64::from(width)));
    if end.is_none_or(|end| end > all) {
        return Err(errors::not_found("the log has no such tile yet"));
    }
    Ok(())
}

fn hashes(proof: &[Hash]) -> Vec<Vec<u8>> {
    proof.iter().map(|hash| hash.as_bytes().to_vec()).collect()
}

#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
fn unproven<E: std::fmt::Display>(error: ProveError<E>) -> Status {
    errors::store(StoreError::Corrupt(error.to_string()))
}

/// The first entry of a time or later, if there is one. Times of entries never run back.
pub(crate) async fn first_entry_since(
    node: &Arc<Node>,
    time: Millis,
) -> Result<Option<LogIndex>, Status> {
    super::off_thread(node, move |node| entry_since(node.store(), time)).await
}

/// The same, on the thread that asks.
pub(super) fn entry_since(store: &Store, time: Millis) -> Result<Option<LogIndex>, Status> {
    let size = store.head().map_err(errors::store)?.size;
    let found = first_where(0..size, |index| {
        let index = LogIndex(index);
        let bytes = store.entry(index)?;
        let bytes = bytes.ok_or_else(|| StoreError::no_entry(index))?;
        Ok::<_, StoreError>(entry_frame(index, bytes)?.time_ms >= time.0)
    });
    let found = found.map_err(errors::store)?;
    Ok((found < size).then_some(LogIndex(found)))
}
