//! How often somebody may do something: token buckets per rule and key, kept in memory.
//!
//! Buckets are this process's own: behind several processes a limit is that many times as wide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::HeaderValue;
use nova_core::error::Kind;

use super::problem::Problem;

/// So many at once, and then one in every `every`.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it limits, for example `login.ip`; also the label of its metric.
    pub name: &'static str,
    /// At once.
    pub burst: u32,
    /// Until one more is allowed.
    pub every: Duration,
}

impl Rule {
    /// `burst` at once, then `count` in each `per`.
    pub const fn new(name: &'static str, burst: u32, count: u32, per: Duration) -> Self {
        let every = Duration::from_nanos(per.as_nanos() as u64 / if count == 0 { 1 } else { count as u64 });
        Self { name, burst, every }
    }
}

/// What is left of a bucket, for `RateLimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// At once, when nothing was used.
    pub limit: u32,
    /// At once, now.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
}

type Bucket = RateLimiter<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// All buckets of this process. Clones share them.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    scale: u32,
    keys: RandomState,
    buckets: RwLock<HashMap<&'static str, Arc<Bucket>>>,
}

impl Limits {
    /// Every rule is widened `scale` times; 0 switches limits off.
    pub fn new(scale: u32) -> Self {
        Self(Arc::new(Inner {
            scale,
            keys: RandomState::new(),
            buckets: RwLock::default(),
        }))
    }

    /// Takes one from the bucket of `rule` and `key`, or says when there will be one again.
    pub fn check(&self, rule: &Rule, key: impl Hash) -> Result<Allowance, Problem> {
        let limit = rule.burst.max(1).saturating_mul(self.0.scale);
        let Some(burst) = NonZeroU32::new(limit) else {
            return Ok(Allowance {
                limit: u32::MAX,
                remaining: u32::MAX,
                reset: Duration::ZERO,
            });
        };
        let bucket = self.bucket(rule, burst);
        match bucket.check_key(&self.0.keys.hash_one(key)) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Ok(Allowance {
                    limit,
                    remaining,
                    reset: (rule.every / self.0.scale) * (limit - remaining.min(limit)),
                })
            }
            Err(early) => {
                let wait = early.wait_time_from(DefaultClock::default().now());
                metrics::counter!("nova_limited_total", "rule" => rule.name).increment(1);
                Err(Problem::of(Kind::Exhausted, "too often, wait a moment")
                    .retry_after(wait)
                    .limited(Allowance {
                        limit,
                        remaining: 0,
                        reset: wait,
                    }))
            }
        }
    }

    fn bucket(&self, rule: &Rule, burst: NonZeroU32) -> Arc<Bucket> {
        let buckets = self.0.buckets.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(rule.name) {
            return Arc::clone(bucket);
        }
        drop(buckets);
        let every = (rule.every / self.0.scale).max(Duration::from_nanos(1));
        let quota = Quota::with_period(every)
            .unwrap_or(Quota::per_second(burst))
            .allow_burst(burst);
        let made = Arc::new(RateLimiter::dashmap(quota).with_middleware());
        let mut buckets = self.0.buckets.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(buckets.entry(rule.name).or_insert(made))
    }

    /// Forgets the buckets that are full again. Called every minute, so that memory follows the callers of that minute.
    pub fn sweep(&self) {
        for bucket in self.0.buckets.read().unwrap_or_else(PoisonError::into_inner).values() {
            bucket.retain_recent();
            bucket.shrink_to_fit();
        }
    }
}

/// Says in `response` what is left (draft-ietf-httpapi-ratelimit-headers-03 names, which clients know).
pub fn tell(response: &mut Response, allowance: Allowance) {
    if allowance.limit == u32::MAX {
        return;
    }
    let headers = response.headers_mut();
    let seconds = allowance.reset.as_secs() + u64::from(allowance.reset.subsec_nanos() > 0);
    headers.insert("ratelimit-limit", HeaderValue::from(allowance.limit));
    headers.insert("ratelimit-remaining", HeaderValue::from(allowance.remaining));
    headers.insert("ratelimit-reset", HeaderValue::from(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule::new("test", 3, 1, Duration::from_secs(3600));

    #[test]
    fn a_bucket_is_one_rule_and_one_key() {
        let limits = Limits::new(1);
        for left in (0..3).rev() {
            assert_eq!(limits.check(&RULE, "a").unwrap().remaining, left);
        }
        let problem = limits.check(&RULE, "a").unwrap_err();
        assert_eq!(problem.status().as_u16(), 429);
        assert!(limits.check(&RULE, "b").is_ok());
        assert!(limits.check(&Rule { name: "other", ..RULE }, "a").is_ok());
    }

    #[test]
    fn limits_can_be_widened_and_switched_off() {
        let wide = Limits::new(2);
        assert!((0..6).all(|_| wide.check(&RULE, "a").is_ok()) && wide.check(&RULE, "a").is_err());
        let off = Limits::new(0);
        assert!((0..100).all(|_| off.check(&RULE, "a").is_ok()));
    }
}
