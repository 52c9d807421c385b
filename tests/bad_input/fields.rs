//! Fields: each bound of the format, with the path of the field that breaks it.

use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_a_field_that_breaks_a_rule_when_submitted_then_the_refusal_names_it() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let change = |given: &str, field: &'static str, change: &dyn Fn(&mut wire::Record)| {
        let mut record = sound(maker, &[unit(1)], scan());
        change(&mut record);
        Case::field(given, seal(maker, &record), field)
    };
    let place = |change: &dyn Fn(&mut wire::Place)| {
        let mut place = wire::Place {
            region: "CN-FJ".into(),
            ..Default::default()
        };
        change(&mut place);
        Some(place)
    };
    let position = |latitude_e7, longitude_e7| {
        Some(wire::Position {
            latitude_e7,
            longitude_e7,
        })
    };
    let body = |given: &str, field: &'static str, body: Body| {
        Case::field(given, seal(maker, &sound(maker, &[unit(1)], body)), field)
    };
    let attributes = |attributes| {
        let attributes = Some(attributes);
        Body::Commission(wire::Commission {
            attributes,
            ..Default::default()
        })
    };
    let named = |id: &str| wire::UnitRef {
        id: id.into(),
        prev: vec![],
    };
    let long = |length: usize| "x".repeat(length);
    let cases = [
        change("format 2", "format", &|r| r.format = 2).says("format 2"),
        change("format 0", "format", &|r| r.format = 0),
        change("no origin", "origin", &|r| r.origin.clear()),
        change("an origin of 129 bytes", "origin", &|r| {
            r.origin = long(129)
        }),
        change("no suite", "suite", &|r| r.suite = 0),
        change("the reserved suite", "suite", &|r| r.suite = 2).says("suite 2 is not supported"),
        change("an unknown suite", "suite", &|r| r.suite = 9),
        change("a short key id", "key_id", &|r| r.key_id.truncate(15)),
        change("no nonce", "nonce", &|r| r.nonce.clear()),
        change("a long nonce", "nonce", &|r| r.nonce.push(0)),
        change("a time after 2199", "claimed_time_ms", &|r| {
            r.claimed_time_ms = LAST_MS + 1
        }),
        change("the greatest time", "claimed_time_ms", &|r| {
            r.claimed_time_ms = u64::MAX
        }),
        change("a clock 367 days slow", "clock_offset_ms", &|r| {
            r.clock_offset_ms = 367 * DAY as i64;
        }),
        change("a clock 367 days fast", "clock_offset_ms", &|r| {
            r.clock_offset_ms = -367 * DAY as i64;
        }),
        change("the least offset", "clock_offset_ms", &|r| {
            r.clock_offset_ms = i64::MIN
        }),
        change("the greatest offset", "clock_offset_ms", &|r| {
            r.clock_offset_ms = i64::MAX
        }),
        change("no body", "body", &|r| r.body = None),
        change("no units", "units", &|r| r.units.clear()),
        change("513 units", "units", &|r| {
            r.units = (0..513).map(|n| named(&unit(n).to_string())).collect();
        })
        .says("513"),
        change("one unit twice", "units[1].id", &|r| {
            r.units.push(r.units[0].clone())
        })
        .says("twice"),
        change(
            "a unit that is its own container",
            "containers[0].id",
            &|r| {
                r.containers.push(r.units[0].clone());
            },
        ),
        change("nine containers", "containers", &|r| {
            r.containers = (0..9).map(|n| named(&case(n).to_string())).collect();
        }),
        change("a prev of 31 bytes", "units[0].prev", &|r| {
            r.units[0].prev = vec![1; 31]
        }),
        change("a wrong check digit", "units[0].id", &|r| {
            r.units[0] = named("01/10614141123458/21/1");
        })
        .says("check digit is 8, expected 9"),
        change("a wrong check digit of a case", "units[0].id", &|r| {
            r.units[0] = named("00/106141410000000017");
        })
        .says("check digit is 7, expected "),
        change("an id in another spelling", "units[0].id", &|r| {
            r.units[0] = named("https://id.gs1.org/01/10614141123459/21/1");
        })
        .says("write 01/10614141123459/21/1"),
        change("an id as a URN", "units[0].id", &|r| {
            r.units[0] = named("urn:epc:id:sgtin:0614141.112345.1");
        })
        .says("names units canonically; write 01/"),
        change("an id that is noise", "units[0].id", &|r| {
            r.units[0] = named("hello")
        }),
        change("an id of 40,000 bytes", "units[0].id", &|r| {
            r.units[0] = named(&long(40_000));
        }),
        change("an empty place", "place", &|r| {
            r.place = Some(wire::Place::default())
        }),
        change("a city of 65 bytes", "place.city", &|r| {
            r.place = place(&|p| p.city = long(65))
        })
        .says("65 bytes"),
        change("a line break in a city", "place.city", &|r| {
            r.place = place(&|p| p.city = "Fu\nzhou".into());
        })
        .says("control characters"),
        change("an escape in a city", "place.city", &|r| {
            r.place = place(&|p| p.city = "\u{1b}[2J".into());
        }),
        change("a region in words", "place.region", &|r| {
            r.place = place(&|p| p.region = "Fujian".into());
        })
        .says("ISO 3166"),
        change("a region in small letters", "place.region", &|r| {
            r.place = place(&|p| p.region = "cn-fj".into());
        }),
        change(
            "a place beyond a pole",
            "place.position.latitude_e7",
            &|r| {
                r.place = place(&|p| p.position = position(900_000_001, 0));
            },
        ),
        change(
            "a place beyond the date line",
            "place.position.longitude_e7",
            &|r| {
                r.place = place(&|p| p.position = position(0, i32::MIN));
            },
        ),
        change(
            "a location with a wrong check digit",
            "place.location",
            &|r| {
                r.place = place(&|p| p.location = "414/0614141000006".into());
            },
        )
        .says("expected 5"),
        change("a tree 17 deep", "context.fields", &|r| {
            r.context = Some(tree(17))
        })
        .says("16"),
        change("an event id of 257 bytes", "context.event_id", &|r| {
            r.context = Some(wire::EventContext {
                event_id: long(257),
                ..Default::default()
            });
        }),
        body("a prev where a chain begins", "units[0].prev", commission()).with_prev(maker),
        body(
            "a reason of 257 bytes",
            "refuse.reason",
            Body::Refuse(wire::Refuse { reason: long(257) }),
        ),
        body(
            "a bell in a reason",
            "destroy.reason",
            Body::Destroy(wire::Destroy {
                reason: "\u{7}".into(),
            }),
        ),
        body(
            "an unknown means",
            "handover.means",
            Body::Handover(wire::Handover {
                to: COURIER.into(),
                means: 99,
                ..Default::default()
            }),
        ),
        body(
            "an unknown condition",
            "accept.condition",
            Body::Accept(wire::Accept {
                condition: 99,
                ..Default::default()
            }),
        ),
        body(
            "an unknown result",
            "inspect.result",
            Body::Inspect(wire::Inspect {
                result: 99,
                ..Default::default()
            }),
        ),
        body(
            "a digest without algorithm",
            "inspect.report",
            Body::Inspect(wire::Inspect {
                result: 1,
                report: Some(wire::Digest {
                    algorithm: 0,
                    value: vec![0; 32],
                }),
            }),
        ),
        body(
            "more than a thousand tonnes",
            "scan.weight_grams",
            Body::Scan(wire::Scan {
                weight_grams: 1_000_000_001,
            }),
        ),
        body(
            "a receiver with a wrong check character",
            "handover.to",
            handover("uscc:91110000802100433A"),
        )
        .says("expected B"),
        body(
            "a receiver without scheme",
            "handover.to",
            handover("91110000802100433B"),
        ),
        body(
            "a buyer key that is no point",
            "handover.buyer",
            Body::Handover(wire::Handover {
                to: COURIER.into(),
                buyer: Some(wire::BuyerKey {
                    suite: 1,
                    public_key: vec![2; 31],
                }),
                ..Default::default()
            }),
        ),
        body(
            "no container",
            "pack.container",
            Body::Pack(wire::Pack { container: None }),
        ),
        body(
            "a container that is packed into itself",
            "pack.container or outputs",
            pack(unit(1)),
        ),
        body(
            "no outputs",
            "transform.outputs",
            Body::Transform(wire::Transform::default()),
        ),
        body(
            "a lot of 21 characters",
            "commission.attributes.lot",
            attributes(wire::Attributes {
                lot: long(21),
                ..Default::default()
            }),
        ),
        body(
            "the 30th of February",
            "commission.attributes.expiry",
            attributes(wire::Attributes {
                expiry: 20_270_230,
                ..Default::default()
            }),
        ),
        body(
            "a market in words",
            "commission.attributes.markets",
            attributes(wire::Attributes {
                markets: vec!["China".into()],
                ..Default::default()
            }),
        ),
        body(
            "a record id of 3 bytes",
            "correct.record_id",
            Body::Correct(wire::Correct {
                record_id: vec![1, 2, 3],
                ..Default::default()
            }),
        ),
        body(
            "a consent that is noise",
            "return.consent",
            Body::Return(wire::Return {
                consent: vec![0xff],
                consent_signature: vec![0; 64],
            }),
        ),
        body(
            "a consent for nobody",
            "return.consent.to",
            consent("", vec![0; 64]),
        ),
        body(
            "a consent without signature",
            "return.consent_signature",
            consent(COURIER, vec![]),
        ),
        body("units in a governance record", "units", suspend(COURIER)),
    ];
    world.refuses(&cases).await;

    let mut deep = sound(maker, &[unit(1)], scan());
    deep.context = Some(tree(2_000));
    let malformed = [case_of(
        "a tree 2,000 deep",
        seal(maker, &deep),
        Code::InvalidArgument,
        "MALFORMED",
    )];
    world.refuses(&malformed).await;
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_fields_of_governance_that_break_a_rule_when_submitted_then_each_is_named() {
    let world = World::start().await;
    let (regulator, maker) = (world.server.regulator_key(), &world.trade.maker);
    let fresh = key(40);
    let by = |signer: &Signer, given: &str, field: &'static str, body: Body| {
        Case::field(given, seal(signer, &sound(signer, &[], body)), field)
    };
    let registering = |change: &dyn Fn(&mut wire::RegisterParty)| {
        let Body::RegisterParty(mut body) = register(&fresh, &gln(1), &[wire::Role::Maker]) else {
            unreachable!()
        };
        change(&mut body);
        Body::RegisterParty(body)
    };
    let approving = |party: &str, roles: Vec<i32>| {
        Body::ApproveParty(wire::ApproveParty {
            party: party.into(),
            roles,
            ..Default::default()
        })
    };
    let small_order = wire::PublicKey {
        suite: 1,
        public_key: vec![0; 32],
    };
    let cases = [
        by(
            &fresh,
            "a party id with a wrong check digit",
            "register_party.party",
            registering(&|b| {
                b.party = "gln:0614141000006".into();
            }),
        )
        .says("expected 5"),
        by(
            &fresh,
            "no name",
            "register_party.name",
            registering(&|b| b.name.clear()),
        ),
        by(
            &fresh,
            "a name of 129 bytes",
            "register_party.name",
            registering(&|b| {
                b.name = "x".repeat(129);
            }),
        ),
        by(
            &fresh,
            "a role that is none",
            "register_party.roles",
            registering(&|b| b.roles = vec![99]),
        ),
        by(
            &fresh,
            "a role twice",
            "register_party.roles",
            registering(&|b| b.roles = vec![1, 1]),
        ),
        by(
            &fresh,
            "no roles",
            "register_party.roles",
            registering(&|b| b.roles.clear()),
        ),
        by(
            &fresh,
            "a region in words",
            "register_party.region",
            registering(&|b| {
                b.region = "Fujian".into();
            }),
        ),
        by(
            &fresh,
            "no key",
            "register_party.key",
            registering(&|b| b.key = None),
        ),
        by(
            &fresh,
            "a key of small order",
            "register_party.key",
            registering(&|b| {
                b.key = Some(small_order.clone());
            }),
        ),
        by(
            &fresh,
            "a key of the reserved suite",
            "register_party.key",
            registering(&|b| {
                b.key.as_mut().unwrap().suite = 2;
            }),
        ),
        by(
            &regulator,
            "an unknown role",
            "approve_party.roles",
            approving(MAKER, vec![77]),
        ),
        by(
            &regulator,
            "an approval until after 2199",
            "approve_party.valid_until_ms",
            {
                let Body::ApproveParty(body) = approve(MAKER, &[wire::Role::Maker]) else {
                    unreachable!()
                };
                Body::ApproveParty(wire::ApproveParty {
                    valid_until_ms: u64::MAX,
                    ..body
                })
            },
        ),
        by(
            &regulator,
            "a suspension without reason",
            "suspend_party.reason",
            {
                Body::SuspendParty(wire::SuspendParty {
                    party: MAKER.into(),
                    reason: String::new(),
                })
            },
        ),
        by(
            maker,
            "a delegation without end",
            "delegate.valid_until_ms",
            delegate_for(&fresh, MAKER, 0, 0),
        ),
        by(
            maker,
            "a key that ends before it begins",
            "delegate.valid_from_ms",
            delegate_for(&fresh, MAKER, 2, 1),
        ),
        by(
            maker,
            "a short proof of possession",
            "add_key.possession",
            Body::AddKey(wire::AddKey {
                key: Some(public(&fresh)),
                possession: vec![0; 63],
                ..Default::default()
            }),
        ),
        by(maker, "an unknown reason to revoke", "revoke_key.reason", {
            let key_id = maker.key_id().0.to_vec();
            Body::RevokeKey(wire::RevokeKey {
                key_id,
                reason: 99,
                since_ms: 0,
            })
        }),
        by(maker, "a product that is nothing", "claim_product.scope", {
            Body::ClaimProduct(wire::ClaimProduct::default())
        }),
        by(
            maker,
            "a prefix of three digits",
            "claim_product.scope.company_prefix",
            {
                let (scope, name) = (prefix("061"), String::new());
                Body::ClaimProduct(wire::ClaimProduct { scope, name })
            },
        ),
        by(&regulator, "no thresholds", "set_thresholds.thresholds", {
            Body::SetThresholds(wire::SetThresholds { thresholds: None })
        }),
        by(
            &regulator,
            "thresholds without a speed",
            "set_thresholds.thresholds",
            {
                let thresholds = Some(wire::Thresholds::default());
                Body::SetThresholds(wire::SetThresholds { thresholds })
            },
        ),
        by(
            &regulator,
            "an unknown kind of finding",
            "decide_finding.kind",
            {
                Body::DecideFinding(wire::DecideFinding {
                    kind: 24,
                    unit: unit(1).to_string(),
                    decision: 1,
                    reason: "seen".into(),
                    ..Default::default()
                })
            },
        ),
        by(
            &regulator,
            "an unknown decision",
            "decide_finding.decision",
            {
                Body::DecideFinding(wire::DecideFinding {
                    kind: 4,
                    unit: unit(1).to_string(),
                    decision: 9,
                    reason: "seen".into(),
                    ..Default::default()
                })
            },
        ),
    ];
    world.refuses(&cases).await;
    world.stays_intact().await;
}
