//! Governance records: parties, keys, products, thresholds, and what becomes of findings.
//!
//! A governance record without the authority for it is refused, never logged.

use std::sync::Arc;

use super::access;
use super::alert;
use super::authority::{Authority, authorise};
use super::case;
use super::claim;
use super::credit;
use super::custody::add_finding;
use super::effects::close_finding;
use super::entry::{Findings, verdict};
use super::inspection;
use super::judge::{chain_row, row_entitles};
use super::measure;
use super::state::{
    Actor, Besides, FindingStatus, HistoryRow, Key, KeyScope, KeyStatus, Keys, Ledger, Ledgers,
    Overlay, Owner, Parties, Party, PartyKeys, PartyStatus, Product, ProductClaim, Products, Read,
    Tallies, Tally, Units,
};
use super::{Applied, MAX_CLAIMS, Placed, Result, Step};
use crate::core::credit::CreditPolicy;
use crate::core::envelope::{Envelope, RecordId, key_possession_pae};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{
    Body, Decision, Millis, NewKey, ProductScope, Record, RevocationReason, Role, UnitRef,
};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Break, FindingKind};
use crate::core::signature::{KeyId, PublicKey, SIGNATURE_BYTES};
use crate::core::tlog::LogIndex;
use crate::core::wire;

/// The first entry: the ledger begins.
pub(super) fn genesis<R: Read>(state: &R, placed: Placed<'_>) -> Result<Applied> {
    let mut views = Overlay::new(state);
    let record = placed.record;
    let Body::Genesis {
        regulator_keys,
        regulator,
        regulator_name,
        thresholds,
    } = &record.body
    else {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            "the ledger has no genesis record yet",
        )
        .into());
    };
    if !regulator_keys.iter().any(|key| key.id() == record.key_id) {
        return Err(Refusal::new(
            Reason::Unauthorised,
            "a genesis record is signed by one of the keys that it names",
        )
        .at("key_id")
        .into());
    }
    for key in regulator_keys {
        let row = party_key(*key, *regulator, KeyScope::Root, placed.index);
        put_key(&mut views, *regulator, row);
    }
    let party = Party {
        name: regulator_name.clone(),
        roles: vec![Role::Regulator],
        region: String::new(),
        city: String::new(),
        status: PartyStatus::Active,
        valid_until: None,
        log: vec![placed.index],
        approved_at: Some(placed.index),
        key: record.key_id,
        contested: false,
        commitments: 0,
        blacklistings: Vec::new(),
        redlisting: None,
    };
    views.put::<Parties>(*regulator, Arc::new(party));
    let ledger = Ledger {
        origin: record.origin.to_string(),
        regulator: *regulator,
        thresholds: *thresholds,
        thresholds_log: vec![placed.index],
        credit_policy: CreditPolicy::default(),
        credit_policy_at: None,
    };
    views.put::<Ledgers>((), Arc::new(ledger));
    let mut tally = Tally::default();
    (tally.last_time, tally.parties) = (placed.time, 1);
    views.put::<Tallies>((), tally);
    views.put_record(placed.id, placed.index);
    Ok(Applied {
        verdict: wire::Verdict::default(),
        changes: views.into_changes(),
    })
}

/// Signed by the very key that it registers.
pub(super) fn register_party<R: Read>(step: &mut Step<'_, R>) -> Result<wire::Verdict> {
    let Body::RegisterParty(body) = &step.placed.record.body else {
        return wrong_arm();
    };
    if body.key.id() != step.placed.record.key_id {
        return Err(Refusal::new(
            Reason::KeyMismatch,
            "a registration is signed by the key that it registers",
        )
        .at("key_id")
        .into());
    }
    refuse_known_key(step, &body.key)?;
    let before = step.views.get::<Parties>(&body.party)?;
    match &before {
        None => step.tally.parties += 1,
        // Whoever asks first doesn't own the name: until it is approved, a later registration takes
        // the place of the earlier, and the approval says which one was verified.
        Some(party) if party.status == PartyStatus::Pending => {
            end_key(step, party.key, KeyStatus::Revoked(step.placed.time))?;
        }
        Some(_) => {
            return Err(already(
                format!("{} is registered", body.party),
                "register_party.party",
            ));
        }
    }
    let row = party_key(body.key, body.party, KeyScope::Full, step.placed.index);
    put_key(&mut step.views, body.party, row);
    let region = body.region.as_ref().map(ToString::to_string);
    let party = Party {
        name: body.name.clone(),
        roles: body.roles.clone(),
        region: region.unwrap_or_default(),
        city: body.city.clone(),
        status: PartyStatus::Pending,
        valid_until: None,
        log: vec![step.placed.index],
        approved_at: None,
        key: body.key.id(),
        contested: before.is_some(),
        // A new registration doesn't wash anybody clean.
        commitments: before.as_ref().map_or(0, |party| party.commitments),
        blacklistings: before
            .as_ref()
            .map_or_else(Vec::new, |party| party.blacklistings.clone()),
        redlisting: before.as_ref().and_then(|party| party.redlisting),
    };
    step.views.put::<Parties>(body.party, Arc::new(party));
    Ok(wire::Verdict::default())
}

/// Every other governance record.
pub(super) fn apply<R: Read>(step: &mut Step<'_, R>) -> Result<wire::Verdict> {
    let authority = authorise(step)?;
    let by_buyer = step.placed.record.kind().is_consumers() && authority.scope == KeyScope::Buyer;
    if by_buyer && let Body::Claim(body) = &step.placed.record.body {
        claim::apply(step, &authority, body)?;
        return Ok(wire::Verdict::default());
    }
    if !matches!(authority.scope, KeyScope::Root | KeyScope::Full) {
        return Err(unauthorised(
            "a delegated key or a buyer key signs custody records only",
        ));
    }
    refuse_ended_key(step)?;
    let Actor::Party(party) = authority.actor else {
        return Err(unauthorised("a buyer signs no governance records"));
    };
    let record = step.placed.record;
    match &record.body {
        Body::Genesis { .. } => Err(already("the ledger has its genesis record".into(), "body")),
        Body::ApproveParty {
            party,
            roles,
            valid_until,
            registration,
        } => {
            needs_regulator(&authority)?;
            approve_party(step, *party, roles, *valid_until, *registration)
        }
        Body::SuspendParty { party } => {
            needs_regulator(&authority)?;
            suspend_party(step, *party)
        }
        Body::AddKey(key) => add_key(step, party, key, KeyScope::Full),
        Body::Delegate(key) => add_key(step, party, key, KeyScope::Delegated),
        Body::RotateKey { key, possession } => {
            rotate_key(step, &authority, party, *key, possession)
        }
        Body::RevokeKey { key_id, reason } => revoke_key(step, &authority, party, *key_id, *reason),
        Body::ClaimProduct { scope, name } => claim_product(step, party, *scope, name),
        Body::ApproveProduct { scope, party } => {
            needs_regulator(&authority)?;
            approve_product(step, *scope, *party)
        }
        Body::SetThresholds(thresholds) => {
            if authority.scope != KeyScope::Root {
                return Err(unauthorised(
                    "thresholds are set by a root key of the regulator",
                ));
            }
            let ledger = Arc::make_mut(&mut step.ledger);
            ledger.thresholds = *thresholds;
            ledger.thresholds_log.push(step.placed.index);
            step.views.put::<Ledgers>((), Arc::clone(&step.ledger));
            Ok(wire::Verdict::default())
        }
        Body::DecideFinding {
            index,
            kind,
            unit,
            decision,
        } => decide_finding(step, &authority, *index, *kind, *unit, *decision),
        Body::ReportEquivocation { first, second } => {
            report_equivocation(step, &authority, first, second)
        }
        Body::Claim(body) => {
            claim::apply(step, &authority, body)?;
            Ok(wire::Verdict::default())
        }
        Body::Case(body) => {
            case::apply(step, &authority, party, body)?;
            Ok(wire::Verdict::default())
        }
        Body::AnswerAlert {
            alert,
            answer,
            reason,
        } => {
            alert::apply(step, &authority, party, (*alert, *answer, reason))?;
            Ok(wire::Verdict::default())
        }
        Body::Measure(body) => {
            measure::apply(step, &authority, party, body)?;
            Ok(wire::Verdict::default())
        }
        Body::Inspection(body) => {
            inspection::apply(step, &authority, party, body)?;
            Ok(wire::Verdict::default())
        }
        Body::Access(body) => {
            access::apply(step, &authority, party, body)?;
            Ok(wire::Verdict::default())
        }
        Body::Credit(body) => {
            credit::apply(step, &authority, party, body)?;
            Ok(wire::Verdict::default())
        }
        _ => wrong_arm(),
    }
}

/// The window for late uploads is for custody records. A key that ended decides nothing any more:
/// else it could put off its own end for ever.
fn refuse_ended_key<R: Read>(step: &Step<'_, R>) -> Result<()> {
    let key = step.views.get::<Keys>(&step.placed.record.key_id)?;
    let in_use = key.is_some_and(|key| key.is_in_use(step.placed.time));
    if in_use {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::KeyExpired,
        "the key has ended; sign governance records with a key that is in use",
    )
    .at("key_id")
    .into())
}

fn approve_party<R: Read>(
    step: &mut Step<'_, R>,
    id: PartyId,
    roles: &[Role],
    valid_until: Option<Millis>,
    registration: Option<LogIndex>,
) -> Result<wire::Verdict> {
    let mut party = known_party(step, id, "approve_party.party")?;
    if roles.contains(&Role::Regulator) || party.roles.contains(&Role::Regulator) {
        // Another agency may be a regulator; only a root key makes or unmakes one.
        needs_root(
            step,
            "the role of a regulator is given and taken by a root key",
        )?;
    }
    if id == step.ledger.regulator && (!roles.contains(&Role::Regulator) || valid_until.is_some()) {
        return Err(unauthorised(
            "the regulator of the genesis record stays a regulator, without end",
        ));
    }
    let registered = party.log.first().copied();
    if party.contested && registration.is_none_or(|index| Some(index) != registered) {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            format!("{id} was registered more than once: name the registration that was verified"),
        )
        .at("approve_party.registration")
        .into());
    }
    party.status = PartyStatus::Active;
    party.roles = roles.to_vec();
    party.valid_until = valid_until;
    party.approved_at = Some(step.placed.index);
    party.log.push(step.placed.index);
    step.views.put::<Parties>(id, Arc::new(party));
    Ok(wire::Verdict::default())
}

fn suspend_party<R: Read>(step: &mut Step<'_, R>, id: PartyId) -> Result<wire::Verdict> {
    let mut party = known_party(step, id, "suspend_party.party")?;
    if id == step.ledger.regulator {
        return Err(unauthorised(
            "the regulator of the genesis record is not suspended",
        ));
    }
    if party.roles.contains(&Role::Regulator) {
        needs_root(step, "a regulator is suspended by a root key")?;
    }
    party.status = PartyStatus::Suspended;
    party.log.push(step.placed.index);
    step.views.put::<Parties>(id, Arc::new(party));
    Ok(wire::Verdict::default())
}

pub(super) fn needs_root<R: Read>(step: &Step<'_, R>, message: &str) -> Result<()> {
    let key = step.views.get::<Keys>(&step.placed.record.key_id)?;
    if key.is_some_and(|key| key.scope == KeyScope::Root) {
        return Ok(());
    }
    Err(unauthorised(message))
}

fn add_key<R: Read>(
    step: &mut Step<'_, R>,
    party: PartyId,
    new: &NewKey,
    scope: KeyScope,
) -> Result<wire::Verdict> {
    refuse_known_key(step, &new.key)?;
    needs_possession(step, party, &new.key, &new.possession)?;
    let row = Key {
        valid_from: new.valid_from,
        valid_until: new.valid_until,
        ..party_key(new.key, party, scope, step.placed.index)
    };
    put_key(&mut step.views, party, row);
    Ok(wire::Verdict::default())
}

fn rotate_key<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    party: PartyId,
    key: PublicKey,
    possession: &[u8; SIGNATURE_BYTES],
) -> Result<wire::Verdict> {
    refuse_known_key(step, &key)?;
    needs_possession(step, party, &key, possession)?;
    let old_id = step.placed.record.key_id;
    end_key(step, old_id, KeyStatus::Rotated(step.placed.time))?;
    let row = party_key(key, party, authority.scope, step.placed.index);
    put_key(&mut step.views, party, row);
    Ok(wire::Verdict::default())
}

fn revoke_key<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    party: PartyId,
    id: KeyId,
    reason: RevocationReason,
) -> Result<wire::Verdict> {
    let key = step.views.get::<Keys>(&id)?.ok_or_else(|| {
        Refusal::new(Reason::NotFound, format!("key {id} is not registered"))
            .at("revoke_key.key_id")
    })?;
    if key.owner != Actor::Party(party) && !authority.is_regulator() {
        return Err(unauthorised(
            "a key is revoked by its own party or by a regulator",
        ));
    }
    if key.scope == KeyScope::Root && authority.scope != KeyScope::Root {
        return Err(unauthorised("a root key is revoked by a root key"));
    }
    if matches!(key.status, KeyStatus::Compromised(_)) {
        return Err(already(
            format!("key {id} is revoked as compromised"),
            "revoke_key.key_id",
        ));
    }
    if key.status != KeyStatus::Active && !matches!(reason, RevocationReason::Compromised(_)) {
        return Err(already(
            format!("key {id} has ended already"),
            "revoke_key.key_id",
        ));
    }
    let status = match reason {
        RevocationReason::Compromised(since) => KeyStatus::Compromised(since),
        RevocationReason::Superseded | RevocationReason::Cessation => {
            KeyStatus::Revoked(step.placed.time)
        }
    };
    end_key(step, id, status)?;
    Ok(wire::Verdict::default())
}

fn end_key<R: Read>(step: &mut Step<'_, R>, id: KeyId, status: KeyStatus) -> Result<()> {
    if let Some(mut key) = step.views.get::<Keys>(&id)? {
        key.status = status;
        key.ended_at = Some(step.placed.index);
        step.views.put::<Keys>(id, key);
    }
    Ok(())
}

fn claim_product<R: Read>(
    step: &mut Step<'_, R>,
    party: PartyId,
    scope: ProductScope,
    name: &str,
) -> Result<wire::Verdict> {
    let mut product = step.views.get::<Products>(&scope)?.unwrap_or_default();
    if product.claims.iter().any(|claim| claim.party == party) {
        return Err(already(
            format!("{party} has claimed {scope}"),
            "claim_product.scope",
        ));
    }
    if product.claims.len() >= MAX_CLAIMS {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            format!("{MAX_CLAIMS} parties claim {scope}; ask the regulator"),
        )
        .into());
    }
    let index = step.placed.index;
    product.claims.push(ProductClaim {
        party,
        name: name.to_owned(),
        claimed_at: index,
    });
    product.log.push(index);
    step.views.put::<Products>(scope, product);
    Ok(wire::Verdict::default())
}

fn approve_product<R: Read>(
    step: &mut Step<'_, R>,
    scope: ProductScope,
    party: PartyId,
) -> Result<wire::Verdict> {
    let product: Option<Product> = step.views.get::<Products>(&scope)?;
    let Some(mut product) = product.filter(|p| p.claims.iter().any(|claim| claim.party == party))
    else {
        return Err(
            Refusal::new(Reason::NotFound, format!("{party} has not claimed {scope}"))
                .at("approve_product.scope")
                .into(),
        );
    };
    product.owner = Some(Owner {
        party,
        approved_at: step.placed.index,
    });
    product.log.push(step.placed.index);
    step.views.put::<Products>(scope, product);
    Ok(wire::Verdict::default())
}

/// A regulator confirms or dismisses; the holder and the maker may confirm.
fn decide_finding<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    index: LogIndex,
    kind: FindingKind,
    id: UnitId,
    decision: Decision,
) -> Result<wire::Verdict> {
    let unit = step.views.get::<Units>(&id)?.unwrap_or_default();
    let found = unit
        .findings
        .iter()
        .find(|f| f.index == index && f.kind == kind)
        .copied();
    let finding = found.ok_or_else(|| {
        Refusal::new(
            Reason::NotFound,
            format!("{id} has no {} by entry {index}", kind.name()),
        )
        .at("decide_finding")
    })?;
    let party = authority.actor.party();
    let around = super::around_of(&step.views, &unit)?;
    let holder = around
        .last()
        .map_or(unit.holder, |(_, outermost)| outermost.holder);
    let concerned = party.is_some() && (party == holder || party == unit.maker);
    let confirms = concerned && decision == Decision::Confirmed;
    if !authority.is_regulator() && !confirms {
        return Err(unauthorised(
            "a finding is decided by a regulator; the holder and the maker may confirm it",
        ));
    }
    let status = match decision {
        Decision::Confirmed => FindingStatus::Confirmed,
        Decision::Dismissed => FindingStatus::Dismissed,
    };
    let decided = if authority.is_regulator() {
        // It may confirm what the holder or the maker confirmed: its word is another.
        finding.status == status && finding.by_regulator
    } else {
        finding.status != FindingStatus::Open
    };
    if decided {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            "the finding is decided already; only a regulator decides otherwise",
        )
        .at("decide_finding")
        .into());
    }
    let decided = (status, authority.is_regulator());
    close_finding(step, id, finding.number, decided)?;
    note_in_history(step, authority, id)?;
    Ok(wire::Verdict::default())
}

/// Two envelopes of one key that name one `prev` for one unit and say different things.
fn report_equivocation<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    first: &[u8],
    second: &[u8],
) -> Result<wire::Verdict> {
    let a = reported(step, first, "report_equivocation.first")?;
    let b = reported(step, second, "report_equivocation.second")?;
    let no_proof = |message: &str| -> super::ApplyError {
        Refusal::field("report_equivocation", message).into()
    };
    if a.key_id != b.key_id {
        return Err(no_proof("the envelopes are signed by two keys"));
    }
    if a.same_statement(&b) {
        return Err(no_proof(
            "both envelopes say the same: a rebased record is no double-dealing",
        ));
    }
    let shared: Vec<UnitRef> = refs(&a)
        .filter(|unit| refs(&b).any(|u| u == *unit))
        .collect();
    if shared.is_empty() {
        return Err(no_proof("the envelopes name no prev of a unit in common"));
    }
    let key = step.views.get::<Keys>(&a.key_id)?;
    let actor = key.map_or(authority.actor, |key| key.owner);
    let ids = [envelope(first)?.record_id(), envelope(second)?.record_id()];
    let mut evidence: Vec<LogIndex> = Vec::new();
    for id in &ids {
        evidence.extend(step.views.entry_of(id)?);
    }
    let proof = Break {
        evidence,
        measured: 0,
        limit: 0,
    };
    let numbered = a.subjects();
    let mut entitled = Vec::new();
    let (mut beside, mut known) = (false, false);
    for unit_ref in shared {
        let row = chain_row(&step.views, &unit_ref.id, unit_ref.prev)?;
        if !row.is_some_and(|row| row_entitles(&row, actor)) {
            continue;
        }
        if stands_beside(step, &unit_ref.id, &ids)? {
            beside = true;
            continue;
        }
        // Once is enough for a unit and whoever did it: day 0 is no ledger day.
        let once = (0, actor, unit_ref.id, Some(FindingKind::Equivocation));
        if step.views.get::<Besides>(&once)?.is_some() {
            known = true;
            continue;
        }
        step.views.put::<Besides>(once, 1);
        let mut shared = step.views.get::<Units>(&unit_ref.id)?.unwrap_or_default();
        let unit = Arc::make_mut(&mut shared);
        let number = numbered.iter().position(|subject| *subject == unit_ref.id);
        entitled.extend(number.and_then(|number| u32::try_from(number).ok()));
        add_finding(
            step,
            (actor, a.key_id),
            Some((unit_ref.id, unit)),
            FindingKind::Equivocation,
            &proof,
        );
        step.views.put::<Units>(unit_ref.id, shared);
        note_in_history(step, authority, unit_ref.id)?;
    }
    if entitled.is_empty() && (beside || known) {
        return Err(if known {
            already(
                "the equivocation is in the log".into(),
                "report_equivocation",
            )
        } else {
            no_proof("one of the records stands beside the chain: it was never to be followed")
        });
    }
    if entitled.is_empty() {
        // A stranger's equivocation counts against the stranger alone.
        add_finding(
            step,
            (actor, a.key_id),
            None,
            FindingKind::Equivocation,
            &proof,
        );
    }
    let mut findings = Findings::new();
    entitled.sort_unstable();
    findings.insert((FindingKind::Equivocation, proof), entitled);
    Ok(verdict(&findings, &[]))
}

/// Whether one of the records is in the log beside the unit's chain. Such a record doesn't move the
/// head, so an honest signer names the same `prev` in its next one.
fn stands_beside<R: Read>(step: &Step<'_, R>, unit: &UnitId, ids: &[RecordId]) -> Result<bool> {
    for id in ids {
        let Some(index) = step.views.entry_of(id)? else {
            continue;
        };
        let row = step.views.history(unit, index)?;
        if row.is_none_or(|row| !row.joined) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The units whose chains a record means to go on.
fn refs(record: &Record) -> impl Iterator<Item = UnitRef> + '_ {
    record.refs().filter(|unit| unit.prev.is_some())
}

fn envelope(bytes: &[u8]) -> std::result::Result<Envelope, Refusal> {
    use prost::Message as _;
    let wire = wire::Envelope::decode(bytes)
        .map_err(|error| Refusal::new(Reason::Malformed, error.to_string()))?;
    Envelope::from_wire(&wire).map_err(|error| Refusal::new(Reason::Malformed, error.to_string()))
}

/// A reported envelope, whose signature must be right by a key that is known here.
fn reported<R: Read>(step: &Step<'_, R>, bytes: &[u8], field: &str) -> Result<Record> {
    let envelope = envelope(bytes).map_err(|refusal| refusal.at(field))?;
    let record = Record::decode(&envelope.payload).map_err(|refusal| refusal.at(field))?;
    let key = step
        .views
        .get::<Keys>(&envelope.key_id)?
        .ok_or_else(|| super::authority::unknown_key(envelope.key_id).at(field))?;
    let signed = envelope.signed_bytes();
    if record.key_id != envelope.key_id
        || record.origin != step.ledger.origin
        || !key.public.verifies(&signed, &envelope.signature)
    {
        return Err(Refusal::new(
            Reason::BadSignature,
            "the reported envelope is not of that key",
        )
        .at(field)
        .into());
    }
    Ok(record)
}

/// The unit's history names the entry, beside the chain.
fn note_in_history<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    id: UnitId,
) -> Result<()> {
    let mut shared = step.views.get::<Units>(&id)?.unwrap_or_default();
    let unit = Arc::make_mut(&mut shared);
    let row = HistoryRow {
        before: None,
        kind: step.placed.record.kind(),
        joined: false,
        signer: authority.actor,
        holder: unit.holder,
        offered: unit.offer.as_ref().map(|offer| offer.to),
        buyer: unit.buyer,
        container: unit.container,
        delivered: None,
    };
    step.views.put_history(id, unit, step.placed.index, row);
    step.views.put::<Units>(id, shared);
    Ok(())
}

fn party_key(public: PublicKey, party: PartyId, scope: KeyScope, index: LogIndex) -> Key {
    Key {
        public,
        owner: Actor::Party(party),
        scope,
        valid_from: Millis(0),
        valid_until: None,
        status: KeyStatus::Active,
        registered_at: index,
        ended_at: None,
    }
}

fn put_key<R: Read>(views: &mut Overlay<R>, party: PartyId, key: Key) {
    let id = key.public.id();
    views.put::<PartyKeys>((party, id), ());
    views.put::<Keys>(id, key);
}

fn refuse_known_key<R: Read>(step: &Step<'_, R>, key: &PublicKey) -> Result<()> {
    if step.views.get::<Keys>(&key.id())?.is_some() {
        return Err(already(format!("key {} is registered", key.id()), "key"));
    }
    Ok(())
}

/// The private half of a new key must be there: else a party could register another's key.
fn needs_possession<R: Read>(
    step: &Step<'_, R>,
    party: PartyId,
    key: &PublicKey,
    possession: &[u8; SIGNATURE_BYTES],
) -> Result<()> {
    let signed = key_possession_pae(&step.ledger.origin, &party.to_string());
    if key.verifies(&signed, possession) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::BadSignature,
        "the new key's proof of possession doesn't verify for this party and ledger",
    )
    .at("possession")
    .into())
}

pub(super) fn known_party<R: Read>(step: &Step<'_, R>, id: PartyId, field: &str) -> Result<Party> {
    let party = step.views.get::<Parties>(&id)?;
    let party = party.map(|party| Party::clone(&party));
    Ok(party.ok_or_else(|| {
        Refusal::new(Reason::NotFound, format!("{id} is not registered")).at(field)
    })?)
}

pub(super) fn needs_regulator(authority: &Authority) -> Result<()> {
    if authority.is_regulator() {
        return Ok(());
    }
    Err(unauthorised("this needs a full key of a regulator"))
}

pub(super) fn unauthorised(message: &str) -> super::ApplyError {
    Refusal::new(Reason::Unauthorised, message).into()
}

pub(super) fn already(message: String, field: &str) -> super::ApplyError {
    Refusal::new(Reason::AlreadyExists, message)
        .at(field)
        .into()
}

/// The caller chose the arm by the record's kind, so this is not reached; if it ever were, the
/// record would be refused, and nobody's process would end.
fn wrong_arm<T>() -> Result<T> {
    Err(Refusal::new(Reason::Malformed, "unexpected kind of record").into())
}

#[cfg(test)]
mod tests;
