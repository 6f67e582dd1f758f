//! Runs actions on the program and in the books, and compares all of both after each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use driftshield_sdk::{
    Account, Address, DriftShieldError, Event, ID, Instruction, TokenProgram, error,
    token::{self, TokenAccount},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_instruction_error::InstructionError;
use solana_keypair::Keypair;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction_error::TransactionError;

use super::{
    action::{Action, Twist},
    books::{Books, Seen, Tokens},
    call::{Call, Remembered, TokenInfo},
    cast::Cast,
    check::{self, Lines},
    choose::Chooser,
    invariants, prelude,
    report::{Tally, Told},
    twist,
};
use crate::world::{Outcome, Sent, World};

/// Who owns what the runtime itself writes.
const SYSVARS: Address = anchor_lang::address!("Sysvar1111111111111111111111111111111111111");

/// Enough for any account to live on.
const RENT: u64 = 100_000_000;

/// What does not hold, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

pub type Checked<T = ()> = Result<T, Violation>;

pub(super) fn hold(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation(otherwise()))
    }
}

/// One thing that happens: time passes, or somebody calls.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few at a time")]
pub enum Step {
    Until(i64),
    Call(Call),
}

/// The world, everybody in it, and the books of it.
pub struct Driver {
    pub world: World,
    pub cast: Cast,
    pub books: Books,
    pub tally: Tally,
    /// What was done so far, in words, and how it went.
    pub story: Vec<Told>,
    pub(super) remembered: Remembered,
    /// All accounts after the last step.
    accounts: HashMap<Address, AccountSharedData>,
    /// What the program's accounts tell, and what token accounts and mints hold.
    told: BTreeMap<Address, Lines>,
    tokens: BTreeMap<Address, Tokens>,
    supplies: BTreeMap<Address, u128>,
}

impl Driver {
    /// Two models that are measured, two vaults with capital, a market on each model.
    pub fn new() -> Self {
        let mut world = World::named("soak");
        world.solvency_checks = false; // what it looks for is looked for here
        let cast = Cast::new(&world);
        let mut books = Books::default();
        cast.provide(&mut world, &mut books);
        let mut driver = Self {
            world,
            cast,
            books,
            tally: Tally::default(),
            story: Vec::new(),
            remembered: Remembered::new(),
            accounts: HashMap::new(),
            told: BTreeMap::new(),
            tokens: BTreeMap::new(),
            supplies: BTreeMap::new(),
        };
        driver.books.now = driver.world.now();
        driver.read_changes().expect("readable");
        prelude::play(&mut driver);
        driver
    }

    /// Another one at the same state.
    pub fn fork(&self) -> Self {
        Self {
            world: self.world.clone(),
            cast: Cast::new(&self.world),
            books: self.books.clone(),
            tally: self.tally.clone(),
            story: self.story.clone(),
            remembered: self.remembered.clone(),
            accounts: self.accounts.clone(),
            told: self.told.clone(),
            tokens: self.tokens.clone(),
            supplies: self.supplies.clone(),
        }
    }

    pub fn run(&mut self, actions: &[Action]) -> Checked {
        for action in actions {
            self.act(action)?;
        }
        Ok(())
    }

    /// One action. Checks of the world's, and sums that the books can't hold, panic: that is told as well.
    pub fn act(&mut self, action: &Action) -> Checked {
        let acting = std::panic::AssertUnwindSafe(|| self.act_unguarded(action));
        std::panic::catch_unwind(acting).unwrap_or_else(|panic| {
            let told = panic.downcast_ref::<String>().map(String::as_str);
            let told = told.or(panic.downcast_ref::<&str>().copied());
            Err(Violation(format!(
                "panicked: {}",
                told.unwrap_or("without words")
            )))
        })
    }

    fn act_unguarded(&mut self, action: &Action) -> Checked {
        let mut dice = StdRng::seed_from_u64(action.dice);
        let steps = Chooser::new(self, &mut dice).choose(action.does);
        let twist = action.twist.filter(|_| steps.len() == 1);
        for step in steps {
            match step {
                Step::Until(at) => self.wait(at),
                Step::Call(call) => self.call(&call, twist, &mut dice)?,
            }
        }
        Ok(())
    }

    fn wait(&mut self, at: i64) {
        if self.books.now < at {
            self.story.push(Told::Passed(at - self.books.now));
            self.world.warp_to(at);
            self.books.now = at;
        }
    }

    /// One step, as it is.
    pub fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Until(at) => {
                self.wait(at);
                Ok(())
            }
            Step::Call(call) => self.call(&call, None, &mut StdRng::seed_from_u64(0)),
        }
    }

    /// Sends a call and compares what comes of it with what the books say of it.
    fn call(&mut self, call: &Call, bent: Option<Twist>, dice: &mut StdRng) -> Checked {
        let payer = self.world.payer.pubkey();
        let of = |account: &Address| self.token_info(account);
        let Some(mut instruction) = call.instruction(&self.remembered, &payer, of) else {
            return Ok(()); // about what never was
        };
        let twisted = bent.and_then(|bent| twist::apply(self, call, &mut instruction, bent, dice));
        let Some(signers) = self.signers(&instruction) else {
            return Ok(()); // by nobody of the cast
        };
        let mut instructions = vec![instruction];
        if let Some(closed) = call.closes()
            && twisted.is_none()
            && dice.random_ratio(1, 8)
        {
            // Whoever wants it back to life pays its rent in the same transaction.
            instructions.push(system::transfer(&payer, &closed, RENT));
        }
        let keys: Vec<&Keypair> = signers.iter().collect();
        let outcome = self.world.send_all(&instructions, &keys);

        let mut after = self.books.clone();
        let verdict = match &twisted {
            Some(how) => Err(&**how),
            None => after.carry_out(call, &seen(&outcome)),
        };
        let succeeded = outcome.is_ok();
        self.tally.count(&call.name(), &outcome);
        let refused = outcome.as_ref().err().map(|failed| failed.err.to_string());
        self.story.push(Told::Called(
            Box::new(call.clone()),
            twisted.clone(),
            refused,
        ));
        require_sound(&outcome)?;
        match verdict {
            Err(why) if succeeded => {
                return Err(Violation(format!("accepted, but {why}")));
            }
            Ok(()) if !succeeded => {
                let failed = outcome.err().expect("refused");
                let told = format!("refused by {}, though nothing is against it", failed.err);
                return Err(Violation(told));
            }
            _ => {}
        }
        let signers: BTreeSet<Address> = signers.iter().map(Signer::pubkey).collect();
        if succeeded {
            let before = std::mem::replace(&mut self.books, after);
            self.tally.happened = self.books.happened;
            self.check_accepted(call, &before, &signers)
        } else {
            self.check_refused()
        }
    }

    fn signers(&self, instruction: &Instruction) -> Option<Vec<Keypair>> {
        let payer = self.world.payer.pubkey();
        let mut signers = BTreeMap::new();
        for account in &instruction.accounts {
            if account.is_signer && account.pubkey != payer {
                let key = self.cast.key(&account.pubkey)?;
                signers.insert(account.pubkey, key.insecure_clone());
            }
        }
        Some(signers.into_values().collect())
    }

    fn token_info(&self, account: &Address) -> Option<TokenInfo> {
        let mint = self.books.tokens.get(account)?.mint;
        let program = self.accounts.get(&mint)?.owner();
        let is_2022 = *program == TokenProgram::Token2022.id();
        Some(TokenInfo {
            mint,
            program: if is_2022 {
                TokenProgram::Token2022
            } else {
                TokenProgram::SplToken
            },
            decimals: self.accounts.get(&mint)?.data()[44],
        })
    }

    // What must hold.

    /// Nothing at all has changed but what the fee took.
    fn check_refused(&mut self) -> Checked {
        let changed = self.changes();
        hold(changed.is_empty(), || {
            let names: Vec<String> = changed.iter().map(|at| self.name(at)).collect();
            format!("a refused call changed {}", names.join(", "))
        })
    }

    fn check_accepted(
        &mut self,
        call: &Call,
        before: &Books,
        signers: &BTreeSet<Address>,
    ) -> Checked {
        let tokens = self.tokens.clone();
        self.read_changes()?;
        self.check_books()?;
        let programs = |at: &Address| before.tokens.get(at).is_some_and(|of| of.is_programs);
        invariants::of_owners(&tokens, &self.tokens, signers, call, programs)?;
        invariants::of_step(before, &self.books, call)?;
        invariants::of_state(&self.books)
    }

    /// Whether the chain as it is now is what the books say, and all holds that must.
    pub fn check(&mut self) -> Checked {
        self.read_changes()?;
        self.check_books()?;
        invariants::of_state(&self.books)
    }

    /// Everything that the chain tells is what the books tell, and the other way round.
    fn check_books(&self) -> Checked {
        let expected = check::expected(&self.books);
        for (at, lines) in &expected {
            let Some(told) = self.told.get(at) else {
                return Err(Violation(format!("{} is gone", self.name(at))));
            };
            if let Some(difference) = difference(lines, told) {
                return Err(Violation(format!("{}: {difference}", self.name(at))));
            }
        }
        if expected.len() != self.told.len() {
            let known: BTreeSet<&Address> = expected.iter().map(|(at, _)| at).collect();
            let unknown = self.told.keys().find(|at| !known.contains(at));
            let name = unknown.map(|at| self.name(at)).unwrap_or_default();
            return Err(Violation(format!("{name} is there, and should not be")));
        }
        self.check_tokens()
    }

    fn check_tokens(&self) -> Checked {
        for (at, expected) in &self.books.tokens {
            let Some(told) = self.tokens.get(at) else {
                return Err(Violation(format!("{} is gone", self.name(at))));
            };
            let same = told.mint == expected.mint
                && told.owner == expected.owner
                && told.amount == expected.amount
                && told.delegate == expected.delegate;
            hold(same, || {
                let (books, chain) = (expected.amount, told.amount);
                let (delegated, delegate) = (expected.delegate, told.delegate);
                format!(
                    "{} should hold {books}, and holds {chain} (delegated {delegated:?}, {delegate:?})",
                    self.name(at)
                )
            })?;
        }
        hold(self.tokens.len() == self.books.tokens.len(), || {
            let mut all = self.tokens.keys();
            let unknown = all.find(|at| !self.books.tokens.contains_key(at));
            let name = unknown.map(|at| self.name(at)).unwrap_or_default();
            format!("{name} is there, and should not be")
        })?;
        hold(self.supplies == self.books.supplies, || {
            format!("supplies: {:?}, {:?}", self.books.supplies, self.supplies)
        })
    }

    // Reading the chain.

    /// Accounts that are other than they were after the last step, but for sysvars and who pays fees.
    fn changes(&self) -> Vec<Address> {
        let payer = self.world.payer.pubkey();
        let now = &self.world.svm.accounts_db().inner;
        let is_same = |at: &Address, account: &AccountSharedData| {
            self.accounts.get(at).is_some_and(|before| {
                // What nobody has written is shared, and need not be read.
                let (was, is) = (before.data(), account.data());
                before.lamports() == account.lamports()
                    && before.owner() == account.owner()
                    && (std::ptr::eq(was, is) || was == is)
            })
        };
        let other = now
            .iter()
            .filter(|(at, account)| {
                **at != payer && *account.owner() != SYSVARS && !is_same(at, account)
            })
            .map(|(at, _)| *at);
        let gone = self
            .accounts
            .keys()
            .filter(|at| !now.contains_key(at))
            .copied();
        let mut changed: Vec<Address> = other.chain(gone).collect();
        changed.sort();
        changed
    }

    fn read_changes(&mut self) -> Checked {
        for at in self.changes() {
            let account = self.world.svm.accounts_db().get_account(&at);
            self.forget(&at);
            if let Some(account) = account {
                if 0 < account.lamports() {
                    self.read(at, &account)?;
                }
                self.accounts.insert(at, account);
            }
        }
        Ok(())
    }

    fn forget(&mut self, at: &Address) {
        self.accounts.remove(at);
        self.told.remove(at);
        self.tokens.remove(at);
        self.supplies.remove(at);
    }

    fn read(&mut self, at: Address, account: &AccountSharedData) -> Checked {
        let is_tokens = [TokenProgram::SplToken, TokenProgram::Token2022]
            .iter()
            .any(|program| program.id() == *account.owner());
        if *account.owner() == ID {
            let decoded = Account::decode(account.data())
                .map_err(|error| Violation(format!("{}: {error}", self.name(&at))))?;
            self.told.insert(at, check::told(&decoded));
            self.remembered.insert(at, decoded);
        } else if is_tokens && account.data().len() == 82 {
            let supply = token::mint_supply(account.data()).expect("a mint");
            self.supplies.insert(at, supply.into());
        } else if is_tokens {
            let told = TokenAccount::decode(account.data()).expect("a token account");
            let tokens = Tokens {
                mint: Address::new_from_array(*account.data().first_chunk().expect("a mint")),
                owner: told.owner,
                amount: told.amount.into(),
                delegate: told
                    .delegate
                    .map(|delegate| (delegate, told.delegated.into())),
                donated: 0,
                is_programs: false,
            };
            self.tokens.insert(at, tokens);
        }
        Ok(())
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

fn difference(expected: &Lines, told: &Lines) -> Option<String> {
    if expected.len() != told.len() {
        return Some(format!("{expected:?} and {told:?}"));
    }
    let mut pairs = std::iter::zip(expected, told);
    pairs
        .find(|(expected, told)| expected != told)
        .map(|((field, books), (_, chain))| {
            format!("{field} should be {books:?}, and is {chain:?}")
        })
}

/// The program neither aborted nor found itself insolvent.
fn require_sound(outcome: &Outcome) -> Checked {
    let Err(failed) = outcome else { return Ok(()) };
    let TransactionError::InstructionError(_, why) = &failed.err else {
        return Err(Violation(format!("not even run: {}", failed.err)));
    };
    let insolvent = InstructionError::Custom(error::code(DriftShieldError::Insolvent));
    let aborted = [
        InstructionError::ProgramFailedToComplete,
        InstructionError::ComputationalBudgetExceeded,
        insolvent,
    ];
    hold(!aborted.contains(why), || {
        format!("the program gave up: {why}")
    })
}

/// What the page leaves open, of a call that was accepted.
fn seen(outcome: &Outcome) -> Seen {
    let mut seen = Seen::default();
    let Ok(Sent { events, .. }) = outcome else {
        return seen;
    };
    match events.first() {
        Some(Event::ModelRegistered(event)) => seen.noise_floor = Some(event.noise_floor),
        Some(Event::ReceiptSubmitted(event)) => seen.drift = Some(event.submission),
        Some(Event::ReceiptRuled(event)) => seen.drift = Some(event.value),
        Some(Event::PolicyBought(event)) => seen.premium = Some(event.premium),
        Some(Event::PolicyRenewed(event)) => seen.premium = Some(event.premium),
        _ => {}
    }
    seen
}
