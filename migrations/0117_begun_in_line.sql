-- Where a run of a line is tried again, or an answer comes back to it, one of a later version of the
-- record may be in its midst: that one goes on to its end first.

-- `begun`: nobody stood before it when it looked.
alter table crm_jobs drop constraint crm_jobs_line_check;
alter table crm_jobs add constraint crm_jobs_line_check
    check (line in ('open', 'held', 'begun')) not valid;

create or replace function crm_line_first(p_tenant uuid, p_workflow text, p_record uuid)
returns uuid
language sql as $$
    select j.id
    from crm_jobs j
    join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
    where j.tenant_id = p_tenant and j.record_id = p_record and j.workflow_slug = p_workflow
        and j.line is not null and j.state in ('waiting', 'queued', 'leased')
    order by j.line <> 'begun', e.record_version, j.id
    limit 1;
$$;

-- The function of 0111, which remembers who has begun.
create or replace function crm_job_behind(
    p_tenant uuid, p_job uuid, p_token uuid, p_until timestamptz)
returns boolean
language plpgsql as $$
declare
    v_job crm_jobs;
    v_first uuid;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    select * into v_job
    from crm_jobs j
    where j.tenant_id = p_tenant and j.id = p_job and j.state = 'leased'
        and j.lease_token = p_token
    for update;
    if not found then
        raise exception 'the lease is lost' using errcode = 'CR003';
    end if;
    if v_job.line is null then
        return false;
    end if;
    perform crm_line(p_tenant, v_job.workflow_slug, v_job.record_id);
    v_first := crm_line_first(p_tenant, v_job.workflow_slug, v_job.record_id);
    if v_first = p_job then
        update crm_jobs j
        set line = 'begun'
        where j.tenant_id = p_tenant and j.id = p_job and j.line <> 'begun';
        return false;
    end if;
    update crm_jobs j
    set state = 'queued', attempts = j.attempts - 1, available_at = p_until, lease_token = null,
        line = 'held'
    where j.tenant_id = p_tenant and j.id = p_job;
    update crm_jobs j
    set state = 'queued'
    where j.tenant_id = p_tenant and j.id = v_job.next_job_id and j.state = 'waiting';
    return true;
end
$$;
