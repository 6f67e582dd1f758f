//! Connection to one client: frames, time limits, and the closing handshake.

use std::{
    pin::pin,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{
    limits::{CLOSE_TIMEOUT, MAX_FRAME, MAX_MESSAGE, READ_BUFFER, SEND_TIMEOUT, WRITE_BUFFER},
    meter::Meter,
};

/// How often the server looks whether a client accepts bytes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Close code of a client that is too slow.
const TOO_SLOW: u16 = 4008;

/// Why a connection ends.
#[derive(Debug)]
pub enum Disconnect {
    /// The client has sent a close frame. The answer waits to be flushed.
    Closed,
    /// The client is unreachable.
    Gone,
    /// The client breaks the protocol.
    Violation(CloseCode, &'static str),
    /// The client accepts no bytes.
    TooSlow,
    /// The server closes the connection. The close frame contains the reason.
    GoingAway(&'static str),
}

impl From<Error> for Disconnect {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => {
                Self::Violation(CloseCode::Size, "message is larger than 16384 bytes")
            }
            Error::Utf8(_) => Self::Violation(CloseCode::Invalid, "text is not UTF-8"),
            Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => Self::Gone,
            Error::Protocol(_) => Self::Violation(CloseCode::Protocol, "protocol error"),
            _ => Self::Gone,
        }
    }
}

/// What a client sends.
pub enum Received {
    Text(Utf8Bytes),
    Binary,
    /// A ping, which the library answers, or a pong.
    Control,
}

pub struct Connection {
    socket: WebSocketStream<Meter<TokioIo<Upgraded>>>,
    /// Number of bytes that the client's side has accepted.
    accepted: Arc<AtomicU64>,
}

impl Connection {
    pub async fn new(io: TokioIo<Upgraded>) -> Self {
        let (io, accepted) = Meter::new(io);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            // The server allocates memory for a whole frame, so frames are limited too.
            .max_frame_size(Some(MAX_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { socket, accepted }
    }

    /// Waits for a message of the client. Can be cancelled without losing one.
    pub async fn receive(&mut self) -> Result<Received, Disconnect> {
        match self.socket.next().await.ok_or(Disconnect::Gone)?? {
            Message::Text(text) => Ok(Received::Text(text)),
            Message::Binary(_) => Ok(Received::Binary),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Received::Control),
            Message::Close(_) => Err(Disconnect::Closed),
        }
    }

    /// Sends a message with the next [`Self::flush`], or now if many bytes wait.
    pub async fn write(&mut self, text: Utf8Bytes) -> Result<(), Disconnect> {
        if text.len() <= MAX_FRAME {
            return self.send(Message::Text(text)).await;
        }
        self.write_parts(&[text]).await
    }

    /// Sends the parts as one message, fragmented.
    pub async fn write_parts(&mut self, parts: &[Utf8Bytes]) -> Result<(), Disconnect> {
        let mut data = Data::Text;
        let mut left: usize = parts.iter().map(|part| part.len()).sum();
        for part in parts {
            let mut part = Bytes::from(part.clone());
            while !part.is_empty() {
                let chunk = part.split_to(part.len().min(MAX_FRAME));
                left -= chunk.len();
                let frame = Frame::message(chunk, OpCode::Data(data), left == 0);
                self.send(Message::Frame(frame)).await?;
                data = Data::Continue;
            }
        }
        Ok(())
    }

    pub async fn ping(&mut self) -> Result<(), Disconnect> {
        self.send(Message::Ping(Bytes::new())).await
    }

    pub async fn flush(&mut self) -> Result<(), Disconnect> {
        while_accepted(&self.accepted, self.socket.flush()).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Disconnect> {
        while_accepted(&self.accepted, self.socket.feed(message)).await
    }

    /// Ends the connection as far as the client takes part in it within the time limit.
    /// `position` is where a slow client resumes.
    pub async fn close(mut self, disconnect: Disconnect, position: &str) {
        let (code, reason) = match disconnect {
            Disconnect::Gone => return,
            Disconnect::Closed => {
                let _ = timeout(CLOSE_TIMEOUT, self.finish()).await;
                return;
            }
            Disconnect::Violation(code, reason) => (code, reason.to_owned()),
            Disconnect::TooSlow => (
                TOO_SLOW.into(),
                format!("too slow; reconnect and subscribe from {position}"),
            ),
            Disconnect::GoingAway(reason) => (CloseCode::Away, reason.to_owned()),
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let closing = async {
            // Fails if the client has gone.
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                self.finish().await;
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }

    /// Flushes the close frame, waits for that of the client, and then for the end of what the client
    /// sends: a connection that is closed before is reset, and the client may lose the close frame.
    async fn finish(&mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
        let io = self.socket.get_mut();
        if io.shutdown().await.is_err() {
            return;
        }
        let mut buffer = vec![0; READ_BUFFER];
        while io.read(&mut buffer).await.is_ok_and(|read| 0 < read) {}
    }
}

/// Waits for a write for as long as the client accepts bytes of it.
async fn while_accepted(
    accepted: &AtomicU64,
    write: impl Future<Output = Result<(), Error>>,
) -> Result<(), Disconnect> {
    let mut write = pin!(write);
    let (mut before, mut stalled) = (accepted.load(Relaxed), Duration::ZERO);
    while stalled < SEND_TIMEOUT {
        if let Ok(written) = timeout(PROGRESS_INTERVAL, &mut write).await {
            return Ok(written?);
        }
        let now = accepted.load(Relaxed);
        stalled = if now == before {
            stalled + PROGRESS_INTERVAL
        } else {
            Duration::ZERO
        };
        before = now;
    }
    Err(Disconnect::TooSlow)
}
