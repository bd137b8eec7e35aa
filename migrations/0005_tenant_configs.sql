-- What a tenant chose, and the version of its model: it grows by one with every change of the
-- model, and everybody who caches a model compares it.

create table tenant_crm_configs (
    tenant_id uuid not null primary key,
    template_slug text not null,
    template_version text not null,
    model_version bigint not null check (model_version > 0),
    selected_at timestamptz not null,
    selected_by text not null
);

alter table tenant_crm_configs enable row level security;
alter table tenant_crm_configs force row level security;
create policy tenant_isolation on tenant_crm_configs
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update on tenant_crm_configs to crm_runtime;

-- Sets the tenant for the rest of the transaction and hands back the version of its model.
create function crm_tenant_begin(p_tenant uuid) returns bigint
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    return (select c.model_version from tenant_crm_configs c where c.tenant_id = p_tenant);
end
$$;
