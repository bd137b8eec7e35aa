-- Who changed which values of a record, when and why: one row a version, append-only. Before
-- and after hold the changed fields only.

create table crm_record_history (
    tenant_id uuid not null,
    record_id uuid not null,
    version bigint not null,
    kind text not null,
    changed_before jsonb,
    changed_after jsonb,
    changed_at timestamptz not null,
    changed_by text not null,
    cause jsonb not null,
    event_id uuid not null,
    primary key (tenant_id, record_id, version)
);

alter table crm_record_history enable row level security;
alter table crm_record_history force row level security;
create policy tenant_isolation on crm_record_history
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_record_history to crm_runtime;
