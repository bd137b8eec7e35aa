//! Which plugins and hooks of templates run at the moment. A version that was killed runs nowhere;
//! what fails for a tenant again and again is left alone for a while, then tried once. Runs wait
//! meanwhile, and none is lost; a change does not wait for its hook, which counts as having failed.

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::limits::{
    BREAKER_MAX_FAILURES, BREAKER_MAX_PAUSE_SECONDS, BREAKER_PAUSE_SECONDS, KILL_LOOK_SECONDS,
};
use crm_model::model::InstalledPlugin;
use crm_model::{PluginName, TenantId};
use crm_store::plugins::Kill;
use dashmap::DashMap;
use serde::Serialize;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::{Engine, fresh};

/// What this process knows of plugins in trouble.
#[derive(Default)]
pub(crate) struct Breakers {
    tripped: DashMap<Key, Trouble>,
    kills: RwLock<Vec<Kill>>,
}

/// What failures are counted of: what one component does for one tenant. A template's hooks are
/// counted apart, so that one which works does not hide another which does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    tenant: TenantId,
    name: PluginName,
    entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Entry {
    /// An action, or a template's `after-event`.
    Run,
    BeforeSave,
}

impl Key {
    /// Runs of an action, or of a template's `after-event`.
    pub(crate) fn run(tenant: TenantId, name: &PluginName) -> Self {
        Self::of(tenant, name, Entry::Run)
    }

    /// A template's `before-save`.
    pub(crate) fn before_save(tenant: TenantId, name: &PluginName) -> Self {
        Self::of(tenant, name, Entry::BeforeSave)
    }

    fn of(tenant: TenantId, name: &PluginName, entry: Entry) -> Self {
        Self {
            tenant,
            name: name.clone(),
            entry,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    /// Runs in a row that came to nothing because of the plugin.
    failures: u32,
    /// Times in a row that it was left alone.
    pauses: u32,
    until: Option<DateTime<Utc>>,
    /// One run tries whether it works again. Where nothing is heard of it until then, because the
    /// host failed it, another one may.
    probe: Option<DateTime<Utc>>,
}

/// Whether a plugin is left alone, for people to see. Each instance of the host has its own count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerState {
    /// `closed`: it runs; `open`: it is left alone until `until`; `half_open`: one run tries.
    pub state: &'static str,
    /// Runs in a row that failed because of the plugin.
    pub failures: u32,
    pub until: Option<DateTime<Utc>>,
}

/// Why a run has to wait, or a hook is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: DateTime<Utc>,
    /// `stopped`, `switched_off`, `left_alone` or `paused`.
    pub(crate) status: &'static str,
    pub(crate) reason: String,
}

impl Trouble {
    fn wait(&self, name: &PluginName, now: DateTime<Utc>) -> Option<Wait> {
        let until = self.until.filter(|until| now < *until)?;
        Some(Wait {
            until,
            status: "left_alone",
            reason: format!(
                "“{name}” failed {} times in a row and is left alone for a while",
                self.failures
            ),
        })
    }
}

impl Breakers {
    /// Whether it may run for the tenant now. Whoever may is the one that tries, where it failed
    /// before.
    pub(crate) fn check(
        &self,
        key: &Key,
        plugin: &InstalledPlugin,
        now: DateTime<Utc>,
    ) -> Result<(), Wait> {
        let name = &key.name;
        let later = |seconds| now + TimeDelta::seconds(seconds);
        if let Some(reason) = self.killed(name, &plugin.version) {
            return Err(Wait {
                until: later(KILL_LOOK_SECONDS),
                status: "stopped",
                reason: format!("“{name}” {} was stopped: {reason}", plugin.version),
            });
        }
        if !plugin.enabled {
            return Err(Wait {
                until: later(BREAKER_PAUSE_SECONDS),
                status: "switched_off",
                reason: format!("“{name}” is switched off"),
            });
        }
        let Some(mut trouble) = self.tripped.get_mut(key) else {
            return Ok(());
        };
        if let Some(wait) = trouble.wait(name, now) {
            return Err(wait);
        }
        if trouble.until.is_none() {
            return Ok(());
        }
        match trouble.probe {
            Some(end) if now < end => Err(Wait {
                until: end,
                status: "left_alone",
                reason: format!("“{name}” is being tried after it failed"),
            }),
            _ => {
                trouble.probe = Some(later(BREAKER_PAUSE_SECONDS));
                Ok(())
            }
        }
    }

    /// Why whoever was let through has to stop: it failed too often meanwhile.
    pub(crate) fn tripped(&self, key: &Key, now: DateTime<Utc>) -> Option<Wait> {
        let trouble = self.tripped.get(key)?;
        trouble.wait(&key.name, now)
    }

    /// Whether one run tries at the moment.
    pub(crate) fn is_probing(&self, key: &Key) -> bool {
        let trouble = self.tripped.get(key);
        trouble.is_some_and(|trouble| trouble.probe.is_some())
    }

    /// Why a version runs nowhere.
    pub(crate) fn killed(&self, name: &PluginName, version: &semver::Version) -> Option<String> {
        let kills = self.kills.read().unwrap_or_else(PoisonError::into_inner);
        let kill = kills
            .iter()
            .find(|kill| kill.name == name.as_str() && kill.version == version.to_string());
        kill.map(|kill| kill.reason.clone())
    }

    /// A run worked, or failed by no fault of the plugin.
    pub(crate) fn fine(&self, key: &Key) {
        self.tripped.remove(key);
    }

    /// A run came to nothing because of the plugin. Whether that was the one too many.
    pub(crate) fn failed(&self, key: Key, now: DateTime<Utc>) -> bool {
        let mut trouble = self.tripped.entry(key).or_default();
        trouble.failures = trouble.failures.saturating_add(1);
        let is_waiting = trouble.until.is_some_and(|until| now < until);
        if trouble.failures < BREAKER_MAX_FAILURES || is_waiting {
            return false;
        }
        let pause = BREAKER_PAUSE_SECONDS << trouble.pauses.min(8);
        let pause = TimeDelta::seconds(pause.min(BREAKER_MAX_PAUSE_SECONDS));
        trouble.until = Some(now + pause);
        trouble.pauses += 1;
        trouble.probe = None;
        true
    }

    pub(crate) fn state(&self, key: &Key, now: DateTime<Utc>) -> BreakerState {
        let trouble = self.tripped.get(key);
        let trouble = trouble.map(|trouble| *trouble).unwrap_or_default();
        BreakerState {
            state: match trouble.until {
                None => "closed",
                Some(until) if now < until => "open",
                Some(_) => "half_open",
            },
            failures: trouble.failures,
            until: trouble.until,
        }
    }

    fn learn(&self, kills: Vec<Kill>) {
        *self.kills.write().unwrap_or_else(PoisonError::into_inner) = kills;
    }
}

impl Engine {
    /// Looks for versions that were killed, until `stop`: whoever runs this installation says so
    /// in the database, and every instance has to know within seconds.
    pub async fn watch_kills(&self, stop: CancellationToken) {
        let pause = Duration::from_secs(KILL_LOOK_SECONDS.unsigned_abs());
        loop {
            match crm_store::plugins::kills_list(self.store()).await {
                Ok(kills) => self.inner.breakers.learn(kills),
                Err(error) => tracing::warn!(%error, "killed plugins cannot be looked up"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Whether a plugin is left alone for a tenant.
    pub(crate) fn breaker(&self, tenant: TenantId, name: &PluginName) -> BreakerState {
        let key = Key::run(tenant, name);
        self.inner.breakers.state(&key, fresh::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use uuid::Uuid;

    fn plugin() -> (PluginName, InstalledPlugin) {
        let plugin = InstalledPlugin {
            version: semver::Version::new(1, 0, 0),
            digest: String::new(),
            grant: crm_model::Grant::default(),
            settings: Arc::default(),
            enabled: true,
            concurrency: None,
        };
        ("valuation".parse().unwrap(), plugin)
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_plugin_that_fails_again_and_again_is_left_alone_and_tried_once() {
        let (tenant, breakers) = (TenantId::new(Uuid::nil()), Breakers::default());
        let (name, plugin) = plugin();
        let key = Key::run(tenant, &name);
        let check = |seconds| breakers.check(&key, &plugin, at(seconds));
        for _ in 1..BREAKER_MAX_FAILURES {
            assert!(!breakers.failed(key.clone(), at(0)));
            assert!(check(0).is_ok());
        }
        assert!(breakers.failed(key.clone(), at(0)));
        assert!(!breakers.failed(key.clone(), at(1)), "one pause at a time");
        assert!(check(BREAKER_PAUSE_SECONDS - 1).is_err());
        let other = Key::run(TenantId::new(Uuid::max()), &name);
        assert!(breakers.check(&other, &plugin, at(1)).is_ok());
        let hook = Key::before_save(tenant, &name);
        assert!(breakers.check(&hook, &plugin, at(1)).is_ok());

        assert!(check(BREAKER_PAUSE_SECONDS).is_ok(), "one tries");
        assert!(check(BREAKER_PAUSE_SECONDS).is_err(), "only one");
        assert!(breakers.is_probing(&key));
        assert!(breakers.failed(key.clone(), at(BREAKER_PAUSE_SECONDS)));
        assert!(
            check(3 * BREAKER_PAUSE_SECONDS - 1).is_err(),
            "twice as long"
        );
        assert!(check(3 * BREAKER_PAUSE_SECONDS).is_ok());
        assert!(check(3 * BREAKER_PAUSE_SECONDS).is_err());
        assert!(
            check(4 * BREAKER_PAUSE_SECONDS).is_ok(),
            "nothing was heard of the one that tried"
        );
        breakers.fine(&key);
        assert_eq!(breakers.state(&key, at(0)).state, "closed");
    }

    #[test]
    fn what_was_killed_or_switched_off_does_not_run() {
        let (tenant, breakers) = (TenantId::new(Uuid::nil()), Breakers::default());
        let (name, mut plugin) = plugin();
        breakers.learn(vec![Kill {
            name: "valuation".to_owned(),
            version: "1.0.0".to_owned(),
            reason: "it leaks".to_owned(),
        }]);
        let key = Key::before_save(tenant, &name);
        let wait = breakers.check(&key, &plugin, at(0)).unwrap_err();
        assert_eq!(wait.status, "stopped");
        assert!(wait.reason.ends_with("it leaks"), "{}", wait.reason);
        plugin.version = semver::Version::new(1, 0, 1);
        assert!(breakers.check(&key, &plugin, at(0)).is_ok());
        plugin.enabled = false;
        assert!(breakers.check(&key, &plugin, at(0)).is_err());
    }
}
