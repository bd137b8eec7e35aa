//! Browsers: what they hold of a login (cookies, signed, which no script reads), and whose session
//! that is. What a cookie says counts only with its signature, and a session only as long as it is
//! kept.

use axum::http::{HeaderMap, header, request::Parts};
use axum_extra::extract::cookie::{Cookie, Key, SameSite, SignedCookieJar};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crm_engine::login::LOCAL_ISSUER;
use crm_engine::secret::TenantSecret;
use crm_engine::sessions::Session;
use crm_model::limits::{LOGIN_MAX_SECONDS, SESSION_MAX_SECONDS};
use crm_model::{Actor, TenantId};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::cross_site::{check_origin, check_token, token_of};
use super::{Caller, Profile, unauthorized};
use crate::app::App;
use crate::problem::{Kind, Problem};

/// What a cookie's key is made from has at least so much.
pub const COOKIE_KEY_MIN_BYTES: usize = 32;
/// For how long a browser knows whose people log in with it: a year.
const TENANT_KEPT_SECONDS: i64 = 365 * 24 * 3600;

/// How browsers log in.
#[derive(Clone)]
pub struct BrowserSettings {
    /// Signs cookies; the same on all instances. Others than the operator do not know it.
    pub cookie_key: Vec<u8>,
    /// Where browsers reach this server; where they say that they do, if not given.
    pub public_url: Option<Url>,
    /// Where people log in here too, with a password.
    pub local: Option<LocalSettings>,
}

impl std::fmt::Debug for BrowserSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BrowserSettings")
    }
}

/// The local issuer.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalSettings {
    /// Whose people log in, where nothing says so.
    pub tenant: Option<TenantId>,
}

/// The same, ready.
pub(crate) struct Browsers {
    key: Key,
    origin: Option<String>,
    secure: bool,
    pub(crate) local: Option<LocalSettings>,
}

/// A login on its way to an issuer and back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) issuer: String,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
    pub(crate) return_to: String,
    /// Seconds since 1970.
    pub(crate) until: u64,
}

/// What a cookie is for.
#[derive(Clone, Copy)]
enum Use {
    Session,
    Login,
    Tenant,
}

impl Browsers {
    /// # Errors
    /// A sentence that says what is wrong with the settings.
    pub(crate) fn new(settings: BrowserSettings) -> Result<Self, String> {
        if settings.cookie_key.len() < COOKIE_KEY_MIN_BYTES {
            return Err(format!(
                "the key of cookies has at least {COOKIE_KEY_MIN_BYTES} bytes"
            ));
        }
        let url = settings.public_url;
        Ok(Self {
            key: Key::derive_from(&settings.cookie_key),
            secure: url.as_ref().is_some_and(|url| url.scheme() == "https"),
            origin: url.map(|url| url.origin().ascii_serialization()),
            local: settings.local,
        })
    }

    /// Where this browser reaches the server.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Result<String, Problem> {
        if let Some(origin) = &self.origin {
            return Ok(origin.clone());
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let url = host.and_then(|host| format!("http://{host}").parse::<Url>().ok());
        let origin = url.map(|url| url.origin().ascii_serialization());
        // What is more than a host and a port has become something else.
        let origin = origin.filter(|origin| origin.strip_prefix("http://") == host);
        origin.ok_or_else(|| Problem::detailed(Kind::MalformedRequest, "Host names no host"))
    }

    /// The cookies of a request, to be answered with.
    pub(crate) fn jar(&self, headers: &HeaderMap) -> SignedCookieJar {
        SignedCookieJar::from_headers(headers, self.key.clone())
    }

    /// What the browser holds of a session.
    pub(crate) fn secret(&self, jar: &SignedCookieJar) -> Option<TenantSecret> {
        jar.get(self.name(Use::Session))?.value().parse().ok()
    }

    /// The login that the browser has begun.
    pub(crate) fn pending(&self, jar: &SignedCookieJar) -> Option<Pending> {
        let cookie = jar.get(self.name(Use::Login))?;
        let json = URL_SAFE_NO_PAD.decode(cookie.value()).ok()?;
        let pending: Pending = serde_json::from_slice(&json).ok()?;
        (pending.until > jsonwebtoken::get_current_timestamp()).then_some(pending)
    }

    /// Whose people logged in with this browser.
    pub(crate) fn tenant(&self, jar: &SignedCookieJar) -> Option<TenantId> {
        jar.get(self.name(Use::Tenant))?.value().parse().ok()
    }

    pub(crate) fn with_session(
        &self,
        jar: SignedCookieJar,
        secret: &TenantSecret,
    ) -> SignedCookieJar {
        let tenant = secret.tenant().to_string();
        let jar = jar.add(self.cookie(Use::Session, secret.reveal(), SESSION_MAX_SECONDS));
        jar.add(self.cookie(Use::Tenant, tenant, TENANT_KEPT_SECONDS))
    }

    pub(crate) fn without_session(&self, jar: SignedCookieJar) -> SignedCookieJar {
        jar.remove(self.cookie(Use::Session, String::new(), 0))
    }

    pub(crate) fn with_pending(&self, jar: SignedCookieJar, pending: &Pending) -> SignedCookieJar {
        let value = URL_SAFE_NO_PAD.encode(serde_json::to_vec(pending).unwrap_or_default());
        jar.add(self.cookie(Use::Login, value, LOGIN_MAX_SECONDS))
    }

    pub(crate) fn without_pending(&self, jar: SignedCookieJar) -> SignedCookieJar {
        jar.remove(self.cookie(Use::Login, String::new(), 0))
    }

    /// A cookie for this host alone, which browsers send over TLS alone, where there is TLS.
    fn cookie(&self, purpose: Use, value: String, seconds: i64) -> Cookie<'static> {
        Cookie::build((self.name(purpose), value))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .max_age(time::Duration::seconds(seconds))
            .build()
    }

    const fn name(&self, purpose: Use) -> &'static str {
        match (purpose, self.secure) {
            (Use::Session, true) => "__Host-crm_session",
            (Use::Session, false) => "crm_session",
            (Use::Login, true) => "__Host-crm_login",
            (Use::Login, false) => "crm_login",
            (Use::Tenant, true) => "__Host-crm_tenant",
            (Use::Tenant, false) => "crm_tenant",
        }
    }
}

/// The link by which somebody accepts an invitation, at the server of this origin.
pub fn invitation_url(origin: &str, invitation: &TenantSecret) -> String {
    format!("{origin}/auth/invitation?token={}", invitation.reveal())
}

/// Whether a request comes with a session, good or bad.
pub(crate) fn has_session(app: &App, headers: &HeaderMap) -> bool {
    let browsers = app.browsers.as_ref();
    browsers.is_some_and(|browsers| browsers.secret(&browsers.jar(headers)).is_some())
}

/// Whose session a request comes with; none where it comes with none. What changes something has
/// to come from a page of this server's own that knows the session.
pub(super) async fn of_session(app: &App, parts: &Parts) -> Result<Option<Caller>, Problem> {
    let Some(browsers) = &app.browsers else {
        return Ok(None);
    };
    let Some(secret) = browsers.secret(&browsers.jar(&parts.headers)) else {
        return Ok(None);
    };
    if !parts.method.is_safe() {
        check_origin(&parts.headers, &browsers.origin(&parts.headers)?)?;
        check_token(&secret, token_of(&parts.headers))?;
    }
    let session = session_of(app, &secret).await?;
    let session = session.ok_or_else(|| unauthorized("the session has ended: log in again"))?;
    // People who log in here have the roles that their tenant gives them.
    let issuer = app.issuers.login(&session.person.issuer);
    Ok(Some(Caller {
        tenant: secret.tenant(),
        may_enter: issuer.is_some_and(|issuer| issuer.names_super_admins()),
        actor: Actor::person(session.user_id, session.person.roles),
        profile: Profile {
            name: session.person.name,
            email: session.person.email,
        },
        is_acting: false,
    }))
}

/// The session of a secret, where its issuer still counts.
pub(crate) async fn session_of(
    app: &App,
    secret: &TenantSecret,
) -> Result<Option<Session>, Problem> {
    let session = app.engine.session(secret).await?;
    let local = app.local().is_some();
    Ok(
        session.filter(|session| match session.person.issuer.as_str() {
            LOCAL_ISSUER => local,
            issuer => app.issuers.login(issuer).is_some(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    fn browsers(url: Option<&str>) -> Browsers {
        let settings = BrowserSettings {
            cookie_key: vec![7; COOKIE_KEY_MIN_BYTES],
            public_url: url.map(|url| url.parse().unwrap()),
            local: None,
        };
        Browsers::new(settings).unwrap()
    }

    /// The headers of a browser that was given these cookies.
    fn holding(jar: SignedCookieJar) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in jar.into_response().headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_login_waits_for_so_long_and_no_longer() {
        let browsers = browsers(None);
        let now = jsonwebtoken::get_current_timestamp();
        let waits = |until: u64| {
            let pending = Pending {
                issuer: "i".to_owned(),
                state: "s; x=\"1\"".to_owned(),
                nonce: "n".to_owned(),
                verifier: "v".to_owned(),
                return_to: "/".to_owned(),
                until,
            };
            let jar = browsers.with_pending(browsers.jar(&HeaderMap::new()), &pending);
            let found = browsers.pending(&browsers.jar(&holding(jar)));
            found.is_some_and(|found| found.state == pending.state)
        };
        assert!(waits(now + LOGIN_MAX_SECONDS.unsigned_abs()));
        assert!(!waits(now));
        assert!(!waits(now - 1));
    }

    #[test]
    fn a_key_of_cookies_has_its_length() {
        let with = |bytes: usize| {
            Browsers::new(BrowserSettings {
                cookie_key: vec![7; bytes],
                public_url: None,
                local: None,
            })
        };
        assert!(with(COOKIE_KEY_MIN_BYTES).is_ok());
        assert!(with(COOKIE_KEY_MIN_BYTES - 1).is_err());
    }

    #[test]
    fn where_a_browser_is_comes_from_the_operator_or_from_its_host() {
        let origin = |url: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            browsers(url).origin(&headers).ok()
        };
        let public = Some("https://crm.example.com/app");
        let known = Some("https://crm.example.com".to_owned());
        assert_eq!(origin(public, "evil.example"), known);
        assert_eq!(origin(None, "[::1]:8080").unwrap(), "http://[::1]:8080");
        assert_eq!(origin(None, "crm.local").unwrap(), "http://crm.local");
        for bad in ["", "a@b", "a/b", "a?b", "a#b", "a b", "a:80", "A"] {
            assert_eq!(origin(None, bad), None, "{bad}");
        }
    }
}
