//! `crm user`: people who log in with a password, for whoever has the database: the first of a
//! tenant is invited here.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use crm_engine::Engine;
use crm_engine::read::PageRequest;
use crm_model::limits::PAGE_MAX_RECORDS;
use crm_model::local_user::{LocalUserEdit, NewLocalUser, email_key};
use crm_model::{LocalUserId, RoleSlug, TenantId};
use crm_server::auth::invitation_url;
use crm_store::users::LocalUser;
use serde_json::{Value, json};

use crate::arguments::Common;
use crate::commands::direct::with_tenant;
use crate::commands::serve::edges::web_address;
use crate::commands::tenant::operator;
use crate::say;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Invite somebody; prints the link alone, by which they choose a password. For somebody who
    /// is there already, another link
    Invite(InviteArguments),
    /// All of a tenant's
    List {
        /// The tenant: its id or its name
        #[arg(long)]
        tenant: String,
    },
    /// Log somebody out everywhere, and let them in no more
    Disable {
        /// The tenant: its id or its name
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        email: String,
    },
    /// Let somebody in again
    Enable {
        /// The tenant: its id or its name
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        email: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InviteArguments {
    /// The tenant: its id or its name
    #[arg(long)]
    tenant: String,
    #[arg(long)]
    email: String,
    /// A role of the tenant's template; may be given several times
    #[arg(long, required = true)]
    role: Vec<RoleSlug>,
    /// What people call them
    #[arg(long, default_value = "")]
    name: String,
    /// Where browsers reach the server
    #[arg(
        long,
        env = "CRM_PUBLIC_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    public_url: String,
}

pub(crate) async fn user(common: &Common, command: UserCommand) -> Result<()> {
    match command {
        UserCommand::Invite(arguments) => invite(common, arguments).await,
        UserCommand::List { tenant } => list(common, &tenant).await,
        UserCommand::Disable { tenant, email } => disable(common, &tenant, &email, true).await,
        UserCommand::Enable { tenant, email } => disable(common, &tenant, &email, false).await,
    }
}

async fn invite(common: &Common, arguments: InviteArguments) -> Result<()> {
    let origin = web_address(&arguments.public_url)?.origin();
    let origin = origin.ascii_serialization();
    let wanted = NewLocalUser {
        email: arguments.email,
        name: arguments.name,
        roles: arguments.role,
    };
    with_tenant(common, &arguments.tenant, async |engine, tenant| {
        let there = find(engine, tenant, &wanted.email).await?;
        let invited = match there {
            Some(user) => {
                say::step("they are there already, with the roles that they have");
                engine
                    .user_reinvite(tenant, operator()?, user.id, None)
                    .await
            }
            None => engine.user_invite(tenant, operator()?, wanted, None).await,
        };
        let (user, invitation) = invited?;
        let url = invitation_url(&origin, &invitation);
        match common.json {
            true => {
                let mut shown = shown(&user);
                if let Some(members) = shown.as_object_mut() {
                    members.insert("invitation_url".to_owned(), json!(url));
                }
                println!("{shown}");
            }
            false => println!("{url}"),
        }
        Ok(())
    })
    .await
}

async fn list(common: &Common, tenant: &str) -> Result<()> {
    with_tenant(common, tenant, async |engine, tenant| {
        let users = all(engine, tenant).await?;
        if common.json {
            let users: Vec<Value> = users.iter().map(shown).collect();
            println!("{}", serde_json::to_string_pretty(&users)?);
            return Ok(());
        }
        for user in users {
            let roles: Vec<&str> = user.roles.iter().map(RoleSlug::as_str).collect();
            println!("{}  {}  {}", user.email, roles.join(","), state(&user));
        }
        Ok(())
    })
    .await
}

async fn disable(common: &Common, tenant: &str, email: &str, disabled: bool) -> Result<()> {
    with_tenant(common, tenant, async |engine, tenant| {
        let Some(user) = find(engine, tenant, email).await? else {
            bail!("nobody has the address “{email}” here; `crm user list` shows who there is");
        };
        let edit = LocalUserEdit {
            roles: None,
            disabled: Some(disabled),
        };
        engine.user_edit(tenant, operator()?, user.id, edit).await?;
        say::step(match disabled {
            true => "disabled: logged out everywhere, and let in no more",
            false => "enabled",
        });
        Ok(())
    })
    .await
}

async fn find(engine: &Engine, tenant: TenantId, email: &str) -> Result<Option<LocalUser>> {
    let key = email_key(email);
    let mut users = all(engine, tenant).await?.into_iter();
    Ok(users.find(|user| email_key(&user.email) == key))
}

async fn all(engine: &Engine, tenant: TenantId) -> Result<Vec<LocalUser>> {
    let mut users: Vec<LocalUser> = Vec::new();
    loop {
        let page = PageRequest::<LocalUserId> {
            before: users.last().map(|user| user.id),
            limit: PAGE_MAX_RECORDS,
            total: false,
        };
        let page = engine.users(tenant, &operator()?, page).await?;
        users.extend(page.rows);
        if !page.more {
            return Ok(users);
        }
    }
}

fn state(user: &LocalUser) -> &'static str {
    match (user.disabled_at, user.active) {
        (Some(_), _) => "disabled",
        (None, true) => "active",
        (None, false) => "invited",
    }
}

fn shown(user: &LocalUser) -> Value {
    json!({
        "id": user.id, "user_id": format!("local:{}", user.id), "email": user.email,
        "name": user.name, "roles": user.roles, "state": state(user),
        "invited_until": user.invited_until, "last_login_at": user.last_login_at,
    })
}
