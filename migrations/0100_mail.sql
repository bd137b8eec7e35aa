-- Whom a tenant's mails are from, whom they do not go to, and who tells of those that came back.

create table crm_mail_senders (
    tenant_id uuid not null,
    name text not null,
    address text not null,
    reply_to text,
    -- SHA-256 of the code that was sent to the address; none once it is confirmed.
    code_hash bytea,
    code_sent_at timestamptz,
    -- Until then mails are from the operator's address.
    confirmed_at timestamptz,
    updated_at timestamptz not null,
    updated_by text not null,
    primary key (tenant_id)
);

alter table crm_mail_senders enable row level security;
alter table crm_mail_senders force row level security;
create policy tenant_isolation on crm_mail_senders to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update, delete on crm_mail_senders to crm_runtime;

create table crm_mail_suppressions (
    tenant_id uuid not null,
    -- Without capitals, as crm_users.email_key.
    address text not null,
    reason text not null check (reason in ('unsubscribed', 'bounced', 'complained', 'added')),
    note text,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id, address)
);

alter table crm_mail_suppressions enable row level security;
alter table crm_mail_suppressions force row level security;
create policy tenant_isolation on crm_mail_suppressions to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, delete on crm_mail_suppressions to crm_runtime;

-- The address at which a mail service tells of bounces and complaints. It holds a secret, of which
-- only the SHA-256 is kept.
create table crm_mail_feedback (
    tenant_id uuid not null,
    secret_hash bytea not null,
    -- How the secret begins, by which people tell it from others.
    prefix text not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (tenant_id)
);

alter table crm_mail_feedback enable row level security;
alter table crm_mail_feedback force row level security;
create policy tenant_isolation on crm_mail_feedback to crm_runtime
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);

grant select, insert, update, delete on crm_mail_feedback to crm_runtime;

-- What was heard of a mail after it was sent: a list of what the mail service told.
alter table crm_effects add column feedback jsonb;
