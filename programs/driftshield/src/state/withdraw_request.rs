use anchor_lang::prelude::*;

/// Shares that a liquidity provider asks the vault to pay out.
///
/// Address: PDA of `["withdraw", vault, owner]`.
#[account]
pub struct WithdrawRequest {
    pub vault: Address,
    /// Is paid, and gets the account's rent back.
    pub owner: Address,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// In the vault's escrow.
    pub shares: u64,
    /// What they were worth when they were asked back, in base units: the most that is paid.
    pub value: u64,
    /// When they can be paid.
    pub unlock_at: i64,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<WithdrawRequest>() == 2 * 32 + 4 * 8 + 8);

impl WithdrawRequest {
    /// Whether the account was made by the running instruction.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }
}
