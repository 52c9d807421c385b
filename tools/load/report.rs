//! The table, and the same as JSON.

use serde_json::{Value, json};

/// A row: what was measured, beside its limit.
pub struct Row {
    pub what: String,
    pub unit: &'static str,
    pub figure: f64,
    /// What the limit is, and how much.
    pub limits: Vec<Limit>,
    pub notes: Vec<String>,
}

/// A figure to compare with.
pub struct Limit {
    pub what: String,
    pub value: f64,
    pub target: Target,
}

/// What the ratio of figure to limit should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtLeast(ratio) => format!(">= {ratio}"),
            Self::AtMost(ratio) => format!("<= {ratio}"),
        }
    }

    fn met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }
}

impl Row {
    pub fn new(what: impl Into<String>, unit: &'static str, figure: f64) -> Self {
        Self {
            what: what.into(),
            unit,
            figure,
            limits: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn limit(mut self, what: impl Into<String>, value: f64, target: Target) -> Self {
        self.limits.push(Limit {
            what: what.into(),
            value,
            target,
        });
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Prints it, so that a long run shows what it has.
    pub fn print(&self) {
        let figure = format!("{} {}", number(self.figure), self.unit);
        println!("{:<54} {figure:>18}", self.what);
        for limit in &self.limits {
            let ratio = self.figure / limit.value;
            println!(
                "    {:<50} {:>18} {:>8.2} {:>8}  {}",
                limit.what,
                format!("{} {}", number(limit.value), self.unit),
                ratio,
                limit.target.text(),
                if limit.target.met(ratio) {
                    "met"
                } else {
                    "NOT MET"
                }
            );
        }
        for note in &self.notes {
            println!("    ({note})");
        }
    }

    fn json(&self) -> Value {
        let limits: Vec<Value> = self
            .limits
            .iter()
            .map(|limit| {
                let ratio = self.figure / limit.value;
                json!({
                    "what": limit.what,
                    "value": limit.value,
                    "ratio": ratio,
                    "target": limit.target.text(),
                    "met": limit.target.met(ratio),
                })
            })
            .collect();
        json!({
            "what": self.what,
            "unit": self.unit,
            "figure": self.figure,
            "limits": limits,
            "notes": self.notes,
        })
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(' ');
            }
            text.push(digit);
        }
        text
    } else {
        format!("{value:.2}")
    }
}

/// All rows as one table and, beside it, as JSON.
pub fn finish(rows: &[Row], machine: &Value, json_path: Option<&std::path::Path>) {
    println!("\n== all rows (figure; below it each limit of the same run, ratio, target) ==\n");
    for row in rows {
        row.print();
    }
    let all: Vec<Value> = rows.iter().map(Row::json).collect();
    if let Some(path) = json_path {
        let text = json!({ "machine": machine, "rows": all });
        let text = serde_json::to_string_pretty(&text).expect("JSON");
        std::fs::write(path, text).expect("the JSON file is written");
        println!("\nwritten: {}", path.display());
    }
    let missed = rows
        .iter()
        .flat_map(|row| row.limits.iter().map(move |limit| (row, limit)))
        .filter(|(row, limit)| !limit.target.met(row.figure / limit.value))
        .count();
    println!(
        "\n{} of {} targets met",
        rows.iter().map(|row| row.limits.len()).sum::<usize>() - missed,
        rows.iter().map(|row| row.limits.len()).sum::<usize>()
    );
}
