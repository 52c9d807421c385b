//! Reports as tables, and the forms in which they are handed out.

mod pdf;

pub use pdf::{Font, FontError, PdfError};

use crate::core::lang::Lang;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What its values are.
    pub name: &'static str,
    /// Numbers stand to the right.
    pub number: bool,
    /// How wide it is on paper, beside the others.
    pub width: u16,
}

/// A column of texts.
#[must_use]
pub const fn text(name: &'static str, width: u16) -> Column {
    Column {
        name,
        number: false,
        width,
    }
}

/// A column of numbers.
#[must_use]
pub const fn number(name: &'static str, width: u16) -> Column {
    Column {
        name,
        number: true,
        width,
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it tells.
    pub title: &'static str,
    /// For when, of what.
    pub about: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// As many values as there are columns.
    pub rows: Vec<Vec<String>>,
    /// How the numbers are to be read.
    pub notes: Vec<&'static str>,
    /// The language of its words.
    pub lang: Lang,
}

/// First letters by which a spreadsheet takes a value for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

impl Table {
    /// As RFC 4180 has it, in UTF-8. A value that a spreadsheet would run as a formula gets an apostrophe in front:
    /// names come from strangers.
    ///
    /// # Errors
    /// None in memory; the library's signature has one.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut out = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        out.write_record(self.columns.iter().map(|column| column.name))?;
        for row in &self.rows {
            let safe = row.iter().zip(&self.columns).map(|(value, column)| {
                if !column.number && value.starts_with(FORMULA) {
                    format!("'{value}")
                } else {
                    value.clone()
                }
            });
            out.write_record(safe)?;
        }
        out.into_inner().map_err(|error| error.into_error().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn table(rows: Vec<Vec<String>>) -> Table {
        Table {
            title: "Title 标题",
            about: "202601 – 202612".into(),
            columns: vec![text("name", 3), number("count", 1)],
            rows,
            notes: vec!["a note"],
            lang: Lang::En,
        }
    }

    #[test]
    fn a_name_that_a_spreadsheet_would_run_is_made_a_text() {
        let rows = vec![
            vec!["=1+1".to_owned(), "-5".into()],
            vec!["a, \"b\"".into(), "2".into()],
        ];
        let csv = table(rows).to_csv().unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert_eq!(csv, "name,count\r\n'=1+1,-5\r\n\"a, \"\"b\"\"\",2\r\n");
    }
}
