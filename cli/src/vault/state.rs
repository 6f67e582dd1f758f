//! Reading a vault, and values derived from its state.

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

pub fn decimals(session: &Session, state: &Vault) -> Decimals {
    Decimals {
        tokens: session.scale(state.decimals),
        shares: session.scale(state.decimals.saturating_add(math::SHARE_DECIMALS)),
    }
}

/// The vault with premiums accrued up to the cluster's current time, as the next instruction will
/// find it, and that time.
pub async fn accrued(session: &Session, state: &Vault) -> Result<(Vault, i64)> {
    let now = session.client.unix_timestamp().await?;
    let mut state = *state;
    state.accrue(now);
    Ok((state, now))
}

/// Locked part of the capital in basis points.
pub fn utilisation_bps(locked: u64, assets: u64) -> u64 {
    let utilisation = u128::from(locked) * 10_000 / u128::from(assets.max(1));
    u64::try_from(utilisation).unwrap_or(u64::MAX)
}
