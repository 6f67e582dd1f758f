//! A client of the API's WebSocket.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

/// Subscribes to `channels` and collects all messages until the socket closes.
pub fn record_messages(api_url: &str, channels: Vec<String>) -> watch::Receiver<Vec<Value>> {
    let subscribe = |(id, channel)| json!({"op": "subscribe", "id": id, "channel": channel});
    let requests = (0..channels.len()).zip(channels).map(subscribe).collect();
    record_answers(api_url, requests)
}

/// Sends `requests` and collects all messages until the socket closes.
pub fn record_answers(api_url: &str, requests: Vec<Value>) -> watch::Receiver<Vec<Value>> {
    let url = api_url.replacen("http", "ws", 1) + "/api/v1/ws";
    let (sender, receiver) = watch::channel(vec![]);
    tokio::spawn(async move {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for request in requests {
            let text = Message::text(request.to_string());
            socket.send(text).await.unwrap();
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                let value = serde_json::from_str(&text).unwrap();
                sender.send_modify(|messages| messages.push(value));
            }
        }
    });
    receiver
}
