//! A product or a lot: who may make it, and whether it was called back. What became of single units is on
//! their own pages.

use axum::http::Uri;
use axum::response::Response;

use super::Web;
use super::language::Spoken;
use super::page::{Framed, Site, shown};
use super::problem::{self, Problem};
use super::unit::Moment;
use crate::api::provenance::{self, GoodsFacts, Notice};
use crate::core::id::digital_link;
use crate::core::record::{GoodsId, ProductId};

/// The product or lot that a link names. What reads as neither is for the units' page to refuse.
pub(super) fn named(link: &str) -> Option<GoodsId> {
    let (gtin, lot) = digital_link::parse_goods(link).ok()??;
    let product = ProductId::Gtin(gtin);
    Some(match lot {
        None => GoodsId::Product(product),
        Some(lot) => GoodsId::Lot(product, lot),
    })
}

#[derive(askama::Template)]
#[template(path = "goods.html")]
struct GoodsPage {
    site: Site,
    product: String,
    lot: String,
    facts: GoodsFacts,
    notices: Vec<(Notice, Moment)>,
}

impl Framed for GoodsPage {
    fn site(&self) -> &Site {
        &self.site
    }
}

pub(super) fn page(web: &Web, spoken: Spoken, uri: &Uri, goods: &GoodsId) -> Response {
    let site = Site::new(web, spoken, uri);
    match provenance::goods(&web.node, goods) {
        Ok((facts, notices)) => {
            let lot = match goods {
                GoodsId::Product(_) => String::new(),
                GoodsId::Lot(_, lot) => lot.to_string(),
            };
            let dated = notices.into_iter().map(|notice| {
                let when = Moment::of(notice.time.0);
                (notice, when)
            });
            shown(&GoodsPage {
                site,
                product: goods.product().to_string(),
                lot,
                facts,
                notices: dated.collect(),
            })
        }
        Err(status) => problem::page(site, Problem::from(status)),
    }
}
