//! How subscriptions begin, are reset, and take notices.

use std::sync::Arc;

use serde_json::Value;

use super::{
    super::{
        channel::Channel,
        connection::Disconnect,
        hub::{Attached, Missed, NotAttached},
        limits::MAX_FRAME,
        message::{ServerMessage, event_message, snapshot_parts, state_messages},
        outbox::{Notice, SubscriptionId},
        snapshots::ChannelSnapshot,
    },
    Session,
    loading::Loaded,
    subscriptions::{State, Subscription},
};
use crate::{feed::Position, problem::Problem};

/// Number of times that a snapshot is read which the hub cannot continue.
const MAX_ATTEMPTS: u32 = 50;

impl Session {
    /// Begins a subscription. If it resumes a little before the hub's position, it needs no database.
    pub(super) async fn begin(
        &mut self,
        name: Arc<str>,
        channel: Channel,
        state: State,
    ) -> Result<(), Disconnect> {
        let id = self.app.hub.new_id();
        let resumed = match &state {
            State::Resume { id: request, from } => Some((request.clone(), *from)),
            _ => None,
        };
        let subscription = Subscription {
            name,
            channel,
            state,
        };
        self.subscriptions.insert(id, subscription);
        if let Some((request, from)) = resumed
            && let Some(epoch) = from.epoch
            && self.app.hub.has(Position {
                epoch,
                seq: from.seq,
            })
        {
            let from = Position {
                epoch,
                seq: from.seq,
            };
            if let Ok(attached) = self.attach(id, from, true) {
                self.send_resumed(id, &request, from).await?;
                return self
                    .catch_up(id, &request, (from, from.seq), attached)
                    .await;
            }
        }
        self.loading.add(id);
        Ok(())
    }

    pub(super) async fn handle_loaded(
        &mut self,
        id: SubscriptionId,
        loaded: Result<Loaded, Problem>,
    ) -> Result<(), Disconnect> {
        match loaded {
            Ok(Loaded::Snapshot(snapshot)) => self.begin_at(id, &snapshot).await,
            Ok(Loaded::Resumption(from, mirror, permit)) => {
                self.begin_replay(id, from, mirror.slot, permit).await
            }
            Ok(Loaded::Refusal(refusal)) => {
                for rollback in refusal.rollbacks {
                    let text = ServerMessage::from(rollback).text();
                    self.send_notice(rollback.seq, text).await?;
                }
                self.reset(id, &refusal.reason).await
            }
            Ok(Loaded::Records(records, position)) => self.replay(id, &records, position).await,
            Err(problem) => self.fail(id, &problem).await,
        }
    }

    /// Begins a subscription with a snapshot.
    async fn begin_at(
        &mut self,
        id: SubscriptionId,
        snapshot: &ChannelSnapshot,
    ) -> Result<(), Disconnect> {
        let attached = self.attach(id, snapshot.position, false);
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return Ok(());
        };
        let State::Snapshot {
            id: request,
            attempts,
            ..
        } = &mut subscription.state
        else {
            return Ok(());
        };
        let attached = match attached {
            Ok(attached) => attached,
            Err(_) if *attempts < MAX_ATTEMPTS => {
                *attempts += 1;
                self.loading.add_first(id);
                return Ok(());
            }
            Err(reason) => {
                tracing::warn!(?reason, "the feed does not reach the database's position");
                let problem = Problem::Unavailable(sqlx::Error::PoolTimedOut);
                return self.fail(id, &problem).await;
            }
        };
        let (request, name) = (request.take(), Arc::clone(&subscription.name));
        let Position { epoch, seq } = snapshot.position;
        let message = ServerMessage::Snapshot {
            id: &request,
            channel: &name,
            epoch,
            seq,
            slot: snapshot.slot,
            data: &Value::Null,
        };
        let parts = snapshot_parts(&message, snapshot.data.clone());
        if parts.iter().map(|part| part.len()).sum::<usize>() <= MAX_FRAME {
            let whole = parts.map(|part| part.as_str().to_owned()).concat();
            self.connection.write(whole.into()).await?;
        } else {
            self.connection.write_parts(&parts).await?;
        }
        let from = (snapshot.position, seq);
        self.activate(id, from, attached).await.map(drop)
    }

    /// Registers a subscription with the hub.
    pub(super) fn attach(
        &self,
        id: SubscriptionId,
        from: Position,
        gaps: bool,
    ) -> Result<Attached, NotAttached> {
        // One that has ended registers for nothing.
        let subscription = self.subscriptions.get(id).ok_or(NotAttached::Behind)?;
        let outbox = &self.registration.outbox;
        self.app
            .hub
            .attach((&subscription.name, id), outbox, from, gaps)
    }

    /// Sends what the subscription has missed since `from`, and makes it active. `last` is the `seq` of the
    /// last message that the client has. Returns the position up to which the client has everything.
    pub(super) async fn activate(
        &mut self,
        id: SubscriptionId,
        (from, mut last): (Position, i64),
        attached: Attached,
    ) -> Result<Position, Disconnect> {
        let Attached {
            listening,
            missed,
            position,
        } = attached;
        // The database can be ahead of the hub.
        let covered = Position {
            seq: position.seq.max(from.seq),
            ..position
        };
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return Ok(covered);
        };
        subscription.state = State::Active {
            _listening: listening,
            covered: covered.seq,
        };
        let name = Arc::clone(&subscription.name);
        for missed in missed {
            match missed {
                Missed::Gap(gap) => {
                    self.noticed = self.noticed.max(gap.seq);
                    self.send(&gap.as_ref().into()).await?;
                }
                Missed::Update(update) => {
                    self.connection
                        .write(event_message(&name, &update, last))
                        .await?;
                    for (_, text) in state_messages(&name, &update) {
                        self.connection.write(text).await?;
                    }
                    last = update.seq;
                }
            }
        }
        Ok(covered)
    }

    /// Reports that a subscription failed, and ends it. One that was reset waits and begins later.
    pub(super) async fn fail(
        &mut self,
        id: SubscriptionId,
        problem: &Problem,
    ) -> Result<(), Disconnect> {
        // That the mirror settles is no fault.
        if !matches!(problem, Problem::MirrorSettling { .. }) {
            tracing::error!(error = ?problem, "subscription failed");
        }
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return Ok(());
        };
        let request = match &mut subscription.state {
            State::Snapshot {
                id: request,
                is_reset: true,
                ..
            } => {
                let id = request.take();
                subscription.state = State::Waiting { id };
                return Ok(());
            }
            State::Snapshot { id: request, .. } | State::Resume { id: request, .. } => {
                request.take()
            }
            // The client has a part of what it has missed, and can resume after it.
            State::Replay(replay) => replay.id.take(),
            State::Waiting { .. } | State::Active { .. } => return Ok(()),
        };
        self.subscriptions.remove(id);
        self.send_error(&request, problem.code(), &problem.to_string(), None)
            .await
    }

    /// Sends a reset, upon which the client discards what it has of the channel, and begins anew.
    pub(super) async fn reset(
        &mut self,
        id: SubscriptionId,
        reason: &str,
    ) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.remove(id) else {
            return Ok(());
        };
        let Subscription {
            name,
            channel,
            state,
        } = subscription;
        let request = match state {
            State::Snapshot { id, .. } | State::Waiting { id } | State::Resume { id, .. } => id,
            State::Replay(replay) => replay.id,
            State::Active { .. } => Value::Null,
        };
        let reset = ServerMessage::Reset {
            id: &request,
            channel: &name,
            reason,
        };
        self.send(&reset).await?;
        self.begin(name, channel, State::snapshot(request, true))
            .await
    }

    pub(super) async fn handle_notice(&mut self, notice: Notice) -> Result<(), Disconnect> {
        match notice {
            Notice::Rollback(rollback, text) => {
                self.sent.seq = self.sent.seq.max(rollback.seq);
                self.send_notice(rollback.seq, text).await?;
                let reason = format!("chain was rolled back to slot {}", rollback.to_slot);
                self.reset_before(rollback.seq, &reason).await
            }
            Notice::Gap(seq, text) => {
                self.sent.seq = self.sent.seq.max(seq);
                self.send_notice(seq, text).await
            }
            Notice::Settled => {
                self.retry_waiting();
                Ok(())
            }
            Notice::Discontinued(position, reason) => {
                (self.sent, self.noticed) = (position, 0);
                self.reset_before(i64::MAX, reason).await
            }
        }
    }

    /// Resets the subscriptions that do not cover the record `seq` yet: what was sent on them may not
    /// be so any more.
    async fn reset_before(&mut self, seq: i64, reason: &str) -> Result<(), Disconnect> {
        for id in self.subscriptions.begun_before(seq) {
            self.reset(id, reason).await?;
        }
        Ok(())
    }

    /// Begins the subscriptions that were reset and wait.
    pub(super) fn retry_waiting(&mut self) {
        for id in self.subscriptions.waiting() {
            if let Some(subscription) = self.subscriptions.get_mut(id)
                && let State::Waiting { id: request } = &mut subscription.state
            {
                subscription.state = State::snapshot(request.take(), true);
                self.loading.add(id);
            }
        }
    }
}
