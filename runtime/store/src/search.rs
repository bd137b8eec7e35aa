//! Search across modules, through crm_words: what is looked for, reduced by PostgreSQL's text
//! search as the words of records were, and the records that have all of it.
//!
//! Everything is compared as plain text, under "C", because under row-level security PostgreSQL
//! goes along an index for leakproof operators only; those of tsvector are not.

use crm_model::limits::{SEARCH_MAX_BEGINNINGS, SEARCH_MAX_RECORDS};
use crm_model::settings::Settings;
use crm_model::{ModuleSlug, RecordId};
use uuid::Uuid;

use crate::activities::slugs;
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// After every text that begins with what stands before it.
const LAST: char = '\u{10ffff}';

/// What records have to have: these words, and for each beginning a word that begins so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub words: Vec<String>,
    pub beginnings: Vec<String>,
}

/// A record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub record: RecordId,
    /// How many of its words match, those in full counted twice. How rare they are is no part of
    /// it: all hits have the same words, and only what begins like the last one differs.
    pub score: i64,
}

/// A page of hits.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    pub rows: Vec<Hit>,
    /// Otherwise more records have the rarest word than are ranked, and there may be more hits.
    pub complete: bool,
}

/// Reduces words to what the language's text search keeps of them. The last is a beginning,
/// also where it is one of the words that the language leaves out.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn words_reduce(
    tx: &mut TenantTx,
    settings: &Settings,
    words: &str,
    last: &str,
) -> Result<Wanted, StoreError> {
    let (words, beginnings, as_it_stands): (Vec<String>, Vec<String>, Vec<String>) =
        sqlx::query_as(
            "select tsvector_to_array(to_tsvector($1::regconfig, $2)),
                tsvector_to_array(to_tsvector($1::regconfig, $3)),
                tsvector_to_array(to_tsvector('simple', $3))",
        )
        .bind(&settings.language)
        .bind(words)
        .bind(last)
        .fetch_one(tx.connection())
        .await?;
    Ok(Wanted {
        words,
        beginnings: if beginnings.is_empty() {
            as_it_stands
        } else {
            beginnings
        },
    })
}

/// The rarest of these words, and the records that have it: as many as are ranked and one more
/// are counted.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn word_rarest(
    tx: &mut TenantTx,
    modules: &[ModuleSlug],
    words: &[String],
) -> Result<Option<String>, StoreError> {
    let rarest = sqlx::query_scalar(
        "select t.word
        from unnest($3::text[]) as t (word)
        order by (
            select count(*) from (
                select from crm_words w
                where w.tenant_id = $1 and w.word = t.word and w.module_slug = any($2)
                limit $4
            ) counted
        ), t.word
        limit 1",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slugs(modules))
    .bind(words)
    .bind(SEARCH_MAX_RECORDS + 1)
    .fetch_optional(tx.connection())
    .await?;
    Ok(rarest)
}

/// Ranks the records that have what is wanted: `$3` is the rarest word, or a beginning up to
/// `$4`; `$5` the other words; `$6` to `$7` the other beginnings. Public so that a test can ask
/// how PostgreSQL goes about it.
pub const RANK: &str = "with found as materialized (
        select m.slug as module_slug, w.record_id, true as is_it
        from unnest($2::text[]) as m (slug)
        cross join lateral (
            select w.record_id from crm_words w
            where w.tenant_id = $1 and w.word = $3 and w.module_slug = m.slug
            order by w.record_id desc
            limit $8
        ) w
        union all
        (select w.module_slug, w.record_id, false
        from crm_words w
        where w.tenant_id = $1 and w.word > $3 and w.word <= $4 and w.module_slug = any($2)
        order by w.word, w.module_slug, w.record_id
        limit $8)
    ),
    begun as materialized (
        select t.place, w.record_id, w.word = t.first as is_it
        from unnest($6::text[], $7::text[]) with ordinality as t (first, last, place)
        cross join lateral (
            select w.word, w.record_id from crm_words w
            where w.tenant_id = $1 and w.word >= t.first and w.word <= t.last
                and w.module_slug = any($2)
            limit $9
        ) w
    ),
    ranked as (
        select f.module_slug, f.record_id,
            count(*) + count(*) filter (where f.is_it) as score
        from found f
        group by f.module_slug, f.record_id
    ),
    begun_so as (
        select b.record_id, count(*) + count(*) filter (where b.is_it) as score
        from begun b
        group by b.record_id
        having count(distinct b.place) = cardinality($6)
    ),
    hits as (
        select r.record_id, r.score + coalesce(b.score, 0) as score
        from ranked r
        left join begun_so b on b.record_id = r.record_id
        where (b.record_id is not null or cardinality($6) = 0)
            and not exists (
                select from unnest($5::text[]) as t (word)
                where not exists (
                    select from crm_words w
                    where w.tenant_id = $1 and w.word = t.word
                        and w.module_slug = r.module_slug and w.record_id = r.record_id
                )
            )
    )
    select h.record_id, h.score, c.complete
    from (
        select count(*) filter (where f.is_it) < $8 and count(*) filter (where not f.is_it) < $8
            and (select count(*) from begun) < $9 as complete
        from found f
    ) c
    left join (
        select h.record_id, h.score from hits h
        where (h.score, h.record_id) < ($10, $11)
        order by h.score desc, h.record_id desc
        limit $12
    ) h on true
    order by h.score desc, h.record_id desc";

/// The best of the records that have all that is wanted, the newest first of those that are as
/// good: after `after`, or from the start.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_rank(
    tx: &mut TenantTx,
    modules: &[ModuleSlug],
    wanted: &Wanted,
    after: Option<Hit>,
    limit: u32,
) -> Result<Hits, StoreError> {
    let rarest = word_rarest(tx, modules, &wanted.words).await?;
    let is_word = rarest.is_some();
    let Some(first) = rarest.or_else(|| wanted.beginnings.first().cloned()) else {
        return Ok(Hits::default());
    };
    let others = wanted.words.iter().filter(|word| **word != first);
    let beginnings = wanted.beginnings.iter().skip(usize::from(!is_word));
    let ends = beginnings.clone().map(|beginning| end(beginning));
    let rows: Vec<(Option<Uuid>, Option<i64>, bool)> = sqlx::query_as(RANK)
        .bind(tx.tenant_id().uuid())
        .bind(slugs(modules))
        .bind(&first)
        .bind(if is_word { first.clone() } else { end(&first) })
        .bind(others.collect::<Vec<_>>())
        .bind(beginnings.collect::<Vec<_>>())
        .bind(ends.collect::<Vec<_>>())
        .bind(SEARCH_MAX_RECORDS + 1)
        .bind(SEARCH_MAX_BEGINNINGS)
        .bind(after.map_or(i64::MAX, |hit| hit.score))
        .bind(after.map_or(Uuid::max(), |hit| hit.record.uuid()))
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    Ok(Hits {
        complete: rows.iter().all(|(_, _, complete)| *complete),
        rows: rows
            .into_iter()
            .filter_map(|(id, score, _)| {
                Some(Hit {
                    record: RecordId::new(id?),
                    score: score?,
                })
            })
            .collect(),
    })
}

/// Which of these texts have all that is wanted.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn texts_match(
    tx: &mut TenantTx,
    settings: &Settings,
    wanted: &Wanted,
    texts: &[(RecordId, String)],
) -> Result<Vec<RecordId>, StoreError> {
    let ids: Vec<Uuid> = texts.iter().map(|(id, _)| id.uuid()).collect();
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    let rows: Vec<(Uuid,)> = sqlx::query_as(
        "select t.id
        from unnest($1::uuid[], $2::text[]) as t (id, text)
        cross join lateral (
            select tsvector_to_array(to_tsvector($3::text::regconfig, t.text)) as words
        ) w
        where w.words @> $4::text[]
            and not exists (
                select from unnest($5::text[]) as b (beginning)
                where not exists (
                    select from unnest(w.words) as o (word)
                    where starts_with(o.word, b.beginning)
                )
            )",
    )
    .bind(ids)
    .bind(texts)
    .bind(&settings.language)
    .bind(&wanted.words)
    .bind(&wanted.beginnings)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|(id,)| RecordId::new(id)).collect())
}

fn end(beginning: &str) -> String {
    format!("{beginning}{LAST}")
}
