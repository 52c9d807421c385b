//! `custody label`: the label of a unit, for its maker to print.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, QRCode};

use super::{Done, Failure, could, output};
use crate::core::id::UnitId;
use crate::core::tlog::note::NoteVerifier;
use crate::web::fingerprint;

/// Light modules around the code (ISO/IEC 18004, section 5.3.8: four).
const QUIET: usize = 4;
/// Height of a line of text, in modules.
const LINE: usize = 3;

/// Makes the label of a unit: a QR code of its GS1 Digital Link, as SVG.
#[derive(Args, Debug)]
pub(crate) struct LabelCommand {
    /// Which unit, in any form.
    unit: String,
    /// Where its page is, such as `https://trace.example`.
    #[arg(long)]
    resolver: String,
    /// The log's key (log.vkey): prints its fingerprint, to compare with the page.
    #[arg(long)]
    trust: Option<PathBuf>,
    /// Where to write it [default: the standard output].
    #[arg(long, short)]
    out: Option<PathBuf>,
}

impl LabelCommand {
    pub(super) fn run(self) -> Done {
        let unit = UnitId::parse_any(&self.unit).map_err(|error| Failure::No(error.to_string()))?;
        if !["https://", "http://"]
            .iter()
            .any(|scheme| self.resolver.starts_with(scheme))
        {
            return Err(Failure::No("--resolver: begin with https://".into()));
        }
        let link = unit.to_digital_link(&self.resolver);
        let code = QRBuilder::new(link.as_str()).ecl(ECL::M).build();
        let code = code.map_err(|error| Failure::No(format!("{link}: {error:?}")))?;
        let mut lines = lines(&unit);
        if let Some(path) = &self.trust {
            let text = std::fs::read_to_string(path).map_err(could(path.display()))?;
            let key: NoteVerifier = text.trim().parse().map_err(could(path.display()))?;
            let all = fingerprint(&key.public_key());
            // Two lines of eight groups fit under a code.
            let (first, second) = all.split_at(39);
            lines.extend([
                "LOG KEY".to_owned(),
                first.to_owned(),
                second.trim().to_owned(),
            ]);
        }
        let svg = draw(&code, &lines);
        match &self.out {
            Some(path) => std::fs::write(path, svg).map_err(could(path.display())),
            None => output::line(svg),
        }
    }
}

/// What stands beside the code for people (GS1 General Specifications, section 4.14): the application
/// identifiers in brackets.
fn lines(unit: &UnitId) -> Vec<String> {
    match unit {
        UnitId::Sgtin(item) => vec![format!("(01){}", item.gtin), format!("(21){}", item.serial)],
        UnitId::Sscc(sscc) => vec![format!("(00){sscc}")],
        UnitId::Waybill(_) | UnitId::DrugCode(_) => vec![unit.to_string()],
    }
}

fn draw(code: &QRCode, lines: &[String]) -> String {
    let size = code.size + 2 * QUIET;
    let height = size + lines.len() * LINE + usize::from(!lines.is_empty());
    let mut modules = String::new();
    for row in 0..code.size {
        for column in 0..code.size {
            if code[row][column].value() {
                let _ = write!(modules, "M{} {}h1v1h-1z", column + QUIET, row + QUIET);
            }
        }
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {height}\" width=\"30mm\" \
         shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{height}\" fill=\"#fff\"/>\
         <path d=\"{modules}\"/>"
    );
    for (number, line) in lines.iter().enumerate() {
        let y = size + (number + 1) * LINE - 1;
        // A long line is squeezed rather than cut off.
        let room = size - 2;
        let squeezed = if line.chars().count() * 6 / 5 > room {
            format!(" textLength=\"{room}\" lengthAdjust=\"spacingAndGlyphs\"")
        } else {
            String::new()
        };
        let text = line
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;");
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{y}\" font-size=\"2\" font-family=\"monospace\" text-anchor=\"middle\"{squeezed}>{text}</text>",
            size / 2
        );
    }
    svg.push_str("</svg>");
    svg
}
