//! What a rule needs that lies beyond the one unit: counts of a lot, contents of a parcel, what goes
//! into a Transform. In a bundle, where only part of the log is at hand, the committed answer stands.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Met, product_of};
use super::state::{Goods, Read, Units};
use super::{Focus, Result, Step, ranges_cover};
use crate::core::id::UnitId;
use crate::core::record::{Body, GoodsId, ProductId};
use crate::core::rules::{Break, FindingKind, LotCount, Target};
use crate::core::tlog::LogIndex;
use crate::core::wire;

/// What a rule needs that lies beyond the one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub lot_count: Option<LotCount>,
    pub transformed: Option<(u64, u64)>,
    pub confirm_mismatch: bool,
    /// Whether what is inside a container is known: not where only its own entries are at hand,
    /// since a Return takes a unit out without an entry in the container's chain.
    pub contents_known: bool,
}

impl Facts {
    /// Whether there is nothing in them that a rule could find fault with.
    pub fn are_plain(&self) -> bool {
        let over = self.lot_count.is_some_and(|lot| lot.is_over());
        !over && self.transformed.is_none() && !self.confirm_mismatch
    }
}

/// What a rule that looks at the whole log has found, where only part of the log is at hand.
pub(super) fn committed_flags(focus: Focus<'_>, number: u32) -> Vec<(FindingKind, Break)> {
    let Focus::Only(_, committed) = focus else {
        return Vec::new();
    };
    let flag = |finding: &wire::Finding| {
        let kind = FindingKind::from_number(finding.kind)?;
        let proof = Break {
            evidence: finding.evidence.iter().copied().map(LogIndex).collect(),
            measured: finding.measured,
            limit: finding.limit,
        };
        (kind.rule().whole_log && ranges_cover(&finding.subjects, number)).then_some((kind, proof))
    };
    committed.findings.iter().filter_map(flag).collect()
}

/// Counts the units of the lots that a Commission adds to, if their size was declared.
pub(super) struct LotCounter {
    lots: BTreeMap<ProductId, LotCount>,
}

impl LotCounter {
    pub(super) fn new<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Result<Self> {
        let mut lots = BTreeMap::new();
        let Body::Commission { attributes, .. } = &step.placed.record.body else {
            return Ok(Self { lots });
        };
        let (Some(lot), Focus::All) = (attributes.lot, step.focus) else {
            return Ok(Self { lots });
        };
        let products: BTreeSet<_> = subjects
            .iter()
            .filter_map(|met| product_of(&met.id))
            .collect();
        for product in products {
            let row = step.views.get::<Goods>(&GoodsId::Lot(product, lot))?;
            let row = row.unwrap_or_default();
            let declared = row.lot_size.zip(row.declared_at);
            let declared = declared.or(attributes.lot_size.zip(Some(step.placed.index)));
            if let Some((declared, declared_at)) = declared {
                let count = row.commissioned;
                lots.insert(
                    product,
                    LotCount {
                        count,
                        declared,
                        declared_at,
                    },
                );
            }
        }
        Ok(Self { lots })
    }

    /// How many units the lot has with this one, if it was declared.
    pub(super) fn with(&self, id: &UnitId) -> Option<LotCount> {
        let lot = self.lots.get(&product_of(id)?)?;
        Some(LotCount {
            count: lot.count + 1,
            ..*lot
        })
    }

    pub(super) fn add(&mut self, id: &UnitId) {
        if let Some(lot) = product_of(id).and_then(|product| self.lots.get_mut(&product)) {
            lot.count += 1;
        }
    }
}

/// Content of all inputs and of all outputs, where every one is known in one unit of measure.
pub(super) fn transformed<R: Read>(step: &Step<'_, R>, subjects: &[Met]) -> Option<(u64, u64)> {
    let Body::Transform {
        outputs,
        attributes,
    } = &step.placed.record.body
    else {
        return None;
    };
    if matches!(step.focus, Focus::Only(..)) {
        return None;
    }
    let each = attributes.content.as_ref()?;
    let mut inputs = 0u64;
    for met in subjects.iter().filter(|met| met.target == Target::Unit) {
        let content = met.unit.attributes.content.as_ref()?;
        if content.unit_of_measure != each.unit_of_measure {
            return None;
        }
        inputs = inputs.saturating_add(content.milli);
    }
    Some((inputs, each.milli.saturating_mul(outputs.len() as u64)))
}

/// Whether a Confirm lists other contents than the record shows. No list covers the parcel only.
pub(super) fn confirm_mismatch<R: Read>(
    step: &Step<'_, R>,
    met: &Met,
    number: u32,
) -> Result<bool> {
    let Body::Confirm { contents } = &step.placed.record.body else {
        return Ok(false);
    };
    if let Focus::Only(_, committed) = step.focus {
        // The contents' own histories are not at hand: the committed answer stands. Where nothing
        // was found at a unit beside the chain, the same was found there before on that day.
        let mut at_unit = committed
            .findings
            .iter()
            .filter(|finding| ranges_cover(&finding.subjects, number))
            .peekable();
        let nothing = at_unit.peek().is_none();
        let mismatch = i32::from(FindingKind::ContentMismatch.number());
        return Ok(at_unit.any(|finding| finding.kind == mismatch)
            || (nothing && !contents.is_empty() && ranges_cover(&committed.beside, number)));
    }
    if contents.is_empty() {
        return Ok(false);
    }
    let mut inside = 0u64;
    for unit in contents {
        let container = step
            .views
            .get::<Units>(unit)?
            .and_then(|unit| unit.container);
        match container {
            Some(container) if container == met.id => inside += 1,
            Some(container) if step.placed.record.units.iter().any(|u| u.id == container) => {}
            _ => return Ok(true),
        }
    }
    Ok(inside != met.unit.contents)
}
