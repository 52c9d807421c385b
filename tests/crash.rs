//! Kill -9 at random moments under load: after a restart every acknowledged record is there, the
//! audit passes, and nothing is half-written. `CUSTODY_CRASH_ROUNDS` asks for more than 50 rounds.

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Server, Trade, commission, draft, scan, unit};
use custody::audit::Auditor;
use custody::core::apply::state::Read as _;
use custody::core::envelope::RecordId;
use custody::core::tlog::LogIndex;
use custody::core::wire;
use custody::store::{Store, StoreOptions};
use tokio::sync::Mutex;

/// What was acknowledged: record id to log index.
type Acknowledged = Arc<Mutex<HashMap<Vec<u8>, u64>>>;

fn rounds() -> u32 {
    std::env::var("CUSTODY_CRASH_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(50)
}

/// Small numbers that differ from round to round, the same in every run.
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Submits until the server is gone.
async fn load(
    server: Arc<(String, Arc<custody::core::signature::Signer>)>,
    serials: Arc<AtomicU64>,
    acknowledged: Acknowledged,
) {
    let Ok(ledger) = custody::client::Ledger::connect(&server.0, None).await else {
        return;
    };
    let Ok(mut session) = custody::client::Session::start(ledger).await else {
        return;
    };
    loop {
        let units: Vec<_> = (0..8)
            .map(|_| unit(serials.fetch_add(1, Ordering::Relaxed)))
            .collect();
        let mut drafts: Vec<_> = units
            .iter()
            .map(|u| draft(&server.1, &[*u], commission()))
            .collect();
        drafts.extend(units.iter().map(|u| draft(&server.1, &[*u], scan())));
        let Ok(outcomes) = session.submit(drafts).await else {
            return;
        };
        let mut acknowledged = acknowledged.lock().await;
        for receipt in outcomes.into_iter().flatten() {
            acknowledged.insert(receipt.record_id, receipt.log_index);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_load_when_killed_at_any_moment_then_every_acknowledged_record_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    common::init(&data);
    let mut server = Server::open(&data, &[]);
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    drop(session);
    let acknowledged: Acknowledged = Arc::default();
    let serials = Arc::new(AtomicU64::new(1));
    let mut audited = 0;
    for round in 0..rounds() {
        let before = acknowledged.lock().await.len();
        let target = Arc::new((server.address.clone(), Arc::clone(&trade.maker)));
        let clients: Vec<_> = (0..3)
            .map(|_| tokio::spawn(load(target.clone(), serials.clone(), acknowledged.clone())))
            .collect();
        // A number of acknowledgements, not a time: then within a group that is under way.
        let wanted = before + 1 + usize::try_from(random(u64::from(round)) % 200).unwrap();
        while acknowledged.lock().await.len() < wanted {
            tokio::task::yield_now().await;
        }
        server.kill();
        for client in clients {
            client.await.unwrap();
        }
        let store = Store::open(&data.join("store"), &StoreOptions::default()).unwrap();
        check_store(&store, &*acknowledged.lock().await);
        // The whole log now and then; it grows, and each round only adds to it.
        if round % 10 == 9 || round + 1 == rounds() {
            audited = audit(&store);
        }
        drop(store);
        server = Server::open(&data, &[]);
    }
    let known = acknowledged.lock().await.len() as u64;
    assert!(audited >= known, "{audited} entries, {known} acknowledged");
    println!(
        "{} rounds, {known} acknowledged records, {audited} entries audited",
        rounds()
    );
}

fn check_store(store: &Store, acknowledged: &HashMap<Vec<u8>, u64>) {
    let head = store.head().unwrap();
    for (id, index) in acknowledged {
        let id = RecordId::from_slice(id).unwrap();
        assert_eq!(
            store.entry_of(&id).unwrap(),
            Some(LogIndex(*index)),
            "record {id} is lost"
        );
        assert!(*index < head.size);
    }
    let mut count = 0;
    store
        .entries(LogIndex(0), |_, _| {
            count += 1;
            true
        })
        .unwrap();
    assert_eq!(count, head.size, "entries and the log's size differ");
    store
        .right_edge()
        .expect("the tree leads to the committed root");
}

fn audit(store: &Store) -> u64 {
    let mut auditor = Auditor::start();
    store
        .entries(LogIndex(0), |_, bytes| {
            auditor.push(bytes).unwrap();
            true
        })
        .unwrap();
    let (audited, _) = auditor.finish().unwrap();
    assert_eq!(audited.root, store.head().unwrap().root);
    audited.entries
}

/// The same envelope after a crash gives the entry that it has, or gets one (I6).
#[tokio::test(flavor = "multi_thread")]
async fn given_an_unanswered_record_when_sent_again_after_a_crash_then_it_has_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    common::init(&data);
    let mut server = Server::open(&data, &[]);
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let mut envelopes = Vec::new();
    let drafts = (1..=64)
        .map(|n| draft(&trade.maker, &[unit(n)], commission()))
        .collect();
    let first = session
        .submit_observed(drafts, &mut |_, envelope| {
            envelopes.push(envelope.clone());
            Ok(())
        })
        .await
        .unwrap();
    server.kill();
    let server = Server::open(&data, &[]);
    let session = server.session().await;
    let again = session.send(&envelopes).await.unwrap();
    let receipts = |outcomes: &[custody::client::Outcome]| -> Vec<wire::Receipt> {
        outcomes
            .iter()
            .map(|outcome| outcome.clone().unwrap())
            .collect()
    };
    assert_eq!(receipts(&first), receipts(&again));
}
