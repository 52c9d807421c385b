//! What a node does when etcd, another node or its own store is not as it should be.

use std::sync::Arc;

use custody::commit::Committer;
use custody::sequence::Group;
use custody::store::{Store, StoreOptions};

use crate::common;
use crate::common::{Server, Trade, commission, draft, unit};
use crate::world::{Cluster, admitted, checkpoint, copy, eventually, metric, trade_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_an_etcd_that_was_set_back_when_nodes_notice_then_none_signs_until_it_is_reset() {
    let Some(mut cluster) = Cluster::new() else {
        return;
    };
    let (mut first, trade) = cluster.founded().await;
    let (mut second, mut third) = (cluster.start(2), cluster.start(3));
    assert!(third.stop().success());
    // A backup of etcd, and more records after it.
    cluster.etcd.kill();
    let backup = cluster.folder.path().join("backup");
    copy(&cluster.etcd.data(), &backup);
    cluster.etcd.start_again();
    let size = trade_on(&first, &trade, 1..10).await;
    let before = checkpoint(&second, size).await;
    cluster.etcd.kill();
    std::fs::remove_dir_all(cluster.etcd.data()).unwrap();
    copy(&backup, &cluster.etcd.data());
    cluster.etcd.start_again();
    // Both end, and say why; so do they when they are started again.
    first.wait();
    second.wait();
    assert!(first.log().contains("was set back"), "{}", first.log());
    for node in [1, 2] {
        let error = cluster.try_start(node).err().expect("it must not serve");
        assert!(error.contains("custody cluster reset"), "{error}");
    }
    // One that was behind the backup can't know, and is told.
    let error = cluster.try_start(3).err().expect("it must not serve");
    assert!(error.contains("halted"), "{error}");
    let data = first.data.to_str().unwrap().to_owned();
    let etcd = cluster.etcd.address();
    let reset = ["cluster", "reset", "--data", &data, "--cluster", &etcd];
    let said = first.run_ok(&reset);
    assert!(said.contains(&format!("{size} entries")), "{said}");
    let (first, second) = (cluster.start(1), cluster.start(2));
    assert_eq!(
        checkpoint(&second, size).await,
        before,
        "what was signed stays"
    );
    let size = trade_on(&second, &trade, 20..30).await;
    assert_eq!(
        checkpoint(&first, size).await,
        checkpoint(&second, size).await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_whose_log_differs_when_it_meets_the_others_then_it_stops_and_says_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let (_second, mut third) = (cluster.start(2), cluster.start(3));
    assert!(third.stop().success());
    // A record that only the third has: a bug, a flipped bit, or an operator.
    {
        let store = Store::open(&third.data.join("store"), &StoreOptions::default());
        let store = Arc::new(store.unwrap());
        let (mut committer, _) = Committer::new(Arc::clone(&store), 16).unwrap();
        let id = store.last_group().unwrap();
        let (reply, _) = custody::sequence::Reply::new();
        let submission = custody::sequence::Submission {
            records: vec![admitted(&trade, 7)],
            reply,
            places: None,
            trip: None,
        };
        let group = Group {
            id,
            time: custody::sequence::now(),
            submissions: vec![submission],
            ..Group::default()
        };
        committer.commit(group).unwrap();
    }
    let started = cluster.try_start(3);
    trade_on(&first, &trade, 50..60).await;
    if let Ok(mut third) = started {
        third.wait();
        assert!(third.log().contains("differs from"), "{}", third.log());
    }
    let log = std::fs::read_to_string(cluster.data(3).with_extension("log")).unwrap();
    assert!(log.contains("differs from"), "{log}");
    trade_on(&first, &trade, 60..70).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_store_of_a_cluster_when_served_alone_then_it_is_refused() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let mut first = cluster.start(1);
    assert!(first.stop().success());
    if std::env::var("CUSTODY_TEST_ORDER").is_ok() {
        return; // Then no server is alone.
    }
    let error = Server::try_spawn(common::custody(), &first.data, &[]).err();
    let error = error.expect("it must not serve");
    assert!(error.contains("part of a cluster"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_that_is_away_when_groups_pile_up_then_they_are_kept_for_it_and_then_deleted()
{
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut second = cluster.start(2);
    let kept = || metric(&first, "custody_cluster_kept_groups");
    eventually(
        || metric(&first, "custody_cluster_alive_nodes") > 1.5,
        "both are seen",
    );
    eventually(|| kept() < 0.5, "what both have is deleted");
    second.kill();
    for serial in 1..40 {
        trade_on(&first, &trade, serial..serial + 1).await;
    }
    eventually(
        || metric(&first, "custody_cluster_alive_nodes") < 1.5,
        "it is missed",
    );
    assert!(
        kept() > 30.0,
        "groups are kept while its lease lasts: {}",
        kept()
    );
    let size = trade_on(&first, &trade, 100..101).await;
    let second = cluster.start(2);
    assert_eq!(
        checkpoint(&second, size).await,
        checkpoint(&first, size).await
    );
    eventually(|| kept() < 0.5, "what both have is deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_an_etcd_that_is_gone_when_a_record_is_sent_then_it_is_refused_until_etcd_is_back() {
    let Some(mut cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut session = first.session().await;
    let leader = || metric(&first, "custody_cluster_etcd_leader");
    eventually(|| leader() > 0.5, "it has a leader");
    let term = metric(&first, "custody_cluster_etcd_term");
    cluster.etcd.kill();
    eventually(|| leader() < 0.5, "it has none");
    let record = draft(&trade.maker, &[unit(1)], commission());
    let refused = session.submit(vec![record]).await.unwrap().remove(0);
    assert_eq!(refused.unwrap_err().reason, "ORDER_UNAVAILABLE");
    cluster.etcd.start_again();
    eventually(|| leader() > 0.5, "it has one again");
    assert!(metric(&first, "custody_cluster_etcd_term") > term);
    trade_on(&first, &trade, 2..4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_two_nodes_of_one_name_when_both_run_then_one_stops_and_says_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (mut first, mut second) = (cluster.start(1), cluster.start(2));
    assert!(second.stop().success());
    let mut twin = cluster.start_at(2, &["--node", "n1"]);
    let ended = |server: &mut Server| server.ended();
    eventually(|| ended(&mut first) || ended(&mut twin), "one stops");
    let said = format!("{}{}", first.log(), twin.log());
    assert!(
        said.contains("another node runs under the name n1"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_history_that_somebody_else_compacts_when_the_cluster_goes_on_then_so_does_compacting()
 {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let endpoint = cluster.etcd.address().replace("etcd:", "http:");
    let client = etcd_client::Client::connect([endpoint], None).await;
    let mut etcd = client.unwrap().kv_client();
    // Further each time than the node would: what it asks for next is refused.
    for serial in [10, 20, 30] {
        trade_on(&first, &trade, serial..serial + 2).await;
        let written = etcd.put("other", "value", None).await.unwrap();
        let revision = written.header().unwrap().revision();
        etcd.compact(revision, None).await.unwrap();
        // What was there then is gone again when the node has compacted further.
        let then = etcd_client::GetOptions::new().with_revision(revision);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while etcd.get("other", Some(then.clone())).await.is_ok() {
            assert!(std::time::Instant::now() < deadline, "it compacts no more");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_cluster_that_begins_again_before_any_group_when_records_come_then_groups_are_deleted()
 {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    // As after a ledger was rebuilt from its archive, or restored from a backup of one process.
    let data = cluster.data(1);
    let (address, data) = (cluster.etcd.address(), data.to_str().unwrap());
    let reset = ["cluster", "reset", "--data", data, "--cluster", &address];
    let reset = common::custody().args(reset).output().unwrap();
    assert!(reset.status.success(), "{reset:?}");
    let (first, trade) = cluster.founded().await;
    trade_on(&first, &trade, 1..10).await;
    let kept = || metric(&first, "custody_cluster_kept_groups");
    eventually(|| kept() < 0.5, "what every node has is deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_of_another_log_when_it_starts_then_it_is_a_stranger_and_nobody_else_stops() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    // Before there is any group.
    let first = cluster.start(1);
    common::init(&cluster.data(2));
    let error = cluster.try_start(2).err().expect("it must not serve");
    assert!(
        error.contains("is not the one that the cluster began with"),
        "{error}"
    );
    let trade = Trade::set_up(&first, &mut first.session().await).await;
    trade_on(&first, &trade, 1..4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_new_node_with_a_name_in_use_when_it_joins_then_it_is_refused_and_nobody_else_stops()
 {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (mut first, trade) = cluster.founded().await;
    eventually(
        || metric(&first, "custody_cluster_alive_nodes") > 0.5,
        "it beats",
    );
    let twin = cluster.try_start_at(2, &["--node", "n1"]).err();
    let twin = twin.expect("it must not serve");
    assert!(
        twin.contains("another node runs under the name n1"),
        "{twin}"
    );
    assert!(!first.ended());
    trade_on(&first, &trade, 1..4).await;
}
