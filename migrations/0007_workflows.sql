-- The tenant's own workflows, beside those of its template.

create table crm_workflows (
    tenant_id uuid not null,
    slug text not null,
    definition jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, slug)
);

alter table crm_workflows enable row level security;
alter table crm_workflows force row level security;
create policy tenant_isolation on crm_workflows
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_workflows to crm_runtime;
