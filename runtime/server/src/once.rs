//! The same request twice: a POST with an `Idempotency-Key` does its work once, and the same
//! request sent again gets the answer that was kept with the work.

use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use crm_engine::receipt::{InFlight, ReceiptMaker, RequestKey};
use crm_model::limits::IDEMPOTENCY_KEY_MAX_CHARACTERS;
use crm_store::receipts::Receipt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{check_media_type, parse, unread};
use crate::problem::{Kind, Problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A JSON body, and the key that the request carries.
pub(crate) struct Keyed<T> {
    pub(crate) key: Option<RequestKey>,
    pub(crate) input: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_media_type(request.headers())?;
        let (parts, body) = request.into_parts();
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(unread)?;
        Ok(Self {
            key: request_key(&parts, &body)?,
            input: parse(&body)?,
        })
    }
}

/// As [`Keyed`], where the body may be left out.
pub(crate) struct KeyedOrEmpty<T>(pub(crate) Keyed<T>);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for KeyedOrEmpty<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(unread)?;
        let key = request_key(&parts, &body)?;
        if body.is_empty() {
            let input = T::default();
            return Ok(Self(Keyed { key, input }));
        }
        check_media_type(&parts.headers)?;
        let input = parse(&body)?;
        Ok(Self(Keyed { key, input }))
    }
}

/// A body without members.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The key of a request, with what tells it from others under the same key.
pub(crate) fn request_key(parts: &Parts, body: &[u8]) -> Result<Option<RequestKey>, Problem> {
    let name = key_name(&parts.headers)?;
    Ok(name.map(|name| key_of(name, parts, body)))
}

/// The key that a request carries.
pub(crate) fn key_name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX_CHARACTERS {
        let detail = format!(
            "Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX_CHARACTERS} visible ASCII characters"
        );
        return Err(Problem::detailed(Kind::MalformedRequest, detail));
    }
    Ok(Some(key.to_owned()))
}

/// A key with the fingerprint of its request. `body` is what was sent, or what it comes to where
/// the same thing can be sent in different bytes.
pub(crate) fn key_of(key: String, head: &Parts, body: &[u8]) -> RequestKey {
    let mut digest = Sha256::new();
    digest.update(head.method.as_str());
    digest.update([0]);
    // Without scheme and host, which HTTP/2 has in it and HTTP/1.1 has not.
    let path = head.uri.path_and_query();
    digest.update(path.map_or_else(|| head.uri.path(), |path| path.as_str()));
    digest.update([0]);
    digest.update(body);
    let fingerprint = hexadecimal(&digest.finalize());
    RequestKey { key, fingerprint }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer before it is sent, so that it can be kept too.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: String,
}

impl Answer {
    /// A JSON answer.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: serde_json::to_string(body).unwrap_or_default(),
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What is kept of it.
    pub(crate) fn receipt(&self, key: &RequestKey) -> Receipt {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.clone()));
        key.receipt(self.status.as_u16(), headers.collect(), self.body.clone())
    }

    fn from_receipt(receipt: Receipt) -> Self {
        let headers = receipt.headers.into_iter();
        Self {
            status: StatusCode::from_u16(receipt.status).unwrap_or(StatusCode::OK),
            headers: headers
                .filter_map(|(name, value)| Some((name.parse().ok()?, value)))
                .collect(),
            body: receipt.body,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = if self.body.is_empty() {
            self.status.into_response()
        } else {
            let json = (header::CONTENT_TYPE, "application/json");
            (self.status, [json], self.body).into_response()
        };
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Keeps the answer to what the work gives, where the request has a key.
pub(crate) fn receipt_of<T: ?Sized + 'static>(
    key: Option<RequestKey>,
    answer: impl Fn(&T) -> Answer + Send + Sync + 'static,
) -> Option<ReceiptMaker<T>> {
    let key = key?;
    Some(Arc::new(move |output: &T| answer(output).receipt(&key)))
}

/// Does the work of a request, unless it was done under the same key before: then the kept
/// answer is sent again. Work that was refused leaves nothing behind, and may be tried again
/// under the same key.
pub(crate) async fn once<W: Future<Output = Result<Answer, Problem>>>(
    app: &App,
    caller: &Caller,
    key: Option<RequestKey>,
    work: impl FnOnce(Option<RequestKey>) -> W,
) -> Result<Response, Problem> {
    let Some(key) = key else {
        return Ok(work(None).await?.into_response());
    };
    let _in_flight = begin(app, caller, &key.key)?;
    if let Some(receipt) = kept(app, caller, &key.key).await? {
        return replay(receipt, &key);
    }
    let done = work(Some(key.clone())).await;
    settle(app, caller, &key, done).await
}

/// Marks the key as being worked under.
pub(crate) fn begin(app: &App, caller: &Caller, key: &str) -> Result<InFlight, Problem> {
    app.engine
        .request_begin(caller.tenant, &caller.actor.user_id, key)
        .ok_or_else(|| Problem::new(Kind::InFlight))
}

/// What was kept under this key, of whatever request.
pub(crate) async fn kept(
    app: &App,
    caller: &Caller,
    key: &str,
) -> Result<Option<Receipt>, Problem> {
    let user = &caller.actor.user_id;
    Ok(app.engine.receipt(caller.tenant, user, key).await?)
}

/// The kept answer once more, where it is one to this request.
pub(crate) fn replay(receipt: Receipt, key: &RequestKey) -> Result<Response, Problem> {
    if receipt.fingerprint != key.fingerprint {
        return Err(Problem::new(Kind::KeyReused));
    }
    let mut response = Answer::from_receipt(receipt).into_response();
    let replayed = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED, replayed);
    Ok(response)
}

/// The answer to what was done under a key, or what another instance kept that was faster.
pub(crate) async fn settle(
    app: &App,
    caller: &Caller,
    key: &RequestKey,
    done: Result<Answer, Problem>,
) -> Result<Response, Problem> {
    match done {
        Ok(answer) => Ok(answer.into_response()),
        Err(problem) if problem.is(Kind::InFlight) => match kept(app, caller, &key.key).await? {
            Some(receipt) => replay(receipt, key),
            None => Err(problem),
        },
        Err(problem) => Err(problem),
    }
}
