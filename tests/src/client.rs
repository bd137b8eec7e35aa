//! A client of the API, as tests like it.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How long tests wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A caller with a token, or without.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Codes of the violations with their pointers, sorted.
    pub fn violations(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let mut violations: Vec<_> = errors
            .iter()
            .map(|error| (text(&error["pointer"]), text(&error["code"])))
            .collect();
        violations.sort();
        violations
    }

    /// The body, if the status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// A caller of the server at this base URL.
    pub fn new(base: &str, token: Option<String>) -> Self {
        crm_server::tls::install();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .expect("a client");
        Self {
            http,
            base: base.to_owned(),
            token,
        }
    }

    /// What it shows of itself.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same caller with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Any request. Paths that begin with `/` stand below the root, others below `/api/crm/`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let answer = self.try_call(method, path, headers, body).await;
        answer.expect("an answer")
    }

    /// The same of a server that may be gone.
    ///
    /// # Errors
    /// No answer came, or not all of it.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer, reqwest::Error> {
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/api/crm/{path}"),
        };
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header");
            request = request.header(name, HeaderValue::from_str(value).expect("a value"));
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[], Some(body.to_string()))
            .await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, &[], Some(body.to_string()))
            .await
    }

    pub async fn patch_if(&self, path: &str, version: &str, body: Value) -> Answer {
        let headers = [("if-match", version)];
        self.call(Method::PATCH, path, &headers, Some(body.to_string()))
            .await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, &[], Some(body.to_string()))
            .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// A POST under an Idempotency-Key.
    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Answer {
        let headers = [("idempotency-key", key)];
        self.call(Method::POST, path, &headers, Some(body.to_string()))
            .await
    }

    /// Adds a module of the tenant's own.
    pub async fn module(&self, slug: &str, fields: Value) {
        let module = json!({ "slug": slug, "label": slug, "fields": fields });
        self.post("modules", module).await.expect(201);
    }

    /// Uploads a file to import into a module.
    pub async fn upload(&self, module: &str, file: impl Into<Vec<u8>>) -> Answer {
        self.upload_with(module, json!({}), file).await
    }

    /// The same with options.
    pub async fn upload_with(
        &self,
        module: &str,
        options: Value,
        file: impl Into<Vec<u8>>,
    ) -> Answer {
        let file = reqwest::multipart::Part::bytes(file.into()).file_name("rows.csv");
        let form = reqwest::multipart::Form::new()
            .text("module", module.to_owned())
            .text("options", options.to_string())
            .part("file", file);
        self.upload_form(None, form).await
    }

    /// An upload under an Idempotency-Key.
    pub async fn upload_once(
        &self,
        key: &str,
        module: &str,
        name: &str,
        file: impl Into<Vec<u8>>,
    ) -> Answer {
        let file = reqwest::multipart::Part::bytes(file.into()).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new()
            .text("module", module.to_owned())
            .part("file", file);
        self.upload_form(Some(key), form).await
    }

    async fn upload_form(&self, key: Option<&str>, form: reqwest::multipart::Form) -> Answer {
        self.send_form("imports", key, form).await
    }

    /// Sends parts.
    pub async fn send_form(
        &self,
        path: &str,
        key: Option<&str>,
        form: reqwest::multipart::Form,
    ) -> Answer {
        let mut request = self.http.post(format!("{}/api/crm/{path}", self.base));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let token = self.token.as_deref().unwrap_or_default();
        let request = request.bearer_auth(token).multipart(form);
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.json().await.expect("a body");
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Installs a component, with more parts as texts.
    pub async fn install(&self, component: &[u8], parts: &[(&str, String)]) -> Answer {
        let file = reqwest::multipart::Part::bytes(component.to_vec()).file_name("plugin.wasm");
        let mut form = reqwest::multipart::Form::new().part("component", file);
        for (name, text) in parts {
            form = form.text((*name).to_owned(), text.clone());
        }
        self.send_form("plugins", None, form).await
    }

    /// Runs an import and waits for its end.
    pub async fn import(&self, import: &str, run: Value) -> Value {
        let path = format!("imports/{import}");
        self.post(&format!("{path}/run"), run).await.expect(202);
        let began = std::time::Instant::now();
        loop {
            let import = self.get(&path).await.expect(200);
            if import["status"] != "running" {
                return import;
            }
            assert!(began.elapsed() < PATIENCE, "the import runs on: {import}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// An answer that is still on its way.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}/api/crm/{path}", self.base));
        let token = self.token.as_deref().unwrap_or_default();
        request.bearer_auth(token).send().await.expect("an answer")
    }

    /// Creates a record; its id.
    pub async fn create(&self, module: &str, data: Value) -> String {
        let created = self
            .post(&format!("records/{module}"), json!({ "data": data }))
            .await;
        created.expect(201)["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// Waits until nothing is left to do that the tenant's changes of its model asked for.
    pub async fn tasks_end(&self) {
        wait_until("all tasks end", async || {
            let tasks = self.get("tasks?limit=200").await.expect(200);
            let tasks = tasks["data"].as_array().cloned().unwrap_or_default();
            let open = |task: &Value| task["finished_at"].is_null();
            !tasks.iter().any(open)
        })
        .await;
    }

    /// Waits until the record's run of this workflow has one of these statuses; the run with its
    /// log.
    pub async fn run(&self, workflow: &str, record: &str, statuses: &[&str]) -> Value {
        let is_there = |run: &Value| statuses.iter().any(|status| run["status"] == *status);
        let what = format!("{statuses:?}");
        self.run_that(workflow, record, &what, is_there).await
    }

    /// Waits until the record's run of this workflow rests for a delay; the run with its log.
    pub async fn run_at_rest(&self, workflow: &str, record: &str) -> Value {
        let rests = |run: &Value| {
            (run["status"] == "queued" || run["status"] == "running") && run["waits_for"] == "delay"
        };
        self.run_that(workflow, record, "at rest", rests).await
    }

    /// Waits until the record's run of this workflow is so; the run with its log.
    pub async fn run_that(
        &self,
        workflow: &str,
        record: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!("runs?workflow={workflow}&record_id={record}");
        let began = std::time::Instant::now();
        loop {
            let runs = self.get(&path).await.expect(200);
            let last = runs["data"].as_array().and_then(|runs| runs.last());
            let mut seen = None;
            if let Some(id) = last.and_then(|run| run["id"].as_str()) {
                let run = self.get(&format!("runs/{id}")).await.expect(200);
                if is_so(&run) {
                    return run;
                }
                seen = Some(run);
            }
            assert!(
                began.elapsed() < PATIENCE,
                "no run of {workflow} is {what}: {seen:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Waits until the question is answered with yes.
pub async fn wait_until(what: &str, mut question: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !question().await {
        assert!(began.elapsed() < PATIENCE, "it did not happen: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
