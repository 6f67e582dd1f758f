use anchor_lang::prelude::*;

use crate::{Account, Ask, AskSet, DriftShieldError, Market, Model, Position};

#[event_cpi]
#[derive(Accounts)]
pub struct SetAsk {
    #[account(address = position.owner @ DriftShieldError::NotPositionOwner)]
    pub owner: Signer,
    #[account(address = market.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, address = position.market @ DriftShieldError::WrongMarket)]
    pub market: Account<Market>,
    #[account(mut)]
    pub position: Account<Position>,
}

impl SetAsk {
    pub fn set_ask(&mut self, outcome: u8, ask: Ask) -> Result<AskSet> {
        let (index, now) = (usize::from(outcome), Clock::get()?.unix_timestamp);
        self.position
            .set_ask(index, ask, &self.market, &self.model, now)?;
        Ok(AskSet {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            position: *self.position.address(),
            position_seq: self.position.next_seq(),
            owner: self.position.owner,
            outcome,
            stake: self.position.stakes[index],
            ask: self.position.asks[index],
        })
    }
}
