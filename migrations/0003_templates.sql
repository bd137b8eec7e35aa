-- Published templates: immutable, one row a version. The owner publishes, every tenant reads; a
-- connection without a tenant sees none.

create table crm_templates (
    slug text not null,
    version text not null,
    title text not null,
    description text not null,
    definition jsonb not null,
    digest text not null,
    published_at timestamptz not null default now(),
    primary key (slug, version)
);

alter table crm_templates enable row level security;
alter table crm_templates force row level security;
create policy tenants_read on crm_templates for select to crm_runtime
    using (nullif(current_setting('crm.tenant_id', true), '') is not null);
-- Forcing holds for the owner too; publishing needs no tenant.
do $$
begin
    execute format(
        'create policy owner_publishes on crm_templates to %I using (true) with check (true)',
        current_user);
end
$$;

grant select on crm_templates to crm_runtime;
