//! Results of the example: tables, checks that all amounts add up, and `summary.json`.
//!
//! Everything is read from the mirror, the API and the chain, nothing from the scenario.

mod api;
mod balances;
mod insurance;
mod summary;
mod table;

use std::{fs, time::Duration};

use anyhow::{Context, ensure};
use backon::Retryable;
use driftshield_sdk::{Config, address};
use sqlx::PgPool;

use self::{
    summary::{MarketSummary, OracleSummary, SaleSummary, Summary, WindowSummary},
    table::{drift, print_table, tokens},
};
use super::{scenario::SILENT_ORACLE, state::Example};
use crate::{console::print_line, poll};

const MIRROR_TIMEOUT: Duration = Duration::from_secs(30);

/// Prints and checks the results and writes `summary.json`.
pub async fn write(example: &Example<'_>) -> anyhow::Result<()> {
    let localnet = example.localnet;
    let pool = PgPool::connect(&localnet.database_url)
        .await
        .context("connecting to the database")?;
    wait_for_mirror(&pool, example).await?;

    let mut verify = localnet.command("indexer");
    verify.arg("verify").args(["--rpc-url", &localnet.rpc_url]);
    verify.args(["--database-url", &localnet.database_url]);
    let verification = localnet.run(verify).await?;

    let api = api::Api::new(localnet)?;
    let summary = Summary {
        windows: summary::windows(&pool, &example.model).await?,
        markets: summary::markets(&pool, &example.markets).await?,
        policies: api.policies(&example.vault).await?,
        vaults: vec![api.vault(&example.vault).await?],
        oracles: summary::oracles(&pool, &example.model).await?,
        sales: summary::sales(&pool, &example.markets).await?,
    };
    print_windows(&summary.windows);
    print_markets(&summary.markets);
    print_sales(example, &summary.sales)?;
    print_payouts(example, &summary.markets);
    insurance::print_policies(example, &summary.policies, &summary.windows)?;
    insurance::print_vaults(example, &summary.vaults, &summary.policies).await?;
    print_oracles(example, &summary.oracles);
    check_silence(example, &summary.oracles)?;
    check_stakes(&summary.markets)?;
    let total = balances::print_balances(&pool, example).await?;
    check_supply(example, total).await?;
    let totals = verification.lines().last().unwrap_or_default();
    print_line(&format!("Mirror compared with the chain: {totals}."));

    let path = localnet.directory.join("summary.json");
    fs::write(&path, serde_json::to_vec_pretty(&summary)?)
        .with_context(|| format!("writing {}", path.display()))?;
    print_line(&format!("wrote {}", path.display()));
    Ok(())
}

/// Waits until the mirror has reached the current slot of the chain.
async fn wait_for_mirror(pool: &PgPool, example: &Example<'_>) -> anyhow::Result<()> {
    let slot = example.client.rpc().get_slot().await? as i64;
    let check = || async {
        let reached: Option<i64> = sqlx::query_scalar("select slot from chain.cursor")
            .fetch_optional(pool)
            .await?;
        ensure!(
            reached.is_some_and(|reached| slot <= reached),
            "the mirror is at slot {reached:?}, but the chain is at {slot}: see indexer.log"
        );
        Ok(())
    };
    check.retry(poll::schedule(MIRROR_TIMEOUT)).await
}

fn print_windows(windows: &[WindowSummary]) {
    let rows = windows.iter().map(|window| {
        let counts = window.counts.iter().map(u32::to_string).collect::<Vec<_>>();
        let (number, value) = (window.window.to_string(), drift(window.value_micro));
        vec![number, value, window.state.clone(), counts.join(" ")]
    });
    print_table(
        "Windows",
        &["window", "drift", "state", "rows by bin"],
        rows,
    );
}

fn print_markets(markets: &[MarketSummary]) {
    let rows = markets.iter().map(|market| {
        let thresholds = market.thresholds_micro.iter().map(|&value| drift(value));
        let stakes = market.stakes.iter().map(|&stake| tokens(stake));
        vec![
            market.question.clone(),
            thresholds.collect::<Vec<_>>().join(" "),
            stakes.collect::<Vec<_>>().join(" | "),
            market.state.clone(),
            match market.outcome {
                Some(outcome) => format!("{outcome} (at {})", drift(market.value_micro)),
                None => "none".into(),
            },
            tokens(market.fees),
            market.dust.to_string(),
        ]
    });
    let header = [
        "market",
        "thresholds",
        "stakes",
        "state",
        "outcome",
        "fees",
        "dust",
    ];
    print_table("Markets", &header, rows);
}

/// Prints the sales of stakes. Fails if one was not paid at its price, rounded up.
fn print_sales(example: &Example<'_>, sales: &[SaleSummary]) -> anyhow::Result<()> {
    let rows = sales.iter().map(|sale| {
        vec![
            example.name_of(&sale.seller).to_owned(),
            example.name_of(&sale.buyer).to_owned(),
            sale.outcome.to_string(),
            tokens(sale.amount),
            format!("{}.{:03}", sale.price / 1_000, sale.price % 1_000),
            tokens(sale.paid),
        ]
    });
    let header = ["seller", "buyer", "outcome", "stake", "price", "paid"];
    print_table("Sales of stakes", &header, rows);
    for sale in sales {
        let exact = (u128::from(sale.amount) * u128::from(sale.price)).div_ceil(1_000);
        ensure!(
            u128::from(sale.paid) == exact,
            "{} paid {} for a stake, but its price is {exact}",
            sale.buyer,
            sale.paid
        );
    }
    Ok(())
}

fn print_payouts(example: &Example<'_>, markets: &[MarketSummary]) {
    let rows = markets.iter().flat_map(|market| {
        market.payouts.iter().map(|payout| {
            let stakes = payout.stakes.iter().map(|&stake| tokens(stake));
            vec![
                market.question.clone(),
                example.name_of(&payout.owner).to_owned(),
                stakes.collect::<Vec<_>>().join(" | "),
                tokens(payout.paid),
            ]
        })
    });
    print_table("Payouts", &["market", "owner", "stakes", "paid"], rows);
}

fn print_oracles(example: &Example<'_>, oracles: &[OracleSummary]) {
    let rows = oracles.iter().map(|oracle| {
        vec![
            example.name_of(&oracle.oracle).to_owned(),
            tokens(oracle.bonded),
            tokens(oracle.rewarded),
            tokens(oracle.penalised),
            oracle.submitted.to_string(),
            oracle.missed.to_string(),
        ]
    });
    let header = [
        "oracle",
        "bonded",
        "rewarded",
        "penalised",
        "submitted",
        "missed",
    ];
    print_table("Oracles", &header, rows);
}

/// Checks that the silent oracle has paid for windows that it missed.
fn check_silence(example: &Example<'_>, oracles: &[OracleSummary]) -> anyhow::Result<()> {
    let is_silent = |oracle: &&OracleSummary| example.name_of(&oracle.oracle) == SILENT_ORACLE;
    let silent = oracles.iter().find(is_silent);
    ensure!(
        silent.is_some_and(|oracle| 0 < oracle.missed && 0 < oracle.penalised),
        "{SILENT_ORACLE} has not paid for its silence"
    );
    Ok(())
}

/// Checks for each market that payouts, fees and dust add up to the stakes.
fn check_stakes(markets: &[MarketSummary]) -> anyhow::Result<()> {
    for market in markets {
        let staked: u64 = market.stakes.iter().sum();
        let paid: u64 = market.payouts.iter().map(|payout| payout.paid).sum();
        ensure!(
            staked == paid + market.fees + market.dust,
            "market {}: {staked} staked, but {paid} paid plus {} fees plus {} dust",
            market.market,
            market.fees,
            market.dust
        );
    }
    Ok(())
}

/// Checks that the balances add up to the supply.
async fn check_supply(example: &Example<'_>, total: u64) -> anyhow::Result<()> {
    ensure!(
        total == example.supply,
        "the balances add up to {total} base units, but {} were minted",
        example.supply
    );
    let config: Config = example.client.get(&address::config()).await?;
    print_line(&format!(
        "\n{} tokens minted, and the balances add up to them. \
         Protocol fee: {} bps of the losing stakes, {} bps of the premiums.",
        tokens(example.supply),
        config.params.protocol_fee_bps,
        config.params.premium_fee_bps
    ));
    Ok(())
}
