use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, ChallengeCollected, ChallengePayee, Collateral, DriftShieldError, Model, Receipt,
};

#[event_cpi]
#[derive(Accounts)]
pub struct CollectChallenge {
    /// The receipt's challenger; all zeros if nobody challenged. Must sign to collect the
    /// challenger's credit unless `destination` is the challenger's associated token account.
    #[account(address = receipt.challenger @ DriftShieldError::WrongPayee)]
    pub challenger: UncheckedAccount,
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
    /// Receives the receipt's rent if the receipt is closed. May be the challenger.
    #[account(mut, unsafe(dup), address = receipt.payer @ DriftShieldError::WrongRentPayer)]
    pub payer: UncheckedAccount,
    #[account(constraint = collateral.mint == model.bond_mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    /// The treasury if it is the payee. Otherwise the challenger's associated token account, or any
    /// account if the challenger signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CollectChallenge {
    pub fn collect_challenge(&mut self, payee: ChallengePayee) -> Result<ChallengeCollected> {
        let now = Clock::get()?.unix_timestamp;
        self.receipt.end_appeal(&mut self.model, now);
        let (credit, recipient) = match payee {
            ChallengePayee::Treasury => (
                &mut self.receipt.treasury_credit,
                Recipient::Treasury(&self.collateral.treasury),
            ),
            ChallengePayee::Challenger => (
                &mut self.receipt.challenger_credit,
                Recipient::Payee(&self.challenger),
            ),
        };
        let amount = token::take_credit(credit)?;
        self.model.decrease_held(amount);
        token::pay_to(
            recipient,
            self.token_program.address(),
            &mut self.bond_vault,
            &self.mint,
            &mut self.destination,
            &self.model,
            amount,
        )?;
        let event = ChallengeCollected {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            payee,
            destination: *self.destination.address(),
            amount,
            owed: self.receipt.owed(),
            held: self.model.held,
        };
        if self.receipt.is_done() {
            self.receipt.close(*self.payer.account())?;
        }
        Ok(event)
    }
}
