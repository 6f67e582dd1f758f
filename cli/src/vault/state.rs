//! Reads a vault and derives values from its state.

use anchor_lang::Address;
use anyhow::Result;
use driftshield_sdk::{Vault, math};

use crate::{print::Decimals, session::Session};

/// Reads a vault and the decimals of its amounts and shares.
pub async fn read(session: &Session, vault: &Address) -> Result<(Vault, Decimals)> {
    let state: Vault = session.client.get(vault).await?;
    let decimals = decimals(session, &state);
    Ok((state, decimals))
}

/// Decimals of a vault's amounts and shares.
pub fn decimals(session: &Session, state: &Vault) -> Decimals {
    Decimals {
        tokens: session.scale(state.decimals),
        shares: session.scale(state.decimals.saturating_add(math::SHARE_DECIMALS)),
    }
}

/// Returns the vault with premiums accrued up to the cluster's current time, as an instruction
/// would see it now, and that time.
pub async fn accrued(session: &Session, state: &Vault) -> Result<(Vault, i64)> {
    let now = session.client.unix_timestamp().await?;
    let mut state = *state;
    state.accrue(now);
    Ok((state, now))
}

/// Utilisation in basis points: the locked part of the capital.
pub fn utilisation_bps(locked: u64, assets: u64) -> u64 {
    let utilisation = u128::from(locked) * 10_000 / u128::from(assets.max(1));
    u64::try_from(utilisation).unwrap_or(u64::MAX)
}
