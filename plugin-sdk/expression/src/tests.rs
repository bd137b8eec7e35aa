use serde_json::{Value, json};

use super::*;
use crate::limits::*;

fn evaluated(source: &str, context: Value) -> Value {
    match Expression::parse(source).and_then(|expression| expression.evaluate(&context)) {
        Ok(value) => value,
        Err(error) => panic!("{source}: {error}"),
    }
}

fn refusal(source: &str) -> String {
    match Expression::parse(source) {
        Ok(_) => panic!("{source} is accepted"),
        Err(error) => error.to_string(),
    }
}

fn failure(source: &str, context: Value) -> String {
    Expression::parse(source)
        .unwrap()
        .evaluate(&context)
        .unwrap_err()
        .to_string()
}

#[test]
fn numbers_are_exact_and_only_whole_ones_are_json_numbers() {
    for (source, value) in [
        ("0.1 + 0.2", json!("0.3")),
        ("1 + 1", json!(2)),
        ("0.5 + 0.5", json!(1)),
        ("-7", json!(-7)),
        ("12.25 * 2", json!("24.50")),
        ("round(326 / 0.23, 2)", json!("1417.39")),
        ("round(0.125, 2)", json!("0.13")),
        ("9223372036854775807", json!(i64::MAX)),
        ("9223372036854775808", json!("9223372036854775808")),
        ("1 / 0", Value::Null),
        (
            "{sum: 0.1 + 0.2, list: [1, 1.5]}",
            json!({ "sum": "0.3", "list": [1, "1.5"] }),
        ),
    ] {
        assert_eq!(evaluated(source, json!({})), value, "{source}");
    }
    let context = json!({ "after": { "carat": "0.23", "pieces": 3 }, "rate": 0.1 });
    assert_eq!(
        evaluated("number(after.carat) * after.pieces", context.clone()),
        json!("0.69")
    );
    assert_eq!(evaluated("rate * 3", context), json!("0.3"));
}

#[test]
fn missing_members_are_null_at_any_depth() {
    let context = json!({ "after": { "name": "Ada" } });
    for (source, value) in [
        ("after.missing", Value::Null),
        ("before.name", Value::Null),
        ("after.missing.deeper[3].still", Value::Null),
        ("after.missing ?? 'none'", json!("none")),
        ("after.missing == null", json!(true)),
        ("'Welcome, ' + after.name", json!("Welcome, Ada")),
        ("`Welcome, ${after.name}!`", json!("Welcome, Ada!")),
        ("``", json!("")),
    ] {
        assert_eq!(evaluated(source, context.clone()), value, "{source}");
    }
    let message = failure("'Welcome, ' + after.missing", context);
    assert!(
        message.starts_with("`+` takes two numbers or two texts"),
        "{message}"
    );
}

#[test]
fn conditions_are_true_false_or_null() {
    let context = json!({ "after": { "status": "sold", "count": 2 }, "roles": ["admin"] });
    let holds = |source: &str| Expression::parse(source).and_then(|e| e.evaluate_bool(&context));
    assert_eq!(
        holds("after.status == 'sold' and after.count in [1..1000000000]"),
        Ok(true)
    );
    assert_eq!(holds("some(roles, # == 'admin')"), Ok(true));
    assert_eq!(holds("contains(roles, 'owner')"), Ok(false));
    assert_eq!(holds("after.missing"), Ok(false));
    let error = holds("after.count").unwrap_err().to_string();
    assert_eq!(
        error,
        "a condition has to give true or false, this one gives a number"
    );
}

#[test]
fn nothing_reads_the_clock_or_gives_another_result_each_time() {
    for source in [
        "d()",
        "d('now')",
        "d('Europe/Paris')",
        "d('UTC', 'UTC')",
        "d('2026-01-01').isToday()",
        "d('2026-01-01').isTomorrow()",
        "d('2026-01-01').isYesterday()",
        "date('now')",
        "time('10:00')",
        "year('now')",
        "dateString('now')",
        "rand(10)",
        "[1, rand(10)]",
        "map([1..3], rand(#))",
        "keys({a: 1})",
        "values({a: 1})",
        "fuzzyMatch('a', 'b')",
        "d(x) == '2026-01-01'",
        "d(x).isBefore('2026-01-01')",
        "d(x).diff(y)",
        "contains([d(x)], 'UTC')",
        "d(x) in ['2026-01-01']",
        "x in [d(x)]",
        "min([d(x), d(y)])",
        "(x ? d(x) : y) < 'UTC'",
        "{a: d(x)}.a < 'UTC'",
        "map([d(x)], # < 'UTC')",
        "[d(x)..d(y)]",
        "x.isBefore(d(y))",
    ] {
        assert!(
            matches!(
                Expression::parse(source),
                Err(ExpressionError::Refused { .. })
            ),
            "{source}"
        );
    }
    // A zone's name that only turns up in a value is no date either.
    for zone in [
        "UTC",
        "Europe/Paris",
        "GMT",
        "Zulu",
        "EST5EDT",
        "",
        " ",
        "é",
    ] {
        assert_eq!(
            evaluated("d(x)", json!({ "x": zone })),
            Value::Null,
            "{zone}"
        );
        assert_eq!(
            evaluated("d(x, 'UTC')", json!({ "x": zone })),
            Value::Null,
            "{zone}"
        );
        assert_eq!(
            evaluated("d(x).format('%Y')", json!({ "x": zone })),
            Value::Null,
            "{zone}"
        );
    }
}

#[test]
fn dates_are_utc_whatever_the_machine_says() {
    let context = json!({ "at": "2026-03-01T23:30:00Z", "day": "2026-03-02", "none": null });
    for (source, value) in [
        ("d(day)", json!("2026-03-02T00:00:00Z")),
        ("d(at)", json!("2026-03-01T23:30:00Z")),
        ("d(at).add('1h').format('%Y-%m-%d')", json!("2026-03-02")),
        ("d(at, 'Asia/Tokyo').format('%H:%M')", json!("08:30")),
        ("d(at).isBefore(d(day))", json!(true)),
        ("d(day) > d(at)", json!(true)),
        ("(d(at)) == d(at)", json!(true)),
        ("d(d(at)).year()", json!(2026)),
        ("d(day).diff(d(at), 'minute')", json!(30)),
        ("d(at).diff(d(day))", json!(-1_800_000)),
        ("d(at).diff(d('2026-02-20'), 'day')", json!(9)),
        ("d('2026-02-28').diff(d('1990-03-01'), 'year')", json!(35)),
        ("d('2026-03-01').diff(d('1990-03-01'), 'year')", json!(36)),
        ("d('1990-03-01').diff(d('2026-02-28'), 'year')", json!(-35)),
        ("d('2026-02-28').diff(d('2026-01-31'), 'month')", json!(1)),
        ("d('2026-01-31').diff(d('2026-02-28'), 'month')", json!(-1)),
        ("d('2026-12-31').diff(d('2026-01-01'), 'quarter')", json!(3)),
        ("d(none).diff(d(at), 'day')", Value::Null),
        ("d(at).isSame(d('2026-03-01'), 'day')", json!(true)),
        ("d(at).isSame(d('2026-03-01'))", json!(false)),
        ("d(at).isAfter(d('2026-03-01'), 'day')", json!(false)),
        ("d(at).isAfter(d('2026-03-01'))", json!(true)),
        ("d(at).isBefore(d('2026-04-01'), 'month')", json!(true)),
        (
            "d(at).isSameOrBefore(d('2026-03-31'), 'month')",
            json!(true),
        ),
        (
            "d(at).isSameOrAfter(d('2026-04-01'), 'month')",
            json!(false),
        ),
        ("d(none) < d(at)", json!(false)),
        ("d(none).isBefore(d(at))", json!(false)),
        ("d(none) == d(none)", json!(false)),
        ("d(none) != d(at)", json!(true)),
        (
            "d(at) <= d(at) and d(at) >= d(at) and not (d(at) < d(at))",
            json!(true),
        ),
        ("min([1, 2]) + d(at).startOf('day').hour()", json!(1)),
        ("d(none)", Value::Null),
        ("d(none).isValid()", json!(false)),
        ("map([day, at], d(#).day())", json!([2, 1])),
        (
            "map([day] as when, map([1, 2], d(when).day() + #))",
            json!([[3, 4]]),
        ),
    ] {
        assert_eq!(evaluated(source, context.clone()), value, "{source}");
    }
    assert!(refusal("d(at).diff(d(day), x)").contains("a unit, written here"));
    assert!(refusal("d(at).diff(d(day), 'eon')").contains("the units are"));
    assert_eq!(refusal("d(at).format(x)"), refusal("d(at).format('%Q')"));
    for letter in "YCymbBhdeaAwuUWGgVjDFHkIlPpMSTRZzsnt%".chars() {
        assert!(evaluated(&format!("d(at).format('%{letter}')"), context.clone()).is_string());
    }
}

#[test]
fn every_comparing_method_takes_a_unit_or_none() {
    let methods = [
        "diff",
        "isSame",
        "isBefore",
        "isAfter",
        "isSameOrBefore",
        "isSameOrAfter",
    ];
    for method in methods {
        for unit in [
            "",
            ", 'second'",
            ", 'hour'",
            ", 'week'",
            ", 'month'",
            ", 'q'",
            ", 'y'",
        ] {
            let source = format!("d('2026-01-01').{method}(d('2026-01-01'){unit})");
            let expected = match method {
                "diff" => json!(0),
                "isBefore" | "isAfter" => json!(false),
                _ => json!(true),
            };
            assert_eq!(evaluated(&source, json!({})), expected, "{source}");
        }
    }
}

#[test]
fn errors_name_the_place() {
    for (source, message) in [
        ("", "the expression is empty"),
        ("1 +", "a value is missing (at character 4)"),
        ("foo(1)", "there is no function `foo` (at character 1)"),
        (
            "'é' + rand(1)",
            "`rand` is not available: an expression gives the same each time (at character 7)",
        ),
        (
            "a = 1",
            "an expression cannot assign; to compare, write `==` (at character 3)",
        ),
        (
            "a; b",
            "an expression cannot assign; to compare, write `==` (at character 2)",
        ),
        ("1 2", "more follows where the expression ends"),
        (
            "é",
            "`é` is not part of the language outside of strings (at character 1)",
        ),
        (
            "'abc",
            "the expression ends inside a string (at character 5)",
        ),
        (
            "(1",
            "a bracket is expected here, not the end (at character 3)",
        ),
        (
            "map([1..2], [])",
            "empty or reversed brackets cannot stand beside a range (at character 14)",
        ),
        ("1)", "`)` is not expected here (at character 2)"),
        (
            "len()",
            "invalid function call `len`: Invalid number of arguments",
        ),
        (
            "matches(x, y)",
            "the pattern has to be a string, written here (at character 12)",
        ),
    ] {
        assert_eq!(refusal(source), message, "{source}");
    }
}

#[test]
fn limits_hold_at_the_limit_and_one_past_it() {
    let long = |bytes: usize| format!("'{}'", "x".repeat(bytes - 2));
    assert!(Expression::parse(&long(SOURCE_MAX_BYTES)).is_ok());
    assert!(refusal(&long(SOURCE_MAX_BYTES + 1)).contains("4097 bytes"));

    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&nested(TREE_MAX_DEPTH - 1)).is_ok());
    assert!(refusal(&nested(TREE_MAX_DEPTH)).contains("32 levels"));
    assert!(refusal(&nested(BRACKETS_MAX_DEPTH + 1)).contains("32 brackets are open"));
    assert!(refusal(&nested(2000)).contains("words and signs"));
    assert!(refusal(&nested(200)).contains("32 brackets are open"));

    let list = |items: usize| format!("[{}]", vec!["1"; items].join(","));
    assert!(Expression::parse(&list(255)).is_ok());
    assert!(refusal(&list(256)).contains("513 words and signs"));
    assert_eq!(evaluated("len(map([1..1000], #))", json!({})), json!(1000));
    assert!(refusal("map([0..1000], #)").contains("at most 1000 numbers"));
    assert!(refusal("map([0..1000000000], #)").contains("at most 1000 numbers"));
    assert!(refusal("map([1..x], #)").contains("whole numbers"));
    assert!(refusal("map(x ? [1..x] : null, #)").contains("whole numbers"));

    assert!(Expression::parse("matches(x, '^[0-9]{4}$')").is_ok());
    assert!(refusal("matches(x, '(a{50}){50}')").contains("the pattern cannot be used"));
}

#[test]
fn operators_without_brackets_nest_only_so_deep() {
    for (start, middle, end) in [
        ("", "-", "1"),
        ("", "not ", "x"),
        ("", "1^", "1"),
        ("", "x ? 1 : ", "2"),
        ("x", ".a", ""),
        ("1", "+1", ""),
        ("x", " ?? y", ""),
        ("x", "[0]", ""),
    ] {
        for count in [60, 200, 500, 1000] {
            let source = format!("{start}{}{end}", middle.repeat(count));
            if source.len() <= SOURCE_MAX_BYTES {
                assert!(
                    matches!(
                        Expression::parse(&source),
                        Err(ExpressionError::Limit { .. })
                    ),
                    "{source}"
                );
            }
        }
    }
}

#[test]
fn what_would_take_too_much_is_not_started() {
    let text = "x".repeat(100_000);
    let context = json!({ "text": text, "list": vec![1; 1000] });
    for source in [
        "map([1..1000], text + text)",
        "map(list, map(list, map(list, # + 1)))",
        "map(map([text], [#, #, #, #, #, #, #, #]), `${text}${text}${text}${text}${text}`) ",
        "len(flatMap(flatMap(flatMap([1..1000], [#,#,#,#,#,#,#,#]), [#,#,#,#,#,#,#,#]), [#,#,#,#,#,#,#,#]))",
        "map(split(text, ''), split(text, ''))",
    ] {
        let error = Expression::parse(source)
            .unwrap()
            .evaluate(&context)
            .unwrap_err();
        assert!(
            matches!(error, ExpressionError::Limit { .. }),
            "{source}: {error}"
        );
    }
    assert_eq!(
        evaluated("len(filter(list, # == 1))", context.clone()),
        json!(1000)
    );
    assert_eq!(evaluated("upper(text) == text", context), json!(false));
}

#[test]
fn an_expression_goes_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let expression = Expression::parse("after.x + 1").unwrap();
    shared(&expression);
    let there = expression.clone();
    let value = std::thread::spawn(move || there.evaluate(&json!({ "after": { "x": 1 } })));
    assert_eq!(value.join().unwrap(), Ok(json!(2)));
    assert_eq!(expression.source(), "after.x + 1");
}

/// Word soup, the same each time: nothing may panic, and nothing may take long.
#[test]
fn no_source_breaks_the_parser() {
    const WORDS: &[&str] = &[
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        "?",
        "..",
        ".",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "==",
        "!=",
        "<",
        ">=",
        "!",
        "??",
        " and ",
        " or ",
        " not ",
        " in ",
        " not in ",
        "1",
        "0",
        "2.5",
        "1e3",
        "9999999999999999999999999999",
        "'a'",
        "\"é\"",
        "`",
        "`x${",
        "}`",
        "$",
        "$root",
        "#",
        "null",
        "true",
        "x",
        "after.name",
        "map(",
        "filter(",
        "flatMap(",
        " as y,",
        "len(",
        "d(",
        "d(x)",
        ".format('%Y')",
        ".add(2147483647,'quarter')",
        ".isBefore(",
        ".diff(",
        "'day'",
        "split(",
        "median(",
        "merge(",
        "=",
        ";",
        "\\",
        "é",
        "'",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let context = json!({ "x": 3, "y": "2026-01-01", "after": { "name": "Ada" } });
    let mut accepted = 0;
    for _ in 0..30_000 {
        let length = 1 + next(24);
        let source: String = (0..length).map(|_| WORDS[next(WORDS.len())]).collect();
        if let Ok(expression) = Expression::parse(&source) {
            accepted += 1;
            let _ = expression.evaluate(&context);
        }
    }
    assert!(accepted > 300, "{accepted} of the sources are expressions");
}

#[test]
fn ranges_in_brackets_are_parsed_in_time() {
    let started = std::time::Instant::now();
    for source in [
        "((((((1 in [1..2]))))))".to_owned(),
        "[[[[[[1..2]]]]]]".to_owned(),
        format!("{}1{} in [1..2]", "(".repeat(30), ")".repeat(30)),
        format!("{}x in [1..2]{}", "(([(([".repeat(5), "]))]))".repeat(5)),
        format!("{}1..2{}", "([])-".repeat(30), ""),
        format!("{}1..2", "(-(-".repeat(60)),
        format!("{} 1 in [1..2]", "(((((1)))))+".repeat(30)),
    ] {
        let _ = Expression::parse(&source);
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn decimals_that_are_kept_as_text_can_go_in_as_numbers() {
    let tail = "0.1234567890123456789012345678".parse().unwrap();
    let notes = json!({ "text": "12.50" });
    let price = Input::Object(vec![("amount", Input::Number(tail))]);
    let mut context = Context::new(vec![
        (
            "record",
            Input::Object(vec![("price", price), ("notes", Input::Json(&notes))]),
        ),
        ("today", Input::Text("2026-11-22")),
        ("list", Input::List(vec![Input::Number(Decimal::ONE)])),
    ])
    .unwrap();
    let value =
        |source: &str, context: &Context| Expression::parse(source).unwrap().evaluate_in(context);
    assert_eq!(
        value("record.price.amount * 2", &context),
        Ok(json!("0.2469135780246913578024691356"))
    );
    assert_eq!(value("record.notes.text", &context), Ok(json!("12.50")));
    assert!(value("today < 1 ? 1 : 2", &context).is_err());
    assert_eq!(value("list[0] + 1", &context), Ok(json!(2)));
    context
        .set("record", "total", &Input::Number(Decimal::TEN))
        .unwrap();
    context
        .set("nothing", "total", &Input::Number(Decimal::ONE))
        .unwrap();
    assert_eq!(value("record.total", &context), Ok(json!(10)));
    let condition = Expression::parse("record.total > 9").unwrap();
    assert_eq!(condition.evaluate_bool_in(&context), Ok(true));
}

#[test]
fn the_members_that_an_expression_names_are_known() {
    let members = |source: &str| -> Vec<String> {
        let expression = Expression::parse(source).unwrap();
        expression
            .members()
            .iter()
            .map(|path| path.join("."))
            .collect()
    };
    assert_eq!(
        members("record.price.amount * record['count'] + (before.x ?? now)"),
        ["record.price.amount", "record.count", "before.x", "now"]
    );
    assert_eq!(
        members("sum(map(record.lines, #.price * record.rate))"),
        ["record.lines", "record.rate"]
    );
    assert_eq!(
        members("record.lines[record.at].price in [record.low..9]"),
        ["record.lines", "record.at", "record.low"]
    );
    assert_eq!(members("map(list as record, record.x)"), ["list"]);
    assert_eq!(members("$root"), [""]);
    assert_eq!(
        members("d(record.a).add(record.b, 'day') > d(now)"),
        ["record.a", "record.b", "now"]
    );
}
