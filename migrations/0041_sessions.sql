-- People who are logged in with a browser. What a browser holds is a secret of 256 random bits, of
-- which only the SHA-256 is kept, as of API keys. Where sessions are in Redis, this stays empty.

create table crm_sessions (
    tenant_id uuid not null,
    secret_hash bytea not null,
    user_id text not null,
    -- As the login gave them: roles, name, e-mail address, the issuer.
    person jsonb not null,
    created_at timestamptz not null,
    -- In whole minutes, so that a busy session is not written at each request.
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (tenant_id, secret_hash)
);

create index crm_sessions_by_user on crm_sessions (tenant_id, user_id);
create index crm_sessions_by_expiry on crm_sessions (tenant_id, expires_at);

alter table crm_sessions enable row level security;
alter table crm_sessions force row level security;
create policy tenant_isolation on crm_sessions
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_sessions to crm_runtime;

-- Each of these is one round trip, under the policies of the tenant that it names. None begins as
-- other transactions do: who may only read logs in and out all the same.

-- Keeps a session. Those of the tenant whose time is over go, some at a time, so that nobody has to
-- look for them; so do the person's oldest beyond `p_most`. Nothing is indexed by the last use,
-- which is written too often.
create function crm_session_begin(
    p_tenant uuid, p_hash bytea, p_user text, p_person jsonb, p_at timestamptz,
    p_until timestamptz, p_most integer)
returns void
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    delete from crm_sessions s
    where s.tenant_id = p_tenant and s.secret_hash in (
        select ended.secret_hash from crm_sessions ended
        where ended.tenant_id = p_tenant and ended.expires_at <= p_at
        limit 100
        for update skip locked);
    delete from crm_sessions s
    where s.tenant_id = p_tenant and s.secret_hash in (
        select older.secret_hash from crm_sessions older
        where older.tenant_id = p_tenant and older.user_id = p_user
        order by older.created_at desc
        offset p_most - 1
        for update skip locked);
    insert into crm_sessions (
        tenant_id, secret_hash, user_id, person, created_at, last_used_at, expires_at)
    values (p_tenant, p_hash, p_user, p_person, p_at, date_trunc('minute', p_at), p_until);
end
$$;

-- Whose session it is, while it lasts; notes that it was used.
create function crm_session_use(
    p_tenant uuid, p_hash bytea, p_at timestamptz, p_idle_since timestamptz)
returns table (user_id text, person jsonb, created_at timestamptz, expires_at timestamptz)
language plpgsql as $$
declare
    v_session crm_sessions;
    v_minute constant timestamptz := date_trunc('minute', p_at);
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select s.* into v_session
    from crm_sessions s
    where s.tenant_id = p_tenant and s.secret_hash = p_hash
        and s.expires_at > p_at and s.last_used_at >= p_idle_since;
    if not found then
        return;
    end if;
    if v_session.last_used_at < v_minute then
        -- Whoever finds the row locked leaves it to the one who has it.
        perform from crm_sessions s
        where s.tenant_id = p_tenant and s.secret_hash = p_hash and s.last_used_at < v_minute
        for update skip locked;
        if found then
            update crm_sessions s set last_used_at = v_minute
            where s.tenant_id = p_tenant and s.secret_hash = p_hash;
        end if;
    end if;
    return query select
        v_session.user_id, v_session.person, v_session.created_at, v_session.expires_at;
end
$$;

-- Ends one session.
create function crm_session_end(p_tenant uuid, p_hash bytea) returns void
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    delete from crm_sessions s where s.tenant_id = p_tenant and s.secret_hash = p_hash;
end
$$;

-- Ends all sessions of a person.
create function crm_sessions_end(p_tenant uuid, p_user text) returns void
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    delete from crm_sessions s where s.tenant_id = p_tenant and s.user_id = p_user;
end
$$;

-- The key that signs cookies where the operator gives none, one for all instances on this
-- database. As with the development issuer's, the runtime's role has no right to it.
create table crm_cookie_key (
    id boolean primary key default true check (id),
    key bytea not null
);
