//! Questions out of range.

use custody::core::wire;
use custody::core::wire::get_inclusion_proof_request::Leaf;
use tonic::{Code, Response, Status};

use crate::common::*;
use crate::world::*;

/// A check digit that is wrong.
const NO_UNIT: &str = "01/10614141123458/21/1";

fn bad<T>(given: &str, answer: Result<Response<T>, Status>, field: &str) {
    let status = answer.map(|_| ()).expect_err(given);
    check_status(
        given,
        &status,
        Code::InvalidArgument,
        "INVALID_FIELD",
        field,
    );
}

fn missing<T>(given: &str, answer: Result<Response<T>, Status>) {
    let status = answer.map(|_| ()).expect_err(given);
    check_status(given, &status, Code::NotFound, "NOT_FOUND", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_units_that_are_none_or_too_many_when_asked_about_then_the_field_is_named() {
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let (mut ledger, mut provenance) = (world.ledger.ledger(), world.ledger.provenance());
    let mut desk = regulator.regulator();
    let named = |count: u64| (0..count).map(|n| unit(n).to_string()).collect::<Vec<_>>();
    let one_bad = vec![unit(1).to_string(), NO_UNIT.to_owned()];
    for (given, units, field) in [
        ("no units", named(0), "units"),
        ("513 units", named(513), "units"),
        ("a bad unit", one_bad, "units[1]"),
    ] {
        let request = wire::GetHeadsRequest {
            units: units.clone(),
        };
        bad(given, ledger.get_heads(request).await, field);
        let request = wire::BatchGetStandingsRequest { units };
        bad(given, provenance.batch_get_standings(request).await, field);
    }
    let request = wire::GetHeadsRequest { units: named(512) };
    ledger.get_heads(request).await.expect("512 are allowed");
    let request = wire::BatchGetStandingsRequest { units: named(512) };
    provenance
        .batch_get_standings(request)
        .await
        .expect("512 are allowed");

    for (given, text) in [("a bad unit", NO_UNIT), ("no unit", ""), ("noise", "hello")] {
        let unit = || text.to_owned();
        let request = wire::GetBundleRequest { unit: unit() };
        bad(given, provenance.get_bundle(request).await, "unit");
        let request = wire::WatchUnitRequest { unit: unit() };
        bad(given, provenance.watch_unit(request).await, "unit");
        let request = wire::GetProvenanceRequest {
            unit: unit(),
            ..Default::default()
        };
        bad(given, provenance.get_provenance(request).await, "unit");
        let request = wire::VerifyUnitRequest { unit: unit() };
        bad(given, desk.verify_unit(request).await, "unit");
    }
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_pages_too_large_or_tokens_of_no_page_when_asked_for_then_the_field_is_named() {
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let (mut provenance, mut registry) = (world.ledger.provenance(), world.ledger.registry());
    let mut desk = regulator.regulator();
    let numbers = ["x", "-1", "99999999999999999999", " 1"];
    let hexes = ["x", "0g", "abc"];
    let large = |size| (size, "", "page_size");
    let with = |token| (0, token, "page_token");
    let sizes = [1001, u32::MAX].map(large);
    let by_number: Vec<_> = sizes.into_iter().chain(numbers.map(with)).collect();
    let by_hex: Vec<_> = sizes.into_iter().chain(hexes.map(with)).collect();
    for (page_size, token, field) in by_number {
        let (given, unit) = (format!("{page_size}, {token:?}"), unit(1).to_string());
        let page_token = token.to_owned();
        let request = wire::GetProvenanceRequest {
            unit,
            page_size,
            page_token,
        };
        bad(&given, provenance.get_provenance(request).await, field);
        let page_token = token.to_owned();
        let request = wire::ListFindingsRequest {
            filter: None,
            page_size,
            page_token,
        };
        bad(&given, desk.list_findings(request).await, field);
    }
    for (page_size, token, field) in by_hex {
        let given = format!("{page_size}, {token:?}");
        let page_token = || token.to_owned();
        let request = wire::ListPartiesRequest {
            page_size,
            page_token: page_token(),
        };
        bad(&given, registry.list_parties(request).await, field);
        let request = wire::ListProductsRequest {
            page_size,
            page_token: page_token(),
        };
        bad(&given, registry.list_products(request).await, field);
        let (party, page_token) = (MAKER.to_owned(), page_token());
        let request = wire::ListKeysRequest {
            party,
            page_size,
            page_token,
        };
        bad(&given, registry.list_keys(request).await, field);
    }
    let request = wire::ListEntriesRequest {
        first: 0,
        page_size: 1001,
    };
    bad(
        "a large page",
        desk.list_entries(request).await,
        "page_size",
    );

    // A token from another party's list leads nowhere.
    for other in [COURIER, STRANGER, REGULATOR] {
        let page_token = hex::encode(Trade::party(other).to_compact());
        let request = wire::ListKeysRequest {
            party: MAKER.into(),
            page_size: 0,
            page_token,
        };
        let keys = registry.list_keys(request).await.unwrap().into_inner().keys;
        assert!(keys.iter().all(|key| key.party == MAKER), "{keys:?}");
    }
    // What is beyond the end and no mistake is empty.
    let request = wire::ListEntriesRequest {
        first: u64::MAX,
        page_size: 1,
    };
    let page = desk.list_entries(request).await.unwrap().into_inner();
    assert_eq!((page.entries.len(), page.next), (0, 0));
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_what_nobody_registered_when_asked_about_then_it_is_bad_or_not_found() {
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let (mut registry, mut desk) = (world.ledger.registry(), regulator.regulator());

    let party = |id: &str| wire::GetPartyRequest { id: id.to_owned() };
    bad(
        "a bad party",
        registry.get_party(party("gln:1")).await,
        "id",
    );
    missing("an unknown party", registry.get_party(party(&gln(9))).await);
    let keys = wire::ListKeysRequest {
        party: "me".into(),
        ..Default::default()
    };
    bad("a bad party", registry.list_keys(keys).await, "party");

    let key = |id: &[u8]| wire::GetKeyRequest { id: id.to_vec() };
    bad(
        "a short key id",
        registry.get_key(key(&[1; 15])).await,
        "id",
    );
    missing("an unknown key", registry.get_key(key(&[1; 16])).await);
    let delegated = world.trade.scanner.key_id().0;
    missing("an employee's key", registry.get_key(key(&delegated)).await);

    let product = |scope| wire::GetProductRequest { scope };
    bad(
        "no scope",
        registry.get_product(product(None)).await,
        "scope",
    );
    let short = registry.get_product(product(prefix("1"))).await;
    bad("a bad prefix", short, "scope.company_prefix");
    missing(
        "an unclaimed prefix",
        registry.get_product(product(prefix("0614149"))).await,
    );

    let kinds = wire::FindingFilter {
        kinds: vec![4; 65],
        ..Default::default()
    };
    let unit = wire::FindingFilter {
        unit: NO_UNIT.into(),
        ..Default::default()
    };
    for (given, filter, field) in [
        ("65 kinds", kinds, "filter.kinds"),
        ("a bad unit", unit, "filter.unit"),
    ] {
        let filter = Some(filter);
        let request = wire::ListFindingsRequest {
            filter: filter.clone(),
            ..Default::default()
        };
        bad(given, desk.list_findings(request).await, field);
        let request = wire::WatchFindingsRequest {
            filter,
            from_sequence: 0,
        };
        bad(given, desk.watch_findings(request).await, field);
    }

    let mut alerts = regulator.alert();
    let filter = wire::AlertFilter::default();
    for (field, filter) in [
        (
            "filter.findings",
            wire::AlertFilter {
                findings: vec![4; 65],
                ..filter.clone()
            },
        ),
        (
            "filter.signals",
            wire::AlertFilter {
                signals: vec![99],
                ..filter.clone()
            },
        ),
        (
            "filter.level",
            wire::AlertFilter {
                level: 4,
                ..filter.clone()
            },
        ),
        (
            "filter.party",
            wire::AlertFilter {
                party: "me".into(),
                ..filter.clone()
            },
        ),
        (
            "filter.unit",
            wire::AlertFilter {
                unit: NO_UNIT.into(),
                ..filter.clone()
            },
        ),
        (
            "filter.region",
            wire::AlertFilter {
                region: "Fujian".into(),
                ..filter
            },
        ),
    ] {
        let request = wire::ListAlertsRequest {
            filter: Some(filter),
            ..Default::default()
        };
        bad(field, alerts.list_alerts(request).await, field);
    }
    for cursor in ["1", "1.x", "-1.1", "begin"] {
        let request = wire::WatchAlertsRequest {
            cursor: cursor.into(),
            ..Default::default()
        };
        bad(cursor, alerts.watch_alerts(request).await, "cursor");
    }
    let nothing = alerts.get_alert(wire::GetAlertRequest::default());
    bad("no alert", nothing.await, "id");
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_tiles_and_proofs_out_of_range_when_asked_for_then_the_field_is_named() {
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let (size, mut log) = (world.size().await, regulator.log());

    let tile = |level, index, width| wire::ReadTileRequest {
        level,
        index,
        width,
    };
    for (given, request, field) in [
        ("level 8", tile(8, 0, 1), "level"),
        ("level 256", tile(256, 0, 1), "level"),
        ("width 257", tile(0, 0, 257), "width"),
    ] {
        bad(given, log.read_tile(request).await, field);
    }
    for (given, request) in [
        ("a tile to come", tile(0, 1, 1)),
        ("a full tile to come", tile(0, 0, 0)),
        ("a level to come", tile(1, 0, 1)),
        ("the last tile", tile(0, u64::MAX, 256)),
    ] {
        missing(given, log.read_tile(request).await);
    }

    let proof = |leaf, size| wire::GetInclusionProofRequest {
        leaf: Some(leaf),
        size,
    };
    let no_leaf = wire::GetInclusionProofRequest {
        leaf: None,
        size: 0,
    };
    for (given, request, field) in [
        ("no leaf", no_leaf, "leaf"),
        ("an index to come", proof(Leaf::Index(size), 0), "index"),
        (
            "an index beyond the size",
            proof(Leaf::Index(3), 3),
            "index",
        ),
        ("the last index", proof(Leaf::Index(u64::MAX), 0), "index"),
        ("a size to come", proof(Leaf::Index(0), size + 1), "size"),
        (
            "a short record id",
            proof(Leaf::RecordId(vec![1; 31]), 0),
            "record_id",
        ),
    ] {
        bad(given, log.get_inclusion_proof(request).await, field);
    }
    let unknown = proof(Leaf::RecordId(vec![1; 32]), 0);
    missing("an unknown record", log.get_inclusion_proof(unknown).await);

    for (given, first_size, second_size, field) in [
        ("from nothing", 0, 0, "first_size"),
        ("backwards", size, 1, "first_size"),
        ("from a size to come", size + 1, 0, "first_size"),
        ("to a size to come", 1, u64::MAX, "second_size"),
    ] {
        let request = wire::GetConsistencyProofRequest {
            first_size,
            second_size,
        };
        bad(given, log.get_consistency_proof(request).await, field);
    }

    let request = wire::StreamEntriesRequest {
        first: 0,
        end: size + 1,
    };
    bad("an end to come", log.stream_entries(request).await, "end");
    // What is beyond the end and no mistake is empty.
    let request = wire::StreamEntriesRequest {
        first: u64::MAX,
        end: 0,
    };
    let mut entries = log.stream_entries(request).await.unwrap().into_inner();
    assert!(entries.message().await.unwrap().is_none());
    world.stays_intact().await;
}
