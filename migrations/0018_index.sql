-- What can be looked up fast, kept beside crm_records by the same statement that writes them.
--
-- All of it is plain text under the "C" collation, because under row-level security PostgreSQL
-- uses an index only for leakproof operators: those of jsonb, numeric and tsvector are not. A
-- key is a text whose order is the order of the values (runtime/model/src/key.rs).

-- A row for each record and each indexed field, also where the field is empty (key ''); for
-- lists a row for each member. Sorted reads go along the primary key.
create table crm_index (
    tenant_id uuid not null,
    -- module.field
    slot text collate "C" not null,
    key text collate "C" not null,
    record_id uuid not null,
    primary key (tenant_id, slot, key, record_id)
);

alter table crm_index enable row level security;
alter table crm_index force row level security;
create policy tenant_isolation on crm_index
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, delete on crm_index to crm_runtime;

-- Values that no two records share. Records that are deleted have none.
create table crm_unique (
    tenant_id uuid not null,
    -- module.field, or module.(field,field)
    slot text collate "C" not null,
    key text collate "C" not null,
    record_id uuid not null,
    primary key (tenant_id, slot, key)
);

alter table crm_unique enable row level security;
alter table crm_unique force row level security;
create policy tenant_isolation on crm_unique
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, delete on crm_unique to crm_runtime;

-- Full-text search: the words of searchable fields, as PostgreSQL's text search reduces them in
-- the tenant's language.
create table crm_words (
    tenant_id uuid not null,
    word text collate "C" not null,
    module_slug text not null,
    record_id uuid not null,
    primary key (tenant_id, word, module_slug, record_id)
);

alter table crm_words enable row level security;
alter table crm_words force row level security;
create policy tenant_isolation on crm_words
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, delete on crm_words to crm_runtime;

-- Lists by when and by whose, for every module.
create index crm_records_by_created on crm_records (tenant_id, module_slug, created_at, id)
    where deleted_at is null;
create index crm_records_by_updated on crm_records (tenant_id, module_slug, updated_at, id)
    where deleted_at is null;
create index crm_records_by_owner on crm_records (tenant_id, module_slug, owner_id, id)
    where deleted_at is null;

-- The trash.
create index crm_records_deleted on crm_records (tenant_id, module_slug, id)
    where deleted_at is not null;
