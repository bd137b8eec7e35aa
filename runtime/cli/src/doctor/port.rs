//! Looks whether the port that `crm serve` would listen on is free, and who has it if not. Never
//! ends anybody's process.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Check, said};

/// How long a program on our port may take to say who it is.
const WHO_TIMEOUT_MILLISECONDS: u64 = 500;

/// Whether `crm serve` can listen on an address, or does already.
pub(crate) async fn check(listen: SocketAddr) -> Check {
    let name = format!("port {listen}");
    let error = match TcpListener::bind(listen) {
        Ok(_) => return Check::found(&name, "free"),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::AddrInUse => match who_listens(listen).await {
            Some(who) if who.starts_with("CRM Pro") => Check::found(&name, who),
            who => Check::missing(
                &name,
                format!("taken by {}", who.as_deref().unwrap_or("another program")),
                "stop that program, or choose another port with --listen 127.0.0.1:8081",
            ),
        },
        ErrorKind::PermissionDenied => Check::missing(
            &name,
            "this user may not listen there",
            "choose a port above 1023 with --listen",
        ),
        _ => Check::missing(
            &name,
            error.to_string(),
            "choose an address of this machine",
        ),
    }
}

/// Who listens on an address: a CRM Pro that answers there, or the program that the system names.
async fn who_listens(listen: SocketAddr) -> Option<String> {
    let limit = Duration::from_millis(WHO_TIMEOUT_MILLISECONDS);
    let answer = tokio::time::timeout(limit, ask_who(listen)).await;
    if answer.is_ok_and(|who| who.unwrap_or(false)) {
        return Some("CRM Pro is serving there".to_owned());
    }
    let filter = format!("-iTCP:{}", listen.port());
    let lines = said("lsof", ["-nP", &filter, "-sTCP:LISTEN", "-Fpc"]);
    let lsof = lines.and_then(|lines| {
        let part = |key| lines.lines().find_map(|line| line.strip_prefix(key));
        Some(format!("{} (process {})", part('c')?, part('p')?))
    });
    lsof.or_else(|| listener_in_proc(listen.port()))
}

/// Whether the API description that every CRM Pro serves is there.
async fn ask_who(listen: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(listen).await?;
    let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    // The title stands at the beginning; the rest may be long.
    stream.take(4096).read_to_string(&mut answer).await?;
    Ok(answer.contains("/api/crm") || answer.contains("CRM Pro"))
}

/// Linux's own tables, for machines without `lsof`: the socket that listens, then its holder.
fn listener_in_proc(port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    let end = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let rows: String = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .collect();
    let socket = rows.lines().find_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let listens = columns.get(1)?.ends_with(&end) && columns.get(3) == Some(&LISTENING);
        listens.then(|| columns.get(9).map(|inode| format!("socket:[{inode}]")))?
    })?;
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter(|process| process.file_name().as_encoded_bytes().is_ascii())
        .find_map(|process| {
            let files = std::fs::read_dir(process.path().join("fd")).ok()?;
            let holds = files.flatten().any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*socket)
            });
            let name = std::fs::read_to_string(process.path().join("comm"));
            let id = process.file_name().to_string_lossy().into_owned();
            holds.then(|| format!("{} (process {id})", name.unwrap_or_default().trim()))
        })
}
