//! HTTP/2, as its clients speak it without TLS: the same answers, the same limits, and an end to
//! those who abuse what it has more.

use crm_server::App;
use crm_server::auth::Issuers;
use crm_server::edges::Edges;
use crm_tests::app::TestApp;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::join_all;
use reqwest::{Body, Response, Version};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// `GET http://x/`, as HPACK has it.
const HEAD: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'x'];
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

fn client() -> reqwest::Client {
    crm_server::tls::install();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .http2_prior_knowledge()
        .build()
        .unwrap()
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.version(), Version::HTTP_2);
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn both_protocols_answer_alike_on_one_port() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let (http, token) = (client(), owner.token().unwrap());
    let url = |path: &str| format!("{}/api/crm/{path}", app.base);
    let asked = http.get(url("bootstrap")).bearer_auth(token).send().await;
    let told = json_of(asked.unwrap()).await;
    assert_eq!(told, owner.get("bootstrap").await.expect(200));
    let refused = http.get(url("bootstrap")).send().await.unwrap();
    assert_eq!(
        (refused.version(), refused.status().as_u16()),
        (Version::HTTP_2, 401)
    );

    // A request that is sent again by the other protocol is the same one.
    let body = json!({"data": {"full_name": "Ada"}});
    let made = owner
        .post_once("records/patients", "key", body.clone())
        .await;
    let made = made.expect(201);
    let again = http
        .post(url("records/patients"))
        .bearer_auth(token)
        .header("idempotency-key", "key")
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(json_of(again).await, made);

    // More at once than a connection may have: the others wait.
    let get = |_| {
        let request = http.get(url("records/patients")).bearer_auth(token);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let statuses = join_all((0..300).map(get)).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let (http, token) = (client(), owner.token().unwrap());
    let url = format!("{}/api/crm/records/patients", app.base);
    let most = crm_model::limits::REQUEST_BODY_MAX_BYTES;
    let large = http
        .post(&url)
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(vec![b' '; most + 1])
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), 413);
    let header = |bytes: usize| {
        http.get(&url)
            .bearer_auth(token)
            .header("x-large", "x".repeat(bytes))
    };
    let fits = header(12 << 10).send().await.unwrap();
    assert_eq!(fits.status(), 200);
    let refused = header(20 << 10).send().await;
    let refused = refused.map_or(431, |answer| answer.status().as_u16());
    assert_eq!(refused, 431);
    let after = http.get(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(after.status(), 200);
}

/// What came until the server closed the connection.
async fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut received));
    let _ = closed.await.expect("the server closes the connection");
    received
}

async fn patient_server(app: &TestApp, patience: Duration) -> String {
    let edges = Edges {
        head_max: patience,
        body_pause_max: patience,
        ..Edges::default()
    };
    let issuers = Issuers::new(Some(app.issuer.clone()));
    app.serve(|app| app.with_edges(edges), issuers).await
}

async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.trim_start_matches("http://"))
        .await
        .unwrap()
}

#[tokio::test]
async fn who_takes_too_long_is_let_go() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let base = patient_server(&app, Duration::from_millis(300)).await;

    let mut silent = connect(&base).await;
    silent.write_all(PREFACE).await.unwrap();
    silent.write_all(SETTINGS).await.unwrap();
    until_closed(silent).await;

    // Half a head: the rest would come in another frame.
    let mut half = connect(&base).await;
    half.write_all(PREFACE).await.unwrap();
    half.write_all(SETTINGS).await.unwrap();
    half.write_all(&frame(1, 0, 1, HEAD)).await.unwrap();
    until_closed(half).await;

    // One that asked once and lies idle then.
    let mut idle = connect(&base).await;
    let asked = [PREFACE, SETTINGS, &frame(1, 0x5, 1, HEAD)].concat();
    idle.write_all(&asked).await.unwrap();
    let answered = until_closed(idle).await;
    assert!(answered.len() > 60, "it was answered: {answered:?}");

    let http = client();

    let (mut sender, receiver) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let asking = http
        .post(format!("{base}/api/crm/records/patients"))
        .bearer_auth(owner.token().unwrap())
        .header("content-type", "application/json")
        .body(Body::wrap_stream(receiver))
        .send();
    sender.try_send(Ok(b"{\"data\":".to_vec())).unwrap();
    let broken = tokio::time::timeout(Duration::from_secs(10), asking).await;
    assert_eq!(broken.expect("an answer").unwrap().status(), 400);
    drop(sender);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn who_takes_back_what_they_ask_is_let_go() {
    let app = TestApp::start().await;
    let mut stream = connect(&app.base).await;
    let mut flood = [PREFACE, SETTINGS].concat();
    for number in 0..2000_u32 {
        let id = 2 * number + 1;
        // A whole head with the end of the request, then its reset.
        flood.extend(frame(1, 0x5, id, HEAD));
        flood.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
    }
    // It may close before all is sent.
    let _ = stream.write_all(&flood).await;
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    let read = async {
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            received.extend_from_slice(&chunk[..count]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("the server closes the connection");
    let mut frames = received.as_slice();
    let mut reasons = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == GOAWAY {
            reasons.push(rest[7]);
        }
        frames = &rest[length.min(rest.len())..];
    }
    assert!(reasons.contains(&ENHANCE_YOUR_CALM), "{reasons:?}");
    // Nobody else noticed.
    let http = client();
    let asked = http.get(format!("{}/healthz", app.base)).send().await;
    assert_eq!(asked.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let served = App::new(app.engine.clone(), Issuers::new(Some(app.issuer.clone())));
    let serving = tokio::spawn(crm_server::serve(listener, served, stop.clone()));
    let http = client();
    let (mut sender, receiver) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let (begun, mut has_begun) = mpsc::unbounded();
    let body = receiver.inspect(move |_| drop(begun.unbounded_send(())));
    let asking = http
        .post(format!("{base}/api/crm/records/patients"))
        .bearer_auth(owner.token().unwrap())
        .header("content-type", "application/json")
        .body(Body::wrap_stream(body))
        .send();
    let asking = tokio::spawn(asking);
    sender.try_send(Ok(b"{\"data\":".to_vec())).unwrap();
    has_begun.next().await.unwrap();
    // So that the server has the head too.
    http.get(format!("{base}/healthz")).send().await.unwrap();
    stop.cancel();
    tokio::task::yield_now().await;
    assert!(!serving.is_finished());
    sender
        .try_send(Ok(b"{\"full_name\": \"Ada\"}}".to_vec()))
        .unwrap();
    sender.close_channel();
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.status(), 201);
    let ended = tokio::time::timeout(Duration::from_secs(10), serving).await;
    ended.expect("it ends").unwrap().unwrap();
    assert!(http.get(format!("{base}/healthz")).send().await.is_err());
}
