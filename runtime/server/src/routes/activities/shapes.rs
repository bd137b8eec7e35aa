//! What goes in and out at activities: bodies and parameters, read once.

use chrono::{DateTime, Utc};
use crm_engine::read::PageRequest;
use crm_model::activity::ActivityPatch;
use crm_model::{ActivityId, NewActivity, UserId, Violations};
use crm_store::activities::{Activity, ActivityFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::extract::given;
use crate::page::PageParameters;
use crate::problem::Problem;

/// An entry on a timeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
pub(crate) struct ActivityBody {
    id: String,
    module: String,
    record_id: String,
    /// `note`, `call`, `meeting`, `email`, `task`, `system`, or a type of the module's own.
    kind: String,
    title: String,
    body: Option<String>,
    /// Task: until when.
    due_at: Option<DateTime<Utc>>,
    /// Task: the user who is to do it.
    assignee: Option<String>,
    done: bool,
    done_at: Option<DateTime<Utc>>,
    done_by: Option<String>,
    /// When it happened, where that is not when it was written down.
    occurred_at: Option<DateTime<Utc>>,
    duration_minutes: Option<u32>,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
    /// A person (`user`) or a workflow's run (`workflow`, with plugin and version).
    cause: serde_json::Value,
}

impl From<Activity> for ActivityBody {
    fn from(activity: Activity) -> Self {
        let (done_at, done_by) = activity.done.unzip();
        let content = activity.content;
        Self {
            id: activity.id.to_string(),
            module: activity.module.to_string(),
            record_id: activity.record_id.to_string(),
            kind: activity.kind.as_str().to_owned(),
            title: content.title,
            body: content.body,
            due_at: content.due_at,
            assignee: content.assignee.map(String::from),
            done: done_at.is_some(),
            done_at,
            done_by,
            occurred_at: content.occurred_at,
            duration_minutes: content.duration_minutes,
            created_at: activity.created_at,
            created_by: activity.created_by,
            updated_at: activity.updated_at,
            updated_by: activity.updated_by,
            cause: activity.cause,
        }
    }
}

/// A new entry.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivityInput {
    /// `note`, `call`, `meeting`, `email`, `task`, or a type of the module's own.
    #[schema(example = "note")]
    #[serde(default)]
    kind: String,
    #[serde(default)]
    title: String,
    body: Option<String>,
    /// Task: until when, RFC 3339.
    due_at: Option<String>,
    /// Task: the user who is to do it; `me` for the caller.
    assignee: Option<String>,
    /// All but tasks: when it happened, RFC 3339; now unless given.
    occurred_at: Option<String>,
    /// All but tasks.
    duration_minutes: Option<u32>,
}

/// A change: what is left out stays, null takes a value away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivityChange {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    body: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    due_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    occurred_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    duration_minutes: Option<Option<u32>>,
    /// Task: whether it is done.
    done: Option<bool>,
}

impl ActivityInput {
    pub(crate) fn activity(self, caller: &Caller) -> NewActivity {
        NewActivity {
            kind: self.kind,
            title: self.title,
            body: self.body,
            due_at: self.due_at,
            assignee: self.assignee.map(|user| me_or(user, caller)),
            occurred_at: self.occurred_at,
            duration_minutes: self.duration_minutes,
        }
    }
}

impl ActivityChange {
    pub(crate) fn patch(self, caller: &Caller) -> ActivityPatch {
        let assignee = self.assignee;
        ActivityPatch {
            title: self.title,
            body: self.body,
            due_at: self.due_at,
            assignee: assignee.map(|user| user.map(|user| me_or(user, caller))),
            occurred_at: self.occurred_at,
            duration_minutes: self.duration_minutes,
            done: self.done,
        }
    }
}

fn me_or(user: String, caller: &Caller) -> String {
    match user.as_str() {
        "me" => caller.actor.user_id.to_string(),
        _ => user,
    }
}

/// Which entries of a record.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActivityParameters {
    kind: Option<String>,
    /// Tasks that are done (`true`), or open (`false`).
    done: Option<bool>,
    /// Entries on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which entries of all records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActivitiesParameters {
    kind: Option<String>,
    /// Tasks that are done (`true`), or open (`false`).
    done: Option<bool>,
    /// Tasks of this user; `me` for the caller.
    assignee: Option<String>,
    /// Entries that this user wrote; `me` for the caller.
    created_by: Option<String>,
    /// Tasks that are due before this moment, RFC 3339.
    due_before: Option<String>,
    /// Entries on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ActivitiesParameters {
    pub(crate) fn page(&self) -> Result<PageRequest<ActivityId>, Problem> {
        let (limit, cursor) = (self.limit, self.cursor.clone());
        PageParameters {
            limit,
            cursor,
            include: None,
        }
        .request()
    }

    pub(crate) fn filter(self, caller: &Caller) -> Result<ActivityFilter, Problem> {
        let mut violations = Violations::default();
        let kind = self.kind.map(|kind| kind.parse()).transpose();
        let kind = noted(&mut violations, "kind", kind);
        let assignee = self.assignee.map(|user| me_or(user, caller).parse());
        let assignee: Option<UserId> = noted(&mut violations, "assignee", assignee.transpose());
        let creator = self.created_by.map(|user| me_or(user, caller).parse());
        let created_by: Option<UserId> = noted(&mut violations, "created_by", creator.transpose());
        let due = self.due_before.as_deref().map(DateTime::parse_from_rfc3339);
        let due = noted(&mut violations, "due_before", due.transpose());
        violations.into_result().map_err(Problem::invalid)?;
        Ok(ActivityFilter {
            kind,
            done: self.done,
            due_before: due.map(|due| due.with_timezone(&Utc)),
            assignee,
            created_by,
        })
    }
}

fn noted<T, E: std::fmt::Display>(
    violations: &mut Violations,
    parameter: &str,
    parsed: Result<Option<T>, E>,
) -> Option<T> {
    parsed.unwrap_or_else(|error| {
        violations.add(format!("/{parameter}"), "parameter", error.to_string());
        None
    })
}

impl From<ActivityParameters> for ActivitiesParameters {
    fn from(parameters: ActivityParameters) -> Self {
        Self {
            kind: parameters.kind,
            done: parameters.done,
            assignee: None,
            created_by: None,
            due_before: None,
            limit: parameters.limit,
            cursor: parameters.cursor,
        }
    }
}
