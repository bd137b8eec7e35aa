//! Who may do what, told to people: roles and members for those who manage everything, and why
//! somebody may or may not do something.

use crm_model::definition::FieldAccess;
use crm_model::permission::{Action, Authority, manages_all, permit};
use crm_model::{Actor, Denied, FieldKey, Model, ModuleSlug, RecordId, RoleSlug, TenantId, UserId};
use crm_store::TenantTx;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::read::{Page, PageRequest, Total};
use crate::{Engine, EngineError};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// None: the caller.
    pub user: Option<UserId>,
    pub module: ModuleSlug,
    pub record: Option<RecordId>,
    pub action: Action,
}

/// The answer, and how it came about.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub user: UserId,
    pub module: ModuleSlug,
    pub action: Action,
    pub allowed: bool,
    /// In a sentence.
    pub reason: String,
    pub roles: Vec<RoleReason>,
    /// What all roles together leave less than open.
    pub fields: BTreeMap<FieldKey, FieldAccess>,
}

/// What one role has to say.
#[derive(Clone, Debug)]
pub struct RoleReason {
    pub role: RoleSlug,
    pub by_login: bool,
    pub by_membership: bool,
    pub is_known: bool,
    /// The line that allows it: the module, or `*`.
    pub rule: Option<String>,
    /// What the role says of fields.
    pub fields: BTreeMap<FieldKey, FieldAccess>,
}

impl Engine {
    /// The model, for those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for others, [`EngineError::NotFound`] before a template is
    /// chosen.
    pub async fn model_managed(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Arc<Model>, EngineError> {
        let model = self.model(tenant).await?;
        let model = model.ok_or(EngineError::NotFound("model"))?;
        if manages_all(&model, actor) {
            Ok(model)
        } else {
            Err(EngineError::Forbidden(
                "roles and members are for those who may manage all modules",
            ))
        }
    }

    /// A page of the members with their roles, by user id.
    ///
    /// # Errors
    /// As [`Engine::model_managed`].
    pub async fn members(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<UserId>,
    ) -> Result<Page<(UserId, BTreeSet<RoleSlug>)>, EngineError> {
        let model = self.model_managed(tenant, actor).await?;
        let members = model.members();
        let from = page.before.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = members.range((from, Bound::Unbounded));
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let rows = rows.take(most.saturating_add(1));
        let rows = rows.map(|(user, roles)| (user.clone(), roles.clone()));
        let mut answer = Page::cut(rows.collect(), page.limit);
        answer.total = page.total.then(|| Total {
            value: i64::try_from(members.len()).unwrap_or(i64::MAX),
            exact: true,
        });
        Ok(answer)
    }

    /// Why somebody may or may not do something.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] where it is about somebody else and the caller does not manage
    /// everything; [`EngineError::NotFound`] before a template is chosen.
    pub async fn explain(
        &self,
        tenant: TenantId,
        caller: &Actor,
        question: Question,
    ) -> Result<Explanation, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or(EngineError::NotFound("model"))?;
        let manages = manages_all(&model, caller);
        let actor = match question.user {
            Some(user) if user != caller.user_id && !manages => {
                return Err(EngineError::Forbidden(
                    "what others may do is told to those who may manage all modules",
                ));
            }
            Some(user) if user != caller.user_id => Actor::person(user, Vec::new()),
            _ => caller.clone(),
        };
        let permitted = permit(
            &model,
            Authority::User(&actor),
            question.action,
            &question.module,
        );
        let mut allowed = permitted.is_ok();
        let mut reason = match &permitted {
            Ok(_) => "one of their roles allows it".to_owned(),
            Err(Denied::Invisible { module }) => format!("to them there is no module “{module}”"),
            Err(Denied::Forbidden { .. }) => "none of their roles allows it".to_owned(),
        };
        if let (true, Some(record)) = (allowed, question.record) {
            let found = crm_store::records::records_read(&mut tx, &[record]).await?;
            if !found.iter().any(|found| found.module == question.module) {
                allowed = false;
                reason = "there is no such record, or it is in the trash".to_owned();
            }
        }
        // Of themselves people learn no names of fields that are hidden from them.
        let is_told = |key: &FieldKey| {
            let sight = permitted.as_ref().ok().map(|permitted| permitted.sight());
            manages || sight.is_some_and(|sight| !sight.hides(key))
        };
        Ok(Explanation {
            roles: role_reasons(&model, &actor, &question.module, question.action, is_told),
            fields: fields(&model, &actor, &question.module, is_told),
            user: actor.user_id.clone(),
            module: question.module.clone(),
            action: question.action,
            allowed,
            reason,
        })
    }
}

fn role_reasons(
    model: &Model,
    actor: &Actor,
    module: &ModuleSlug,
    action: Action,
    is_told: impl Fn(&FieldKey) -> bool,
) -> Vec<RoleReason> {
    let members = model.members().get(&actor.user_id);
    let reason = |slug: &RoleSlug| {
        let role = model.role(slug).map(|role| &role.definition);
        let rule = role.and_then(|role| role.rule(module.as_str(), action));
        let fields = role.and_then(|role| role.fields.get(module));
        let fields = fields.into_iter().flatten();
        RoleReason {
            role: slug.clone(),
            by_login: actor.roles.contains(slug),
            by_membership: members.is_some_and(|roles| roles.contains(slug)),
            is_known: role.is_some(),
            rule: rule.map(str::to_owned),
            fields: fields
                .filter(|(key, _)| is_told(key))
                .map(|(key, access)| (key.clone(), *access))
                .collect(),
        }
    };
    model.roles_of(actor).into_iter().map(reason).collect()
}

fn fields(
    model: &Model,
    actor: &Actor,
    module: &ModuleSlug,
    is_told: impl Fn(&FieldKey) -> bool,
) -> BTreeMap<FieldKey, FieldAccess> {
    let Some(module) = model.module(module) else {
        return BTreeMap::new();
    };
    let sight = model.sight(module, Some(actor));
    let fields = module.definition().fields.iter().map(|field| &field.key);
    fields
        .filter(|key| is_told(key))
        .filter_map(|key| Some((key.clone(), sight.access(key)?)))
        .collect()
}
