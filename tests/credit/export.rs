//! What is shared with public-credit platforms: batches, cursors, receipts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use custody::client::Ledger;
use custody::core::credit::export::{Batch, Item, ItemKind, Manifest};
use custody::core::wire;
use custody::core::wire::record::Body;
use custody::export::{Adapter, Folder, Https, HttpsOptions, Parcel, PushError, Pusher, Receipt};
use tonic::Code;

use crate::common::*;
use crate::world::*;

async fn ask(ledger: &Ledger, cursor: &str, size: u32) -> wire::ExportSinceResponse {
    let request = wire::ExportSinceRequest {
        cursor: cursor.into(),
        page_size: size,
        format: wire::ExportFormat::Json.into(),
    };
    let answer = ledger.export().export_since(request).await.unwrap();
    answer.into_inner()
}

/// All from a cursor on, so many items at a time; the cursor after it.
async fn all(w: &World, ledger: &Ledger, cursor: &str, size: u32) -> (Vec<Item>, String) {
    let key = w.server.log_key().parse().unwrap();
    let (mut items, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let answer = ask(ledger, &cursor, size).await;
        let manifest = Manifest::verify(&answer.note, &key, &answer.batch).unwrap();
        let batch: Batch = serde_json::from_slice(&answer.batch).unwrap();
        assert_eq!(manifest.items, batch.items.len() as u64);
        assert_eq!(batch.next, answer.next_cursor);
        items.extend(batch.items);
        cursor = answer.next_cursor;
        if !answer.more {
            return (items, cursor);
        }
    }
}

/// What a receiver holds after these.
fn held(items: &[Item]) -> BTreeMap<(String, u64), Item> {
    let mut held = BTreeMap::new();
    for item in items {
        let name = (format!("{:?}", item.of), item.number);
        match item.item {
            ItemKind::Retraction => drop(held.remove(&name)),
            _ => drop(held.insert(name, item.clone())),
        }
    }
    held
}

fn numbers(items: &[Item]) -> Vec<(ItemKind, u64)> {
    items.iter().map(|item| (item.item, item.number)).collect()
}

/// A firm's listing and its measure, and what must not be shared.
async fn world_with_listings() -> (World, u64, u64) {
    let mut w = World::start().await;
    let (root, agency, _) = w.offices();
    let (courier, trader) = (Arc::clone(&w.trade.courier), Arc::clone(&w.trader));
    let maker = Arc::clone(&w.trade.maker);
    blacklist(&mut w, &maker, MAKER, wire::CreditSeverity::Minor).await;
    blacklist_a_person(&mut w, &trader).await;
    let listing = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Ordinary).await;
    let blocked = measure(listing, wire::MeasureKind::ShopBlocked);
    let blocked = w.say(&root, Body::AttachMeasure(blocked)).await;
    w.say(
        &agency,
        credit_record(COURIER, wire::CreditSeverity::Ordinary),
    )
    .await;
    (w, listing, blocked)
}

async fn blacklist_a_person(w: &mut World, trader: &Arc<custody::core::signature::Signer>) {
    use wire::CreditSeverity::Ordinary;
    let root = Arc::clone(&w.root);
    let mut body = proposal(&gln(3), Ordinary);
    if let Body::ProposeListing(body) = &mut body {
        (body.reason, body.reason_commitment) = (String::new(), digest());
    }
    let at = w.say(&root, body).await;
    w.say(&root, notice(at)).await;
    w.say(trader, statement(at, "")).await;
    w.say(&root, decision(at, Ordinary, 3)).await;
    w.say(
        &root,
        Body::AttachMeasure(measure(at, wire::MeasureKind::ShopBlocked)),
    )
    .await;
}

fn end(listing: u64) -> Body {
    Body::EndListing(wire::EndListing {
        listing,
        legal_basis: "judgement".into(),
        document: "J-1".into(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn given_two_cursors_when_exported_then_their_union_is_the_full_export() {
    let (mut w, listing, blocked) = world_with_listings().await;
    let (root, agency, platform) = w.offices();
    let market = w.server.as_party(&platform, &gln(2)).await;
    let (first, cursor) = all(&w, &market, "", 0).await;
    let kinds = [ItemKind::Listing, ItemKind::Measure, ItemKind::Record];
    let told: Vec<_> = first.iter().map(|item| item.item).collect();
    assert_eq!(
        told, kinds,
        "neither the minor listing nor the natural person: {first:?}"
    );
    assert_eq!(
        numbers(&first)[..2],
        [(kinds[0], listing), (kinds[1], blocked)]
    );
    let (nothing, same) = all(&w, &market, &cursor, 0).await;
    assert_eq!(
        (nothing.len(), &same),
        (0, &cursor),
        "everything comes once"
    );

    // What is taken back, what is new, and what came and went meanwhile.
    w.say(&root, end(listing)).await;
    let courier = Arc::clone(&w.trade.courier);
    let gone = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Ordinary).await;
    w.say(&root, end(gone)).await;
    let next = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Ordinary).await;
    w.say(&agency, credit_record(MAKER, wire::CreditSeverity::Minor))
        .await;
    let (second, end_of_all) = all(&w, &market, &cursor, 0).await;
    let expected = [
        (ItemKind::Retraction, listing),
        (ItemKind::Retraction, blocked),
        (ItemKind::Listing, next),
    ];
    assert_eq!(
        numbers(&second),
        expected,
        "nobody learns of what came and went"
    );
    assert!(
        second[0].subject.is_empty(),
        "who has it knows whose it was"
    );
    let (full, end_of_full) = all(&w, &market, "", 0).await;
    assert_eq!(end_of_full, end_of_all);
    let union = [first, second].concat();
    assert_eq!(held(&union), held(&full));
    assert_eq!(held(&full).len(), 2, "a record and a listing");
    assert!(full.iter().all(|item| item.item != ItemKind::Retraction));
    // One item at a time is the same.
    let (slowly, _) = all(&w, &market, "", 1).await;
    assert_eq!(held(&slowly), held(&full));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_export_when_others_ask_or_a_byte_changes_then_it_is_refused() {
    let (w, ..) = world_with_listings().await;
    let (_, agency, platform) = w.offices();
    let (courier, maker) = (&w.trade.courier, &w.trade.maker);
    for (signer, id, may) in [
        (&platform, &*gln(2), true),
        (&agency, &*gln(1), true),
        (courier, COURIER, false),
        (maker, MAKER, false),
    ] {
        let ledger = w.server.as_party(signer, id).await;
        let request = wire::ExportSinceRequest::default();
        let answer = ledger.export().export_since(request).await;
        assert_eq!(answer.is_ok(), may, "{id}");
    }
    let request = wire::ExportSinceRequest::default();
    let status = w.server.ledger().await.export().export_since(request).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let market = w.server.as_party(&platform, &gln(2)).await;
    for cursor in ["x", "07", "99999999", "7.5.x1"] {
        let request = wire::ExportSinceRequest {
            cursor: cursor.into(),
            ..Default::default()
        };
        let status = market.export().export_since(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{cursor}");
    }
    let mut answer = ask(&market, "", 0).await;
    let key = w.server.log_key().parse().unwrap();
    answer.batch[20] ^= 1;
    assert!(Manifest::verify(&answer.note, &key, &answer.batch).is_err());

    let request = wire::ExportSinceRequest {
        format: wire::ExportFormat::Csv.into(),
        ..Default::default()
    };
    let answer = market
        .export()
        .export_since(request)
        .await
        .unwrap()
        .into_inner();
    let mut lines = csv::Reader::from_reader(answer.batch.as_slice());
    let rows: Vec<Item> = lines.deserialize().map(Result::unwrap).collect();
    let (json, _) = all(&w, &market, "", 0).await;
    assert_eq!(rows, json, "the same in both forms");
}

fn receipts(state: &Path) -> Vec<Receipt> {
    let text = std::fs::read_to_string(state.join("receipts.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// Delivers, and then says that it failed, once: as when the answer is lost on the way.
struct Lossy<A> {
    inner: A,
    lost: AtomicBool,
}

impl<A: Adapter> Adapter for Lossy<A> {
    fn to(&self) -> String {
        self.inner.to()
    }

    fn deliver(&self, parcel: &Parcel) -> Result<String, PushError> {
        let answer = self.inner.deliver(parcel)?;
        if self.lost.swap(true, Ordering::Relaxed) {
            return Ok(answer);
        }
        Err(PushError::Adapter {
            to: self.to(),
            message: "the answer was lost".into(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_push_whose_answer_is_lost_when_run_again_then_the_receiver_has_each_item_once() {
    let (mut w, listing, _) = world_with_listings().await;
    let (root, _, platform) = w.offices();
    let market = w.server.as_party(&platform, &gln(2)).await;
    let key = w.server.log_key().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (state, out) = (folder.path().join("state"), folder.path().join("out"));
    let adapter = Lossy {
        inner: Folder(out.clone()),
        lost: AtomicBool::new(false),
    };
    let json = wire::ExportFormat::Json;
    let pusher = Pusher::open(&market, &key, adapter, json, &state).unwrap();
    assert!(matches!(
        pusher.push().await,
        Err(PushError::Adapter { .. })
    ));
    assert_eq!(receipts(&state), [], "no receipt without an answer");
    // Two at once would hand things over twice; and a folder is for one receiver.
    let second = |to: &Path| {
        let opened = Pusher::open(&market, &key, Folder(to.to_owned()), json, &state);
        opened.map(drop).unwrap_err()
    };
    assert!(matches!(second(&out), PushError::Taken(..)));
    // More came meanwhile: the batch that may have arrived goes again as it was.
    w.say(&root, end(listing)).await;
    let pushed = pusher.push().await.unwrap();
    assert_eq!((pushed.batches, pushed.items), (2, 3 + 2));
    assert_eq!(pusher.push().await.unwrap().batches, 0);
    drop(pusher);
    let elsewhere = folder.path().join("elsewhere");
    assert!(matches!(second(&elsewhere), PushError::Taken(..)));
    let receipts = receipts(&state);
    assert_eq!(receipts.len(), 2);
    assert_eq!(receipts[0].next, receipts[1].from, "without gap");
    let mut items = Vec::new();
    for receipt in &receipts {
        let name = |end: &str| out.join(format!("{}.{end}", receipt.from));
        let batch = std::fs::read(name("json")).unwrap();
        let note = std::fs::read(name("note")).unwrap();
        Manifest::verify(&note, &key, &batch).unwrap();
        let batch: Batch = serde_json::from_slice(&batch).unwrap();
        items.extend(batch.items);
    }
    let (full, _) = all(&w, &market, "", 0).await;
    assert_eq!(held(&items), held(&full));
    assert_eq!(
        std::fs::read_dir(&out).unwrap().count(),
        4,
        "two batches, two notes"
    );
}

/// A receiver with a certificate of its own: answers 503 once, then takes everything. What it got:
/// header lines and body.
async fn receiver() -> (
    String,
    Vec<u8>,
    tokio::sync::mpsc::Receiver<(String, String)>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::rustls::{ServerConfig, crypto, pki_types};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!(
        "https://localhost:{}/credit",
        listener.local_addr().unwrap().port()
    );
    let (got, all) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        let mut busy = true;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut more = [0; 4096];
                let read = stream.read(&mut more).await.unwrap();
                bytes.extend_from_slice(&more[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let head = head.to_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    break (head, body.to_owned());
                }
            };
            got.send((head, body)).await.unwrap();
            let answer = if busy { "503 Busy" } else { "201 Created" };
            busy = false;
            let answer =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nA-17");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    (address, made.cert.pem().into_bytes(), all)
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_receiver_on_the_web_when_pushed_to_then_it_gets_the_signed_batch_over_tls() {
    let (w, ..) = world_with_listings().await;
    let (_, _, platform) = w.offices();
    let market = w.server.as_party(&platform, &gln(2)).await;
    let key: custody::core::tlog::note::NoteVerifier = w.server.log_key().parse().unwrap();
    let (address, ca, mut got) = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let csv = wire::ExportFormat::Csv;
    let strange = Https::new(address.clone(), HttpsOptions::default()).unwrap();
    let pusher = Pusher::open(&market, &key, strange, csv, folder.path()).unwrap();
    assert!(
        pusher.push().await.is_err(),
        "nobody vouches for its certificate"
    );
    drop(pusher);
    assert!(Https::new("http://localhost/".into(), HttpsOptions::default()).is_err());

    let options = || HttpsOptions {
        ca: Some(ca.clone()),
        bearer: Some("t0ken\n".to_owned().into()),
    };
    let adapter = Https::new(address.clone(), options()).unwrap();
    let pusher = Pusher::open(&market, &key, adapter, csv, folder.path()).unwrap();
    let busy = pusher.push().await.unwrap_err().to_string();
    assert!(busy.contains("503") && !busy.contains("t0ken"), "{busy}");
    assert_eq!(receipts(folder.path()), []);
    assert_eq!(pusher.push().await.unwrap().items, 3);
    let receipts = receipts(folder.path());
    assert_eq!(
        (receipts.len(), receipts[0].answer.as_str()),
        (1, "201 A-17")
    );
    let (first, second) = (got.recv().await.unwrap(), got.recv().await.unwrap());
    assert_eq!(first, second, "the very same again");
    let (head, body) = second;
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {head}"))
            .to_owned()
    };
    assert_eq!(header("authorization: "), "bearer t0ken");
    assert_eq!(header("idempotency-key: "), receipts[0].sha256);
    assert!(header("content-type: ").starts_with("text/csv"));
    assert!(head.contains("custody-export-note: "));
    assert_eq!(body.lines().count(), 1 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_term_that_runs_out_when_the_log_goes_on_then_it_is_taken_back_once() {
    let (mut w, listing, blocked) = world_with_listings().await;
    let (root, agency, platform) = w.offices();
    let market = w.server.as_party(&platform, &gln(2)).await;
    let until_ms = custody::sequence::now().0 + 1_500;
    let short = wire::AttachMeasure {
        until_ms,
        ..measure(listing, wire::MeasureKind::MembershipLimit)
    };
    let short = w.say(&root, Body::AttachMeasure(short)).await;
    let (first, mut cursor) = all(&w, &market, "", 0).await;
    assert!(numbers(&first).contains(&(ItemKind::Measure, short)));
    // Nothing is taken back before the log's own time is there.
    let mut later = Vec::new();
    while later.is_empty() {
        let at = w.say(&agency, open_file(COURIER)).await;
        let (items, next) = all(&w, &market, &cursor, 0).await;
        assert!(next.starts_with(&(at + 1).to_string()), "{next}");
        later.extend(items);
        cursor = next;
    }
    assert!(custody::sequence::now().0 >= until_ms);
    assert_eq!(numbers(&later), [(ItemKind::Retraction, short)]);
    assert_eq!(later[0].what, "EXPIRED");
    // Once: neither its end nor that of its listing tells it again.
    w.say(&root, end(listing)).await;
    let (rest, _) = all(&w, &market, &cursor, 0).await;
    let told = [listing, blocked].map(|number| (ItemKind::Retraction, number));
    assert_eq!(numbers(&rest), told);
    let (full, _) = all(&w, &market, "", 0).await;
    assert_eq!(held(&[first, later, rest].concat()), held(&full));
}
