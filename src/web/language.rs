//! Which language a page is in: what the reader chose, else what the browser asks for, else Chinese.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};
use axum::http::request::Parts;

use crate::core::lang::Lang;

/// Name of the cookie and of the query parameter.
pub(super) const NAME: &str = "lang";

/// The language of a request, and whether it was chosen just now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken {
    pub lang: Lang,
    pub chosen: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Spoken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        if let Some(lang) = named(query.split('&')) {
            return Ok(Self { lang, chosen: true });
        }
        let texts = |name| {
            let values = parts.headers.get_all(name).iter();
            values.filter_map(|value| value.to_str().ok())
        };
        let cookies = texts(COOKIE).flat_map(|cookies| cookies.split(';').map(str::trim));
        let lang = named(cookies)
            .or_else(|| texts(ACCEPT_LANGUAGE).find_map(preferred))
            .unwrap_or_default();
        let chosen = false;
        Ok(Self { lang, chosen })
    }
}

fn named<'a>(pairs: impl Iterator<Item = &'a str>) -> Option<Lang> {
    let values = pairs.filter_map(|pair| pair.strip_prefix(NAME)?.strip_prefix('='));
    values.filter_map(of_tag).next()
}

/// The language of a tag such as `zh-Hans-CN`.
fn of_tag(tag: &str) -> Option<Lang> {
    match tag.split('-').next()?.to_ascii_lowercase().as_str() {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    }
}

/// RFC 9110, section 12.5.4: of the languages that there are, the one of the highest weight. Among
/// equals, the first.
fn preferred(header: &str) -> Option<Lang> {
    let mut best: Option<(f32, Lang)> = None;
    for range in header.split(',') {
        let mut parts = range.split(';');
        let Some(lang) = of_tag(parts.next().unwrap_or_default().trim()) else {
            continue;
        };
        let weight = parts.find_map(|part| part.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, lang));
        }
    }
    best.map(|(_, lang)| lang)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, cookie: &str, accept: &str) -> (Lang, bool) {
        let request = axum::http::Request::get(uri)
            .header(COOKIE, cookie)
            .header(ACCEPT_LANGUAGE, accept);
        let mut parts = request.body(()).unwrap().into_parts().0;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let Ok(spoken) = runtime
            .unwrap()
            .block_on(Spoken::from_request_parts(&mut parts, &()));
        (spoken.lang, spoken.chosen)
    }

    #[test]
    fn what_was_chosen_comes_before_what_the_browser_asks_for_and_chinese_is_for_all_others() {
        for (uri, cookie, accept, lang, chosen) in [
            ("/", "", "", Lang::Zh, false),
            ("/", "", "fr-FR, de;q=0.8", Lang::Zh, false),
            ("/", "", "en-GB,en;q=0.9,zh;q=0.8", Lang::En, false),
            ("/", "", "fr, en;q=0.3, zh-Hans;q=0.7", Lang::Zh, false),
            ("/", "", "zh;q=0, en;q=0.1", Lang::En, false),
            ("/", "", "en;q=nonsense, zh;q=0.1", Lang::Zh, false),
            ("/", "a=b; lang=en", "zh", Lang::En, false),
            ("/?a=b&lang=zh", "lang=en", "en", Lang::Zh, true),
            ("/?lang=xx", "lang=xx", "en", Lang::En, false),
            ("/?language=zh", "langs=zh", "en", Lang::En, false),
        ] {
            assert_eq!(
                of(uri, cookie, accept),
                (lang, chosen),
                "{uri} {cookie} {accept}"
            );
        }
    }
}
