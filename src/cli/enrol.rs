//! `custody enrol`: gives a phone or a browser a key of the party's.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use fast_qr::qr::QRBuilder;
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::govern::{public, submit};
use super::{Done, Failure, Remote, TokenKey, could, keys, output};
use crate::core::enrolment;
use crate::core::printed::{PrintedSecret, SECRET_BYTES};
use crate::core::signature::PublicKey;
use crate::core::wire;
use crate::core::wire::record::Body;
use crate::sequence::now;

/// How often it is looked whether the phone came.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest exchange with the ledger's pages.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Life of the token by which the firm keeps its room: as long as that is open.
const TOKEN_LIFE: Duration = Duration::from_secs(20 * 60);

/// Enrols a courier's phone: shows a code, waits for the phone, and delegates to the key that it made. It
/// signs custody records only, and nobody but a regulator sees whose it is. With --full, a clerk's browser at
/// the regulator's desk: its key has all rights of the party.
#[derive(Args, Debug)]
pub(crate) struct Enrol {
    #[command(flatten)]
    remote: Remote,
    /// Key file of your party.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
    /// Address of the ledger's pages, as the phone reaches it.
    #[arg(long, env = "CUSTODY_PAGES", default_value = "http://127.0.0.1:7071")]
    pages: String,
    /// Days that the key is valid from now.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// A full key, for a browser at the regulator's desk: it signs whatever the party may.
    #[arg(long)]
    full: bool,
    /// Don't ask whether the key's number on the phone is the same.
    #[arg(long)]
    yes: bool,
}

/// What the phone says of its key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    public_key: String,
    possession: String,
    mac: String,
}

impl Enrol {
    pub(super) async fn run(self) -> Done {
        let signer = keys::read(&self.key)?;
        let ledger = self.remote.connect().await?;
        let party = keys::party_of(&ledger, &signer).await?;
        let token_key = TokenKey {
            key: self.key.clone(),
            party: Some(party.to_string()),
        };
        let token = keys::make_token(&ledger, &token_key, TOKEN_LIFE).await?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        keys::fill_randomly(&mut *bytes)?;
        let code = PrintedSecret::new(bytes);
        let room = Room::new(&self, &code, &token)?;
        room.open(&STANDARD.encode(enrolment::party_mac(&code, party)))?;
        self.show(&code)?;
        let device = room.wait_for_device().await?;
        let key = self.checked(&code, &device)?;
        self.confirm(&key)?;
        let from = now();
        let (key_wire, valid_from_ms) = (Some(public(&key)), from.0);
        let valid_until_ms = from.plus(self.days * 86_400_000).0;
        let possession = binary(&device.possession)?;
        let body = if self.full {
            Body::AddKey(wire::AddKey {
                key: key_wire,
                valid_from_ms,
                valid_until_ms,
                possession,
            })
        } else {
            Body::Delegate(wire::Delegate {
                key: key_wire,
                valid_from_ms,
                valid_until_ms,
                possession,
            })
        };
        let done = format!("key {} signs for {party} for {} days", key.id(), self.days);
        submit(&self.remote, signer, body, &done).await
    }

    fn show(&self, code: &PrintedSecret) -> Done {
        let text = code.text();
        let link = Zeroizing::new(format!(
            "{}/{}#enrol={}",
            self.pages.trim_end_matches('/'),
            if self.full { "desk/key" } else { "scan" },
            *text
        ));
        if self.remote.json {
            return output::line(serde_json::json!({ "code": *text, "link": *link }));
        }
        if std::io::stdout().is_terminal()
            && let Ok(picture) = QRBuilder::new(link.as_str()).build()
        {
            output::line(picture.to_str())?;
        }
        output::line(format!(
            "On the {}, scan this code or open {}\nand type {}\nIt is good for one of them and 15 minutes. Waiting ...",
            self.device(),
            *link,
            *text
        ))
    }

    /// The key that the phone made, if it comes from who was given the code.
    fn checked(&self, code: &PrintedSecret, device: &Device) -> Result<PublicKey, Failure> {
        let bytes = binary(&device.public_key)?;
        if !enrolment::is_key_mac(code, &bytes, &binary(&device.mac)?) {
            return Err(Failure::No(
                "what came is not from a phone that knows the code; do not go on, and make a new code".into(),
            ));
        }
        PublicKey::parse(1, &bytes).map_err(|error| Failure::No(error.to_string()))
    }

    const fn device(&self) -> &'static str {
        if self.full { "browser" } else { "phone" }
    }

    fn confirm(&self, key: &PublicKey) -> Done {
        let number: String = key.id().to_string().chars().take(8).collect();
        if self.yes {
            return Ok(());
        }
        let mut error = std::io::stderr().lock();
        let asked = write!(error, "Does the {} show {number}? [y/N] ", self.device())
            .and_then(|()| error.flush());
        asked.map_err(could("the standard error"))?;
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(could("the standard input"))?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::No("no key was enrolled".into()))
    }
}

fn binary(text: &str) -> Result<Vec<u8>, Failure> {
    let bytes = STANDARD.decode(text);
    bytes.map_err(|error| Failure::No(format!("what the phone sent is no Base64: {error}")))
}

/// Where the phone comes to.
struct Room {
    address: String,
    agent: ureq::Agent,
    bearer: Zeroizing<String>,
}

impl Room {
    fn new(of: &Enrol, code: &PrintedSecret, token: &str) -> Result<Self, Failure> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &of.remote.ca {
            let pem = std::fs::read(path).map_err(could(path.display()))?;
            let certificate = Certificate::from_pem(&pem).map_err(could(path.display()))?;
            tls = tls.root_certs(RootCerts::new_with_certs(&[certificate]));
        }
        let config = ureq::Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls.build())
            .build();
        Ok(Self {
            address: format!(
                "{}/scan/enrol/{}",
                of.pages.trim_end_matches('/'),
                enrolment::room(code)
            ),
            agent: config.into(),
            bearer: Zeroizing::new(format!("Bearer {token}")),
        })
    }

    fn open(&self, mac: &str) -> Done {
        let request = self.agent.put(&self.address);
        let request = request
            .header("authorization", self.bearer.as_str())
            .header("content-type", "application/json");
        let body = serde_json::json!({ "mac": mac }).to_string();
        let mut answer = request.send(body).map_err(could(&self.address))?;
        if answer.status().as_u16() == 204 {
            return Ok(());
        }
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        Err(Failure::No(format!("{}: {said}", answer.status())))
    }

    async fn wait_for_device(&self) -> Result<Device, Failure> {
        loop {
            let address = format!("{}/device", self.address);
            let request = self.agent.get(&address);
            let request = request.header("authorization", self.bearer.as_str());
            let mut answer = request.call().map_err(could(&self.address))?;
            let said = answer.body_mut().read_to_string().unwrap_or_default();
            match answer.status().as_u16() {
                204 => tokio::time::sleep(LOOK_EVERY).await,
                200 => {
                    let device = serde_json::from_str(&said);
                    return device.map_err(could("what the phone sent"));
                }
                404 => return Err(Failure::No("no phone came in time; begin again".into())),
                status => return Err(Failure::No(format!("{status}: {said}"))),
            }
        }
    }
}
