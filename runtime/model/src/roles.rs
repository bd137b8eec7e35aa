//! The roles of one model, compiled, and who has them: what each lets people do, and how far it
//! opens fields. Several roles of a person add up; where they differ, the more generous counts.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::Data;
use crate::definition::{FieldAccess, RoleDefinition, TeamDefinition};
use crate::model::Module;
use crate::names::{FieldKey, ModuleSlug, RoleSlug, TeamSlug, UserId};
use crate::permission::{Action, Actor};
use crate::reach::Reaches;

/// Stands for every module or every action in a role.
pub(crate) const ANY: &str = "*";

/// What a tenant knows of somebody.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Member {
    /// Beside those that the login gives.
    pub roles: BTreeSet<RoleSlug>,
    /// What rules for records see as `user.…`: `{"regions": ["west"]}`.
    pub attributes: Data,
}

/// What a tenant knows of its people.
pub type Members = BTreeMap<UserId, Member>;

/// A tenant's teams.
pub type Teams = BTreeMap<TeamSlug, TeamDefinition>;

/// A role, and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub definition: RoleDefinition,
    /// The tenant's own, not the template's.
    pub is_own: bool,
    /// The template's, with the tenant's words in the place of its own.
    pub is_edited: bool,
}

impl RoleDefinition {
    /// Whether the role lets people do this to records of the module (`*`: of every module).
    pub fn allows(&self, module: &str, action: Action) -> bool {
        self.rule(module, action).is_some()
    }

    /// Whether it lets people manage the whole model ([`crate::permission::manages_all`]).
    pub fn manages_all(&self) -> bool {
        self.allows(ANY, Action::Manage)
    }

    /// The line of the role that lets people do this: the name of the module, or `*`.
    pub fn rule(&self, module: &str, action: Action) -> Option<&str> {
        [module, ANY].into_iter().find_map(|name| {
            let (key, actions) = self.permissions.get_key_value(name)?;
            let allows = actions.contains(ANY) || actions.contains(action.name());
            allows.then_some(key.as_str())
        })
    }

    /// How far the role opens a field.
    pub fn access(&self, module: &str, field: &FieldKey) -> FieldAccess {
        let access = self.fields.get(module).and_then(|fields| fields.get(field));
        access.copied().unwrap_or_default()
    }
}

/// The roles of one model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roles {
    roles: BTreeMap<RoleSlug, Role>,
    members: Members,
    teams: Teams,
    teams_of: BTreeMap<UserId, Vec<TeamSlug>>,
    reaches: Reaches,
    /// Whether any role says anything of fields.
    limit_fields: bool,
}

impl Roles {
    pub(crate) fn compile(
        roles: Vec<Role>,
        members: Members,
        teams: Teams,
        modules: &BTreeMap<ModuleSlug, Module>,
    ) -> Result<Self, String> {
        let mut compiled = BTreeMap::new();
        for role in roles {
            let slug = role.definition.slug.clone();
            check(&role.definition, modules)
                .map_err(|message| format!("role “{slug}” {message}"))?;
            if compiled.insert(slug.clone(), role).is_some() {
                return Err(format!("role “{slug}” stands there twice"));
            }
        }
        let definitions = compiled.values().map(|role: &Role| &role.definition);
        let reaches = Reaches::compile(definitions)
            .map_err(|(slug, message)| format!("role “{slug}” {message}"))?;
        let mut teams_of: BTreeMap<UserId, Vec<TeamSlug>> = BTreeMap::new();
        for team in teams.values() {
            for user in &team.members {
                teams_of
                    .entry(user.clone())
                    .or_default()
                    .push(team.slug.clone());
            }
        }
        Ok(Self {
            limit_fields: compiled
                .values()
                .any(|role: &Role| !role.definition.fields.is_empty()),
            roles: compiled,
            members,
            teams,
            teams_of,
            reaches,
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    pub(crate) fn limit_fields(&self) -> bool {
        self.limit_fields
    }

    pub(crate) fn find(&self, slug: &RoleSlug) -> Option<&Role> {
        self.roles.get(slug)
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn teams(&self) -> &Teams {
        &self.teams
    }

    pub(crate) fn teams_of(&self, user: &UserId) -> impl Iterator<Item = &TeamDefinition> {
        let slugs = self.teams_of.get(user).into_iter().flatten();
        slugs.filter_map(|slug| self.teams.get(slug))
    }

    pub(crate) fn reaches(&self) -> &Reaches {
        &self.reaches
    }

    /// The roles of a person: those that the login gave, and those of the tenant's member.
    pub(crate) fn slugs_of<'a>(&'a self, actor: &'a Actor) -> BTreeSet<&'a RoleSlug> {
        let member = self.members.get(&actor.user_id);
        let member = member.into_iter().flat_map(|member| &member.roles);
        actor.roles.iter().chain(member).collect()
    }

    pub(crate) fn of<'a>(&'a self, actor: &'a Actor) -> impl Iterator<Item = &'a RoleDefinition> {
        let slugs = self.slugs_of(actor).into_iter();
        slugs.filter_map(|slug| Some(&self.roles.get(slug)?.definition))
    }

    pub(crate) fn allow(&self, actor: &Actor, module: &str, action: Action) -> bool {
        let scope = actor.scope.as_ref();
        scope.is_none_or(|scope| scope.allows(module, action))
            && self.of(actor).any(|role| role.allows(module, action))
    }

    pub(crate) fn permissions(
        &self,
        actor: &Actor,
        modules: impl Iterator<Item = ModuleSlug>,
    ) -> BTreeMap<ModuleSlug, Vec<Action>> {
        modules
            .map(|module| {
                let allowed = Action::ALL
                    .into_iter()
                    .filter(|action| self.allow(actor, module.as_str(), *action))
                    .collect();
                (module, allowed)
            })
            .collect()
    }
}

/// A misspelt field would stay open without a word, so it is found here.
fn check(role: &RoleDefinition, modules: &BTreeMap<ModuleSlug, Module>) -> Result<(), String> {
    for action in role.permissions.values().flatten() {
        if action != ANY && !Action::ALL.iter().any(|known| known.name() == action) {
            return Err(format!("names an unknown action “{action}”"));
        }
    }
    let known = |name: &String| name == ANY || modules.contains_key(name.as_str());
    if let Some(name) = role.records.keys().find(|name| !known(name)) {
        return Err(format!(
            "has rules for records of an unknown module “{name}”"
        ));
    }
    for (slug, fields) in &role.fields {
        let module = modules.get(slug);
        let module = module.ok_or_else(|| format!("names an unknown module “{slug}”"))?;
        let unknown = fields
            .keys()
            .find(|key| module.field(key.as_str()).is_none());
        if let Some(key) = unknown {
            return Err(format!("names an unknown field “{key}” of “{slug}”"));
        }
    }
    Ok(())
}
