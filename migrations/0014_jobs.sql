-- The queue: one row for each workflow that an event starts. available_at is when a job may be
-- taken: its due time while queued, the end of its lease while leased.

create table crm_jobs (
    tenant_id uuid not null,
    id uuid not null,
    workflow_slug text not null,
    event_id uuid not null,
    module_slug text not null,
    record_id uuid not null,
    state text not null check (state in ('queued', 'leased', 'done', 'dead')),
    attempts integer not null default 0,
    available_at timestamptz not null,
    lease_token uuid,
    error text,
    created_at timestamptz not null,
    finished_at timestamptz,
    primary key (tenant_id, id)
);

create index crm_jobs_open on crm_jobs (tenant_id, available_at) where state in ('queued', 'leased');
create index crm_jobs_by_record on crm_jobs (tenant_id, record_id, id);

alter table crm_jobs enable row level security;
alter table crm_jobs force row level security;
create policy tenant_isolation on crm_jobs to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_leases on crm_jobs to crm_scheduler using (true) with check (true);

grant select, insert, update on crm_jobs to crm_runtime;
grant select, update on crm_jobs to crm_scheduler;

-- Takes up to p_limit due jobs, fairly: walks the tenants that have open jobs (a loose index
-- scan), starting after p_after and going round, and takes the same share from each. The only
-- function that looks across tenants, and it hands out ids alone: what a job holds is read
-- under its tenant. A job whose lease ran out is due again; attempts count leases, so that a
-- job which kills its worker ends too.
create function crm_jobs_lease(
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

revoke all on function crm_jobs_lease from public;
grant execute on function crm_jobs_lease to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_jobs_lease owner to crm_scheduler;
revoke create on schema public from crm_scheduler;

-- What leased jobs of one tenant need, in one round trip: the job, its event, and the event's
-- record as it stands now.
create function crm_jobs_load(p_tenant uuid, p_jobs uuid[])
returns table (
    model_version bigint, job_id uuid, workflow_slug text, attempts integer,
    event_id uuid, kind text, module_slug text, record_id uuid, record_version bigint,
    before jsonb, after jsonb, changed_fields jsonb, actor jsonb, cause jsonb, depth integer,
    occurred_at timestamptz, current_version bigint, current_data jsonb)
language plpgsql as $$
declare
    v_model bigint;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select c.model_version into v_model from tenant_crm_configs c where c.tenant_id = p_tenant;
    return query
        select
            v_model, j.id, j.workflow_slug, j.attempts,
            e.id, e.kind, e.module_slug, e.record_id, e.record_version,
            e.before, e.after, e.changed_fields, e.actor, e.cause, e.depth,
            e.occurred_at, r.version, r.data
        from unnest(p_jobs) as wanted (id)
        join crm_jobs j on j.tenant_id = p_tenant and j.id = wanted.id
        join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
        left join crm_records r
            on r.tenant_id = p_tenant and r.id = e.record_id and r.deleted_at is null;
end
$$;
