//! Records of random inspections: who may make them, and what they change.

use std::sync::Arc;

use super::authority::Authority;
use super::governance::{known_party, needs_regulator, needs_root};
use super::measure::inspection_rate;
use super::state::{Actor, Inspections, Keys, Plans, Read};
use super::{Result, Step};
use crate::core::credit::inspection::{Drawn, Found, Inspection, Plan, Seed, Ticket};
use crate::core::id::PartyId;
use crate::core::record::{AnnounceInspections, InspectionBody};
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;

/// Applies a record that `by` signed with a full key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    by: PartyId,
    body: &InspectionBody,
) -> Result<()> {
    needs_regulator(authority)?;
    match body {
        InspectionBody::Announce(body) => announce(step, by, body),
        InspectionBody::Draw { plan, seed, drawn } => {
            let mut row = in_hand(step, by, *plan)?;
            draw(step, (*plan, &mut row), *seed, drawn)?;
            step.views.put::<Plans>(*plan, Arc::new(row));
            Ok(())
        }
        InspectionBody::Result {
            plan,
            party,
            result,
            date,
            document,
        } => {
            let mut row = in_hand(step, by, *plan)?;
            let found = Found {
                result: *result,
                date: *date,
                document: document.clone(),
                at: step.stamp(),
            };
            record(step, *plan, *party, found)?;
            row.done += 1;
            step.views.put::<Plans>(*plan, Arc::new(row));
            Ok(())
        }
    }
}

fn announce<R: Read>(
    step: &mut Step<'_, R>,
    by: PartyId,
    body: &AnnounceInspections,
) -> Result<()> {
    let now = step.placed.time;
    for (i, key) in body.inspectors.iter().enumerate() {
        let row = step.views.get::<Keys>(key)?;
        let own = row.is_some_and(|row| row.owner == Actor::Party(by) && row.is_in_use(now));
        if !own {
            let field = format!("announce_inspections.inspectors[{i}]");
            let message = format!("{key} is no key in use of {by}: delegate it first");
            return Err(Refusal::field(field, message).into());
        }
    }
    let announced = step.stamp();
    let plan = Plan {
        authority: by,
        document: body.document.clone(),
        legal_basis: body.legal_basis.clone(),
        role: body.role,
        region: body.region.clone(),
        rates: body.rates,
        inspectors: body.inspectors.clone(),
        secret_commitment: body.secret_commitment,
        announced,
        draw: None,
        drawn: 0,
        done: 0,
    };
    step.views.put::<Plans>(announced.index, Arc::new(plan));
    Ok(())
}

/// The plan, if the signer announced it or is a root key.
fn in_hand<R: Read>(step: &Step<'_, R>, by: PartyId, index: LogIndex) -> Result<Plan> {
    let row = step.views.get::<Plans>(&index)?.ok_or_else(|| {
        let field = format!("{}.plan", step.placed.record.kind().name());
        let message = format!("entry {index} announces no inspections");
        Refusal::new(Reason::NotFound, message).at(field)
    })?;
    if row.authority != by {
        needs_root(
            step,
            "a plan is in the hands of the authority that announced it, or of a root key",
        )?;
    }
    Ok(Plan::clone(&row))
}

fn draw<R: Read>(
    step: &mut Step<'_, R>,
    (index, plan): (LogIndex, &mut Plan),
    seed: Seed,
    drawn: &[(PartyId, Drawn)],
) -> Result<()> {
    if plan.draw.is_some() {
        let message = "the inspections of this plan were drawn already";
        return Err(Refusal::new(Reason::FailedPrecondition, message)
            .at("draw_inspections.plan")
            .into());
    }
    if Seed::commitment(&seed.secret) != plan.secret_commitment {
        let message = "the announcement committed to another secret";
        return Err(Refusal::field("draw_inspections.secret", message).into());
    }
    let at = step.stamp();
    for (i, (id, drawn)) in drawn.iter().enumerate() {
        let field = |name: &str| format!("draw_inspections.drawn[{i}].{name}");
        let party = known_party(step, *id, &field("party"))?;
        if !plan.covers(&party, at.time) {
            let message = format!("the plan is not about {id}");
            return Err(Refusal::field(field("party"), message).into());
        }
        let of_tier = plan.rates.of(drawn.tier);
        let rate = inspection_rate(&step.views, &party, plan.announced)?.unwrap_or(of_tier);
        if drawn.rate_per_mille != rate {
            let message = format!("{rate} of a thousand by the plan and the party's measures");
            return Err(Refusal::field(field("rate_per_mille"), message).into());
        }
        let ticket = Ticket::of(&seed, index, *id);
        if !ticket.is_drawn(rate) {
            let message = format!("the seed doesn't draw {id} at this rate");
            return Err(Refusal::field(field("party"), message).into());
        }
        if ticket.inspector(&plan.inspectors) != Some(drawn.inspector) {
            let message = "the seed draws another inspector";
            return Err(Refusal::field(field("inspector"), message).into());
        }
        let inspection = Inspection {
            drawn: *drawn,
            result: None,
        };
        step.views
            .put::<Inspections>((index, *id), Arc::new(inspection));
    }
    plan.draw = Some((at, seed));
    plan.drawn = u32::try_from(drawn.len()).unwrap_or(u32::MAX);
    Ok(())
}

fn record<R: Read>(
    step: &mut Step<'_, R>,
    plan: LogIndex,
    party: PartyId,
    found: Found,
) -> Result<()> {
    let field = "record_inspection.party";
    let key = (plan, party);
    let mut row = step.views.get::<Inspections>(&key)?.ok_or_else(|| {
        let message = format!("plan {plan} did not draw {party}");
        Refusal::new(Reason::NotFound, message).at(field)
    })?;
    if row.result.is_some() {
        let message = "the result is in the log already";
        return Err(Refusal::new(Reason::FailedPrecondition, message)
            .at(field)
            .into());
    }
    Arc::make_mut(&mut row).result = Some(found);
    step.views.put::<Inspections>(key, row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::credit::{CreditTier, InspectionOutcome};
    use crate::core::record::Role;
    use crate::core::wire;

    const SEED: Seed = Seed {
        root: [5; 32],
        secret: [6; 32],
    };

    fn plan(inspectors: &[Who], rates: wire::InspectionRates) -> wire::AnnounceInspections {
        wire::AnnounceInspections {
            document: "S-1".into(),
            legal_basis: "measures on inspections, art. 3".into(),
            role: wire::Role::Courier.into(),
            region: String::new(),
            rates: Some(rates),
            inspectors: inspectors.iter().map(|w| w.key_id().0.to_vec()).collect(),
            secret_commitment: Seed::commitment(&SEED.secret).to_vec(),
        }
    }

    fn announce(w: &World, by: Who, body: wire::AnnounceInspections) -> Draft {
        w.govern(by, Body::AnnounceInspections(body))
    }

    fn all_of_tier_c() -> wire::InspectionRates {
        wire::InspectionRates {
            c: 1_000,
            ..Default::default()
        }
    }

    fn drawn(plan: LogIndex, who: Who, of: &[Who]) -> wire::DrawnParty {
        let mut keys: Vec<_> = of.iter().map(|who| who.key_id()).collect();
        keys.sort_unstable();
        let inspector = Ticket::of(&SEED, plan, who.party())
            .inspector(&keys)
            .unwrap();
        wire::DrawnParty {
            party: who.party().to_string(),
            tier: wire::CreditTier::C.into(),
            rate_per_mille: 1_000,
            inspector: inspector.0.to_vec(),
        }
    }

    fn draw(w: &World, by: Who, plan: LogIndex, mut drawn: Vec<wire::DrawnParty>) -> Draft {
        drawn.sort_by_key(|drawn| drawn.party.parse::<PartyId>().unwrap());
        let body = wire::DrawInspections {
            plan: plan.0,
            seed: SEED.root.to_vec(),
            secret: SEED.secret.to_vec(),
            drawn,
        };
        w.govern(by, Body::DrawInspections(body))
    }

    fn result(w: &World, by: Who, plan: LogIndex, who: Who) -> Draft {
        let body = wire::RecordInspection {
            plan: plan.0,
            party: who.party().to_string(),
            result: wire::InspectionOutcome::ToRectify.into(),
            date: 20_250_701,
            document: "S-3".into(),
            report: Some(some_digest()),
        };
        w.govern(by, Body::RecordInspection(body))
    }

    #[test]
    fn given_a_plan_when_drawn_and_done_then_each_step_comes_once_and_from_its_authority() {
        let mut w = World::new();
        let not_ours = announce(&w, REGULATOR, plan(&[MAKER], all_of_tier_c()));
        assert_eq!(w.refused(&not_ours), Reason::InvalidField);
        let stranger = announce(&w, COURIER, plan(&[COURIER], all_of_tier_c()));
        assert_eq!(w.refused(&stranger), Reason::Unauthorised);
        let officers = [REGULATOR];
        let index = w.clean(&announce(&w, REGULATOR, plan(&officers, all_of_tier_c())));
        let early = result(&w, REGULATOR, index, COURIER);
        assert_eq!(w.refused(&early), Reason::NotFound);
        let two = [COURIER, COURIER_2].map(|who| drawn(index, who, &officers));
        let mut other = draw(&w, REGULATOR, index, Vec::new());
        if let Some(Body::DrawInspections(body)) = &mut other.record.body {
            body.secret = vec![7; 32];
        }
        assert_eq!(w.refused(&other), Reason::InvalidField, "not the secret");
        w.clean(&draw(&w, REGULATOR, index, two.to_vec()));
        let again = draw(&w, REGULATOR, index, Vec::new());
        assert_eq!(w.refused(&again), Reason::FailedPrecondition);
        w.clean(&result(&w, REGULATOR, index, COURIER));
        let twice = result(&w, REGULATOR, index, COURIER);
        assert_eq!(w.refused(&twice), Reason::FailedPrecondition);
        let row = w.state.get::<Plans>(&index).unwrap().unwrap();
        assert_eq!((row.drawn, row.done), (2, 1));
        assert_eq!(row.draw.map(|(_, seed)| seed), Some(SEED));
        let row = w
            .state
            .get::<Inspections>(&(index, COURIER.party()))
            .unwrap();
        let found = row.unwrap().result.clone().unwrap();
        assert_eq!(found.result, InspectionOutcome::ToRectify);
    }

    #[test]
    fn given_a_draw_when_the_seed_says_otherwise_then_it_is_refused_with_the_party_named() {
        let mut w = World::new();
        let officers = [REGULATOR];
        let index = w.clean(&announce(&w, REGULATOR, plan(&officers, all_of_tier_c())));
        let sound = drawn(index, COURIER, &officers);
        let wrong = |change: &dyn Fn(&mut wire::DrawnParty)| {
            let mut one = sound.clone();
            change(&mut one);
            one
        };
        for (field, one) in [
            ("party", wrong(&|d| d.party = MAKER.party().to_string())),
            (
                "rate_per_mille",
                wrong(&|d| d.tier = wire::CreditTier::A.into()),
            ),
            ("rate_per_mille", wrong(&|d| d.rate_per_mille = 999)),
            (
                "inspector",
                wrong(&|d| d.inspector = MAKER.key_id().0.to_vec()),
            ),
            // Of tier A nobody is drawn: no seed does.
            (
                "party",
                wrong(&|d| (d.tier, d.rate_per_mille) = (wire::CreditTier::A.into(), 0)),
            ),
        ] {
            let refusal = w
                .submit(&draw(&w, REGULATOR, index, vec![one]))
                .unwrap_err();
            assert_eq!(refusal.field, format!("draw_inspections.drawn[0].{field}"));
        }
    }

    #[test]
    fn given_an_inspection_rate_when_drawn_then_it_takes_the_place_of_the_tiers() {
        let mut w = World::new();
        let listing = w.blacklist(COURIER, wire::CreditSeverity::Ordinary, 6);
        let measure = wire::AttachMeasure {
            listing: listing.0,
            kind: wire::MeasureKind::InspectionRate.into(),
            rate_per_mille: 1_000,
            legal_basis: "art. 9".into(),
            document: "M-1".into(),
            ..Default::default()
        };
        w.clean(&w.govern(REGULATOR, Body::AttachMeasure(measure)));
        let officers = [REGULATOR];
        let rates = wire::InspectionRates {
            d: 1,
            ..Default::default()
        };
        let index = w.clean(&announce(&w, REGULATOR, plan(&officers, rates)));
        let one = drawn(index, COURIER, &officers);
        w.clean(&draw(&w, REGULATOR, index, vec![one]));
        let row = w
            .state
            .get::<Inspections>(&(index, COURIER.party()))
            .unwrap();
        assert_eq!(row.unwrap().drawn.tier, CreditTier::C);
        let covers = |w: &World, who: Who, role: Role| {
            let mut plan = Plan::clone(&w.state.get::<Plans>(&index).unwrap().unwrap());
            plan.role = role;
            let party = w.state.get::<super::super::state::Parties>(&who.party());
            plan.covers(&party.unwrap().unwrap(), crate::core::record::Millis(w.now))
        };
        assert!(covers(&w, COURIER, Role::Courier) && !covers(&w, COURIER, Role::Maker));
    }
}
