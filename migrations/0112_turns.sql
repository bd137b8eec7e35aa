-- Whose turn it is within a tenant: by priority, and as far as limits of what may be under way at
-- once have room.

-- 0: interactive, 1: normal, 2: bulk.
alter table crm_jobs add column priority smallint not null default 1
    check (priority between 0 and 2);
-- What limits the job beside its tenant, as names of crm_concurrency that a space parts: first
-- `workflow:…`, then `plugin:…` of the step that it is at. Jobs of one lane wait for the same.
alter table crm_jobs add column lane text collate "C" not null default '';

-- A worker goes to the first jobs of each lane, state and priority, and counts a lane's leases.
drop index crm_jobs_open;
create index crm_jobs_open on crm_jobs (tenant_id, lane, state, priority, available_at)
    where state in ('queued', 'leased');

-- How many runs of a workflow, or runs that are at a step of a plugin, may be under way at once:
-- what the tenant's model says, in sight of those who lease.
create table crm_concurrency (
    tenant_id uuid not null,
    name text collate "C" not null,
    most integer not null check (most > 0),
    primary key (tenant_id, name)
);

alter table crm_concurrency enable row level security;
alter table crm_concurrency force row level security;
create policy tenant_isolation on crm_concurrency
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_waits on crm_concurrency to crm_scheduler
    using (true) with check (false);
grant select, insert, update, delete on crm_concurrency to crm_runtime;
grant select on crm_concurrency to crm_scheduler;

alter table crm_plugin_installs add column concurrency integer check (concurrency > 0);

-- How many runs of a tenant may be under way at once, all together.
alter table crm_quotas drop constraint crm_quotas_quota_check;
alter table crm_quotas add constraint crm_quotas_quota_check check (quota in (
    'records', 'api_calls', 'fuel', 'jobs', 'running', 'component_bytes', 'interpreter_bytes'));
create policy scheduler_waits on crm_quotas to crm_scheduler
    using (true) with check (false);
grant select on crm_quotas to crm_scheduler;

-- The lanes of a tenant that have due jobs and room for one at least, and how many more there is
-- room for under each name; the tenant's own name is empty. A lease counts until it ends, so nobody
-- who dies keeps room. p_most: of the tenant; null: no limit.
create function crm_rooms(
    p_tenant uuid, p_now timestamptz, p_most bigint, out lanes text[], out rooms jsonb)
language plpgsql stable as $$
begin
    with recursive lane (name) as (
        (
            select j.lane
            from crm_jobs j
            where j.tenant_id = p_tenant and j.state in ('queued', 'leased')
            order by j.lane
            limit 1
        )
        union all
        select (
            select j.lane
            from crm_jobs j
            where j.tenant_id = p_tenant and j.state in ('queued', 'leased')
                and j.lane > l.name
            order by j.lane
            limit 1
        )
        from lane l
        where l.name is not null
    ), taken (lane, names, jobs) as materialized (
        select l.name, string_to_array(l.name, ' '), (
            select count(*)
            from crm_jobs j
            where j.tenant_id = p_tenant and j.lane = l.name and j.state = 'leased'
                and j.available_at > p_now)
        from lane l
        where l.name is not null
    ), room (name, jobs) as materialized (
        select '', p_most - (select coalesce(sum(t.jobs), 0) from taken t)
        where p_most is not null
        union all
        select c.name, c.most - (
            select coalesce(sum(t.jobs), 0) from taken t where c.name = any (t.names))
        from crm_concurrency c
        where c.tenant_id = p_tenant
    )
    select
        (
            select array_agg(t.lane)
            from taken t
            where not exists (
                    select from room r where r.jobs <= 0 and (r.name = '' or r.name = any (t.names)))
                and exists (
                    select from unnest(array['queued', 'leased']) s (state)
                    cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
                    cross join lateral (
                        select from crm_jobs j
                        where j.tenant_id = p_tenant and j.lane = t.lane
                            and j.state in ('queued', 'leased') and j.state = s.state
                            and j.priority = p.priority and j.available_at <= p_now
                        order by j.available_at
                        limit 1
                    ) due)
        ),
        (select coalesce(jsonb_object_agg(r.name, r.jobs), '{}') from room r)
    into lanes, rooms;
end
$$;

revoke all on function crm_rooms from public;
grant execute on function crm_rooms to crm_runtime, crm_scheduler;

-- Up to p_share due jobs of a tenant with limits: p_aged of those that have waited longest, then
-- the most urgent ones; each as far as there is room for it.
create function crm_jobs_pick(
    p_tenant uuid, p_now timestamptz, p_most bigint, p_share integer, p_aged integer)
returns table (id uuid, lane text, priority smallint, available_at timestamptz, aged boolean)
language plpgsql as $$
declare
    v_lanes text[];
    v_rooms jsonb;
    v_jobs uuid[] := '{}';
    v_names text[];
    v_due record;
begin
    select r.lanes, r.rooms into v_lanes, v_rooms from crm_rooms(p_tenant, p_now, p_most) r;
    for v_due in
        with due as materialized (
            select j.*
            from unnest(v_lanes) l (lane)
            cross join unnest(array['queued', 'leased']) s (state)
            cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
            cross join lateral (
                select j.id, j.lane, j.priority, j.available_at
                from crm_jobs j
                where j.tenant_id = p_tenant and j.lane = l.lane
                    and j.state in ('queued', 'leased') and j.state = s.state
                    and j.priority = p.priority and j.available_at <= p_now
                order by j.available_at
                limit p_share
                for update skip locked
            ) j
        )
        select d.id, d.lane, d.priority, d.available_at, a.aged
        from due d
        cross join (values (true), (false)) a (aged)
        order by a.aged desc, case when not a.aged then d.priority end, d.available_at,
            d.priority, d.lane, d.id
    loop
        exit when cardinality(v_jobs) = p_share;
        continue when v_due.aged and cardinality(v_jobs) >= p_aged or v_due.id = any (v_jobs);
        v_names := array_prepend('', string_to_array(v_due.lane, ' '));
        continue when exists (
            select from unnest(v_names) n (name) where (v_rooms ->> n.name)::bigint <= 0);
        select v_rooms || coalesce(
            jsonb_object_agg(n.name, (v_rooms ->> n.name)::bigint - 1), '{}')
        into v_rooms
        from unnest(v_names) n (name)
        where v_rooms ? n.name;
        v_jobs := v_jobs || v_due.id;
        id := v_due.id;
        lane := v_due.lane;
        priority := v_due.priority;
        available_at := v_due.available_at;
        aged := v_due.aged;
        return next;
    end loop;
end
$$;

revoke all on function crm_jobs_pick from public;
grant execute on function crm_jobs_pick to crm_scheduler;

drop function crm_jobs_lease;

-- The function of 0065. Tenants take turns as before. Within a tenant the most urgent jobs are
-- taken, the first due first; but every fourth place is for the one that has waited longest,
-- whatever its priority, so that nothing waits for ever. Where a lease has fewer places for a
-- tenant, its token, which is random, says whether one of them is such a place.
--
-- Where something limits what may be under way, one lease at a time decides about the tenant; a
-- tenant that another one is deciding about is passed over, but for what no limit holds. p_running:
-- how many a tenant may have under way, unless something else was set for it; null: no limit.
--
-- Whatever the statistics say of a heap of work: each of these lookups is one in an index.
--
-- Jobs come in the order in which a worker is to begin them: those that have waited longest, then
-- by priority, the oldest first. In any other order the same ones could be last each time, and a
-- worker that is killed again and again would never come to them.
create function crm_jobs_lease(
    p_now timestamptz, p_until timestamptz, p_token uuid, p_limit integer, p_after uuid,
    p_running bigint default null)
returns table (tenant_id uuid, job_id uuid, lane text, priority smallint)
language plpgsql security definer
set search_path = pg_catalog, public set enable_seqscan = off as $$
declare
    v_tenants integer := 0;
    -- Those without limits, with their place in the round, and those with some.
    v_free uuid[] := '{}';
    v_free_turns integer[] := '{}';
    v_bound uuid[] := '{}';
    v_bound_turns integer[] := '{}';
    v_bound_mosts bigint[] := '{}';
    v_tenant uuid;
    v_last uuid := p_after;
    v_wrapped boolean := false;
    v_is_due boolean;
    v_is_bound boolean;
    v_most bigint;
    v_share integer;
    v_aged integer;
begin
    loop
        exit when v_tenants >= p_limit;
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
        -- Whether jobs are due that no name limits, whether there are others, and the tenant's
        -- limit.
        select
            exists (
                select from unnest(array['queued', 'leased']) s (state)
                cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
                cross join lateral (
                    select from crm_jobs j
                    where j.tenant_id = v_tenant and j.lane = ''
                        and j.state in ('queued', 'leased') and j.state = s.state
                        and j.priority = p.priority and j.available_at <= p_now
                    order by j.available_at
                    limit 1
                ) due),
            exists (
                select from crm_jobs j
                where j.tenant_id = v_tenant and j.state in ('queued', 'leased')
                    and j.lane > ''),
            case when q.tenant_id is null then p_running else q.amount end
        into v_is_due, v_is_bound, v_most
        from (select) one
        left join crm_quotas q on q.tenant_id = v_tenant and q.quota = 'running';
        v_is_bound := v_is_bound or v_most is not null;
        continue when not v_is_due and not v_is_bound
            or exists (select from crm_suspensions s where s.tenant_id = v_tenant)
            or exists (
                select from crm_deferrals d where d.tenant_id = v_tenant and d.until > p_now);
        if v_is_bound and pg_try_advisory_xact_lock(hashtextextended(v_tenant::text, 104)) then
            if exists (
                select from crm_rooms(v_tenant, p_now, v_most) r where r.lanes is not null
            ) then
                v_tenants := v_tenants + 1;
                v_bound := v_bound || v_tenant;
                v_bound_turns := v_bound_turns || v_tenants;
                v_bound_mosts := v_bound_mosts || v_most;
            end if;
        elsif v_is_due and v_most is null then
            v_tenants := v_tenants + 1;
            v_free := v_free || v_tenant;
            v_free_turns := v_free_turns || v_tenants;
        end if;
    end loop;
    if v_tenants = 0 then
        return;
    end if;
    v_share := ceil(p_limit::numeric / v_tenants);
    v_aged := (get_byte(uuid_send(p_token), 15) % 4 + v_share) / 4;
    return query
        with due as (
            select t.turn, t.id as tenant, d.id, d.lane, d.priority, d.available_at, d.aged
            from unnest(v_free, v_free_turns) t (id, turn)
            cross join lateral (
                select a.id, a.lane, a.priority, a.available_at, a.place <= v_aged as aged
                from (
                    select j.*, row_number() over (
                        order by j.available_at, j.priority, j.lane, j.id) as place
                    from unnest(array['queued', 'leased']) s (state)
                    cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
                    cross join lateral (
                        select j.id, j.lane, j.priority, j.available_at
                        from crm_jobs j
                        where j.tenant_id = t.id and j.lane = ''
                            and j.state in ('queued', 'leased') and j.state = s.state
                            and j.priority = p.priority and j.available_at <= p_now
                        order by j.available_at
                        limit v_share
                        for update skip locked
                    ) j
                ) a
                order by a.place > v_aged, a.priority, a.available_at, a.id
                limit v_share
            ) d
            union all
            select t.turn, t.id, d.id, d.lane, d.priority, d.available_at, d.aged
            from unnest(v_bound, v_bound_turns, v_bound_mosts) t (id, turn, most)
            cross join lateral crm_jobs_pick(t.id, p_now, t.most, v_share, v_aged) d
        ), turns as (
            select d.*
            from due d
            order by d.turn, d.aged desc, case when not d.aged then d.priority end,
                d.available_at, d.priority, d.lane, d.id
            limit p_limit
        ), leased as (
            update crm_jobs j
            set state = 'leased', attempts = j.attempts + 1, available_at = p_until,
                lease_token = p_token
            from turns t
            where j.tenant_id = t.tenant and j.id = t.id
            returning j.tenant_id, j.id, j.lane, j.priority, t.turn, t.aged
        )
        select l.tenant_id, l.id, l.lane, l.priority
        from leased l
        order by l.turn, l.aged desc, case when not l.aged then l.priority end, l.id;
end
$$;

revoke all on function crm_jobs_lease from public;
grant execute on function crm_jobs_lease to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_jobs_lease owner to crm_scheduler;
revoke create on schema public from crm_scheduler;

-- How many runs of a tenant may be under way at once, where nothing else was set: p_running. Null:
-- any number.
create function crm_running(p_tenant uuid, p_running bigint) returns bigint
language plpgsql stable as $$
declare
    v_amount bigint;
begin
    select q.amount into v_amount
    from crm_quotas q
    where q.tenant_id = p_tenant and q.quota = 'running';
    return case when found then v_amount else p_running end;
end
$$;

-- Whether a run that waits for the one before it waits for a limit in truth: that one is due where
-- there is no room. p_lanes: those that have room.
create function crm_run_held(
    p_tenant uuid, p_record uuid, p_event uuid, p_lanes text[], p_now timestamptz)
returns boolean
language plpgsql stable as $$
begin
    return exists (
        select from crm_jobs b
        where b.tenant_id = p_tenant and b.record_id = p_record and b.event_id = p_event
            and b.state = 'queued' and b.available_at <= p_now
            and b.lane <> all (coalesce(p_lanes, '{}')));
end
$$;

drop function crm_jobs_watch;

-- The function of 0096. What waits for room is not stuck, and nobody has to hurry for it.
create function crm_jobs_watch(
    p_now timestamptz, p_late timestamptz, p_most bigint, p_running bigint)
returns table (stuck bigint, oldest_due timestamptz)
language plpgsql security definer
set search_path = pg_catalog, public set enable_seqscan = off as $$
declare
    v_tenant uuid := '00000000-0000-0000-0000-000000000000';
    v_lanes text[];
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
        select j.tenant_id into v_tenant
        from crm_jobs j
        where j.state in ('queued', 'leased') and j.tenant_id > v_tenant
        order by j.tenant_id
        limit 1;
        exit when v_tenant is null;
        select r.lanes into v_lanes
        from crm_rooms(v_tenant, p_now, crm_running(v_tenant, p_running)) r;
        continue when v_lanes is null or crm_jobs_rest(v_tenant, p_now);
        select min(d.available_at) into v_due
        from unnest(v_lanes) l (lane)
        cross join unnest(array['queued', 'leased']) s (state)
        cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
        cross join lateral (
            select j.available_at
            from crm_jobs j
            where j.tenant_id = v_tenant and j.lane = l.lane
                and j.state in ('queued', 'leased') and j.state = s.state
                and j.priority = p.priority and j.available_at <= p_now
            order by j.available_at
            limit 1
        ) d;
        oldest_due := least(oldest_due, v_due);
        continue when v_due > p_late or stuck >= p_most;
        select count(*) into v_found
        from (
            select from unnest(v_lanes) l (lane)
            cross join unnest(array['queued', 'leased']) s (state)
            cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
            join crm_jobs j
                on j.tenant_id = v_tenant and j.lane = l.lane
                and j.state in ('queued', 'leased') and j.state = s.state
                and j.priority = p.priority and j.available_at <= p_late
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
        select r.lanes into v_lanes
        from crm_rooms(v_tenant, p_now, crm_running(v_tenant, p_running)) r;
        select count(*) into v_found
        from (
            select from crm_jobs j
            where j.tenant_id = v_tenant and j.state = 'waiting' and j.available_at <= p_late
                and not crm_run_held(j.tenant_id, j.record_id, j.event_id, v_lanes, p_now)
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

-- Gives a leased job back as if nobody had taken it, because it has to line up elsewhere: what
-- limits it was not known. Those that come after it go on waiting.
create function crm_job_line_up(
    p_tenant uuid, p_job uuid, p_token uuid, p_at timestamptz, p_lane text)
returns void
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    update crm_jobs j
    set state = 'queued', attempts = j.attempts - 1, available_at = p_at, lease_token = null,
        lane = p_lane
    where j.tenant_id = p_tenant and j.id = p_job and j.state = 'leased'
        and j.lease_token = p_token;
end
$$;
