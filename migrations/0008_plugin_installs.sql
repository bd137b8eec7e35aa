-- Which plugins a tenant has, and what it grants them.

create table crm_plugin_installs (
    tenant_id uuid not null,
    plugin_name text not null,
    plugin_version text not null,
    granted jsonb not null,
    installed_at timestamptz not null,
    installed_by text not null,
    primary key (tenant_id, plugin_name)
);

alter table crm_plugin_installs enable row level security;
alter table crm_plugin_installs force row level security;
create policy tenant_isolation on crm_plugin_installs
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_plugin_installs to crm_runtime;
