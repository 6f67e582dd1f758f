//! Exposures: a vault's listings of models and the cover sold on them.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::Args;
use driftshield_sdk::{Exposure, ListingTerms, Model, Vault, address, instruction, math};

use super::state::read;
use crate::{
    args::{Amount, Drift},
    print::List,
    session::Session,
};

/// Identifies an exposure.
#[derive(Args)]
pub struct ExposureArgs {
    vault: Address,
    model: Address,
}

#[derive(Args)]
pub struct ListModel {
    #[command(flatten)]
    exposure: ExposureArgs,
    /// Maximum cover to sell on the model [default: as listed]
    #[arg(long, value_name = "AMOUNT")]
    cap: Option<Amount>,
    /// Lowest trigger to sell [default: as listed, or the model's noise floor in a first listing]
    #[arg(long, value_name = "DRIFT")]
    lowest_trigger: Option<Drift>,
    /// Largest persistence to sell, 1 to 4 [default: as listed, or the largest in a first listing
    /// whose windows, with the model's submit, challenge and ruling periods and two steps, fit the cooldown]
    #[arg(long, value_name = "N")]
    max_persistence: Option<u8>,
    /// Fail if the model has another version [default: its current version]
    #[arg(long, value_name = "N")]
    model_version: Option<u32>,
}

impl ListModel {
    pub async fn run(self, session: &Session) -> Result<()> {
        let ExposureArgs { vault, model } = self.exposure;
        let (seller, decimals) = read(session, &vault).await?;
        let state: Model = session.client.get(&model).await?;
        let listed = self.exposure.find(session).await?;
        let cap = match (&self.cap, &listed) {
            (Some(cap), _) => cap.units(decimals.tokens)?,
            (None, listed) => {
                let listed = listed.as_ref().with_context(|| {
                    format!(
                        "vault {vault} has not listed model {model}; pass the maximum cover to \
                         sell with --cap"
                    )
                })?;
                listed.cap
            }
        };
        let lowest = listed.map_or(state.noise_floor, |listed| listed.lowest_trigger);
        let longest = listed.map_or_else(
            || longest_persistence(&seller, &state),
            |listed| listed.max_persistence,
        );
        let terms = ListingTerms {
            model_version: self.model_version.unwrap_or(state.version),
            cap,
            lowest_trigger: self.lowest_trigger.map_or(lowest, |Drift(value)| value),
            max_persistence: self.max_persistence.unwrap_or(longest),
        };
        let list = instruction::list_model(session.signer()?, vault, model, terms);
        session.send(&[list], decimals).await
    }
}

/// The largest persistence whose windows and dispute fit the vault's cooldown; 1 if none does.
fn longest_persistence(vault: &Vault, model: &Model) -> u8 {
    let fits = |windows: &u8| vault.require_measured_in_time(model, *windows).is_ok();
    (1..=math::MAX_PERSISTENCE).rev().find(fits).unwrap_or(1)
}

impl ExposureArgs {
    fn address(&self) -> Address {
        address::exposure(&self.vault, &self.model)
    }

    async fn find(&self, session: &Session) -> Result<Option<Exposure>> {
        Ok(session.client.find(&self.address()).await?)
    }

    async fn read(&self, session: &Session) -> Result<Exposure> {
        let found = self.find(session).await?;
        found.with_context(|| {
            format!(
                "vault {} has not listed model {}; its manager can list it with `driftshield vault list-model`",
                self.vault, self.model
            )
        })
    }

    pub async fn unlist(self, session: &Session) -> Result<()> {
        let (_, decimals) = read(session, &self.vault).await?;
        let listed = self.read(session).await?;
        let model: Model = session.client.get(&self.model).await?;
        let terms = ListingTerms {
            model_version: model.version,
            cap: 0,
            lowest_trigger: listed.lowest_trigger,
            max_persistence: listed.max_persistence,
        };
        let list = instruction::list_model(session.signer()?, self.vault, self.model, terms);
        session.send(&[list], decimals).await
    }

    pub async fn close(self, session: &Session) -> Result<()> {
        let (state, decimals) = read(session, &self.vault).await?;
        self.read(session).await?;
        let close = instruction::close_exposure(self.vault, &state, self.model);
        session.send(&[close], decimals).await
    }

    pub async fn show(self, session: &Session) -> Result<()> {
        let (_, decimals) = read(session, &self.vault).await?;
        let exposure = self.read(session).await?;
        session.print_account(&self.address(), &exposure, decimals)
    }
}

pub async fn list(session: &Session, vault: Option<Address>, model: Option<Address>) -> Result<()> {
    let filters = [
        (offset_of!(Exposure, vault), vault),
        (offset_of!(Exposure, model), model),
    ];
    let mut list = List::new(&[
        "vault",
        "model",
        "cap",
        "cover",
        "lowest_trigger",
        "max_persistence",
        "model_version",
        "active_at",
        "policies",
    ]);
    for (address, exposure) in session.list::<Exposure>(&filters).await? {
        let (_, decimals) = read(session, &exposure.vault).await?;
        list.push(&address, &exposure, decimals)?;
    }
    session.print_list(&list)
}
