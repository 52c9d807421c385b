//! Questions out of range.

use custody::core::wire;
use tonic::{Code, Status};

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_questions_out_of_range_when_asked_then_each_gets_its_code_and_field() {
    use wire::get_inclusion_proof_request::Leaf;
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let size = world.size().await;
    let (mut ledger, mut provenance) = (world.ledger.ledger(), world.ledger.provenance());
    let (mut registry, mut log) = (world.ledger.registry(), regulator.log());
    let mut desk = regulator.regulator();
    let bad = |given: &str, status: Result<(), Status>, field: &str| {
        let status = status.expect_err(given);
        check_status(
            given,
            &status,
            Code::InvalidArgument,
            "INVALID_FIELD",
            field,
        );
    };
    let missing = |given: &str, status: Result<(), Status>| {
        let status = status.expect_err(given);
        check_status(given, &status, Code::NotFound, "NOT_FOUND", "");
    };
    macro_rules! ask {
        ($client:ident.$method:ident, $request:ident { $($fields:tt)* }) => {
            $client.$method(wire::$request { $($fields)* }).await.map(|_| ())
        };
    }
    let units = |count: u64| (0..count).map(|n| unit(n).to_string()).collect::<Vec<_>>();
    let no_unit = || String::from("01/10614141123458/21/1");

    for count in [0, 513] {
        let given = format!("{count} units");
        bad(
            &given,
            ask!(
                ledger.get_heads,
                GetHeadsRequest {
                    units: units(count)
                }
            ),
            "units",
        );
        let standings = ask!(
            provenance.batch_get_standings,
            BatchGetStandingsRequest {
                units: units(count)
            }
        );
        bad(&given, standings, "units");
    }
    ask!(ledger.get_heads, GetHeadsRequest { units: units(512) }).expect("512 are allowed");
    ask!(
        provenance.batch_get_standings,
        BatchGetStandingsRequest { units: units(512) }
    )
    .expect("512 are allowed");
    let mixed = || vec![unit(1).to_string(), no_unit()];
    bad(
        "a bad unit",
        ask!(ledger.get_heads, GetHeadsRequest { units: mixed() }),
        "units[1]",
    );
    let standings = ask!(
        provenance.batch_get_standings,
        BatchGetStandingsRequest { units: mixed() }
    );
    bad("a bad unit", standings, "units[1]");
    bad(
        "a bad unit",
        ask!(provenance.get_bundle, GetBundleRequest { unit: no_unit() }),
        "unit",
    );
    bad(
        "a bad unit",
        ask!(provenance.watch_unit, WatchUnitRequest { unit: no_unit() }),
        "unit",
    );
    bad(
        "no unit",
        ask!(
            provenance.watch_unit,
            WatchUnitRequest {
                unit: String::new()
            }
        ),
        "unit",
    );
    bad(
        "a bad unit",
        ask!(desk.verify_unit, VerifyUnitRequest { unit: no_unit() }),
        "unit",
    );
    bad(
        "a bad unit",
        ask!(
            provenance.get_provenance,
            GetProvenanceRequest {
                unit: no_unit(),
                ..Default::default()
            }
        ),
        "unit",
    );

    // Pages.
    let one = || unit(1).to_string();
    let maker = || MAKER.to_owned();
    bad(
        "a large page",
        ask!(
            provenance.get_provenance,
            GetProvenanceRequest {
                unit: one(),
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            registry.list_parties,
            ListPartiesRequest {
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            registry.list_products,
            ListProductsRequest {
                page_size: u32::MAX,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            registry.list_keys,
            ListKeysRequest {
                party: maker(),
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            desk.list_findings,
            ListFindingsRequest {
                page_size: 1001,
                ..Default::default()
            }
        ),
        "page_size",
    );
    bad(
        "a large page",
        ask!(
            desk.list_entries,
            ListEntriesRequest {
                first: 0,
                page_size: 1001
            }
        ),
        "page_size",
    );
    for token in ["x", "-1", "99999999999999999999", " 1"] {
        let page_token = || token.to_owned();
        bad(
            "a bad token",
            ask!(
                provenance.get_provenance,
                GetProvenanceRequest {
                    unit: one(),
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
        bad(
            "a bad token",
            ask!(
                desk.list_findings,
                ListFindingsRequest {
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
    }
    for token in ["x", "0g", "abc"] {
        let page_token = || token.to_owned();
        bad(
            "a bad token",
            ask!(
                registry.list_parties,
                ListPartiesRequest {
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
        bad(
            "a bad token",
            ask!(
                registry.list_products,
                ListProductsRequest {
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
        bad(
            "a bad token",
            ask!(
                registry.list_keys,
                ListKeysRequest {
                    party: maker(),
                    page_token: page_token(),
                    ..Default::default()
                }
            ),
            "page_token",
        );
    }
    // A token from another party's list leads nowhere.
    let token = |party: &str| hex::encode(Trade::party(party).to_compact());
    for other in [COURIER, STRANGER, REGULATOR] {
        let request = wire::ListKeysRequest {
            party: maker(),
            page_token: token(other),
            page_size: 0,
        };
        let keys = registry.list_keys(request).await.unwrap().into_inner().keys;
        assert!(keys.iter().all(|key| key.party == MAKER), "{keys:?}");
    }
    let many = wire::FindingFilter {
        kinds: vec![4; 65],
        ..Default::default()
    };
    bad(
        "65 kinds",
        ask!(
            desk.list_findings,
            ListFindingsRequest {
                filter: Some(many.clone()),
                ..Default::default()
            }
        ),
        "filter.kinds",
    );
    bad(
        "65 kinds",
        ask!(
            desk.watch_findings,
            WatchFindingsRequest {
                filter: Some(many),
                from_sequence: 0
            }
        ),
        "filter.kinds",
    );
    let unit_filter = wire::FindingFilter {
        unit: no_unit(),
        ..Default::default()
    };
    bad(
        "a bad unit",
        ask!(
            desk.list_findings,
            ListFindingsRequest {
                filter: Some(unit_filter),
                ..Default::default()
            }
        ),
        "filter.unit",
    );

    // The registry.
    bad(
        "a bad party",
        ask!(registry.get_party, GetPartyRequest { id: "gln:1".into() }),
        "id",
    );
    bad(
        "a bad party",
        ask!(
            registry.list_keys,
            ListKeysRequest {
                party: "me".into(),
                ..Default::default()
            }
        ),
        "party",
    );
    bad(
        "a short key id",
        ask!(registry.get_key, GetKeyRequest { id: vec![1; 15] }),
        "id",
    );
    bad(
        "no scope",
        ask!(registry.get_product, GetProductRequest { scope: None }),
        "scope",
    );
    bad(
        "a bad prefix",
        ask!(
            registry.get_product,
            GetProductRequest { scope: prefix("1") }
        ),
        "scope.company_prefix",
    );
    missing(
        "an unknown party",
        ask!(registry.get_party, GetPartyRequest { id: gln(9) }),
    );
    missing(
        "an unknown key",
        ask!(registry.get_key, GetKeyRequest { id: vec![1; 16] }),
    );
    let delegated = world.trade.scanner.key_id().0.to_vec();
    missing(
        "an employee's key",
        ask!(registry.get_key, GetKeyRequest { id: delegated }),
    );
    missing(
        "an unclaimed prefix",
        ask!(
            registry.get_product,
            GetProductRequest {
                scope: prefix("0614149")
            }
        ),
    );

    // Tiles and proofs.
    bad(
        "level 8",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 8,
                index: 0,
                width: 1
            }
        ),
        "level",
    );
    bad(
        "level 256",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 256,
                index: 0,
                width: 1
            }
        ),
        "level",
    );
    bad(
        "width 257",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: 0,
                width: 257
            }
        ),
        "width",
    );
    missing(
        "a tile to come",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: 1,
                width: 1
            }
        ),
    );
    missing(
        "a full tile to come",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: 0,
                width: 0
            }
        ),
    );
    missing(
        "a level to come",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 1,
                index: 0,
                width: 1
            }
        ),
    );
    missing(
        "the last tile",
        ask!(
            log.read_tile,
            ReadTileRequest {
                level: 0,
                index: u64::MAX,
                width: 256
            }
        ),
    );
    let proof = |leaf, size| wire::GetInclusionProofRequest {
        leaf: Some(leaf),
        size,
    };
    for (given, request, field) in [
        (
            "no leaf",
            wire::GetInclusionProofRequest {
                leaf: None,
                size: 0,
            },
            "leaf",
        ),
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
        bad(
            given,
            log.get_inclusion_proof(request).await.map(|_| ()),
            field,
        );
    }
    let unknown = proof(Leaf::RecordId(vec![1; 32]), 0);
    missing(
        "an unknown record",
        log.get_inclusion_proof(unknown).await.map(|_| ()),
    );
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
        bad(
            given,
            log.get_consistency_proof(request).await.map(|_| ()),
            field,
        );
    }
    bad(
        "an end to come",
        ask!(
            log.stream_entries,
            StreamEntriesRequest {
                first: 0,
                end: size + 1
            }
        ),
        "end",
    );

    // What is beyond the end and no mistake is empty.
    let request = wire::StreamEntriesRequest {
        first: u64::MAX,
        end: 0,
    };
    let mut entries = log.stream_entries(request).await.unwrap().into_inner();
    assert!(entries.message().await.unwrap().is_none());
    let request = wire::ListEntriesRequest {
        first: u64::MAX,
        page_size: 1,
    };
    let page = desk.list_entries(request).await.unwrap().into_inner();
    assert_eq!((page.entries.len(), page.next), (0, 0));
    world.is_intact().await;
}
