//! How many requests a key may make: the generic cell rate algorithm (ITU-T I.371) on one atomic number a key.
//!
//! Limits are counted by each gateway for itself. Headers as in draft-ietf-httpapi-ratelimit-headers.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

const WINDOW_SECONDS: u64 = 60;
const NANOS: u64 = 1_000_000_000;
const WINDOW_NANOS: u64 = WINDOW_SECONDS * NANOS;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// One key's allowance.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Requests a minute; 0: no limit.
    quota: u32,
    /// What one request costs, in nanoseconds of the window.
    cost_nanos: u64,
    /// The time at which the bucket will be full again, in nanoseconds of the monotonic clock.
    full_at: AtomicU64,
    policy: HeaderValue,
}

/// What a bucket said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether it may go on.
    pub(crate) allowed: bool,
    /// Requests left.
    pub(crate) remaining: u64,
    /// When the next request is allowed (if this one was not), or all are (if it was), in seconds.
    pub(crate) seconds: u64,
}

impl Bucket {
    /// A full bucket of so many requests a minute; 0: no limit.
    pub(crate) fn new(quota: u32) -> Self {
        let policy = HeaderValue::try_from(format!("\"default\";q={quota};w={WINDOW_SECONDS}"));
        Self {
            quota,
            cost_nanos: WINDOW_NANOS / u64::from(quota.max(1)),
            full_at: AtomicU64::new(0),
            policy: policy.unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }

    /// Requests a minute; 0: no limit.
    pub(crate) fn quota(&self) -> u32 {
        self.quota
    }

    /// Takes one request's cost, if it is there; `None`: there is no limit.
    pub(crate) fn take(&self, now_ms: u64) -> Option<Decision> {
        if self.quota == 0 {
            return None;
        }
        let now = now_ms.saturating_mul(1_000_000);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = full_at.max(now).saturating_add(self.cost_nanos);
            let debt = after - now;
            if debt > WINDOW_NANOS {
                let seconds = (debt - WINDOW_NANOS).div_ceil(NANOS).max(1);
                return Some(Decision { allowed: false, remaining: 0, seconds });
            }
            match self.full_at.compare_exchange_weak(full_at, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let remaining = (WINDOW_NANOS - debt) / self.cost_nanos;
                    return Some(Decision { allowed: true, remaining, seconds: debt.div_ceil(NANOS) });
                }
                Err(seen) => full_at = seen,
            }
        }
    }

    /// Puts the headers of a decision into an answer.
    pub(crate) fn headers(&self, decision: Decision, headers: &mut HeaderMap) {
        headers.insert(POLICY, self.policy.clone());
        let mut text = Vec::with_capacity(40);
        text.extend_from_slice(b"\"default\";r=");
        decimal(&mut text, decision.remaining);
        text.extend_from_slice(b";t=");
        decimal(&mut text, decision.seconds);
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
            headers.insert(LIMIT, value);
        }
    }
}

fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_quota_may_be_used_at_once_and_comes_back_evenly() {
        let bucket = Bucket::new(100);
        for used in 1..=100 {
            let decision = bucket.take(5_000).unwrap();
            assert!(decision.allowed);
            assert_eq!(decision.remaining, 100 - used);
        }
        assert_eq!(bucket.take(5_000), Some(Decision { allowed: false, remaining: 0, seconds: 1 }));
        assert!(bucket.take(5_600).unwrap().allowed, "one comes back every 0.6 s");
        assert!(!bucket.take(5_600).unwrap().allowed);
        let later = bucket.take(65_700).unwrap();
        assert_eq!((later.allowed, later.remaining), (true, 99));
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let bucket = Bucket::new(1);
        assert!(bucket.take(0).unwrap().allowed);
        let refused = bucket.take(10_000).unwrap();
        assert_eq!((refused.allowed, refused.seconds), (false, 50));
        assert!(bucket.take(60_000).unwrap().allowed);
    }

    #[test]
    fn zero_is_no_limit_and_the_greatest_limit_works() {
        assert_eq!(Bucket::new(0).take(1), None);
        let bucket = Bucket::new(u32::MAX);
        assert!((0..100_000).all(|_| bucket.take(1).unwrap().allowed));
    }

    #[test]
    fn headers_are_as_the_draft_has_them() {
        let bucket = Bucket::new(100);
        let mut headers = HeaderMap::new();
        bucket.headers(bucket.take(0).unwrap(), &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"default\";q=100;w=60");
        assert_eq!(headers["ratelimit"], "\"default\";r=99;t=1");
    }
}
