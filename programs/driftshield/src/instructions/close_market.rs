use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Account, Collateral, DriftShieldError, Market, MarketCancelled, MarketClosed};

/// Accounts of `close_market` and `cancel_market`, which both close the market and its vault.
#[event_cpi]
#[derive(Accounts)]
pub struct CloseMarket {
    /// Receives the rent of the market and its vault, which the creator paid. Must sign to cancel
    /// before betting closes.
    #[account(mut, address = market.creator @ DriftShieldError::WrongRentPayer)]
    pub creator: UncheckedAccount,
    #[account(mut, close = creator)]
    pub market: Account<Market>,
    #[account(constraint = collateral.mint == market.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    #[account(mut, address = collateral.treasury @ DriftShieldError::WrongTreasury)]
    pub treasury: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CloseMarket {
    pub fn close_market(&mut self) -> Result<MarketClosed> {
        self.market.require_settled()?;
        require!(self.market.positions == 0, DriftShieldError::PositionsLeft);
        require!(
            self.market.protocol_credit == 0 && self.market.creator_credit == 0,
            DriftShieldError::FeesLeft
        );
        let swept = self.empty_vault()?;
        Ok(MarketClosed {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            creator: self.market.creator,
            swept,
        })
    }

    pub fn cancel_market(&mut self) -> Result<MarketCancelled> {
        require!(self.market.total == 0, DriftShieldError::MarketHasBets);
        require!(
            self.creator.account().is_signer()
                || self.market.close_ts <= Clock::get()?.unix_timestamp,
            DriftShieldError::NotCreator
        );
        let swept = self.empty_vault()?;
        Ok(MarketCancelled {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            creator: self.market.creator,
            swept,
        })
    }

    /// Sweeps the vault's balance (dust and donations) to the treasury, and closes the vault.
    fn empty_vault(&mut self) -> Result<u64> {
        token::sweep(
            self.token_program.address(),
            &mut self.vault,
            &self.mint,
            &mut self.treasury,
            &self.market,
            &mut self.creator,
        )
    }
}
