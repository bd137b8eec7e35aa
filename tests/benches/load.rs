//! Load over HTTP: clients that each post one record after the other on a connection of their
//! own. As cheap as can be, because it shares its cores with what it measures: one thread, and an
//! HTTP/1.1 that knows only what these answers need.

use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What to post, where.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) token: String,
    /// Bodies around the place where the number of the record goes; used in turn.
    pub(crate) bodies: Vec<(String, String)>,
    /// The number of the next record.
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
    /// Posts for the warm-up and then the measured time. Any answer other than 201 is an error.
    pub(crate) async fn run(
        self: Arc<Self>,
        clients: usize,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<Seen> {
        tokio::task::spawn_blocking(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(self.run_here(clients, warm_up, measured))
        })
        .await?
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
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut request, mut answer) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
        let (mut latencies, mut acknowledged) = (Vec::new(), 0);
        loop {
            let began = Instant::now();
            if began >= until {
                return Ok((latencies, acknowledged));
            }
            self.request(&mut request)?;
            stream.write_all(&request).await?;
            created(&mut stream, &mut answer).await?;
            acknowledged += 1;
            let ended = Instant::now();
            if ended >= from && ended < until {
                latencies.push(u32::try_from((ended - began).as_micros()).unwrap_or(u32::MAX));
            }
        }
    }

    fn request(&self, request: &mut Vec<u8>) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let which = usize::try_from(number)? % self.bodies.len().max(1);
        let (before, after) = self.bodies.get(which).context("there are no bodies")?;
        let number = format!("{number:08}");
        request.clear();
        write!(
            request,
            "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{before}{number}{after}",
            self.path,
            self.address,
            self.token,
            before.len() + number.len() + after.len(),
        )?;
        Ok(())
    }
}

/// Reads one answer to its end; it must be a 201.
async fn created(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<()> {
    answer.clear();
    let mut whole = None;
    loop {
        ensure!(
            stream.read_buf(answer).await? > 0,
            "the server closed a connection"
        );
        if whole.is_none() {
            let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("an answer without its length")?.parse()?;
            whole = Some(head + 4 + length);
        }
        if whole.is_some_and(|whole| answer.len() >= whole) {
            break;
        }
    }
    if !answer.starts_with(b"HTTP/1.1 201 ") {
        bail!("not a 201: {}", String::from_utf8_lossy(answer));
    }
    Ok(())
}
