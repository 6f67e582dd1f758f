use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, token, Account, Collateral, Config, DriftShieldError, MetricSpec, Model,
    ModelRegistered, ModelStatus, ModelTerms, Pot, Tenure, MAX_BINS, MAX_GENESIS_SECS, MAX_ORACLES,
    NAME_BYTES, URI_BYTES,
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: u64)]
pub struct RegisterModel {
    #[account(mut)]
    pub owner: Signer,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == *bond_mint.address() @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    pub bond_mint: UncheckedAccount,
    #[account(
        init,
        payer = owner,
        seeds = [b"model", owner.address().as_ref(), &id.to_le_bytes()],
        bump
    )]
    pub model: Account<Model>,
    /// Token account of all bonds. Created here: PDA of `["bonds", model]`.
    #[account(mut)]
    pub bond_vault: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl RegisterModel {
    pub fn register_model(
        &mut self,
        id: u64,
        spec: MetricSpec,
        terms: ModelTerms,
        bump: u8,
    ) -> Result<ModelRegistered> {
        self.config.require_running(pause::MODELS)?;
        self.collateral.require_enabled()?;
        spec.validate()?;
        let now = Clock::get()?.unix_timestamp;
        self.require_schedule(&spec, now)?;
        token::open(
            self.owner.account(),
            &mut self.bond_vault,
            b"bonds",
            self.model.address(),
            &self.bond_mint,
            self.token_program.address(),
        )?;

        self.pin(id, &spec, bump);
        self.model.set_terms(&terms, &self.config.params, now)?;
        Ok(ModelRegistered {
            model: *self.model.address(),
            model_seq: self.model.seq,
            owner: self.model.owner,
            id,
            bond_mint: self.model.bond_mint,
            arbiter: self.model.arbiter,
            noise_floor: self.model.noise_floor,
            version: self.model.version,
            spec,
            terms,
        })
    }

    fn require_schedule(&self, spec: &MetricSpec, now: i64) -> Result<()> {
        let params = &self.config.params;
        require!(
            (params.min_window_secs..=params.max_window_secs).contains(&spec.window_secs),
            DriftShieldError::InvalidWindowLength
        );
        require!(
            (now..=now + MAX_GENESIS_SECS).contains(&spec.genesis),
            DriftShieldError::InvalidGenesis
        );
        Ok(())
    }

    /// Writes the fields that never change, and those that are copied from Config and Collateral.
    fn pin(&mut self, id: u64, spec: &MetricSpec, bump: u8) {
        let params = &self.config.params;
        let bonds = &self.collateral.terms;
        let mut reference = [0; MAX_BINS];
        reference[..spec.reference.len()].copy_from_slice(&spec.reference);
        *self.model = Model {
            owner: *self.owner.address(),
            bond_mint: *self.bond_mint.address(),
            bond_vault: *self.bond_vault.address(),
            arbiter: self.config.arbiter,
            metadata_hash: [0; 32],
            artifact_hash: [0; 32],
            spec_hash: spec.spec_hash,
            chain: [0; 32],
            oracles: [Address::default(); MAX_ORACLES],
            id,
            seq: 1,
            genesis: spec.genesis,
            window_secs: spec.window_secs,
            min_samples: spec.min_samples,
            noise_floor: spec.noise_floor(),
            max_spread: 0,
            min_bond: bonds.min_bond,
            slash_amount: bonds.slash_amount,
            challenge_bond: bonds.challenge_bond,
            absence_penalty: bonds.absence_penalty,
            submit_secs: params.submit_secs,
            challenge_secs: params.challenge_secs,
            ruling_secs: params.ruling_secs,
            appeal_secs: params.appeal_secs,
            unbond_secs: params.unbond_secs,
            leave_secs: params.leave_secs,
            replace_secs: params.replace_secs,
            retention_secs: params.retention_secs,
            bonds: [0; MAX_ORACLES],
            tenures: [Tenure::new(0); MAX_ORACLES],
            rewards: [0; MAX_ORACLES],
            penalties: [0; MAX_ORACLES],
            pot: Pot::new(spec.window_secs, params.submit_secs + params.challenge_secs),
            held: 0,
            security: 0,
            lasting_security: 0,
            market_risk: 0,
            cover_risk: 0,
            exposure: 0,
            exposed_since: 0,
            observed_from: 0,
            observed_until: 0,
            open_receipts: 0,
            final_count: 0,
            last_value: 0,
            last_window: 0,
            latest: 0,
            latest_window: 0,
            max_value: 0,
            ewma: 0,
            reference,
            version: 1,
            security_multiple: params.security_multiple,
            reports: 0,
            security_rent_bps: 0,
            market_budget_bps: 0,
            cover_budget_bps: 0,
            metric: spec.metric.into(),
            bins: spec.reference.len() as u8,
            oracle_count: 0,
            quorum: 0,
            status: ModelStatus::Active.into(),
            bump,
            name: [0; NAME_BYTES],
            uri: [0; URI_BYTES],
            token_program: self.collateral.token_program,
            replaced: 0,
            reserved: [0; 6],
        };
    }
}
