//! Policies and the vault, recomputed from the windows' drift and from the events on chain.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use driftshield_sdk::{Address, Event, PolicyTerms, Probation};
use driftshield_tests::network::observer::ObservedChain;
use serde::Deserialize;
use sqlx::PgPool;

use super::{Summary, WindowSummary};

const PROTOCOL_BPS: u64 = 500;
const MANAGER_BPS: u64 = 1_000;
/// Part of the unused premium that a cancellation refunds.
const REFUND_BPS: u64 = 9_000;
const BPS: u64 = 10_000;

/// A policy in `summary.json`.
#[derive(Deserialize)]
pub struct PolicySummary {
    pub policy: String,
    trigger_micro: u64,
    exhaustion_micro: u64,
    cover: u64,
    premium: u64,
    pub state: String,
    pub paid: u64,
}

/// A vault in `summary.json`.
#[derive(Deserialize)]
pub struct VaultSummary {
    vault: String,
    assets: u64,
    locked: u64,
    unearned: u64,
    shares: u64,
}

/// The events on chain, in order.
pub struct EventLog(Vec<LoggedEvent>);

struct LoggedEvent {
    /// Unix timestamp of the block.
    time: i64,
    /// Fee payer of the transaction.
    fee_payer: String,
    event: Event,
}

/// The state of a policy according to the events.
struct PolicyHistory {
    address: Address,
    terms: PolicyTerms,
    /// Last window of the terms that have begun; the one before the first if none has.
    last_window: u64,
    /// Premium of the term on probation.
    held: u64,
    /// Premiums of the terms that have begun.
    premium: u64,
    paid: u64,
    state: &'static str,
}

impl EventLog {
    pub fn new(chain: &ObservedChain) -> Self {
        let succeeded = chain.transactions.iter().filter(|landed| !landed.failed);
        let events = succeeded.flat_map(|landed| {
            landed.inner_instructions.iter().filter_map(|inner| {
                Some(LoggedEvent {
                    time: chain.block_times[&landed.slot],
                    fee_payer: landed.signed.fee_payer.clone(),
                    event: Event::decode_inner_instruction(&inner.data)?.unwrap(),
                })
            })
        });
        Self(events.collect())
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().map(|logged| &logged.event)
    }

    pub fn count_renewals(&self) -> usize {
        let is_renewal = |event: &&Event| matches!(event, Event::PolicyRenewed(_));
        self.events().filter(is_renewal).count()
    }

    /// Checks the summary's policies and vault against the events and the windows' drift.
    pub fn check(&self, summary: &Summary) {
        self.check_keepers();
        self.check_premiums();
        self.check_refunds();
        self.check_vault(&summary.vaults);
        let histories = self.policy_histories();
        assert_eq!(histories.len(), summary.policies.len());
        for (history, policy) in histories.iter().zip(&summary.policies) {
            let terms = &history.terms;
            assert_eq!(history.address.to_string(), policy.policy);
            assert_eq!(
                (terms.trigger, terms.exhaustion, terms.cover),
                (policy.trigger_micro, policy.exhaustion_micro, policy.cover)
            );
            assert_eq!(
                (history.premium, history.state, history.paid),
                (policy.premium, policy.state.as_str(), policy.paid)
            );
            if history.state != "cancelled" {
                assert_eq!(history.paid, history.claim_value(&summary.windows));
            }
        }
    }

    fn policy_histories(&self) -> Vec<PolicyHistory> {
        let mut histories: Vec<PolicyHistory> = vec![];
        for event in self.events() {
            match event {
                Event::PolicyBought(event) => histories.push(PolicyHistory {
                    address: event.policy,
                    terms: event.terms,
                    last_window: event.terms.first_window - 1,
                    held: event.premium,
                    premium: 0,
                    paid: 0,
                    state: "pending",
                }),
                Event::PolicyRenewed(event) => {
                    let history = find(&mut histories, &event.policy);
                    assert_eq!(
                        history.last_window + history.terms.windows,
                        event.last_window
                    );
                    assert!(event.premium <= history.terms.max_premium);
                    history.held = event.premium;
                }
                Event::PolicyBegun(event) => {
                    let history = find(&mut histories, &event.policy);
                    let held = std::mem::take(&mut history.held);
                    if event.probation == Probation::Passed {
                        history.premium += held;
                        history.last_window += history.terms.windows;
                        history.state = "open";
                    } else if event.is_over {
                        assert!(0 < event.refund && event.refund <= held);
                        history.state = "void";
                    }
                    assert_eq!(history.last_window, event.last_window);
                }
                Event::PolicyClaimed(event) => {
                    let history = find(&mut histories, &event.policy);
                    history.paid += event.amount;
                    if history.paid == history.terms.cover {
                        history.state = "paid";
                    }
                }
                Event::PolicyCancelled(event) => {
                    find(&mut histories, &event.policy).state = "cancelled"
                }
                Event::PolicyExpired(event) => {
                    find(&mut histories, &event.policy).state = "expired"
                }
                _ => {}
            }
        }
        histories
    }

    /// Checks that the oracles' cranks made all payouts, renewals and expirations, which anybody may send.
    fn check_keepers(&self) {
        let oracles: BTreeSet<_> = self.events().filter_map(bonded_oracle).collect();
        for LoggedEvent {
            fee_payer, event, ..
        } in &self.0
        {
            let is_keeper_step = matches!(
                event,
                Event::PolicyClaimed(_)
                    | Event::PolicyRenewed(_)
                    | Event::PolicyExpired(_)
                    | Event::PolicyBegun(_)
                    | Event::Withdrawn(_)
                    | Event::ManagerFeesCollected(_)
            );
            assert!(
                !is_keeper_step || oracles.contains(fee_payer),
                "{fee_payer}: {event:?}"
            );
        }
    }

    /// Checks how each premium is split.
    fn check_premiums(&self) {
        for event in self.events() {
            let (premium, protocol, manager, streamed) = match event {
                Event::PolicyBought(e) => {
                    (e.premium, e.protocol_part, e.manager_part, e.streamed_part)
                }
                Event::PolicyRenewed(e) => {
                    (e.premium, e.protocol_part, e.manager_part, e.streamed_part)
                }
                _ => continue,
            };
            assert_eq!(protocol, premium * PROTOCOL_BPS / BPS);
            assert_eq!(manager, premium * MANAGER_BPS / BPS);
            assert_eq!(streamed, premium - protocol - manager);
        }
    }

    /// Checks that each refund is computed from the premium that was unused at the cancellation.
    fn check_refunds(&self) {
        for logged in &self.0 {
            let Event::PolicyCancelled(cancelled) = &logged.event else {
                continue;
            };
            let bought = self.0.iter().find_map(|logged| match &logged.event {
                Event::PolicyBought(bought) if bought.policy == cancelled.policy => {
                    Some((logged.time, bought))
                }
                _ => None,
            });
            let (bought_at, bought) = bought.expect("a cancelled policy was bought");
            let refund = |start: i64, now: i64| {
                let (left, whole) = ((bought.end - now) as u64, (bought.end - start) as u64);
                bought.streamed_part * left / whole * REFUND_BPS / BPS
            };
            let mut refunds = possible_times(bought_at)
                .flat_map(|start| possible_times(logged.time).map(move |now| refund(start, now)));
            assert!(0 < cancelled.refund);
            assert!(
                refunds.any(|refund| refund == cancelled.refund),
                "{cancelled:?}"
            );
        }
    }

    /// Checks that the assets and the unearned premium of the only vault equal the payments to it minus
    /// those from it, and that no capital is locked any more.
    fn check_vault(&self, vaults: &[VaultSummary]) {
        let [vault] = vaults else {
            panic!("expected one vault, found {}", vaults.len());
        };
        let (mut tokens, mut shares) = (0, 0);
        // Shares that requests have become after their exit windows.
        let mut held: BTreeMap<&Address, u64> = BTreeMap::new();
        for event in self.events() {
            match event {
                Event::VaultCreated(event) => assert_eq!(event.vault.to_string(), vault.vault),
                Event::Deposited(event) => {
                    tokens += event.amount;
                    shares += event.shares;
                }
                Event::WithdrawRequested(event) => {
                    shares -= event.shares + held.remove(&event.request).unwrap_or(0);
                }
                Event::WithdrawCancelled(event) => {
                    shares += event.shares;
                    shares -= held.remove(&event.request).unwrap_or(0);
                }
                Event::Withdrawn(event) => {
                    tokens -= event.amount;
                    shares += event.shares;
                    shares -= held.insert(&event.request, event.shares).unwrap_or(0);
                }
                Event::PolicyBought(event) => tokens += event.premium,
                Event::PolicyRenewed(event) => tokens += event.premium,
                Event::PolicyClaimed(event) => tokens -= event.amount + event.refund,
                Event::PolicyBegun(event) => tokens -= event.refund,
                Event::PolicyExpired(event) => tokens -= event.refund,
                Event::PolicyCancelled(event) => tokens -= event.refund,
                Event::ManagerFeesCollected(event) => tokens -= event.amount,
                _ => {}
            }
        }
        assert_eq!(vault.assets + vault.unearned, tokens);
        assert_eq!((vault.shares, vault.locked), (shares, 0));
    }
}

fn find<'a>(histories: &'a mut [PolicyHistory], policy: &Address) -> &'a mut PolicyHistory {
    let mut histories = histories.iter_mut();
    let found = histories.find(|history| history.address == *policy);
    found.expect("the policy was bought before")
}

/// The oracle of a `Bonded` event.
fn bonded_oracle(event: &Event) -> Option<String> {
    match event {
        Event::Bonded(event) => Some(event.oracle.to_string()),
        _ => None,
    }
}

/// Possible values of the chain's clock in a block, which may differ from the block's time by a
/// second.
fn possible_times(time: i64) -> RangeInclusive<i64> {
    time - 1..=time + 1
}

impl PolicyHistory {
    /// Cover · min(1, (v − trigger) / (exhaustion − trigger)), but at least one base unit; 0 if v is
    /// below the trigger. Each run of `persistence` covered windows has a lowest drift; v is the
    /// highest of these.
    fn claim_value(&self, windows: &[WindowSummary]) -> u64 {
        let terms = &self.terms;
        let covered = windows
            .iter()
            .filter(|window| (terms.first_window..=self.last_window).contains(&window.window));
        let drifts: Vec<u64> = covered.map(|window| window.value_micro).collect();
        let lowest = |run: &[u64]| *run.iter().min().unwrap();
        let runs = drifts.windows(terms.persistence.into()).map(lowest);
        match runs.max() {
            Some(drift) if terms.exhaustion <= drift && terms.trigger <= drift => terms.cover,
            Some(drift) if terms.trigger <= drift => {
                let (over, whole) = (drift - terms.trigger, terms.exhaustion - terms.trigger);
                let value = u128::from(terms.cover) * u128::from(over) / u128::from(whole);
                u64::try_from(value).unwrap().max(1)
            }
            _ => 0,
        }
    }
}

/// Checks the final states of policies in the mirror.
pub async fn check_mirror(database: &PgPool, policies: &[PolicySummary]) {
    let mut ended: Vec<(String, String, String)> = sqlx::query_as(
        "select address, status, paid::text from readable.policy where ended_slot is not null",
    )
    .fetch_all(database)
    .await
    .unwrap();
    ended.sort();
    let mut expected: Vec<_> = policies
        .iter()
        .map(|p| (p.policy.clone(), p.state.clone(), p.paid.to_string()))
        .collect();
    expected.sort();
    assert_eq!(ended, expected);
}
