//! Calling `before-save` of a tenant's template: unless it is stopped or left alone, and then as if
//! it had failed.

use crm_model::hooks::TemplateHooks;
use crm_model::limits::BEFORE_SAVE_MAX_TIMEOUTS;
use crm_model::validate::check_added;
use crm_model::{Model, TenantId};
use crm_sandbox::{HookVerdict, Leftover, Plugin};
use futures::StreamExt;
use futures::stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::breaker::{Key, Wait};
use crate::write::hooks::{Answer, Answered, Hooks, Question};
use crate::{Engine, fresh};

/// Calls for one request that are under way at once.
const REQUEST_MAX_CONCURRENT: usize = 8;

impl Engine {
    /// Asks `before-save` about changes and keeps what it says. No transaction may be open. Of a
    /// single call, what is left of it comes back, to be dropped when there is something to wait
    /// for.
    pub(crate) async fn before_save(
        &self,
        (model, tenant): (&Model, TenantId),
        questions: Vec<Question>,
        hooks: &mut Hooks,
    ) -> Leftover {
        let mut left = Leftover::default();
        let Some(template) = model.hooks() else {
            return left;
        };
        if questions.is_empty() {
            return left;
        }
        let key = Key::before_save(tenant, &template.name);
        let breakers = &self.inner.breakers;
        if let Err(wait) = breakers.check(&key, &template.plugin, fresh::now()) {
            for question in questions {
                let answer = not_called(&question, &wait);
                hooks.keep(question.operation, question.answered(answer));
            }
            return left;
        }
        let is_single = questions.len() == 1;
        let component = self.template_component(tenant, template).await;
        let slow = AtomicUsize::new(0);
        let asked = stream::iter(questions).map(|question| {
            let (component, slow, key) = (&component, &slow, &key);
            async move {
                let (answer, leftover) = match component {
                    Ok(component) => self.ask((model, key), component, &question, slow).await,
                    Err(reason) => without(failed(&question, "unavailable", reason.clone())),
                };
                let leftover = is_single.then_some(leftover);
                (question.operation, question.answered(answer), leftover)
            }
        });
        let answered: Vec<(usize, Answered, Option<Leftover>)> = asked
            .buffer_unordered(REQUEST_MAX_CONCURRENT)
            .collect()
            .await;
        for (operation, answered, leftover) in answered {
            hooks.keep(operation, answered);
            left = leftover.unwrap_or_default();
        }
        left
    }

    async fn template_component(
        &self,
        tenant: TenantId,
        template: &TemplateHooks,
    ) -> Result<Arc<Plugin>, String> {
        let component = self.component(tenant, &template.plugin).await;
        component.map_err(|error| format!("it cannot be loaded: {error}"))
    }

    async fn ask(
        &self,
        (model, key): (&Model, &Key),
        component: &Arc<Plugin>,
        question: &Question,
        slow: &AtomicUsize,
    ) -> (Answer, Leftover) {
        // Whoever sends ten thousand records does not wait for ten thousand hooks to time out.
        if slow.load(Ordering::Relaxed) >= BEFORE_SAVE_MAX_TIMEOUTS {
            let reason = "it was not called, because it took too long over others of this request";
            return without(failed(question, "not_called", reason.to_owned()));
        }
        let breakers = &self.inner.breakers;
        if let Some(wait) = breakers.tripped(key, fresh::now()) {
            return without(not_called(question, &wait));
        }
        let report = self
            .sandbox()
            .before_save(component, Arc::clone(&question.call))
            .await;
        self.fuel_used(model.tenant_id(), report.fuel);
        match &report.verdict {
            Ok(_) => breakers.fine(key),
            Err(failure) if failure.is_fault() => {
                if breakers.failed(key.clone(), fresh::now()) {
                    tracing::warn!(
                        tenant.id = %model.tenant_id(), template = %question.concern.template,
                        "a template's hook fails again and again and is left alone for a while"
                    );
                }
            }
            Err(_) => {}
        }
        let (status, answer) = match report.verdict {
            Ok(HookVerdict::Fine) => ("fine", Answer::Fine),
            Ok(HookVerdict::Objections(objections)) => {
                ("objections", Answer::Objections(objections))
            }
            Ok(HookVerdict::Patch(patch)) => {
                let module = model.module(&question.call.module);
                match module.map_or(Ok(()), |module| check_added(module, &patch)) {
                    Ok(()) => ("patch", Answer::Patch(patch)),
                    Err(reason) => ("misfit", failed(question, "misfit", reason)),
                }
            }
            Err(failure) => {
                if failure.is_stop() {
                    slow.fetch_add(1, Ordering::Relaxed);
                }
                let status = failure.code();
                (status, failed(question, status, failure.to_string()))
            }
        };
        metrics::counter!("crm_hooks_total", "hook" => "before_save", "status" => status)
            .increment(1);
        let seconds = report.duration.as_secs_f64();
        metrics::histogram!("crm_hook_seconds", "hook" => "before_save").record(seconds);
        (answer, report.leftover)
    }
}

/// An answer that no call is left of.
fn without(answer: Answer) -> (Answer, Leftover) {
    (answer, Leftover::default())
}

fn failed(question: &Question, status: &'static str, reason: String) -> Answer {
    question.tell(status, &reason);
    Answer::Failed(reason)
}

fn not_called(question: &Question, wait: &Wait) -> Answer {
    question.tell(wait.status, &wait.reason);
    Answer::Unavailable(wait.reason.clone())
}
