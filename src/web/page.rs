//! What all pages share, and the first one.

use std::borrow::Borrow;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use sha2::{Digest as _, Sha256};

use super::language::{NAME, Spoken};
use super::problem::Problem;
use super::unit::Moment;
use super::{Shared, Web, asset, problem};
use crate::core::id::UnitId;
use crate::core::lang::Lang;
use crate::core::words::Named;

/// What the frame around every page needs.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub lang: Lang,
    chosen: bool,
    /// Folder of scripts and styles.
    pub assets: &'static str,
    /// The ledger's name.
    pub origin: String,
    /// This page in the other language.
    pub other: String,
}

impl Site {
    pub(super) fn new(web: &Web, spoken: Spoken, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default().split('&');
        let kept = query.filter(|pair| !pair.is_empty() && !pair.starts_with(NAME));
        let other = spoken.lang.pick("en", "zh");
        let query: String = kept.map(|pair| format!("{pair}&")).collect();
        Self {
            lang: spoken.lang,
            chosen: spoken.chosen,
            assets: asset::folder(),
            origin: web.node.origin().to_owned(),
            // Only what comes after the path: that may be anything, even another host's name.
            other: format!("?{query}{NAME}={other}"),
        }
    }

    /// A moment, as people read it until the browser puts it into its own time.
    #[allow(clippy::unused_self)]
    pub(super) fn time(&self, ms: impl Borrow<u64>) -> String {
        let when = Moment::of(*ms.borrow());
        format!("<time datetime=\"{}\">{}</time>", when.exact, when.shown)
    }

    /// An id in hexadecimal.
    #[allow(clippy::unused_self)]
    pub(super) fn hex(&self, id: &[u8]) -> String {
        hex::encode(id)
    }

    /// What a word of the proto is called.
    pub(super) fn w<N: Named>(&self, word: N) -> &'static str {
        word.named(self.lang)
    }

    /// One of two texts.
    #[allow(clippy::unused_self, clippy::trivially_copy_pass_by_ref)]
    pub(super) fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(zh, en)
    }
}

/// A page that has a frame.
pub(super) trait Framed {
    fn site(&self) -> &Site;
}

/// Renders a page.
pub(super) fn shown<P: Template + Framed>(page: &P) -> Response {
    match page.render() {
        Ok(body) => answer(page.site().lang, page.site().chosen, body.into()),
        Err(error) => Problem::internal(&error.to_string()).into_response(),
    }
}

/// A rendered page as an answer; a language that was chosen just now is remembered.
pub(super) fn answer(lang: Lang, chosen: bool, body: Bytes) -> Response {
    let mut response = (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_LANGUAGE, lang.tag()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept, accept-language, cookie"),
        ],
        body,
    )
        .into_response();
    if chosen {
        let cookie = lang.pick(CHOSE_CHINESE, CHOSE_ENGLISH);
        let cookie = HeaderValue::from_static(cookie);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// For a year.
const CHOSE_CHINESE: &str = "lang=zh; Path=/; Max-Age=31536000; SameSite=Lax";
const CHOSE_ENGLISH: &str = "lang=en; Path=/; Max-Age=31536000; SameSite=Lax";

/// SHA-256 of the log's public key in groups, to be compared with what is printed on a label.
pub(crate) fn fingerprint(public_key: &[u8; 32]) -> String {
    let digest = Sha256::digest(public_key);
    let groups: Vec<String> = digest.chunks_exact(2).map(hex::encode_upper).collect();
    groups.join(" ")
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    site: Site,
    log_size: u64,
    fingerprint: String,
}

impl Framed for StartPage {
    fn site(&self) -> &Site {
        &self.site
    }
}

pub(super) async fn start(State(web): Shared, spoken: Spoken, uri: Uri) -> Response {
    shown(&StartPage {
        site: Site::new(&web, spoken, &uri),
        log_size: web.node.head().borrow().size,
        fingerprint: fingerprint(&web.node.log_public_key()),
    })
}

#[derive(serde::Deserialize)]
pub(super) struct Find {
    #[serde(default)]
    code: String,
}

/// Leads from a code in any form to its page.
pub(super) async fn find(
    State(web): Shared,
    spoken: Spoken,
    uri: Uri,
    Query(Find { code }): Query<Find>,
) -> Response {
    match UnitId::parse_any(&code) {
        Ok(unit) => Redirect::to(&unit.to_digital_link("")).into_response(),
        Err(error) => {
            let site = Site::new(&web, spoken, &uri);
            problem::page(site, unreadable(spoken.lang, &error))
        }
    }
}

/// A code that can't be read is an error of whoever typed it, not a sign of a counterfeit.
pub(super) fn unreadable(lang: Lang, error: &crate::core::id::IdError) -> Problem {
    let mut problem = Problem::bad_request(lang.pick(
        format!("编码无法识别，请核对后重试。这不代表商品是假冒。（{error}）"),
        format!("This code can't be read; check it and try again. It says nothing about the goods. ({error})"),
    ));
    problem.status = StatusCode::BAD_REQUEST;
    problem
}
