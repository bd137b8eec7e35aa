-- What runs asked for beyond records: mails, webhooks, requests, notifications, times. A row comes
-- with the end of its run, in one commit, and is delivered at least once after it, under the key
-- `<job id>:<number>`. available_at is when it may be taken: its due time while queued, the end of
-- its lease while leased.

create table crm_effects (
    tenant_id uuid not null,
    job_id uuid not null,
    -- Counts from 1.
    number integer not null,
    kind text not null,
    -- The webhook's endpoint, the request's or the schedule's key; empty for other kinds.
    target text not null,
    effect jsonb not null,
    -- Names of the secrets whose handles stand in it, which the run was allowed to send.
    secrets jsonb not null,
    workflow_slug text not null,
    record_id uuid not null,
    state text not null check (state in ('queued', 'leased', 'done', 'dead', 'replaced')),
    attempts integer not null default 0,
    available_at timestamptz not null,
    lease_token uuid,
    -- Why it is not done, or was not the last time.
    error text,
    -- Of the last answer from outside: an HTTP status.
    status integer,
    created_at timestamptz not null,
    finished_at timestamptz,
    primary key (tenant_id, job_id, number)
);

create index crm_effects_open on crm_effects (tenant_id, available_at)
    where state in ('queued', 'leased');
-- For the scheduler's first question: is there anything at all?
create index crm_effects_due on crm_effects (available_at) where state in ('queued', 'leased');
create index crm_effects_scheduled on crm_effects (tenant_id, record_id, workflow_slug, target)
    where kind = 'schedule' and state = 'queued';
create index crm_effects_by_endpoint on crm_effects (tenant_id, target, job_id, number)
    where kind = 'webhook';

alter table crm_effects enable row level security;
alter table crm_effects force row level security;
create policy tenant_isolation on crm_effects to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_leases on crm_effects to crm_scheduler using (true) with check (true);

grant select, insert, update on crm_effects to crm_runtime;
grant select, update on crm_effects to crm_scheduler;

-- Takes up to p_limit due effects as crm_jobs_lease takes jobs: the same share from every tenant
-- that has some, starting after p_after in the round; and of no tenant more than p_each that are
-- out at the same time, so that one tenant's slow neighbours do not hold up the others.
create function crm_effects_lease(
    p_now timestamptz, p_until timestamptz, p_token uuid, p_limit integer, p_each integer,
    p_after uuid)
returns table (tenant_id uuid)
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_tenants uuid[] := '{}';
    v_places integer[] := '{}';
    v_tenant uuid;
    v_last uuid := p_after;
    v_wrapped boolean := false;
    v_free integer;
    v_share integer;
begin
    if not exists (
        select from crm_effects e
        where e.state in ('queued', 'leased') and e.available_at <= p_now
    ) then
        return;
    end if;
    loop
        exit when cardinality(v_tenants) >= p_limit;
        select e.tenant_id into v_tenant
        from crm_effects e
        where e.state in ('queued', 'leased')
            and e.tenant_id > coalesce(v_last, '00000000-0000-0000-0000-000000000000')
        order by e.tenant_id
        limit 1;
        if v_tenant is null or (v_wrapped and v_tenant > p_after) then
            exit when v_wrapped or p_after is null;
            v_wrapped := true;
            v_last := null;
            continue;
        end if;
        v_last := v_tenant;
        if exists (
            select from crm_effects e
            where e.tenant_id = v_tenant and e.state in ('queued', 'leased')
                and e.available_at <= p_now
        ) and not exists (
            select from crm_suspensions s where s.tenant_id = v_tenant
        ) then
            select p_each - count(*) into v_free
            from crm_effects e
            where e.tenant_id = v_tenant and e.state = 'leased' and e.available_at > p_now;
            if v_free > 0 then
                v_tenants := v_tenants || v_tenant;
                v_places := v_places || v_free;
            end if;
        end if;
    end loop;
    if cardinality(v_tenants) = 0 then
        return;
    end if;
    v_share := ceil(p_limit::numeric / cardinality(v_tenants));
    return query
        with due as (
            select d.tenant_id, d.job_id, d.number
            from unnest(v_tenants, v_places) as t (id, free)
            cross join lateral (
                select e.tenant_id, e.job_id, e.number
                from crm_effects e
                where e.tenant_id = t.id and e.state in ('queued', 'leased')
                    and e.available_at <= p_now
                order by e.available_at
                limit least(v_share, t.free)
                for update skip locked
            ) d
            limit p_limit
        ),
        leased as (
            update crm_effects e
            set state = 'leased', attempts = e.attempts + 1, available_at = p_until,
                lease_token = p_token
            from due
            where e.tenant_id = due.tenant_id and e.job_id = due.job_id
                and e.number = due.number
            returning e.tenant_id
        )
        select distinct l.tenant_id from leased l order by l.tenant_id;
end
$$;

revoke all on function crm_effects_lease from public;
grant execute on function crm_effects_lease to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_effects_lease owner to crm_scheduler;
revoke create on schema public from crm_scheduler;

-- What comes with events that are of more than a record: an answer, what was to be remembered.
alter table crm_events add payload jsonb;

drop function crm_jobs_load;

-- The function of 0014, with the event's payload. Events that are of more than a record hold none:
-- they tell of the record as it stands now.
create function crm_jobs_load(p_tenant uuid, p_jobs uuid[])
returns table (
    model_version bigint, job_id uuid, workflow_slug text, attempts integer,
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
            v_model, j.id, j.workflow_slug, j.attempts,
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

-- The effects of a run that is done. A schedule takes the place of the one that waits under the
-- same key for the same workflow and record.
create function crm_effects_insert(p_tenant uuid, p_at timestamptz, p_job uuid, p_effects jsonb)
returns void
language plpgsql as $$
begin
    insert into crm_effects (
        tenant_id, job_id, number, kind, target, effect, secrets, workflow_slug, record_id,
        state, available_at, created_at)
    select
        p_tenant, p_job, n.number, n.one ->> 'kind', n.one ->> 'target', n.one -> 'effect',
        n.one -> 'secrets', j.workflow_slug, j.record_id, 'queued',
        coalesce((n.one ->> 'due')::timestamptz, p_at), p_at
    from jsonb_array_elements(p_effects) with ordinality as n (one, number)
    join crm_jobs j on j.tenant_id = p_tenant and j.id = p_job;

    update crm_effects old
    set state = 'replaced', finished_at = p_at
    from crm_effects new
    where new.tenant_id = p_tenant and new.job_id = p_job and new.kind = 'schedule'
        and old.tenant_id = p_tenant and old.record_id = new.record_id
        and old.workflow_slug = new.workflow_slug and old.target = new.target
        and old.kind = 'schedule' and old.state = 'queued'
        and (old.job_id <> p_job or old.number < new.number);
end
$$;

-- The end of an attempt, what the run keeps (0070) and what it asks for.
create or replace function crm_job_complete(p_tenant uuid, p_at timestamptz, p_completion jsonb)
returns void
language plpgsql as $$
begin
    update crm_jobs j
    set state = p_completion ->> 'state',
        available_at = coalesce((p_completion ->> 'available_at')::timestamptz, p_at),
        lease_token = null,
        error = p_completion ->> 'error',
        finished_at = case when p_completion ->> 'state' in ('done', 'dead') then p_at end
    where j.tenant_id = p_tenant
        and j.id = (p_completion ->> 'job_id')::uuid
        and j.state = 'leased'
        and j.lease_token = (p_completion ->> 'lease_token')::uuid;
    if not found then
        raise exception 'the lease is lost' using errcode = 'CR003';
    end if;
    if p_completion -> 'root' <> 'null' then
        perform crm_event_total(p_tenant, p_completion -> 'root');
    end if;
    if jsonb_array_length(p_completion -> 'keeps') > 0 then
        perform crm_state_keep(p_tenant, p_at, p_completion -> 'keeps');
    end if;
    if p_completion ->> 'state' = 'done' and jsonb_array_length(p_completion -> 'effects') > 0 then
        perform crm_effects_insert(
            p_tenant, p_at, (p_completion ->> 'job_id')::uuid, p_completion -> 'effects');
    end if;
    insert into crm_workflow_logs (
        tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations,
        fuel, memory_bytes, duration_us, error, started_at)
    select
        p_tenant, l.id, (p_completion ->> 'job_id')::uuid, l.workflow, l.attempt, l.status,
        l.input, l.steps, l.mutations, l.fuel, l.memory_bytes, l.duration_us,
        p_completion ->> 'error', l.started_at
    from jsonb_to_record(p_completion -> 'log') as l (
        id uuid, workflow text, attempt integer, status text, input jsonb, steps jsonb,
        mutations jsonb, fuel bigint, memory_bytes bigint, duration_us bigint,
        started_at timestamptz);
end
$$;

-- The leased effects of one tenant, each with the event that its run was for.
create function crm_effects_load(p_tenant uuid, p_token uuid)
returns table (
    model_version bigint, job_id uuid, number integer, effect jsonb, secrets jsonb,
    attempts integer, workflow_slug text, event_id uuid, kind text, module_slug text,
    record_id uuid, actor jsonb, cause jsonb, depth integer, occurred_at timestamptz)
language plpgsql as $$
declare
    v_model bigint;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select c.model_version into v_model from tenant_crm_configs c where c.tenant_id = p_tenant;
    return query
        select
            v_model, x.job_id, x.number, x.effect, x.secrets, x.attempts, x.workflow_slug,
            e.id, e.kind, e.module_slug, e.record_id, e.actor, e.cause, e.depth, e.occurred_at
        from crm_effects x
        join crm_jobs j on j.tenant_id = p_tenant and j.id = x.job_id
        join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
        where x.tenant_id = p_tenant and x.state = 'leased' and x.lease_token = p_token
        order by x.job_id, x.number;
end
$$;

-- How an attempt at an effect ended, and the event and the run that follow: CR003 where somebody
-- else has it by now.
create function crm_effect_finish(p_tenant uuid, p_at timestamptz, p_end jsonb)
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
        error, created_at, finished_at)
    select
        p_tenant, (v_next ->> 'job_id')::uuid, v_workflow, e.id, e.module_slug, e.record_id,
        case when v_next ->> 'error' is null then 'queued' else 'dead' end, p_at,
        v_next ->> 'error', p_at, case when v_next ->> 'error' is null then null else p_at end
    from crm_events e
    where e.tenant_id = p_tenant and e.id = (v_next ->> 'event_id')::uuid;
end
$$;
