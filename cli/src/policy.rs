//! Policies, from a quote to their end.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{
    DriftShieldError, Exposure, Model, Policy, PolicyTerms, Quote, Receipt, Vault, address,
    best_run, first_window, instruction, json::Decoded, pause, quote, quote_renewal,
};
use serde_json::{Map, Value, json};

use crate::{
    args::{Amount, Drift},
    collateral, config,
    print::{self, Decimals},
    renewal::Renewal,
    send::{Session, program_error},
    vault,
};

/// A purchase may cost more than its quote by this part of it: until it lands, others buy and the
/// model drifts.
const TOLERANCE: u64 = 100;

#[derive(Subcommand)]
pub enum Command {
    /// Tell what cover costs, or why it is refused
    Quote(Wanted),
    /// Buy cover on a model: signed by the holder
    Buy(Buy),
    /// Pay a policy by the run of receipts that it pays most for: anyone
    Claim {
        policy: Address,
        /// First window of the run [default: that of the run that pays most]
        #[arg(long)]
        window: Option<u64>,
    },
    /// End a policy and get what is unused of the premium back, less a fee: signed by the holder
    Cancel { policy: Address },
    /// Buy as many windows more: the holder, or anyone where the policy renews by itself
    Renew {
        policy: Address,
        /// The holder's token account, which pays [default: its associated one]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    #[command(flatten)]
    Renewal(Renewal),
    /// End a policy that can no longer be claimed: anyone
    Expire { policy: Address },
    /// Show a policy
    Show { policy: Address },
    /// List policies
    List {
        /// Only of this vault
        #[arg(long)]
        vault: Option<Address>,
        /// Only on this model
        #[arg(long)]
        model: Option<Address>,
        /// Only this holder's
        #[arg(long, value_name = "KEY")]
        holder: Option<Address>,
    },
}

/// The cover that is asked for.
#[derive(Args)]
pub struct Wanted {
    vault: Address,
    model: Address,
    /// The most that the policy pays
    #[arg(long, value_name = "AMOUNT")]
    cover: Amount,
    /// Drift from which on it pays
    #[arg(long, value_name = "DRIFT")]
    trigger: Drift,
    /// Drift from which on it pays all of its cover [default: the trigger]
    #[arg(long, value_name = "DRIFT")]
    exhaustion: Option<Drift>,
    /// Windows in a row that the trigger has to hold for, 1 to 4
    #[arg(long, value_name = "N", default_value_t = 1)]
    persistence: u8,
    /// How many windows to cover, from the first that can be
    #[arg(long, value_name = "N")]
    windows: u64,
    /// Refuse if the model is of another version [default: the one that it is of]
    #[arg(long, value_name = "N")]
    model_version: Option<u32>,
}

#[derive(Args)]
pub struct Buy {
    #[command(flatten)]
    wanted: Wanted,
    /// The holder's number of the policy
    #[arg(long)]
    id: u64,
    /// The most that the purchase, and each renewal, may cost [default: the quote and 1% more]
    #[arg(long, value_name = "AMOUNT")]
    max_premium: Option<Amount>,
    /// Let anyone renew the policy out of what `policy approve` allows
    #[arg(long)]
    auto_renew: bool,
    /// Token account that pays [default: the holder's associated one]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Quote(wanted) => wanted.quote(session).await,
            Self::Buy(buy) => buy.run(session).await,
            Self::Claim { policy, window } => claim(session, policy, window).await,
            Self::Cancel { policy } => cancel(session, policy).await,
            Self::Renew { policy, source } => renew(session, policy, source).await,
            Self::Renewal(command) => command.run(session).await,
            Self::Expire { policy } => {
                let (state, _, decimals) = read(session, &policy).await?;
                let expire = instruction::expire_policy(&state);
                session.send(&[expire], decimals).await
            }
            Self::Show { policy } => show(session, policy).await,
            Self::List {
                vault,
                model,
                holder,
            } => list(session, vault, model, holder).await,
        }
    }
}

/// The policy, its vault, and the decimals of their amounts.
async fn read(session: &Session, policy: &Address) -> Result<(Policy, Vault, Decimals)> {
    let state: Policy = session.client.get(policy).await?;
    let (vault, decimals) = vault::read(session, &state.vault).await?;
    Ok((state, vault, decimals))
}

/// What a vault offers on a model.
struct Offer {
    vault: Vault,
    exposure: Exposure,
    model: Model,
    decimals: Decimals,
    /// The chain's time.
    now: i64,
}

impl Offer {
    async fn read(session: &Session, vault: &Address, model: &Address) -> Result<Self> {
        let (state, decimals) = vault::read(session, vault).await?;
        let exposure = address::exposure(vault, model);
        let exposure: Option<Exposure> = session.client.find(&exposure).await?;
        let unlisted = || program_error(DriftShieldError::ModelNotListed.into());
        let exposure = exposure.ok_or_else(unlisted)?;
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

    fn quote(&self, terms: &PolicyTerms) -> Result<Quote> {
        let mut vault = self.vault; // a copy
        quote(&mut vault, &self.exposure, &self.model, terms, self.now).map_err(program_error)
    }

    fn quote_renewal(&self, policy: &Policy) -> Result<Quote> {
        let mut vault = self.vault; // a copy
        quote_renewal(&mut vault, &self.exposure, &self.model, policy, self.now)
            .map_err(program_error)
    }

    /// A quote as accounts and events are told.
    fn describe(&self, quote: &Quote) -> Result<Decoded> {
        let begins_at = self.model.window_start(quote.first_window);
        let utilisation = |locked| vault::utilisation_bps(locked, self.vault.assets);
        let numbers = [
            ("premium", quote.premium.to_string()),
            ("protocol_part", quote.protocol_part.to_string()),
            ("manager_part", quote.manager_part.to_string()),
            ("streamed_part", quote.streamed_part.to_string()),
            ("first_window", quote.first_window.to_string()),
            ("last_window", quote.last_window.to_string()),
            ("begins_at", begins_at.map_err(program_error)?.to_string()),
            ("end", quote.end.to_string()),
            ("assets", self.vault.assets.to_string()),
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

    /// Tells people what a transaction that is about to be sent will cost.
    fn announce(&self, session: &Session, quote: &Quote) -> Result<()> {
        if session.json {
            return Ok(()); // the event will tell
        }
        print::out(&quote_text(&self.describe(quote)?, self.decimals))
    }
}

fn quote_text(quote: &Decoded, decimals: Decimals) -> String {
    format!("{}\n{}", quote.name, print::fields(quote, decimals))
}

impl Wanted {
    /// What is offered, and what the holder asks for.
    async fn read(&self, session: &Session) -> Result<(Offer, PolicyTerms)> {
        let offer = Offer::read(session, &self.vault, &self.model).await?;
        let cover = self.cover.units(offer.decimals.tokens);
        let Drift(trigger) = self.trigger;
        let terms = PolicyTerms {
            model_version: self.model_version.unwrap_or(offer.model.version),
            cover: cover.map_err(anyhow::Error::msg)?,
            trigger,
            exhaustion: self.exhaustion.map_or(trigger, |Drift(value)| value),
            persistence: self.persistence,
            first_window: first_window(&offer.vault, &offer.model, offer.now),
            windows: self.windows,
            max_premium: u64::MAX,
            auto_renew: false,
        };
        Ok((offer, terms))
    }

    async fn quote(self, session: &Session) -> Result<()> {
        let (offer, terms) = self.read(session).await?;
        let config = config::read(session).await?;
        let running = config.require_running(pause::POLICIES);
        running.map_err(program_error)?;
        let collateral = collateral::read(session, &offer.vault.mint).await?;
        collateral.require_enabled().map_err(program_error)?;
        let quote = offer.describe(&offer.quote(&terms)?)?;
        let json = json!({ "name": quote.name, "fields": quote.fields });
        session.print(&json, &quote_text(&quote, offer.decimals))
    }
}

impl Buy {
    async fn run(self, session: &Session) -> Result<()> {
        let (offer, mut terms) = self.wanted.read(session).await?;
        let decimals = offer.decimals;
        if let Some(most) = &self.max_premium {
            let most = most.units(decimals.tokens);
            terms.max_premium = most.map_err(anyhow::Error::msg)?;
        }
        terms.auto_renew = self.auto_renew;
        let quote = offer.quote(&terms)?;
        if self.max_premium.is_none() {
            terms.max_premium = with_tolerance(quote.premium);
        }
        let source = session.source(
            self.source,
            &offer.vault.mint,
            offer.vault.token_program,
            quote.premium,
            decimals.tokens,
        );
        let buy = instruction::buy_policy(
            session.signer()?,
            self.id,
            self.wanted.vault,
            &offer.vault,
            self.wanted.model,
            source.await?,
            terms,
        );
        offer.announce(session, &quote)?;
        session.send(&[buy], decimals).await
    }
}

fn with_tolerance(premium: u64) -> u64 {
    premium.saturating_add(premium.div_ceil(TOLERANCE))
}

async fn claim(session: &Session, address: Address, window: Option<u64>) -> Result<()> {
    let (policy, vault, decimals) = read(session, &address).await?;
    let first_window = match window {
        Some(window) => window,
        None => best_window(session, &policy).await?,
    };
    let instructions = [
        session.create_token_account(&policy.holder, &vault.mint, vault.token_program)?,
        instruction::claim_policy(&policy, &vault, first_window),
    ];
    session.send(&instructions, decimals).await
}

/// The first window of the run that `policy` pays most for.
async fn best_window(session: &Session, policy: &Policy) -> Result<u64> {
    let of_model = [(offset_of!(Receipt, model), policy.model)];
    let receipts = session.client.list::<Receipt>(&of_model).await?;
    let run = best_run(policy, receipts.iter().map(|(_, receipt)| receipt));
    let run = run.with_context(|| {
        format!(
            "no run of {} Final receipts at or over the trigger, in windows {} to {}, pays more than was paid",
            policy.persistence, policy.first_window, policy.last_window
        )
    })?;
    Ok(run.first_window)
}

async fn cancel(session: &Session, address: Address) -> Result<()> {
    let (policy, vault, decimals) = read(session, &address).await?;
    let (mut accrued, now) = vault::accrued(session, &vault).await?;
    let mut instructions = vec![];
    // Where nothing comes back, nothing needs a token account.
    if 0 < policy.cancel(&mut accrued, now) {
        instructions.push(session.create_token_account(
            &policy.holder,
            &vault.mint,
            vault.token_program,
        )?);
    }
    instructions.push(instruction::cancel_policy(&policy, &vault));
    session.send(&instructions, decimals).await
}

async fn renew(session: &Session, address: Address, source: Option<Address>) -> Result<()> {
    let policy: Policy = session.client.get(&address).await?;
    let offer = Offer::read(session, &policy.vault, &policy.model).await?;
    let quote = offer.quote_renewal(&policy)?;
    let holder_signs = policy.holder == session.signer()?;
    let (mint, program) = (&offer.vault.mint, offer.vault.token_program);
    let source = if holder_signs {
        let held = session.source(source, mint, program, quote.premium, offer.decimals.tokens);
        held.await?
    } else {
        source.unwrap_or_else(|| address::token_account(&policy.holder, mint, program.into()))
    };
    let renew = instruction::renew_policy(&policy, &offer.vault, source, holder_signs);
    offer.announce(session, &quote)?;
    session.send(&[renew], offer.decimals).await
}

async fn show(session: &Session, address: Address) -> Result<()> {
    let (policy, _, decimals) = read(session, &address).await?;
    let model: Model = session.client.get(&policy.model).await?;
    let mut account = print::describe(&policy)?;
    let json = print::account_json(&address, &account);
    if policy.previous_term.end == 0 {
        account.fields.remove("previous_term"); // it was never renewed
    }
    let text = print::account_text(&address, &account, decimals);
    let begins_at = model.window_start(policy.first_window);
    let expires_at = policy.expires_at(&model);
    let text = format!(
        "{text}covers from        {}\ncan be claimed to  {}",
        print::time(begins_at.map_err(program_error)?),
        print::time(expires_at.map_err(program_error)?),
    );
    session.print(&json, &text)
}

async fn list(
    session: &Session,
    vault: Option<Address>,
    model: Option<Address>,
    holder: Option<Address>,
) -> Result<()> {
    let vault = vault.map(|vault| (offset_of!(Policy, vault), vault));
    let model = model.map(|model| (offset_of!(Policy, model), model));
    let holder = holder.map(|holder| (offset_of!(Policy, holder), holder));
    let filters: Vec<_> = [vault, model, holder].into_iter().flatten().collect();
    let names = [
        "cover",
        "paid",
        "trigger",
        "exhaustion",
        "persistence",
        "first_window",
        "last_window",
        "auto_renew",
        "holder",
        "model",
    ];
    let mut list = print::List::new(&names);
    for (address, policy) in session.client.list::<Policy>(&filters).await? {
        let (_, decimals) = vault::read(session, &policy.vault).await?;
        list.push(&address, &print::describe(&policy)?, decimals);
    }
    session.print(&list.json(), &list.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tolerance_is_rounded_up_and_never_wraps() {
        assert_eq!(with_tolerance(1), 2);
        assert_eq!(with_tolerance(1_000), 1_010);
        assert_eq!(with_tolerance(u64::MAX), u64::MAX);
    }
}
