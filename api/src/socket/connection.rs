//! Connection to one client: sends messages within a time limit.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::time::timeout;

use super::message::ServerMessage;

/// Longest time that a client may take to accept a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection ends.
pub enum Disconnect {
    /// The client has closed the connection, broken the protocol, or become unreachable.
    ClientGone,
    /// The client does not keep up with the feed.
    TooSlow,
    /// The server closes the connection. The close frame contains the reason.
    ServerGoingAway(&'static str),
}

impl From<axum::Error> for Disconnect {
    fn from(_: axum::Error) -> Self {
        Self::ClientGone
    }
}

pub struct Connection(pub WebSocket);

impl Connection {
    pub async fn receive(&mut self) -> Result<Message, Disconnect> {
        Ok(self.0.recv().await.ok_or(Disconnect::ClientGone)??)
    }

    pub async fn send(&mut self, message: &ServerMessage<'_>) -> Result<(), Disconnect> {
        let text = serde_json::to_string(message).expect("messages serialise to JSON");
        self.send_text(text).await
    }

    pub async fn send_text(&mut self, text: String) -> Result<(), Disconnect> {
        self.send_raw(Message::text(text)).await
    }

    pub async fn ping(&mut self) -> Result<(), Disconnect> {
        self.send_raw(Message::Ping(Default::default())).await
    }

    /// Sends a close frame, if the client still accepts it.
    pub async fn close(&mut self, code: u16, reason: String) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let _ = self.send_raw(Message::Close(Some(frame))).await;
    }

    async fn send_raw(&mut self, message: Message) -> Result<(), Disconnect> {
        match timeout(SEND_TIMEOUT, self.0.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Disconnect::TooSlow),
        }
    }
}
