//! Settings, terms, keys and token accounts that worlds are built from.

use std::path::PathBuf;

use driftshield_sdk::{
    Address, Aggregate, CollateralTerms, ConfigParams, MarketTerms, Metric, MetricSpec, ModelTerms,
    TokenProgram,
};
use litesvm::LiteSVM;
use solana_account::Account;
use solana_keypair::Keypair;
use solana_program_pack::Pack;
use solana_signer::Signer;
use spl_token_interface::state::{Account as TokenAccount, AccountState, Mint};

use super::World;
use crate::paths;

pub const DAY: i64 = 24 * 60 * 60;
pub const HOUR: i64 = 60 * 60;
/// Unix time in seconds at which a world starts.
pub const EPOCH: i64 = 1_800_000_000;
/// One token in base units: mints of worlds have six decimals.
pub const TOKEN: u64 = 1_000_000;

/// Lamports of a new wallet.
pub const WALLET_LAMPORTS: u64 = 100_000_000_000;

/// Settings like those in production.
pub fn params() -> ConfigParams {
    ConfigParams {
        submit_secs: 6 * HOUR,
        challenge_secs: 12 * HOUR,
        ruling_secs: 2 * DAY,
        appeal_secs: 3 * DAY,
        unbond_secs: 3 * DAY,
        leave_secs: 60 * DAY,
        replace_secs: 14 * DAY,
        retention_secs: 530 * DAY,
        claim_grace_secs: 7 * DAY,
        waiting_secs: DAY + 6 * HOUR, // a window and its submissions
        exit_secs: 7 * DAY,
        season_secs: 30 * DAY,
        bucket_secs: 7 * DAY,
        min_window_secs: HOUR,
        max_window_secs: 31 * DAY,
        max_spread_limit: 1_000_000,
        security_multiple: 6, // half of it for each budget
        min_security_rent_bps: 1,
        max_security_rent_bps: 5_000,
        protocol_fee_bps: 200,
        premium_fee_bps: 500,
    }
}

pub fn terms() -> CollateralTerms {
    CollateralTerms {
        min_bet: TOKEN / 100,
        min_bond: 1_000 * TOKEN,
        slash_amount: 500 * TOKEN,
        challenge_bond: 100 * TOKEN,
        absence_penalty: 5 * TOKEN,
    }
}

/// A key with lamports and a token account.
pub struct Wallet {
    pub key: Keypair,
    /// The associated token account of the world's mint.
    pub tokens: Address,
}

impl Wallet {
    pub fn address(&self) -> Address {
        self.key.pubkey()
    }
}

impl Clone for Wallet {
    fn clone(&self) -> Self {
        Self {
            key: self.key.insecure_clone(),
            tokens: self.tokens,
        }
    }
}

/// A registered model and its oracles.
#[derive(Clone)]
pub struct TestModel {
    pub address: Address,
    pub owner: Wallet,
    pub oracles: Vec<Wallet>,
}

/// The path of a program built by `scripts/build-program`.
pub fn program_file(name: &str) -> PathBuf {
    let file = paths::target_dir().join("deploy").join(name);
    assert!(
        file.exists(),
        "{} does not exist; run scripts/build-program",
        file.display()
    );
    file
}

/// Creates an SPL Token mint with six decimals and a supply of 0. Returns its address.
pub fn set_mint(
    svm: &mut LiteSVM,
    mint: &Address,
    authority: &Address,
    freeze_authority: Option<&Address>,
) -> Address {
    let state = Mint {
        mint_authority: Some(*authority).into(),
        supply: 0,
        decimals: 6,
        is_initialized: true,
        freeze_authority: freeze_authority.copied().into(),
    };
    set_packed(svm, mint, TokenProgram::SplToken, &state);
    *mint
}

/// Creates a token account with a balance, without adding the balance to the mint's supply.
pub fn set_token_account(
    svm: &mut LiteSVM,
    address: &Address,
    program: TokenProgram,
    mint: &Address,
    owner: &Address,
    amount: u64,
) {
    let state = TokenAccount {
        mint: *mint,
        owner: *owner,
        amount,
        state: AccountState::Initialized,
        ..TokenAccount::default()
    };
    set_packed(svm, address, program, &state);
}

/// Creates a rent-exempt account of a token program.
fn set_packed<T: Pack>(svm: &mut LiteSVM, address: &Address, program: TokenProgram, state: &T) {
    let mut data = vec![0; T::LEN];
    state.pack_into_slice(&mut data);
    let account = Account {
        lamports: svm.minimum_balance_for_rent_exemption(data.len()),
        data,
        owner: program.id(),
        executable: false,
        rent_epoch: u64::MAX,
    };
    svm.set_account(*address, account)
        .expect("the account is set");
}

/// A key that is derived from a name, so that tests are deterministic.
pub fn key(name: &str) -> Keypair {
    Keypair::new_from_array(anchor_lang::hash::sha256(name.as_bytes()))
}

/// PSI over ten bins, with windows of a day that start in an hour.
pub fn spec(world: &World) -> MetricSpec {
    MetricSpec {
        metric: Metric::Psi,
        reference: vec![1_000; 10],
        min_samples: 1_000,
        spec_hash: [7; 32],
        genesis: world.now() + HOUR,
        window_secs: DAY,
    }
}

/// The error rate, against a reference without errors. [`share`] returns counts for this spec.
pub fn share_spec(world: &World) -> MetricSpec {
    MetricSpec {
        metric: Metric::ErrorRate,
        reference: vec![1_000_000, 0],
        min_samples: 1_000_000,
        ..spec(world)
    }
}

/// Counts whose drift by [`share_spec`] is `value` micro-units.
pub fn share(value: u64) -> [u32; 2] {
    let wrong = u32::try_from(value).expect("at most a million");
    [1_000_000 - wrong, wrong]
}

/// Like [`share_spec`], with a noise floor that allows the spread of 0.01.
pub fn coarse_spec(world: &World) -> MetricSpec {
    MetricSpec {
        min_samples: 50,
        ..share_spec(world)
    }
}

/// The maximum spread of models with this spec: 0.01, or the widest allowed one if that is less.
pub fn spread(spec: &MetricSpec) -> u64 {
    spec.widest_spread().min(10_000)
}

/// A quorum of more than half, and a maximum spread that every spec of this file allows.
pub fn model_terms(oracles: &[Wallet]) -> ModelTerms {
    ModelTerms {
        oracles: oracles.iter().map(Wallet::address).collect(),
        quorum: (oracles.len() / 2 + 1) as u8,
        max_spread: 2,
        security_rent_bps: 200,
        market_budget_bps: 5_000,
        cover_budget_bps: 5_000,
        name: "credit risk".into(),
        uri: "https://models.example/credit-risk".into(),
        metadata_hash: [1; 32],
        artifact_hash: [2; 32],
    }
}

/// A yes/no market on windows 1 to 3: does the largest drift reach 0.2?
pub fn market_terms(world: &World, model: &TestModel) -> MarketTerms {
    let model = world.model(&model.address);
    MarketTerms {
        model_version: model.version,
        thresholds: vec![200_000],
        aggregate: Aggregate::Max,
        first_window: 1,
        last_window: 3,
        min_observed: 0,
        close_ts: model.window_start(1).expect("in range"),
        creator_fee_bps: 100,
        question: "Does the drift reach 0.2?".into(),
    }
}

/// Counts of ten bins whose PSI against a flat reference is 0.
pub const CALM: [u32; 10] = [500; 10];
/// Counts of ten bins whose PSI against a flat reference is far above 0.2.
pub const DRIFTED: [u32; 10] = [2_000, 1_500, 500, 200, 200, 200, 100, 100, 100, 100];
