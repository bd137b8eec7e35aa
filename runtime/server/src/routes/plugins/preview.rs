//! `POST /plugins/{name}/preview`: what a version would do.

use axum::Json;
use axum::extract::{Path, State};
use crm_engine::EngineError;
use crm_engine::plugins::PreviewRequest;
use crm_model::{Capabilities, EventKind, ModuleSlug, RecordId, Violations};
use semver::Version;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::problem::{Problem, ProblemBody};

/// What to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PluginPreview)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewBody {
    /// The version to try; the installed one unless given.
    #[schema(value_type = Option<String>, example = "1.1.0")]
    version: Option<Version>,
    /// The module whose records or events are looked at.
    #[schema(value_type = String)]
    module: ModuleSlug,
    /// One record, as if it had just been changed.
    #[schema(value_type = Option<String>)]
    record_id: Option<RecordId>,
    /// Instead of a record: that many of the module's newest events, 1 to 50.
    last: Option<u32>,
    /// With a record: `record_created`, `record_updated` (unless given) or `record_deleted`.
    #[schema(value_type = Option<String>)]
    kind: Option<EventKind>,
    /// The step's configuration; that of the module's first workflow with the plugin unless given.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
    /// What it would be granted; what it is granted unless given.
    #[schema(value_type = Option<Object>)]
    grants: Option<Capabilities>,
}

impl PreviewBody {
    fn request(self) -> Result<PreviewRequest, Problem> {
        let of_records = [
            EventKind::RecordCreated,
            EventKind::RecordUpdated,
            EventKind::RecordDeleted,
        ];
        let kind = self.kind.unwrap_or(EventKind::RecordUpdated);
        let mut violations = Violations::default();
        if !of_records.contains(&kind) {
            let message = "use record_created, record_updated or record_deleted";
            violations.add("/kind".to_owned(), "enum", message);
        }
        if self.record_id.is_some() == self.last.is_some() {
            let message = "send either record_id or last";
            violations.add("/record_id".to_owned(), "required", message);
        }
        violations.into_result().map_err(Problem::invalid)?;
        Ok(PreviewRequest {
            version: self.version,
            module: self.module,
            record: self.record_id,
            last: self.last.unwrap_or_default(),
            kind,
            config: self.config,
            grants: self.grants,
        })
    }
}

/// Runs a version over a record or the newest events and takes its mutations through the door, up
/// to the commit and no further: the changes that would be made, violations included, effects,
/// fuel, memory and log of each run. For another version than the installed one also what the
/// installed one does, and in what they differ.
#[utoipa::path(post, path = "/plugins/{name}/preview", tag = "plugins",
    params(("name" = String, Path)),
    request_body = PreviewBody,
    responses(
        (status = 200, body = Object),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn plugin_preview(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<PreviewBody>,
) -> Result<Json<Value>, Problem> {
    let request = body.request()?;
    let preview = app
        .engine
        .plugin_preview(caller.tenant, &caller.actor, &segment(&name)?, &request)
        .await?;
    serde_json::to_value(&preview)
        .map(Json)
        .map_err(|error| EngineError::Internal(error.to_string()).into())
}
