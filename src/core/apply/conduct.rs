//! What is counted of records that joined: how many units each party moved in a month; and what a
//! delivery firm's keys do that is no finding and still counts in its score, goods passed on in time or
//! late, and collected with the three checks or without.

use std::collections::BTreeMap;

use super::authority::Authority;
use super::custody::Decided;
use super::judge::{Met, Outcome};
use super::state::{Conducts, Lapses, Parties, Read, Volumes};
use super::{Result, Step};
use crate::core::credit::access::Volume;
use crate::core::credit::calendar::month_of;
use crate::core::credit::score::{Conduct, Lapse};
use crate::core::id::PartyId;
use crate::core::record::{Body, Role};

/// Counts the units of a record that joined for its party.
pub(super) fn volume<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    decided: &Decided,
) -> Result<()> {
    let Some(party) = authority.actor.party() else {
        return Ok(());
    };
    let record = step.placed.record;
    let moves = matches!(
        record.body,
        Body::Commission { .. }
            | Body::Transform { .. }
            | Body::Accept { .. }
            | Body::Deliver { .. }
    );
    if !moves {
        return Ok(());
    }
    let month = month_of(step.placed.time);
    // What a Transform makes comes after what it ends.
    let ended = match record.body {
        Body::Transform { .. } => record.units.len(),
        _ => 0,
    };
    let focus = step.focus;
    let joined = decided
        .iter()
        .skip(ended)
        .filter(|(met, outcome)| matches!(outcome, Outcome::Joined(_)) && focus.covers(&met.id));
    let mut done = Volume::default();
    match record.body {
        Body::Commission { .. } | Body::Transform { .. } => done.made = joined.count() as u64,
        Body::Deliver { .. } => done.delivered = joined.count() as u64,
        Body::Accept { .. } => {
            // Only what is taken was handed over: an offer may be withdrawn again.
            let mut givers: BTreeMap<PartyId, u64> = BTreeMap::new();
            for (met, _) in joined {
                done.taken += 1;
                if let Some(giver) = met.unit.holder {
                    *givers.entry(giver).or_default() += 1;
                }
            }
            for (giver, handed_over) in givers {
                let done = Volume {
                    handed_over,
                    ..Volume::default()
                };
                add_volume(step, (giver, month), done)?;
            }
        }
        _ => {}
    }
    add_volume(step, (party, month), done)
}

fn add_volume<R: Read>(step: &mut Step<'_, R>, month: (PartyId, u32), done: Volume) -> Result<()> {
    if done != Volume::default() {
        let before = step.views.get::<Volumes>(&month)?.unwrap_or_default();
        step.views.put::<Volumes>(month, before.plus(done));
    }
    Ok(())
}

/// Counts the units of a record that joined for its key's score.
pub(super) fn count<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    decided: &Decided,
) -> Result<()> {
    let body = &step.placed.record.body;
    let moves = matches!(
        body,
        Body::Accept { .. } | Body::Handover(_) | Body::Deliver { .. }
    );
    if !moves || !authority.roles().contains(&Role::Courier) {
        return Ok(());
    }
    let mut done = Conduct::default();
    let mut firms = Firms::default();
    for (met, outcome) in decided {
        if !matches!(outcome, Outcome::Joined(_)) || !step.focus.covers(&met.id) {
            continue;
        }
        match body {
            Body::Accept { checked, .. } => {
                if firms.collects(step, met)? {
                    done.collected += 1;
                    done.unchecked += u64::from(!checked);
                }
            }
            _ => {
                if let Some(late) = passes_on(step, authority, met) {
                    done.passed_on += 1;
                    done.late += u64::from(late);
                }
            }
        }
    }
    if done == Conduct::default() {
        return Ok(());
    }
    let key = step.placed.record.key_id;
    let month = (key, month_of(step.placed.time));
    let before = step.views.get::<Conducts>(&month)?.unwrap_or_default();
    step.views.put::<Conducts>(month, before.plus(done));
    if done.late + done.unchecked > 0 {
        let lapse = Lapse {
            time: step.placed.time,
            late: done.late,
            unchecked: done.unchecked,
        };
        step.views.put::<Lapses>((key, step.placed.index), lapse);
    }
    Ok(())
}

/// Whether the party looked at last is a delivery firm: the units of a record come from one party mostly.
#[derive(Default)]
struct Firms(Option<(PartyId, bool)>);

impl Firms {
    /// Whether the unit, or what is around it, comes from somebody who is no delivery firm.
    fn collects<R: Read>(&mut self, step: &Step<'_, R>, met: &Met) -> Result<bool> {
        let outermost = met.around.last().map_or(&met.unit, |(_, outer)| outer);
        let Some(giver) = outermost.holder else {
            return Ok(false);
        };
        if let Some((_, collects)) = self.0.filter(|(party, _)| *party == giver) {
            return Ok(collects);
        }
        let party = step.views.get::<Parties>(&giver)?;
        let collects = party.is_some_and(|party| !party.roles.contains(&Role::Courier));
        self.0 = Some((giver, collects));
        Ok(collects)
    }
}

/// Whether the unit was held too long; none when the signer doesn't hold it, or passed it on already.
fn passes_on<R: Read>(step: &Step<'_, R>, authority: &Authority, met: &Met) -> Option<bool> {
    let tenure = met.unit.tenures.last()?;
    if tenure.counted || tenure.until.is_some() || Some(tenure.party) != authority.actor.party() {
        return None;
    }
    let allowed = u64::from(step.ledger.credit_policy.transit_hours) * 3_600_000;
    let held = step
        .placed
        .record
        .event_time
        .0
        .saturating_sub(tenure.from.0);
    Some(held > allowed)
}

#[cfg(test)]
mod tests {

    use super::super::testing::*;
    use super::*;
    use crate::core::tlog::LogIndex;
    use crate::core::wire::{self, CollectionCheck};

    const ALL: [CollectionCheck; 3] = [
        CollectionCheck::RealName,
        CollectionCheck::Inspection,
        CollectionCheck::Screening,
    ];

    fn accept_with(checks: &[CollectionCheck]) -> Says {
        Says::Accept(wire::Accept {
            checks: checks.iter().map(|check| (*check).into()).collect(),
            ..Default::default()
        })
    }

    use crate::core::apply::testing::Body as Says;

    fn conduct(w: &World, who: Who) -> Conduct {
        let rows = w.state.conducts.iter();
        let of_key = rows.filter(|((key, _), _)| *key == who.key_id());
        of_key.fold(Conduct::default(), |sum, (_, row)| sum.plus(*row))
    }

    fn lapse(w: &World, who: Who, at: LogIndex) -> Option<(u64, u64)> {
        let row = w.state.get::<Lapses>(&(who.key_id(), at)).unwrap();
        row.map(|lapse| (lapse.late, lapse.unchecked))
    }

    #[test]
    fn given_goods_from_a_sender_when_a_courier_takes_them_then_the_checks_count() {
        let mut w = World::new();
        let units = [item(1), item(2)];
        w.ok(MAKER, &units, say::commission());
        w.ok(MAKER, &units, say::handover(COURIER));
        let partly = w.ok(COURIER, &units, accept_with(&ALL[..2]));
        let expected = Conduct {
            collected: 2,
            unchecked: 2,
            ..Conduct::default()
        };
        assert_eq!(conduct(&w, COURIER), expected);
        assert_eq!(lapse(&w, COURIER, partly), Some((0, 2)));
        // From one courier to another is no collection.
        w.pass(&units, COURIER, COURIER_2);
        assert_eq!(conduct(&w, COURIER_2), Conduct::default());
        w.ok(MAKER, &[item(3)], say::commission());
        w.ok(MAKER, &[item(3)], say::handover(COURIER));
        let whole = w.ok(COURIER, &[item(3)], accept_with(&ALL));
        assert_eq!(conduct(&w, COURIER).unchecked, 2);
        assert_eq!(lapse(&w, COURIER, whole), None);
    }

    #[test]
    fn given_goods_with_a_courier_when_passed_on_then_the_hours_since_its_accept_count() {
        let mut w = World::new();
        let limit = 72 * HOUR;
        for (n, held) in [(1, limit), (2, limit + 1)] {
            let unit = [item(n)];
            w.ok(MAKER, &unit, say::commission());
            w.ok(MAKER, &unit, say::handover(COURIER));
            let accepted = w.now;
            w.ok(COURIER, &unit, accept_with(&ALL));
            w.now = accepted + held;
            let at = w.ok(COURIER, &unit, say::handover(SELLER));
            let late = u64::from(held > limit);
            assert_eq!(lapse(&w, COURIER, at), (late > 0).then_some((late, 0)));
        }
        let done = conduct(&w, COURIER);
        assert_eq!((done.passed_on, done.late), (2, 1));
        // A seller is no delivery firm.
        w.ok(SELLER, &[item(1)], say::accept());
        w.ok(SELLER, &[item(1)], say::handover(COURIER));
        assert_eq!(conduct(&w, SELLER), Conduct::default());
    }

    #[test]
    fn given_somebody_who_does_not_hold_the_goods_when_it_passes_them_on_then_nothing_counts() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let theft = w.draft(COURIER, &[item(1)], say::handover(SELLER));
        w.logged(&theft);
        assert_eq!(conduct(&w, COURIER), Conduct::default());
    }

    #[test]
    fn given_goods_that_are_offered_again_when_passed_on_then_they_count_once() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::handover(COURIER));
        w.ok(COURIER, &[item(1)], accept_with(&ALL));
        w.now += 80 * HOUR;
        w.ok(COURIER, &[item(1)], say::handover(SELLER));
        w.ok(COURIER, &[item(1)], say::void());
        w.ok(COURIER, &[item(1)], say::handover(SELLER));
        w.ok(SELLER, &[item(1)], say::refuse());
        w.ok(COURIER, &[item(1)], say::handover(COURIER_2));
        let done = conduct(&w, COURIER);
        assert_eq!(
            (done.passed_on, done.late),
            (1, 1),
            "neither more nor thinner"
        );
        // Who takes it on begins anew.
        w.ok(COURIER_2, &[item(1)], say::accept());
        w.ok(COURIER_2, &[item(1)], say::handover(SELLER));
        assert_eq!(conduct(&w, COURIER_2).passed_on, 1);
    }
}
