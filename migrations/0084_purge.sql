-- What is deleted for good takes along what its runs asked for, what came back, and the notes about
-- it: the function of 0028, with these.

grant select, delete on crm_effects, crm_notifications to crm_purger;
create policy purger on crm_effects to crm_purger
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy purger on crm_notifications to crm_purger
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create index crm_notifications_by_record on crm_notifications (tenant_id, record_id);

create or replace function crm_record_purge(p_tenant uuid, p_module text, p_record uuid)
returns boolean
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    if not exists (
        select from crm_records r
        where r.tenant_id = p_tenant and r.id = p_record and r.module_slug = p_module
            and r.deleted_at is not null
    ) then
        return false;
    end if;
    delete from crm_workflow_logs l
    using crm_jobs j
    where l.tenant_id = p_tenant and j.tenant_id = p_tenant and j.record_id = p_record
        and l.job_id = j.id;
    delete from crm_effects x
    using crm_jobs j
    where x.tenant_id = p_tenant and j.tenant_id = p_tenant and j.record_id = p_record
        and x.job_id = j.id;
    delete from crm_notifications n where n.tenant_id = p_tenant and n.record_id = p_record;
    delete from crm_events e
    using crm_jobs j
    where e.tenant_id = p_tenant and j.tenant_id = p_tenant and j.record_id = p_record
        and e.id = j.event_id;
    delete from crm_jobs j where j.tenant_id = p_tenant and j.record_id = p_record;
    delete from crm_activities a where a.tenant_id = p_tenant and a.record_id = p_record;
    delete from crm_events e
    using crm_record_history h
    where h.tenant_id = p_tenant and h.record_id = p_record
        and e.tenant_id = p_tenant and e.id = h.event_id;
    delete from crm_record_history h where h.tenant_id = p_tenant and h.record_id = p_record;
    delete from crm_records r where r.tenant_id = p_tenant and r.id = p_record;
    return true;
end
$$;
