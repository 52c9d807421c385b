//! Records at all nodes at once: whose turn it is, one log, and one's own writes read on any node.

use std::sync::Arc;

use custody::api::session::{AT_LEAST, GROUP, LOG_SIZE};
use custody::client::{Ledger, Session};
use custody::core::wire;
use tonic::Request;

use crate::common;
use crate::common::{Server, all_accepted, commission, draft, unit};
use crate::world::{Cluster, checkpoint, eventually, holds, trade_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_node_that_is_flooded_when_another_has_a_record_then_it_gets_its_turn() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut session = first.session().await;
    let second = cluster.start(2);
    let maker = Arc::clone(&trade.maker);
    let flood = tokio::spawn(async move {
        let units = (1..30_000).map(unit);
        let drafts = units.map(|unit| draft(&maker, &[unit], commission()));
        all_accepted(session.submit(drafts.collect()).await.unwrap()).len()
    });
    let mut other = second.session().await;
    let mut turns = 0;
    while !flood.is_finished() {
        let record = draft(&trade.maker, &[unit(100_000 + turns)], commission());
        all_accepted(other.submit(vec![record]).await.unwrap());
        turns += 1;
    }
    assert_eq!(flood.await.unwrap(), 29_999);
    assert!(turns > 10, "it was heard {turns} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_three_nodes_when_all_are_flooded_at_once_then_every_record_is_acknowledged() {
    const EACH: u64 = 15_000;
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let nodes = [first, cluster.start(2), cluster.start(3)];
    let floods: Vec<_> = (0..)
        .zip(&nodes)
        .map(|(at, node)| {
            let (maker, ledger) = (Arc::clone(&trade.maker), node.address.clone());
            tokio::spawn(async move {
                let ledger = Ledger::connect(&ledger, None).await.unwrap();
                let mut session = Session::start(ledger).await.unwrap();
                let units = (at * EACH..(at + 1) * EACH).map(unit);
                let drafts = units.map(|unit| draft(&maker, &[unit], commission()));
                all_accepted(session.submit(drafts.collect()).await.unwrap())
            })
        })
        .collect();
    let mut size = 0;
    for flood in floods {
        let receipts = flood.await.unwrap();
        let last = receipts.iter().map(|receipt| receipt.log_index).max();
        size = size.max(last.unwrap() + 1);
    }
    for node in &nodes {
        assert_eq!(
            checkpoint(node, size).await,
            checkpoint(&nodes[0], size).await
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_three_nodes_when_each_takes_records_and_one_dies_then_all_have_one_log() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (mut first, trade) = cluster.founded().await;
    let size = trade_on(&first, &trade, 1..20).await;
    // The others join while the first goes on.
    let (mut second, third) = (cluster.start(2), cluster.start(3));
    assert_eq!(
        checkpoint(&first, size).await,
        checkpoint(&second, size).await
    );
    let mut size = 0;
    let nodes = [&first, &second, &third];
    for (serial, node) in (100..).step_by(100).zip(nodes) {
        size = size.max(trade_on(node, &trade, serial..serial + 20).await);
    }
    let notes = [
        checkpoint(&first, size).await,
        checkpoint(&third, size).await,
    ];
    assert_eq!(notes[0], notes[1], "one root, one signature");
    // One dies at once, and one is stopped; the last one goes on, and they come back.
    second.kill();
    let size = trade_on(&third, &trade, 400..420).await;
    assert!(first.stop().success());
    let size = size.max(trade_on(&third, &trade, 500..520).await);
    let (first, second) = (cluster.start(1), cluster.start(2));
    for node in [&first, &second, &third] {
        assert_eq!(checkpoint(node, size).await, checkpoint(&first, size).await);
        let audit = ["audit", "--json", "--key"];
        let (key, log_key) = (node.data.join("regulator.key"), node.log_key());
        let more = [key.to_str().unwrap(), "--trust", &log_key];
        let audit: serde_json::Value =
            serde_json::from_str(&node.run_ok(&[&audit[..], &more].concat())).unwrap();
        assert_eq!(audit["passed"], true);
        assert_eq!(audit["entries"], size);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_receipt_when_read_elsewhere_with_its_token_then_the_record_is_there() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let mut session = first.session().await;
    let second = cluster.start(2);
    let elsewhere = second.ledger().await;
    for serial in 0..50 {
        let drafts = vec![draft(&trade.maker, &[unit(serial)], commission())];
        let receipt = all_accepted(session.submit(drafts).await.unwrap()).remove(0);
        let mut request = Request::new(wire::GetProvenanceRequest {
            unit: unit(serial).to_string(),
            ..Default::default()
        });
        let token = receipt.log_index + 1;
        request.metadata_mut().insert(AT_LEAST, token.into());
        let answer = elsewhere
            .provenance()
            .get_provenance(request)
            .await
            .unwrap();
        let told = |name: &str| -> u64 {
            let value = answer.metadata().get(name).expect(name);
            value.to_str().unwrap().parse().unwrap()
        };
        assert!(told(LOG_SIZE) >= token);
        assert!(told(GROUP) > 0);
    }
    // What is not there yet is waited for, and then refused as something to try again.
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request.metadata_mut().insert(AT_LEAST, 1_000_000.into());
    let status = elsewhere.log().get_checkpoint(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    let mut request = Request::new(wire::GetCheckpointRequest {});
    request
        .metadata_mut()
        .insert(AT_LEAST, "many".parse().unwrap());
    let status = elsewhere.log().get_checkpoint(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_the_addresses_of_nodes_when_the_first_are_gone_then_the_next_one_answers() {
    let server = Server::start();
    let gone = format!("http://127.0.0.1:{}", common::etcd::free_port());
    let nodes = format!("{gone},nonsense, {},{gone}", server.address);
    let said = common::custody()
        .env("CUSTODY_LEDGER", &nodes)
        .args(["party", "list", "--json"])
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let none = Ledger::connect(&format!("{gone},{gone}"), None).await;
    assert!(none.is_err_and(|error| error.to_string().contains("no connection")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_text_beside_the_log_when_put_and_erased_then_every_node_does_so() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first, trade) = cluster.founded().await;
    let second = cluster.start(2);
    let (here, there) = (
        first.as_party(&trade.maker, common::MAKER).await,
        second.as_party(&trade.maker, common::MAKER).await,
    );
    let put = wire::PutPrivateRequest {
        subject: common::MAKER.into(),
        class: wire::RetentionClass::Registration.into(),
        salt: vec![7; 16],
        text: "Zhang San, Fuzhou".into(),
    };
    let text = here
        .private()
        .put_private(put)
        .await
        .unwrap()
        .into_inner()
        .text
        .unwrap();
    let get = wire::GetPrivateRequest {
        subject: common::MAKER.into(),
        commitment: text.commitment.clone(),
    };
    // Another write through the order, after which the other node has the text as well.
    let size = trade_on(&first, &trade, 1..2).await;
    checkpoint(&second, size).await;
    let got = there
        .private()
        .get_private(get.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(got.text, "Zhang San, Fuzhou");
    let erase = wire::ErasePrivateRequest {
        subject: common::MAKER.into(),
        commitment: text.commitment,
    };
    there.private().erase_private(erase).await.unwrap();
    let size = trade_on(&second, &trade, 2..3).await;
    checkpoint(&first, size).await;
    let gone = here.private().get_private(get).await.unwrap_err();
    assert_eq!(gone.code(), tonic::Code::NotFound, "{gone}");
    // Neither etcd's files nor the other node's hold it.
    for folder in [cluster.etcd.data(), first.data.join("store")] {
        eventually(
            || !holds(&folder, b"Zhang San, Fuzhou"),
            "the text is off the disk",
        );
    }
}
