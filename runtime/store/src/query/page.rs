//! One page of records, each plan in one statement. Every plan rechecks the whole filter on the
//! record itself: indexes only narrow down.

use crm_model::query::{Cursor, Query, RecordView, SortKey, SortValue};
use sqlx::types::Json;
use uuid::Uuid;

use super::plan::{self, Plan};
use super::source::{Source, keys_condition};
use super::sql::{Bind, Sql};
use super::{expression, predicate, search};
use crate::error::StoreError;
use crate::records::{Record, Row};
use crate::tenant_tx::TenantTx;

const COLUMNS: &str = "r.id, r.module_slug, r.data, r.version, r.owner_id, r.created_at, \
    r.created_by, r.updated_at, r.updated_by, r.deleted_at";

/// A record of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub record: Record,
}

impl Found {
    /// As queries look at it.
    pub fn view(&self) -> RecordView<'_> {
        let record = &self.record;
        RecordView {
            id: record.id,
            version: record.version,
            owner_id: &record.owner_id,
            created_at: record.created_at,
            created_by: &record.created_by,
            updated_at: record.updated_at,
            updated_by: &record.updated_by,
            data: &record.data,
        }
    }
}

impl TryFrom<Row> for Found {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let record = Record::try_from(row)?;
        Ok(Self { record })
    }
}

/// A page, with one record more where there are more.
///
/// # Errors
/// [`StoreError::TooSlow`] under [`TenantTx::begin_query`]; [`StoreError::Unavailable`].
pub async fn page(tx: &mut TenantTx, query: &Query) -> Result<Vec<Found>, StoreError> {
    let sql = statement(tx, query, "").await?;
    let rows: Vec<Row> = sql.rows(tx.connection()).await?;
    rows.into_iter().map(Found::try_from).collect()
}

/// How PostgreSQL would read the page: its plan as JSON. For whoever wonders about a slow list,
/// and for tests that hold the indexes to their use.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn explain(tx: &mut TenantTx, query: &Query) -> Result<serde_json::Value, StoreError> {
    let sql = statement(tx, query, "explain (format json) ").await?;
    let rows: Vec<(Json<serde_json::Value>,)> = sql.rows(tx.connection()).await?;
    let plan = rows.into_iter().next().map(|(plan,)| plan.0);
    Ok(plan.unwrap_or_default())
}

async fn statement(tx: &mut TenantTx, query: &Query, prefix: &str) -> Result<Sql, StoreError> {
    let terms = match &query.search {
        Some(search) => search::terms(tx, search).await?,
        None => Vec::new(),
    };
    let plan = plan::plan(tx, query, &terms).await?;
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    sql.push(prefix);
    Statement {
        sql: &mut sql,
        query,
        terms: &terms,
    }
    .write(&plan);
    Ok(sql)
}

/// What a page's statement is made from.
struct Statement<'a> {
    sql: &'a mut Sql,
    query: &'a Query,
    terms: &'a [Vec<String>],
}

impl Statement<'_> {
    fn write(&mut self, plan: &Plan) {
        match plan {
            Plan::Walk => self.walk(),
            Plan::Columns => self.columns(),
            Plan::EachKey(source) => self.each_key(source),
            Plan::Pick(source) => self.pick(source),
            Plan::Sorted { slot, keys, others } => {
                let slot = self.sql.bind(Bind::Text(slot.clone()));
                let keys = keys
                    .as_ref()
                    .map(|keys| keys_condition(self.sql, keys, "i"))
                    .unwrap_or_default();
                let mut rows = format!("i.slot = {slot}{keys}");
                for other in others {
                    let module = self.query.module.as_str();
                    rows.push_str(" and ");
                    rows.push_str(&other.has_record(self.sql, module));
                }
                self.sorted(&rows);
            }
        }
    }

    /// The module stands in the order, and as a range: so no index but those that it leads can
    /// give the order, whatever PostgreSQL believes about how many records are of it.
    fn walk(&mut self) {
        let module = self.sql.bind(Bind::Text(self.query.module.to_string()));
        let of_module = format!("r.module_slug >= {module} and r.module_slug <= {module}");
        let passes = self.passes_in(&of_module, &module);
        let behind = self.behind_in("", "r.id", Some(&module));
        let direction = direction(self.query.is_descending());
        let order = self.order("", "r.id");
        let limit = self.limit();
        self.sql.push(&format!(
            "select {COLUMNS} from crm_records r where {passes}{behind} \
            order by r.module_slug{direction}, {order} limit {limit}"
        ));
    }

    fn columns(&mut self) {
        let passes = self.passes();
        let behind = self.behind("", "r.id");
        let order = self.order("", "r.id");
        let limit = self.limit();
        self.sql.push(&format!(
            "select {COLUMNS} from crm_records r where {passes}{behind} \
            order by {order} limit {limit}"
        ));
    }

    fn sorted(&mut self, rows: &str) {
        let record = self.record("i.record_id");
        let behind = self.behind("i.key", "i.record_id");
        let order = self.order("i.key", "i.record_id");
        let limit = self.limit();
        self.sql.push(&format!(
            "select {COLUMNS} from crm_index i cross join lateral ({record}) r \
            where i.tenant_id = $1 and {rows}{behind} order by {order} limit {limit}"
        ));
    }

    fn pick(&mut self, source: &Source) {
        let module = self.query.module.as_str();
        let table = source.table(self.sql, module);
        let rows = source.rows(self.sql, module, "i");
        let record = self.record("p.record_id");
        let behind = self.behind("", "r.id");
        let order = self.order("", "r.id");
        let limit = self.limit();
        self.sql.push(&format!(
            "with picked as materialized (\
                select distinct i.record_id from {table} i where {rows}) \
            select {COLUMNS} from picked p cross join lateral ({record}) r \
            where true{behind} order by {order} limit {limit}"
        ));
    }

    /// Each key has its records in the order of ids; a page of each holds the page of all.
    fn each_key(&mut self, source: &Source) {
        let parts = source.parts().unwrap_or_default();
        if parts.is_empty() {
            // Nothing is bound for it: a prepared statement is found by its text, and has the
            // types of the parameters of its first use.
            self.sql.push(&format!(
                "select {COLUMNS} from crm_records r where r.tenant_id = $1 and false"
            ));
            return;
        }
        let record = self.record("i.record_id");
        let behind = match &self.query.cursor {
            Some(cursor) => {
                let id = self.sql.bind(Bind::Uuid(cursor.id.uuid()));
                format!(" and i.record_id < {id}")
            }
            None => String::new(),
        };
        let limit = self.limit();
        let pages: Vec<String> = parts
            .iter()
            .map(|part| {
                let module = self.query.module.as_str();
                let table = part.table(self.sql, module);
                let rows = part.rows(self.sql, module, "i");
                format!(
                    "(select {COLUMNS} from {table} i cross join lateral ({record}) r \
                    where {rows}{behind} order by i.record_id desc limit {limit})"
                )
            })
            .collect();
        match pages.as_slice() {
            [one] => self.sql.push(one),
            several => self.sql.push(&format!(
                "select distinct on (r.id) {COLUMNS} from ({}) r \
                order by r.id desc limit {limit}",
                several.join(" union all ")
            )),
        };
    }

    /// The record of an id, if it passes. `offset 0` keeps the lookup along the primary key.
    fn record(&mut self, id: &str) -> String {
        let passes = self.passes();
        format!("select {COLUMNS} from crm_records r where r.id = {id} and {passes} offset 0")
    }

    fn passes(&mut self) -> String {
        passes(self.sql, self.query, self.terms)
    }

    fn passes_in(&mut self, of_module: &str, module: &str) -> String {
        passes_in(self.sql, self.query, self.terms, of_module, module)
    }

    fn limit(&mut self) -> String {
        let one_more = i64::from(self.query.limit) + 1;
        self.sql.bind(Bind::Integer(one_more))
    }

    /// The places of a record in each sort key's order. `first` stands for the first where an
    /// index gives it.
    fn places(&self, first: &str) -> Vec<String> {
        let place = |(index, key): (usize, &SortKey)| match (index, first) {
            (0, first) if !first.is_empty() => first.to_owned(),
            _ => expression::order(&key.target, "r"),
        };
        self.query.sort.iter().enumerate().map(place).collect()
    }

    fn order(&self, first: &str, id: &str) -> String {
        let mut order: Vec<String> = self
            .places(first)
            .into_iter()
            .zip(&self.query.sort)
            .map(|(place, key)| format!("{place}{}", direction(key.descending)))
            .collect();
        order.push(format!("{id}{}", direction(self.query.is_descending())));
        order.join(", ")
    }

    /// What comes behind the cursor: beginning with `and`, empty on the first page.
    fn behind(&mut self, first: &str, id: &str) -> String {
        self.behind_in(first, id, None)
    }

    /// The same; with a module where it leads the order.
    fn behind_in(&mut self, first: &str, id: &str, module: Option<&str>) -> String {
        let Some(cursor) = self.query.cursor.clone() else {
            return String::new();
        };
        let places = self.places(first);
        let ends = self.ends(&cursor, !first.is_empty());
        let sign = |descending: bool| if descending { "<" } else { ">" };
        let last = sign(self.query.is_descending());
        let end_id = self.sql.bind(Bind::Uuid(cursor.id.uuid()));
        let (lead, lead_end) = match module {
            Some(module) => ("r.module_slug, ", format!("{module}, ")),
            None => ("", String::new()),
        };
        match (places.as_slice(), ends.as_slice()) {
            ([], []) => return format!(" and ({lead}{id}) {last} ({lead_end}{end_id})"),
            ([place], [end]) => {
                return format!(" and ({lead}{place}, {id}) {last} ({lead_end}{end}, {end_id})");
            }
            _ => {}
        }
        let mut behind = format!("{id} {last} {end_id}");
        let mut leading = String::new();
        for ((place, end), key) in places.iter().zip(&ends).zip(&self.query.sort).rev() {
            let sign = sign(key.descending);
            behind = format!("({place} {sign} {end} or ({place} = {end} and {behind}))");
            // What an index can begin at.
            leading = format!(" and {place} {sign}= {end}");
        }
        format!("{leading} and {behind}")
    }

    /// The cursor's values, bound; the first as a key where an index gives it.
    fn ends(&mut self, cursor: &Cursor, first_is_key: bool) -> Vec<String> {
        let keys = cursor.keys.iter().zip(&self.query.sort).enumerate();
        let mut ends = Vec::new();
        for (index, (value, key)) in keys {
            let end = if index == 0 && first_is_key {
                let key = value.as_ref().map(SortValue::key).unwrap_or_default();
                self.sql.bind(Bind::Text(key))
            } else {
                end_of(self.sql, key, value.as_ref())
            };
            ends.push(end);
        }
        ends
    }
}

fn end_of(sql: &mut Sql, key: &SortKey, value: Option<&SortValue>) -> String {
    use crm_model::form::Form;
    use crm_model::query::{Place, SystemField};
    match (key.target.form, value) {
        (Form::Number, None) => "'-infinity'::numeric".to_owned(),
        (Form::Moment, None) => "'-infinity'::timestamptz".to_owned(),
        (_, None) => sql.bind(Bind::Text(String::new())),
        (_, Some(SortValue::Number(number))) => {
            format!("{}::numeric", sql.bind(Bind::Text(number.to_string())))
        }
        (_, Some(SortValue::Moment(moment))) => sql.bind(Bind::Moment(*moment)),
        (_, Some(SortValue::Text(text))) if key.target.place == Place::System(SystemField::Id) => {
            sql.bind(Bind::Uuid(Uuid::try_parse(text).unwrap_or_default()))
        }
        (_, Some(SortValue::Text(text))) => sql.bind(Bind::Text(text.clone())),
    }
}

const fn direction(descending: bool) -> &'static str {
    if descending { " desc" } else { "" }
}

/// Everything that a record of a query's answer has to be, over the alias `r`.
pub(super) fn passes(sql: &mut Sql, query: &Query, terms: &[Vec<String>]) -> String {
    let module = sql.bind(Bind::Text(query.module.to_string()));
    let of_module = format!("r.module_slug = {module}");
    passes_in(sql, query, terms, &of_module, &module)
}

fn passes_in(
    sql: &mut Sql,
    query: &Query,
    terms: &[Vec<String>],
    of_module: &str,
    module: &str,
) -> String {
    let deleted = if query.deleted {
        "is not null"
    } else {
        "is null"
    };
    let filter = predicate::filter(sql, &query.filter, "r");
    let reached = predicate::reached(sql, query.reach.as_ref(), "r");
    let mut passes = format!(
        "r.tenant_id = $1 and {of_module} and r.deleted_at {deleted}{reached} and {filter}"
    );
    for words in terms {
        let words = sql.bind(Bind::Texts(words.clone()));
        passes.push_str(&format!(
            " and exists (select from crm_words w where w.tenant_id = $1 and w.word = any({words}) \
            and w.module_slug = {module} and w.record_id = r.id offset 0)"
        ));
    }
    if let Some(search) = &query.search {
        passes.push_str(&search::stands_in_seen(sql, search, terms, "r"));
    }
    passes
}
