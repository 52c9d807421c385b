//! TLS: with a certificate the ledger speaks to those who trust its authority, and to nobody else.

mod common;

use std::path::Path;

use common::tls::Authority;
use common::{Server, Trade, all_accepted, commission, draft, unit};
use custody::client::{ClientError, Ledger, Session};
use custody::core::wire;

fn start(authority: &Authority, name: &str, folder: &Path) -> Server {
    let [cert, key] = authority.issue(name, folder);
    Server::start_with(&["--tls-cert", &cert, "--tls-key", &key])
}

/// Connects and asks for a checkpoint: a connection alone may not have spoken yet.
async fn ask(address: &str, ca: Option<&str>) -> Result<String, ClientError> {
    let ledger = Ledger::connect(address, ca.map(str::as_bytes)).await?;
    ledger.checkpoint().await.map(|(_, origin)| origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_server_with_a_certificate_when_a_client_trusts_its_authority_then_it_trades() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = start(&authority, "127.0.0.1", folder.path());
    assert!(server.address.starts_with("https://"), "{}", server.address);

    let ca = authority.pem();
    assert!(server.http.starts_with("https://"), "{}", server.http);
    let root = ureq::tls::Certificate::from_pem(ca.as_bytes()).unwrap();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let links = agent
        .get(format!("{}/.well-known/gs1resolver", server.http))
        .call();
    let links = links.unwrap().body_mut().read_to_string().unwrap();
    assert!(links.contains("\"resolverRoot\":\"https://"), "{links}");
    assert!(
        ureq::get(format!("{}/healthz", server.http))
            .call()
            .is_err(),
        "a stranger's authority"
    );
    let ledger = Ledger::connect(&server.address, Some(ca.as_bytes()))
        .await
        .unwrap();
    let mut session = Session::start(ledger.clone()).await.unwrap();
    let trade = Trade::set_up(&server, &mut session).await;
    let made = draft(&trade.maker, &[unit(1)], commission());
    all_accepted(session.submit(vec![made]).await.unwrap());
    let request = wire::GetProvenanceRequest {
        unit: unit(1).to_string(),
        ..Default::default()
    };
    let answer = ledger
        .provenance()
        .get_provenance(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        answer.standing.unwrap().word(),
        wire::StandingWord::Consistent
    );

    // The same by the command line.
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &ca).unwrap();
    let ca_file = ca_file.to_str().unwrap();
    let trace = server.run_ok(&["trace", "--ca", ca_file, &unit(1).to_string()]);
    assert!(trace.contains("CONSISTENT"), "{trace}");
    let output = server.run(&["trace", &unit(1).to_string()]);
    assert_eq!(
        output.status.code(),
        Some(3),
        "without --ca there is no connection"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_server_with_a_certificate_when_a_client_does_not_trust_it_then_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = start(&authority, "127.0.0.1", folder.path());
    let plain = server.address.replacen("https", "http", 1);
    let (own, other) = (authority.pem(), Authority::new().pem());
    let refused = [
        ("no authority", server.address.as_str(), None),
        ("another authority", &server.address, Some(other.as_str())),
        ("plaintext", &plain, None),
    ];
    for (case, address, ca) in refused {
        let error = ask(address, ca).await.expect_err(case);
        assert!(!error.to_string().is_empty(), "{case}");
    }
    // After all of them it still answers whoever does trust it.
    assert_eq!(
        ask(&server.address, Some(&own)).await.unwrap(),
        common::ORIGIN
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_certificate_for_another_name_when_a_client_connects_then_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = start(&authority, "192.0.2.1", folder.path());
    ask(&server.address, Some(&authority.pem()))
        .await
        .expect_err("the name is not that");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_plaintext_server_when_a_client_speaks_tls_then_it_is_refused() {
    let server = Server::start();
    let address = server.address.replacen("http", "https", 1);
    ask(&address, Some(&Authority::new().pem()))
        .await
        .expect_err("it speaks no TLS");
    assert_eq!(ask(&server.address, None).await.unwrap(), common::ORIGIN);
}
