//! What handlers take: JSON bodies, parameters, names and versions, each parsed once, each with a
//! problem that says what is wrong.

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::{HeaderMap, header, request::Parts};
use bytes::Bytes;
use crm_model::Violations;
use crm_model::limits::REQUEST_BODY_MAX_BYTES;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::str::FromStr;

use crate::problem::{Kind, Problem};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_media_type(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        parse(&bytes).map(Self)
    }
}

/// Reads JSON.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Problem::invalid(Violations::one("", "shape", error.to_string()))
        } else {
            let detail = format!("the body is not JSON: {error}");
            Problem::detailed(Kind::MalformedRequest, detail)
        }
    })
}

/// Tells null from left out.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Problem::new(Kind::UnsupportedMediaType));
    };
    let media_type = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    if is_json {
        Ok(())
    } else {
        Err(Problem::new(Kind::UnsupportedMediaType))
    }
}

pub(crate) fn unread(rejection: BytesRejection) -> Problem {
    if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("a body has at most {REQUEST_BODY_MAX_BYTES} bytes");
        return Problem::detailed(Kind::TooLarge, detail);
    }
    Problem::detailed(Kind::MalformedRequest, "the body broke off")
}

/// Parameters behind the `?`. Unknown ones are refused, so that a typing error does not pass for
/// an answer.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(parameters) = query.map_err(|rejection: QueryRejection| {
            Problem::invalid(Violations::one("", "parameter", rejection.body_text()))
        })?;
        Ok(Self(parameters))
    }
}

/// A name or id from a path. What cannot be one does not exist.
pub(crate) fn segment<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// The version that `If-Match` names; none without the header or for `*`.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix("W/").unwrap_or(text);
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match version.map(str::parse) {
        Some(Ok(version)) => Ok(Some(version)),
        _ => Err(Problem::detailed(
            Kind::MalformedRequest,
            "If-Match is a record's ETag, such as \"3\"",
        )),
    }
}
