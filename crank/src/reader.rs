//! Reads a snapshot of the configured models from the chain, round by round.
//!
//! Each round reads by address: the clock, the models, their seats, the receipts that exist or can
//! still be created, the pages of the series that can still change, and the accounts that policies
//! and vaults depend on. It lists markets, positions, vaults, withdrawal requests, exposures and
//! policies.
//!
//! Seats of former oracles, receipts of earlier windows and all other pages are found by a listing
//! of seats, receipts and pages: at the start, every [`LISTING_INTERVAL`], and when a model has a
//! new version.

mod accounts;
mod insurance;
mod tracked;

use std::{collections::BTreeMap, mem::offset_of, sync::Arc, time::Duration};

use anchor_lang::{Address, wincode};
use anyhow::{Context, Result, bail};
use driftshield_sdk::{
    Account, Market, Model, Position, Receipt, Seat, Series, address,
    rpc::{Blockhash, Client, Error},
};
use futures::future::try_join_all;
use solana_clock::Clock;
use solana_commitment_config::CommitmentConfig;

use self::{
    accounts::{decode, fetch, without_addresses},
    tracked::TrackedAccounts,
};
use crate::{
    config::ModelConfig,
    snapshot::{MarketSnapshot, ModelSnapshot, Snapshot},
};

/// Time between two listings of a model's receipts, pages and seats.
const LISTING_INTERVAL: Duration = Duration::from_secs(60);

/// Reads the snapshot of each round.
pub struct SnapshotReader {
    client: Arc<Client>,
    /// One per model of the snapshot, in the same order.
    tracked: Vec<TrackedAccounts>,
    pub snapshot: Snapshot,
}

impl SnapshotReader {
    /// Reads the accounts of the configured `models`; the first [`Self::read`] completes the
    /// snapshot. `payer` is the fee payer and the oracle. Fails with [`MissingModel`] if an address
    /// holds no model.
    pub async fn start(
        client: Arc<Client>,
        payer: Address,
        models: &[ModelConfig],
    ) -> Result<Self> {
        let find = |config: &ModelConfig| {
            let (client, address, min_reward) = (&client, config.address, config.min_reward);
            async move {
                let found = match client.find::<Model>(&address).await {
                    Err(Error::WrongOwner(_) | Error::WrongType { .. }) => None,
                    found => found.with_context(|| format!("model {address}"))?,
                };
                let model = found.ok_or(MissingModel(address))?;
                Ok::<_, anyhow::Error>(ModelSnapshot::new(address, model, min_reward))
            }
        };
        let snapshots = try_join_all(models.iter().map(find)).await?;
        Ok(Self {
            client,
            tracked: models.iter().map(|_| TrackedAccounts::default()).collect(),
            snapshot: Snapshot {
                now: 0,
                payer,
                models: snapshots,
                paused: 0,
                collaterals: BTreeMap::new(),
                vaults: vec![],
                token_accounts: BTreeMap::new(),
            },
        })
    }

    /// Fetches a blockhash, then reads the snapshot. Fails if an account that is read by address
    /// comes from a slot before the blockhash's. Responses to listings don't name their slot; a
    /// single RPC node answers them from the same slot or a later one.
    ///
    /// A transaction that is signed with this blockhash, succeeds in simulation and fails on chain
    /// has therefore lost a race to a transaction that the snapshot could not show.
    pub async fn read(&mut self) -> Result<Blockhash> {
        let blockhash = self
            .client
            .rpc()
            .get_latest_blockhash_with_commitment_and_context(CommitmentConfig::confirmed())
            .await?;
        let min_slot = blockhash.context.slot;
        self.list().await?;
        self.read_accounts(min_slot).await?;
        self.read_markets().await?;
        insurance::list(&self.client, &mut self.snapshot).await?;
        insurance::read(&self.client, &mut self.snapshot, min_slot).await?;
        let (hash, last_valid_height) = blockhash.value;
        Ok(Blockhash {
            hash,
            last_valid_height,
        })
    }

    /// Lists receipts, pages and seats of the models whose listing is due.
    async fn list(&mut self) -> Result<()> {
        for (tracked, model) in self.tracked.iter_mut().zip(&mut self.snapshot.models) {
            if !tracked.is_listing_due(&model.account, LISTING_INTERVAL) {
                continue;
            }
            // The clock is read before the listing. A window that is decided by then can get no
            // receipt while the listing runs, so the listing is complete for it.
            let now = self.client.unix_timestamp().await?;
            let receipt_filter = [(offset_of!(Receipt, model), model.address)];
            let series_filter = [(offset_of!(Series, model), model.address)];
            let seat_filter = [(offset_of!(Seat, model), model.address)];
            let receipts = self.client.list::<Receipt>(&receipt_filter);
            let series = self.client.list::<Series>(&series_filter);
            let seats = self.client.list::<Seat>(&seat_filter);
            let (receipts, series, seats) = futures::try_join!(receipts, series, seats)?;
            tracked.apply_listing(
                model,
                now,
                &without_addresses(receipts),
                without_addresses(series),
                &without_addresses(seats),
            );
        }
        Ok(())
    }

    /// Reads the clock, the models, and the tracked seats, pages and receipts by address.
    async fn read_accounts(&mut self, min_slot: u64) -> Result<()> {
        let mut addresses = vec![solana_clock::sysvar::ID];
        for (tracked, model) in self.tracked.iter().zip(&self.snapshot.models) {
            addresses.push(model.address);
            let seat = |oracle| address::seat(&model.address, oracle);
            addresses.extend(tracked.oracles.iter().map(seat));
            let page = |page: &u64| address::series_page(&model.address, *page);
            addresses.extend(tracked.pages.iter().map(page));
            let receipt = |window: &u64| address::receipt(&model.address, *window);
            addresses.extend(tracked.windows.iter().map(receipt));
        }
        let accounts = fetch(&self.client, &addresses, min_slot).await?;
        let mut accounts = accounts.into_iter();
        let mut next = || accounts.next().flatten();

        let clock = next().context("the RPC node returned no Clock sysvar; check rpc_url")?;
        let clock: Clock =
            wincode::deserialize(&clock).context("could not decode the Clock sysvar")?;
        let now = clock.unix_timestamp;
        self.snapshot.now = now;
        for (tracked, model) in self.tracked.iter_mut().zip(&mut self.snapshot.models) {
            let account = next().context(MissingModel(model.address))?;
            let Account::Model(account) = decode(&account)? else {
                bail!("account {} is not a Model", model.address);
            };
            model.account = *account;
            model.seats.clear();
            for _ in 0..tracked.oracles.len() {
                if let Some(data) = next()
                    && let Account::Seat(seat) = decode(&data)?
                {
                    model.seats.push(*seat);
                }
            }
            for page in tracked.pages.clone() {
                let series = match next().map(|data| decode(&data)).transpose()? {
                    Some(Account::Series(series)) => Some(*series),
                    _ => None,
                };
                tracked.apply_page(model, now, page, series);
            }
            for window in tracked.windows.clone() {
                let receipt = match next().map(|data| decode(&data)).transpose()? {
                    Some(Account::Receipt(receipt)) => Some(*receipt),
                    _ => None,
                };
                tracked.apply_receipt(model, now, window, receipt);
            }
            model.known_until = tracked.tracked_until;
            tracked.track_until_now(model, now);
        }
        Ok(())
    }

    /// Lists the models' markets, and the positions of settled markets.
    async fn read_markets(&mut self) -> Result<()> {
        let client = &self.client;
        let calls = self.snapshot.models.iter_mut().map(|model| async move {
            let filter = [(offset_of!(Market, model), model.address)];
            let markets = client.list::<Market>(&filter).await?;
            let markets = markets.into_iter().map(|(address, account)| async move {
                let positions = if account.is_settled() && 0 < account.positions {
                    let filter = [(offset_of!(Position, market), address)];
                    client.list::<Position>(&filter).await?
                } else {
                    vec![]
                };
                Ok::<_, Error>(MarketSnapshot {
                    address,
                    account,
                    positions: without_addresses(positions),
                })
            });
            model.markets = try_join_all(markets).await?;
            Ok::<_, Error>(())
        });
        try_join_all(calls).await?;
        Ok(())
    }
}

/// A configured address that holds no model.
#[derive(Debug, thiserror::Error)]
#[error("no model at address {0} on this chain; check the address and rpc_url")]
pub struct MissingModel(Address);
