//! Load over HTTP: clients that each send one request after the other on a connection of their
//! own. As cheap as can be, because it shares its cores with what it measures: one thread, and an
//! HTTP/1.1 that knows only what these answers need.

use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request, and the status that its answer has to have.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) token: Arc<str>,
    /// JSON; empty: none.
    pub(crate) body: String,
    pub(crate) status: u16,
}

/// Makes the request of a number.
pub(crate) type Requests = Box<dyn Fn(u64) -> Request + Send + Sync>;

/// What to send, where.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Requests,
    /// The number of the next request.
    pub(crate) next: AtomicU64,
}

/// What a run of load saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) per_second: f64,
    /// Of the answers in the time that was measured, fastest first.
    pub(crate) latencies_microseconds: Vec<u32>,
    /// All answers, those before the measured time too.
    pub(crate) acknowledged: u64,
}

impl Load {
    pub(crate) fn new(address: SocketAddr, requests: Requests) -> Arc<Self> {
        Arc::new(Self {
            address,
            requests,
            next: AtomicU64::new(1),
        })
    }

    /// Sends for the warm-up and then the measured time. Any answer with another status than its
    /// request wants is an error.
    pub(crate) async fn run(
        self: Arc<Self>,
        clients: usize,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<Seen> {
        on_a_thread(async move || self.run_here(clients, warm_up, measured).await).await
    }

    async fn run_here(
        &self,
        clients: usize,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<Seen> {
        let from = Instant::now() + warm_up;
        let until = from + measured;
        let clients = (0..clients).map(|_| self.client(from, until));
        let (mut latencies, mut acknowledged) = (Vec::new(), 0);
        for (seen, all) in futures::future::try_join_all(clients).await? {
            latencies.extend(seen);
            acknowledged += all;
        }
        latencies.sort_unstable();
        Ok(Seen {
            per_second: latencies.len() as f64 / measured.as_secs_f64(),
            latencies_microseconds: latencies,
            acknowledged,
        })
    }

    async fn client(&self, from: Instant, until: Instant) -> Result<(Vec<u32>, u64)> {
        let mut connection = Connection::open(self.address).await?;
        let (mut latencies, mut acknowledged) = (Vec::new(), 0);
        loop {
            let began = Instant::now();
            if began >= until {
                return Ok((latencies, acknowledged));
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            connection.send(&(self.requests)(number)).await?;
            acknowledged += 1;
            let ended = Instant::now();
            if ended >= from && ended < until {
                latencies.push(microseconds(began, ended));
            }
        }
    }
}

/// What requests took that were sent [`in_order`], fastest first.
pub(crate) async fn one_by_one(
    address: SocketAddr,
    requests: Vec<Request>,
    warm_up: usize,
) -> Result<Vec<u32>> {
    let mut latencies = in_order(address, requests, warm_up).await?;
    latencies.sort_unstable();
    Ok(latencies)
}

/// Sends the requests one after the other, after as many as `warm_up` of them; what each of the
/// others took, in microseconds, in their order.
pub(crate) async fn in_order(
    address: SocketAddr,
    requests: Vec<Request>,
    warm_up: usize,
) -> Result<Vec<u32>> {
    on_a_thread(async move || {
        let mut connection = Connection::open(address).await?;
        for request in requests.iter().take(warm_up) {
            connection.send(request).await?;
        }
        let mut latencies = Vec::with_capacity(requests.len());
        for request in &requests {
            let began = Instant::now();
            connection.send(request).await?;
            latencies.push(microseconds(began, Instant::now()));
        }
        Ok(latencies)
    })
    .await
}

pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(work())
    })
    .await?
}

fn microseconds(began: Instant, ended: Instant) -> u32 {
    u32::try_from((ended - began).as_micros()).unwrap_or(u32::MAX)
}

/// The value below which this share of the sorted lies.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(index.min(last))
        .map_or(f64::NAN, |found| f64::from(*found))
}

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address,
            request: Vec::with_capacity(4096),
            answer: Vec::with_capacity(4096),
        })
    }

    /// Sends one request and reads its answer to the end; gives the answer's body.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<&[u8]> {
        let head = self.exchange(request).await?;
        let status = format!("HTTP/1.1 {} ", request.status);
        ensure!(
            self.answer.starts_with(status.as_bytes()),
            "{} {} was not answered with {}: {}",
            request.method,
            request.path,
            request.status,
            String::from_utf8_lossy(&self.answer)
        );
        Ok(self.answer.get(head..).unwrap_or_default())
    }

    /// The same for any answer; gives its status.
    pub(crate) async fn send_any(&mut self, request: &Request) -> Result<u16> {
        self.exchange(request).await?;
        let status = self.answer.get(9..12).unwrap_or_default();
        Ok(std::str::from_utf8(status)?.parse()?)
    }

    async fn exchange(&mut self, request: &Request) -> Result<usize> {
        self.request.clear();
        write!(
            self.request,
            "{} {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            request.method,
            request.path,
            self.address,
            request.token,
            request.body.len(),
            request.body,
        )?;
        self.stream.write_all(&self.request).await?;
        self.read().await
    }

    /// Reads one answer to its end; where its body begins.
    async fn read(&mut self) -> Result<usize> {
        self.answer.clear();
        let mut ends = None;
        loop {
            ensure!(
                self.stream.read_buf(&mut self.answer).await? > 0,
                "the server closed a connection"
            );
            if ends.is_none() {
                let Some(head) = self.answer.windows(4).position(|end| end == b"\r\n\r\n") else {
                    continue;
                };
                let text = std::str::from_utf8(self.answer.get(..head).unwrap_or_default())?;
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.context("an answer without its length")?.parse()?;
                ends = Some((head + 4, head + 4 + length));
            }
            match ends {
                Some((head, whole)) if self.answer.len() >= whole => return Ok(head),
                _ => {}
            }
        }
    }
}
