//! The subcommands of measures, inspections, exports, files and personal data.

use super::credit::{listing_number, note};
use super::*;

const LAW: [&str; 4] = ["--legal-basis", "art. 9", "--document", "M-1"];

/// The stranger's only measure in force.
fn measure_number(desk: &Desk) -> String {
    let key = desk.regulator();
    let answer = desk.json(&["measure", "of", STRANGER, "--key", &key]);
    answer["measures"][0]["logIndex"].to_string()
}

pub(super) fn measure_attach(desk: &mut Desk) {
    let listing = listing_number(desk);
    let attach = ["measure", "attach", &listing, "--kind"];
    let attach = [&attach[..], &["shop-blocked"], &LAW].concat();
    let own = desk.path("stranger.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&attach[..], &["--key", &own]].concat(),
    );
    let at = entry(desk, &desk.regulator(), &attach);
    assert_eq!(measure_number(desk), at.to_string());
    let key = desk.regulator();
    let red = [
        "measure",
        "attach",
        &listing,
        "--kind",
        "ranking-priority",
        "--key",
        &key,
    ];
    desk.fails(EXIT_NO, "attach_measure.kind", &[&red[..], &LAW].concat());
}

pub(super) fn measure_report(desk: &mut Desk) {
    let measure = measure_number(desk);
    let report = ["measure", "report", &measure, "applied"];
    entry(desk, &desk.regulator(), &report);
    let own = desk.path("stranger.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&report[..], &["--key", &own]].concat(),
    );
}

pub(super) fn measure_of(desk: &mut Desk) {
    let key = desk.regulator();
    let said = desk.ok(&["measure", "of", STRANGER, MAKER, "--key", &key]);
    assert!(
        said.contains("屏蔽店铺") && said.contains("1 in force"),
        "{said}"
    );
    let other = desk.path("maker.key");
    desk.fails(EXIT_NO, "", &["measure", "of", STRANGER, "--key", &other]);
}

pub(super) fn measure_show(desk: &mut Desk) {
    let (measure, key) = (measure_number(desk), desk.regulator());
    let said = desk.ok(&["measure", "show", &measure, "--key", &key]);
    assert!(
        said.contains("in force") && said.contains("APPLIED by"),
        "{said}"
    );
    let lines = desk.json_lines(&["measure", "show", &measure, "--key", &key]);
    assert_eq!(lines.len(), 2);
}

pub(super) fn measure_end(desk: &mut Desk) {
    let measure = measure_number(desk);
    let end = [&["measure", "end", &measure][..], &LAW].concat();
    entry(desk, &desk.regulator(), &end);
    let key = desk.regulator();
    desk.fails(
        EXIT_NO,
        "ended already",
        &[&end[..], &["--key", &key]].concat(),
    );
}

/// The last plan.
fn plan(desk: &Desk) -> Value {
    desk.json_lines(&["inspect", "plans"]).pop().unwrap()
}

fn plan_number(desk: &Desk) -> String {
    plan(desk)["logIndex"].to_string()
}

pub(super) fn inspect_announce(desk: &mut Desk) {
    let key = desk.regulator();
    let inspector = read_key(Path::new(&key)).key_id().to_string();
    let announce = [
        "inspect",
        "announce",
        "--role",
        "courier",
        "--inspector",
        &inspector,
    ];
    let rates = [
        "--rate-a", "1000", "--rate-b", "1000", "--rate-c", "1000", "--rate-d", "1000",
    ];
    let secret = desk.path("plan.secret");
    let all = [&announce[..], &rates, &LAW, &["--secret", &secret]].concat();
    let at = entry(desk, &key, &all);
    assert_eq!(plan_number(desk), at.to_string());
    let other = desk.path("none.secret");
    let none = [&announce[..], &LAW, &["--key", &key, "--secret", &other]].concat();
    desk.fails(EXIT_NO, "announce_inspections.rates", &none);
}

pub(super) fn inspect_draw(desk: &mut Desk) {
    let (plan, key) = (plan_number(desk), desk.regulator());
    let (secret, other) = (desk.path("plan.secret"), desk.path("none.secret"));
    let draw = ["inspect", "draw", &plan, "--key", &key, "--secret"];
    desk.fails(EXIT_NO, "another one", &[&draw[..], &[&other]].concat());
    let draw = [&draw[..], &[&secret]].concat();
    let said = desk.ok(&draw);
    assert!(said.contains("drawn: 2 of 2 firms"), "{said}");
    desk.fails(EXIT_NO, "drawn already", &draw);
}

pub(super) fn inspect_record(desk: &mut Desk) {
    let (plan, report) = (plan_number(desk), note(desk));
    let record = ["inspect", "record", &plan, COURIER, "to-rectify"];
    let record = [&record[..], &["--date", "20261120", "--document", "S-9"]].concat();
    entry(
        desk,
        &desk.regulator(),
        &[&record[..], &["--report", &report]].concat(),
    );
}

pub(super) fn inspect_plans(desk: &mut Desk) {
    let said = desk.ok(&["inspect", "plans"]);
    assert!(
        said.contains("2 drawn") && said.contains("1 done"),
        "{said}"
    );
}

pub(super) fn inspect_list(desk: &mut Desk) {
    let plan = plan_number(desk);
    let said = desk.ok(&["inspect", "list", &plan]);
    assert!(
        said.contains("责令整改") && !said.contains(STRANGER),
        "{said}"
    );
    let key = desk.regulator();
    let said = desk.ok(&["inspect", "list", &plan, "--key", &key]);
    assert!(said.contains("still to come"), "{said}");
}

pub(super) fn inspect_verify(desk: &mut Desk) {
    let (plan, key, trust) = (plan_number(desk), desk.regulator(), desk.trust());
    let verify = ["inspect", "verify", "--key", &key, "--trust", &trust];
    let said = desk.ok(&[&verify[..], &[&plan]].concat());
    assert!(said.contains("draws exactly these 2 of 2"), "{said}");
    desk.fails(EXIT_NO, "announces no", &[&verify[..], &["0"]].concat());
}

pub(super) fn export_since(desk: &mut Desk) {
    let (key, out) = (desk.regulator(), desk.path("batch.json"));
    let since = ["export", "since", "--key", &key, "--out", &out];
    let next = desk.json(&since);
    assert_eq!(next["more"], false);
    let batch = json(&std::fs::read_to_string(&out).unwrap());
    assert_eq!(batch["next"], next["nextCursor"]);
    let cursor = next["nextCursor"].as_str().unwrap();
    let said = desk.ok(&[&since[..], &[cursor]].concat());
    assert!(said.contains("next cursor"), "{said}");
    let batch = json(&std::fs::read_to_string(&out).unwrap());
    assert_eq!(batch["items"], Value::Array(Vec::new()));
    let own = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "roles",
        &["export", "since", "--key", &own, "--out", &out],
    );
}

pub(super) fn export_push(desk: &mut Desk) {
    let (key, trust) = (desk.regulator(), desk.trust());
    let (state, out) = (desk.path("push-state"), desk.path("push-out"));
    let push = ["export", "push", "--key", &key, "--trust", &trust];
    let push = [
        &push[..],
        &["--state", &state, "--to", &out, "--format", "csv"],
    ]
    .concat();
    let pushed = desk.json(&push);
    assert_eq!(pushed["batches"], 1);
    assert!(desk.ok(&push).contains("0 items in 0 batches"));
    assert!(Path::new(&out).join("0.csv").exists());
    let http = ["--state", &state, "--to", "https://127.0.0.1:1/"];
    let again = ["export", "push", "--key", &key, "--trust", &trust];
    desk.fails(
        EXIT_COULD_NOT,
        "use another one",
        &[&again[..], &http].concat(),
    );
}

pub(super) fn export_verify(desk: &mut Desk) {
    let (batch, trust) = (desk.path("push-out/0.csv"), desk.trust());
    let note = desk.path("push-out/0.note");
    let verify = [
        "export", "verify", &batch, "--note", &note, "--trust", &trust,
    ];
    let said = desk.ok(&verify);
    assert!(said.contains("from cursor 0"), "{said}");
    std::fs::write(&batch, "something else").unwrap();
    desk.fails(EXIT_NO, "not the one that was signed", &verify);
}

pub(super) fn file_open(desk: &mut Desk) {
    let key = desk.regulator();
    let score = ["credit", "score", COURIER, "--key", &key];
    desk.fails(EXIT_NO, "custody file open", &score);
    let open = [
        "file",
        "open",
        COURIER,
        "--purpose",
        "a complaint",
        "--document",
        "K-1",
    ];
    entry(desk, &key, &open);
    assert!(desk.ok(&score).contains("points"));
    let own = desk.path("maker.key");
    desk.fails(
        EXIT_NO,
        "UNAUTHORISED",
        &[&open[..], &["--key", &own]].concat(),
    );
}

pub(super) fn credit_evidence(desk: &mut Desk) {
    let (key, trust, file) = (desk.regulator(), desk.trust(), desk.path("score.evidence"));
    let evidence = [
        "credit", "evidence", COURIER, "--key", &key, "--trust", &trust,
    ];
    let said = desk.ok(&[&evidence[..], &["-o", &file]].concat());
    assert!(said.contains("custody credit verify"), "{said}");
    let other = desk.path("second/log.vkey");
    let evidence = [
        "credit", "evidence", COURIER, "--key", &key, "--trust", &other,
    ];
    desk.fails(EXIT_NO, "", &[&evidence[..], &["-o", &file]].concat());
}

pub(super) fn credit_verify(desk: &mut Desk) {
    let (trust, file) = (desk.trust(), desk.path("score.evidence"));
    let verify = ["credit", "verify", &file, "--trust", &trust];
    let said = desk.ok(&verify);
    assert!(said.contains("the points follow from the counts"), "{said}");
    let text = note(desk);
    desk.fails(EXIT_NO, "", &["credit", "verify", &text, "--trust", &trust]);
}

pub(super) fn file_reads(desk: &mut Desk) {
    let key = desk.path("courier.key");
    let said = desk.ok(&["file", "reads", COURIER, "--key", &key]);
    assert!(said.contains("a complaint (K-1)"), "{said}");
    let other = desk.path("maker.key");
    desk.fails(EXIT_NO, "", &["file", "reads", COURIER, "--key", &other]);
}

pub(super) fn file_authorise(desk: &mut Desk) {
    let (key, bank) = (desk.path("maker.key"), gln("9523"));
    let bank_key = desk.path("bank.key");
    desk.ok(&["key", "new", &bank_key]);
    let register = ["party", "register", "--key", &bank_key, "--party", &bank];
    desk.ok(&[&register[..], &["--name", "bank", "--role", "bank"]].concat());
    desk.ok(&["party", "approve", "--key", &desk.regulator(), &bank]);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let authorise = ["file", "authorise", &bank, "--until", &soon.to_string()];
    entry(desk, &key, &authorise);
    let soon = soon.to_string();
    let courier = [
        "file",
        "authorise",
        COURIER,
        "--until",
        &soon,
        "--key",
        &key,
    ];
    desk.fails(EXIT_NO, "no approved bank", &courier);
}

pub(super) fn file_view(desk: &mut Desk) {
    let (bank, key) = (desk.path("bank.key"), desk.path("maker.key"));
    let view = ["file", "view", MAKER, "--key", &bank];
    let said = desk.ok(&view);
    assert!(
        said.contains("on no list") && said.contains("made"),
        "{said}"
    );
    let json = desk.json(&view);
    assert!(json["volumes"][0]["made"].as_u64() > Some(0));
    entry(desk, &key, &["file", "authorise", &gln("9523")]);
    desk.fails(EXIT_NO, "has not let", &view);
}

/// The commitment of the maker's only text.
fn commitment(desk: &Desk) -> String {
    let key = desk.path("maker.key");
    let said = desk.ok(&["file", "texts", MAKER, "--key", &key]);
    said.split(' ').next().unwrap().to_owned()
}

pub(super) fn file_put(desk: &mut Desk) {
    let (key, text) = (desk.path("maker.key"), note(desk));
    let put = [
        "file",
        "put",
        MAKER,
        "--class",
        "registration",
        "--text",
        &text,
    ];
    let said = desk.ok(&[&put[..], &["--key", &key]].concat());
    assert!(said.contains("kept until"), "{said}");
    assert!(said.contains(&commitment(desk)), "{said}");
    let other = desk.path("courier.key");
    desk.fails(EXIT_NO, "", &[&put[..], &["--key", &other]].concat());
    let salt = [&put[..], &["--key", &key, "--salt", "xy"]].concat();
    desk.fails(EXIT_NO, "no hex digits", &salt);
}

pub(super) fn file_texts(desk: &mut Desk) {
    let key = desk.regulator();
    let texts = ["file", "texts", MAKER, "--key", &key];
    desk.fails(EXIT_NO, "custody file open", &texts);
    let open = [
        "file",
        "open",
        MAKER,
        "--purpose",
        "a check",
        "--document",
        "K-2",
    ];
    entry(desk, &key, &open);
    assert!(desk.ok(&texts).contains("REGISTRATION"));
}

pub(super) fn file_text(desk: &mut Desk) {
    let (key, commitment) = (desk.path("maker.key"), commitment(desk));
    let text = ["file", "text", MAKER, &commitment, "--key", &key];
    let said = desk.ok(&text);
    assert!(
        said.contains("what was served") && said.contains("salt "),
        "{said}"
    );
}

pub(super) fn file_erase(desk: &mut Desk) {
    let (key, commitment) = (desk.path("maker.key"), commitment(desk));
    let erase = ["file", "erase", MAKER, &commitment, "--key", &key];
    assert_eq!(desk.ok(&erase), "erased\n");
    let text = ["file", "text", MAKER, &commitment, "--key", &key];
    desk.fails(EXIT_NO, "was erased", &text);
    assert!(
        desk.ok(&["file", "texts", MAKER, "--key", &key])
            .contains("erased")
    );
}

/// Makes a report of the desk's ledger; its lines.
fn report(desk: &mut Desk, kind: &str, more: &[&str]) -> Vec<String> {
    let (key, out) = (desk.regulator(), desk.path("report.csv"));
    let make = ["report", "make", kind, "--key", &key, "-o", &out];
    let make = [&make[..], &["--language", "en"], more].concat();
    assert!(desk.ok(&make).contains("report verify"));
    let text = std::fs::read_to_string(&out).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

pub(super) fn report_make(desk: &mut Desk) {
    for (kind, head) in [
        ("completeness", "month,units made,"),
        ("alerts", "kind,level,raised,"),
        ("couriers", "rank,firm,id,"),
        ("listings", "time,list,number,"),
        ("sharing", "time,item,number,"),
    ] {
        let lines = report(desk, kind, &["--months", "60"]);
        assert!(lines[0].starts_with(head), "{}", lines[0]);
        assert!(lines.len() > 1, "{kind} says something");
    }
    let goods = format!("01/{}", &unit(1).to_string()[3..17]);
    let lines = report(desk, "recalled", &["--goods", &goods]);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with(&unit(1).to_string()))
    );
    let (key, own) = (desk.regulator(), desk.path("maker.key"));
    let out = desk.path("no.csv");
    let make = ["report", "make", "alerts", "-o", &out, "--key"];
    desk.fails(EXIT_NO, "roles", &[&make[..], &[&own]].concat());
    let lot = ["report", "make", "recalled", "-o", &out, "--key", &key];
    desk.fails(EXIT_NO, "goods", &[&lot[..], &["--goods", "01/1"]].concat());
    let year = ["--until", "202613"];
    desk.fails(
        EXIT_NO,
        "until_month",
        &[&make[..], &[&key], &year].concat(),
    );
}

pub(super) fn report_verify(desk: &mut Desk) {
    report(desk, "couriers", &[]);
    let (out, trust) = (desk.path("report.csv"), desk.trust());
    let verify = ["report", "verify", &out, "--trust", &trust];
    assert!(desk.ok(&verify).contains("ok: couriers (csv)"));
    // Of which goods it tells is signed as well: the table of a lot that nobody made is empty like another.
    let lot = format!("01/{}/10/NONE", &unit(1).to_string()[3..17]);
    assert_eq!(report(desk, "recalled", &["--goods", &lot]).len(), 1);
    let said = desk.ok(&verify);
    assert!(
        said.contains(&format!("ok: recalled of {lot} (csv)")),
        "{said}"
    );
    report(desk, "couriers", &[]);
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::write(&out, text.replace("rank", "Rank")).unwrap();
    desk.fails(EXIT_NO, "not the one that was signed", &verify);
}
