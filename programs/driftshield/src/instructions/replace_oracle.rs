use anchor_lang::prelude::*;

use crate::{move_reward, Account, DriftShieldError, Model, OracleReplaced};

/// Remaining accounts: the `Seat`, writable, of the replaced oracle if it has a reward.
#[event_cpi]
#[derive(Accounts)]
pub struct ReplaceOracle {
    #[account(address = model.owner @ DriftShieldError::NotModelOwner)]
    pub owner: Signer,
    #[account(mut)]
    pub model: Account<Model>,
}

impl ReplaceOracle {
    pub fn replace_oracle(
        &mut self,
        oracle: Address,
        successor: Address,
        seats: Vec<AccountView>,
    ) -> Result<OracleReplaced> {
        let model = &mut self.model;
        let slot = model
            .oracle_index(&oracle)
            .ok_or(DriftShieldError::NotListed)?;
        let mut views = seats.into_iter();
        let seats = move_reward(model, slot, &mut views)?.into_iter().collect();
        require!(views.next().is_none(), DriftShieldError::WrongRewardSeats);
        model.replace(slot, &successor, Clock::get()?.unix_timestamp)?;
        Ok(OracleReplaced {
            model: *model.address(),
            model_seq: model.next_seq(),
            owner: model.owner,
            slot: slot as u8, // below 7
            oracle,
            successor,
            replaced: model.replaced,
            seats,
        })
    }
}
