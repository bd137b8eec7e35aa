//! What a query answers is what looking at every record would answer: generated records,
//! filters, orders and indexes, against a naive evaluation in memory, through every page.

use crm_model::form::Form;
use crm_model::operator::Operator;
use crm_model::query::{Names, QueryInput};
use crm_model::{Actor, TenantId};
use crm_tests::app::TestApp;
use crm_tests::index::fill_index;
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use std::cmp::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

const MODELS: u64 = 3;
const RECORDS: u64 = 120;
const TIME: Duration = Duration::from_secs(4);

/// A generator that repeats itself (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.next(from.len() as u64)).unwrap()]
    }
}

const TEXTS: [&str; 9] = ["", "a", "A", "ab", "Äb", "ß", "b%_", "日本", "straße"];
const FIELDS: [(&str, &str, Form); 6] = [
    ("t", "text", Form::Text),
    ("n", "integer", Form::Number),
    ("d", "decimal", Form::Number),
    ("b", "boolean", Form::Boolean),
    ("day", "date", Form::Exact),
    ("at", "datetime", Form::Moment),
];

fn value(random: &mut Random, field: &str) -> Value {
    let small = random.next(9) as i64 - 4;
    match field {
        "t" => json!(random.pick(&TEXTS)),
        "n" => json!(small),
        "d" => json!(*random.pick(&["0", "-1.5", "1.5", "1.50", "10", "9", "0.01", "-100"])),
        "b" => json!(random.next(2) == 0),
        "day" => json!(format!("2026-01-{:02}", 10 + small)),
        _ => json!(format!(
            "2026-01-{:02}T00:00:00.{:06}Z",
            10 + small,
            random.next(3)
        )),
    }
}

/// A value's place among others: numbers by size, the rest as texts.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Place {
    Number(f64),
    Text(String),
}

fn place(field: &str, value: &Value, folded: bool) -> Place {
    match (field, value) {
        ("n", value) => Place::Number(value.as_i64().unwrap() as f64),
        ("d", value) => Place::Number(value.as_str().unwrap().parse().unwrap()),
        (_, Value::Bool(truth)) => Place::Text(truth.to_string()),
        (_, value) if folded => Place::Text(value.as_str().unwrap().to_lowercase()),
        (_, value) => Place::Text(value.as_str().unwrap().to_owned()),
    }
}

fn condition(random: &mut Random) -> Value {
    let (field, _, form) = *random.pick(&FIELDS);
    // What depends on the clock or the caller has tests of its own.
    let operators = form.operators().iter().copied();
    let operators: Vec<Operator> = operators
        .filter(|operator| !matches!(operator, Operator::Within | Operator::IsMe))
        .collect();
    let operator = *random.pick(&operators);
    let mut condition = json!({"field": field, "op": operator.name()});
    condition["value"] = match operator {
        Operator::IsEmpty | Operator::IsNotEmpty => return condition,
        Operator::In | Operator::NotIn | Operator::Between => {
            json!([value(random, field), value(random, field)])
        }
        _ => value(random, field),
    };
    condition
}

fn filter(random: &mut Random, depth: u32) -> Value {
    match random.next(6) {
        0 if depth > 0 => json!({"not": filter(random, depth - 1)}),
        1 if depth > 0 => json!({"or": [filter(random, depth - 1), filter(random, depth - 1)]}),
        2 | 3 if depth > 0 => {
            json!({"and": [filter(random, depth - 1), filter(random, depth - 1)]})
        }
        _ => condition(random),
    }
}

fn passes(filter: &Value, data: &Map<String, Value>) -> bool {
    let all = |name: &str| filter[name].as_array().cloned();
    if let Some(inner) = all("and") {
        return inner.iter().all(|one| passes(one, data));
    }
    if let Some(inner) = all("or") {
        return inner.iter().any(|one| passes(one, data));
    }
    if filter.get("not").is_some() {
        return !passes(&filter["not"], data);
    }
    let field = filter["field"].as_str().unwrap();
    let stored = data.get(field);
    let there = stored.is_some_and(|value| *value != json!(""));
    let equal = |wanted: &Value| {
        stored.is_some_and(|value| place(field, value, false) == place(field, wanted, false))
    };
    let order = |wanted: &Value| {
        let value = place(field, stored?, field == "t");
        value.partial_cmp(&place(field, wanted, field == "t"))
    };
    let text = |value: &Value| value.as_str().unwrap().to_lowercase();
    let wanted = &filter["value"];
    match filter["op"].as_str().unwrap() {
        "eq" => equal(wanted),
        "ne" => !equal(wanted),
        "lt" => order(wanted).is_some_and(Ordering::is_lt),
        "lte" => order(wanted).is_some_and(Ordering::is_le),
        "gt" => order(wanted).is_some_and(Ordering::is_gt),
        "gte" => order(wanted).is_some_and(Ordering::is_ge),
        "in" => wanted.as_array().unwrap().iter().any(equal),
        "not_in" => !wanted.as_array().unwrap().iter().any(equal),
        "between" => {
            order(&wanted[0]).is_some_and(Ordering::is_ge)
                && order(&wanted[1]).is_some_and(Ordering::is_le)
        }
        "contains" => stored.is_some_and(|value| text(value).contains(&text(wanted))),
        "starts_with" => stored.is_some_and(|value| text(value).starts_with(&text(wanted))),
        "ends_with" => stored.is_some_and(|value| text(value).ends_with(&text(wanted))),
        "is_empty" => !there,
        "is_not_empty" => there,
        other => panic!("{other}"),
    }
}

fn sorted(mut records: Vec<(Uuid, Map<String, Value>)>, sort: &[&str]) -> Vec<Uuid> {
    let descending = sort.first().is_none_or(|key| key.starts_with('-'));
    records.sort_by(|(a_id, a), (b_id, b)| {
        for key in sort {
            let field = key.trim_start_matches('-');
            let of = |data: &Map<String, Value>| {
                let value = data.get(field).filter(|value| **value != json!(""));
                value.map(|value| place(field, value, field == "t"))
            };
            let order = of(a).partial_cmp(&of(b)).unwrap();
            let order = if key.starts_with('-') {
                order.reverse()
            } else {
                order
            };
            if order.is_ne() {
                return order;
            }
        }
        if descending {
            b_id.cmp(a_id)
        } else {
            a_id.cmp(b_id)
        }
    });
    records.into_iter().map(|(id, _)| id).collect()
}

async fn insert(
    app: &TestApp,
    tenant: TenantId,
    random: &mut Random,
) -> Vec<(Uuid, Map<String, Value>)> {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut records = Vec::new();
    for _ in 0..RECORDS {
        let mut data = Map::new();
        for (field, ..) in FIELDS {
            if random.next(4) > 0 {
                data.insert(field.to_owned(), value(random, field));
            }
        }
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into crm_records (tenant_id, id, module_slug, data, version, owner_id,
                created_at, created_by, updated_at, updated_by)
            values ($1, $2, 'victims', $3, 1, 'x', now(), 'x', now(), 'x')",
        )
        .bind(tenant.uuid())
        .bind(id)
        .bind(Json(&data))
        .execute(&mut owner)
        .await
        .unwrap();
        records.push((id, data));
    }
    fill_index(app, tenant).await;
    records
}

async fn collect(
    app: &TestApp,
    tenant: TenantId,
    actor: &Actor,
    mut input: QueryInput,
) -> Vec<Uuid> {
    let mut found = Vec::new();
    loop {
        let module = "victims".parse().unwrap();
        let page = app
            .engine
            .records(tenant, actor, &module, &input)
            .await
            .unwrap();
        found.extend(page.rows.iter().map(|row| row.found.record.id.uuid()));
        match page.next_cursor {
            Some(cursor) => input.cursor = Some(cursor),
            None => return found,
        }
    }
}

#[tokio::test]
async fn every_answer_is_that_of_a_naive_evaluation() {
    let app = TestApp::start().await;
    let actor = Actor::person("u".parse().unwrap(), vec!["owner".parse().unwrap()]);
    for seed in 1..=MODELS {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (tenant, owner) = app.owner_of("hostile").await;
        for (key, kind, _) in FIELDS {
            let indexed = random.next(2) == 0;
            let field = json!({"key": key, "label": key, "type": kind, "indexed": indexed});
            owner
                .post("modules/victims/fields", field)
                .await
                .expect(201);
        }
        let records = insert(&app, tenant, &mut random).await;
        let began = Instant::now();
        let mut asked = 0;
        while began.elapsed() < TIME / u32::try_from(MODELS).unwrap() {
            let filter = filter(&mut random, 3);
            let mut sort: Vec<String> = Vec::new();
            for _ in 0..random.next(3) {
                let (field, ..) = *random.pick(&FIELDS);
                if !sort.iter().any(|key| key.ends_with(field)) {
                    sort.push(format!("{}{field}", random.pick(&["", "-"])));
                }
            }
            let keys: Vec<&str> = sort.iter().map(String::as_str).collect();
            let passing = records
                .iter()
                .filter(|(_, data)| passes(&filter, data))
                .cloned();
            let expected = sorted(passing.collect(), &keys);
            let input = QueryInput {
                filter: Some(filter.clone()),
                sort: Some(Names::List(sort.clone())),
                limit: Some(u32::try_from(5 + random.next(60)).unwrap()),
                ..QueryInput::default()
            };
            let found = collect(&app, tenant, &actor, input).await;
            assert_eq!(found, expected, "seed {seed}: {filter} by {sort:?}");
            asked += 1;
        }
        assert!(asked > 5, "only {asked} queries were asked");
    }
}
