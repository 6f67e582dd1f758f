//! What wallets paid and got in markets, from the events that the RPC node has.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, Event, rpc::Client};

/// What a wallet paid and got.
#[derive(Clone, Copy, Default)]
struct Wallet {
    staked: i128,
    rents: i128,
    profit: i128,
}

#[derive(Default)]
pub struct Expected {
    wallets: BTreeMap<Address, Wallet>,
    /// Open stakes by market and wallet.
    open: BTreeMap<(Address, Address), i128>,
    /// Number and sum of the bets by market.
    bets: BTreeMap<Address, (u64, i128)>,
    claims: usize,
    /// Slot of the last event.
    pub slot: u64,
}

impl Expected {
    /// Reads the events of `markets`.
    pub async fn read(client: &Client, markets: &[Address]) -> Self {
        let mut expected = Self::default();
        for market in markets {
            for event in client.events(market).await.unwrap() {
                expected.slot = expected.slot.max(event.slot);
                expected.add(*market, &event.event);
            }
        }
        expected
    }

    fn add(&mut self, market: Address, event: &Event) {
        match event {
            Event::BetPlaced(e) => {
                let wallet = self.wallets.entry(e.owner).or_default();
                wallet.staked += i128::from(e.amount);
                wallet.rents += i128::from(e.rent);
                *self.open.entry((market, e.owner)).or_default() += i128::from(e.amount);
                let (bets, staked) = self.bets.entry(market).or_default();
                *bets += 1;
                *staked += i128::from(e.amount);
            }
            Event::PositionBought(e) => {
                let gain = i128::from(e.amount) - i128::from(e.paid);
                self.wallets.entry(e.buyer).or_default().profit += gain;
                self.wallets.entry(e.seller).or_default().profit -= gain;
                *self.open.entry((market, e.buyer)).or_default() += i128::from(e.amount);
                *self.open.entry((market, e.seller)).or_default() -= i128::from(e.amount);
            }
            Event::Claimed(e) => {
                let stakes = self.open.remove(&(market, e.owner)).unwrap();
                self.wallets.entry(e.owner).or_default().profit += i128::from(e.paid) - stakes;
                self.claims += 1;
            }
            _ => {}
        }
    }

    fn wallet(&self, wallet: &Address) -> Wallet {
        self.wallets.get(wallet).copied().unwrap_or_default()
    }

    pub fn profit(&self, wallet: &Address) -> i128 {
        self.wallet(wallet).profit
    }

    pub fn staked(&self, wallet: &Address) -> i128 {
        self.wallet(wallet).staked
    }

    pub fn rents(&self, wallet: &Address) -> i128 {
        self.wallet(wallet).rents
    }

    /// Stakes in open positions.
    pub fn open(&self, wallet: &Address) -> i128 {
        let own = self.open.iter().filter(|((_, owner), _)| owner == wallet);
        own.map(|(_, stake)| stake).sum()
    }

    /// Number and sum of the bets in a market.
    pub fn bets(&self, market: &Address) -> (u64, i128) {
        self.bets.get(market).copied().unwrap_or_default()
    }

    /// Sum of all bets.
    pub fn volume(&self) -> i128 {
        self.bets.values().map(|(_, staked)| staked).sum()
    }

    pub fn claims(&self) -> usize {
        self.claims
    }
}
