//! Who may do what. A [`Permit`] is proof that somebody asked and was allowed: only [`permit`]
//! makes one, and nothing becomes a [`crate::ValidChange`] without one.

use serde::{Deserialize, Serialize};

use crate::api_key::Scope;
use crate::capability::{Grant, WriteOperation};
use crate::model::Model;
use crate::names::{ModuleSlug, RoleSlug, UserId};
use crate::roles::ANY;
use crate::sight::Sight;

/// What can be done to records of a module, or to the module itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Read,
    Create,
    Update,
    Delete,
    /// Delete for good.
    Purge,
    /// Change the module: its fields and workflows.
    Manage,
    /// Take many records out as a file.
    Export,
    /// Bring many records in from a file; what becomes of them takes create and update beside.
    Import,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 8] = [
        Self::Read,
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Purge,
        Self::Manage,
        Self::Export,
        Self::Import,
    ];

    /// The action's name in roles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Purge => "purge",
            Self::Manage => "manage",
            Self::Export => "export",
            Self::Import => "import",
        }
    }

    pub(crate) const fn write_operation(self) -> Option<WriteOperation> {
        match self {
            Self::Create => Some(WriteOperation::Create),
            Self::Update => Some(WriteOperation::Update),
            Self::Delete => Some(WriteOperation::Delete),
            Self::Read | Self::Purge | Self::Manage | Self::Export | Self::Import => None,
        }
    }
}

/// A person and the roles that the login gave them; or a program, with its key's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub user_id: UserId,
    pub roles: Vec<RoleSlug>,
    /// Of an API key: what it may do at most. It stands in events too, so that what follows from
    /// a key's change stays within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

impl Actor {
    /// A person with these roles.
    pub fn person(user_id: UserId, roles: Vec<RoleSlug>) -> Self {
        Self {
            user_id,
            roles,
            scope: None,
        }
    }
}

/// On whose word something is done: a person's, or a plugin's on behalf of a person.
#[derive(Clone, Copy, Debug)]
pub enum Authority<'a> {
    User(&'a Actor),
    /// The host's own, for what has to follow from a person's change: deletions that cascade,
    /// references that end. Allowed everything.
    Host(&'a Actor),
    /// Allowed only what the grant *and* the person's roles allow, unless it runs as itself.
    Plugin {
        grant: &'a Grant,
        behalf_of: &'a Actor,
        run_as: RunAs,
    },
}

/// On whose word a workflow runs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// The person's who caused the event: within their roles, and within the plugin's grant.
    #[default]
    Person,
    /// Its own: within the plugin's grant alone. For those who manage everything to say.
    Itself,
}

impl RunAs {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Itself => "itself",
        }
    }
}

impl<'a> Authority<'a> {
    /// Whose sight counts; none: nobody's roles limit what there is to see.
    pub fn reader(&self) -> Option<&'a Actor> {
        match self {
            Self::Host(_)
            | Self::Plugin {
                run_as: RunAs::Itself,
                ..
            } => None,
            Self::User(actor)
            | Self::Plugin {
                behalf_of: actor, ..
            } => Some(actor),
        }
    }

    /// The person.
    pub fn actor(&self) -> &'a Actor {
        match self {
            Self::User(actor) | Self::Host(actor) => actor,
            Self::Plugin { behalf_of, .. } => behalf_of,
        }
    }
}

/// Proof that an action on a module's records is allowed.
#[derive(Clone, Debug)]
pub struct Permit<'a> {
    module: ModuleSlug,
    action: Action,
    actor: &'a Actor,
    grant: Option<&'a Grant>,
    sight: Sight<'a>,
    is_host: bool,
}

impl Permit<'_> {
    /// The person who does it, or on whose behalf it is done.
    pub fn actor(&self) -> &Actor {
        self.actor
    }

    /// Whether it follows from another change, and nobody asked for it.
    pub(crate) fn is_host(&self) -> bool {
        self.is_host
    }

    /// Whether a plugin does it.
    pub(crate) fn is_plugin(&self) -> bool {
        self.grant.is_some()
    }

    pub(crate) fn covers(&self, module: &ModuleSlug, action: Action) -> bool {
        self.module == *module && self.action == action
    }

    /// What the person's roles leave open of the module's fields.
    pub fn sight(&self) -> &Sight<'_> {
        &self.sight
    }

    /// Whether a plugin's grant lets it hand the record on.
    pub(crate) fn covers_assignment(&self) -> bool {
        self.grant
            .is_none_or(|grant| grant.may_write(self.module.as_str(), WriteOperation::Assign))
    }

    /// Whether a plugin's grant lets it set this field. What the person may set, their
    /// [`Sight`] says.
    pub(crate) fn covers_field(&self, field: &str) -> bool {
        match (self.grant, self.action.write_operation()) {
            (Some(grant), Some(operation)) => {
                grant.may_write_field(self.module.as_str(), operation, field)
            }
            _ => true,
        }
    }
}

/// A refusal, and whether the caller may know that the thing exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// May not even read the module: for this caller it does not exist.
    #[error("there is no module “{module}”")]
    Invisible { module: ModuleSlug },
    /// May read it, but not do this.
    #[error("{who} may not {action} records of “{module}”")]
    Forbidden {
        module: ModuleSlug,
        action: &'static str,
        who: &'static str,
    },
    /// May do this to other records of the module, not to this one, which they may read.
    #[error("{}", out_of_reach(.module, .action))]
    OutOfReach { module: ModuleSlug, action: Action },
}

fn out_of_reach(module: &ModuleSlug, action: &Action) -> String {
    match action {
        Action::Create => format!("your role may not create such a record of “{module}”"),
        action => {
            let action = action.name();
            format!("your role may not {action} this record of “{module}”, only others")
        }
    }
}

/// Asks whether `authority` may do `action` to records of `module`.
///
/// # Errors
/// [`Denied::Invisible`] where the person may not read the module (or there is none),
/// [`Denied::Forbidden`] where only this action is refused.
pub fn permit<'a>(
    model: &'a Model,
    authority: Authority<'a>,
    action: Action,
    module: &ModuleSlug,
) -> Result<Permit<'a>, Denied> {
    let actor = authority.actor();
    let host = matches!(authority, Authority::Host(_));
    let allowed = |action| {
        let reader = authority.reader();
        reader.is_none_or(|actor| model.roles().allow(actor, module.as_str(), action))
    };
    let found = model.module(module).filter(|_| allowed(Action::Read));
    let Some(found) = found else {
        return Err(Denied::Invisible {
            module: module.clone(),
        });
    };
    let forbidden = |who| {
        Err(Denied::Forbidden {
            module: module.clone(),
            action: action.name(),
            who,
        })
    };
    if !allowed(action) {
        return forbidden("your role");
    }
    let grant = match authority {
        Authority::User(_) | Authority::Host(_) => None,
        Authority::Plugin { grant, .. } => {
            let operation = action.write_operation();
            let mut granted =
                operation.is_some_and(|operation| grant.may_write(module.as_str(), operation));
            // Whose record it is may be changed without a field being; what is set is asked of
            // each field, and the owner in `covers_assignment`.
            granted |= action == Action::Update
                && grant.may_write(module.as_str(), WriteOperation::Assign);
            if !granted {
                return forbidden("the plugin");
            }
            Some(grant)
        }
    };
    Ok(Permit {
        module: module.clone(),
        action,
        actor,
        grant,
        sight: Sight::of(model, found, authority.reader()),
        is_host: host,
    })
}

/// Whether somebody may manage the whole model: modules, and what holds for all of them.
pub fn manages_all(model: &Model, actor: &Actor) -> bool {
    model.roles().allow(actor, ANY, Action::Manage)
}

/// Asks whether `authority` may add to timelines of `module`'s records: people who may update
/// them, plugins whose grant says so.
///
/// # Errors
/// As [`permit`].
pub fn permit_activity(
    model: &Model,
    authority: Authority<'_>,
    module: &ModuleSlug,
) -> Result<(), Denied> {
    let person = match authority.reader() {
        Some(actor) => Authority::User(actor),
        None => Authority::Host(authority.actor()),
    };
    permit(model, person, Action::Update, module)?;
    match authority {
        Authority::Plugin { grant, .. } if !grant.may_add_activity(module.as_str()) => {
            Err(Denied::Forbidden {
                module: module.clone(),
                action: "add activities to",
                who: "the plugin",
            })
        }
        _ => Ok(()),
    }
}
