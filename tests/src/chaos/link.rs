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
    faults: watch::Sender<Faults>,
    target: Arc<Mutex<SocketAddr>>,
    disturbed: Arc<AtomicU64>,
    half_open: Arc<AtomicU64>,
}

/// How often each fault has happened. It concerns the connections that exist then.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Faults {
    cuts: u64,
    half_opens: u64,
}

impl Link {
    /// Forwards to a loopback port.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            port: listener.local_addr().unwrap().port(),
            faults: watch::Sender::default(),
            target: Arc::new(Mutex::new(loopback(port))),
            disturbed: Arc::default(),
            half_open: Arc::default(),
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

    /// Forwards new connections to another port, and closes the others as [`Self::cut`] does.
    pub fn retarget(&self, port: u16) {
        *self.target.lock().unwrap() = loopback(port);
        self.cut();
    }

    /// Closes all connections but those that are half-open, and forwards new ones.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Number of connections that ended before their client ended them, or were kept waiting.
    pub fn disturbed(&self) -> u64 {
        self.disturbed.load(Relaxed)
    }

    /// Makes all connections half-open, as if the server's machine had gone: what is sent is lost, and only
    /// the client can end them. New ones are forwarded.
    pub fn half_open(&self) {
        self.faults.send_modify(|faults| faults.half_opens += 1);
    }

    /// Number of half-open connections that the client has not ended.
    pub fn half_open_left(&self) -> u64 {
        self.half_open.load(Relaxed)
    }

    async fn forward(self, mut client: TcpStream) {
        let mut faults = self.faults.subscribe();
        let begun = *faults.borrow_and_update();
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
            tokio::select! {
                biased;
                changed = faults.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.disturbed.fetch_add(1, Relaxed);
                    if faults.borrow().half_opens != begun.half_opens {
                        self.half_open.fetch_add(1, Relaxed);
                        swallow(client, server).await;
                        self.half_open.fetch_sub(1, Relaxed);
                    }
                    return;
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

/// Reads what both sides send, until the client ends the connection.
async fn swallow(mut client: TcpStream, mut server: TcpStream) {
    let (mut from_client, mut from_server) = ([0; 16 << 10], [0; 16 << 10]);
    let mut has_server = true;
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                if !matches!(read, Ok(bytes) if 0 < bytes) {
                    return;
                }
            }
            read = server.read(&mut from_server), if has_server => {
                has_server = matches!(read, Ok(bytes) if 0 < bytes);
            }
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A client of a server that sends back what it gets.
    async fn echoed(link: &Link) -> TcpStream {
        let mut client = TcpStream::connect(loopback(link.port)).await.unwrap();
        client.write_all(b"a").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        client
    }

    #[tokio::test]
    async fn a_half_open_connection_stays_so_and_others_work() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::start(listener.local_addr().unwrap().port()).await;
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = client.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        let mut lost = echoed(&link).await;
        link.half_open();
        let mut cut = echoed(&link).await;
        link.cut();
        assert!(!matches!(cut.read(&mut [0; 1]).await, Ok(bytes) if 0 < bytes));
        echoed(&link).await;
        lost.write_all(b"b").await.unwrap();
        let answer = timeout(Duration::from_millis(300), lost.read_u8());
        assert!(answer.await.is_err(), "neither an answer nor an end");
        assert_eq!((link.disturbed(), link.half_open_left()), (2, 1));
        drop(lost);
        let ended = async {
            while 0 < link.half_open_left() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), ended).await.unwrap();
    }
}
