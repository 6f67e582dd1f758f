//! Subscriptions of a session: how they begin, resume, are reset and end.

use std::{mem, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use crate::{
    feed::{FeedMessage, Update},
    mirror::Snapshot,
    problem::Problem,
    updates::BATCH,
};

use super::{
    super::{
        channel::{self, Channel},
        connection::Disconnect,
        message::{ServerMessage, update_messages},
    },
    Session, Subscription, mirror_epoch, mirror_seq, mirror_slot,
    resumption::{self, ClientPosition},
};

/// Maximum number of subscriptions in a session.
const MAX_SUBSCRIPTIONS: usize = 200;
/// Time limit of a database access, during which the session handles neither client nor feed.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a subscription failed.
enum SubscribeError {
    Database(Problem),
    Disconnected(Disconnect),
}

impl From<Problem> for SubscribeError {
    fn from(problem: Problem) -> Self {
        Self::Database(problem)
    }
}

impl From<Disconnect> for SubscribeError {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnected(disconnect)
    }
}

impl Session {
    pub(super) async fn handle_subscribe(
        &mut self,
        id: &Value,
        name: &str,
        from: Option<i64>,
        epoch: Option<i64>,
    ) -> Result<(), Disconnect> {
        let Some(channel) = Channel::parse(name) else {
            let detail = format!("no channel `{name}`; {}", channel::NAMES);
            return self.send_error(id, "no-such-channel", &detail).await;
        };
        self.waiting.remove(name);
        let open = self.subscriptions.len() + self.waiting.len();
        if MAX_SUBSCRIPTIONS <= open && !self.subscriptions.contains_key(name) {
            let detail = format!(
                "this socket has its maximum of {MAX_SUBSCRIPTIONS} subscriptions; open another socket"
            );
            return self.send_error(id, "too-many-subscriptions", &detail).await;
        }
        let subscribed = match from {
            None => self.subscribe(id, name, channel).await,
            Some(seq) => {
                let client = ClientPosition { seq, epoch };
                self.resume(id, name, channel, client).await
            }
        };
        // Time spent on the subscription does not count as silence of the client.
        self.last_heard = std::time::Instant::now();
        match subscribed {
            Ok(()) => Ok(()),
            Err(SubscribeError::Disconnected(disconnect)) => Err(disconnect),
            Err(SubscribeError::Database(problem)) => {
                // That the mirror settles is no fault.
                if !matches!(problem, Problem::MirrorSettling { .. }) {
                    tracing::error!(error = ?problem, "subscription failed");
                }
                self.subscriptions.remove(name);
                self.send_error(id, problem.code(), &problem.to_string())
                    .await
            }
        }
    }

    pub(super) async fn handle_unsubscribe(
        &mut self,
        id: &Value,
        name: &str,
    ) -> Result<(), Disconnect> {
        let was_waiting = self.waiting.remove(name).is_some();
        if self.subscriptions.remove(name).is_none() && !was_waiting {
            let detail = format!("no subscription to {name}; subscribe first");
            return self.send_error(id, "not-subscribed", &detail).await;
        }
        let unsubscribed = ServerMessage::Unsubscribed { id, channel: name };
        self.connection.send(&unsubscribed).await
    }

    /// Sends a snapshot of the channel, and subscribes to the updates after it.
    async fn subscribe(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
    ) -> Result<(), SubscribeError> {
        let (mirror, data) = with_read_timeout(async {
            let mut snapshot = Snapshot::begin_settled(&self.app.db).await?;
            let data = channel.data(&mut snapshot).await?;
            Ok((snapshot.close(), data))
        })
        .await?;
        let seq = mirror_seq(mirror);
        let snapshot = ServerMessage::Snapshot {
            id,
            channel: name,
            epoch: mirror_epoch(mirror),
            seq,
            slot: mirror_slot(mirror),
            data: &data,
        };
        self.connection.send(&snapshot).await?;
        self.insert_subscription(name, channel, seq);
        Ok(())
    }

    /// Subscribes to the updates after those that the client has, and sends those that it has missed.
    /// If the mirror does not have them, or the chain was rolled back, the subscription begins anew.
    async fn resume(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
        client: ClientPosition,
    ) -> Result<(), SubscribeError> {
        let (mirror, refusal) = with_read_timeout(async {
            let mut snapshot = Snapshot::begin(&self.app.db).await?;
            let refusal = resumption::refusal(&mut snapshot, client).await?;
            Ok((snapshot.close(), refusal))
        })
        .await?;
        if let Some(refusal) = refusal {
            for rollback in refusal.rollbacks {
                self.noticed = self.noticed.max(rollback.seq);
                self.connection.send(&rollback.into()).await?;
            }
            return self.reset(id, name, channel, &refusal.reason).await;
        }
        let resumed = ServerMessage::Resumed {
            id,
            channel: name,
            epoch: mirror_epoch(mirror),
            seq: client.seq,
            slot: mirror_slot(mirror),
        };
        self.connection.send(&resumed).await?;
        self.insert_subscription(name, channel.clone(), client.seq);
        let covered = self.send_missed(name, &channel, client.seq).await?;
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            subscription.covered = covered;
        }
        Ok(())
    }

    /// Sends the channel's updates after `from` that are in the mirror, and the gaps. Returns the
    /// sequence number up to which they are sent.
    async fn send_missed(
        &mut self,
        name: &str,
        channel: &Channel,
        from: i64,
    ) -> Result<i64, SubscribeError> {
        let mut covered = from;
        loop {
            let (mirror, records) = with_read_timeout(async {
                let mut snapshot = Snapshot::begin(&self.app.db).await?;
                let records = channel.records_after(covered, &mut snapshot).await?;
                Ok((snapshot.close(), records))
            })
            .await?;
            for record in &records {
                match &record.message {
                    Some(FeedMessage::Update(update)) => self.send_update(name, update).await?,
                    Some(FeedMessage::Gap(gap)) => {
                        self.noticed = self.noticed.max(gap.seq);
                        self.connection.send(&gap.as_ref().into()).await?;
                    }
                    // Newer than the check for rollbacks, so the session still gets it from the feed
                    // and resets the subscription then.
                    Some(FeedMessage::Rollback(_)) => return Ok(covered),
                    Some(FeedMessage::Settled | FeedMessage::Discontinued(_)) | None => {}
                }
                covered = record.seq;
            }
            if records.len() < BATCH as usize {
                // The channel has no further update in this snapshot.
                return Ok(mirror.map_or(covered, |mirror| covered.max(mirror.seq)));
            }
        }
    }

    /// Sends a reset, upon which the client discards the channel's state, and then a new snapshot, which
    /// waits until the mirror has all accounts.
    async fn reset(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
        reason: &str,
    ) -> Result<(), SubscribeError> {
        let reset = ServerMessage::Reset {
            id,
            channel: name,
            reason,
        };
        self.connection.send(&reset).await?;
        self.subscribe_or_wait(id, name, channel).await
    }

    async fn subscribe_or_wait(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
    ) -> Result<(), SubscribeError> {
        match self.subscribe(id, name, channel.clone()).await {
            Err(SubscribeError::Database(Problem::MirrorSettling { .. })) => {
                self.subscriptions.remove(name);
                self.waiting.insert(name.to_owned(), (id.clone(), channel));
                Ok(())
            }
            subscribed => subscribed,
        }
    }

    /// Begins the subscriptions that wait for the mirror's accounts.
    pub(super) async fn subscribe_waiting(&mut self) -> Result<(), Disconnect> {
        for (name, (id, channel)) in mem::take(&mut self.waiting) {
            let subscribed = self.subscribe_or_wait(&id, &name, channel).await;
            begun_anew(subscribed)?;
        }
        Ok(())
    }

    /// Resets the subscriptions that do not cover the record `seq` yet: what was sent on them may not
    /// be so any more.
    pub(super) async fn reset_before(&mut self, seq: i64, reason: &str) -> Result<(), Disconnect> {
        let outdated: Vec<_> = self
            .subscriptions
            .extract_if(|_, subscription| subscription.covered < seq)
            .collect();
        for (name, subscription) in outdated {
            let reset = self.reset(&Value::Null, &name, subscription.channel, reason);
            begun_anew(reset.await)?;
        }
        Ok(())
    }

    fn insert_subscription(&mut self, name: &str, channel: Channel, seq: i64) {
        let subscription = Subscription {
            channel,
            sent: seq,
            covered: seq,
        };
        self.subscriptions.insert(name.to_owned(), subscription);
    }

    /// Sends an update on a channel, unless it is covered.
    pub(super) async fn send_update(
        &mut self,
        name: &str,
        update: &Update,
    ) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.get_mut(name) else {
            return Ok(());
        };
        if update.seq <= subscription.covered {
            return Ok(());
        }
        let prev = mem::replace(&mut subscription.sent, update.seq);
        subscription.covered = update.seq;
        for message in update_messages(name, update, prev) {
            self.connection.send_text(message).await?;
        }
        Ok(())
    }
}

/// The result of beginning a subscription anew, as the session sees it.
fn begun_anew(result: Result<(), SubscribeError>) -> Result<(), Disconnect> {
    match result {
        Ok(()) => Ok(()),
        Err(SubscribeError::Disconnected(disconnect)) => Err(disconnect),
        Err(SubscribeError::Database(problem)) => {
            tracing::error!(error = ?problem, "reset failed");
            let reason = "mirror has changed and cannot be read; reconnect";
            Err(Disconnect::ServerGoingAway(reason))
        }
    }
}

async fn with_read_timeout<T>(
    access: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let result = timeout(READ_TIMEOUT, access).await;
    result.unwrap_or(Err(Problem::Timeout))
}
