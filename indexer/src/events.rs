//! Events in the database, numbered as they were applied, and what is derived from them.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Address, Event, Market, MarketState, VaultTotals,
    events::{BetPlaced, Claimed, MarketSettled, PolicyClaimed, WithdrawCancelled, Withdrawn},
    json,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{rows, slot::Emitted};

/// An event and the slot that it is of.
pub struct Placed {
    pub slot: i64,
    pub block_time: Option<DateTime<Utc>>,
    pub emitted: Emitted,
}

/// Of a slot: signature, instruction and event.
type Identity = (i64, String, i32, i32);

impl Placed {
    fn identity(&self) -> Identity {
        let Emitted {
            signature,
            instruction_index,
            event_index,
            ..
        } = &self.emitted;
        (
            self.slot,
            signature.clone(),
            *instruction_index,
            *event_index,
        )
    }

    fn row(&self, seq: i64) -> Value {
        let emitted = &self.emitted;
        let described = json::event(&emitted.data)
            .inspect_err(|error| {
                let signature = &emitted.signature;
                tracing::error!(seq, signature, %error, "event not understood, kept as bytes");
            })
            .ok();
        let (name, body) = described.map(|event| (event.name, event.fields)).unzip();
        json!({
            "seq": seq,
            "slot": self.slot,
            "signature": emitted.signature,
            "transaction_index": emitted.transaction_index,
            "instruction_index": emitted.instruction_index,
            "event_index": emitted.event_index,
            "name": name,
            "body": body,
            "data": format!("\\x{}", json::hex(&emitted.data)),
            "block_time": self.block_time,
        })
    }
}

/// Stores events that aren't there yet, in their order, under the numbers after `last_seq`, with
/// what is derived from them. Returns the last number given.
///
/// The caller holds the lock of the cursor's row, so nobody else gives numbers.
pub async fn store(
    connection: &mut PgConnection,
    last_seq: i64,
    events: &[Placed],
    odds: Odds,
) -> Result<i64, sqlx::Error> {
    let mut known = identities(connection, events).await?;
    let fresh = events.iter().filter(|event| known.insert(event.identity()));
    let mut derived = Derived::after(odds);
    let mut seq = last_seq;
    for event in fresh {
        seq += 1;
        derived.add(seq, event);
    }
    if last_seq < seq {
        derived.store(connection).await?;
        sqlx::query("select pg_notify('driftshield', $1)")
            .bind(seq.to_string())
            .execute(connection)
            .await?;
    }
    Ok(seq)
}

async fn identities(
    connection: &mut PgConnection,
    events: &[Placed],
) -> Result<HashSet<Identity>, sqlx::Error> {
    let slots: BTreeSet<i64> = events.iter().map(|event| event.slot).collect();
    let known = sqlx::query_as(
        "select slot, signature, instruction_index, event_index
         from chain.event where slot = any($1)",
    )
    .bind(slots.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(known.into_iter().collect())
}

/// Rows of the tables that hold events and what follows from them.
#[derive(Default)]
pub struct Derived {
    pub odds: Odds,
    events: Vec<Value>,
    event_accounts: Vec<Value>,
    pools: Vec<Value>,
    settlements: Vec<Value>,
    payouts: Vec<Value>,
    capital: Vec<Value>,
    withdrawals: Vec<Value>,
    policy_payouts: Vec<Value>,
    policy_ends: Vec<Value>,
}

impl Derived {
    pub fn after(odds: Odds) -> Self {
        Self {
            odds,
            ..Default::default()
        }
    }

    pub fn add(&mut self, seq: i64, placed: &Placed) {
        self.events.push(placed.row(seq));
        let Some(event) = &placed.emitted.event else {
            return;
        };
        for (account, number) in counters(event) {
            let row = json!({ "account": account, "seq": seq, "number": number.to_string() });
            self.event_accounts.push(row);
        }
        if let Some((vault, totals)) = capital(event) {
            self.capital.push(capital_row(seq, placed, vault, totals));
        }
        match event {
            Event::MarketCreated(event) => {
                let market = event.market.to_string();
                self.pools.push(pools_row(&market, seq, placed, &NO_STAKES));
                self.odds.0.insert(market, NO_STAKES);
            }
            Event::BetPlaced(event) => {
                let market = event.market.to_string();
                match self.odds.after(&market, event) {
                    Some(pools) => self.pools.push(pools_row(&market, seq, placed, pools)),
                    None => tracing::warn!(seq, market, "pools of the market not known yet"),
                }
            }
            Event::MarketSettled(event) => {
                let state = match event.state {
                    MarketState::Open => return,
                    MarketState::Resolved => "resolved",
                    MarketState::Void => "void",
                };
                self.settlements
                    .push(settlement_row(seq, placed, event, state));
            }
            Event::Claimed(event) => self.payouts.push(payout_row(seq, placed, event)),
            Event::Withdrawn(event) => self.withdrawals.push(paid_row(seq, placed, event)),
            Event::WithdrawCancelled(event) => {
                self.withdrawals.push(cancelled_row(seq, placed, event));
            }
            Event::PolicyClaimed(event) => {
                self.policy_payouts
                    .push(policy_payout_row(seq, placed, event));
                if event.paid == event.cover {
                    self.end_policy(seq, placed, &event.policy, "paid", event.paid, 0);
                }
            }
            Event::PolicyCancelled(event) => {
                let (paid, refund) = (event.paid, event.refund);
                self.end_policy(seq, placed, &event.policy, "cancelled", paid, refund);
            }
            Event::PolicyExpired(event) => {
                self.end_policy(seq, placed, &event.policy, "expired", event.paid, 0);
            }
            _ => {}
        }
    }

    fn end_policy(
        &mut self,
        seq: i64,
        placed: &Placed,
        policy: &Address,
        state: &str,
        paid: u64,
        refund: u64,
    ) {
        self.policy_ends.push(json!({
            "policy": policy.to_string(),
            "seq": seq,
            "slot": placed.slot,
            "block_time": placed.block_time,
            "state": state,
            "paid": paid.to_string(),
            "refund": refund.to_string(),
        }));
    }

    /// The tables and their rows. What others refer to comes first.
    pub fn tables(&self) -> [(&'static str, &[Value]); 9] {
        [
            ("event", &self.events),
            ("event_account", &self.event_accounts),
            ("odds", &self.pools),
            ("settlement", &self.settlements),
            ("payout", &self.payouts),
            ("capital", &self.capital),
            ("withdrawal", &self.withdrawals),
            ("policy_payout", &self.policy_payouts),
            ("policy_end", &self.policy_ends),
        ]
    }

    async fn store(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for (table, rows) in self.tables() {
            rows::insert(connection, table, rows).await?;
        }
        Ok(())
    }
}

/// The accounts that the event speaks of, once each, with its number.
fn counters(event: &Event) -> BTreeSet<(String, u64)> {
    let counters = event.account_seqs().into_iter();
    counters
        .map(|(account, number)| (account.to_string(), number))
        .collect()
}

fn pools_row(market: &str, seq: i64, placed: &Placed, pools: &Pools) -> Value {
    json!({
        "market": market,
        "seq": seq,
        "slot": placed.slot,
        "block_time": placed.block_time,
        "pools": pools.map(|pool| pool.to_string()),
    })
}

fn settlement_row(seq: i64, placed: &Placed, event: &MarketSettled, state: &str) -> Value {
    json!({
        "market": event.market.to_string(),
        "seq": seq,
        "slot": placed.slot,
        "block_time": placed.block_time,
        "state": state,
        "outcome": event.outcome,
        "value": event.value.to_string(),
        "observed": event.observed.to_string(),
        "protocol_fee": event.protocol_fee.to_string(),
        "creator_fee": event.creator_fee.to_string(),
        "winnings": event.winnings.to_string(),
    })
}

fn payout_row(seq: i64, placed: &Placed, event: &Claimed) -> Value {
    json!({
        "position": event.position.to_string(),
        "seq": seq,
        "market": event.market.to_string(),
        "owner": event.owner.to_string(),
        "slot": placed.slot,
        "block_time": placed.block_time,
        "destination": event.destination.to_string(),
        "paid": event.paid.to_string(),
    })
}

/// The vault that an event tells the money of, and its money after the event.
fn capital(event: &Event) -> Option<(&Address, &VaultTotals)> {
    Some(match event {
        Event::VaultUpdated(event) => (&event.vault, &event.totals),
        Event::Deposited(event) => (&event.vault, &event.totals),
        Event::WithdrawRequested(event) => (&event.vault, &event.totals),
        Event::WithdrawCancelled(event) => (&event.vault, &event.totals),
        Event::Withdrawn(event) => (&event.vault, &event.totals),
        Event::ManagerFeesCollected(event) => (&event.vault, &event.totals),
        Event::PolicyBought(event) => (&event.vault, &event.totals),
        Event::PolicyClaimed(event) => (&event.vault, &event.totals),
        Event::PolicyCancelled(event) => (&event.vault, &event.totals),
        Event::PolicyRenewed(event) => (&event.vault, &event.totals),
        Event::PolicyExpired(event) => (&event.vault, &event.totals),
        _ => return None,
    })
}

fn capital_row(seq: i64, placed: &Placed, vault: &Address, totals: &VaultTotals) -> Value {
    json!({
        "vault": vault.to_string(),
        "seq": seq,
        "slot": placed.slot,
        "block_time": placed.block_time,
        "assets": totals.assets.to_string(),
        "locked": totals.locked.to_string(),
        "unearned": totals.unearned.to_string(),
        "shares": totals.shares.to_string(),
        "escrowed": totals.escrowed.to_string(),
        "protocol_credit": totals.protocol_credit.to_string(),
        "manager_credit": totals.manager_credit.to_string(),
    })
}

fn paid_row(seq: i64, placed: &Placed, event: &Withdrawn) -> Value {
    json!({
        "request": event.request.to_string(),
        "seq": seq,
        "vault": event.vault.to_string(),
        "owner": event.owner.to_string(),
        "slot": placed.slot,
        "block_time": placed.block_time,
        "state": "paid",
        "shares": event.shares.to_string(),
        "returned": "0",
        "amount": event.amount.to_string(),
    })
}

fn cancelled_row(seq: i64, placed: &Placed, event: &WithdrawCancelled) -> Value {
    json!({
        "request": event.request.to_string(),
        "seq": seq,
        "vault": event.vault.to_string(),
        "owner": event.owner.to_string(),
        "slot": placed.slot,
        "block_time": placed.block_time,
        "state": "cancelled",
        "shares": event.shares.to_string(),
        "returned": event.returned.to_string(),
        "amount": "0",
    })
}

fn policy_payout_row(seq: i64, placed: &Placed, event: &PolicyClaimed) -> Value {
    json!({
        "policy": event.policy.to_string(),
        "seq": seq,
        "vault": event.vault.to_string(),
        "model": event.model.to_string(),
        "holder": event.holder.to_string(),
        "slot": placed.slot,
        "block_time": placed.block_time,
        "destination": event.destination.to_string(),
        "first_window": event.first_window.to_string(),
        "value": event.value.to_string(),
        "amount": event.amount.to_string(),
    })
}

/// Stakes by outcome.
type Pools = [u64; OUTCOMES];

const OUTCOMES: usize = 8;
const NO_STAKES: Pools = [0; OUTCOMES];
// The program's own type.
const _: fn(&Market) -> &Pools = |market| &market.pools;

/// The pools of markets, followed from event to event.
#[derive(Default)]
pub struct Odds(HashMap<String, Pools>);

impl Odds {
    /// The pools before `events`: as the last event left them or, where none has been seen yet,
    /// as the mirror has them. To be read before the accounts of the same slots are stored.
    pub async fn before(
        connection: &mut PgConnection,
        events: &[Placed],
    ) -> Result<Self, sqlx::Error> {
        let markets: BTreeSet<String> = events
            .iter()
            .filter_map(|placed| match placed.emitted.event.as_ref()? {
                Event::BetPlaced(event) => Some(event.market.to_string()),
                _ => None,
            })
            .collect();
        if markets.is_empty() {
            return Ok(Self::default());
        }
        let known: Vec<(String, Option<Vec<String>>)> = sqlx::query_as(
            "select given.market, coalesce(
               (select pools from chain.odds
                where odds.market = given.market order by seq desc limit 1),
               (select pools from chain.market
                where market.address = given.market and market.closed_slot is null))::text[]
             from unnest($1::text[]) as given (market)",
        )
        .bind(markets.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let mut odds = Self::default();
        for (market, pools) in known {
            odds.begin(market, &pools.unwrap_or_default());
        }
        Ok(odds)
    }

    /// Follows a market from these pools on, unless it is followed already.
    pub fn begin(&mut self, market: String, pools: &[String]) {
        let pools: Result<Vec<u64>, _> = pools.iter().map(|pool| pool.parse()).collect();
        if let Some(pools) = pools.ok().and_then(|pools| pools.try_into().ok()) {
            self.0.entry(market).or_insert(pools);
        }
    }

    /// The pools after a bet. `None` where they are not known: the mirror began with a state of
    /// the market that other bets, whose events are still to come, had already changed.
    fn after(&mut self, market: &str, bet: &BetPlaced) -> Option<&Pools> {
        let pools = self.0.get_mut(market)?;
        *pools.get_mut(usize::from(bet.outcome))? = bet.pool;
        let total: u128 = pools.iter().copied().map(u128::from).sum();
        (total == u128::from(bet.total)).then_some(&*pools)
    }
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::events::{PolicyCancelled, PolicyExpired};

    use super::*;

    /// An event of this type whose fields are all zeros.
    fn zeros(discriminator: &[u8]) -> Event {
        let mut bytes = discriminator.to_vec();
        while bytes.len() < 4_000 {
            if let Ok(event) = Event::decode(&bytes) {
                return event;
            }
            bytes.push(0);
        }
        panic!("no event begins with {discriminator:?}");
    }

    fn idl() -> Value {
        serde_json::from_str(include_str!("../../idl/driftshield.json")).unwrap()
    }

    fn named(name: &str) -> Event {
        let idl = idl();
        let mut events = idl["events"].as_array().unwrap().iter();
        let event = events.find(|event| event["name"] == name).unwrap();
        let discriminator: Vec<u8> =
            serde_json::from_value(event["discriminator"].clone()).unwrap();
        zeros(&discriminator)
    }

    fn derived(events: Vec<Event>) -> Derived {
        let mut derived = Derived::default();
        for (seq, event) in (1..).zip(events) {
            let emitted = crate::slot::Emitted {
                signature: String::new(),
                transaction_index: 0,
                instruction_index: 0,
                event_index: 0,
                data: vec![],
                event: Some(event),
            };
            let placed = Placed {
                slot: 100,
                block_time: None,
                emitted,
            };
            derived.add(seq, &placed);
        }
        derived
    }

    #[test]
    fn every_event_that_tells_a_vaults_money_is_kept() {
        let idl = idl();
        for def in idl["types"].as_array().unwrap() {
            let name = def["name"].as_str().unwrap();
            if !Event::NAMES.contains(&name) {
                continue;
            }
            let mut fields = def["type"]["fields"].as_array().unwrap().iter();
            let has_totals = fields.any(|field| field["name"] == "totals");
            assert_eq!(capital(&named(name)).is_some(), has_totals, "{name}");
        }
    }

    #[test]
    fn a_policy_ends_with_the_payment_of_its_cover() {
        let claimed = |amount, paid| {
            let Event::PolicyClaimed(event) = named("PolicyClaimed") else {
                unreachable!("named so");
            };
            Event::PolicyClaimed(PolicyClaimed {
                amount,
                paid,
                cover: 10,
                ..event
            })
        };
        let derived = derived(vec![claimed(4, 4), claimed(6, 10)]);
        let amounts: Vec<_> = derived
            .policy_payouts
            .iter()
            .map(|p| &p["amount"])
            .collect();
        assert_eq!(amounts, ["4", "6"]);
        let [end] = &derived.policy_ends[..] else {
            panic!("one end: {:?}", derived.policy_ends);
        };
        assert_eq!(
            (&end["seq"], &end["state"], &end["paid"], &end["refund"]),
            (&json!(2), &json!("paid"), &json!("10"), &json!("0"))
        );
    }

    #[test]
    fn a_policy_that_ends_otherwise_says_how() {
        let Event::PolicyCancelled(cancelled) = named("PolicyCancelled") else {
            unreachable!("named so");
        };
        let Event::PolicyExpired(expired) = named("PolicyExpired") else {
            unreachable!("named so");
        };
        let derived = derived(vec![
            Event::PolicyCancelled(PolicyCancelled {
                refund: 7,
                ..cancelled
            }),
            Event::PolicyExpired(PolicyExpired { paid: 3, ..expired }),
        ]);
        let ends = derived.policy_ends.iter();
        let ends: Vec<_> = ends
            .map(|end| [&end["state"], &end["paid"], &end["refund"]])
            .collect();
        assert_eq!(ends, [["cancelled", "0", "7"], ["expired", "3", "0"]]);
        assert!(derived.policy_payouts.is_empty());
    }

    #[test]
    fn a_withdrawal_is_paid_or_cancelled() {
        let derived = derived(vec![named("Withdrawn"), named("WithdrawCancelled")]);
        let states: Vec<_> = derived.withdrawals.iter().map(|w| &w["state"]).collect();
        assert_eq!(states, ["paid", "cancelled"]);
    }
}
