//! What single types refuse, of definitions and of values, at their limits and past them.

use super::tests::sample_of;
use super::*;
use crate::{limits, schema};

fn refusal(definition: Value) -> String {
    let mut whole = json!({"key": "a", "label": "A", "type": "text"});
    let more = definition.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    let field: FieldDefinition = serde_json::from_value(whole).unwrap();
    let kind = field_type(&field.kind).unwrap();
    check_definition(kind, &field).err().unwrap_or_default()
}

#[test]
fn attributes_that_mean_nothing_for_a_type_are_refused() {
    let option = json!([{"value": "a", "label": "A"}]);
    let count = json!({"module": "orders", "relation": "customer", "operation": "count"});
    for (definition, expected) in [
        (
            json!({"options": option}),
            "“options” means nothing for a field of type text",
        ),
        (json!({"type": "date", "precision": 3}), "“precision”"),
        (json!({"type": "boolean", "pattern": "x"}), "“pattern”"),
        (json!({"type": "json", "indexed": true}), "“indexed”"),
        (json!({"type": "tags", "unique": true}), "“unique”"),
        (json!({"type": "address", "unique": true}), "“unique”"),
        (
            json!({"type": "integer", "searchable": true}),
            "“searchable”",
        ),
        (
            json!({"type": "created_at", "required": true}),
            "“required”",
        ),
        (json!({"type": "auto_number", "default": "x"}), "“default”"),
        (
            json!({"type": "rollup", "rollup": count, "read_only": true}),
            "“read_only”",
        ),
        (json!({"case_insensitive": true}), "add unique"),
        (
            json!({"type": "integer", "unique": true, "case_insensitive": true}),
            "“case_insensitive”",
        ),
        (
            json!({"type": "multi_select", "options": option, "depends_on": "b"}),
            "“depends_on”",
        ),
        (
            json!({"unique": true, "case_insensitive": true, "indexed": true}),
            "",
        ),
        (
            json!({"type": "tags", "indexed": true, "searchable": true}),
            "",
        ),
        (json!({"type": "currency", "unique": true}), ""),
        (json!({"type": "geo_point", "unique": true}), ""),
        (
            json!({"type": "auto_number", "unique": true, "searchable": true}),
            "",
        ),
    ] {
        let found = refusal(definition.clone());
        assert_eq!(
            found.is_empty(),
            expected.is_empty(),
            "{definition}: {found}"
        );
        assert!(found.contains(expected), "{definition}: {found}");
    }
}

#[test]
fn what_an_attribute_says_has_to_make_sense() {
    let options = |option: Value| json!({"type": "select", "options": [option]});
    for (definition, expected) in [
        (
            json!({"type": "percent", "max": "-1"}),
            "min is more than max",
        ),
        (
            json!({"type": "percent", "min": "x"}),
            "decimals in JSON strings",
        ),
        (
            json!({"type": "percent", "scale": 29}),
            "scale at most precision",
        ),
        (
            json!({"type": "integer", "min": 2, "max": 1}),
            "min is more than max",
        ),
        (
            json!({"type": "date", "min": "2026-13-01"}),
            "dates as YYYY-MM-DD",
        ),
        (
            json!({"type": "datetime", "max": "noon"}),
            "moments as RFC 3339",
        ),
        (json!({"type": "time", "min": "25:00"}), "times as HH:MM"),
        (json!({"type": "duration", "max": "P1Y"}), "ISO 8601"),
        (
            json!({"type": "rating", "max": 11}),
            "max of a rating is 2 to 10",
        ),
        (
            json!({"type": "rating", "max": 1}),
            "max of a rating is 2 to 10",
        ),
        (
            json!({"type": "auto_number", "digits": 19}),
            "digits is 1 to 18",
        ),
        (
            json!({"type": "auto_number", "prefix": "x".repeat(21)}),
            "at most 20",
        ),
        (
            json!({"type": "formula", "result": "text"}),
            "has an expression",
        ),
        (
            json!({"type": "formula", "expression": "1", "result": "json"}),
            "result of a formula",
        ),
        (
            json!({"min_length": 5, "max_length": 4}),
            "min_length is more than max_length",
        ),
        (
            options(json!({"value": " ", "label": "A"})),
            "value of an option",
        ),
        (
            options(json!({"value": "a", "label": ""})),
            "option “a”: label",
        ),
    ] {
        let found = refusal(definition.clone());
        assert!(found.contains(expected), "{definition}: {found}");
    }
}

fn code(definition: Value, value: Value) -> &'static str {
    let mut whole = json!({"key": "a", "label": "A"});
    let more = definition.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    let field: FieldDefinition = serde_json::from_value(whole).unwrap();
    let kind = field_type(&field.kind).unwrap();
    assert_eq!(check_definition(kind, &field), Ok(()));
    let value = kind.normalize(&field, value);
    if !schema::compile(&kind.schema(&field))
        .unwrap()
        .is_valid(&value)
    {
        return "schema";
    }
    kind.check(&field, &value)
        .err()
        .map_or("", |problem| problem.code)
}

#[test]
fn values_hold_their_bounds() {
    let percent = json!({"type": "percent"});
    let wide = json!({"type": "percent", "min": "-10", "max": "250.5"});
    let date = json!({"type": "date", "min": "2026-01-01", "max": "2026-12-31"});
    let moment = json!({"type": "datetime", "max": "2026-11-22T09:30:00Z"});
    let hours = json!({"type": "time", "min": "09:00", "max": "17:00"});
    let short = json!({"type": "duration", "max": "PT1H"});
    let tags = json!({"type": "tags", "required": true});
    let user = json!({"type": "user"});
    let phone = json!({"type": "phone"});
    for (definition, value, expected) in [
        (&percent, json!("100"), ""),
        (&percent, json!("100.01"), "max"),
        (&percent, json!(-0.01), "min"),
        (&percent, json!("12.345"), "scale"),
        (&wide, json!("250.5"), ""),
        (&wide, json!("-10.01"), "min"),
        (&date, json!("2026-12-31"), ""),
        (&date, json!("2025-12-31"), "min"),
        (&moment, json!("2026-11-22T10:30:00+01:00"), ""),
        (&moment, json!("2026-11-22T09:30:00.1Z"), "max"),
        (&hours, json!("17:00"), ""),
        (&hours, json!("17:00:01"), "max"),
        (&hours, json!("8:00"), "format"),
        (&short, json!("PT60M"), ""),
        (&short, json!(3601), "max"),
        (&short, json!(-1), "schema"),
        (&short, json!("P1Y"), "schema"),
        (&short, json!(limits::DURATION_MAX_SECONDS + 1), "schema"),
        (&user, json!("u\n1"), "format"),
        (&user, json!(""), "schema"),
        (&phone, json!("+44 20 7183 8750 ext. 5"), "format"),
        (&tags, json!([" VIP ", "vip"]), ""),
        (&tags, json!([]), "required"),
        (&tags, json!([" "]), "schema"),
        (&tags, json!(["a\nb"]), "format"),
        (&tags, json!(["x".repeat(limits::TAG_MAX_CHARACTERS)]), ""),
        (
            &tags,
            json!(["x".repeat(limits::TAG_MAX_CHARACTERS + 1)]),
            "schema",
        ),
        (&tags, numbered(limits::TAGS_MAX_COUNT), ""),
        (&tags, numbered(limits::TAGS_MAX_COUNT + 1), "schema"),
    ] {
        assert_eq!(
            code(definition.clone(), value.clone()),
            expected,
            "{definition} {value}"
        );
    }
}

#[test]
fn values_that_mean_the_same_are_stored_in_one_form() {
    for (name, sent, stored) in [
        ("integer", json!(5.0), "5"),
        ("integer", json!(5.5), "5.5"),
        ("rating", json!(3.0), "3"),
        ("duration", json!(60.0), "60"),
        ("duration", json!("P1DT1M"), "86460"),
        (
            "tags",
            json!([" VIP", "vip ", "Vip", "new"]),
            r#"["VIP","new"]"#,
        ),
        (
            "multi_select",
            json!(["blue", "red", "blue"]),
            r#"["red","blue"]"#,
        ),
        (
            "multi_select",
            json!(["blue", "pink"]),
            r#"["blue","pink"]"#,
        ),
        ("phone", json!("+44 (20) 7183-8750"), r#""+442071838750""#),
        (
            "phone",
            json!("+44 20 7183 8750 ext. 5"),
            r#""+44 20 7183 8750 ext. 5""#,
        ),
        (
            "address",
            json!({"city": " Rome ", "street": " ", "country": "it"}),
            r#"{"city":"Rome","country":"IT"}"#,
        ),
        (
            "currency",
            json!({"amount": 1.5, "currency": "eur"}),
            r#"{"amount":"1.5","currency":"EUR"}"#,
        ),
        (
            "geo_point",
            json!({"latitude": 1.5, "longitude": "2"}),
            r#"{"latitude":"1.5","longitude":"2"}"#,
        ),
    ] {
        // Compared as text: to JSON, 5 and 5.0 are one number.
        let found = field_type(name)
            .unwrap()
            .normalize(&sample_of(name), sent.clone());
        assert_eq!(found.to_string(), stored, "{name} {sent}");
    }
}

fn numbered(count: usize) -> Value {
    (0..count).map(|number| json!(number.to_string())).collect()
}

#[test]
fn money_and_shares_keep_every_digit() {
    let decimal = field_type("decimal").unwrap();
    let mut field = sample_of("decimal");
    field.scale = Some(18);
    let exact = json!("1234567890.123456789012345678");
    assert_eq!(decimal.normalize(&field, exact.clone()), exact);
    assert!(decimal.check(&field, &exact).is_ok());
    // A number that went through a double may have lost digits: it stays, and is refused.
    let lossy = json!(0.123_456_789_012_345_67);
    assert_eq!(decimal.normalize(&field, lossy.clone()), lossy);
    let percent = field_type("percent").unwrap();
    assert_eq!(
        percent.normalize(&sample_of("percent"), json!(12.5)),
        json!("12.5")
    );
}

#[test]
fn a_catastrophic_pattern_costs_nothing() {
    let mut field = sample_of("text");
    field.pattern = Some("^(a+)+(b|a+)*$".to_owned());
    let validator = schema::compile(&field_type("text").unwrap().schema(&field)).unwrap();
    // A backtracking engine would still be at it when the sun has burnt out.
    let almost = format!("{}!", "a".repeat(999));
    assert!(!validator.is_valid(&json!(almost)));
    assert!(validator.is_valid(&json!("a".repeat(1_000))));
    for costly in ["(a)\\1", "(?=a)a", "((a{1000}){1000}){1000}"] {
        let found = refusal(json!({"pattern": costly}));
        assert!(
            found.contains("pattern cannot be used"),
            "{costly}: {found}"
        );
    }
}
