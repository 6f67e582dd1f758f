//! The program in a real virtual machine, with everybody who uses it.

use std::{collections::HashMap, path::PathBuf};

use anchor_lang::{
    AccountDeserialize, Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield_sdk::{
    Collateral, CollateralTerms, Config, ConfigParams, DriftShieldError, Event, ID, Market,
    MarketTerms, MetricSpec, Model, ModelTerms, Position, Receipt, Seat, TokenProgram, address,
    error, instruction,
};
use litesvm::{
    LiteSVM,
    types::{FailedTransactionMetadata, TransactionMetadata},
};
use litesvm_token::CreateAssociatedTokenAccount;
use solana_account::Account;
use solana_clock::Clock;
use solana_instruction_error::InstructionError;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

pub const DAY: i64 = 24 * 60 * 60;
pub const HOUR: i64 = 60 * 60;
/// When a world begins, unix seconds.
pub const EPOCH: i64 = 1_800_000_000;
/// One token of the six decimals that worlds use.
pub const TOKEN: u64 = 1_000_000;

/// Settings like production's.
pub fn params() -> ConfigParams {
    ConfigParams {
        submit_secs: 6 * HOUR,
        challenge_secs: 12 * HOUR,
        ruling_secs: 2 * DAY,
        unbond_secs: 3 * DAY,
        retention_secs: 530 * DAY,
        claim_grace_secs: 7 * DAY,
        waiting_secs: DAY,
        bucket_secs: 7 * DAY,
        min_window_secs: HOUR,
        max_window_secs: 31 * DAY,
        max_spread_limit: 1_000_000,
        security_multiple: 3,
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
    }
}

/// A transaction that succeeded.
pub struct Sent {
    pub events: Vec<Event>,
    pub units: u64,
    pub bytes: usize,
    pub metadata: TransactionMetadata,
}

impl Sent {
    /// The event of a transaction with one instruction of the program's.
    pub fn event(&self) -> &Event {
        let [event] = &self.events[..] else {
            panic!("one event expected: {:?}", self.events)
        };
        event
    }
}

pub type Outcome = Result<Sent, Box<FailedTransactionMetadata>>;

/// A key with lamports and a token account.
pub struct Wallet {
    pub key: Keypair,
    /// Its associated token account.
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

/// A registered model and its oracles, bonded.
#[derive(Clone)]
pub struct TestModel {
    pub address: Address,
    pub owner: Wallet,
    pub oracles: Vec<Wallet>,
}

pub struct World {
    pub svm: LiteSVM,
    /// Pays all fees and signs for the mint.
    pub payer: Keypair,
    pub admin: Keypair,
    pub guardian: Keypair,
    pub arbiter: Keypair,
    pub mint: Address,
    /// The program of `mint`.
    pub token_program: TokenProgram,
    /// Of every vault that has shares, its capital and its shares after the last transaction.
    prices: HashMap<Address, (u64, u64)>,
    /// Of every account, the number of its last event.
    counters: HashMap<Address, u64>,
    /// Names the keys of this world: worlds of the same name are the same.
    name: String,
    wallets: u64,
    /// Whether every transaction looks for solvency, at every account: tests of thousands of
    /// transactions do it once in the end.
    pub solvency_checks: bool,
}

/// Another world at the same state, which goes its own way.
impl Clone for World {
    fn clone(&self) -> Self {
        Self {
            svm: self.svm.clone(),
            payer: self.payer.insecure_clone(),
            admin: self.admin.insecure_clone(),
            guardian: self.guardian.insecure_clone(),
            arbiter: self.arbiter.insecure_clone(),
            mint: self.mint,
            token_program: self.token_program,
            prices: self.prices.clone(),
            counters: self.counters.clone(),
            name: self.name.clone(),
            wallets: self.wallets,
            solvency_checks: self.solvency_checks,
        }
    }
}

/// The built program's file; `scripts/build-program` makes it.
pub fn program_file(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let file = target.join("deploy").join(name);
    assert!(
        file.exists(),
        "{} is missing: run scripts/build-program first",
        file.display()
    );
    file
}

/// A classic SPL Token mint of six decimals that nothing was minted of yet.
pub fn set_mint(
    svm: &mut LiteSVM,
    mint: &Address,
    authority: &Address,
    freeze_authority: Option<&Address>,
) -> Address {
    let mut data = vec![0; 82];
    data[0] = 1;
    data[4..36].copy_from_slice(authority.as_ref());
    data[44] = 6;
    data[45] = 1; // initialized
    if let Some(freeze_authority) = freeze_authority {
        data[46] = 1;
        data[50..82].copy_from_slice(freeze_authority.as_ref());
    }
    let account = Account {
        lamports: svm.minimum_balance_for_rent_exemption(data.len()),
        data,
        owner: anchor_spl::token::ID,
        executable: false,
        rent_epoch: u64::MAX,
    };
    svm.set_account(*mint, account).expect("a mint");
    *mint
}

/// A key from a name, so that failures repeat.
pub fn key(name: &str) -> Keypair {
    Keypair::new_from_array(anchor_lang::hash::sha256(name.as_bytes()))
}

impl World {
    /// The program, deployed but not initialized.
    pub fn bare() -> Self {
        Self::named("world")
    }

    /// Deployed but not initialized, with keys, and so with addresses, of its own.
    pub fn named(name: &str) -> Self {
        let mut svm = LiteSVM::new().with_transaction_history(0);
        svm.add_program_from_file(ID, program_file("driftshield.so"))
            .expect("the program loads");
        let mut clock = svm.get_sysvar::<Clock>();
        clock.unix_timestamp = EPOCH;
        svm.set_sysvar(&clock);
        let [payer, admin, guardian, arbiter, mint] =
            ["payer", "admin", "guardian", "arbiter", "mint"]
                .map(|who| key(&format!("{name} {who}")));
        for key in [&payer, &admin, &guardian, &arbiter] {
            svm.airdrop(&key.pubkey(), 1_000_000_000_000)
                .expect("lamports");
        }
        let mint = set_mint(&mut svm, &mint.pubkey(), &payer.pubkey(), None);
        let mut world = Self {
            svm,
            payer,
            admin,
            guardian,
            arbiter,
            mint,
            token_program: TokenProgram::SplToken,
            prices: HashMap::new(),
            counters: HashMap::new(),
            name: name.into(),
            wallets: 0,
            solvency_checks: true,
        };
        world.set_upgrade_authority(world.admin.pubkey());
        world
    }

    /// The program, set up with one collateral.
    pub fn new() -> Self {
        Self::with(params(), terms())
    }

    pub fn with(params: ConfigParams, terms: CollateralTerms) -> Self {
        Self::bare().set_up(params, terms)
    }

    /// Like any other, but with keys, and so with addresses, of its own.
    pub fn with_keys_of(name: &str) -> Self {
        Self::named(name).set_up(params(), terms())
    }

    pub fn set_up(mut self, params: ConfigParams, terms: CollateralTerms) -> Self {
        let world = &mut self;
        let admin = world.admin.insecure_clone();
        let initialize = instruction::initialize(
            admin.pubkey(),
            admin.pubkey(),
            world.guardian.pubkey(),
            world.arbiter.pubkey(),
            params,
        );
        world.send(initialize, &[&admin]).expect("initialize");
        let collateral = instruction::register_collateral(
            admin.pubkey(),
            world.mint,
            world.token_program,
            terms,
            false,
        );
        world.send(collateral, &[&admin]).expect("collateral");
        self
    }

    /// Writes the upgrade authority where the loader keeps it.
    fn set_upgrade_authority(&mut self, authority: Address) {
        let address = address::program_data();
        let mut account = self.svm.get_account(&address).expect("program data");
        account.data[12] = 1;
        account.data[13..45].copy_from_slice(authority.as_ref());
        self.svm
            .set_account(address, account)
            .expect("program data is set");
    }

    /// Another allowed token, of which nothing was minted yet.
    pub fn second_collateral(&mut self) -> Address {
        let mint = key(&format!("{} second mint", self.name)).pubkey();
        set_mint(&mut self.svm, &mint, &self.payer.pubkey(), None);
        let admin = self.admin.insecure_clone();
        let register = instruction::register_collateral(
            admin.pubkey(),
            mint,
            TokenProgram::SplToken,
            terms(),
            false,
        );
        self.send(register, &[&admin]).expect("register_collateral");
        mint
    }

    /// The admin sets exactly these pause flags.
    pub fn pause(&mut self, flags: u8) {
        let admin = self.admin.insecure_clone();
        let pause = instruction::set_pause(admin.pubkey(), flags);
        self.send(pause, &[&admin]).expect("set_pause");
    }

    // Time.

    pub fn now(&self) -> i64 {
        self.svm.get_sysvar::<Clock>().unix_timestamp
    }

    pub fn warp_to(&mut self, unix_timestamp: i64) {
        let mut clock = self.svm.get_sysvar::<Clock>();
        clock.unix_timestamp = unix_timestamp;
        clock.slot += 1;
        self.svm.set_sysvar(&clock);
    }

    pub fn pass(&mut self, secs: i64) {
        self.warp_to(self.now() + secs);
    }

    // Transactions.

    /// Sends one instruction; the world pays the fee.
    pub fn send(&mut self, instruction: Instruction, signers: &[&Keypair]) -> Outcome {
        self.send_all(&[instruction], signers)
    }

    /// Sends instructions in one transaction, and checks what holds of every transaction: one
    /// event an instruction, counters without gaps, accounts that agree with them, solvency.
    pub fn send_all(&mut self, instructions: &[Instruction], signers: &[&Keypair]) -> Outcome {
        self.svm.expire_blockhash(); // identical instructions must not share a signature
        let message = Message::new_with_blockhash(
            instructions,
            Some(&self.payer.pubkey()),
            &self.svm.latest_blockhash(),
        );
        let keys = [&[&self.payer], signers].concat();
        let transaction = VersionedTransaction::try_new(VersionedMessage::Legacy(message), &keys)
            .expect("all signers are there");
        let bytes = 1 + 64 * transaction.signatures.len() + transaction.message.serialize().len();
        let metadata = self.svm.send_transaction(transaction)?;
        let events = events(&metadata);
        let ours = instructions.iter().filter(|i| i.program_id == ID).count();
        assert_eq!(events.len(), ours, "one event an instruction: {events:?}");
        for event in &events {
            self.count(event);
        }
        if self.solvency_checks {
            self.check_solvency();
            self.check_share_prices(&events);
        }
        Ok(Sent {
            events,
            units: metadata.compute_units_consumed,
            bytes,
            metadata,
        })
    }

    /// The event's counters go on without gaps, and the accounts agree.
    fn count(&mut self, event: &Event) {
        for (account, seq) in event.account_seqs() {
            // A counter restarts with the event that makes the account anew.
            let before = self.counters.insert(account, seq).unwrap_or(0);
            assert!(
                seq == before + 1 || seq == 1,
                "{account}: event {seq} after {before}: {event:?}"
            );
        }
    }

    /// Every token account of the program holds what the accounts owe, and every account's
    /// counter is that of its last event.
    pub fn check_solvency(&self) {
        use driftshield_sdk::Account;
        let accounts = self.accounts();
        for (address, account) in &accounts {
            assert_eq!(
                self.counters.get(address),
                Some(&account.seq()),
                "the counter of {} {address}",
                account.name()
            );
            match account {
                Account::Market(market) => {
                    assert!(market.owed <= self.tokens(&market.vault));
                }
                Account::Model(model) => {
                    assert!(model.held <= self.tokens(&model.bond_vault));
                    let owed = owed_by_model(address, model, &accounts);
                    assert_eq!(model.held, owed, "held by {address}");
                    self.check_risk(address, model, &accounts);
                }
                Account::Vault(vault) => self.check_vault(address, vault, &accounts),
                _ => {}
            }
        }
    }

    /// All accounts of the program.
    pub fn accounts(&self) -> Vec<(Address, driftshield_sdk::Account)> {
        let accounts = self.svm.get_program_accounts(&ID).into_iter();
        let decode = |data: &[u8]| driftshield_sdk::Account::decode(data).expect("ours");
        accounts
            .map(|(address, account)| (address, decode(&account.data)))
            .collect()
    }

    /// A share's price falls only by a payout.
    fn check_share_prices(&mut self, events: &[Event]) {
        for (address, account) in self.accounts() {
            let driftshield_sdk::Account::Vault(vault) = account else {
                continue;
            };
            let price = (vault.assets, vault.shares);
            let Some(before) = self.prices.insert(address, price) else {
                continue;
            };
            let paid = events.iter().any(
                |event| matches!(event, Event::PolicyClaimed(claim) if claim.vault == address),
            );
            if !paid && 0 < before.1 && 0 < price.1 {
                let [before, after] = [(before, price), (price, before)]
                    .map(|(of, other)| (u128::from(of.0) + 1) * (u128::from(other.1) + 1_000));
                assert!(before <= after, "the price of {address} fell: {events:?}");
            }
        }
    }

    // Accounts.

    pub fn exists(&self, address: &Address) -> bool {
        self.svm
            .get_account(address)
            .is_some_and(|account| account.lamports > 0)
    }

    pub fn read<T: AccountDeserialize>(&self, address: &Address) -> T {
        let account = self.svm.get_account(address).expect("the account exists");
        T::try_deserialize(&mut &account.data[..]).expect("an account of this type")
    }

    pub fn config(&self) -> Config {
        self.read(&address::config())
    }

    pub fn collateral(&self) -> Collateral {
        self.read(&address::collateral(&self.mint))
    }

    pub fn model(&self, model: &Address) -> Model {
        self.read(model)
    }

    pub fn seat(&self, model: &Address, oracle: &Address) -> Seat {
        self.read(&address::seat(model, oracle))
    }

    pub fn receipt(&self, model: &Address, window: u64) -> Receipt {
        self.read(&address::receipt(model, window))
    }

    pub fn market(&self, market: &Address) -> Market {
        self.read(market)
    }

    pub fn position(&self, market: &Address, owner: &Address) -> Position {
        self.read(&address::position(market, owner))
    }

    /// The balance of a token account, 0 where there is none.
    pub fn tokens(&self, account: &Address) -> u64 {
        self.svm.get_account(account).map_or(0, |account| {
            let amount = account.data.get(64..72).expect("a token account");
            u64::from_le_bytes(amount.try_into().expect("eight bytes"))
        })
    }

    pub fn lamports(&self, account: &Address) -> u64 {
        self.svm.get_balance(account).unwrap_or(0)
    }

    pub fn treasury(&self) -> Address {
        address::treasury(&address::collateral(&self.mint))
    }

    // Actors.

    /// A new wallet with lamports and `amount` tokens.
    pub fn wallet(&mut self, amount: u64) -> Wallet {
        self.wallets += 1;
        let key = key(&format!("{} wallet {}", self.name, self.wallets));
        self.svm
            .airdrop(&key.pubkey(), 100_000_000_000)
            .expect("lamports");
        let tokens = CreateAssociatedTokenAccount::new(&mut self.svm, &self.payer, &self.mint)
            .owner(&key.pubkey())
            .token_program_id(&self.token_program.id())
            .send()
            .expect("a token account");
        self.mint_to(&tokens, amount);
        Wallet { key, tokens }
    }

    /// Makes `amount` tokens on `account`.
    pub fn mint_to(&mut self, account: &Address, amount: u64) {
        const MINT_TO: u8 = 7; // of either token program
        if amount == 0 {
            return;
        }
        let mut data = vec![MINT_TO];
        data.extend(amount.to_le_bytes());
        let mint_to = Instruction {
            program_id: self.token_program.id(),
            accounts: vec![
                AccountMeta::new(self.mint, false),
                AccountMeta::new(*account, false),
                AccountMeta::new_readonly(self.payer.pubkey(), true),
            ],
            data,
        };
        self.send(mint_to, &[]).expect("tokens");
    }

    /// A model of `spec` with `oracles` oracles, each bonded with `bond`.
    pub fn model_with(&mut self, spec: MetricSpec, oracles: usize, bond: u64) -> TestModel {
        let owner = self.wallet(0);
        let oracles: Vec<Wallet> = (0..oracles).map(|_| self.wallet(10 * bond)).collect();
        let register = instruction::register_model(
            owner.address(),
            1,
            &self.collateral(),
            spec,
            model_terms(&oracles),
        );
        self.send(register, &[&owner.key]).expect("register_model");
        let model = TestModel {
            address: address::model(&owner.address(), 1),
            owner,
            oracles,
        };
        if bond > 0 {
            for oracle in 0..model.oracles.len() {
                self.bond(&model, oracle, bond).expect("bond");
            }
        }
        model
    }

    /// A model of ten bins by PSI, with three oracles that each bonded ten minimum bonds.
    pub fn default_model(&mut self) -> TestModel {
        let spec = spec(self);
        self.model_with(spec, 3, 10_000 * TOKEN)
    }

    pub fn bond(&mut self, model: &TestModel, oracle: usize, amount: u64) -> Outcome {
        let oracle = &model.oracles[oracle];
        let bond = instruction::bond(
            oracle.address(),
            model.address,
            &self.model(&model.address),
            oracle.tokens,
            amount,
        );
        self.send(bond, &[&oracle.key])
    }

    // Receipts.

    /// Goes to the end of `window`, unless it is over already.
    pub fn warp_to_end(&mut self, model: &TestModel, window: u64) {
        let end = self
            .model(&model.address)
            .window_end(window)
            .expect("in range");
        self.warp_to(end.max(self.now()));
    }

    pub fn submit(
        &mut self,
        model: &TestModel,
        oracle: usize,
        window: u64,
        counts: &[u32],
    ) -> Outcome {
        let oracle = &model.oracles[oracle];
        let submit = instruction::submit_receipt(
            oracle.address(),
            model.address,
            window,
            counts.to_vec(),
            [oracle.address().as_ref()[0]; 32],
            "https://evidence.example/0".into(),
        );
        self.send(submit, &[&oracle.key])
    }

    /// All oracles submit `counts` for `window`, after its end.
    pub fn submit_all(&mut self, model: &TestModel, window: u64, counts: &[u32]) {
        self.warp_to_end(model, window);
        for oracle in 0..model.oracles.len() {
            self.submit(model, oracle, window, counts)
                .expect("submit_receipt");
        }
    }

    /// All oracles agree on `counts` for `window`, and nobody challenges.
    pub fn finalize_with(&mut self, model: &TestModel, window: u64, counts: &[u32]) {
        self.submit_all(model, window, counts);
        self.pass(self.model(&model.address).challenge_secs);
        let finalize = instruction::finalize_receipt(model.address, window);
        self.send(finalize, &[]).expect("finalize_receipt");
    }

    pub fn challenge(&mut self, model: &TestModel, window: u64, challenger: &Wallet) -> Outcome {
        let challenge = instruction::challenge_receipt(
            challenger.address(),
            model.address,
            &self.model(&model.address),
            window,
            challenger.tokens,
        );
        self.send(challenge, &[&challenger.key])
    }

    pub fn rule(&mut self, model: &TestModel, window: u64, counts: &[u32]) -> Outcome {
        let rule = instruction::rule_receipt(
            model.address,
            &self.model(&model.address),
            &self.receipt(&model.address, window),
            counts.to_vec(),
        );
        let arbiter = self.arbiter.insecure_clone();
        self.send(rule, &[&arbiter])
    }

    // Markets.

    /// Market `id` of `creator` on `model`.
    pub fn create_market(
        &mut self,
        model: &TestModel,
        creator: &Wallet,
        id: u64,
        terms: MarketTerms,
    ) -> Result<Address, Box<FailedTransactionMetadata>> {
        let create = instruction::create_market(
            creator.address(),
            id,
            model.address,
            &self.model(&model.address),
            terms,
        );
        self.send(create, &[&creator.key])?;
        Ok(address::market(&creator.address(), id))
    }

    pub fn bet(&mut self, market: &Address, bettor: &Wallet, outcome: u8, amount: u64) -> Outcome {
        let bet = instruction::place_bet(
            bettor.address(),
            *market,
            &self.market(market),
            bettor.tokens,
            outcome,
            amount,
            0,
        );
        self.send(bet, &[&bettor.key])
    }

    /// Settles the next `windows` windows of a market.
    pub fn settle(&mut self, market: &Address, windows: u64) -> Outcome {
        let settle = instruction::settle_market(*market, &self.market(market), windows);
        self.send(settle, &[])
    }

    pub fn claim(&mut self, market: &Address, owner: &Address) -> Outcome {
        let claim = instruction::claim(*owner, *market, &self.market(market));
        self.send(claim, &[])
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What the bond vault of a model owes: its seats' bonds and its receipts' bonds and credits.
fn owed_by_model(
    address: &Address,
    model: &Model,
    accounts: &[(Address, driftshield_sdk::Account)],
) -> u64 {
    let owed = accounts.iter().map(|(_, account)| match account {
        driftshield_sdk::Account::Seat(seat) if seat.model == *address => seat.bonded,
        driftshield_sdk::Account::Receipt(receipt) if receipt.model == *address => {
            let open = receipt.state == driftshield_sdk::ReceiptState::Challenged
                && receipt.challenger != Address::default();
            let bond = if open { model.challenge_bond } else { 0 };
            bond + receipt.challenger_credit + receipt.treasury_credit
        }
        _ => 0,
    });
    owed.sum()
}

/// Ten bins by PSI, a window a day, from an hour ahead.
pub fn spec(world: &World) -> MetricSpec {
    MetricSpec {
        metric: driftshield_sdk::Metric::Psi,
        reference: vec![1_000; 10],
        min_samples: 1_000,
        spec_hash: [7; 32],
        genesis: world.now() + HOUR,
        window_secs: DAY,
    }
}

/// A model whose drift is the share of wrong rows: see [`share`].
pub fn share_spec(world: &World) -> MetricSpec {
    MetricSpec {
        metric: driftshield_sdk::Metric::ErrorRate,
        reference: vec![1_000_000, 0],
        min_samples: 1_000_000,
        ..spec(world)
    }
}

/// Counts whose drift, by [`share_spec`], is `value` micro-units.
pub fn share(value: u64) -> [u32; 2] {
    let wrong = u32::try_from(value).expect("at most a million");
    [1_000_000 - wrong, wrong]
}

/// A quorum of more than half, and a spread of 0.01.
pub fn model_terms(oracles: &[Wallet]) -> ModelTerms {
    ModelTerms {
        oracles: oracles.iter().map(Wallet::address).collect(),
        quorum: (oracles.len() / 2 + 1) as u8,
        max_spread: 10_000,
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
        aggregate: driftshield_sdk::Aggregate::Max,
        first_window: 1,
        last_window: 3,
        close_ts: model.window_start(1).expect("in range"),
        creator_fee_bps: 100,
        question: "Does the drift reach 0.2?".into(),
    }
}

/// Counts by ten bins whose PSI against a flat reference is 0.
pub const CALM: [u32; 10] = [500; 10];
/// Counts by ten bins whose PSI against a flat reference is far above 0.2.
pub const DRIFTED: [u32; 10] = [2_000, 1_500, 500, 200, 200, 200, 100, 100, 100, 100];

/// The instruction with `new` in the place of the account `old`.
#[track_caller]
pub fn swapped(mut instruction: Instruction, old: &Address, new: &Address) -> Instruction {
    let mut places = instruction.accounts.iter_mut();
    let place = places.find(|account| account.pubkey == *old);
    place.expect("the instruction names this account").pubkey = *new;
    instruction
}

/// The program's events of a transaction, from its inner instructions.
fn events(metadata: &TransactionMetadata) -> Vec<Event> {
    let inner = metadata.inner_instructions.iter().flatten();
    inner
        .filter_map(|inner| Event::decode_inner_instruction(&inner.instruction.data))
        .map(|event| event.expect("a known event"))
        .collect()
}

/// The error that a refused transaction gave, of whichever instruction.
pub fn code(outcome: Outcome) -> u32 {
    match outcome.map(|sent| sent.events).expect_err("refused").err {
        TransactionError::InstructionError(_, InstructionError::Custom(code)) => code,
        other => panic!("not an error of a program's own: {other:?}"),
    }
}

/// Asserts that a transaction was refused for this reason.
#[track_caller]
pub fn assert_refused(outcome: Outcome, expected: DriftShieldError) {
    let code = code(outcome);
    let name = error::by_code(code).map_or("another program's", |error| &error.name);
    assert_eq!(
        code,
        error::code(expected),
        "{name} instead of {expected:?}"
    );
}
