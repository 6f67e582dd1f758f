//! Sends or simulates transactions, and prints the results with the emitted events.

use std::{path::Path, time::Duration};

use anchor_lang::Address;
use anyhow::{Result, bail};
use backon::{ConstantBuilder, Retryable};
use driftshield_sdk::{
    Instruction,
    json::{self, Decoded},
    rpc::{self, Keypair, Signature, Signer, Simulation},
};
use serde_json::{Value, json};

use crate::{
    print::{self, Decimals},
    session::Session,
};

/// Maximum number of retries of reading a confirmed transaction. A node can report a transaction
/// as confirmed before `getTransaction` returns it.
const READ_RETRIES: usize = 19;
/// Delay before each retry.
const READ_RETRY_DELAY: Duration = Duration::from_millis(250);

impl Session {
    /// Sends `instructions` in one transaction, waits until it is confirmed, and prints the
    /// signature and the events. With `--dry-run`, simulates the transaction instead and prints the
    /// outcome. Amounts in the events are printed with `decimals`.
    ///
    /// Fails without sending anything if an instruction requires a signer other than the keypair's.
    /// If the events of a confirmed transaction can't be read, prints a warning and no events.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        decimals: impl Into<Decimals>,
    ) -> Result<()> {
        let decimals = decimals.into();
        let keypair = self.keypair()?;
        require_signer(instructions, &keypair.pubkey(), &self.keypair_file)?;
        if self.dry_run {
            return self.simulate(instructions, &keypair, decimals).await;
        }
        let signature = self.client.send(instructions, &[&keypair]).await?;
        let events = match self.events(&signature).await {
            Ok(events) => events,
            Err(error) => {
                eprintln!(
                    "warning: the transaction succeeded, but its events could not be read: {error:#}"
                );
                vec![]
            }
        };
        let text = format!("signature  {signature}\n{}", events_text(&events, decimals));
        let json = json!({
            "signature": signature.to_string(),
            "events": events_json(&events),
        });
        self.print(&json, &text)
    }

    /// Simulates a transaction and prints the outcome. Fails if the transaction would fail.
    async fn simulate(
        &self,
        instructions: &[Instruction],
        keypair: &Keypair,
        decimals: Decimals,
    ) -> Result<()> {
        let simulation = self
            .client
            .simulate(instructions, &keypair.pubkey(), None)
            .await?;
        let Simulation {
            failure,
            logs,
            units,
            ..
        } = simulation;
        let events = decode_events(&simulation.events);
        let text = format!(
            "outcome  {}\nunits    {}\nlogs\n{}{}",
            if failure.is_some() {
                "would fail"
            } else {
                "would succeed"
            },
            units.map_or("unknown".to_owned(), |units| units.to_string()),
            logs.iter()
                .map(|log| format!("  {log}\n"))
                .collect::<String>(),
            events_text(&events, decimals),
        );
        let json = json!({
            "success": failure.is_none(),
            "error": failure.as_ref().map(ToString::to_string),
            "units": units,
            "logs": logs,
            "events": events_json(&events),
        });
        self.print(&json, &text)?;
        match failure {
            Some(failure) => Err(rpc::Error::from(failure).into()),
            None => Ok(()),
        }
    }

    /// Reads the events of a confirmed transaction.
    async fn events(&self, signature: &Signature) -> Result<Vec<Decoded>> {
        let read = || self.client.transaction_event_data(signature);
        let retries = ConstantBuilder::default()
            .with_delay(READ_RETRY_DELAY)
            .with_max_times(READ_RETRIES);
        let (_slot, event_data) = read
            .retry(retries)
            .when(|error| matches!(error, rpc::Error::Rpc(_)))
            .await?;
        Ok(decode_events(&event_data))
    }
}

/// Fails if an instruction requires a signer other than `signer`. Otherwise signing fails with an
/// error that does not name the key.
fn require_signer(
    instructions: &[Instruction],
    signer: &Address,
    keypair_file: &Path,
) -> Result<()> {
    let missing = instructions
        .iter()
        .flat_map(|instruction| &instruction.accounts)
        .find(|account| account.is_signer && account.pubkey != *signer);
    if let Some(missing) = missing {
        bail!(
            "the signature of {} is required, but {} is the keypair of {signer}; pass the keypair \
             file of the required key with --keypair",
            missing.pubkey,
            keypair_file.display()
        );
    }
    Ok(())
}

/// Decodes events, each `discriminator ‖ body`. Skips events that cannot be decoded, such as those
/// of a newer program.
fn decode_events(event_data: &[Vec<u8>]) -> Vec<Decoded> {
    let events = event_data.iter().map(|data| json::event(data));
    events.filter_map(Result::ok).collect()
}

fn events_text(events: &[Decoded], decimals: Decimals) -> String {
    let text = |event: &Decoded| format!("\n{}\n{}", event.name, print::fields(event, decimals));
    events.iter().map(text).collect()
}

fn events_json(events: &[Decoded]) -> Vec<Value> {
    let value = |event: &Decoded| json!({ "name": event.name, "fields": event.fields });
    events.iter().map(value).collect()
}
