-- What a tenant adds to its template and says otherwise of it. The template's own definition
-- stays where it is, unchanged, in crm_templates.

-- Modules of the tenant's own, without their fields, which stand in crm_module_fields.
create table crm_modules (
    tenant_id uuid not null,
    slug text not null,
    definition jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, slug)
);

alter table crm_modules enable row level security;
alter table crm_modules force row level security;
create policy tenant_isolation on crm_modules
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_modules to crm_runtime;

-- Edits of the template's modules; of the tenant's own, the order of their fields.
create table crm_module_edits (
    tenant_id uuid not null,
    module_slug text not null,
    edit jsonb not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, module_slug)
);

alter table crm_module_edits enable row level security;
alter table crm_module_edits force row level security;
create policy tenant_isolation on crm_module_edits
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_module_edits to crm_runtime;

-- Edits of the template's fields.
create table crm_field_edits (
    tenant_id uuid not null,
    module_slug text not null,
    field_key text not null,
    edit jsonb not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, module_slug, field_key)
);

alter table crm_field_edits enable row level security;
alter table crm_field_edits force row level security;
create policy tenant_isolation on crm_field_edits
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_field_edits to crm_runtime;

-- Fields whose index rows, unique values, words or computed values are being made for records
-- that were there before. The newest task that makes them takes the row away.
create table crm_fields_building (
    tenant_id uuid not null,
    module_slug text not null,
    field_key text not null,
    task_id uuid not null,
    primary key (tenant_id, module_slug, field_key)
);

alter table crm_fields_building enable row level security;
alter table crm_fields_building force row level security;
create policy tenant_isolation on crm_fields_building
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_fields_building to crm_runtime;

grant update, delete on crm_module_fields to crm_runtime;

-- Removals that are not done: until then the name cannot be used again.
create index crm_tasks_removals on crm_tasks (tenant_id)
    where kind in ('field_remove', 'module_remove') and status <> 'done';
