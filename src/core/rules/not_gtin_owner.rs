//! NOT_GTIN_OWNER: units are commissioned, held or recalled by somebody who does not give out
//! their identifier. A regulator may hold, release and recall anything.

use super::{Break, Case};
use crate::core::record::{Kind, Role};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let stops = matches!(case.kind(), Kind::Hold | Kind::Release | Kind::Recall);
    let needs_owner = case.creates() || (stops && !case.roles.contains(&Role::Regulator));
    let is_maker = stops && case.state.maker.is_some() && case.state.maker == case.party();
    if needs_owner && !case.owns_identifier && !is_maker {
        return Break::by(case.state.commissioned_at);
    }
    None
}
