//! Money for a local network: lamports, and a token that anybody can have.

use anyhow::Context;
use driftshield_sdk::{
    Address, TokenProgram, address, instruction,
    rpc::{Client, Keypair, Signer},
};
use solana_system_interface::instruction as system;
use spl_token_interface::instruction as token;

/// Decimals of the local token.
pub const DECIMALS: u8 = 6;
const MINT_BYTES: u64 = 82;

/// Hands out a token of its own, and lamports of the payer's.
pub struct Faucet<'a> {
    client: &'a Client,
    payer: &'a Keypair,
    pub mint: Address,
}

impl<'a> Faucet<'a> {
    /// Makes the token.
    pub async fn open(client: &'a Client, payer: &'a Keypair) -> anyhow::Result<Self> {
        let mint = Keypair::new();
        let rent = client
            .rpc()
            .get_minimum_balance_for_rent_exemption(MINT_BYTES as usize)
            .await?;
        let (from, to) = (payer.pubkey(), mint.pubkey());
        let instructions = [
            system::create_account(&from, &to, rent, MINT_BYTES, &spl_token_interface::ID),
            token::initialize_mint2(&spl_token_interface::ID, &to, &from, None, DECIMALS)?,
        ];
        client
            .send(&instructions, &[payer, &mint])
            .await
            .context("making the local token")?;
        Ok(Self {
            client,
            payer,
            mint: to,
        })
    }

    /// Gives `owner` lamports, and base units of the token to its associated token account.
    pub async fn fund(&self, owner: &Address, lamports: u64, amount: u64) -> anyhow::Result<()> {
        let payer = self.payer.pubkey();
        let account = address::token_account(owner, &self.mint, TokenProgram::SplToken);
        let instructions = [
            system::transfer(&payer, owner, lamports),
            instruction::create_token_account(&payer, owner, &self.mint, TokenProgram::SplToken),
            token::mint_to(
                &spl_token_interface::ID,
                &self.mint,
                &account,
                &payer,
                &[],
                amount,
            )?,
        ];
        self.client
            .send(&instructions, &[self.payer])
            .await
            .with_context(|| format!("funding {owner}"))?;
        Ok(())
    }
}
