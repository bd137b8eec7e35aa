//! Guests that misbehave: each run fails with a reason that people can read, is tried again, and
//! is dead in the end; nothing is half-written, and neighbours do not notice.

use crm_model::limits::{CHAIN_MAX_RETURNS, JOB_MAX_ATTEMPTS};
use crm_tests::app::TestApp;
use serde_json::json;

#[tokio::test]
async fn bad_runs_fail_readably_and_harm_nobody() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let (_, neighbour) = app.owner_of("hospital").await;
    let modes = [
        ("trap", vec!["the component trapped"]),
        // Which limit it meets first depends on how busy the machine is.
        ("spin", vec!["units of fuel", "took longer than"]),
        ("hoard", vec!["at most 32 MiB"]),
        ("nonsense", vec!["nonsense"]),
        ("overreach", vec!["may not write this field"]),
        ("half", vec!["the mutations are refused"]),
        ("postpone", vec!["not in the mood"]),
    ];
    let mut records = Vec::new();
    for (mode, _) in &modes {
        records.push(
            owner
                .create("victims", json!({"name": "v", "mode": mode}))
                .await,
        );
    }
    let patient = neighbour
        .create("patients", json!({"full_name": "Ada"}))
        .await;
    let good = neighbour.run("welcome", &patient, &["done", "dead"]).await;
    assert_eq!(good["status"], "done", "the neighbour's run: {good}");

    for ((mode, reasons), record) in modes.iter().zip(&records) {
        let run = owner.run(mode, record, &["done", "dead"]).await;
        assert_eq!(run["status"], "dead", "{mode}: {run}");
        assert_eq!(run["attempts"], JOB_MAX_ATTEMPTS, "{mode}");
        let log = run["log"].as_array().unwrap();
        assert_eq!(
            log.len(),
            usize::try_from(JOB_MAX_ATTEMPTS).unwrap(),
            "{mode}"
        );
        for attempt in log {
            let error = attempt["error"].as_str().unwrap();
            assert!(
                reasons.iter().any(|reason| error.contains(reason)),
                "{mode}: {error}"
            );
            assert_eq!(attempt["status"], "failed", "{mode}");
        }
        let path = format!("records/victims/{record}");
        let untouched = owner.get(&path).await.expect(200);
        assert_eq!(untouched["version"], 1, "{mode} wrote nothing");
    }
    let all = owner.get("records/victims?include=total").await.expect(200);
    assert_eq!(all["total"]["value"], modes.len(), "half a run is no run");
    owner.get("bootstrap").await.expect(200);
}

#[tokio::test]
async fn a_guest_that_gives_up_is_not_asked_again() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let record = owner
        .create("victims", json!({"name": "v", "mode": "give_up"}))
        .await;
    let run = owner.run("give_up", &record, &["done", "dead"]).await;
    assert_eq!(run["status"], "dead");
    assert_eq!(run["attempts"], 1);
    assert_eq!(run["error"], "this will never work");
}

#[tokio::test]
async fn a_guest_sees_and_says_what_it_may() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let data = json!({"name": "v", "mode": "tell", "secret": "hidden"});
    let record = owner.create("victims", data).await;
    owner.run("tell", &record, &["done"]).await;
    let told = owner
        .get(&format!("records/victims/{record}"))
        .await
        .expect(200);
    let note = told["data"]["note"].as_str().unwrap();
    assert!(note.contains("tell") && !note.contains("hidden"), "{note}");

    let record = owner
        .create("victims", json!({"name": "v", "mode": "chatter"}))
        .await;
    let run = owner.run("chatter", &record, &["done"]).await;
    let step = &run["log"][0]["steps"][0];
    assert_eq!(run["log"][0]["status"], "skipped");
    assert_eq!(step["log_truncated"], true);
    let lines = step["logs"].as_array().unwrap();
    let bytes: usize = lines
        .iter()
        .map(|line| line["message"].as_str().unwrap().len() + 1)
        .sum();
    assert!(bytes <= crm_model::limits::GUEST_LOG_MAX_BYTES);
    assert!(!lines.is_empty());
}

#[tokio::test]
async fn a_guest_cannot_reach_another_tenants_record() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hostile").await;
    let (_, mallory) = app.owner_of("hostile").await;
    let target = alice.create("victims", json!({"name": "target"})).await;
    let data = json!({"name": "v", "mode": "reach", "target": target});
    let foreign = mallory.create("victims", data.clone()).await;
    let run = mallory.run("reach", &foreign, &["done", "dead"]).await;
    assert_eq!(run["status"], "dead");
    assert!(
        run["error"].as_str().unwrap().contains("no such record"),
        "{run}"
    );
    let untouched = alice
        .get(&format!("records/victims/{target}"))
        .await
        .expect(200);
    assert_eq!(untouched["version"], 1);

    // The same mutation inside the tenant is fine: it is the tenant that made the difference.
    let own = alice.create("victims", data).await;
    let run = alice.run("reach", &own, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
}

#[tokio::test]
async fn a_plugin_may_no_more_than_the_person_behind_it() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hostile").await;
    // A clerk may create victims but not update them; the plugin may.
    let clerk = app.client(tenant, "clerk");
    let record = clerk
        .create("victims", json!({"name": "v", "mode": "tell"}))
        .await;
    let run = owner.run("tell", &record, &["done", "dead"]).await;
    assert_eq!(run["status"], "dead");
    assert!(
        run["error"]
            .as_str()
            .unwrap()
            .contains("your role may not update"),
        "{run}"
    );
}

#[tokio::test]
async fn a_chain_of_runs_is_cut() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let record = owner
        .create("victims", json!({"name": "v", "mode": "chain"}))
        .await;
    crm_tests::client::wait_until("the chain is cut", || async {
        let dead = owner
            .get(&format!("runs?status=dead&record_id={record}"))
            .await
            .expect(200);
        dead["data"].as_array().unwrap().len() == 1
    })
    .await;
    let path = format!("runs?record_id={record}&limit=200");
    let runs = owner.get(&path).await.expect(200)["data"]
        .as_array()
        .unwrap()
        .clone();
    let done = runs.iter().filter(|run| run["status"] == "done").count();
    // `chain` once, then `chain_on` once for the first time and for each return.
    assert_eq!(done, CHAIN_MAX_RETURNS + 2);
    let error = runs[0]["error"].as_str().unwrap();
    assert!(
        error.contains("the chain is cut here: it goes in circles"),
        "{error}"
    );
    assert!(
        error.ends_with("chain → chain_on → chain_on → chain_on → chain_on"),
        "{error}"
    );
    let counted = owner
        .get(&format!("records/victims/{record}"))
        .await
        .expect(200);
    assert_eq!(counted["data"]["counter"], CHAIN_MAX_RETURNS + 2);
}
