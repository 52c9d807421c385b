//! After the trade: what the policy makes of it.
//!
//! A courier cuts corners: it collects without the checks, and copies of goods turn up while it has
//! them. Buyers complain and claim; a fund decides and pays; the courier is put on the black list, and
//! taken off again after it committed itself to do better. The maker of the copies stays on it, and an
//! honest maker is on the red list. What each comes to is written down from this script alone.

use std::sync::Arc;

use super::founding::public_key;
use super::places::{DAY, HOUR, MINUTE, Site};
use super::random::SplitMix64;
use super::story::{BASE, Step, accept, buyer_key, collect, scan, serialised};
use super::truth::{CaseTruth, ClaimTruth, CreditTruth, ListingTruth, MeasureTruth, ScoreTruth};
use super::world::{World, draw_key};
use super::{SimulateError, Submitter};
use crate::core::id::gs1_check_digit;
use crate::core::signature::Signer;
use crate::core::wire::record::Body;
use crate::core::wire::{self, FindingKind};

/// When it begins: every lot has been told by then.
const BEGIN: u64 = BASE + 130 * DAY;
/// What each buyer asks for.
const CLAIM_FEN: u64 = 12_800;

/// The usual terms, but for the least months on the black list: the simulation can't wait for them.
fn terms(serious_min_months: u32, legal_basis: &str) -> wire::SetCreditPolicy {
    wire::SetCreditPolicy {
        minor_max_months: 3,
        ordinary_min_months: 3,
        ordinary_max_months: 12,
        serious_min_months,
        serious_max_months: 36,
        red_max_months: 24,
        statement_days: 5,
        objection_days: 10,
        answer_days: 10,
        legal_basis: legal_basis.into(),
        transit_hours: 72,
        accept_hours: 48,
        rest_days: 180,
    }
}

/// What happens to an order on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Honest,
    /// Collected without the checks.
    Careless,
    /// The same, and a copy of the goods turns up meanwhile.
    Copied,
}

/// Goods that reached their buyer.
struct Order {
    unit: String,
    buyer: Arc<Signer>,
    /// The entry at which a copy turned up.
    copied_at: Option<u64>,
}

struct Epilogue<'e, 's> {
    teller: &'e mut Submitter<'s>,
    world: &'e World,
    random: SplitMix64,
    regulator: &'e Arc<Signer>,
    clock: u64,
}

/// Tells it, and says what has to come of it.
pub(super) async fn tell(
    teller: &mut Submitter<'_>,
    world: &World,
    random: &SplitMix64,
    regulator: &Arc<Signer>,
) -> Result<CreditTruth, SimulateError> {
    let mut epilogue = Epilogue {
        teller,
        world,
        random: random.fork("credit", 0),
        regulator,
        clock: BEGIN,
    };
    epilogue.all().await
}

fn digest(random: &mut SplitMix64) -> Option<wire::Digest> {
    Some(wire::Digest {
        algorithm: wire::DigestAlgorithm::Sha256.into(),
        value: random.bytes::<32>().to_vec(),
    })
}

impl Epilogue<'_, '_> {
    async fn all(&mut self) -> Result<CreditTruth, SimulateError> {
        let [careless, honest, stranger] = self.couriers();
        let (fund, fund_id) = self.found_fund().await?;
        let copied = self.order(careless, stranger, Way::Copied).await?;
        let looked_into = self.order(careless, stranger, Way::Copied).await?;
        let unchecked = self.order(careless, stranger, Way::Careless).await?;
        let whole = self.order(honest, stranger, Way::Honest).await?;

        let mut truth = CreditTruth::default();
        let confirmed = self.judge(&copied, true).await?;
        self.judge(&looked_into, false).await?;
        // The copy turned up while the courier had the goods.
        let careless_id = self.id(careless);
        let claim = self.claim(&copied, &fund, true).await?;
        truth.cases.push(self.case(careless, claim.entry).await?);
        truth.claims.push(claim.owed_by(&careless_id));
        let claim = self.claim(&looked_into, &fund, false).await?;
        truth.claims.push(claim);
        // Nothing broke on the way: the seller answers for what it sold.
        let seller_id = self.id(self.world.sellers[0]);
        let claim = self.claim(&whole, &fund, true).await?;
        truth.claims.push(claim.owed_by(&seller_id));
        self.review(&unchecked, 2).await?;
        self.review(&whole, 5).await?;

        let trial = terms(0, "trial measures on credit repair, art. 1");
        self.decide(Body::SetCreditPolicy(trial)).await?;
        let mut steps = self.blacklist(careless, confirmed).await?;
        let listed = steps[0];
        let lifted = self.measure(careless, listed, &fund).await?;
        steps.extend(self.repair(careless, listed).await?);
        truth.measures.push(MeasureTruth {
            in_force: false,
            ..lifted
        });
        truth.listings.push(ListingTruth {
            entry: listed,
            subject: careless_id.clone(),
            list: "LIST_KIND_BLACK".into(),
            phase: "LISTING_PHASE_REPAIRED".into(),
            steps,
        });
        let usual = terms(12, "measures on serious dishonesty, art. 20");
        self.decide(Body::SetCreditPolicy(usual)).await?;
        let counterfeiter = self.world.makers[1];
        let steps = self.blacklist(counterfeiter, confirmed).await?;
        let stays = steps[0];
        let blocked = self.measure(counterfeiter, stays, &fund).await?;
        truth.measures.push(blocked);
        truth.listings.push(ListingTruth {
            entry: stays,
            subject: self.id(counterfeiter),
            list: "LIST_KIND_BLACK".into(),
            phase: "LISTING_PHASE_IN_FORCE".into(),
            steps,
        });
        let steps = self.redlist(self.world.makers[0]).await?;
        truth.listings.push(ListingTruth {
            entry: steps[0],
            subject: self.id(self.world.makers[0]),
            list: "LIST_KIND_RED".into(),
            phase: "LISTING_PHASE_IN_FORCE".into(),
            steps,
        });
        truth.fund = fund_id;
        self.open_file(careless).await?;
        truth.paid_fen = 2 * CLAIM_FEN;
        truth.scores.push(ScoreTruth {
            party: careless_id,
            unchecked: 3,
            upheld_claims: 1,
        });
        Ok(truth)
    }

    /// Three different ones.
    fn couriers(&mut self) -> [usize; 3] {
        let mut couriers = self.world.couriers.clone();
        self.random.shuffle(&mut couriers);
        [couriers[0], couriers[1], couriers[2]]
    }

    fn id(&self, party: usize) -> String {
        self.world.parties[party].id.to_string()
    }

    fn key(&self, party: usize) -> Arc<Signer> {
        Arc::clone(&self.world.parties[party].key)
    }

    fn later(&mut self, by: u64) -> u64 {
        self.clock += by;
        self.clock
    }

    async fn say(&mut self, by: &Arc<Signer>, body: Body) -> Result<u64, SimulateError> {
        let at = self.later(10 * MINUTE);
        let step = Step::govern(&mut self.random, at, by, body);
        self.teller.one(step).await
    }

    /// By the regulator.
    async fn decide(&mut self, body: Body) -> Result<u64, SimulateError> {
        let regulator = Arc::clone(self.regulator);
        self.say(&regulator, body).await
    }

    async fn at_unit(
        &mut self,
        after: u64,
        by: &Arc<Signer>,
        site: Site,
        unit: &str,
        body: Body,
    ) -> Result<u64, SimulateError> {
        let at = self.later(after);
        let units = [unit.to_owned()];
        let step = Step::new(&mut self.random, at, by, Some(site), &units, body);
        self.teller.one(step).await
    }

    /// A fund that compensates buyers.
    async fn found_fund(&mut self) -> Result<(Arc<Signer>, String), SimulateError> {
        let key = draw_key(&mut self.random);
        // Prefixes from 690 on are those of the trade.
        let body = 689_000_000_000 + self.random.between(0, 999_999_999);
        let id = format!("gln:{body}{}", gs1_check_digit(body));
        let registration = Body::RegisterParty(wire::RegisterParty {
            party: id.clone(),
            name: "消费者权益保护基金".into(),
            roles: vec![wire::Role::Fund.into()],
            region: "CN-FJ".into(),
            city: "福州".into(),
            key: Some(public_key(&key)),
            ..wire::RegisterParty::default()
        });
        self.say(&key, registration).await?;
        let approval = Body::ApproveParty(wire::ApproveParty {
            party: id.clone(),
            roles: vec![wire::Role::Fund.into()],
            ..wire::ApproveParty::default()
        });
        self.decide(approval).await?;
        Ok((key, id))
    }

    /// From a maker over a shop to a buyer around the corner.
    async fn order(
        &mut self,
        courier: usize,
        stranger: usize,
        way: Way,
    ) -> Result<Order, SimulateError> {
        let parties = &self.world.parties;
        let seller = self.world.sellers[0];
        let goods = self.world.makers.iter().find_map(|maker| {
            let everywhere = |product: &&super::world::Product| product.markets.is_empty();
            let product = parties[*maker].products.iter().find(everywhere)?;
            Some((*maker, product.gtin.to_string()))
        });
        let (maker, gtin) = goods.ok_or(SimulateError::Numbers)?;
        let (works, shop) = (parties[maker].site, parties[seller].site);
        let scanner = parties[courier].devices.first().cloned();
        let elsewhere = parties[stranger].devices.first().cloned();
        let (Some(scanner), Some(elsewhere)) = (scanner, elsewhere) else {
            return Err(SimulateError::Numbers);
        };
        let (maker, shopkeeper) = (self.key(maker), self.key(seller));
        let unit = serialised(&mut self.random, &gtin);
        let buyer = draw_key(&mut self.random);
        let give = |to: String, buyer: Option<wire::BuyerKey>| {
            Body::Handover(wire::Handover {
                to,
                buyer,
                weight_grams: 450,
                means: wire::Means::Road.into(),
                destination: String::new(),
            })
        };
        let commission = Body::Commission(wire::Commission::default());
        self.at_unit(HOUR, &maker, works, &unit, commission).await?;
        let offer = give(self.id(seller), None);
        self.at_unit(HOUR, &maker, works, &unit, offer).await?;
        self.at_unit(3 * DAY, &shopkeeper, shop, &unit, accept())
            .await?;
        let offer = give(self.id(courier), Some(buyer_key(&buyer)));
        self.at_unit(HOUR, &shopkeeper, shop, &unit, offer).await?;
        let taken = match way {
            Way::Honest => collect(),
            Way::Careless | Way::Copied => accept(),
        };
        self.at_unit(HOUR, &scanner, shop, &unit, taken).await?;
        self.at_unit(HOUR, &scanner, shop, &unit, scan()).await?;
        let mut copied_at = None;
        if way == Way::Copied {
            let at = self.later(HOUR);
            let units = [unit.clone()];
            let step = Step::new(&mut self.random, at, &elsewhere, Some(shop), &units, scan());
            let story = "a copy turns up while a courier has the goods";
            let step = step.plant(FindingKind::NotHolder, story).beside();
            copied_at = Some(self.teller.one(step).await?);
        }
        let buyer_key_id = buyer.key_id().0.to_vec();
        let delivery = Body::Deliver(wire::Deliver { buyer_key_id });
        self.at_unit(20 * HOUR, &scanner, shop, &unit, delivery)
            .await?;
        Ok(Order {
            unit,
            buyer,
            copied_at,
        })
    }

    /// The regulator looks into the copy; the entry at which it turned up.
    async fn judge(&mut self, order: &Order, real: bool) -> Result<u64, SimulateError> {
        let log_index = order.copied_at.ok_or(SimulateError::Numbers)?;
        let decision = if real {
            wire::Decision::Confirmed
        } else {
            wire::Decision::Dismissed
        };
        let body = Body::DecideFinding(wire::DecideFinding {
            log_index,
            kind: FindingKind::NotHolder.into(),
            unit: order.unit.clone(),
            decision: decision.into(),
            reason: "both units were compared".into(),
            document: "F-2026-1".into(),
        });
        self.decide(body).await?;
        Ok(log_index)
    }

    /// The buyer reports and claims, and the fund decides; what has to come of it.
    async fn claim(
        &mut self,
        order: &Order,
        fund: &Arc<Signer>,
        granted: bool,
    ) -> Result<ClaimTruth, SimulateError> {
        let complaint = wire::Complaint::Counterfeit.into();
        let evidence = digest(&mut self.random);
        let unit = order.unit.clone();
        let report = Body::ReportUnit(wire::ReportUnit {
            unit: unit.clone(),
            complaint,
            evidence: evidence.clone(),
        });
        self.say(&order.buyer, report).await?;
        let claim = Body::OpenClaim(wire::OpenClaim {
            unit: unit.clone(),
            complaint,
            amount_fen: CLAIM_FEN,
            evidence,
        });
        let entry = self.say(&order.buyer, claim).await?;
        let answer = if granted {
            wire::Answer::Granted
        } else {
            wire::Answer::Refused
        };
        let decision = Body::DecideClaim(wire::DecideClaim {
            claim: entry,
            answer: answer.into(),
            amount_fen: if granted { CLAIM_FEN } else { 0 },
            legal_basis: "Consumer Rights Law, art. 44".into(),
            document: format!("C-{entry}"),
        });
        self.say(fund, decision).await?;
        if granted {
            let payout = Body::RecordPayout(wire::RecordPayout {
                claim: entry,
                document: format!("PAY-{entry}"),
            });
            self.say(fund, payout).await?;
        }
        Ok(ClaimTruth {
            entry,
            unit,
            paid_fen: if granted { CLAIM_FEN } else { 0 },
            recourse: String::new(),
        })
    }

    /// The regulator looks into a claim, and punishes.
    async fn case(&mut self, party: usize, claim: u64) -> Result<CaseTruth, SimulateError> {
        let opening = Body::OpenCase(wire::OpenCase {
            kind: wire::CaseKind::Delivery.into(),
            grounds: Some(wire::CaseGrounds {
                claims: vec![claim],
                subjects: vec![self.id(party)],
                ..wire::CaseGrounds::default()
            }),
            document: "K-2026-1".into(),
        });
        let entry = self.decide(opening).await?;
        let outcome = wire::CaseOutcome::Penalty;
        let end = Body::CloseCase(wire::CloseCase {
            case: entry,
            outcome: outcome.into(),
            legal_basis: "Interim Regulations on Express Delivery, art. 44".into(),
            document: "K-2026-2".into(),
        });
        self.decide(end).await?;
        Ok(CaseTruth {
            entry,
            outcome: outcome.as_str_name().into(),
        })
    }

    async fn review(&mut self, order: &Order, rating: u32) -> Result<u64, SimulateError> {
        let body = Body::ReviewUnit(wire::ReviewUnit {
            unit: order.unit.clone(),
            rating,
            text: digest(&mut self.random),
        });
        self.say(&order.buyer, body).await
    }

    /// The whole process; its entries, the first of which is the listing's number.
    async fn blacklist(&mut self, party: usize, evidence: u64) -> Result<Vec<u64>, SimulateError> {
        let serious = wire::CreditSeverity::Serious.into();
        let legal_basis = "E-Commerce Law, art. 84";
        let proposal = Body::ProposeListing(wire::ProposeListing {
            list: wire::ListKind::Black.into(),
            subject: self.id(party),
            severity: serious,
            reason: "goods were copied on their way or in its works".into(),
            reason_commitment: None,
            legal_basis: legal_basis.into(),
            document: "MR-2026-17".into(),
            evidence: vec![evidence],
        });
        let listing = self.decide(proposal).await?;
        let notice = digest(&mut self.random);
        let notice = Body::NotifyListing(wire::NotifyListing {
            listing,
            document: "MR-2026-18".into(),
            notice,
        });
        let notified = self.decide(notice).await?;
        let document = digest(&mut self.random);
        let statement = Body::SubmitStatement(wire::SubmitStatement {
            listing,
            text: "We have looked into it.".into(),
            document,
        });
        let key = self.key(party);
        let stated = self.say(&key, statement).await?;
        let decision = Body::DecideListing(wire::DecideListing {
            listing,
            decision: wire::ListingDecision::List.into(),
            severity: serious,
            months: 24,
            legal_basis: legal_basis.into(),
            document: "MR-2026-19".into(),
        });
        let decided = self.decide(decision).await?;
        let publication = Body::PublishListing(wire::PublishListing { listing });
        let published = self.decide(publication).await?;
        Ok(vec![listing, notified, stated, decided, published])
    }

    /// Shops are to be blocked, and whoever may does it.
    async fn measure(
        &mut self,
        party: usize,
        listing: u64,
        by: &Arc<Signer>,
    ) -> Result<MeasureTruth, SimulateError> {
        let measure = Body::AttachMeasure(wire::AttachMeasure {
            listing,
            kind: wire::MeasureKind::ShopBlocked.into(),
            legal_basis: "E-Commerce Law, art. 29".into(),
            document: "MR-2026-20".into(),
            ..wire::AttachMeasure::default()
        });
        let entry = self.decide(measure).await?;
        let report = Body::ReportMeasureApplied(wire::ReportMeasureApplied {
            measure: entry,
            action: wire::MeasureAction::Applied.into(),
            evidence: digest(&mut self.random),
        });
        self.say(by, report).await?;
        Ok(MeasureTruth {
            entry,
            subject: self.id(party),
            in_force: true,
            reports: 1,
        })
    }

    /// The regulator is going to look at a score, and says why.
    async fn open_file(&mut self, party: usize) -> Result<u64, SimulateError> {
        let open = Body::OpenFile(wire::OpenFile {
            subject: self.id(party),
            purpose: "its score is looked at after the repair".into(),
            document: "K-2026-1".into(),
        });
        self.decide(open).await
    }

    async fn redlist(&mut self, party: usize) -> Result<Vec<u64>, SimulateError> {
        let legal_basis = "measures on the red list, art. 3";
        let proposal = Body::ProposeListing(wire::ProposeListing {
            list: wire::ListKind::Red.into(),
            subject: self.id(party),
            reason: "a year without a complaint".into(),
            legal_basis: legal_basis.into(),
            document: "MR-2026-40".into(),
            ..wire::ProposeListing::default()
        });
        let listing = self.decide(proposal).await?;
        let decision = Body::DecideListing(wire::DecideListing {
            listing,
            decision: wire::ListingDecision::List.into(),
            months: 12,
            legal_basis: legal_basis.into(),
            document: "MR-2026-41".into(),
            ..wire::DecideListing::default()
        });
        let decided = self.decide(decision).await?;
        let publication = Body::PublishListing(wire::PublishListing { listing });
        let published = self.decide(publication).await?;
        Ok(vec![listing, decided, published])
    }

    /// The party commits itself to do better, proves that it does, and is taken off the list.
    async fn repair(&mut self, party: usize, listing: u64) -> Result<[u64; 2], SimulateError> {
        let key = self.key(party);
        let commitment = Body::MakeCommitment(wire::MakeCommitment {
            kind: wire::CommitmentKind::Repair.into(),
            text: "每件快件收寄时实名、验视、安检，交接时逐件扫描。".into(),
            document: None,
        });
        let commitment = self.say(&key, commitment).await?;
        let proof = digest(&mut self.random);
        let request = Body::RequestRepair(wire::RequestRepair {
            listing,
            commitment,
            proof,
        });
        let asked = self.say(&key, request).await?;
        let answer = Body::DecideRepair(wire::DecideRepair {
            listing,
            answer: wire::Answer::Granted.into(),
            document: "MR-2026-30".into(),
        });
        let answered = self.decide(answer).await?;
        Ok([asked, answered])
    }
}

impl ClaimTruth {
    fn owed_by(self, party: &str) -> Self {
        Self {
            recourse: party.to_owned(),
            ..self
        }
    }
}
