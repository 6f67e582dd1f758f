use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, token, Account, Collateral, Config, DriftShieldError, Market, Model, Position,
    PositionBought, Purchase,
};

#[event_cpi]
#[derive(Accounts)]
pub struct BuyPosition {
    /// Pays the seller, and the rent of a new position.
    #[account(mut)]
    pub buyer: Signer,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == market.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(address = market.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, address = seller_position.market @ DriftShieldError::WrongMarket)]
    pub market: Account<Market>,
    /// Receives the rent of its position once no stake is left in it. Another account than the
    /// buyer: no account may be passed twice.
    #[account(mut, address = seller_position.owner @ DriftShieldError::WrongPayee)]
    pub seller: UncheckedAccount,
    /// The seller's `Position`. Closed once no stake is left in it.
    #[account(mut)]
    pub seller_position: Account<Position>,
    /// The buyer's `Position`: PDA of `["position", market, buyer]`. Created here by the buyer's
    /// first bet or purchase in the market.
    #[account(mut)]
    pub position: UncheckedAccount,
    /// The buyer's token account, which pays.
    #[account(mut)]
    pub source: UncheckedAccount,
    /// The seller's associated token account, or any account if the seller signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl BuyPosition {
    pub fn buy_position(
        &mut self,
        outcome: u8,
        amount: u64,
        max_price: u32,
        reports: u32,
        terms_hash: [u8; 32],
    ) -> Result<PositionBought> {
        let purchase = Purchase {
            outcome: usize::from(outcome),
            amount,
            max_price,
            min_amount: self.collateral.terms.min_bet,
        };
        self.market.require_terms(&terms_hash)?;
        self.require_allowed(&purchase, reports)?;
        let now = Clock::get()?.unix_timestamp;
        let (price, paid) = self.seller_position.sell(&purchase, &self.model, now)?;
        let buyer = self.buyer.account();
        let mut position = Position::open(buyer, &self.position, &mut self.market)?;
        position.stakes[purchase.outcome] += amount; // part of the market's total
        self.pay(paid)?;

        let seller_total = self.seller_position.total();
        if seller_total == 0 {
            self.market.positions -= 1;
        }
        let event = PositionBought {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            seller_position: *self.seller_position.address(),
            seller_position_seq: self.seller_position.next_seq(),
            position: *position.address(),
            position_seq: position.next_seq(),
            seller: self.seller_position.owner,
            buyer: position.owner,
            destination: *self.destination.address(),
            outcome,
            amount,
            price,
            paid,
            stake: position.stakes[purchase.outcome],
            seller_stake: self.seller_position.stakes[purchase.outcome],
            seller_ask: self.seller_position.asks[purchase.outcome],
            seller_total,
            positions: self.market.positions,
        };
        if seller_total == 0 {
            self.seller_position.close(*self.seller.account())?;
        }
        Ok(event)
    }

    /// A purchase moves a stake that exists already. It is therefore allowed on a retired model and
    /// in a disabled collateral, which refuse new risk.
    fn require_allowed(&self, purchase: &Purchase, reports: u32) -> Result<()> {
        self.config.require_running(pause::BETS)?;
        self.collateral.require_accepted(self.mint.account())?;
        self.market.require_unsettled()?;
        require!(
            purchase.outcome < self.market.outcomes(),
            DriftShieldError::NoSuchOutcome
        );
        require!(
            !self.model.is_insider(self.buyer.address()),
            DriftShieldError::Insider
        );
        self.model.require_reports(reports)
    }

    /// Pays the seller from the buyer's token account. No token account of the program takes part.
    fn pay(&mut self, amount: u64) -> Result<()> {
        let program = self.token_program.address();
        token::require_destination(&self.seller, &self.destination, program, &self.mint)?;
        token::transfer(
            program,
            &mut self.source,
            &self.mint,
            &mut self.destination,
            self.buyer.cpi_handle(),
            &[],
            amount,
        )
    }
}
