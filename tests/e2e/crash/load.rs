//! What crash tests do to a server and what they hold it to: writers that write down what was
//! acknowledged, synced to disk before it counts, and a look into the database that no server has
//! a hand in.

use chrono::{DateTime, Utc};
use crm_engine::Engine;
use crm_model::{Actor, TenantId};
use crm_server::App;
use crm_server::auth::{DevIssuer, Issuers};
use crm_store::admin::Admin;
use crm_store::{PgConnectOptions, Store, StoreSettings};
use crm_tests::app::DEV_KEY;
use crm_tests::client::{Answer, Client, wait_until};
use crm_tests::cluster::cluster;
use serde_json::json;
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const WRITERS: usize = 4;
/// Writers wait while more runs than this are open, so that those that were begun are soon taken
/// up again, however slow the machine is.
const OPEN_MAX: u64 = 40;
const PAUSE: Duration = Duration::from_millis(10);

/// An office whose new contacts are counted, and then visited once.
pub(super) struct Office {
    owner: PgConnectOptions,
    /// Where servers find the database: as those who may serve and no more.
    pub(super) url: String,
    key: String,
}

impl Office {
    /// A new tenant of a database that is prepared, as its owner and as the runtime's role reach
    /// it.
    pub(super) async fn new(owner: PgConnectOptions, runtime: PgConnectOptions) -> Self {
        let mut admin = Admin::connect(&owner).await.unwrap();
        let tenant = TenantId::new(Uuid::now_v7());
        admin.tenant_create(tenant, "Office").await.unwrap();
        let store = Store::connect(runtime.clone(), StoreSettings::default());
        let engine = Engine::new(store.await.unwrap(), cluster().sandbox());
        let issuer = DevIssuer::new(DEV_KEY);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = App::new(engine.clone(), Issuers::new(Some(issuer.clone())));
        let stop = CancellationToken::new();
        tokio::spawn(crm_server::serve(listener, app, stop.clone()));
        let person = Actor::person("ada".parse().unwrap(), vec!["owner".parse().unwrap()]);
        let token = issuer.sign(tenant, &person, Duration::from_secs(600));
        let key = open(&Client::new(&base, Some(token.unwrap()))).await;
        stop.cancel();
        engine.close().await;
        Self {
            owner,
            url: runtime.to_url_lossy().to_string(),
            key,
        }
    }

    /// A program of the tenant's at a server.
    pub(super) fn at(&self, base: &str) -> Client {
        Client::new(base, Some(self.key.clone()))
    }

    /// Looks at the database.
    pub(super) async fn look(&self) -> Result<Look, sqlx::Error> {
        PgConnection::connect_with(&self.owner).await.map(Look)
    }
}

/// Begins; the key of a program that may do everything.
async fn open(owner: &Client) -> String {
    let template = json!({ "template_id": "office" });
    owner.post("templates/select", template).await.expect(201);
    let workflow = json!({
        "slug": "count", "name": "Count", "module": "contacts",
        "trigger": { "on": "record_created" },
        "steps": [
            { "id": "count", "action": "field-set",
                "config": { "set": { "score": "after.score + 1" } } },
            { "id": "visit", "action": "record-create", "config": {
                "module": "visits", "set": { "reason": "after.name" }, "link": "contact" } },
        ],
    });
    owner.post("workflows", workflow).await.expect(201);
    let made = owner.post("api-keys", json!({ "name": "Writer" })).await;
    made.expect(201)["key"].as_str().unwrap().to_owned()
}

/// A connection that is fresh, and sees everything.
pub(super) struct Look(PgConnection);

/// Leases that somebody held.
pub(super) struct Held {
    pub(super) jobs: u64,
    tokens: Vec<Uuid>,
    /// When the last of them ends.
    pub(super) until: Option<DateTime<Utc>>,
}

impl Look {
    /// How many runs have ended.
    pub(super) async fn ended(&mut self) -> u64 {
        let ended = "select count(*) from crm_jobs where state in ('done', 'dead')";
        let ended: i64 = sqlx::query_scalar(ended)
            .fetch_one(&mut self.0)
            .await
            .unwrap();
        ended.unsigned_abs()
    }

    /// The leases that are held now.
    pub(super) async fn held(&mut self) -> Held {
        let (jobs, tokens, until): (i64, _, _) = sqlx::query_as(
            "select count(*), coalesce(array_agg(distinct lease_token), '{}'), max(available_at)
            from crm_jobs where state = 'leased'",
        )
        .fetch_one(&mut self.0)
        .await
        .unwrap();
        Held {
            jobs: jobs.unsigned_abs(),
            tokens,
            until,
        }
    }

    /// Whether nothing is held by these leases any more.
    pub(super) async fn are_over(&mut self, held: &Held) -> bool {
        sqlx::query_scalar(
            "select not exists (
                select from crm_jobs where state = 'leased' and lease_token = any ($1))",
        )
        .bind(&held.tokens)
        .fetch_one(&mut self.0)
        .await
        .unwrap()
    }

    /// Whether a job was claimed after this moment, for a lease of so long.
    pub(super) async fn claimed_since(&mut self, since: DateTime<Utc>, lease: Duration) -> bool {
        sqlx::query_scalar(
            "select exists (select from crm_workflow_logs where started_at > $1)
                or exists (select from crm_jobs
                    where state = 'leased' and available_at > $1 + make_interval(secs => $2))",
        )
        .bind(since)
        .bind(lease.as_secs_f64())
        .fetch_one(&mut self.0)
        .await
        .unwrap()
    }

    /// How many contacts there are, whose runs have all done their work once.
    pub(super) async fn contacts_are_done(&mut self) -> u64 {
        let contacts = self.contacts().await;
        contacts.values().for_each(Fate::check);
        contacts.len() as u64
    }

    /// How often the step that took the most attempts was begun.
    pub(super) async fn attempts_most(&mut self) -> i32 {
        let most = "select max(greatest(j.attempts, l.attempt))
            from crm_jobs j join crm_workflow_logs l on l.job_id = j.id";
        sqlx::query_scalar(most)
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// All contacts by their ids, each with what became of it.
    async fn contacts(&mut self) -> BTreeMap<Uuid, Fate> {
        let fates: Vec<Fate> = sqlx::query_as(
            "select r.id, r.data ->> 'name' as name, r.version, r.data ->> 'score' as score,
                (select count(*) from crm_record_history h where h.record_id = r.id) as changes,
                (select count(*) from crm_records v
                    where v.module_slug = 'visits' and v.data ->> 'contact' = r.id::text) as visits,
                (select coalesce(string_agg(concat_ws(': ', j.state, j.error), ','), '')
                    from crm_jobs j where j.record_id = r.id) as runs,
                (select coalesce(string_agg(l.step, ',' order by l.started_at), '')
                    from crm_jobs j join crm_workflow_logs l on l.job_id = j.id
                    where j.record_id = r.id and l.status = 'done') as steps
            from crm_records r where r.module_slug = 'contacts'",
        )
        .fetch_all(&mut self.0)
        .await
        .unwrap();
        fates.into_iter().map(|fate| (fate.id, fate)).collect()
    }
}

impl Fate {
    /// Counted once, visited once, and the run is over.
    fn check(&self) {
        let seen = (self.version, self.score.as_str(), self.changes, self.visits);
        assert_eq!(seen, (2, "1", 2, 1), "counted and visited once: {self:?}");
        let ran = (self.runs.as_str(), self.steps.as_str());
        assert_eq!(ran, ("done", "count,visit"), "{self:?}");
    }
}

/// What became of a contact.
#[derive(Debug, sqlx::FromRow)]
struct Fate {
    id: Uuid,
    name: String,
    version: i64,
    score: String,
    changes: i64,
    visits: i64,
    runs: String,
    /// Those that ended well.
    steps: String,
}

/// What was acknowledged, a line each.
struct Ledger {
    directory: TempDir,
    file: Mutex<File>,
    lines: AtomicU64,
}

impl Ledger {
    const NAME: &str = "acknowledged";

    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join(Self::NAME)).unwrap();
        Self {
            directory,
            file: Mutex::new(file),
            lines: AtomicU64::new(0),
        }
    }

    fn note(&self, id: &str, name: &str) {
        let mut file = self.file.lock().unwrap();
        writeln!(file, "{id} {name}").unwrap();
        file.sync_data().unwrap();
        self.lines.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> BTreeMap<Uuid, String> {
        let text = std::fs::read_to_string(self.directory.path().join(Self::NAME)).unwrap();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        let all: BTreeMap<_, _> = lines
            .map(|(id, name)| (id.parse().unwrap(), name.to_owned()))
            .collect();
        assert_eq!(
            all.len(),
            text.lines().count(),
            "a record for each acknowledgement"
        );
        all
    }
}

/// How writes get to a server.
pub(super) trait Way: Send + Sync + 'static {
    /// Sends a contact under its key; none where nobody knows what became of it.
    fn create(&self, key: &str, body: String) -> impl Future<Output = Option<Answer>> + Send;
}

/// What writers share.
struct Writing<W> {
    ledger: Ledger,
    way: W,
    ended: AtomicU64,
    stop: CancellationToken,
}

impl<W: Way> Writing<W> {
    /// Contacts without end, each under a key of its own, sent again until it is acknowledged.
    async fn write(&self, writer: usize) {
        for number in 0.. {
            while self.is_full() && !self.stop.is_cancelled() {
                tokio::time::sleep(PAUSE).await;
            }
            if self.stop.is_cancelled() {
                return;
            }
            let name = format!("{writer}-{number}");
            while !self.is_acknowledged(&name).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn is_acknowledged(&self, name: &str) -> bool {
        let body = json!({ "data": { "name": name, "score": 0 } }).to_string();
        let Some(answer) = self.way.create(name, body).await else {
            return false;
        };
        let contact = answer.expect(201);
        self.ledger.note(contact["id"].as_str().unwrap(), name);
        true
    }

    fn acknowledged(&self) -> u64 {
        self.ledger.lines.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.acknowledged() >= self.ended.load(Ordering::Relaxed) + OPEN_MAX
    }
}

/// Writers at work.
pub(super) struct Load<W> {
    writing: Arc<Writing<W>>,
    writers: JoinSet<()>,
}

impl<W: Way> Load<W> {
    /// Begins to write.
    pub(super) fn begin(way: W) -> Self {
        let writing = Arc::new(Writing {
            ledger: Ledger::new(),
            way,
            ended: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let writing = Arc::clone(&writing);
            writers.spawn(async move { writing.write(writer).await });
        }
        Self { writing, writers }
    }

    pub(super) fn way(&self) -> &W {
        &self.writing.way
    }

    /// Goes on until so many more writes are acknowledged, and so many more runs have ended.
    pub(super) async fn go_on(&self, look: &mut Look, writes: u64, runs: u64) {
        let acknowledged = self.writing.acknowledged() + writes;
        let ended = look.ended().await + runs;
        wait_until("writes and runs go on", async || {
            self.ended(look).await >= ended && self.writing.acknowledged() >= acknowledged
        })
        .await;
    }

    /// How many runs have ended; for writers, who write no more than so many ahead of them.
    pub(super) async fn ended(&self, look: &mut Look) -> u64 {
        let ended = look.ended().await;
        self.writing.ended.store(ended, Ordering::Relaxed);
        ended
    }

    /// Ends when all that was sent is acknowledged and every run has ended. Each acknowledged
    /// write is there, nothing else is, and each run did its work once. How many writes there
    /// were.
    pub(super) async fn end(mut self, office: &Office) -> u64 {
        self.writing.stop.cancel();
        while let Some(writer) = self.writers.join_next().await {
            writer.unwrap();
        }
        let writes = self.writing.acknowledged();
        let mut look = office.look().await.unwrap();
        wait_until("every run ends", async || look.ended().await >= writes).await;

        let acknowledged = self.writing.ledger.read();
        let mut contacts = office.look().await.unwrap().contacts().await;
        for (id, name) in &acknowledged {
            let fate = contacts.remove(id);
            let fate = fate.unwrap_or_else(|| panic!("{name} was acknowledged and is lost"));
            assert_eq!(&fate.name, name);
            fate.check();
        }
        assert!(contacts.is_empty(), "nobody wrote these: {contacts:?}");
        writes
    }
}
