//! Parimutuel markets.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, Aggregate, Ask, FeePayee, MarketTerms, address, instruction::Bet};

use super::{
    Amount, BPS, Books, HORIZON, Verdict, fits, limits::MAX_FEES_BPS, limits::check_text, require,
    roles::flag, series::Decision, windows_of_page,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketEnd {
    Resolved {
        outcome: usize,
        value: u64,
    },
    /// Nobody bet on the outcome, too few windows were observed, or the next window's retention is over.
    Void {
        value: u64,
    },
}

#[derive(Clone, Debug)]
pub struct Market {
    pub creator: Address,
    pub id: u64,
    pub model: Address,
    pub mint: Address,
    pub terms: MarketTerms,
    pub protocol_fee_bps: u16,
    /// Stakes by outcome.
    pub pools: Vec<Amount>,
    pub next_window: u64,
    /// Values of the windows that were observed.
    pub observed: Vec<u64>,
    pub end: Option<MarketEnd>,
    pub protocol_credit: Amount,
    pub creator_credit: Amount,
    /// Payouts and collected fees so far.
    pub paid: Amount,
    /// Positions with a stake on the resolved outcome.
    pub winners: usize,
}

#[derive(Clone, Debug)]
pub struct Position {
    pub market: Address,
    pub owner: Address,
    pub stakes: Vec<Amount>,
    /// By outcome.
    pub asks: BTreeMap<usize, Ask>,
}

impl Position {
    pub(super) fn new(market: &Address, owner: &Address, outcomes: usize) -> Self {
        Self {
            market: *market,
            owner: *owner,
            stakes: vec![0; outcomes],
            asks: BTreeMap::new(),
        }
    }
}

fn bps(amount: Amount, bps: u16) -> Amount {
    amount * Amount::from(bps) / BPS
}

impl Market {
    pub fn total(&self) -> Amount {
        self.pools.iter().sum()
    }

    /// The amount that the market's vault owes.
    pub fn owed(&self) -> Amount {
        self.total() - self.paid
    }

    fn outcome_of(&self, value: u64) -> usize {
        let is_reached = |threshold: &&u64| **threshold <= value;
        self.terms.thresholds.iter().filter(is_reached).count()
    }

    /// The division of the losing stakes if `outcome` wins: the protocol's fee, the creator's fee, and the
    /// winnings.
    fn divide_losing_stakes(&self, outcome: usize) -> (Amount, Amount, Amount) {
        let losing = self.total() - self.pools[outcome];
        let protocol = bps(losing, self.protocol_fee_bps);
        let creator = bps(losing, self.terms.creator_fee_bps);
        (protocol, creator, losing - protocol - creator)
    }

    /// The payout of a stake on `outcome` at the current odds, in thousandths of the stake.
    fn multiple(&self, outcome: usize) -> Amount {
        let (_, _, winnings) = self.divide_losing_stakes(outcome);
        1_000 + 1_000 * winnings / self.pools[outcome]
    }

    /// The amount that the winners share in addition to their stakes.
    pub fn winnings(&self) -> Amount {
        match self.end {
            Some(MarketEnd::Resolved { outcome, .. }) => self.divide_losing_stakes(outcome).2,
            _ => 0,
        }
    }

    fn payout(&self, position: &Position) -> Verdict<Amount> {
        Ok(match self.end.ok_or("the market is not settled")? {
            MarketEnd::Void { .. } => position.stakes.iter().sum(),
            MarketEnd::Resolved { outcome, .. } => {
                let stake = position.stakes[outcome];
                stake + stake * self.winnings() / self.pools[outcome]
            }
        })
    }

    /// Settles the next window: observed with `value`, or skipped if `None`.
    fn settle(&mut self, value: Option<u64>) {
        let mut decided = self.next_window == self.terms.last_window;
        if let Some(value) = value {
            self.observed.push(value);
            decided |= self.terms.aggregate == Aggregate::Max
                && self.outcome_of(value) == self.terms.thresholds.len();
        }
        self.next_window += 1;
        if decided {
            self.end = Some(self.resolution());
        }
        if let Some(MarketEnd::Resolved { outcome, .. }) = self.end {
            (self.protocol_credit, self.creator_credit, _) = self.divide_losing_stakes(outcome);
        }
    }

    /// The aggregate of the observed windows; `None` if there are none.
    pub fn value(&self) -> Option<u64> {
        let windows = self.observed.len() as Amount;
        let value = match self.terms.aggregate {
            Aggregate::Mean => self.accumulator().checked_div(windows)?,
            Aggregate::Max | Aggregate::Last => self.accumulator(),
        };
        (0 < windows).then_some(value as u64)
    }

    fn resolution(&self) -> MarketEnd {
        let Some(value) = self.value() else {
            return MarketEnd::Void { value: 0 };
        };
        let outcome = self.outcome_of(value);
        let is_certain =
            self.terms.aggregate == Aggregate::Max && outcome == self.terms.thresholds.len();
        if (self.observed.len() as u64) < self.terms.min_observed && !is_certain {
            return MarketEnd::Void { value: 0 };
        }
        if self.pools[outcome] == 0 {
            return MarketEnd::Void { value };
        }
        MarketEnd::Resolved { outcome, value }
    }

    /// The largest, the last, or the sum of the observed values, depending on the aggregate.
    pub fn accumulator(&self) -> Amount {
        let mut values = self.observed.iter().map(|&value| Amount::from(value));
        match self.terms.aggregate {
            Aggregate::Max => values.max().unwrap_or(0),
            Aggregate::Last => values.next_back().unwrap_or(0),
            Aggregate::Mean => values.sum(),
        }
    }
}

impl Books {
    pub(super) fn market(&self, market: &Address) -> Verdict<&Market> {
        self.markets.get(market).ok_or("there is no such market")
    }

    pub fn positions_of(&self, market: &Address) -> impl Iterator<Item = &Position> {
        let positions = self.positions.values();
        positions.filter(move |position| position.market == *market)
    }

    pub(super) fn create_market(
        &mut self,
        signer: &Address,
        id: u64,
        at: &Address,
        terms: &MarketTerms,
    ) -> Verdict {
        self.require_running(flag::MARKETS)?;
        let model = self.model(at)?;
        let mint = model.mint;
        self.enabled(&mint)?;
        require(!model.is_retired, "the model is retired")?;
        require(
            model.version == terms.model_version,
            "the model has another version",
        )?;
        let thresholds = &terms.thresholds;
        require(
            (1..=7).contains(&thresholds.len()) && thresholds.is_sorted_by(|a, b| a < b),
            "there must be one to seven ascending thresholds",
        )?;
        require(
            model.noise_floor <= thresholds[0],
            "a threshold is under the noise floor",
        )?;
        require(
            terms.first_window <= terms.last_window
                && terms.last_window - terms.first_window < 366
                && model.window_end(terms.last_window)? <= self.now + HORIZON,
            "the windows are out of range",
        )?;
        require(
            terms.min_observed <= terms.last_window - terms.first_window + 1,
            "more windows are required than observed",
        )?;
        require(
            self.now < terms.close_ts
                && terms.close_ts <= model.window_start(terms.first_window)?,
            "betting must close in the future, before the first window",
        )?;
        let protocol_fee_bps = self.config()?.params.protocol_fee_bps;
        let fees = u32::from(protocol_fee_bps) + u32::from(terms.creator_fee_bps);
        require(fees <= MAX_FEES_BPS.into(), "the fees are too high")?;
        check_text(&terms.question, 128)?;
        let market_at = address::market(signer, id);
        require(
            !self.markets.contains_key(&market_at),
            "the market exists already",
        )?;
        let market = Market {
            creator: *signer,
            id,
            model: *at,
            mint,
            terms: terms.clone(),
            protocol_fee_bps,
            pools: vec![0; thresholds.len() + 1],
            next_window: terms.first_window,
            observed: vec![],
            end: None,
            protocol_credit: 0,
            creator_credit: 0,
            paid: 0,
            winners: 0,
        };
        self.markets.insert(market_at, market);
        self.open_account(address::market_vault(&market_at), &mint, &market_at)
    }

    pub(super) fn cancel_market(&mut self, at: &Address, signed: bool) -> Verdict {
        let market = self.market(at)?;
        require(market.total() == 0, "the market has bets")?;
        require(
            signed || market.terms.close_ts <= self.now,
            "only the creator may cancel the market before betting closes",
        )?;
        self.markets.remove(at);
        self.sweep(&address::market_vault(at))
    }

    pub(super) fn place_bet(
        &mut self,
        signer: &Address,
        at: &Address,
        source: &Address,
        bet: &Bet,
    ) -> Verdict {
        self.require_running(flag::BETS)?;
        let now = self.now;
        let market = self.market(at)?;
        let (mint, model_at) = (market.mint, market.model);
        let min_bet = self.enabled(&mint)?.terms.min_bet;
        let model = self.model(&model_at)?;
        require(!model.is_retired, "the model is retired")?;
        require(
            model.version == market.terms.model_version,
            "the model has another version",
        )?;
        require(!model.is_insider(signer), "the bettor is an insider")?;
        require(min_bet <= bet.amount, "the amount is under the minimum bet")?;
        require(
            market.end.is_none() && now < market.terms.close_ts,
            "betting is closed",
        )?;
        let outcome = usize::from(bet.outcome);
        require(outcome < market.pools.len(), "there is no such outcome")?;

        let last_window_end = model.window_end(market.terms.last_window)?;
        let windows = (market.terms.first_window, market.terms.last_window);
        if market.total() == 0 {
            self.expose(&model_at, windows.0, windows.1)?;
        }
        let amount = Amount::from(bet.amount);
        let market = self.markets.get_mut(at).expect("read");
        market.pools[outcome] += amount;
        fits(market.total())?;
        let outcomes = market.pools.len();
        require(
            Amount::from(bet.min_multiple) <= market.multiple(outcome),
            "the multiple is under the bettor's minimum",
        )?;
        let at_risk = fits(self.market_risk(&model_at))?;
        let model = self.model(&model_at)?;
        require(
            at_risk <= model.secured_stakes(),
            "the bonds do not secure the bet",
        )?;
        let (rent, rent_end) = model.rent(amount, now, last_window_end)?;
        require(
            rent <= bet.max_rent.into(),
            "the rent is over the bettor's maximum",
        )?;
        let new = Position::new(at, signer, outcomes);
        let position = self
            .positions
            .entry(address::position(at, signer))
            .or_insert(new);
        position.stakes[outcome] += amount;
        self.transfer(signer, source, &address::market_vault(at), &mint, amount)?;
        self.pay_oracles(signer, source, &model_at, rent, rent_end)
    }

    pub(super) fn settle_market(&mut self, at: &Address, pages: &[Address]) -> Verdict {
        let market = self.market(at)?;
        require(market.end.is_none(), "the market is settled already")?;
        require(!pages.is_empty(), "no page is passed")?;
        let (model_at, first) = (market.model, market.next_window);
        for page in pages {
            if !self.settle_page(at, &model_at, page)? {
                break;
            }
        }
        let market = self.market(at)?;
        require(
            market.end.is_some() || first < market.next_window,
            "the next window is not decided",
        )?;
        let end = self.market(at)?.end;
        match end {
            Some(MarketEnd::Resolved { outcome, .. }) => {
                let winners = self
                    .positions_of(at)
                    .filter(|p| 0 < p.stakes[outcome])
                    .count();
                self.markets.get_mut(at).expect("read").winners = winners;
                self.rare_events.markets_resolved += 1;
            }
            Some(MarketEnd::Void { .. }) => self.rare_events.markets_voided += 1,
            None => {}
        }
        Ok(())
    }

    /// Settles the next windows by their page. Returns whether the market goes on after the page.
    fn settle_page(&mut self, at: &Address, model: &Address, page_at: &Address) -> Verdict<bool> {
        let next = self.market(at)?.next_window;
        let windows = windows_of_page(next);
        require(
            *page_at == address::series_page(model, windows.start / 256),
            "an account is not the page of the next window",
        )?;
        let may_be_closed = self.model(model)?.retention_end(next)? <= self.now;
        if !self.series.contains_key(page_at) && may_be_closed {
            self.markets.get_mut(at).expect("read").end = Some(MarketEnd::Void { value: 0 });
            return Ok(false);
        }
        for window in next..windows.end {
            let value = match self.decision(model, window)? {
                None => return Ok(false),
                Some(Decision::Observed(value)) => Some(value),
                Some(Decision::Skipped) => None,
            };
            let market = self.markets.get_mut(at).expect("read");
            market.settle(value);
            if market.end.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn claim(
        &mut self,
        at: &Address,
        owner: &Address,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let position_at = address::position(at, owner);
        let position = self.positions.get(&position_at);
        let position = position.ok_or("there is no such position")?;
        let market = self.market(at)?;
        let payout = fits(market.payout(position)?)?;
        let vault = address::market_vault(at);
        self.markets.get_mut(at).expect("read").paid += payout;
        self.positions.remove(&position_at);
        require(*destination != vault, "an account is passed twice")?;
        if payout == 0 {
            return Ok(()); // the destination is not checked
        }
        self.pay(&vault, owner, signed, destination, payout)
    }

    pub(super) fn collect_fees(
        &mut self,
        at: &Address,
        payee: FeePayee,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let market = self.markets.get_mut(at);
        let market = market.ok_or("there is no such market")?;
        require(market.end.is_some(), "the market is not settled")?;
        let credit = match payee {
            FeePayee::Treasury => &mut market.protocol_credit,
            FeePayee::Creator => &mut market.creator_credit,
        };
        let amount = std::mem::take(credit);
        require(0 < amount, "there is nothing to collect")?;
        market.paid += amount;
        let (mint, creator, vault) = (market.mint, market.creator, address::market_vault(at));
        match payee {
            FeePayee::Treasury => self.pay_treasury(&vault, &mint, destination, amount),
            FeePayee::Creator => self.pay(&vault, &creator, signed, destination, amount),
        }
    }

    pub(super) fn close_market(&mut self, at: &Address) -> Verdict {
        let market = self.market(at)?;
        require(market.end.is_some(), "the market is not settled")?;
        require(
            self.positions_of(at).next().is_none(),
            "a position is not claimed",
        )?;
        require(
            market.protocol_credit == 0 && market.creator_credit == 0,
            "a fee is not collected",
        )?;
        let (dust, winners) = (market.owed(), market.winners as Amount);
        require(dust == 0 || dust < winners, "more than dust is left")?;
        self.markets.remove(at);
        self.sweep(&address::market_vault(at))
    }
}
