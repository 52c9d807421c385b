//! Hold, Release and Recall of a lot or a product: they concern no chain, and act as governance.

use super::authority::Authority;
use super::judge::{owner, scopes_of_product};
use super::state::{Actor, Goods, KeyScope, Read, Stop};
use super::{MAX_GOODS_LOG, Result, Step};
use crate::core::record::{Body, GoodsId, Kind, Scope};
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire;

pub(super) fn goods_scope<R: Read>(step: &Step<'_, R>) -> Option<GoodsId> {
    match &step.placed.record.body {
        Body::Hold(Scope::Goods(goods))
        | Body::Release(Scope::Goods(goods))
        | Body::Recall(Scope::Goods(goods)) => Some(goods.clone()),
        _ => None,
    }
}

/// Hold, Release or Recall of a lot or a product: by its owner or a regulator.
pub(super) fn stop_goods<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    goods: &GoodsId,
) -> Result<wire::Verdict> {
    let owns = match authority.actor {
        Actor::Party(party) => {
            owner(&step.views, &scopes_of_product(goods.product()))? == Some(party)
        }
        Actor::Buyer(_) => false,
    };
    let delegated = authority.scope == KeyScope::Delegated;
    if delegated || !(owns || authority.is_regulator()) {
        return Err(Refusal::new(
            Reason::Unauthorised,
            format!("{goods} is stopped by a full key of its owner or of a regulator"),
        )
        .into());
    }
    let mut row = step.views.get::<Goods>(goods)?.unwrap_or_default();
    let index = step.placed.index;
    let stop = Stop {
        index,
        by_regulator: authority.is_regulator(),
    };
    let in_force = match step.placed.record.kind() {
        Kind::Hold => row.hold,
        Kind::Recall => row.recall,
        _ => None,
    };
    if in_force.is_some_and(|before| before.by_regulator || !stop.by_regulator) {
        return Err(
            Refusal::new(Reason::AlreadyExists, format!("{goods} is stopped already")).into(),
        );
    }
    if row.log.len() >= MAX_GOODS_LOG {
        return Err(Refusal::new(
            Reason::FailedPrecondition,
            format!("{goods} was stopped and released {MAX_GOODS_LOG} times; ask the operator"),
        )
        .into());
    }
    match step.placed.record.kind() {
        Kind::Hold => row.hold = Some(stop.over(row.hold)),
        Kind::Recall => row.recall = Some(stop.over(row.recall)),
        _ if row.hold.is_none() && row.recall.is_none() => {
            return Err(Refusal::new(
                Reason::FailedPrecondition,
                format!("{goods} is neither held nor recalled"),
            )
            .into());
        }
        _ if !stop.may_release(row.hold, row.recall) => {
            return Err(Refusal::new(
                Reason::Unauthorised,
                format!("a regulator stopped {goods}, and only a regulator releases it"),
            )
            .into());
        }
        _ => (row.hold, row.recall) = (None, None),
    }
    row.log.push(index);
    step.views.put::<Goods>(goods.clone(), row);
    Ok(wire::Verdict::default())
}
