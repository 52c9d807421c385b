//! The store of the order: what the protocol asks of etcd, and nothing else of it.
//!
//! | key, below `custody/<origin>/` | value |
//! |---|---|
//! | `base` | where the cluster began: [`wire::ClusterBase`] |
//! | `head` | the last group: [`wire::GroupHead`] |
//! | `head/turn` | who proposed it, and whether that node goes on: [`wire::OrderTurn`] |
//! | `head/waits/` name | a node has something to say; empty |
//! | `group/` number, 16 hex digits | [`wire::CommitGroup`] |
//! | `trimmed` | number of the last group that was deleted, in decimal |
//! | `member/` name | what a node says of itself, on a lease: [`wire::ClusterMember`] |
//! | `signed` | the last head that was signed: [`wire::SignedHead`] |
//! | `halted` | why nobody may propose or sign until an operator has reconciled; text |

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, DeleteOptions, GetOptions, KeyValue,
    LeaseGrantOptions, PutOptions, ResponseHeader, TlsOptions, Txn, TxnOp, TxnOpResponse,
    TxnResponse, WatchOptions, WatchStream,
};
use prost::Message;
use prost::bytes::Bytes;

use super::group::{After, Encoded};
use super::protocol::Answer;
use super::{ClusterError, EtcdOptions};
use crate::core::order::GroupId;
use crate::core::tlog::Hash;
use crate::core::wire;
use crate::store::LogHead;

/// How long an answer may take. A write of 1 MiB that has to be synced by a quorum takes a tenth.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection on which nothing comes for so long is asked whether it lives, and given up after as long.
const ALIVE: Duration = Duration::from_secs(2);

/// A connection to etcd.
#[derive(Clone)]
pub(super) struct Etcd {
    client: Client,
    prefix: String,
}

/// What lies at the head of the order, or has changed there.
#[derive(Debug)]
pub(super) enum AtHead {
    /// The last group.
    Head(GroupId),
    /// Who proposed it.
    Turn(wire::OrderTurn),
    /// Whether a node waits for a turn.
    Waits(String, bool),
}

/// What lies in the store of the order, besides the groups.
#[derive(Debug, Default)]
pub(super) struct Situation {
    pub revision: i64,
    /// Of etcd's leader: it grows with each election.
    pub term: u64,
    pub base: Option<Base>,
    pub head: Option<GroupId>,
    pub trimmed: u64,
    pub members: Vec<wire::ClusterMember>,
    /// What was said under this node's name before.
    pub before: Option<wire::ClusterMember>,
    pub signed: Option<Signed>,
    pub halted: Option<String>,
}

/// Bytes of etcd's database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// The file, with pages that are free again: at its quota, etcd takes no more.
    pub file: i64,
    /// What is in use of it.
    pub used: i64,
}

/// Where the cluster began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub group: GroupId,
    pub epoch: u64,
}

/// The last head that was signed, and when etcd took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub head: LogHead,
    pub revision: i64,
}

impl Etcd {
    pub(super) async fn connect(options: &EtcdOptions, origin: &str) -> Result<Self, ClusterError> {
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(ALIVE, ALIVE)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some((user, password)) = &options.user {
            connect = connect.with_user(user.clone(), password.as_str());
            connect = connect.with_auto_token_refresh(true);
        }
        if let Some(tls) = &options.tls {
            let mut config = TlsOptions::new().with_enabled_roots();
            if let Some(ca) = &tls.ca {
                config = config.ca_certificate(etcd_client::Certificate::from_pem(ca));
            }
            if let Some((cert, key)) = &tls.identity {
                config = config.identity(etcd_client::Identity::from_pem(cert, key.as_slice()));
            }
            connect = connect.with_tls(config);
        }
        let client = answered(Client::connect(&options.endpoints, Some(connect))).await?;
        let prefix = format!("custody/{origin}/");
        Ok(Self { client, prefix })
    }

    fn key(&self, name: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), name.as_bytes()].concat()
    }

    fn group_key(&self, number: u64) -> Vec<u8> {
        self.key(&format!("group/{number:016x}"))
    }

    fn not_halted(&self) -> Compare {
        Compare::version(self.key("halted"), CompareOp::Equal, 0)
    }

    /// Says to all nodes that nobody may propose or sign any more.
    pub(super) async fn halt(&self, why: &str) -> Result<(), ClusterError> {
        let mut client = self.client.kv_client();
        answered(client.put(self.key("halted"), why, None))
            .await
            .map(drop)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, ClusterError> {
        let mut client = self.client.kv_client();
        answered(client.txn(txn)).await
    }

    async fn get(&self, key: Vec<u8>) -> Result<(Option<KeyValue>, i64), ClusterError> {
        let mut client = self.client.kv_client();
        let mut found = answered(client.get(key, None)).await?;
        let revision = revision(found.header());
        Ok((found.take_kvs().pop(), revision))
    }

    /// Puts a group of a node after the one that it follows; if it follows no more, notes that the node waits.
    pub(super) async fn propose(&self, group: &Encoded, node: &str) -> Answer {
        let (head, waits) = (self.key("head"), self.waits_key(node));
        let follows = Compare::value(head.clone(), CompareOp::Equal, encode_head(group.previous));
        let turn = wire::OrderTurn {
            number: group.id.number,
            node: node.to_owned(),
            more: group.after == After::Now,
        };
        let mut committed = vec![
            TxnOp::put(head.clone(), encode_head(group.id), None),
            TxnOp::put(self.key("head/turn"), turn.encode_to_vec(), None),
            TxnOp::put(self.group_key(group.id.number), group.bytes.to_vec(), None),
        ];
        if group.after == After::Nothing {
            committed.push(TxnOp::delete(waits.clone(), None));
        }
        let txn = Txn::new()
            .when([follows, self.not_halted()])
            .and_then(committed)
            .or_else([TxnOp::get(head, None), TxnOp::put(waits, "", None)]);
        match self.txn(txn).await {
            Ok(answer) if answer.succeeded() => Answer::Committed,
            Ok(answer) => match first_found(&answer).map(|value| decode_head(value.value())) {
                None => Answer::Refused(None),
                Some(Ok(head)) => Answer::Refused(Some(head)),
                Some(Err(error)) => {
                    tracing::error!(%error, "the head of the order does not read");
                    Answer::Unknown
                }
            },
            Err(error) => {
                tracing::debug!(%error, group = group.id.number, "no answer to a proposal");
                Answer::Unknown
            }
        }
    }

    fn waits_key(&self, node: &str) -> Vec<u8> {
        self.key(&format!("head/waits/{node}"))
    }

    /// Notes whether a node waits for a turn.
    pub(super) async fn waits(&self, node: &str, waits: bool) -> Result<(), ClusterError> {
        let (mut client, key) = (self.client.kv_client(), self.waits_key(node));
        if waits {
            answered(client.put(key, "", None)).await.map(drop)
        } else {
            answered(client.delete(key, None)).await.map(drop)
        }
    }

    /// What lies at the head of the order, and the revision at which that was so.
    pub(super) async fn head(&self) -> Result<(Vec<AtHead>, i64), ClusterError> {
        let mut client = self.client.kv_client();
        let options = GetOptions::new().with_prefix();
        let mut found = answered(client.get(self.key("head"), Some(options))).await?;
        let revision = revision(found.header());
        let found = found.take_kvs();
        let at_head = found
            .iter()
            .filter_map(|kv| self.at_head(kv, true).transpose());
        Ok((at_head.collect::<Result<_, _>>()?, revision))
    }

    /// What an entry at the head of the order says, that was put or deleted.
    pub(super) fn at_head(&self, kv: &KeyValue, put: bool) -> Result<Option<AtHead>, ClusterError> {
        let name = kv.key().strip_prefix(self.prefix.as_bytes());
        Ok(match name.unwrap_or_default() {
            // A head that was deleted does not read: the store of the order was set back.
            b"head" => Some(AtHead::Head(decode_head(kv.value())?)),
            b"head/turn" if put => Some(AtHead::Turn(decode("head/turn", kv.value())?)),
            name => name.strip_prefix(b"head/waits/").map(|node| {
                let node = String::from_utf8_lossy(node).into_owned();
                AtHead::Waits(node, put)
            }),
        })
    }

    /// Follows the head from a revision on.
    pub(super) async fn watch_head(&self, revision: i64) -> Result<WatchStream, ClusterError> {
        let mut client = self.client.watch_client();
        let options = WatchOptions::new()
            .with_start_revision(revision)
            .with_prefix();
        answered(client.watch(self.key("head"), Some(options))).await
    }

    /// The bytes of a group; none where it was trimmed.
    pub(super) async fn group(&self, number: u64) -> Result<Option<Bytes>, ClusterError> {
        let (found, _) = self.get(self.group_key(number)).await?;
        Ok(found.map(|value| Bytes::from(value.into_key_value().1)))
    }

    /// Makes a cluster that begins with a log, unless there is one.
    pub(super) async fn begin(&self, id: GroupId, log: &LogHead) -> Result<bool, ClusterError> {
        let (base, head) = (self.key("base"), self.key("head"));
        let value = new_base(id, log);
        let txn = Txn::new()
            .when([
                Compare::version(base.clone(), CompareOp::Equal, 0),
                Compare::version(head.clone(), CompareOp::Equal, 0),
            ])
            .and_then([
                TxnOp::put(base, value.encode_to_vec(), None),
                TxnOp::put(head, encode_head(id), None),
            ]);
        Ok(self.txn(txn).await?.succeeded())
    }

    /// Begins the cluster again after a group, whatever there was, unless its head is no more the one that was
    /// seen. What comes before counts as signed: whoever signed more can't go on.
    pub(super) async fn begin_again(
        &self,
        seen: Option<GroupId>,
        id: GroupId,
        log: &LogHead,
        node: &str,
    ) -> Result<bool, ClusterError> {
        let (base, head, trimmed) = (self.key("base"), self.key("head"), self.key("trimmed"));
        let unchanged = match seen {
            Some(seen) => Compare::value(head.clone(), CompareOp::Equal, encode_head(seen)),
            None => Compare::version(head.clone(), CompareOp::Equal, 0),
        };
        let all = || Some(DeleteOptions::new().with_prefix());
        let txn = Txn::new().when([unchanged]).and_then([
            TxnOp::delete(self.key("group/"), all()),
            TxnOp::delete(self.key("member/"), all()),
            TxnOp::delete(self.key("head/"), all()),
            TxnOp::delete(self.key("halted"), None),
            TxnOp::put(base, new_base(id, log).encode_to_vec(), None),
            TxnOp::put(head, encode_head(id), None),
            // As where a cluster begins: there is no such key until something was deleted.
            match id.number {
                0 => TxnOp::delete(trimmed, None),
                number => TxnOp::put(trimmed, number.to_string(), None),
            },
            TxnOp::put(self.key("signed"), encode_signed(log, node), None),
        ]);
        Ok(self.txn(txn).await?.succeeded())
    }

    /// All but the groups, as of one moment; before that, what this node says of itself.
    pub(super) async fn situation(
        &self,
        say: Option<(&wire::ClusterMember, i64)>,
    ) -> Result<Situation, ClusterError> {
        let mut operations = Vec::new();
        if let Some((member, lease)) = say {
            let key = self.key(&format!("member/{}", member.name));
            let options = PutOptions::new().with_lease(lease).with_prev_key();
            operations.push(TxnOp::put(key, member.encode_to_vec(), Some(options)));
        }
        for name in ["base", "head", "trimmed", "signed", "halted"] {
            operations.push(TxnOp::get(self.key(name), None));
        }
        let prefix = Some(GetOptions::new().with_prefix());
        operations.push(TxnOp::get(self.key("member/"), prefix));
        let answer = self.txn(Txn::new().and_then(operations)).await?;
        let mut situation = Situation {
            revision: revision(answer.header()),
            term: answer.header().map_or(0, ResponseHeader::raft_term),
            ..Situation::default()
        };
        let mut values = Vec::new();
        for response in answer.op_responses() {
            match response {
                TxnOpResponse::Get(mut found) => values.extend(found.take_kvs()),
                TxnOpResponse::Put(mut put) => {
                    let before = put.take_prev_key();
                    let before = before.map(|before| decode("member", before.value()));
                    situation.before = before.transpose()?;
                }
                _ => {}
            }
        }
        for found in values {
            let at = found.mod_revision();
            let (key, value) = found.into_key_value();
            let name = key.strip_prefix(self.prefix.as_bytes()).unwrap_or_default();
            match name {
                b"base" => situation.base = Some(decode_base(&value)?),
                b"head" => situation.head = Some(decode_head(&value)?),
                b"halted" => {
                    situation.halted = Some(String::from_utf8_lossy(&value).into_owned());
                }
                b"trimmed" => situation.trimmed = decode_number(&value)?,
                b"signed" => {
                    let head = decode_signed(&value)?;
                    situation.signed = Some(Signed { head, revision: at });
                }
                _ => situation.members.push(decode("member", &value)?),
            }
        }
        Ok(situation)
    }

    /// Notes that a head is signed, after another one or as the first; false when somebody was faster.
    pub(super) async fn sign(
        &self,
        last: Option<i64>,
        head: &LogHead,
        node: &str,
    ) -> Result<Option<i64>, ClusterError> {
        let key = self.key("signed");
        let unchanged = Compare::mod_revision(key.clone(), CompareOp::Equal, last.unwrap_or(0));
        let txn = Txn::new().when([unchanged, self.not_halted()]);
        let txn = txn.and_then([TxnOp::put(key, encode_signed(head, node), None)]);
        let answer = self.txn(txn).await?;
        Ok(answer.succeeded().then(|| revision(answer.header())))
    }

    /// Deletes groups up to a number, unless somebody else has deleted some meanwhile.
    pub(super) async fn trim(&self, from: u64, to: u64) -> Result<bool, ClusterError> {
        let trimmed = self.key("trimmed");
        let unchanged = match from {
            0 => Compare::version(trimmed.clone(), CompareOp::Equal, 0),
            from => Compare::value(trimmed.clone(), CompareOp::Equal, from.to_string()),
        };
        let range = DeleteOptions::new().with_range(self.group_key(to + 1));
        let txn = Txn::new().when([unchanged]).and_then([
            TxnOp::put(trimmed, to.to_string(), None),
            TxnOp::delete(self.group_key(0), Some(range)),
        ]);
        Ok(self.txn(txn).await?.succeeded())
    }

    /// Forgets all revisions before one.
    pub(super) async fn compact(&self, revision: i64) -> Result<(), ClusterError> {
        let mut client = self.client.kv_client();
        answered(client.compact(revision, None)).await.map(drop)
    }

    /// A lease on what a node says of itself.
    pub(super) async fn lease(&self, seconds: i64) -> Result<i64, ClusterError> {
        let mut client = self.client.lease_client();
        let granted = answered(client.grant(seconds, None::<LeaseGrantOptions>)).await?;
        Ok(granted.id())
    }

    /// Prolongs a lease; false when it has ended.
    pub(super) async fn prolong(&self, lease: i64) -> Result<bool, ClusterError> {
        let mut client = self.client.lease_client();
        let prolonged = async {
            let (mut keeper, mut answers) = client.keep_alive(lease).await?;
            keeper.keep_alive().await?;
            answers.message().await
        };
        let answer = answered(prolonged).await?;
        Ok(answer.is_some_and(|answer| answer.ttl() > 0))
    }

    /// What lies on the disk of the member that answers.
    pub(super) async fn size(&self) -> Result<Size, ClusterError> {
        let mut client = self.client.maintenance_client();
        let status = answered(client.status()).await?;
        Ok(Size {
            file: status.db_size(),
            used: status.raft_used_db_size(),
        })
    }
}

fn new_base(id: GroupId, log: &LogHead) -> wire::ClusterBase {
    wire::ClusterBase {
        group: Some(group_head(id)),
        size: log.size,
        root: log.root.as_ref().to_vec(),
        // 0 is none.
        epoch: RandomState::new().hash_one(id.hash).max(1),
    }
}

async fn answered<T>(
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answer) => answer.map_err(|error| ClusterError::Etcd(error.to_string())),
        Err(_) => Err(ClusterError::Etcd(format!(
            "no answer within {} s",
            ANSWER.as_secs()
        ))),
    }
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, ResponseHeader::revision)
}

fn first_found(answer: &TxnResponse) -> Option<KeyValue> {
    let responses = answer.op_responses().into_iter();
    responses
        .filter_map(|response| match response {
            TxnOpResponse::Get(mut found) => found.take_kvs().pop(),
            _ => None,
        })
        .next()
}

fn group_head(id: GroupId) -> wire::GroupHead {
    wire::GroupHead {
        number: id.number,
        hash: id.hash.to_vec(),
    }
}

fn encode_head(id: GroupId) -> Vec<u8> {
    group_head(id).encode_to_vec()
}

fn encode_signed(head: &LogHead, node: &str) -> Vec<u8> {
    let signed = wire::SignedHead {
        size: head.size,
        root: head.root.as_ref().to_vec(),
        node: node.to_owned(),
    };
    signed.encode_to_vec()
}

fn decode_base(bytes: &[u8]) -> Result<Base, ClusterError> {
    let base: wire::ClusterBase = decode("base", bytes)?;
    Ok(Base {
        group: group_id(base.group.unwrap_or_default())?,
        epoch: base.epoch,
    })
}

pub(super) fn decode_head(bytes: &[u8]) -> Result<GroupId, ClusterError> {
    group_id(decode("head", bytes)?)
}

fn group_id(head: wire::GroupHead) -> Result<GroupId, ClusterError> {
    let hash = head.hash.as_slice().try_into();
    Ok(GroupId {
        number: head.number,
        hash: hash.map_err(|_| ClusterError::Unreadable("head"))?,
    })
}

fn decode_signed(bytes: &[u8]) -> Result<LogHead, ClusterError> {
    let signed: wire::SignedHead = decode("signed", bytes)?;
    Ok(LogHead {
        size: signed.size,
        root: decode_root(&signed.root)?,
    })
}

pub(super) fn decode_root(bytes: &[u8]) -> Result<Hash, ClusterError> {
    let root: [u8; 32] = bytes
        .try_into()
        .map_err(|_| ClusterError::Unreadable("root"))?;
    Ok(Hash::from(root))
}

fn decode_number(bytes: &[u8]) -> Result<u64, ClusterError> {
    let text = std::str::from_utf8(bytes).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or(ClusterError::Unreadable("trimmed"))
}

fn decode<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, ClusterError> {
    M::decode(bytes).map_err(|_| ClusterError::Unreadable(what))
}
