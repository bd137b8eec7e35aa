-- Layouts of widgets.

create table crm_dashboards (
    tenant_id uuid not null,
    slug text not null,
    title text not null,
    layout jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, slug)
);

alter table crm_dashboards enable row level security;
alter table crm_dashboards force row level security;
create policy tenant_isolation on crm_dashboards
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_dashboards to crm_runtime;
