//! Connections: taken, given so long to say what they want, and let go. Serving them is hyper's;
//! axum's own `serve` has no limits of time.

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

use super::rates::{Peer, SWEEP_PAUSE};
use crate::app::{App, router};

/// After an error that is the process's own, such as no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop`, then lets running requests come to their end.
///
/// # Errors
/// None at present; a listener that fails for a while is tried again.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let serving = Serving {
        edges: app.edges.clone(),
        limits: app.limits.clone(),
        router: router(app),
        graceful: GracefulShutdown::new(),
    };
    let mut sweep = tokio::time::interval(SWEEP_PAUSE);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serving.connection(stream, Peer(peer)),
                Err(error) => failed(&error).await,
            },
            _ = sweep.tick() => serving.limits.sweep(),
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    serving.graceful.shutdown().await;
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
    graceful: GracefulShutdown,
}

impl Serving {
    fn connection(&self, stream: TcpStream, peer: Peer) {
        // Answers are small and written whole: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let (router, pause) = (self.router.clone(), self.edges.body_pause_max);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = asked.clone();
            move |request: hyper::Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let mut request = request.map(|body| Body::new(TimeoutBody::new(pause, body)));
                request.extensions_mut().insert(peer);
                router.clone().oneshot(request)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.edges.head_max)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        let first = self.edges.head_max;
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // Whoever connects and never asks has no head that could be late.
            tokio::select! {
                _ = &mut connection => return,
                () = tokio::time::sleep(first) => {}
            }
            if asked.load(Ordering::Relaxed) {
                let _ = connection.await;
            }
        });
    }
}
