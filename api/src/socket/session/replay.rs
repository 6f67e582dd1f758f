//! Replays: what a client has missed, read from the database batch by batch.

use std::sync::Arc;

use serde_json::Value;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    super::{
        connection::Disconnect,
        hub::{Attached, NotAttached},
        limits::REPLAY_TIMEOUT,
        message::{ServerMessage, event_message, state_messages},
        outbox::SubscriptionId,
    },
    Session,
    subscriptions::{Replay, State},
};
use crate::{
    feed::{FeedMessage, Position},
    updates::{BATCH, Record},
};

impl Session {
    pub(super) async fn send_resumed(
        &mut self,
        id: SubscriptionId,
        request: &Value,
        from: Position,
    ) -> Result<(), Disconnect> {
        let slot = self.app.feed.mirror().map_or(0, |mirror| mirror.slot);
        self.send_resumed_at(id, request, from, slot).await
    }

    async fn send_resumed_at(
        &mut self,
        id: SubscriptionId,
        request: &Value,
        Position { epoch, seq }: Position,
        slot: i64,
    ) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.get(id) else {
            return Ok(());
        };
        let channel = Arc::clone(&subscription.name);
        let resumed = ServerMessage::Resumed {
            id: request,
            channel: &channel,
            epoch,
            seq,
            slot,
        };
        self.send(&resumed).await
    }

    /// Begins to replay what the client has missed.
    pub(super) async fn begin_replay(
        &mut self,
        id: SubscriptionId,
        from: Position,
        slot: i64,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return Ok(());
        };
        let State::Resume { id: request, .. } = &mut subscription.state else {
            return Ok(());
        };
        let request = request.take();
        subscription.state = State::Replay(Replay {
            id: request.clone(),
            epoch: from.epoch,
            covered: from.seq,
            last: from.seq,
            deadline: Instant::now() + REPLAY_TIMEOUT,
            _permit: permit,
        });
        self.loading.add_first(id);
        self.send_resumed_at(id, &request, from, slot).await
    }

    /// Sends one batch of records, and begins to read the next one, or ends the replay.
    pub(super) async fn replay(
        &mut self,
        id: SubscriptionId,
        records: &[Record],
        mirror: Position,
    ) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.get(id) else {
            return Ok(());
        };
        let State::Replay(replay) = &subscription.state else {
            return Ok(());
        };
        if mirror.epoch != replay.epoch {
            let (now, epoch) = (mirror.epoch, replay.epoch);
            let reason = format!("mirror has epoch {now}, not {epoch}");
            return self.reset(id, &reason).await;
        }
        for record in records {
            if let Some(FeedMessage::Rollback(rollback)) = &record.message {
                let text = ServerMessage::from(*rollback).text();
                self.send_notice(record.seq, text).await?;
                let reason = format!("chain was rolled back to slot {}", rollback.to_slot);
                return self.reset(id, &reason).await;
            }
            self.send_record(id, record).await?;
        }
        let is_last = records.len() < BATCH as usize;
        self.go_on(id, is_last.then_some(mirror.seq)).await
    }

    /// Sends a record, and notes that the client has it.
    async fn send_record(&mut self, id: SubscriptionId, record: &Record) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.get(id) else {
            return Ok(());
        };
        let State::Replay(Replay { last, .. }) = subscription.state else {
            return Ok(());
        };
        let name = Arc::clone(&subscription.name);
        match &record.message {
            Some(FeedMessage::Update(update)) => {
                let event = event_message(&name, update, last);
                self.connection.write(event).await?;
                for (_, text) in state_messages(&name, update) {
                    self.connection.write(text).await?;
                }
            }
            Some(FeedMessage::Gap(gap)) => {
                self.noticed = self.noticed.max(gap.seq);
                self.send(&gap.as_ref().into()).await?;
            }
            Some(FeedMessage::Rollback(_) | FeedMessage::Settled) | None => {}
        }
        if let Some(State::Replay(replay)) = self.state_mut(id) {
            replay.covered = record.seq;
            if let Some(FeedMessage::Update(_)) = &record.message {
                replay.last = record.seq;
            }
        }
        Ok(())
    }

    fn state_mut(&mut self, id: SubscriptionId) -> Option<&mut State> {
        let subscription = self.subscriptions.get_mut(id);
        subscription.map(|subscription| &mut subscription.state)
    }

    /// Reads the next batch, unless the client has all records up to `all`, and the hub continues there.
    async fn go_on(&mut self, id: SubscriptionId, all: Option<i64>) -> Result<(), Disconnect> {
        let Some(State::Replay(replay)) = self.state_mut(id) else {
            return Ok(());
        };
        replay.covered = replay.covered.max(all.unwrap_or(0));
        let from = Position {
            epoch: replay.epoch,
            seq: replay.covered,
        };
        let (last, request) = (replay.last, replay.id.clone());
        if replay.deadline < Instant::now() {
            return self.reset(id, "slow").await;
        }
        if all.is_some() {
            match self.attach(id, from, true) {
                Ok(attached) => return self.catch_up(id, &request, (from, last), attached).await,
                Err(NotAttached::RolledBack) => {
                    return self.reset(id, "chain was rolled back").await;
                }
                Err(NotAttached::OtherEpoch | NotAttached::Behind) => {}
            }
        }
        self.loading.add_first(id);
        Ok(())
    }

    /// Ends a resumption: sends what is left, and that the client has everything.
    pub(super) async fn catch_up(
        &mut self,
        id: SubscriptionId,
        request: &Value,
        from: (Position, i64),
        attached: Attached,
    ) -> Result<(), Disconnect> {
        let Position { epoch, seq } = self.activate(id, from, attached).await?;
        let Some(subscription) = self.subscriptions.get(id) else {
            return Ok(());
        };
        let channel = Arc::clone(&subscription.name);
        let caught_up = ServerMessage::CaughtUp {
            id: request,
            channel: &channel,
            epoch,
            seq,
        };
        self.send(&caught_up).await
    }
}
