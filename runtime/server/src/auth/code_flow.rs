//! Logging in with a browser at an OpenID Connect issuer: the authorization code with PKCE
//! (RFC 7636). The ID token that comes back goes the way of all tokens (`oidc`): the same keys,
//! the same algorithms, the same claims.

use axum::http::header;
use futures::future::BoxFuture;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret,
    CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use super::keys::Keys;
use super::oidc::OidcIssuer;
use super::settings::checked_url;
use super::{Caller, unauthorized};
use crate::problem::{Kind, Problem};

/// What an issuer says of its endpoints is asked for again after this.
const ENDPOINTS_FRESH: Duration = Duration::from_secs(3600);

/// A login that has begun: where the browser goes, and what is to be known when it comes back.
pub(crate) struct Started {
    pub(crate) url: Url,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

/// What comes back.
pub(crate) struct Returned {
    pub(crate) code: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

#[derive(Clone)]
struct Endpoints {
    authorization: AuthUrl,
    token: TokenUrl,
    auth_type: AuthType,
}

/// The endpoints of an issuer once they are known. Held while asking, so that one asks and the
/// others wait.
#[derive(Default)]
pub(super) struct EndpointsCache(Mutex<Option<(Instant, Arc<Endpoints>)>>);

#[derive(Debug, Serialize, Deserialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type FlowClient = Client<
    BasicErrorResponse,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl OidcIssuer {
    /// What the issuer calls this server; none where nobody logs in there.
    pub(crate) fn client_id(&self) -> Option<&str> {
        self.settings.client_id.as_deref()
    }

    /// What people read who choose where to log in.
    pub(crate) fn label(&self) -> String {
        let host = || {
            let url = self.settings.issuer.parse::<Url>().ok()?;
            Some(url.host_str()?.to_owned())
        };
        let label = self.settings.label.clone().or_else(host);
        label.unwrap_or_else(|| self.settings.issuer.clone())
    }

    /// Begins a login that comes back to `redirect`.
    pub(crate) async fn login_start(&self, redirect: RedirectUrl) -> Result<Started, Problem> {
        let client = self.flow(redirect).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random().into_secret();
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes)
            .add_extra_param("nonce", &nonce)
            .set_pkce_challenge(challenge)
            .url();
        Ok(Started {
            url,
            state: state.into_secret(),
            nonce,
            verifier: verifier.into_secret(),
        })
    }

    /// Who logged in.
    pub(crate) async fn login_finish(
        &self,
        redirect: RedirectUrl,
        returned: Returned,
    ) -> Result<Caller, Problem> {
        let client = self.flow(redirect).await?;
        let answer = client
            .exchange_code(AuthorizationCode::new(returned.code))
            .set_pkce_verifier(PkceCodeVerifier::new(returned.verifier))
            .request_async(self.keys.as_ref())
            .await;
        let answer = answer.map_err(|error| match error {
            RequestTokenError::Request(error) => self.away(&error.to_string()),
            error => {
                // Without what was sent or answered, which may hold secrets.
                let kind = match error {
                    RequestTokenError::ServerResponse(answer) => answer.error().to_string(),
                    _ => "its answer cannot be read".to_owned(),
                };
                let issuer = &self.settings.issuer;
                tracing::warn!(auth.issuer = issuer, error = kind, "a login is refused");
                unauthorized("the issuer does not confirm this login")
            }
        })?;
        let token = answer.extra_fields().id_token.as_deref();
        let token =
            token.ok_or_else(|| unauthorized("the issuer says nothing of who logged in"))?;
        let client_id = self.client_id().ok_or_else(Problem::not_found)?;
        self.verify_login(client_id, token, &returned.nonce).await
    }

    async fn flow(&self, redirect: RedirectUrl) -> Result<FlowClient, Problem> {
        let client_id = self.client_id().ok_or_else(Problem::not_found)?;
        let endpoints = self.endpoints().await?;
        let mut client = Client::new(ClientId::new(client_id.to_owned()));
        if let Some(secret) = &self.settings.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.reveal().to_owned()));
        }
        Ok(client
            .set_auth_type(endpoints.auth_type.clone())
            .set_auth_uri(endpoints.authorization.clone())
            .set_token_uri(endpoints.token.clone())
            .set_redirect_uri(redirect))
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, Problem> {
        let mut known = self.endpoints.0.lock().await;
        if let Some((fetched, endpoints)) = &*known
            && fetched.elapsed() < ENDPOINTS_FRESH
        {
            return Ok(endpoints.clone());
        }
        match self.discover_endpoints().await {
            Ok(endpoints) => {
                let endpoints = Arc::new(endpoints);
                *known = Some((Instant::now(), endpoints.clone()));
                Ok(endpoints)
            }
            // What was known does, while the issuer says nothing else.
            Err(error) => match &*known {
                Some((_, endpoints)) => Ok(endpoints.clone()),
                None => Err(self.away(&error)),
            },
        }
    }

    async fn discover_endpoints(&self) -> Result<Endpoints, String> {
        let found = self.keys.discover().await?;
        let url = |endpoint: Option<String>| {
            let endpoint = endpoint.ok_or("it names no endpoint for logging in")?;
            checked_url(&endpoint)
        };
        let methods = found.token_endpoint_auth_methods_supported;
        let basic = |methods: Vec<String>| methods.iter().any(|it| it == "client_secret_basic");
        Ok(Endpoints {
            authorization: AuthUrl::from_url(url(found.authorization_endpoint)?),
            token: TokenUrl::from_url(url(found.token_endpoint)?),
            // Without a word, it is the header: RFC 8414, section 2.
            auth_type: match methods.is_none_or(basic) && self.settings.client_secret.is_some() {
                true => AuthType::BasicAuth,
                false => AuthType::RequestBody,
            },
        })
    }

    fn away(&self, error: &str) -> Problem {
        let issuer = &self.settings.issuer;
        tracing::warn!(auth.issuer = issuer, error, "an issuer does not answer");
        let detail = "the issuer where you log in does not answer at the moment";
        Problem::detailed(Kind::Unavailable, detail)
    }
}

/// The issuer's token endpoint is asked as everything else of it is: in five seconds, without
/// redirects, over TLS but from this machine.
impl<'c> AsyncHttpClient<'c> for Keys {
    type Error = io::Error;
    type Future = BoxFuture<'c, Result<HttpResponse, io::Error>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = request.try_into().map_err(io::Error::other)?;
            let answered = self.ask(request).await.map_err(io::Error::other)?;
            let mut response = HttpResponse::new(answered.body);
            *response.status_mut() = answered.status;
            if let Some(kind) = answered.kind {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            Ok(response)
        })
    }
}
