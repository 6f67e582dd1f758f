//! The books: a reference implementation of the whole protocol, written from `docs/protocol.md`.
//!
//! It is independent of the program: it shares only addresses and plain argument types with it. It keeps
//! amounts in wide integers, and recomputes every value that the protocol defines as a sum (`held`,
//! `locked`, `at_risk`, `security`, …) from its parts whenever the value is needed.

mod bonds;
mod fraction;
mod limits;
mod liquidity;
mod markets;
mod policies;
mod receipts;
mod roles;
mod tokens;
mod vaults;

use std::collections::BTreeMap;

use driftshield_sdk::Address;

pub use bonds::{Model, Seat};
pub use fraction::Fraction;
pub use markets::{Market, MarketEnd, Position};
pub use policies::{Policy, PremiumQuote};
pub use receipts::{Receipt, ReceiptState};
pub use roles::{Collateral, Config};
pub use tokens::Tokens;
pub use vaults::{Exposure, Request, Stream, VIRTUAL_ASSETS, VIRTUAL_SHARES, Vault};

use super::call::Call;

/// An amount of base units or shares, or a drift; wide enough for any sum or product of two.
pub type Amount = u128;

pub const BPS: Amount = 10_000;
pub const DAY: i64 = 24 * 60 * 60;
/// Maximum time in seconds until the end of the last window of a market or a policy.
pub const HORIZON: i64 = 400 * DAY;

/// Why the protocol refuses a call.
pub type Refusal = &'static str;
pub type Verdict<T = ()> = Result<T, Refusal>;

pub fn require(holds: bool, refusal: Refusal) -> Verdict {
    if holds { Ok(()) } else { Err(refusal) }
}

/// Refuses an amount that does not fit the 64 bits of amounts on chain.
pub fn fits(amount: Amount) -> Verdict<Amount> {
    require(
        amount <= Amount::from(u64::MAX),
        "an amount does not fit 64 bits",
    )?;
    Ok(amount)
}

/// Values of an accepted call that the books take from its event: the drift and the premium, for which
/// the protocol allows a tolerance, and the noise floor, which other tests compute.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventValues {
    pub drift: Option<u64>,
    pub premium: Option<u64>,
    pub noise_floor: Option<u64>,
}

/// Counters of events that are rare in random runs. All must occur for a test to be meaningful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RareEvents {
    pub policies_paid: u64,
    pub policies_ended_by_payment: u64,
    pub receipts_voided: u64,
    pub disputes_ruled: u64,
    pub oracles_slashed: u64,
    pub vaults_wiped_out: u64,
    pub markets_resolved: u64,
    pub markets_voided: u64,
    pub partly_withdrawn: u64,
    pub renewed_by_anyone: u64,
}

impl RareEvents {
    pub fn add(&mut self, other: &Self) {
        self.policies_paid += other.policies_paid;
        self.policies_ended_by_payment += other.policies_ended_by_payment;
        self.receipts_voided += other.receipts_voided;
        self.disputes_ruled += other.disputes_ruled;
        self.oracles_slashed += other.oracles_slashed;
        self.vaults_wiped_out += other.vaults_wiped_out;
        self.markets_resolved += other.markets_resolved;
        self.markets_voided += other.markets_voided;
        self.partly_withdrawn += other.partly_withdrawn;
        self.renewed_by_anyone += other.renewed_by_anyone;
    }
}

#[derive(Clone, Default)]
pub struct Books {
    pub now: i64,
    pub config: Option<Config>,
    /// By mint.
    pub collaterals: BTreeMap<Address, Collateral>,
    pub models: BTreeMap<Address, Model>,
    pub seats: BTreeMap<Address, Seat>,
    pub receipts: BTreeMap<Address, Receipt>,
    pub markets: BTreeMap<Address, Market>,
    pub positions: BTreeMap<Address, Position>,
    pub vaults: BTreeMap<Address, Vault>,
    pub exposures: BTreeMap<Address, Exposure>,
    pub requests: BTreeMap<Address, Request>,
    pub policies: BTreeMap<Address, Policy>,
    /// All token accounts, the program's and the actors'.
    pub tokens: BTreeMap<Address, Tokens>,
    /// The mint with a freeze authority.
    pub freezable: Option<Address>,
    /// The supply of every mint, shares included.
    pub supplies: BTreeMap<Address, Amount>,
    pub rare_events: RareEvents,
}

impl Books {
    /// Applies a call at the time `now`, or returns why the protocol refuses it. A refused call may have
    /// been applied in part: call this on a copy.
    pub fn apply(&mut self, call: &Call, values: &EventValues) -> Verdict {
        match call {
            Call::Initialize { who, params } => self.initialize(who, params),
            Call::UpdateConfig {
                who,
                guardian,
                arbiter,
                params,
            } => self.update_config(who, guardian, arbiter, params),
            Call::ProposeAdmin { who, to } => self.propose_admin(who, to),
            Call::AcceptAdmin { who } => self.accept_admin(who),
            Call::SetPause { who, flags } => self.set_pause(who, *flags),
            Call::RegisterCollateral {
                who,
                mint,
                program,
                terms,
                accepts_freeze,
            } => self.register_collateral(who, mint, *program, terms, *accepts_freeze),
            Call::UpdateCollateral {
                who,
                mint,
                terms,
                enabled,
            } => self.update_collateral(who, mint, terms, *enabled),
            Call::WithdrawTreasury {
                who,
                mint,
                destination,
                amount,
            } => self.withdraw_treasury(who, mint, destination, *amount),

            Call::RegisterModel {
                who,
                id,
                mint,
                spec,
                terms,
            } => self.register_model(who, *id, mint, spec, terms, values),
            Call::UpdateModel { who, model, terms } => self.update_model(who, model, terms),
            Call::RetireModel { who, model } => self.retire_model(who, model),
            Call::Bond {
                who,
                model,
                source,
                amount,
            } => self.bond(who, model, source, *amount),
            Call::RequestUnbond { who, model, amount } => self.request_unbond(who, model, *amount),
            Call::WithdrawBond {
                oracle,
                model,
                destination,
                signed,
            } => self.withdraw_bond(oracle, model, destination, *signed),
            Call::CloseSeat { oracle, model } => self.close_seat(oracle, model),

            Call::SubmitReceipt {
                who,
                model,
                window,
                counts,
                evidence,
                uri,
            } => self.submit_receipt(who, model, *window, counts, evidence, uri, values),
            Call::ChallengeReceipt {
                who,
                model,
                window,
                source,
            } => self.challenge_receipt(who, model, *window, source),
            Call::RuleReceipt {
                who,
                model,
                window,
                counts,
                seats,
            } => self.rule_receipt(who, model, *window, counts, seats, values),
            Call::FinalizeReceipt { model, window } => self.finalize_receipt(model, *window),
            Call::CollectChallenge {
                model,
                window,
                payee,
                destination,
                signed,
            } => self.collect_challenge(model, *window, *payee, destination, *signed),
            Call::CloseReceipt { model, window } => self.close_receipt(model, *window),

            Call::CreateMarket {
                who,
                id,
                model,
                terms,
            } => self.create_market(who, *id, model, terms),
            Call::CancelMarket { market, signed } => self.cancel_market(market, *signed),
            Call::PlaceBet {
                who,
                market,
                source,
                outcome,
                amount,
                min_multiple,
                stale,
            } => {
                require(!stale, "the bet names the terms of another market")?;
                self.place_bet(who, market, source, *outcome, *amount, *min_multiple)
            }
            Call::SettleMarket { market, receipts } => self.settle_market(market, receipts),
            Call::Claim {
                market,
                owner,
                destination,
                signed,
            } => self.claim(market, owner, destination, *signed),
            Call::CollectFees {
                market,
                payee,
                destination,
                signed,
            } => self.collect_fees(market, *payee, destination, *signed),
            Call::CloseMarket { market } => self.close_market(market),

            Call::CreateVault {
                who,
                id,
                mint,
                cooldown_secs,
                manager_fee_bps,
                terms,
            } => self.create_vault(who, *id, mint, *cooldown_secs, *manager_fee_bps, terms),
            Call::UpdateVault { who, vault, terms } => self.update_vault(who, vault, terms),
            Call::ListModel {
                who,
                vault,
                model,
                terms,
            } => self.list_model(who, vault, model, terms),
            Call::Deposit {
                who,
                vault,
                source,
                destination,
                amount,
                min_shares,
            } => self.deposit(who, vault, source, destination, *amount, *min_shares),
            Call::RequestWithdraw {
                who,
                vault,
                source,
                shares,
            } => self.request_withdraw(who, vault, source, *shares),
            Call::CancelWithdraw {
                who,
                vault,
                destination,
            } => self.cancel_withdraw(who, vault, destination),
            Call::Withdraw {
                owner,
                vault,
                destination,
                signed,
            } => self.withdraw(owner, vault, destination, *signed),
            Call::CollectManagerFees {
                vault,
                payee,
                destination,
                signed,
            } => self.collect_manager_fees(vault, *payee, destination, *signed),
            Call::CloseExposure { vault, model } => self.close_exposure(vault, model),
            Call::CloseVault { vault, signed } => self.close_vault(vault, *signed),

            Call::BuyPolicy {
                who,
                id,
                vault,
                model,
                source,
                terms,
            } => self.buy_policy(who, *id, vault, model, source, terms, values),
            Call::ClaimPolicy {
                policy,
                receipts,
                destination,
                signed,
            } => self.claim_policy(policy, receipts, destination, *signed),
            Call::CancelPolicy {
                policy,
                destination,
            } => self.cancel_policy(policy, destination),
            Call::RenewPolicy {
                policy,
                source,
                signed,
            } => self.renew_policy(policy, source, *signed, values),
            Call::ExpirePolicy { policy } => self.expire_policy(policy),

            Call::OpenShares { who, vault } => self.open_shares(who, vault),
            Call::Send {
                who,
                source,
                destination,
                amount,
            } => self.send(who, source, destination, *amount),
            Call::Burn {
                who,
                source,
                amount,
            } => self.burn_own(who, source, *amount),
            Call::Approve {
                who,
                source,
                amount,
            } => self.approve(who, source, *amount),
            Call::Revoke { who, source } => self.revoke(who, source),
            Call::GiveAway { who, account, to } => self.give_away(who, account, to),
            Call::SendLamports { .. } => Ok(()),
        }
    }
}
