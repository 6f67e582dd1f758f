//! `driftshield address`: addresses of accounts.

use anchor_lang::Address;
use anyhow::Result;
use clap::Subcommand;
use driftshield_sdk::address;
use serde_json::json;

use crate::session::Session;

#[derive(Subcommand)]
pub enum Command {
    /// The program's roles and settings
    Config,
    /// A token's terms as collateral
    Collateral { mint: Address },
    /// Token account of the protocol's earnings in a token
    Treasury { mint: Address },
    /// A model, by its owner and id
    Model { owner: Address, id: u64 },
    /// Token account of a model's bonds
    BondVault { model: Address },
    /// An oracle's seat on a model
    Seat { model: Address, oracle: Address },
    /// A window's receipt
    Receipt { model: Address, window: u64 },
    /// A page of a model's series: the windows from 256 times its index on
    Series { model: Address, page: u64 },
    /// A market, by its creator and id
    Market { creator: Address, id: u64 },
    /// Token account of a market's stakes
    MarketVault { market: Address },
    /// An owner's position in a market
    Position { market: Address, owner: Address },
    /// A vault, by its manager and id
    Vault { manager: Address, id: u64 },
    /// Token account of a vault's capital and premiums
    VaultTokens { vault: Address },
    /// Mint of a vault's shares
    ShareMint { vault: Address },
    /// A vault's listing of a model
    Exposure { vault: Address, model: Address },
    /// An owner's withdrawal request to a vault
    WithdrawRequest { vault: Address, owner: Address },
    /// A policy, by its vault, holder and id
    Policy {
        vault: Address,
        holder: Address,
        id: u64,
    },
    /// The token delegate that a holder approves for the premiums of renewals
    RenewalAuthority { holder: Address },
    /// An owner's associated token account, which payouts go to
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
            Self::Series { model, page } => address::series_page(&model, page),
            Self::Market { creator, id } => address::market(&creator, id),
            Self::MarketVault { market } => address::market_vault(&market),
            Self::Position { market, owner } => address::position(&market, &owner),
            Self::Vault { manager, id } => address::vault(&manager, id),
            Self::VaultTokens { vault } => address::vault_tokens(&vault),
            Self::ShareMint { vault } => address::share_mint(&vault),
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
