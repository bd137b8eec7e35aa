//! A host, put together: schema up to date, bundled components published, connections as the
//! runtime's role, sandbox, engine.

use anyhow::{Context, Result, bail, ensure};
use crm_engine::effects::worker::DeliverySettings;
use crm_engine::effects::{EffectSettings, SecretKey};
use crm_engine::publish::publish;
use crm_engine::tasks::TaskSettings;
use crm_engine::worker::WorkerSettings;
use crm_engine::{Engine, QuotaSettings};
use crm_model::RoleSlug;
use crm_sandbox::{Sandbox, SandboxSettings};
use crm_server::App;
use crm_server::auth::{
    BrowserSettings, COOKIE_KEY_MIN_BYTES, DevIssuer, IssuerSettings, Issuers, LocalSettings,
    OsRoles,
};
use crm_server::edges::Edges;
use crm_store::admin::{Admin, Published, newest_schema_version};
use crm_store::sessions::RedisSessions;
use crm_store::{Store, StoreSettings};
use rand::TryRngCore;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Database, bundled};

/// Bytes of the development issuer's key (HMAC-SHA-256 wants at least 32).
const DEV_KEY_BYTES: usize = 32;
/// How long running requests and attempts may take to end after the stop.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(15);
/// How long connections may still be taken after it, of that time.
pub(crate) const DRAIN_MAX_SECONDS: u64 = 10;
/// How often to look for workflows whose time has come.
const SCHEDULE_POLL: Duration = Duration::from_secs(1);

/// What to put together.
#[derive(Clone, Debug)]
pub struct HostSettings {
    pub dev_issuer: bool,
    pub serving: ServingSettings,
    /// What tenants may use up.
    pub quotas: QuotaSettings,
    /// The ways to other systems.
    pub effects: EffectSettings,
    pub store: StoreSettings,
    pub sandbox: SandboxSettings,
}

/// How requests are taken.
#[derive(Clone, Debug, Default)]
pub struct ServingSettings {
    /// Whose tokens count beside the development issuer's.
    pub issuers: Vec<IssuerSettings>,
    pub edges: Edges,
    /// Where browsers reach this server.
    pub public_url: Option<reqwest::Url>,
    /// Whether people log in here too, with a password.
    pub local_issuer: bool,
    /// What signs cookies; the database's key if not given.
    pub cookie_key: Option<CookieKey>,
    /// The Redis that keeps sessions; the database does if not given.
    pub redis_url: Option<String>,
}

/// A key that no log shows.
#[derive(Clone)]
pub struct CookieKey(pub String);

impl std::fmt::Debug for CookieKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CookieKey")
    }
}

/// A host that is ready to serve.
pub struct Host {
    pub engine: Engine,
    /// Where it is enabled.
    pub dev_issuer: Option<DevIssuer>,
    /// Whose role lets them act for other tenants; nobody's unless set.
    pub super_admin_role: Option<RoleSlug>,
    /// What the host OS's roles are in the CRM.
    pub os_roles: OsRoles,
    /// How workers deliver what runs ask for.
    pub delivery: DeliverySettings,
    issuers: Issuers,
    edges: Edges,
    browsers: Option<BrowserSettings>,
}

impl Host {
    /// Brings the database up to date and connects to it.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub async fn prepare(
        database: &Database,
        mut settings: HostSettings,
        mut progress: impl FnMut(&str),
    ) -> Result<Self> {
        let mut admin = database.admin().await?;
        migrate(&mut admin, &mut progress).await?;
        let sandbox = Sandbox::new(settings.sandbox)?;
        let owner = admin.is_owner().await?;
        if owner {
            publish_bundled(&mut admin, &sandbox, &mut progress).await?;
        }
        let dev_issuer = match settings.dev_issuer {
            true => Some(dev_issuer(&mut admin).await?),
            false => None,
        };
        let issuers = Issuers::new(dev_issuer.clone())
            .with(std::mem::take(&mut settings.serving.issuers))
            .map_err(anyhow::Error::msg)?;
        let browsers = match settings.serving.local_issuer || issuers.has_logins() {
            true => Some(browsers(&mut admin, &settings.serving).await?),
            false => None,
        };
        if settings.effects.secret_key.is_none() && owner {
            settings.effects.secret_key = Some(secret_key(&mut admin).await?);
        }
        let runtime = match owner {
            true => database.runtime(&mut admin).await?,
            false => crm_store::admin::runtime_options(database.owner_options()),
        };
        let mut store = Store::connect(runtime, settings.store).await?;
        if let Some(url) = &settings.serving.redis_url {
            let redis = RedisSessions::connect(url).await;
            let redis = redis.context("the Redis of REDIS_URL, for sessions, cannot be used")?;
            store = store.with_redis(redis);
        }
        Ok(Self {
            engine: Engine::limited(store, Arc::new(sandbox), settings.quotas)
                .with_effects(settings.effects)
                .map_err(anyhow::Error::msg)?,
            dev_issuer,
            super_admin_role: None,
            os_roles: OsRoles::default(),
            delivery: DeliverySettings::default(),
            issuers,
            edges: settings.serving.edges,
            browsers,
        })
    }

    /// Serves until `stop`, then lets what runs come to its end.
    ///
    /// # Errors
    /// From the listener.
    pub async fn run(
        &self,
        listener: Option<TcpListener>,
        worker: Option<WorkerSettings>,
        stop: CancellationToken,
    ) -> Result<()> {
        let working = worker.map(|settings| {
            let (engine, stop) = (self.engine.clone(), stop.clone());
            let tasks = TaskSettings {
                lease: settings.lease,
                ..TaskSettings::default()
            };
            let delivery = self.delivery;
            tokio::spawn(async move {
                tokio::join!(
                    engine.work(settings, stop.clone()),
                    engine.work_tasks(tasks, stop.clone()),
                    engine.deliver(delivery, stop.clone()),
                    engine.keep_schedules(SCHEDULE_POLL, stop.clone()),
                    engine.keep_run_logs(stop.clone())
                )
            })
        });
        // Until those that use something up have come to their end.
        let books = CancellationToken::new();
        let metering = tokio::spawn({
            let (engine, books) = (self.engine.clone(), books.clone());
            async move {
                tokio::join!(
                    engine.meter(books.clone()),
                    engine.watch_kills(books.clone()),
                    engine.watch_queue(books.clone()),
                    engine.record_hook_failures(books)
                );
            }
        });
        let mut app = App::new(self.engine.clone(), self.issuers.clone())
            .with_edges(self.edges.clone())
            .with_super_admins(self.super_admin_role.clone())
            .with_os_roles(self.os_roles.clone());
        if let Some(browsers) = &self.browsers {
            let with = app.with_browsers(browsers.clone());
            app = with.map_err(anyhow::Error::msg)?;
        }
        let serving =
            listener.map(|listener| tokio::spawn(crm_server::serve(listener, app, stop.clone())));
        let all = async {
            if let Some(serving) = serving {
                serving.await??;
            }
            if let Some(working) = working {
                working.await?;
            }
            books.cancel();
            metering.await?;
            anyhow::Ok(())
        };
        tokio::pin!(all);
        tokio::select! {
            done = &mut all => return done,
            () = stop.cancelled() => {}
        }
        match tokio::time::timeout(SHUTDOWN_MAX, all).await {
            Ok(done) => done,
            Err(_) => {
                tracing::warn!("some requests or runs did not end in time; their leases run out");
                Ok(())
            }
        }
    }
}

/// Brings the schema up to date, if the login may; an old schema that it may not change is an
/// error.
pub(crate) async fn migrate(admin: &mut Admin, mut progress: impl FnMut(&str)) -> Result<()> {
    let newest = newest_schema_version();
    match admin.schema_version().await? {
        Some(version) if version == newest => return Ok(()),
        Some(version) if version > newest => bail!(
            "the database has schema version {version}, newer than this crm's {newest}: use the \
             newer crm"
        ),
        _ => {}
    }
    let steps = admin.migrate().await.context(
        "the database's schema cannot be brought up to date; run `crm migrate` as its owner",
    )?;
    progress(&format!(
        "the schema is at version {newest} ({steps} migrations applied)"
    ));
    Ok(())
}

/// Publishes what the binary brings.
pub(crate) async fn publish_bundled(
    admin: &mut Admin,
    sandbox: &Sandbox,
    mut progress: impl FnMut(&str),
) -> Result<()> {
    for (name, component) in bundled::components() {
        let published = publish(admin, sandbox, component).await;
        let (manifest, published) =
            published.with_context(|| format!("the bundled component “{name}” is refused"))?;
        match published {
            Published::New => progress(&format!("published {name} {}", manifest.version)),
            Published::Unchanged => {}
            Published::Conflict => tracing::warn!(
                plugin.name = name, plugin.version = %manifest.version,
                "another build of this version is published; published versions stay as they are"
            ),
        }
    }
    Ok(())
}

/// The development issuer with the database's key, made on first use.
pub(crate) async fn dev_issuer(admin: &mut Admin) -> Result<DevIssuer> {
    let mut fresh = [0_u8; DEV_KEY_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut fresh)?;
    let key = admin
        .dev_issuer_key(&fresh)
        .await
        .context("the development issuer's key cannot be read; it is the database owner's alone")?;
    Ok(DevIssuer::new(&key))
}

/// The database's key of secrets, made on first use.
async fn secret_key(admin: &mut Admin) -> Result<SecretKey> {
    let mut fresh = [0_u8; SecretKey::MIN_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut fresh)?;
    let key = admin.secret_key(&fresh).await.context(
        "the key of secrets cannot be read; it is the database owner's alone. Set CRM_SECRET_KEY, \
         to the same on all instances",
    )?;
    SecretKey::new(&key).map_err(anyhow::Error::msg)
}

/// How browsers log in, with the database's key of cookies where the operator gives none.
async fn browsers(admin: &mut Admin, serving: &ServingSettings) -> Result<BrowserSettings> {
    let cookie_key = match &serving.cookie_key {
        Some(CookieKey(key)) => {
            ensure!(
                key.len() >= COOKIE_KEY_MIN_BYTES,
                "CRM_COOKIE_KEY has at least {COOKIE_KEY_MIN_BYTES} characters, such as \
                 `openssl rand -hex 32` makes"
            );
            key.clone().into_bytes()
        }
        None => {
            let mut fresh = [0_u8; COOKIE_KEY_MIN_BYTES];
            rand::rngs::OsRng.try_fill_bytes(&mut fresh)?;
            admin.cookie_key(&fresh).await.context(
                "the key of cookies cannot be read; it is the database owner's alone. Set \
                 CRM_COOKIE_KEY, to the same on all instances",
            )?
        }
    };
    let local = match serving.local_issuer {
        true => {
            let tenants = admin.tenants_list().await?;
            let tenant = match tenants.as_slice() {
                [only] => Some(only.id),
                _ => None,
            };
            Some(LocalSettings { tenant })
        }
        false => None,
    };
    Ok(BrowserSettings {
        cookie_key,
        public_url: serving.public_url.clone(),
        local,
    })
}

/// Binds the address, or says who could have it.
pub(crate) async fn listen(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "{address} cannot be listened on (is another crm running?); choose another address \
             with --listen"
        )
    })
}

/// Ends at Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}
