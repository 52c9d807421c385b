//! Records of measures: who may make them, and what they change.

use std::sync::Arc;

use super::authority::Authority;
use super::governance::{needs_regulator, needs_root, unauthorised};
use super::share;
use super::state::{CreditItems, Listings, MeasureReports, Measures, Party, Read, ReadError};
use super::{Result, Step};
use crate::core::credit::measure::{MAX_MEASURES, Measure, MeasureReport};
use crate::core::credit::{
    CreditItem, CreditSeverity, Listing, MeasureAction, MeasureKind, Phase, Stamp,
};
use crate::core::id::PartyId;
use crate::core::record::{AttachMeasure, MeasureBody, Millis, Role};
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;

/// Applies a record that `by` signed with a full key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    by: PartyId,
    body: &MeasureBody,
) -> Result<()> {
    match body {
        MeasureBody::Attach(body) => {
            needs_regulator(authority)?;
            attach(step, by, body)
        }
        MeasureBody::End { measure } => {
            needs_regulator(authority)?;
            end(step, by, *measure)
        }
        MeasureBody::Report { measure, action } => {
            let acts = [Role::Platform, Role::Bank, Role::Fund, Role::Regulator];
            if !authority.roles().iter().any(|role| acts.contains(role)) {
                return Err(unauthorised(
                    "measures are for platforms, banks, funds and regulators to act on",
                ));
            }
            report(step, by, *measure, *action)
        }
    }
}

fn attach<R: Read>(step: &mut Step<'_, R>, by: PartyId, body: &AttachMeasure) -> Result<()> {
    let field = "attach_measure.listing";
    let mut row = step.views.get::<Listings>(&body.listing)?.ok_or_else(|| {
        let message = format!("entry {} proposes no listing", body.listing);
        Refusal::new(Reason::NotFound, message).at(field)
    })?;
    let at = step.stamp();
    let not_now = |message: &str| Refusal::new(Reason::FailedPrecondition, message).at(field);
    if !matches!(row.phase(at.time), Phase::Decided | Phase::InForce) {
        return Err(not_now("measures follow a decision, and end with the listing").into());
    }
    if row.severity == Some(CreditSeverity::Minor) {
        return Err(not_now("a minor listing has no consequences").into());
    }
    if !body.kind.fits(row.list) {
        let message = format!("no measure of the {:?} list", row.list);
        return Err(Refusal::field("attach_measure.kind", message).into());
    }
    if body.until.is_some_and(|until| until <= at.time) {
        let message = "the measure would have ended already";
        return Err(Refusal::field("attach_measure.until_ms", message).into());
    }
    if row.measures.len() >= MAX_MEASURES {
        return Err(not_now(&format!("it has {MAX_MEASURES} measures already")).into());
    }
    Arc::make_mut(&mut row).measures.push(at.index);
    let measure = Measure {
        listing: body.listing,
        subject: row.subject,
        authority: by,
        kind: body.kind,
        rate_per_mille: body.rate_per_mille,
        legal_basis: body.legal_basis.clone(),
        document: body.document.clone(),
        from: body.from,
        until: body.until,
        attached: at,
        ended: None,
    };
    if row.is_public(at.time) {
        share::measure(step, at.index, &measure, &row);
    }
    let item = (row.subject, at.index);
    step.views.put::<CreditItems>(item, CreditItem::Measure);
    step.views.put::<Measures>(at.index, Arc::new(measure));
    step.views.put::<Listings>(body.listing, row);
    Ok(())
}

fn known<R: Read>(
    step: &Step<'_, R>,
    index: LogIndex,
    field: &str,
) -> Result<(Arc<Measure>, Arc<Listing>)> {
    let unknown = || {
        let message = format!("entry {index} attaches no measure");
        Refusal::new(Reason::NotFound, message).at(field)
    };
    let measure = step.views.get::<Measures>(&index)?.ok_or_else(unknown)?;
    let listing = step.views.get::<Listings>(&measure.listing)?;
    Ok((measure, listing.ok_or_else(unknown)?))
}

fn end<R: Read>(step: &mut Step<'_, R>, by: PartyId, index: LogIndex) -> Result<()> {
    let field = "end_measure.measure";
    let (mut row, listing) = known(step, index, field)?;
    if row.authority != by {
        needs_root(
            step,
            "a measure is in the hands of the authority that attached it, or of a root key",
        )?;
    }
    let at = step.stamp();
    let over = row.ended.is_some()
        || matches!(listing.phase(at.time), Phase::Ended(_))
        || row.term(&listing).is_some_and(|(_, end)| at.time >= end);
    if over {
        let message = "the measure has ended already";
        return Err(Refusal::new(Reason::FailedPrecondition, message)
            .at(field)
            .into());
    }
    Arc::make_mut(&mut row).ended = Some(at);
    if listing.is_public(at.time) {
        share::retract_measure(step, index);
    }
    step.views.put::<Measures>(index, row);
    Ok(())
}

fn report<R: Read>(
    step: &mut Step<'_, R>,
    by: PartyId,
    index: LogIndex,
    action: MeasureAction,
) -> Result<()> {
    let field = "report_measure_applied.measure";
    let (row, listing) = known(step, index, field)?;
    let at = step.stamp();
    let before = step.views.get::<MeasureReports>(&(index, by))?;
    let refused = match action {
        MeasureAction::Applied if !row.applies(&listing, at.time) => Some("it is not in force"),
        MeasureAction::Lifted
            if before.is_none_or(|before| before.action == MeasureAction::Lifted) =>
        {
            Some("only what was reported as applied can be lifted")
        }
        _ => None,
    };
    if let Some(message) = refused {
        return Err(Refusal::new(Reason::FailedPrecondition, message)
            .at(field)
            .into());
    }
    step.views
        .put::<MeasureReports>((index, by), MeasureReport { action, at });
    Ok(())
}

/// A measure with the listing that it belongs to.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its number.
    pub index: LogIndex,
    /// The measure.
    pub measure: Arc<Measure>,
    /// Its listing.
    pub listing: Arc<Listing>,
}

impl Attached {
    /// Whether it is in force at a moment.
    #[must_use]
    pub fn applies(&self, now: Millis) -> bool {
        self.measure.applies(&self.listing, now)
    }
}

/// Measures of a party's listings that are in force or may come to be.
///
/// # Errors
/// [`ReadError`] when the storage fails.
pub fn measures_of<R: Read>(
    state: &R,
    party: &Party,
) -> std::result::Result<Vec<Attached>, ReadError> {
    let mut found = Vec::new();
    for index in party.listings() {
        let Some(listing) = state.get::<Listings>(&index)? else {
            continue;
        };
        for number in &listing.measures {
            if let Some(measure) = state.get::<Measures>(number)? {
                found.push(Attached {
                    index: *number,
                    measure,
                    listing: Arc::clone(&listing),
                });
            }
        }
    }
    Ok(found)
}

/// The inspection rate that a measure set for a party when a plan was announced; the highest where there are
/// several. What is attached later can't change whom the lot finds.
///
/// # Errors
/// [`ReadError`] when the storage fails.
pub fn inspection_rate<R: Read>(
    state: &R,
    party: &Party,
    announced: Stamp,
) -> std::result::Result<Option<u32>, ReadError> {
    let measures = measures_of(state, party)?;
    let rates = measures.iter().filter(|attached| {
        attached.measure.kind == MeasureKind::InspectionRate
            && attached.index < announced.index
            && attached.applies(announced.time)
    });
    Ok(rates.map(|attached| attached.measure.rate_per_mille).max())
}

#[cfg(test)]
mod tests {
    use super::super::state::{ShareEnds, Shares, Table as _};
    use super::super::testing::*;
    use super::*;
    use crate::core::credit::Ending;
    use crate::core::credit::share::{Shared, Subject};
    use crate::core::wire;

    use wire::MeasureKind::{InspectionRate, MarketingPriority, ShopBlocked};

    const PLATFORM: Who = NEWCOMER;

    fn world() -> World {
        let mut w = World::new();
        w.clean(&w.register(PLATFORM, &[Role::Platform]));
        w.clean(&w.approve(REGULATOR, PLATFORM, &[Role::Platform]));
        w
    }

    fn measure(listing: LogIndex, kind: wire::MeasureKind) -> wire::AttachMeasure {
        wire::AttachMeasure {
            listing: listing.0,
            kind: kind.into(),
            legal_basis: "measures on joint penalties, art. 9".into(),
            document: "M-1".into(),
            ..Default::default()
        }
    }

    fn attach(w: &World, by: Who, body: wire::AttachMeasure) -> Draft {
        w.govern(by, Body::AttachMeasure(body))
    }

    fn end(w: &World, by: Who, measure: LogIndex) -> Draft {
        let body = wire::EndMeasure {
            measure: measure.0,
            legal_basis: "art. 10".into(),
            document: "M-2".into(),
        };
        w.govern(by, Body::EndMeasure(body))
    }

    fn say(w: &World, by: Who, measure: LogIndex, action: wire::MeasureAction) -> Draft {
        let body = wire::ReportMeasureApplied {
            measure: measure.0,
            action: action.into(),
            evidence: None,
        };
        w.govern(by, Body::ReportMeasureApplied(body))
    }

    fn applies(w: &World, index: LogIndex, now: u64) -> bool {
        let row = w.state.get::<Measures>(&index).unwrap().unwrap();
        let listing = w.state.get::<Listings>(&row.listing).unwrap().unwrap();
        row.applies(&listing, Millis(now))
    }

    fn shared(w: &World) -> Vec<Shared> {
        Shares::of(&w.state)
            .in_order()
            .map(|(_, (_, shared))| *shared)
            .collect()
    }

    #[test]
    fn given_a_listing_when_measures_are_attached_then_they_live_within_its_term() {
        let mut w = world();
        let listing = w.propose(SELLER, Some(wire::CreditSeverity::Ordinary));
        let early = attach(&w, REGULATOR, measure(listing, ShopBlocked));
        assert_eq!(w.refused(&early), Reason::FailedPrecondition);
        w.hear(listing);
        w.clean(&w.decide_listing(listing, Some(wire::CreditSeverity::Ordinary), 6));
        let wrong = attach(&w, REGULATOR, measure(listing, MarketingPriority));
        assert_eq!(w.refused(&wrong), Reason::InvalidField);
        let stranger = attach(&w, PLATFORM, measure(listing, ShopBlocked));
        assert_eq!(w.refused(&stranger), Reason::Unauthorised);
        let blocked = w.clean(&attach(&w, REGULATOR, measure(listing, ShopBlocked)));
        assert!(
            !applies(&w, blocked, w.now),
            "the listing is not public yet"
        );
        assert_eq!(shared(&w), [], "nothing is public yet");
        w.publish(listing);
        let listed = Subject::Listing(listing);
        let both = [
            Shared::Public(listed),
            Shared::Public(Subject::Measure(blocked)),
        ];
        assert_eq!(shared(&w), both);
        assert!(applies(&w, blocked, w.now));
        let row = w.state.get::<Listings>(&listing).unwrap().unwrap();
        let until = row.term.unwrap().until;
        assert!(applies(&w, blocked, until.0 - 1) && !applies(&w, blocked, until.0));
        let ends = ShareEnds::of(&w.state).in_order();
        let ends: Vec<_> = ends.map(|(end, ())| *end).collect();
        assert_eq!(ends, [(until, listed), (until, Subject::Measure(blocked))]);
        let party = w.state.get::<super::super::state::Parties>(&SELLER.party());
        let party = party.unwrap().unwrap();
        assert_eq!(measures_of(&w.state, &party).unwrap().len(), 1);
    }

    #[test]
    fn given_a_measure_in_force_when_ended_or_its_listing_is_then_it_is_taken_back_once() {
        let mut w = world();
        let listing = w.blacklist(SELLER, wire::CreditSeverity::Ordinary, 6);
        let one = w.clean(&attach(&w, REGULATOR, measure(listing, ShopBlocked)));
        let rate = wire::AttachMeasure {
            rate_per_mille: 800,
            until_ms: w.now + DAY,
            ..measure(listing, InspectionRate)
        };
        let two = w.clean(&attach(&w, REGULATOR, rate));
        let three = w.clean(&attach(&w, REGULATOR, measure(listing, ShopBlocked)));
        let party = w.state.get::<super::super::state::Parties>(&SELLER.party());
        let party = party.unwrap().unwrap();
        let rate = |w: &World, now| {
            let (index, time) = (LogIndex(w.log.len() as u64), Millis(now));
            inspection_rate(&w.state, &party, Stamp { index, time }).unwrap()
        };
        assert_eq!(rate(&w, w.now), Some(800));
        assert_eq!(rate(&w, w.now + DAY), None, "its own end comes first");
        assert_eq!(w.refused(&end(&w, SELLER, one)), Reason::Unauthorised);
        w.clean(&end(&w, REGULATOR, one));
        assert_eq!(
            w.refused(&end(&w, REGULATOR, one)),
            Reason::FailedPrecondition
        );
        w.now += 2 * DAY;
        assert_eq!(
            w.refused(&end(&w, REGULATOR, two)),
            Reason::FailedPrecondition
        );
        let before = shared(&w).len();
        let over = wire::EndListing {
            listing: listing.0,
            legal_basis: "judgement".into(),
            document: "J-1".into(),
        };
        w.clean(&w.govern(REGULATOR, Body::EndListing(over)));
        let ending = Ending::Withdrawn;
        let taken_back = [Subject::Listing(listing), Subject::Measure(three)];
        let taken_back = taken_back.map(|subject| Shared::Retracted(subject, ending));
        assert_eq!(shared(&w)[before..], taken_back);
        assert!(!applies(&w, three, w.now));
        assert_eq!(
            w.refused(&attach(&w, REGULATOR, measure(listing, ShopBlocked))),
            Reason::FailedPrecondition
        );
    }

    #[test]
    fn given_a_measure_when_platforms_report_then_the_last_word_of_each_stands() {
        use wire::MeasureAction::{Applied, Lifted};
        let mut w = world();
        let listing = w.blacklist(SELLER, wire::CreditSeverity::Serious, 24);
        let index = w.clean(&attach(&w, REGULATOR, measure(listing, ShopBlocked)));
        assert_eq!(
            w.refused(&say(&w, SELLER, index, Applied)),
            Reason::Unauthorised
        );
        let too_soon = say(&w, PLATFORM, index, Lifted);
        assert_eq!(w.refused(&too_soon), Reason::FailedPrecondition);
        assert_eq!(
            w.refused(&say(&w, PLATFORM, LogIndex(0), Applied)),
            Reason::NotFound
        );
        w.clean(&say(&w, PLATFORM, index, Applied));
        w.clean(&say(&w, BANK, index, Applied));
        w.clean(&end(&w, REGULATOR, index));
        let late = say(&w, PLATFORM, index, Applied);
        assert_eq!(w.refused(&late), Reason::FailedPrecondition);
        w.clean(&say(&w, PLATFORM, index, Lifted));
        let last = |who: Who| {
            let row = w
                .state
                .get::<MeasureReports>(&(index, who.party()))
                .unwrap();
            row.map(|row| row.action)
        };
        assert_eq!(last(PLATFORM), Some(MeasureAction::Lifted));
        assert_eq!(last(BANK), Some(MeasureAction::Applied));
    }

    #[test]
    fn given_a_minor_listing_or_a_natural_person_when_listed_then_nothing_is_shared() {
        let mut w = world();
        let minor = w.blacklist(SELLER, wire::CreditSeverity::Minor, 2);
        let refused = attach(&w, REGULATOR, measure(minor, ShopBlocked));
        assert_eq!(w.refused(&refused), Reason::FailedPrecondition);
        assert_eq!(shared(&w), []);
    }
}
