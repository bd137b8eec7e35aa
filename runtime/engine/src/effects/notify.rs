//! Notes to people: kept together with the effect's end, so each comes once.

use crm_model::effect::Notification;
use crm_model::limits::NOTIFICATION_MAX_PEOPLE;
use crm_model::{Model, RoleSlug, TenantId, UserId};
use crm_store::TenantTx;
use crm_store::effects::{EffectEnd, LoadedEffect};
use crm_store::notifications::{NewNotification, notifications_insert};
use std::collections::BTreeSet;

use super::End;
use crate::{Engine, EngineError, fresh};

const ROLE_START: &str = "role:";

/// Whom it is for: those who are named, and the members who have a role that is.
fn people(model: &Model, note: &Notification) -> BTreeSet<UserId> {
    let mut people = BTreeSet::new();
    for one in &note.to {
        match one.strip_prefix(ROLE_START).map(str::parse::<RoleSlug>) {
            None => people.extend(one.parse::<UserId>().ok()),
            Some(Err(_)) => {}
            Some(Ok(role)) => {
                let members = model.members().iter();
                let holders = members.filter(|(_, member)| member.roles.contains(&role));
                people.extend(holders.map(|(user, _)| user.clone()));
            }
        }
    }
    people
}

impl Engine {
    /// Keeps a note for each of its people.
    pub(super) async fn notify(
        &self,
        tenant: TenantId,
        model: &Model,
        (effect, end): (&LoadedEffect, EffectEnd),
        note: &Notification,
    ) -> Result<End, EngineError> {
        let people = people(model, note);
        if people.is_empty() {
            return Ok(End::never("nobody has the roles that the note is for"));
        }
        if people.len() > NOTIFICATION_MAX_PEOPLE {
            return Ok(End::never(format!(
                "the note is for {} people; it may be for {NOTIFICATION_MAX_PEOPLE}",
                people.len()
            )));
        }
        let at = fresh::now();
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let note = NewNotification {
            people: people.into_iter().map(|user| (fresh::id(), user)).collect(),
            title: &note.title,
            body: note.body.as_deref(),
            workflow: &effect.workflow,
            module: &effect.module,
            record: effect.record.uuid(),
            at,
        };
        notifications_insert(&mut tx, &note).await?;
        crm_store::effects::effect_finish_within(&mut tx, at, &end).await?;
        tx.commit().await?;
        Ok(End::Written)
    }
}
