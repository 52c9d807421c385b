//! A ledger with offices, a platform and a natural person.

use std::sync::Arc;

use custody::client::Session;
use custody::core::credit::admission::Admissions;
use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;

pub struct World {
    pub server: Server,
    pub session: Session,
    pub trade: Trade,
    pub root: Arc<Signer>,
    pub agency: Arc<Signer>,
    pub platform: Arc<Signer>,
    pub trader: Arc<Signer>,
}

pub fn gln(number: u64) -> String {
    let body = 61_414_100_000 + number;
    format!("gln:0{body}{}", custody::core::id::gs1_check_digit(body))
}

impl World {
    pub async fn start() -> Self {
        let server = Server::start();
        let mut session = server.session().await;
        let trade = Trade::set_up(&server, &mut session).await;
        let root = server.regulator_key();
        let (agency, platform, trader) = (key(20), key(21), key(22));
        let mut unnamed = register(&trader, &gln(3), &[wire::Role::Seller]);
        if let Body::RegisterParty(body) = &mut unnamed {
            (body.name, body.name_commitment) = (String::new(), digest());
        }
        let mut world = Self {
            server,
            session,
            trade,
            root,
            agency,
            platform,
            trader,
        };
        let (root, agency, platform) = world.offices();
        let regulator = [wire::Role::Regulator];
        let market = [wire::Role::Platform];
        let drafts = vec![
            draft(&agency, &[], register(&agency, &gln(1), &regulator)),
            draft(&root, &[], approve(&gln(1), &regulator)),
            draft(&platform, &[], register(&platform, &gln(2), &market)),
            draft(&root, &[], approve(&gln(2), &market)),
            draft(&world.trader, &[], unnamed),
            draft(&root, &[], approve(&gln(3), &[wire::Role::Seller])),
        ];
        all_accepted(world.session.submit(drafts).await.unwrap());
        world
    }

    pub fn offices(&self) -> (Arc<Signer>, Arc<Signer>, Arc<Signer>) {
        let arc = Arc::clone;
        (arc(&self.root), arc(&self.agency), arc(&self.platform))
    }

    pub async fn say(&mut self, by: &Arc<Signer>, body: Body) -> u64 {
        let outcome = self.session.submit(vec![draft(by, &[], body)]).await;
        all_accepted(outcome.unwrap())[0].log_index
    }

    pub async fn refused(&mut self, by: &Arc<Signer>, body: Body) -> wire::Refusal {
        let outcome = self.session.submit(vec![draft(by, &[], body)]).await;
        outcome.unwrap().pop().unwrap().expect_err("a refusal")
    }

    /// Everybody else tries it and is refused; then whoever may does it.
    pub async fn only(&mut self, who: &Arc<Signer>, others: &[&Arc<Signer>], body: Body) -> u64 {
        for other in others {
            let refusal = self.refused(other, body.clone()).await;
            let name = format!("{body:?} by {}", other.key_id());
            assert_eq!(refusal.code, i32::from(Code::PermissionDenied), "{name}");
            assert_eq!(refusal.reason, "UNAUTHORISED", "{name}: {refusal:?}");
        }
        self.say(who, body).await
    }

    pub async fn admission(&self, parties: &[&str]) -> Admissions {
        let platform = self.server.as_party(&self.platform, &gln(2)).await;
        let request = wire::CheckPartiesRequest {
            parties: parties.iter().map(ToString::to_string).collect(),
        };
        let answer = platform.listing().check_parties(request).await.unwrap();
        let key = self.server.log_key().parse().unwrap();
        let now = custody::sequence::now();
        let answer = Admissions::verify(&answer.into_inner().note, &key, now).unwrap();
        assert!(answer.until > now && answer.until.0 <= now.0 + 300_000);
        answer
    }

    /// Replays the log, and finds all of it again.
    pub fn audited(&self) {
        let data = &self.server.data;
        let (key, trust) = (data.join("regulator.key"), data.join("log.vkey"));
        let [key, trust] = [&key, &trust].map(|path| path.to_str().unwrap());
        let said = self
            .server
            .run_ok(&["audit", "--key", key, "--trust", trust]);
        assert!(said.contains("hold"), "{said}");
    }

    pub async fn public_listings(&self) -> Vec<u64> {
        let ledger = self.server.ledger().await;
        let request = wire::ListListingsRequest::default();
        let page = ledger.listing().list_listings(request).await.unwrap();
        let listings = page.into_inner().listings;
        listings.iter().map(|listing| listing.log_index).collect()
    }
}

pub fn proposal(subject: &str, severity: wire::CreditSeverity) -> Body {
    let erasable = severity == wire::CreditSeverity::Minor;
    Body::ProposeListing(wire::ProposeListing {
        list: wire::ListKind::Black.into(),
        subject: subject.into(),
        severity: severity.into(),
        reason: if erasable {
            ""
        } else {
            "took goods that were not its own"
        }
        .into(),
        reason_commitment: erasable.then(digest).flatten(),
        legal_basis: "E-Commerce Law, art. 84".into(),
        document: "2026-17".into(),
        evidence: vec![1],
    })
}

pub fn notice(listing: u64) -> Body {
    Body::NotifyListing(wire::NotifyListing {
        listing,
        document: "2026-18".into(),
        notice: digest(),
    })
}

pub fn statement(listing: u64, text: &str) -> Body {
    Body::SubmitStatement(wire::SubmitStatement {
        listing,
        text: text.into(),
        document: digest(),
    })
}

pub fn decision(listing: u64, severity: wire::CreditSeverity, months: u32) -> Body {
    Body::DecideListing(wire::DecideListing {
        listing,
        decision: wire::ListingDecision::List.into(),
        severity: severity.into(),
        months,
        legal_basis: "E-Commerce Law, art. 84".into(),
        document: "2026-19".into(),
    })
}

pub fn commitment(kind: wire::CommitmentKind) -> Body {
    Body::MakeCommitment(wire::MakeCommitment {
        kind: kind.into(),
        text: "We hand over only what we hold.".into(),
        document: None,
    })
}

pub fn credit_record(subject: &str, severity: wire::CreditSeverity) -> Body {
    Body::AddCreditRecord(wire::AddCreditRecord {
        subject: subject.into(),
        kind: wire::CreditRecordKind::Penalty.into(),
        severity: severity.into(),
        legal_basis: "Product Quality Law, art. 50".into(),
        document: "P-9".into(),
        date: 20_260_601,
        text: "fined for short weight".into(),
        text_commitment: None,
    })
}

/// Repairs may be asked for at once: a test can't wait for months.
pub fn short_terms() -> Body {
    Body::SetCreditPolicy(wire::SetCreditPolicy {
        minor_max_months: 3,
        ordinary_min_months: 0,
        ordinary_max_months: 12,
        serious_min_months: 0,
        serious_max_months: 36,
        red_max_months: 24,
        statement_days: 5,
        objection_days: 10,
        answer_days: 10,
        transit_hours: 72,
        accept_hours: 48,
        rest_days: 180,
        legal_basis: "trial measures, art. 1".into(),
    })
}

/// Lists a firm for three months; the listing.
pub async fn blacklist(
    w: &mut World,
    who: &Arc<Signer>,
    subject: &str,
    severity: wire::CreditSeverity,
) -> u64 {
    let root = Arc::clone(&w.root);
    let at = w.say(&root, proposal(subject, severity)).await;
    w.say(&root, notice(at)).await;
    w.say(who, statement(at, "")).await;
    w.say(&root, decision(at, severity, 3)).await;
    if severity != wire::CreditSeverity::Minor {
        w.say(
            &root,
            Body::PublishListing(wire::PublishListing { listing: at }),
        )
        .await;
    }
    at
}

/// Opens a party's file to a regulator.
pub fn open_file(party: &str) -> Body {
    Body::OpenFile(wire::OpenFile {
        subject: party.into(),
        purpose: "a complaint is looked into".into(),
        document: "K-7".into(),
    })
}

/// A measure.
pub fn measure(listing: u64, kind: wire::MeasureKind) -> wire::AttachMeasure {
    wire::AttachMeasure {
        listing,
        kind: kind.into(),
        legal_basis: "measures on joint penalties, art. 9".into(),
        document: "M-1".into(),
        ..Default::default()
    }
}
