-- Saved views of a module's records: a person's own, or shared with the tenant.

create table crm_views (
    tenant_id uuid not null,
    id uuid not null,
    module_slug text not null,
    shared boolean not null,
    definition jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, id)
);

create index crm_views_by_creator on crm_views (tenant_id, created_by, id);
create index crm_views_shared on crm_views (tenant_id, id) where shared;

alter table crm_views enable row level security;
alter table crm_views force row level security;
create policy tenant_isolation on crm_views
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_views to crm_runtime;
