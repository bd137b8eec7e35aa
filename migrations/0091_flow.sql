-- Runs of more than one step. A job keeps where it stands in `place`, written by the commit that
-- ends each step, and goes back to the queue until it is over; attempts count from the last step
-- that ended.

alter table crm_jobs add column place jsonb;
-- Attempts at its step that came to an end, and failed. Those that did not come to one are no fault
-- of the run's, as long as they are not too many.
alter table crm_jobs add column failures integer not null default 0;
-- The step that asked, by its name.
alter table crm_effects add column step text;
-- The step that an attempt was for; empty of one that came before there was more than one.
alter table crm_workflow_logs add column step text;

-- The function of 0089. Whoever has come a step further starts to count anew; what a step asks for
-- goes out when the step has ended, however many follow.
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
        place = case when v_moved then p_completion -> 'place' else j.place end,
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

drop function crm_jobs_load;

-- The function of 0080, with the place.
create function crm_jobs_load(p_tenant uuid, p_jobs uuid[])
returns table (
    model_version bigint, job_id uuid, workflow_slug text, attempts integer, failures integer,
    place jsonb,
    event_id uuid, kind text, module_slug text, record_id uuid, record_version bigint,
    before jsonb, after jsonb, changed_fields jsonb, payload jsonb, actor jsonb, cause jsonb,
    depth integer, occurred_at timestamptz, current_version bigint, current_data jsonb)
language plpgsql as $$
declare
    v_model bigint;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select c.model_version into v_model from tenant_crm_configs c where c.tenant_id = p_tenant;
    return query
        select
            v_model, j.id, j.workflow_slug, j.attempts, j.failures, j.place,
            e.id, e.kind, e.module_slug, e.record_id,
            case when e.payload is null then e.record_version
                else coalesce(r.version, e.record_version) end,
            e.before, case when e.payload is null then e.after else r.data end,
            e.changed_fields, e.payload, e.actor, e.cause, e.depth, e.occurred_at,
            r.version, r.data
        from unnest(p_jobs) as wanted (id)
        join crm_jobs j on j.tenant_id = p_tenant and j.id = wanted.id
        join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
        left join crm_records r
            on r.tenant_id = p_tenant and r.id = e.record_id and r.deleted_at is null;
end
$$;

-- The function of 0080. A run may ask more than once: numbers go on.
create or replace function crm_effects_insert(
    p_tenant uuid, p_at timestamptz, p_job uuid, p_effects jsonb)
returns void
language plpgsql as $$
declare
    v_first integer;
begin
    select coalesce(max(e.number), 0) into v_first
    from crm_effects e
    where e.tenant_id = p_tenant and e.job_id = p_job;

    insert into crm_effects (
        tenant_id, job_id, number, kind, target, effect, secrets, workflow_slug, record_id,
        state, available_at, created_at, step)
    select
        p_tenant, p_job, v_first + n.number, n.one ->> 'kind', n.one ->> 'target',
        n.one -> 'effect', n.one -> 'secrets', j.workflow_slug, j.record_id, 'queued',
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

drop function crm_effects_load;

-- The function of 0080, with the step that asked.
create function crm_effects_load(p_tenant uuid, p_token uuid)
returns table (
    model_version bigint, job_id uuid, number integer, effect jsonb, secrets jsonb,
    attempts integer, workflow_slug text, step text, event_id uuid, kind text, module_slug text,
    record_id uuid, actor jsonb, cause jsonb, depth integer, occurred_at timestamptz)
language plpgsql as $$
declare
    v_model bigint;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select c.model_version into v_model from tenant_crm_configs c where c.tenant_id = p_tenant;
    return query
        select
            v_model, x.job_id, x.number, x.effect, x.secrets, x.attempts, x.workflow_slug, x.step,
            e.id, e.kind, e.module_slug, e.record_id, e.actor, e.cause, e.depth, e.occurred_at
        from crm_effects x
        join crm_jobs j on j.tenant_id = p_tenant and j.id = x.job_id
        join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
        where x.tenant_id = p_tenant and x.state = 'leased' and x.lease_token = p_token
        order by x.job_id, x.number;
end
$$;

-- The function of 0080. What follows is for the step that asked.
create or replace function crm_effect_finish(p_tenant uuid, p_at timestamptz, p_end jsonb)
returns void
language plpgsql as $$
declare
    v_next constant jsonb := p_end -> 'next';
    v_workflow text;
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
    returning x.workflow_slug into v_workflow;
    if not found then
        raise exception 'the lease is lost' using errcode = 'CR003';
    end if;
    if v_next is null or v_next = 'null' then
        return;
    end if;
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
        tenant_id, id, workflow_slug, event_id, module_slug, record_id, state, available_at,
        error, created_at, finished_at, place)
    select
        p_tenant, (v_next ->> 'job_id')::uuid, v_workflow, e.id, e.module_slug, e.record_id,
        case when v_next ->> 'error' is null then 'queued' else 'dead' end, p_at,
        v_next ->> 'error', p_at, case when v_next ->> 'error' is null then null else p_at end,
        v_next -> 'place'
    from crm_events e
    where e.tenant_id = p_tenant and e.id = (v_next ->> 'event_id')::uuid;
end
$$;
