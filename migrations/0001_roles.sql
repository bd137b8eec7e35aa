-- The roles that the product runs under. Roles belong to the whole server, so another database
-- of it may have made them already.
--
-- crm_runtime: what the API and the workers run as. Owns nothing, bypasses nothing.
-- crm_scheduler: owns the one function that looks across tenants, and may touch the queue only.

do $$
begin
    create role crm_runtime nologin nosuperuser nocreatedb nocreaterole nobypassrls;
exception
    when duplicate_object or unique_violation then null;
end
$$;

do $$
begin
    create role crm_scheduler nologin nosuperuser nocreatedb nocreaterole nobypassrls;
exception
    when duplicate_object or unique_violation then null;
end
$$;

do $$
begin
    execute format('grant crm_runtime, crm_scheduler to %I', current_user);
end
$$;

grant usage on schema public to crm_runtime, crm_scheduler;
