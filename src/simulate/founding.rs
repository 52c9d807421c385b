//! Before the trade: parties register, the regulator approves, numbers are claimed, couriers give
//! keys to their scanners.

use std::sync::Arc;

use super::places::MINUTE;
use super::random::SplitMix64;
use super::story::{BASE, Step};
use super::world::{Party, Product, World};
use crate::core::envelope::key_possession_pae;
use crate::core::signature::Signer;
use crate::core::wire::record::Body;
use crate::core::wire::{self, Role, product_scope};

/// 2026-01-01 and 2027-12-31, within which the scanners' keys are valid.
const DELEGATED_FROM: u64 = 1_767_225_600_000;
const DELEGATED_UNTIL: u64 = 1_830_211_200_000;

/// The batches: each needs that the one before is in the log.
pub(super) fn batches(
    world: &World,
    random: &SplitMix64,
    regulator: &Arc<Signer>,
    origin: &str,
) -> Vec<Vec<Step>> {
    let mut random = random.fork("founding", 0);
    let mut clock = BASE;
    let mut step = |signer: &Arc<Signer>, body: Body| {
        clock += MINUTE / 4;
        Step::govern(&mut random, clock, signer, body)
    };
    let parties = &world.parties;
    let register = parties
        .iter()
        .map(|party| step(&party.key, register(party)))
        .collect();
    let approve = parties
        .iter()
        .map(|party| step(regulator, approve(party)))
        .collect();
    let scopes: Vec<_> = parties
        .iter()
        .flat_map(|party| scopes(party).map(move |s| (party, s)))
        .collect();
    let mut claim: Vec<Step> = scopes
        .iter()
        .map(|(party, (scope, name))| {
            let body = wire::ClaimProduct {
                scope: Some(scope.clone()),
                name: name.clone(),
            };
            step(&party.key, Body::ClaimProduct(body))
        })
        .collect();
    for party in parties {
        for device in &party.devices {
            claim.push(step(&party.key, delegate(party, device, origin)));
        }
    }
    let grant = scopes
        .iter()
        .map(|(party, (scope, _))| {
            let party = party.id.to_string();
            let body = wire::ApproveProduct {
                scope: Some(scope.clone()),
                party,
            };
            step(regulator, Body::ApproveProduct(body))
        })
        .collect();
    vec![register, approve, claim, grant]
}

/// What a party gives out, with its name: everyone but inspectors their GS1 prefix, makers their
/// products, couriers their waybills.
fn scopes(party: &Party) -> impl Iterator<Item = (wire::ProductScope, String)> {
    use product_scope::Scope;
    let trades = party.role != Role::Inspector;
    let prefix = trades.then(|| Scope::CompanyPrefix(party.prefix.to_string()));
    let carrier = party.carrier.clone().map(Scope::Carrier);
    let company = prefix
        .into_iter()
        .chain(carrier)
        .map(|scope| (scope, party.name.clone()));
    let product = |product: &Product| {
        (
            Scope::Gtin(product.gtin.to_string()),
            product.name.to_owned(),
        )
    };
    company
        .chain(party.products.iter().map(product))
        .map(|(scope, name)| (wire::ProductScope { scope: Some(scope) }, name))
}

fn register(party: &Party) -> Body {
    Body::RegisterParty(wire::RegisterParty {
        party: party.id.to_string(),
        name: party.name.clone(),
        roles: vec![party.role.into()],
        region: party.site.region().to_owned(),
        city: party.site.place().city,
        key: Some(public_key(&party.key)),
        ..wire::RegisterParty::default()
    })
}

fn approve(party: &Party) -> Body {
    Body::ApproveParty(wire::ApproveParty {
        party: party.id.to_string(),
        roles: vec![party.role.into()],
        ..wire::ApproveParty::default()
    })
}

fn delegate(party: &Party, device: &Signer, origin: &str) -> Body {
    Body::Delegate(wire::Delegate {
        key: Some(public_key(device)),
        valid_from_ms: DELEGATED_FROM,
        valid_until_ms: DELEGATED_UNTIL,
        possession: device
            .sign(&key_possession_pae(origin, &party.id.to_string()))
            .to_vec(),
    })
}

pub(super) fn public_key(signer: &Signer) -> wire::PublicKey {
    let key = signer.public_key();
    wire::PublicKey {
        suite: key.suite().number(),
        public_key: key.as_bytes().to_vec(),
    }
}
