//! Funds wallets on a local cluster with SOL and with a test token.

use anchor_lang::Address;
use solana_system_interface::instruction as system;
use spl_token_interface::instruction as token;

use crate::{
    TokenProgram, address, instruction,
    rpc::{Client, Error, Keypair, Signer},
};

/// Size of a mint account.
const MINT_BYTES: usize = 82;

/// Mints a test token, and transfers SOL from the faucet's payer.
pub struct Faucet<'a> {
    client: &'a Client,
    payer: &'a Keypair,
    /// Mint of the test token. The payer is the mint authority.
    pub mint: Address,
}

impl<'a> Faucet<'a> {
    /// Decimals of the test token.
    pub const DECIMALS: u8 = 6;

    /// The faucet of a mint whose authority is `payer`.
    pub fn of_mint(client: &'a Client, payer: &'a Keypair, mint: Address) -> Self {
        Self {
            client,
            payer,
            mint,
        }
    }

    /// Creates the mint of the test token and returns its faucet.
    pub async fn create(client: &'a Client, payer: &'a Keypair) -> Result<Self, Error> {
        let mint = Keypair::new();
        let rent = client
            .rpc()
            .get_minimum_balance_for_rent_exemption(MINT_BYTES)
            .await?;
        let (authority, address) = (payer.pubkey(), mint.pubkey());
        let program = &spl_token_interface::ID;
        let create = system::create_account(&authority, &address, rent, MINT_BYTES as u64, program);
        let initialize =
            token::initialize_mint2(program, &address, &authority, None, Self::DECIMALS)
                .expect("the program id is the token program's");
        client.send(&[create, initialize], &[payer, &mint]).await?;
        Ok(Self::of_mint(client, payer, address))
    }

    /// Transfers `lamports` to `owner`, and mints `amount` base units of the test token to the
    /// owner's associated token account. Creates that account if it is missing.
    pub async fn fund(&self, owner: &Address, lamports: u64, amount: u64) -> Result<(), Error> {
        let payer = self.payer.pubkey();
        let account = address::token_account(owner, &self.mint, TokenProgram::SplToken);
        let program = &spl_token_interface::ID;
        let mint_to = token::mint_to(program, &self.mint, &account, &payer, &[], amount)
            .expect("the program id is the token program's");
        let instructions = [
            system::transfer(&payer, owner, lamports),
            instruction::create_token_account(&payer, owner, &self.mint, TokenProgram::SplToken),
            mint_to,
        ];
        self.client.send(&instructions, &[self.payer]).await?;
        Ok(())
    }
}
