//! Payouts: the check of the destination, and the transfer out of a token account of the program.

use anchor_lang::{accounts::SlabSchema, bytemuck::Pod, prelude::*};

use super::{close, transfer, ACCOUNT_OWNER};
use crate::{Account, DriftShieldError};

/// What the runtime appends to the seeds of a program-derived address.
const PDA_MARKER: &[u8] = b"ProgramDerivedAddress";

/// An account that owns token accounts and records what they owe.
pub trait TokenOwner: Pod + SlabSchema {
    /// Returns the seeds that sign for the account.
    fn signer(&self) -> PdaSigner;

    /// Refuses a token account whose `balance` is less than it owes. A greater balance is fine:
    /// anyone can send tokens to the account.
    fn invariant(&self, balance: u64) -> Result<()>;
}

/// Seeds of a PDA that is derived from an owner and an id. The seeds are copied from the account,
/// so that the signed call can borrow the account.
pub struct PdaSigner {
    prefix: &'static [u8],
    owner: Address,
    id: [u8; 8],
    bump: [u8; 1],
}

impl PdaSigner {
    pub(crate) fn new(prefix: &'static [u8], owner: &Address, id: u64, bump: u8) -> Self {
        Self {
            prefix,
            owner: *owner,
            id: id.to_le_bytes(),
            bump: [bump],
        }
    }

    pub fn seeds(&self) -> [&[u8]; 4] {
        [self.prefix, self.owner.as_ref(), &self.id, &self.bump]
    }
}

/// Recipient of a payout.
#[derive(Clone, Copy)]
pub enum Recipient<'a> {
    /// A payee, paid to its associated token account, or to any account if the payee signs.
    Payee(&'a UncheckedAccount),
    /// The treasury at this address.
    Treasury(&'a Address),
}

impl Recipient<'_> {
    fn require_destination(
        self,
        destination: &UncheckedAccount,
        program: &Address,
        mint: &UncheckedAccount,
    ) -> Result<()> {
        match self {
            Self::Payee(payee) => require_destination(payee, destination, program, mint)?,
            Self::Treasury(treasury) => {
                require!(
                    destination.address() == treasury,
                    DriftShieldError::WrongTreasury
                );
            }
        }
        Ok(())
    }
}

/// Checks the destination of a payout: any account if the payee signs, else the payee's associated
/// token account, as long as the payee owns it. The token program checks on transfer that the
/// destination is a token account of the mint.
pub fn require_destination(
    payee: &UncheckedAccount,
    destination: &UncheckedAccount,
    program: &Address,
    mint: &UncheckedAccount,
) -> Result<()> {
    if payee.account().is_signer() {
        return Ok(());
    }
    require!(
        is_associated(payee, destination, program, mint),
        DriftShieldError::WrongDestination
    );
    // The owner of an associated token account can transfer its ownership.
    let data = destination.account().try_borrow()?;
    let owner = data.get(ACCOUNT_OWNER);
    require!(
        owner == Some(payee.address().as_ref()),
        DriftShieldError::WrongDestination
    );
    Ok(())
}

/// Whether `destination` has the address of the payee's associated token account, of any bump: only the
/// associated token program can have created an account there, and it uses one bump. Skipping the
/// runtime's check that an address has no key saves a third of the search.
fn is_associated(
    payee: &UncheckedAccount,
    destination: &UncheckedAccount,
    program: &Address,
    mint: &UncheckedAccount,
) -> bool {
    const BUMP: usize = 3 * 32;
    let mut seeds = [0; BUMP + 1 + 32 + PDA_MARKER.len()];
    seeds[..32].copy_from_slice(payee.address().as_ref());
    seeds[32..64].copy_from_slice(program.as_ref());
    seeds[64..BUMP].copy_from_slice(mint.address().as_ref());
    seeds[BUMP + 1..][..32].copy_from_slice(anchor_spl::associated_token::ID.as_ref());
    seeds[BUMP + 33..].copy_from_slice(PDA_MARKER);
    (0..=u8::MAX).rev().any(|bump| {
        seeds[BUMP] = bump;
        sha256(&seeds) == destination.address().to_bytes()
    })
}

/// Pays `amount` out of `owner`'s token account `tokens`, and checks the invariant. The caller has
/// already subtracted `amount` from what `owner` owes.
#[inline(never)] // one copy per type of owner keeps the binary small
pub fn pay<T: TokenOwner>(
    program: &Address,
    tokens: &mut UncheckedAccount,
    mint: &UncheckedAccount,
    destination: &mut UncheckedAccount,
    owner: &Account<T>,
    amount: u64,
) -> Result<()> {
    if 0 < amount {
        let (authority, signer) = (owner.cpi_handle(), owner.signer());
        let seeds = signer.seeds();
        transfer(
            program,
            tokens,
            mint,
            destination,
            authority,
            &seeds,
            amount,
        )?;
    }
    owner.invariant(super::amount(tokens)?)
}

/// Pays like [`pay`], after a check of the destination. With `amount` 0 it pays nothing and checks
/// no destination.
pub fn pay_to<T: TokenOwner>(
    recipient: Recipient,
    program: &Address,
    tokens: &mut UncheckedAccount,
    mint: &UncheckedAccount,
    destination: &mut UncheckedAccount,
    owner: &Account<T>,
    amount: u64,
) -> Result<()> {
    if 0 < amount {
        recipient.require_destination(destination, program, mint)?;
    }
    pay(program, tokens, mint, destination, owner, amount)
}

/// Sets `credit` to 0 and returns the amount to pay. Refuses a credit of 0.
pub fn take_credit(credit: &mut u64) -> Result<u64> {
    require!(0 < *credit, DriftShieldError::NothingToCollect);
    Ok(core::mem::take(credit))
}

/// Sweeps the balance of `owner`'s token account `tokens` to the treasury and closes the account.
/// Its rent goes to `rent_payer`. Returns the swept amount.
pub fn sweep<T: TokenOwner>(
    program: &Address,
    tokens: &mut UncheckedAccount,
    mint: &UncheckedAccount,
    treasury: &mut UncheckedAccount,
    owner: &Account<T>,
    rent_payer: &mut UncheckedAccount,
) -> Result<u64> {
    let signer = owner.signer();
    let seeds = signer.seeds();
    let swept = super::amount(tokens)?;
    if 0 < swept {
        let authority = owner.cpi_handle();
        transfer(program, tokens, mint, treasury, authority, &seeds, swept)?;
    }
    close(program, tokens, rent_payer, owner.cpi_handle(), &seeds);
    Ok(swept)
}
