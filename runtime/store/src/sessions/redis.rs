//! Sessions in Redis: a key for each, which ends when nobody uses it, and a sorted set of each
//! person's, by when they end. A tenant's keys share a hash tag, so that one script may touch
//! several of them in a cluster too.

use chrono::{DateTime, Utc};
use crm_model::limits::{SESSION_IDLE_MAX_SECONDS, SESSION_MAX_SECONDS};
use crm_model::{TenantId, UserId};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{Person, Session};
use crate::error::StoreError;

/// A Redis that takes longer does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// With what it takes to connect again.
const CALL_MAX: Duration = Duration::from_secs(3);
/// Between two attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Ends a person's sessions at one moment: none that began before is left.
const END_ALL: &str = "
for _, hash in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
    redis.call('del', ARGV[1] .. hash)
end
redis.call('del', KEYS[1])";

/// A Redis that keeps sessions. Cheap to clone.
#[derive(Clone)]
pub struct RedisSessions {
    connection: ConnectionManager,
}

impl std::fmt::Debug for RedisSessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RedisSessions")
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Whose answer this is: an answer to another question would not have it.
    secret: String,
    user_id: UserId,
    person: Person,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl RedisSessions {
    /// Connects to the Redis at this URL, and again whenever the connection is lost.
    ///
    /// # Errors
    /// [`StoreError::SessionsAway`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let settings = ConnectionManagerConfig::new()
            .set_response_timeout(Some(ANSWER_MAX))
            .set_connection_timeout(Some(ANSWER_MAX))
            .set_min_delay(CONNECT_PAUSE)
            .set_max_delay(CONNECT_PAUSE)
            .set_number_of_retries(1);
        let connection = async {
            let client = Client::open(url)?;
            ConnectionManager::new_with_config(client, settings).await
        };
        let connection = connection.await.map_err(StoreError::SessionsAway)?;
        Ok(Self { connection })
    }

    pub(super) async fn insert(
        &self,
        tenant: TenantId,
        hash: &[u8],
        session: &Session,
    ) -> Result<(), StoreError> {
        let secret = hexadecimal(hash);
        let key = session_key(tenant, &secret);
        let index = index_key(tenant, &session.user_id);
        let (now, end) = (
            session.created_at.timestamp(),
            session.expires_at.timestamp(),
        );
        let stored = Stored {
            secret: secret.clone(),
            user_id: session.user_id.clone(),
            person: session.person.clone(),
            created_at: session.created_at,
            expires_at: session.expires_at,
        };
        let stored = serde_json::to_string(&stored)
            .map_err(|error| StoreError::corrupt("session", error))?;
        let mut pipe = Pipeline::new();
        pipe.atomic()
            .cmd("SET")
            .arg(&key)
            .arg(stored)
            .arg("EX")
            .arg(SESSION_IDLE_MAX_SECONDS)
            .ignore();
        pipe.cmd("ZREMRANGEBYSCORE").arg(&index).arg("-inf");
        pipe.arg(now).ignore();
        pipe.cmd("ZADD").arg(&index).arg(end).arg(&secret).ignore();
        pipe.cmd("EXPIRE").arg(&index).arg(SESSION_MAX_SECONDS);
        pipe.ignore();
        self.call::<()>(&pipe).await
    }

    pub(super) async fn find(
        &self,
        tenant: TenantId,
        hash: &[u8],
        at: DateTime<Utc>,
    ) -> Result<Option<Session>, StoreError> {
        let secret = hexadecimal(hash);
        let mut pipe = Pipeline::new();
        pipe.cmd("GETEX")
            .arg(session_key(tenant, &secret))
            .arg("EX")
            .arg(SESSION_IDLE_MAX_SECONDS);
        let (found,): (Option<String>,) = self.call(&pipe).await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let stored: Stored =
            serde_json::from_str(&found).map_err(|error| StoreError::corrupt("session", error))?;
        if stored.secret != secret {
            return Err(StoreError::corrupt("session", "it is another's"));
        }
        Ok((stored.expires_at > at).then_some(Session {
            user_id: stored.user_id,
            person: stored.person,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
        }))
    }

    pub(super) async fn delete(&self, tenant: TenantId, hash: &[u8]) -> Result<(), StoreError> {
        let mut pipe = Pipeline::new();
        let key = session_key(tenant, &hexadecimal(hash));
        pipe.cmd("DEL").arg(key).ignore();
        self.call::<()>(&pipe).await
    }

    pub(super) async fn delete_all(
        &self,
        tenant: TenantId,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let mut pipe = Pipeline::new();
        pipe.cmd("EVAL")
            .arg(END_ALL)
            .arg(1)
            .arg(index_key(tenant, user))
            .arg(session_key(tenant, ""))
            .ignore();
        self.call::<()>(&pipe).await
    }

    async fn call<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        let answer: Result<RedisResult<T>, _> =
            tokio::time::timeout(CALL_MAX, pipe.query_async(&mut connection)).await;
        let late = |_| Err(RedisError::from((ErrorKind::Io, "it took too long")));
        answer
            .unwrap_or_else(late)
            .map_err(StoreError::SessionsAway)
    }
}

fn session_key(tenant: TenantId, secret: &str) -> String {
    format!("crm:{{{}}}:session:{secret}", tenant.uuid().simple())
}

fn index_key(tenant: TenantId, user: &UserId) -> String {
    format!("crm:{{{}}}:sessions:{user}", tenant.uuid().simple())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
