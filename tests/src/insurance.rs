//! Vaults and policies in the virtual machine: what must hold of them after every transaction, and
//! a world that has both.

use anchor_lang::Address;
use driftshield_sdk::{
    Account, CollateralTerms, Exposure, ListingTerms, Model, Policy, PolicyTerms, Quote, Vault,
    VaultTerms, WithdrawRequest, address, first_window, instruction, quote,
};

use crate::world::*;

/// A vault's cooldown: longer than it takes to measure a window a day.
pub const COOLDOWN: i64 = 4 * DAY;
/// What a scene's liquidity provider puts up.
pub const CAPITAL: u64 = 10_000 * TOKEN;
/// The drift of the windows that a scene begins with.
pub const CALM_DRIFT: u64 = 10_000;
/// How many windows a scene begins with.
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

    /// `at_risk` and `exposure` are those of unsettled markets and open policies.
    pub(crate) fn check_risk(&self, at: &Address, model: &Model, accounts: &[(Address, Account)]) {
        let of_model = accounts.iter().filter_map(|(_, account)| match account {
            Account::Market(market) if market.model == *at && !market.is_settled() => {
                Some(market.total)
            }
            Account::Policy(policy) if policy.model == *at => Some(policy.open_cover()),
            _ => None,
        });
        let risks: Vec<u64> = of_model.filter(|&risk| 0 < risk).collect();
        assert_eq!(model.at_risk, risks.iter().sum::<u64>(), "at risk on {at}");
        assert_eq!(model.exposure, risks.len() as u64, "exposure of {at}");
    }

    /// A vault holds what it owes, has locked what its policies and exposures say, and streams no
    /// more than it was paid.
    pub(crate) fn check_vault(
        &self,
        address: &Address,
        vault: &Vault,
        accounts: &[(Address, Account)],
    ) {
        let policies: Vec<&Policy> = accounts
            .iter()
            .filter_map(|(_, account)| match account {
                Account::Policy(policy) if policy.vault == *address => Some(&**policy),
                _ => None,
            })
            .collect();
        let exposures: Vec<&Exposure> = accounts
            .iter()
            .filter_map(|(_, account)| match account {
                Account::Exposure(exposure) if exposure.vault == *address => Some(&**exposure),
                _ => None,
            })
            .collect();
        let requests: Vec<&WithdrawRequest> = accounts
            .iter()
            .filter_map(|(_, account)| match account {
                Account::WithdrawRequest(request) if request.vault == *address => Some(&**request),
                _ => None,
            })
            .collect();

        assert!(vault.owed().unwrap() <= self.tokens(&vault.tokens));
        assert!(vault.locked <= vault.assets);
        let open: u64 = policies.iter().map(|policy| policy.open_cover()).sum();
        assert_eq!(vault.locked, open, "locked for policies");
        let covered: u64 = exposures.iter().map(|exposure| exposure.cover).sum();
        assert_eq!(vault.locked, covered, "locked for exposures");
        for exposure in &exposures {
            let own = policies
                .iter()
                .filter(|policy| policy.model == exposure.model);
            assert_eq!(exposure.policies, own.clone().count() as u64);
            assert_eq!(
                exposure.cover,
                own.map(|policy| policy.open_cover()).sum::<u64>()
            );
        }
        assert_eq!(vault.policies, policies.len() as u64);
        assert_eq!(vault.exposures, exposures.len() as u64);
        assert_eq!(vault.requests, requests.len() as u64);

        let escrowed: u64 = requests.iter().map(|request| request.shares).sum();
        assert_eq!(vault.escrowed, escrowed);
        assert!(escrowed <= self.tokens(&vault.escrow));
        let supply = self
            .svm
            .get_account(&vault.share_mint)
            .expect("a mint")
            .data;
        let supply = u64::from_le_bytes(supply[36..44].try_into().expect("eight bytes"));
        assert!(
            supply <= vault.shares,
            "{supply} shares of {}",
            vault.shares
        );

        check_streams(vault);
    }
}

/// The rate is the sum of what the ends of streams take off it, and all of them together give no
/// more than is unearned.
fn check_streams(vault: &Vault) {
    let bucket = vault.accrued_at / vault.bucket_secs;
    let mut rate = 0;
    let mut streams = u128::from(vault.fraction);
    for ahead in 1..=vault.ends.len() as i64 {
        let end = bucket + ahead;
        let off = vault.ends[end as usize % vault.ends.len()].get();
        rate += off;
        streams += off * (end * vault.bucket_secs - vault.accrued_at) as u128;
    }
    assert_eq!(vault.rate.get(), rate);
    assert!(streams <= u128::from(vault.unearned) << driftshield::RATE_BITS);
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
        max_utilisation_bps: 9_000,
        cancel_fee_bps: 1_000,
        reserved: [0; 2],
    }
}

/// Bonds that secure thousands of tokens of cover.
pub fn insurance_terms() -> CollateralTerms {
    CollateralTerms {
        min_bond: 10_000 * TOKEN,
        slash_amount: 10_000 * TOKEN,
        ..terms()
    }
}

/// A model with a history, a vault that lists it, and somebody who put capital in.
#[derive(Clone)]
pub struct Insured {
    pub world: World,
    pub model: TestModel,
    pub manager: Wallet,
    pub vault: Address,
    pub lp: Wallet,
    /// The next window to measure.
    pub window: u64,
}

impl Insured {
    pub fn new() -> Self {
        Self::with(vault_terms())
    }

    pub fn with(terms: VaultTerms) -> Self {
        Self::on(World::with(params(), insurance_terms()), terms)
    }

    pub fn on(world: World, terms: VaultTerms) -> Self {
        Self::empty(world, terms).with_capital(CAPITAL)
    }

    /// Without capital.
    pub fn empty(mut world: World, terms: VaultTerms) -> Self {
        let spec = share_spec(&world);
        let model = world.model_with(spec, 3, 10_000 * TOKEN);
        let mut insured = Self::around(world, model, terms);
        for _ in 0..HISTORY {
            insured.measure(CALM_DRIFT);
        }
        insured
    }

    /// A vault that lists `model`, without capital and history.
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

    pub fn with_capital(mut self, capital: u64) -> Self {
        let provider = self.provider();
        self.deposit(&provider, capital).expect("deposit");
        self
    }

    /// Who put capital in.
    pub fn provider(&self) -> Wallet {
        self.lp.clone()
    }

    pub fn vault(&self) -> Vault {
        self.world.vault(&self.vault)
    }

    /// As it would be now.
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

    /// The next window becomes Final with `drift`.
    pub fn measure(&mut self, drift: u64) {
        self.world
            .finalize_with(&self.model, self.window, &share(drift));
        self.window += 1;
    }

    /// The next window is measured by nobody.
    pub fn skip_window(&mut self) {
        self.window += 1;
    }

    pub fn list(&mut self, cap: u64, lowest_trigger: u64) -> Outcome {
        let terms = ListingTerms {
            model_version: self.model().version,
            cap,
            lowest_trigger,
        };
        let (manager, vault) = (self.manager.address(), self.vault);
        let list = instruction::list_model(manager, vault, self.model.address, terms);
        self.world.send(list, &[&self.manager.key])
    }

    // Liquidity.

    /// The account of the vault's shares, made if it is missing, and its balance.
    pub fn shares(&self, owner: &Wallet) -> u64 {
        let account = address::share_account(&owner.address(), &self.vault());
        self.world.tokens(&account)
    }

    pub fn deposit(&mut self, owner: &Wallet, amount: u64) -> Outcome {
        self.deposit_for(owner, amount, 0)
    }

    pub fn deposit_for(&mut self, owner: &Wallet, amount: u64, min_shares: u64) -> Outcome {
        let state = self.vault();
        let payer = solana_signer::Signer::pubkey(&self.world.payer);
        let account = instruction::create_share_account(&payer, &owner.address(), &state);
        self.world.send(account, &[]).expect("an account of shares");
        let deposit = instruction::deposit(
            owner.address(),
            self.vault,
            &state,
            owner.tokens,
            amount,
            min_shares,
        );
        self.world.send(deposit, &[&owner.key])
    }

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

    /// Signed by nobody.
    pub fn withdraw(&mut self, owner: &Wallet) -> Outcome {
        let state = self.vault();
        let withdraw = instruction::withdraw(owner.address(), self.vault, &state);
        self.world.send(withdraw, &[])
    }

    /// All shares of `owner` leave, after the cooldown. Returns what they paid.
    pub fn leave(&mut self, owner: &Wallet) -> u64 {
        let before = self.world.tokens(&owner.tokens);
        let shares = self.shares(owner);
        self.request(owner, shares).expect("request_withdraw");
        self.world.pass(COOLDOWN);
        self.withdraw(owner).expect("withdraw");
        self.world.tokens(&owner.tokens) - before
    }

    // Policies.

    /// A hundred tokens of cover on the next ten windows, from a drift of 0.1 to one of 0.3.
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
            auto_renew: false,
        }
    }

    /// What `terms` cost now.
    pub fn quote(&self, terms: &PolicyTerms) -> anchor_lang::Result<Quote> {
        let (exposure, model) = (self.exposure(), self.model());
        quote(
            &mut self.vault(),
            &exposure,
            &model,
            terms,
            self.world.now(),
        )
    }

    pub fn buy(&mut self, holder: &Wallet, id: u64, terms: PolicyTerms) -> Outcome {
        let buy = instruction::buy_policy(
            holder.address(),
            id,
            self.vault,
            &self.vault(),
            self.model.address,
            holder.tokens,
            terms,
        );
        self.world.send(buy, &[&holder.key])
    }

    pub fn policy(&self, holder: &Wallet, id: u64) -> Policy {
        self.world.policy(&self.vault, &holder.address(), id)
    }

    /// By the receipts from `first_window` on; signed by nobody.
    pub fn claim(&mut self, holder: &Wallet, id: u64, first_window: u64) -> Outcome {
        let policy = self.policy(holder, id);
        let claim = instruction::claim_policy(&policy, &self.vault(), first_window);
        self.world.send(claim, &[])
    }

    pub fn cancel(&mut self, holder: &Wallet, id: u64) -> Outcome {
        let cancel = instruction::cancel_policy(&self.policy(holder, id), &self.vault());
        self.world.send(cancel, &[&holder.key])
    }

    pub fn expire(&mut self, holder: &Wallet, id: u64) -> Outcome {
        let expire = instruction::expire_policy(&self.policy(holder, id));
        self.world.send(expire, &[])
    }

    /// Signed by the holder, or by nobody.
    pub fn renew(&mut self, holder: &Wallet, id: u64, signs: bool) -> Outcome {
        let policy = self.policy(holder, id);
        let renew = instruction::renew_policy(&policy, &self.vault(), holder.tokens, signs);
        let signers = if signs { vec![&holder.key] } else { vec![] };
        self.world.send(renew, &signers)
    }
}

impl Default for Insured {
    fn default() -> Self {
        Self::new()
    }
}
