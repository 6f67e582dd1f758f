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
