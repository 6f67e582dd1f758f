//! The RPC node: reads of accounts, within time limits.

use std::{future::Future, sync::Arc, time::Duration};

use driftshield_sdk::{
    Address,
    rpc::{Accounts, Client, Error, Hash},
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};

use super::failure::Failure;
use crate::problem::Problem;

/// Longest time that one request to the node may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time that a request waits for the node to reach its `min_slot`.
const SLOT_WAIT: Duration = Duration::from_secs(2);
const SLOT_POLL: Duration = Duration::from_millis(150);

/// Where transactions are built from, and what they may pay for priority.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ChainOptions {
    /// URL of the Solana RPC node from which transactions are built and on which they are simulated;
    /// without it, the routes that build transactions answer 503.
    #[arg(long, env = "RPC_URL", hide_env_values = true)]
    pub rpc_url: Option<String>,
    /// Highest priority fee of a transaction, in micro-lamports per compute unit of its limit.
    #[arg(long, env = "MAX_PRIORITY_FEE", default_value_t = 100_000)]
    pub max_priority_fee: u64,
    /// Percentile of the recent blocks' lowest priority fees that a transaction pays.
    #[arg(long, env = "PRIORITY_FEE_PERCENTILE", default_value_t = 60,
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub priority_fee_percentile: u8,
    /// URL under which clients reach this API, for absolute links in Actions [default: from the
    /// request's Host header]
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<String>,
}

/// The RPC node, if one is configured.
#[derive(Default)]
pub struct Chain {
    node: Option<Arc<Node>>,
    public_url: Option<String>,
}

/// An RPC node, and what transactions pay for priority.
pub struct Node {
    pub client: Client,
    pub max_priority_fee: u64,
    pub priority_fee_percentile: u8,
    genesis: OnceCell<Hash>,
}

impl Chain {
    pub fn new(options: &ChainOptions) -> Self {
        let node = options.rpc_url.as_ref().map(|url| {
            Arc::new(Node {
                client: Client::with_timeout(url.clone(), CALL_TIMEOUT),
                max_priority_fee: options.max_priority_fee,
                priority_fee_percentile: options.priority_fee_percentile,
                genesis: OnceCell::new(),
            })
        });
        let public_url = options.public_url.as_ref();
        Self {
            node,
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
        }
    }

    /// Configured URL under which clients reach this API, without a slash at its end.
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// The chain for one request, not before `min_slot`. Fails if no node is configured.
    pub fn view(&self, min_slot: Option<u64>) -> Result<View, Problem> {
        let node = self.node.clone().ok_or(Failure::NoNode)?;
        Ok(View { node, min_slot })
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
}

impl View {
    /// Reads accounts as of one slot, at least that of the reads before. Waits up to 2 s for the node
    /// to reach it.
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
        let deadline = Instant::now() + SLOT_WAIT;
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

    #[test]
    fn without_a_node_there_is_no_view_of_the_chain() {
        let chain = Chain::new(&ChainOptions::default());
        let Err(Problem::Transaction(failure)) = chain.view(None) else {
            panic!("a view without a node");
        };
        assert!(failure.to_string().contains("--rpc-url"), "{failure}");
    }

    #[tokio::test]
    async fn a_node_that_cannot_be_reached_is_not_named_to_the_client() {
        let chain = Chain::new(&ChainOptions {
            rpc_url: Some("http://127.0.0.1:1/?api-key=secret".into()),
            ..ChainOptions::default()
        });
        let mut view = chain.view(None).ok().unwrap();
        let problem = view.accounts(&[driftshield_sdk::ID]).await.unwrap_err();
        assert_eq!(problem.code(), "rpc-unavailable");
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert_eq!(chain.blockchain_id().await, None);
    }
}
