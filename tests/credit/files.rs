//! Who reads a party's file, what a bank sees of it, and the personal data in it.

use std::path::Path;
use std::sync::Arc;

use custody::client::Ledger;
use custody::core::record::Millis;
use custody::core::wire;
use custody::core::wire::record::Body;
use custody::private::{self, Retention};
use custody::store::{Side, SideChanges, Store, StoreOptions};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::common::*;
use crate::world::*;

async fn file(ledger: &Ledger, party: &str) -> Result<usize, tonic::Status> {
    let request = wire::GetCreditFileRequest {
        party: party.into(),
        ..Default::default()
    };
    let page = ledger.credit().get_credit_file(request).await?;
    Ok(page.into_inner().items.len())
}

async fn reads(ledger: &Ledger, party: &str) -> Result<Vec<wire::FileRead>, Code> {
    let request = wire::ListFileReadsRequest {
        party: party.into(),
        ..Default::default()
    };
    let page = ledger.credit().list_file_reads(request).await;
    page.map(|page| page.into_inner().reads)
        .map_err(|status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_regulator_when_it_reads_a_file_then_who_and_why_is_in_the_log_before() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    w.say(&courier, commitment(wire::CommitmentKind::Voluntary))
        .await;
    let desk = w.server.as_party(&agency, &gln(1)).await;
    let status = file(&desk, COURIER).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "FILE_NOT_OPEN");
    let request = wire::GetScoreRequest {
        party: COURIER.into(),
        ..Default::default()
    };
    let status = desk.credit().get_score(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    let firms = [&maker, &courier, &platform];
    let opened = w.only(&agency, &firms, open_file(COURIER)).await;
    assert_eq!(file(&desk, COURIER).await.unwrap(), 1);
    desk.credit().get_score(request).await.unwrap();
    // Open to that agency, and not to another; that file, and no other.
    let other = w.server.as_party(&root, REGULATOR).await;
    assert!(file(&other, COURIER).await.is_err());
    assert!(file(&desk, MAKER).await.is_err());

    let own = w.server.as_party(&courier, COURIER).await;
    let seen = reads(&own, COURIER).await.unwrap();
    assert_eq!((seen.len(), seen[0].log_index), (1, opened));
    assert_eq!(seen[0].by, gln(1));
    assert_eq!(seen[0].key_id, agency.key_id().0);
    assert_eq!(seen[0].purpose, "a complaint is looked into");
    assert_eq!(reads(&other, COURIER).await.unwrap(), seen);
    let rival = w.server.as_party(&maker, MAKER).await;
    assert_eq!(reads(&rival, COURIER).await, Err(Code::PermissionDenied));
    let nobody = w.server.ledger().await;
    assert_eq!(reads(&nobody, COURIER).await, Err(Code::Unauthenticated));
    w.audited();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_regulator_that_opens_many_files_when_it_is_more_than_usual_then_an_alert_is_raised()
 {
    use custody::core::credit::alert::FILES_A_DAY;
    let mut w = World::start().await;
    let agency = Arc::clone(&w.agency);
    let root = Arc::clone(&w.root);
    // One file over and over is no bulk look-up.
    let again = (0..=FILES_A_DAY).map(|_| draft(&agency, &[], open_file(MAKER)));
    all_accepted(w.session.submit(again.collect()).await.unwrap());
    let mut drafts = Vec::new();
    for n in 0..FILES_A_DAY + 2 {
        let (id, signer) = (gln(100 + n), key(100 + u8::try_from(n).unwrap()));
        drafts.push(draft(
            &signer,
            &[],
            register(&signer, &id, &[wire::Role::Seller]),
        ));
        drafts.push(draft(&root, &[], approve(&id, &[wire::Role::Seller])));
    }
    all_accepted(w.session.submit(drafts).await.unwrap());
    let opened = |n: u64| draft(&agency, &[], open_file(&gln(100 + n)));
    let drafts = (0..FILES_A_DAY + 2).map(opened).collect();
    let last = all_accepted(w.session.submit(drafts).await.unwrap());
    let regulator = w.server.regulator().await;
    let request = wire::WatchAlertsRequest {
        filter: Some(wire::AlertFilter {
            signals: vec![wire::SignalKind::BulkLookUp.into()],
            ..Default::default()
        }),
        cursor: "start".into(),
    };
    let mut stream = regulator
        .alert()
        .watch_alerts(request)
        .await
        .unwrap()
        .into_inner();
    let alert = stream.message().await.unwrap().unwrap().alert.unwrap();
    let Some(wire::alert::About::Signal(signal)) = &alert.about else {
        panic!("{alert:?}");
    };
    assert_eq!(signal.parties, [gln(1)]);
    assert_eq!(signal.key_id, agency.key_id().0);
    // The maker's is the first.
    let past = usize::try_from(FILES_A_DAY).unwrap() - 1;
    assert_eq!(signal.log_index, last[past].log_index);
    assert_eq!(alert.level(), wire::AlertLevel::Severe);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_bank_when_a_firm_lets_it_look_then_it_sees_lists_and_volume_and_only_so_long() {
    let mut w = World::start().await;
    let root = Arc::clone(&w.root);
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let bank = key(40);
    w.say(&bank, register(&bank, &gln(6), &[wire::Role::Bank]))
        .await;
    w.say(&root, approve(&gln(6), &[wire::Role::Bank])).await;
    let listing = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Ordinary).await;
    let units = [unit(1), unit(2), unit(3)];
    let drafts = vec![
        draft(&maker, &units, commission()),
        draft(&maker, &units, handover(COURIER)),
        draft(&courier, &units[..2], accept()),
    ];
    w.session.submit(drafts).await.unwrap();
    let look = async |ledger: &Ledger, party: &str| {
        let request = wire::GetFinancialViewRequest {
            party: party.into(),
            ..Default::default()
        };
        let answer = ledger.credit().get_financial_view(request).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| status.code())
    };
    let desk = w.server.as_party(&bank, &gln(6)).await;
    assert_eq!(look(&desk, COURIER).await, Err(Code::PermissionDenied));
    let until = |ms: u64| {
        Body::AuthoriseView(wire::AuthoriseView {
            viewer: gln(6),
            until_ms: ms,
        })
    };
    let soon = custody::sequence::now().0 + 86_400_000;
    let consent = w.say(&courier, until(soon)).await;
    w.say(&maker, until(soon)).await;
    let view = look(&desk, COURIER).await.unwrap();
    assert_eq!((view.consent, view.consent_until_ms), (consent, soon));
    assert_eq!(view.listings.len(), 1);
    assert_eq!(view.listings[0].log_index, listing);
    let volume = &look(&desk, MAKER).await.unwrap().volumes[0];
    // What was offered and not taken was not handed over.
    assert_eq!((volume.made, volume.handed_over, volume.taken), (3, 2, 0));
    let volume = &view.volumes[0];
    assert_eq!((volume.made, volume.taken, volume.delivered), (0, 2, 0));
    for (signer, party) in [(&maker, MAKER), (&root, REGULATOR), (&courier, COURIER)] {
        let ledger = w.server.as_party(signer, party).await;
        assert_eq!(look(&ledger, COURIER).await, Err(Code::PermissionDenied));
    }
    w.say(&courier, until(0)).await;
    assert_eq!(
        look(&desk, COURIER).await,
        Err(Code::PermissionDenied),
        "no more"
    );
    w.audited();
}

/// A text about the trader; its commitment.
async fn put(ledger: &Ledger, salt: u8, text: &str) -> Result<Vec<u8>, tonic::Status> {
    let request = wire::PutPrivateRequest {
        subject: gln(3),
        class: wire::RetentionClass::Registration.into(),
        salt: vec![salt; 16],
        text: text.into(),
    };
    let answer = ledger.private().put_private(request).await?;
    Ok(answer.into_inner().text.unwrap().commitment)
}

async fn get(ledger: &Ledger, commitment: &[u8]) -> Result<String, Code> {
    let request = wire::GetPrivateRequest {
        subject: gln(3),
        commitment: commitment.to_vec(),
    };
    let answer = ledger.private().get_private(request).await;
    answer
        .map(|answer| answer.into_inner().text)
        .map_err(|status| status.code())
}

async fn erase(ledger: &Ledger, commitment: &[u8]) -> Result<(), Code> {
    let request = wire::ErasePrivateRequest {
        subject: gln(3),
        commitment: commitment.to_vec(),
    };
    let answer = ledger.private().erase_private(request).await;
    answer.map(drop).map_err(|status| status.code())
}

/// Whether any file of a folder holds the bytes.
fn on_the_disk(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return on_the_disk(&path, bytes);
        }
        // A file that goes away meanwhile holds nothing any more.
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_text_in_the_side_table_when_erased_then_it_is_off_the_disk_and_the_tree_untouched()
{
    let mut w = World::start().await;
    let agency = Arc::clone(&w.agency);
    let trader = Arc::clone(&w.trader);
    let own = w.server.as_party(&trader, &gln(3)).await;
    // Random letters, which no compression hides.
    let name = "Zhq7Xw2kPfVn9sLr4tBd8mYc".to_owned();
    let commitment = put(&own, 1, &name).await.unwrap();
    let salt = [1; 16];
    let expected = custody::core::credit::salted_commitment(&salt, &name);
    assert_eq!(commitment, expected, "what a record commits to");
    assert_eq!(
        put(&own, 1, &name).await.unwrap(),
        commitment,
        "twice is once"
    );
    assert_eq!(get(&own, &commitment).await.unwrap(), name);
    // The regulator says first why; nobody else reads it at all.
    let desk = w.server.as_party(&agency, &gln(1)).await;
    assert_eq!(get(&desk, &commitment).await, Err(Code::PermissionDenied));
    w.say(&agency, open_file(&gln(3))).await;
    assert_eq!(get(&desk, &commitment).await.unwrap(), name);
    let rival = w.server.as_party(&w.trade.courier, COURIER).await;
    assert_eq!(get(&rival, &commitment).await, Err(Code::PermissionDenied));
    assert_eq!(
        erase(&rival, &commitment).await,
        Err(Code::PermissionDenied)
    );
    assert!(put(&rival, 2, "x").await.is_err());
    let nobody = w.server.ledger().await;
    assert_eq!(get(&nobody, &commitment).await, Err(Code::Unauthenticated));
    // What an authority wrote down is not the party's to erase.
    let theirs = put(&desk, 3, "why it was listed").await.unwrap();
    assert_eq!(erase(&own, &theirs).await, Err(Code::PermissionDenied));

    let (before, _) = w.server.ledger().await.checkpoint().await.unwrap();
    let store = w.server.data.clone();
    assert!(on_the_disk(&store, name.as_bytes()));
    erase(&own, &commitment).await.unwrap();
    assert!(
        !on_the_disk(&store, name.as_bytes()),
        "nothing is left to read"
    );
    assert_eq!(get(&own, &commitment).await, Err(Code::NotFound));
    let again = put(&own, 1, &name).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "it stays erased");
    let (after, _) = w.server.ledger().await.checkpoint().await.unwrap();
    assert_eq!(before, after, "the log is as it was");
    let request = wire::ListPrivateRequest {
        subject: gln(3),
        ..Default::default()
    };
    let page = own
        .private()
        .list_private(request)
        .await
        .unwrap()
        .into_inner();
    let erased = page.texts.iter().map(|text| text.erased);
    assert_eq!(erased.filter(|erased| *erased).count(), 1);
    assert_eq!(page.texts.len(), 2, "that it was there may be known");
    w.audited();

    // Until it is approved, whoever registers last has the id: nobody reads or writes by it.
    let (first, thief) = (key(41), key(42));
    for signer in [&first, &thief] {
        w.say(signer, register(signer, &gln(7), &[wire::Role::Seller]))
            .await;
    }
    let request = wire::ListPrivateRequest {
        subject: gln(7),
        ..Default::default()
    };
    let pending = w.server.as_party(&thief, &gln(7)).await;
    let status = pending.private().list_private(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);

    // What was kept long enough goes by itself.
    w.server.stop();
    let store = Store::open(&store.join("store"), &StoreOptions::default()).unwrap();
    let retention = Retention::default();
    let head = store.head().unwrap();
    let now = custody::sequence::now();
    assert_eq!(private::sweep(&store, now, &retention).unwrap(), 0);
    let later = Millis(now.0 + 1_097 * 86_400_000);
    assert_eq!(private::sweep(&store, later, &retention).unwrap(), 1);
    assert_eq!(private::sweep(&store, later, &retention).unwrap(), 0);
    // A crash between an erasure and its scrub is made up for.
    let mut lost = SideChanges::default();
    lost.put(b"gone".to_vec(), &0u8).unwrap();
    store.side_erase(Side::Private, lost).unwrap();
    assert!(store.side_owes_scrub(Side::Private).unwrap());
    let view = store.view();
    assert!(!store.side_scrub(Side::Private).unwrap(), "somebody reads");
    drop(view);
    assert!(store.side_owes_scrub(Side::Private).unwrap());
    assert!(store.side_scrub(Side::Private).unwrap());
    assert!(!store.side_owes_scrub(Side::Private).unwrap());
    assert_eq!(store.head().unwrap(), head);
}
