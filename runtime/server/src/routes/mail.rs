//! `/mail`: whom a tenant's mails are from, whom they do not go to, and the address at which a mail
//! service tells of those that came back. For people who may manage all modules.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::effects::mail::sender::Senders;
use crm_model::mail::NewSender;
use crm_store::incoming::Address;
use crm_store::mail::{Sender, Suppression};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// A sender of the tenant's own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailSender)]
pub(crate) struct SenderBody {
    name: String,
    address: String,
    /// Where answers go, where a mail does not say.
    reply_to: Option<String>,
    /// Since when mails are from it; null until the code is back that was sent to the address.
    confirmed_at: Option<DateTime<Utc>>,
    /// When that was sent.
    code_sent_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    updated_by: String,
}

impl From<Sender> for SenderBody {
    fn from(sender: Sender) -> Self {
        Self {
            name: sender.name,
            address: sender.address,
            reply_to: sender.reply_to,
            confirmed_at: sender.confirmed_at,
            code_sent_at: sender.code_sent_at,
            updated_at: sender.updated_at,
            updated_by: sender.updated_by,
        }
    }
}

/// Whom mails are from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailSenders)]
pub(crate) struct SendersBody {
    /// This server's own, which mails are from that have no other; null where it sends none.
    #[schema(example = "CRM <crm@example.com>")]
    default: Option<String>,
    /// The tenant's own.
    sender: Option<SenderBody>,
    /// Domains at which the tenant may have one: names; `*.example.com` is what is below one, `*`
    /// any. Whoever runs the server says which.
    domains: Vec<String>,
}

impl From<Senders> for SendersBody {
    fn from(senders: Senders) -> Self {
        Self {
            default: senders.operators,
            sender: senders.own.map(SenderBody::from),
            domains: senders.domains,
        }
    }
}

/// Whom mails are to be from.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewMailSender)]
#[serde(deny_unknown_fields)]
pub(crate) struct SenderInput {
    #[schema(example = "St Mary's")]
    name: String,
    #[schema(example = "desk@st-marys.example")]
    address: String,
    reply_to: Option<String>,
}

/// The code that was sent to the address.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MailSenderCode)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeInput {
    code: String,
}

/// Whom the tenant's mails are from.
#[utoipa::path(get, path = "/mail/sender", tag = "mail",
    responses((status = 200, body = SendersBody), (status = 403, body = ProblemBody)))]
pub(crate) async fn sender_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<SendersBody>, Problem> {
    let senders = app.engine.mail_senders(caller.tenant, &caller.actor);
    Ok(Json(senders.await?.into()))
}

/// Says whom mails are to be from. A new address gets a mail with a code; until
/// `POST …/confirm` has it, mails are from this server's own address.
#[utoipa::path(put, path = "/mail/sender", tag = "mail",
    request_body = SenderInput,
    responses(
        (status = 200, body = SenderBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "No mail was sent, or one just now"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn sender_put(
    State(app): State<App>,
    caller: Caller,
    Body(input): Body<SenderInput>,
) -> Result<Json<SenderBody>, Problem> {
    let wanted = NewSender {
        name: input.name,
        address: input.address,
        reply_to: input.reply_to,
    };
    let put = app
        .engine
        .mail_sender_put(caller.tenant, caller.actor, wanted);
    Ok(Json(put.await?.into()))
}

/// Confirms the address with the code that was sent to it. From then on mails are from it.
#[utoipa::path(post, path = "/mail/sender/confirm", tag = "mail",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = CodeInput,
    responses(
        (status = 200, body = SenderBody),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn sender_confirm(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<CodeInput>,
) -> Result<Response, Problem> {
    let answer = |sender: &Sender| Answer::json(StatusCode::OK, &SenderBody::from(sender.clone()));
    once(&app, &caller, key, async |key| {
        let (actor, kept) = (caller.actor.clone(), receipt_of(key, answer));
        let confirmed = app
            .engine
            .mail_sender_confirm(caller.tenant, actor, input.code, kept);
        Ok(answer(&confirmed.await?))
    })
    .await
}

/// Has mails be from this server's own address again.
#[utoipa::path(delete, path = "/mail/sender", tag = "mail",
    responses((status = 204), (status = 403, body = ProblemBody)))]
pub(crate) async fn sender_remove(
    State(app): State<App>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    app.engine
        .mail_sender_remove(caller.tenant, caller.actor)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An address that no mail goes to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailSuppression)]
pub(crate) struct SuppressionBody {
    /// Without capitals.
    address: String,
    /// `unsubscribed`, `bounced`, `complained`, or `added` by somebody here.
    reason: String,
    note: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
}

impl From<Suppression> for SuppressionBody {
    fn from(suppression: Suppression) -> Self {
        Self {
            address: suppression.address,
            reason: suppression.reason,
            note: suppression.note,
            created_at: suppression.created_at,
            created_by: suppression.created_by,
        }
    }
}

/// An address that no mail is to go to.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewMailSuppression)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressionInput {
    #[schema(example = "ada@example.com")]
    address: String,
    note: Option<String>,
}

/// Addresses that no mail goes to, by address.
#[utoipa::path(get, path = "/mail/suppressions", tag = "mail", params(PageParameters),
    responses(
        (status = 200, body = List<SuppressionBody>),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn suppressions_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<List<SuppressionBody>>, Problem> {
    let page = page.request()?;
    let found = app
        .engine
        .mail_suppressions(caller.tenant, &caller.actor, page);
    Ok(Json(List::page(
        found.await?,
        |suppression| suppression.address.clone(),
        SuppressionBody::from,
    )))
}

/// Has no mail go to an address any more.
#[utoipa::path(post, path = "/mail/suppressions", tag = "mail",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = SuppressionInput,
    responses(
        (status = 201, body = SuppressionBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn suppression_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<SuppressionInput>,
) -> Result<Response, Problem> {
    let answer = |added: &Suppression| {
        let location = format!("/api/crm/mail/suppressions/{}", added.address);
        Answer::json(StatusCode::CREATED, &SuppressionBody::from(added.clone()))
            .with_header(header::LOCATION, location)
    };
    once(&app, &caller, key, async |key| {
        let (actor, kept) = (caller.actor.clone(), receipt_of(key, answer));
        let wanted = (input.address, input.note);
        let added = app
            .engine
            .mail_suppression_add(caller.tenant, actor, wanted, kept);
        Ok(answer(&added.await?))
    })
    .await
}

/// Whether an address is one that no mail goes to, and why.
#[utoipa::path(get, path = "/mail/suppressions/{address}", tag = "mail",
    params(("address" = String, Path)),
    responses(
        (status = 200, body = SuppressionBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn suppression_get(
    State(app): State<App>,
    caller: Caller,
    Path(address): Path<String>,
) -> Result<Json<SuppressionBody>, Problem> {
    let address = segment(&address)?;
    let found = app
        .engine
        .mail_suppression(caller.tenant, &caller.actor, &address);
    Ok(Json(found.await?.into()))
}

/// Lets mails go to an address again. Do so when its reader asks for it.
#[utoipa::path(delete, path = "/mail/suppressions/{address}", tag = "mail",
    params(("address" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn suppression_remove(
    State(app): State<App>,
    caller: Caller,
    Path(address): Path<String>,
) -> Result<StatusCode, Problem> {
    app.engine
        .mail_suppression_remove(caller.tenant, caller.actor, segment(&address)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The address at which a mail service tells of bounces and complaints.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailFeedbackAddress)]
pub(crate) struct FeedbackAddressBody {
    /// Where to, on this host. It holds the secret, and is told once: in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// How the secret begins.
    prefix: String,
    created_at: DateTime<Utc>,
    created_by: String,
}

impl FeedbackAddressBody {
    fn of(address: Address, secret: Option<&str>) -> Self {
        Self {
            path: secret.map(|secret| format!("/mail/feedback/{secret}")),
            prefix: address.prefix,
            created_at: address.created_at,
            created_by: address.created_by,
        }
    }
}

/// Makes an address at which a mail service tells of bounces and complaints, in the place of the one
/// before, which works no more.
#[utoipa::path(post, path = "/mail/feedback-address", tag = "mail",
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = FeedbackAddressBody), (status = 403, body = ProblemBody)))]
pub(crate) async fn feedback_address_make(
    State(app): State<App>,
    caller: Caller,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    let told = |address: &Address, secret: Option<&str>| {
        let body = FeedbackAddressBody::of(address.clone(), secret);
        Answer::json(StatusCode::CREATED, &body)
    };
    once(&app, &caller, key, async |key| {
        // What is kept for the same request has no secret.
        let kept = receipt_of(key, move |address: &Address| told(address, None));
        let actor = caller.actor.clone();
        let made = app
            .engine
            .mail_feedback_address_make(caller.tenant, actor, kept);
        let (address, secret) = made.await?;
        Ok(told(&address, Some(secret.reveal())))
    })
    .await
}

/// That address, without its secret.
#[utoipa::path(get, path = "/mail/feedback-address", tag = "mail",
    responses(
        (status = 200, body = FeedbackAddressBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn feedback_address_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<FeedbackAddressBody>, Problem> {
    let found = app
        .engine
        .mail_feedback_address(caller.tenant, &caller.actor);
    Ok(Json(FeedbackAddressBody::of(found.await?, None)))
}

/// Ends that address at once.
#[utoipa::path(delete, path = "/mail/feedback-address", tag = "mail",
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn feedback_address_end(
    State(app): State<App>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    app.engine
        .mail_feedback_address_end(caller.tenant, caller.actor)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
