//! Mail over SMTP.

use crm_model::effect::Email;
use crm_store::effects::LoadedEffect;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::{AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;

use super::{End, Outside, SmtpSettings, idempotency_key};

/// What a mail server may take for one mail.
const SMTP_MAX: Duration = Duration::from_secs(20);
/// How long a mail waits where there is no server for it, until it is looked at again.
const WITHOUT_SERVER: Duration = Duration::from_secs(60);

/// The way to the mail server.
pub(super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
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
        })
    }

    /// Every attempt has the same Message-ID, by which servers tell repetitions.
    fn message(&self, effect: &LoadedEffect, email: &Email) -> Result<Message, String> {
        let mailbox = |text: &String| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|_| "one of its addresses is no e-mail address".to_owned())
        };
        let id = idempotency_key(effect).replace(':', ".");
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(&email.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())));
        for to in &email.to {
            message = message.to(mailbox(to)?);
        }
        for cc in &email.cc {
            message = message.cc(mailbox(cc)?);
        }
        if let Some(reply_to) = &email.reply_to {
            message = message.reply_to(mailbox(reply_to)?);
        }
        let text = email.text.clone();
        let message = match &email.html {
            Some(html) => message.multipart(MultiPart::alternative_plain_html(text, html.clone())),
            None => message.body(text),
        };
        message.map_err(|_| "it makes no mail".to_owned())
    }
}

impl Outside {
    pub(super) async fn email_send(&self, effect: &LoadedEffect, email: &Email) -> End {
        let Some(mail) = &self.mail else {
            return End::Wait {
                reason: "this server sends no mail: whoever runs it sets CRM_SMTP_URL".to_owned(),
                after: WITHOUT_SERVER,
            };
        };
        let message = match mail.message(effect, email) {
            Ok(message) => message,
            Err(why) => return End::never(format!("the mail cannot be sent: {why}")),
        };
        match mail.transport.send(message).await {
            Ok(_) => End::done(),
            Err(error) => {
                let code = error.status().map(u16::from);
                let said = match code {
                    Some(code) => format!("the mail server answered with {code}"),
                    None => "the mail server cannot be reached".to_owned(),
                };
                tracing::warn!(job.id = %effect.job, %error, "a mail was not sent");
                match code {
                    // Logins that fail are the operator's to mend, and no fault of the mail.
                    Some(530..=538) | None => End::again(said),
                    Some(_) if error.is_permanent() => End::never(said),
                    Some(_) => End::again(said),
                }
            }
        }
    }
}
