-- Workflows that a time starts: when to look at each again, and which values of its date's field
-- have been reached.

create table crm_schedules (
    tenant_id uuid not null,
    workflow_slug text not null,
    next_at timestamptz not null,
    -- The newest value of the field whose time was reached; none where a clock says when.
    reached text,
    primary key (tenant_id, workflow_slug)
);

create index crm_schedules_due on crm_schedules (next_at);

alter table crm_schedules enable row level security;
alter table crm_schedules force row level security;
create policy tenant_isolation on crm_schedules to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_looks on crm_schedules to crm_scheduler
    using (true) with check (false);

grant select, insert, update, delete on crm_schedules to crm_runtime;
grant select on crm_schedules to crm_scheduler;

-- What is due, of all tenants that are not suspended. Whoever keeps one locks it, and looks again.
create function crm_schedules_due(p_now timestamptz, p_limit integer)
returns table (tenant_id uuid, workflow_slug text)
language sql security definer set search_path = pg_catalog, public as $$
    select s.tenant_id, s.workflow_slug
    from crm_schedules s
    where s.next_at <= p_now
        and not exists (select from crm_suspensions x where x.tenant_id = s.tenant_id)
    order by s.next_at
    limit p_limit;
$$;

revoke all on function crm_schedules_due from public;
grant execute on function crm_schedules_due to crm_runtime;
grant create on schema public to crm_scheduler;
alter function crm_schedules_due owner to crm_scheduler;
revoke create on schema public from crm_scheduler;
