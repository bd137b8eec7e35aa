-- Addresses at which requests from outside start workflows. Each holds a secret, of which only the
-- SHA-256 is kept.

create table crm_incoming (
    tenant_id uuid not null,
    workflow_slug text not null,
    secret_hash bytea not null,
    -- How the secret begins, by which people tell it from others.
    prefix text not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, workflow_slug)
);

create unique index crm_incoming_by_secret on crm_incoming (tenant_id, secret_hash);

alter table crm_incoming enable row level security;
alter table crm_incoming force row level security;
create policy tenant_isolation on crm_incoming to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update, delete on crm_incoming to crm_runtime;

-- For the run that a message started which comes again.
create index crm_jobs_of_no_record on crm_jobs (tenant_id, event_id)
    where record_id = '00000000-0000-0000-0000-000000000000';
