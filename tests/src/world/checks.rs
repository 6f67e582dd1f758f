//! Checks after every successful transaction: events and their counters, solvency, locked capital and
//! risk, and prices of shares.

use driftshield_sdk::{
    Account, Address, Event, Exposure, Market, Model, Policy, ReceiptState, Vault, WithdrawRequest,
    token,
};

use super::World;

impl World {
    /// Checks that the sequence numbers of events have no gaps.
    pub(super) fn check_counters(&mut self, event: &Event) {
        for change in event.changes() {
            // The counter restarts if an account is created again after it was closed.
            let (account, number) = (change.address, change.number);
            let before = self.counters.insert(account, number).unwrap_or(0);
            assert!(
                number == before + 1 || number == 1,
                "{account}: event {number} after {before}: {event:?}"
            );
        }
    }

    /// Checks that the program's token accounts hold at least what they owe, that the totals in its accounts
    /// add up, and that the sequence number of every account is that of the account's last event.
    pub fn check_solvency(&self) {
        let accounts = self.accounts();
        for (address, account) in &accounts {
            assert_eq!(
                self.counters.get(address),
                Some(&account.seq()),
                "the counter of {} {address}",
                account.kind().name()
            );
            match account {
                Account::Market(market) => {
                    assert!(market.owed <= self.tokens(&market.vault));
                    check_positions(address, market, &accounts);
                }
                Account::Model(model) => {
                    assert!(model.held <= self.tokens(&model.bond_vault));
                    let owed = owed_by_model(address, model, &accounts);
                    assert_eq!(model.held, owed, "held by {address}");
                    self.check_risk(address, model, &accounts);
                }
                Account::Vault(vault) => self.check_vault(address, vault, &accounts),
                _ => {}
            }
        }
    }

    /// Checks that the price of a vault's shares falls only when a pending loss is due, or when a claim on
    /// one of its policies is paid or premium of windows without a value is set aside for one too late.
    pub(super) fn check_share_prices(&mut self, events: &[Event]) {
        for (address, account) in self.accounts() {
            let Account::Vault(vault) = account else {
                continue;
            };
            let Some(mut before) = self.vaults.insert(address, *vault) else {
                continue;
            };
            let was = before;
            before.accrue(vault.accrued_at);
            let borne = was.pending_losses - before.pending_losses;
            assert!(was.staying() <= before.staying() + borne || before.shares == 0);
            let (before, price) = (
                (before.staying(), before.shares),
                (vault.staying(), vault.shares),
            );
            let has_paid = events.iter().any(|event| match event {
                Event::PolicyExpired(end) => end.vault == address && 0 < end.refund,
                Event::PolicyBegun(term) => {
                    term.vault == address && 0 < term.worth.max(term.unmeasured)
                }
                Event::PolicyExamined(windows) => windows.vault == address && 0 < windows.amount,
                _ => false,
            });
            if !has_paid && 0 < before.1 && 0 < price.1 {
                // (staying + 1) / (shares + 1000) does not fall; both sides times both denominators.
                let [before, after] =
                    [(before, price), (price, before)].map(|((assets, _), (_, shares))| {
                        (u128::from(assets) + 1) * (u128::from(shares) + 1_000)
                    });
                assert!(
                    before <= after,
                    "the share price of {address} fell: {events:?}"
                );
            }
        }
    }

    /// Checks a model's `market_risk`, `cover_risk` and `exposure` against its unsettled markets and
    /// open policies.
    fn check_risk(&self, address: &Address, model: &Model, accounts: &[(Address, Account)]) {
        let (mut stakes, mut covers) = (Vec::new(), Vec::new());
        for (_, account) in accounts {
            match account {
                Account::Market(market)
                    if market.model == *address && !market.is_settled() && 0 < market.total =>
                {
                    stakes.push(market.total);
                }
                Account::Policy(policy) if policy.model == *address => {
                    covers.push(policy.open_cover());
                }
                _ => {}
            }
        }
        assert_eq!(model.market_risk, stakes.iter().sum::<u64>(), "{address}");
        assert_eq!(model.cover_risk, covers.iter().sum::<u64>(), "{address}");
        let exposure = stakes.len() + covers.len();
        assert_eq!(model.exposure, exposure as u64, "exposure of {address}");
    }

    /// Checks that a vault's token accounts cover its debts, that its totals equal those of its policies,
    /// exposures and withdrawal requests, and that its streams stay within the unearned premium.
    fn check_vault(&self, address: &Address, vault: &Vault, accounts: &[(Address, Account)]) {
        let mut policies: Vec<&Policy> = Vec::new();
        let mut exposures: Vec<&Exposure> = Vec::new();
        let mut requests: Vec<&WithdrawRequest> = Vec::new();
        for (_, account) in accounts {
            match account {
                Account::Policy(policy) if policy.vault == *address => policies.push(policy),
                Account::Exposure(exposure) if exposure.vault == *address => {
                    exposures.push(exposure)
                }
                Account::WithdrawRequest(request) if request.vault == *address => {
                    requests.push(request)
                }
                _ => {}
            }
        }

        assert!(vault.owed().unwrap() <= self.tokens(&vault.tokens));
        assert!(vault.locked <= vault.assets);
        let pending = vault.pending_losses;
        assert_eq!(vault.losses.iter().sum::<u64>(), pending, "losses pending");
        let open: u64 = policies.iter().map(|policy| policy.open_cover()).sum();
        let aside: u64 = policies.iter().map(|policy| policy.set_aside()).sum();
        assert_eq!(vault.set_aside, aside, "set aside for policies");
        assert_eq!(vault.locked, open - aside + pending, "locked for policies");
        let covered: u64 = exposures.iter().map(|exposure| exposure.cover).sum();
        assert_eq!(open, covered, "cover of exposures");
        for exposure in &exposures {
            let own = policies
                .iter()
                .filter(|policy| policy.model == exposure.model);
            assert_eq!(exposure.policies, own.clone().count() as u64);
            assert_eq!(
                exposure.cover,
                own.map(|policy| policy.open_cover()).sum::<u64>()
            );
        }
        assert_eq!(vault.policies, policies.len() as u64);
        assert_eq!(vault.exposures, exposures.len() as u64);
        assert_eq!(vault.requests, requests.len() as u64);

        let requested: u64 = requests
            .iter()
            .map(|request| vault.requested(request))
            .sum();
        assert!(requested <= vault.leaving && vault.leaving <= vault.assets);
        assert!(vault.seasoned <= vault.assets);
        let reserved = requests
            .iter()
            .filter(|request| request.reserved_until != 0);
        let reserved: u64 = reserved.map(|request| request.shares).sum();
        assert_eq!(vault.reserved_shares, reserved);
        let held: u64 = requests.iter().map(|request| request.shares).sum();
        let share_mint = self.svm.get_account(&vault.share_mint).expect("a mint");
        let supply = token::mint_supply(&share_mint.data).expect("a mint");
        assert!(
            supply + held <= vault.shares,
            "the mint has {supply} shares, the vault {}",
            vault.shares
        );

        check_streams(vault);
    }
}

/// Checks that the positions of a market are counted and not empty, that their stakes add up to its pools
/// until some are claimed, and that no ask is above its stake.
fn check_positions(address: &Address, market: &Market, accounts: &[(Address, Account)]) {
    let mut positions = 0;
    let mut stakes = [0; 8];
    for (_, account) in accounts {
        let Account::Position(position) = account else {
            continue;
        };
        if position.market != *address {
            continue;
        }
        positions += 1;
        assert!(0 < position.total(), "an empty position in {address}");
        for (outcome, stake) in position.stakes.iter().enumerate() {
            stakes[outcome] += stake;
            let ask = position.asks[outcome];
            assert!(ask.amount <= *stake, "an ask above its stake in {address}");
        }
    }
    assert_eq!(market.positions, positions, "positions in {address}");
    if !market.is_settled() {
        assert_eq!(market.pools, stakes, "stakes in {address}");
    }
}

/// The amount that a model's bond vault owes: bonds, challenge bonds, credits, the pay of open
/// receipts, rewards, and the pot.
fn owed_by_model(address: &Address, model: &Model, accounts: &[(Address, Account)]) -> u64 {
    let owed = accounts.iter().map(|(_, account)| match account {
        Account::Seat(seat) if seat.model == *address => seat.bonded,
        Account::Receipt(receipt) if receipt.model == *address => {
            let is_challenged = receipt.state == ReceiptState::Challenged
                && receipt.challenger != Address::default();
            let bond = if is_challenged {
                model.challenge_bond
            } else {
                0
            };
            let pay = if receipt.is_settled() { 0 } else { receipt.pay };
            bond + receipt.owed() + pay
        }
        _ => 0,
    });
    let rewards = model.rewards.iter().sum::<u64>();
    let penalties = model.penalties.iter().sum::<u64>();
    owed.sum::<u64>() + rewards + model.pot.waiting + model.pot.unearned - penalties
}

/// Checks that all streams end within the ring, and that they have no more left to pay than the unearned
/// premium.
fn check_streams(vault: &Vault) {
    let bucket = vault.accrued_at / vault.bucket_secs;
    let mut rate = vault.rate.get();
    let mut rest = u128::from(vault.fraction);
    let mut at = vault.accrued_at;
    for ahead in 1..=vault.rate_changes.len() as i64 {
        let start = (bucket + ahead) * vault.bucket_secs;
        rest += rate * (start - at) as u128;
        at = start;
        let change = vault.rate_changes[(bucket + ahead) as usize % vault.rate_changes.len()].get();
        assert!(change == 0 || start <= vault.streams_end);
        rate = rate.checked_add_signed(change).expect("a rate");
    }
    assert_eq!(rate, 0);
    assert!(rest <= u128::from(vault.unearned) << driftshield::RATE_BITS);
}
