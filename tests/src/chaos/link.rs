//! A TCP connection between the indexer and its database that a test can disturb.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections to a server.
#[derive(Clone)]
pub struct Link {
    pub port: u16,
    state: watch::Sender<State>,
    number: Arc<AtomicU64>,
    target: Arc<Mutex<SocketAddr>>,
    disturbed: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Forwards everything. Connections of an earlier number are closed.
    Open(u64),
    /// Nothing is forwarded, and no connection is closed: as if the machine had gone.
    HalfOpen,
}

impl Link {
    /// Forwards to a loopback port.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            port: listener.local_addr().unwrap().port(),
            state: watch::Sender::new(State::Open(0)),
            number: Arc::default(),
            target: Arc::new(Mutex::new(loopback(port))),
            disturbed: Arc::default(),
        };
        let accepting = link.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(accepting.clone().forward(client));
            }
        });
        link
    }

    /// Forwards new connections to another port, and closes the others.
    pub fn retarget(&self, port: u16) {
        *self.target.lock().unwrap() = loopback(port);
        self.cut();
    }

    /// Closes all connections, and forwards new ones.
    pub fn cut(&self) {
        let number = self.number.fetch_add(1, Relaxed) + 1;
        self.state.send_replace(State::Open(number));
    }

    /// Number of connections that ended before their client ended them, or were kept waiting.
    pub fn disturbed(&self) -> u64 {
        self.disturbed.load(Relaxed)
    }

    /// Stops forwarding without closing a connection.
    pub fn half_open(&self) {
        self.state.send_replace(State::HalfOpen);
    }

    async fn forward(self, mut client: TcpStream) {
        let mut state = self.state.subscribe();
        let begun = *state.borrow_and_update();
        let target = *self.target.lock().unwrap();
        let Ok(mut server) = TcpStream::connect(target).await else {
            self.disturbed.fetch_add(1, Relaxed);
            return;
        };
        // Small messages would wait for the acknowledgement of those before them.
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let (mut from_client, mut from_server) = ([0; 16 << 10], [0; 16 << 10]);
        loop {
            if *state.borrow_and_update() == State::HalfOpen {
                self.disturbed.fetch_add(1, Relaxed);
                // What the client sends meanwhile is lost, and the connection never works again.
                if state.changed().await.is_ok() {
                    return;
                }
            }
            tokio::select! {
                biased;
                changed = state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *state.borrow();
                    if now != State::HalfOpen && now != begun {
                        self.disturbed.fetch_add(1, Relaxed);
                        return;
                    }
                }
                read = client.read(&mut from_client) => match read {
                    Ok(bytes) if 0 < bytes => {
                        if server.write_all(&from_client[..bytes]).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                },
                read = server.read(&mut from_server) => match read {
                    Ok(bytes) if 0 < bytes => {
                        if client.write_all(&from_server[..bytes]).await.is_err() {
                            return;
                        }
                    }
                    _ => {
                        self.disturbed.fetch_add(1, Relaxed);
                        return;
                    }
                },
            }
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
