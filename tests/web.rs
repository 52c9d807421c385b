//! What is served over HTTP: pages, forms of an answer, the log, limits. What a browser makes of it is tested
//! in `tests/browser`.

mod common;

use common::*;
use custody::core::tlog::checkpoint::Checkpoint;
use custody::core::tlog::tile::{decode_bundle, decode_tile};
use custody::core::tlog::{Hash, leaf_hash, node_hash};
use custody::core::wire::record::Body;
use custody::core::{bundle, wire};

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Got {
    http(("GET", &format!("{}{path}", server.http)), headers, ())
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
    http(("POST", &format!("{}{path}", server.http)), headers, body)
}

/// A ledger with unit 1 in transit, unit 2 touched by a stranger, unit 3 called back, unit 4 destroyed and unit 5
/// past its last day of use.
async fn goods(arguments: &[&str]) -> (Server, Trade) {
    let server = Server::start_with(arguments);
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let attributes = wire::Attributes {
        lot: "L26".into(),
        expiry: 20_280_101,
        lot_size: 10,
        ..Default::default()
    };
    let commission = Body::Commission(wire::Commission {
        attributes: Some(attributes),
        ..Default::default()
    });
    let old = Body::Commission(wire::Commission {
        attributes: Some(wire::Attributes {
            expiry: 20_250_101,
            ..Default::default()
        }),
        ..Default::default()
    });
    let recall = Body::Recall(wire::Recall {
        reason: "Glass found in <b>one</b> jar".into(),
        notice: "2026-7".into(),
        ..Default::default()
    });
    let drafts = vec![
        draft(&trade.maker, &[unit(1), unit(2), unit(3)], commission),
        draft(&trade.maker, &[unit(1)], handover(COURIER)),
        draft(&trade.scanner, &[unit(1)], accept()),
        draft(&trade.maker, &[unit(3)], recall),
        draft(&trade.maker, &[unit(4)], common::commission()),
        draft(
            &trade.maker,
            &[unit(4)],
            Body::Destroy(wire::Destroy::default()),
        ),
        draft(&trade.maker, &[unit(5)], old),
    ];
    all_accepted(session.submit(drafts).await.unwrap());
    let theft = custody::client::Draft {
        advances: false,
        ..draft(&trade.stranger, &[unit(2)], scan())
    };
    all_accepted(session.submit(vec![theft]).await.unwrap());
    (server, trade)
}

fn path(serial: u64) -> String {
    unit(serial).to_digital_link("")
}

#[tokio::test(flavor = "multi_thread")]
async fn given_units_when_their_links_are_opened_then_the_page_says_the_verdict_in_the_readers_language()
 {
    let (server, _) = goods(&[]).await;
    for (path, zh, en) in [
        (path(1), "在途", "In transit"),
        (path(2), "有疑点", "Suspect"),
        (path(3), "已召回", "Recalled"),
        (path(4), "已终结", "Ended"),
        (path(5), "验证通过", "Consistent"),
        (path(99), "未查到", "Not found"),
    ] {
        let chinese = get(&server, &path, &[("accept", "text/html")]);
        let english = get(&server, &path, &[("accept-language", "en-GB,en;q=0.9")]);
        for (page, word, tag) in [(&chinese, zh, "zh-CN"), (&english, en, "en")] {
            assert_eq!(page.status, 200, "{path}");
            assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
            assert_eq!(page.header("content-language"), tag);
            let title = format!("id=\"verdict\">{word}</h1>");
            assert!(page.text().contains(&title), "{path}: {}", page.text());
            assert!(
                page.header("content-security-policy")
                    .contains("default-src 'none'")
            );
            let elsewhere = page.text().matches("://").count();
            assert_eq!(
                elsewhere,
                0,
                "nothing leads to other hosts: {}",
                page.text()
            );
        }
        let chosen = get(
            &server,
            &format!("{path}?lang=en"),
            &[("accept-language", "zh")],
        );
        assert!(chosen.text().contains(en) && chosen.header("set-cookie").starts_with("lang=en;"));
        let kept = get(
            &server,
            &path,
            &[("accept-language", "zh"), ("cookie", "lang=en")],
        );
        assert!(kept.text().contains(en));
    }
    for (path, past) in [(path(5), true), (path(1), false)] {
        let page = get(&server, &path, &[("accept-language", "en")]);
        assert_eq!(
            page.text().contains("Past its last day of use"),
            past,
            "{path}"
        );
    }
    let recalled = get(&server, &path(3), &[("accept-language", "en")]);
    let text = recalled.text();
    assert!(
        text.contains("Recall notice") && text.contains("2026-7"),
        "{text}"
    );
    assert!(
        !text.contains("<b>one</b>"),
        "what a record says is text, not markup: {text}"
    );
    assert!(
        text.contains("2028-01-01") && text.contains("L26"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_address_when_programs_ask_then_they_get_the_form_that_they_take() {
    let (server, _) = goods(&[]).await;
    let (path, id) = (path(1), unit(1).to_string());
    let verdict = get(&server, &path, &[("accept", "application/json")]);
    assert_eq!(verdict.header("vary"), "accept");
    assert_eq!(verdict.json()["standing"]["word"], "IN_TRANSIT");
    assert_eq!(verdict.json()["steps"].as_array().unwrap().len(), 3);
    let unknown = get(&server, "/01/10614141123459/21/404?as=json", &[]);
    assert_eq!(
        (unknown.status, &unknown.json()["standing"]["word"]),
        (200, &"UNKNOWN".into())
    );

    let events = get(&server, &path, &[("accept", "application/ld+json")]);
    let read = custody::epcis::import(&events.body).unwrap();
    let steps: Vec<String> = read
        .events
        .into_iter()
        .map(|event| event.event_type)
        .collect();
    assert_eq!(steps, ["ObjectEvent", "ObjectEvent", "ObjectEvent"]);

    let strangers = get(
        &server,
        &unit(2).to_digital_link(""),
        &[("accept", "application/ld+json")],
    );
    let steps = custody::epcis::import(&strangers.body)
        .unwrap()
        .events
        .len();
    assert_eq!(steps, 1, "what a stranger said is no step of the way");

    let bundle_type = "application/vnd.custody.unit-bundle.v1+protobuf";
    let proof = get(&server, &path, &[("accept", bundle_type)]);
    assert_eq!(proof.header("content-type"), bundle_type);
    let report = bundle::verify(&proof.body, &[server.log_key().parse().unwrap()]);
    assert!(report.passed(), "{report:?}");
    assert_eq!(report.standing.unwrap().unit, unit(1));
    let none = get(&server, "/01/10614141123459/21/404?as=bundle", &[]);
    assert_eq!(
        (none.status, none.header("content-type")),
        (404, "application/problem+json")
    );

    for query in ["?linkType=all", "?linkType=linkset", "?as=linkset"] {
        let set = get(
            &server,
            &format!("{path}{query}"),
            &[("host", "trace.example")],
        );
        assert_eq!(set.header("content-type"), "application/linkset+json");
        let links = &set.json()["linkset"][0];
        assert_eq!(links["anchor"], format!("http://trace.example/{id}"));
        for link in links["https://gs1.org/voc/verificationService"]
            .as_array()
            .unwrap()
        {
            let href = link["href"]
                .as_str()
                .unwrap()
                .replace("http://trace.example", "");
            let there = get(&server, &href, &[]);
            assert_eq!(link["type"], there.header("content-type"), "{href}");
        }
    }
    for (headers, query, status) in [
        (("accept", "image/png"), "", 406),
        (("accept", "*/*"), "?as=pdf", 400),
        (("accept", "application/json"), "?page_token=x", 400),
    ] {
        let refused = get(&server, &format!("{path}{query}"), &[headers]);
        assert_eq!(refused.status, status);
        assert_eq!(
            refused.json()["status"],
            status,
            "RFC 9457: {}",
            refused.text()
        );
    }
    let resolver = get(&server, "/.well-known/gs1resolver", &[]).json();
    assert_eq!(
        resolver["supportedPrimaryKeys"],
        serde_json::json!(["01", "00"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_public_url_when_links_are_made_then_they_lead_there_whatever_the_caller_called_it()
{
    let (server, _) = goods(&["--public-url", "https://trace.example/"]).await;
    let set = get(
        &server,
        &format!("{}?as=linkset", path(1)),
        &[("host", "evil.example")],
    );
    let anchor = format!("https://trace.example/{}", unit(1));
    assert_eq!(set.json()["linkset"][0]["anchor"], anchor);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_codes_that_cannot_be_read_when_opened_then_the_page_blames_the_code_and_not_the_goods()
 {
    let (server, _) = goods(&[]).await;
    for path in [
        "/01/10614141123458/21/1",
        "/01/10614141123459/21/%20",
        "/01/10614141123459/21/1/10/L26",
        "/00/106141412345678909",
        "/waybill/nobody",
        "/drug/1",
        "/01/10614141123459/99/1/21/2",
    ] {
        let page = get(&server, path, &[("accept-language", "en")]);
        assert_eq!(page.status, 400, "{path}: {}", page.text());
        assert!(
            page.text().contains("It says nothing about the goods"),
            "{path}"
        );
        let json = get(&server, path, &[("accept", "application/json")]);
        assert_eq!(
            (json.status, json.header("content-type")),
            (400, "application/problem+json")
        );
    }
    let found = get(
        &server,
        &format!("/find?code={}", "(01)10614141123459(21)1"),
        &[],
    );
    assert_eq!(
        (found.status, found.header("location")),
        (303, path(1).as_str())
    );
    assert_eq!(get(&server, "/find?code=nonsense", &[]).status, 400);
    assert_eq!(get(&server, "/nowhere", &[]).status, 404);
    assert_eq!(get(&server, "/", &[]).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_lot_when_its_link_is_opened_then_it_tells_of_the_lot_and_another_lot_on_a_label_is_said()
 {
    let (server, trade) = goods(&[]).await;
    let english = [("accept-language", "en")];
    let lot = get(&server, "/01/10614141123459/10/L26", &english);
    for text in ["No notice", "Tea", "3 / 10"] {
        assert!(lot.text().contains(text), "{text}: {}", lot.text());
    }
    let nobody = get(&server, "/01/9521141012345", &english);
    assert!(
        nobody.text().contains("No firm was approved"),
        "{}",
        nobody.text()
    );
    let recall = Body::Recall(wire::Recall {
        scope: Some(wire::Scope {
            scope: Some(wire::scope::Scope::Lot(wire::LotScope {
                product: "10614141123459".into(),
                lot: "L26".into(),
            })),
        }),
        notice: "2026-8".into(),
        ..Default::default()
    });
    let mut session = server.session().await;
    all_accepted(
        session
            .submit(vec![draft(&trade.maker, &[], recall)])
            .await
            .unwrap(),
    );
    let lot = get(&server, "/01/10614141123459/10/L26?x=1", &english);
    assert!(
        lot.text().contains("Recall notice") && lot.text().contains("2026-8"),
        "{}",
        lot.text()
    );
    let product = get(&server, "/01/10614141123459", &english);
    assert!(
        product.text().contains("No notice"),
        "the lot's recall is not the product's"
    );
    let fake = get(&server, "/01/10614141123459/10/L26/21/FAKE", &english);
    assert!(
        fake.text().contains("Not found") && fake.text().contains("2026-8"),
        "a code that nobody made, with the label of a lot that was called back"
    );
    let unmade = get(&server, "/01/10614141123459/10/NEVER", &english);
    assert!(
        unmade.text().contains("no item of this lot"),
        "{}",
        unmade.text()
    );

    let same = get(&server, "/01/10614141123459/10/L26/21/1", &english);
    assert!(!same.text().contains("The label and the record differ"));
    let other = get(&server, "/01/10614141123459/10/L27/21/1", &english);
    assert!(
        other.text().contains("The label and the record differ"),
        "{}",
        other.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_the_log_over_http_when_read_by_a_monitor_then_its_tiles_lead_to_the_signed_root() {
    let (server, trade) = goods(&[]).await;
    let note = get(&server, "/checkpoint", &[]);
    assert_eq!(note.header("content-type"), "text/plain; charset=utf-8");
    let trusted = [server.log_key().parse().unwrap()];
    let checkpoint = Checkpoint::verify(&note.body, &trusted, ORIGIN).unwrap();
    let size = u16::try_from(checkpoint.size().get()).unwrap();
    let tile = get(&server, &format!("/tile/0/000.p/{size}"), &[]);
    assert_eq!(
        tile.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    let hashes = decode_tile(&tile.body, size).unwrap();
    assert_eq!(root(&hashes), checkpoint.root());

    let entries = format!("/tile/entries/000.p/{size}");
    assert_eq!(get(&server, &entries, &[]).status, 401);
    let life = std::time::Duration::from_secs(60);
    let bearer = |signer: &custody::core::signature::Signer, party: &str| {
        let party = party.parse().unwrap();
        let token = custody::api::token::make(signer, party, ORIGIN, life).unwrap();
        format!("Bearer {token}")
    };
    let courier = bearer(&trade.courier, COURIER);
    assert_eq!(
        get(&server, &entries, &[("authorization", &courier)]).status,
        403
    );
    let regulator = bearer(&server.regulator_key(), REGULATOR);
    let read = get(&server, &entries, &[("authorization", &regulator)]);
    assert_eq!(read.status, 200);
    assert!(read.header("cache-control").starts_with("private"));
    let leaves: Vec<Hash> = decode_bundle(&read.body)
        .unwrap()
        .into_iter()
        .map(leaf_hash)
        .collect();
    assert_eq!(leaves, hashes);

    for path in [
        "/tile/0/000",
        "/tile/0/001.p/1",
        "/tile/1/000.p/1",
        "/tile/9/000.p/1",
        "/tile/63/x018/x446/744.p/1",
        "/tile/0/0",
        "/tile/x/000",
    ] {
        assert_eq!(get(&server, path, &[]).status, 404, "{path}");
    }
}

/// RFC 9162, section 2.1.1.
fn root(hashes: &[Hash]) -> Hash {
    if let [hash] = hashes {
        return *hash;
    }
    let split = hashes.len().next_power_of_two() / 2;
    node_hash(&root(&hashes[..split]), &root(&hashes[split..]))
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_limit_when_one_network_asks_too_often_then_it_waits_and_others_are_served() {
    let (server, _) = goods(&["--look-up-rate", "1", "--proxies", "1"]).await;
    let from = |forwarded: &str| get(&server, &path(1), &[("x-forwarded-for", forwarded)]);
    let refused = (0..100)
        .map(|_| from("10.9.9.9, 10.1.1.1"))
        .find(|got| got.status == 429);
    let refused = refused.expect("a hundred at once are too many");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json()["status"], 429);
    assert_eq!(
        from("10.1.1.200, 10.1.1.77").status,
        429,
        "a neighbour is the same network"
    );
    assert_eq!(
        from("10.1.1.1, 10.2.2.2").status,
        200,
        "only what the own proxy wrote counts"
    );
    for path in ["/checkpoint", "/healthz", "/"] {
        let other = get(&server, path, &[("x-forwarded-for", "10.1.1.1")]);
        assert_eq!(other.status, 200, "{path} is no look-up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_look_ups_when_a_unit_is_opened_again_then_it_says_how_often_and_that_survives_a_restart()
 {
    let (mut server, _) = goods(&[]).await;
    let english = [("accept-language", "en")];
    // A page that somebody just asked for is sent again for a second; another address is another page.
    let page = |server: &Server, n: u8| {
        let address = format!("{}?n={n}", path(1));
        get(server, &address, &english).text().to_owned()
    };
    assert!(page(&server, 1).contains("This is the first look-up of this code."));
    get(&server, &format!("{}?as=bundle", path(1)), &[]);
    get(&server, &format!("{}?as=json", path(1)), &[]);
    assert!(
        page(&server, 2).contains("looked up before: <b>1</b> time, on"),
        "what programs ask is no look-up"
    );
    server.stop();
    let again = Server::open(&server.data, &[]);
    assert!(page(&again, 3).contains("<b>2</b> times"));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_page_when_its_files_are_fetched_then_each_is_there_small_and_kept() {
    let (server, _) = goods(&[]).await;
    let page = get(&server, &path(1), &[]);
    let text = page.text();
    let files: Vec<&str> = text
        .split(['"', '\''])
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let got = get(&server, file, &[("accept-encoding", "gzip")]);
        assert_eq!(got.status, 200, "{file}");
        assert_eq!(
            got.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(got.header("x-content-type-options"), "nosniff");
    }
    let old = get(&server, "/assets/0000/css/custody.css", &[]);
    assert_eq!((old.status, old.header("cache-control")), (200, "no-cache"));
    for path in ["/assets/0000/none.css", "/assets/0000/../../Cargo.toml"] {
        assert_eq!(get(&server, path, &[]).status, 404);
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn given_a_platform_without_grpc_when_it_posts_json_then_the_same_services_answer() {
    let (server, trade) = goods(&[]).await;
    let heads = "/custody.v1.LedgerService/GetHeads";
    let asked = format!(r#"{{"units":["{}"]}}"#, unit(1));
    let got = post(&server, heads, &[JSON], &asked);
    assert_eq!(
        (got.status, got.header("content-type")),
        (200, "application/json")
    );
    let head = &got.json()["heads"][0];
    assert_eq!(head["unit"], unit(1).to_string());
    assert!(head["length"].is_string(), "64 bits are a text: {head}");

    // A record carries its own authority.
    let record = record(&[unit(77)], commission());
    let envelope = common::sign(record, &trade.maker, 7).to_wire();
    let base64 = |bytes: &[u8]| {
        let engine = &base64::engine::general_purpose::STANDARD;
        base64::Engine::encode(engine, bytes)
    };
    let submit = serde_json::json!({ "envelope": {
        "payload": base64(&envelope.payload),
        "keyId": base64(&envelope.key_id),
        "signature": base64(&envelope.signature),
    } });
    let path = "/custody.v1.LedgerService/Submit";
    let kind = ("content-type", "application/json; charset=utf-8");
    let got = post(&server, path, &[kind], &submit.to_string());
    assert_eq!(got.status, 200, "{}", got.text());
    let index = got.json()["receipt"]["logIndex"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(index.parse::<u64>().unwrap() > 0);
    let again = post(&server, path, &[kind], &submit.to_string());
    assert_eq!(
        again.json()["receipt"]["logIndex"],
        index.as_str(),
        "sent again, it is the same entry"
    );

    // What platforms ask before they let a firm in.
    let check = "/custody.v1.ListingService/CheckParties";
    let firms = format!(r#"{{"parties":["{MAKER}"]}}"#);
    let got = post(&server, check, &[JSON], &firms);
    assert_eq!(got.status, 401);
    assert_eq!(got.header("content-type"), "application/problem+json");
    assert_eq!(got.json()["reason"], "TOKEN_MISSING");
    let token = server.run_ok(&[
        "token",
        "--key",
        server.data.join("regulator.key").to_str().unwrap(),
    ]);
    let bearer = format!("Bearer {}", token.trim());
    let got = post(&server, check, &[JSON, ("authorization", &bearer)], &firms);
    assert_eq!(got.status, 200, "{}", got.text());
    let engine = &base64::engine::general_purpose::STANDARD;
    let note = base64::Engine::decode(engine, got.json()["note"].as_str().unwrap()).unwrap();
    assert!(
        String::from_utf8(note)
            .unwrap()
            .contains(&format!("{MAKER} ALLOWED"))
    );
    let measures = "/custody.v1.MeasureService/GetMeasures";
    let got = post(
        &server,
        measures,
        &[JSON, ("authorization", &bearer)],
        &firms,
    );
    assert!(got.json()["untilMs"].is_string(), "{}", got.text());

    for (path, body, status) in [
        (heads, r#"{"units":"x"}"#, 400),
        (heads, r#"{"unit":["x"]}"#, 400),
        (heads, r#"{"units":["x"]} {}"#, 400),
        (heads, "", 400),
        (heads, r#"{"units":["no code"]}"#, 400),
        ("/custody.v1.LedgerService/GetHead", "{}", 404),
        ("/custody.v1.LedgerService/SubmitStream", "{}", 404),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "{}",
            404,
        ),
    ] {
        let got = post(&server, path, &[JSON], body);
        assert_eq!(got.status, status, "{path} {body}: {}", got.text());
        assert_eq!(got.header("content-type"), "application/problem+json");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post(&server, heads, &[JSON], &deep).status, 400);
}

#[tokio::test]
async fn given_the_interfaces_when_they_are_asked_for_then_programs_and_people_get_a_description() {
    let server = Server::start();
    let document = get(&server, "/openapi.json", &[]);
    assert_eq!(
        (document.status, document.header("content-type")),
        (200, "application/json")
    );
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 50);
    let page = get(&server, "/api", &[("accept-language", "en")]);
    assert_eq!(page.status, 200);
    let rpc = paths.keys().filter(|path| path.starts_with("/custody."));
    for path in rpc {
        assert!(page.text().contains(path.as_str()), "{path}");
    }
}

#[tokio::test]
async fn given_the_desk_when_nobody_has_logged_in_then_every_page_leads_to_the_login_and_is_not_kept()
 {
    let server = Server::start();
    for path in [
        "/desk",
        "/desk/alerts",
        "/desk/alerts/stream",
        "/desk/entries/0",
        "/desk/reports",
    ] {
        let got = get(&server, path, &[("cookie", "desk=AAAA")]);
        assert_eq!(got.status, 303, "{path}");
        assert!(
            got.header("location").starts_with("/desk/login?to=%2Fdesk"),
            "{path}"
        );
        assert_eq!(got.header("cache-control"), "no-store");
    }
    let login = |headers: &[(&str, &str)], token: &str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [&[kind], headers].concat();
        post(&server, "/desk/login", &headers, &format!("token={token}"))
    };
    let token = server.run_ok(&[
        "token",
        "--key",
        server.data.join("regulator.key").to_str().unwrap(),
    ]);
    assert_eq!(
        login(&[], token.trim()).status,
        403,
        "who says nothing of itself is refused"
    );
    let own = ("sec-fetch-site", "same-origin");
    let got = login(&[own], token.trim());
    assert_eq!((got.status, got.header("location")), (303, "/desk"));
    let cookie = got.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/desk"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let session = cookie.split(';').next().unwrap();
    assert_eq!(get(&server, "/desk", &[("cookie", session)]).status, 200);
    assert_eq!(login(&[own], "v4.public.AAAA").status, 401);
    let huge = "x".repeat(20_000);
    assert_eq!(login(&[own], &huge).status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_two_tabs_when_one_logs_out_then_the_other_is_told_nothing_more() {
    let server = Server::start();
    let life = std::time::Duration::from_secs(3_600);
    let party = REGULATOR.parse().unwrap();
    let token = custody::api::token::make(&server.regulator_key(), party, ORIGIN, life).unwrap();
    let own = ("sec-fetch-site", "same-origin");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let login = post(
        &server,
        "/desk/login",
        &[own, form],
        &format!("token={token}"),
    );
    assert_eq!(login.status, 303);
    let (cookie, _) = login.header("set-cookie").split_once(';').unwrap();

    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .build()
        .into();
    let stream = agent
        .get(format!("{}/desk/alerts/stream", server.http))
        .header("cookie", cookie)
        .call()
        .unwrap();
    assert_eq!(stream.status(), 200);
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(stream.into_body().read_to_string().unwrap()));
    let logout = post(
        &server,
        "/desk/logout",
        &[own, form, ("cookie", cookie)],
        "x=",
    );
    assert_eq!(logout.status, 303);
    let text = ended
        .recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    assert!(text.contains("event: ended"), "{text}");
    let page = get(&server, "/desk", &[("cookie", cookie)]);
    assert_eq!(page.header("location"), "/desk/login?to=%2Fdesk");
}
