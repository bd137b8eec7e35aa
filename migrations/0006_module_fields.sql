-- The tenant's own fields, beside those of its template.

create table crm_module_fields (
    tenant_id uuid not null,
    module_slug text not null,
    field_key text not null,
    position bigint not null,
    definition jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, module_slug, field_key)
);

alter table crm_module_fields enable row level security;
alter table crm_module_fields force row level security;
create policy tenant_isolation on crm_module_fields
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_module_fields to crm_runtime;
