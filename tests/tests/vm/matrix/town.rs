//! Three of everything, so that whatever an instruction names has a genuine double: two sites in
//! one token and a third in another, each with a model, a market, a vault and a policy, all funded.

use std::collections::HashMap;

use driftshield_sdk::{
    Address, ID, Instruction, ListingTerms, MarketTerms, TokenProgram, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

/// The market's and the policy's first window.
pub const FIRST: u64 = 10;
/// The market's last window; the policy has more.
pub const LAST: u64 = 12;
const STAKE: u64 = 10 * TOKEN;
/// The bond of each oracle.
const BOND: u64 = 20_000 * TOKEN;

/// What there is of everything in one token.
#[derive(Clone)]
pub struct Site {
    pub mint: Address,
    pub model: TestModel,
    /// The owner's second model, without bonds, markets and cover.
    pub idle: Address,
    pub creator: Wallet,
    /// On windows [`FIRST`] to [`LAST`], with a bet on either outcome: the first wins if it is calm.
    pub market: Address,
    /// The creator's second one, without bets.
    pub idle_market: Address,
    pub winner: Wallet,
    pub loser: Wallet,
    pub manager: Wallet,
    /// Covers the model.
    pub vault: Address,
    /// The manager's second one, without shares.
    pub idle_vault: Address,
    pub lp: Wallet,
    /// Has policy 1.
    pub holder: Wallet,
}

#[derive(Clone)]
pub struct Town {
    pub world: World,
    /// The scene is at the first. The second is in the same token, the third in another.
    pub sites: [Site; 3],
    /// Has no part in anything, and tokens of either kind.
    pub stranger: Wallet,
    pub stranger_abroad: Address,
    /// The next window to measure.
    pub window: u64,
}

impl Town {
    pub fn new() -> Self {
        let mut world = World::with(params(), insurance_terms());
        let mints = [world.mint, world.mint, world.second_collateral()];
        Malice::deploy(&mut world);
        let mut sites = vec![];
        for mint in mints {
            world.mint = mint;
            let (site, after) = Site::new(world);
            world = after;
            sites.push(site);
        }
        let stranger_abroad = world.wallet(CAPITAL).tokens;
        world.mint = mints[0];
        let stranger = world.wallet(CAPITAL);
        let mut town = Self {
            world,
            sites: sites.try_into().unwrap_or_else(|_| unreachable!()),
            stranger,
            stranger_abroad,
            window: 0,
        };
        for _ in 0..HISTORY {
            town.measure(CALM_DRIFT);
        }
        town.everywhere(|insured, site| {
            let terms = driftshield_sdk::PolicyTerms {
                persistence: 2,
                auto_renew: true,
                ..insured.terms()
            };
            insured.buy(&site.holder, 1, terms).unwrap();
            let (mint, key) = (insured.world.mint, &site.holder.key);
            let program = TokenProgram::SplToken;
            let approve = instruction::approve_renewals(&key.pubkey(), &mint, program, CAPITAL);
            insured.world.send(approve, &[key]).unwrap();
            let lp = insured.provider();
            insured.deposit(&lp, CAPITAL).unwrap();
            insured.request(&lp, CAPITAL).unwrap();
        });
        town
    }

    pub fn here(&self) -> &Site {
        &self.sites[0]
    }

    /// Does the same at each site.
    pub fn everywhere(&mut self, act: impl Fn(&mut Insured, &Site)) {
        let mint = self.world.mint;
        for site in &self.sites {
            let mut insured = site.insured(self.world.clone());
            act(&mut insured, site);
            self.world = insured.world;
        }
        self.world.mint = mint;
    }

    /// Every vault lists the second model too.
    pub fn list_idle(&mut self, cap: u64) {
        self.everywhere(|insured, site| {
            let (manager, terms) = (&site.manager, site.listing(cap));
            let list = instruction::list_model(manager.address(), site.vault, site.idle, terms);
            insured.world.send(list, &[&manager.key]).unwrap();
        });
    }

    /// Every model's oracles submit `drift` for the next window.
    pub fn submit(&mut self, drift: u64) {
        for site in &self.sites {
            self.world
                .submit_all(&site.model, self.window, &share(drift));
        }
        self.window += 1;
    }

    /// The next window of every model becomes Final with `drift`.
    pub fn measure(&mut self, drift: u64) {
        self.submit(drift);
        self.pass_challenge();
        for site in &self.sites {
            let finalize = instruction::finalize_receipt(site.model.address, self.window - 1);
            self.world.send(finalize, &[]).expect("finalize_receipt");
        }
    }

    /// The windows up to `window` become Final with `drift`.
    pub fn measure_to(&mut self, window: u64, drift: u64) {
        while self.window <= window {
            self.measure(drift);
        }
    }

    pub fn pass_challenge(&mut self) {
        let model = self.world.model(&self.here().model.address);
        self.world.pass(model.challenge_secs);
    }

    /// Every market is resolved: the first outcome has won.
    pub fn settle(&mut self) {
        self.measure_to(LAST, CALM_DRIFT);
        self.everywhere(|insured, site| {
            insured.world.settle(&site.market, 3).unwrap();
        });
    }

    pub fn send(&mut self, instruction: Instruction) -> Outcome {
        let keys = self.keys();
        let signers = signers(std::slice::from_ref(&instruction), &keys);
        self.world.send(instruction, &signers)
    }

    /// The keys of everybody who can sign, but for who pays the fees.
    pub fn keys(&self) -> HashMap<Address, Keypair> {
        let world = &self.world;
        let roles = [&world.admin, &world.guardian, &world.arbiter].into_iter();
        let people = self.people().into_iter().map(|(_, wallet)| &wallet.key);
        roles
            .chain(people)
            .map(|key| (key.pubkey(), key.insecure_clone()))
            .collect()
    }

    fn people(&self) -> Vec<(String, &Wallet)> {
        let mut people = vec![("x".to_owned(), &self.stranger)];
        for (name, site) in ["a", "b", "c"].iter().zip(&self.sites) {
            let of_site = site.people();
            people.extend(of_site.map(|(role, wallet)| (format!("{name}.{role}"), wallet)));
        }
        people
    }

    /// The names of all accounts, of some that there aren't yet too: those of a site begin with its
    /// letter.
    pub fn cast(&self) -> Vec<(String, Address)> {
        let world = &self.world;
        let mut cast = vec![
            ("admin".to_owned(), world.admin.pubkey()),
            ("guardian".to_owned(), world.guardian.pubkey()),
            ("arbiter".to_owned(), world.arbiter.pubkey()),
            ("config".to_owned(), address::config()),
            ("program-data".to_owned(), address::program_data()),
            ("x.tokens-abroad".to_owned(), self.stranger_abroad),
        ];
        for (name, wallet) in self.people() {
            cast.push((name.clone(), wallet.address()));
            cast.push((format!("{name}.tokens"), wallet.tokens));
        }
        for (name, site) in ["a", "b", "c"].iter().zip(&self.sites) {
            let of_site = site.accounts(self.window);
            cast.extend(of_site.map(|(role, address)| (format!("{name}.{role}"), address)));
        }
        // Two sites share a token, and what belongs to it.
        let mut seen = std::collections::HashSet::new();
        cast.retain(|(_, address)| seen.insert(*address));
        cast
    }
}

impl Site {
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
            .create_market(&model, &creator, 1, market_on(&world, &model, FIRST, LAST))
            .unwrap();
        let idle_market = world
            .create_market(&model, &creator, 2, market_on(&world, &model, 20, 20))
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
        let site = Self {
            mint: world.mint,
            idle: address::model(&model.owner.address(), 2),
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
        (site, insured.world)
    }

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

    /// The terms on which the manager lists a model.
    pub fn listing(&self, cap: u64) -> ListingTerms {
        ListingTerms {
            model_version: 1,
            cap,
            lowest_trigger: 20_000,
        }
    }

    fn people(&self) -> impl Iterator<Item = (&'static str, &Wallet)> {
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

    fn accounts(&self, windows: u64) -> impl Iterator<Item = (String, Address)> {
        let (model, vault) = (self.model.address, self.vault);
        let collateral = address::collateral(&self.mint);
        let mut accounts = vec![
            ("mint".to_owned(), self.mint),
            ("collateral".to_owned(), collateral),
            ("treasury".to_owned(), address::treasury(&collateral)),
            ("model".to_owned(), model),
            ("model.bonds".to_owned(), address::bond_vault(&model)),
            ("idle-model".to_owned(), self.idle),
            (
                "idle-model.bonds".to_owned(),
                address::bond_vault(&self.idle),
            ),
        ];
        let mut add = |name: &str, address| accounts.push((name.to_owned(), address));
        for (index, oracle) in self.model.oracles.iter().enumerate() {
            let oracle = oracle.address();
            add(&format!("seat{index}"), address::seat(&model, &oracle));
            add(
                &format!("idle-seat{index}"),
                address::seat(&self.idle, &oracle),
            );
        }
        for window in windows.saturating_sub(4)..=windows.max(LAST) {
            let receipt = address::receipt(&model, window);
            add(&format!("receipt{window}"), receipt);
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
            add(&format!("{name}.escrow"), address::escrow(&vault));
        }
        let lp = self.lp.address();
        add("exposure", address::exposure(&vault, &model));
        add("idle-exposure", address::exposure(&vault, &self.idle));
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

/// Does the largest drift of these windows reach 0.2?
fn market_on(world: &World, model: &TestModel, first: u64, last: u64) -> MarketTerms {
    let state = world.model(&model.address);
    MarketTerms {
        first_window: first,
        last_window: last,
        close_ts: state.window_start(first).unwrap(),
        ..market_terms(world, model)
    }
}

/// The keys that `instructions` are signed with, each once.
pub fn signers<'a>(
    instructions: &[Instruction],
    keys: &'a HashMap<Address, Keypair>,
) -> Vec<&'a Keypair> {
    let mut signers: Vec<&Keypair> = vec![];
    let accounts = instructions.iter().flat_map(|of| &of.accounts);
    for account in accounts.filter(|account| account.is_signer) {
        let key = &keys[&account.pubkey];
        if !signers.contains(&key) {
            signers.push(key);
        }
    }
    signers
}

/// Programs of an attacker's: a token program's code under another address, our own under another,
/// and one that does nothing whatever it is asked.
pub struct Malice;

impl Malice {
    pub const NOTHING: Address =
        anchor_lang::address!("ComputeBudget111111111111111111111111111111");

    pub fn token_program() -> Address {
        key("a token program's double").pubkey()
    }

    pub fn driftshield() -> Address {
        key("our double").pubkey()
    }

    pub fn deploy(world: &mut World) {
        for (double, original) in [
            (Self::token_program(), anchor_spl::token::ID),
            (Self::driftshield(), ID),
        ] {
            let code = world.svm.accounts_db().try_program_elf_bytes(&original);
            let code = code.expect("a program").to_vec();
            world.svm.add_program(double, &code).expect("it loads");
        }
    }
}
