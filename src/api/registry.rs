//! `RegistryService`: parties, keys and products, each with its approval.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::pages::list;
use super::{errors, token};
use crate::core::apply::state::{
    Actor, Key, KeyScope, KeyStatus, Keys, Parties, Party, PartyKeys, PartyStatus, Product,
    Products, Read,
};
use crate::core::id::PartyId;
use crate::core::record::{ProductScope, Role};
use crate::core::signature::KeyId;
use crate::core::wire;
use crate::core::wire::registry_service_server::RegistryService;
use crate::node::Node;

pub(super) struct Registry {
    node: Arc<Node>,
}

impl Registry {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl RegistryService for Registry {
    async fn get_party(
        &self,
        request: Request<wire::GetPartyRequest>,
    ) -> Result<Response<wire::GetPartyResponse>, Status> {
        let id: PartyId = request.get_ref().id.parse().map_err(errors::bad_id("id"))?;
        let row = self
            .node
            .store()
            .get::<Parties>(&id)
            .map_err(errors::store)?;
        let row = row.ok_or_else(|| errors::not_found(format!("{id} is not registered")))?;
        Ok(Response::new(wire::GetPartyResponse {
            party: Some(party(id, &row)),
        }))
    }

    async fn list_parties(
        &self,
        request: Request<wire::ListPartiesRequest>,
    ) -> Result<Response<wire::ListPartiesResponse>, Status> {
        let request = request.get_ref();
        let view = self.node.store().view();
        let show = |key: &[u8], row: Arc<Party>| {
            let id = PartyId::from_compact(key).ok();
            Ok(id.map(|id| party(id, &row)))
        };
        let (parties, next_page_token) =
            list::<Parties, _>(&view, &[], request.page_size, &request.page_token, show)?;
        Ok(Response::new(wire::ListPartiesResponse {
            parties,
            next_page_token,
        }))
    }

    async fn get_key(
        &self,
        request: Request<wire::GetKeyRequest>,
    ) -> Result<Response<wire::GetKeyResponse>, Status> {
        let bytes = &request.get_ref().id;
        let id = KeyId::from_slice(bytes)
            .ok_or_else(|| errors::invalid("id", "a key id has 16 bytes"))?;
        let view = self.node.store().view();
        let row = view.get::<Keys>(&id).map_err(errors::store)?;
        // A delegated key is an employee's: only a regulator may see whose it is.
        let hidden = row
            .as_ref()
            .is_some_and(|row| row.scope == KeyScope::Delegated)
            && token::check(request.metadata(), &self.node, &[Role::Regulator]).is_err();
        let row = row
            .filter(|_| !hidden)
            .ok_or_else(|| errors::not_found(format!("no public key {id} is registered")))?;
        Ok(Response::new(wire::GetKeyResponse {
            key: Some(key(id, &row)),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<wire::ListKeysRequest>,
    ) -> Result<Response<wire::ListKeysResponse>, Status> {
        let regulator = token::check(request.metadata(), &self.node, &[Role::Regulator]).is_ok();
        let request = request.get_ref();
        let owner: PartyId = request.party.parse().map_err(errors::bad_id("party"))?;
        let view = self.node.store().view();
        let prefix = owner.to_compact();
        let show = |bytes: &[u8], ()| {
            let Some(id) = bytes.get(prefix.len()..).and_then(KeyId::from_slice) else {
                return Ok(None);
            };
            let row = view.get::<Keys>(&id).map_err(errors::store)?;
            let row = row.filter(|row| row.scope != KeyScope::Delegated || regulator);
            Ok(row.map(|row| key(id, &row)))
        };
        let (keys, next_page_token) =
            list::<PartyKeys, _>(&view, &prefix, request.page_size, &request.page_token, show)?;
        Ok(Response::new(wire::ListKeysResponse {
            keys,
            next_page_token,
        }))
    }

    async fn get_product(
        &self,
        request: Request<wire::GetProductRequest>,
    ) -> Result<Response<wire::GetProductResponse>, Status> {
        let scope = ProductScope::from_wire(request.into_inner().scope)
            .map_err(|refusal| errors::status(&refusal))?;
        let row = self
            .node
            .store()
            .get::<Products>(&scope)
            .map_err(errors::store)?;
        let row = row.ok_or_else(|| errors::not_found(format!("nobody claims {scope}")))?;
        let product = products(scope, &row).into_iter().next();
        Ok(Response::new(wire::GetProductResponse { product }))
    }

    async fn list_products(
        &self,
        request: Request<wire::ListProductsRequest>,
    ) -> Result<Response<wire::ListProductsResponse>, Status> {
        let request = request.get_ref();
        let view = self.node.store().view();
        let show = |bytes: &[u8], row: Product| {
            let scope = Products::scope_of(bytes);
            Ok(scope.map(|scope| products(scope, &row)))
        };
        let (claims, next_page_token) =
            list::<Products, _>(&view, &[], request.page_size, &request.page_token, show)?;
        let products = claims.into_iter().flatten().collect();
        Ok(Response::new(wire::ListProductsResponse {
            products,
            next_page_token,
        }))
    }
}

fn party(id: PartyId, row: &Party) -> wire::Party {
    wire::Party {
        id: id.to_string(),
        name: row.name.clone(),
        roles: row.roles.iter().map(|role| role.number()).collect(),
        region: row.region.clone(),
        city: row.city.clone(),
        status: match row.status {
            PartyStatus::Pending => wire::PartyStatus::Pending,
            PartyStatus::Active if row.has_lapsed(crate::sequence::now()) => {
                wire::PartyStatus::Lapsed
            }
            PartyStatus::Active => wire::PartyStatus::Active,
            PartyStatus::Suspended => wire::PartyStatus::Suspended,
        }
        .into(),
        registered_at: row.log.first().map_or(0, |index| index.0),
        approved_at: row.approved_at.map_or(0, |index| index.0),
        valid_until_ms: row.valid_until.map_or(0, |time| time.0),
    }
}

fn key(id: KeyId, row: &Key) -> wire::Key {
    wire::Key {
        id: id.0.to_vec(),
        suite: row.public.suite().number(),
        public_key: row.public.as_bytes().to_vec(),
        party: match row.owner {
            Actor::Party(party) => party.to_string(),
            Actor::Buyer(_) => String::new(),
        },
        delegated: row.scope == KeyScope::Delegated,
        valid_from_ms: row.valid_from.0,
        valid_until_ms: row.valid_until.map_or(0, |time| time.0),
        status: match row.status {
            KeyStatus::Active => wire::KeyStatus::Active,
            KeyStatus::Rotated(_) => wire::KeyStatus::Rotated,
            KeyStatus::Revoked(_) => wire::KeyStatus::Revoked,
            KeyStatus::Compromised(_) => wire::KeyStatus::Compromised,
        }
        .into(),
        registered_at: row.registered_at.0,
        ended_at: row.ended_at.map_or(0, |index| index.0),
    }
}

/// The claims to one scope; the approved one first.
fn products(scope: ProductScope, row: &Product) -> Vec<wire::Product> {
    let approved = |party| {
        row.owner
            .filter(|owner| owner.party == party)
            .map_or(0, |owner| owner.approved_at.0)
    };
    let mut claims: Vec<wire::Product> = row
        .claims
        .iter()
        .map(|claim| wire::Product {
            scope: Some(scope.to_wire()),
            name: claim.name.clone(),
            party: claim.party.to_string(),
            claimed_at: claim.claimed_at.0,
            approved_at: approved(claim.party),
        })
        .collect();
    claims.sort_by_key(|claim| claim.approved_at == 0);
    claims
}
