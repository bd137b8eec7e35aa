-- All records of all modules of all tenants. A deleted record stays, marked.
--
-- There is no GIN index on data: under row-level security PostgreSQL does not use it, because
-- the operators of jsonb are not leakproof, and it would cost every write.

create table crm_records (
    tenant_id uuid not null,
    id uuid not null,
    module_slug text not null,
    data jsonb not null,
    version bigint not null check (version > 0),
    owner_id text not null,
    created_at timestamptz not null,
    created_by text not null,
    updated_at timestamptz not null,
    updated_by text not null,
    deleted_at timestamptz,
    primary key (tenant_id, id)
);

create index crm_records_by_module on crm_records (tenant_id, module_slug, id)
    where deleted_at is null;

alter table crm_records enable row level security;
alter table crm_records force row level security;
create policy tenant_isolation on crm_records
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update on crm_records to crm_runtime;

-- A point read in one round trip: always one row, its record's columns null where there is none.
create function crm_record_read(p_tenant uuid, p_module text, p_record uuid)
returns table (
    model_version bigint, id uuid, module_slug text, data jsonb, version bigint, owner_id text,
    created_at timestamptz, created_by text, updated_at timestamptz, updated_by text,
    deleted_at timestamptz)
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    return query
        select
            (select c.model_version from tenant_crm_configs c where c.tenant_id = p_tenant),
            r.id, r.module_slug, r.data, r.version, r.owner_id, r.created_at, r.created_by,
            r.updated_at, r.updated_by, r.deleted_at
        from (values (1)) as always (one)
        left join crm_records r
            on r.tenant_id = p_tenant and r.id = p_record and r.module_slug = p_module
            and r.deleted_at is null;
end
$$;
