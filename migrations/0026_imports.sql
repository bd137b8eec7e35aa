-- Files that people import. A file comes in chunks, each a transaction of its own, so that an
-- upload holds nothing open and any instance can run the import.

create table crm_imports (
    tenant_id uuid not null,
    id uuid not null,
    file_name text not null,
    -- None until the upload is complete.
    module_slug text,
    delimiter text,
    -- Names of the columns with samples and what they seem to be.
    columns jsonb not null default '[]',
    -- Rows of data, without the header.
    row_count bigint not null default 0,
    byte_count bigint not null default 0,
    -- The run that began last.
    task_id uuid,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, id)
);

create index crm_imports_by_created on crm_imports (tenant_id, created_at);

alter table crm_imports enable row level security;
alter table crm_imports force row level security;
create policy tenant_isolation on crm_imports
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_imports to crm_runtime;

-- All chunks but the last have the same size (IMPORT_CHUNK_BYTES in runtime/model/src/limits.rs).
create table crm_import_chunks (
    tenant_id uuid not null,
    import_id uuid not null,
    -- Counts from 0.
    position integer not null,
    bytes bytea not null,
    primary key (tenant_id, import_id, position)
);

-- Compressing again what is read once costs more than it saves.
alter table crm_import_chunks alter column bytes set storage external;

alter table crm_import_chunks enable row level security;
alter table crm_import_chunks force row level security;
create policy tenant_isolation on crm_import_chunks
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, delete on crm_import_chunks to crm_runtime;
