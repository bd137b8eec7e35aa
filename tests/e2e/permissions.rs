//! Fields that a role hides, masks or makes read-only: by no way in and no way out do people see
//! or change more than their roles leave them.

use crm_model::TenantId;
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use crm_tests::cluster::cluster;
use serde_json::{Value, json};

const SECRET: &str = "zeppelin";
const HIDDEN: [&str; 3] = ["notes", "email", "date_of_birth"];

/// A hospital with one patient, and a clerk who does not see all of her.
struct Ward {
    app: TestApp,
    tenant: TenantId,
    owner: Client,
    clerk: Client,
    /// The patient's path below the API.
    path: String,
    id: String,
}

async fn ward() -> Ward {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let role = json!({"slug": "clerk", "label": "Clerk",
    "permissions": {
        "patients": ["create", "read", "update", "delete", "export", "import"],
        "appointments": ["create", "read", "update"],
        "doctors": ["create", "read"],
    },
    "fields": {"patients": {
        "notes": "hidden", "email": "hidden", "date_of_birth": "hidden",
        "phone": "masked", "insurance_number": "read_only",
    }}});
    owner.post("roles", role).await.expect(201);
    let id = owner.create("patients", ada()).await;
    Ward {
        clerk: app.client(tenant, "clerk"),
        path: format!("records/patients/{id}"),
        app,
        tenant,
        owner,
        id,
    }
}

fn ada() -> Value {
    json!({"full_name": "Ada", "notes": SECRET, "email": format!("{SECRET}@example.org"),
        "date_of_birth": "1815-12-10", "phone": "+41441234567", "insurance_number": "I-1"})
}

fn seen() -> Value {
    json!({"full_name": "Ada", "phone": "••••4567", "insurance_number": "I-1"})
}

/// That an answer says nothing of what is hidden or behind the mask.
#[track_caller]
fn says_nothing(answer: &Value) {
    let text = answer.to_string();
    for word in [
        SECRET,
        "1815-12",
        "+41441234567",
        "\"notes\"",
        "\"email\"",
        "date_of_birth",
    ] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

fn body_without_name(answer: &Answer, name: &str) -> String {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("request_id");
    body.to_string().replace(name, "…")
}

/// The answer about a hidden field is the one about the field `xyzzy`, which there never was.
#[track_caller]
fn answers_as_unknown(status: u16, (hidden, name): (&Answer, &str), unknown: &Answer) {
    assert_eq!(hidden.status, status, "{name}: {}", hidden.body);
    assert_eq!(
        body_without_name(hidden, name),
        body_without_name(unknown, "xyzzy"),
        "hidden and unknown answer alike"
    );
}

#[tokio::test]
async fn records_and_lists_are_shown_without_what_is_hidden() {
    let ward = ward().await;
    let record = ward.clerk.get(&ward.path).await.expect(200);
    assert_eq!(record["data"], seen());
    let list = ward.clerk.get("records/patients").await.expect(200);
    assert_eq!(list["data"][0]["data"], seen());
    let list = ward
        .clerk
        .get("records/patients?fields=phone")
        .await
        .expect(200);
    assert_eq!(list["data"][0]["data"], json!({"phone": "••••4567"}));
    let whole = ward.owner.get(&ward.path).await.expect(200);
    assert_eq!(whole["data"]["notes"], SECRET);
}

#[tokio::test]
async fn nobody_looks_records_up_by_what_they_do_not_see() {
    let ward = ward().await;
    for name in HIDDEN {
        for query in ["fields=@", "sort=@", "@=eq.x", "expand=@"] {
            let of = |name: &str| format!("records/patients?{}", query.replace('@', name));
            let hidden = ward.clerk.get(&of(name)).await;
            let unknown = ward.clerk.get(&of("xyzzy")).await;
            answers_as_unknown(422, (&hidden, name), &unknown);
        }
    }
    for query in [
        "sort=phone",
        "phone=eq.%2B41441234567",
        "phone=starts_with.%2B41",
    ] {
        let answer = ward.clerk.get(&format!("records/patients?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
    }
    let filter = json!({"filter": {"field": "notes", "op": "contains", "value": "z"}});
    let answer = ward.clerk.post("records/patients/query", filter).await;
    assert_eq!(answer.status, 422);
}

#[tokio::test]
async fn aggregates_take_no_field_that_is_not_seen() {
    let ward = ward().await;
    for wanted in [
        json!({"group_by": ["date_of_birth"]}),
        json!({"group_by": ["phone"]}),
        json!({"metrics": [{"op": "min", "field": "date_of_birth"}]}),
        json!({"metrics": [{"op": "count", "field": "notes"}]}),
        json!({"filter": {"field": "email", "op": "is_not_empty"}}),
    ] {
        let path = "records/patients/aggregate";
        assert_eq!(
            ward.clerk.post(path, wanted.clone()).await.status,
            422,
            "{wanted}"
        );
        ward.owner.post(path, wanted).await.expect(200);
    }
}

#[tokio::test]
async fn relations_lead_to_no_hidden_field() {
    let ward = ward().await;
    let doctor = json!({"full_name": "Dr. No", "specialty": "other"});
    let doctor = ward.owner.create("doctors", doctor).await;
    let visit =
        json!({"patient": ward.id, "doctor": doctor, "scheduled_at": "2026-01-01T10:00:00Z"});
    ward.owner.create("appointments", visit).await;
    let list = ward
        .clerk
        .get("records/appointments?expand=patient")
        .await
        .expect(200);
    says_nothing(&list);
    assert!(list.to_string().contains("••••4567"), "{list}");
    for query in [
        "patient.notes=eq.zeppelin",
        "patient.date_of_birth=gt.1800-01-01",
    ] {
        let answer = ward
            .clerk
            .get(&format!("records/appointments?{query}"))
            .await;
        assert_eq!(answer.status, 422, "{query}");
    }
}

#[tokio::test]
async fn words_of_hidden_fields_find_nothing() {
    let ward = ward().await;
    ward.owner
        .create("patients", json!({"full_name": "Graf Zeppelin"}))
        .await;
    let names = |list: Value, key: &str| -> Vec<String> {
        let rows = list["data"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row.pointer(key).unwrap().as_str().unwrap().to_owned())
            .collect()
    };
    for word in [SECRET, "zepp", "%2B41441234567", "zeppelin%40example.org"] {
        let list = ward
            .clerk
            .get(&format!("records/patients?q={word}&include=total"))
            .await;
        let list = list.expect(200);
        let total = list["total"]["value"].clone();
        let found = ward
            .clerk
            .get(&format!("search?q={word}"))
            .await
            .expect(200);
        assert_eq!(found["next_cursor"], Value::Null);
        says_nothing(&json!([
            list["data"][0]["data"]["notes"],
            found["data"][0]["record"]["data"]["email"]
        ]));
        let expected: &[&str] = if word.starts_with("zepp") && !word.contains("example") {
            &["Graf Zeppelin"]
        } else {
            &[]
        };
        assert_eq!(names(list, "/data/full_name"), expected, "list {word}");
        assert_eq!(total, expected.len(), "{word}");
        assert_eq!(names(found, "/title"), expected, "search {word}");
    }
    let all = ward.owner.get("search?q=zeppelin").await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn pages_of_a_search_are_full_whatever_is_hidden_between() {
    let ward = ward().await;
    for number in 0..6 {
        let data = match number % 2 {
            0 => json!({"full_name": format!("Otto {number}"), "email": "x@example.org"}),
            _ => json!({"full_name": format!("Emil {number}"), "email": "otto@example.org"}),
        };
        ward.owner.create("patients", data).await;
    }
    let page = ward.clerk.get("search?q=otto&limit=2").await.expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let cursor = page["next_cursor"].as_str().unwrap();
    let last = ward
        .clerk
        .get(&format!("search?q=otto&limit=2&cursor={cursor}"))
        .await;
    let last = last.expect(200);
    assert_eq!(last["data"].as_array().unwrap().len(), 1);
    assert_eq!(last["next_cursor"], Value::Null);
}

#[tokio::test]
async fn exports_hold_what_is_seen() {
    let ward = ward().await;
    for format in ["csv", "ndjson"] {
        let path = format!("records/patients/export?format={format}");
        let file = ward.clerk.get(&path).await;
        assert_eq!(file.status, 200);
        says_nothing(&file.body);
        assert!(file.body.to_string().contains("••••4567"), "{}", file.body);
        let named = ward.clerk.get(&format!("{path}&fields=notes")).await;
        let unknown = ward.clerk.get(&format!("{path}&fields=xyzzy")).await;
        answers_as_unknown(422, (&named, "notes"), &unknown);
    }
}

#[tokio::test]
async fn histories_and_timelines_tell_nothing_of_hidden_fields() {
    let ward = ward().await;
    let changes =
        json!({"data": {"notes": "zeppelins", "phone": "+41441234568", "full_name": "B"}});
    ward.owner.patch(&ward.path, changes).await.expect(200);
    for path in [
        format!("{}/history", ward.path),
        format!("{}/timeline", ward.path),
        "timeline?user=owner-1".to_owned(),
    ] {
        let answer = ward.clerk.get(&path).await.expect(200);
        says_nothing(&answer);
        assert!(!answer.to_string().contains("Notes"), "{answer}");
        assert!(answer.to_string().contains("full_name"), "{answer}");
    }
    let of = |field: &str| format!("{}/history?field={field}", ward.path);
    let hidden = ward.clerk.get(&of("notes")).await;
    let unknown = ward.clerk.get(&of("xyzzy")).await;
    answers_as_unknown(422, (&hidden, "notes"), &unknown);
}

#[tokio::test]
async fn a_conflict_tells_nothing_of_hidden_fields() {
    let ward = ward().await;
    for data in [
        json!({"notes": "zeppelin 2"}),
        json!({"phone": "+41441234560"}),
        json!({"full_name": "B"}),
    ] {
        ward.owner
            .patch(&ward.path, json!({ "data": data }))
            .await
            .expect(200);
    }
    let wanted = json!({"data": {"notes": "x", "phone": "+41449999999", "full_name": "C"}});
    let answer = ward.clerk.patch_if(&ward.path, "\"1\"", wanted).await;
    assert_eq!(answer.status, 412, "{}", answer.body);
    says_nothing(&answer.body);
    let conflicts = answer.body["conflicts"].as_array().unwrap();
    let fields: Vec<&Value> = conflicts
        .iter()
        .map(|conflict| &conflict["field"])
        .collect();
    assert_eq!(fields, ["full_name", "phone"]);
    assert_eq!(conflicts[1]["theirs"], "••••4560");
}

#[tokio::test]
async fn the_model_is_shown_without_hidden_fields() {
    let ward = ward().await;
    let rule = json!({"key": "allergic", "label": "Allergic", "type": "text",
        "required_if": "record.notes == 'allergic'"});
    ward.owner
        .post("modules/patients/fields", rule)
        .await
        .expect(201);
    for path in [
        "modules",
        "modules/patients",
        "modules/patients/fields?include=retired",
        "modules/patients/schema",
        "bootstrap",
    ] {
        let mut answer = ward.clerk.get(path).await.expect(200);
        // Other modules have fields of the same names.
        if let Some(modules) = answer
            .get_mut("modules")
            .or(None)
            .and_then(Value::as_array_mut)
        {
            modules.retain(|module| module["slug"] == "patients");
        }
        if let Some(modules) = answer.get_mut("data").and_then(Value::as_array_mut) {
            modules.retain(|module| {
                !["appointments", "doctors"].contains(&module["slug"].as_str().unwrap_or_default())
            });
        }
        says_nothing(&answer);
        assert!(
            !answer.to_string().contains("record.notes"),
            "{path}: {answer}"
        );
    }
    let gone = ward.clerk.get("modules/patients/fields/notes").await;
    let unknown = ward.clerk.get("modules/patients/fields/xyzzy").await;
    answers_as_unknown(404, (&gone, "notes"), &unknown);
    let phone = ward
        .clerk
        .get("modules/patients/fields/phone")
        .await
        .expect(200);
    assert_eq!(phone["access"], "masked");
    let bootstrap = ward.clerk.get("bootstrap").await.expect(200);
    let fields = json!({"patients": {"phone": "masked", "insurance_number": "read_only"}});
    assert_eq!(bootstrap["field_permissions"], fields);
}

#[tokio::test]
async fn writing_to_a_hidden_field_answers_as_to_an_unknown_one() {
    let ward = ward().await;
    let of = |name: &str, value: Value| json!({"data": {"full_name": "Ada", name: value}});
    for value in [json!(SECRET), json!("other"), json!(7), json!({"a": "b"})] {
        for name in HIDDEN {
            let hidden = ward.clerk.patch(&ward.path, of(name, value.clone())).await;
            let unknown = ward
                .clerk
                .patch(&ward.path, of("xyzzy", value.clone()))
                .await;
            answers_as_unknown(422, (&hidden, name), &unknown);
            let hidden = ward
                .clerk
                .post("records/patients", of(name, value.clone()))
                .await;
            let unknown = ward
                .clerk
                .post("records/patients", of("xyzzy", value.clone()))
                .await;
            answers_as_unknown(422, (&hidden, name), &unknown);
        }
    }
    let near = ward
        .clerk
        .patch(&ward.path, json!({"data": {"note": "x"}}))
        .await;
    assert!(!near.body.to_string().contains("notes"), "{}", near.body);
}

#[tokio::test]
async fn what_is_hidden_stays_whatever_is_written() {
    let ward = ward().await;
    let patched = ward
        .clerk
        .patch(&ward.path, json!({"data": {"full_name": "B"}}))
        .await
        .expect(200);
    says_nothing(&patched);
    let mut sent = seen();
    sent["full_name"] = json!("C");
    let put = ward
        .clerk
        .put(&ward.path, json!({ "data": sent }))
        .await
        .expect(200);
    says_nothing(&put);
    let mut whole = ada();
    whole["full_name"] = json!("C");
    assert_eq!(ward.owner.get(&ward.path).await.expect(200)["data"], whole);
    let created = ward
        .clerk
        .post("records/patients", json!({"data": {"full_name": "D"}}))
        .await;
    says_nothing(&created.expect(201));
}

#[tokio::test]
async fn a_mask_is_never_written_and_what_is_behind_it_not_guessed() {
    let ward = ward().await;
    let read = ward.clerk.get(&ward.path).await.expect(200);
    let sent_back = ward
        .clerk
        .patch(&ward.path, json!({"data": read["data"]}))
        .await;
    assert_eq!(
        sent_back.expect(200)["version"],
        read["version"],
        "nothing changed"
    );
    let refusals: Vec<Answer> = {
        let mut answers = Vec::new();
        for guess in ["+41441234567", "+41440000000", "••••1111"] {
            let data = json!({"data": {"phone": guess}});
            answers.push(ward.clerk.patch(&ward.path, data).await);
        }
        answers
    };
    for refusal in refusals {
        assert_eq!(
            refusal.violations(),
            [("/data/phone".to_owned(), "read_only".to_owned())]
        );
    }
    let new = json!({"data": {"full_name": "E", "phone": "+41441234567"}});
    assert_eq!(ward.clerk.post("records/patients", new).await.status, 422);
    assert_eq!(ward.owner.get(&ward.path).await.expect(200)["data"], ada());
}

#[tokio::test]
async fn a_read_only_field_takes_no_other_value() {
    let ward = ward().await;
    let same = json!({"data": {"insurance_number": "I-1"}});
    ward.clerk.patch(&ward.path, same).await.expect(200);
    let other = json!({"data": {"insurance_number": "I-2"}});
    let refused = ward.clerk.patch(&ward.path, other.clone()).await;
    assert_eq!(
        refused.violations(),
        [("/data/insurance_number".to_owned(), "read_only".to_owned())]
    );
    ward.owner.patch(&ward.path, other).await.expect(200);
}

#[tokio::test]
async fn bulk_requests_find_and_write_no_hidden_field() {
    let ward = ward().await;
    let unique = json!({"key": "file", "label": "File", "type": "text", "unique": true});
    ward.owner
        .post("modules/patients/fields", unique)
        .await
        .expect(201);
    ward.owner
        .patch(&ward.path, json!({"data": {"file": "F1"}}))
        .await
        .expect(200);
    let hide = json!({"fields": {"patients": {"file": "hidden"}}});
    ward.owner.patch("roles/clerk", hide).await.expect(200);
    let upsert = |field: &str, value: &str| {
        json!({"atomic": false, "operations": [{"op": "upsert",
            "match": {"field": field, "value": value}, "data": {"full_name": "X"}}]})
    };
    let path = "records/patients/bulk";
    let there = ward.clerk.post(path, upsert("file", "F1")).await;
    let nowhere = ward.clerk.post(path, upsert("file", "F2")).await;
    let unknown = ward.clerk.post(path, upsert("xyzzy", "F1")).await;
    assert_eq!(
        body_without_name(&there, "file"),
        body_without_name(&nowhere, "file")
    );
    assert_eq!(
        body_without_name(&there, "file"),
        body_without_name(&unknown, "xyzzy")
    );
    let write = json!({"atomic": true, "operations": [
        {"op": "update", "id": ward.id, "data": {"notes": "x"}}]});
    let refused = ward.clerk.post(path, write).await;
    assert!(
        refused.body.to_string().contains("unknown_field"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_taken_value_that_is_hidden_is_not_named() {
    let ward = ward().await;
    let rule = json!({"slug": "beds", "label": "Bed", "unique": [{"fields": ["ward", "code"]}],
        "fields": [
            {"key": "ward", "label": "Ward", "type": "text"},
            {"key": "code", "label": "Code", "type": "text", "default": "c"}]});
    ward.owner.post("modules", rule).await.expect(201);
    let role = json!({"permissions": {"beds": ["create", "read"]}, "fields": {"beds": {"code": "hidden"}}});
    ward.owner.patch("roles/clerk", role).await.expect(200);
    let bed = json!({"data": {"ward": "A"}});
    ward.clerk
        .post("records/beds", bed.clone())
        .await
        .expect(201);
    let taken = ward.clerk.post("records/beds", bed).await;
    assert_eq!(taken.status, 409);
    assert!(
        !taken.body.to_string().contains("code\":\"c"),
        "{}",
        taken.body
    );
    assert_eq!(
        taken.violations(),
        [("/data/ward".to_owned(), "unique".to_owned())]
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_hidden_field_is_told_without_its_name() {
    let ward = ward().await;
    let needed = json!({"key": "consent", "label": "Consent", "type": "text", "required": true});
    ward.owner
        .post("modules/patients/fields", needed)
        .await
        .expect(201);
    let hide = json!({"fields": {"patients": {"consent": "hidden"}}});
    ward.owner.patch("roles/clerk", hide).await.expect(200);
    let refused = ward
        .clerk
        .post("records/patients", json!({"data": {"full_name": "F"}}))
        .await;
    assert_eq!(
        refused.violations(),
        [("/data".to_owned(), "not_yours".to_owned())]
    );
    assert!(
        !refused.body.to_string().contains("consent"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn an_import_fills_no_field_that_is_not_open() {
    let ward = ward().await;
    let file = "full_name,notes,phone,xyzzy\nG,n,+41441234567,x\n";
    let import = ward.clerk.upload("patients", file).await.expect(201);
    let columns = import["columns"].as_array().unwrap();
    let fields: Vec<&Value> = columns.iter().map(|column| &column["field"]).collect();
    assert_eq!(
        fields,
        [
            &json!("full_name"),
            &Value::Null,
            &Value::Null,
            &Value::Null
        ]
    );
    let run = format!("imports/{}/run", import["id"].as_str().unwrap());
    for (field, code) in [
        ("notes", "unknown_field"),
        ("xyzzy", "unknown_field"),
        ("phone", "read_only"),
    ] {
        let mapping = json!({"mapping": {"full_name": "full_name", "phone": field}});
        let refused = ward.clerk.post(&run, mapping).await;
        assert_eq!(
            refused.violations(),
            [("/mapping/phone".to_owned(), code.to_owned())]
        );
    }
}

#[tokio::test]
async fn a_view_names_no_hidden_field() {
    let ward = ward().await;
    let view = json!({"module": "patients", "name": "All", "shared": true,
        "columns": ["full_name", "notes", "phone"], "sort": ["-date_of_birth"],
        "filter": {"field": "notes", "op": "contains", "value": SECRET}});
    let refused = ward.clerk.post("views", view.clone()).await;
    assert_eq!(refused.status, 422);
    let view = ward.owner.post("views", view).await.expect(201);
    let read = ward
        .clerk
        .get(&format!("views/{}", view["id"].as_str().unwrap()))
        .await;
    let read = read.expect(200);
    assert_eq!(read["columns"], json!(["full_name", "phone"]));
    assert_eq!((&read["sort"], &read["filter"]), (&json!([]), &Value::Null));
    says_nothing(&ward.clerk.get("views").await.expect(200));
}

#[tokio::test]
async fn a_copy_takes_along_what_is_open() {
    let ward = ward().await;
    let copy = ward
        .clerk
        .post(&format!("{}/clone", ward.path), json!({"data": {}}))
        .await;
    let copy = copy.expect(201);
    let path = format!("records/patients/{}", copy["id"].as_str().unwrap());
    let whole = ward.owner.get(&path).await.expect(200);
    assert_eq!(whole["data"], json!({"full_name": "Ada"}));
}

#[tokio::test]
async fn a_plugin_sees_and_writes_what_the_person_may() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let limits = json!({"fields": {"patients": {"full_name": "masked"}}});
    let role = |fields: Value| {
        json!({"slug": "clerk", "label": "Clerk",
            "permissions": {"patients": ["create", "read", "update"]}, "fields": fields["fields"]})
    };
    owner.post("roles", role(limits)).await.expect(201);
    let id = owner
        .create("patients", json!({"full_name": "Ada Lovelace"}))
        .await;
    owner.run("welcome", &id, &["done"]).await;
    let clerk = app.client(tenant, "clerk");
    let shout = json!({"slug": "shout", "name": "Shout", "module": "patients",
        "trigger": {"on": "record_updated", "fields": ["gender"]},
        "steps": [{"action": "field-set", "config": {"set": {"welcome_note": "upper(after.full_name)"}}}]});
    owner.post("workflows", shout).await.expect(201);
    let path = format!("records/patients/{id}");
    clerk
        .patch(&path, json!({"data": {"gender": "female"}}))
        .await
        .expect(200);
    owner.run("shout", &id, &["done"]).await;
    let note = owner.get(&path).await.expect(200)["data"]["welcome_note"].clone();
    assert_eq!(note, "••••LACE", "the plugin was shown the mask");
    let no_note =
        json!({"fields": {"patients": {"full_name": "open", "welcome_note": "read_only"}}});
    owner.patch("roles/clerk", no_note).await.expect(200);
    clerk
        .patch(&path, json!({"data": {"gender": "male"}}))
        .await
        .expect(200);
    let run = owner.get("runs?workflow=shout&limit=1").await.expect(200);
    assert_eq!(run["data"].as_array().unwrap().len(), 1);
    let after = owner.get(&path).await.expect(200);
    assert_eq!(
        after["data"]["welcome_note"], "••••LACE",
        "what the person may not write stays"
    );
}

#[tokio::test]
async fn several_roles_add_up_and_a_change_holds_at_once() {
    let ward = ward().await;
    let open = json!({"slug": "billing", "label": "Billing", "permissions": {"patients": ["read"]},
        "fields": {"patients": {"notes": "hidden", "date_of_birth": "hidden", "phone": "hidden"}}});
    ward.owner.post("roles", open).await.expect(201);
    let both = json!({"user_id": "clerk-1", "roles": ["billing"]});
    ward.owner.post("members", both).await.expect(201);
    let data = ward.clerk.get(&ward.path).await.expect(200)["data"].clone();
    assert_eq!(
        data["email"],
        format!("{SECRET}@example.org"),
        "billing shows the e-mail"
    );
    assert_eq!(data["phone"], "••••4567", "masked is more than hidden");
    assert_eq!(data.get("notes"), None);
    let write = ward
        .clerk
        .patch(&ward.path, json!({"data": {"email": "a@example.org"}}))
        .await;
    assert_eq!(
        write.violations(),
        [("/data/email".to_owned(), "read_only".to_owned())],
        "shown by one role, writable by none"
    );
    let viewer = ward.app.client(ward.tenant, "viewer");
    assert_eq!(viewer.get(&ward.path).await.expect(200)["data"], ada());
}

#[tokio::test]
async fn who_manages_a_module_computes_nothing_from_what_is_hidden() {
    let ward = ward().await;
    let manage = json!({"permissions": {
        "patients": ["create", "read", "update", "manage"], "appointments": ["read", "manage"]}});
    ward.owner.patch("roles/clerk", manage).await.expect(200);
    let formula = |expression: &str| {
        json!({"key": "copy", "label": "Copy", "type": "formula", "result": "text",
            "expression": expression})
    };
    let path = "modules/patients/fields";
    assert_eq!(
        ward.clerk.post(path, formula("record.notes")).await.status,
        422
    );
    let behind = formula("record.patient.email");
    assert_eq!(
        ward.clerk
            .post("modules/appointments/fields", behind)
            .await
            .status,
        422
    );
    // Appointments have notes of their own, which the clerk sees.
    let own = formula("record.notes");
    ward.clerk
        .post("modules/appointments/fields", own)
        .await
        .expect(201);
    let rule = json!({"help": "x", "required_if": "record.notes == 'zeppelin'"});
    let open = json!({"key": "open", "label": "Open", "type": "text"});
    ward.clerk.post(path, open).await.expect(201);
    assert_eq!(
        ward.clerk.patch(&format!("{path}/open"), rule).await.status,
        422
    );
    ward.clerk
        .post(path, formula("record.full_name"))
        .await
        .expect(201);
    for name in ["notes", "xyzzy"] {
        let answer = ward
            .clerk
            .patch(&format!("{path}/{name}"), json!({"label": "N"}))
            .await;
        assert_eq!(answer.status, 404, "{name}");
    }
    assert_eq!(
        ward.clerk.delete(&format!("{path}/notes")).await.status,
        404
    );
}

#[tokio::test]
async fn the_log_of_runs_shows_what_its_reader_sees() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let role = json!({"slug": "chief", "label": "Chief", "permissions": {"patients": ["*"]},
        "fields": {"patients": {"full_name": "masked", "welcome_note": "hidden"}}});
    owner.post("roles", role).await.expect(201);
    let id = owner
        .create("patients", json!({"full_name": "Ada Lovelace"}))
        .await;
    let run = owner.run("welcome", &id, &["done"]).await;
    assert!(run.to_string().contains("Ada Lovelace"));
    let path = format!("runs/{}", run["id"].as_str().unwrap());
    let chief = app.client(tenant, "chief").get(&path).await.expect(200);
    let log = &chief["log"][0];
    assert!(!log.to_string().contains("Ada"), "{log}");
    assert_eq!(log["input"]["event"]["after"]["full_name"], "••••lace");
    assert_eq!(
        log["mutations"][0]["patch"].get("welcome_note"),
        None,
        "{log}"
    );
}

#[tokio::test]
async fn a_relation_that_stands_in_the_way_is_named_to_who_sees_it() {
    let ward = ward().await;
    let doctor = json!({"full_name": "Dr. No", "specialty": "other"});
    let doctor = ward.owner.create("doctors", doctor).await;
    let visit =
        json!({"patient": ward.id, "doctor": doctor, "scheduled_at": "2026-01-01T10:00:00Z"});
    ward.owner.create("appointments", visit).await;
    let named = ward.clerk.delete(&ward.path).await;
    assert_eq!(named.status, 409);
    assert!(
        named.body.to_string().contains("“patient”"),
        "{}",
        named.body
    );
    let hide = json!({"fields": {"appointments": {"patient": "hidden"}}});
    ward.owner.patch("roles/clerk", hide).await.expect(200);
    let unnamed = ward.clerk.delete(&ward.path).await;
    assert_eq!(unnamed.status, 409);
    assert!(
        !unnamed.body.to_string().contains("“patient”"),
        "{}",
        unnamed.body
    );
}
