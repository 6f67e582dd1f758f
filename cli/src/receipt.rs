//! What oracles counted in a model's windows, and disputes about it.

use std::{mem::offset_of, path::PathBuf};

use anchor_lang::Address;
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{ChallengePayee, Model, Receipt, address, instruction, spec};

use crate::{
    print,
    send::{self, Session},
};

#[derive(Subcommand)]
pub enum Command {
    /// Submit what was counted in a window: signed by an oracle of the model
    Submit(Submit),
    /// Dispute a proposed value with a bond: anyone
    Challenge {
        #[command(flatten)]
        at: At,
        /// Token account that pays [default: the signer's associated one]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    /// End a dispute by the counts that are right: signed by the model's arbiter
    Rule {
        #[command(flatten)]
        at: At,
        /// Rows by bin
        #[arg(long, value_delimiter = ',', required = true)]
        counts: Vec<u32>,
    },
    /// Move a receipt on as far as time has decided it: anyone
    Finalize(At),
    /// Pay a dispute's credit out: anyone
    Collect {
        #[command(flatten)]
        at: At,
        #[arg(long, value_enum)]
        payee: Payee,
    },
    /// Close a receipt that nobody can need any more: anyone
    Close(At),
    /// Show a receipt
    Show(At),
    /// List a model's receipts
    List { model: Address },
}

/// Which receipt.
#[derive(Args)]
pub struct At {
    model: Address,
    window: u64,
}

#[derive(Args)]
pub struct Submit {
    #[command(flatten)]
    at: At,
    /// Rows by bin
    #[arg(long, value_delimiter = ',', required = true)]
    counts: Vec<u32>,
    /// The evidence document, whose SHA-256 is submitted
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Where the evidence document can be read, at most 128 bytes
    #[arg(long, default_value = "")]
    uri: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Payee {
    Treasury,
    Challenger,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Submit(submit) => submit.run(session).await,
            Self::Challenge { at, source } => at.challenge(session, source).await,
            Self::Rule { at, counts } => {
                let (state, receipt, decimals) = at.read(session).await?;
                let rule = instruction::rule_receipt(at.model, &state, &receipt, counts);
                session.send(&[rule], decimals).await
            }
            Self::Finalize(at) => {
                let (_, _, decimals) = at.read(session).await?;
                let finalize = instruction::finalize_receipt(at.model, at.window);
                session.send(&[finalize], decimals).await
            }
            Self::Collect { at, payee } => at.collect(session, payee).await,
            Self::Close(at) => {
                let (_, receipt, decimals) = at.read(session).await?;
                let close = instruction::close_receipt(&receipt);
                session.send(&[close], decimals).await
            }
            Self::Show(at) => {
                let (_, receipt, decimals) = at.read(session).await?;
                let (address, receipt) = (at.address(), print::describe(&receipt)?);
                let json = print::account_json(&address, &receipt);
                session.print(&json, &print::account_text(&address, &receipt, decimals))
            }
            Self::List { model } => list(session, model).await,
        }
    }
}

impl Submit {
    async fn run(self, session: &Session) -> Result<()> {
        let hash = spec::sha256(&send::read(&self.evidence)?);
        let At { model, window } = self.at;
        let oracle = session.signer()?;
        let submit =
            instruction::submit_receipt(oracle, model, window, self.counts, hash, self.uri);
        session.send(&[submit], 0).await
    }
}

impl At {
    fn address(&self) -> Address {
        address::receipt(&self.model, self.window)
    }

    /// The model, the receipt, and the decimals of their amounts.
    async fn read(&self, session: &Session) -> Result<(Model, Receipt, u8)> {
        let state: Model = session.client.get(&self.model).await?;
        let decimals = session.decimals(&state.bond_mint).await?;
        match session.client.find(&self.address()).await? {
            Some(receipt) => Ok((state, receipt, decimals)),
            None => bail!("nobody has submitted for window {}", self.window),
        }
    }

    async fn challenge(&self, session: &Session, source: Option<Address>) -> Result<()> {
        let (state, _, decimals) = self.read(session).await?;
        let challenger = session.signer()?;
        let (mint, bond) = (&state.bond_mint, state.challenge_bond);
        let source = session
            .source(source, mint, state.token_program, bond, decimals)
            .await?;
        let challenge =
            instruction::challenge_receipt(challenger, self.model, &state, self.window, source);
        session.send(&[challenge], decimals).await
    }

    async fn collect(&self, session: &Session, payee: Payee) -> Result<()> {
        let (state, receipt, decimals) = self.read(session).await?;
        let mut instructions = vec![];
        let payee = match payee {
            Payee::Treasury => ChallengePayee::Treasury,
            Payee::Challenger => {
                instructions.push(session.create_token_account(
                    &receipt.challenger,
                    &state.bond_mint,
                    state.token_program,
                )?);
                ChallengePayee::Challenger
            }
        };
        instructions.push(instruction::collect_challenge(
            self.model, &state, &receipt, payee,
        ));
        session.send(&instructions, decimals).await
    }
}

async fn list(session: &Session, model: Address) -> Result<()> {
    let filters = [(offset_of!(Receipt, model), model)];
    let mut receipts = session.client.list::<Receipt>(&filters).await?;
    receipts.sort_by_key(|(_, receipt)| receipt.window);
    let names = [
        "window",
        "version",
        "state",
        "value",
        "submitted",
        "since",
        "challenger",
    ];
    let mut list = print::List::new(&names);
    for (address, receipt) in receipts {
        list.push(&address, &print::describe(&receipt)?, 0);
    }
    session.print(&list.json(), &list.text())
}
