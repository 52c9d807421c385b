//! A real server process on a real store in a temporary folder, and parties that trade on it.
#![allow(dead_code)] // each test binary uses its part

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use custody::client::{Draft, Ledger, Outcome, Session, Token};
use custody::core::envelope::{Envelope, key_possession_pae};
use custody::core::id::{PartyId, UnitId};
use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use tempfile::TempDir;
use zeroize::Zeroizing;

pub mod etcd;
pub mod tls;

pub const ORIGIN: &str = "test.example/ledger";
pub const REGULATOR: &str = "uscc:91350100M000100Y43";
pub const MAKER: &str = "gln:0614141000005";
pub const COURIER: &str = "uscc:91110000802100433B";
pub const STRANGER: &str = "uscc:91370200264574251E";
/// GS1 company prefix of the maker.
pub const PREFIX: &str = "0614141";

/// A running server. Killed when dropped.
pub struct Server {
    pub data: PathBuf,
    folder: Option<TempDir>,
    child: Child,
    pub address: String,
    /// Of the pages.
    pub http: String,
    pub metrics: String,
}

/// The program under test.
pub fn custody() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_custody"));
    for name in ["CUSTODY_LEDGER", "CUSTODY_KEY", "CUSTODY_CA"] {
        command.env_remove(name);
    }
    command
}

/// Beside the folder, so that nothing is in it that the program did not put there.
fn log_path(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn log_of(data: &Path) -> std::fs::File {
    let mut options = std::fs::OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(log_path(data))
        .unwrap()
}

/// Makes a ledger in a folder.
pub fn init(data: &Path) {
    let output = custody()
        .args(["init", "--data"])
        .arg(data)
        .args(["--origin", ORIGIN, "--regulator", REGULATOR])
        .args(["--regulator-name", "Test Regulator"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Server {
    /// A new ledger in a new folder.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("ledger");
        init(&data);
        let mut server = Self::open(&data, arguments);
        server.folder = Some(folder);
        server
    }

    /// An existing ledger.
    pub fn open(data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(custody(), data, arguments)
    }

    /// By a command that ends in the program, such as one that traces it.
    pub fn spawn(command: Command, data: &Path, arguments: &[&str]) -> Self {
        Self::try_spawn(command, data, arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same; what it wrote to its log, when it ended before it served.
    pub fn try_spawn(
        mut command: Command,
        data: &Path,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let any = "127.0.0.1:0";
        command.args(["serve", "--http", any, "--metrics", any]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", any]);
        }
        let child = command
            .arg("--data")
            .arg(data)
            .args(arguments)
            .args(etcd::arguments(data, arguments))
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log_of(data)))
            .spawn()
            .unwrap();
        let mut server = Self {
            data: data.to_owned(),
            folder: None,
            child,
            address: String::new(),
            http: String::new(),
            metrics: String::new(),
        };
        let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
        let mut after = |what: &str| {
            let address = lines.by_ref().find_map(|line| {
                let line = line.unwrap();
                line.split_once(what).map(|(_, address)| address.to_owned())
            });
            let log = || std::fs::read_to_string(log_path(data)).unwrap();
            address.ok_or_else(|| format!("the server ended before it served:\n{}", log()))
        };
        server.address = after("gRPC on ")?;
        server.http = after("pages on ")?;
        server.metrics = after("metrics on ")?;
        Ok(server)
    }

    /// What it and those before it on this folder wrote to their log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_path(&self.data)).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power button does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        signal(self.pid(), "TERM");
        self.child.wait().unwrap()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for it to end.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    pub async fn ledger(&self) -> Ledger {
        Ledger::connect(&self.address, None).await.unwrap()
    }

    pub async fn session(&self) -> Session {
        Session::start(self.ledger().await).await.unwrap()
    }

    /// A connection with a regulator's token.
    pub async fn regulator(&self) -> Ledger {
        self.as_party(&self.regulator_key(), REGULATOR).await
    }

    /// A connection with the token of a party.
    pub async fn as_party(&self, signer: &Signer, party: &str) -> Ledger {
        let life = std::time::Duration::from_secs(600);
        let party = party.parse().unwrap();
        let token = custody::api::token::make(signer, party, ORIGIN, life).unwrap();
        self.ledger()
            .await
            .with_token(Token::bearer(&token).unwrap())
    }

    pub fn regulator_key(&self) -> Arc<Signer> {
        read_key(&self.data.join("regulator.key"))
    }

    pub fn log_key(&self) -> String {
        std::fs::read_to_string(self.data.join("log.vkey"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Runs the program as its user would.
    pub fn run(&self, arguments: &[&str]) -> Output {
        custody()
            .env("CUSTODY_LEDGER", &self.address)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The same; it has to succeed. What it printed.
    pub fn run_ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "custody {}: {}\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub fn read_key(path: &Path) -> Arc<Signer> {
    let text = std::fs::read_to_string(path).unwrap();
    let seed = text
        .lines()
        .find_map(|line| line.strip_prefix("seed: "))
        .unwrap();
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(seed, &mut *bytes).unwrap();
    Arc::new(Signer::from_seed(&bytes))
}

/// A key file as `custody key new` makes one.
pub fn write_key(path: &Path, signer: &Signer) {
    let text = format!(
        "custody private key, suite 1 (Ed25519)\nkey-id: {}\npublic-key: {}\nseed: {}\n",
        signer.key_id(),
        hex::encode(signer.public_key().as_bytes()),
        hex::encode(*signer.seed())
    );
    std::fs::write(path, text).unwrap();
}

/// A key that a test knows.
pub fn key(number: u8) -> Arc<Signer> {
    Arc::new(Signer::from_seed(&Zeroizing::new([number; 32])))
}

/// An ordinary time in the past.
pub const TIME: u64 = 1_780_000_000_000;

/// A unit of the maker.
pub fn unit(serial: u64) -> UnitId {
    format!("01/10614141123459/21/{serial}").parse().unwrap()
}

/// An item, and nine more that the same record may bring into the same state.
pub fn pallet(serial: u64) -> Vec<UnitId> {
    let more = (0..9).map(|n| unit(1_000_000 + serial * 10 + n));
    std::iter::once(unit(serial)).chain(more).collect()
}

/// A case of the maker.
pub fn case(number: u64) -> UnitId {
    let body = 10_614_141_000_000_000 + number;
    let check = custody::core::id::gs1_check_digit(body);
    format!("00/{body}{check}").parse().unwrap()
}

/// A record with ids only, as drafters write it.
pub fn record(units: &[UnitId], body: Body) -> wire::Record {
    wire::Record {
        claimed_time_ms: TIME,
        units: units
            .iter()
            .map(|unit| wire::UnitRef {
                id: unit.to_string(),
                prev: Vec::new(),
            })
            .collect(),
        body: Some(body),
        ..wire::Record::default()
    }
}

/// A record as a client signs it, which differs from all others by its nonce.
pub fn sign(mut record: wire::Record, signer: &Signer, nonce: u128) -> Envelope {
    record.format = 1;
    record.origin = ORIGIN.into();
    record.suite = 1;
    record.key_id = signer.key_id().0.to_vec();
    record.nonce = nonce.to_be_bytes().to_vec();
    Envelope::sign(&record, signer)
}

pub fn draft(signer: &Arc<Signer>, units: &[UnitId], body: Body) -> Draft {
    Draft {
        record: record(units, body),
        signer: Arc::clone(signer),
        advances: true,
    }
}

pub fn commission() -> Body {
    Body::Commission(wire::Commission::default())
}

pub fn scan() -> Body {
    Body::Scan(wire::Scan::default())
}

pub fn handover(to: &str) -> Body {
    Body::Handover(wire::Handover {
        to: to.into(),
        weight_grams: 100,
        means: 1,
        ..Default::default()
    })
}

/// The same, with the key of the buyer that the goods are for.
pub fn ship_to(courier: &str, buyer: &Signer) -> Body {
    let public = public(buyer);
    let mut ship = handover(courier);
    if let Body::Handover(body) = &mut ship {
        body.buyer = Some(wire::BuyerKey {
            suite: public.suite,
            public_key: public.public_key,
        });
    }
    ship
}

pub fn accept() -> Body {
    Body::Accept(wire::Accept {
        condition: 1,
        ..Default::default()
    })
}

pub fn pack(container: UnitId) -> Body {
    let container = wire::UnitRef {
        id: container.to_string(),
        prev: Vec::new(),
    };
    Body::Pack(wire::Pack {
        container: Some(container),
    })
}

/// Registered and approved: a maker with a company prefix, a courier with a scanner, a stranger.
pub struct Trade {
    pub maker: Arc<Signer>,
    pub courier: Arc<Signer>,
    pub scanner: Arc<Signer>,
    pub stranger: Arc<Signer>,
}

pub fn register(signer: &Signer, party: &str, roles: &[wire::Role]) -> Body {
    Body::RegisterParty(wire::RegisterParty {
        party: party.into(),
        name: format!("Firm {party}"),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        key: Some(public(signer)),
        ..Default::default()
    })
}

pub fn public(signer: &Signer) -> wire::PublicKey {
    wire::PublicKey {
        suite: 1,
        public_key: signer.public_key().as_bytes().to_vec(),
    }
}

pub fn approve(party: &str, roles: &[wire::Role]) -> Body {
    Body::ApproveParty(wire::ApproveParty {
        party: party.into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ..Default::default()
    })
}

pub fn delegate(signer: &Signer, party: &str) -> Body {
    let possession = signer.sign(&key_possession_pae(ORIGIN, party));
    Body::Delegate(wire::Delegate {
        key: Some(public(signer)),
        valid_from_ms: 1_700_000_000_000,
        valid_until_ms: 2_000_000_000_000,
        possession: possession.to_vec(),
    })
}

impl Trade {
    /// Sets the parties up through gRPC.
    pub async fn set_up(server: &Server, session: &mut Session) -> Self {
        let (trade, drafts) = Self::drafts(server);
        all_accepted(session.submit(drafts).await.unwrap());
        trade
    }

    /// What sets them up.
    pub fn drafts(server: &Server) -> (Self, Vec<Draft>) {
        Self::drafts_by(&server.regulator_key())
    }

    /// The same, by a regulator's key.
    pub fn drafts_by(regulator: &Arc<Signer>) -> (Self, Vec<Draft>) {
        let trade = Self {
            maker: key(1),
            courier: key(2),
            scanner: key(3),
            stranger: key(4),
        };
        let (maker, courier) = ([wire::Role::Maker], [wire::Role::Courier]);
        let scope = Some(wire::ProductScope {
            scope: Some(wire::product_scope::Scope::CompanyPrefix(PREFIX.into())),
        });
        let claim = wire::ClaimProduct {
            scope: scope.clone(),
            name: "Tea".into(),
        };
        let approval = wire::ApproveProduct {
            scope,
            party: MAKER.into(),
        };
        let drafts = vec![
            draft(&trade.maker, &[], register(&trade.maker, MAKER, &maker)),
            draft(
                &trade.courier,
                &[],
                register(&trade.courier, COURIER, &courier),
            ),
            draft(
                &trade.stranger,
                &[],
                register(&trade.stranger, STRANGER, &courier),
            ),
            draft(regulator, &[], approve(MAKER, &maker)),
            draft(regulator, &[], approve(COURIER, &courier)),
            draft(regulator, &[], approve(STRANGER, &courier)),
            draft(&trade.maker, &[], Body::ClaimProduct(claim)),
            draft(regulator, &[], Body::ApproveProduct(approval)),
            draft(&trade.courier, &[], delegate(&trade.scanner, COURIER)),
        ];
        (trade, drafts)
    }

    pub fn party(text: &str) -> PartyId {
        text.parse().unwrap()
    }
}

pub fn all_accepted(outcomes: Vec<Outcome>) -> Vec<wire::Receipt> {
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(|r| panic!("{}: {}", r.reason, r.message)))
        .collect()
}

/// The digest of some document.
pub fn digest() -> Option<wire::Digest> {
    Some(wire::Digest {
        algorithm: wire::DigestAlgorithm::Sha256.into(),
        value: vec![9; 32],
    })
}

/// An answer over HTTP: status, headers, body.
pub struct Got {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks over HTTP. Redirects are told, not followed.
pub fn http(
    (method, address): (&str, &str),
    headers: &[(&str, &str)],
    body: impl ureq::AsSendBody,
) -> Got {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent.run(request.body(body).unwrap()).unwrap();
    let body = answer.body_mut().read_to_vec().unwrap();
    Got {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body,
    }
}

/// Waits for what takes a while.
pub fn eventually(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// A number among a node's metrics.
pub fn metric(server: &Server, name: &str) -> f64 {
    let text = http(("GET", &server.metrics), &[], ureq::SendBody::none());
    let line = text
        .text()
        .lines()
        .find(|line| line.starts_with(name))
        .map(str::to_owned);
    line.map_or(f64::NAN, |line| {
        line.rsplit(' ').next().unwrap().parse().unwrap()
    })
}
