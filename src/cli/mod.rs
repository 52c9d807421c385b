//! The command line.
//!
//! Exit codes: 0, done; 1, the answer is no (a check failed, a record was refused, a unit is not
//! known); 2, the command was not understood; 3, it could not be done (no connection, no file, no
//! store).

mod alert;
mod archive;
mod audit;
mod backup;
mod case;
mod claim;
mod cluster;
mod connection;
mod credit;
mod enrol;
mod epcis;
mod evidence;
mod export;
mod file;
mod findings;
mod gateway;
mod govern;
mod http;
mod init;
mod inspect;
mod keys;
mod label;
mod listing;
mod measure;
mod output;
mod read;
mod report;
mod scan;
mod score;
mod serve;
mod simulate;
mod submit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::client::{ClientError, Ledger, Token};

/// A product traceability ledger.
#[derive(Debug, Parser)]
#[command(name = "custody", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done; 1 the answer is no (a check failed, a record was \
refused, a unit is not known); 2 the command was not understood; 3 it could not be done."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Which ledger, and how the answer is written.
#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// Address of the ledger; of several nodes, with commas between them: the first that answers.
    #[arg(long, env = "CUSTODY_LEDGER", default_value = "http://127.0.0.1:7070")]
    ledger: String,
    /// PEM file of the certificate authority to trust for https.
    #[arg(long, env = "CUSTODY_CA")]
    ca: Option<PathBuf>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Whose key signs a token, for calls that need one.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenKey {
    /// Key file of a regulator.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
    /// Party that the key belongs to; asked of the ledger when left out.
    #[arg(long)]
    party: Option<String>,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // made once, and moved once
enum Command {
    /// Make a new ledger: data folder, log key, regulator key, genesis record.
    Init(init::Init),
    /// Run a ledger.
    Serve(serve::Serve),
    /// Make keys.
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Enrol a courier's phone.
    Enrol(enrol::Enrol),
    /// Make the label of a unit: a QR code that leads to its page.
    Label(label::LabelCommand),
    /// Make a token for the regulator's calls.
    Token(keys::TokenCommand),
    /// Register, approve and list parties.
    #[command(subcommand)]
    Party(govern::PartyCommand),
    /// Claim, approve and list products.
    #[command(subcommand)]
    Product(govern::ProductCommand),
    /// Give a key of your party to an employee or a device.
    Delegate(govern::Delegate),
    /// Sign and submit drafts, one JSON object a line.
    Submit(submit::Submit),
    /// Sign and submit one record.
    Scan(scan::Scan),
    /// Show where a unit has been and whether its chain holds.
    Trace(read::Trace),
    /// Fetch everything that proves a unit's history.
    Bundle(read::Bundle),
    /// Verify a bundle offline.
    Verify(read::Verify),
    /// Replay the whole log and check everything in it.
    Audit(audit::Audit),
    /// Copy a running ledger, and verify the copy.
    Backup(backup::Backup),
    /// Make a ledger anew from its archive.
    Rebuild(archive::Rebuild),
    /// What operators do with a cluster.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// List findings, or follow them live.
    Findings(findings::FindingsCommand),
    /// Write down what a court needs about a finding.
    Evidence(evidence::Evidence),
    /// Commitments, credit records and credit files.
    #[command(subcommand)]
    Credit(credit::CreditCommand),
    /// Findings and signals of early warning, and answers to them.
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Cases that agencies open, refer to each other and close.
    #[command(subcommand)]
    Case(case::CaseCommand),
    /// Consumers' reports, claims and reviews, and what funds pay.
    #[command(subcommand)]
    Claim(claim::ClaimCommand),
    /// The red and the black list, and admission by them.
    #[command(subcommand)]
    Listing(listing::ListingCommand),
    /// Measures of listings, and what platforms report of them.
    #[command(subcommand)]
    Measure(measure::MeasureCommand),
    /// Random inspections.
    #[command(subcommand)]
    Inspect(inspect::InspectCommand),
    /// What is shared with public-credit platforms.
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Signed reports for supervising agencies.
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Who reads a party's file, what a bank may see of it, and the personal data in it.
    #[command(subcommand)]
    File(file::FileCommand),
    /// Import and export EPCIS documents.
    #[command(subcommand)]
    Epcis(epcis::EpcisCommand),
    /// Serve EPCIS 2.0 over HTTP for your own systems, signing with your key.
    Gateway(gateway::Gateway),
    /// Drive a ledger with a believable trade and planted frauds, and compare what it finds.
    Simulate(simulate::Simulate),
    /// Write completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The answer is no: exit code 1.
    #[error("{0}")]
    No(String),
    /// It could not be done: exit code 3.
    #[error("{0}")]
    Could(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            // What the ledger says about the request is an answer.
            ClientError::Status(status)
                if !matches!(
                    status.code(),
                    tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Internal
                ) =>
            {
                Self::No(error.to_string())
            }
            ClientError::Draft(_) => Self::No(error.to_string()),
            _ => Self::Could(error.to_string()),
        }
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        ClientError::from(status).into()
    }
}

/// Something could not be done, and where.
pub(crate) fn could<E: std::fmt::Display>(
    what: impl std::fmt::Display,
) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Could(format!("{what}: {error}"))
}

type Done = Result<(), Failure>;

fn read_ca(path: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(could(path.display()));
    path.map(read).transpose()
}

impl Remote {
    /// The certificate authority's PEM, where one is named.
    fn ca(&self) -> Result<Option<Vec<u8>>, Failure> {
        read_ca(self.ca.as_deref())
    }

    async fn connect(&self) -> Result<Ledger, Failure> {
        let ca = self.ca()?;
        Ok(Ledger::connect(&self.ledger, ca.as_deref()).await?)
    }

    async fn connect_as(&self, key: &TokenKey) -> Result<Ledger, Failure> {
        let ledger = self.connect().await?;
        let token = keys::make_token(&ledger, key, crate::api::token::LIFETIME).await?;
        Ok(ledger.with_token(Token::bearer(&token)?))
    }
}

/// Runs the command line.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("custody: no threads: {error}");
            return ExitCode::from(3);
        }
    };
    let outcome = runtime.block_on(dispatch(cli.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::No(message)) => {
            eprintln!("custody: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Could(message)) => {
            eprintln!("custody: {message}");
            ExitCode::from(3)
        }
    }
}

async fn dispatch(command: Command) -> Done {
    match command {
        Command::Init(command) => command.run(),
        Command::Serve(command) => command.run().await,
        Command::Key(command) => command.run(),
        Command::Enrol(command) => command.run().await,
        Command::Label(command) => command.run(),
        Command::Token(command) => command.run().await,
        Command::Party(command) => command.run().await,
        Command::Product(command) => command.run().await,
        Command::Delegate(command) => command.run().await,
        Command::Submit(command) => command.run().await,
        Command::Scan(command) => command.run().await,
        Command::Trace(command) => command.run().await,
        Command::Bundle(command) => command.run().await,
        Command::Verify(command) => command.run(),
        Command::Audit(command) => command.run().await,
        Command::Backup(command) => command.run().await,
        Command::Rebuild(command) => command.run().await,
        Command::Cluster(command) => command.run().await,
        Command::Findings(command) => command.run().await,
        Command::Evidence(command) => command.run().await,
        Command::Credit(command) => command.run().await,
        Command::Alert(command) => command.run().await,
        Command::Case(command) => command.run().await,
        Command::Claim(command) => command.run().await,
        Command::Listing(command) => command.run().await,
        Command::Measure(command) => command.run().await,
        Command::Inspect(command) => command.run().await,
        Command::Export(command) => command.run().await,
        Command::Report(command) => command.run().await,
        Command::File(command) => command.run().await,
        Command::Epcis(command) => command.run().await,
        Command::Gateway(command) => command.run().await,
        Command::Simulate(command) => command.run().await,
        Command::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "custody", &mut bytes);
            output::text(&String::from_utf8_lossy(&bytes))
        }
    }
}

/// The names of all subcommands, as paths: `party register`.
#[must_use]
pub fn subcommands() -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, all: &mut Vec<String>) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            if sub.has_subcommands() {
                walk(sub, &path, all);
            } else {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    walk(&Cli::command(), "", &mut all);
    all
}
