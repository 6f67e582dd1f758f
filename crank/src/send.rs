//! Sends due actions, and keeps at most one transaction of each action in flight.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anchor_lang::solana_program::instruction::error::InstructionError;
use anyhow::Result;
use backon::ExponentialBackoff;
use driftshield_sdk::{
    DriftShieldError, error,
    rpc::{Blockhash, Client, Error, Keypair, Signature, TransactionError, TransactionFailure},
};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};

use crate::{
    due::{Action, ActionKey},
    retry::exponential_backoff,
};

/// Maximum number of transactions that are being sent at a time.
const MAX_CONCURRENT_SENDS: usize = 16;
/// Maximum number of transactions that are queued or being sent. A later round sends the others if
/// they are still due.
const MAX_QUEUED: usize = 64;
/// Maximum number of signatures that one `getSignatureStatuses` call accepts.
const MAX_STATUSES_PER_CALL: usize = 256;
/// Number of lost races of an action after which a further one counts as a failure.
const MAX_LOST_RACES: u32 = 5;
/// Maximum delay after a failure of an action.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// Time without an outcome after which transactions are checked for an expired blockhash.
const EXPIRY_CHECK_AFTER: Duration = Duration::from_secs(20);

/// Signs and sends actions, and polls their outcomes.
pub struct Sender {
    client: Arc<Client>,
    keypair: Arc<Keypair>,
    permits: Arc<Semaphore>,
    tasks: JoinSet<(ActionKey, Result<Signature, Error>)>,
    /// Actions of `tasks`, each with the last block height at which its transaction can land.
    queued: HashMap<ActionKey, u64>,
    /// Actions whose transaction the RPC node accepted and whose outcome is unknown.
    in_flight: HashMap<ActionKey, InFlight>,
    retries: HashMap<ActionKey, RetryState>,
}

/// A transaction whose outcome is unknown.
struct InFlight {
    signature: Signature,
    last_valid_height: u64,
    sent_at: Instant,
}

/// When to retry an action that failed.
struct RetryState {
    lost_races: u32,
    delays: ExponentialBackoff,
    /// The action is not sent before this time.
    retry_at: Instant,
}

impl RetryState {
    fn new() -> Self {
        Self {
            lost_races: 0,
            delays: exponential_backoff(MAX_RETRY_DELAY),
            retry_at: Instant::now(),
        }
    }
}

impl Sender {
    pub fn new(client: Arc<Client>, keypair: Arc<Keypair>) -> Self {
        Self {
            client,
            keypair,
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_SENDS)),
            tasks: JoinSet::new(),
            queued: HashMap::new(),
            in_flight: HashMap::new(),
            retries: HashMap::new(),
        }
    }

    /// Polls the outcomes of sent transactions, at most [`MAX_STATUSES_PER_CALL`] of them. Call it
    /// before reading the snapshot: the snapshot then shows the effect of every transaction that
    /// this call found confirmed.
    pub async fn poll_outcomes(&mut self) -> Result<(), Error> {
        while let Some(result) = self.tasks.try_join_next() {
            self.record_send(result);
        }
        let (keys, signatures): (Vec<ActionKey>, Vec<Signature>) = self
            .in_flight
            .iter()
            .take(MAX_STATUSES_PER_CALL)
            .map(|(key, sent)| (*key, sent.signature))
            .unzip();
        if keys.is_empty() {
            return Ok(());
        }
        let outcomes = self.client.signature_statuses(&signatures).await?;
        for ((key, signature), outcome) in keys.into_iter().zip(signatures).zip(outcomes) {
            match outcome {
                None => continue,
                Some(Ok(())) => {
                    tracing::info!(step = ?key.step, account = %key.account, %signature, "done");
                    self.retries.remove(&key);
                }
                Some(Err(error)) => {
                    let logs = vec![];
                    self.record_transaction_failure(key, &TransactionFailure { error, logs });
                }
            }
            self.in_flight.remove(&key);
        }
        self.drop_expired().await
    }

    /// Drops transactions that can't land any more because their blockhash has expired.
    async fn drop_expired(&mut self) -> Result<(), Error> {
        let mut in_flight = self.in_flight.values();
        if !in_flight.any(|sent| EXPIRY_CHECK_AFTER < sent.sent_at.elapsed()) {
            return Ok(());
        }
        let height = self.client.rpc().get_block_height().await?;
        self.in_flight.retain(|key, sent| {
            let can_land = height <= sent.last_valid_height;
            if !can_land {
                tracing::warn!(
                    step = ?key.step,
                    account = %key.account,
                    "transaction expired before it landed"
                );
            }
            can_land
        });
        Ok(())
    }

    /// Queues the actions that are neither in flight nor waiting for a retry, in order, up to
    /// [`MAX_QUEUED`]. Returns before they are sent. Drops the retry state of actions that are no
    /// longer due.
    pub fn send(&mut self, actions: Vec<Action>, blockhash: Blockhash) {
        let due: HashSet<ActionKey> = actions.iter().map(|action| action.key).collect();
        self.retries.retain(|key, _| due.contains(key));
        for action in actions {
            if MAX_QUEUED <= self.tasks.len() {
                break;
            }
            if self.can_send(&action.key) {
                self.spawn(action, blockhash);
            }
        }
    }

    fn can_send(&self, key: &ActionKey) -> bool {
        let is_waiting = |retry: &RetryState| Instant::now() < retry.retry_at;
        !self.queued.contains_key(key)
            && !self.in_flight.contains_key(key)
            && !self.retries.get(key).is_some_and(is_waiting)
    }

    fn spawn(&mut self, action: Action, blockhash: Blockhash) {
        let Action { key, instructions } = action;
        self.queued.insert(key, blockhash.last_valid_height);
        let (client, keypair) = (self.client.clone(), self.keypair.clone());
        let permits = self.permits.clone();
        self.tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let send = async {
                let transaction = client
                    .prepare(&instructions, &[&keypair], blockhash.hash)
                    .await?;
                client.submit(&transaction).await
            };
            (key, send.await)
        });
    }

    /// Waits until every queued transaction is sent. Does not wait for their outcomes.
    pub async fn finish(mut self) {
        while let Some(result) = self.tasks.join_next().await {
            self.record_send(result);
        }
    }

    fn record_send(&mut self, result: Result<(ActionKey, Result<Signature, Error>), JoinError>) {
        let (key, result) = match result {
            Ok(result) => result,
            // No task is ever aborted, so it panicked.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let Some(last_valid_height) = self.queued.remove(&key) else {
            return;
        };
        match result {
            Ok(signature) => {
                let sent = InFlight {
                    signature,
                    last_valid_height,
                    sent_at: Instant::now(),
                };
                self.in_flight.insert(key, sent);
            }
            Err(Error::TransactionFailed(failure)) => {
                self.record_transaction_failure(key, &failure)
            }
            Err(error) => self.record_failure(key, &error),
        }
    }

    fn record_transaction_failure(&mut self, key: ActionKey, failure: &TransactionFailure) {
        let retry = self.retry_state(key);
        if MAX_LOST_RACES <= retry.lost_races || !is_lost_race(failure) {
            return self.record_failure(key, failure);
        }
        retry.lost_races += 1;
        tracing::debug!(step = ?key.step, account = %key.account, %failure, "lost a race");
    }

    fn record_failure(&mut self, key: ActionKey, error: &dyn std::fmt::Display) {
        let retry = self.retry_state(key);
        let delay = retry.delays.next().unwrap_or(MAX_RETRY_DELAY);
        retry.retry_at = Instant::now() + delay;
        let wait_ms = delay.as_millis();
        tracing::warn!(step = ?key.step, account = %key.account, wait_ms, %error, "action failed");
    }

    fn retry_state(&mut self, key: ActionKey) -> &mut RetryState {
        self.retries.entry(key).or_insert_with(RetryState::new)
    }
}

/// Whether the transaction failed because the chain changed after the snapshot was read: for
/// example, another transaction took the step first. The next snapshot shows the change.
fn is_lost_race(failure: &TransactionFailure) -> bool {
    match &failure.error {
        // The same transaction has landed, or the node does not know the blockhash yet.
        TransactionError::AlreadyProcessed | TransactionError::BlockhashNotFound => true,
        TransactionError::InstructionError(_, error) => match error {
            // The account was closed.
            InstructionError::UninitializedAccount
            | InstructionError::IllegalOwner
            | InstructionError::AccountDataTooSmall => true,
            InstructionError::Custom(code) => lost_race_codes().contains(code),
            _ => false,
        },
        _ => false,
    }
}

/// Codes of the program's errors that indicate a lost race.
fn lost_race_codes() -> [u32; 30] {
    use DriftShieldError::*;
    [
        AlreadySubmitted,
        ReceiptNotCollecting,
        WindowSettled,
        WindowNotOver,
        SubmitPeriodOver,
        NothingToFinalize,
        MarketSettled,
        WindowUndecided,
        NothingToCollect,
        NothingUnbonding,
        StillUnbonding,
        SeatInUse,
        MarketHasBets,
        NothingDue,
        NothingToExamine,
        TermPending,
        NothingPending,
        PolicyTriggered,
        WindowsBegan,
        PremiumTooHigh,
        TooLittleDelegated,
        TriggerReached,
        UtilisationTooHigh,
        ExposureFull,
        AboveSecurityLimit,
        StillCoolingDown,
        CapitalLocked,
        ExposureInUse,
        VaultInUse,
        FeesLeft,
    ]
    .map(error::code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(error: InstructionError) -> TransactionFailure {
        TransactionFailure {
            error: TransactionError::InstructionError(0, error),
            logs: vec![],
        }
    }

    fn code(error: DriftShieldError) -> InstructionError {
        InstructionError::Custom(error::code(error))
    }

    #[test]
    fn only_errors_of_a_changed_chain_are_lost_races() {
        for error in [
            code(DriftShieldError::AlreadySubmitted),
            code(DriftShieldError::NothingToFinalize),
            InstructionError::AccountDataTooSmall,
        ] {
            assert!(is_lost_race(&failed(error)));
        }
        let frozen = InstructionError::Custom(17); // the token program's AccountFrozen
        for error in [frozen, code(DriftShieldError::WrongDestination)] {
            assert!(!is_lost_race(&failed(error)));
        }
    }

    #[tokio::test]
    async fn a_failing_action_backs_off_exponentially_and_delays_no_other() {
        let client = Arc::new(Client::new("http://127.0.0.1:1".into()));
        let mut sender = Sender::new(client, Arc::new(Keypair::new()));
        let key = |byte| ActionKey {
            step: crate::due::Step::Claim,
            account: [byte; 32].into(),
        };
        let mut waits = vec![];
        for _ in 0..9 {
            sender.record_transaction_failure(key(1), &failed(InstructionError::Custom(17)));
            waits.push(
                sender.retries[&key(1)]
                    .retry_at
                    .duration_since(Instant::now())
                    .as_secs(),
            );
        }
        assert_eq!(waits, [0, 1, 3, 7, 15, 31, 59, 59, 59]);
        assert!(!sender.can_send(&key(1)));
        assert!(sender.can_send(&key(2)));

        let lost = failed(code(DriftShieldError::NothingToFinalize));
        for _ in 0..MAX_LOST_RACES {
            sender.record_transaction_failure(key(3), &lost);
            assert!(sender.can_send(&key(3)));
        }
        sender.record_transaction_failure(key(3), &lost);
        assert!(!sender.can_send(&key(3)));
    }
}
