//! People who log in here, with a password. Of passwords there is the Argon2id hash, of
//! invitations the SHA-256.

use chrono::{DateTime, Utc};
use crm_model::limits::{LOGIN_FREE_ATTEMPTS, LOGIN_PAUSE_MAX_SECONDS, LOGIN_PAUSE_SECONDS};
use crm_model::{LocalUserId, RoleSlug, TenantId, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// Somebody as they are stored, but for what proves who they are.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalUser {
    pub id: LocalUserId,
    pub email: String,
    pub name: String,
    pub roles: Vec<RoleSlug>,
    /// Whether they have a password: whether an invitation was accepted.
    pub active: bool,
    /// Until when an invitation is open, if one is.
    pub invited_until: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub created_by: UserId,
    pub last_login_at: Option<DateTime<Utc>>,
}

/// Somebody whose password is about to be looked at.
#[derive(Clone, Debug)]
pub struct LoginAttempt {
    pub id: LocalUserId,
    pub email: String,
    pub name: String,
    pub roles: Vec<RoleSlug>,
    pub password: String,
    pub version: i64,
}

/// By what somebody is looked up who logs in.
#[derive(Clone, Copy, Debug)]
pub enum LoginName<'a> {
    /// As [`crm_model::local_user::email_key`] has it.
    Email(&'a str),
    Id(LocalUserId),
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    name: String,
    roles: Json<Vec<RoleSlug>>,
    active: bool,
    invited_until: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    created_by: String,
    last_login_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for LocalUser {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let created_by = UserId::try_from(row.created_by);
        Ok(Self {
            id: LocalUserId::new(row.id),
            email: row.email,
            name: row.name,
            roles: row.roles.0,
            active: row.active,
            invited_until: row.invited_until,
            disabled_at: row.disabled_at,
            created_at: row.created_at,
            created_by: created_by.map_err(|error| StoreError::corrupt("user id", error))?,
            last_login_at: row.last_login_at,
        })
    }
}

/// Begins an attempt to log in, which counts. None where there is nobody, or the account is
/// locked: nobody is to learn which.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn login_begin(
    store: &Store,
    tenant: TenantId,
    name: LoginName<'_>,
    at: DateTime<Utc>,
) -> Result<Option<LoginAttempt>, StoreError> {
    type Found = (Uuid, String, String, Json<Vec<RoleSlug>>, String, i64);
    let (email, id) = match name {
        LoginName::Email(email) => (Some(email), None),
        LoginName::Id(id) => (None, Some(id.uuid())),
    };
    let mut lent = store.for_statement().await?;
    let row = sqlx::query_as("select * from crm_login_begin($1, $2, $3, $4, $5, $6, $7)")
        .bind(tenant.uuid())
        .bind(email)
        .bind(id)
        .bind(at)
        .bind(LOGIN_FREE_ATTEMPTS)
        .bind(LOGIN_PAUSE_SECONDS)
        .bind(LOGIN_PAUSE_MAX_SECONDS)
        .fetch_optional(lent.connection())
        .await;
    let row: Option<Found> = lent.give_back(row)?;
    Ok(
        row.map(|(id, email, name, roles, password, version)| LoginAttempt {
            id: LocalUserId::new(id),
            email,
            name,
            roles: roles.0,
            password,
            version,
        }),
    )
}

/// Ends an attempt that succeeded; whether the person is still who they were when it began.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn login_end(
    store: &Store,
    tenant: TenantId,
    attempt: &LoginAttempt,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut lent = store.for_statement().await?;
    let done = sqlx::query_scalar("select crm_login_end($1, $2, $3, $4)")
        .bind(tenant.uuid())
        .bind(attempt.id.uuid())
        .bind(attempt.version)
        .bind(at)
        .fetch_one(lent.connection())
        .await;
    lent.give_back(done)
}

/// A page of people, the newest first.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn users_page(
    tx: &mut TenantTx,
    before: Option<LocalUserId>,
    limit: u32,
) -> Result<Vec<LocalUser>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, email, name, roles, password is not null as active, invited_until,
            disabled_at, created_at, created_by, last_login_at
        from crm_users
        where tenant_id = $1 and id < $2
        order by id desc
        limit $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before.map_or(Uuid::max(), LocalUserId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(LocalUser::try_from).collect()
}

/// At most so many of the people who have one of these roles and can log in.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn users_with_roles(
    tx: &mut TenantTx,
    roles: &[RoleSlug],
    limit: u32,
) -> Result<Vec<LocalUserId>, StoreError> {
    let users: Vec<Uuid> = sqlx::query_scalar(
        "select id from crm_users
        where tenant_id = $1 and password is not null and disabled_at is null
            and roles ?| $2
        order by id
        limit $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(roles.iter().map(RoleSlug::as_str).collect::<Vec<_>>())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(users.into_iter().map(LocalUserId::new).collect())
}

/// How many there are.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn users_count(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("select count(*) from crm_users where tenant_id = $1")
        .bind(tx.tenant_id().uuid())
        .fetch_one(tx.connection())
        .await?;
    Ok(count)
}

/// Somebody, locked: others wait to change them until this transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn user_lock(
    tx: &mut TenantTx,
    user: LocalUserId,
) -> Result<Option<LocalUser>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, email, name, roles, password is not null as active, invited_until,
            disabled_at, created_at, created_by, last_login_at
        from crm_users
        where tenant_id = $1 and id = $2
        for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.uuid())
    .fetch_optional(tx.connection())
    .await?;
    row.map(LocalUser::try_from).transpose()
}

/// Adds somebody, with an invitation of this SHA-256.
///
/// # Errors
/// [`StoreError::Unavailable`]; [`StoreError::Exists`] where the address is taken.
pub async fn user_insert(
    tx: &mut TenantTx,
    user: &LocalUser,
    email_key: &str,
    invitation: &[u8],
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into crm_users (
            tenant_id, id, email, email_key, name, roles, invitation_hash, invited_until,
            created_at, created_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (tenant_id, email_key) do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.id.uuid())
    .bind(&user.email)
    .bind(email_key)
    .bind(&user.name)
    .bind(Json(&user.roles))
    .bind(invitation)
    .bind(user.invited_until)
    .bind(user.created_at)
    .bind(user.created_by.as_str())
    .execute(tx.connection())
    .await?;
    match done.rows_affected() {
        0 => Err(StoreError::Exists("a user of this address".to_owned())),
        _ => Ok(()),
    }
}

/// Gives somebody another invitation, in the place of the one before.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn user_invite(
    tx: &mut TenantTx,
    user: &LocalUser,
    invitation: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_users set invitation_hash = $3, invited_until = $4
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.id.uuid())
    .bind(invitation)
    .bind(user.invited_until)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes roles and whether somebody is disabled, who then has no invitation; ends what was
/// under way.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn user_update(tx: &mut TenantTx, user: &LocalUser) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_users
        set roles = $3, disabled_at = $4, version = version + 1,
            invitation_hash = case when $4::timestamptz is null then invitation_hash end,
            invited_until = case when $4::timestamptz is null then invited_until end
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.id.uuid())
    .bind(Json(&user.roles))
    .bind(user.disabled_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whose an open invitation is, locked.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn user_of_invitation(
    tx: &mut TenantTx,
    invitation: &[u8],
    at: DateTime<Utc>,
) -> Result<Option<LocalUser>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, email, name, roles, password is not null as active, invited_until,
            disabled_at, created_at, created_by, last_login_at
        from crm_users
        where tenant_id = $1 and invitation_hash = $2 and invited_until > $3
            and disabled_at is null
        for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(invitation)
    .bind(at)
    .fetch_optional(tx.connection())
    .await?;
    row.map(LocalUser::try_from).transpose()
}

/// Gives somebody a name and a password; invitations, locks and what was under way end.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn user_password(
    tx: &mut TenantTx,
    user: &LocalUser,
    password: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_users
        set password = $3, name = $4, version = version + 1, attempts = 0, locked_until = null,
            invitation_hash = null, invited_until = null
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.id.uuid())
    .bind(password)
    .bind(&user.name)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether somebody who can log in here has this address, as
/// [`crm_model::local_user::email_key`] has it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn is_address_of_user(tx: &mut TenantTx, email_key: &str) -> Result<bool, StoreError> {
    let is_one = sqlx::query_scalar(
        "select exists (
            select from crm_users
            where tenant_id = $1 and email_key = $2 and disabled_at is null)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(email_key)
    .fetch_one(tx.connection())
    .await?;
    Ok(is_one)
}
