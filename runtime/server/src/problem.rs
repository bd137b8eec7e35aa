//! Everything that is not an answer: RFC 9457 problems, and the one exhaustive map from the
//! engine's errors to HTTP. A 5xx says nothing of the inside; the log says all of it, once.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm_engine::EngineError;
use crm_engine::write::is_invisible;
use crm_model::quota::QuotaSpent;
use crm_model::{Denied, Refusal, Violation, Violations};
use crm_store::StoreError;
use problem_details::ProblemDetails;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::edges::rates::Limited;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// When to come back after the database was away.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Every kind of problem. Its name is the last part of its `type`, `/problems/{name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MalformedRequest,
    Unauthorized,
    Forbidden,
    CrossSite,
    Suspended,
    NotFound,
    MethodNotAllowed,
    Conflict,
    NotUnique,
    InFlight,
    Stale,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    KeyReused,
    BulkRefused,
    NotTried,
    TooMany,
    QuotaSpent,
    Internal,
    Unavailable,
}

impl Kind {
    pub(crate) const ALL: [Self; 21] = [
        Self::MalformedRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::CrossSite,
        Self::Suspended,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::NotUnique,
        Self::InFlight,
        Self::Stale,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::KeyReused,
        Self::BulkRefused,
        Self::NotTried,
        Self::TooMany,
        Self::QuotaSpent,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Name, status, title, and what to do about it.
    pub(crate) const fn facts(self) -> (&'static str, StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                StatusCode::BAD_REQUEST,
                "The request cannot be read",
                "The body is not JSON, or a header or parameter has not the form that it must \
                 have. The detail says where. Mend the request; repeating it does not help.",
            ),
            Self::Unauthorized => (
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                "A valid token is needed",
                "Send `Authorization: Bearer <token>` with a token of a configured issuer that \
                 has not expired.",
            ),
            Self::Forbidden => (
                "forbidden",
                StatusCode::FORBIDDEN,
                "Not allowed",
                "You may see this, but your role does not allow this action. Ask an owner.",
            ),
            Self::CrossSite => (
                "cross-site",
                StatusCode::FORBIDDEN,
                "Not from a page of this server",
                "Who is logged in with a cookie sends what changes something from a page of the \
                 same origin, with the header `X-CSRF-Token`: `GET /auth/session` tells the \
                 token. Programs use an API key instead.",
            ),
            Self::Suspended => (
                "suspended",
                StatusCode::FORBIDDEN,
                "The tenant is suspended",
                "Everything can be read and nothing changed until whoever runs this installation \
                 resumes the tenant. Its workflows and tasks wait.",
            ),
            Self::NotFound => (
                "not-found",
                StatusCode::NOT_FOUND,
                "Not found",
                "It does not exist, or you may not see it: the answer is the same.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not take this method",
                "The `Allow` header lists the methods that it takes.",
            ),
            Self::Conflict => (
                "conflict",
                StatusCode::CONFLICT,
                "In conflict with what is there",
                "Something of that name exists already, or the choice has been made. Read the \
                 present state before you try something else.",
            ),
            Self::NotUnique => (
                "not-unique",
                StatusCode::CONFLICT,
                "Another record has this value",
                "`errors` names the fields whose values only one record may have. Change them, \
                 or change the record that has them: `POST …/query` finds it.",
            ),
            Self::InFlight => (
                "in-flight",
                StatusCode::CONFLICT,
                "The same request is being worked on",
                "A request with this `Idempotency-Key` has not been answered yet. Wait for its \
                 answer, or send the same request again a little later.",
            ),
            Self::Stale => (
                "stale",
                StatusCode::PRECONDITION_FAILED,
                "The record has changed",
                "`If-Match` names an old version. Read the record again, apply your change to \
                 it, and send its new version. `conflicts` lists each field that you change and \
                 somebody else has changed since: `base` is what you read, `theirs` what is there \
                 now, `yours` what you sent.",
            ),
            Self::TooLarge => (
                "too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too large",
                "The detail says how large a body may be.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is not JSON",
                "Send `Content-Type: application/json`.",
            ),
            Self::Invalid => (
                "invalid",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The data breaks the rules",
                "`errors` lists every violation with a JSON pointer into what you sent, a \
                 stable code and a message.",
            ),
            Self::KeyReused => (
                "key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key belongs to another request",
                "A key stands for one request: this one has another path or body than the one \
                 that was sent under it. Use a fresh key.",
            ),
            Self::BulkRefused => (
                "bulk-refused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Nothing was done",
                "In an atomic bulk request an operation was refused. `results` has a status for \
                 each operation, and a problem for those at fault. Mend them and send all of \
                 them again.",
            ),
            Self::NotTried => (
                "not-tried",
                StatusCode::FAILED_DEPENDENCY,
                "Not tried",
                "In an atomic bulk request another operation was refused, so nothing was done. \
                 Mend that one and send all of them again.",
            ),
            Self::TooMany => (
                "too-many-requests",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                "You, your tenant or your address ask more often than this server allows. Try \
                 again after the seconds in `Retry-After`; the `RateLimit` headers say which limit \
                 it was.",
            ),
            Self::QuotaSpent => (
                "quota-spent",
                StatusCode::TOO_MANY_REQUESTS,
                "The tenant's quota is spent",
                "`quota` names the quota, its limit, what is used and when its window ends, if it \
                 has one; `GET /api/crm/usage` shows all of them. Requests and fuel come back when \
                 their window ends. Records do when some are deleted, runs of workflows when \
                 waiting ones are done. Whoever runs this installation can give the tenant more.",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong here",
                "Report it with the `request_id`; the log has the rest.",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available at the moment",
                "Try again after the seconds in `Retry-After`.",
            ),
        }
    }
}

/// A problem on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Option<String>,
    errors: Violations,
    conflicts: Vec<ConflictBody>,
    results: Vec<serde_json::Value>,
    /// Boxed, as the next: they are rare, and every result carries their size.
    limited: Option<Box<Limited>>,
    quota: Option<Box<QuotaSpent>>,
}

/// A field in dispute.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Conflict)]
pub(crate) struct ConflictBody {
    field: String,
    /// What you read.
    base: serde_json::Value,
    /// What is there now.
    theirs: serde_json::Value,
    /// What you sent.
    yours: serde_json::Value,
}

/// A quota that is spent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = QuotaSpent)]
pub(crate) struct QuotaBody {
    /// `records`, `api_calls`, `fuel` or `jobs`.
    name: &'static str,
    limit: u64,
    used: u64,
    /// When its window ends; null for what has none.
    resets_at: Option<DateTime<Utc>>,
}

impl From<&QuotaSpent> for QuotaBody {
    fn from(spent: &QuotaSpent) -> Self {
        Self {
            name: spent.quota.name(),
            limit: spent.limit,
            used: spent.used,
            resets_at: spent.resets_at,
        }
    }
}

/// What a problem's body looks like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// A path that documents this kind of problem.
    #[schema(example = "/problems/invalid")]
    r#type: String,
    title: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ViolationBody>,
    /// Of a stale write: the fields in dispute.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictBody>,
    /// Of an atomic bulk request: what became of each operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    results: Vec<serde_json::Value>,
    /// Of what a tenant has used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaBody>,
}

/// One violation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Violation)]
pub(crate) struct ViolationBody {
    /// JSON pointer into what was sent.
    #[schema(example = "/data/phone")]
    pointer: String,
    /// Stable.
    #[schema(example = "format")]
    code: String,
    message: String,
}

impl From<&Violation> for ViolationBody {
    fn from(violation: &Violation) -> Self {
        let Violation {
            pointer,
            code,
            message,
        } = violation.clone();
        Self {
            pointer,
            code,
            message,
        }
    }
}

#[derive(Serialize)]
struct Extension {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ViolationBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaBody>,
}

impl Problem {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            detail: None,
            errors: Violations::default(),
            conflicts: Vec::new(),
            results: Vec::new(),
            limited: None,
            quota: None,
        }
    }

    /// For somebody who asks too often.
    pub(crate) fn limited(limited: Limited) -> Self {
        Self {
            limited: Some(Box::new(limited)),
            ..Self::detailed(Kind::TooMany, limited.detail())
        }
    }

    /// For a tenant that has used up what it may.
    fn quota_spent(spent: &QuotaSpent) -> Self {
        Self {
            quota: Some(Box::new(spent.clone())),
            ..Self::detailed(Kind::QuotaSpent, spent.to_string())
        }
    }

    /// For an atomic bulk request of which an operation was refused.
    pub(crate) fn bulk_refused(results: Vec<serde_json::Value>) -> Self {
        Self {
            results,
            ..Self::detailed(
                Kind::BulkRefused,
                "an operation was refused, so nothing was done",
            )
        }
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.facts().1
    }

    /// What people read of it.
    pub(crate) fn words(&self) -> (&'static str, Option<&str>) {
        (self.kind.facts().2, self.detail.as_deref())
    }

    /// The problem as it stands in a list of results.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self.details(None)).unwrap_or_default()
    }

    fn details(&self, request_id: Option<String>) -> ProblemDetails<Extension> {
        let (name, status, title, _) = self.kind.facts();
        let extension = Extension {
            request_id,
            errors: self
                .errors
                .as_slice()
                .iter()
                .map(ViolationBody::from)
                .collect(),
            conflicts: self.conflicts.clone(),
            results: self.results.clone(),
            quota: self.quota.as_deref().map(QuotaBody::from),
        };
        let mut details = ProblemDetails::from_status_code(status)
            .with_title(title)
            .with_extensions(extension);
        if let Ok(kind) = format!("/problems/{name}").parse::<axum::http::Uri>() {
            details = details.with_type(kind);
        }
        if let Some(detail) = &self.detail {
            details = details.with_detail(detail.clone());
        }
        details
    }

    pub(crate) fn detailed(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(kind)
        }
    }

    pub(crate) fn invalid(violations: Violations) -> Self {
        Self {
            errors: violations,
            ..Self::new(Kind::Invalid)
        }
    }

    /// The same for everything that is not there for this caller.
    pub(crate) fn not_found() -> Self {
        Self::new(Kind::NotFound)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        Self::from(&error)
    }
}

impl From<&EngineError> for Problem {
    fn from(error: &EngineError) -> Self {
        match error {
            EngineError::Refused(refusal) if is_invisible(refusal) => Self::not_found(),
            EngineError::NotFound(_) => Self::not_found(),
            EngineError::Refused(Refusal::Denied(
                denied @ (Denied::Forbidden { .. } | Denied::OutOfReach { .. }),
            )) => Self::detailed(Kind::Forbidden, denied.to_string()),
            EngineError::Refused(Refusal::Invalid(violations) | Refusal::Added(violations)) => {
                Self::invalid(violations.clone())
            }
            EngineError::Refused(stale @ Refusal::Stale { .. }) => {
                Self::detailed(Kind::Stale, stale.to_string())
            }
            EngineError::Refused(Refusal::NotFound | Refusal::Denied(Denied::Invisible { .. })) => {
                Self::not_found()
            }
            EngineError::Stale { conflicts, .. } => Self {
                detail: Some(error.to_string()),
                conflicts: conflicts
                    .iter()
                    .map(|conflict| ConflictBody {
                        field: conflict.field.to_string(),
                        base: conflict.base.clone(),
                        theirs: conflict.theirs.clone(),
                        yours: conflict.yours.clone(),
                    })
                    .collect(),
                ..Self::new(Kind::Stale)
            },
            EngineError::Taken(violations) => Self {
                errors: violations.clone(),
                ..Self::new(Kind::NotUnique)
            },
            EngineError::KeyUsed => Self::new(Kind::InFlight),
            EngineError::NotTried => Self::new(Kind::NotTried),
            EngineError::Definition(error) => Self::detailed(Kind::Invalid, error.to_string()),
            EngineError::Forbidden(message) => Self::detailed(Kind::Forbidden, *message),
            EngineError::Conflict(message) => Self::detailed(Kind::Conflict, message.clone()),
            EngineError::Contended => Self::detailed(Kind::Conflict, error.to_string()),
            EngineError::Quota(spent) => Self::quota_spent(spent),
            EngineError::Busy(message) => Self::detailed(Kind::Unavailable, *message),
            EngineError::Component(error) => Self::detailed(Kind::Invalid, error.to_string()),
            // Should the whole database be read only, `blame_the_database` finds out.
            EngineError::Store(StoreError::Suspended | StoreError::ReadOnly) => {
                Self::new(Kind::Suspended)
            }
            EngineError::Store(StoreError::Unavailable(error)) => {
                tracing::warn!(%error, "the database does not answer");
                Self::detailed(Kind::Unavailable, "the database does not answer")
            }
            EngineError::Store(StoreError::SessionsAway(error)) => {
                tracing::warn!(%error, "the sessions' redis does not answer");
                Self::detailed(Kind::Unavailable, "sessions cannot be looked up")
            }
            EngineError::Store(error) => {
                tracing::error!(%error, "the store failed");
                Self::new(Kind::Internal)
            }
            EngineError::Run(error) => {
                tracing::error!(%error, "a component failed");
                Self::new(Kind::Internal)
            }
            EngineError::Internal(error) => {
                tracing::error!(error, "internal error");
                Self::new(Kind::Internal)
            }
        }
    }
}

/// The body is written by [`finish`], which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, status, _, _) = self.kind.facts();
        let mut response = status.into_response();
        match self.kind {
            Kind::Unauthorized => {
                let challenge = HeaderValue::from_static("Bearer");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
            }
            Kind::Unavailable => {
                let after = HeaderValue::from(RETRY_AFTER_SECONDS);
                response.headers_mut().insert(header::RETRY_AFTER, after);
            }
            _ => {}
        }
        if let Some(spent) = &self.quota {
            let headers = response.headers_mut();
            let (policy, left) = quota_headers(spent);
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(spent.retry_after_seconds),
            );
            headers.extend(policy.map(|policy| (RATE_LIMIT_POLICY, policy)));
            headers.extend(left.map(|left| (RATE_LIMIT, left)));
        }
        if let Some(limited) = &self.limited {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, limited.retry_after());
            if let Some((policy, left)) = limited.rate_limit() {
                headers.insert(RATE_LIMIT_POLICY, policy);
                headers.insert(RATE_LIMIT, left);
            }
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// A quota as the values of `RateLimit-Policy` and `RateLimit`, in the form that rates have too.
fn quota_headers(spent: &QuotaSpent) -> (Option<HeaderValue>, Option<HeaderValue>) {
    let name = spent.quota.name();
    let window = spent.window_seconds;
    let window = window.map_or_else(String::new, |seconds| format!(";w={seconds}"));
    let policy = format!("\"{name}\";q={}{window}", spent.limit);
    let left = format!("\"{name}\";r=0;t={}", spent.retry_after_seconds);
    (policy.parse().ok(), left.parse().ok())
}

/// For a database that takes no changes, such as one that another has just taken the place of.
pub(crate) fn read_only() -> Response {
    tracing::warn!("the database is read only");
    Problem::detailed(
        Kind::Unavailable,
        "the database can be read and not changed at the moment",
    )
    .into_response()
}

/// Marks an answer that is a page: it says what is wrong in its own words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForPeople;

/// For a handler that panicked.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::new(Kind::Internal).into_response()
}

/// For a request that took too long.
pub(crate) fn timed_out(seconds: u64) -> Response {
    let detail = format!("the request took longer than {seconds} seconds");
    Problem::detailed(Kind::Unavailable, detail).into_response()
}

/// Writes the body of a problem; every error that came without one gets the one of its status.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let page = response.extensions().get::<ForPeople>().is_some();
    if page || !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response
        .extensions_mut()
        .remove::<Problem>()
        .unwrap_or_else(|| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.facts().1 == status);
            Problem::new(kind.unwrap_or(Kind::MalformedRequest))
        });
    let details = problem.details(Some(request_id.to_owned()));
    let mut finished = details.into_response();
    for name in [
        header::WWW_AUTHENTICATE,
        header::RETRY_AFTER,
        header::ALLOW,
        RATE_LIMIT,
        RATE_LIMIT_POLICY,
    ] {
        keep(&name, &response, &mut finished);
    }
    finished
}

fn keep(name: &HeaderName, from: &Response, to: &mut Response) {
    if let Some(value) = from.headers().get(name) {
        to.headers_mut().insert(name.clone(), value.clone());
    }
}
