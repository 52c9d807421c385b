//! Pages of units over HTTP, beside a server of the same library that answers "hello".

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::echo::EchoServer;
use crate::ledger::{Server, custody};
use crate::report::{Row, Target};

/// The argument that makes this program the bare server.
pub const ARGUMENT: &str = "--hello-server";
/// Connections that ask, each one request after the other.
const CONNECTIONS: usize = 64;
/// Pages are asked for at least so long: a page is no 100 ms that a limit takes in a test.
const LEAST: Duration = Duration::from_millis(500);

/// The bare server's own process.
pub async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    let hello = axum::Router::new().route("/", axum::routing::get(async || "hello"));
    axum::serve(listener, hello)
        .await
        .expect("it serves until it is killed");
}

/// The page of a unit at 64 connections.
pub async fn row(folder: &Path, time: Duration) -> Row {
    let time = time.max(LEAST);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(ARGUMENT);
    let hello = EchoServer::of(command);
    let (bare, _) = ask(&hello.address, &["/".to_owned()], time).await;
    drop(hello);

    let server = Server::new(folder);
    let truth = folder.join("truth.json");
    let told = custody()
        .args([
            "simulate",
            "--seed",
            "7",
            "--units",
            "400",
            "--parties",
            "24",
            "--key",
        ])
        .arg(server.data.join("regulator.key"))
        .arg("--truth")
        .arg(&truth)
        .env("CUSTODY_LEDGER", &server.address)
        .stdout(Stdio::null())
        .status();
    assert!(
        told.is_ok_and(|status| status.success()),
        "custody simulate"
    );
    let truth = std::fs::read(&truth).expect("what was told");
    let truth: serde_json::Value = serde_json::from_slice(&truth).expect("JSON");
    let units = truth["confirmed"].as_array().expect("units");
    let paths: Vec<String> = units
        .iter()
        .map(|unit| format!("/{}", unit.as_str().expect("an id")))
        .collect();
    let (rate, bytes) = ask(&server.pages, &paths, time).await;
    // A page that nobody asked for a moment ago is made anew: a query makes each look like one.
    let (cold, _) = ask_anew(&server.pages, &paths, time).await;
    Row::new("page of a unit over HTTP, 64 connections", "pages/s", rate)
        .limit(
            "\"hello\" of bare axum, 64 connections",
            bare,
            Target::AtLeast(0.3),
        )
        .note(format!(
            "{} units, {bytes} bytes a page on average",
            paths.len()
        ))
        .note(format!(
            "each made anew, as if nobody else had asked: {cold:.0} pages/s"
        ))
}

/// Requests a second, and bytes of an answer on average.
async fn ask(address: &str, paths: &[String], time: Duration) -> (f64, u64) {
    drive(address, paths, time, |path, _| path.to_owned()).await
}

/// The same, each request for another address.
async fn ask_anew(address: &str, paths: &[String], time: Duration) -> (f64, u64) {
    drive(address, paths, time, |path, number| {
        format!("{path}?n={number}")
    })
    .await
}

async fn drive(
    address: &str,
    paths: &[String],
    time: Duration,
    form: fn(&str, usize) -> String,
) -> (f64, u64) {
    let host = address.trim_start_matches("http://").to_owned();
    let start = Instant::now();
    let mut asking = Vec::new();
    for connection in 0..CONNECTIONS {
        let (host, paths) = (host.clone(), paths.to_vec());
        asking.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(&host).await.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let (mut answers, mut bytes) = (0_u64, 0_u64);
            let mut buffer = Vec::new();
            while start.elapsed() < time {
                let number = usize::try_from(answers).unwrap_or(0) * CONNECTIONS + connection;
                let path = form(&paths[number % paths.len()], number);
                let request =
                    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/html\r\n\r\n");
                stream.write_all(request.as_bytes()).await.expect("sent");
                bytes += answer(&mut stream, &mut buffer).await;
                answers += 1;
            }
            (answers, bytes)
        }));
    }
    let (mut answers, mut bytes) = (0, 0);
    for asking in asking {
        let (more, long) = asking.await.expect("it ends");
        (answers, bytes) = (answers + more, bytes + long);
    }
    #[allow(clippy::cast_precision_loss)] // counts are small
    let rate = answers as f64 / start.elapsed().as_secs_f64();
    (rate, bytes / answers.max(1))
}

/// Reads one answer, which must be a good one, and says how long its body is.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> u64 {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).expect("a head");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse::<usize>().ok());
        let length = length.expect("a length");
        if buffer.len() >= head + 4 + length {
            return length as u64;
        }
    }
}
