//! Every subcommand of the program, run as its user would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use custody::core::enrolment;
use custody::core::id::UnitId;
use custody::core::printed::PrintedSecret;
use serde_json::Value;

use crate::common::*;

mod credit;
mod supervision;

/// A ledger that only the program itself has touched. The cases run in order: each builds on what
/// those before it did.
struct Desk {
    folder: PathBuf,
    server: Server,
}

/// A subcommand, and what is done with it.
type Case = (&'static str, fn(&mut Desk));

/// Each subcommand, and the case that runs it.
const COMMANDS: &[Case] = &[
    ("init", init_command),
    ("serve", serve),
    ("key new", key_new),
    ("key show", key_show),
    ("key buyer", key_buyer),
    ("label", label),
    ("party register", party_register),
    ("party approve", party_approve),
    ("party list", party_list),
    ("product claim", product_claim),
    ("product approve", product_approve),
    ("product list", product_list),
    ("delegate", delegate_command),
    ("enrol", enrol),
    ("token", token),
    ("scan", scan_command),
    ("submit", submit_command),
    ("trace", trace),
    ("bundle", bundle),
    ("verify", verify),
    ("findings", findings),
    ("evidence", evidence),
    ("credit commit", credit::credit_commit),
    ("credit breach", credit::credit_breach),
    ("credit record", credit::credit_record),
    ("credit policy", credit::credit_policy),
    ("credit set-policy", credit::credit_set_policy),
    ("listing propose", credit::listing_propose),
    ("listing notify", credit::listing_notify),
    ("listing state", credit::listing_state),
    ("listing decide", credit::listing_decide),
    ("listing publish", credit::listing_publish),
    ("measure attach", supervision::measure_attach),
    ("measure report", supervision::measure_report),
    ("measure of", supervision::measure_of),
    ("measure show", supervision::measure_show),
    ("measure end", supervision::measure_end),
    ("listing object", credit::listing_object),
    ("listing answer", credit::listing_answer),
    ("listing repair", credit::listing_repair),
    ("listing show", credit::listing_show),
    ("listing list", credit::listing_list),
    ("listing check", credit::listing_check),
    ("credit file", credit::credit_file),
    ("claim report", credit::claim_report),
    ("claim open", credit::claim_open),
    ("claim list", credit::claim_list),
    ("claim attest", credit::claim_attest),
    ("claim review", credit::claim_review),
    ("claim decide", credit::claim_decide),
    ("claim pay", credit::claim_pay),
    ("claim recover", credit::claim_recover),
    ("claim show", credit::claim_show),
    ("claim reports", credit::claim_reports),
    ("claim fund", credit::claim_fund),
    ("claim reviews", credit::claim_reviews),
    ("credit score", credit::credit_score),
    ("file open", supervision::file_open),
    ("credit evidence", supervision::credit_evidence),
    ("credit verify", supervision::credit_verify),
    ("file reads", supervision::file_reads),
    ("file authorise", supervision::file_authorise),
    ("file view", supervision::file_view),
    ("file put", supervision::file_put),
    ("file texts", supervision::file_texts),
    ("file text", supervision::file_text),
    ("file erase", supervision::file_erase),
    ("inspect announce", supervision::inspect_announce),
    ("inspect draw", supervision::inspect_draw),
    ("inspect record", supervision::inspect_record),
    ("inspect plans", supervision::inspect_plans),
    ("inspect list", supervision::inspect_list),
    ("inspect verify", supervision::inspect_verify),
    ("export since", supervision::export_since),
    ("export push", supervision::export_push),
    ("export verify", supervision::export_verify),
    ("report make", supervision::report_make),
    ("report verify", supervision::report_verify),
    ("credit object", credit::credit_object),
    ("credit correct", credit::credit_correct),
    ("alert list", credit::alert_list),
    ("alert watch", credit::alert_watch),
    ("alert acknowledge", credit::alert_acknowledge),
    ("alert dismiss", credit::alert_dismiss),
    ("case open", credit::case_open),
    ("case add", credit::case_add),
    ("case list", credit::case_list),
    ("case refer", credit::case_refer),
    ("case close", credit::case_close),
    ("case show", credit::case_show),
    ("listing decide-repair", credit::listing_decide_repair),
    ("listing end", credit::listing_end),
    ("epcis import", epcis_import),
    ("epcis export", epcis_export),
    ("gateway", gateway),
    ("backup", backup),
    ("rebuild", rebuild),
    ("cluster reset", cluster_reset),
    ("audit", audit),
    ("simulate", simulate),
    ("completions", completions),
];

const PHARMA: &str = "GS1_US_Pharma_Example_1.2.xml";
const PHARMA_PREFIX: &str = "030001";
const BOTTLE: &str = "urn:epc:id:sgtin:030001.0012345.11";
const EXIT_NO: i32 = 1;
const EXIT_USAGE: i32 = 2;
const EXIT_COULD_NOT: i32 = 3;

#[test]
fn given_every_subcommand_of_the_program_when_run_then_its_case_passes() {
    let listed = custody::cli::subcommands();
    let tested = |name: &str| COMMANDS.iter().any(|(command, _)| *command == name);
    let missing: Vec<_> = listed.iter().filter(|name| !tested(name)).collect();
    assert!(
        missing.is_empty(),
        "subcommands without a case: {missing:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    init(&data);
    let server = Server::open(&data, &[]);
    let mut desk = Desk {
        folder: folder.path().to_owned(),
        server,
    };
    for (command, case) in COMMANDS {
        if !listed.iter().any(|name| name == command) {
            eprintln!("SKIPPED: there is no `custody {command}`");
            continue;
        }
        println!("custody {command}");
        case(&mut desk);
    }
}

#[test]
fn given_a_command_that_is_not_understood_when_run_then_the_exit_code_is_2() {
    for arguments in [
        &["teleport"][..],
        &["trace"],
        &["scan", "--kind", "steal"],
        &["init"],
        &[],
    ] {
        let output = custody().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(EXIT_USAGE), "{arguments:?}");
    }
}

#[test]
fn given_no_ledger_there_when_a_command_needs_one_then_the_exit_code_is_3() {
    let mut trace = custody();
    trace.args([
        "trace",
        "--ledger",
        "http://127.0.0.1:1",
        &unit(1).to_string(),
    ]);
    let output = trace.output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_COULD_NOT));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no connection to the ledger"), "{said}");
}

impl Desk {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn regulator(&self) -> String {
        self.server
            .data
            .join("regulator.key")
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn trust(&self) -> String {
        self.server
            .data
            .join("log.vkey")
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.server.run_ok(arguments)
    }

    /// What it printed with `--json`, which has to be one JSON value.
    fn json(&self, arguments: &[&str]) -> Value {
        json(&self.ok(&[arguments, &["--json"]].concat()))
    }

    /// The same where each line is a value.
    fn json_lines(&self, arguments: &[&str]) -> Vec<Value> {
        json_lines(&self.ok(&[arguments, &["--json"]].concat()))
    }

    /// It must fail so, and say so.
    fn fails(&self, code: i32, says: &str, arguments: &[&str]) {
        let output = self.server.run(arguments);
        let said = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "custody {}: {said}",
            arguments.join(" ")
        );
        assert!(
            said.contains(says),
            "custody {}: {said}",
            arguments.join(" ")
        );
    }

    fn size(&self) -> u64 {
        let audited = self.json(&[
            "audit",
            "--key",
            &self.regulator(),
            "--trust",
            &self.trust(),
        ]);
        audited["entries"].as_u64().unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// A party id from a GS1 company prefix.
fn gln(prefix: &str) -> String {
    let body = format!("{prefix:0<12}");
    let check = custody::core::id::gs1_check_digit(body.parse().unwrap());
    format!("gln:{body}{check}")
}

fn init_command(desk: &mut Desk) {
    let data = desk.path("second");
    let origin = ["--origin", "second.example/ledger"];
    let regulator = ["--regulator", REGULATOR, "--regulator-name", "Second"];
    let arguments = [&["init", "--data", &data][..], &origin, &regulator].concat();
    let made = desk.json(&arguments);
    assert_eq!(made["origin"], "second.example/ledger");
    assert!(
        made["logKey"]
            .as_str()
            .unwrap()
            .starts_with("second.example/ledger+")
    );
    for name in ["regulator.key", "log.key", "log.vkey", "store"] {
        assert!(Path::new(&data).join(name).exists(), "{name}");
    }
    desk.fails(EXIT_NO, "holds a ledger already", &arguments);
    let third = desk.path("third");
    let arguments = [
        &["init", "--data", &third, "--origin", "two words"][..],
        &regulator,
    ]
    .concat();
    desk.fails(EXIT_NO, "--origin", &arguments);
}

fn serve(desk: &mut Desk) {
    let data = desk.server.data.clone();
    for (address, page, says) in [
        (&desk.server.http, "/healthz", "ok"),
        (&desk.server.metrics, "/metrics", "custody_log_size 1"),
    ] {
        let text = http_get(address, page);
        assert!(
            text.starts_with("HTTP/1.1 200") && text.contains(says),
            "{text}"
        );
    }
    let second = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
        "--data",
    ];
    let held = [&second[..], &[data.to_str().unwrap()]].concat();
    desk.fails(EXIT_COULD_NOT, "", &held);
    let nothing = desk.path("nothing");
    desk.fails(
        EXIT_COULD_NOT,
        "log.key",
        &[&second[..], &[&nothing]].concat(),
    );
    assert_eq!(
        desk.server.stop().code(),
        Some(0),
        "it ends well when asked to"
    );
    // However often: RocksDB aborts now and then when the store closes while the process exits.
    for _ in 0..20 {
        let mut again = Server::open(&data, &[]);
        assert_eq!(again.stop().code(), Some(0), "it ends well every time");
    }
    // The same from a configuration file.
    let config = desk.path("custody.toml");
    std::fs::write(
        &config,
        "log_format = \"json\"\nblock_cache_mb = 8\nentry_cache_mb = 1\n",
    )
    .unwrap();
    desk.server = Server::open(&data, &["--config", &config]);
    std::fs::write(&config, "log_fromat = \"json\"\n").unwrap();
    desk.fails(
        EXIT_COULD_NOT,
        "log_fromat",
        &["serve", "--config", &config],
    );
}

fn http_get(address: &str, page: &str) -> String {
    let host = address
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let request = format!("GET {page} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn key_new(desk: &mut Desk) {
    for name in ["maker", "courier", "stranger", "pharma"] {
        let path = desk.path(&format!("{name}.key"));
        let made = desk.json(&["key", "new", &path]);
        assert_eq!(made["keyId"].as_str().unwrap().len(), 32);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "for its owner's eyes only");
        desk.fails(EXIT_COULD_NOT, "exists", &["key", "new", &path]);
    }
}

fn key_show(desk: &mut Desk) {
    let path = desk.path("maker.key");
    let shown = desk.json(&["key", "show", &path]);
    let signer = read_key(Path::new(&path));
    assert_eq!(shown["keyId"], signer.key_id().to_string());
    assert_eq!(
        shown["publicKey"],
        hex::encode(signer.public_key().as_bytes())
    );
    assert!(
        !desk
            .ok(&["key", "show", &path])
            .contains(&hex::encode(*signer.seed()))
    );
    desk.fails(
        EXIT_COULD_NOT,
        "no key file",
        &["key", "show", &desk.trust()],
    );
    desk.fails(EXIT_COULD_NOT, "", &["key", "show", &desk.path("none.key")]);
}

fn key_buyer(desk: &mut Desk) {
    let path = desk.path("order-1.key");
    let page = "https://trace.example/01/06141414123459/21/1";
    let made = desk.json(&["key", "buyer", &path, "--page", page]);
    let secret = made["secret"].as_str().unwrap();
    let signer = PrintedSecret::read(secret).unwrap().buyer();
    assert_eq!(made["keyId"], signer.key_id().to_string());
    assert_eq!(made["link"], format!("{page}#k={secret}"));
    assert_eq!(read_key(Path::new(&path)).key_id(), signer.key_id());
    let text = desk.ok(&["key", "buyer", &desk.path("order-2.key")]);
    assert!(
        text.contains("secret  ") && !text.contains("link"),
        "{text}"
    );
    desk.fails(EXIT_COULD_NOT, "order-1.key", &["key", "buyer", &path]);
}

fn label(desk: &mut Desk) {
    let at = ["--resolver", "https://trace.example/"];
    let unit = "(01)10614141123459(21)A/1";
    let svg = desk.ok(&[&["label", unit, "--trust", &desk.trust()][..], &at].concat());
    for text in ["<svg", "(01)10614141123459", "(21)A/1", "LOG KEY"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    let out = desk.path("label.svg");
    desk.ok(&[&["label", "00/106141412345678908", "-o", &out][..], &at].concat());
    assert!(
        std::fs::read_to_string(&out)
            .unwrap()
            .contains("(00)106141412345678908")
    );
    desk.fails(EXIT_NO, "", &[&["label", "nonsense"][..], &at].concat());
    desk.fails(
        EXIT_NO,
        "https://",
        &["label", unit, "--resolver", "trace.example"],
    );
}

fn party_register(desk: &mut Desk) {
    for (name, party, role) in [
        ("maker", MAKER.to_owned(), "maker"),
        ("courier", COURIER.to_owned(), "courier"),
        ("stranger", STRANGER.to_owned(), "courier"),
        ("pharma", gln(PHARMA_PREFIX), "maker"),
    ] {
        let key = desk.path(&format!("{name}.key"));
        let arguments = ["party", "register", "--key", &key, "--party", &party];
        let arguments = [
            &arguments[..],
            &["--name", name, "--role", role, "--city", "福州"],
        ]
        .concat();
        let receipt = desk.json(&[&arguments[..], &["--region", "CN-FJ"]].concat());
        assert!(receipt["logIndex"].as_u64().unwrap() > 0);
        desk.fails(EXIT_NO, "ALREADY_EXISTS", &arguments);
    }
}

fn party_approve(desk: &mut Desk) {
    let own = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "PARTY_NOT_ACTIVE",
        &["party", "approve", "--key", &own, MAKER],
    );
    for party in [MAKER, COURIER, STRANGER, &gln(PHARMA_PREFIX)] {
        let said = desk.ok(&["party", "approve", "--key", &desk.regulator(), party]);
        assert!(said.contains("is approved"), "{said}");
    }
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &["party", "approve", "--key", &own, MAKER],
    );
}

fn party_list(desk: &mut Desk) {
    let parties = desk.json_lines(&["party", "list"]);
    assert_eq!(parties.len(), 5);
    let maker = parties.iter().find(|party| party["id"] == MAKER).unwrap();
    assert_eq!(
        (&maker["status"], &maker["city"]),
        (&"PARTY_STATUS_ACTIVE".into(), &"福州".into())
    );
    let text = desk.ok(&["party", "list"]);
    assert!(
        text.lines()
            .any(|line| line.contains(COURIER) && line.contains("COURIER")),
        "{text}"
    );
}

fn product_claim(desk: &mut Desk) {
    for (name, digits) in [("maker", PREFIX), ("pharma", PHARMA_PREFIX)] {
        let key = desk.path(&format!("{name}.key"));
        let scope = ["--company-prefix", digits, "--name", name];
        let said = desk.ok(&[&["product", "claim", "--key", &key][..], &scope].concat());
        assert!(said.contains("waits for approval"), "{said}");
    }
    let key = desk.path("maker.key");
    let claim = [
        "product",
        "claim",
        "--key",
        &key,
        "--gtin",
        "10614141123458",
    ];
    desk.fails(EXIT_NO, "expected 9", &claim);
}

fn product_approve(desk: &mut Desk) {
    for (party, digits) in [(MAKER, PREFIX), (&gln(PHARMA_PREFIX), PHARMA_PREFIX)] {
        let key = desk.regulator();
        let scope = ["--company-prefix", digits, "--party", party];
        let arguments = [&["product", "approve", "--key", &key][..], &scope].concat();
        desk.ok(&arguments);
        let by_maker = desk.path("maker.key");
        let arguments = [&["product", "approve", "--key", &by_maker][..], &scope].concat();
        desk.fails(EXIT_NO, "UNAUTHORISED", &arguments);
    }
}

fn product_list(desk: &mut Desk) {
    let products = desk.json_lines(&["product", "list"]);
    assert_eq!(products.len(), 2);
    assert!(
        products
            .iter()
            .all(|product| product["approvedAt"].as_u64().unwrap() > 0)
    );
    let text = desk.ok(&["product", "list"]);
    assert!(text.lines().all(|line| line.contains("approved")), "{text}");
}

fn delegate_command(desk: &mut Desk) {
    let (key, device) = (desk.path("courier.key"), desk.path("scanner.key"));
    let said = desk.ok(&["delegate", "--key", &key, "--to", &device, "--days", "30"]);
    let id = read_key(Path::new(&device)).key_id().to_string();
    assert!(said.contains(&id) && said.contains(COURIER), "{said}");
    desk.fails(
        EXIT_NO,
        "ALREADY_EXISTS",
        &["delegate", "--key", &key, "--to", &device],
    );
}

/// A phone meets its firm: what the scanner does, here by hand.
fn enrol(desk: &mut Desk) {
    let firm = desk.path("courier.key");
    let pages = desk.server.http.clone();
    let begin = |more: &[&str]| {
        let mut child = custody()
            .args(["enrol", "--key", &firm, "--pages", &pages, "--json"])
            .args(more)
            .env("CUSTODY_LEDGER", &desk.server.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let said = json(&line);
        let code = said["code"].as_str().unwrap().to_owned();
        assert_eq!(said["link"], format!("{pages}/scan#enrol={code}"));
        (child, lines, PrintedSecret::read(&code).unwrap())
    };
    let phone = key(40);
    let send = |code: &PrintedSecret, mac: [u8; 32]| {
        let room = format!("{pages}/scan/enrol/{}", enrolment::room(code));
        let text = ureq::get(&room).call().unwrap().body_mut().read_to_string();
        let whose = json(&text.unwrap());
        assert_eq!(whose["party"], COURIER);
        let party: custody::core::id::PartyId = COURIER.parse().unwrap();
        assert_eq!(whose["mac"], base64(&enrolment::party_mac(code, party)));
        let possession = phone.sign(&custody::core::envelope::key_possession_pae(
            ORIGIN, COURIER,
        ));
        let body = serde_json::json!({
            "publicKey": base64(phone.public_key().as_bytes()),
            "possession": base64(&possession),
            "mac": base64(&mac),
        });
        let sent = ureq::post(&room)
            .header("content-type", "application/json")
            .send(body.to_string());
        assert_eq!(sent.unwrap().status().as_u16(), 204);
        room
    };
    // Whoever runs the meeting place puts in a key of its own: the firm notices.
    let (child, _, code) = begin(&["--yes"]);
    send(&code, [0; 32]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_NO), "{}", stderr(&output));
    assert!(stderr(&output).contains("not from a phone that knows the code"));
    // The numbers on the two screens differ: the firm says no.
    let (mut child, _, code) = begin(&[]);
    let room = send(
        &code,
        enrolment::key_mac(&code, phone.public_key().as_bytes()),
    );
    child.stdin.take().unwrap().write_all(b"n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_NO), "{}", stderr(&output));
    assert!(stderr(&output).contains(&phone.key_id().to_string()[..8]));
    // One code is for one phone.
    let other = serde_json::json!({ "publicKey": "AA==", "possession": "AA==", "mac": "AA==" });
    let second = ureq::post(&room)
        .header("content-type", "application/json")
        .send(other.to_string());
    assert!(matches!(second, Err(ureq::Error::StatusCode(409))));
    let (mut child, mut lines, code) = begin(&[]);
    send(
        &code,
        enrolment::key_mac(&code, phone.public_key().as_bytes()),
    );
    child.stdin.take().unwrap().write_all(b"y\n").unwrap();
    let mut receipt = String::new();
    lines.read_to_string(&mut receipt).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(json(&receipt)["logIndex"].as_u64().is_some(), "{receipt}");
    let again = ["enrol", "--key", &desk.path("none.key"), "--pages", &pages];
    desk.fails(EXIT_COULD_NOT, "none.key", &again);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn token(desk: &mut Desk) {
    let key = desk.regulator();
    assert!(desk.ok(&["token", "--key", &key]).starts_with("v4.public."));
    let made = desk.json(&["token", "--key", &key, "--seconds", "60"]);
    assert!(made["token"].as_str().unwrap().starts_with("v4.public."));
    desk.fails(
        EXIT_USAGE,
        "seconds",
        &["token", "--key", &key, "--seconds", "3601"],
    );
}

fn scan_command(desk: &mut Desk) {
    let [maker, scanner] = ["maker.key", "scanner.key"].map(|name| desk.path(name));
    let unit = unit(1).to_string();
    let said = desk.ok(&[
        "scan",
        "--key",
        &maker,
        "--kind",
        "commission",
        &unit,
        "--lot",
        "L1",
    ]);
    assert!(said.contains("clean"), "{said}");
    let give = [
        "scan", "--key", &maker, "--kind", "handover", "--to", COURIER, &unit,
    ];
    let place = [
        "--city",
        "福州",
        "--region",
        "CN-FJ",
        "--position",
        "26.0745,119.2965",
    ];
    let receipt = desk.json(&[&give[..], &place].concat());
    assert_eq!(
        receipt["recordId"].as_str().unwrap().len(),
        44,
        "32 bytes in base64"
    );
    desk.ok(&["scan", "--key", &scanner, "--kind", "accept", &unit]);
    // A scan by a stranger is a finding, and no refusal.
    let stranger = desk.path("stranger.key");
    let said = desk.ok(&["scan", "--key", &stranger, &unit]);
    assert!(said.contains("NOT_HOLDER"), "{said}");
    desk.fails(
        EXIT_NO,
        "expected 9",
        &["scan", "--key", &maker, "01/10614141123458/21/1"],
    );
    let void = ["scan", "--key", &scanner, "--kind", "void", &unit];
    desk.fails(EXIT_NO, "FAILED_PRECONDITION", &void);
    desk.fails(
        EXIT_USAGE,
        "--to",
        &["scan", "--key", &maker, "--kind", "handover", &unit],
    );
}

fn submit_command(desk: &mut Desk) {
    let (key, drafts) = (desk.path("maker.key"), desk.path("drafts.jsonl"));
    let line = |serial: u64, body: &str| {
        format!("{{\"units\":[{{\"id\":\"{}\"}}],{body}}}\n", unit(serial))
    };
    let text = [
        line(10, "\"commission\":{}"),
        line(11, "\"commission\":{}"),
        line(10, "\"scan\":{}"),
    ];
    std::fs::write(&drafts, text.concat()).unwrap();
    let submit = ["submit", "--key", &key, &drafts];
    let said = desk.ok(&submit);
    assert!(
        said.contains("3 accepted (0 with findings), 0 refused, 0 were"),
        "{said}"
    );
    let size = desk.size();
    let said = desk.ok(&submit);
    assert!(
        said.contains("0 accepted (0 with findings), 0 refused, 3 were acknowledged"),
        "{said}"
    );

    // Interrupted before the last acknowledgement was written down: the same envelope is sent again.
    let outbox = format!("{drafts}.outbox");
    let written = std::fs::read_to_string(&outbox).unwrap();
    let (before, _) = written.trim_end().rsplit_once('\n').unwrap();
    std::fs::write(&outbox, format!("{before}\n{{\"line\":3,\"do")).unwrap();
    let said = desk.ok(&submit);
    assert!(
        said.contains("1 accepted (0 with findings), 0 refused, 2 were acknowledged"),
        "{said}"
    );
    assert_eq!(desk.size(), size, "and nothing is in the log twice");

    let more = desk.path("more.jsonl");
    std::fs::write(
        &more,
        [line(12, "\"commission\":{}"), line(10, "\"void\":{}")].concat(),
    )
    .unwrap();
    let output = desk.server.run(&["submit", "--json", "--key", &key, &more]);
    assert_eq!(output.status.code(), Some(EXIT_NO), "{}", stderr(&output));
    let answers = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(answers[0]["logIndex"], size);
    assert_eq!(answers[1]["reason"], "FAILED_PRECONDITION");
    // What was refused is tried again; what went in is not.
    let output = desk.server.run(&["submit", "--key", &key, &more]);
    assert_eq!(output.status.code(), Some(EXIT_NO), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("0 accepted (0 with findings), 1 refused, 1 were"),
        "{said}"
    );
    let bad = desk.path("bad.jsonl");
    std::fs::write(&bad, "{\"units\":[],\"teleport\":{}}\n").unwrap();
    desk.fails(EXIT_NO, "line 1", &["submit", "--key", &key, &bad]);
    desk.fails(
        EXIT_COULD_NOT,
        "",
        &["submit", "--key", &key, &desk.path("none.jsonl")],
    );
}

fn trace(desk: &mut Desk) {
    let canonical = unit(1).to_string();
    let link = format!("https://id.gs1.org/{canonical}");
    let urn = "urn:epc:id:sgtin:0614141.112345.1";
    let first = desk.json(&["trace", &canonical]);
    assert_eq!(first["steps"].as_array().unwrap().len(), 4);
    assert_eq!(first["attributes"]["lot"], "L1");
    assert_eq!(first["holder"], COURIER);
    for spelling in [&link, urn, "(01)10614141123459(21)1"] {
        assert_eq!(desk.json(&["trace", spelling]), first, "{spelling}");
    }
    let text = desk.ok(&["trace", &canonical]);
    for says in [
        &*canonical,
        "SUSPECT",
        "NOT_HOLDER",
        "in 福州",
        "[beside the chain]",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    desk.fails(EXIT_NO, "not known", &["trace", &unit(404).to_string()]);
    desk.fails(EXIT_NO, "expected 9", &["trace", "01/10614141123458/21/1"]);
}

fn bundle(desk: &mut Desk) {
    let file = desk.path("unit.bundle");
    let made = desk.json(&["bundle", &unit(1).to_string(), "-o", &file]);
    assert_eq!(made["unit"], unit(1).to_string());
    assert_eq!(made["bytes"], std::fs::metadata(&file).unwrap().len());
    let nowhere = desk.path("no/such/folder");
    desk.fails(
        EXIT_COULD_NOT,
        "",
        &["bundle", &unit(1).to_string(), "-o", &nowhere],
    );
}

fn verify(desk: &mut Desk) {
    let (file, trust) = (desk.path("unit.bundle"), desk.trust());
    let text = desk.ok(&["verify", &file, "--trust", &trust]);
    assert!(
        text.lines().filter(|line| line.starts_with("ok ")).count() >= 5,
        "{text}"
    );
    let key = desk.server.log_key();
    let report = desk.json(&["verify", &file, "--trust", &key]);
    assert_eq!(
        (&report["passed"], &report["standing"]["word"]),
        (&true.into(), &"SUSPECT".into())
    );

    let bytes = std::fs::read(&file).unwrap();
    let mut tampered = bytes.clone();
    tampered[bytes.len() / 2] ^= 1;
    let bad = desk.path("bad.bundle");
    for (case, bytes) in [
        ("tampered", tampered),
        ("cut", bytes[..bytes.len() - 1].to_vec()),
        ("garbage", b"what is this?".to_vec()),
        ("empty", Vec::new()),
    ] {
        std::fs::write(&bad, bytes).unwrap();
        let output = desk
            .server
            .run(&["verify", &bad, "--trust", &trust, "--json"]);
        assert_eq!(
            output.status.code(),
            Some(EXIT_NO),
            "{case}: {}",
            stderr(&output)
        );
        let report = json(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(report["passed"], false, "{case}");
    }
    let other = std::fs::read_to_string(desk.path("second/log.vkey")).unwrap();
    desk.fails(
        EXIT_NO,
        "does not verify",
        &["verify", &file, "--trust", other.trim()],
    );
    desk.fails(
        EXIT_NO,
        "--trust",
        &["verify", &file, "--trust", "nonsense"],
    );
    desk.fails(
        EXIT_COULD_NOT,
        "",
        &["verify", &desk.path("none.bundle"), "--trust", &trust],
    );
}

fn findings(desk: &mut Desk) {
    let key = desk.regulator();
    let all = desk.json_lines(&["findings", "--key", &key]);
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0]["kind"], &all[0]["party"]),
        (&"NOT_HOLDER".into(), &STRANGER.into())
    );
    let text = desk.ok(&["findings", "--key", &key, "--kind", "NOT_HOLDER,EXPIRED"]);
    assert!(
        text.contains(&unit(1).to_string()) && text.contains("OPEN"),
        "{text}"
    );
    assert_eq!(desk.ok(&["findings", "--key", &key, "--by", MAKER]), "");
    desk.fails(
        EXIT_NO,
        "no finding MAGIC",
        &["findings", "--key", &key, "--kind", "MAGIC"],
    );
    let maker = desk.path("maker.key");
    desk.fails(EXIT_NO, "none of the roles", &["findings", "--key", &maker]);

    // Live: what is there from number 1 on, then what comes.
    let mut follow = custody();
    follow
        .env("CUSTODY_LEDGER", &desk.server.address)
        .stdout(Stdio::piped());
    follow.args([
        "findings", "--key", &key, "--follow", "--from", "1", "--json",
    ]);
    let mut follow = follow.spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(json(&lines.next().unwrap().unwrap())["sequence"], 1);
    desk.ok(&[
        "scan",
        "--key",
        &desk.path("stranger.key"),
        &unit(10).to_string(),
    ]);
    let second = json(&lines.next().unwrap().unwrap());
    assert_eq!(
        (&second["sequence"], &second["unit"]),
        (&2.into(), &unit(10).to_string().into())
    );
    follow.kill().unwrap();
    follow.wait().unwrap();
}

fn evidence(desk: &mut Desk) {
    let (key, trust, folder) = (desk.regulator(), desk.trust(), desk.path("case-1"));
    let arguments = [
        "evidence", "1", "--key", &key, "--trust", &trust, "-o", &folder,
    ];
    let made = desk.json(&arguments);
    assert_eq!(made["finding"]["kind"], "NOT_HOLDER");
    let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).unwrap();
    for report in ["report.zh.md", "report.en.md"] {
        let text = read(report);
        let named = [
            STRANGER,
            "NOT_HOLDER",
            &unit(1).to_string(),
            "custody verify",
        ];
        assert!(
            named.iter().all(|says| text.contains(says)),
            "{report}: {text}"
        );
    }
    assert!(read("report.zh.md").contains("后续措施"));
    assert_eq!(json(&read("finding.json"))["sequence"], 1);
    let [bundle, log_key] = ["unit.bundle", "log.vkey"].map(|name| Path::new(&folder).join(name));
    let [bundle, log_key] = [&bundle, &log_key].map(|path| path.to_str().unwrap());
    desk.ok(&["verify", bundle, "--trust", log_key]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 5);
    desk.fails(EXIT_COULD_NOT, "exists", &arguments);
    let none = [
        "evidence",
        "99",
        "--key",
        &key,
        "--trust",
        &trust,
        "-o",
        &desk.path("case-99"),
    ];
    desk.fails(EXIT_NO, "there is no finding 99", &none);
}

/// A real document, or none with a loud word.
fn document(name: &str) -> Option<String> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/epcis"));
    let path = root.join(name);
    if path.is_file() {
        return Some(path.to_str().unwrap().to_owned());
    }
    eprintln!("SKIPPED: the EPCIS document is not at {}", path.display());
    None
}

fn epcis_import(desk: &mut Desk) {
    let bad = desk.path("bad.json");
    std::fs::write(&bad, "{\"type\": \"EPCISDocument\"}").unwrap();
    let maker = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "is refused",
        &["epcis", "import", "--key", &maker, &bad],
    );
    let none = desk.path("none.json");
    desk.fails(
        EXIT_COULD_NOT,
        "",
        &["epcis", "import", "--key", &maker, &none],
    );

    if let Some(file) = document("Documents/ObjectEvent.json") {
        // The goods that it is about, made before it tells of them.
        let goods = [2017, 2018].map(|serial| format!("urn:epc:id:sgtin:0614141.107346.{serial}"));
        let made = [
            "scan",
            "--key",
            &maker,
            "--kind",
            "commission",
            "--time",
            "1100000000000",
        ];
        desk.ok(&[&made[..], &[&goods[0], &goods[1]]].concat());
        let size = desk.size();
        let dry = desk.json_lines(&["epcis", "import", "--key", &maker, "--dry-run", &file]);
        assert!(!dry.is_empty());
        assert_eq!(desk.size(), size, "a dry run writes nothing");
        let events = desk.json_lines(&["epcis", "import", "--key", &maker, &file]);
        assert_eq!(events.len(), dry.len());
        assert!(
            events.iter().all(|event| event["outcome"] == "imported"),
            "{events:?}"
        );
        assert_eq!(desk.size(), size + events.len() as u64);
    }
    if let Some(file) = document(PHARMA) {
        pharma_chain(desk, &file);
    }
}

/// One bottle of the real pharmaceutical chain: made, packed twice, shipped with its pallet.
fn pharma_chain(desk: &Desk, file: &str) {
    let key = desk.path("pharma.key");
    let events = desk.json_lines(&["epcis", "import", "--key", &key, file]);
    assert_eq!(events.len(), 8, "{events:?}");
    assert!(
        events.iter().all(|event| event["outcome"] == "imported"),
        "{events:?}"
    );

    let told = desk.json(&["trace", BOTTLE]);
    let bottle: UnitId = UnitId::parse_any(BOTTLE).unwrap();
    let case = UnitId::parse_any("urn:epc:id:sgtin:030001.1012345.110")
        .unwrap()
        .to_string();
    let pallet = UnitId::parse_any("urn:epc:id:sscc:030001.41234567890")
        .unwrap()
        .to_string();
    let steps = told["steps"].as_array().unwrap();
    let step = |step: &Value| {
        let via = step["via"].as_str().unwrap_or_default().to_owned();
        (step["kind"].as_str().unwrap().to_owned(), via)
    };
    let expected = [
        ("commission".to_owned(), String::new()),
        ("pack".to_owned(), String::new()),
        ("pack".to_owned(), case.clone()),
        ("handover".to_owned(), pallet.clone()),
    ];
    assert_eq!(
        steps.iter().map(step).collect::<Vec<_>>(),
        expected,
        "{told:#}"
    );
    let summary = |i: usize| steps[i]["summary"].as_str().unwrap();
    assert!(
        summary(1).contains(&case) && summary(2).contains(&pallet),
        "{told:#}"
    );
    let attributes = &told["attributes"];
    assert_eq!(
        (&attributes["lot"], &attributes["expiry"]),
        (&"A123".into(), &20_250_327.into())
    );

    // Both spellings name the same unit.
    assert_eq!(desk.json(&["trace", &bottle.to_string()]), told);
    assert_eq!(
        desk.json(&["trace", &format!("https://example.com/{bottle}")]),
        told
    );
}

fn epcis_export(desk: &mut Desk) {
    let key = desk.regulator();
    let exported = desk.json(&["epcis", "export", "--key", &key, &unit(1).to_string()]);
    let steps = |document: &Value| -> Vec<String> {
        let events = document["epcisBody"]["eventList"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["bizStep"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        steps(&exported)[..3],
        ["commissioning", "shipping", "receiving"]
    );
    if document(PHARMA).is_some() {
        let exported = desk.json(&["epcis", "export", "--key", &key, BOTTLE]);
        assert_eq!(
            steps(&exported),
            ["commissioning", "packing", "packing", "shipping"]
        );
    }
    let maker = desk.path("maker.key");
    let arguments = ["epcis", "export", "--key", &maker, &unit(1).to_string()];
    desk.fails(EXIT_NO, "none of the roles", &arguments);
}

fn gateway(desk: &mut Desk) {
    let (key, state) = (desk.path("maker.key"), desk.path("gateway"));
    let mut child = custody()
        .env("CUSTODY_LEDGER", &desk.server.address)
        .args([
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--key",
            &key,
            "--state",
            &state,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.next().unwrap().unwrap();
    let (who, address) = said.split_once(" on ").unwrap();
    assert_eq!(who, format!("custody: gateway of {MAKER}"));
    let said = lines.next().unwrap().unwrap();
    let token = said.strip_prefix("custody: callers' token in ").unwrap();
    let mode = std::fs::metadata(token).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nobody without the token; `tests/epcis_rest.rs` asks with it.
    assert!(http_get(address, "/events").starts_with("HTTP/1.1 401"));
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    let open = [
        "gateway",
        "--listen",
        "0.0.0.0:0",
        "--key",
        &key,
        "--state",
        &state,
    ];
    desk.fails(EXIT_COULD_NOT, "--tls-cert", &open);
}

fn backup(desk: &mut Desk) {
    let data = desk.server.data.to_str().unwrap().to_owned();
    let (log_key, into) = (format!("{data}/log.key"), desk.path("backup"));
    let made = desk.json(&["backup", "--log-key", &log_key, "--into", &into]);
    assert_eq!(made["root"].as_str().map(str::len), Some(64), "{made}");
    assert_eq!(made["data"], into.as_str());
    let again = ["backup", "--log-key", &log_key, "--into", &into];
    desk.fails(EXIT_NO, "name a new folder", &again);
    let elsewhere = desk.path("backup-2");
    let no_key = ["backup", "--log-key", &into, "--into", &elsewhere];
    desk.fails(EXIT_COULD_NOT, "", &no_key);
    desk.ok(&["audit", "--data", &into, "--trust", &desk.trust()]);
}

fn rebuild(desk: &mut Desk) {
    let (old, new) = (desk.path("archived"), desk.path("rebuilt"));
    let archive = format!("file://{}", desk.path("archive"));
    init(Path::new(&old));
    let arguments = ["--archive", &archive, "--archive-seconds", "1"];
    let server = Server::open(Path::new(&old), &arguments);
    let audit = [
        "audit",
        "--from",
        &archive,
        "--trust",
        &format!("{old}/log.vkey"),
    ];
    while !server.run(&audit).status.success() {
        std::thread::yield_now();
    }
    let rebuild = ["rebuild", "--from", &archive, "--data", &new];
    desk.fails(EXIT_COULD_NOT, "log.key", &rebuild);
    std::fs::create_dir(&new).unwrap();
    std::fs::copy(format!("{old}/log.key"), format!("{new}/log.key")).unwrap();
    let made = desk.json(&rebuild);
    assert_eq!(made["entries"], 1, "{made}");
    assert_eq!(made["data"], new.as_str());
    desk.fails(EXIT_COULD_NOT, "is there already", &rebuild);
    let nowhere = ["rebuild", "--data", &new, "--from", "ftp://a/b"];
    desk.fails(EXIT_COULD_NOT, "s3://bucket/prefix", &nowhere);
    let empty = format!("file://{}", desk.path("nothing"));
    std::fs::create_dir(desk.path("nothing")).unwrap();
    let nothing = ["rebuild", "--data", &new, "--from", &empty];
    desk.fails(EXIT_NO, "checkpoint is missing", &nothing);
}

fn cluster_reset(desk: &mut Desk) {
    let nowhere = "etcd://127.0.0.1:1";
    let data = desk.path("second");
    let reset = ["cluster", "reset", "--data", &data, "--cluster"];
    let with = |etcd: &'static str| [&reset[..], &[etcd]].concat();
    desk.fails(EXIT_COULD_NOT, "etcd://host:port", &with("http://here"));
    desk.fails(EXIT_COULD_NOT, "etcd", &with(nowhere));
    let Some(etcd) = etcd::Etcd::start() else {
        return;
    };
    let address = etcd.address();
    let made = desk.json(&[&reset[..], &[&address, "--node", "one"]].concat());
    assert_eq!(made["group"], 0, "{made}");
    assert_eq!(made["entries"], 1, "{made}");
    let text = desk.ok(&[&reset[..], &[&address]].concat());
    assert!(text.starts_with("the cluster begins again"), "{text}");
}

fn audit(desk: &mut Desk) {
    let (key, trust) = (desk.regulator(), desk.trust());
    let running = desk.json(&["audit", "--key", &key, "--trust", &trust]);
    assert_eq!(running["passed"], true);
    let text = desk.ok(&["audit", "--key", &key, "--trust", &trust]);
    assert!(text.starts_with("ok: "), "{text}");
    let other = desk.path("second/log.vkey");
    desk.fails(
        EXIT_NO,
        "checkpoint",
        &["audit", "--key", &key, "--trust", &other],
    );
    let maker = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "none of the roles",
        &["audit", "--key", &maker, "--trust", &trust],
    );

    let data = desk.server.data.clone();
    let folder = data.to_str().unwrap();
    desk.fails(
        EXIT_COULD_NOT,
        "",
        &["audit", "--data", folder, "--trust", &trust],
    );
    desk.server.stop();
    let mut of_folder = desk.json(&["audit", "--data", folder, "--trust", &trust]);
    // After which group of a cluster it is, only a folder says.
    let group = of_folder["group"].take();
    let is_node = std::env::var("CUSTODY_TEST_ORDER").is_ok();
    assert_eq!(group.is_u64(), is_node, "{group}");
    assert_eq!(of_folder, running);
    let none = desk.path("no-ledger");
    desk.fails(
        EXIT_COULD_NOT,
        "",
        &["audit", "--data", &none, "--trust", &trust],
    );
    desk.server = Server::open(&data, &[]);
}

fn simulate(desk: &mut Desk) {
    // On a ledger of its own: its story needs parties that are not there yet.
    let server = Server::start();
    let key = server.data.join("regulator.key");
    let truth = desk.path("truth.json");
    let size = ["--seed", "1", "--units", "200", "--parties", "20"];
    let arguments = [
        "simulate",
        "--key",
        key.to_str().unwrap(),
        "--truth",
        &truth,
        "--json",
    ];
    let told = json(&server.run_ok(&[&arguments[..], &size].concat()));
    assert_eq!(told["passed"], true, "{told:#}");
    assert!(told["records"].as_u64().unwrap() > 200);
    json(&std::fs::read_to_string(&truth).unwrap());
    let trust = server.data.join("log.vkey");
    let audit = [
        "audit",
        "--key",
        key.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
    ];
    server.run_ok(&audit);
}

fn completions(desk: &mut Desk) {
    let script = desk.ok(&["completions", "bash"]);
    assert!(
        script.contains("_custody") && script.contains("complete -F"),
        "{script}"
    );
    for name in custody::cli::subcommands()
        .iter()
        .filter(|name| !name.contains(' '))
    {
        assert!(script.contains(name), "{name} is not completed");
    }
    desk.fails(EXIT_USAGE, "tcsh", &["completions", "tcsh"]);
}

/// Runs a command that signs a record; the entry.
fn entry(desk: &Desk, key: &str, arguments: &[&str]) -> u64 {
    let receipt = desk.json(&[arguments, &["--key", key]].concat());
    receipt["logIndex"].as_u64().unwrap()
}
