-- The function of 0061, but for tenants that have used up their fuel, whose jobs wait for the end
-- of the window.
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
        ) and not exists (
            select from crm_deferrals d where d.tenant_id = v_tenant and d.until > p_now
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
