//! What the commands print.

use std::io::Write as _;

use super::{Done, Failure};
use crate::client::draft::to_json;

/// Text to the standard output. A reader that went away is no failure.
pub(super) fn text(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Could(format!("the standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// One line.
pub(super) fn line(line: impl std::fmt::Display) -> Done {
    text(&format!("{line}\n"))
}

/// A message of the proto files as JSON, indented.
pub(super) fn message<M: prost::Message>(name: &str, message: &M) -> Done {
    json(&to_json(name, message)?)
}

/// A message of the proto files as JSON on one line.
pub(super) fn message_line<M: prost::Message>(name: &str, message: &M) -> Done {
    line(to_json(name, message)?)
}

/// JSON, indented.
pub(super) fn json(value: &serde_json::Value) -> Done {
    line(format!("{value:#}"))
}

/// Every row of a list, a page after the other: rows and the token of the next page come from
/// `fetch`.
pub(super) async fn each_page<T>(
    mut fetch: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Failure>,
    mut each: impl FnMut(&T) -> Done,
) -> Done {
    let mut page_token = String::new();
    loop {
        let (rows, next) = fetch(page_token).await?;
        rows.iter().try_for_each(&mut each)?;
        if next.is_empty() {
            return Ok(());
        }
        page_token = next;
    }
}

/// The same, each row as JSON on a line, or for people.
pub(super) async fn list<T: prost::Message>(
    json: bool,
    name: &str,
    fetch: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Failure>,
    mut show: impl FnMut(&T) -> Done,
) -> Done {
    each_page(fetch, |row| {
        if json {
            message_line(name, row)
        } else {
            show(row)
        }
    })
    .await
}

/// A time of the ledger for people.
pub(super) fn time(ms: u64) -> String {
    crate::core::record::Millis(ms).to_string()
}

/// The name of a finding kind.
pub(super) fn kind(number: i32) -> &'static str {
    crate::core::rules::FindingKind::from_number(number)
        .map_or("UNKNOWN", crate::core::rules::FindingKind::name)
}

/// A progress bar on the standard error where somebody watches it.
pub(super) fn progress(total: u64, what: &'static str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(total).with_message(what);
    let style =
        indicatif::ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {per_sec} {eta}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The name of a file's signature: its own, with `.note` after it.
pub(super) fn beside(file: &std::path::Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".note");
    name.into()
}
