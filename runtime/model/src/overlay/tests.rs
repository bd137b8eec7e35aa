use serde_json::{Value, json};

use super::*;
use crate::model::{Model, ModelSource};
use crate::testing::{definition, source};
use crate::violation::Violations;

fn items() -> ModuleSlug {
    "items".parse().unwrap()
}

fn key(name: &str) -> FieldKey {
    name.parse().unwrap()
}

fn object(value: Value) -> crate::Data {
    value.as_object().unwrap().clone()
}

fn field_edit(name: &str, patch: Value) -> ModelChange {
    ModelChange::FieldEdit(items(), key(name), object(patch))
}

fn own_field() -> ModelChange {
    let field = json!({"key": "colour", "label": "Colour", "type": "text"});
    let field = Box::new(serde_json::from_value(field).unwrap());
    ModelChange::FieldAdd(items(), field, None)
}

fn own_module() -> ModelChange {
    let module = json!({"slug": "rings", "label": "Ring", "fields": [
        {"key": "name", "label": "Name", "type": "text"},
        {"key": "stone", "label": "Stone", "type": "relation", "module": "items"},
    ]});
    ModelChange::ModuleAdd(serde_json::from_value(module).unwrap())
}

fn module_remove(module: ModuleSlug) -> ModelChange {
    ModelChange::ModuleRemove {
        module,
        with_records: false,
    }
}

/// A source after these changes, each of which has to be accepted and to compile.
fn after(changes: impl IntoIterator<Item = ModelChange>) -> ModelSource {
    let mut source = source(definition());
    for change in changes {
        revise(&mut source, change).unwrap();
        Model::compile(source.clone()).unwrap();
    }
    source
}

fn field(source: &ModelSource, name: &str) -> FieldDefinition {
    let module = source.overlay.merged(&source.definition, &items()).unwrap();
    let mut fields = module.definition.fields.into_iter();
    fields.find(|field| field.key == key(name)).unwrap()
}

fn order(source: &ModelSource) -> Vec<String> {
    let module = source.overlay.merged(&source.definition, &items()).unwrap();
    let fields = module.definition.fields.into_iter();
    fields.map(|field| field.key.to_string()).collect()
}

fn violations(source: &ModelSource, change: ModelChange) -> Violations {
    match revise(&mut source.clone(), change) {
        Err(OverlayRefusal::Invalid(violations)) => violations,
        other => panic!("{other:?}"),
    }
}

fn pairs(violations: &Violations) -> Vec<(&str, &str)> {
    let list = violations.as_slice().iter();
    list.map(|one| (one.pointer.as_str(), one.code.as_str()))
        .collect()
}

#[test]
fn a_template_field_is_relabelled_hidden_and_looked_up() {
    let patch = json!({"label": "Remarks", "help": "Anything", "retired": true, "indexed": true,
        "searchable": true, "personal_data": true, "group": "More"});
    let source = after([field_edit("notes", patch)]);
    let notes = field(&source, "notes");
    assert_eq!((notes.label.as_str(), notes.retired), ("Remarks", true));
    assert!(notes.indexed && notes.searchable && notes.personal_data);
    let back = after([
        field_edit("notes", json!({"label": "Remarks", "retired": true})),
        field_edit("notes", json!({"label": null, "retired": false})),
    ]);
    assert_eq!(field(&back, "notes"), field(&after([]), "notes"));
    let edit = &back.overlay.field_edits[&(items(), key("notes"))];
    assert_eq!(
        *edit,
        FieldEdit::default(),
        "what is as the template has it follows it"
    );
}

#[test]
fn options_are_relabelled_and_not_broken() {
    let relabelled = json!({"options": [{"value": "Fair", "label": "So-so", "color": "#cccccc"},
        {"value": "Ideal", "label": "Ideal"}]});
    let source = after([field_edit("cut", relabelled)]);
    let cut = field(&source, "cut");
    assert_eq!(cut.options[0].label, "So-so");
    assert_eq!(cut.options[0].color.as_deref(), Some("#cccccc"));
    for broken in [
        json!([{"value": "Fair", "label": "Fair"}]),
        json!([{"value": "Ideal", "label": "Ideal"}, {"value": "Fair", "label": "Fair"}]),
        json!([{"value": "Fair", "label": "Fair", "probability": 3},
            {"value": "Ideal", "label": "Ideal"}]),
        json!([{"value": "Fair", "label": "Fair"}, {"value": "Ideal", "label": "Ideal"},
            {"value": "Good", "label": "Good"}]),
    ] {
        let refused = violations(&after([]), field_edit("cut", json!({"options": broken})));
        assert_eq!(pairs(&refused), [("/options", "template_owned")]);
    }
}

#[test]
fn what_would_break_the_template_is_refused_with_every_reason() {
    let patch = json!({"type": "integer", "required": true, "max_length": 3, "label": "N"});
    let refused = violations(&after([]), field_edit("notes", patch));
    let mut found = pairs(&refused);
    found.sort_unstable();
    let owned = "template_owned";
    assert_eq!(
        found,
        [
            ("/max_length", owned),
            ("/required", owned),
            ("/type", owned)
        ]
    );

    let required = field_edit("sku", json!({"retired": true}));
    let refused = violations(&after([]), required);
    assert_eq!(
        pairs(&refused),
        [("/retired", "in_use")],
        "it names the records"
    );

    let mut indexed = definition();
    indexed["modules"][0]["fields"][1]["indexed"] = json!(true);
    let refused = violations(
        &crate::testing::source(indexed),
        field_edit("notes", json!({"indexed": false})),
    );
    assert_eq!(pairs(&refused), [("/indexed", "template_owned")]);

    let gone = revise(
        &mut after([]),
        ModelChange::FieldRemove(items(), key("notes")),
    );
    assert!(matches!(gone, Err(OverlayRefusal::Conflict(message)) if message.contains("hide it")));
}

#[test]
fn a_field_that_the_template_requires_stays_in_sight() {
    let mut titled = definition();
    titled["modules"][0]["title_field"] = json!("notes");
    let source = crate::testing::source(titled);
    let refused = violations(&source, field_edit("sku", json!({"retired": true})));
    assert!(
        refused
            .to_string()
            .contains("the template requires this field")
    );
}

#[test]
fn an_own_field_changes_in_all_but_key_and_form() {
    let patch = json!({"label": "Shade", "max_length": 9, "required": true, "unique": true});
    let source = after([own_field(), field_edit("colour", patch)]);
    let colour = field(&source, "colour");
    assert_eq!(
        (colour.label.as_str(), colour.max_length),
        ("Shade", Some(9))
    );
    let patch = json!({"key": "shade", "type": "integer", "many": true});
    let refused = violations(&source, field_edit("colour", patch));
    let immutable = "immutable";
    assert_eq!(
        pairs(&refused),
        [
            ("/key", immutable),
            ("/type", immutable),
            ("/many", immutable)
        ]
    );
    let unknown = violations(&source, field_edit("colour", json!({"tint": 1})));
    assert_eq!(pairs(&unknown), [("", "shape")]);
}

#[test]
fn fields_stand_in_the_order_of_the_tenant() {
    let mut source = after([own_field(), field_edit("colour", json!({"position": 1}))]);
    assert_eq!(order(&source)[..3], ["sku", "colour", "notes"]);
    let change = json!({"field_order": ["price", "colour"]});
    revise(
        &mut source,
        ModelChange::ModuleEdit(items(), object(change)),
    )
    .unwrap();
    assert_eq!(order(&source)[..3], ["price", "colour", "sku"]);
    let label = json!({"label": "Piece"});
    revise(&mut source, ModelChange::ModuleEdit(items(), object(label))).unwrap();
    assert_eq!(
        order(&source)[0],
        "price",
        "a label does not undo the order"
    );
    for (wrong, code) in [
        (json!(["price", "price"]), "duplicate"),
        (json!(["sku", "nowhere"]), "unknown_field"),
    ] {
        let change = object(json!({ "field_order": wrong }));
        let refused = violations(&source, ModelChange::ModuleEdit(items(), change));
        assert_eq!(pairs(&refused), [("/field_order/1", code)]);
    }
    revise(
        &mut source,
        ModelChange::FieldRemove(items(), key("colour")),
    )
    .unwrap();
    assert_eq!(order(&source)[..2], ["price", "sku"]);
    let wrong = violations(&source, field_edit("price", json!({"position": -1})));
    assert_eq!(pairs(&wrong), [("/position", "type")]);
}

#[test]
fn a_module_of_the_template_is_relabelled_and_hidden_only() {
    let edit = |patch: Value| ModelChange::ModuleEdit(items(), object(patch));
    let source = after([edit(json!({"label": "Gem", "icon": "gem", "hidden": true}))]);
    let module = source.overlay.merged(&source.definition, &items()).unwrap();
    assert_eq!(module.definition.label, "Gem");
    assert!(module.definition.hidden);
    let back = after([
        edit(json!({"hidden": true})),
        edit(json!({"hidden": false})),
    ]);
    let module = back.overlay.merged(&back.definition, &items()).unwrap();
    assert!(!module.definition.hidden);
    for (patch, pointer, code) in [
        (json!({"slug": "gems"}), "/slug", "immutable"),
        (json!({"fields": []}), "/fields", "immutable"),
        (
            json!({"rules": [{"expression": "true", "message": "m"}]}),
            "/rules",
            "template_owned",
        ),
        (
            json!({"title_field": "nowhere"}),
            "/title_field",
            "unknown_field",
        ),
    ] {
        assert_eq!(pairs(&violations(&source, edit(patch))), [(pointer, code)]);
    }
    let gone = revise(&mut after([]), module_remove(items()));
    assert!(matches!(gone, Err(OverlayRefusal::Conflict(message)) if message.contains("hide it")));
}

#[test]
fn a_module_of_the_tenants_own_comes_and_goes() {
    let mut source = after([own_module()]);
    let rings: ModuleSlug = "rings".parse().unwrap();
    let model = Model::compile(source.clone()).unwrap();
    let module = model.module(&rings).unwrap();
    assert!(module.is_own() && module.is_own_field(&key("name")));
    assert!(!model.module(&items()).unwrap().is_own());
    assert!(matches!(
        revise(&mut source, own_module()),
        Err(OverlayRefusal::Conflict(_))
    ));
    let patch = object(json!({"label": "Band", "title_field": "name",
        "unique": [{"fields": ["name"]}]}));
    revise(&mut source, ModelChange::ModuleEdit(rings.clone(), patch)).unwrap();
    let module = source.overlay.merged(&source.definition, &rings).unwrap();
    assert_eq!(module.definition.label, "Band");
    let title = ModelChange::FieldRemove(rings.clone(), key("name"));
    assert!(matches!(
        revise(&mut source, title),
        Err(OverlayRefusal::Conflict(_))
    ));
    revise(&mut source, module_remove(rings.clone())).unwrap();
    assert_eq!(source.overlay, Overlay::default());
}

#[test]
fn what_is_derived_is_rebuilt_when_it_is_turned_on_changed_or_retired() {
    let plain = after([own_field()]);
    let compile = |source: &ModelSource| Model::compile(source.clone()).unwrap();
    let rebuilt = |before: &ModelSource, patch: Value| {
        let mut next = before.clone();
        revise(&mut next, field_edit("colour", patch)).unwrap();
        let found = rebuild(&compile(before), &compile(&next));
        let found = found.get(&items()).cloned().unwrap_or_default();
        ((found.fields.len(), found.building.len()), next)
    };
    assert!(
        rebuild(&compile(&after([])), &compile(&plain)).is_empty(),
        "a plain field needs none"
    );
    let (label, _) = rebuilt(&plain, json!({"label": "Shade"}));
    assert_eq!(label, (0, 0));
    let (on, indexed) = rebuilt(&plain, json!({"indexed": true}));
    assert_eq!(on, (1, 1));
    let (unique, _) = rebuilt(&indexed, json!({"unique": true}));
    assert_eq!(unique, (1, 1));
    let (off, _) = rebuilt(&indexed, json!({"indexed": false}));
    assert_eq!(off, (1, 0), "what it leaves is cleared away");
    let (retired, gone) = rebuilt(&indexed, json!({"retired": true}));
    assert_eq!(retired, (0, 0), "its rows are kept right");
    let (restored, _) = rebuilt(&gone, json!({"retired": false}));
    assert_eq!(restored, (0, 0));
    let mut german = indexed.clone();
    let language = object(json!({"language": "german"}));
    revise(&mut german, ModelChange::Settings(language)).unwrap();
    assert!(rebuild(&compile(&indexed), &compile(&german)).is_empty());
    let (_, searched) = rebuilt(&german, json!({"searchable": true}));
    let (retired, gone) = rebuilt(&searched, json!({"retired": true}));
    assert_eq!(retired, (1, 0), "its words go");
    let (restored, _) = rebuilt(&gone, json!({"retired": false}));
    assert_eq!(restored, (1, 1), "and come back");
    let mut french = searched.clone();
    let language = object(json!({"language": "french"}));
    revise(&mut french, ModelChange::Settings(language)).unwrap();
    let found = rebuild(&compile(&searched), &compile(&french));
    assert_eq!(found[&items()].building.len(), 1);
    assert!(found[&items()].words, "those of the other language go");
}

#[test]
fn what_the_store_cannot_hold_is_refused() {
    let source = after([own_field()]);
    for (name, patch, pointer) in [
        ("colour", json!({"label": "a\u{0}"}), "/label"),
        ("notes", json!({"help": "\u{0}"}), "/help"),
        (
            "cut",
            json!({"options": [{"value": "Fair", "label": "\u{0}"}]}),
            "/options",
        ),
    ] {
        let refused = violations(&source, field_edit(name, patch));
        assert_eq!(pairs(&refused), [(pointer, "characters")]);
    }
}
