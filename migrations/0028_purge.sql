-- Deleting for good. The runtime's role may not delete records, history or events; this function
-- may, one record at a time, and only records that are deleted already. It belongs to a role of
-- its own that can do nothing else, and the tenant's policies hold for that role too.

do $$
begin
    if not exists (select from pg_roles where rolname = 'crm_purger') then
        begin
            create role crm_purger nologin nosuperuser nocreatedb nocreaterole nobypassrls;
        exception
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if not pg_has_role(current_user, 'crm_purger', 'member') then
        execute format('grant crm_purger to %I', current_user);
    end if;
end
$$;

grant usage on schema public to crm_purger;
grant select, delete on crm_records, crm_record_history, crm_events, crm_activities, crm_jobs,
    crm_workflow_logs to crm_purger;
create policy purger on crm_jobs to crm_purger
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

-- Whether there was such a deleted record.
create function crm_record_purge(p_tenant uuid, p_module text, p_record uuid)
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

revoke all on function crm_record_purge from public;
grant execute on function crm_record_purge to crm_runtime;
grant create on schema public to crm_purger;
alter function crm_record_purge owner to crm_purger;
revoke create on schema public from crm_purger;
