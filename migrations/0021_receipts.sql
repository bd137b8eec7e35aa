-- Answers to requests that carried an Idempotency-Key, written in the transaction of what they
-- did, so that the same request sent again gets the same answer and does nothing.

create table crm_receipts (
    tenant_id uuid not null,
    user_id text not null,
    key text not null,
    -- SHA-256 of method, path and body: another request under the same key is a mistake.
    fingerprint bytea not null,
    status smallint not null,
    headers jsonb not null,
    body text not null,
    created_at timestamptz not null,
    primary key (tenant_id, user_id, key)
);

create index crm_receipts_by_age on crm_receipts (tenant_id, created_at);

alter table crm_receipts enable row level security;
alter table crm_receipts force row level security;
create policy tenant_isolation on crm_receipts
    using (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('crm.tenant_id', true), '')::uuid);
grant select, insert, delete on crm_receipts to crm_runtime;

-- Keeps an answer. Answers older than p_expired are forgotten, some at each turn. Sets no tenant:
-- called within a transaction that did.
--
-- Errors: CR007 the key has been used meanwhile.
create function crm_receipt_keep(
    p_tenant uuid, p_user text, p_key text, p_fingerprint bytea, p_status smallint,
    p_headers jsonb, p_body text, p_at timestamptz, p_expired timestamptz)
returns void
language plpgsql as $$
begin
    delete from crm_receipts r
    where r.tenant_id = p_tenant
        and r.key in (
            select o.key from crm_receipts o
            where o.tenant_id = p_tenant and o.created_at < p_expired
            limit 100)
        and r.created_at < p_expired;
    delete from crm_receipts r
    where r.tenant_id = p_tenant and r.user_id = p_user and r.key = p_key
        and r.created_at < p_expired;
    insert into crm_receipts (
        tenant_id, user_id, key, fingerprint, status, headers, body, created_at)
    values (p_tenant, p_user, p_key, p_fingerprint, p_status, p_headers, p_body, p_at)
    on conflict do nothing;
    if not found then
        raise exception 'the key has been used' using errcode = 'CR007';
    end if;
end
$$;

-- The answer kept under a key, in one round trip.
create function crm_receipt_read(p_tenant uuid, p_user text, p_key text, p_expired timestamptz)
returns table (fingerprint text, status smallint, headers jsonb, body text)
language plpgsql as $$
begin
    perform set_config('crm.tenant_id', p_tenant::text, true);
    return query
        select encode(r.fingerprint, 'hex'), r.status, r.headers, r.body
        from crm_receipts r
        where r.tenant_id = p_tenant and r.user_id = p_user and r.key = p_key
            and r.created_at >= p_expired;
end
$$;
