//! Where accounts are.

use anchor_lang::Address;
use anyhow::Result;
use clap::Subcommand;
use driftshield_sdk::address;
use serde_json::json;

use crate::send::Session;

#[derive(Subcommand)]
pub enum Command {
    /// Roles and settings
    Config,
    /// A token's terms
    Collateral { mint: Address },
    /// The token account of the protocol's earnings in a token
    Treasury { mint: Address },
    /// A model, by its owner and number
    Model { owner: Address, id: u64 },
    /// The token account of a model's bonds
    BondVault { model: Address },
    /// An oracle's seat on a model
    Seat { model: Address, oracle: Address },
    /// A window's receipt
    Receipt { model: Address, window: u64 },
    /// A market, by its creator and number
    Market { creator: Address, id: u64 },
    /// The token account of a market's stakes
    MarketVault { market: Address },
    /// An owner's position in a market
    Position { market: Address, owner: Address },
    /// A vault, by its manager and number
    Vault { manager: Address, id: u64 },
    /// The token account of a vault's capital and premiums
    VaultTokens { vault: Address },
    /// The mint of a vault's shares
    ShareMint { vault: Address },
    /// The token account of the shares that are asked back of a vault
    Escrow { vault: Address },
    /// That a vault covers a model
    Exposure { vault: Address, model: Address },
    /// The shares that an owner has asked back of a vault
    WithdrawRequest { vault: Address, owner: Address },
    /// A policy, by its vault, holder and number
    Policy {
        vault: Address,
        holder: Address,
        id: u64,
    },
    /// What a holder lets take the premiums of renewals
    RenewalAuthority { holder: Address },
    /// An owner's associated token account, where it is paid
    TokenAccount { owner: Address, mint: Address },
    /// The signer's own address
    Signer,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        let address = match self {
            Self::Config => address::config(),
            Self::Collateral { mint } => address::collateral(&mint),
            Self::Treasury { mint } => address::treasury(&address::collateral(&mint)),
            Self::Model { owner, id } => address::model(&owner, id),
            Self::BondVault { model } => address::bond_vault(&model),
            Self::Seat { model, oracle } => address::seat(&model, &oracle),
            Self::Receipt { model, window } => address::receipt(&model, window),
            Self::Market { creator, id } => address::market(&creator, id),
            Self::MarketVault { market } => address::market_vault(&market),
            Self::Position { market, owner } => address::position(&market, &owner),
            Self::Vault { manager, id } => address::vault(&manager, id),
            Self::VaultTokens { vault } => address::vault_tokens(&vault),
            Self::ShareMint { vault } => address::share_mint(&vault),
            Self::Escrow { vault } => address::escrow(&vault),
            Self::Exposure { vault, model } => address::exposure(&vault, &model),
            Self::WithdrawRequest { vault, owner } => address::withdraw_request(&vault, &owner),
            Self::Policy { vault, holder, id } => address::policy(&vault, &holder, id),
            Self::RenewalAuthority { holder } => address::renewal_authority(&holder),
            Self::TokenAccount { owner, mint } => {
                let program = session.client.token_program(&mint).await?;
                address::token_account(&owner, &mint, program)
            }
            Self::Signer => session.signer()?,
        };
        session.print(
            &json!({ "address": address.to_string() }),
            &address.to_string(),
        )
    }
}
