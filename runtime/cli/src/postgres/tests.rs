//! Whole lives of a private PostgreSQL, with real servers.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};

use super::pidfile::is_alive;
use super::{PostgresError, PrivatePostgres, Settings};

fn settings() -> Settings {
    Settings {
        durable: false,
        max_connections: 20,
    }
}

async fn open(data: &std::path::Path) -> PrivatePostgres {
    PrivatePostgres::join_or_start(data, settings(), |_| {})
        .await
        .unwrap()
}

async fn ask(postgres: &PrivatePostgres, question: &'static str) -> String {
    let options = postgres.connect_options();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let answer = sqlx::query_scalar(question)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    answer
}

/// A directory that the server's account may enter even where the tests run as root.
fn directory() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

fn server_of(data: &std::path::Path) -> i32 {
    PrivatePostgres::running(data).unwrap().pid
}

async fn kill_server_of(data: &std::path::Path) {
    let pid = Pid::from_raw(server_of(data)).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    while PrivatePostgres::running(data).is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn two_who_come_at_once_share_one_server_and_the_last_one_stops_it() {
    let data = directory();
    let (one, two) = tokio::join!(open(data.path()), open(data.path()));
    assert_ne!(one.joined(), two.joined(), "exactly one started it");
    assert_eq!(one.port(), two.port());
    assert_eq!(one.password(), two.password());

    assert_eq!(ask(&one, "select current_user::text").await, "postgres");
    assert_eq!(ask(&one, "show fsync").await, "off");
    assert_eq!(ask(&one, "show max_connections").await, "20");
    assert_eq!(ask(&one, "show listen_addresses").await, "127.0.0.1");
    assert_eq!(ask(&one, "show server_encoding").await, "UTF8");
    assert_eq!(ask(&one, "select lower('ÅSA')").await, "åsa");
    let stored = "create table kept as select 'here'::text as word";
    let mut connection = PgConnection::connect(&one.url()).await.unwrap();
    sqlx::raw_sql(stored)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();

    let secret = data.path().join("postgres.password");
    let mode = secret.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{one:?}").contains(one.password()));

    let (starter, joiner) = if one.joined() { (two, one) } else { (one, two) };
    assert!(
        !starter.stop().await.unwrap(),
        "the other one still uses it"
    );
    assert_eq!(ask(&joiner, "select word from kept").await, "here");
    assert!(joiner.stop().await.unwrap());
    assert_eq!(PrivatePostgres::running(data.path()), None);
    assert!(joiner.stop().await.unwrap(), "stopping twice is harmless");

    // Again, while somebody else has taken the port.
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, joiner.port())).unwrap();
    let again = open(data.path()).await;
    assert!(!again.joined());
    assert_ne!(again.port(), joiner.port());
    assert_eq!(ask(&again, "select word from kept").await, "here");
    assert!(again.stop().await.unwrap());
}

#[tokio::test]
async fn a_killed_server_and_whatever_took_its_process_id_are_survived() {
    let data = directory();
    let first = open(data.path()).await;
    kill_server_of(data.path()).await;
    let second = open(data.path()).await;
    assert!(!second.joined());
    assert_eq!(second.port(), first.port(), "the port is remembered");

    // Now the file names a process that lives and is not a PostgreSQL.
    let cluster = data.path().join("postgres");
    let file = cluster.join("postmaster.pid");
    let pid = server_of(data.path());
    let text = std::fs::read_to_string(&file).unwrap();
    kill_server_of(data.path()).await;
    let text = text.replacen(&pid.to_string(), &std::process::id().to_string(), 1);
    std::fs::write(&file, text).unwrap();
    assert_eq!(PrivatePostgres::running(data.path()), None);
    let third = open(data.path()).await;
    assert!(!third.joined());

    // Shares that are dropped without a word count as given up.
    drop((first, second));
    assert!(third.stop().await.unwrap());
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let data = directory();
    open(data.path()).await.stop().await.unwrap();
    let configuration = data.path().join("postgres/postgresql.conf");
    let good = std::fs::read_to_string(&configuration).unwrap();

    std::fs::write(&configuration, "work_mem = 'a lot'\n").unwrap();
    let opened = PrivatePostgres::join_or_start(data.path(), settings(), |_| {}).await;
    let message = opened.unwrap_err().to_string();
    assert!(message.contains("postgres.log says"), "{message}");
    assert!(message.contains("work_mem"), "{message}");
    std::fs::write(&configuration, good).unwrap();

    std::fs::remove_file(data.path().join("postgres.password")).unwrap();
    let opened = PrivatePostgres::join_or_start(data.path(), settings(), |_| {}).await;
    assert!(matches!(opened, Err(PostgresError::PasswordLost { .. })));

    std::fs::write(data.path().join("postgres.password"), "wrong").unwrap();
    let opened = PrivatePostgres::join_or_start(data.path(), settings(), |_| {}).await;
    assert!(matches!(opened, Err(PostgresError::Refused { .. })));
    let running = PrivatePostgres::running(data.path());
    assert_eq!(running, None, "what a failed call started is stopped");

    std::fs::write(data.path().join("postgres/PG_VERSION"), "9\n").unwrap();
    let opened = PrivatePostgres::join_or_start(data.path(), settings(), |_| {}).await;
    let message = opened.unwrap_err().to_string();
    assert!(message.contains("install PostgreSQL 9"), "{message}");
}

#[tokio::test]
async fn a_temporary_server_goes_with_its_owner() {
    let parent = directory();
    let postgres = PrivatePostgres::temporary(parent.path(), settings(), |_| {})
        .await
        .unwrap();
    let data = postgres.data_dir().to_owned();
    let pid = server_of(&data);
    assert_eq!(ask(&postgres, "select 'alive'").await, "alive");

    // As at the end of a process: nobody calls `stop`.
    drop(postgres);
    let deadline = Instant::now() + Duration::from_secs(20);
    while data.exists() {
        assert!(
            Instant::now() < deadline,
            "{} is still there",
            data.display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(PrivatePostgres::running(&data).is_none());
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(!is_alive(pid) || state.contains(") Z "), "{state}");
}
