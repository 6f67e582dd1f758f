//! Addresses of the program's accounts.

use anchor_lang::Address;
use anchor_spl::associated_token;
use driftshield::{TokenProgram, Vault, accounts};

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
    token_pda(b"treasury", collateral)
}

pub fn model(owner: &Address, id: u64) -> Address {
    accounts::RegisterModel::find_model_address(owner, &id.to_le_bytes()).0
}

/// The token account that holds a model's bonds.
pub fn bond_vault(model: &Address) -> Address {
    token_pda(b"bonds", model)
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
    token_pda(b"market_vault", market)
}

pub fn position(market: &Address, owner: &Address) -> Address {
    accounts::PlaceBet::find_position_address(market, owner).0
}

pub fn vault(manager: &Address, id: u64) -> Address {
    accounts::CreateVault::find_vault_address(manager, &id.to_le_bytes()).0
}

/// The token account that holds a vault's capital.
pub fn vault_tokens(vault: &Address) -> Address {
    token_pda(b"vault_tokens", vault)
}

/// The mint of a vault's shares.
pub fn share_mint(vault: &Address) -> Address {
    token_pda(b"shares", vault)
}

/// The token account that holds the shares that are asked back of a vault.
pub fn escrow(vault: &Address) -> Address {
    token_pda(b"escrow", vault)
}

pub fn exposure(vault: &Address, model: &Address) -> Address {
    accounts::ListModel::find_exposure_address(vault, model).0
}

pub fn withdraw_request(vault: &Address, owner: &Address) -> Address {
    accounts::RequestWithdraw::find_request_address(vault, owner).0
}

pub fn policy(vault: &Address, holder: &Address, id: u64) -> Address {
    accounts::BuyPolicy::find_policy_address(vault, holder, &id.to_le_bytes()).0
}

/// What a holder delegates the premiums of renewals to.
pub fn renewal_authority(holder: &Address) -> Address {
    accounts::RenewPolicy::find_renewal_address(holder).0
}

/// Where an owner is paid: its associated token account.
pub fn token_account(owner: &Address, mint: &Address, program: TokenProgram) -> Address {
    let seeds = [owner.as_ref(), program.id().as_ref(), mint.as_ref()].map(<[u8]>::to_vec);
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    anchor_lang::find_program_address(&seeds, &associated_token::ID).0
}

/// Where an owner gets a vault's shares, whose mint is of SPL Token.
pub fn share_account(owner: &Address, vault: &Vault) -> Address {
    token_account(owner, &vault.share_mint, TokenProgram::SplToken)
}

/// A token account or mint that serves another account of the program.
fn token_pda(seed: &[u8], owner: &Address) -> Address {
    anchor_lang::find_program_address(&[seed, owner.as_ref()], &driftshield::ID).0
}
