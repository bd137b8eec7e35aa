//! Where calls run, and how much of a processor they have: what was long out of the way, what was
//! stopped in bursts.

use crm_sandbox::{
    ActionCall, ActionReport, Answering, GuestHost, GuestLimits, LimitOverrides, NoHost, Plugin,
    Question, Sandbox,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

use crate::guests::{Answer, SPIN, action, answering};
use crate::{call, sandbox, usual};

/// Says no to everything, and on which thread the call ended.
struct Ends(Arc<Mutex<Option<String>>>);

impl GuestHost for Ends {
    fn answer<'a>(&'a mut self, _: &'a Question) -> Answering<'a> {
        unreachable!("the guest imports nothing")
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = std::thread::current().name().map(str::to_owned);
    }
}

/// On which thread a call ends, and how.
async fn ended(
    sandbox: &Sandbox,
    plugin: &Arc<Plugin>,
    call: ActionCall,
) -> (String, ActionReport) {
    let thread = Arc::new(Mutex::new(None));
    let host = Box::new(Ends(Arc::clone(&thread)));
    let report = sandbox.run_action(plugin, call, host).await;
    let thread = thread.lock().unwrap().take();
    (thread.unwrap(), report)
}

#[tokio::test]
async fn what_was_long_begins_out_of_the_way() {
    let sandbox = sandbox(GuestLimits {
        fuel_max_units: u64::MAX,
        call_max: Duration::from_millis(200),
        ..usual()
    });
    let plugin = sandbox.load(&action(SPIN)).unwrap();
    let ended = async |fuel: Option<u64>| {
        let call = ActionCall {
            plan: LimitOverrides {
                fuel_max_units: fuel,
                ..LimitOverrides::default()
            },
            ..call()
        };
        let (thread, report) = ended(&sandbox, &plugin, call).await;
        assert!(report.outcome.is_err());
        thread
    };
    let (short, long) = (Some(1_000), None);
    assert_eq!(ended(short).await, "guest");
    assert_eq!(ended(long).await, "long-guest");
    // Because the one before was long, and then because it was not.
    assert_eq!(ended(short).await, "long-guest");
    assert_eq!(ended(short).await, "guest");
}

/// Stops a guest that loops, so that its tenant's next calls are on probation.
async fn on_probation(sandbox: &Sandbox, plugin: &Arc<Plugin>) -> ActionCall {
    let call = ActionCall {
        tenant: Some(TENANT.parse().unwrap()),
        ..call()
    };
    let report = sandbox.run_action(plugin, call.clone(), Box::new(NoHost));
    assert!(report.await.outcome.is_err());
    call
}

const TENANT: &str = "018f4e6a-7c1e-7000-8000-0000000000aa";

#[tokio::test]
async fn what_was_stopped_computes_in_bursts_for_that_tenant_and_nobody_else() {
    let sandbox = sandbox(usual());
    let spinning = sandbox.load(&action(SPIN)).unwrap();
    let good = answering("", &Answer::creates(0, b"", ""));
    let good = sandbox.load(&good).unwrap();
    let call = on_probation(&sandbox, &spinning).await;
    let others = ActionCall {
        tenant: Some("018f4e6a-7c1e-7000-8000-0000000000bb".parse().unwrap()),
        ..call.clone()
    };
    let nobodys = ActionCall {
        tenant: None,
        ..call.clone()
    };
    for (plugin, call, thread) in [
        (&spinning, &call, "burst-guest"),
        (&spinning, &others, "long-guest"),
        (&spinning, &nobodys, "long-guest"),
        (&good, &call, "guest"),
    ] {
        let (ended_on, _) = ended(&sandbox, plugin, call.clone()).await;
        assert_eq!(ended_on, thread);
    }
}

#[tokio::test]
async fn on_probation_a_call_takes_the_same_fuel() {
    let sandbox = sandbox(usual());
    let spinning = sandbox.load(&action(SPIN)).unwrap();
    let call = on_probation(&sandbox, &spinning).await;
    let report = sandbox.run_action(&spinning, call, Box::new(NoHost)).await;
    assert_eq!(report.outcome.unwrap_err().code(), "out_of_fuel");
    assert_eq!(report.fuel, 200_000_000);
}

#[tokio::test]
async fn on_probation_calls_rest_most_of_the_time_and_are_stopped_when_it_is_over() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX,
        call_max: Duration::from_millis(300),
        ..usual()
    };
    let sandbox = Arc::new(sandbox(limits));
    let spinning = sandbox.load(&action(SPIN)).unwrap();
    let call = on_probation(&sandbox, &spinning).await;
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (sandbox, spinning, call) = (sandbox.clone(), spinning.clone(), call.clone());
        calls.spawn(async move { sandbox.run_action(&spinning, call, Box::new(NoHost)).await });
    }
    let reports = calls.join_all().await;
    let fuel: u64 = reports.iter().map(|report| report.fuel).sum();
    for report in reports {
        let failure = report.outcome.unwrap_err();
        let expected = "the component took longer than 300 ms; it was let compute little of that, \
                        because a call of it was stopped less than 10 s before";
        assert_eq!(failure.to_string(), expected);
    }
    // Those who do not rest take some 400 million on a machine that is free, and these 14 million.
    assert!(fuel < 30_000_000, "{fuel}");
}
