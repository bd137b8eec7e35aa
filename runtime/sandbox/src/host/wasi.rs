//! WASI 0.2, for guests whose toolchain imports it: an empty world that is the same at every
//! attempt. The clock stands still at the event's time, randomness comes from the call's seed,
//! there are no files, variables, arguments, input or network, and what is printed goes into the
//! run log. So nothing of it is a capability, and a replay needs no journal of it.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult, add_to_linker_async};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxView, WasiView,
};

use crate::store::GuestState;

/// Streams, files and the like that a guest may hold at once.
const RESOURCES_MAX_COUNT: usize = 256;
/// Bytes that a guest may ask for at once.
const RANDOM_MAX_BYTES: u64 = 4096;
/// Random bytes after which they come again.
const RANDOM_PERIOD_BYTES: usize = 4096;

/// One call's WASI.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    printed: Printed,
}

impl Wasi {
    /// `now` is the time since 1970; of what is printed the first bytes are kept.
    pub(crate) fn new(now: Duration, seed: u64, print_max_bytes: usize) -> Self {
        let printed = Printed::new(print_max_bytes);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX_COUNT);
        let context = WasiCtx::builder()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .wall_clock(Standing(now))
            .monotonic_clock(Standing(Duration::ZERO))
            .secure_random(randomness(seed, "secure"))
            .insecure_random(randomness(seed, "insecure"))
            .insecure_random_seed(u128::from(seed))
            .max_random_size(RANDOM_MAX_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self {
            context,
            table,
            printed,
        }
    }

    /// What was printed since the last time.
    pub(crate) fn take_printed(&self) -> Option<String> {
        self.printed.take()
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

/// Offers WASI to guests.
pub(crate) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_to_linker_async(linker)
}

fn randomness(seed: u64, what: &str) -> Deterministic {
    let blocks = (0_u32..).flat_map(|block| {
        let hash = Sha256::new()
            .chain_update(what)
            .chain_update(seed.to_le_bytes())
            .chain_update(block.to_le_bytes());
        <[u8; 32]>::from(hash.finalize())
    });
    Deterministic::new(blocks.take(RANDOM_PERIOD_BYTES).collect())
}

/// A clock that shows one time.
struct Standing(Duration);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for Standing {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What a guest prints, the beginning of it.
#[derive(Clone)]
struct Printed(Arc<Mutex<Kept>>);

struct Kept {
    bytes: Vec<u8>,
    remaining_bytes: usize,
}

impl Printed {
    fn new(max_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            bytes: Vec::new(),
            remaining_bytes: max_bytes,
        })))
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = bytes.get(..kept.remaining_bytes).unwrap_or(bytes);
        kept.bytes.extend_from_slice(fitting);
        kept.remaining_bytes -= fitting.len();
    }

    fn take(&self) -> Option<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut kept.bytes);
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(4096)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
