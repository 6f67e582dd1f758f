//! A world with a vault that sells cover on a model.

use anchor_lang::Address;
use driftshield_sdk::{
    CollateralTerms, DepositLimits, DriftShieldError, Exposure, ListingTerms, Model, Policy,
    PolicyTerms, Quote, Refusal, Vault, VaultTerms, WithdrawRequest, address, first_window,
    instruction, quote, quote_renewal,
};
use solana_signer::Signer;

use crate::world::*;

/// The vault's cooldown: longer than four windows of a day and their dispute.
pub const COOLDOWN: i64 = 7 * DAY;
/// The largest persistence that [`Insured::list`] lists.
pub const MAX_PERSISTENCE: u8 = 4;
/// The deposit of the liquidity provider, in base units.
pub const CAPITAL: u64 = 10_000 * TOKEN;
/// The drift of the windows that [`Insured::empty`] measures, in micro-units.
pub const CALM_DRIFT: u64 = 10_000;
/// The number of windows that [`Insured::empty`] measures: enough for cover.
pub const HISTORY: u64 = 8;

impl World {
    pub fn vault(&self, vault: &Address) -> Vault {
        self.read(vault)
    }

    pub fn exposure(&self, vault: &Address, model: &Address) -> Exposure {
        self.read(&address::exposure(vault, model))
    }

    pub fn policy(&self, vault: &Address, holder: &Address, id: u64) -> Policy {
        self.read(&address::policy(vault, holder, id))
    }

    pub fn request(&self, vault: &Address, owner: &Address) -> WithdrawRequest {
        self.read(&address::withdraw_request(vault, owner))
    }
}

pub fn vault_terms() -> VaultTerms {
    VaultTerms {
        min_cover: TOKEN,
        max_cover: 100_000 * TOKEN,
        min_duration_secs: DAY,
        max_duration_secs: 400 * DAY,
        base_bps: 100,
        slope1_bps: 400,
        slope2_bps: 6_000,
        kink_bps: 8_000,
        risk_slope_bps: 1_000,
        persistence_bps: [10_000, 9_000, 8_000, 7_000],
        max_utilisation_bps: 9_000,
        cancel_fee_bps: 1_000,
        reserved: [0; 2],
    }
}

/// Terms of a vault of a network whose windows last seconds.
pub fn brief_vault_terms(max_cover: u64) -> VaultTerms {
    VaultTerms {
        min_cover: 1,
        max_cover,
        min_duration_secs: 1,
        max_duration_secs: 10 * DAY,
        base_bps: 500,
        risk_slope_bps: 2_000,
        ..vault_terms()
    }
}

/// Terms with bonds that secure thousands of tokens of cover.
pub fn insurance_terms() -> CollateralTerms {
    CollateralTerms {
        min_bond: 20_000 * TOKEN,
        slash_amount: 10_000 * TOKEN,
        ..terms()
    }
}

/// A model, a vault that lists the model, and a liquidity provider.
#[derive(Clone)]
pub struct Insured {
    pub world: World,
    pub model: TestModel,
    pub manager: Wallet,
    pub vault: Address,
    /// The liquidity provider.
    pub lp: Wallet,
    /// The next window to measure.
    pub window: u64,
}

/// The vault as if its pending losses were borne, all by capital that stays.
pub fn net(mut vault: Vault) -> Vault {
    vault.assets -= vault.pending_losses;
    vault.locked -= vault.pending_losses;
    vault.pending_losses = 0;
    vault
}

impl Insured {
    /// A vault with capital, in a new world.
    pub fn new() -> Self {
        Self::with(vault_terms())
    }

    pub fn with(terms: VaultTerms) -> Self {
        Self::on(World::with(params(), insurance_terms()), terms)
    }

    /// A vault with capital, in `world`.
    pub fn on(world: World, terms: VaultTerms) -> Self {
        Self::empty(world, terms).with_capital(CAPITAL)
    }

    /// A vault without capital, in `world`. Its model has [`HISTORY`] Final windows.
    pub fn empty(mut world: World, terms: VaultTerms) -> Self {
        let spec = share_spec(&world);
        let model = world.model_with(spec, 3, 20_000 * TOKEN);
        let mut insured = Self::around(world, model, terms);
        for _ in 0..HISTORY {
            insured.measure(CALM_DRIFT);
        }
        insured
    }

    /// A vault without capital that lists `model`. Measures no window.
    pub fn around(mut world: World, model: TestModel, terms: VaultTerms) -> Self {
        let manager = world.wallet(0);
        let create = instruction::create_vault(
            manager.address(),
            1,
            &world.collateral(),
            COOLDOWN,
            1_000,
            terms,
        );
        world.send(create, &[&manager.key]).expect("create_vault");
        let vault = address::vault(&manager.address(), 1);
        let lp = world.wallet(10 * CAPITAL);
        let mut insured = Self {
            world,
            model,
            manager,
            vault,
            lp,
            window: 0,
        };
        let lowest = insured.model().noise_floor.max(20_000);
        insured.list(100_000 * TOKEN, lowest).expect("list_model");
        insured
    }

    /// Deposits `capital` base units of the liquidity provider.
    pub fn with_capital(mut self, capital: u64) -> Self {
        let provider = self.provider();
        self.deposit(&provider, capital).expect("deposit");
        self
    }

    /// The liquidity provider.
    pub fn provider(&self) -> Wallet {
        self.lp.clone()
    }

    pub fn vault(&self) -> Vault {
        self.world.vault(&self.vault)
    }

    /// The vault, with premium accrued up to now.
    pub fn vault_now(&self) -> Vault {
        let mut vault = self.vault();
        vault.accrue(self.world.now());
        vault
    }

    pub fn model(&self) -> Model {
        self.world.model(&self.model.address)
    }

    pub fn exposure(&self) -> Exposure {
        self.world.exposure(&self.vault, &self.model.address)
    }

    /// Makes the next window Final with `drift` micro-units.
    pub fn measure(&mut self, drift: u64) {
        self.world
            .finalize_with(&self.model, self.window, &share(drift));
        self.window += 1;
    }

    /// Leaves the next window unmeasured.
    pub fn skip_window(&mut self) {
        self.window += 1;
    }

    pub fn list(&mut self, cap: u64, lowest_trigger: u64) -> Outcome {
        self.list_up_to(cap, lowest_trigger, MAX_PERSISTENCE)
    }

    pub fn list_up_to(&mut self, cap: u64, lowest_trigger: u64, max_persistence: u8) -> Outcome {
        let terms = ListingTerms {
            model_version: self.model().version,
            cap,
            lowest_trigger,
            max_persistence,
        };
        let (manager, vault) = (self.manager.address(), self.vault);
        let list = instruction::list_model(manager, vault, self.model.address, terms);
        self.world.send(list, &[&self.manager.key])
    }

    /// Measures windows with `drift` until the next one is `window`.
    pub fn measure_until(&mut self, window: u64, drift: u64) {
        while self.window < window {
            self.measure(drift);
        }
    }

    // Liquidity.

    /// The balance of the owner's share account.
    pub fn shares(&self, owner: &Wallet) -> u64 {
        let account = address::share_account(&owner.address(), &self.vault());
        self.world.tokens(&account)
    }

    pub fn deposit(&mut self, owner: &Wallet, amount: u64) -> Outcome {
        self.deposit_for(owner, amount, 0)
    }

    /// Deposits `amount` for at least `min_shares`. Creates the share account first.
    pub fn deposit_for(&mut self, owner: &Wallet, amount: u64, min_shares: u64) -> Outcome {
        self.deposit_as_read(owner, amount, min_shares, &self.vault())
    }

    /// Deposits by what the owner has read of the vault. Creates the share account first.
    pub fn deposit_as_read(
        &mut self,
        owner: &Wallet,
        amount: u64,
        min_shares: u64,
        read: &Vault,
    ) -> Outcome {
        let (payer, key) = (self.world.payer.pubkey(), owner.address());
        let account = instruction::create_share_account(&payer, &key, read);
        self.world.send(account, &[]).expect("create_share_account");
        let (vault, source) = (self.vault, owner.tokens);
        let deposit = instruction::deposit(
            key,
            vault,
            read,
            source,
            amount,
            DepositLimits::as_read(read, min_shares),
        );
        self.world.send(deposit, &[&owner.key])
    }

    /// Requests a withdrawal.
    pub fn request(&mut self, owner: &Wallet, shares: u64) -> Outcome {
        let state = self.vault();
        let request = instruction::request_withdraw(owner.address(), self.vault, &state, shares);
        self.world.send(request, &[&owner.key])
    }

    pub fn cancel_request(&mut self, owner: &Wallet) -> Outcome {
        let state = self.vault();
        let cancel = instruction::cancel_withdraw(owner.address(), self.vault, &state);
        self.world.send(cancel, &[&owner.key])
    }

    /// Withdraws without a signature.
    pub fn withdraw(&mut self, owner: &Wallet) -> Outcome {
        let state = self.vault();
        let withdraw = instruction::withdraw(owner.address(), self.vault, &state);
        self.world.send(withdraw, &[])
    }

    /// Withdraws all shares of `owner`: requests the withdrawal, waits for the cooldown, and withdraws.
    /// Returns the amount paid.
    pub fn leave(&mut self, owner: &Wallet) -> u64 {
        let before = self.world.tokens(&owner.tokens);
        let shares = self.shares(owner);
        self.request(owner, shares).expect("request_withdraw");
        self.world.pass(COOLDOWN);
        self.withdraw(owner).expect("withdraw");
        self.world.tokens(&owner.tokens) - before
    }

    // Policies.

    /// A hundred tokens of cover on the next ten windows, with trigger 0.1 and exhaustion 0.3.
    pub fn terms(&self) -> PolicyTerms {
        PolicyTerms {
            model_version: 1,
            cover: 100 * TOKEN,
            trigger: 100_000,
            exhaustion: 300_000,
            persistence: 1,
            first_window: first_window(&self.vault(), &self.model(), self.world.now()),
            windows: 10,
            max_premium: u64::MAX,
            max_cancel_fee_bps: u16::MAX,
            auto_renew: false,
        }
    }

    /// The lowest trigger that the model allows now.
    pub fn lowest_trigger(&self) -> u64 {
        let state = self.model().state();
        state.lowest_above_drift().max(state.noise_floor)
    }

    /// The lowest exhaustion of a policy with `trigger`.
    pub fn lowest_exhaustion(&self, trigger: u64) -> u64 {
        self.model().state().lowest_exhaustion(trigger)
    }

    /// The price of `terms` now.
    pub fn quote(&self, terms: &PolicyTerms) -> anchor_lang::Result<Quote> {
        let refused = |refusal| DriftShieldError::from(refusal).into();
        self.refusal(terms).map_err(refused)
    }

    /// The price of `terms` now, or the rule that refuses them.
    pub fn refusal(&self, terms: &PolicyTerms) -> Result<Quote, Refusal> {
        let (exposure, model) = (self.exposure(), self.model());
        quote(
            &mut self.vault(),
            &exposure,
            &model,
            terms,
            self.world.now(),
        )
    }

    /// The price of a renewal now, signed by the holder if `signs`.
    pub fn quote_renewal(&self, policy: &Policy, signs: bool) -> Result<Quote, Refusal> {
        let (exposure, model) = (self.exposure(), self.model());
        quote_renewal(
            &mut self.vault(),
            &exposure,
            &model,
            policy,
            signs,
            self.world.now(),
        )
    }

    /// Buys a policy. The holder first gets the security rent in addition to its tokens, so that
    /// tests can count premiums.
    pub fn buy(&mut self, holder: &Wallet, id: u64, terms: PolicyTerms) -> Outcome {
        let rent = self.quote(&terms).map_or(0, |quote| quote.rent);
        let buy = instruction::buy_policy(
            holder.address(),
            id,
            self.vault,
            &self.vault(),
            self.model.address,
            holder.tokens,
            terms,
        );
        self.world.send_with_tokens(&holder.tokens, rent, |world| {
            world.send(buy, &[&holder.key])
        })
    }

    pub fn policy(&self, holder: &Wallet, id: u64) -> Policy {
        self.world.policy(&self.vault, &holder.address(), id)
    }

    /// Begins the term on probation, if there is one and it passes.
    pub fn try_to_begin(&mut self, holder: &Wallet, id: u64) {
        if self.policy(holder, id).is_pending() {
            let mut preview = self.clone();
            let passed = preview.begin(holder, id).is_ok()
                && preview
                    .world
                    .exists(&address::policy(&self.vault, &holder.address(), id));
            if passed {
                *self = preview;
            }
        }
    }

    /// Examines a policy and claims what it owes, without a signature. First begins the term on probation, if
    /// it passes.
    pub fn claim(&mut self, holder: &Wallet, id: u64) -> Outcome {
        self.try_to_begin(holder, id);
        let _ = self.examine(holder, id); // refused if nothing was decided since
        self.claim_examined(holder, id)
    }

    /// Claims what a policy owes for the windows that have been examined.
    pub fn claim_examined(&mut self, holder: &Wallet, id: u64) -> Outcome {
        let policy = self.policy(holder, id);
        let claim = instruction::claim_policy(&policy, &self.vault());
        self.world.send(claim, &[])
    }

    /// Measures windows with little drift until the probation of a term is over, and begins it.
    pub fn start(&mut self, holder: &Wallet, id: u64) {
        let last = self.policy(holder, id).last_window; // of the probation
        while self.window <= last {
            self.measure(CALM_DRIFT);
        }
        self.begin(holder, id).expect("begin_policy");
    }

    /// Decides about the term on probation.
    pub fn begin(&mut self, holder: &Wallet, id: u64) -> Outcome {
        let begin = instruction::begin_policy(&self.policy(holder, id), &self.vault());
        self.world.send(begin, &[])
    }

    pub fn cancel(&mut self, holder: &Wallet, id: u64) -> Outcome {
        let cancel = instruction::cancel_policy(&self.policy(holder, id), &self.vault());
        self.world.send(cancel, &[&holder.key])
    }

    /// Examines all covered windows that are over.
    pub fn examine(&mut self, holder: &Wallet, id: u64) -> Outcome {
        let policy = self.policy(holder, id);
        let windows = policy.windows_to_examine(&self.model(), self.world.now(), usize::MAX);
        let examine = instruction::examine_policy(&policy, windows);
        self.world.send(examine, &[])
    }

    pub fn expire(&mut self, holder: &Wallet, id: u64) -> Outcome {
        self.try_to_begin(holder, id);
        let expire = instruction::expire_policy(&self.policy(holder, id), &self.vault());
        self.world.send(expire, &[])
    }

    /// The holder delegates `amount` to its renewal authority, so that anyone may renew its policies.
    pub fn delegate(&mut self, holder: &Wallet, amount: u64) {
        let approve = spl_token_interface::instruction::approve(
            &spl_token_interface::ID,
            &holder.tokens,
            &address::renewal_authority(&holder.address()),
            &holder.address(),
            &[],
            amount,
        );
        let approve = approve.expect("an instruction of the token program");
        self.world.send(approve, &[&holder.key]).expect("approve");
    }

    /// Renews a policy like [`Self::buy`], signed by the holder if `signs`.
    pub fn renew(&mut self, holder: &Wallet, id: u64, signs: bool) -> Outcome {
        self.try_to_begin(holder, id);
        let policy = self.policy(holder, id);
        let quote = self.quote_renewal(&policy, signs);
        let rent = quote.map_or(0, |quote| quote.rent);
        let renew = instruction::renew_policy(&policy, &self.vault(), holder.tokens, signs);
        let signers = if signs { vec![&holder.key] } else { vec![] };
        self.world
            .send_with_tokens(&holder.tokens, rent, |world| world.send(renew, &signers))
    }
}

impl Default for Insured {
    fn default() -> Self {
        Self::new()
    }
}
