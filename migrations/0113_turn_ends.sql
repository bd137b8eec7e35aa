-- What a run hands to the one that called it.
alter table crm_jobs add column outputs jsonb;

-- The function of 0091. Whoever has come a step further is no longer limited by the plugin of the
-- step before.
create or replace function crm_job_complete(p_tenant uuid, p_at timestamptz, p_completion jsonb)
returns void
language plpgsql as $$
declare
    v_next uuid;
    v_moved constant boolean := p_completion ? 'place';
begin
    update crm_jobs j
    set state = p_completion ->> 'state',
        available_at = coalesce((p_completion ->> 'available_at')::timestamptz, p_at),
        lease_token = null,
        error = p_completion ->> 'error',
        outputs = p_completion -> 'outputs',
        place = case when v_moved then p_completion -> 'place' else j.place end,
        lane = case
            when v_moved then coalesce(substring(j.lane from '^workflow:[^ ]*'), '')
            else j.lane
        end,
        attempts = case
            when v_moved and p_completion ->> 'state' = 'queued' then 0
            else j.attempts
        end,
        failures = case
            when v_moved then 0
            when p_completion ->> 'state' = 'queued' then j.failures + 1
            else j.failures
        end,
        finished_at = case when p_completion ->> 'state' in ('done', 'dead') then p_at end
    where j.tenant_id = p_tenant
        and j.id = (p_completion ->> 'job_id')::uuid
        and j.state = 'leased'
        and j.lease_token = (p_completion ->> 'lease_token')::uuid
    returning j.next_job_id into v_next;
    if not found then
        raise exception 'the lease is lost' using errcode = 'CR003';
    end if;
    if v_next is not null then
        update crm_jobs j
        set state = 'queued'
        where j.tenant_id = p_tenant and j.id = v_next and j.state = 'waiting';
    end if;
    if p_completion -> 'root' <> 'null' then
        perform crm_event_total(p_tenant, p_completion -> 'root');
    end if;
    if jsonb_array_length(p_completion -> 'keeps') > 0 then
        perform crm_state_keep(p_tenant, p_at, p_completion -> 'keeps');
    end if;
    if jsonb_array_length(p_completion -> 'effects') > 0 then
        perform crm_effects_insert(
            p_tenant, p_at, (p_completion ->> 'job_id')::uuid, p_completion -> 'effects');
    end if;
    if p_completion -> 'log' <> 'null' then
        insert into crm_workflow_logs (
            tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations,
            fuel, memory_bytes, duration_us, error, started_at, step)
        select
            p_tenant, l.id, (p_completion ->> 'job_id')::uuid, l.workflow, l.attempt, l.status,
            l.input, l.steps, l.mutations, l.fuel, l.memory_bytes, l.duration_us,
            l.error, l.started_at, l.step
        from jsonb_to_record(p_completion -> 'log') as l (
            id uuid, workflow text, attempt integer, status text, input jsonb, steps jsonb,
            mutations jsonb, fuel bigint, memory_bytes bigint, duration_us bigint, error text,
            started_at timestamptz, step text);
    end if;
end
$$;

-- The function of 0101. What follows has the priority of the run that asked, and stands in a line
-- where that one did.
create or replace function crm_effect_finish(p_tenant uuid, p_at timestamptz, p_end jsonb)
returns void
language plpgsql as $$
declare
    v_next constant jsonb := p_end -> 'next';
    v_workflow text;
    v_version integer;
    v_priority smallint;
    v_line text;
    v_kind text;
    v_target text;
    v_record uuid;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    update crm_effects x
    set state = p_end ->> 'state',
        attempts = x.attempts - case when (p_end ->> 'counts')::boolean then 0 else 1 end,
        available_at = coalesce((p_end ->> 'available_at')::timestamptz, x.available_at),
        lease_token = null,
        error = p_end ->> 'error',
        status = coalesce((p_end ->> 'status')::integer, x.status),
        finished_at = case when p_end ->> 'state' in ('done', 'dead') then p_at end
    where x.tenant_id = p_tenant
        and x.job_id = (p_end ->> 'job_id')::uuid
        and x.number = (p_end ->> 'number')::integer
        and x.state = 'leased'
        and x.lease_token = (p_end ->> 'lease_token')::uuid
    returning x.workflow_slug, x.kind, x.target, x.record_id
    into v_workflow, v_kind, v_target, v_record;
    if not found then
        raise exception 'the lease is lost' using errcode = 'CR003';
    end if;
    if v_kind = 'webhook' and p_end ->> 'state' in ('done', 'dead') then
        perform crm_webhook_next(p_tenant, v_target, v_record, p_at);
    end if;
    if v_next is null or v_next = 'null' then
        return;
    end if;
    select j.workflow_version, j.priority, case when j.line is not null then 'open' end
    into v_version, v_priority, v_line
    from crm_jobs j
    where j.tenant_id = p_tenant and j.id = (p_end ->> 'job_id')::uuid;

    insert into crm_events (
        tenant_id, id, kind, module_slug, record_id, record_version, changed_fields, payload,
        actor, cause, depth, occurred_at)
    select
        p_tenant, (v_next ->> 'event_id')::uuid, v_next ->> 'kind', e.module_slug, e.record_id,
        e.record_version, '[]'::jsonb, v_next -> 'payload', e.actor, v_next -> 'cause',
        (v_next ->> 'depth')::integer, p_at
    from crm_jobs j
    join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
    where j.tenant_id = p_tenant and j.id = (p_end ->> 'job_id')::uuid;

    insert into crm_jobs (
        tenant_id, id, workflow_slug, workflow_version, event_id, module_slug, record_id, state,
        available_at, error, created_at, finished_at, place, priority, line)
    select
        p_tenant, (v_next ->> 'job_id')::uuid, v_workflow, v_version, e.id, e.module_slug, e.record_id,
        case when v_next ->> 'error' is null then 'queued' else 'dead' end, p_at,
        v_next ->> 'error', p_at, case when v_next ->> 'error' is null then null else p_at end,
        v_next -> 'place', v_priority, v_line
    from crm_events e
    where e.tenant_id = p_tenant and e.id = (v_next ->> 'event_id')::uuid;
end
$$;

-- The function of 0108, with what the run hands on.
create or replace function crm_job_ended() returns trigger
language plpgsql as $$
begin
    update crm_awaits w
    set result = jsonb_build_object(
        'status', case new.state when 'done' then 'done' when 'dead' then 'failed' else new.state end,
        'error', new.error, 'run', new.id, 'outputs', coalesce(new.outputs, '{}'))
    where w.tenant_id = new.tenant_id and w.job_id = new.parent_job_id
        and w.work = new.parent_work and w.result is null;
    if found then
        update crm_jobs j
        set available_at = least(j.available_at, now())
        where j.tenant_id = new.tenant_id and j.id = new.parent_job_id and j.state = 'queued';
    end if;
    return null;
end
$$;

create index crm_jobs_called on crm_jobs (tenant_id, parent_job_id)
    where parent_job_id is not null and state in ('waiting', 'queued', 'leased');

-- Ends runs that have not ended, and those that they called and wait for; the first ones, as far as
-- it was done to them. What waits behind one of them goes on
-- waiting for what that one waited for, and may go where it waited for nothing.
create function crm_jobs_cancel(p_tenant uuid, p_jobs uuid[], p_at timestamptz, p_reason text)
returns setof uuid
language plpgsql as $$
declare
    v_called uuid[];
    v_id uuid;
    v_run crm_jobs;
    v_before uuid;
begin
    -- Called ones first, as their own ends lock them: they go on to who waits for them.
    v_called := array(
        select c.id from crm_jobs c
        where c.tenant_id = p_tenant and c.parent_job_id = any (p_jobs)
            and c.state in ('waiting', 'queued', 'leased'));
    if cardinality(v_called) > 0 then
        perform crm_jobs_cancel(p_tenant, v_called, p_at, p_reason);
    end if;
    -- All runs of their events, first to last, as the ends of attempts lock them: whoever looked
    -- for the one before alone could miss another end in the same row of runs.
    perform from crm_jobs j
    where j.tenant_id = p_tenant and j.id in (
        select unnest(p_jobs)
        union all
        select o.id
        from crm_jobs w
        join crm_jobs o
            on o.tenant_id = p_tenant and o.record_id = w.record_id and o.event_id = w.event_id
        where w.tenant_id = p_tenant and w.id = any (p_jobs) and w.state = 'waiting')
    order by j.id
    for update;
    for v_id in
        select j.id
        from crm_jobs j
        where j.tenant_id = p_tenant and j.id = any (p_jobs)
            and j.state in ('waiting', 'queued', 'leased')
        order by j.id
    loop
        -- As the ones before it have left it.
        select * into v_run from crm_jobs j where j.tenant_id = p_tenant and j.id = v_id;
        v_before := null;
        if v_run.state = 'waiting' then
            update crm_jobs b
            set next_job_id = v_run.next_job_id
            where b.tenant_id = p_tenant and b.record_id = v_run.record_id
                and b.event_id = v_run.event_id and b.next_job_id = v_run.id
            returning b.id into v_before;
        end if;
        if v_before is null then
            update crm_jobs n
            set state = 'queued'
            where n.tenant_id = p_tenant and n.id = v_run.next_job_id and n.state = 'waiting';
        end if;
        update crm_jobs j
        set state = 'cancelled', lease_token = null, error = p_reason, finished_at = p_at,
            next_job_id = null
        where j.tenant_id = p_tenant and j.id = v_run.id;
        return next v_run.id;
    end loop;
end
$$;
