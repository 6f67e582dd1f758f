//! What is in a wallet itself, beside what the program keeps for it: read from the RPC node, at a slot of its own.

use driftshield_sdk::{Address, TokenProgram, address, rpc::Accounts};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;

use super::balance::Balance;
use crate::{bytes::Key, problem::Problem, transactions::Chain, values::Scaled};

/// Decimals of SOL.
const SOL_DECIMALS: u8 = 9;
/// Most tokens that are read: with the wallet itself, as many accounts as a node returns at once.
const MAX_TOKENS: i64 = 99;

/// SOL and tokens of a wallet, as the RPC node has them.
#[derive(Serialize, ToSchema)]
pub struct OnChain {
    /// Slot of the node's state. It can be before or after that of the mirror.
    slot: u64,
    /// In SOL; `raw` is in lamports.
    sol: Scaled,
    /// Balances of the wallet's associated token accounts: of each registered collateral, and of the shares under
    /// `shares`. Accounts that are empty or don't exist are left out.
    tokens: Vec<TokenInWallet>,
}

#[derive(Serialize, ToSchema)]
struct TokenInWallet {
    mint: Key,
    /// The associated token account.
    account: Key,
    amount: Scaled,
    /// The vault whose shares the tokens are; null for collateral.
    vault: Option<Key>,
}

/// A token that the wallet may have.
pub struct Token {
    mint: Address,
    program: TokenProgram,
    decimals: u8,
    vault: Option<Key>,
}

#[derive(FromRow)]
struct CollateralRow {
    mint: Key,
    token_program: String,
    decimals: i16,
}

/// The tokens that a wallet with this balance may have.
pub async fn tokens(db: &mut PgConnection, balance: &Balance) -> Result<Vec<Token>, sqlx::Error> {
    let collateral: Vec<CollateralRow> = sqlx::query_as(
        "select mint, token_program, decimals from chain.collateral where is_current
         order by address, life limit $1",
    )
    .bind(MAX_TOKENS)
    .fetch_all(db)
    .await?;
    let collateral = collateral.into_iter().map(|row| Token {
        mint: row.mint.address(),
        program: match row.token_program.as_str() {
            "token_2022" => TokenProgram::Token2022,
            _ => TokenProgram::SplToken,
        },
        decimals: u8::try_from(row.decimals).unwrap_or(0),
        vault: None,
    });
    let shares = balance.shares.iter().map(|shares| Token {
        mint: address::share_mint(&shares.vault.address()),
        program: TokenProgram::SplToken,
        decimals: shares.decimals,
        vault: Some(shares.vault),
    });
    let most = usize::try_from(MAX_TOKENS).unwrap_or(usize::MAX);
    Ok(collateral.chain(shares).take(most).collect())
}

/// Reads the wallet and its token accounts.
///
/// # Errors
///
/// If no node is configured, or the node doesn't answer.
pub async fn read(chain: &Chain, wallet: Address, tokens: &[Token]) -> Result<OnChain, Problem> {
    let of_tokens = tokens
        .iter()
        .map(|token| address::token_account(&wallet, &token.mint, token.program));
    let addresses: Vec<_> = std::iter::once(wallet).chain(of_tokens).collect();
    let accounts = chain.view(None)?.accounts(&addresses).await?;
    let in_wallet = tokens.iter().zip(&addresses[1..]);
    let in_wallet = in_wallet.filter_map(|(token, account)| token.found(&accounts, account));
    Ok(OnChain {
        slot: accounts.slot,
        sol: Scaled::new(accounts.lamports(&wallet), SOL_DECIMALS),
        tokens: in_wallet.collect(),
    })
}

impl Token {
    /// The balance of the token account; `None` if it is empty, doesn't exist, or isn't a token account.
    fn found(&self, accounts: &Accounts, account: &Address) -> Option<TokenInWallet> {
        let found = accounts.token_account(account).ok()??;
        (0 < found.amount).then(|| TokenInWallet {
            mint: self.mint.into(),
            account: (*account).into(),
            amount: Scaled::new(found.amount, self.decimals),
            vault: self.vault,
        })
    }
}
