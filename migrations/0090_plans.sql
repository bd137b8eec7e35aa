-- What the operator says of the limits of one tenant's guests, in the place of the defaults. Part of
-- the tenant's model, so each change advances its version. The runtime's role reads it; it changes
-- through crm_plan_set alone.

create table crm_plans (
    tenant_id uuid not null primary key,
    -- What the operator calls it.
    name text,
    limits jsonb not null,
    updated_at timestamptz not null,
    updated_by text not null
);

alter table crm_plans enable row level security;
alter table crm_plans force row level security;
create policy tenant_isolation on crm_plans
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select on crm_plans to crm_runtime;

-- Sets a tenant's plan; one that says nothing is none.
create function crm_plan_set(
    p_tenant uuid, p_name text, p_limits jsonb, p_at timestamptz, p_by text)
returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_limits constant jsonb := jsonb_strip_nulls(p_limits);
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    if p_name is null and v_limits = '{}' then
        delete from crm_plans p where p.tenant_id = p_tenant;
    else
        insert into crm_plans as p (tenant_id, name, limits, updated_at, updated_by)
        values (p_tenant, p_name, v_limits, p_at, p_by)
        on conflict on constraint crm_plans_pkey do update
        set name = excluded.name, limits = excluded.limits, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by;
    end if;
    update tenant_crm_configs c
    set model_version = c.model_version + 1
    where c.tenant_id = p_tenant;
end
$$;

grant select, insert, update, delete on crm_plans to crm_quota_keeper;
grant select (tenant_id, model_version), update (model_version)
    on tenant_crm_configs to crm_quota_keeper;
revoke all on function crm_plan_set from public;
grant execute on function crm_plan_set to crm_runtime;
grant create on schema public to crm_quota_keeper;
alter function crm_plan_set owner to crm_quota_keeper;
revoke create on schema public from crm_quota_keeper;
