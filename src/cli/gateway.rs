//! `custody gateway`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;

use super::connection::{Connections, MAX_CONNECTIONS, room_for};
use super::http::{self, DRAIN, LogFormat, Signals, start_log};
use super::{Done, Failure, Remote, TokenKey, could, keys, output};
use crate::network::Part;
use crate::rest::{self, GatewayOptions};

/// Serves EPCIS 2.0 over HTTP for your own systems, on behalf of one party: it holds the party's key, signs what they
/// capture, and asks with it. Callers show the token in the file `token` of its folder.
#[derive(Args, Debug)]
pub(crate) struct Gateway {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    key: TokenKey,
    /// Folder for jobs, queries and the callers' token; made if it isn't there.
    #[arg(long, default_value = "custody-gateway")]
    state: PathBuf,
    /// Address to listen on. Other than on this machine it has to be TLS.
    #[arg(long, default_value = "127.0.0.1:7080")]
    listen: SocketAddr,
    /// Where the gateway is as its callers see it, such as `https://epcis.maker.example` [default: what the caller
    /// asked for].
    #[arg(long)]
    public_url: Option<String>,
    /// PEM file of the certificate chain.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How the program's own log is written.
    #[arg(long, default_value = "human")]
    log_format: LogFormat,
}

impl Gateway {
    pub(super) async fn run(self) -> Done {
        start_log(self.log_format);
        let mut signals = Signals::catch().map_err(could("signals"))?;
        let tls = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        if tls.is_none() && !self.listen.ip().is_loopback() {
            return Err(Failure::Could(format!(
                "{} can be reached from other machines, and whoever shows the token may sign with the key: give \
                 --tls-cert and --tls-key",
                self.listen
            )));
        }
        let signer = keys::read(&self.key.key)?;
        let party = match &self.key.party {
            Some(text) => text
                .parse()
                .map_err(|error| Failure::No(format!("--party: {error}")))?,
            None => keys::party_of(&self.remote.connect().await?, &signer).await?,
        };
        let listener = TcpListener::bind(self.listen);
        let listener = listener.await.map_err(could(self.listen))?;
        let address = listener.local_addr().map_err(could(self.listen))?;
        let options = GatewayOptions {
            ledger: self.remote.ledger.clone(),
            ca: self.remote.ca()?,
            signer,
            party,
            state: self.state.clone(),
            public_url: self.public_url.clone(),
        };
        let gateway = rest::Gateway::start(options);
        let gateway = gateway.map_err(|error| Failure::Could(error.to_string()))?;
        let connections = Connections::http("http", room_for(MAX_CONNECTIONS, 1), Part::ALL);
        let serving = http::serve(gateway.router(), listener, tls, connections).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        output::line(format!(
            "custody: gateway of {party} on {scheme}://{address}\ncustody: callers' token in {}",
            gateway.secret_file().display()
        ))?;
        let http::Serving { handle, mut task } = serving;
        let failed = tokio::select! {
            () = signals.came() => false,
            ended = &mut task => {
                tracing::error!(?ended, "the gateway serves no more");
                true
            }
        };
        gateway.stop();
        handle.graceful_shutdown(Some(DRAIN));
        if failed {
            return Err(Failure::Could("the gateway serves no more".into()));
        }
        let _ = tokio::time::timeout(DRAIN, task).await;
        Ok(())
    }
}
