//! A program that pauses itself while a model drifts: an example of a consumer of
//! `driftshield-feed`.
//!
//! Its only operation counts how often it was called. It is refused while one of the model's last
//! windows drifted further than the switch allows or has no value, and while the model's values are
//! too old, too insecure, or those of another version.

use anchor_lang::prelude::*;
use driftshield_feed::{
    Account as FeedAccount, Error as FeedError, Limits, Model, Page, Pin, Window,
};

declare_id!("Pausab1e11111111111111111111111111111111111");

/// The errors of `driftshield_feed` have the codes from this number on.
const FEED_ERRORS: u32 = 7_000;
/// Most windows that a switch can look back on: they lie in at most two pages.
const MAX_WINDOWS: u64 = 30;

#[error_code]
#[derive(Debug, PartialEq, Eq)]
pub enum PausableError {
    #[msg("The model drifts: wait until its last windows are within the limit")]
    Drifted,
    #[msg("A window has no value: wait until the last windows are all final")]
    Unmeasured,
    #[msg("The limit is below the model's noise floor: choose a higher one")]
    LimitBelowNoise,
    #[msg("The number of windows is out of range: choose 1 to 30")]
    InvalidWindows,
}

/// When the operation is paused. Whoever creates the switch chooses it, and it never changes.
///
/// Address: PDA of `["switch", creator]`.
#[account]
pub struct Switch {
    /// The model to watch.
    pub model: Address,
    /// Drift, in micro-units, that pauses the operation.
    pub limit: u64,
    /// Number of the last windows that must all be below the limit.
    pub windows: u64,
    pub max_age_secs: u64,
    pub min_security: u64,
    /// Number of operations so far.
    pub operations: u64,
    /// The model's version that the creator has reviewed.
    pub version: u32,
    pub reserved: [u8; 4],
}

/// Terms of a switch; see [`Switch`].
#[derive(Clone, Debug, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct Terms {
    pub version: u32,
    pub limit: u64,
    pub windows: u64,
    pub max_age_secs: u64,
    pub min_security: u64,
}

#[program]
pub mod pausable {
    use super::*;

    /// Creates a switch for a model.
    #[discrim = 0]
    pub fn create(ctx: &mut Context<Create>, terms: Terms) -> Result<()> {
        ctx.accounts.create(&terms)
    }

    /// Does what the program is for, unless it is paused. Anyone may call it. Remaining accounts: the
    /// model's pages of the last windows, at most two.
    #[discrim = 1]
    pub fn operate(ctx: &mut Context<Operate>) -> Result<()> {
        let pages = ctx.remaining_accounts()?;
        ctx.accounts.operate(&pages)
    }
}

#[derive(Accounts)]
pub struct Create {
    #[account(mut)]
    pub creator: Signer,
    #[account(
        init,
        payer = creator,
        seeds = [b"switch", creator.address().as_ref()],
        bump
    )]
    pub switch: Account<Switch>,
    pub model: UncheckedAccount,
    pub system_program: Program<System>,
}

impl Create {
    fn create(&mut self, terms: &Terms) -> Result<()> {
        let pin = Pin {
            model: self.model.address().to_bytes(),
            version: terms.version,
        };
        let data = self.model.account().try_borrow()?;
        let model =
            Model::load(feed_account(self.model.account(), &data), &pin).map_err(refused)?;
        require!(
            model.noise_floor() <= terms.limit,
            PausableError::LimitBelowNoise
        );
        require!(
            (1..=MAX_WINDOWS).contains(&terms.windows),
            PausableError::InvalidWindows
        );
        *self.switch = Switch {
            model: *self.model.address(),
            limit: terms.limit,
            windows: terms.windows,
            max_age_secs: terms.max_age_secs,
            min_security: terms.min_security,
            operations: 0,
            version: terms.version,
            reserved: [0; 4],
        };
        Ok(())
    }
}

#[derive(Accounts)]
pub struct Operate {
    #[account(mut)]
    pub switch: Account<Switch>,
    pub model: UncheckedAccount,
}

impl Operate {
    fn operate(&mut self, pages: &[AccountView]) -> Result<()> {
        self.require_calm(pages)?;
        self.switch.operations += 1;
        Ok(())
    }

    /// Refuses while the model drifts, or while nobody can say that it does not.
    fn require_calm(&self, pages: &[AccountView]) -> Result<()> {
        let switch = &self.switch;
        let pin = Pin {
            model: switch.model.to_bytes(),
            version: switch.version,
        };
        let limits = Limits {
            max_age_secs: switch.max_age_secs,
            min_security: switch.min_security,
        };
        let now = Clock::get()?.unix_timestamp;

        let data = self.model.account().try_borrow()?;
        let model =
            Model::load(feed_account(self.model.account(), &data), &pin).map_err(refused)?;
        let current = model.current(now, &limits).map_err(refused)?;
        let data = pages.iter().map(AccountView::try_borrow);
        let data = data.collect::<core::result::Result<Vec<_>, _>>()?;
        let pages = pages.iter().zip(&data);
        let pages = pages.map(|(page, data)| Page::load(feed_account(page, data)));
        let pages = pages
            .collect::<core::result::Result<Vec<_>, _>>()
            .map_err(refused)?;
        for window in current.windows(switch.windows).map_err(refused)? {
            match model.window(&pages, window).map_err(refused)? {
                Window::Final(value) if value < switch.limit => {}
                Window::Final(_) => return Err(PausableError::Drifted.into()),
                // Nobody knows whether the model drifted: stay on the safe side.
                Window::None | Window::Open | Window::Void | Window::Thin => {
                    return Err(PausableError::Unmeasured.into());
                }
            }
        }
        Ok(())
    }
}

fn feed_account<'a>(view: &'a AccountView, data: &'a [u8]) -> FeedAccount<'a> {
    FeedAccount {
        address: view.address().as_array(),
        owner: view.owner().as_array(),
        data,
    }
}

fn refused(error: FeedError) -> Error {
    Error::Custom(FEED_ERRORS + error as u32)
}
