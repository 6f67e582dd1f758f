//! The wind-down: everybody claims and withdraws everything, and every account that can be closed is
//! closed. Each call is signed by the payee, or by nobody.

mod due;
mod holdings;

use std::collections::BTreeSet;

use driftshield_sdk::Address;

pub use due::*;
use holdings::paid_for;
pub use holdings::{Holding, Payouts, holdings};

use super::{
    books::Books,
    call::Call,
    driver::Driver,
    step::{Checked, Step, ensure},
};

/// Runs a call, and adds its payment to `payouts`. Returns whether the call succeeded.
pub fn execute(driver: &mut Driver, call: Call, payouts: &mut Payouts) -> Checked<bool> {
    let paid = paid_for(&driver.books, &call);
    let held = |books: &Books| paid.map_or(0, |(_, address)| books.tokens[&address].amount);
    let (before, succeeded) = (held(&driver.books), driver.tally.succeeded());
    driver.step(Step::Call(call))?;
    let succeeded = succeeded < driver.tally.succeeded();
    if let Some((holding, _)) = paid
        && succeeded
    {
        *payouts.entry(holding).or_default() += held(&driver.books).saturating_sub(before);
    }
    Ok(succeeded)
}

pub struct WindDown<'a> {
    pub driver: &'a mut Driver,
    pub payouts: Payouts,
    /// Token accounts that the issuer of their mint has frozen.
    pub frozen: BTreeSet<Address>,
    /// Holdings whose payment to a frozen account the program refused.
    pub waiting: BTreeSet<Holding>,
}

impl<'a> WindDown<'a> {
    pub fn new(driver: &'a mut Driver) -> Self {
        Self {
            driver,
            payouts: Payouts::new(),
            frozen: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Tries all calls that are due now, until none succeeds.
    pub fn now(&mut self) -> Checked {
        let kinds = [
            finalizations,
            settlements,
            market_payouts,
            policy_payouts,
            withdrawal_requests,
            vault_payouts,
            unbond_requests,
            model_payouts,
            closures,
        ];
        let mut progressed = true;
        while progressed {
            progressed = false;
            for kind in kinds {
                for call in kind(&self.driver.books) {
                    progressed |= self.execute(call)?;
                }
            }
        }
        Ok(())
    }

    /// Tries all calls that are due now or later, and waits for each.
    pub fn all(&mut self) -> Checked {
        self.now()?;
        while let Some(at) = next_due(&self.driver.books) {
            self.driver.step(Step::Until(at))?;
            self.now()?;
        }
        Ok(())
    }

    /// Whether a call only repeats a lapsed request, whose payment would be to a frozen account.
    fn is_in_vain(&self, call: &Call) -> bool {
        let Call::RequestWithdraw {
            signer,
            vault,
            shares: 0,
            ..
        } = call
        else {
            return false;
        };
        let books = &self.driver.books;
        let own = books.own_account(signer, &books.vaults[vault].mint);
        self.frozen.contains(&own)
    }

    fn execute(&mut self, call: Call) -> Checked<bool> {
        if self.is_in_vain(&call) {
            return Ok(false);
        }
        let paid = paid_for(&self.driver.books, &call);
        let Some((holding, address)) = paid.filter(|(_, address)| self.frozen.contains(address))
        else {
            return execute(self.driver, call, &mut self.payouts);
        };
        let mut fork = self.driver.fork();
        if fork.step(Step::Call(call.clone())).is_err() {
            // The books do not model freezes, so they accept the call that the program refuses.
            self.waiting.insert(holding);
            return Ok(false);
        }
        let is_unpaid =
            fork.books.tokens[&address].amount == self.driver.books.tokens[&address].amount;
        ensure(is_unpaid, || {
            format!("{holding:?} was paid to a frozen account")
        })?;
        execute(self.driver, call, &mut self.payouts)
    }
}
