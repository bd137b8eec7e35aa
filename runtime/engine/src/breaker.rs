//! Which plugins run at the moment. A version that was killed runs nowhere; a plugin that fails
//! for a tenant again and again is left alone for a while, then tried once. What they would have
//! done waits, and is lost by neither.

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
    tripped: DashMap<(TenantId, PluginName), Trouble>,
    kills: RwLock<Vec<Kill>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    /// Runs in a row that came to nothing because of the plugin.
    failures: u32,
    /// Times in a row that it was left alone.
    pauses: u32,
    until: Option<DateTime<Utc>>,
    /// One run tries whether it works again.
    probing: bool,
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

/// Why a run has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: DateTime<Utc>,
    pub(crate) reason: String,
    /// In one word, for those who count.
    pub(crate) code: &'static str,
}

impl Breakers {
    /// Whether a plugin may run for a tenant now.
    pub(crate) fn check(
        &self,
        tenant: TenantId,
        name: &PluginName,
        plugin: &InstalledPlugin,
        now: DateTime<Utc>,
    ) -> Result<(), Wait> {
        let later = |seconds| now + TimeDelta::seconds(seconds);
        if let Some(reason) = self.killed(name, &plugin.version) {
            return Err(Wait {
                until: later(KILL_LOOK_SECONDS),
                reason: format!("“{name}” {} was stopped: {reason}", plugin.version),
                code: "stopped",
            });
        }
        if !plugin.enabled {
            return Err(Wait {
                until: later(BREAKER_PAUSE_SECONDS),
                reason: format!("“{name}” is switched off"),
                code: "off",
            });
        }
        let Some(mut trouble) = self.tripped.get_mut(&(tenant, name.clone())) else {
            return Ok(());
        };
        match trouble.until {
            None => Ok(()),
            Some(until) if now < until => Err(Wait {
                until,
                reason: format!(
                    "“{name}” failed {} times in a row and is left alone for a while",
                    trouble.failures
                ),
                code: "left_alone",
            }),
            Some(_) if trouble.probing => Err(Wait {
                until: later(BREAKER_PAUSE_SECONDS),
                reason: format!("“{name}” is being tried after it failed"),
                code: "left_alone",
            }),
            Some(_) => {
                trouble.probing = true;
                Ok(())
            }
        }
    }

    /// Why a version runs nowhere.
    pub(crate) fn killed(&self, name: &PluginName, version: &semver::Version) -> Option<String> {
        let kills = self.kills.read().unwrap_or_else(PoisonError::into_inner);
        let version = version.to_string();
        let kill = kills
            .iter()
            .find(|kill| kill.name == name.as_str() && kill.version == version);
        kill.map(|kill| kill.reason.clone())
    }

    /// A run worked, or failed by no fault of the plugin.
    pub(crate) fn fine(&self, tenant: TenantId, name: &PluginName) {
        self.tripped.remove(&(tenant, name.clone()));
    }

    /// A run came to nothing because of the plugin. Whether that was the one too many.
    pub(crate) fn failed(&self, tenant: TenantId, name: &PluginName, now: DateTime<Utc>) -> bool {
        let mut trouble = self.tripped.entry((tenant, name.clone())).or_default();
        trouble.failures = trouble.failures.saturating_add(1);
        if trouble.failures < BREAKER_MAX_FAILURES && !trouble.probing {
            return false;
        }
        let pause = BREAKER_PAUSE_SECONDS << trouble.pauses.min(8);
        let pause = TimeDelta::seconds(pause.min(BREAKER_MAX_PAUSE_SECONDS));
        trouble.until = Some(now + pause);
        trouble.pauses += 1;
        trouble.probing = false;
        true
    }

    pub(crate) fn state(
        &self,
        tenant: TenantId,
        name: &PluginName,
        now: DateTime<Utc>,
    ) -> BreakerState {
        let trouble = self.tripped.get(&(tenant, name.clone()));
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
        self.inner.breakers.state(tenant, name, fresh::now())
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
        let check = |seconds| breakers.check(tenant, &name, &plugin, at(seconds));
        for _ in 1..BREAKER_MAX_FAILURES {
            assert!(!breakers.failed(tenant, &name, at(0)));
            assert!(check(0).is_ok());
        }
        assert!(breakers.failed(tenant, &name, at(0)));
        assert!(check(BREAKER_PAUSE_SECONDS - 1).is_err());
        let other = TenantId::new(Uuid::max());
        assert!(breakers.check(other, &name, &plugin, at(1)).is_ok());

        assert!(check(BREAKER_PAUSE_SECONDS).is_ok(), "one tries");
        assert!(check(BREAKER_PAUSE_SECONDS).is_err(), "only one");
        assert!(breakers.failed(tenant, &name, at(BREAKER_PAUSE_SECONDS)));
        assert!(
            check(3 * BREAKER_PAUSE_SECONDS - 1).is_err(),
            "twice as long"
        );
        assert!(check(3 * BREAKER_PAUSE_SECONDS).is_ok());
        breakers.fine(tenant, &name);
        assert_eq!(breakers.state(tenant, &name, at(0)).state, "closed");
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
        let wait = breakers.check(tenant, &name, &plugin, at(0)).unwrap_err();
        assert!(wait.reason.ends_with("it leaks"), "{}", wait.reason);
        plugin.version = semver::Version::new(1, 0, 1);
        assert!(breakers.check(tenant, &name, &plugin, at(0)).is_ok());
        plugin.enabled = false;
        assert!(breakers.check(tenant, &name, &plugin, at(0)).is_err());
    }
}
