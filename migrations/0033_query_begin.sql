-- Begins a query of a client: sets the tenant for the rest of the transaction, and how long each
-- of its statements may take, and hands back the version of the tenant's model. The planner
-- neither scans tables as a whole nor compiles.
create function crm_query_begin(p_tenant uuid, p_limit_milliseconds integer) returns bigint
language plpgsql as $$
begin
    perform set_config('statement_timeout', p_limit_milliseconds::text, true),
        set_config('enable_seqscan', 'off', true),
        set_config('enable_hashjoin', 'off', true),
        set_config('enable_mergejoin', 'off', true),
        set_config('jit', 'off', true);
    return crm_tenant_begin(p_tenant);
end
$$;
