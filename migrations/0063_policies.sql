-- What the policies of crm_purger let through they say for both directions, as all others do. Its
-- grants are as they were: it reads tasks, and reads and deletes jobs.

alter policy purger on crm_jobs
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

drop policy purger on crm_tasks;
create policy purger on crm_tasks to crm_purger
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
