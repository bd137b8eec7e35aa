-- What a tenant may use up. The defaults are the configuration's; a row here takes the place of
-- one for its tenant. The runtime's role reads them; they change through crm_quota_set alone, which
-- belongs to a role of its own that can do nothing else.

do $$
begin
    if not exists (select from pg_roles where rolname = 'crm_quota_keeper') then
        begin
            create role crm_quota_keeper
                nologin nosuperuser nocreatedb nocreaterole nobypassrls;
        exception
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if not pg_has_role(current_user, 'crm_quota_keeper', 'member') then
        execute format('grant crm_quota_keeper to %I', current_user);
    end if;
end
$$;

create table crm_quotas (
    tenant_id uuid not null,
    quota text not null check (quota in ('records', 'api_calls', 'fuel', 'jobs')),
    -- Null: no limit, whatever the default is.
    amount bigint check (amount >= 0),
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id, quota)
);

alter table crm_quotas enable row level security;
alter table crm_quotas force row level security;
create policy tenant_isolation on crm_quotas
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select on crm_quotas to crm_runtime;

-- What was used in each window of time. Processes add to it in batches, so that no request waits
-- for the row.
create table crm_usage (
    tenant_id uuid not null,
    quota text not null check (quota in ('api_calls', 'fuel')),
    window_start timestamptz not null,
    used bigint not null,
    primary key (tenant_id, quota, window_start)
) with (fillfactor = 50);

alter table crm_usage enable row level security;
alter table crm_usage force row level security;
create policy tenant_isolation on crm_usage
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_usage to crm_runtime;

-- Tenants whose jobs wait until the window ends in which they have used up their fuel. One row
-- holds all of a tenant's jobs, however many there are.
create table crm_deferrals (
    tenant_id uuid not null primary key,
    until timestamptz not null
);

alter table crm_deferrals enable row level security;
alter table crm_deferrals force row level security;
create policy tenant_isolation on crm_deferrals
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
create policy scheduler_waits on crm_deferrals to crm_scheduler
    using (true) with check (false);
grant select, insert, update on crm_deferrals to crm_runtime;
grant select on crm_deferrals to crm_scheduler;

-- Adds to what tenants have used, and hands back what they have used by now and what was set for
-- them: for many tenants in one round trip, each under its own policies. Rows come sorted by
-- tenant, so that two processes never wait for each other in a circle. A window that is null
-- stands for a quota that is not counted here.
create function crm_usage_settle(
    p_at timestamptz, p_tenants uuid[], p_quotas text[], p_windows timestamptz[],
    p_added bigint[])
returns table (tenant uuid, quota_name text, since timestamptz, total bigint, is_set boolean,
    set_amount bigint)
language plpgsql as $$
begin
    for i in 1 .. cardinality(p_tenants) loop
        if i = 1 or p_tenants[i] <> p_tenants[i - 1] then
            perform set_config('crm.tenant_id', p_tenants[i]::text, true);
        end if;
        tenant := p_tenants[i];
        quota_name := p_quotas[i];
        since := p_windows[i];
        total := 0;
        if p_added[i] > 0 then
            insert into crm_usage as u (tenant_id, quota, window_start, used)
            values (tenant, quota_name, since, p_added[i])
            on conflict on constraint crm_usage_pkey
                do update set used = u.used + excluded.used
            returning u.used into total;
            -- The first of a window sweeps up after those of long ago.
            if total = p_added[i] then
                delete from crm_usage u
                where u.tenant_id = tenant and u.window_start < p_at - interval '35 days';
            end if;
        elsif since is not null then
            select u.used into total
            from crm_usage u
            where u.tenant_id = tenant and u.quota = quota_name and u.window_start = since;
            total := coalesce(total, 0);
        end if;
        select true, q.amount into is_set, set_amount
        from crm_quotas q
        where q.tenant_id = tenant and q.quota = quota_name;
        is_set := coalesce(is_set, false);
        return next;
    end loop;
end
$$;

-- Sets a tenant's own quota, or takes it back to the default. Jobs that waited for fuel are
-- looked at again.
create function crm_quota_set(
    p_tenant uuid, p_quota text, p_set boolean, p_amount bigint, p_at timestamptz, p_by text)
returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    if p_set then
        insert into crm_quotas as q (tenant_id, quota, amount, updated_at, updated_by)
        values (p_tenant, p_quota, p_amount, p_at, p_by)
        on conflict on constraint crm_quotas_pkey do update
        set amount = excluded.amount, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by;
    else
        delete from crm_quotas q where q.tenant_id = p_tenant and q.quota = p_quota;
    end if;
    if p_quota = 'fuel' then
        delete from crm_deferrals d where d.tenant_id = p_tenant;
    end if;
end
$$;

grant usage on schema public to crm_quota_keeper;
grant select, insert, update, delete on crm_quotas to crm_quota_keeper;
grant select, delete on crm_deferrals to crm_quota_keeper;
revoke all on function crm_quota_set from public;
grant execute on function crm_quota_set to crm_runtime;
grant create on schema public to crm_quota_keeper;
alter function crm_quota_set owner to crm_quota_keeper;
revoke create on schema public from crm_quota_keeper;
