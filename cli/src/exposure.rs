//! Which models a vault covers.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::Args;
use driftshield_sdk::{Exposure, ListingTerms, Model, address, instruction};

use crate::{
    args::{Amount, Drift},
    print,
    send::Session,
    vault,
};

/// Which exposure.
#[derive(Args)]
pub struct At {
    vault: Address,
    model: Address,
}

#[derive(Args)]
pub struct ListModel {
    #[command(flatten)]
    at: At,
    /// Most cover to sell on the model [default: as listed]
    #[arg(long, value_name = "AMOUNT")]
    cap: Option<Amount>,
    /// Lowest trigger to sell [default: as listed, at first the model's noise floor]
    #[arg(long, value_name = "DRIFT")]
    lowest_trigger: Option<Drift>,
    /// Refuse if the model is of another version [default: the one that it is of]
    #[arg(long, value_name = "N")]
    model_version: Option<u32>,
}

impl ListModel {
    pub async fn run(self, session: &Session) -> Result<()> {
        let At { vault, model } = self.at;
        let (_, decimals) = vault::read(session, &vault).await?;
        let state: Model = session.client.get(&model).await?;
        let listed = self.at.find(session).await?;
        let cap = match (&self.cap, &listed) {
            (Some(cap), _) => cap.units(decimals.tokens).map_err(anyhow::Error::msg)?,
            (None, listed) => {
                let listed = listed.as_ref().context(
                    "the vault has not listed this model: say how much cover to sell with --cap",
                )?;
                listed.cap
            }
        };
        let lowest = listed.map_or(state.noise_floor, |listed| listed.lowest_trigger);
        let terms = ListingTerms {
            model_version: self.model_version.unwrap_or(state.version),
            cap,
            lowest_trigger: self.lowest_trigger.map_or(lowest, |Drift(value)| value),
        };
        let list = instruction::list_model(session.signer()?, vault, model, terms);
        session.send(&[list], decimals).await
    }
}

impl At {
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
                "vault {} does not cover model {}: its manager lists it by `driftshield vault list-model`",
                self.vault, self.model
            )
        })
    }

    pub async fn unlist(self, session: &Session) -> Result<()> {
        let (_, decimals) = vault::read(session, &self.vault).await?;
        let listed = self.read(session).await?;
        let model: Model = session.client.get(&self.model).await?;
        let terms = ListingTerms {
            model_version: model.version,
            cap: 0,
            lowest_trigger: listed.lowest_trigger,
        };
        let list = instruction::list_model(session.signer()?, self.vault, self.model, terms);
        session.send(&[list], decimals).await
    }

    pub async fn close(self, session: &Session) -> Result<()> {
        let (state, decimals) = vault::read(session, &self.vault).await?;
        self.read(session).await?;
        let close = instruction::close_exposure(self.vault, &state, self.model);
        session.send(&[close], decimals).await
    }

    pub async fn show(self, session: &Session) -> Result<()> {
        let (_, decimals) = vault::read(session, &self.vault).await?;
        let account = print::describe(&self.read(session).await?)?;
        let address = self.address();
        let json = print::account_json(&address, &account);
        session.print(&json, &print::account_text(&address, &account, decimals))
    }
}

pub async fn list(session: &Session, vault: Option<Address>, model: Option<Address>) -> Result<()> {
    let vault = vault.map(|vault| (offset_of!(Exposure, vault), vault));
    let model = model.map(|model| (offset_of!(Exposure, model), model));
    let filters: Vec<_> = vault.into_iter().chain(model).collect();
    let names = [
        "vault",
        "model",
        "cap",
        "cover",
        "lowest_trigger",
        "model_version",
        "active_at",
        "policies",
    ];
    let mut list = print::List::new(&names);
    for (address, exposure) in session.client.list::<Exposure>(&filters).await? {
        let (_, decimals) = vault::read(session, &exposure.vault).await?;
        list.push(&address, &print::describe(&exposure)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
