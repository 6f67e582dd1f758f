//! The books: a reference implementation of the whole protocol, written from `docs/protocol.md`.
//!
//! The books are independent of the program: both share only addresses and plain argument types. The books
//! keep amounts in wide integers, and recompute every value that the protocol defines as a sum (`held`,
//! `locked`, `market_risk`, `security`, …) from its parts whenever the value is needed.

mod bonds;
mod drift;
mod fraction;
pub mod limits;
mod liquidity;
mod markets;
mod policies;
mod pot;
mod probation;
mod receipts;
mod roles;
mod sales;
mod seats;
mod series;
mod silence;
mod tokens;
mod vaults;

use std::collections::BTreeMap;

use driftshield_sdk::Address;

pub use bonds::Model;
pub use fraction::Fraction;
pub use markets::{Market, MarketEnd, Position};
pub use policies::{Policy, PremiumQuote};
pub use pot::Pot;
pub use probation::Waiting;
pub use receipts::{Receipt, ReceiptState};
pub use roles::{Collateral, Config};
pub use seats::{Seat, Standing};
pub use series::{Series, WindowEnd, pages, windows_of_page};
pub use silence::Episode;
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

/// Counters of events that are rare in random runs. Tests are meaningful only if all of them occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RareEvents {
    /// Paid claims on policies.
    pub policies_paid: u64,
    /// Policies that ended because claims paid all of their cover.
    pub policies_ended_by_payment: u64,
    /// Terms that have passed their probation.
    pub terms_begun: u64,
    /// Terms that were void on probation.
    pub terms_voided: u64,
    /// Times that premium of windows without a value was set aside.
    pub premiums_set_aside: u64,
    /// Times that some of it had not streamed yet.
    pub streams_cut: u64,
    /// Policies that returned it.
    pub premiums_returned: u64,
    /// Times that a vault's capital bore losses after they were paid or set aside.
    pub losses_borne_later: u64,
    /// Deposits while losses were pending.
    pub deposited_before_losses: u64,
    /// Policies whose holders were not paid it in time.
    pub premiums_lapsed: u64,
    pub receipts_voided: u64,
    pub windows_thin: u64,
    pub disputes_ruled: u64,
    pub oracles_slashed: u64,
    /// Unbondings that what is at risk would forbid if the seat had not left.
    pub oracles_left: u64,
    pub oracles_replaced: u64,
    /// Penalties of silent oracles.
    pub silence_penalised: u64,
    /// Disputes about windows for which nobody has submitted.
    pub missing_challenged: u64,
    pub slashes_returned: u64,
    pub seats_synced: u64,
    pub vaults_wiped_out: u64,
    pub markets_resolved: u64,
    pub markets_voided: u64,
    /// Purchases of stakes.
    pub stakes_sold: u64,
    /// Positions that were closed because all of their stakes were sold.
    pub positions_sold_out: u64,
    /// Withdrawals of less than was requested.
    pub partly_withdrawn: u64,
    /// Requests that became shares whose value is reserved.
    pub reserved: u64,
    /// Renewals without the holder's signature.
    pub renewed_by_anyone: u64,
    /// Receipts whose pay was shared by at least one oracle.
    pub windows_paid: u64,
    /// Receipts with pay that no oracle earned.
    pub pay_unearned: u64,
}

impl RareEvents {
    pub fn add(&mut self, other: &Self) {
        self.policies_paid += other.policies_paid;
        self.policies_ended_by_payment += other.policies_ended_by_payment;
        self.terms_begun += other.terms_begun;
        self.terms_voided += other.terms_voided;
        self.premiums_set_aside += other.premiums_set_aside;
        self.streams_cut += other.streams_cut;
        self.premiums_returned += other.premiums_returned;
        self.losses_borne_later += other.losses_borne_later;
        self.deposited_before_losses += other.deposited_before_losses;
        self.premiums_lapsed += other.premiums_lapsed;
        self.receipts_voided += other.receipts_voided;
        self.windows_thin += other.windows_thin;
        self.disputes_ruled += other.disputes_ruled;
        self.oracles_slashed += other.oracles_slashed;
        self.oracles_left += other.oracles_left;
        self.oracles_replaced += other.oracles_replaced;
        self.silence_penalised += other.silence_penalised;
        self.missing_challenged += other.missing_challenged;
        self.slashes_returned += other.slashes_returned;
        self.seats_synced += other.seats_synced;
        self.vaults_wiped_out += other.vaults_wiped_out;
        self.markets_resolved += other.markets_resolved;
        self.markets_voided += other.markets_voided;
        self.stakes_sold += other.stakes_sold;
        self.positions_sold_out += other.positions_sold_out;
        self.partly_withdrawn += other.partly_withdrawn;
        self.reserved += other.reserved;
        self.renewed_by_anyone += other.renewed_by_anyone;
        self.windows_paid += other.windows_paid;
        self.pay_unearned += other.pay_unearned;
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
    pub series: BTreeMap<Address, Series>,
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
        self.apply_call(call, values)?;
        let replaced = self.models.iter().filter(|(_, model)| 0 < model.replaced);
        let replaced: Vec<Address> = replaced.map(|(at, _)| *at).collect();
        for at in replaced {
            if self.exposure_of(&at) == 0 {
                self.models.get_mut(&at).expect("listed").replaced = 0;
            }
        }
        Ok(())
    }

    fn apply_call(&mut self, call: &Call, values: &EventValues) -> Verdict {
        match call {
            Call::Initialize { signer, params } => self.initialize(signer, params),
            Call::UpdateConfig {
                signer,
                guardian,
                params,
            } => self.update_config(signer, guardian, params),
            Call::ProposeAdmin { signer, to } => self.propose_admin(signer, to),
            Call::AcceptAdmin { signer } => self.accept_admin(signer),
            Call::ProposeArbiter { signer, to } => self.propose_arbiter(signer, to),
            Call::AcceptArbiter { signer } => self.accept_arbiter(signer),
            Call::SetPause { signer, flags } => self.set_pause(signer, *flags),
            Call::RegisterCollateral {
                signer,
                mint,
                program,
                terms,
                accepts_freeze,
            } => self.register_collateral(signer, mint, *program, terms, *accepts_freeze),
            Call::UpdateCollateral {
                signer,
                mint,
                terms,
                enabled,
            } => self.update_collateral(signer, mint, terms, *enabled),
            Call::WithdrawTreasury {
                signer,
                mint,
                destination,
                amount,
            } => self.withdraw_treasury(signer, mint, destination, *amount),

            Call::RegisterModel {
                signer,
                id,
                mint,
                spec,
                terms,
            } => self.register_model(signer, *id, mint, spec, terms, values),
            Call::UpdateModel {
                signer,
                model,
                terms,
            } => self.update_model(signer, model, terms),
            Call::RetireModel { signer, model } => self.retire_model(signer, model),
            Call::Bond {
                signer,
                model,
                source,
                amount,
            } => self.bond(signer, model, source, *amount),
            Call::RequestUnbond {
                signer,
                model,
                amount,
            } => self.request_unbond(signer, model, *amount),
            Call::WithdrawBond {
                oracle,
                model,
                destination,
                signed,
            } => self.withdraw_bond(oracle, model, destination, *signed),
            Call::CloseSeat { oracle, model } => self.close_seat(oracle, model),
            Call::SyncSeat { oracle, model } => self.sync_seat(oracle, model),
            Call::LeaveSeat { signer, model } => self.leave_seat(signer, model),
            Call::ReplaceOracle {
                signer,
                model,
                oracle,
                successor,
            } => self.replace_oracle(signer, model, oracle, successor),
            Call::FundOracles {
                signer,
                model,
                source,
                amount,
                until,
            } => self.fund_oracles(signer, model, source, *amount, *until),
            Call::CollectReward {
                oracle,
                model,
                payee,
                destination,
                signed,
            } => self.collect_reward(oracle, model, *payee, destination, *signed),

            Call::SubmitReceipt {
                signer,
                model,
                window,
                counts,
                evidence,
                uri,
            } => self.submit_receipt(signer, model, *window, counts, evidence, uri, values),
            Call::ChallengeReceipt {
                signer,
                model,
                window,
                counts,
                source,
            } => self.challenge_receipt(signer, model, *window, counts, source, values),
            Call::RuleReceipt {
                signer,
                model,
                window,
                counts,
                seats,
            } => self.rule_receipt(signer, model, *window, counts.as_deref(), seats, values),
            Call::ReturnSlashes {
                signer,
                model,
                window,
                seats,
            } => self.return_slashes(signer, model, *window, seats),
            Call::FinalizeReceipt { model, window } => self.finalize_receipt(model, *window),
            Call::CollectChallenge {
                model,
                window,
                payee,
                destination,
                signed,
            } => self.collect_challenge(model, *window, *payee, destination, *signed),
            Call::CloseSeries { model, page } => self.close_series(model, *page),

            Call::CreateMarket {
                signer,
                id,
                model,
                terms,
            } => self.create_market(signer, *id, model, terms),
            Call::CancelMarket { market, signed } => self.cancel_market(market, *signed),
            Call::PlaceBet {
                signer,
                market,
                source,
                bet,
                stale,
            } => {
                require(!stale, "the bet names the terms of another market")?;
                self.place_bet(signer, market, source, bet)
            }
            Call::SetAsk {
                signer,
                market,
                outcome,
                ask,
            } => self.set_ask(signer, market, *outcome, ask),
            Call::BuyPosition {
                signer,
                market,
                seller,
                source,
                destination,
                purchase,
                stale,
                signed,
            } => {
                require(!stale, "the purchase names the terms of another market")?;
                let payment = self.buy_position(signer, market, seller, purchase)?;
                self.pay_seller(
                    signer,
                    market,
                    seller,
                    source,
                    destination,
                    *signed,
                    payment,
                )
            }
            Call::SettleMarket { market, pages } => self.settle_market(market, pages),
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
                signer,
                id,
                mint,
                cooldown_secs,
                manager_fee_bps,
                terms,
            } => self.create_vault(signer, *id, mint, *cooldown_secs, *manager_fee_bps, terms),
            Call::UpdateVault {
                signer,
                vault,
                terms,
            } => self.update_vault(signer, vault, terms),
            Call::ListModel {
                signer,
                vault,
                model,
                terms,
            } => self.list_model(signer, vault, model, terms),
            Call::Deposit {
                signer,
                vault,
                source,
                destination,
                amount,
                min_shares,
            } => self.deposit(signer, vault, source, destination, *amount, *min_shares),
            Call::RequestWithdraw {
                signer,
                vault,
                source,
                shares,
            } => self.request_withdraw(signer, vault, source, *shares),
            Call::CancelWithdraw {
                signer,
                vault,
                destination,
            } => self.cancel_withdraw(signer, vault, destination),
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
                signer,
                id,
                vault,
                model,
                source,
                terms,
            } => self.buy_policy(signer, *id, vault, model, source, terms, values),
            Call::ClaimPolicy {
                policy,
                destination,
                signed,
            } => self.claim_policy(policy, destination, *signed),
            Call::CancelPolicy {
                policy,
                destination,
            } => self.cancel_policy(policy, destination),
            Call::RenewPolicy {
                policy,
                source,
                signed,
            } => self.renew_policy(policy, source, *signed, values),
            Call::ExpirePolicy {
                policy,
                pages,
                destination,
                signed,
            } => self.expire_policy(policy, pages, destination, *signed),
            Call::BeginPolicy {
                policy,
                pages,
                destination,
                signed,
            } => self.begin_policy(policy, pages, destination, *signed),
            Call::ExaminePolicy { policy, pages } => self.examine_policy(policy, pages),

            Call::OpenShares { signer, vault } => self.open_shares(signer, vault),
            Call::Send {
                signer,
                source,
                destination,
                amount,
            } => self.send(signer, source, destination, *amount),
            Call::Burn {
                signer,
                source,
                amount,
            } => self.burn_own(signer, source, *amount),
            Call::Approve {
                signer,
                source,
                amount,
            } => self.approve(signer, source, *amount),
            Call::Revoke { signer, source } => self.revoke(signer, source),
            Call::GiveAway {
                signer,
                account,
                to,
            } => self.give_away(signer, account, to),
            Call::SendLamports { .. } => Ok(()),
        }
    }
}
