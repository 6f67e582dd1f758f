use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token, Account, Collateral, DriftShieldError, Model, Receipt, ReceiptChallenged, Series,
    TokenOwner,
};

#[event_cpi]
#[derive(Accounts)]
pub struct ChallengeReceipt {
    /// Pays the rent of a new receipt and of a new page.
    #[account(mut)]
    pub challenger: Signer,
    #[account(mut)]
    pub model: Account<Model>,
    /// The window's `Receipt`: PDA of `["receipt", model, window]`. Created here if nobody has
    /// submitted.
    #[account(mut)]
    pub receipt: UncheckedAccount,
    /// The page of the model's `Series` that holds the window: PDA of `["series", model, page]`.
    /// Created here if nobody has submitted for any of its windows.
    #[account(mut)]
    pub series: UncheckedAccount,
    /// The challenger's token account, which pays the bond.
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

impl ChallengeReceipt {
    pub fn challenge_receipt(
        &mut self,
        window: u64,
        counts: Vec<u32>,
    ) -> Result<ReceiptChallenged> {
        let now = Clock::get()?.unix_timestamp;
        let (payer, model) = (*self.challenger.account(), *self.model.address());
        let mut series = Series::open(&payer, &self.series, &model, window)?;
        series.require_unsettled(window)?;
        let mut receipt = Receipt::open(&payer, &self.receipt, &mut self.model, window)?;
        if receipt.is_new() {
            receipt.dispute_missing(&self.model, now)?;
        } else {
            receipt.advance(&mut self.model, now)?;
        }
        let (assertion, _) = self.model.measure(&counts)?;
        receipt.challenge(&self.model, self.challenger.address(), assertion, now)?;
        self.model.count_report();
        series.record(&receipt);
        let bond = self.pay_bond()?;
        Ok(ReceiptChallenged {
            model,
            model_seq: self.model.next_seq(),
            receipt: *receipt.address(),
            receipt_seq: receipt.next_seq(),
            window,
            series: *series.address(),
            series_seq: series.next_seq(),
            version: receipt.version,
            challenger: receipt.challenger,
            counts,
            asserted: receipt.asserted,
            asserts_thin: receipt.asserts_thin.get(),
            bond,
            value: receipt.value,
            held: self.model.held,
        })
    }

    /// Transfers the challenger's bond to the model, and returns it.
    fn pay_bond(&mut self) -> Result<u64> {
        self.collateral.require_accepted(self.mint.account())?;
        let bond = self.model.challenge_bond;
        self.model.increase_held(bond)?;
        token::transfer(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            &mut self.bond_vault,
            self.challenger.cpi_handle(),
            &[],
            bond,
        )?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
        Ok(bond)
    }
}
