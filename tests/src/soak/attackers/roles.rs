//! Attacks with the keys of the admin and the guardian.

use driftshield_sdk::{CollateralTerms, ConfigParams, TokenProgram};

use super::Attackers;
use crate::soak::{books::DAY, call::Call, driver::Driver, terms};

impl Attackers {
    pub(super) fn role_attack(&mut self, driver: &Driver, name: &str) -> Option<Call> {
        let books = &driver.books;
        let config = books.config.as_ref()?;
        let (admin, guardian) = (config.admin, config.guardian);
        let mint = self.pick(books.collaterals.keys().copied())?;
        Some(match name {
            "initialize" => Call::Initialize {
                signer: admin,
                params: worst_params(),
            },
            "update_config" => Call::UpdateConfig {
                signer: admin,
                guardian: self.puppet_oracle,
                params: worst_params(),
            },
            "propose_admin" => Call::ProposeAdmin {
                signer: admin,
                to: self.puppet_oracle,
            },
            "accept_admin" => Call::AcceptAdmin {
                signer: config.pending_admin.unwrap_or(self.puppet_oracle),
            },
            "propose_arbiter" => Call::ProposeArbiter {
                signer: config.arbiter,
                to: self.puppet_oracle,
            },
            "accept_arbiter" => Call::AcceptArbiter {
                signer: config.pending_arbiter.unwrap_or(self.puppet_oracle),
            },
            "set_pause" => Call::SetPause {
                signer: if self.chance(50) { guardian } else { admin },
                flags: 63,
            },
            "register_collateral" => Call::RegisterCollateral {
                signer: admin,
                mint: driver.actors.tokens[2].mint,
                program: TokenProgram::SplToken,
                terms: worst_collateral(),
                accepts_freeze: true,
            },
            "update_collateral" => Call::UpdateCollateral {
                signer: admin,
                mint,
                terms: worst_collateral(),
                enabled: self.chance(30),
            },
            "withdraw_treasury" => Call::WithdrawTreasury {
                signer: admin,
                mint,
                destination: books.own_account(&admin, &mint),
                amount: books.tokens[&books.collaterals[&mint].treasury].amount as u64,
            },
            _ => return None,
        })
    }
}

/// Extreme settings: the shortest periods except for unbonding, the highest fees and the weakest security.
fn worst_params() -> ConfigParams {
    ConfigParams {
        submit_secs: 1,
        challenge_secs: 1,
        ruling_secs: 1,
        unbond_secs: 400 * DAY,
        claim_grace_secs: 1,
        waiting_secs: 1,
        bucket_secs: 1,
        exit_secs: 1,
        season_secs: 1,
        min_window_secs: 1,
        security_multiple: u32::MAX,
        protocol_fee_bps: 2_000,
        premium_fee_bps: 2_000,
        ..terms::params()
    }
}

fn worst_collateral() -> CollateralTerms {
    CollateralTerms {
        min_bet: 1,
        min_bond: u64::MAX,
        slash_amount: u64::MAX / 2,
        challenge_bond: u64::MAX,
        absence_penalty: 0,
    }
}
