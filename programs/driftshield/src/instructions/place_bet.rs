use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, token, Account, BetPlaced, Collateral, Config, DriftShieldError, Market, Model,
    Position, TokenOwner,
};

#[event_cpi]
#[derive(Accounts)]
pub struct PlaceBet {
    /// Pays the bet, its security rent, and the rent of a new position's account.
    #[account(mut)]
    pub bettor: Signer,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == market.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = market.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub market: Account<Market>,
    /// The bettor's `Position`: PDA of `["position", market, bettor]`. Created here by the bettor's
    /// first bet or purchase in the market.
    #[account(mut)]
    pub position: UncheckedAccount,
    /// The bettor's token account, which pays the bet and its security rent.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    /// Token account that receives the security rent.
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
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
        max_rent: u64,
        terms_hash: [u8; 32],
    ) -> Result<BetPlaced> {
        let index = usize::from(outcome);
        self.market.require_terms(&terms_hash)?;
        self.require_allowed(amount)?;
        let now = Clock::get()?.unix_timestamp;
        let first_bet = self.market.total == 0;
        let multiple = self.market.bet(index, amount, min_multiple, now)?;
        self.model.add_stake(amount)?;
        if first_bet {
            let (first, last) = (self.market.first_window, self.market.last_window);
            self.model.add_market(first, last, now);
        }
        let (rent, rent_end) = self.market.rent(&self.model, amount, now)?;
        require!(rent <= max_rent, DriftShieldError::RentTooHigh);
        self.model.pay_oracles(rent, rent_end, now)?;
        let bettor = self.bettor.account();
        let mut position = Position::open(bettor, &self.position, &mut self.market)?;
        position.stakes[index] += amount; // part of the market's total

        token::transfer_two(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            [(&mut self.vault, amount), (&mut self.bond_vault, rent)],
            self.bettor.cpi_handle(),
            &[],
        )?;
        self.market.invariant(token::amount(&self.vault)?)?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
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
            market_risk: self.model.market_risk,
            exposure: self.model.exposure,
            rent,
            pot: self.model.pot_totals(),
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
