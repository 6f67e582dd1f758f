//! Requests of the client.

use std::time::Instant;

use serde_json::Value;

use super::{
    super::{
        channel::{self, Channel},
        connection::{Disconnect, Received},
        limits::MAX_SUBSCRIPTIONS,
        message::{ClientMessage, ServerMessage},
    },
    Session,
    resumption::ClientPosition,
    subscriptions::State,
};

impl Session {
    pub(super) async fn handle(&mut self, received: Received) -> Result<(), Disconnect> {
        let now = Instant::now();
        self.last_heard = now;
        let text = match received {
            Received::Text(text) => Some(text),
            Received::Binary => None,
            Received::Control => return Ok(()),
        };
        if let Err(wait) = self.requests.take(now) {
            let id = text.as_deref().map(id_of).unwrap_or_default();
            let detail = format!("too many messages; retry in {} ms", wait.as_millis() + 1);
            return self
                .send_error(&id, "rate-limited", &detail, Some(wait))
                .await;
        }
        let Some(text) = text else {
            let detail = "message is binary; send text";
            return self.refuse(&Value::Null, "bad-message", detail).await;
        };
        match serde_json::from_str(&text) {
            Ok(ClientMessage::Subscribe {
                id,
                channel,
                from,
                epoch,
            }) => {
                let from = from.map(|seq| ClientPosition { seq, epoch });
                self.handle_subscribe(id, &channel, from).await
            }
            Ok(ClientMessage::Unsubscribe { id, channel }) => {
                self.handle_unsubscribe(&id, &channel).await
            }
            Err(error) => {
                let detail = format!(
                    "invalid message: {error}; send {{\"op\":\"subscribe\",\"channel\":…}}"
                );
                self.refuse(&id_of(&text), "bad-message", &detail).await
            }
        }
    }

    async fn handle_subscribe(
        &mut self,
        id: Value,
        name: &str,
        from: Option<ClientPosition>,
    ) -> Result<(), Disconnect> {
        let Some(channel) = Channel::parse(name) else {
            let detail = format!("no channel `{name}`; {}", channel::NAMES);
            return self.refuse(&id, "no-such-channel", &detail).await;
        };
        if MAX_SUBSCRIPTIONS <= self.subscriptions.len() && !self.subscriptions.has(name) {
            let detail = format!(
                "this socket has its maximum of {MAX_SUBSCRIPTIONS} subscriptions; open another socket"
            );
            return self.refuse(&id, "too-many-subscriptions", &detail).await;
        }
        self.subscriptions.end(name);
        let state = match from {
            None => State::snapshot(id, false),
            Some(from) => State::Resume { id, from },
        };
        self.begin(name.into(), channel, state).await
    }

    async fn handle_unsubscribe(&mut self, id: &Value, name: &str) -> Result<(), Disconnect> {
        if !self.subscriptions.end(name) {
            let detail = format!("no subscription to {name}; subscribe first");
            return self.refuse(id, "not-subscribed", &detail).await;
        }
        self.send(&ServerMessage::Unsubscribed { id, channel: name })
            .await
    }

    async fn refuse(&mut self, id: &Value, code: &str, detail: &str) -> Result<(), Disconnect> {
        self.send_error(id, code, detail, None).await
    }
}

/// The id of a message that may be invalid.
fn id_of(text: &str) -> Value {
    let message = serde_json::from_str::<Value>(text);
    let id = message.ok().and_then(|mut message| {
        let id = message.get_mut("id")?;
        Some(id.take())
    });
    id.unwrap_or_default()
}
