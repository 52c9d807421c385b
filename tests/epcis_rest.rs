//! EPCIS 2.0 over HTTP: a real ledger, a real gateway with a maker's key beside it, and programs that know neither.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::*;
use serde_json::{Value, json};

/// What an answer by EPCIS says.
trait Says {
    fn events(&self) -> Vec<Value>;
    fn ids(&self) -> Vec<String>;
    fn is_problem(&self, status: u16, kind: &str) -> String;
}

impl Says for Got {
    /// Of a query document.
    fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let document = self.json();
        assert_eq!(document["type"], "EPCISQueryDocument");
        assert_eq!(document["schemaVersion"], "2.0");
        let list = &document["epcisBody"]["queryResults"]["resultsBody"]["eventList"];
        list.as_array().unwrap().clone()
    }

    fn ids(&self) -> Vec<String> {
        let ids = self.events().into_iter();
        ids.map(|event| event["eventID"].as_str().unwrap().to_owned())
            .collect()
    }

    /// That it is a problem of this status and type.
    fn is_problem(&self, status: u16, kind: &str) -> String {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("epcisException:{kind}"), "{body}");
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

fn sent(address: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
    if body.is_empty() {
        http((method, address), headers, ())
    } else {
        http((method, address), headers, body)
    }
}

/// A running gateway. Killed when dropped.
struct Gateway {
    child: Child,
    base: String,
    token: String,
    state: PathBuf,
}

impl Gateway {
    fn start(ledger: &str, key: &Path, state: &Path) -> Self {
        let mut child = custody()
            .args([
                "gateway",
                "--listen",
                "127.0.0.1:0",
                "--ledger",
                ledger,
                "--party",
                MAKER,
            ])
            .arg("--key")
            .arg(key)
            .arg("--state")
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let (_, base) = line.split_once(" on ").unwrap();
        let token = std::fs::read_to_string(state.join("token")).unwrap();
        Self {
            child,
            base: base.to_owned(),
            token: format!("Bearer {}", token.trim()),
            state: state.to_owned(),
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        let mut all = vec![("authorization", self.token.as_str())];
        all.extend(headers);
        sent(&format!("{}{path}", self.base), method, &all, body)
    }

    fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &Value) -> Got {
        let kind = ("content-type", "application/json");
        self.ask("POST", path, &[kind], body.to_string().as_bytes())
    }

    /// Captures a document and waits for the job to end.
    fn capture(&self, headers: &[(&str, &str)], document: &[u8]) -> Value {
        let got = self.ask("POST", "/capture", headers, document);
        assert_eq!(got.status, 202, "{}", String::from_utf8_lossy(&got.body));
        let job = got.header("location").to_owned();
        assert!(job.starts_with(&format!("{}/capture/", self.base)), "{job}");
        self.finished(&job)
    }

    fn finished(&self, job: &str) -> Value {
        let path = job.strip_prefix(&self.base).unwrap();
        wait_for(|| {
            let got = self.get(path);
            assert_eq!(got.status, 200);
            let job = got.json();
            (job["running"] == false).then_some(job)
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const PROCEED: (&str, &str) = ("gs1-capture-error-behaviour", "proceed");

fn urn(serial: u64) -> String {
    format!("urn:epc:id:sgtin:0614141.112345.{serial}")
}

fn event(id: &str, step: &str, units: &[u64]) -> Value {
    let mut event = json!({
        "type": "ObjectEvent",
        "action": if step == "commissioning" { "ADD" } else { "OBSERVE" },
        "bizStep": step,
        "eventTime": "2026-06-01T08:00:00.000+08:00",
        "eventTimeZoneOffset": "+08:00",
        "epcList": units.iter().map(|unit| urn(*unit)).collect::<Vec<_>>(),
        "readPoint": { "id": "urn:epc:id:sgln:0614141.07346.1234" },
        "example:furnace": "F7",
    });
    if !id.is_empty() {
        event["eventID"] = id.into();
    }
    event
}

fn context() -> Value {
    json!([
        "https://ref.gs1.org/standards/epcis/epcis-context.jsonld",
        { "example": "http://ns.example.com/epcis/" },
    ])
}

fn document(events: &[Value]) -> Vec<u8> {
    json!({
        "@context": context(),
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-06-01T00:00:00Z",
        "epcisBody": { "eventList": events },
    })
    .to_string()
    .into_bytes()
}

/// A ledger with a trade, and a gateway of the maker's.
async fn set_up() -> (Server, Gateway, tempfile::TempDir) {
    let server = Server::start();
    let mut session = server.session().await;
    let trade = Trade::set_up(&server, &mut session).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("maker.key");
    common::write_key(&key, &trade.maker);
    let gateway = Gateway::start(&server.address, &key, &folder.path().join("gateway"));
    (server, gateway, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_document_when_captured_then_its_events_are_in_the_log_and_found() {
    let (server, gateway, _folder) = set_up().await;
    let job = gateway.capture(
        &[JSON],
        &document(&[
            event("urn:uuid:made", "commissioning", &[1, 2]),
            event("", "storing", &[1]),
        ]),
    );
    assert_eq!(job["success"], true, "{job}");
    assert_eq!(job["captureErrorBehaviour"], "rollback");
    assert!(job["createdAt"].is_string() && job["finishedAt"].is_string());
    let done = &job["custody:events"];
    assert_eq!(done[0]["outcome"], "captured");
    let unnamed = done[1]["eventID"].as_str().unwrap();
    assert!(unnamed.starts_with("ni:///sha-256;"), "{unnamed}");

    // What went in comes out, with the ledger's own time, and an id where there was none.
    let got = gateway.get("/events");
    assert_eq!(got.ids(), ["urn:uuid:made", unnamed]);
    assert_eq!(got.header("gs1-epcis-version"), "2.0");
    assert_eq!(got.header("gs1-epc-format"), "Never_Translates");
    // To the millisecond: from that very moment on, and not from one later.
    let recorded = got.events()[1]["recordTime"].as_str().unwrap().to_owned();
    let (whole, ms) = recorded.split_once('.').unwrap();
    let ms: u32 = ms[..3].parse().unwrap();
    let later = format!("{whole}.{:03}%2B00:00", ms.min(998) + 1);
    let since = recorded.replace('+', "%2B");
    let query = |from: &str| gateway.get(&format!("/events?GE_recordTime={from}")).ids();
    assert!(query(&since).contains(&unnamed.to_owned()));
    assert!(ms == 999 || !query(&later).contains(&unnamed.to_owned()));
    let made = &got.events()[0];
    assert_eq!(made["epcList"], json!([urn(1), urn(2)]));
    assert_eq!(made["example:furnace"], "F7");
    assert!(
        made["recordTime"].as_str().unwrap().starts_with("20"),
        "{made}"
    );
    // The id is an address as well.
    let address = format!("/events/{}", unnamed.replace('/', "%2F"));
    assert_eq!(gateway.get(&address).ids(), [unnamed]);
    gateway
        .get("/events/urn:uuid:other")
        .is_problem(404, "NoSuchNameException");

    // Another party asks the ledger itself: it sees its own events only, or those of the units that it names.
    let life = Duration::from_secs(600);
    let token = |signer: &custody::core::signature::Signer, party: &str| {
        let token = custody::api::token::make(signer, party.parse().unwrap(), ORIGIN, life);
        format!("Bearer {}", token.unwrap())
    };
    let stranger = token(&key(4), STRANGER);
    let ask = |token: &str, path: &str| {
        sent(
            &format!("{}{path}", server.http),
            "GET",
            &[("authorization", token)],
            b"",
        )
    };
    assert!(ask(&stranger, "/events").ids().is_empty());
    assert!(
        ask(&stranger, "/events?EQ_eventID=urn:uuid:made")
            .ids()
            .is_empty()
    );
    let named = format!("/events?MATCH_anyEPC={}", urn(1));
    assert_eq!(ask(&stranger, &named).ids(), ["urn:uuid:made", unnamed]);
    let pattern = "/events?MATCH_anyEPC=urn:epc:idpat:sgtin:0614141.112345.*";
    assert!(ask(&stranger, pattern).ids().is_empty());
    let regulator = token(&server.regulator_key(), REGULATOR);
    assert_eq!(ask(&regulator, pattern).ids().len(), 2);
    sent(&format!("{}/events", server.http), "GET", &[], b"").is_problem(401, "SecurityException");
    ask("Bearer nonsense", "/events").is_problem(401, "SecurityException");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_many_events_when_queried_then_pages_and_parameters_select_as_the_standard_says() {
    let (_server, gateway, _folder) = set_up().await;
    let serials: Vec<u64> = (1..=40).collect();
    let mut events = vec![event("urn:uuid:all", "commissioning", &serials)];
    for serial in &serials {
        let mut one = event(&format!("urn:uuid:{serial}"), "storing", &[*serial]);
        // Backwards: the order in which they happened is not that in which they come.
        one["eventTime"] = format!("2026-06-01T09:{:02}:00.000+08:00", 59 - serial).into();
        events.push(one);
    }
    let job = gateway.capture(
        &[("content-type", "application/ld+json")],
        &document(&events),
    );
    assert_eq!(job["success"], true, "{job}");

    // The standard's page, and the way on from page to page.
    let first = gateway.get("/events");
    assert_eq!(first.ids().len(), 30);
    let mut seen = Vec::new();
    let mut path = "/events?EQ_bizStep=storing&perPage=7".to_owned();
    loop {
        let got = gateway.get(&path);
        assert!(got.ids().len() <= 7);
        seen.extend(got.ids());
        let link = got.header("link");
        let Some(next) = link
            .strip_prefix('<')
            .and_then(|link| link.split_once(">; rel=\"next\""))
        else {
            break;
        };
        path = next.0.strip_prefix(&gateway.base).unwrap().to_owned();
    }
    let all: Vec<String> = serials
        .iter()
        .map(|serial| format!("urn:uuid:{serial}"))
        .collect();
    assert_eq!(seen, all);

    let ids = |query: &str| gateway.get(&format!("/events?{query}")).ids();
    let last: Vec<&String> = all.iter().rev().take(2).collect();
    assert_eq!(
        ids("eventCountLimit=2&orderBy=recordTime&orderDirection=DESC")
            .iter()
            .collect::<Vec<_>>(),
        last
    );
    assert_eq!(
        ids("eventCountLimit=2&orderBy=eventTime&orderDirection=DESC&EQ_bizStep=storing"),
        all[..2]
    );
    assert_eq!(
        ids("orderBy=eventTime&orderDirection=ASC&perPage=2"),
        ["urn:uuid:all", "urn:uuid:40"]
    );
    assert_eq!(
        ids("GE_eventTime=2026-06-01T09:57:00.000%2B08:00"),
        all[..2]
    );
    assert_eq!(
        ids("MATCH_epc=urn:epc:id:sgtin:0614141.112345.7&LT_eventTime=2026-06-01T01:00:00Z"),
        ["urn:uuid:all"]
    );
    assert_eq!(
        ids("EQ_eventID=urn:uuid:3%7Curn:uuid:5"),
        ["urn:uuid:3", "urn:uuid:5"]
    );
    assert_eq!(
        ids("EQ_bizStep=urn:epcglobal:cbv:bizstep:commissioning&EQ_action=ADD"),
        ["urn:uuid:all"]
    );
    assert_eq!(ids("EQ_example:furnace=F7&perPage=1"), ["urn:uuid:all"]);
    assert_eq!(ids("EXISTS_example:kiln"), Vec::<String>::new());
    for whole in [
        "http:%2F%2Fns.example.com%2Fepcis%2Ffurnace",
        "http:%2F%2Fns.example.com%2Fepcis%2F%23furnace",
    ] {
        assert_eq!(
            ids(&format!("EQ_{whole}=F7&perPage=1")),
            ["urn:uuid:all"],
            "{whole}"
        );
    }
    assert_eq!(
        ids("GE_recordTime=2199-01-01T00:00:00Z"),
        Vec::<String>::new()
    );
    let two = "https://id.gs1.org/01/10614141123459/21/2";
    assert_eq!(
        ids(&format!("MATCH_anyEPC={two}")),
        ["urn:uuid:all", "urn:uuid:2"]
    );
    assert_eq!(
        gateway.get("/bizSteps/commissioning/events").ids(),
        ["urn:uuid:all"]
    );
    assert_eq!(
        gateway.get("/eventTypes/AggregationEvent/events").ids(),
        Vec::<String>::new()
    );
    let unit = urn(9).replace(':', "%3A");
    assert_eq!(
        gateway.get(&format!("/epcs/{unit}/events")).ids(),
        ["urn:uuid:all", "urn:uuid:9"]
    );
    // What a prefix means may be said.
    let extensions = ("gs1-extensions", "ex=http://ns.example.com/epcis/");
    let got = gateway.ask(
        "GET",
        "/events?EQ_ex:furnace=F7&perPage=1",
        &[extensions],
        b"",
    );
    assert_eq!(got.ids(), ["urn:uuid:all"]);

    for (query, status, kind) in [
        ("EQ_bizStep=dancing", 400, "QueryParameterException"),
        ("EQ_nonsense=1", 400, "QueryParameterException"),
        ("EQ_action=SELL", 400, "QueryParameterException"),
        ("eventCountLimit=3", 400, "QueryParameterException"),
        ("GE_eventTime=yesterday", 400, "QueryParameterException"),
        ("perPage=none", 400, "QueryParameterException"),
        ("nextPageToken=x", 400, "QueryParameterException"),
        (
            "maxEventCount=3&eventCountLimit=3",
            400,
            "QueryParameterException",
        ),
        ("maxEventCount=3", 413, "QueryTooLargeException"),
        ("GT_quantity=3", 501, "ImplementationException"),
        ("EQ_value_CEL=3", 501, "ImplementationException"),
    ] {
        gateway
            .get(&format!("/events?{query}"))
            .is_problem(status, kind);
    }
    assert_eq!(ids("maxEventCount=41").len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_what_cannot_be_captured_then_the_job_says_why_and_what_became_of_the_rest() {
    let (_server, gateway, _folder) = set_up().await;
    let made = event("urn:uuid:made", "commissioning", &[1]);
    let no_unit = json!({
        "type": "ObjectEvent", "eventID": "urn:uuid:class", "action": "OBSERVE", "bizStep": "shipping",
        "eventTime": "2026-06-01T08:00:00.000+08:00", "eventTimeZoneOffset": "+08:00",
        "quantityList": [{ "epcClass": "urn:epc:class:lgtin:4012345.012345.L1", "quantity": 3 }],
    });
    // By default one that can't be a record keeps all out.
    let job = gateway.capture(&[JSON], &document(&[made.clone(), no_unit.clone()]));
    assert_eq!(job["success"], false);
    assert_eq!(
        job["errors"][0]["type"],
        "epcisException:ImplementationException"
    );
    assert!(
        job["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .starts_with("event 2: "),
        "{job}"
    );
    assert_eq!(job["custody:events"][0]["outcome"], "not sent");
    assert!(gateway.get("/events").ids().is_empty());
    // If it is asked for, the others go in.
    let job = gateway.capture(&[JSON, PROCEED], &document(&[made.clone(), no_unit]));
    assert_eq!(job["success"], false);
    assert_eq!(job["captureErrorBehaviour"], "proceed");
    assert_eq!(job["custody:events"][0]["outcome"], "captured");
    assert_eq!(job["custody:events"][1]["outcome"], "refused");
    assert_eq!(gateway.get("/events").ids(), ["urn:uuid:made"]);

    // What is no EPCIS is no job at all.
    let bad = document(&[json!({ "type": "ObjectEvent" })]);
    let detail = gateway
        .ask("POST", "/capture", &[JSON], &bad)
        .is_problem(400, "ValidationException");
    assert!(detail.contains("event 1: eventTime"), "{detail}");
    let post =
        |headers: &[(&str, &str)], body: &[u8]| gateway.ask("POST", "/capture", headers, body);
    post(&[("content-type", "text/plain")], b"x").is_problem(415, "ImplementationException");
    post(&[JSON, ("gs1-epcis-version", "1.2")], b"{}").is_problem(406, "ImplementationException");
    post(&[JSON, ("gs1-capture-error-behaviour", "guess")], b"{}")
        .is_problem(400, "ValidationException");
    let many: Vec<Value> = (0..10_001).map(|_| json!({})).collect();
    post(&[JSON], &document(&many)).is_problem(413, "CaptureLimitExceededException");
    let none = document(&[]);
    post(&[JSON], &none).is_problem(400, "ValidationException");
    gateway
        .get("/capture/../token")
        .is_problem(404, "NoSuchNameException");

    // The latest job first, a page at a time.
    let got = gateway.get("/capture?perPage=1");
    assert_eq!(got.json().as_array().unwrap().len(), 1);
    assert_eq!(got.json()[0]["captureErrorBehaviour"], "proceed");
    assert!(got.header("link").contains("rel=\"next\""));

    // Nobody without the gateway's token.
    let capture = format!("{}/capture", gateway.base);
    for headers in [
        &[JSON][..],
        &[
            JSON,
            (
                "authorization",
                "Bearer 0000000000000000000000000000000000000000",
            ),
        ],
    ] {
        sent(&capture, "POST", headers, &document(&[])).is_problem(401, "SecurityException");
    }
    // And everybody with it may ask what can be done.
    let got = gateway.ask("OPTIONS", "/capture", &[], b"");
    assert_eq!(
        (got.status, got.header("allow")),
        (204, "OPTIONS, POST, GET")
    );
    assert_eq!(got.header("gs1-epcis-capture-limit"), "10000");
    assert_eq!(
        (got.header("gs1-epcis-min"), got.header("gs1-epcis-max")),
        ("1.0", "2.0")
    );
    for (path, methods) in [
        ("/events", "OPTIONS, GET, POST"),
        ("/bizSteps/shipping/events", "OPTIONS, GET"),
        ("/queries", "OPTIONS, GET, POST"),
        ("/queries/any", "OPTIONS, GET, DELETE"),
    ] {
        let got = gateway.ask("OPTIONS", path, &[], b"");
        assert_eq!((got.status, got.header("allow")), (204, methods), "{path}");
        assert_eq!(got.header("gs1-epcis-min"), "2.0");
    }
    let put = gateway.ask("PUT", "/capture", &[JSON], b"{}");
    put.is_problem(405, "ImplementationException");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_event_twice_then_it_is_one_unless_it_takes_the_other_back() {
    let (server, gateway, _folder) = set_up().await;
    let made = event("urn:uuid:made", "commissioning", &[1]);
    let moved = event("urn:uuid:moved", "storing", &[1]);
    let job = gateway.capture(
        &[JSON],
        &document(&[made.clone(), moved.clone(), moved.clone()]),
    );
    assert_eq!(job["success"], true, "{job}");
    assert_eq!(job["custody:events"][2]["outcome"], "duplicate");
    let entry = job["custody:events"][1]["logIndex"].clone();
    let again = gateway.capture(&[JSON], &document(&[moved.clone(), made.clone()]));
    assert_eq!(again["success"], true, "{again}");
    assert_eq!(again["custody:events"][0]["outcome"], "duplicate");
    assert_eq!(again["custody:events"][0]["logIndex"], entry);

    // Another statement under the same id is none of these.
    let mut other = moved.clone();
    other["bizStep"] = "picking".into();
    let job = gateway.capture(&[JSON, PROCEED], &document(&[other]));
    assert_eq!(
        job["errors"][0]["type"],
        "epcisException:ValidationException"
    );
    assert!(
        job["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("something else"),
        "{job}"
    );

    // An error declaration is: it becomes a correction of that very record, once.
    let mut taken_back = moved.clone();
    taken_back["errorDeclaration"] = json!({
        "declarationTime": "2026-06-02T00:00:00.000Z",
        "reason": "did_not_occur",
    });
    for outcome in ["captured", "duplicate"] {
        let job = gateway.capture(&[JSON], &document(std::slice::from_ref(&taken_back)));
        assert_eq!(job["success"], true, "{job}");
        assert_eq!(job["custody:events"][0]["outcome"], outcome);
    }
    let both = gateway.get("/events/urn:uuid:moved").events();
    assert_eq!(both.len(), 2);
    assert!(both[0].get("errorDeclaration").is_none());
    assert_eq!(both[1]["errorDeclaration"]["reason"], "did_not_occur");
    assert_eq!(
        gateway.get("/events?EXISTS_errorDeclaration=").ids(),
        ["urn:uuid:moved"]
    );
    let trace = server.run_ok(&["trace", &unit(1).to_string(), "--json"]);
    assert!(!trace.contains("NOT_HOLDER"), "{trace}");
    // There must be something to take back.
    let mut nothing = event("urn:uuid:never", "storing", &[1]);
    nothing["errorDeclaration"] = taken_back["errorDeclaration"].clone();
    let job = gateway.capture(&[JSON], &document(&[nothing]));
    assert_eq!(job["success"], false);
    // It may stand before it in the same document.
    let late = event("urn:uuid:late", "storing", &[1]);
    let mut undone = late.clone();
    undone["errorDeclaration"] = taken_back["errorDeclaration"].clone();
    let job = gateway.capture(&[JSON], &document(&[late, undone]));
    assert_eq!(job["success"], true, "{job}");
    assert_eq!(job["custody:events"][1]["outcome"], "captured");

    // A twin that went in by another way is left out of what is answered.
    let mut session = server.session().await;
    let imported = custody::epcis::import(&document(std::slice::from_ref(&made))).unwrap();
    let record = imported.events[0].outcome.clone().unwrap();
    let twin = custody::client::Draft {
        record,
        signer: key(1),
        advances: false,
    };
    let outcome = session.submit(vec![twin]).await.unwrap().remove(0);
    assert!(outcome.is_ok(), "{outcome:?}");
    let made_once = || {
        let ids = gateway.get("/events?EQ_bizStep=commissioning").ids();
        (ids == ["urn:uuid:made"]).then_some(())
    };
    wait_for(made_once);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_event_when_posted_then_it_is_captured_at_once() {
    let (_server, gateway, _folder) = set_up().await;
    let mut alone = event("urn:uuid:alone", "commissioning", &[5]);
    alone["@context"] = context();
    let got = gateway.post("/events", &alone);
    assert_eq!(got.status, 201, "{}", got.json());
    assert_eq!(
        got.header("location"),
        format!("{}/events/urn%3Auuid%3Aalone", gateway.base)
    );
    let captured = got.json();
    assert_eq!(captured["eventID"], "urn:uuid:alone");
    assert!(captured["@context"].is_array() && captured["recordTime"].is_string());
    let address = got
        .header("location")
        .strip_prefix(&gateway.base)
        .unwrap()
        .to_owned();
    assert_eq!(gateway.get(&address).ids(), ["urn:uuid:alone"]);

    let mut wrong = alone.clone();
    wrong["action"] = "SELL".into();
    gateway
        .post("/events", &wrong)
        .is_problem(400, "ValidationException");
    let two: Value = serde_json::from_slice(&document(&[alone.clone(), alone])).unwrap();
    gateway
        .post("/events", &two)
        .is_problem(400, "ValidationException");
}

/// One request that a hook got, and the answer that it gave.
fn hook(listener: &TcpListener, status: &str) -> (String, Vec<u8>) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&lower);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    (&stream).write_all(answer.as_bytes()).unwrap();
    (head, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_subscription_then_every_event_arrives_signed_also_over_a_restart() {
    let (server, mut gateway, folder) = set_up().await;
    gateway.capture(
        &[JSON],
        &document(&[event("urn:uuid:before", "commissioning", &[1, 2, 3])]),
    );
    let query = json!({ "name": "inspected", "query": { "EQ_bizStep": ["storing"] } });
    let got = gateway.post("/queries", &query);
    assert_eq!(got.status, 201);
    assert_eq!(
        got.header("location"),
        format!("{}/queries/inspected", gateway.base)
    );
    gateway
        .post("/queries", &query)
        .is_problem(409, "DuplicateNameException");
    let bad = json!({ "name": "bad", "query": { "EQ_bizStep": ["dancing"] } });
    gateway
        .post("/queries", &bad)
        .is_problem(400, "QueryParameterException");
    assert!(gateway.get("/queries/inspected/events").ids().is_empty());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dest = format!("http://{}/hook", listener.local_addr().unwrap());
    let subscribe = |body: &Value| gateway.post("/queries/inspected/subscriptions", body);
    let scheduled = json!({ "dest": dest, "schedule": { "hour": "1" } });
    subscribe(&scheduled).is_problem(400, "SubscriptionControlsException");
    let got = subscribe(&json!({ "dest": dest, "signatureToken": "s3cret", "stream": true }));
    assert_eq!(got.status, 201, "{}", got.json());
    let shown = got.json();
    assert_eq!(shown["queryName"], "inspected");
    assert!(shown.get("signatureToken").is_none());
    let id = shown["subscriptionID"].as_str().unwrap().to_owned();

    gateway.capture(
        &[JSON],
        &document(&[event("urn:uuid:first", "storing", &[1])]),
    );
    // Not taken the first time: it comes again.
    let (_, refused) = hook(&listener, "503 Busy");
    let (head, body) = hook(&listener, "200 OK");
    assert_eq!(refused, body);
    let told: Value = serde_json::from_slice(&body).unwrap();
    let results = &told["epcisBody"]["queryResults"];
    assert_eq!(results["queryName"], "inspected");
    assert_eq!(results["subscriptionID"], id.as_str());
    assert_eq!(
        results["resultsBody"]["eventList"][0]["eventID"],
        "urn:uuid:first"
    );
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(&body);
    let signature = base64::prelude::BASE64_STANDARD.encode(mac.finalize().into_bytes());
    assert!(
        head.contains(&format!(
            "gs1-signature: {}",
            signature.to_ascii_lowercase()
        )),
        "{head}"
    );

    // What is captured while the gateway is away is told when it is back.
    let cursor = gateway.state.join("cursors").join(&id);
    wait_for(|| cursor.exists().then_some(()));
    gateway.child.kill().unwrap();
    gateway.child.wait().unwrap();
    let mut session = server.session().await;
    let imported = custody::epcis::import(&document(&[event("urn:uuid:away", "storing", &[2])]));
    let record = imported.unwrap().events[0].outcome.clone().unwrap();
    let draft = custody::client::Draft {
        record,
        signer: key(1),
        advances: true,
    };
    all_accepted(session.submit(vec![draft]).await.unwrap());
    gateway = Gateway::start(
        &server.address,
        &folder.path().join("maker.key"),
        &folder.path().join("gateway"),
    );
    loop {
        let (_, body) = hook(&listener, "200 OK");
        let told: Value = serde_json::from_slice(&body).unwrap();
        let list = told["epcisBody"]["queryResults"]["resultsBody"]["eventList"].clone();
        // The one before may come twice; it may not be left out.
        let ids: Vec<&str> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["eventID"].as_str().unwrap())
            .collect();
        if ids.contains(&"urn:uuid:away") {
            break;
        }
        assert_eq!(ids, ["urn:uuid:first"]);
    }
    let path = format!("/queries/inspected/subscriptions/{id}");
    assert_eq!(gateway.get(&path).json()["dest"], dest);
    assert_eq!(gateway.ask("DELETE", &path, &[], b"").status, 204);
    gateway.get(&path).is_problem(404, "NoSuchNameException");
    assert_eq!(
        gateway.ask("DELETE", "/queries/inspected", &[], b"").status,
        204
    );
    gateway
        .get("/queries/inspected")
        .is_problem(404, "NoSuchNameException");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_web_socket_then_events_come_over_it_as_they_are_captured() {
    let (_server, gateway, _folder) = set_up().await;
    gateway.capture(
        &[JSON],
        &document(&[event("urn:uuid:before", "commissioning", &[1])]),
    );
    let query = json!({ "name": "all", "query": {} });
    assert_eq!(gateway.post("/queries", &query).status, 201);
    let address = gateway.base.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // RFC 6455 section 1.2.
    write!(
        stream,
        "GET /queries/all/events?stream=true HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
         upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        gateway.token
    )
    .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    gateway.capture(
        &[JSON],
        &document(&[event("urn:uuid:now", "storing", &[1])]),
    );
    let told = text_frame(&mut reader);
    let list = &told["epcisBody"]["queryResults"]["resultsBody"]["eventList"];
    assert_eq!(list[0]["eventID"], "urn:uuid:now");
    assert_eq!(list.as_array().unwrap().len(), 1);
    // Without a word about when to report, it is no subscription.
    let upgrade = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let got = gateway.ask("GET", "/queries/all/events", &upgrade, b"");
    got.is_problem(400, "SubscriptionControlsException");
}

/// The next text of a server that masks nothing (RFC 6455 section 5.2); pings are passed over.
fn text_frame(reader: &mut impl std::io::Read) -> Value {
    loop {
        let mut head = [0; 2];
        reader.read_exact(&mut head).unwrap();
        let mut length = u64::from(head[1]);
        if length >= 126 {
            let bytes = if length == 126 { 2 } else { 8 };
            let mut more = [0; 8];
            reader.read_exact(&mut more[8 - bytes..]).unwrap();
            length = u64::from_be_bytes(more);
        }
        let mut body = vec![0; usize::try_from(length).unwrap()];
        reader.read_exact(&mut body).unwrap();
        if head[0] & 0x0f == 1 {
            return serde_json::from_slice(&body).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_ledger_out_of_reach_then_jobs_wait_and_are_finished_after_a_restart_of_both() {
    let (mut server, mut gateway, folder) = set_up().await;
    gateway.capture(
        &[JSON],
        &document(&[event("urn:uuid:made", "commissioning", &[1])]),
    );
    server.kill();
    let got = gateway.ask(
        "POST",
        "/capture",
        &[JSON],
        &document(&[event("urn:uuid:later", "storing", &[1])]),
    );
    assert_eq!(got.status, 202);
    let job = got
        .header("location")
        .strip_prefix(&gateway.base)
        .unwrap()
        .to_owned();
    let waits = wait_for(|| {
        let waiting = gateway.get(&job).json();
        assert_eq!(waiting["running"], true);
        waiting.get("custody:waitsFor").cloned()
    });
    assert!(waits.is_string());
    gateway
        .get("/events")
        .is_problem(503, "ImplementationException");
    gateway.child.kill().unwrap();
    gateway.child.wait().unwrap();

    let server = Server::open(&server.data, &[]);
    gateway = Gateway::start(
        &server.address,
        &folder.path().join("maker.key"),
        &folder.path().join("gateway"),
    );
    let done = gateway.finished(&format!("{}{job}", gateway.base));
    assert_eq!(done["success"], true, "{done}");
    assert_eq!(
        gateway.get("/events").ids(),
        ["urn:uuid:made", "urn:uuid:later"]
    );
    let second = custody()
        .args([
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--ledger",
            &server.address,
            "--party",
            MAKER,
        ])
        .arg("--key")
        .arg(folder.path().join("maker.key"))
        .arg("--state")
        .arg(folder.path().join("gateway"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("another gateway"));
    let open = custody()
        .args([
            "gateway",
            "--listen",
            "0.0.0.0:0",
            "--ledger",
            &server.address,
            "--party",
            MAKER,
        ])
        .arg("--key")
        .arg(folder.path().join("maker.key"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&open.stderr).contains("--tls-cert"));
}

/// The published examples of a folder, or one of them; or a loud word that they are not there.
fn published(folder: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/epcis"));
    if let Ok(document) = std::fs::read(root.join(folder)) {
        return vec![(folder.to_owned(), document)];
    }
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        eprintln!("SKIPPED: {} is not there", root.join(folder).display());
        return Vec::new();
    };
    let mut found: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn given_the_published_documents_when_captured_then_each_event_is_in_the_log_or_says_why_not()
{
    let (_server, gateway, _folder) = set_up().await;
    let mut captured = Vec::new();
    let of_kind = |folder: &str, kind: &'static str| {
        let all = published(folder).into_iter();
        all.map(move |(name, document)| (name, kind, document))
            .collect::<Vec<_>>()
    };
    let xml = of_kind("GS1_US_Pharma_Example_1.2.xml", "application/xml");
    for (name, kind, document) in [of_kind("Documents", "application/json"), xml].concat() {
        let job = gateway.capture(&[("content-type", kind), PROCEED], &document);
        let events = job["custody:events"].as_array().unwrap();
        assert!(!events.is_empty(), "{name}: {job}");
        let refused = events
            .iter()
            .filter(|event| event["outcome"] == "refused")
            .count();
        assert_eq!(
            job["errors"].as_array().unwrap().len(),
            refused,
            "{name}: {job}"
        );
        assert_eq!(job["success"], refused == 0, "{name}");
        let done = events.iter().filter(|event| event["outcome"] == "captured");
        captured.extend(done.map(|event| event["logIndex"].as_u64().unwrap()));
    }
    // Every one of them comes out again, in the order in which it went in.
    let mut told = 0;
    let mut path = "/events?perPage=100".to_owned();
    loop {
        let got = gateway.get(&path);
        told += got.events().len();
        let next = got
            .header("link")
            .strip_prefix('<')
            .and_then(|link| link.split_once('>'));
        let Some((next, _)) = next else { break };
        path = next.strip_prefix(&gateway.base).unwrap().to_owned();
    }
    assert_eq!(told, captured.len());
    for (name, document) in published("Invalid") {
        let got = gateway.ask("POST", "/capture", &[JSON], &document);
        let detail = got.is_problem(400, "ValidationException");
        assert!(
            detail.contains("event ") || detail.contains("document: "),
            "{name}: {detail}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_gateway_killed_within_a_job_when_it_is_back_then_each_event_is_captured_once() {
    let (server, mut gateway, folder) = set_up().await;
    let many = 2_500;
    let serials: Vec<u64> = (1..=many).collect();
    let mut events: Vec<Value> = serials
        .chunks(500)
        .zip(1..)
        .map(|(some, number): (&[u64], usize)| {
            event(&format!("urn:uuid:made-{number}"), "commissioning", some)
        })
        .collect();
    let commissions = events.len();
    // Half of them without an id: these are known by their envelopes only.
    events.extend(serials.iter().map(|serial| {
        let id = if serial % 2 == 0 {
            format!("urn:uuid:{serial}")
        } else {
            String::new()
        };
        event(&id, "storing", &[*serial])
    }));
    let ledger = server.ledger().await;
    let size = async || {
        let (note, _) = ledger.checkpoint().await.unwrap();
        let text = String::from_utf8(note).unwrap();
        text.lines().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let before = size().await;
    let got = gateway.ask("POST", "/capture", &[JSON], &document(&events));
    assert_eq!(got.status, 202);
    let job = got
        .header("location")
        .strip_prefix(&gateway.base)
        .unwrap()
        .to_owned();
    while size().await < before + 600 {
        tokio::task::yield_now().await;
    }
    gateway.child.kill().unwrap();
    gateway.child.wait().unwrap();
    let killed_at = size().await - before;
    assert!(
        killed_at < events.len(),
        "it was finished before it was killed"
    );

    gateway = Gateway::start(
        &server.address,
        &folder.path().join("maker.key"),
        &folder.path().join("gateway"),
    );
    let done = gateway.finished(&format!("{}{job}", gateway.base));
    assert_eq!(done["success"], true, "{}", done["errors"]);
    let told = done["custody:events"].as_array().unwrap();
    assert_eq!(told.len(), events.len());
    assert!(told.iter().all(|event| event["outcome"] == "captured"));
    assert_eq!(size().await - before, events.len());
    assert_eq!(commissions, 5);
    assert!(
        !gateway
            .state
            .join("jobs")
            .join(&job["/capture/".len()..])
            .join("outbox")
            .exists()
    );
}
