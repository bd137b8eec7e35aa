//! A browser, as far as logging in goes: it keeps cookies, says where its requests come from, and
//! goes where it is sent only when it is told to.

use reqwest::Method;
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crm_model::TenantId;

use crate::app::TestApp;
use crate::client::Answer;

/// A password that passes.
pub const PASSWORD: &str = "correct horse battery";

/// A browser with its cookies for one server.
#[derive(Clone)]
pub struct Browser {
    http: reqwest::Client,
    pub base: String,
    pub cookies: BTreeMap<String, String>,
}

/// What it shows.
#[derive(Clone, Debug)]
pub struct Shown {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Shown {
    /// Where it is sent.
    #[track_caller]
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text);
        self.headers[LOCATION].to_str().unwrap()
    }

    /// The page, if the status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        self.text
    }

    /// The value of a hidden field.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let from = self.text.find(&start).expect("the field") + start.len();
        let value = self.text[from..].split('"').next().unwrap();
        value.replace("&#x2f;", "/")
    }
}

impl Browser {
    /// A fresh one, in front of the server at this base URL.
    pub fn new(base: &str) -> Self {
        crm_server::tls::install();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(Policy::none())
            .build()
            .expect("a client");
        Self {
            http,
            base: base.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens a path of the server, or a URL elsewhere, which gets no cookies.
    pub async fn open(&mut self, path: &str) -> Shown {
        let own = path.starts_with('/') || path.starts_with(&self.base);
        if !own {
            return shown(self.http.get(path).send().await.unwrap()).await;
        }
        let path = path.trim_start_matches(&self.base).to_owned();
        self.send(Method::GET, &path, &[], None).await
    }

    /// Sends a form of a page of the server.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let base = self.base.clone();
        let headers = [("origin", base.as_str()), ("sec-fetch-site", "same-origin")];
        self.submit_from(path, &headers, fields).await
    }

    /// The same from wherever these headers say.
    pub async fn submit_from(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Shown {
        let mut url: reqwest::Url = "http://x/".parse().unwrap();
        url.query_pairs_mut().extend_pairs(fields);
        let body = url.query().unwrap().to_owned();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let headers: Vec<_> = headers.iter().copied().chain([form]).collect();
        self.send(Method::POST, path, &headers, Some(body)).await
    }

    /// What a script of a page asks, with the token of its session where that is known.
    pub async fn call(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let csrf = self.session().await.body["csrf_token"].clone();
        let base = self.base.clone();
        let mut headers = vec![("origin", base.as_str()), ("sec-fetch-site", "same-origin")];
        if let Some(csrf) = csrf.as_str() {
            headers.push(("x-csrf-token", csrf));
        }
        self.ask(method, path, &headers, body).await
    }

    /// What a script asks with these headers alone.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let json = ("content-type", "application/json");
        let mut headers = headers.to_vec();
        if body.is_some() {
            headers.push(json);
        }
        let body = body.map(|body| body.to_string());
        let shown = self.send(method, path, &headers, body).await;
        Answer {
            status: shown.status.try_into().unwrap(),
            headers: shown.headers,
            body: serde_json::from_str(&shown.text).unwrap_or(Value::String(shown.text)),
        }
    }

    /// Who is logged in.
    pub async fn session(&mut self) -> Answer {
        self.ask(Method::GET, "/auth/session", &[], None).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Shown {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let shown = shown(request.send().await.unwrap()).await;
        for cookie in shown.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        shown
    }

    /// Logs in with a password.
    pub async fn log_in(&mut self, tenant: TenantId, email: &str, password: &str) -> Shown {
        let tenant = tenant.to_string();
        let fields = [
            ("tenant", tenant.as_str()),
            ("email", email),
            ("password", password),
        ];
        self.submit("/auth/local", &fields).await
    }

    /// Somebody who was invited, and has accepted.
    pub async fn of_user(app: &TestApp, tenant: TenantId, email: &str, role: &str) -> Self {
        let owner = app.client(tenant, "owner");
        let invite = json!({"email": email, "roles": [role]});
        let invited = owner.post("users", invite).await.expect(201);
        let mut browser = Self::new(&app.base);
        let accepted = browser.accept(&invited, PASSWORD).await;
        assert_eq!(accepted.location(), "/auth/account");
        browser
    }

    /// Accepts an invitation.
    pub async fn accept(&mut self, invited: &Value, password: &str) -> Shown {
        let url = invited["invitation_url"].as_str().unwrap();
        let token = url.split_once("token=").unwrap().1;
        let fields = [
            ("token", token),
            ("name", "Ada Lovelace"),
            ("password", password),
            ("again", password),
        ];
        self.submit("/auth/invitation", &fields).await
    }
}

async fn shown(response: reqwest::Response) -> Shown {
    Shown {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}
