-- Runs of one record that go one after the other, in the order of its versions: those of a workflow
-- that says so, and what a webhook is told. A run's line is its workflow's, of its record.

-- `open`: it stands in a line. `held`: one before it has not ended, which lets it go.
alter table crm_jobs add column line text collate "C" check (line in ('open', 'held'));
update crm_jobs set line = 'open'
where workflow_slug like 'webhook:%' and state in ('waiting', 'queued', 'leased');
drop index crm_jobs_of_webhooks;
create index crm_jobs_in_line on crm_jobs (tenant_id, record_id, workflow_slug)
    where line is not null and state in ('waiting', 'queued', 'leased');

-- Whoever leaves a line, or looks where it stands, does so alone. Its own row is locked before.
create function crm_line(p_tenant uuid, p_workflow text, p_record uuid)
returns void
language sql as $$
    select pg_advisory_xact_lock(
        hashtextextended(p_tenant::text || p_record::text || p_workflow, 111));
$$;

create function crm_line_first(p_tenant uuid, p_workflow text, p_record uuid)
returns uuid
language sql as $$
    select j.id
    from crm_jobs j
    join crm_events e on e.tenant_id = p_tenant and e.id = j.event_id
    where j.tenant_id = p_tenant and j.record_id = p_record and j.workflow_slug = p_workflow
        and j.line is not null and j.state in ('waiting', 'queued', 'leased')
    order by e.record_version, j.id
    limit 1;
$$;

-- Whether a leased job stands behind another one in its line. Then it is given back as if nobody had
-- taken it, until that one ends, and at p_until at last; what waits for it to make an attempt may
-- go. Versions of a record are committed one after the other, so whoever looks sees all earlier
-- ones.
create function crm_job_behind(p_tenant uuid, p_job uuid, p_token uuid, p_until timestamptz)
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
        set line = 'open'
        where j.tenant_id = p_tenant and j.id = p_job and j.line = 'held';
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

-- Lets the first of a line go when another one has left it. Where somebody has its row, they will
-- look themselves; waiting for them here, while they wait for the line, would be for ever.
create function crm_line_next() returns trigger
language plpgsql as $$
declare
    v_first uuid;
begin
    perform crm_line(new.tenant_id, new.workflow_slug, new.record_id);
    v_first := crm_line_first(new.tenant_id, new.workflow_slug, new.record_id);
    update crm_jobs j
    set available_at = least(j.available_at, new.finished_at), line = 'open'
    where j.tenant_id = new.tenant_id and j.id = (
        select h.id from crm_jobs h
        where h.tenant_id = new.tenant_id and h.id = v_first and h.state = 'queued'
            and h.line = 'held'
        for update skip locked);
    return null;
end
$$;

create trigger crm_line_next after update of state on crm_jobs
    for each row
    when (new.line is not null and new.state in ('done', 'dead', 'cancelled')
        and old.state not in ('done', 'dead', 'cancelled'))
    execute function crm_line_next();
