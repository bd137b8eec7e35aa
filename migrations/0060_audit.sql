-- What those who manage a tenant did to it, and where from: a row for each act, written in the
-- transaction of the act. The runtime's role may add rows and read them, and nothing else.

create table crm_audit (
    tenant_id uuid not null,
    -- Sorts by time.
    id uuid not null,
    at timestamptz not null,
    actor text not null,
    -- Where the actor belongs to, if that is another tenant: a super admin acted for this one.
    home_tenant uuid,
    action text not null,
    -- The path of what it was done to, below /api/crm/.
    target text not null,
    before jsonb,
    after jsonb,
    address text,
    request_id text,
    primary key (tenant_id, id)
);

create index crm_audit_by_actor on crm_audit (tenant_id, actor, id);
create index crm_audit_by_action on crm_audit (tenant_id, action, id);
create index crm_audit_by_target on crm_audit (tenant_id, target, id);

alter table crm_audit enable row level security;
alter table crm_audit force row level security;
create policy tenant_isolation on crm_audit
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert on crm_audit to crm_runtime;
