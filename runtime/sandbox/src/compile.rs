//! Compiling, in a process of its own: a component decides how much work the compiler has, so the
//! compiler gets no more memory and time than its class allows, and takes nobody with it when it
//! dies. Without a command it compiles in this process, unlimited: for tests, and for whoever
//! only runs components of their own.

use crm_model::GuestClass;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::Engine;

use crate::class::{ClassLimits, CompileLimits};
use crate::code::Code;
use crate::error::SandboxError;
use crate::text::sentence;

/// Compilers at work at once; each uses all processors.
const MAX_COMPILERS: usize = 2;
/// The most machine code that is taken of one component.
const CODE_MAX_BYTES: u64 = 512 << 20;
/// What is read of a compiler's complaint.
const COMPLAINT_MAX_BYTES: u64 = 4 << 10;
/// How often a compiler that has answered is looked at until it is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A command whose standard input is a component and whose standard output is its code. It is
/// given two more arguments, [`CompileLimits`] as bytes and milliseconds, and has to keep to them
/// as [`crate::compile_in_this_process`] does.
#[derive(Clone, Debug)]
pub struct CompileCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// All variables that it gets: ours hold passwords.
    pub variables: Vec<(OsString, OsString)>,
}

/// Whoever compiles.
pub(crate) struct Compiler {
    command: Option<CompileCommand>,
    limits: Option<CompileLimits>,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Compiler {
    pub(crate) fn new(command: Option<CompileCommand>, limits: Option<CompileLimits>) -> Self {
        Self {
            command,
            limits,
            free: Mutex::new(MAX_COMPILERS),
            freed: Condvar::new(),
        }
    }

    /// Compiles an inspected component; waits for its turn, and blocks.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        component: &[u8],
        class: GuestClass,
    ) -> Result<Code, SandboxError> {
        let limits = self.limits.unwrap_or(ClassLimits::of(class).compile);
        let _turn = self.turn();
        let code = match &self.command {
            Some(command) => compile_apart(command, component, &limits)?,
            None => engine
                .precompile_component(component)
                .map_err(|error| SandboxError::Compile(format!("{error:#}")))?,
        };
        Ok(Code::trusted(code))
    }

    fn turn(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(free, |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(self)
    }
}

/// Given back when it is dropped.
struct Turn<'a>(&'a Compiler);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let free = self.0.free.lock();
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

fn compile_apart(
    command: &CompileCommand,
    component: &[u8],
    limits: &CompileLimits,
) -> Result<Vec<u8>, SandboxError> {
    let began = Instant::now();
    let program = command.program.display();
    let unavailable = |error| SandboxError::Unavailable(format!("{program}: {error}"));
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .arg(limits.memory_max_bytes.to_string())
        .arg(limits.time_max.as_millis().to_string())
        .env_clear()
        .envs(command.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(unavailable)?;
    let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let (answered, answer) = channel();
        scope.spawn(move || {
            // A compiler that is gone says why in its own words.
            let _ = input.map(|mut input| input.write_all(component));
        });
        let output = scope.spawn(move || read(output, CODE_MAX_BYTES, Some(answered)));
        let complaint = scope.spawn(move || read(complaint, COMPLAINT_MAX_BYTES, None));
        let ended = wait(
            &mut child,
            &answer,
            began + limits.time_max * CompileLimits::PATIENCE,
        );
        // Whatever went wrong, no process is left behind.
        let ended = ended
            .inspect_err(|_| stop(&mut child))
            .map_err(unavailable)?;
        let complaint = complaint.join().unwrap_or_default();
        let complaint = sentence(&String::from_utf8_lossy(&complaint));
        match ended {
            None => Err(limits.too_slow(began.elapsed())),
            Some(status) if status.success() => {
                let code = output.join().unwrap_or_default();
                match u64::try_from(code.len()) {
                    Ok(bytes) if bytes <= CODE_MAX_BYTES => Ok(code),
                    _ => Err(SandboxError::OverLimit {
                        limit: "code_max_bytes",
                        measured: CODE_MAX_BYTES + 1,
                        most: CODE_MAX_BYTES,
                    }),
                }
            }
            Some(status) => Err(reason(status, complaint.trim(), limits, began.elapsed())),
        }
    })
}

/// All that comes, up to one byte more than is accepted.
fn read(from: Option<impl Read>, max_bytes: u64, answered: Option<Sender<()>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read before an error tells as much as there is to tell.
        let _ = from.take(max_bytes + 1).read_to_end(&mut bytes);
    }
    if let Some(answered) = answered {
        let _ = answered.send(());
    }
    bytes
}

/// How the child ended; `None` where it had to be stopped because its time was over.
fn wait(
    child: &mut Child,
    answer: &std::sync::mpsc::Receiver<()>,
    deadline: Instant,
) -> std::io::Result<Option<ExitStatus>> {
    let left = deadline.saturating_duration_since(Instant::now());
    let answered = answer.recv_timeout(left) != Err(RecvTimeoutError::Timeout);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if !answered || Instant::now() >= deadline {
            stop(child);
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn stop(child: &mut Child) {
    // Fails only where it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Why a compiler ended without code.
fn reason(
    status: ExitStatus,
    complaint: &str,
    limits: &CompileLimits,
    took: Duration,
) -> SandboxError {
    match status.code() {
        // It said so itself, in a sentence.
        Some(1) => SandboxError::Compile(complaint.to_owned()),
        _ if is_out_of_memory(complaint) => limits.too_big(),
        _ if is_out_of_time(status) => limits.too_slow(took),
        _ => SandboxError::Compile(format!("the compiler ended with {status}: {complaint}")),
    }
}

/// What Rust and the allocators say before they abort, also where a thread gets no stack.
fn is_out_of_memory(complaint: &str) -> bool {
    [
        "Resource temporarily unavailable",
        "memory allocation of",
        "out of memory",
        "Cannot allocate memory",
    ]
    .iter()
    .any(|words| complaint.contains(words))
}

#[cfg(unix)]
fn is_out_of_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let processor_time = rustix::process::Signal::XCPU.as_raw();
    status.signal() == Some(processor_time)
}

#[cfg(not(unix))]
fn is_out_of_time(_: ExitStatus) -> bool {
    false
}
