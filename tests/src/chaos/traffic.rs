//! Transactions that keep the chain busy: bets, and accounts that are opened, closed and opened again.

use std::sync::Arc;

use driftshield_sdk::{
    Address, Aggregate, Instruction, Market, MarketTerms, Model, address, instruction,
    rpc::{Keypair, Signer},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_system_interface::instruction::transfer;
use tokio::task::JoinHandle;

use crate::{
    network::fixture::{BETTORS, Fixture},
    world::TOKEN,
};

/// Index of the market among the fixture's that accepts bets for the whole run.
pub const LASTING_MARKET: usize = 2;
/// A window that begins after every run.
pub const FAR_WINDOW: u64 = 5_000;
/// Ids of the markets that are opened and closed.
const IDS: std::ops::Range<u64> = 100..104;

/// A task that sends transactions until it is stopped.
pub struct Traffic {
    task: JoinHandle<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Traffic {
    pub fn start(fixture: Arc<Fixture>, seed: u64) -> Self {
        let stop = tokio::sync::watch::Sender::new(false);
        let stopped = stop.subscribe();
        let task = tokio::spawn(async move {
            let sibling = fixture.markets[LASTING_MARKET];
            let sibling = fixture.network.client.get(&sibling).await.unwrap();
            let mut sender = Sender {
                fixture,
                sibling,
                random: StdRng::seed_from_u64(seed),
                open: vec![],
            };
            sender.find_open().await;
            while !*stopped.borrow() {
                sender.send_one().await;
            }
        });
        Self { task, stop }
    }

    /// Waits until the last transaction is confirmed.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

struct Sender {
    fixture: Arc<Fixture>,
    random: StdRng,
    /// A market of the same creator and mint.
    sibling: Market,
    /// Ids of the markets that are open.
    open: Vec<u64>,
}

impl Sender {
    /// Finds the markets that an earlier task has left open.
    async fn find_open(&mut self) {
        for id in IDS {
            let client = &self.fixture.network.client;
            // A stranger may have funded the address of a closed one.
            let found = client.find::<Market>(&self.market(id)).await;
            if matches!(found, Ok(Some(_))) {
                self.open.push(id);
            }
        }
    }

    async fn send_one(&mut self) {
        match self.random.random_range(0..10) {
            0..6 => self.bet().await,
            6 => self.create_or_cancel().await,
            7 => self.create_and_cancel().await,
            8 => self.recreate().await,
            _ => self.donate().await,
        }
    }

    async fn bet(&mut self) {
        let bettor = self.random.random_range(0..BETTORS);
        let outcome = self.random.random_range(0..3);
        // Small, so that thousands of bets stay below what the bonds secure.
        self.fixture
            .bet(LASTING_MARKET, bettor, outcome, TOKEN / 50)
            .await;
    }

    async fn create_or_cancel(&mut self) {
        let id = self.random.random_range(IDS);
        let instruction = if let Some(place) = self.open.iter().position(|open| *open == id) {
            self.open.swap_remove(place);
            self.cancel(id)
        } else {
            self.open.push(id);
            self.create(id).await
        };
        self.send(&[instruction]).await;
    }

    /// An account that is created and closed in one transaction.
    async fn create_and_cancel(&mut self) {
        let id = self.random.random_range(IDS);
        if !self.open.contains(&id) {
            let create = self.create(id).await;
            self.send(&[create, self.cancel(id)]).await;
        }
    }

    /// An account that is closed and created again in one transaction.
    async fn recreate(&mut self) {
        if let Some(id) = self.open.first().copied() {
            let create = self.create(id).await;
            self.send(&[self.cancel(id), create]).await;
        }
    }

    /// A stranger sends lamports to an account of the program, or to the address of one that is closed.
    async fn donate(&mut self) {
        let id = self.random.random_range(IDS);
        let market = self.market(id);
        let stranger = &self.fixture.bettors[0];
        // More than the rent of an account without data.
        let donation = transfer(&stranger.pubkey(), &market, 1_000_000);
        self.send_as(&[donation], stranger).await;
    }

    fn market(&self, id: u64) -> Address {
        address::market(&self.fixture.creator.pubkey(), id)
    }

    async fn create(&mut self, id: u64) -> Instruction {
        let client = &self.fixture.network.client;
        let model: Model = client.get(&self.fixture.model).await.unwrap();
        let terms = MarketTerms {
            model_version: model.version,
            thresholds: vec![200_000, 500_000],
            aggregate: Aggregate::Max,
            first_window: FAR_WINDOW,
            last_window: FAR_WINDOW,
            min_observed: 0,
            close_ts: model.window_start(FAR_WINDOW).unwrap(),
            creator_fee_bps: self.random.random_range(0..100),
            question: "Will it drift?".into(),
        };
        let creator = self.fixture.creator.pubkey();
        instruction::create_market(creator, id, self.fixture.model, &model, terms)
    }

    fn cancel(&self, id: u64) -> Instruction {
        let market = self.market(id);
        let state = Market {
            vault: address::market_vault(&market),
            ..self.sibling
        };
        instruction::cancel_market(market, &state, true)
    }

    async fn send(&self, instructions: &[Instruction]) {
        self.send_as(instructions, &self.fixture.creator).await;
    }

    async fn send_as(&self, instructions: &[Instruction], payer: &Keypair) {
        let client = &self.fixture.network.client;
        client.send(instructions, &[payer]).await.unwrap();
    }
}
