//! What queries say about names, and which of them the typed index may narrow down.

use serde_json::{Value, json};

use super::{Aggregate, Filter, Keys, MetricOperation, Query, QueryInput, Scope};
use crate::ids::RecordId;
use crate::model::Model;
use crate::testing::{actor, source};
use crate::{Violations, key};

fn model() -> Model {
    let definition = json!({
        "modules": [
            {"slug": "orders", "label": "Order", "fields": [
                {"key": "code", "label": "Code", "type": "text", "indexed": true},
                {"key": "price", "label": "Price", "type": "decimal", "indexed": true},
                {"key": "notes", "label": "Notes", "type": "text"},
                {"key": "gone", "label": "Gone", "type": "text", "retired": true},
                {"key": "secret", "label": "Secret", "type": "relation", "module": "secrets"},
                {"key": "parent", "label": "Parent", "type": "relation", "module": "orders"},
            ]},
            {"slug": "secrets", "label": "Secret", "fields": [
                {"key": "name", "label": "Name", "type": "text"},
            ]},
        ],
        "roles": [
            {"slug": "owner", "label": "Owner", "permissions": {"*": ["*"]}},
            {"slug": "clerk", "label": "Clerk", "permissions": {"orders": ["read"]}},
        ],
    });
    Model::compile(source(definition)).unwrap()
}

fn parse(role: &str, query: Value) -> Result<Query, Violations> {
    let (model, actor) = (model(), actor(role));
    let scope = Scope::person(&model, &actor, chrono::DateTime::UNIX_EPOCH);
    let input: QueryInput = serde_json::from_value(query).unwrap();
    Query::parse(scope, &"orders".parse().unwrap(), &input)
}

fn refused(role: &str, query: Value) -> (String, String) {
    let violations = parse(role, query).unwrap_err();
    let first = &violations.as_slice()[0];
    (first.code.clone(), first.message.clone())
}

#[test]
fn what_the_reader_may_not_see_is_unknown() {
    let across = json!({"filter": {"field": "secret.name", "op": "eq", "value": "x"}});
    assert!(parse("owner", across.clone()).is_ok());
    assert_eq!(refused("clerk", across).0, "unknown_field");
    assert!(parse("owner", json!({"expand": "secret"})).is_ok());
    assert_eq!(
        refused("clerk", json!({"expand": "secret"})).0,
        "unknown_field"
    );
    for query in [
        json!({"filter": {"field": "gone", "op": "is_empty"}}),
        json!({"sort": "gone"}),
        json!({"fields": "gone"}),
    ] {
        assert_eq!(refused("owner", query).0, "unknown_field");
    }
}

#[test]
fn names_lead_across_two_relations_and_no_further() {
    let across = |name: &str| json!({"filter": {"field": name, "op": "is_empty"}});
    assert!(parse("owner", across("parent.parent.code")).is_ok());
    let (_, message) = refused("owner", across("parent.parent.parent.code"));
    assert!(message.contains("at most 2 relations"), "{message}");
}

fn narrowing(filter: Value) -> Vec<(String, Keys)> {
    parse("owner", json!({ "filter": filter }))
        .unwrap()
        .filter
        .narrowing()
}

#[test]
fn conditions_on_indexed_fields_narrow_and_others_do_not() {
    let code = |keys| vec![("orders.code".to_owned(), keys)];
    assert_eq!(
        narrowing(json!({"field": "code", "op": "eq", "value": "AB"})),
        code(Keys::OneOf(vec!["ab".to_owned()]))
    );
    assert_eq!(
        narrowing(json!({"field": "code", "op": "is_empty"})),
        code(Keys::OneOf(vec![key::ABSENT.to_owned()]))
    );
    assert_eq!(
        narrowing(json!({"field": "code", "op": "lt", "value": "B"})),
        code(Keys::Range(None, Some("b".to_owned()))),
        "an empty text is before “b” too, and has the key of none"
    );
    let price = Keys::Range(Some("\u{1}".to_owned()), Some(key::number(2.into())));
    assert_eq!(
        narrowing(json!({"field": "price", "op": "lt", "value": "2"})),
        [("orders.price".to_owned(), price)]
    );
    for filter in [
        json!({"field": "notes", "op": "eq", "value": "x"}),
        json!({"field": "code", "op": "ne", "value": "x"}),
        json!({"or": [{"field": "code", "op": "eq", "value": "x"}]}),
        json!({"field": "parent.code", "op": "eq", "value": "x"}),
    ] {
        assert_eq!(narrowing(filter.clone()), [], "{filter}");
    }
}

#[test]
fn the_host_builds_filters_and_rollups_in_code() {
    let model = model();
    let scope = Scope::host(&model, chrono::DateTime::UNIX_EPOCH);
    let orders = "orders".parse().unwrap();
    let module = model.module(&orders).unwrap();
    let parent = RecordId::new(uuid::Uuid::from_u128(7));
    let related = Filter::points_to(module, &"parent".parse().unwrap(), parent).unwrap();
    assert!(Filter::points_to(module, &"code".parse().unwrap(), parent).is_none());
    let own = json!({"field": "price", "op": "gt", "value": "1"});
    let own = Filter::parse(scope, &orders, &own, "/filter").unwrap();
    let filter = Filter::and(vec![related, own]);
    assert_eq!(filter.narrowing().len(), 2);
    let sum = Aggregate::single(scope, &orders, filter, MetricOperation::Sum, Some("price"));
    assert_eq!(sum.unwrap().metrics.len(), 1);
}
