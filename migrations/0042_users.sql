-- People who log in here, with a password: the local issuer's. Of passwords the Argon2id hash is
-- kept, of invitations the SHA-256 of their 256 random bits.

create table crm_users (
    tenant_id uuid not null,
    id uuid not null,
    email text not null,
    -- By which people are found: without capitals.
    email_key text not null,
    name text not null,
    roles jsonb not null,
    -- In PHC's form; none until an invitation is accepted.
    password text,
    -- Grows with everything that ends what somebody who is logging in was told before.
    version bigint not null default 1,
    invitation_hash bytea,
    invited_until timestamptz,
    -- Attempts to log in since the last that succeeded.
    attempts integer not null default 0,
    locked_until timestamptz,
    disabled_at timestamptz,
    created_at timestamptz not null,
    created_by text not null,
    last_login_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, email_key),
    unique (tenant_id, invitation_hash)
);

alter table crm_users enable row level security;
alter table crm_users force row level security;
create policy tenant_isolation on crm_users
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update on crm_users to crm_runtime;

-- Begins an attempt to log in, by address or by id. It counts before the password is looked at,
-- so that a hundred at once are no more than the same in a row. Nothing, where there is nobody, or
-- the account is locked: the caller cannot tell which, and does the same work.
create function crm_login_begin(
    p_tenant uuid, p_email text, p_id uuid, p_at timestamptz,
    p_free integer, p_pause_seconds integer, p_pause_most_seconds integer)
returns table (id uuid, email text, name text, roles jsonb, password text, version bigint)
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    return query
        update crm_users u
        set attempts = u.attempts + 1,
            -- The pause doubles with each attempt beyond those that are free.
            locked_until = case when u.attempts + 1 >= p_free then
                p_at + make_interval(secs => least(
                    p_pause_most_seconds,
                    p_pause_seconds * 2.0 ^ least(u.attempts + 1 - p_free, 20)))
            end
        where u.tenant_id = p_tenant and (u.email_key = p_email or u.id = p_id)
            and u.password is not null and u.disabled_at is null
            and (u.locked_until is null or u.locked_until <= p_at)
        returning u.id, u.email, u.name, u.roles, u.password, u.version;
end
$$;

-- Ends an attempt that succeeded; whether the person is still who they were when it began.
create function crm_login_end(p_tenant uuid, p_id uuid, p_version bigint, p_at timestamptz)
returns boolean
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    update crm_users u
    set attempts = 0, locked_until = null, last_login_at = p_at
    where u.tenant_id = p_tenant and u.id = p_id and u.version = p_version;
    return found;
end
$$;
