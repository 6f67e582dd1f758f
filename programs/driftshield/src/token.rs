//! Tokens: which mints are accepted, and calls of the token programs.
//!
//! A token account or mint whose address is pinned by another account is not validated when it is
//! loaded. It was validated when it was pinned, and no other account can have its address.

use anchor_lang::{
    pinocchio::instruction::InstructionAccount, prelude::*, unchecked_invoke_signed_fixed,
};

use crate::DriftShieldError;

mod payout;

pub use payout::*;

/// Token program of a mint.
#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum TokenProgram {
    SplToken = 0,
    Token2022 = 1,
}

impl TokenProgram {
    pub const fn id(self) -> Address {
        match self {
            Self::SplToken => anchor_spl::token::ID,
            Self::Token2022 => anchor_spl::token_2022::ID,
        }
    }
}

// Instruction numbers, the same in both token programs.
const MINT_TO: u8 = 7;
const BURN: u8 = 8;
const CLOSE_ACCOUNT: u8 = 9;
const TRANSFER_CHECKED: u8 = 12;
const INITIALIZE_ACCOUNT_3: u8 = 18;
const INITIALIZE_MINT_2: u8 = 20;
const BATCH: u8 = 255;

// Offsets of the fields that are read, the same in both token programs.
const MINT_SUPPLY: usize = 36;
const MINT_DECIMALS: usize = 44;
const MINT_BYTES: usize = 82;
const ACCOUNT_OWNER: core::ops::Range<usize> = 32..64;
const ACCOUNT_AMOUNT: usize = 64;
const ACCOUNT_DELEGATE: core::ops::Range<usize> = 72..108;
const ACCOUNT_DELEGATED: usize = 121;
/// Size of a token account. Token-2022 pads a mint with extensions to this size.
const ACCOUNT_BYTES: usize = 165;
/// Account type of a mint: the byte between the padding and the extensions.
const MINT_TAG: u8 = 1;

/// Mint extensions that can neither move nor block tokens: metadata, group, member, and the
/// pointers to each. Bit `n` stands for Token-2022's extension type `n`.
pub const ALLOWED_EXTENSIONS: u32 = 0b11_1111 << 18;

/// Properties of a mint that decide whether it is accepted as collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintProfile {
    pub program: TokenProgram,
    pub decimals: u8,
    /// Bit `n` is set for Token-2022's extension type `n`. Only allowed extensions occur.
    pub extensions: u32,
    pub has_freeze_authority: bool,
}

impl MintProfile {
    /// Reads a mint's profile. Refuses an account that is not a mint, and a mint with an extension
    /// that is not allowed.
    pub fn read(mint: &AccountView) -> Result<Self> {
        let program = if mint.owned_by(&anchor_spl::token::ID) {
            TokenProgram::SplToken
        } else if mint.owned_by(&anchor_spl::token_2022::ID) {
            TokenProgram::Token2022
        } else {
            return Err(DriftShieldError::UnsupportedMint.into());
        };
        let data = mint.try_borrow()?;
        let extensions = extensions(&data).ok_or(DriftShieldError::UnsupportedMint)?;
        Ok(Self {
            program,
            decimals: data[MINT_DECIMALS],
            extensions,
            has_freeze_authority: data[MINT_DECIMALS + 2..MINT_DECIMALS + 6] != [0; 4],
        })
    }
}

/// Returns the extensions of a mint as bits. `None` if one is not allowed, or if the data are not
/// those of a mint.
fn extensions(mint: &[u8]) -> Option<u32> {
    const INITIALIZED: usize = MINT_DECIMALS + 1;
    if mint.len() < MINT_BYTES || mint[INITIALIZED] != 1 {
        return None;
    }
    if mint.len() == MINT_BYTES {
        return Some(0);
    }
    let (&tag, mut entries) = mint.get(ACCOUNT_BYTES..)?.split_first()?;
    if tag != MINT_TAG {
        return None;
    }
    let mut found = 0;
    // An entry is its type (two bytes), its length (two bytes), and as many bytes of content.
    while let [low, high, rest @ ..] = entries {
        let kind = u32::from(u16::from_le_bytes([*low, *high]));
        if kind == 0 {
            break; // unused space
        }
        let bit = 1u32.checked_shl(kind)?;
        if bit & ALLOWED_EXTENSIONS == 0 {
            return None;
        }
        found |= bit;
        let (length, content) = rest.split_first_chunk()?;
        entries = content.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    Some(found)
}

fn read_u64(data: &[u8], offset: usize) -> u64 {
    data.get(offset..)
        .and_then(|data| data.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Returns the balance of a pinned token account, in base units.
pub fn amount(account: &UncheckedAccount) -> Result<u64> {
    Ok(read_u64(&account.account().try_borrow()?, ACCOUNT_AMOUNT))
}

/// Returns the supply of a pinned mint.
pub fn supply(mint: &UncheckedAccount) -> Result<u64> {
    Ok(read_u64(&mint.account().try_borrow()?, MINT_SUPPLY))
}

/// Returns the amount that `authority` may transfer from `owner`'s token account `source`; 0 if
/// `source` has another owner or another delegate.
pub fn delegated(source: &UncheckedAccount, owner: &Address, authority: &Address) -> Result<u64> {
    const SOME: [u8; 4] = [1, 0, 0, 0];
    let data = source.account().try_borrow()?;
    let is_owners = data.get(ACCOUNT_OWNER) == Some(owner.as_ref());
    let delegate = data.get(ACCOUNT_DELEGATE).unwrap_or_default();
    let is_delegate = delegate.starts_with(&SOME) && delegate.ends_with(authority.as_ref());
    Ok(if is_owners && is_delegate {
        read_u64(&data, ACCOUNT_DELEGATED)
    } else {
        0
    })
}

/// Creates the token account at the PDA of `[seed, owner]`, owned by `owner`.
///
/// No accepted mint needs extensions in its token accounts. Not inlined: one copy for all accounts,
/// instead of Anchor's `init` at each, keeps the binary small.
#[inline(never)]
pub fn open(
    payer: &AccountView,
    account: &mut UncheckedAccount,
    seed: &[u8],
    owner: &Address,
    mint: &UncheckedAccount,
    program: &Address,
) -> Result<()> {
    create(payer, account, seed, owner, ACCOUNT_BYTES, program)?;
    let mut data = [INITIALIZE_ACCOUNT_3; 33];
    data[1..].copy_from_slice(owner.as_ref());
    let handles = [account.cpi_handle_mut().into(), mint.cpi_handle()];
    let accounts = [
        InstructionAccount::writable(handles[0].address()),
        InstructionAccount::readonly(handles[1].address()),
    ];
    invoke(program, &data, &accounts, &handles, &[]);
    Ok(())
}

/// Creates the SPL Token mint at the PDA of `[seed, authority]`, with `authority` as mint authority
/// and no freeze authority.
pub fn open_mint(
    payer: &AccountView,
    mint: &mut UncheckedAccount,
    seed: &[u8],
    authority: &Address,
    decimals: u8,
) -> Result<()> {
    let program = anchor_spl::token::ID;
    create(payer, mint, seed, authority, MINT_BYTES, &program)?;
    let mut data = [0; 35]; // the last byte, 0, is the tag of no freeze authority
    data[0] = INITIALIZE_MINT_2;
    data[1] = decimals;
    data[2..34].copy_from_slice(authority.as_ref());
    let handles: [CpiHandle; 1] = [mint.cpi_handle_mut().into()];
    let accounts = [InstructionAccount::writable(handles[0].address())];
    invoke(&program, &data, &accounts, &handles, &[]);
    Ok(())
}

/// Allocates `bytes` zeros at the PDA of `[seed, owner]`, owned by `program`.
#[inline(never)]
fn create(
    payer: &AccountView,
    account: &UncheckedAccount,
    seed: &[u8],
    owner: &Address,
    bytes: usize,
    program: &Address,
) -> Result<()> {
    let seeds = [seed, owner.as_ref()];
    let bump = anchor_lang::find_and_verify_program_address(&seeds, &crate::ID, account.address())?;
    anchor_lang::create_account_with_signers(
        payer,
        account.account(),
        bytes,
        program,
        Some(&[seed, owner.as_ref(), &[bump]]),
        None,
    )
}

/// Transfers `amount` base units. `seeds` sign if the authority is a PDA of this program, and are
/// empty otherwise.
pub fn transfer(
    program: &Address,
    from: &mut UncheckedAccount,
    mint: &UncheckedAccount,
    to: &mut UncheckedAccount,
    authority: CpiHandle,
    seeds: &[&[u8]],
    amount: u64,
) -> Result<()> {
    let data = transfer_data(mint, amount)?;
    let handles = [
        from.cpi_handle_mut().into(),
        mint.cpi_handle(),
        to.cpi_handle_mut().into(),
        authority,
    ];
    invoke(
        program,
        &data,
        &transfer_accounts(&handles),
        &handles,
        seeds,
    );
    Ok(())
}

/// Makes two transfers from one account, each like [`transfer`].
///
/// SPL Token takes both in one call (SIMD-0266), which saves the price of the other, a thousand compute units.
/// Not every cluster's Token-2022 does.
pub fn transfer_two(
    program: &Address,
    from: &mut UncheckedAccount,
    mint: &UncheckedAccount,
    transfers: [(&mut UncheckedAccount, u64); 2],
    authority: CpiHandle,
    seeds: &[&[u8]],
) -> Result<()> {
    if *program != anchor_spl::token::ID {
        for (to, amount) in transfers {
            transfer(program, from, mint, to, authority, seeds, amount)?;
        }
        return Ok(());
    }
    // After its own number, a batch has for each instruction the number of accounts, the length of the data,
    // and the data.
    const HEADER: [u8; 2] = [4, TRANSFER_BYTES as u8];
    let mut data = [BATCH; 1 + 2 * (HEADER.len() + TRANSFER_BYTES)];
    for (entry, (_, amount)) in data[1..]
        .chunks_exact_mut(HEADER.len() + TRANSFER_BYTES)
        .zip(&transfers)
    {
        entry[..HEADER.len()].copy_from_slice(&HEADER);
        entry[HEADER.len()..].copy_from_slice(&transfer_data(mint, *amount)?);
    }
    let [(first, _), (second, _)] = transfers;
    let (from, mint) = (from.cpi_handle_mut().into(), mint.cpi_handle());
    let handles = [
        from,
        mint,
        first.cpi_handle_mut().into(),
        authority,
        from,
        mint,
        second.cpi_handle_mut().into(),
        authority,
    ];
    let [a, b, c, d] = transfer_accounts(&[handles[0], handles[1], handles[2], handles[3]]);
    let [e, f, g, h] = transfer_accounts(&[handles[4], handles[5], handles[6], handles[7]]);
    invoke(program, &data, &[a, b, c, d, e, f, g, h], &handles, seeds);
    Ok(())
}

const TRANSFER_BYTES: usize = 10;

fn transfer_data(mint: &UncheckedAccount, amount: u64) -> Result<[u8; TRANSFER_BYTES]> {
    let mut data = [TRANSFER_CHECKED; TRANSFER_BYTES];
    data[1..9].copy_from_slice(&amount.to_le_bytes());
    // The token program compares this byte with the mint's decimals.
    data[9] = mint
        .account()
        .try_borrow()?
        .get(MINT_DECIMALS)
        .copied()
        .unwrap_or(0);
    Ok(data)
}

fn transfer_accounts<'a>(
    [from, mint, to, authority]: &[CpiHandle<'a>; 4],
) -> [InstructionAccount<'a>; 4] {
    [
        InstructionAccount::writable(from.address()),
        InstructionAccount::readonly(mint.address()),
        InstructionAccount::writable(to.address()),
        InstructionAccount::readonly_signer(authority.address()),
    ]
}

/// Mints `amount` shares.
pub fn mint_to(
    mint: &mut UncheckedAccount,
    to: &mut UncheckedAccount,
    authority: CpiHandle,
    seeds: &[&[u8]],
    amount: u64,
) {
    let (mint, to) = (mint.cpi_handle_mut().into(), to.cpi_handle_mut().into());
    change_supply(MINT_TO, [mint, to, authority], seeds, amount);
}

/// Burns `amount` shares.
pub fn burn(
    from: &mut UncheckedAccount,
    mint: &mut UncheckedAccount,
    authority: CpiHandle,
    seeds: &[&[u8]],
    amount: u64,
) {
    let (from, mint) = (from.cpi_handle_mut().into(), mint.cpi_handle_mut().into());
    change_supply(BURN, [from, mint, authority], seeds, amount);
}

fn change_supply(instruction: u8, handles: [CpiHandle; 3], seeds: &[&[u8]], amount: u64) {
    let mut data = [instruction; 9];
    data[1..].copy_from_slice(&amount.to_le_bytes());
    let accounts = [
        InstructionAccount::writable(handles[0].address()),
        InstructionAccount::writable(handles[1].address()),
        InstructionAccount::readonly_signer(handles[2].address()),
    ];
    invoke(&anchor_spl::token::ID, &data, &accounts, &handles, seeds);
}

/// Closes an empty token account of the program. Its rent goes to `rent_payer`.
pub fn close(
    program: &Address,
    account: &mut UncheckedAccount,
    rent_payer: &mut UncheckedAccount,
    authority: CpiHandle,
    seeds: &[&[u8]],
) {
    let handles = [
        account.cpi_handle_mut().into(),
        rent_payer.cpi_handle_mut().into(),
        authority,
    ];
    let accounts = [
        InstructionAccount::writable(handles[0].address()),
        InstructionAccount::writable(handles[1].address()),
        InstructionAccount::readonly_signer(handles[2].address()),
    ];
    invoke(program, &[CLOSE_ACCOUNT], &accounts, &handles, seeds);
}

/// Invokes a token program with instruction data built in place: the allocating helpers of
/// `anchor-spl` cost several thousand compute units more. Not inlined: one copy for each number of
/// accounts keeps the binary small.
#[inline(never)]
fn invoke<const N: usize>(
    program: &Address,
    data: &[u8],
    accounts: &[InstructionAccount; N],
    handles: &[CpiHandle; N],
    seeds: &[&[u8]],
) {
    let signers = [seeds];
    let signers = if seeds.is_empty() { &[][..] } else { &signers };
    unchecked_invoke_signed_fixed(program, data, accounts, handles, signers);
}
