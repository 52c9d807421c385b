//! Records of credit supervision: who may make them, and what they change.
//!
//! What may follow what is [`Listing`]'s to say. Only a regulator proposes and decides, and only the
//! authority that proposed, or a root key, goes on: no score, count or program lists anybody.

use std::sync::Arc;

use super::authority::Authority;
use super::governance::{already, known_party, needs_regulator, needs_root, unauthorised};
use super::state::{
    Actor, Claims, Commitments, CreditItems, CreditRecords, FindingStatus, Findings, Keys, Lapses,
    Ledgers, Listings, ObjectedTo, Objections, Parties, Party, Read,
};
use super::{Result, Step, share};
use crate::core::credit::calendar::end_of_day_after;
use crate::core::credit::score::Deduction;
use crate::core::credit::{
    Breach, Commitment, CommitmentKind, CreditItem, CreditPolicy, CreditRecord, CreditSeverity,
    Decided, ListKind, Listing, MAX_BREACHES, MAX_COMMITMENTS, Phase, Redlisting, Request,
};
use crate::core::id::PartyId;
use crate::core::record::{
    AddCreditRecord, CreditBody, ListingDecision, ListingStep, Millis, ProposeListing,
};
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;

/// Applies a record that `party` signed with a full key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    party: PartyId,
    body: &CreditBody,
) -> Result<()> {
    match body {
        CreditBody::MakeCommitment { kind, text } => make_commitment(step, party, *kind, text),
        CreditBody::RecordBreach {
            commitment,
            reason,
            document,
            evidence,
        } => {
            needs_regulator(authority)?;
            entries_exist(step, evidence, "record_breach.evidence")?;
            let breach = Breach {
                recorded: step.stamp(),
                authority: party,
                reason: reason.clone(),
                document: document.clone(),
                evidence: evidence.clone(),
            };
            record_breach(step, *commitment, breach)
        }
        CreditBody::AddCreditRecord(record) => {
            needs_regulator(authority)?;
            add_record(step, party, record)
        }
        CreditBody::SetCreditPolicy(policy) => {
            needs_root(step, "the terms of the lists are set by a root key")?;
            set_policy(step, *policy);
            Ok(())
        }
        CreditBody::ProposeListing(proposal) => {
            needs_regulator(authority)?;
            propose(step, party, proposal)
        }
        CreditBody::ObjectToDeduction { deduction } => object_to_deduction(step, party, *deduction),
        CreditBody::AnswerDeduction { objection, granted } => {
            needs_regulator(authority)?;
            answer_deduction(step, *objection, *granted)
        }
        CreditBody::Listing {
            listing,
            step: what,
        } => go_on(step, authority, party, *listing, what),
    }
}

fn make_commitment<R: Read>(
    step: &mut Step<'_, R>,
    party: PartyId,
    kind: CommitmentKind,
    text: &str,
) -> Result<()> {
    let mut row = known_party(step, party, "key_id")?;
    keep_erasable(&row, party, !text.is_empty(), "make_commitment.text")?;
    if row.commitments >= MAX_COMMITMENTS {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            format!("{party} has made {MAX_COMMITMENTS} commitments"),
        )
        .into());
    }
    row.commitments += 1;
    put_party(step, party, row);
    let made = step.stamp();
    let commitment = Commitment {
        party,
        kind,
        text: text.to_owned(),
        made,
        breaches: Vec::new(),
    };
    step.views
        .put::<Commitments>(made.index, Arc::new(commitment));
    add_item(step, party, CreditItem::Commitment);
    Ok(())
}

fn record_breach<R: Read>(step: &mut Step<'_, R>, index: LogIndex, breach: Breach) -> Result<()> {
    let mut row = commitment(step, index, "record_breach.commitment")?;
    let commitment = Arc::make_mut(&mut row);
    if commitment.breaches.len() >= MAX_BREACHES {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            format!("{MAX_BREACHES} breaches of this commitment are recorded"),
        )
        .at("record_breach.commitment")
        .into());
    }
    commitment.breaches.push(breach);
    step.views.put::<Commitments>(index, row);
    Ok(())
}

fn add_record<R: Read>(
    step: &mut Step<'_, R>,
    authority: PartyId,
    body: &AddCreditRecord,
) -> Result<()> {
    let subject = body.subject;
    let party = known_party(step, subject, "add_credit_record.subject")?;
    if party.is_public() && body.severity != Some(CreditSeverity::Minor) {
        share::record(step);
    }
    keep_erasable(
        &party,
        subject,
        !body.text.is_empty(),
        "add_credit_record.text",
    )?;
    let added = step.stamp();
    let record = CreditRecord {
        subject,
        authority,
        kind: body.kind,
        severity: body.severity,
        legal_basis: body.legal_basis.clone(),
        document: body.document.clone(),
        date: body.date,
        text: body.text.clone(),
        added,
    };
    step.views
        .put::<CreditRecords>(added.index, Arc::new(record));
    add_item(step, subject, CreditItem::Record);
    Ok(())
}

fn set_policy<R: Read>(step: &mut Step<'_, R>, policy: CreditPolicy) {
    let index = step.placed.index;
    let ledger = Arc::make_mut(&mut step.ledger);
    (ledger.credit_policy, ledger.credit_policy_at) = (policy, Some(index));
    step.views.put::<Ledgers>((), Arc::clone(&step.ledger));
}

fn propose<R: Read>(
    step: &mut Step<'_, R>,
    authority: PartyId,
    body: &ProposeListing,
) -> Result<()> {
    let subject = body.subject;
    let party = known_party(step, subject, "propose_listing.subject")?;
    keep_erasable(
        &party,
        subject,
        !body.reason.is_empty(),
        "propose_listing.reason",
    )?;
    entries_exist(step, &body.evidence, "propose_listing.evidence")?;
    if body.list == ListKind::Red {
        refuse_red(&party, step, "propose_listing.subject")?;
    }
    let proposed = step.stamp();
    let listing = Listing {
        list: body.list,
        subject,
        severity: body.severity,
        authority,
        public: party.is_public() && body.severity != Some(CreditSeverity::Minor),
        policy: step.ledger.credit_policy,
        reason: body.reason.clone(),
        legal_basis: body.legal_basis.clone(),
        document: body.document.clone(),
        evidence: body.evidence.clone(),
        proposed,
        notified: None,
        statement: None,
        decided: None,
        published: None,
        term: None,
        objection: None,
        repair: None,
        ended: None,
        measures: Vec::new(),
        log: vec![proposed.index],
    };
    step.views
        .put::<Listings>(proposed.index, Arc::new(listing));
    add_item(step, subject, CreditItem::Listing);
    Ok(())
}

/// Nobody is on both lists, or twice on the red one.
fn refuse_red<R: Read>(party: &Party, step: &Step<'_, R>, field: &str) -> Result<()> {
    let now = step.placed.time;
    let message = if party.blacklistings.iter().any(|black| black.applies(now)) {
        "the party is on the black list; end that listing first"
    } else if party.redlisting.is_some_and(|red| now < red.until) {
        "the party is on the red list already"
    } else {
        return Ok(());
    };
    Err(Refusal::new(Reason::FailedPrecondition, message)
        .at(field)
        .into())
}

fn go_on<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    party: PartyId,
    index: LogIndex,
    what: &ListingStep,
) -> Result<()> {
    let field = format!("{}.listing", step.placed.record.kind().name());
    let mut row = step.views.get::<Listings>(&index)?.ok_or_else(|| {
        Refusal::new(
            Reason::NotFound,
            format!("entry {index} proposes no listing"),
        )
        .at(field.clone())
    })?;
    let before = Arc::clone(&row);
    let listing = Arc::make_mut(&mut row);
    let at = step.stamp();
    match what {
        ListingStep::Statement { .. }
        | ListingStep::Object { .. }
        | ListingStep::RequestRepair { .. } => {
            if listing.subject != party {
                return Err(unauthorised("this is for the party that is listed"));
            }
        }
        _ => {
            needs_regulator(authority)?;
            if listing.authority != party {
                needs_root(
                    step,
                    "a listing is in the hands of the authority that proposed it, or of a root key",
                )?;
            }
        }
    }
    let done = match what {
        ListingStep::Notify => listing.notify(at),
        ListingStep::Statement { public } => {
            keep_silent(step, party, *public, "submit_statement.text")?;
            listing.state(at)
        }
        ListingStep::Decide(ListingDecision::Drop) => listing.drop_it(at),
        ListingStep::Decide(ListingDecision::List {
            severity,
            months,
            legal_basis,
            document,
        }) => {
            if listing.list == ListKind::Red {
                let subject = known_party(step, listing.subject, &field)?;
                refuse_red(&subject, step, &field)?;
            }
            let decided = Decided {
                at,
                months: *months,
                legal_basis: legal_basis.clone(),
                document: document.clone(),
            };
            listing.decide(*severity, decided)
        }
        ListingStep::Publish => {
            if listing.list == ListKind::Red {
                let subject = known_party(step, listing.subject, &field)?;
                refuse_red(&subject, step, &field)?;
            }
            listing.publish(at)
        }
        ListingStep::Object { public } => {
            keep_silent(step, party, *public, "object_to_listing.reason")?;
            listing.object(at)
        }
        ListingStep::AnswerObjection { granted } => listing.answer_objection(at, *granted),
        ListingStep::RequestRepair { commitment } => {
            fit_commitment(step, listing, *commitment)?;
            listing.request_repair(at)
        }
        ListingStep::DecideRepair { granted } => listing.answer_repair(at, *granted),
        ListingStep::End => listing.withdraw(at),
    };
    done.map_err(|refusal| {
        if refusal.field.is_empty() {
            refusal.at(field)
        } else {
            refusal
        }
    })?;
    share::listing(step, &before, listing)?;
    follow(step, listing)?;
    step.views.put::<Listings>(index, row);
    Ok(())
}

/// Keeps in the subject's row what is in force: whoever judges one of its records has that row at
/// hand.
fn follow<R: Read>(step: &mut Step<'_, R>, listing: &Listing) -> Result<()> {
    let now = step.placed.time;
    let mut party = known_party(step, listing.subject, "listing")?;
    let before = party.clone();
    let this = listing.proposed.index;
    party
        .blacklistings
        .retain(|black| black.listing != this && now < black.until);
    party.redlisting = party.redlisting.filter(|red| red.listing != this);
    if listing.phase(now) == Phase::InForce {
        party.blacklistings.extend(listing.blacklisting());
        if let (ListKind::Red, Some(term)) = (listing.list, listing.term) {
            let until = term.until;
            party.redlisting = Some(Redlisting {
                listing: this,
                until,
            });
        }
        if party.blacklistings.iter().any(|black| black.applies(now)) {
            end_red(step, &mut party)?;
        }
    }
    if party != before {
        put_party(step, listing.subject, party);
    }
    Ok(())
}

/// Who is found dishonest is no longer held up as honest: its red listing ends with the same entry.
fn end_red<R: Read>(step: &mut Step<'_, R>, party: &mut Party) -> Result<()> {
    let Some(red) = party.redlisting.take() else {
        return Ok(());
    };
    let at = step.stamp();
    if let Some(mut row) = step.views.get::<Listings>(&red.listing)?
        && row.phase(at.time) == Phase::InForce
    {
        let before = Arc::clone(&row);
        Arc::make_mut(&mut row).withdraw(at)?;
        share::listing(step, &before, &row)?;
        step.views.put::<Listings>(red.listing, row);
    }
    Ok(())
}

/// When a deduction came about, if it is the party's.
fn deducted_at<R: Read>(
    step: &Step<'_, R>,
    party: PartyId,
    deduction: Deduction,
) -> Result<Option<Millis>> {
    Ok(match deduction {
        Deduction::Finding(number) => {
            let row = step.views.get::<Findings>(&number)?;
            let row = row.filter(|row| {
                let status = row.status.counted(row.by_regulator);
                row.signer == Actor::Party(party) && status == FindingStatus::Confirmed
            });
            row.and_then(|row| row.closed).map(|at| at.time)
        }
        Deduction::Lapse(key, index) => {
            let owner = step.views.get::<Keys>(&key)?.map(|key| key.owner);
            let lapse = step.views.get::<Lapses>(&(key, index))?;
            let own = owner == Some(Actor::Party(party));
            lapse.filter(|_| own).map(|lapse| lapse.time)
        }
        Deduction::Claim(index) => {
            let claim = step.views.get::<Claims>(&index)?;
            let decided = claim.and_then(|claim| claim.decided.clone());
            let decided = decided.filter(|decided| decided.recourse == Some(party));
            decided.map(|decided| decided.at.time)
        }
    })
}

fn object_to_deduction<R: Read>(
    step: &mut Step<'_, R>,
    party: PartyId,
    deduction: Deduction,
) -> Result<()> {
    let field = "object_to_deduction.deduction";
    let since = deducted_at(step, party, deduction)?;
    let since = since.ok_or_else(|| {
        Refusal::new(
            Reason::NotFound,
            "nothing like that is deducted from this party's score",
        )
        .at(field)
    })?;
    let made = step.stamp();
    let policy = step.ledger.credit_policy;
    if made.time >= end_of_day_after(since, policy.objection_days) {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            "the days for an objection have ended",
        )
        .at(field)
        .into());
    }
    if step.views.get::<Objections>(&deduction)?.is_some() {
        return Err(already("the party objected already".into(), field));
    }
    step.views
        .put::<Objections>(deduction, Request::new(made, &policy));
    step.views.put::<ObjectedTo>(made.index, deduction);
    Ok(())
}

fn answer_deduction<R: Read>(
    step: &mut Step<'_, R>,
    objection: LogIndex,
    granted: bool,
) -> Result<()> {
    let field = "answer_deduction.objection";
    let deduction = step.views.get::<ObjectedTo>(&objection)?;
    let row = match deduction {
        Some(deduction) => step.views.get::<Objections>(&deduction)?,
        None => None,
    };
    let (Some(deduction), Some(mut row)) = (deduction, row) else {
        let message = format!("entry {objection} objects to no deduction");
        return Err(Refusal::new(Reason::NotFound, message).at(field).into());
    };
    if !row.answer(step.stamp(), granted) {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            "the objection is answered already",
        )
        .at(field)
        .into());
    }
    step.views.put::<Objections>(deduction, row);
    Ok(())
}

/// A repair rests on a public commitment of its own party, made since the listing took effect.
fn fit_commitment<R: Read>(step: &Step<'_, R>, listing: &Listing, index: LogIndex) -> Result<()> {
    let commitment = commitment(step, index, "request_repair.commitment")?;
    let since = listing.term.map(|term| term.from);
    if commitment.party == listing.subject
        && commitment.kind == CommitmentKind::Repair
        && since.is_some_and(|from| commitment.made.time >= from)
    {
        return Ok(());
    }
    Err(Refusal::field(
        "request_repair.commitment",
        "name a commitment of kind REPAIR that the party made since the listing took effect",
    )
    .into())
}

fn commitment<R: Read>(
    step: &Step<'_, R>,
    index: LogIndex,
    field: &str,
) -> Result<Arc<Commitment>> {
    let row = step.views.get::<Commitments>(&index)?;
    Ok(row.ok_or_else(|| {
        Refusal::new(
            Reason::NotFound,
            format!("entry {index} makes no commitment"),
        )
        .at(field)
    })?)
}

/// What is said of a natural person must stay erasable, so the log holds only a commitment to it.
fn keep_erasable(party: &Party, id: PartyId, speaks: bool, field: &str) -> Result<()> {
    if speaks && !party.is_public() {
        return Err(Refusal::field(
            field,
            format!("{id} has no public name: give the commitment to the text"),
        )
        .into());
    }
    Ok(())
}

fn keep_silent<R: Read>(
    step: &Step<'_, R>,
    party: PartyId,
    speaks: bool,
    field: &str,
) -> Result<()> {
    let row = known_party(step, party, field)?;
    keep_erasable(&row, party, speaks, field)
}

fn entries_exist<R: Read>(step: &Step<'_, R>, indexes: &[LogIndex], field: &str) -> Result<()> {
    match indexes.iter().position(|index| *index >= step.placed.index) {
        Some(i) => Err(Refusal::field(
            format!("{field}[{i}]"),
            format!("entry {} is not in the log", indexes[i]),
        )
        .into()),
        None => Ok(()),
    }
}

fn add_item<R: Read>(step: &mut Step<'_, R>, party: PartyId, item: CreditItem) {
    let key = (party, step.placed.index);
    step.views.put::<CreditItems>(key, item);
}

fn put_party<R: Read>(step: &mut Step<'_, R>, id: PartyId, party: Party) {
    step.views.put::<Parties>(id, Arc::new(party));
}

#[cfg(test)]
mod tests;
