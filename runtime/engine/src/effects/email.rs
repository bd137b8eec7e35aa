//! Mail over SMTP: from the tenant's own sender where it has one, not to addresses that no mail is
//! to go to, and with a way to unsubscribe where it goes to one person elsewhere.

use crm_model::TenantId;
use crm_model::effect::{Attachment, Email};
use crm_model::mail::{email_key, may_send_as};
use crm_store::TenantTx;
use crm_store::effects::LoadedEffect;
use crm_store::mail::{Sender, Suppression};
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;

use super::{End, SmtpSettings, idempotency_key};
use crate::{Engine, EngineError};

/// What a mail server may take for one mail.
const SMTP_MAX: Duration = Duration::from_secs(20);
/// How long a mail waits where there is no server for it, until it is looked at again.
const WITHOUT_SERVER: Duration = Duration::from_secs(60);

/// The way to the mail server.
pub(super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// The operator's address. Mails that cannot be delivered come back to it.
    pub(super) from: Mailbox,
    /// Domains that tenants may have senders at.
    pub(super) domains: Vec<String>,
}

/// A mail's addresses, as they can be written to.
struct Addressed {
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    reply_to: Option<Mailbox>,
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let parsed = text.parse::<Mailbox>();
    parsed.map_err(|_| "one of its addresses is no e-mail address".to_owned())
}

/// An address as suppressed ones are kept.
fn key(mailbox: &Mailbox) -> String {
    email_key(mailbox.email.as_ref())
}

impl Addressed {
    fn of(email: &Email) -> Result<Self, String> {
        let all = |texts: &[String]| texts.iter().map(|text| mailbox(text)).collect();
        let to: Result<_, String> = all(&email.to);
        let cc: Result<_, String> = all(&email.cc);
        Ok(Self {
            to: to?,
            cc: cc?,
            reply_to: email.reply_to.as_deref().map(mailbox).transpose()?,
        })
    }

    fn keys(&self) -> Vec<String> {
        self.to.iter().chain(&self.cc).map(key).collect()
    }

    /// The one whom it is for.
    fn only(&self) -> Option<&Mailbox> {
        match (self.to.as_slice(), self.cc.as_slice()) {
            ([only], []) => Some(only),
            _ => None,
        }
    }

    fn without(&mut self, suppressed: &[Suppression]) {
        let may = |to: &Mailbox| suppressed.iter().all(|one| one.address != key(to));
        self.to.retain(may);
        self.cc.retain(may);
    }
}

/// Whom no mail goes to, as people read it.
fn left_out(suppressed: &[Suppression]) -> String {
    let each = suppressed
        .iter()
        .map(|one| format!("{} ({})", one.address, one.reason));
    let all: Vec<String> = each.collect();
    format!(
        "not sent to {}: on the list of addresses that no mail goes to, `mail/suppressions`",
        all.join(", ")
    )
}

impl Mail {
    /// # Errors
    /// A sentence that says which setting is wrong; without the password that may be in it.
    pub(super) fn new(settings: &SmtpSettings) -> Result<Self, String> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.url);
        let transport = transport.map_err(|_| {
            "CRM_SMTP_URL is no address of a mail server, such as \
             smtps://user:password@mail.example.com"
        })?;
        let from = settings.from.parse().map_err(|_| {
            "CRM_SMTP_FROM is no e-mail address, such as CRM <crm@example.com>".to_owned()
        })?;
        Ok(Self {
            transport: transport.timeout(Some(SMTP_MAX)).build(),
            from,
            domains: settings.sender_domains.clone(),
        })
    }

    /// A mail of the host's own, to one person.
    ///
    /// # Errors
    /// A sentence that says why it was not sent.
    pub(super) async fn note(
        &self,
        (to, subject): (&str, &str),
        text: String,
    ) -> Result<(), String> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(mailbox(to)?)
            .subject(subject)
            .body(text);
        let message = message.map_err(|_| "it makes no mail".to_owned())?;
        let sent = self.transport.send(message).await;
        sent.map(|_| ()).map_err(|error| said(&error))
    }

    /// Whom mails are from, and where answers go: the tenant's own, as long as it is confirmed and
    /// of a domain that the operator sends for.
    fn sender(&self, sender: Option<Sender>) -> (Mailbox, Option<Mailbox>) {
        let own = sender
            .filter(|own| own.confirmed_at.is_some() && may_send_as(&self.domains, &own.address));
        let own = own.and_then(|own| {
            let address = own.address.parse().ok()?;
            let reply_to = own.reply_to.and_then(|to| mailbox(&to).ok());
            Some((Mailbox::new(Some(own.name), address), reply_to))
        });
        own.unwrap_or_else(|| (self.from.clone(), None))
    }

    /// Every attempt has the same Message-ID, by which servers tell repetitions.
    fn message(
        &self,
        (effect, email): (&LoadedEffect, &Email),
        to: Addressed,
        (from, answers): (Mailbox, Option<Mailbox>),
        unsubscribe: Option<&str>,
    ) -> Result<Message, String> {
        let id = idempotency_key(effect).replace(':', ".");
        let reached = to.to.iter().chain(&to.cc).map(|to| to.email.clone());
        let envelope = Envelope::new(Some(self.from.email.clone()), reached.collect());
        let mut message = Message::builder()
            .envelope(envelope.map_err(|_| "it goes to nobody".to_owned())?)
            .from(from)
            .subject(&email.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())));
        message = to.to.into_iter().fold(message, MessageBuilder::to);
        message = to.cc.into_iter().fold(message, MessageBuilder::cc);
        if let Some(reply_to) = to.reply_to.or(answers) {
            message = message.reply_to(reply_to);
        }
        if let Some(url) = unsubscribe {
            // RFC 8058: whoever reads mail unsubscribes with one click.
            let one_click = "List-Unsubscribe=One-Click".to_owned();
            message = message
                .raw_header(header("List-Unsubscribe", format!("<{url}>")))
                .raw_header(header("List-Unsubscribe-Post", one_click));
        }
        let text = email.text.clone();
        let html = email.html.clone();
        let message = match (html, email.attachments.as_slice()) {
            (Some(html), []) => message.multipart(MultiPart::alternative_plain_html(text, html)),
            (None, []) => message.body(text),
            (html, files) => {
                let mixed = MultiPart::mixed();
                let mixed = match html {
                    Some(html) => mixed.multipart(MultiPart::alternative_plain_html(text, html)),
                    None => mixed.singlepart(SinglePart::plain(text)),
                };
                let add = |mixed: MultiPart, file| part(file).map(|part| mixed.singlepart(part));
                message.multipart(files.iter().try_fold(mixed, add)?)
            }
        };
        message.map_err(|_| "it makes no mail".to_owned())
    }
}

/// A file as a part of a mail.
fn part(file: &Attachment) -> Result<SinglePart, String> {
    let unreadable = || format!("its attachment “{}” cannot be read", file.name);
    let media_type = ContentType::parse(&file.media_type).map_err(|_| unreadable())?;
    let content = file.content().map_err(|_| unreadable())?;
    // As bytes, so that a text's line ends stay as they are.
    let body = Body::new_with_encoding(content, ContentTransferEncoding::Base64);
    let body = body.map_err(|_| unreadable())?;
    Ok(lettre::message::Attachment::new(file.name.clone()).body(body, media_type))
}

/// A header of visible ASCII characters, which is not broken into lines: addresses end there.
fn header(name: &'static str, value: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
}

fn said(error: &Error) -> String {
    match error.status().map(u16::from) {
        Some(code) => format!("the mail server answered with {code}"),
        None => "the mail server cannot be reached".to_owned(),
    }
}

impl Engine {
    pub(super) async fn email_send(
        &self,
        tenant: TenantId,
        effect: &LoadedEffect,
        email: &Email,
    ) -> Result<End, EngineError> {
        let Some(mail) = &self.outside().mail else {
            return Ok(End::Wait {
                reason: "this server sends no mail: whoever runs it sets CRM_SMTP_URL".to_owned(),
                after: WITHOUT_SERVER,
            });
        };
        let unsent = |why: String| End::never(format!("the mail cannot be sent: {why}"));
        let mut to = match Addressed::of(email) {
            Ok(to) => to,
            Err(why) => return Ok(unsent(why)),
        };
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let sender = crm_store::mail::sender_find(&mut tx).await?;
        let suppressed = crm_store::mail::suppressions_among(&mut tx, &to.keys()).await?;
        let only = to.only().map(key);
        let outsider = match only {
            Some(only) if !crm_store::users::is_address_of_user(&mut tx, &only).await? => {
                Some(only)
            }
            _ => None,
        };
        drop(tx);
        to.without(&suppressed);
        if to.to.is_empty() {
            return Ok(End::never(left_out(&suppressed)));
        }
        let unsubscribe = match outsider {
            Some(address) => self.unsubscribe_url(tenant, &address)?,
            None => None,
        };
        let (sender, unsubscribe) = (mail.sender(sender), unsubscribe.as_deref());
        let message = match mail.message((effect, email), to, sender, unsubscribe) {
            Ok(message) => message,
            Err(why) => return Ok(unsent(why)),
        };
        Ok(match mail.transport.send(message).await {
            Ok(_) if suppressed.is_empty() => End::done(),
            Ok(_) => End::Partly(left_out(&suppressed)),
            Err(error) => {
                tracing::warn!(job.id = %effect.job, %error, "a mail was not sent");
                let said = said(&error);
                match error.status().map(u16::from) {
                    // Logins that fail are the operator's to mend, and no fault of the mail.
                    Some(530..=538) | None => End::again(said),
                    Some(_) if error.is_permanent() => End::never(said),
                    Some(_) => End::again(said),
                }
            }
        })
    }
}
