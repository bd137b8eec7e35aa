//! Two instances that are stopped and started in turn under steady load: each stops in time, and
//! whoever was let in is answered.

use crm_cli::host::SHUTDOWN_MAX;
use crm_tests::client::{Answer, Client};
use crm_tests::cluster::cluster;
use reqwest::Method;
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use super::load::{Load, Look, Office, Way};
use crate::command::{Serving, serving_only};

const RESTARTS: usize = 20;
/// How long an instance may take to stop; it takes no more than its own deadline itself.
const STOP_MAX: Duration = Duration::from_secs(25);
const _: () = assert!(SHUTDOWN_MAX.as_secs() < STOP_MAX.as_secs());
const PAUSE: Duration = Duration::from_millis(10);

/// Takes requests to either instance in turn that says it is ready; to the other one where a
/// connection is refused, and never twice where it was not.
#[derive(Clone)]
struct Balancer {
    instances: Arc<[Instance; 2]>,
    next: Arc<AtomicUsize>,
}

struct Instance {
    client: RwLock<Client>,
    is_ready: AtomicBool,
}

impl Instance {
    fn new(client: Client) -> Self {
        Self {
            client: RwLock::new(client),
            is_ready: AtomicBool::new(true),
        }
    }

    fn client(&self) -> Client {
        self.client.read().unwrap().clone()
    }
}

impl Balancer {
    /// Asks instances whether they are ready, again and again.
    async fn watch(self) {
        loop {
            for instance in &*self.instances {
                let asked = instance
                    .client()
                    .try_call(Method::GET, "/readyz", &[], None)
                    .await;
                let is_ready = asked.is_ok_and(|answer| answer.status == 200);
                instance.is_ready.store(is_ready, Ordering::Relaxed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<String>,
    ) -> Answer {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let [one, other] = &*self.instances;
            let pair = if next.is_multiple_of(2) {
                [one, other]
            } else {
                [other, one]
            };
            let ready = pair.iter().find(|one| one.is_ready.load(Ordering::Relaxed));
            let client = ready.unwrap_or(&pair[0]).client();
            // Some keep their connections, some do not.
            let close = (next % 4 < 2).then_some(("connection", "close"));
            let key = key.map(|key| ("idempotency-key", key));
            let headers: Vec<_> = close.into_iter().chain(key).collect();
            match client
                .try_call(method.clone(), path, &headers, body.clone())
                .await
            {
                Ok(answer) => return answer,
                Err(error) if error.is_connect() => tokio::time::sleep(PAUSE).await,
                Err(error) => panic!("a request was let in and not answered: {error:?}"),
            }
        }
    }
}

impl Way for Balancer {
    async fn create(&self, key: &str, body: String) -> Option<Answer> {
        let create = self.call(Method::POST, "records/contacts", Some(key), Some(body));
        let created = create.await;
        let path = format!("records/contacts/{}", created.body["id"].as_str().unwrap());
        self.call(Method::GET, &path, None, None).await.expect(200);
        Some(created)
    }
}

/// Keeps the load going until this is over.
async fn meanwhile<T>(
    load: &Load<Balancer>,
    look: &mut Look,
    something: impl Future<Output = T>,
) -> T {
    let going_on = async {
        loop {
            load.go_on(look, 1, 1).await;
        }
    };
    tokio::select! {
        ended = something => ended,
        () = going_on => unreachable!(),
    }
}

async fn start(office: &Office) -> Serving {
    let url = office.url.clone();
    let starting = move || serving_only(&url, &["--drain-seconds", "1"]);
    tokio::task::spawn_blocking(starting).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_restart_in_turn_and_nobody_notices() {
    let database = cluster().database().await;
    let office = Office::new(database.owner(), database.runtime()).await;
    let mut servers = [start(&office).await, start(&office).await];
    let instances = servers
        .each_ref()
        .map(|server| Instance::new(office.at(&server.base)));
    let balancer = Balancer {
        instances: Arc::new(instances),
        next: Arc::default(),
    };
    let watching = tokio::spawn(balancer.clone().watch());
    let load = Load::begin(balancer.clone());
    let mut look = office.look().await.unwrap();
    let mut slowest = Duration::ZERO;
    for restart in 0..RESTARTS {
        let (server, instance) = (&mut servers[restart % 2], &balancer.instances[restart % 2]);
        load.go_on(&mut look, 10, 10).await;
        let began = Instant::now();
        server.signal(Signal::TERM);
        let status = meanwhile(&load, &mut look, server.ended()).await;
        assert!(status.success(), "{status}");
        slowest = slowest.max(began.elapsed());
        assert!(slowest < STOP_MAX, "{slowest:?}");
        *server = meanwhile(&load, &mut look, start(&office)).await;
        *instance.client.write().unwrap() = office.at(&server.base);
    }
    let writes = load.end(&office).await;
    watching.abort();
    // Whoever stopped had ended what it had begun.
    assert_eq!(look.attempts_most().await, 1);
    eprintln!("{RESTARTS} restarts, {writes} writes, the slowest stop took {slowest:?}");
}
