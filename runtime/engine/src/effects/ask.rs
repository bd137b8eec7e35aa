//! The one point where what a run asks for is held against its plugin's grant, before anything of
//! the run is committed.

use crm_model::effect::HttpRequest;
use crm_model::limits::{HTTP_BODY_MAX_BYTES, HTTP_HEADERS_MAX_BYTES};
use crm_model::{Effect, Grant, JobId, TenantId};
use crm_store::TenantTx;
use crm_store::effects::NewEffect;
use crm_store::secrets::Secret;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::address::check_url;
use super::secrets::{HANDLE_START, is_for, secret_handle};
use crate::Engine;
use crate::run::effects_check;

/// What the host says itself, or what would change where a request goes and ends.
const HOST_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a run may not ask for its effects.
pub(crate) enum NotAsked {
    /// A sentence for people; the same at each attempt.
    Refused(String),
    /// May be otherwise at the next attempt: the tenant grants it meanwhile, the database is back.
    NotNow(String),
}

impl Engine {
    /// What is kept with the end of the run, where all of it is granted.
    pub(crate) async fn effects_ask(
        &self,
        tenant: TenantId,
        job: JobId,
        grant: &Grant,
        effects: Vec<Effect>,
    ) -> Result<Vec<NewEffect>, NotAsked> {
        effects_check(grant, &effects).map_err(NotAsked::NotNow)?;
        let secrets = match effects.iter().any(has_handles) {
            false => Vec::new(),
            true => {
                let known = async {
                    let mut tx = TenantTx::begin(self.store(), tenant).await?;
                    crm_store::secrets::secrets_list(&mut tx).await
                };
                known
                    .await
                    .map_err(|error| NotAsked::NotNow(error.to_string()))?
            }
        };
        let private = self.outside().private;
        let asked = effects.into_iter().enumerate().map(|(index, effect)| {
            let of = format!("effect {} ({})", index + 1, effect.kind());
            let secrets = match &effect {
                Effect::Http(request) => check_request(request, private)
                    .and_then(|()| secrets_of(request, job, grant, &secrets)),
                _ => Ok(Vec::new()),
            };
            let secrets = secrets.map_err(|why| NotAsked::Refused(format!("{of} {why}")))?;
            Ok(NewEffect {
                kind: effect.kind(),
                target: target(&effect),
                due: match &effect {
                    Effect::Schedule(schedule) => Some(schedule.at),
                    _ => None,
                },
                secrets,
                effect,
                step: None,
            })
        });
        asked.collect()
    }
}

fn target(effect: &Effect) -> String {
    match effect {
        Effect::Webhook(hook) => hook.endpoint.clone(),
        Effect::Http(request) => request.key.clone(),
        Effect::Schedule(schedule) => schedule.key.clone(),
        Effect::Email(_) | Effect::Notify(_) => String::new(),
    }
}

fn has_handles(effect: &Effect) -> bool {
    match effect {
        Effect::Http(request) => {
            let mut headers = request.headers.iter();
            headers.any(|(_, value)| value.contains(HANDLE_START))
        }
        _ => false,
    }
}

/// The reason is a clause that follows the effect's name.
fn check_request(request: &HttpRequest, private: bool) -> Result<(), String> {
    let url = Url::parse(&request.url).map_err(|_| "has no address".to_owned())?;
    check_url(&url, private)?;
    let bytes = request.body.as_ref().map_or(0, String::len);
    if bytes > HTTP_BODY_MAX_BYTES {
        return Err(format!(
            "has a body of {bytes} bytes; it may have {HTTP_BODY_MAX_BYTES}"
        ));
    }
    let headers = request.headers.iter();
    let bytes: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HTTP_HEADERS_MAX_BYTES {
        return Err(format!(
            "has headers of {bytes} bytes; they may have {HTTP_HEADERS_MAX_BYTES}"
        ));
    }
    for (name, value) in &request.headers {
        let known = HeaderName::from_bytes(name.as_bytes());
        let Ok(known) = known else {
            return Err(format!("has a header “{name}”, which is no header's name"));
        };
        if HOST_HEADERS.contains(&known.as_str()) {
            return Err(format!(
                "sets the header “{known}”, which is the host's to set"
            ));
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(format!("has a value for “{known}” that no header can have"));
        }
    }
    Ok(())
}

/// The secrets whose handles stand in the request, where it may carry them.
fn secrets_of(
    request: &HttpRequest,
    job: JobId,
    grant: &Grant,
    secrets: &[Secret],
) -> Result<Vec<String>, String> {
    let mut text: String = request
        .headers
        .iter()
        .map(|(_, value)| value.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    let host = request.host().unwrap_or_default();
    let mut named = Vec::new();
    for secret in secrets {
        let handle = secret_handle(job, &secret.name);
        if !text.contains(&handle) {
            continue;
        }
        let name = &secret.name;
        if !grant.may_send(name) {
            return Err(format!(
                "carries the secret “{name}”, which the plugin may not send"
            ));
        }
        if !is_for(&secret.hosts, &host) {
            return Err(format!(
                "carries the secret “{name}”, which is not for {host}"
            ));
        }
        text = text.replace(&handle, "");
        named.push(name.clone());
    }
    match text.contains(HANDLE_START) {
        true => Err("carries a handle that is of no secret of this run".to_owned()),
        false => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crm_model::capability::Capabilities;
    use uuid::Uuid;

    fn request(url: &str, headers: &[(&str, &str)]) -> HttpRequest {
        HttpRequest {
            key: "k".to_owned(),
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: None,
            wants_answer: false,
        }
    }

    fn grant(json: &str) -> Grant {
        let one: Capabilities = serde_json::from_str(json).unwrap();
        Grant::new(one.clone(), one)
    }

    #[test]
    fn headers_of_the_hosts_are_refused() {
        let check =
            |name, value| check_request(&request("https://a.example", &[(name, value)]), false);
        assert!(check("Authorization", "Bearer x").is_ok());
        for name in ["Host", "content-length", "Idempotency-Key", "a b", ""] {
            assert!(check(name, "x").is_err(), "{name}");
        }
        assert!(check("x", "a\u{7}").is_err());
    }

    #[test]
    fn bodies_and_headers_have_limits() {
        let mut asked = request("https://a.example", &[]);
        asked.body = Some("x".repeat(HTTP_BODY_MAX_BYTES));
        assert!(check_request(&asked, false).is_ok());
        asked.body = Some("x".repeat(HTTP_BODY_MAX_BYTES + 1));
        assert!(check_request(&asked, false).is_err());
        let with = |bytes: usize| {
            let value = "x".repeat(bytes);
            check_request(&request("https://a.example", &[("a", &value)]), false)
        };
        assert!(with(HTTP_HEADERS_MAX_BYTES - 1).is_ok());
        assert!(with(HTTP_HEADERS_MAX_BYTES).is_err());
    }

    #[test]
    fn secrets_are_carried_where_both_sides_say_so() {
        let job = JobId::new(Uuid::from_u128(7));
        let secret = Secret {
            name: "token".to_owned(),
            hosts: vec!["a.example".to_owned()],
            updated_at: Default::default(),
            updated_by: String::new(),
        };
        let handle = secret_handle(job, "token");
        let carried = |url: &str, value: &str, grant: &Grant| {
            let asked = request(url, &[("authorization", value)]);
            secrets_of(&asked, job, grant, std::slice::from_ref(&secret))
        };
        let may = grant(r#"{"secrets":["token"]}"#);
        let bearer = format!("Bearer {handle}");
        assert_eq!(
            carried("https://a.example", &bearer, &may).unwrap(),
            ["token"]
        );
        assert!(carried("https://b.example", &bearer, &may).is_err());
        assert!(carried("https://a.example", &bearer, &grant("{}")).is_err());
        let other = secret_handle(job, "other");
        assert!(carried("https://a.example", &other, &may).is_err());
        let foreign = secret_handle(JobId::new(Uuid::from_u128(8)), "token");
        assert!(carried("https://a.example", &foreign, &may).is_err());
        assert_eq!(carried("https://a.example", "none", &may).unwrap(), [""; 0]);
    }
}
