-- The host OS's other tables. Nothing of ours reads them, so the runtime's role has no right to
-- them; where a host made its own they are left as they are. What is read of tenants is read
-- through one narrow view, which shows a tenant itself alone, whatever the host's table allows.

do $$
begin
    if to_regclass('os.platform_users') is null then
        create table os.platform_users (
            tenant_id uuid not null,
            id text not null,
            name text not null,
            primary key (tenant_id, id)
        );
        alter table os.platform_users enable row level security;
        alter table os.platform_users force row level security;
    end if;
    if to_regclass('os.apps') is null then
        create table os.apps (slug text primary key, title text not null);
    end if;
    if to_regclass('os.tenant_apps') is null then
        create table os.tenant_apps (
            tenant_id uuid not null,
            app_slug text not null,
            primary key (tenant_id, app_slug)
        );
        alter table os.tenant_apps enable row level security;
        alter table os.tenant_apps force row level security;
    end if;
end
$$;

create view crm_tenants with (security_invoker = true, security_barrier = true) as
    select t.id, t.name
    from os.tenants t
    where t.id = nullif(current_setting('crm.tenant_id', true), '')::uuid;
grant select on crm_tenants to crm_runtime;
