-- Tenants that are read only for now. Written by the owner of the database alone; the runtime's
-- role sees its tenant's row, the scheduler all of them, so that jobs and tasks wait.

create table crm_suspensions (
    tenant_id uuid not null primary key,
    suspended_at timestamptz not null,
    suspended_by text not null
);

alter table crm_suspensions enable row level security;
alter table crm_suspensions force row level security;
create policy tenant_isolation on crm_suspensions
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_waits on crm_suspensions to crm_scheduler
    using (true) with check (false);
do $$
begin
    execute format(
        'create policy owner_suspends on crm_suspensions to %I using (true) with check (true)',
        current_user);
end
$$;

grant select on crm_suspensions to crm_runtime, crm_scheduler;

-- Sets the tenant for the rest of the transaction and hands back the version of its model. The
-- transaction of a suspended tenant cannot write.
create or replace function crm_tenant_begin(p_tenant uuid) returns bigint
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    if exists (select from crm_suspensions s where s.tenant_id = p_tenant) then
        perform set_config('transaction_read_only', 'on', true);
    end if;
    return (select c.model_version from tenant_crm_configs c where c.tenant_id = p_tenant);
end
$$;

-- The same, but that what is written down of a suspended tenant can be: who did what.
create function crm_audit_begin(p_tenant uuid) returns bigint
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    return (select c.model_version from tenant_crm_configs c where c.tenant_id = p_tenant);
end
$$;

-- The function of 0014, but for suspended tenants, whose jobs wait.
create or replace function crm_jobs_lease(
    p_now timestamptz, p_until timestamptz, p_token uuid, p_limit integer, p_after uuid)
returns table (tenant_id uuid, job_id uuid)
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_tenants uuid[] := '{}';
    v_tenant uuid;
    v_last uuid := p_after;
    v_wrapped boolean := false;
    v_share integer;
begin
    loop
        exit when cardinality(v_tenants) >= p_limit;
        select j.tenant_id into v_tenant
        from crm_jobs j
        where j.state in ('queued', 'leased')
            and j.tenant_id > coalesce(v_last, '00000000-0000-0000-0000-000000000000')
        order by j.tenant_id
        limit 1;
        if v_tenant is null or (v_wrapped and v_tenant > p_after) then
            exit when v_wrapped or p_after is null;
            v_wrapped := true;
            v_last := null;
            continue;
        end if;
        v_last := v_tenant;
        if exists (
            select from crm_jobs j
            where j.tenant_id = v_tenant and j.state in ('queued', 'leased')
                and j.available_at <= p_now
        ) and not exists (
            select from crm_suspensions s where s.tenant_id = v_tenant
        ) then
            v_tenants := v_tenants || v_tenant;
        end if;
    end loop;
    if cardinality(v_tenants) = 0 then
        return;
    end if;
    v_share := ceil(p_limit::numeric / cardinality(v_tenants));
    return query
        with due as (
            select d.tenant_id, d.id
            from unnest(v_tenants) as t (id)
            cross join lateral (
                select j.tenant_id, j.id
                from crm_jobs j
                where j.tenant_id = t.id and j.state in ('queued', 'leased')
                    and j.available_at <= p_now
                order by j.available_at
                limit v_share
                for update skip locked
            ) d
            limit p_limit
        )
        update crm_jobs j
        set state = 'leased', attempts = j.attempts + 1, available_at = p_until,
            lease_token = p_token
        from due
        where j.tenant_id = due.tenant_id and j.id = due.id
        returning j.tenant_id, j.id;
end
$$;

-- The function of 0020, but for suspended tenants, whose tasks wait.
create or replace function crm_tasks_lease(p_now timestamptz, p_until timestamptz, p_token uuid)
returns table (tenant_id uuid, task_id uuid)
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    return query
        with due as (
            select t.tenant_id, t.id
            from crm_tasks t
            where t.status in ('queued', 'running') and t.available_at <= p_now
                and not exists (select from crm_suspensions s where s.tenant_id = t.tenant_id)
            order by t.available_at
            limit 1
            for update of t skip locked
        )
        update crm_tasks t
        set status = 'running', available_at = p_until, lease_token = p_token,
            attempts = t.attempts + 1
        from due
        where t.tenant_id = due.tenant_id and t.id = due.id
        returning t.tenant_id, t.id;
end
$$;
