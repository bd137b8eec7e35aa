//! `/settings`: what holds for all of the tenant.

use axum::Json;
use axum::extract::State;
use crm_model::Data;
use crm_model::business_hours::BusinessHours;
use crm_model::overlay::ModelChange;
use crm_model::settings::Settings;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Body;
use crate::problem::{Problem, ProblemBody};

/// The tenant's settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct SettingsBody {
    /// In which days begin and end: a name of the IANA time zone database.
    #[schema(example = "Europe/Berlin")]
    time_zone: &'static str,
    /// In which search reduces words: a text search configuration of PostgreSQL.
    #[schema(example = "german")]
    language: String,
    /// Spans of each day of the week, such as `["09:00", "17:00"]`, and `holidays`: what workflows
    /// wait for where they wait for business hours.
    #[schema(value_type = Object)]
    business_hours: BusinessHours,
    /// For how many days runs that ended, and the log of runs, are kept; null: for as long as the
    /// operator keeps them.
    run_log_days: Option<u32>,
    /// For how many days the operator keeps them at most.
    run_log_max_days: u32,
}

impl SettingsBody {
    fn of(app: &App, settings: &Settings) -> Self {
        Self {
            time_zone: settings.time_zone.name(),
            language: settings.language.clone(),
            business_hours: settings.business_hours.clone(),
            run_log_days: settings.run_log_days,
            run_log_max_days: app.engine.run_log_days(),
        }
    }
}

/// The tenant's settings.
#[utoipa::path(get, path = "/settings", tag = "settings", responses(
    (status = 200, body = SettingsBody),
    (status = 404, body = ProblemBody, description = "no template is chosen yet"),
))]
pub(crate) async fn settings_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<SettingsBody>, Problem> {
    let model = app.engine.model(caller.tenant).await?;
    let model = model.ok_or_else(Problem::not_found)?;
    Ok(Json(SettingsBody::of(&app, model.settings())))
}

/// Changes settings: a merge patch of `time_zone`, `language`, `business_hours` (replaced as a
/// whole) and `run_log_days`. With another language, the words of searchable fields are made anew in
/// the background.
#[utoipa::path(patch, path = "/settings", tag = "settings",
    request_body = Object,
    responses(
        (status = 200, body = SettingsBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn settings_edit(
    State(app): State<App>,
    caller: Caller,
    Body(patch): Body<Data>,
) -> Result<Json<SettingsBody>, Problem> {
    let change = ModelChange::Settings(patch);
    let model = app
        .engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    Ok(Json(SettingsBody::of(&app, model.settings())))
}
