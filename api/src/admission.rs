//! How many requests one client can send.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request},
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
pub const RATE_HEADERS: [HeaderName; 2] = [RATE_LIMIT_POLICY, RATE_LIMIT];
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

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
pub struct Bucket {
    rate: Rate,
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
                    rate: self.rate,
                    remaining,
                    wait: Duration::from_secs_f64(
                        f64::from(missing) / f64::from(self.rate.per_second.get()),
                    ),
                })
            }
            Ok(Err(refused)) => Err(Bucket {
                rate: self.rate,
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
}

impl Bucket {
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        let Rate { burst, .. } = self.rate;
        let policy = format!("\"address\";q={burst};w={}", self.rate.window_secs());
        let wait = self.wait.as_secs_f64().ceil();
        let state = format!("\"address\";r={};t={wait}", self.remaining);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Counts a request; a computed answer counts more than a read. `None` without a limit. The error is the client's
/// bucket that can't pay for the request.
pub fn count<B>(app: &AppState, request: &Request<B>) -> Result<Option<Bucket>, Bucket> {
    let Some(limiter) = &app.rate_limiter else {
        return Ok(None);
    };
    let Some(address) = request.extensions().get::<ClientAddress>().copied() else {
        return Ok(None);
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
    limiter.count(address, cost).map(Some)
}

/// Refuses the requests of a client that has sent too many.
pub async fn limit_rate(
    State(app): State<AppState>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let (mut response, bucket) = match count(&app, &request) {
        Ok(bucket) => (next.run(request).await, bucket),
        Err(bucket) => {
            let retry_after_secs = bucket.wait.as_secs().saturating_add(1);
            let problem = Problem::RateLimited { retry_after_secs };
            (problem.into_response(), Some(bucket))
        }
    };
    if let Some(bucket) = bucket {
        bucket.write_headers(response.headers_mut());
    }
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
        let mut headers = HeaderMap::new();
        let bucket = Bucket {
            rate: Rate::new(100, 500).expect("a limit"),
            remaining: 450,
            wait: Duration::from_millis(500),
        };
        bucket.write_headers(&mut headers);
        assert_eq!(headers[RATE_LIMIT_POLICY], "\"address\";q=500;w=5");
        assert_eq!(headers[RATE_LIMIT], "\"address\";r=450;t=1");
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert_eq!(Rate::new(0, 500), None);
    }
}
