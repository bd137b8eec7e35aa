//! What comes back of mail, from whoever has an address for it: readers who unsubscribe
//! (`/mail/unsubscribe/{token}`, RFC 8058), and mail services that tell of bounces and complaints
//! (`/mail/feedback/{secret}`). Neither logs in.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::effects::mail::feedback::{Feedback, FeedbackKind};
use minijinja::context;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::extract::Body;
use crate::problem::{Problem, ProblemBody};
use crate::routes::login::page::{PageProblem, page};

/// The page on which somebody unsubscribes. Looking at it changes nothing: programs look at what is
/// in mails before people do.
#[utoipa::path(get, path = "/mail/unsubscribe/{token}", tag = "mail", security(()),
    params(("token" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = 404, body = String, content_type = "text/html"),
    ))]
pub(crate) async fn unsubscribe_page(
    State(app): State<App>,
    Path(token): Path<String>,
) -> Result<Response, PageProblem> {
    let address = app.engine.mail_unsubscribe_address(&token)?;
    let context = context! { address, done => false };
    Ok(page(StatusCode::OK, "unsubscribe.html", context))
}

/// Has no mail of the tenant go to the address that the token is of, however often it is asked. Mail
/// programs ask it with `List-Unsubscribe=One-Click`, people with the page's button; the body is not
/// looked at.
#[utoipa::path(post, path = "/mail/unsubscribe/{token}", tag = "mail", security(()),
    params(("token" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = 404, body = String, content_type = "text/html"),
    ))]
pub(crate) async fn unsubscribe(
    State(app): State<App>,
    Path(token): Path<String>,
) -> Result<Response, PageProblem> {
    let address = app.engine.mail_unsubscribe(&token).await?;
    let context = context! { address, done => true };
    Ok(page(StatusCode::OK, "unsubscribe.html", context))
}

/// What a mail service tells.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MailFeedback)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackInput {
    /// At most 1,000.
    events: Vec<FeedbackEvent>,
}

/// News of one mail to one address.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MailFeedbackEvent)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackEvent {
    #[serde(rename = "type")]
    kind: FeedbackType,
    #[schema(example = "ada@example.com")]
    address: String,
    /// Of a bounce, whether another mail would come back too: only then the address gets no more.
    #[serde(default = "yes")]
    #[schema(default = true)]
    permanent: bool,
    /// The mail's Message-ID, with which the run that sent it tells of this.
    message_id: Option<String>,
    /// For people: what the other mail server said.
    note: Option<String>,
    at: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = MailFeedbackType)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FeedbackType {
    Bounce,
    Complaint,
    Unsubscribe,
}

impl From<FeedbackEvent> for Feedback {
    fn from(event: FeedbackEvent) -> Self {
        Self {
            kind: match event.kind {
                FeedbackType::Bounce => FeedbackKind::Bounce,
                FeedbackType::Complaint => FeedbackKind::Complaint,
                FeedbackType::Unsubscribe => FeedbackKind::Unsubscribe,
            },
            address: event.address,
            permanent: event.permanent,
            message_id: event.message_id,
            note: event.note,
            at: event.at,
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailFeedbackTaken)]
pub(crate) struct TakenBody {
    /// Addresses that get no more mail and got some before.
    suppressed: usize,
}

/// Takes in what a mail service tells of mails after they were sent, all of it or nothing. The same
/// may be told again.
#[utoipa::path(post, path = "/mail/feedback/{secret}", tag = "mail", security(()),
    params(("secret" = String, Path)),
    request_body = FeedbackInput,
    responses(
        (status = 200, body = TakenBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn feedback(
    State(app): State<App>,
    Path(secret): Path<String>,
    Body(input): Body<FeedbackInput>,
) -> Result<Json<TakenBody>, Problem> {
    let all = input.events.into_iter().map(Feedback::from).collect();
    let suppressed = app.engine.mail_feedback(&secret, all).await?;
    Ok(Json(TakenBody { suppressed }))
}
