-- Keys for programs. A key is a row here, and what is sent is a secret of which only the SHA-256
-- is kept: it has 256 random bits, so nothing slower is needed. A key has several secrets for as
-- long as an old one overlaps the one that took its place.

create table crm_api_keys (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    -- Whom it acts as, and what it may do at most: roles of whoever made it, within its scope.
    user_id text not null,
    roles jsonb not null,
    scope jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    expires_at timestamptz,
    -- In whole minutes, so that a busy key is not written at each request.
    last_used_at timestamptz,
    revoked_at timestamptz,
    primary key (tenant_id, id)
);

alter table crm_api_keys enable row level security;
alter table crm_api_keys force row level security;
create policy tenant_isolation on crm_api_keys
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update on crm_api_keys to crm_runtime;

create table crm_api_key_secrets (
    tenant_id uuid not null,
    secret_hash bytea not null,
    key_id uuid not null,
    -- How the secret begins, by which people tell it from others.
    prefix text not null,
    created_at timestamptz not null,
    -- Of one that was replaced.
    valid_until timestamptz,
    primary key (tenant_id, secret_hash),
    foreign key (tenant_id, key_id) references crm_api_keys
);

create index crm_api_key_secrets_by_key on crm_api_key_secrets (tenant_id, key_id, created_at);

alter table crm_api_key_secrets enable row level security;
alter table crm_api_key_secrets force row level security;
create policy tenant_isolation on crm_api_key_secrets
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_api_key_secrets to crm_runtime;

-- Whom a secret stands for at this moment, in one round trip; notes that it was used. The tenant
-- is the one that the secret names, so the look-up is under that tenant's policies; a secret that
-- is not there takes the same look-up as one that is.
create function crm_api_key_use(p_tenant uuid, p_hash bytea, p_at timestamptz)
returns table (id uuid, user_id text, roles jsonb, scope jsonb)
language plpgsql as $$
declare
    v_key crm_api_keys;
    v_minute constant timestamptz := date_trunc('minute', p_at);
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select k.* into v_key
    from crm_api_key_secrets s
    join crm_api_keys k on k.tenant_id = s.tenant_id and k.id = s.key_id
    where s.tenant_id = p_tenant and s.secret_hash = p_hash
        and (s.valid_until is null or s.valid_until > p_at)
        and k.revoked_at is null
        and (k.expires_at is null or k.expires_at > p_at);
    if not found then
        return;
    end if;
    if v_key.last_used_at is null or v_key.last_used_at < v_minute then
        -- Whoever finds the row locked leaves it to the one who has it.
        perform from crm_api_keys k
        where k.tenant_id = p_tenant and k.id = v_key.id
            and (k.last_used_at is null or k.last_used_at < v_minute)
        for update skip locked;
        if found then
            update crm_api_keys k set last_used_at = v_minute
            where k.tenant_id = p_tenant and k.id = v_key.id;
        end if;
    end if;
    return query select v_key.id, v_key.user_id, v_key.roles, v_key.scope;
end
$$;
