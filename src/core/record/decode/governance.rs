//! The bodies of governance records.

use super::access::access_body;
use super::alert::answer;
use super::case::case_body;
use super::claim::claim_body;
use super::credit::credit_body;
use super::fields::{digest, id, key_id, optional, public_key, signature, text, unit_id, until};
use super::inspection::inspection_body;
use super::measure::measure_body;
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::record::body::{
    Body, Decision, NewKey, ProductScope, RegisterParty, RevocationReason, Role, Thresholds,
};
use crate::core::record::values::{Millis, Region};
use crate::core::refusal::Refusal;
use crate::core::rules::FindingKind;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

pub(super) fn governance_body(body: WireBody) -> Checked<Body> {
    Ok(match body {
        WireBody::Genesis(b) => genesis(&b)?,
        WireBody::RegisterParty(b) => Body::RegisterParty(register_party(b)?),
        WireBody::ApproveParty(b) => Body::ApproveParty {
            party: id(&b.party, "approve_party.party")?,
            roles: roles(&b.roles, "approve_party.roles")?,
            valid_until: until(b.valid_until_ms, "approve_party.valid_until_ms")?,
            registration: (b.registration > 0).then_some(LogIndex(b.registration)),
        },
        WireBody::SuspendParty(b) => {
            text(&b.reason, "suspend_party.reason", 1, MAX_TEXT)?;
            Body::SuspendParty {
                party: id(&b.party, "suspend_party.party")?,
            }
        }
        WireBody::AddKey(b) => Body::AddKey(new_key(
            b.key,
            b.valid_from_ms,
            b.valid_until_ms,
            &b.possession,
            "add_key",
        )?),
        WireBody::Delegate(b) => {
            let key = new_key(
                b.key,
                b.valid_from_ms,
                b.valid_until_ms,
                &b.possession,
                "delegate",
            )?;
            if key.valid_until.is_none() {
                return Err(Refusal::field(
                    "delegate.valid_until_ms",
                    "a delegation has an end",
                ));
            }
            Body::Delegate(key)
        }
        WireBody::RotateKey(b) => Body::RotateKey {
            key: public_key(b.key.as_ref(), "rotate_key.key")?,
            possession: signature(&b.possession, "rotate_key.possession")?,
        },
        WireBody::RevokeKey(b) => Body::RevokeKey {
            key_id: key_id(&b.key_id, "revoke_key.key_id")?,
            reason: match b.reason() {
                wire::RevocationReason::Compromised => {
                    RevocationReason::Compromised(Millis(b.since_ms))
                }
                wire::RevocationReason::Superseded => RevocationReason::Superseded,
                wire::RevocationReason::Cessation => RevocationReason::Cessation,
                wire::RevocationReason::Unspecified => {
                    return Err(Refusal::field("revoke_key.reason", "say why the key ends"));
                }
            },
        },
        WireBody::ClaimProduct(b) => {
            text(&b.name, "claim_product.name", 0, MAX_NAME)?;
            Body::ClaimProduct {
                scope: product_scope(b.scope, "claim_product.scope")?,
                name: b.name,
            }
        }
        WireBody::ApproveProduct(b) => Body::ApproveProduct {
            scope: product_scope(b.scope, "approve_product.scope")?,
            party: id(&b.party, "approve_product.party")?,
        },
        WireBody::SetThresholds(b) => {
            Body::SetThresholds(thresholds(b.thresholds, "set_thresholds.thresholds")?)
        }
        WireBody::DecideFinding(b) => decide_finding(&b)?,
        WireBody::AnswerAlert(b) => answer(&b)?,
        WireBody::ReportEquivocation(b) => Body::ReportEquivocation {
            first: b.first,
            second: b.second,
        },
        other => {
            if let Some(case) = case_body(&other) {
                return case.map(Body::Case);
            }
            if let Some(claim) = claim_body(&other) {
                return claim.map(Body::Claim);
            }
            if let Some(measure) = measure_body(&other) {
                return measure.map(Body::Measure);
            }
            if let Some(inspection) = inspection_body(&other) {
                return inspection.map(Body::Inspection);
            }
            if let Some(access) = access_body(&other) {
                return access.map(Body::Access);
            }
            let credit = credit_body(&other);
            let credit = credit.ok_or_else(|| Refusal::field("body", "unknown kind of record"))?;
            Body::Credit(credit?)
        }
    })
}

pub(super) fn genesis(b: &wire::Genesis) -> Checked<Body> {
    if !(1..=16).contains(&b.regulator_keys.len()) {
        return Err(Refusal::field("genesis.regulator_keys", "1 to 16 keys"));
    }
    text(&b.regulator_name, "genesis.regulator_name", 1, MAX_NAME)?;
    text(&b.log_key, "genesis.log_key", 1, MAX_TEXT)?;
    let regulator_keys = b
        .regulator_keys
        .iter()
        .map(|key| public_key(Some(key), "genesis.regulator_keys"))
        .collect::<Checked<Vec<_>>>()?;
    Ok(Body::Genesis {
        regulator_keys,
        regulator: id(&b.regulator, "genesis.regulator")?,
        regulator_name: b.regulator_name.clone(),
        thresholds: thresholds(b.thresholds, "genesis.thresholds")?,
    })
}

pub(super) fn register_party(b: wire::RegisterParty) -> Checked<RegisterParty> {
    text(&b.name, "register_party.name", 0, MAX_NAME)?;
    text(&b.city, "register_party.city", 0, 64)?;
    b.evidence
        .as_ref()
        .map(|d| digest(d, "register_party.evidence"))
        .transpose()?;
    match (&b.name_commitment, b.name.is_empty()) {
        (Some(commitment), true) => digest(commitment, "register_party.name_commitment")?,
        (None, false) => {}
        (Some(_), false) => {
            return Err(Refusal::field(
                "register_party.name_commitment",
                "give a company's name, or a sole trader's commitment, not both",
            ));
        }
        (None, true) => {
            return Err(Refusal::field(
                "register_party.name",
                "give a company's name, or a sole trader's commitment",
            ));
        }
    }
    Ok(RegisterParty {
        party: id(&b.party, "register_party.party")?,
        roles: roles(&b.roles, "register_party.roles")?,
        region: optional(&b.region, |r| Region::parse(r, "register_party.region"))?,
        key: public_key(b.key.as_ref(), "register_party.key")?,
        name: b.name,
        city: b.city,
    })
}

pub(super) fn decide_finding(b: &wire::DecideFinding) -> Checked<Body> {
    text(&b.reason, "decide_finding.reason", 1, MAX_TEXT)?;
    text(&b.document, "decide_finding.document", 0, MAX_NAME)?;
    Ok(Body::DecideFinding {
        index: LogIndex(b.log_index),
        kind: FindingKind::from_number(b.kind)
            .ok_or_else(|| Refusal::field("decide_finding.kind", "unknown kind of finding"))?,
        unit: unit_id(&b.unit, "decide_finding.unit")?,
        decision: match b.decision() {
            wire::Decision::Confirmed => Decision::Confirmed,
            wire::Decision::Dismissed => Decision::Dismissed,
            wire::Decision::Unspecified => {
                return Err(Refusal::field(
                    "decide_finding.decision",
                    "CONFIRMED or DISMISSED",
                ));
            }
        },
    })
}

pub(super) fn product_scope(
    scope: Option<wire::ProductScope>,
    field: &str,
) -> Checked<ProductScope> {
    use wire::product_scope::Scope as S;
    Ok(match scope.and_then(|s| s.scope) {
        None => return Err(Refusal::field(field, "name what is claimed")),
        Some(S::Gtin(gtin)) => ProductScope::Gtin(id(&gtin, &format!("{field}.gtin"))?),
        Some(S::CompanyPrefix(p)) => {
            ProductScope::CompanyPrefix(id(&p, &format!("{field}.company_prefix"))?)
        }
        Some(S::Carrier(c)) => ProductScope::Carrier(id(&c, &format!("{field}.carrier"))?),
        Some(S::Drug(d)) => ProductScope::Drug(id(&d, &format!("{field}.drug"))?),
    })
}

impl ProductScope {
    /// Checks a scope that a caller names.
    ///
    /// # Errors
    /// A refusal that names what is wrong with it.
    pub fn from_wire(scope: Option<wire::ProductScope>) -> Checked<Self> {
        product_scope(scope, "scope")
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn to_wire(&self) -> wire::ProductScope {
        use wire::product_scope::Scope as S;
        wire::ProductScope {
            scope: Some(match self {
                Self::Gtin(gtin) => S::Gtin(gtin.to_string()),
                Self::CompanyPrefix(prefix) => S::CompanyPrefix(prefix.to_string()),
                Self::Carrier(carrier) => S::Carrier(carrier.to_string()),
                Self::Drug(drug) => S::Drug(drug.to_string()),
            }),
        }
    }
}

pub(super) fn thresholds(thresholds: Option<wire::Thresholds>, field: &str) -> Checked<Thresholds> {
    let t = thresholds.ok_or_else(|| Refusal::field(field, "name the thresholds"))?;
    if t.max_speed_kmh == 0 || t.max_speed_kmh > 100_000 || t.min_travel_km > 40_000 {
        return Err(Refusal::field(
            field,
            "max_speed_kmh 1 to 100000, min_travel_km to 40000",
        ));
    }
    let year_ms = 366 * 86_400_000;
    if [
        t.future_tolerance_ms,
        t.reversal_tolerance_ms,
        t.min_delivery_ms,
        t.late_upload_ms,
    ]
    .iter()
    .any(|ms| *ms > year_ms)
        || t.inflation_per_mille > 1_000_000
    {
        return Err(Refusal::field(field, "no time longer than 366 days"));
    }
    Ok(Thresholds {
        future_tolerance_ms: t.future_tolerance_ms,
        reversal_tolerance_ms: t.reversal_tolerance_ms,
        max_speed_kmh: t.max_speed_kmh,
        min_travel_km: t.min_travel_km,
        min_delivery_ms: t.min_delivery_ms,
        inflation_per_mille: t.inflation_per_mille,
        late_upload_ms: t.late_upload_ms,
    })
}

impl From<Thresholds> for wire::Thresholds {
    fn from(t: Thresholds) -> Self {
        Self {
            future_tolerance_ms: t.future_tolerance_ms,
            reversal_tolerance_ms: t.reversal_tolerance_ms,
            max_speed_kmh: t.max_speed_kmh,
            min_travel_km: t.min_travel_km,
            min_delivery_ms: t.min_delivery_ms,
            inflation_per_mille: t.inflation_per_mille,
            late_upload_ms: t.late_upload_ms,
        }
    }
}

pub(super) fn new_key(
    key: Option<wire::PublicKey>,
    from: u64,
    valid_until_ms: u64,
    possession: &[u8],
    field: &str,
) -> Checked<NewKey> {
    let valid_until = until(valid_until_ms, &format!("{field}.valid_until_ms"))?;
    if from > Millis::MAX.0 || valid_until.is_some_and(|end| end.0 < from) {
        return Err(Refusal::field(
            format!("{field}.valid_from_ms"),
            "the key ends before it begins",
        ));
    }
    Ok(NewKey {
        key: public_key(key.as_ref(), &format!("{field}.key"))?,
        valid_from: Millis(from),
        valid_until,
        possession: signature(possession, &format!("{field}.possession"))?,
    })
}

pub(super) fn roles(numbers: &[i32], field: &str) -> Checked<Vec<Role>> {
    let mut roles = numbers
        .iter()
        .map(|number| {
            Role::from_number(*number)
                .ok_or_else(|| Refusal::field(field, format!("unknown role {number}")))
        })
        .collect::<Checked<Vec<_>>>()?;
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() || roles.len() != numbers.len() {
        return Err(Refusal::field(field, "at least one role, each once"));
    }
    Ok(roles)
}

impl Role {
    const ALL: [Self; 10] = [
        Self::Maker,
        Self::Distributor,
        Self::Seller,
        Self::Courier,
        Self::Inspector,
        Self::Regulator,
        Self::Platform,
        Self::Bank,
        Self::Fund,
        Self::Auditor,
    ];

    pub(super) fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// The number in the proto.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 + 1
    }
}
