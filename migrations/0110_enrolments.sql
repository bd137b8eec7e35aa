-- Which run a record went through a workflow with last, of workflows that not every event starts
-- anew.

create table crm_enrolments (
    tenant_id uuid not null,
    workflow_slug text not null,
    record_id uuid not null,
    job_id uuid not null,
    enrolled_at timestamptz not null,
    primary key (tenant_id, workflow_slug, record_id)
);

alter table crm_enrolments enable row level security;
alter table crm_enrolments force row level security;
create policy tenant_isolation on crm_enrolments to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update on crm_enrolments to crm_runtime;

-- Whether the record goes through the workflow with this run: not where another one went first,
-- or, unless once is for ever, has not ended.
create function crm_enrol(
    p_tenant uuid, p_workflow text, p_record uuid, p_job uuid, p_once boolean, p_at timestamptz)
returns boolean
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    insert into crm_enrolments as e (tenant_id, workflow_slug, record_id, job_id, enrolled_at)
    values (p_tenant, p_workflow, p_record, p_job, p_at)
    on conflict (tenant_id, workflow_slug, record_id) do update
    set job_id = excluded.job_id, enrolled_at = excluded.enrolled_at
    where e.job_id = excluded.job_id
        or (not p_once and not exists (
            select from crm_jobs j
            where j.tenant_id = e.tenant_id and j.id = e.job_id
                and j.state in ('waiting', 'queued', 'leased')));
    return found;
end
$$;
