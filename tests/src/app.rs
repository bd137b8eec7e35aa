//! The real server on a database of its own.

use crm_engine::effects::worker::DeliverySettings;
use crm_engine::effects::{EffectSettings, SecretKey};
use crm_engine::tasks::TaskSettings;
use crm_engine::worker::WorkerSettings;
use crm_engine::{Engine, QuotaSettings};
use crm_model::limits::DELIVERY_PAUSES;
use crm_model::{Actor, TenantId};
use crm_server::App;
use crm_server::auth::{BrowserSettings, DevIssuer, Issuers, LocalSettings};
use crm_store::admin::Admin;
use crm_store::sessions::RedisSessions;
use crm_store::{Store, StoreSettings};
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::Client;
use crate::cluster::{TestDatabase, cluster};

/// The key of tests' development issuer.
pub const DEV_KEY: &[u8] = b"a key for tests only, 32 bytes...";

/// Who may act for other tenants.
pub const SUPER_ADMIN: &str = "super_admin";

/// How browsers log in, here too.
pub fn browsers() -> BrowserSettings {
    BrowserSettings {
        cookie_key: b"another key for tests only, 32 bytes".to_vec(),
        public_url: None,
        local: Some(LocalSettings::default()),
    }
}

/// A server in this process; stops when it is dropped.
pub struct TestApp {
    pub database: TestDatabase,
    pub engine: Engine,
    pub issuer: DevIssuer,
    pub base: String,
    stop: CancellationToken,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A worker that does not make tests wait.
pub fn eager_worker() -> WorkerSettings {
    WorkerSettings {
        poll: Duration::from_millis(20),
        backoff: Duration::from_millis(5),
        ..WorkerSettings::default()
    }
}

/// A runner of tasks that does not make tests wait.
pub fn eager_tasks() -> TaskSettings {
    TaskSettings {
        poll: Duration::from_millis(20),
        backoff: Duration::from_millis(5),
        ..TaskSettings::default()
    }
}

/// As many pauses as there are.
const IMPATIENT: [Duration; DELIVERY_PAUSES.len()] =
    [Duration::from_millis(5); DELIVERY_PAUSES.len()];

/// A deliverer of effects that does not make tests wait.
pub fn eager_delivery() -> DeliverySettings {
    DeliverySettings {
        poll: Duration::from_millis(20),
        backoff: Duration::from_millis(5),
        patience: &IMPATIENT,
        ..DeliverySettings::default()
    }
}

/// A host that keeps secrets, and sends nothing to private addresses.
pub fn effects() -> EffectSettings {
    EffectSettings {
        secret_key: SecretKey::new(b"a third key for tests only, 32 bytes").ok(),
        ..EffectSettings::default()
    }
}

impl TestApp {
    /// A server with a worker, on a fresh database.
    pub async fn start() -> Self {
        Self::start_on(cluster().database().await).await
    }

    /// A server with a worker, on this database.
    pub async fn start_on(database: TestDatabase) -> Self {
        Self::on(database, Some(eager_worker())).await
    }

    /// A server on this database, with a worker or without.
    pub async fn on(database: TestDatabase, worker: Option<WorkerSettings>) -> Self {
        Self::metered(database, worker, QuotaSettings::default()).await
    }

    /// The same with these quotas.
    pub async fn metered(
        database: TestDatabase,
        worker: Option<WorkerSettings>,
        quotas: QuotaSettings,
    ) -> Self {
        Self::with(database, worker, quotas, None, effects()).await
    }

    /// A server on this database with these ways to other systems, with a worker or without.
    pub async fn reaching(
        database: TestDatabase,
        worker: Option<WorkerSettings>,
        effects: EffectSettings,
    ) -> Self {
        Self::with(database, worker, QuotaSettings::default(), None, effects).await
    }

    /// A server with its sessions in this Redis, on a fresh database.
    pub async fn with_redis(url: &str) -> Self {
        let redis = RedisSessions::connect(url).await.expect("a redis");
        let database = cluster().database().await;
        Self::with(
            database,
            None,
            QuotaSettings::default(),
            Some(redis),
            effects(),
        )
        .await
    }

    async fn with(
        database: TestDatabase,
        worker: Option<WorkerSettings>,
        quotas: QuotaSettings,
        redis: Option<RedisSessions>,
        effects: EffectSettings,
    ) -> Self {
        // RUST_LOG=warn shows what the server has to say.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let settings = StoreSettings {
            statement_connections: 4,
            transaction_connections: 4,
            ..StoreSettings::default()
        };
        let mut store = Store::connect(database.runtime(), settings)
            .await
            .expect("a store");
        if let Some(redis) = redis {
            store = store.with_redis(redis);
        }
        let engine = Engine::limited(store, cluster().sandbox(), quotas)
            .with_effects(effects)
            .expect("settings");
        let issuer = DevIssuer::new(DEV_KEY);
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let app = App::new(engine.clone(), Issuers::new(Some(issuer.clone())))
            .with_super_admins(SUPER_ADMIN.parse().ok())
            .with_browsers(browsers())
            .expect("settings");
        tokio::spawn(crm_server::serve(listener, app, stop.clone()));
        let (metering, stopped) = (engine.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::join!(
                metering.meter(stopped.clone()),
                metering.watch_kills(stopped.clone()),
                metering.record_hook_failures(stopped)
            );
        });
        if let Some(settings) = worker {
            let (working, stopped) = (engine.clone(), stop.clone());
            tokio::spawn(async move { working.work(settings, stopped).await });
            let (working, stopped) = (engine.clone(), stop.clone());
            tokio::spawn(async move { working.work_tasks(eager_tasks(), stopped).await });
            let (working, stopped) = (engine.clone(), stop.clone());
            tokio::spawn(async move { working.deliver(eager_delivery(), stopped).await });
            let (working, stopped) = (engine.clone(), stop.clone());
            let poll = Duration::from_millis(20);
            tokio::spawn(async move { working.keep_schedules(poll, stopped).await });
        }
        Self {
            database,
            engine,
            issuer,
            base,
            stop,
        }
    }

    /// Another server on the same engine, which trusts these issuers alone. Its base URL.
    pub async fn serve(&self, app: impl FnOnce(App) -> App, issuers: Issuers) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let app = app(App::new(self.engine.clone(), issuers));
        tokio::spawn(crm_server::serve(listener, app, self.stop.clone()));
        base
    }

    /// Another server beside this one, on connections of its own to the same database.
    pub async fn second(&self) -> String {
        let settings = StoreSettings {
            statement_connections: 2,
            transaction_connections: 2,
            ..StoreSettings::default()
        };
        let store = Store::connect(self.database.runtime(), settings).await;
        let engine = Engine::new(store.expect("a store"), cluster().sandbox());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let app = App::new(engine, Issuers::new(Some(self.issuer.clone())));
        let app = app.with_browsers(browsers()).expect("settings");
        tokio::spawn(crm_server::serve(listener, app, self.stop.clone()));
        base
    }

    /// A tenant that the host knows, without a template.
    pub async fn tenant(&self, name: &str) -> TenantId {
        let mut admin = Admin::connect(&self.database.owner())
            .await
            .expect("the owner");
        let tenant = TenantId::new(Uuid::now_v7());
        admin.tenant_create(tenant, name).await.expect("a tenant");
        tenant
    }

    /// A token.
    pub fn token(&self, tenant: TenantId, role: &str) -> String {
        let roles = vec![role.parse().expect("a role")];
        let actor = Actor::person(format!("{role}-1").parse().expect("a user"), roles);
        self.issuer
            .sign(tenant, &actor, Duration::from_secs(600))
            .expect("a token")
    }

    /// Somebody of a tenant.
    pub fn client(&self, tenant: TenantId, role: &str) -> Client {
        Client::new(&self.base, Some(self.token(tenant, role)))
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.base, None)
    }

    /// The owner of a new tenant that has picked a template.
    pub async fn owner_of(&self, template: &str) -> (TenantId, Client) {
        let tenant = self.tenant(template).await;
        let owner = self.client(tenant, "owner");
        owner
            .post("templates/select", json!({ "template_id": template }))
            .await
            .expect(201);
        (tenant, owner)
    }
}
