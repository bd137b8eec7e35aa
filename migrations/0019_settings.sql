-- How a tenant tells time and in which language it searches.

alter table tenant_crm_configs
    -- A name of the IANA time zone database.
    add column time_zone text not null default 'UTC',
    -- A text search configuration of PostgreSQL.
    add column language text not null default 'simple';
