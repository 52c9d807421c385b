//! `custody export`: what is shared with public-credit platforms.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::{Done, Failure, Remote, TokenKey, could, output, read};
use crate::core::credit::export::Manifest;
use crate::core::wire;
use crate::export::{Adapter, Folder, Https, HttpsOptions, PushError, Pushed, Pusher};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatArg {
    Json,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Write one batch, its signature beside it, and print the next cursor; with a platform's, a bank's or a
    /// regulator's key.
    Since {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Cursor of the batch before; from the beginning when left out.
        #[arg(default_value = "")]
        cursor: String,
        /// File for the batch; the signature goes to the same name with `.note` after it.
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value = "json")]
        format: FormatArg,
        /// Items at most.
        #[arg(long, default_value_t = 0)]
        size: u32,
    },
    /// Push all that is new to a folder or to an https address, exactly once; run it as often as
    /// you like.
    Push(Push),
    /// Check a batch offline against its signature.
    Verify {
        /// The batch.
        batch: PathBuf,
        /// The signature; the batch's name with `.note` after it when left out.
        #[arg(long)]
        note: Option<PathBuf>,
        /// Verifier key of the log, or the file that holds it.
        #[arg(long)]
        trust: String,
    },
}

/// A push.
#[derive(Args, Debug)]
pub(crate) struct Push {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    key: TokenKey,
    /// Verifier key of the log, or the file that holds it.
    #[arg(long)]
    trust: String,
    /// A folder, or an address that begins with https://.
    #[arg(long)]
    to: String,
    /// Folder that keeps the cursor and the receipts, one for each receiver.
    #[arg(long)]
    state: PathBuf,
    #[arg(long, default_value = "json")]
    format: FormatArg,
    /// PEM file of the certificate authority of the receiver.
    #[arg(long)]
    receiver_ca: Option<PathBuf>,
    /// File with the receiver's token.
    #[arg(long)]
    bearer: Option<PathBuf>,
}

impl FormatArg {
    const fn wire(self) -> wire::ExportFormat {
        match self {
            Self::Json => wire::ExportFormat::Json,
            Self::Csv => wire::ExportFormat::Csv,
        }
    }
}

impl ExportCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Since {
                remote,
                key,
                cursor,
                out,
                format,
                size,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let request = wire::ExportSinceRequest {
                    cursor,
                    page_size: size,
                    format: format.wire().into(),
                };
                let answer = ledger.export().export_since(request).await?.into_inner();
                std::fs::write(&out, &answer.batch).map_err(could(out.display()))?;
                let note = output::beside(&out);
                std::fs::write(&note, &answer.note).map_err(could(note.display()))?;
                if remote.json {
                    let (next, more) = (answer.next_cursor, answer.more);
                    return output::json(&serde_json::json!({ "nextCursor": next, "more": more }));
                }
                let more = if answer.more { " (there is more)" } else { "" };
                output::line(format!("next cursor {}{more}", answer.next_cursor))
            }
            Self::Push(push) => push.run().await,
            Self::Verify { batch, note, trust } => {
                let verifier = read::verifier(&trust)?;
                let note = note.unwrap_or_else(|| output::beside(&batch));
                let bytes = std::fs::read(&batch).map_err(could(batch.display()))?;
                let note = std::fs::read(&note).map_err(could(note.display()))?;
                let manifest = Manifest::verify(&note, &verifier, &bytes);
                let manifest = manifest.map_err(|error| Failure::No(error.to_string()))?;
                output::line(format!(
                    "ok: {} items of {}, from cursor {} to {}",
                    manifest.items, manifest.origin, manifest.from, manifest.next
                ))
            }
        }
    }
}

impl Push {
    async fn run(self) -> Done {
        let pushed = if self.to.starts_with("https://") {
            let read = |path: &Path| std::fs::read(path).map_err(could(path.display()));
            let bearer = self.bearer.as_deref().map(|path| {
                let text = std::fs::read_to_string(path).map_err(could(path.display()));
                text.map(Zeroizing::new)
            });
            let options = HttpsOptions {
                ca: self.receiver_ca.as_deref().map(read).transpose()?,
                bearer: bearer.transpose()?,
            };
            let adapter = Https::new(self.to.clone(), options).map_err(failure)?;
            self.through(adapter).await?
        } else {
            self.through(Folder(PathBuf::from(&self.to))).await?
        };
        if self.remote.json {
            return output::json(&serde_json::json!({
                "batches": pushed.batches,
                "items": pushed.items,
                "cursor": pushed.cursor,
            }));
        }
        output::line(format!(
            "{} items in {} batches; the next push begins at {}",
            pushed.items, pushed.batches, pushed.cursor
        ))
    }

    async fn through(&self, adapter: impl Adapter) -> Result<Pushed, Failure> {
        let verifier = read::verifier(&self.trust)?;
        let ledger = self.remote.connect_as(&self.key).await?;
        let pusher = Pusher::open(&ledger, &verifier, adapter, self.format.wire(), &self.state);
        pusher.map_err(failure)?.push().await.map_err(failure)
    }
}

fn failure(error: PushError) -> Failure {
    match error {
        PushError::Ledger(error) => error.into(),
        PushError::Untrusted(_) => Failure::No(error.to_string()),
        _ => Failure::Could(error.to_string()),
    }
}
