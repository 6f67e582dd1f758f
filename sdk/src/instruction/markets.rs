//! Markets and positions.

use std::ops::RangeInclusive;

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield::{
    Ask, FeePayee, ID, Market, MarketTerms, Model, Series, accounts, instruction as data,
};

use super::tokens::token_program_id;
use crate::address;

/// Creates a market. `state` is the model's account.
pub fn create_market(
    creator: Address,
    id: u64,
    model: Address,
    state: &Model,
    terms: MarketTerms,
) -> Instruction {
    data::CreateMarket { id, terms }.to_instruction(accounts::CreateMarketResolved {
        creator,
        config: address::config(),
        model,
        collateral: address::collateral(&state.bond_mint),
        mint: state.bond_mint,
        market: address::market(&creator, id),
        token_program: token_program_id(state.token_program),
        vault: address::market_vault(&address::market(&creator, id)),
        program: ID,
    })
}

/// Cancels a market without bets. The creator may cancel the market at any time, with a signature;
/// anyone may cancel it after betting closes.
pub fn cancel_market(market: Address, state: &Market, creator_signs: bool) -> Instruction {
    let mut instruction = data::CancelMarket {}.to_instruction(close_accounts(market, state));
    instruction.accounts[0].is_signer = creator_signs;
    instruction
}

/// A bet, and what the bettor accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bet {
    pub outcome: u8,
    /// Stake in base units.
    pub amount: u64,
    /// Smallest payout multiple right after the bet, in thousandths of the stake.
    pub min_multiple: u64,
    /// Highest security rent, in base units, which is paid beside the stake.
    pub max_rent: u64,
}

impl Bet {
    /// A bet at any payout multiple and any security rent.
    pub fn unlimited(outcome: u8, amount: u64) -> Self {
        Self {
            outcome,
            amount,
            min_multiple: 0,
            max_rent: u64::MAX,
        }
    }
}

/// Places a bet. `source` is the bettor's token account. Fails if the market's terms differ from
/// those in `state`.
pub fn place_bet(
    bettor: Address,
    market: Address,
    state: &Market,
    source: Address,
    bet: Bet,
) -> Instruction {
    data::PlaceBet {
        outcome: bet.outcome,
        amount: bet.amount,
        min_multiple: bet.min_multiple,
        max_rent: bet.max_rent,
        terms_hash: state.terms_hash,
    }
    .to_instruction(accounts::PlaceBetResolved {
        bettor,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        model: state.model,
        market,
        position: address::position(&market, &bettor),
        source,
        vault: state.vault,
        bond_vault: address::bond_vault(&state.model),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Sets the ask on `outcome` of the owner's position; an ask of amount 0 removes it.
pub fn set_ask(
    owner: Address,
    market: Address,
    state: &Market,
    outcome: u8,
    ask: Ask,
) -> Instruction {
    data::SetAsk { outcome, ask }.to_instruction(accounts::SetAskResolved {
        owner,
        model: state.model,
        market,
        position: address::position(&market, &owner),
        program: ID,
    })
}

/// What a buyer of a stake accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purchase {
    pub outcome: u8,
    /// In base units.
    pub amount: u64,
    /// Highest price, in thousandths of the stake.
    pub max_price: u32,
    /// `Model.reports` that the buyer has read.
    pub reports: u32,
}

/// Buys a part of `seller`'s stake at the price of its ask, and pays to the seller's associated token
/// account. `source` is the buyer's token account. Fails if the market's terms differ from those in
/// `state`.
pub fn buy_position(
    buyer: Address,
    market: Address,
    state: &Market,
    source: Address,
    seller: Address,
    purchase: Purchase,
) -> Instruction {
    data::BuyPosition {
        outcome: purchase.outcome,
        amount: purchase.amount,
        max_price: purchase.max_price,
        reports: purchase.reports,
        terms_hash: state.terms_hash,
    }
    .to_instruction(accounts::BuyPositionResolved {
        buyer,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        model: state.model,
        market,
        seller,
        seller_position: address::position(&market, &seller),
        position: address::position(&market, &buyer),
        source,
        destination: address::token_account(&seller, &state.mint, state.token_program.into()),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Settles all windows that are decided, up to the first one that isn't. Finalize their receipts
/// before.
pub fn settle_market(market: Address, state: &Market) -> Instruction {
    let mut instruction = data::SettleMarket {}.to_instruction(accounts::SettleMarketResolved {
        model: state.model,
        market,
        program: ID,
    });
    instruction
        .accounts
        .extend(pages(&state.model, state.next_window..=state.last_window));
    instruction
}

/// The pages of a model's series that hold `windows`.
pub(super) fn pages(
    model: &Address,
    windows: RangeInclusive<u64>,
) -> impl Iterator<Item = AccountMeta> {
    let model = *model;
    Series::pages_of(windows)
        .map(move |page| AccountMeta::new_readonly(address::series_page(&model, page), false))
}

/// Pays a position's claim to the owner's associated token account, and closes the position.
pub fn claim(owner: Address, market: Address, state: &Market) -> Instruction {
    data::Claim {}.to_instruction(accounts::ClaimResolved {
        owner,
        market,
        position: address::position(&market, &owner),
        vault: state.vault,
        destination: address::token_account(&owner, &state.mint, state.token_program.into()),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Pays a fee to the treasury or to the creator's associated token account.
pub fn collect_fees(market: Address, state: &Market, payee: FeePayee) -> Instruction {
    let collateral = address::collateral(&state.mint);
    data::CollectFees { payee }.to_instruction(accounts::CollectFeesResolved {
        creator: state.creator,
        market,
        collateral,
        vault: state.vault,
        destination: match payee {
            FeePayee::Treasury => address::treasury(&collateral),
            FeePayee::Creator => {
                address::token_account(&state.creator, &state.mint, state.token_program.into())
            }
        },
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

pub fn close_market(market: Address, state: &Market) -> Instruction {
    data::CloseMarket {}.to_instruction(close_accounts(market, state))
}

fn close_accounts(market: Address, state: &Market) -> accounts::CloseMarketResolved {
    let collateral = address::collateral(&state.mint);
    accounts::CloseMarketResolved {
        creator: state.creator,
        market,
        collateral,
        vault: state.vault,
        treasury: address::treasury(&collateral),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    }
}
