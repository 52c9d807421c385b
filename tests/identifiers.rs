//! Identifiers against published numbers: the carriers' own examples, good and bad, and the
//! facts of GB 32100.
//!
//! The carriers' numbers are data of the `tracking_number_data` project, which is not copied
//! into this one: where it is not at hand, its tests say so and pass.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use custody::core::id::{PartyId, Uscc, Waybill};
use serde_json::Value;

const COURIERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/couriers");

/// Carriers whose formats are enforced: there must be numbers for each of them.
const CARRIERS: [&str; 18] = [
    "amazon",
    "canada_post",
    "canpar",
    "dhl",
    "dpd",
    "fedex",
    "gofo",
    "landmark",
    "lasership",
    "old_dominion",
    "ontrac",
    "purolator",
    "s10",
    "speedee",
    "ups",
    "usps",
    "yodel",
    "yunexpress",
];

/// The carriers' files, or nothing where they are not at hand.
fn couriers() -> Vec<Value> {
    if !Path::new(COURIERS).is_dir() {
        eprintln!("SKIPPED: {COURIERS} is not there, so no carrier's numbers were tested");
        return Vec::new();
    }
    let mut paths: Vec<_> = fs::read_dir(COURIERS)
        .expect("the folder is readable")
        .map(|file| file.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    paths.sort();
    let read = |path| fs::read(path).expect("the file is readable");
    paths
        .iter()
        .map(|path| serde_json::from_slice(&read(path)).expect("the file is JSON"))
        .collect()
}

/// Every test number of one sort, with its carrier.
fn numbers(couriers: &[Value], sort: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for courier in couriers {
        let carrier = courier["courier_code"].as_str().expect("a code");
        for format in courier["tracking_numbers"].as_array().expect("formats") {
            for number in format["test_numbers"][sort].as_array().expect("numbers") {
                let number = number.as_str().expect("text");
                found.push((carrier.to_owned(), number.to_owned()));
            }
        }
    }
    found
}

#[test]
fn given_every_valid_number_of_a_carrier_when_read_then_it_passes_and_reads_back() {
    let couriers = couriers();
    let numbers = numbers(&couriers, "valid");
    let mut refused = Vec::new();
    for (carrier, number) in &numbers {
        match Waybill::new_any(carrier, number) {
            Ok(waybill) => assert_eq!(waybill.to_string().parse(), Ok(waybill)),
            Err(error) => refused.push(format!("{carrier} {number:?}: {error}")),
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    if !couriers.is_empty() {
        let tested: BTreeSet<&str> = numbers.iter().map(|(c, _)| c.as_str()).collect();
        assert_eq!(tested, BTreeSet::from(CARRIERS));
    }
}

#[test]
fn given_every_invalid_number_of_a_carrier_when_read_then_it_is_refused() {
    let couriers = couriers();
    let valid: BTreeSet<_> = numbers(&couriers, "valid").into_iter().collect();
    let accepted: Vec<_> = numbers(&couriers, "invalid")
        .into_iter()
        .filter(|(carrier, number)| Waybill::new_any(carrier, number).is_ok())
        // Invalid as one format of a carrier, but a listed valid number of another.
        .filter(|number| !valid.contains(number))
        .collect();
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn given_codes_of_real_entities_when_read_then_they_are_parties() {
    for code in [
        "91350100M000100Y43",
        "91110000802100433B",
        "91370200264574251E",
        // The weighted sum is divisible by 31: the check character is 0.
        "91000000AA00001730",
    ] {
        let party: PartyId = format!("uscc:{code}").parse().expect("a valid code");
        assert_eq!(PartyId::from_compact(&party.to_compact()), Ok(party));
    }
}

#[test]
fn given_a_code_with_a_wrong_character_when_read_then_the_place_is_named() {
    let error = "91350100M000100Y4Z".parse::<Uscc>().unwrap_err();
    assert!(error.to_string().contains("character 18 is 'Z'"), "{error}");
}
