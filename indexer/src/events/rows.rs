//! Rows of all tables that are filled from events.

use std::collections::BTreeSet;

use driftshield_sdk::{
    Address, Event, MarketState, ReceiptState, VaultTotals,
    events::{
        Claimed, MarketSettled, Penalty, PolicyClaimed, PositionBought, WithdrawCancelled,
        Withdrawn,
    },
};
use serde_json::{Value, json};

use super::{
    pools::{NO_STAKES, PoolTracker, Pools},
    slot_event::SlotEvent,
};

/// Rows of `chain.event` and of all tables derived from events.
#[derive(Default)]
pub struct EventRows {
    pub pools: PoolTracker,
    events: Vec<Value>,
    event_accounts: Vec<Value>,
    odds: Vec<Value>,
    receipt_settlements: Vec<Value>,
    penalties: Vec<Value>,
    settlements: Vec<Value>,
    payouts: Vec<Value>,
    sales: Vec<Value>,
    capital: Vec<Value>,
    withdrawals: Vec<Value>,
    policy_payouts: Vec<Value>,
    policy_ends: Vec<Value>,
}

/// What the events that can settle a receipt say about it.
struct SettledReceipt {
    receipt: Address,
    state: ReceiptState,
    /// Drift in micro-units.
    value: u64,
    /// The oracles that earned a part of the window's pay, bits by oracle.
    earners: u8,
}

impl EventRows {
    /// Creates an empty set of rows. `pools` are the pools before the first event to add.
    pub fn new(pools: PoolTracker) -> Self {
        Self {
            pools,
            ..Default::default()
        }
    }

    /// Adds the rows of the next event.
    pub fn add(&mut self, seq: i64, slot_event: &SlotEvent) {
        self.events.push(slot_event.row(seq));
        let Some(event) = &slot_event.emitted.event else {
            return;
        };
        for (account, number) in account_counters(event) {
            let row = json!({ "account": account, "seq": seq, "number": number.to_string() });
            self.event_accounts.push(row);
        }
        if let Some((vault, totals)) = vault_totals(event) {
            let row = capital_row(seq, slot_event, vault, totals);
            self.capital.push(row);
        }
        match event {
            Event::MarketCreated(event) => {
                let market = event.market.to_string();
                self.odds
                    .push(odds_row(&market, seq, slot_event, &NO_STAKES));
                self.pools.track_new(market);
            }
            Event::BetPlaced(event) => {
                let market = event.market.to_string();
                match self.pools.apply_bet(&market, event) {
                    Some(pools) => self.odds.push(odds_row(&market, seq, slot_event, pools)),
                    None => tracing::warn!(seq, market, "market pools unknown; odds not stored"),
                }
            }
            Event::ReceiptFinalized(event) => {
                let settled = SettledReceipt {
                    receipt: event.receipt,
                    state: event.state,
                    value: event.value,
                    earners: event.earners,
                };
                self.settle_receipt(seq, slot_event, &settled);
                self.penalise(seq, slot_event, event.model, event.window, &event.penalties);
            }
            Event::ReceiptRuled(event) => {
                let settled = SettledReceipt {
                    receipt: event.receipt,
                    state: event.state,
                    value: event.value,
                    earners: event.earners,
                };
                self.settle_receipt(seq, slot_event, &settled);
                self.penalise(seq, slot_event, event.model, event.window, &event.penalties);
            }
            Event::MarketSettled(event) => {
                let state = match event.state {
                    MarketState::Open => return,
                    MarketState::Resolved => "resolved",
                    MarketState::Void => "void",
                };
                self.settlements
                    .push(settlement_row(seq, slot_event, event, state));
            }
            Event::Claimed(event) => self.payouts.push(payout_row(seq, slot_event, event)),
            Event::PositionBought(event) => self.sales.push(sale_row(seq, slot_event, event)),
            Event::Withdrawn(event) => self.withdrawals.push(withdrawn_row(seq, slot_event, event)),
            Event::WithdrawCancelled(event) => {
                self.withdrawals
                    .push(withdraw_cancelled_row(seq, slot_event, event));
            }
            Event::PolicyClaimed(event) => {
                self.policy_payouts
                    .push(policy_payout_row(seq, slot_event, event));
                if event.paid == event.cover {
                    let (paid, refund) = (event.paid, event.refund);
                    self.end_policy(seq, slot_event, &event.policy, "paid", paid, refund);
                }
            }
            Event::PolicyCancelled(event) => {
                let (paid, refund) = (event.paid, event.refund);
                self.end_policy(seq, slot_event, &event.policy, "cancelled", paid, refund);
            }
            Event::PolicyExpired(event) => {
                let (paid, refund) = (event.paid, event.refund);
                self.end_policy(seq, slot_event, &event.policy, "expired", paid, refund);
            }
            Event::PolicyBegun(event) if event.is_over => {
                self.end_policy(seq, slot_event, &event.policy, "void", 0, event.refund);
            }
            _ => {}
        }
    }

    /// Adds the result of a window; nothing if its receipt isn't settled.
    fn settle_receipt(&mut self, seq: i64, slot_event: &SlotEvent, settled: &SettledReceipt) {
        let (state, value) = match settled.state {
            ReceiptState::Final => ("final", settled.value),
            ReceiptState::Void => ("void", 0),
            ReceiptState::Thin => ("thin", 0),
            ReceiptState::Collecting | ReceiptState::Proposed | ReceiptState::Challenged => return,
        };
        self.receipt_settlements.push(json!({
            "receipt": settled.receipt.to_string(),
            "seq": seq,
            "slot": slot_event.slot,
            "block_time": slot_event.block_time,
            "state": state,
            "value": value.to_string(),
            "earners": settled.earners,
        }));
    }

    /// Adds the oracles that owed a submission for the window and were silent.
    fn penalise(
        &mut self,
        seq: i64,
        slot_event: &SlotEvent,
        model: Address,
        window: u64,
        penalties: &[Penalty],
    ) {
        self.penalties.extend(penalties.iter().map(|penalty| {
            json!({
                "model": model.to_string(),
                "window": window.to_string(),
                "oracle": penalty.oracle.to_string(),
                "seq": seq,
                "slot": slot_event.slot,
                "block_time": slot_event.block_time,
                "amount": penalty.amount.to_string(),
            })
        }));
    }

    fn end_policy(
        &mut self,
        seq: i64,
        slot_event: &SlotEvent,
        policy: &Address,
        state: &str,
        paid: u64,
        refund: u64,
    ) {
        self.policy_ends.push(json!({
            "policy": policy.to_string(),
            "seq": seq,
            "slot": slot_event.slot,
            "block_time": slot_event.block_time,
            "state": state,
            "paid": paid.to_string(),
            "refund": refund.to_string(),
        }));
    }

    /// Names of the tables with their rows. `event` comes first, because the others reference it.
    pub fn tables(&self) -> [(&'static str, &[Value]); 12] {
        [
            ("event", &self.events),
            ("event_account", &self.event_accounts),
            ("odds", &self.odds),
            ("receipt_settlement", &self.receipt_settlements),
            ("penalty", &self.penalties),
            ("settlement", &self.settlements),
            ("payout", &self.payouts),
            ("sale", &self.sales),
            ("capital", &self.capital),
            ("withdrawal", &self.withdrawals),
            ("policy_payout", &self.policy_payouts),
            ("policy_end", &self.policy_ends),
        ]
    }
}

/// Accounts whose counters the event advances, each with its new count, without duplicates.
fn account_counters(event: &Event) -> BTreeSet<(String, u64)> {
    event
        .account_seqs()
        .into_iter()
        .map(|(account, number)| (account.to_string(), number))
        .collect()
}

fn odds_row(market: &str, seq: i64, slot_event: &SlotEvent, pools: &Pools) -> Value {
    json!({
        "market": market,
        "seq": seq,
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "pools": pools.map(|pool| pool.to_string()),
    })
}

fn settlement_row(seq: i64, slot_event: &SlotEvent, event: &MarketSettled, state: &str) -> Value {
    json!({
        "market": event.market.to_string(),
        "seq": seq,
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "state": state,
        "outcome": event.outcome,
        "value": event.value.to_string(),
        "observed": event.observed.to_string(),
        "protocol_fee": event.protocol_fee.to_string(),
        "creator_fee": event.creator_fee.to_string(),
        "winnings": event.winnings.to_string(),
    })
}

fn payout_row(seq: i64, slot_event: &SlotEvent, event: &Claimed) -> Value {
    json!({
        "position": event.position.to_string(),
        "seq": seq,
        "market": event.market.to_string(),
        "owner": event.owner.to_string(),
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "destination": event.destination.to_string(),
        "paid": event.paid.to_string(),
    })
}

fn sale_row(seq: i64, slot_event: &SlotEvent, event: &PositionBought) -> Value {
    json!({
        "market": event.market.to_string(),
        "seq": seq,
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "seller": event.seller.to_string(),
        "buyer": event.buyer.to_string(),
        "seller_position": event.seller_position.to_string(),
        "position": event.position.to_string(),
        "destination": event.destination.to_string(),
        "outcome": event.outcome,
        "amount": event.amount.to_string(),
        "price": event.price,
        "paid": event.paid.to_string(),
        "seller_total": event.seller_total.to_string(),
    })
}

/// Vault whose totals the event carries, and its totals after the event.
fn vault_totals(event: &Event) -> Option<(&Address, &VaultTotals)> {
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
        Event::PolicyBegun(event) => (&event.vault, &event.totals),
        Event::PolicyExpired(event) => (&event.vault, &event.totals),
        Event::PolicyExamined(event) => (&event.vault, &event.totals),
        _ => return None,
    })
}

fn capital_row(seq: i64, slot_event: &SlotEvent, vault: &Address, totals: &VaultTotals) -> Value {
    json!({
        "vault": vault.to_string(),
        "seq": seq,
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "assets": totals.assets.to_string(),
        "leaving": totals.leaving.to_string(),
        "seasoned": totals.seasoned.to_string(),
        "locked": totals.locked.to_string(),
        "pending_losses": totals.pending_losses.to_string(),
        "unearned": totals.unearned.to_string(),
        "held": totals.held.to_string(),
        "set_aside": totals.set_aside.to_string(),
        "shares": totals.shares.to_string(),
        "reserved_shares": totals.reserved_shares.to_string(),
        "protocol_credit": totals.protocol_credit.to_string(),
        "manager_credit": totals.manager_credit.to_string(),
    })
}

fn withdrawn_row(seq: i64, slot_event: &SlotEvent, event: &Withdrawn) -> Value {
    json!({
        "request": event.request.to_string(),
        "seq": seq,
        "vault": event.vault.to_string(),
        "owner": event.owner.to_string(),
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "state": if event.shares == 0 { "paid" } else { "lapsed" },
        "shares": event.shares.to_string(),
        "amount": event.amount.to_string(),
    })
}

fn withdraw_cancelled_row(seq: i64, slot_event: &SlotEvent, event: &WithdrawCancelled) -> Value {
    json!({
        "request": event.request.to_string(),
        "seq": seq,
        "vault": event.vault.to_string(),
        "owner": event.owner.to_string(),
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "state": "cancelled",
        "shares": event.shares.to_string(),
        "amount": "0",
    })
}

fn policy_payout_row(seq: i64, slot_event: &SlotEvent, event: &PolicyClaimed) -> Value {
    json!({
        "policy": event.policy.to_string(),
        "seq": seq,
        "vault": event.vault.to_string(),
        "model": event.model.to_string(),
        "holder": event.holder.to_string(),
        "slot": slot_event.slot,
        "block_time": slot_event.block_time,
        "destination": event.destination.to_string(),
        "first_window": event.first_window.to_string(),
        "value": event.value.to_string(),
        "amount": event.amount.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::events::{PolicyBegun, PolicyCancelled, PolicyExpired};

    use super::*;
    use crate::slot::EmittedEvent;

    /// The event with this discriminator, with all fields zero.
    fn zeroed(discriminator: &[u8]) -> Event {
        let mut bytes = discriminator.to_vec();
        while bytes.len() < 4_000 {
            if let Ok(event) = Event::decode(&bytes) {
                return event;
            }
            bytes.push(0);
        }
        panic!("no event has the discriminator {discriminator:?}");
    }

    fn idl() -> Value {
        serde_json::from_str(include_str!("../../../idl/driftshield.json")).unwrap()
    }

    /// The event of this name, with all fields zero.
    fn zeroed_by_name(name: &str) -> Event {
        let idl = idl();
        let mut events = idl["events"].as_array().unwrap().iter();
        let event = events.find(|event| event["name"] == name).unwrap();
        let discriminator: Vec<u8> =
            serde_json::from_value(event["discriminator"].clone()).unwrap();
        zeroed(&discriminator)
    }

    fn rows(events: Vec<Event>) -> EventRows {
        let mut rows = EventRows::default();
        for (seq, event) in (1..).zip(events) {
            let emitted = EmittedEvent {
                signature: String::new(),
                transaction_index: 0,
                instruction_index: 0,
                event_index: 0,
                data: vec![],
                event: Some(event),
            };
            let event = SlotEvent {
                slot: 100,
                block_time: None,
                emitted,
            };
            rows.add(seq, &event);
        }
        rows
    }

    #[test]
    fn every_event_with_vault_totals_yields_a_capital_row() {
        let idl = idl();
        for def in idl["types"].as_array().unwrap() {
            let name = def["name"].as_str().unwrap();
            if !Event::NAMES.contains(&name) {
                continue;
            }
            let mut fields = def["type"]["fields"].as_array().unwrap().iter();
            let has_totals = fields.any(|field| field["type"]["defined"]["name"] == "VaultTotals");
            assert_eq!(
                vault_totals(&zeroed_by_name(name)).is_some(),
                has_totals,
                "{name}"
            );
        }
    }

    #[test]
    fn a_policy_ends_when_its_whole_cover_is_paid() {
        let claimed = |amount, paid| {
            let Event::PolicyClaimed(event) = zeroed_by_name("PolicyClaimed") else {
                unreachable!("the event has another name");
            };
            Event::PolicyClaimed(PolicyClaimed {
                amount,
                paid,
                cover: 10,
                ..event
            })
        };
        let rows = rows(vec![claimed(4, 4), claimed(6, 10)]);
        let amounts: Vec<_> = rows.policy_payouts.iter().map(|p| &p["amount"]).collect();
        assert_eq!(amounts, ["4", "6"]);
        let [end] = &rows.policy_ends[..] else {
            panic!("expected one end: {:?}", rows.policy_ends);
        };
        assert_eq!(
            (&end["seq"], &end["state"], &end["paid"], &end["refund"]),
            (&json!(2), &json!("paid"), &json!("10"), &json!("0"))
        );
    }

    #[test]
    fn cancelled_expired_and_void_policies_end_without_a_payout() {
        let Event::PolicyCancelled(cancelled) = zeroed_by_name("PolicyCancelled") else {
            unreachable!("the event has another name");
        };
        let Event::PolicyExpired(expired) = zeroed_by_name("PolicyExpired") else {
            unreachable!("the event has another name");
        };
        let Event::PolicyBegun(begun) = zeroed_by_name("PolicyBegun") else {
            unreachable!("the event has another name");
        };
        let void = PolicyBegun {
            is_over: true,
            refund: 9,
            ..begun.clone()
        };
        let rows = rows(vec![
            Event::PolicyBegun(begun), // ends nothing
            Event::PolicyBegun(void),
            Event::PolicyCancelled(PolicyCancelled {
                refund: 7,
                ..cancelled
            }),
            Event::PolicyExpired(PolicyExpired {
                paid: 3,
                refund: 2,
                ..expired
            }),
        ]);
        let ends = rows.policy_ends.iter();
        let ends: Vec<_> = ends
            .map(|end| [&end["state"], &end["paid"], &end["refund"]])
            .collect();
        let expected = [
            ["void", "0", "9"],
            ["cancelled", "0", "7"],
            ["expired", "3", "2"],
        ];
        assert_eq!(ends, expected);
        assert!(rows.policy_payouts.is_empty());
    }

    #[test]
    fn withdrawals_are_paid_or_cancelled() {
        let rows = rows(vec![
            zeroed_by_name("Withdrawn"),
            zeroed_by_name("WithdrawCancelled"),
        ]);
        let states: Vec<_> = rows.withdrawals.iter().map(|w| &w["state"]).collect();
        assert_eq!(states, ["paid", "cancelled"]);
    }
}
