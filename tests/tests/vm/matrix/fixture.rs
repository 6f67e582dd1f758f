//! The fixture of all scenes: three complete sets of accounts, so that every account of an instruction
//! has genuine counterparts.
//!
//! Each set has a model, a market, a vault and a policy, all of them funded. Sets `a` and `b` use one
//! mint, set `c` another. A scene's instruction acts on set `a`.

use std::collections::{HashMap, HashSet};

use driftshield_sdk::{Address, Instruction, ListingTerms, TokenProgram, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::fake_programs;
use crate::stakeholders::market_terms_on;

/// First window of the market and of the policy.
pub const FIRST_WINDOW: u64 = 10;
/// Last window of the market; the policy ends later.
pub const LAST_WINDOW: u64 = 12;
/// Names of the account sets: prefixes of the account names in the tables.
const SET_NAMES: [&str; 3] = ["a", "b", "c"];
/// The stake of each bet.
pub const STAKE: u64 = 10 * TOKEN;
/// The bond of each oracle.
const BOND: u64 = 40_000 * TOKEN;

/// A model, a market, a vault and a policy in one mint, and the wallets that use them.
#[derive(Clone)]
pub struct AccountSet {
    pub mint: Address,
    pub model: TestModel,
    /// A second model of the owner, without bonds, markets and cover.
    pub idle_model: Address,
    pub creator: Wallet,
    /// On windows [`FIRST_WINDOW`] to [`LAST_WINDOW`], with a bet on each outcome. Outcome 0 wins if the
    /// model does not drift.
    pub market: Address,
    /// A second market of the creator, without bets.
    pub idle_market: Address,
    pub winner: Wallet,
    pub loser: Wallet,
    pub manager: Wallet,
    /// Lists the model.
    pub vault: Address,
    /// A second vault of the manager, without shares.
    pub idle_vault: Address,
    pub lp: Wallet,
    /// Holds policy 1.
    pub holder: Wallet,
}

#[derive(Clone)]
pub struct Fixture {
    pub world: World,
    /// Sets `a`, `b` and `c`.
    pub sets: [AccountSet; 3],
    /// The attacker: a wallet with tokens of both mints and no role.
    pub stranger: Wallet,
    /// The stranger's token account in the mint of set `c`.
    pub stranger_tokens_other_mint: Address,
    /// The next window to measure.
    pub window: u64,
}

impl Fixture {
    pub fn new() -> Self {
        let mut world = World::with(params(), insurance_terms());
        let mints = [world.mint, world.mint, world.second_collateral()];
        fake_programs::deploy(&mut world);
        let mut sets = vec![];
        for mint in mints {
            world.mint = mint;
            let (set, world_with_set) = AccountSet::new(world);
            world = world_with_set;
            sets.push(set);
        }
        let stranger_tokens_other_mint = world.wallet(CAPITAL).tokens;
        world.mint = mints[0];
        let stranger = world.wallet(CAPITAL);
        let mut fixture = Self {
            world,
            sets: sets.try_into().unwrap_or_else(|_| unreachable!()),
            stranger,
            stranger_tokens_other_mint,
            window: 0,
        };
        for _ in 0..HISTORY {
            fixture.measure(CALM_DRIFT);
        }
        fixture.for_each_set(|insured, set| {
            let terms = driftshield_sdk::PolicyTerms {
                persistence: 2,
                auto_renew: true,
                ..insured.terms()
            };
            insured.buy(&set.holder, 1, terms).unwrap();
            let (mint, key) = (insured.world.mint, &set.holder.key);
            let program = TokenProgram::SplToken;
            let approve = instruction::approve_renewals(&key.pubkey(), &mint, program, CAPITAL);
            insured.world.send(approve, &[key]).unwrap();
            let lp = insured.provider();
            insured.deposit(&lp, CAPITAL).unwrap();
            insured.request(&lp, CAPITAL).unwrap();
        });
        fixture
    }

    /// Set `a`, which the scene's instruction acts on.
    pub fn target(&self) -> &AccountSet {
        &self.sets[0]
    }

    /// Does the same with each account set.
    pub fn for_each_set(&mut self, act: impl Fn(&mut Insured, &AccountSet)) {
        let mint = self.world.mint;
        for set in &self.sets {
            let mut insured = set.insured(self.world.clone());
            act(&mut insured, set);
            self.world = insured.world;
        }
        self.world.mint = mint;
    }

    /// Lists the idle model in the vault of each set.
    pub fn list_idle_models(&mut self, cap: u64) {
        self.for_each_set(|insured, set| {
            let (manager, terms) = (&set.manager, set.listing(cap));
            let list = instruction::list_model(manager.address(), set.vault, set.idle_model, terms);
            insured.world.send(list, &[&manager.key]).unwrap();
        });
    }

    /// All oracles of each set submit `drift` for the next window.
    pub fn submit(&mut self, drift: u64) {
        for set in &self.sets {
            self.world
                .submit_all(&set.model, self.window, &share(drift));
        }
        self.window += 1;
    }

    /// Finalizes the next window of each set with `drift`.
    pub fn measure(&mut self, drift: u64) {
        self.submit(drift);
        self.pass_challenge_period();
        for set in &self.sets {
            self.world
                .finalize(&set.model, self.window - 1)
                .expect("finalize_receipt");
        }
    }

    /// Finalizes all windows up to and including `window` with `drift`.
    pub fn measure_through(&mut self, window: u64, drift: u64) {
        while self.window <= window {
            self.measure(drift);
        }
    }

    /// Begins policy 1 of each set, after a probation without drift.
    pub fn begin_policies(&mut self) {
        self.measure_through(FIRST_WINDOW - 1, CALM_DRIFT);
        self.for_each_set(|insured, set| {
            insured.begin(&set.holder, 1).unwrap();
        });
    }

    pub fn pass_challenge_period(&mut self) {
        let model = self.world.model(&self.target().model.address);
        self.world.pass(model.challenge_secs);
    }

    /// Resolves the market of each set: outcome 0 wins.
    pub fn settle_markets(&mut self) {
        self.measure_through(LAST_WINDOW, CALM_DRIFT);
        self.for_each_set(|insured, set| {
            insured.world.settle(&set.market).unwrap();
        });
    }

    /// Sends an instruction with all signatures that it requires.
    pub fn send(&mut self, instruction: Instruction) -> Outcome {
        self.send_all(&[instruction])
    }

    /// Sends instructions in one transaction with all signatures that they require.
    pub fn send_all(&mut self, instructions: &[Instruction]) -> Outcome {
        let keys = self.keys();
        let signers = signers(instructions, |address| keys.get(address));
        self.world.send_all(instructions, &signers)
    }

    /// The keys of all wallets and roles but the fee payer.
    pub fn keys(&self) -> HashMap<Address, Keypair> {
        let world = &self.world;
        let roles = [&world.admin, &world.guardian, &world.arbiter].into_iter();
        let wallets = self.wallets().into_iter().map(|(_, wallet)| &wallet.key);
        roles
            .chain(wallets)
            .map(|key| (key.pubkey(), key.insecure_clone()))
            .collect()
    }

    fn wallets(&self) -> Vec<(String, &Wallet)> {
        let mut wallets = vec![("stranger".to_owned(), &self.stranger)];
        for (name, set) in SET_NAMES.iter().zip(&self.sets) {
            let of_set = set.wallets();
            wallets.extend(of_set.map(|(role, wallet)| (format!("{name}.{role}"), wallet)));
        }
        wallets
    }

    /// All accounts with their names, including some that do not exist yet. Names of an account set
    /// start with its letter.
    pub fn named_accounts(&self) -> Vec<(String, Address)> {
        let world = &self.world;
        let mut named = vec![
            ("admin".to_owned(), world.admin.pubkey()),
            ("guardian".to_owned(), world.guardian.pubkey()),
            ("arbiter".to_owned(), world.arbiter.pubkey()),
            ("config".to_owned(), address::config()),
            ("program-data".to_owned(), address::program_data()),
            (
                "stranger.tokens-other-mint".to_owned(),
                self.stranger_tokens_other_mint,
            ),
        ];
        for (name, wallet) in self.wallets() {
            named.push((name.clone(), wallet.address()));
            named.push((format!("{name}.tokens"), wallet.tokens));
        }
        for (name, set) in SET_NAMES.iter().zip(&self.sets) {
            let of_set = set.accounts(self.window);
            named.extend(of_set.map(|(role, address)| (format!("{name}.{role}"), address)));
        }
        // Sets `a` and `b` share their mint and its collateral: keep the first name of each address.
        let mut seen = HashSet::new();
        named.retain(|(_, address)| seen.insert(*address));
        named
    }
}

impl AccountSet {
    /// Adds a set in the mint of `world`. Returns the set and the world that contains it.
    fn new(mut world: World) -> (Self, World) {
        let spec = share_spec(&world);
        let model = world.model_with(spec.clone(), 3, BOND);
        let owner = &model.owner;
        let register = instruction::register_model(
            owner.address(),
            2,
            &world.collateral(),
            spec,
            model_terms(&model.oracles),
        );
        world.send(register, &[&owner.key]).unwrap();
        let creator = world.wallet(0);
        let market = world
            .create_market(
                &model,
                &creator,
                1,
                market_terms_on(&world, &model, FIRST_WINDOW, LAST_WINDOW),
            )
            .unwrap();
        let idle_market = world
            .create_market(&model, &creator, 2, market_terms_on(&world, &model, 20, 20))
            .unwrap();
        let [winner, loser] = [(); 2].map(|()| world.wallet(CAPITAL));
        for (bettor, outcome) in [(&winner, 0), (&loser, 1)] {
            world.bet(&market, bettor, outcome, STAKE).unwrap();
        }
        let holder = world.wallet(CAPITAL);
        let mut insured =
            Insured::around(world, model.clone(), vault_terms()).with_capital(CAPITAL);
        let world = &mut insured.world;
        let manager = insured.manager.clone();
        let create = instruction::create_vault(
            manager.address(),
            2,
            &world.collateral(),
            COOLDOWN,
            1_000,
            vault_terms(),
        );
        world.send(create, &[&manager.key]).unwrap();
        let set = Self {
            mint: world.mint,
            idle_model: address::model(&model.owner.address(), 2),
            creator,
            market,
            idle_market,
            winner,
            loser,
            vault: insured.vault,
            idle_vault: address::vault(&manager.address(), 2),
            lp: insured.lp.clone(),
            manager,
            holder,
            model,
        };
        (set, insured.world)
    }

    /// An [`Insured`] of this set's model and vault in `world`.
    pub fn insured(&self, mut world: World) -> Insured {
        world.mint = self.mint;
        Insured {
            world,
            model: self.model.clone(),
            manager: self.manager.clone(),
            vault: self.vault,
            lp: self.lp.clone(),
            window: 0,
        }
    }

    /// The manager's terms for listing a model.
    pub fn listing(&self, cap: u64) -> ListingTerms {
        ListingTerms {
            model_version: 1,
            cap,
            lowest_trigger: 20_000,
            max_persistence: 1,
        }
    }

    fn wallets(&self) -> impl Iterator<Item = (&'static str, &Wallet)> {
        [
            ("owner", &self.model.owner),
            ("oracle0", &self.model.oracles[0]),
            ("oracle1", &self.model.oracles[1]),
            ("oracle2", &self.model.oracles[2]),
            ("creator", &self.creator),
            ("winner", &self.winner),
            ("loser", &self.loser),
            ("manager", &self.manager),
            ("lp", &self.lp),
            ("holder", &self.holder),
        ]
        .into_iter()
    }

    /// The set's accounts other than wallets, with the receipts of windows around `next_window` and the
    /// first two pages of the series.
    fn accounts(&self, next_window: u64) -> impl Iterator<Item = (String, Address)> {
        let (model, vault) = (self.model.address, self.vault);
        let collateral = address::collateral(&self.mint);
        let mut accounts = vec![
            ("mint".to_owned(), self.mint),
            ("collateral".to_owned(), collateral),
            ("treasury".to_owned(), address::treasury(&collateral)),
            ("model".to_owned(), model),
            ("model.bonds".to_owned(), address::bond_vault(&model)),
            ("idle-model".to_owned(), self.idle_model),
            (
                "idle-model.bonds".to_owned(),
                address::bond_vault(&self.idle_model),
            ),
        ];
        let mut add = |name: &str, address| accounts.push((name.to_owned(), address));
        for (index, oracle) in self.model.oracles.iter().enumerate() {
            let oracle = oracle.address();
            add(&format!("seat{index}"), address::seat(&model, &oracle));
            add(
                &format!("idle-seat{index}"),
                address::seat(&self.idle_model, &oracle),
            );
        }
        for window in next_window.saturating_sub(4)..=next_window.max(LAST_WINDOW) {
            let receipt = address::receipt(&model, window);
            add(&format!("receipt{window}"), receipt);
        }
        for page in 0..2 {
            let series = address::series_page(&model, page);
            add(&format!("series{page}"), series);
        }
        for (name, market) in [("market", self.market), ("idle-market", self.idle_market)] {
            add(name, market);
            add(&format!("{name}.vault"), address::market_vault(&market));
        }
        for (name, bettor) in [("winner", &self.winner), ("loser", &self.loser)] {
            let position = address::position(&self.market, &bettor.address());
            add(&format!("{name}.position"), position);
            let position = address::position(&self.idle_market, &bettor.address());
            add(&format!("{name}.idle-position"), position);
        }
        for (name, vault) in [("vault", vault), ("idle-vault", self.idle_vault)] {
            add(name, vault);
            add(&format!("{name}.tokens"), address::vault_tokens(&vault));
            add(&format!("{name}.shares"), address::share_mint(&vault));
        }
        let lp = self.lp.address();
        add("exposure", address::exposure(&vault, &model));
        add("idle-exposure", address::exposure(&vault, &self.idle_model));
        add("lp.request", address::withdraw_request(&vault, &lp));
        let share_mint = address::share_mint(&vault);
        let shares = address::token_account(&lp, &share_mint, TokenProgram::SplToken);
        add("lp.shares", shares);
        let holder = self.holder.address();
        add("holder.renewal", address::renewal_authority(&holder));
        for id in 1..=2 {
            let policy = address::policy(&vault, &holder, id);
            add(&format!("holder.policy{id}"), policy);
        }
        accounts.into_iter()
    }
}

/// The keys of the signers of `instructions`, each once. Skips signers without a key: the fee payer
/// signs every transaction anyway.
pub fn signers<'a>(
    instructions: &[Instruction],
    key_of: impl Fn(&Address) -> Option<&'a Keypair>,
) -> Vec<&'a Keypair> {
    let mut signers: Vec<&Keypair> = vec![];
    let accounts = instructions
        .iter()
        .flat_map(|instruction| &instruction.accounts);
    for account in accounts.filter(|account| account.is_signer) {
        if let Some(key) = key_of(&account.pubkey).filter(|key| !signers.contains(key)) {
            signers.push(key);
        }
    }
    signers
}
