use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, quote, token, Account, Collateral, Config, DriftShieldError, Exposure, Model, Pending,
    Policy, PolicyBought, PolicyTerms, Stream, TokenOwner, Vault,
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: u64)]
pub struct BuyPolicy {
    /// Pays the premium, the security rent, and the rent of the policy's account.
    #[account(mut)]
    pub holder: Signer,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut)]
    pub model: Account<Model>,
    #[account(mut)]
    pub vault: Account<Vault>,
    /// The vault's `Exposure` to the model: PDA of `["exposure", vault, model]`. If it doesn't
    /// exist, the vault doesn't list the model.
    #[account(mut)]
    pub exposure: UncheckedAccount,
    #[account(
        init,
        payer = holder,
        seeds = [b"policy", vault.address().as_ref(), holder.address().as_ref(), &id.to_le_bytes()],
        bump
    )]
    pub policy: Account<Policy>,
    /// The holder's token account, which pays the premium and the security rent.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// Token account that receives the security rent.
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl BuyPolicy {
    pub fn buy_policy(&mut self, id: u64, terms: PolicyTerms, bump: u8) -> Result<PolicyBought> {
        self.require_allowed()?;
        let mut exposure = self.exposure()?;
        let now = Clock::get()?.unix_timestamp;
        let quote = quote(&mut self.vault, &exposure, &self.model, &terms, now)
            .map_err(DriftShieldError::from)?;
        self.vault.lock(terms.cover);
        self.vault.policies += 1; // each covers at least a base unit
        exposure.sell(terms.cover);
        self.model.pay_oracles(quote.rent, quote.rent_end, now)?;
        let next = self.model.next_window(now); // silence in the probation costs, too
        self.model
            .add_policy(terms.cover, next, quote.last_window, now);
        self.write(id, &terms, bump);
        self.policy.hold(&mut self.vault, &quote);

        token::transfer_two(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            [
                (&mut self.tokens, quote.premium),
                (&mut self.bond_vault, quote.rent),
            ],
            self.holder.cpi_handle(),
            &[],
        )?;
        self.vault.invariant(token::amount(&self.tokens)?)?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
        Ok(PolicyBought {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            exposure: *exposure.address(),
            exposure_seq: exposure.next_seq(),
            policy: *self.policy.address(),
            policy_seq: self.policy.seq,
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            holder: self.policy.holder,
            id,
            terms,
            from_window: quote.from_window,
            last_window: quote.last_window,
            end: quote.end,
            premium: quote.premium,
            protocol_part: quote.protocol_part,
            manager_part: quote.manager_part,
            streamed_part: quote.streamed_part,
            rent: quote.rent,
            totals: self.vault.totals(),
            exposure_cover: exposure.cover,
            cover_risk: self.model.cover_risk,
            model_exposure: self.model.exposure,
            pot: self.model.pot_totals(),
        })
    }

    fn require_allowed(&self) -> Result<()> {
        self.config.require_running(pause::POLICIES)?;
        self.collateral.require_enabled()?;
        self.collateral.require_accepted(self.mint.account())?;
        self.vault
            .require_outsider(self.holder.address(), &self.model)
    }

    fn exposure(&self) -> Result<Account<Exposure>> {
        // SAFETY: no other field is an exposure.
        let exposure = unsafe { Account::<Exposure>::load_mut(*self.exposure.account()) }
            .map_err(|_| DriftShieldError::ModelNotListed)?;
        require!(
            exposure.vault == *self.vault.address() && exposure.model == *self.model.address(),
            DriftShieldError::ModelNotListed
        );
        Ok(exposure)
    }

    fn write(&mut self, id: u64, terms: &PolicyTerms, bump: u8) {
        *self.policy = Policy {
            vault: *self.vault.address(),
            model: *self.model.address(),
            holder: *self.holder.address(),
            id,
            seq: 1,
            cover: terms.cover,
            paid: 0,
            trigger: terms.trigger,
            exhaustion: terms.exhaustion,
            premium: 0,
            max_premium: terms.max_premium,
            examined_until: terms.first_window,
            returned_until: terms.first_window,
            peak: 0,
            peak_window: 0,
            worth: 0,
            unmeasured: 0,
            unmeasured_windows: 0,
            recent: [0; 3],
            first_window: terms.first_window,
            last_window: terms.first_window - 1, // the quote refuses a policy from window 0 on
            windows: terms.windows,
            claim_grace_secs: self.vault.claim_grace_secs,
            pending: Pending::NONE,
            term: Stream::NONE,
            model_version: terms.model_version,
            cancel_fee_bps: self.vault.terms.cancel_fee_bps,
            persistence: terms.persistence,
            auto_renew: terms.auto_renew.into(),
            bump,
            reserved: [0; 7],
        };
    }
}
