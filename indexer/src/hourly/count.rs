//! What each event counts, and for whom.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Account, Address, Event, MarketState, ReceiptState,
    events::{Claimed, Penalty, PositionBought},
};

use super::{
    Added, Key,
    Subject::{self, Market, Model, Platform, Vault, Wallet},
    hour_of,
    totals::Totals,
};
use crate::lives::{Lives, vault_totals};

/// Counts the events of slots.
#[derive(Default)]
pub struct Counter {
    added: Added,
    /// Token by market, vault and model.
    mints: HashMap<Address, Address>,
    /// Model by market.
    models: HashMap<Address, Address>,
}

/// A settled receipt.
struct SettledReceipt<'a> {
    model: Address,
    window: u64,
    state: ReceiptState,
    value: u64,
    pay: u64,
    earners: u8,
    penalties: &'a [Penalty],
}

impl<'a> SettledReceipt<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::ReceiptRuled(e) => Self {
                model: e.model,
                window: e.window,
                state: e.state,
                value: e.value,
                pay: e.pay,
                earners: e.earners,
                penalties: &e.penalties,
            },
            Event::ReceiptFinalized(e) => Self {
                model: e.model,
                window: e.window,
                state: e.state,
                value: e.value,
                pay: e.pay,
                earners: e.earners,
                penalties: &e.penalties,
            },
            _ => return None,
        })
    }
}

/// Adds the same totals to several subjects.
struct Count<'a> {
    added: &'a mut Added,
    hour: Option<DateTime<Utc>>,
    mint: Address,
}

impl Count<'_> {
    fn add(&mut self, subjects: impl IntoIterator<Item = Subject>, totals: &Totals) {
        for subject in subjects {
            let key = Key {
                subject,
                mint: self.mint,
                hour: self.hour,
            };
            self.added.entry(key).or_default().add(totals);
        }
    }
}

impl Counter {
    pub(super) fn into_added(self) -> Added {
        self.added
    }

    /// Counts an event. `lives` are those right before it: the event doesn't say what never changes, such
    /// as the token of a market. `earners` are [`Lives::earners`].
    pub fn count(
        &mut self,
        time: Option<DateTime<Utc>>,
        event: &Event,
        lives: &Lives<'_>,
        earners: &[Address],
    ) {
        let hour = time.and_then(hour_of);
        self.note_new(event);
        self.count_market(hour, event, lives);
        self.count_cover(hour, event, lives);
        self.count_receipt(hour, event, lives, earners);
    }

    /// Adds what later events count, whose accounts may be others at the same addresses.
    pub fn add(&mut self, later: Self) {
        for (key, totals) in later.added {
            self.added.entry(key).or_default().add(&totals);
        }
    }

    /// Leaves out capital and drift as of the last event: later events of the hour were counted before.
    pub fn forget_latest(&mut self) {
        self.added.values_mut().for_each(Totals::forget_latest);
    }

    /// Takes note of the market or vault that the event creates: one before it at the address can have had
    /// another token.
    fn note_new(&mut self, event: &Event) {
        match event {
            Event::MarketCreated(e) => {
                self.mints.insert(e.market, e.mint);
                self.models.insert(e.market, e.model);
            }
            Event::VaultCreated(e) => {
                self.mints.insert(e.vault, e.mint);
            }
            _ => {}
        }
    }

    /// A count in the token of a market, a vault or a model's bonds.
    fn in_token_of(
        &mut self,
        account: &Address,
        hour: Option<DateTime<Utc>>,
        lives: &Lives<'_>,
    ) -> Count<'_> {
        let read = || match lives.account(account) {
            Some(Account::Market(market)) => market.mint,
            Some(Account::Vault(vault)) => vault.mint,
            Some(Account::Model(model)) => model.bond_mint,
            _ => {
                tracing::warn!(%account, "account unknown; counted without its token");
                Address::default()
            }
        };
        Count {
            mint: *self.mints.entry(*account).or_insert_with(read),
            added: &mut self.added,
            hour,
        }
    }

    /// The subjects of an event of a market that doesn't name the model.
    fn subjects_of(&mut self, market: &Address, lives: &Lives<'_>) -> [Subject; 3] {
        let read = || match lives.account(market) {
            Some(Account::Market(market)) => market.model,
            _ => {
                tracing::warn!(%market, "market unknown; counted without its model");
                Address::default()
            }
        };
        let model = *self.models.entry(*market).or_insert_with(read);
        [Platform, Model(model), Market(*market)]
    }

    fn count_market(&mut self, hour: Option<DateTime<Utc>>, event: &Event, lives: &Lives<'_>) {
        match event {
            Event::MarketCreated(e) => {
                let mut count = self.in_token_of(&e.market, hour, lives);
                let created = Totals {
                    markets: 1,
                    ..Totals::default()
                };
                count.add([Platform, Model(e.model), Wallet(e.creator)], &created);
            }
            Event::BetPlaced(e) => {
                let mut count = self.in_token_of(&e.market, hour, lives);
                let subjects = [Platform, Model(e.model), Market(e.market)];
                let bet = Totals {
                    bets: 1,
                    staked: e.amount.into(),
                    rents: e.rent.into(),
                    ..Totals::default()
                };
                count.add(subjects, &bet);
                count.add([Wallet(e.owner)], &bet);
            }
            Event::PositionBought(e) => self.count_sale(hour, e, lives),
            Event::MarketSettled(e) if e.state != MarketState::Open => {
                let mut count = self.in_token_of(&e.market, hour, lives);
                let subjects = [Platform, Model(e.model), Market(e.market)];
                let settled = Totals {
                    settlements: 1,
                    fees: u128::from(e.protocol_fee) + u128::from(e.creator_fee),
                    ..Totals::default()
                };
                count.add(subjects, &settled);
            }
            Event::Claimed(e) => self.count_claim(hour, e, lives),
            _ => {}
        }
    }

    fn count_sale(&mut self, hour: Option<DateTime<Utc>>, e: &PositionBought, lives: &Lives<'_>) {
        let subjects = self.subjects_of(&e.market, lives);
        let mut count = self.in_token_of(&e.market, hour, lives);
        let sale = Totals {
            sales: 1,
            sold: e.amount.into(),
            sold_for: e.paid.into(),
            ..Totals::default()
        };
        let purchase = Totals {
            purchases: 1,
            bought: e.amount.into(),
            bought_for: e.paid.into(),
            ..Totals::default()
        };
        count.add(subjects, &sale);
        count.add([Wallet(e.seller)], &sale);
        count.add([Wallet(e.buyer)], &purchase);
    }

    fn count_claim(&mut self, hour: Option<DateTime<Utc>>, e: &Claimed, lives: &Lives<'_>) {
        let subjects = self.subjects_of(&e.market, lives);
        let mut count = self.in_token_of(&e.market, hour, lives);
        let stakes = match lives.account(&e.position) {
            Some(Account::Position(position)) => position.stakes.into_iter().map(u128::from).sum(),
            _ => {
                tracing::warn!(position = %e.position, "position unknown; its stakes don't count as settled");
                0
            }
        };
        let claim = Totals {
            claims: 1,
            settled: stakes,
            payouts: e.paid.into(),
            ..Totals::default()
        };
        count.add(subjects, &claim);
        count.add([Wallet(e.owner)], &claim);
    }

    fn count_cover(&mut self, hour: Option<DateTime<Utc>>, event: &Event, lives: &Lives<'_>) {
        if let Some((vault, totals)) = vault_totals(event) {
            let capital = Totals {
                assets: Some(totals.assets),
                leaving: Some(totals.leaving),
                shares: Some(totals.shares),
                ..Totals::default()
            };
            let mut count = self.in_token_of(vault, hour, lives);
            count.add([Vault(*vault)], &capital);
        }
        let (vault, model, wallet, totals) = match event {
            Event::Deposited(e) => {
                let deposit = Totals {
                    deposits: 1,
                    deposited: e.amount.into(),
                    ..Totals::default()
                };
                (e.vault, None, e.owner, deposit)
            }
            Event::Withdrawn(e) if 0 < e.amount => {
                let withdrawal = Totals {
                    withdrawals: 1,
                    withdrawn: e.amount.into(),
                    ..Totals::default()
                };
                (e.vault, None, e.owner, withdrawal)
            }
            Event::PolicyBought(e) => {
                let purchase = Totals {
                    policies: 1,
                    premiums: e.premium.into(),
                    rents: e.rent.into(),
                    ..Totals::default()
                };
                (e.vault, Some(e.model), e.holder, purchase)
            }
            Event::PolicyRenewed(e) => {
                let renewal = Totals {
                    renewals: 1,
                    premiums: e.premium.into(),
                    rents: e.rent.into(),
                    ..Totals::default()
                };
                (e.vault, Some(e.model), e.holder, renewal)
            }
            Event::PolicyClaimed(e) => {
                let claim = Totals {
                    cover_claims: 1,
                    cover_paid: e.amount.into(),
                    refunds: e.refund.into(),
                    ..Totals::default()
                };
                (e.vault, Some(e.model), e.holder, claim)
            }
            Event::PolicyBegun(e) => (e.vault, Some(e.model), e.holder, refund(e.refund)),
            Event::PolicyCancelled(e) => (e.vault, Some(e.model), e.holder, refund(e.refund)),
            Event::PolicyExpired(e) => (e.vault, Some(e.model), e.holder, refund(e.refund)),
            _ => return,
        };
        let mut count = self.in_token_of(&vault, hour, lives);
        count.add([Platform, Vault(vault), Wallet(wallet)], &totals);
        count.add(model.map(Model), &totals);
    }

    fn count_receipt(
        &mut self,
        hour: Option<DateTime<Utc>>,
        event: &Event,
        lives: &Lives<'_>,
        earners: &[Address],
    ) {
        match event {
            Event::ModelRegistered(e) => {
                let mut count = Count {
                    added: &mut self.added,
                    hour,
                    mint: e.bond_mint,
                };
                let registered = Totals {
                    models: 1,
                    ..Totals::default()
                };
                count.add([Platform, Wallet(e.owner)], &registered);
            }
            Event::ReceiptSubmitted(e) => {
                let mut count = self.in_token_of(&e.model, hour, lives);
                let submission = Totals {
                    submissions: 1,
                    ..Totals::default()
                };
                count.add([Platform, Model(e.model), Wallet(e.oracle)], &submission);
            }
            Event::ReceiptChallenged(e) => {
                let mut count = self.in_token_of(&e.model, hour, lives);
                let challenge = Totals {
                    challenges: 1,
                    ..Totals::default()
                };
                count.add([Platform, Model(e.model), Wallet(e.challenger)], &challenge);
            }
            Event::ReceiptRuled(e) => {
                let mut count = self.in_token_of(&e.model, hour, lives);
                let ruling = Totals {
                    rulings: 1,
                    slashed: e.slashed.into(),
                    ..Totals::default()
                };
                count.add([Platform, Model(e.model), Wallet(e.arbiter)], &ruling);
            }
            _ => {}
        }
        if let Some(receipt) = SettledReceipt::of(event) {
            self.count_settled(hour, &receipt, lives, earners);
        }
    }

    fn count_settled(
        &mut self,
        hour: Option<DateTime<Utc>>,
        receipt: &SettledReceipt<'_>,
        lives: &Lives<'_>,
        earners: &[Address],
    ) {
        let mut count = self.in_token_of(&receipt.model, hour, lives);
        let subjects = [Platform, Model(receipt.model)];
        let (is_final, is_void, is_thin) = match receipt.state {
            ReceiptState::Final => (1, 0, 0),
            ReceiptState::Void => (0, 1, 0),
            ReceiptState::Thin => (0, 0, 1),
            _ => (0, 0, 0),
        };
        let settled = Totals {
            finals: is_final,
            voids: is_void,
            thins: is_thin,
            ..Totals::default()
        };
        count.add(subjects, &settled);
        if receipt.state == ReceiptState::Final {
            let drift = Totals {
                drift_sum: receipt.value.into(),
                drift_max: Some(receipt.value),
                drift: Some(receipt.value),
                drift_window: Some(receipt.window),
                ..Totals::default()
            };
            count.add([Model(receipt.model)], &drift);
        }
        for penalty in receipt.penalties {
            let silence = Totals {
                silences: 1,
                penalties: penalty.amount.into(),
                ..Totals::default()
            };
            count.add(subjects, &silence);
            count.add([Wallet(penalty.oracle)], &silence);
        }
        let parts = u64::from(receipt.earners.count_ones().max(1));
        let earning = Totals {
            earnings: 1,
            earned: (receipt.pay / parts).into(),
            ..Totals::default()
        };
        for &oracle in earners {
            count.add(subjects, &earning);
            count.add([Wallet(oracle)], &earning);
        }
    }
}

fn refund(amount: u64) -> Totals {
    Totals {
        refunds: amount.into(),
        ..Totals::default()
    }
}
