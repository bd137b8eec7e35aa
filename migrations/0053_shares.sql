-- Records that were shared with somebody who would not reach them otherwise: a person
-- (`user:…`) or a team (`team:…`). They go with the record.

create table crm_shares (
    tenant_id uuid not null,
    record_id uuid not null,
    subject text not null,
    module_slug text not null,
    may_update boolean not null,
    shared_at timestamptz not null,
    shared_by text not null,
    primary key (tenant_id, record_id, subject),
    foreign key (tenant_id, record_id) references crm_records (tenant_id, id) on delete cascade
);

-- What is shared with somebody, in the order of lists.
create index crm_shares_by_subject on crm_shares (tenant_id, module_slug, subject, record_id);

alter table crm_shares enable row level security;
alter table crm_shares force row level security;
create policy tenant_isolation on crm_shares
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_shares to crm_runtime;
