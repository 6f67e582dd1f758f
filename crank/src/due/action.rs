//! Actions: transactions to send, each identified by its step and account.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{TokenProgram, instruction};

use crate::snapshot::Snapshot;

/// A transaction that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub key: ActionKey,
    pub instructions: Vec<Instruction>,
}

impl Action {
    /// An action of a single instruction.
    pub fn new(step: Step, account: Address, instruction: Instruction) -> Self {
        Self {
            key: ActionKey { step, account },
            instructions: vec![instruction],
        }
    }

    /// An action that pays a token account, and creates that account first if it is missing.
    pub fn with_token_account(
        step: Step,
        account: Address,
        create: Instruction,
        pay: Instruction,
    ) -> Self {
        Self {
            key: ActionKey { step, account },
            instructions: vec![create, pay],
        }
    }
}

/// Identity of an action. While one is in flight, no other with the same key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActionKey {
    pub step: Step,
    /// The account that the step is about.
    pub account: Address,
}

/// What an action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Submit { window: u64 },
    Finalize { window: u64 },
    Settle { next_window: u64 },
    Claim,
    CollectProtocolFee,
    CollectCreatorFee,
    CollectChallengeForTreasury,
    CollectChallengeForChallenger,
    CloseMarket,
    CancelMarket,
    CollectReward,
    CollectPot,
    WithdrawBond,
    SyncSeat,
    CloseSeat,
    CloseSeries,
    BeginPolicy,
    ExaminePolicy,
    ClaimPolicy,
    RenewPolicy,
    ExpirePolicy,
    Withdraw,
    CollectPremiumFee,
    CollectManagerFee,
    CloseExposure,
    CloseVault,
}

/// Instruction that creates `owner`'s associated token account if it is missing. The crank pays
/// the account's rent.
pub fn create_token_account(
    snapshot: &Snapshot,
    owner: &Address,
    mint: &Address,
    program: impl Into<TokenProgram>,
) -> Instruction {
    instruction::create_token_account(&snapshot.payer, owner, mint, program.into())
}
