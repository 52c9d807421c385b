//! The gateway: a program of a party's own that holds its key, beside its systems.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rand_core::TryRng as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, OnceCell, watch};
use zeroize::Zeroizing;

use super::jobs::{Jobs, write_whole};
use super::problem::{Exception, Problem};
use super::queries::Queries;
use super::{Asks, Source, capture, negotiated, queries, subscriptions, worker};
use crate::api::token;
use crate::client::{ClientError, Ledger, Token};
use crate::core::id::PartyId;
use crate::core::signature::Signer;

/// File of the secret that callers show.
const SECRET: &str = "token";
/// File that shows that a gateway works in the folder.
const LOCK: &str = "lock";
/// Longest secret that is read, in bytes.
const MAX_SECRET: u64 = 4_096;

/// What a gateway is told.
pub struct GatewayOptions {
    /// The ledger's address.
    pub ledger: String,
    /// PEM of the certificate authority of the ledger, if it is one of its own.
    pub ca: Option<Vec<u8>>,
    /// The party's key. It signs records, and tokens for queries.
    pub signer: Arc<Signer>,
    /// Whose key it is.
    pub party: PartyId,
    /// Folder of jobs, queries and the callers' secret. It is made if it isn't there.
    pub state: PathBuf,
    /// Where the gateway is, as seen by its callers; if it isn't told, what they asked for.
    pub public_url: Option<String>,
}

/// What can go wrong when a gateway starts.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The folder.
    #[error("{0}")]
    Folder(String),
    /// Another gateway works in it.
    #[error("another gateway works in {0}")]
    Locked(PathBuf),
}

/// A gateway.
pub struct Gateway {
    options: GatewayOptions,
    party: String,
    secret: [u8; 32],
    connection: OnceCell<(Ledger, String)>,
    pub(super) jobs: Jobs,
    pub(super) queries: Queries,
    /// A job was added.
    pub(super) added: Notify,
    /// Why the job that is next can't be done now; empty when nothing is in the way.
    trouble: Mutex<String>,
    /// Id of the job that was finished last.
    pub(super) finished: watch::Sender<String>,
    pub(super) stop: watch::Sender<bool>,
    _lock: std::fs::File,
}

impl Gateway {
    /// Opens the folder and begins to work off what waits there.
    ///
    /// # Errors
    /// [`GatewayError`] when the folder can't be read or written, or is in use.
    pub fn start(options: GatewayOptions) -> Result<Arc<Self>, GatewayError> {
        let state = options.state.clone();
        let failed = |error: &dyn std::fmt::Display| GatewayError::Folder(error.to_string());
        make_folder(&state).map_err(|error| failed(&format!("{}: {error}", state.display())))?;
        let lock = std::fs::File::create(state.join(LOCK));
        let lock = lock.map_err(|error| failed(&format!("{}: {error}", state.display())))?;
        if lock.try_lock().is_err() {
            return Err(GatewayError::Locked(state));
        }
        let secret = secret(&state.join(SECRET)).map_err(|error| failed(&error))?;
        let jobs = Jobs::open(&state).map_err(|error| failed(&error))?;
        let queries = Queries::open(&state).map_err(|error| failed(&error))?;
        let gateway = Arc::new(Self {
            party: options.party.to_string(),
            options,
            secret: Sha256::digest(secret.as_bytes()).into(),
            connection: OnceCell::new(),
            jobs,
            queries,
            added: Notify::new(),
            trouble: Mutex::default(),
            finished: watch::Sender::new(String::new()),
            stop: watch::Sender::new(false),
            _lock: lock,
        });
        tokio::spawn(worker::work(Arc::clone(&gateway), gateway.stop.subscribe()));
        subscriptions::resume(&gateway);
        Ok(gateway)
    }

    /// Ends the work in hand; what is left waits for the next start.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The file with the secret that callers show as `Authorization: Bearer …`.
    #[must_use]
    pub fn secret_file(&self) -> PathBuf {
        self.options.state.join(SECRET)
    }

    /// All routes.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/", get(capture::resources).options(capture::root_may))
            .route(
                "/capture",
                get(capture::list)
                    .post(capture::post)
                    .options(capture::may_capture),
            )
            .route("/capture/{id}", get(capture::one).options(super::may_get))
            .route(
                "/queries",
                get(queries::list)
                    .post(queries::add)
                    .options(queries::may_add),
            )
            .route(
                "/queries/{name}",
                get(queries::one)
                    .delete(queries::remove)
                    .options(queries::may_remove),
            )
            .route(
                "/queries/{name}/events",
                get(queries::events).options(super::may_get),
            )
            .route(
                "/queries/{name}/subscriptions",
                get(subscriptions::list)
                    .post(subscriptions::add)
                    .options(queries::may_add),
            )
            .route(
                "/queries/{name}/subscriptions/{id}",
                get(subscriptions::one)
                    .delete(subscriptions::remove)
                    .options(queries::may_remove),
            )
            // One event, captured at once; the rest of these routes is the ledger's as well.
            .route("/events", axum::routing::post(capture::event))
            .merge(super::queries::<Arc<Self>>())
            .fallback(nothing)
            .method_not_allowed_fallback(not_so)
            .layer(from_fn_with_state(Arc::clone(self), guarded))
            .with_state(Arc::clone(self))
    }

    pub(super) fn state(&self) -> &Path {
        &self.options.state
    }

    pub(super) fn party(&self) -> &str {
        &self.party
    }

    /// What is in the way of jobs now.
    pub(super) fn trouble(&self) -> String {
        let trouble = self.trouble.lock();
        trouble
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        let kept = self.trouble.lock();
        *kept.unwrap_or_else(std::sync::PoisonError::into_inner) = trouble;
    }

    pub(super) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.options.signer)
    }

    async fn connection(&self) -> Result<&(Ledger, String), ClientError> {
        self.connection
            .get_or_try_init(|| async {
                let ca = self.options.ca.as_deref();
                let ledger = Ledger::connect(&self.options.ledger, ca).await?;
                let (_, origin) = ledger.checkpoint().await?;
                Ok((ledger, origin))
            })
            .await
    }

    /// The ledger, to submit to.
    pub(super) async fn ledger(&self) -> Result<Ledger, ClientError> {
        Ok(self.connection().await?.0.clone())
    }

    /// The ledger, asked by the party: the token is made anew each time, so it never runs out.
    pub(super) async fn as_itself(&self) -> Result<Source, ClientError> {
        let (ledger, origin) = self.connection().await?;
        let token = token::make(
            &self.options.signer,
            self.options.party,
            origin,
            token::LIFETIME,
        );
        let token = Token::bearer(&token.map_err(ClientError::Draft)?)?;
        Ok(Source::There(Box::new(ledger.with_token(token))))
    }
}

impl Asks for Arc<Gateway> {
    const EVENTS: &'static str = "OPTIONS, GET, POST";

    async fn source(&self, _: &HeaderMap) -> Result<Source, Problem> {
        self.as_itself().await.map_err(unreachable_ledger)
    }

    fn base(&self, parts: &Parts) -> String {
        super::base(self.options.public_url.as_deref(), parts)
    }
}

/// Waits until the gateway is told to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

pub(super) fn unreachable_ledger(error: ClientError) -> Problem {
    match error {
        ClientError::Status(status) => (*status).into(),
        other => Problem::too_much(other.to_string()),
    }
}

/// Whoever shows the secret may do what the key may; nobody else may anything.
async fn guarded(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    // Of what is compared nobody can choose the bytes, so how long it takes says nothing.
    let right = shown.is_some_and(|text| {
        let digest: [u8; 32] = Sha256::digest(text.trim().as_bytes()).into();
        digest == gateway.secret
    });
    if !right {
        let detail = "show the gateway's own token as `Authorization: Bearer …`; it is in the file `token` of the \
                      gateway's folder";
        return Problem::unauthorized(detail).into_response();
    }
    next.run(request).await
}

async fn not_so() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Exception::Implementation,
        "this is not done with this method; OPTIONS tells which",
    )
}

async fn nothing(headers: HeaderMap) -> Problem {
    match negotiated(&headers) {
        Ok(()) => Problem::not_found("there is no such resource; GET / lists them"),
        Err(problem) => problem,
    }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The secret in the file; a new one where there is none.
fn secret(path: &Path) -> Result<Zeroizing<String>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match std::fs::File::open(path) {
        Ok(file) => {
            let mut text = Zeroizing::new(String::new());
            let read = file.take(MAX_SECRET).read_to_string(&mut text);
            read.map_err(|error| said(&error))?;
            let text = Zeroizing::new(text.trim().to_owned());
            if text.len() < 32 {
                return Err(said(
                    &"a token has 32 characters or more; delete the file for a new one",
                ));
            }
            Ok(text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = Zeroizing::new([0; 32]);
            getrandom::SysRng
                .try_fill_bytes(&mut *random)
                .map_err(|error| said(&error))?;
            let text = Zeroizing::new(hex::encode(*random));
            write_whole(path, format!("{}\n", *text).as_bytes())
                .map_err(|error| error.to_string())?;
            Ok(text)
        }
        Err(error) => Err(said(&error)),
    }
}
