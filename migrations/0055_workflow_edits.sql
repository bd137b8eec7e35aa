-- What a tenant says of its workflows, the template's and its own, beside what stands in them. Part
-- of the model, so each change advances its version.

create table crm_workflow_edits (
    tenant_id uuid not null,
    slug text not null,
    edit jsonb not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, slug)
);

alter table crm_workflow_edits enable row level security;
alter table crm_workflow_edits force row level security;
create policy tenant_isolation on crm_workflow_edits
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_workflow_edits to crm_runtime;
