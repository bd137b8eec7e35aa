-- Relations are looked up in the typed index. Records that were there before the index have no
-- rows in it, so a task makes them; until it is done, their fields count as being built.
--
-- Tables of tenants are closed to their owner too, but for the time of this migration.

alter table tenant_crm_configs no force row level security;
alter table crm_module_fields no force row level security;
alter table crm_tasks no force row level security;
alter table crm_fields_building no force row level security;

with relation as (
    select c.tenant_id, m.module ->> 'slug' as module_slug, f.field ->> 'key' as field_key
    from tenant_crm_configs c
    join crm_templates t on t.slug = c.template_slug and t.version = c.template_version
    cross join lateral jsonb_array_elements(t.definition -> 'modules') as m (module)
    cross join lateral jsonb_array_elements(m.module -> 'fields') as f (field)
    where f.field ->> 'type' = 'relation'
    union
    select o.tenant_id, o.module_slug, o.field_key
    from crm_module_fields o
    where o.definition ->> 'type' = 'relation'
),
task as (
    insert into crm_tasks (
        tenant_id, id, kind, spec, status, available_at, created_at, created_by, updated_at)
    select
        r.tenant_id, gen_random_uuid(), 'reindex',
        jsonb_build_object(
            'kind', 'reindex', 'module', r.module_slug,
            'fields', jsonb_agg(r.field_key order by r.field_key)),
        'queued', now(), now(), 'system', now()
    from relation r
    group by r.tenant_id, r.module_slug
    returning tenant_id, id, spec
)
insert into crm_fields_building (tenant_id, module_slug, field_key, task_id)
select t.tenant_id, t.spec ->> 'module', f.key, t.id
from task t
cross join lateral jsonb_array_elements_text(t.spec -> 'fields') as f (key);

alter table tenant_crm_configs force row level security;
alter table crm_module_fields force row level security;
alter table crm_tasks force row level security;
alter table crm_fields_building force row level security;
