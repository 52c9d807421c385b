//! `CreditService`: credit files, commitments, and the terms of the lists.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::listing::{Sight, asked};
use super::pages::{list, number_after};
use super::score::{self, Period};
use super::{errors, token};
use crate::core::apply::state::{
    Commitments, Consents, CreditItems, CreditRecords, FileReads, Ledgers, Listings, ObjectedTo,
    Objections, Parties, Read, Volumes,
};
use crate::core::credit::calendar;
use crate::core::credit::score::Deduction;
use crate::core::credit::{
    Breach, Commitment, CreditItem, CreditPolicy, CreditRecord, CreditSeverity,
};
use crate::core::id::PartyId;
use crate::core::record::Role;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::credit_service_server::CreditService;
use crate::node::Node;

pub(super) struct Credit {
    node: Arc<Node>,
}

impl Credit {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl CreditService for Credit {
    async fn get_credit_file(
        &self,
        request: Request<wire::GetCreditFileRequest>,
    ) -> Result<Response<wire::GetCreditFileResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let request = request.into_inner();
        let party: PartyId = request.party.parse().map_err(errors::bad_id("party"))?;
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, caller)?;
            sight.needs_open_file(party)?;
            file(&sight, party, request.page_size, &request.page_token)
        });
        answer.await.map(Response::new)
    }

    async fn get_commitment(
        &self,
        request: Request<wire::GetCommitmentRequest>,
    ) -> Result<Response<wire::GetCommitmentResponse>, Status> {
        let caller = token::optional(request.metadata(), &self.node)?;
        let index = LogIndex(request.get_ref().log_index);
        let sight = Sight::new(&self.node, caller)?;
        let row = sight
            .view
            .get::<Commitments>(&index)
            .map_err(errors::store)?;
        let row = match row {
            Some(row) if sight.knows(row.party)? => row,
            _ => {
                return Err(errors::not_found(format!(
                    "entry {index} makes no commitment"
                )));
            }
        };
        Ok(Response::new(wire::GetCommitmentResponse {
            commitment: Some(commitment(&row)),
        }))
    }

    async fn get_score(
        &self,
        request: Request<wire::GetScoreRequest>,
    ) -> Result<Response<wire::GetScoreResponse>, Status> {
        let roles = [Role::Courier, Role::Platform, Role::Regulator];
        let caller = token::check(request.metadata(), &self.node, &roles)?;
        let request = request.into_inner();
        let party: PartyId = request.party.parse().map_err(errors::bad_id("party"))?;
        let key = match request.key_id.as_slice() {
            [] => None,
            bytes => Some(
                KeyId::from_slice(bytes)
                    .ok_or_else(|| errors::invalid("key_id", "a key id has 16 bytes"))?,
            ),
        };
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            sight.needs_open_file(party)?;
            let market = sight.caller.as_ref().is_some_and(|c| c.is(Role::Platform));
            let all = sight.sees_all_of(party)?;
            // An employee's score is between the firm and its regulator; a natural person has none in
            // public.
            if !all && (key.is_some() || !market || !sight.knows(party)?) {
                return Err(Status::permission_denied(
                    "a firm's score is for the firm, platforms and regulators; an employee's for \
                     the firm and regulators",
                ));
            }
            if let Some(key) = key
                && !score::is_key_of(&sight.view, party, key)?
            {
                return Err(errors::not_found(format!("{party} has no key {key}")));
            }
            let period = Period::asked(request.until_month, request.months, sight.now)?;
            let mut answer = score::answer(&sight.view, party, key, period)?;
            if !all {
                // What is minor is never published: it counts, and the entries stay in the file.
                let minor = wire::ScoreItemKind::MinorRecord;
                for item in answer.items.iter_mut().filter(|item| item.kind() == minor) {
                    item.entries.clear();
                }
            }
            Ok(answer)
        });
        answer.await.map(Response::new)
    }

    async fn list_objections(
        &self,
        request: Request<wire::ListObjectionsRequest>,
    ) -> Result<Response<wire::ListObjectionsResponse>, Status> {
        token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let view = self.node.store().view();
        let show = |_: &[u8], deduction: Deduction| {
            let row = view.get::<Objections>(&deduction).map_err(errors::store)?;
            let row = row.filter(|row| !request.open || row.answered.is_none());
            Ok(row.map(|row| wire::DeductionObjection {
                deduction: Some(deduction_ref(deduction)),
                request: Some(asked(&row)),
            }))
        };
        let (objections, next_page_token) =
            list::<ObjectedTo, _>(&view, &[], request.page_size, &request.page_token, show)?;
        Ok(Response::new(wire::ListObjectionsResponse {
            objections,
            next_page_token,
        }))
    }

    async fn get_financial_view(
        &self,
        request: Request<wire::GetFinancialViewRequest>,
    ) -> Result<Response<wire::GetFinancialViewResponse>, Status> {
        let roles = [Role::Bank, Role::Fund];
        let caller = token::check(request.metadata(), &self.node, &roles)?;
        let request = request.into_inner();
        let party: PartyId = request.party.parse().map_err(errors::bad_id("party"))?;
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            let period = Period::asked(request.until_month, request.months, sight.now)?;
            financial_view(&sight, party, period)
        });
        answer.await.map(Response::new)
    }

    async fn list_file_reads(
        &self,
        request: Request<wire::ListFileReadsRequest>,
    ) -> Result<Response<wire::ListFileReadsResponse>, Status> {
        let caller = token::authenticated(request.metadata(), &self.node)?;
        let request = request.into_inner();
        let party: PartyId = request.party.parse().map_err(errors::bad_id("party"))?;
        let offices = [Role::Regulator, Role::Auditor];
        if caller.party != party && !offices.iter().any(|role| caller.is(*role)) {
            return Err(token::role_missing(
                "who opened a file is for its party, regulators and auditors to know",
            ));
        }
        let sight = Sight::new(&self.node, Some(caller))?;
        let prefix = party.to_compact();
        let (reads, next_page_token) = list::<FileReads, _>(
            &sight.view,
            &prefix,
            request.page_size,
            &request.page_token,
            |key, row| {
                let index = number_after(&prefix, key);
                Ok(index.map(|index| wire::FileRead {
                    log_index: index,
                    time_ms: row.time.0,
                    by: row.by.to_string(),
                    key_id: row.key.0.to_vec(),
                    purpose: row.purpose,
                    document: row.document,
                }))
            },
        )?;
        Ok(Response::new(wire::ListFileReadsResponse {
            reads,
            next_page_token,
        }))
    }

    async fn get_credit_policy(
        &self,
        _: Request<wire::GetCreditPolicyRequest>,
    ) -> Result<Response<wire::GetCreditPolicyResponse>, Status> {
        let ledger = self
            .node
            .store()
            .get::<Ledgers>(&())
            .map_err(errors::store)?;
        let ledger = ledger.ok_or_else(|| errors::not_found("the ledger has no genesis record"))?;
        let set_at = ledger.credit_policy_at;
        let legal_basis = match set_at {
            Some(index) => legal_basis(&self.node, index)?,
            None => String::new(),
        };
        Ok(Response::new(wire::GetCreditPolicyResponse {
            policy: Some(policy(&ledger.credit_policy, legal_basis)),
            log_index: set_at.map_or(0, |index| index.0),
        }))
    }
}

/// What a firm lets the caller see.
fn financial_view(
    sight: &Sight<'_>,
    party: PartyId,
    period: Period,
) -> Result<wire::GetFinancialViewResponse, Status> {
    let view = &sight.view;
    let viewer = sight.caller.as_ref().map_or(party, |caller| caller.party);
    let consent = view.get::<Consents>(&(party, viewer));
    let consent = consent.map_err(errors::store)?;
    let consent = consent.filter(|consent| sight.now < consent.until);
    let consent = consent.ok_or_else(|| {
        token::consent_missing(&format!("{party} has not let {viewer} look, or no more"))
    })?;
    let row = view.get::<Parties>(&party).map_err(errors::store)?;
    let row = row.ok_or_else(|| errors::not_found(format!("{party} is not registered")))?;
    let mut listings = Vec::new();
    for index in row.listings() {
        let listing = view.get::<Listings>(&index).map_err(errors::store)?;
        if let Some(listing) = listing.filter(|listing| listing.is_public(sight.now)) {
            listings.push(sight.listing(&listing)?);
        }
    }
    let prefix = party.to_compact();
    let first = [&prefix[..], &period.first.to_be_bytes()].concat();
    let mut volumes = Vec::new();
    view.scan_prefix::<Volumes>(&prefix, &first, |key, row| {
        let month = key
            .get(prefix.len()..)
            .and_then(|rest| rest.try_into().ok());
        let month = month.map_or(u32::MAX, u32::from_be_bytes);
        if month > period.last {
            return false;
        }
        volumes.push(wire::MonthVolume {
            month: calendar::yyyymm(month),
            made: row.made,
            taken: row.taken,
            handed_over: row.handed_over,
            delivered: row.delivered,
        });
        true
    })
    .map_err(errors::store)?;
    Ok(wire::GetFinancialViewResponse {
        listings,
        volumes,
        consent: consent.at.index.0,
        consent_until_ms: consent.until.0,
        log_size: view.head().map_err(errors::store)?.size,
    })
}

/// The law that the entry cites which set the terms.
fn legal_basis(node: &Node, index: LogIndex) -> Result<String, Status> {
    use prost::Message as _;
    let entry = super::read::decode(index, &super::read::entry(node.store(), index)?)?;
    let record = wire::Record::decode(entry.envelope.payload.as_ref());
    match record.ok().and_then(|record| record.body) {
        Some(wire::record::Body::SetCreditPolicy(policy)) => Ok(policy.legal_basis),
        _ => Ok(String::new()),
    }
}

fn file(
    sight: &Sight<'_>,
    party: PartyId,
    page_size: u32,
    page_token: &str,
) -> Result<wire::GetCreditFileResponse, Status> {
    if !sight.knows(party)? {
        return Err(errors::not_found(format!(
            "{party} has no public credit file"
        )));
    }
    let prefix = party.to_compact();
    let show = |key: &[u8], item: CreditItem| {
        let Some(index) = number_after(&prefix, key).map(LogIndex) else {
            return Ok(None);
        };
        let item = shown(sight, party, index, item)?;
        Ok(item.map(|item| wire::CreditItem { item: Some(item) }))
    };
    let (items, next_page_token) =
        list::<CreditItems, _>(&sight.view, &prefix, page_size, page_token, show)?;
    Ok(wire::GetCreditFileResponse {
        items,
        next_page_token,
    })
}

/// An item of a credit file, if the caller may see it.
fn shown(
    sight: &Sight<'_>,
    party: PartyId,
    index: LogIndex,
    item: CreditItem,
) -> Result<Option<wire::credit_item::Item>, Status> {
    use wire::credit_item::Item;
    Ok(match item {
        CreditItem::Commitment => {
            let row = sight
                .view
                .get::<Commitments>(&index)
                .map_err(errors::store)?;
            row.map(|row| Item::Commitment(commitment(&row)))
        }
        CreditItem::Record => {
            let row = sight
                .view
                .get::<CreditRecords>(&index)
                .map_err(errors::store)?;
            let minor = |row: &CreditRecord| row.severity == Some(CreditSeverity::Minor);
            let all = sight.sees_all_of(party)?;
            row.filter(|row| !minor(row) || all)
                .map(|row| Item::Record(record(&row)))
        }
        CreditItem::Measure => sight.measure(index)?.map(Item::Measure),
        CreditItem::Claim => None, // Between its buyer, its payer and the party: see `ClaimService`.
        CreditItem::Listing => {
            let row = sight.view.get::<Listings>(&index).map_err(errors::store)?;
            match row {
                Some(row) if sight.sees(&row)? => Some(Item::Listing(sight.listing(&row)?)),
                _ => None,
            }
        }
    })
}

fn commitment(row: &Commitment) -> wire::Commitment {
    let breach = |breach: &Breach| wire::Breach {
        log_index: breach.recorded.index.0,
        time_ms: breach.recorded.time.0,
        authority: breach.authority.to_string(),
        reason: breach.reason.clone(),
        document: breach.document.clone(),
        evidence: breach.evidence.iter().map(|index| index.0).collect(),
    };
    wire::Commitment {
        log_index: row.made.index.0,
        party: row.party.to_string(),
        kind: row.kind.number(),
        text: row.text.clone(),
        time_ms: row.made.time.0,
        breaches: row.breaches.iter().map(breach).collect(),
    }
}

fn record(row: &CreditRecord) -> wire::CreditRecord {
    wire::CreditRecord {
        log_index: row.added.index.0,
        subject: row.subject.to_string(),
        authority: row.authority.to_string(),
        kind: row.kind.number(),
        severity: row.severity.map_or(0, CreditSeverity::number),
        legal_basis: row.legal_basis.clone(),
        document: row.document.clone(),
        date: row.date.number(),
        text: row.text.clone(),
        time_ms: row.added.time.0,
    }
}

const fn policy(policy: &CreditPolicy, legal_basis: String) -> wire::SetCreditPolicy {
    wire::SetCreditPolicy {
        minor_max_months: policy.minor_max_months,
        ordinary_min_months: policy.ordinary_min_months,
        ordinary_max_months: policy.ordinary_max_months,
        serious_min_months: policy.serious_min_months,
        serious_max_months: policy.serious_max_months,
        red_max_months: policy.red_max_months,
        statement_days: policy.statement_days,
        objection_days: policy.objection_days,
        answer_days: policy.answer_days,
        transit_hours: policy.transit_hours,
        accept_hours: policy.accept_hours,
        rest_days: policy.rest_days,
        legal_basis,
    }
}

fn deduction_ref(deduction: Deduction) -> wire::DeductionRef {
    use wire::deduction_ref::Deduction as Named;
    let deduction = match deduction {
        Deduction::Finding(number) => Named::Finding(number),
        Deduction::Claim(index) => Named::Claim(index.0),
        Deduction::Lapse(key, index) => Named::Lapse(wire::LapseRef {
            key_id: key.0.to_vec(),
            log_index: index.0,
        }),
    };
    wire::DeductionRef {
        deduction: Some(deduction),
    }
}
