//! More connections than a port takes.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::*;

/// A connection to an address such as `http://127.0.0.1:7070` that says nothing.
fn silent(address: &str) -> TcpStream {
    let socket = address.split('/').nth(2).unwrap();
    TcpStream::connect(socket).unwrap()
}

/// Whether the server has closed it.
fn is_closed(mut connection: &TcpStream) -> bool {
    let moment = Some(Duration::from_millis(20));
    connection.set_read_timeout(moment).unwrap();
    match connection.read(&mut [0; 256]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_network_with_more_connections_than_its_part_when_it_opens_one_then_it_is_closed()
{
    let server = Server::start_with(&["--max-connections", "8"]);
    for (port, address) in [("grpc", &server.address), ("http", &server.http)] {
        let opened = [silent(address), silent(address), silent(address)];
        // They get their places in no order.
        eventually(|| opened.iter().any(is_closed), port);
        let refused = format!("custody_connections_refused_total{{port=\"{port}\"}} ");
        assert_eq!(metric(&server, &refused), 1.0, "{refused}");
    }
    // Their places are free again as soon as the server sees that they are gone.
    let taken = || metric(&server, "custody_connections{port=\"grpc\"} ");
    eventually(|| taken() == 0.0, "the places stay taken");
    let mut session = server.session().await;
    Trade::set_up(&server, &mut session).await;
}
