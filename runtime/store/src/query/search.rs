//! The words of a full-text search, as the index of words has them. All have to be there; of the
//! last one, which may still be typed, the beginning is enough.

use crm_model::query::Search;

use super::sql::{Bind, Sql};
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// Words that one beginning may stand for; more are not looked for.
const PREFIX_MAX_WORDS: i64 = 50;

/// Where the reader does not see every searchable field: the words again, in those alone that
/// they see. The index of words knows records, not fields.
pub(super) fn stands_in_seen(
    sql: &mut Sql,
    search: &Search,
    terms: &[Vec<String>],
    record: &str,
) -> String {
    let Some(only) = &search.only else {
        return String::new();
    };
    let language = sql.bind(Bind::Text(search.language.clone()));
    let values: Vec<String> = only
        .iter()
        .map(|field| {
            let field = sql.bind(Bind::Text(field.to_string()));
            format!("{record}.data -> {field}")
        })
        .collect();
    let seen = format!(
        "tsvector_to_array(jsonb_to_tsvector({language}::text::regconfig, \
        jsonb_build_array({}), '[\"string\"]'))",
        values.join(", ")
    );
    let mut stands = String::new();
    for words in terms {
        let words = sql.bind(Bind::Texts(words.clone()));
        stands.push_str(&format!(" and {seen} && {words}"));
    }
    stands
}

/// Reads a search: for each of its words those that count as it.
pub(super) async fn terms(
    tx: &mut TenantTx,
    search: &Search,
) -> Result<Vec<Vec<String>>, StoreError> {
    let (head, last) = match search.text.trim_end().rsplit_once(char::is_whitespace) {
        Some((head, last)) => (head, last),
        None => ("", search.text.trim()),
    };
    let mut terms: Vec<Vec<String>> = words(tx, &search.language, head)
        .await?
        .into_iter()
        .map(|word| vec![word])
        .collect();
    // “north-east” is several words to PostgreSQL: only its last may be cut short.
    let mut last = words(tx, &search.language, last).await?;
    if let Some(begun) = last.pop() {
        terms.extend(last.into_iter().map(|word| vec![word]));
        terms.push(begun_words(tx, &begun).await?);
    }
    Ok(terms)
}

/// The words of a text in the order in which they stand there.
async fn words(tx: &mut TenantTx, language: &str, text: &str) -> Result<Vec<String>, StoreError> {
    let words = sqlx::query_scalar(
        "select w.lexeme from unnest(to_tsvector($1::text::regconfig, $2)) w
        order by w.positions[1], w.lexeme",
    )
    .bind(language)
    .bind(text)
    .fetch_all(tx.connection())
    .await?;
    Ok(words)
}

/// Words that begin so, walking from one to the next along the key.
async fn begun_words(tx: &mut TenantTx, begun: &str) -> Result<Vec<String>, StoreError> {
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let from = sql.bind(Bind::Text(begun.to_owned()));
    let to = sql.bind(Bind::Text(format!("{begun}{}", char::MAX)));
    let most = sql.bind(Bind::Integer(PREFIX_MAX_WORDS));
    sql.push(&format!(
        "with recursive begun (word) as (
            (select w.word from crm_words w
            where w.tenant_id = $1 and w.word >= {from} and w.word < {to}
            order by w.word limit 1)
            union all
            select (
                select w.word from crm_words w
                where w.tenant_id = $1 and w.word > begun.word and w.word < {to}
                order by w.word limit 1)
            from begun where begun.word is not null
        )
        select word from begun where word is not null limit {most}"
    ));
    let rows: Vec<(String,)> = sql.rows(tx.connection()).await?;
    Ok(rows.into_iter().map(|(word,)| word).collect())
}
