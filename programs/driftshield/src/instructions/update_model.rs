use anchor_lang::prelude::*;

use crate::{Config, DriftShieldError, Model, ModelTerms, ModelUpdated, Seat, SeatRuled};

/// Remaining accounts: the `Seat`s, writable, of the oracles that are removed and have a reward, in
/// the order of the model's oracles.
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

    /// Adds the rewards of removed oracles to their bonds, which each can withdraw, and takes their
    /// open penalties. A payment could be blocked, by an oracle that gives its token account away or
    /// by the mint's issuer, and with it the removal.
    fn move_rewards(
        &mut self,
        terms: &ModelTerms,
        views: Vec<AccountView>,
    ) -> Result<Vec<SeatRuled>> {
        let model = &mut self.model;
        let moved = |&oracle: &usize| {
            (model.rewards[oracle] != 0 || model.penalties[oracle] != 0)
                && !terms.oracles.contains(&model.oracles[oracle])
        };
        let moved: Vec<usize> = (0..usize::from(model.oracle_count)).filter(moved).collect();
        let mut seats = Seat::load_all(model, moved.iter().copied(), views)
            .map_err(|_| DriftShieldError::WrongRewardSeats)?;
        for (&oracle, seat) in moved.iter().zip(&mut seats) {
            seat.pay_penalty(model, oracle);
            seat.add(model.rewards[oracle]);
        }
        Ok(seats.iter_mut().map(SeatRuled::new).collect())
    }
}
