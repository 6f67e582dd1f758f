//! Calls of the admin and the guardian.

use driftshield_sdk::{Address, CollateralTerms, ConfigParams, TokenProgram};
use rand::Rng;

use super::Generator;
use crate::soak::{call::Call, terms};

impl Generator<'_> {
    fn admin(&mut self) -> Address {
        let admin = self.books.config.as_ref().map(|config| config.admin);
        self.usually(admin.unwrap_or_default())
    }

    pub(super) fn initialize(&mut self) -> Option<Call> {
        Some(Call::Initialize {
            signer: self.admin(),
            params: terms::params(),
        })
    }

    pub(super) fn update_config(&mut self) -> Option<Call> {
        let config = self.books.config.as_ref()?;
        let valid = ConfigParams {
            protocol_fee_bps: self.rng.random_range(0..=1_000),
            premium_fee_bps: self.rng.random_range(0..=1_000),
            security_multiple: self.rng.random_range(1..=5),
            waiting_secs: self.rng.random_range(60..=3_600),
            claim_grace_secs: self.rng.random_range(60..=7_200),
            bucket_secs: self.rng.random_range(3_600..=43_200),
            exit_secs: self.rng.random_range(600..=20_000),
            season_secs: self.rng.random_range(3_600..=200_000),
            ..terms::params()
        };
        let params = if self.chance(80) {
            valid
        } else {
            self.bad_params(valid)
        };
        Some(Call::UpdateConfig {
            signer: self.admin(),
            guardian: config.guardian,
            params,
        })
    }

    fn bad_params(&mut self, valid: ConfigParams) -> ConfigParams {
        let dispute = valid.submit_secs + valid.challenge_secs + valid.ruling_secs;
        let notice = dispute + valid.appeal_secs;
        let bad = [
            ConfigParams {
                submit_secs: 0,
                ..valid
            },
            ConfigParams {
                unbond_secs: dispute,
                ..valid
            },
            ConfigParams {
                leave_secs: notice - 1,
                ..valid
            },
            ConfigParams {
                replace_secs: notice - 1,
                ..valid
            },
            ConfigParams {
                appeal_secs: 0,
                ..valid
            },
            ConfigParams {
                retention_secs: 520 * 24 * 60 * 60,
                ..valid
            },
            ConfigParams {
                protocol_fee_bps: 2_001,
                ..valid
            },
            ConfigParams {
                exit_secs: 0,
                ..valid
            },
            ConfigParams {
                season_secs: 0,
                ..valid
            },
            ConfigParams {
                security_multiple: 0,
                ..valid
            },
            ConfigParams {
                min_security_rent_bps: valid.max_security_rent_bps + 1,
                ..valid
            },
        ];
        self.pick(&bad).expect("some")
    }

    pub(super) fn propose_admin(&mut self) -> Option<Call> {
        let all = self.driver.actors.addresses();
        let to = self.pick(&all)?;
        Some(Call::ProposeAdmin {
            signer: self.admin(),
            to,
        })
    }

    pub(super) fn accept_admin(&mut self) -> Option<Call> {
        let stranger = self.actor("stranger");
        let pending = self.books.config.as_ref()?.pending_admin;
        Some(Call::AcceptAdmin {
            signer: self.usually(pending.unwrap_or(stranger)),
        })
    }

    pub(super) fn propose_arbiter(&mut self) -> Option<Call> {
        let arbiter = self.books.config.as_ref()?.arbiter;
        let all = self.driver.actors.addresses();
        Some(Call::ProposeArbiter {
            signer: self.usually(arbiter),
            to: self.pick(&all)?,
        })
    }

    pub(super) fn accept_arbiter(&mut self) -> Option<Call> {
        let stranger = self.actor("stranger");
        let pending = self.books.config.as_ref()?.pending_arbiter;
        Some(Call::AcceptArbiter {
            signer: self.usually(pending.unwrap_or(stranger)),
        })
    }

    /// Sets pause flags. If any is set, usually clears all, so that pauses stay short.
    pub(super) fn set_pause(&mut self) -> Option<Call> {
        let config = self.books.config.as_ref()?;
        if 0 < config.paused && self.chance(85) {
            let signer = self.admin();
            return Some(Call::SetPause { signer, flags: 0 });
        }
        if self.chance(60) {
            return None;
        }
        let (admin, guardian) = (self.admin(), self.usually(config.guardian));
        let flag = 1 << self.up_to(6);
        Some(Call::SetPause {
            signer: if self.chance(50) { admin } else { guardian },
            flags: if self.chance(80) {
                config.paused | flag
            } else {
                flag
            },
        })
    }

    pub(super) fn register_collateral(&mut self) -> Option<Call> {
        let tokens = self.driver.actors.tokens;
        let token = self.pick(&tokens)?;
        let stranger = self.actor("stranger");
        Some(Call::RegisterCollateral {
            signer: self.admin(),
            mint: if self.chance(90) {
                token.mint
            } else {
                stranger
            },
            program: TokenProgram::SplToken,
            terms: self.collateral_terms(token.wealth),
            accepts_freeze: self.chance(60),
        })
    }

    fn collateral_terms(&mut self, wealth: u64) -> CollateralTerms {
        let terms = terms::collateral_terms(wealth);
        if self.chance(85) {
            return CollateralTerms {
                min_bet: self.rng.random_range(1..=terms.min_bet.max(1) * 2),
                ..terms
            };
        }
        CollateralTerms {
            slash_amount: terms.min_bond / 2 + 1,
            ..terms
        }
    }

    /// Updates a collateral. If any is disabled, usually enables it, so that it is disabled only briefly.
    pub(super) fn update_collateral(&mut self) -> Option<Call> {
        let disabled: Vec<Address> = self
            .books
            .collaterals
            .iter()
            .filter(|(_, collateral)| !collateral.enabled)
            .map(|(mint, _)| *mint)
            .collect();
        let all: Vec<Address> = self.books.collaterals.keys().copied().collect();
        let mint = self.prefer(&disabled, &all)?;
        let tokens = self.driver.actors.tokens;
        let wealth = tokens.iter().find(|token| token.mint == mint)?.wealth;
        Some(Call::UpdateCollateral {
            signer: self.admin(),
            mint,
            terms: self.collateral_terms(wealth),
            enabled: !disabled.is_empty() || self.chance(70),
        })
    }

    pub(super) fn withdraw_treasury(&mut self) -> Option<Call> {
        let all: Vec<Address> = self.books.collaterals.keys().copied().collect();
        let mint = self.pick(&all)?;
        let held = self.tokens(&self.books.collaterals[&mint].treasury);
        let signer = self.admin();
        let (destination, _) = self.destination(&signer, &mint);
        Some(Call::WithdrawTreasury {
            signer,
            mint,
            destination,
            amount: self.amount(held, held),
        })
    }
}
