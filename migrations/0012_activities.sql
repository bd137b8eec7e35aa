-- The timeline of records.

create table crm_activities (
    tenant_id uuid not null,
    id uuid not null,
    module_slug text not null,
    record_id uuid not null,
    kind text not null,
    title text not null,
    body text,
    created_at timestamptz not null,
    created_by text not null,
    cause jsonb not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, record_id) references crm_records (tenant_id, id)
);

create index crm_activities_by_record on crm_activities (tenant_id, record_id, id);

alter table crm_activities enable row level security;
alter table crm_activities force row level security;
create policy tenant_isolation on crm_activities
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_activities to crm_runtime;
