-- What plugins keep for a tenant from one run to the next: JSON text under a key, as it was
-- written, with a version that grows with each write.

create table crm_plugin_state (
    tenant_id uuid not null,
    plugin_name text not null,
    key text not null,
    value text not null,
    version bigint not null,
    updated_at timestamptz not null,
    primary key (tenant_id, plugin_name, key)
);

alter table crm_plugin_state enable row level security;
alter table crm_plugin_state force row level security;
create policy tenant_isolation on crm_plugin_state to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update, delete on crm_plugin_state to crm_runtime;

-- How many mutations one root event has led to, through however many runs.

create table crm_event_totals (
    tenant_id uuid not null,
    event_id uuid not null,
    mutations integer not null,
    primary key (tenant_id, event_id)
);

alter table crm_event_totals enable row level security;
alter table crm_event_totals force row level security;
create policy tenant_isolation on crm_event_totals to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update on crm_event_totals to crm_runtime;

-- Both are called at the end of a run (crm_job_complete, 0080).

-- Writes what a run keeps. A key that another run wrote since this one read it: CR008.
create function crm_state_keep(p_tenant uuid, p_at timestamptz, p_state jsonb)
returns void
language plpgsql as $$
declare
    v_write record;
    v_version bigint;
begin
    for v_write in
        select s.plugin, s.key, s.value, s.expected_version
        from jsonb_to_recordset(p_state)
            as s (plugin text, key text, value text, expected_version bigint)
        order by s.plugin, s.key
    loop
        if v_write.expected_version = 0 then
            if v_write.value is null then
                continue;
            end if;
            insert into crm_plugin_state (tenant_id, plugin_name, key, value, version, updated_at)
            values (p_tenant, v_write.plugin, v_write.key, v_write.value, 1, p_at)
            on conflict do nothing
            returning version into v_version;
        elsif v_write.value is null then
            delete from crm_plugin_state s
            where s.tenant_id = p_tenant and s.plugin_name = v_write.plugin
                and s.key = v_write.key and s.version = v_write.expected_version
            returning s.version into v_version;
        else
            update crm_plugin_state s
            set value = v_write.value, version = s.version + 1, updated_at = p_at
            where s.tenant_id = p_tenant and s.plugin_name = v_write.plugin
                and s.key = v_write.key and s.version = v_write.expected_version
            returning s.version into v_version;
        end if;
        if v_version is null then
            raise exception 'another run wrote “%”', v_write.key using errcode = 'CR008';
        end if;
        v_version := null;
    end loop;
end
$$;

-- Counts a run's mutations against what one root event may lead to: CR009, with the total.
create function crm_event_total(p_tenant uuid, p_root jsonb)
returns void
language plpgsql as $$
declare
    v_total integer;
begin
    insert into crm_event_totals as t (tenant_id, event_id, mutations)
    values (p_tenant, (p_root ->> 'event_id')::uuid, (p_root ->> 'mutations')::integer)
    on conflict (tenant_id, event_id)
        do update set mutations = t.mutations + excluded.mutations
    returning t.mutations into v_total;
    if v_total > (p_root ->> 'limit')::integer then
        raise exception 'one event led to % mutations', v_total
            using errcode = 'CR009', detail = v_total::text;
    end if;
end
$$;
