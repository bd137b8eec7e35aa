-- What the components may take that a tenant brought along: two more quotas, and a way to make room.

alter table crm_quotas drop constraint crm_quotas_quota_check;
alter table crm_quotas add constraint crm_quotas_quota_check check (quota in (
    'records', 'api_calls', 'fuel', 'jobs', 'component_bytes', 'interpreter_bytes'));

grant delete on crm_tenant_components to crm_runtime;
