-- What a tenant says of a plugin beside what it grants: its configuration, and whether it runs.

alter table crm_plugin_installs
    add column settings jsonb not null default '{}',
    add column enabled boolean not null default true,
    add column updated_at timestamptz,
    add column updated_by text;

grant update, delete on crm_plugin_installs to crm_runtime;

-- Components that a tenant brought along itself: immutable, one row a version, nobody else's.

create table crm_tenant_components (
    tenant_id uuid not null,
    name text not null,
    version text not null,
    digest text not null,
    manifest jsonb not null,
    component bytea not null,
    uploaded_at timestamptz not null,
    uploaded_by text not null,
    primary key (tenant_id, name, version)
);

alter table crm_tenant_components enable row level security;
alter table crm_tenant_components force row level security;
create policy tenant_isolation on crm_tenant_components to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_tenant_components to crm_runtime;

-- Versions that run nowhere any more, because who runs this installation said so.

create table crm_plugin_kills (
    name text not null,
    version text not null,
    reason text not null,
    at timestamptz not null default now(),
    primary key (name, version)
);

alter table crm_plugin_kills enable row level security;
alter table crm_plugin_kills force row level security;
do $$
begin
    execute format(
        'create policy owner_kills on crm_plugin_kills to %I using (true) with check (true)',
        current_user);
end
$$;

-- All of them, for every process to look at: nobody's tenant has to do with it.
create function crm_plugin_kills_list()
returns table (name text, version text, reason text)
language sql stable security definer set search_path = pg_catalog, public as $$
    select k.name, k.version, k.reason from crm_plugin_kills k
$$;

revoke all on function crm_plugin_kills_list from public;
grant execute on function crm_plugin_kills_list to crm_runtime;

-- Gives leased jobs back as if nobody had taken them; not before p_until.
create function crm_jobs_postpone(
    p_tenant uuid, p_jobs uuid[], p_token uuid, p_until timestamptz, p_reason text)
returns void
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    update crm_jobs j
    set state = 'queued', attempts = j.attempts - 1, available_at = p_until,
        lease_token = null, error = p_reason
    where j.tenant_id = p_tenant and j.id = any (p_jobs)
        and j.state = 'leased' and j.lease_token = p_token;
end
$$;
