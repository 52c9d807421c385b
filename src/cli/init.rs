//! `custody init`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use zeroize::Zeroizing;

use super::{Done, Failure, could, keys, output};
use crate::admit::Admitted;
use crate::commit::Committer;
use crate::core::envelope::Envelope;
use crate::core::id::PartyId;
use crate::core::record::{FORMAT, NONCE_BYTES, Record, Thresholds};
use crate::core::signature::Signer;
use crate::core::tlog::note::{KeyKind, KeyName, NoteSigner};
use crate::core::wire;
use crate::sequence::{Group, Reply, Submission, now};
use crate::store::{Store, StoreOptions};

/// File names in a ledger's folder.
pub(super) const STORE: &str = "store";
pub(super) const LOG_KEY: &str = "log.key";
pub(super) const LOG_VKEY: &str = "log.vkey";
pub(super) const REGULATOR_KEY: &str = "regulator.key";

/// Makes a new ledger.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Folder to make it in.
    #[arg(long, default_value = "custody-data")]
    data: PathBuf,
    /// Its name on every checkpoint, forever: a domain that you own, and a path.
    #[arg(long)]
    origin: String,
    /// Party id of the regulator: `uscc:...` or `gln:...`.
    #[arg(long)]
    regulator: PartyId,
    /// Name of the regulator.
    #[arg(long)]
    regulator_name: String,
    /// Key file of the regulator; a new one is made in the folder when it is left out.
    #[arg(long)]
    regulator_key: Option<PathBuf>,
    /// Write the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(self) -> Done {
        std::fs::create_dir_all(&self.data).map_err(could(self.data.display()))?;
        let store_path = self.data.join(STORE);
        if store_path.exists() {
            return Err(Failure::No(format!(
                "{} holds a ledger already; choose another folder",
                self.data.display()
            )));
        }
        let name = KeyName::new(&self.origin)
            .map_err(|error| Failure::No(format!("--origin: {error}")))?;
        let log_signer = NoteSigner::new(name, KeyKind::Ed25519, &keys::new_signer()?.seed());
        let log_signer = log_signer.map_err(|error| Failure::Could(error.to_string()))?;
        let log_key = log_signer.verifier().to_string();
        let (regulator, key_path) = match &self.regulator_key {
            Some(path) => (keys::read(path)?, path.clone()),
            None => {
                let path = self.data.join(REGULATOR_KEY);
                let signer = keys::new_signer()?;
                keys::write(&path, &signer)?;
                (Arc::new(signer), path)
            }
        };
        let genesis = self.genesis(&regulator, &log_key)?;
        let secret = Zeroizing::new(format!("{}\n", *log_signer.to_secret_text()));
        keys::write_secret(&self.data.join(LOG_KEY), &secret)?;
        let vkey_path = self.data.join(LOG_VKEY);
        std::fs::write(&vkey_path, format!("{log_key}\n")).map_err(could(vkey_path.display()))?;
        let store = Store::create(&store_path, &StoreOptions::default());
        let store = Arc::new(store.map_err(|error| Failure::Could(error.to_string()))?);
        append(&store, genesis)?;
        if self.json {
            return output::json(&serde_json::json!({
                "origin": self.origin,
                "data": self.data,
                "logKey": log_key,
                "regulator": self.regulator.to_string(),
                "regulatorKey": key_path,
            }));
        }
        output::text(&format!(
            "The ledger {} is in {}.\n\n  log key (give it to whoever verifies)\n    {log_key}\n  \
             regulator's key (keep it safe, and off this machine)\n    {}\n\nStart it with\n    \
             custody serve --data {}\n",
            self.origin,
            self.data.display(),
            key_path.display(),
            self.data.display()
        ))
    }

    fn genesis(&self, regulator: &Signer, log_key: &str) -> Result<Admitted, Failure> {
        let mut nonce = vec![0; NONCE_BYTES];
        keys::fill_randomly(&mut nonce)?;
        let record = wire::Record {
            format: FORMAT,
            origin: self.origin.clone(),
            suite: regulator.public_key().suite().number(),
            key_id: regulator.key_id().0.to_vec(),
            nonce,
            claimed_time_ms: now().0,
            body: Some(wire::record::Body::Genesis(wire::Genesis {
                regulator_keys: vec![wire::PublicKey {
                    suite: regulator.public_key().suite().number(),
                    public_key: regulator.public_key().as_bytes().to_vec(),
                }],
                regulator: self.regulator.to_string(),
                regulator_name: self.regulator_name.clone(),
                thresholds: Some(Thresholds::default().into()),
                log_key: log_key.to_owned(),
            })),
            ..wire::Record::default()
        };
        let envelope = Envelope::sign(&record, regulator);
        let record = Record::decode(&envelope.payload)
            .map_err(|refusal| Failure::No(refusal.to_string()))?;
        let id = envelope.record_id();
        Ok(Admitted {
            envelope,
            record: Box::new(record),
            id,
        })
    }
}

/// The genesis record goes the way of all records, before anybody can send another.
fn append(store: &Arc<Store>, genesis: Admitted) -> Done {
    let committer = Committer::new(Arc::clone(store), 1);
    let (mut committer, _) = committer.map_err(|error| Failure::Could(error.to_string()))?;
    let (reply, mut answer) = Reply::new();
    let submissions = vec![Submission {
        records: vec![genesis],
        reply,
        places: None,
        trip: None,
    }];
    committer
        .commit(Group {
            time: now(),
            submissions,
            ..Group::default()
        })
        .map_err(|error| Failure::Could(error.to_string()))?;
    match answer.try_recv().ok().and_then(|mut answers| answers.pop()) {
        Some(Ok(_)) => Ok(()),
        Some(Err(refusal)) => Err(Failure::No(refusal.to_string())),
        None => Err(Failure::Could("the genesis record was not answered".into())),
    }
}
