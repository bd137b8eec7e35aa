-- The host OS owns tenants. Where there is no host, this is the least of one that the CRM needs;
-- where there is, its tables are left as they are.

create schema if not exists os;

create table if not exists os.tenants (
    id uuid primary key,
    name text not null,
    created_at timestamptz not null default now()
);

alter table os.tenants enable row level security;

do $$
begin
    create policy crm_reads_own_tenant on os.tenants for select to crm_runtime
        using (id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
exception
    when duplicate_object then null;
end
$$;

grant usage on schema os to crm_runtime;
grant select on os.tenants to crm_runtime;
