//! Context of a command: the RPC client, the signer and the global options.

use std::path::PathBuf;

use anchor_lang::{AccountDeserialize, Address, Discriminator, bytemuck};
use anyhow::{Context, Result, ensure};
use driftshield_sdk::{
    Instruction, TokenProgram, address, instruction,
    rpc::{self, Client, Keypair, Signer},
};
use serde_json::Value;

use crate::print::{self, Decimals, List};

pub struct Session {
    pub client: Client,
    pub keypair_file: PathBuf,
    /// Whether transactions are only simulated.
    pub dry_run: bool,
    /// Whether to print JSON instead of text.
    pub json: bool,
    /// Whether amounts are read and printed in base units.
    pub raw: bool,
}

impl Session {
    /// Reads the signer's keypair file.
    pub fn keypair(&self) -> Result<Keypair> {
        rpc::read_keypair(&self.keypair_file).map_err(anyhow::Error::msg)
    }

    /// Address of the signer. Reads the keypair file.
    pub fn signer(&self) -> Result<Address> {
        Ok(self.keypair()?.pubkey())
    }

    /// `address`, or the signer's address if it is `None`.
    pub fn or_signer(&self, address: Option<Address>) -> Result<Address> {
        address.map_or_else(|| self.signer(), Ok)
    }

    /// Decimals with which amounts of a token are read and printed: 0 with `--raw`.
    pub fn scale(&self, token_decimals: u8) -> u8 {
        if self.raw { 0 } else { token_decimals }
    }

    /// Decimals with which amounts of `mint` are read and printed.
    pub async fn decimals(&self, mint: &Address) -> Result<u8> {
        if self.raw {
            return Ok(0);
        }
        let decimals = self.client.decimals(mint).await;
        decimals.with_context(|| format!("could not read the mint {mint}"))
    }

    /// Reads all accounts of one type whose fields hold the given keys. A field whose key is `None`
    /// may hold any key. A field is identified by its offset in the struct.
    pub async fn list<T>(&self, keys: &[(usize, Option<Address>)]) -> Result<Vec<(Address, T)>>
    where
        T: AccountDeserialize + Discriminator,
    {
        let given = keys.iter().filter_map(|&(field, key)| Some((field, key?)));
        Ok(self.client.list(&given.collect::<Vec<_>>()).await?)
    }

    /// The token account that pays `units` of `mint`: `source`, or the signer's associated token
    /// account if it is `None`. Fails if the account's balance is too low.
    pub async fn source_account(
        &self,
        source: Option<Address>,
        mint: &Address,
        program: impl Into<TokenProgram>,
        units: u64,
        decimals: u8,
    ) -> Result<Address> {
        let owner = self.signer()?;
        let source = source.unwrap_or_else(|| address::token_account(&owner, mint, program.into()));
        let balance = self.client.token_balance(&source).await?;
        ensure!(
            units <= balance,
            "insufficient tokens: token account {source} has {}, needs {}; fund the account, or \
             pass another one with --source",
            print::scaled(balance.into(), decimals),
            print::scaled(units.into(), decimals),
        );
        Ok(source)
    }

    /// Instruction that creates `owner`'s associated token account if it is missing. The signer
    /// pays the account's rent.
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

    /// Prints `json` with `--json`, `text` otherwise.
    pub fn print(&self, json: &Value, text: &str) -> Result<()> {
        if self.json {
            print::to_stdout(&format!("{json:#}"))
        } else {
            print::to_stdout(text)
        }
    }

    /// Prints an account.
    pub fn print_account<T>(
        &self,
        address: &Address,
        state: &T,
        decimals: impl Into<Decimals>,
    ) -> Result<()>
    where
        T: bytemuck::Pod + Discriminator,
    {
        let account = print::to_decoded(state)?;
        let text = print::account_text(address, &account, decimals);
        self.print(&print::account_json(address, &account), &text)
    }

    pub fn print_list(&self, list: &List) -> Result<()> {
        self.print(&list.json(), &list.text())
    }
}
