//! Governance by the command line: parties, products, delegations.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};

use sha2::{Digest as _, Sha256};

use super::{Done, Failure, Remote, could, keys, output};
use crate::client::{Draft, Session};
use crate::core::credit::calendar::months_after;
use crate::core::credit::{SALT_BYTES, salted_commitment};
use crate::core::envelope::key_possession_pae;
use crate::core::id::PartyId;
use crate::core::signature::{PublicKey, Signer};
use crate::core::wire;
use crate::core::wire::record::Body;
use crate::sequence::now;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    Maker,
    Distributor,
    Seller,
    Courier,
    Inspector,
    Regulator,
    Platform,
    Bank,
    Fund,
    Auditor,
}

impl RoleArg {
    const fn number(self) -> i32 {
        self as i32 + 1
    }
}

/// Who signs, and which ledger.
#[derive(Args, Clone, Debug)]
pub(crate) struct SignedBy {
    #[command(flatten)]
    pub(super) remote: Remote,
    /// Key file of your party.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
}

impl SignedBy {
    /// The ledger, with a token of the same key.
    pub(super) async fn connect_as(&self) -> Result<crate::client::Ledger, Failure> {
        let key = super::TokenKey {
            key: self.key.clone(),
            party: None,
        };
        self.remote.connect_as(&key).await
    }

    /// Submits one governance record and says what came of it.
    pub(super) async fn submit(&self, body: Body, done: &str) -> Done {
        submit(&self.remote, keys::read(&self.key)?, body, done).await
    }
}

/// The digest of a file that stays outside of the log.
pub(super) fn digest_of(path: &Path) -> Result<wire::Digest, Failure> {
    let bytes = std::fs::read(path).map_err(could(path.display()))?;
    Ok(sha256(Sha256::digest(bytes).to_vec()))
}

fn sha256(value: Vec<u8>) -> wire::Digest {
    wire::Digest {
        algorithm: wire::DigestAlgorithm::Sha256.into(),
        value,
    }
}

/// A text as it is, or in its place a salted commitment to it; then the salt is printed, since it has to
/// be kept with the text.
pub(super) fn erasable(
    text: String,
    keep_out: bool,
) -> Result<(String, Option<wire::Digest>), Failure> {
    if !keep_out {
        return Ok((text, None));
    }
    let mut salt = [0; SALT_BYTES];
    keys::fill_randomly(&mut salt)?;
    let commitment = salted_commitment(&salt, &text);
    eprintln!(
        "salt {}: keep it with the text, outside of the log; who has both can show what was meant",
        hex::encode(salt)
    );
    Ok((String::new(), Some(sha256(commitment.to_vec()))))
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartyCommand {
    /// Ask to be registered; signed by your own key.
    Register {
        #[command(flatten)]
        remote: Remote,
        /// Your key file.
        #[arg(long, env = "CUSTODY_KEY")]
        key: PathBuf,
        /// Party id: `uscc:...` or `gln:...`.
        #[arg(long)]
        party: PartyId,
        /// Name of the company.
        #[arg(long)]
        name: String,
        /// Roles, comma between them.
        #[arg(long, value_delimiter = ',', required = true)]
        role: Vec<RoleArg>,
        /// ISO 3166 region, such as CN-FJ.
        #[arg(long, default_value = "")]
        region: String,
        /// City.
        #[arg(long, default_value = "")]
        city: String,
        /// File with the evidence of identity; its digest goes into the log.
        #[arg(long)]
        evidence: Option<PathBuf>,
    },
    /// Approve a registration; signed by a regulator's key.
    Approve {
        #[command(flatten)]
        remote: Remote,
        /// The regulator's key file.
        #[arg(long, env = "CUSTODY_KEY")]
        key: PathBuf,
        /// Whom.
        party: PartyId,
        /// Roles that were verified; those asked for when left out.
        #[arg(long, value_delimiter = ',')]
        role: Vec<RoleArg>,
        /// Months until the firm has to be verified again; without end when left out.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1200))]
        months: Option<u32>,
        /// File with the evidence that was verified; its digest goes into the log.
        #[arg(long)]
        evidence: Option<PathBuf>,
    },
    /// List the parties.
    List {
        #[command(flatten)]
        remote: Remote,
    },
}

impl PartyCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Register {
                remote,
                key,
                party,
                name,
                role,
                region,
                city,
                evidence,
            } => {
                let signer = keys::read(&key)?;
                let body = Body::RegisterParty(wire::RegisterParty {
                    party: party.to_string(),
                    name,
                    roles: role.into_iter().map(RoleArg::number).collect(),
                    region,
                    city,
                    key: Some(public(&signer.public_key())),
                    evidence: evidence.as_deref().map(digest_of).transpose()?,
                    ..wire::RegisterParty::default()
                });
                submit(
                    &remote,
                    signer,
                    body,
                    &format!("{party} asks to be registered"),
                )
                .await
            }
            Self::Approve {
                remote,
                key,
                party,
                role,
                months,
                evidence,
            } => {
                let signer = keys::read(&key)?;
                let ledger = remote.connect().await?;
                let request = wire::GetPartyRequest {
                    id: party.to_string(),
                };
                let answer = ledger.registry().get_party(request).await?.into_inner();
                let registered = answer.party.unwrap_or_default();
                let roles = if role.is_empty() {
                    registered.roles
                } else {
                    role.into_iter().map(RoleArg::number).collect()
                };
                let body = Body::ApproveParty(wire::ApproveParty {
                    party: party.to_string(),
                    roles,
                    valid_until_ms: months.map_or(0, |months| months_after(now(), months).0),
                    registration: registered.registered_at,
                    evidence: evidence.as_deref().map(digest_of).transpose()?,
                });
                submit(&remote, signer, body, &format!("{party} is approved")).await
            }
            Self::List { remote } => list_parties(&remote).await,
        }
    }
}

async fn list_parties(remote: &Remote) -> Done {
    let ledger = remote.connect().await?;
    let fetch = async |page_token| {
        let request = wire::ListPartiesRequest {
            page_size: 1000,
            page_token,
        };
        let page = ledger.registry().list_parties(request).await?.into_inner();
        Ok((page.parties, page.next_page_token))
    };
    output::list(remote.json, "Party", fetch, show_party).await
}

fn show_party(party: &wire::Party) -> Done {
    let roles: Vec<&str> = party
        .roles()
        .map(|role| role.as_str_name().trim_start_matches("ROLE_"))
        .collect();
    let status = party
        .status()
        .as_str_name()
        .trim_start_matches("PARTY_STATUS_")
        .to_owned();
    output::line(format!(
        "{:<24} {:<10} {:<24} {} {}",
        party.id,
        status,
        roles.join(","),
        party.name,
        party.city
    ))
}

/// Which identifiers.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ScopeArgs {
    /// A GTIN (8, 12, 13 or 14 digits).
    #[arg(long)]
    gtin: Option<String>,
    /// A GS1 company prefix.
    #[arg(long)]
    company_prefix: Option<String>,
    /// Carrier of waybills, such as sf.
    #[arg(long)]
    carrier: Option<String>,
    /// A drug identification code.
    #[arg(long)]
    drug: Option<String>,
}

impl ScopeArgs {
    fn to_wire(&self) -> Result<wire::ProductScope, Failure> {
        use wire::product_scope::Scope;
        let scope = if let Some(gtin) = &self.gtin {
            let gtin = crate::core::id::Gtin14::parse_any(gtin);
            Scope::Gtin(
                gtin.map_err(|error| Failure::No(error.to_string()))?
                    .to_string(),
            )
        } else if let Some(prefix) = &self.company_prefix {
            Scope::CompanyPrefix(prefix.clone())
        } else if let Some(carrier) = &self.carrier {
            Scope::Carrier(carrier.clone())
        } else {
            Scope::Drug(self.drug.clone().unwrap_or_default())
        };
        Ok(wire::ProductScope { scope: Some(scope) })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProductCommand {
    /// Say that your party gives out these identifiers.
    Claim {
        #[command(flatten)]
        remote: Remote,
        /// Your key file.
        #[arg(long, env = "CUSTODY_KEY")]
        key: PathBuf,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Name of the product, for people.
        #[arg(long, default_value = "")]
        name: String,
    },
    /// Approve a claim; signed by a regulator's key.
    Approve {
        #[command(flatten)]
        remote: Remote,
        /// The regulator's key file.
        #[arg(long, env = "CUSTODY_KEY")]
        key: PathBuf,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Whose claim.
        #[arg(long)]
        party: PartyId,
    },
    /// List the claims.
    List {
        #[command(flatten)]
        remote: Remote,
    },
}

impl ProductCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Claim {
                remote,
                key,
                scope,
                name,
            } => {
                let scope = Some(scope.to_wire()?);
                let body = Body::ClaimProduct(wire::ClaimProduct { scope, name });
                submit(
                    &remote,
                    keys::read(&key)?,
                    body,
                    "the claim waits for approval",
                )
                .await
            }
            Self::Approve {
                remote,
                key,
                scope,
                party,
            } => {
                let scope = Some(scope.to_wire()?);
                let party = party.to_string();
                let body = Body::ApproveProduct(wire::ApproveProduct { scope, party });
                submit(&remote, keys::read(&key)?, body, "the claim is approved").await
            }
            Self::List { remote } => list_products(&remote).await,
        }
    }
}

async fn list_products(remote: &Remote) -> Done {
    let ledger = remote.connect().await?;
    let fetch = async |page_token| {
        let request = wire::ListProductsRequest {
            page_size: 1000,
            page_token,
        };
        let page = ledger.registry().list_products(request).await?.into_inner();
        Ok((page.products, page.next_page_token))
    };
    output::list(remote.json, "Product", fetch, show_product).await
}

fn show_product(product: &wire::Product) -> Done {
    use wire::product_scope::Scope;
    let scope = match product
        .scope
        .as_ref()
        .and_then(|scope| scope.scope.as_ref())
    {
        Some(Scope::Gtin(gtin)) => format!("gtin {gtin}"),
        Some(Scope::CompanyPrefix(prefix)) => format!("prefix {prefix}"),
        Some(Scope::Carrier(carrier)) => format!("carrier {carrier}"),
        Some(Scope::Drug(drug)) => format!("drug {drug}"),
        None => String::new(),
    };
    let status = if product.approved_at > 0 {
        "approved"
    } else {
        "pending"
    };
    output::line(format!(
        "{scope:<24} {status:<10} {:<24} {}",
        product.party, product.name
    ))
}

/// Gives a key of your party to an employee or a device. It signs custody records only, and nobody
/// but a regulator sees whose it is.
#[derive(Args, Debug)]
pub(crate) struct Delegate {
    #[command(flatten)]
    remote: Remote,
    /// Key file of your party.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
    /// Key file of the employee or device; a new one is made when it isn't there.
    #[arg(long)]
    to: PathBuf,
    /// Days that it is valid from now.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
}

impl Delegate {
    pub(super) async fn run(self) -> Done {
        let signer = keys::read(&self.key)?;
        let ledger = self.remote.connect().await?;
        let party = keys::party_of(&ledger, &signer).await?;
        let (_, origin) = ledger.checkpoint().await?;
        let device = if self.to.exists() {
            keys::read(&self.to)?
        } else {
            new_key(&self.to)?
        };
        let possession = device.sign(&key_possession_pae(&origin, &party.to_string()));
        let from = now();
        let body = Body::Delegate(wire::Delegate {
            key: Some(public(&device.public_key())),
            valid_from_ms: from.0,
            valid_until_ms: from.plus(self.days * 86_400_000).0,
            possession: possession.to_vec(),
        });
        let done = format!(
            "key {} signs for {party} for {} days",
            device.key_id(),
            self.days
        );
        submit(&self.remote, signer, body, &done).await
    }
}

fn new_key(path: &Path) -> Result<Arc<Signer>, Failure> {
    let signer = keys::new_signer()?;
    keys::write(path, &signer)?;
    Ok(Arc::new(signer))
}

pub(super) fn public(key: &PublicKey) -> wire::PublicKey {
    wire::PublicKey {
        suite: key.suite().number(),
        public_key: key.as_bytes().to_vec(),
    }
}

/// Submits one governance record and says what came of it.
pub(super) async fn submit(remote: &Remote, signer: Arc<Signer>, body: Body, done: &str) -> Done {
    let mut session = Session::start(remote.connect().await?).await?;
    let record = wire::Record {
        claimed_time_ms: now().0,
        body: Some(body),
        ..wire::Record::default()
    };
    let outcome = session
        .submit(vec![Draft {
            record,
            signer,
            advances: true,
        }])
        .await?
        .pop();
    match outcome {
        Some(Ok(receipt)) if remote.json => output::message("Receipt", &receipt),
        Some(Ok(receipt)) => output::line(format!("{done} (entry {})", receipt.log_index)),
        Some(Err(refusal)) => Err(refused(&refusal)),
        None => Err(Failure::Could("the ledger did not answer".into())),
    }
}

/// A refusal as the command's outcome.
pub(super) fn refused(refusal: &wire::Refusal) -> Failure {
    let at = if refusal.field.is_empty() {
        String::new()
    } else {
        format!(" at {}", refusal.field)
    };
    Failure::No(format!(
        "refused, {}{at}: {}",
        refusal.reason, refusal.message
    ))
}
