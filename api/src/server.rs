//! The HTTP server: connections that are limited in number, in the time of their headers and in the time
//! that a client may take to accept bytes.
//!
//! `axum::serve` has none of these limits, so that clients who send nothing, or read nothing, would keep
//! connections and memory for ever.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use metrics::counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt};

use crate::{
    client_address::TrustedProxies,
    connections::{ConnectionSlot, Connections},
    metrics::REFUSED_CONNECTIONS,
};

/// Time limit for the headers of a request, and for the pause before it.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for which a client may accept no byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// Size of a connection's buffer, which limits the size of a request's headers, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// Pause after a connection could not be accepted, which happens if the process has no file descriptor
/// left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// What answers the requests.
pub trait Routes:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Routes for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Who may connect.
pub struct Admission {
    pub connections: Arc<Connections>,
    pub trusted_proxies: Arc<TrustedProxies>,
    /// Time limit for the headers of a request, and for the pause before it.
    pub header_timeout: Duration,
}

/// Serves until `shutdown` is cancelled, and then until open requests have ended, but for `drain` at most.
/// Connections that became WebSockets are the router's own.
pub async fn serve(
    listener: TcpListener,
    routes: impl Routes,
    admission: Admission,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                admission.serve(stream, peer, routes.clone(), &open, &shutdown);
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    open.close();
    if timeout(drain, open.wait()).await.is_err() {
        tracing::warn!("dropped connections that did not end in time");
    }
}

impl Admission {
    /// Serves a connection in a task of its own, unless its client has too many: then it is closed.
    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        routes: impl Routes,
        open: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        // Behind a proxy, many clients share its address: only the total counts there.
        let is_proxy = self.trusted_proxies.contains(peer.ip());
        let address = (!is_proxy).then(|| peer.ip().into());
        let Ok(slot) = self.connections.admit(address) else {
            counter!(REFUSED_CONNECTIONS).increment(1);
            return;
        };
        // Small messages of a socket would wait for the acknowledgement of those before them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
        let trusted_proxies = self.trusted_proxies.clone();
        let service = routes.map_request(move |mut request: Request<Incoming>| {
            let client = trusted_proxies.client(peer.ip(), request.headers());
            request.extensions_mut().insert(client);
            request.map(Body::new)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(
                TokioIo::new(LimitedStream::new(stream, slot)),
                TowerToHyperService::new(service),
            )
            .with_upgrades();
        let shutdown = shutdown.clone();
        open.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

/// A connection whose client has to accept bytes, and that counts until it ends, also as a WebSocket.
struct LimitedStream {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    _slot: ConnectionSlot,
}

impl LimitedStream {
    fn new(stream: TcpStream, slot: ConnectionSlot) -> Self {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        Self {
            stream: Box::pin(stream),
            _slot: slot,
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
    };

    use super::*;
    use crate::connections::ConnectionLimits;

    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<()>,
    }

    /// A server that admits two connections, of one that sends its headers within 200 ms.
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let admission = Admission {
            connections: Connections::new(ConnectionLimits {
                total: 2,
                per_address: 2,
            }),
            trusted_proxies: Arc::default(),
            header_timeout: Duration::from_millis(200),
        };
        let slow = async || {
            sleep(Duration::from_millis(500)).await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "quick"))
            .route("/slow", get(slow));
        let stop = CancellationToken::new();
        let drain = Duration::from_secs(5);
        let serving = tokio::spawn(serve(listener, router, admission, stop.clone(), drain));
        Server {
            address,
            stop,
            serving,
        }
    }

    impl Server {
        /// What the server sends until it ends the connection, on which the client sends `text`.
        async fn answer(&self, text: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // The server can have ended the connection already.
            let _ = stream.write_all(text.as_bytes()).await;
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            let _ = timeout(Duration::from_secs(10), read).await.unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        }
    }

    #[tokio::test]
    async fn headers_that_never_end_or_are_too_large_are_refused() {
        let server = start().await;
        let whole = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert!(server.answer(whole).await.ends_with("quick"));
        assert_eq!(server.answer("GET / HTTP/1.1\r\nhost: a\r\n").await, "");
        assert_eq!(server.answer("").await, "");
        let large = format!(
            "GET / HTTP/1.1\r\nx-large: {}\r\n\r\n",
            "a".repeat(64 << 10)
        );
        let answer = server.answer(&large).await;
        assert!(
            answer.starts_with("HTTP/1.1 431") || answer.is_empty(),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_connection_above_the_limit_is_closed_until_another_ends() {
        let server = start().await;
        let whole = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let mut open = vec![];
        for _ in 0..2 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream
                .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            open.push(stream);
        }
        sleep(Duration::from_millis(100)).await;
        assert_eq!(server.answer(whole).await, "");
        drop(open);
        sleep(Duration::from_millis(600)).await;
        assert!(server.answer(whole).await.ends_with("quick"));
    }

    #[tokio::test]
    async fn open_requests_end_before_the_server_does() {
        let server = start().await;
        let slow = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
        let (answer, ()) = tokio::join!(server.answer(slow), async {
            sleep(Duration::from_millis(100)).await;
            server.stop.cancel();
        });
        assert!(answer.ends_with("slow"), "{answer}");
        server.serving.await.unwrap();
    }
}
