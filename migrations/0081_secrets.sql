-- Secrets of tenants, each encrypted under the host's key, with the hosts that it may be sent to.
-- The key is the operator's or this database's own, which the runtime's role has no right to: the
-- owner reads it when the process starts.

create table crm_secret_key (
    id boolean primary key default true check (id),
    key bytea not null
);

create table crm_secrets (
    tenant_id uuid not null,
    name text not null,
    -- Names of hosts; `*.example.com` is what is below one.
    hosts jsonb not null,
    sealed bytea not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, name)
);

alter table crm_secrets enable row level security;
alter table crm_secrets force row level security;
create policy tenant_isolation on crm_secrets to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update, delete on crm_secrets to crm_runtime;
