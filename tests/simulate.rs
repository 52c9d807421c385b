//! The whole of it on a simulated province: every planted break is found and nothing besides, the
//! audit passes, and the bundle of *every* unit verifies offline to the standing that the server
//! tells.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Server;
use custody::core::bundle::{DecodedEntry, decode_entry, verify};
use custody::core::id::{PartyId, UnitId};
use custody::core::lang::Lang;
use custody::core::record::{Body, CreditBody, Decision, Record, Role};
use custody::core::rules::{FindingKind, Severity};
use custody::core::signature::KeyId;
use custody::core::wire;
use prost::Message as _;

/// All entries, decoded.
async fn entries(server: &Server) -> Vec<DecodedEntry> {
    let request = wire::StreamEntriesRequest { first: 0, end: 0 };
    let regulator = server.regulator().await;
    let stream = regulator.log().stream_entries(request).await;
    let mut stream = stream.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        entries.extend(
            page.entries
                .iter()
                .map(|entry| decode_entry(&entry.entry).unwrap()),
        );
    }
    entries
}

/// A second account of a delivery firm's score, from nothing but the entries: it knows neither views nor
/// rules, and takes only the number of claims that the firm owes from who planted them.
#[derive(Default)]
struct Account {
    firm: Option<PartyId>,
    /// Whose each key is.
    owners: BTreeMap<KeyId, PartyId>,
    couriers: BTreeSet<PartyId>,
    regulators: BTreeSet<PartyId>,
    /// Who holds what, what it is in, and since when the firm has had it.
    holders: BTreeMap<UnitId, PartyId>,
    inside: BTreeMap<UnitId, UnitId>,
    since: BTreeMap<UnitId, u64>,
    passed_on: i64,
    late: i64,
    collected: i64,
    unchecked: i64,
    /// The firm's findings, and whether a regulator confirmed each.
    findings: BTreeMap<(u64, i32), bool>,
    records: i64,
}

impl Account {
    fn holder(&self, unit: &UnitId) -> Option<PartyId> {
        match self.inside.get(unit) {
            Some(container) => self.holder(container),
            None => self.holders.get(unit).copied(),
        }
    }

    fn read(&mut self, index: u64, entry: &DecodedEntry) {
        let record = &entry.record;
        let by = self.owners.get(&record.key_id).copied();
        let ours = by.is_some() && by == self.firm;
        for finding in entry.verdict.findings.iter().filter(|_| ours) {
            self.findings.insert((index, finding.kind), false);
        }
        let beside = |n: usize| {
            let pairs = entry.verdict.beside.chunks_exact(2);
            let n = u32::try_from(n).unwrap();
            pairs
                .into_iter()
                .any(|pair| (pair[0]..pair[0] + pair[1]).contains(&n))
        };
        let joined = record.units.iter().enumerate().filter(|(n, _)| !beside(*n));
        let units: Vec<UnitId> = joined.map(|(_, unit)| unit.id).collect();
        self.govern(record, by);
        let Some(by) = by else {
            return;
        };
        let now = record.event_time.0;
        match &record.body {
            Body::Commission { .. } => {
                for unit in units {
                    self.holders.insert(unit, by);
                    self.since.insert(unit, now);
                }
            }
            Body::Transform { outputs, .. } if !units.is_empty() => {
                for unit in outputs {
                    self.holders.insert(*unit, by);
                }
            }
            Body::Pack { container } => {
                self.inside
                    .extend(units.into_iter().map(|unit| (unit, container.id)));
            }
            Body::Unpack { .. } => {
                for unit in units {
                    let holder = self.holder(&unit);
                    self.inside.remove(&unit);
                    self.holders.extend(holder.map(|holder| (unit, holder)));
                    self.since.remove(&unit);
                }
            }
            Body::Accept { checked, .. } => {
                for unit in units {
                    let giver = self.holder(&unit);
                    if ours && giver.is_some_and(|giver| !self.couriers.contains(&giver)) {
                        self.collected += 1;
                        self.unchecked += i64::from(!checked);
                    }
                    self.holders.insert(unit, by);
                    self.since.insert(unit, now);
                }
            }
            Body::Handover(_) | Body::Deliver { .. } if ours => {
                for unit in units {
                    // Offered again, it is still passed on once.
                    if let Some(since) = self.since.remove(&unit) {
                        self.passed_on += 1;
                        self.late += i64::from(now - since > 72 * 3_600_000);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whose keys are whose, and what authorities wrote down.
    fn govern(&mut self, record: &Record, by: Option<PartyId>) {
        match &record.body {
            Body::Genesis {
                regulator_keys,
                regulator,
                ..
            } => {
                self.regulators.insert(*regulator);
                self.owners
                    .extend(regulator_keys.iter().map(|key| (key.id(), *regulator)));
            }
            Body::RegisterParty(body) => {
                self.owners.insert(body.key.id(), body.party);
            }
            Body::AddKey(new) | Body::Delegate(new) => {
                self.owners.extend(by.map(|by| (new.key.id(), by)));
            }
            Body::RotateKey { key, .. } => self.owners.extend(by.map(|by| (key.id(), by))),
            Body::ApproveParty { party, roles, .. } => {
                if roles.contains(&Role::Courier) {
                    self.couriers.insert(*party);
                }
                if roles.contains(&Role::Regulator) {
                    self.regulators.insert(*party);
                }
            }
            Body::DecideFinding {
                index,
                kind,
                decision,
                ..
            } => {
                let key = (index.0, i32::from(kind.number()));
                let confirmed = *decision == Decision::Confirmed;
                if by.is_some_and(|by| self.regulators.contains(&by)) {
                    self.findings
                        .entry(key)
                        .and_modify(|found| *found = confirmed);
                }
            }
            Body::Credit(CreditBody::AddCreditRecord(added))
                if Some(added.subject) == self.firm =>
            {
                self.records += 1;
            }
            _ => {}
        }
    }

    fn points(&self, claims: i64) -> i64 {
        assert_eq!(self.records, 0, "the simulation adds none");
        let confirmed = self.findings.iter().filter(|(_, confirmed)| **confirmed);
        let kinds = confirmed.filter_map(|((_, kind), _)| FindingKind::from_number(*kind));
        let findings = kinds.map(|kind| match kind.rule().severity {
            Severity::DoNotSell => 50,
            Severity::LookCloser => 10,
        });
        let share = |most: i64, part: i64, whole: i64| most * part / whole.max(1);
        1_000
            - findings.sum::<i64>()
            - share(200, self.late, self.passed_on)
            - share(300, self.unchecked, self.collected)
            - 30 * claims
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_province_when_it_has_traded_then_all_breaks_are_found_and_proven() {
    let server = Server::start();
    let key = server.data.join("regulator.key");
    let truth = server.data.join("truth.json");
    let arguments = ["--seed", "11", "--units", "500", "--parties", "40", "--key"];
    let report = server.run_ok(
        &[
            &["simulate"],
            arguments.as_slice(),
            &[key.to_str().unwrap(), "--truth", truth.to_str().unwrap()],
        ]
        .concat(),
    );
    assert!(
        report.contains("found every one of them, and flagged no clean unit"),
        "{report}"
    );
    assert!(
        report
            .contains("3 listings, 2 measures, 3 claims, a case and a score stand as they should"),
        "{report}"
    );

    let truth: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&truth).unwrap()).unwrap();
    let raw = entries(&server).await;
    let scores = truth["credit"]["scores"].as_array().unwrap();
    assert!(!scores.is_empty());
    for expected in scores {
        let party = expected["party"].as_str().unwrap();
        let mut account = Account {
            firm: Some(party.parse().unwrap()),
            ..Account::default()
        };
        for (index, entry) in (0..).zip(&raw) {
            account.read(index, entry);
        }
        let request = wire::GetScoreRequest {
            party: party.into(),
            ..Default::default()
        };
        let regulator = server.regulator().await;
        let score = regulator.credit().get_score(request).await;
        let score = score.unwrap().into_inner();
        let claims = expected["upheldClaims"].as_i64();
        let claims = claims.or(expected["upheld_claims"].as_i64()).unwrap();
        assert!(account.unchecked > 0 && account.collected > account.unchecked);
        assert_eq!(account.points(claims), i64::from(score.points), "{score:?}");
    }

    let trust = server.data.join("log.vkey");
    server.run_ok(&[
        "audit",
        "--key",
        key.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
    ]);

    let trusted = [server.log_key().parse().unwrap()];
    let ledger = server.ledger().await;
    let units = raw.iter().flat_map(|entry| entry.record.subjects());
    let units: BTreeSet<String> = units.map(|unit| unit.to_string()).collect();
    let units: Vec<String> = units.into_iter().collect();
    assert!(units.len() > 500);
    for page in units.chunks(512) {
        let request = wire::BatchGetStandingsRequest {
            units: page.to_vec(),
        };
        let answer = ledger
            .provenance()
            .batch_get_standings(request)
            .await
            .unwrap()
            .into_inner();
        for told in answer.standings {
            let request = wire::GetBundleRequest {
                unit: told.unit.clone(),
            };
            let answer = ledger
                .provenance()
                .get_bundle(request)
                .await
                .unwrap()
                .into_inner();
            let report = verify(&answer.bundle.unwrap().encode_to_vec(), &trusted);
            assert!(report.passed(), "{}: {report:#?}", told.unit);
            let proven = report.standing.unwrap();
            let reasons: Vec<_> = proven
                .reasons
                .iter()
                .map(|reason| reason.because.text(Lang::En))
                .collect();
            let expected: Vec<_> = told
                .reasons
                .iter()
                .map(|reason| reason.text.clone())
                .collect();
            assert_eq!(
                (proven.word, reasons),
                (told.word(), expected),
                "{}",
                told.unit
            );
        }
    }
}
