-- Long work that a request asks for and does not wait for: imports, building indexes, removing
-- a field's values. Done in steps of one transaction each, which keep their place in `state`,
-- so that whoever takes over after a crash goes on where the last step ended.

create table crm_tasks (
    tenant_id uuid not null,
    id uuid not null,
    kind text not null,
    -- What is to do; never changes.
    spec jsonb not null,
    status text not null check (status in ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- Where the work stands and what came out; the kind's own form.
    state jsonb not null default '{}',
    error text,
    -- When it may be taken: its due time while queued, the end of its lease while running.
    available_at timestamptz not null,
    lease_token uuid,
    -- Times that it was taken since it last came a step further.
    attempts integer not null default 0,
    created_at timestamptz not null,
    created_by text not null,
    updated_at timestamptz not null,
    finished_at timestamptz,
    primary key (tenant_id, id)
);

create index crm_tasks_open on crm_tasks (available_at) where status in ('queued', 'running');

alter table crm_tasks enable row level security;
alter table crm_tasks force row level security;
create policy tenant_isolation on crm_tasks to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_leases on crm_tasks to crm_scheduler using (true) with check (true);

grant select, insert, update on crm_tasks to crm_runtime;
grant select, update on crm_tasks to crm_scheduler;

-- Takes the task that is due longest, of any tenant. Hands out ids alone, as crm_jobs_lease does:
-- what a task holds is read under its tenant.
create function crm_tasks_lease(p_now timestamptz, p_until timestamptz, p_token uuid)
returns table (tenant_id uuid, task_id uuid)
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    return query
        with due as (
            select t.tenant_id, t.id
            from crm_tasks t
            where t.status in ('queued', 'running') and t.available_at <= p_now
            order by t.available_at
            limit 1
            for update skip locked
        )
        update crm_tasks t
        set status = 'running', available_at = p_until, lease_token = p_token,
            attempts = t.attempts + 1
        from due
        where t.tenant_id = due.tenant_id and t.id = due.id
        returning t.tenant_id, t.id;
end
$$;

revoke all on function crm_tasks_lease from public;
grant execute on function crm_tasks_lease to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_tasks_lease owner to crm_scheduler;
revoke create on schema public from crm_scheduler;
