-- Webhooks that are told of records by themselves, in the order of each record's versions; whose
-- secret is replaced; that are paused where nobody answers; and are told once more.

alter table crm_webhooks
    -- What it is told of without a workflow: [{"module": …, "on": […], "fields": […]}].
    add column events jsonb not null default '[]',
    -- The secret before this one, which signs too until then.
    add column previous_sealed bytea,
    add column previous_until timestamptz,
    -- Since when nothing was taken.
    add column failing_since timestamptz,
    -- Why the host has turned it off, and when.
    add column paused_reason text,
    add column paused_at timestamptz;

-- A message that waits for the one before it, of the same record to the same endpoint, is `waiting`
-- and in no index that is leased from, as a job is (0089).
alter table crm_effects drop constraint crm_effects_state_check;
alter table crm_effects add constraint crm_effects_state_check
    check (state in ('waiting', 'queued', 'leased', 'done', 'dead', 'replaced'));
create index crm_effects_in_order on crm_effects (tenant_id, target, record_id)
    where kind = 'webhook' and state in ('waiting', 'queued', 'leased');

-- For the question whether what is told of a record is told in order.
create index crm_jobs_of_webhooks on crm_jobs (tenant_id, record_id)
    where workflow_slug like 'webhook:%' and state in ('waiting', 'queued', 'leased');

-- Whoever adds a message to such a line, or takes one out, does so alone.
create function crm_webhook_line(p_tenant uuid, p_target text, p_record uuid)
returns void
language sql as $$
    select pg_advisory_xact_lock(
        hashtextextended(p_tenant::text || p_record::text || p_target, 0));
$$;

-- Lets the next message of a line go where none is under way.
create function crm_webhook_next(
    p_tenant uuid, p_target text, p_record uuid, p_at timestamptz)
returns void
language plpgsql as $$
begin
    perform crm_webhook_line(p_tenant, p_target, p_record);
    if exists (
        select from crm_effects x
        where x.tenant_id = p_tenant and x.target = p_target and x.record_id = p_record
            and x.kind = 'webhook' and x.state in ('queued', 'leased')
    ) then
        return;
    end if;
    update crm_effects x
    set state = 'queued', available_at = p_at
    from (
        select w.job_id, w.number
        from crm_effects w
        join crm_jobs j on j.tenant_id = p_tenant and j.id = w.job_id
        join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
        where w.tenant_id = p_tenant and w.target = p_target and w.record_id = p_record
            and w.kind = 'webhook' and w.state = 'waiting'
        order by e.record_version, w.created_at, w.job_id, w.number
        limit 1
    ) first
    where x.tenant_id = p_tenant and x.job_id = first.job_id and x.number = first.number;
end
$$;

-- The function of 0091. Of webhooks about one record to one endpoint, one is under way at a time;
-- what is of no record has no order.
create or replace function crm_effects_insert(
    p_tenant uuid, p_at timestamptz, p_job uuid, p_effects jsonb)
returns void
language plpgsql as $$
declare
    v_first integer;
    v_target text;
    v_record uuid;
begin
    select coalesce(max(e.number), 0) into v_first
    from crm_effects e
    where e.tenant_id = p_tenant and e.job_id = p_job;

    for v_target, v_record in
        select distinct n.one ->> 'target', j.record_id
        from jsonb_array_elements(p_effects) as n (one)
        join crm_jobs j on j.tenant_id = p_tenant and j.id = p_job
        where n.one ->> 'kind' = 'webhook'
            and j.record_id <> '00000000-0000-0000-0000-000000000000'
        order by 1
    loop
        perform crm_webhook_line(p_tenant, v_target, v_record);
    end loop;

    insert into crm_effects (
        tenant_id, job_id, number, kind, target, effect, secrets, workflow_slug, record_id,
        state, available_at, created_at, step)
    select
        p_tenant, p_job, v_first + n.number, n.one ->> 'kind', n.one ->> 'target',
        n.one -> 'effect', n.one -> 'secrets', j.workflow_slug, j.record_id,
        case
            when n.one ->> 'kind' <> 'webhook'
                or j.record_id = '00000000-0000-0000-0000-000000000000' then 'queued'
            when row_number() over (
                partition by n.one ->> 'kind', n.one ->> 'target' order by n.number) > 1
                or exists (
                    select from crm_effects x
                    where x.tenant_id = p_tenant and x.target = n.one ->> 'target'
                        and x.record_id = j.record_id and x.kind = 'webhook'
                        and x.state in ('waiting', 'queued', 'leased')
                ) then 'waiting'
            else 'queued'
        end,
        coalesce((n.one ->> 'due')::timestamptz, p_at), p_at, n.one ->> 'step'
    from jsonb_array_elements(p_effects) with ordinality as n (one, number)
    join crm_jobs j on j.tenant_id = p_tenant and j.id = p_job;

    update crm_effects old
    set state = 'replaced', finished_at = p_at
    from crm_effects new
    where new.tenant_id = p_tenant and new.job_id = p_job and new.number > v_first
        and new.kind = 'schedule'
        and old.tenant_id = p_tenant and old.record_id = new.record_id
        and old.workflow_slug = new.workflow_slug and old.target = new.target
        and old.step is not distinct from new.step
        and old.kind = 'schedule' and old.state = 'queued'
        and (old.job_id <> p_job or old.number < new.number);
end
$$;

-- The function of 0093. Whatever waits behind a webhook may go when it has ended.
create or replace function crm_effect_finish(p_tenant uuid, p_at timestamptz, p_end jsonb)
returns void
language plpgsql as $$
declare
    v_next constant jsonb := p_end -> 'next';
    v_workflow text;
    v_version integer;
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
    select j.workflow_version into v_version
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
        available_at, error, created_at, finished_at, place)
    select
        p_tenant, (v_next ->> 'job_id')::uuid, v_workflow, v_version, e.id, e.module_slug, e.record_id,
        case when v_next ->> 'error' is null then 'queued' else 'dead' end, p_at,
        v_next ->> 'error', p_at, case when v_next ->> 'error' is null then null else p_at end,
        v_next -> 'place'
    from crm_events e
    where e.tenant_id = p_tenant and e.id = (v_next ->> 'event_id')::uuid;
end
$$;

-- Sends messages to an endpoint once more, as if they were new: those that are named, and those that
-- failed since a time. How many.
create function crm_webhook_redeliver(
    p_tenant uuid, p_target text, p_at timestamptz, p_jobs uuid[], p_numbers integer[],
    p_since timestamptz, p_limit integer)
returns integer
language plpgsql as $$
declare
    v_records uuid[];
    v_count integer;
    v_record uuid;
begin
    with wanted as (
        select x.job_id, x.number
        from crm_effects x
        where x.tenant_id = p_tenant and x.target = p_target and x.kind = 'webhook'
            and x.state in ('done', 'dead')
            and ((x.state = 'dead' and x.finished_at >= p_since)
                or exists (
                    select from unnest(p_jobs, p_numbers) as n (job, number)
                    where n.job = x.job_id and n.number = x.number))
        order by x.job_id, x.number
        limit p_limit
        for update
    ),
    again as (
        update crm_effects x
        set state = 'waiting', attempts = 0, available_at = p_at, error = null, status = null,
            finished_at = null
        from wanted w
        where x.tenant_id = p_tenant and x.job_id = w.job_id and x.number = w.number
        returning x.record_id
    )
    select array_agg(distinct a.record_id order by a.record_id), count(*)
    into v_records, v_count
    from again a;
    foreach v_record in array coalesce(v_records, '{}') loop
        perform crm_webhook_next(p_tenant, p_target, v_record, p_at);
    end loop;
    return v_count;
end
$$;
