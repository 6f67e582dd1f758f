//! Wallets: what they have, what moved for them, and what that realised.

mod balance;
pub mod holdings;
mod movements;
mod on_chain;
mod shares;
mod statement;
mod sync;
pub mod tokens;
mod transactions;

use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InPath, InQuery, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    state::AppState,
};

use balance::Balance;
pub use balance::{payout, worth_of};
use on_chain::OnChain;
use sync::Synced;
pub use transactions::{WalletEvent, page as transactions_page};

/// Routes whose answers depend on events alone.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(transactions))
}

/// Routes whose answers depend on the time, too.
pub fn untagged_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(balance))
        .routes(routes!(statement))
        .routes(routes!(sync))
}

/// What a wallet has in the program, and in itself.
#[derive(Serialize, ToSchema)]
pub struct WalletBalance {
    #[serde(flatten)]
    balance: Balance,
    /// What is in the wallet itself; null if the RPC node can't say it, or the server has none.
    on_chain: Option<OnChain>,
    /// Why `on_chain` is null; null if it is not.
    on_chain_missing: Option<String>,
}

/// Reads what a wallet has.
pub async fn read_balance(
    app: &AppState,
    mut snapshot: Snapshot,
    wallet: &Key,
) -> Result<Reply<WalletBalance>, Problem> {
    let balance = balance::read(&mut snapshot.tx, wallet).await?;
    let tokens = on_chain::tokens(&mut snapshot.tx, &balance).await?;
    // Ends the transaction before the node is asked, which can take seconds.
    let reply = snapshot.reply(balance).await?.untagged();
    let read = on_chain::read(&app.chain, wallet.address(), &tokens).await;
    let (on_chain, on_chain_missing) = match read {
        Ok(on_chain) => (Some(on_chain), None),
        Err(problem) => (None, Some(problem.to_string())),
    };
    Ok(reply.map(|balance| WalletBalance {
        balance,
        on_chain,
        on_chain_missing,
    }))
}

/// What a wallet has in the program, by token: stakes, claimable payouts, cover, shares, requested withdrawals, bonds,
/// fees and rewards, computed by the program's own functions from the mirrored accounts. `on_chain` is what the wallet
/// has in itself.
#[utoipa::path(
    get,
    path = "/wallet/{wallet}/balance",
    tag = "wallets",
    params(("wallet" = Key, Path, description = "Address of the wallet"), MinSlot),
    responses(
        (status = 200, body = WalletBalance),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn balance(
    InPath(wallet): InPath<Key>,
    State(app): State<AppState>,
    snapshot: Snapshot,
) -> Result<Reply<WalletBalance>, Problem> {
    read_balance(&app, snapshot, &wallet).await
}

/// Events in which a wallet has a part, newest first, with what each moved for the wallet.
#[utoipa::path(
    get,
    path = "/wallet/{wallet}/transactions",
    tag = "wallets",
    params(("wallet" = Key, Path, description = "Address of the wallet"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<WalletEvent>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn transactions(
    InPath(wallet): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<WalletEvent>>, Problem> {
    let page = transactions_page(&mut snapshot, &wallet, &query).await?;
    snapshot.reply(page).await
}

/// Time of a statement.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StatementPeriod {
    /// Start (RFC 3339), inclusive; a year of 366 days before `until` by default.
    from: Option<DateTime<Utc>>,
    /// End (RFC 3339), exclusive; right after the mirror's latest block by default.
    until: Option<DateTime<Utc>>,
}

/// Statement of a wallet's movements, oldest first, as comma-separated values (RFC 4180) with a header.
///
/// One row for each movement, with the columns `time` (RFC 3339, UTC; empty if the block has none), `slot`,
/// `signature`, `event_id`, `kind`, `account` (the market, vault or model), `mint`, `amount_in`, `amount_out`, `fee`
/// (security rent, paid in addition to `amount_out`) and `realised_profit` (without `fee`; empty if nothing was
/// realised). Amounts are in whole tokens of `mint`. Kinds and profits are those of `/wallet/{wallet}/transactions`.
/// Events of blocks without a time belong to the time of their neighbours. A statement has the movements of at most
/// 20,000 events: of a wallet with more in that time, `from` and `until` select a part.
#[utoipa::path(
    get,
    path = "/wallet/{wallet}/statement.csv",
    tag = "wallets",
    params(
        ("wallet" = Key, Path, description = "Address of the wallet"),
        StatementPeriod,
        MinSlot
    ),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn statement(
    InPath(wallet): InPath<Key>,
    InQuery(period): InQuery<StatementPeriod>,
    mut snapshot: Snapshot,
) -> Result<Response, Problem> {
    let until = period.until.or_else(|| {
        let latest = snapshot.mirror?.block_time?;
        latest.checked_add_signed(TimeDelta::seconds(1))
    });
    let until = until.unwrap_or(DateTime::UNIX_EPOCH);
    let year = TimeDelta::days(366);
    let from = period
        .from
        .or_else(|| until.checked_sub_signed(year))
        .unwrap_or(DateTime::UNIX_EPOCH);
    let csv = statement::write(&mut snapshot, &wallet, from, until).await?;
    Ok(snapshot.reply(csv).await?.untagged().into_csv())
}

/// Asks the indexer to read the wallet's open accounts again, and waits up to 2 s until the mirror has them: for a
/// client that doubts the mirror. The mirror follows the chain without it.
#[utoipa::path(
    post,
    path = "/wallet/{wallet}/sync",
    tag = "wallets",
    params(("wallet" = Key, Path, description = "Address of the wallet")),
    responses(
        (status = 200, body = Synced),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn sync(
    InPath(wallet): InPath<Key>,
    State(app): State<AppState>,
) -> Result<Reply<Synced>, Problem> {
    let sync = sync::sync(&app, &wallet).await?;
    let snapshot = Snapshot::begin(&app.db).await?;
    Ok(snapshot.reply(sync).await?.untagged())
}
