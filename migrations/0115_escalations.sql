-- Approvals that more people are asked for where nobody has answered for so long.

alter table crm_awaits add column escalate_at timestamptz;
-- As `approvers`.
alter table crm_awaits add column escalate_to text[];

-- The function of 0108. The run looks again when others are to be asked.
create or replace function crm_job_rests() returns trigger
language plpgsql as $$
begin
    -- Whoever brings something at this moment ends first.
    perform from crm_awaits w
    where w.tenant_id = new.tenant_id and w.job_id = new.id
    for update;
    new.available_at = least(new.available_at, (
        select min(w.escalate_at) from crm_awaits w
        where w.tenant_id = new.tenant_id and w.job_id = new.id and w.result is null));
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
