//! How many requests one client can send.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

use crate::{client_address::ClientAddress, problem::Problem, state::AppState};

/// Headers of the IETF draft "RateLimit header fields for HTTP", version 10 and later.
pub const RATE_HEADERS: [&str; 2] = [RATE_LIMIT_POLICY, RATE_LIMIT];
const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
const RATE_LIMIT: &str = "ratelimit";

/// What a request counts that isn't a read of the mirror: a quote or a simulation.
const COMPUTED_COST: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Requests that one [`ClientAddress`] can send: a bucket of `burst` that `per_second` fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// `None` if either is 0: without a limit.
    pub fn new(per_second: u64, burst: u64) -> Option<Self> {
        let number = |number: u64| NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX));
        Some(Self {
            per_second: number(per_second)?,
            burst: number(burst)?,
        })
    }

    /// Seconds in which an empty bucket fills.
    fn window_secs(self) -> u64 {
        u64::from(self.burst.get()).div_ceil(self.per_second.get().into())
    }
}

type Buckets = governor::RateLimiter<
    ClientAddress,
    DashMapStateStore<ClientAddress>,
    DefaultClock,
    StateInformationMiddleware,
>;

/// Counts the requests of each client.
pub struct RateLimiter {
    rate: Rate,
    buckets: Buckets,
}

/// A client's bucket after a request.
struct Bucket {
    /// Requests that are left.
    remaining: u32,
    /// Time until the bucket is full again, or until the refused request would be admitted.
    wait: Duration,
}

impl RateLimiter {
    pub fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            rate,
            buckets: governor::RateLimiter::dashmap(quota).with_middleware(),
        }
    }

    /// Counts a request. The error is the bucket that can't pay for it.
    fn count(&self, address: ClientAddress, cost: NonZeroU32) -> Result<Bucket, Bucket> {
        // A burst that is smaller than the cost admits one request when it is full.
        let cost = cost.min(self.rate.burst);
        match self.buckets.check_key_n(&address, cost) {
            Ok(Ok(snapshot)) => {
                let remaining = snapshot.remaining_burst_capacity();
                let missing = self.rate.burst.get().saturating_sub(remaining);
                Ok(Bucket {
                    remaining,
                    wait: Duration::from_secs_f64(
                        f64::from(missing) / f64::from(self.rate.per_second.get()),
                    ),
                })
            }
            Ok(Err(refused)) => Err(Bucket {
                remaining: 0,
                wait: refused.wait_time_from(DefaultClock::default().now()),
            }),
            Err(_) => unreachable!("the cost is at most the burst"),
        }
    }

    /// Forgets the clients whose buckets are full.
    pub fn forget_idle(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }

    fn write_headers(&self, headers: &mut HeaderMap, bucket: &Bucket) {
        let Rate { burst, .. } = self.rate;
        let policy = format!("\"address\";q={burst};w={}", self.rate.window_secs());
        let wait = bucket.wait.as_secs_f64().ceil();
        let state = format!("\"address\";r={};t={wait}", bucket.remaining);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Refuses the requests of a client that has sent too many. Computed answers count more than reads.
pub async fn limit_rate(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let Some(limiter) = &app.rate_limiter else {
        return next.run(request).await;
    };
    let Some(address) = request.extensions().get::<ClientAddress>().copied() else {
        return next.run(request).await;
    };
    let is_read = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    // A call of a tool is a request of its own, which counts itself.
    let cost = if is_read || request.uri().path() == "/mcp" {
        NonZeroU32::MIN
    } else {
        COMPUTED_COST
    };
    let (mut response, bucket) = match limiter.count(address, cost) {
        Ok(bucket) => (next.run(request).await, bucket),
        Err(bucket) => {
            let retry_after_secs = bucket.wait.as_secs().saturating_add(1);
            let problem = Problem::RateLimited { retry_after_secs };
            (problem.into_response(), bucket)
        }
    };
    limiter.write_headers(response.headers_mut(), &bucket);
    response
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(last: u8) -> ClientAddress {
        IpAddr::from([192, 0, 2, last]).into()
    }

    #[test]
    fn a_client_is_refused_once_its_bucket_is_empty_and_others_are_not() {
        let limiter = RateLimiter::new(Rate::new(2, 10).expect("a limit"));
        let count = |last, cost| limiter.count(address(last), NonZeroU32::new(cost).unwrap());
        let bucket = count(1, 5).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(
            (bucket.remaining, bucket.wait.as_secs_f64().round()),
            (5, 3.0)
        );
        assert!(count(1, 5).is_ok());
        let refused = count(1, 1).err().expect("refused");
        assert!(
            refused.wait <= Duration::from_millis(500),
            "{:?}",
            refused.wait
        );
        assert!(count(2, 1).is_ok());
    }

    #[test]
    fn headers_state_the_policy_and_what_is_left() {
        let limiter = RateLimiter::new(Rate::new(100, 500).expect("a limit"));
        let mut headers = HeaderMap::new();
        let bucket = Bucket {
            remaining: 450,
            wait: Duration::from_millis(500),
        };
        limiter.write_headers(&mut headers, &bucket);
        assert_eq!(headers[RATE_LIMIT_POLICY], "\"address\";q=500;w=5");
        assert_eq!(headers[RATE_LIMIT], "\"address\";r=450;t=1");
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert_eq!(Rate::new(0, 500), None);
    }
}
