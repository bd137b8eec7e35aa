//! `/workflows/{id}/test`: what a workflow would do.

use axum::Json;
use axum::extract::{Path, State};
use crm_engine::trial::{BackTest, Deed, Trial};
use crm_model::{Data, RecordId, Violations, WorkflowSlug};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::problem::{Problem, ProblemBody};
use crate::routes::workflow_versions::edition;

/// What somebody would do, or how many of the newest events to look at: exactly one of `create`,
/// `record_id`, `payload` and `last`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestInput {
    /// The data of a record that would be created.
    #[schema(value_type = Option<Object>)]
    create: Option<Data>,
    /// A record that would be changed or deleted, or that whatever starts the workflow happens to.
    #[schema(value_type = Option<String>)]
    record_id: Option<RecordId>,
    /// How it would be changed: a merge patch.
    #[schema(value_type = Option<Object>)]
    update: Option<Data>,
    #[serde(default)]
    delete: bool,
    /// What would come with an event that is of no record: of a request `{"body": …}`, and `{}` of a
    /// time by the clock.
    #[schema(value_type = Option<Object>)]
    payload: Option<Data>,
    /// Looks at so many of the newest events of the module, and says which of them would have
    /// started it.
    #[schema(minimum = 1, maximum = 50)]
    last: Option<u32>,
    /// Which definition: a version's number, 0 for the template's own, or `draft`. The draft where
    /// there is one, else what is live.
    edition: Option<String>,
}

/// What it would do, or would have been started by.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Tested {
    Trial(Trial),
    BackTest(BackTest),
}

/// Tries a workflow, and leaves no trace. Its actions are called as in a run, on what the record
/// would be; each one's changes are checked as if those before it had been made, and none is. What
/// an action looks up, it finds as it is; nothing goes out, delays are not waited for, a failed
/// action is not tried again, and loops take the first five records. For those who manage
/// everything.
#[utoipa::path(post, path = "/workflows/{id}/test", tag = "workflows",
    params(("id" = String, Path)),
    request_body = TestInput,
    responses(
        (status = 200, body = Object),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn workflow_test(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(input): Body<TestInput>,
) -> Result<Json<Tested>, Problem> {
    let slug: WorkflowSlug = segment(&id)?;
    let which = input.edition.as_deref();
    let which = which.map(|text| edition("edition", text)).transpose()?;
    let (tenant, actor, of) = (caller.tenant, &caller.actor, (&slug, which));
    let changes_nothing = input.update.is_none() && !input.delete;
    let deed = match (input.create, input.record_id, input.payload, input.last) {
        (Some(data), None, None, None) if changes_nothing => Deed::Create(data),
        (None, None, Some(payload), None) if changes_nothing => Deed::Tell(payload.into()),
        (None, Some(record), None, None) => match (input.update, input.delete) {
            (Some(patch), false) => Deed::Update(record, patch),
            (None, true) => Deed::Delete(record),
            (None, false) => Deed::Nothing(record),
            (Some(_), true) => return Err(one_of("either `update` or `delete`")),
        },
        (None, None, None, Some(last)) if changes_nothing => {
            let found = app.engine.workflow_back_test(tenant, actor, of, last);
            return Ok(Json(Tested::BackTest(found.await?)));
        }
        _ => {
            return Err(one_of(
                "exactly one of `create`, `record_id` (with `update` or `delete`), `payload` and \
                 `last`",
            ));
        }
    };
    let trial = app.engine.workflow_trial(tenant, actor, of, deed);
    Ok(Json(Tested::Trial(trial.await?)))
}

fn one_of(message: &str) -> Problem {
    Problem::invalid(Violations::one("", "one_of", message))
}
