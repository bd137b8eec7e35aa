//! A client of the host's own API: what the demo asks over HTTP.

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;

/// Records on a page, the most that the API gives.
const PAGE_RECORDS: u32 = 200;

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: String) -> Result<Self> {
        // The host is on this machine: whatever proxy the environment names is not for it, and
        // no certificates are needed, which a machine may not have.
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()?;
        Ok(Self {
            http,
            base: format!("http://{address}/api/crm"),
            token,
        })
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.base);
        let mut request = self
            .http
            .request(method.clone(), &url)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{method} {url} failed"))?;
        let status = response.status();
        let answer = response.json().await.unwrap_or(Value::Null);
        if status.is_client_error() || status.is_server_error() {
            bail!("{method} {url} answered {status}: {answer}");
        }
        Ok((status, answer))
    }

    /// Chooses a template unless one is chosen; says whether it did.
    pub(crate) async fn choose_template(&self, template: &str) -> Result<bool> {
        let (_, bootstrap) = self.call(Method::GET, "/bootstrap", None).await?;
        if at(&bootstrap, "/state") == "ready" {
            return Ok(false);
        }
        let choice = json!({ "template_id": template });
        self.call(Method::POST, "/templates/select", Some(&choice))
            .await?;
        Ok(true)
    }

    /// Creates all of these, or none.
    pub(crate) async fn create_items(&self, items: &[Value]) -> Result<()> {
        let operations: Vec<Value> = items
            .iter()
            .map(|data| json!({ "op": "create", "data": data }))
            .collect();
        let body = json!({ "atomic": true, "operations": operations });
        self.call(Method::POST, "/records/items/bulk", Some(&body))
            .await?;
        Ok(())
    }

    /// How many items there are.
    pub(crate) async fn count_items(&self) -> Result<u64> {
        let (_, page) = self
            .call(Method::GET, "/records/items?limit=1&include=total", None)
            .await?;
        Ok(at(&page, "/total/value").as_u64().unwrap_or_default())
    }

    /// The stock-keeping units of all items.
    pub(crate) async fn skus(&self) -> Result<HashSet<String>> {
        let mut skus = HashSet::new();
        let mut path = format!("/records/items?limit={PAGE_RECORDS}");
        loop {
            let (_, page) = self.call(Method::GET, &path, None).await?;
            let records = at(&page, "/data")
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let found = records
                .iter()
                .filter_map(|record| at(record, "/data/sku").as_str());
            skus.extend(found.map(str::to_owned));
            match at(&page, "/next_cursor").as_str() {
                Some(cursor) => {
                    path = format!("/records/items?limit={PAGE_RECORDS}&cursor={cursor}");
                }
                None => return Ok(skus),
            }
        }
    }
}

/// What stands there; null where nothing does.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
