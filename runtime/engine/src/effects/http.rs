//! Requests to other systems: the address is looked at again, handles become secrets on the way
//! out and nowhere else, nobody is followed anywhere.

use crm_model::effect::HttpRequest;
use crm_model::limits::{
    EFFECT_MAX_ATTEMPTS, HTTP_ANSWER_MAX_BYTES, HTTP_FILLED_HEADERS_MAX_BYTES, HTTP_MAX_SECONDS,
};
use crm_model::{EventKind, TenantId};
use crm_store::TenantTx;
use crm_store::effects::LoadedEffect;
use reqwest::header::{HeaderName, HeaderValue};
use std::time::Duration;
use url::Url;

use super::address::{check_url, refused_sentence, was_refused};
use super::answer::{Answer, Unread};
use super::secrets::{is_for, place, secret_handle};
use super::{End, Next, idempotency_key};
use crate::{Engine, EngineError};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Handles, and the secrets that they stand for.
#[derive(Default)]
pub(super) struct Filled(Vec<(String, String)>);

impl Filled {
    fn fill(&self, text: &str) -> String {
        let filled = self.0.iter();
        filled.fold(text.to_owned(), |text, (handle, secret)| {
            text.replace(handle, secret)
        })
    }

    pub(super) fn hide(&self, text: &str) -> String {
        let filled = self.0.iter();
        filled.fold(text.to_owned(), |text, (handle, secret)| {
            text.replace(secret, handle)
        })
    }
}

impl Engine {
    /// Sends a request, and tells of its answer.
    pub(super) async fn http_send(
        &self,
        tenant: TenantId,
        effect: &LoadedEffect,
        request: &HttpRequest,
    ) -> Result<End, EngineError> {
        let url = match Url::parse(&request.url) {
            Ok(url) => url,
            Err(_) => return Ok(End::never("the request has no address")),
        };
        if let Err(why) = check_url(&url, self.outside().private) {
            return Ok(End::never(format!("the request {why}")));
        }
        let filled = match self.fill_in(tenant, effect, &url).await? {
            Ok(filled) => filled,
            Err(reason) => {
                return Ok(End::Never {
                    reason,
                    status: None,
                });
            }
        };
        let sent = match self.http_request(effect, request, url, &filled) {
            Ok(request) => request.send().await,
            Err(end) => return Ok(end),
        };
        let answer = match sent {
            Ok(response) => Answer::read(response, &filled).await,
            Err(error) => return Ok(unsent(&error)),
        };
        Ok(match answer {
            Ok(answer) => answered(effect, request, answer),
            Err(Unread::Broken) => End::again("the answer broke off"),
            Err(Unread::TooLong) => End::never(format!(
                "the answer has more than {HTTP_ANSWER_MAX_BYTES} bytes"
            )),
        })
    }

    fn http_request(
        &self,
        effect: &LoadedEffect,
        request: &HttpRequest,
        url: Url,
        filled: &Filled,
    ) -> Result<reqwest::RequestBuilder, End> {
        let client = self.outside().client()?;
        let method = request.method.parse();
        let method = method.map_err(|_| End::never("the request has no method"))?;
        let mut sending = client.request(method, url);
        let mut left = HTTP_FILLED_HEADERS_MAX_BYTES;
        for (name, value) in &request.headers {
            let value = filled.fill(value);
            left = left.checked_sub(value.len()).ok_or_else(|| {
                End::never(format!(
                    "the request's headers have more than {HTTP_FILLED_HEADERS_MAX_BYTES} bytes \
                     with the secrets in them"
                ))
            })?;
            let value = HeaderValue::from_str(&value);
            let mut value = value.map_err(|_| End::never("a header has no value"))?;
            value.set_sensitive(true);
            sending = sending.header(name, value);
        }
        sending = sending.header(IDEMPOTENCY_KEY, idempotency_key(effect));
        Ok(match &request.body {
            Some(body) => sending.body(body.clone()),
            None => sending,
        })
    }

    /// The secrets that the run was allowed to send, where they are still there and for this host.
    async fn fill_in(
        &self,
        tenant: TenantId,
        effect: &LoadedEffect,
        url: &Url,
    ) -> Result<Result<Filled, String>, EngineError> {
        if effect.secrets.is_empty() {
            return Ok(Ok(Filled::default()));
        }
        let key = self.secret_key()?;
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let found = crm_store::secrets::secrets_sealed(&mut tx, &effect.secrets).await?;
        drop(tx);
        let host = url.host_str().unwrap_or_default();
        let mut filled = Vec::new();
        for name in &effect.secrets {
            let Some((_, hosts, sealed)) = found.iter().find(|(found, ..)| found == name) else {
                return Ok(Err(format!("there is no secret “{name}” any more")));
            };
            if !is_for(hosts, host) {
                return Ok(Err(format!("the secret “{name}” is not for {host}")));
            }
            let secret = key.open(tenant, &place(name), sealed)?;
            filled.push((secret_handle(effect.job, name), secret));
        }
        Ok(Ok(Filled(filled)))
    }
}

/// Why a request got no answer; nothing of the address is said, which may be long.
pub(super) fn unsent(error: &reqwest::Error) -> End {
    if was_refused(error) {
        return End::never(refused_sentence());
    }
    if error.is_builder() {
        return End::never("the request cannot be sent as it is");
    }
    End::again(match error {
        error if error.is_timeout() => format!("no answer within {HTTP_MAX_SECONDS} seconds"),
        error if error.is_connect() => "the other system cannot be reached".to_owned(),
        _ => "the request broke off".to_owned(),
    })
}

/// What may go away by itself.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

fn answered(effect: &LoadedEffect, request: &HttpRequest, answer: Answer) -> End {
    let status = answer.status;
    let said = format!("the other system answered with {status}");
    let last = effect.attempt >= EFFECT_MAX_ATTEMPTS;
    if is_passing(status) && !(last && request.wants_answer) {
        return End::Again {
            reason: said,
            status: Some(status),
            after: answer.retry_after.map(Duration::from_secs),
        };
    }
    if request.wants_answer {
        return End::Done {
            status: Some(status),
            next: Some(Next {
                kind: EventKind::AnswerReceived,
                payload: answer.payload(&request.key),
                new_chain: false,
            }),
        };
    }
    match status {
        400.. => End::Never {
            reason: said,
            status: Some(status),
        },
        _ => End::Done {
            status: Some(status),
            next: None,
        },
    }
}
