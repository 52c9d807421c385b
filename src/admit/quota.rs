//! Quotas: how fast one party may fill the log. Taken before the order, never in it (I1).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

    /// To take several at one moment.
    #[must_use]
    pub fn takings(&self) -> Takings<'_> {
        Takings {
            config: &self.config,
            buckets: self.buckets.lock().unwrap_or_else(PoisonError::into_inner),
            now: Instant::now(),
        }
    }
}

/// Takes from buckets. While it lives nobody else does.
pub struct Takings<'a> {
    config: &'a QuotaConfig,
    buckets: MutexGuard<'a, HashMap<Option<Actor>, Bucket>>,
    now: Instant,
}

impl Takings<'_> {
    /// Takes one record from the owner's bucket; none is whoever registers.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`] when the bucket is empty.
    pub fn take(&mut self, owner: Option<Actor>) -> Result<(), Refusal> {
        let (rate, burst) = match owner {
            Some(_) => (self.config.records_per_second, self.config.burst),
            None => (
                self.config.registrations_per_second,
                self.config.registration_burst,
            ),
        };
        if self.buckets.len() >= MAX_BUCKETS {
            let full = f64::from(self.config.burst) * 0.9;
            self.buckets.retain(|_, bucket| bucket.tokens < full);
        }
        let bucket = self.buckets.entry(owner).or_insert(Bucket {
            tokens: f64::from(burst),
            filled: self.now,
        });
        let elapsed = self.now.saturating_duration_since(bucket.filled);
        let refill = elapsed.as_secs_f64() * f64::from(rate);
        bucket.tokens = (bucket.tokens + refill).min(f64::from(burst));
        bucket.filled = bucket.filled.max(self.now);
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
        assert!(quota.takings().take(None).is_ok());
        assert!(quota.takings().take(None).is_ok());
        assert_eq!(
            quota.takings().take(None).unwrap_err().reason,
            Reason::QuotaExceeded
        );
    }
}
