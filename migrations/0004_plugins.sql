-- Published components (templates and actions): immutable, one row a version.

create table crm_plugins (
    name text not null,
    version text not null,
    world text not null check (world in ('action', 'template')),
    digest text not null,
    manifest jsonb not null,
    component bytea not null,
    published_at timestamptz not null default now(),
    primary key (name, version)
);

alter table crm_plugins enable row level security;
alter table crm_plugins force row level security;
create policy tenants_read on crm_plugins for select to crm_runtime
    using (nullif(current_setting('crm.tenant_id', true), '') is not null);
do $$
begin
    execute format(
        'create policy owner_publishes on crm_plugins to %I using (true) with check (true)',
        current_user);
end
$$;

grant select on crm_plugins to crm_runtime;
