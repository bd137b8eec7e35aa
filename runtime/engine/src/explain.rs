//! Who may do what, told to people: roles and members for those who manage everything, and why
//! somebody may or may not do something.

use crm_model::definition::FieldAccess;
use crm_model::permission::{Action, Authority, manages_all, permit};
use crm_model::roles::Member;
use crm_model::{
    Actor, Denied, FieldKey, Model, ModuleSlug, RecordId, Refusal, RoleSlug, TenantId, UserId,
};
use crm_store::{TenantTx, query};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::reach::{check_reach, reach};
use crate::read::{Page, PageRequest, Total};
use crate::{Engine, EngineError, fresh};

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
    /// By which of its rules it reaches records; none: it reaches all.
    pub records: Option<Vec<RuleReason>>,
}

/// A rule for records.
#[derive(Clone, Debug)]
pub struct RuleReason {
    /// As it was written.
    pub rule: String,
    /// Whether it holds for the record that was asked about.
    pub holds: Option<bool>,
}

const NO_RECORD: &str = "there is no such record, or it is in the trash";
const NO_RULE: &str = "none of the rules for records of their roles holds for it, and nobody \
                       shared it with them";

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
    ) -> Result<Page<(UserId, Member)>, EngineError> {
        let model = self.model_managed(tenant, actor).await?;
        let members = model.members();
        let from = page.before.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = members.range((from, Bound::Unbounded));
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let rows = rows.take(most.saturating_add(1));
        let rows = rows.map(|(user, member)| (user.clone(), member.clone()));
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
        let mut verdict = match &permitted {
            Ok(_) => Ok("one of their roles allows it"),
            Err(Denied::Invisible { .. }) => Err("to them there is no such module"),
            Err(_) => Err("none of their roles allows it"),
        };
        let mut record = None;
        if let (Ok(_), Some(asked)) = (verdict, question.record) {
            let place = (&question.module, asked);
            let of = (&*model, &actor);
            verdict = about_record(&mut tx, of, place, question.action).await?;
            // What people do not reach they learn nothing of, not even that it is there.
            record = Some(asked).filter(|_| manages || verdict != Err(NO_RECORD));
            if !manages && verdict == Err(NO_RULE) {
                (verdict, record) = (Err(NO_RECORD), None);
            }
        }
        // Of themselves people learn no names of fields that are hidden from them.
        let is_told = |key: &FieldKey| {
            let sight = permitted.as_ref().ok().map(|permitted| permitted.sight());
            manages || sight.is_some_and(|sight| !sight.hides(key))
        };
        let is_rule_told = |text: &str| {
            let sight = permitted.as_ref().ok().map(|permitted| permitted.sight());
            manages || sight.is_some_and(|sight| !sight.tells(text))
        };
        let mut roles = role_reasons(&model, &actor, &question.module, question.action, is_told);
        for reason in &mut roles {
            let of = (&*model, &actor, &reason.role);
            let about = (&question.module, question.action, record);
            reason.records = rule_reasons(&mut tx, of, about, is_rule_told).await?;
        }
        Ok(Explanation {
            roles,
            fields: fields(&model, &actor, &question.module, is_told),
            user: actor.user_id.clone(),
            module: question.module.clone(),
            action: question.action,
            allowed: verdict.is_ok(),
            reason: verdict.unwrap_or_else(|no| no).to_owned(),
        })
    }
}

/// Whether somebody may do something to a record of a module whose records they may do it to.
async fn about_record(
    tx: &mut TenantTx,
    (model, actor): (&Model, &Actor),
    (module, record): (&ModuleSlug, RecordId),
    action: Action,
) -> Result<Result<&'static str, &'static str>, EngineError> {
    let found = crm_store::records::records_read(tx, &[record]).await?;
    if !found.iter().any(|found| found.module == *module) {
        return Ok(Err(NO_RECORD));
    }
    let Some(reach) = reach(model, actor, module, action) else {
        return Ok(Ok("one of their roles allows it, for all records"));
    };
    match check_reach(tx, (model, actor), (module, record), action).await {
        Ok(()) => {}
        Err(EngineError::Refused(Refusal::NotFound)) => return Ok(Err(NO_RULE)),
        Err(EngineError::Refused(Refusal::Denied(_))) => {
            return Ok(Err(
                "they may read it, but none of the rules for records of their roles lets them \
                 do this to it",
            ));
        }
        Err(other) => return Err(other),
    }
    let by_rule = query::passing(tx, module, &reach.unshared(), &[record]).await?;
    Ok(Ok(if by_rule.is_empty() {
        "one of their roles allows it, and the record is shared with them"
    } else {
        "one of their roles allows it, and one of its rules for records holds for this one"
    }))
}

/// By which rules a role reaches records.
async fn rule_reasons(
    tx: &mut TenantTx,
    (model, actor, role): (&Model, &Actor, &RoleSlug),
    (module, action, record): (&ModuleSlug, Action, Option<RecordId>),
    is_told: impl Fn(&str) -> bool,
) -> Result<Option<Vec<RuleReason>>, EngineError> {
    let found = model.module(module);
    let rules =
        found.and_then(|found| model.reach_rules(found, (actor, role), action, fresh::now()));
    let Some(rules) = rules else {
        return Ok(None);
    };
    let mut reasons = Vec::new();
    for (rule, filter) in rules.into_iter().filter(|(rule, _)| is_told(rule)) {
        let holds = match (record, filter) {
            (None, _) => None,
            (Some(_), None) => Some(false),
            (Some(record), Some(filter)) => {
                let there = query::passing(tx, module, &filter, &[record]).await?;
                Some(there.contains(&record))
            }
        };
        reasons.push(RuleReason { rule, holds });
    }
    Ok(Some(reasons))
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
            by_membership: members.is_some_and(|member| member.roles.contains(slug)),
            is_known: role.is_some(),
            rule: rule.map(str::to_owned),
            fields: fields
                .filter(|(key, _)| is_told(key))
                .map(|(key, access)| (key.clone(), *access))
                .collect(),
            records: None,
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
