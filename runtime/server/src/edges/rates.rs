//! How often anybody may ask: each credential, each tenant, and each address of those who show no
//! credential that counts. In this process; several of them allow as many times as much.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use crm_model::{TenantId, UserId};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::auth::Caller;
use crate::auth::browsers::has_session;
use crate::problem::{self, Kind, Problem};

/// Costs nothing, and whoever watches over the process asks it of all addresses at once.
const ALIVE: &str = "/healthz";
/// A secret that was refused is asked for again after so long, whatever its rate says: it may have
/// been revoked.
const REFUSED_MAX: Duration = Duration::from_secs(5);
const REFUSED_MAX_SECRETS: u64 = 10_000;
/// Below it people show who they are, and whatever they hold already counts for nothing.
const LOGIN: &str = "/auth/";
/// Passwords of one address that are looked at: of an office that begins its day, not of a
/// machine that guesses.
const LOGINS: Rate = Rate {
    per_second: NonZeroU32::MIN,
    burst: NonZeroU32::MIN.saturating_add(59),
};
/// How often keys that lie idle are dropped.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// So many requests in a second over time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// `100` (and twice as many at once), or `100/500`.
impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<NonZeroU32>().ok();
        let (per_second, burst) = match text.split_once('/') {
            Some((per_second, burst)) => (number(per_second), number(burst)),
            None => {
                let per_second = number(text);
                (
                    per_second,
                    per_second.map(|rate| rate.saturating_mul(TWICE)),
                )
            }
        };
        match (per_second, burst) {
            (Some(per_second), Some(burst)) => Ok(Self { per_second, burst }),
            _ => Err(format!(
                "“{text}” is not a rate: write requests per second, such as 100, or with how many \
                 may come at once, such as 100/500"
            )),
        }
    }
}

const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

impl std::fmt::Display for Rate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.per_second, self.burst)
    }
}

/// Where there is none, there is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Of a person or an API key.
    pub credential: Option<Rate>,
    /// Of all of a tenant's together.
    pub tenant: Option<Rate>,
    /// Of an address, for requests without a credential that counts.
    pub address: Option<Rate>,
}

/// Which limit was met, and what to tell about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited {
    policy: &'static str,
    rate: Rate,
    wait_seconds: u64,
    wait: Duration,
}

impl Limited {
    pub(crate) fn detail(&self) -> String {
        format!(
            "at most {} requests in a second for each {}, {} at once",
            self.rate.per_second, self.policy, self.rate.burst
        )
    }

    pub(crate) fn retry_after(&self) -> HeaderValue {
        HeaderValue::from(self.wait_seconds)
    }

    /// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>: the values of
    /// `RateLimit-Policy` and `RateLimit`.
    pub(crate) fn rate_limit(&self) -> Option<(HeaderValue, HeaderValue)> {
        let Self {
            policy,
            rate,
            wait_seconds,
            ..
        } = self;
        let window = rate.burst.get().div_ceil(rate.per_second.get());
        let quota = format!("\"{policy}\";q={};w={window}", rate.burst);
        let left = format!("\"{policy}\";r=0;t={wait_seconds}");
        Some((quota.parse().ok()?, left.parse().ok()?))
    }
}

struct Limiter<K: Hash + Eq + Clone> {
    policy: &'static str,
    rate: Rate,
    limiter: DefaultKeyedRateLimiter<K>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(policy: &'static str, rate: Option<Rate>) -> Option<Self> {
        let rate = rate?;
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Some(Self {
            policy,
            rate,
            limiter: RateLimiter::keyed(quota),
        })
    }

    fn check(&self, key: &K) -> Result<(), Limited> {
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Limited {
                policy: self.policy,
                rate: self.rate,
                wait_seconds: wait.as_secs() + 1,
                wait,
            }
        })
    }

    /// Drops keys that have their whole burst again, as if they had never come.
    fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// The limits of one server.
pub(crate) struct Limits {
    credential: Option<Limiter<(TenantId, UserId)>>,
    tenant: Option<Limiter<TenantId>>,
    address: Option<Limiter<IpAddr>>,
    /// Secrets of API keys that asked too often, by their SHA-256, until they may again. Whose a
    /// secret is only the database knows, and somebody who asks too often must not cost it a
    /// question each time.
    refused: moka::sync::Cache<[u8; 32], (Limited, Instant)>,
    logins: Option<Limiter<IpAddr>>,
}

impl Limits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            credential: Limiter::new("credential", rates.credential),
            tenant: Limiter::new("tenant", rates.tenant),
            address: Limiter::new("address", rates.address),
            refused: moka::sync::Cache::builder()
                .max_capacity(REFUSED_MAX_SECRETS)
                .time_to_live(REFUSED_MAX)
                .build(),
            logins: Limiter::new("login", Some(LOGINS)),
        }
    }

    /// Refuses the secret of an API key that was refused before its time is up.
    pub(crate) fn check_refused(&self, digest: &[u8; 32]) -> Result<(), Problem> {
        match self.refused.get(digest) {
            Some((limited, until)) if Instant::now() < until => Err(Problem::limited(limited)),
            _ => Ok(()),
        }
    }

    /// As [`Limits::check`], for an API key with this secret.
    pub(crate) fn check_key(&self, caller: &Caller, digest: [u8; 32]) -> Result<(), Problem> {
        self.limited(caller).map_err(|limited| {
            let until = Instant::now() + limited.wait.min(REFUSED_MAX);
            self.refused.insert(digest, (limited, until));
            Problem::limited(limited)
        })
    }

    /// Counts a request of somebody who is known. Its own limit comes first, so that one who
    /// asks too often takes nothing from the others of the tenant.
    pub(crate) fn check(&self, caller: &Caller) -> Result<(), Problem> {
        self.limited(caller).map_err(Problem::limited)
    }

    fn limited(&self, caller: &Caller) -> Result<(), Limited> {
        if let Some(limiter) = &self.credential {
            let key = (caller.tenant, caller.actor.user_id.clone());
            limiter.check(&key)?;
        }
        match &self.tenant {
            Some(limiter) => limiter.check(&caller.tenant),
            None => Ok(()),
        }
    }

    /// Counts a password that is to be looked at, whatever else is limited.
    pub(crate) fn check_login(&self, peer: Option<Peer>) -> Result<(), Problem> {
        match (&self.logins, peer) {
            (Some(limiter), Some(peer)) => {
                limiter.check(&block(peer.0.ip())).map_err(Problem::limited)
            }
            _ => Ok(()),
        }
    }

    fn check_address(&self, peer: Option<IpAddr>) -> Result<(), Problem> {
        match (&self.address, peer) {
            (Some(limiter), Some(peer)) => limiter.check(&block(peer)).map_err(Problem::limited),
            _ => Ok(()),
        }
    }

    pub(crate) fn sweep(&self) {
        self.credential.iter().for_each(Limiter::sweep);
        self.tenant.iter().for_each(Limiter::sweep);
        self.address.iter().for_each(Limiter::sweep);
        self.logins.iter().for_each(Limiter::sweep);
    }
}

/// Whoever has one address of IPv6 has 2⁶⁴: those count as one.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Counts requests without a credential, and those whose credential turned out not to count.
pub(crate) async fn by_address(State(app): State<App>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map(|peer| peer.0.ip());
    if request.uri().path() == ALIVE {
        return next.run(request).await;
    }
    let headers = request.headers();
    let login = request.uri().path().starts_with(LOGIN);
    let credential = headers.contains_key(header::AUTHORIZATION) || has_session(&app, headers);
    let anonymous = login || !credential;
    if anonymous && let Err(problem) = app.limits.check_address(peer) {
        return problem.into_response();
    }
    let response = next.run(request).await;
    if !anonymous
        && response.status() == StatusCode::UNAUTHORIZED
        && let Err(problem) = app.limits.check_address(peer)
    {
        return problem.into_response();
    }
    response
}

/// PostgreSQL refuses a suspended tenant's writes and anybody's to a read-only database in the
/// same words. Only where something was refused so is the database asked which it was.
pub(crate) async fn blame_the_database(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let is_suspended = response
        .extensions()
        .get::<Problem>()
        .is_some_and(|problem| problem.is(Kind::Suspended));
    if is_suspended && matches!(app.engine.is_read_only().await, Ok(true)) {
        return problem::read_only();
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_two() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| rate.to_string());
        assert_eq!(rate("100").unwrap(), "100/200");
        assert_eq!(rate("100/500").unwrap(), "100/500");
        for bad in ["", "0", "100/0", "-1", "1.5", "a", "1/2/3"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn idle_keys_are_dropped() {
        let rate = "1000/1".parse().ok();
        let limiter: Limiter<u32> = Limiter::new("credential", rate).unwrap();
        for key in 0..100 {
            limiter.check(&key).unwrap();
        }
        assert!(!limiter.limiter.is_empty());
        // A thousandth of a second later they have all they had.
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while !limiter.limiter.is_empty() && std::time::Instant::now() < deadline {
            limiter.sweep();
        }
        assert!(limiter.limiter.is_empty());
    }

    #[test]
    fn neighbours_in_ipv6_count_as_one() {
        let address = |text: &str| block(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
