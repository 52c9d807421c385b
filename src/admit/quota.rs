//! Quotas: how fast one party may fill the log. Taken before the order, never in it (I1).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::core::apply::state::Actor;
use crate::core::refusal::{Reason, Refusal};

/// Owners whose buckets are remembered; more means that the fullest are forgotten.
const MAX_BUCKETS: usize = 100_000;

/// Rates and bursts.
#[derive(Clone, Copy, Debug)]
pub struct QuotaConfig {
    /// Records a second of one party.
    pub records_per_second: u32,
    /// Records that a party may send at once after a pause.
    pub burst: u32,
    /// Registrations a second, of all that ask.
    pub registrations_per_second: u32,
    /// Registrations at once after a pause.
    pub registration_burst: u32,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            records_per_second: 20_000,
            burst: 200_000,
            registrations_per_second: 10,
            registration_burst: 1_000,
        }
    }
}

/// Token buckets by owner.
pub struct Quota {
    config: QuotaConfig,
    buckets: Mutex<HashMap<Option<Actor>, Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Quota {
    /// All buckets full.
    #[must_use]
    pub fn new(config: QuotaConfig) -> Self {
        Self {
            config,
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one record from the owner's bucket; none is whoever registers.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`] when the bucket is empty.
    pub fn take(&self, owner: Option<Actor>) -> Result<(), Refusal> {
        let (rate, burst) = match owner {
            Some(_) => (self.config.records_per_second, self.config.burst),
            None => (
                self.config.registrations_per_second,
                self.config.registration_burst,
            ),
        };
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            let full = f64::from(self.config.burst) * 0.9;
            buckets.retain(|_, bucket| bucket.tokens < full);
        }
        let bucket = buckets.entry(owner).or_insert(Bucket {
            tokens: f64::from(burst),
            filled: now,
        });
        let elapsed = now.duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * f64::from(rate)).min(f64::from(burst));
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return Err(Refusal::new(
                Reason::QuotaExceeded,
                format!("more than {rate} records a second; send the same envelope again later"),
            ));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_an_empty_bucket_when_taken_then_refused_with_the_reason() {
        let quota = Quota::new(QuotaConfig {
            registrations_per_second: 0,
            registration_burst: 2,
            ..QuotaConfig::default()
        });
        assert!(quota.take(None).is_ok());
        assert!(quota.take(None).is_ok());
        assert_eq!(quota.take(None).unwrap_err().reason, Reason::QuotaExceeded);
    }
}
