-- How long a tenant keeps its runs, and the taking away of what is older: months of the log go as a
-- whole when they are beyond what the operator keeps; runs that ended before them, and what is
-- beyond a tenant's shorter time, go in batches.

-- Null: as long as the operator does.
alter table tenant_crm_configs
    add column run_log_days integer check (run_log_days > 0);
grant select (tenant_id, run_log_days) on tenant_crm_configs to crm_purger;

-- Takes away up to p_limit entries of a tenant's log, and as many runs that ended, with what became
-- of what they asked for, which are older than the tenant keeps them, or the operator, who keeps
-- p_days at most. A run whose effects are still to come stays. The time is the database's own. The
-- greater of both numbers; another instance that is at it does the work.
--
-- Ids begin with the time at which they were made, so what is old is at the beginning of the keys.
create function crm_runs_trim(p_tenant uuid, p_days integer, p_limit integer)
returns integer
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_own integer;
    v_before timestamptz;
    v_below uuid;
    v_logs integer;
    v_jobs integer;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    if not pg_try_advisory_xact_lock(hashtextextended('crm_runs_trim ' || p_tenant, 0)) then
        return 0;
    end if;
    select c.run_log_days into v_own
    from tenant_crm_configs c
    where c.tenant_id = p_tenant;
    v_before := greatest(crm_run_logs_from(p_days), now() - make_interval(days => v_own));
    v_below := (lpad(to_hex(floor(extract(epoch from v_before) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid;

    with old as (
        select l.id, l.started_at
        from crm_workflow_logs l
        where l.tenant_id = p_tenant and l.id < v_below and l.started_at < v_before
        order by l.id
        limit p_limit
    )
    delete from crm_workflow_logs l
    using old
    where l.tenant_id = p_tenant and l.id = old.id and l.started_at = old.started_at;
    get diagnostics v_logs = row_count;

    with old as (
        select j.id
        from crm_jobs j
        where j.tenant_id = p_tenant and j.id < v_below
            and j.state in ('done', 'dead', 'cancelled') and j.finished_at < v_before
            and not exists (
                select from crm_effects x
                where x.tenant_id = p_tenant and x.job_id = j.id
                    and x.state in ('queued', 'leased'))
        order by j.id
        limit p_limit
    ), gone as (
        delete from crm_jobs j
        using old
        where j.tenant_id = p_tenant and j.id = old.id
            and j.state in ('done', 'dead', 'cancelled') and j.finished_at < v_before
        returning j.id
    ), effects as (
        delete from crm_effects x
        using gone
        where x.tenant_id = p_tenant and x.job_id = gone.id
    )
    select count(*) into v_jobs from gone;
    return greatest(v_logs, v_jobs);
end
$$;

revoke all on function crm_runs_trim from public;
grant execute on function crm_runs_trim to crm_runtime;
grant create on schema public to crm_purger;
alter function crm_runs_trim owner to crm_purger;
revoke create on schema public from crm_purger;

-- The next tenants, in the order of their ids, that have runs at all: a loose index scan.
create function crm_runs_tenants(p_after uuid, p_limit integer)
returns table (tenant_id uuid)
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    tenant_id := p_after;
    for v_found in 1 .. p_limit loop
        select j.tenant_id into tenant_id
        from crm_jobs j
        where j.tenant_id > crm_runs_tenants.tenant_id
        order by j.tenant_id
        limit 1;
        exit when tenant_id is null;
        return next;
    end loop;
end
$$;

revoke all on function crm_runs_tenants from public;
grant execute on function crm_runs_tenants to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_runs_tenants owner to crm_scheduler;
revoke create on schema public from crm_scheduler;
