//! Runs the workers' tasks on one thread, one poll at a time, in an order that the seed says; where
//! none can go on, time does.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use super::host::SimHost;
use super::oracle::Broken;
use super::plan::DEADLINE;
use super::planted::Planted;
use super::world::{Order, World};
use crate::queue::{Tasks, work};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the executor and those who run on it share.
pub(super) struct Sim {
    world: Mutex<World>,
    board: Mutex<Board>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

/// The tasks that there are, by number, and whose.
#[derive(Default)]
struct Board {
    count: u64,
    new: Vec<(u64, Task)>,
    live: BTreeMap<u64, usize>,
    dropped: Vec<u64>,
    joiners: Vec<Waker>,
}

struct Wakes {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().insert(self.task);
    }
}

/// How a seed went.
pub(super) struct Played {
    pub(super) broken: Option<Broken>,
    pub(super) trace: Vec<String>,
    pub(super) polls: u64,
    /// Runs that died because others ended their workers.
    pub(super) bystanders: usize,
}

impl Sim {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap()
    }

    fn start(&self, process: usize, task: Task) -> u64 {
        let mut board = self.board();
        board.count += 1;
        let number = board.count;
        board.live.insert(number, process);
        board.new.push((number, task));
        self.ready.lock().unwrap().insert(number);
        number
    }
}

/// Plays one seed to its end.
pub(super) fn play(seed: u64, planted: Option<Planted>, is_traced: bool) -> Played {
    let sim = Arc::new(Sim {
        world: Mutex::new(World::new(seed, planted, is_traced)),
        board: Mutex::default(),
        ready: Arc::default(),
    });
    let mut tasks: BTreeMap<u64, Task> = BTreeMap::new();
    let mut polls = 0;
    loop {
        obey(&sim, &mut tasks);
        {
            let mut world = sim.world();
            if world.oracle.broken.is_some() || world.oracle.all_have_ended() {
                break;
            }
            if world.now > DEADLINE {
                break;
            }
            let Some(task) = pick(&sim, &mut world) else {
                let Some(what) = world.next() else { break };
                what(&mut world);
                continue;
            };
            drop(world);
            let Some(mut future) = tasks.remove(&task) else {
                continue;
            };
            polls += 1;
            let ready = Arc::clone(&sim.ready);
            let waker = Waker::from(Arc::new(Wakes { task, ready }));
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => {
                    tasks.insert(task, future);
                }
                Poll::Ready(()) => end(&sim, task),
            }
        }
    }
    let mut world = sim.world();
    if world.oracle.broken.is_none() {
        world.oracle.judge();
    }
    Played {
        bystanders: world.oracle.bystanders(),
        broken: world.oracle.broken.take(),
        trace: world.trace.take().unwrap_or_default(),
        polls,
    }
}

fn end(sim: &Sim, task: u64) {
    let mut board = sim.board();
    board.live.remove(&task);
    let joiners = std::mem::take(&mut board.joiners);
    drop(board);
    joiners.into_iter().for_each(Waker::wake);
}

/// Starts and ends what is to be started and ended.
fn obey(sim: &Arc<Sim>, tasks: &mut BTreeMap<u64, Task>) {
    loop {
        let orders = std::mem::take(&mut sim.world().orders);
        for order in orders {
            match order {
                Order::Start(process) => start(sim, process),
                Order::Kill(process) => {
                    {
                        let mut world = sim.world();
                        let process = &mut world.processes[process];
                        (process.is_alive, process.is_stopped) = (false, false);
                    }
                    let live = sim.board().live.clone();
                    let its = live.into_iter().filter(|(_, whose)| *whose == process);
                    sim.board().dropped.extend(its.map(|(task, _)| task));
                }
            }
        }
        let (new, dropped) = {
            let mut board = sim.board();
            (
                std::mem::take(&mut board.new),
                std::mem::take(&mut board.dropped),
            )
        };
        if new.is_empty() && dropped.is_empty() {
            return;
        }
        tasks.extend(new);
        for task in dropped {
            // Whatever it holds goes with it, and may end more.
            drop(tasks.remove(&task));
            end(sim, task);
        }
    }
}

fn start(sim: &Arc<Sim>, process: usize) {
    let mut world = sim.world();
    let pace = world.plan.pace;
    world.oracle.started(process);
    let stop = tokio_util::sync::CancellationToken::new();
    let starting = &mut world.processes[process];
    if std::mem::replace(&mut starting.is_alive, true) {
        return;
    }
    starting.life += 1;
    starting.running = 0;
    starting.stop = stop.clone();
    drop(world);
    let host = SimHost {
        sim: Arc::clone(sim),
        process,
    };
    sim.start(process, Box::pin(work(host, pace, stop)));
}

fn pick(sim: &Sim, world: &mut World) -> Option<u64> {
    let board = sim.board();
    let mut ready = sim.ready.lock().unwrap();
    let can_go = |task: &u64| {
        let process = board.live.get(task);
        let process = process.and_then(|process| world.processes.get(*process));
        process.is_none_or(|process| !process.is_stopped)
    };
    let able: Vec<u64> = ready.iter().copied().filter(can_go).collect();
    let task = *able.get(world.dice.below(able.len()))?;
    ready.remove(&task);
    Some(task)
}

/// Tasks of one process.
pub(super) struct SimTasks {
    pub(super) sim: Arc<Sim>,
    pub(super) process: usize,
    pub(super) mine: Vec<u64>,
}

impl Tasks for SimTasks {
    fn start(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.mine.push(self.sim.start(self.process, Box::pin(task)));
    }

    fn tidy(&mut self) {
        let board = self.sim.board();
        self.mine.retain(|task| board.live.contains_key(task));
    }

    async fn ended(&mut self) {
        std::future::poll_fn(|context| {
            let mut board = self.sim.board();
            if !self.mine.iter().any(|task| board.live.contains_key(task)) {
                return Poll::Ready(());
            }
            board.joiners.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for SimTasks {
    fn drop(&mut self) {
        self.sim.board().dropped.append(&mut self.mine);
    }
}
