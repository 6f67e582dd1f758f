//! Addresses of the example, for a tour of the API.

use std::fs;

use anyhow::Context;
use driftshield_sdk::rpc::Signer;

use super::{scenario::BETTORS, state::Example};

/// File with the addresses, which a shell can source.
const FILE: &str = "tour.sh";

/// Writes the addresses as variables to `tour.sh` in the network's directory. Returns what to print about them.
pub fn write(example: &Example<'_>) -> anyhow::Result<String> {
    let localnet = example.localnet;
    let api = localnet
        .api_url
        .as_deref()
        .context("the API is not running")?;
    let bettors = BETTORS.first().context("the example has no bettor")?;
    let bettor = example
        .participants
        .iter()
        .find(|participant| participant.name == *bettors);
    let bettor = bettor.context("the bettor is unknown")?;
    let market = example
        .markets
        .first()
        .context("the example has no market")?;
    let variables = format!(
        "API={api}/api/v1\nMODEL={}\nMARKET={market}\nVAULT={}\nWALLET={}\n",
        example.model,
        example.vault,
        bettor.key.pubkey()
    );
    let file = localnet.directory.join(FILE);
    fs::write(&file, &variables).with_context(|| format!("writing {}", file.display()))?;
    Ok(format!(
        "\nAddresses to try, as in the README's tour; `. {}` sets them:\n{variables}",
        file.display()
    ))
}
