-- Failures of templates' before-save, for those who manage the tenant to see: what a hook said is
-- answered to whoever made the change, that it failed is nobody's answer where the change passed.
-- A change that was refused left nothing, so rows come in a transaction of their own, after it.
-- They hold no values of records. The newest stay, so who writes them may delete too.

create table crm_hook_failures (
    tenant_id uuid not null,
    -- Sorts by time.
    id uuid not null,
    at timestamptz not null,
    template_slug text not null,
    template_version text not null,
    module_slug text not null,
    kind text not null check (kind in ('create', 'update')),
    -- Of a new record there is none.
    record_id uuid,
    user_id text not null,
    -- How it failed: trapped, timed_out, misfit, left_alone, ….
    status text not null,
    outcome text not null check (outcome in ('refused', 'passed')),
    reason text not null,
    -- More than 1 where it stands for others of its minute, too.
    failures bigint not null,
    primary key (tenant_id, id)
);

alter table crm_hook_failures enable row level security;
alter table crm_hook_failures force row level security;
create policy tenant_isolation on crm_hook_failures to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, delete on crm_hook_failures to crm_runtime;
