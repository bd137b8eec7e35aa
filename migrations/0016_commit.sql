-- The one statement that writes: changes of records with their history and events, the jobs that
-- those start, activities, and the end of the job that asked for all this, in one transaction
-- and one round trip. Runs with the rights of its caller, under the tenant's policies.
--
-- Errors: CR001 the model changed, CR002 a record changed, CR003 the lease is lost; each means
-- that nothing was written.
create function crm_commit(
    p_tenant uuid,
    p_model_version bigint,
    p_at timestamptz,
    p_actor jsonb,
    p_cause jsonb,
    p_depth integer,
    p_changes jsonb,
    p_jobs jsonb,
    p_activities jsonb,
    p_completion jsonb)
returns void
language plpgsql as $$
declare
    v_user constant text := p_actor ->> 'user_id';
    v_creates integer;
    v_updates integer;
    v_written integer;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);

    if not exists (
        select from tenant_crm_configs c
        where c.tenant_id = p_tenant and c.model_version = p_model_version
    ) then
        raise exception 'the model changed' using errcode = 'CR001';
    end if;

    if p_completion is not null then
        update crm_jobs j
        set state = p_completion ->> 'state',
            available_at = coalesce((p_completion ->> 'available_at')::timestamptz, p_at),
            lease_token = null,
            error = p_completion ->> 'error',
            finished_at = case when p_completion ->> 'state' in ('done', 'dead') then p_at end
        where j.tenant_id = p_tenant
            and j.id = (p_completion ->> 'job_id')::uuid
            and j.state = 'leased'
            and j.lease_token = (p_completion ->> 'lease_token')::uuid;
        if not found then
            raise exception 'the lease is lost' using errcode = 'CR003';
        end if;
        insert into crm_workflow_logs (
            tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations,
            fuel, memory_bytes, duration_us, error, started_at)
        select
            p_tenant, l.id, (p_completion ->> 'job_id')::uuid, l.workflow, l.attempt, l.status,
            l.input, l.steps, l.mutations, l.fuel, l.memory_bytes, l.duration_us,
            p_completion ->> 'error', l.started_at
        from jsonb_to_record(p_completion -> 'log') as l (
            id uuid, workflow text, attempt integer, status text, input jsonb, steps jsonb,
            mutations jsonb, fuel bigint, memory_bytes bigint, duration_us bigint,
            started_at timestamptz);
    end if;

    if p_changes is not null then
        insert into crm_records (
            tenant_id, id, module_slug, data, version, owner_id, created_at, created_by,
            updated_at, updated_by)
        select
            p_tenant, c.record_id, c.module, c.after, 1, v_user, p_at, v_user, p_at, v_user
        from jsonb_to_recordset(p_changes) as c (
            kind text, record_id uuid, module text, after jsonb)
        where c.kind = 'record_created';
        get diagnostics v_creates = row_count;

        v_updates := jsonb_array_length(p_changes) - v_creates;
        if v_updates > 0 then
            update crm_records r
            set data = coalesce(c.after, r.data),
                version = r.version + 1,
                updated_at = p_at,
                updated_by = v_user,
                deleted_at = case when c.kind = 'record_deleted' then p_at end
            from jsonb_to_recordset(p_changes) as c (
                kind text, record_id uuid, module text, base_version bigint, after jsonb)
            where c.kind <> 'record_created'
                and r.tenant_id = p_tenant
                and r.id = c.record_id
                and r.module_slug = c.module
                and r.version = c.base_version
                and r.deleted_at is null;
            get diagnostics v_written = row_count;
            if v_written <> v_updates then
                raise exception 'a record changed' using errcode = 'CR002';
            end if;
        end if;

        insert into crm_record_history (
            tenant_id, record_id, version, kind, changed_before, changed_after, changed_at,
            changed_by, cause, event_id)
        select
            p_tenant, c.record_id, c.base_version + 1, c.kind,
            c.changed_before, case when c.kind = 'record_created' then c.after else c.changed_after end,
            p_at, v_user, p_cause, c.event_id
        from jsonb_to_recordset(p_changes) as c (
            kind text, record_id uuid, base_version bigint, after jsonb, changed_before jsonb,
            changed_after jsonb, event_id uuid);

        insert into crm_events (
            tenant_id, id, kind, module_slug, record_id, record_version, before, after,
            changed_fields, actor, cause, depth, occurred_at)
        select
            p_tenant, c.event_id, c.kind, c.module, c.record_id, c.base_version + 1, c.before,
            c.after, c.changed_fields, p_actor, p_cause, p_depth, p_at
        from jsonb_to_recordset(p_changes) as c (
            kind text, record_id uuid, module text, base_version bigint, before jsonb,
            after jsonb, changed_fields jsonb, event_id uuid);
    end if;

    if p_jobs is not null then
        insert into crm_jobs (
            tenant_id, id, workflow_slug, event_id, module_slug, record_id, state, available_at,
            error, created_at, finished_at)
        select
            p_tenant, j.id, j.workflow, j.event_id, j.module, j.record_id,
            case when j.error is null then 'queued' else 'dead' end, p_at, j.error, p_at,
            case when j.error is null then null else p_at end
        from jsonb_to_recordset(p_jobs) as j (
            id uuid, workflow text, event_id uuid, module text, record_id uuid, error text);
    end if;

    if p_activities is not null then
        insert into crm_activities (
            tenant_id, id, module_slug, record_id, kind, title, body, created_at, created_by,
            cause)
        select
            p_tenant, a.id, a.module, a.record_id, a.kind, a.title, a.body, p_at, v_user, p_cause
        from jsonb_to_recordset(p_activities) as a (
            id uuid, module text, record_id uuid, kind text, title text, body text);
    end if;
end
$$;
