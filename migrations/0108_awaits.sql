-- What runs wait for that comes from outside of them: events, somebody's word, the end of a run
-- that they started. A row is made before the run rests, and stays when it goes on.
--
-- Nobody who brings something misses a run that rests at the same moment, and the other way round,
-- because both lock the row: whoever brings something writes it there first and then wakes the job
-- where it rests; whoever puts a job to rest locks its rows first, and sees what was brought.

create table crm_awaits (
    tenant_id uuid not null,
    job_id uuid not null,
    -- Which of the things that the run does it is: the number that its place has for it.
    work bigint not null,
    kind text not null check (kind in ('event', 'approval', 'call')),
    step text not null,
    workflow_slug text not null,
    -- The record that the run is about there.
    module_slug text not null,
    record_id uuid not null,
    opened_at timestamptz not null,
    until timestamptz not null,
    -- An object with a status, once it came, or did not in time.
    result jsonb,
    -- Of an event: what happens to which records, and the field by which they point to this one,
    -- if it is not this one itself. Those that came and were not looked at.
    event_kind text,
    event_module text,
    link text,
    events uuid[] not null default '{}',
    -- Of an approval.
    id uuid,
    approvers text[],
    title text,
    body text,
    primary key (tenant_id, job_id, work)
);

create index crm_awaits_events on crm_awaits (tenant_id, record_id)
    where kind = 'event' and result is null;
create unique index crm_awaits_approvals on crm_awaits (tenant_id, id) where kind = 'approval';
create index crm_awaits_open_approvals on crm_awaits (tenant_id, id)
    where kind = 'approval' and result is null;

alter table crm_awaits enable row level security;
alter table crm_awaits force row level security;
create policy tenant_isolation on crm_awaits to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update on crm_awaits to crm_runtime;

-- Whether any run of the tenant ever waited for an event: else changes look for none.
alter table tenant_crm_configs add column has_awaits boolean not null default false;

-- The run that waits for the end of this one.
alter table crm_jobs add column parent_job_id uuid;
alter table crm_jobs add column parent_work bigint;

-- Tells runs that wait of changes: those of their records, and of records that point to them.
create function crm_awaits_tell(
    p_tenant uuid, p_at timestamptz, p_kinds text[], p_modules text[], p_records uuid[],
    p_events uuid[], p_before jsonb[], p_after jsonb[])
returns void
language sql as $$
    with came as (
        select c.kind, c.module, c.record_id, c.event_id, coalesce(c.after, c.before) as data
        from unnest(p_kinds, p_modules, p_records, p_events, p_before, p_after)
            as c (kind, module, record_id, event_id, before, after)
    ), met as (
        select w.job_id, w.work, array_agg(c.event_id order by c.event_id) as events
        from came c
        cross join lateral (
            select c.record_id as key
            union
            select (id #>> '{}')::uuid
            from jsonb_path_query(c.data, '$.* ? (@ like_regex
                "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")') id
        ) keys
        join crm_awaits w
            on w.tenant_id = p_tenant and w.record_id = keys.key
            and w.kind = 'event' and w.result is null
            and w.event_kind = c.kind and w.event_module = c.module
            and case
                when w.link is null then w.record_id = c.record_id
                else c.data -> w.link @> to_jsonb(w.record_id::text)
            end
        group by w.job_id, w.work
    ), told as (
        update crm_awaits w
        set events = w.events || met.events
        from met
        where w.tenant_id = p_tenant and w.job_id = met.job_id and w.work = met.work
            and w.result is null and w.until > p_at
            -- A run that does not come to look at them, for days, is told of no more.
            and cardinality(w.events) < 1000
        returning w.job_id
    )
    update crm_jobs j
    set available_at = p_at
    from told
    where j.tenant_id = p_tenant and j.id = told.job_id and j.state = 'queued'
        and j.available_at > p_at;
$$;

-- What came for the ways of a run that wait: a result, or events, the first ones first. Forgets
-- events that were looked at, and ends what has waited for too long and has nothing to look at.
create function crm_awaits_look(
    p_tenant uuid, p_job uuid, p_works bigint[], p_dismissed text[], p_now timestamptz)
returns table (work bigint, result jsonb, event jsonb)
language plpgsql as $$
#variable_conflict use_column
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    update crm_awaits w
    set events = array(
        select e from unnest(w.events) with ordinality as t (e, n)
        where w.work || ':' || e <> all (p_dismissed) order by n)
    where w.tenant_id = p_tenant and w.job_id = p_job and w.work = any (p_works)
        and cardinality(w.events) > 0 and cardinality(p_dismissed) > 0;
    update crm_awaits w
    set result = jsonb_build_object('status', 'expired')
    where w.tenant_id = p_tenant and w.job_id = p_job and w.work = any (p_works)
        and w.result is null and w.until <= p_now and cardinality(w.events) = 0;
    return query
    select w.work, w.result, e.event
    from crm_awaits w
    left join lateral (
        select n, jsonb_build_object(
            'id', e.id, 'kind', e.kind, 'module', e.module_slug, 'record_id', e.record_id,
            'record_version', e.record_version, 'before', e.before, 'after', e.after,
            'changed_fields', e.changed_fields, 'payload', e.payload, 'actor', e.actor,
            'cause', e.cause, 'depth', e.depth, 'occurred_at', e.occurred_at) as event
        from unnest(w.events[1:50]) with ordinality as t (id, n)
        join crm_events e on e.tenant_id = p_tenant and e.id = t.id
    ) e on w.result is null
    where w.tenant_id = p_tenant and w.job_id = p_job and w.work = any (p_works)
        and (w.result is not null or e.event is not null)
    order by w.work, e.n;
end
$$;

-- Lets a job go on at once for which something came while its attempt was under way.
create function crm_job_rests() returns trigger
language plpgsql as $$
begin
    -- Whoever brings something at this moment ends first.
    perform from crm_awaits w
    where w.tenant_id = new.tenant_id and w.job_id = new.id
    for update;
    if exists (
        select from jsonb_path_query(new.place, '$.threads[*] ? (exists (@.waits.result))') way
        join crm_awaits w
            on w.tenant_id = new.tenant_id and w.job_id = new.id
            and w.work = ((way ->> 'id')::bigint << 32) + coalesce((way ->> 'acts')::bigint, 0)
        where w.result is not null
            or exists (
                select from unnest(w.events) e
                where not coalesce(new.place -> 'dismissed' ? (w.work || ':' || e), false))
    ) then
        new.available_at = least(new.available_at, now());
    end if;
    return new;
end
$$;

create trigger crm_job_rests before update on crm_jobs
    for each row
    when (old.state = 'leased' and new.state = 'queued' and new.error is null
        and new.place @? '$.threads[*].waits.result')
    execute function crm_job_rests();

-- Tells the run that started this one how it ended.
create function crm_job_ended() returns trigger
language plpgsql as $$
begin
    update crm_awaits w
    set result = jsonb_build_object(
        'status', case new.state when 'done' then 'done' when 'dead' then 'failed' else new.state end,
        'error', new.error, 'run', new.id)
    where w.tenant_id = new.tenant_id and w.job_id = new.parent_job_id
        and w.work = new.parent_work and w.result is null;
    if found then
        update crm_jobs j
        set available_at = least(j.available_at, now())
        where j.tenant_id = new.tenant_id and j.id = new.parent_job_id and j.state = 'queued';
    end if;
    return null;
end
$$;

create trigger crm_job_ended after update of state on crm_jobs
    for each row
    when (new.parent_job_id is not null and new.state in ('done', 'dead', 'cancelled')
        and old.state not in ('done', 'dead', 'cancelled'))
    execute function crm_job_ended();

-- What a run that rests waits for.
create function crm_run_rests_for(p_tenant uuid, p_job uuid) returns text
language sql stable as $$
    select coalesce((
        select w.kind from crm_awaits w
        where w.tenant_id = p_tenant and w.job_id = p_job and w.result is null and w.until > now()
        order by w.opened_at desc limit 1), 'delay');
$$;

-- What a run waited for goes with the run.
grant select, delete on crm_awaits to crm_purger;
create policy purger on crm_awaits to crm_purger
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

create function crm_jobs_gone() returns trigger
language plpgsql as $$
begin
    delete from crm_awaits w using gone g where w.tenant_id = g.tenant_id and w.job_id = g.id;
    return null;
end
$$;

create trigger crm_jobs_gone after delete on crm_jobs
    referencing old table as gone
    for each statement
    execute function crm_jobs_gone();

-- The function of 0093, which tells runs that wait of what happened.
create or replace function crm_commit(
    p_tenant uuid,
    p_model_version bigint,
    p_at timestamptz,
    p_actor jsonb,
    p_cause jsonb,
    p_depth integer,
    -- changes
    p_kinds text[],
    p_modules text[],
    p_records uuid[],
    p_base_versions bigint[],
    p_events uuid[],
    p_before jsonb[],
    p_after jsonb[],
    p_changed_fields jsonb[],
    p_changed_before jsonb[],
    p_changed_after jsonb[],
    -- records that must be there
    p_reference_modules text[],
    p_reference_records uuid[],
    -- index rows that go and come
    p_unindex_slots text[],
    p_unindex_keys text[],
    p_unindex_records uuid[],
    p_index_slots text[],
    p_index_keys text[],
    p_index_records uuid[],
    -- unique values that go and come
    p_release_slots text[],
    p_release_keys text[],
    p_claim_slots text[],
    p_claim_keys text[],
    p_claim_records uuid[],
    -- texts for search
    p_text_modules text[],
    p_text_records uuid[],
    p_text_before text[],
    p_text_after text[],
    -- slots and keys that must have no index row afterwards
    p_clear_slots text[],
    p_clear_keys text[],
    p_jobs jsonb,
    p_activities jsonb,
    p_completion jsonb,
    p_receipt jsonb,
    -- new owners, side by side with the changes; null: it stays whose it is
    p_owners text[])
returns void
language plpgsql as $$
declare
    v_user constant text := p_actor ->> 'user_id';
    v_language regconfig;
    v_awaits boolean;
    v_created bigint;
    v_all_new boolean := false;
    v_count bigint;
    v_wrong jsonb;
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);

    select c.language::regconfig, c.has_awaits into v_language, v_awaits
    from tenant_crm_configs c
    where c.tenant_id = p_tenant and c.model_version = p_model_version;
    if not found then
        raise exception 'the model changed' using errcode = 'CR001';
    end if;

    if p_completion is not null then
        perform crm_job_complete(p_tenant, p_at, p_completion);
    end if;

    -- A record that is pointed to cannot be deleted until this commits.
    if p_reference_records is not null then
        select jsonb_agg(w.id) into v_wrong
        from unnest(p_reference_modules, p_reference_records) as w (module, id)
        where not exists (
            select from (
                select from crm_records r
                where r.tenant_id = p_tenant and r.id = w.id and r.module_slug = w.module
                    and r.deleted_at is null
                for share
            ) there
        );
        if v_wrong is not null then
            raise exception 'references point nowhere'
                using errcode = 'CR005', detail = v_wrong::text;
        end if;
    end if;

    if p_records is not null then
        insert into crm_records (
            tenant_id, id, module_slug, data, version, owner_id, created_at, created_by,
            updated_at, updated_by)
        select
            p_tenant, c.record_id, c.module, c.after, 1, v_user, p_at, v_user, p_at, v_user
        from unnest(p_kinds, p_records, p_modules, p_after)
            as c (kind, record_id, module, after)
        where c.kind = 'record_created';
        get diagnostics v_created = row_count;
        v_all_new := v_created = cardinality(p_records);
        if not v_all_new then
            update crm_records r
            set data = coalesce(c.after, r.data),
                owner_id = coalesce(c.owner, r.owner_id),
                version = r.version + 1,
                updated_at = p_at,
                updated_by = v_user,
                deleted_at = case when c.kind = 'record_deleted' then p_at end
            from unnest(p_kinds, p_records, p_modules, p_base_versions, p_after, p_owners)
                as c (kind, record_id, module, base_version, after, owner)
            where c.kind <> 'record_created'
                and r.tenant_id = p_tenant
                and r.id = c.record_id
                and r.module_slug = c.module
                and r.version = c.base_version
                and (r.deleted_at is null) = (c.kind <> 'record_restored');
            get diagnostics v_count = row_count;
        else
            v_count := 0;
        end if;
        if v_created + v_count <> cardinality(p_records) then
            select jsonb_agg(c.record_id) into v_wrong
            from unnest(p_records, p_base_versions) as c (record_id, base_version)
            left join crm_records r
                on r.tenant_id = p_tenant and r.id = c.record_id
                and r.version = c.base_version + 1
            where r.id is null;
            raise exception 'records changed'
                using errcode = 'CR002', detail = coalesce(v_wrong, '[]')::text;
        end if;

        insert into crm_record_history (
            tenant_id, record_id, version, kind, changed_before, changed_after, changed_at,
            changed_by, cause, event_id, new_owner_id)
        select
            p_tenant, c.record_id, c.base_version + 1, c.kind, c.changed_before,
            case when c.kind = 'record_created' then c.after else c.changed_after end,
            p_at, v_user, p_cause, c.event_id, c.owner
        from unnest(p_kinds, p_records, p_base_versions, p_after, p_changed_before,
                p_changed_after, p_events, p_owners)
            as c (kind, record_id, base_version, after, changed_before, changed_after,
                event_id, owner);

        insert into crm_events (
            tenant_id, id, kind, module_slug, record_id, record_version, before, after,
            changed_fields, actor, cause, depth, occurred_at)
        select
            p_tenant, c.event_id, c.kind, c.module, c.record_id, c.base_version + 1,
            c.before, c.after, c.changed_fields, p_actor, p_cause, p_depth, p_at
        from unnest(p_events, p_kinds, p_modules, p_records, p_base_versions, p_before,
                p_after, p_changed_fields)
            as c (event_id, kind, module, record_id, base_version, before, after,
                changed_fields);

        if v_awaits then
            perform crm_awaits_tell(
                p_tenant, p_at, p_kinds, p_modules, p_records, p_events, p_before, p_after);
        end if;
    end if;

    if p_unindex_slots is not null then
        delete from crm_index i
        using unnest(p_unindex_slots, p_unindex_keys, p_unindex_records) as u (slot, key, id)
        where i.tenant_id = p_tenant and i.slot = u.slot and i.key = u.key
            and i.record_id = u.id;
    end if;
    if p_index_slots is not null then
        if v_all_new then
            insert into crm_index (tenant_id, slot, key, record_id)
            select p_tenant, u.slot, u.key, u.id
            from unnest(p_index_slots, p_index_keys, p_index_records) as u (slot, key, id);
        else
            insert into crm_index (tenant_id, slot, key, record_id)
            select p_tenant, u.slot, u.key, u.id
            from unnest(p_index_slots, p_index_keys, p_index_records) as u (slot, key, id)
            on conflict do nothing;
        end if;
    end if;

    if p_release_slots is not null then
        delete from crm_unique q
        using unnest(p_release_slots, p_release_keys) as u (slot, key)
        where q.tenant_id = p_tenant and q.slot = u.slot and q.key = u.key;
    end if;
    if p_claim_slots is not null then
        insert into crm_unique (tenant_id, slot, key, record_id)
        select p_tenant, u.slot, u.key, u.id
        from unnest(p_claim_slots, p_claim_keys, p_claim_records) as u (slot, key, id)
        on conflict do nothing;
        get diagnostics v_count = row_count;
        if v_count <> cardinality(p_claim_slots) then
            select jsonb_agg(jsonb_build_object('slot', u.slot, 'record_id', u.id))
            into v_wrong
            from unnest(p_claim_slots, p_claim_keys, p_claim_records) as u (slot, key, id)
            join crm_unique q on q.tenant_id = p_tenant and q.slot = u.slot and q.key = u.key
            where q.record_id <> u.id;
            if v_wrong is not null then
                raise exception 'values are taken'
                    using errcode = 'CR004', detail = v_wrong::text;
            end if;
        end if;
    end if;

    if v_all_new and p_text_records is not null then
        insert into crm_words (tenant_id, word, module_slug, record_id)
        select p_tenant, new.word, t.module, t.id
        from unnest(p_text_modules, p_text_records, p_text_after) as t (module, id, text),
            unnest(tsvector_to_array(to_tsvector(v_language, t.text))) as new (word);
    elsif p_text_records is not null then
        delete from crm_words w
        using unnest(p_text_modules, p_text_records, p_text_before) as t (module, id, text),
            unnest(tsvector_to_array(to_tsvector(v_language, t.text))) as old (word)
        where w.tenant_id = p_tenant and w.word = old.word and w.module_slug = t.module
            and w.record_id = t.id;
        insert into crm_words (tenant_id, word, module_slug, record_id)
        select p_tenant, new.word, t.module, t.id
        from unnest(p_text_modules, p_text_records, p_text_after) as t (module, id, text),
            unnest(tsvector_to_array(to_tsvector(v_language, t.text))) as new (word)
        on conflict do nothing;
    end if;

    if p_clear_slots is not null then
        select jsonb_agg(u.key) into v_wrong
        from unnest(p_clear_slots, p_clear_keys) as u (slot, key)
        where exists (
            select from crm_index i
            where i.tenant_id = p_tenant and i.slot = u.slot and i.key = u.key
        );
        if v_wrong is not null then
            raise exception 'records are still pointed to'
                using errcode = 'CR006', detail = v_wrong::text;
        end if;
    end if;

    if p_jobs is not null then
        insert into crm_jobs (
            tenant_id, id, workflow_slug, workflow_version, event_id, module_slug, record_id, state,
            available_at, error, created_at, finished_at, next_job_id)
        select
            p_tenant, j.id, j.workflow, j.version, j.event_id, j.module, j.record_id,
            case when j.error is not null then 'dead' when j.waits then 'waiting'
                else 'queued' end,
            p_at, j.error, p_at, case when j.error is null then null else p_at end, j.next
        from jsonb_to_recordset(p_jobs) as j (
            id uuid, workflow text, version integer, event_id uuid, module text, record_id uuid,
            error text, waits boolean, next uuid);
    end if;

    if p_activities is not null then
        perform crm_activities_insert(p_tenant, p_at, v_user, p_cause, p_activities);
    end if;

    if p_receipt is not null then
        perform crm_receipt_keep(
            p_tenant, v_user, p_receipt ->> 'key', decode(p_receipt ->> 'fingerprint', 'hex'),
            (p_receipt ->> 'status')::smallint, p_receipt -> 'headers', p_receipt ->> 'body',
            p_at, (p_receipt ->> 'expired')::timestamptz);
    end if;
end
$$;
