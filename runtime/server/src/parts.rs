//! Reading the parts of a multipart body.

use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;

use crate::problem::{Kind, Problem};

/// A small part, as a whole. `too_large` says so where it has more bytes than it may.
pub(crate) async fn part_bytes(
    mut part: Field<'_>,
    max_bytes: usize,
    too_large: fn() -> Problem,
) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = part
        .chunk()
        .await
        .map_err(|error| broken(&error, too_large))?
    {
        bytes.extend_from_slice(&piece);
        if bytes.len() > max_bytes {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

/// The same, as text.
pub(crate) async fn part_text(
    part: Field<'_>,
    max_bytes: usize,
    too_large: fn() -> Problem,
) -> Result<String, Problem> {
    String::from_utf8(part_bytes(part, max_bytes, too_large).await?)
        .map_err(|_| Problem::detailed(Kind::MalformedRequest, "a part is not UTF-8"))
}

/// Why a body cannot be read on.
pub(crate) fn broken(error: &MultipartError, too_large: fn() -> Problem) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::detailed(
        Kind::MalformedRequest,
        "the multipart body is malformed or broke off",
    )
}
