//! `InspectionService`: plans of random inspections, the draw, and the results.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::listing::Sight;
use super::pages::{list, number_after, page_size};
use super::score::{self, Period};
use super::{errors, read, token};
use crate::core::apply::inspection_rate;
use crate::core::apply::state::{Inspections, Parties, Party, Plans, Read};
use crate::core::credit::CreditTier;
use crate::core::credit::calendar::month_of;
use crate::core::credit::inspection::{Drawn, Inspection, Plan, Seed, Ticket};
use crate::core::id::PartyId;
use crate::core::record::Role;
use crate::core::tlog::proof::root;
use crate::core::tlog::{LogIndex, TreeSize};
use crate::core::wire;
use crate::core::wire::inspection_service_server::InspectionService;
use crate::node::Node;
use crate::store::StoreError;

/// Most firms of one page of a draw: each has a score to be read.
const MAX_CANDIDATES: usize = 100;
/// Months that a tier is made of.
const MONTHS: u32 = 12;

pub(super) struct InspectionDesk {
    node: Arc<Node>,
}

impl InspectionDesk {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl InspectionService for InspectionDesk {
    async fn plan_inspections(
        &self,
        request: Request<wire::PlanInspectionsRequest>,
    ) -> Result<Response<wire::PlanInspectionsResponse>, Status> {
        let caller = token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            draw(node, &sight, &request)
        });
        answer.await.map(Response::new)
    }

    async fn list_inspection_plans(
        &self,
        request: Request<wire::ListInspectionPlansRequest>,
    ) -> Result<Response<wire::ListInspectionPlansResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let request = request.into_inner();
        let sight = Sight::new(&self.node, caller)?;
        let (plans, next_page_token) = list::<Plans, _>(
            &sight.view,
            &[],
            request.page_size,
            &request.page_token,
            |key, row| {
                let index = number_after(&[], key).map(LogIndex);
                Ok(index.map(|index| plan(&sight, index, &row)))
            },
        )?;
        Ok(Response::new(wire::ListInspectionPlansResponse {
            plans,
            next_page_token,
        }))
    }

    async fn list_inspections(
        &self,
        request: Request<wire::ListInspectionsRequest>,
    ) -> Result<Response<wire::ListInspectionsResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let request = request.into_inner();
        let sight = Sight::new(&self.node, caller)?;
        let index = LogIndex(request.plan);
        known_plan(&sight, index)?;
        let prefix = index.0.to_be_bytes();
        let (inspections, next_page_token) = list::<Inspections, _>(
            &sight.view,
            &prefix,
            request.page_size,
            &request.page_token,
            |key, row| {
                let party = read::party_after(&prefix, key)?;
                let regulator = is_regulator(&sight);
                let shown = regulator || row.result.is_some() && sight.knows(party)?;
                let mut inspection = inspection(party, &row);
                if !regulator {
                    // Its tier is between the firm and who may ask for its score.
                    inspection.party = Some(wire::DrawnParty {
                        party: party.to_string(),
                        ..wire::DrawnParty::default()
                    });
                }
                Ok(shown.then_some(inspection))
            },
        )?;
        Ok(Response::new(wire::ListInspectionsResponse {
            inspections,
            next_page_token,
        }))
    }
}

fn is_regulator(sight: &Sight<'_>) -> bool {
    let caller = sight.caller.as_ref();
    caller.is_some_and(|caller| caller.is(Role::Regulator))
}

fn known_plan(sight: &Sight<'_>, index: LogIndex) -> Result<Arc<Plan>, Status> {
    let row = sight.view.get::<Plans>(&index).map_err(errors::store)?;
    row.ok_or_else(|| errors::not_found(format!("entry {index} announces no inspections")))
}

fn draw(
    node: &Node,
    sight: &Sight<'_>,
    request: &wire::PlanInspectionsRequest,
) -> Result<wire::PlanInspectionsResponse, Status> {
    let index = LogIndex(request.plan);
    let plan = known_plan(sight, index)?;
    let secret: [u8; 32] = request
        .secret
        .as_slice()
        .try_into()
        .map_err(|_| errors::invalid("secret", "32 bytes"))?;
    if Seed::commitment(&secret) != plan.secret_commitment {
        return Err(errors::invalid(
            "secret",
            "the announcement committed to another one",
        ));
    }
    page_size(request.page_size, MAX_CANDIDATES, MAX_CANDIDATES)?;
    let size = TreeSize::new(index.0 + 1);
    let seed = root(size, &read::tree(node.store(), size));
    let seed = seed.map_err(|error| errors::store(StoreError::Corrupt(error.to_string())))?;
    let seed = Seed {
        root: *seed.as_bytes(),
        secret,
    };
    let (candidates, next_page_token) = list::<Parties, _>(
        &sight.view,
        &[],
        request.page_size,
        &request.page_token,
        |key, row| {
            if !plan.covers(&row, sight.now) {
                return Ok(None);
            }
            let party = read::party_after(&[], key)?;
            candidate(sight, (index, &plan), &seed, (party, &row)).map(Some)
        },
    )?;
    Ok(wire::PlanInspectionsResponse {
        seed: seed.root.to_vec(),
        candidates,
        next_page_token,
    })
}

fn candidate(
    sight: &Sight<'_>,
    (index, plan): (LogIndex, &Plan),
    seed: &Seed,
    (id, party): (PartyId, &Party),
) -> Result<wire::Candidate, Status> {
    let tier = if party.roles.contains(&Role::Courier) {
        // Whole months before the announcement. What is decided later about them still counts, so the draw
        // writes down the tier.
        let last = month_of(plan.announced.time).saturating_sub(1);
        let period = Period::ending(last, MONTHS);
        score::score(&sight.view, id, None, period)?.tier()
    } else {
        CreditTier::Unrated
    };
    let measured = inspection_rate(&sight.view, party, plan.announced).map_err(errors::store)?;
    let rate_per_mille = measured.unwrap_or(plan.rates.of(tier));
    let ticket = Ticket::of(seed, index, id);
    let inspector = ticket.inspector(&plan.inspectors);
    let inspector = inspector.ok_or_else(|| Status::internal("a plan without inspectors"))?;
    let drawn = Drawn {
        tier,
        rate_per_mille,
        inspector,
    };
    Ok(wire::Candidate {
        party: Some(drawn_party(id, &drawn)),
        drawn: ticket.is_drawn(rate_per_mille),
    })
}

fn drawn_party(party: PartyId, drawn: &Drawn) -> wire::DrawnParty {
    wire::DrawnParty {
        party: party.to_string(),
        tier: drawn.tier.number(),
        rate_per_mille: drawn.rate_per_mille,
        inspector: drawn.inspector.0.to_vec(),
    }
}

fn plan(sight: &Sight<'_>, index: LogIndex, row: &Plan) -> wire::InspectionPlan {
    let regulator = is_regulator(sight);
    let seed = row.draw.filter(|_| regulator || row.done == row.drawn);
    let part =
        |part: fn(Seed) -> [u8; 32]| seed.map_or_else(Vec::new, |(_, seed)| part(seed).to_vec());
    let [a, b, c, d, unrated] = row.rates.0;
    let rates = wire::InspectionRates {
        a,
        b,
        c,
        d,
        unrated,
    };
    wire::InspectionPlan {
        log_index: index.0,
        time_ms: row.announced.time.0,
        authority: row.authority.to_string(),
        document: row.document.clone(),
        legal_basis: row.legal_basis.clone(),
        role: row.role.number(),
        region: row.region.clone(),
        rates: Some(rates),
        drawn_at: row.draw.map_or(0, |(at, _)| at.index.0),
        seed: part(|seed| seed.root),
        secret: part(|seed| seed.secret),
        drawn: row.drawn,
        done: row.done,
        inspectors: row
            .inspectors
            .iter()
            .filter(|_| regulator)
            .map(|key| key.0.to_vec())
            .collect(),
        secret_commitment: row.secret_commitment.to_vec(),
    }
}

fn inspection(party: PartyId, row: &Inspection) -> wire::Inspection {
    let found = row.result.as_ref();
    wire::Inspection {
        party: Some(drawn_party(party, &row.drawn)),
        result: found.map_or(0, |found| found.result.number()),
        date: found.map_or(0, |found| found.date.number()),
        document: found.map_or_else(String::new, |found| found.document.clone()),
        log_index: found.map_or(0, |found| found.at.index.0),
    }
}
