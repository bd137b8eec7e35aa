//! The part of a host's API that authors use.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use crm_model::Capabilities;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Map, Value};

/// Where a tenant's host is, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct HostArguments {
    /// The host: https://crm.example.com
    #[arg(
        long,
        env = "CRM_HOST",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    host: Url,
    /// A token or an API key of somebody who manages the tenant's model
    #[arg(long, env = "CRM_TOKEN", hide_env_values = true)]
    token: Token,
    /// The tenant's id, for super admins; the token's own unless given
    #[arg(long)]
    tenant: Option<crm_model::TenantId>,
}

/// A token that no log shows.
#[derive(Clone)]
struct Token(String);

impl std::str::FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

/// A client of the host.
pub(crate) struct Api {
    http: Client,
    host: HostArguments,
}

impl Api {
    /// # Errors
    /// When the address cannot be one of a host.
    pub(crate) fn new(host: &HostArguments) -> Result<Self> {
        ensure!(
            matches!(host.host.scheme(), "http" | "https"),
            "--host is a web address, such as https://crm.example.com"
        );
        let mut http = Client::builder();
        if host.host.scheme() == "http" {
            // Nothing encrypted is spoken, so no certificates are needed, which a machine may
            // not have.
            http = http.tls_certs_only([]);
        }
        Ok(Self {
            http: http.build()?,
            host: host.clone(),
        })
    }

    /// Publishes a component and installs it.
    ///
    /// # Errors
    /// What the host has to say.
    pub(crate) async fn install(
        &self,
        component: &[u8],
        grant: &Capabilities,
        config: &Map<String, Value>,
        replace: bool,
    ) -> Result<Value> {
        let component = Part::bytes(component.to_vec())
            .file_name("component.wasm")
            .mime_str("application/wasm")?;
        let form = Form::new()
            .part("component", component)
            .text("grants", serde_json::to_string(grant)?)
            .text("config", serde_json::to_string(config)?)
            .text("replace", replace.to_string());
        let url = self.host.host.join("/api/crm/plugins")?;
        self.send(self.http.post(url).multipart(form)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let mut request = request.bearer_auth(&self.host.token.0);
        if let Some(tenant) = self.host.tenant {
            request = request.header("x-tenant-id", tenant.to_string());
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{} does not answer", self.host.host))?;
        answer(response).await
    }
}

/// The answer, or what a problem says.
async fn answer(response: Response) -> Result<Value> {
    let refused = response.error_for_status_ref().err();
    let text = response.text().await?;
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let Some(refused) = refused else {
        return Ok(body);
    };
    let said = |key: &str| body.get(key).and_then(Value::as_str);
    let Some(detail) = said("detail").or_else(|| said("title")) else {
        return Err(refused.into());
    };
    let mut message = detail.to_owned();
    let violations = body.get("errors").and_then(Value::as_array);
    for violation in violations.into_iter().flatten() {
        let part = |key: &str| {
            violation
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        message.push_str(&format!("; {} {}", part("pointer"), part("message")));
    }
    bail!(message)
}
