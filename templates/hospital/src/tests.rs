use crm_expression::Expression;
use crm_plugin_sdk::testing::template_problems;
use serde_json::{Value, json};

fn model() -> Value {
    serde_json::from_str(&crate::model()).unwrap()
}

fn named<'a>(model: &'a Value, list: &str, key: &str, name: &str) -> &'a Value {
    model[list]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry[key] == name)
        .unwrap()
}

fn field<'a>(model: &'a Value, module: &str, key: &str) -> &'a Value {
    let fields = named(model, "modules", "slug", module)["fields"]
        .as_array()
        .unwrap();
    fields.iter().find(|field| field["key"] == key).unwrap()
}

fn evaluated(workflow: &str, field: &str, context: &Value) -> Value {
    let model = model();
    let step = &named(&model, "workflows", "slug", workflow)["steps"][0];
    let source = step["config"]["set"][field].as_str().unwrap();
    Expression::parse(source)
        .unwrap()
        .evaluate(context)
        .unwrap()
}

#[test]
fn the_files_fit_together() {
    assert_eq!(template_problems(&crate::model()), Vec::<String>::new());
}

#[test]
fn patients_are_as_the_specification_says() {
    let model = model();
    let full_name = field(&model, "patients", "full_name");
    assert_eq!(
        (&full_name["type"], &full_name["required"]),
        (&json!("text"), &json!(true))
    );
    let groups: Vec<&str> = field(&model, "patients", "blood_group")["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|option| option["value"].as_str().unwrap())
        .collect();
    assert_eq!(groups, ["A+", "A-", "B+", "B-", "AB+", "AB-", "O+", "O-"]);
    let rights = |role| named(&model, "roles", "slug", role)["permissions"].clone();
    assert_eq!(rights("owner"), json!({ "*": ["*"] }));
    assert_eq!(
        rights("admin")["patients"],
        json!(["read", "update", "export"])
    );
}

#[test]
fn every_field_that_a_step_sets_exists_and_is_granted() {
    let model = model();
    for workflow in model["workflows"].as_array().unwrap() {
        let module = workflow["module"].as_str().unwrap();
        if let Some(condition) = workflow["condition"].as_str() {
            Expression::parse(condition).unwrap();
        }
        for step in workflow["steps"].as_array().unwrap() {
            let plugin = step["action"].as_str().unwrap();
            let grant = &named(&model, "installs", "plugin", plugin)["grant"];
            for (key, source) in step["config"]["set"].as_object().unwrap() {
                field(&model, module, key);
                Expression::parse(source.as_str().unwrap()).unwrap();
                let writable = grant["writes"][module]["fields"].as_array().unwrap();
                assert!(writable.contains(&json!(key)), "{module}.{key}");
            }
        }
    }
}

#[test]
fn new_patients_are_welcomed() {
    let context = json!({
        "event": { "occurred_at": "2026-01-02T03:04:05Z" },
        "after": { "full_name": "Ada Lovelace" },
    });
    let note = evaluated("welcome", "welcome_note", &context);
    assert_eq!(
        note,
        json!("Welcome, Ada Lovelace. We are glad that you chose us.")
    );
    assert_eq!(
        evaluated("welcome", "registered_on", &context),
        json!("2026-01-02")
    );
}

#[test]
fn only_closed_appointments_get_a_summary() {
    let model = model();
    let condition = named(&model, "workflows", "slug", "closed")["condition"]
        .as_str()
        .unwrap();
    let condition = Expression::parse(condition).unwrap();
    for (status, closed) in [("completed", true), ("no_show", true), ("confirmed", false)] {
        let context = json!({ "after": { "status": status } });
        assert_eq!(condition.evaluate_bool(&context), Ok(closed), "{status}");
    }
    let context = json!({
        "event": { "occurred_at": "2026-01-02T03:04:05Z" },
        "after": { "status": "no_show" },
    });
    assert_eq!(
        evaluated("closed", "summary", &context),
        json!("Not attended on 2026-01-02")
    );
}
