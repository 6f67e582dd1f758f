//! Addresses of the program's accounts.

use anchor_lang::Address;
use anchor_spl::associated_token;
use driftshield::accounts;

/// Of the only `Config`.
pub fn config() -> Address {
    accounts::Initialize::find_config_address().0
}

/// Where the loader keeps the program's code and upgrade authority.
pub fn program_data() -> Address {
    let loader = anchor_lang::address!("BPFLoaderUpgradeab1e11111111111111111111111");
    anchor_lang::find_program_address(&[driftshield::ID.as_ref()], &loader).0
}

/// Signs the program's events.
pub fn event_authority() -> Address {
    anchor_lang::find_program_address(&[b"__event_authority"], &driftshield::ID).0
}

pub fn collateral(mint: &Address) -> Address {
    accounts::RegisterCollateral::find_collateral_address(mint).0
}

/// The token account of a collateral that holds the protocol's earnings.
pub fn treasury(collateral: &Address) -> Address {
    accounts::RegisterCollateral::find_treasury_address(collateral).0
}

pub fn model(owner: &Address, id: u64) -> Address {
    accounts::RegisterModel::find_model_address(owner, &id.to_le_bytes()).0
}

/// The token account that holds a model's bonds.
pub fn bond_vault(model: &Address) -> Address {
    accounts::RegisterModel::find_bond_vault_address(model).0
}

pub fn seat(model: &Address, oracle: &Address) -> Address {
    accounts::Bond::find_seat_address(model, oracle).0
}

pub fn receipt(model: &Address, window: u64) -> Address {
    accounts::SubmitReceipt::find_receipt_address(model, &window.to_le_bytes()).0
}

pub fn market(creator: &Address, id: u64) -> Address {
    accounts::CreateMarket::find_market_address(creator, &id.to_le_bytes()).0
}

/// The token account that holds a market's stakes.
pub fn market_vault(market: &Address) -> Address {
    accounts::CreateMarket::find_vault_address(market).0
}

pub fn position(market: &Address, owner: &Address) -> Address {
    accounts::PlaceBet::find_position_address(market, owner).0
}

/// Where an owner is paid: its associated token account.
pub fn token_account(owner: &Address, mint: &Address) -> Address {
    associated_token::get_associated_token_address(owner, mint)
}
