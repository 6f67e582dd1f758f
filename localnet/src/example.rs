//! The example: a model's monitoring data go in, and winners and policy holders are paid.
//!
//! Every step runs a program as a user would: `crank spec` cuts the bins; `driftshield` registers
//! the model, bonds oracles, opens markets, bets, provides capital and buys cover; three `crank`
//! processes measure windows, submit receipts, settle and pay. This module decides only what to run
//! and when.

mod cranks;
mod insurance;
mod markets;
mod report;
mod scenario;
mod setup;
mod state;
mod tour;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use driftshield_sdk::{Entry, Vault};

use crate::{console::print_line, network::Localnet, options::Options};
use scenario::SALES;
use state::Example;

/// Runs the example to its end, prints its results and addresses to try, and writes `tour.sh` and `summary.json`
/// to the network's directory.
pub async fn run(localnet: &Localnet, options: &Options) -> anyhow::Result<()> {
    let mut example = Example::prepare(localnet, options).await?;
    example.set_up_protocol().await?;
    example.register_model().await?;
    example.create_markets().await?;
    example.place_bets(0).await?;
    example.start_cranks()?;
    example.open_vault().await?;
    run_until_settled(&mut example).await?;
    // Before the report, whose file marks the end of the example.
    let addresses = tour::write(&example)?;
    report::write(&example).await?;
    print_line(&addresses);
    Ok(())
}

/// Fails if the directory lacks a file of the example's data.
pub fn check_data(directory: &Path) -> anyhow::Result<()> {
    for name in ["reference.parquet", "analysis.parquet"] {
        let file = directory.join(name);
        ensure!(
            file.is_file(),
            "{} is missing: --data needs a directory with reference.parquet and analysis.parquet",
            file.display()
        );
    }
    Ok(())
}

/// Places bets, makes sales and takes the steps of the vault plans when they are due, until the cranks have
/// closed every market and have nothing left to do for the vault.
async fn run_until_settled(example: &mut Example<'_>) -> anyhow::Result<()> {
    let started = Instant::now();
    let timeout = Duration::from_secs(120 + 4 * (example.windows + 2) * example.window_secs);
    let mut last_progress = None;
    loop {
        example.localnet.check_children()?;
        let entries = example.entries().await?;
        let settled = entries
            .iter()
            .filter(|(_, entry)| *entry != Entry::Open)
            .count();
        let received = entries
            .iter()
            .map(|(window, _)| window + 1)
            .max()
            .unwrap_or(0);
        let percent = 100 * received / example.windows;
        example.place_bets(percent).await?;
        example.make_sales(percent).await?;
        example.silence_oracle(percent).await?;
        let open_markets = example.count_open_markets().await?;
        // The last market closes after all windows with data: no step is due later.
        if open_markets > 0 {
            example.take_vault_steps(percent).await?;
        }
        let vault: Vault = example.client.get(&example.vault).await?;
        let progress = Some((settled, open_markets, vault.policies));
        if last_progress != progress {
            last_progress = progress;
            print_line(&format!(
                "{settled} of {} windows settled; open: {open_markets} of {} markets, {} policies",
                example.windows,
                example.markets.len(),
                vault.policies
            ));
        }
        if open_markets == 0 && is_idle(&vault) {
            let made = example.sales_made;
            ensure!(made == SALES.len(), "only {made} sales of stakes were made");
            return Ok(());
        }
        if timeout < started.elapsed() {
            bail!(
                "the example is not finished after {timeout:?}: see the logs in {}",
                example.localnet.log_directory().display()
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Whether the cranks have nothing left to do for the vault.
fn is_idle(vault: &Vault) -> bool {
    let pending = [
        vault.policies,
        vault.requests,
        vault.protocol_credit,
        vault.manager_credit,
    ];
    pending == [0; 4]
}
