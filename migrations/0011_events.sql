-- What committed mutations left behind: the whole record before and after. Append-only.

create table crm_events (
    tenant_id uuid not null,
    id uuid not null,
    kind text not null,
    module_slug text not null,
    record_id uuid not null,
    record_version bigint not null,
    before jsonb,
    after jsonb,
    changed_fields jsonb not null,
    actor jsonb not null,
    cause jsonb not null,
    depth integer not null,
    occurred_at timestamptz not null,
    primary key (tenant_id, id)
);

alter table crm_events enable row level security;
alter table crm_events force row level security;
create policy tenant_isolation on crm_events
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert on crm_events to crm_runtime;
