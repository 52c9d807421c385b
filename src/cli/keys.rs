//! Key files, `custody key` and `custody token`.
//!
//! A key file is text: a heading, the key id and the public key for people, and the seed in hex. It
//! is made for its owner's eyes only (0600) and never overwritten.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use rand_core::TryRng as _;
use zeroize::Zeroizing;

use super::{Done, Failure, Remote, TokenKey, could, output};
use crate::client::Ledger;
use crate::core::id::PartyId;
use crate::core::printed::{PrintedSecret, SECRET_BYTES};
use crate::core::signature::Signer;
use crate::core::tlog::note::NoteSigner;
use crate::core::wire;

const HEADING: &str = "custody private key, suite 1 (Ed25519)";

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key and write it to a file.
    New {
        /// The file; it must not be there yet.
        file: PathBuf,
        /// Write the public half as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a one-time key for a buyer: the file is for the shop to name the key in its handover, the
    /// secret for the buyer.
    Buyer {
        /// The file; it must not be there yet.
        file: PathBuf,
        /// Address of the unit's page: writes the link that opens it with the key.
        #[arg(long)]
        page: Option<String>,
        /// Write it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the public half of a key.
    Show {
        /// The key file.
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

impl KeyCommand {
    pub(super) fn run(self) -> Done {
        match self {
            Self::New { file, json } => {
                let signer = new_signer()?;
                write(&file, &signer)?;
                show(&signer, json)
            }
            Self::Buyer { file, page, json } => {
                let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
                fill_randomly(&mut *bytes)?;
                let secret = PrintedSecret::new(bytes);
                let signer = secret.buyer();
                write(&file, &signer)?;
                show_buyer(&signer, &secret, page.as_deref(), json)
            }
            Self::Show { file, json } => show(&*read(&file)?, json),
        }
    }
}

/// The fragment of a link is not sent to servers.
fn show_buyer(signer: &Signer, secret: &PrintedSecret, page: Option<&str>, json: bool) -> Done {
    let secret = secret.text();
    let link = page.map(|page| Zeroizing::new(format!("{page}#k={}", *secret)));
    if json {
        return output::json(&serde_json::json!({
            "keyId": signer.key_id().to_string(),
            "secret": *secret,
            "link": link.as_deref(),
        }));
    }
    output::line(format!("key id  {}\nsecret  {}", signer.key_id(), *secret))?;
    match link {
        Some(link) => output::line(format!("link    {}", *link)),
        None => Ok(()),
    }
}

fn show(signer: &Signer, json: bool) -> Done {
    let public = hex::encode(signer.public_key().as_bytes());
    if json {
        return output::json(&serde_json::json!({
            "keyId": signer.key_id().to_string(),
            "suite": 1,
            "publicKey": public,
        }));
    }
    output::line(format!(
        "key id      {}\npublic key  {public}",
        signer.key_id()
    ))
}

/// Random bytes from the system.
pub(super) fn fill_randomly(bytes: &mut [u8]) -> Done {
    getrandom::SysRng
        .try_fill_bytes(bytes)
        .map_err(could("no random numbers from the system"))
}

/// A key of random bytes from the system.
pub(super) fn new_signer() -> Result<Signer, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    fill_randomly(&mut *seed)?;
    Ok(Signer::from_seed(&seed))
}

/// Writes a file that only its owner may read, and that is not there yet.
pub(super) fn write_secret(path: &Path, text: &str) -> Done {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(could(path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(could(path.display()))
}

/// Writes a key file.
pub(super) fn write(path: &Path, signer: &Signer) -> Done {
    let seed = Zeroizing::new(hex::encode(*signer.seed()));
    let public = hex::encode(signer.public_key().as_bytes());
    let text = Zeroizing::new(format!(
        "{HEADING}\nkey-id: {}\npublic-key: {public}\nseed: {}\n",
        signer.key_id(),
        *seed
    ));
    write_secret(path, &text)
}

/// Reads the log's key, as `custody init` wrote it.
pub(super) fn read_log_key(path: &Path) -> Result<NoteSigner, Failure> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(could(path.display()))?);
    NoteSigner::from_secret_text(text.trim()).map_err(could(path.display()))
}

/// Reads a key file.
pub(super) fn read(path: &Path) -> Result<Arc<Signer>, Failure> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(could(path.display()))?);
    let bad = |what: &str| Failure::Could(format!("{}: {what}", path.display()));
    if text.lines().next() != Some(HEADING) {
        return Err(bad(
            "no key file of this program; make one with `custody key new`",
        ));
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let seed = field("seed: ").ok_or_else(|| bad("the seed is missing"))?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(seed.trim(), &mut *bytes)
        .map_err(|_| bad("the seed is no 64 hex digits"))?;
    let signer = Signer::from_seed(&bytes);
    if field("key-id: ").map(str::trim) != Some(signer.key_id().to_string().as_str()) {
        return Err(bad(
            "the seed is not that of the key id: the file is damaged",
        ));
    }
    Ok(Arc::new(signer))
}

/// Makes a token and writes it to the standard output.
#[derive(Args, Debug)]
pub(crate) struct TokenCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    key: TokenKey,
    /// Life in seconds; at most an hour.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

impl TokenCommand {
    pub(super) async fn run(self) -> Done {
        let ledger = self.remote.connect().await?;
        let token = make_token(&ledger, &self.key, Duration::from_secs(self.seconds)).await?;
        if self.remote.json {
            return output::json(&serde_json::json!({ "token": token }));
        }
        output::line(token)
    }
}

/// The party that a key belongs to, as the ledger says.
pub(super) async fn party_of(ledger: &Ledger, signer: &Signer) -> Result<PartyId, Failure> {
    let request = wire::GetKeyRequest {
        id: signer.key_id().0.to_vec(),
    };
    let key = ledger
        .registry()
        .get_key(request)
        .await?
        .into_inner()
        .key
        .unwrap_or_default();
    key.party.parse().map_err(|_| {
        Failure::No(format!(
            "key {} belongs to no party; say --party",
            signer.key_id()
        ))
    })
}

/// A token for this ledger.
pub(super) async fn make_token(
    ledger: &Ledger,
    key: &TokenKey,
    life: Duration,
) -> Result<String, Failure> {
    let signer = read(&key.key)?;
    let party = match &key.party {
        Some(text) => text
            .parse()
            .map_err(|error| Failure::No(format!("--party: {error}")))?,
        None => party_of(ledger, &signer).await?,
    };
    let (_, origin) = ledger.checkpoint().await?;
    crate::api::token::make(&signer, party, &origin, life).map_err(Failure::Could)
}
