//! The subcommands of credit supervision, claims and cases.

use super::*;

pub(super) fn note(desk: &Desk) -> String {
    let path = desk.path("document.txt");
    std::fs::write(&path, "what was served").unwrap();
    path
}

/// The stranger's only listing, as the regulator sees it.
fn listing_of_the_stranger(desk: &Desk) -> Value {
    let key = desk.regulator();
    let listings = desk.json_lines(&["listing", "list", "--subject", STRANGER, "--key", &key]);
    assert_eq!(listings.len(), 1);
    listings[0].clone()
}

pub(super) fn listing_number(desk: &Desk) -> String {
    listing_of_the_stranger(desk)["logIndex"].to_string()
}

fn phase(desk: &Desk) -> String {
    let phase = listing_of_the_stranger(desk)["phase"].clone();
    phase.as_str().unwrap().to_owned()
}

pub(super) fn credit_commit(desk: &mut Desk) {
    let (key, document) = (desk.path("stranger.key"), note(desk));
    let text = "We scan what we hold.";
    let commit = ["credit", "commit", "--kind", "voluntary", "--text", text];
    assert!(entry(desk, &key, &commit) > 0);
    let said = desk.ok(&[&commit[..], &["--document", &document, "--key", &key]].concat());
    assert!(said.contains("in public"), "{said}");
    let empty = ["credit", "commit", "--kind", "repair", "--key", &key];
    desk.fails(EXIT_NO, "make_commitment.text", &empty);
}

pub(super) fn credit_breach(desk: &mut Desk) {
    let file = desk.json_lines(&["credit", "file", STRANGER]);
    let made = file[0]["commitment"]["logIndex"].to_string();
    let breach = ["credit", "breach", &made, "--reason", "scanned another's"];
    let breach = [&breach[..], &["--document", "B-1", "--evidence", "1"]].concat();
    entry(desk, &desk.regulator(), &breach);
    let own = desk.path("stranger.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&breach[..], &["--key", &own]].concat(),
    );
}

pub(super) fn credit_record(desk: &mut Desk) {
    let key = desk.regulator();
    let record = [
        "credit",
        "record",
        "--subject",
        STRANGER,
        "--kind",
        "penalty",
    ];
    let more = [
        "--legal-basis",
        "art. 50",
        "--document",
        "P-1",
        "--date",
        "20260601",
    ];
    let record = [&record[..], &more, &["--text", "fined"]].concat();
    let ordinary = [&record[..], &["--severity", "ordinary"]].concat();
    entry(desk, &key, &ordinary);
    desk.fails(
        EXIT_NO,
        "add_credit_record.severity",
        &[&record[..], &["--key", &key]].concat(),
    );
    let erasable = [&ordinary[..], &["--erasable", "--key", &key]].concat();
    let output = desk.server.run(&erasable);
    assert!(stderr(&output).contains("salt "), "{}", stderr(&output));
    assert!(output.status.success());
}

pub(super) fn credit_policy(desk: &mut Desk) {
    let said = desk.ok(&["credit", "policy"]);
    assert!(said.contains("serious (严重)   12 to 36 months"), "{said}");
    assert!(said.contains("by default"), "{said}");
}

pub(super) fn credit_set_policy(desk: &mut Desk) {
    let set = [
        "credit",
        "set-policy",
        "--legal-basis",
        "trial measures, art. 1",
    ];
    let set = [&set[..], &["--serious-min-months", "0"]].concat();
    let own = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&set[..], &["--key", &own]].concat(),
    );
    let at = entry(desk, &desk.regulator(), &set);
    let policy = desk.json(&["credit", "policy"]);
    assert_eq!(policy["logIndex"], at);
    assert_eq!(
        policy["policy"]["seriousMaxMonths"], 36,
        "what was left out stays"
    );
    assert_eq!(policy["policy"]["legalBasis"], "trial measures, art. 1");
}

pub(super) fn listing_propose(desk: &mut Desk) {
    let propose = [
        "listing",
        "propose",
        "--list",
        "black",
        "--subject",
        STRANGER,
    ];
    let facts = [
        "--severity",
        "serious",
        "--reason",
        "sold copies",
        "--evidence",
        "1",
    ];
    let law = ["--legal-basis", "art. 84", "--document", "2026-17"];
    let propose = [&propose[..], &facts, &law].concat();
    let own = desk.path("stranger.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&propose[..], &["--key", &own]].concat(),
    );
    let at = entry(desk, &desk.regulator(), &propose);
    assert_eq!(listing_number(desk), at.to_string());
    assert_eq!(phase(desk), "LISTING_PHASE_PROPOSED");
}

pub(super) fn listing_notify(desk: &mut Desk) {
    let (listing, notice) = (listing_number(desk), note(desk));
    let notify = ["listing", "notify", &listing, "--document", "2026-18"];
    let notify = [&notify[..], &["--notice", &notice]].concat();
    entry(desk, &desk.regulator(), &notify);
    assert_eq!(phase(desk), "LISTING_PHASE_NOTIFIED");
}

pub(super) fn listing_state(desk: &mut Desk) {
    let (listing, statement) = (listing_number(desk), note(desk));
    let state = ["listing", "state", &listing, "--text", "not us"];
    let state = [&state[..], &["--statement", &statement]].concat();
    let other = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&state[..], &["--key", &other]].concat(),
    );
    entry(desk, &desk.path("stranger.key"), &state);
}

pub(super) fn listing_decide(desk: &mut Desk) {
    let listing = listing_number(desk);
    let decide = [
        "listing",
        "decide",
        &listing,
        "list",
        "--severity",
        "serious",
    ];
    let law = ["--legal-basis", "art. 84", "--document", "2026-19"];
    let decide = [&decide[..], &law].concat();
    let key = desk.regulator();
    let too_long = [&decide[..], &["--months", "37", "--key", &key]].concat();
    desk.fails(EXIT_NO, "0 to 36 months", &too_long);
    entry(desk, &key, &[&decide[..], &["--months", "24"]].concat());
    assert_eq!(phase(desk), "LISTING_PHASE_DECIDED");
}

pub(super) fn listing_publish(desk: &mut Desk) {
    let listing = listing_number(desk);
    entry(desk, &desk.regulator(), &["listing", "publish", &listing]);
    assert_eq!(phase(desk), "LISTING_PHASE_IN_FORCE");
}

pub(super) fn listing_object(desk: &mut Desk) {
    let (listing, statement) = (listing_number(desk), note(desk));
    let object = ["listing", "object", &listing, "--reason", "not us"];
    let object = [&object[..], &["--statement", &statement]].concat();
    entry(desk, &desk.path("stranger.key"), &object);
    let listing = listing_of_the_stranger(desk);
    assert!(listing["objection"]["answerUntilMs"].as_u64() > Some(0));
}

pub(super) fn listing_answer(desk: &mut Desk) {
    let listing = listing_number(desk);
    let answer = [
        "listing",
        "answer",
        &listing,
        "refused",
        "--document",
        "2026-20",
    ];
    entry(desk, &desk.regulator(), &answer);
    let listing = listing_of_the_stranger(desk);
    assert_eq!(listing["objection"]["answer"], "ANSWER_REFUSED");
}

pub(super) fn listing_repair(desk: &mut Desk) {
    let (listing, proof, key) = (listing_number(desk), note(desk), desk.path("stranger.key"));
    let commit = [
        "credit",
        "commit",
        "--kind",
        "repair",
        "--text",
        "We trained our staff.",
    ];
    let commitment = entry(desk, &key, &commit).to_string();
    let repair = ["listing", "repair", &listing, "--proof", &proof];
    let unfit = [&repair[..], &["--commitment", "1", "--key", &key]].concat();
    desk.fails(EXIT_NO, "NOT_FOUND", &unfit);
    entry(
        desk,
        &key,
        &[&repair[..], &["--commitment", &commitment]].concat(),
    );
}

pub(super) fn listing_show(desk: &mut Desk) {
    let listing = listing_number(desk);
    let said = desk.ok(&["listing", "show", &listing]);
    assert!(said.contains("黑名单 严重 IN_FORCE"), "{said}");
    assert!(said.contains("published 公示: 20"), "{said}");
    desk.fails(EXIT_NO, "no public listing", &["listing", "show", "1"]);
}

pub(super) fn listing_list(desk: &mut Desk) {
    let said = desk.ok(&["listing", "list", "--list", "black"]);
    assert!(said.contains("sold copies"), "{said}");
    assert_eq!(desk.ok(&["listing", "list", "--list", "red"]), "");
}

pub(super) fn listing_check(desk: &mut Desk) {
    let (key, trust) = (desk.regulator(), desk.trust());
    let check = ["listing", "check", "--key", &key, "--trust", &trust];
    let said = desk.ok(&[&check[..], &[MAKER, COURIER]].concat());
    assert!(said.contains(&format!("{MAKER} ALLOWED")), "{said}");
    desk.fails(
        EXIT_NO,
        "1 of them may not enter",
        &[&check[..], &[STRANGER, MAKER]].concat(),
    );
    let other = desk.path("second/log.vkey");
    let untrusted = ["listing", "check", "--key", &key, "--trust", &other, MAKER];
    desk.fails(EXIT_NO, "", &untrusted);
}

pub(super) fn credit_file(desk: &mut Desk) {
    let said = desk.ok(&["credit", "file", STRANGER]);
    for expected in [
        "信用承诺 主动型",
        "not kept",
        "信用记录 行政处罚 一般",
        "黑名单",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let key = desk.path("stranger.key");
    let own = desk.json_lines(&["credit", "file", STRANGER, "--key", &key]);
    assert_eq!(own.len(), 7);
    desk.fails(
        EXIT_NO,
        "no public credit file",
        &["credit", "file", &gln("9521")],
    );
}

pub(super) fn listing_decide_repair(desk: &mut Desk) {
    let listing = listing_number(desk);
    let answer = ["listing", "decide-repair", &listing, "granted"];
    let answer = [&answer[..], &["--document", "2026-40"]].concat();
    entry(desk, &desk.regulator(), &answer);
    assert_eq!(phase(desk), "LISTING_PHASE_REPAIRED");
    desk.fails(EXIT_NO, "no public listing", &["listing", "show", &listing]);
}

pub(super) fn listing_end(desk: &mut Desk) {
    let listing = listing_number(desk);
    let law = ["--legal-basis", "judgement", "--document", "(2026) 12"];
    let end = [&["listing", "end", &listing][..], &law].concat();
    let key = desk.regulator();
    desk.fails(EXIT_NO, "has ended", &[&end[..], &["--key", &key]].concat());
    let red = [
        "listing",
        "propose",
        "--list",
        "red",
        "--subject",
        MAKER,
        "--reason",
        "honest",
    ];
    let red = entry(desk, &key, &[&red[..], &law].concat()).to_string();
    let decide = ["listing", "decide", &red, "list", "--months", "12"];
    entry(desk, &key, &[&decide[..], &law].concat());
    entry(desk, &key, &["listing", "publish", &red]);
    let end = [&["listing", "end", &red][..], &law].concat();
    entry(desk, &key, &end);
}

/// A unit that the maker sold to a buyer, through the courier.
fn sold() -> String {
    unit(60).to_string()
}

/// A fund that compensates buyers.
fn fund_id() -> String {
    gln("0614142")
}

pub(super) fn claim_report(desk: &mut Desk) {
    let [maker, scanner, buyer, fund] =
        ["maker.key", "scanner.key", "buyer.key", "fund.key"].map(|name| desk.path(name));
    desk.ok(&["key", "new", &buyer]);
    desk.ok(&["key", "new", &fund]);
    let shown = desk.json(&["key", "show", &buyer]);
    let (public, id) = (&shown["publicKey"], &shown["keyId"]);
    let (public, id) = (public.as_str().unwrap(), id.as_str().unwrap());
    let roles = ["--role", "seller,maker"];
    desk.ok(&[
        &["party", "approve", "--key", &desk.regulator(), MAKER][..],
        &roles,
    ]
    .concat());
    let register = [
        "party",
        "register",
        "--key",
        &fund,
        "--party",
        &fund_id(),
        "--name",
        "fund",
    ];
    desk.ok(&[&register[..], &["--role", "fund"]].concat());
    desk.ok(&["party", "approve", "--key", &desk.regulator(), &fund_id()]);
    let unit = sold();
    desk.ok(&["scan", "--key", &maker, "--kind", "commission", &unit]);
    let ship = [
        "scan", "--key", &maker, "--kind", "handover", "--to", COURIER,
    ];
    let ship = [&ship[..], &["--buyer", public, "--weight", "500", &unit]].concat();
    desk.ok(&ship);
    desk.ok(&["scan", "--key", &scanner, "--kind", "accept", &unit]);
    desk.ok(&["scan", "--key", &scanner, &unit]);
    let deliver = ["scan", "--key", &scanner, "--kind", "deliver"];
    desk.ok(&[&deliver[..], &["--buyer-key-id", id, &unit]].concat());
    let report = ["claim", "report", &unit, "--complaint", "counterfeit"];
    entry(desk, &buyer, &report);
    entry(
        desk,
        &maker,
        &[&report[..], &["--evidence", &note(desk)]].concat(),
    );
    desk.fails(
        EXIT_NO,
        "ALREADY_EXISTS",
        &[&report[..], &["--key", &buyer]].concat(),
    );
}

pub(super) fn claim_open(desk: &mut Desk) {
    let (buyer, unit, evidence) = (desk.path("buyer.key"), sold(), note(desk));
    let open = ["claim", "open", &unit, "--complaint", "wrong-goods"];
    let open = [&open[..], &["--evidence", &evidence, "--amount"]].concat();
    desk.fails(
        EXIT_USAGE,
        "yuan",
        &[&open[..], &["1,5", "--key", &buyer]].concat(),
    );
    let by_maker = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&open[..], &["9", "--key", &by_maker]].concat(),
    );
    entry(desk, &buyer, &[&open[..], &["128.50"]].concat());
}

/// The only claim.
fn the_claim(desk: &Desk) -> Value {
    let claims = desk.json_lines(&["claim", "list", "--key", &desk.regulator()]);
    assert_eq!(claims.len(), 1);
    claims[0].clone()
}

pub(super) fn claim_list(desk: &mut Desk) {
    let key = desk.path("fund.key");
    let said = desk.ok(&["claim", "list", "--open", "--key", &key]);
    assert!(
        said.contains("货不对板") && said.contains("128.50 CNY"),
        "{said}"
    );
    let maker = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "none of the roles",
        &["claim", "list", "--key", &maker],
    );
}

pub(super) fn claim_attest(desk: &mut Desk) {
    let shown = desk.json(&["key", "show", &desk.path("buyer.key")]);
    let id = shown["keyId"].as_str().unwrap();
    let attest = ["claim", "attest", &sold(), id];
    let maker = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&attest[..], &["--key", &maker]].concat(),
    );
    entry(desk, &desk.path("fund.key"), &attest);
}

pub(super) fn claim_review(desk: &mut Desk) {
    let (buyer, unit, text) = (desk.path("buyer.key"), sold(), note(desk));
    let review = ["claim", "review", &unit, "--text", &text, "--rating"];
    desk.fails(
        EXIT_NO,
        "review_unit.rating",
        &[&review[..], &["6", "--key", &buyer]].concat(),
    );
    entry(desk, &buyer, &[&review[..], &["2"]].concat());
}

pub(super) fn claim_decide(desk: &mut Desk) {
    let (number, key) = (
        the_claim(desk)["logIndex"].to_string(),
        desk.path("fund.key"),
    );
    let decide = [
        "claim",
        "decide",
        &number,
        "granted",
        "--legal-basis",
        "art. 44",
    ];
    let decide = [&decide[..], &["--document", "C-1", "--amount"]].concat();
    desk.fails(
        EXIT_NO,
        "12850",
        &[&decide[..], &["128.51", "--key", &key]].concat(),
    );
    entry(desk, &key, &[&decide[..], &["100"]].concat());
}

pub(super) fn claim_pay(desk: &mut Desk) {
    let number = the_claim(desk)["logIndex"].to_string();
    let pay = ["claim", "pay", &number, "--document", "pay-1"];
    entry(desk, &desk.path("fund.key"), &pay);
    let key = desk.path("fund.key");
    desk.fails(
        EXIT_NO,
        "paid already",
        &[&pay[..], &["--key", &key]].concat(),
    );
}

pub(super) fn claim_recover(desk: &mut Desk) {
    let number = the_claim(desk)["logIndex"].to_string();
    let recover = [
        "claim",
        "recover",
        &number,
        "--document",
        "back-1",
        "--amount",
    ];
    entry(
        desk,
        &desk.path("fund.key"),
        &[&recover[..], &["60.25"]].concat(),
    );
}

pub(super) fn claim_show(desk: &mut Desk) {
    let number = the_claim(desk)["logIndex"].to_string();
    let said = desk.ok(&["claim", "show", &number]);
    for expected in [
        "100.00 CNY granted",
        &format!("owed by {MAKER}, the seller"),
        "60.25 CNY got back",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    desk.fails(EXIT_NO, "opens no claim", &["claim", "show", "1"]);
}

pub(super) fn claim_reports(desk: &mut Desk) {
    let said = desk.ok(&["claim", "reports", "--key", &desk.regulator()]);
    assert!(
        said.contains("by the buyer") && said.contains(MAKER),
        "{said}"
    );
    let fund = desk.path("fund.key");
    desk.fails(
        EXIT_NO,
        "none of the roles",
        &["claim", "reports", "--key", &fund],
    );
}

pub(super) fn claim_fund(desk: &mut Desk) {
    let said = desk.ok(&["claim", "fund", &fund_id()]);
    assert_eq!(said, "1 claims paid, 100.00 CNY; got back 60.25 CNY\n");
    desk.fails(EXIT_NO, "has paid no claim", &["claim", "fund", MAKER]);
}

pub(super) fn claim_reviews(desk: &mut Desk) {
    let said = desk.ok(&["claim", "reviews", MAKER]);
    assert!(said.contains("2 stars: 1 verified, 0 by keys"), "{said}");
}

/// The courier's score, as it sees it itself.
fn score(desk: &Desk) -> Value {
    desk.json(&[
        "credit",
        "score",
        COURIER,
        "--key",
        &desk.path("courier.key"),
    ])
}

/// Entries of an item of the courier's score.
fn item_entries(desk: &Desk, kind: &str) -> Option<Vec<u64>> {
    let score = score(desk);
    let items = score["items"].as_array().unwrap();
    let item = items
        .iter()
        .find(|item| item["kind"] == format!("SCORE_ITEM_KIND_{kind}"))?;
    let entries = item["entries"].as_array().unwrap().iter();
    Some(entries.map(|entry| entry.as_u64().unwrap()).collect())
}

pub(super) fn credit_score(desk: &mut Desk) {
    let key = desk.path("courier.key");
    let said = desk.ok(&["credit", "score", COURIER, "--key", &key]);
    assert!(said.contains("tier C (formula 1"), "{said}");
    assert!(
        said.contains("  -300  UNCHECKED x 2 of 2 units: entries "),
        "{said}"
    );
    let scanner = read_key(Path::new(&desk.path("scanner.key")))
        .key_id()
        .to_string();
    let own = ["credit", "score", COURIER, "--employee", &scanner, "--key"];
    desk.ok(&[&own[..], &[&key]].concat());
    let fund = desk.path("fund.key");
    desk.fails(EXIT_NO, "", &[&own[..], &[&fund]].concat());
}

pub(super) fn credit_object(desk: &mut Desk) {
    let entries = item_entries(desk, "UNCHECKED").unwrap();
    let scanner = read_key(Path::new(&desk.path("scanner.key")))
        .key_id()
        .to_string();
    let (lapse, statement) = (format!("{scanner}:{}", entries[0]), note(desk));
    let object = ["credit", "object", "--statement", &statement];
    let key = desk.path("courier.key");
    let bad = [&object[..], &["--lapse", "x", "--key", &key]].concat();
    desk.fails(EXIT_NO, "--lapse", &bad);
    desk.fails(
        EXIT_NO,
        "NOT_FOUND",
        &[&object[..], &["--finding", "1", "--key", &key]].concat(),
    );
    let at = entry(desk, &key, &[&object[..], &["--lapse", &lapse]].concat());
    std::fs::write(desk.path("objection"), at.to_string()).unwrap();
}

pub(super) fn credit_correct(desk: &mut Desk) {
    let objection = std::fs::read_to_string(desk.path("objection")).unwrap();
    let correct = [
        "credit",
        "correct",
        &objection,
        "granted",
        "--document",
        "S-1",
    ];
    let own = desk.path("courier.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&correct[..], &["--key", &own]].concat(),
    );
    entry(desk, &desk.regulator(), &correct);
    assert_eq!(item_entries(desk, "STRUCK_OUT").unwrap().len(), 1);
    assert_eq!(score(desk)["points"], 850);
}

/// The only case.
fn the_case(desk: &Desk) -> Value {
    let cases = desk.json_lines(&["case", "list", "--key", &desk.regulator()]);
    assert_eq!(cases.len(), 1);
    cases[0].clone()
}

pub(super) fn case_open(desk: &mut Desk) {
    let open = ["case", "open", "--kind", "counterfeit", "--document", "K-1"];
    desk.fails(
        EXIT_USAGE,
        "required",
        &[&open[..], &["--key", &desk.regulator()]].concat(),
    );
    let open = [&open[..], &["--finding", "1", "--subject", STRANGER]].concat();
    let own = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&open[..], &["--key", &own]].concat(),
    );
    entry(desk, &desk.regulator(), &open);
}

pub(super) fn case_add(desk: &mut Desk) {
    let (case, claim) = (
        the_case(desk)["logIndex"].to_string(),
        the_claim(desk)["logIndex"].to_string(),
    );
    let add = ["case", "add", &case, "--document", "K-2", "--claim"];
    desk.fails(
        EXIT_NO,
        "no claim 1",
        &[&add[..], &["1", "--key", &desk.regulator()]].concat(),
    );
    entry(desk, &desk.regulator(), &[&add[..], &[&claim]].concat());
}

pub(super) fn case_list(desk: &mut Desk) {
    let regulator = the_case(desk)["agency"].as_str().unwrap().to_owned();
    let key = desk.regulator();
    let said = desk.ok(&[
        "case", "list", "--open", "--agency", &regulator, "--key", &key,
    ]);
    assert!(said.contains("假冒伪劣  open with"), "{said}");
    let maker = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "none of the roles",
        &["case", "list", "--key", &maker],
    );
}

pub(super) fn case_refer(desk: &mut Desk) {
    let (agency, root) = (desk.path("agency.key"), desk.regulator());
    let party = gln("0614143");
    desk.ok(&["key", "new", &agency]);
    let register = [
        "party", "register", "--key", &agency, "--party", &party, "--name", "agency",
    ];
    desk.ok(&[&register[..], &["--role", "regulator"]].concat());
    let approve = ["party", "approve", "--key", &root, &party, "--months", "12"];
    desk.ok(&[&approve[..], &["--evidence", &note(desk)]].concat());
    let case = the_case(desk)["logIndex"].to_string();
    let refer = [
        "case",
        "refer",
        &case,
        "--days",
        "30",
        "--document",
        "K-3",
        "--to",
    ];
    desk.fails(
        EXIT_NO,
        "no approved regulator",
        &[&refer[..], &[MAKER, "--key", &root]].concat(),
    );
    entry(desk, &root, &[&refer[..], &[&party]].concat());
    assert_eq!(the_case(desk)["agency"], party);
}

pub(super) fn case_close(desk: &mut Desk) {
    let case = the_case(desk)["logIndex"].to_string();
    let close = [
        "case",
        "close",
        &case,
        "penalty",
        "--legal-basis",
        "art. 50",
    ];
    let close = [&close[..], &["--document", "K-4"]].concat();
    let key = desk.path("agency.key");
    entry(desk, &key, &close);
    let again = [&close[..], &["--key", &key]].concat();
    desk.fails(EXIT_NO, "closed", &again);
}

pub(super) fn case_show(desk: &mut Desk) {
    let case = the_case(desk)["logIndex"].to_string();
    let said = desk.ok(&["case", "show", &case, "--key", &desk.regulator()]);
    for expected in [
        "closed, 行政处罚 (art. 50)",
        "REFERRED to gln:0614143",
        "K-4",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

pub(super) fn alert_list(desk: &mut Desk) {
    let key = desk.regulator();
    let alerts = desk.json_lines(&["alert", "list", "--finding", "NOT_HOLDER", "--key", &key]);
    assert_eq!(alerts[0]["level"], "ALERT_LEVEL_SEVERE");
    let said = desk.ok(&[
        "alert", "list", "--open", "--level", "severe", "--key", &key,
    ]);
    assert!(
        said.contains("SEVERE   finding 1 NOT_HOLDER OPEN"),
        "{said}"
    );
    let own = desk.path("maker.key");
    desk.fails(EXIT_NO, "[Regulator]", &["alert", "list", "--key", &own]);
}

pub(super) fn alert_watch(desk: &mut Desk) {
    let key = desk.regulator();
    let watch = ["alert", "watch", "--cursor", "start", "--count", "1"];
    let said = desk.ok(&[&watch[..], &["--key", &key]].concat());
    assert!(said.contains("finding 1 NOT_HOLDER"), "{said}");
    let bad = ["alert", "watch", "--cursor", "1", "--key", &key];
    desk.fails(EXIT_NO, "cursor", &bad);
}

pub(super) fn alert_acknowledge(desk: &mut Desk) {
    let acknowledge = ["alert", "acknowledge", "1", "--reason", "patrol sent"];
    let own = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&acknowledge[..], &["--key", &own]].concat(),
    );
    let key = desk.regulator();
    entry(desk, &key, &acknowledge);
    let said = desk.ok(&["alert", "list", "--finding", "NOT_HOLDER", "--key", &key]);
    assert!(
        said.contains("已阅处理中") && said.contains("patrol sent"),
        "{said}"
    );
}

pub(super) fn alert_dismiss(desk: &mut Desk) {
    let key = desk.regulator();
    let dismiss = [
        "alert",
        "dismiss",
        "at-rest:1",
        "--reason",
        "stock of spares",
    ];
    entry(desk, &key, &dismiss);
    let finding = ["alert", "dismiss", "1", "--reason", "x", "--key", &key];
    desk.fails(EXIT_NO, "DecideFinding", &finding);
    let unknown = ["alert", "dismiss", "rest:1", "--reason", "x", "--key", &key];
    desk.fails(EXIT_USAGE, "AT_REST:1234", &unknown);
}
