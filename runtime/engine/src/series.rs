//! What plugins do, as metrics: by plugin and tenant, for the first so many pairs that run in this
//! process. What further tenants do counts together, as that of the tenant `other`, so that ten
//! thousand tenants make no more time series than some hundred.

use crm_model::limits::{PLUGIN_SERIES_DEFAULT_PAIRS, PLUGIN_SERIES_MAX_PLUGINS};
use crm_model::{PluginName, TenantId};
use crm_sandbox::ActionReport;
use dashmap::DashSet;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

const OTHER: &str = "other";

/// Which pairs have series of their own.
pub(crate) struct PluginSeries {
    pairs: First<(TenantId, PluginName)>,
    /// Tenants bring plugins of their own along, so their names are bounded too.
    plugins: First<PluginName>,
}

/// The first so many.
struct First<K> {
    most: usize,
    taken: AtomicUsize,
    known: DashSet<K>,
}

impl<K: Eq + Hash> First<K> {
    fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
            known: DashSet::new(),
        }
    }

    /// Whether it is one of them, or has become one.
    fn has(&self, key: K) -> bool {
        if self.known.contains(&key) {
            return true;
        }
        let room = |taken| (taken < self.most).then_some(taken + 1);
        let (done, look) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.taken.fetch_update(done, look, room).is_err() {
            return false;
        }
        if !self.known.insert(key) {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

impl Default for PluginSeries {
    fn default() -> Self {
        Self::new(PLUGIN_SERIES_DEFAULT_PAIRS, PLUGIN_SERIES_MAX_PLUGINS)
    }
}

impl PluginSeries {
    pub(crate) fn new(pairs: usize, plugins: usize) -> Self {
        Self {
            pairs: First::new(pairs),
            plugins: First::new(plugins),
        }
    }

    /// The labels of what a plugin does for a tenant: plugin and tenant.
    fn labels(&self, tenant: TenantId, plugin: &PluginName) -> (String, String) {
        let is_named = self.pairs.has((tenant, plugin.clone()));
        let named = self.pairs.taken.load(Ordering::Relaxed);
        metrics::gauge!("crm_plugin_series_pairs").set(named as f64);
        metrics::gauge!("crm_plugin_series_max_pairs").set(self.pairs.most as f64);
        match is_named {
            true => (plugin.to_string(), tenant.to_string()),
            false if self.plugins.has(plugin.clone()) => (plugin.to_string(), OTHER.to_owned()),
            false => (OTHER.to_owned(), OTHER.to_owned()),
        }
    }

    /// A call came to its end.
    pub(crate) fn ran(&self, tenant: TenantId, plugin: &PluginName, report: &ActionReport) {
        let outcome = match &report.outcome {
            Ok(_) => "done",
            Err(failure) => failure.code(),
        };
        let (plugin, tenant) = self.labels(tenant, plugin);
        let labels = [("plugin", plugin), ("tenant", tenant)];
        metrics::counter!("crm_plugin_fuel_total", &labels).increment(report.fuel);
        metrics::histogram!("crm_plugin_run_seconds", &labels)
            .record(report.duration.as_secs_f64());
        let [plugin, tenant] = labels;
        let labels = [plugin, tenant, ("outcome", outcome.to_owned())];
        metrics::counter!("crm_plugin_runs_total", &labels).increment(1);
    }

    /// Runs went back to the queue untouched: `fuel`, `stopped`, `switched_off` or `left_alone`.
    pub(crate) fn deferred(&self, tenant: TenantId, plugin: &PluginName, reason: &'static str) {
        let (plugin, tenant) = self.labels(tenant, plugin);
        let labels = [
            ("plugin", plugin),
            ("tenant", tenant),
            ("reason", reason.to_owned()),
        ];
        metrics::counter!("crm_plugin_deferred_total", &labels).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_first_pairs_have_series_and_the_rest_are_others() {
        let series = PluginSeries::new(2, 2);
        let tenant = |number| TenantId::new(Uuid::from_u128(number));
        let labels = |number, plugin: &str| series.labels(tenant(number), &plugin.parse().unwrap());
        let named = |number, plugin: &str| (plugin.to_owned(), tenant(number).to_string());
        let other = |plugin: &str| (plugin.to_owned(), OTHER.to_owned());
        assert_eq!(labels(1, "email"), named(1, "email"));
        assert_eq!(labels(2, "email"), named(2, "email"));
        assert_eq!(labels(3, "email"), other("email"));
        assert_eq!(labels(3, "own-3"), other("own-3"));
        assert_eq!(labels(4, "own-4"), other(OTHER));
        assert_eq!(labels(1, "email"), named(1, "email"), "once named, always");
        assert_eq!(labels(5, "email"), other("email"));
    }
}
