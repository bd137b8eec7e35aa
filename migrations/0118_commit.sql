-- The function of 0114. One record is written by statements of its own: PostgreSQL keeps their plans,
-- where it makes the one that changes many anew for each call, because it depends on how many they
-- are; and it makes no rows out of arrays for them. A write of one record takes a third less so.
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
    v_one constant boolean := cardinality(p_records) = 1;
    v_all_new boolean := false;
    v_count bigint;
    v_changed bigint;
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
        v_all_new := 'record_created' = all (p_kinds);
        if v_one and v_all_new then
            insert into crm_records (
                tenant_id, id, module_slug, data, version, owner_id, created_at, created_by,
                updated_at, updated_by)
            values (
                p_tenant, p_records[1], p_modules[1], p_after[1], 1, v_user, p_at, v_user, p_at,
                v_user);
            v_count := 1;
        elsif v_one then
            update crm_records r
            set data = coalesce(p_after[1], r.data),
                owner_id = coalesce(p_owners[1], r.owner_id),
                version = r.version + 1,
                updated_at = p_at,
                updated_by = v_user,
                deleted_at = case when p_kinds[1] = 'record_deleted' then p_at end
            where r.tenant_id = p_tenant
                and r.id = p_records[1]
                and r.module_slug = p_modules[1]
                and r.version = p_base_versions[1]
                and (r.deleted_at is null) = (p_kinds[1] <> 'record_restored');
            get diagnostics v_count = row_count;
        else
            insert into crm_records (
                tenant_id, id, module_slug, data, version, owner_id, created_at, created_by,
                updated_at, updated_by)
            select
                p_tenant, c.record_id, c.module, c.after, 1, v_user, p_at, v_user, p_at, v_user
            from unnest(p_kinds, p_records, p_modules, p_after)
                as c (kind, record_id, module, after)
            where c.kind = 'record_created';
            get diagnostics v_count = row_count;
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
                get diagnostics v_changed = row_count;
                v_count := v_count + v_changed;
            end if;
        end if;
        if v_count <> cardinality(p_records) then
            select jsonb_agg(c.record_id) into v_wrong
            from unnest(p_records, p_base_versions) as c (record_id, base_version)
            left join crm_records r
                on r.tenant_id = p_tenant and r.id = c.record_id
                and r.version = c.base_version + 1
            where r.id is null;
            raise exception 'records changed'
                using errcode = 'CR002', detail = coalesce(v_wrong, '[]')::text;
        end if;

        if v_one then
            insert into crm_record_history (
                tenant_id, record_id, version, kind, changed_before, changed_after, changed_at,
                changed_by, cause, event_id, new_owner_id)
            values (
                p_tenant, p_records[1], p_base_versions[1] + 1, p_kinds[1], p_changed_before[1],
                case when v_all_new then p_after[1] else p_changed_after[1] end,
                p_at, v_user, p_cause, p_events[1], p_owners[1]);

            insert into crm_events (
                tenant_id, id, kind, module_slug, record_id, record_version, before, after,
                changed_fields, actor, cause, depth, occurred_at)
            values (
                p_tenant, p_events[1], p_kinds[1], p_modules[1], p_records[1],
                p_base_versions[1] + 1, p_before[1], p_after[1], p_changed_fields[1], p_actor,
                p_cause, p_depth, p_at);
        else
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
        end if;

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
        perform crm_jobs_insert(p_tenant, p_at, p_jobs);
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
