//! A network on which markets are created and closed, by transactions whose slots are known.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use driftshield_sdk::{
    Address, Aggregate, Instruction, Market, MarketTerms, Model, address, instruction,
    rpc::{Keypair, Signature, Signer, TransactionError, VersionedTransaction},
};
use driftshield_tests::network::{Service, fixture::Fixture, free_address, relay, wait_for};
use reqwest::StatusCode;
use serde_json::Value;
use solana_message::{Message, VersionedMessage};
use sqlx::PgPool;

use crate::mirror;

/// A window that begins ten minutes after the first one.
const LATE_WINDOW: u64 = 300;
const MAX_UNITS: u32 = 1_400_000;

const CREATOR_LAMPORTS: u64 = 10_000_000_000;

/// A network, and the markets of one creator.
pub struct Stage {
    pub fixture: Fixture,
    pub pool: PgPool,
    pub creator: Keypair,
    pub model: Model,
    /// A market of the fixture, which has bets. Other markets have the same mint.
    other: Market,
    markets: AtomicU64,
    transactions: AtomicU32,
}

/// A transaction that was executed.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub signature: Signature,
    pub slot: u64,
}

impl Stage {
    pub async fn set() -> Self {
        let fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
        relay::deploy(&fixture.network).await;
        let client = &fixture.network.client;
        let (creator, payer) = (Keypair::new(), &fixture.network.payer);
        let fund = transfer(payer.pubkey(), creator.pubkey(), CREATOR_LAMPORTS);
        client.send(&[fund], &[payer]).await.unwrap();
        Self {
            creator,
            pool: fixture.network.database().await,
            model: client.get(&fixture.model).await.unwrap(),
            other: client.get(&fixture.markets[0]).await.unwrap(),
            markets: AtomicU64::new(1),
            transactions: AtomicU32::new(0),
            fixture,
        }
    }

    /// A wallet that has nothing to do with the markets, and pays the fees.
    fn stranger(&self) -> &Keypair {
        &self.fixture.network.payer
    }

    /// The number of a market, or of another account, that does not exist yet.
    pub fn new_market(&self) -> u64 {
        self.markets.fetch_add(1, Ordering::Relaxed)
    }

    pub fn address(&self, market: u64) -> Address {
        address::market(&self.creator.pubkey(), market)
    }

    /// Creates a market that closes after the test. The question tells its lives apart.
    pub fn create(&self, market: u64, question: &str) -> Instruction {
        self.create_on(market, question, LATE_WINDOW)
    }

    /// Creates a market on one window, which is void if the window gets no value.
    pub fn create_on(&self, market: u64, question: &str, window: u64) -> Instruction {
        let terms = MarketTerms {
            model_version: self.model.version,
            thresholds: vec![200_000, 500_000],
            aggregate: Aggregate::Max,
            first_window: window,
            last_window: window,
            min_observed: 1,
            close_ts: self.model.window_start(window).unwrap(),
            creator_fee_bps: 100,
            question: question.into(),
        };
        let (creator, model) = (self.creator.pubkey(), self.fixture.model);
        instruction::create_market(creator, market, model, &self.model, terms)
    }

    pub fn cancel(&self, market: u64) -> Instruction {
        let market = self.address(market);
        let state = Market {
            creator: self.creator.pubkey(),
            vault: address::market_vault(&market),
            ..self.other
        };
        instruction::cancel_market(market, &state, true)
    }

    /// Cancels a market that has bets, which is refused.
    pub fn cancel_other(&self) -> Instruction {
        instruction::cancel_market(self.fixture.markets[0], &self.other, false)
    }

    /// A stranger transfers a hundredth of a SOL to the address of a market.
    pub fn fund(&self, market: u64) -> Instruction {
        self.fund_address(self.address(market))
    }

    /// A stranger transfers a hundredth of a SOL to an address.
    pub fn fund_address(&self, address: Address) -> Instruction {
        transfer(self.stranger().pubkey(), address, 10_000_000)
    }

    /// A stranger names the address of a market as writable, and changes nothing.
    pub fn name(&self, market: u64) -> Instruction {
        transfer(self.stranger().pubkey(), self.address(market), 0)
    }

    /// The stranger, and the creator and the bettors that sign.
    fn signers(&self, instructions: &[Instruction]) -> Vec<&Keypair> {
        let accounts = instructions.iter().flat_map(|i| &i.accounts);
        let signs = |key: &&Keypair| {
            let mut signers = accounts.clone().filter(|account| account.is_signer);
            signers.any(|account| account.pubkey == key.pubkey())
        };
        let others = [&self.creator].into_iter().chain(&self.fixture.bettors);
        [self.stranger()]
            .into_iter()
            .chain(others.filter(signs))
            .collect()
    }

    /// Sends a transaction of the creator, the bettors or the stranger, which succeeds.
    pub async fn send(&self, instructions: &[Instruction]) -> Sent {
        let signers = self.signers(instructions);
        self.send_signed(instructions, &signers).await
    }

    /// Sends such a transaction, which may fail on the chain.
    pub async fn try_to_send(
        &self,
        instructions: &[Instruction],
    ) -> Result<Sent, TransactionError> {
        let signers = self.signers(instructions);
        let signature = self.submit(instructions, &signers).await;
        let (sent, result) = self.outcome(signature).await;
        result.map(|()| sent)
    }

    /// Sends a transaction that succeeds. The first signer pays the fee.
    pub async fn send_signed(&self, instructions: &[Instruction], signers: &[&Keypair]) -> Sent {
        let signature = self.submit(instructions, signers).await;
        let (sent, result) = self.outcome(signature).await;
        result.unwrap_or_else(|error| panic!("{signature}: {error}"));
        sent
    }

    /// Sends a transaction that fails on the chain.
    pub async fn send_failing(&self, instructions: &[Instruction]) -> Sent {
        let signers = self.signers(instructions);
        let signature = self.submit(instructions, &signers).await;
        let (sent, result) = self.outcome(signature).await;
        assert!(result.is_err(), "{signature} succeeded");
        sent
    }

    /// Sends two transactions right after each other, at the start of a slot. They are most often in one
    /// slot. Fails if one of them does.
    pub async fn send_together(
        &self,
        both: [&[Instruction]; 2],
    ) -> Result<[Sent; 2], TransactionError> {
        let rpc = self.fixture.network.client.rpc();
        let before = rpc.get_slot().await.unwrap();
        while rpc.get_slot().await.unwrap() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let [first, second] = both;
        let first = self.submit(first, &self.signers(first)).await;
        let second = self.submit(second, &self.signers(second)).await;
        let (first, first_result) = self.outcome(first).await;
        let (second, second_result) = self.outcome(second).await;
        first_result.and(second_result)?;
        Ok([first, second])
    }

    /// Submits a transaction that is not simulated before, because it may depend on one that is not
    /// confirmed yet, or fail.
    async fn submit(&self, instructions: &[Instruction], signers: &[&Keypair]) -> Signature {
        let client = &self.fixture.network.client;
        // Another limit each time: two transactions with the same content would be one.
        let units = MAX_UNITS - self.transactions.fetch_add(1, Ordering::Relaxed);
        let mut limited = vec![unit_limit(units)];
        limited.extend_from_slice(instructions);
        let blockhash = client.rpc().get_latest_blockhash().await.unwrap();
        let payer = signers[0].pubkey();
        let message = Message::new_with_blockhash(&limited, Some(&payer), &blockhash);
        let message = VersionedMessage::Legacy(message);
        let transaction = VersionedTransaction::try_new(message, signers).unwrap();
        client.submit(&transaction).await.unwrap()
    }

    /// Waits until a transaction is confirmed.
    async fn outcome(&self, signature: Signature) -> (Sent, Result<(), TransactionError>) {
        let client = &self.fixture.network.client;
        let what = format!("transaction {signature}");
        wait_for(&what, Duration::from_secs(20), async || {
            let signatures = [signature];
            let statuses = client.rpc().get_signature_statuses(&signatures).await;
            let status = statuses.unwrap().value.remove(0)?;
            client.signature_statuses(&signatures).await.unwrap()[0].as_ref()?;
            let slot = status.slot;
            Some((Sent { signature, slot }, status.status))
        })
        .await
    }

    /// Starts an indexer whose RPC node is behind the proxy.
    pub fn start_indexer(&self) -> Service {
        self.start_indexer_on("grpc")
    }

    /// Starts such an indexer, whose slots come from `source`.
    pub fn start_indexer_on(&self, source: &str) -> Service {
        let network = &self.fixture.network;
        let mut command = network.command("indexer");
        command
            .args(["run", "--source", source])
            .env("RPC_URL", &self.fixture.proxy.url);
        Service::start("indexer", &mut command, network.directory.path())
    }

    /// Waits until the mirror shows the chain as it is now.
    pub async fn catch_up(&self) {
        let slot = self.fixture.network.client.rpc().get_slot().await.unwrap();
        mirror::wait_until_settled(&self.pool, slot as i64, "the mirror").await;
    }
}

fn transfer(from: Address, to: Address, lamports: u64) -> Instruction {
    solana_system_interface::instruction::transfer(&from, &to, lamports)
}

fn unit_limit(units: u32) -> Instruction {
    let program = "ComputeBudget111111111111111111111111111111";
    Instruction {
        program_id: program.parse().unwrap(),
        accounts: vec![],
        data: [&[2][..], &units.to_le_bytes()].concat(),
    }
}

/// A running API.
pub struct Api {
    url: String,
    _service: Service,
}

impl Api {
    pub fn start(stage: &Stage) -> Self {
        let listen = free_address().to_string();
        let network = &stage.fixture.network;
        Self {
            url: format!("http://{listen}/api/v1"),
            _service: network.service("api", "api", &["--listen", &listen]),
        }
    }

    /// The answer for a path. `None` if nothing is found there.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("{}/{path}", self.url);
        let what = format!("an answer of the API for {path}");
        wait_for(&what, Duration::from_secs(30), async || {
            let response = reqwest::get(&url).await.ok()?;
            match response.status() {
                StatusCode::OK => Some(Some(response.json().await.unwrap())),
                StatusCode::NOT_FOUND => Some(None),
                // It has just started, or the mirror was away.
                StatusCode::SERVICE_UNAVAILABLE => None,
                status => panic!("{path}: {status}: {}", response.text().await.unwrap()),
            }
        })
        .await
    }
}
