//! Other systems, as tests like them: an HTTP server and a mail server that keep what they get.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request that came.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }
}

type Manner = Arc<dyn Fn(usize, &Got) -> Option<Response> + Send + Sync>;

/// An HTTP server. What it answers follows from how many came before, and the request.
#[derive(Clone)]
pub struct Sink {
    pub base: String,
    got: Arc<Mutex<Vec<Got>>>,
    manner: Manner,
}

impl Sink {
    /// One that answers 200 with the request's body.
    pub async fn echo() -> Self {
        Self::start(|_, got| (StatusCode::OK, got.body.clone()).into_response()).await
    }

    /// One that answers in this manner.
    pub async fn start(manner: impl Fn(usize, &Got) -> Response + Send + Sync + 'static) -> Self {
        Self::start_moody(move |before, got| Some(manner(before, got))).await
    }

    /// The same, where none is an answer that never comes.
    pub async fn start_moody(
        manner: impl Fn(usize, &Got) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let sink = Self {
            base: format!("http://{}", listener.local_addr().expect("an address")),
            got: Arc::default(),
            manner: Arc::new(manner),
        };
        let router = Router::new().fallback(take).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        sink
    }

    /// What came until now.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic").clone()
    }
}

async fn take(State(sink): State<Sink>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let got = Got {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: axum::body::to_bytes(body, 1 << 20)
            .await
            .unwrap_or_default(),
    };
    let before = {
        let mut all = sink.got.lock().expect("no panic");
        all.push(got.clone());
        all.len() - 1
    };
    match (sink.manner)(before, &got) {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

/// A mail server without TLS.
#[derive(Clone, Default)]
pub struct MailSink {
    pub url: String,
    got: Arc<Mutex<Vec<String>>>,
}

impl MailSink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sink = Self {
            url: format!("smtp://{address}"),
            got: Arc::default(),
        };
        let got = sink.got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(session(stream, got.clone()));
            }
        });
        sink
    }

    /// The mails that came until now, each with its envelope.
    pub fn got(&self) -> Vec<String> {
        self.got.lock().expect("no panic").clone()
    }
}

/// Just enough of RFC 5321.
async fn session(stream: TcpStream, got: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb: String = line.chars().take(4).collect();
        let answer: &[u8] = match verb.to_ascii_uppercase().as_str() {
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            "DATA" => {
                stream.write_all(b"354 go\r\n").await?;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await?;
                    if line == ".\r\n" || line.is_empty() {
                        break;
                    }
                    mail.push_str(&line);
                }
                got.lock()
                    .expect("no panic")
                    .push(std::mem::take(&mut mail));
                b"250 taken\r\n"
            }
            "MAIL" | "RCPT" => {
                mail.push_str(&line);
                b"250 ok\r\n"
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await?;
    }
}
