-- Notes to people, inside of the CRM: one row for each of them.

create table crm_notifications (
    tenant_id uuid not null,
    id uuid not null,
    user_id text not null,
    title text not null,
    body text,
    workflow_slug text not null,
    module_slug text not null,
    record_id uuid not null,
    created_at timestamptz not null,
    read_at timestamptz,
    primary key (tenant_id, id)
);

create index crm_notifications_by_user on crm_notifications (tenant_id, user_id, id);

alter table crm_notifications enable row level security;
alter table crm_notifications force row level security;
create policy tenant_isolation on crm_notifications to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update on crm_notifications to crm_runtime;
