use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    load_or_create, token, Account, Bonded, Collateral, DriftShieldError, Model, Seat, TokenOwner,
};

#[event_cpi]
#[derive(Accounts)]
pub struct Bond {
    /// Pays the bond, and the rent of a new seat.
    #[account(mut)]
    pub oracle: Signer,
    #[account(mut)]
    pub model: Account<Model>,
    /// The oracle's `Seat`: PDA of `["seat", model, oracle]`. Created here by the oracle's first
    /// bond.
    #[account(mut)]
    pub seat: UncheckedAccount,
    /// The oracle's token account, which pays the bond.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(constraint = collateral.mint == model.bond_mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl Bond {
    pub fn bond(&mut self, amount: u64) -> Result<Bonded> {
        let index = self
            .model
            .oracle_index(self.oracle.address())
            .ok_or(DriftShieldError::NotAnOracle)?;
        require!(0 < amount, DriftShieldError::ZeroAmount);
        self.collateral.require_accepted(self.mint.account())?;
        let (model, oracle) = (*self.model.address(), *self.oracle.address());
        let (mut seat, bump) = load_or_create(
            self.oracle.account(),
            &self.seat,
            [b"seat", model.as_ref(), oracle.as_ref()],
            |seat: &Seat| seat.model == model && seat.oracle == oracle,
            DriftShieldError::WrongSeat,
        )?;
        if let Some(bump) = bump {
            seat.model = model;
            seat.oracle = oracle;
            seat.bump = bump;
        }
        self.model.increase_held(amount)?;
        seat.pay_penalty(&mut self.model, index);
        seat.add(amount);
        let now = Clock::get()?.unix_timestamp;
        self.model.set_bond(index, seat.active(), now);

        token::transfer(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            &mut self.bond_vault,
            self.oracle.cpi_handle(),
            &[],
            amount,
        )?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
        Ok(Bonded {
            model,
            model_seq: self.model.next_seq(),
            seat: *seat.address(),
            seat_seq: seat.next_seq(),
            oracle,
            amount,
            bonded: seat.bonded,
            unbonding: seat.unbonding,
            security: self.model.security,
            lasting_security: self.model.lasting_security,
            held: self.model.held,
        })
    }
}
