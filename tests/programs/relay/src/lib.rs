//! Makes the calls that its instruction data list, one after the other. Each account is passed on with
//! the rights that the relay got. Data that begin with the tag of Anchor's events are ignored, as
//! Anchor's programs ignore them: so the relay can emit anything that looks like an event.
//!
//! The data are a sequence of calls. Each call is the index of its program among the relay's accounts,
//! the number of its accounts, their indexes (a byte each), the number of bytes of its data (u16), and
//! its data. A call can be of the relay itself.

use pinocchio::{
    cpi::invoke_with_bounds,
    entrypoint,
    error::ProgramError,
    instruction::{InstructionAccount, InstructionView},
    AccountView, Address, ProgramResult,
};

/// Most accounts of an instruction.
const MAX_ACCOUNTS: usize = 32;
/// The tag that precedes every event of an Anchor program in the data of an inner instruction.
const EVENT_TAG: [u8; 8] = [0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];

entrypoint!(relay, { MAX_ACCOUNTS });

fn relay(_program: &Address, accounts: &mut [AccountView], data: &[u8]) -> ProgramResult {
    if data.starts_with(&EVENT_TAG) {
        return Ok(());
    }
    let mut rest = data;
    while !rest.is_empty() {
        let call = Call::read(&mut rest).ok_or(ProgramError::InvalidInstructionData)?;
        call.make(accounts)?;
    }
    Ok(())
}

/// An instruction of another program.
struct Call<'a> {
    program: u8,
    accounts: &'a [u8],
    data: &'a [u8],
}

impl<'a> Call<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let [program, count] = *take(rest, 2)? else {
            return None;
        };
        let accounts = take(rest, count.into())?;
        let length = u16::from_le_bytes(take(rest, 2)?.try_into().ok()?);
        let data = take(rest, length.into())?;
        Some(Self {
            program,
            accounts,
            data,
        })
    }

    // Not inlined: the accounts of a call take half of a stack frame.
    #[inline(never)]
    fn make(&self, accounts: &[AccountView]) -> ProgramResult {
        let account = |&index: &u8| {
            let account = accounts.get(usize::from(index));
            account.ok_or(ProgramError::NotEnoughAccountKeys)
        };
        let views: Vec<_> = self
            .accounts
            .iter()
            .map(account)
            .collect::<Result<_, _>>()?;
        let metas: Vec<_> = views
            .iter()
            .map(|view| InstructionAccount::from(*view))
            .collect();
        let instruction = InstructionView {
            program_id: account(&self.program)?.address(),
            data: self.data,
            accounts: &metas,
        };
        invoke_with_bounds::<MAX_ACCOUNTS, _>(&instruction, &views)
    }
}

/// Splits off the first bytes.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}
