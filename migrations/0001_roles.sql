-- The roles that the product runs under. Roles belong to the whole server, so another database
-- of it may have made them already, or be making them now.
--
-- crm_runtime: what the API and the workers run as. Owns nothing, bypasses nothing.
-- crm_scheduler: owns the one function that looks across tenants, and may touch the queue only.

do $$
declare
    v_role text;
begin
    foreach v_role in array array['crm_runtime', 'crm_scheduler'] loop
        if not exists (select from pg_roles where rolname = v_role) then
            begin
                execute format(
                    'create role %I nologin nosuperuser nocreatedb nocreaterole nobypassrls',
                    v_role);
            exception
                when duplicate_object or unique_violation then null;
            end;
        end if;
        if not pg_has_role(current_user, v_role, 'member') then
            execute format('grant %I to %I', v_role, current_user);
        end if;
    end loop;
end
$$;

grant usage on schema public to crm_runtime, crm_scheduler;
