//! One PostgreSQL server for the process, and one sandbox; made by the first test that asks.

use crm_cli::postgres::{PrivatePostgres, Settings};
use crm_sandbox::{CacheKey, CodeCache, GuestLimits, Sandbox, SandboxSettings};
use crm_store::PgConnectOptions;
use crm_store::admin::Admin;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

const TEMPLATE: &str = "crm_template";
/// Enough for as many tests as run side by side.
const MAX_CONNECTIONS: u16 = 300;

/// The server, and what tests share.
pub struct Cluster {
    server: PrivatePostgres,
    sandbox: Arc<Sandbox>,
    databases: AtomicU32,
    /// The server's process belongs to it.
    _runtime: Runtime,
}

/// The process's cluster.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // Tests have runtimes of their own, which end with them.
        std::thread::spawn(start)
            .join()
            .expect("the cluster starts")
    })
}

/// The directory for what tests leave behind: `target`.
pub fn target_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("this executable");
    let profile = executable
        .ancestors()
        .nth(2)
        .expect("target/debug/deps/test");
    profile.parent().expect("target").to_owned()
}

fn start() -> Cluster {
    let runtime = Runtime::new().expect("a runtime");
    let (server, sandbox) = runtime.block_on(async {
        let settings = Settings {
            durable: false,
            max_connections: MAX_CONNECTIONS,
        };
        let parent = std::env::temp_dir();
        let server = PrivatePostgres::temporary(&parent, settings, |line| eprintln!("{line}"));
        let server = server.await.expect("a private PostgreSQL");
        let sandbox = sandbox();
        create_database(&server, TEMPLATE, "template0").await;
        let options = server.connect_options().database(TEMPLATE);
        prepare(&options, server.password(), Arc::clone(&sandbox)).await;
        (server, sandbox)
    });
    Cluster {
        server,
        sandbox,
        databases: AtomicU32::new(0),
        _runtime: runtime,
    }
}

/// Brings a database's schema up to date, lets the runtime's role log in, and publishes every
/// component that tests publish.
pub async fn prepare(owner: &PgConnectOptions, password: &str, sandbox: Arc<Sandbox>) {
    let mut admin = Admin::connect(owner).await.expect("the database");
    admin.migrate().await.expect("migrations");
    admin
        .allow_runtime_login(password)
        .await
        .expect("the runtime's role");
    let publishing = tokio::spawn(async move {
        for component in crate::guests::components() {
            crm_engine::publish::publish(&mut admin, &sandbox, component)
                .await
                .expect("a component is published");
        }
    });
    publishing.await.expect("published");
}

/// Compiled code that tests share, from one run to the next. Its key is no secret, because nobody
/// but tests writes there.
pub fn code_cache() -> CodeCache {
    CodeCache {
        directory: target_dir().join("test-cache"),
        key: CacheKey::new([7; 32]),
    }
}

fn sandbox() -> Arc<Sandbox> {
    let settings = SandboxSettings {
        cache: Some(code_cache()),
        // Time enough for a machine that is busy with something else.
        limits: GuestLimits {
            before_save_max: Duration::from_secs(10),
            ..GuestLimits::default()
        },
        ..SandboxSettings::default()
    };
    Arc::new(Sandbox::new(settings).expect("a sandbox"))
}

async fn create_database(server: &PrivatePostgres, name: &str, template: &str) {
    let mut connection = PgConnection::connect_with(&server.connect_options())
        .await
        .expect("the server");
    let statement = format!("create database {name} template {template}");
    connection
        .execute(sqlx::query(AssertSqlSafe(statement)))
        .await
        .expect("a database");
}

/// A database of one test.
#[derive(Clone)]
pub struct TestDatabase {
    pub name: String,
}

impl Cluster {
    /// A fresh database with schema and components.
    pub async fn database(&self) -> TestDatabase {
        self.copy_of(TEMPLATE).await
    }

    /// A fresh database with nothing in it.
    pub async fn blank_database(&self) -> TestDatabase {
        self.copy_of("template0").await
    }

    async fn copy_of(&self, template: &str) -> TestDatabase {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("crm_test_{number}");
        create_database(&self.server, &name, template).await;
        TestDatabase { name }
    }

    /// The compiled components, shared.
    pub fn sandbox(&self) -> Arc<Sandbox> {
        Arc::clone(&self.sandbox)
    }
}

impl TestDatabase {
    /// As the owner.
    pub fn owner(&self) -> PgConnectOptions {
        cluster().server.connect_options().database(&self.name)
    }

    /// As the runtime's role, logged in as itself.
    pub fn runtime(&self) -> PgConnectOptions {
        self.owner()
            .username("crm_runtime")
            .password(cluster().server.password())
    }

    /// For a process of its own.
    pub fn url(&self) -> String {
        let (password, port) = (cluster().server.password(), cluster().server.port());
        format!(
            "postgres://postgres:{password}@127.0.0.1:{port}/{}",
            self.name
        )
    }
}
