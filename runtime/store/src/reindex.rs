//! Bringing what is kept beside records in line with a model that changed, some records at a
//! time: rows of the typed index, unique values, words; and taking values out of records.

use crm_model::derived::Entry;
use crm_model::{Data, FieldKey, ModuleSlug, RecordId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A record with what follows from its data.
#[derive(Clone, Debug)]
pub struct Derived<T> {
    pub record: RecordId,
    pub entries: T,
}

/// Records of a module in the order of their ids, from after `after`, kept from changing until
/// the transaction ends. Whoever is going to change them says so: taking a lock and a stronger
/// one later would stand in the way of writers who do the same.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_hold(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    after: RecordId,
    limit: u32,
    to_change: bool,
) -> Result<Vec<(RecordId, Data)>, StoreError> {
    let statement = match to_change {
        false => {
            "select id, data from crm_records
            where tenant_id = $1 and module_slug = $2 and deleted_at is null and id > $3
            order by id
            limit $4
            for share"
        }
        true => {
            "select id, data from crm_records
            where tenant_id = $1 and module_slug = $2 and deleted_at is null and id > $3
            order by id
            limit $4
            for update"
        }
    };
    let rows: Vec<(Uuid, Json<Data>)> = sqlx::query_as(statement)
        .bind(tx.tenant_id().uuid())
        .bind(module.as_str())
        .bind(after.uuid())
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    let record = |(id, data): (Uuid, Json<Data>)| (RecordId::new(id), data.0);
    Ok(rows.into_iter().map(record).collect())
}

/// The live ones of these records, kept from changing until the transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_hold_these(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    records: &[RecordId],
) -> Result<Vec<(RecordId, Data)>, StoreError> {
    let ids: Vec<Uuid> = records.iter().map(|record| record.uuid()).collect();
    let rows: Vec<(Uuid, Json<Data>)> = sqlx::query_as(
        "select id, data from crm_records
        where tenant_id = $1 and module_slug = $2 and deleted_at is null and id = any($3)
        order by id
        for share",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(ids)
    .fetch_all(tx.connection())
    .await?;
    let record = |(id, data): (Uuid, Json<Data>)| (RecordId::new(id), data.0);
    Ok(rows.into_iter().map(record).collect())
}

/// Slots, keys and records, column by column.
#[derive(Default)]
struct Columns {
    slots: Vec<String>,
    keys: Vec<String>,
    records: Vec<Uuid>,
}

impl Columns {
    fn of(rows: &[Derived<Vec<Entry>>]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            for entry in &row.entries {
                columns.slots.push(entry.slot.clone());
                columns.keys.push(entry.key.clone());
                columns.records.push(row.record.uuid());
            }
        }
        columns
    }
}

/// Adds what is missing in the typed index.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn index_fill(tx: &mut TenantTx, rows: &[Derived<Vec<Entry>>]) -> Result<(), StoreError> {
    let columns = Columns::of(rows);
    sqlx::query(
        "insert into crm_index (tenant_id, slot, key, record_id)
        select $1, w.slot, w.key, w.record_id
        from unnest($2::text[], $3::text[], $4::uuid[]) as w (slot, key, record_id)
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(columns.slots)
    .bind(columns.keys)
    .bind(columns.records)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Two records that share what must be unique.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Duplicate {
    pub slot: String,
    pub record_id: Uuid,
    pub other_id: Uuid,
}

/// Adds what is missing in the unique values. What another record has already is not added:
/// such pairs come back, at most `limit`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn unique_fill(
    tx: &mut TenantTx,
    rows: &[Derived<Vec<Entry>>],
    limit: u32,
) -> Result<Vec<Duplicate>, StoreError> {
    let Columns {
        slots,
        keys,
        records,
    } = Columns::of(rows);
    sqlx::query(
        "insert into crm_unique (tenant_id, slot, key, record_id)
        select $1, w.slot, w.key, w.record_id
        from unnest($2::text[], $3::text[], $4::uuid[]) as w (slot, key, record_id)
        order by w.record_id
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(&slots)
    .bind(&keys)
    .bind(&records)
    .execute(tx.connection())
    .await?;
    let duplicates = sqlx::query_as(
        "select w.slot, u.record_id, w.record_id as other_id
        from unnest($2::text[], $3::text[], $4::uuid[]) as w (slot, key, record_id)
        join crm_unique u on u.tenant_id = $1 and u.slot = w.slot and u.key = w.key
        where u.record_id <> w.record_id
        order by w.record_id
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(&slots)
    .bind(&keys)
    .bind(&records)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(duplicates)
}

/// Adds the missing words of records' texts, as text search reduces them in this language.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn words_fill(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    language: &str,
    texts: &[Derived<String>],
) -> Result<(), StoreError> {
    let records: Vec<Uuid> = texts.iter().map(|text| text.record.uuid()).collect();
    let texts: Vec<&str> = texts.iter().map(|text| text.entries.as_str()).collect();
    sqlx::query(
        "insert into crm_words (tenant_id, word, module_slug, record_id)
        select $1, w.lexeme, $2, r.record_id
        from unnest($4::uuid[], $5::text[]) as r (record_id, words)
        cross join lateral unnest(to_tsvector($3::regconfig, r.words)) as w
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(language)
    .bind(records)
    .bind(texts)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Words of a module's records in order, from after this word and record.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn words_page(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    after: (&str, RecordId),
    limit: u32,
) -> Result<Vec<(String, RecordId)>, StoreError> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "select word, record_id from crm_words
        where tenant_id = $1 and module_slug = $2 and (word, record_id) > ($3, $4)
            and word >= $3
        order by word, module_slug, record_id
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(after.0)
    .bind(after.1.uuid())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let row = |(word, record)| (word, RecordId::new(record));
    Ok(rows.into_iter().map(row).collect())
}

/// Of these words, takes away those that the texts of the live records do not hold.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn words_sweep(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    language: &str,
    words: &[(String, RecordId)],
    texts: &[Derived<String>],
) -> Result<(), StoreError> {
    let word_records: Vec<Uuid> = words.iter().map(|(_, record)| record.uuid()).collect();
    let words: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
    let text_records: Vec<Uuid> = texts.iter().map(|text| text.record.uuid()).collect();
    let texts: Vec<&str> = texts.iter().map(|text| text.entries.as_str()).collect();
    sqlx::query(
        "with held as materialized (
            select r.record_id, w.lexeme
            from unnest($6::uuid[], $7::text[]) as r (record_id, words)
            cross join lateral unnest(to_tsvector($3::regconfig, r.words)) as w
        )
        delete from crm_words w
        using unnest($4::text[], $5::uuid[]) as page (word, record_id)
        where w.tenant_id = $1 and w.module_slug = $2 and w.word = page.word
            and w.record_id = page.record_id
            and not exists (
                select from held
                where held.record_id = w.record_id and held.lexeme = w.word)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(language)
    .bind(words)
    .bind(word_records)
    .bind(text_records)
    .bind(texts)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Which of the tables that hold slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    Index,
    Unique,
}

/// Rows of a slot in order, from after this key and record.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn slot_page(
    tx: &mut TenantTx,
    slots: Slots,
    slot: &str,
    after: (&str, RecordId),
    limit: u32,
) -> Result<Vec<(String, RecordId)>, StoreError> {
    let statement = match slots {
        Slots::Index => {
            "select key, record_id from crm_index
            where tenant_id = $1 and slot = $2 and (key, record_id) > ($3, $4)
            order by key, record_id limit $5"
        }
        Slots::Unique => {
            "select key, record_id from crm_unique
            where tenant_id = $1 and slot = $2 and (key, record_id) > ($3, $4)
            order by key, record_id limit $5"
        }
    };
    let rows: Vec<(String, Uuid)> = sqlx::query_as(statement)
        .bind(tx.tenant_id().uuid())
        .bind(slot)
        .bind(after.0)
        .bind(after.1.uuid())
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    let row = |(key, record)| (key, RecordId::new(record));
    Ok(rows.into_iter().map(row).collect())
}

/// Takes rows of a slot away.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn slot_delete(
    tx: &mut TenantTx,
    slots: Slots,
    slot: &str,
    rows: &[(String, RecordId)],
) -> Result<(), StoreError> {
    let statement = match slots {
        Slots::Index => {
            "delete from crm_index i
            using unnest($3::text[], $4::uuid[]) as gone (key, record_id)
            where i.tenant_id = $1 and i.slot = $2 and i.key = gone.key
                and i.record_id = gone.record_id"
        }
        Slots::Unique => {
            "delete from crm_unique i
            using unnest($3::text[], $4::uuid[]) as gone (key, record_id)
            where i.tenant_id = $1 and i.slot = $2 and i.key = gone.key
                and i.record_id = gone.record_id"
        }
    };
    let keys: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
    let records: Vec<Uuid> = rows.iter().map(|(_, record)| record.uuid()).collect();
    sqlx::query(statement)
        .bind(tx.tenant_id().uuid())
        .bind(slot)
        .bind(keys)
        .bind(records)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes a field's value out of up to `limit` records of a module, deleted ones too, from after
/// `after` in the order of their ids. Says how many had one, and the last record; none at the
/// end. Versions stay: nobody changed the record.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn values_remove(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
    after: RecordId,
    limit: u32,
) -> Result<Option<(u64, RecordId)>, StoreError> {
    let (removed, last): (i64, Option<Uuid>) = sqlx::query_as(
        "with page as materialized (
            select id from crm_records
            where tenant_id = $1 and module_slug = $2 and id > $4
            order by id
            limit $5
            for update
        ),
        removed as (
            update crm_records r set data = r.data - $3
            from page
            where r.tenant_id = $1 and r.id = page.id and r.data ? $3
            returning r.id
        )
        select (select count(*) from removed), (select id from page order by id desc limit 1)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(field.as_str())
    .bind(after.uuid())
    .bind(i64::from(limit))
    .fetch_one(tx.connection())
    .await?;
    let removed = u64::try_from(removed).unwrap_or_default();
    Ok(last.map(|last| (removed, RecordId::new(last))))
}

/// How many records a module has. Reads them all: for long work, not for requests.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_count(tx: &mut TenantTx, module: &ModuleSlug) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "select count(*) from crm_records
        where tenant_id = $1 and module_slug = $2 and deleted_at is null",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .fetch_one(tx.connection())
    .await?;
    Ok(count)
}

/// Takes away up to `limit` records of a deleted module for good, with all that is kept beside
/// them; how many there were.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn module_remove(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    limit: u32,
) -> Result<u64, StoreError> {
    let removed: i64 = sqlx::query_scalar(
        "with gone as materialized (
            select id from crm_records
            where tenant_id = $1 and module_slug = $2
            order by id
            limit $3
        ),
        deleted as materialized (
            update crm_records r set deleted_at = now()
            from gone
            where r.tenant_id = $1 and r.id = gone.id and r.deleted_at is null
            returning r.id
        )
        select count(*) from gone left join deleted using (id)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(i64::from(limit))
    .fetch_one(tx.connection())
    .await?;
    sqlx::query(
        "select crm_record_purge($1, $2, page.id)
        from (
            select id from crm_records
            where tenant_id = $1 and module_slug = $2 and deleted_at is not null
            order by id
            limit $3
        ) page",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(i64::from(limit))
    .execute(tx.connection())
    .await?;
    Ok(removed.unsigned_abs())
}

/// Takes away what is kept beside the records of a deleted module.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn module_unindex(tx: &mut TenantTx, module: &ModuleSlug) -> Result<(), StoreError> {
    // Slots are `module.…`, and `/` comes right behind the point.
    let (from, to) = (format!("{module}."), format!("{module}/"));
    for statement in [
        "delete from crm_index where tenant_id = $1 and slot >= $2 and slot < $3",
        "delete from crm_unique where tenant_id = $1 and slot >= $2 and slot < $3",
        "delete from crm_counters where tenant_id = $1 and slot >= $2 and slot < $3",
    ] {
        sqlx::query(statement)
            .bind(tx.tenant_id().uuid())
            .bind(&from)
            .bind(&to)
            .execute(tx.connection())
            .await?;
    }
    sqlx::query("delete from crm_words where tenant_id = $1 and module_slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(module.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}
