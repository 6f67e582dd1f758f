//! Sales of stakes: asks and purchases.

use driftshield_sdk::{Address, Ask, address, instruction::Purchase};

use super::{Amount, Books, Market, Model, Position, Verdict, fits, require, roles::flag};

impl Market {
    /// The latest end of an ask that is set at `now`: the next end of an observed window; no limit after the
    /// last one.
    pub fn latest_ask_end(&self, model: &Model, now: i64) -> Verdict<i64> {
        for window in self.terms.first_window..=self.terms.last_window {
            let end = model.window_end(window)?;
            if now < end {
                return Ok(end);
            }
        }
        Ok(i64::MAX)
    }
}

impl Books {
    pub(super) fn set_ask(
        &mut self,
        signer: &Address,
        at: &Address,
        outcome: u8,
        ask: &Ask,
    ) -> Verdict {
        let now = self.now;
        let market = self.market(at)?;
        require(market.end.is_none(), "the market is settled")?;
        let outcome = usize::from(outcome);
        require(outcome < market.pools.len(), "there is no such outcome")?;
        let model = self.model(&market.model)?;
        let latest = market.latest_ask_end(model, now)?;
        let reports = model.reports;
        let position = self.positions.get_mut(&address::position(at, signer));
        let position = position.ok_or("the signer has no position")?;
        if ask.amount == 0 {
            position.asks.remove(&outcome);
            return Ok(());
        }
        require(
            Amount::from(ask.amount) <= position.stakes[outcome],
            "the ask is above the stake",
        )?;
        require(0 < ask.price, "the price is zero")?;
        require(
            now < ask.valid_until && ask.valid_until <= latest,
            "the ask ends too early or too late",
        )?;
        require(
            ask.reports == reports,
            "the seller has not read all reports",
        )?;
        position.asks.insert(outcome, *ask);
        Ok(())
    }

    /// Moves the stake, and returns the payment.
    pub(super) fn buy_position(
        &mut self,
        signer: &Address,
        at: &Address,
        seller: &Address,
        purchase: &Purchase,
    ) -> Verdict<Amount> {
        self.require_running(flag::BETS)?;
        let now = self.now;
        let market = self.market(at)?;
        require(market.end.is_none(), "the market is settled")?;
        let outcomes = market.pools.len();
        let min_bet = self.collaterals[&market.mint].terms.min_bet;
        let model = self.model(&market.model)?;
        let reports = model.reports;
        require(!model.is_insider(signer), "the buyer is an insider")?;
        require(
            purchase.reports == reports,
            "the buyer has not read all reports",
        )?;
        require(signer != seller, "an account is passed twice")?;

        let seller_at = address::position(at, seller);
        let outcome = usize::from(purchase.outcome);
        let position = self.positions.get_mut(&seller_at);
        let position = position.ok_or("the seller has no position")?;
        let ask = position.asks.get_mut(&outcome).ok_or("there is no ask")?;
        require(
            now < ask.valid_until && ask.reports == reports,
            "the ask has fallen",
        )?;
        require(ask.price <= purchase.max_price, "the price is too high")?;
        require(purchase.amount <= ask.amount, "the ask is smaller")?;
        require(
            min_bet <= purchase.amount || purchase.amount == ask.amount,
            "the amount is under the minimum bet and not the whole ask",
        )?;
        let amount = Amount::from(purchase.amount);
        let payment = fits((amount * Amount::from(ask.price)).div_ceil(1_000))?;
        ask.amount -= purchase.amount;
        if ask.amount == 0 {
            position.asks.remove(&outcome);
        }
        position.stakes[outcome] -= amount;
        self.rare_events.stakes_sold += 1;
        if position.stakes.iter().sum::<Amount>() == 0 {
            self.positions.remove(&seller_at);
            self.rare_events.positions_sold_out += 1;
        }
        let new = Position::new(at, signer, outcomes);
        let bought = self.positions.entry(address::position(at, signer));
        bought.or_insert(new).stakes[outcome] += amount;
        Ok(payment)
    }

    /// Pays the seller from the buyer's account: to the seller's associated token account if the seller still
    /// owns it, or to any account if the seller signs.
    #[expect(clippy::too_many_arguments, reason = "the fields of a call")]
    pub(super) fn pay_seller(
        &mut self,
        signer: &Address,
        at: &Address,
        seller: &Address,
        source: &Address,
        destination: &Address,
        signed: bool,
        payment: Amount,
    ) -> Verdict {
        let mint = self.market(at)?.mint;
        let to = self.tokens.get(destination);
        let owns = to.is_some_and(|tokens| tokens.owner == *seller);
        require(
            signed || (owns && *destination == self.own_account(seller, &mint)),
            "the destination is not the seller's own account, and the seller does not sign",
        )?;
        self.transfer(signer, source, destination, &mint, payment)?;
        self.record_donation(destination, payment);
        Ok(())
    }
}
