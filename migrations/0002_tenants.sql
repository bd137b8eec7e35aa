-- The host OS owns tenants. Where there is one, its table is left as it is, and the host grants
-- crm_runtime to read id and name; where there is none, this is the least of one.

do $$
begin
    if to_regclass('os.tenants') is not null then
        return;
    end if;
    create schema if not exists os;
    create table os.tenants (
        id uuid primary key,
        name text not null,
        created_at timestamptz not null default now()
    );
    alter table os.tenants enable row level security;
    create policy crm_reads_own_tenant on os.tenants for select to crm_runtime
        using (id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
    grant usage on schema os to crm_runtime;
    grant select on os.tenants to crm_runtime;
end
$$;
