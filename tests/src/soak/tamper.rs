//! Bends a call into one that nobody may make: by whoever signs, and whatever accounts are passed.

use driftshield_sdk::{Address, Instruction};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{action::Twist, books::Books, call::Call, run::Driver};

/// Bends the instruction of `call`, and says how; `None` where that bends nothing.
pub fn apply(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    twist: Twist,
    dice: &mut StdRng,
) -> Option<String> {
    if instruction.program_id != driftshield_sdk::ID {
        return None;
    }
    match twist {
        Twist::Impostor => impostor(driver, call, instruction, dice),
        Twist::Unsigned => unsigned(call, instruction),
        Twist::Swapped => swap(driver, call, instruction, dice),
        Twist::ReadOnly => read_only(call, instruction, dice),
    }
}

/// Who signs because it has to, not because it wants to be paid elsewhere.
fn has_to_sign(call: &Call) -> bool {
    !matches!(
        call,
        Call::WithdrawBond { .. }
            | Call::CollectChallenge { .. }
            | Call::CancelMarket { .. }
            | Call::Claim { .. }
            | Call::CollectFees { .. }
            | Call::Withdraw { .. }
            | Call::CollectManagerFees { .. }
            | Call::CloseVault { .. }
            | Call::ClaimPolicy { .. }
            | Call::RenewPolicy { .. }
    )
}

/// The only one who may make a call, where that isn't whoever makes it.
fn only_signer(books: &Books, call: &Call) -> Option<Address> {
    let model = |at| books.models.get(at);
    let vault = |at| books.vaults.get(at);
    match call {
        Call::UpdateConfig { .. }
        | Call::ProposeAdmin { .. }
        | Call::RegisterCollateral { .. }
        | Call::UpdateCollateral { .. }
        | Call::WithdrawTreasury { .. } => Some(books.config.as_ref()?.admin),
        Call::AcceptAdmin { .. } => books.config.as_ref()?.pending_admin,
        // Whoever the account belongs to that pays: it may have been given away.
        Call::Deposit { source, .. } | Call::ChallengeReceipt { source, .. } => {
            Some(books.tokens.get(source)?.owner)
        }
        Call::UpdateModel { model: at, .. } | Call::RetireModel { model: at, .. } => {
            Some(model(at)?.owner)
        }
        Call::RuleReceipt { model: at, .. } => Some(model(at)?.arbiter),
        Call::UpdateVault { vault: at, .. } | Call::ListModel { vault: at, .. } => {
            Some(vault(at)?.manager)
        }
        _ => None,
    }
}

fn impostor(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    dice: &mut StdRng,
) -> Option<String> {
    // The admin may pause as the guardian may.
    if matches!(call, Call::SetPause { .. }) || !has_to_sign(call) {
        return None;
    }
    let impostor = *driver.cast.addresses().choose(dice)?;
    let signer = instruction
        .accounts
        .iter_mut()
        .find(|account| account.is_signer)?;
    if signer.pubkey == impostor || only_signer(&driver.books, call) == Some(impostor) {
        return None;
    }
    signer.pubkey = impostor;
    Some(format!("{} signs instead", driver.name(&impostor)))
}

fn unsigned(call: &Call, instruction: &mut Instruction) -> Option<String> {
    if !has_to_sign(call) {
        return None;
    }
    let mut signers = instruction.accounts.iter_mut();
    let signer = signers.find(|account| account.is_signer)?;
    signer.is_signer = false;
    Some("nobody signs".into())
}

fn swap(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    dice: &mut StdRng,
) -> Option<String> {
    let declared = instruction.accounts.len() - call.remaining();
    let place = dice.random_range(0..declared);
    let account = &mut instruction.accounts[place];
    let old = account.pubkey;
    if account.is_signer || call.chosen().contains(&old) {
        return None;
    }
    let new = other(driver, &old, dice)?;
    let same_kind = kind(&driver.books, &old) == kind(&driver.books, &new);
    if new == old || (call.subject() == Some(old) && same_kind) {
        return None;
    }
    account.pubkey = new;
    Some(format!(
        "{} in the place of {}",
        driver.name(&new),
        driver.name(&old)
    ))
}

/// An account for the place of another, mostly of the same kind.
fn other(driver: &Driver, old: &Address, dice: &mut StdRng) -> Option<Address> {
    let books = &driver.books;
    let kinds: [Vec<Address>; 11] = [
        books.models.keys().copied().collect(),
        books.seats.keys().copied().collect(),
        books.receipts.keys().copied().collect(),
        books.markets.keys().copied().collect(),
        books.positions.keys().copied().collect(),
        books.vaults.keys().copied().collect(),
        books.exposures.keys().copied().collect(),
        books.requests.keys().copied().collect(),
        books.policies.keys().copied().collect(),
        books.tokens.keys().copied().collect(),
        driver.cast.addresses(),
    ];
    let own = kinds.iter().find(|kind| kind.contains(old));
    let from = match own {
        Some(own) if dice.random_ratio(3, 4) => own,
        _ => kinds.choose(dice)?,
    };
    from.choose(dice).copied()
}

fn kind(books: &Books, at: &Address) -> Option<usize> {
    [
        books
            .collaterals
            .values()
            .any(|collateral| collateral.address == *at),
        books.models.contains_key(at),
        books.receipts.contains_key(at),
        books.markets.contains_key(at),
        books.vaults.contains_key(at),
        books.policies.contains_key(at),
    ]
    .iter()
    .position(|is| *is)
}

fn read_only(call: &Call, instruction: &mut Instruction, dice: &mut StdRng) -> Option<String> {
    let declared = instruction.accounts.len() - call.remaining();
    let place = dice.random_range(0..declared);
    let account = &mut instruction.accounts[place];
    if !account.is_writable {
        return None;
    }
    account.is_writable = false;
    Some(format!("account {place} is read-only"))
}
