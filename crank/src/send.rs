//! Sending what is due, each action once while it is on its way.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anchor_lang::solana_program::instruction::error::InstructionError;
use anyhow::Result;
use driftshield_sdk::{
    DriftShieldError, error,
    rpc::{
        Blockhash, Client, Error, Keypair, Signature, TransactionError, TransactionFailure,
        transaction,
    },
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::due::{Action, Key};

/// Transactions that are sent at the same time.
const CONCURRENT: usize = 16;
/// Transactions of one round, at most: what is left is due in the next one, on newer state.
const QUEUED: usize = 64;
/// The most signatures whose statuses one call reads.
const STATUSES: usize = 256;
/// How often an action may lose a race before it is taken for stuck.
const RACES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After this long without an outcome the chain is asked whether a transaction can still land.
const PATIENCE: Duration = Duration::from_secs(20);

/// Signs and sends actions, and follows them until their outcome is known.
pub struct Sender {
    client: Arc<Client>,
    keypair: Arc<Keypair>,
    permits: Arc<Semaphore>,
    sending: JoinSet<(Key, Result<Signature, Error>)>,
    /// What is being sent, with the last block height that takes it.
    queued: HashMap<Key, u64>,
    sent: HashMap<Key, Sent>,
    setbacks: HashMap<Key, Setback>,
}

struct Sent {
    signature: Signature,
    last_valid_height: u64,
    at: Instant,
}

/// An action that did not succeed.
#[derive(Clone, Copy)]
struct Setback {
    races: u32,
    failures: u32,
    /// Not sent again before.
    until: Instant,
}

impl Sender {
    pub fn new(client: Arc<Client>, keypair: Arc<Keypair>) -> Self {
        Self {
            client,
            keypair,
            permits: Arc::new(Semaphore::new(CONCURRENT)),
            sending: JoinSet::new(),
            queued: HashMap::new(),
            sent: HashMap::new(),
            setbacks: HashMap::new(),
        }
    }

    /// Takes in what became of what was sent. Comes before the state is read, so that the state
    /// shows all that this takes for landed.
    pub async fn follow(&mut self) -> Result<(), Error> {
        while let Some(sent) = self.sending.try_join_next() {
            self.note_sent(sent);
        }
        let (keys, signatures): (Vec<Key>, Vec<Signature>) = self
            .sent
            .iter()
            .take(STATUSES)
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
                    self.setbacks.remove(&key);
                }
                Some(Err(error)) => {
                    let logs = vec![];
                    self.note_refusal(key, &TransactionFailure { error, logs });
                }
            }
            self.sent.remove(&key);
        }
        self.forget_expired().await
    }

    /// Lets go of transactions that can't land any more.
    async fn forget_expired(&mut self) -> Result<(), Error> {
        if !self.sent.values().any(|sent| PATIENCE < sent.at.elapsed()) {
            return Ok(());
        }
        let height = self.client.rpc().get_block_height().await?;
        self.sent.retain(|key, sent| {
            let alive = height <= sent.last_valid_height;
            if !alive {
                tracing::warn!(step = ?key.step, account = %key.account, "expired before it landed");
            }
            alive
        });
        Ok(())
    }

    /// Sends the actions that are not on their way and do not wait. Returns at once.
    pub fn send(&mut self, actions: Vec<Action>, blockhash: Blockhash) {
        let due: HashSet<Key> = actions.iter().map(|action| action.key).collect();
        self.setbacks.retain(|key, _| due.contains(key));
        for action in actions {
            if QUEUED <= self.sending.len() {
                break;
            }
            if self.is_free(&action.key) {
                self.spawn(action, blockhash);
            }
        }
    }

    fn is_free(&self, key: &Key) -> bool {
        let waits = |setback: &Setback| Instant::now() < setback.until;
        !self.queued.contains_key(key)
            && !self.sent.contains_key(key)
            && !self.setbacks.get(key).is_some_and(waits)
    }

    fn spawn(&mut self, action: Action, blockhash: Blockhash) {
        let Action { key, instructions } = action;
        self.queued.insert(key, blockhash.last_valid_height);
        let (client, keypair) = (self.client.clone(), self.keypair.clone());
        let permits = self.permits.clone();
        self.sending.spawn(async move {
            let _permit = permits.acquire().await;
            let send = async {
                let transaction = transaction(&instructions, &[&keypair], blockhash.hash)?;
                client.submit(&transaction).await
            };
            (key, send.await)
        });
    }

    /// Waits until all that is being sent is sent.
    pub async fn finish(mut self) {
        while let Some(sent) = self.sending.join_next().await {
            self.note_sent(sent);
        }
    }

    fn note_sent(&mut self, sent: Result<(Key, Result<Signature, Error>), tokio::task::JoinError>) {
        let (key, result) = match sent {
            Ok(sent) => sent,
            Err(error) => std::panic::resume_unwind(error.into_panic()), // none is ever aborted
        };
        let Some(last_valid_height) = self.queued.remove(&key) else {
            return;
        };
        match result {
            Ok(signature) => {
                let at = Instant::now();
                let sent = Sent {
                    signature,
                    last_valid_height,
                    at,
                };
                self.sent.insert(key, sent);
            }
            Err(Error::TransactionFailed(refusal)) => self.note_refusal(key, &refusal),
            Err(error) => self.note_failure(key, &error),
        }
    }

    fn note_refusal(&mut self, key: Key, refusal: &TransactionFailure) {
        let races = self.setbacks.get(&key).map_or(0, |setback| setback.races) + 1;
        if RACES < races || !lost_race(refusal) {
            return self.note_failure(key, refusal);
        }
        tracing::debug!(step = ?key.step, account = %key.account, %refusal, "lost a race");
        let setback = self.setback(key);
        setback.races = races;
    }

    fn note_failure(&mut self, key: Key, error: &dyn std::fmt::Display) {
        let setback = self.setback(key);
        let wait = FIRST_WAIT.saturating_mul(1 << setback.failures.min(6));
        let wait = wait.min(LONGEST_WAIT);
        setback.failures += 1;
        setback.until = Instant::now() + wait;
        let wait_ms = wait.as_millis();
        tracing::warn!(step = ?key.step, account = %key.account, wait_ms, %error, "refused");
    }

    fn setback(&mut self, key: Key) -> &mut Setback {
        self.setbacks.entry(key).or_insert(Setback {
            races: 0,
            failures: 0,
            until: Instant::now(),
        })
    }
}

/// Whether the refusal says that somebody else, or time, was faster: the state will show it.
fn lost_race(refusal: &TransactionFailure) -> bool {
    match &refusal.error {
        // The same transaction is there, or the blockhash is not known here yet.
        TransactionError::AlreadyProcessed | TransactionError::BlockhashNotFound => true,
        TransactionError::InstructionError(_, error) => match error {
            // The account was closed.
            InstructionError::UninitializedAccount
            | InstructionError::IllegalOwner
            | InstructionError::AccountDataTooSmall => true,
            InstructionError::Custom(code) => races().contains(code),
            _ => false,
        },
        _ => false,
    }
}

fn races() -> [u32; 30] {
    use DriftShieldError::*;
    [
        AlreadySubmitted,
        ReceiptNotCollecting,
        WindowNotOver,
        SubmitPeriodOver,
        NothingToFinalize,
        MarketSettled,
        SettleOutOfOrder,
        ReceiptNotFinal,
        NothingToCollect,
        NothingUnbonding,
        StillUnbonding,
        SeatInUse,
        MarketHasBets,
        CreditLeft,
        AlreadyPaid,
        PolicyExpired,
        PolicyPaid,
        AlreadyRenewed,
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

    fn refused(error: InstructionError) -> TransactionFailure {
        TransactionFailure {
            error: TransactionError::InstructionError(0, error),
            logs: vec![],
        }
    }

    fn code(error: DriftShieldError) -> InstructionError {
        InstructionError::Custom(error::code(error))
    }

    #[test]
    fn races_are_told_from_faults() {
        for error in [
            code(DriftShieldError::AlreadySubmitted),
            code(DriftShieldError::NothingToFinalize),
            InstructionError::AccountDataTooSmall,
        ] {
            assert!(lost_race(&refused(error)));
        }
        let frozen = InstructionError::Custom(17); // of the token program
        for error in [frozen, code(DriftShieldError::WrongDestination)] {
            assert!(!lost_race(&refused(error)));
        }
    }

    #[tokio::test]
    async fn a_stuck_action_waits_longer_each_time_and_alone() {
        let client = Arc::new(Client::new("http://127.0.0.1:1".into()));
        let mut sender = Sender::new(client, Arc::new(Keypair::new()));
        let key = |byte| Key {
            step: crate::due::Step::Claim,
            account: [byte; 32].into(),
        };
        let mut waits = vec![];
        for _ in 0..9 {
            sender.note_refusal(key(1), &refused(InstructionError::Custom(17)));
            waits.push(
                sender.setbacks[&key(1)]
                    .until
                    .duration_since(Instant::now())
                    .as_secs(),
            );
        }
        assert_eq!(waits, [0, 1, 3, 7, 15, 31, 59, 59, 59]);
        assert!(!sender.is_free(&key(1)));
        assert!(sender.is_free(&key(2)));

        let lost = refused(code(DriftShieldError::NothingToFinalize));
        for _ in 0..RACES {
            sender.note_refusal(key(3), &lost);
            assert!(sender.is_free(&key(3)));
        }
        sender.note_refusal(key(3), &lost);
        assert!(!sender.is_free(&key(3)));
    }
}
