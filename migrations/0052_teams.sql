-- Teams, and what rules for records see of people beside their roles. Read with the model and
-- part of it, so each change advances its version.

create table crm_teams (
    tenant_id uuid not null,
    slug text not null,
    label text not null,
    members text[] not null,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, slug)
);

alter table crm_teams enable row level security;
alter table crm_teams force row level security;
create policy tenant_isolation on crm_teams
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_teams to crm_runtime;

alter table crm_members add attributes jsonb not null default '{}';
