//! What policies and the vault came to, counted again from the windows' drift and from the events as
//! the validator told them.

use std::{collections::BTreeSet, ops::RangeInclusive};

use driftshield_sdk::{Address, Event, PolicyTerms};
use driftshield_tests::network::Heard;
use serde::Deserialize;
use sqlx::PgPool;

use super::{Summary, Window};

const PROTOCOL_BPS: u64 = 500;
const MANAGER_BPS: u64 = 1_000;
/// Of what is unused, what a cancellation gives back.
const KEPT_BPS: u64 = 9_000;
const BPS: u64 = 10_000;

#[derive(Deserialize)]
pub struct Policy {
    pub policy: String,
    trigger_micro: u64,
    exhaustion_micro: u64,
    cover: u64,
    premium: u64,
    pub state: String,
    pub paid: u64,
}

#[derive(Deserialize)]
pub struct Vault {
    vault: String,
    assets: u64,
    locked: u64,
    unearned: u64,
    shares: u64,
}

/// Every event so far: when, who paid for its transaction, and what it says.
pub struct Told(Vec<(i64, String, Event)>);

/// What the events say of a policy.
struct Account {
    address: Address,
    terms: PolicyTerms,
    last_window: u64,
    premium: u64,
    paid: u64,
    state: &'static str,
}

impl Told {
    pub fn of(heard: &Heard) -> Self {
        let succeeded = heard.transactions.iter().filter(|landed| !landed.failed);
        let events = succeeded.flat_map(|landed| {
            landed.inner.iter().filter_map(|(.., data)| {
                let event = Event::decode_inner_instruction(data)?.unwrap();
                let time = heard.times[&landed.slot];
                Some((time, landed.signed.payer.clone(), event))
            })
        });
        Self(events.collect())
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().map(|(.., event)| event)
    }

    pub fn renewals(&self) -> usize {
        let renewed = |event: &&Event| matches!(event, Event::PolicyRenewed(_));
        self.events().filter(renewed).count()
    }

    /// Holds the summary's policies and vault against the events and the windows' drift.
    pub fn check(&self, summary: &Summary) {
        self.check_keepers();
        self.check_premiums();
        self.check_refunds();
        self.check_vault(&summary.vaults);
        let accounts = self.accounts();
        assert_eq!(accounts.len(), summary.policies.len());
        for (account, policy) in accounts.iter().zip(&summary.policies) {
            let terms = &account.terms;
            assert_eq!(account.address.to_string(), policy.policy);
            assert_eq!(
                (terms.trigger, terms.exhaustion, terms.cover),
                (policy.trigger_micro, policy.exhaustion_micro, policy.cover)
            );
            assert_eq!(
                (account.premium, account.state, account.paid),
                (policy.premium, policy.state.as_str(), policy.paid)
            );
            if account.state != "cancelled" {
                assert_eq!(account.paid, account.worth(&summary.windows));
            }
        }
    }

    fn accounts(&self) -> Vec<Account> {
        let mut accounts: Vec<Account> = vec![];
        for event in self.events() {
            match event {
                Event::PolicyBought(event) => accounts.push(Account {
                    address: event.policy,
                    terms: event.terms,
                    last_window: event.last_window,
                    premium: event.premium,
                    paid: 0,
                    state: "open",
                }),
                Event::PolicyRenewed(event) => {
                    let account = find(&mut accounts, &event.policy);
                    account.last_window += account.terms.windows;
                    account.premium += event.premium;
                    assert_eq!(account.last_window, event.last_window);
                    assert!(event.premium <= account.terms.max_premium);
                }
                Event::PolicyClaimed(event) => {
                    let account = find(&mut accounts, &event.policy);
                    account.paid += event.amount;
                    if account.paid == account.terms.cover {
                        account.state = "paid";
                    }
                }
                Event::PolicyCancelled(event) => {
                    find(&mut accounts, &event.policy).state = "cancelled"
                }
                Event::PolicyExpired(event) => find(&mut accounts, &event.policy).state = "expired",
                _ => {}
            }
        }
        accounts
    }

    /// Nobody but the oracles' cranks took the steps that anybody may take.
    fn check_keepers(&self) {
        let oracles: BTreeSet<_> = self.events().filter_map(oracle).collect();
        for (_, payer, event) in &self.0 {
            let is_step = matches!(
                event,
                Event::PolicyClaimed(_)
                    | Event::PolicyRenewed(_)
                    | Event::PolicyExpired(_)
                    | Event::Withdrawn(_)
                    | Event::ManagerFeesCollected(_)
            );
            assert!(!is_step || oracles.contains(payer), "{payer}: {event:?}");
        }
    }

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

    /// What came back is what was unused at some second of the slot in which it was given up.
    fn check_refunds(&self) {
        for (cancelled_at, _, event) in &self.0 {
            let Event::PolicyCancelled(cancelled) = event else {
                continue;
            };
            let bought = self.0.iter().find_map(|(at, _, event)| match event {
                Event::PolicyBought(bought) if bought.policy == cancelled.policy => {
                    Some((*at, bought))
                }
                _ => None,
            });
            let (bought_at, bought) = bought.expect("a policy that was bought");
            let refund = |start: i64, now: i64| {
                let (left, whole) = ((bought.end - now) as u64, (bought.end - start) as u64);
                bought.streamed_part * left / whole * KEPT_BPS / BPS
            };
            let mut refunds = about(bought_at)
                .flat_map(|start| about(*cancelled_at).map(move |now| refund(start, now)));
            assert!(0 < cancelled.refund);
            assert!(
                refunds.any(|refund| refund == cancelled.refund),
                "{cancelled:?}"
            );
        }
    }

    /// The only vault has what went in and not out, and stands for nothing any more.
    fn check_vault(&self, vaults: &[Vault]) {
        let [vault] = vaults else {
            panic!("{} vaults", vaults.len());
        };
        let (mut tokens, mut shares) = (0, 0);
        for event in self.events() {
            match event {
                Event::VaultCreated(event) => assert_eq!(event.vault.to_string(), vault.vault),
                Event::Deposited(event) => {
                    tokens += event.amount;
                    shares += event.shares;
                }
                Event::Withdrawn(event) => {
                    tokens -= event.amount;
                    shares -= event.shares;
                }
                Event::PolicyBought(event) => tokens += event.premium,
                Event::PolicyRenewed(event) => tokens += event.premium,
                Event::PolicyClaimed(event) => tokens -= event.amount,
                Event::PolicyCancelled(event) => tokens -= event.refund,
                Event::ManagerFeesCollected(event) => tokens -= event.amount,
                _ => {}
            }
        }
        assert_eq!(vault.assets + vault.unearned, tokens);
        assert_eq!((vault.shares, vault.locked), (shares, 0));
    }
}

fn find<'a>(accounts: &'a mut [Account], policy: &Address) -> &'a mut Account {
    let mut accounts = accounts.iter_mut();
    let found = accounts.find(|account| account.address == *policy);
    found.expect("a policy that was bought")
}

fn oracle(event: &Event) -> Option<String> {
    match event {
        Event::Bonded(event) => Some(event.oracle.to_string()),
        _ => None,
    }
}

/// The chain's clock may be a second off a block's time.
fn about(time: i64) -> RangeInclusive<i64> {
    time - 1..=time + 1
}

impl Account {
    /// Cover · min(1, (v − trigger) / (exhaustion − trigger)), with v the lowest drift of as many
    /// covered windows in a row as are needed, the highest of these.
    fn worth(&self, windows: &[Window]) -> u64 {
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
                let worth = u128::from(terms.cover) * u128::from(over) / u128::from(whole);
                u64::try_from(worth).unwrap().max(1)
            }
            _ => 0,
        }
    }
}

/// The mirror's own account of how policies ended.
pub async fn check_mirror(database: &PgPool, policies: &[Policy]) {
    let ends: Vec<(String, String, String)> =
        sqlx::query_as("select policy, state, paid::text from chain.policy_end order by policy")
            .fetch_all(database)
            .await
            .unwrap();
    let mut expected: Vec<_> = policies
        .iter()
        .map(|p| (p.policy.clone(), p.state.clone(), p.paid.to_string()))
        .collect();
    expected.sort();
    assert_eq!(ends, expected);
}
