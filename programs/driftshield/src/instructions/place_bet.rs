use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, token, BetPlaced, Collateral, Config, DriftShieldError, Market, Model, Position,
    TokenOwner,
};

#[event_cpi]
#[derive(Accounts)]
pub struct PlaceBet {
    /// Pays the bet, and the rent of a new position.
    #[account(mut)]
    pub bettor: Signer,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == market.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = market.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub market: Account<Market>,
    /// The bettor's `Position`. Created by the bettor's first bet or purchase in the market.
    #[account(
        mut,
        seeds = [b"position", market.address().as_ref(), bettor.address().as_ref()],
        bump
    )]
    pub position: UncheckedAccount,
    /// The bettor's token account, which pays the bet.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl PlaceBet {
    pub fn place_bet(
        &mut self,
        outcome: u8,
        amount: u64,
        min_multiple: u64,
        terms_hash: [u8; 32],
        bump: u8,
    ) -> Result<BetPlaced> {
        let index = usize::from(outcome);
        self.market.require_terms(&terms_hash)?;
        self.require_allowed(amount)?;
        let first_bet = self.market.total == 0;
        let multiple =
            self.market
                .bet(index, amount, min_multiple, Clock::get()?.unix_timestamp)?;
        self.model.take_risk(amount)?;
        if first_bet {
            self.model.expose();
        }
        let bettor = self.bettor.account();
        let mut position = Position::open(bettor, &self.position, &mut self.market, bump)?;
        position.stakes[index] += amount; // part of the market's total

        token::transfer(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            &mut self.vault,
            self.bettor.cpi_handle(),
            &[],
            amount,
        )?;
        self.market.invariant(token::amount(&self.vault)?)?;
        Ok(BetPlaced {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            position: *position.address(),
            position_seq: position.next_seq(),
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            owner: position.owner,
            outcome,
            amount,
            stake: position.stakes[index],
            pool: self.market.pools[index],
            total: self.market.total,
            multiple,
            at_risk: self.model.at_risk,
            exposure: self.model.exposure,
        })
    }

    fn require_allowed(&self, amount: u64) -> Result<()> {
        self.config.require_running(pause::BETS)?;
        self.collateral.require_enabled()?;
        self.collateral.require_accepted(self.mint.account())?;
        self.model.require_active()?;
        self.model.require_version(self.market.model_version)?;
        require!(
            !self.model.is_insider(self.bettor.address()),
            DriftShieldError::Insider
        );
        require!(
            self.collateral.terms.min_bet <= amount,
            DriftShieldError::BetTooSmall
        );
        Ok(())
    }
}
