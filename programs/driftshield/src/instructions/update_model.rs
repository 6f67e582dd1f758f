use anchor_lang::prelude::*;

use crate::{
    move_reward, Account, Config, DriftShieldError, Model, ModelTerms, ModelUpdated, SeatRuled,
};

/// Remaining accounts: the `Seat`s, writable, of the oracles that are removed and have a reward or
/// open penalties, in the order of the model's oracles.
#[event_cpi]
#[derive(Accounts)]
pub struct UpdateModel {
    #[account(address = model.owner @ DriftShieldError::NotModelOwner)]
    pub owner: Signer,
    pub config: Account<Config>,
    #[account(mut)]
    pub model: Account<Model>,
}

impl UpdateModel {
    pub fn update_model(
        &mut self,
        terms: ModelTerms,
        seats: Vec<AccountView>,
    ) -> Result<ModelUpdated> {
        require!(self.model.exposure == 0, DriftShieldError::ModelExposed);
        require!(self.model.open_receipts == 0, DriftShieldError::ReceiptOpen);
        let seats = self.move_rewards(&terms, seats)?;
        let model = &mut self.model;
        model.set_terms(&terms, &self.config.params, Clock::get()?.unix_timestamp)?;
        model.arbiter = self.config.arbiter;
        model.begin_version();
        Ok(ModelUpdated {
            model: *model.address(),
            model_seq: model.next_seq(),
            owner: model.owner,
            version: model.version,
            arbiter: model.arbiter,
            security: model.security,
            lasting_security: model.lasting_security,
            terms,
            seats,
        })
    }

    /// Adds the rewards of removed oracles to their bonds.
    fn move_rewards(
        &mut self,
        terms: &ModelTerms,
        views: Vec<AccountView>,
    ) -> Result<Vec<SeatRuled>> {
        let mut views = views.into_iter();
        let mut seats = Vec::new();
        for index in 0..usize::from(self.model.oracle_count) {
            if !terms.oracles.contains(&self.model.oracles[index]) {
                seats.extend(move_reward(&mut self.model, index, &mut views)?);
            }
        }
        require!(views.next().is_none(), DriftShieldError::WrongRewardSeats);
        Ok(seats)
    }
}
