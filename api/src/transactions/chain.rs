//! The RPC node: reads of accounts, within time limits.

use std::{sync::Arc, time::Duration};

use driftshield_sdk::{
    Address,
    rpc::{Accounts, Client, Error, Hash},
};
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use super::failure::Failure;
use crate::problem::Problem;

/// Longest time that one request to the node may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two looks whether the node has reached a slot.
const SLOT_POLL: Duration = Duration::from_millis(150);
/// Number of requests that may use the node. More would wait longer than their clients.
const MAX_VIEWS: usize = 100;

/// Where transactions are built from, and what they may pay for priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSettings {
    /// URL of the RPC node; `None` if no transactions are built.
    pub rpc_url: Option<String>,
    /// Highest priority fee, in micro-lamports per compute unit.
    pub max_priority_fee: u64,
    /// Percentile of the recent blocks' lowest priority fees that a transaction pays.
    pub priority_fee_percentile: u8,
}

/// The RPC node, if one is configured.
pub struct Chain {
    node: Option<Arc<Node>>,
}

/// An RPC node, and what transactions pay for priority.
pub struct Node {
    pub client: Client,
    pub max_priority_fee: u64,
    pub priority_fee_percentile: u8,
    /// Longest time that a request waits for the node to reach its `min_slot`.
    slot_wait: Duration,
    /// Permits to use the node in a request.
    views: Arc<Semaphore>,
    genesis: OnceCell<Hash>,
}

impl Chain {
    pub fn new(settings: &ChainSettings, slot_wait: Duration) -> Self {
        let node = settings.rpc_url.clone().map(|url| {
            Arc::new(Node {
                client: Client::with_timeout(url, CALL_TIMEOUT),
                max_priority_fee: settings.max_priority_fee,
                priority_fee_percentile: settings.priority_fee_percentile,
                slot_wait,
                views: Arc::new(Semaphore::new(MAX_VIEWS)),
                genesis: OnceCell::new(),
            })
        });
        Self { node }
    }

    /// The chain for one request, not before `min_slot`. Fails if no node is configured, or if too many
    /// requests use it.
    pub fn view(&self, min_slot: Option<i64>) -> Result<View, Problem> {
        let node = self.node.clone().ok_or(Failure::NoNode)?;
        let permit = node.views.clone().try_acquire_owned();
        Ok(View {
            node,
            min_slot: min_slot.map(i64::unsigned_abs),
            _permit: permit.map_err(|_| Problem::Overloaded)?,
        })
    }

    /// Slot of the node; `None` if no node is configured.
    pub async fn slot(&self) -> Option<Result<u64, Problem>> {
        let node = self.node.as_ref()?;
        let slot = call(node.client.slot()).await;
        Some(slot.map_err(|error| Failure::from(error).into()))
    }

    /// CAIP-2 id of the cluster: the first 32 characters of its genesis hash. `None` without a node,
    /// or while it doesn't answer.
    pub async fn blockchain_id(&self) -> Option<String> {
        let node = self.node.as_ref()?;
        let read = || call(node.client.genesis_hash());
        let genesis = node.genesis.get_or_try_init(read).await.ok()?.to_string();
        Some(format!("solana:{}", genesis.get(..32)?))
    }
}

/// The chain as one request sees it: its slot never goes back.
pub struct View {
    pub node: Arc<Node>,
    min_slot: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl View {
    /// Reads accounts as of one slot, at least that of the reads before. Waits for the node to reach
    /// it, but not longer than the settings say.
    pub async fn accounts(&mut self, addresses: &[Address]) -> Result<Accounts, Problem> {
        let client = &self.node.client;
        let accounts = self
            .when_reached(|| client.accounts(addresses, self.min_slot))
            .await?;
        self.min_slot = Some(accounts.slot);
        Ok(accounts)
    }

    /// Calls the node, and again while it is behind the slot of the request.
    pub async fn when_reached<T, F: Future<Output = Result<T, Error>>>(
        &self,
        read: impl Fn() -> F,
    ) -> Result<T, Problem> {
        let deadline = Instant::now() + self.node.slot_wait;
        loop {
            match call(read()).await {
                Err(CallError::Node(error)) if error.is_slot_not_reached() => {
                    if deadline <= Instant::now() {
                        let min_slot = self.min_slot.unwrap_or_default();
                        return Err(Failure::SlotNotReached { min_slot }.into());
                    }
                    sleep(SLOT_POLL).await;
                }
                answer => return Ok(answer.map_err(Failure::from)?),
            }
        }
    }
}

/// Why a call gave no answer.
pub enum CallError {
    TookTooLong,
    Node(Error),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TookTooLong => Self::NodeTooSlow,
            CallError::Node(error) => error.into(),
        }
    }
}

/// Awaits a request to the node for at most [`CALL_TIMEOUT`]: the client would otherwise wait as long
/// as a node that refuses too many requests demands.
pub async fn call<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, CallError> {
    match timeout(CALL_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(CallError::Node),
        Err(_) => Err(CallError::TookTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(rpc_url: Option<&str>) -> Chain {
        let settings = ChainSettings {
            rpc_url: rpc_url.map(str::to_owned),
            max_priority_fee: 0,
            priority_fee_percentile: 60,
        };
        Chain::new(&settings, Duration::ZERO)
    }

    #[test]
    fn without_a_node_there_is_no_view_of_the_chain() {
        let Err(Problem::Transaction(failure)) = chain(None).view(None) else {
            panic!("a view without a node");
        };
        assert!(failure.to_string().contains("--rpc-url"), "{failure}");
    }

    #[tokio::test]
    async fn a_node_that_cannot_be_reached_is_not_named_to_the_client() {
        let chain = chain(Some("http://127.0.0.1:1/?api-key=secret"));
        let mut view = chain.view(None).ok().unwrap();
        let problem = view.accounts(&[driftshield_sdk::ID]).await.unwrap_err();
        assert_eq!(problem.code(), "rpc-unavailable");
        assert_eq!(problem.retry_after_secs(), Some(1));
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert_eq!(chain.blockchain_id().await, None);
    }

    #[tokio::test]
    async fn more_requests_than_the_node_can_answer_are_refused() {
        let chain = chain(Some("http://127.0.0.1:1"));
        let view = || chain.view(None);
        let views: Vec<_> = (0..MAX_VIEWS).map(|_| view().ok().unwrap()).collect();
        assert!(matches!(view(), Err(Problem::Overloaded)));
        drop(views);
        assert!(view().is_ok());
    }
}
