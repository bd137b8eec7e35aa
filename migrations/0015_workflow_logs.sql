-- The audit trail of runs: one row for each attempt at a job. Append-only.

create table crm_workflow_logs (
    tenant_id uuid not null,
    id uuid not null,
    job_id uuid not null,
    workflow_slug text not null,
    attempt integer not null,
    status text not null check (status in ('done', 'skipped', 'failed')),
    input jsonb not null,
    steps jsonb not null,
    mutations jsonb not null,
    fuel bigint not null,
    memory_bytes bigint not null,
    duration_us bigint not null,
    error text,
    started_at timestamptz not null,
    primary key (tenant_id, id)
);

create index crm_workflow_logs_by_job on crm_workflow_logs (tenant_id, job_id, attempt);

alter table crm_workflow_logs enable row level security;
alter table crm_workflow_logs force row level security;
create policy tenant_isolation on crm_workflow_logs
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_workflow_logs to crm_runtime;
