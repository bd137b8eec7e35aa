-- When the tenant is at work; none: as the product has it.
alter table tenant_crm_configs add column business_hours jsonb;
