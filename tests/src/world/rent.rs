//! Rent: its rate, and the ledger of who paid for which account.

use std::collections::{BTreeMap, BTreeSet};

use anchor_lang::solana_program::rent::Rent;
use driftshield_sdk::{Address, ID, Instruction};
use litesvm::LiteSVM;
use solana_account::ReadableAccount;
use solana_signer::Signer;
use spl_token_interface::native_mint;

use super::World;

/// Rates in lamports per byte. An account of `n` bytes is rent-exempt with `(128 + n) * rate` lamports.
/// Mainnet started at the first, and its features (SIMD-0437) lower it in steps to the last; another
/// (SIMD-0438) resets it to the first.
pub const RENTS: [u64; 3] = [6_960, 5_080, 696];

/// Bytes that rent charges for an account without data.
pub const RENT_OVERHEAD: u64 = 128;

/// Environment variable that sets the rate at which worlds start. The default is that of mainnet's
/// features.
const RATE: &str = "LAMPORTS_PER_BYTE";

/// The rate that worlds start with, if the environment sets one.
pub(super) fn rate_of_environment() -> Option<u64> {
    let rate = std::env::var(RATE).ok()?;
    Some(rate.parse().unwrap_or_else(|_| {
        panic!("{RATE} is `{rate}`; set it to a number of lamports per byte, such as 6960")
    }))
}

pub(super) fn set_rate(svm: &mut LiteSVM, lamports_per_byte: u64) {
    svm.set_sysvar(&Rent::with_lamports_per_byte(lamports_per_byte));
}

/// Who paid for each account that the program created.
#[derive(Clone, Default)]
pub struct RentLedger {
    payers: BTreeMap<Address, Address>,
    pub closings: Closings,
}

/// How many accounts were closed at another rate than they were created at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closings {
    /// The account held less than a new one of its size costs.
    pub after_rise: u64,
    /// The account held more than a new one of its size costs, perhaps because somebody sent lamports.
    pub after_fall: u64,
}

impl Closings {
    pub fn add(&mut self, other: &Self) {
        self.after_rise += other.after_rise;
        self.after_fall += other.after_fall;
    }
}

/// What the ledger needs to know about an account.
#[derive(Clone, Copy, Default)]
pub(super) struct Holding {
    lamports: u64,
    /// Bytes of data; 0 if the account does not exist.
    bytes: usize,
    is_ours: bool,
}

/// The accounts that a transaction names, before it ran.
pub(super) type Holdings = BTreeMap<Address, Holding>;

impl RentLedger {
    /// All accounts that the program created and that still exist.
    pub fn accounts(&self) -> impl Iterator<Item = &Address> {
        self.payers.keys()
    }
}

impl World {
    /// The rate in lamports per byte.
    pub fn rent(&self) -> u64 {
        self.svm.get_sysvar::<Rent>().lamports_per_byte
    }

    pub fn set_rent(&mut self, lamports_per_byte: u64) {
        set_rate(&mut self.svm, lamports_per_byte);
    }

    /// Sets the rent in its former form, `2 * lamports_per_byte_year`.
    #[expect(deprecated, reason = "clusters without SIMD-0194 still use it")]
    pub fn set_rent_of_two_years(&mut self, lamports_per_byte_year: u64) {
        self.svm.set_sysvar(&Rent {
            lamports_per_byte: lamports_per_byte_year,
            exemption_threshold: 2.0_f64.to_le_bytes(),
            burn_percent: 50,
        });
    }

    /// The lamports that an account of `bytes` bytes needs.
    pub fn rent_of(&self, bytes: usize) -> u64 {
        (RENT_OVERHEAD + bytes as u64) * self.rent()
    }

    /// The lamports in all accounts that `payer` paid for and that still exist.
    pub fn rent_paid_by(&self, payer: &Address) -> u64 {
        let paid = self.rent_ledger.payers.iter();
        paid.filter(|(_, by)| *by == payer)
            .map(|(at, _)| self.lamports(at))
            .sum()
    }

    pub(super) fn holdings(&self, instructions: &[Instruction]) -> Holdings {
        let accounts = instructions.iter().flat_map(|each| &each.accounts);
        accounts
            .map(|meta| (meta.pubkey, self.holding(&meta.pubkey)))
            .collect()
    }

    fn holding(&self, address: &Address) -> Holding {
        let account = self.svm.accounts_db().get_account(address);
        account.map_or_else(Holding::default, |account| Holding {
            lamports: account.lamports(),
            bytes: account.data().len(),
            is_ours: *account.owner() == ID,
        })
    }

    /// Checks where the lamports of a transaction went. What a party has, in its wallet and in the
    /// accounts that it paid for, stays the same: a new account costs its payer what was missing, and a
    /// closed account returns everything to whoever paid for it.
    ///
    /// Not checked: the fee payer, accounts that instructions of other programs name, and transfers of
    /// wrapped SOL.
    pub(super) fn check_rent(&mut self, instructions: &[Instruction], before: &Holdings) {
        let (ours, others): (Vec<_>, Vec<_>) =
            instructions.iter().partition(|each| each.program_id == ID);
        let mut unchecked: BTreeSet<Address> = others
            .iter()
            .flat_map(|each| &each.accounts)
            .map(|meta| meta.pubkey)
            .collect();
        for instruction in ours {
            self.note_creations(instruction, before, &unchecked);
        }
        let payers = &self.rent_ledger.payers;
        if before.contains_key(&native_mint::ID) {
            return self.note_closings(before, &unchecked);
        }
        let is_planted =
            |(at, held): (&Address, &Holding)| held.is_ours && !payers.contains_key(at);
        if before.iter().any(is_planted) {
            return; // a test wrote this account, so nobody paid for it
        }
        let party = |at: &Address| payers.get(at).copied().unwrap_or(*at);
        let parties: Vec<Address> = unchecked.iter().map(party).collect();
        unchecked.extend(parties);
        unchecked.insert(self.payer.pubkey());

        let mut changes: BTreeMap<Address, i128> = BTreeMap::new();
        for (at, was) in before {
            let change = i128::from(self.holding(at).lamports) - i128::from(was.lamports);
            *changes.entry(party(at)).or_default() += change;
        }
        for (at, change) in changes {
            assert!(
                change == 0 || unchecked.contains(&at),
                "{at} and the accounts that it paid for changed by {change} lamports"
            );
        }
        self.note_closings(before, &unchecked);
    }

    /// Enters the payers of the accounts that `instruction` created. Each holds its rent, or what it held
    /// before if that is more.
    fn note_creations(
        &mut self,
        instruction: &Instruction,
        before: &Holdings,
        unchecked: &BTreeSet<Address>,
    ) {
        let mut metas = instruction.accounts.iter();
        let payer = metas.find(|meta| meta.is_signer && meta.is_writable);
        for meta in &instruction.accounts {
            let (was, is) = (before[&meta.pubkey], self.holding(&meta.pubkey));
            let is_created = was.bytes == 0 && 0 < is.bytes;
            if is_created && !unchecked.contains(&meta.pubkey) {
                assert_eq!(is.lamports, was.lamports.max(self.rent_of(is.bytes)));
                let payer = payer.expect("somebody pays for a new account").pubkey;
                self.rent_ledger.payers.insert(meta.pubkey, payer);
            }
        }
    }

    /// Removes closed accounts from the ledger. Nothing is left in them.
    fn note_closings(&mut self, before: &Holdings, unchecked: &BTreeSet<Address>) {
        for (at, was) in before {
            let is = self.holding(at);
            if is.bytes != 0 || self.rent_ledger.payers.remove(at).is_none() {
                continue;
            }
            assert!(is.lamports == 0 || unchecked.contains(at));
            let cost = self.rent_of(was.bytes);
            self.rent_ledger.closings.after_rise += u64::from(was.lamports < cost);
            self.rent_ledger.closings.after_fall += u64::from(cost < was.lamports);
        }
    }
}
