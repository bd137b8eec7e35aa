//! Fills the tables that are derived from records, as the write path does.

use crm_model::TenantId;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::app::TestApp;

/// Brings the typed index and the words of all of a tenant's records in line with its model.
pub async fn fill_index(app: &TestApp, tenant: TenantId) {
    let model = app
        .engine
        .model(tenant)
        .await
        .expect("a model")
        .expect("a template");
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .expect("the owner");
    let records: Vec<(Uuid, String, Json<crm_model::Data>)> =
        sqlx::query_as("select id, module_slug, data from crm_records where tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(&mut owner)
            .await
            .expect("records");
    let (mut slots, mut keys, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (id, slug, data) in records {
        let slug = slug.parse().expect("a module");
        let module = model.module(&slug).expect("a module");
        for entry in module.index_entries(&data.0) {
            slots.push(entry.slot);
            keys.push(entry.key);
            ids.push(id);
        }
        let text = module.search_text(&data.0);
        sqlx::query(
            "insert into crm_words (tenant_id, word, module_slug, record_id)
            select $1, unnest(tsvector_to_array(to_tsvector($2::text::regconfig, $3))), $4, $5
            on conflict do nothing",
        )
        .bind(tenant.uuid())
        .bind(&model.settings().language)
        .bind(text)
        .bind(slug.as_str())
        .bind(id)
        .execute(&mut owner)
        .await
        .expect("words");
    }
    sqlx::query(
        "insert into crm_index (tenant_id, slot, key, record_id)
        select $1, * from unnest($2::text[], $3::text[], $4::uuid[]) on conflict do nothing",
    )
    .bind(tenant.uuid())
    .bind(slots)
    .bind(keys)
    .bind(ids)
    .execute(&mut owner)
    .await
    .expect("index rows");
}
