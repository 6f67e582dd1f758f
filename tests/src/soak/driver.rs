//! Runs steps on the built program and in the books, and compares both after each call.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use driftshield_sdk::{
    Address, DriftShieldError, Event, Instruction, TokenProgram, address, error,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_account::ReadableAccount;
use solana_instruction_error::InstructionError;
use solana_keypair::Keypair;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction_error::TransactionError;

use super::{
    actors::Actors,
    books::{Books, EventValues, limits},
    call::{Call, TokenInfo},
    compare, invariants,
    report::{LogEntry, Tally},
    snapshot::Snapshot,
    step::{Checked, Step, Violation, ensure},
};
use crate::world::{Outcome, Sent, World};

/// Lamports that make any account rent-exempt.
const RENT: u64 = 100_000_000;
/// Offset of the decimals in a mint.
const MINT_DECIMALS: usize = 44;

/// Changes the instruction of a call so that the program has to refuse it, and describes how. Returns
/// `None` if it leaves the instruction as it is.
pub(super) type Tamper<'a> =
    &'a dyn Fn(&Driver, &Call, &mut Instruction, &mut StdRng) -> Option<String>;

/// A world, its actors, and the books that follow it.
pub struct Driver {
    pub world: World,
    pub actors: Actors,
    pub books: Books,
    pub tally: Tally,
    /// The steps so far.
    pub log: Vec<LogEntry>,
    snapshot: Snapshot,
}

impl Driver {
    /// A deployed program that is not initialized, and actors with lamports and tokens.
    pub(super) fn uninitialized() -> Self {
        let mut world = World::named("soak");
        world.solvency_checks = false; // `invariants` and `compare` cover them
        let actors = Actors::new(&world);
        let mut books = Books::default();
        actors.fund(&mut world, &mut books);
        books.now = world.now();
        let mut driver = Self {
            world,
            actors,
            books,
            tally: Tally::default(),
            log: Vec::new(),
            snapshot: Snapshot::default(),
        };
        driver.refresh().expect("all accounts can be decoded");
        driver
    }

    /// An independent copy of the current state.
    pub fn fork(&self) -> Self {
        Self {
            world: self.world.clone(),
            actors: Actors::new(&self.world),
            books: self.books.clone(),
            tally: self.tally.clone(),
            log: self.log.clone(),
            snapshot: self.snapshot.clone(),
        }
    }

    /// Runs one step, untampered.
    pub fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Until(at) => {
                self.wait_until(at);
                Ok(())
            }
            Step::Rent(rate) => {
                self.set_rent(rate);
                Ok(())
            }
            Step::Call(call) => self.call(&call, None, &mut StdRng::seed_from_u64(0)),
        }
    }

    pub(super) fn wait_until(&mut self, at: i64) {
        if self.books.now < at {
            self.log.push(LogEntry::Waited(at - self.books.now));
            self.world.warp_to(at);
            self.books.now = at;
        }
    }

    /// Changes the rent, to `rate` lamports per byte.
    pub fn set_rent(&mut self, rate: u64) {
        if self.world.rent() != rate {
            self.log.push(LogEntry::Rent(rate));
            self.world.set_rent(rate);
        }
    }

    /// Sends a call, and compares its outcome with that in the books. Skips calls about accounts that
    /// never existed, and calls with a signer who is not an actor.
    pub(super) fn call(
        &mut self,
        call: &Call,
        tamper: Option<Tamper>,
        rng: &mut StdRng,
    ) -> Checked {
        let payer = self.world.payer.pubkey();
        let token_info = |account: &Address| self.token_info(account);
        let Some(mut instruction) = call.instruction(&self.snapshot.known, &payer, token_info)
        else {
            return Ok(());
        };
        let tampered = tamper.and_then(|tamper| tamper(self, call, &mut instruction, rng));
        let Some(signers) = self.signers(&instruction) else {
            return Ok(());
        };
        let mut instructions = vec![instruction];
        if let Some(closed) = call.closed_account()
            && tampered.is_none()
            && rng.random_ratio(1, 8)
        {
            // Revival attack: pay the closed account's rent in the same transaction.
            instructions.push(system::transfer(&payer, &closed, RENT));
        }
        let keys: Vec<&Keypair> = signers.iter().collect();
        let outcome = self.world.send_all(&instructions, &keys);

        let mut after = self.books.clone();
        let verdict = match &tampered {
            Some(how) => Err(&**how),
            None => after.apply(call, &event_values(call, &outcome)),
        };
        self.tally.count(&call.name(), &outcome);
        self.log.push(LogEntry::Called {
            call: Box::new(call.clone()),
            tampering: tampered.clone(),
            refusal: outcome.as_ref().err().map(|failed| failed.err.to_string()),
        });
        check_not_aborted(&outcome)?;
        match (&outcome, verdict) {
            (Ok(_), Err(why)) => return Err(Violation(format!("accepted, but {why}"))),
            (Err(failed), Ok(())) => {
                let violation =
                    format!("refused with {}, but the books accept the call", failed.err);
                return Err(Violation(violation));
            }
            _ => {}
        }
        if outcome.is_err() {
            return self.check_refused();
        }
        let signers: BTreeSet<Address> = signers.iter().map(Signer::pubkey).collect();
        let before = std::mem::replace(&mut self.books, after);
        self.tally.rare_events = self.books.rare_events;
        self.tally.closings = self.world.rent_ledger.closings;
        self.check_accepted(call, &before, &signers)
    }

    /// The keys of all signers but the fee payer; `None` if one is not an actor.
    fn signers(&self, instruction: &Instruction) -> Option<Vec<Keypair>> {
        let payer = self.world.payer.pubkey();
        let mut signers = BTreeMap::new();
        for account in &instruction.accounts {
            if account.is_signer && account.pubkey != payer {
                let key = self.actors.key(&account.pubkey)?;
                signers.insert(account.pubkey, key.insecure_clone());
            }
        }
        Some(signers.into_values().collect())
    }

    fn token_info(&self, account: &Address) -> Option<TokenInfo> {
        let mint = self.books.tokens.get(account)?.mint;
        let mint_account = self.snapshot.account(&mint)?;
        let is_2022 = *mint_account.owner() == TokenProgram::Token2022.id();
        Some(TokenInfo {
            mint,
            program: if is_2022 {
                TokenProgram::Token2022
            } else {
                TokenProgram::SplToken
            },
            decimals: mint_account.data()[MINT_DECIMALS],
        })
    }

    // Checks.

    /// Checks that a refused call changed no account except the fee payer and sysvars.
    fn check_refused(&self) -> Checked {
        let changed = self.snapshot.changes(&self.world);
        ensure(changed.is_empty(), || {
            let names: Vec<String> = changed.iter().map(|address| self.name(address)).collect();
            format!("a refused call changed {}", names.join(", "))
        })
    }

    fn check_accepted(
        &mut self,
        call: &Call,
        before: &Books,
        signers: &BTreeSet<Address>,
    ) -> Checked {
        let tokens = self.snapshot.tokens.clone();
        self.refresh()?;
        self.check_books()?;
        let belongs_to_program = |address: &Address| {
            let tokens = before.tokens.get(address);
            tokens.is_some_and(|tokens| tokens.owned_by_program)
        };
        invariants::check_losses(
            &tokens,
            &self.snapshot.tokens,
            signers,
            call,
            belongs_to_program,
        )?;
        invariants::check_step(before, &self.books, call)?;
        invariants::check_state(&self.books)
    }

    /// Checks the current state: the chain equals the books, and the invariants hold.
    pub fn check(&mut self) -> Checked {
        self.refresh()?;
        self.check_books()?;
        invariants::check_state(&self.books)
    }

    fn refresh(&mut self) -> Checked {
        let refreshed = self.snapshot.refresh(&self.world);
        refreshed.map_err(|(address, error)| Violation(format!("{}: {error}", self.name(&address))))
    }

    /// Checks that the chain has the accounts of the books, with the same fields, and no others.
    fn check_books(&self) -> Checked {
        let found = &self.snapshot.fields;
        let expected = compare::fields_in_books(&self.books);
        for (address, fields) in &expected {
            let Some(found) = found.get(address) else {
                return Err(Violation(format!("{} is missing", self.name(address))));
            };
            if let Some(difference) = compare::difference(fields, found) {
                return Err(Violation(format!("{}: {difference}", self.name(address))));
            }
        }
        if expected.len() != found.len() {
            let known: BTreeSet<&Address> = expected.iter().map(|(address, _)| address).collect();
            let unknown = found.keys().find(|address| !known.contains(address));
            return Err(self.unexpected(unknown));
        }
        self.check_tokens()
    }

    /// Checks that the chain has the token accounts and the mint supplies of the books, and no others.
    fn check_tokens(&self) -> Checked {
        let found = &self.snapshot.tokens;
        for (address, expected) in &self.books.tokens {
            let Some(found) = found.get(address) else {
                return Err(Violation(format!("{} is missing", self.name(address))));
            };
            let same = found.mint == expected.mint
                && found.owner == expected.owner
                && found.amount == expected.amount
                && found.delegate == expected.delegate;
            ensure(same, || {
                let (books, chain) = (expected.amount, found.amount);
                let (delegated, delegate) = (expected.delegate, found.delegate);
                format!(
                    "{} should hold {books}, but holds {chain} (delegated {delegated:?}, found {delegate:?})",
                    self.name(address)
                )
            })?;
        }
        if found.len() != self.books.tokens.len() {
            let mut all = found.keys();
            let unknown = all.find(|address| !self.books.tokens.contains_key(address));
            return Err(self.unexpected(unknown));
        }
        let (expected, found) = (&self.books.supplies, &self.snapshot.supplies);
        ensure(found == expected, || {
            format!("supplies should be {expected:?}, but are {found:?}")
        })
    }

    fn unexpected(&self, address: Option<&Address>) -> Violation {
        let name = address
            .map(|address| self.name(address))
            .unwrap_or_default();
        Violation(format!("{name} is on chain, but not in the books"))
    }

    // Transcript.

    /// The log as text, one line per step.
    pub fn transcript(&self) -> String {
        let names = self.names();
        let mut text = String::new();
        for step in &self.log {
            match step {
                LogEntry::Waited(secs) => writeln!(text, "  {secs} s pass"),
                LogEntry::Rent(rate) => writeln!(text, "  rent is {rate} lamports per byte"),
                LogEntry::Called {
                    call,
                    tampering,
                    refusal,
                } => {
                    let mut line = format!("{call:?}");
                    for (address, name) in &names {
                        line = line.replace(&format!("{address:?}"), name);
                    }
                    let tampering = tampering
                        .as_ref()
                        .map_or(String::new(), |how| format!(", but {how}"));
                    let refusal = refusal
                        .as_ref()
                        .map_or(String::new(), |why| format!(": refused, {why}"));
                    writeln!(text, "  {line}{tampering}{refusal}")
                }
            }
            .expect("a string");
        }
        text
    }

    /// The name of an account in transcripts; its address if it has none.
    pub fn name(&self, address: &Address) -> String {
        self.names()
            .remove(address)
            .unwrap_or_else(|| address.to_string())
    }

    fn names(&self) -> BTreeMap<Address, String> {
        let mut names = BTreeMap::new();
        for actor in self.actors.addresses() {
            names.insert(actor, self.actors.name(&actor).expect("an actor").into());
            for (token, size) in self
                .actors
                .tokens
                .iter()
                .zip(["small", "large", "freezable"])
            {
                let own = address::token_account(&actor, &token.mint, token.program);
                names.insert(own, format!("{}'s {size}", names[&actor]));
            }
        }
        for (address, account) in &self.snapshot.known {
            names.insert(
                *address,
                format!("{} {}", account.kind().name(), &address.to_string()[..4]),
            );
        }
        names
    }
}

/// Checks that the transaction was executed, and that the program neither aborted nor returned `Insolvent`.
fn check_not_aborted(outcome: &Outcome) -> Checked {
    let Err(failed) = outcome else { return Ok(()) };
    let TransactionError::InstructionError(_, error) = &failed.err else {
        let violation = format!("the transaction was not executed: {}", failed.err);
        return Err(Violation(violation));
    };
    let insolvent = InstructionError::Custom(error::code(DriftShieldError::Insolvent));
    let aborts = [
        InstructionError::ProgramFailedToComplete,
        InstructionError::ComputationalBudgetExceeded,
        insolvent,
    ];
    ensure(!aborts.contains(error), || {
        format!("the program aborted: {error}")
    })
}

/// The values in the event of an accepted call that the books take from the chain. The noise floor is
/// that of the program's function also for a refused registration, which may be too wide for it.
fn event_values(call: &Call, outcome: &Outcome) -> EventValues {
    let mut values = EventValues::default();
    if let Call::RegisterModel { spec, .. } = call
        && limits::check_spec(spec).is_ok()
    {
        values.noise_floor = Some(spec.noise_floor());
    }
    let Ok(Sent { events, .. }) = outcome else {
        return values;
    };
    match events.first() {
        Some(Event::ModelRegistered(event)) => values.noise_floor = Some(event.noise_floor),
        Some(Event::ReceiptSubmitted(event)) => values.drift = Some(event.submission),
        Some(Event::ReceiptChallenged(event)) => values.drift = Some(event.asserted),
        Some(Event::ReceiptRuled(event)) => values.drift = Some(event.value),
        Some(Event::PolicyBought(event)) => values.premium = Some(event.premium),
        Some(Event::PolicyRenewed(event)) => values.premium = Some(event.premium),
        _ => {}
    }
    values
}
