//! `ListingService`: the red and the black list, and admission by them.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::pages::list;
use super::token::{self, Caller};
use super::{errors, read};
use crate::core::apply::state::{FileAccess, Listings, Parties, PartyStatus, Read, Tallies};
use crate::core::credit::admission::{Admission, Admissions, Facts, MAX_VALIDITY_MS};
use crate::core::credit::{CreditSeverity, Ending, ListKind, Listing, Phase, Request as Asked};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::listing_service_server::ListingService;
use crate::node::Node;
use crate::sequence;
use crate::store::View;

pub(super) struct Lists {
    node: Arc<Node>,
}

impl Lists {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

/// What a caller sees of credit files and lists, at one moment.
pub(super) struct Sight<'a> {
    pub view: View<'a>,
    pub caller: Option<Caller>,
    /// The later one of the ledger's time and the clock: a list that nobody touches goes on ending.
    pub now: Millis,
}

impl<'a> Sight<'a> {
    pub(super) fn new(node: &'a Node, caller: Option<Caller>) -> Result<Self, Status> {
        let view = node.store().view();
        let tally = view.get::<Tallies>(&()).map_err(errors::store)?;
        let last = tally.unwrap_or_default().last_time;
        Ok(Self {
            view,
            caller,
            now: sequence::now().max(last),
        })
    }

    /// Whether nothing in the party's file is hidden from the caller: its own, or one that a regulator
    /// opened.
    pub(super) fn sees_all_of(&self, party: PartyId) -> Result<bool, Status> {
        match &self.caller {
            Some(caller) if caller.party == party => Ok(true),
            Some(caller) if caller.is(Role::Regulator) => self.has_open(caller.party, party),
            _ => Ok(false),
        }
    }

    fn has_open(&self, regulator: PartyId, party: PartyId) -> Result<bool, Status> {
        let until = self.view.get::<FileAccess>(&(regulator, party));
        let until = until.map_err(errors::store)?;
        Ok(until.is_some_and(|until| self.now < until))
    }

    /// Whether the caller may be told who a party is, in somebody else's matter: a natural person is named
    /// to itself and to regulators.
    pub(super) fn may_name(&self, party: PartyId) -> Result<bool, Status> {
        let caller = self.caller.as_ref();
        if caller.is_some_and(|caller| caller.party == party || caller.is(Role::Regulator)) {
            return Ok(true);
        }
        let row = self.view.get::<Parties>(&party).map_err(errors::store)?;
        Ok(row.is_some_and(|row| row.is_public()))
    }

    /// Whether the caller may read the party's file: a regulator says first why.
    pub(super) fn needs_open_file(&self, party: PartyId) -> Result<(), Status> {
        let Some(caller) = &self.caller else {
            return Ok(());
        };
        let regulates = caller.party != party && caller.is(Role::Regulator);
        if regulates && !self.has_open(caller.party, party)? {
            return Err(token::file_shut(party));
        }
        Ok(())
    }

    /// Whether to the caller the party has a credit file: a natural person has none in public.
    pub(super) fn knows(&self, party: PartyId) -> Result<bool, Status> {
        let row = self.view.get::<Parties>(&party).map_err(errors::store)?;
        match row {
            Some(row) if row.is_public() => Ok(true),
            Some(_) => self.sees_all_of(party),
            None => Ok(false),
        }
    }

    /// What is public, what is in the caller's own hands, and what is in a file that it may read.
    pub(super) fn sees(&self, listing: &Listing) -> Result<bool, Status> {
        let caller = self.caller.as_ref();
        let in_hand = caller
            .is_some_and(|caller| caller.is(Role::Regulator) && caller.party == listing.authority);
        if listing.is_public(self.now) || in_hand {
            return Ok(true);
        }
        self.sees_all_of(listing.subject)
    }

    /// A listing as it stands now.
    pub(super) fn listing(&self, row: &Listing) -> Result<wire::Listing, Status> {
        let ms = |time: Option<Millis>| time.map_or(0, |time| time.0);
        let stamp = |stamp: Option<crate::core::credit::Stamp>| ms(stamp.map(|at| at.time));
        let decided = row.decided.as_ref();
        let term = row.term;
        Ok(wire::Listing {
            log_index: row.proposed.index.0,
            list: row.list.number(),
            subject: row.subject.to_string(),
            subject_name: read::party_name(&self.view, row.subject)?,
            severity: row.severity.map_or(0, CreditSeverity::number),
            authority: row.authority.to_string(),
            reason: row.reason.clone(),
            legal_basis: decided.map_or(&row.legal_basis, |d| &d.legal_basis).clone(),
            document: decided.map_or(&row.document, |d| &d.document).clone(),
            phase: phase(row.phase(self.now)).into(),
            proposed_ms: row.proposed.time.0,
            notified_ms: stamp(row.notified),
            statement_until_ms: ms(row.statement_until()),
            statement_ms: stamp(row.statement),
            decided_ms: stamp(decided.map(|d| d.at)),
            published_ms: stamp(row.published),
            from_ms: ms(term.map(|term| term.from)),
            until_ms: ms(term.map(|term| term.until)),
            objection_until_ms: ms(term.map(|term| term.objection_until)),
            repair_from_ms: match row.list {
                ListKind::Black => ms(term.map(|term| term.repair_from)),
                ListKind::Red => 0,
            },
            objection: row.objection.as_ref().map(asked),
            repair: row.repair.as_ref().map(asked),
            ended_ms: stamp(row.ended.map(|(at, _)| at)),
            evidence: row.evidence.iter().map(|index| index.0).collect(),
            entries: row.log.iter().map(|index| index.0).collect(),
        })
    }
}

pub(super) fn asked(request: &Asked) -> wire::ListingRequest {
    let answer = request.answered;
    wire::ListingRequest {
        log_index: request.made.index.0,
        made_ms: request.made.time.0,
        answer_until_ms: request.answer_until.0,
        answered_ms: answer.map_or(0, |(at, _)| at.time.0),
        answer: match answer {
            None => wire::Answer::Unspecified,
            Some((_, true)) => wire::Answer::Granted,
            Some((_, false)) => wire::Answer::Refused,
        }
        .into(),
    }
}

const fn phase(phase: Phase) -> wire::ListingPhase {
    match phase {
        Phase::Proposed => wire::ListingPhase::Proposed,
        Phase::Notified => wire::ListingPhase::Notified,
        Phase::Decided => wire::ListingPhase::Decided,
        Phase::InForce => wire::ListingPhase::InForce,
        Phase::Ended(Ending::Dropped) => wire::ListingPhase::Dropped,
        Phase::Ended(Ending::Expired) => wire::ListingPhase::Expired,
        Phase::Ended(Ending::Annulled) => wire::ListingPhase::Annulled,
        Phase::Ended(Ending::Repaired) => wire::ListingPhase::Repaired,
        Phase::Ended(Ending::Withdrawn) => wire::ListingPhase::Withdrawn,
    }
}

#[tonic::async_trait]
impl ListingService for Lists {
    async fn list_listings(
        &self,
        request: Request<wire::ListListingsRequest>,
    ) -> Result<Response<wire::ListListingsResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let request = request.into_inner();
        let subject: Option<PartyId> = match request.subject.as_str() {
            "" => None,
            subject => Some(subject.parse().map_err(errors::bad_id("subject"))?),
        };
        let kind = ListKind::from_number(request.list);
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, caller)?;
            let show = |_: &[u8], row: Arc<Listing>| {
                let wanted = kind.is_none_or(|kind| kind == row.list)
                    && subject.is_none_or(|subject| subject == row.subject)
                    && sight.sees(&row)?;
                wanted.then(|| sight.listing(&row)).transpose()
            };
            let (size, token) = (request.page_size, &request.page_token);
            let (listings, next_page_token) =
                list::<Listings, _>(&sight.view, &[], size, token, show)?;
            Ok(wire::ListListingsResponse {
                listings,
                next_page_token,
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_listing(
        &self,
        request: Request<wire::GetListingRequest>,
    ) -> Result<Response<wire::GetListingResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let index = LogIndex(request.get_ref().log_index);
        let sight = Sight::new(&self.node, caller)?;
        let row = sight.view.get::<Listings>(&index).map_err(errors::store)?;
        let row = match row {
            Some(row) if sight.sees(&row)? => row,
            _ => return Err(errors::not_found(format!("no public listing {index}"))),
        };
        Ok(Response::new(wire::GetListingResponse {
            listing: Some(sight.listing(&row)?),
        }))
    }

    async fn check_parties(
        &self,
        request: Request<wire::CheckPartiesRequest>,
    ) -> Result<Response<wire::CheckPartiesResponse>, Status> {
        let roles = [Role::Platform, Role::Regulator];
        token::check(request.metadata(), &self.node, &roles)?;
        let parties = read::parties(&request.get_ref().parties)?;
        let sight = Sight::new(&self.node, None)?;
        let answer = admissions(&self.node, &sight, parties)?;
        let note = self
            .node
            .sign(&answer.to_text())
            .map_err(Status::internal)?;
        Ok(Response::new(wire::CheckPartiesResponse { note }))
    }
}

fn admissions(node: &Node, sight: &Sight<'_>, parties: Vec<PartyId>) -> Result<Admissions, Status> {
    sight
        .view
        .prefetch::<Parties>(&parties)
        .map_err(errors::store)?;
    let now = sight.now;
    let mut until = now.plus(MAX_VALIDITY_MS);
    let mut answers = Vec::with_capacity(parties.len());
    for id in parties {
        let row = sight.view.get::<Parties>(&id).map_err(errors::store)?;
        let Some(row) = row else {
            answers.push((id, Admission::Unknown));
            continue;
        };
        let facts = Facts {
            suspended: row.status == PartyStatus::Suspended,
            approved: row.approved_at.is_some(),
            valid_until: row.valid_until,
            blacklistings: &row.blacklistings,
        };
        until = until.min(Admission::changes_at(&facts, now).unwrap_or(until));
        answers.push((id, Admission::of(&facts, now)));
    }
    Ok(Admissions {
        origin: node.origin().to_owned(),
        log_size: sight.view.head().map_err(errors::store)?.size,
        from: now,
        until,
        parties: answers,
    })
}
