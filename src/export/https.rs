//! Hands batches over by HTTPS: a POST with the batch as its body.
//!
//! | header | value |
//! |---|---|
//! | `Content-Type` | `application/json` or `text/csv` |
//! | `Idempotency-Key` | SHA-256 of the batch in hex: the same batch may come twice |
//! | `Custody-Export-Note` | the signed note in Base64 |
//! | `Authorization` | `Bearer` and the receiver's token, where there is one |
//!
//! Any 2xx says that the receiver has it. Redirects are not followed, since the token would go along.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::{Adapter, Parcel, PushError};

/// Longest exchange.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of an answer that are kept in the receipt.
const MAX_ANSWER: u64 = 4_096;

/// How to reach the receiver.
#[derive(Default)]
pub struct HttpsOptions {
    /// PEM of the certificate authority to trust, instead of the well-known ones.
    pub ca: Option<Vec<u8>>,
    /// The receiver's token.
    pub bearer: Option<Zeroizing<String>>,
}

/// A receiver on the web.
pub struct Https {
    address: String,
    agent: ureq::Agent,
    bearer: Option<Zeroizing<String>>,
}

impl Https {
    /// A receiver at an address that begins with `https://`.
    ///
    /// # Errors
    /// [`PushError::Adapter`] when the address or the certificate is none.
    pub fn new(address: String, options: HttpsOptions) -> Result<Self, PushError> {
        let fail = |message: String| PushError::Adapter {
            to: address.clone(),
            message,
        };
        if !address.starts_with("https://") {
            return Err(fail("the address begins with https://".into()));
        }
        let mut tls = TlsConfig::builder();
        if let Some(pem) = &options.ca {
            let certificate = Certificate::from_pem(pem);
            let certificate = certificate.map_err(|error| fail(error.to_string()))?;
            tls = tls.root_certs(RootCerts::new_with_certs(&[certificate]));
        }
        let config = ureq::Agent::config_builder()
            .https_only(true)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls.build())
            .build();
        Ok(Self {
            agent: config.into(),
            address,
            bearer: options.bearer,
        })
    }

    fn post(&self, parcel: &Parcel) -> Result<(u16, String), ureq::Error> {
        let kind = match parcel.form.as_str() {
            "csv" => "text/csv; charset=utf-8",
            _ => "application/json",
        };
        let mut request = self
            .agent
            .post(&self.address)
            .header("Content-Type", kind)
            .header("Idempotency-Key", &parcel.sha256)
            .header("Custody-Export-Note", STANDARD.encode(&parcel.note));
        if let Some(bearer) = &self.bearer {
            let value = Zeroizing::new(format!("Bearer {}", bearer.trim()));
            request = request.header("Authorization", value.as_str());
        }
        let mut answer = request.send(&parcel.batch)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER);
        // What is too long or no text is no receipt, but the status counts.
        Ok((status, body.read_to_string().unwrap_or_default()))
    }
}

impl Adapter for Https {
    fn to(&self) -> String {
        self.address.clone()
    }

    fn deliver(&self, parcel: &Parcel) -> Result<String, PushError> {
        let fail = |message: String| PushError::Adapter {
            to: self.to(),
            message,
        };
        let (status, body) = self.post(parcel).map_err(|error| fail(error.to_string()))?;
        if !(200..300).contains(&status) {
            return Err(fail(format!("answered {status}: {}", body.trim())));
        }
        Ok(format!("{status} {}", body.trim()))
    }
}
