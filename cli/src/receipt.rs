//! Receipts, which record the measured drift of a model's windows, and their disputes.

use std::{mem::offset_of, path::PathBuf};

use anchor_lang::Address;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{ChallengePayee, Model, Receipt, address, instruction, spec};

use crate::{args, print::List, session::Session};

#[derive(Subcommand)]
pub enum Command {
    /// Submit the row counts of a window (signed by an oracle of the model). Fewer rows than the
    /// model's min_samples say that the window is thin
    Submit(Submit),
    /// Challenge a proposed value, a dispute, or a window to which nobody has submitted, by asserting
    /// row counts and posting a bond; callable by anyone
    Challenge {
        #[command(flatten)]
        receipt: ReceiptArgs,
        #[command(flatten)]
        counts: CountsArgs,
        /// Token account that pays [default: the signer's associated token account]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    /// End a dispute with the correct row counts, or because there is no data (signed by the model's
    /// arbiter)
    Rule {
        #[command(flatten)]
        receipt: ReceiptArgs,
        #[command(flatten)]
        counts: CountsArgs,
        /// Rule that there is no data; refused if a quorum has submitted
        #[arg(long, conflicts_with_all = ["counts", "counts_file"])]
        no_data: bool,
    },
    /// Return what a ruling slashed to the seats, until the receipt's appeal_until (signed by the
    /// admin)
    ReturnSlashes(ReceiptArgs),
    /// Take every due step of a receipt: propose a value, settle the window; callable by anyone
    Finalize(ReceiptArgs),
    /// Pay out a dispute's credit; callable by anyone
    Collect {
        #[command(flatten)]
        receipt: ReceiptArgs,
        #[arg(long, value_enum)]
        payee: ChallengePayeeName,
    },
    /// Show a receipt
    Show(ReceiptArgs),
    /// List a model's receipts, which exist until their window is settled
    List { model: Address },
}

/// Identifies a receipt.
#[derive(Args)]
pub struct ReceiptArgs {
    model: Address,
    window: u64,
}

/// Row counts by bin.
#[derive(Args)]
pub struct CountsArgs {
    /// Row counts by bin
    #[arg(long, value_delimiter = ',')]
    counts: Option<Vec<u32>>,
    /// File with the row counts: a JSON array, or an evidence document, whose field `counts` is one
    #[arg(long, value_name = "FILE", conflicts_with = "counts")]
    counts_file: Option<PathBuf>,
}

impl CountsArgs {
    fn read(self) -> Result<Vec<u32>> {
        let Some(path) = self.counts_file else {
            return self.counts.context("give --counts or --counts-file");
        };
        let document: serde_json::Value = serde_json::from_slice(&args::read_file(&path)?)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        let counts = document.get("counts").unwrap_or(&document).clone();
        serde_json::from_value(counts)
            .with_context(|| format!("{} has no list of row counts", path.display()))
    }
}

#[derive(Args)]
pub struct Submit {
    #[command(flatten)]
    receipt: ReceiptArgs,
    /// Row counts by bin
    #[arg(long, value_delimiter = ',', required = true)]
    counts: Vec<u32>,
    /// Evidence document; its SHA-256 is submitted
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// URI of the evidence document, at most 128 bytes
    #[arg(long, default_value = "")]
    uri: String,
}

/// [`ChallengePayee`] as a command-line value.
#[derive(Clone, Copy, ValueEnum)]
pub enum ChallengePayeeName {
    Treasury,
    Challenger,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Submit(submit) => submit.run(session).await,
            Self::Challenge {
                receipt,
                counts,
                source,
            } => receipt.challenge(session, counts.read()?, source).await,
            Self::Rule {
                receipt,
                counts,
                no_data,
            } => {
                let counts = if no_data { None } else { Some(counts.read()?) };
                receipt.rule(session, counts).await
            }
            Self::ReturnSlashes(receipt) => {
                let (state, account, decimals) = receipt.read(session).await?;
                let admin = session.signer()?;
                let give_back = instruction::return_slashes(admin, receipt.model, &state, &account);
                session.send(&[give_back], decimals).await
            }
            Self::Finalize(receipt) => {
                let (_, state, decimals) = receipt.read(session).await?;
                let finalize = instruction::finalize_receipt(&state);
                session.send(&[finalize], decimals).await
            }
            Self::Collect { receipt, payee } => receipt.collect(session, payee).await,
            Self::Show(receipt) => {
                let (_, state, decimals) = receipt.read(session).await?;
                session.print_account(&receipt.address(), &state, decimals)
            }
            Self::List { model } => list(session, model).await,
        }
    }
}

impl Submit {
    async fn run(self, session: &Session) -> Result<()> {
        let hash = spec::sha256(&args::read_file(&self.evidence)?);
        let ReceiptArgs { model, window } = self.receipt;
        let oracle = session.signer()?;
        let submit =
            instruction::submit_receipt(oracle, model, window, self.counts, hash, self.uri);
        session.send(&[submit], 0).await
    }
}

impl ReceiptArgs {
    fn address(&self) -> Address {
        address::receipt(&self.model, self.window)
    }

    /// Reads the model, the receipt and the decimals of their amounts.
    async fn read(&self, session: &Session) -> Result<(Model, Receipt, u8)> {
        let state: Model = session.client.get(&self.model).await?;
        let decimals = session.decimals(&state.bond_mint).await?;
        match session.client.find(&self.address()).await? {
            Some(receipt) => Ok((state, receipt, decimals)),
            None => bail!(
                "window {} has no receipt: no oracle has submitted, or the window is settled; see \
                 driftshield series show",
                self.window
            ),
        }
    }

    async fn challenge(
        &self,
        session: &Session,
        counts: Vec<u32>,
        source: Option<Address>,
    ) -> Result<()> {
        let state: Model = session.client.get(&self.model).await?;
        let decimals = session.decimals(&state.bond_mint).await?;
        let challenger = session.signer()?;
        let (mint, bond) = (&state.bond_mint, state.challenge_bond);
        let source = session
            .source_account(source, mint, state.token_program, bond, decimals)
            .await?;
        let challenge = instruction::challenge_receipt(
            challenger,
            self.model,
            &state,
            self.window,
            counts,
            source,
        );
        session.send(&[challenge], decimals).await
    }

    async fn rule(&self, session: &Session, counts: Option<Vec<u32>>) -> Result<()> {
        let (state, receipt, decimals) = self.read(session).await?;
        let rule = instruction::rule_receipt(self.model, &state, &receipt, counts);
        session.send(&[rule], decimals).await
    }

    async fn collect(&self, session: &Session, payee: ChallengePayeeName) -> Result<()> {
        let (state, receipt, decimals) = self.read(session).await?;
        let mut instructions = vec![];
        let payee = match payee {
            ChallengePayeeName::Treasury => ChallengePayee::Treasury,
            ChallengePayeeName::Challenger => {
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
    let of_model = [(offset_of!(Receipt, model), Some(model))];
    let mut receipts = session.list::<Receipt>(&of_model).await?;
    receipts.sort_by_key(|(_, receipt)| receipt.window);
    let mut list = List::new(&[
        "window",
        "version",
        "state",
        "value",
        "submitted",
        "since",
        "challenger",
    ]);
    for (address, receipt) in receipts {
        list.push(&address, &receipt, 0)?;
    }
    session.print_list(&list)
}
