//! Timelines: what happened to a record, and what a person did; changes and entries in one list,
//! each with a title that people can read. Nothing of modules that the caller may not read.

use chrono::{DateTime, Utc};
use crm_model::{ActivityId, Actor, EventId, Model, ModuleSlug, RecordId, TenantId, UserId};
use crm_store::activities::{Activity, ActivityFilter};
use crm_store::history::RecordChange;
use crm_store::{StoreError, TenantTx};

use crate::activities::Across;
use crate::reach::{OfRecords, Reading};
use crate::read::{Page, PageRequest, readable};
use crate::{Engine, EngineError};

/// Something on a timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineEntry {
    /// On a record's timeline when it happened, on a person's when it was done or written down.
    pub at: DateTime<Utc>,
    /// One line.
    pub title: String,
    pub what: What,
}

/// What is on a timeline.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Change(RecordChange),
    Activity(Activity),
}

/// A place on a record's timeline: below this version of the record, and below this entry. Two
/// places in one, because versions and entries are in orders of their own: whichever clock they
/// were written by, none is left out or told twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelinePlace {
    version: i64,
    activity: Option<(DateTime<Utc>, ActivityId)>,
}

/// A text that is no [`TimelinePlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no place on a timeline")]
pub struct PlaceError;

const TOP: TimelinePlace = TimelinePlace {
    version: i64::MAX,
    activity: None,
};

impl std::fmt::Display for TimelinePlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.version)?;
        match &self.activity {
            None => Ok(()),
            Some((at, id)) => write!(formatter, ".{}.{id}", at.timestamp_micros()),
        }
    }
}

impl std::str::FromStr for TimelinePlace {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (version, activity) = text.split_once('.').unzip();
        let version = version.unwrap_or(text).parse().map_err(|_| PlaceError)?;
        let activity = activity.map(|activity: &str| {
            let (at, id) = activity.split_once('.')?;
            let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
            Some((at, id.parse().ok()?))
        });
        match activity {
            None => Ok(Self {
                version,
                activity: None,
            }),
            Some(None) => Err(PlaceError),
            Some(activity) => Ok(Self { version, activity }),
        }
    }
}

impl TimelineEntry {
    fn change(model: &Model, reader: &Actor, mut change: RecordChange) -> Self {
        let module = model.module(&change.module);
        let entry = &mut change.entry;
        let title = module.map(|module| {
            let sight = model.sight(module, Some(reader));
            entry.before = sight.show(&entry.before).into_owned();
            entry.after = sight.show(&entry.after).into_owned();
            let owner = entry.new_owner_id.as_deref();
            module.change_title(entry.kind, (&entry.before, &entry.after), owner)
        });
        Self {
            at: change.entry.changed_at,
            title: title.unwrap_or_default(),
            what: What::Change(change),
        }
    }

    fn activity(activity: Activity, at: DateTime<Utc>) -> Self {
        Self {
            at,
            title: activity.content.title.clone(),
            what: What::Activity(activity),
        }
    }

    /// The id of the change's event or of the activity. Both sort by when they were made.
    pub fn id(&self) -> EventId {
        match &self.what {
            What::Change(change) => change.entry.event_id,
            What::Activity(activity) => EventId::new(activity.id.uuid()),
        }
    }
}

/// Two lists in the same order as one.
fn merged<K: Ord>(
    first: Vec<TimelineEntry>,
    second: Vec<TimelineEntry>,
    key: impl Fn(&TimelineEntry) -> K,
) -> Vec<TimelineEntry> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let next = match (first.peek(), second.peek()) {
            (Some(one), Some(other)) if key(one) < key(other) => second.next(),
            (Some(_), _) => first.next(),
            (None, _) => second.next(),
        };
        match next {
            Some(entry) => all.push(entry),
            None => return all,
        }
    }
}

impl TimelinePlace {
    fn below(self, entry: &TimelineEntry) -> Self {
        match &entry.what {
            What::Change(change) => Self {
                version: change.entry.version,
                ..self
            },
            What::Activity(activity) => Self {
                activity: Some((activity.at, activity.id)),
                ..self
            },
        }
    }
}

/// What somebody changed in records of these modules.
struct ChangesBy<'a> {
    user: &'a UserId,
    modules: &'a [ModuleSlug],
}

impl OfRecords for ChangesBy<'_> {
    type Row = RecordChange;
    type Place = EventId;

    async fn fetch(
        &self,
        tx: &mut TenantTx,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<RecordChange>, StoreError> {
        crm_store::history::changes_by_user(tx, self.user, self.modules, before, limit).await
    }

    fn of(change: &RecordChange) -> (EventId, ModuleSlug, RecordId) {
        let event = change.entry.event_id;
        (event, change.module.clone(), change.record_id)
    }
}

impl Engine {
    /// A page of a record's timeline, newest first, and where the next begins.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the record does not exist for the caller.
    pub async fn record_timeline(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (module, record): (&ModuleSlug, RecordId),
        page: PageRequest<TimelinePlace>,
    ) -> Result<(Page<TimelineEntry>, TimelinePlace), EngineError> {
        let (mut tx, model) = self.begin_of_record(tenant, actor, module, record).await?;
        let place = page.before.unwrap_or(TOP);
        let (limit, before) = (page.limit + 1, Some(place.version));
        let changes =
            crm_store::history::history_page(&mut tx, record, None, before, limit).await?;
        let changes = changes.into_iter().map(|entry| {
            let (module, record_id) = (module.clone(), record);
            let change = RecordChange {
                module,
                record_id,
                entry,
            };
            TimelineEntry::change(&model, actor, change)
        });
        let activities =
            crm_store::activities::activities_by_time(&mut tx, record, place.activity, limit)
                .await?;
        let activities = activities.into_iter().map(|activity| {
            let at = activity.at;
            TimelineEntry::activity(activity, at)
        });
        let all = merged(activities.collect(), changes.collect(), |entry| entry.at);
        let page = Page::cut(all, page.limit);
        let next = page.rows.iter().fold(place, TimelinePlace::below);
        Ok((page, next))
    }

    /// A page of what a person did, newest first: changes and entries of records of the modules
    /// that the caller may read.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn user_timeline(
        &self,
        tenant: TenantId,
        actor: &Actor,
        user: &UserId,
        page: PageRequest<EventId>,
    ) -> Result<Page<TimelineEntry>, EngineError> {
        let (mut tx, model) = self.begin_across(tenant).await?;
        let modules = readable(&model, actor);
        let limit = page.limit + 1;
        let reading = Reading::new(&model, actor);
        let list = ChangesBy {
            user,
            modules: &modules,
        };
        let changes = reading.rows(&mut tx, &list, (page.before, limit));
        let changes = changes.await?.into_iter();
        let changes = changes.map(|change| TimelineEntry::change(&model, actor, change));
        let filter = ActivityFilter {
            created_by: Some(user.clone()),
            ..ActivityFilter::default()
        };
        let before = page.before.map(|before| ActivityId::new(before.uuid()));
        let list = Across {
            modules: &modules,
            filter: &filter,
        };
        let activities = reading.rows(&mut tx, &list, (before, limit));
        let activities = activities.await?.into_iter().map(|activity| {
            let at = activity.created_at;
            TimelineEntry::activity(activity, at)
        });
        let all = merged(activities.collect(), changes.collect(), TimelineEntry::id);
        Ok(Page::cut(all, page.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let at = DateTime::from_timestamp_micros(-1_234_567).unwrap();
        let id = ActivityId::new(Uuid::from_u128(7));
        for place in [
            TOP,
            TimelinePlace {
                version: 3,
                activity: Some((at, id)),
            },
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "x", "1.", "1.2", "1.2.x", "1.2.3.4", "1.x.y"] {
            assert_eq!(text.parse::<TimelinePlace>(), Err(PlaceError), "{text}");
        }
    }
}
