//! Policies: cover against a model's drift.

mod allowance;
mod offer;

use std::mem::offset_of;

use anchor_lang::{Address, solana_program::instruction::Instruction};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{Model, Policy, Series, Vault, address, defaults, instruction};

use self::{
    allowance::AllowanceCommand,
    offer::{CoverArgs, Offer},
};
use crate::{
    args::Amount,
    error::program_error,
    print::{self, Decimals, List},
    session::Session,
    vault,
};

#[derive(Subcommand)]
pub enum Command {
    /// Show the price of cover, or why it cannot be bought
    Quote(CoverArgs),
    /// Buy cover on a model (signed by the holder)
    Buy(Buy),
    /// Examine a policy's windows, and pay what it owes for its highest run; callable by anyone
    Claim { policy: Address },
    /// Examine a policy's windows, so that the vault sets aside what they are worth; callable by anyone
    Examine { policy: Address },
    /// Begin a policy's term whose probation is over, or refund it; callable by anyone
    Begin { policy: Address },
    /// Cancel a policy and refund its unused premium, less a fee (signed by the holder)
    Cancel { policy: Address },
    /// Extend a policy by another term. Without auto-renew, only its holder can
    Renew {
        policy: Address,
        /// The holder's token account that pays [default: its associated token account]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    #[command(flatten)]
    Allowance(AllowanceCommand),
    /// End a policy whose claim grace is over, and pay what it owes; callable by anyone
    Expire { policy: Address },
    /// Show a policy
    Show { policy: Address },
    /// List policies
    List {
        /// Only policies of this vault
        #[arg(long)]
        vault: Option<Address>,
        /// Only policies on this model
        #[arg(long)]
        model: Option<Address>,
        /// Only policies of this holder
        #[arg(long, value_name = "KEY")]
        holder: Option<Address>,
    },
}

#[derive(Args)]
pub struct Buy {
    #[command(flatten)]
    cover: CoverArgs,
    /// Id of the policy, unique for its vault and holder
    #[arg(long)]
    id: u64,
    /// Maximum premium, security rent included, of the purchase and of each renewal [default: 1%
    /// above the quote]
    #[arg(long, value_name = "AMOUNT")]
    max_premium: Option<Amount>,
    /// Highest cancel fee in bps [default: the vault's present one]
    #[arg(long, value_name = "BPS")]
    max_cancel_fee: Option<u16>,
    /// Let anyone renew the policy with the tokens approved by `policy approve`
    #[arg(long)]
    auto_renew: bool,
    /// Token account that pays [default: the holder's associated token account]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Quote(cover) => cover.quote(session).await,
            Self::Buy(buy) => buy.run(session).await,
            Self::Claim { policy } => claim(session, policy).await,
            Self::Examine { policy } => {
                let (state, _, decimals) = read(session, &policy).await?;
                let examine = examine(session, &state).await?;
                session
                    .send(&[examine.context(NOTHING_TO_EXAMINE)?], decimals)
                    .await
            }
            Self::Cancel { policy } => cancel(session, policy).await,
            Self::Renew { policy, source } => renew(session, policy, source).await,
            Self::Allowance(command) => command.run(session).await,
            Self::Begin { policy } => {
                let (state, vault, decimals) = read(session, &policy).await?;
                let begin = instruction::begin_policy(&state, &vault);
                session
                    .send(&[pay_to(session, &state, &vault)?, begin], decimals)
                    .await
            }
            Self::Expire { policy } => {
                let (state, vault, decimals) = read(session, &policy).await?;
                let expire = instruction::expire_policy(&state, &vault);
                session
                    .send(&[pay_to(session, &state, &vault)?, expire], decimals)
                    .await
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

/// Reads a policy, its vault, and the decimals of their amounts.
async fn read(session: &Session, policy: &Address) -> Result<(Policy, Vault, Decimals)> {
    let state: Policy = session.client.get(policy).await?;
    let (vault, decimals) = vault::read(session, &state.vault).await?;
    Ok((state, vault, decimals))
}

impl Buy {
    async fn run(self, session: &Session) -> Result<()> {
        let (offer, mut terms) = self.cover.read(session).await?;
        let decimals = offer.decimals;
        if let Some(max_premium) = &self.max_premium {
            terms.max_premium = max_premium.units(decimals.tokens)?;
        }
        if let Some(max_cancel_fee) = self.max_cancel_fee {
            terms.max_cancel_fee_bps = max_cancel_fee;
        }
        terms.auto_renew = self.auto_renew;
        let quote = offer.quote(&terms)?;
        if self.max_premium.is_none() {
            terms.max_premium = defaults::max_premium(quote.price());
        }
        let source = session.source_account(
            self.source,
            &offer.vault.mint,
            offer.vault.token_program,
            quote.price(),
            decimals.tokens,
        );
        let buy = instruction::buy_policy(
            session.signer()?,
            self.id,
            self.cover.vault,
            &offer.vault,
            self.cover.model,
            source.await?,
            terms,
        );
        offer.print_quote(session, &quote)?;
        session.send(&[buy], decimals).await
    }
}

const NOTHING_TO_EXAMINE: &str = "nothing to examine: no covered window is over that has not been \
    examined; try again after the next window is settled";

async fn claim(session: &Session, address: Address) -> Result<()> {
    let (policy, vault, decimals) = read(session, &address).await?;
    let mut instructions: Vec<_> = examine(session, &policy).await?.into_iter().collect();
    instructions.push(pay_to(session, &policy, &vault)?);
    instructions.push(instruction::claim_policy(&policy, &vault));
    session.send(&instructions, decimals).await
}

/// The instruction that examines `policy`; `None` if that would find no decided window.
async fn examine(session: &Session, policy: &Policy) -> Result<Option<Instruction>> {
    let model: Model = session.client.get(&policy.model).await?;
    let now = session.client.unix_timestamp().await?;
    let Some(first) = defaults::first_to_examine(policy, &model, now) else {
        return Ok(None);
    };
    let page = address::series(&policy.model, first);
    let page: Option<Series> = session.client.find(&page).await?;
    Ok(
        defaults::is_decided(first, page.as_ref(), &model, now).then(|| {
            let windows = policy.windows_to_examine(&model, now, usize::MAX);
            instruction::examine_policy(policy, windows)
        }),
    )
}

/// The instruction that creates the holder's token account, which a refund needs, if it is missing.
fn pay_to(session: &Session, policy: &Policy, vault: &Vault) -> Result<Instruction> {
    session.create_token_account(&policy.holder, &vault.mint, vault.token_program)
}

async fn cancel(session: &Session, address: Address) -> Result<()> {
    let (mut policy, vault, decimals) = read(session, &address).await?;
    let (mut accrued, now) = vault::accrued(session, &vault).await?;
    let mut instructions = vec![];
    // A refund of 0 needs no token account.
    let cancel = instruction::cancel_policy(&policy, &vault);
    if 0 < policy.cancel(&mut accrued, now) {
        instructions.push(pay_to(session, &policy, &vault)?);
    }
    instructions.push(cancel);
    session.send(&instructions, decimals).await
}

async fn renew(session: &Session, address: Address, source: Option<Address>) -> Result<()> {
    let policy: Policy = session.client.get(&address).await?;
    let offer = Offer::read(session, &policy.vault, &policy.model).await?;
    let quote = offer.quote_renewal(&policy)?;
    let holder_signs = policy.holder == session.signer()?;
    let (mint, program) = (&offer.vault.mint, offer.vault.token_program);
    let source = if holder_signs {
        session
            .source_account(source, mint, program, quote.price(), offer.decimals.tokens)
            .await?
    } else {
        source.unwrap_or_else(|| address::token_account(&policy.holder, mint, program.into()))
    };
    let renew = instruction::renew_policy(&policy, &offer.vault, source, holder_signs);
    offer.print_quote(session, &quote)?;
    session.send(&[renew], offer.decimals).await
}

async fn show(session: &Session, address: Address) -> Result<()> {
    let (policy, _, decimals) = read(session, &address).await?;
    let model: Model = session.client.get(&policy.model).await?;
    let mut account = print::to_decoded(&policy)?;
    let json = print::account_json(&address, &account);
    if policy.term.end == 0 {
        account.fields.remove("term"); // unset: no term has begun
    }
    if !policy.is_pending() {
        account.fields.remove("pending");
    }
    let text = print::account_text(&address, &account, decimals);
    let begins_at = model.window_start(policy.first_window);
    let expires_at = policy.expires_at(&model);
    let text = format!(
        "{text}covers from      {}\nclaimable until  {}",
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
    let keys = [
        (offset_of!(Policy, vault), vault),
        (offset_of!(Policy, model), model),
        (offset_of!(Policy, holder), holder),
    ];
    let mut list = List::new(&[
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
    ]);
    for (address, policy) in session.list::<Policy>(&keys).await? {
        let (_, decimals) = vault::read(session, &policy.vault).await?;
        list.push(&address, &policy, decimals)?;
    }
    session.print_list(&list)
}
