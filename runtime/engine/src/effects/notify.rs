//! Notes to people: kept together with the effect's end, so each comes once.

use crm_model::effect::{Notification, ROLE_START};
use crm_model::limits::NOTIFICATION_MAX_PEOPLE;
use crm_model::{Model, ModuleSlug, RecordId, RoleSlug, RunSource, TenantId, UserId};
use crm_store::effects::{EffectEnd, LoadedEffect};
use crm_store::notifications::{NewNotification, notifications_insert};
use crm_store::users::users_with_roles;
use crm_store::{StoreError, TenantTx};
use std::collections::BTreeSet;

use super::End;
use crate::users::user_id_of;
use crate::{Engine, EngineError, fresh};

/// Whom it is for as far as the model says: those who are named, and the members who have a role
/// that is; and those roles.
fn named(model: &Model, to: &[String]) -> (BTreeSet<UserId>, Vec<RoleSlug>) {
    let mut people = BTreeSet::new();
    let mut roles = Vec::new();
    for one in to {
        match one.strip_prefix(ROLE_START).map(str::parse::<RoleSlug>) {
            None => people.extend(one.parse::<UserId>().ok()),
            Some(Err(_)) => {}
            Some(Ok(role)) => {
                let members = model.members().iter();
                let holders = members.filter(|(_, member)| member.roles.contains(&role));
                people.extend(holders.map(|(user, _)| user.clone()));
                roles.push(role);
            }
        }
    }
    (people, roles)
}

/// Keeps a note for each of these people: its title and text, what sends it, and the record that it
/// is about.
pub(crate) async fn note_keep(
    tx: &mut TenantTx,
    people: BTreeSet<UserId>,
    (title, body): (&str, Option<&str>),
    workflow: &RunSource,
    (module, record): (&ModuleSlug, RecordId),
) -> Result<(), StoreError> {
    let note = NewNotification {
        people: people.into_iter().map(|user| (fresh::id(), user)).collect(),
        title,
        body,
        workflow,
        module,
        record: record.uuid(),
        at: fresh::now(),
    };
    notifications_insert(tx, &note).await
}

impl Engine {
    /// The people that `to` names: by their ids, and by roles as `role:manager`. Of those who have
    /// a role, that is members and people who log in here: whom an issuer elsewhere gives it,
    /// nobody knows before they come. A sentence, where they are none or too many.
    pub(crate) async fn people(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        to: &[String],
    ) -> Result<Result<BTreeSet<UserId>, String>, EngineError> {
        let (mut people, roles) = named(model, to);
        if !roles.is_empty() {
            let most = u32::try_from(NOTIFICATION_MAX_PEOPLE).unwrap_or(u32::MAX);
            let users = users_with_roles(tx, &roles, most.saturating_add(1)).await?;
            for user in users {
                people.insert(user_id_of(user)?);
            }
        }
        Ok(match people.len() {
            0 => Err("nobody has the roles that the note is for".to_owned()),
            many if many > NOTIFICATION_MAX_PEOPLE => Err(format!(
                "the note is for {many} people; it may be for {NOTIFICATION_MAX_PEOPLE}"
            )),
            _ => Ok(people),
        })
    }

    /// Keeps a note for each of its people.
    pub(super) async fn notify(
        &self,
        tenant: TenantId,
        model: &Model,
        (effect, end): (&LoadedEffect, EffectEnd),
        note: &Notification,
    ) -> Result<End, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let people = match self.people(&mut tx, model, &note.to).await? {
            Ok(people) => people,
            Err(why) => return Ok(End::never(why)),
        };
        let (told, about) = (
            (note.title.as_str(), note.body.as_deref()),
            (&effect.module, effect.record),
        );
        note_keep(&mut tx, people, told, &effect.workflow, about).await?;
        crm_store::effects::effect_finish_within(&mut tx, fresh::now(), &end).await?;
        tx.commit().await?;
        Ok(End::Written)
    }
}
