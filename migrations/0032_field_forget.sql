-- What happened keeps no values of a deleted field. The runtime's role may only add to history,
-- events and run logs; these functions may take the values of one field out of them, some rows
-- at a time, and only while the task that follows its deletion runs and there is no such field.
-- They belong to the role that purges, and work on the tenant of the transaction alone: its
-- policies hold for that role too. No row goes: versions stay without gaps, and an entry that
-- told of nothing but the field is left empty.

grant update (changed_before, changed_after) on crm_record_history to crm_purger;
grant update (before, after, changed_fields) on crm_events to crm_purger;
grant update (input, mutations) on crm_workflow_logs to crm_purger;
grant select on crm_tasks, crm_module_fields to crm_purger;
create policy purger on crm_tasks for select to crm_purger
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

-- The tenant of the transaction, if it is taking this field's values away at the moment. An
-- error otherwise.
create function crm_field_forget_tenant(p_module text, p_field text)
returns uuid
language plpgsql stable as $$
declare
    v_tenant constant uuid := nullif(current_setting('crm.tenant_id', true), '')::uuid;
begin
    if not exists (
        select from crm_tasks t
        where t.tenant_id = v_tenant and t.kind = 'field_remove' and t.status = 'running'
            and t.spec ->> 'module' = p_module and t.spec ->> 'field' = p_field
    ) or exists (
        select from crm_module_fields f
        where f.tenant_id = v_tenant and f.module_slug = p_module and f.field_key = p_field
    ) then
        raise exception 'the field % of % is not being removed', p_field, p_module
            using errcode = 'insufficient_privilege';
    end if;
    return v_tenant;
end
$$;

-- Takes a field out of the history and the events of up to p_limit records of its module, deleted
-- ones too, in the order of their ids from after p_after. Returns the last of them, null at the
-- end.
create function crm_field_forget(
    p_module text, p_field text, p_after uuid, p_limit integer)
returns uuid
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_tenant constant uuid := crm_field_forget_tenant(p_module, p_field);
    v_records uuid[];
begin
    select array_agg(page.id order by page.id) into v_records
    from (
        select r.id from crm_records r
        where r.tenant_id = v_tenant and r.module_slug = p_module and r.id > p_after
        order by r.id
        limit p_limit
    ) page;
    if v_records is null then
        return null;
    end if;
    update crm_events e
    set before = e.before - p_field, after = e.after - p_field,
        changed_fields = e.changed_fields - p_field
    from crm_record_history h
    where h.tenant_id = v_tenant and h.record_id = any(v_records)
        and e.tenant_id = v_tenant and e.id = h.event_id
        and (e.before ? p_field or e.after ? p_field or e.changed_fields ? p_field);
    update crm_record_history h
    set changed_before = h.changed_before - p_field, changed_after = h.changed_after - p_field
    where h.tenant_id = v_tenant and h.record_id = any(v_records)
        and (h.changed_before ? p_field or h.changed_after ? p_field);
    return v_records[cardinality(v_records)];
end
$$;

-- Takes a field out of up to p_limit entries of the run log, in the order of their ids from after
-- p_after: out of the events of its module that runs were given, and out of the changes of its
-- module that they asked for, whichever module they ran for. Returns the last entry looked at,
-- null at the end. What a guest wrote into its own log is text, and stays.
create function crm_field_forget_runs(
    p_module text, p_field text, p_after uuid, p_limit integer)
returns uuid
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_tenant constant uuid := crm_field_forget_tenant(p_module, p_field);
    v_logs uuid[];
begin
    select array_agg(page.id order by page.id) into v_logs
    from (
        select l.id from crm_workflow_logs l
        where l.tenant_id = v_tenant and l.id > p_after
        order by l.id
        limit p_limit
    ) page;
    if v_logs is null then
        return null;
    end if;
    update crm_workflow_logs l
    set input = jsonb_set(
        l.input #- array['event', 'before', p_field] #- array['event', 'after', p_field],
        '{event,changed_fields}',
        coalesce((l.input #> '{event,changed_fields}') - p_field, '[]'), false)
    where l.tenant_id = v_tenant and l.id = any(v_logs)
        and l.input #>> '{event,module}' = p_module
        and (l.input #> '{event,before}' ? p_field or l.input #> '{event,after}' ? p_field
            or l.input #> '{event,changed_fields}' ? p_field);
    update crm_workflow_logs l
    set mutations = (
        select jsonb_agg(
            case when m.mutation ->> 'module' = p_module
                then m.mutation #- array['data', p_field] #- array['patch', p_field]
                else m.mutation end
            order by m.place)
        from jsonb_array_elements(l.mutations) with ordinality as m (mutation, place))
    where l.tenant_id = v_tenant and l.id = any(v_logs)
        and exists (
            select from jsonb_array_elements(l.mutations) as m (mutation)
            where m.mutation ->> 'module' = p_module
                and (m.mutation -> 'data' ? p_field or m.mutation -> 'patch' ? p_field));
    return v_logs[cardinality(v_logs)];
end
$$;

revoke all on function crm_field_forget, crm_field_forget_runs from public;
grant execute on function crm_field_forget, crm_field_forget_runs to crm_runtime;
grant create on schema public to crm_purger;
alter function crm_field_forget owner to crm_purger;
alter function crm_field_forget_runs owner to crm_purger;
revoke create on schema public from crm_purger;
