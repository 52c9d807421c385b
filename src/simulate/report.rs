//! The comparison: what was planted against what the ledger found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::truth::Truth;

/// A finding as the ledger tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FoundBreak {
    /// Name of the kind, as in the proto.
    pub kind: String,
    /// Canonical id of the unit; empty for a finding that is about no unit.
    pub unit: String,
    /// The entry that raised it.
    pub log_index: u64,
}

/// One kind of break.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name of the kind.
    pub kind: String,
    /// Breaks planted: pairs of kind and unit.
    pub planted: usize,
    /// Of these, found.
    pub found: usize,
    /// Units whose planted break was not found.
    pub missed: Vec<String>,
    /// Findings at units where no break of this kind was planted.
    pub extra: Vec<FoundBreak>,
}

/// Planted against found, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// A row for each kind that was planted or found, by name.
    pub rows: Vec<Row>,
    /// Units that the run made.
    pub commissioned: u64,
    /// Units without a planted break at which the ledger found something.
    pub clean_units_flagged: Vec<String>,
}

/// Compares. Several findings of one kind at one unit count once: goods that are past their date
/// break the same rule at every step.
#[must_use]
pub fn compare(truth: &Truth, found: &[FoundBreak]) -> Comparison {
    let pair = |kind: &str, unit: &str| (kind.to_owned(), unit.to_owned());
    let planted: BTreeSet<_> = truth
        .planted
        .iter()
        .map(|p| pair(&p.kind, &p.unit))
        .collect();
    let seen: BTreeSet<_> = found.iter().map(|f| pair(&f.kind, &f.unit)).collect();
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (kind, unit) in &planted {
        let row = rows.entry(kind).or_default();
        row.planted += 1;
        if seen.contains(&pair(kind, unit)) {
            row.found += 1;
        } else {
            row.missed.push(unit.clone());
        }
    }
    for finding in found
        .iter()
        .filter(|f| !planted.contains(&pair(&f.kind, &f.unit)))
    {
        rows.entry(&finding.kind)
            .or_default()
            .extra
            .push(finding.clone());
    }
    let broken: BTreeSet<&str> = truth.planted.iter().map(|p| p.unit.as_str()).collect();
    let flagged: BTreeSet<&str> = found
        .iter()
        .map(|f| f.unit.as_str())
        .filter(|unit| !broken.contains(unit))
        .collect();
    Comparison {
        rows: rows
            .into_iter()
            .map(|(kind, row)| Row {
                kind: kind.to_owned(),
                ..row
            })
            .collect(),
        commissioned: truth.commissioned,
        clean_units_flagged: flagged.into_iter().map(str::to_owned).collect(),
    }
}

impl Comparison {
    /// Every planted break was found, and nothing besides.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.missed.is_empty() && row.extra.is_empty())
    }

    /// Planted, found, missed and extra over all kinds.
    #[must_use]
    pub fn totals(&self) -> [usize; 4] {
        self.rows
            .iter()
            .fold([0; 4], |[planted, found, missed, extra], row| {
                [
                    planted + row.planted,
                    found + row.found,
                    missed + row.missed.len(),
                    extra + row.extra.len(),
                ]
            })
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let [planted, found, missed, extra] = self.totals();
        let kinds = self.rows.iter().filter(|row| row.planted > 0).count();
        let mut text = format!(
            "{planted} breaks of {kinds} kinds were planted among {} units. ",
            self.commissioned
        );
        if self.passed() {
            text.push_str("The ledger found every one of them, and flagged no clean unit.");
            return text;
        }
        let _ = write!(
            text,
            "The ledger found {found}, missed {missed}, and raised {extra} that nobody planted, \
             {} of them at clean units.",
            self.clean_units_flagged.len()
        );
        for row in &self.rows {
            for unit in row.missed.iter().take(5) {
                let _ = write!(text, "\nMissed: {} at {unit}.", row.kind);
            }
            for extra in row.extra.iter().take(5) {
                let (unit, index) = (&extra.unit, extra.log_index);
                let _ = write!(
                    text,
                    "\nNot planted: {} at {unit}, entry {index}.",
                    row.kind
                );
            }
        }
        text
    }

    /// As a table.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.kind.len())
            .max()
            .unwrap_or(0)
            .max(5);
        let line = |kind: &str, cells: [String; 4]| {
            let [planted, found, missed, extra] = cells;
            format!("{kind:<width$}  {planted:>7}  {found:>7}  {missed:>7}  {extra:>7}\n")
        };
        let numbers = |cells: [usize; 4]| cells.map(|number| number.to_string());
        let mut text = line(
            "kind",
            ["planted", "found", "missed", "extra"].map(str::to_owned),
        );
        for row in &self.rows {
            let cells = [row.planted, row.found, row.missed.len(), row.extra.len()];
            text.push_str(&line(&row.kind, numbers(cells)));
        }
        text.push_str(&line("total", numbers(self.totals())));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::truth::{PlantedBreak, TRUTH_FORMAT};
    use super::*;

    fn truth(planted: &[(&str, &str)]) -> Truth {
        let planted = planted.iter().map(|(kind, unit)| PlantedBreak {
            kind: (*kind).to_owned(),
            unit: (*unit).to_owned(),
            step: 0,
            story: String::new(),
            corrected: false,
        });
        Truth {
            format: TRUTH_FORMAT,
            seed: 1,
            origin: String::new(),
            units: 3,
            parties: 0,
            records: 0,
            commissioned: 3,
            records_by_kind: BTreeMap::new(),
            planted_by_kind: BTreeMap::new(),
            planted: planted.collect(),
            recalled: Vec::new(),
            disputed: Vec::new(),
            confirmed: Vec::new(),
            late_uploads: Vec::new(),
            credit: None,
        }
    }

    fn found(kind: &str, unit: &str, log_index: u64) -> FoundBreak {
        FoundBreak {
            kind: kind.to_owned(),
            unit: unit.to_owned(),
            log_index,
        }
    }

    #[test]
    fn given_all_found_and_one_twice_when_compared_then_it_passes() {
        let truth = truth(&[("EXPIRED", "a"), ("NOT_HOLDER", "b")]);
        let seen = [
            found("EXPIRED", "a", 1),
            found("EXPIRED", "a", 2),
            found("NOT_HOLDER", "b", 3),
        ];
        let comparison = compare(&truth, &seen);
        assert!(comparison.passed());
        assert_eq!(comparison.totals(), [2, 2, 0, 0]);
        assert!(comparison.words().contains("found every one"));
    }

    #[test]
    fn given_one_missed_and_one_too_many_when_compared_then_both_are_named() {
        let truth = truth(&[("EXPIRED", "a")]);
        let comparison = compare(
            &truth,
            &[found("NOT_HOLDER", "a", 7), found("EXPIRED", "c", 8)],
        );
        assert!(!comparison.passed());
        assert_eq!(comparison.totals(), [1, 0, 1, 2]);
        assert_eq!(comparison.clean_units_flagged, ["c"]);
        assert!(comparison.words().contains("Missed: EXPIRED at a."));
        assert!(comparison.table().lines().count() == 4);
    }
}
