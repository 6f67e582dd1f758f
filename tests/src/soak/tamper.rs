//! Tampers with the signers and accounts of a call's instruction, so that the program has to refuse it.

use driftshield_sdk::{AccountMeta, Address, Instruction};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{action::Tampering, books::Books, call::Call, driver::Driver};

/// Tampers with the instruction of `call`, and describes how. Returns `None`, and leaves the instruction
/// as it is, if the tampering does not apply, or if the program may accept the changed instruction.
pub fn apply(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    tampering: Tampering,
    rng: &mut StdRng,
) -> Option<String> {
    if instruction.program_id != driftshield_sdk::ID {
        return None;
    }
    match tampering {
        Tampering::Impostor => impostor(driver, call, instruction, rng),
        Tampering::Unsigned => unsigned(call, instruction),
        Tampering::Swapped => swap_account(driver, call, instruction, rng),
        Tampering::ReadOnly => read_only(driver, call, instruction, rng),
    }
}

/// Whether the call's signature, if it has one, is mandatory. A call without a signer counts as mandatory;
/// the callers skip it because it has nothing to tamper with.
///
/// With an optional signature the payee may choose another destination, the creator or manager may close
/// earlier, or the holder may renew without `auto_renew`.
fn requires_signature(call: &Call) -> bool {
    !matches!(
        call,
        Call::WithdrawBond { .. }
            | Call::CollectReward { .. }
            | Call::CollectChallenge { .. }
            | Call::CancelMarket { .. }
            | Call::Claim { .. }
            | Call::CollectFees { .. }
            | Call::Withdraw { .. }
            | Call::CollectManagerFees { .. }
            | Call::CloseVault { .. }
            | Call::ClaimPolicy { .. }
            | Call::RenewPolicy { .. }
            | Call::ExpirePolicy { .. }
            | Call::BeginPolicy { .. }
            | Call::ExaminePolicy { .. }
    )
}

/// The address that the call's account names as its only allowed signer. `None` if the call needs no such
/// check (its accounts are derived from the signer), or if the account does not exist.
fn authorized_signer(books: &Books, call: &Call) -> Option<Address> {
    let model = |address| books.models.get(address);
    let vault = |address| books.vaults.get(address);
    match call {
        Call::UpdateConfig { .. }
        | Call::ProposeAdmin { .. }
        | Call::RegisterCollateral { .. }
        | Call::UpdateCollateral { .. }
        | Call::ReturnSlashes { .. }
        | Call::WithdrawTreasury { .. } => Some(books.config.as_ref()?.admin),
        Call::AcceptAdmin { .. } => books.config.as_ref()?.pending_admin,
        Call::ProposeArbiter { .. } => Some(books.config.as_ref()?.arbiter),
        Call::AcceptArbiter { .. } => books.config.as_ref()?.pending_arbiter,
        // The owner of the source token account. It may differ from the call's signer, because token
        // accounts change owners in the soak.
        Call::Deposit { source, .. }
        | Call::ChallengeReceipt { source, .. }
        | Call::FundOracles { source, .. } => Some(books.tokens.get(source)?.owner),
        Call::UpdateModel { model: address, .. }
        | Call::RetireModel { model: address, .. }
        | Call::ReplaceOracle { model: address, .. } => Some(model(address)?.owner),
        Call::RuleReceipt { model: address, .. } => Some(model(address)?.arbiter),
        Call::UpdateVault { vault: address, .. } | Call::ListModel { vault: address, .. } => {
            Some(vault(address)?.manager)
        }
        _ => None,
    }
}

fn impostor(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    rng: &mut StdRng,
) -> Option<String> {
    // Skipped: the random actor may be the admin or the guardian, and both may pause, or another of the
    // model's oracles, who then leaves.
    if matches!(call, Call::SetPause { .. } | Call::LeaveSeat { .. }) || !requires_signature(call) {
        return None;
    }
    let impostor = *driver.actors.addresses().choose(rng)?;
    let signer = instruction
        .accounts
        .iter_mut()
        .find(|account| account.is_signer)?;
    if signer.pubkey == impostor || authorized_signer(&driver.books, call) == Some(impostor) {
        return None;
    }
    signer.pubkey = impostor;
    Some(format!("{} signs instead", driver.name(&impostor)))
}

fn unsigned(call: &Call, instruction: &mut Instruction) -> Option<String> {
    if !requires_signature(call) {
        return None;
    }
    let mut signers = instruction.accounts.iter_mut();
    let signer = signers.find(|account| account.is_signer)?;
    signer.is_signer = false;
    Some("nobody signs".into())
}

fn swap_account(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    rng: &mut StdRng,
) -> Option<String> {
    let account = declared_account(call, instruction, rng);
    let old = account.pubkey;
    if account.is_signer || call.chosen_accounts().contains(&old) {
        return None;
    }
    let new = replacement(driver, &old, rng)?;
    let same_kind = kind(&driver.books, &old) == kind(&driver.books, &new);
    // The call may be valid for another subject of the same kind.
    if new == old || (call.subject() == Some(old) && same_kind) {
        return None;
    }
    account.pubkey = new;
    Some(format!(
        "{} replaces {}",
        driver.name(&new),
        driver.name(&old)
    ))
}

/// A random account of the instruction, except its remaining accounts.
fn declared_account<'a>(
    call: &Call,
    instruction: &'a mut Instruction,
    rng: &mut StdRng,
) -> &'a mut AccountMeta {
    let declared = instruction.accounts.len() - call.remaining_accounts();
    let index = rng.random_range(0..declared);
    &mut instruction.accounts[index]
}

/// A random account to replace `old`, usually of the same kind.
fn replacement(driver: &Driver, old: &Address, rng: &mut StdRng) -> Option<Address> {
    let books = &driver.books;
    let kinds: [Vec<Address>; 12] = [
        books.models.keys().copied().collect(),
        books.seats.keys().copied().collect(),
        books.receipts.keys().copied().collect(),
        books.series.keys().copied().collect(),
        books.markets.keys().copied().collect(),
        books.positions.keys().copied().collect(),
        books.vaults.keys().copied().collect(),
        books.exposures.keys().copied().collect(),
        books.requests.keys().copied().collect(),
        books.policies.keys().copied().collect(),
        books.tokens.keys().copied().collect(),
        driver.actors.addresses(),
    ];
    let same_kind = kinds.iter().find(|kind| kind.contains(old));
    let from = match same_kind {
        Some(same_kind) if rng.random_ratio(3, 4) => same_kind,
        _ => kinds.choose(rng)?,
    };
    from.choose(rng).copied()
}

/// The kind of an account, as an index. `None` for kinds that are never a call's [`Call::subject`].
fn kind(books: &Books, address: &Address) -> Option<usize> {
    [
        books
            .collaterals
            .values()
            .any(|collateral| collateral.address == *address),
        books.models.contains_key(address),
        books.receipts.contains_key(address),
        books.series.contains_key(address),
        books.markets.contains_key(address),
        books.vaults.contains_key(address),
        books.policies.contains_key(address),
    ]
    .iter()
    .position(|is| *is)
}

fn read_only(
    driver: &Driver,
    call: &Call,
    instruction: &mut Instruction,
    rng: &mut StdRng,
) -> Option<String> {
    let account = declared_account(call, instruction, rng);
    if !account.is_writable {
        return None;
    }
    account.is_writable = false;
    Some(format!("{} is read-only", driver.name(&account.pubkey)))
}
