//! The client library: connects, signs, streams, rebases on conflict, and keeps an outbox.
//!
//! [`Session`] is what scanners, imports and the simulator use: it knows the heads of what it
//! submitted itself, asks for those it doesn't know, and signs again what came too late.

pub mod draft;
mod outbox;
mod planned;
mod session;

use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError, http};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::core::wire;

pub use outbox::{Outbox, OutboxError};
pub use planned::{Planned, submit_through};
pub use session::{Draft, Outcome, Session, is_rebased};

/// Most bytes of one answer: a bundle is the largest.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What can go wrong on the way to a ledger.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0} is no address of a ledger; use http://host:port or https://host:port")]
    Address(String),
    /// No connection.
    #[error("no connection to the ledger: {}; is `custody serve` running there?", cause(.0))]
    Connect(#[from] tonic::transport::Error),
    /// The ledger answered with an error.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[source] Box<Status>),
    /// The connection broke before the ledger had answered.
    #[error(
        "the connection to the ledger broke: {}; try again, what it has accepted stays as it is",
        cause(.0)
    )]
    Broken(#[source] Box<Status>),
    /// The stream ended before every record was answered.
    #[error("the ledger ended the stream with {0} records unanswered; send them again")]
    Unanswered(usize),
    /// The ledger's checkpoint doesn't say its origin.
    #[error("the ledger's checkpoint is no signed note")]
    Checkpoint,
    /// The record can't be made.
    #[error("{0}")]
    Draft(String),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        // What a ledger answers has nothing behind it.
        let is_answer = std::error::Error::source(&status).is_none();
        let kind = if is_answer {
            Self::Status
        } else {
            Self::Broken
        };
        kind(Box::new(status))
    }
}

/// What is at the bottom of an error. Those above it say no more than where it happened.
fn cause(error: &(impl std::error::Error + 'static)) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(below) = error.source() {
        error = below;
    }
    error.to_string()
}

/// Puts a token into every call.
#[derive(Clone, Debug, Default)]
pub struct Token(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Token {
    /// A bearer token.
    ///
    /// # Errors
    /// [`ClientError::Draft`] when it has characters that a header can't have.
    pub fn bearer(token: &str) -> Result<Self, ClientError> {
        let value = format!("Bearer {token}").parse();
        value
            .map(|value| Self(Some(value)))
            .map_err(|_| ClientError::Draft("the token is none".into()))
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A connection with a client for each service: over the network, or to services in this process.
#[derive(Clone)]
pub struct Ledger<T = Channel> {
    channel: T,
    token: Token,
}

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident: $module:ident::$client:ident;)*) => {
        impl<T, B> Ledger<T>
        where
            T: Clone + Service<http::Request<Body>, Response = http::Response<B>>,
            T::Error: Into<StdError> + Send + Sync,
            B: HttpBody<Data = Bytes> + Default + Send + 'static,
            B::Error: Into<StdError> + Send,
        {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> wire::$module::$client<InterceptedService<T, Token>> {
                wire::$module::$client::with_interceptor(self.channel.clone(), self.token.clone())
                    .max_decoding_message_size(MAX_ANSWER_BYTES)
            })*
        }
    };
}

clients! {
    /// Submission.
    ledger: ledger_service_client::LedgerServiceClient;
    /// Early warning.
    alert: alert_service_client::AlertServiceClient;
    /// What a consumer may ask.
    provenance: provenance_service_client::ProvenanceServiceClient;
    /// Parties, keys, products.
    registry: registry_service_client::RegistryServiceClient;
    /// Credit files and commitments.
    credit: credit_service_client::CreditServiceClient;
    /// The red and the black list.
    listing: listing_service_client::ListingServiceClient;
    /// What listings lead to.
    measure: measure_service_client::MeasureServiceClient;
    /// Random inspections.
    inspection: inspection_service_client::InspectionServiceClient;
    /// What is shared with public-credit platforms.
    export: export_service_client::ExportServiceClient;
    /// Events of EPCIS.
    event: event_service_client::EventServiceClient;
    /// Signed reports.
    report: report_service_client::ReportServiceClient;
    /// Personal data.
    private: private_service_client::PrivateServiceClient;
    /// Cases of regulators.
    case: case_service_client::CaseServiceClient;
    /// Consumers' reports, claims and reviews.
    claim: claim_service_client::ClaimServiceClient;
    /// Findings and entries.
    regulator: regulator_service_client::RegulatorServiceClient;
    /// The whole ledger, for whoever has the log's key.
    replica: replica_service_client::ReplicaServiceClient;
    /// Checkpoints, proofs, tiles.
    log: log_service_client::LogServiceClient;
}

impl<T> Ledger<T> {
    /// Over something that answers calls.
    pub fn over(channel: T) -> Self {
        Self {
            channel,
            token: Token::default(),
        }
    }
}

impl<T: Clone> Ledger<T> {
    /// The same connection with a token in every call.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        Self {
            channel: self.channel.clone(),
            token,
        }
    }
}

impl Ledger {
    /// Connects to the first that answers of some addresses, with commas between them: nodes of one ledger. With a
    /// certificate authority's PEM, only its certificates are trusted.
    ///
    /// # Errors
    /// [`ClientError`] of the last address, when it is none or nobody answers there.
    pub async fn connect(addresses: &str, ca_pem: Option<&[u8]>) -> Result<Self, ClientError> {
        let mut failed = ClientError::Address(addresses.to_owned());
        for address in addresses.split(',') {
            match Self::connect_to(address.trim(), ca_pem).await {
                Ok(ledger) => return Ok(ledger),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(address: &str, ca_pem: Option<&[u8]>) -> Result<Self, ClientError> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|_| ClientError::Address(address.to_owned()))?;
        let mut endpoint = endpoint
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        if ca_pem.is_none() && address.starts_with("https://") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        if let Some(pem) = ca_pem {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls)?;
        }
        Ok(Self::over(endpoint.connect().await?))
    }

    /// The newest checkpoint, and the origin that it names.
    ///
    /// # Errors
    /// [`ClientError`] as the ledger answers.
    pub async fn checkpoint(&self) -> Result<(Vec<u8>, String), ClientError> {
        let answer = self
            .log()
            .get_checkpoint(wire::GetCheckpointRequest {})
            .await?;
        let note = answer.into_inner().checkpoint;
        let origin = std::str::from_utf8(&note)
            .ok()
            .and_then(|text| text.lines().next());
        let origin = origin.ok_or(ClientError::Checkpoint)?.to_owned();
        Ok((note, origin))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn given_a_status_when_nothing_is_behind_it_then_the_ledger_said_it_else_the_connection_broke()
    {
        let answer = ClientError::from(Status::not_found("nobody made it"));
        assert!(matches!(answer, ClientError::Status(_)));
        assert!(answer.to_string().ends_with("nobody made it"), "{answer}");
        let reset = Error::new(ErrorKind::ConnectionReset, "reset by the peer");
        let outer = Error::new(ErrorKind::BrokenPipe, reset);
        let broken = ClientError::from(Status::from_error(Box::new(outer)));
        assert!(matches!(broken, ClientError::Broken(_)));
        let text = broken.to_string();
        assert!(text.contains("broke: reset by the peer;"), "{text}");
    }
}
