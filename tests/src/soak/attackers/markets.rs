//! Attacks with the keys of creators, and by an accomplice who bets.

use driftshield_sdk::{Aggregate, FeePayee, MarketTerms, instruction::Bet};
use rand::Rng;

use super::{Attackers, ID};
use crate::soak::{
    books::{Books, pages},
    call::Call,
};

impl Attackers {
    pub(super) fn market_attack(&mut self, books: &Books, name: &str) -> Option<Call> {
        let market = self.pick(books.markets.iter());
        let position = self.pick(books.positions.values());
        Some(match name {
            "create_market" => return self.create_market(books),
            "cancel_market" => Call::CancelMarket {
                market: *market?.0,
                signed: true,
            },
            "place_bet" => {
                // Any bet lowers the payouts of other bets on its outcome. The accomplice bets only in the
                // attackers' markets, so that no loss of others is excused.
                let own = books.markets.iter().filter(|(_, market)| market.id == ID);
                let (at, market) = self.pick(own)?;
                let mint = market.mint;
                Call::PlaceBet {
                    signer: self.accomplice,
                    market: *at,
                    source: books.own_account(&self.accomplice, &mint),
                    bet: Bet::unlimited(
                        self.rng.random_range(0..2),
                        books.collaterals[&mint].terms.min_bet,
                    ),
                    stale: false,
                }
            }
            "settle_market" => {
                let (at, market) = market?;
                // Sometimes passes the next page, which the program must refuse.
                let skipped = if self.chance(30) { 256 } else { 0 };
                let window = market.next_window + skipped;
                Call::SettleMarket {
                    market: *at,
                    pages: pages(&market.model, window, window),
                }
            }
            "claim" => {
                let position = position?;
                let mint = books.markets[&position.market].mint;
                let (destination, signed) = self.divert(books, &position.owner, &mint);
                Call::Claim {
                    market: position.market,
                    owner: position.owner,
                    destination,
                    signed,
                }
            }
            "collect_fees" => {
                let (at, market) = market?;
                if self.chance(50) {
                    let destination = self.treasury_or_own(books, &market.mint);
                    return Some(Call::CollectFees {
                        market: *at,
                        payee: FeePayee::Treasury,
                        destination,
                        signed: false,
                    });
                }
                Call::CollectFees {
                    market: *at,
                    payee: FeePayee::Creator,
                    destination: books.own_account(&market.creator, &market.mint),
                    signed: true,
                }
            }
            "close_market" => Call::CloseMarket { market: *market?.0 },
            _ => return None,
        })
    }

    /// A call that creates a market with the highest allowed fees.
    fn create_market(&mut self, books: &Books) -> Option<Call> {
        let active = books.models.iter().filter(|(_, model)| !model.is_retired);
        let (at, model) = self.pick(active)?;
        let mut creators = books.markets.values().map(|market| market.creator);
        let signer = creators.next().unwrap_or(self.puppet_oracle);
        let first_window = model.window_from(books.now + 600);
        let fee = books.config.as_ref()?.params.protocol_fee_bps;
        Some(Call::CreateMarket {
            signer,
            id: ID,
            model: *at,
            terms: MarketTerms {
                model_version: model.version,
                thresholds: vec![model.noise_floor],
                aggregate: Aggregate::Max,
                first_window,
                last_window: first_window,
                min_observed: 0,
                close_ts: model.window_start(first_window).ok()?,
                creator_fee_bps: 2_000u16.saturating_sub(fee),
                question: "Attackers' market".into(),
            },
        })
    }
}
