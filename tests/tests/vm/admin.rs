//! Administration: initialization, settings, roles, pauses, collateral and treasuries.

mod collateral;
pub(crate) mod handover;
mod initialization;
mod pausing;
mod settings;
mod treasury;

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{CollateralTerms, ConfigParams, instruction};
use driftshield_tests::world::*;
use solana_keypair::Keypair;
use solana_signer::Signer;

/// Maximum of the periods of receipts and policies, in seconds.
const MAX_PERIOD: i64 = 30 * DAY;

/// The name of a setting, and a change that sets it outside its range.
type SettingsChange = (&'static str, fn(&mut ConfigParams));

/// Every setting at the top of its range.
fn largest() -> ConfigParams {
    ConfigParams {
        submit_secs: MAX_PERIOD,
        challenge_secs: MAX_PERIOD,
        ruling_secs: MAX_PERIOD,
        appeal_secs: MAX_PERIOD,
        unbond_secs: 400 * DAY,
        leave_secs: 400 * DAY,
        replace_secs: 400 * DAY,
        retention_secs: 4_000 * DAY,
        claim_grace_secs: MAX_PERIOD,
        waiting_secs: MAX_PERIOD,
        exit_secs: MAX_PERIOD,
        season_secs: 400 * DAY,
        bucket_secs: 31 * DAY,
        min_window_secs: 31 * DAY,
        max_window_secs: 31 * DAY,
        max_spread_limit: 100_000_000,
        security_multiple: u32::MAX,
        min_security_rent_bps: 10_000,
        max_security_rent_bps: 10_000,
        protocol_fee_bps: 2_000,
        premium_fee_bps: 2_000,
    }
}

/// Every setting at the bottom of its range.
fn smallest() -> ConfigParams {
    ConfigParams {
        submit_secs: 1,
        challenge_secs: 1,
        ruling_secs: 1,
        appeal_secs: 1,
        unbond_secs: 4,
        leave_secs: 4,
        replace_secs: 4,
        retention_secs: 400 * DAY + 3 + MAX_PERIOD + 90 * DAY,
        claim_grace_secs: 1,
        waiting_secs: 1,
        exit_secs: 1,
        season_secs: 1,
        bucket_secs: 1,
        min_window_secs: 1,
        max_window_secs: 1,
        max_spread_limit: 0,
        security_multiple: 1,
        min_security_rent_bps: 1,
        max_security_rent_bps: 1,
        protocol_fee_bps: 0,
        premium_fee_bps: 0,
    }
}

/// Settings with one field outside its range, each with the field's name.
fn out_of_range() -> Vec<(&'static str, ConfigParams)> {
    let above: [SettingsChange; 19] = [
        ("submit_secs", |p| p.submit_secs += 1),
        ("challenge_secs", |p| p.challenge_secs += 1),
        ("ruling_secs", |p| p.ruling_secs += 1),
        ("appeal_secs", |p| p.appeal_secs += 1),
        ("unbond_secs", |p| p.unbond_secs += 1),
        ("leave_secs", |p| p.leave_secs += 1),
        ("replace_secs", |p| p.replace_secs += 1),
        ("retention_secs", |p| p.retention_secs += 1),
        ("claim_grace_secs", |p| p.claim_grace_secs += 1),
        ("waiting_secs", |p| p.waiting_secs += 1),
        ("exit_secs", |p| p.exit_secs += 1),
        ("season_secs", |p| p.season_secs += 1),
        ("bucket_secs", |p| p.bucket_secs += 1),
        ("max_window_secs", |p| p.max_window_secs += 1),
        ("max_spread_limit", |p| p.max_spread_limit += 1),
        ("min_security_rent_bps", |p| p.min_security_rent_bps += 1),
        ("max_security_rent_bps", |p| p.max_security_rent_bps += 1),
        ("protocol_fee_bps", |p| p.protocol_fee_bps += 1),
        ("premium_fee_bps", |p| p.premium_fee_bps += 1),
    ];
    let below: [SettingsChange; 19] = [
        ("submit_secs", |p| p.submit_secs = 0),
        ("challenge_secs", |p| p.challenge_secs = 0),
        ("ruling_secs", |p| p.ruling_secs = 0),
        ("appeal_secs", |p| p.appeal_secs = 0),
        ("leave_secs: shorter than a dispute with its appeal", |p| {
            p.leave_secs = 3
        }),
        (
            "replace_secs: shorter than a dispute with its appeal",
            |p| p.replace_secs = 3,
        ),
        ("unbond_secs: not longer than a dispute", |p| {
            p.unbond_secs = 3
        }),
        ("retention_secs", |p| p.retention_secs -= 1),
        ("claim_grace_secs", |p| p.claim_grace_secs = 0),
        ("waiting_secs", |p| p.waiting_secs = 0),
        ("exit_secs", |p| p.exit_secs = 0),
        ("season_secs", |p| p.season_secs = 0),
        ("bucket_secs", |p| p.bucket_secs = 0),
        ("min_window_secs", |p| p.min_window_secs = 0),
        ("min_window_secs above max_window_secs", |p| {
            p.min_window_secs = 2;
        }),
        ("security_multiple", |p| p.security_multiple = 0),
        ("min_security_rent_bps", |p| p.min_security_rent_bps = 0),
        ("ruling_secs: negative", |p| p.ruling_secs = i64::MIN),
        ("submit_secs: overflowing", |p| p.submit_secs = i64::MAX),
    ];
    let change = |base: ConfigParams| {
        move |(name, change): SettingsChange| {
            let mut params = base;
            change(&mut params);
            (name, params)
        }
    };
    let above = above.into_iter().map(change(largest()));
    above
        .chain(below.into_iter().map(change(smallest())))
        .collect()
}

fn smallest_terms() -> CollateralTerms {
    CollateralTerms {
        min_bet: 1,
        min_bond: 4,
        slash_amount: 2,
        challenge_bond: 1,
        absence_penalty: 0,
    }
}

/// A funded key without a role.
fn stranger(world: &mut World) -> Keypair {
    world.wallet(0).key
}

fn admin(world: &World) -> Keypair {
    world.admin.insecure_clone()
}

fn update_config(world: &World, by: &Keypair, params: ConfigParams) -> Instruction {
    instruction::update_config(by.pubkey(), world.guardian.pubkey(), params)
}

/// Sets the terms of the world's collateral, and whether it is enabled.
pub(crate) fn update_collateral(world: &mut World, terms: CollateralTerms, enabled: bool) {
    let admin = admin(world);
    let update = instruction::update_collateral(admin.pubkey(), world.mint, terms, enabled);
    world.send(update, &[&admin]).expect("update_collateral");
}
