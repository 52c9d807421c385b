//! A table on paper: PDF with the letters that it uses embedded, and the same as CSV attached.

use std::path::{Path, PathBuf};

use krilla::Document;
use krilla::color::rgb;
use krilla::embed::{AssociationKind, EmbeddedFile, MimeType};
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::surface::Surface;
use krilla::text::{GlyphId, KrillaGlyph};
use skrifa::instance::{LocationRef, Size};
use skrifa::raw::FileRef;
use skrifa::string::StringId;
use skrifa::{FontRef, MetadataProvider as _};

use super::Table;

/// A4, landscape, in points.
const PAGE: (f32, f32) = (841.89, 595.28);
/// To every side.
const MARGIN: f32 = 40.0;
/// Sizes of letters.
const TITLE: f32 = 16.0;
const BODY: f32 = 8.5;
const SMALL: f32 = 7.5;
/// Between lines, in sizes of letters.
const LEADING: f32 = 1.35;
/// Between columns, and around the rows.
const GAP: f32 = 8.0;
const PAD: f32 = 3.0;
/// Most lines of one cell; the attached table has all of it.
const MAX_CELL_LINES: usize = 12;
/// Most rows on paper.
pub const MAX_ROWS: usize = 5_000;

/// Where Debian's and other packages put fonts that have Chinese letters.
const KNOWN: [&str; 4] = [
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/opentype/source-han-sans/SourceHanSansSC-Regular.otf",
];

/// The font of reports.
#[derive(Clone)]
pub struct Font {
    font: krilla::text::Font,
    data: krilla::Data,
    index: u32,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum FontError {
    /// Nothing at the known places.
    #[error(
        "no font with Chinese letters was found: install fonts-noto-cjk where the ledger runs, or name one with \
         `custody serve --report-font`"
    )]
    None,
    /// The file.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// Not a font, or one without the letters.
    #[error("{0} is no OpenType font with Chinese letters")]
    Unfit(PathBuf),
}

/// Why a table is not put on paper.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// Too long.
    #[error(
        "the report has {0} rows, on paper at most {MAX_ROWS}: take the CSV, or a shorter period"
    )]
    Rows(usize),
    /// The library.
    #[error("the PDF could not be made: {0}")]
    Made(String),
}

impl Font {
    /// The font of a file; without one, of the first known place that has one.
    ///
    /// # Errors
    /// [`FontError`] says what is missing.
    pub fn open(named: Option<&Path>) -> Result<Self, FontError> {
        let known = || KNOWN.iter().map(Path::new).find(|path| path.exists());
        let path = named.or_else(known).ok_or(FontError::None)?;
        let bytes = std::fs::read(path).map_err(|error| FontError::Io(path.to_owned(), error))?;
        Self::new(bytes).ok_or_else(|| FontError::Unfit(path.to_owned()))
    }

    /// Of a collection the one for simplified Chinese.
    fn new(bytes: Vec<u8>) -> Option<Self> {
        let named = |font: &FontRef<'_>| {
            let mut names = font.localized_strings(StringId::FAMILY_NAME);
            names.any(|name| name.chars().collect::<String>().ends_with(" SC"))
        };
        let index = match FileRef::new(&bytes).ok()? {
            FileRef::Font(_) => 0,
            FileRef::Collection(all) => {
                let chinese = all.iter().position(|font| font.as_ref().is_ok_and(named));
                u32::try_from(chinese.unwrap_or(0)).ok()?
            }
        };
        let font = FontRef::from_index(&bytes, index).ok()?;
        font.charmap().map('溯')?;
        let data = krilla::Data::from(bytes);
        let font = krilla::text::Font::new(data.clone(), index)?;
        Some(Self { font, data, index })
    }
}

/// Letters as the font draws them.
struct Letters<'a> {
    font: FontRef<'a>,
    units: f32,
}

impl<'a> Letters<'a> {
    fn new(font: &'a Font) -> Result<Self, PdfError> {
        let made = FontRef::from_index(font.data.as_ref(), font.index);
        let made = made.map_err(|error| PdfError::Made(error.to_string()))?;
        let metrics = made.metrics(Size::unscaled(), LocationRef::default());
        Ok(Self {
            font: made,
            units: f32::from(metrics.units_per_em),
        })
    }

    /// Number and width of a letter's glyph, at size 1.
    fn glyph(&self, letter: char) -> (u32, f32) {
        let glyph = self.font.charmap().map(letter).unwrap_or_default();
        let metrics = self
            .font
            .glyph_metrics(Size::unscaled(), LocationRef::default());
        (
            glyph.to_u32(),
            metrics.advance_width(glyph).unwrap_or(0.0) / self.units,
        )
    }

    fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|letter| self.glyph(letter).1 * size).sum()
    }

    /// A text in lines that fit a width. It is broken at spaces, and within what is longer than a line.
    fn lines(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut line, mut used, mut space) = (String::new(), 0.0, None);
        for letter in text.chars() {
            let own = self.glyph(letter).1 * size;
            if used + own > width && !line.is_empty() {
                let rest = match space.take() {
                    Some(at) if letter != ' ' => line.split_off(at),
                    _ => String::new(),
                };
                lines.push(std::mem::replace(&mut line, rest.trim_start().to_owned()));
                used = self.width(&line, size);
            }
            if letter == ' ' {
                space = Some(line.len());
            }
            line.push(letter);
            used += own;
            if lines.len() == MAX_CELL_LINES {
                line = "…".to_owned();
                break;
            }
        }
        lines.push(line);
        lines
    }
}

/// What is drawn on pages, one after the other.
struct Sheet<'a> {
    font: &'a Font,
    letters: Letters<'a>,
    /// Left edge and width of each column.
    columns: Vec<(f32, f32)>,
}

fn ink(red: u8, green: u8, blue: u8) -> Fill {
    Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        ..Fill::default()
    }
}

impl Sheet<'_> {
    fn write(&self, surface: &mut Surface<'_>, (x, y): (f32, f32), text: &str, size: f32) {
        let glyphs: Vec<KrillaGlyph> = text
            .char_indices()
            .map(|(at, letter)| {
                let (glyph, advance) = self.letters.glyph(letter);
                let range = at..at + letter.len_utf8();
                KrillaGlyph::new(GlyphId::new(glyph), advance, 0.0, 0.0, 0.0, range, None)
            })
            .collect();
        surface.draw_glyphs(
            Point::from_xy(x, y),
            &glyphs,
            self.font.font.clone(),
            text,
            size,
            false,
        );
    }

    /// The cells of a row in lines, and how high the row is.
    fn cells<'t>(&self, values: impl Iterator<Item = &'t str>) -> (Vec<Vec<String>>, f32) {
        let cells: Vec<Vec<String>> = values
            .zip(&self.columns)
            .map(|(value, (_, width))| self.letters.lines(value, BODY, *width))
            .collect();
        let most = cells.iter().map(Vec::len).max().unwrap_or(1);
        #[allow(clippy::cast_precision_loss)] // a dozen lines
        let height = most as f32 * BODY * LEADING + 2.0 * PAD;
        (cells, height)
    }

    fn row(&self, surface: &mut Surface<'_>, table: &Table, top: f32, cells: &[Vec<String>]) {
        for ((lines, (x, width)), column) in cells.iter().zip(&self.columns).zip(&table.columns) {
            let mut y = top + PAD + BODY;
            for line in lines {
                let x = if column.number {
                    x + width - self.letters.width(line, BODY)
                } else {
                    *x
                };
                self.write(surface, (x, y), line, BODY);
                y += BODY * LEADING;
            }
        }
    }
}

fn bar(surface: &mut Surface<'_>, fill: Fill, top: f32, height: f32) {
    let mut path = PathBuilder::new();
    if let Some(rect) = Rect::from_xywh(MARGIN - PAD, top, PAGE.0 - 2.0 * (MARGIN - PAD), height) {
        path.push_rect(rect);
    }
    if let Some(path) = path.finish() {
        surface.set_fill(Some(fill));
        surface.draw_path(&path);
    }
}

/// Left edges and widths of the columns.
fn columns(table: &Table) -> Vec<(f32, f32)> {
    let all: u16 = table.columns.iter().map(|column| column.width).sum();
    let gaps = GAP * f32::from(u16::try_from(table.columns.len()).unwrap_or(1) - 1);
    let room = PAGE.0 - 2.0 * MARGIN - gaps;
    let mut x = MARGIN;
    let place = |column: &super::Column| {
        let width = room * f32::from(column.width) / f32::from(all.max(1));
        let place = (x, width);
        x += width + GAP;
        place
    };
    table.columns.iter().map(place).collect()
}

/// A row in lines, and how high it is.
type Row = (Vec<Vec<String>>, f32);

impl Table {
    /// As PDF. `stamp` stands at the foot of every page: of which log it is, and when it was made.
    ///
    /// # Errors
    /// [`PdfError`] when it is too long.
    pub fn to_pdf(
        &self,
        font: &Font,
        stamp: &str,
        csv: Vec<u8>,
        file: &str,
    ) -> Result<Vec<u8>, PdfError> {
        if self.rows.len() > MAX_ROWS {
            return Err(PdfError::Rows(self.rows.len()));
        }
        let letters = Letters::new(font)?;
        let sheet = Sheet {
            font,
            letters,
            columns: columns(self),
        };
        let head = sheet.cells(self.columns.iter().map(|column| column.name));
        let notes: Vec<String> = self
            .notes
            .iter()
            .flat_map(|note| sheet.letters.lines(note, SMALL, PAGE.0 - 2.0 * MARGIN))
            .collect();
        let pages = self.pages(&sheet, head.1, notes.len());
        let count = pages.len();
        let mut document = Document::new();
        for (number, rows) in pages.iter().enumerate() {
            let settings = PageSettings::from_wh(PAGE.0, PAGE.1);
            let settings = settings.ok_or_else(|| PdfError::Made("the page has no size".into()))?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            let mut top = MARGIN;
            if number == 0 {
                top = self.title(&mut surface, &sheet);
            }
            bar(&mut surface, ink(226, 234, 238), top, head.1);
            surface.set_fill(Some(ink(20, 33, 43)));
            sheet.row(&mut surface, self, top, &head.0);
            top += head.1;
            for (place, (cells, height)) in rows.iter().enumerate() {
                if place % 2 == 1 {
                    bar(&mut surface, ink(246, 248, 249), top, *height);
                    surface.set_fill(Some(ink(20, 33, 43)));
                }
                sheet.row(&mut surface, self, top, cells);
                top += height;
            }
            surface.set_fill(Some(ink(74, 90, 102)));
            if number + 1 == count {
                for note in &notes {
                    top += SMALL * LEADING;
                    sheet.write(&mut surface, (MARGIN, top + PAD), note, SMALL);
                }
            }
            let foot = format!("{stamp} · {}/{count}", number + 1);
            sheet.write(&mut surface, (MARGIN, PAGE.1 - MARGIN / 2.0), &foot, SMALL);
            surface.finish();
            page.finish();
        }
        let about = Metadata::new()
            .title(self.title.to_owned())
            .language(self.lang.tag().to_owned());
        document.set_metadata(about.description(format!("{} {stamp}", self.about)));
        document.embed_file(EmbeddedFile {
            path: file.to_owned(),
            mime_type: MimeType::new("text/csv"),
            description: Some(self.title.to_owned()),
            association_kind: AssociationKind::Data,
            data: csv.into(),
            modification_date: None,
            compress: None,
            location: None,
        });
        document
            .finish()
            .map_err(|error| PdfError::Made(format!("{error:?}")))
    }

    fn title(&self, surface: &mut Surface<'_>, sheet: &Sheet<'_>) -> f32 {
        surface.set_fill(Some(ink(20, 33, 43)));
        sheet.write(surface, (MARGIN, MARGIN + TITLE), self.title, TITLE);
        surface.set_fill(Some(ink(74, 90, 102)));
        sheet.write(surface, (MARGIN, MARGIN + 2.2 * TITLE), &self.about, BODY);
        MARGIN + 3.0 * TITLE
    }

    /// The rows of each page.
    fn pages(&self, sheet: &Sheet<'_>, head: f32, notes: usize) -> Vec<Vec<Row>> {
        let bottom = PAGE.1 - MARGIN;
        let mut pages: Vec<Vec<Row>> = vec![Vec::new()];
        let mut top = MARGIN + 3.0 * TITLE + head;
        for row in &self.rows {
            let (cells, height) = sheet.cells(row.iter().map(String::as_str));
            if top + height > bottom && pages.last().is_some_and(|rows| !rows.is_empty()) {
                pages.push(Vec::new());
                top = MARGIN + head;
            }
            top += height;
            if let Some(rows) = pages.last_mut() {
                rows.push((cells, height));
            }
        }
        #[allow(clippy::cast_precision_loss)] // a few lines
        let of_notes = notes as f32 * SMALL * LEADING + 2.0 * PAD;
        if top + of_notes > bottom {
            pages.push(Vec::new());
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    #[test]
    fn a_long_table_is_put_on_paper_with_its_csv() {
        // Where the machine has no such font there is no PDF, and the ledger says so.
        let Ok(font) = Font::open(None) else {
            eprintln!("*** SKIPPED: no font with Chinese letters is installed ***");
            return;
        };
        let rows = |count: usize| {
            (0..count).map(|n| vec![format!("福州晋源鞋业有限公司 {n}"), n.to_string()])
        };
        let long = table(rows(100).collect());
        let csv = long.to_csv().unwrap();
        let pdf = long
            .to_pdf(&font, "log.test 12", csv, "report.csv")
            .unwrap();
        assert!(pdf.starts_with(b"%PDF-1."));
        let holds = |text: &str| {
            pdf.windows(text.len())
                .any(|bytes| bytes == text.as_bytes())
        };
        let pages = (1..9).find(|pages| holds(&format!("/Count {pages}")));
        assert_eq!(
            pages,
            Some(4),
            "a hundred rows, some twenty-eight on a page"
        );
        assert!(
            pdf.len() < 400_000,
            "only the letters that are used are embedded: {}",
            pdf.len()
        );
        let empty = table(Vec::new());
        assert!(
            empty
                .to_pdf(&font, "log.test 0", Vec::new(), "report.csv")
                .is_ok()
        );
        let huge = table(rows(MAX_ROWS + 1).collect());
        assert!(matches!(
            huge.to_pdf(&font, "", Vec::new(), ""),
            Err(PdfError::Rows(_))
        ));
    }

    #[test]
    fn a_text_is_broken_into_lines_that_fit() {
        let Ok(font) = Font::open(None) else {
            return;
        };
        let letters = Letters::new(&font).unwrap();
        for text in [
            "one two three four five six",
            "01/06955302210036/21/NELQEPMWPRGT",
            "福州晋源鞋业有限公司（模拟）",
            "",
            "a",
        ] {
            for width in [20.0, 40.0, 400.0] {
                let lines = letters.lines(text, BODY, width);
                let all: String = lines.concat();
                assert_eq!(all.replace(' ', ""), text.replace(' ', ""), "{width}");
                for line in &lines {
                    assert!(
                        letters.width(line.trim_end(), BODY) <= width || line.chars().count() == 1,
                        "{line}"
                    );
                }
            }
        }
        let lines = letters.lines(&"x".repeat(1_000), BODY, 20.0);
        assert_eq!(lines.len(), MAX_CELL_LINES + 1);
    }
}
