use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::*;
use crate::Data;
use crate::event::{Cause, Event, EventKind};
use crate::ids::{EventId, RecordId};
use crate::permission::Actor;
use crate::settings::Settings;

fn data(value: Value) -> Data {
    value.as_object().unwrap().clone()
}

fn event(after: Value) -> Event {
    Event {
        id: EventId::new(Uuid::from_u128(7)),
        kind: EventKind::RecordCreated,
        module: "orders".parse().unwrap(),
        record_id: record(1),
        record_version: 1,
        before: None,
        after: Some(data(after)),
        changed_fields: Vec::new(),
        payload: None,
        actor: Actor::person("ada".parse().unwrap(), Vec::new()),
        cause: Cause::User,
        depth: 0,
        occurred_at: DateTime::UNIX_EPOCH,
    }
}

fn settings() -> Settings {
    Settings {
        time_zone: Tz::Europe__Berlin,
        ..Settings::default()
    }
}

fn record(number: u128) -> RecordId {
    RecordId::new(Uuid::from_u128(number))
}

fn steps(value: Value) -> Vec<StepDefinition> {
    serde_json::from_value(value).unwrap()
}

fn compile(value: Value) -> Result<Program, String> {
    let module = "orders".parse().unwrap();
    let surroundings = Surroundings {
        module: &module,
        is_action: &|name| name.as_str() != "unknown",
        is_module: &|module| module.as_str() != "unknown",
        has_field: &|module, field| match module.as_str() {
            "unknown" => None,
            _ => Some(field.as_str() != "unknown"),
        },
    };
    Program::compile(None, &steps(value), &surroundings)
}

/// What a run asked for, until it ended or waited.
struct Ran {
    told: Vec<String>,
    place: Place,
    end: Next,
}

/// Runs a program whose actions all succeed but for those whose step is named in `failing`; loops
/// find the records 10, 11 and 12 on two pages, of which 11 is gone by then.
fn run(program: &Program, after: Value, failing: &[&str]) -> Ran {
    run_from(
        program,
        Place::default(),
        after,
        failing,
        DateTime::UNIX_EPOCH,
    )
}

fn run_from(
    program: &Program,
    mut place: Place,
    after: Value,
    failing: &[&str],
    now: DateTime<Utc>,
) -> Ran {
    let event = event(after);
    let mut items = BTreeMap::new();
    let mut told = Vec::new();
    loop {
        // Between two calls a run is JSON in the database.
        place = serde_json::from_value(serde_json::to_value(&place).unwrap()).unwrap();
        let facts = Facts {
            event: &event,
            record: event.after.as_ref(),
            items: &items,
            came: &BTreeMap::new(),
            now,
            settings: &settings(),
        };
        match program.advance(&mut place, &facts) {
            Next::Act {
                thread,
                action,
                item,
            } => {
                let action = program.action(action).unwrap();
                let config = action.config().fill(&facts.context(&place.outputs(), item));
                let (step, config) = (action.step.as_str(), config.unwrap());
                let of = item.map_or(String::new(), |item| format!("@{}", item.uuid().as_u128()));
                let with = match config.as_object().unwrap().is_empty() {
                    true => String::new(),
                    false => format!(" {config}"),
                };
                told.push(format!("{step}{of}{with}"));
                if failing.contains(&step) {
                    if !place.failed(thread, action, "it is broken") {
                        let end = Next::Failed("for good".to_owned());
                        return Ran { told, place, end };
                    }
                    continue;
                }
                let output = Output {
                    status: "done",
                    created: vec![json!({ "id": step })],
                    set: json!({ "total": 5 }),
                };
                place.acted(thread, action, &output);
                // What is over is over for whoever goes on, too.
                if let Some(over) = program.settle(&mut place.clone()) {
                    assert_eq!(program.advance(&mut place, &facts), over);
                }
            }
            Next::Open { thread, until, .. } => place.opened(thread, until),
            Next::Page { thread, cursor, .. } => match cursor {
                None => place.page(thread, vec![record(10), record(11)], Some("2".to_owned())),
                Some(_) => place.page(thread, vec![record(12)], None),
            },
            Next::Load { record, .. } => {
                let number = record.uuid().as_u128();
                let found = (number != 11).then(|| data(json!({ "number": number as u64 })));
                items.insert(record, found);
            }
            end => return Ran { told, place, end },
        }
    }
}

fn told(value: Value, after: Value, failing: &[&str]) -> (Vec<String>, Next) {
    let ran = run(&compile(value).unwrap(), after, failing);
    (ran.told, ran.end)
}

fn act(id: &str) -> Value {
    json!({ "id": id, "action": "do" })
}

#[rstest]
#[case::one_after_the_other(json!([act("a"), act("b")]), &["a", "b"])]
#[case::then(json!([{"if": "after.big", "then": [act("a")], "else": [act("b")]}, act("c")]), &["a", "c"])]
#[case::otherwise(
    json!([{"if": "not after.big", "then": [act("a")], "else": [act("b")]}, act("c")]), &["b", "c"])]
#[case::no_else(json!([{"if": "not after.big", "then": [act("a")]}, act("c")]), &["c"])]
#[case::a_case(
    json!([{"switch": "after.size", "cases": [{"is": "s", "then": [act("s")]},
        {"is": "m", "then": [act("m")]}], "else": [act("other")]}, act("c")]), &["m", "c"])]
#[case::no_case(
    json!([{"switch": "after.none", "cases": [{"is": "s", "then": [act("s")]}],
        "else": [act("other")]}]), &["other"])]
#[case::side_by_side(
    json!([{"parallel": [[act("a"), act("b")], [act("c")]]}, act("d")]), &["a", "c", "b", "d"])]
#[case::each_but_what_is_gone(
    json!([{"for_each": {"module": "items"}, "do": [act("a"), act("b")]}, act("c")]),
    &["a@10", "b@10", "a@12", "b@12", "c"])]
#[case::no_more_than_the_limit(
    json!([{"for_each": {"module": "items", "limit": 1}, "do": [act("a")]}]), &["a@10"])]
#[case::ways_within_a_loop(
    json!([{"for_each": {"module": "items", "limit": 1},
        "do": [{"parallel": [[act("a")], [act("b")]]}, act("c")]}]), &["a@10", "b@10", "c@10"])]
#[case::the_record_of_a_loop(
    json!([{"for_each": {"module": "items"}, "do": [
        {"if": "item.number > 11", "then": [{"id": "a", "action": "do",
            "config": {"n": {"$expression": "item.number"}}}]}]}]), &["a@12 {\"n\":12}"])]
#[case::what_came_before(
    json!([act("a"), {"id": "b", "action": "do", "config": {
        "of": {"$expression": "steps.a.created[0].id"}, "is": [{"$expression": "steps.a.set.total + 1"}],
        "was": "plain"}}]), &["a", "b {\"is\":[6],\"of\":\"a\",\"was\":\"plain\"}"])]
#[case::a_stop(json!([act("a"), {"stop": {"as": "done"}}, act("b")]), &["a"])]
fn steps_are_taken(#[case] value: Value, #[case] expected: &[&str]) {
    let (told, end) = told(value, json!({"big": true, "size": "m"}), &[]);
    assert_eq!(told, expected);
    assert_eq!(end, Next::Done(Over::default()));
}

#[test]
fn a_stop_says_what_the_run_hands_on() {
    let stop = |end: &str, outputs: Value| json!([act("a"), {"stop": {"as": end, "message": "enough", "outputs": outputs}}]);
    let outputs = json!({"made": {"$expression": "steps.a.created[0].id"}, "plain": [1]});
    let (_, end) = told(stop("done", outputs.clone()), json!({}), &[]);
    let over = Over {
        message: Some("enough".to_owned()),
        outputs: Some(json!({"made": "a", "plain": [1]})),
    };
    assert_eq!(end, Next::Done(over));
    let refused = compile(stop("failed", outputs)).unwrap_err();
    assert!(refused.contains("outputs: go with `done`"), "{refused}");
    let wrong = json!({"made": {"$expression": "steps."}});
    let refused = compile(stop("done", wrong)).unwrap_err();
    assert!(refused.contains("stop/outputs/made"), "{refused}");
    let unknown = json!({"made": {"$expression": "steps.a.created + 1"}});
    let (_, end) = told(stop("done", unknown), json!({}), &[]);
    assert!(matches!(end, Next::Failed(why) if why.contains("outputs: `steps.a")));
}

#[rstest]
#[case::it_fails(json!([act("bad"), act("b")]), &["bad"], Some("for good"))]
#[case::it_goes_on(
    json!([{"id": "bad", "action": "do", "on_error": "continue"}, act("b")]), &["bad", "b"], None)]
#[case::it_is_taken_care_of(
    json!([{"id": "bad", "action": "do", "on_error": {"steps": [
        {"id": "say", "action": "do", "config": {"why": {"$expression": "steps.bad.error"}}}]}},
        act("b")]), &["bad", "say {\"why\":\"it is broken\"}", "b"], None)]
#[case::what_was_done_is_taken_back(
    json!([{"id": "a", "action": "do", "undo": [act("undo_a")]},
        {"id": "b", "action": "do", "undo": [act("undo_b")]}, act("bad"), act("c")]),
    &["a", "b", "bad", "undo_b", "undo_a"], Some("bad: it is broken"))]
#[case::what_was_not_done_is_not(
    json!([{"id": "a", "action": "do", "undo": [act("undo_a")]},
        {"id": "bad", "action": "do", "undo": [act("undo_b")]}]),
    &["a", "bad", "undo_a"], Some("bad: it is broken"))]
#[case::a_stop_takes_back(
    json!([{"id": "a", "action": "do", "undo": [act("undo_a")]},
        {"stop": {"as": "failed", "message": "no room"}}]), &["a", "undo_a"], Some("no room"))]
fn what_fails(#[case] value: Value, #[case] expected: &[&str], #[case] reason: Option<&str>) {
    let (told, end) = told(value, json!({}), &["bad"]);
    assert_eq!(told, expected);
    let failed = |reason: &str| Next::Failed(reason.to_owned());
    assert_eq!(end, reason.map_or(Next::Done(Over::default()), failed));
}

#[test]
fn what_cannot_be_taken_back_is_told() {
    let value = json!([{"id": "a", "action": "do", "undo": [act("bad_undo")]},
        {"id": "b", "action": "do", "undo": [act("undo_b")]}, act("bad")]);
    let (told, end) = told(value, json!({}), &["bad", "bad_undo"]);
    assert_eq!(told, ["a", "b", "bad", "undo_b", "bad_undo"]);
    let reason = "bad: it is broken; and it could not be taken back as a whole: bad_undo: it is \
        broken";
    assert_eq!(end, Next::Failed(reason.to_owned()));
}

#[test]
fn a_run_waits_and_goes_on_where_it_was() {
    let program = compile(json!([act("a"), {"delay": {"seconds": 60}}, act("b")])).unwrap();
    let first = run(&program, json!({}), &[]);
    let due = DateTime::UNIX_EPOCH + TimeDelta::seconds(60);
    assert_eq!(
        (first.told.as_slice(), first.end),
        (&["a".to_owned()][..], Next::Wait(due))
    );
    let early = due - TimeDelta::seconds(1);
    let early = run_from(&program, first.place.clone(), json!({}), &[], early);
    assert_eq!((early.told.len(), early.end), (0, Next::Wait(due)));
    let last = run_from(&program, first.place, json!({}), &[], due);
    assert_eq!(
        (last.told, last.end),
        (vec!["b".to_owned()], Next::Done(Over::default()))
    );
}

#[rstest]
#[case::a_time("after.at", json!({"at": "2026-03-01T10:00:00+02:00"}), Some("2026-03-01T08:00:00Z"))]
#[case::a_day_in_the_zone("after.at", json!({"at": "2026-03-01"}), Some("2026-02-28T23:00:00Z"))]
#[case::a_time_that_has_passed("after.at", json!({"at": "1969-03-01"}), None)]
fn a_run_waits_until(#[case] until: &str, #[case] after: Value, #[case] due: Option<&str>) {
    let program = compile(json!([{"delay": {"until": until}}, act("b")])).unwrap();
    let ran = run(&program, after, &[]);
    let due = due.map(|due| Next::Wait(due.parse().unwrap()));
    assert_eq!(ran.end, due.unwrap_or(Next::Done(Over::default())));
}

#[test]
fn a_time_that_is_none_fails_the_run() {
    let program = compile(json!([{"id": "wait", "delay": {"until": "after.at"}}])).unwrap();
    let ran = run(&program, json!({"at": "soon"}), &[]);
    let reason = "wait: what `until` gives is neither a time (RFC 3339) nor a date";
    assert_eq!(ran.end, Next::Failed(reason.to_owned()));
}

#[test]
fn ways_wait_side_by_side() {
    let program = compile(json!([{"parallel": [
        [{"delay": {"seconds": 60}}, act("late")],
        [{"delay": {"seconds": 30}}, act("soon")],
    ]}, act("last")]))
    .unwrap();
    let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
    let ran = run(&program, json!({}), &[]);
    assert_eq!((ran.told.len(), ran.end), (0, Next::Wait(at(30))));
    let ran = run_from(&program, ran.place, json!({}), &[], at(30));
    assert_eq!(
        (ran.told, ran.end),
        (vec!["soon".to_owned()], Next::Wait(at(60)))
    );
    let ran = run_from(&program, ran.place, json!({}), &[], at(61));
    assert_eq!(ran.told, ["late", "last"]);
    assert_eq!(ran.end, Next::Done(Over::default()));
}

#[test]
fn what_comes_back_is_for_its_step_alone() {
    let program = compile(json!([act("a"), act("b"), act("c")])).unwrap();
    let step = "b".parse().unwrap();
    let (place, action) = program.only(Some(&step)).unwrap();
    assert_eq!(action.step, step);
    let ran = run_from(&program, place, json!({}), &[], DateTime::UNIX_EPOCH);
    assert_eq!(
        (ran.told, ran.end),
        (vec!["b".to_owned()], Next::Done(Over::default()))
    );
    let gone = "z".parse().unwrap();
    assert!(program.only(Some(&gone)).is_err());
}

#[test]
fn steps_are_read_as_they_are_written() {
    let written = json!([
        {"id": "a", "action": "do", "config": {"x": 1}, "retry": {"attempts": 3, "pause_seconds": 9},
            "timeout_seconds": 2, "on_error": {"steps": [{"stop": {"as": "failed"}}]},
            "undo": [{"action": "undo", "config": {}}]},
        {"if": "after.x", "then": [], "else": [{"delay": {"seconds": 1}}]},
        {"switch": "after.x", "cases": [{"is": 1, "then": []}]},
        {"for_each": {"module": "items", "filter": {"field": "a", "op": "eq", "value": 1}}, "do": []},
        {"parallel": [[], []]},
        {"delay": {"until": "after.at"}},
        {"stop": {"as": "done", "message": "enough", "outputs": {"x": 1}}},
    ]);
    let read = steps(written.clone());
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
}

#[rstest]
#[case::nothing(json!([{"id": "a"}]), "a step has exactly one of: action, if,")]
#[case::two(json!([{"action": "do", "if": "true", "then": []}]), "a step has exactly one of")]
#[case::what_does_not_belong(
    json!([{"action": "do", "then": []}]), "`then` does not go with a step of this kind")]
#[case::no_then(json!([{"if": "true"}]), "an `if` has a `then`")]
#[case::unknown(json!([{"act": "do"}]), "unknown field `act`")]
fn what_cannot_be_read(#[case] written: Value, #[case] reason: &str) {
    let read = serde_json::from_value::<Vec<StepDefinition>>(written);
    let error = read.unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

#[rstest]
#[case::nothing(json!([]), "a workflow has 1 to 200 steps")]
#[case::an_unknown_action(
    json!([{"if": "true", "then": [{"action": "unknown"}]}]),
    "steps/0/then/0: the action “unknown” is not installed")]
#[case::an_unknown_module(
    json!([{"for_each": {"module": "unknown"}, "do": []}]),
    "steps/0/for_each: there is no module “unknown”")]
#[case::one_name_twice(json!([act("a"), act("a")]), "steps/1: another step is called “a” too")]
#[case::a_broken_condition(json!([{"if": "after.", "then": []}]), "steps/0/if: ")]
#[case::a_broken_expression(
    json!([{"action": "do", "config": {"a": [{"$expression": "1 +"}]}}]),
    "steps/0/config/a/0: ")]
#[case::two_delays(
    json!([{"delay": {"seconds": 1, "until": "now"}}]), "steps/0/delay: either `seconds` or")]
#[case::too_many_attempts(
    json!([{"action": "do", "retry": {"attempts": 6}}]), "steps/0/retry/attempts: from 1 to 5")]
#[case::no_attempt(
    json!([{"action": "do", "retry": {"attempts": 0}}]), "steps/0/retry/attempts: from 1 to 5")]
#[case::undo_of_undo(
    json!([{"action": "do", "undo": [{"action": "do", "undo": [act("a")]}]}]),
    "steps/0/undo: what takes back is not taken back itself")]
#[case::undo_in_a_loop(
    json!([{"for_each": {"module": "items"}, "do": [{"action": "do", "undo": [act("a")]}]}]),
    "steps/0/do/0/undo: what is done for each of many records is not taken back")]
#[case::a_limit_too_far(
    json!([{"for_each": {"module": "items", "limit": 100_001}, "do": []}]),
    "steps/0/for_each/limit: from 1 to 100000")]
fn what_cannot_be_right(#[case] written: Value, #[case] reason: &str) {
    let error = compile(written).map(|_| ()).unwrap_err();
    assert!(error.starts_with(reason), "{error}");
}

#[test]
fn steps_stand_only_so_deep_in_others_and_are_only_so_many() {
    let nested =
        |depth: usize| (0..depth).fold(act("a"), |inner, _| json!({"if": "true", "then": [inner]}));
    assert!(compile(json!([nested(8)])).is_ok());
    let error = compile(json!([nested(9)])).map(|_| ()).unwrap_err();
    assert!(error.ends_with("at most 8 deep in others"), "{error}");
    let many = |count: usize| json!(vec![json!({"action": "do"}); count]);
    assert!(compile(many(200)).is_ok());
    assert!(compile(many(201)).is_err());
    let ways = |count: usize| json!([{"parallel": vec![json!([]); count]}]);
    assert!(compile(ways(20)).is_ok());
    assert!(compile(ways(21)).is_err());
    assert!(compile(ways(0)).is_err());
}

#[test]
fn every_loop_and_every_way_comes_to_an_end() {
    let value = json!([{"for_each": {"module": "items"}, "do": []}, {"parallel": [[], []]}]);
    let (told, end) = told(value, json!({}), &[]);
    assert_eq!((told.len(), end), (0, Next::Done(Over::default())));
}

/// The key of a step's work holds at each attempt, also where another way went on in between.
#[test]
fn each_action_of_a_run_is_a_work_of_its_own() {
    let program = compile(json!([
        {"parallel": [[{"delay": {"seconds": 60}}, act("late"), act("later")], [act("slow")]]}]))
    .unwrap();
    let event = event(json!({}));
    let (items, nothing, berlin) = (BTreeMap::new(), BTreeMap::new(), settings());
    let at = |seconds| Facts {
        event: &event,
        record: None,
        items: &items,
        came: &nothing,
        now: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
        settings: &berlin,
    };
    let mut place = Place::default();
    let next = |place: &mut Place, seconds| match program.advance(place, &at(seconds)) {
        Next::Act { thread, action, .. } => {
            let action = program.action(action).unwrap();
            (thread, action, place.work(thread))
        }
        other => panic!("{other:?}"),
    };
    let output = Output {
        status: "done",
        created: Vec::new(),
        set: json!({}),
    };
    let (_, slow, first_try) = next(&mut place, 0);
    assert_eq!(slow.step.as_str(), "slow");
    let mut works = vec![first_try];
    let mut steps = Vec::new();
    for _ in 0..3 {
        let (thread, action, work) = next(&mut place, 60);
        if action.step == slow.step {
            assert_eq!(work, first_try, "the second attempt is the same work");
        } else {
            works.push(work);
        }
        steps.push(action.step.as_str());
        place.acted(thread, action, &output);
    }
    assert_eq!(steps, ["late", "slow", "later"]);
    works.sort_unstable();
    works.dedup();
    assert_eq!(works.len(), 3);
    assert_eq!(Place::default().work(0), 0, "the first is the run's own");
}
