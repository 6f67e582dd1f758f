//! Rows that events add: the events themselves, what they concern, and the history derived from them.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Account, AccountChange, AccountKind, Address, ChallengePayee, Event, FeePayee, Market,
    MarketState, PremiumPayee, VaultTotals,
    events::{BetPlaced, Penalty, PolicyClaimed, PositionBought},
    json,
};
use serde_json::{Value, json};

use crate::{
    copy::{CopyRow, CopyRows},
    lives::{Lives, vault_totals},
    slot::{EmittedEvent, SealedSlot},
};

/// Rows of the tables that events fill. `event` comes first.
pub struct EventRows {
    pub event: CopyRows,
    pub event_account: CopyRows,
    pub event_party: CopyRows,
    pub odds: CopyRows,
    pub sale: CopyRows,
    pub penalty: CopyRows,
    pub capital: CopyRows,
    pub policy_payout: CopyRows,
    /// Events to announce in the feed.
    pub feed: Vec<FeedEvent>,
    /// Pools by market, after the events so far.
    pools: HashMap<Address, Pools>,
    /// Events that this version cannot decode, with the reason.
    pub undecoded: Vec<(i64, String)>,
}

/// Stakes in a market, in base units.
#[derive(Default)]
pub struct Pools {
    /// By outcome.
    stakes: [u64; OUTCOMES],
    total: u64,
}

const OUTCOMES: usize = 8;
// Compile-time check that a market has as many pools.
const _: fn(&Market) -> &[u64; OUTCOMES] = |market| &market.pools;

impl Pools {
    /// `stakes` are those of a row of `chain.odds`, in decimal digits.
    pub fn from_row(stakes: &[String]) -> Option<Self> {
        let stakes: Result<Vec<u64>, _> = stakes.iter().map(|stake| stake.parse()).collect();
        let stakes: [u64; OUTCOMES] = stakes.ok()?.try_into().ok()?;
        Some(Self {
            total: stakes.iter().sum(),
            stakes,
        })
    }

    fn bet(&mut self, event: &BetPlaced) {
        if let Some(pool) = self.stakes.get_mut(usize::from(event.outcome)) {
            *pool = event.pool;
        }
        self.total = event.total;
    }

    /// Whether the stakes add up to the total.
    fn are_whole(&self) -> bool {
        let sum: u128 = self.stakes.iter().copied().map(u128::from).sum();
        sum == u128::from(self.total)
    }

    fn of(market: Box<Market>) -> Self {
        Self {
            stakes: market.pools,
            total: market.total,
        }
    }
}

/// An event as the feed announces it.
pub struct FeedEvent {
    pub id: i64,
    pub slot: i64,
    pub channels: Vec<String>,
    pub body: Value,
}

fn table(name: &str, columns: &[&str]) -> CopyRows {
    let columns: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
    CopyRows::new(&format!("chain.{name}"), &columns)
}

impl Default for EventRows {
    fn default() -> Self {
        Self {
            event: table(
                "event",
                &[
                    "id",
                    "slot",
                    "signature",
                    "name",
                    "body",
                    "data",
                    "block_time",
                ],
            ),
            event_account: table("event_account", &["account", "event_id", "number"]),
            event_party: table("event_party", &["wallet", "event_id", "role", "is_named"]),
            odds: table("odds", &["market", "event_id", "block_time", "pools"]),
            sale: table(
                "sale",
                &[
                    "market",
                    "event_id",
                    "block_time",
                    "seller",
                    "buyer",
                    "seller_position",
                    "position",
                    "destination",
                    "outcome",
                    "amount",
                    "price",
                    "paid",
                    "seller_total",
                ],
            ),
            penalty: table(
                "penalty",
                &[
                    "model",
                    "event_id",
                    "oracle",
                    "window",
                    "block_time",
                    "amount",
                ],
            ),
            capital: table(
                "capital",
                &[
                    "vault",
                    "event_id",
                    "block_time",
                    "assets",
                    "leaving",
                    "seasoned",
                    "locked",
                    "pending_losses",
                    "unearned",
                    "held",
                    "set_aside",
                    "shares",
                    "reserved_shares",
                    "protocol_credit",
                    "manager_credit",
                ],
            ),
            policy_payout: table(
                "policy_payout",
                &[
                    "policy",
                    "event_id",
                    "block_time",
                    "destination",
                    "first_window",
                    "value",
                    "amount",
                ],
            ),
            feed: vec![],
            pools: HashMap::new(),
            undecoded: vec![],
        }
    }
}

impl EventRows {
    /// `pools` are those of markets with a bet before the first event, from the last row of
    /// `chain.odds`. A market's account shows them only if it has no such row: it can be newer.
    pub fn new(pools: HashMap<Address, Pools>) -> Self {
        Self {
            pools,
            ..Self::default()
        }
    }

    /// Sets the pools of a market after the last bet before the next event; `None` if they are not known.
    pub fn set_pools(&mut self, market: Address, pools: Option<Pools>) {
        match pools {
            Some(pools) => self.pools.insert(market, pools),
            None => self.pools.remove(&market),
        };
    }

    /// The tables, `event` first.
    pub fn tables(&self) -> [&CopyRows; 8] {
        [
            &self.event,
            &self.event_account,
            &self.event_party,
            &self.odds,
            &self.sale,
            &self.penalty,
            &self.capital,
            &self.policy_payout,
        ]
    }

    /// Adds the rows of an event of a slot. `lives` are those right before the event, which doesn't say
    /// everything: a bet has only the pool of its own outcome, so that the others are taken from the market.
    /// `earners` are [`Lives::earners`].
    pub fn add(
        &mut self,
        slot: &SealedSlot,
        emitted: &EmittedEvent,
        lives: &Lives<'_>,
        earners: &[Address],
    ) {
        let (name, body) = self.add_event(slot, emitted);
        let id = emitted.id.get();
        if let Some(event) = &emitted.event {
            self.add_history(id, slot.block_time, event, lives);
        }
        let event = emitted.event.as_ref();
        let channels = event.map(|event| self.add_concerned(id, event, lives, earners));
        self.feed.push(FeedEvent {
            id,
            slot: slot.slot,
            channels: channels.unwrap_or_default(),
            body: json!({ "name": name, "body": body }),
        });
    }

    /// Adds the event itself. Returns its name and fields.
    pub fn add_event(
        &mut self,
        slot: &SealedSlot,
        emitted: &EmittedEvent,
    ) -> (Option<&'static str>, Option<Value>) {
        let id = emitted.id.get();
        let decoded = json::event(&emitted.data)
            .inspect_err(|error| self.undecoded.push((id, error.to_string())))
            .ok();
        let (name, body) = decoded
            .map(|event| (event.name, Value::Object(event.fields)))
            .unzip();
        let mut row = self.event.row();
        row.i64(id);
        row.i64(slot.slot);
        row.bytes(&emitted.signature);
        row.optional(name, CopyRow::text);
        row.optional(body.as_ref(), |row, body| row.json(body));
        row.bytes(&emitted.data);
        row.optional(slot.block_time, CopyRow::time);
        (name, body)
    }

    /// Adds the accounts and wallets that the event concerns. Returns the channels on which clients hear
    /// of it.
    fn add_concerned(
        &mut self,
        id: i64,
        event: &Event,
        lives: &Lives<'_>,
        earners: &[Address],
    ) -> Vec<String> {
        let (changes, named) = (event.changes(), event.parties());
        let unnamed = unnamed_parties(event, lives, earners);
        let numbered = changes.iter().map(|change| (change.address, change.number));
        // An account that an event changes twice counts once.
        for (address, number) in numbered.collect::<BTreeSet<_>>() {
            let mut row = self.event_account.row();
            row.key(&address);
            row.i64(id);
            row.number(number);
        }
        for (parties, is_named) in [(&named, true), (&unnamed, false)] {
            for (wallet, role) in parties.iter().collect::<BTreeSet<_>>() {
                let mut row = self.event_party.row();
                row.key(wallet);
                row.i64(id);
                row.text(role);
                row.bool(is_named);
            }
        }
        let accounts = changes.iter().filter_map(channel);
        let wallets = named.iter().chain(&unnamed);
        let wallets = wallets.map(|(wallet, _)| format!("wallet:{wallet}"));
        let channels: BTreeSet<_> = accounts.chain(wallets).collect();
        channels.into_iter().collect()
    }

    fn add_history(
        &mut self,
        id: i64,
        time: Option<DateTime<Utc>>,
        event: &Event,
        before: &Lives<'_>,
    ) {
        if let Some((vault, totals)) = vault_totals(event) {
            self.add_capital(id, time, vault, totals);
        }
        match event {
            Event::MarketCreated(event) => {
                self.pools.insert(event.market, Pools::default());
                self.add_odds(id, time, &event.market);
            }
            Event::BetPlaced(event) => {
                let pools = self.pools.entry(event.market).or_default();
                pools.bet(event);
                // The market's rows may lack bets; its account has all of them.
                if !pools.are_whole()
                    && let Some(mut of_account) = before.market(&event.market).map(Pools::of)
                {
                    of_account.bet(event);
                    *pools = of_account;
                }
                self.add_odds(id, time, &event.market);
            }
            Event::ReceiptFinalized(event) => {
                self.add_penalties(id, time, (event.model, event.window), &event.penalties);
            }
            Event::ReceiptRuled(event) => {
                self.add_penalties(id, time, (event.model, event.window), &event.penalties);
            }
            Event::PositionBought(event) => self.add_sale(id, time, event),
            Event::PolicyClaimed(event) => self.add_policy_payout(id, time, event),
            _ => {}
        }
    }

    /// Adds the pools of a market. Leaves them out if not all of them are known: the mirror began with
    /// an account of the market that already had later bets.
    fn add_odds(&mut self, id: i64, time: Option<DateTime<Utc>>, market: &Address) {
        let pools = &self.pools[market];
        if !pools.are_whole() {
            tracing::warn!(event = id, %market, "pools unknown; odds not stored");
            return;
        }
        let mut row = self.odds.row();
        row.key(market);
        row.i64(id);
        row.optional(time, CopyRow::time);
        row.numbers(&pools.stakes);
    }

    fn add_capital(
        &mut self,
        id: i64,
        time: Option<DateTime<Utc>>,
        vault: &Address,
        totals: &VaultTotals,
    ) {
        let mut row = self.capital.row();
        row.key(vault);
        row.i64(id);
        row.optional(time, CopyRow::time);
        for amount in [
            totals.assets,
            totals.leaving,
            totals.seasoned,
            totals.locked,
            totals.pending_losses,
            totals.unearned,
            totals.held,
            totals.set_aside,
            totals.shares,
            totals.reserved_shares,
            totals.protocol_credit,
            totals.manager_credit,
        ] {
            row.number(amount);
        }
    }

    /// Adds the oracles that owed a submission for the window and were silent.
    fn add_penalties(
        &mut self,
        id: i64,
        time: Option<DateTime<Utc>>,
        (model, window): (Address, u64),
        penalties: &[Penalty],
    ) {
        for penalty in penalties {
            let mut row = self.penalty.row();
            row.key(&model);
            row.i64(id);
            row.key(&penalty.oracle);
            row.number(window);
            row.optional(time, CopyRow::time);
            row.number(penalty.amount);
        }
    }

    fn add_sale(&mut self, id: i64, time: Option<DateTime<Utc>>, event: &PositionBought) {
        let mut row = self.sale.row();
        row.key(&event.market);
        row.i64(id);
        row.optional(time, CopyRow::time);
        for key in [
            event.seller,
            event.buyer,
            event.seller_position,
            event.position,
            event.destination,
        ] {
            row.key(&key);
        }
        row.i16(event.outcome.into());
        row.number(event.amount);
        row.i64(event.price.into());
        row.number(event.paid);
        row.number(event.seller_total);
    }

    fn add_policy_payout(&mut self, id: i64, time: Option<DateTime<Utc>>, event: &PolicyClaimed) {
        let mut row = self.policy_payout.row();
        row.key(&event.policy);
        row.i64(id);
        row.optional(time, CopyRow::time);
        row.key(&event.destination);
        row.number(event.first_window);
        row.number(event.value);
        row.number(event.amount);
    }
}

/// Wallets that the event concerns, but that only an account names: each with its part, none of which an event
/// of this name itself names.
fn unnamed_parties(
    event: &Event,
    lives: &Lives<'_>,
    earners: &[Address],
) -> Vec<(Address, &'static str)> {
    match event {
        Event::MarketSettled(e) if e.state != MarketState::Open => creator(&e.market, lives),
        Event::FeesCollected(e) if e.payee == FeePayee::Creator => creator(&e.market, lives),
        Event::ManagerFeesCollected(e) if e.payee == PremiumPayee::Manager => {
            match lives.account(&e.vault) {
                Some(Account::Vault(vault)) => vec![(vault.manager, "manager")],
                _ => vec![],
            }
        }
        Event::ChallengeCollected(e) if e.payee == ChallengePayee::Challenger => {
            challenger(&e.receipt, lives)
        }
        Event::SlashesReturned(e) => challenger(&e.receipt, lives),
        Event::ReceiptRuled(e) => settling(&e.receipt, lives, earners),
        Event::ReceiptFinalized(e) => settling(&e.receipt, lives, earners),
        _ => vec![],
    }
}

fn creator(market: &Address, lives: &Lives<'_>) -> Vec<(Address, &'static str)> {
    match lives.account(market) {
        Some(Account::Market(market)) => vec![(market.creator, "creator")],
        _ => vec![],
    }
}

fn challenger(receipt: &Address, lives: &Lives<'_>) -> Vec<(Address, &'static str)> {
    match lives.account(receipt) {
        Some(Account::Receipt(receipt)) if receipt.challenger != Address::default() => {
            vec![(receipt.challenger, "challenger")]
        }
        _ => vec![],
    }
}

/// The challenger of a receipt that is being settled, and the oracles that earn a part of the pay for it.
fn settling(
    receipt: &Address,
    lives: &Lives<'_>,
    earners: &[Address],
) -> Vec<(Address, &'static str)> {
    let earners = earners.iter().map(|&oracle| (oracle, "earner"));
    challenger(receipt, lives)
        .into_iter()
        .chain(earners)
        .collect()
}

/// The channel of a changed account; `None` for types without one.
fn channel(change: &AccountChange) -> Option<String> {
    let kind = match change.kind {
        AccountKind::Model => "model",
        AccountKind::Market => "market",
        AccountKind::Vault => "vault",
        AccountKind::Policy => "policy",
        _ => return None,
    };
    Some(format!("{kind}:{}", change.address))
}
