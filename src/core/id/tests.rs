//! Laws and examples of units as a whole: every form reads back, none has two meanings.

use std::collections::HashSet;

use proptest::prelude::*;
use serde::de::IntoDeserializer;
use serde::de::value::{BytesDeserializer, Error, SeqDeserializer, U64Deserializer};

use super::*;

fn sgtin() -> impl Strategy<Value = UnitId> {
    let serial = prop_oneof![
        "[!%-?A-Z_a-z]{1,20}",
        "[0-9]{1,20}",
        any::<u64>().prop_map(|n| n.to_string()),
        r#"["%&/<>?().+]{1,20}"#,
    ];
    (0u64..10_000_000_000_000, serial).prop_map(|(body, serial)| {
        let gtin = Gtin14::from_u64(body * 10 + u64::from(gs1_check_digit(body))).unwrap();
        let serial = Serial::new(&serial).unwrap();
        UnitId::Sgtin(Sgtin { gtin, serial })
    })
}

fn sscc() -> impl Strategy<Value = UnitId> {
    (0u64..100_000_000_000_000_000).prop_map(|body| {
        UnitId::Sscc(Sscc::from_u64(body * 10 + u64::from(gs1_check_digit(body))).unwrap())
    })
}

fn unit() -> impl Strategy<Value = UnitId> {
    prop_oneof![
        sgtin(),
        sscc(),
        ("x[a-z0-9_]{1,15}", "[0-9A-Z]{4,40}")
            .prop_map(|(c, n)| UnitId::Waybill(Waybill::new(&c, &n).unwrap())),
        "8[0-9]{19}".prop_map(|code| UnitId::DrugCode(code.parse().unwrap())),
    ]
}

proptest! {
    #[test]
    fn every_unit_reads_back_from_its_text_link_and_bytes(unit in unit()) {
        let text = unit.to_string();
        prop_assert_eq!(text.parse(), Ok(unit));
        prop_assert_eq!(UnitId::parse_any(&text), Ok(unit));
        let link = unit.to_digital_link("https://id.example.cn/trace/");
        prop_assert_eq!(UnitId::parse_any(&link), Ok(unit));
        let bytes = unit.to_compact();
        prop_assert!(bytes.len() <= MAX_COMPACT_BYTES);
        prop_assert_eq!(UnitId::from_compact(&bytes), Ok(unit));
        prop_assert_eq!(serde_json::from_str::<UnitId>(&serde_json::to_string(&unit).unwrap()).unwrap(), unit);
    }

    #[test]
    fn every_item_and_sscc_reads_back_from_its_urn(unit in prop_oneof![sgtin(), sscc()], len in 6u8..=12) {
        let urn = unit.to_epc_urn(len).unwrap();
        prop_assert_eq!(UnitId::parse_any(&urn), Ok(unit));
        let found = match unit {
            UnitId::Sgtin(_) => epc::parse_sgtin_urn(&urn).unwrap().1,
            _ => epc::parse_sscc_urn(&urn).unwrap().1,
        };
        prop_assert_eq!(found, len);
    }

    #[test]
    fn bytes_that_decode_are_the_only_ones_of_their_unit(bytes in prop::collection::vec(any::<u8>(), 0..70), tag in 0u8..6, unit in unit(), at in any::<prop::sample::Index>(), by in 1u8..) {
        let mut tagged = bytes;
        tagged.insert(0, tag);
        let mut changed = unit.to_compact().to_vec();
        let at = at.index(changed.len());
        changed[at] = changed[at].wrapping_add(by);
        for bytes in [tagged, changed] {
            if let Ok(unit) = UnitId::from_compact(&bytes) {
                prop_assert_eq!(&*unit.to_compact(), &bytes[..]);
            }
        }
    }

    #[test]
    fn no_input_panics(text in "\\PC{0,60}", head in prop::sample::select(vec!["", "(01)", "urn:epc:id:sgtin:", "urn:epc:id:sgln:", "https://a/01/", "01/", "00/", "waybill/", "drug/", "uscc:", "414/", "ups:"])) {
        let text = format!("{head}{text}");
        let _ = UnitId::parse_any(&text);
        let _ = LocationId::parse_any(&text);
        let _ = Uscc::parse_any(&text);
        let _ = text.parse::<PartyId>();
        if let Ok(unit) = text.parse::<UnitId>() {
            prop_assert_eq!(unit.to_string(), text);
        }
    }
}

#[test]
fn given_one_item_in_every_form_when_read_then_it_is_one_unit() {
    let unit: UnitId = "01/80614141123458/21/6789".parse().unwrap();
    for text in [
        " 01/80614141123458/21/6789\r\n",
        "urn:epc:id:sgtin:0614141.812345.6789",
        "https://id.gs1.org/01/80614141123458/10/L1/21/6789?17=261231",
        "(01)80614141123458(21)6789",
    ] {
        assert_eq!(UnitId::parse_any(text), Ok(unit), "{text}");
    }
    assert_eq!(format!("{unit:?}"), "UnitId(01/80614141123458/21/6789)");
}

#[test]
fn given_bare_codes_when_read_then_the_form_decides() {
    for (text, canonical) in [
        ("81234567890123456789", "drug/81234567890123456789"),
        ("SF:sf 1234567890123", "waybill/sf:SF1234567890123"),
        (
            "urn:epc:id:sscc:0614141.1234567890",
            "00/106141412345678908",
        ),
    ] {
        assert_eq!(UnitId::parse_any(text).unwrap().to_string(), canonical);
    }
}

#[test]
fn given_text_that_is_not_canonical_when_parsed_strictly_then_it_is_refused() {
    for text in [
        "",
        "01/6901234567892/21/1",
        "01/06901234567892/21/",
        "01/06901234567892/10/L/21/1",
        "01/06901234567892",
        "00/106141412345678909",
        "waybill/SF:SF1234567890123",
        "waybill/sf:sf1234567890123",
        "drug/71234567890123456789",
        "urn:epc:id:sscc:0614141.1234567890",
        " 00/106141412345678908",
    ] {
        assert!(text.parse::<UnitId>().is_err(), "{text}");
    }
    let long = format!(
        "https://e.cn/{}/00/106141412345678908",
        "a".repeat(MAX_INPUT_BYTES)
    );
    assert!(UnitId::parse_any(&long).is_err());
}

#[test]
fn given_serials_that_look_alike_when_packed_then_each_has_its_own_bytes() {
    let serials = [
        "0",
        "00",
        "1",
        "01",
        "255",
        "256",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "+1",
        "-1",
        "A",
    ];
    let packed: HashSet<Vec<u8>> = serials
        .iter()
        .map(|serial| {
            format!("01/06901234567892/21/{serial}")
                .parse::<UnitId>()
                .unwrap()
        })
        .map(|unit| {
            assert_eq!(UnitId::from_compact(&unit.to_compact()), Ok(unit));
            unit.to_compact().to_vec()
        })
        .collect();
    assert_eq!(packed.len(), serials.len());
    let unit: UnitId = "01/06901234567892/21/256".parse().unwrap();
    assert_eq!(unit.to_compact()[0], 1);
    assert_eq!(
        unit.to_compact()[1..7],
        6_901_234_567_892_u64.to_be_bytes()[2..]
    );
    assert_eq!(unit.to_compact()[7..], [0, 1, 0]);
}

#[test]
fn given_a_second_form_of_a_serial_when_unpacked_then_it_is_refused() {
    let head = UnitId::to_compact(&"01/06901234567892/21/x".parse().unwrap())[..7].to_vec();
    // Text of a number, a zero too many, zero as a number, no number, no serial.
    for tail in [&b"256"[..], &[0, 0, 1], &[0, 0], &[0], &[]] {
        assert!(UnitId::from_compact(&[&head, tail].concat()).is_err());
    }
}

#[test]
fn given_a_binary_format_when_read_as_bytes_or_sequence_then_both_give_the_unit() {
    // A human-readable deserializer would ask for text, so the visitor is driven directly.
    let unit: UnitId = "00/106141412345678908".parse().unwrap();
    let bytes = unit.to_compact();
    let read = BytesDeserializer::<Error>::new(&bytes);
    assert_eq!(codec::deserialize_compact(read), Ok(unit));
    let read = SeqDeserializer::<_, Error>::new(bytes.iter().copied());
    assert_eq!(codec::deserialize_compact(read), Ok(unit));
    let read = SeqDeserializer::<_, Error>::new(std::iter::repeat_n(1_u8, 1000));
    assert!(codec::deserialize_compact::<_, UnitId>(read).is_err());
    let read: U64Deserializer<Error> = 7_u64.into_deserializer();
    assert!(codec::deserialize_compact::<_, UnitId>(read).is_err());
}
