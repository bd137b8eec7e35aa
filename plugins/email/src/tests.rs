use super::*;
use crm_plugin_sdk::{Effect, json, testing};
use serde_json::Value;

fn config(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn mail(record: Value, extra: Value) -> Email {
    let mut all = json!({
        "to": ["{{ after.email }}"],
        "subject": "Welcome, {{ after.name }}",
        "text": "Hello {{ after.name }}",
    });
    let members = all.as_object_mut().unwrap();
    members.extend(extra.as_object().unwrap().clone());
    let event = testing::created("patients", record);
    match run(event, config(all)).unwrap().effects.as_slice() {
        [Effect::Email(mail)] => mail.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mail_is_written_from_the_record() {
    let extra = json!({
        "html": "<p>Hello {{ after.name }}</p>", "cc": ["desk@example.com", "{{ after.none }}"],
        "reply_to": "{{ after.of.nobody }}",
    });
    let record = json!({ "email": "ada@example.com", "name": "Ada <Lovelace>" });
    assert_eq!(
        mail(record, extra),
        Email {
            to: vec!["ada@example.com".to_owned()],
            cc: vec!["desk@example.com".to_owned()],
            reply_to: None,
            subject: "Welcome, Ada <Lovelace>".to_owned(),
            text: "Hello Ada <Lovelace>".to_owned(),
            html: Some("<p>Hello Ada &lt;Lovelace&gt;</p>".to_owned()),
        }
    );
}

#[test]
fn a_record_cannot_add_headers_to_the_mail() {
    let record = json!({ "email": "ada@example.com", "name": "Ada\r\nBcc: all@example.com" });
    let mail = mail(record, json!({}));
    assert_eq!(mail.subject, "Welcome, Ada Bcc: all@example.com");
}

#[test]
fn the_owner_of_the_record_can_be_written_to() {
    let _host = testing::host().record("patients", testing::RECORD_ID, json!({}));
    let record = json!({ "email": "ada@example.com" });
    let mail = mail(record, json!({ "to": ["{{ owner }}@example.com"] }));
    assert_eq!(mail.to, ["tester@example.com"]);
}

#[test]
fn files_are_written_from_the_record_too() {
    let host = testing::host();
    let event = testing::created(
        "visits",
        json!({ "email": "ada@example.com", "name": "Ada", "at": "20260503T090000Z" }),
    );
    let all = json!({
        "to": ["{{ after.email }}"], "subject": "x", "text": "x",
        "attachments": [
            { "name": "{{ after.name }}.ics", "media_type": "text/calendar",
              "text": "BEGIN:VEVENT\nDTSTART:{{ after.at }}\nEND:VEVENT" },
            { "name": "a\r\nb", "media_type": "text/plain", "text": "" },
        ],
    });
    let answer = run(event, config(all)).unwrap();
    assert_eq!(answer.effects.len(), 1);
    let attached = host.attached();
    let [visit, empty] = attached.as_slice() else {
        panic!("{attached:?}")
    };
    assert_eq!((visit.effect, visit.name.as_str()), (0, "Ada.ics"));
    assert_eq!(visit.media_type, "text/calendar");
    assert_eq!(
        visit.content,
        b"BEGIN:VEVENT\nDTSTART:20260503T090000Z\nEND:VEVENT"
    );
    assert_eq!(
        (empty.name.as_str(), empty.content.as_slice()),
        ("a b", &[][..])
    );
}

#[test]
fn without_an_address_there_is_nothing_to_do() {
    let event = testing::created("patients", json!({ "name": "Ada" }));
    let all = json!({ "to": ["{{ after.email }}"], "subject": "x", "text": "x" });
    let outcome = run(event, config(all.clone()));
    assert_eq!(
        outcome,
        Err(Failure::skip("there is no address to write to"))
    );
    let outcome = run(testing::deleted("patients", json!({})), config(all));
    assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
}

#[test]
fn messages_that_do_not_end_or_cannot_be_read_fail() {
    for (text, reason) in [
        (
            "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
            "out of fuel",
        ),
        ("{{ after.name", "line 1"),
        ("{{ after.name|none }}", "filter none is unknown"),
    ] {
        let _host = testing::host();
        let event = testing::created("patients", json!({ "email": "ada@example.com" }));
        let all = json!({ "to": ["{{ after.email }}"], "subject": "x", "text": text });
        let outcome = run(event, config(all));
        let Err(Failure::Fail(message)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(message.contains(reason), "{message}");
    }
}
