use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, text, token, Account, Collateral, Config, DriftShieldError, Market, MarketCreated,
    MarketState, MarketTerms, Model, MAX_OUTCOMES, MAX_THRESHOLDS,
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: u64)]
pub struct CreateMarket {
    #[account(mut)]
    pub creator: Signer,
    pub config: Account<Config>,
    pub model: Account<Model>,
    #[account(constraint = collateral.mint == model.bond_mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(
        init,
        payer = creator,
        seeds = [b"market", creator.address().as_ref(), &id.to_le_bytes()],
        bump
    )]
    pub market: Account<Market>,
    /// Token account of the stakes. Created here: PDA of `["market_vault", market]`.
    #[account(mut)]
    pub vault: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl CreateMarket {
    pub fn create_market(
        &mut self,
        id: u64,
        terms: MarketTerms,
        bump: u8,
    ) -> Result<MarketCreated> {
        self.config.require_running(pause::MARKETS)?;
        self.collateral.require_enabled()?;
        let protocol_fee_bps = self.config.params.protocol_fee_bps;
        terms.validate(&self.model, protocol_fee_bps, Clock::get()?.unix_timestamp)?;

        token::open(
            self.creator.account(),
            &mut self.vault,
            b"market_vault",
            self.market.address(),
            &self.mint,
            self.token_program.address(),
        )?;
        let mut thresholds = [0; MAX_THRESHOLDS];
        thresholds[..terms.thresholds.len()].copy_from_slice(&terms.thresholds);
        *self.market = Market {
            creator: *self.creator.address(),
            model: *self.model.address(),
            mint: *self.mint.address(),
            vault: *self.vault.address(),
            terms_hash: terms.hash(protocol_fee_bps)?,
            id,
            seq: 1,
            thresholds,
            pools: [0; MAX_OUTCOMES],
            total: 0,
            owed: 0,
            close_ts: terms.close_ts,
            first_window: terms.first_window,
            last_window: terms.last_window,
            min_observed: terms.min_observed,
            next_window: terms.first_window,
            observed: 0,
            accumulator: 0,
            value: 0,
            winnings: 0,
            protocol_credit: 0,
            creator_credit: 0,
            positions: 0,
            model_version: terms.model_version,
            protocol_fee_bps,
            creator_fee_bps: terms.creator_fee_bps,
            threshold_count: terms.thresholds.len() as u8,
            aggregate: terms.aggregate.into(),
            state: MarketState::Open.into(),
            outcome: 0,
            decimals: self.collateral.decimals,
            bump,
            token_program: self.collateral.token_program,
            reserved: [0; 1],
            question: text(&terms.question)?,
        };
        Ok(MarketCreated {
            market: *self.market.address(),
            market_seq: self.market.seq,
            creator: self.market.creator,
            id,
            model: self.market.model,
            mint: self.market.mint,
            protocol_fee_bps,
            terms_hash: self.market.terms_hash,
            terms,
        })
    }
}
