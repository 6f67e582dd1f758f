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

    /// Adds the rewards of removed oracles to their bonds, which each can withdraw. A payment could
    /// be blocked, by an oracle that gives its token account away or by the mint's issuer, and with
    /// it the removal.
    fn move_rewards(
        &mut self,
        terms: &ModelTerms,
        views: Vec<AccountView>,
    ) -> Result<Vec<SeatRuled>> {
        let mut views = views.into_iter();
        let mut seats = Vec::new();
        for index in 0..usize::from(self.model.oracle_count) {
            let (oracle, reward) = (self.model.oracles[index], self.model.rewards[index]);
            if reward == 0 || terms.oracles.contains(&oracle) {
                continue;
            }
            let view = views.next().ok_or(DriftShieldError::WrongRewardSeats)?;
            // SAFETY: the seats belong to different oracles, so each is loaded once.
            let mut seat = unsafe { Account::<Seat>::load_mut(view) }
                .map_err(|_| DriftShieldError::WrongRewardSeats)?;
            require!(
                seat.model == *self.model.address() && seat.oracle == oracle,
                DriftShieldError::WrongRewardSeats
            );
            seat.add(reward);
            seats.push(SeatRuled {
                seat: *seat.address(),
                seat_seq: seat.next_seq(),
                oracle,
                bonded: seat.bonded,
                unbonding: seat.unbonding,
            });
        }
        require!(views.next().is_none(), DriftShieldError::WrongRewardSeats);
        Ok(seats)
    }
}
