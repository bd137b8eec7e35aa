//! Which entries pass, and how each mistake is told.

use super::*;
use crate::limits::{
    ACTIVITY_BODY_MAX_CHARACTERS, ACTIVITY_DURATION_MAX_MINUTES, ACTIVITY_TITLE_MAX_CHARACTERS,
};
use crate::model::Model;
use crate::testing::{actor, definition, source};
use serde_json::{Value, json};

fn model() -> Model {
    let mut definition = definition();
    definition["modules"][0]["activity_types"] =
        json!([{"slug": "appraisal", "label": "Appraisal"}]);
    Model::compile(source(definition)).unwrap()
}

fn check(activity: Value) -> Result<(ActivityKind, ActivityContent), Violations> {
    let model = model();
    let activity: NewActivity = serde_json::from_value(activity).unwrap();
    let module = model.module(&"items".parse().unwrap()).unwrap();
    activity.check(module, Authority::User(&actor("owner")))
}

fn pointers(violations: &Violations) -> Vec<&str> {
    let violations = violations.as_slice().iter();
    violations.map(|one| one.pointer.as_str()).collect()
}

#[test]
fn every_violation_is_listed() {
    let long = "x".repeat(ACTIVITY_BODY_MAX_CHARACTERS + 1);
    let violations = check(json!({
        "kind": "party", "title": " ", "body": long, "due_at": "tomorrow", "assignee": "",
        "occurred_at": "0000-01-01T00:00:00Z",
        "duration_minutes": ACTIVITY_DURATION_MAX_MINUTES + 1,
    }))
    .unwrap_err();
    let expected = [
        "/kind",
        "/title",
        "/body",
        "/due_at",
        "/assignee",
        "/occurred_at",
        "/duration_minutes",
    ];
    assert_eq!(pointers(&violations), expected);
    let kinds = &violations.as_slice()[0].message;
    assert_eq!(
        kinds,
        "use one of: note, call, meeting, email, task, appraisal"
    );
}

#[test]
fn the_limits_are_those_that_they_say() {
    let title = |length: usize| check(json!({"kind": "note", "title": "x".repeat(length)}));
    assert!(title(ACTIVITY_TITLE_MAX_CHARACTERS).is_ok());
    assert!(title(ACTIVITY_TITLE_MAX_CHARACTERS + 1).is_err());
    let call =
        |minutes: u32| check(json!({"kind": "call", "title": "x", "duration_minutes": minutes}));
    assert!(call(ACTIVITY_DURATION_MAX_MINUTES).is_ok());
    assert!(call(ACTIVITY_DURATION_MAX_MINUTES + 1).is_err());
}

#[test]
fn a_kind_says_only_what_it_can_say() {
    let due = "2026-01-31T09:30:00Z";
    let task = check(json!({"kind": "task", "title": "t", "due_at": due, "assignee": "u-2"}));
    let (kind, content) = task.unwrap();
    assert!(kind.is_task());
    assert_eq!(content.assignee.unwrap().as_str(), "u-2");
    let violations = check(json!({"kind": "call", "title": "t", "due_at": due})).unwrap_err();
    assert_eq!(pointers(&violations), ["/due_at"]);
    let violations = check(json!({"kind": "task", "title": "t", "occurred_at": due}));
    assert_eq!(pointers(&violations.unwrap_err()), ["/occurred_at"]);
    assert!(check(json!({"kind": "appraisal", "title": "t", "duration_minutes": 30})).is_ok());
}

#[test]
fn what_the_system_says_people_do_not() {
    let violations = check(json!({"kind": "system", "title": "t"})).unwrap_err();
    assert_eq!(pointers(&violations), ["/kind"]);
    let by_plugin = NewActivity::plain("system", "t", None).unwrap();
    let (model, behalf_of) = (model(), actor("owner"));
    let module = model.module(&"items".parse().unwrap()).unwrap();
    let grant = crate::capability::Grant::new(Default::default(), Default::default());
    let authority = Authority::Plugin {
        grant: &grant,
        behalf_of: &behalf_of,
        run_as: crate::permission::RunAs::Person,
    };
    assert!(by_plugin.check(module, authority).is_ok());
}

#[test]
fn a_change_keeps_what_it_does_not_name() {
    let (kind, content) = check(json!({"kind": "task", "title": "t", "body": "b"})).unwrap();
    let patch = ActivityPatch {
        body: Some(None),
        assignee: Some(Some("u-2".to_owned())),
        ..ActivityPatch::default()
    };
    let changed = patch.check(&kind, content.clone()).unwrap();
    assert_eq!((changed.title.as_str(), changed.body), ("t", None));
    assert_eq!(changed.assignee.unwrap().as_str(), "u-2");
    let patch = ActivityPatch {
        title: Some(None),
        duration_minutes: Some(Some(5)),
        ..ActivityPatch::default()
    };
    let violations = patch.check(&kind, content).unwrap_err();
    assert_eq!(pointers(&violations), ["/duration_minutes", "/title"]);
}

#[test]
fn types_of_a_module_are_new_names() {
    for (types, expected) in [
        (
            json!([{"slug": "note", "label": "Note"}]),
            "a “note” already",
        ),
        (
            json!([{"slug": "a", "label": "A"}, {"slug": "a", "label": "B"}]),
            "a “a” already",
        ),
        (json!([{"slug": "a", "label": " "}]), "1 to 200 characters"),
    ] {
        let mut definition = definition();
        definition["modules"][0]["activity_types"] = types;
        let error = Model::compile(source(definition)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
