//! The simulator: a believable trade against a real ledger, with frauds planted in it.
//!
//! ```text
//!  seed ─► world (who) ─► founding (registration) ─┐
//!       └► plots (lots, fates) ─► story + fraud ───┴─► steps ─► session ─► ledger
//!                                        └─► truth ─► report ◄─ findings ◄──┘
//! ```
//!
//! The same seed tells the same story to the same ledger: every record, key, serial, nonce and
//! time comes from it. The truth comes from the script alone: nothing in here may look at the
//! rules or at `apply`, so that script and ledger can't make the same mistake together.
//!
//! Lots are told a few at a time, so that memory doesn't grow with their number.

mod credit;
mod founding;
mod fraud;
mod places;
mod random;
mod report;
mod story;
mod truth;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use fraud::plantable;
pub use report::{Comparison, FoundBreak, Row, compare};
pub use truth::{
    CaseTruth, ClaimTruth, CreditTruth, ListingTruth, MeasureTruth, PlantedBreak, ScoreTruth,
    TRUTH_FORMAT, Truth,
};
pub use world::{MAX_PARTIES, MIN_PARTIES};

use crate::client::{ClientError, Draft, Session};
use crate::core::envelope::Envelope;
use crate::core::id::UnitId;
use crate::core::signature::Signer;
use crate::core::wire::record::Body;
use crate::core::wire::{self, FindingKind};
use places::DAY;
use random::SplitMix64;
use story::{BASE, Chapter, Fate, LOTS_BEGIN_WITHIN_DAYS, Mark, Plot, Return, Step};
use world::World;

/// Records in one call of the session.
const BATCH: usize = 500;
/// Lots that are told together.
const LOTS_TOGETHER: usize = 16;
/// Units of a lot, about.
const LOT_UNITS: usize = 100;
/// Most plants of one kind: a record names 512 units, and surplus lots are numbered in 3 digits.
pub const MAX_PLANTS: usize = 500;
/// How often, and how long apart, a registration is sent again that the ledger had no room for.
const REGISTRATION_TRIES: usize = 600;
const REGISTRATION_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Items in the honest lots.
    pub units: usize,
    /// Parties, [`MIN_PARTIES`] to [`MAX_PARTIES`].
    pub parties: usize,
    /// How many breaks of each kind are planted.
    pub plants: BTreeMap<FindingKind, usize>,
}

impl Options {
    /// As many breaks of each kind as suit the size: one in 2,000 units, 1 to 50.
    #[must_use]
    pub fn new(seed: u64, units: usize, parties: usize) -> Self {
        Self {
            seed,
            units,
            parties,
            plants: BTreeMap::new(),
        }
        .planting((units / 2000).clamp(1, 50))
    }

    /// The same number of every kind.
    #[must_use]
    pub fn planting(mut self, of_each: usize) -> Self {
        self.plants = plantable()
            .into_iter()
            .map(|kind| (kind, of_each))
            .collect();
        self
    }

    fn of(&self, kind: FindingKind) -> usize {
        self.plants.get(&kind).copied().unwrap_or(0)
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being told.
    pub stage: &'static str,
    /// Lots told.
    pub lots: usize,
    /// Lots in all.
    pub of_lots: usize,
    /// Records in the log.
    pub records: u64,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was planted.
    pub truth: Truth,
    /// The first and the last entry that the run wrote: findings outside of them are not its.
    pub entries: (u64, u64),
}

/// Why a simulation ended early.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Too few or too many.
    #[error("{0} parties; use {MIN_PARTIES} to {MAX_PARTIES}")]
    Parties(usize),
    /// The plants don't fit.
    #[error("{units} units are too few for {plants} planted breaks; use at least {needed}")]
    Units {
        /// Asked for.
        units: usize,
        /// To be planted.
        plants: usize,
        /// Would do.
        needed: usize,
    },
    /// What can't be planted, or not so often.
    #[error("{0} breaks of the kind {1} can't be planted; use 0 to {MAX_PLANTS}")]
    Plants(usize, &'static str),
    /// A drawn number is not valid: a mistake in the simulator.
    #[error("the simulator drew an invalid number; please report the seed")]
    Numbers,
    /// The connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The ledger refused what it should have taken.
    #[error("step {step} ({kind}) was refused: {reason}: {message}")]
    Refused {
        /// Which record, counted from 0.
        step: u64,
        /// What it was.
        kind: &'static str,
        /// The refusal's reason.
        reason: String,
        /// The refusal in words.
        message: String,
    },
}

/// Tells the whole story to a ledger.
///
/// `regulator` is a root key of the ledger; it approves the parties and keeps the lists.
///
/// # Errors
/// [`SimulateError`] when the options don't fit, the connection fails, or the ledger refuses a
/// record. A seed can be told to one ledger once: its parties are registered then.
pub async fn run(
    session: &mut Session,
    regulator: &Arc<Signer>,
    options: &Options,
    progress: &dyn Fn(Progress),
) -> Result<Run, SimulateError> {
    let random = SplitMix64::new(options.seed);
    let mut world = World::new(&random, options.parties)?;
    let mut plots = Plots::new(&world, &random, options)?;
    let origin = session.origin().to_owned();
    let mut teller = Submitter::new(session, random.fork("submitter", 0), plots.lots, progress);
    teller.stage = "parties";
    for batch in founding::batches(&world, &random, regulator, &origin) {
        teller.submit(batch).await?;
    }
    teller.stage = "lots";
    teller
        .submit(special_lots(&world, &random, options))
        .await?;
    loop {
        let chapters: Vec<Chapter> = plots
            .by_ref()
            .take(LOTS_TOGETHER)
            .map(|plot| story::tell(&mut world, &random, plot))
            .collect();
        if chapters.is_empty() {
            break;
        }
        teller.tell(chapters).await?;
    }
    let mut credit = None;
    // Its copies are such breaks; who wants none gets none.
    if options.of(FindingKind::NotHolder) > 0 {
        teller.stage = "credit";
        credit = Some(credit::tell(&mut teller, &world, &random, regulator).await?);
    }
    let mut told = teller.finish(options, &origin);
    told.truth.credit = credit;
    Ok(told)
}

/// Lots whose every unit is planted, or is there for one that is.
fn special_lots(world: &World, random: &SplitMix64, options: &Options) -> Vec<Step> {
    let mut steps = fraud::expired_lot(world, random, options.of(FindingKind::Expired));
    for number in 0..options.of(FindingKind::QuantityInflation) {
        steps.extend(fraud::inflated_lot(world, random, number));
    }
    steps
}

/// The lots: whose, of what, from when, and what becomes of their units.
struct Plots {
    makers: Vec<usize>,
    products: Vec<Vec<world::Product>>,
    /// Regions of the sellers.
    regions: Vec<&'static str>,
    random: SplitMix64,
    units: usize,
    lots: usize,
    next: usize,
    recalled: usize,
    mis_scanned: usize,
    plants: BTreeMap<usize, Vec<FindingKind>>,
    clones: BTreeMap<usize, Vec<FindingKind>>,
}

impl Plots {
    fn new(world: &World, random: &SplitMix64, options: &Options) -> Result<Self, SimulateError> {
        for (kind, count) in &options.plants {
            if (*count > 0 && !plantable().contains(kind)) || *count > MAX_PLANTS {
                return Err(SimulateError::Plants(*count, kind.as_str_name()));
            }
        }
        let lots = (options.units / LOT_UNITS).max(2);
        let mut random = random.fork("plots", 0);
        let recalled = lots / 2;
        let others: Vec<usize> = (0..lots).filter(|lot| *lot != recalled).collect();
        let room = options.units / lots / 2;
        let at_units: usize = fraud::AT_UNITS.iter().map(|kind| options.of(*kind)).sum();
        let under_recall = options.of(FindingKind::MovedUnderRecall);
        let needed = 2
            * (at_units + 1)
                .max(under_recall)
                .div_ceil(LOT_UNITS / 2)
                .max(1)
            * LOT_UNITS;
        // Half of the room stays free, so that a lot with room is soon found.
        if (at_units + 1) * 4 > others.len() * room * 3 || under_recall > room || room < 4 {
            let plants = at_units + under_recall;
            return Err(SimulateError::Units {
                units: options.units,
                plants,
                needed,
            });
        }
        let mut plants: BTreeMap<usize, Vec<FindingKind>> = BTreeMap::new();
        let mut clones: BTreeMap<usize, Vec<FindingKind>> = BTreeMap::new();
        plants.insert(recalled, vec![FindingKind::MovedUnderRecall; under_recall]);
        for kind in fraud::AT_UNITS {
            for _ in 0..options.of(kind) {
                let mut lot = others[random.below(others.len())];
                while plants
                    .get(&lot)
                    .is_some_and(|planted| planted.len() >= room)
                {
                    lot = others[random.below(others.len())];
                }
                plants.entry(lot).or_default().push(kind);
            }
        }
        for kind in fraud::AT_CLONES {
            for _ in 0..options.of(kind) {
                clones.entry(random.below(lots)).or_default().push(kind);
            }
        }
        let mis_scanned = others[random.below(others.len())];
        Ok(Self {
            makers: world.makers.clone(),
            products: world
                .makers
                .iter()
                .map(|m| world.parties[*m].products.clone())
                .collect(),
            regions: world.seller_regions(),
            random,
            units: options.units,
            lots,
            next: 0,
            recalled,
            mis_scanned,
            plants,
            clones,
        })
    }

    fn fates(&mut self, lot: usize, size: usize) -> Vec<Fate> {
        let recalled = lot == self.recalled;
        let planted = self.plants.remove(&lot).unwrap_or_default();
        let mut fates: Vec<Fate> = planted.into_iter().map(Fate::Planted).collect();
        if lot == self.mis_scanned {
            fates.push(Fate::MisScanned);
        }
        if lot.is_multiple_of(3) && fates.len() + 2 < size {
            fates.extend([Fate::Kit, Fate::Kit]);
        }
        while fates.len() < size {
            let fate = match self.random.below(100) {
                0..62 => Fate::Sold,
                62..72 => Fate::Counter,
                72..78 if !recalled => Fate::Returned,
                78..80 => Fate::Disputed,
                80..82 => Fate::Destroyed,
                _ => Fate::Stock,
            };
            fates.push(fate);
        }
        self.random.shuffle(&mut fates);
        fates
    }
}

impl Iterator for Plots {
    type Item = Plot;

    fn next(&mut self) -> Option<Plot> {
        let number = self.next;
        if number >= self.lots {
            return None;
        }
        self.next += 1;
        // The units are spread over the lots without a rest.
        let size = (number + 1) * self.units / self.lots - number * self.units / self.lots;
        let fates = self.fates(number, size);
        let maker = self.random.below(self.makers.len());
        let products = &self.products[maker];
        let mut product = products[self.random.below(products.len())].clone();
        if fates.contains(&Fate::Planted(FindingKind::DivertedMarket)) && product.markets.is_empty()
        {
            product.markets = world::few_markets(&self.regions, &mut self.random);
        }
        let span = LOTS_BEGIN_WITHIN_DAYS * DAY;
        Some(Plot {
            number,
            maker: self.makers[maker],
            product,
            start: BASE + DAY + span * number as u64 / self.lots as u64,
            recalled: number == self.recalled,
            fates,
            clones: self.clones.remove(&number).unwrap_or_default(),
        })
    }
}

/// Sends steps, and keeps account.
struct Submitter<'s> {
    session: &'s mut Session,
    random: SplitMix64,
    progress: &'s dyn Fn(Progress),
    stage: &'static str,
    lots: usize,
    of_lots: usize,
    step: u64,
    commissioned: u64,
    by_kind: BTreeMap<String, u64>,
    planted: Vec<PlantedBreak>,
    disputed: Vec<String>,
    confirmed: Vec<String>,
    recalled: Vec<String>,
    late: Vec<String>,
    entries: Option<(u64, u64)>,
    /// The entry of the last record.
    last: u64,
}

/// A step to which another refers, with the envelope that was sent.
struct Marked {
    mark: Mark,
    record: wire::Record,
    signer: Arc<Signer>,
    envelope: Option<Envelope>,
}

impl<'s> Submitter<'s> {
    fn new(
        session: &'s mut Session,
        random: SplitMix64,
        of_lots: usize,
        progress: &'s dyn Fn(Progress),
    ) -> Self {
        Self {
            session,
            random,
            progress,
            stage: "",
            lots: 0,
            of_lots,
            step: 0,
            commissioned: 0,
            by_kind: BTreeMap::new(),
            planted: Vec::new(),
            disputed: Vec::new(),
            confirmed: Vec::new(),
            recalled: Vec::new(),
            late: Vec::new(),
            entries: None,
            last: 0,
        }
    }

    /// Tells some lots together, act by act; within an act, in the order of time.
    async fn tell(&mut self, chapters: Vec<Chapter>) -> Result<(), SimulateError> {
        let told = chapters.len();
        let mut acts = (Vec::new(), Vec::new(), Vec::new());
        for chapter in chapters {
            acts.0.extend(chapter.trade);
            acts.1.extend(chapter.aftermath);
            acts.2.extend(chapter.returns);
            self.disputed.extend(chapter.disputed);
            self.confirmed.extend(chapter.confirmed);
            self.recalled.extend(chapter.recalled);
        }
        let marked = self.submit(acts.0).await?;
        for marked in marked {
            acts.1.push(self.answer(marked)?);
        }
        self.submit(acts.1).await?;
        let returns = self.consented(acts.2).await?;
        self.submit(returns).await?;
        self.lots += told;
        self.tell_progress();
        Ok(())
    }

    /// What refers to a step that is in the log.
    fn answer(&mut self, marked: Marked) -> Result<Step, SimulateError> {
        let Marked {
            mark,
            record,
            signer,
            envelope,
        } = marked;
        let envelope = envelope.ok_or(SimulateError::Numbers)?;
        match mark {
            Mark::MisScan => Ok(fraud::correct(
                &mut self.random,
                &record,
                &signer,
                envelope.record_id(),
            )),
            Mark::Equivocation {
                reporter,
                elsewhere,
            } => {
                let random = &mut self.random;
                fraud::report_equivocation(random, &envelope, &signer, &reporter, elsewhere)
            }
        }
    }

    /// Buyers consent to returns of units at their heads.
    async fn consented(&mut self, returns: Vec<Return>) -> Result<Vec<Step>, SimulateError> {
        let ids: Vec<UnitId> = returns
            .iter()
            .map(|back| back.unit.parse().map_err(|_| SimulateError::Numbers))
            .collect::<Result<_, _>>()?;
        let heads = if ids.is_empty() {
            Vec::new()
        } else {
            self.session.heads(&ids).await?
        };
        let heads: HashMap<String, Vec<u8>> = heads
            .into_iter()
            .map(|head| (head.unit, head.head))
            .collect();
        let origin = self.session.origin().to_owned();
        let mut steps = Vec::new();
        for back in returns {
            let head = heads.get(&back.unit).cloned().unwrap_or_default();
            steps.push(back.step(&origin, head));
            steps.extend(back.follow);
        }
        Ok(steps)
    }

    /// Submits steps in the order of time.
    async fn submit(&mut self, mut steps: Vec<Step>) -> Result<Vec<Marked>, SimulateError> {
        steps.sort_by_key(|step| step.at);
        let mut marked = Vec::new();
        let mut steps = steps.into_iter();
        loop {
            let batch: Vec<Step> = steps.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(marked);
            }
            self.submit_batch(batch, &mut marked).await?;
            self.tell_progress();
        }
    }

    /// Submits one step; its entry.
    async fn one(&mut self, step: Step) -> Result<u64, SimulateError> {
        self.last = 0;
        self.submit_batch(vec![step], &mut Vec::new()).await?;
        Ok(self.last)
    }

    async fn submit_batch(
        &mut self,
        batch: Vec<Step>,
        marked: &mut Vec<Marked>,
    ) -> Result<(), SimulateError> {
        let mut marks: HashMap<usize, Marked> = HashMap::new();
        let mut drafts = Vec::with_capacity(batch.len());
        for (number, mut step) in batch.into_iter().enumerate() {
            self.account(&mut step);
            if let Some(mark) = step.mark {
                let (record, signer) = (step.record.clone(), Arc::clone(&step.signer));
                marks.insert(
                    number,
                    Marked {
                        mark,
                        record,
                        signer,
                        envelope: None,
                    },
                );
            }
            drafts.push(Draft {
                record: step.record,
                signer: step.signer,
                advances: step.advances,
            });
        }
        let first = self.step - drafts.len() as u64;
        let kinds: Vec<&'static str> = drafts.iter().map(|draft| kind(&draft.record)).collect();
        let registers = kinds.iter().all(|kind| *kind == "register_party");
        let again = registers.then(|| drafts.clone());
        let mut observe = |number: usize, envelope: &Envelope| {
            if let Some(marked) = marks.get_mut(&number) {
                marked.envelope = Some(envelope.clone());
            }
            Ok(())
        };
        let mut outcomes = self.session.submit_observed(drafts, &mut observe).await?;
        if let Some(drafts) = again {
            self.register_again(&drafts, &mut outcomes).await?;
        }
        for ((step, kind), outcome) in (first..).zip(kinds).zip(outcomes) {
            let receipt = outcome.map_err(|refusal| SimulateError::Refused {
                step,
                kind,
                reason: refusal.reason,
                message: refusal.message,
            })?;
            self.last = receipt.log_index;
            let (low, high) = self
                .entries
                .unwrap_or((receipt.log_index, receipt.log_index));
            self.entries = Some((low.min(receipt.log_index), high.max(receipt.log_index)));
        }
        // In the order of the batch, whatever the map's.
        let mut answered: Vec<(usize, Marked)> = marks.into_iter().collect();
        answered.sort_by_key(|(number, _)| *number);
        marked.extend(answered.into_iter().map(|(_, marked)| marked));
        Ok(())
    }

    /// A ledger takes few registrations a second; nothing depends on their order.
    async fn register_again(
        &mut self,
        drafts: &[Draft],
        outcomes: &mut [crate::client::Outcome],
    ) -> Result<(), SimulateError> {
        for _ in 0..REGISTRATION_TRIES {
            let full = |outcome: &crate::client::Outcome| {
                outcome
                    .as_ref()
                    .is_err_and(|refusal| refusal.reason == "QUOTA_EXCEEDED")
            };
            let waiting: Vec<usize> = (0..outcomes.len())
                .filter(|i| full(&outcomes[*i]))
                .collect();
            if waiting.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(REGISTRATION_PAUSE).await;
            let drafts = waiting.iter().map(|i| drafts[*i].clone()).collect();
            for (i, outcome) in waiting.into_iter().zip(self.session.submit(drafts).await?) {
                outcomes[i] = outcome;
            }
        }
        Ok(())
    }

    /// Numbers a step, and writes down what the script knows of it.
    fn account(&mut self, step: &mut Step) {
        *self
            .by_kind
            .entry(kind(&step.record).to_owned())
            .or_default() += 1;
        match &step.record.body {
            Some(Body::Commission(_)) if step.advances => {
                self.commissioned += step.record.units.len() as u64;
            }
            Some(Body::Transform(body)) => self.commissioned += body.outputs.len() as u64,
            _ => {}
        }
        if step.late {
            self.late
                .extend(step.record.units.iter().map(|unit| unit.id.clone()));
        }
        for mut planted in std::mem::take(&mut step.planted) {
            planted.step = self.step;
            self.planted.push(planted);
        }
        self.step += 1;
    }

    fn tell_progress(&self) {
        (self.progress)(Progress {
            stage: self.stage,
            lots: self.lots,
            of_lots: self.of_lots,
            records: self.step,
        });
    }

    fn finish(self, options: &Options, origin: &str) -> Run {
        let mut planted_by_kind: BTreeMap<String, u64> = BTreeMap::new();
        for planted in &self.planted {
            *planted_by_kind.entry(planted.kind.clone()).or_default() += 1;
        }
        let truth = Truth {
            format: TRUTH_FORMAT,
            seed: options.seed,
            origin: origin.to_owned(),
            units: options.units,
            parties: options.parties,
            records: self.step,
            commissioned: self.commissioned,
            records_by_kind: self.by_kind,
            planted_by_kind,
            planted: self.planted,
            recalled: self.recalled,
            disputed: self.disputed,
            confirmed: self.confirmed,
            late_uploads: self.late,
            credit: None,
        };
        Run {
            truth,
            entries: self.entries.unwrap_or_default(),
        }
    }
}

/// Name of a record's kind, as the field of the proto.
fn kind(record: &wire::Record) -> &'static str {
    match &record.body {
        Some(Body::Commission(_)) => "commission",
        Some(Body::Inspect(_)) => "inspect",
        Some(Body::Pack(_)) => "pack",
        Some(Body::Unpack(_)) => "unpack",
        Some(Body::Handover(_)) => "handover",
        Some(Body::Void(_)) => "void",
        Some(Body::Accept(_)) => "accept",
        Some(Body::Refuse(_)) => "refuse",
        Some(Body::Scan(_)) => "scan",
        Some(Body::Deliver(_)) => "deliver",
        Some(Body::Confirm(_)) => "confirm",
        Some(Body::Reject(_)) => "reject",
        Some(Body::Return(_)) => "return",
        Some(Body::Transform(_)) => "transform",
        Some(Body::Hold(_)) => "hold",
        Some(Body::Release(_)) => "release",
        Some(Body::Recall(_)) => "recall",
        Some(Body::Destroy(_)) => "destroy",
        Some(Body::Correct(_)) => "correct",
        Some(Body::RegisterParty(_)) => "register_party",
        Some(Body::ApproveParty(_)) => "approve_party",
        Some(Body::Delegate(_)) => "delegate",
        Some(Body::ClaimProduct(_)) => "claim_product",
        Some(Body::ApproveProduct(_)) => "approve_product",
        Some(Body::ReportEquivocation(_)) => "report_equivocation",
        Some(Body::SetCreditPolicy(_)) => "set_credit_policy",
        Some(Body::MakeCommitment(_)) => "make_commitment",
        Some(Body::ProposeListing(_)) => "propose_listing",
        Some(Body::NotifyListing(_)) => "notify_listing",
        Some(Body::SubmitStatement(_)) => "submit_statement",
        Some(Body::DecideListing(_)) => "decide_listing",
        Some(Body::PublishListing(_)) => "publish_listing",
        Some(Body::RequestRepair(_)) => "request_repair",
        Some(Body::DecideRepair(_)) => "decide_repair",
        Some(Body::DecideFinding(_)) => "decide_finding",
        Some(Body::ReportUnit(_)) => "report_unit",
        Some(Body::OpenClaim(_)) => "open_claim",
        Some(Body::DecideClaim(_)) => "decide_claim",
        Some(Body::RecordPayout(_)) => "record_payout",
        Some(Body::ReviewUnit(_)) => "review_unit",
        Some(Body::OpenCase(_)) => "open_case",
        Some(Body::CloseCase(_)) => "close_case",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
