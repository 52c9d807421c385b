//! How `custody serve` is told of its cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::init::{LOG_KEY, STORE};
use super::{Done, Failure, could, keys, output};
use crate::cluster::{ClusterOptions, EtcdOptions, EtcdTls};
use crate::store::{Store, StoreOptions};

/// Proposals under way at once.
const WINDOW: usize = 2;
/// Seconds for which groups are kept for a node that is silent.
const FORGET_SECONDS: u32 = 900;

/// Flags of a node of a cluster.
#[derive(Args, Debug, Default)]
pub(super) struct ClusterArgs {
    /// Be a node of the cluster on this etcd: `etcd://host:2379,host:2379,host:2379`.
    #[arg(long, value_name = "ETCD")]
    cluster: Option<String>,
    /// The node's name, its own in the cluster [default: the host's name].
    #[arg(long, requires = "cluster")]
    node: Option<String>,
    /// Where other nodes reach this one's gRPC port, such as `https://node-1.example:7070` [default: what it
    /// listens on].
    #[arg(long, requires = "cluster")]
    advertise: Option<String>,
}

/// The table `cluster` of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClusterConfig {
    etcd: Option<String>,
    node: Option<String>,
    advertise: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    peer_ca: Option<PathBuf>,
    forget_seconds: Option<u32>,
    window: Option<usize>,
}

/// What operators do with a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Begin the cluster again with the log of one node, after etcd lost its state or was set back. All nodes have
    /// to be stopped. Choose the node whose log is the longest: what only others had is lost.
    Reset(Reset),
}

/// Of `custody cluster reset`.
#[derive(Args, Debug)]
pub(crate) struct Reset {
    /// Folder of the node.
    #[arg(long)]
    data: PathBuf,
    /// The etcd, as for `custody serve`.
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Configuration file of the node, for TLS and user of etcd.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Begin with this log even though etcd knows of a signed checkpoint that it does not lead to. Whoever holds
    /// that checkpoint can then prove that the log forked.
    #[arg(long)]
    force: bool,
    /// Write the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl ClusterCommand {
    pub(super) async fn run(self) -> Done {
        let Self::Reset(command) = self;
        command.run().await
    }
}

impl Reset {
    async fn run(self) -> Done {
        let file = match &self.config {
            Some(path) => super::serve::cluster_config(path)?,
            None => ClusterConfig::default(),
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Given::new(self.cluster, file).options(nowhere, false)?;
        let options = options.ok_or_else(|| Failure::Could("name the etcd by --cluster".into()))?;
        let signer = keys::read_log_key(&self.data.join(LOG_KEY))?;
        let store = Store::open(&self.data.join(STORE), &StoreOptions::default());
        let store = Arc::new(store.map_err(|error| Failure::Could(error.to_string()))?);
        store
            .verify()
            .map_err(|error| Failure::Could(error.to_string()))?;
        let origin = signer.verifier().name().to_string();
        let begun =
            crate::cluster::begin_again(&options.etcd, &origin, &store, &options.name, self.force)
                .await;
        let (group, log) = begun.map_err(|error| Failure::Could(error.to_string()))?;
        if self.json {
            return output::json(&serde_json::json!({
                "group": group.number,
                "entries": log.size,
                "root": log.root.to_string(),
            }));
        }
        output::line(format!(
            "the cluster begins again after group {}, with {} entries and the root {}\nstart this node first; \
             the others go on if they are as far, and else join anew with an empty folder",
            group.number, log.size, log.root
        ))
    }
}

/// What flags and file say together.
#[derive(Debug)]
pub(super) struct Given {
    args: ClusterArgs,
    file: ClusterConfig,
}

impl Given {
    pub(super) const fn new(args: ClusterArgs, file: ClusterConfig) -> Self {
        Self { args, file }
    }

    /// What a node is told; none when it is alone. It listens for gRPC on this address.
    pub(super) fn options(
        self,
        listen: SocketAddr,
        tls: bool,
    ) -> Result<Option<ClusterOptions>, Failure> {
        let Self { args, file } = self;
        let Some(etcd) = args.cluster.or(file.etcd) else {
            return Ok(None);
        };
        let hosts = etcd
            .strip_prefix("etcd://")
            .filter(|hosts| !hosts.is_empty());
        let hosts = hosts.ok_or_else(|| {
            Failure::Could(format!(
                "{etcd}: a cluster is given as etcd://host:port,host:port"
            ))
        })?;
        let identity = match (file.cert, file.key) {
            (Some(cert), Some(key)) => Some((read(&cert)?, Zeroizing::new(read(&key)?))),
            (None, None) => None,
            _ => {
                return Err(Failure::Could(
                    "cluster.cert and cluster.key go together".into(),
                ));
            }
        };
        let ca = file.ca.as_deref().map(read).transpose()?;
        let secure = ca.is_some() || identity.is_some();
        let scheme = if secure { "https" } else { "http" };
        let user = match (file.user, file.password_file) {
            (Some(user), Some(path)) => {
                let text = std::fs::read_to_string(&path).map_err(could(path.display()))?;
                let text = Zeroizing::new(text);
                Some((
                    user,
                    Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()),
                ))
            }
            (None, None) => None,
            _ => {
                let message = "cluster.user and cluster.password_file go together";
                return Err(Failure::Could(message.into()));
            }
        };
        let name = args.node.or(file.node).map_or_else(host_name, Ok)?;
        if name.is_empty() || name.len() > 64 || name.contains(['/', '\0']) {
            return Err(Failure::Could(
                "a node's name has 1 to 64 characters, without /".into(),
            ));
        }
        let own = if tls { "https" } else { "http" };
        let address = args.advertise.or(file.advertise);
        Ok(Some(ClusterOptions {
            etcd: EtcdOptions {
                endpoints: hosts
                    .split(',')
                    .map(|host| format!("{scheme}://{host}"))
                    .collect(),
                user,
                tls: secure.then_some(EtcdTls { ca, identity }),
            },
            name,
            address: address.unwrap_or_else(|| format!("{own}://{listen}")),
            peer_ca: file.peer_ca.as_deref().map(read).transpose()?,
            window: file.window.unwrap_or(WINDOW).clamp(1, 64),
            forget_seconds: file.forget_seconds.unwrap_or(FORGET_SECONDS).max(60),
        }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(could(path.display()))
}

fn host_name() -> Result<String, Failure> {
    let path = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(path).map_err(could(path))?;
    Ok(name.trim().to_owned())
}
