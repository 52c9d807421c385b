//! Tokens of regulators and auditors: PASETO v4.public, signed by a registered key.
//!
//! | claim | meaning |
//! |---|---|
//! | `iss` | party id of the caller |
//! | `sub` | id of the signing key, 32 hex digits |
//! | `aud` | origin of the ledger that the token is for |
//! | `iat`, `nbf`, `exp` | at most [`MAX_LIFETIME`] apart |
//!
//! It is checked on every call against the registry as of now: the key must be a full key of an
//! active party with the role, so a suspended regulator is out at once.

use std::time::Duration;

use pasetors::claims::{Claims, ClaimsValidationRules};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::V4;
use pasetors::{Public, public};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use zeroize::Zeroizing;

use crate::core::apply::state::{KeyScope, Keys, Parties, Read};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::signature::{KeyId, Signer};
use crate::node::Node;
use crate::sequence;

/// Longest life of a token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// Life of a token that this program makes.
pub const LIFETIME: Duration = Duration::from_secs(900);
/// Most characters of a token.
const MAX_TOKEN_BYTES: usize = 4096;

/// Makes a token.
///
/// # Errors
/// Says in words what the token library refuses.
pub fn make(
    signer: &Signer,
    party: PartyId,
    origin: &str,
    life: Duration,
) -> Result<String, String> {
    let make = || -> Result<String, pasetors::errors::Error> {
        let mut claims = Claims::new_expires_in(&life)?;
        claims.issuer(&party.to_string())?;
        claims.subject(&signer.key_id().to_string())?;
        claims.audience(origin)?;
        let mut pair = Zeroizing::new([0u8; 64]);
        pair[..32].copy_from_slice(&*signer.seed());
        pair[32..].copy_from_slice(signer.public_key().as_bytes());
        let secret = AsymmetricSecretKey::<V4>::from(pair.as_slice())?;
        public::sign(&secret, &claims, None, None)
    };
    make().map_err(|error| error.to_string())
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose key signed the token.
    pub party: PartyId,
    /// Its roles as of now: none while it is not approved, suspended, or its approval has ended.
    roles: Vec<Role>,
}

impl Caller {
    /// Whether it has the role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Checks the token in a call's metadata: it must be of a party with one of the roles.
///
/// # Errors
/// UNAUTHENTICATED without a valid token, PERMISSION_DENIED without the role.
pub fn check(metadata: &MetadataMap, node: &Node, roles: &[Role]) -> Result<Caller, Status> {
    let caller = authenticate(metadata, &**node.store(), node.origin())?;
    if roles.iter().any(|role| caller.is(*role)) {
        return Ok(caller);
    }
    Err(role_missing(&format!(
        "{} has none of the roles that this call needs: {roles:?}",
        caller.party
    )))
}

/// Who calls, whatever its roles.
///
/// # Errors
/// UNAUTHENTICATED without a valid token.
pub fn authenticated(metadata: &MetadataMap, node: &Node) -> Result<Caller, Status> {
    authenticate(metadata, &**node.store(), node.origin())
}

/// A call that the caller's roles don't cover.
#[must_use]
pub fn role_missing(message: &str) -> Status {
    denied(Code::PermissionDenied, "ROLE_MISSING", message)
}

/// A look at a firm that did not consent.
#[must_use]
pub fn consent_missing(message: &str) -> Status {
    denied(Code::PermissionDenied, "CONSENT_MISSING", message)
}

/// A regulator's call about a party whose file it has not opened.
#[must_use]
pub fn file_shut(subject: PartyId) -> Status {
    denied(
        Code::PermissionDenied,
        "FILE_NOT_OPEN",
        &format!(
            "say first why you read the file of {subject}: submit an OpenFile, as \
             `custody file open` does; it stays open for 24 hours"
        ),
    )
}

/// Who calls, where a call may be made without a token as well.
///
/// # Errors
/// UNAUTHENTICATED when there is a token and it is not valid.
pub fn optional(metadata: &MetadataMap, node: &Node) -> Result<Option<Caller>, Status> {
    if metadata.contains_key("authorization") {
        authenticate(metadata, &**node.store(), node.origin()).map(Some)
    } else {
        Ok(None)
    }
}

fn authenticate<R: Read>(
    metadata: &MetadataMap,
    state: &R,
    origin: &str,
) -> Result<Caller, Status> {
    let header = metadata.get("authorization").ok_or_else(|| {
        denied(
            Code::Unauthenticated,
            "TOKEN_MISSING",
            "this call needs a token; make one with `custody token`",
        )
    })?;
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "))
        .filter(|token| token.len() <= MAX_TOKEN_BYTES)
        .ok_or_else(|| invalid("the authorization is no bearer token"))?;
    let untrusted = UntrustedToken::<Public, V4>::try_from(token)
        .map_err(|_| invalid("the token is no PASETO v4.public"))?;
    let key_id = claimed_key(&untrusted)?;
    let key = state
        .get::<Keys>(&key_id)
        .map_err(super::errors::store)?
        .ok_or_else(|| invalid("the token's key is not registered"))?;
    let public = AsymmetricPublicKey::<V4>::from(key.public.as_bytes())
        .map_err(|_| invalid("the token's key doesn't fit"))?;
    let mut rules = ClaimsValidationRules::new();
    rules.validate_audience_with(origin);
    let trusted = public::verify(&public, &untrusted, &rules, None, None)
        .map_err(|_| invalid("the token is not valid: signature, origin or time"))?;
    let claims = trusted
        .payload_claims()
        .ok_or_else(|| invalid("the token has no claims"))?;
    check_lifetime(claims)?;
    let party = key
        .owner
        .party()
        .ok_or_else(|| invalid("a buyer key signs no tokens"))?;
    if claims.get_claim("iss").and_then(|iss| iss.as_str()) != Some(party.to_string().as_str()) {
        return Err(invalid("the token's issuer is not the owner of its key"));
    }
    let now = sequence::now();
    let live = matches!(key.scope, KeyScope::Root | KeyScope::Full)
        && key.valid_from <= now
        && key.is_in_use(now);
    if !live {
        return Err(invalid(
            "the token's key is not in use, or is a delegated one",
        ));
    }
    let row = state.get::<Parties>(&party).map_err(super::errors::store)?;
    // Until it is approved, a later registration takes its place: it is nobody yet.
    if row.as_ref().is_none_or(|row| row.approved_at.is_none()) {
        return Err(invalid("the token's party is not approved yet"));
    }
    let active = row.filter(|row| row.is_active(now));
    let roles = active.map_or_else(Vec::new, |row| row.roles.clone());
    Ok(Caller { party, roles })
}

/// The key id that a token names; it is believed only once that key's signature is checked.
fn claimed_key(token: &UntrustedToken<Public, V4>) -> Result<KeyId, Status> {
    let claims: Option<serde_json::Value> = serde_json::from_slice(token.untrusted_payload()).ok();
    claims
        .as_ref()
        .and_then(|claims| claims.get("sub"))
        .and_then(|sub| sub.as_str())
        .and_then(|sub| sub.parse().ok())
        .ok_or_else(|| invalid("the token names no key"))
}

/// When a token ends, as it says itself; whether it is good, [`check`] says.
#[must_use]
pub fn ends(token: &str) -> Option<Millis> {
    let token = UntrustedToken::<Public, V4>::try_from(token).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(token.untrusted_payload()).ok()?;
    let time: jiff::Timestamp = claims.get("exp")?.as_str()?.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Millis)
}

fn check_lifetime(claims: &Claims) -> Result<(), Status> {
    let time = |name: &str| -> Option<Millis> {
        let text = claims.get_claim(name)?.as_str()?.to_owned();
        let time: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(time.as_millisecond()).ok().map(Millis)
    };
    let (Some(issued), Some(expires)) = (time("iat"), time("exp")) else {
        return Err(invalid(
            "the token says neither when it was made nor when it ends",
        ));
    };
    let most = u64::try_from(MAX_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    if expires.0.saturating_sub(issued.0) > most {
        return Err(invalid("the token lives longer than an hour"));
    }
    Ok(())
}

/// A caller that is not who it says.
pub(super) fn invalid(message: &str) -> Status {
    denied(Code::Unauthenticated, "TOKEN_INVALID", message)
}

fn denied(code: Code, reason: &str, message: &str) -> Status {
    super::errors::of_reason(code, reason, "", message)
}
