use chrono::DateTime;
use serde_json::{Value, json};

use crate::definition::{RoleDefinition, TeamDefinition};
use crate::model::{Model, ModelSource};
use crate::permission::{Action, Actor};
use crate::query::Filter;
use crate::roles::Member;
use crate::testing;

fn with_rules(records: Value) -> Result<Model, String> {
    let mut source = testing::source(testing::definition());
    add_role(&mut source, "agent", records);
    Model::compile(source).map_err(|error| error.to_string())
}

fn add_role(source: &mut ModelSource, slug: &str, records: Value) {
    let role = json!({"slug": slug, "label": "Agent", "permissions": {"*": ["*"]},
        "records": records});
    let role: RoleDefinition = serde_json::from_value(role).unwrap();
    source.overlay.roles.insert(role.slug.clone(), role);
}

fn reach(model: &Model, user: &str, roles: &[&str], action: Action) -> Option<Filter> {
    let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
    let actor = Actor::person(user.parse().unwrap(), roles);
    let module = model.module(&"items".parse().unwrap()).unwrap();
    model.reach(module, &actor, action, DateTime::UNIX_EPOCH)
}

fn is_wide(filter: &Filter) -> bool {
    format!("{filter:?}").contains("sku")
}

#[test]
fn nobody_is_limited_where_no_role_says_so() {
    let model = Model::compile(testing::source(testing::definition())).unwrap();
    assert_eq!(reach(&model, "ann", &["owner"], Action::Read), None);
}

#[test]
fn a_role_without_rules_reaches_everything_whatever_others_say() {
    let mut source = testing::source(testing::definition());
    add_role(&mut source, "agent", json!({"items": {"read": ["own"]}}));
    add_role(&mut source, "boss", json!({}));
    let model = Model::compile(source).unwrap();
    assert!(reach(&model, "ann", &["agent"], Action::Read).is_some());
    assert_eq!(reach(&model, "ann", &["agent", "boss"], Action::Read), None);
    assert!(reach(&model, "ann", &[], Action::Read).is_some());
}

#[test]
fn rules_of_reading_hold_for_all_that_is_not_said_otherwise() {
    let model = with_rules(json!({"*": {"read": ["own"]}})).unwrap();
    let update = reach(&model, "ann", &["agent"], Action::Update).unwrap();
    let text = format!("{update:?}");
    assert!(text.contains("OwnerId") && text.contains("ann"), "{text}");
    assert!(text.contains("to_change: true"), "{text}");
    let delete = format!("{:?}", reach(&model, "ann", &["agent"], Action::Delete));
    assert!(!delete.contains("to_change: true"), "{delete}");
}

#[test]
fn what_the_person_does_not_have_opens_nothing() {
    let rule = "record.sku in user.items or record.sku == 'X'";
    let mut source = testing::source(testing::definition());
    add_role(&mut source, "agent", json!({"items": {"read": [rule]}}));
    let member = Member {
        attributes: json!({"items": ["A", "B"]}).as_object().unwrap().clone(),
        ..Member::default()
    };
    source.members.insert("ann".parse().unwrap(), member);
    let wrong = json!({"items": [[], {}]}).as_object().unwrap().clone();
    let member = Member {
        attributes: wrong,
        ..Member::default()
    };
    source.members.insert("bob".parse().unwrap(), member);
    let model = Model::compile(source).unwrap();
    let of = |user| reach(&model, user, &["agent"], Action::Read).unwrap();
    assert!(is_wide(&of("ann")));
    assert!(!is_wide(&of("bob")), "a value that does not fit");
    assert!(!is_wide(&of("eve")), "no attribute");
}

#[test]
fn what_is_missing_is_not_turned_round_by_a_negation() {
    let rule = "not (record.sku in user.blocked)";
    let model = with_rules(json!({"items": {"read": [rule]}})).unwrap();
    assert!(!is_wide(
        &reach(&model, "ann", &["agent"], Action::Read).unwrap()
    ));
}

#[test]
fn teams_are_those_that_the_person_is_in() {
    let mut source = testing::source(testing::definition());
    add_role(&mut source, "agent", json!({"items": {"read": ["team"]}}));
    for (slug, members) in [("west", json!(["ann", "bob"])), ("east", json!(["eve"]))] {
        let team = json!({"slug": slug, "label": slug, "members": members});
        let team: TeamDefinition = serde_json::from_value(team).unwrap();
        source.teams.insert(team.slug.clone(), team);
    }
    let model = Model::compile(source).unwrap();
    let text = format!("{:?}", reach(&model, "ann", &["agent"], Action::Read));
    assert!(
        text.contains("\"bob\"") && !text.contains("\"eve\""),
        "{text}"
    );
    assert!(text.contains("team:west"), "{text}");
    let alone = format!("{:?}", reach(&model, "zoe", &["agent"], Action::Read));
    assert!(
        alone.contains("\"zoe\"") && !alone.contains("\"bob\""),
        "{alone}"
    );
}

#[test]
fn mistakes_in_rules_are_told_with_their_role() {
    for (rule, words) in [
        ("record.xyz == 1", "has no field"),
        ("record.count + 1 > 2", "cannot be looked for"),
        (
            "record.count == record.price",
            "not with another of its own",
        ),
        ("patient.id == 1", "not “patient”"),
        ("user.address.city == record.sku", "name one attribute"),
        ("record.count == 'many'", "takes a number"),
        ("record.sold > true", "does not take"),
        ("record.sku ==", ""),
        ("mine", "not “mine”"),
    ] {
        let message = with_rules(json!({"items": {"read": [rule]}})).unwrap_err();
        assert!(message.contains("agent"), "{rule}: {message}");
        assert!(message.contains(words), "{rule}: {message}");
    }
    let everywhere = with_rules(json!({"*": {"read": ["record.sku == 'A'"]}})).unwrap_err();
    assert!(everywhere.contains("every module"), "{everywhere}");
    let unknown = with_rules(json!({"nothing": {"read": ["own"]}})).unwrap_err();
    assert!(unknown.contains("unknown module"), "{unknown}");
    let none = with_rules(json!({"items": {"read": []}})).unwrap_err();
    assert!(none.contains("1 to"), "{none}");
}

#[test]
fn rules_take_related_records_lists_and_days() {
    for rule in [
        "record.pair.sku == user.sku",
        "user.region in record.sku",
        "record.made_on >= today and record.seen_at < now",
        "record.email == null or record.sold",
        "'boss' in user.roles",
        "record.count in [1, 2]",
    ] {
        let model = with_rules(json!({"items": {"read": [rule]}}));
        assert!(model.is_ok(), "{rule}: {model:?}");
    }
}
