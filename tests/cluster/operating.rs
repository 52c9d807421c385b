//! What an operator does: backups, restarts, TLS and users.

use std::sync::Arc;

use custody::client::Ledger;
use custody::core::wire;

use crate::common;
use crate::common::etcd::Etcd;
use crate::common::{Server, Trade};
use crate::world::{Cluster, checkpoint, eventually, metric, signed, trade_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_running_ledger_when_backed_up_then_the_copy_is_whole_and_can_be_served() {
    let server = Server::start();
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let size = trade_on(&server, &trade, 1..50).await;
    let folder = tempfile::tempdir().unwrap();
    let (copy, key) = (folder.path().join("copy"), server.data.join("log.key"));
    let [copy_text, key_text] = [&copy, &key].map(|path| path.to_str().unwrap());
    let backup = ["backup", "--log-key", key_text, "--into", copy_text];
    let said = server.run_ok(&backup);
    assert!(said.starts_with(&format!("ok: {size} entries")), "{said}");
    let again = server.run(&backup);
    assert_eq!(again.status.code(), Some(1), "a backup overwrites nothing");
    let log_key = server.log_key();
    server.run_ok(&["audit", "--data", copy_text, "--trust", &log_key]);
    // Without the key nobody gets one.
    let other = folder.path().join("other");
    common::init(&other);
    let other = other.join("log.key");
    let into = folder.path().join("stolen");
    let steal = [other.to_str().unwrap(), into.to_str().unwrap()];
    let stolen = server.run(&["backup", "--log-key", steal[0], "--into", steal[1]]);
    let said = String::from_utf8_lossy(&stolen.stderr).into_owned();
    assert_eq!(stolen.status.code(), Some(3), "{said}");
    assert!(!into.exists(), "nothing is left of it");
}

/// What a client does, as documented: the same envelope again, here or elsewhere, until it is answered.
async fn persist(nodes: &[String], envelope: &wire::Envelope) -> wire::Receipt {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    for node in nodes.iter().cycle() {
        assert!(std::time::Instant::now() < deadline, "an answer");
        let Ok(ledger) = Ledger::connect(node, None).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let request = wire::SubmitRequest {
            envelope: Some(envelope.clone()),
        };
        match ledger.ledger().submit(request).await {
            Ok(answer) => return answer.into_inner().receipt.unwrap(),
            // Unavailable is what is documented; the others are connections that broke.
            Err(status) => {
                let again = [
                    tonic::Code::Unavailable,
                    tonic::Code::Unknown,
                    tonic::Code::Cancelled,
                ];
                // A node that drains takes no further call on a connection (RFC 9113, section 6.8), which the library
                // calls internal: its own word, not the node's.
                let own = std::error::Error::source(&status);
                let own = own.is_some_and(|error| error.is::<tonic::transport::Error>());
                assert!(own || again.contains(&status.code()), "{status}");
            }
        }
    }
    unreachable!("there are nodes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_a_rolling_restart_when_a_client_retries_as_documented_then_no_record_fails() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    // Ports of their own, so that a node that comes back is where it was.
    let ports: Vec<String> = (0..3)
        .map(|_| format!("127.0.0.1:{}", common::etcd::free_port()))
        .collect();
    let start =
        |at: usize| cluster.start_at(u32::try_from(at).unwrap() + 1, &["--listen", &ports[at]]);
    let mut servers: Vec<Server> = (0..3).map(start).collect();
    let mut session = servers[0].session().await;
    let trade = Trade::set_up(&servers[0], &mut session).await;
    let size = trade_on(&servers[0], &trade, 9_000_000..9_000_001).await;
    for server in &servers {
        checkpoint(server, size).await;
    }
    drop(session);
    let nodes: Vec<String> = ports.iter().map(|port| format!("http://{port}")).collect();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0_u8..3)
        .map(|client| {
            let (mut nodes, done) = (nodes.clone(), Arc::clone(&done));
            nodes.rotate_left(client.into());
            let trade_key = Arc::clone(&trade.maker);
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let serial = u64::from(client) * 1_000_000 + receipts.len() as u64;
                    let envelope = signed(&trade_key, serial).to_wire();
                    receipts.push(persist(&nodes, &envelope).await);
                }
                receipts
            })
        })
        .collect();
    for (at, server) in servers.iter_mut().enumerate() {
        assert!(server.stop().success(), "it drains, and ends well");
        *server = start(at);
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut receipts = Vec::new();
    for client in clients {
        receipts.extend(client.await.unwrap());
    }
    let indexes: std::collections::BTreeSet<u64> = receipts.iter().map(|r| r.log_index).collect();
    assert_eq!(
        indexes.len(),
        receipts.len(),
        "each record has an index of its own"
    );
    let size = indexes.last().unwrap() + 1;
    assert_eq!(
        checkpoint(&servers[0], size).await,
        checkpoint(&servers[2], size).await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_an_etcd_with_tls_and_users_when_told_of_them_then_the_node_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let authority = common::tls::Authority::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let [cert, key] = authority.issue("127.0.0.1", folder.path());
    let ca = ca.to_str().unwrap();
    let tls = [
        "--cert-file",
        &cert,
        "--key-file",
        &key,
        "--trusted-ca-file",
        ca,
    ];
    let Some(etcd) = Etcd::start_with("https", &[&tls[..], &["--client-cert-auth"]].concat())
    else {
        return;
    };
    let pem = |path: &str| std::fs::read(path).unwrap();
    let identity = etcd_client::Identity::from_pem(pem(&cert), pem(&key));
    let options = etcd_client::TlsOptions::new()
        .ca_certificate(etcd_client::Certificate::from_pem(pem(ca)))
        .identity(identity);
    let options = etcd_client::ConnectOptions::new().with_tls(options);
    let endpoint = etcd.address().replace("etcd://", "https://");
    let mut client = etcd_client::Client::connect([endpoint], Some(options))
        .await
        .unwrap();
    for (user, role) in [("root", "root"), ("custody", "custody")] {
        client.user_add(user, "secret", None).await.unwrap();
        client.role_add(role).await.unwrap();
        client.user_grant_role(user, role).await.unwrap();
    }
    // Its own keys, and no others.
    let permission = etcd_client::Permission::read_write("custody/").with_prefix();
    client
        .role_grant_permission("custody", permission)
        .await
        .unwrap();
    client.auth_enable().await.unwrap();

    let data = folder.path().join("ledger");
    common::init(&data);
    let (config, password) = (
        folder.path().join("config.toml"),
        folder.path().join("password"),
    );
    let cluster = format!(
        "[cluster]\netcd = \"{}\"\nnode = \"one\"\nuser = \"custody\"\npassword_file = \"{}\"\nca = \"{ca}\"\n\
         cert = \"{cert}\"\nkey = \"{key}\"\n",
        etcd.address(),
        password.display()
    );
    std::fs::write(&config, &cluster).unwrap();
    std::fs::write(&password, "wrong\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let refused = Server::try_spawn(common::custody(), &data, &arguments).err();
    assert!(refused.expect("a wrong password").contains("etcd"));
    std::fs::write(&password, "secret\n").unwrap();
    let server = Server::open(&data, &arguments);
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    trade_on(&server, &trade, 1..10).await;
    eventually(
        || metric(&server, "custody_cluster_alive_nodes") > 0.5,
        "it beats",
    );
}
