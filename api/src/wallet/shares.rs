//! The shares that a wallet got from vaults, and what they cost: derived from its deposits and withdrawals.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, Event};
use sqlx::{FromRow, PgConnection};

use crate::{bytes::Key, event_id::EventId};

/// Number of deposits and withdrawals of a wallet that are read.
const MAX_EVENTS: i64 = 20_000;

/// Shares of one vault, and capital that is requested from it, with their average costs in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// Shares that the wallet got for deposits and cancelled requests, less those that it gave for requests. It may
    /// have others from other wallets, or have given some away.
    pub shares: u64,
    /// Cost of `shares`.
    pub cost: u64,
    /// Cost of what is requested and not paid yet.
    pub requested_cost: u64,
    /// Payments of requests less the cost of what they paid.
    pub realised: i128,
}

/// Shares by vault.
#[derive(Default)]
pub struct Ledger {
    pub stakes: BTreeMap<Address, Stake>,
    /// What each payment of a request realised, by event.
    pub realised: BTreeMap<EventId, i128>,
    /// Whether the wallet has more deposits and withdrawals than were read.
    pub is_truncated: bool,
}

#[derive(FromRow)]
struct EventRow {
    id: EventId,
    data: Vec<u8>,
}

impl Ledger {
    /// Reads the deposits and withdrawals of `wallet`, oldest first.
    pub async fn read(db: &mut PgConnection, wallet: &Key) -> Result<Self, sqlx::Error> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select e.id, e.data from chain.event e
             where e.name in ('Deposited', 'WithdrawRequested', 'WithdrawCancelled', 'Withdrawn')
               and e.body ->> 'owner' = $1
             order by e.id limit $2",
        )
        .bind(wallet.to_string())
        .bind(MAX_EVENTS + 1)
        .fetch_all(db)
        .await?;
        let most = usize::try_from(MAX_EVENTS).unwrap_or(usize::MAX);
        let mut ledger = Self {
            is_truncated: most < rows.len(),
            ..Self::default()
        };
        for row in rows.into_iter().take(most) {
            // A row with a name was decoded by the indexer.
            if let Ok(event) = Event::decode(&row.data) {
                ledger.add(row.id, &event);
            }
        }
        Ok(ledger)
    }

    fn add(&mut self, id: EventId, event: &Event) {
        match event {
            Event::Deposited(e) => {
                let stake = self.stakes.entry(e.vault).or_default();
                stake.shares = stake.shares.saturating_add(e.shares);
                stake.cost = stake.cost.saturating_add(e.amount);
            }
            Event::WithdrawRequested(e) => {
                let stake = self.stakes.entry(e.vault).or_default();
                let moved = part(stake.cost, e.shares, stake.shares);
                stake.shares = stake.shares.saturating_sub(e.shares);
                stake.cost -= moved;
                stake.requested_cost = stake.requested_cost.saturating_add(moved);
            }
            Event::WithdrawCancelled(e) => {
                let stake = self.stakes.entry(e.vault).or_default();
                stake.shares = stake.shares.saturating_add(e.shares);
                let back = std::mem::take(&mut stake.requested_cost);
                stake.cost = stake.cost.saturating_add(back);
            }
            Event::Withdrawn(e) => {
                let stake = self.stakes.entry(e.vault).or_default();
                let cost = if e.value == 0 && e.shares == 0 {
                    stake.requested_cost // nothing is left of the request
                } else {
                    part(
                        stake.requested_cost,
                        e.amount,
                        e.amount.saturating_add(e.value),
                    )
                };
                stake.requested_cost -= cost;
                let profit = i128::from(e.amount) - i128::from(cost);
                stake.realised += profit;
                self.realised.insert(id, profit);
            }
            _ => {}
        }
    }
}

/// The cost of `amount` out of `whole`, which cost `cost`: rounded down, all of it if `amount` is all, and nothing
/// of nothing.
fn part(cost: u64, amount: u64, whole: u64) -> u64 {
    if whole <= amount {
        return if whole == 0 && amount == 0 { 0 } else { cost };
    }
    driftshield_sdk::math::mul_div(cost, amount, whole).unwrap_or(cost) // at most the cost
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{
        VaultTotals,
        events::{Deposited, WithdrawCancelled, WithdrawRequested, Withdrawn},
    };

    use super::*;

    const VAULT: [u8; 32] = [1; 32];
    const OWNER: [u8; 32] = [2; 32];
    const REQUEST: [u8; 32] = [3; 32];

    fn deposited(amount: u64, shares: u64) -> Event {
        Event::Deposited(Deposited {
            vault: VAULT.into(),
            vault_seq: 1,
            owner: OWNER.into(),
            amount,
            shares,
            totals: VaultTotals::default(),
        })
    }

    fn requested(shares: u64) -> Event {
        Event::WithdrawRequested(WithdrawRequested {
            vault: VAULT.into(),
            vault_seq: 1,
            request: REQUEST.into(),
            request_seq: 1,
            owner: OWNER.into(),
            shares,
            value: 0,
            unlock_at: 0,
            lapses_at: 0,
            totals: VaultTotals::default(),
        })
    }

    fn cancelled(shares: u64) -> Event {
        Event::WithdrawCancelled(WithdrawCancelled {
            vault: VAULT.into(),
            vault_seq: 1,
            request: REQUEST.into(),
            request_seq: 1,
            owner: OWNER.into(),
            shares,
            totals: VaultTotals::default(),
        })
    }

    fn withdrawn(amount: u64, value: u64, shares: u64) -> Event {
        Event::Withdrawn(Withdrawn {
            vault: VAULT.into(),
            vault_seq: 1,
            request: REQUEST.into(),
            request_seq: 1,
            owner: OWNER.into(),
            destination: OWNER.into(),
            amount,
            value,
            shares,
            is_short: false,
            reserved_until: 0,
            totals: VaultTotals::default(),
        })
    }

    fn ledger(events: &[Event]) -> (Stake, Vec<i128>) {
        let mut ledger = Ledger::default();
        for (id, event) in (1..).zip(events) {
            ledger.add(EventId(id), event);
        }
        let realised = ledger.realised.into_values().collect();
        (ledger.stakes[&VAULT.into()], realised)
    }

    #[test]
    fn a_withdrawal_realises_what_it_pays_less_its_average_cost() {
        // 400 shares cost 500. Half of them cost 250, and are paid 300: first 100, then 200.
        let (stake, realised) = ledger(&[
            deposited(100, 100),
            deposited(400, 300),
            requested(200),
            withdrawn(100, 200, 0),
            withdrawn(200, 0, 0),
        ]);
        assert_eq!(realised, [100 - 83, 200 - 167]);
        assert_eq!((stake.shares, stake.cost), (200, 250));
        assert_eq!((stake.requested_cost, stake.realised), (0, 50));
    }

    #[test]
    fn a_cancelled_request_keeps_its_cost() {
        let (stake, realised) = ledger(&[deposited(100, 100), requested(40), cancelled(39)]);
        assert_eq!((stake.shares, stake.cost), (99, 100));
        assert!(realised.is_empty());
    }

    #[test]
    fn a_request_that_becomes_shares_realises_nothing() {
        let (stake, realised) = ledger(&[deposited(100, 100), requested(100), withdrawn(0, 0, 90)]);
        assert_eq!((stake.requested_cost, realised), (100, vec![0]));
    }

    #[test]
    fn shares_of_another_wallet_cost_nothing() {
        let (stake, realised) = ledger(&[requested(10), withdrawn(7, 0, 0)]);
        assert_eq!((stake.shares, stake.cost), (0, 0));
        assert_eq!(realised, [7]);
    }

    #[test]
    fn what_a_loss_took_is_realised_at_the_end_of_the_request() {
        let (stake, realised) = ledger(&[deposited(100, 100), requested(100), withdrawn(0, 0, 0)]);
        assert_eq!((stake.requested_cost, stake.realised), (0, -100));
        assert_eq!(realised, [-100]);
    }
}
