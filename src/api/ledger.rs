//! `LedgerService`: submission.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::upload::{self, Results};
use super::{errors, read};
use crate::admit::Decoded;
use crate::core::apply::around_of;
use crate::core::apply::state::{Read, Units};
use crate::core::wire::ledger_service_server::LedgerService;
use crate::core::wire::{
    GetHeadsRequest, GetHeadsResponse, SubmitRequest, SubmitResponse, SubmitStreamRequest,
    UnitHead, UnitRef,
};
use crate::node::Node;

pub(super) struct Ledger {
    node: Arc<Node>,
}

impl Ledger {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl LedgerService for Ledger {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let decoded = Decoded::from_wire(request.into_inner().envelope);
        let answer = match decoded {
            Ok(decoded) => self.node.submit(decoded).await,
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(receipt) => Ok(Response::new(SubmitResponse {
                receipt: Some(receipt.into()),
            })),
            Err(refusal) => Err(errors::status(&refusal)),
        }
    }

    type SubmitStreamStream = Results;

    async fn submit_stream(
        &self,
        request: Request<Streaming<SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let (upload, results) = upload::open(&self.node);
        tokio::spawn(upload.read(request.into_inner()));
        Ok(Response::new(results))
    }

    async fn get_heads(
        &self,
        request: Request<GetHeadsRequest>,
    ) -> Result<Response<GetHeadsResponse>, Status> {
        let units = read::units(&request.into_inner().units)?;
        let view = self.node.store().view();
        view.prefetch::<Units>(&units).map_err(errors::store)?;
        let mut heads = Vec::with_capacity(units.len());
        for id in units {
            let unit = view
                .get::<Units>(&id)
                .map_err(errors::store)?
                .unwrap_or_default();
            let around = around_of(&view, &unit).map_err(errors::store)?;
            let prev = |head: Option<crate::core::envelope::RecordId>| {
                head.map(|head| head.0.to_vec()).unwrap_or_default()
            };
            heads.push(UnitHead {
                unit: id.to_string(),
                head: prev(unit.head),
                length: unit.length,
                containers: around
                    .iter()
                    .map(|(id, unit)| UnitRef {
                        id: id.to_string(),
                        prev: prev(unit.head),
                    })
                    .collect(),
            });
        }
        Ok(Response::new(GetHeadsResponse { heads }))
    }
}
