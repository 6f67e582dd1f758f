//! Vaults, from opening to closing: what their managers decide, and what anyone may do for them.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{PremiumPayee, Vault, VaultTerms, instruction, math};

use crate::{
    args::{Amount, Duration},
    capital,
    collateral::{self, tokens, units_or},
    exposure,
    print::{self, Decimals},
    send::Session,
};

const DAY: i64 = 24 * 60 * 60;

#[derive(Subcommand)]
pub enum Command {
    /// Open a vault: signed by its manager
    Create(Create),
    /// Announce other prices and limits, which take effect after the cooldown and a day; what
    /// isn't given stays
    Update {
        vault: Address,
        #[command(flatten)]
        terms: Terms,
    },
    /// List a model, or change on what terms; what isn't given stays: signed by the manager
    ListModel(exposure::ListModel),
    /// Sell no more cover on a model: signed by the manager
    Unlist(exposure::At),
    /// Put capital into a vault for shares
    Deposit(capital::Deposit),
    /// Ask shares back; all that is asked back waits for the cooldown from now on
    RequestWithdraw {
        vault: Address,
        /// [default: all that the signer's associated token account holds]
        #[arg(long, value_name = "AMOUNT")]
        shares: Option<Amount>,
    },
    /// Give a request up and get the shares back
    CancelWithdraw { vault: Address },
    /// Pay a request whose cooldown is over, as far as free capital reaches: anyone
    Withdraw(capital::At),
    /// Pay the treasury's or the manager's part of premiums out: anyone
    Collect {
        vault: Address,
        #[arg(long, value_enum)]
        payee: Payee,
    },
    /// Close an exposure that nothing depends on: anyone
    CloseExposure(exposure::At),
    /// Close an empty vault: its manager, or anyone a cooldown and a day after it opened
    Close { vault: Address },
    /// Show a vault and what its shares are worth
    Show { vault: Address },
    /// List vaults
    List {
        /// Only this manager's
        #[arg(long, value_name = "KEY")]
        manager: Option<Address>,
        /// Only of this token
        #[arg(long)]
        mint: Option<Address>,
    },
    /// Show on what terms a vault covers a model
    Exposure(exposure::At),
    /// List which models vaults cover
    Exposures {
        /// Only this vault's
        #[arg(long)]
        vault: Option<Address>,
        /// Only of this model
        #[arg(long)]
        model: Option<Address>,
    },
    /// Show the shares that an owner has asked back
    Request(capital::At),
    /// List the shares that are asked back
    Requests {
        /// Only of this vault
        #[arg(long)]
        vault: Option<Address>,
        /// Only this owner's
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
}

#[derive(Args)]
pub struct Create {
    /// The manager's number of the vault
    #[arg(long)]
    id: u64,
    /// The token that it covers in
    #[arg(long)]
    mint: Address,
    /// How long shares that are asked back wait, at most 121d: no less than the window plus submit,
    /// challenge and ruling of each model that is covered
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    cooldown: Duration,
    /// The manager's share of premiums, in hundredths of a percent
    #[arg(long, value_name = "BPS", default_value_t = 0)]
    manager_fee_bps: u16,
    #[command(flatten)]
    terms: Terms,
}

/// Prices are a year's, in hundredths of a percent of the cover.
#[derive(Args)]
pub struct Terms {
    /// Smallest cover of a policy [create: 1 token]
    #[arg(long, value_name = "AMOUNT")]
    min_cover: Option<Amount>,
    /// Largest cover of a policy [create: 100000 tokens]
    #[arg(long, value_name = "AMOUNT")]
    max_cover: Option<Amount>,
    /// Shortest time from a purchase to the end of its last window [create: 1d]
    #[arg(long, value_name = "DURATION")]
    min_duration: Option<Duration>,
    /// Longest time from a purchase to the end of its last window [create: 400d]
    #[arg(long, value_name = "DURATION")]
    max_duration: Option<Duration>,
    /// Price whatever the utilisation and the drift [create: 200]
    #[arg(long, value_name = "BPS")]
    base_bps: Option<u16>,
    /// Price of utilisation at the kink, in proportion below it [create: 400]
    #[arg(long, value_name = "BPS")]
    slope1_bps: Option<u16>,
    /// Price beside it at full utilisation, in proportion above the kink [create: 6000]
    #[arg(long, value_name = "BPS")]
    slope2_bps: Option<u16>,
    /// Utilisation from which on it costs more, 1 to 9999 [create: 8000]
    #[arg(long, value_name = "BPS")]
    kink_bps: Option<u16>,
    /// Price where the model has drifted to the trigger, in proportion below it [create: 1000]
    #[arg(long, value_name = "BPS")]
    risk_slope_bps: Option<u16>,
    /// How much of the capital policies may lock [create: 9000]
    #[arg(long, value_name = "BPS")]
    max_utilisation_bps: Option<u16>,
    /// What a cancelled policy doesn't get back of its unused premium [create: 1000]
    #[arg(long, value_name = "BPS")]
    cancel_fee_bps: Option<u16>,
}

impl Terms {
    /// `base`, but for what is given.
    fn over(&self, base: VaultTerms, decimals: u8) -> Result<VaultTerms> {
        let secs = |given: Option<Duration>, kept| given.map_or(kept, |Duration(secs)| secs);
        Ok(VaultTerms {
            min_cover: units_or(&self.min_cover, base.min_cover, decimals)?,
            max_cover: units_or(&self.max_cover, base.max_cover, decimals)?,
            min_duration_secs: secs(self.min_duration, base.min_duration_secs),
            max_duration_secs: secs(self.max_duration, base.max_duration_secs),
            base_bps: self.base_bps.unwrap_or(base.base_bps),
            slope1_bps: self.slope1_bps.unwrap_or(base.slope1_bps),
            slope2_bps: self.slope2_bps.unwrap_or(base.slope2_bps),
            kink_bps: self.kink_bps.unwrap_or(base.kink_bps),
            risk_slope_bps: self.risk_slope_bps.unwrap_or(base.risk_slope_bps),
            max_utilisation_bps: self.max_utilisation_bps.unwrap_or(base.max_utilisation_bps),
            cancel_fee_bps: self.cancel_fee_bps.unwrap_or(base.cancel_fee_bps),
            ..base
        })
    }
}

/// What `create` sets where nothing else is said.
fn default_terms(decimals: u8) -> Result<VaultTerms> {
    Ok(VaultTerms {
        min_cover: tokens(1, decimals)?,
        max_cover: tokens(100_000, decimals).unwrap_or(u64::MAX), // of a token of many decimals
        min_duration_secs: DAY,
        max_duration_secs: 400 * DAY,
        base_bps: 200,
        slope1_bps: 400,
        slope2_bps: 6_000,
        kink_bps: 8_000,
        risk_slope_bps: 1_000,
        max_utilisation_bps: 9_000,
        cancel_fee_bps: 1_000,
        reserved: [0; 2],
    })
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Payee {
    Treasury,
    Manager,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Update { vault, terms } => update(session, vault, terms).await,
            Self::ListModel(listing) => listing.run(session).await,
            Self::Unlist(at) => at.unlist(session).await,
            Self::Deposit(deposit) => deposit.run(session).await,
            Self::RequestWithdraw { vault, shares } => {
                capital::request(session, vault, shares).await
            }
            Self::CancelWithdraw { vault } => capital::cancel(session, vault).await,
            Self::Withdraw(at) => at.withdraw(session).await,
            Self::Collect { vault, payee } => collect(session, vault, payee).await,
            Self::CloseExposure(at) => at.close(session).await,
            Self::Close { vault } => {
                let (state, decimals) = read(session, &vault).await?;
                let manager_signs = state.manager == session.signer()?;
                let close = instruction::close_vault(vault, &state, manager_signs);
                session.send(&[close], decimals).await
            }
            Self::Show { vault } => show(session, vault).await,
            Self::List { manager, mint } => list(session, manager, mint).await,
            Self::Exposure(at) => at.show(session).await,
            Self::Exposures { vault, model } => exposure::list(session, vault, model).await,
            Self::Request(at) => at.show(session).await,
            Self::Requests { vault, owner } => capital::list(session, vault, owner).await,
        }
    }
}

/// The vault, and the decimals of its amounts and shares.
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

/// The vault brought to the chain's time, as the next instruction will find it, and that time.
pub async fn accrued(session: &Session, state: &Vault) -> Result<(Vault, i64)> {
    let now = session.client.unix_timestamp().await?;
    let mut state = *state;
    state.accrue(now);
    Ok((state, now))
}

impl Create {
    async fn run(self, session: &Session) -> Result<()> {
        let backing = collateral::read(session, &self.mint).await?;
        let decimals = session.scale(backing.decimals);
        // Its own decimals also where amounts are given in base units.
        let defaults = default_terms(backing.decimals)?;
        let Duration(cooldown_secs) = self.cooldown;
        let create = instruction::create_vault(
            session.signer()?,
            self.id,
            &backing,
            cooldown_secs,
            self.manager_fee_bps,
            self.terms.over(defaults, decimals)?,
        );
        session.send(&[create], decimals).await
    }
}

async fn update(session: &Session, vault: Address, terms: Terms) -> Result<()> {
    let (state, decimals) = read(session, &vault).await?;
    // Those that were announced last, in effect or not: they are what would hold by then.
    let terms = terms.over(state.next_terms, decimals.tokens)?;
    let update = instruction::update_vault(session.signer()?, vault, terms);
    session.send(&[update], decimals).await
}

async fn collect(session: &Session, vault: Address, payee: Payee) -> Result<()> {
    let (state, decimals) = read(session, &vault).await?;
    let mut instructions = vec![];
    let payee = match payee {
        Payee::Treasury => PremiumPayee::Treasury,
        Payee::Manager => {
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
    let mut account = print::describe(&state)?;
    let json = print::account_json(&address, &account);
    if state.terms_at == 0 {
        account.fields.remove("next_terms"); // they are in effect
    }
    let text = print::account_text(&address, &account, decimals);
    let (now, _) = accrued(session, &state).await?;
    let share = 10u64.checked_pow(state.decimals.saturating_add(math::SHARE_DECIMALS).into());
    let price = share.map_or("too little to tell".to_owned(), |share| {
        print::scaled(now.worth(share).into(), decimals.tokens)
    });
    let used = print::scaled(utilisation_bps(now.locked, now.assets).into(), 2);
    let text = format!("{text}a share is worth  {price}\nutilisation       {used}%");
    session.print(&json, &text)
}

/// How much of the capital is locked.
pub fn utilisation_bps(locked: u64, assets: u64) -> u64 {
    let used = u128::from(locked) * 10_000 / u128::from(assets.max(1));
    u64::try_from(used).unwrap_or(u64::MAX)
}

async fn list(session: &Session, manager: Option<Address>, mint: Option<Address>) -> Result<()> {
    let manager = manager.map(|manager| (offset_of!(Vault, manager), manager));
    let mint = mint.map(|mint| (offset_of!(Vault, mint), mint));
    let filters: Vec<_> = manager.into_iter().chain(mint).collect();
    let names = [
        "assets",
        "locked",
        "unearned",
        "shares",
        "policies",
        "exposures",
        "mint",
        "manager",
    ];
    let mut list = print::List::new(&names);
    for (address, state) in session.client.list::<Vault>(&filters).await? {
        let decimals = decimals(session, &state);
        list.push(&address, &print::describe(&state)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
