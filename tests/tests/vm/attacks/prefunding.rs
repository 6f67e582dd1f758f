//! Lamports at an address before its account is created.

use std::collections::BTreeSet;

use driftshield_sdk::{
    DepositLimits, Instruction, ListingTerms, PAGE_WINDOWS, PolicyTerms, address, first_window,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{committed_idl, stakeholders::market_terms_on};

/// An account that an instruction creates: the names of the instruction and of the account.
type Creation = (String, String);

/// The lamports to send to the address of an account of so many bytes.
type Lamports = fn(usize) -> u64;

/// A world in which every address has lamports before its account is created.
struct Prefunded {
    world: World,
    lamports: Lamports,
    /// Accounts created so far.
    created: BTreeSet<Creation>,
}

impl Prefunded {
    /// Sends lamports to every account that `instruction` could create, then sends the instruction.
    #[track_caller]
    fn send(&mut self, instruction: Instruction, signers: &[&Keypair]) {
        let definition = committed_idl::definition_of(&instruction);
        let declared = committed_idl::accounts(definition);
        let mut missing = vec![];
        for (meta, account) in instruction.accounts.iter().zip(declared) {
            if meta.is_writable && !meta.is_signer && !self.world.exists(&meta.pubkey) {
                self.created
                    .insert((definition.name.clone(), account.name.clone()));
                missing.push(meta.pubkey);
            }
        }
        let mut rehearsal = self.world.clone();
        rehearsal.send(instruction.clone(), signers).unwrap();
        for address in &missing {
            let bytes = rehearsal.svm.get_account(address).unwrap().data.len();
            let account = solana_account::Account {
                lamports: (self.lamports)(bytes),
                ..Default::default()
            };
            self.world.svm.set_account(*address, account).unwrap();
        }
        self.world.send(instruction, signers).unwrap();
        for address in missing {
            let account = self.world.svm.get_account(&address).unwrap();
            let bytes = account.data.len();
            let expected = self.world.rent_of(bytes).max((self.lamports)(bytes));
            assert_eq!(account.lamports, expected);
        }
    }
}

/// All accounts that the IDL declares as created: writable accounts with seeds of their own, and
/// writable accounts that are documented as "Created here".
fn declared_creations() -> BTreeSet<Creation> {
    let mut creations = BTreeSet::new();
    for instruction in committed_idl::instructions() {
        for account in committed_idl::accounts(instruction) {
            let is_documented = account
                .docs
                .iter()
                .any(|line| line.contains("Created here"));
            if account.writable && (account.pda.is_some() || is_documented) {
                creations.insert((instruction.name.clone(), account.name.clone()));
            }
        }
    }
    creations
}

#[test]
fn lamports_at_an_address_do_not_block_its_creation() {
    // The rent now, and the lamports: one, the rent of an account without data, more than the rent of any
    // account, and the rent of the account before the rent rose or fell.
    let cases: [(u64, Lamports); 5] = [
        (5_080, |_| 1),
        (6_960, |_| RENT_OVERHEAD * 6_960),
        (696, |_| 10_000_000_000),
        (6_960, |bytes| (RENT_OVERHEAD + bytes as u64) * 696),
        (696, |bytes| (RENT_OVERHEAD + bytes as u64) * 6_960),
    ];
    for (rent, lamports) in cases {
        let mut s = Prefunded {
            world: World::bare(),
            lamports,
            created: BTreeSet::new(),
        };
        s.world.set_rent(rent);
        create_all_kinds(&mut s);
        assert_eq!(s.created, declared_creations());
    }
}

/// Creates every kind of account.
fn create_all_kinds(s: &mut Prefunded) {
    let [admin, guardian, arbiter] =
        [&s.world.admin, &s.world.guardian, &s.world.arbiter].map(Keypair::insecure_clone);
    let (at, mint, program) = (admin.pubkey(), s.world.mint, s.world.token_program);
    let initialize = instruction::initialize(at, at, guardian.pubkey(), arbiter.pubkey(), params());
    s.send(initialize, &[&admin]);
    let register = instruction::register_collateral(at, mint, program, insurance_terms(), false);
    s.send(register, &[&admin]);

    let owner = s.world.wallet(0);
    let oracles: Vec<_> = (0..2).map(|_| s.world.wallet(20_000 * TOKEN)).collect();
    let (collateral, spec) = (s.world.collateral(), share_spec(&s.world));
    let terms = model_terms(&oracles);
    let register = instruction::register_model(owner.address(), 1, &collateral, spec, terms);
    s.send(register, &[&owner.key]);
    let model = TestModel {
        address: address::model(&owner.address(), 1),
        owner,
        oracles,
    };
    for oracle in &model.oracles {
        let (at, state) = (oracle.address(), s.world.model(&model.address));
        let bond = instruction::bond(at, model.address, &state, oracle.tokens, 20_000 * TOKEN);
        s.send(bond, &[&oracle.key]);
    }
    create_market(s, &model);
    for window in 0..HISTORY {
        create_receipt(s, &model, window);
    }
    create_vault(s, &model);
    challenge_missing(s, &model);
}

/// Challenges the first window of the second page, for which nobody has submitted.
fn challenge_missing(s: &mut Prefunded, model: &TestModel) {
    let (creator, bettor) = (s.world.wallet(0), s.world.wallet(2 * TOKEN));
    let challenger = s.world.wallet(insurance_terms().challenge_bond);
    let terms = market_terms_on(&s.world, model, PAGE_WINDOWS, PAGE_WINDOWS);
    let market = s.world.create_market(model, &creator, 1, terms).unwrap();
    s.world.bet(&market, &bettor, 0, TOKEN).unwrap();
    let state = s.world.model(&model.address);
    s.world.warp_to(state.submit_end(PAGE_WINDOWS).unwrap());
    let challenge = instruction::challenge_receipt(
        challenger.address(),
        model.address,
        &state,
        PAGE_WINDOWS,
        share(CALM_DRIFT).to_vec(),
        challenger.tokens,
    );
    s.send(challenge, &[&challenger.key]);
}

fn create_market(s: &mut Prefunded, model: &TestModel) {
    let (creator, bettor) = (s.world.wallet(0), s.world.wallet(2 * TOKEN));
    let terms = market_terms(&s.world, model);
    let state = s.world.model(&model.address);
    let create = instruction::create_market(creator.address(), 1, model.address, &state, terms);
    s.send(create, &[&creator.key]);
    let market = address::market(&creator.address(), 1);
    let state = s.world.market(&market);
    let (at, source) = (bettor.address(), bettor.tokens);
    let bet = instruction::place_bet(
        at,
        market,
        &state,
        source,
        instruction::Bet::unlimited(0, TOKEN),
    );
    s.send(bet, &[&bettor.key]);
    let buyer = s.world.wallet(TOKEN);
    s.world.offer(&market, &bettor, 0, TOKEN, 900).unwrap();
    let (to, source) = (buyer.address(), buyer.tokens);
    let purchase = s.world.purchase(&market, 0, TOKEN);
    let buy = instruction::buy_position(to, market, &state, source, at, purchase);
    s.send(buy, &[&buyer.key]);
}

fn create_receipt(s: &mut Prefunded, model: &TestModel, window: u64) {
    s.world.warp_to_end(model, window);
    for oracle in &model.oracles {
        let (at, counts) = (oracle.address(), share(CALM_DRIFT).to_vec());
        let model = model.address;
        let submit = instruction::submit_receipt(at, model, window, counts, [0; 32], "".into());
        s.send(submit, &[&oracle.key]);
    }
    s.world.pass(params().challenge_secs);
    let receipt = s.world.receipt(&model.address, window);
    s.send(instruction::finalize_receipt(&receipt), &[]);
}

fn create_vault(s: &mut Prefunded, model: &TestModel) {
    let (manager, lp, holder) = (
        s.world.wallet(0),
        s.world.wallet(CAPITAL),
        s.world.wallet(CAPITAL),
    );
    let (at, collateral) = (manager.address(), s.world.collateral());
    let create = instruction::create_vault(at, 1, &collateral, COOLDOWN, 0, vault_terms());
    s.send(create, &[&manager.key]);
    let vault = address::vault(&at, 1);
    let listing = ListingTerms {
        model_version: 1,
        cap: CAPITAL,
        lowest_trigger: 20_000,
        max_persistence: 1,
    };
    let list = instruction::list_model(at, vault, model.address, listing);
    s.send(list, &[&manager.key]);

    let state = s.world.vault(&vault);
    let payer = s.world.payer.pubkey();
    let account = instruction::create_share_account(&payer, &lp.address(), &state);
    s.world.send(account, &[]).unwrap();
    let deposit = instruction::deposit(
        lp.address(),
        vault,
        &state,
        lp.tokens,
        CAPITAL,
        DepositLimits::as_read(&state, 0),
    );
    s.send(deposit, &[&lp.key]);
    let request = instruction::request_withdraw(lp.address(), vault, &state, 1_000);
    s.send(request, &[&lp.key]);

    let state_of_model = s.world.model(&model.address);
    let terms = PolicyTerms {
        model_version: 1,
        cover: 100 * TOKEN,
        trigger: 100_000,
        exhaustion: 300_000,
        persistence: 1,
        first_window: first_window(&state, &state_of_model, s.world.now()),
        windows: 10,
        max_premium: u64::MAX,
        max_cancel_fee_bps: u16::MAX,
        auto_renew: false,
    };
    let (at, source) = (holder.address(), holder.tokens);
    let buy = instruction::buy_policy(at, 1, vault, &state, model.address, source, terms);
    s.send(buy, &[&holder.key]);
}
