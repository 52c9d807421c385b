//! How fast one network may ask: a token bucket for each (GCRA), so that nobody can read out the trade
//! of a firm by counting up its serials, or keep others from their answer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::problem::Problem;
use super::{Asker, Web};
use crate::network::{Network, network};

/// How many seconds' worth may come at once.
const BURST_SECONDS: u32 = 10;
/// How often networks that have been quiet are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

const SUBMIT: &str = "/custody.v1.LedgerService/Submit";
/// Calls that look up as many as 512 units at once.
const BATCHES: [&str; 2] = [
    "/custody.v1.ProvenanceService/BatchGetStandings",
    "/custody.v1.LedgerService/GetHeads",
];
/// What such a call counts as.
const BATCH_COST: NonZeroU32 = NonZeroU32::new(BURST_SECONDS).expect("not zero");

/// The buckets.
pub(super) struct Limit {
    buckets: RateLimiter<Network, HashMapStateStore<Network>, DefaultClock>,
    forgotten: std::sync::Mutex<std::time::Instant>,
}

impl Limit {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            buckets: RateLimiter::hashmap(quota),
            forgotten: std::sync::Mutex::new(std::time::Instant::now()),
        }
    }

    /// How long it has to wait, if it has to.
    fn wait(&self, network: Network, cost: NonZeroU32) -> Option<Duration> {
        self.forget();
        // The burst is at least as large as any cost.
        let refused = self.buckets.check_key_n(&network, cost).ok()?.err()?;
        Some(refused.wait_time_from(DefaultClock::default().now()))
    }

    fn forget(&self) {
        // Whoever finds it locked leaves the work to who does it.
        let Ok(mut last) = self.forgotten.try_lock() else {
            return;
        };
        if last.elapsed() >= FORGET_EVERY {
            *last = std::time::Instant::now();
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
    }
}

/// Lets a request through, or says when to come again.
pub(super) async fn limited(
    State(web): State<Arc<Web>>,
    Asker(address): Asker,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    // Submissions have a quota of their party's: behind one address there may be a depot full of scanners.
    let limit = web.limit.as_ref().filter(|_| path != SUBMIT);
    let cost = if BATCHES.contains(&path) {
        BATCH_COST
    } else {
        NonZeroU32::MIN
    };
    let Some(wait) = limit.and_then(|limit| limit.wait(network(address), cost)) else {
        return next.run(request).await;
    };
    metrics::counter!("custody_web_limited_total").increment(1);
    let seconds = wait.as_secs() + 1;
    let mut response = Problem::too_many(seconds).into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_one_network_when_it_asks_too_fast_then_it_waits_and_others_do_not() {
        let limit = Limit::new(NonZeroU32::new(2).unwrap());
        let (one, other) = (
            network("10.1.2.3".parse().unwrap()),
            network("10.1.3.3".parse().unwrap()),
        );
        let let_through = (0..100)
            .filter(|_| limit.wait(one, NonZeroU32::MIN).is_none())
            .count();
        assert!((20..30).contains(&let_through), "{let_through}");
        assert!(limit.wait(one, NonZeroU32::MIN).unwrap() <= Duration::from_millis(500));
        assert_eq!(limit.wait(other, BATCH_COST), None);
    }
}
