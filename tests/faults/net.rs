//! A small TCP proxy for each link, which does to it what networks do.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// Connections break, and none is made.
    Cut,
    /// Nothing goes through, and nobody is told.
    Hole,
    /// Only what comes back from the target goes through, or only what goes to it.
    OneWay {
        back: bool,
    },
    /// Each piece comes so many milliseconds late.
    Delay(u64),
}

/// A link to a port.
pub struct Link {
    pub port: u16,
    mode: watch::Sender<Mode>,
}

impl Link {
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, modes) = watch::channel(Mode::Open);
        tokio::spawn(serve(listener, target, modes));
        Self { port, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn serve(listener: TcpListener, target: u16, modes: watch::Receiver<Mode>) {
    while let Ok((from, _)) = listener.accept().await {
        if *modes.borrow() == Mode::Cut {
            continue;
        }
        let modes = modes.clone();
        tokio::spawn(async move {
            let address = SocketAddr::from(([127, 0, 0, 1], target));
            let Ok(to) = TcpStream::connect(address).await else {
                return;
            };
            let _ = (from.set_nodelay(true), to.set_nodelay(true));
            let (from_read, from_write) = from.into_split();
            let (to_read, to_write) = to.into_split();
            // When one direction ends, so does the other.
            tokio::select! {
                () = pump(from_read, to_write, modes.clone(), false) => {}
                () = pump(to_read, from_write, modes, true) => {}
            }
        });
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    back: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            cut = modes.wait_for(|mode| *mode == Mode::Cut) => {
                drop(cut);
                return;
            }
        };
        let Ok(count @ 1..) = read else { return };
        let passes = |mode: &Mode| match mode {
            Mode::Open | Mode::Delay(_) | Mode::Cut => true,
            Mode::Hole => false,
            Mode::OneWay { back: only } => *only == back,
        };
        let mode = modes.wait_for(passes).await.map(|mode| *mode);
        match mode {
            Ok(Mode::Cut) | Err(_) => return,
            Ok(Mode::Delay(millis)) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Ok(_) => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
