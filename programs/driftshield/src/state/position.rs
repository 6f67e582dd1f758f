use anchor_lang::{bytemuck, prelude::*};

use super::load_or_create;
use crate::{math, Account, DriftShieldError, Market, Model, MAX_OUTCOMES};

/// One bettor's stakes in a market, and the parts of them that are for sale.
///
/// Address: PDA of `["position", market, owner]`.
#[account]
pub struct Position {
    pub market: Address,
    /// Receives the payout, the proceeds of sales, and the account's rent, which the owner paid.
    pub owner: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Stakes by outcome, in base units.
    pub stakes: [u64; MAX_OUTCOMES],
    /// Asks by outcome. An ask is at most the stake.
    pub asks: [Ask; MAX_OUTCOMES],
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Position>() == 2 * 32 + 8 + 64 + 8 * 24 + 8);

/// An offer to sell a part of a stake to anyone, until the market is settled.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    AnchorSerialize,
    AnchorDeserialize,
    IdlType,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct Ask {
    /// Part of the stake that is for sale, in base units; 0 if there is no ask.
    pub amount: u64,
    /// Unix time from which the ask has fallen.
    pub valid_until: i64,
    /// Price in thousandths of the stake, at least 1.
    pub price: u32,
    /// `Model.reports` that the seller has read. The ask has fallen once the model's number is
    /// another.
    pub reports: u32,
}

impl Ask {
    /// Whether the ask has fallen: it has ended, or oracles, challengers or the arbiter have told
    /// something new about the model since it was set.
    pub fn has_fallen(&self, model: &Model, now: i64) -> bool {
        self.valid_until <= now || self.reports != model.reports
    }

    /// Refuses terms on which nothing can be sold in `market` at `now`.
    fn validate(&self, market: &Market, model: &Model, now: i64) -> Result<()> {
        model.require_reports(self.reports)?;
        require!(1 <= self.price, DriftShieldError::ZeroPrice);
        require!(
            now < self.valid_until && self.valid_until <= market.latest_ask_end(model, now)?,
            DriftShieldError::InvalidAskEnd
        );
        Ok(())
    }
}

/// What a buyer accepts.
pub struct Purchase {
    pub outcome: usize,
    /// Part of the stake to buy, in base units.
    pub amount: u64,
    /// Highest price, in thousandths of the stake.
    pub max_price: u32,
    /// Smallest purchase of less than the whole ask, in base units.
    pub min_amount: u64,
}

impl Position {
    /// Loads `owner`'s position in `market`, or creates it at the owner's expense and counts it.
    pub(crate) fn open(
        owner: &AccountView,
        account: &UncheckedAccount,
        market: &mut Account<Market>,
    ) -> Result<Account<Self>> {
        let (at, key) = (*market.address(), *owner.address());
        let (mut position, bump) = load_or_create(
            owner,
            account,
            [b"position", at.as_ref(), key.as_ref()],
            |position: &Self| position.market == at && position.owner == key,
            DriftShieldError::WrongPosition,
        )?;
        if let Some(bump) = bump {
            position.market = at;
            position.owner = key;
            position.bump = bump;
            market.positions += 1; // every position has a stake: at most the staked base units
        }
        Ok(position)
    }

    /// Returns the sum of all stakes. It is part of the market's total, which fits 64 bits.
    pub fn total(&self) -> u64 {
        self.stakes.iter().sum()
    }

    /// Replaces the ask on `outcome`. With `amount` 0 it removes the ask, whatever its other terms.
    pub fn set_ask(
        &mut self,
        outcome: usize,
        ask: Ask,
        market: &Market,
        model: &Model,
        now: i64,
    ) -> Result<()> {
        market.require_unsettled()?;
        require!(outcome < market.outcomes(), DriftShieldError::NoSuchOutcome);
        if ask.amount == 0 {
            self.asks[outcome] = Ask::default();
            return Ok(());
        }
        require!(
            ask.amount <= self.stakes[outcome],
            DriftShieldError::AskAboveStake
        );
        ask.validate(market, model, now)?;
        self.asks[outcome] = ask;
        Ok(())
    }

    /// Takes the purchased part out of the stake and the ask. Returns the price of the ask, and the
    /// payment in base units, rounded up.
    pub fn sell(&mut self, purchase: &Purchase, model: &Model, now: i64) -> Result<(u32, u64)> {
        let Purchase {
            outcome, amount, ..
        } = *purchase;
        let ask = &mut self.asks[outcome];
        require!(0 < ask.amount, DriftShieldError::NoAsk);
        require!(!ask.has_fallen(model, now), DriftShieldError::AskFallen);
        require!(amount <= ask.amount, DriftShieldError::AboveAsk);
        require!(
            purchase.min_amount <= amount || amount == ask.amount,
            DriftShieldError::PurchaseTooSmall
        );
        let price = ask.price;
        require!(price <= purchase.max_price, DriftShieldError::PriceTooHigh);
        let payment = math::ask_payment(amount, price).ok_or(DriftShieldError::Overflow)?;
        ask.amount -= amount;
        if ask.amount == 0 {
            *ask = Ask::default();
        }
        self.stakes[outcome] -= amount; // an ask is at most the stake
        Ok((price, payment))
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
