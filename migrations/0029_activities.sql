-- Tasks get due, are somebody's, and get done; calls and meetings happened at some time and took
-- a while. Entries can be corrected and taken away. And what a person did can be listed.

alter table crm_activities
    -- Tasks: until when, and who is to do it.
    add column due_at timestamptz,
    add column assignee text,
    add column done_at timestamptz,
    add column done_by text,
    -- All others: when it happened and how long it took.
    add column occurred_at timestamptz,
    add column duration_minutes integer,
    -- Where it stands on the timeline: when it happened, or when it was written.
    add column at timestamptz,
    add column updated_at timestamptz,
    add column updated_by text;
-- Closed to its owner too, but for this.
alter table crm_activities no force row level security;
update crm_activities set at = created_at, updated_at = created_at, updated_by = created_by;
alter table crm_activities force row level security;
alter table crm_activities
    alter column at set not null,
    alter column updated_at set not null,
    alter column updated_by set not null,
    add check ((done_at is null) = (done_by is null));

grant update, delete on crm_activities to crm_runtime;

-- The timeline of a record, of a person, and a person's tasks.
create index crm_activities_by_time on crm_activities (tenant_id, record_id, at, id);
create index crm_activities_by_creator on crm_activities (tenant_id, created_by, id);
create index crm_activities_by_assignee on crm_activities (tenant_id, assignee, id)
    where assignee is not null;
-- Changes by whom. Ids of events sort by time.
create index crm_record_history_by_user on crm_record_history (tenant_id, changed_by, event_id);

-- Adds to timelines. Sets no tenant: called within crm_commit.
create function crm_activities_insert(
    p_tenant uuid, p_at timestamptz, p_user text, p_cause jsonb, p_activities jsonb)
returns void
language plpgsql as $$
begin
    insert into crm_activities (
        tenant_id, id, module_slug, record_id, kind, title, body, due_at, assignee, occurred_at,
        duration_minutes, at, created_at, created_by, updated_at, updated_by, cause)
    select
        p_tenant, a.id, a.module, a.record_id, a.kind, a.title, a.body, a.due_at, a.assignee,
        a.occurred_at, a.duration_minutes, coalesce(a.occurred_at, p_at), p_at, p_user, p_at,
        p_user, p_cause
    from jsonb_to_recordset(p_activities) as a (
        id uuid, module text, record_id uuid, kind text, title text, body text,
        due_at timestamptz, assignee text, occurred_at timestamptz, duration_minutes integer);
end
$$;
