-- PostgreSQL reads, analyses and plans the body of a function in SQL anew for each call, unless it is
-- one expression that it can put into the caller's plan; in PL/pgSQL it keeps the plan. So what
-- commits and runs call all the time is in PL/pgSQL.

-- The function of 0114.
create or replace function crm_jobs_insert(p_tenant uuid, p_at timestamptz, p_jobs jsonb)
returns void
language plpgsql as $$
begin
    insert into crm_jobs (
        tenant_id, id, workflow_slug, workflow_version, event_id, module_slug, record_id, state,
        available_at, error, created_at, finished_at, next_job_id, priority, lane, line)
    select
        p_tenant, j.id, j.workflow, j.version, j.event_id, j.module, j.record_id,
        case when j.error is not null then 'dead' when j.waits then 'waiting' else 'queued' end,
        p_at, j.error, p_at, case when j.error is null then null else p_at end, j.next,
        coalesce(j.priority, 1), coalesce(j.lane, ''), case when j.in_line then 'open' end
    from jsonb_to_recordset(p_jobs) as j (
        id uuid, workflow text, version integer, event_id uuid, module text, record_id uuid,
        error text, waits boolean, next uuid, priority smallint, lane text,
        in_line boolean);
end
$$;

-- The function of 0108.
create or replace function crm_awaits_tell(
    p_tenant uuid, p_at timestamptz, p_kinds text[], p_modules text[], p_records uuid[],
    p_events uuid[], p_before jsonb[], p_after jsonb[])
returns void
language plpgsql as $$
begin
    with came as (
        select c.kind, c.module, c.record_id, c.event_id, coalesce(c.after, c.before) as data
        from unnest(p_kinds, p_modules, p_records, p_events, p_before, p_after)
            as c (kind, module, record_id, event_id, before, after)
    ), met as (
        select w.job_id, w.work, array_agg(c.event_id order by c.event_id) as events
        from came c
        cross join lateral (
            select c.record_id as key
            union
            select (id #>> '{}')::uuid
            from jsonb_path_query(c.data, '$.* ? (@ like_regex
                "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")') id
        ) keys
        join crm_awaits w
            on w.tenant_id = p_tenant and w.record_id = keys.key
            and w.kind = 'event' and w.result is null
            and w.event_kind = c.kind and w.event_module = c.module
            and case
                when w.link is null then w.record_id = c.record_id
                else c.data -> w.link @> to_jsonb(w.record_id::text)
            end
        group by w.job_id, w.work
    ), told as (
        update crm_awaits w
        set events = w.events || met.events
        from met
        where w.tenant_id = p_tenant and w.job_id = met.job_id and w.work = met.work
            and w.result is null and w.until > p_at
            -- A run that does not come to look at them, for days, is told of no more.
            and cardinality(w.events) < 1000
        returning w.job_id
    )
    update crm_jobs j
    set available_at = p_at
    from told
    where j.tenant_id = p_tenant and j.id = told.job_id and j.state = 'queued'
        and j.available_at > p_at;
end
$$;

-- The function of 0117.
create or replace function crm_line_first(p_tenant uuid, p_workflow text, p_record uuid)
returns uuid
language plpgsql as $$
begin
    return (
        select j.id
        from crm_jobs j
        join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
        where j.tenant_id = p_tenant and j.record_id = p_record and j.workflow_slug = p_workflow
            and j.line is not null and j.state in ('waiting', 'queued', 'leased')
        order by j.line <> 'begun', e.record_version, j.id
        limit 1);
end
$$;
