//! A gRPC server that does nothing: what a call costs before a ledger has done anything. It is a
//! process of its own, as the ledger is.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use prost::bytes::Bytes;
use tonic::transport::server::TcpIncoming;

use crate::limits::Disk;
use crate::raw::Echo;

/// The argument that makes this program the server.
pub const ARGUMENT: &str = "--echo-server";

/// A running echo server. Killed when dropped.
pub struct EchoServer {
    child: Child,
    pub address: String,
}

impl EchoServer {
    /// Answers each request with so many bytes; with a folder, after a write to the disk.
    pub fn start(answer_bytes: usize, folder: Option<&Path>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(ARGUMENT).arg(answer_bytes.to_string());
        if let Some(folder) = folder {
            command.arg(folder);
        }
        Self::of(command)
    }

    /// A server that says its address on its first line.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        lines.read_line(&mut line).expect("its address");
        Self {
            child,
            address: line.trim().to_owned(),
        }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's own process.
pub async fn serve(answer_bytes: usize, folder: Option<&Path>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    let echo = Echo {
        answer: Some(Bytes::from(vec![7; answer_bytes])),
        disk: folder.map(Disk::start),
    };
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .add_service(echo)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await;
    served.expect("it serves until it is killed");
}
