//! `custody scan`: one record of any custody kind from flags.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::govern::refused;
use super::{Done, Failure, Remote, keys, output};
use crate::client::{Draft, Session};
use crate::core::id::{PartyId, UnitId};
use crate::core::lang::Lang;
use crate::core::signature::KeyId;
use crate::core::wire;
use crate::core::wire::record::Body;
use crate::sequence::now;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    Scan,
    Commission,
    Inspect,
    Pack,
    Unpack,
    Handover,
    Void,
    Accept,
    Refuse,
    Deliver,
    Confirm,
    Reject,
    Transform,
    Hold,
    Release,
    Recall,
    Destroy,
    Correct,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MeansArg {
    Unspecified,
    Road,
    Rail,
    Air,
    Water,
    InPerson,
}

/// Signs and submits one record. The heads of the units are read and filled in.
/// The three checks at collection (寄递三项制度).
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CheckArg {
    /// 实名收寄: who sends it.
    RealName,
    /// 收寄验视: what is in it.
    Inspection,
    /// 过机安检: by machine.
    Screening,
}

#[derive(Args, Debug)]
pub(crate) struct Scan {
    #[command(flatten)]
    remote: Remote,
    /// Key file of the signer.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
    /// What happened.
    #[arg(long, default_value = "scan")]
    kind: KindArg,
    /// The units: canonical, EPC URN, GS1 Digital Link or element string.
    #[arg(required_unless_present_any = ["lot", "product"])]
    units: Vec<String>,
    /// Container of a pack or unpack.
    #[arg(long, required_if_eq_any([("kind", "pack"), ("kind", "unpack")]))]
    container: Option<String>,
    /// Receiver of a handover.
    #[arg(long, required_if_eq("kind", "handover"))]
    to: Option<PartyId>,
    /// Public key of the buyer of a handover, in hex.
    #[arg(long)]
    buyer: Option<String>,
    /// What was checked at the collection of an accept, comma between them.
    #[arg(long, value_delimiter = ',')]
    check: Vec<CheckArg>,
    /// Id of the buyer key of a delivery, in hex.
    #[arg(long)]
    buyer_key_id: Option<String>,
    /// Weight in grams.
    #[arg(long, default_value_t = 0)]
    weight: u64,
    /// How the goods of a handover travel.
    #[arg(long, default_value = "unspecified")]
    means: MeansArg,
    /// City.
    #[arg(long, default_value = "")]
    city: String,
    /// ISO 3166 region.
    #[arg(long, default_value = "")]
    region: String,
    /// Latitude and longitude in degrees, comma between them.
    #[arg(long, allow_hyphen_values = true)]
    position: Option<String>,
    /// Milliseconds since 1970; now when left out.
    #[arg(long)]
    time: Option<u64>,
    /// Lot of a commission; with --product, scope of a hold, release or recall.
    #[arg(long)]
    lot: Option<String>,
    /// Product (GTIN or drug code) of a hold, release or recall.
    #[arg(long)]
    product: Option<String>,
    /// Last day of use of a commission, YYYYMMDD.
    #[arg(long, default_value_t = 0)]
    expiry: u32,
    /// Markets of a commission, comma between them.
    #[arg(long, value_delimiter = ',')]
    market: Vec<String>,
    /// Outputs of a transform.
    #[arg(long, value_delimiter = ',')]
    output: Vec<String>,
    /// Contents of a confirmation.
    #[arg(long, value_delimiter = ',')]
    contents: Vec<String>,
    /// The inspection failed.
    #[arg(long)]
    failed: bool,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
    /// Record id of what a correct is about, in hex.
    #[arg(long, required_if_eq("kind", "correct"))]
    record: Option<String>,
}

impl Scan {
    pub(super) async fn run(self) -> Done {
        let signer = keys::read(&self.key)?;
        let record = self.record()?;
        let mut session = Session::start(self.remote.connect().await?).await?;
        let outcome = session
            .submit(vec![Draft {
                record,
                signer,
                advances: true,
            }])
            .await?
            .pop();
        match outcome {
            Some(Ok(receipt)) => self.print(&receipt),
            Some(Err(refusal)) => Err(refused(&refusal)),
            None => Err(Failure::Could("the ledger did not answer".into())),
        }
    }

    fn print(&self, receipt: &wire::Receipt) -> Done {
        if self.remote.json {
            return output::message("Receipt", receipt);
        }
        output::line(format!(
            "entry {} at {}\nrecord {}",
            receipt.log_index,
            output::time(receipt.time_ms),
            hex::encode(&receipt.record_id)
        ))?;
        let verdict = receipt.verdict.clone().unwrap_or_default();
        if verdict.findings.is_empty() {
            return output::line("clean");
        }
        for finding in &verdict.findings {
            let kind = crate::core::rules::FindingKind::from_number(finding.kind);
            let meaning = kind.map_or("", |kind| kind.rule().meaning(Lang::En));
            output::line(format!("{}: {meaning}", output::kind(finding.kind)))?;
        }
        Ok(())
    }

    fn record(&self) -> Result<wire::Record, Failure> {
        let unit = |text: &str| {
            UnitId::parse_any(text)
                .map(|unit| wire::UnitRef {
                    id: unit.to_string(),
                    prev: Vec::new(),
                })
                .map_err(|error| Failure::No(format!("{text}: {error}")))
        };
        let units = self
            .units
            .iter()
            .map(|text| unit(text))
            .collect::<Result<Vec<_>, _>>()?;
        let container = self.container.as_deref().map(unit).transpose()?;
        Ok(wire::Record {
            claimed_time_ms: self.time.unwrap_or_else(|| now().0),
            place: self.place()?,
            units,
            body: Some(self.body(container)?),
            ..wire::Record::default()
        })
    }

    fn place(&self) -> Result<Option<wire::Place>, Failure> {
        let place = wire::Place {
            position: self.position.as_deref().map(position).transpose()?,
            region: self.region.clone(),
            city: self.city.clone(),
            location: String::new(),
        };
        Ok((place != wire::Place::default()).then_some(place))
    }

    fn body(&self, container: Option<wire::UnitRef>) -> Result<Body, Failure> {
        let reason = self.reason.clone();
        let bytes = |text: &Option<String>, what: &str| -> Result<Vec<u8>, Failure> {
            hex::decode(text.as_deref().unwrap_or_default())
                .map_err(|_| Failure::No(format!("{what}: use hex digits")))
        };
        Ok(match self.kind {
            KindArg::Scan => Body::Scan(wire::Scan {
                weight_grams: self.weight,
            }),
            KindArg::Commission => Body::Commission(wire::Commission {
                attributes: Some(self.attributes()),
                explains: Vec::new(),
            }),
            KindArg::Inspect => Body::Inspect(wire::Inspect {
                result: 1 + i32::from(self.failed),
                report: None,
            }),
            KindArg::Pack => Body::Pack(wire::Pack { container }),
            KindArg::Unpack => Body::Unpack(wire::Unpack { container }),
            KindArg::Handover => Body::Handover(wire::Handover {
                to: self.to.map(|to| to.to_string()).unwrap_or_default(),
                buyer: match &self.buyer {
                    None => None,
                    key => Some(wire::BuyerKey {
                        suite: 1,
                        public_key: bytes(key, "--buyer")?,
                    }),
                },
                weight_grams: self.weight,
                means: self.means as i32,
                destination: String::new(),
            }),
            KindArg::Void => Body::Void(wire::Void {}),
            KindArg::Accept => Body::Accept(wire::Accept {
                condition: 1,
                weight_grams: self.weight,
                checks: self.check.iter().map(|check| *check as i32 + 1).collect(),
            }),
            KindArg::Refuse => Body::Refuse(wire::Refuse { reason }),
            KindArg::Deliver => Body::Deliver(wire::Deliver {
                buyer_key_id: match &self.buyer_key_id {
                    Some(id) => id
                        .parse::<KeyId>()
                        .map_err(|_| Failure::No("--buyer-key-id: 32 hex digits".into()))?
                        .0
                        .to_vec(),
                    None => Vec::new(),
                },
            }),
            KindArg::Confirm => Body::Confirm(wire::Confirm {
                contents: canonical(&self.contents)?,
            }),
            KindArg::Reject => Body::Reject(wire::Reject { reason }),
            KindArg::Transform => Body::Transform(wire::Transform {
                outputs: canonical(&self.output)?,
                attributes: Some(self.attributes()),
            }),
            KindArg::Hold => Body::Hold(wire::Hold {
                scope: self.scope(),
                reason,
            }),
            KindArg::Release => Body::Release(wire::Release {
                scope: self.scope(),
                reason,
            }),
            KindArg::Recall => Body::Recall(wire::Recall {
                scope: self.scope(),
                reason,
                notice: String::new(),
            }),
            KindArg::Destroy => Body::Destroy(wire::Destroy { reason }),
            KindArg::Correct => Body::Correct(wire::Correct {
                record_id: bytes(&self.record, "--record")?,
                reason,
            }),
        })
    }

    fn attributes(&self) -> wire::Attributes {
        wire::Attributes {
            lot: self.lot.clone().unwrap_or_default(),
            expiry: self.expiry,
            markets: self.market.clone(),
            ..wire::Attributes::default()
        }
    }

    fn scope(&self) -> Option<wire::Scope> {
        let product = self.product.clone()?;
        let scope = match &self.lot {
            Some(lot) => wire::scope::Scope::Lot(wire::LotScope {
                product,
                lot: lot.clone(),
            }),
            None => wire::scope::Scope::Product(product),
        };
        Some(wire::Scope { scope: Some(scope) })
    }
}

fn canonical(texts: &[String]) -> Result<Vec<String>, Failure> {
    texts
        .iter()
        .map(|text| {
            UnitId::parse_any(text)
                .map(|unit| unit.to_string())
                .map_err(|error| Failure::No(format!("{text}: {error}")))
        })
        .collect()
}

/// `26.0745,119.2965` in units of 1e-7 degree.
fn position(text: &str) -> Result<wire::Position, Failure> {
    let e7 = |part: &str| -> Option<i32> {
        let degrees: f64 = part.trim().parse().ok()?;
        let scaled = (degrees * 1e7).round();
        #[allow(clippy::cast_possible_truncation)] // within the bounds that are checked here
        (scaled.abs() <= 1.8e9).then_some(scaled as i32)
    };
    text.split_once(',')
        .and_then(|(latitude, longitude)| {
            Some(wire::Position {
                latitude_e7: e7(latitude)?,
                longitude_e7: e7(longitude)?,
            })
        })
        .ok_or_else(|| Failure::No("--position: use degrees, such as 26.0745,119.2965".into()))
}
