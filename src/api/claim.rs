//! `ClaimService`: consumers' reports, claims and reviews.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::listing::Sight;
use super::pages::list;
use super::{errors, token};
use crate::core::apply::state::{Claims, Funds, Read, Reports, SellerReviews};
use crate::core::credit::{Claim, Report};
use crate::core::id::PartyId;
use crate::core::record::Role;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::claim_service_server::ClaimService;
use crate::node::Node;

pub(super) struct ClaimDesk {
    node: Arc<Node>,
}

impl ClaimDesk {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl ClaimService for ClaimDesk {
    async fn get_claim(
        &self,
        request: Request<wire::GetClaimRequest>,
    ) -> Result<Response<wire::GetClaimResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let index = LogIndex(request.get_ref().log_index);
        let sight = Sight::new(&self.node, caller)?;
        let row = sight.view.get::<Claims>(&index).map_err(errors::store)?;
        let row = row.ok_or_else(|| errors::not_found(format!("entry {index} opens no claim")))?;
        let claim = Some(seen(&sight, &row)?);
        Ok(Response::new(wire::GetClaimResponse { claim }))
    }

    async fn list_claims(
        &self,
        request: Request<wire::ListClaimsRequest>,
    ) -> Result<Response<wire::ListClaimsResponse>, Status> {
        let roles = [Role::Fund, Role::Platform, Role::Regulator];
        let caller = token::check(request.metadata(), &self.node, &roles)?;
        let request = request.into_inner();
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            let show = |_: &[u8], row: Arc<Claim>| {
                let wanted = !request.open || row.decided.is_none();
                wanted.then(|| seen(&sight, &row)).transpose()
            };
            let (size, token) = (request.page_size, &request.page_token);
            let (claims, next_page_token) = list::<Claims, _>(&sight.view, &[], size, token, show)?;
            Ok(wire::ListClaimsResponse {
                claims,
                next_page_token,
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_reports(
        &self,
        request: Request<wire::ListReportsRequest>,
    ) -> Result<Response<wire::ListReportsResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let view = self.node.store().view();
        let show = |_: &[u8], row: Report| Ok(Some(report(&row)));
        let (size, token) = (request.page_size, &request.page_token);
        let (reports, next_page_token) = list::<Reports, _>(&view, &[], size, token, show)?;
        Ok(Response::new(wire::ListReportsResponse {
            reports,
            next_page_token,
        }))
    }

    async fn get_fund(
        &self,
        request: Request<wire::GetFundRequest>,
    ) -> Result<Response<wire::GetFundResponse>, Status> {
        let party: PartyId = request
            .get_ref()
            .party
            .parse()
            .map_err(errors::bad_id("party"))?;
        let row = self
            .node
            .store()
            .get::<Funds>(&party)
            .map_err(errors::store)?;
        let fund = row.ok_or_else(|| errors::not_found(format!("{party} has paid no claim")))?;
        Ok(Response::new(wire::GetFundResponse {
            claims_paid: fund.claims_paid,
            paid_fen: fund.paid_fen,
            recovered_fen: fund.recovered_fen,
        }))
    }

    async fn get_reviews(
        &self,
        request: Request<wire::GetReviewsRequest>,
    ) -> Result<Response<wire::GetReviewsResponse>, Status> {
        let seller = &request.get_ref().seller;
        let seller: PartyId = seller.parse().map_err(errors::bad_id("seller"))?;
        let row = self.node.store().get::<SellerReviews>(&seller);
        let reviews = row.map_err(errors::store)?.unwrap_or_default();
        Ok(Response::new(wire::GetReviewsResponse {
            verified: reviews.verified.to_vec(),
            unattested: reviews.unattested.to_vec(),
        }))
    }
}

/// A claim as the caller may see it: a natural person is named to nobody but itself and a regulator.
fn seen(sight: &Sight<'_>, row: &Claim) -> Result<wire::Claim, Status> {
    let mut claim = claim(row);
    let recourse = row.decided.as_ref().and_then(|decided| decided.recourse);
    for (party, text) in [
        (row.seller, &mut claim.seller),
        (recourse, &mut claim.recourse),
    ] {
        let hidden = match party {
            Some(party) => !sight.may_name(party)?,
            None => false,
        };
        if hidden {
            text.clear();
        }
    }
    Ok(claim)
}

/// A claim without its buyer's key: who it is, is nobody's business.
fn claim(row: &Claim) -> wire::Claim {
    let party = |party: Option<PartyId>| party.map(|party| party.to_string()).unwrap_or_default();
    let decided = row.decided.as_ref();
    wire::Claim {
        log_index: row.opened.index.0,
        unit: row.unit.to_string(),
        complaint: row.complaint.number(),
        amount_fen: row.amount_fen,
        opened_ms: row.opened.time.0,
        seller: party(row.seller),
        answer: decided
            .map_or(wire::Answer::Unspecified, |decided| {
                decided
                    .granted_fen
                    .map_or(wire::Answer::Refused, |_| wire::Answer::Granted)
            })
            .into(),
        granted_fen: decided.and_then(|d| d.granted_fen).unwrap_or(0),
        decided_by: party(decided.map(|d| d.by)),
        decided_ms: decided.map_or(0, |d| d.at.time.0),
        legal_basis: decided.map(|d| d.legal_basis.clone()).unwrap_or_default(),
        document: decided.map(|d| d.document.clone()).unwrap_or_default(),
        recourse: party(decided.and_then(|d| d.recourse)),
        broken_at: decided.and_then(|d| d.broken_at).map_or(0, |at| at.0),
        paid_by: party(row.paid.map(|(_, by)| by)),
        paid_ms: row.paid.map_or(0, |(at, _)| at.time.0),
        recovered_fen: row.recovered_fen,
        entries: row.log.iter().map(|index| index.0).collect(),
    }
}

fn report(row: &Report) -> wire::Report {
    let party = row.by.party().map(|party| party.to_string());
    wire::Report {
        log_index: row.made.index.0,
        unit: row.unit.to_string(),
        complaint: row.complaint.number(),
        party: party.unwrap_or_default(),
        time_ms: row.made.time.0,
    }
}
