//! Vaults: the capital that backs policies.

mod capital;
mod exposure;
mod state;
mod terms;

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{PremiumPayee, Vault, defaults, instruction, math};

pub use self::state::{accrued, read, utilisation_bps};
use self::terms::{TermsArgs, default_terms};
use crate::{
    args::{Amount, Duration},
    collateral,
    print::{self, List},
    session::Session,
};

#[derive(Subcommand)]
pub enum Command {
    /// Create a vault (signed by the manager)
    Create(Create),
    /// Announce new prices and limits (signed by the manager). They take effect one cooldown plus
    /// one day later. Omitted options keep the value announced last
    Update {
        vault: Address,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// List a model, or change its listing (signed by the manager). Omitted options keep their
    /// value
    ListModel(exposure::ListModel),
    /// Stop selling cover on a model (signed by the manager)
    Unlist(exposure::ExposureArgs),
    /// Deposit tokens in exchange for shares
    Deposit(capital::Deposit),
    /// Request the withdrawal of shares, which are burned. A further request restarts the cooldown of
    /// all of it, and takes back in what became shares after an exit window
    RequestWithdraw {
        vault: Address,
        /// Shares to withdraw; 0 for those of a present request alone [default: all in the signer's
        /// associated token account]
        #[arg(long, value_name = "AMOUNT")]
        shares: Option<Amount>,
    },
    /// Cancel a withdrawal request and turn it back into shares
    CancelWithdraw { vault: Address },
    /// Take the due step of a withdrawal request: pay it in its exit window, as far as free capital
    /// allows, and turn the rest into shares afterwards; callable by anyone
    Withdraw(capital::RequestArgs),
    /// Pay out the treasury's or the manager's share of premiums; callable by anyone
    Collect {
        vault: Address,
        #[arg(long, value_enum)]
        payee: PremiumPayeeName,
    },
    /// Close an exposure without policies whose model is unlisted, retired or changed, or whose
    /// vault is abandoned; callable by anyone
    CloseExposure(exposure::ExposureArgs),
    /// Close an empty vault. Until one cooldown plus one day after its creation, only its manager
    /// can
    Close { vault: Address },
    /// Show a vault, its share price and its utilisation
    Show { vault: Address },
    /// List vaults
    List {
        /// Only vaults of this manager
        #[arg(long, value_name = "KEY")]
        manager: Option<Address>,
        /// Only vaults with this mint
        #[arg(long)]
        mint: Option<Address>,
    },
    /// Show a vault's listing of a model and the cover sold on that model
    Exposure(exposure::ExposureArgs),
    /// List the exposures of vaults to models
    Exposures {
        /// Only exposures of this vault
        #[arg(long)]
        vault: Option<Address>,
        /// Only exposures to this model
        #[arg(long)]
        model: Option<Address>,
    },
    /// Show a withdrawal request
    #[command(name = "request")]
    ShowRequest(capital::RequestArgs),
    /// List withdrawal requests
    Requests {
        /// Only requests to this vault
        #[arg(long)]
        vault: Option<Address>,
        /// Only requests of this owner
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
}

#[derive(Args)]
pub struct Create {
    /// Id of the vault, unique for its manager
    #[arg(long)]
    id: u64,
    /// Mint of the capital and the cover
    #[arg(long)]
    mint: Address,
    /// Cooldown of withdrawal requests, at most 121d. It must cover the submit, challenge and
    /// ruling periods of each listed model, and as many of its windows as the largest persistence
    /// [default: 14d]
    #[arg(long, value_name = "DURATION")]
    cooldown: Option<Duration>,
    /// The manager's share of premiums, in basis points
    #[arg(long, value_name = "BPS", default_value_t = 0)]
    manager_fee_bps: u16,
    #[command(flatten)]
    terms: TermsArgs,
}

/// [`PremiumPayee`] as a command-line value.
#[derive(Clone, Copy, ValueEnum)]
pub enum PremiumPayeeName {
    Treasury,
    Manager,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Update { vault, terms } => update(session, vault, terms).await,
            Self::ListModel(listing) => listing.run(session).await,
            Self::Unlist(exposure) => exposure.unlist(session).await,
            Self::Deposit(deposit) => deposit.run(session).await,
            Self::RequestWithdraw { vault, shares } => {
                capital::request(session, vault, shares).await
            }
            Self::CancelWithdraw { vault } => capital::cancel(session, vault).await,
            Self::Withdraw(request) => request.withdraw(session).await,
            Self::Collect { vault, payee } => collect(session, vault, payee).await,
            Self::CloseExposure(exposure) => exposure.close(session).await,
            Self::Close { vault } => {
                let (state, decimals) = read(session, &vault).await?;
                let manager_signs = state.manager == session.signer()?;
                let close = instruction::close_vault(vault, &state, manager_signs);
                session.send(&[close], decimals).await
            }
            Self::Show { vault } => show(session, vault).await,
            Self::List { manager, mint } => list(session, manager, mint).await,
            Self::Exposure(exposure) => exposure.show(session).await,
            Self::Exposures { vault, model } => exposure::list(session, vault, model).await,
            Self::ShowRequest(request) => request.show(session).await,
            Self::Requests { vault, owner } => capital::list(session, vault, owner).await,
        }
    }
}

impl Create {
    async fn run(self, session: &Session) -> Result<()> {
        let collateral = collateral::read(session, &self.mint).await?;
        let decimals = session.scale(collateral.decimals);
        // Defaults are whole tokens, even with `--raw`.
        let defaults = default_terms(collateral.decimals)?;
        let cooldown_secs = self
            .cooldown
            .map_or(defaults::COOLDOWN_SECS, |Duration(secs)| secs);
        let create = instruction::create_vault(
            session.signer()?,
            self.id,
            &collateral,
            cooldown_secs,
            self.manager_fee_bps,
            self.terms.apply_to(defaults, decimals)?,
        );
        session.send(&[create], decimals).await
    }
}

async fn update(session: &Session, vault: Address, terms: TermsArgs) -> Result<()> {
    let (state, decimals) = read(session, &vault).await?;
    // Start from the terms announced last, whether or not they are in effect.
    let terms = terms.apply_to(state.next_terms, decimals.tokens)?;
    let update = instruction::update_vault(session.signer()?, vault, terms);
    session.send(&[update], decimals).await
}

async fn collect(session: &Session, vault: Address, payee: PremiumPayeeName) -> Result<()> {
    let (state, decimals) = read(session, &vault).await?;
    let mut instructions = vec![];
    let payee = match payee {
        PremiumPayeeName::Treasury => PremiumPayee::Treasury,
        PremiumPayeeName::Manager => {
            instructions.push(session.create_token_account(
                &state.manager,
                &state.mint,
                state.token_program,
            )?);
            PremiumPayee::Manager
        }
    };
    instructions.push(instruction::collect_manager_fees(vault, &state, payee));
    session.send(&instructions, decimals).await
}

async fn show(session: &Session, address: Address) -> Result<()> {
    let (state, decimals) = read(session, &address).await?;
    let mut account = print::to_decoded(&state)?;
    let json = print::account_json(&address, &account);
    if state.terms_at == 0 {
        account.fields.remove("next_terms"); // equal to the terms in effect
    }
    let text = print::account_text(&address, &account, decimals);
    let (accrued, _) = accrued(session, &state).await?;
    let one_share = 10u64.checked_pow(state.decimals.saturating_add(math::SHARE_DECIMALS).into());
    let price = one_share.map_or_else(
        || format!("unknown: the mint has {} decimals", state.decimals),
        |share| print::scaled(accrued.worth(share).into(), decimals.tokens),
    );
    let utilisation = print::scaled(utilisation_bps(accrued.locked, accrued.assets).into(), 2);
    let text = format!("{text}share price  {price}\nutilisation  {utilisation}%");
    session.print(&json, &text)
}

async fn list(session: &Session, manager: Option<Address>, mint: Option<Address>) -> Result<()> {
    let filters = [
        (offset_of!(Vault, manager), manager),
        (offset_of!(Vault, mint), mint),
    ];
    let mut list = List::new(&[
        "assets",
        "locked",
        "pending_losses",
        "unearned",
        "held",
        "set_aside",
        "shares",
        "policies",
        "exposures",
        "mint",
        "manager",
    ]);
    for (address, state) in session.list::<Vault>(&filters).await? {
        list.push(&address, &state, state::decimals(session, &state))?;
    }
    session.print_list(&list)
}
