-- Runs that nothing moves any more: what is due and nobody takes, what was taken and never comes to
-- an end, what waits behind such a run. They are told by when they were due, so each of these
-- lookups is a range of an index.

drop index crm_jobs_waiting;
create index crm_jobs_waiting on crm_jobs (tenant_id, available_at) where state = 'waiting';
-- Leased more often than attempts are allowed to fail or to be lost; as good as always empty.
create index crm_jobs_restless on crm_jobs (tenant_id, id)
    where state in ('queued', 'leased') and attempts > 40;
-- What people look for, and take up again by filter.
create index crm_jobs_dead on crm_jobs (tenant_id, id) where state = 'dead';

-- Whether a tenant's jobs wait on purpose: it is suspended, or has used up its fuel.
create function crm_jobs_rest(p_tenant uuid, p_now timestamptz)
returns boolean
language plpgsql stable as $$
begin
    return exists (select from crm_suspensions s where s.tenant_id = p_tenant)
        or exists (
            select from crm_deferrals d where d.tenant_id = p_tenant and d.until > p_now);
end
$$;

-- How many runs of all tenants are stuck, p_most at most, and since when the oldest job is due.
-- Walks the tenants that have open jobs (a loose index scan), each with the first that is due, and
-- looks closer only where that is late. Hands out two numbers alone.
create function crm_jobs_watch(p_now timestamptz, p_late timestamptz, p_most bigint)
returns table (stuck bigint, oldest_due timestamptz)
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_tenant uuid := '00000000-0000-0000-0000-000000000000';
    v_due timestamptz;
    v_found bigint;
begin
    select count(*) into stuck
    from (
        select from crm_jobs j
        where j.state in ('queued', 'leased') and j.attempts > 40 and j.available_at > p_late
            and not crm_jobs_rest(j.tenant_id, p_now)
        limit p_most
    ) as restless;
    loop
        select j.tenant_id, j.available_at into v_tenant, v_due
        from crm_jobs j
        where j.state in ('queued', 'leased') and j.tenant_id > v_tenant
        order by j.tenant_id, j.available_at
        limit 1;
        exit when v_tenant is null;
        continue when v_due > p_now or crm_jobs_rest(v_tenant, p_now);
        oldest_due := least(oldest_due, v_due);
        continue when v_due > p_late or stuck >= p_most;
        select count(*) into v_found
        from (
            select from crm_jobs j
            where j.tenant_id = v_tenant and j.state in ('queued', 'leased')
                and j.available_at <= p_late
            limit p_most - stuck
        ) as late;
        stuck := stuck + v_found;
    end loop;
    v_tenant := '00000000-0000-0000-0000-000000000000';
    loop
        exit when stuck >= p_most;
        select j.tenant_id, j.available_at into v_tenant, v_due
        from crm_jobs j
        where j.state = 'waiting' and j.tenant_id > v_tenant
        order by j.tenant_id, j.available_at
        limit 1;
        exit when v_tenant is null;
        continue when v_due > p_late or crm_jobs_rest(v_tenant, p_now);
        select count(*) into v_found
        from (
            select from crm_jobs j
            where j.tenant_id = v_tenant and j.state = 'waiting' and j.available_at <= p_late
            limit p_most - stuck
        ) as behind;
        stuck := stuck + v_found;
    end loop;
    return next;
end
$$;

revoke all on function crm_jobs_watch from public;
grant execute on function crm_jobs_watch to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_jobs_watch owner to crm_scheduler;
revoke create on schema public from crm_scheduler;
