//! `custody backup`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::init::{LOG_VKEY, STORE};
use super::{Done, Failure, Remote, could, keys, output};
use crate::cluster::snapshot;
use crate::core::tlog::note::NoteVerifier;
use crate::sequence::now;
use crate::store::LogHead;

/// Copies a running ledger, as of one moment, into a new folder, and verifies the copy: every entry is hashed anew,
/// and the root has to go on from a signed checkpoint. Without a secret key: put `log.key` into the folder to serve
/// it.
#[derive(Args, Debug)]
pub(crate) struct Backup {
    #[command(flatten)]
    remote: Remote,
    /// The log's key, `log.key` in the ledger's folder: a copy holds personal data, so no other key gets one.
    #[arg(long)]
    log_key: PathBuf,
    /// Folder to make.
    #[arg(long)]
    into: PathBuf,
}

impl Backup {
    pub(super) async fn run(self) -> Done {
        let signer = keys::read_log_key(&self.log_key)?;
        if self.into.exists() {
            let into = self.into.display();
            return Err(Failure::No(format!(
                "{into} is there already; name a new folder"
            )));
        }
        std::fs::create_dir_all(&self.into).map_err(could(self.into.display()))?;
        let (ca, store) = (self.remote.ca()?, self.into.join(STORE));
        let fetched =
            snapshot::fetch(&self.remote.ledger, ca.as_deref(), &signer, now(), &store).await;
        let head = match fetched {
            Ok(head) => head,
            Err(error) => {
                // Only where nothing is in it.
                let _ = std::fs::remove_dir(&self.into);
                return Err(Failure::Could(error.to_string()));
            }
        };
        made(&self.into, signer.verifier(), &head, self.remote.json)
    }
}

/// Puts the log's verifier key beside a copy of a ledger, and says what is in it.
pub(super) fn made(into: &Path, log: &NoteVerifier, head: &LogHead, json: bool) -> Done {
    let vkey = into.join(LOG_VKEY);
    std::fs::write(&vkey, format!("{log}\n")).map_err(could(vkey.display()))?;
    if json {
        return output::json(&serde_json::json!({
            "data": into,
            "origin": log.name().to_string(),
            "entries": head.size,
            "root": head.root.to_string(),
        }));
    }
    output::line(format!(
        "ok: {} entries are in {}, and lead to the root {}",
        head.size,
        into.display(),
        head.root
    ))
}
