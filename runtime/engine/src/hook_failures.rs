//! What became of changes whose hook failed, for those who manage the tenant. A refused change
//! leaves nothing behind, so its failure is noted in memory and written down apart, within a
//! second; a change whose hook works costs nothing. Of many failures in a minute the first are
//! kept one by one and the others counted: a flood of bad changes is no flood of rows.

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::hooks::{OnFailure, SaveKind};
use crm_model::limits::{HOOK_FAILURES_MAX_KEPT, HOOK_FAILURES_MAX_PER_MINUTE};
use crm_model::permission::manages_all;
use crm_model::{Actor, HookFailureId, ModuleSlug, PluginName, RecordId, TenantId, UserId};
use crm_store::hook_failures::{HookFailure, hook_failures_insert, hook_failures_page};
use crm_store::{StoreError, TenantTx};
use dashmap::DashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::read::{Page, PageRequest};
use crate::{Engine, EngineError, fresh};

/// How often they are written down.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// Failures that are not written down yet.
#[derive(Debug, Default)]
pub(crate) struct HookFailures {
    tenants: DashMap<TenantId, Minute>,
}

/// A tenant's failures of a minute, which begins with the first.
#[derive(Debug)]
struct Minute {
    ends: DateTime<Utc>,
    /// How many were kept one by one.
    kept: usize,
    waiting: Vec<HookFailure>,
    /// Stands for all others.
    rest: Option<HookFailure>,
}

impl Minute {
    fn beginning(at: DateTime<Utc>) -> Self {
        Self {
            ends: at + TimeDelta::minutes(1),
            kept: 0,
            waiting: Vec::new(),
            rest: None,
        }
    }
}

/// The change that a hook is asked about, as far as its failure is told.
#[derive(Clone, Debug)]
pub(crate) struct Concern {
    pub(crate) tenant: TenantId,
    pub(crate) template: PluginName,
    pub(crate) version: semver::Version,
    pub(crate) module: ModuleSlug,
    pub(crate) kind: SaveKind,
    /// None for a new record.
    pub(crate) record_id: Option<RecordId>,
    pub(crate) user: UserId,
    pub(crate) on_failure: OnFailure,
}

impl HookFailures {
    /// A hook failed. The reason is for people to read, and holds no values of records.
    pub(crate) fn tell(&self, concern: &Concern, status: &'static str, reason: &str) {
        let policy = concern.on_failure.name();
        metrics::counter!("crm_hook_failures_total", "status" => status, "on_failure" => policy)
            .increment(1);
        tracing::warn!(
            tenant.id = %concern.tenant, template = %concern.template, reason, status,
            on_failure = policy, "a template's hook failed"
        );
        self.note(concern.tenant, failure(concern, status, reason));
    }

    fn note(&self, tenant: TenantId, failure: HookFailure) {
        let at = failure.at;
        let minute = self.tenants.entry(tenant);
        let mut minute = minute.or_insert_with(|| Minute::beginning(at));
        let minute = minute.value_mut();
        if at >= minute.ends {
            // What was not written down yet stays, so it bounds what is kept.
            minute.kept = minute.waiting.len();
            minute.ends = at + TimeDelta::minutes(1);
        }
        if minute.kept < HOOK_FAILURES_MAX_PER_MINUTE {
            minute.kept += 1;
            minute.waiting.push(failure);
            return;
        }
        let before = minute.rest.as_ref().map_or(0, |rest| rest.failures);
        minute.rest = Some(HookFailure {
            failures: before + failure.failures,
            ..failure
        });
    }

    /// What is to be written down now; at the end, all.
    fn take(&self, now: DateTime<Utc>, all: bool) -> Vec<(TenantId, Vec<HookFailure>)> {
        let mut taken = Vec::new();
        self.tenants.retain(|tenant, minute| {
            let mut failures = std::mem::take(&mut minute.waiting);
            let is_over = all || now >= minute.ends;
            if is_over {
                failures.extend(minute.rest.take());
            }
            if !failures.is_empty() {
                taken.push((*tenant, failures));
            }
            !is_over
        });
        taken
    }
}

fn failure(concern: &Concern, status: &'static str, reason: &str) -> HookFailure {
    HookFailure {
        id: fresh::id(),
        at: fresh::now(),
        template_slug: concern.template.to_string(),
        template_version: concern.version.to_string(),
        module_slug: concern.module.to_string(),
        kind: match concern.kind {
            SaveKind::Create => "create",
            SaveKind::Update => "update",
        }
        .to_owned(),
        record_id: concern.record_id.map(RecordId::uuid),
        user_id: concern.user.to_string(),
        status: status.to_owned(),
        outcome: match concern.on_failure {
            OnFailure::Refuse => "refused",
            OnFailure::Ignore => "passed",
        }
        .to_owned(),
        reason: reason.to_owned(),
        failures: 1,
    }
}

impl Engine {
    pub(crate) fn hook_failures(&self) -> &Arc<HookFailures> {
        &self.inner.hook_failures
    }

    /// Writes down which hooks failed, until `stop`, and then what is left.
    pub async fn record_hook_failures(&self, stop: CancellationToken) {
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(WRITE_PAUSE) => false,
                () = stop.cancelled() => true,
            };
            for (tenant, failures) in self.hook_failures().take(fresh::now(), is_last) {
                if let Err(error) = self.hook_failures_write(tenant, &failures).await {
                    tracing::warn!(tenant.id = %tenant, %error, "failures of hooks are not kept");
                }
            }
            if is_last {
                return;
            }
        }
    }

    async fn hook_failures_write(
        &self,
        tenant: TenantId,
        failures: &[HookFailure],
    ) -> Result<(), StoreError> {
        // Of a tenant that was suspended meanwhile, too.
        let mut tx = TenantTx::begin_audit(self.store(), tenant).await?;
        hook_failures_insert(&mut tx, failures, HOOK_FAILURES_MAX_KEPT).await?;
        tx.commit().await
    }

    /// A page of failures of the template's `before-save`, newest first, for those who manage
    /// everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn hook_failures_list(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<HookFailureId>,
    ) -> Result<Page<HookFailure>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        if !model.is_some_and(|model| manages_all(&model, actor)) {
            return Err(EngineError::Forbidden(
                "failures of hooks are for those who manage everything",
            ));
        }
        let rows = hook_failures_page(&mut tx, page.before, page.limit + 1).await?;
        Ok(Page::cut(rows, page.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn concern() -> Concern {
        Concern {
            tenant: TenantId::new(Uuid::nil()),
            template: "hospital".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            module: "patients".parse().unwrap(),
            kind: SaveKind::Create,
            record_id: None,
            user: "ada".parse().unwrap(),
            on_failure: OnFailure::Refuse,
        }
    }

    fn at(seconds: i64) -> HookFailure {
        HookFailure {
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
            ..failure(&concern(), "trapped", "it trapped")
        }
    }

    fn counts(failures: &HookFailures, seconds: i64, all: bool) -> Vec<i64> {
        let taken = failures.take(at(seconds).at, all);
        let rows = taken.into_iter().flat_map(|(_, rows)| rows);
        rows.map(|row| row.failures).collect()
    }

    #[test]
    fn of_many_failures_in_a_minute_the_first_are_kept_and_all_are_counted() {
        let (failures, tenant) = (HookFailures::default(), concern().tenant);
        for _ in 0..HOOK_FAILURES_MAX_PER_MINUTE + 5 {
            failures.note(tenant, at(0));
        }
        let kept = vec![1; HOOK_FAILURES_MAX_PER_MINUTE];
        assert_eq!(counts(&failures, 1, false), kept);
        failures.note(tenant, at(2));
        assert_eq!(
            counts(&failures, 59, false),
            [0; 0],
            "the minute is not over"
        );
        assert_eq!(counts(&failures, 60, false), [6]);
        failures.note(tenant, at(61));
        assert_eq!(
            counts(&failures, 61, false),
            [1],
            "the next minute has its own"
        );

        // Where nobody writes them down, they do not pile up.
        for second in 0..10_000 {
            failures.note(tenant, at(100 + second));
        }
        let left = counts(&failures, 10_100, true);
        assert_eq!(left.len(), HOOK_FAILURES_MAX_PER_MINUTE + 1);
        assert_eq!(left.iter().sum::<i64>(), 10_000);
        assert!(failures.tenants.is_empty());
    }
}
