-- The run log in months, so that what is older than the operator keeps goes by dropping a table.
-- A role of its own owns the log and makes and drops its months; it cannot log in. Rows are read
-- and written through the log alone: its months are in a schema that nobody else may look into.

do $$
begin
    if not exists (select from pg_roles where rolname = 'crm_log_keeper') then
        begin
            create role crm_log_keeper nologin nosuperuser nocreatedb nocreaterole nobypassrls;
        exception
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if not pg_has_role(current_user, 'crm_log_keeper', 'member') then
        execute format('grant crm_log_keeper to %I', current_user);
    end if;
end
$$;

grant usage on schema public to crm_log_keeper;
create schema crm_log authorization crm_log_keeper;

alter table crm_workflow_logs no force row level security;
alter table crm_workflow_logs rename to crm_workflow_logs_whole;
alter index crm_workflow_logs_pkey rename to crm_workflow_logs_whole_pkey;
drop index crm_workflow_logs_by_job;

create table crm_workflow_logs (
    like crm_workflow_logs_whole including defaults including constraints,
    primary key (tenant_id, id, started_at)
) partition by range (started_at);
create index crm_workflow_logs_by_job on crm_workflow_logs (tenant_id, job_id, attempt);
alter table crm_workflow_logs enable row level security;
create policy tenant_isolation on crm_workflow_logs
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert on crm_workflow_logs to crm_runtime;
grant select, delete on crm_workflow_logs to crm_purger;
grant update (input, mutations) on crm_workflow_logs to crm_purger;

-- Whatever has no month: from clocks that are wrong, and from before the oldest.
create table crm_log.runs_other partition of crm_workflow_logs default;
alter table crm_log.runs_other enable row level security;
alter table crm_log.runs_other force row level security;

grant create on schema public to crm_log_keeper;
alter table crm_workflow_logs owner to crm_log_keeper;
alter table crm_log.runs_other owner to crm_log_keeper;

-- Makes a month of the log where there is none. It is attached when it is whole, so that writers
-- do not wait. False: rows of that month are among the others, and there they stay.
create function crm_run_log_month(p_month timestamptz)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, public set timezone = 'UTC' set lock_timeout = '2s' as $$
declare
    v_from constant timestamptz := date_trunc('month', p_month);
    v_name constant text := to_char(v_from, '"runs_"YYYY"_"MM');
begin
    if to_regclass('crm_log.' || v_name) is not null then
        return true;
    end if;
    execute format('create table crm_log.%I (like crm_workflow_logs including all)', v_name);
    execute format('alter table crm_log.%I enable row level security', v_name);
    execute format('alter table crm_log.%I force row level security', v_name);
    execute format(
        'alter table crm_workflow_logs attach partition crm_log.%I for values from (%L) to (%L)',
        v_name, v_from, v_from + interval '1 month');
    return true;
exception
    when check_violation then return false;
end
$$;

-- Makes this month and those that come, as far ahead as that. How many there are not; null where
-- another instance is at it.
create function crm_run_logs_ahead(p_months integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, public set timezone = 'UTC' as $$
declare
    v_missing integer := 0;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('crm_run_logs', 0)) then
        return null;
    end if;
    for v_ahead in 0 .. least(p_months, 24) loop
        if not crm_run_log_month(now() + make_interval(months => v_ahead)) then
            v_missing := v_missing + 1;
        end if;
    end loop;
    return v_missing;
end
$$;

-- The beginning of the oldest month that is kept where p_days are to be kept. A week at least, so
-- that nobody who may call this takes the log away.
create function crm_run_logs_from(p_days integer)
returns timestamptz
language sql stable set timezone = 'UTC' as $$
    select date_trunc('month', now() - make_interval(days => greatest(p_days, 7)))
$$;

-- Drops the months that are over before that; how many. Null where another instance is at it.
create function crm_run_logs_drop(p_days integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, public set timezone = 'UTC' set lock_timeout = '2s' as $$
declare
    v_oldest constant text := to_char(crm_run_logs_from(p_days), '"runs_"YYYY"_"MM');
    v_name text;
    v_dropped integer := 0;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('crm_run_logs', 0)) then
        return null;
    end if;
    for v_name in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'crm_workflow_logs'::regclass
            and c.relname ~ '^runs_[0-9]{4}_[0-9]{2}$' and c.relname::text < v_oldest
        order by c.relname
    loop
        execute format('drop table crm_log.%I', v_name);
        v_dropped := v_dropped + 1;
    end loop;
    return v_dropped;
end
$$;

revoke all on function crm_run_log_month, crm_run_logs_ahead, crm_run_logs_drop from public;
grant execute on function crm_run_logs_ahead, crm_run_logs_drop to crm_runtime;
alter function crm_run_log_month owner to crm_log_keeper;
alter function crm_run_logs_ahead owner to crm_log_keeper;
alter function crm_run_logs_drop owner to crm_log_keeper;
revoke create on schema public from crm_log_keeper;

-- The rows that there are, into their months; into the others where they are older than a year.
select crm_run_log_month(month)
from generate_series(
    greatest(
        (select min(started_at) from crm_workflow_logs_whole),
        date_trunc('month', now()) - interval '13 months'),
    now(), interval '1 month') as month
where exists (select from crm_workflow_logs_whole);
select crm_run_logs_ahead(3);

insert into crm_workflow_logs (
    tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations, fuel,
    memory_bytes, duration_us, error, started_at, step)
select
    tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations, fuel,
    memory_bytes, duration_us, error, started_at, step
from crm_workflow_logs_whole;
drop table crm_workflow_logs_whole;
alter table crm_workflow_logs force row level security;
