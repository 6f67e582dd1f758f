//! Addresses of the program's accounts, token accounts, mints and authorities.

use anchor_lang::Address;
use driftshield::{Series, TokenProgram, Vault, accounts};
use solana_loader_v3_interface::get_program_data_address;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;

/// The `Config` account. There is only one.
pub fn config() -> Address {
    accounts::Initialize::find_config_address().0
}

/// The account in which the upgradeable loader stores the program's code and upgrade authority.
pub fn program_data() -> Address {
    get_program_data_address(&driftshield::ID)
}

/// The PDA that signs the program's event instructions.
pub fn event_authority() -> Address {
    pda(&[b"__event_authority"])
}

pub fn collateral(mint: &Address) -> Address {
    accounts::RegisterCollateral::find_collateral_address(mint).0
}

/// The token account that holds the protocol's earnings in a collateral.
pub fn treasury(collateral: &Address) -> Address {
    token_pda(b"treasury", collateral)
}

pub fn model(owner: &Address, id: u64) -> Address {
    accounts::RegisterModel::find_model_address(owner, &id.to_le_bytes()).0
}

/// The token account that holds the bonds of a model's oracles and challengers.
pub fn bond_vault(model: &Address) -> Address {
    token_pda(b"bonds", model)
}

pub fn seat(model: &Address, oracle: &Address) -> Address {
    pda(&[b"seat", model.as_ref(), oracle.as_ref()])
}

pub fn receipt(model: &Address, window: u64) -> Address {
    pda(&[b"receipt", model.as_ref(), &window.to_le_bytes()])
}

/// The page of a model's series that holds `window`.
pub fn series(model: &Address, window: u64) -> Address {
    series_page(model, Series::page_of(window))
}

/// The page of a model's series with the index `page`.
pub fn series_page(model: &Address, page: u64) -> Address {
    pda(&[b"series", model.as_ref(), &page.to_le_bytes()])
}

pub fn market(creator: &Address, id: u64) -> Address {
    accounts::CreateMarket::find_market_address(creator, &id.to_le_bytes()).0
}

/// The token account that holds the stakes of a market.
pub fn market_vault(market: &Address) -> Address {
    token_pda(b"market_vault", market)
}

pub fn position(market: &Address, owner: &Address) -> Address {
    pda(&[b"position", market.as_ref(), owner.as_ref()])
}

pub fn vault(manager: &Address, id: u64) -> Address {
    accounts::CreateVault::find_vault_address(manager, &id.to_le_bytes()).0
}

/// The token account that holds the capital and the premiums of a vault.
pub fn vault_tokens(vault: &Address) -> Address {
    token_pda(b"vault_tokens", vault)
}

/// The mint of a vault's shares.
pub fn share_mint(vault: &Address) -> Address {
    token_pda(b"shares", vault)
}

pub fn exposure(vault: &Address, model: &Address) -> Address {
    pda(&[b"exposure", vault.as_ref(), model.as_ref()])
}

pub fn withdraw_request(vault: &Address, owner: &Address) -> Address {
    pda(&[b"withdraw", vault.as_ref(), owner.as_ref()])
}

pub fn policy(vault: &Address, holder: &Address, id: u64) -> Address {
    accounts::BuyPolicy::find_policy_address(vault, holder, &id.to_le_bytes()).0
}

/// The PDA that a holder approves as token delegate for the premiums of renewals.
pub fn renewal_authority(holder: &Address) -> Address {
    accounts::RenewPolicy::find_renewal_address(holder).0
}

/// The owner's associated token account for `mint`. It receives the owner's payouts.
pub fn token_account(owner: &Address, mint: &Address, program: TokenProgram) -> Address {
    get_associated_token_address_with_program_id(owner, mint, &program.id())
}

/// The owner's associated token account for a vault's shares. Share mints belong to SPL Token.
pub fn share_account(owner: &Address, vault: &Vault) -> Address {
    token_account(owner, &vault.share_mint, TokenProgram::SplToken)
}

/// A PDA of `seed` and `owner`: a token account or mint that belongs to the account `owner`.
fn token_pda(seed: &[u8], owner: &Address) -> Address {
    pda(&[seed, owner.as_ref()])
}

/// The program's address of `seeds`.
fn pda(seeds: &[&[u8]]) -> Address {
    anchor_lang::find_program_address(seeds, &driftshield::ID).0
}
