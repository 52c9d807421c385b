//! What proves a score offline: the entries behind every point, in the log, signed, and saying what
//! the score says of them.
//!
//! It proves of each entry that the log holds it, that the key it names signed it, that the key is the
//! firm's where the item is about what the firm did, and that it is such an entry; and of the points, that they
//! follow from the counts by the published formula. It does not prove that nothing else happened, nor what
//! later entries decided about a finding or a claim: that takes the whole log, which `custody audit` replays.

use std::collections::BTreeMap;

use prost::Message as _;

use super::score::{FORMULA, FULL, ItemKind, MAX_ENTRIES, points, tier_of};
use super::{CreditRecordKind, CreditSeverity};
use crate::core::bundle::{DecodedEntry, MAX_BUNDLE_BYTES, decode_entry, included};
use crate::core::id::PartyId;
use crate::core::record::{Body, ClaimBody, CreditBody};
use crate::core::rules::{FindingKind, Severity};
use crate::core::signature::{KeyId, PublicKey};
use crate::core::tlog::LogIndex;
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::note::NoteVerifier;
use crate::core::wire;

/// Version of the file.
pub const FORMAT: u32 = 1;
/// Most steps from a key to the registration of its party: each key is registered by another.
const MAX_STEPS: usize = 64;

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The firm.
    pub party: PartyId,
    /// The ledger.
    pub origin: String,
    /// Entries of the log at the checkpoint.
    pub log_size: u64,
    /// The points.
    pub points: i64,
    /// Entries that the items name.
    pub named: usize,
    /// Entries that are counted and not named, since an item names only so many.
    pub unnamed: u64,
}

/// What is wrong with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvidenceError(String);

type Checked<T> = Result<T, EvidenceError>;

fn wrong(message: impl std::fmt::Display) -> EvidenceError {
    EvidenceError(message.to_string())
}

struct Evidence {
    party: PartyId,
    entries: BTreeMap<LogIndex, DecodedEntry>,
    keys: BTreeMap<KeyId, PublicKey>,
}

/// Verifies a file of evidence.
///
/// # Errors
/// [`EvidenceError`] says what is wrong with it.
pub fn verify(bytes: &[u8], log_key: &NoteVerifier) -> Checked<Verified> {
    if bytes.len() > MAX_BUNDLE_BYTES {
        return Err(wrong(format!("more than {MAX_BUNDLE_BYTES} bytes")));
    }
    let file = wire::CreditEvidence::decode(bytes).map_err(wrong)?;
    if file.format != FORMAT {
        return Err(wrong(format!("format {} is not known here", file.format)));
    }
    let party = file.party.parse().map_err(wrong)?;
    let origin = log_key.name().as_str();
    let keys = std::slice::from_ref(log_key);
    let checkpoint = Checkpoint::verify(&file.checkpoint, keys, origin).map_err(wrong)?;
    let mut evidence = Evidence {
        party,
        entries: BTreeMap::new(),
        keys: BTreeMap::new(),
    };
    for key in &file.keys {
        let key = PublicKey::parse(key.suite, &key.public_key).map_err(wrong)?;
        evidence.keys.insert(key.id(), key);
    }
    for proven in &file.entries {
        let index = LogIndex(proven.index);
        let at = |error: &dyn std::fmt::Display| wrong(format!("entry {index}: {error}"));
        included(proven, &checkpoint).map_err(|error| at(&error))?;
        let entry = decode_entry(&proven.entry).map_err(|error| at(&error))?;
        let key = evidence.keys.get(&entry.record.key_id);
        let key = key.ok_or_else(|| at(&"the key that signed it is missing"))?;
        if !key.verifies(&entry.envelope.signed_bytes(), &entry.envelope.signature) {
            return Err(at(&"the key that it names did not sign it"));
        }
        evidence.entries.insert(index, entry);
    }
    let score = file.score.ok_or_else(|| wrong("it holds no score"))?;
    if score.log_size > checkpoint.size().get() {
        return Err(wrong("the score counts entries beyond the checkpoint"));
    }
    let (named, unnamed) = evidence.score(&score)?;
    Ok(Verified {
        party,
        origin: origin.to_owned(),
        log_size: checkpoint.size().get(),
        points: i64::from(score.points),
        named,
        unnamed,
    })
}

impl Evidence {
    fn score(&self, score: &wire::GetScoreResponse) -> Checked<(usize, u64)> {
        if score.formula != FORMULA {
            let message = format!("version {} of the formula is not known here", score.formula);
            return Err(wrong(message));
        }
        let (mut sum, mut named, mut unnamed) = (0i64, 0, 0);
        let mut kinds = Vec::new();
        for item in &score.items {
            let kind = ItemKind::from_number(item.kind)
                .ok_or_else(|| wrong(format!("kind {} of item is not known", item.kind)))?;
            let expected = points(kind, item.count, item.of);
            if item.points != expected {
                return Err(wrong(format!(
                    "{kind:?}: {} points, but {} of {} give {expected}",
                    item.points, item.count, item.of
                )));
            }
            if kinds.contains(&kind) {
                return Err(wrong(format!("{kind:?} is there twice")));
            }
            kinds.push(kind);
            self.item(kind, item)?;
            sum = sum.saturating_add(item.points);
            named += item.entries.len();
            if item.of == 0 {
                unnamed += item.count - item.entries.len() as u64;
            }
        }
        let total = (FULL.saturating_add(sum)).clamp(0, FULL);
        let tier = format!("{:?}", tier_of(total));
        if i64::from(score.points) != total || score.tier != tier {
            return Err(wrong(format!(
                "{} points and tier {}, but the items give {total} and {tier}",
                score.points, score.tier
            )));
        }
        Ok((named, unnamed))
    }

    fn item(&self, kind: ItemKind, item: &wire::ScoreItem) -> Checked<()> {
        let entries = item.entries.len();
        let counts_entries = item.of == 0;
        let enough = if counts_entries {
            let most = usize::try_from(item.count).unwrap_or(usize::MAX);
            entries == most.min(MAX_ENTRIES)
        } else {
            (1..=MAX_ENTRIES).contains(&entries)
        };
        if !enough {
            return Err(wrong(format!("{kind:?}: {entries} entries are named")));
        }
        for index in &item.entries {
            let index = LogIndex(*index);
            let at = |message: &str| wrong(format!("{kind:?}: entry {index} {message}"));
            let entry = self.entries.get(&index);
            let entry = entry.ok_or_else(|| at("is not in the file"))?;
            if !self.shows(kind, entry) {
                return Err(at("doesn't show it"));
            }
            if kind.is_conduct() && self.owner(entry.record.key_id)? != self.party {
                return Err(at("was not signed by the firm"));
            }
        }
        Ok(())
    }

    /// Whether an entry is one that an item of this kind is about.
    fn shows(&self, kind: ItemKind, entry: &DecodedEntry) -> bool {
        let has = |wanted: Option<Severity>| {
            let kinds = entry.verdict.findings.iter();
            let kinds = kinds.filter_map(|found| FindingKind::from_number(found.kind));
            kinds
                .map(|kind| kind.rule().severity)
                .any(|severity| wanted.is_none_or(|wanted| wanted == severity))
        };
        let record = |severity: Option<CreditSeverity>| match &entry.record.body {
            Body::Credit(CreditBody::AddCreditRecord(added)) => {
                added.subject == self.party
                    && added.severity == severity
                    && (severity.is_some() || added.kind == CreditRecordKind::Award)
            }
            _ => false,
        };
        match kind {
            ItemKind::ConfirmedDoNotSell => has(Some(Severity::DoNotSell)),
            ItemKind::ConfirmedLookCloser => has(Some(Severity::LookCloser)),
            ItemKind::OpenFinding | ItemKind::DismissedFinding => has(None),
            ItemKind::Late => matches!(entry.record.body, Body::Handover(_) | Body::Deliver { .. }),
            ItemKind::Unchecked => {
                matches!(entry.record.body, Body::Accept { checked: false, .. })
            }
            ItemKind::UpheldClaim => {
                matches!(entry.record.body, Body::Claim(ClaimBody::OpenClaim { .. }))
            }
            ItemKind::BrokenCommitment => matches!(
                entry.record.body,
                Body::Credit(CreditBody::RecordBreach { .. })
            ),
            ItemKind::MinorRecord => record(Some(CreditSeverity::Minor)),
            ItemKind::OrdinaryRecord => record(Some(CreditSeverity::Ordinary)),
            ItemKind::SeriousRecord => record(Some(CreditSeverity::Serious)),
            ItemKind::Award => record(None),
            // It is shown because it counted once; what for doesn't matter any more.
            ItemKind::StruckOut => true,
        }
    }

    /// Whose a key is, by the entries that registered it and the keys before it.
    fn owner(&self, key: KeyId) -> Checked<PartyId> {
        let mut key = key;
        for _ in 0..MAX_STEPS {
            let found = self.entries.values().find_map(|entry| {
                let by = entry.record.key_id;
                match &entry.record.body {
                    Body::RegisterParty(body) if body.key.id() == key => {
                        Some(Registered::Party(body.party))
                    }
                    Body::AddKey(new) | Body::Delegate(new) if new.key.id() == key => {
                        Some(Registered::By(by))
                    }
                    Body::RotateKey { key: new, .. } if new.id() == key => Some(Registered::By(by)),
                    Body::Genesis {
                        regulator_keys,
                        regulator,
                        ..
                    } if regulator_keys.iter().any(|root| root.id() == key) => {
                        Some(Registered::Party(*regulator))
                    }
                    _ => None,
                }
            });
            match found {
                Some(Registered::Party(party)) => return Ok(party),
                Some(Registered::By(by)) => key = by,
                None => break,
            }
        }
        Err(wrong(format!("the file doesn't say whose key {key} is")))
    }
}

/// How a key came to be registered.
enum Registered {
    Party(PartyId),
    By(KeyId),
}

impl ItemKind {
    /// Whether it is about what the firm's own keys did.
    const fn is_conduct(self) -> bool {
        matches!(
            self,
            Self::ConfirmedDoNotSell
                | Self::ConfirmedLookCloser
                | Self::OpenFinding
                | Self::DismissedFinding
                | Self::Late
                | Self::Unchecked
        )
    }
}
