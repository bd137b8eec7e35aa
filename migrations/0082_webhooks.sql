-- Where tenants have webhooks sent, by the names that plugins know, each with the secret that signs
-- what is sent there (encrypted, as in 0081).

create table crm_webhooks (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    url text not null,
    enabled boolean not null,
    sealed bytea not null,
    created_at timestamptz not null,
    created_by text not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
);

alter table crm_webhooks enable row level security;
alter table crm_webhooks force row level security;
create policy tenant_isolation on crm_webhooks to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update, delete on crm_webhooks to crm_runtime;
