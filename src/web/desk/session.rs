//! Sessions of the desk: a regulator's token, kept on the server under a random name that the browser has in
//! a cookie. Every page asks with that token, so a session can do nothing that the token can't, ends with
//! it, and is over at once when its key is revoked or its party suspended.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use zeroize::Zeroizing;

use crate::api::token::{self, Caller};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::node::{self, Node};
use crate::web::problem::Problem;

/// Name of the cookie.
pub(super) const COOKIE: &str = "desk";
/// Most sessions at once.
const MAX_SESSIONS: usize = 4_096;
/// Most sessions of one party: a clerk's browsers, not a program's.
const MAX_OF_PARTY: usize = 256;
/// Bytes of a session's name.
const NAME_BYTES: usize = 32;

/// A session.
#[derive(Clone)]
pub(super) struct Session {
    pub party: PartyId,
    /// When its token ends.
    pub ends: Millis,
    pub token: Zeroizing<String>,
}

impl Session {
    /// Whether its token is good still.
    pub(super) fn check(&self, node: &Node) -> Result<(), Problem> {
        regulator(node, &self.token).map(drop)
    }
}

/// All of them. Kept in memory, by the digests of their names: a restart ends them, and what is here lets
/// nobody in.
#[derive(Default)]
pub(in crate::web) struct Sessions {
    all: Mutex<HashMap<[u8; 32], Session>>,
    /// Changes when somebody logs out.
    left: watch::Sender<u64>,
}

/// Whose token it is, and until when it is good.
fn regulator(node: &Node, bearer: &str) -> Result<(Caller, Millis), Problem> {
    let mut metadata = MetadataMap::new();
    let value = format!("Bearer {bearer}").parse();
    let value =
        value.map_err(|_| Problem::bad_request("the token has characters that none has"))?;
    metadata.insert("authorization", value);
    let caller = token::check(&metadata, node, &[Role::Regulator])?;
    let ends = token::ends(bearer).ok_or_else(|| Problem::bad_request("the token never ends"))?;
    Ok((caller, ends))
}

impl Sessions {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<[u8; 32], Session>) -> T) -> T {
        let mut sessions = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let now = node::now();
        sessions.retain(|_, session| session.ends > now);
        work(&mut sessions)
    }

    /// Opens one by a token. The answer is its name, for the cookie.
    pub(super) fn open(
        &self,
        node: &Node,
        bearer: &str,
    ) -> Result<(Zeroizing<String>, Session), Problem> {
        let (caller, ends) = regulator(node, bearer)?;
        let party = caller.party;
        let session = Session {
            party,
            ends,
            token: Zeroizing::new(bearer.to_owned()),
        };
        let mut name = Zeroizing::new([0; NAME_BYTES]);
        getrandom::fill(&mut *name).map_err(|error| Problem::internal(&error.to_string()))?;
        let name = Zeroizing::new(URL_SAFE_NO_PAD.encode(*name));
        self.with(|sessions| {
            let own = sessions
                .values()
                .filter(|session| session.party == party)
                .count();
            if sessions.len() >= MAX_SESSIONS || own >= MAX_OF_PARTY {
                return Err(Problem::too_many(60));
            }
            sessions.insert(digest(&name), session.clone());
            Ok(())
        })?;
        Ok((name, session))
    }

    /// Goes on with a newer token of the same party.
    pub(super) fn renew(&self, node: &Node, name: &str, bearer: &str) -> Result<Session, Problem> {
        let (caller, ends) = regulator(node, bearer)?;
        self.with(|sessions| {
            let session = sessions.get_mut(&digest(name));
            let session = session.filter(|session| session.party == caller.party);
            let session =
                session.ok_or_else(|| Problem::bad_request("there is no session of this party"))?;
            session.ends = ends;
            session.token = Zeroizing::new(bearer.to_owned());
            Ok(session.clone())
        })
    }

    /// The session of a name, if it is still good.
    pub(super) fn get(&self, name: &str) -> Option<Session> {
        self.with(|sessions| sessions.get(&digest(name)).cloned())
    }

    pub(super) fn end(&self, name: &str) {
        self.with(|sessions| sessions.remove(&digest(name)));
        self.left.send_modify(|number| *number += 1);
    }

    /// Waits until somebody has logged out of a session.
    pub(super) async fn left(&self, name: &str) {
        let mut left = self.left.subscribe();
        while self.get(name).is_some() {
            // The sender is this.
            let _ = left.changed().await;
        }
    }
}

/// Looked up by its digest, a name can't be guessed by how long the answer takes.
fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}
