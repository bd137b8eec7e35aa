//! Connections: taken, given so long to say what they want, and let go. Serving them, HTTP/1.1 and
//! HTTP/2, is hyper's; axum's own `serve` has no limits of time.

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

use super::rates::{Peer, SWEEP_PAUSE};
use crate::app::{App, router};

/// Requests that one connection of HTTP/2 may have under way.
const STREAMS_MAX: u32 = 100;
/// Names and values of a request's headers of HTTP/2 together, as its clients count them.
const HEADERS_MAX_BYTES: u32 = 16 << 10;
/// Requests that a client takes back before they were looked at; one more ends the connection
/// (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 20;
/// The same for requests that the server had to take back because something was wrong with them.
const ERROR_STREAMS_MAX: usize = 100;
/// What a connection keeps of an answer that its client does not take.
const SEND_BUFFER_MAX_BYTES: usize = 256 << 10;
/// What the last answer on a connection says.
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// After an error that is the process's own, such as no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop`, and a while longer whoever has not noticed yet: `/readyz` says that it
/// stops, and each answer of HTTP/1 is the last on its connection. Then lets running requests come
/// to their end.
///
/// # Errors
/// None at present; a listener that fails for a while is tried again.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let edges = app.edges.clone();
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let (drain, close) = (edges.drain, CancellationToken::new());
    let serving = Serving {
        limits: app.limits.clone(),
        router: router(App {
            stopping: stop.clone(),
            ..app
        }),
        builder: builder(edges.head_max),
        stop: stop.clone(),
        close: close.clone(),
        open,
        edges,
    };
    let mut sweep = tokio::time::interval(SWEEP_PAUSE);
    let mut is_over = pin!(async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    });
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serving.connection(stream, Peer(peer)),
                Err(error) => failed(&error).await,
            },
            _ = sweep.tick() => serving.limits.sweep(),
            () = &mut is_over => break,
        }
    }
    // The system has let these in already: closed with the listener, they would be reset.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        serving.connection(stream, Peer(peer));
    }
    close.cancel();
    drop((listener, serving));
    // Nothing is ever sent; it ends when the last connection does.
    all_closed.recv().await;
    Ok(())
}

/// A client that is gone already is no reason to wait.
async fn failed(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::error!(%error, "connections cannot be taken");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

struct Serving {
    edges: Arc<super::Edges>,
    limits: Arc<super::rates::Limits>,
    router: axum::Router,
    builder: Builder<TokioExecutor>,
    /// No connection is needed any longer.
    stop: CancellationToken,
    /// No connection is kept any longer.
    close: CancellationToken,
    /// Each connection holds one until it is closed.
    open: mpsc::Sender<()>,
}

impl Serving {
    fn connection(&self, stream: TcpStream, peer: Peer) {
        let (router, pause) = (self.router.clone(), self.edges.body_pause_max);
        let seen = Arc::new(Seen::default());
        let service = service_fn({
            let (seen, stop) = (seen.clone(), self.stop.clone());
            move |request: hyper::Request<Incoming>| {
                seen.asked.fetch_add(1, Ordering::Relaxed);
                let mut request = request.map(|body| Body::new(TimeoutBody::new(pause, body)));
                request.extensions_mut().insert(peer);
                let version = request.version();
                let answer = router.clone().oneshot(request);
                let (seen, stop) = (seen.clone(), stop.clone());
                async move {
                    let mut answer = answer.await;
                    seen.answered.fetch_add(1, Ordering::Relaxed);
                    if let Ok(answer) = &mut answer
                        && stop.is_cancelled()
                        && version < Version::HTTP_2
                    {
                        answer.headers_mut().insert(CONNECTION, CLOSE);
                    }
                    answer
                }
            }
        });
        let (builder, patience) = (self.builder.clone(), self.edges.head_max);
        let (close, _open) = (self.close.clone(), self.open.clone());
        tokio::spawn(async move {
            let _open = _open;
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            let (mut before, mut is_ending) = (0, false);
            loop {
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = close.cancelled(), if !is_ending => {
                        connection.as_mut().graceful_shutdown();
                        is_ending = true;
                    }
                    () = tokio::time::sleep(patience) => {
                        let asked = seen.asked.load(Ordering::Relaxed);
                        // Whoever connects and never asks has no head that could be late.
                        if asked == 0 {
                            return;
                        }
                        let is_idle = asked == before && seen.answered.load(Ordering::Relaxed) >= asked;
                        if is_idle && !is_ending {
                            connection.as_mut().graceful_shutdown();
                            is_ending = true;
                        }
                        before = asked;
                    }
                }
            }
        });
    }
}

/// What came and went on one connection. A client that goes away in the middle of a request is
/// answered all the same, by nobody: then its connection ends anyway.
#[derive(Default)]
struct Seen {
    asked: AtomicU64,
    answered: AtomicU64,
}

/// Both protocols on one port: HTTP/2 by the words that its clients begin with.
fn builder(head_max: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(ERROR_STREAMS_MAX)
        .max_send_buf_size(SEND_BUFFER_MAX_BYTES)
        .keep_alive_interval(head_max)
        .keep_alive_timeout(head_max);
    builder
}
