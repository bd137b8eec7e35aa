-- The last number that each auto number field gave out. A number that was given to a write which
-- failed is lost: gaps are possible, the same number twice is not.

create table crm_counters (
    tenant_id uuid not null,
    -- module.field
    slot text collate "C" not null,
    last bigint not null,
    primary key (tenant_id, slot)
);

alter table crm_counters enable row level security;
alter table crm_counters force row level security;
create policy tenant_isolation on crm_counters
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, update, delete on crm_counters to crm_runtime;

-- Takes the next p_count numbers of each slot; hands back the first of each.
create function crm_numbers_take(p_tenant uuid, p_slots text[], p_count bigint)
returns table (slot text, first bigint)
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    return query
        insert into crm_counters as c (tenant_id, slot, last)
        select p_tenant, wanted.slot, p_count
        from unnest(p_slots) as wanted (slot)
        order by wanted.slot
        on conflict on constraint crm_counters_pkey do update set last = c.last + p_count
        returning c.slot, c.last - p_count + 1;
end
$$;
