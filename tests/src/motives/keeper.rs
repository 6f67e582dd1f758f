//! The steps that anybody can take: whoever is owed something takes them as soon as they are due.

use driftshield_sdk::{
    Account, Address, ChallengePayee, FeePayee, Market, Policy, Position, PremiumPayee, Receipt,
    Seat, Vault, WithdrawRequest, instruction,
};

use super::stage::Stage;
use crate::world::{DAY, Wallet};

/// Days after the last window in which everybody is paid and leaves.
const WIND_DOWN_DAYS: i64 = 40;

impl Stage {
    /// Takes every step that is due: receipts, then the policies and markets that settle by them.
    pub fn settle_due(&mut self) {
        for (_, receipt) in self.all::<Receipt>() {
            self.finalize_due(receipt);
        }
        for (address, _) in self.all::<Policy>() {
            while self.scene.world.exists(&address) && self.pay_policy(&address) {}
        }
        for (address, market) in self.all::<Market>() {
            self.settle_market(address, market);
        }
        for (_, position) in self.all::<Position>() {
            self.pay_position(position);
        }
        for (_, request) in self.all::<WithdrawRequest>() {
            if request.shares == 0 && request.unlock_at <= self.now() {
                let (address, vault) = (self.scene.vault, self.scene.vault());
                let withdraw = instruction::withdraw(request.owner, address, &vault);
                let _ = self.scene.world.send(withdraw, &[]); // refused while nothing is free
            }
        }
    }

    fn now(&self) -> i64 {
        self.scene.world.now()
    }

    fn finalize_due(&mut self, receipt: Receipt) {
        let (mut ahead, mut model) = (receipt, self.scene.model());
        if ahead.advance(&mut model, self.now()).expect("in range") {
            let finalize = instruction::finalize_receipt(&receipt);
            self.scene.world.send(finalize, &[]).expect("finalize");
        } else if receipt.is_settled() && 0 < receipt.owed() && receipt.appeal_until <= self.now() {
            for payee in [ChallengePayee::Challenger, ChallengePayee::Treasury] {
                let address = self.scene.model.address;
                let collect = instruction::collect_challenge(address, &model, &receipt, payee);
                // Either may have nothing to collect.
                let _ = self.scene.world.send(collect, &[]);
            }
        }
    }

    /// Examines what is decided, claims what is due, begins the term on probation once it is decided, and ends
    /// what is over. Returns whether there was something to do.
    fn pay_policy(&mut self, at: &Address) -> bool {
        let policy: Policy = self.scene.world.read(at);
        let (vault, model) = (self.scene.vault(), self.scene.model());
        let windows = policy.windows_to_examine(&model, self.now(), usize::MAX);
        let mut steps = vec![instruction::examine_policy(&policy, windows)];
        if policy.due().is_ok() {
            steps.push(instruction::claim_policy(&policy, &vault));
        } else if policy.is_pending() {
            steps.push(instruction::begin_policy(&policy, &vault));
        } else if policy.expires_at(&model).expect("in range") <= self.now() {
            steps.push(instruction::expire_policy(&policy, &vault));
        }
        let before = self.scene.vault_now();
        // Each is refused if there is nothing to do.
        let done = steps
            .into_iter()
            .filter(|step| self.scene.world.send(step.clone(), &[]).is_ok());
        let done = done.count();
        self.record_losses(&before);
        0 < done
    }

    /// Records what the vault has lost since `before`, and when its capital bears it.
    fn record_losses(&mut self, before: &Vault) {
        let after = self.scene.vault_now();
        let at_once = before.assets.saturating_sub(after.assets);
        self.records.losses.push((self.now(), at_once));
        let slots = after.losses.len() as u64;
        let over = after.steps_over();
        for step in over + 1..over + slots {
            let slot = (step % slots) as usize;
            let added = after.losses[slot] - before.losses[slot]; // no time has passed
            self.records
                .losses
                .push((step as i64 * after.step_secs(), added));
        }
    }

    fn settle_market(&mut self, address: Address, market: Market) {
        let model = self.scene.model();
        let over = model.window_end(market.next_window).expect("in range") <= self.now();
        if !market.is_settled() && over {
            let _ = self.scene.world.settle(&address); // refused until the window is decided
        }
        for (payee, credit) in [
            (FeePayee::Treasury, market.protocol_credit),
            (FeePayee::Creator, market.creator_credit),
        ] {
            if 0 < credit {
                let collect = instruction::collect_fees(address, &market, payee);
                self.scene.world.send(collect, &[]).expect("collect_fees");
            }
        }
    }

    fn pay_position(&mut self, position: Position) {
        let market = self.scene.world.market(&position.market);
        if market.is_settled() {
            let claim = instruction::claim(position.owner, position.market, &market);
            self.scene.world.send(claim, &[]).expect("claim");
        }
    }

    /// Settles everything, and lets everybody leave.
    ///
    /// # Panics
    ///
    /// If somebody is still owed something at the end.
    pub fn wind_down(&mut self) {
        for _ in 0..WIND_DOWN_DAYS {
            self.settle_due();
            self.pay_providers();
            self.pay_oracles();
            self.pay_manager();
            self.scene.world.pass(DAY);
        }
        self.scene.world.check_solvency();
        for (address, account) in self.scene.world.accounts() {
            let is_paid = match &account {
                Account::Receipt(_)
                | Account::Policy(_)
                | Account::Position(_)
                | Account::WithdrawRequest(_)
                | Account::Seat(_) => false,
                Account::Vault(vault) => vault.shares == 0 && vault.manager_credit == 0,
                Account::Model(model) => model.rewards.iter().sum::<u64>() == 0,
                _ => true,
            };
            assert!(is_paid, "{} {address} is left", account.kind().name());
        }
    }

    /// Requests the withdrawal of all shares once nothing is locked, and withdraws.
    fn pay_providers(&mut self) {
        let providers = [
            self.scene.provider(),
            self.cast.provider.clone(),
            self.cast.friend.clone(),
        ];
        let is_idle = self.scene.vault().policies == 0;
        for provider in providers {
            let shares = self.scene.shares(&provider);
            if is_idle && 0 < shares {
                self.scene
                    .request(&provider, shares)
                    .expect("request_withdraw");
            }
            if is_idle && self.has_lapsed(&provider) {
                self.scene.request(&provider, 0).expect("request_withdraw");
            }
        }
    }

    /// Whether the provider's request became shares again.
    fn has_lapsed(&self, provider: &Wallet) -> bool {
        let requests = self.all::<WithdrawRequest>();
        let mut own = requests
            .iter()
            .filter(|(_, request)| request.owner == provider.address());
        own.any(|(_, request)| 0 < request.shares)
    }

    /// Pays the rewards, and takes out the bonds once nothing depends on the model.
    fn pay_oracles(&mut self) {
        let model = self.scene.model();
        let address = self.scene.model.address;
        let is_idle = model.exposure == 0 && model.open_receipts == 0;
        for (index, oracle) in self.scene.model.oracles.clone().iter().enumerate() {
            if 0 < model.rewards[index] {
                let collect = instruction::collect_reward(address, &model, index);
                self.scene.world.send(collect, &[]).expect("collect_reward");
            }
            if 0 < model.bonds[index] && is_idle {
                let unbond =
                    instruction::request_unbond(oracle.address(), address, model.bonds[index]);
                let sent = self.scene.world.send(unbond, &[&oracle.key]);
                sent.expect("request_unbond");
            }
        }
        for (_, seat) in self.all::<Seat>() {
            if seat.bonded == 0 && is_idle {
                let close = instruction::close_seat(seat.oracle, address);
                self.scene.world.send(close, &[]).expect("close_seat");
            } else if 0 < seat.unbonding && seat.release_at <= self.now() {
                let withdraw = instruction::withdraw_bond(seat.oracle, address, &model);
                self.scene.world.send(withdraw, &[]).expect("withdraw_bond");
            }
        }
    }

    fn pay_manager(&mut self) {
        let (address, vault) = (self.scene.vault, self.scene.vault());
        if 0 < vault.manager_credit {
            let payee = PremiumPayee::Manager;
            let collect = instruction::collect_manager_fees(address, &vault, payee);
            self.scene.world.send(collect, &[]).expect("collect");
        }
    }
}
