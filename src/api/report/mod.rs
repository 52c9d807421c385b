//! `ReportService`: tables of what the log holds, signed. Needs a regulator's token.

mod rows;

use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::listing::Sight;
use super::score::Period;
use super::{errors, token};
use crate::core::credit::calendar::yyyymm;
use crate::core::lang::Lang;
use crate::core::record::{Millis, Role};
use crate::core::report::Manifest;
use crate::core::wire;
use crate::core::wire::report_service_server::ReportService;
use crate::core::wire::{ReportFormat, ReportKind};
use crate::node::Node;
use crate::report::Font;

pub(super) struct Reports {
    node: Arc<Node>,
    /// Read when it is needed first.
    font: Arc<OnceLock<Font>>,
}

impl Reports {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
            font: Arc::default(),
        }
    }
}

#[tonic::async_trait]
impl ReportService for Reports {
    async fn make_report(
        &self,
        request: Request<wire::MakeReportRequest>,
    ) -> Result<Response<wire::MakeReportResponse>, Status> {
        let caller = token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let font = Arc::clone(&self.font);
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            made(node, &sight, &font, &request)
        });
        answer.await.map(Response::new)
    }
}

/// What a report is called in notes and in the names of files.
const fn name(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Unspecified => "",
        ReportKind::Completeness => "completeness",
        ReportKind::Alerts => "alerts",
        ReportKind::Couriers => "couriers",
        ReportKind::Listings => "listings",
        ReportKind::Sharing => "sharing",
        ReportKind::Recalled => "recalled",
    }
}

fn made(
    node: &Node,
    sight: &Sight<'_>,
    font: &OnceLock<Font>,
    request: &wire::MakeReportRequest,
) -> Result<wire::MakeReportResponse, Status> {
    let lang = match request.language.as_str() {
        "" | "zh" => Lang::Zh,
        "en" => Lang::En,
        _ => return Err(errors::invalid("language", "zh or en")),
    };
    let period = Period::asked(request.until_month, request.months, sight.now)?;
    let head = sight.view.head().map_err(errors::store)?;
    let kind = request.kind();
    let table = match kind {
        ReportKind::Unspecified => return Err(errors::invalid("kind", "say which report")),
        ReportKind::Completeness => rows::completeness(sight, period, lang),
        ReportKind::Alerts => rows::alerts(sight, period, lang),
        ReportKind::Couriers => rows::couriers(sight, period, lang),
        ReportKind::Listings => rows::listings(sight, period, lang),
        ReportKind::Sharing => rows::sharing(sight, period, lang),
        ReportKind::Recalled => rows::recalled(sight, &request.goods, lang),
    }?;
    let csv = table
        .to_csv()
        .map_err(|error| Status::internal(error.to_string()))?;
    let months = (yyyymm(period.first), yyyymm(period.last));
    let file = format!("{}-{}-{}", name(kind), months.0, months.1);
    let (form, report) = match request.format() {
        ReportFormat::Unspecified | ReportFormat::Csv => ("csv", csv),
        ReportFormat::Pdf => {
            let stamp = stamp(node, head.size, &head.root.to_base64(), sight.now, lang);
            let font = opened(node, font)?;
            let pdf = table.to_pdf(&font, &stamp, csv, &format!("{file}.csv"));
            let pdf = pdf.map_err(|error| match error {
                crate::report::PdfError::Rows(_) => Status::resource_exhausted(error.to_string()),
                crate::report::PdfError::Made(_) => Status::internal(error.to_string()),
            })?;
            ("pdf", pdf)
        }
    };
    let manifest = Manifest {
        origin: node.origin().to_owned(),
        kind: name(kind).to_owned(),
        months,
        goods: match kind {
            ReportKind::Recalled => rows::goods_path(&request.goods)?,
            _ => String::new(),
        },
        log_size: head.size,
        root: head.root,
        form: form.to_owned(),
        digest: Sha256::digest(&report).into(),
    };
    let note = node.sign(&manifest.to_text()).map_err(Status::internal)?;
    Ok(wire::MakeReportResponse {
        report,
        note,
        name: file,
    })
}

fn opened(node: &Node, font: &OnceLock<Font>) -> Result<Font, Status> {
    if let Some(font) = font.get() {
        return Ok(font.clone());
    }
    let found = Font::open(node.report_font());
    let found = found.map_err(|error| Status::failed_precondition(error.to_string()))?;
    Ok(font.get_or_init(|| found).clone())
}

/// Of which log a page is, and when it was made.
fn stamp(node: &Node, size: u64, root: &str, now: Millis, lang: Lang) -> String {
    let origin = node.origin();
    lang.pick(
        format!("账本 {origin} · 日志 {size} 条 · 根 {root} · 生成于 {now}"),
        format!("Ledger {origin} · log {size} · root {root} · made {now}"),
    )
}
