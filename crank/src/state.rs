//! Reading the chain: the models that are looked after, and what hangs on them.
//!
//! A round reads by address what can change from one round to the next: receipts of windows that
//! take submissions or are in question, seats, the models and the clock. All that there is, is
//! listed at the start and from time to time, as nothing else finds a seat or an old receipt.

mod insurance;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
    sync::Arc,
    time::{Duration, Instant},
};

use anchor_lang::Address;
use anyhow::{Context, Result, bail, ensure};
use driftshield_sdk::{
    Account, Market, Model, Position, Receipt, Seat, address,
    rpc::{Blockhash, Client, Error},
};
use futures::future::try_join_all;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{config::RpcAccountInfoConfig, response::UiAccountEncoding};

use crate::due::{MarketState, ModelState, State, first_open, is_settled_up, windows_over};

/// How often everything is listed anew.
const LISTING: Duration = Duration::from_secs(60);
/// The most receipts past their retention that are looked after at once.
const CLOSABLE: usize = 64;
/// The most accounts that one call reads.
const ACCOUNTS: usize = 100;

const CLOCK: Address = anchor_lang::address!("SysvarC1ock11111111111111111111111111111111");

/// Reads the state round by round.
pub struct Reader {
    client: Arc<Client>,
    watches: Vec<Watch>,
    pub state: State,
}

/// What of a model is read by address.
#[derive(Default)]
struct Watch {
    listed: Option<Instant>,
    /// The model's version when it was listed: the oracles' seats are by it.
    version: u32,
    windows: BTreeSet<u64>,
    /// Windows before this one are watched, or need not be.
    until: u64,
    oracles: BTreeSet<Address>,
}

impl Reader {
    /// Reads all there is of the models. `payer` pays for transactions and submits.
    pub async fn start(client: Arc<Client>, payer: Address, models: &[Address]) -> Result<Self> {
        let read = |model: Address| {
            let client = &client;
            async move {
                let found = match client.find::<Model>(&model).await {
                    Err(Error::WrongOwner(_) | Error::WrongType { .. }) => None,
                    found => found.with_context(|| format!("model {model}"))?,
                };
                Ok::<_, anyhow::Error>((model, found))
            }
        };
        let mut found = vec![];
        for (address, model) in try_join_all(models.iter().map(|model| read(*model))).await? {
            let Some(model) = model else {
                bail!(MissingModel(address));
            };
            found.push(ModelState {
                address,
                model,
                receipts: BTreeMap::new(),
                settled: BTreeMap::new(),
                read_until: 0,
                seats: vec![],
                markets: vec![],
                exposures: vec![],
                policies: vec![],
                submissions: BTreeMap::new(),
            });
        }
        Ok(Self {
            client,
            watches: found.iter().map(|_| Watch::default()).collect(),
            state: State {
                now: 0,
                payer,
                models: found,
                paused: 0,
                collaterals: BTreeMap::new(),
                vaults: vec![],
                tokens: BTreeMap::new(),
            },
        })
    }

    /// A blockhash, and then the state, no older than it: a transaction that is signed with it
    /// and fails on chain lost a race that the state could not show yet.
    pub async fn read(&mut self) -> Result<Blockhash> {
        let blockhash = self
            .client
            .rpc()
            .get_latest_blockhash_with_commitment_and_context(CommitmentConfig::confirmed())
            .await?;
        self.list().await?;
        self.read_accounts(blockhash.context.slot).await?;
        self.read_markets().await?;
        self.list_insurance().await?;
        self.read_insurance(blockhash.context.slot).await?;
        let (hash, last_valid_height) = blockhash.value;
        Ok(Blockhash {
            hash,
            last_valid_height,
        })
    }

    /// Lists receipts and seats of models where that is due.
    async fn list(&mut self) -> Result<()> {
        for (watch, state) in self.watches.iter_mut().zip(&mut self.state.models) {
            let is_fresh = watch
                .listed
                .is_some_and(|listed| listed.elapsed() < LISTING);
            if is_fresh && watch.version == state.model.version {
                continue;
            }
            // The clock first: no receipt of a window whose submit period is over by then can be
            // made while they are listed.
            let now = self.client.unix_timestamp().await?;
            let of_receipts = [(offset_of!(Receipt, model), state.address)];
            let of_seats = [(offset_of!(Seat, model), state.address)];
            let receipts = self.client.list::<Receipt>(&of_receipts);
            let seats = self.client.list::<Seat>(&of_seats);
            let (receipts, seats) = futures::try_join!(receipts, seats)?;
            watch.adopt(state, now, receipts, seats);
        }
        Ok(())
    }

    /// Reads clock, models, seats and receipts, by address.
    async fn read_accounts(&mut self, min_slot: u64) -> Result<()> {
        let mut addresses = vec![CLOCK];
        for (watch, state) in self.watches.iter().zip(&self.state.models) {
            addresses.push(state.address);
            let seat = |oracle| address::seat(&state.address, oracle);
            addresses.extend(watch.oracles.iter().map(seat));
            let receipt = |window: &u64| address::receipt(&state.address, *window);
            addresses.extend(watch.windows.iter().map(receipt));
        }
        let mut accounts = self.fetch(&addresses, min_slot).await?.into_iter();
        let mut next = || accounts.next().flatten();

        let clock = next().context("the chain has no clock")?;
        let now = clock.get(32..).and_then(<[u8]>::first_chunk);
        self.state.now = i64::from_le_bytes(*now.context("the clock has no time")?);
        for (watch, state) in self.watches.iter_mut().zip(&mut self.state.models) {
            let model = next().context(MissingModel(state.address))?;
            let Account::Model(model) = decode(&model)? else {
                bail!("account {} is no model", state.address);
            };
            state.model = *model;
            state.seats.clear();
            for _ in 0..watch.oracles.len() {
                if let Some(data) = next()
                    && let Account::Seat(seat) = decode(&data)?
                {
                    state.seats.push(*seat);
                }
            }
            for window in watch.windows.clone() {
                let receipt = match next().map(|data| decode(&data)).transpose()? {
                    Some(Account::Receipt(receipt)) => Some(*receipt),
                    _ => None,
                };
                watch.note(state, self.state.now, window, receipt);
            }
            state.read_until = watch.until;
            watch.extend(state, self.state.now);
        }
        Ok(())
    }

    /// The data of the program's accounts and of sysvars, in the order of their addresses.
    async fn fetch(&self, addresses: &[Address], min_slot: u64) -> Result<Vec<Option<Vec<u8>>>> {
        let config = || RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64),
            commitment: Some(CommitmentConfig::confirmed()),
            ..Default::default()
        };
        let calls = addresses.chunks(ACCOUNTS).map(|chunk| {
            let rpc = self.client.rpc();
            rpc.get_multiple_ui_accounts_with_config(chunk, config())
        });
        let mut accounts = Vec::with_capacity(addresses.len());
        for response in try_join_all(calls).await? {
            ensure!(
                min_slot <= response.context.slot,
                "the node answered from slot {}, older than its blockhash's {min_slot}: use one \
                 node, not a pool of them",
                response.context.slot
            );
            accounts.extend(response.value);
        }
        ensure!(
            accounts.len() == addresses.len(),
            "the RPC's answer lacks accounts"
        );
        let data = |account: Option<solana_rpc_client_api::response::UiAccount>| {
            let account = account.filter(|account| 0 < account.lamports)?;
            account.data.decode().filter(|data| !data.is_empty())
        };
        Ok(accounts.into_iter().map(data).collect())
    }

    /// Lists the models' markets, and the positions of those that are settled.
    async fn read_markets(&mut self) -> Result<()> {
        let client = &self.client;
        let calls = self.state.models.iter_mut().map(|state| async move {
            let filter = [(offset_of!(Market, model), state.address)];
            let markets = client.list::<Market>(&filter).await?;
            let markets = markets.into_iter().map(|(address, market)| async move {
                let positions = if market.is_settled() && 0 < market.positions {
                    let filter = [(offset_of!(Position, market), address)];
                    client.list::<Position>(&filter).await?
                } else {
                    vec![]
                };
                Ok::<_, Error>(MarketState {
                    address,
                    market,
                    positions: without_addresses(positions),
                })
            });
            state.markets = try_join_all(markets).await?;
            Ok::<_, Error>(())
        });
        try_join_all(calls).await?;
        Ok(())
    }
}

fn without_addresses<T>(accounts: Vec<(Address, T)>) -> Vec<T> {
    accounts.into_iter().map(|(_, account)| account).collect()
}

impl Watch {
    /// Takes what was listed at `now`, or shortly after.
    fn adopt(
        &mut self,
        state: &mut ModelState,
        now: i64,
        receipts: Vec<(Address, Receipt)>,
        seats: Vec<(Address, Seat)>,
    ) {
        self.listed = Some(Instant::now());
        self.version = state.model.version;
        let listed = &state.model.oracles[..usize::from(state.model.oracle_count)];
        self.oracles = listed.iter().copied().collect();
        self.oracles
            .extend(seats.iter().map(|(_, seat)| seat.oracle));

        state.receipts.clear();
        state.settled.clear();
        self.windows.clear();
        let mut closable = 0;
        for (_, receipt) in receipts {
            let window = receipt.window;
            let kept = !is_over(state.model.retention_end(window), now);
            closable += usize::from(is_settled_up(&receipt) && !kept);
            if is_settled_up(&receipt) && (kept || CLOSABLE < closable) {
                state.settled.insert(window, receipt);
            } else {
                self.windows.insert(window);
            }
        }
        self.until = first_open(&state.model, now);
        self.extend(state, now);
    }

    /// Watches all windows up to the one that runs at `now`, so that the next round sees it end.
    fn extend(&mut self, state: &ModelState, now: i64) {
        let end = windows_over(&state.model, now) + 1;
        let settled = |window: &u64| state.settled.contains_key(window);
        let windows = (self.until..end).filter(|window| !settled(window));
        self.windows.extend(windows);
        self.until = self.until.max(end);
    }

    /// Takes what was read of one window's receipt.
    fn note(&mut self, state: &mut ModelState, now: i64, window: u64, receipt: Option<Receipt>) {
        let Some(receipt) = receipt else {
            state.receipts.remove(&window);
            if is_over(state.model.submit_end(window), now) {
                self.windows.remove(&window); // it never comes
            }
            return;
        };
        let kept = !is_over(state.model.retention_end(window), now);
        if is_settled_up(&receipt) && kept {
            state.receipts.remove(&window);
            state.settled.insert(window, receipt);
            self.windows.remove(&window);
        } else {
            state.receipts.insert(window, receipt);
        }
    }
}

fn is_over<E>(end: Result<i64, E>, now: i64) -> bool {
    end.is_ok_and(|end| end <= now)
}

fn decode(data: &[u8]) -> Result<Account> {
    Account::decode(data).context("an account of the program")
}

/// A configured model that the chain does not have.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no model on this chain: check its address and rpc_url")]
pub struct MissingModel(Address);
