-- The key that signs development tokens, one for all instances on this database. The runtime's
-- role has no right to it: the owner reads it when the process starts, where the development
-- issuer is enabled.

create table crm_dev_issuer (
    id boolean primary key default true check (id),
    key bytea not null
);
