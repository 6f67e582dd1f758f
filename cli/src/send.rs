//! Builds, simulates and sends transactions, and tells the events that came of them.

use std::{path::PathBuf, time::Duration};

use anchor_lang::{
    Address,
    event::EVENT_IX_TAG_LE,
    solana_program::instruction::{Instruction, error::InstructionError},
};
use anyhow::{Context, Result, bail, ensure};
use driftshield_sdk::{
    TokenProgram, address, instruction,
    json::{self, Decoded},
    rpc::{
        self, Client, Keypair, Signature, Signer, TransactionError, TransactionFailure,
        VersionedTransaction,
    },
};
use serde_json::{Value, json};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::config::RpcTransactionConfig;
use solana_transaction_status_client_types::{
    UiInnerInstructions, UiTransactionEncoding, option_serializer::OptionSerializer,
};

use crate::print::{self, Decimals};

/// How often, and how long apart, a confirmed transaction is asked for before it is given up:
/// nodes know that it is confirmed a moment before they can show it.
const READ_ATTEMPTS: usize = 20;
const READ_PAUSE: Duration = Duration::from_millis(250);

/// What the global options say.
pub struct Session {
    pub client: Client,
    keypair: PathBuf,
    dry_run: bool,
    pub json: bool,
    raw: bool,
}

impl Session {
    pub fn new(url: String, keypair: PathBuf, dry_run: bool, json: bool, raw: bool) -> Self {
        Self {
            client: Client::new(url),
            keypair,
            dry_run,
            json,
            raw,
        }
    }

    fn keypair(&self) -> Result<Keypair> {
        rpc::read_keypair(&self.keypair).map_err(anyhow::Error::msg)
    }

    /// Whoever signs.
    pub fn signer(&self) -> Result<Address> {
        Ok(self.keypair()?.pubkey())
    }

    /// `given`, or whoever signs.
    pub fn or_signer(&self, given: Option<Address>) -> Result<Address> {
        given.map_or_else(|| self.signer(), Ok)
    }

    /// `decimals` of a token, or 0 where amounts are base units.
    pub fn scale(&self, decimals: u8) -> u8 {
        if self.raw { 0 } else { decimals }
    }

    /// With how many decimals amounts of `mint` are written.
    pub async fn decimals(&self, mint: &Address) -> Result<u8> {
        if self.raw {
            return Ok(0);
        }
        let decimals = self.client.decimals(mint).await;
        decimals.with_context(|| format!("could not read the mint {mint}"))
    }

    /// The token account that pays `units` of `mint`: `given`, or the signer's associated one.
    /// Refuses one that holds less.
    pub async fn source(
        &self,
        given: Option<Address>,
        mint: &Address,
        program: impl Into<TokenProgram>,
        units: u64,
        decimals: u8,
    ) -> Result<Address> {
        let owner = self.signer()?;
        let source = given.unwrap_or_else(|| address::token_account(&owner, mint, program.into()));
        let held = self.client.token_balance(&source).await?;
        ensure!(
            units <= held,
            "the token account {source} holds {} and has to pay {}: fund it, or name another with --source",
            print::scaled(held.into(), decimals),
            print::scaled(units.into(), decimals),
        );
        Ok(source)
    }

    /// Makes `owner`'s associated token account at the signer's expense, if it is missing.
    pub fn create_token_account(
        &self,
        owner: &Address,
        mint: &Address,
        program: impl Into<TokenProgram>,
    ) -> Result<Instruction> {
        let signer = self.signer()?;
        Ok(instruction::create_token_account(
            &signer,
            owner,
            mint,
            program.into(),
        ))
    }

    /// Sends `instructions` in one transaction, or only simulates it, and prints what came of it;
    /// amounts in the events have `decimals`.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        decimals: impl Into<Decimals>,
    ) -> Result<()> {
        let decimals = decimals.into();
        let keypair = self.keypair()?;
        require_signer(instructions, &keypair.pubkey(), &self.keypair)?;
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

    async fn simulate(
        &self,
        instructions: &[Instruction],
        keypair: &Keypair,
        decimals: Decimals,
    ) -> Result<()> {
        let blockhash = self.client.blockhash().await?;
        let transaction = rpc::transaction(instructions, &[keypair], blockhash.hash)?;
        let result = self.client.simulate(&transaction).await?;

        let logs = result.logs.unwrap_or_default();
        let inner = result.inner_instructions.unwrap_or_default();
        let events = inner_events(&inner, transaction.message.static_account_keys());
        let refusal = result.err.map(|error| TransactionFailure {
            error: error.into(),
            logs: logs.clone(),
        });
        let units = result.units_consumed;
        let text = format!(
            "outcome  {}\nunits    {}\nlogs\n{}{}",
            if refusal.is_some() {
                "refused"
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
            "success": refusal.is_none(),
            "error": refusal.as_ref().map(ToString::to_string),
            "units": units,
            "logs": logs,
            "events": events_json(&events),
        });
        self.print(&json, &text)?;
        match refusal {
            Some(refusal) => Err(rpc::Error::TransactionFailed(Box::new(refusal)).into()),
            None => Ok(()),
        }
    }

    /// The events of a confirmed transaction.
    async fn events(&self, signature: &Signature) -> Result<Vec<Decoded>> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(CommitmentConfig::confirmed()),
            max_supported_transaction_version: Some(0),
        };
        let rpc = self.client.rpc();
        let mut attempts = 1;
        let found = loop {
            match rpc.get_transaction_with_config(signature, config).await {
                Ok(found) => break found.transaction,
                Err(error) if attempts == READ_ATTEMPTS => return Err(error.into()),
                Err(_) => attempts += 1,
            }
            tokio::time::sleep(READ_PAUSE).await;
        };
        let transaction: Option<VersionedTransaction> = found.transaction.decode();
        let transaction = transaction.context("the RPC's answer lacks the transaction")?;
        let Some(OptionSerializer::Some(inner)) = found.meta.map(|meta| meta.inner_instructions)
        else {
            bail!("the RPC's answer lacks the inner instructions");
        };
        Ok(inner_events(
            &inner,
            transaction.message.static_account_keys(),
        ))
    }

    /// Prints `json` or `text`, as asked.
    pub fn print(&self, json: &Value, text: &str) -> Result<()> {
        match self.json {
            true => print::out(&format!("{json:#}")),
            false => print::out(text),
        }
    }
}

/// Only one key signs. That it is the one which is needed, the program would tell only by failing.
fn require_signer(
    instructions: &[Instruction],
    signer: &Address,
    file: &std::path::Path,
) -> Result<()> {
    let needed = instructions
        .iter()
        .flat_map(|instruction| &instruction.accounts)
        .find(|account| account.is_signer && account.pubkey != *signer);
    if let Some(needed) = needed {
        bail!(
            "this needs the signature of {}, but {} is the key of {signer}: name the right file with --keypair",
            needed.pubkey,
            file.display()
        );
    }
    Ok(())
}

/// The events in inner instructions.
fn inner_events(inner: &[UiInnerInstructions], keys: &[Address]) -> Vec<Decoded> {
    let event = |data: Vec<u8>| json::event(data.strip_prefix(EVENT_IX_TAG_LE)?).ok();
    rpc::own_inner_instructions(inner, keys)
        .filter_map(event)
        .collect()
}

fn events_text(events: &[Decoded], decimals: Decimals) -> String {
    let event = |event: &Decoded| format!("\n{}\n{}", event.name, print::fields(event, decimals));
    events.iter().map(event).collect()
}

fn events_json(events: &[Decoded]) -> Vec<Value> {
    let event = |event: &Decoded| json!({ "name": event.name, "fields": event.fields });
    events.iter().map(event).collect()
}

/// An error of the program's own rules, run here: told as the program would refuse.
pub fn program_error(error: anchor_lang::Error) -> anyhow::Error {
    match error {
        anchor_lang::Error::Custom(code) => {
            let refusal = TransactionFailure {
                error: TransactionError::InstructionError(0, InstructionError::Custom(code)),
                logs: vec![],
            };
            rpc::Error::TransactionFailed(Box::new(refusal)).into()
        }
        error => anyhow::anyhow!("{error:?}"),
    }
}

/// Reads a file that an option names.
pub fn read(path: &std::path::Path) -> Result<Vec<u8>> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    ensure!(!bytes.is_empty(), "{} is empty", path.display());
    Ok(bytes)
}
