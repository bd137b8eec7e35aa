//! Nothing leaks from one tenant to another when callers go away in the middle: many tenants on
//! few connections, with dropped futures, panics and timeouts in between. `LEAK_OPERATIONS` says
//! how many operations, `LEAK_SEED` repeats those of another run.

use crm_engine::Engine;
use crm_model::{Actor, ModuleSlug, RecordId, TenantId};
use crm_store::models::model_advance;
use crm_store::records::{record_read, records_read};
use crm_store::{Store, StoreError, StoreSettings, TenantTx};
use crm_tests::client::wait_until;
use crm_tests::cluster::{TestDatabase, cluster};
use sqlx::{Connection, PgConnection};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use uuid::Uuid;

use crate::random::{Random, number};

const TENANTS: usize = 1_000;
/// The first ones have a template, for what goes through the engine.
const WITH_TEMPLATE: usize = 10;
const TASKS: u64 = 64;
/// Of each kind: for statements, and for transactions.
const CONNECTIONS: u32 = 2;
const OPERATIONS: u64 = 200_000;
/// A statement of a query that waits for a lock longer than this is cut off.
const STATEMENT_MILLISECONDS: u32 = 2;
/// Nobody keeps a transaction open this long, unless it was forgotten.
const STALE: Duration = Duration::from_secs(3);

fn any_tenant(random: &mut Random) -> usize {
    usize::try_from(random.below(TENANTS as u64)).unwrap()
}

/// How far a write came: what was not asked to commit must not be there in the end.
const WROTE: u8 = 1;
const COMMITTING: u8 = 2;
const COMMITTED: u8 = 3;

/// One tenant, and how often its model may have been advanced.
struct Tenant {
    id: TenantId,
    record: RecordId,
    committed: AtomicI64,
    /// Whoever asked went away while it was committed.
    uncertain: AtomicI64,
}

struct Fuzz {
    store: Store,
    engine: Engine,
    module: ModuleSlug,
    actor: Actor,
    tenants: Vec<Tenant>,
    done: AtomicU64,
    dropped: AtomicU64,
    panicked: AtomicU64,
    cut_off: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_when_callers_go_away() {
    let seed = number("LEAK_SEED", u64::from(std::process::id()));
    let operations = number("LEAK_OPERATIONS", OPERATIONS);
    eprintln!("LEAK_SEED={seed} LEAK_OPERATIONS={operations}");
    let database = cluster().database().await;
    let fuzz = Arc::new(Fuzz::on(&database).await);
    let watcher = tokio::spawn(watch(database.clone()));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let fuzz = fuzz.clone();
            let mut random = Random(seed.wrapping_mul(TASKS).wrapping_add(task));
            tokio::spawn(async move {
                for _ in 0..operations / TASKS {
                    fuzz.operation(&mut random).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    watcher.abort();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} done, {} dropped, {} panicked, {} cut off",
        count(&fuzz.done),
        count(&fuzz.dropped),
        count(&fuzz.panicked),
        count(&fuzz.cut_off)
    );
    for counter in [&fuzz.done, &fuzz.dropped, &fuzz.panicked, &fuzz.cut_off] {
        assert!(count(counter) > 0, "each way to end was taken");
    }
    let mut owner = PgConnection::connect_with(&database.owner()).await.unwrap();
    at_rest(&mut owner).await;
    fuzz.check_writes(&mut owner).await;
    fuzz.store.close().await;
}

impl Fuzz {
    async fn on(database: &TestDatabase) -> Self {
        let settings = StoreSettings {
            statement_connections: CONNECTIONS,
            transaction_connections: CONNECTIONS,
            acquire_timeout: Duration::from_secs(20),
            ..StoreSettings::default()
        };
        let store = Store::connect(database.runtime(), settings).await.unwrap();
        let engine = Engine::new(store.clone(), cluster().sandbox());
        let actor = Actor::person("owner-1".parse().unwrap(), vec!["owner".parse().unwrap()]);
        let tenants: Vec<Tenant> = (0..TENANTS)
            .map(|_| Tenant {
                id: TenantId::new(Uuid::now_v7()),
                record: RecordId::new(Uuid::now_v7()),
                committed: AtomicI64::new(0),
                uncertain: AtomicI64::new(0),
            })
            .collect();
        fill(database, &tenants).await;
        for tenant in &tenants[..WITH_TEMPLATE] {
            let template = "hospital".parse().unwrap();
            engine
                .template_select(tenant.id, actor.clone(), template, None, None)
                .await
                .unwrap();
        }
        Self {
            store,
            engine,
            module: "patients".parse().unwrap(),
            actor,
            tenants,
            done: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
        }
    }

    /// One operation, as a whole or up to some point.
    async fn operation(&self, random: &mut Random) {
        let (own, other) = (any_tenant(random), any_tenant(random));
        let polls = (random.below(5) == 0).then(|| random.below(12));
        match random.below(100) {
            0..60 => self.ended(self.read(own, other), polls).await,
            60..78 => self.ended(self.read_within(own, other), polls).await,
            78..92 => self.write(own, random, polls).await,
            92..96 => self.ended(self.nothing_left(), None).await,
            _ => {
                let own = own % WITH_TEMPLATE;
                self.ended(self.through_the_engine(own, other), polls).await;
            }
        }
    }

    async fn ended(&self, operation: impl Future<Output = ()>, polls: Option<u64>) {
        let counter = match up_to(operation, polls).await {
            Some(()) => &self.done,
            None => &self.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    async fn read(&self, own: usize, other: usize) {
        let (own, other) = (&self.tenants[own], &self.tenants[other]);
        let read = record_read(&self.store, own.id, &self.module, own.record);
        let (_, record) = read.await.unwrap();
        let record = record.expect("the tenant's own record");
        assert_eq!(record.owner_id, own.id.to_string(), "the tenant's own row");
        if own.id != other.id {
            let read = record_read(&self.store, own.id, &self.module, other.record);
            let (_, record) = read.await.unwrap();
            assert_eq!(record, None, "a foreign row");
        }
    }

    async fn read_within(&self, own: usize, other: usize) {
        let (own, other) = (&self.tenants[own], &self.tenants[other]);
        let mut tx = TenantTx::begin(&self.store, own.id).await.unwrap();
        let both = [own.record, other.record];
        let rows = records_read(&mut tx, &both).await.unwrap();
        assert_eq!(rows.len(), 1, "the tenant's own row alone");
        assert_eq!(rows[0].owner_id, own.id.to_string());
        if rows[0].version % 2 == 1 {
            tx.commit().await.unwrap();
        }
    }

    async fn through_the_engine(&self, own: usize, other: usize) {
        let (own, other) = (&self.tenants[own], &self.tenants[other]);
        let record = self
            .engine
            .record(own.id, &self.actor, &self.module, own.record);
        assert_eq!(record.await.unwrap().owner_id, own.id.to_string());
        if own.id != other.id {
            let record = self
                .engine
                .record(own.id, &self.actor, &self.module, other.record);
            assert!(record.await.is_err(), "a foreign row");
        }
    }

    /// A connection of each kind, as it is lent.
    async fn nothing_left(&self) {
        assert_eq!(self.store.leftovers().await.unwrap(), [""; 0]);
    }

    /// Advances a model and commits, or goes away, panics or is cut off before.
    async fn write(&self, own: usize, random: &mut Random, polls: Option<u64>) {
        // Few enough for writers to meet.
        let own = WITH_TEMPLATE + own % 50;
        let tenant = &self.tenants[own];
        let (stage, end) = (Arc::new(AtomicU8::new(0)), random.below(8));
        let writing = {
            let (store, id, stage) = (self.store.clone(), tenant.id, stage.clone());
            async move { advance(&store, id, end, &stage).await }
        };
        // In a task of its own where it panics, as a request of the server's is.
        let ended = match end {
            0 => match tokio::spawn(writing).await {
                Ok(ended) => Some(ended),
                Err(error) => {
                    assert!(error.is_panic());
                    self.panicked.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            },
            _ => up_to(writing, polls).await,
        };
        match stage.load(Ordering::SeqCst) {
            COMMITTED => tenant.committed.fetch_add(1, Ordering::Relaxed),
            COMMITTING => tenant.uncertain.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        let counter = match ended {
            None => &self.dropped,
            Some(Err(StoreError::TooSlow)) => &self.cut_off,
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(())) => &self.done,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Every commit that was acknowledged is there, and nothing that was not asked for.
    async fn check_writes(&self, owner: &mut PgConnection) {
        let versions: Vec<(Uuid, i64)> =
            sqlx::query_as("select tenant_id, model_version from tenant_crm_configs")
                .fetch_all(owner)
                .await
                .unwrap();
        assert_eq!(versions.len(), TENANTS);
        for (id, version) in versions {
            let tenant = self.tenants.iter().find(|tenant| tenant.id.uuid() == id);
            let tenant = tenant.unwrap();
            let committed = tenant.committed.load(Ordering::Relaxed);
            let uncertain = tenant.uncertain.load(Ordering::Relaxed);
            let advanced = version - 1;
            assert!(
                (committed..=committed + uncertain).contains(&advanced),
                "tenant {id}: {advanced} writes are there, {committed} were acknowledged, of \
                 {uncertain} nobody knows"
            );
        }
    }
}

async fn advance(
    store: &Store,
    tenant: TenantId,
    end: u64,
    stage: &AtomicU8,
) -> Result<(), StoreError> {
    let mut tx = match end {
        1..4 => TenantTx::begin_query(store, tenant, STATEMENT_MILLISECONDS).await?,
        _ => TenantTx::begin(store, tenant).await?,
    };
    model_advance(&mut tx).await?;
    stage.store(WROTE, Ordering::SeqCst);
    match end {
        // Without the hook's message, of which there would be thousands.
        0 => std::panic::resume_unwind(Box::new("on purpose")),
        4 => {
            tokio::time::sleep(Duration::from_millis(3)).await;
            return Ok(());
        }
        5 => return Ok(()),
        _ => {}
    }
    stage.store(COMMITTING, Ordering::SeqCst);
    tx.commit().await?;
    stage.store(COMMITTED, Ordering::SeqCst);
    Ok(())
}

/// Polls as often as that, then lets go.
async fn up_to<T>(operation: impl Future<Output = T>, polls: Option<u64>) -> Option<T> {
    let mut operation = pin!(operation);
    let mut left = polls.unwrap_or(u64::MAX);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        operation.as_mut().poll(context).map(Some)
    })
    .await
}

/// Tenants that the host knows, each with one record and a model that nobody compiles; those
/// with a template choose it themselves.
async fn fill(database: &TestDatabase, tenants: &[Tenant]) {
    let mut owner = PgConnection::connect_with(&database.owner()).await.unwrap();
    let ids: Vec<Uuid> = tenants.iter().map(|tenant| tenant.id.uuid()).collect();
    let records: Vec<Uuid> = tenants.iter().map(|tenant| tenant.record.uuid()).collect();
    sqlx::query(
        "insert into os.tenants (id, name) select id, 'T' from unnest($1::uuid[]) as t (id)",
    )
    .bind(&ids)
    .execute(&mut owner)
    .await
    .unwrap();
    sqlx::query(
        "insert into tenant_crm_configs (
            tenant_id, template_slug, template_version, model_version, selected_at, selected_by)
        select id, 'none', '1.0.0', 1, now(), 'test' from unnest($1::uuid[]) as t (id)",
    )
    .bind(&ids[WITH_TEMPLATE..])
    .execute(&mut owner)
    .await
    .unwrap();
    sqlx::query(
        "insert into crm_records (
            tenant_id, id, module_slug, data, version, owner_id, created_at, created_by,
            updated_at, updated_by)
        select t.tenant, t.id, 'patients', '{}', 1 + t.place % 2, t.tenant::text, now(), 'test',
            now(), 'test'
        from unnest($1::uuid[], $2::uuid[]) with ordinality as t (tenant, id, place)",
    )
    .bind(&ids)
    .bind(&records)
    .execute(&mut owner)
    .await
    .unwrap();
}

/// Looks for forgotten transactions while others work. Panics are seen at the end, by what the
/// connections hold.
async fn watch(database: TestDatabase) {
    let mut owner = PgConnection::connect_with(&database.owner()).await.unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let stale: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
            where datname = current_database() and usename = 'crm_runtime'
                and state like 'idle in transaction%'
                and state_change < clock_timestamp() - make_interval(secs => $1)",
        )
        .bind(STALE.as_secs_f64())
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if stale > 0 {
            eprintln!("{stale} transactions were forgotten");
            std::process::abort();
        }
    }
}

/// All connections of the runtime's role are there, and none is in a transaction.
async fn at_rest(owner: &mut PgConnection) {
    let owner = tokio::sync::Mutex::new(owner);
    wait_until("every connection is at rest", async || {
        let states: Vec<String> = sqlx::query_scalar(
            "select coalesce(state, '') from pg_stat_activity
            where datname = current_database() and usename = 'crm_runtime'",
        )
        .fetch_all(&mut **owner.lock().await)
        .await
        .unwrap();
        !states.is_empty() && states.iter().all(|state| state == "idle")
    })
    .await;
}
