//! Numbers about groups of records, in one statement.

use chrono::{DateTime, SecondsFormat};
use crm_model::form::Form;
use crm_model::limits::AVERAGE_MAX_DIGITS;
use crm_model::query::{Aggregate, Bucket, Group, Kind, Metric, MetricOperation, Target};
use serde_json::Value;
use sqlx::types::Json;

use super::sql::{Bind, Sql};
use super::{count, expression, plan, predicate};
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// What an aggregate found.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregated {
    pub rows: Vec<AggregatedRow>,
    /// Whether there are more groups than were asked for.
    pub more: bool,
    /// The first metric that would have added up several currencies.
    pub mixed: Option<usize>,
}

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregatedRow {
    /// In the order of the aggregate's groups; null for no value.
    pub group: Vec<Value>,
    /// In the order of its metrics: counts as numbers, other numbers as texts.
    pub values: Vec<Value>,
}

/// Computes an aggregate inside an open transaction; what that wrote counts.
///
/// # Errors
/// [`StoreError::TooSlow`] under [`TenantTx::begin_query`]; [`StoreError::Unavailable`].
pub async fn aggregate(tx: &mut TenantTx, aggregate: &Aggregate) -> Result<Aggregated, StoreError> {
    let module = aggregate.module.as_str();
    let reach = aggregate.reach.as_ref();
    let plan = plan::plan_all(tx, module, (&aggregate.filter, reach), &[]).await?;
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let slug = sql.bind(Bind::Text(module.to_owned()));
    let filter = predicate::filter(&mut sql, &aggregate.filter, "r");
    let reached = predicate::reached(&mut sql, reach, "r");
    let passes = format!(
        "r.tenant_id = $1 and r.module_slug = {slug} and r.deleted_at is null{reached} and {filter}"
    );
    let from = count::from(&mut sql, module, &plan, &passes);
    let columns = Columns::of(&mut sql, aggregate);
    columns.write(&mut sql, aggregate, &from);
    let rows: Vec<(Json<Vec<Value>>,)> = sql.rows(tx.connection()).await?;
    Ok(read(aggregate, rows.into_iter().map(|(row,)| row.0)))
}

/// The inner columns: groups, metrics, and for each metric whether it mixes currencies; and how
/// the first two are answered.
struct Columns {
    groups: Vec<String>,
    metrics: Vec<String>,
    mixed: Vec<String>,
    answers: Vec<String>,
}

impl Columns {
    fn of(sql: &mut Sql, aggregate: &Aggregate) -> Self {
        let groups: Vec<String> = aggregate
            .groups
            .iter()
            .map(|group| group_value(sql, group, aggregate.time_zone))
            .collect();
        let group_answers =
            aggregate.groups.iter().enumerate().map(|(index, group)| {
                answer(index, group.bucket.is_none().then_some(&group.target))
            });
        let count = groups.len();
        let metric_answers = aggregate.metrics.iter().enumerate().map(|(index, metric)| {
            let shown = match metric.operation {
                MetricOperation::Count | MetricOperation::Distinct => None,
                _ => metric.target.as_ref(),
            };
            metric_answer(count + index, shown)
        });
        Self {
            answers: group_answers.chain(metric_answers).collect(),
            groups,
            metrics: aggregate.metrics.iter().map(metric_value).collect(),
            mixed: aggregate.metrics.iter().map(mixes).collect(),
        }
    }

    fn write(&self, sql: &mut Sql, aggregate: &Aggregate, from: &str) {
        let columns = self.groups.iter().chain(&self.metrics).chain(&self.mixed);
        let inner: Vec<String> = columns
            .enumerate()
            .map(|(index, column)| format!("{column} as c{index}"))
            .collect();
        let shown = self.groups.len() + self.metrics.len();
        let flags = (shown..shown + self.mixed.len()).map(|index| format!("c{index}"));
        let answers: Vec<String> = self.answers.iter().cloned().chain(flags).collect();
        let grouping: Vec<String> = (1..=self.groups.len()).map(|n| n.to_string()).collect();
        let group_by = match grouping.as_slice() {
            [] => String::new(),
            numbers => format!(" group by {}", numbers.join(", ")),
        };
        let order = order(aggregate, self.groups.len());
        let limit = sql.bind(Bind::Integer(i64::from(aggregate.limit) + 1));
        sql.push(&format!(
            "select jsonb_build_array({}) from (select {} from {from}{group_by}) grouped\
            {order} limit {limit}",
            answers.join(", "),
            inner.join(", "),
        ));
    }
}

fn order(aggregate: &Aggregate, groups: usize) -> String {
    let chosen = aggregate.sort.iter().map(|(index, descending)| {
        let direction = if *descending {
            "desc nulls last"
        } else {
            "nulls first"
        };
        format!("c{index} {direction}")
    });
    let rest = (0..groups).map(|index| format!("c{index} nulls first"));
    let keys: Vec<String> = chosen.chain(rest).collect();
    match keys.as_slice() {
        [] => String::new(),
        keys => format!(" order by {}", keys.join(", ")),
    }
}

fn group_value(sql: &mut Sql, group: &Group, zone: chrono_tz::Tz) -> String {
    let target = &group.target;
    let value = |alias: &str| match target.form {
        _ if expression::is_day(target) && group.bucket.is_some() => expression::day(target, alias),
        Form::Text | Form::Exact => {
            format!(
                "(nullif({}, '') collate \"C\")",
                expression::text(target, alias)
            )
        }
        _ => expression::typed(target, alias),
    };
    let value = expression::across(sql, &group.links, "r", &value);
    let Some(bucket) = group.bucket else {
        return value;
    };
    let local = if expression::is_day(target) {
        format!("({value})::timestamp")
    } else {
        format!("(({value}) at time zone '{}')", zone.name())
    };
    let unit = match bucket {
        Bucket::Hour => {
            return format!("to_char(date_trunc('hour', {local}), 'YYYY-MM-DD\"T\"HH24:MI:SS')");
        }
        Bucket::Day => "day",
        Bucket::Week => "week",
        Bucket::Month => "month",
        Bucket::Quarter => "quarter",
        Bucket::Year => "year",
    };
    format!("to_char(date_trunc('{unit}', {local}), 'YYYY-MM-DD')")
}

fn metric_value(metric: &Metric) -> String {
    let Some(target) = &metric.target else {
        return "count(*)".to_owned();
    };
    let value = match target.form {
        Form::Text | Form::Exact | Form::Boolean => {
            format!(
                "(nullif({}, '') collate \"C\")",
                expression::text(target, "r")
            )
        }
        _ => expression::typed(target, "r"),
    };
    match metric.operation {
        MetricOperation::Count => format!("count({value})"),
        MetricOperation::Distinct => format!("count(distinct {value})"),
        MetricOperation::Sum => format!("coalesce(sum({value}), 0)"),
        MetricOperation::Avg => format!("trim_scale(round(avg({value}), {AVERAGE_MAX_DIGITS}))"),
        MetricOperation::Min => format!("min({value})"),
        MetricOperation::Max => format!("max({value})"),
        MetricOperation::Median => format!(
            "trim_scale((percentile_disc(0.5) within group (order by {value}) \
            + percentile_disc(0.5) within group (order by {value} desc)) * 0.5)"
        ),
    }
}

fn mixes(metric: &Metric) -> String {
    match &metric.currency {
        Some(currency) => format!("count(distinct {}) > 1", expression::text(currency, "r")),
        None => "false".to_owned(),
    }
}

/// A group's value as it is answered.
fn answer(index: usize, target: Option<&Target>) -> String {
    match target.map(|target| (target.form, target.kind)) {
        Some((Form::Number, Kind::Integer)) => format!("c{index}"),
        Some((Form::Number, _)) => format!("trim_scale(c{index})::text"),
        Some((Form::Moment, _)) => moment(index),
        Some((Form::Boolean, _)) => format!("c{index}::boolean"),
        _ => format!("c{index}"),
    }
}

/// A metric's value as it is answered; counts are numbers.
fn metric_answer(index: usize, target: Option<&Target>) -> String {
    match target.map(|target| target.form) {
        Some(Form::Moment) => moment(index),
        Some(_) => format!("c{index}::text"),
        None => format!("c{index}"),
    }
}

fn moment(index: usize) -> String {
    format!("to_char(c{index} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
}

fn read(aggregate: &Aggregate, rows: impl Iterator<Item = Vec<Value>>) -> Aggregated {
    let (groups, metrics) = (aggregate.groups.len(), aggregate.metrics.len());
    let limit = usize::try_from(aggregate.limit).unwrap_or(usize::MAX);
    let mut found = Aggregated {
        rows: Vec::new(),
        more: false,
        mixed: None,
    };
    for row in rows {
        if found.rows.len() == limit {
            found.more = true;
            break;
        }
        let mut cells = row.into_iter();
        let group = cells.by_ref().take(groups);
        let group = group
            .zip(&aggregate.groups)
            .map(|(cell, group)| tidy(&group.target, group.bucket.is_none(), cell))
            .collect();
        let values = cells.by_ref().take(metrics).zip(&aggregate.metrics);
        let values = values
            .map(|(cell, metric)| match &metric.target {
                Some(target) => tidy(target, true, cell),
                None => cell,
            })
            .collect();
        let mixed = cells.position(|flag| flag == Value::Bool(true));
        found.mixed = found.mixed.or(mixed);
        found.rows.push(AggregatedRow { group, values });
    }
    found
}

/// Moments as all answers have them.
fn tidy(target: &Target, is_value: bool, cell: Value) -> Value {
    if target.form != Form::Moment || !is_value {
        return cell;
    }
    match cell.as_str().map(DateTime::parse_from_rfc3339) {
        Some(Ok(moment)) => {
            let moment = moment.with_timezone(&chrono::Utc);
            Value::from(moment.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
        _ => cell,
    }
}
