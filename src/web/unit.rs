//! A unit: the GS1 Digital Link of the goods is its page. Programs ask the same address for the verdict
//! as JSON, the history as EPCIS 2.0, the bundle that proves it, or the set of all these links.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template as _;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use prost::Message as _;

use super::language::Spoken;
use super::map::{CHINA, Route};
use super::page::{Site, answer, fingerprint, unreadable};
use super::problem::Problem;
use super::{Asker, Shared, Web, base, goods, problem};
use crate::api;
use crate::api::provenance::{self, Notice};
use crate::client;
use crate::core::id::{Lot, UnitId, digital_link};
use crate::core::lang::Lang;
use crate::core::record::{GoodsId, Millis, ProductId};
use crate::core::rules::FindingKind;
use crate::core::wire::{self, StandingWord};
use crate::epcis;

/// Steps of one page.
const PAGE: usize = 200;

/// A form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
    Verdict,
    Epcis,
    Linkset,
    Bundle,
}

/// Every form, its media type, and its name in a query. The first is for whoever takes anything.
const FORMS: [(Form, &str, &str); 5] = [
    (Form::Page, "text/html", "page"),
    (Form::Verdict, "application/json", "json"),
    (Form::Epcis, "application/ld+json", "epcis"),
    (Form::Linkset, "application/linkset+json", "linkset"),
    (
        Form::Bundle,
        "application/vnd.custody.unit-bundle.v1+protobuf",
        "bundle",
    ),
];

impl Form {
    /// What is asked for by `as`, by a resolver's `linkType`, or by the Accept header.
    fn asked(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        for pair in uri.query().unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("as", name)) => {
                    let form = FORMS.iter().find(|(.., known)| *known == name);
                    return form.map(|(form, ..)| *form).ok_or_else(|| {
                        Problem::bad_request("`as` is page, json, epcis, linkset or bundle")
                    });
                }
                // GS1-Conformant Resolver Standard 1.2: either word asks for the whole set.
                Some(("linkType", "linkset" | "all")) => return Ok(Self::Linkset),
                _ => {}
            }
        }
        let accepted = headers.get_all(header::ACCEPT).iter();
        let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
        negotiate(&accepted.join(",")).ok_or_else(|| {
            let types = FORMS.map(|(_, media_type, _)| media_type);
            Problem::not_acceptable(format!("there are {}", types.join(", ")))
        })
    }
}

/// RFC 9110, section 12.5.1: the form of the highest weight; among equals, the first that there is.
fn negotiate(accept: &str) -> Option<Form> {
    if accept.trim().is_empty() {
        return Some(Form::Page);
    }
    let ranges: Vec<(&str, f32)> = accept
        .split(',')
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            (name, weight.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
        })
        .collect();
    // The most specific range that fits counts.
    let weight = |media_type: &str| {
        let group = media_type.split('/').next().unwrap_or_default();
        let fits = [media_type, &format!("{group}/*"), "*/*"]
            .into_iter()
            .find_map(|name| {
                ranges
                    .iter()
                    .find(|(range, _)| range.eq_ignore_ascii_case(name))
            });
        fits.map_or(0.0, |(_, weight)| *weight)
    };
    let mut best = None;
    for (form, media_type, _) in FORMS {
        let weight = weight(media_type);
        if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, form));
        }
    }
    best.map(|(_, form)| form)
}

/// An item, or, with no serial, its product or lot.
pub(super) async fn item(state: Shared, spoken: Spoken, asker: Asker, parts: Parts) -> Response {
    match goods::named(&format!("https://host{}", parts.uri.path())) {
        Some(goods) => goods::page(&state, spoken, &parts.uri, &goods),
        None => unit(state, spoken, asker, parts).await,
    }
}

pub(super) async fn unit(
    State(web): Shared,
    spoken: Spoken,
    Asker(address): Asker,
    parts: Parts,
) -> Response {
    let site = || Site::new(&web, spoken, &parts.uri);
    let form = match Form::asked(&parts.uri, &parts.headers) {
        Ok(form) => form,
        Err(problem) => return problem.into_response(),
    };
    let for_people = form == Form::Page;
    let failed = |problem: Problem| {
        if for_people {
            problem::page(site(), problem)
        } else {
            problem.into_response()
        }
    };
    // The words of a link don't depend on where it leads.
    let link = format!("https://host{}", parts.uri.path());
    let (unit, lot) = match digital_link::parse_unit(&link) {
        Ok(named) => named,
        Err(error) => return failed(unreadable(spoken.lang, &error)),
    };
    let done = match form {
        Form::Page => page(&web, spoken, unit, lot, address, &parts).await,
        Form::Verdict => verdict(&web, unit, &parts).await,
        Form::Epcis => events(&web, unit).await,
        Form::Linkset => Ok(linkset(&base(&web, &parts), &unit)),
        Form::Bundle => bundle(&web, unit).await,
    };
    done.unwrap_or_else(failed)
}

/// The answer of `GetProvenance` as JSON; `page_token` leads to the next steps.
async fn verdict(web: &Web, unit: UnitId, parts: &Parts) -> Result<Response, Problem> {
    let from = first_step(&parts.uri)?;
    let answer = provenance::provenance(&web.node, unit, PAGE, from, Lang::En).await?;
    let json = client::draft::to_json("GetProvenanceResponse", &answer);
    let json = json.map_err(|error| Problem::internal(&error.to_string()))?;
    Ok(of_type("application/json", json.to_string().into_bytes()))
}

/// The history as an EPCIS 2.0 document (JSON-LD).
async fn events(web: &Web, unit: UnitId) -> Result<Response, Problem> {
    let records = provenance::records(&web.node, unit).await?;
    let now = crate::node::now().to_string();
    let document = epcis::export(&records, &epcis::ExportOptions::new(&now))
        .map_err(|error| Problem::internal(&error.to_string()))?;
    Ok(of_type(
        "application/ld+json",
        document.to_string().into_bytes(),
    ))
}

async fn bundle(web: &Web, unit: UnitId) -> Result<Response, Problem> {
    let bundle = api::unit_bundle(&web.node, unit).await?;
    let [.., (_, media_type, _)] = FORMS;
    Ok(of_type(media_type, bundle.encode_to_vec()))
}

fn of_type(media_type: &'static str, body: Vec<u8>) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
    ];
    (headers, body).into_response()
}

fn first_step(uri: &Uri) -> Result<u64, Problem> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let token = pairs.find_map(|pair| pair.strip_prefix("page_token="));
    token.map_or(Ok(0), |token| {
        let number = token.parse();
        number.map_err(|_| Problem::bad_request("page_token: use the token of the page before"))
    })
}

/// RFC 9264, as a resolver of GS1 Digital Links gives it.
fn linkset(base: &str, unit: &UnitId) -> Response {
    let anchor = unit.to_digital_link(base);
    let link = |title: &str, form: Form| {
        let (_, media_type, name) = FORMS[form as usize];
        serde_json::json!({
            "href": format!("{anchor}?as={name}"), "title": title, "type": media_type,
        })
    };
    let page = serde_json::json!({
        "href": anchor, "title": "Where it has been", "type": "text/html", "hreflang": ["zh", "en"],
    });
    let set = serde_json::json!({ "linkset": [{
        "anchor": anchor,
        "https://gs1.org/voc/defaultLink": [page],
        "https://gs1.org/voc/traceability": [page, link("EPCIS 2.0 events", Form::Epcis)],
        "https://gs1.org/voc/verificationService": [
            link("The verdict", Form::Verdict),
            link("The bundle that proves it offline", Form::Bundle),
        ],
    }] });
    of_type("application/linkset+json", set.to_string().into_bytes())
}

/// The resolver description file (GS1-Conformant Resolver Standard 1.2).
pub(super) async fn resolver(State(web): Shared, parts: Parts) -> Response {
    let base = base(&web, &parts);
    let description = serde_json::json!({
        "name": web.node.origin(),
        "resolverRoot": base,
        "supportedPrimaryKeys": ["01", "00"],
        "supportedLinkTypes": [{
            "namespace": "https://gs1.org/voc/",
            "prefix": "gs1:",
        }],
        "linkTypeDefaultCanBeLinkset": false,
    });
    of_type("application/json", description.to_string().into_bytes())
}

/// A unit's standing, in a word and a colour.
pub(super) struct Verdict {
    /// Its class in the style sheet.
    pub class: &'static str,
    /// One word.
    pub word: &'static str,
}

impl Verdict {
    fn of(word: StandingWord, ended: bool, lang: Lang) -> Self {
        let (class, zh, en) = match word {
            // Nothing is wrong with the chain; but goods that are used up or destroyed are in nobody's hand.
            StandingWord::Consistent if ended => ("ended", "已终结", "Ended"),
            StandingWord::Recalled => ("recalled", "已召回", "Recalled"),
            StandingWord::Broken => ("broken", "已断链", "Chain broken"),
            StandingWord::Suspect => ("suspect", "有疑点", "Suspect"),
            StandingWord::Delivered => ("delivered", "已签收", "Delivered"),
            StandingWord::InTransit => ("transit", "在途", "In transit"),
            StandingWord::Consistent => ("consistent", "验证通过", "Consistent"),
            StandingWord::Unknown | StandingWord::Unspecified => ("unknown", "未查到", "Not found"),
        };
        let word = lang.pick(zh, en);
        Self { class, word }
    }
}

/// A moment: for programs, and for people where no script runs.
pub(super) struct Moment {
    pub exact: String,
    pub shown: String,
    /// The day alone: for what is nobody's business to the minute.
    pub day: String,
}

impl Moment {
    /// In China Standard Time, until the browser puts it into its own.
    pub(super) fn of(ms: u64) -> Self {
        let time = Millis(ms).min(Millis::MAX);
        let shown = time.minute_in_china();
        Self {
            exact: time.to_string(),
            day: shown.chars().take(10).collect(),
            shown,
        }
    }
}

/// One line of the timeline.
struct StepView {
    when: Moment,
    summary: String,
    via: String,
    log_index: u64,
    beside: bool,
    /// What each means, and whether it stands.
    findings: Vec<(&'static str, bool)>,
}

#[derive(askama::Template)]
#[template(path = "unit.html")]
struct UnitPage {
    site: Site,
    unit: String,
    path: String,
    verdict: Verdict,
    known: bool,
    sentence: String,
    more: Vec<String>,
    notices: Vec<(Notice, Moment)>,
    other_lot: Option<String>,
    maker: String,
    holder: String,
    lot: String,
    expiry: String,
    expired: bool,
    steps: Vec<StepView>,
    next: String,
    route: Option<Route>,
    asked: Option<(u64, Moment)>,
    log_size: u64,
    log_key: String,
    fingerprint: String,
}

/// The page, or the one that was made for somebody else a moment ago.
async fn page(
    web: &Arc<Web>,
    spoken: Spoken,
    unit: UnitId,
    lot: Option<Lot>,
    address: std::net::IpAddr,
    parts: &Parts,
) -> Result<Response, Problem> {
    let asked = (parts.uri.to_string(), spoken.lang);
    if let Some(body) = web.hot.get(&asked) {
        if first_step(&parts.uri)? == 0 && parts.method == Method::GET {
            web.node.looked_up(unit, address);
        }
        return Ok(answer(spoken.lang, spoken.chosen, body));
    }
    let page = unit_page(web, spoken, unit, lot, address, parts).await?;
    let body = page.render();
    let body = Bytes::from(body.map_err(|error| Problem::internal(&error.to_string()))?);
    // One that the ledger doesn't know costs little, and anybody can think of many.
    if page.known {
        web.hot.put(asked, &body);
    }
    Ok(answer(spoken.lang, spoken.chosen, body))
}

async fn unit_page(
    web: &Arc<Web>,
    spoken: Spoken,
    unit: UnitId,
    lot: Option<Lot>,
    address: std::net::IpAddr,
    parts: &Parts,
) -> Result<UnitPage, Problem> {
    let lang = spoken.lang;
    let from = first_step(&parts.uri)?;
    let answer = provenance::provenance(&web.node, unit, PAGE, from, lang).await?;
    // Before this look is counted: the page tells of the others.
    let asked = web.node.asked(&unit);
    let asked = asked.map_err(|error| Problem::internal(&error.to_string()))?;
    // What nobody made is no label that was copied; and one look-up has many pages.
    if from == 0 && !answer.steps.is_empty() && parts.method == Method::GET {
        web.node.looked_up(unit, address);
    }
    let standing = answer.standing.clone().unwrap_or_default();
    let mut notices = provenance::notices(&web.node, &standing)?;
    let known = standing.word() != StandingWord::Unknown;
    // Of a known unit's own product and lot the standing has told already.
    if notices.is_empty()
        && (lot.is_some() || !known)
        && let UnitId::Sgtin(item) = unit
    {
        // What the label says counts as well: a code that nobody made may name a lot that was called back.
        let product = ProductId::Gtin(item.gtin);
        let goods = lot.map_or(GoodsId::Product(product), |lot| GoodsId::Lot(product, lot));
        notices = provenance::goods(&web.node, &goods)?.1;
    }
    let aside = provenance::aside(&web.node, unit)?;
    let attributes = answer.attributes.clone().unwrap_or_default();
    let path = unit.to_digital_link("");
    let next = match answer.next_page_token.as_str() {
        "" => String::new(),
        token => format!("{path}?page_token={token}"),
    };
    let mut texts = standing.reasons.iter().map(|reason| reason.text.clone());
    let sentence = texts.next().unwrap_or_default();
    let said = lot.map(|lot| lot.to_string());
    Ok(UnitPage {
        unit: unit.to_string(),
        verdict: Verdict::of(standing.word(), aside.ended, lang),
        known,
        more: texts.collect(),
        sentence,
        other_lot: said.filter(|lot| !attributes.lot.is_empty() && *lot != attributes.lot),
        notices: notices
            .into_iter()
            .map(|notice| {
                let when = Moment::of(notice.time.0);
                (notice, when)
            })
            .collect(),
        maker: answer.maker_name,
        holder: answer.holder_name,
        lot: attributes.lot,
        expired: attributes.expiry != 0 && attributes.expiry < today_in_china(),
        expiry: day(attributes.expiry),
        route: Route::through(&places(&answer.steps, lang)),
        steps: steps(answer.steps, &aside.closed, lang),
        next,
        asked: asked.map(|asked| (asked.times, Moment::of(asked.first.0))),
        log_size: answer.log_size,
        log_key: web.node.log_key(),
        fingerprint: fingerprint(&web.node.log_public_key()),
        path,
        site: Site::new(web, spoken, &parts.uri),
    })
}

fn steps(steps: Vec<wire::Step>, closed: &BTreeSet<(u64, i32)>, lang: Lang) -> Vec<StepView> {
    let view = |step: wire::Step| StepView {
        when: Moment::of(step.event_time_ms),
        summary: step.summary,
        via: step.via,
        log_index: step.log_index,
        beside: step.beside,
        findings: step
            .findings
            .iter()
            .filter_map(|number| {
                let kind = FindingKind::from_number(*number)?;
                let open = !closed.contains(&(step.log_index, *number));
                Some((kind.rule().meaning(lang), open))
            })
            .collect(),
    };
    steps.into_iter().map(view).collect()
}

/// Where the goods were, as far as the chain says; a record beside it may be anybody's claim.
fn places(steps: &[wire::Step], lang: Lang) -> Vec<((f64, f64), String)> {
    let degrees = |e7: i32| f64::from(e7) / 1e7;
    steps
        .iter()
        .filter(|step| !step.beside)
        .filter_map(|step| {
            let place = step.position.as_ref().map(|position| {
                let (latitude, longitude) = (
                    degrees(position.latitude_e7),
                    degrees(position.longitude_e7),
                );
                CHINA.place(latitude, longitude)
            });
            let place = place.or_else(|| CHINA.middle(&step.region))?;
            let name = match step.city.as_str() {
                "" => CHINA.name(&step.region, lang).unwrap_or(&step.region),
                city => city,
            };
            Some((place, name.to_owned()))
        })
        .collect()
}

fn today_in_china() -> u32 {
    let now = Moment::of(crate::node::now().0).shown;
    let digits: String = now.chars().take(10).filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// A day of the calendar out of the number YYYYMMDD.
fn day(number: u32) -> String {
    if number == 0 {
        return String::new();
    }
    format!(
        "{}-{:02}-{:02}",
        number / 10_000,
        number / 100 % 100,
        number % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_is_asked_for_and_a_page_for_whoever_takes_anything() {
        for (accept, form) in [
            ("", Some(Form::Page)),
            ("*/*", Some(Form::Page)),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Some(Form::Page),
            ),
            ("application/json", Some(Form::Verdict)),
            ("application/*", Some(Form::Verdict)),
            ("text/html;q=0.2, application/ld+json", Some(Form::Epcis)),
            ("application/linkset+json", Some(Form::Linkset)),
            ("text/html;q=0, */*;q=0.1", Some(Form::Verdict)),
            ("image/png", None),
            ("text/html;q=0", None),
        ] {
            assert_eq!(negotiate(accept), form, "{accept}");
        }
        for (number, (form, ..)) in FORMS.iter().enumerate() {
            assert_eq!(*form as usize, number);
        }
    }

    #[test]
    fn moments_are_shown_in_china_standard_time() {
        let moment = Moment::of(1_764_000_000_000);
        assert_eq!(moment.exact, "2025-11-24T16:00:00Z");
        assert_eq!(moment.shown, "2025-11-25 00:00");
    }
}
