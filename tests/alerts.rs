//! Early warning over a real store and real gRPC: what is raised when, who may answer, and that nobody
//! who comes back misses anything.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::*;
use custody::client::{Ledger, Session};
use custody::core::credit::SignalKind;
use custody::core::id::UnitId;
use custody::core::record::Millis;
use custody::core::signature::Signer;
use custody::core::tlog::LogIndex;
use custody::core::wire;
use custody::core::wire::alert::About;
use custody::core::wire::record::Body;
use custody::signals::{Event, Signal, event, events, step};
use custody::store::{Store, StoreOptions};
use tonic::Code;

const HOUR: u64 = 3_600_000;

struct World {
    server: Server,
    session: Session,
    trade: Trade,
    root: Arc<Signer>,
}

impl World {
    async fn start() -> Self {
        let server = Server::start();
        let mut session = server.session().await;
        let trade = Trade::set_up(&server, &mut session).await;
        let root = server.regulator_key();
        let mut world = Self {
            server,
            session,
            trade,
            root,
        };
        let roles = [wire::Role::Maker, wire::Role::Seller];
        let root = Arc::clone(&world.root);
        world.say(&root, &[], approve(MAKER, &roles)).await;
        world
    }

    async fn say(&mut self, by: &Arc<Signer>, units: &[UnitId], body: Body) -> LogIndex {
        let outcome = self.session.submit(vec![draft(by, units, body)]).await;
        LogIndex(all_accepted(outcome.unwrap())[0].log_index)
    }

    async fn refused(&mut self, by: &Arc<Signer>, body: Body) -> wire::Refusal {
        let outcome = self.session.submit(vec![draft(by, &[], body)]).await;
        outcome.unwrap().pop().unwrap().expect_err("a refusal")
    }

    /// A stranger scans what it doesn't hold.
    async fn steal(&mut self, unit: UnitId) -> LogIndex {
        let mut theft = draft(&self.trade.stranger, &[unit], scan());
        theft.advances = false;
        let outcome = self.session.submit(vec![theft]).await;
        LogIndex(all_accepted(outcome.unwrap())[0].log_index)
    }

    /// Sold, and delivered in the same minute; whether it was scanned on the way. The last entry.
    async fn order(&mut self, number: u64, grams: u64, scanned: bool) -> LogIndex {
        let (maker, courier) = (
            Arc::clone(&self.trade.maker),
            Arc::clone(&self.trade.courier),
        );
        let (unit, buyer) = (unit(number), buyer(number));
        let mut ship = ship_to(COURIER, &buyer);
        if let Body::Handover(body) = &mut ship {
            body.weight_grams = grams;
        }
        self.say(&maker, &[unit], commission()).await;
        self.say(&maker, &[unit], ship).await;
        self.say(&courier, &[unit], accept()).await;
        if scanned {
            self.say(&courier, &[unit], scan()).await;
        }
        let deliver = Body::Deliver(wire::Deliver {
            buyer_key_id: buyer.key_id().0.to_vec(),
        });
        self.say(&courier, &[unit], deliver).await
    }
}

/// The buyer of an order.
fn buyer(number: u64) -> Arc<Signer> {
    key(100 + u8::try_from(number).unwrap())
}

fn now() -> Millis {
    custody::sequence::now()
}

fn later(hours: u64) -> Millis {
    now().plus(hours * HOUR)
}

fn open(path: &Path) -> Store {
    Store::open(path, &StoreOptions::default()).unwrap()
}

/// Steps of a size until nothing is left to look at; what was raised until then, in order.
fn signals_at(store: &Store, now: Millis, most: u64) -> Vec<Signal> {
    while step(store, now, most).unwrap().behind {}
    let mut raised = Vec::new();
    let visit = |number, happened| {
        assert_eq!(event(store, number).unwrap().as_ref(), Some(&happened));
        if let Event::Raised(signal) = happened {
            raised.push(*signal);
        }
        true
    };
    events(&store.view(), 1, visit).unwrap();
    raised
}

fn ids(signals: &[Signal]) -> Vec<(SignalKind, LogIndex)> {
    let ids = signals.iter().map(|signal| (signal.kind, signal.entry));
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn given_goods_that_stay_when_their_deadlines_pass_then_each_is_told_once_and_not_before() {
    let mut w = World::start().await;
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let made = w
        .say(&maker, &[unit(1), unit(2), unit(3)], commission())
        .await;
    // Offered, and nobody takes it; offered, and taken, and left; not offered; on a pallet.
    let offered = w.say(&maker, &[unit(1)], handover(COURIER)).await;
    w.say(&maker, &[unit(2)], handover(COURIER)).await;
    let taken = w.say(&courier, &[unit(2)], accept()).await;
    w.say(&maker, &[unit(4), case(1)], commission()).await;
    let packed = w.say(&maker, &[unit(4)], pack(case(1))).await;
    w.server.stop();
    let path = w.server.data.join("store");
    let again = w.server.data.join("again");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&path, &again])
        .status();
    assert!(copied.unwrap().success());

    let store = open(&path);
    assert_eq!(ids(&signals_at(&store, later(47), 4_096)), []);
    let first = (SignalKind::HandoverNotAccepted, offered);
    let raised = signals_at(&store, later(49), 4_096);
    assert_eq!(ids(&raised), [first]);
    assert_eq!(raised[0].units, [unit(1)]);
    assert_eq!(
        raised[0].parties,
        [Trade::party(COURIER), Trade::party(MAKER)]
    );
    assert_eq!(raised[0].limit, 48 * HOUR);
    assert!(raised[0].measured >= raised[0].limit);
    assert_eq!(ids(&signals_at(&store, later(71), 4_096)), [first]);
    let second = (SignalKind::AtRest, taken);
    let raised = signals_at(&store, later(73), 4_096);
    assert_eq!(
        ids(&raised),
        [first, second],
        "a courier's goods rest sooner"
    );
    assert_eq!(raised[1].parties, [Trade::party(COURIER)]);
    let in_stock = signals_at(&store, later(180 * 24 + 1), 4_096);
    let last = [(SignalKind::AtRest, made), (SignalKind::AtRest, packed)];
    let all = [&[first, second][..], &last].concat();
    assert_eq!(ids(&in_stock), all);
    assert_eq!(in_stock[2].units, [unit(3)], "the others went on");
    assert_eq!(
        in_stock[3].units,
        [case(1)],
        "what is packed rests with its container"
    );
    assert_eq!(ids(&signals_at(&store, later(9_000), 4_096)), all, "once");
    drop(store);

    // The smallest steps, each of them the last before a crash.
    let end = later(9_000);
    loop {
        let store = open(&again);
        if !step(&store, end, 1).unwrap().behind {
            let found: BTreeSet<_> = ids(&signals_at(&store, end, 1)).into_iter().collect();
            assert_eq!(found, all.into_iter().collect());
            break;
        }
    }
}

type Stream = tonic::Streaming<wire::WatchAlertsResponse>;

async fn watch(ledger: &Ledger, filter: wire::AlertFilter, cursor: &str) -> Stream {
    let request = wire::WatchAlertsRequest {
        filter: Some(filter),
        cursor: cursor.into(),
    };
    ledger
        .alert()
        .watch_alerts(request)
        .await
        .unwrap()
        .into_inner()
}

/// The next signal of a kind that a stream raises.
async fn until(stream: &mut Stream, kind: wire::SignalKind) -> wire::Signal {
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(About::Signal(signal)) = message.alert.unwrap().about
            && signal.kind() == kind
            && !message.answered
        {
            return signal;
        }
    }
}

/// Alerts that fit, oldest first; asked from the newest on, they are the same ones.
async fn list(ledger: &Ledger, filter: wire::AlertFilter, page_size: u32) -> Vec<wire::Alert> {
    loop {
        let alerts = listed(ledger, &filter, page_size, false).await;
        let mut backwards = listed(ledger, &filter, page_size, true).await;
        // One may have been raised in between.
        if alerts.len() == backwards.len() {
            backwards.reverse();
            assert_eq!(alerts, backwards);
            return alerts;
        }
    }
}

async fn listed(
    ledger: &Ledger,
    filter: &wire::AlertFilter,
    page_size: u32,
    newest_first: bool,
) -> Vec<wire::Alert> {
    let (mut alerts, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListAlertsRequest {
            filter: Some(filter.clone()),
            page_size,
            page_token,
            newest_first,
        };
        let page = ledger
            .alert()
            .list_alerts(request)
            .await
            .unwrap()
            .into_inner();
        alerts.extend(page.alerts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return alerts;
        }
    }
}

fn about(kind: wire::SignalKind, entry: LogIndex) -> wire::AlertId {
    let id = wire::SignalId {
        kind: kind.into(),
        log_index: entry.0,
    };
    wire::AlertId {
        alert: Some(wire::alert_id::Alert::Signal(id)),
    }
}

fn answer(alert: wire::AlertId, answer: wire::AlertAnswer, reason: &str) -> Body {
    Body::AnswerAlert(wire::AnswerAlert {
        alert: Some(alert),
        answer: answer.into(),
        reason: reason.into(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn given_fake_orders_when_delivered_then_the_ring_is_told_and_ends_with_a_person() {
    let mut w = World::start().await;
    let regulator = w.server.regulator().await;
    let mut stream = watch(&regulator, wire::AlertFilter::default(), "").await;
    let weightless = w.order(1, 0, true).await;
    let signal = until(&mut stream, wire::SignalKind::WeightlessDelivery).await;
    assert_eq!(signal.log_index, weightless.0);
    let hasty = w.order(2, 500, true).await;
    loop {
        let signal = until(&mut stream, wire::SignalKind::HastyDelivery).await;
        assert_eq!(signal.parties, [MAKER, COURIER]);
        assert_eq!((signal.measured, signal.limit), (0, 20 * 60_000));
        if signal.log_index == hasty.0 {
            break;
        }
        assert_eq!(signal.log_index, weightless.0);
    }
    let mut last = LogIndex(0);
    for number in 3..=10 {
        last = w.order(number, 500, number % 2 == 0).await;
    }
    let ring = until(&mut stream, wire::SignalKind::ClosedRing).await;
    assert_eq!(ring.log_index, last.0, "the tenth order closes it");
    assert_eq!((ring.measured, ring.limit), (10, 10));
    assert_eq!(ring.key_id, w.trade.courier.key_id().0);
    assert_eq!(ring.evidence.len(), 10);

    let (root, courier) = (Arc::clone(&w.root), Arc::clone(&w.trade.courier));
    let id = about(wire::SignalKind::ClosedRing, last);
    let seen = answer(id, wire::AlertAnswer::Acknowledged, "");
    let refusal = w.refused(&root, seen).await;
    assert_eq!(refusal.field, "answer_alert.answer");
    let aside = answer(id, wire::AlertAnswer::Dismissed, "it is us");
    let refusal = w.refused(&courier, aside).await;
    assert_eq!(refusal.code, i32::from(Code::PermissionDenied));
    let wire::alert_id::Alert::Signal(signal) = id.alert.unwrap() else {
        unreachable!()
    };
    let case = Body::OpenCase(wire::OpenCase {
        kind: wire::CaseKind::FakeOrders.into(),
        grounds: Some(wire::CaseGrounds {
            signals: vec![signal],
            ..Default::default()
        }),
        document: "K-1".into(),
    });
    let case = w.say(&root, &[], case).await;
    let answered = loop {
        let message = stream.message().await.unwrap().unwrap();
        if message.answered {
            break message.alert.unwrap();
        }
    };
    assert_eq!(answered.id, Some(id));
    assert_eq!(answered.answer(), wire::AlertAnswer::InCase);
    assert_eq!((answered.case, answered.answered_at), (case.0, case.0));
    let open = wire::AlertFilter {
        signals: vec![wire::SignalKind::ClosedRing.into()],
        open: true,
        ..Default::default()
    };
    assert_eq!(list(&regulator, open, 0).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_courier_that_is_known_to_deliver_when_it_delivers_then_there_is_no_ring() {
    let mut w = World::start().await;
    let (fund, root) = (key(200), Arc::clone(&w.root));
    let bank = "gln:0614141000012";
    w.say(&fund, &[], register(&fund, bank, &[wire::Role::Bank]))
        .await;
    w.say(&root, &[], approve(bank, &[wire::Role::Bank])).await;
    for number in 1..=12 {
        w.order(number, 500, true).await;
        let attestation = Body::AttestBuyerKey(wire::AttestBuyerKey {
            unit: unit(number).to_string(),
            key_id: buyer(number).key_id().0.to_vec(),
        });
        // A few of ten: one real customer among nine others would prove nothing.
        if number <= 3 {
            w.say(&fund, &[], attestation).await;
        }
    }
    let regulator = w.server.regulator().await;
    // What comes after shows that all before was looked at.
    let mut stream = watch(&regulator, wire::AlertFilter::default(), "start").await;
    let end = w.order(13, 500, true).await;
    while until(&mut stream, wire::SignalKind::HastyDelivery)
        .await
        .log_index
        != end.0
    {}
    let rings = wire::AlertFilter {
        signals: vec![wire::SignalKind::ClosedRing.into()],
        ..Default::default()
    };
    assert_eq!(list(&regulator, rings, 0).await, []);
}

/// Asks about a unit as from an address of this machine.
async fn look_up(w: &World, unit: UnitId, from: [u8; 4]) {
    let channel = tonic::transport::Endpoint::from_shared(w.server.address.clone())
        .unwrap()
        .local_address(Some(from.into()))
        .connect()
        .await
        .unwrap();
    let mut consumer = wire::provenance_service_client::ProvenanceServiceClient::new(channel);
    let request = wire::GetProvenanceRequest {
        unit: unit.to_string(),
        ..Default::default()
    };
    consumer.get_provenance(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_code_when_looked_up_from_all_over_then_it_is_told() {
    use custody::core::credit::alert::LOOK_UP_NETWORKS;
    let mut w = World::start().await;
    let maker = Arc::clone(&w.trade.maker);
    let made = w.say(&maker, &[unit(1), unit(2)], commission()).await;
    let regulator = w.server.regulator().await;
    let mut stream = watch(&regulator, wire::AlertFilter::default(), "start").await;
    let networks = u8::try_from(LOOK_UP_NETWORKS).unwrap();
    for n in 0..networks {
        // One household looks often, and at what nobody made.
        look_up(&w, unit(2), [127, 0, 0, n + 1]).await;
        look_up(&w, unit(9), [127, 0, n, 1]).await;
        look_up(&w, unit(1), [127, 0, n, 1]).await;
    }
    let signal = until(&mut stream, wire::SignalKind::LookedUpWidely).await;
    assert_eq!(signal.units, [unit(1).to_string()]);
    assert_eq!(signal.log_index, made.0);
    assert_eq!(
        (signal.measured, signal.parties),
        (20, vec![MAKER.to_owned()])
    );
    let wide = wire::AlertFilter {
        signals: vec![wire::SignalKind::LookedUpWidely.into()],
        ..Default::default()
    };
    assert_eq!(list(&regulator, wide, 0).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_breaks_and_a_stolen_key_when_watched_then_they_are_told_and_a_cursor_resumes() {
    let mut w = World::start().await;
    let regulator = w.server.regulator().await;
    let (maker, root) = (Arc::clone(&w.trade.maker), Arc::clone(&w.root));
    let units: Vec<UnitId> = (1..=6).map(unit).collect();
    w.say(&maker, &units, commission()).await;
    let mut thefts = Vec::new();
    for unit in &units[..5] {
        thefts.push(w.steal(*unit).await.0);
    }
    let mut stream = watch(&regulator, wire::AlertFilter::default(), "start").await;
    let rate = until(&mut stream, wire::SignalKind::RateOfBreaks).await;
    assert_eq!(rate.parties, [STRANGER]);
    assert_eq!(rate.evidence, thefts);
    assert_eq!(rate.log_index, thefts[4]);
    assert_eq!((rate.measured, rate.limit), (1_000, 0));

    let key_id = w.trade.stranger.key_id().0.to_vec();
    let revocation = Body::RevokeKey(wire::RevokeKey {
        key_id: key_id.clone(),
        reason: wire::RevocationReason::Compromised.into(),
        since_ms: 1,
    });
    let revoked = w.say(&root, &[], revocation).await;
    let found = until(&mut stream, wire::SignalKind::CompromisedKey).await;
    assert_eq!((found.log_index, found.key_id), (revoked.0, key_id));
    assert_eq!(found.measured, 6, "its registration, and five scans");
    assert_eq!(found.evidence[1..], thefts);

    let rate = about(wire::SignalKind::RateOfBreaks, LogIndex(thefts[4]));
    let seen = answer(rate, wire::AlertAnswer::Acknowledged, "letter sent");
    w.say(&root, &[], seen).await;
    let decision = Body::DecideFinding(wire::DecideFinding {
        log_index: thefts[0],
        kind: wire::FindingKind::NotHolder.into(),
        unit: unit(1).to_string(),
        decision: wire::Decision::Dismissed.into(),
        reason: "a drill".into(),
        document: "D-1".into(),
    });
    w.say(&root, &[], decision).await;

    // Everything once more, one message a stream.
    let mut all = watch(&regulator, wire::AlertFilter::default(), "start").await;
    let (mut cursor, mut whole) = ("start".to_owned(), Vec::new());
    while whole
        .iter()
        .filter(|m: &&wire::WatchAlertsResponse| m.answered)
        .count()
        < 2
    {
        let message = all.message().await.unwrap().unwrap();
        let mut one = watch(&regulator, wire::AlertFilter::default(), &cursor).await;
        assert_eq!(one.message().await.unwrap().unwrap(), message);
        cursor.clone_from(&message.cursor);
        whole.push(message);
    }
    assert_eq!(whole.len(), 5 + 2 + 2);
    let list = async |filter| list(&regulator, filter, 2).await.len();
    let filter = wire::AlertFilter::default();
    assert_eq!(list(filter.clone()).await, 5 + 2);
    let open = wire::AlertFilter {
        open: true,
        ..filter.clone()
    };
    assert_eq!(list(open).await, 4 + 1);
    let severe = wire::AlertFilter {
        level: wire::AlertLevel::Severe.into(),
        ..filter.clone()
    };
    assert_eq!(list(severe).await, 5 + 1, "not the rate");
    let kinds = wire::AlertFilter {
        findings: vec![wire::FindingKind::NotHolder.into()],
        ..filter.clone()
    };
    assert_eq!(list(kinds).await, 5);
    let concerned = wire::AlertFilter {
        party: STRANGER.into(),
        ..filter.clone()
    };
    assert_eq!(list(concerned).await, 7);
    let named = wire::AlertFilter {
        unit: unit(3).to_string(),
        ..filter.clone()
    };
    assert_eq!(list(named).await, 1);
    let there = wire::AlertFilter {
        region: "CN-FJ".into(),
        ..filter
    };
    assert_eq!(list(there).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_alerts_when_everybody_asks_then_only_regulators_are_answered() {
    let w = World::start().await;
    let (maker, courier) = (&w.trade.maker, &w.trade.courier);
    let rest = about(wire::SignalKind::AtRest, LogIndex(0));
    for (ledger, code) in [
        (w.server.ledger().await, Code::Unauthenticated),
        (
            w.server.as_party(maker, MAKER).await,
            Code::PermissionDenied,
        ),
        (
            w.server.as_party(courier, COURIER).await,
            Code::PermissionDenied,
        ),
        (w.server.regulator().await, Code::NotFound),
    ] {
        let mut alerts = ledger.alert();
        let request = wire::GetAlertRequest { id: Some(rest) };
        let status = alerts.get_alert(request).await.unwrap_err();
        assert_eq!(status.code(), code);
        let allowed = code == Code::NotFound;
        let list = alerts.list_alerts(wire::ListAlertsRequest::default());
        assert_eq!(list.await.is_ok(), allowed);
        let watch = alerts.watch_alerts(wire::WatchAlertsRequest::default());
        assert_eq!(watch.await.is_ok(), allowed);
    }
}
