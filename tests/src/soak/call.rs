//! Calls of the program, the token programs and the system program.

mod instruction;

use std::collections::HashMap;

use driftshield_sdk::{
    Account, Address, Ask, ChallengePayee, CollateralTerms, ConfigParams, FeePayee, ListingTerms,
    MarketTerms, MetricSpec, ModelTerms, PolicyTerms, PremiumPayee, RewardPayee, TokenProgram,
    VaultTerms, address,
    instruction::{Bet, Purchase},
};
use heck::ToSnakeCase;

/// An instruction with its arguments and signers. `signer` has to sign. `signed` is whether the payee,
/// creator, manager or holder gives an optional signature.
#[derive(Clone, Debug)]
pub enum Call {
    Initialize {
        signer: Address,
        params: ConfigParams,
    },
    UpdateConfig {
        signer: Address,
        guardian: Address,
        params: ConfigParams,
    },
    ProposeAdmin {
        signer: Address,
        to: Address,
    },
    AcceptAdmin {
        signer: Address,
    },
    ProposeArbiter {
        signer: Address,
        to: Address,
    },
    AcceptArbiter {
        signer: Address,
    },
    SetPause {
        signer: Address,
        flags: u8,
    },
    RegisterCollateral {
        signer: Address,
        mint: Address,
        program: TokenProgram,
        terms: CollateralTerms,
        accepts_freeze: bool,
    },
    UpdateCollateral {
        signer: Address,
        mint: Address,
        terms: CollateralTerms,
        enabled: bool,
    },
    WithdrawTreasury {
        signer: Address,
        mint: Address,
        destination: Address,
        amount: u64,
    },
    RegisterModel {
        signer: Address,
        id: u64,
        mint: Address,
        spec: MetricSpec,
        terms: ModelTerms,
    },
    UpdateModel {
        signer: Address,
        model: Address,
        terms: ModelTerms,
    },
    RetireModel {
        signer: Address,
        model: Address,
    },
    Bond {
        signer: Address,
        model: Address,
        source: Address,
        amount: u64,
    },
    RequestUnbond {
        signer: Address,
        model: Address,
        amount: u64,
    },
    WithdrawBond {
        oracle: Address,
        model: Address,
        destination: Address,
        signed: bool,
    },
    FundOracles {
        signer: Address,
        model: Address,
        source: Address,
        amount: u64,
        until: i64,
    },
    CollectReward {
        /// One of the model's oracles.
        oracle: Address,
        model: Address,
        payee: RewardPayee,
        destination: Address,
        signed: bool,
    },
    CloseSeat {
        oracle: Address,
        model: Address,
    },
    SyncSeat {
        oracle: Address,
        model: Address,
    },
    LeaveSeat {
        signer: Address,
        model: Address,
    },
    ReplaceOracle {
        signer: Address,
        model: Address,
        oracle: Address,
        successor: Address,
    },
    SubmitReceipt {
        signer: Address,
        model: Address,
        window: u64,
        counts: Vec<u32>,
        evidence: [u8; 32],
        uri: String,
    },
    ChallengeReceipt {
        signer: Address,
        model: Address,
        window: u64,
        counts: Vec<u32>,
        source: Address,
    },
    RuleReceipt {
        signer: Address,
        model: Address,
        window: u64,
        counts: Option<Vec<u32>>,
        seats: Vec<Address>,
    },
    ReturnSlashes {
        signer: Address,
        model: Address,
        window: u64,
        seats: Vec<Address>,
    },
    FinalizeReceipt {
        model: Address,
        window: u64,
    },
    CollectChallenge {
        model: Address,
        window: u64,
        payee: ChallengePayee,
        destination: Address,
        signed: bool,
    },
    CloseSeries {
        model: Address,
        page: u64,
    },
    CreateMarket {
        signer: Address,
        id: u64,
        model: Address,
        terms: MarketTerms,
    },
    CancelMarket {
        market: Address,
        signed: bool,
    },
    PlaceBet {
        signer: Address,
        market: Address,
        source: Address,
        bet: Bet,
        /// Whether the bet names the terms of another market.
        stale: bool,
    },
    SetAsk {
        signer: Address,
        market: Address,
        outcome: u8,
        ask: Ask,
    },
    BuyPosition {
        signer: Address,
        market: Address,
        seller: Address,
        source: Address,
        destination: Address,
        purchase: Purchase,
        /// Whether the purchase names the terms of another market.
        stale: bool,
        /// Whether the seller signs.
        signed: bool,
    },
    SettleMarket {
        market: Address,
        pages: Vec<Address>,
    },
    Claim {
        market: Address,
        owner: Address,
        destination: Address,
        signed: bool,
    },
    CollectFees {
        market: Address,
        payee: FeePayee,
        destination: Address,
        signed: bool,
    },
    CloseMarket {
        market: Address,
    },
    CreateVault {
        signer: Address,
        id: u64,
        mint: Address,
        cooldown_secs: i64,
        manager_fee_bps: u16,
        terms: VaultTerms,
    },
    UpdateVault {
        signer: Address,
        vault: Address,
        terms: VaultTerms,
    },
    ListModel {
        signer: Address,
        vault: Address,
        model: Address,
        terms: ListingTerms,
    },
    Deposit {
        signer: Address,
        vault: Address,
        source: Address,
        destination: Address,
        amount: u64,
        min_shares: u64,
    },
    RequestWithdraw {
        signer: Address,
        vault: Address,
        source: Address,
        shares: u64,
    },
    CancelWithdraw {
        signer: Address,
        vault: Address,
        destination: Address,
    },
    Withdraw {
        owner: Address,
        vault: Address,
        destination: Address,
        signed: bool,
    },
    CollectManagerFees {
        vault: Address,
        payee: PremiumPayee,
        destination: Address,
        signed: bool,
    },
    CloseExposure {
        vault: Address,
        model: Address,
    },
    CloseVault {
        vault: Address,
        signed: bool,
    },
    BuyPolicy {
        signer: Address,
        id: u64,
        vault: Address,
        model: Address,
        source: Address,
        terms: PolicyTerms,
    },
    ClaimPolicy {
        policy: Address,
        destination: Address,
        signed: bool,
    },
    CancelPolicy {
        policy: Address,
        destination: Address,
    },
    RenewPolicy {
        policy: Address,
        source: Address,
        signed: bool,
    },
    ExpirePolicy {
        policy: Address,
        pages: Vec<Address>,
        destination: Address,
        signed: bool,
    },
    BeginPolicy {
        policy: Address,
        pages: Vec<Address>,
        destination: Address,
        signed: bool,
    },
    ExaminePolicy {
        policy: Address,
        pages: Vec<Address>,
    },

    // Instructions of other programs.
    /// Creates the token account for a vault's shares.
    OpenShares {
        signer: Address,
        vault: Address,
    },
    Send {
        signer: Address,
        source: Address,
        destination: Address,
        amount: u64,
    },
    Burn {
        signer: Address,
        source: Address,
        amount: u64,
    },
    /// Delegates `amount` to the renewal authority of `signer`.
    Approve {
        signer: Address,
        source: Address,
        amount: u64,
    },
    Revoke {
        signer: Address,
        source: Address,
    },
    /// Transfers the ownership of a token account.
    GiveAway {
        signer: Address,
        account: Address,
        to: Address,
    },
    SendLamports {
        to: Address,
    },
}

/// The last known state of every account of the program, closed ones included.
pub type KnownAccounts = HashMap<Address, Account>;

/// The mint of a token account, with its token program and decimals.
pub struct TokenInfo {
    pub mint: Address,
    pub program: TokenProgram,
    pub decimals: u8,
}

impl Call {
    /// The name of the variant in snake case. For the program's instructions, the name in the IDL.
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        let end = debug.find([' ', '{']).unwrap_or(debug.len());
        debug[..end].to_snake_case()
    }

    /// The number of remaining accounts: those after the declared ones.
    pub fn remaining_accounts(&self) -> usize {
        match self {
            Self::RuleReceipt { seats, .. } | Self::ReturnSlashes { seats, .. } => seats.len(),
            Self::SettleMarket { pages, .. }
            | Self::ExpirePolicy { pages, .. }
            | Self::BeginPolicy { pages, .. }
            | Self::ExaminePolicy { pages, .. } => pages.len(),
            _ => 0,
        }
    }

    /// Token accounts that the caller may choose freely, as source or destination.
    pub fn chosen_accounts(&self) -> Vec<Address> {
        match self {
            Self::WithdrawTreasury { destination, .. }
            | Self::WithdrawBond { destination, .. }
            | Self::CollectChallenge { destination, .. }
            | Self::CollectReward { destination, .. }
            | Self::Claim { destination, .. }
            | Self::CollectFees { destination, .. }
            | Self::CancelWithdraw { destination, .. }
            | Self::Withdraw { destination, .. }
            | Self::CollectManagerFees { destination, .. }
            | Self::ClaimPolicy { destination, .. }
            | Self::CancelPolicy { destination, .. }
            | Self::ExpirePolicy { destination, .. }
            | Self::BeginPolicy { destination, .. } => vec![*destination],
            Self::Bond { source, .. }
            | Self::FundOracles { source, .. }
            | Self::ChallengeReceipt { source, .. }
            | Self::PlaceBet { source, .. }
            | Self::RequestWithdraw { source, .. }
            | Self::BuyPolicy { source, .. }
            | Self::RenewPolicy { source, .. } => vec![*source],
            Self::Deposit {
                source,
                destination,
                ..
            }
            | Self::BuyPosition {
                source,
                destination,
                ..
            } => vec![*source, *destination],
            _ => vec![],
        }
    }

    /// The account that the call acts on, if the call may be valid for another account of the same kind.
    pub fn subject(&self) -> Option<Address> {
        match self {
            Self::UpdateCollateral { mint, .. } => Some(address::collateral(mint)),
            Self::CreateMarket { model, .. }
            | Self::UpdateModel { model, .. }
            | Self::FundOracles { model, .. }
            | Self::RetireModel { model, .. }
            | Self::LeaveSeat { model, .. }
            | Self::ReplaceOracle { model, .. } => Some(*model),
            Self::ChallengeReceipt { model, window, .. }
            | Self::RuleReceipt { model, window, .. }
            | Self::ReturnSlashes { model, window, .. }
            | Self::FinalizeReceipt { model, window }
            | Self::CollectChallenge { model, window, .. } => {
                Some(address::receipt(model, *window))
            }
            Self::CloseSeries { model, page } => Some(address::series_page(model, *page)),
            Self::SettleMarket { market, .. } => Some(*market),
            Self::UpdateVault { vault, .. } => Some(*vault),
            Self::ClaimPolicy { policy, .. }
            | Self::CancelPolicy { policy, .. }
            | Self::RenewPolicy { policy, .. }
            | Self::ExpirePolicy { policy, .. }
            | Self::BeginPolicy { policy, .. }
            | Self::ExaminePolicy { policy, .. } => Some(*policy),
            _ => None,
        }
    }

    /// The account that the call closes or may close.
    pub fn closed_account(&self) -> Option<Address> {
        match self {
            Self::CloseSeat { oracle, model } => Some(address::seat(model, oracle)),
            Self::RuleReceipt { model, window, .. }
            | Self::ReturnSlashes { model, window, .. }
            | Self::FinalizeReceipt { model, window }
            | Self::CollectChallenge { model, window, .. } => {
                Some(address::receipt(model, *window))
            }
            Self::CloseSeries { model, page } => Some(address::series_page(model, *page)),
            Self::CancelMarket { market, .. } | Self::CloseMarket { market } => Some(*market),
            Self::Claim { market, owner, .. }
            | Self::BuyPosition {
                market,
                seller: owner,
                ..
            } => Some(address::position(market, owner)),
            Self::CancelWithdraw {
                signer: owner,
                vault,
                ..
            }
            | Self::Withdraw { owner, vault, .. } => Some(address::withdraw_request(vault, owner)),
            Self::CloseExposure { vault, model } => Some(address::exposure(vault, model)),
            Self::CloseVault { vault, .. } => Some(*vault),
            Self::ClaimPolicy { policy, .. }
            | Self::CancelPolicy { policy, .. }
            | Self::ExpirePolicy { policy, .. }
            | Self::BeginPolicy { policy, .. } => Some(*policy),
            _ => None,
        }
    }
}
