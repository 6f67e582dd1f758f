//! A vault's offer of cover on a model: quotes for purchases and renewals.

use anchor_lang::Address;
use anyhow::Result;
use clap::Args;
use driftshield_sdk::{
    DriftShieldError, Exposure, Model, Policy, PolicyTerms, Quote, Vault, address, defaults,
    json::Decoded, pause, quote, quote_renewal,
};
use serde_json::{Map, Value, json};

use crate::{
    args::{Amount, Drift},
    collateral, config,
    error::{program_error, refused},
    print::{self, Decimals},
    session::Session,
    vault,
};

/// The accounts from which the program computes a quote, with premiums accrued up to `now`.
pub struct Offer {
    pub vault: Vault,
    exposure: Exposure,
    model: Model,
    pub decimals: Decimals,
    /// The cluster's time in unix seconds.
    now: i64,
}

impl Offer {
    pub async fn read(session: &Session, vault: &Address, model: &Address) -> Result<Self> {
        let (state, decimals) = vault::read(session, vault).await?;
        let exposure = address::exposure(vault, model);
        let exposure: Option<Exposure> = session.client.find(&exposure).await?;
        let not_listed = || program_error(DriftShieldError::ModelNotListed.into());
        let exposure = exposure.ok_or_else(not_listed)?;
        let model: Model = session.client.get(model).await?;
        let (vault, now) = vault::accrued(session, &state).await?;
        Ok(Self {
            vault,
            exposure,
            model,
            decimals,
            now,
        })
    }

    pub fn quote(&self, terms: &PolicyTerms) -> Result<Quote> {
        let mut vault = self.vault; // a copy
        quote(&mut vault, &self.exposure, &self.model, terms, self.now)
            .map_err(|refusal| refused(refusal, vault.decimals))
    }

    pub fn quote_renewal(&self, policy: &Policy) -> Result<Quote> {
        let mut vault = self.vault; // a copy
        let (exposure, model) = (&self.exposure, &self.model);
        quote_renewal(&mut vault, exposure, model, policy, true, self.now)
            .map_err(|refusal| refused(refusal, vault.decimals))
    }

    /// A quote in the format of accounts and events.
    fn decoded(&self, quote: &Quote) -> Result<Decoded> {
        let begins_at = self.model.window_start(quote.first_window);
        let utilisation = |locked| vault::utilisation_bps(locked, self.vault.assets);
        let numbers = [
            ("premium", quote.premium.to_string()),
            ("rent", quote.rent.to_string()),
            ("protocol_part", quote.protocol_part.to_string()),
            ("manager_part", quote.manager_part.to_string()),
            ("streamed_part", quote.streamed_part.to_string()),
            ("first_window", quote.first_window.to_string()),
            ("last_window", quote.last_window.to_string()),
            ("begins_at", begins_at.map_err(program_error)?.to_string()),
            ("end", quote.end.to_string()),
            (
                "cancel_fee_bps",
                self.vault.terms.cancel_fee_bps.to_string(),
            ),
            ("assets", self.vault.assets.to_string()),
            ("seasoned", self.vault.seasoned.to_string()),
            ("locked_before", quote.locked_before.to_string()),
            ("locked_after", quote.locked_after.to_string()),
        ];
        let mut fields: Map<String, Value> = numbers
            .into_iter()
            .map(|(name, number)| (name.to_owned(), number.into()))
            .collect();
        for (name, locked) in [
            ("utilisation_before_bps", quote.locked_before),
            ("utilisation_after_bps", quote.locked_after),
        ] {
            fields.insert(name.to_owned(), utilisation(locked).into());
        }
        Ok(Decoded {
            name: "Quote",
            fields,
        })
    }

    /// Prints the quote of a transaction that is about to be sent. Prints nothing with `--json`,
    /// because the transaction's event contains the same numbers.
    pub fn print_quote(&self, session: &Session, quote: &Quote) -> Result<()> {
        if session.json {
            return Ok(());
        }
        print::to_stdout(&quote_text(&self.decoded(quote)?, self.decimals))
    }
}

fn quote_text(quote: &Decoded, decimals: Decimals) -> String {
    format!("{}\n{}", quote.name, print::fields(quote, decimals))
}

/// Cover that a holder wants to buy.
#[derive(Args)]
pub struct CoverArgs {
    pub vault: Address,
    pub model: Address,
    /// Maximum payout
    #[arg(long, value_name = "AMOUNT")]
    cover: Amount,
    /// Drift at which the policy starts to pay
    #[arg(long, value_name = "DRIFT")]
    trigger: Drift,
    /// Drift at which the policy pays its full cover [default: the lowest, which is the trigger plus
    /// eight times the model's max_spread]
    #[arg(long, value_name = "DRIFT")]
    exhaustion: Option<Drift>,
    /// Number of consecutive windows at or over the trigger that a claim needs, 1 to 4
    #[arg(long, value_name = "N", default_value_t = 1)]
    persistence: u8,
    /// Number of windows to cover, from the earliest possible one
    #[arg(long, value_name = "N")]
    windows: u64,
    /// Fail if the model has another version [default: its current version]
    #[arg(long, value_name = "N")]
    model_version: Option<u32>,
}

impl CoverArgs {
    /// Reads the offer. Returns the offer and the terms to buy, without a limit on the premium, and
    /// with the present cancel fee as the highest.
    pub async fn read(&self, session: &Session) -> Result<(Offer, PolicyTerms)> {
        let offer = Offer::read(session, &self.vault, &self.model).await?;
        let cover = self.cover.units(offer.decimals.tokens)?;
        let Drift(trigger) = self.trigger;
        let (vault, model) = (&offer.vault, &offer.model);
        let mut terms =
            defaults::policy_terms(vault, model, offer.now, cover, trigger, self.windows);
        if let Some(version) = self.model_version {
            terms.model_version = version;
        }
        if let Some(Drift(exhaustion)) = self.exhaustion {
            terms.exhaustion = exhaustion;
        }
        terms.persistence = self.persistence;
        Ok((offer, terms))
    }

    /// Prints the price, or fails with the error with which a purchase would fail. The buyer is not
    /// checked.
    pub async fn quote(self, session: &Session) -> Result<()> {
        let (offer, terms) = self.read(session).await?;
        let config = config::read(session).await?;
        config
            .require_running(pause::POLICIES)
            .map_err(program_error)?;
        let collateral = collateral::read(session, &offer.vault.mint).await?;
        collateral.require_enabled().map_err(program_error)?;
        let quote = offer.decoded(&offer.quote(&terms)?)?;
        let json = json!({ "name": quote.name, "fields": quote.fields });
        session.print(&json, &quote_text(&quote, offer.decimals))
    }
}
