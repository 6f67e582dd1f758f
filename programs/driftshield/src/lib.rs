//! Markets and cover on the drift of machine-learning models.
//!
//! Oracles count a model's outputs by bin, window by window; the program computes the drift from
//! the counts, and everything settles on the receipts of that.

use anchor_lang::prelude::*;

pub mod math;

mod errors;
mod events;
mod instructions;
mod quote;
mod state;
mod token;

use events::emit_event;
pub use token::TokenProgram;
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

    // Admin and collateral.

    /// Sets the program up, once. Signed by its upgrade authority.
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

    /// Changes what new models and markets copy, the guardian and the arbiter. Signed by the admin.
    #[discrim = 1]
    pub fn update_config(
        ctx: &mut Context<UpdateConfig>,
        guardian: Address,
        arbiter: Address,
        params: ConfigParams,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_config(guardian, arbiter, params)?)
    }

    /// Offers the admin role to a key, which takes it by `accept_admin`. Signed by the admin.
    #[discrim = 2]
    pub fn propose_admin(ctx: &mut Context<ProposeAdmin>, pending_admin: Address) -> Result<()> {
        emit_event!(ctx, ctx.accounts.propose_admin(pending_admin)?)
    }

    /// Takes the admin role. Signed by the proposed key.
    #[discrim = 3]
    pub fn accept_admin(ctx: &mut Context<AcceptAdmin>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.accept_admin()?)
    }

    /// Stops or allows new risk: 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32 renewals,
    /// added up. The guardian can only add flags;
    /// the admin sets any.
    #[discrim = 4]
    pub fn set_pause(ctx: &mut Context<SetPause>, paused: u8) -> Result<()> {
        emit_event!(ctx, ctx.accounts.set_pause(paused)?)
    }

    /// Allows a token for markets, cover and bonds. Signed by the admin, who says whether a freeze
    /// authority is accepted.
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

    /// Changes what new objects copy of a token, or stops new risk in it. Signed by the admin.
    #[discrim = 6]
    pub fn update_collateral(
        ctx: &mut Context<UpdateCollateral>,
        terms: CollateralTerms,
        enabled: bool,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_collateral(terms, enabled)?)
    }

    /// Pays `amount` base units of a treasury where the admin says.
    #[discrim = 7]
    pub fn withdraw_treasury(ctx: &mut Context<WithdrawTreasury>, amount: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.withdraw_treasury(amount)?)
    }

    // Models and bonds.

    /// Registers the owner's model `id` and pins how its drift is measured.
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

    /// Changes who measures a model and how it is presented, while nothing depends on it. Begins a
    /// new version. Signed by the owner.
    #[discrim = 9]
    pub fn update_model(ctx: &mut Context<UpdateModel>, terms: ModelTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_model(terms)?)
    }

    /// Ends new risk on a model for good. Signed by the owner.
    #[discrim = 10]
    pub fn retire_model(ctx: &mut Context<RetireModel>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.retire_model()?)
    }

    /// Adds `amount` base units to the signing oracle's bond; the first takes its seat.
    #[discrim = 11]
    pub fn bond(ctx: &mut Context<Bond>, amount: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.bond(amount, ctx.bumps.seat)?)
    }

    /// Asks `amount` base units of a bond back; all that is asked back waits from now on.
    #[discrim = 12]
    pub fn request_unbond(ctx: &mut Context<RequestUnbond>, amount: u64) -> Result<()> {
        emit_event!(ctx, ctx.accounts.request_unbond(amount)?)
    }

    /// Pays the oracle what has unbonded. Anyone may call it.
    #[discrim = 13]
    pub fn withdraw_bond(ctx: &mut Context<WithdrawBond>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.withdraw_bond()?)
    }

    /// Closes an empty seat that nothing depends on. Anyone may call it.
    #[discrim = 14]
    pub fn close_seat(ctx: &mut Context<CloseSeat>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_seat()?)
    }

    // Receipts.

    /// Submits what the signing oracle counted in `window`, rows by bin, with the SHA-256 of the
    /// evidence document and where it can be read (at most 128 bytes).
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
            ctx.accounts.submit_receipt(
                window,
                counts,
                evidence_hash,
                evidence_uri,
                ctx.bumps.receipt
            )?
        )
    }

    /// Disputes a proposed value with a bond. Anyone may.
    #[discrim = 17]
    pub fn challenge_receipt(ctx: &mut Context<ChallengeReceipt>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.challenge_receipt()?)
    }

    /// Ends a dispute by the counts that the arbiter finds right.
    /// Remaining accounts: the seats of all who submitted, writable, in the model's order.
    #[discrim = 18]
    pub fn rule_receipt(ctx: &mut Context<RuleReceipt>, counts: Vec<u32>) -> Result<()> {
        let seats = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.rule_receipt(counts, seats)?)
    }

    /// Moves a receipt on as far as time has decided it. Anyone may call it.
    #[discrim = 19]
    pub fn finalize_receipt(ctx: &mut Context<FinalizeReceipt>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.finalize_receipt()?)
    }

    /// Pays a dispute's credit to the challenger or the treasury. Anyone may call it.
    #[discrim = 20]
    pub fn collect_challenge(
        ctx: &mut Context<CollectChallenge>,
        payee: ChallengePayee,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_challenge(payee)?)
    }

    /// Closes a receipt that nobody can need any more. Anyone may call it.
    #[discrim = 21]
    pub fn close_receipt(ctx: &mut Context<CloseReceipt>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_receipt()?)
    }

    // Markets.

    /// Opens the creator's market `id` on a model.
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

    /// Ends a market without bets: its creator at any time, anyone once betting is closed.
    #[discrim = 25]
    pub fn cancel_market(ctx: &mut Context<CloseMarket>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.cancel_market()?)
    }

    /// Bets `amount` base units on `outcome`, if that then pays at least `min_multiple` thousandths of
    /// a stake, in a market of the terms that `terms_hash` names (`Market.terms_hash`).
    #[discrim = 26]
    pub fn place_bet(
        ctx: &mut Context<PlaceBet>,
        outcome: u8,
        amount: u64,
        min_multiple: u64,
        terms_hash: [u8; 32],
    ) -> Result<()> {
        let bump = ctx.bumps.position;
        emit_event!(
            ctx,
            ctx.accounts
                .place_bet(outcome, amount, min_multiple, terms_hash, bump)?
        )
    }

    /// Settles the next windows of a market by their receipts, and the market with the last one.
    /// Anyone may call it. Remaining accounts: the receipts in order, writable where not finalized.
    #[discrim = 27]
    pub fn settle_market(ctx: &mut Context<SettleMarket>) -> Result<()> {
        let receipts = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.settle_market(receipts)?)
    }

    /// Pays a position of a settled market to its owner and closes it. Anyone may call it.
    #[discrim = 28]
    pub fn claim(ctx: &mut Context<Claim>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.claim()?)
    }

    /// Pays the treasury's or the creator's fee of a resolved market. Anyone may call it.
    #[discrim = 29]
    pub fn collect_fees(ctx: &mut Context<CollectFees>, payee: FeePayee) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_fees(payee)?)
    }

    /// Closes a settled market that owes nobody: dust to the treasury. Anyone may call it.
    #[discrim = 30]
    pub fn close_market(ctx: &mut Context<CloseMarket>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_market()?)
    }

    // Vaults.

    /// Opens the manager's vault `id`. The cooldown (1 second to 121 days) and the manager's part of
    /// premiums (at most 2000 bps with the protocol's) never change.
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

    /// Announces other terms, which take effect after the cooldown and a day. Signed by the manager.
    #[discrim = 33]
    pub fn update_vault(ctx: &mut Context<UpdateVault>, terms: VaultTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.update_vault(terms)?)
    }

    /// Lists a model, or changes on what terms. Signed by the manager. A listing that lets more risk
    /// in takes effect after the cooldown and a day, unless there are no shares.
    #[discrim = 34]
    pub fn list_model(ctx: &mut Context<ListModel>, terms: ListingTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.list_model(terms, ctx.bumps.exposure)?)
    }

    /// Puts `amount` base units into a vault for at least `min_shares` shares, if it has listed no
    /// model since it had `listings` (`Vault.listings`).
    #[discrim = 35]
    pub fn deposit(
        ctx: &mut Context<Deposit>,
        amount: u64,
        min_shares: u64,
        listings: u32,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.deposit(amount, min_shares, listings)?)
    }

    /// Asks `shares` back; all that is asked back waits for the cooldown from now on, bears losses
    /// and earns nothing.
    #[discrim = 36]
    pub fn request_withdraw(ctx: &mut Context<RequestWithdraw>, shares: u64) -> Result<()> {
        emit_event!(
            ctx,
            ctx.accounts.request_withdraw(shares, ctx.bumps.request)?
        )
    }

    /// Gives a request up: its owner gets the shares back that are worth the lower of their value
    /// then and now.
    #[discrim = 37]
    pub fn cancel_withdraw(ctx: &mut Context<CancelWithdraw>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.cancel_withdraw()?)
    }

    /// Pays a request whose cooldown is over, as far as free capital reaches. Anyone may call it.
    #[discrim = 38]
    pub fn withdraw(ctx: &mut Context<Withdraw>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.withdraw()?)
    }

    /// Pays the treasury's or the manager's part of premiums. Anyone may call it.
    #[discrim = 39]
    pub fn collect_manager_fees(
        ctx: &mut Context<CollectManagerFees>,
        payee: PremiumPayee,
    ) -> Result<()> {
        emit_event!(ctx, ctx.accounts.collect_manager_fees(payee)?)
    }

    /// Closes an exposure that nothing depends on: off the list, of a retired or changed model, or of
    /// a vault without shares. Anyone may call it.
    #[discrim = 40]
    pub fn close_exposure(ctx: &mut Context<CloseExposure>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_exposure()?)
    }

    /// Closes a vault that owes nobody: residue to the treasury. Anyone may call it.
    #[discrim = 41]
    pub fn close_vault(ctx: &mut Context<CloseVault>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.close_vault()?)
    }

    // Policies.

    /// Buys the holder's policy `id` on a model that the vault has listed.
    #[discrim = 44]
    pub fn buy_policy(ctx: &mut Context<BuyPolicy>, id: u64, terms: PolicyTerms) -> Result<()> {
        emit_event!(ctx, ctx.accounts.buy_policy(id, terms, ctx.bumps.policy)?)
    }

    /// Pays a policy by a run of receipts at or over its trigger, and closes it when all cover is
    /// paid. Anyone may call it. Remaining accounts: the receipts.
    #[discrim = 45]
    pub fn claim_policy(ctx: &mut Context<ClaimPolicy>) -> Result<()> {
        let receipts = ctx.remaining_accounts()?;
        emit_event!(ctx, ctx.accounts.claim_policy(receipts)?)
    }

    /// Ends a policy, and gives what is unused of the premium back, less a fee. Signed by the holder.
    #[discrim = 46]
    pub fn cancel_policy(ctx: &mut Context<ClaimPolicy>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.cancel_policy()?)
    }

    /// Buys as many windows more for a policy. Signed by the holder, or by nobody where the policy
    /// renews by itself and the holder's token account delegates the premium.
    #[discrim = 47]
    pub fn renew_policy(ctx: &mut Context<RenewPolicy>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.renew_policy(ctx.bumps.renewal)?)
    }

    /// Ends a policy that can no longer be claimed. Anyone may call it.
    #[discrim = 48]
    pub fn expire_policy(ctx: &mut Context<ExpirePolicy>) -> Result<()> {
        emit_event!(ctx, ctx.accounts.expire_policy()?)
    }
}
