//! `custody audit`.

use std::path::PathBuf;

use clap::Args;

use super::{Done, Failure, Remote, TokenKey, archive, keys, output, read};
use crate::audit::{Audited, Auditor};
use crate::client::{Ledger, Token};
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::{Hash, LogIndex};
use crate::core::wire;
use crate::store::{Store, StoreOptions};

/// Replays the whole log and checks every signature, chain, verdict and the root, from a running
/// ledger (with an auditor's or regulator's key), from a folder that no process holds, where nothing is changed, or from
/// an archive.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    #[command(flatten)]
    remote: Remote,
    /// Folder of a ledger, instead of a running one.
    #[arg(long, conflicts_with = "key")]
    data: Option<PathBuf>,
    /// An archive of the log, instead of a running ledger: `s3://bucket/prefix`, `file:///folder`, or the `https://`
    /// address of a site with it. Its tiles are compared as well.
    #[arg(long, conflicts_with_all = ["data", "key"])]
    from: Option<String>,
    /// Key file of an auditor or regulator, for a running ledger.
    #[arg(long, env = "CUSTODY_KEY", required_unless_present_any = ["data", "from"])]
    key: Option<PathBuf>,
    /// Verifier key of the log, or the file that holds it.
    #[arg(long)]
    trust: String,
}

impl Audit {
    pub(super) async fn run(self) -> Done {
        let (audited, group) = match (&self.data, &self.from) {
            (Some(data), _) => self.folder(data)?,
            (None, Some(archive)) => (self.archive(archive).await?, None),
            (None, None) => (self.remote_log().await?, None),
        };
        if self.remote.json {
            return output::json(&serde_json::json!({
                "passed": true,
                "entries": audited.entries,
                "units": audited.units,
                "findings": audited.findings,
                "root": audited.root.to_string(),
                "group": group,
            }));
        }
        // Which of two nodes is further: not every group has an entry.
        let group = group.map_or_else(String::new, |group| {
            format!("\nafter group {group} of the cluster")
        });
        output::line(format!(
            "ok: {} entries, {} units, {} findings; every signature, chain, verdict and the root \
             hold\nroot {}{group}",
            audited.entries, audited.units, audited.findings, audited.root
        ))
    }

    /// What was audited in a folder, and the number of the last group there.
    fn folder(&self, data: &std::path::Path) -> Result<(Audited, Option<u64>), Failure> {
        let store = Store::open_to_read(&data.join(super::init::STORE), &StoreOptions::default());
        let store = store.map_err(|error| Failure::Could(error.to_string()))?;
        let group = store.last_group();
        let group = group.map_err(|error| Failure::Could(error.to_string()))?;
        // The key must be the log's even where no checkpoint has to be verified.
        let verifier = read::verifier(&self.trust)?;
        let head = store
            .head()
            .map_err(|error| Failure::Could(error.to_string()))?;
        let bar = output::progress(head.size, "auditing");
        let mut auditor = Auditor::start();
        let mut wrong = None;
        store
            .entries_once(LogIndex(0), |index, bytes| {
                if index.0 % 1000 == 0 {
                    bar.set_position(index.0);
                }
                wrong = auditor.push(bytes).err();
                wrong.is_none() && index.0 + 1 < head.size
            })
            .map_err(|error| Failure::Could(error.to_string()))?;
        bar.finish_and_clear();
        if let Some(error) = wrong {
            return Err(failed(&error));
        }
        let (audited, _) = auditor.finish().map_err(|error| failed(&error))?;
        if audited.origin.as_deref() != Some(verifier.name().as_str()) {
            return Err(Failure::No(
                "the log in the folder is not that of the trusted key".into(),
            ));
        }
        check_root(&audited, head.size, head.root)?;
        store
            .right_edge()
            .map_err(|error| Failure::No(error.to_string()))?;
        Ok((audited, group.map(|group| group.number)))
    }

    async fn archive(&self, url: &str) -> Result<Audited, Failure> {
        let (verifier, ca) = (read::verifier(&self.trust)?, self.remote.ca()?);
        let reader = archive::open(url, ca.as_deref(), &verifier).await?;
        let checkpoint = reader.checkpoint();
        let bar = output::progress(checkpoint.size().get(), "auditing");
        let mut auditor = Auditor::start();
        let replayed = reader.replay(&mut auditor, |done| bar.set_position(done));
        replayed.await.map_err(archive::failure)?;
        bar.finish_and_clear();
        let (audited, _) = auditor.finish().map_err(|error| failed(&error))?;
        check_root(&audited, checkpoint.size().get(), checkpoint.root())?;
        Ok(audited)
    }

    async fn remote_log(&self) -> Result<Audited, Failure> {
        let Some(key) = self.key.clone() else {
            return Err(Failure::No(
                "name a key file with --key, a folder with --data, or an archive with --from"
                    .into(),
            ));
        };
        let key = TokenKey { key, party: None };
        let ledger = self.remote.connect().await?;
        let (note, origin) = ledger.checkpoint().await?;
        let verifier = read::verifier(&self.trust)?;
        let checkpoint = Checkpoint::verify(&note, &[verifier], &origin)
            .map_err(|error| Failure::No(format!("the checkpoint: {error}")))?;
        let size = checkpoint.size().get();
        let bar = output::progress(size, "auditing");
        let mut auditor = Auditor::start();
        let token = keys::make_token(&ledger, &key, crate::api::token::LIFETIME).await?;
        let ledger = ledger.with_token(Token::bearer(&token)?);
        read_entries(&ledger, size, &mut auditor, &bar).await?;
        bar.finish_and_clear();
        let (audited, _) = auditor.finish().map_err(|error| failed(&error))?;
        check_root(&audited, size, checkpoint.root())?;
        Ok(audited)
    }
}

async fn read_entries(
    ledger: &Ledger,
    size: u64,
    auditor: &mut Auditor,
    bar: &indicatif::ProgressBar,
) -> Done {
    let request = wire::StreamEntriesRequest {
        first: 0,
        end: size,
    };
    let mut stream = ledger.log().stream_entries(request).await?.into_inner();
    while let Some(page) = stream.message().await? {
        for entry in page.entries {
            if entry.index != auditor.size() {
                return Err(Failure::No(format!(
                    "entry {} was left out",
                    auditor.size()
                )));
            }
            auditor.push(entry.entry).map_err(|error| failed(&error))?;
        }
        bar.set_position(auditor.size());
    }
    Ok(())
}

fn failed(error: &crate::audit::AuditError) -> Failure {
    Failure::No(format!("the audit failed at {error}"))
}

fn check_root(audited: &Audited, size: u64, root: Hash) -> Done {
    if audited.entries != size {
        return Err(Failure::No(format!(
            "the log says {size} entries and has {}",
            audited.entries
        )));
    }
    if audited.root != root {
        return Err(Failure::No(
            "the entries do not lead to the committed root".into(),
        ));
    }
    Ok(())
}
