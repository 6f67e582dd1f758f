//! Makes calls of actions: mostly what somebody might sensibly do in the state that there is, and now
//! and then anything at all.

mod markets;
mod models;
mod policies;
mod roles;
mod time;
mod vaults;

use driftshield_sdk::Address;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    action::Does,
    books::{Amount, Books},
    call::Call,
    run::{Driver, Step},
};

pub struct Chooser<'a> {
    driver: &'a Driver,
    books: &'a Books,
    dice: &'a mut StdRng,
}

impl<'a> Chooser<'a> {
    pub fn new(driver: &'a Driver, dice: &'a mut StdRng) -> Self {
        Self {
            driver,
            books: &driver.books,
            dice,
        }
    }

    /// What the action comes to: nothing where there is nothing that it could be done with.
    pub fn choose(mut self, does: Does) -> Vec<Step> {
        match does {
            Does::Pass => vec![Step::Until(self.later())],
            Does::Measure => self.measure(),
            Does::Dispute => self.dispute(),
            Does::Strike => self.strike(),
            Does::Deposit => self.deposit(),
            Does::MoveShares => self.move_shares(),
            Does::PlaceBet if self.open_markets().is_empty() => self.one(Does::CreateMarket),
            Does::BuyPolicy if !self.can_sell() => self.measure(),
            // Markets live by several bets.
            Does::PlaceBet if self.chance(60) => {
                (0..3).flat_map(|_| self.one(Does::PlaceBet)).collect()
            }
            other => self.one(other),
        }
    }

    fn one(&mut self, does: Does) -> Vec<Step> {
        self.call(does).map(Step::Call).into_iter().collect()
    }

    fn call(&mut self, does: Does) -> Option<Call> {
        match does {
            Does::Initialize => self.initialize(),
            Does::UpdateConfig => self.update_config(),
            Does::ProposeAdmin => self.propose_admin(),
            Does::AcceptAdmin => self.accept_admin(),
            Does::SetPause => self.set_pause(),
            Does::RegisterCollateral => self.register_collateral(),
            Does::UpdateCollateral => self.update_collateral(),
            Does::WithdrawTreasury => self.withdraw_treasury(),

            Does::RegisterModel => self.register_model(),
            Does::UpdateModel => self.update_model(),
            Does::RetireModel => self.retire_model(),
            Does::Bond => self.bond(),
            Does::RequestUnbond => self.request_unbond(),
            Does::WithdrawBond => self.withdraw_bond(),
            Does::CloseSeat => self.close_seat(),

            Does::SubmitReceipt => self.submit_receipt(),
            Does::ChallengeReceipt => self.challenge_receipt(),
            Does::RuleReceipt => self.rule_receipt(),
            Does::FinalizeReceipt => self.finalize_receipt(),
            Does::CollectChallenge => self.collect_challenge(),
            Does::CloseReceipt => self.close_receipt(),

            Does::CreateMarket => self.create_market(),
            Does::CancelMarket => self.cancel_market(),
            Does::PlaceBet => self.place_bet(),
            Does::SettleMarket => self.settle_market(),
            Does::Claim => self.claim(),
            Does::CollectFees => self.collect_fees(),
            Does::CloseMarket => self.close_market(),

            Does::CreateVault => self.create_vault(),
            Does::UpdateVault => self.update_vault(),
            Does::ListModel => self.list_model(),
            Does::RequestWithdraw => self.request_withdraw(),
            Does::CancelWithdraw => self.cancel_withdraw(),
            Does::Withdraw => self.withdraw(),
            Does::CollectManagerFees => self.collect_manager_fees(),
            Does::CloseExposure => self.close_exposure(),
            Does::CloseVault => self.close_vault(),

            Does::BuyPolicy => self.buy_policy(),
            Does::ClaimPolicy => self.claim_policy(),
            Does::CancelPolicy => self.cancel_policy(),
            Does::RenewPolicy => self.renew_policy(),
            Does::ExpirePolicy => self.expire_policy(),

            Does::Donate => self.donate(),
            Does::BurnShares => self.burn_shares(),
            Does::Approve => self.approve(),
            Does::Revoke => self.revoke(),
            Does::GiveAway => self.give_away(),
            Does::SendLamports => self.send_lamports(),
            _ => None, // makes several calls
        }
    }

    // Dice.

    /// True so many times in a hundred.
    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_ratio(percent, 100)
    }

    fn up_to(&mut self, most: u64) -> u64 {
        self.dice.random_range(0..=most)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.choose(self.dice).copied()
    }

    /// Mostly one of `likely`, if there is any; else any.
    fn mostly<T: Copy>(&mut self, likely: &[T], all: &[T]) -> Option<T> {
        if self.chance(90) && (!likely.is_empty() || self.chance(70)) {
            self.pick(likely)
        } else {
            self.pick(all)
        }
    }

    /// Mostly one of those whose name begins with `role`.
    fn actor(&mut self, role: &str) -> Address {
        let (likely, all) = (self.driver.cast.of(role), self.driver.cast.addresses());
        self.mostly(&likely, &all).expect("actors")
    }

    /// Mostly `who`, else anybody.
    fn mostly_by(&mut self, who: Address) -> Address {
        let all = self.driver.cast.addresses();
        if self.chance(94) {
            who
        } else {
            self.pick(&all).expect("actors")
        }
    }

    /// Mostly up to `usual`, else at an edge: nothing, one, all, one more, and the most that there is.
    fn amount(&mut self, usual: impl Into<Amount>, all: Amount) -> u64 {
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        let usual = u64::try_from(usual.into()).unwrap_or(u64::MAX).max(1);
        if self.chance(80) {
            return self.dice.random_range(1..=usual);
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

    /// Mostly the own account, else any.
    fn source(&mut self, owner: &Address, mint: &Address) -> Address {
        if self.chance(97) {
            self.books.own_account(owner, mint)
        } else {
            self.any_tokens()
        }
    }

    /// Where a payout goes, and whether the payee signs for it.
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
        let at = self.mostly(&of_mint, &all).expect("token accounts");
        (at, self.chance(60))
    }

    fn treasury_or_any(&mut self, mint: &Address) -> Address {
        let any = self.any_tokens();
        match self.books.collaterals.get(mint) {
            Some(collateral) if self.dice.random_ratio(95, 100) => collateral.treasury,
            _ => any,
        }
    }

    /// Shares that somebody holds: of whom, of which vault, in which account.
    fn holdings(&self) -> Vec<(Address, Address, Address)> {
        let mut holdings = Vec::new();
        for vault in self.books.vaults.keys() {
            for owner in self.driver.cast.of("provider") {
                let account = self.books.share_account(&owner, vault);
                if 0 < self.tokens(&account) {
                    holdings.push((owner, *vault, account));
                }
            }
        }
        holdings
    }

    // What anybody does with tokens.

    fn donate(&mut self) -> Option<Call> {
        let programs: Vec<(Address, Address)> = self
            .books
            .tokens
            .iter()
            .filter(|(_, tokens)| tokens.is_programs)
            .map(|(at, tokens)| (*at, tokens.mint))
            .collect();
        let (destination, mint) = self.pick(&programs)?;
        let share = self
            .holdings()
            .into_iter()
            .find(|(_, vault, _)| driftshield_sdk::address::share_mint(vault) == mint);
        let who = match share {
            Some((owner, _, _)) => owner,
            None => self.actor("stranger"),
        };
        let source = share.map_or_else(|| self.books.own_account(&who, &mint), |share| share.2);
        let all = self.tokens(&source);
        self.books.tokens.get(&source)?;
        Some(Call::Send {
            who,
            source,
            destination,
            amount: self.amount(all / 1_000, all),
        })
    }

    fn burn_shares(&mut self) -> Option<Call> {
        let holdings = self.holdings();
        let (who, _, source) = self.pick(&holdings)?;
        let all = self.tokens(&source);
        Some(Call::Burn {
            who,
            source,
            amount: self.amount(all / 10, all),
        })
    }

    /// From one provider to another, who gets an account for them first.
    fn move_shares(&mut self) -> Vec<Step> {
        let holdings = self.holdings();
        let Some((who, vault, source)) = self.pick(&holdings) else {
            return vec![];
        };
        let to = self.actor("provider");
        let destination = self.books.share_account(&to, &vault);
        let all = self.tokens(&source);
        let mut steps = Vec::new();
        if !self.books.tokens.contains_key(&destination) {
            steps.push(Step::Call(Call::OpenShares { who: to, vault }));
        }
        steps.push(Step::Call(Call::Send {
            who,
            source,
            destination,
            amount: self.amount(all, all),
        }));
        steps
    }

    fn approve(&mut self) -> Option<Call> {
        let who = self.actor("holder");
        let tokens = self.driver.cast.tokens;
        let token = self.pick(&tokens[..2])?;
        Some(Call::Approve {
            who,
            source: self.books.own_account(&who, &token.mint),
            amount: self.amount(token.wealth, token.wealth.into()),
        })
    }

    fn revoke(&mut self) -> Option<Call> {
        let who = self.actor("holder");
        let tokens = self.driver.cast.tokens;
        let token = self.pick(&tokens[..2])?;
        Some(Call::Revoke {
            who,
            source: self.books.own_account(&who, &token.mint),
        })
    }

    /// Somebody who is owed something gives its account to somebody else; that one gives it back when
    /// its turn comes.
    fn give_away(&mut self) -> Option<Call> {
        let books = self.books;
        let tokens = self.driver.cast.tokens;
        let given: Vec<(Address, Address, Address)> = self
            .driver
            .cast
            .addresses()
            .into_iter()
            .flat_map(|of| tokens.map(|token| (of, books.own_account(&of, &token.mint))))
            .map(|(of, account)| (of, account, books.tokens[&account].owner))
            .filter(|(of, _, by)| of != by)
            .collect();
        if !given.is_empty() && self.chance(60) {
            let (to, account, who) = self.pick(&given)?;
            return Some(Call::GiveAway { who, account, to });
        }
        let positions = books.positions.values();
        let bettors =
            positions.map(|position| (position.owner, books.markets[&position.market].mint));
        let policies = books.policies.values();
        let holders = policies.map(|policy| (policy.holder, books.vaults[&policy.vault].mint));
        let requests = books.requests.values();
        let leavers = requests.map(|request| (request.owner, books.vaults[&request.vault].mint));
        let owed: Vec<(Address, Address)> = bettors.chain(holders).chain(leavers).collect();
        let (who, mint) = self.pick(&owed)?;
        Some(Call::GiveAway {
            who: self.mostly_by(who),
            account: books.own_account(&who, &mint),
            to: self.actor("stranger"),
        })
    }

    /// To an address where one of the program's accounts may be made.
    fn send_lamports(&mut self) -> Option<Call> {
        use driftshield_sdk::address;
        let (owner, creator) = (self.actor("owner"), self.actor("creator"));
        let (manager, bettor) = (self.actor("manager"), self.actor("bettor"));
        let id = self.up_to(5);
        let market = self
            .books
            .markets
            .keys()
            .next()
            .copied()
            .unwrap_or_default();
        let model = self.books.models.keys().next().copied().unwrap_or_default();
        let places = [
            address::model(&owner, id),
            address::bond_vault(&address::model(&owner, id)),
            address::market(&creator, id),
            address::market_vault(&address::market(&creator, id)),
            address::vault(&manager, id),
            address::share_mint(&address::vault(&manager, id)),
            address::escrow(&address::vault(&manager, id)),
            address::position(&market, &bettor),
            address::receipt(&model, 100 + self.up_to(200)),
        ];
        let to = self.pick(&places)?;
        Some(Call::SendLamports { to })
    }
}
