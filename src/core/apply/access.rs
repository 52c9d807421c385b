//! Records of who may read what.

use super::authority::Authority;
use super::governance::{known_party, needs_regulator};
use super::state::{Consents, FileAccess, FileReads, Read};
use super::{Result, Step};
use crate::core::credit::access::{Consent, FILE_OPEN_MS, FileOpened, MAX_VIEW_MS};
use crate::core::id::PartyId;
use crate::core::record::{AccessBody, Millis, Role};
use crate::core::refusal::Refusal;

/// Applies a record that `by` signed with a full key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    by: PartyId,
    body: &AccessBody,
) -> Result<()> {
    let at = step.stamp();
    match body {
        AccessBody::OpenFile {
            subject,
            purpose,
            document,
        } => {
            needs_regulator(authority)?;
            known_party(step, *subject, "open_file.subject")?;
            let opened = FileOpened {
                by,
                key: step.placed.record.key_id,
                purpose: purpose.clone(),
                document: document.clone(),
                time: at.time,
            };
            step.views.put::<FileReads>((*subject, at.index), opened);
            let until = at.time.plus(FILE_OPEN_MS);
            step.views.put::<FileAccess>((by, *subject), until);
        }
        AccessBody::AuthoriseView { viewer, until } => {
            let viewing = known_party(step, *viewer, "authorise_view.viewer")?;
            let field = "authorise_view.until_ms";
            let until: Millis = until.unwrap_or(at.time);
            let may = [Role::Bank, Role::Fund];
            let is_viewer =
                viewing.is_active(at.time) && viewing.roles.iter().any(|role| may.contains(role));
            // Consent is withdrawn whatever became of the viewer.
            if until > at.time && !is_viewer {
                let message = format!("{viewer} is no approved bank or fund");
                return Err(Refusal::field("authorise_view.viewer", message).into());
            }
            if until > at.time.plus(MAX_VIEW_MS) {
                return Err(Refusal::field(field, "at most 366 days ahead").into());
            }
            step.views
                .put::<Consents>((by, *viewer), Consent { at, until });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::state::Volumes;
    use super::super::testing::*;
    use super::*;
    use crate::core::credit::access::Volume;
    use crate::core::credit::calendar::month_of;
    use crate::core::refusal::Reason;
    use crate::core::wire;

    fn open(w: &World, by: Who, of: Who) -> Draft {
        let body = wire::OpenFile {
            subject: of.party().to_string(),
            purpose: "a complaint is looked into".into(),
            document: "K-1".into(),
        };
        w.govern(by, Body::OpenFile(body))
    }

    fn authorise(w: &World, by: Who, viewer: Who, until_ms: u64) -> Draft {
        let body = wire::AuthoriseView {
            viewer: viewer.party().to_string(),
            until_ms,
        };
        w.govern(by, Body::AuthoriseView(body))
    }

    #[test]
    fn given_a_file_when_a_regulator_opens_it_then_who_and_why_is_kept_and_it_shuts_by_itself() {
        let mut w = World::new();
        assert_eq!(w.refused(&open(&w, BANK, COURIER)), Reason::Unauthorised);
        assert_eq!(w.refused(&open(&w, REGULATOR, NEWCOMER)), Reason::NotFound);
        let at = w.clean(&open(&w, REGULATOR, COURIER));
        let row = w.state.get::<FileReads>(&(COURIER.party(), at)).unwrap();
        let row = row.unwrap();
        assert_eq!((row.by, row.key), (REGULATOR.party(), REGULATOR.key_id()));
        assert_eq!(row.purpose, "a complaint is looked into");
        let pair = (REGULATOR.party(), COURIER.party());
        let until = w.state.get::<FileAccess>(&pair).unwrap();
        assert_eq!(until, Some(row.time.plus(FILE_OPEN_MS)));
    }

    #[test]
    fn given_consent_when_given_renewed_and_ended_then_the_last_word_counts() {
        let mut w = World::new();
        assert_eq!(
            w.refused(&authorise(&w, SELLER, MAKER, w.now + DAY)),
            Reason::InvalidField,
            "a maker is no bank"
        );
        let too_long = authorise(&w, SELLER, BANK, w.now + 400 * DAY);
        assert_eq!(w.refused(&too_long), Reason::InvalidField);
        w.clean(&authorise(&w, SELLER, BANK, w.now + DAY));
        let until = |w: &World| {
            let pair = (SELLER.party(), BANK.party());
            w.state.get::<Consents>(&pair).unwrap().unwrap().until.0
        };
        assert!(until(&w) > w.now);
        w.clean(&authorise(&w, SELLER, BANK, 0));
        assert!(until(&w) <= w.now);
    }

    #[test]
    fn given_a_way_to_the_buyer_when_counted_then_each_party_has_its_units_of_the_month() {
        let mut w = World::new();
        let units = [item(1), item(2), item(3)];
        w.ok(MAKER, &units, say::commission());
        w.ok(
            MAKER,
            &units[..2],
            say::ship(COURIER, BUYER, 100, wire::Means::Road),
        );
        w.ok(COURIER, &units[..2], say::accept());
        w.logged(&w.draft(COURIER, &units[..2], say::deliver(BUYER)));
        let stolen = w.draft(SELLER, &units[2..], say::handover(COURIER));
        w.submit(&stolen).unwrap();
        let volume = |who: Who| {
            let month = month_of(Millis(w.now));
            let row = w.state.get::<Volumes>(&(who.party(), month)).unwrap();
            row.unwrap_or_default()
        };
        let (made, handed_over) = (3, 2);
        assert_eq!(
            volume(MAKER),
            Volume {
                made,
                handed_over,
                ..Default::default()
            }
        );
        let (taken, delivered) = (2, 2);
        assert_eq!(
            volume(COURIER),
            Volume {
                taken,
                delivered,
                ..Default::default()
            }
        );
        assert_eq!(volume(SELLER), Volume::default(), "beside the chain");
    }
}
