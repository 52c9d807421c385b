//! What entries make public and take back, for the feed of `credit::share`.

use super::state::{Measures, Overlay, Read, ShareEnds, Shares};
use super::{Result, Step};
use crate::core::credit::measure::Measure;
use crate::core::credit::share::{Shared, Subject};
use crate::core::credit::{Ending, Listing, Phase};
use crate::core::record::Millis;
use crate::core::tlog::LogIndex;

fn put<R: Read>(step: &mut Step<'_, R>, shared: Shared) {
    let index = step.placed.index;
    let key = (index, step.shared);
    step.shared = step.shared.saturating_add(1);
    let time = step.placed.time;
    step.views.put::<Shares>(key, (time, shared));
}

fn public<R: Read>(step: &mut Step<'_, R>, subject: Subject, until: Millis) {
    put(step, Shared::Public(subject));
    ends(&mut step.views, until, subject);
}

fn ends<R: Read>(views: &mut Overlay<R>, until: Millis, subject: Subject) {
    views.put::<ShareEnds>((until, subject), ());
}

/// A credit record that everybody may see.
pub(super) fn record<R: Read>(step: &mut Step<'_, R>) {
    put(step, Shared::Record(step.placed.index));
}

/// A measure of a public listing.
pub(super) fn measure<R: Read>(
    step: &mut Step<'_, R>,
    index: LogIndex,
    measure: &Measure,
    listing: &Listing,
) {
    if let Some((_, until)) = measure.term(listing) {
        public(step, Subject::Measure(index), until);
    }
}

/// A measure that an entry ended.
pub(super) fn retract_measure<R: Read>(step: &mut Step<'_, R>, index: LogIndex) {
    put(
        step,
        Shared::Retracted(Subject::Measure(index), Ending::Withdrawn),
    );
}

/// What a step of a listing makes public or takes back, its measures included.
pub(super) fn listing<R: Read>(
    step: &mut Step<'_, R>,
    before: &Listing,
    after: &Listing,
) -> Result<()> {
    let now = step.placed.time;
    let index = after.proposed.index;
    let (was, is) = (before.is_public(now), after.is_public(now));
    if was == is {
        return Ok(());
    }
    let ending = match after.phase(now) {
        Phase::Ended(ending) => ending,
        _ => Ending::Withdrawn,
    };
    match after.term {
        Some(term) if is => public(step, Subject::Listing(index), term.until),
        _ => put(step, Shared::Retracted(Subject::Listing(index), ending)),
    }
    for number in &after.measures {
        let Some(row) = step.views.get::<Measures>(number)? else {
            continue;
        };
        let listing = if is { after } else { before };
        // What has ended by itself, or by an entry, was taken back then.
        if row.term(listing).is_none_or(|(_, until)| now >= until) {
            continue;
        }
        if is {
            measure(step, *number, &row, after);
        } else {
            put(step, Shared::Retracted(Subject::Measure(*number), ending));
        }
    }
    Ok(())
}
