//! Prediction markets and insurance on the drift of machine-learning models.
//!
//! In each window, oracles count a model's outputs by bin and submit the counts. The program
//! computes the drift from the counts, and records it in a receipt until it is settled, then in the
//! model's series. Markets and policies settle by the series.

use anchor_lang::prelude::*;

mod errors;
mod events;
mod instructions;
mod quote;
mod state;
mod token;

pub use driftshield_math as math;
use events::emit_event;
pub use math::{Quote, Refusal, Rule, MAX_HORIZON_SECS, MAX_OUTCOMES, MAX_THRESHOLDS, MIN_HISTORY};
pub use state::Account; // before the one of Anchor's prelude
pub use token::{PdaSigner, TokenOwner, TokenProgram};
pub use {errors::*, events::*, instructions::*, quote::*, state::*};

declare_id!("DriftSh1e1d11111111111111111111111111111111");

#[cfg(not(feature = "no-entrypoint"))]
solana_security_txt::security_txt! {
    name: "DriftShield",
    project_url: "https://driftshield.example",
    contacts: "link:https://driftshield.example/security",
    policy: "https://driftshield.example/security",
    preferred_languages: "en",
    source_code: "https://driftshield.example/source"
}

#[program]
pub mod driftshield {
    use super::*;

    // Administration and collateral.

    /// Creates the program's `Config`, once. Signed by the program's upgrade authority.
    #[discrim = 0]
    pub fn initialize(
        ctx: &mut Context<Initialize>,
        admin: Address,
        guardian: Address,
        arbiter: Address,
        params: ConfigParams,
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts
                .initialize(admin, guardian, arbiter, params, ctx.bumps.config)?
        )
    }

    /// Replaces the parameters and the guardian. Existing models, markets and vaults
    /// keep the values that they copied. Signed by the admin.
    #[discrim = 1]
    pub fn update_config(
        ctx: &mut Context<UpdateConfig>,
        guardian: Address,
        params: ConfigParams,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_config(guardian, params)?)
    }

    /// Proposes a key as the next admin. The role changes hands when that key calls `accept_admin`.
    /// Signed by the admin.
    #[discrim = 2]
    pub fn propose_admin(ctx: &mut Context<ProposeAdmin>, pending_admin: Address) -> Result<()> {
        emit_event!(ctx, ctx.accounts.propose_admin(pending_admin)?)
    }

    /// Transfers the admin role to the proposed key. Signed by the proposed key.
    #[discrim = 3]
    pub fn accept_admin(ctx: &mut Context<AcceptAdmin>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.accept_admin()?)
    }

    /// Sets the pause flags, a sum of: 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32
    /// renewals. A flag stops new risk of its kind. The guardian can only add flags; the admin can
    /// also remove them.
    #[discrim = 4]
    pub fn set_pause(ctx: &mut Context<SetPause>, paused: u8) -> Result<()> {
        emit_event!(ctx, ctx.accounts.set_pause(paused)?)
    }

    /// Registers a token as collateral for bonds, markets and vaults. `accepts_freeze` allows a
    /// mint that has a freeze authority. Signed by the admin.
    #[discrim = 5]
    pub fn register_collateral(
        ctx: &mut Context<RegisterCollateral>,
        terms: CollateralTerms,
        accepts_freeze: bool,
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts
                .register_collateral(terms, accepts_freeze, ctx.bumps.collateral)?
        )
    }

    /// Replaces a collateral's terms, and enables or disables it for new risk. Existing models keep
    /// the terms that they copied. Signed by the admin.
    #[discrim = 6]
    pub fn update_collateral(
        ctx: &mut Context<UpdateCollateral>,
        terms: CollateralTerms,
        enabled: bool,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_collateral(terms, enabled)?)
    }

    /// Withdraws `amount` base units from a treasury to any token account. Signed by the admin.
    #[discrim = 7]
    pub fn withdraw_treasury(ctx: &mut Context<WithdrawTreasury>, amount: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.withdraw_treasury(amount)?)
    }

    // Models and bonds.

    /// Registers the owner's model `id` and fixes how its drift is measured. Signed by the owner.
    #[discrim = 8]
    pub fn register_model(
        ctx: &mut Context<RegisterModel>,
        id: u64,
        spec: MetricSpec,
        terms: ModelTerms,
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts
                .register_model(id, spec, terms, ctx.bumps.model)?
        )
    }

    /// Replaces a model's oracles, quorum, spread, rent, budgets, texts and hashes, copies the
    /// current arbiter, and starts a new version. Refused while an unsettled market with bets, an
    /// open policy or an open receipt depends on the model. Signed by the owner.
    /// Remaining accounts: the seats, writable, of the oracles that are removed and have a reward or
    /// open penalties, in the order of the model's oracles. The rewards are added to their bonds, the
    /// penalties taken from them.
    #[discrim = 9]
    pub fn update_model(ctx: &mut Context<UpdateModel>, terms: ModelTerms) -> Result<()> {
        let seats = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.update_model(terms, seats)?)
    }

    /// Retires a model permanently. A retired model takes no new risk. Signed by the owner.
    #[discrim = 10]
    pub fn retire_model(ctx: &mut Context<RetireModel>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.retire_model()?)
    }

    /// Adds `amount` base units to the bond of the signing oracle. The oracle's first bond creates
    /// its seat.
    #[discrim = 11]
    pub fn bond(ctx: &mut Context<Bond>, amount: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.bond(amount)?)
    }

    /// Starts to unbond `amount` base units of a bond. The unbonding period of the whole unbonding
    /// amount restarts. Signed by the oracle.
    #[discrim = 12]
    pub fn request_unbond(ctx: &mut Context<RequestUnbond>, amount: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.request_unbond(amount)?)
    }

    /// Pays the unbonding amount to the oracle after the unbonding period. Anyone may call it.
    #[discrim = 13]
    pub fn withdraw_bond(ctx: &mut Context<WithdrawBond>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.withdraw_bond()?)
    }

    /// Closes an empty seat that no open receipt needs. Anyone may call it.
    #[discrim = 14]
    pub fn close_seat(ctx: &mut Context<CloseSeat>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_seat()?)
    }

    /// Adds `amount` base units to the pay of the model's oracles for the time until `until`, at
    /// most 400 days ahead. Anyone may call it.
    #[discrim = 15]
    pub fn fund_oracles(ctx: &mut Context<FundOracles>, amount: u64, until: i64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.fund_oracles(amount, until)?)
    }

    // Receipts.

    /// Submits the signing oracle's counts of `window`, in rows by bin. Fewer rows than the model's
    /// `min_samples`, or none, mean that the window is thin. `evidence_hash` is the SHA-256 of the
    /// evidence document; `evidence_uri` is its location, at most 128 bytes.
    #[discrim = 16]
    pub fn submit_receipt(
        ctx: &mut Context<SubmitReceipt>,
        window: u64,
        counts: Vec<u32>,
        evidence_hash: [u8; 32],
        evidence_uri: String,
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts
                .submit_receipt(window, counts, evidence_hash, evidence_uri)?
        )
    }

    /// Challenges what is proposed for `window`, takes part in a dispute that nobody has challenged,
    /// or disputes a window to which nobody has submitted in its submit period and on which a market
    /// or a policy depends. `counts` are those that the challenger asserts, in rows by bin. Takes a
    /// bond. Anyone may call it.
    #[discrim = 17]
    pub fn challenge_receipt(
        ctx: &mut Context<ChallengeReceipt>,
        window: u64,
        counts: Vec<u32>,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.challenge_receipt(window, counts)?)
    }

    /// Settles a dispute by the arbiter's counts: Final, or Thin if they have fewer rows than the
    /// model's `min_samples`. Without counts there is no data: Void, refused if a quorum has
    /// submitted. What is slashed is held for `appeal_secs`. Closes the receipt if it owes nothing.
    /// Signed by the arbiter.
    /// Remaining accounts: the seats of all submitters, writable, in the order of the model's
    /// oracles.
    #[discrim = 18]
    pub fn rule_receipt(ctx: &mut Context<RuleReceipt>, counts: Option<Vec<u32>>) -> Result<()> {
        let seats = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.rule_receipt(counts, seats)?)
    }

    /// Advances a receipt through every step that is due, to Proposed, Challenged, Final, Void or
    /// Thin. Closes a settled receipt that owes nothing. Anyone may call it.
    #[discrim = 19]
    pub fn finalize_receipt(ctx: &mut Context<FinalizeReceipt>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.finalize_receipt()?)
    }

    /// Pays the challenger's or the treasury's credit of a dispute, and closes the receipt once it
    /// owes nothing. After `appeal_until` this first credits what was slashed. Anyone may call it.
    #[discrim = 20]
    pub fn collect_challenge(
        ctx: &mut Context<CollectChallenge>,
        payee: ChallengePayee,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_challenge(payee)?)
    }

    /// Closes a page of a model's series after the retention of its last window, once none of its
    /// receipts is open. Anyone may call it.
    #[discrim = 21]
    pub fn close_series(ctx: &mut Context<CloseSeries>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_series()?)
    }

    /// Pays an oracle's reward to the oracle; or what is left of the oracles' pay to the treasury,
    /// once no oracle can earn it: one epoch after its stream has ended, or when the model is
    /// retired, nothing depends on it, and no receipt is open. Anyone may call it.
    #[discrim = 22]
    pub fn collect_reward(ctx: &mut Context<CollectReward>, payee: RewardPayee) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_reward(payee)?)
    }

    // Markets.

    /// Opens the creator's market `id` on a model. Signed by the creator.
    #[discrim = 24]
    pub fn create_market(
        ctx: &mut Context<CreateMarket>,
        id: u64,
        terms: MarketTerms,
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts.create_market(id, terms, ctx.bumps.market)?
        )
    }

    /// Closes a market without bets. The creator may call it at any time, anyone once betting is
    /// closed. Donations in the market's vault go to the treasury.
    #[discrim = 25]
    pub fn cancel_market(ctx: &mut Context<CloseMarket>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.cancel_market()?)
    }

    /// Bets `amount` base units on `outcome`, and pays the security rent on them to the model's
    /// oracles. Refused if the payout multiple after the bet is below `min_multiple` thousandths of
    /// the stake, if the rent is above `max_rent` base units, or if `terms_hash` differs from
    /// `Market.terms_hash`.
    #[discrim = 26]
    pub fn place_bet(
        ctx: &mut Context<PlaceBet>,
        outcome: u8,
        amount: u64,
        min_multiple: u64,
        max_rent: u64,
        terms_hash: [u8; 32],
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts
                .place_bet(outcome, amount, min_multiple, max_rent, terms_hash)?
        )
    }

    /// Settles the next windows of a market, up to the first one that isn't decided. Resolves the
    /// market after the last window, or once a `Max` market observes a value in its highest outcome.
    /// The market becomes Void if fewer than `min_observed` windows were observed, if nobody bet on
    /// the outcome that occurred, or if the page of the next window is missing and the window's
    /// retention is over.
    /// Anyone may call it.
    /// Remaining accounts: the pages of the model's series that hold the unsettled windows, in
    /// order. For a page that doesn't exist: the address that it would have.
    #[discrim = 27]
    pub fn settle_market(ctx: &mut Context<SettleMarket>) -> Result<()> {
        let pages = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.settle_market(pages)?)
    }

    /// Pays the payout of a position in a settled market to the owner, and closes the position.
    /// Anyone may call it.
    #[discrim = 28]
    pub fn claim(ctx: &mut Context<Claim>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.claim()?)
    }

    /// Pays a resolved market's protocol fee to the treasury, or its creator fee to the creator.
    /// Anyone may call it.
    #[discrim = 29]
    pub fn collect_fees(ctx: &mut Context<CollectFees>, payee: FeePayee) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_fees(payee)?)
    }

    /// Closes a settled market once its positions are claimed and its fees are collected. Dust and
    /// donations in its vault go to the treasury. Anyone may call it.
    #[discrim = 30]
    pub fn close_market(ctx: &mut Context<CloseMarket>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_market()?)
    }

    /// Offers a part of the owner's stake on `outcome` for sale, in place of the previous ask; an
    /// amount of 0 removes the ask. The ask ends no later than the next window that the market
    /// observes, and falls once anyone reports on the model. Refused if its `reports` differs from
    /// `Model.reports`. Signed by the owner.
    #[discrim = 31]
    pub fn set_ask(ctx: &mut Context<SetAsk>, outcome: u8, ask: Ask) -> Result<()> {
        emit_event!(ctx, ctx.accounts.set_ask(outcome, ask)?)
    }

    // Vaults.

    /// Opens the manager's vault `id`. The cooldown (1 second to 126 days) and the manager's part
    /// of premiums (at most 2000 bps together with the protocol's) never change. Signed by the
    /// manager.
    #[discrim = 32]
    pub fn create_vault(
        ctx: &mut Context<CreateVault>,
        id: u64,
        cooldown_secs: i64,
        manager_fee_bps: u16,
        terms: VaultTerms,
    ) -> Result<()> {
        let bump = ctx.bumps.vault;
        emit_event!(
            ctx,
            ctx.accounts
                .create_vault(id, cooldown_secs, manager_fee_bps, terms, bump)?
        )
    }

    /// Announces new terms, which take effect after the vault's cooldown plus one day. Signed by
    /// the manager.
    #[discrim = 33]
    pub fn update_vault(ctx: &mut Context<UpdateVault>, terms: VaultTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_vault(terms)?)
    }

    /// Lists a model, or changes the terms of its listing; a cap of 0 unlists it. A new listing, or
    /// one that admits more risk, takes effect after the vault's cooldown plus one day, or at once
    /// if the vault has no shares. Signed by the manager.
    #[discrim = 34]
    pub fn list_model(ctx: &mut Context<ListModel>, terms: ListingTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.list_model(terms)?)
    }

    /// Deposits `amount` base units for shares. Refused if there are fewer than `min_shares`; if
    /// `revision` differs from `Vault.revision`: since the depositor read the vault, the manager has
    /// listed a model, changed a listing or announced terms; or if the pending losses exceed
    /// `max_pending_losses`. The deposit bears its part of these losses.
    #[discrim = 35]
    pub fn deposit(ctx: &mut Context<Deposit>, amount: u64, limits: DepositLimits) -> Result<()> {
        emit_event!(ctx, ctx.accounts.deposit(amount, &limits)?)
    }

    /// Requests the withdrawal of the value of `shares`, which are burned, and of shares that an
    /// earlier exit window gave back. The cooldown of the whole request restarts. Requested capital
    /// bears losses and earns nothing.
    #[discrim = 36]
    pub fn request_withdraw(ctx: &mut Context<RequestWithdraw>, shares: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.request_withdraw(shares)?)
    }

    /// Cancels a withdrawal request: mints as many shares as the requested capital buys, and those
    /// that an exit window gave back.
    #[discrim = 37]
    pub fn cancel_withdraw(ctx: &mut Context<CancelWithdraw>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.cancel_withdraw()?)
    }

    /// Takes the step of a withdrawal request that is due. In its exit window, pays it as far as
    /// free capital suffices. After the window, turns the rest into shares; if free capital did not
    /// suffice, purchases keep their value free for 30 more days. Then ends that reserve. Anyone may
    /// call it.
    #[discrim = 38]
    pub fn withdraw(ctx: &mut Context<Withdraw>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.withdraw()?)
    }

    /// Pays the treasury's credit of a vault to the treasury, or the manager's credit to the
    /// manager. Anyone may call it.
    #[discrim = 39]
    pub fn collect_manager_fees(
        ctx: &mut Context<CollectManagerFees>,
        payee: PremiumPayee,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_manager_fees(payee)?)
    }

    /// Closes an exposure without policies if its cap is 0, its model is retired or has another
    /// version, or its vault has neither circulating shares nor withdrawal requests and the notice
    /// period since the listing is over. Anyone may call it.
    #[discrim = 40]
    pub fn close_exposure(ctx: &mut Context<CloseExposure>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_exposure()?)
    }

    /// Closes a vault without circulating shares, withdrawal requests, exposures and policies, once
    /// the manager's credit is collected. The vault's remaining balance goes to the treasury. The
    /// manager may call it at any time, anyone once the notice period since the vault's creation is
    /// over.
    #[discrim = 41]
    pub fn close_vault(ctx: &mut Context<CloseVault>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_vault()?)
    }

    // Policies.

    /// Buys the holder's policy `id` on a model that the vault has listed. Signed by the holder.
    #[discrim = 44]
    pub fn buy_policy(ctx: &mut Context<BuyPolicy>, id: u64, terms: PolicyTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.buy_policy(id, terms, ctx.bumps.policy)?)
    }

    /// Pays what a policy owes for the highest run of windows at or above its trigger that
    /// `examine_policy` has found, less earlier claims. Closes the policy once its whole cover is paid
    /// out. Anyone may call it.
    #[discrim = 45]
    pub fn claim_policy(ctx: &mut Context<ClaimPolicy>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.claim_policy()?)
    }

    /// Cancels a policy. Pays what is set aside for it, and refunds the unused part of its streamed
    /// premiums, less the cancel fee and less what its runs are worth as far as that is more than the
    /// premium of windows without a value. Signed by the holder.
    #[discrim = 46]
    pub fn cancel_policy(ctx: &mut Context<ClaimPolicy>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.cancel_policy()?)
    }

    /// Renews a policy for another term with the same number of windows. Signed by the holder. No
    /// signature is needed if the policy has `auto_renew` and the holder's token account delegates
    /// the premium to the holder's renewal authority.
    #[discrim = 47]
    pub fn renew_policy(ctx: &mut Context<RenewPolicy>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.renew_policy(ctx.bumps.renewal)?)
    }

    /// Closes a policy whose claim grace is over. Examines the windows that are left, and pays what is set
    /// aside for the policy, unless another claim grace period is over. A term that is still on probation
    /// counts as begun, and as worth nothing. Anyone may call it.
    /// Remaining accounts: the pages of the model's series from the policy's `returned_until` to its
    /// `last_window`, in order. For a page that doesn't exist: the address that it would have.
    #[discrim = 48]
    pub fn expire_policy(ctx: &mut Context<ClaimPolicy>) -> Result<()> {
        let pages = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.expire_policy(pages)?)
    }

    /// Decides about a policy's term on probation. The term is void if a window of the probation
    /// reached the trigger, or once none can become final: the premium is refunded, in the first
    /// case less the cancel fee, and a policy without an earlier term ends. Otherwise the term begins
    /// once all windows of the probation are decided. Anyone may call it.
    /// Remaining accounts: the pages of the model's series that hold the probation and the present
    /// term, in order. For a page that doesn't exist: the address that it would have.
    #[discrim = 49]
    pub fn begin_policy(ctx: &mut Context<ClaimPolicy>) -> Result<()> {
        let pages = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.begin_policy(pages)?)
    }

    // Sales of stakes in markets.

    /// Buys `amount` base units of another position's stake on `outcome`, at the price of its ask,
    /// and pays the seller. Refused if the price is above `max_price` thousandths of the stake, if
    /// `reports` differs from `Model.reports`, or if `terms_hash` differs from `Market.terms_hash`.
    #[discrim = 50]
    pub fn buy_position(
        ctx: &mut Context<BuyPosition>,
        outcome: u8,
        amount: u64,
        max_price: u32,
        reports: u32,
        terms_hash: [u8; 32],
    ) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts
                .buy_position(outcome, amount, max_price, reports, terms_hash)?
        )
    }

    // Seats and the arbiter.

    /// Starts the leaving of the signing oracle's seat. After the model's `leave_secs` its bond may
    /// be unbonded whatever is at risk. Until then the seat counts and can be slashed, but secures
    /// no new bets or cover. Leaving ends only when the seat stops counting.
    #[discrim = 51]
    pub fn leave_seat(ctx: &mut Context<LeaveSeat>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.leave_seat()?)
    }

    /// Lists `successor` in place of `oracle`, whose seat has not counted for the model's
    /// `replace_secs`, while the model is exposed. The successor submits for windows that begin
    /// later. The oracle's reward is added to its bond. At most ⌈quorum/2⌉ − 1 oracles are replaced
    /// between two times without exposure. Signed by the owner.
    #[discrim = 52]
    pub fn replace_oracle(
        ctx: &mut Context<ReplaceOracle>,
        oracle: Address,
        successor: Address,
    ) -> Result<()> {
        let seats = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.replace_oracle(oracle, successor, seats)?)
    }

    /// Proposes a key as the next arbiter of new models and of models that are updated. The role
    /// changes hands when that key calls `accept_arbiter`. Signed by the arbiter.
    #[discrim = 53]
    pub fn propose_arbiter(
        ctx: &mut Context<ProposeArbiter>,
        pending_arbiter: Address,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.propose_arbiter(pending_arbiter)?)
    }

    /// Transfers the arbiter's role to the proposed key. Models keep the arbiter that they copied.
    /// Signed by the proposed key.
    #[discrim = 54]
    pub fn accept_arbiter(ctx: &mut Context<AcceptArbiter>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.accept_arbiter()?)
    }

    // Appeals and penalties.

    /// Returns what a ruling slashed to the seats, until the receipt's `appeal_until`. The ruling's
    /// value stays, and the challenger gets its bond alone. Signed by the admin.
    /// Remaining accounts: the seats of the slashed oracles, writable, in the order of the model's
    /// oracles.
    #[discrim = 55]
    pub fn return_slashes(ctx: &mut Context<ReturnSlashes>) -> Result<()> {
        let seats = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.return_slashes(seats)?)
    }

    /// Takes an oracle's open penalties from its seat. Anyone may call it.
    #[discrim = 56]
    pub fn sync_seat(ctx: &mut Context<SyncSeat>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.sync_seat()?)
    }

    /// Examines the covered windows of a policy in their order, up to the first one that is not decided.
    /// Sets aside what they are worth: what a higher run than before pays, or the premium of windows
    /// without a value if that is more. The vault's capital bears it at a time that depends on the
    /// window. Anyone may call it.
    /// Remaining accounts: pages of the model's series from the window `returned_until` of the policy on,
    /// in order, as far as the windows to examine. For a page that doesn't exist: the address that it
    /// would have.
    #[discrim = 57]
    pub fn examine_policy(ctx: &mut Context<ExaminePolicy>) -> Result<()> {
        let pages = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.examine_policy(pages)?)
    }
}
