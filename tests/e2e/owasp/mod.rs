//! Attacks by the list that everybody uses: the OWASP API Security Top 10 of 2023
//! (<https://owasp.org/API-Security/editions/2023/en/0x11-t10/>), one file for each item. Each says
//! how the item meets this product and which other files hold the rest of it.

mod api10_unsafe_consumption_of_apis;
mod api1_broken_object_level_authorization;
mod api2_broken_authentication;
mod api3_broken_object_property_level_authorization;
mod api4_unrestricted_resource_consumption;
mod api5_broken_function_level_authorization;
mod api6_unrestricted_access_to_sensitive_business_flows;
mod api7_server_side_request_forgery;
mod api8_security_misconfiguration;
mod api9_improper_inventory_management;

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer of these tests should take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server without workers.
async fn quiet() -> TestApp {
    TestApp::on(cluster().database().await, None).await
}

/// Sends these bytes, and says what came until the server closed the connection.
async fn raw(base: &str, sent: &[u8]) -> String {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever is refused early cannot send all of it.
    let _ = stream.write_all(sent).await;
    let mut received = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received));
    let _ = closed.await.expect("the server answers and closes");
    String::from_utf8_lossy(&received).into_owned()
}

/// One request as text, of somebody with a token; the connection ends with its answer.
fn request(client: &Client, line: &str, headers: &str) -> String {
    let token = client.token().unwrap_or_default();
    format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         {headers}\r\n"
    )
}

fn status(answer: &str) -> u16 {
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer}"))
}

/// All documented operations, with each parameter of the path as it is written there.
async fn operations(client: &Client) -> Vec<(Method, String)> {
    let document = client.get("/openapi.json").await.expect(200);
    crate::authorisation::in_order(&document)
}

/// The path with names of nothing for its parameters.
fn of_nothing(path: &str) -> String {
    path.replace(['{', '}'], "")
}

/// Every name of a member in a JSON value, however deep.
fn member_names(value: &Value, names: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        names.push(name.clone());
        member_names(value, names);
    }
    for value in value.as_array().into_iter().flatten() {
        member_names(value, names);
    }
}
