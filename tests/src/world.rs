//! A world: the built program in a virtual machine, with a token and the keys of all roles.
//!
//! After each successful transaction, [`checks`] verifies the events and, unless
//! [`World::solvency_checks`] is off, all accounts of the program.

mod actions;
mod checks;
mod fixtures;
mod recorder;
mod rent;

use std::collections::HashMap;

use anchor_lang::{
    AccountDeserialize, Address, Discriminator,
    bytemuck::{self, Zeroable},
    solana_program::instruction::Instruction,
};
use driftshield_sdk::{
    Account, Collateral, CollateralTerms, Config, ConfigParams, DriftShieldError, Entry, Event, ID,
    Market, Model, Position, Receipt, ReceiptState, Seat, Series, TokenProgram, Vault, address,
    entry_in, error, instruction,
    rpc::{Budget, transaction_size},
    token::TokenAccount,
};
pub use fixtures::*;
use litesvm::{
    LiteSVM,
    types::{FailedTransactionMetadata, TransactionMetadata},
};
use litesvm_token::CreateAssociatedTokenAccount;
pub use recorder::Recorder;
pub use rent::*;
use solana_clock::Clock;
use solana_instruction_error::InstructionError;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use spl_token_interface::native_mint;

/// A transaction that succeeded.
pub struct Sent {
    /// The events of the program's instructions.
    pub events: Vec<Event>,
    /// Consumed compute units.
    pub units: u64,
    /// Size of the serialized transaction, with the budget that clients add.
    pub bytes: usize,
    pub metadata: TransactionMetadata,
}

impl Sent {
    /// The event of a transaction with a single instruction of the program.
    pub fn event(&self) -> &Event {
        let [event] = &self.events[..] else {
            panic!("one event expected: {:?}", self.events)
        };
        event
    }
}

/// Size of the transaction that a client of the RPC sends: with both limits and a priority fee.
fn size_with_budget(instructions: &[Instruction], payer: &Address) -> usize {
    let budget = Budget {
        priority_fee: 1,
        ..Budget::MAX
    };
    let message = Message::new(&budget.append_to(instructions), Some(payer));
    transaction_size(&VersionedMessage::Legacy(message))
}

pub type Outcome = Result<Sent, Box<FailedTransactionMetadata>>;

pub struct World {
    pub svm: LiteSVM,
    /// The fee payer of all transactions, and the mint authority.
    pub payer: Keypair,
    pub admin: Keypair,
    pub guardian: Keypair,
    pub arbiter: Keypair,
    pub mint: Address,
    /// The token program that owns `mint`.
    pub token_program: TokenProgram,
    /// Every vault after the last transaction.
    vaults: HashMap<Address, Vault>,
    /// Sequence number of the last event of every account.
    counters: HashMap<Address, u64>,
    pub rent_ledger: RentLedger,
    /// Seeds the keys of this world. Worlds of the same name have the same addresses.
    name: String,
    /// Number of wallets so far.
    wallets: u64,
    /// Whether solvency and share prices are checked after every successful transaction. Tests that send
    /// thousands of transactions turn this off.
    pub solvency_checks: bool,
    /// Records the transactions that succeed. Forks of the world record nothing.
    pub recorder: Option<Recorder>,
}

/// Forks the world: the clone has the same state, and is independent.
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
            vaults: self.vaults.clone(),
            counters: self.counters.clone(),
            rent_ledger: self.rent_ledger.clone(),
            name: self.name.clone(),
            wallets: self.wallets,
            solvency_checks: self.solvency_checks,
            recorder: None,
        }
    }
}

impl World {
    /// A world whose program is deployed, but not initialized.
    pub fn bare() -> Self {
        Self::named("world")
    }

    /// Like [`Self::bare`], with the keys and addresses of `name`.
    pub fn named(name: &str) -> Self {
        let mut svm = LiteSVM::new().with_transaction_history(0);
        if let Some(rate) = rent::rate_of_environment() {
            rent::set_rate(&mut svm, rate);
        }
        svm.add_program_from_file(ID, program_file("driftshield.so"))
            .expect("the program loads");
        let mut clock = svm.get_sysvar::<Clock>();
        clock.unix_timestamp = EPOCH;
        svm.set_sysvar(&clock);
        let [payer, admin, guardian, arbiter, mint] =
            ["payer", "admin", "guardian", "arbiter", "mint"]
                .map(|role| key(&format!("{name} {role}")));
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
            vaults: HashMap::new(),
            counters: HashMap::new(),
            rent_ledger: RentLedger::default(),
            name: name.into(),
            wallets: 0,
            solvency_checks: true,
            recorder: None,
        };
        world.set_upgrade_authority(world.admin.pubkey());
        world
    }

    /// A world whose program is initialized, with one collateral.
    pub fn new() -> Self {
        Self::with(params(), terms())
    }

    /// Like [`Self::new`], with other settings and terms.
    pub fn with(params: ConfigParams, terms: CollateralTerms) -> Self {
        Self::bare().set_up(params, terms)
    }

    /// Like [`Self::new`], with the keys and addresses of `name`.
    pub fn with_keys_of(name: &str) -> Self {
        Self::named(name).set_up(params(), terms())
    }

    /// Initializes the program, and registers `mint` as collateral.
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

    /// Writes the upgrade authority into the program data account.
    fn set_upgrade_authority(&mut self, authority: Address) {
        // An `Option<Address>` after the variant (u32) and the slot (u64).
        const OPTION_TAG: usize = 4 + 8;
        let address = address::program_data();
        let mut account = self.svm.get_account(&address).expect("program data");
        account.data[OPTION_TAG] = 1;
        account.data[OPTION_TAG + 1..][..32].copy_from_slice(authority.as_ref());
        self.svm
            .set_account(address, account)
            .expect("program data is set");
    }

    /// Registers a second collateral with a new mint, whose supply is 0.
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

    /// Sets the pause flags to `flags`.
    pub fn pause(&mut self, flags: u8) {
        let admin = self.admin.insecure_clone();
        let pause = instruction::set_pause(admin.pubkey(), flags);
        self.send(pause, &[&admin]).expect("set_pause");
    }

    // Time.

    pub fn now(&self) -> i64 {
        self.svm.get_sysvar::<Clock>().unix_timestamp
    }

    /// Sets the clock, and advances the slot by one.
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

    /// Sends one instruction. `payer` pays the fee.
    pub fn send(&mut self, instruction: Instruction, signers: &[&Keypair]) -> Outcome {
        self.send_all(&[instruction], signers)
    }

    /// Sends instructions in one transaction. On success, checks that the program emitted one event per
    /// instruction, and that the invariants in [`checks`] hold.
    pub fn send_all(&mut self, instructions: &[Instruction], signers: &[&Keypair]) -> Outcome {
        self.svm.expire_blockhash(); // identical transactions must not have the same signature
        let message = Message::new_with_blockhash(
            instructions,
            Some(&self.payer.pubkey()),
            &self.svm.latest_blockhash(),
        );
        let keys = [&[&self.payer], signers].concat();
        let transaction = VersionedTransaction::try_new(VersionedMessage::Legacy(message), &keys)
            .expect("a signer is missing");
        let bytes = size_with_budget(instructions, &self.payer.pubkey());
        let before = self.holdings(instructions);
        let recorded = self.recorder.is_some().then(|| transaction.clone());
        let metadata = self.svm.send_transaction(transaction)?;
        self.check_rent(instructions, &before);
        let events = events(&metadata);
        if let (Some(recorder), Some(transaction)) = (&mut self.recorder, recorded) {
            recorder.record(&self.svm, &transaction, &metadata, &events);
        }
        let ours = instructions.iter().filter(|i| i.program_id == ID).count();
        assert_eq!(
            events.len(),
            ours,
            "one event per instruction expected: {events:?}"
        );
        for event in &events {
            self.check_counters(event);
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

    // Accounts.

    /// All accounts of the program.
    pub fn accounts(&self) -> Vec<(Address, Account)> {
        let accounts = self.svm.get_program_accounts(&ID).into_iter();
        let decode = |data: &[u8]| Account::decode(data).expect("an account of the program");
        accounts
            .map(|(address, account)| (address, decode(&account.data)))
            .collect()
    }

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

    /// The state of a window's receipt, also after it was closed.
    pub fn receipt_state(&self, model: &Address, window: u64) -> ReceiptState {
        match self.entry(model, window) {
            Entry::None | Entry::Open => self.receipt(model, window).state.into(),
            Entry::Final(_) => ReceiptState::Final,
            Entry::Void => ReceiptState::Void,
            Entry::Thin => ReceiptState::Thin,
        }
    }

    /// The page `page` of a model's series.
    pub fn series(&self, model: &Address, page: u64) -> Series {
        self.read(&address::series_page(model, page))
    }

    /// Writes a page of a model's series, as if its windows had been settled.
    pub fn set_series(&mut self, model: &TestModel, page: u64, entries: &[Entry]) {
        let mut series = Series::zeroed();
        series.model = model.address;
        series.payer = model.oracles[0].address();
        (series.page, series.seq) = (page, 1);
        for (word, entry) in std::iter::zip(&mut series.entries, entries) {
            *word = entry.to_word();
        }
        let address = address::series_page(&model.address, page);
        self.write(&address, &series);
        self.counters.insert(address, series.seq);
    }

    /// Writes an account of the program, as if its instructions had come to that.
    pub fn write<T: Discriminator + bytemuck::Pod>(&mut self, address: &Address, account: &T) {
        let data = [T::DISCRIMINATOR, bytemuck::bytes_of(account)].concat();
        let account = solana_account::Account {
            lamports: self.svm.minimum_balance_for_rent_exemption(data.len()),
            data,
            owner: ID,
            executable: false,
            rent_epoch: u64::MAX,
        };
        self.svm
            .set_account(*address, account)
            .expect("the account is set");
    }

    /// The entry of a window of a model. A page that doesn't exist has no entries.
    pub fn entry(&self, model: &Address, window: u64) -> Entry {
        let page = address::series(model, window);
        let page = self.exists(&page).then(|| self.read::<Series>(&page));
        entry_in(page.as_ref(), window)
    }

    pub fn market(&self, market: &Address) -> Market {
        self.read(market)
    }

    pub fn position(&self, market: &Address, owner: &Address) -> Position {
        self.read(&address::position(market, owner))
    }

    /// The balance of a token account in base units; 0 if the account does not exist.
    pub fn tokens(&self, account: &Address) -> u64 {
        self.svm.get_account(account).map_or(0, |account| {
            let decoded = TokenAccount::decode(&account.data);
            decoded.expect("a token account").amount
        })
    }

    pub fn lamports(&self, account: &Address) -> u64 {
        self.svm.get_balance(account).unwrap_or(0)
    }

    pub fn treasury(&self) -> Address {
        address::treasury(&address::collateral(&self.mint))
    }

    // Wallets.

    /// A new wallet with lamports and `amount` base units of `mint`.
    pub fn wallet(&mut self, amount: u64) -> Wallet {
        self.wallets += 1;
        let key = key(&format!("{} wallet {}", self.name, self.wallets));
        self.svm
            .airdrop(&key.pubkey(), WALLET_LAMPORTS)
            .expect("lamports");
        let tokens = CreateAssociatedTokenAccount::new(&mut self.svm, &self.payer, &self.mint)
            .owner(&key.pubkey())
            .token_program_id(&self.token_program.id())
            .send()
            .expect("a token account");
        self.mint_to(&tokens, amount);
        Wallet { key, tokens }
    }

    /// Sends a transaction after it has added `amount` base units to a token account, which stay
    /// there only if the transaction succeeds. The mint's supply stays the same.
    pub fn send_with_tokens(
        &mut self,
        account: &Address,
        amount: u64,
        send: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let before = self.svm.get_account(account);
        self.add_tokens(account, amount);
        let outcome = send(self);
        if let (Err(_), Some(before)) = (&outcome, before) {
            self.svm.set_account(*account, before).expect("it is set");
        }
        outcome
    }

    fn add_tokens(&mut self, account: &Address, amount: u64) {
        const AMOUNT: std::ops::Range<usize> = 64..72;
        let Some(mut state) = self.svm.get_account(account) else {
            return;
        };
        let bytes = &mut state.data[AMOUNT];
        let balance = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        bytes.copy_from_slice(&balance.saturating_add(amount).to_le_bytes());
        if self.mint == native_mint::ID {
            state.lamports += amount;
        }
        self.svm.set_account(*account, state).expect("it is set");
    }

    /// Mints `amount` base units of `mint` to `account`; wraps lamports of `payer` if it is that of SOL.
    pub fn mint_to(&mut self, account: &Address, amount: u64) {
        if amount == 0 {
            return;
        }
        if self.mint == native_mint::ID {
            return self.wrap(account, amount);
        }
        let mint_to = spl_token_interface::instruction::mint_to(
            &spl_token_interface::ID,
            &self.mint,
            account,
            &self.payer.pubkey(),
            &[],
            amount,
        );
        let mint_to = Instruction {
            program_id: self.token_program.id(), // Token-2022 has the same instruction
            ..mint_to.expect("the program id is SPL Token's")
        };
        self.send(mint_to, &[]).expect("mint_to");
    }

    /// Adds lamports of `payer` to a token account of wrapped SOL.
    fn wrap(&mut self, account: &Address, lamports: u64) {
        let payer = self.payer.pubkey();
        let send = solana_system_interface::instruction::transfer(&payer, account, lamports);
        let program = spl_token_interface::ID;
        let sync = spl_token_interface::instruction::sync_native(&program, account)
            .expect("the program id is SPL Token's");
        self.send_all(&[send, sync], &[]).expect("wrapped SOL");
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// The instruction with the account `old` replaced by `new`.
#[track_caller]
pub fn swapped(mut instruction: Instruction, old: &Address, new: &Address) -> Instruction {
    let mut metas = instruction.accounts.iter_mut();
    let meta = metas.find(|account| account.pubkey == *old);
    meta.expect("the instruction has no such account").pubkey = *new;
    instruction
}

/// The events of a transaction, decoded from the program's inner instructions.
fn events(metadata: &TransactionMetadata) -> Vec<Event> {
    let inner = metadata.inner_instructions.iter().flatten();
    inner
        .filter_map(|inner| Event::decode_inner_instruction(&inner.instruction.data))
        .map(|event| event.expect("a known event"))
        .collect()
}

/// The custom error code of a refused transaction.
pub fn code(outcome: Outcome) -> u32 {
    match outcome
        .map(|sent| sent.events)
        .expect_err("the transaction succeeded")
        .err
    {
        TransactionError::InstructionError(_, InstructionError::Custom(code)) => code,
        other => panic!("not a custom error: {other:?}"),
    }
}

/// Asserts that the program refused a transaction with this error.
#[track_caller]
pub fn assert_refused(outcome: Outcome, expected: DriftShieldError) {
    let code = code(outcome);
    let name = error::by_code(code).map_or("an error of another program", |error| &error.name);
    assert_eq!(
        code,
        error::code(expected),
        "{name} instead of {expected:?}"
    );
}
