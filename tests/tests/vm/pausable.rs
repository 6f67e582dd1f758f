//! A consumer of `driftshield-feed` (`tests/programs/pausable`), which pauses itself while a model
//! drifts. Attackers pass it other accounts than those of its model.

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield_feed::Error as FeedError;
use driftshield_sdk::{address, instruction};
use driftshield_tests::world::*;
use litesvm::types::FailedTransactionMetadata;
use solana_account::Account;
use solana_instruction_error::InstructionError;
use solana_keypair::Keypair;
use solana_transaction_error::TransactionError;

const PROGRAM: Address = Address::from_str_const("Pausab1e11111111111111111111111111111111111");
const LIMIT: u64 = 200_000;
const MAX_AGE_SECS: i64 = 4 * DAY;

/// Errors of the program itself.
const DRIFTS: u32 = 6_000;
const UNMEASURED: u32 = 6_001;
const LIMIT_BELOW_NOISE: u32 = 6_002;
const INVALID_WINDOWS: u32 = 6_003;

/// The error that the program returns for one of the feed.
fn feed(error: FeedError) -> u32 {
    7_000 + error as u32
}

/// A model with final windows, and the switch of a program that watches it.
struct Scene {
    world: World,
    model: TestModel,
    creator: Wallet,
    next_window: u64,
    windows: u64,
}

impl Scene {
    /// A switch that looks back on `windows` windows, of which all are calm. The first of them is
    /// `first_window`.
    fn new(first_window: u64, windows: u64) -> Self {
        let mut world = World::new();
        let program = program_file("pausable.so");
        world.svm.add_program_from_file(PROGRAM, program).unwrap();
        let model = world.default_model();
        let creator = world.wallet(0);
        let mut scene = Self {
            world,
            model,
            creator,
            next_window: first_window,
            windows,
        };
        for _ in 0..windows {
            scene.measure(&CALM);
        }
        scene.create(LIMIT, windows, 1).unwrap();
        scene
    }

    /// All oracles submit counts of the next window, which becomes final.
    fn measure(&mut self, counts: &[u32]) {
        self.world
            .finalize_with(&self.model, self.next_window, counts);
        self.next_window += 1;
    }

    fn switch(&self) -> Address {
        let creator = self.creator.address();
        Address::find_program_address(&[b"switch", creator.as_ref()], &PROGRAM).0
    }

    fn create(&mut self, limit: u64, windows: u64, version: u32) -> Result<(), u32> {
        let min_security = self.world.model(&self.model.address).security;
        let mut data = vec![0];
        data.extend(version.to_le_bytes());
        for number in [limit, windows, MAX_AGE_SECS as u64, min_security] {
            data.extend(number.to_le_bytes());
        }
        let accounts = vec![
            AccountMeta::new(self.creator.address(), true),
            AccountMeta::new(self.switch(), false),
            AccountMeta::new_readonly(self.model.address, false),
            AccountMeta::new_readonly(solana_system_interface::program::ID, false),
        ];
        let key = self.creator.key.insecure_clone();
        self.send(accounts, data, &[&key])
    }

    /// Calls the operation, with the model and its pages of the last windows.
    fn operate(&mut self) -> Result<(), u32> {
        let last = self.world.model(&self.model.address).last_window;
        let first = last + 1 - self.windows;
        let page = |window| address::series(&self.model.address, window);
        self.operate_with(self.model.address, &[page(first), page(last)])
    }

    /// Calls the operation with these accounts. Nobody but the fee payer signs.
    fn operate_with(&mut self, model: Address, pages: &[Address]) -> Result<(), u32> {
        let mut accounts = vec![AccountMeta::new(self.switch(), false)];
        accounts.push(AccountMeta::new_readonly(model, false));
        accounts.extend(
            pages
                .iter()
                .map(|page| AccountMeta::new_readonly(*page, false)),
        );
        let before = self.operations();
        let result = self.send(accounts, vec![1], &[]);
        assert_eq!(self.operations(), before + u64::from(result.is_ok()));
        result
    }

    fn send(
        &mut self,
        accounts: Vec<AccountMeta>,
        data: Vec<u8>,
        signers: &[&Keypair],
    ) -> Result<(), u32> {
        let instruction = Instruction {
            program_id: PROGRAM,
            accounts,
            data,
        };
        match self.world.send(instruction, signers) {
            Ok(sent) => {
                assert!(sent.units < 20_000, "{} units", sent.units);
                Ok(())
            }
            Err(failed) => Err(code(&failed)),
        }
    }

    /// Number of operations so far.
    fn operations(&self) -> u64 {
        const OPERATIONS: usize = 8 + 32 + 4 * 8;
        let switch = self.world.svm.get_account(&self.switch()).unwrap();
        u64::from_le_bytes(switch.data[OPERATIONS..][..8].try_into().unwrap())
    }

    /// Writes the bytes of an account of DriftShield to an account of the attacker's program.
    fn copy(&mut self, original: &Address) -> Address {
        let copy = Address::new_unique();
        let account = Account {
            owner: Address::new_unique(),
            ..self.world.svm.get_account(original).unwrap()
        };
        self.world.svm.set_account(copy, account).unwrap();
        copy
    }
}

fn code(failed: &FailedTransactionMetadata) -> u32 {
    match failed.err {
        TransactionError::InstructionError(0, InstructionError::Custom(code)) => code,
        ref error => panic!("{error}: {:?}", failed.meta.logs),
    }
}

#[test]
fn it_pauses_on_drift_and_resumes_when_its_last_windows_are_calm() {
    // Given a switch that looks back on three windows
    let mut scene = Scene::new(0, 3);
    assert_eq!(scene.operate(), Ok(()));

    // When one window drifts, then it pauses
    scene.measure(&DRIFTED);
    assert!(LIMIT <= scene.world.model(&scene.model.address).last_value);
    assert_eq!(scene.operate(), Err(DRIFTS));

    // and it resumes once that window is the fourth last
    for _ in 0..2 {
        scene.measure(&CALM);
        assert_eq!(scene.operate(), Err(DRIFTS));
    }
    scene.measure(&CALM);
    assert_eq!(scene.operate(), Ok(()));
}

#[test]
fn it_pauses_at_the_limit_and_not_below() {
    let mut scene = Scene::new(0, 1);
    scene.measure(&DRIFTED);
    let value = scene.world.model(&scene.model.address).last_value;
    for (limit, expected) in [(value, Err(DRIFTS)), (value + 1, Ok(()))] {
        scene.creator = scene.world.wallet(0);
        scene.create(limit, 1, 1).unwrap();
        assert_eq!(scene.operate(), expected);
    }
}

#[test]
fn a_window_without_a_value_pauses_it() {
    let mut scene = Scene::new(0, 2);
    // Given a window that one of three oracles submits, so that it becomes void
    let void = scene.next_window;
    scene.world.warp_to_end(&scene.model, void);
    scene.world.submit(&scene.model, 0, void, &CALM).unwrap();
    scene.world.pass(params().submit_secs);
    scene.world.finalize(&scene.model, void).unwrap();
    assert_eq!(scene.operate(), Ok(())); // its last final windows are calm

    // Then it pauses while the void window is one of the last two
    scene.next_window += 1;
    scene.measure(&CALM);
    assert_eq!(scene.operate(), Err(UNMEASURED));
    scene.measure(&CALM);
    assert_eq!(scene.operate(), Ok(()));

    // and so does a window that nobody submitted
    scene.next_window += 1;
    scene.measure(&CALM);
    assert_eq!(scene.operate(), Err(UNMEASURED));
}

#[test]
fn windows_of_two_pages_need_both() {
    // Given windows 254 to 257, of which two are in each page
    let mut scene = Scene::new(254, 4);
    let model = scene.model.address;
    let [first, second] = [0, 1].map(|page| address::series_page(&model, page));

    // Then both pages are needed, in any order
    for pages in [[first, second], [second, first]] {
        assert_eq!(scene.operate_with(model, &pages), Ok(()));
    }
    for pages in [vec![first], vec![second], vec![first, first], vec![]] {
        let result = scene.operate_with(model, &pages);
        assert_eq!(result, Err(feed(FeedError::MissingPage)));
    }
}

#[test]
fn accounts_with_the_same_bytes_are_refused() {
    // Given a model that drifts
    let mut scene = Scene::new(0, 1);
    let model = scene.model.address;
    let page = address::series_page(&model, 0);
    // and copies of its accounts from before, which belong to the attacker's program
    let (calm_model, calm_page) = (scene.copy(&model), scene.copy(&page));
    scene.measure(&DRIFTED);

    // Then the copies are refused
    for (model, page) in [
        (calm_model, calm_page),
        (calm_model, page),
        (model, calm_page),
    ] {
        let result = scene.operate_with(model, &[page]);
        assert_eq!(result, Err(feed(FeedError::WrongOwner)));
    }
}

#[test]
fn accounts_of_another_model_are_refused() {
    // Given a model that drifts, and a calm one, whose oracles are the attacker's
    let mut scene = Scene::new(0, 1);
    scene.measure(&DRIFTED);
    let calm = scene.world.default_model();
    let (model, other) = (scene.model.address, calm.address);
    scene.world.finalize_with(&calm, 1, &CALM);
    let page = address::series_page(&model, 0);
    let other_page = address::series_page(&other, 0);

    // Then neither its account nor its page help
    assert_eq!(scene.operate_with(model, &[page]), Err(DRIFTS));
    for pages in [[page], [other_page]] {
        let result = scene.operate_with(other, &pages);
        assert_eq!(result, Err(feed(FeedError::OtherModel)));
    }
    let result = scene.operate_with(model, &[other_page]);
    assert_eq!(result, Err(feed(FeedError::MissingPage)));
    // nor does it help to pass it beside the model's page
    for pages in [[other_page, page], [page, other_page]] {
        assert_eq!(scene.operate_with(model, &pages), Err(DRIFTS));
    }
}

#[test]
fn other_accounts_of_the_program_are_refused() {
    let mut scene = Scene::new(0, 1);
    let model = scene.model.address;
    let page = address::series_page(&model, 0);
    let config = address::config();
    for other in [config, page] {
        let result = scene.operate_with(other, &[page]);
        assert_eq!(result, Err(feed(FeedError::NotAModel)));
    }
    for other in [config, model] {
        let result = scene.operate_with(model, &[other]);
        assert_eq!(result, Err(feed(FeedError::NotAPage)));
    }
    let missing = address::series_page(&model, 1);
    let result = scene.operate_with(model, &[missing]);
    assert_eq!(result, Err(feed(FeedError::WrongOwner)));
}

#[test]
fn a_page_of_other_windows_is_refused() {
    // Given a calm window in page 0, and one that drifts in page 1
    let mut scene = Scene::new(255, 1);
    scene.measure(&DRIFTED);
    let model = scene.model.address;
    assert_eq!(scene.operate(), Err(DRIFTS));
    let result = scene.operate_with(model, &[address::series_page(&model, 0)]);
    assert_eq!(result, Err(feed(FeedError::MissingPage)));
}

#[test]
fn it_pauses_when_the_oracles_are_silent() {
    let mut scene = Scene::new(0, 1);
    let state = scene.world.model(&scene.model.address);
    let end = state.window_end(state.last_window).unwrap();
    scene.world.warp_to(end + MAX_AGE_SECS);
    assert_eq!(scene.operate(), Ok(()));
    scene.world.pass(1);
    assert_eq!(scene.operate(), Err(feed(FeedError::Stale)));
}

#[test]
fn it_pauses_when_the_bonds_fall_below_the_security_that_it_demands() {
    let mut scene = Scene::new(0, 1);
    let model = scene.model.address;
    // Two of three seats are a quorum
    let security = scene.world.model(&model).security;
    for (oracle, expected) in [(0, Ok(())), (1, Err(feed(FeedError::Insecure)))] {
        let oracle = scene.model.oracles[oracle].clone();
        let all = 10_000 * TOKEN;
        let unbond = instruction::request_unbond(oracle.address(), model, all);
        scene.world.send(unbond, &[&oracle.key]).unwrap();
        let secured = scene.world.model(&model).security == security;
        assert_eq!(secured, expected.is_ok());
        assert_eq!(scene.operate(), expected);
    }
}

#[test]
fn it_pauses_when_the_model_is_updated_or_retired() {
    // Given a model whose owner replaces an oracle
    let mut scene = Scene::new(0, 1);
    let (owner, model) = (scene.model.owner.clone(), scene.model.address);
    let mut oracles = scene.model.oracles.clone();
    oracles[0] = scene.world.wallet(0);
    let state = scene.world.model(&model);
    let terms = model_terms(&oracles);
    let update = instruction::update_model(owner.address(), model, &state, terms);
    scene.world.send(update, &[&owner.key]).unwrap();
    let result = scene.operate_with(model, &[address::series_page(&model, 0)]);
    assert_eq!(result, Err(feed(FeedError::OtherVersion)));

    // Or retires it
    let mut scene = Scene::new(0, 1);
    let (owner, model) = (scene.model.owner.clone(), scene.model.address);
    let retire = instruction::retire_model(owner.address(), model);
    scene.world.send(retire, &[&owner.key]).unwrap();
    assert_eq!(scene.operate(), Err(feed(FeedError::Retired)));
}

#[test]
fn a_switch_needs_a_model_in_its_version_and_a_limit_above_the_noise() {
    let mut scene = Scene::new(0, 1);
    let floor = scene.world.model(&scene.model.address).noise_floor;
    scene.creator = scene.world.wallet(0);
    assert_eq!(scene.create(floor - 1, 1, 1), Err(LIMIT_BELOW_NOISE));
    for windows in [0, 31] {
        assert_eq!(scene.create(floor, windows, 1), Err(INVALID_WINDOWS));
    }
    let other_version = Err(feed(FeedError::OtherVersion));
    assert_eq!(scene.create(floor, 1, 2), other_version);
    assert_eq!(scene.create(floor, 30, 1), Ok(()));

    // It stays paused until the model has as many windows as it looks back on.
    let model = scene.model.address;
    let result = scene.operate_with(model, &[address::series_page(&model, 0)]);
    assert_eq!(result, Err(feed(FeedError::TooFewWindows)));
}
