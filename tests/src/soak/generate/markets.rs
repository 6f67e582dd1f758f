//! Calls about markets.

use driftshield_sdk::{
    Address, Aggregate, Ask, FeePayee, MarketTerms, address,
    instruction::{Bet, Purchase},
};
use rand::Rng;

use super::Generator;
use crate::soak::{
    books::{Market, Position, pages},
    call::Call,
};

impl Generator<'_> {
    fn market(&mut self, likely: impl Fn(&Address, &Market) -> bool) -> Option<Address> {
        let markets = self.books.markets.iter();
        let all: Vec<Address> = self.books.markets.keys().copied().collect();
        let likely: Vec<Address> = markets
            .filter(|(at, market)| likely(at, market))
            .map(|(at, _)| *at)
            .collect();
        self.prefer(&likely, &all)
    }

    pub(super) fn create_market(&mut self) -> Option<Call> {
        let signer = self.actor("creator");
        let active: Vec<Address> = self
            .books
            .models
            .iter()
            .filter(|(_, model)| !model.is_retired)
            .map(|(at, _)| *at)
            .collect();
        let all: Vec<Address> = self.books.models.keys().copied().collect();
        let at = self.prefer(&active, &all)?;
        let model = &self.books.models[&at];
        let soon = self.rng.random_range(10..=4 * 3_600);
        let first_window = model.window_from(self.books.now + soon);
        let start = model.window_start(first_window).ok()?;
        let lowest = model.noise_floor;
        let mut threshold = lowest;
        let thresholds = (0..=self.up_to(2)).map(|_| {
            threshold += self.rng.random_range(1..=100_000);
            threshold
        });
        let thresholds: Vec<u64> = thresholds.collect();
        let last_window = first_window + self.up_to(2);
        let aggregates = [Aggregate::Max, Aggregate::Last, Aggregate::Mean];
        let mut terms = MarketTerms {
            model_version: model.version,
            thresholds,
            aggregate: self.pick(&aggregates)?,
            first_window,
            last_window,
            min_observed: self.up_to(last_window - first_window + 1),
            close_ts: start - self.up_to(600) as i64,
            creator_fee_bps: self.up_to(500) as u16,
            question: "Does it drift?".into(),
        };
        if self.chance(15) {
            match self.up_to(8) {
                0 => terms.close_ts = start + 1,
                6 => terms.thresholds.reverse(),
                7 => terms.thresholds.clear(),
                8 => terms.min_observed = last_window - first_window + 2,
                1 => terms.thresholds[0] = lowest.saturating_sub(1),
                2 => terms.last_window = first_window + 366,
                3 => terms.creator_fee_bps = 2_001,
                4 => terms.model_version += 1,
                _ => terms.close_ts = start,
            }
        }
        Some(Call::CreateMarket {
            signer,
            id: if self.chance(85) {
                self.rng.random()
            } else {
                self.up_to(3)
            },
            model: at,
            terms,
        })
    }

    pub(super) fn cancel_market(&mut self) -> Option<Call> {
        let market = self.market(|_, market| market.total() == 0)?;
        Some(Call::CancelMarket {
            market,
            signed: self.chance(70),
        })
    }

    /// Markets that accept bets.
    pub(super) fn open_markets(&self) -> Vec<Address> {
        let (books, now) = (self.books, self.books.now);
        let is_open = |market: &Market| {
            let model = &books.models[&market.model];
            let is_current = !model.is_retired && model.version == market.terms.model_version;
            is_current && market.end.is_none() && now < market.terms.close_ts
        };
        let markets = books.markets.iter();
        markets
            .filter(|(_, market)| is_open(market))
            .map(|(at, _)| *at)
            .collect()
    }

    pub(super) fn place_bet(&mut self) -> Option<Call> {
        let open = self.open_markets();
        let at = self.market(|at, _| open.contains(at))?;
        let market = &self.books.markets[&at];
        let signer = self.actor("bettor");
        let source = self.source(&signer, &market.mint);
        let all = self.tokens(&source);
        let outcomes = market.pools.len() as u64;
        let outcome = if self.chance(95) {
            self.up_to(outcomes - 1)
        } else {
            outcomes
        };
        let least = self.books.collaterals[&market.mint].terms.min_bet;
        let amount = match self.up_to(9) {
            0 => least,
            1 => least.saturating_sub(1),
            _ => self.amount(all / 20_000, all).max(least),
        };
        Some(Call::PlaceBet {
            signer,
            market: at,
            source,
            bet: Bet {
                outcome: outcome as u8,
                amount,
                min_multiple: if self.chance(80) {
                    0
                } else {
                    self.up_to(3_000)
                },
                max_rent: if self.chance(90) {
                    u64::MAX
                } else {
                    self.up_to(amount / 10_000)
                },
            },
            stale: self.chance(3),
        })
    }

    pub(super) fn set_ask(&mut self) -> Option<Call> {
        let books = self.books;
        let of = |position: &Position| (position.market, position.owner);
        let all: Vec<_> = books.positions.values().map(of).collect();
        let is_open = |(market, _): &(Address, Address)| books.markets[market].end.is_none();
        let open: Vec<_> = all.iter().copied().filter(is_open).collect();
        let (at, owner) = self.prefer(&open, &all)?;
        let market = &books.markets[&at];
        let model = &books.models[&market.model];
        let stakes = &books.positions[&address::position(&at, &owner)].stakes;
        let with_stake = (0..stakes.len()).filter(|&outcome| 0 < stakes[outcome]);
        let with_stake: Vec<usize> = with_stake.collect();
        let every: Vec<usize> = (0..=stakes.len()).collect();
        let outcome = self.prefer(&with_stake, &every)?;
        let stake = stakes.get(outcome).copied().unwrap_or(0);
        let amount = match self.up_to(9) {
            0..=3 => stake as u64, // part of the market's total
            4 => 0,
            _ => self.amount(stake, stake),
        };
        let latest = market.latest_ask_end(model, books.now).ok()?;
        let ends = [
            books.now,
            books.now + 1,
            latest.saturating_sub(1),
            latest.saturating_add(1),
        ];
        let prices = [0, 1, 999, 1_000, u32::MAX];
        Some(Call::SetAsk {
            signer: self.usually(owner),
            market: at,
            outcome: outcome as u8,
            ask: Ask {
                amount,
                valid_until: if self.chance(85) {
                    latest
                } else {
                    self.pick(&ends)?
                },
                price: if self.chance(85) {
                    self.rng.random_range(1..=3_000)
                } else {
                    self.pick(&prices)?
                },
                reports: model.reports ^ u32::from(self.chance(4)),
            },
        })
    }

    /// Market, owner and outcome of each ask that can be taken.
    pub(super) fn standing_asks(&self) -> Vec<(Address, Address, usize)> {
        let books = self.books;
        let mut standing = vec![];
        for position in books.positions.values() {
            let market = &books.markets[&position.market];
            for (outcome, ask) in &position.asks {
                let reports = books.models[&market.model].reports;
                if market.end.is_none() && books.now < ask.valid_until && ask.reports == reports {
                    standing.push((position.market, position.owner, *outcome));
                }
            }
        }
        standing
    }

    pub(super) fn buy_position(&mut self) -> Option<Call> {
        let books = self.books;
        let all: Vec<_> = books
            .positions
            .values()
            .map(|position| (position.market, position.owner, 0))
            .collect();
        let (at, seller, outcome) = self.prefer(&self.standing_asks(), &all)?;
        let market = &books.markets[&at];
        let asks = &books.positions[&address::position(&at, &seller)].asks;
        let ask = asks.get(&outcome).copied().unwrap_or_default();
        let least = books.collaterals[&market.mint].terms.min_bet;
        let amount = match self.up_to(9) {
            0 => least,
            1 => least.saturating_sub(1),
            2 => ask.amount.saturating_add(1),
            3..=6 => ask.amount,
            _ => self.amount(ask.amount, ask.amount.into()),
        };
        let signer = self.actor("bettor");
        let (destination, signed) = self.destination(&seller, &market.mint);
        Some(Call::BuyPosition {
            signer,
            market: at,
            seller,
            source: self.source(&signer, &market.mint),
            destination,
            purchase: Purchase {
                outcome: outcome as u8,
                amount,
                max_price: match self.up_to(9) {
                    0 => ask.price.saturating_sub(1),
                    1 => ask.price,
                    _ => u32::MAX,
                },
                reports: books.models[&market.model].reports ^ u32::from(self.chance(3)),
            },
            stale: self.chance(3),
            signed,
        })
    }

    /// Settles a market's next windows.
    pub(super) fn settle_market(&mut self) -> Option<Call> {
        let books = self.books;
        let market = self.market(|_, market| {
            let model = &books.models[&market.model];
            let idle_from = model.idle_from(market.next_window);
            let is_decided = books.end_of(&market.model, market.next_window).is_some()
                || idle_from.is_ok_and(|from| from <= books.now);
            market.end.is_none() && is_decided
        })?;
        let state = &self.books.markets[&market];
        // Rarely a page too late, too few or too many.
        let late = if self.chance(4) { 256 } else { 0 };
        let first = state.next_window + late;
        let mut pages = pages(&state.model, first, state.terms.last_window.max(first));
        if self.chance(3) {
            pages.pop();
        } else if self.chance(3) {
            pages.push(address::series_page(&state.model, 1_000));
        }
        Some(Call::SettleMarket { market, pages })
    }

    pub(super) fn claim(&mut self) -> Option<Call> {
        let positions = self.books.positions.values();
        let all: Vec<(Address, Address)> = positions
            .map(|position| (position.market, position.owner))
            .collect();
        let settled: Vec<_> = all
            .iter()
            .filter(|(market, _)| self.books.markets[market].end.is_some())
            .copied()
            .collect();
        let (market, owner) = self.prefer(&settled, &all)?;
        let (destination, signed) = self.destination(&owner, &self.books.markets[&market].mint);
        Some(Call::Claim {
            market,
            owner,
            destination,
            signed,
        })
    }

    pub(super) fn collect_fees(&mut self) -> Option<Call> {
        let market = self.market(|_, market| 0 < market.protocol_credit + market.creator_credit)?;
        let state = &self.books.markets[&market];
        let (payee, destination, signed) = if 0 < state.creator_credit || self.chance(20) {
            let (destination, signed) = self.destination(&state.creator, &state.mint);
            (FeePayee::Creator, destination, signed)
        } else {
            (FeePayee::Treasury, self.treasury_or_any(&state.mint), false)
        };
        Some(Call::CollectFees {
            market,
            payee,
            destination,
            signed,
        })
    }

    pub(super) fn close_market(&mut self) -> Option<Call> {
        let books = self.books;
        let market = self.market(|at, market| {
            let is_claimed = market.end.is_some() && books.positions_of(at).next().is_none();
            is_claimed && market.protocol_credit + market.creator_credit == 0
        })?;
        Some(Call::CloseMarket { market })
    }
}
