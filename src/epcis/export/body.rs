//! What the body of a record says and EPCIS has no field for: extensions of the ledger's own
//! namespace (EPCIS 2.0 section 6.3), so that an export leaves nothing out that was signed.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::super::ids;
use super::parts::geo_uri;
use super::{OURS, Writer, Written, about, wrong};
use crate::core::wire::record::Body;
use crate::core::wire::{self, scope::Scope as ScopeKind};

/// Before a product that is no GTIN.
const PRODUCT: &str = "urn:x-custody:v1:product:";

/// Members of the ledger's namespace, without the prefix. Empty values are left out.
#[derive(Default)]
struct Ours(Map<String, Value>);

impl Ours {
    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.put(name, text);
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        if number != 0 {
            self.put(name, number);
        }
    }

    fn hex(&mut self, name: &str, bytes: &[u8]) {
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        self.text(name, &text);
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(format!("{}:{name}", OURS.0), value.into());
    }
}

impl Writer<'_> {
    /// Whether there was anything to put.
    pub(super) fn put_ours(&mut self) -> Written<bool> {
        let mut ours = Ours::default();
        put_body(&mut ours, self.body);
        let place = self.record.place.clone().unwrap_or_default();
        ours.text("region", &place.region);
        ours.text("city", &place.city);
        let is_elsewhere = !place.location.is_empty() || !self.context.read_point.is_empty();
        if let Some(position) = place.position.as_ref().filter(|_| is_elsewhere) {
            ours.put("position", geo_uri(position));
        }
        let found = !ours.0.is_empty();
        for (name, value) in ours.0 {
            self.insert(&name, value)?;
        }
        Ok(found)
    }

    /// The class that a Hold, Release or Recall is about, as a quantity of unknown amount.
    pub(super) fn scope_class(&self) -> Written<Option<Value>> {
        let scope = match self.body {
            Body::Hold(b) => b.scope.as_ref(),
            Body::Release(b) => b.scope.as_ref(),
            Body::Recall(b) => b.scope.as_ref(),
            _ => None,
        };
        let class = match scope.and_then(|scope| scope.scope.as_ref()) {
            None => return Ok(None),
            Some(ScopeKind::Product(product)) => class_uri(product, None, self.resolver),
            Some(ScopeKind::Lot(lot)) => class_uri(&lot.product, Some(&lot.lot), self.resolver),
        };
        let class = about("scope", class)?;
        if !self.record.units.is_empty() {
            return wrong("scope", "stands beside units");
        }
        Ok(Some(json!({ "epcClass": class })))
    }
}

fn class_uri(product: &str, lot: Option<&str>, resolver: &str) -> Result<String, String> {
    ids::spell_class(product, lot, resolver).or_else(|reason| match product.len() {
        7 => {
            let lot = lot.map(|lot| format!(":{lot}")).unwrap_or_default();
            Ok(format!("{PRODUCT}{product}{lot}"))
        }
        _ => Err(reason),
    })
}

fn put_body(ours: &mut Ours, body: &Body) {
    match body {
        Body::Commission(b) => {
            put_attributes(ours, b.attributes.as_ref());
            if !b.explains.is_empty() {
                ours.put("explains", b.explains.clone());
            }
        }
        Body::Transform(b) => put_attributes(ours, b.attributes.as_ref()),
        Body::Inspect(b) => put_report(ours, b.report.as_ref()),
        Body::Handover(b) => put_handover(ours, b),
        Body::Accept(b) => {
            ours.number("weightGrams", b.weight_grams);
            if !b.checks.is_empty() {
                let checks = b.checks().map(|check| check.as_str_name().to_owned());
                ours.put("checks", checks.collect::<Vec<_>>());
            }
        }
        Body::Scan(b) => ours.number("weightGrams", b.weight_grams),
        Body::Deliver(b) => ours.hex("buyerKeyId", &b.buyer_key_id),
        Body::Confirm(b) if !b.contents.is_empty() => ours.put("contents", b.contents.clone()),
        Body::Return(b) => {
            ours.hex("consent", &b.consent);
            ours.hex("consentSignature", &b.consent_signature);
        }
        Body::Refuse(b) => put_kind(ours, "refuse", &b.reason),
        Body::Reject(b) => put_kind(ours, "reject", &b.reason),
        Body::Release(b) => put_kind(ours, "release", &b.reason),
        Body::Correct(b) => {
            put_kind(ours, "correct", &b.reason);
            ours.hex("recordId", &b.record_id);
        }
        Body::Hold(b) => ours.text("reason", &b.reason),
        Body::Recall(b) => {
            ours.text("reason", &b.reason);
            ours.text("notice", &b.notice);
        }
        Body::Destroy(b) => ours.text("reason", &b.reason),
        _ => {}
    }
}

/// A kind that the CBV has no step for.
fn put_kind(ours: &mut Ours, kind: &str, reason: &str) {
    ours.put("kind", kind);
    ours.text("reason", reason);
}

/// Lot and expiry are master data of the CBV and stand in the ILMD.
fn put_attributes(ours: &mut Ours, attributes: Option<&wire::Attributes>) {
    let Some(attributes) = attributes else {
        return;
    };
    if !attributes.markets.is_empty() {
        ours.put("markets", attributes.markets.clone());
    }
    ours.number("lotSize", attributes.lot_size);
    if let Some(content) = &attributes.content {
        ours.number("contentMilli", content.milli);
        ours.text("contentUnitOfMeasure", &content.unit_of_measure);
    }
}

fn put_report(ours: &mut Ours, report: Option<&wire::Digest>) {
    let Some(report) = report else {
        return;
    };
    ours.text("reportDigestAlgorithm", report.algorithm().as_str_name());
    ours.hex("reportDigest", &report.value);
}

fn put_handover(ours: &mut Ours, handover: &wire::Handover) {
    ours.number("weightGrams", handover.weight_grams);
    ours.text("destination", &handover.destination);
    if handover.means() != wire::Means::Unspecified {
        ours.text("means", handover.means().as_str_name());
    }
    if let Some(buyer) = &handover.buyer {
        ours.text("buyerKeySuite", buyer.suite().as_str_name());
        ours.hex("buyerKey", &buyer.public_key);
    }
}

/// Name of a governance record.
pub(super) fn governance_name(body: &Body) -> &'static str {
    match body {
        Body::Genesis(_) => "Genesis",
        Body::RegisterParty(_) => "RegisterParty",
        Body::ApproveParty(_) => "ApproveParty",
        Body::SuspendParty(_) => "SuspendParty",
        Body::AddKey(_) => "AddKey",
        Body::RotateKey(_) => "RotateKey",
        Body::RevokeKey(_) => "RevokeKey",
        Body::Delegate(_) => "Delegate",
        Body::ClaimProduct(_) => "ClaimProduct",
        Body::ApproveProduct(_) => "ApproveProduct",
        Body::SetThresholds(_) => "SetThresholds",
        Body::DecideFinding(_) => "DecideFinding",
        Body::ReportEquivocation(_) => "ReportEquivocation",
        _ => "custody",
    }
}
