-- Roles of a tenant's own, and its edits of the template's: a role that stands here takes the
-- place of the template's of the same name. Part of the model, so each change advances its
-- version.

create table crm_roles (
    tenant_id uuid not null,
    slug text not null,
    definition jsonb not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, slug)
);

alter table crm_roles enable row level security;
alter table crm_roles force row level security;
create policy tenant_isolation on crm_roles
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_roles to crm_runtime;
