//! `MeasureService`: what listings lead to, and who acted on it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::listing::Sight;
use super::pages::list;
use super::{errors, read, token};
use crate::core::apply::measures_of;
use crate::core::apply::state::{Listings, MeasureReports, Measures, Parties, Read};
use crate::core::credit::Listing;
use crate::core::credit::admission::MAX_VALIDITY_MS;
use crate::core::credit::measure::Measure;
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::measure_service_server::MeasureService;
use crate::node::Node;

/// Who may ask about everybody.
const ROLES: [Role; 4] = [Role::Platform, Role::Bank, Role::Fund, Role::Regulator];

pub(super) struct MeasureDesk {
    node: Arc<Node>,
}

impl MeasureDesk {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }

    /// What a caller sees; the token is checked.
    fn sight<T>(&self, request: &Request<T>) -> Result<Sight<'_>, Status> {
        let caller = token::authenticated(request.metadata(), &self.node)?;
        Sight::new(&self.node, Some(caller))
    }
}

impl Sight<'_> {
    /// Whether the caller may know what is to be done about a party.
    pub(super) fn sees_measures_of(&self, party: PartyId) -> bool {
        let caller = self.caller.as_ref();
        caller.is_some_and(|caller| {
            caller.party == party || ROLES.iter().any(|role| caller.is(*role))
        })
    }

    fn may_see_measures_of(&self, party: PartyId) -> Result<(), Status> {
        if self.sees_measures_of(party) {
            return Ok(());
        }
        Err(token::role_missing(
            "measures of others are for platforms, banks, funds and regulators",
        ))
    }

    /// A measure, if the caller may see it.
    pub(super) fn measure(&self, index: LogIndex) -> Result<Option<wire::Measure>, Status> {
        let row = self.view.get::<Measures>(&index).map_err(errors::store)?;
        let Some(row) = row.filter(|row| self.sees_measures_of(row.subject)) else {
            return Ok(None);
        };
        let listing = self.view.get::<Listings>(&row.listing);
        let listing = listing.map_err(errors::store)?;
        let Some(listing) = listing else {
            return Ok(None);
        };
        // A measure in force is there to be acted on; else it is as public as its listing.
        let caller = self.caller.as_ref();
        let attached = caller.is_some_and(|caller| caller.party == row.authority);
        let seen = attached || row.applies(&listing, self.now) || self.sees(&listing)?;
        Ok(seen.then(|| measure(index, &row, &listing, self.now)))
    }
}

#[tonic::async_trait]
impl MeasureService for MeasureDesk {
    async fn get_measures(
        &self,
        request: Request<wire::GetMeasuresRequest>,
    ) -> Result<Response<wire::GetMeasuresResponse>, Status> {
        let caller = token::authenticated(request.metadata(), &self.node)?;
        let parties = read::parties(&request.get_ref().parties)?;
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            in_force(&sight, parties)
        });
        answer.await.map(Response::new)
    }

    async fn get_measure(
        &self,
        request: Request<wire::GetMeasureRequest>,
    ) -> Result<Response<wire::GetMeasureResponse>, Status> {
        let sight = self.sight(&request)?;
        let index = LogIndex(request.get_ref().log_index);
        let measure = sight.measure(index)?;
        let measure = measure.ok_or_else(|| no_measure(index))?;
        Ok(Response::new(wire::GetMeasureResponse {
            measure: Some(measure),
        }))
    }

    async fn list_measure_reports(
        &self,
        request: Request<wire::ListMeasureReportsRequest>,
    ) -> Result<Response<wire::ListMeasureReportsResponse>, Status> {
        let sight = self.sight(&request)?;
        let request = request.get_ref();
        let index = LogIndex(request.log_index);
        sight.measure(index)?.ok_or_else(|| no_measure(index))?;
        let prefix = index.0.to_be_bytes();
        let (reports, next_page_token) = list::<MeasureReports, _>(
            &sight.view,
            &prefix,
            request.page_size,
            &request.page_token,
            |key, row| {
                let party = read::party_after(&prefix, key)?;
                Ok(Some(wire::MeasureReport {
                    log_index: row.at.index.0,
                    time_ms: row.at.time.0,
                    party: party.to_string(),
                    action: row.action.number(),
                }))
            },
        )?;
        Ok(Response::new(wire::ListMeasureReportsResponse {
            reports,
            next_page_token,
        }))
    }
}

/// What is to be done about parties now.
fn in_force(sight: &Sight<'_>, parties: Vec<PartyId>) -> Result<wire::GetMeasuresResponse, Status> {
    let mut until = sight.now.plus(MAX_VALIDITY_MS);
    let mut measures = Vec::new();
    for party in parties {
        sight.may_see_measures_of(party)?;
        let row = sight.view.get::<Parties>(&party).map_err(errors::store)?;
        let Some(row) = row else { continue };
        for attached in measures_of(&sight.view, &row).map_err(errors::store)? {
            let (row, listing) = (&attached.measure, &attached.listing);
            until = until.min(row.changes_at(listing, sight.now).unwrap_or(until));
            if attached.applies(sight.now) {
                measures.push(measure(attached.index, row, listing, sight.now));
            }
        }
    }
    Ok(wire::GetMeasuresResponse {
        measures,
        until_ms: until.0,
    })
}

fn no_measure(index: LogIndex) -> Status {
    errors::not_found(format!(
        "entry {index} attaches no measure that this caller may see"
    ))
}

fn measure(index: LogIndex, row: &Measure, listing: &Listing, now: Millis) -> wire::Measure {
    let (from, until) = row.term(listing).unwrap_or((Millis(0), Millis(0)));
    wire::Measure {
        log_index: index.0,
        listing: row.listing.0,
        subject: row.subject.to_string(),
        kind: row.kind.number(),
        rate_per_mille: row.rate_per_mille,
        authority: row.authority.to_string(),
        legal_basis: row.legal_basis.clone(),
        document: row.document.clone(),
        from_ms: from.0,
        until_ms: until.0,
        in_force: row.applies(listing, now),
        ended_ms: row.ended.map_or(0, |at| at.time.0),
    }
}
