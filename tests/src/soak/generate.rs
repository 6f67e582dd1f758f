//! Generates the calls of an action: usually calls that may succeed in the current state, sometimes
//! arbitrary ones.

mod markets;
mod models;
mod policies;
mod pot;
mod receipts;
mod roles;
mod time;
mod tokens;
mod vaults;

use driftshield_sdk::Address;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    action::ActionKind,
    books::{Amount, Books},
    call::Call,
    driver::Driver,
    step::Step,
};
use crate::world::RENTS;

pub struct Generator<'a> {
    driver: &'a Driver,
    books: &'a Books,
    rng: &'a mut StdRng,
}

impl<'a> Generator<'a> {
    pub fn new(driver: &'a Driver, rng: &'a mut StdRng) -> Self {
        Self {
            driver,
            books: &driver.books,
            rng,
        }
    }

    /// The steps of an action. Empty if the state has no account for the action.
    pub fn steps(mut self, kind: ActionKind) -> Vec<Step> {
        match kind {
            ActionKind::Pass => vec![Step::Until(self.next_time())],
            ActionKind::Measure => self.measure(),
            ActionKind::Dispute => self.dispute(),
            ActionKind::TriggerPolicy => self.trigger_policy(),
            ActionKind::Deposit => self.deposit(),
            ActionKind::MoveShares => self.move_shares(),
            ActionKind::ChangeRent => vec![Step::Rent(self.pick(&RENTS).expect("rates"))],
            ActionKind::PlaceBet if self.open_markets().is_empty() => {
                self.single_call(ActionKind::CreateMarket)
            }
            ActionKind::BuyPolicy if !self.can_sell() => self.measure(),
            ActionKind::RenewPolicy => self.renew_policy(),
            ActionKind::BeginPolicy => self.begin_policy(),
            ActionKind::ExaminePolicy => self.examine_policy(),
            ActionKind::BuyPosition if self.standing_asks().is_empty() => {
                self.single_call(ActionKind::SetAsk)
            }
            // A market without several bets has few outcomes worth testing.
            ActionKind::PlaceBet if self.chance(60) => (0..3)
                .flat_map(|_| self.single_call(ActionKind::PlaceBet))
                .collect(),
            other => self.single_call(other),
        }
    }

    fn single_call(&mut self, kind: ActionKind) -> Vec<Step> {
        self.call(kind).map(Step::Call).into_iter().collect()
    }

    fn call(&mut self, kind: ActionKind) -> Option<Call> {
        match kind {
            ActionKind::Initialize => self.initialize(),
            ActionKind::UpdateConfig => self.update_config(),
            ActionKind::ProposeAdmin => self.propose_admin(),
            ActionKind::AcceptAdmin => self.accept_admin(),
            ActionKind::ProposeArbiter => self.propose_arbiter(),
            ActionKind::AcceptArbiter => self.accept_arbiter(),
            ActionKind::SetPause => self.set_pause(),
            ActionKind::RegisterCollateral => self.register_collateral(),
            ActionKind::UpdateCollateral => self.update_collateral(),
            ActionKind::WithdrawTreasury => self.withdraw_treasury(),

            ActionKind::RegisterModel => self.register_model(),
            ActionKind::UpdateModel => self.update_model(),
            ActionKind::RetireModel => self.retire_model(),
            ActionKind::Bond => self.bond(),
            ActionKind::RequestUnbond => self.request_unbond(),
            ActionKind::WithdrawBond => self.withdraw_bond(),
            ActionKind::CloseSeat => self.close_seat(),
            ActionKind::LeaveSeat => self.leave_seat(),
            ActionKind::SyncSeat => self.sync_seat(),
            ActionKind::ReplaceOracle => self.replace_oracle(),
            ActionKind::FundOracles => self.fund_oracles(),
            ActionKind::CollectReward => self.collect_reward(),

            ActionKind::SubmitReceipt => self.submit_receipt(),
            ActionKind::ChallengeReceipt => self.challenge_receipt(),
            ActionKind::RuleReceipt => self.rule_receipt(),
            ActionKind::ReturnSlashes => self.return_slashes(),
            ActionKind::FinalizeReceipt => self.finalize_receipt(),
            ActionKind::CollectChallenge => self.collect_challenge(),
            ActionKind::CloseSeries => self.close_series(),

            ActionKind::CreateMarket => self.create_market(),
            ActionKind::CancelMarket => self.cancel_market(),
            ActionKind::PlaceBet => self.place_bet(),
            ActionKind::SetAsk => self.set_ask(),
            ActionKind::BuyPosition => self.buy_position(),
            ActionKind::SettleMarket => self.settle_market(),
            ActionKind::Claim => self.claim(),
            ActionKind::CollectFees => self.collect_fees(),
            ActionKind::CloseMarket => self.close_market(),

            ActionKind::CreateVault => self.create_vault(),
            ActionKind::UpdateVault => self.update_vault(),
            ActionKind::ListModel => self.list_model(),
            ActionKind::RequestWithdraw => self.request_withdraw(),
            ActionKind::CancelWithdraw => self.cancel_withdraw(),
            ActionKind::Withdraw => self.withdraw(),
            ActionKind::CollectManagerFees => self.collect_manager_fees(),
            ActionKind::CloseExposure => self.close_exposure(),
            ActionKind::CloseVault => self.close_vault(),

            ActionKind::BuyPolicy => self.buy_policy(),
            ActionKind::ClaimPolicy => self.claim_policy(),
            ActionKind::CancelPolicy => self.cancel_policy(),
            ActionKind::ExpirePolicy => self.expire_policy(),

            ActionKind::Donate => self.donate(),
            ActionKind::BurnShares => self.burn_shares(),
            ActionKind::Approve => self.approve(),
            ActionKind::Revoke => self.revoke(),
            ActionKind::GiveAway => self.give_away(),
            ActionKind::SendLamports => self.send_lamports(),
            // `steps` handles these.
            ActionKind::Pass
            | ActionKind::Measure
            | ActionKind::Dispute
            | ActionKind::TriggerPolicy
            | ActionKind::RenewPolicy
            | ActionKind::BeginPolicy
            | ActionKind::ExaminePolicy
            | ActionKind::Deposit
            | ActionKind::MoveShares
            | ActionKind::ChangeRent => None,
        }
    }

    // Random choices.

    /// True with a probability of `percent`.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    fn up_to(&mut self, most: u64) -> u64 {
        self.rng.random_range(0..=most)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.choose(self.rng).copied()
    }

    /// Usually one of `likely`, otherwise one of `all`. If `likely` is empty, usually `None`.
    fn prefer<T: Copy>(&mut self, likely: &[T], all: &[T]) -> Option<T> {
        if self.chance(90) && (!likely.is_empty() || self.chance(70)) {
            self.pick(likely)
        } else {
            self.pick(all)
        }
    }

    /// Usually an actor of `role`, otherwise any actor.
    fn actor(&mut self, role: &str) -> Address {
        let actors = &self.driver.actors;
        let (likely, all) = (actors.with_role(role), actors.addresses());
        self.prefer(&likely, &all).expect("actors")
    }

    /// Usually `actor`, otherwise any actor.
    fn usually(&mut self, actor: Address) -> Address {
        let all = self.driver.actors.addresses();
        if self.chance(94) {
            actor
        } else {
            self.pick(&all).expect("actors")
        }
    }

    /// Usually from 1 to `usual`, otherwise a boundary value: 0, 1, `usual`, `all`, one more than all, or
    /// `u64::MAX`.
    fn amount(&mut self, usual: impl Into<Amount>, all: Amount) -> u64 {
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        let usual = u64::try_from(usual.into()).unwrap_or(u64::MAX).max(1);
        if self.chance(80) {
            return self.rng.random_range(1..=usual);
        }
        let edges = [0, 1, usual, all, all.saturating_add(1), u64::MAX];
        self.pick(&edges).expect("edges")
    }

    // Token accounts.

    fn tokens(&self, account: &Address) -> Amount {
        self.books
            .tokens
            .get(account)
            .map_or(0, |tokens| tokens.amount)
    }

    fn any_tokens(&mut self) -> Address {
        let all: Vec<Address> = self.books.tokens.keys().copied().collect();
        self.pick(&all).expect("token accounts")
    }

    /// The account that pays: usually the owner's associated token account, otherwise any.
    fn source(&mut self, owner: &Address, mint: &Address) -> Address {
        if self.chance(97) {
            self.books.own_account(owner, mint)
        } else {
            self.any_tokens()
        }
    }

    /// The account that a payout goes to, and whether the payee signs.
    fn destination(&mut self, payee: &Address, mint: &Address) -> (Address, bool) {
        if self.chance(88) {
            return (self.books.own_account(payee, mint), self.chance(30));
        }
        let of_mint = self.books.tokens.iter();
        let of_mint: Vec<Address> = of_mint
            .filter(|(_, tokens)| tokens.mint == *mint)
            .map(|(at, _)| *at)
            .collect();
        let all = [self.any_tokens()];
        let at = self.prefer(&of_mint, &all).expect("token accounts");
        (at, self.chance(60))
    }

    fn treasury_or_any(&mut self, mint: &Address) -> Address {
        let any = self.any_tokens();
        match self.books.collaterals.get(mint) {
            Some(collateral) if self.rng.random_ratio(95, 100) => collateral.treasury,
            _ => any,
        }
    }

    /// The shares of providers: owner, vault, and token account.
    fn share_holdings(&self) -> Vec<(Address, Address, Address)> {
        let mut holdings = Vec::new();
        for vault in self.books.vaults.keys() {
            for owner in self.driver.actors.with_role("provider") {
                let account = self.books.share_account(&owner, vault);
                if 0 < self.tokens(&account) {
                    holdings.push((owner, *vault, account));
                }
            }
        }
        holdings
    }
}
