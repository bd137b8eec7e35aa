-- Who has roles in a tenant beside those that the login gives. Read with the model and part of
-- it, so each change advances its version and holds from the next request on, on every instance.

create table crm_members (
    tenant_id uuid not null,
    user_id text not null,
    roles text[] not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, user_id)
);

alter table crm_members enable row level security;
alter table crm_members force row level security;
create policy tenant_isolation on crm_members
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_members to crm_runtime;
