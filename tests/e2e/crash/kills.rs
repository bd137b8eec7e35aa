//! `kill -9`, of the server and of its database, at random points under load: nothing that was
//! acknowledged is lost, nothing is done twice, and no run stays behind.

use chrono::Utc;
use crm_cli::postgres::{PrivatePostgres, Settings};
use crm_tests::client::{Answer, Client, wait_until};
use crm_tests::cluster::{cluster, prepare};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use super::load::{Held, Load, Look, Office, Way};
use crate::command::{Serving, serving_for, serving_only};
use crate::random::{Random, number};

/// How often a server is killed, unless CRASH_KILLS says otherwise.
const KILLS: u64 = 50;
/// One of so many is killed again before it serves.
const EARLY: u64 = 5;
const POSTGRES_KILLS: u64 = 20;
const LEASE: Duration = Duration::from_secs(1);
/// From when the server is back until it has claimed a job.
const CLAIM_MAX: Duration = Duration::from_secs(10);
/// From the end of a lease until somebody else has the job.
const ORPHANED_MAX: Duration = Duration::from_secs(5);

/// The server of the moment, which may be gone at any time.
struct Mortal(RwLock<Client>);

impl Mortal {
    fn go_to(&self, client: Client) {
        *self.0.write().unwrap() = client;
    }
}

impl Way for Mortal {
    async fn create(&self, key: &str, body: String) -> Option<Answer> {
        let client = self.0.read().unwrap().clone();
        let key = [("idempotency-key", key)];
        let sent = client.try_call(Method::POST, "records/contacts", &key, Some(body));
        let answer = sent.await.ok()?;
        let kind = (answer.status.as_u16(), answer.body["type"].as_str());
        let is_known = !matches!(
            kind,
            (503, Some("/problems/unavailable")) | (409, Some("/problems/in-flight"))
        );
        is_known.then_some(answer)
    }
}

fn serve(url: &str) -> Serving {
    tokio::task::block_in_place(|| serving_only(url, &["--lease-seconds", "1"]))
}

/// The longest that was waited.
#[derive(Debug, Default)]
struct Waited {
    claim: Duration,
    orphans: Duration,
    orphaned: u64,
}

impl Waited {
    /// Waits for what has to follow a death: jobs are claimed, and those that somebody had in
    /// hand are taken up again.
    async fn recovery(&mut self, load: &Load<Mortal>, look: &mut Look, orphans: Held) {
        let (back, began) = (Utc::now(), Instant::now());
        let claimed = async || {
            // Where all runs have ended by now, somebody has to write again.
            load.ended(look).await;
            look.claimed_since(back, LEASE).await
        };
        wait_until("a job is claimed", claimed).await;
        self.claim = self.claim.max(began.elapsed());
        wait_until("orphans are taken up", async || {
            look.are_over(&orphans).await
        })
        .await;
        let due = orphans.until.map_or(back, |until| until.max(back));
        let late = (Utc::now() - due).to_std().unwrap_or_default();
        self.orphans = self.orphans.max(late);
        self.orphaned += orphans.jobs;
        assert!(self.claim < CLAIM_MAX, "{self:?}");
        assert!(self.orphans < ORPHANED_MAX, "{self:?}");
    }
}

/// Somewhere in what the server does.
async fn somewhere(load: &Load<Mortal>, look: &mut Look, random: &mut Random) {
    load.go_on(look, random.below(10), 1 + random.below(15))
        .await;
    tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_nothing() {
    let kills = number("CRASH_KILLS", KILLS);
    let mut random = Random::seeded("CRASH_SEED");
    let database = cluster().database().await;
    let office = Office::new(database.owner(), database.runtime()).await;
    let mut server = serve(&office.url);
    let load = Load::begin(Mortal(RwLock::new(office.at(&server.base))));
    let mut look = office.look().await.unwrap();
    let mut waited = Waited::default();
    for kill in 1..=kills {
        let is_early = kill % EARLY == 0;
        if !is_early {
            somewhere(&load, &mut look, &mut random).await;
        }
        drop(server);
        let orphans = look.held().await;
        if is_early {
            let early = Duration::from_millis(random.below(500));
            serving_for(&office.url, early).await;
        }
        server = serve(&office.url);
        load.way().go_to(office.at(&server.base));
        waited.recovery(&load, &mut look, orphans).await;
    }
    let writes = load.end(&office).await;
    let attempts = look.attempts_most().await;
    eprintln!("{kills} kills, {writes} writes, {waited:?}, at most {attempts} attempts at a step");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_again_and_again_loses_nothing() {
    let mut random = Random::seeded("CRASH_SEED");
    // Whatever becomes of this test, the server and its files go with it.
    let parent = std::env::temp_dir();
    let postgres = PrivatePostgres::temporary(&parent, durable(), |_| {}).await;
    let postgres = postgres.unwrap();
    prepare(
        &postgres.connect_options(),
        postgres.password(),
        cluster().sandbox(),
    )
    .await;
    let runtime = postgres.connect_options().username("crm_runtime");
    let office = Office::new(postgres.connect_options(), runtime).await;
    let mut server = serve(&office.url);
    let load = Load::begin(Mortal(RwLock::new(office.at(&server.base))));
    let mut look = office.look().await.unwrap();
    let mut waited = Waited::default();
    for _ in 0..POSTGRES_KILLS {
        somewhere(&load, &mut look, &mut random).await;
        kill(postgres.data_dir()).await;
        let again = PrivatePostgres::join_or_start(postgres.data_dir(), durable(), |_| {}).await;
        assert_eq!(again.unwrap().port(), postgres.port());
        look = office.look().await.unwrap();
        let orphans = look.held().await;
        waited.recovery(&load, &mut look, orphans).await;
    }
    let writes = load.end(&office).await;
    eprintln!("{POSTGRES_KILLS} kills of PostgreSQL, {writes} writes, {waited:?}");
    assert!(server.is_running(), "the server was there all along");
    drop(server);
    postgres.stop().await.unwrap();
}

/// What is acknowledged has to be on the disk.
fn durable() -> Settings {
    Settings {
        durable: true,
        max_connections: 60,
    }
}

/// The server and, where the system tells who they are, all processes that are its children:
/// elsewhere they notice, and end by themselves.
async fn kill(data_dir: &Path) {
    let server = PrivatePostgres::running(data_dir).unwrap().pid;
    let children = children(server);
    for pid in std::iter::once(server).chain(children) {
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    wait_until("PostgreSQL is dead", async || {
        PrivatePostgres::running(data_dir).is_none()
    })
    .await;
}

fn children(parent: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(is_child).collect()
}
